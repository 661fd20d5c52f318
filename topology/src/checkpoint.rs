//! Checkpoints: a task's whole state as of one epoch, kept for as long as events are.
//!
//! The state topic is compacted, so it tells the latest only. Who folds last week's epochs again, to
//! prove a verdict, needs the state that was there before them, and the events of the months that
//! made it are gone. A checkpoint is written in slices beside the epochs of a running task, so that no
//! epoch is long: `!begin`, then in each epoch a slice of the entries and whatever a snapshot says has
//! changed meanwhile, then `!cursor`. A later record of a key replaces an earlier one, so that all of
//! it together is the state after the cursor's epoch. One that a task could not complete is not used.

use crate::cursor::{CURSOR_KEY, Cursor};
use crate::error::TaskError;
use crate::follow::take_entry;
use crate::history::History;
use crate::limits::{CHECKPOINT_AT_END_MAX, CHECKPOINT_PAUSE, CHECKPOINT_RENEWAL};
use crate::log::{Log, LogError};
use crate::record::{Output, RecordRef};
use crate::stage::{Stage, StateEntry};
use crate::topic::{TaskId, Topic};
use std::time::Duration;
use weir_schemas::wire::Wire;
use weir_schemas::{State, StateKind};

/// Key of the record that a checkpoint begins with.
pub const BEGIN_KEY: &[u8] = b"!begin";

/// A checkpoint that is being written.
pub(crate) struct Sweep {
    /// Where the entries that were not written yet begin; none after the last.
    next: Option<u64>,
    entries: u64,
}

impl Sweep {
    /// Begins a checkpoint.
    pub(crate) fn begin() -> Self {
        Self { next: Some(0), entries: 0 }
    }

    /// The next entries. After the last, a snapshot and the cursor complete the checkpoint.
    pub(crate) fn next(&mut self, stage: &dyn Stage, entries_max: usize) -> Vec<StateEntry> {
        let Some(from) = self.next else { return Vec::new() };
        let (entries, next) = stage.survey(from, entries_max);
        self.next = next;
        self.entries += entries.len() as u64;
        entries
    }

    /// Whether every entry was written.
    pub(crate) fn is_complete(&self) -> bool {
        self.next.is_none()
    }

    /// Entries that were written, without those that changed meanwhile.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }
}

/// When a task writes checkpoints.
pub(crate) struct Timetable {
    /// When the last one was completed, or the task was opened.
    since: Duration,
    /// Whether one was completed since the task was opened. The first comes soon: another build may have run
    /// the task before, and what one build folds another need not.
    has_one: bool,
    interval: Duration,
}

impl Timetable {
    /// Of a task that is opened now.
    pub(crate) fn new(now: Duration, interval: Duration) -> Self {
        Self { since: now, has_one: false, interval }
    }

    /// One was completed.
    pub(crate) fn completed(&mut self, now: Duration) {
        (self.since, self.has_one) = (now, true);
    }

    /// Whether one is due while the task works.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        let wait = if self.has_one { self.interval } else { self.interval.min(CHECKPOINT_PAUSE) };
        now.saturating_sub(self.since) >= wait
    }

    /// Whether one is due while the task is idle: of what is new, and now and then of what is not, before the
    /// last one is forgotten.
    pub(crate) fn is_due_idle(&self, now: Duration, cursor: &Cursor) -> bool {
        self.is_due(now) && (is_new(cursor) || now.saturating_sub(self.since) >= CHECKPOINT_RENEWAL)
    }

    /// Whether one of so many entries is due because the task ends: by event time, which is what it knows of
    /// the time before it was opened. Otherwise a task that never runs for long would never complete one.
    pub(crate) fn is_due_at_end(&self, cursor: &Cursor, entries: usize) -> bool {
        let event_time_ms = cursor.clock_ms.saturating_sub(cursor.checkpoint_ms).max(0);
        let is_over = Duration::from_millis(event_time_ms as u64) >= self.interval;
        is_new(cursor) && is_over && entries <= CHECKPOINT_AT_END_MAX
    }
}

/// Whether the task's clock has gone on since its last checkpoint.
fn is_new(cursor: &Cursor) -> bool {
    cursor.clock_ms > cursor.checkpoint_ms
}

/// The payload of a record of state.
pub(crate) fn entry_payload(wire: &Wire, format: i32, epoch: i64, body: Vec<u8>) -> Vec<u8> {
    wire.to_bytes(&State { kind: StateKind::Entry, format, epoch, body, ..State::default() })
}

/// The record that a checkpoint begins with.
pub(crate) fn begin_record(wire: &Wire, topic: Topic, task: TaskId, cursor: &Cursor) -> Output {
    let payload = entry_payload(wire, 0, cursor.epoch, Vec::new());
    Output::keyed(topic, BEGIN_KEY.to_vec(), payload, cursor.clock_ms).in_partition(task.partition)
}

/// A checkpoint that lies complete in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    task: TaskId,
    topic: Topic,
    /// Offset of its first record.
    begins_at: i64,
    /// Offset of its cursor.
    ends_at: i64,
    /// Where the task stood.
    pub cursor: Cursor,
}

impl Checkpoint {
    /// Every checkpoint of `task` that is still kept, oldest first; none where its stage keeps none, or where
    /// the deployment is from before there were any. One whose cursor this build cannot read is passed over.
    pub fn all(task: TaskId, log: &dyn Log, wire: &Wire) -> Result<Vec<Self>, TaskError> {
        let Some(topic) = task.stage.checkpoint_topic() else { return Ok(Vec::new()) };
        let in_log = |source| TaskError::Log { task, source };
        let (first, end) = match log.bounds(topic, task.partition) {
            Err(LogError::Missing { .. }) => return Ok(Vec::new()),
            bounds => bounds.map_err(in_log)?,
        };
        let mut history = History::new(log, topic, task.partition, first, end).map_err(in_log)?;
        let (mut checkpoints, mut begins_at) = (Vec::<Self>::new(), None);
        while let Some(records) = history.next().map_err(in_log)? {
            for record in records.iter() {
                match record.key {
                    BEGIN_KEY => begins_at = Some(record.offset),
                    CURSOR_KEY => {
                        // Without a beginning it is the rest of one whose retention has passed.
                        let Some(begins_at) = begins_at.take() else { continue };
                        let Ok(cursor) = read_cursor(task, topic, wire, record) else { continue };
                        // Epochs are counted from 1 again where the state was deleted to start afresh.
                        checkpoints.retain(|earlier| earlier.cursor.epoch < cursor.epoch);
                        checkpoints.push(Self { task, topic, begins_at, ends_at: record.offset, cursor });
                    }
                    _ => {}
                }
            }
        }
        Ok(checkpoints)
    }

    /// Fills `stage`, which must be new, with the state.
    pub fn load(&self, stage: &mut dyn Stage, log: &dyn Log, wire: &Wire) -> Result<(), TaskError> {
        let Self { task, topic, begins_at, ends_at, .. } = *self;
        let in_log = |source| TaskError::Log { task, source };
        let mut history = History::new(log, topic, task.partition, begins_at + 1, ends_at).map_err(in_log)?;
        while let Some(records) = history.next().map_err(in_log)? {
            for record in records.iter() {
                take_entry(task, topic, stage, wire, record)?;
            }
        }
        Ok(())
    }
}

fn read_cursor(task: TaskId, topic: Topic, wire: &Wire, record: RecordRef<'_>) -> Result<Cursor, TaskError> {
    let payload = record.payload.unwrap_or_default();
    let state: State = wire.read(payload).map_err(|source| TaskError::Record { task, topic, source })?;
    Cursor::from_record(task, &state).map_err(|source| TaskError::State { task, source })
}
