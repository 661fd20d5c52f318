//! Pseudonyms: keyed hashes that stand for raw ids. Collectors make them; the enforcer, which opens a sealed
//! identity, checks that it makes the pseudonym that it was announced for.

use crate::AccountId;
use crate::keyed::KeyedHash;
use std::fmt;

/// The key of all pseudonyms. It is wiped when this is dropped, and cannot be printed.
#[derive(Clone)]
pub struct PseudonymKey {
    mac: KeyedHash,
    epoch: i32,
}

impl fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PseudonymKey").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl PseudonymKey {
    /// The key, which is the `epoch`-th rotation.
    pub fn new(key: &[u8; 32], epoch: i32) -> Self {
        Self { mac: KeyedHash::new(key), epoch }
    }

    /// Which rotation it is.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The analytic id of a tenant's account.
    pub fn account(&self, tenant: &str, account: &str) -> AccountId {
        AccountId(self.hash("weir.account", &[tenant.as_bytes(), account.as_bytes()]))
    }

    /// The keyed hash of a domain, for which its parts are still to come, each after its length in 8 bytes,
    /// big-endian.
    pub fn domain(&self, domain: &str) -> KeyedHash {
        let mut mac = self.mac.clone();
        mac.update(&(domain.len() as u64).to_be_bytes());
        mac.update(domain.as_bytes());
        mac
    }

    /// The first 16 bytes of the keyed hash of a domain and its parts.
    pub fn hash(&self, domain: &str, parts: &[&[u8]]) -> [u8; 16] {
        let mut mac = self.domain(domain);
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.first_16(&[])
    }
}
