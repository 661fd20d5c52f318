//! What must hold of every commit, at the moment in which it happens.

use crate::log::Transaction;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_schemas::wire::Wire;
use weir_schemas::{Epoch, State, StateKind};
use weir_topology::compare::digest_of;
use weir_topology::cursor::Cursor;
use weir_topology::invariants::{Chain, check_positions};
use weir_topology::log::Position;
use weir_topology::stage::StateEntry;
use weir_topology::topic::{StageName, TaskId, Topic};

/// Follows every task's chain of epochs.
pub struct Observer {
    wire: Arc<Wire>,
    chains: BTreeMap<TaskId, Chain>,
    /// Each task's state as of its last snapshot.
    snapshots: BTreeMap<TaskId, Snapshot>,
    reigns: Reigns,
}

/// A task's state as of a snapshot, by key, and where the task stood.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Where it stood.
    pub cursor: Cursor,
    /// What its state topic said, without what was forgotten.
    pub state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Whether the last epoch of all took it.
    is_last: bool,
}

/// The epochs that one judge recorded, one after the other.
#[derive(Debug, Clone)]
pub struct Reign {
    /// Version of the judge.
    pub version: i32,
    /// The first of them.
    pub first: i64,
    /// What the judge began with.
    pub from: Snapshot,
}

/// The reigns over each task, in order.
pub type Reigns = BTreeMap<TaskId, Vec<Reign>>;

impl Observer {
    /// An observer of an empty log.
    pub fn new(wire: Arc<Wire>, partitions: u32) -> Self {
        let tasks = StageName::FOLDING.iter().flat_map(|stage| {
            (0..stage.tasks(partitions)).map(|partition| TaskId { stage: *stage, partition })
        });
        let chain = |task| (task, Chain::after(&Cursor::start(task)));
        Self { wire, chains: tasks.map(chain).collect(), snapshots: BTreeMap::new(), reigns: Reigns::new() }
    }

    /// Who judged when, task by task.
    pub fn reigns(&self) -> &Reigns {
        &self.reigns
    }

    /// Looks at a commit. The error says what does not hold.
    pub fn committed(&mut self, transaction: &Transaction) -> Result<(), String> {
        let name = &transaction.writer;
        let mut stages = StageName::FOLDING.into_iter();
        if !stages.any(|stage| name.starts_with(&format!("{stage}/"))) {
            return Ok(());
        }
        let mut epochs = transaction.outputs.iter().filter(|(output, _)| output.topic == Topic::Epochs);
        let (Some((record, _)), None) = (epochs.next(), epochs.next()) else {
            return Err(format!("{name} committed without an epoch record of its own"));
        };
        let epoch: Epoch = self
            .wire
            .read(record.payload.as_deref().unwrap_or_default())
            .map_err(|error| format!("an epoch record of {name} cannot be read: {error}"))?;
        let stage =
            StageName::named(&epoch.stage).ok_or_else(|| format!("there is no stage {}", epoch.stage))?;
        let task = TaskId { stage, partition: epoch.partition as u32 };
        if task.to_string() != *name {
            return Err(format!("{name} committed an epoch of {task}"));
        }
        let chain = self.chains.get_mut(&task).ok_or_else(|| format!("there is no task {task}"))?;
        let broken = |broken| format!("{task} epoch {}: {broken}", epoch.epoch);
        chain.follow(&epoch).map_err(broken)?;
        check_positions(&epoch, &transaction.positions).map_err(broken)?;
        let records: i64 = epoch.inputs.iter().map(|range| range.records).sum();
        if records == 0
            && epoch.outputs.iter().all(|output| output.records == 0)
            && transaction.outputs.len() == 1
        {
            return Err(format!("{task} epoch {} is of nothing and does nothing", epoch.epoch));
        }
        self.check_judge(task, &epoch)?;
        self.check_snapshot(task, &epoch, transaction)
    }

    /// The judge changes where there is nothing to fold again, or it says that it takes over and takes a
    /// snapshot.
    fn check_judge(&mut self, task: TaskId, epoch: &Epoch) -> Result<(), String> {
        let start = || Snapshot { cursor: Cursor::start(task), state: BTreeMap::new(), is_last: true };
        let snapshot = self.snapshots.entry(task).or_insert_with(start);
        let reigns = self.reigns.entry(task).or_default();
        let last = reigns.last().map(|reign| reign.version);
        let is_new = last != Some(epoch.judge.version);
        let takes_over = last.is_some() && is_new && !snapshot.is_last;
        let place = || format!("{task} epoch {}", epoch.epoch);
        match &epoch.adopted {
            None if takes_over => return Err(format!("{}: another judge goes on without a word", place())),
            Some(mark) => {
                let fits = mark.from == snapshot.cursor.epoch + 1 && mark.to == epoch.epoch - 1;
                let is_whole =
                    epoch.state_digest.is_some() && epoch.inputs.iter().all(|range| range.records == 0);
                if !takes_over || !fits || !is_whole {
                    return Err(format!("{}: it adopts what it may not, {mark:?}", place()));
                }
            }
            None => {}
        }
        if is_new {
            let from = snapshot.clone();
            reigns.push(Reign { version: epoch.judge.version, first: epoch.epoch, from });
        }
        snapshot.is_last = epoch.state_digest.is_some();
        Ok(())
    }

    /// Where a task's chain ended in every input.
    pub fn ends(&self, task: TaskId) -> &[Position] {
        self.chains.get(&task).map_or(&[], Chain::ends)
    }

    /// The state that a snapshot wrote is the state that its epoch's digest covers.
    fn check_snapshot(
        &mut self,
        task: TaskId,
        epoch: &Epoch,
        transaction: &Transaction,
    ) -> Result<(), String> {
        let mut entries = Vec::new();
        let mut cursors = 0;
        for (output, _) in transaction.outputs.iter().filter(|(o, _)| o.topic == task.stage.state_topic()) {
            let body = match &output.payload {
                None => None,
                Some(payload) => {
                    let state: State = self.wire.read(payload).map_err(|error| format!("{task}: {error}"))?;
                    if state.kind == StateKind::Cursor {
                        cursors += 1;
                        let cursor = Cursor::from_record(task, &state).map_err(|error| error.to_string())?;
                        if let Some(snapshot) = self.snapshots.get_mut(&task) {
                            snapshot.cursor = cursor;
                        }
                        continue;
                    }
                    Some(state.body)
                }
            };
            entries.push(StateEntry { key: output.key.clone(), body });
        }
        let found = (cursors > 0).then(|| digest_of(&entries));
        if found != epoch.state_digest || cursors > 1 {
            return Err(format!("{task} epoch {}: the snapshot is not what its digest covers", epoch.epoch));
        }
        let Some(snapshot) = self.snapshots.get_mut(&task) else { return Ok(()) };
        for StateEntry { key, body } in entries {
            match body {
                Some(body) => drop(snapshot.state.insert(key, body)),
                None => drop(snapshot.state.remove(&key)),
            }
        }
        Ok(())
    }
}
