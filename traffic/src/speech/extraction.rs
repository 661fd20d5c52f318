//! What campaigns say: they want answers that a model can be trained on.

use super::{Said, Speaker, Talk, any_language, chat};
use crate::corpus::Role;
use crate::grammar::ENGLISH;
use crate::random::Random;

/// Which capability is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Reasoning, step by step.
    Reasoning,
    /// Code with its tests.
    Code,
    /// Use of tools.
    Tools,
    /// Judgements of answers.
    Grading,
    /// Data to tune on.
    Synthetic,
    /// What is refused, and why.
    Refusals,
    /// A list of tasks of every kind.
    Sweep,
    /// Instructions of every kind.
    Anything,
}

/// How the same thing is said again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// In one template, in words that name what is wanted.
    Loud,
    /// In one template.
    Template,
    /// In many wordings and languages.
    Reworded,
    /// As a person would, each time differently.
    Own,
}

/// Which tasks an account works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tasks {
    /// Others all the time.
    Endless,
    /// A list of so many that all accounts share.
    Common(u32),
    /// Its part of a list of `of`: every `accounts`-th task from `at` on.
    Split {
        /// Tasks of the list.
        of: u32,
        /// Accounts that share it.
        accounts: u32,
        /// Which of them this is.
        at: u32,
    },
}

/// The limit of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Always this.
    Of(u32),
    /// One rung after another for the same task.
    Ladder,
    /// None, as people have none.
    Customary,
}

/// The rungs of [`Limit::Ladder`].
pub const LADDER: [u32; 7] = [1, 4, 16, 64, 256, 1_024, 4_096];

/// What a campaign's account says.
#[derive(Debug, Clone, PartialEq)]
pub struct Extraction {
    /// The campaign: its list, its template.
    pub campaign: u64,
    /// What is wanted.
    pub goal: Goal,
    /// How it is said.
    pub style: Style,
    /// Which tasks.
    pub tasks: Tasks,
    /// System prompt of this number.
    pub preamble: Option<u64>,
    /// Limit of the answer.
    pub limit: Limit,
    /// Share of requests that are ordinary conversation.
    pub cover: f64,
}

impl Extraction {
    pub(super) fn say(&self, talk: &mut Talk, speaker: Speaker<'_>, random: &mut Random, said: &mut Said) {
        if self.cover > 0.0 && random.chance(self.cover) {
            return chat(talk, speaker, random, said);
        }
        let rungs = if self.limit == Limit::Ladder { LADDER.len() as u32 } else { 1 };
        let step = talk.cursor / rungs;
        let number = match self.tasks {
            Tasks::Endless => random.bits(),
            Tasks::Common(of) => random.below(u64::from(of)),
            Tasks::Split { of, accounts, at } => u64::from((step * accounts + at) % of.max(1)),
        };
        let number = if self.limit == Limit::Ladder { u64::from(step % 160) } else { number };
        self.task(&mut Random::of(&[self.campaign, number]), speaker, random, said);
        if let Some(preamble) = self.preamble {
            let texts = &speaker.world.texts;
            texts.write(
                texts.symbols.extract_preamble,
                ENGLISH,
                "",
                &mut Random::of(&[preamble]),
                &mut said.system,
            );
        }
        said.max_tokens = match self.limit {
            Limit::Of(limit) => Some(limit),
            Limit::Ladder => Some(LADDER[(talk.cursor % rungs) as usize]),
            Limit::Customary => None,
        };
        said.refused = self.goal == Goal::Refusals && random.chance(0.5);
    }

    /// Writes a task; `task` is the same whenever the task is, `random` is not.
    fn task(&self, task: &mut Random, speaker: Speaker<'_>, random: &mut Random, said: &mut Said) {
        let texts = &speaker.world.texts;
        let symbols = &texts.symbols;
        let goal = match self.goal {
            Goal::Anything => *task.pick(&[
                Goal::Reasoning,
                Goal::Code,
                Goal::Tools,
                Goal::Grading,
                Goal::Synthetic,
                Goal::Sweep,
                Goal::Anything,
                Goal::Anything,
                Goal::Anything,
                Goal::Anything,
            ]),
            goal => goal,
        };
        let symbol = match goal {
            Goal::Reasoning => return self.reasoning(task, speaker, random, said),
            Goal::Code => symbols.goal_code,
            Goal::Tools => symbols.goal_tools,
            Goal::Grading => symbols.goal_grading,
            Goal::Synthetic => symbols.goal_synthetic,
            Goal::Refusals => symbols.goal_refusal,
            Goal::Sweep => symbols.goal_sweep,
            Goal::Anything => symbols.instruction,
        };
        let role = match goal {
            Goal::Code => Role::Code,
            Goal::Tools => Role::Task,
            Goal::Sweep => Role::Question,
            _ => Role::Instruction,
        };
        let language = if self.style == Style::Own { speaker.language } else { ENGLISH };
        match self.style {
            Style::Loud => {
                texts.write(symbols.loud, ENGLISH, "", &mut Random::of(&[self.campaign]), &mut said.prompt)
            }
            Style::Own => texts.write(symbols.context, language, "", random, &mut said.prompt),
            Style::Template | Style::Reworded => {}
        }
        if !said.prompt.is_empty() {
            said.prompt.push(' ');
        }
        // A corpus has instructions, but not these goals: they come from it half of the time.
        if goal == Goal::Anything || task.chance(0.5) {
            texts.say(role, symbol, language, task, &mut said.prompt);
        } else {
            texts.write(symbol, language, "", task, &mut said.prompt);
        }
    }

    fn reasoning(&self, task: &mut Random, speaker: Speaker<'_>, random: &mut Random, said: &mut Said) {
        let texts = &speaker.world.texts;
        let symbols = &texts.symbols;
        let mut question = String::new();
        match self.style {
            Style::Loud | Style::Template => {
                texts.say(Role::Question, symbols.question, ENGLISH, task, &mut question);
                // The same wording every time.
                let mut own = Random::of(&[self.campaign]);
                let wording = if self.style == Style::Loud { symbols.cot } else { symbols.cot_plain };
                texts.write(wording, ENGLISH, &question, &mut own, &mut said.prompt);
            }
            Style::Reworded => {
                let language = any_language(random);
                texts.say_same(Role::Question, symbols.problem, language, task, &mut question);
                texts.write(symbols.cot_reworded, language, &question, random, &mut said.prompt);
            }
            Style::Own => {
                let language = if random.chance(0.6) { speaker.language } else { any_language(random) };
                texts.write(symbols.context, language, "", random, &mut said.prompt);
                said.prompt.push(' ');
                texts.say(Role::Question, symbols.question, language, task, &mut question);
                if random.chance(0.5) {
                    texts.write(symbols.cot_reworded, language, &question, random, &mut said.prompt);
                } else {
                    said.prompt.push_str(&question);
                }
            }
        }
    }
}
