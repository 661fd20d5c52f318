//! What an account's prompts ask for: how many of the latest have a phrase of each of the collector's
//! classes.

use weir_schemas::Request;

/// Names of the classes of phrases, by their bits in `PromptFeatures.phrases`.
pub const NAMES: [&str; 10] = [
    "chain_of_thought",
    "show_reasoning",
    "grading",
    "synthetic_data",
    "tool_trace",
    "coding_trace",
    "system_prompt_probe",
    "refusal_probe",
    "translation_pairs",
    "capability_probe",
];

/// Prompts after which all counts are halved, so that the past fades.
const MEMORY: u8 = 240;

/// Prompts of which one at least must have a phrase for an account to be said to ask for it.
const ONE_IN: u8 = 10;

/// The counts of one account: 11 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asks {
    prompts: u8,
    hits: [u8; NAMES.len()],
}
persist_fields!(Asks { prompts, hits });

impl Asks {
    /// Counts a request's prompt.
    #[inline]
    pub fn observe(&mut self, request: &Request<'_>) {
        let Some(prompt) = &request.prompt else { return };
        if self.prompts >= MEMORY {
            self.prompts /= 2;
            self.hits.iter_mut().for_each(|hits| *hits /= 2);
        }
        self.prompts += 1;
        if prompt.phrases != 0 {
            for (bit, hits) in self.hits.iter_mut().enumerate() {
                *hits += u8::from(prompt.phrases >> bit & 1 == 1);
            }
        }
    }

    /// The classes of which one prompt in ten or more has a phrase, as a bit set.
    pub fn often(&self) -> i64 {
        let is_often = |hits: u8| hits > 0 && u32::from(hits) * u32::from(ONE_IN) >= u32::from(self.prompts);
        let bit = |(bit, hits): (usize, &u8)| i64::from(is_often(*hits)) << bit;
        self.hits.iter().enumerate().map(bit).sum()
    }
}

/// Names of the classes of a bit set; those that this build does not know are left out.
pub fn names(asks: i64) -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().enumerate().filter(move |(bit, _)| asks >> bit & 1 == 1).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::prompt;

    fn observed(phrases: impl Fn(usize) -> i64, prompts: usize) -> Vec<&'static str> {
        let mut asks = Asks::default();
        for index in 0..prompts {
            let prompt = Some(prompt("shape", "text", phrases(index)));
            asks.observe(&Request { prompt, ..Default::default() });
        }
        names(asks.often()).collect()
    }

    #[test]
    fn what_one_prompt_in_ten_asks_for_is_told() {
        let every = |nth: usize| move |index: usize| if index.is_multiple_of(nth) { 0b101 } else { 0 };
        assert_eq!(observed(every(10), 40), ["chain_of_thought", "grading"]);
        assert_eq!(observed(every(20), 4_000), Vec::<&str>::new());
        assert_eq!(observed(|_| 0, 40), Vec::<&str>::new());
        assert_eq!(observed(|_| -1, 4_000), NAMES);
    }
}
