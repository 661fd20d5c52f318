//! A stage that is filled from its task's state topic: once, by a task that comes back, or on and on,
//! by a standby.
//!
//! What is read in between may end in the middle of a snapshot; only [`Follower::finish`], which reads
//! to the end of what the task's last owner committed, gives a state that epochs can be folded on.

use crate::cursor::Cursor;
use crate::error::TaskError;
use crate::limits::{READ_BYTES_MAX, READ_RECORDS_MAX};
use crate::log::{Log, LogError, Position, Reader};
use crate::record::{RecordRef, Records};
use crate::stage::Stage;
use crate::stall::Stall;
use crate::topic::{TaskId, Topic};
use std::time::Duration;
use weir_schemas::wire::Wire;
use weir_schemas::{State, StateKind};

/// A stage without a task, as far behind the task's owner as the state topic is.
pub struct Follower {
    stage: Box<dyn Stage>,
    load: Load,
    was_at_end: bool,
}

impl Follower {
    /// Follows the state of `task` from the beginning. `stage` must be new.
    pub fn new(task: TaskId, stage: Box<dyn Stage>) -> Self {
        Self { stage, load: Load::new(task), was_at_end: false }
    }

    /// Takes in records that are ready, at most one read of them; false when none were.
    pub fn follow(&mut self, log: &dyn Log, wire: &Wire) -> Result<bool, TaskError> {
        Ok(self.load.take_in(self.stage.as_mut(), log, wire, i64::MAX, Duration::ZERO)? > 0)
    }

    /// How many offsets of the state topic were not taken in yet.
    pub fn behind(&mut self, log: &dyn Log) -> Result<u64, TaskError> {
        let (first, end) = self.load.bounds(log)?;
        let behind = (end - self.load.next().max(first)).max(0) as u64;
        self.was_at_end |= behind == 0;
        Ok(behind)
    }

    /// Entries in the state.
    pub fn entries(&self) -> u64 {
        self.stage.entries() as u64
    }

    /// Next offset of the state topic.
    pub fn next(&self) -> i64 {
        self.load.next()
    }

    /// Whether it has ever been at the end: then little is left to be taken in.
    pub fn is_warm(&self) -> bool {
        self.was_at_end
    }

    /// Takes in what is left. The task's writer must have been opened before, so that nothing more
    /// comes from an earlier owner.
    pub fn finish(self, log: &dyn Log, wire: &Wire) -> Result<(Box<dyn Stage>, Cursor), TaskError> {
        let Self { mut stage, load, .. } = self;
        let cursor = load.finish(stage.as_mut(), log, wire)?;
        Ok((stage, cursor))
    }
}

/// How far a task's state topic was taken in.
pub(crate) struct Load {
    task: TaskId,
    /// Opened when it is first needed.
    reader: Option<Box<dyn Reader>>,
    records: Records,
    cursor: Cursor,
}

impl Load {
    pub(crate) fn new(task: TaskId) -> Self {
        Self { task, reader: None, records: Records::default(), cursor: Cursor::start(task) }
    }

    /// Takes in everything up to the log's end, and says where the last snapshot's inputs stood.
    pub(crate) fn finish(
        mut self,
        stage: &mut dyn Stage,
        log: &dyn Log,
        wire: &Wire,
    ) -> Result<Cursor, TaskError> {
        let (first, end) = self.bounds(log)?;
        let (topic, partition) = (self.task.stage.state_topic(), self.task.partition);
        let mut stall = Stall::default();
        while self.next().max(first) < end {
            stall.check(self.next(), topic, partition).map_err(|source| self.in_log(source))?;
            self.take_in(stage, log, wire, end, Duration::from_millis(50))?;
        }
        Ok(self.cursor)
    }

    /// Next offset; 0 before the first read.
    fn next(&self) -> i64 {
        self.reader.as_ref().map_or(0, |reader| reader.next(0))
    }

    /// The topic's bounds, if what was read of it still fits between them.
    fn bounds(&self, log: &dyn Log) -> Result<(i64, i64), TaskError> {
        let (topic, partition) = (self.task.stage.state_topic(), self.task.partition);
        let (first, end) = log.bounds(topic, partition).map_err(|source| self.in_log(source))?;
        let next = self.next();
        if next > 0 && next < first {
            // What was forgotten may have been the last word on an entry that is held here.
            let topic = topic.name();
            return Err(self.in_log(LogError::Gone { topic, partition, wanted: next, first }));
        }
        if next > end {
            let reason =
                format!("{topic}/{partition} ends at offset {end}, but was read up to {next} before");
            return Err(self.in_log(LogError::Damaged { reason }));
        }
        Ok((first, end))
    }

    /// Takes in what comes within `wait` and lies before `end`; returns how many records there were.
    /// What was read beyond `end` is lost to this load.
    fn take_in(
        &mut self,
        stage: &mut dyn Stage,
        log: &dyn Log,
        wire: &Wire,
        end: i64,
        wait: Duration,
    ) -> Result<usize, TaskError> {
        let task = self.task;
        let in_log = |source| TaskError::Log { task, source };
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => {
                let start = Position { topic: task.stage.state_topic(), partition: task.partition, next: 0 };
                self.reader.insert(log.reader(&[start]).map_err(in_log)?)
            }
        };
        self.records.clear();
        reader.wait(wait).map_err(in_log)?;
        reader.take(0, READ_RECORDS_MAX, READ_BYTES_MAX, &mut self.records).map_err(in_log)?;
        for record in self.records.iter().filter(|record| record.offset < end) {
            if let Some(cursor) = take_entry(task, task.stage.state_topic(), stage, wire, record)? {
                self.cursor = cursor;
            }
        }
        let taken = self.records.len();
        if taken == 0 {
            // Idle for now, and with the state itself to hold: the room of a full read is given back.
            self.records = Records::default();
        }
        Ok(taken)
    }

    fn in_log(&self, source: LogError) -> TaskError {
        TaskError::Log { task: self.task, source }
    }
}

/// One record of state: an entry, the end of one, or a cursor, which is given back.
pub(crate) fn take_entry(
    task: TaskId,
    topic: Topic,
    stage: &mut dyn Stage,
    wire: &Wire,
    record: RecordRef<'_>,
) -> Result<Option<Cursor>, TaskError> {
    let Some(payload) = record.payload else {
        stage.forget(record.key);
        return Ok(None);
    };
    let state: State = wire.read(payload).map_err(|source| TaskError::Record { task, topic, source })?;
    if state.kind == StateKind::Cursor {
        let cursor = Cursor::from_record(task, &state);
        return cursor.map(Some).map_err(|source| TaskError::State { task, source });
    }
    let restored = stage.restore(record.key, state.format, &state.body);
    restored.map_err(|source| TaskError::State { task, source })?;
    Ok(None)
}
