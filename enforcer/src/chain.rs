//! The audit chain: every entry holds an audit record as the bytes that were written, and is signed
//! over these, its place, and the hash of the entry before.
//!
//! Nothing is ever encoded again to be checked, so a schema may grow and old entries still verify. Only
//! the enforcer can sign; whoever has the public key can [verify](Verifier).

pub mod tree;
mod verify;

pub use verify::{Break, ChainReport, Flaw, Verifier};

use ed25519_dalek::{Signature as Ed25519Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use weir_schemas::{AuditEntry, Digest, Signature};

/// What every signature begins with, so that none can stand for anything else that a key may sign.
const DOMAIN: &[u8] = b"weir.audit.entry";

/// A key that signs audit entries. Its secret is wiped when it is dropped and never printed.
#[derive(Clone)]
pub struct AuditKey {
    id: String,
    secret: SigningKey,
}

impl AuditKey {
    /// The Ed25519 key of this secret, under the name that entries carry as `key_id`.
    pub fn new(id: impl Into<String>, secret: &[u8; 32]) -> Self {
        Self { id: id.into(), secret: SigningKey::from_bytes(secret) }
    }

    /// The name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The half that verifies.
    pub fn public(&self) -> [u8; 32] {
        self.secret.verifying_key().to_bytes()
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditKey").field("id", &self.id).field("secret", &"redacted").finish()
    }
}

/// Every audit key that an enforcer holds.
///
/// A chain begins with the first key; a control record moves it to another. That is why the order
/// must not change: a task that folds its beginning again must sign as it did.
#[derive(Debug, Clone)]
pub struct AuditKeys {
    first: AuditKey,
    later: Vec<AuditKey>,
}

impl AuditKeys {
    /// The key that chains begin with.
    pub fn new(first: AuditKey) -> Self {
        Self { first, later: Vec::new() }
    }

    /// The same keys and one more, which a control record may move chains to.
    pub fn and(mut self, key: AuditKey) -> Self {
        self.later.push(key);
        self
    }

    /// The key that chains begin with.
    pub fn first(&self) -> &AuditKey {
        &self.first
    }

    /// The key of this name.
    pub fn get(&self, id: &str) -> Option<&AuditKey> {
        std::iter::once(&self.first).chain(&self.later).find(|key| key.id == id)
    }

    /// What an auditor needs of them.
    pub fn public(&self) -> PublicKeys {
        let keys = std::iter::once(&self.first).chain(&self.later);
        PublicKeys { keys: keys.map(|key| (key.id.clone(), key.secret.verifying_key())).collect() }
    }
}

/// The public halves of audit keys, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicKeys {
    keys: BTreeMap<String, VerifyingKey>,
}

impl PublicKeys {
    /// The same keys and one more; none where these bytes are no Ed25519 public key.
    pub fn and(mut self, id: impl Into<String>, public: &[u8; 32]) -> Option<Self> {
        self.keys.insert(id.into(), VerifyingKey::from_bytes(public).ok()?);
        Some(self)
    }

    fn get(&self, id: &str) -> Option<&VerifyingKey> {
        self.keys.get(id)
    }
}

/// The end of a chain: what the next entry continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainHead {
    /// Sequence of the last entry; 0 before the first.
    pub sequence: i64,
    /// Hash of the last entry; zeros before the first.
    pub hash: Digest,
}

impl ChainHead {
    /// The end of a chain whose last entry this is.
    pub fn after(entry: &AuditEntry) -> Self {
        Self { sequence: entry.sequence, hash: hash_of(&message(entry), &entry.signature) }
    }

    /// Signs `record`, which is framed, as the next entry of `writer`'s chain and moves on to it.
    pub fn append(&mut self, writer: &str, key: &AuditKey, record: Vec<u8>) -> AuditEntry {
        let mut entry = AuditEntry {
            writer: writer.to_owned(),
            sequence: self.sequence + 1,
            previous: self.hash,
            key_id: key.id.clone(),
            record,
            signature: Signature::default(),
        };
        let message = message(&entry);
        entry.signature = Signature(key.secret.sign(&message).to_bytes());
        *self = Self { sequence: entry.sequence, hash: hash_of(&message, &entry.signature) };
        entry
    }
}

/// What is signed: every field but the signature, each after its length, so that no two entries have
/// the same.
fn message(entry: &AuditEntry) -> Vec<u8> {
    let sequence = entry.sequence.to_be_bytes();
    let parts: [&[u8]; 6] = [
        DOMAIN,
        entry.writer.as_bytes(),
        &sequence,
        &entry.previous.0,
        entry.key_id.as_bytes(),
        &entry.record,
    ];
    framed(&parts)
}

/// Parts, each after its length in 8 bytes, big-endian: no two lists of parts give the same bytes.
pub(crate) fn framed(parts: &[&[u8]]) -> Vec<u8> {
    let mut message = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        message.extend_from_slice(&(part.len() as u64).to_be_bytes());
        message.extend_from_slice(part);
    }
    message
}

/// An entry's hash: over what is signed, and the signature after its length.
fn hash_of(message: &[u8], signature: &Signature) -> Digest {
    let mut sha = Sha256::new();
    sha.update(message);
    sha.update((signature.0.len() as u64).to_be_bytes());
    sha.update(signature.0);
    Digest(sha.finalize().into())
}

fn has_signed(key: &VerifyingKey, message: &[u8], signature: &Signature) -> bool {
    key.verify_strict(message, &Ed25519Signature::from_bytes(&signature.0)).is_ok()
}

#[cfg(test)]
mod tests;
