//! One transaction, from its begin to its end.

use super::deliveries::{Deliveries, Ending};
use super::places::Places;
use super::producer::RETRY;
use crate::kafka::errors::{Failure, classify, ended};
use crate::kafka::{Cluster, TIME_HEADER};
use crate::limits::{MESSAGE_TIMEOUT, TRANSACTION_TIMEOUT};
use crate::log::{LogError, Position};
use crate::record::Output;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// How finely a commit waits for its records. The producer's own calls do so in slices of 100 ms, and its
/// `poll` spins through the last millisecond of its wait, so this sleeps and polls without a wait.
const SLICE: Duration = Duration::from_micros(500);

/// Why a transaction cannot be committed, before it is ended.
#[derive(Debug, Clone)]
pub(super) struct Failed(Failure);

impl Failed {
    /// The transaction must be aborted; the same may be tried again.
    pub(super) fn abortable(reason: String) -> Self {
        Self(Failure::Abortable(reason))
    }
}

/// One transaction of a producer.
pub(super) struct Transaction<'a> {
    pub(super) cluster: &'a Cluster,
    /// What errors call its writer.
    pub(super) writer: &'a str,
    pub(super) producer: &'a BaseProducer<Deliveries>,
}

impl Transaction<'_> {
    pub(super) fn begin(&self) -> Result<(), LogError> {
        self.take_failure();
        let begun = self.producer.begin_transaction();
        begun.map_err(|error| self.abort(Failed(self.classify(&error))))
    }

    /// Hands records to the producer. Several threads may, each its own.
    pub(super) fn send_all(&self, places: &Places, outputs: &[Output], placed: &[u32]) -> Result<(), Failed> {
        let deadline = Instant::now() + MESSAGE_TIMEOUT;
        for (output, partition) in outputs.iter().zip(placed) {
            self.send(places.name(output.topic), output, *partition, deadline).map_err(Failed)?;
        }
        Ok(())
    }

    fn send(&self, name: &str, output: &Output, partition: u32, deadline: Instant) -> Result<(), Failure> {
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
    pub(super) fn drain(&self) -> Result<(), Failed> {
        let deadline = Instant::now() + TRANSACTION_TIMEOUT;
        while self.producer.in_flight_count() > 0 {
            self.pause(SLICE);
            if let Some((code, reason)) = self.producer.client().fatal_error() {
                return Err(Failed(ended(code, reason)));
            }
            if Instant::now() >= deadline {
                return Err(Failed::abortable("the brokers did not take the records in time".into()));
            }
        }
        self.producer.poll(Duration::ZERO);
        match self.take_failure() {
            Some(error) => Err(Failed(self.classify(&error))),
            None => Ok(()),
        }
    }

    /// Adds positions as the group's offsets, each with `note` beside it. The metadata is taken again for
    /// each try: that of an older generation may be refused.
    pub(super) fn send_offsets(
        &self,
        positions: impl IntoIterator<Item = Position>,
        note: &str,
        metadata: &dyn Fn() -> Result<ConsumerGroupMetadata, Failed>,
    ) -> Result<(), Failed> {
        let mut offsets = TopicPartitionList::new();
        for position in positions {
            let name = self.cluster.config.topic_name(position.topic);
            offsets
                .add_partition_offset(&name, position.partition as i32, Offset::Offset(position.next))
                .map_err(|error| Failed(Failure::Fatal(error.to_string())))?;
            if let Some(mut element) = offsets.find_partition(&name, position.partition as i32) {
                element.set_metadata(note);
            }
        }
        if offsets.count() == 0 {
            return Ok(());
        }
        let deadline = Instant::now() + TRANSACTION_TIMEOUT / 2;
        loop {
            let metadata = metadata()?;
            let left = deadline.saturating_duration_since(Instant::now()).max(RETRY);
            let sent = self.producer.send_offsets_to_transaction(&offsets, &metadata, left);
            let Err(error) = sent else { return Ok(()) };
            match self.classify(&error) {
                Failure::Retriable(_) if Instant::now() < deadline => self.pause(RETRY),
                Failure::Retriable(reason) => return Err(Failed::abortable(reason)),
                failure => return Err(Failed(failure)),
            }
        }
    }

    pub(super) fn finish(&self) -> Result<(), LogError> {
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
                failure @ Failure::Abortable(_) => return Err(self.abort(Failed(failure))),
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
    pub(super) fn abort(&self, failed: Failed) -> LogError {
        let reason = match failed.0 {
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

    fn fenced(&self) -> LogError {
        LogError::Fenced { writer: self.writer.to_owned() }
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
