//! Where texts come from: a corpus where there is one, and the grammars.

use crate::corpus::{Corpus, Role};
use crate::grammar::{Grammar, Language, Symbol};
use crate::random::Random;

/// How often a text comes from the corpus where that has one.
const FROM_CORPUS: f64 = 0.9;

macro_rules! symbols {
    ($($name:ident),+ $(,)?) => {
        /// The symbols that accounts speak in.
        #[derive(Debug, Clone, Copy)]
        #[allow(missing_docs)] // Each is the section of the same name in grammar/*.txt.
        pub struct Symbols { $(pub $name: Symbol),+ }

        impl Symbols {
            fn of(grammar: &Grammar) -> Self {
                Self { $($name: grammar.symbol(stringify!($name))),+ }
            }
        }
    };
}

symbols! {
    chat, follow, paste, context, code, code_follow, agent_task, agent_order, agent_result, preamble, agent_preamble, job_prompt,
    ticket, enduser, question, problem, homework, homework_wrap, homework_follow, tutor_preamble, tutor, translate_ask,
    safety, news, event, market_frame, business, workflow, cot, cot_plain, cot_reworded, loud, instruction, goal_code, goal_tools, goal_grading,
    goal_synthetic, goal_refusal, goal_sweep, extract_preamble,
}

/// Every text that an account may say.
#[derive(Debug)]
pub struct Texts {
    grammar: Grammar,
    corpus: Option<Corpus>,
    /// What can be asked for.
    pub symbols: Symbols,
}

impl Default for Texts {
    fn default() -> Self {
        Self::with(None)
    }
}

impl Texts {
    /// Texts of the grammars, and of a corpus where one is given.
    pub fn with(corpus: Option<Corpus>) -> Self {
        let grammar = Grammar::default();
        let symbols = Symbols::of(&grammar);
        Self { grammar, corpus, symbols }
    }

    /// Appends a text of the grammars; `given` fills its capital.
    pub fn write(
        &self,
        symbol: Symbol,
        language: Language,
        given: &str,
        random: &mut Random,
        out: &mut String,
    ) {
        self.grammar.write(symbol, language, given, random, out);
    }

    /// Appends a text of the corpus, or of the grammars where that has none.
    pub fn say(&self, role: Role, symbol: Symbol, language: Language, random: &mut Random, out: &mut String) {
        if let Some(corpus) = &self.corpus
            && random.chance(FROM_CORPUS)
            && let Some(text) = corpus.text(role, language, random)
        {
            return self.fill(text, language, random, out);
        }
        self.write(symbol, language, "", random, out);
    }

    /// Appends a text of others, with something in each `{{slot}}` and without `{% statements %}`.
    fn fill(&self, text: &str, language: Language, random: &mut Random, out: &mut String) {
        let mut rest = text;
        while let Some(open) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
            let close = if rest[open..].starts_with("{{") { "}}" } else { "%}" };
            let Some(length) = rest[open..].find(close) else { break };
            out.push_str(&rest[..open]);
            if close == "}}" {
                self.write(self.symbols.paste, language, "", random, out);
            }
            rest = &rest[open + length + 2..];
        }
        out.push_str(rest);
    }

    /// Appends what says the same in every language for the same `random`.
    pub fn say_same(
        &self,
        role: Role,
        symbol: Symbol,
        language: Language,
        random: &mut Random,
        out: &mut String,
    ) {
        if let Some(corpus) = &self.corpus
            && random.chance(FROM_CORPUS)
            && let Some(text) = corpus.same_text(role, language, random)
        {
            return out.push_str(text);
        }
        self.write(symbol, language, "", random, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_of_a_template_are_filled_and_its_statements_left_out() {
        let texts = Texts::default();
        let filled = |text: &str| {
            let mut out = String::new();
            texts.fill(text, crate::grammar::ENGLISH, &mut Random::of(&[1]), &mut out);
            out
        };
        let text = filled("Is {{a}} so? {% if x %}Yes{% endif %}, {{ b.c[0] }}.");
        assert!(
            text.starts_with("Is ") && text.contains(" so? Yes, ") && !text.contains(['{', '}', '%']),
            "{text}"
        );
        assert_eq!(filled("plain {text} {{open"), "plain {text} {{open");
    }
}
