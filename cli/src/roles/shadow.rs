//! `weir shadow`: the judging stages over the live events and a log of their own, and how what they say
//! differs.
//!
//! The shadow is the pipeline itself on a [`ShadowLog`], which has no way to write to the live log: what it
//! says cannot be acted on.

use crate::context::{Context, judging_stages, now_ms};
use crate::lag::{Quiescence, is_open, lag};
use crate::output;
use crate::roles::policy;
use crate::telemetry::Metrics;
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_processor::policy::Policy;
use weir_replay::shadow::{ShadowReport, Shadowing, comparable_since_ms};
use weir_schemas::wire::Wire;
use weir_topology::embedded::EmbeddedLog;
use weir_topology::invariants::Invariant;
use weir_topology::log::{Log, LogError};
use weir_topology::shadow::ShadowLog;
use weir_topology::task::{SchemaSource, Surroundings};
use weir_topology::telemetry::Telemetry;
use weir_topology::topic::{StageName, TaskId, Topic};
use weir_topology::worker::Worker;

/// How often the main thread looks around.
const LOOK: Duration = Duration::from_millis(50);

/// How often records of the shadow's own whose retention has passed are deleted.
const TRIM: Duration = Duration::from_secs(600);

/// Accounts named one by one unless all are asked for.
const SHOWN: usize = 20;

/// In the shadow's directory: whose it is.
const BEGUN: &str = "begun.json";

/// In the shadow's directory: its own log.
const OWN_LOG: &str = "log";

/// What a shadow is told to do.
pub struct Options {
    /// The policy's file, or `builtin`.
    pub policy: PathBuf,
    /// The shadow's directory.
    pub dir: PathBuf,
    /// Whether it ends when all events are judged.
    pub until_idle: bool,
    /// How it reports.
    pub reporting: Reporting,
}

/// How a shadow reports.
pub struct Reporting {
    /// As JSON, or for a terminal.
    pub is_json: bool,
    /// The file that is written again and again; none where the report is printed at the end.
    pub out: Option<PathBuf>,
    /// How often.
    pub every: Duration,
    /// Whether every account is named.
    pub names_all: bool,
}

/// Judges beside the live judges until the process is told to stop, or all is judged.
pub fn run(context: &Context, options: &Options) -> Result<ExitCode> {
    let policy = match options.policy == Path::new("builtin") {
        true => Policy::builtin(),
        false => policy::read_policy(&options.policy)?.0,
    };
    let (live, wire) = (context.existing_log()?, context.wire()?);
    let begun = Begun::of(context, &options.dir, &policy, live.as_ref(), &wire)?;
    let mut shadow = Shadow::start(context, policy, begun, &options.dir, live, wire)?;
    context.health.set_running(true);
    let tended = shadow.tend(context, options);
    context.health.set_running(false);
    let (events, behind) = (shadow.events(), shadow.behind());
    let stopped = shadow.worker.stop_all();
    // What was found is told, however it ended.
    let report = shadow.shadowing.report(&shadow.policy.version, events, behind);
    shadow.tell(&report, &options.reporting, true)?;
    tended.map_err(|error| overtaken(error, &options.dir))?;
    stopped?;
    Ok(ExitCode::SUCCESS)
}

/// What to do where the log has forgotten what the shadow has still to judge.
fn overtaken(error: anyhow::Error, dir: &Path) -> anyhow::Error {
    let is_gone = |cause: &&(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref::<LogError>(), Some(LogError::Gone { .. }))
    };
    match error.chain().find(is_gone) {
        None => error,
        Some(_) => error.context(format!(
            "the log has forgotten events before the shadow had judged them: remove {}, or give another --dir, and it \
             begins with the first event that there is",
            dir.display()
        )),
    }
}

/// Whose a shadow's directory is, and what its first look at the live log found.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Begun {
    /// The log whose events it judges.
    live: String,
    policy_version: String,
    policy_digest: String,
    /// From which event time on verdicts are compared.
    since_ms: i64,
    /// Where events began, by partition.
    first: Vec<i64>,
}

impl Begun {
    /// What stands in this directory, or is written there now.
    fn of(context: &Context, dir: &Path, policy: &Policy, live: &dyn Log, wire: &Wire) -> Result<Self> {
        let of_live = live_of(context)?;
        let file = dir.join(BEGUN);
        let shown = file.display();
        match std::fs::read(&file) {
            Ok(text) => {
                let begun: Self =
                    serde_json::from_slice(&text).with_context(|| format!("{shown} cannot be read"))?;
                if begun.policy_digest != policy.digest.to_string() {
                    bail!(
                        "{} is the directory of a shadow by policy {} ({}), and this is {} ({}): give another --dir, or remove \
                         that one",
                        dir.display(),
                        begun.policy_version,
                        begun.policy_digest,
                        policy.version,
                        policy.digest
                    );
                }
                if begun.live != of_live {
                    bail!(
                        "{} is the directory of a shadow beside {}, and this is {of_live}: give another --dir",
                        dir.display(),
                        begun.live
                    );
                }
                Ok(begun)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // What a shadow writes into a log that somebody acts by would be acted on.
                if dir.join(OWN_LOG).exists() {
                    bail!(
                        "{} has a log that no shadow made: give a --dir of the shadow's own",
                        dir.display()
                    );
                }
                let bounds = |partition| Ok(live.bounds(Topic::Events, partition)?.0);
                let begun = Self {
                    live: of_live,
                    policy_version: policy.version.clone(),
                    policy_digest: policy.digest.to_string(),
                    since_ms: comparable_since_ms(live, wire)?,
                    first: (0..live.partitions(Topic::Events)?)
                        .map(bounds)
                        .collect::<Result<_, LogError>>()?,
                };
                std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
                write(&file, &serde_json::to_string(&begun)?)?;
                Ok(begun)
            }
            Err(error) => Err(error).with_context(|| format!("{shown} cannot be read")),
        }
    }
}

/// The log whose events are judged, as its configuration names it.
fn live_of(context: &Context) -> Result<String> {
    let settings = &context.settings;
    if let Some(brokers) = context.brokers() {
        let prefix = settings.kafka_prefix.as_deref().unwrap_or_default();
        return Ok(format!("topics {prefix}weir.* of {brokers}"));
    }
    let data = &settings.data_dir;
    let data = data.canonicalize().with_context(|| format!("{} cannot be found", data.display()))?;
    Ok(data.display().to_string())
}

/// A shadow that judges.
struct Shadow {
    live: Arc<dyn Log>,
    schemas: Option<Arc<dyn SchemaSource>>,
    policy: Policy,
    begun: Begun,
    own: Arc<EmbeddedLog>,
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    worker: Worker,
    shadowing: Shadowing,
    metrics: Arc<Metrics>,
}

impl Shadow {
    fn start(
        context: &Context,
        policy: Policy,
        begun: Begun,
        dir: &Path,
        live: Arc<dyn Log>,
        wire: Arc<Wire>,
    ) -> Result<Self> {
        let partitions = live.partitions(Topic::Events)?;
        let own = EmbeddedLog::open(&dir.join(OWN_LOG), partitions)
            .with_context(|| format!("the shadow's own log in {} cannot be used", dir.display()))?;
        let shadowing = Shadowing::open(live.as_ref(), own.as_ref(), begun.since_ms)?;
        let log: Arc<dyn Log> = ShadowLog::beside(live.clone(), own.clone());
        let metrics = context.metrics.clone();
        let telemetry = Arc::new(Troubles(metrics.clone()));
        let around = Surroundings { telemetry, ..context.surroundings(log.clone(), wire.clone()) };
        let accounts_max = context.settings.state_accounts_max;
        let stages = judging_stages(wire.clone(), Arc::new(policy.clone()), accounts_max);
        let mut worker = Worker::new(around, stages);
        for stage in StageName::JUDGING {
            (0..stage.tasks(partitions)).for_each(|partition| worker.start(TaskId { stage, partition }));
        }
        context.health.watch(&log)?;
        let schemas = context.schemas();
        Ok(Self { live, schemas, policy, begun, own, log, wire, worker, shadowing, metrics })
    }

    fn tend(&mut self, context: &Context, options: &Options) -> Result<()> {
        let mut quiescence = Quiescence::default();
        let (mut trimmed, mut told): (Option<Instant>, Option<Instant>) = (None, None);
        let is_due = |at: Option<Instant>, every| at.is_none_or(|at| at.elapsed() >= every);
        while !context.is_stopped() {
            self.worker.check()?;
            context.health.set_tasks_open(is_open(&self.worker));
            context.liveness.watch_tasks(self.worker.statuses());
            if is_due(trimmed, TRIM) {
                self.own.trim(now_ms())?;
                trimmed = Some(Instant::now());
            }
            // A log that is away for a while says nothing new, as to the tasks.
            let has_news = passing(self.shadowing.refresh(&self.wire, self.schemas.as_deref()))?;
            if is_due(told, options.reporting.every) {
                let report = self.shadowing.report(&self.policy.version, self.events(), self.behind());
                self.tell(&report, &options.reporting, false)?;
                told = Some(Instant::now());
            }
            let is_quiet = options.until_idle && has_news == Some(false);
            let has_judged =
                is_quiet && passing(quiescence.look(self.log.as_ref(), &self.worker))? == Some(true);
            if has_judged && self.behind() == Some(0) {
                return Ok(());
            }
            context.went_round();
            std::thread::sleep(LOOK);
        }
        context.supervisor.stops();
        Ok(())
    }

    /// Records that are not folded, and verdicts that are not read; none where that is not known.
    fn behind(&self) -> Option<i64> {
        let tasks = lag(self.log.as_ref(), &self.worker).ok()??;
        Some(tasks + self.shadowing.behind(self.live.as_ref(), self.own.as_ref()).ok()?)
    }

    /// Offsets of events that were folded since the shadow began.
    fn events(&self) -> u64 {
        let positions = self.worker.statuses().flat_map(|(_, status)| status.positions());
        let events = positions.filter(|position| position.topic == Topic::Events);
        let first = |partition: u32| self.begun.first.get(partition as usize).copied().unwrap_or_default();
        events.map(|position| (position.next - first(position.partition)).max(0) as u64).sum()
    }

    fn tell(&self, report: &ShadowReport, reporting: &Reporting, is_last: bool) -> Result<()> {
        let [gained, lost] = report.diff.changed;
        self.metrics.shadow_compared(gained, lost, report.diff.same, report.behind_records);
        if reporting.out.is_none() && !is_last {
            return Ok(());
        }
        let mut report = report.clone();
        if !reporting.names_all {
            report.diff.gained.truncate(SHOWN);
            report.diff.lost.truncate(SHOWN);
        }
        let text = if reporting.is_json {
            format!("{}\n", serde_json::to_string(&report)?)
        } else {
            report.to_string()
        };
        match &reporting.out {
            Some(file) => write(file, &text)?,
            None => output::text(text),
        }
        Ok(())
    }
}

/// What the log says, or none where it is away for a while.
fn passing<T>(said: Result<T, LogError>) -> Result<Option<T>, LogError> {
    match said {
        Ok(said) => Ok(Some(said)),
        Err(LogError::Unavailable { .. } | LogError::Storage { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file whole, in the place of the one that is there.
fn write(file: &Path, text: &str) -> Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = tempfile::NamedTempFile::new_in(directory).and_then(|mut new| {
        new.write_all(text.as_bytes())?;
        new.persist(file).map_err(|error| error.error)
    });
    written.map(drop).with_context(|| format!("{} cannot be written", file.display()))
}

/// Tells what goes wrong with a shadow's tasks, and nothing else: how fast verdicts come and how many there
/// are is asked of the live judges, and a shadow that catches up would answer with theirs.
struct Troubles(Arc<Metrics>);

impl Telemetry for Troubles {
    fn commit_aborted(&self, task: TaskId, reason: &str) {
        self.0.commit_aborted(task, reason);
    }

    fn task_reopened(&self, task: TaskId, reason: &str) {
        self.0.task_reopened(task, reason);
    }

    fn invariant_broken(&self, task: TaskId, invariant: Invariant, detail: &str) {
        self.0.invariant_broken(task, invariant, detail);
    }

    fn epochs_adopted(&self, task: TaskId, epochs: i64, accounts: i64, outputs: u64) {
        self.0.epochs_adopted(task, epochs, accounts, outputs);
    }

    fn task_abandoned(&self, task: TaskId, waited: Duration) {
        self.0.task_abandoned(task, waited);
    }
}
