//! Phrases that extraction campaigns use, in classes. A class is a bit of `PromptFeatures.phrases`;
//! the bits are part of the record's meaning, so a class may be added but never moved.
//!
//! Honest people use these phrases too. A class says what a prompt is about; how much of an
//! account's traffic is about it is for a detector to weigh.

use crate::limits::PHRASE_HITS_MAX;
use aho_corasick::packed::Searcher;
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// One class of phrases.
#[derive(Debug, Clone, Copy)]
pub struct PhraseClass {
    /// Its bit, from 0.
    pub bit: u32,
    /// Its name.
    pub name: &'static str,
    /// Its phrases, in lower case.
    pub phrases: &'static [&'static str],
}

/// The class of phrases with which a translation is asked for.
pub const TRANSLATION: i64 = 1 << 8;

/// Every class. At most 64 phrases in all: beyond that the vectorised search gives way to one that is
/// twenty times slower.
pub const CLASSES: &[PhraseClass] = &[
    PhraseClass {
        bit: 0,
        name: "chain_of_thought",
        phrases: &[
            "step by step",
            "chain of thought",
            "chain-of-thought",
            "think out loud",
            "think aloud",
            "before you answer, think",
            "reason through",
        ],
    },
    PhraseClass {
        bit: 1,
        name: "show_reasoning",
        phrases: &[
            "show your reasoning",
            "show your work",
            "explain your reasoning",
            "full reasoning",
            "reasoning trace",
            "<think",
            "every intermediate step",
            "justify each step",
        ],
    },
    PhraseClass {
        bit: 2,
        name: "grading",
        phrases: &[
            "rubric",
            "on a scale of 1 to",
            "on a scale from 1 to",
            "which response is better",
            "score each",
            "grade the following",
            "impartial judge",
        ],
    },
    PhraseClass {
        bit: 3,
        name: "synthetic_data",
        phrases: &[
            "training data",
            "training example",
            "synthetic data",
            "fine-tuning",
            "question-answer pairs",
            "question and answer pairs",
            "diverse examples",
            "as jsonl",
        ],
    },
    PhraseClass {
        bit: 4,
        name: "tool_trace",
        phrases: &[
            "tool call",
            "function call",
            "available tools",
            "action input:",
            "observation:",
            "call the tool",
        ],
    },
    PhraseClass {
        bit: 5,
        name: "coding_trace",
        phrases: &[
            "unified diff",
            "failing test",
            "unit tests",
            "implement the following",
            "pull request",
            "edge cases",
        ],
    },
    PhraseClass {
        bit: 6,
        name: "system_prompt_probe",
        phrases: &[
            "system prompt",
            "initial instructions",
            "ignore previous instructions",
            "ignore all previous",
            "repeat the text above",
            "repeat everything above",
        ],
    },
    PhraseClass {
        bit: 7,
        name: "refusal_probe",
        phrases: &[
            "are you allowed to",
            "would you refuse",
            "without restrictions",
            "no restrictions",
            "pretend you have no",
            "why can't you",
        ],
    },
    PhraseClass {
        bit: 8,
        name: "translation_pairs",
        phrases: &[
            "translate",
            "how would you say this",
            "parallel corpus",
            "translation pairs",
            "source sentence",
        ],
    },
    PhraseClass {
        bit: 9,
        name: "capability_probe",
        phrases: &[
            "multiple choice",
            "letter of the correct",
            "knowledge cutoff",
            "what are your capabilities",
            "benchmark",
        ],
    },
];

/// What was found in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found {
    /// Bits of the classes that occur.
    pub classes: i64,
    /// Number of occurrences that do not overlap, at most [`PHRASE_HITS_MAX`].
    pub hits: i32,
}

/// Finds the phrases.
pub struct Phrases {
    engine: Engine,
    class_of: Vec<i64>,
}

enum Engine {
    /// Vector instructions of the processor.
    Packed(Searcher),
    /// For processors without them.
    Automaton(AhoCorasick),
    /// Neither could be built, which the tests rule out for this list.
    Nothing,
}

impl Default for Phrases {
    fn default() -> Self {
        match Searcher::new(all_phrases()) {
            Some(searcher) => Self::with(Engine::Packed(searcher)),
            None => Self::automaton(),
        }
    }
}

fn all_phrases() -> impl Iterator<Item = &'static str> {
    CLASSES.iter().flat_map(|class| class.phrases).copied()
}

impl Phrases {
    fn with(engine: Engine) -> Self {
        let class_of =
            CLASSES.iter().flat_map(|class| class.phrases.iter().map(|_| 1 << class.bit)).collect();
        Self { engine, class_of }
    }

    fn automaton() -> Self {
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::LeftmostFirst).kind(Some(AhoCorasickKind::DFA));
        Self::with(builder.build(all_phrases()).map_or(Engine::Nothing, Engine::Automaton))
    }

    /// Searches a normalised text. A phrase counts where a word begins.
    pub fn find(&self, normal: &[u8]) -> Found {
        match &self.engine {
            Engine::Packed(searcher) => self.count(
                normal,
                searcher.find_iter(normal).map(|found| (found.start(), found.pattern().as_usize())),
            ),
            Engine::Automaton(automaton) => self.count(
                normal,
                automaton.find_iter(normal).map(|found| (found.start(), found.pattern().as_usize())),
            ),
            Engine::Nothing => Found::default(),
        }
    }

    fn count(&self, normal: &[u8], matches: impl Iterator<Item = (usize, usize)>) -> Found {
        let starts_word = |start: usize| start == 0 || !normal[start - 1].is_ascii_alphanumeric();
        let mut found = Found::default();
        for (_, phrase) in matches.filter(|(start, _)| starts_word(*start)) {
            found.classes |= self.class_of.get(phrase).copied().unwrap_or_default();
            found.hits = (found.hits + 1).min(PHRASE_HITS_MAX);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_list_is_well_formed() {
        assert!(all_phrases().count() <= 64);
        for (index, class) in CLASSES.iter().enumerate() {
            assert_eq!(class.bit as usize, index, "{} has the bit of its place", class.name);
            for phrase in class.phrases {
                assert!(phrase.len() >= 6 && *phrase == phrase.to_ascii_lowercase(), "{phrase}");
            }
        }
        assert!(matches!(Phrases::automaton().engine, Engine::Automaton(_)));
    }

    #[test]
    fn every_phrase_is_found_in_its_class() {
        let phrases = Phrases::default();
        for class in CLASSES {
            for phrase in class.phrases {
                let found = phrases.find(format!("now, {phrase} of it").as_bytes());
                assert_eq!((found.classes, found.hits), (1 << class.bit, 1), "{phrase}");
            }
        }
    }

    #[test]
    fn a_phrase_inside_a_word_is_not_found() {
        assert_eq!(Phrases::default().find(b"doorstep by step"), Found::default());
        assert_eq!(Phrases::default().find(b"the weather in oslo"), Found::default());
    }

    proptest! {
        #[test]
        fn both_engines_find_the_same(pieces in prop::collection::vec((0..64usize, "[a-z<: ]{0,4}"), 0..12)) {
            let all: Vec<&str> = all_phrases().collect();
            let text: String = pieces.iter().map(|(index, rest)| format!("{}{rest}", all[index % all.len()])).collect();
            prop_assert_eq!(Phrases::default().find(text.as_bytes()), Phrases::automaton().find(text.as_bytes()));
        }
    }
}
