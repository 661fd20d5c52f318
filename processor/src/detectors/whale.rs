//! `whale`: one account takes as much as a campaign.
//!
//! *Evidence*: different texts a day, times long answers, from a stream that never sleeps. Volume alone is
//! what every large customer has: what is repeated does not count, what is shortly answered counts half, and
//! what sleeps counts nothing. *Missing* below fifteen hours. *Cost*: counters that every account has.
//! *Evasion*: more accounts. *Price*: then `kin` sees them. *Source*: disclosures of 2026-02 (16 M exchanges
//! over 24,000 accounts: the alternative is few accounts with many exchanges).

use crate::detector::{AccountView, Detector, Family, Inputs, Notes};
use crate::nats::{Millinats, line, ln};

detector_settings! {
    /// Different texts a day of an ordinary large customer.
    ordinary_per_day: u32 = 1 ..= 10000000,
}

/// See [`crate::detectors::whale`].
pub struct Whale;

/// Hours of silence in a day: a stream that sleeps is people.
const AWAKE: [(i64, i32); 2] = [(1, 1_000), (5, 0)];

/// Limit of an answer in tokens, and how much of the evidence is left.
const OUTPUT: [(i64, i32); 2] = [(512, 300), (2_048, 1_000)];

impl Detector for Whale {
    const NAME: &'static str = "whale";
    const CLAIM: &'static str = "It takes home as much as a campaign, day and night.";
    const FAMILY: Family = Family::Volume;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs = Inputs { needs: &[&["prompt"]], uses: &[&["max_tokens"]] };
    type State = ();
    type Settings = Settings;

    fn judge(
        (): &(),
        account: &AccountView<'_>,
        settings: &Settings,
        notes: &mut Notes,
    ) -> Option<Millinats> {
        let behaviour = &account.profile.behaviour;
        let novelty = i64::from(account.novelty_permille?);
        if account.hours < 16 {
            return None;
        }
        let new_per_day = i64::from(account.day) * novelty / 1_000 * 24 / i64::from(account.hours);
        let above = ln(new_per_day.max(0) as u64) - ln(settings.ordinary_per_day.into());
        if above <= 0 {
            return Some(0);
        }
        let limit = behaviour.limit.value();
        let output = if limit == 0 { 800 } else { line(&OUTPUT, limit.into()) };
        let awake = line(&AWAKE, account.silence_h.into());
        notes.note("new_texts_per_day", new_per_day);
        notes.note("limit_tokens", limit);
        Some((i64::from(above) * 3 / 2 * i64::from(output) / 1_000 * i64::from(awake) / 1_000) as Millinats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, prompt};
    use expect_test::expect;

    fn traffic(texts: usize, limit: i64) -> Traffic {
        Traffic::every_ms(10_000, 8_640, move |request, index| {
            request.prompt = Some(prompt("shape", &format!("text {}", index % texts), 0));
            request.max_tokens = Some(limit);
        })
    }

    #[test]
    fn thousands_of_new_texts_with_long_answers_speak_against_an_account() {
        check::<Whale>(traffic(8_000, 8_192), expect!["3.5 nats; new_texts_per_day 6291; limit_tokens 8192"]);
    }

    #[test]
    fn short_answers_count_less_and_repeated_texts_not_at_all() {
        check::<Whale>(traffic(8_000, 64), expect!["1.1 nats; new_texts_per_day 6291; limit_tokens 64"]);
        check::<Whale>(traffic(400, 8_192), expect!["0.0 nats"]);
    }

    #[test]
    fn before_most_of_a_day_has_passed_it_is_missing() {
        let some = Traffic::every_ms(1_000, 9_000, |request, index| {
            request.prompt = Some(prompt("shape", &format!("text {index}"), 0));
        });
        check::<Whale>(some, expect!["missing"]);
    }
}
