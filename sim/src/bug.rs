//! Bugs that are planted on purpose, so that a test can show that the simulator finds each of them.

use std::fmt;

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
