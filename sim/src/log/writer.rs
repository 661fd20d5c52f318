//! A writer: every way in which a commit can end.

use super::shared::Shared;
use super::store::{Fate, Store};
use crate::bug::Bug;
use std::collections::BTreeSet;
use std::sync::Arc;
use weir_topology::cursor::CURSOR_KEY;
use weir_topology::key::partition_of;
use weir_topology::limits::RECORD_BYTES_MAX;
use weir_topology::log::{Commit, LogError, Writer};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

pub(super) struct SimWriter {
    store: Shared,
    process: usize,
    name: String,
    generation: u64,
    /// A commit ended in a way after which the writer is of no more use.
    is_spent: bool,
}

impl SimWriter {
    pub(super) fn new(store: Shared, process: usize, name: &str, generation: u64) -> Self {
        Self { store, process, name: name.to_owned(), generation, is_spent: false }
    }

    fn try_commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        let mut store = self.store.lock();
        if store.is_dead(self.process) {
            return Err(LogError::Unavailable { reason: "this process is dead".into() });
        }
        if self.is_spent {
            let name = &self.name;
            store.flaws.push(format!("{name} committed with a writer that was of no more use"));
        }
        let latency_us = store.random.between(200, 20_000);
        store.pass(latency_us);
        if store.is_fenced(&self.name, self.generation) {
            store.tell("FENCED", || format!("{} may not commit", self.name));
            return Err(LogError::Fenced { writer: self.name.clone() });
        }
        let outputs = place(&store, &commit.outputs)?;
        if store.now_us < store.full_until_us {
            store.tell("FULL", || format!("{} cannot write", self.name));
            return Err(LogError::Storage { reason: "no space left on device".into() });
        }
        self.decide(&mut store, outputs, commit)
    }

    fn decide(
        &self,
        store: &mut Store,
        outputs: Vec<(Arc<Output>, u32)>,
        commit: &Commit,
    ) -> Result<(), LogError> {
        let open = Fate::StaysOpen { is_asked: true };
        let left = Fate::StaysOpen { is_asked: false };
        let process = self.process;
        if store.random.chance(store.faults.crash_in_commit) {
            let (fate, how) = match store.random.below(5) {
                0 => (None, "KILLBEFORE"),
                1 => (Some(left), "KILLAPPEND"),
                2 => (Some(open), "KILLASKED"),
                _ => (Some(Fate::Commits), "KILLAFTER"),
            };
            if let Some(fate) = fate {
                let index = store.append(&self.name, outputs, &commit.positions, fate);
                let text = store.describe(index);
                store.tell(if fate == Fate::Commits { "commit" } else { "append" }, || text);
            }
            store.kill(process, how);
            return Err(LogError::Unavailable { reason: "killed in a commit".into() });
        }
        if store.random.chance(store.faults.indefinite) {
            let fate = match store.random.below(3) {
                0 => Some(Fate::Commits),
                1 => Some(open),
                _ => None,
            };
            let index = fate.map(|fate| store.append(&self.name, outputs, &commit.positions, fate));
            let text = index.map(|index| store.describe(index));
            store.tell("UNKNOWN", || match (fate, text) {
                (Some(Fate::Commits), Some(text)) => format!("it was committed: {text}"),
                (Some(_), Some(text)) => format!("it is open: {text}"),
                _ => "it was not committed".into(),
            });
            return Err(LogError::Indefinite { reason: "timed out".into() });
        }
        if store.random.chance(store.faults.abort) {
            if store.random.chance(500) {
                store.append(&self.name, outputs, &commit.positions, Fate::Aborts);
            }
            store.tell("ABORTED", String::new);
            return Err(LogError::Aborted { reason: "coordinator moved".into() });
        }
        let index = store.append(&self.name, outputs, &commit.positions, Fate::Commits);
        let text = store.describe(index);
        store.tell("commit", || text);
        Ok(())
    }

    /// Positions, state and epoch record first: what comes after may be lost.
    fn commit_in_two(&mut self, commit: &Commit) -> Result<(), LogError> {
        let is_own = |output: &&Output| {
            matches!(
                output.topic,
                Topic::Epochs
                    | Topic::Checkpoints
                    | Topic::StateAccount
                    | Topic::StateCluster
                    | Topic::StateCampaign
                    | Topic::StateEnforcer
                    | Topic::StateCollector
                    | Topic::StateExport
            )
        };
        let first = Commit {
            outputs: commit.outputs.iter().filter(is_own).cloned().collect(),
            positions: commit.positions.clone(),
        };
        let second = commit.outputs.iter().filter(|output| !is_own(output)).cloned().collect();
        self.try_commit(&first)?;
        self.try_commit(&Commit { outputs: second, positions: Vec::new() })
    }

    /// Opens the writer again and commits the same once more, without a look at the log.
    fn commit_again(&mut self, commit: &Commit) -> Result<(), LogError> {
        let process = self.process;
        self.store.lock().read_fault(process)?;
        self.generation = self.store.lock().open_writer(&self.name, process)?;
        self.try_commit(commit)
    }
}

impl Writer for SimWriter {
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        let bug = self.store.lock().bug;
        let outcome = match bug {
            Some(Bug::CommitBeforeOutput) => self.commit_in_two(commit),
            Some(Bug::DoubleEffect) => match self.try_commit(commit) {
                Err(LogError::Indefinite { .. }) => self.commit_again(commit),
                other => other,
            },
            Some(Bug::StaleCheckpoint) => self.try_commit(&without_changes_in_checkpoint(commit)),
            _ => self.try_commit(commit),
        };
        self.is_spent |= !matches!(outcome, Ok(()) | Err(LogError::Aborted { .. }));
        outcome
    }
}

/// The commit, but a checkpoint in it does not hear of what the snapshot beside it says.
fn without_changes_in_checkpoint(commit: &Commit) -> Commit {
    let is_change = |output: &Output| output.topic == Topic::StateAccount && output.key != CURSOR_KEY;
    let changed: BTreeSet<_> =
        commit.outputs.iter().filter(|output| is_change(output)).map(|output| &output.key).collect();
    let is_kept = |output: &&Output| output.topic != Topic::Checkpoints || !changed.contains(&output.key);
    Commit {
        outputs: commit.outputs.iter().filter(is_kept).cloned().collect(),
        positions: commit.positions.clone(),
    }
}

/// Every record with its partition, if all of them may be written.
fn place(store: &Store, outputs: &[Output]) -> Result<Vec<(Arc<Output>, u32)>, LogError> {
    let placed = outputs.iter().map(|output| {
        let topic = output.topic.name();
        if output.bytes_len() > RECORD_BYTES_MAX {
            return Err(LogError::TooLarge { topic, bytes: output.bytes_len(), limit: RECORD_BYTES_MAX });
        }
        let partitions = store.partitions(output.topic);
        let partition = output.partition.unwrap_or_else(|| partition_of(&output.key, partitions));
        store.check(output.topic, partition)?;
        Ok((Arc::new(output.clone()), partition))
    });
    placed.collect()
}
