//! How a task comes back: load the state topic, then fold the epochs since then again, silently.
//!
//! The state topic holds what the last snapshot wrote, and a cursor: where the inputs stood;
//! [`crate::follow`] takes it in. The epoch records after it say which records each later epoch folded,
//! so the same steps give the same state. [`fold_recorded`] is also how history is replayed as it was
//! recorded.

use crate::adopt::{Adoption, Marks, Said};
use crate::follow::Load;
use crate::invariants::Broken;
use crate::limits::{READ_BYTES_MAX, READ_RECORDS_MAX, READ_STALL_MAX};
use crate::log::{Log, LogError, Position, Reader};
use crate::outputs::count_outputs;
use crate::record::Records;
use crate::stage::{Batch, Effects, InputBatch, Stage, StateEntry, StateError};
use crate::topic::{TaskId, Topic};
use sha2::{Digest as _, Sha256};
use std::time::{Duration, Instant};
use thiserror::Error;
use weir_schemas::wire::{Wire, WireError};
use weir_schemas::{Digest, Epoch, Judge, OutputCount, State, StateKind};

/// Key of the record that says where a task's inputs stood at its last snapshot.
pub const CURSOR_KEY: &[u8] = b"!cursor";

/// Version of the cursor record.
pub const CURSOR_FORMAT: i32 = 1;

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

/// Where a task stands between two epochs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Last epoch that is part of the state; 0 before the first.
    pub epoch: i64,
    /// Where each input is read next, in the stage's order of inputs.
    pub positions: Vec<Position>,
    /// An offset of the epoch topic at or before the first epoch after this one.
    pub epochs_from: i64,
    /// Event-time clock.
    pub clock_ms: i64,
    /// Where that clock stood when the task last completed a [checkpoint](crate::checkpoint); 0 before the first.
    pub checkpoint_ms: i64,
    /// When the last epoch was taken, in processing time; 0 before the first, and for a stage that knows none.
    pub taken_ms: i64,
    /// For each [topic in which the task speaks](crate::topic::StageName::said_topics), an offset at or before what it said
    /// after this epoch.
    pub said: Vec<Position>,
}

impl Cursor {
    /// The beginning of history.
    pub fn start(task: TaskId) -> Self {
        let start = |topic: &Topic| Position { topic: *topic, partition: task.partition_of(*topic), next: 0 };
        let positions = task.stage.inputs().iter().map(start).collect();
        let said = task.stage.said_topics().iter().map(start).collect();
        Self { epoch: 0, positions, epochs_from: 0, clock_ms: 0, checkpoint_ms: 0, taken_ms: 0, said }
    }

    /// The cursor as a record of state.
    pub(crate) fn to_record(&self) -> State {
        let record = |position: &Position| weir_schemas::Position {
            topic: position.topic.name().into(),
            partition: position.partition as i32,
            next: position.next,
        };
        State {
            kind: StateKind::Cursor,
            format: CURSOR_FORMAT,
            epoch: self.epoch,
            positions: self.positions.iter().map(record).collect(),
            epochs_from: self.epochs_from,
            clock_ms: self.clock_ms,
            body: Vec::new(),
            checkpoint_ms: self.checkpoint_ms,
            taken_ms: self.taken_ms,
            said: self.said.iter().map(record).collect(),
        }
    }

    /// The cursor of `task` that a record of state says.
    pub fn from_record(task: TaskId, state: &State) -> Result<Self, TaskError> {
        if state.kind != StateKind::Cursor || state.format != CURSOR_FORMAT {
            let key = String::from_utf8_lossy(CURSOR_KEY).into_owned();
            let source = StateError::Format { key, found: state.format, expected: CURSOR_FORMAT };
            return Err(TaskError::State { task, source });
        }
        let mut cursor = Self::start(task);
        for (positions, saved) in [(&mut cursor.positions, &state.positions), (&mut cursor.said, &state.said)]
        {
            for position in positions {
                let is_its = |saved: &&weir_schemas::Position| {
                    saved.topic == position.topic.name() && saved.partition == position.partition as i32
                };
                position.next = saved.iter().find(is_its).map_or(0, |saved| saved.next);
            }
        }
        cursor.epoch = state.epoch;
        cursor.epochs_from = state.epochs_from;
        cursor.clock_ms = state.clock_ms;
        cursor.checkpoint_ms = state.checkpoint_ms;
        cursor.taken_ms = state.taken_ms;
        Ok(cursor)
    }
}

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
    /// What came out, which is what was recorded; none where another judge recorded the epoch, and the stage adopted it.
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
/// [`TaskError::OtherJudge`] where another judge recorded the epoch. Epochs of another judge that this one has adopted
/// are adopted again.
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

/// A difference between two judges is none of the build.
fn of_judges(error: TaskError, recorded: &Judge, judge: Judge) -> TaskError {
    match error {
        TaskError::Diverged { task, epoch, what, .. } if *recorded != judge => {
            TaskError::OtherJudge { task, epoch, what, recorded: name_of(recorded), own: name_of(&judge) }
        }
        error => error,
    }
}

/// A judge in words: `version 3 with policy 41ab0c2f…`.
fn name_of(judge: &Judge) -> String {
    let policy = judge.policy.map(|digest| digest.to_string().chars().take(8).collect::<String>());
    let policy = policy.map_or_else(String::new, |digest| format!(" with policy {digest}…"));
    format!("version {}{policy}", judge.version)
}

/// Holds what a fold gave against what was recorded of it.
fn compare(
    task: TaskId,
    stage: &mut dyn Stage,
    epoch: &Epoch,
    effects: &Effects,
    adopted: u64,
) -> Result<(), TaskError> {
    let diverged = |what, recorded: &dyn ToString, found: &dyn ToString| TaskError::Diverged {
        task,
        epoch: epoch.epoch,
        what,
        recorded: recorded.to_string(),
        found: found.to_string(),
    };
    let accounts = epoch.adopted.as_ref().map_or(0, |adopted| adopted.accounts);
    if accounts != adopted as i64 {
        return Err(diverged("accounts adopted", &accounts, &adopted));
    }
    if epoch.judged != effects.judged as i64 {
        return Err(diverged("judged", &epoch.judged, &effects.judged));
    }
    if epoch.dead_lettered != effects.dead_lettered as i64 {
        return Err(diverged("dead_lettered", &epoch.dead_lettered, &effects.dead_lettered));
    }
    if epoch.clock_ms != effects.clock_ms {
        return Err(diverged("clock_ms", &epoch.clock_ms, &effects.clock_ms));
    }
    if epoch.policy_version != effects.policy_version {
        return Err(diverged("policy", &epoch.policy_version, &effects.policy_version));
    }
    let found = count_outputs(task.stage, &effects.outputs);
    if epoch.outputs != found {
        return Err(diverged("outputs", &told(&epoch.outputs), &told(&found)));
    }
    if let Some(recorded) = epoch.state_digest {
        let found = digest_of(&stage.take_changes());
        if found != recorded {
            return Err(diverged("state digest", &recorded, &found));
        }
    }
    Ok(())
}

/// In words: `2 to weir.verdicts (1f0c44d2…)`.
fn told(counts: &[OutputCount]) -> String {
    let one = |count: &OutputCount| {
        let digest: String = count.digest.to_string().chars().take(8).collect();
        format!("{} to {} ({digest}…)", count.records, count.topic)
    };
    counts.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Digest of changed state entries: what an epoch record carries when it took a snapshot.
pub fn digest_of(entries: &[StateEntry]) -> Digest {
    let mut sha = Sha256::new();
    for entry in entries {
        for part in [Some(&entry.key), entry.body.as_ref()] {
            match part {
                Some(bytes) => {
                    sha.update((bytes.len() as u64 + 1).to_be_bytes());
                    sha.update(bytes);
                }
                None => sha.update(0u64.to_be_bytes()),
            }
        }
    }
    Digest(sha.finalize().into())
}

/// A range of one partition, read forward batch by batch.
pub struct History {
    reader: Option<Box<dyn Reader>>,
    end: i64,
    records: Records,
    stalled: Stall,
}

impl History {
    /// The records of `topic`/`partition` from `from` up to `end`.
    pub fn new(log: &dyn Log, topic: Topic, partition: u32, from: i64, end: i64) -> Result<Self, LogError> {
        let reader = match from < end {
            true => Some(log.reader(&[Position { topic, partition, next: from }])?),
            false => None,
        };
        Ok(Self { reader, end, records: Records::default(), stalled: Stall::new(topic, partition) })
    }

    /// The next batch; none after the end.
    #[allow(clippy::should_implement_trait)] // Lends the batch, which an iterator cannot.
    pub fn next(&mut self) -> Result<Option<&Records>, LogError> {
        let Some(reader) = self.reader.as_mut() else { return Ok(None) };
        loop {
            if reader.next(0) >= self.end {
                return Ok(None);
            }
            self.records.clear();
            reader.wait(Duration::from_millis(50))?;
            reader.take(0, READ_RECORDS_MAX, READ_BYTES_MAX, &mut self.records)?;
            if self.records.is_empty() {
                self.stalled.check()?;
                continue;
            }
            self.stalled.reset();
            let end = self.end;
            if self.records.iter().next_back().is_some_and(|last| last.offset >= end) {
                let mut kept = Records::default();
                self.records
                    .iter()
                    .filter(|record| record.offset < end)
                    .for_each(|record| kept.push_ref(record));
                self.records = kept;
                self.reader = None;
            }
            return Ok((!self.records.is_empty()).then_some(&self.records));
        }
    }
}

/// Notices when a log keeps back what it said was there.
pub(crate) struct Stall {
    topic: Topic,
    partition: u32,
    since: Instant,
}

impl Stall {
    pub(crate) fn new(topic: Topic, partition: u32) -> Self {
        Self { topic, partition, since: Instant::now() }
    }

    pub(crate) fn reset(&mut self) {
        self.since = Instant::now();
    }

    pub(crate) fn check(&self) -> Result<(), LogError> {
        if self.since.elapsed() < READ_STALL_MAX {
            return Ok(());
        }
        let (topic, partition) = (self.topic, self.partition);
        let seconds = READ_STALL_MAX.as_secs();
        Err(LogError::Unavailable { reason: format!("{topic}/{partition} gave nothing for {seconds} s") })
    }
}

/// A task's inputs, read up to offsets that epoch records give.
struct Inputs {
    reader: Box<dyn Reader>,
    /// What was read past the last epoch's end, input by input, with how much of it is used up.
    ahead: Vec<(Records, usize)>,
    positions: Vec<Position>,
}

impl Inputs {
    fn new(log: &dyn Log, from: &[Position]) -> Result<Self, LogError> {
        let ahead = from.iter().map(|_| (Records::default(), 0)).collect();
        Ok(Self { reader: log.reader(from)?, ahead, positions: from.to_vec() })
    }

    fn positions(&self) -> Vec<Position> {
        self.positions.clone()
    }

    /// The records that `epoch` folded.
    fn batch(&mut self, task: TaskId, epoch: &Epoch, clock_ms: i64) -> Result<Batch, LogError> {
        let mut inputs = Vec::with_capacity(self.positions.len());
        for index in 0..self.positions.len() {
            let Position { topic, partition, .. } = self.positions[index];
            let range = epoch
                .inputs
                .iter()
                .find(|range| range.topic == topic.name() && range.partition == partition as i32);
            let mut records = Records::default();
            if let Some(range) = range {
                self.read_to(index, range.from, range.to, &mut records)?;
                self.positions[index].next = range.to;
            }
            inputs.push(InputBatch { topic, partition, records });
        }
        let taken_ms = epoch.taken_ms;
        Ok(Batch { epoch: epoch.epoch, partition: task.partition, clock_ms, taken_ms, inputs })
    }

    fn read_to(&mut self, index: usize, from: i64, to: i64, into: &mut Records) -> Result<(), LogError> {
        let Position { topic, partition, .. } = self.positions[index];
        let stall = Stall::new(topic, partition);
        loop {
            let (ahead, used) = &mut self.ahead[index];
            while let Some(record) = ahead.get(*used) {
                if record.offset >= to {
                    return Ok(());
                }
                *used += 1;
                if record.offset >= from {
                    into.push_ref(record);
                }
            }
            if self.reader.next(index) >= to {
                return Ok(());
            }
            ahead.clear();
            *used = 0;
            self.reader.wait(Duration::from_millis(50))?;
            self.reader.take(index, READ_RECORDS_MAX, READ_BYTES_MAX, ahead)?;
            if ahead.is_empty() {
                stall.check()?;
            }
        }
    }
}
