//! How a task comes back: load the state topic, then fold the epochs since then again, silently.
//!
//! The state topic holds what the last snapshot wrote, and a cursor: where the inputs stood;
//! [`crate::follow`] takes it in. The epoch records after it say which records each later epoch folded,
//! so the same steps give the same state. [`fold_recorded`] is also how history is replayed as it was
//! recorded.

use crate::adopt::{Adoption, Marks, Said};
use crate::compare::{compare, of_judges};
use crate::cursor::Cursor;
use crate::error::TaskError;
use crate::follow::Load;
use crate::history::{History, Inputs};
use crate::log::{Log, Position};
use crate::stage::{Batch, Effects, Stage};
use crate::topic::{TaskId, Topic};
use weir_schemas::Epoch;
use weir_schemas::wire::Wire;

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where the task stands now.
    pub cursor: Cursor,
    /// Entries in its state.
    pub entries: u64,
    /// Epochs that were folded again.
    pub epochs: u64,
    /// Those of them that another judge recorded, up to the last: the task must adopt them before it goes on.
    pub adoption: Option<Adoption>,
}

/// An epoch that was folded again.
pub struct Refolded<'a> {
    /// As it was recorded.
    pub epoch: &'a Epoch,
    /// What it folded.
    pub batch: &'a Batch,
    /// What came out, which is what was recorded; none where another judge recorded the epoch, and the stage
    /// adopted it.
    pub effects: Option<&'a Effects>,
}

/// Brings `stage` to where task `task` last committed.
pub fn restore(
    task: TaskId,
    stage: &mut dyn Stage,
    log: &dyn Log,
    wire: &Wire,
) -> Result<Restored, TaskError> {
    let snapshot = Load::new(task).finish(stage, log, wire)?;
    fold_since(task, stage, log, wire, snapshot)
}

/// Brings a stage that holds the last snapshot to where its task last committed.
pub(crate) fn fold_since(
    task: TaskId,
    stage: &mut dyn Stage,
    log: &dyn Log,
    wire: &Wire,
    snapshot: Cursor,
) -> Result<Restored, TaskError> {
    let before = snapshot.epoch;
    let (cursor, adoption) = refold(task, stage, log, wire, snapshot, Tail::Adopted, |_| Ok(()))?;
    let (entries, epochs) = (stage.entries() as u64, (cursor.epoch - before) as u64);
    Ok(Restored { entries, epochs, cursor, adoption })
}

/// What becomes of epochs at the end that another judge recorded and nobody adopted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// The stage takes them over, and will adopt them.
    Adopted,
    /// They are history: this judge has to give the same.
    Compared,
}

/// Folds the recorded epochs after `from` into `stage`, in order, and hands each to `each` with its
/// batch and effects. Returns where the task stands after the last.
///
/// What a fold gives is held against what was recorded; a difference is [`TaskError::Diverged`], or
/// [`TaskError::OtherJudge`] where another judge recorded the epoch. Epochs of another judge that this one
/// has adopted are adopted again.
pub fn fold_recorded(
    task: TaskId,
    stage: &mut dyn Stage,
    log: &dyn Log,
    wire: &Wire,
    from: Cursor,
    each: impl FnMut(Refolded<'_>) -> Result<(), TaskError>,
) -> Result<Cursor, TaskError> {
    refold(task, stage, log, wire, from, Tail::Compared, each).map(|(cursor, _)| cursor)
}

fn refold(
    task: TaskId,
    stage: &mut dyn Stage,
    log: &dyn Log,
    wire: &Wire,
    from: Cursor,
    tail: Tail,
    mut each: impl FnMut(Refolded<'_>) -> Result<(), TaskError>,
) -> Result<(Cursor, Option<Adoption>), TaskError> {
    let in_log = |source| TaskError::Log { task, source };
    let (first, end) = log.bounds(Topic::Epochs, task.partition).map_err(in_log)?;
    let mut history =
        History::new(log, Topic::Epochs, task.partition, from.epochs_from.max(first), end).map_err(in_log)?;
    let mut inputs = Inputs::new(log, &from.positions).map_err(in_log)?;
    let (mut marks, mut adoption, mut said) = (Marks::new(), None::<Adoption>, None::<Vec<Said>>);
    let mut cursor = from;
    let key = task.to_string();
    while let Some(records) = history.next().map_err(in_log)? {
        for record in records.iter().filter(|record| record.key == key.as_bytes()) {
            let Some(payload) = record.payload else { continue };
            let epoch: Epoch = wire.read(payload).map_err(|source| TaskError::Record {
                task,
                topic: Topic::Epochs,
                source,
            })?;
            if epoch.epoch <= cursor.epoch {
                continue;
            }
            if epoch.epoch != cursor.epoch + 1 {
                return Err(TaskError::Gap { task, expected: cursor.epoch + 1, found: epoch.epoch });
            }
            let batch = inputs.batch(task, &epoch, cursor.clock_ms).map_err(in_log)?;
            let judge = stage.judge(&batch);
            if epoch.judge != judge && !adoption.is_some_and(|a| a.has(epoch.epoch)) {
                adoption = match tail {
                    Tail::Adopted => Some(Adoption { from: epoch.epoch, to: i64::MAX }),
                    Tail::Compared => {
                        marks.of(task, log, wire, (epoch.epoch, record.offset), judge.version)?
                    }
                };
            }
            if adoption.is_some_and(|adoption| adoption.has(epoch.epoch)) {
                if said.is_none() {
                    let open = |from: &Position| Said::open(task, log, *from);
                    said = Some(cursor.said.iter().map(open).collect::<Result<_, _>>()?);
                }
                let of_epoch = |said: &mut Said| said.of(wire, &epoch);
                let records = said.iter_mut().flatten().map(of_epoch).collect::<Result<Vec<_>, _>>()?;
                let adopted = stage.adopt(&batch, &records);
                adopted.map_err(|source| TaskError::State { task, source })?;
                each(Refolded { epoch: &epoch, batch: &batch, effects: None })?;
            } else {
                let (effects, accounts) = match &epoch.adopted {
                    Some(_) => stage.rejudge(&batch),
                    None => (stage.step(&batch), 0),
                };
                let outcome = compare(task, stage, &epoch, &effects, accounts);
                outcome.map_err(|error| of_judges(error, &epoch.judge, judge))?;
                each(Refolded { epoch: &epoch, batch: &batch, effects: Some(&effects) })?;
            }
            cursor.epoch = epoch.epoch;
            cursor.clock_ms = epoch.clock_ms;
            cursor.taken_ms = epoch.taken_ms.unwrap_or(cursor.taken_ms);
            cursor.positions = inputs.positions();
        }
    }
    let adoption = adoption.filter(|_| tail == Tail::Adopted);
    let to = cursor.epoch;
    Ok((cursor, adoption.map(|adoption| Adoption { to, ..adoption })))
}
