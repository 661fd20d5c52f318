//! How many accounts were found at CRITICAL in each of the last minutes: of all tenants, or of one.

use crate::limits::{MINUTE_MS, STORM_APPROVED_MS, STORM_MINUTES};
use std::collections::BTreeMap;

/// Accounts by the minutes of their verdicts, in minutes since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    minutes: BTreeMap<i64, Minute>,
    /// When one was counted last, in processing time.
    counted_ms: i64,
    /// Until when an operator approved of storms, in processing time.
    approved_until_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Minute {
    accounts: u64,
    /// Whether it was told as a storm: no more of it is counted.
    is_told: bool,
}

impl Found {
    /// Accounts of a minute.
    pub fn of(&self, minute: i64) -> u64 {
        self.minutes.get(&minute).map_or(0, |of| of.accounts)
    }

    /// Whether a minute was told as a storm.
    pub fn is_told(&self, minute: i64) -> bool {
        self.minutes.get(&minute).is_some_and(|of| of.is_told)
    }

    /// Whether an operator approved of storms, and that still holds.
    pub fn is_approved(&self, taken_ms: i64) -> bool {
        taken_ms < self.approved_until_ms
    }

    /// Whether an approval of what was up to `until_ms` says more than the last one did.
    pub fn would_approve(&self, until_ms: i64) -> bool {
        until_ms.saturating_add(STORM_APPROVED_MS) > self.approved_until_ms
    }

    /// An operator approves of storms, until an hour after `until_ms`, and what was counted is forgotten.
    pub fn approve(&mut self, until_ms: i64) {
        self.minutes.clear();
        self.approved_until_ms = self.approved_until_ms.max(until_ms.saturating_add(STORM_APPROVED_MS));
    }

    /// Counts one account more.
    pub fn count(&mut self, minute: i64, taken_ms: i64) {
        self.minutes.entry(minute).or_default().accounts += 1;
        self.counted_ms = taken_ms;
    }

    /// Takes accounts back: they were a storm of their own.
    pub fn take_back(&mut self, minute: i64, accounts: u64) {
        if let Some(of) = self.minutes.get_mut(&minute) {
            of.accounts = of.accounts.saturating_sub(accounts);
        }
    }

    /// The minute is told as a storm.
    pub fn tell(&mut self, minute: i64) {
        self.minutes.insert(minute, Minute { accounts: 0, is_told: true });
    }

    /// Forgets minutes that are over where verdicts are at the minute `newest`, and such as are to come; of
    /// those that are over each with its accounts, but for storms.
    pub fn close(&mut self, newest: i64) -> Vec<(i64, u64)> {
        drop(self.minutes.split_off(&(newest + 1)));
        let open = self.minutes.split_off(&(newest - STORM_MINUTES + 1));
        let closed = std::mem::replace(&mut self.minutes, open).into_iter();
        closed.filter(|(_, of)| !of.is_told).map(|(minute, of)| (minute, of.accounts)).collect()
    }

    /// Whether nothing is lost with it at `taken_ms`.
    pub fn is_over(&self, taken_ms: i64) -> bool {
        let is_fresh = taken_ms < self.counted_ms.saturating_add(STORM_MINUTES * MINUTE_MS);
        !self.is_approved(taken_ms) && (self.minutes.is_empty() || !is_fresh)
    }

    /// Until when an operator approved, and when was counted last; then minutes, their accounts, and whether
    /// they were told (0 or 1): on one line.
    pub fn encode(&self) -> String {
        let mut text = format!("{} {}", self.approved_until_ms, self.counted_ms);
        for (minute, Minute { accounts, is_told }) in &self.minutes {
            text += &format!(" {minute} {accounts} {}", u8::from(*is_told));
        }
        text
    }

    /// Takes back what [`Self::encode`] gave; none where it is damaged.
    pub fn decode(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let approved_until_ms = words.next()?.parse().ok()?;
        let counted_ms = words.next()?.parse().ok()?;
        let mut found = Self { minutes: BTreeMap::new(), counted_ms, approved_until_ms };
        while let Some(minute) = words.next() {
            let accounts = words.next()?.parse().ok()?;
            let is_told = match words.next()? {
                "0" => false,
                "1" => true,
                _ => return None,
            };
            found.minutes.insert(minute.parse().ok()?, Minute { accounts, is_told });
        }
        (found.minutes.len() <= STORM_MINUTES as usize).then_some(found)
    }
}
