//! Replay in lockstep: epochs are cut by event time over all partitions, and feedback counts from
//! the next epoch, so that the bytes are the same for any number of partitions or workers.
//!
//! Events are first sorted by epoch. An event belongs to the epoch of its own time, or to the last
//! epoch of its account where that is later: an account's order in the log is kept. Then each epoch
//! runs in two beats: every account partition folds its feedback and events; the links that come of
//! it, in one canonical order, are folded by every cluster partition; what those answer waits for
//! the next epoch. Beside them the one task of the campaign stage folds what was told of members.

use crate::digest::{CampaignDigest, VerdictDigest};
use crate::limits::{LOCKSTEP_EPOCH_MS, LOCKSTEP_PARTITIONS_MAX, STEP_RECORDS_MAX, STEPS_QUEUED_MAX};
use crate::recorded::rejected_lines;
use crate::report::{ReplayError, Report};
use crate::sorter::{Item, Sorted, Sorter};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Instant;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Campaign, Event, Record, Verdict};
use weir_topology::history::History;
use weir_topology::key::partition_of;
use weir_topology::log::Log;
use weir_topology::record::{Output, Records};
use weir_topology::stage::StageFactory;
use weir_topology::stage::{Batch, InputBatch, Stage};
use weir_topology::topic::{StageName, TaskId, Topic};

/// Epochs without events in which feedback may still move.
const QUIET_EPOCHS_MAX: u32 = 1_000;

/// How a lockstep replay is laid out; none of it changes the result.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Number of partitions that accounts and values are spread over.
    pub partitions: u32,
    /// Number of worker threads.
    pub workers: u32,
}

/// Folds all events of the log in lockstep. `make_stage` gives stages with the policy to be judged
/// by and without a cap on entries, which would depend on the layout. `progress` is told how many
/// events were folded since the last call.
pub fn replay(
    log: &dyn Log,
    wire: &Wire,
    make_stage: &StageFactory,
    layout: Layout,
    progress: impl FnMut(u64),
) -> Result<Report, ReplayError> {
    let started = Instant::now();
    let (sorted, events) = sort(log, wire)?;
    let folded = fold(sorted, wire, make_stage, layout, progress, |_| {})?;
    let rejected = rejected_lines(log, wire)?;
    Ok(Report {
        events: events + rejected,
        judged: events - folded.dead_events,
        dlq: folded.dead_events + rejected,
        verdicts: folded.digest.verdicts(),
        digest: folded.digest.finish(),
        campaign_records: folded.campaigns.records(),
        campaign_digest: folded.campaigns.finish(),
        campaigns_equal: None,
        written_digest: None,
        bytes_equal: None,
        verdicts_before: None,
        verdicts_adopted: None,
        in_flight: 0,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Folds sorted events in lockstep. `observe` is shown every record that the stages write, in an order that
/// does not depend on the layout for the records of one account.
pub(crate) fn fold(
    sorted: Sorted,
    wire: &Wire,
    make_stage: &StageFactory,
    layout: Layout,
    progress: impl FnMut(u64),
    observe: impl FnMut(&Output),
) -> Result<Folded, ReplayError> {
    let layout = Layout {
        partitions: layout.partitions.clamp(1, LOCKSTEP_PARTITIONS_MAX),
        workers: layout.workers.clamp(1, layout.partitions.max(1)),
    };
    std::thread::scope(|scope| {
        let mut fold = Fold::new(scope, wire, make_stage, layout, progress, observe);
        let outcome = fold.run(sorted);
        let joined = fold.join();
        outcome.and(joined)
    })
}

/// Gives each event its epoch: that of its own time, or the last one of its account where that is later.
#[derive(Default)]
pub(crate) struct Epochs {
    last_of_account: HashMap<AccountId, i64>,
    last: i64,
}

impl Epochs {
    /// The epoch of the next event.
    pub(crate) fn of(&mut self, wire: &Wire, payload: &[u8]) -> i64 {
        if let Some((account, epoch)) = place_of(wire, payload) {
            let last = self.last_of_account.entry(account).or_insert(epoch);
            *last = epoch.max(*last);
            self.last = *last;
        }
        // What cannot be read is dead-lettered by the stage; it waits its turn.
        self.last
    }
}

/// Reads every event of the log and sorts it by its epoch.
fn sort(log: &dyn Log, wire: &Wire) -> Result<(Sorted, u64), ReplayError> {
    let (mut sorter, mut epochs) = (Sorter::default(), Epochs::default());
    let mut ordinal = 0;
    for partition in 0..log.partitions(Topic::Events)? {
        let (first, end) = log.bounds(Topic::Events, partition)?;
        let mut history = History::new(log, Topic::Events, partition, first, end)?;
        epochs.last = 0;
        while let Some(records) = history.next()? {
            for record in records.iter() {
                let payload = record.payload.unwrap_or_default();
                let epoch = epochs.of(wire, payload);
                let (key, payload) = (record.key.to_vec(), payload.to_vec());
                sorter.push(Item { epoch, ordinal, timestamp_ms: record.timestamp_ms, key, payload })?;
                ordinal += 1;
            }
        }
    }
    Ok((sorter.finish()?, ordinal))
}

/// Account and lockstep epoch of an event.
fn place_of(wire: &Wire, payload: &[u8]) -> Option<(AccountId, i64)> {
    let datum = wire.datum::<Event<'_>>(payload).ok()?;
    let event = Event::decode(&datum).ok()?;
    Some((event.account, event.time_ms.div_euclid(LOCKSTEP_EPOCH_MS)))
}

/// One step of one task.
struct Step {
    task: TaskId,
    batch: Batch,
}

/// What a worker is told.
enum Beat {
    /// Fold this step and keep its outputs.
    Step(Box<Step>),
    /// Give the outputs of all steps since the last turn.
    Turn,
}

struct Worker<'scope> {
    beats: SyncSender<Beat>,
    outputs: Receiver<Vec<Output>>,
    thread: ScopedJoinHandle<'scope, ()>,
}

struct Fold<'scope, 'env, P, O> {
    wire: &'env Wire,
    layout: Layout,
    workers: Vec<Worker<'scope>>,
    progress: P,
    observe: O,
    /// Number of the current epoch, counting only those that fold something.
    number: i64,
    feedback: Vec<Output>,
    folded: Folded,
}

/// What a fold came to.
#[derive(Default)]
pub(crate) struct Folded {
    /// Events that could not be judged.
    pub(crate) dead_events: u64,
    /// The verdicts.
    pub(crate) digest: VerdictDigest,
    /// What was said of campaigns.
    pub(crate) campaigns: CampaignDigest,
}

impl<'scope, 'env, P: FnMut(u64), O: FnMut(&Output)> Fold<'scope, 'env, P, O> {
    fn new(
        scope: &'scope Scope<'scope, 'env>,
        wire: &'env Wire,
        make_stage: &'env StageFactory,
        layout: Layout,
        progress: P,
        observe: O,
    ) -> Self {
        let workers = (0..layout.workers).map(|_| {
            let (beats, inbox) = sync_channel(STEPS_QUEUED_MAX);
            let (outbox, outputs) = sync_channel(1);
            let thread = scope.spawn(move || work(make_stage, &inbox, &outbox));
            Worker { beats, outputs, thread }
        });
        Self {
            wire,
            layout,
            workers: workers.collect(),
            progress,
            observe,
            number: 0,
            feedback: Vec::new(),
            folded: Folded::default(),
        }
    }

    /// Ends the workers.
    fn join(self) -> Result<Folded, ReplayError> {
        for worker in self.workers {
            drop(worker.beats);
            worker.thread.join().map_err(|_| ReplayError::Panicked)?;
        }
        Ok(self.folded)
    }

    fn run(&mut self, mut sorted: Sorted) -> Result<(), ReplayError> {
        let mut current: Option<i64> = None;
        while let Some(next) = sorted.next_epoch() {
            // Feedback counts from the epoch after, whether or not that one has events.
            while let Some(quiet) = current.filter(|c| !self.feedback.is_empty() && c + 1 < next) {
                self.epoch(quiet + 1, &mut sorted)?;
                current = Some(quiet + 1);
            }
            self.epoch(next, &mut sorted)?;
            current = Some(next);
        }
        let mut quiet = 0;
        while !self.feedback.is_empty() {
            let epoch = current.unwrap_or(0) + 1;
            self.epoch(epoch, &mut sorted)?;
            current = Some(epoch);
            quiet += 1;
            if quiet > QUIET_EPOCHS_MAX {
                return Err(ReplayError::Restless(quiet));
            }
        }
        Ok(())
    }

    /// Both beats of one epoch.
    fn epoch(&mut self, epoch: i64, sorted: &mut Sorted) -> Result<(), ReplayError> {
        self.number += 1;
        let clock_ms = epoch * LOCKSTEP_EPOCH_MS;

        let mut pending = Pending::new(StageName::Account, self.layout.partitions, self.number, clock_ms);
        for output in std::mem::take(&mut self.feedback) {
            let payload = output.payload.as_deref().unwrap_or_default();
            self.hand_out(&mut pending, Topic::Clusters, output.timestamp_ms, &output.key, payload)?;
        }
        // Feedback comes before events: a step never mixes what must not be reordered.
        self.flush(&mut pending)?;
        let mut events = 0;
        while sorted.next_epoch() == Some(epoch) {
            let Some(item) = sorted.pop()? else { break };
            events += 1;
            self.hand_out(&mut pending, Topic::Events, item.timestamp_ms, &item.key, &item.payload)?;
        }
        let outputs = self.turn(&mut pending)?;
        (self.progress)(events);

        let (mut links, mut members) = (Vec::new(), Vec::new());
        for output in outputs {
            (self.observe)(&output);
            match output.topic {
                Topic::Links => links.push(output),
                Topic::Members => members.push(output),
                Topic::Verdicts => {
                    let payload = output.payload.as_deref().unwrap_or_default();
                    self.folded.digest.add(&self.wire.read::<Verdict>(payload)?);
                }
                Topic::Dlq => self.folded.dead_events += 1,
                _ => {}
            }
        }
        self.assemble(members, clock_ms)?;
        if links.is_empty() {
            return Ok(());
        }
        links.sort_unstable_by(canonical);
        let mut pending = Pending::new(StageName::Cluster, self.layout.partitions, self.number, clock_ms);
        for output in links {
            let payload = output.payload.as_deref().unwrap_or_default();
            self.hand_out(&mut pending, Topic::Links, output.timestamp_ms, &output.key, payload)?;
        }
        let mut answers = self.turn(&mut pending)?;
        answers.iter().for_each(|output| (self.observe)(output));
        answers.retain(|output| output.topic == Topic::Clusters);
        answers.sort_unstable_by(canonical);
        self.feedback = answers;
        Ok(())
    }

    /// The campaign stage's beat.
    fn assemble(&mut self, mut members: Vec<Output>, clock_ms: i64) -> Result<(), ReplayError> {
        if members.is_empty() {
            return Ok(());
        }
        // Stable: those of one account stay in the order in which its task wrote them.
        members.sort_by(|one, other| one.key.cmp(&other.key));
        let mut pending = Pending::new(StageName::Campaign, 1, self.number, clock_ms);
        for output in members {
            let payload = output.payload.as_deref().unwrap_or_default();
            self.hand_out(&mut pending, Topic::Members, output.timestamp_ms, &output.key, payload)?;
        }
        let campaigns = self.turn(&mut pending)?;
        campaigns.iter().for_each(|output| (self.observe)(output));
        for output in campaigns.iter().filter(|output| output.topic == Topic::Campaigns) {
            let payload = output.payload.as_deref().unwrap_or_default();
            self.folded.campaigns.add(&self.wire.read::<Campaign>(payload)?);
        }
        Ok(())
    }

    fn hand_out(
        &mut self,
        pending: &mut Pending,
        topic: Topic,
        timestamp_ms: i64,
        key: &[u8],
        payload: &[u8],
    ) -> Result<(), ReplayError> {
        let partition = partition_of(key, pending.inputs.len() as u32);
        let waiting = &mut pending.inputs[partition as usize];
        waiting.1.push(waiting.1.len() as i64, timestamp_ms, key, Some(payload), []);
        waiting.0 = topic;
        // The cluster stage answers at the end of a step, so it is handed an epoch's links in one: where they
        // are cut must not depend on the layout.
        if pending.stage == StageName::Account && waiting.1.len() >= STEP_RECORDS_MAX {
            self.send(pending, partition)?;
        }
        Ok(())
    }

    /// Sends what waits for `partition` to its worker.
    fn send(&mut self, pending: &mut Pending, partition: u32) -> Result<(), ReplayError> {
        let waiting = &mut pending.inputs[partition as usize];
        let input = InputBatch { topic: waiting.0, partition, records: std::mem::take(&mut waiting.1) };
        let batch = Batch {
            epoch: pending.number,
            partition,
            clock_ms: pending.clock_ms,
            taken_ms: None,
            inputs: vec![input],
        };
        let task = TaskId { stage: pending.stage, partition };
        let worker = &self.workers[(partition % self.layout.workers) as usize];
        worker.beats.send(Beat::Step(Box::new(Step { task, batch }))).map_err(|_| ReplayError::Panicked)
    }

    fn flush(&mut self, pending: &mut Pending) -> Result<(), ReplayError> {
        for partition in 0..pending.inputs.len() as u32 {
            if !pending.inputs[partition as usize].1.is_empty() {
                self.send(pending, partition)?;
            }
        }
        Ok(())
    }

    /// Ends a beat: everything is folded, and its outputs are here.
    fn turn(&mut self, pending: &mut Pending) -> Result<Vec<Output>, ReplayError> {
        self.flush(pending)?;
        for worker in &self.workers {
            worker.beats.send(Beat::Turn).map_err(|_| ReplayError::Panicked)?;
        }
        let mut outputs = Vec::new();
        for worker in &self.workers {
            outputs.extend(worker.outputs.recv().map_err(|_| ReplayError::Panicked)?);
        }
        Ok(outputs)
    }
}

/// What waits to be handed to each partition in a beat.
struct Pending {
    stage: StageName,
    number: i64,
    clock_ms: i64,
    inputs: Vec<(Topic, Records)>,
}

impl Pending {
    fn new(stage: StageName, partitions: u32, number: i64, clock_ms: i64) -> Self {
        let inputs = (0..partitions).map(|_| (Topic::Events, Records::default())).collect();
        Self { stage, number, clock_ms, inputs }
    }
}

/// An order of outputs that does not depend on who wrote them first.
fn canonical(a: &Output, b: &Output) -> std::cmp::Ordering {
    (a.timestamp_ms, &a.key, &a.payload).cmp(&(b.timestamp_ms, &b.key, &b.payload))
}

/// A worker thread: its tasks' stages, folded as they are told.
fn work(make_stage: &StageFactory, inbox: &Receiver<Beat>, outbox: &SyncSender<Vec<Output>>) {
    let mut stages: HashMap<TaskId, Box<dyn Stage>> = HashMap::new();
    let mut outputs = Vec::new();
    while let Ok(beat) = inbox.recv() {
        match beat {
            Beat::Step(step) => {
                let stage = stages.entry(step.task).or_insert_with(|| make_stage(step.task));
                outputs.append(&mut stage.step(&step.batch).outputs);
            }
            Beat::Turn => {
                if outbox.send(std::mem::take(&mut outputs)).is_err() {
                    return;
                }
            }
        }
    }
}
