//! From an event to what is visible of it, at half load and with default settings: verdicts of
//! `weir process`, beside the counts of a Kafka Streams job on the same events in as many partitions.
//!
//! Both are given a backlog first. By how fast `weir process` works that off the rate is chosen at which the
//! other events come, for both. An event's time begins when it is handed to the producer, and ends when a
//! consumer of what is committed has the verdict that names it as its latest event, or the count that it
//! made. A verdict that another epoch said than the one that read the event answers what was found out
//! of a shared value, which goes through three stages; it is told apart.

use super::kafka::{Deployment, judged};
use super::meter::{Meter, Taken, Times, Who, ratio, told};
use super::tail::{collect, generated};
use crate::debian::ensure_command;
use crate::shell::Owned;
use crate::{dirs, kafka, maven};
use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use serde_json::json;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use weir_schemas::wire::Wire;
use weir_schemas::{Epoch, Event, EventId, Record, Verdict};
use weir_topology::memory::MemoryLog;
use weir_topology::topic::{StageName, Topic};

/// Numbers of partitions that are measured.
const PARTITION_COUNTS: [u32; 2] = [4, 64];

/// Events that are there when a job starts: enough for it to join groups, take memory and be compiled.
const BACKLOG: usize = 300_000;

/// How long events come one by one.
const PACED: Duration = Duration::from_secs(60);

/// The most that come in a second, however fast the machine is.
const RATE_MAX: usize = 8_000;

/// How often those that are due are sent.
const SEND_EVERY: Duration = Duration::from_millis(2);

/// Longest wait for a backlog to be worked off.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long after the last event is waited for what comes of it.
const REST: Duration = Duration::from_secs(3);

pub fn run(rate: Option<usize>, partitions: Option<u32>) -> Result<()> {
    let broker = kafka::up()?;
    let counter = Counter::fetched()?;
    let rate_max = rate.unwrap_or(RATE_MAX);
    let load = Load::generated(BACKLOG + rate_max * PACED.as_secs() as usize)?;
    for partitions in partitions.map_or(PARTITION_COUNTS.to_vec(), |partitions| vec![partitions]) {
        let (rate, weir) = of_weir(&broker.brokers, partitions, &load, rate)?;
        let streams = of_streams(&broker.brokers, partitions, &load, &counter, rate)?;
        let p99_ms = |times: &Times| times.at(0.99);
        let more = json!({ "partitions": partitions, "rate_per_s": rate });
        weir.line("latency_verdict", more.clone(), |line| {
            line["p99_of_streams"] = ratio(p99_ms(&weir.direct), p99_ms(&streams.direct)).into();
            line["goal_p99_of_streams_max"] = 1.35.into();
        });
        streams.line("latency_streams_count", more, |_| ());
    }
    Ok(())
}

/// Events as a collector makes them, in order.
struct Load {
    records: Vec<(Vec<u8>, Vec<u8>)>,
    by_id: HashMap<EventId, usize>,
    /// Of each account, its events.
    by_key: HashMap<Vec<u8>, Vec<usize>>,
}

impl Load {
    fn generated(events: usize) -> Result<Self> {
        let log = MemoryLog::new(1);
        collect(&generated(events as u64)?, log.as_ref())?;
        let wire = Wire::new();
        let (mut records, mut by_id) = (Vec::with_capacity(events), HashMap::with_capacity(events));
        let mut by_key: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        for (index, record) in log.all(Topic::Events).into_iter().enumerate() {
            let (key, payload) = (record.key, record.payload.context("an event without a payload")?);
            by_id.insert(Event::decode(&wire.datum::<Event<'_>>(&payload)?)?.event_id, index);
            by_key.entry(key.clone()).or_default().push(index);
            records.push((key, payload));
        }
        ensure!(records.len() == events, "{} events of {events} lines", records.len());
        Ok(Self { records, by_id, by_key })
    }
}

/// Where and when events were handed over.
struct Sent {
    began: Instant,
    /// Nanoseconds after that; 0 for those that were not paced.
    at_ns: Vec<AtomicU64>,
    /// Partition and offset, 16 and 48 bits.
    placed: Vec<AtomicU64>,
    failed: Mutex<Option<KafkaError>>,
}

impl Sent {
    fn new(events: usize) -> Arc<Self> {
        let zeros = || (0..events).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { began: Instant::now(), at_ns: zeros(), placed: zeros(), failed: Mutex::default() })
    }

    fn now_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// How long ago a paced event was handed over, in milliseconds.
    fn since_ms(&self, index: usize) -> Option<f64> {
        let at_ns = self.at_ns[index].load(Ordering::Relaxed);
        (at_ns > 0).then(|| (self.now_ns() - at_ns) as f64 / 1e6)
    }
}

/// Told by the producer where events came to lie.
struct Deliveries(Arc<Sent>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        match result {
            Ok(message) => {
                let place = (message.partition() as u64) << 48 | message.offset() as u64;
                self.0.placed[index].store(place, Ordering::Relaxed);
            }
            Err((error, _)) => {
                *self.0.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            }
        }
    }
}

/// Puts events into a topic.
struct Source<'a> {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
    load: &'a Load,
    sent: Arc<Sent>,
}

impl<'a> Source<'a> {
    fn new(deployment: &Deployment, load: &'a Load) -> Result<Self> {
        let sent = Sent::new(load.records.len());
        let producer = ClientConfig::new()
            .set("bootstrap.servers", deployment.brokers())
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .set("partitioner", "murmur2")
            .set("queue.buffering.max.messages", "200000")
            .create_with_context(Deliveries(sent.clone()))?;
        Ok(Self { producer, topic: deployment.topic_name(Topic::Events), load, sent })
    }

    fn send(&self, index: usize) -> Result<()> {
        let (key, payload) = &self.load.records[index];
        let mut record = BaseRecord::with_opaque_to(&self.topic, index).key(key).payload(payload);
        while let Err((error, again)) = self.producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error).context("an event was not taken");
            }
            std::thread::sleep(SEND_EVERY);
            record = again;
        }
        Ok(())
    }

    fn backlog(&self) -> Result<()> {
        (0..BACKLOG).try_for_each(|index| self.send(index))?;
        self.settle()
    }

    /// Sends so many a second, each when it is due, and gives their number.
    fn paced(&self, rate: usize) -> Result<usize> {
        let (started, mut next) = (Instant::now(), 0);
        while started.elapsed() < PACED {
            let due = (started.elapsed().as_secs_f64() * rate as f64) as usize;
            for index in next..due {
                self.sent.at_ns[BACKLOG + index].store(self.sent.now_ns(), Ordering::Relaxed);
                self.send(BACKLOG + index)?;
            }
            next = due.max(next);
            std::thread::sleep(SEND_EVERY);
        }
        self.settle()?;
        Ok(next)
    }

    fn settle(&self) -> Result<()> {
        self.producer.flush(PATIENCE)?;
        match self.sent.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error).context("an event was not delivered"),
            None => Ok(()),
        }
    }
}

/// What was seen of one job.
struct Seen {
    events: usize,
    taken: Taken,
    /// What came of an event in the epoch that read it.
    direct: Times,
    /// What came later.
    answered: Times,
}

impl Seen {
    fn line(&self, name: &str, mut more: serde_json::Value, add: impl FnOnce(&mut serde_json::Value)) {
        more["direct"] = self.direct.told();
        if !self.answered.is_empty() {
            more["answered"] = self.answered.told();
        }
        add(&mut more);
        println!("{}", told(name, self.events as u64, self.taken, more));
    }
}

/// The rate, in events a second, and what was seen at it.
fn of_weir(brokers: &str, partitions: u32, load: &Load, asked: Option<usize>) -> Result<(usize, Seen)> {
    let deployment = Deployment::new(brokers, &format!("latency{partitions}"), partitions)?;
    let source = Source::new(&deployment, load)?;
    source.backlog()?;
    let mut command = deployment.weir(&["process", "--log-level", "error"])?;
    command.stdout(Stdio::null());
    let job = Owned(command.spawn().with_context(|| format!("cannot run {command:?}"))?);
    let deadline = Instant::now() + PATIENCE;
    let epochs = loop {
        let epochs = judged(&deployment)?;
        if epochs.iter().map(|(_, judged)| *judged).sum::<u64>() >= BACKLOG as u64 {
            break epochs;
        }
        ensure!(Instant::now() < deadline, "the backlog was not judged in time");
    };
    let (from_ms, to_ms) = (epochs.first().context("no epoch")?.0, epochs.last().context("no epoch")?.0);
    let rate_per_s = BACKLOG as f64 / ((to_ms - from_ms).max(1) as f64 / 1e3);
    let rate = asked.unwrap_or(((rate_per_s / 2.0) as usize).clamp(1, RATE_MAX));

    let wire = Wire::new();
    let sent = source.sent.clone();
    let mut verdicts = Vec::new();
    let reader = deployment.reader(Topic::Verdicts)?;
    let (events, taken) = while_paced(&source, rate, job.0.id(), |stop| {
        reader.follow(stop, |_, payload| {
            let verdict: Verdict = wire.read(payload)?;
            let event = verdict.events.last().and_then(|id| load.by_id.get(id));
            if let Some((index, ms)) = event.and_then(|index| Some((*index, sent.since_ms(*index)?))) {
                verdicts.push((index, verdict.partition as u32, verdict.epoch, ms));
            }
            Ok(())
        })
    })?;
    let ranges = ranges(&deployment)?;
    let (mut direct, mut answered) = (Vec::new(), Vec::new());
    for (index, partition, epoch, ms) in verdicts {
        let offset = (sent.placed[index].load(Ordering::Relaxed) & ((1 << 48) - 1)) as i64;
        let range = ranges.get(&(partition, epoch)).context("a verdict of no epoch")?;
        if range.contains(&offset) { direct.push(ms) } else { answered.push(ms) }
    }
    Ok((rate, Seen { events, taken, direct: Times::of(direct), answered: Times::of(answered) }))
}

/// Of each partition and epoch of the account stage: the offsets of events that it read.
fn ranges(deployment: &Deployment) -> Result<HashMap<(u32, i64), std::ops::Range<i64>>> {
    let (wire, account, mut ranges) = (Wire::new(), StageName::Account.as_str(), HashMap::new());
    deployment.reader(Topic::Epochs)?.read(REST, |payload, _| {
        let epoch: Epoch = wire.read(payload)?;
        if epoch.stage == account {
            let events = epoch.inputs.iter().find(|range| range.topic == Topic::Events.name());
            let range = events.map_or(0..0, |range| range.from..range.to);
            ranges.insert((epoch.partition as u32, epoch.epoch), range);
        }
        Ok(false)
    })?;
    Ok(ranges)
}

/// What was seen of the job that counts.
fn of_streams(brokers: &str, partitions: u32, load: &Load, counter: &Counter, rate: usize) -> Result<Seen> {
    let deployment = Deployment::new(brokers, &format!("counts{partitions}"), partitions)?;
    let source = Source::new(&deployment, load)?;
    source.backlog()?;
    let events = deployment.topic_name(Topic::Events);
    let counts = format!("{events}-counts");
    let job = counter.start(&deployment, &events, &counts, partitions)?;
    let reader = deployment.reader_of(&counts, partitions)?;
    let mut left = last_counts(load);
    let stop = AtomicBool::new(false);
    let deadline = Instant::now() + PATIENCE;
    reader.follow(&stop, |key, payload| {
        let count = count_of(payload)?;
        if left.get(key) == Some(&count) {
            left.remove(key);
        }
        stop.store(left.is_empty(), Ordering::Relaxed);
        ensure!(Instant::now() < deadline, "the backlog of {} accounts was not counted in time", left.len());
        Ok(())
    })?;
    let sent = source.sent.clone();
    let mut times = Vec::new();
    let (events, taken) = while_paced(&source, rate, job.0.id(), |stop| {
        reader.follow(stop, |key, payload| {
            let count = count_of(payload)? as usize;
            let event = load.by_key.get(key).and_then(|events| events.get(count.checked_sub(1)?));
            times.extend(event.and_then(|index| sent.since_ms(*index)));
            Ok(())
        })
    })?;
    Ok(Seen { events, taken, direct: Times::of(times), answered: Times::default() })
}

/// What the job has said of each account when it has counted the backlog.
fn last_counts(load: &Load) -> HashMap<Vec<u8>, i64> {
    let of = |events: &Vec<usize>| events.iter().filter(|index| **index < BACKLOG).count() as i64;
    load.by_key
        .iter()
        .map(|(key, events)| (key.clone(), of(events)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn count_of(payload: &[u8]) -> Result<i64> {
    Ok(i64::from_be_bytes(payload.try_into().context("a count is not eight bytes")?))
}

/// Sends paced events while `follow` reads what comes of them, until it is told to stop. Gives their number
/// and what the job took meanwhile.
fn while_paced(
    source: &Source<'_>,
    rate: usize,
    job: u32,
    follow: impl FnOnce(&AtomicBool) -> Result<()> + Send,
) -> Result<(usize, Taken)> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| follow(&stop));
        let meter = Meter::start(Who::Process(job))?;
        let paced = source.paced(rate);
        let taken = meter.stop();
        std::thread::sleep(REST);
        stop.store(true, Ordering::Relaxed);
        let followed = follower.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        followed?;
        Ok((paced?, taken?))
    })
}

/// The job that counts, from its source.
struct Counter {
    class_path: String,
    source: std::path::PathBuf,
    state: tempfile::TempDir,
}

impl Counter {
    fn fetched() -> Result<Self> {
        // It is compiled when it is started.
        ensure_command("javac", "default-jdk-headless")?;
        let home = dirs::workspace().join("dev/kafka-streams");
        let jars = maven::fetch("kafka-streams", &home.join("pom.xml"), "copy-dependencies")?;
        let class_path = format!("{}/*", jars.display());
        Ok(Self { class_path, source: home.join("Counts.java"), state: tempfile::tempdir()? })
    }

    /// Starts it, and waits until it has made the topic of its counts.
    fn start(&self, deployment: &Deployment, events: &str, counts: &str, partitions: u32) -> Result<Owned> {
        let mut command = Command::new("java");
        command.arg("-Xmx512m").args(["-cp", &self.class_path]).arg(&self.source);
        command.args([deployment.brokers(), events, counts, &partitions.to_string()]);
        command.arg(self.state.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut job = Owned(command.spawn().with_context(|| format!("cannot run {command:?}"))?);
        let output = job.0.stdout.take().context("it has no output")?;
        let made = BufReader::new(output).lines().next().transpose()?;
        ensure!(made.as_deref() == Some(counts), "the job that counts did not start: {made:?}");
        Ok(job)
    }
}
