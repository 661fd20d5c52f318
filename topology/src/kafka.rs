//! The log on Apache Kafka.
//!
//! # Design
//!
//! * A **writer** under no membership is one producer with the transactional id `weir-<name>`. Opening it
//!   fences every earlier producer of that id and has the broker abort what it left open, at once.
//! * The writers of a member's tasks **share** one producer (`writer/shared.rs`): commits that come together
//!   are one transaction. What fences them is the group: offsets of a member that is no longer in it are
//!   refused. A writer is open when nothing of an earlier owner is open in its partition, and a dead owner's
//!   producer is fenced, so that a takeover does not wait for its transaction to time out.
//! * A **commit** is one transaction, or a part of one: every record of the epoch, its epoch record and state
//!   among them, and the positions as offsets of the stage's consumer group, or of a group of the
//!   writer's own name where it runs under no membership. A task's position of record is the one in its
//!   epoch record. The group's offsets are for fencing, and for tools that show lag.
//! * A **reader** is one consumer with fixed partitions and numeric offsets, `read_committed`. It joins
//!   no group and commits nothing.
//! * Who owns which partition is the [`membership`]'s business: one consumer in the stage's group
//!   that fetches nothing. What it owns is checked when a writer is opened and at each commit.
//!
//! # Traps (each has a test, or a measurement that led here)
//!
//! * `commit_transaction` and `abort_transaction` serve delivery reports in slices of 100 ms. The
//!   queue is drained in fine slices before either is called: 10 transactions a second become 200.
//! * A commit or abort of unknown outcome costs the producer its life: librdkafka has no epoch per
//!   transaction (KIP-890), so a delayed `EndTxn` could end the producer's next transaction. The same
//!   holds when the connection broke during a commit that succeeded: the request may have been
//!   sent twice.
//! * The broker fences a producer whose transaction took too long just as one that was replaced.
//!   The member that still owns the partition starts over instead of stopping.
//! * A broker that was killed may come back, call a transaction ended, and never write its marker to one
//!   of its partitions (seen on Apache Kafka 4.3.1, one node). The producer's next transaction there
//!   would then commit or abort the stray records with its own. A writer waits before its first
//!   record to a partition until nothing in it is open, and refuses to write where that does not come.
//! * Group metadata proves membership, not ownership: the broker takes offsets of a partition that
//!   another member owns. Hence the check of our own, under the lock that a rebalance takes.
//! * Offsets of transaction markers carry no record. A reader learns from its consumer's position,
//!   not from the last record, how far it has come.
//! * A producer that is opened while a dead one's transaction is being ended is told
//!   `CONCURRENT_TRANSACTIONS`, and librdkafka asks again after 500 ms. A new producer asks at once.
//! * To end a client takes 100 ms. Readers are ended aside, so one may still be closing its connections when
//!   the process ends. By default OpenSSL frees its tables in an exit handler, under the threads that use
//!   them (seen: a command that had answered died of a corrupted heap). OpenSSL is therefore set up, before
//!   the first client, without that handler.
//! * A partition-EOF event does not say of which topic it is. Each input has a queue of its own.
//! * `fetch.queue.backoff.ms` is 1000 by default: a reader whose small queue was full once waits a second.
//! * Brokers expire records by their timestamp, so event time as the timestamp deletes an import
//!   of old events within minutes. Topics use `LogAppendTime`; where a topic keeps time, the writer's
//!   timestamp travels in the header [`TIME_HEADER`] and the reader puts it back.
//! * A broker that has just started answers that it knows no topic. Only one that says so for
//!   [`MISSING_WAIT`] is believed. The client may believe it for good: then another takes its place.
//! * `message.max.bytes` of the client is less than the broker's limit; both are set from
//!   [`RECORD_BYTES_MAX`](crate::limits::RECORD_BYTES_MAX).

pub mod admin;
pub mod config;
mod connection;
mod errors;
mod feed;
mod member;
pub mod membership;
mod reader;
mod writer;

pub use config::{GroupProtocol, KafkaConfig, Secret, Security};
pub use feed::KafkaFeed;
pub use member::Change;
pub use membership::Membership;

use crate::limits::{BROKER_WAIT_MAX, MISSING_WAIT, OPEN_TRANSACTION_WAIT_MAX, PARTITIONS_MAX, REFUSED_WAIT};
use crate::log::{Log, LogError, Position, Reader, Writer};
use crate::topic::{TaskId, Topic};
use connection::{ConnectionFailure, ConnectionWatch};
use errors::{is_missing, is_permanent, unanswered};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use reader::KafkaReader;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use writer::OwnWriter;
use writer::shared::SharedProducer;

/// Header with the timestamp that the writer gave, in milliseconds since the Unix epoch, as decimal
/// digits. Readers of this crate put it back and hide it; others find it beside the broker's own.
pub const TIME_HEADER: &str = "weir-time-ms";

/// The log on a Kafka cluster.
#[derive(Clone)]
pub struct KafkaLog {
    cluster: Arc<Cluster>,
    /// What the writers of a membership share, where this is the log of one.
    shared: Option<Arc<SharedProducer>>,
}

/// What every reader and writer of one cluster shares.
pub(crate) struct Cluster {
    config: KafkaConfig,
    /// Answers what is committed: its end of a partition is the last stable offset.
    committed: Asker,
    /// Answers what is there at all: its end of a partition is the high watermark.
    uncommitted: Asker,
    partitions: Mutex<BTreeMap<Topic, u32>>,
}

impl KafkaLog {
    /// Connects to the brokers that `config` names. The connection is made when it is first used.
    pub fn connect(config: KafkaConfig) -> Result<Self, LogError> {
        let committed = Asker::new(&config, "read_committed")?;
        let uncommitted = Asker::new(&config, "read_uncommitted")?;
        let partitions = Mutex::default();
        Ok(Self { cluster: Arc::new(Cluster { config, committed, uncommitted, partitions }), shared: None })
    }

    /// The same log for the tasks of a group's member: its writers commit the group's offsets, and a
    /// writer named `stage/partition` is fenced when the member does not own that partition.
    pub fn for_member(&self, membership: &Membership) -> Self {
        Self { cluster: self.cluster.clone(), shared: Some(membership.shared(&self.cluster)) }
    }
}

impl Log for KafkaLog {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.cluster.partitions(topic)
    }

    /// Takes the high watermark, then waits until the last stable offset has reached it: a task that
    /// restores never misses an epoch that was being committed when it asked. The wait is as long as
    /// an open transaction may live and its abort may take; the end of a dead producer of the
    /// same name came already when its successor's writer was opened.
    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        self.cluster.check(topic, partition)?;
        self.cluster.settled(topic, partition)
    }

    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(KafkaReader::open(self.cluster.clone(), from)?))
    }

    fn writer(&self, name: &str) -> Result<Box<dyn Writer>, LogError> {
        match (&self.shared, TaskId::named(name)) {
            (Some(shared), Some(task)) => Ok(Box::new(shared.open(task)?)),
            _ => Ok(Box::new(OwnWriter::open(self.cluster.clone(), name)?)),
        }
    }
}

impl Cluster {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        let mut known = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = known.get(&topic) {
            return Ok(*count);
        }
        let name = self.config.topic_name(topic);
        let count = self.ask(|client, wait| {
            let metadata = client.fetch_metadata(Some(&name), wait)?;
            let Some(found) = metadata.topics().first() else {
                return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
            };
            match found.error() {
                Some(error) => Err(KafkaError::MetadataFetch(error.into())),
                None => Ok(found.partitions().len()),
            }
        });
        let count = count.map_err(|error| missing_or(error, topic, 0))?;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if count == 0 {
            return Err(LogError::Missing { topic: topic.name(), partition: 0 });
        }
        if count > PARTITIONS_MAX {
            let reason = format!("{topic} has {count} partitions, more than {PARTITIONS_MAX}");
            return Err(LogError::Unavailable { reason });
        }
        known.insert(topic, count);
        Ok(count)
    }

    fn check(&self, topic: Topic, partition: u32) -> Result<(), LogError> {
        if partition < self.partitions(topic)? {
            return Ok(());
        }
        Err(LogError::Missing { topic: topic.name(), partition })
    }

    /// First offset and the offset after the last record of what `asker` may see.
    fn watermarks(&self, asker: &Asker, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        let (name, client) = (self.config.topic_name(topic), asker.client());
        let found = retried(&client, |client, wait| client.fetch_watermarks(&name, partition as i32, wait));
        let error = match found {
            Ok(bounds) => return Ok(bounds),
            Err(error) => missing_or(error, topic, partition),
        };
        if !matches!(error, LogError::Missing { .. }) || !self.has_seen(topic) {
            return Err(error);
        }
        // A worker must not end because a broker takes long to start: it asks again until it is told to stop.
        asker.renew(&self.config, &client)?;
        let reason = format!("{topic}/{partition} was there before, and is unknown to the brokers now");
        Err(LogError::Unavailable { reason })
    }

    fn has_seen(&self, topic: Topic) -> bool {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&topic)
    }

    /// The bounds of a partition, as soon as no transaction is left that was open when it was asked.
    fn settled(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        let held_back = |stable| LogError::Unavailable {
            reason: format!(
                "a transaction holds {topic}/{partition} back at offset {stable} for over {} s; \
                 find it with `kafka-transactions.sh find-hanging` and abort it, unless the epoch record \
                 of the same transaction is visible (docs/chaos.md, a torn transaction)",
                OPEN_TRANSACTION_WAIT_MAX.as_secs()
            ),
        };
        self.settled_within(topic, partition, OPEN_TRANSACTION_WAIT_MAX)?.map_err(held_back)
    }

    /// Whether no transaction is left, after `wait` at the latest, that was open when it was asked.
    fn is_settled(&self, topic: Topic, partition: u32, wait: Duration) -> Result<bool, LogError> {
        Ok(self.settled_within(topic, partition, wait)?.is_ok())
    }

    /// The bounds of a partition without open transactions, or the offset at which one still holds it back.
    fn settled_within(
        &self,
        topic: Topic,
        partition: u32,
        wait: Duration,
    ) -> Result<Result<(i64, i64), i64>, LogError> {
        let (first, end) = self.watermarks(&self.uncommitted, topic, partition)?;
        let deadline = Instant::now() + wait;
        let mut pause = Duration::from_millis(2);
        loop {
            let (_, stable) = self.watermarks(&self.committed, topic, partition)?;
            if stable >= end {
                return Ok(Ok((first, end)));
            }
            if Instant::now() >= deadline {
                return Ok(Err(stable));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    fn ask<T>(
        &self,
        question: impl Fn(&BaseConsumer<ConnectionWatch>, Duration) -> Result<T, KafkaError>,
    ) -> Result<T, Unanswered> {
        retried(&self.uncommitted.client(), question)
    }
}

/// A client that only asks about topics and offsets, for as long as it is any good.
struct Asker {
    isolation: &'static str,
    client: Mutex<Arc<BaseConsumer<ConnectionWatch>>>,
}

impl Asker {
    fn new(config: &KafkaConfig, isolation: &'static str) -> Result<Self, LogError> {
        Ok(Self { isolation, client: Mutex::new(Arc::new(config.query_client(isolation)?)) })
    }

    fn client(&self) -> Arc<BaseConsumer<ConnectionWatch>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a new client in the place of `stuck`, unless somebody has. One that asked in the moment in which
    /// a broker knew of no topic may go on believing that (seen for minutes, while every other client was
    /// answered).
    fn renew(
        &self,
        config: &KafkaConfig,
        stuck: &Arc<BaseConsumer<ConnectionWatch>>,
    ) -> Result<(), LogError> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&client, stuck) {
            end_aside(std::mem::replace(&mut *client, Arc::new(config.query_client(self.isolation)?)));
        }
        Ok(())
    }
}

/// Ends a client, or what makes one up, in a thread of its own. librdkafka takes some 100 ms for that, and
/// now and then for ever; a task that is being opened has no use for them.
fn end_aside(client: impl Send + 'static) {
    // Where there is no thread to be had the closure ends here, and the client with it.
    let _ = std::thread::Builder::new().name("weir-end".into()).spawn(move || drop(client));
}

fn missing_or(unanswered: Unanswered, topic: Topic, partition: u32) -> LogError {
    match unanswered.error.rdkafka_error_code() {
        Some(code) if is_missing(code) => LogError::Missing { topic: topic.name(), partition },
        _ => unanswered.log_error(format_args!("asking for {topic}/{partition}")),
    }
}

/// Why a question got no answer.
pub(crate) struct Unanswered {
    error: KafkaError,
    failure: Option<ConnectionFailure>,
}

impl Unanswered {
    fn log_error(&self, doing: impl std::fmt::Display) -> LogError {
        unanswered(doing, &self.error, self.failure.as_ref())
    }
}

/// Asks again while brokers elect, start or cannot be reached, for a bounded time. A topic that they
/// do not know is asked for again as well, but not for as long: a broker that has just started
/// answers before it knows any. A connection that fails meanwhile may say that there is nothing to wait for.
fn retried<T>(
    client: &BaseConsumer<ConnectionWatch>,
    question: impl Fn(&BaseConsumer<ConnectionWatch>, Duration) -> Result<T, KafkaError>,
) -> Result<T, Unanswered> {
    let asked = Instant::now();
    loop {
        serve(client);
        let left = BROKER_WAIT_MAX.saturating_sub(asked.elapsed());
        // Why there is no connection is told only between questions.
        let is_early = asked.elapsed() < REFUSED_WAIT;
        let slice = Duration::from_secs(if is_early { 1 } else { 5 });
        let error = match question(client, left.min(slice)) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        serve(client);
        let failure = client.context().last_failure();
        let code = error.rdkafka_error_code();
        let is_missing = code.is_some_and(is_missing) && asked.elapsed() >= MISSING_WAIT;
        let is_refused =
            failure.as_ref().is_some_and(ConnectionFailure::is_final) && asked.elapsed() >= REFUSED_WAIT;
        let is_over = is_missing || is_refused || code.is_none_or(is_permanent);
        if left.is_zero() || is_over {
            return Err(Unanswered { error, failure });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Serves the events of a client that nobody else polls: a queue that is never polled only grows. A poll that
/// served a log line says as little as one that found nothing, so a few are made.
fn serve(client: &BaseConsumer<ConnectionWatch>) {
    const EVENTS_MAX: usize = 16;
    for _ in 0..EVENTS_MAX {
        client.poll(Duration::ZERO);
    }
}
