//! The audit chain: every record carries a MAC over all of itself, the MAC of the record before
//! included, so that a chain can only be changed at its end, and there only against its head.

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;
use weir_schemas::{Audit, Mac, Record};
use zeroize::Zeroizing;

/// A key that signs audit records. Its secret is wiped when it is dropped and never printed.
#[derive(Clone)]
pub struct AuditKey {
    id: String,
    secret: Zeroizing<[u8; 32]>,
}

impl AuditKey {
    /// A key under the name that records carry as `key_id`.
    pub fn new(id: impl Into<String>, secret: [u8; 32]) -> Self {
        Self { id: id.into(), secret: Zeroizing::new(secret) }
    }

    /// The name.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn hmac_over(&self, audit: &Audit) -> Hmac<Sha256> {
        let bare = Audit { mac: Mac::default(), ..audit.clone() };
        let mut hmac =
            Hmac::<Sha256>::new_from_slice(self.secret.as_slice()).expect("HMAC takes keys of any length");
        hmac.update(&bare.to_datum());
        hmac
    }

    fn mac(&self, audit: &Audit) -> Mac {
        Mac(self.hmac_over(audit).finalize().into_bytes().into())
    }

    fn has_signed(&self, audit: &Audit) -> bool {
        self.hmac_over(audit).verify_slice(&audit.mac.0).is_ok()
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditKey").field("id", &self.id).field("secret", &"redacted").finish()
    }
}

/// Every audit key that an enforcer or an auditor holds.
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
}

/// The end of a chain: what the next record continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainHead {
    /// Sequence of the last record; 0 before the first.
    pub sequence: i64,
    /// MAC of the last record; zeros before the first.
    pub mac: Mac,
}

impl ChainHead {
    /// Signs `audit` as the next record of `writer`'s chain and moves on to it.
    ///
    /// `writer`, `sequence`, `key_id`, `previous_mac` and `mac` are filled in here.
    pub fn append(&mut self, writer: &str, key: &AuditKey, audit: Audit) -> Audit {
        let mut audit = Audit {
            writer: writer.to_owned(),
            sequence: self.sequence + 1,
            key_id: key.id.clone(),
            previous_mac: self.mac,
            ..audit
        };
        audit.mac = key.mac(&audit);
        *self = Self { sequence: audit.sequence, mac: audit.mac };
        audit
    }
}

/// What a sound chain consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReport {
    /// The chain; empty where there was no record.
    pub writer: String,
    /// Number of records verified.
    pub records: u64,
    /// Its end.
    pub head: ChainHead,
    /// Records by the key that signed them.
    pub by_key: BTreeMap<String, u64>,
}

/// Where a chain is not sound.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the audit chain breaks at record {sequence}: {what}")]
pub struct Break {
    /// The record that should stand there.
    pub sequence: i64,
    /// What is wrong.
    pub what: Flaw,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Flaw {
    /// The record's content is not what was signed, or another secret signed it.
    #[error("its content is not what key {key_id} signed")]
    Altered {
        /// Key that it names.
        key_id: String,
    },
    /// The record names a key that was not given.
    #[error("it names key {key_id}, which was not given")]
    UnknownKey {
        /// Key that it names.
        key_id: String,
    },
    /// A signed record stands where another should: records were deleted, repeated or reordered.
    #[error("record {found} stands in its place: records were deleted, repeated or reordered")]
    OutOfPlace {
        /// The record that stands there.
        found: i64,
    },
    /// A signed record of another chain.
    #[error("it belongs to the chain of {found}, not of {expected}")]
    OtherChain {
        /// The chain that is verified.
        expected: String,
        /// The chain that it belongs to.
        found: String,
    },
    /// It was signed after another record than the one before it.
    #[error("it does not continue the record before it")]
    Unlinked,
    /// The chain ends before its known head.
    #[error("it is missing: the chain was cut before its head, record {head}")]
    Truncated {
        /// Sequence of the known head.
        head: i64,
    },
    /// The record at the known head's place is another one.
    #[error("it is not the record that was the chain's head")]
    NotTheHead,
}

/// Verifies one chain's records in their order.
///
/// `from` is the head that they continue (the default for a chain's beginning); `head`, where it is
/// known from elsewhere, shows that no record was cut off at the end.
pub fn verify<'a>(
    records: impl IntoIterator<Item = &'a Audit>,
    keys: &AuditKeys,
    from: ChainHead,
    head: Option<ChainHead>,
) -> Result<ChainReport, Break> {
    let mut report =
        ChainReport { writer: String::new(), records: 0, head: from, by_key: BTreeMap::default() };
    for audit in records {
        let sequence = report.head.sequence + 1;
        if let Err(what) = verify_one(audit, keys, &report) {
            return Err(Break { sequence, what });
        }
        report.head = ChainHead { sequence, mac: audit.mac };
        if head.is_some_and(|head| head.sequence == sequence && head.mac != audit.mac) {
            return Err(Break { sequence, what: Flaw::NotTheHead });
        }
        report.records += 1;
        audit.writer.clone_into(&mut report.writer);
        *report.by_key.entry(audit.key_id.clone()).or_default() += 1;
    }
    match head {
        Some(head) if head.sequence > report.head.sequence => {
            Err(Break { sequence: report.head.sequence + 1, what: Flaw::Truncated { head: head.sequence } })
        }
        _ => Ok(report),
    }
}

/// Checks the MAC first, so that what the later checks say about a record is what was signed.
fn verify_one(audit: &Audit, keys: &AuditKeys, so_far: &ChainReport) -> Result<(), Flaw> {
    let key_id = || audit.key_id.clone();
    let key = keys.get(&audit.key_id).ok_or_else(|| Flaw::UnknownKey { key_id: key_id() })?;
    if !key.has_signed(audit) {
        return Err(Flaw::Altered { key_id: key_id() });
    }
    if so_far.records > 0 && audit.writer != so_far.writer {
        return Err(Flaw::OtherChain { expected: so_far.writer.clone(), found: audit.writer.clone() });
    }
    if audit.sequence != so_far.head.sequence + 1 {
        return Err(Flaw::OutOfPlace { found: audit.sequence });
    }
    if audit.previous_mac != so_far.head.mac {
        return Err(Flaw::Unlinked);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
