//! How many requests an account made lately: a ring of buckets, in event time.
//!
//! A ring reaches back a fixed time from the account's clock, which is the latest event time of that
//! account. An event that comes late or out of order is counted in the bucket of its own time as
//! long as the ring still reaches there, so any order of the same events within reach gives the same
//! sums.

use crate::persist::{Damage, Persist};

/// `BUCKETS` counters of `WIDTH_MS` milliseconds each, ending at a clock that the owner keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring<const BUCKETS: usize, const WIDTH_MS: i64> {
    buckets: [u32; BUCKETS],
}

impl<const BUCKETS: usize, const WIDTH_MS: i64> Default for Ring<BUCKETS, WIDTH_MS> {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS] }
    }
}

impl<const BUCKETS: usize, const WIDTH_MS: i64> Ring<BUCKETS, WIDTH_MS> {
    fn tick(time_ms: i64) -> i64 {
        time_ms.div_euclid(WIDTH_MS)
    }

    fn index(tick: i64) -> usize {
        tick.rem_euclid(BUCKETS as i64) as usize
    }

    /// Empties the buckets that the clock leaves behind when it moves on.
    #[inline]
    pub fn advance(&mut self, from_ms: i64, to_ms: i64) {
        let (from, to) = (Self::tick(from_ms), Self::tick(to_ms));
        if to <= from {
            return;
        }
        if to - from >= BUCKETS as i64 {
            self.buckets = [0; BUCKETS];
            return;
        }
        for tick in from + 1..=to {
            self.buckets[Self::index(tick)] = 0;
        }
    }

    /// Counts `count` at `time_ms`; false if the ring does not reach back to it.
    #[inline]
    pub fn add(&mut self, clock_ms: i64, time_ms: i64, count: u32) -> bool {
        let age = Self::tick(clock_ms) - Self::tick(time_ms);
        if !(0..BUCKETS as i64).contains(&age) {
            return false;
        }
        let bucket = &mut self.buckets[Self::index(Self::tick(time_ms))];
        *bucket = bucket.saturating_add(count);
        true
    }

    /// Everything that the ring reaches.
    #[inline]
    pub fn sum(&self) -> u32 {
        self.buckets.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The longest run of empty buckets among the last `buckets` up to the clock's.
    #[inline]
    pub fn longest_silence(&self, clock_ms: i64, buckets: u32) -> u32 {
        let (mut longest, mut run) = (0, 0);
        for back in 0..i64::from(buckets).min(BUCKETS as i64) {
            let count = self.buckets[Self::index(Self::tick(clock_ms) - back)];
            run = if count == 0 { run + 1 } else { 0 };
            longest = longest.max(run);
        }
        longest
    }

    /// See [`crate::store::Entry::touch`].
    pub fn touch(&self) -> u64 {
        u64::from(self.buckets[0] ^ self.buckets[BUCKETS - 1])
    }

    /// Number of buckets in which anything was counted.
    #[inline]
    pub fn busy_buckets(&self) -> u32 {
        self.buckets.iter().map(|count| u32::from(*count > 0)).sum()
    }
}

impl<const BUCKETS: usize, const WIDTH_MS: i64> Persist for Ring<BUCKETS, WIDTH_MS> {
    fn save(&self, out: &mut Vec<u8>) {
        self.buckets.save(out);
    }

    fn load(input: &mut &[u8]) -> Result<Self, Damage> {
        Ok(Self { buckets: Persist::load(input)? })
    }
}

/// A day by the hour: 96 bytes.
pub type Day = Ring<24, 3_600_000>;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the windows should hold: every event kept, counted by its bucket's distance.
    fn naive(events: &[i64], buckets: i64, width_ms: i64) -> u32 {
        let clock = events.iter().max().unwrap().div_euclid(width_ms);
        events.iter().filter(|time| clock - time.div_euclid(width_ms) < buckets).count() as u32
    }

    fn fold<const BUCKETS: usize, const WIDTH_MS: i64>(events: &[i64]) -> (Ring<BUCKETS, WIDTH_MS>, bool) {
        let (mut ring, mut clock, mut all_counted) = (Ring::default(), events[0], true);
        for time in events {
            ring.advance(clock, clock.max(*time));
            clock = clock.max(*time);
            all_counted &= ring.add(clock, *time, 1);
        }
        (ring, all_counted)
    }

    proptest! {
        #[test]
        fn sums_equal_a_model_that_keeps_every_event(
            events in prop::collection::vec(1_700_000_000_000_i64..1_700_200_000_000, 1..200)
        ) {
            let mut events = events;
            events.sort_unstable();
            prop_assert_eq!(fold::<6, 10_000>(&events).0.sum(), naive(&events, 6, 10_000));
            prop_assert_eq!(fold::<24, 3_600_000>(&events).0.sum(), naive(&events, 24, 3_600_000));
        }

        #[test]
        fn any_order_of_events_gives_the_same_windows(
            events in prop::collection::vec(1_700_000_000_000_i64..1_700_200_000_000, 1..100)
                .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))
        ) {
            let (one, other) = events;
            prop_assert_eq!(fold::<24, 3_600_000>(&one).0, fold::<24, 3_600_000>(&other).0);
        }

        #[test]
        fn no_event_within_reach_is_called_late(
            events in prop::collection::vec(0_i64..40_000, 1..100)
        ) {
            prop_assert!(fold::<24, 3_600_000>(&events).1);
        }
    }

    #[test]
    fn an_event_that_no_window_reaches_is_told_apart() {
        let (day, all_counted): (Day, bool) = fold(&[90_000_000, 90_000_000 - 86_400_000]);
        assert!(!all_counted);
        assert_eq!(day.sum(), 1);
    }

    #[test]
    fn the_longest_silence_is_looked_for_within_reach() {
        let hours = [0, 1, 2, 9, 10, 12].map(|hour| 1_767_700_800_000 + hour * 3_600_000);
        let (day, _): (Day, bool) = fold(&hours);
        assert_eq!([24, 12, 4, 1].map(|reach| day.longest_silence(hours[5], reach)), [11, 6, 1, 0]);
    }
}
