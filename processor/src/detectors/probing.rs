//! `probing`: one text under many limits.
//!
//! Who asks the same text with ever other limits measures how the model spends its budget. *Evidence*: texts
//! that came under four limits or more, and their share of those looked at: one in eight, by hash, so that
//! they come again. *Missing* until an account has used three limits. *Cost*: a comparison with eight limits;
//! 200 bytes for accounts with three. *Evasion*: one limit for each text. *Price*: no curve of budget against
//! quality, which is what was wanted. *Source*: requirements § 6 (token-budget probing).

use crate::detector::{AccountView, Detector, Family, Inputs, Notes, Seen};
use crate::measure::short;
use crate::nats::{Millinats, line};

detector_settings! {}

/// Limits that are told apart.
const LIMITS: usize = 8;
/// Texts that are looked at.
const TEXTS: usize = 24;

/// See [`crate::detectors::probing`].
pub struct Probing;

/// What is remembered of an account's limits: 40 bytes, and 5 for each text looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Limits in the order of their first use; 0 is free.
    limits: [u32; LIMITS],
    texts: Vec<Looked>,
}
persist_fields!(State { limits, texts });

/// A text, and the places of the limits that it came under.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Looked {
    text: u32,
    limits: u8,
}
persist_fields!(Looked { text, limits });

/// Texts under four limits or more, and what they say.
const PROBED: [(i64, Millinats); 4] = [(0, 0), (1, 2_500), (3, 7_000), (6, 12_000)];

/// Their share of all that are looked at, in thousandths, and how much of it is left: who passes on the
/// requests of many meets a popular text under many limits now and then.
const SHARE: [(i64, Millinats); 2] = [(200, 0), (500, 1_000)];

impl Detector for Probing {
    const NAME: &'static str = "probing";
    const CLAIM: &'static str = "The same texts come under many limits of the answer.";
    const FAMILY: Family = Family::Probing;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs = Inputs { needs: &[&["prompt"], &["max_tokens"]], uses: &[] };
    type State = State;
    type Settings = Settings;

    fn touch(state: &State) -> u64 {
        state.limits[0].into()
    }

    fn observe(state: &mut State, seen: Seen<'_>, _: i64, _: &Settings) {
        let Seen::Request(request) = seen else { return };
        let (Some(limit), Some(prompt)) = (request.max_tokens, &request.prompt) else { return };
        let limit = limit.clamp(1, u32::MAX.into()) as u32;
        let known = state.limits.iter().position(|known| *known == limit || *known == 0);
        let Some(place) = known else { return };
        state.limits[place] = limit;
        if state.limits[2] == 0 {
            return;
        }
        let text = short(&prompt.text_hash.0);
        if text & 7 != 0 {
            return;
        }
        let bit = 1 << place;
        if let Some(looked) = state.texts.iter_mut().find(|looked| looked.text == text) {
            looked.limits |= bit;
        } else if state.texts.len() < TEXTS {
            state.texts.push(Looked { text, limits: bit });
        } else if let Some(least) = state.texts.iter_mut().find(|looked| looked.limits.count_ones() < 2) {
            *least = Looked { text, limits: bit };
        }
    }

    fn judge(state: &State, _: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        if state.limits[2] == 0 {
            return None;
        }
        let probed = state.texts.iter().filter(|looked| looked.limits.count_ones() >= 4).count();
        notes.note("limits", state.limits.iter().filter(|limit| **limit != 0).count());
        notes.note("texts_under_four_limits", probed);
        let share = line(&SHARE, (probed * 1_000 / state.texts.len().max(1)) as i64);
        Some((i64::from(line(&PROBED, probed as i64)) * i64::from(share) / 1_000) as Millinats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, prompt};
    use expect_test::expect;

    fn traffic(limit: impl Fn(usize) -> i64) -> Traffic {
        Traffic::every_ms(10_000, 900, move |request, index| {
            request.prompt = Some(prompt("shape", &format!("text {}", index % 150), 0));
            request.max_tokens = Some(limit(index));
        })
    }

    #[test]
    fn the_same_texts_under_many_limits_speak_against_an_account() {
        check::<Probing>(
            traffic(|index| 16 << (index / 150)),
            expect!["12.0 nats; limits 6; texts_under_four_limits 24"],
        );
    }

    #[test]
    fn limits_that_go_with_the_text_do_not() {
        check::<Probing>(
            traffic(|index| 16 << (index % 6)),
            expect!["0.0 nats; limits 6; texts_under_four_limits 0"],
        );
    }

    #[test]
    fn a_second_try_with_a_higher_limit_does_not() {
        check::<Probing>(
            traffic(|index| 256 * (1 + index as i64 / 300)),
            expect!["0.0 nats; limits 3; texts_under_four_limits 0"],
        );
    }

    #[test]
    fn a_popular_text_that_many_users_of_a_reseller_ask_does_not() {
        let reseller = Traffic::every_ms(10_000, 900, |request, index| {
            let text = if index % 3 == 0 { index % 40 } else { index };
            request.prompt = Some(prompt("shape", &format!("text {text}"), 0));
            request.max_tokens = Some(256 << (index / 7 % 5));
        });
        check::<Probing>(reseller, expect!["0.0 nats; limits 5; texts_under_four_limits 4"]);
    }

    #[test]
    fn with_two_limits_it_is_missing() {
        check::<Probing>(traffic(|index| 256 * (1 + index as i64 % 2)), expect!["missing"]);
    }
}
