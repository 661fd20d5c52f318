//! How ids are made from content, so that the same thing has the same id in any log.

use crate::{AccountId, ActionId, ActionKind, EventId, VerdictId};
use sha2::{Digest as _, Sha256};

/// A SHA-256 over length-prefixed parts under a domain name, so that no two lists of parts collide.
fn hash(domain: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut sha = Sha256::new();
    for part in std::iter::once(&domain.as_bytes()).chain(parts) {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    sha.finalize().into()
}

fn first_16(hash: [u8; 32]) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    id
}

impl EventId {
    /// The id of an event whose source names its requests: `source` is the log's configured name.
    pub fn of_request(source: &str, request_id: &str) -> Self {
        Self(first_16(hash("weir.event.request", &[source.as_bytes(), request_id.as_bytes()])))
    }

    /// The id of a log line without a request id: where it stands and what it says.
    ///
    /// `head` is a fingerprint of the file's beginning, which tells rotated files apart; `offset`
    /// is that of the line's first byte.
    pub fn of_line(source: &str, head: &[u8], offset: u64, line: &[u8]) -> Self {
        let parts = [source.as_bytes(), head, &offset.to_be_bytes(), line];
        Self(first_16(hash("weir.event.line", &parts)))
    }
}

impl VerdictId {
    /// The id of an account's `sequence`-th verdict under a policy, resting on `events`.
    pub fn of(policy_digest: &[u8; 32], account: AccountId, sequence: i64, events: &[EventId]) -> Self {
        let sequence = sequence.to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![policy_digest, &account.0, &sequence];
        parts.extend(events.iter().map(|event| &event.0[..]));
        Self(first_16(hash("weir.verdict", &parts)))
    }
}

impl ActionId {
    /// The id of one kind of action on one verdict.
    pub fn of(verdict: VerdictId, kind: ActionKind) -> Self {
        Self(first_16(hash("weir.action", &[&verdict.0, kind.as_str().as_bytes()])))
    }
}
