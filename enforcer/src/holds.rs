//! Which actions are in force on which account: what keeps the same action from being taken twice.
//!
//! Bounded and forgotten by event time. Whether an action is in force is asked with the verdict's own
//! time, so that the answer does not depend on the other accounts of a partition.

use crate::limits::{ACCOUNTS_MAX, LATENESS_MS};
use std::collections::{BTreeMap, BTreeSet};
use weir_schemas::{AccountId, ActionKind, Tier};

/// An action that was decided and has not expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    pub kind: ActionKind,
    pub tier: Tier,
    pub ring: i32,
    /// Event time until which it is in force.
    pub until_ms: i64,
    /// Whether it was to be carried out, or withheld by the posture.
    pub acted: bool,
    /// See [`crate::decide::Proposal::subject`].
    pub subject: u64,
}

/// Holds of every account.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    accounts: BTreeMap<AccountId, Vec<Hold>>,
    /// Accounts by the time at which their last hold ends.
    by_end: BTreeSet<(i64, AccountId)>,
    /// Accounts that changed since the last snapshot.
    changed: BTreeSet<AccountId>,
}

/// How many accounts were forgotten, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Forgotten {
    pub expired: u64,
    pub by_cap: u64,
}

fn end_of(holds: &[Hold]) -> i64 {
    holds.iter().map(|hold| hold.until_ms).max().unwrap_or(i64::MIN)
}

impl Holds {
    /// The hold of this kind that is in force at `time_ms`.
    pub fn at(&self, account: AccountId, kind: ActionKind, time_ms: i64) -> Option<Hold> {
        let holds = self.accounts.get(&account)?;
        holds.iter().find(|hold| hold.kind == kind && hold.until_ms > time_ms).copied()
    }

    /// Puts a hold in force, in place of an earlier one of its kind.
    pub fn put(&mut self, account: AccountId, hold: Hold) {
        let mut holds = self.accounts.get(&account).cloned().unwrap_or_default();
        holds.retain(|other| other.kind != hold.kind);
        holds.push(hold);
        holds.sort_unstable_by_key(|hold| hold.kind);
        self.set(account, holds);
        self.changed.insert(account);
    }

    fn set(&mut self, account: AccountId, holds: Vec<Hold>) {
        self.remove(account);
        self.by_end.insert((end_of(&holds), account));
        self.accounts.insert(account, holds);
    }

    fn remove(&mut self, account: AccountId) {
        if let Some(holds) = self.accounts.remove(&account) {
            self.by_end.remove(&(end_of(&holds), account));
        }
    }

    /// Forgets what expired well before `clock_ms`, and what is over the cap.
    pub fn evict(&mut self, clock_ms: i64) -> Forgotten {
        let mut forgotten = Forgotten::default();
        while let Some((end, account)) = self.by_end.first().copied() {
            let has_expired = end.saturating_add(LATENESS_MS) <= clock_ms;
            if !has_expired && self.accounts.len() <= ACCOUNTS_MAX {
                break;
            }
            if has_expired {
                forgotten.expired += 1
            } else {
                forgotten.by_cap += 1
            }
            self.remove(account);
            self.changed.insert(account);
        }
        forgotten
    }

    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    pub fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Accounts that changed since the last call, in order, with their encoded holds; none for a
    /// forgotten account.
    pub fn take_changes(&mut self) -> impl Iterator<Item = (AccountId, Option<Vec<u8>>)> + '_ {
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|account| (account, self.accounts.get(&account).map(|holds| encode(holds))))
    }

    /// Takes back what [`Self::take_changes`] gave.
    pub fn restore(&mut self, account: AccountId, body: &[u8]) -> Result<(), String> {
        self.set(account, decode(body)?);
        Ok(())
    }

    pub fn forget(&mut self, account: AccountId) {
        self.remove(account);
    }
}

/// Kind, tier, ring, acted (a byte each), end and subject (8 bytes each, big-endian) of every hold.
const HOLD_BYTES: usize = 20;

fn encode(holds: &[Hold]) -> Vec<u8> {
    let mut out = Vec::with_capacity(holds.len() * HOLD_BYTES);
    for hold in holds {
        out.extend_from_slice(&[hold.kind as u8, hold.tier as u8, hold.ring as u8, u8::from(hold.acted)]);
        out.extend_from_slice(&hold.until_ms.to_be_bytes());
        out.extend_from_slice(&hold.subject.to_be_bytes());
    }
    out
}

fn decode(body: &[u8]) -> Result<Vec<Hold>, String> {
    let (chunks, rest) = body.as_chunks::<HOLD_BYTES>();
    if !rest.is_empty() || chunks.len() > ActionKind::ALL.len() {
        return Err(format!("{} bytes are not a list of actions in force", body.len()));
    }
    let hold = |chunk: &[u8; HOLD_BYTES]| {
        let [kind, tier, ring, acted, rest @ ..] = chunk;
        let (until, subject) = rest.split_first_chunk::<8>()?;
        Some(Hold {
            kind: *ActionKind::ALL.get(usize::from(*kind))?,
            tier: *Tier::ALL.get(usize::from(*tier))?,
            ring: i32::from(*ring),
            until_ms: i64::from_be_bytes(*until),
            acted: *acted == 1,
            subject: u64::from_be_bytes(*subject.first_chunk::<8>()?),
        })
    };
    chunks
        .iter()
        .map(|chunk| hold(chunk).ok_or_else(|| "an action in force has no known kind".to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hold(kind: ActionKind, until_ms: i64) -> Hold {
        Hold { kind, tier: Tier::High, ring: 2, until_ms, acted: true, subject: 7 }
    }

    #[test]
    fn an_action_is_in_force_until_its_end_and_no_longer() {
        let mut holds = Holds::default();
        let account = AccountId([1; 16]);
        holds.put(account, hold(ActionKind::RateLimit, 1000));
        assert!(holds.at(account, ActionKind::RateLimit, 999).is_some());
        assert!(holds.at(account, ActionKind::RateLimit, 1000).is_none());
        assert!(holds.at(account, ActionKind::Review, 999).is_none());
    }

    #[test]
    fn an_account_is_forgotten_when_its_last_action_expired_and_late_verdicts_had_their_time() {
        let mut holds = Holds::default();
        let account = AccountId([1; 16]);
        holds.put(account, hold(ActionKind::RateLimit, 1000));
        holds.put(account, hold(ActionKind::Review, 5000));
        assert_eq!(holds.evict(5000 + LATENESS_MS - 1), Forgotten::default());
        assert_eq!(holds.evict(5000 + LATENESS_MS), Forgotten { expired: 1, by_cap: 0 });
        assert_eq!((holds.len(), holds.by_end.len()), (0, 0));
    }

    #[test]
    fn over_the_cap_the_account_whose_actions_end_first_is_forgotten_and_counted() {
        let mut holds = Holds::default();
        for n in 0..=ACCOUNTS_MAX {
            let account = AccountId((n as u128).to_be_bytes());
            holds.put(account, hold(ActionKind::RateLimit, 1_000_000 - n as i64));
        }
        assert_eq!(holds.evict(0), Forgotten { expired: 0, by_cap: 1 });
        let last = AccountId((ACCOUNTS_MAX as u128).to_be_bytes());
        assert!(holds.at(last, ActionKind::RateLimit, 0).is_none());
        assert_eq!(holds.len(), ACCOUNTS_MAX);
    }

    proptest! {
        #[test]
        fn holds_come_back_as_they_were(ends in prop::collection::vec(any::<(i64, u64, bool)>(), 0..=5)) {
            let holds: Vec<Hold> = ends.iter().zip(ActionKind::ALL).map(|((until_ms, subject, acted), kind)| Hold {
                subject: *subject, acted: *acted, ..hold(*kind, *until_ms)
            }).collect();
            prop_assert_eq!(decode(&encode(&holds)), Ok(holds));
        }

        #[test]
        fn damaged_holds_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..130)) {
            let _ = decode(&bytes);
        }
    }
}
