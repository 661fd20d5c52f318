//! Commits epochs under a transactional id.

mod deliveries;
mod transaction;

use super::Cluster;
use super::errors::{Failure, classify, is_permanent, unanswered};
use super::heard::Heard;
use super::membership::Member;
use crate::limits::{BROKER_WAIT_MAX, REFUSED_WAIT, TRANSACTION_TIMEOUT};
use crate::log::{Commit, LogError, Position, Writer, place};
use crate::record::Output;
use crate::topic::Topic;
use deliveries::Deliveries;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use transaction::Transaction;

/// Pause before a call is made again.
const RETRY: Duration = Duration::from_millis(20);

/// How long opening waits before it looks what the broker has said: librdkafka tells that only of a call
/// that timed out.
const OPEN_SLICE: Duration = Duration::from_millis(60);

/// The only producer of its transactional id.
pub(super) struct KafkaWriter {
    name: String,
    cluster: Arc<Cluster>,
    group: Group,
    names: BTreeMap<Topic, (String, u32)>,
    /// Partitions in which nothing of an earlier producer of this id is open any more.
    settled: BTreeSet<(Topic, u32)>,
    /// The producer, or why there is none any more.
    producer: Result<BaseProducer<Deliveries>, LogError>,
}

/// The consumer group that a writer's positions are committed to.
enum Group {
    /// The stage's, under the membership that the task runs under.
    Stage(Member),
    /// One of the writer's own name, which has no members; its client is made when it is needed.
    Own(OnceCell<BaseConsumer>),
}

impl KafkaWriter {
    pub(super) fn open(cluster: Arc<Cluster>, name: &str, member: Option<Member>) -> Result<Self, LogError> {
        let fenced = || LogError::Fenced { writer: name.to_owned() };
        // A worker that slept through its session must not fence the one that took over.
        let is_owner = |member: &Member| owned_by(name).is_none_or(|partition| member.owns(partition));
        if !member.as_ref().is_none_or(is_owner) {
            return Err(fenced());
        }
        let id = format!("{}weir-{name}", cluster.config.prefix);
        let make = || -> Result<BaseProducer<Deliveries>, LogError> {
            let config = cluster.config.writer(&id)?;
            config.create_with_context(Deliveries::default()).map_err(super::config::refused)
        };
        let mut producer = make()?;
        let asked = Instant::now();
        let deadline = asked + BROKER_WAIT_MAX + TRANSACTION_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Err(error) = producer.init_transactions(left.min(OPEN_SLICE).max(RETRY)) else { break };
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::ConcurrentTransactions) && !left.is_zero()
            {
                // The broker ends what the last owner left open. It has answered, so nothing of this
                // producer is on its way, and a new one asks at once instead of in half a second.
                super::end_aside(std::mem::replace(&mut producer, make()?));
                continue;
            }
            producer.poll(Duration::ZERO);
            let heard = producer.context().heard();
            let is_over = left.is_zero()
                || error.rdkafka_error_code().is_some_and(is_permanent)
                || (heard.as_ref().is_some_and(Heard::is_final) && asked.elapsed() >= REFUSED_WAIT);
            match classify(&error, producer.client().fatal_error()) {
                Failure::Fenced(_) => return Err(fenced()),
                // It goes on in the background; the next call waits for it.
                Failure::Retriable(_) if !is_over => std::thread::sleep(RETRY),
                _ => {
                    return Err(unanswered(
                        format_args!("opening the writer {name}"),
                        &error,
                        heard.as_ref(),
                    ));
                }
            }
        }
        let group = member.map_or_else(|| Group::Own(OnceCell::new()), Group::Stage);
        Ok(Self {
            name: name.to_owned(),
            cluster,
            group,
            names: BTreeMap::new(),
            settled: BTreeSet::new(),
            producer: Ok(producer),
        })
    }

    /// The group's metadata at this moment: that of an older generation may be refused.
    fn group_metadata(&self, positions: &[Position]) -> Result<ConsumerGroupMetadata, Failure> {
        let client = match &self.group {
            Group::Stage(member) => {
                let lost = || Failure::Fenced("the partition was taken from this member".into());
                return member.metadata_for(positions).ok_or_else(lost);
            }
            Group::Own(client) => client,
        };
        let failed = |error: KafkaError| Failure::Abortable(error.to_string());
        if client.get().is_none() {
            let config = self.cluster.config.own_group(&self.name);
            let made =
                config.map_err(|error| Failure::Abortable(error.to_string()))?.create().map_err(failed)?;
            let _ = client.set(made);
        }
        let client = client.get();
        // Its queue is polled nowhere else.
        while client.and_then(|client| client.poll(Duration::ZERO)).is_some() {}
        client
            .and_then(Consumer::group_metadata)
            .ok_or_else(|| Failure::Abortable("the client of the writer's group gives no metadata".into()))
    }

    /// Partition of every output. Nothing has begun yet when one cannot be written.
    fn placed(&mut self, outputs: &[Output]) -> Result<Vec<u32>, LogError> {
        for output in outputs {
            if !self.names.contains_key(&output.topic) {
                let name = self.cluster.config.topic_name(output.topic);
                let partitions = self.cluster.partitions(output.topic)?;
                self.names.insert(output.topic, (name, partitions));
            }
        }
        let placed: Vec<u32> = outputs
            .iter()
            .map(|output| place(output, self.names.get(&output.topic).map_or(0, |(_, count)| *count)))
            .collect::<Result<_, _>>()?;
        for (output, partition) in outputs.iter().zip(&placed) {
            if !self.settled.contains(&(output.topic, *partition)) {
                self.cluster.settled(output.topic, *partition)?;
                self.settled.insert((output.topic, *partition));
            }
        }
        Ok(placed)
    }
}

impl Writer for KafkaWriter {
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        if let Err(gone) = &self.producer {
            return Err(gone.clone());
        }
        if commit.outputs.is_empty() && commit.positions.is_empty() {
            return Ok(());
        }
        let placed = self.placed(&commit.outputs)?;
        let Ok(producer) = &self.producer else { return Ok(()) };
        let transaction = Transaction { writer: self, producer };
        let outcome = transaction.run(commit, &placed);
        match &outcome {
            Ok(()) | Err(LogError::Aborted { .. }) => {}
            // Its producer is destroyed: nothing of it may reach the broker any more.
            Err(gone) => self.producer = Err(gone.clone()),
        }
        outcome
    }
}

/// Partition number of a writer that is named as a task is.
fn owned_by(name: &str) -> Option<u32> {
    name.rsplit_once('/')?.1.parse().ok()
}
