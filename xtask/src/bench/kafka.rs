//! Kafka end to end, beside a bare consumer of the same topic, and beside itself without transactions.

use super::meter::{Meter, Taken, Who, line, ratio, watched};
use super::plain::WithoutTransactions;
use super::tail::{collect, generated};
use crate::shell::succeed;
use crate::{dirs, kafka};
use anyhow::{Context, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::json;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use weir_processor::account::AccountStage;
use weir_processor::campaign::CampaignStage;
use weir_processor::cluster::ClusterStage;
use weir_processor::policy::Policy;
use weir_schemas::wire::Wire;
use weir_schemas::{Epoch, Event, Record};
use weir_topology::clock::MachineClock;
use weir_topology::kafka::{KafkaConfig, KafkaLog};
use weir_topology::log::Log;
use weir_topology::stage::Stage;
use weir_topology::stage::StageFactory;
use weir_topology::task::{Pace, Surroundings};
use weir_topology::telemetry::Silent;
use weir_topology::topic::{StageName, TaskId, Topic};
use weir_topology::worker::Worker;

const PARTITIONS: u32 = 4;

/// Events of a run.
const EVENTS: u64 = 2_000_000;

/// Of these: judged, or only decoded, before the measure begins, so that what a process does once (joining
/// groups, taking memory) does not count.
const WARM_UP: u64 = 500_000;

/// How often each side of the exactly-once tax is measured; the least disturbed run of each counts.
const TAX_ROUNDS: u32 = 3;

/// Longest wait for a topic to give what it holds, or for a run to judge it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Topics of one run on the broker.
pub struct Deployment {
    config: KafkaConfig,
}

impl Deployment {
    /// New topics.
    pub fn new(brokers: &str, name: &str, partitions: u32) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        let mut config = KafkaConfig::new(brokers);
        config.prefix = format!("b{now}-{name}-");
        let this = Self { config };
        let mut apply = this.weir(&["topology", "apply", "--kafka-replication", "1"])?;
        apply.args(["--partitions", &partitions.to_string()]).stdout(Stdio::null());
        succeed(apply, "weir topology apply")?;
        Ok(this)
    }

    /// New topics with every event of the generated log in them.
    fn imported(brokers: &str, name: &str) -> Result<Self> {
        Self::filled(brokers, name, PARTITIONS, EVENTS)
    }

    /// New topics of so many partitions, with a generated log of so many events in them.
    fn filled(brokers: &str, name: &str, partitions: u32, events: u64) -> Result<Self> {
        let this = Self::new(brokers, name, partitions)?;
        let collected = collect(&generated(events)?, &this.log()?)?;
        ensure!(collected == events, "{collected} events of {events} lines");
        Ok(this)
    }

    pub fn weir(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(dirs::built("weir")?);
        command.args(arguments);
        command.args(["--brokers", &self.config.brokers, "--kafka-prefix", &self.config.prefix]);
        Ok(command)
    }

    pub fn log(&self) -> Result<KafkaLog> {
        Ok(KafkaLog::connect(self.config.clone())?)
    }

    /// The brokers.
    pub fn brokers(&self) -> &str {
        &self.config.brokers
    }

    /// The name that a topic has on the brokers.
    pub fn topic_name(&self, topic: Topic) -> String {
        self.config.topic_name(topic)
    }

    /// A consumer of every partition of `topic`, from the beginning.
    pub fn reader(&self, topic: Topic) -> Result<BareReader> {
        self.reader_of(&self.topic_name(topic), self.log()?.partitions(topic)?)
    }

    /// A consumer of so many partitions of the topic of this name, from the beginning.
    pub fn reader_of(&self, name: &str, partitions: u32) -> Result<BareReader> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.config.brokers)
            .set("group.id", format!("{}bench", self.config.prefix))
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .create()?;
        let mut from = TopicPartitionList::new();
        for partition in 0..partitions {
            from.add_partition_offset(name, partition as i32, Offset::Beginning)?;
        }
        consumer.assign(&from)?;
        Ok(BareReader { consumer })
    }
}

/// Reads without anything of Weir's.
pub struct BareReader {
    consumer: BaseConsumer,
}

impl BareReader {
    /// Hands payload and the broker's time of every record to `each`, until it says that it has enough
    /// or nothing comes for `idle`.
    pub fn read(&self, idle: Duration, mut each: impl FnMut(&[u8], i64) -> Result<bool>) -> Result<()> {
        let mut last = Instant::now();
        while last.elapsed() < idle {
            let Some(message) = self.consumer.poll(Duration::from_millis(100)) else { continue };
            let message = message?;
            last = Instant::now();
            let at_ms = message.timestamp().to_millis().unwrap_or(0);
            if each(message.payload().unwrap_or_default(), at_ms)? {
                break;
            }
        }
        Ok(())
    }

    /// Hands key and payload of every record to `each` at once when it is there, until it is told to stop.
    pub fn follow(&self, stop: &AtomicBool, mut each: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let Some(message) = self.consumer.poll(Duration::from_millis(50)) else { continue };
            let message = message?;
            each(message.key().unwrap_or_default(), message.payload().unwrap_or_default())?;
        }
        Ok(())
    }
}

/// The bare consumer and `weir process`, on the same topic, one after the other.
pub fn throughput() -> Result<()> {
    let broker = kafka::up()?;
    let deployment = Deployment::imported(&broker.brokers, "process")?;
    let wire = Wire::new();

    let (reader, mut decoded, mut meter) = (deployment.reader(Topic::Events)?, 0, None);
    reader.read(PATIENCE, |payload, _| {
        Event::decode(&wire.datum::<Event<'_>>(payload)?)?;
        decoded += 1;
        if decoded == WARM_UP {
            meter = Some(Meter::start(Who::Ourselves)?);
        }
        Ok(decoded == EVENTS)
    })?;
    ensure!(decoded == EVENTS, "the bare consumer got {decoded} of {EVENTS} events");
    let (measured, bare) = (EVENTS - WARM_UP, meter.context("no event was measured")?.stop()?);
    line("kafka_bare_consume_decode", measured, bare, json!({}));

    let seen = processed(&deployment, EVENTS, WARM_UP)?;
    let share = |bare_s: f64, taken_s: f64| ratio(bare_s / measured as f64, taken_s / seen.events as f64);
    let more = json!({
        "share_of_bare_per_cpu_s": share(bare.cpu_s, seen.taken.cpu_s),
        "share_of_bare_per_wall_s": share(bare.wall_s, seen.taken.wall_s),
        "goal_share_min": 0.5,
        "ns_each_from_its_start": (seen.cpu_s_from_its_start * 1e9 / EVENTS as f64).round(),
        "rss_peak_bytes": seen.rss_peak_bytes,
        "partitions": PARTITIONS,
    });
    line("kafka_process", seen.events, seen.taken, more);
    Ok(())
}

/// What `weir process` took for events, after it had judged some.
struct Processed {
    events: u64,
    taken: Taken,
    cpu_s_from_its_start: f64,
    rss_peak_bytes: u64,
}

/// Runs `weir process` until all of the deployment's `events` are judged, and measures from when it had
/// judged the first `warm_up` of them, by the broker's clock. The process ends when nothing has happened for
/// some seconds; what it takes after its last epoch is not counted.
fn processed(deployment: &Deployment, events: u64, warm_up: u64) -> Result<Processed> {
    let seen = watched(deployment.weir(&["process", "--until-idle", "--log-level", "warn"])?)?;
    ensure!(seen.status.success(), "weir process ended with {}", seen.status);
    let (mut so_far, mut warm) = (0, None);
    let epochs = judged(deployment)?;
    for (at_ms, judged) in &epochs {
        so_far += judged;
        if so_far >= warm_up {
            warm.get_or_insert((*at_ms, so_far));
        }
    }
    ensure!(so_far == events, "{so_far} of {events} events were judged");
    let ((from_ms, before), to_ms) = (warm.context("no epoch")?, epochs.last().context("no epoch")?.0);
    let taken = Taken {
        cpu_s: seen.cpu_s_at(to_ms) - seen.cpu_s_at(from_ms),
        wall_s: (to_ms - from_ms) as f64 / 1e3,
    };
    Ok(Processed {
        events: events - before,
        taken,
        cpu_s_from_its_start: seen.cpu_s_at(to_ms),
        rss_peak_bytes: seen.peak,
    })
}

/// Numbers of partitions that [`partitions`] compares with the first of them.
const PARTITION_COUNTS: [u32; 4] = [4, 16, 64, 256];

/// Events that go through each number of partitions, and of these, before the measure begins.
const PARTITION_EVENTS: (u64, u64) = (1_000_000, 200_000);

/// `weir process` on the same events in more and more partitions.
pub fn partitions() -> Result<()> {
    let broker = kafka::up()?;
    let (events, warm_up) = PARTITION_EVENTS;
    let mut first_ns = None;
    for count in PARTITION_COUNTS {
        let deployment = Deployment::filled(&broker.brokers, &format!("p{count}"), count, events)?;
        let seen = processed(&deployment, events, warm_up)?;
        let ns = seen.taken.ns_each(seen.events);
        let more = json!({
            "partitions": count,
            "cpu_of_the_first": ratio(ns, *first_ns.get_or_insert(ns)),
            "goal_of_64_max": 1.3,
            "rss_peak_bytes": seen.rss_peak_bytes,
        });
        line("kafka_partitions", seen.events, seen.taken, more);
    }
    Ok(())
}

/// When the broker took each epoch of the account stage, and how many events it judged; in order of time.
pub fn judged(deployment: &Deployment) -> Result<Vec<(i64, u64)>> {
    let (wire, account, mut epochs) = (Wire::new(), StageName::Account.as_str(), Vec::new());
    deployment.reader(Topic::Epochs)?.read(Duration::from_secs(3), |payload, at_ms| {
        let epoch: Epoch = wire.read(payload)?;
        let ranges = epoch.inputs.iter().filter(|range| range.topic == Topic::Events.name());
        let events: i64 = ranges.map(|range| range.records).sum();
        if epoch.stage == account && events > 0 {
            epochs.push((at_ms, events as u64));
        }
        Ok(false)
    })?;
    epochs.sort_unstable();
    Ok(epochs)
}

/// The same stages with a transaction every 100 ms and without any, in this process, in turns.
pub fn tax() -> Result<()> {
    let broker = kafka::up()?;
    let (mut exact, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..TAX_ROUNDS {
        let without = Deployment::imported(&broker.brokers, "without")?;
        let log = WithoutTransactions { config: without.config.clone(), log: without.log()? };
        plain.push(judge_all(Arc::new(log))?);
        let with = Deployment::imported(&broker.brokers, "with")?;
        exact.push(judge_all(Arc::new(with.log()?))?);
    }
    let (exact, plain) = (least(&exact), least(&plain));
    line("kafka_without_transactions", EVENTS, plain, json!({ "rounds": TAX_ROUNDS }));
    let more = json!({
        "rounds": TAX_ROUNDS,
        "commit_interval_ms": 100,
        "tax_per_cpu_s": 1.0 - ratio(plain.cpu_s, exact.cpu_s),
        "tax_per_wall_s": 1.0 - ratio(plain.wall_s, exact.wall_s),
        "goal_tax_max": 0.05,
    });
    line("kafka_with_transactions", EVENTS, exact, more);
    Ok(())
}

/// The least of each: what else runs on the machine only ever adds.
fn least(rounds: &[Taken]) -> Taken {
    let least = |of: fn(&Taken) -> f64| rounds.iter().map(of).fold(f64::INFINITY, f64::min);
    Taken { cpu_s: least(|taken| taken.cpu_s), wall_s: least(|taken| taken.wall_s) }
}

/// Runs both judging stages until every event is judged. Measured is the time from when every task is
/// open, scaled to all events: how long a task takes to open is another question.
fn judge_all(log: Arc<dyn Log>) -> Result<Taken> {
    let (wire, policy) = (Arc::new(Wire::new()), Arc::new(Policy::builtin()));
    // The last offset of a partition is the marker of the import's last transaction, not a record.
    let mut end = -i64::from(PARTITIONS);
    for partition in 0..PARTITIONS {
        end += log.bounds(Topic::Events, partition)?.1;
    }
    let around = Surroundings {
        log,
        wire: wire.clone(),
        schemas: None,
        telemetry: Arc::new(Silent),
        process: "bench".into(),
        pace: Pace { epoch_interval: Duration::from_millis(100), ..Pace::default() },
        clock: Arc::new(MachineClock::default()),
        before_commit: None,
    };
    let make_stage: StageFactory = Arc::new(move |task: TaskId| -> Box<dyn Stage> {
        match task.stage {
            StageName::Cluster => Box::new(ClusterStage::new(wire.clone(), policy.clone())),
            StageName::Campaign => Box::new(CampaignStage::new(wire.clone(), policy.clone())),
            _ => Box::new(AccountStage::new(wire.clone(), policy.clone())),
        }
    });
    let mut worker = Worker::new(around, make_stage);
    for stage in StageName::JUDGING {
        (0..stage.tasks(PARTITIONS)).for_each(|partition| worker.start(TaskId { stage, partition }));
    }
    let deadline = Instant::now() + PATIENCE;
    let mut opened: Option<(Meter, i64)> = None;
    loop {
        worker.check()?;
        let read = offsets_read(&worker);
        match (&opened, read) {
            (None, Some(read)) => opened = Some((Meter::start(Who::Ourselves)?, read)),
            (Some((meter, before)), Some(read)) if read >= end => {
                let taken = meter.stop()?;
                let scale = EVENTS as f64 / (read - before).max(1) as f64;
                worker.stop_all().context("the stages ended")?;
                return Ok(Taken { cpu_s: taken.cpu_s * scale, wall_s: taken.wall_s * scale });
            }
            _ => {}
        }
        ensure!(Instant::now() < deadline, "{read:?} of {end} offsets were read in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How far the account tasks have read the events; none while a task is not open yet.
fn offsets_read(worker: &Worker) -> Option<i64> {
    let mut read = 0;
    for (task, status) in worker.statuses() {
        let positions = status.positions();
        if positions.is_empty() {
            return None;
        }
        if task.stage == StageName::Account {
            let events = positions.iter().filter(|position| position.topic == Topic::Events);
            read += events.map(|position| position.next).sum::<i64>();
        }
    }
    Some(read)
}
