//! `velocity`: more than a person does, more than the account used to do, and evenly spaced.
//!
//! *Evidence*: requests in a minute, an hour and a day against what the policy calls a busy customer
//! and against the account's own active hours; evenness of the pauses, which counts only together with
//! volume, because an honest nightly job is even as well. *Missing* below a few requests. *Cost*:
//! sums of rings that the profile keeps anyway, one square root. *Evasion*: slow down, spread over
//! accounts (then `hydra`), ramp up over days so that the own baseline follows. *Source*: Glasswally's
//! worker of the same name, without hours of the day and without its fixed 60 requests an hour.

use crate::detector::{AccountView, Detector, Notes, Opinion, Seen};
use crate::measure::confidence;

detector_settings! {
    /// Requests in a day below which there is nothing to judge.
    requests_min: u32 = 1 ..= 10000,
    /// Requests that an ordinary busy customer makes in a minute.
    busy_per_minute: u32 = 1 ..= 1000000,
    /// In an hour.
    busy_per_hour: u32 = 1 ..= 10000000,
    /// In a day.
    busy_per_day: u32 = 1 ..= 100000000,
    /// How much of the score is left when the volume is the account's habit.
    habit_factor: f64 = 0 ..= 1,
}

/// See [`crate::detectors::velocity`].
pub struct Velocity;

/// Nothing of its own: the windows and pauses of the profile are enough.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct State;

impl crate::persist::Persist for State {
    fn save(&self, _: &mut Vec<u8>) {}

    fn load(_: &mut &[u8]) -> Result<Self, crate::persist::Damage> {
        Ok(Self)
    }
}

/// How far a count exceeds what is busy: 0 up to it, 1/2 at twice as much.
fn excess(count: u32, busy: u32) -> f64 {
    if count <= busy { 0.0 } else { 1.0 - f64::from(busy) / f64::from(count) }
}

/// Whether the current hour is like the active hours of the day before it.
fn is_habit(account: &AccountView<'_>) -> bool {
    let day = &account.profile.windows.day;
    let current = day.current(account.now_ms);
    let earlier_hours = day.busy_buckets().saturating_sub(1);
    let earlier = account.day.saturating_sub(current);
    // The hour's ring reaches across the hour's edge, so it is compared with whole earlier hours.
    earlier_hours >= 6 && u64::from(account.hour) * u64::from(earlier_hours) <= 2 * u64::from(earlier)
}

impl Detector for Velocity {
    const NAME: &'static str = "velocity";
    const CLAIM: &'static str =
        "Sustained, evenly spaced volume that neither a person nor this account's habit explains.";
    const STATE_VERSION: u8 = 1;
    type State = State;
    type Settings = Settings;

    fn touch(_: &State) -> u64 {
        0
    }

    fn observe(_: &mut State, _: Seen<'_>, _: &AccountView<'_>, _: &Settings) {}

    fn judge(
        _: &State,
        account: &AccountView<'_>,
        settings: &Settings,
        notes: &mut Notes,
    ) -> Option<Opinion> {
        if account.day < settings.requests_min {
            return None;
        }
        // A burst of a minute may be a page with many calls, so it never counts in full.
        let minute = 0.7 * excess(account.minute, settings.busy_per_minute);
        let hour = excess(account.hour, settings.busy_per_hour);
        let day = excess(account.day, settings.busy_per_day);
        let volume = minute.max(hour).max(day);
        // Without volume it makes no difference.
        let evenness = if volume > 0.0 { account.profile.pauses.evenness() } else { None };
        let habit = is_habit(account);
        let mut score = volume * (0.6 + 0.4 * evenness.unwrap_or(0.0));
        if habit {
            score *= settings.habit_factor;
        }
        if volume > 0.0 {
            notes.note("requests_per_minute", account.minute);
            notes.note("requests_per_hour", account.hour);
            notes.note("requests_per_day", account.day);
            if let Some(evenness) = evenness {
                notes.share("pause_evenness_share", evenness);
                notes.note("pause_mean_ms", account.profile.pauses.mean_ms() as u64);
            }
            notes.note("is_habit", habit);
        }
        Some(Opinion { score, confidence: confidence(account.day, 20) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check};
    use expect_test::expect;

    #[test]
    fn two_requests_a_second_by_clockwork_score() {
        check::<Velocity>(
            Traffic::every_ms(500, 3_000, |_, _| ()),
            expect![
                "score 0.867 confidence 0.993; requests_per_minute 120; requests_per_hour 3000; requests_per_day 3000; pause_evenness_share 1.000; pause_mean_ms 500; is_habit false"
            ],
        );
    }

    #[test]
    fn a_busy_person_does_not() {
        check::<Velocity>(
            Traffic::uneven_ms(&[3_000, 60_000, 8_000, 240_000, 5_000, 12_000, 4_000], 300, |_, _| ()),
            expect!["score 0.000 confidence 0.938"],
        );
    }

    #[test]
    fn a_batch_customer_who_always_works_like_this_scores_half() {
        check::<Velocity>(
            Traffic::every_ms(4_000, 20_000, |_, _| ()),
            expect![
                "score 0.400 confidence 0.999; requests_per_minute 15; requests_per_hour 900; requests_per_day 20000; pause_evenness_share 1.000; pause_mean_ms 4000; is_habit true"
            ],
        );
    }

    #[test]
    fn four_requests_are_nothing_to_judge_by() {
        check::<Velocity>(Traffic::every_ms(10, 4, |_, _| ()), expect!["missing"]);
    }
}
