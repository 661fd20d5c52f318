//! Where the recorded history of a task can be folded from: its beginning, and each checkpoint whose inputs are
//! still kept.

use weir_schemas::wire::Wire;
use weir_topology::checkpoint::Checkpoint;
use weir_topology::log::{Log, LogError};
use weir_topology::restore::{Cursor, TaskError};
use weir_topology::stage::Stage;
use weir_topology::topic::TaskId;
use weir_topology::worker::MakeStage;

/// Where a fold can begin.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    task: TaskId,
    /// None for the beginning of history.
    checkpoint: Option<Checkpoint>,
}

impl Start {
    /// The last epoch that is part of the state; 0 at the beginning.
    pub(crate) fn epoch(&self) -> i64 {
        self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.cursor.epoch)
    }

    /// A stage with the state, and where its inputs stand.
    pub(crate) fn make(
        &self,
        log: &dyn Log,
        wire: &Wire,
        make_stage: &MakeStage,
    ) -> Result<(Box<dyn Stage>, Cursor), TaskError> {
        let mut stage = make_stage(self.task);
        let Some(checkpoint) = &self.checkpoint else { return Ok((stage, Cursor::start(self.task))) };
        checkpoint.load(stage.as_mut(), log, wire)?;
        Ok((stage, checkpoint.cursor.clone()))
    }
}

/// Every place where a fold of a task's history can begin, oldest first; the beginning where there is none, so that
/// folding from it says what is missing.
pub(crate) struct Starts(Vec<Start>);

impl Starts {
    /// Looks at what the log keeps.
    pub(crate) fn of(task: TaskId, log: &dyn Log, wire: &Wire) -> Result<Self, TaskError> {
        let in_log = |source| TaskError::Log { task, source };
        let beginning = Start { task, checkpoint: None };
        let mut starts = Vec::new();
        if is_kept(&Cursor::start(task), log).map_err(in_log)? {
            starts.push(beginning.clone());
        }
        for checkpoint in Checkpoint::all(task, log, wire)? {
            if is_kept(&checkpoint.cursor, log).map_err(in_log)? {
                starts.push(Start { task, checkpoint: Some(checkpoint) });
            }
        }
        if starts.is_empty() {
            starts.push(beginning);
        }
        Ok(Self(starts))
    }

    /// The oldest.
    pub(crate) fn oldest(&self) -> &Start {
        &self.0[0]
    }

    /// The newest whose state does not have `epoch` in it, or else the oldest.
    pub(crate) fn before(&self, epoch: i64) -> &Start {
        self.0.iter().rev().find(|start| start.epoch() < epoch).unwrap_or(self.oldest())
    }
}

/// Whether the log still has every record that was read after the cursor.
fn is_kept(cursor: &Cursor, log: &dyn Log) -> Result<bool, LogError> {
    for position in &cursor.positions {
        if log.bounds(position.topic, position.partition)?.0 > position.next {
            return Ok(false);
        }
    }
    Ok(true)
}
