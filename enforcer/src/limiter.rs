//! How many accounts may be acted on before a person is asked: the blast-radius limiter.
//!
//! A detector that goes wrong goes wrong on many accounts at once. So the accounts that are acted on for the first time
//! in an hour are counted, and over the cap the limiter pauses: nothing that reaches further than a person's desk is done
//! until an operator approves. Enforcers are one a partition, so each has its part of the cap.

use crate::limits::{
    ACCOUNTS_TOLD_MAX, LIMIT_FLOOR_DEFAULT, LIMIT_PARTITIONS_DEFAULT, LIMIT_SHARE_DEFAULT_PERMILLE,
    PARTITIONS_MAX, STORM_ACCOUNTS_MIN,
};
use std::collections::BTreeMap;
use std::fmt;

/// Name of the control record of kind SETTING that says how many accounts may be acted on in an hour.
pub const LIMIT_NAME: &str = "act.limit";

/// Name of the control record of kind SETTING by which an operator approves: its body is the time up to which pauses are
/// over, in milliseconds. So an approval is of pauses that its author knew of, and of no later one.
pub const RESUME_NAME: &str = "act.resume";

const MINUTE_MS: i64 = 60_000;

/// Minutes that count: an hour.
const MINUTES: i64 = 60;

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
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            floor: LIMIT_FLOOR_DEFAULT,
            share_permille: LIMIT_SHARE_DEFAULT_PERMILLE,
            accounts: 0,
            partitions: LIMIT_PARTITIONS_DEFAULT,
        }
    }
}

impl Limit {
    /// Reads `floor N share PERMILLE accounts N partitions N`. The error says what is allowed, for the operator.
    pub fn parse(body: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "{LIMIT_NAME} must be: floor 1 to {ACCOUNTS_TOLD_MAX} share 0 to 1000 accounts 0 to \
                 {ACCOUNTS_TOLD_MAX} partitions 1 to {PARTITIONS_MAX}"
            )
        };
        let words: Vec<&str> = body.split_ascii_whitespace().collect();
        let ["floor", floor, "share", share, "accounts", accounts, "partitions", partitions] = words[..]
        else {
            return Err(refused());
        };
        let number = |text: &str, least: u64, greatest: u64| {
            let number = text.parse().ok().filter(|number| (least..=greatest).contains(number));
            number.ok_or_else(refused)
        };
        Ok(Self {
            floor: number(floor, 1, ACCOUNTS_TOLD_MAX)?,
            share_permille: number(share, 0, 1_000)?,
            accounts: number(accounts, 0, ACCOUNTS_TOLD_MAX)?,
            partitions: number(partitions, 1, PARTITIONS_MAX)?,
        })
    }

    /// One partition's part of the cap, in accounts an hour; at least one.
    pub fn cap(&self) -> u64 {
        let share = self.accounts * self.share_permille / 1_000;
        self.floor.max(share).div_ceil(self.partitions)
    }

    /// Accounts within one minute that are a storm: half of the hour's cap.
    pub fn storm(&self) -> u64 {
        self.cap().div_ceil(2).max(STORM_ACCOUNTS_MIN)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { floor, share_permille, accounts, partitions } = self;
        write!(f, "floor {floor} share {share_permille} accounts {accounts} partitions {partitions}")
    }
}

/// A pause that waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Since when, in processing time.
    pub since_ms: i64,
    /// Why.
    pub why: String,
}

/// The limiter of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limiter {
    limit: Limit,
    /// Accounts by the minute in which they were acted on; of the last hour.
    minutes: BTreeMap<i64, u64>,
    pause: Option<Pause>,
}

/// What the limiter says to one more account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It may be acted on, and counts.
    Admitted,
    /// It may not, and from now on nobody may.
    PausesNow(Pause),
}

impl Limiter {
    /// The limit in force.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Sets another limit. A pause goes on: it waits for an operator's approval and for nothing else.
    pub fn set_limit(&mut self, limit: Limit) {
        self.limit = limit;
    }

    /// The pause that waits for an operator.
    pub fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    /// Whether an account that was counted at `counted_ms` still counts at `taken_ms`, and so needs no room of its own.
    pub fn still_counts(counted_ms: Option<i64>, taken_ms: i64) -> bool {
        counted_ms.is_some_and(|counted_ms| counted_until(counted_ms) > taken_ms)
    }

    /// Asks for one account that does not count yet. Only where there is no pause.
    pub fn admit(&mut self, taken_ms: i64) -> Admission {
        let minute = taken_ms.div_euclid(MINUTE_MS);
        self.minutes.retain(|counted, _| *counted > minute - MINUTES);
        let hour: u64 = self.minutes.values().sum();
        let this_minute = self.minutes.get(&minute).copied().unwrap_or(0);
        let why = if hour >= self.limit.cap() {
            format!("{hour} accounts were acted on within an hour, which is the cap")
        } else if this_minute >= self.limit.storm() {
            format!("{this_minute} accounts were acted on within a minute, which is a storm")
        } else {
            self.count(taken_ms);
            return Admission::Admitted;
        };
        let pause = Pause { since_ms: taken_ms, why };
        self.pause = Some(pause.clone());
        Admission::PausesNow(pause)
    }

    /// Counts an account that is acted on, whoever admitted it.
    pub fn count(&mut self, taken_ms: i64) {
        let minute = taken_ms.div_euclid(MINUTE_MS);
        self.minutes.retain(|counted, _| *counted > minute - MINUTES);
        *self.minutes.entry(minute).or_default() += 1;
    }

    /// Takes over a pause that another build recorded.
    pub fn pauses(&mut self, pause: Pause) {
        self.pause = Some(pause);
    }

    /// An operator approves of pauses that began up to `until_ms`: the pause that is over, and the hour begins anew.
    /// None where there is none that old.
    pub fn resume(&mut self, until_ms: i64) -> Option<Pause> {
        let over = self.pause.take_if(|pause| pause.since_ms <= until_ms)?;
        self.minutes.clear();
        Some(over)
    }

    /// The limit on a line; then where there is a pause since when and why, on a line; then minutes and their accounts.
    pub fn encode(&self) -> Vec<u8> {
        let pause = self.pause.as_ref().map(|pause| format!("{} {}", pause.since_ms, pause.why));
        let minutes: Vec<String> =
            self.minutes.iter().map(|(minute, count)| format!("{minute} {count}")).collect();
        format!("{}\n{}\n{}", self.limit, pause.unwrap_or_default(), minutes.join(" ")).into_bytes()
    }

    /// Takes back what [`Self::encode`] gave.
    pub fn decode(body: &[u8]) -> Result<Self, String> {
        let damaged = || "what the limiter counts is damaged".to_owned();
        let text = std::str::from_utf8(body).map_err(|_| damaged())?;
        let lines: Vec<&str> = text.split('\n').collect();
        let [limit, pause, minutes] = lines[..] else { return Err(damaged()) };
        let pause = match pause.split_once(' ') {
            Some((since_ms, why)) => {
                Some(Pause { since_ms: since_ms.parse().map_err(|_| damaged())?, why: why.to_owned() })
            }
            None if pause.is_empty() => None,
            None => return Err(damaged()),
        };
        let mut limiter = Self { limit: Limit::parse(limit)?, minutes: BTreeMap::new(), pause };
        let mut numbers = minutes.split_ascii_whitespace();
        while let Some(minute) = numbers.next() {
            let count = numbers.next().and_then(|count| count.parse().ok()).ok_or_else(damaged)?;
            limiter.minutes.insert(minute.parse().map_err(|_| damaged())?, count);
        }
        if limiter.minutes.len() > MINUTES as usize { Err(damaged()) } else { Ok(limiter) }
    }
}

/// Until when an account that was counted at `counted_ms` counts, in processing time.
pub fn counted_until(counted_ms: i64) -> i64 {
    counted_ms.div_euclid(MINUTE_MS).saturating_add(MINUTES).saturating_mul(MINUTE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limited(floor: u64) -> Limiter {
        let mut limiter = Limiter::default();
        limiter.set_limit(Limit { floor, share_permille: 0, accounts: 0, partitions: 1 });
        limiter
    }

    /// Accounts that are admitted of those that ask, one every `every_ms`.
    fn admitted(limiter: &mut Limiter, from_ms: i64, every_ms: i64, asking: i64) -> i64 {
        let mut admitted = 0;
        for n in 0..asking {
            if limiter.pause().is_none() && limiter.admit(from_ms + n * every_ms) == Admission::Admitted {
                admitted += 1;
            }
        }
        admitted
    }

    #[test]
    fn the_cap_is_the_floor_or_the_share_where_that_is_more_and_each_partition_has_its_part() {
        let cap = |text| Limit::parse(text).unwrap().cap();
        assert_eq!(cap("floor 100 share 20 accounts 0 partitions 4"), 25);
        assert_eq!(cap("floor 100 share 20 accounts 4000 partitions 4"), 25);
        assert_eq!(cap("floor 100 share 20 accounts 1000000 partitions 8"), 2_500);
        assert_eq!(cap("floor 1 share 0 accounts 0 partitions 64"), 1);
    }

    #[test]
    fn over_the_cap_it_pauses_and_stays_paused_until_an_operator_approves() {
        let mut limiter = limited(100);
        // Two a minute, so that the hour holds 120.
        assert_eq!(admitted(&mut limiter, 0, 30_000, 1_000), 100);
        let pause = limiter.pause().unwrap().clone();
        assert_eq!(pause.since_ms, 100 * 30_000);
        assert_eq!(pause.why, "100 accounts were acted on within an hour, which is the cap");
        assert_eq!(limiter.resume(pause.since_ms - 1), None, "an approval of an earlier pause");
        assert_eq!(limiter.resume(pause.since_ms), Some(pause));
        assert_eq!(admitted(&mut limiter, 6_000_000, 30_000, 1_000), 100, "the hour begins anew");
    }

    #[test]
    fn what_another_build_acted_on_for_hours_is_remembered_for_one() {
        let mut limiter = limited(100);
        (0..1_000).for_each(|minute| limiter.count(minute * MINUTE_MS));
        assert_eq!(Limiter::decode(&limiter.encode()).unwrap(), limiter);
    }

    #[test]
    fn what_is_below_the_cap_never_pauses_however_long_it_goes_on() {
        let mut limiter = limited(100);
        assert_eq!(admitted(&mut limiter, 0, 40_000, 10_000), 10_000);
    }

    #[test]
    fn half_of_the_hours_cap_within_a_minute_is_a_storm() {
        let mut limiter = limited(1_000);
        assert_eq!(admitted(&mut limiter, 0, 10, 2_000), 500);
        assert_eq!(
            limiter.pause().unwrap().why,
            "500 accounts were acted on within a minute, which is a storm"
        );
    }

    #[test]
    fn an_account_counts_for_the_hour_and_not_longer() {
        assert!(!Limiter::still_counts(None, 0));
        assert!(Limiter::still_counts(Some(59_999), 60 * MINUTE_MS - 1));
        assert!(!Limiter::still_counts(Some(59_999), 60 * MINUTE_MS));
    }

    #[test]
    fn a_limit_that_is_none_is_refused_and_says_what_is_allowed() {
        for text in
            ["", "floor 0 share 20 accounts 0 partitions 4", "floor 9 share 1001 accounts 0 partitions 4"]
        {
            let refused = Limit::parse(text).unwrap_err();
            assert_eq!(
                refused,
                "act.limit must be: floor 1 to 1000000000 share 0 to 1000 accounts 0 to 1000000000 partitions 1 to 1024"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_counted_comes_back_as_it_was(
            floor in 1..1_000u64, since in any::<Option<i64>>(), asking in 0..400i64, every_ms in 1..200_000i64,
        ) {
            let mut limiter = limited(floor);
            admitted(&mut limiter, 5_000, every_ms, asking);
            if let Some(since_ms) = since {
                limiter.pauses(Pause { since_ms, why: "a storm of 5".into() });
            }
            prop_assert_eq!(Limiter::decode(&limiter.encode()), Ok(limiter));
        }

        #[test]
        fn damaged_counts_never_panic(text in "[0-9a-z \n-]{0,80}") {
            let _ = Limiter::decode(text.as_bytes());
        }
    }
}
