//! `harvest`: ever new texts, long answers, no application around them.
//!
//! *Evidence*: different texts among all, the limit of an answer that the account mostly asks for, whether it
//! has a system prompt of its own. What is asked again and again, briefly answered, or asked under a system
//! prompt is an application, and speaks for the account. So does what many people typed: scores of short
//! texts of all lengths, under several limits, are passed on by a reseller. *Missing* without prompts.
//! *Cost*: a sketch of 64 bytes. *Evasion*: repeat texts, ask for short answers, send a system prompt, or two
//! short questions of people beside each task, under other limits. *Price*: repeated texts teach nothing;
//! short answers carry no reasoning; three requests for one. *Source*: PRADA (arXiv 1805.02628) and SEAT for
//! looking at the stream of queries and not at one.

use crate::behaviour::Behaviour;
use crate::detector::{AccountView, Detector, Family, Inputs, Notes};
use crate::nats::{Millinats, left_of, line};

detector_settings! {}

/// See [`crate::detectors::harvest`].
pub struct Harvest;

/// Limit of an answer in tokens, and what it says.
const LIMIT: [(i64, Millinats); 5] = [(256, -1_800), (512, -1_000), (1_024, 0), (2_048, 800), (4_096, 1_300)];

/// Different texts among all, in thousandths, of an account with many.
const NOVELTY: [(i64, Millinats); 4] = [(150, -1_500), (300, -700), (500, 200), (700, 700)];

/// What is said of who passes on what many people type, as far as all of what follows holds.
const PASSED_ON: i64 = -3_000;

/// Requests from which it shows, the logarithm of their mean length in bytes (people type some fifty), the
/// spread of that logarithm, and the share of the limit that is used most: each in thousandths, and how much
/// of it is left.
const MANY: [(i64, Millinats); 2] = [(80, 0), (160, 1_000)];
const TYPED: [(i64, Millinats); 2] = [(4_300, 1_000), (4_700, 0)];
const UNEVEN: [(i64, Millinats); 2] = [(600, 0), (750, 1_000)];
const MAIN_LIMIT: [(i64, Millinats); 2] = [(750, 1_000), (900, 0)];

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
        notes.milli("new_text_share", account.novelty_permille.unwrap_or(0).into());
        notes.note("limit_tokens", behaviour.limit.value());
        notes.note("has_system_prompt", behaviour.preamble.value() != 0);
        if passed_on(behaviour) < 0 {
            notes.note("passes_on_what_many_type", true);
        }
        Some(said)
    }
}

/// What the stream of texts says; none while there are too few. Without a cap.
pub fn reading(account: &AccountView<'_>) -> Option<Millinats> {
    let behaviour = &account.profile.behaviour;
    let novelty = account.novelty_permille?;
    let seen = behaviour.texts.seen();
    if seen < 8 {
        return None;
    }
    let limit = if behaviour.limit.value() == 0 { 0 } else { line(&LIMIT, behaviour.limit.value().into()) };
    let by_novelty = line(&NOVELTY, novelty.into());
    // Few prompts are new anyway.
    let by_novelty = if by_novelty > 0 { by_novelty * (seen.min(128) as i32) / 128 } else { by_novelty };
    let preamble = if behaviour.preamble.value() == 0 { 300 } else { -700 };
    Some(limit + by_novelty + preamble + passed_on(behaviour))
}

/// What is said from which an owner is told of a harvest: long answers, or a hundred new texts without a
/// limit; and more under a system prompt, as a coding agent has.
const TOLD_FROM: Millinats = 700;
const TOLD_FROM_AGENTS: Millinats = 1_000;

/// Texts before which nobody is told of a harvest.
const TOLD_TEXTS: u32 = 16;

/// Whether an account's owner is told that it harvests.
pub fn is_told(account: &AccountView<'_>) -> bool {
    let behaviour = &account.profile.behaviour;
    let from = if behaviour.preamble.value() == 0 { TOLD_FROM } else { TOLD_FROM_AGENTS };
    behaviour.texts.seen() >= TOLD_TEXTS && reading(account).is_some_and(|said| said >= from)
}

/// Whether it passes on what many people type, beyond doubt.
pub fn passes_on(account: &AccountView<'_>) -> bool {
    i64::from(passed_on(&account.profile.behaviour)) * 2 <= PASSED_ON
}

/// What it says that many people typed the texts. Most accounts use one limit: of those nothing more is
/// worked out.
fn passed_on(behaviour: &Behaviour) -> Millinats {
    let by_limit = line(&MAIN_LIMIT, behaviour.limit.share_permille().into());
    if by_limit == 0 {
        return 0;
    }
    let left = [
        by_limit,
        line(&MANY, behaviour.requests.into()),
        line(&TYPED, behaviour.lengths.mean().into()),
        line(&UNEVEN, behaviour.lengths.spread().into()),
    ];
    left_of(PASSED_ON, left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, hash, prompt};
    use expect_test::expect;
    use weir_schemas::PromptFeatures;

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

    /// A text of so many bytes.
    fn typed(index: usize, bytes: i32) -> PromptFeatures<'static> {
        PromptFeatures { bytes, ..prompt("shape", &format!("text {index}"), 0) }
    }

    #[test]
    fn who_passes_on_what_many_people_type_under_several_limits_is_an_application() {
        let reseller = |limits: &'static [i64], bytes: fn(usize) -> i32| {
            Traffic::every_ms(60_000, 600, move |request, index| {
                request.prompt = Some(typed(index, bytes(index)));
                request.max_tokens = Some(limits[index % limits.len()]);
            })
        };
        let people: fn(usize) -> i32 = |index| [12, 30, 55, 90, 260][index % 5];
        check::<Harvest>(
            reseller(&[4_096, 512, 4_096, 1_024], people),
            expect![
                "-0.7 nats; new_text_share 0.905; limit_tokens 4096; has_system_prompt false; passes_on_what_many_type true"
            ],
        );
        // One limit is a program's, and so are long texts and even ones.
        check::<Harvest>(
            reseller(&[4_096], people),
            expect!["2.3 nats; new_text_share 0.905; limit_tokens 4096; has_system_prompt false"],
        );
        check::<Harvest>(
            reseller(&[4_096, 512, 4_096, 1_024], |index| 6 * [12, 30, 55, 90, 260][index % 5]),
            expect!["2.3 nats; new_text_share 0.905; limit_tokens 4096; has_system_prompt false"],
        );
        check::<Harvest>(
            reseller(&[4_096, 512, 4_096, 1_024], |index| 60 + index as i32 % 20),
            expect!["2.3 nats; new_text_share 0.905; limit_tokens 4096; has_system_prompt false"],
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
