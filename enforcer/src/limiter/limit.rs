//! How many accounts may be acted on in an hour, how much traffic they may have, and from how many at once on
//! a person is asked at once.

use super::LIMIT_NAME;
use crate::limits::{
    ACCOUNTS_TOLD_MAX, BURST_ACCOUNTS_MIN, LIMIT_FLOOR_DEFAULT, LIMIT_PARTITIONS_DEFAULT,
    LIMIT_REQUESTS_DEFAULT, LIMIT_SHARE_DEFAULT_PERMILLE, LIMIT_TENANT_DEFAULT_PERMILLE,
    LIMIT_TRAFFIC_DEFAULT_PERMILLE, PARTITIONS_MAX, REQUESTS_TOLD_MAX, STORM_FLOOR_DEFAULT, STORM_GROWTH,
    STORM_SKEW, STORM_TIMES_DEFAULT, STORM_TIMES_RANGE,
};
use std::fmt;

/// How many accounts may be acted on in an hour, over all partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// So many in any case.
    pub floor: u64,
    /// This share of all accounts where that is more, in thousandths.
    pub share_permille: u64,
    /// How many accounts there are; 0 where nobody has said.
    pub accounts: u64,
    /// Partitions among which the cap is divided.
    pub partitions: u64,
    /// This share of the cap may fall on one tenant that has no cap of its own, in thousandths.
    pub tenant_permille: u64,
    /// So many accounts that are found at CRITICAL within a minute, over all partitions, are no storm.
    pub storm_floor: u64,
    /// So many times what is usual of a minute are no storm where that is more.
    pub storm_times: u64,
    /// The accounts that are acted on in an hour may have made this share of all requests, in thousandths.
    pub traffic_permille: u64,
    /// So many requests of a day they may have made in any case.
    pub requests_floor: u64,
    /// How many requests there are in a day; 0 where nobody has said, and then no cap is on traffic.
    pub requests: u64,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            floor: LIMIT_FLOOR_DEFAULT,
            share_permille: LIMIT_SHARE_DEFAULT_PERMILLE,
            accounts: 0,
            partitions: LIMIT_PARTITIONS_DEFAULT,
            tenant_permille: LIMIT_TENANT_DEFAULT_PERMILLE,
            storm_floor: STORM_FLOOR_DEFAULT,
            storm_times: STORM_TIMES_DEFAULT,
            traffic_permille: LIMIT_TRAFFIC_DEFAULT_PERMILLE,
            requests_floor: LIMIT_REQUESTS_DEFAULT,
            requests: 0,
        }
    }
}

impl Limit {
    /// Reads `floor N share PERMILLE accounts N partitions N tenant PERMILLE storm N times N traffic PERMILLE
    /// least N requests N`; the last three may be left out, and the three before, as builds before did. The
    /// error says what is allowed, for the operator.
    pub fn parse(body: &str) -> Result<Self, String> {
        let words: Vec<&str> = body.split_ascii_whitespace().collect();
        let ["floor", floor, "share", share, "accounts", accounts, "partitions", partitions, ref rest @ ..] =
            words[..]
        else {
            return Err(refused());
        };
        let mut limit = Self {
            floor: number(floor, 1, ACCOUNTS_TOLD_MAX)?,
            share_permille: number(share, 0, 1_000)?,
            accounts: number(accounts, 0, ACCOUNTS_TOLD_MAX)?,
            partitions: number(partitions, 1, PARTITIONS_MAX)?,
            ..Self::default()
        };
        let rest = match rest {
            [] => rest,
            ["tenant", tenant, "storm", storm, "times", times, rest @ ..] => {
                limit.tenant_permille = number(tenant, 1, 1_000)?;
                limit.storm_floor = number(storm, 1, ACCOUNTS_TOLD_MAX)?;
                limit.storm_times = number(times, STORM_TIMES_RANGE.0, STORM_TIMES_RANGE.1)?;
                rest
            }
            _ => return Err(refused()),
        };
        match rest {
            [] => {}
            ["traffic", traffic, "least", least, "requests", requests] => {
                limit.traffic_permille = number(traffic, 1, 1_000)?;
                limit.requests_floor = number(least, 1, REQUESTS_TOLD_MAX)?;
                limit.requests = number(requests, 0, REQUESTS_TOLD_MAX)?;
            }
            _ => return Err(refused()),
        }
        Ok(limit)
    }

    /// One partition's part of the cap, in accounts an hour; at least one.
    pub fn cap(&self) -> u64 {
        let share = self.accounts * self.share_permille / 1_000;
        self.part(self.floor.max(share))
    }

    /// One partition's part of what may fall on a tenant in an hour, `own` being the tenant's cap over all
    /// partitions; none where nothing but the cap for all holds.
    pub fn tenant_cap(&self, own: Option<u64>) -> Option<u64> {
        match own {
            Some(accounts) => Some(self.part(accounts)),
            None if self.tenant_permille >= 1_000 => None,
            None => Some((self.cap() * self.tenant_permille / 1_000).max(1)),
        }
    }

    /// How many requests of a day the accounts may have made that are acted on in an hour, over all
    /// partitions; none where nothing is capped.
    pub fn requests_cap(&self) -> Option<u64> {
        self.requests_share().map(|share| share.max(self.requests_floor))
    }

    /// One partition's part of it. The floor is not divided: few accounts make most of the traffic, and they
    /// are not spread evenly.
    pub fn requests_part(&self) -> Option<u64> {
        self.requests_share().map(|share| self.part(share).max(self.requests_floor))
    }

    fn requests_share(&self) -> Option<u64> {
        let is_capped = self.requests > 0 && self.traffic_permille < 1_000;
        is_capped.then_some(self.requests * self.traffic_permille / 1_000)
    }

    /// One partition's part of what a tenant's accounts may have made of them.
    pub fn tenant_requests_part(&self) -> Option<u64> {
        let part = self.requests_part().filter(|_| self.tenant_permille < 1_000)?;
        Some((part * self.tenant_permille / 1_000).max(1))
    }

    /// Accounts acted on within one minute over which it pauses: half of the hour's cap.
    pub fn burst(&self) -> u64 {
        self.cap().div_ceil(2).max(BURST_ACCOUNTS_MIN)
    }

    /// Accounts found at CRITICAL within one minute on one partition that are no storm, where an hour usually
    /// has `usual_of_hour`.
    pub fn storm(&self, usual_of_hour: u64) -> u64 {
        let usual = self.storm_times.saturating_mul(usual_of_hour) / MINUTES_OF_HOUR;
        self.storm_part().max(usual)
    }

    /// As how many accounts a minute counts at most for what is usual, where an hour usually has
    /// `usual_of_hour`.
    pub fn storm_counts_as(&self, usual_of_hour: u64) -> u64 {
        let grown = STORM_GROWTH.saturating_mul(usual_of_hour).div_ceil(MINUTES_OF_HOUR);
        self.storm_part().div_ceil(self.storm_times).max(grown)
    }

    /// One partition's part of the floor of a storm. Accounts are not spread evenly: where there are several
    /// partitions, one seldom has more than three times the root of its part more.
    fn storm_part(&self) -> u64 {
        let part = self.part(self.storm_floor);
        let slack = if self.partitions > 1 { STORM_SKEW * part.isqrt() } else { 0 };
        (part + slack).min(self.storm_floor).max(BURST_ACCOUNTS_MIN)
    }

    fn part(&self, whole: u64) -> u64 {
        whole.div_ceil(self.partitions)
    }
}

const MINUTES_OF_HOUR: u64 = 60;

fn number(text: &str, least: u64, greatest: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (least..=greatest).contains(number));
    number.ok_or_else(refused)
}

fn refused() -> String {
    let (times_min, times_max) = STORM_TIMES_RANGE;
    format!(
        "{LIMIT_NAME} must be: floor 1 to {ACCOUNTS_TOLD_MAX} share 0 to 1000 accounts 0 to {ACCOUNTS_TOLD_MAX} \
         partitions 1 to {PARTITIONS_MAX} tenant 1 to 1000 storm 1 to {ACCOUNTS_TOLD_MAX} times {times_min} to \
         {times_max} traffic 1 to 1000 least 1 to {REQUESTS_TOLD_MAX} requests 0 to {REQUESTS_TOLD_MAX}"
    )
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { floor, share_permille, accounts, partitions, .. } = self;
        write!(f, "floor {floor} share {share_permille} accounts {accounts} partitions {partitions} ")?;
        let Self { tenant_permille, storm_floor, storm_times, .. } = self;
        write!(f, "tenant {tenant_permille} storm {storm_floor} times {storm_times} ")?;
        let Self { traffic_permille, requests_floor, requests, .. } = self;
        write!(f, "traffic {traffic_permille} least {requests_floor} requests {requests}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(text: &str) -> Limit {
        Limit::parse(text).unwrap()
    }

    #[test]
    fn the_cap_is_the_floor_or_the_share_where_that_is_more_and_each_partition_has_its_part() {
        let cap = |text| limit(text).cap();
        assert_eq!(cap("floor 100 share 20 accounts 0 partitions 4"), 25);
        assert_eq!(cap("floor 100 share 20 accounts 4000 partitions 4"), 25);
        assert_eq!(cap("floor 100 share 20 accounts 1000000 partitions 8"), 2_500);
        assert_eq!(cap("floor 1 share 0 accounts 0 partitions 64"), 1);
    }

    #[test]
    fn a_tenant_has_its_own_cap_or_a_share_of_the_cap_for_all() {
        let open = limit("floor 100 share 0 accounts 0 partitions 4 tenant 1000 storm 100 times 10");
        assert_eq!(open.tenant_cap(None), None);
        assert_eq!(open.tenant_cap(Some(10)), Some(3));
        let shared = limit("floor 100 share 0 accounts 0 partitions 4 tenant 200 storm 100 times 10");
        assert_eq!(shared.tenant_cap(None), Some(5));
        assert_eq!(shared.tenant_cap(Some(400)), Some(100));
        assert_eq!(Limit { floor: 1, ..shared }.tenant_cap(None), Some(1), "never nobody at all");
    }

    #[test]
    fn the_cap_on_traffic_is_the_floor_or_the_share_where_that_is_more_and_none_where_nobody_counted() {
        let of = |traffic_permille, requests_floor, requests| {
            let limit = Limit { traffic_permille, requests_floor, requests, ..Limit::default() };
            (limit.requests_cap(), limit.requests_part())
        };
        assert_eq!(of(100, 1_000, 0), (None, None));
        assert_eq!(of(1_000, 1_000, 50_000), (None, None));
        assert_eq!(of(100, 1_000, 5_000), (Some(1_000), Some(1_000)));
        assert_eq!(of(100, 1_000, 50_000), (Some(5_000), Some(1_250)));
        assert_eq!(of(999, 1, REQUESTS_TOLD_MAX), (Some(999_000_000_000), Some(249_750_000_000)));
        let of_tenant = |tenant_permille| {
            let limit = Limit { requests: 50_000_000, tenant_permille, ..Limit::default() };
            limit.tenant_requests_part()
        };
        assert_eq!((of_tenant(1_000), of_tenant(200)), (None, Some(250_000)));
        // Of one partition too the floor is what it says.
        let many = Limit { requests: 5_000_000, partitions: 64, ..Limit::default() };
        assert_eq!((many.requests_cap(), many.requests_part()), (Some(500_000), Some(100_000)));
    }

    #[test]
    fn a_storm_is_more_than_the_floor_and_than_many_times_what_a_minute_has() {
        let limit = limit("floor 100 share 0 accounts 0 partitions 4 tenant 1000 storm 100 times 10");
        // A quarter, and room for accounts that are not spread evenly.
        assert_eq!(limit.storm(0), 25 + 3 * 5);
        assert_eq!(Limit { partitions: 1, ..limit }.storm(0), 100);
        assert_eq!(Limit { storm_floor: 6, ..limit }.storm(0), 5);
        assert_eq!(Limit { storm_floor: 9, ..limit }.storm(0), 6, "of a part of 3");
        // Five a minute.
        assert_eq!(limit.storm(5 * 60), 50);
        assert_eq!(Limit { storm_floor: 1, ..limit }.storm(0), BURST_ACCOUNTS_MIN);
        assert_eq!(limit.storm(u64::MAX), u64::MAX / 60, "no number overflows");
    }

    #[test]
    fn a_minute_counts_for_what_is_usual_as_twice_that_at_most_or_as_what_raises_nothing() {
        let limit = limit("floor 100 share 0 accounts 0 partitions 4 tenant 1000 storm 100 times 10");
        assert_eq!(limit.storm_counts_as(0), 4);
        assert_eq!(limit.storm(60 * limit.storm_counts_as(0)), limit.storm(0));
        assert_eq!(limit.storm_counts_as(60 * 20), 40);
        assert_eq!(limit.storm_counts_as(u64::MAX), u64::MAX.div_ceil(60), "no number overflows");
    }

    #[test]
    fn a_limit_reads_as_it_is_written_and_as_builds_before_wrote_it() {
        let text = "floor 7 share 3 accounts 9 partitions 2 tenant 250 storm 40 times 5 traffic 30 least 8 requests 90";
        assert_eq!(limit(text).to_string(), text);
        let before = limit("floor 7 share 3 accounts 9 partitions 2 tenant 250 storm 40 times 5");
        assert_eq!(
            before.to_string(),
            "floor 7 share 3 accounts 9 partitions 2 tenant 250 storm 40 times 5 traffic 100 least 100000 requests 0"
        );
        let older = limit("floor 7 share 3 accounts 9 partitions 2");
        assert_eq!(
            older.to_string(),
            "floor 7 share 3 accounts 9 partitions 2 tenant 1000 storm 100 times 10 traffic 100 least 100000 requests 0"
        );
    }

    #[test]
    fn a_limit_that_is_none_is_refused_and_says_what_is_allowed() {
        let whole = "floor 9 share 20 accounts 0 partitions 4";
        for text in [
            "".into(),
            "floor 0 share 20 accounts 0 partitions 4".into(),
            "floor 9 share 1001 accounts 0 partitions 4".into(),
            format!("{whole} tenant 200"),
            format!("{whole} tenant 0 storm 100 times 10"),
            format!("{whole} tenant 200 storm 100 times 1"),
            format!("{whole} tenant 200 storm 100 times 9 traffic 50 least 10"),
            format!("{whole} tenant 200 storm 100 times 9 traffic 0 least 10 requests 7"),
            format!("{whole} traffic 50 least 10 requests 7"),
            format!("{whole} tenant 200 storm 100 times 10 and more"),
        ] {
            assert_eq!(
                Limit::parse(&text).unwrap_err(),
                "act.limit must be: floor 1 to 1000000000 share 0 to 1000 accounts 0 to 1000000000 partitions 1 to 1024 \
                 tenant 1 to 1000 storm 1 to 1000000000 times 2 to 1000 \
                 traffic 1 to 1000 least 1 to 1000000000000 requests 0 to 1000000000000",
                "{text}"
            );
        }
    }
}
