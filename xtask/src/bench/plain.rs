//! Logs that exist for a measure only: one that keeps nothing, and Kafka without transactions.

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weir_topology::kafka::{KafkaConfig, KafkaLog, TIME_HEADER};
use weir_topology::key::partition_of;
use weir_topology::log::{Commit, Log, LogError, Position, Reader, Writer};
use weir_topology::record::Records;
use weir_topology::topic::Topic;

/// How finely a writer waits, as the product's does.
const SLICE: Duration = Duration::from_micros(500);

/// A log that is empty whatever is committed to it, and knows how many bytes of values that was, topic by
/// topic.
#[derive(Clone, Default)]
pub struct Discard(Arc<Mutex<BTreeMap<Topic, u64>>>);

impl Discard {
    /// Bytes of values that were committed to a topic.
    pub fn bytes(&self, topic: Topic) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&topic).copied().unwrap_or_default()
    }
}

impl Log for Discard {
    fn partitions(&self, _: Topic) -> Result<u32, LogError> {
        Ok(1)
    }

    fn bounds(&self, _: Topic, _: u32) -> Result<(i64, i64), LogError> {
        Ok((0, 0))
    }

    fn reader(&self, _: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(self.clone()))
    }

    fn writer(&self, _: &str) -> Result<Box<dyn Writer>, LogError> {
        Ok(Box::new(self.clone()))
    }
}

impl Reader for Discard {
    fn wait(&mut self, _: Duration) -> Result<bool, LogError> {
        Ok(false)
    }

    fn take(&mut self, _: usize, _: usize, _: usize, _: &mut Records) -> Result<(), LogError> {
        Ok(())
    }

    fn next(&self, _: usize) -> i64 {
        0
    }
}

impl Writer for Discard {
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for output in &commit.outputs {
            *bytes.entry(output.topic).or_default() += output.payload.as_ref().map_or(0, Vec::len) as u64;
        }
        Ok(())
    }
}

/// Kafka, with writers that wait for the same acknowledgements but begin and commit no transaction.
pub struct WithoutTransactions {
    pub config: KafkaConfig,
    pub log: KafkaLog,
}

impl Log for WithoutTransactions {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.log.partitions(topic)
    }

    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        self.log.bounds(topic, partition)
    }

    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader(from)
    }

    fn writer(&self, _: &str) -> Result<Box<dyn Writer>, LogError> {
        // As the product's writer is configured, without its transactional id.
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.config.brokers)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("delivery.report.only.error", "true")
            .set("linger.ms", "1")
            .set("compression.type", "lz4")
            .create()
            .map_err(|error| LogError::Unavailable { reason: error.to_string() })?;
        let partitions = self.log.partitions(Topic::Events)?;
        Ok(Box::new(PlainWriter { config: self.config.clone(), partitions, producer }))
    }
}

struct PlainWriter {
    config: KafkaConfig,
    partitions: u32,
    producer: BaseProducer,
}

impl Writer for PlainWriter {
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        for output in &commit.outputs {
            let partitions = output.topic.partitions(self.partitions);
            let partition = output.partition.unwrap_or_else(|| partition_of(&output.key, partitions));
            let topic = self.config.topic_name(output.topic);
            let mut record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(&topic).partition(partition as i32).key(output.key.as_slice());
            record.payload = output.payload.as_deref();
            // What a stage writes has a header where the topic keeps time, and no other.
            record.headers = output.topic.keeps_time().then(|| {
                let time = output.timestamp_ms.to_string();
                OwnedHeaders::new().insert(Header { key: TIME_HEADER, value: Some(time.as_str()) })
            });
            record.timestamp = Some(output.timestamp_ms.max(1));
            while let Err((_, refused)) = self.producer.send(record) {
                self.pause();
                record = refused;
            }
        }
        while self.producer.in_flight_count() > 0 {
            self.pause();
        }
        Ok(())
    }
}

impl PlainWriter {
    fn pause(&self) {
        std::thread::sleep(SLICE);
        self.producer.poll(Duration::ZERO);
    }
}
