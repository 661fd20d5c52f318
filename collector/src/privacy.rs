//! Pseudonyms: keyed hashes that stand for accounts and for values that accounts can share.
//!
//! HMAC-SHA256 under one key, over a domain name and length-prefixed parts, so that no two lists of
//! parts make the same input; the first 16 bytes are kept. Without the key nothing can be found by
//! trying.
//!
//! *Accounts* are hashed with their tenant: the same raw id at two tenants is two accounts.
//! *Values* are hashed without it. A campaign does not stop at a tenant's border, and who runs Weir
//! answers for all tenants of the deployment; tenants that must not be compared get deployments,
//! and so keys, of their own.

use crate::limits::{PSEUDONYMS_REMEMBERED, REMEMBERED_BYTES_MAX};
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use weir_schemas::keyed::KeyedHash;
use weir_schemas::pseudonym::PseudonymKey;
use weir_schemas::{AccountId, ValueHash};
use zeroize::Zeroizing;

/// What a value is: equal bytes of two kinds have different hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// Client address.
    Address,
    /// Its network.
    Subnet,
    /// Payment method.
    Payment,
    /// Customer organisation.
    Org,
    /// System prompt, from its text.
    Preamble,
    /// System prompt, from a hash that the source made.
    PreambleHash,
    /// Normalised prompt.
    Text,
    /// Prompt with its content masked.
    Template,
    /// Beginning of the prompt.
    Head,
    /// Id that the source gives an exchange.
    RequestId,
}

impl ValueKind {
    /// Every kind, in the order of their numbers.
    const ALL: [Self; 10] = [
        Self::Address,
        Self::Subnet,
        Self::Payment,
        Self::Org,
        Self::Preamble,
        Self::PreambleHash,
        Self::Text,
        Self::Template,
        Self::Head,
        Self::RequestId,
    ];

    /// Name of the hash's domain: part of what is hashed.
    const fn domain(self) -> &'static str {
        match self {
            Self::Address => "weir.value.address",
            Self::Subnet => "weir.value.subnet",
            Self::Payment => "weir.value.payment",
            Self::Org => "weir.value.org",
            Self::Preamble => "weir.value.preamble",
            Self::PreambleHash => "weir.value.preamble-hash",
            Self::Text => "weir.value.text",
            Self::Template => "weir.value.template",
            Self::Head => "weir.value.head",
            Self::RequestId => "weir.value.request-id",
        }
    }
}

/// Makes pseudonyms under one key. The key is wiped when this is dropped, and cannot be printed.
pub struct Pseudonymizer {
    key: PseudonymKey,
    /// The keyed hash of each kind of values, for which the value is still to come.
    values: [KeyedHash; ValueKind::ALL.len()],
    simhash_seed: u64,
    remembered: Remembered,
    message: Vec<u8>,
}

impl fmt::Debug for Pseudonymizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pseudonymizer").field("key_epoch", &self.key.epoch()).finish_non_exhaustive()
    }
}

impl Pseudonymizer {
    /// Pseudonyms under `key`, which is the `key_epoch`-th rotation.
    pub fn new(key: [u8; 32], key_epoch: i32) -> Self {
        let key = PseudonymKey::new(&Zeroizing::new(key), key_epoch);
        let seed = key.hash("weir.simhash", &[]);
        Self {
            values: ValueKind::ALL.map(|kind| key.domain(kind.domain())),
            key,
            simhash_seed: seed.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte)),
            remembered: Remembered::default(),
            message: Vec::new(),
        }
    }

    /// Which rotation of the key makes these pseudonyms.
    pub fn key_epoch(&self) -> i32 {
        self.key.epoch()
    }

    /// A number that depends on the key, to start unkeyed hashes from.
    pub(crate) fn simhash_seed(&self) -> u64 {
        self.simhash_seed
    }

    /// The analytic id of an account.
    pub fn account(&mut self, tenant: &str, account: &str) -> AccountId {
        let parts = [tenant.as_bytes(), account.as_bytes()];
        AccountId(self.remembered(u8::MAX, &parts, |this| this.key.account(tenant, account).0))
    }

    /// The hash of a value that many events share.
    pub fn value(&mut self, kind: ValueKind, value: &[u8]) -> ValueHash {
        ValueHash(self.remembered(kind as u8, &[value], |this| this.rare_value(kind, value).0))
    }

    /// The hash of a value that is seldom seen twice.
    pub(crate) fn rare_value(&self, kind: ValueKind, value: &[u8]) -> ValueHash {
        ValueHash(self.values[kind as usize].first_16(&[&(value.len() as u64).to_be_bytes(), value]))
    }

    /// The hashes of a client address and of its /24 or /48. An IPv4 address in an IPv6 one is the
    /// IPv4 address.
    pub fn address(&mut self, address: IpAddr) -> (ValueHash, ValueHash) {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let octets = v4.octets();
                (self.value(ValueKind::Address, &octets), self.value(ValueKind::Subnet, &octets[..3]))
            }
            IpAddr::V6(v6) => {
                let octets = v6.octets();
                (self.value(ValueKind::Address, &octets), self.value(ValueKind::Subnet, &octets[..6]))
            }
        }
    }

    /// The keyed hash of a domain, for which its one part is still to come.
    pub(crate) fn domain(&self, domain: &str) -> KeyedHash {
        self.key.domain(domain)
    }

    /// What `hash` gives for these parts, or gave of late; `kind` stands for the domain among what is
    /// remembered.
    fn remembered(&mut self, kind: u8, parts: &[&[u8]], hash: impl FnOnce(&Self) -> [u8; 16]) -> [u8; 16] {
        if parts.iter().map(|part| part.len()).sum::<usize>() > REMEMBERED_BYTES_MAX {
            return hash(self);
        }
        self.message.clear();
        self.message.push(kind);
        for part in parts {
            self.message.extend_from_slice(&(part.len() as u16).to_be_bytes());
            self.message.extend_from_slice(part);
        }
        let fingerprint = self.remembered.fingerprint(&self.message);
        if let Some(hash) = self.remembered.get(fingerprint) {
            return hash;
        }
        let hash = hash(self);
        self.remembered.put(fingerprint, hash);
        hash
    }
}

/// The pseudonyms of late, each in the one place that the fingerprint of its input gives it. It holds
/// fingerprints instead of inputs: no raw id outlives its line, and a look-up touches memory once.
struct Remembered {
    places: Box<[(u128, [u8; 16])]>,
    /// Keyed anew in every process, so that nobody can choose inputs that meet.
    hasher: RandomState,
}

impl Default for Remembered {
    fn default() -> Self {
        let places = vec![(0, [0; 16]); PSEUDONYMS_REMEMBERED].into();
        Self { places, hasher: RandomState::new() }
    }
}

impl Remembered {
    /// 128 bits, so that no two inputs of a process share it; never 0, which is a free place.
    fn fingerprint(&self, message: &[u8]) -> u128 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(message);
        let low = hasher.finish();
        // The hasher's own state has 256 bits: one more byte makes of it 64 that are others.
        hasher.write_u8(0);
        (u128::from(hasher.finish()) << 64 | u128::from(low)).max(1)
    }

    fn get(&self, fingerprint: u128) -> Option<[u8; 16]> {
        let (known, hash) = self.places[fingerprint as usize % PSEUDONYMS_REMEMBERED];
        (known == fingerprint).then_some(hash)
    }

    fn put(&mut self, fingerprint: u128, hash: [u8; 16]) {
        self.places[fingerprint as usize % PSEUDONYMS_REMEMBERED] = (fingerprint, hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pseudonymizer() -> Pseudonymizer {
        Pseudonymizer::new([7; 32], 3)
    }

    #[test]
    fn an_account_is_its_tenants_own() {
        let mut keys = pseudonymizer();
        assert_ne!(keys.account("a", "x"), keys.account("b", "x"));
        assert_ne!(keys.account("ab", "c"), keys.account("a", "bc"));
        assert_eq!(keys.account("a", "x"), pseudonymizer().account("a", "x"));
        assert_ne!(keys.account("a", "x"), Pseudonymizer::new([8; 32], 3).account("a", "x"));
    }

    #[test]
    fn the_pseudonym_is_the_hmac_that_is_documented() {
        // Computed with Python's hmac over b"\0\0\0\0\0\0\0\x0cweir.account" + b"\0"*7 + b"\x01a" + b"\0"*7 +
        // b"\x01x".
        assert_eq!(pseudonymizer().account("a", "x").to_string(), "3f82ea86f3609d96909f9a996517904d");
    }

    #[test]
    fn the_hash_of_a_value_is_that_of_its_domain_and_its_length() {
        let keys = pseudonymizer();
        for (index, kind) in ValueKind::ALL.into_iter().enumerate() {
            let documented = PseudonymKey::new(&[7; 32], 3).hash(kind.domain(), &[b"value"]);
            assert_eq!((kind as usize, keys.rare_value(kind, b"value").0), (index, documented), "{kind:?}");
        }
    }

    #[test]
    fn values_of_two_kinds_never_meet() {
        let mut keys = pseudonymizer();
        assert_ne!(keys.value(ValueKind::Org, b"x"), keys.value(ValueKind::Payment, b"x"));
        assert_eq!(keys.value(ValueKind::Org, b"x"), keys.rare_value(ValueKind::Org, b"x"));
    }

    #[test]
    fn neighbours_share_a_subnet() {
        let mut keys = pseudonymizer();
        let mut of = |text: &str| keys.address(text.parse().unwrap());
        let (a, b, mapped) = (of("192.0.2.7"), of("192.0.2.9"), of("::ffff:192.0.2.7"));
        assert_eq!((a.1, a), (b.1, mapped));
        assert_ne!(a.0, b.0);
        assert_eq!(of("2001:db8:40::1").1, of("2001:db8:40:ffff::2").1);
        assert_ne!(of("2001:db8:40::1").1, of("2001:db8:41::1").1);
    }

    #[test]
    fn a_forgotten_pseudonym_comes_back_the_same() {
        let mut keys = pseudonymizer();
        let first = keys.account("t", "first");
        for index in 0..3 * PSEUDONYMS_REMEMBERED {
            keys.account("t", &index.to_string());
        }
        assert_eq!(keys.account("t", "first"), first);
    }

    #[test]
    fn nothing_of_the_key_is_printed() {
        let mut keys = Pseudonymizer::new(*b"canary-key-canary-key-canary-key", 3);
        keys.account("tenant", "canary-account");
        assert_eq!(format!("{keys:?}"), "Pseudonymizer { key_epoch: 3, .. }");
    }
}
