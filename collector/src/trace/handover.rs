//! Hands batches over to the log, the oldest first and each once.
//!
//! A log that is away holds up who commits to it for as long as a broker is waited for. So that is done by
//! another thread than the one that hears: what the kernel side hands on has a small buffer. A batch is
//! committed with its id; after a commit whose outcome is not known, and before the first one that a spool
//! has from earlier, the log is asked which it took last.

use super::batch::Batch;
use super::stored;
use super::waiting::{Unread, Waiting, Waits};
use crate::announce::Announcer;
use crate::backoff::Backoff;
use crate::collector::{Clock, Told};
use crate::error::CollectorError;
use crate::limits::TRACE_HANDOVER_SPAN;
use crate::place::Place;
use crate::spool::BatchId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weir_schemas::wire::Wire;
use weir_topology::clock::Clock as PaceClock;
use weir_topology::log::{Commit, Log, LogError, Writer};
use weir_topology::record::Output;
use weir_topology::telemetry::Telemetry;

/// What was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceProgress {
    /// Events.
    pub events: u64,
}

/// See the module.
pub struct Handover<'l> {
    pub(super) log: &'l dyn Log,
    pub(super) source_key: String,
    pub(super) run: [u8; 16],
    pub(super) wire: Arc<Wire>,
    pub(super) telemetry: Arc<dyn Telemetry>,
    pub(super) clock: Clock,
    pub(super) pace: Arc<dyn PaceClock>,
    pub(super) waiting: Arc<Mutex<Waiting>>,
    /// The oldest batch, which is not known to be in the log.
    pub(super) pending: Option<Batch>,
    /// None before the first commit with a spool, and after one that failed.
    pub(super) open: Option<Open>,
    /// Which batch the log took last is to be asked.
    pub(super) is_uncertain: bool,
    /// Which it was, when it was asked last.
    pub(super) last: Option<BatchId>,
    pub(super) told: Told,
    pub(super) backoff: Backoff,
}

pub(super) struct Open {
    writer: Box<dyn Writer>,
    place: Place,
    /// Records of spools that this source had long ago.
    forgotten: Vec<Output>,
}

impl Handover<'_> {
    /// The same, pausing by another clock than the machine's.
    pub fn paced_by(mut self, pace: Arc<dyn PaceClock>) -> Self {
        self.pace = pace;
        self
    }

    /// Takes the source over from whoever had it under the same node and name.
    pub(super) fn take_over(&mut self) -> Result<(), CollectorError> {
        // The writer first: after it no other can commit a batch.
        let writer = self.log.writer(&format!("trace/{}", self.source_key))?;
        let place = Place::of(self.log, stored::KIND, &self.source_key)?;
        let mut forgotten = Vec::new();
        if std::mem::take(&mut self.is_uncertain) {
            let spool = self.waiting().spool();
            let found = match spool {
                None => stored::last(self.log, &place, &self.wire).map(|last| (last, Vec::new())),
                Some(spool) => stored::last_of(self.log, &place, &self.wire, spool, (self.clock)()),
            };
            // Who does not know must ask again.
            (self.last, forgotten) = found.inspect_err(|_| self.is_uncertain = true)?;
        }
        self.open = Some(Open { writer, place, forgotten });
        Ok(())
    }

    /// Commits what waits, for a second at most and the one commit that is under way then: what an outage
    /// left takes longer, and who calls has a stop and a watchdog to look at. While the log takes nothing it
    /// waits on, and this returns.
    ///
    /// # Errors
    /// When the log or the spool cannot be used any more, or another process took the source over.
    pub fn commit(&mut self) -> Result<TraceProgress, CollectorError> {
        let mut progress = TraceProgress::default();
        let until = self.pace.now() + TRACE_HANDOVER_SPAN;
        while self.backoff.due().is_none_or(|due| due <= self.pace.now()) {
            match self.commit_first() {
                Ok(None) => break,
                Ok(Some(events)) => {
                    self.backoff.end();
                    progress.events += events;
                    if self.pace.now() >= until {
                        break;
                    }
                }
                Err(CollectorError::Log(error)) => {
                    self.open = None;
                    self.backoff.pause(error, &*self.pace, &*self.telemetry)?;
                }
                Err(error) => return Err(error),
            }
        }
        let (waiting, telemetry) = (self.waiting.clone(), self.telemetry.clone());
        waiting.lock().unwrap_or_else(PoisonError::into_inner).tell(&*telemetry);
        Ok(progress)
    }

    /// What is not in the log yet.
    pub fn waits(&self) -> Waits {
        let mut waits = self.waiting().waits();
        if let Some(pending) = self.pending.as_ref().filter(|pending| !pending.is_spooled) {
            waits.memory_events += pending.content.counts.events;
        }
        waits
    }

    /// Nothing more will be heard nor committed: what the log has is gone from the disk then. Without it some
    /// of that would be read once more by whoever opens the spool next, and passed over.
    pub fn end(self) {
        let outcome = self.waiting().end();
        if let Err(error) = outcome {
            self.telemetry.spool_unsure(&error.to_string());
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits the oldest batch; how many events went to the log by that, or none where nothing waits.
    fn commit_first(&mut self) -> Result<Option<u64>, CollectorError> {
        if self.pending.is_none() {
            let first = self.waiting().first();
            self.pending = first.map_err(|unread| match unread {
                Unread::Foreign(error) => error.into(),
                Unread::Disk(error) => {
                    let reason = format!("the spool cannot be read: {error}");
                    CollectorError::Log(LogError::Unavailable { reason })
                }
            })?;
        }
        if self.pending.is_some() && self.open.is_none() {
            self.take_over()?;
        }
        let (Some(batch), Some(open)) = (&mut self.pending, &mut self.open) else { return Ok(None) };
        let is_there = self.last.is_some_and(|last| batch.id.is_up_to(&last, self.run));
        if !is_there {
            // What a spool did not take has its name from there all the same.
            let is_of_spool = batch.id.session > 0;
            let spool = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).spool();
            // Its own record goes last, so that it is there only when all is.
            let own = stored::record(
                &self.wire,
                &open.place,
                spool.filter(|_| is_of_spool),
                batch.id,
                (self.clock)(),
            );
            let mut outputs = std::mem::take(&mut batch.content.outputs);
            let own_count = 1 + open.forgotten.len();
            outputs.extend(open.forgotten.iter().cloned());
            outputs.push(own);
            let mut commit = Commit { outputs, positions: Vec::new() };
            let outcome = open.writer.commit(&commit);
            commit.outputs.truncate(commit.outputs.len() - own_count);
            batch.content.outputs = commit.outputs;
            if let Err(error) = outcome {
                self.is_uncertain |= !matches!(error, LogError::Aborted { .. });
                return Err(error.into());
            }
            open.forgotten.clear();
        }
        let Some(batch) = self.pending.take() else { return Ok(None) };
        let outcome = self.waiting().let_go(&batch);
        if let Err(error) = outcome {
            self.telemetry.spool_unsure(&error.to_string());
        }
        // What an earlier process committed was its to tell of.
        let is_told = is_there && batch.id.run != self.run;
        Ok(Some(if is_told { 0 } else { self.tell(&batch) }))
    }

    /// Tells of a batch that went to the log.
    fn tell(&mut self, batch: &Batch) -> u64 {
        let counts = batch.content.counts;
        Announcer::tell(counts.announced, counts.forgotten, &*self.telemetry);
        self.told.tell_counts(&counts.to_gathered(), &*self.telemetry);
        if batch.id.run != self.run {
            self.telemetry.spool_replayed(counts.events);
        }
        counts.events
    }
}
