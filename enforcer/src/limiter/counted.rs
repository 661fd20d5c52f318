//! How many accounts were acted on within the last hour, and the pause that came of it: of all tenants, or of
//! one.

use crate::limits::{LIMITER_MINUTES, MINUTE_MS};
use std::collections::BTreeMap;

/// A pause that waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Since when, in processing time.
    pub since_ms: i64,
    /// Why; one line.
    pub why: String,
}

/// What is counted, and whether it pauses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Counted {
    /// Accounts by the minute in which they were acted on; of the last hour.
    minutes: BTreeMap<i64, u64>,
    pub pause: Option<Pause>,
}

impl Counted {
    /// Accounts within the hour that ends at `taken_ms`, and those within its last minute.
    pub fn at(&mut self, taken_ms: i64) -> (u64, u64) {
        let minute = taken_ms.div_euclid(MINUTE_MS);
        self.forget(minute);
        (self.minutes.values().sum(), self.minutes.get(&minute).copied().unwrap_or(0))
    }

    /// Counts one more account.
    pub fn count(&mut self, taken_ms: i64) {
        let minute = taken_ms.div_euclid(MINUTE_MS);
        self.forget(minute);
        *self.minutes.entry(minute).or_default() += 1;
    }

    fn forget(&mut self, minute: i64) {
        self.minutes.retain(|counted, _| *counted > minute - LIMITER_MINUTES);
    }

    /// Whether nothing is lost with it at `taken_ms`.
    pub fn is_over(&self, taken_ms: i64) -> bool {
        let last = taken_ms.div_euclid(MINUTE_MS) - LIMITER_MINUTES;
        self.pause.is_none() && self.minutes.keys().next_back().is_none_or(|minute| *minute <= last)
    }

    /// Whether it pauses, and since no later than `until_ms`.
    pub fn would_resume(&self, until_ms: i64) -> bool {
        self.pause.as_ref().is_some_and(|pause| pause.since_ms <= until_ms)
    }

    /// Ends a pause that began up to `until_ms`, with which the hour begins anew. None where there is none
    /// that old.
    pub fn resume(&mut self, until_ms: i64) -> Option<Pause> {
        let over = self.pause.take_if(|pause| pause.since_ms <= until_ms)?;
        self.minutes.clear();
        Some(over)
    }

    /// Where there is a pause since when and why, on a line; then minutes and their accounts.
    pub fn encode(&self) -> String {
        let pause = self.pause.as_ref().map(|pause| format!("{} {}", pause.since_ms, pause.why));
        let minutes: Vec<String> =
            self.minutes.iter().map(|(minute, count)| format!("{minute} {count}")).collect();
        format!("{}\n{}", pause.unwrap_or_default(), minutes.join(" "))
    }

    /// Takes back what [`Self::encode`] gave; none where it is damaged.
    pub fn decode(text: &str) -> Option<Self> {
        let (pause, minutes) = text.split_once('\n')?;
        let pause = match pause.split_once(' ') {
            Some((since_ms, why)) => Some(Pause { since_ms: since_ms.parse().ok()?, why: why.to_owned() }),
            None if pause.is_empty() => None,
            None => return None,
        };
        let mut counted = Self { minutes: BTreeMap::new(), pause };
        let mut numbers = minutes.split_ascii_whitespace();
        while let Some(minute) = numbers.next() {
            let count = numbers.next()?.parse().ok()?;
            counted.minutes.insert(minute.parse().ok()?, count);
        }
        (counted.minutes.len() <= LIMITER_MINUTES as usize).then_some(counted)
    }
}

/// Until when an account that was counted at `counted_ms` counts, in processing time.
pub fn counted_until(counted_ms: i64) -> i64 {
    counted_ms.div_euclid(MINUTE_MS).saturating_add(LIMITER_MINUTES).saturating_mul(MINUTE_MS)
}
