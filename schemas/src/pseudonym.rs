//! Pseudonyms: keyed hashes that stand for raw ids. Collectors make them; the enforcer, which opens a sealed
//! identity, checks that it makes the pseudonym that it was announced for.

use crate::AccountId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// The key of all pseudonyms. It is wiped when this is dropped, and cannot be printed.
#[derive(Clone)]
pub struct PseudonymKey {
    mac: Hmac<Sha256>,
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
        // HMAC fills a key up with zeros to a block.
        let mut block = Zeroizing::new([0; 64]);
        block[..32].copy_from_slice(key);
        let block: &[u8; 64] = &block;
        Self { mac: Hmac::new(block.into()), epoch }
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
    pub fn domain(&self, domain: &str) -> Hmac<Sha256> {
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
        let full = mac.finalize().into_bytes();
        let mut kept = [0; 16];
        kept.copy_from_slice(&full[..16]);
        kept
    }
}
