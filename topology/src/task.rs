//! The epoch runner: one stage on one partition.
//!
//! An epoch takes the next records of every input in a fixed order (control, feedback, events),
//! folds them with one `step`, and commits outputs, epoch record and, every few seconds, what
//! changed of the state, all in one atomic commit; every few hours, all of the state, a slice with each
//! epoch ([`crate::checkpoint`]). A task that starts fences whoever held the partition, loads the state
//! and folds the epochs since then again without emitting.

use crate::adopt::Adoption;
use crate::checkpoint::{Sweep, Timetable, begin_record, entry_payload};
use crate::clock::Clock;
use crate::compare::digest_of;
use crate::cursor::{CURSOR_KEY, Cursor};
use crate::error::TaskError;
use crate::follow::Follower;
use crate::invariants::{Broken, Chain, check_fold};
use crate::limits::{
    CHECKPOINT_AT_END_SLICE, CHECKPOINT_ENTRIES_MAX, COMMIT_ATTEMPTS_MAX, EPOCH_BYTES_MAX, EPOCH_RECORDS_MAX,
    SNAPSHOT_ENTRIES_MAX,
};
use crate::log::{Commit, Log, LogError, Position, Reader, Writer};
use crate::outputs::count_outputs;
use crate::record::{Output, Records};
use crate::restore::fold_since;
use crate::stage::{Batch, Effects, InputBatch, Stage, StateEntry};
use crate::telemetry::{Start, Telemetry};
use crate::topic::{TaskId, Topic};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weir_schemas::wire::Wire;
use weir_schemas::{Adopted, Epoch, InputRange, Judge};

/// How a task paces itself. None of it changes what is judged.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Time from one tick to the next, at which the epochs of a process end: the longest time that one
    /// gathers records.
    pub epoch_interval: Duration,
    /// Most records that an epoch folds.
    pub epoch_records_max: usize,
    /// Time between snapshots.
    pub snapshot_interval: Duration,
    /// Time between checkpoints, where the stage keeps any.
    pub checkpoint_interval: Duration,
    /// Most entries of a checkpoint that one epoch writes, besides what changed.
    pub checkpoint_entries_max: usize,
    /// Time between looks at the end of the epoch topic, from which a restore starts to read.
    pub hint_interval: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            epoch_interval: Duration::from_millis(100),
            epoch_records_max: EPOCH_RECORDS_MAX,
            snapshot_interval: Duration::from_secs(5),
            checkpoint_interval: Duration::from_secs(6 * 3600),
            checkpoint_entries_max: CHECKPOINT_ENTRIES_MAX,
            hint_interval: Duration::from_secs(60),
        }
    }
}

/// What a task shares with whoever watches it.
#[derive(Debug, Default)]
pub struct TaskStatus {
    epoch: AtomicI64,
    judged: AtomicU64,
    /// Turns of the task since it first ran here, however often it was opened again.
    turns: AtomicU64,
    /// Whether it is open: neither being opened nor ending.
    is_open: AtomicBool,
    /// Where the inputs are read next, after the last committed epoch.
    positions: Mutex<Vec<Position>>,
}

impl TaskStatus {
    /// Last committed epoch.
    pub fn epoch(&self) -> i64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Input records folded since the task was first opened here.
    pub fn judged(&self) -> u64 {
        self.judged.load(Ordering::Relaxed)
    }

    /// A number that is another one after each turn of the task: an epoch, or a look that found nothing to
    /// fold. None while the task is being opened, which takes as long as its state is large, or drains.
    pub fn turns(&self) -> Option<u64> {
        self.is_open.load(Ordering::Relaxed).then(|| self.turns.load(Ordering::Relaxed))
    }

    pub(crate) fn turn_begins(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Relaxed);
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Where the inputs are read next, after the last committed epoch.
    pub fn positions(&self) -> Vec<Position> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_positions(&self, positions: &[Position]) {
        positions.clone_into(&mut self.positions.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Where schemas are looked up that a frame names by registry id.
pub trait SchemaSource: Send + Sync {
    /// Tells `wire` what `id` stands for. An id that the source does not know is not an error: its
    /// records are dead-lettered. A source that does not answer is one.
    fn learn(&self, id: u32, wire: &Wire) -> Result<(), LogError>;
}

/// Is told what an epoch is about to write: an early word to somebody outside of the log. It is told of live
/// epochs alone: what is folded again was told before, and what another judge recorded is its own to tell.
/// It may not wait, and changes nothing.
pub trait BeforeCommit: Send + Sync {
    /// These outputs of the stage are about to be committed. They may yet not be.
    fn about_to_commit(&self, task: TaskId, outputs: &[Output]);
}

/// What a task needs from its surroundings.
#[derive(Clone)]
pub struct Surroundings {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Framing of records.
    pub wire: Arc<Wire>,
    /// Where unknown registry ids are looked up, where there is a registry.
    pub schemas: Option<Arc<dyn SchemaSource>>,
    /// Who is told.
    pub telemetry: Arc<dyn Telemetry>,
    /// Name of this process in epoch records.
    pub process: String,
    /// Pace.
    pub pace: Pace,
    /// What the pace is kept by.
    pub clock: Arc<dyn Clock>,
    /// Who is told before a commit, where anybody is.
    pub before_commit: Option<Arc<dyn BeforeCommit>>,
}

/// Gives up a standby's state to the task that takes over; none where there is none after all.
pub type Handover = Box<dyn FnOnce() -> Option<Follower> + Send>;

/// One stage on one partition.
pub struct Task {
    id: TaskId,
    stage: Box<dyn Stage>,
    around: Surroundings,
    writer: Box<dyn Writer>,
    reader: Box<dyn Reader>,
    cursor: Cursor,
    /// The chain of committed epochs, kept apart from the cursor so that one checks the other.
    chain: Chain,
    /// The last batch's inputs: their allocations serve the next one.
    spent: Vec<InputBatch>,
    status: Arc<TaskStatus>,
    snapshot_at: Duration,
    hint_at: Duration,
    /// When checkpoints are due, where the stage keeps any.
    checkpoints: Option<Timetable>,
    /// The checkpoint that is being written, and since when.
    unfinished: Option<(Sweep, Duration)>,
    /// Whether it has folded an epoch since it was opened.
    has_folded: bool,
}

/// The first multiple of `interval` after `now`, in whole milliseconds; `now` where there is no interval.
fn next_tick(now: Duration, interval: Duration) -> Duration {
    let (now_ms, interval_ms) = (now.as_millis() as u64, interval.as_millis() as u64);
    if interval_ms == 0 {
        return now;
    }
    Duration::from_millis((now_ms / interval_ms + 1).saturating_mul(interval_ms))
}

impl Task {
    /// Takes the partition over and brings `stage`, which must be new, to where it last committed.
    pub fn open(
        id: TaskId,
        stage: Box<dyn Stage>,
        around: Surroundings,
        status: Arc<TaskStatus>,
    ) -> Result<Self, TaskError> {
        Self::take_over(id, &mut None, || stage, around, status)
    }

    /// Takes the partition over with the state that a standby holds, or else with all of it from the
    /// log, in a new stage of `make_stage`. The standby is asked for its state when the writer is open.
    pub fn take_over(
        id: TaskId,
        standby: &mut Option<Handover>,
        make_stage: impl FnOnce() -> Box<dyn Stage>,
        around: Surroundings,
        status: Arc<TaskStatus>,
    ) -> Result<Self, TaskError> {
        let in_log = |source| TaskError::Log { task: id, source };
        let started = around.clock.now();
        if let Some(topic) = id.stage.checkpoint_topic() {
            // Better missed now than when the first is due.
            around.log.partitions(topic).map_err(in_log)?;
        }
        let writer = around.log.writer(&id.to_string()).map_err(in_log)?;
        let (log, wire) = (around.log.as_ref(), around.wire.as_ref());
        let follower = standby.take().and_then(|hand_over| hand_over());
        let warm = follower.and_then(|follower| {
            let start = if follower.is_warm() { Start::Warm } else { Start::Cold };
            match follower.finish(log, wire) {
                Ok((stage, snapshot)) => Some((stage, snapshot, start)),
                Err(error) => {
                    around.telemetry.standby_dropped(id, &error.to_string());
                    None
                }
            }
        });
        let (mut stage, snapshot, start) = match warm {
            Some(warm) => warm,
            None => {
                let (stage, snapshot) = Follower::new(id, make_stage()).finish(log, wire)?;
                (stage, snapshot, Start::Cold)
            }
        };
        let restored = fold_since(id, stage.as_mut(), log, wire, snapshot)?;
        let reader = around.log.reader(&restored.cursor.positions).map_err(in_log)?;
        let now = around.clock.now();
        let took = now.saturating_sub(started);
        around.telemetry.task_restored(id, start, restored.entries, restored.epochs, took);
        around.telemetry.state_entries(id, restored.entries);
        for (tally, count) in stage.take_losses() {
            around.telemetry.tallied(id, tally, count);
        }
        for (level, value) in stage.levels(around.clock.unix_ms()) {
            around.telemetry.level_looked_at(id, level, value);
        }
        status.epoch.store(restored.cursor.epoch, Ordering::Relaxed);
        status.set_positions(&restored.cursor.positions);
        let (cursor, adoption) = (restored.cursor, restored.adoption);
        let interval = around.pace.checkpoint_interval;
        let mut task = Self {
            id,
            stage,
            around,
            writer,
            reader,
            chain: Chain::after(&cursor),
            cursor,
            spent: Vec::new(),
            status,
            snapshot_at: now,
            hint_at: now,
            checkpoints: id.stage.checkpoint_topic().map(|_| Timetable::new(now, interval)),
            unfinished: None,
            has_folded: false,
        };
        if let Some(adoption) = adoption {
            task.adopt(adoption)?;
        }
        Ok(task)
    }

    /// Takes over from another judge, in an epoch that says so. It takes a snapshot in the same commit, so
    /// that what that judge recorded is folded again by nobody, and begins a checkpoint, from which this
    /// judge's verdicts can be proved.
    fn adopt(&mut self, adoption: Adoption) -> Result<(), TaskError> {
        let inputs = self.no_records();
        let slice = self.checkpoints.is_some().then_some(self.around.pace.checkpoint_entries_max);
        self.fold(inputs, Some(adoption), true, slice)
    }

    /// Which task it is.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Folds and commits one epoch if a record comes within `wait`, or without one if the stage has something
    /// to do now; true if it did either.
    pub fn run_epoch(&mut self, wait: Duration) -> Result<bool, TaskError> {
        if !self.reader.wait(wait).map_err(|source| self.in_log(source))? {
            self.note_gaps();
            let has_snapshot = self.stage.changed() > 0
                && self.since(self.snapshot_at) >= self.around.pace.snapshot_interval;
            let slice = self.slice(|checkpoints, now, task| checkpoints.is_due_idle(now, &task.cursor));
            let is_due = self.is_due();
            if has_snapshot || slice.is_some() || is_due {
                let inputs = self.no_records();
                self.fold(inputs, None, has_snapshot, slice)?;
            }
            return Ok(is_due);
        }
        let inputs = self.gather()?;
        if inputs.iter().all(|input| input.records.is_empty()) {
            self.spent = inputs;
            return Ok(false);
        }
        let due = self.since(self.snapshot_at) >= self.around.pace.snapshot_interval
            || self.stage.changed() >= SNAPSHOT_ENTRIES_MAX;
        let slice = self.slice(|checkpoints, now, _| checkpoints.is_due(now));
        self.fold(inputs, None, due, slice)?;
        Ok(true)
    }

    /// Commits what changed of the state, so that the next owner has nothing to fold again, and a checkpoint
    /// where one is due. Each of its slices has a commit of its own: in one with the state, it would take
    /// several times the stage's memory.
    pub fn close(mut self) -> Result<(), TaskError> {
        let entries = self.stage.entries();
        let checkpoints = self.checkpoints.as_ref();
        let is_due = checkpoints.is_some_and(|checkpoints| checkpoints.is_due_at_end(&self.cursor, entries));
        if self.stage.changed() > 0 {
            let inputs = self.no_records();
            self.fold(inputs, None, true, None)?;
        }
        let mut is_incomplete = is_due;
        while is_incomplete {
            let inputs = self.no_records();
            self.fold(inputs, None, false, Some(CHECKPOINT_AT_END_SLICE))?;
            is_incomplete = self.unfinished.is_some();
        }
        self.around.telemetry.task_released(self.id);
        Ok(())
    }

    fn in_log(&self, source: LogError) -> TaskError {
        TaskError::Log { task: self.id, source }
    }

    fn batch(&self, inputs: Vec<InputBatch>) -> Batch {
        Batch {
            epoch: self.cursor.epoch + 1,
            partition: self.id.partition,
            clock_ms: self.cursor.clock_ms,
            taken_ms: self.taken_ms(),
            inputs,
        }
    }

    /// When an epoch is taken that begins now. The machine's calendar may run back; this does not.
    fn taken_ms(&self) -> Option<i64> {
        let knows = self.id.stage.knows_processing_time();
        knows.then(|| self.around.clock.unix_ms().max(self.cursor.taken_ms))
    }

    /// Whether the stage has something to do now without a record.
    fn is_due(&self) -> bool {
        self.taken_ms().zip(self.stage.due_ms()).is_some_and(|(now_ms, due_ms)| due_ms <= now_ms)
    }

    /// Time since `moment`, by the clock that paces.
    fn since(&self, moment: Duration) -> Duration {
        self.around.clock.now().saturating_sub(moment)
    }

    /// Every input, without a record: an epoch of these only takes a snapshot, and says how far its
    /// inputs are known to hold nothing, so that the next one's ranges begin there.
    fn no_records(&mut self) -> Vec<InputBatch> {
        let mut inputs = std::mem::take(&mut self.spent);
        if inputs.is_empty() {
            let empty = Records::default;
            let input =
                |p: &Position| InputBatch { topic: p.topic, partition: p.partition, records: empty() };
            inputs.extend(self.cursor.positions.iter().map(input));
        }
        inputs.iter_mut().for_each(|input| input.records.clear());
        inputs
    }

    /// Tells that offsets which hold no record (transaction markers, compacted records) are behind us
    /// too. The next epoch's ranges cover them.
    fn note_gaps(&self) {
        let mut positions = self.cursor.positions.clone();
        for (index, position) in positions.iter_mut().enumerate() {
            position.next = self.reader.next(index);
        }
        self.status.set_positions(&positions);
    }

    /// Takes records of every input until the epoch is full or the process's next tick comes: epochs of one
    /// process end together, so that a log may commit them together. The first epoch takes what is there: it
    /// has waited long enough for somebody to take the task up.
    fn gather(&mut self) -> Result<Vec<InputBatch>, TaskError> {
        let now = self.around.clock.now();
        let deadline = if self.has_folded { next_tick(now, self.around.pace.epoch_interval) } else { now };
        let mut inputs = self.no_records();
        let (mut records, mut bytes) = (0, 0);
        loop {
            for (index, input) in inputs.iter_mut().enumerate() {
                let (held, held_bytes) = (input.records.len(), input.records.bytes_len());
                let records_left = self.around.pace.epoch_records_max.saturating_sub(records);
                let bytes_left = EPOCH_BYTES_MAX.saturating_sub(bytes);
                if records_left == 0 || bytes_left == 0 {
                    break;
                }
                let taken = self.reader.take(index, records_left, bytes_left, &mut input.records);
                taken.map_err(|source| TaskError::Log { task: self.id, source })?;
                records += input.records.len() - held;
                bytes += input.records.bytes_len() - held_bytes;
            }
            let left = deadline.saturating_sub(self.around.clock.now());
            let is_full = records >= self.around.pace.epoch_records_max || bytes >= EPOCH_BYTES_MAX;
            if is_full || left.is_zero() || records == 0 {
                self.learn_schemas(&inputs)?;
                return Ok(inputs);
            }
            self.reader.wait(left).map_err(|source| TaskError::Log { task: self.id, source })?;
        }
    }

    /// Looks up schemas that the inputs name and nobody has told of yet: a stage must not, and a
    /// registry that does not answer must not make dead letters.
    fn learn_schemas(&self, inputs: &[InputBatch]) -> Result<(), TaskError> {
        let Some(schemas) = &self.around.schemas else { return Ok(()) };
        for record in inputs.iter().flat_map(|input| input.records.iter()) {
            let Some(id) = record.payload.and_then(|payload| self.around.wire.unknown_id(payload)) else {
                continue;
            };
            schemas.learn(id, &self.around.wire).map_err(|source| self.in_log(source))?;
        }
        Ok(())
    }

    /// How many entries of a checkpoint go with the next epoch, besides those that changed: of the unfinished
    /// one, or of one that `is_due`.
    fn slice(&self, is_due: impl Fn(&Timetable, Duration, &Self) -> bool) -> Option<usize> {
        let checkpoints = self.checkpoints.as_ref()?;
        let is_due = self.unfinished.is_some() || is_due(checkpoints, self.around.clock.now(), self);
        is_due.then_some(self.around.pace.checkpoint_entries_max)
    }

    /// One step, and everything that comes of it in one commit.
    fn fold(
        &mut self,
        inputs: Vec<InputBatch>,
        adoption: Option<Adoption>,
        with_snapshot: bool,
        slice: Option<usize>,
    ) -> Result<(), TaskError> {
        let started = self.around.clock.now();
        let batch = self.batch(inputs);
        let judge = self.stage.judge(&batch);
        let (mut effects, accounts) = match adoption {
            Some(_) => self.stage.rejudge(&batch),
            None => (self.stage.step(&batch), 0),
        };
        let mut cursor = self.cursor.clone();
        cursor.epoch = batch.epoch;
        cursor.clock_ms = effects.clock_ms;
        cursor.taken_ms = batch.taken_ms.unwrap_or(cursor.taken_ms);
        for (index, position) in cursor.positions.iter_mut().enumerate() {
            position.next = self.reader.next(index);
        }
        let mut epoch = self.epoch_record(&batch, judge, &effects, &cursor);
        let accounts = accounts as i64;
        epoch.adopted = adoption.map(|Adoption { from, to }| Adopted { from, to, accounts });
        self.check(&batch, &effects, &epoch, &cursor)?;
        if let Some(before_commit) = self.around.before_commit.as_ref().filter(|_| epoch.adopted.is_none()) {
            before_commit.about_to_commit(self.id, &effects.outputs);
        }
        let mut outputs = std::mem::take(&mut effects.outputs);
        let emitted = outputs.len() as u64;
        let completes = slice.is_some_and(|entries_max| self.write_slice(&cursor, entries_max, &mut outputs));
        let with_snapshot = with_snapshot || completes;
        if with_snapshot {
            self.refresh_hint(&mut cursor)?;
            if completes {
                cursor.checkpoint_ms = cursor.clock_ms;
            }
            self.snapshot(&cursor, &mut epoch, &mut outputs, completes);
        }
        let payload = self.around.wire.to_bytes(&epoch);
        let key = self.id.to_string().into_bytes();
        let record = Output::keyed(Topic::Epochs, key, payload, effects.clock_ms);
        outputs.push(record.in_partition(self.id.partition));
        let is_verdict = |output: &&Output| output.topic == Topic::Verdicts;
        let verdicts_ms: Vec<i64> =
            outputs.iter().filter(is_verdict).map(|output| output.timestamp_ms).collect();
        self.commit(&Commit { outputs, positions: cursor.positions.clone() })?;
        self.spent = batch.inputs;

        self.has_folded = true;
        self.chain.follow(&epoch).map_err(|source| self.broken(epoch.epoch, source))?;
        self.cursor = cursor;
        self.status.epoch.store(epoch.epoch, Ordering::Relaxed);
        self.status.judged.fetch_add(effects.judged, Ordering::Relaxed);
        self.status.set_positions(&self.cursor.positions);
        let took = self.since(started);
        let telemetry = &self.around.telemetry;
        if let Some(adopted) = &epoch.adopted {
            telemetry.epochs_adopted(self.id, adopted.to - adopted.from + 1, accounts, emitted);
        }
        telemetry.epoch_committed(self.id, effects.judged, effects.dead_lettered, emitted, took);
        let now_ms = self.around.clock.unix_ms();
        verdicts_ms.iter().for_each(|event_ms| telemetry.verdict_told(now_ms.saturating_sub(*event_ms)));
        effects.effects_ms.iter().for_each(|took_ms| telemetry.effect_told(*took_ms));
        for (tally, count) in &effects.tallies {
            telemetry.tallied(self.id, *tally, *count);
        }
        for (level, value) in self.stage.levels(now_ms) {
            telemetry.level_looked_at(self.id, level, value);
        }
        if with_snapshot {
            self.snapshot_at = self.around.clock.now();
            telemetry.snapshot_written(self.id, epoch.state_entries as u64);
            telemetry.state_entries(self.id, self.stage.entries() as u64);
        }
        if let Some((sweep, since)) = self.unfinished.take_if(|_| completes) {
            let now = self.around.clock.now();
            self.checkpoints.iter_mut().for_each(|checkpoints| checkpoints.completed(now));
            let took = now.saturating_sub(since);
            self.around.telemetry.checkpoint_written(self.id, sweep.entries(), took);
        }
        Ok(())
    }

    /// Nothing is committed that breaks what must hold of every epoch.
    fn check(
        &self,
        batch: &Batch,
        effects: &Effects,
        epoch: &Epoch,
        after: &Cursor,
    ) -> Result<(), TaskError> {
        let outcome =
            self.chain.check(epoch).and_then(|()| check_fold(batch, effects, epoch, &after.positions));
        outcome.map_err(|source| self.broken(epoch.epoch, source))
    }

    fn broken(&self, epoch: i64, source: Broken) -> TaskError {
        self.around.telemetry.invariant_broken(self.id, source.invariant, &source.detail);
        TaskError::Broken { task: self.id, epoch, source }
    }

    fn epoch_record(&self, batch: &Batch, judge: Judge, effects: &Effects, after: &Cursor) -> Epoch {
        let inputs = batch.inputs.iter().map(|input| {
            let place = |p: &&Position| p.topic == input.topic && p.partition == input.partition;
            let next = |cursor: &Cursor| cursor.positions.iter().find(place).map_or(0, |p| p.next);
            InputRange {
                topic: input.topic.name().into(),
                partition: input.partition as i32,
                from: next(&self.cursor),
                to: next(after),
                records: input.records.len() as i64,
            }
        });
        Epoch {
            stage: self.id.stage.as_str().into(),
            partition: self.id.partition as i32,
            epoch: batch.epoch,
            writer: self.around.process.clone(),
            inputs: inputs.collect(),
            clock_ms: effects.clock_ms,
            policy_version: effects.policy_version.clone(),
            judge,
            judged: effects.judged as i64,
            dead_lettered: effects.dead_lettered as i64,
            outputs: count_outputs(self.id.stage, &effects.outputs),
            state_entries: 0,
            state_digest: None,
            taken_ms: batch.taken_ms,
            adopted: None,
        }
    }

    /// Writes the next slice of the unfinished checkpoint, or of a new one. True when the snapshot that must
    /// follow completes it.
    fn write_slice(&mut self, cursor: &Cursor, entries_max: usize, outputs: &mut Vec<Output>) -> bool {
        let Some(topic) = self.id.stage.checkpoint_topic() else { return false };
        if self.unfinished.is_none() {
            outputs.push(begin_record(&self.around.wire, topic, self.id, cursor));
        }
        let now = self.around.clock.now();
        let (sweep, _) = self.unfinished.get_or_insert_with(|| (Sweep::begin(), now));
        let entries = sweep.next(self.stage.as_ref(), entries_max);
        let completes = sweep.is_complete();
        for entry in entries {
            outputs.push(self.entry_record(topic, entry, cursor));
        }
        completes
    }

    /// Everything that changed since the last snapshot, and the cursor that goes with it; to the unfinished
    /// checkpoint too, which it may complete.
    fn snapshot(
        &mut self,
        cursor: &Cursor,
        epoch: &mut Epoch,
        outputs: &mut Vec<Output>,
        completes_checkpoint: bool,
    ) {
        let topic = self.id.stage.state_topic();
        let changes = self.stage.take_changes();
        epoch.state_entries = changes.len() as i64;
        epoch.state_digest = Some(digest_of(&changes));
        let checkpoint = self.unfinished.as_ref().and_then(|_| self.id.stage.checkpoint_topic());
        let mut write = |record: Output, to_checkpoint: bool| {
            let copy = checkpoint.filter(|_| to_checkpoint).map(|topic| Output { topic, ..record.clone() });
            outputs.push(record);
            outputs.extend(copy);
        };
        for change in changes {
            write(self.entry_record(topic, change, cursor), true);
        }
        let payload = self.around.wire.to_bytes(&cursor.to_record());
        let record = Output::keyed(topic, CURSOR_KEY.to_vec(), payload, cursor.clock_ms);
        write(record.in_partition(self.id.partition), completes_checkpoint);
    }

    fn entry_record(&self, topic: Topic, entry: StateEntry, cursor: &Cursor) -> Output {
        let format = self.stage.state_format();
        let payload = entry.body.map(|body| entry_payload(&self.around.wire, format, cursor.epoch, body));
        Output {
            topic,
            partition: Some(self.id.partition),
            key: entry.key,
            payload,
            headers: Vec::new(),
            timestamp_ms: cursor.clock_ms,
        }
    }

    /// Looks now and then where the epoch topic ends, and those in which the task speaks, so that a restore
    /// need not read all of them. What is committed later has a higher offset, so the end is a safe place to
    /// start from.
    fn refresh_hint(&mut self, cursor: &mut Cursor) -> Result<(), TaskError> {
        if cursor.epochs_from == 0 || self.since(self.hint_at) >= self.around.pace.hint_interval {
            let bounds = self.around.log.bounds(Topic::Epochs, self.id.partition);
            cursor.epochs_from = bounds.map_err(|source| self.in_log(source))?.1;
            for said in &mut cursor.said {
                let bounds = self.around.log.bounds(said.topic, said.partition);
                said.next = bounds.map_err(|source| self.in_log(source))?.1;
            }
            self.hint_at = self.around.clock.now();
        }
        Ok(())
    }

    /// Commits, and tries the very same commit again when it was aborted.
    fn commit(&mut self, commit: &Commit) -> Result<(), TaskError> {
        for _ in 1..COMMIT_ATTEMPTS_MAX {
            match self.writer.commit(commit) {
                Err(LogError::Aborted { reason }) => self.around.telemetry.commit_aborted(self.id, &reason),
                other => return other.map_err(|source| self.in_log(source)),
            }
        }
        self.writer.commit(commit).map_err(|source| self.in_log(source))
    }
}
