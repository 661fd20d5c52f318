//! The pauses between an account's requests: its latest request starts, in the order in which the requests
//! were made.
//!
//! Logs are written when requests end, so events arrive in another order than the one in which they were
//! made, and a request that takes long is overtaken by later ones. What is kept here depends on which
//! starts were seen, not on the order in which they came. A pause counts as settled when so many later
//! starts are known that none can come in between any more; evenness is that of settled pauses. So the same
//! traffic gives the same evenness from any source, as long as no request is overtaken by more than
//! [`OVERTAKEN_MAX`] others. Responses are no requests and are not noted.

use crate::limits::{OVERTAKEN_MAX, STARTS_MAX};
use crate::persist::{Damage, Persist};

/// Settled pauses below which nothing is said of their evenness.
const EVENNESS_FROM: usize = 8;

/// Pauses between the latest request starts: 32 bytes, and at most 128 behind it, 16 for up to five requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses {
    /// The latest start; 0 before the first, because every event's time is after 1970.
    latest_ms: i64,
    /// Milliseconds from each remembered start to the next, the earliest first.
    gaps_ms: Vec<u32>,
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
        if self.gaps_ms.len() >= STARTS_MAX {
            self.gaps_ms.remove(0);
        }
    }

    /// Splits the pause that the request fell into, or puts a new one before all others. When there is no room
    /// for it there, every pause that it would change is forgotten already.
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
        if let Ok(gap_ms) = u32::try_from(next_ms - start_ms) {
            self.gaps_ms.insert(0, gap_ms);
        }
    }

    /// Mean of the remembered pauses in milliseconds, 0 where there is none.
    pub fn mean_ms(&self) -> f64 {
        mean_ms(&self.gaps_ms)
    }

    /// How even the settled pauses are: 1 for a metronome, 0 for a person, whose pauses spread as widely as
    /// they are long or wider. Unknown before eight of them.
    pub fn evenness(&self) -> Option<f64> {
        let settled = self.gaps_ms.len().saturating_sub(OVERTAKEN_MAX);
        let gaps_ms = self.gaps_ms.get(..settled).filter(|gaps_ms| gaps_ms.len() >= EVENNESS_FROM)?;
        let mean_ms = mean_ms(gaps_ms);
        if mean_ms <= 0.0 {
            return Some(1.0);
        }
        let away = gaps_ms.iter().map(|gap_ms| f64::from(*gap_ms) - mean_ms);
        let variance = away.map(|away_ms| away_ms * away_ms).sum::<f64>() / gaps_ms.len() as f64;
        let spread = variance.sqrt() / mean_ms;
        Some((1.0 - spread).max(0.0))
    }
}

fn mean_ms(gaps_ms: &[u32]) -> f64 {
    if gaps_ms.is_empty() {
        return 0.0;
    }
    let sum_ms: u64 = gaps_ms.iter().map(|gap_ms| u64::from(*gap_ms)).sum();
    sum_ms as f64 / gaps_ms.len() as f64
}

impl Persist for Pauses {
    fn save(&self, out: &mut Vec<u8>) {
        self.latest_ms.save(out);
        self.gaps_ms.save(out);
    }

    fn load(input: &mut &[u8]) -> Result<Self, Damage> {
        let pauses = Self { latest_ms: Persist::load(input)?, gaps_ms: Persist::load(input)? };
        if pauses.gaps_ms.len() >= STARTS_MAX {
            return Err(Damage("more pauses than are remembered"));
        }
        Ok(pauses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pauses(starts_ms: impl IntoIterator<Item = i64>) -> Pauses {
        let mut pauses = Pauses::default();
        starts_ms.into_iter().for_each(|start_ms| pauses.note(start_ms));
        pauses
    }

    fn evenness(gaps_ms: impl IntoIterator<Item = i64>) -> f64 {
        let starts_ms = gaps_ms.into_iter().scan(1, |at_ms, gap_ms| {
            *at_ms += gap_ms;
            Some(*at_ms)
        });
        pauses(starts_ms).evenness().unwrap()
    }

    #[test]
    fn a_metronome_is_even_and_a_person_is_not() {
        assert!(evenness((0..50).map(|index| 2_000 + index % 3)) > 0.95);
        let person_s = [3, 60, 8, 900, 5, 12, 4, 300, 7, 2, 1_500, 9, 30];
        assert!(evenness(person_s.into_iter().cycle().take(40).map(|s| s * 1_000)) < 0.05);
    }

    #[test]
    fn evenness_is_unknown_before_eight_settled_pauses() {
        let requests = |count: i64| pauses((1..=count).map(|index| index * 1_000)).evenness();
        assert_eq!(requests((EVENNESS_FROM + OVERTAKEN_MAX) as i64), None);
        assert_eq!(requests((EVENNESS_FROM + OVERTAKEN_MAX) as i64 + 1), Some(1.0));
    }

    #[test]
    fn requests_at_once_are_even() {
        assert_eq!(pauses([5; STARTS_MAX]).evenness(), Some(1.0));
        assert_eq!(pauses([5; STARTS_MAX]).mean_ms(), 0.0);
    }

    #[test]
    fn evenness_is_the_same_whoever_overtakes_whom() {
        // Each of a group of requests ends before all that began before it in its group.
        let overtaken = OVERTAKEN_MAX as i64 + 1;
        let starts_ms: Vec<i64> = (1..=120).map(|index| index * 1_000 + index * index % 70).collect();
        let in_order = starts_ms.clone();
        let by_end: Vec<i64> =
            starts_ms.chunks(overtaken as usize).flat_map(|group| group.iter().rev().copied()).collect();
        let highest = |arrivals: &[i64]| {
            let mut pauses = Pauses::default();
            let evenness = arrivals.iter().filter_map(|start_ms| {
                pauses.note(*start_ms);
                pauses.evenness()
            });
            evenness.fold(0.0, f64::max)
        };
        assert!(highest(&in_order) > 0.95);
        assert_eq!(highest(&by_end), highest(&in_order));
    }

    #[test]
    fn a_late_request_splits_the_pause_it_fell_into() {
        assert_eq!(pauses([1_000, 4_000, 9_000, 6_000]).gaps_ms, [3_000, 2_000, 3_000]);
        assert_eq!(pauses([4_000, 9_000, 1_000]).gaps_ms, [3_000, 5_000]);
    }

    #[test]
    fn a_request_earlier_than_all_that_are_remembered_changes_nothing() {
        let mut full = pauses((1..=STARTS_MAX as i64).map(|index| index * 1_000));
        let before = full.clone();
        full.note(500);
        assert_eq!(full, before);
        let seven_weeks_before = pauses([i64::from(u32::MAX) * 2, 1]);
        assert_eq!(seven_weeks_before, pauses([i64::from(u32::MAX) * 2]));
    }

    #[test]
    fn after_seven_weeks_pauses_begin_anew() {
        let mut pauses = pauses((1..=20).map(|index| index * 1_000));
        pauses.note(i64::from(u32::MAX) + 21_000);
        assert_eq!(pauses.mean_ms(), 0.0);
        pauses.note(i64::from(u32::MAX) + 22_500);
        assert_eq!(pauses.mean_ms(), 1_500.0);
    }

    proptest! {
        #[test]
        fn any_order_of_arrival_gives_the_pauses_of_the_latest_starts(
            (starts_ms, arrivals) in prop::collection::vec(0_i64..2_000_000, 1..80)
                .prop_flat_map(|starts_ms| (Just(starts_ms.clone()), Just(starts_ms).prop_shuffle()))
        ) {
            let mut sorted = starts_ms;
            sorted.sort_unstable();
            let latest = &sorted[sorted.len().saturating_sub(STARTS_MAX)..];
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
            prop_assert!(bytes.len() <= 10 + 1 + 5 * (STARTS_MAX - 1));
            prop_assert_eq!(Pauses::load(&mut &bytes[..]).unwrap(), saved);
        }
    }

    #[test]
    fn a_forged_list_is_refused() {
        let forged = Pauses { latest_ms: 5, gaps_ms: vec![1; STARTS_MAX] };
        let mut bytes = Vec::new();
        forged.save(&mut bytes);
        assert_eq!(Pauses::load(&mut &bytes[..]), Err(Damage("more pauses than are remembered")));
    }
}
