//! Commits epochs under a transactional id.

use super::errors::{Failure, classify, ended, is_permanent, unavailable};
use super::membership::Member;
use super::{Cluster, TIME_HEADER};
use crate::limits::{BROKER_WAIT_MAX, MESSAGE_TIMEOUT, TRANSACTION_TIMEOUT};
use crate::log::{Commit, LogError, Position, Writer, place};
use crate::record::Output;
use crate::topic::{Partitions, Topic};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How finely a commit waits for its records. The producer's own calls do so in slices of 100 ms, and its
/// `poll` spins through the last millisecond of its wait, so this sleeps and polls without a wait.
const SLICE: Duration = Duration::from_micros(200);

/// Pause before a call is made again.
const RETRY: Duration = Duration::from_millis(20);

/// librdkafka is silent about a broken connection when it told of the same less than 30 s ago.
const SILENCE: Duration = Duration::from_secs(31);

/// A request that is sent again waits for at least 80 ms before (`retry.backoff.ms`, less its jitter).
const SENT_ONCE: Duration = Duration::from_millis(70);

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

/// What the producer reports between its calls.
#[derive(Default)]
pub(super) struct Deliveries {
    failed: Mutex<Option<KafkaError>>,
    /// How often a connection broke with requests in flight, and when it last did.
    disconnects: Mutex<(u64, Option<Instant>)>,
}

impl ClientContext for Deliveries {
    /// A broken connection is told by a log line only, as long as another one is there or comes.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, _line: &str) {
        if matches!(facility, "FAIL" | "REQTMOUT") {
            self.note_disconnect();
        }
    }

    fn error(&self, error: KafkaError, _reason: &str) {
        let code = error.rdkafka_error_code();
        if matches!(code, Some(Code::BrokerTransportFailure | Code::OperationTimedOut | Code::AllBrokersDown))
        {
            self.note_disconnect();
        }
    }
}

impl Deliveries {
    fn note_disconnect(&self) {
        let mut disconnects = self.disconnects.lock().unwrap_or_else(PoisonError::into_inner);
        *disconnects = (disconnects.0 + 1, Some(Instant::now()));
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.clone());
        }
    }
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
        let producer: BaseProducer<Deliveries> = cluster
            .config
            .writer(&id)?
            .create_with_context(Deliveries::default())
            .map_err(super::config::refused)?;
        let deadline = Instant::now() + BROKER_WAIT_MAX + TRANSACTION_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Err(error) = producer.init_transactions(left.max(RETRY)) else { break };
            let is_over = left.is_zero() || error.rdkafka_error_code().is_some_and(is_permanent);
            match classify(&error, producer.client().fatal_error()) {
                Failure::Fenced(_) => return Err(fenced()),
                Failure::Retriable(_) if !is_over => std::thread::sleep(Duration::from_millis(50)),
                _ => return Err(unavailable(format_args!("opening the writer {name}"), &error)),
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

/// One commit.
struct Transaction<'a> {
    writer: &'a KafkaWriter,
    producer: &'a BaseProducer<Deliveries>,
}

impl Transaction<'_> {
    fn run(&self, commit: &Commit, placed: &[u32]) -> Result<(), LogError> {
        self.take_failure();
        if let Err(error) = self.producer.begin_transaction() {
            return Err(self.abort(self.classify(&error)));
        }
        let filled = self.fill(commit, placed);
        match filled {
            Ok(()) => self.finish(),
            Err(failure) => Err(self.abort(failure)),
        }
    }

    /// Everything up to the point where only the commit is missing.
    fn fill(&self, commit: &Commit, placed: &[u32]) -> Result<(), Failure> {
        let deadline = Instant::now() + MESSAGE_TIMEOUT;
        for (output, partition) in commit.outputs.iter().zip(placed) {
            self.send(output, *partition, deadline)?;
        }
        self.drain()?;
        self.send_offsets(&commit.positions)
    }

    fn send(&self, output: &Output, partition: u32, deadline: Instant) -> Result<(), Failure> {
        let name = self.writer.names.get(&output.topic).map_or("", |(name, _)| name);
        let time = output.timestamp_ms.to_string();
        let mut headers = OwnedHeaders::new_with_capacity(output.headers.len() + 1)
            .insert(Header { key: TIME_HEADER, value: Some(time.as_str()) });
        for (key, value) in &output.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(name).partition(partition as i32).key(output.key.as_slice()).headers(headers);
        record.payload = output.payload.as_deref();
        // librdkafka takes 0 for "now" and refuses what is below.
        record.timestamp = Some(output.timestamp_ms.max(1));
        loop {
            let Err((error, refused)) = self.producer.send(record) else { return Ok(()) };
            match self.classify(&error) {
                Failure::Retriable(_) if Instant::now() < deadline => self.pause(SLICE),
                Failure::Retriable(reason) => return Err(Failure::Abortable(reason)),
                failure => return Err(failure),
            }
            record = refused;
        }
    }

    /// Waits until the broker has every record; each is bounded by its own time-out.
    fn drain(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + TRANSACTION_TIMEOUT;
        while self.producer.in_flight_count() > 0 {
            self.pause(SLICE);
            if let Some((code, reason)) = self.producer.client().fatal_error() {
                return Err(ended(code, reason));
            }
            if Instant::now() >= deadline {
                return Err(Failure::Abortable("the brokers did not take the records in time".into()));
            }
        }
        self.producer.poll(Duration::ZERO);
        match self.take_failure() {
            Some(error) => Err(self.classify(&error)),
            None => Ok(()),
        }
    }

    fn send_offsets(&self, positions: &[Position]) -> Result<(), Failure> {
        // A topic of one partition is read by every task: the stage's offset of it would be anyone's.
        let is_own = matches!(self.writer.group, Group::Own(_));
        let ours = |position: &&Position| is_own || position.topic.spec().partitions == Partitions::Shared;
        let mut offsets = TopicPartitionList::new();
        for position in positions.iter().filter(ours) {
            let name = self.writer.cluster.config.topic_name(position.topic);
            offsets
                .add_partition_offset(&name, position.partition as i32, Offset::Offset(position.next))
                .map_err(|error| Failure::Fatal(error.to_string()))?;
        }
        if offsets.count() == 0 {
            return Ok(());
        }
        let deadline = Instant::now() + TRANSACTION_TIMEOUT / 2;
        loop {
            let metadata = self.writer.group_metadata(positions)?;
            let left = deadline.saturating_duration_since(Instant::now()).max(RETRY);
            let sent = self.producer.send_offsets_to_transaction(&offsets, &metadata, left);
            let Err(error) = sent else { return Ok(()) };
            match self.classify(&error) {
                Failure::Retriable(_) if Instant::now() < deadline => self.pause(RETRY),
                Failure::Retriable(reason) => return Err(Failure::Abortable(reason)),
                failure => return Err(failure),
            }
        }
    }

    fn finish(&self) -> Result<(), LogError> {
        let ending = Ending::begin(self.producer);
        let deadline = Instant::now() + TRANSACTION_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(RETRY);
            let Err(error) = self.producer.commit_transaction(left) else { break };
            match self.classify(&error) {
                Failure::Retriable(_) if Instant::now() < deadline => self.pause(RETRY),
                Failure::Retriable(reason) | Failure::Fatal(reason) => {
                    return Err(LogError::Indefinite { reason });
                }
                Failure::Fenced(_) => return Err(self.fenced()),
                failure @ Failure::Abortable(_) => return Err(self.abort(failure)),
            }
        }
        if ending.may_be_doubled() {
            let reason =
                "the connection broke during the commit, and a second copy of its end may be on its way";
            return Err(LogError::Indefinite { reason: reason.into() });
        }
        Ok(())
    }

    /// Takes back what was begun, if that is still to be decided here.
    fn abort(&self, failure: Failure) -> LogError {
        let reason = match failure {
            Failure::Abortable(reason) | Failure::Retriable(reason) => reason,
            Failure::Fatal(reason) => return LogError::Indefinite { reason },
            Failure::Fenced(_) => return self.fenced(),
        };
        let deadline = Instant::now() + TRANSACTION_TIMEOUT;
        // Records in flight make the abort fail.
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            self.pause(SLICE);
        }
        let ending = Ending::begin(self.producer);
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(RETRY);
            let Err(error) = self.producer.abort_transaction(left) else { break };
            match self.classify(&error) {
                Failure::Retriable(_) if Instant::now() < deadline => self.pause(RETRY),
                Failure::Fenced(_) => return self.fenced(),
                Failure::Abortable(last) | Failure::Retriable(last) | Failure::Fatal(last) => {
                    return LogError::Indefinite { reason: format!("{reason}; and the abort: {last}") };
                }
            }
        }
        if ending.may_be_doubled() {
            return LogError::Indefinite { reason };
        }
        LogError::Aborted { reason }
    }

    /// The broker says the same to a producer that another replaced and to one whose transaction
    /// took too long. Where the member still owns the partition it is the latter, or a successor
    /// that will learn better: starting over from the log is right, and stopping would leave the
    /// partition to nobody.
    fn fenced(&self) -> LogError {
        let writer = self.writer.name.clone();
        match (&self.writer.group, owned_by(&writer)) {
            (Group::Stage(member), Some(partition)) if member.owns(partition) => LogError::Indefinite {
                reason: format!("{writer} was fenced though its partition is still this member's"),
            },
            _ => LogError::Fenced { writer },
        }
    }

    /// Lets time pass, and takes in what the producer has to tell.
    fn pause(&self, pause: Duration) {
        std::thread::sleep(pause);
        self.producer.poll(Duration::ZERO);
    }

    fn classify(&self, error: &KafkaError) -> Failure {
        classify(error, self.producer.client().fatal_error())
    }

    fn take_failure(&self) -> Option<KafkaError> {
        self.producer.context().failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Watches a request that ends a transaction.
struct Ending<'a> {
    producer: &'a BaseProducer<Deliveries>,
    began: Instant,
    disconnects: u64,
}

impl<'a> Ending<'a> {
    fn begin(producer: &'a BaseProducer<Deliveries>) -> Self {
        let (disconnects, _) = disconnects(producer);
        Self { producer, began: Instant::now(), disconnects }
    }

    /// Whether the request may have been sent twice. The broker acts on the second copy when it comes,
    /// which may be in the middle of the next transaction.
    fn may_be_doubled(&self) -> bool {
        let took = self.began.elapsed();
        let (count, last) = disconnects(self.producer);
        let is_silent = last.is_some_and(|last| last.elapsed() < SILENCE + took);
        count != self.disconnects || (is_silent && took > SENT_ONCE)
    }
}

/// How often a connection broke and when, as far as the producer has told by now.
fn disconnects(producer: &BaseProducer<Deliveries>) -> (u64, Option<Instant>) {
    // A poll without a wait serves one event.
    for _ in 0..16 {
        producer.poll(Duration::ZERO);
    }
    *producer.context().disconnects.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Partition number of a writer that is named as a task is.
fn owned_by(name: &str) -> Option<u32> {
    name.rsplit_once('/')?.1.parse().ok()
}
