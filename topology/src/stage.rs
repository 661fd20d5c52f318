//! A stage is a pure fold: the same batches give the same effects and the same state.
//!
//! Nothing here, and nothing in a stage, reads a clock, a random number or a file. Live, replay and
//! simulation call the same `step`.

use crate::record::{Output, Records};
use crate::topic::{StageName, TaskId, Topic};
use std::sync::Arc;
use thiserror::Error;
use weir_schemas::{Judge, Tier};

/// The records of one input that an epoch folds.
#[derive(Debug, Clone)]
pub struct InputBatch {
    /// The input.
    pub topic: Topic,
    /// Its partition.
    pub partition: u32,
    /// Its records, in offset order.
    pub records: Records,
}

/// What an epoch folds.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Number of the epoch, from 1.
    pub epoch: i64,
    /// Partition of the task.
    pub partition: u32,
    /// Event-time clock of the task before the epoch, in milliseconds; a stage raises it to the
    /// latest event time that it folds. Lockstep sets it to the start of the epoch's time span,
    /// which is the same for every partition.
    pub clock_ms: i64,
    /// When the epoch was taken, in milliseconds since the Unix epoch by the rim's clock; never before the
    /// one of the epoch before. The epoch's record keeps it, so that a refold reads what the first fold read.
    /// None for a stage that [knows none](StageName::knows_processing_time).
    pub taken_ms: Option<i64>,
    /// Inputs in the stage's fixed order: control, feedback, events.
    pub inputs: Vec<InputBatch>,
}

impl Batch {
    /// Number of records over all inputs.
    pub fn len(&self) -> usize {
        self.inputs.iter().map(|input| input.records.len()).sum()
    }

    /// Whether no input has a record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a stage counts besides its outputs: a closed set, so that each has a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tally {
    /// Events that were older than a window reached back; judged, but not counted in that window.
    LateEvents,
    /// State entries forgotten because event time passed them by.
    Expired,
    /// State entries forgotten because the cap on entries was reached.
    EvictedByCap,
    /// Faults of the detector of this name: it was quarantined for one event.
    DetectorFaults(&'static str),
    /// Accounts of which the detector of this name forgot what it knew, because its state was of a version
    /// that this build does not know.
    DetectorForgot(&'static str),
    /// Cluster messages not sent because a value has members of more tenants than it remembers.
    FanOutSkipped,
    /// Accounts that a campaign has or that stand beside one, and that a campaign record does not name
    /// because it names no more.
    MembersUntold,
    /// Policies refused because they could not be read.
    PolicyRefused,
    /// Policies refused because nobody who is trusted vouches for them, or because they are older than one
    /// that was in force.
    PolicyUntrusted,
    /// Actions withheld because what they answer is history: imported, or older than an action may be.
    WithheldAsHistory,
    /// Actions withheld because operators protect their accounts.
    WithheldAsProtected,
    /// Actions withheld because the limiter pauses: a person is to look.
    WithheldByLimiter,
    /// Times that the limiter began to pause.
    LimiterPaused,
    /// Times that many more accounts were found at CRITICAL within a minute than usual, which pauses the
    /// limiter.
    StormsFound,
    /// Actions withheld because the kill switch is on.
    WithheldByKillSwitch,
    /// Requests to the kill switch that were carried out, and glass that mended.
    KillSwitchChanged,
    /// Words to the kill switch that were refused: forged, expired, replayed, or not theirs to say.
    KillSwitchRefused,
    /// Accounts whose time to be reviewed passed before anybody decided.
    ReviewsOverdue,
    /// Accounts that were forgotten before anybody decided on them: they waited too long, or too many did.
    ReviewsDropped,
    /// Analysts' words that were refused: forged, expired, replayed, or not theirs to say.
    ReviewWordsRefused,
    /// Executors' words about actions that do not wait for one: told twice, or after another took the
    /// action's place.
    OutcomesUnmatched,
    /// Effects that were decided on and did not come about: refused, given up, or carried out by nobody by
    /// their deadline.
    EffectsFailed,
    /// Verdicts of tier CLEAR: an account that was spoken of is no longer.
    VerdictsClear,
    /// Verdicts of tier MEDIUM.
    VerdictsMedium,
    /// Verdicts of tier HIGH.
    VerdictsHigh,
    /// Verdicts of tier CRITICAL.
    VerdictsCritical,
}

impl Tally {
    /// Every tally that names no detector.
    pub const ALL: &'static [Self] = &[
        Self::LateEvents,
        Self::Expired,
        Self::EvictedByCap,
        Self::FanOutSkipped,
        Self::MembersUntold,
        Self::PolicyRefused,
        Self::PolicyUntrusted,
        Self::WithheldAsHistory,
        Self::WithheldAsProtected,
        Self::WithheldByLimiter,
        Self::LimiterPaused,
        Self::StormsFound,
        Self::WithheldByKillSwitch,
        Self::KillSwitchChanged,
        Self::KillSwitchRefused,
        Self::ReviewsOverdue,
        Self::ReviewsDropped,
        Self::ReviewWordsRefused,
        Self::OutcomesUnmatched,
        Self::EffectsFailed,
        Self::VerdictsClear,
        Self::VerdictsMedium,
        Self::VerdictsHigh,
        Self::VerdictsCritical,
    ];

    /// The tally of a tier's verdicts.
    pub const fn of_tier(tier: Tier) -> Self {
        match tier {
            Tier::Clear => Self::VerdictsClear,
            Tier::Medium => Self::VerdictsMedium,
            Tier::High => Self::VerdictsHigh,
            Tier::Critical => Self::VerdictsCritical,
        }
    }

    /// Name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LateEvents => "late_events",
            Self::Expired => "expired",
            Self::EvictedByCap => "evicted_by_cap",
            Self::DetectorFaults(_) => "detector_faults",
            Self::DetectorForgot(_) => "detector_forgot",
            Self::FanOutSkipped => "fan_out_skipped",
            Self::MembersUntold => "members_untold",
            Self::PolicyRefused => "policy_refused",
            Self::PolicyUntrusted => "policy_untrusted",
            Self::WithheldAsHistory => "withheld_as_history",
            Self::WithheldAsProtected => "withheld_as_protected",
            Self::WithheldByLimiter => "withheld_by_limiter",
            Self::LimiterPaused => "limiter_paused",
            Self::StormsFound => "storms_found",
            Self::WithheldByKillSwitch => "withheld_by_kill_switch",
            Self::KillSwitchChanged => "kill_switch_changed",
            Self::KillSwitchRefused => "kill_switch_refused",
            Self::ReviewsOverdue => "reviews_overdue",
            Self::ReviewsDropped => "reviews_dropped",
            Self::ReviewWordsRefused => "review_words_refused",
            Self::OutcomesUnmatched => "outcomes_unmatched",
            Self::EffectsFailed => "effects_failed",
            Self::VerdictsClear => "verdicts_clear",
            Self::VerdictsMedium => "verdicts_medium",
            Self::VerdictsHigh => "verdicts_high",
            Self::VerdictsCritical => "verdicts_critical",
        }
    }
}

/// What holds of a stage for a while, as a number: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// 1 while the kill switch is on.
    KillSwitch,
    /// Accounts that wait for an analyst.
    ReviewsWaiting,
    /// Those of them whose time has passed.
    ReviewsOverdue,
}

/// What a step wants done. Only a rim carries it out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Records to write, in order.
    pub outputs: Vec<Output>,
    /// Input records folded into state.
    pub judged: u64,
    /// Input records sent to the dead-letter topic (they are among the outputs).
    pub dead_lettered: u64,
    /// Event-time clock after the step.
    pub clock_ms: i64,
    /// Policy in force after the step's control records.
    pub policy_version: String,
    /// Counts of the closed set.
    pub tallies: Vec<(Tally, u64)>,
    /// Of each effect that was heard of, milliseconds from the decision to it.
    pub effects_ms: Vec<i64>,
}

/// A changed entry of a stage's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateEntry {
    /// Account or link value, as the state topic's key.
    pub key: Vec<u8>,
    /// The entry in the stage's own encoding; none when it was forgotten.
    pub body: Option<Vec<u8>>,
}

/// Why a state entry cannot be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateError {
    /// The entry was written in another format.
    #[error(
        "state entry {key} has format {found}, this build reads {expected}: run the release that wrote it, \
         or delete the state topic and let the stage fold its inputs from the start"
    )]
    Format {
        /// Key of the entry.
        key: String,
        /// Format that the entry says.
        found: i32,
        /// Format that this build writes.
        expected: i32,
    },
    /// The entry's bytes do not fit its format.
    #[error("state entry {key} is damaged: {reason}")]
    Damaged {
        /// Key of the entry.
        key: String,
        /// What does not fit.
        reason: String,
    },
}

/// A stage: its state, and the fold over it.
pub trait Stage: Send {
    /// Which stage it is.
    fn name(&self) -> StageName;

    /// Who judges this batch if it is the next: the version of the stage's judgement, and the policy that is
    /// in force after the batch's control records, where the stage has one. The same judge gives the same
    /// bytes.
    fn judge(&self, batch: &Batch) -> Judge;

    /// Folds one epoch into the state.
    fn step(&mut self, batch: &Batch) -> Effects;

    /// Folds an epoch that another judge recorded into the state. Its inputs count, and nothing is said:
    /// `said` is what that judge wrote in this epoch to each of the [topics in which the stage
    /// speaks](StageName::said_topics), in their order, and it stands. The error says what this build lacks
    /// to go on from there.
    fn adopt(&mut self, batch: &Batch, said: &[Records]) -> Result<(), StateError>;

    /// Looks once more at what the epochs touched that were adopted since the last call: what is said now,
    /// and how many accounts that were. `batch` has no records.
    fn rejudge(&mut self, batch: &Batch) -> (Effects, u64);

    /// Version of the encoding of state entries.
    fn state_format(&self) -> i32;

    /// Number of entries that [`Self::take_changes`] would give: what a snapshot would write.
    fn changed(&self) -> usize;

    /// Entries that changed since the last call, in key order, and forgets that they changed.
    fn take_changes(&mut self) -> Vec<StateEntry>;

    /// Entries of the state, in an order of the stage's own: those from place `from` on, some `entries_max`
    /// at a time, and the place where the rest begins; none after the last. The first place is 0. An entry
    /// that is there all the while and does not change is given once or more often, whatever else comes and
    /// goes between two calls. A stage without a [checkpoint topic](StageName::checkpoint_topic) is not
    /// asked, and gives nothing.
    fn survey(&self, from: u64, entries_max: usize) -> (Vec<StateEntry>, Option<u64>);

    /// What entries lost when they were taken back, since the last call. Nothing, for most stages.
    fn take_losses(&mut self) -> Vec<(Tally, u64)> {
        Vec::new()
    }

    /// Takes back an entry that [`Self::take_changes`] or [`Self::survey`] gave. A later entry of the same
    /// key replaces an earlier one. Settings that arrived as control records (a policy, a posture) are state
    /// too, under keys that begin with `!`; `!begin` and `!cursor` are the runner's own.
    fn restore(&mut self, key: &[u8], format: i32, body: &[u8]) -> Result<(), StateError>;

    /// Forgets an entry, as [`StateEntry::body`] none says.
    fn forget(&mut self, key: &[u8]);

    /// Number of entries in the state.
    fn entries(&self) -> usize;

    /// The earliest processing time at which the stage has something to do whether or not a record comes, in
    /// milliseconds since the Unix epoch; none where it has not. From then on an epoch is taken without
    /// input, so a stage must not ask again for what that epoch did. A stage that
    /// [knows no processing time](StageName::knows_processing_time) is not asked.
    fn due_ms(&self) -> Option<i64> {
        None
    }

    /// What holds of it for a while, at this processing time. Nothing, for most stages.
    #[allow(unused_variables)]
    fn levels(&self, now_ms: i64) -> Vec<(Level, i64)> {
        Vec::new()
    }
}

/// Makes a new, empty stage for a task.
pub type StageFactory = Arc<dyn Fn(TaskId) -> Box<dyn Stage> + Send + Sync>;
