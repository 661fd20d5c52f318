//! What an account says: one kind of speech for every population, and extraction.

mod extraction;

pub use extraction::{Extraction, Goal, Limit, Style, Tasks};

use crate::corpus::Role;
use crate::grammar::{ENGLISH, Language};
use crate::random::Random;
use crate::world::World;

/// What an account says.
#[derive(Debug, Clone, PartialEq)]
pub enum Speech {
    /// Conversations about anything.
    Chat,
    /// Questions of a developer's program or of a developer.
    Code,
    /// A coding agent: a task, then results of tools, under a preamble that thousands share.
    Agent {
        /// Which of the popular agents.
        preamble: u64,
        /// Whether every request is a task of its own, without results of tools after it.
        tasks_only: bool,
    },
    /// A job: one prompt, other data each time.
    Job {
        /// Which prompt.
        prompt: u64,
        /// Limit of the answer.
        limit: u32,
    },
    /// An application behind one key: its users ask in every language.
    App {
        /// Whose preamble.
        preamble: u64,
        /// Limit of the answer.
        limit: u32,
    },
    /// A reseller: many applications and people behind one key.
    Reseller {
        /// Whose customers.
        customers: u64,
    },
    /// A list of questions that everybody knows, from the first to the last.
    Evaluation {
        /// Which list.
        list: u64,
        /// Questions.
        size: u32,
        /// Limit of the answer.
        limit: u32,
    },
    /// The same homework as the rest of the class.
    Homework {
        /// Which class.
        class: u64,
        /// Tasks of it.
        tasks: u32,
        /// Whether everybody hands the tasks in as they are written.
        verbatim: bool,
    },
    /// A tutoring service.
    Tutor {
        /// Whose preamble.
        preamble: u64,
    },
    /// Texts to translate.
    Translator,
    /// Somebody who tries what the model refuses.
    Safety,
    /// A bought prompt with one's own business in it.
    Market {
        /// Which prompt: strangers have bought the same.
        template: u64,
    },
    /// A workflow tool's public template, with one's own data.
    Workflow {
        /// Which template.
        template: u64,
    },
    /// A company's own assistant.
    Company {
        /// Whose preamble.
        preamble: u64,
    },
    /// Something that wants to be trained on the answers.
    Extraction(Extraction),
}

/// Where an account is in what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Talk {
    conversation: u64,
    turn: u32,
    context_tokens: u32,
    cursor: u32,
}

/// One request, as said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The user's message.
    pub prompt: String,
    /// The system prompt; empty where there is none.
    pub system: String,
    /// Limit of the answer, where one is asked for.
    pub max_tokens: Option<u32>,
    /// Tokens of the request, with what was said before.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
    /// The model declined.
    pub refused: bool,
}

/// Who speaks, and when.
#[derive(Debug, Clone, Copy)]
pub struct Speaker<'w> {
    /// The world.
    pub world: &'w World,
    /// Language of the person.
    pub language: Language,
    /// Now.
    pub now_ms: i64,
    /// A session, burst or run begins.
    pub begins: bool,
}

impl Speech {
    /// The next request.
    pub fn say(&self, talk: &mut Talk, speaker: Speaker<'_>, random: &mut Random, said: &mut Said) {
        said.prompt.clear();
        said.system.clear();
        (said.max_tokens, said.refused) = (None, false);
        if speaker.begins {
            (talk.conversation, talk.turn, talk.context_tokens) = (random.bits(), 0, 0);
        }
        let mut answer_tokens = random.log_normal(260.0, 0.9);
        match self {
            Self::Chat => chat(talk, speaker, random, said),
            Self::Company { preamble } => {
                chat(talk, speaker, random, said);
                speaker.world.fixed(Role::Preamble, *preamble, said);
            }
            Self::Code => code(talk, speaker, random, said),
            Self::Agent { preamble, tasks_only } => {
                answer_tokens = random.log_normal(190.0, 1.0);
                agent(*preamble, *tasks_only, talk, speaker, random, said);
            }
            Self::Translator => translate(speaker, random, said),
            Self::Safety => {
                said.refused = random.chance(0.55);
                let texts = &speaker.world.texts;
                if random.chance(0.75) {
                    texts.write(texts.symbols.safety, ENGLISH, "", random, &mut said.prompt);
                } else {
                    chat(talk, speaker, random, said);
                }
            }
            Self::Homework { class, tasks, verbatim: true } => hand_in(*class, *tasks, talk, speaker, said),
            Self::Homework { class, tasks, verbatim: false } => {
                homework(*class, *tasks, talk, speaker, random, said);
            }
            Self::Market { template } => market(*template, talk, speaker, random, said),
            Self::Workflow { template } => {
                let texts = &speaker.world.texts;
                texts.write(texts.symbols.workflow, ENGLISH, "", random, &mut said.prompt);
                let mut own = Random::of(&[*template]);
                texts.write(texts.symbols.job_prompt, ENGLISH, "", &mut own, &mut said.system);
                said.max_tokens = Some(512);
            }
            Self::Job { prompt, limit } => {
                answer_tokens = random.log_normal(f64::from(*limit) / 4.0, 0.5);
                job(*prompt, *limit, speaker, random, said);
            }
            Self::App { preamble, limit } => app(*preamble, *limit, speaker, random, said),
            Self::Reseller { customers } => reseller(*customers, speaker, random, said),
            Self::Evaluation { list, size, limit } => {
                answer_tokens = random.log_normal(f64::from(*limit) / 6.0, 0.4);
                evaluation(*list, *size, *limit, talk, speaker, said);
            }
            Self::Tutor { preamble } => tutor(*preamble, speaker, random, said),
            Self::Extraction(extraction) => {
                answer_tokens = random.log_normal(820.0, 0.5);
                extraction.say(talk, speaker, random, said);
            }
        }
        let new_tokens = (said.prompt.len() / 4 + 3) as u32;
        let system_tokens = (said.system.len() / 4) as u32;
        said.prompt_tokens = talk.context_tokens + new_tokens + system_tokens;
        let most = f64::from(said.max_tokens.unwrap_or(4_096));
        said.completion_tokens = if said.refused { 24 } else { answer_tokens.clamp(1.0, most) as u32 };
        talk.context_tokens = (talk.context_tokens + new_tokens + said.completion_tokens).min(120_000);
        talk.turn += 1;
        talk.cursor += 1;
    }
}

impl World {
    /// Makes the one text of this number the system prompt.
    fn fixed(&self, role: Role, number: u64, said: &mut Said) {
        let mut own = Random::of(&[number]);
        self.texts.say(role, self.texts.symbols.preamble, ENGLISH, &mut own, &mut said.system);
    }
}

fn chat(talk: &Talk, speaker: Speaker<'_>, random: &mut Random, said: &mut Said) {
    let (world, language) = (speaker.world, speaker.language);
    let texts = &world.texts;
    if let Some((news_ms, event)) = world.news {
        let age_h = (speaker.now_ms - news_ms) as f64 / 3.6e6;
        // In the first hours every third conversation is about it.
        if talk.turn == 0 && age_h >= 0.0 && random.chance(0.35 * crate::random::exp(-age_h / 2.0)) {
            let mut name = String::new();
            texts.write(texts.symbols.event, ENGLISH, "", &mut Random::of(&[event]), &mut name);
            return texts.write(texts.symbols.news, ENGLISH, &name, random, &mut said.prompt);
        }
    }
    if talk.turn == 0 {
        texts.say(Role::Chat, texts.symbols.chat, language, random, &mut said.prompt);
    } else {
        texts.write(texts.symbols.follow, language, "", random, &mut said.prompt);
    }
    // Some paste a text that they have.
    if random.chance(0.09) {
        for _ in 0..random.between(2, 14) {
            said.prompt.push(' ');
            texts.write(texts.symbols.paste, language, "", random, &mut said.prompt);
        }
    }
}

fn code(talk: &Talk, speaker: Speaker<'_>, random: &mut Random, said: &mut Said) {
    let texts = &speaker.world.texts;
    if talk.turn == 0 {
        texts.say(Role::Code, texts.symbols.code, ENGLISH, random, &mut said.prompt);
    } else {
        texts.write(texts.symbols.code_follow, ENGLISH, "", random, &mut said.prompt);
    }
    if random.chance(0.15) {
        said.prompt.push('\n');
        for _ in 0..random.between(1, 6) {
            texts.write(texts.symbols.agent_result, ENGLISH, "", random, &mut said.prompt);
            said.prompt.push('\n');
        }
    }
    let mut habit = Random::of(&[talk.conversation]);
    if habit.chance(0.5) {
        said.max_tokens = Some(*habit.pick(&[256, 512, 1_024, 2_048, 4_096]));
    }
    if habit.chance(0.3) {
        said.system.push_str("You are a helpful assistant.");
    }
}

fn agent(
    preamble: u64,
    tasks_only: bool,
    talk: &Talk,
    speaker: Speaker<'_>,
    random: &mut Random,
    said: &mut Said,
) {
    let texts = &speaker.world.texts;
    if tasks_only {
        texts.write(texts.symbols.agent_order, ENGLISH, "", random, &mut said.prompt);
    } else if talk.turn == 0 {
        texts.say(Role::Task, texts.symbols.agent_task, ENGLISH, random, &mut said.prompt);
    } else {
        for _ in 0..random.between(1, 3) {
            texts.write(texts.symbols.agent_result, ENGLISH, "", random, &mut said.prompt);
            said.prompt.push('\n');
        }
    }
    texts.write(texts.symbols.agent_preamble, ENGLISH, "", &mut Random::of(&[preamble]), &mut said.system);
    said.max_tokens = Some(8_192);
}

fn job(prompt: u64, limit: u32, speaker: Speaker<'_>, random: &mut Random, said: &mut Said) {
    let texts = &speaker.world.texts;
    let mut own = Random::of(&[prompt]);
    // Half of the jobs put their instruction into the system prompt, half before the data.
    if own.chance(0.5) {
        texts.write(texts.symbols.job_prompt, ENGLISH, "", &mut own, &mut said.system);
    } else {
        texts.write(texts.symbols.job_prompt, ENGLISH, "", &mut own, &mut said.prompt);
        said.prompt.push_str("\n\n");
    }
    let role = if own.chance(0.3) { Role::Document } else { Role::EndUser };
    texts.say(role, texts.symbols.ticket, ENGLISH, random, &mut said.prompt);
    said.max_tokens = Some(limit);
}

fn app(preamble: u64, limit: u32, speaker: Speaker<'_>, random: &mut Random, said: &mut Said) {
    let texts = &speaker.world.texts;
    let mut own = Random::of(&[preamble, 1]);
    let home = Language::of(["en", "en", "de", "es", "fr", "pt", "ja"][own.below(7) as usize]);
    let language = if random.chance(0.8) { home } else { any_language(random) };
    texts.say(Role::EndUser, texts.symbols.enduser, language, random, &mut said.prompt);
    speaker.world.fixed(Role::Preamble, preamble, said);
    said.max_tokens = Some(limit);
}

fn reseller(customers: u64, speaker: Speaker<'_>, random: &mut Random, said: &mut Said) {
    let texts = &speaker.world.texts;
    let customer = random.zipf(400);
    let mut own = Random::of(&[customers, customer]);
    let language = any_language(&mut own);
    match own.below(4) {
        0 => app(own.bits(), 1_024, speaker, random, said),
        1 => texts.say(Role::Code, texts.symbols.code, ENGLISH, random, &mut said.prompt),
        _ if random.chance(0.4) => {
            texts.say(Role::Chat, texts.symbols.chat, language, random, &mut said.prompt)
        }
        _ => texts.write(texts.symbols.follow, language, "", random, &mut said.prompt),
    }
    if own.chance(0.4) {
        said.max_tokens = Some(*own.pick(&[512, 1_024, 2_048, 4_096]));
    }
}

/// How a list asks: 0 for the steps, 1 for the letter of an option, 2 for the answer.
pub(crate) fn evaluation_shape(list: u64) -> u64 {
    Random::of(&[list, 0x7368_6170]).below(3)
}

fn evaluation(list: u64, size: u32, limit: u32, talk: &Talk, speaker: Speaker<'_>, said: &mut Said) {
    let texts = &speaker.world.texts;
    let mut own = Random::of(&[list]);
    // The same question is the same text in every run, and for everybody who runs the list.
    let mut question = Random::of(&[list, u64::from(talk.cursor % size.max(1))]);
    let mut text = String::new();
    texts.say(Role::Question, texts.symbols.question, ENGLISH, &mut question, &mut text);
    match evaluation_shape(list) {
        0 => texts.write(texts.symbols.cot, ENGLISH, &text, &mut own, &mut said.prompt),
        1 => {
            said.prompt.push_str(
                "The following are multiple choice questions. Give the letter of the correct answer.\n\n",
            );
            said.prompt.push_str(&text);
        }
        _ => {
            said.prompt.push_str("Question: ");
            said.prompt.push_str(&text);
            said.prompt.push_str("\nAnswer:");
        }
    }
    said.max_tokens = Some(limit);
}

fn homework(
    class: u64,
    tasks: u32,
    talk: &mut Talk,
    speaker: Speaker<'_>,
    random: &mut Random,
    said: &mut Said,
) {
    let texts = &speaker.world.texts;
    // Two or three messages a task, then the next one.
    let task = (talk.cursor / 2) % tasks.max(1);
    if talk.cursor.is_multiple_of(2) || random.chance(0.3) {
        let mut text = String::new();
        let mut own = Random::of(&[class, u64::from(task)]);
        texts.say(Role::Question, texts.symbols.homework, ENGLISH, &mut own, &mut text);
        texts.write(texts.symbols.homework_wrap, ENGLISH, &text, random, &mut said.prompt);
    } else {
        texts.write(texts.symbols.homework_follow, ENGLISH, "", random, &mut said.prompt);
    }
}

/// Task after task, word for word as the teacher wrote it.
fn hand_in(class: u64, tasks: u32, talk: &Talk, speaker: Speaker<'_>, said: &mut Said) {
    let texts = &speaker.world.texts;
    let mut text = String::new();
    let mut own = Random::of(&[class, u64::from(talk.cursor % tasks.max(1))]);
    texts.say(Role::Question, texts.symbols.question, ENGLISH, &mut own, &mut text);
    texts.write(texts.symbols.cot, ENGLISH, &text, &mut Random::of(&[class]), &mut said.prompt);
}

fn tutor(preamble: u64, speaker: Speaker<'_>, random: &mut Random, said: &mut Said) {
    let texts = &speaker.world.texts;
    let mut text = String::new();
    texts.say(Role::Question, texts.symbols.question, speaker.language, random, &mut text);
    if random.chance(0.35) {
        texts.write(texts.symbols.homework_follow, ENGLISH, "", random, &mut said.prompt);
    } else {
        texts.write(texts.symbols.tutor, ENGLISH, &text, random, &mut said.prompt);
    }
    texts.write(texts.symbols.tutor_preamble, ENGLISH, "", &mut Random::of(&[preamble]), &mut said.system);
    said.max_tokens = Some(1_500);
}

fn translate(speaker: Speaker<'_>, random: &mut Random, said: &mut Said) {
    let texts = &speaker.world.texts;
    let mut source = String::new();
    for index in 0..random.between(1, 6) {
        if index > 0 {
            source.push(' ');
        }
        texts.write(texts.symbols.paste, speaker.language, "", random, &mut source);
    }
    texts.write(texts.symbols.translate_ask, ENGLISH, &source, random, &mut said.prompt);
}

fn market(template: u64, talk: &Talk, speaker: Speaker<'_>, random: &mut Random, said: &mut Said) {
    if talk.turn > 0 {
        return chat(talk, speaker, random, said);
    }
    let texts = &speaker.world.texts;
    let mut business = String::new();
    texts.write(texts.symbols.business, ENGLISH, "", random, &mut business);
    texts.write(
        texts.symbols.market_frame,
        ENGLISH,
        &business,
        &mut Random::of(&[template]),
        &mut said.prompt,
    );
}

fn any_language(random: &mut Random) -> Language {
    Language(random.below(crate::grammar::CODES.len() as u64) as u8)
}
