//! Slows a limited account down: the generic cell rate algorithm, one time an account.
//!
//! The time is when the account would have used up what it was let: each request moves it on by one interval,
//! and a request is let through while it is not further ahead of now than the burst.

use crate::limits::{BUCKETS_MAX, DEBT_MAX_US};
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

    /// How far the account's time may be ahead of now before a request that counts as `hits`, in
    /// microseconds. One that counts as more than the burst is let through where all of the burst is there,
    /// and is paid back as far as [`Self::debt_max_us`]: it would never pass otherwise.
    pub fn tolerance_us(self, hits: u32) -> i64 {
        let burst = self.burst.max(1);
        self.interval_us().saturating_mul(i64::from(burst - hits.clamp(1, burst)))
    }

    /// How much further a request that counts as `hits` moves the account's time, in microseconds.
    pub fn cost_us(self, hits: u32) -> i64 {
        self.interval_us().saturating_mul(hits.into()).min(self.debt_max_us())
    }

    /// How far the account's time is ahead of now at most, in microseconds: an hour, or all of the burst
    /// where that takes longer. Otherwise one request could count as so many that it kept the account out for
    /// months after its limit.
    pub fn debt_max_us(self) -> i64 {
        self.interval_us().saturating_mul(self.burst.into()).max(DEBT_MAX_US)
    }

    /// The account's time at `now_us`, where it was `time_us` after its last request, maybe at another rate.
    fn time_at(self, time_us: Option<i64>, now_us: i64) -> i64 {
        time_us.unwrap_or(now_us).clamp(now_us, now_us.saturating_add(self.debt_max_us()))
    }

    /// The account's time after a request at `now_us` that counts as `hits`, or in how many microseconds it
    /// may be made.
    pub fn ask(self, time_us: Option<i64>, now_us: i64, hits: u32) -> Result<i64, i64> {
        let time_us = self.time_at(time_us, now_us);
        match time_us - now_us - self.tolerance_us(hits) {
            wait_us if wait_us > 0 => Err(wait_us),
            _ => Ok(time_us.saturating_add(self.cost_us(hits))),
        }
    }
}

/// The times of limited accounts.
#[derive(Debug, Default)]
pub struct Buckets(HashMap<AccountId, i64>);

impl Buckets {
    /// In how many microseconds the account may make a request that counts as `hits`; none where it may now.
    /// Nothing is used up.
    pub fn wait_us(&self, account: AccountId, now_us: i64, rate: Rate, hits: u32) -> Option<i64> {
        rate.ask(self.0.get(&account).copied(), now_us, hits).err()
    }

    /// Uses up a request that counts as `hits`.
    pub fn charge(&mut self, account: AccountId, now_us: i64, rate: Rate, hits: u32) {
        if self.0.len() >= BUCKETS_MAX && !self.0.contains_key(&account) {
            // Whose time has come has all of its burst, as one that was never seen.
            self.0.retain(|_, time_us| *time_us > now_us);
        }
        let time_us = rate.time_at(self.0.get(&account).copied(), now_us);
        if self.0.len() < BUCKETS_MAX || self.0.contains_key(&account) {
            self.0.insert(account, time_us.saturating_add(rate.cost_us(hits)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ACCOUNT: AccountId = AccountId([1; 16]);

    fn asks_for(buckets: &mut Buckets, now_us: i64, rate: Rate, hits: u32) -> Option<i64> {
        let wait_us = buckets.wait_us(ACCOUNT, now_us, rate, hits);
        if wait_us.is_none() {
            buckets.charge(ACCOUNT, now_us, rate, hits);
        }
        wait_us
    }

    fn asks(buckets: &mut Buckets, now_us: i64, rate: Rate) -> Option<i64> {
        asks_for(buckets, now_us, rate, 1)
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

    #[test]
    fn a_request_that_counts_as_several_uses_as_many_up() {
        let rate = Rate { per_minute: 6, burst: 3 };
        let mut buckets = Buckets::default();
        let mut at = |seconds: i64, hits| asks_for(&mut buckets, seconds * 1_000_000, rate, hits);
        assert_eq!(at(0, 2), None);
        assert_eq!(at(0, 2), Some(10_000_000), "one is left");
        assert_eq!((at(0, 1), at(0, 1)), (None, Some(10_000_000)));
        assert_eq!(at(30, 0), None, "none is none");
        // More than the burst needs all of it, and is paid back in full.
        assert_eq!((at(40, 7), at(40, 1)), (None, Some(50_000_000)));
        assert_eq!((at(89, 1), at(90, 1)), (Some(1_000_000), None));
        assert_eq!(at(100, 7), Some(20_000_000));
    }

    #[test]
    fn however_much_a_request_counts_as_an_hour_later_the_account_may_ask_again() {
        let rate = Rate { per_minute: 6, burst: 3 };
        let mut buckets = Buckets::default();
        assert_eq!(asks_for(&mut buckets, 0, rate, 1_000_000), None);
        // All but the last of the burst must be there again.
        assert_eq!(asks(&mut buckets, 0, rate), Some(DEBT_MAX_US - 20_000_000));
        assert_eq!(asks(&mut buckets, DEBT_MAX_US - 20_000_000, rate), None);
        // What another rate put off further is no longer put off, and a burst that takes longer may be used
        // up.
        let slow = Rate { per_minute: 1, burst: 600 };
        assert_eq!(slow.debt_max_us(), 10 * DEBT_MAX_US);
        assert_eq!(asks_for(&mut buckets, 2 * DEBT_MAX_US, slow, 600), None);
        assert_eq!(asks(&mut buckets, 2 * DEBT_MAX_US, rate), Some(DEBT_MAX_US - 20_000_000));
    }

    proptest! {
        #[test]
        fn however_often_it_asks_it_gets_its_burst_and_its_rate_and_no_more(
            per_minute in 1..600u32, burst in 1..20u32, asked in prop::collection::vec((0..2_000_000i64, 0..8u32), 1..300),
        ) {
            let rate = Rate { per_minute, burst };
            let (mut buckets, mut now_us, mut let_through) = (Buckets::default(), 5_000_000_000, 0);
            let began_us = now_us;
            for (gap_us, hits) in asked {
                now_us += gap_us;
                let passes = asks_for(&mut buckets, now_us, rate, hits).is_none();
                let_through += if passes { i64::from(hits) } else { 0 };
            }
            // The last one may count as more than the burst.
            let most = i64::from(burst.max(7)) + (now_us - began_us) / rate.interval_us();
            prop_assert!(let_through <= most);
        }
    }
}
