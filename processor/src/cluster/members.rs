//! Who shares a value: the first 64 one by one, all of them as a number. Up to 64 members, and up to 64
//! suspicious ones, the number is exact; the order in which they come never changes it.

use super::sketch::Sketch;
use crate::limits::MEMBERS_EXACT_MAX;
use weir_schemas::AccountId;

/// A member that is remembered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Member {
    pub(super) account: AccountId,
    /// Place in the value's list of tenants.
    pub(super) tenant: u8,
    pub(super) is_suspicious: bool,
}
persist_fields!(Member { account, tenant, is_suspicious });

/// The members of a value.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Members {
    known: Vec<Member>,
    suspicious_known: u32,
    /// Everybody, from the 65th member on.
    everybody: Option<Box<Sketch>>,
    everybody_estimate: u32,
    /// Suspicious members beyond those that are remembered, while all suspects are 64 at most.
    more_suspects: Vec<AccountId>,
    /// All suspicious members, from the 65th on.
    suspects: Option<Box<Sketch>>,
    suspects_estimate: u32,
}
persist_fields!(Members {
    known,
    suspicious_known,
    everybody,
    everybody_estimate,
    more_suspects,
    suspects,
    suspects_estimate
});

/// What a link changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) is_new: bool,
    pub(super) is_new_suspect: bool,
}

impl Members {
    /// Adds an account, or a suspicion of it.
    pub(super) fn join(&mut self, account: AccountId, tenant: u8, is_suspicious: bool) -> Change {
        if let Some(member) = self.known.iter_mut().find(|member| member.account == account) {
            let is_new_suspect = is_suspicious && !member.is_suspicious;
            if is_new_suspect {
                member.is_suspicious = true;
                self.suspicious_known += 1;
                self.sketch_suspect(account);
            }
            return Change { is_new: false, is_new_suspect };
        }
        if self.known.len() < MEMBERS_EXACT_MAX {
            self.known.push(Member { account, tenant, is_suspicious });
            self.suspicious_known += u32::from(is_suspicious);
            return Change { is_new: true, is_new_suspect: is_suspicious };
        }
        let known = &self.known;
        let everybody =
            self.everybody.get_or_insert_with(|| sketch_of(known.iter().map(|member| member.account)));
        let is_new = everybody.insert(account);
        if is_new {
            self.everybody_estimate = everybody.estimate();
        }
        Change { is_new, is_new_suspect: is_suspicious && self.suspect_more(account) }
    }

    /// A suspect that is not among the remembered members; false if that was known.
    fn suspect_more(&mut self, account: AccountId) -> bool {
        if self.suspects.is_some() {
            return self.sketch_suspect(account);
        }
        if self.more_suspects.contains(&account) {
            return false;
        }
        self.more_suspects.push(account);
        self.sketch_suspect(account);
        true
    }

    /// Counts a suspect in the sketch, once there are too many to count them one by one.
    fn sketch_suspect(&mut self, account: AccountId) -> bool {
        if self.suspects.is_none() {
            if self.suspicious_known as usize + self.more_suspects.len() <= MEMBERS_EXACT_MAX {
                return true;
            }
            let known = self.known.iter().filter(|member| member.is_suspicious);
            let all = known.map(|member| member.account).chain(std::mem::take(&mut self.more_suspects));
            let sketch = sketch_of(all);
            self.suspects_estimate = sketch.estimate();
            self.suspects = Some(sketch);
            return true;
        }
        let Some(suspects) = &mut self.suspects else { return false };
        let is_new = suspects.insert(account);
        if is_new {
            self.suspects_estimate = suspects.estimate();
        }
        is_new
    }

    /// Number of members: exact up to 64.
    pub(super) fn count(&self) -> u32 {
        let known = self.known.len() as u32;
        if self.everybody.is_some() { self.everybody_estimate.max(known + 1) } else { known }
    }

    /// Number of suspicious members.
    pub(super) fn suspicious(&self) -> u32 {
        let counted = match self.suspects {
            Some(_) => self.suspects_estimate.max(MEMBERS_EXACT_MAX as u32 + 1),
            None => self.suspicious_known + self.more_suspects.len() as u32,
        };
        counted.min(self.count())
    }

    /// The members that are remembered, in the order in which they came.
    pub(super) fn known(&self) -> &[Member] {
        &self.known
    }
}

fn sketch_of(accounts: impl Iterator<Item = AccountId>) -> Box<Sketch> {
    let mut sketch = Box::<Sketch>::default();
    accounts.for_each(|account| {
        sketch.insert(account);
    });
    sketch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::hash;

    fn id(index: usize) -> AccountId {
        AccountId(hash(&format!("account {index}")).0)
    }

    #[test]
    fn up_to_64_members_are_exact() {
        let mut members = Members::default();
        for index in 0..64 {
            assert!(members.join(id(index), 0, index % 2 == 0).is_new);
            assert!(!members.join(id(index), 0, false).is_new);
        }
        assert_eq!((members.count(), members.suspicious()), (64, 32));
    }

    #[test]
    fn a_suspicion_counts_once_and_is_never_taken_back() {
        let mut members = Members::default();
        members.join(id(1), 0, false);
        assert!(members.join(id(1), 0, true).is_new_suspect);
        assert!(!members.join(id(1), 0, true).is_new_suspect);
        members.join(id(1), 0, false);
        assert_eq!((members.count(), members.suspicious()), (1, 1));
    }

    #[test]
    fn beyond_64_they_are_estimated_and_memory_stays() {
        let mut members = Members::default();
        for index in 0..20_000 {
            members.join(id(index), 0, index % 4 == 0);
        }
        let (count, suspicious) = (f64::from(members.count()), f64::from(members.suspicious()));
        assert!((count / 20_000.0 - 1.0).abs() < 0.2, "{count}");
        assert!((suspicious / 5_000.0 - 1.0).abs() < 0.2, "{suspicious}");
        assert_eq!(members.known().len(), 64);
    }
}
