//! `elicitation`: prompts that make the model show how it thinks.
//!
//! *Evidence*: share of prompts with a phrase of elicitation (the collector finds the phrases on the node, in
//! text that never leaves it), share of answers that the model declined, which probing causes. Tutors and
//! evaluations ask for steps as well, so it says little. *Missing* without prompts. *Cost*: a bit test.
//! *Evasion*: words that no list has. *Price*: none, which is why its cap is low. *Source*: Glasswally's
//! `cot` and `refusal_probe` by idea.

use crate::detector::{AccountView, Detector, Family, Inputs, Notes, Seen};
use crate::measure::Share;
use crate::nats::{Millinats, line};

detector_settings! {
    /// Which phrase classes count, as a bit set.
    phrase_classes: i64 = 0 ..= 9223372036854775807_i64,
}

/// See [`crate::detectors::elicitation`].
pub struct Elicitation;

/// What is remembered of an account's prompts: 4 bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    phrases: Share,
}
persist_fields!(State { phrases });

/// Share of prompts with a phrase, in thousandths.
const PHRASES: [(i64, Millinats); 3] = [(100, 0), (400, 1_000), (800, 1_500)];

/// Share of refused answers, in thousandths.
const REFUSED: [(i64, Millinats); 2] = [(150, 0), (500, 700)];

impl Detector for Elicitation {
    const NAME: &'static str = "elicitation";
    const CLAIM: &'static str = "Prompts elicit the model's reasoning over and over.";
    const FAMILY: Family = Family::Content;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs = Inputs { needs: &[&["prompt"]], uses: &[&["finish_reason", "refused"]] };
    type State = State;
    type Settings = Settings;

    fn touch(_: &State) -> u64 {
        0
    }

    fn observe(state: &mut State, seen: Seen<'_>, _: i64, settings: &Settings) {
        let Seen::Request(request) = seen else { return };
        let Some(prompt) = &request.prompt else { return };
        state.phrases.note(prompt.phrases & settings.phrase_classes != 0);
    }

    fn judge(state: &State, account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        if state.phrases.total() < 8 {
            return None;
        }
        let refused = account.profile.refused;
        let probing = if refused.total() >= 10 { line(&REFUSED, refused.permille().into()) } else { 0 };
        notes.milli("elicitation_phrase_share", state.phrases.permille().into());
        notes.milli("refused_share", refused.permille().into());
        Some(line(&PHRASES, state.phrases.permille().into()) + probing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, prompt};
    use expect_test::expect;
    use weir_schemas::Outcome;

    fn traffic(phrases: i64, refused: bool) -> Traffic {
        Traffic::every_ms(1_000, 40, move |request, index| {
            request.prompt = Some(prompt("shape", &format!("text {index}"), phrases));
            request.outcome = Some(Outcome { refused: refused && index % 2 == 0, ..Default::default() });
        })
    }

    #[test]
    fn elicitation_says_something_and_refusals_a_little() {
        check::<Elicitation>(
            traffic(1, false),
            expect!["1.5 nats; elicitation_phrase_share 1.000; refused_share 0.000"],
        );
        check::<Elicitation>(
            traffic(0, true),
            expect!["0.7 nats; elicitation_phrase_share 0.000; refused_share 0.500"],
        );
    }

    #[test]
    fn translation_pairs_do_not_count() {
        check::<Elicitation>(
            traffic(1 << 8, false),
            expect!["0.0 nats; elicitation_phrase_share 0.000; refused_share 0.000"],
        );
    }

    #[test]
    fn without_prompts_it_is_missing() {
        check::<Elicitation>(Traffic::every_ms(1_000, 40, |_, _| ()), expect!["missing"]);
    }
}
