//! Where the recorded history of a task can be folded from: its beginning, and each checkpoint whose inputs
//! are still kept.

use weir_schemas::Epoch;
use weir_schemas::wire::Wire;
use weir_topology::checkpoint::Checkpoint;
use weir_topology::cursor::Cursor;
use weir_topology::error::TaskError;
use weir_topology::history::History;
use weir_topology::log::{Log, Position};
use weir_topology::stage::Stage;
use weir_topology::stage::StageFactory;
use weir_topology::topic::{TaskId, Topic};

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
        make_stage: &StageFactory,
    ) -> Result<(Box<dyn Stage>, Cursor), TaskError> {
        let mut stage = make_stage(self.task);
        let Some(checkpoint) = &self.checkpoint else { return Ok((stage, Cursor::start(self.task))) };
        checkpoint.load(stage.as_mut(), log, wire)?;
        Ok((stage, checkpoint.cursor.clone()))
    }
}

/// Every place where a fold of a task's history can begin, oldest first; the beginning where there is none,
/// so that folding from it says what is missing.
pub(crate) struct Starts(Vec<Start>);

impl Starts {
    /// Looks at what the log keeps.
    pub(crate) fn of(task: TaskId, log: &dyn Log, wire: &Wire) -> Result<Self, TaskError> {
        let kept = Kept::of(task, log, wire)?;
        let beginning = Start { task, checkpoint: None };
        let mut starts = Vec::new();
        if kept.has_all_after(&Cursor::start(task)) {
            starts.push(beginning.clone());
        }
        let checkpoints = Checkpoint::all(task, log, wire)?.into_iter();
        let usable = checkpoints.filter(|checkpoint| kept.has_all_after(&checkpoint.cursor));
        starts.extend(usable.map(|checkpoint| Start { task, checkpoint: Some(checkpoint) }));
        if starts.is_empty() {
            starts.push(beginning);
        }
        Ok(Self(starts))
    }

    /// The oldest.
    pub(crate) fn oldest(&self) -> &Start {
        &self.0[0]
    }

    /// Whether there is a start whose state has `epoch` in it.
    pub(crate) fn has_one_from(&self, epoch: i64) -> bool {
        self.0.iter().any(|start| start.epoch() >= epoch)
    }

    /// A stage with the oldest state that has epoch `after` in it and that this build can take, and where its
    /// inputs stand.
    pub(crate) fn make_oldest(
        &self,
        after: i64,
        log: &dyn Log,
        wire: &Wire,
        make_stage: &StageFactory,
    ) -> Result<(Box<dyn Stage>, Cursor), TaskError> {
        let mut starts = self.0.iter().filter(|start| start.epoch() >= after);
        let mut made = starts.next().unwrap_or(self.oldest()).make(log, wire, make_stage);
        for start in starts {
            // Of another format, or damaged.
            if !matches!(made, Err(TaskError::State { .. } | TaskError::Record { .. })) {
                break;
            }
            made = start.make(log, wire, make_stage);
        }
        made
    }

    /// Those whose state does not have `epoch` in it, the newest first.
    pub(crate) fn before(&self, epoch: i64) -> impl Iterator<Item = &Start> {
        self.0.iter().rev().filter(move |start| start.epoch() < epoch)
    }
}

/// How far back the log goes.
struct Kept {
    /// Where each input begins.
    inputs: Vec<Position>,
    /// Number of the task's oldest epoch record; none where there is none.
    epoch: Option<i64>,
}

impl Kept {
    fn of(task: TaskId, log: &dyn Log, wire: &Wire) -> Result<Self, TaskError> {
        let in_log = |source| TaskError::Log { task, source };
        let mut inputs = Cursor::start(task).positions;
        for input in &mut inputs {
            input.next = log.bounds(input.topic, input.partition).map_err(in_log)?.0;
        }
        let (first, end) = log.bounds(Topic::Epochs, task.partition).map_err(in_log)?;
        let mut history = History::new(log, Topic::Epochs, task.partition, first, end).map_err(in_log)?;
        let (key, mut epoch) = (task.to_string(), None);
        while let (None, Some(records)) = (epoch, history.next().map_err(in_log)?) {
            let mut own = records.iter().filter(|record| record.key == key.as_bytes());
            epoch = own.find_map(|record| Some(wire.read::<Epoch>(record.payload?).ok()?.epoch));
        }
        Ok(Self { inputs, epoch })
    }

    /// Whether the log still has every record that was read after the cursor, and every epoch.
    fn has_all_after(&self, cursor: &Cursor) -> bool {
        let has_inputs = cursor.positions.iter().zip(&self.inputs).all(|(read, kept)| kept.next <= read.next);
        has_inputs && self.epoch.is_none_or(|epoch| epoch <= cursor.epoch + 1)
    }
}
