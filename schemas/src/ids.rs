//! How ids are made from content, so that the same thing has the same id in any log.

use crate::{AccountId, ActionId, ActionKind, CampaignId, EventId, VerdictId};
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

impl CampaignId {
    /// The id of the campaign whose first member had evidence of its own since `since_ms`.
    pub fn of(since_ms: i64, first: AccountId) -> Self {
        Self(first_16(hash("weir.campaign", &[&since_ms.to_be_bytes(), &first.0])))
    }
}
