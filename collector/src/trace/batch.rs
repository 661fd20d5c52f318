//! A batch: what one commit of a traced source makes visible, and what there is to count of it then.

use crate::collector::Gathered;
use crate::spool::BatchId;
use weir_topology::record::Output;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    pub(super) id: BatchId,
    pub(super) content: Content,
    /// Whether it lies in the spool.
    pub(super) is_spooled: bool,
}

/// What is in a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Content {
    /// Events, and the identities that they need.
    pub(super) outputs: Vec<Output>,
    pub(super) counts: Counts,
}

/// What is counted when a batch is in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Exchanges that were read, and the bytes that they were read from.
    pub(super) lines: u64,
    pub(super) line_bytes: u64,
    pub(super) events: u64,
    /// Events that had bytes that are not UTF-8.
    pub(super) mended: u64,
    /// Exchanges that are nobody's, because their key was refused.
    pub(super) unowned: u64,
    /// Identities among the outputs.
    pub(super) announced: u64,
    /// Accounts that were forgotten for want of room: they will be announced again.
    pub(super) forgotten: u64,
}

impl Counts {
    /// What was gathered, in the form in which it is told.
    pub(super) fn to_gathered(self) -> Gathered {
        let mut gathered = Gathered::default();
        gathered.lines(self.lines, self.line_bytes);
        (gathered.events, gathered.mended, gathered.unowned) = (self.events, self.mended, self.unowned);
        gathered
    }
}

impl Content {
    /// Bytes of its records.
    pub(super) fn bytes_len(&self) -> usize {
        self.outputs.iter().map(Output::bytes_len).sum()
    }
}
