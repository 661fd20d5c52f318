//! Rules by the id of their tenant: looked up at every event, so by a hash.

use super::Rules;
use hashbrown::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// The rules of the tenants of which a policy says something.
pub(super) type ByTenant = HashMap<String, Arc<Rules>, BuildHasherDefault<IdHasher>>;

/// FNV-1a: the same in every process. Who writes the policy chooses the ids, nobody else, and they are few.
#[derive(Debug)]
pub(super) struct IdHasher(u64);

impl Default for IdHasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
