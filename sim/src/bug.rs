//! Bugs that are planted on purpose, so that a test can show that the simulator finds each of them.

use crate::log::Shared;
use std::fmt;
use weir_schemas::Judge;
use weir_topology::record::Records;
use weir_topology::stage::{Batch, Effects, Stage, StateEntry, StateError};
use weir_topology::topic::{StageName, Topic};

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A reader loses a record now and then and goes on behind it.
    SkipOffset,
    /// A writer commits positions, state and epoch record first, and the outputs after them.
    CommitBeforeOutput,
    /// A stage looks at the clock.
    ReadClock,
    /// A writer that does not know whether a commit happened commits the same once more.
    DoubleEffect,
    /// The log lets a writer commit whose name was opened again.
    ForgetFence,
    /// A commit that was under way when its writer died becomes visible in half of its partitions.
    TearCommit,
    /// A snapshot leaves out an entry that changed.
    ForgetState,
    /// A task takes over the state that a standby happens to hold, without what it had yet to read.
    StaleStandby,
    /// A checkpoint leaves out what changed while it was written.
    StaleCheckpoint,
    /// A task that takes over from another judge believes that what itself makes of its epochs was said.
    BelieveUnsaid,
}

impl Bug {
    /// Every bug.
    pub const ALL: &'static [Self] = &[
        Self::SkipOffset,
        Self::CommitBeforeOutput,
        Self::ReadClock,
        Self::DoubleEffect,
        Self::ForgetFence,
        Self::TearCommit,
        Self::ForgetState,
        Self::StaleStandby,
        Self::StaleCheckpoint,
        Self::BelieveUnsaid,
    ];

    /// Name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SkipOffset => "skip-offset",
            Self::CommitBeforeOutput => "commit-before-output",
            Self::ReadClock => "read-clock",
            Self::DoubleEffect => "double-effect",
            Self::ForgetFence => "forget-fence",
            Self::TearCommit => "tear-commit",
            Self::ForgetState => "forget-state",
            Self::StaleStandby => "stale-standby",
            Self::StaleCheckpoint => "stale-checkpoint",
            Self::BelieveUnsaid => "believe-unsaid",
        }
    }

    /// The bug of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|bug| bug.as_str() == name)
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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
