//! Whether many more accounts are found at CRITICAL at once than usual: a storm of verdicts.
//!
//! A judge that is wrong is wrong about many, and long before as many are acted on as the limiter allows. So
//! accounts are counted as they are found, by the minutes of their verdicts: catching up with a backlog is no
//! storm. A storm of which one tenant has more than half is that tenant's alone. Usual is what the hour in
//! the middle of the last day's had. A minute that was a storm does not count for it, and any other counts as
//! little more than usual: nobody makes a storm usual within a day.

use crate::limiter::{Found, Limiter, Whose};
use crate::limits::{MINUTE_MS, STORM_HOURS, STORM_MINUTES};
use std::collections::BTreeMap;

const MINUTES_PER_HOUR: i64 = 60;

/// Accounts that were found at CRITICAL on one partition. Those of each tenant are with the limiter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Storm {
    /// The newest minute of a verdict, in minutes since the Unix epoch.
    newest: i64,
    found: Found,
    /// What earlier minutes count as, by hour; of the last day.
    hours: BTreeMap<i64, u64>,
}

/// A storm that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Whose it is.
    pub whose: Whose,
    /// Why; one line.
    pub why: String,
}

impl Storm {
    /// Counts one account more of `tenant`, which is found at `found_ms` by its verdict and at `taken_ms` by
    /// the processing time. Where that makes a storm of the minute, which it does once for a tenant and once
    /// for all: whose.
    pub fn count(
        &mut self,
        limiter: &mut Limiter,
        tenant: &str,
        found_ms: i64,
        taken_ms: i64,
    ) -> Option<Told> {
        let is_approved = self.found.is_approved(taken_ms)
            || limiter.found_of(tenant).is_some_and(|found| found.is_approved(taken_ms));
        let now = taken_ms.div_euclid(MINUTE_MS);
        // A node whose clock is ahead is in this minute. And where the machine's clock was, what is ahead is
        // forgotten.
        let minute = found_ms.div_euclid(MINUTE_MS).min(now);
        let newest = self.newest.min(now).max(minute);
        if is_approved || minute <= newest - STORM_MINUTES {
            return None;
        }
        self.move_to(limiter, newest);
        let is_told = limiter.found_of(tenant).is_some_and(|found| found.is_told(minute));
        if is_told || self.found.is_told(minute) {
            return None;
        }
        if let Some(found) = limiter.found_of_mut(tenant) {
            found.close(self.newest);
            found.count(minute, taken_ms);
        }
        self.found.count(minute, taken_ms);
        let (usual, accounts) = (self.usual_of_hour(), self.found.of(minute));
        let most = limiter.limit().storm(usual);
        if accounts <= most {
            return None;
        }
        let why = format!(
            "more than {most} accounts were found at CRITICAL within a minute, and {usual} in a usual hour: a storm"
        );
        let of_one = limiter.most_found(minute).filter(|(_, of_tenant)| 2 * of_tenant > accounts);
        let Some((whose, of_tenant)) = of_one.map(|(whose, accounts)| (whose.to_owned(), accounts)) else {
            self.found.tell(minute);
            return Some(Told { whose: None, why });
        };
        self.found.take_back(minute, of_tenant);
        limiter.found_of_mut(&whose)?.tell(minute);
        Some(Told { whose: Some(whose), why: format!("{why}, {of_tenant} of them of the tenant") })
    }

    /// Whether an approval of what was up to `until_ms` says more than the last one did.
    pub fn would_approve(&self, until_ms: i64) -> bool {
        self.found.would_approve(until_ms)
    }

    /// An operator approves of storms of all tenants, until an hour after `until_ms`.
    pub fn approve(&mut self, until_ms: i64) {
        self.found.approve(until_ms);
    }

    /// What the hour had that stands in the middle of the last day's, the one of the newest minute not being
    /// among them.
    fn usual_of_hour(&self) -> u64 {
        let now = self.newest.div_euclid(MINUTES_PER_HOUR);
        let hours = now - STORM_HOURS..now;
        let mut counts: Vec<u64> = hours.map(|hour| self.hours.get(&hour).copied().unwrap_or(0)).collect();
        counts.sort_unstable();
        // The lower of the two: more than half of the day's hours have as many.
        counts[(counts.len() - 1) / 2]
    }

    fn move_to(&mut self, limiter: &Limiter, newest: i64) {
        if newest == self.newest {
            return;
        }
        let counts_as = limiter.limit().storm_counts_as(self.usual_of_hour());
        for (minute, accounts) in self.found.close(newest).into_iter().filter(|(_, accounts)| *accounts > 0) {
            *self.hours.entry(minute.div_euclid(MINUTES_PER_HOUR)).or_default() += accounts.min(counts_as);
        }
        let now = newest.div_euclid(MINUTES_PER_HOUR);
        self.hours.retain(|hour, _| (now - STORM_HOURS..=now).contains(hour));
        self.newest = newest;
    }

    /// The newest minute; what was found, as [`Found::encode`] has it; hours and what they count as: each on
    /// a line.
    pub fn encode(&self) -> Vec<u8> {
        let hours: Vec<String> = self.hours.iter().map(|(hour, count)| format!("{hour} {count}")).collect();
        format!("{}\n{}\n{}", self.newest, self.found.encode(), hours.join(" ")).into_bytes()
    }

    /// Takes back what [`Self::encode`] gave. A build before had two lines: what it took for usual anybody
    /// could make so, and is forgotten.
    pub fn decode(body: &[u8]) -> Result<Self, String> {
        Self::read(body).ok_or_else(|| "what is counted of a storm is damaged".to_owned())
    }

    fn read(body: &[u8]) -> Option<Self> {
        let lines: Vec<&str> = std::str::from_utf8(body).ok()?.split('\n').collect();
        let (newest, found, hours) = match lines[..] {
            [newest, found, hours] => (newest, found, hours),
            [_, _] => return Some(Self::default()),
            _ => return None,
        };
        let newest = newest.parse().ok().filter(|newest| (0..=i64::MAX / MINUTE_MS).contains(newest))?;
        let mut storm = Self { newest, found: Found::decode(found)?, hours: BTreeMap::new() };
        let mut numbers = hours.split_ascii_whitespace();
        while let Some(hour) = numbers.next() {
            storm.hours.insert(hour.parse().ok()?, numbers.next()?.parse().ok()?);
        }
        (storm.hours.len() <= STORM_HOURS as usize + 1).then_some(storm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limiter::Limit;
    use crate::limits::STORM_APPROVED_MS;
    use proptest::prelude::*;

    const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

    /// A storm and the limiter that counts its tenants.
    #[derive(Clone)]
    struct Watch {
        storm: Storm,
        limiter: Limiter,
    }

    impl Watch {
        fn new() -> Self {
            let mut limiter = Limiter::default();
            let limit = Limit { storm_floor: 20, storm_times: 10, partitions: 1, ..Limit::default() };
            limiter.set_limit(limit);
            Self { storm: Storm::default(), limiter }
        }

        /// What is said when so many accounts of a tenant are found within the minute that begins at
        /// `from_ms`, and taken up at `taken_ms`.
        fn found_late(&mut self, tenant: &str, from_ms: i64, accounts: u64, taken_ms: i64) -> Vec<Told> {
            let Self { storm, limiter } = self;
            let found_ms = (0..accounts).map(|number| from_ms + number as i64 % MINUTE_MS);
            found_ms.filter_map(|found_ms| storm.count(limiter, tenant, found_ms, taken_ms)).collect()
        }

        fn found_of(&mut self, tenant: &str, from_ms: i64, accounts: u64) -> Vec<Told> {
            self.found_late(tenant, from_ms, accounts, from_ms + MINUTE_MS - 1)
        }

        fn found(&mut self, from_ms: i64, accounts: u64) -> Vec<Told> {
            self.found_of("acme", from_ms, accounts)
        }
    }

    #[test]
    fn more_than_the_floor_within_a_minute_is_a_storm_and_is_told_once_a_minute() {
        let mut watch = Watch::new();
        assert_eq!(watch.found(0, 20), []);
        let why = "more than 20 accounts were found at CRITICAL within a minute, and 0 in a usual hour: a storm, \
                   21 of them of the tenant";
        let told = Told { whose: Some("acme".into()), why: why.into() };
        assert_eq!(watch.found(0, 10_000), std::slice::from_ref(&told));
        assert_eq!(watch.found(MINUTE_MS, 10_000), [told]);
    }

    #[test]
    fn who_has_more_than_half_of_a_storm_has_it_alone_and_what_is_nobodys_is_everybodys() {
        let whose = |told: Vec<Told>| told.into_iter().map(|told| told.whose).collect::<Vec<_>>();
        let mut watch = Watch::new();
        assert_eq!(watch.found_of("acme", 0, 15), []);
        // The last one is another's.
        assert_eq!(whose(watch.found_of("globex", 0, 6)), [Some("acme".into())]);
        assert_eq!(watch.found_of("acme", 0, 100), [], "it was told");
        // Of the same minute, what others have: six so far.
        assert_eq!(watch.found_of("initech", 0, 7), []);
        assert_eq!(watch.found_of("globex", 0, 4), []);
        assert_eq!(whose(watch.found_of("umbrella", 0, 50)), [None]);
        for tenant in ["", "*"] {
            assert_eq!(whose(Watch::new().found_of(tenant, 0, 21)), [None]);
        }
    }

    #[test]
    fn what_the_days_middle_hour_had_is_usual() {
        let mut watch = Watch::new();
        // Eight a minute, for two days.
        (0..2 * 1_440).for_each(|minute| assert_eq!(watch.found(minute * MINUTE_MS, 8), []));
        let now_ms = 2 * DAY_MS;
        assert_eq!(watch.clone().found(now_ms, 80), []);
        assert_eq!(watch.clone().found(now_ms, 81).len(), 1);
        assert_eq!(watch.found(now_ms + DAY_MS, 21).len(), 1, "a day without any");
    }

    #[test]
    fn within_a_day_nobody_makes_a_storm_usual_neither_by_storms_nor_from_below() {
        for is_below in [true, false] {
            let mut watch = Watch::new();
            let mut most = 20;
            for minute in 0..1_440 {
                let usual = watch.storm.usual_of_hour();
                most = watch.limiter.limit().storm(usual);
                let told = watch.found(minute * MINUTE_MS, if is_below { most } else { 100 * most });
                assert_eq!(told.len(), usize::from(!is_below), "{minute}");
            }
            // By storms, which nothing ends in audit posture, nor from below, which is no storm in any
            // posture.
            assert_eq!(most, 20);
            // Who goes on from below, always at what is no storm, is let have twice as many in half a day,
            // and again.
            for minute in 1_440..2 * 1_440 {
                most = watch.limiter.limit().storm(watch.storm.usual_of_hour());
                watch.found(minute * MINUTE_MS, most);
            }
            assert_eq!(most, if is_below { 80 } else { 20 });
        }
    }

    #[test]
    fn catching_up_with_a_backlog_is_no_storm_and_a_storm_within_it_is() {
        let mut watch = Watch::new();
        let now_ms = 60 * MINUTE_MS;
        (0..60).for_each(|minute| assert_eq!(watch.found_late("acme", minute * MINUTE_MS, 10, now_ms), []));
        let mut watch = Watch::new();
        assert_eq!(watch.found_late("acme", 0, 10, now_ms), []);
        assert_eq!(watch.found_late("acme", 7 * MINUTE_MS, 21, now_ms).len(), 1);
        // Nodes a few minutes apart are counted each by its own, and one that lags behind is not.
        assert_eq!(watch.found_late("acme", 20 * MINUTE_MS, 1, now_ms), []);
        assert_eq!(watch.found_late("acme", 11 * MINUTE_MS, 21, now_ms).len(), 1);
        assert_eq!(watch.found_late("acme", 10 * MINUTE_MS, 100, now_ms), []);
        // A clock that was far ahead hides nothing afterwards.
        assert_eq!(watch.found_late("acme", 90 * DAY_MS, 1, 90 * DAY_MS), []);
        assert_eq!(watch.found_late("acme", now_ms, 21, now_ms + 1).len(), 1);
    }

    #[test]
    fn for_an_hour_after_an_approval_nothing_is_a_storm_and_then_it_is_again() {
        let mut watch = Watch::new();
        assert_eq!(watch.found(0, 100).len(), 1);
        watch.storm.approve(MINUTE_MS);
        let until_ms = MINUTE_MS + STORM_APPROVED_MS;
        assert_eq!(watch.found(until_ms - MINUTE_MS, 10_000), []);
        assert_eq!(watch.found(until_ms, 20), [], "nothing of the hour counts");
        assert_eq!(watch.found(until_ms, 1).len(), 1);

        watch.limiter.found_of_mut("acme").unwrap().approve(until_ms);
        assert_eq!(watch.found(until_ms + MINUTE_MS, 10_000), []);
        assert_eq!(
            watch.found_of("globex", until_ms + MINUTE_MS, 21).len(),
            1,
            "whose storm nobody approved of"
        );
    }

    #[test]
    fn what_a_build_before_counted_is_forgotten() {
        assert_eq!(Storm::decode(b"7 3 0\n0 100000 1 100000"), Ok(Storm::default()));
        assert!(Storm::decode(b"7\n0 0 1 5 3\n").is_err());
    }

    proptest! {
        #[test]
        fn what_is_counted_comes_back_as_it_was(
            counts in prop::collection::vec((0..3 * DAY_MS, 0..60u64, 0..3u8), 0..60),
        ) {
            let mut watch = Watch::new();
            for (from_ms, accounts, tenant) in counts {
                watch.found_of(&format!("t{tenant}"), from_ms, accounts);
                prop_assert_eq!(Storm::decode(&watch.storm.encode()), Ok(watch.storm.clone()));
                let mut limiter = Limiter::default();
                limiter.restore(&watch.limiter.encode()).unwrap();
                for tenant in watch.limiter.tenants() {
                    limiter.restore_of(tenant, &watch.limiter.encode_of(tenant).unwrap()).unwrap();
                }
                prop_assert_eq!(&limiter, &watch.limiter);
            }
        }

        #[test]
        fn damaged_counts_never_panic(text in "[0-9 \n-]{0,60}") {
            let _ = Storm::decode(text.as_bytes());
        }
    }
}
