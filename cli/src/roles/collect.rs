//! `weir collect`: follow a log file and publish its events.

use crate::context::{Context, now_ms};
use crate::keys::{self, CollectorKeys, Role};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_collector::{
    Collector, CollectorConfig, Format, Mode, Progress, Pseudonymizer, Sealer, SourceState,
};
use weir_schemas::wire::Wire;
use weir_topology::log::Log;

/// How long a step waits for more to read.
const WAIT: Duration = Duration::from_millis(200);

/// Follows the configured file until the process is told to stop, or has read all there is.
pub fn run(context: &Context, until_idle: bool) -> Result<ExitCode> {
    let Some(path) = context.settings.tail.clone() else {
        bail!("tail is not set: give --tail FILE, the log to follow");
    };
    let keys = CollectorKeys::read(context.given_keys(Role::Collector)?)?;
    let (log, wire): (Arc<dyn Log>, _) = (Arc::new(context.kafka()?), context.wire()?);
    let config = config(context, path, Mode::Tail)?;
    let mut collector = open(context, &keys, log.as_ref(), wire, config)?;
    context.health.watch(&log)?;
    context.health.set_tasks_open(true);
    context.health.set_running(true);
    let mut patience = Patience::default();
    let (mut events, mut rejected) = (0, 0);
    while !context.is_stopped() {
        let progress = collector.run_once(WAIT)?;
        patience.check(&collector, &progress, until_idle)?;
        events += progress.events;
        rejected += progress.rejected;
        if until_idle && progress.at_end() {
            let file = context.settings.tail.as_deref().unwrap_or(Path::new(""));
            return outcome(file, events, rejected);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How long a log that cannot be read is waited for by who wants to end with it: as long as a tool may take to
/// rotate it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Ends a run until idle whose log is not there.
#[derive(Default)]
pub struct Patience {
    since: Option<Instant>,
}

impl Patience {
    /// An error when the log could not be read for a second, and nobody waits for it.
    pub fn check(&mut self, collector: &Collector<'_>, progress: &Progress, until_idle: bool) -> Result<()> {
        let reason = collector.unavailable().filter(|_| progress.state == SourceState::Unavailable);
        let Some(reason) = reason.filter(|_| until_idle) else {
            self.since = None;
            return Ok(());
        };
        if self.since.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
            return Ok(());
        }
        let hint =
            if reason.contains(['*', '?']) { " (patterns are not expanded: name one file)" } else { "" };
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
    config.tenant.clone_from(&settings.tenant);
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
    let ((epoch, pseudonym), (number, public)) = (&keys.pseudonym, &keys.seal);
    let Some(sealer) = Sealer::new(*number, public, *keys::random()?) else {
        bail!(
            "seal-{number}.pub is no key that anything can be sealed to: take it from where `weir keys make` made it"
        );
    };
    let keys = weir_collector::Keys { pseudonymizer: Pseudonymizer::new(**pseudonym, *epoch), sealer };
    Ok(Collector::open(log, config, keys, wire, context.metrics.clone(), Arc::new(now_ms))?)
}
