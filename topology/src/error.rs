//! Why a task cannot go on.

use crate::invariants::Broken;
use crate::log::LogError;
use crate::stage::StateError;
use crate::topic::{TaskId, Topic};
use thiserror::Error;
use weir_schemas::wire::WireError;

/// Why a task cannot go on.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum TaskError {
    /// The log failed.
    #[error("{task}: {source}")]
    Log {
        /// The task.
        task: TaskId,
        /// What failed.
        source: LogError,
    },
    /// A state entry cannot be taken back.
    #[error("{task}: {source}")]
    State {
        /// The task.
        task: TaskId,
        /// What failed.
        source: StateError,
    },
    /// One of Weir's own records cannot be read.
    #[error("{task}: a record of {topic} cannot be read: {source}")]
    Record {
        /// The task.
        task: TaskId,
        /// Topic of the record.
        topic: Topic,
        /// What failed.
        source: WireError,
    },
    /// An epoch breaks what must hold of every epoch: a fault of this build or of its log.
    #[error(
        "{task}: epoch {epoch} was not committed, because it breaks an invariant: {source}. Nothing was lost; \
         please report it, and go on with the build that ran before"
    )]
    Broken {
        /// The task.
        task: TaskId,
        /// Number of the epoch.
        epoch: i64,
        /// What does not hold.
        source: Broken,
    },
    /// Epoch records are missing, so the state cannot be made again.
    #[error(
        "{task}: epoch {expected} is missing, the log goes on with {found}: its retention has passed or \
         records were deleted. Restore the topic, or delete the stage's state, checkpoints and epochs to start afresh"
    )]
    Gap {
        /// The task.
        task: TaskId,
        /// The epoch that should come next.
        expected: i64,
        /// The epoch that does.
        found: i64,
    },
    /// Another judge recorded an epoch, and gave something else than this one.
    #[error(
        "{task}: epoch {epoch} was recorded by another judge ({recorded}), and this build ({own}) gives another {what}: \
         use the build that judged, or begin at a later checkpoint"
    )]
    OtherJudge {
        /// The task.
        task: TaskId,
        /// Number of the epoch.
        epoch: i64,
        /// What differs.
        what: &'static str,
        /// Who recorded it.
        recorded: String,
        /// Who folded it again.
        own: String,
    },
    /// What a task said in an epoch that is to be adopted is not what stands in the log.
    #[error(
        "{task}: epoch {epoch} recorded {recorded} records of {topic}, and of those that stand there as its own, {found}, \
         not all are the ones that it wrote: some are gone, or somebody else wrote to the topic. Go on with the build that \
         recorded the epoch"
    )]
    SaidLost {
        /// The task.
        task: TaskId,
        /// Number of the epoch.
        epoch: i64,
        /// Where they should stand.
        topic: Topic,
        /// How many were recorded.
        recorded: i64,
        /// How many say that they are of the epoch.
        found: i64,
    },
    /// Folding the recorded inputs again gave something else than was recorded.
    #[error(
        "{task}: epoch {epoch} gives {what} {found} when folded again, but {recorded} was recorded: this \
         build judges differently from the one that wrote the epoch, and does not say so. Finish with the old build, \
         or replay in lockstep"
    )]
    Diverged {
        /// The task.
        task: TaskId,
        /// Number of the epoch.
        epoch: i64,
        /// What differs.
        what: &'static str,
        /// As recorded.
        recorded: String,
        /// As folded again.
        found: String,
    },
}
