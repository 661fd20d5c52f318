//! What Weir tells about itself: one function an event, so that every metric and log line can be
//! found and tested. The binary implements it; libraries only call it.

use crate::invariants::Invariant;
use crate::stage::Tally;
use crate::topic::TaskId;
use std::time::Duration;
use weir_schemas::{ActionKind, ActionState, DlqKind};

/// What can happen to a source that a collector follows: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceChange {
    /// The file is there for the first time.
    Appeared,
    /// Another file is at the path; the old one was read to its end.
    Rotated,
    /// The file was truncated, and is read from its beginning.
    Truncated,
    /// The file of the stored position is nowhere: what was written to it meanwhile is lost.
    Lost,
}

impl SourceChange {
    /// Every change.
    pub const ALL: &'static [Self] = &[Self::Appeared, Self::Rotated, Self::Truncated, Self::Lost];

    /// Name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Rotated => "rotated",
            Self::Truncated => "truncated",
            Self::Lost => "lost",
        }
    }
}

/// Every event that Weir tells about. The default of each does nothing.
#[allow(unused_variables)]
pub trait Telemetry: Send + Sync {
    /// A task committed an epoch.
    fn epoch_committed(&self, task: TaskId, judged: u64, dead_lettered: u64, outputs: u64, took: Duration) {}
    /// A task's commit was aborted and is tried again.
    fn commit_aborted(&self, task: TaskId, reason: &str) {}
    /// A task starts over from the log, because the outcome of a commit is unknown or it was fenced.
    fn task_reopened(&self, task: TaskId, reason: &str) {}
    /// An epoch breaks what must hold of every epoch. It is not committed, and the task ends.
    fn invariant_broken(&self, task: TaskId, invariant: Invariant, detail: &str) {}
    /// A task is ready: state loaded and epochs folded again.
    fn task_restored(&self, task: TaskId, entries: u64, epochs: u64, took: Duration) {}
    /// A task let its partition go.
    fn task_released(&self, task: TaskId) {}
    /// A task wrote a snapshot of what changed.
    fn snapshot_written(&self, task: TaskId, entries: u64) {}
    /// Number of entries in a task's state.
    fn state_entries(&self, task: TaskId, entries: u64) {}
    /// A stage counted something besides its outputs.
    fn tallied(&self, task: TaskId, tally: Tally, count: u64) {}
    /// A collector read bytes of a source.
    fn bytes_read(&self, bytes: u64) {}
    /// A collector published events.
    fn events_published(&self, count: u64) {}
    /// A collector refused a line.
    fn line_rejected(&self, kind: DlqKind) {}
    /// Something happened to a collector's source.
    fn source_changed(&self, change: SourceChange) {}
    /// A source cannot be read for now.
    fn source_unavailable(&self, reason: &str) {}
    /// The enforcer settled an action.
    fn action_settled(&self, kind: ActionKind, state: ActionState) {}
    /// The enforcer cannot write its files and has stopped acting.
    fn output_stalled(&self, reason: &str) {}
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Telemetry for Silent {}
