//! `weir export`: tells SIEMs, each destination by an exporter in a thread of its own, because one may be
//! slow.

mod destinations;

use crate::context::Context;
use crate::liveness::Pulse;
use crate::settings::{ExportFrom, Settings};
use crate::telemetry::Metrics;
use anyhow::{Context as _, Result, bail, ensure};
use destinations::{Choice, chosen};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use weir_enforcer::siem::destination::Failure;
use weir_enforcer::siem::exporter::{Exporter, From, Outside, Progress, exporter_name};
use weir_enforcer::siem::notice::Kind;
use weir_schemas::wire::Wire;
use weir_topology::clock::MachineClock;
use weir_topology::log::{Log, LogError};

/// How often it is looked whether there is news.
const LOOK: Duration = Duration::from_millis(50);

/// How long an exporter waits before it starts over from the log.
const AGAIN: Duration = Duration::from_secs(1);

/// Tells until the process is told to stop.
pub fn run(context: &Context, until_idle: bool) -> Result<ExitCode> {
    let choices = chosen(context)?;
    ensure!(
        !choices.is_empty(),
        "nobody is to be told: give --export-files-dir, --export-syslog, --export-hec-url, --export-elasticsearch-url or --export-otlp-url (docs/exports.md)"
    );
    let (log, wire) = (context.existing_log()?, context.wire()?);
    context.health.watch(&log)?;
    let exports = Exports::start(context, choices, log, wire)?;
    context.health.set_tasks_open(true);
    context.health.set_running(true);
    if until_idle {
        exports.finish();
    }
    while !context.is_stopped() && !exports.have_ended() {
        context.went_round();
        std::thread::sleep(LOOK);
    }
    context.supervisor.stops();
    context.health.set_running(false);
    exports.stop()?;
    Ok(ExitCode::SUCCESS)
}

/// The threads.
pub struct Exports {
    threads: Vec<JoinHandle<Result<()>>>,
    stop: Arc<AtomicBool>,
    is_last_round: Arc<AtomicBool>,
}

impl Exports {
    /// Tells the destinations that the settings name; none where they name none.
    pub fn of(context: &Context, log: Arc<dyn Log>, wire: Arc<Wire>) -> Result<Option<Self>> {
        let choices = chosen(context)?;
        (!choices.is_empty()).then(|| Self::start(context, choices, log, wire)).transpose()
    }

    fn start(context: &Context, choices: Vec<Choice>, log: Arc<dyn Log>, wire: Arc<Wire>) -> Result<Self> {
        let settings = &context.settings;
        let kinds = kinds(settings)?;
        let from = match settings.export_from {
            ExportFrom::Beginning => From::Beginning,
            ExportFrom::Now => From::Now,
        };
        let clock = Arc::new(MachineClock::default());
        let jitter = Arc::new(rand::random::<f64>);
        let outside = Outside { log, wire, schemas: context.schemas(), clock, jitter };
        let (stop, is_last_round) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let mut threads = Vec::new();
        for choice in choices {
            // What is wrong with it is told at the start, and not by a thread.
            drop(choice.make()?);
            let pulse = context.liveness.watch(&format!("the exporter to {}", choice.kind().as_str()));
            let lane = Lane {
                choice,
                group: settings.export_group.clone(),
                kinds: kinds.clone(),
                from,
                outside: outside.clone(),
                metrics: context.metrics.clone(),
                stop: stop.clone(),
                is_last_round: is_last_round.clone(),
                told: None,
                pulse,
            };
            threads.push(std::thread::Builder::new().name("export".into()).spawn(move || lane.run())?);
        }
        Ok(Self { threads, stop, is_last_round })
    }

    /// Lets each end when its destination has all that there is.
    pub fn finish(&self) {
        self.is_last_round.store(true, Ordering::Relaxed);
    }

    /// Whether all have ended, or one has failed.
    pub fn have_ended(&self) -> bool {
        let mut threads = self.threads.iter();
        match self.is_last_round.load(Ordering::Relaxed) {
            true => threads.all(JoinHandle::is_finished),
            false => threads.any(JoinHandle::is_finished),
        }
    }

    /// Ends all of them after what is under way, and says what went wrong.
    pub fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(_) => bail!("an exporter panicked; please report it"),
        })
    }
}

fn kinds(settings: &Settings) -> Result<Vec<Kind>> {
    let name = |kind: &Kind| format!("{}s", kind.as_str());
    let wanted = settings.export_topics.split(',').map(str::trim);
    wanted
        .map(|wanted| Kind::ALL.into_iter().find(|kind| name(kind) == wanted))
        .collect::<Option<Vec<Kind>>>()
        .with_context(|| {
            let known = Kind::ALL.each_ref().map(name).join(", ");
            format!("export.topics is {:?}: it may name {known}", settings.export_topics)
        })
}

/// One destination's thread.
struct Lane {
    choice: Choice,
    group: String,
    kinds: Vec<Kind>,
    from: From,
    outside: Outside,
    metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
    is_last_round: Arc<AtomicBool>,
    told: Option<String>,
    pulse: Pulse,
}

impl Lane {
    fn run(mut self) -> Result<()> {
        let mut exporter: Option<Exporter> = None;
        while !self.stop.load(Ordering::Relaxed) {
            self.pulse.beat();
            // Asked before the look: what was committed until then is seen by it.
            let is_last_round = self.is_last_round.load(Ordering::Relaxed);
            match self.turn(&mut exporter) {
                Ok(progress) => {
                    self.tell(&progress);
                    if is_last_round && progress.caught_up {
                        break;
                    }
                    if progress.delivered == 0 {
                        std::thread::sleep(LOOK);
                    }
                }
                Err(error) => {
                    // It may hold what its successor needs.
                    exporter = None;
                    self.outlast(error)?;
                }
            }
        }
        Ok(())
    }

    /// Waits for what may come right by itself.
    fn outlast(&mut self, error: anyhow::Error) -> Result<()> {
        match error.downcast_ref::<LogError>() {
            Some(LogError::Fenced { .. }) => {
                let (kind, group) = (self.choice.kind().as_str(), &self.group);
                return Err(
                    error.context(format!("another exporter tells {kind} under export.group {group:?}"))
                );
            }
            Some(LogError::Missing { .. } | LogError::Damaged { .. }) => return Err(error),
            _ => {}
        }
        if let Some(reason) = self.is_news(format!("{error:#}")) {
            tracing::warn!(reason, "an exporter cannot go on, and starts over from the log");
        }
        std::thread::sleep(AGAIN);
        Ok(())
    }

    fn turn(&self, exporter: &mut Option<Exporter>) -> Result<Progress> {
        let exporter = match exporter {
            Some(exporter) => exporter,
            empty => {
                let destination = self.choice.make()?;
                let name = exporter_name(&self.group, destination.as_ref());
                let outside = self.outside.clone();
                empty.insert(Exporter::open(&name, &self.kinds, self.from, outside, destination)?)
            }
        };
        Ok(exporter.run_once(LOOK)?)
    }

    fn tell(&mut self, progress: &Progress) {
        let kind = self.choice.kind();
        let reason = progress.failure.as_ref().map(|Failure { cause, reason }| format!("{cause}: {reason}"));
        match reason {
            Some(reason) => {
                let news = self.is_news(reason);
                self.metrics.exported(kind, progress, news.as_deref());
            }
            None => {
                if progress.delivered > 0 && self.told.take().is_some() {
                    tracing::info!(destination = kind.as_str(), "the destination takes notices again");
                }
                self.metrics.exported(kind, progress, None);
            }
        }
    }

    /// The reason, where it was not the last one told.
    fn is_news(&mut self, reason: String) -> Option<String> {
        let is_news = self.told.as_ref() != Some(&reason);
        self.told = Some(reason.clone());
        is_news.then_some(reason)
    }
}
