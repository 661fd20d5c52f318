//! Whether many more accounts are found at CRITICAL at once than usual: a storm of verdicts.
//!
//! A judge that is wrong is wrong about many, and long before as many are acted on as the limiter allows. So accounts are
//! counted as they are found, whatever comes of it, and held against what the last day had. What a storm has beyond its
//! beginning does not count as usual, nor does what is found while the limiter pauses: nobody makes a storm usual by going on.

use crate::limiter::Limit;
use std::collections::BTreeMap;

const MINUTE_MS: i64 = 60_000;
const MINUTES_PER_HOUR: i64 = 60;

/// Hours that say what is usual: a day.
const HOURS: i64 = 24;

/// Accounts that were found at CRITICAL on one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Storm {
    /// The minute that is counted, in minutes since the Unix epoch.
    minute: i64,
    /// Accounts in it.
    accounts: u64,
    /// Whether it was a storm already.
    is_told: bool,
    /// Accounts of earlier minutes, by hour; of the last day.
    hours: BTreeMap<i64, u64>,
}

impl Storm {
    /// Counts one account more that is found at `taken_ms`. Where that begins a storm, which it does once a minute: what is
    /// to be said of it, on one line.
    pub fn count(&mut self, limit: Limit, taken_ms: i64) -> Option<String> {
        self.move_to(taken_ms.div_euclid(MINUTE_MS));
        if self.is_told {
            return None;
        }
        let usual_of_day = self.hours.values().fold(0u64, |sum, accounts| sum.saturating_add(*accounts));
        let most = limit.storm(usual_of_day);
        if self.accounts < most {
            self.accounts += 1;
            return None;
        }
        self.is_told = true;
        Some(format!(
            "more than {most} accounts were found at CRITICAL within a minute, and {usual_of_day} in the day before: a storm"
        ))
    }

    /// An operator approved: what is found from now on is held against what is usual anew.
    pub fn clear(&mut self) {
        (self.accounts, self.is_told) = (0, false);
    }

    fn move_to(&mut self, minute: i64) {
        if minute == self.minute {
            return;
        }
        let hour = self.minute.div_euclid(MINUTES_PER_HOUR);
        if self.accounts > 0 {
            *self.hours.entry(hour).or_default() += self.accounts;
        }
        let now = minute.div_euclid(MINUTES_PER_HOUR);
        self.hours.retain(|hour, _| *hour > now.saturating_sub(HOURS) && *hour <= now);
        (self.minute, self.accounts, self.is_told) = (minute, 0, false);
    }

    /// The minute, its accounts and whether it was a storm already (0 or 1) on a line; then hours and their accounts.
    pub fn encode(&self) -> Vec<u8> {
        let hours: Vec<String> = self.hours.iter().map(|(hour, count)| format!("{hour} {count}")).collect();
        let Self { minute, accounts, .. } = self;
        format!("{minute} {accounts} {}\n{}", u8::from(self.is_told), hours.join(" ")).into_bytes()
    }

    /// Takes back what [`Self::encode`] gave.
    pub fn decode(body: &[u8]) -> Result<Self, String> {
        Self::read(body).ok_or_else(|| "what is counted of a storm is damaged".to_owned())
    }

    fn read(body: &[u8]) -> Option<Self> {
        let (minute, hours) = std::str::from_utf8(body).ok()?.split_once('\n')?;
        let words: Vec<&str> = minute.split(' ').collect();
        let [minute, accounts, is_told @ ("0" | "1")] = words[..] else { return None };
        let mut storm = Self {
            minute: minute.parse().ok()?,
            accounts: accounts.parse().ok()?,
            is_told: is_told == "1",
            hours: BTreeMap::new(),
        };
        let mut numbers = hours.split_ascii_whitespace();
        while let Some(hour) = numbers.next() {
            storm.hours.insert(hour.parse().ok()?, numbers.next()?.parse().ok()?);
        }
        (storm.hours.len() <= HOURS as usize).then_some(storm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

    fn limit() -> Limit {
        Limit { storm_floor: 40, storm_times: 10, partitions: 2, ..Limit::default() }
    }

    /// What is said when so many accounts are found within the minute that begins at `from_ms`.
    fn found(storm: &mut Storm, from_ms: i64, accounts: u64) -> Vec<String> {
        (0..accounts).filter_map(|n| storm.count(limit(), from_ms + n as i64 % MINUTE_MS)).collect()
    }

    #[test]
    fn more_than_the_floor_within_a_minute_is_a_storm_and_is_told_once_a_minute() {
        let mut storm = Storm::default();
        assert_eq!(found(&mut storm, 0, 20), [""; 0]);
        let told =
            "more than 20 accounts were found at CRITICAL within a minute, and 0 in the day before: a storm";
        assert_eq!(found(&mut storm, 0, 10_000), [told]);
        let told = told.replace(" 0 in", " 20 in");
        assert_eq!(
            found(&mut storm, MINUTE_MS, 10_000),
            [told],
            "the beginning of one counts, and no more of it"
        );
    }

    #[test]
    fn what_the_last_day_had_is_usual_and_what_was_before_it_is_not() {
        let mut storm = Storm::default();
        // Eight a minute, all day.
        (0..2 * 1_440).for_each(|minute| assert_eq!(found(&mut storm, minute * MINUTE_MS, 8), [""; 0]));
        let now_ms = 2 * DAY_MS;
        assert_eq!(found(&mut storm.clone(), now_ms, 76), [""; 0]);
        assert_eq!(found(&mut storm.clone(), now_ms, 100).len(), 1);
        assert_eq!(found(&mut storm, now_ms + DAY_MS, 21).len(), 1, "a day without any");
    }

    #[test]
    fn an_approval_lets_as_many_be_found_again_within_the_same_minute() {
        let mut storm = Storm::default();
        assert_eq!(found(&mut storm, 0, 100).len(), 1);
        storm.clear();
        assert_eq!(found(&mut storm, 0, 20), [""; 0]);
        assert_eq!(found(&mut storm, 0, 1).len(), 1);
    }

    proptest! {
        #[test]
        fn what_is_counted_comes_back_as_it_was(
            counts in prop::collection::vec((0..3 * DAY_MS, 0..60u64), 0..60),
        ) {
            let mut storm = Storm::default();
            for (from_ms, accounts) in counts {
                found(&mut storm, from_ms, accounts);
                let recorded = storm.encode();
                prop_assert_eq!(Storm::decode(&recorded), Ok(storm.clone()));
            }
        }

        #[test]
        fn damaged_counts_never_panic(text in "[0-9 \n-]{0,60}") {
            let _ = Storm::decode(text.as_bytes());
        }
    }
}
