//! `rhythm`: the account keeps time as no person does, or as a person does.
//!
//! *Evidence*: the longest silence of the last day (people sleep), the spread of the pauses (people come in
//! sittings: short pauses within, long ones between), requests that each stand alone (a person asks and asks
//! again). It speaks for an account as often as against it. Machines are honest as a rule: this alone never
//! makes a verdict. *Missing* below twelve requests. *Cost*: counters that every account has. *Evasion*:
//! sleep eight hours a day and work in sittings. *Price*: a third of the throughput of each account, and
//! bursts that rate limits see. *Source*: Chu et al. on human and bot timing (2012); BotSniffer.

use crate::detector::{AccountView, Detector, Family, Inputs, Notes};
use crate::nats::{Millinats, line};

detector_settings! {
    /// The most that it may speak for an account: sleep costs little to fake.
    person_nats_max: f64 = 0 ..= 20,
}

/// See [`crate::detectors::rhythm`].
pub struct Rhythm;

/// Logarithm of the pause, in milliseconds, up to which a stream is steady: forty seconds.
const STEADY_PAUSE: Millinats = 10_600;

/// From here down an account counts as a person.
const PERSON: Millinats = -1_500;

/// From here up a machine is at work beyond doubt.
const MACHINE: Millinats = 1_000;

/// The most that a schedule says.
const SCHEDULE: Millinats = 1_000;

/// Hours of silence in a day, and what they say of an account that was there all day.
const SILENCE: [(i64, Millinats); 6] =
    [(2, 3_000), (3, 2_400), (4, 1_400), (5, 400), (6, -1_000), (8, -3_000)];

/// Spread of the pauses' logarithm: as wide as sittings make it.
const SITTINGS: [(i64, Millinats); 4] = [(1_400, 0), (1_600, -1_000), (1_800, -2_000), (2_300, -3_000)];

/// The most that it says for an account: a careful campaign sleeps and comes in sittings too.
const FOR_MOST: Millinats = -2_500;

/// What the rhythm says; none while there are too few requests. Without a cap.
pub fn reading(account: &AccountView<'_>) -> Option<Millinats> {
    if !account.has_pace() {
        return None;
    }
    let day = day(account);
    Some(if is_scheduled(account) { day.min(SCHEDULE) } else { day + sittings(account) })
}

/// Whether its rhythm is a person's.
pub fn is_person(account: &AccountView<'_>) -> bool {
    reading(account).is_some_and(|said| said <= PERSON)
}

/// Whether its rhythm is a person's, as far as is known.
pub fn may_be_person(account: &AccountView<'_>) -> bool {
    reading(account).is_none_or(|said| said <= PERSON)
}

/// Whether its rhythm is a machine's.
pub fn is_machine(account: &AccountView<'_>) -> bool {
    reading(account).is_some_and(|said| said >= MACHINE)
}

/// Whether it comes by the clock: at the hour, or at one and the same long distance. A schedule is honest
/// more often than not, and its owner sleeps.
fn is_scheduled(account: &AccountView<'_>) -> bool {
    let is_clockwork = account.pace.spread < 60 && account.pace.alone_permille >= 900;
    account.profile.behaviour.on_hour.permille() >= 800 || is_clockwork
}

/// What the last day says by its longest silence.
fn day(account: &AccountView<'_>) -> Millinats {
    let silence = i64::from(account.silence_h);
    let hours = account.age_ms / 3_600_000;
    if hours < 15 {
        return if silence >= 6 { -1_500 } else { 0 };
    }
    if account.day < 10 {
        return 0;
    }
    let said = line(&SILENCE, silence);
    // Before a whole day has passed, the night may still come.
    if said > 0 { (i64::from(said) * (hours - 14).min(9) / 9) as Millinats } else { said }
}

/// What the pauses say by their spread.
fn sittings(account: &AccountView<'_>) -> Millinats {
    let (pace, requests) = (account.pace, account.profile.behaviour.requests);
    if pace.alone_permille >= 900 {
        return 3_000;
    }
    let is_one_sitting = account.age_ms < 3 * 3_600_000 && requests < 200 && !account.is_even();
    let sitting = if is_one_sitting { -1_500 } else { 0 };
    let is_steady = pace.spread < 1_000 && pace.count >= 100 && pace.mean < STEADY_PAUSE;
    let steady = if is_steady { 500 } else { 0 };
    sitting + steady + line(&SITTINGS, pace.spread.into())
}

impl Detector for Rhythm {
    const NAME: &'static str = "rhythm";
    const CLAIM: &'static str = "It neither sleeps nor comes in sittings, as people do.";
    const FAMILY: Family = Family::Timing;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs = Inputs { needs: &[], uses: &[] };
    type State = ();
    type Settings = Settings;

    fn judge(
        (): &(),
        account: &AccountView<'_>,
        settings: &Settings,
        notes: &mut Notes,
    ) -> Option<Millinats> {
        let said = reading(account)?.max(-crate::section::milli(settings.person_nats_max));
        notes.note("hours_with_a_request", account.busy_hours);
        notes.note("longest_silence_h", account.silence_h);
        notes.milli("pause_spread_nats", account.pace.spread.into());
        notes.milli("requests_alone_share", account.pace.alone_permille.into());
        Some(said.max(FOR_MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check};
    use expect_test::expect;

    const MINUTE_MS: i64 = 60_000;

    #[test]
    fn day_and_night_without_a_sitting_speaks_against_an_account() {
        let paces: Vec<i64> = (0..40).map(|index| MINUTE_MS * (20 + index * 37 % 90)).collect();
        check::<Rhythm>(
            Traffic::uneven_ms(&paces, 24, |_, _| ()),
            expect![
                "6.0 nats; hours_with_a_request 22; longest_silence_h 1; pause_spread_nats 0.495; requests_alone_share 1.000"
            ],
        );
    }

    #[test]
    fn a_stream_that_never_sleeps_speaks_against_an_account_and_less_before_the_day_is_over() {
        let paces: Vec<i64> = (0..30).map(|index| 1_000 * (3 + index * index % 290)).collect();
        check::<Rhythm>(
            Traffic::uneven_ms(&paces, 900, |_, _| ()),
            expect![
                "3.0 nats; hours_with_a_request 24; longest_silence_h 0; pause_spread_nats 1.253; requests_alone_share 0.000"
            ],
        );
        check::<Rhythm>(
            Traffic::uneven_ms(&paces, 300, |_, _| ()),
            expect![
                "0.0 nats; hours_with_a_request 12; longest_silence_h 0; pause_spread_nats 1.253; requests_alone_share 0.000"
            ],
        );
    }

    #[test]
    fn sittings_and_a_night_speak_for_an_account() {
        let mut paces = vec![20_000, 45_000, 90_000, 30_000, 15_000, 60_000];
        paces.push(4 * 60 * MINUTE_MS);
        paces.extend([25_000, 70_000, 40_000, 10_000]);
        paces.push(10 * 60 * MINUTE_MS);
        check::<Rhythm>(
            Traffic::uneven_ms(&paces, 50, |_, _| ()),
            expect![
                "-1.5 nats; hours_with_a_request 3; longest_silence_h 9; pause_spread_nats 2.502; requests_alone_share 0.163"
            ],
        );
    }

    #[test]
    fn a_schedule_says_little_whatever_its_minute() {
        check::<Rhythm>(
            Traffic::every_ms(60 * MINUTE_MS, 30, |_, _| ()),
            expect![
                "1.0 nats; hours_with_a_request 24; longest_silence_h 0; pause_spread_nats 0.000; requests_alone_share 1.000"
            ],
        );
    }

    #[test]
    fn homework_is_one_sitting_and_a_short_run_of_a_program_is_none() {
        let paces = [40_000, 150_000, 90_000, 20_000, 200_000];
        check::<Rhythm>(
            Traffic::uneven_ms(&paces, 14, |_, _| ()),
            expect![
                "-1.5 nats; hours_with_a_request 2; longest_silence_h 0; pause_spread_nats 0.791; requests_alone_share 0.000"
            ],
        );
        check::<Rhythm>(
            Traffic::every_ms(500, 400, |_, _| ()),
            expect![
                "0.5 nats; hours_with_a_request 1; longest_silence_h 0; pause_spread_nats 0.000; requests_alone_share 0.000"
            ],
        );
    }

    #[test]
    fn a_few_requests_say_nothing() {
        check::<Rhythm>(Traffic::every_ms(1_000, 11, |_, _| ()), expect!["missing"]);
    }
}
