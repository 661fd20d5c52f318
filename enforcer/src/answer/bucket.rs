//! Slows a limited account down: the generic cell rate algorithm, one time an account.
//!
//! The time is when the account would have used up what it was let: each request moves it on by one interval, and a
//! request is let through while it is not further ahead of now than the burst.

use crate::limits::BUCKETS_MAX;
use std::collections::HashMap;
use weir_schemas::AccountId;

const MINUTE_US: i64 = 60_000_000;

/// How often a limited account may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests a minute, on average; at least 1.
    pub per_minute: u32,
    /// Requests at once after a pause; at least 1.
    pub burst: u32,
}

impl Rate {
    /// Time between two requests at this rate, in microseconds.
    pub fn interval_us(self) -> i64 {
        MINUTE_US / i64::from(self.per_minute.max(1))
    }

    /// How far the account's time may be ahead of now before a request, in microseconds.
    pub fn tolerance_us(self) -> i64 {
        self.interval_us().saturating_mul(i64::from(self.burst.max(1)) - 1)
    }

    /// The account's time after one more request at `now_us`, or in how many microseconds it may be made.
    pub fn ask(self, time_us: Option<i64>, now_us: i64) -> Result<i64, i64> {
        let time_us = time_us.unwrap_or(now_us).max(now_us);
        match time_us - now_us - self.tolerance_us() {
            wait_us if wait_us > 0 => Err(wait_us),
            _ => Ok(time_us.saturating_add(self.interval_us())),
        }
    }
}

/// The times of limited accounts.
#[derive(Debug, Default)]
pub struct Buckets(HashMap<AccountId, i64>);

impl Buckets {
    /// In how many microseconds the account may ask; none where it may now. Nothing is used up.
    pub fn wait_us(&self, account: AccountId, now_us: i64, rate: Rate) -> Option<i64> {
        rate.ask(self.0.get(&account).copied(), now_us).err()
    }

    /// Uses up one request.
    pub fn charge(&mut self, account: AccountId, now_us: i64, rate: Rate) {
        if self.0.len() >= BUCKETS_MAX && !self.0.contains_key(&account) {
            // Whose time has come has all of its burst, as one that was never seen.
            self.0.retain(|_, time_us| *time_us > now_us);
        }
        let time_us = self.0.get(&account).copied().unwrap_or(now_us).max(now_us);
        if self.0.len() < BUCKETS_MAX || self.0.contains_key(&account) {
            self.0.insert(account, time_us.saturating_add(rate.interval_us()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ACCOUNT: AccountId = AccountId([1; 16]);

    fn asks(buckets: &mut Buckets, now_us: i64, rate: Rate) -> Option<i64> {
        let wait_us = buckets.wait_us(ACCOUNT, now_us, rate);
        if wait_us.is_none() {
            buckets.charge(ACCOUNT, now_us, rate);
        }
        wait_us
    }

    #[test]
    fn an_account_has_its_burst_at_once_and_then_its_rate() {
        let rate = Rate { per_minute: 6, burst: 3 };
        let mut buckets = Buckets::default();
        let at = |buckets: &mut Buckets, seconds: i64| asks(buckets, seconds * 1_000_000, rate);
        assert_eq!([0, 0, 0].map(|second| at(&mut buckets, second)), [None; 3]);
        assert_eq!(at(&mut buckets, 0), Some(10_000_000));
        assert_eq!(at(&mut buckets, 4), Some(6_000_000));
        assert_eq!((at(&mut buckets, 10), at(&mut buckets, 11)), (None, Some(9_000_000)));
        assert_eq!(
            [120; 3].map(|second| at(&mut buckets, second)),
            [None; 3],
            "a pause gives the burst back"
        );
    }

    proptest! {
        #[test]
        fn however_often_it_asks_it_gets_its_burst_and_its_rate_and_no_more(
            per_minute in 1..600u32, burst in 1..20u32, gaps_us in prop::collection::vec(0..2_000_000i64, 1..300),
        ) {
            let rate = Rate { per_minute, burst };
            let (mut buckets, mut now_us, mut let_through) = (Buckets::default(), 5_000_000_000, 0);
            let began_us = now_us;
            for gap_us in gaps_us {
                now_us += gap_us;
                let_through += i64::from(asks(&mut buckets, now_us, rate).is_none());
            }
            prop_assert!(let_through <= i64::from(burst) + (now_us - began_us) / rate.interval_us());
        }
    }
}
