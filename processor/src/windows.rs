//! How many requests an account made lately: four rings of buckets, in event time.
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

    /// The count in the bucket of the clock.
    pub fn current(&self, clock_ms: i64) -> u32 {
        self.buckets[Self::index(Self::tick(clock_ms))]
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

/// The windows of an account: 188 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows {
    /// A minute, by 10 s.
    pub minute: Ring<6, 10_000>,
    /// Five minutes, by the minute.
    pub five_minutes: Ring<5, 60_000>,
    /// An hour, by 5 min.
    pub hour: Ring<12, 300_000>,
    /// A day, by the hour.
    pub day: Ring<24, 3_600_000>,
}
persist_fields!(Windows { minute, five_minutes, hour, day });

impl Windows {
    /// See [`crate::store::Entry::touch`].
    pub fn touch(&self) -> u64 {
        u64::from(self.minute.buckets[0] ^ self.hour.buckets[0] ^ self.day.buckets[0] ^ self.day.buckets[16])
    }

    /// Moves every window's end from one clock to another.
    #[inline]
    pub fn advance(&mut self, from_ms: i64, to_ms: i64) {
        self.minute.advance(from_ms, to_ms);
        self.five_minutes.advance(from_ms, to_ms);
        self.hour.advance(from_ms, to_ms);
        self.day.advance(from_ms, to_ms);
    }

    /// Counts in every window that reaches the time; false if one of them does not.
    #[inline]
    pub fn add(&mut self, clock_ms: i64, time_ms: i64, count: u32) -> bool {
        let minute = self.minute.add(clock_ms, time_ms, count);
        let five_minutes = self.five_minutes.add(clock_ms, time_ms, count);
        let hour = self.hour.add(clock_ms, time_ms, count);
        let day = self.day.add(clock_ms, time_ms, count);
        minute && five_minutes && hour && day
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the windows should hold: every event kept, counted by its bucket's distance.
    fn naive(events: &[i64], buckets: i64, width_ms: i64) -> u32 {
        let clock = events.iter().max().unwrap().div_euclid(width_ms);
        events.iter().filter(|time| clock - time.div_euclid(width_ms) < buckets).count() as u32
    }

    fn fold(events: &[i64]) -> (Windows, bool) {
        let (mut windows, mut clock, mut all_counted) = (Windows::default(), events[0], true);
        for time in events {
            windows.advance(clock, clock.max(*time));
            clock = clock.max(*time);
            all_counted &= windows.add(clock, *time, 1);
        }
        (windows, all_counted)
    }

    proptest! {
        #[test]
        fn sums_equal_a_model_that_keeps_every_event(
            events in prop::collection::vec(1_700_000_000_000_i64..1_700_200_000_000, 1..200)
        ) {
            let mut events = events;
            events.sort_unstable();
            let (windows, _) = fold(&events);
            prop_assert_eq!(windows.minute.sum(), naive(&events, 6, 10_000));
            prop_assert_eq!(windows.five_minutes.sum(), naive(&events, 5, 60_000));
            prop_assert_eq!(windows.hour.sum(), naive(&events, 12, 300_000));
            prop_assert_eq!(windows.day.sum(), naive(&events, 24, 3_600_000));
        }

        #[test]
        fn any_order_of_events_gives_the_same_windows(
            events in prop::collection::vec(1_700_000_000_000_i64..1_700_200_000_000, 1..100)
                .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))
        ) {
            let (one, other) = events;
            prop_assert_eq!(fold(&one).0, fold(&other).0);
        }

        #[test]
        fn no_event_within_reach_is_called_late(
            events in prop::collection::vec(0_i64..40_000, 1..100)
        ) {
            prop_assert!(fold(&events).1);
        }
    }

    #[test]
    fn an_event_that_no_window_reaches_is_told_apart() {
        let (windows, all_counted) = fold(&[90_000_000, 90_000_000 - 86_400_000]);
        assert!(!all_counted);
        assert_eq!(windows.day.sum(), 1);
    }
}
