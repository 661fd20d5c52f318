//! `harvest`: ever new texts, long answers, no application around them.
//!
//! *Evidence*: different texts among all, the limit of an answer that the account mostly asks for, whether it has
//! a system prompt of its own. What is asked again and again, briefly answered, or asked under a system
//! prompt is an application, and speaks for the account. *Missing* without prompts. *Cost*: a sketch of 64
//! bytes. *Evasion*: repeat texts, ask for short answers, send a system prompt. *Price*: repeated texts teach nothing; short
//! answers carry no reasoning. *Source*: PRADA (arXiv 1805.02628) and SEAT for looking at the stream of
//! queries and not at one.

use crate::detector::{AccountView, Detector, Family, Inputs, Notes};
use crate::nats::{Millinats, line};

detector_settings! {}

/// See [`crate::detectors::harvest`].
pub struct Harvest;

/// Limit of an answer in tokens, and what it says.
const LIMIT: [(i64, Millinats); 5] = [(256, -1_800), (512, -1_000), (1_024, 0), (2_048, 800), (4_096, 1_300)];

/// Different texts among all, in thousandths, of an account with many.
const NOVELTY: [(i64, Millinats); 4] = [(150, -1_500), (300, -700), (500, 200), (700, 700)];

impl Detector for Harvest {
    const NAME: &'static str = "harvest";
    const CLAIM: &'static str =
        "It asks for long answers to ever new texts, with no application around them.";
    const FAMILY: Family = Family::Content;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs = Inputs { needs: &[&["prompt"]], uses: &[&["max_tokens"], &["preamble"]] };
    type State = ();
    type Settings = Settings;

    fn judge((): &(), account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        let said = reading(account)?;
        let behaviour = &account.profile.behaviour;
        notes.milli("new_text_share", behaviour.texts.novelty_permille().unwrap_or(0).into());
        notes.note("limit_tokens", behaviour.limit.value());
        notes.note("has_system_prompt", behaviour.preamble.value() != 0);
        Some(said)
    }
}

/// What the stream of texts says; none while there are too few. Without a cap.
pub fn reading(account: &AccountView<'_>) -> Option<Millinats> {
    let behaviour = &account.profile.behaviour;
    let novelty = behaviour.texts.novelty_permille()?;
    let seen = behaviour.texts.seen();
    if seen < 8 {
        return None;
    }
    let limit = if behaviour.limit.value() == 0 { 0 } else { line(&LIMIT, behaviour.limit.value().into()) };
    let by_novelty = line(&NOVELTY, novelty.into());
    // Few prompts are new anyway.
    let by_novelty = if by_novelty > 0 { by_novelty * (seen.min(128) as i32) / 128 } else { by_novelty };
    let preamble = if behaviour.preamble.value() == 0 { 300 } else { -700 };
    Some(limit + by_novelty + preamble)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, hash, prompt};
    use expect_test::expect;

    #[test]
    fn ever_new_texts_with_long_answers_speak_against_an_account() {
        check::<Harvest>(
            Traffic::every_ms(1_000, 300, |request, index| {
                request.prompt = Some(prompt("shape", &format!("text {index}"), 0));
                request.max_tokens = Some(8_192);
            }),
            expect!["2.3 nats; new_text_share 0.973; limit_tokens 8192; has_system_prompt false"],
        );
    }

    #[test]
    fn an_application_that_classifies_speaks_for_itself() {
        check::<Harvest>(
            Traffic::every_ms(1_000, 300, |request, index| {
                request.prompt = Some(prompt("shape", &format!("text {}", index % 20), 0));
                request.preamble = Some(hash("classify"));
                request.max_tokens = Some(16);
            }),
            expect!["-4.0 nats; new_text_share 0.066; limit_tokens 16; has_system_prompt true"],
        );
    }

    #[test]
    fn few_new_texts_say_little() {
        check::<Harvest>(
            Traffic::every_ms(1_000, 12, |request, index| {
                request.prompt = Some(prompt("shape", &format!("text {index}"), 0));
            }),
            expect!["0.4 nats; new_text_share 1.000; limit_tokens 0; has_system_prompt false"],
        );
    }

    #[test]
    fn without_prompts_it_is_missing() {
        check::<Harvest>(Traffic::every_ms(1_000, 300, |_, _| ()), expect!["missing"]);
    }
}
