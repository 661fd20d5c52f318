//! A stage with one of the bugs that a stage can have.

use crate::bug::Bug;
use crate::log::Shared;
use weir_schemas::Judge;
use weir_topology::record::Records;
use weir_topology::stage::{Batch, Effects, Stage, StateEntry, StateError};
use weir_topology::topic::{StageName, Topic};

/// A stage as it is, or with the bug that a stage can have.
pub fn infect(stage: Box<dyn Stage>, bug: Option<Bug>, store: &Shared) -> Box<dyn Stage> {
    match bug {
        Some(bug @ (Bug::ReadClock | Bug::ForgetState | Bug::BelieveUnsaid)) => {
            Box::new(Infected { inner: stage, bug, store: store.clone() })
        }
        _ => stage,
    }
}

struct Infected {
    inner: Box<dyn Stage>,
    bug: Bug,
    store: Shared,
}

impl Stage for Infected {
    fn name(&self) -> StageName {
        self.inner.name()
    }

    fn judge(&self, batch: &Batch) -> Judge {
        self.inner.judge(batch)
    }

    fn step(&mut self, batch: &Batch) -> Effects {
        let mut effects = self.inner.step(batch);
        if self.bug == Bug::ReadClock {
            let now_ms = (self.store.lock().now_us / 1_000) as i64;
            let judged = |topic| matches!(topic, Topic::Verdicts | Topic::Links | Topic::Actions);
            for output in effects.outputs.iter_mut().filter(|output| judged(output.topic)) {
                output.timestamp_ms += now_ms % 2;
            }
        }
        effects
    }

    fn adopt(&mut self, batch: &Batch, said: &[Records]) -> Result<(), StateError> {
        if self.bug == Bug::BelieveUnsaid {
            self.inner.step(batch);
            return Ok(());
        }
        self.inner.adopt(batch, said)
    }

    fn rejudge(&mut self, batch: &Batch) -> (Effects, u64) {
        self.inner.rejudge(batch)
    }

    fn state_format(&self) -> i32 {
        self.inner.state_format()
    }

    fn changed(&self) -> usize {
        self.inner.changed()
    }

    fn take_changes(&mut self) -> Vec<StateEntry> {
        let mut changes = self.inner.take_changes();
        if self.bug == Bug::ForgetState {
            changes.pop();
        }
        changes
    }

    fn survey(&self, from: u64, entries_max: usize) -> (Vec<StateEntry>, Option<u64>) {
        self.inner.survey(from, entries_max)
    }

    fn restore(&mut self, key: &[u8], format: i32, body: &[u8]) -> Result<(), StateError> {
        self.inner.restore(key, format, body)
    }

    fn forget(&mut self, key: &[u8]) {
        self.inner.forget(key);
    }

    fn entries(&self) -> usize {
        self.inner.entries()
    }

    fn due_ms(&self) -> Option<i64> {
        self.inner.due_ms()
    }
}
