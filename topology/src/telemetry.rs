//! What Weir tells about itself: one function an event, so that every metric and log line can be
//! found and tested. The binary implements it; libraries only call it.

use crate::invariants::Invariant;
use crate::stage::{Level, Tally};
use crate::topic::TaskId;
use std::time::Duration;
use weir_schemas::{ActionKind, ActionState, DlqKind};

/// What can happen to the files of a source: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceChange {
    /// The file is there for the first time.
    Appeared,
    /// The file was read to its end, and another one is read now.
    Rotated,
    /// The file was cut; what is written to it now is read from its beginning.
    Truncated,
    /// Another file is at the path, and the one that was being read is nowhere.
    Replaced,
}

impl SourceChange {
    /// Every change.
    pub const ALL: &'static [Self] = &[Self::Appeared, Self::Rotated, Self::Truncated, Self::Replaced];

    /// Name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Rotated => "rotated",
            Self::Truncated => "truncated",
            Self::Replaced => "replaced",
        }
    }
}

/// Why bytes of a source may have been lost: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LossCause {
    /// The file was gone before it was read to its end.
    Gone,
    /// The file was cut before it was read to its end, and there is no copy that holds the rest.
    Truncated,
    /// What was written between the copy and the cut is in neither.
    CopyAndTruncate,
    /// The file is compressed in a way that is not read, or damaged.
    Unreadable,
}

impl LossCause {
    /// Every cause.
    pub const ALL: &'static [Self] = &[Self::Gone, Self::Truncated, Self::CopyAndTruncate, Self::Unreadable];

    /// Name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Truncated => "truncated",
            Self::CopyAndTruncate => "copy_and_truncate",
            Self::Unreadable => "unreadable",
        }
    }
}

/// What a task that was opened started from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// All of its state was read from the log, or the most of it.
    Cold,
    /// A standby held its state.
    Warm,
}

impl Start {
    /// Every start.
    pub const ALL: &'static [Self] = &[Self::Cold, Self::Warm];

    /// Name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
        }
    }
}

/// Every event that Weir tells about. The default of each does nothing.
#[allow(unused_variables)]
pub trait Telemetry: Send + Sync {
    /// A task committed an epoch.
    fn epoch_committed(&self, task: TaskId, judged: u64, dead_lettered: u64, outputs: u64, took: Duration) {}
    /// A verdict was committed this long after the time of the event that led to it, in milliseconds by the
    /// calendar.
    fn verdict_told(&self, age_ms: i64) {}
    /// An effect was told that was carried out this long after its decision, in milliseconds by the clocks of
    /// those two.
    fn effect_told(&self, took_ms: i64) {}
    /// A task's commit was aborted and is tried again.
    fn commit_aborted(&self, task: TaskId, reason: &str) {}
    /// A task starts over from the log, because the outcome of a commit is unknown or it was fenced.
    fn task_reopened(&self, task: TaskId, reason: &str) {}
    /// An epoch breaks what must hold of every epoch. It is not committed, and the task ends.
    fn invariant_broken(&self, task: TaskId, invariant: Invariant, detail: &str) {}
    /// A task is ready: state loaded and epochs folded again.
    fn task_restored(&self, task: TaskId, start: Start, entries: u64, epochs: u64, took: Duration) {}
    /// A task took over from another judge: so many epochs that it had recorded, so many accounts that they
    /// touched, and so many records that were written because this judge sees them differently.
    fn epochs_adopted(&self, task: TaskId, epochs: i64, accounts: i64, outputs: u64) {}
    /// A standby was looked at: the entries that it holds, and how many offsets of the state topic it
    /// has yet to take in.
    fn standby_looked_at(&self, task: TaskId, entries: u64, behind: u64) {}
    /// A standby is one no longer: its task was taken up here, or the process ends.
    fn standby_ended(&self, task: TaskId) {}
    /// A standby was thrown away, because it could not go on. Another begins from the start of the
    /// state topic; until it is there the task is taken up without one.
    fn standby_dropped(&self, task: TaskId, reason: &str) {}
    /// A task that was told to end had not within this time, and is waited for no longer.
    fn task_abandoned(&self, task: TaskId, waited: Duration) {}
    /// A task let its partition go.
    fn task_released(&self, task: TaskId) {}
    /// A task wrote a snapshot of what changed.
    fn snapshot_written(&self, task: TaskId, entries: u64) {}
    /// A task completed a checkpoint of its state.
    fn checkpoint_written(&self, task: TaskId, entries: u64, took: Duration) {}
    /// Number of entries in a task's state.
    fn state_entries(&self, task: TaskId, entries: u64) {}
    /// What holds of a task's stage for a while.
    fn level_looked_at(&self, task: TaskId, level: Level, value: i64) {}
    /// A stage counted something besides its outputs.
    fn tallied(&self, task: TaskId, tally: Tally, count: u64) {}
    /// A collector read bytes of a source.
    fn bytes_read(&self, bytes: u64) {}
    /// A collector published events.
    fn events_published(&self, count: u64) {}
    /// A collector published events of lines with bytes that are not UTF-8, read as U+FFFD.
    fn lines_mended(&self, count: u64) {}
    /// A collector announced who stands behind accounts, sealed.
    fn identities_announced(&self, count: u64) {}
    /// A collector forgot, for want of room, that it had announced accounts: it will announce them again.
    fn identities_forgotten(&self, count: u64) {}
    /// A collector refused a line.
    fn line_rejected(&self, kind: DlqKind) {}
    /// So many lines of a source were refused for a cause so far, the first of them at `offset` and for
    /// `reason`.
    fn lines_refused(&self, kind: DlqKind, count: u64, offset: u64, reason: &str) {}
    /// So many records that were pushed were refused for a cause so far, the first of them for `reason`.
    fn pushed_refused(&self, kind: DlqKind, count: u64, reason: &str) {}
    /// Requests came again, as a whole, and records in others: they are no events a second time.
    fn pushed_known(&self, requests: u64, records: u64) {}
    /// Records tell of no request to a model.
    fn records_other(&self, records: u64) {}
    /// Requests had a field that was of no use: malformed, out of range, or of another type.
    fn field_unknown(&self, field: &'static str, count: u64) {}
    /// Requests were nobody's, because the key that was sent with them was refused.
    fn requests_unowned(&self, count: u64) {}
    /// Lines of a source are of this format, which leaves these places unread that others read.
    fn format_taken(&self, format: &str, unread: &[&str]) {}
    /// Something happened to a file of a collector's source.
    fn source_changed(&self, change: SourceChange, file: &str) {}
    /// The first lines of a file were read under another name before, and are not read again.
    fn lines_known(&self, file: &str, lines: u64) {}
    /// Bytes of a file of a collector's source may have been lost: those from `from` up to `to`, or to
    /// wherever it ended.
    fn source_lost(&self, cause: LossCause, file: &str, from: u64, to: Option<u64>) {}
    /// Records of a topic that is a source had passed their retention before they were read: those of this
    /// partition from `from` up to `to`.
    fn topic_lost(&self, topic: &str, partition: i32, from: i64, to: i64) {}
    /// So much of what traced processes said was not heard, or could not be used, for this cause: a closed
    /// set.
    fn trace_lost(&self, cause: &'static str, count: u64) {}
    /// A spool was looked at: bytes of batches in it that wait for the log, and bytes that it takes on the
    /// disk.
    fn spool_looked_at(&self, waiting_bytes: u64, bytes: u64) {}
    /// Events went to the log that an earlier process had put in the spool.
    fn spool_replayed(&self, events: u64) {}
    /// Bytes of a spool's file cannot be used, those from `from` on; `kind` is of a closed set.
    fn spool_damaged(&self, kind: &'static str, file: &str, from: u64, bytes: u64) {}
    /// A spool takes nothing from now on: what is heard waits in memory.
    fn spool_passed_over(&self, reason: &str) {}
    /// The disk did not do what a spool asked besides taking a batch: make sure of what it took, or let go of
    /// what is in the log.
    fn spool_unsure(&self, reason: &str) {}
    /// A source cannot be read for now.
    fn source_unavailable(&self, reason: &str) {}
    /// So many indicators of others are compared with requests from now on.
    fn indicators_loaded(&self, count: u64) {}
    /// A file of indicators cannot be read: those of before go on being compared.
    fn indicators_refused(&self, file: &str, reason: &str) {}
    /// A request met an indicator of this kind.
    fn indicator_met(&self, kind: &'static str) {}
    /// The enforcer settled an action.
    fn action_settled(&self, kind: ActionKind, state: ActionState) {}
    /// The enforcer cannot write its files and has stopped acting.
    fn output_stalled(&self, reason: &str) {}
    /// The enforcer's files passed records over that could not be read, or that no audit record allows.
    fn output_unreadable(&self, records: u64) {}
    /// The enforcer told of actions to be carried out without the raw account id, which could not be had.
    fn output_unopened(&self, actions: u64) {}
    /// Sealed identities did not open, or did not make the pseudonym that they were announced for: somebody
    /// who is no collector wrote them, or one that tries to put one customer in another's place.
    fn output_identities_refused(&self, identities: u64) {}
    /// The enforcer forgot sealed identities to stay within its limit.
    fn output_identities_forgotten(&self, identities: u64) {}
    /// The enforcer forgot shared values to stay within its limit.
    fn output_indicators_forgotten(&self, values: u64) {}
    /// So many actions were read and wait to be told, as for their audit record or verdict.
    fn output_waiting(&self, actions: u64) {}
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Telemetry for Silent {}
