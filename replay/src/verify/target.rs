//! A verdict that is to be proved, as it stands in the log.

use sha2::{Digest as _, Sha256};
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Verdict, VerdictId};
use weir_topology::record::RecordRef;

/// A verdict as it stands in the log. Its bytes are read again where they are to be shown.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) partition: u32,
    pub(super) offset: i64,
    /// None when it cannot be read.
    pub(super) id: Option<VerdictId>,
    /// The verdict before it in the log is of this epoch, or it says an earlier one itself.
    pub(super) earliest_epoch: i64,
    pub(super) account: AccountId,
    pub(super) sequence: i64,
    epoch: i64,
    pub(super) key: Vec<u8>,
    pub(super) sha256: [u8; 32],
}

impl Target {
    /// The verdict of a record, which came after one of epoch `before`.
    pub(super) fn read(wire: &Wire, partition: u32, record: RecordRef<'_>, before: i64) -> Self {
        let payload = record.payload.unwrap_or_default();
        let verdict = wire.read::<Verdict>(payload);
        let id = verdict.as_ref().ok().map(|verdict| verdict.verdict_id);
        let verdict = verdict.unwrap_or_default();
        Self {
            partition,
            offset: record.offset,
            id,
            // What it says itself may be what was changed.
            earliest_epoch: if id.is_some() { verdict.epoch.min(before) } else { before },
            account: verdict.account,
            sequence: verdict.sequence,
            epoch: verdict.epoch,
            key: record.key.to_vec(),
            sha256: Sha256::digest(payload).into(),
        }
    }

    /// The epoch that it says, or the least that it can have if it cannot be read.
    pub(super) fn epoch(&self) -> i64 {
        if self.id.is_some() { self.epoch } else { self.earliest_epoch }
    }
}
