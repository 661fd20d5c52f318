//! `weir run`: every role in one process on the embedded log.

use crate::context::{Context, now_ms};
use crate::fast_path::sender;
use crate::keys::{CollectorKeys, EnforcerKeys, Role};
use crate::lag::{LagTeller, Quiescence, is_open, lag};
use crate::roles::act::Hands;
use crate::roles::adopt::Whole;
use crate::roles::export::Exports;
use crate::roles::inbox::Inbox;
use crate::roles::population::Population;
use crate::roles::renewal::Renewal;
use crate::roles::{adopt, collect, decide, enforce, kill_switch, operators};
use crate::status::Sensing;
use crate::threads;
use crate::trace::Loaded;
use crate::view::{Summary, View};
use anyhow::{Result, ensure};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use weir_collector::{Collector, Mode, Progress};
use weir_topology::log::Log;
use weir_topology::stage::Stage;
use weir_topology::stage::StageFactory;
use weir_topology::task::Surroundings;
use weir_topology::topic::{StageName, TaskId, Topic};
use weir_topology::worker::Worker;

/// How often the main thread looks around.
const LOOK: Duration = Duration::from_millis(50);

/// How often records whose retention has passed are deleted.
const TRIM: Duration = Duration::from_secs(600);

/// Runs until everything is judged (`until_idle`) or the process is told to stop.
pub fn run(context: &Context, loaded: Option<Loaded>, until_idle: bool) -> Result<ExitCode> {
    let started = Instant::now();
    let settings = &context.settings;
    // What the operator may have got wrong, before anything is written.
    ensure!(
        settings.from_topic.is_none(),
        "from_topic is set: topics are read by `weir collect`, from the brokers that it writes to"
    );
    let collect::Sources { listener, tracer } = collect::check_sources(context, loaded, until_idle)?;
    let config = settings.tail.clone().map(|path| collect::config(context, path, Mode::Tail)).transpose()?;
    adopt::check_policy(context)?;
    let wire = context.wire()?;
    let sensing_keys = CollectorKeys::read(&context.keys_of_all(Role::Collector)?)?;
    let keys = EnforcerKeys::read(&context.keys_of_all(Role::Enforcer)?)?;
    let log = context.embedded()?;
    context.follow_tenants()?;
    adopt::configured_policy(context, log.as_ref(), &wire)?;
    adopt::configured_age(context, log.as_ref(), &wire)?;
    adopt::configured_limit(context, log.as_ref(), &wire, Whole::default())?;
    let partitions = log.partitions(Topic::Events)?;

    let judging = context.judging_stages(wire.clone())?;
    let enforcing = enforce::stages(context, &keys, wire.clone())?;
    let make_stage: StageFactory = Arc::new(move |task: TaskId| -> Box<dyn Stage> {
        match task.stage {
            StageName::Enforcer => enforcing(task),
            _ => judging(task),
        }
    });
    let before_commit = sender::start(context, wire.clone())?;
    let around = Surroundings { before_commit, ..context.surroundings(log.clone(), wire.clone()) };
    let mut worker = Worker::new(around, make_stage);
    for stage in StageName::FOLDING {
        (0..stage.tasks(partitions)).for_each(|partition| worker.start(TaskId { stage, partition }));
    }
    let mut view = View::open(log.as_ref(), &wire)?;
    let mut export = enforce::export(context, &keys, log.clone(), wire.clone(), (0..partitions).collect())?;
    let hands = Hands::start(context, &keys, log.clone(), wire.clone())?;
    if let Some(hands) = &hands {
        export = export.leaving_effects();
        hands.own(0..partitions);
    }
    let exports = Exports::of(context, log.clone(), wire.clone())?;
    let watched: Arc<dyn Log> = log.clone();
    context.health.watch(&watched)?;
    let teller = LagTeller::start(&watched, context.metrics.clone())?;
    let server = decide::serve(context, &sensing_keys, keys.root, log.clone(), wire.clone(), || {})?;
    context.health.set_running(true);

    let sensed = Sensed::default();
    let mut withheld = enforce::Withheld::default();
    let mut population = Population::default();
    let mut renewal = Renewal::default();
    let stop_sensing = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| -> Result<()> {
        let is_over = || context.is_stopped() || stop_sensing.load(Ordering::Relaxed);
        let listening = listener.map(|listener| {
            let (keys, log, wire, sensed) = (&sensing_keys, log.as_ref(), wire.clone(), &sensed);
            threads::named(scope, "listener", move || {
                listener.run(context, keys, log, wire, &|e, r| sensed.pushed(e, r), &is_over)
            })
        });
        let tracing = tracer.map(|tracer| {
            let (keys, log, wire, sensed) = (&sensing_keys, log.as_ref(), wire.clone(), &sensed);
            threads::named(scope, "tracer", move || {
                tracer.run(context, keys, log, wire, &|e, r| sensed.pushed(e, r), &is_over)
            })
        });
        let publishing = {
            let (log, wire) = (log.as_ref(), &wire);
            threads::named(scope, "operators", move || operators::publish(context, log, wire, &is_over))
        };
        let sensing = config.map(|config| {
            threads::named(scope, "collector", || -> Result<()> {
                let mut collector =
                    collect::open(context, &sensing_keys, log.as_ref(), wire.clone(), config)?;
                let mut patience = collect::Patience::default();
                let pulse = context.liveness.watch("the collector");
                while !stop_sensing.load(Ordering::Relaxed) {
                    pulse.beat();
                    let progress = collector.run_once(Duration::from_millis(200))?;
                    patience.look(&collector, &progress, until_idle)?;
                    sensed.add(&progress, &collector);
                }
                Ok(())
            })
        });
        let has_ended = || {
            sensing.as_ref().is_some_and(|sensing| sensing.is_finished())
                || listening.as_ref().is_some_and(|listening| listening.is_finished())
                || tracing.as_ref().is_some_and(|tracing| tracing.is_finished())
                || publishing.is_finished()
        };
        let (mut quiescence, inbox) = (Quiescence::default(), Inbox::of(&settings.data_dir));
        let outcome = (|| -> Result<()> {
            let mut trimmed: Option<Instant> = None;
            while !context.is_stopped() {
                worker.check()?;
                if exports.as_ref().is_some_and(Exports::have_ended) {
                    return Ok(());
                }
                context.health.set_tasks_open(is_open(&worker));
                teller.look_at(std::iter::once(&worker));
                context.liveness.watch_tasks(worker.statuses());
                if trimmed.is_none_or(|at| at.elapsed() >= TRIM) {
                    log.trim(now_ms())?;
                    trimmed = Some(Instant::now());
                }
                if has_ended() {
                    return Ok(());
                }
                let exported = enforce::run_export(&mut export)?;
                withheld.note(&exported);
                population.look(context, log.as_ref(), &wire, &export)?;
                renewal.look(context, log.as_ref(), &wire, 0..partitions);
                view.refresh(&wire)?;
                view.progress(&sensed.sensing(), lag(log.as_ref(), &worker)?.unwrap_or(0));
                let is_acted_on = hands.as_ref().is_none_or(Hands::is_idle) && exported.caught_up;
                let is_at_end = sensed.is_at_end.load(Ordering::Relaxed);
                let is_heard = until_idle && is_at_end && inbox.is_empty()?;
                if is_heard && quiescence.look(log.as_ref(), &worker)? && is_acted_on {
                    return Ok(());
                }
                context.went_round();
                std::thread::sleep(LOOK);
            }
            context.supervisor.stops();
            Ok(())
        })();
        context.health.set_running(false);
        stop_sensing.store(true, Ordering::Relaxed);
        let sensed = sensing.map_or(Ok(()), |sensing| threads::joined(sensing.join(), "the collector"));
        let listened =
            listening.map_or(Ok(()), |listening| threads::joined(listening.join(), "the listener"));
        let traced = tracing.map_or(Ok(()), |tracing| threads::joined(tracing.join(), "the tracer"));
        let published = threads::joined(publishing.join(), "the reader of operators' words");
        outcome.and(sensed).and(listened).and(traced).and(published)
    });
    let stopped = worker.stop_all();
    // Whatever the outcome, gateways get the answers that are under way, and are told to ask no more.
    if let Some(server) = server {
        server.end();
    }
    stopped?;
    outcome?;
    while !context.is_stopped() {
        let exported = enforce::run_export(&mut export)?;
        withheld.note(&exported);
        context.went_round();
        if exported.caught_up {
            break;
        }
    }
    if let Some(exports) = exports {
        // Nothing is written any more: what the destinations do not have yet is there.
        exports.finish();
        while until_idle && !context.is_stopped() && !exports.have_ended() {
            context.went_round();
            std::thread::sleep(LOOK);
        }
        exports.stop()?;
    }
    view.refresh(&wire)?;
    view.summary(&Summary {
        events: sensed.events.load(Ordering::Relaxed),
        rejected: sensed.rejected.load(Ordering::Relaxed),
        seconds: started.elapsed().as_secs_f64(),
        posture: kill_switch::posture_in_force(log.as_ref(), &wire, keys.root)?,
        withheld_as_history: withheld.total(),
        data_dir: &settings.data_dir,
        output_dir: &settings.output_dir,
    });
    if until_idle {
        let file = settings.tail.as_deref().unwrap_or(Path::new(""));
        let (events, rejected) = (&sensed.events, &sensed.rejected);
        return collect::outcome(file, events.load(Ordering::Relaxed), rejected.load(Ordering::Relaxed));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the threads that sense tell the main thread.
#[derive(Default)]
struct Sensed {
    events: AtomicU64,
    rejected: AtomicU64,
    is_at_end: AtomicBool,
    /// What there is to say of the log that is followed.
    followed: Mutex<Sensing>,
}

impl Sensed {
    fn pushed(&self, events: u64, rejected: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
    }

    fn add(&self, progress: &Progress, collector: &Collector<'_>) {
        self.pushed(progress.events, progress.rejected);
        self.is_at_end.store(progress.at_end(), Ordering::Relaxed);
        *self.followed.lock().unwrap_or_else(PoisonError::into_inner) = Sensing::of(collector);
    }

    /// What there is to say of all of them.
    fn sensing(&self) -> Sensing {
        let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (events, refused) = (&self.events, &self.rejected);
        Sensing {
            events: events.load(Ordering::Relaxed),
            refused: refused.load(Ordering::Relaxed),
            ..followed
        }
    }
}
