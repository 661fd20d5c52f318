//! One producer for all tasks that run under one membership.
//!
//! Commits that come together are one transaction, a *round*. Whoever finds no round open begins one and
//! leads it; others join. Each sends its own records; when all who joined have, the leader drains the
//! producer, adds everybody's positions and commits. So the number of transactions a second is bounded by
//! time, and not by the number of partitions that a process owns.
//!
//! # What fences
//!
//! The producer's id is that of the membership, so opening a task's writer does not fence its last owner's.
//! Instead:
//!
//! * every round commits offsets of the stage's group with the member's metadata. The coordinator refuses
//!   those of a member that is not in the group any more, or not in this generation: then the round is
//!   aborted.
//! * a round adds its offsets when the broker has all of its records. So one that was accepted before its
//!   member was thrown out shows as an open transaction in the task's partition of `weir.epochs`, in which
//!   every commit of a task has a record. A writer is open when nothing is open there.
//! * what a dead process left open there is aborted at once by fencing its producer, whose id stands beside
//!   the group's offset of the task. Where it does not stand there yet, the transaction's time-out ends it.
//!
//! (`topology/tests/kafka/shared.rs`; under fire: `cargo xtask chaos`)

use super::deliveries::Deliveries;
use super::places::{Places, Settled};
use super::producer;
use super::transaction::{Failed, Transaction};
use crate::kafka::Cluster;
use crate::kafka::member::Member;
use crate::limits::{OWNER_WAIT, ROUND_JOIN_MAX, ROUND_RECENT, TRANSACTION_TIMEOUT};
use crate::log::{Commit, LogError, Position, Writer};
use crate::topic::{Partitions, TaskId, Topic};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::BaseProducer;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The producer that the writers of one membership share.
pub(in crate::kafka) struct SharedProducer {
    cluster: Arc<Cluster>,
    member: Member,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// None before the first writer is opened, and after a round of unknown outcome.
    producer: Option<Arc<BaseProducer<Deliveries>>>,
    is_making: bool,
    settled: Settled,
    /// How often each task's writer was opened: only the latest may commit.
    generations: BTreeMap<TaskId, u64>,
    /// When each task last committed.
    committed: BTreeMap<TaskId, Instant>,
    round: Option<Round>,
    rounds: u64,
    /// What ended rounds came to, until all who joined know.
    outcomes: BTreeMap<u64, Outcome>,
}

/// A transaction that is open.
struct Round {
    number: u64,
    begun: Instant,
    producer: Arc<BaseProducer<Deliveries>>,
    joined: BTreeSet<TaskId>,
    /// Of those who joined: how many have sent their records, or failed to.
    filled: usize,
    positions: Vec<Position>,
    failed: Option<Failed>,
    is_closed: bool,
}

struct Outcome {
    waiting: usize,
    outcome: Result<(), LogError>,
}

/// A task's place in a round.
struct Seat<'a> {
    shared: &'a SharedProducer,
    number: u64,
    producer: Arc<BaseProducer<Deliveries>>,
    is_leader: bool,
    is_filled: bool,
}

/// One task's writer.
pub(in crate::kafka) struct SharedWriter {
    shared: Arc<SharedProducer>,
    task: TaskId,
    name: String,
    generation: u64,
    places: Places,
    /// Why it is of no more use.
    gone: Option<LogError>,
}

impl SharedProducer {
    pub(in crate::kafka) fn new(cluster: Arc<Cluster>, member: Member) -> Self {
        Self { cluster, member, state: Mutex::default(), changed: Condvar::new() }
    }

    /// A writer of `task`. Fences those that were opened for it before, here and elsewhere.
    pub(in crate::kafka) fn open(self: &Arc<Self>, task: TaskId) -> Result<SharedWriter, LogError> {
        let name = task.to_string();
        // A worker that slept through its session must not hold up the one that took over.
        if !self.member.owns(task.partition) {
            return Err(LogError::Fenced { writer: name });
        }
        let mut state = self.lock();
        let generation = state.generations.entry(task).or_default();
        *generation += 1;
        let generation = *generation;
        while state.round.as_ref().is_some_and(|round| round.joined.contains(&task)) {
            state = self.wait(state, TRANSACTION_TIMEOUT);
        }
        drop(self.with_producer(state)?);
        self.settle(task)?;
        let shared = self.clone();
        Ok(SharedWriter { shared, task, name, generation, places: Places::default(), gone: None })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete in itself; a panic elsewhere is told by the seat's drop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, wait: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
    }

    fn name(&self) -> Result<String, LogError> {
        let gone = || LogError::Unavailable { reason: "this process has left the group".into() };
        self.member.producer_id().ok_or_else(gone)
    }

    /// The producer, made if there is none. Making one ends what an earlier one of the same id left open.
    fn with_producer<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, LogError> {
        while state.producer.is_none() {
            if state.is_making {
                state = self.wait(state, TRANSACTION_TIMEOUT);
                continue;
            }
            state.is_making = true;
            drop(state);
            let made = self.name().and_then(|id| producer::open(&self.cluster, &id, &id));
            state = self.lock();
            state.is_making = false;
            self.changed.notify_all();
            state.producer = Some(Arc::new(made?));
            state.settled = Settled::default();
        }
        Ok(state)
    }

    /// Waits until nothing of an earlier owner of `task` is open, and ends it where its owner is gone.
    fn settle(&self, task: TaskId) -> Result<(), LogError> {
        if self.cluster.is_settled(Topic::Epochs, task.partition, OWNER_WAIT)? {
            return Ok(());
        }
        let last = self.last_producer(task)?;
        if let Some(id) = last.filter(|id| self.member.producer_id().as_ref() != Some(id)) {
            crate::kafka::end_aside(producer::open(&self.cluster, &id, &id)?);
        }
        self.cluster.settled(Topic::Epochs, task.partition).map(drop)
    }

    /// Id of the producer that last committed for `task`, as far as the group's offset tells.
    fn last_producer(&self, task: TaskId) -> Result<Option<String>, LogError> {
        let failed = |error| crate::kafka::errors::unavailable("asking who last owned a partition", &error);
        let Some(group) = self.member.group() else { return Ok(None) };
        let client: BaseConsumer =
            self.cluster.config.group_query(&group)?.create().map_err(crate::kafka::config::refused)?;
        let mut asked = TopicPartitionList::new();
        for topic in task.stage.inputs().iter().filter(|topic| is_shared(**topic)) {
            asked.add_partition(&self.cluster.config.topic_name(*topic), task.partition as i32);
        }
        let offsets = client.committed_offsets(asked, TRANSACTION_TIMEOUT).map_err(failed)?;
        let notes: Vec<String> = offsets.elements().iter().map(|each| each.metadata().to_owned()).collect();
        crate::kafka::end_aside(client);
        Ok(notes.into_iter().find(|note| !note.is_empty()))
    }

    /// Waits until nothing of an earlier producer is open in these places.
    fn settle_places(&self, commit: &Commit, placed: &[u32]) -> Result<(), LogError> {
        let missing = self.lock().settled.missing(&commit.outputs, placed);
        for place in missing {
            self.cluster.settled(place.0, place.1)?;
            self.lock().settled.note(place);
        }
        Ok(())
    }

    /// Takes a seat in the open round, or in a new one that it leads.
    fn join(&self, task: TaskId, generation: u64) -> Result<Seat<'_>, LogError> {
        let mut state = self.lock();
        loop {
            if state.generations.get(&task) != Some(&generation) {
                return Err(LogError::Fenced { writer: task.to_string() });
            }
            match &mut state.round {
                Some(round) if !round.is_closed => {
                    round.joined.insert(task);
                    let (number, producer) = (round.number, round.producer.clone());
                    self.changed.notify_all();
                    return Ok(Seat { shared: self, number, producer, is_leader: false, is_filled: false });
                }
                Some(_) => state = self.wait(state, TRANSACTION_TIMEOUT),
                None => {
                    state = self.with_producer(state)?;
                    if state.round.is_some() {
                        continue;
                    }
                    let Some(producer) = state.producer.clone() else { continue };
                    let id = self.name()?;
                    let begun =
                        Transaction { cluster: &self.cluster, writer: &id, producer: &producer }.begin();
                    if let Err(error) = begun {
                        if !matches!(error, LogError::Aborted { .. }) {
                            state.producer = None;
                        }
                        return Err(error);
                    }
                    state.rounds += 1;
                    let number = state.rounds;
                    state.round = Some(Round {
                        number,
                        begun: Instant::now(),
                        producer: producer.clone(),
                        joined: BTreeSet::from([task]),
                        filled: 0,
                        positions: Vec::new(),
                        failed: None,
                        is_closed: false,
                    });
                    return Ok(Seat { shared: self, number, producer, is_leader: true, is_filled: false });
                }
            }
        }
    }

    /// Ends the round when all who are expected have joined and all who joined have sent their records.
    fn lead(&self) {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let recent =
                state.committed.values().filter(|at| now.duration_since(**at) < ROUND_RECENT).count();
            let Some(round) = &state.round else { return };
            let left = ROUND_JOIN_MAX.saturating_sub(now.duration_since(round.begun));
            if round.joined.len() >= recent || left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
        if let Some(round) = &mut state.round {
            round.is_closed = true;
        }
        while state.round.as_ref().is_some_and(|round| round.filled < round.joined.len()) {
            state = self.wait(state, TRANSACTION_TIMEOUT);
        }
        let Some(round) = &mut state.round else { return };
        let (positions, failed) = (std::mem::take(&mut round.positions), round.failed.take());
        let producer = round.producer.clone();
        drop(state);
        let outcome = self.end(&producer, &positions, failed);
        let mut state = self.lock();
        if !matches!(outcome, Ok(()) | Err(LogError::Aborted { .. })) {
            // The producer is destroyed: nothing of it may reach the broker any more.
            state.producer = None;
        }
        let Some(round) = state.round.take() else { return };
        let now = Instant::now();
        for task in &round.joined {
            state.committed.insert(*task, now);
        }
        state.outcomes.insert(round.number, Outcome { waiting: round.joined.len(), outcome });
        self.changed.notify_all();
    }

    fn end(
        &self,
        producer: &BaseProducer<Deliveries>,
        positions: &[Position],
        failed: Option<Failed>,
    ) -> Result<(), LogError> {
        let id = self.name()?;
        let transaction = Transaction { cluster: &self.cluster, writer: &id, producer };
        if let Some(failed) = failed {
            return Err(transaction.abort(failed));
        }
        let metadata = || {
            let lost = || Failed::abortable("a partition was taken from this member".into());
            self.member.metadata_for(positions).ok_or_else(lost)
        };
        // A partition that every task reads has no owner: the stage's offset of it would be anyone's.
        let ours = positions.iter().copied().filter(|position| is_shared(position.topic));
        let added = transaction.drain().and_then(|()| transaction.send_offsets(ours, &id, &metadata));
        match added {
            Ok(()) => transaction.finish(),
            Err(failed) => Err(transaction.abort(failed)),
        }
    }

    /// What became of a round; each who joined asks once.
    fn outcome(&self, number: u64) -> Result<(), LogError> {
        let mut state = self.lock();
        loop {
            if let Some(known) = state.outcomes.get_mut(&number) {
                known.waiting -= 1;
                let (is_last, outcome) = (known.waiting == 0, known.outcome.clone());
                if is_last {
                    state.outcomes.remove(&number);
                }
                return outcome;
            }
            state = self.wait(state, TRANSACTION_TIMEOUT);
        }
    }
}

impl Seat<'_> {
    /// Says that this task's records were sent, or why not.
    fn fill(&mut self, positions: &[Position], sent: Result<(), Failed>) {
        self.is_filled = true;
        let mut state = self.shared.lock();
        let Some(round) = state.round.as_mut().filter(|round| round.number == self.number) else { return };
        round.filled += 1;
        match sent {
            Ok(()) => round.positions.extend_from_slice(positions),
            Err(failed) => {
                round.failed.get_or_insert(failed);
            }
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Seat<'_> {
    /// A thread that panicked must not keep the others waiting.
    fn drop(&mut self) {
        if !self.is_filled {
            self.fill(&[], Err(Failed::abortable("a task failed while it sent its records".into())));
            if self.is_leader {
                self.shared.lead();
            }
            let _ = self.shared.outcome(self.number);
        }
    }
}

impl SharedWriter {
    fn commit_in_round(&mut self, commit: &Commit) -> Result<(), LogError> {
        let placed = self.places.of(&self.shared.cluster, &commit.outputs)?;
        self.shared.settle_places(commit, &placed)?;
        let mut seat = self.shared.join(self.task, self.generation)?;
        let transaction =
            Transaction { cluster: &self.shared.cluster, writer: &self.name, producer: &seat.producer };
        let sent = transaction.send_all(&self.places, &commit.outputs, &placed);
        seat.fill(&commit.positions, sent);
        if seat.is_leader {
            self.shared.lead();
        }
        self.shared.outcome(seat.number)
    }
}

impl Writer for SharedWriter {
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        if let Some(gone) = &self.gone {
            return Err(gone.clone());
        }
        if commit.outputs.is_empty() && commit.positions.is_empty() {
            return Ok(());
        }
        let fenced = || LogError::Fenced { writer: self.name.clone() };
        // Without an offset nothing would fence it.
        let is_owner = self.shared.member.owns(self.task.partition);
        if !is_owner || !commit.positions.iter().any(|position| is_shared(position.topic)) {
            return Err(fenced());
        }
        let outcome = self.commit_in_round(commit);
        let outcome = match outcome {
            Ok(()) => return Ok(()),
            // Whatever it was: the partition has another owner, who looks at the log.
            Err(_) if !self.shared.member.owns(self.task.partition) => {
                Err(LogError::Fenced { writer: self.name.clone() })
            }
            // The broker says the same to a producer that another replaced and to one whose transaction took
            // too long. The partition is still this member's: starting over from the log is right, and
            // stopping would leave it to nobody.
            Err(LogError::Fenced { writer }) if writer != self.name => Err(LogError::Indefinite {
                reason: format!("{writer} was fenced though {} is still this member's", self.name),
            }),
            other => other,
        };
        if let Err(error) = &outcome
            && !matches!(error, LogError::Aborted { .. })
        {
            self.gone = Some(error.clone());
        }
        outcome
    }
}

fn is_shared(topic: Topic) -> bool {
    topic.spec().partitions != Partitions::One
}
