//! `weir collect`: follow a log file, take records by HTTP or read a topic, and publish their events.

use crate::context::{Context, now_ms};
use crate::keys::{CollectorKeys, Role};
use crate::listen::{Listener, sensing_keys};
use crate::status::{Sensing, Status};
use crate::threads::{joined, named};
use crate::trace::{Loaded, Tracer};
use anyhow::{Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use weir_collector::limits::LINE_BYTES_MAX_CEILING as RECORD_BYTES_MAX;
use weir_collector::{
    Collector, CollectorConfig, Format, Mode, Progress, PushConfig, SourceState, TopicSource,
};
use weir_schemas::wire::Wire;
use weir_topology::kafka::KafkaFeed;
use weir_topology::log::Log;

/// How long a step waits for more to read.
const WAIT: Duration = Duration::from_millis(200);

/// Reads the configured sources until the process is told to stop, or has read all there is.
pub fn run(context: &Context, loaded: Option<Loaded>, until_idle: bool) -> Result<ExitCode> {
    let Sources { listener, tracer } = check_sources(context, loaded, until_idle)?;
    let keys = CollectorKeys::read(&context.given_keys(Role::Collector)?)?;
    let (log, wire): (Arc<dyn Log>, _) = (Arc::new(context.kafka()?), context.wire()?);
    context.follow_tenants()?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let listening = listener.map(|listener| {
            let is_stopped = || context.is_stopped() || is_over.load(Ordering::Relaxed);
            let (keys, log, wire) = (&keys, log.as_ref(), wire.clone());
            named(scope, "listener", move || listener.run(context, keys, log, wire, &|_, _| {}, &is_stopped))
        });
        let tracing = tracer.map(|tracer| {
            let is_stopped = || context.is_stopped() || is_over.load(Ordering::Relaxed);
            let (keys, log, wire) = (&keys, log.as_ref(), wire.clone());
            named(scope, "tracer", move || tracer.run(context, keys, log, wire, &|_, _| {}, &is_stopped))
        });
        let reading = context.settings.from_topic.clone().map(|topic| {
            let is_stopped = || context.is_stopped() || is_over.load(Ordering::Relaxed);
            let (keys, log, wire) = (&keys, log.as_ref(), wire.clone());
            named(scope, "topic", move || {
                read_topic(context, keys, log, wire, &topic, until_idle, &is_stopped)
            })
        });
        let has_ended = || {
            listening.as_ref().is_some_and(|listening| listening.is_finished())
                || tracing.as_ref().is_some_and(|tracing| tracing.is_finished())
                || reading.as_ref().is_some_and(|reading| reading.is_finished())
        };
        let outcome = (|| {
            context.health.watch(&log)?;
            context.health.set_tasks_open(true);
            context.health.set_running(true);
            let Some(file) = context.settings.tail.clone() else {
                while !context.is_stopped() && !has_ended() {
                    context.went_round();
                    std::thread::sleep(WAIT);
                }
                context.supervisor.stops();
                return Ok(ExitCode::SUCCESS);
            };
            let config = config(context, file.clone(), Mode::Tail)?;
            let mut collector = open(context, &keys, log.as_ref(), wire, config)?;
            follow(context, &mut collector, &file, until_idle, &has_ended)
        })();
        is_over.store(true, Ordering::Relaxed);
        let listened = listening.map_or(Ok(()), |listening| joined(listening.join(), "the listener"));
        let traced = tracing.map_or(Ok(()), |tracing| joined(tracing.join(), "the tracer"));
        let read = reading.map_or(Ok(()), |reading| joined(reading.join(), "the topic's reader"));
        listened.and(traced).and(read).and(outcome)
    })
}

/// Reads a topic until the process is told to stop, or has read all that stood there.
fn read_topic(
    context: &Context,
    keys: &CollectorKeys,
    log: &dyn Log,
    wire: Arc<Wire>,
    topic: &str,
    until_idle: bool,
    is_stopped: &dyn Fn() -> bool,
) -> Result<()> {
    let settings = &context.settings;
    let feed = KafkaFeed::open(&context.kafka_config()?, topic)?;
    let config = PushConfig {
        source: topic.to_owned(),
        node: context.node(),
        tenants: context.tenants()?.of_events(),
        format: Format::load(&settings.collector_format)?,
        keep_text: settings.collector_keep_text,
        body_bytes_max: RECORD_BYTES_MAX,
    };
    let linger = Duration::from_millis(settings.collector_linger_ms);
    let (keys, telemetry) = (sensing_keys(keys)?, context.metrics.clone());
    let (records, clock) = (settings.collector_batch_lines, Arc::new(now_ms));
    let feed = Box::new(feed);
    let source = TopicSource::new(log, feed, config, records, linger, keys, wire, telemetry, clock)?;
    let mut source = source.watching(context.tripwires()?);
    let mut patience = Patience::of(TOPIC_PATIENCE);
    // Of two sources one has the line.
    let mut status = settings.tail.is_none().then(Status::new);
    let (mut events, mut rejected) = (0, 0);
    let pulse = context.liveness.watch("the topic's reader");
    while !is_stopped() {
        pulse.beat();
        let progress = source.run_once(WAIT)?;
        patience.check(source.unavailable().filter(|_| until_idle), "")?;
        events += progress.events;
        rejected += progress.refused;
        if let Some(status) = &mut status {
            status.show(&Sensing { events, refused: rejected, ..Sensing::default() }, "");
        }
        if until_idle && progress.is_at_end {
            if let Some(status) = status {
                status.end();
            }
            return outcome_of_topic(topic, events, rejected);
        }
    }
    Ok(())
}

/// What reading a topic to its end came to: a failure where all of it was refused.
fn outcome_of_topic(topic: &str, events: u64, rejected: u64) -> Result<()> {
    ensure!(
        events > 0 || rejected == 0,
        "nothing of the topic {topic} could be read: all of its {rejected} records were refused. `weir dlq list` has every \
         refusal and what it lacks; --collector-format FILE says where the fields are"
    );
    Ok(())
}

/// Sources that are no files.
pub struct Sources {
    pub listener: Option<Listener>,
    pub tracer: Option<Tracer>,
}

/// What there is to read; what contradicts itself is told before anything is written.
pub fn check_sources(context: &Context, loaded: Option<Loaded>, until_idle: bool) -> Result<Sources> {
    context.tenants()?;
    context.tripwires()?;
    let listener = Listener::bind(context)?;
    let tracer = loaded.map(|loaded| Tracer::of(loaded, context)).transpose()?;
    let sources = [
        context.settings.tail.is_some(),
        listener.is_some(),
        tracer.is_some(),
        context.settings.from_topic.is_some(),
    ];
    let sources = sources.into_iter().filter(|is_given| *is_given).count();
    ensure!(
        sources > 0,
        "there is nothing to read: give --tail FILE, the log to follow, --listen ADDRESS, to take records, or --trace \
         PROCESS, to listen to one"
    );
    ensure!(
        !until_idle || context.settings.from_topic.is_none() || context.settings.tail.is_none(),
        "--until-idle ends where one source ends, and there are two, --tail and --from-topic: leave one of them out"
    );
    if sources > 1 {
        context.metrics.sources_may_overlap();
    }
    for (flag, is_given) in [("--listen", listener.is_some()), ("--trace", tracer.is_some())] {
        ensure!(
            !until_idle || !is_given,
            "--until-idle ends where a log ends, and {flag} never does: leave one of them out"
        );
    }
    Ok(Sources { listener, tracer })
}

/// Follows a log until the process is told to stop, or has read all there is, or another source of it has
/// ended.
fn follow(
    context: &Context,
    collector: &mut Collector<'_>,
    file: &Path,
    until_idle: bool,
    has_ended: &dyn Fn() -> bool,
) -> Result<ExitCode> {
    let mut patience = Patience::default();
    let mut status = Status::new();
    let (mut events, mut rejected) = (0, 0);
    while !context.is_stopped() && !has_ended() {
        let progress = collector.run_once(WAIT)?;
        context.went_round();
        patience.look(collector, &progress, until_idle)?;
        events += progress.events;
        rejected += progress.rejected;
        status.show(&Sensing::of(collector), "");
        if until_idle && progress.at_end() {
            status.end();
            return outcome(file, events, rejected);
        }
    }
    context.supervisor.stops();
    Ok(ExitCode::SUCCESS)
}

/// How long a log that cannot be read is waited for by who wants to end with it: as long as a tool may take
/// to rotate it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same of a topic: as long as brokers may take to begin.
const TOPIC_PATIENCE: Duration = Duration::from_secs(10);

/// Ends a run until idle whose source is not there.
pub struct Patience {
    max: Duration,
    since: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self::of(PATIENCE)
    }
}

impl Patience {
    fn of(max: Duration) -> Self {
        Self { max, since: None }
    }

    /// An error when the log could not be read for as long as it is waited for, and nobody waits for it any
    /// longer.
    pub fn look(&mut self, collector: &Collector<'_>, progress: &Progress, until_idle: bool) -> Result<()> {
        let is_away = until_idle && progress.state == SourceState::Unavailable;
        let reason = collector.unavailable().filter(|_| is_away);
        let is_pattern = reason.is_some_and(|reason| reason.contains(['*', '?']));
        self.check(reason, if is_pattern { " (patterns are not expanded: name one file)" } else { "" })
    }

    fn check(&mut self, reason: Option<&str>, hint: &str) -> Result<()> {
        let Some(reason) = reason else {
            self.since = None;
            return Ok(());
        };
        if self.since.get_or_insert_with(Instant::now).elapsed() < self.max {
            return Ok(());
        }
        bail!("there is nothing to read: {reason}{hint}")
    }
}

/// What reading a file to its end came to: a failure where all of it was refused.
pub fn outcome(file: &Path, events: u64, rejected: u64) -> Result<ExitCode> {
    if events > 0 || rejected == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    bail!(
        "nothing of {} could be read: all of its {rejected} records were refused. `weir check-log {0}` says what \
         it looks like and what is missing; `weir dlq list` has every refusal",
        file.display()
    )
}

/// The collector's configuration for `path`.
pub fn config(context: &Context, path: PathBuf, mode: Mode) -> Result<CollectorConfig> {
    let settings = &context.settings;
    let mut config = CollectorConfig::new(path, context.node());
    if let Some(source) = &settings.source {
        config.source.clone_from(source);
    }
    config.tenants = context.tenants()?.of_events();
    config.format = Format::load(&settings.collector_format)?;
    config.line_bytes_max = settings.collector_line_bytes_max;
    config.keep_text = settings.collector_keep_text;
    config.batch_lines = settings.collector_batch_lines;
    config.linger = Duration::from_millis(settings.collector_linger_ms);
    config.rotated_dir.clone_from(&settings.collector_rotated_dir);
    config.mode = mode;
    config.check()?;
    Ok(config)
}

/// Opens a collector on `log`.
pub fn open<'l>(
    context: &Context,
    keys: &CollectorKeys,
    log: &'l dyn Log,
    wire: Arc<Wire>,
    config: CollectorConfig,
) -> Result<Collector<'l>> {
    let keys = sensing_keys(keys)?;
    let collector = Collector::open(log, config, keys, wire, context.metrics.clone(), Arc::new(now_ms))?;
    Ok(collector.watching(context.tripwires()?))
}
