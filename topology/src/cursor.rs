//! Where a task stands between two epochs, and the record of state that says so.

use crate::log::Position;
use crate::stage::StateError;
use crate::topic::{TaskId, Topic};
use weir_schemas::{State, StateKind};

/// Key of the record that says where a task's inputs stood at its last snapshot.
pub const CURSOR_KEY: &[u8] = b"!cursor";

/// Version of the cursor record.
pub const CURSOR_FORMAT: i32 = 1;

/// Where a task stands between two epochs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Last epoch that is part of the state; 0 before the first.
    pub epoch: i64,
    /// Where each input is read next, in the stage's order of inputs.
    pub positions: Vec<Position>,
    /// An offset of the epoch topic at or before the first epoch after this one.
    pub epochs_from: i64,
    /// Event-time clock.
    pub clock_ms: i64,
    /// Where that clock stood when the task last completed a [checkpoint](crate::checkpoint); 0 before the
    /// first.
    pub checkpoint_ms: i64,
    /// When the last epoch was taken, in processing time; 0 before the first, and for a stage that knows
    /// none.
    pub taken_ms: i64,
    /// For each [topic in which the task speaks](crate::topic::StageName::said_topics), an offset at or
    /// before what it said after this epoch.
    pub said: Vec<Position>,
}

impl Cursor {
    /// The beginning of history.
    pub fn start(task: TaskId) -> Self {
        let start = |topic: &Topic| Position { topic: *topic, partition: task.partition_of(*topic), next: 0 };
        let positions = task.stage.inputs().iter().map(start).collect();
        let said = task.stage.said_topics().iter().map(start).collect();
        Self { epoch: 0, positions, epochs_from: 0, clock_ms: 0, checkpoint_ms: 0, taken_ms: 0, said }
    }

    /// The cursor as a record of state.
    pub(crate) fn to_record(&self) -> State {
        let record = |position: &Position| weir_schemas::Position {
            topic: position.topic.name().into(),
            partition: position.partition as i32,
            next: position.next,
        };
        State {
            kind: StateKind::Cursor,
            format: CURSOR_FORMAT,
            epoch: self.epoch,
            positions: self.positions.iter().map(record).collect(),
            epochs_from: self.epochs_from,
            clock_ms: self.clock_ms,
            body: Vec::new(),
            checkpoint_ms: self.checkpoint_ms,
            taken_ms: self.taken_ms,
            said: self.said.iter().map(record).collect(),
        }
    }

    /// The cursor of `task` that a record of state says.
    pub fn from_record(task: TaskId, state: &State) -> Result<Self, StateError> {
        if state.kind != StateKind::Cursor || state.format != CURSOR_FORMAT {
            let key = String::from_utf8_lossy(CURSOR_KEY).into_owned();
            return Err(StateError::Format { key, found: state.format, expected: CURSOR_FORMAT });
        }
        let mut cursor = Self::start(task);
        for (positions, saved) in [(&mut cursor.positions, &state.positions), (&mut cursor.said, &state.said)]
        {
            for position in positions {
                let is_its = |saved: &&weir_schemas::Position| {
                    saved.topic == position.topic.name() && saved.partition == position.partition as i32
                };
                position.next = saved.iter().find(is_its).map_or(0, |saved| saved.next);
            }
        }
        cursor.epoch = state.epoch;
        cursor.epochs_from = state.epochs_from;
        cursor.clock_ms = state.clock_ms;
        cursor.checkpoint_ms = state.checkpoint_ms;
        cursor.taken_ms = state.taken_ms;
        Ok(cursor)
    }
}
