//! One commit: a transaction from its begin to its end.

use super::deliveries::{Deliveries, Ending};
use super::{Group, KafkaWriter, RETRY, owned_by};
use crate::kafka::TIME_HEADER;
use crate::kafka::errors::{Failure, classify, ended};
use crate::limits::{MESSAGE_TIMEOUT, TRANSACTION_TIMEOUT};
use crate::log::{Commit, LogError, Position};
use crate::record::Output;
use crate::topic::Partitions;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// How finely a commit waits for its records. The producer's own calls do so in slices of 100 ms, and its
/// `poll` spins through the last millisecond of its wait, so this sleeps and polls without a wait.
const SLICE: Duration = Duration::from_micros(500);

/// One commit.
pub(super) struct Transaction<'a> {
    pub(super) writer: &'a KafkaWriter,
    pub(super) producer: &'a BaseProducer<Deliveries>,
}

impl Transaction<'_> {
    pub(super) fn run(&self, commit: &Commit, placed: &[u32]) -> Result<(), LogError> {
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
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(name).partition(partition as i32).key(output.key.as_slice());
        record.payload = output.payload.as_deref();
        record.headers = headers_of(output);
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
        self.producer.context().take_failure()
    }
}

/// The record's headers and, where the topic keeps time, one more.
fn headers_of(output: &Output) -> Option<OwnedHeaders> {
    let mut headers = None;
    let mut add = |key: &str, value: &[u8]| {
        let before =
            headers.take().unwrap_or_else(|| OwnedHeaders::new_with_capacity(output.headers.len() + 1));
        headers = Some(before.insert(Header { key, value: Some(value) }));
    };
    if output.topic.keeps_time() {
        add(TIME_HEADER, output.timestamp_ms.to_string().as_bytes());
    }
    output.headers.iter().for_each(|(key, value)| add(key, value));
    headers
}
