//! The pauses between an account's requests, in the order in which the requests were made.
//!
//! Logs are written when requests end, so events arrive in another order than the one in which they were
//! made, and a request that takes long is overtaken by later ones. What is kept here depends on which starts
//! were seen, not on the order in which they came. The latest pauses are remembered one by one; a pause is
//! settled, and only counted from then on, when so many later starts are known that none can come in between
//! any more. So the same traffic gives the same pace from any source, as long as no request is overtaken by
//! more than [`OVERTAKEN_MAX`] others. Responses are no requests and are not noted.

use crate::limits::OVERTAKEN_MAX;
use crate::measure::Share;
use crate::nats::{Millinats, Moments, ln};
use crate::persist::Damage;

/// A pause from which a request stands alone, rather than in a conversation.
const ALONE_MS: u32 = 600_000;

/// Pauses between the request starts: 56 bytes, and at most 64 behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses {
    /// The latest start; 0 before the first, because every event's time is after 1970.
    latest_ms: i64,
    /// Milliseconds from each remembered start to the next, the earliest first.
    gaps_ms: Vec<u32>,
    /// Logarithm of the settled pauses.
    settled: Moments,
    /// Settled pauses after which a request stands alone.
    alone: Share,
}

/// How an account paces its requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// Pauses, settled or not.
    pub count: u32,
    /// Mean of their logarithm in milliseconds, in thousandths of a nat.
    pub mean: Millinats,
    /// Standard deviation of that logarithm: 0 for a metronome, 1.28 for what comes at random, more for who
    /// comes in sittings.
    pub spread: Millinats,
    /// Pauses after which a request stands alone, in thousandths.
    pub alone_permille: i32,
}

impl Pauses {
    /// Notes that a request began at `start_ms`.
    #[inline]
    pub fn note(&mut self, start_ms: i64) {
        if self.latest_ms == 0 {
            self.latest_ms = start_ms;
        } else if start_ms >= self.latest_ms {
            let gap_ms = start_ms - self.latest_ms;
            self.latest_ms = start_ms;
            match u32::try_from(gap_ms) {
                Ok(gap_ms) => self.gaps_ms.push(gap_ms),
                // Seven weeks: a break, after which the pauses begin anew.
                Err(_) => self.gaps_ms.clear(),
            }
        } else {
            self.insert(start_ms);
        }
        if self.gaps_ms.len() > OVERTAKEN_MAX {
            let gap_ms = self.gaps_ms.remove(0);
            self.settled.note(ln(gap_ms.into()));
            self.alone.note(gap_ms >= ALONE_MS);
        }
    }

    /// Splits the pause that the request fell into, or puts a new one before all others. When there is no
    /// room for it there, every pause that it would change is forgotten already.
    fn insert(&mut self, start_ms: i64) {
        let mut next_ms = self.latest_ms;
        for index in (0..self.gaps_ms.len()).rev() {
            let gap_ms = self.gaps_ms[index];
            let previous_ms = next_ms - i64::from(gap_ms);
            if start_ms >= previous_ms {
                let before_ms = (start_ms - previous_ms) as u32;
                self.gaps_ms[index] = gap_ms - before_ms;
                self.gaps_ms.insert(index, before_ms);
                return;
            }
            next_ms = previous_ms;
        }
        if let Ok(gap_ms) = u32::try_from(next_ms - start_ms)
            && self.gaps_ms.len() < OVERTAKEN_MAX
        {
            self.gaps_ms.insert(0, gap_ms);
        }
    }

    /// The pace as of the latest request.
    #[inline]
    pub fn pace(&self) -> Pace {
        let mut all = self.settled;
        let mut alone = 0;
        for gap_ms in &self.gaps_ms {
            all.note(ln((*gap_ms).into()));
            alone += u32::from(*gap_ms >= ALONE_MS);
        }
        let count = self.alone.total() + self.gaps_ms.len() as u32;
        let alone = (self.alone.hits() + alone) * 1_000 / count.max(1);
        Pace { count: all.count(), mean: all.mean(), spread: all.spread(), alone_permille: alone as i32 }
    }
}

persist_fields!(Pauses { latest_ms, gaps_ms, settled, alone } then Pauses::loaded);

impl Pauses {
    fn loaded(self) -> Result<Self, Damage> {
        match self.gaps_ms.len() {
            ..=OVERTAKEN_MAX => Ok(self),
            _ => Err(Damage("more pauses than are remembered")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::Persist as _;
    use proptest::prelude::*;

    fn pauses(starts_ms: impl IntoIterator<Item = i64>) -> Pauses {
        let mut pauses = Pauses::default();
        starts_ms.into_iter().for_each(|start_ms| pauses.note(start_ms));
        pauses
    }

    fn pace(gaps_ms: impl IntoIterator<Item = i64>) -> Pace {
        let starts_ms = gaps_ms.into_iter().scan(1, |at_ms, gap_ms| {
            *at_ms += gap_ms;
            Some(*at_ms)
        });
        pauses(starts_ms).pace()
    }

    #[test]
    fn a_metronome_is_even_and_a_person_is_not() {
        assert_eq!(pace((0..50).map(|index| 2_000 + index % 3)).spread, 0);
        let person_s = [3, 60, 8, 900, 5, 12, 4, 300, 7, 2, 1_500, 9, 30];
        let person = pace(person_s.into_iter().cycle().take(40).map(|s| s * 1_000));
        assert_eq!((person.count, person.spread / 100, person.alone_permille), (39, 21, 153));
    }

    #[test]
    fn requests_at_once_are_even() {
        let at_once = pauses([5; 40]).pace();
        assert_eq!(at_once, Pace { count: 39, ..Pace::default() });
    }

    #[test]
    fn the_pace_is_the_same_whoever_overtakes_whom() {
        // Each of a group of requests ends before all that began before it in its group.
        let overtaken = OVERTAKEN_MAX + 1;
        let starts_ms: Vec<i64> = (1..=120).map(|index| index * 1_000 + index * index % 700).collect();
        let by_end = starts_ms.chunks(overtaken).flat_map(|group| group.iter().rev().copied());
        assert_eq!(pauses(by_end), pauses(starts_ms.iter().copied()));
    }

    #[test]
    fn a_late_request_splits_the_pause_it_fell_into() {
        assert_eq!(pauses([1_000, 4_000, 9_000, 6_000]).gaps_ms, [3_000, 2_000, 3_000]);
        assert_eq!(pauses([4_000, 9_000, 1_000]).gaps_ms, [3_000, 5_000]);
    }

    #[test]
    fn a_request_earlier_than_all_that_are_remembered_changes_nothing() {
        let mut full = pauses((1..=40).map(|index| index * 1_000));
        let before = full.clone();
        full.note(500);
        assert_eq!(full, before);
        let seven_weeks_before = pauses([i64::from(u32::MAX) * 2, 1]);
        assert_eq!(seven_weeks_before, pauses([i64::from(u32::MAX) * 2]));
    }

    #[test]
    fn after_seven_weeks_the_latest_pauses_begin_anew() {
        let mut pauses = pauses((1..=10).map(|index| index * 1_000));
        pauses.note(i64::from(u32::MAX) + 21_000);
        assert_eq!(pauses.pace(), Pace::default());
        pauses.note(i64::from(u32::MAX) + 22_500);
        assert_eq!(pauses.pace(), Pace { count: 1, mean: 7_313, spread: 0, alone_permille: 0 });
    }

    proptest! {
        #[test]
        fn any_order_of_arrival_gives_the_pauses_of_the_latest_starts(
            (starts_ms, arrivals) in prop::collection::vec(0_i64..2_000_000, 1..80)
                .prop_flat_map(|starts_ms| (Just(starts_ms.clone()), Just(starts_ms).prop_shuffle()))
        ) {
            let mut sorted = starts_ms;
            sorted.sort_unstable();
            let latest = &sorted[sorted.len().saturating_sub(OVERTAKEN_MAX + 1)..];
            let expected: Vec<u32> = latest.windows(2).map(|pair| (pair[1] - pair[0]) as u32).collect();
            let found = pauses(arrivals);
            prop_assert_eq!(&found.gaps_ms, &expected);
            prop_assert_eq!(found.latest_ms, sorted[sorted.len() - 1]);
        }

        #[test]
        fn what_is_saved_is_loaded_again(starts_ms in prop::collection::vec(1_u32.., 0..60)) {
            let saved = pauses(starts_ms.into_iter().map(i64::from));
            let mut bytes = Vec::new();
            saved.save(&mut bytes);
            prop_assert!(bytes.len() <= 10 + 1 + 5 * OVERTAKEN_MAX + 30);
            prop_assert_eq!(Pauses::load(&mut &bytes[..]).unwrap(), saved);
        }
    }

    #[test]
    fn a_forged_list_is_refused() {
        let forged = Pauses { latest_ms: 5, gaps_ms: vec![1; OVERTAKEN_MAX + 1], ..Pauses::default() };
        let mut bytes = Vec::new();
        forged.save(&mut bytes);
        assert_eq!(Pauses::load(&mut &bytes[..]), Err(Damage("more pauses than are remembered")));
    }
}
