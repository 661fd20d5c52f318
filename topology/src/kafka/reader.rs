//! Reads fixed partitions side by side, committed records only.

use super::{Cluster, TIME_HEADER};
use crate::limits::BROKER_WAIT_MAX;
use crate::log::{LogError, Position, Reader};
use crate::record::Records;
use crate::topic::Topic;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest sleep between looks at the client's own events.
const LOOK: Duration = Duration::from_millis(100);

/// One consumer with a queue for each input.
pub(super) struct KafkaReader {
    /// Each queue holds the consumer too, and must be gone before it.
    inputs: Vec<Input>,
    /// None only while the reader is dropped.
    consumer: Option<Arc<BaseConsumer>>,
    cluster: Arc<Cluster>,
    arrived: Arc<Signal>,
}

struct Input {
    queue: PartitionQueue<DefaultConsumerContext>,
    topic: Topic,
    name: String,
    partition: u32,
    next: i64,
    /// What was polled and not taken yet: the record that showed that there is one, or that did not
    /// fit into the last batch.
    ahead: Records,
    /// Whether the consumer's position may be beyond `next`.
    moved: bool,
}

/// Set when any input's queue is no longer empty.
#[derive(Default)]
struct Signal {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    fn set(&self) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Whether it was set; it is not any more.
    fn take(&self) -> bool {
        std::mem::take(&mut *self.set.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wait(&self, wait: Duration) {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        if !*set {
            let _ = self.changed.wait_timeout(set, wait);
        }
    }
}

impl KafkaReader {
    /// Starts to read at numeric offsets only: an offset that stands for a place is resolved late,
    /// and what is written meanwhile would be skipped.
    pub(super) fn open(cluster: Arc<Cluster>, from: &[Position]) -> Result<Self, LogError> {
        let mut starts = TopicPartitionList::with_capacity(from.len());
        let mut readers = 1;
        for position in from {
            cluster.check(position.topic, position.partition)?;
            readers = readers.max(cluster.partitions(position.topic)?);
            let first = cluster.readable(*position)?;
            let name = cluster.config.topic_name(position.topic);
            starts
                .add_partition_offset(&name, position.partition as i32, Offset::Offset(first))
                .map_err(|error| cannot("choosing where to read", error))?;
        }
        let consumer: Arc<BaseConsumer> =
            Arc::new(cluster.config.reader(readers)?.create().map_err(super::config::refused)?);
        consumer.assign(&starts).map_err(|error| cannot("assigning partitions", error))?;
        let arrived = Arc::new(Signal::default());
        let mut inputs = Vec::with_capacity(from.len());
        for position in from {
            let name = cluster.config.topic_name(position.topic);
            let mut queue = consumer
                .split_partition_queue(&name, position.partition as i32)
                .ok_or(LogError::Missing { topic: position.topic.name(), partition: position.partition })?;
            let signal = arrived.clone();
            queue.set_nonempty_callback(move || signal.set());
            inputs.push(Input {
                queue,
                topic: position.topic,
                name,
                partition: position.partition,
                next: position.next,
                ahead: Records::default(),
                moved: false,
            });
        }
        let mut reader = Self { inputs, consumer: Some(consumer), cluster, arrived };
        // What arrived between the assignment and the split lies in the consumer's own queue, before
        // everything that the inputs' queues get.
        reader.serve(Duration::from_millis(1))?;
        Ok(reader)
    }

    /// Serves the consumer's own queue: its events, and records that came before the queues were split.
    fn serve(&mut self, wait: Duration) -> Result<(), LogError> {
        let Some(consumer) = &self.consumer else { return Ok(()) };
        while let Some(polled) = consumer.poll(wait) {
            match polled {
                Ok(message) => {
                    let place = (message.topic(), message.partition());
                    let input =
                        self.inputs.iter_mut().find(|i| (i.name.as_str(), i.partition as i32) == place);
                    if let Some(input) = input {
                        push(&message, input.topic, &mut input.ahead);
                    }
                }
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => check_client(&error)?,
            }
        }
        Ok(())
    }

    /// Learns from the consumer how far the inputs are that it gave everything to: past the
    /// offsets of transaction markers, which carry no record. True if any is further now.
    fn advance(&mut self) -> Result<bool, LogError> {
        if !self.inputs.iter().any(|input| input.moved && input.ahead.is_empty()) {
            return Ok(false);
        }
        let Some(consumer) = &self.consumer else { return Ok(false) };
        let positions =
            consumer.position().map_err(|error| cannot("asking for the reader's position", error))?;
        let mut has_moved = false;
        for input in self.inputs.iter_mut().filter(|input| input.moved && input.ahead.is_empty()) {
            input.moved = false;
            let found = positions.find_partition(&input.name, input.partition as i32);
            if let Some(Offset::Offset(position)) = found.map(|element| element.offset())
                && position > input.next
            {
                input.next = position;
                has_moved = true;
            }
        }
        Ok(has_moved)
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        let (inputs, consumer) = (std::mem::take(&mut self.inputs), self.consumer.take());
        super::end_aside((inputs, consumer));
    }
}

impl Reader for KafkaReader {
    fn wait(&mut self, wait: Duration) -> Result<bool, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            let has_news = self.arrived.take();
            self.serve(Duration::ZERO)?;
            let mut is_ready = false;
            for input in &mut self.inputs {
                // A marker shows nowhere but in the position, long before the end is told of.
                input.moved |= has_news;
                is_ready |= input.look(&self.cluster)?;
            }
            let has_moved = self.advance()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if is_ready || has_moved || left.is_zero() {
                return Ok(is_ready);
            }
            self.arrived.wait(left.min(LOOK));
        }
    }

    fn take(
        &mut self,
        input: usize,
        records_max: usize,
        bytes_max: usize,
        into: &mut Records,
    ) -> Result<(), LogError> {
        self.inputs[input].take(&self.cluster, records_max, bytes_max, into)?;
        self.advance().map(drop)
    }

    fn next(&self, input: usize) -> i64 {
        self.inputs[input].next
    }
}

impl Input {
    /// Whether a record is there; it is kept until it is taken.
    fn look(&mut self, cluster: &Cluster) -> Result<bool, LogError> {
        while self.ahead.is_empty() {
            match self.queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => push(&message, self.topic, &mut self.ahead),
                Some(Err(KafkaError::PartitionEOF(_))) => self.moved = true,
                Some(Err(error)) => self.check(cluster, &error)?,
            }
        }
        Ok(!self.ahead.is_empty())
    }

    fn take(
        &mut self,
        cluster: &Cluster,
        records_max: usize,
        bytes_max: usize,
        into: &mut Records,
    ) -> Result<(), LogError> {
        let mut room = Room { records: records_max, bytes: bytes_max, is_empty: true };
        let mut left = Records::default();
        for record in self.ahead.iter() {
            if left.is_empty() && room.admits(record.bytes_len()) {
                into.push_ref(record);
                self.next = record.offset + 1;
                self.moved = true;
            } else {
                left.push_ref(record);
            }
        }
        self.ahead = left;
        while self.ahead.is_empty() && room.records > 0 {
            match self.queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    if room.admits(bytes_len(&message)) {
                        push(&message, self.topic, into);
                        self.next = message.offset() + 1;
                        self.moved = true;
                    } else {
                        push(&message, self.topic, &mut self.ahead);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.moved = true,
                Some(Err(error)) => self.check(cluster, &error)?,
            }
        }
        Ok(())
    }

    /// Tells an error that ends the reading from one that passes.
    fn check(&self, cluster: &Cluster, error: &KafkaError) -> Result<(), LogError> {
        let (topic, partition) = (self.topic, self.partition);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                // The retention overtook the reader, or the topic is another one by now.
                let start = cluster.readable(Position { topic, partition, next: self.next.max(1) })?;
                Err(LogError::Unavailable {
                    reason: format!("{topic}/{partition} refused to be read at offset {start}; start again"),
                })
            }
            Some(code) if super::errors::is_missing(code) => {
                // A broker that has just started knows no topic yet: then this is no error.
                cluster.watermarks(&cluster.committed, topic, partition)?;
                Err(LogError::Unavailable {
                    reason: format!("{topic}/{partition} was unknown to its broker for a while; start again"),
                })
            }
            Some(RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::InvalidMessage) => Err(LogError::Damaged {
                reason: format!(
                    "{topic}/{partition} has a damaged batch after offset {}: {error}",
                    self.next
                ),
            }),
            _ => check_client(error),
        }
    }
}

/// What a batch still has room for. The first record is admitted whatever its size.
struct Room {
    records: usize,
    bytes: usize,
    is_empty: bool,
}

impl Room {
    fn admits(&mut self, bytes: usize) -> bool {
        if self.records == 0 || (bytes > self.bytes && !self.is_empty) {
            return false;
        }
        self.records -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.is_empty = false;
        true
    }
}

impl Cluster {
    /// The numeric offset from which `position` is read.
    fn readable(&self, position: Position) -> Result<i64, LogError> {
        let Position { topic, partition, next } = position;
        let deadline = Instant::now() + BROKER_WAIT_MAX;
        loop {
            let (first, end) = self.watermarks(&self.committed, topic, partition)?;
            if next == 0 {
                return Ok(first);
            }
            if next < first {
                return Err(LogError::Gone { topic: topic.name(), partition, wanted: next, first });
            }
            if next <= end {
                return Ok(next);
            }
            // A new leader may not know yet how far its predecessor had come.
            if Instant::now() >= deadline {
                let reason = format!(
                    "{topic}/{partition} ends at offset {end}, but was read up to {next} before: it was \
                     created anew or cut short"
                );
                return Err(LogError::Damaged { reason });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The client mends lost connections and elections by itself; anything else ends the reading.
fn check_client(error: &KafkaError) -> Result<(), LogError> {
    let is_over = match error {
        KafkaError::MessageConsumptionFatal(_) => true,
        other => other.rdkafka_error_code().is_some_and(super::errors::is_permanent),
    };
    if is_over { Err(super::errors::unavailable("reading", error)) } else { Ok(()) }
}

fn cannot(doing: &str, error: KafkaError) -> LogError {
    super::errors::unavailable(doing, &error)
}

/// Size of what [`push`] appends, as far as it decides whether a batch is full.
fn bytes_len(message: &BorrowedMessage<'_>) -> usize {
    message.key_len() + message.payload_len()
}

/// Appends a message as the record that its writer wrote.
///
/// Of a topic that does not keep its writers' times, what a writer says of them is nobody's business.
fn push(message: &BorrowedMessage<'_>, topic: Topic, into: &mut Records) {
    let headers = message.headers();
    let all = || headers.into_iter().flat_map(|headers| headers.iter());
    let written = all().find(|header| header.key == TIME_HEADER).and_then(|header| header.value);
    let written = written.filter(|_| topic.keeps_time());
    let written = written.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    let kept = all().filter(|header| header.key != TIME_HEADER);
    into.push(
        message.offset(),
        written.unwrap_or_else(|| message.timestamp().to_millis().unwrap_or(0)),
        message.key().unwrap_or_default(),
        message.payload(),
        kept.map(|header| (header.key, header.value.unwrap_or_default())),
    );
}
