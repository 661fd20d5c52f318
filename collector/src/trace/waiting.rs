//! Batches between who hears and who commits, the oldest first: in the spool where there is one, and
//! otherwise in memory. What the spool does not take, because it is full or its disk fails, waits in memory
//! as it does without one; until that is in the log everything newer waits behind it there. What finds no
//! room at all is the newest, and is counted.

use super::batch::{Batch, Content};
use super::loss::Loss;
use super::packed;
use crate::limits::TRACE_WAITING_BYTES_MAX;
use crate::spool::{BatchId, Refusal, Spool, SpoolError, SpoolId};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use weir_topology::telemetry::Telemetry;

/// See the module.
pub(super) struct Waiting {
    run: [u8; 16],
    /// Number of the batch that was named last, where there is no spool to name it.
    number: u64,
    spool: Option<Spool>,
    memory: VecDeque<Batch>,
    memory_bytes: usize,
    /// Why the spool takes nothing, from the first batch on that it did not take.
    passed_over: Option<Loss>,
}

/// What waits for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waits {
    /// Events that are nowhere else than in memory.
    pub memory_events: u64,
    /// Bytes of batches in the spool.
    pub spool_bytes: u64,
}

impl Waits {
    /// Whether everything is in the log.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Why the oldest batch cannot be had.
pub(super) enum Unread {
    /// The disk cannot be read for now.
    Disk(io::Error),
    /// Another build wrote it.
    Foreign(SpoolError),
}

impl Waiting {
    pub(super) fn new(run: [u8; 16], spool: Option<Spool>) -> Self {
        Self { run, number: 0, spool, memory: VecDeque::new(), memory_bytes: 0, passed_over: None }
    }

    /// Which spool there is.
    pub(super) fn spool(&self) -> Option<SpoolId> {
        self.spool.as_ref().map(Spool::id)
    }

    /// Takes a batch behind all others.
    ///
    /// # Errors
    /// Why there is no room for it.
    pub(super) fn put(
        &mut self,
        content: Content,
        now: Duration,
        telemetry: &dyn Telemetry,
    ) -> Result<(), Loss> {
        let spool = self.spool.as_mut().filter(|_| self.memory.is_empty());
        match spool.map(|spool| spool.append(&packed::pack(&content), now)) {
            Some(Ok(_)) => {
                self.passed_over = None;
                return Ok(());
            }
            Some(Err(refusal)) => self.pass_over(&refusal, telemetry),
            None => {}
        }
        let bytes = content.bytes_len();
        if self.memory_bytes + bytes > TRACE_WAITING_BYTES_MAX {
            return Err(self.passed_over.unwrap_or(Loss::LogAway));
        }
        self.memory_bytes += bytes;
        let id = self.name();
        self.memory.push_back(Batch { id, content, is_spooled: false });
        Ok(())
    }

    /// Tells once of a spool that takes nothing, until it takes something again.
    fn pass_over(&mut self, refusal: &Refusal, telemetry: &dyn Telemetry) {
        let (cause, reason) = match refusal {
            Refusal::Full => (Loss::SpoolFull, "it has as many bytes as it may (spool.bytes_max)".to_owned()),
            Refusal::Disk(error) => (Loss::SpoolFault, error.to_string()),
        };
        if self.passed_over.replace(cause) != Some(cause) {
            telemetry.spool_passed_over(&reason);
        }
    }

    fn name(&mut self) -> BatchId {
        if let Some(spool) = &mut self.spool {
            return spool.name();
        }
        self.number += 1;
        BatchId { run: self.run, session: 0, number: self.number }
    }

    /// The oldest batch. It is gone from here when it was in memory, and stays in the spool until it is [let
    /// go](Self::let_go).
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub(super) fn first(&mut self) -> Result<Option<Batch>, Unread> {
        let spooled = self.spool.as_mut().map_or(Ok(None), Spool::first).map_err(Unread::Disk)?;
        let Some(spooled) = spooled else { return Ok(self.memory.pop_front()) };
        let id = spooled.id;
        let foreign =
            |reason| Unread::Foreign(SpoolError::Batch { session: id.session, number: id.number, reason });
        let content = packed::unpack(&spooled.payload).map_err(foreign)?;
        Ok(Some(Batch { id, content, is_spooled: true }))
    }

    /// The batch that was the oldest is in the log.
    ///
    /// # Errors
    /// When a file of the spool that is of no more use cannot be cut.
    pub(super) fn let_go(&mut self, batch: &Batch) -> io::Result<()> {
        match &mut self.spool {
            Some(spool) if batch.is_spooled => spool.let_first_go(),
            _ => {
                self.memory_bytes -= batch.content.bytes_len();
                Ok(())
            }
        }
    }

    /// Nothing more comes: what the log has need not lie here either.
    ///
    /// # Errors
    /// When the spool's file cannot be cut.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.spool.as_mut().map_or(Ok(()), Spool::forget_what_the_log_has)
    }

    /// Makes sure of what lies in the spool, where that is due.
    pub(super) fn sync_when_due(&mut self, now: Duration, telemetry: &dyn Telemetry) {
        if let Some(Err(error)) = self.spool.as_mut().map(|spool| spool.sync_when_due(now)) {
            telemetry.spool_unsure(&error.to_string());
        }
    }

    /// Tells how the spool stands, and of what was found damaged in it or cannot be deleted.
    pub(super) fn tell(&mut self, telemetry: &dyn Telemetry) {
        let Some(spool) = &mut self.spool else { return };
        for damage in spool.take_damages() {
            let file = damage.file.to_string_lossy();
            telemetry.spool_damaged(damage.kind.as_str(), &file, damage.from, damage.bytes);
        }
        for fault in spool.take_faults() {
            telemetry.spool_unsure(&fault);
        }
        telemetry.spool_looked_at(spool.waiting_bytes(), spool.bytes());
    }

    /// Whether every batch is in the log, also the one that is being committed.
    pub(super) fn is_empty(&self) -> bool {
        self.memory_bytes == 0 && self.spool.as_ref().is_none_or(Spool::is_empty)
    }

    /// What waits here.
    pub(super) fn waits(&self) -> Waits {
        Waits {
            memory_events: self.memory.iter().map(|batch| batch.content.counts.events).sum(),
            spool_bytes: self.spool.as_ref().map_or(0, Spool::waiting_bytes),
        }
    }
}
