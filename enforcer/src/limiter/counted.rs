//! How many accounts were acted on within the last hour, how much traffic they had, and the pause that came
//! of it: of all tenants, or of one.

use crate::limits::{LIMITER_MINUTES, MINUTE_MS};
use std::collections::BTreeMap;

/// In what is recorded: when a person let go on follows.
const RESUMED: &str = "resumed";

/// A pause that waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Since when, in processing time.
    pub since_ms: i64,
    /// Why; one line.
    pub why: String,
}

/// Accounts that were acted on, and what was cut off with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Acted {
    pub accounts: u64,
    /// Requests that they made in the day before.
    pub requests: u64,
}

impl Acted {
    fn add(&mut self, other: Self) {
        self.accounts = self.accounts.saturating_add(other.accounts);
        self.requests = self.requests.saturating_add(other.requests);
    }
}

/// What is counted, and whether it pauses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Counted {
    /// By the minute in which it was acted on; of the last hour.
    minutes: BTreeMap<i64, Acted>,
    pub pause: Option<Pause>,
    /// The pause that a person ended last: since when it was.
    resumed_ms: i64,
}

impl Counted {
    /// What was acted on within the hour that ends at `taken_ms`, and within its last minute.
    pub fn at(&mut self, taken_ms: i64) -> (Acted, Acted) {
        let minute = taken_ms.div_euclid(MINUTE_MS);
        self.forget(minute);
        let mut hour = Acted::default();
        self.minutes.values().for_each(|acted| hour.add(*acted));
        (hour, self.minutes.get(&minute).copied().unwrap_or_default())
    }

    /// Counts one more account, which made so many requests in the day before.
    pub fn count(&mut self, requests: u64, taken_ms: i64) {
        let minute = taken_ms.div_euclid(MINUTE_MS);
        self.forget(minute);
        self.minutes.entry(minute).or_default().add(Acted { accounts: 1, requests });
    }

    fn forget(&mut self, minute: i64) {
        self.minutes.retain(|counted, _| *counted > minute - LIMITER_MINUTES);
    }

    /// Whether nothing is lost with it at `taken_ms`.
    pub fn is_over(&self, taken_ms: i64) -> bool {
        let last = taken_ms.div_euclid(MINUTE_MS) - LIMITER_MINUTES;
        self.pause.is_none()
            && !self.is_approved(taken_ms)
            && self.minutes.keys().next_back().is_none_or(|minute| *minute <= last)
    }

    /// Whether it pauses, and since no later than `until_ms`.
    pub fn would_resume(&self, until_ms: i64) -> bool {
        self.pause.as_ref().is_some_and(|pause| pause.since_ms <= until_ms)
    }

    /// Whether a person let go on within the hour before `taken_ms`.
    pub fn is_approved(&self, taken_ms: i64) -> bool {
        self.resumed_ms > 0 && taken_ms < self.resumed_ms.saturating_add(LIMITER_MINUTES * MINUTE_MS)
    }

    /// Ends a pause that began up to `until_ms`, with which the hour begins anew. None where there is none
    /// that old. `taken_ms` is the clock of who follows the word.
    pub fn resume(&mut self, until_ms: i64, taken_ms: i64) -> Option<Pause> {
        let over = self.pause.take_if(|pause| pause.since_ms <= until_ms)?;
        self.resumed_ms = until_ms.min(taken_ms).max(over.since_ms);
        self.minutes.clear();
        Some(over)
    }

    /// Where there is a pause since when and why, on a line; then minutes, each with its accounts and behind
    /// a `/` their requests; last, where a person let go on, the word `resumed` and when.
    pub fn encode(&self) -> String {
        let pause = self.pause.as_ref().map(|pause| format!("{} {}", pause.since_ms, pause.why));
        let minute =
            |(minute, acted): (&i64, &Acted)| format!("{minute} {}/{}", acted.accounts, acted.requests);
        let mut minutes: Vec<String> = self.minutes.iter().map(minute).collect();
        if self.resumed_ms > 0 {
            minutes.push(format!("{RESUMED} {}", self.resumed_ms));
        }
        format!("{}\n{}", pause.unwrap_or_default(), minutes.join(" "))
    }

    /// Takes back what [`Self::encode`] gave, and what a build before gave, which counted no requests; none
    /// where it is damaged.
    pub fn decode(text: &str) -> Option<Self> {
        let (pause, minutes) = text.split_once('\n')?;
        let pause = match pause.split_once(' ') {
            Some((since_ms, why)) => Some(Pause { since_ms: since_ms.parse().ok()?, why: why.to_owned() }),
            None if pause.is_empty() => None,
            None => return None,
        };
        let mut counted = Self { pause, ..Self::default() };
        let mut numbers = minutes.split_ascii_whitespace();
        while let Some(minute) = numbers.next() {
            let acted = numbers.next()?;
            if minute == RESUMED {
                counted.resumed_ms = acted.parse().ok()?;
                continue;
            }
            let (accounts, requests) = acted.split_once('/').unwrap_or((acted, "0"));
            let acted = Acted { accounts: accounts.parse().ok()?, requests: requests.parse().ok()? };
            counted.minutes.insert(minute.parse().ok()?, acted);
        }
        (counted.minutes.len() <= LIMITER_MINUTES as usize).then_some(counted)
    }
}

/// Until when an account that was counted at `counted_ms` counts, in processing time.
pub fn counted_until(counted_ms: i64) -> i64 {
    counted_ms.div_euclid(MINUTE_MS).saturating_add(LIMITER_MINUTES).saturating_mul(MINUTE_MS)
}
