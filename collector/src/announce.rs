//! Who was announced: a raw id leaves the node once a day, sealed, and not with every event.
//!
//! By the collector's clock, because retention counts by it: an import of last year's log announces each
//! account once. What is announced is remembered only here, so a restart announces anew.

use crate::identity::AsItIs;
use crate::limits::{ANNOUNCE_EVERY_MS, ANNOUNCED_MAX};
use crate::seal::Sealer;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use weir_schemas::AccountId;
use weir_schemas::wire::Wire;
use weir_topology::record::Output;
use weir_topology::telemetry::Telemetry;
use weir_topology::topic::Topic;

/// Writes the identities that the events of a commit need.
pub(crate) struct Announcer {
    sealer: Sealer,
    announced: Announced,
    wire: Arc<Wire>,
    identities: Vec<Output>,
}

impl Announcer {
    pub fn new(sealer: Sealer, wire: Arc<Wire>) -> Self {
        Self { sealer, announced: Announced::default(), wire, identities: Vec::new() }
    }

    /// Seals who stands behind a pseudonym, where that was not told of late.
    pub fn announce(&mut self, pseudonym: AccountId, epoch: i32, tenant: &str, account: &str, now_ms: i64) {
        if !self.announced.is_due(pseudonym, now_ms) {
            return;
        }
        let sealed = self.sealed(pseudonym, epoch, tenant, account, now_ms);
        self.identities.extend(sealed);
    }

    /// Seals who stands behind a pseudonym, where that was not told of late; it is told when an event of
    /// theirs is.
    pub fn seal(
        &mut self,
        pseudonym: AccountId,
        epoch: i32,
        tenant: &str,
        account: &str,
        now_ms: i64,
    ) -> Option<Output> {
        if self.announced.is_known(pseudonym, now_ms) {
            return None;
        }
        self.sealed(pseudonym, epoch, tenant, account, now_ms)
    }

    /// Announces what was [sealed](Self::seal), where it is due.
    pub fn announce_sealed(&mut self, pseudonym: AccountId, sealed: Option<Output>, now_ms: i64) {
        if let Some(sealed) = sealed
            && self.announced.is_due(pseudonym, now_ms)
        {
            self.identities.push(sealed);
        }
    }

    fn sealed(
        &mut self,
        pseudonym: AccountId,
        epoch: i32,
        tenant: &str,
        account: &str,
        now_ms: i64,
    ) -> Option<Output> {
        let identity = self.sealer.seal(pseudonym, epoch, tenant, account, now_ms)?;
        let payload = self.wire.to_bytes(&identity);
        Some(Output::keyed(Topic::Identities, pseudonym.to_key(), payload, now_ms))
    }

    /// Tells of a commit's identities, and of accounts that were forgotten before it.
    pub fn tell(announced: u64, forgotten: u64, telemetry: &dyn Telemetry) {
        if announced > 0 {
            telemetry.identities_announced(announced);
        }
        if forgotten > 0 {
            telemetry.identities_forgotten(forgotten);
        }
    }

    /// The identities since the last call, and how many accounts were forgotten for want of room.
    pub fn take(&mut self) -> (Vec<Output>, u64) {
        self.forget_key();
        (std::mem::take(&mut self.identities), self.announced.take_forgotten())
    }

    /// What was sealed so far can be opened by the enforcer alone from now on, also where it is not taken
    /// yet.
    pub fn forget_key(&mut self) {
        self.sealer.begin_anew();
    }

    /// Announces everybody again: what was announced last is not in the log.
    pub fn begin_anew(&mut self) {
        self.identities.clear();
        self.announced.clear();
    }
}

/// When each account of late was announced. Bounded: two generations, of which the younger takes what is
/// seen and the older is dropped when it is full, so that an account which is seen often is never forgotten.
#[derive(Debug, Default)]
pub struct Announced {
    young: HashMap<AccountId, i64, BuildHasherDefault<AsItIs>>,
    old: HashMap<AccountId, i64, BuildHasherDefault<AsItIs>>,
    forgotten: u64,
}

impl Announced {
    /// Whether the account has to be announced now; if so it counts as announced.
    pub fn is_due(&mut self, account: AccountId, now_ms: i64) -> bool {
        let known = self.young.get(&account).copied();
        let at = known.or_else(|| self.old.remove(&account));
        let is_due = at.is_none_or(|at| now_ms.saturating_sub(at) >= ANNOUNCE_EVERY_MS || now_ms < at);
        if known.is_none() || is_due {
            let at = if is_due { now_ms } else { at.unwrap_or(now_ms) };
            self.put(account, at);
        }
        is_due
    }

    /// Whether the account need not be announced now.
    fn is_known(&self, account: AccountId, now_ms: i64) -> bool {
        let at = self.young.get(&account).or_else(|| self.old.get(&account));
        at.is_some_and(|at| (0..ANNOUNCE_EVERY_MS).contains(&now_ms.saturating_sub(*at)))
    }

    fn put(&mut self, account: AccountId, at_ms: i64) {
        if self.young.len() >= ANNOUNCED_MAX / 2 && !self.young.contains_key(&account) {
            self.forgotten += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(account, at_ms);
    }

    /// Forgets everybody: what was announced may not be in the log.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// How many were forgotten for want of room since the last call: they are announced again when they
    /// are seen again.
    pub fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: usize) -> AccountId {
        AccountId((number as u128).to_be_bytes())
    }

    #[test]
    fn every_commit_has_an_ephemeral_key_of_its_own_and_announcing_anew_uses_no_place_twice() {
        let mut public = [0; 32];
        public[0] = 9;
        let sealer = Sealer::new(1, &public, [5; 32]).expect("a key");
        let mut announcer = Announcer::new(sealer, Arc::new(Wire::new()));
        let announce = |announcer: &mut Announcer| {
            announcer.announce(account(1), 0, "acme", "one", 7);
            announcer.announce(account(2), 0, "acme", "two", 7);
        };
        announce(&mut announcer);
        announcer.begin_anew();
        announce(&mut announcer);
        let (first, _) = announcer.take();
        announcer.begin_anew();
        announce(&mut announcer);
        let (second, _) = announcer.take();
        let identity = |output: &Output| -> (Vec<u8>, i32) {
            let payload = output.payload.as_deref().expect("an identity");
            let identity: weir_schemas::Identity = Wire::new().read(payload).expect("an identity");
            (identity.encapsulated, identity.place)
        };
        let (first, second): (Vec<_>, Vec<_>) =
            (first.iter().map(identity).collect(), second.iter().map(identity).collect());
        let places =
            |identities: &[(Vec<u8>, i32)]| identities.iter().map(|(_, place)| *place).collect::<Vec<_>>();
        assert_eq!((places(&first), places(&second)), (vec![3, 4], vec![1, 2]));
        assert_eq!((&first[0].0, &second[0].0), (&first[1].0, &second[1].0));
        assert_ne!(first[0].0, second[0].0);
    }

    #[test]
    fn an_account_is_announced_at_once_and_again_after_a_day() {
        let mut announced = Announced::default();
        let due: Vec<bool> = [0, 1, ANNOUNCE_EVERY_MS - 1, ANNOUNCE_EVERY_MS, ANNOUNCE_EVERY_MS + 1]
            .map(|now_ms| announced.is_due(account(1), now_ms))
            .into();
        assert_eq!(due, [true, false, false, true, false]);
        assert!(announced.is_due(account(2), 5), "another account has a day of its own");
    }

    #[test]
    fn a_clock_that_was_set_back_announces_again_instead_of_keeping_silent_for_long() {
        let mut announced = Announced::default();
        assert!(announced.is_due(account(1), 1_000_000));
        assert!(announced.is_due(account(1), 5));
        assert!(!announced.is_due(account(1), 6));
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_counted_and_announced_again() {
        let mut announced = Announced::default();
        for number in 0..3 * ANNOUNCED_MAX {
            assert!(announced.is_due(account(number), 0));
            // Seen all the time, and never forgotten.
            assert!(!announced.is_due(account(0), 0), "at {number}");
            assert!(announced.len() <= ANNOUNCED_MAX);
        }
        assert!(announced.take_forgotten() as usize >= 2 * ANNOUNCED_MAX - 2);
        assert_eq!(announced.take_forgotten(), 0);
        assert!(announced.is_due(account(1), 0));
    }
}
