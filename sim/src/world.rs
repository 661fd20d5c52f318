//! A world: collectors, tasks, operators and intruders on one log, and who acts next.

use crate::bug::Bug;
use crate::disk::{Disk, SimFiles};
use crate::faults::Faults;
use crate::infected::infect;
use crate::log::{ProcessClock, Shared, SimLog, Store};
use crate::observe::{Observer, Reigns};
use crate::random::Random;
use crate::story::Story;
use crate::workload::{COLLECTED_MS, PSEUDONYM_KEY, START_MS, Workload};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use weir_collector::{
    Collector, CollectorConfig, CollectorError, Format, Keys, Mode, Pseudonymizer, Sealer, SourceState,
};
use weir_enforcer::export::{Executor, ExportError};
use weir_enforcer::open::public_of;
use weir_enforcer::{AuditKey, AuditKeys, EnforcerStage, Export, Opener};
use weir_processor::JudgeHook;
use weir_processor::account::AccountStage;
use weir_processor::campaign::CampaignStage;
use weir_processor::cluster::ClusterStage;
use weir_processor::policy::Policy;
use weir_schemas::pseudonym::PseudonymKey;
use weir_schemas::wire::Wire;
use weir_topology::error::TaskError;
use weir_topology::follow::Follower;
use weir_topology::log::{Commit, Log, LogError};
use weir_topology::record::Output;
use weir_topology::stage::Stage;
use weir_topology::stage::StageFactory;
use weir_topology::task::{Pace, Surroundings};
use weir_topology::telemetry::Silent;
use weir_topology::topic::{StageName, TaskId, Topic};
use weir_topology::worker::{Life, Turn};

/// Every topic that a broker may compact.
fn compacted() -> Vec<Topic> {
    Topic::ALL.iter().copied().filter(|topic| topic.is_compacted()).collect()
}

/// Rounds in which a world without faults must come to rest.
const ROUNDS_MAX: u32 = 3_000;

/// Longer than any effect lasts, in microseconds.
const EFFECTS_END_US: u64 = 2 * 3_600_000_000;

/// Longer than an account is watched after the last effect on it, in microseconds.
const WATCH_ENDS_US: u64 = 26 * 3_600_000_000;

/// How long a world waits, one time after the other. In the first time a task may learn that it was fenced,
/// and who takes it over from another judge may have more to say: what is done about that is over after the
/// second, and what is said of it after the third.
const WAITS_US: [u64; 3] = [EFFECTS_END_US, EFFECTS_END_US, WATCH_ENDS_US];

/// Rounds in which nothing happens before a world is at rest.
const QUIET_ROUNDS: u32 = 4;

/// Processes that may read access logs in one world, one after the other.
pub const COLLECTOR_PROCESSES: usize = 2_000;

/// How long after a workload's first event its world begins, in milliseconds.
const LATE_MS: [i64; 5] = [0, 0, 3_600_000, 20 * 3_600_000, 30 * 86_400_000];

/// Under which name the export answers.
pub const EXECUTOR: &str = "executor/files";

/// Opens what collectors seal.
const SEAL_SECRET: [u8; 32] = [4; 32];

/// The keys that sign audit chains.
pub fn audit_keys() -> AuditKeys {
    AuditKeys::new(AuditKey::new("sim-1", &[1; 32])).and(AuditKey::new(crate::workload::SECOND_KEY, &[2; 32]))
}

/// The judges of a world's builds, by the number of the build.
pub const BUILDS: usize = 2;

/// Makes every stage as build `build` has it. With `entries_max` accounts and values are forgotten when there
/// are more.
pub fn make_stage(
    wire: Arc<Wire>,
    policy: Arc<Policy>,
    entries_max: Option<usize>,
    build: usize,
) -> StageFactory {
    let hook = if build == 0 { JudgeHook::default() } else { JudgeHook::planted() };
    let entries_max = entries_max.unwrap_or(usize::MAX);
    Arc::new(move |task| -> Box<dyn Stage> {
        match task.stage {
            StageName::Cluster => {
                let stage = ClusterStage::new(wire.clone(), policy.clone());
                Box::new(stage.with_values_max(entries_max).judged_by(hook))
            }
            StageName::Campaign => {
                let stage = CampaignStage::new(wire.clone(), policy.clone());
                Box::new(stage.with_suspects_max(entries_max).judged_by(hook))
            }
            StageName::Enforcer => {
                let stage = EnforcerStage::new(audit_keys(), wire.clone());
                Box::new(if build == 0 { stage } else { stage.planted() })
            }
            _ => {
                let stage = AccountStage::new(wire.clone(), policy.clone());
                Box::new(stage.with_accounts_max(entries_max).judged_by(hook))
            }
        }
    })
}

/// What collectors hide ids with.
pub fn collector_keys() -> Keys {
    let sealer = Sealer::new(1, &public_of(&SEAL_SECRET), [5; 32]).expect("an X25519 key");
    Keys { pseudonymizer: Pseudonymizer::new(PSEUDONYM_KEY, 1), sealer }
}

/// How the collector of a source is set up.
pub fn collector_config(path: PathBuf, name: &str, batch_lines: usize, mode: Mode) -> CollectorConfig {
    CollectorConfig {
        source: name.to_owned(),
        format: Format::load("weir").unwrap_or_default(),
        batch_lines,
        mode,
        ..CollectorConfig::new(path, "node")
    }
}

struct Source<'l> {
    name: String,
    path: PathBuf,
    batch_lines: usize,
    mode: Mode,
    collector: Option<(usize, Collector<'l>)>,
    parked_us: u64,
    is_done: bool,
}

struct Runner {
    id: TaskId,
    process: usize,
    life: Life,
    parked_us: u64,
    /// Steps until a process that lost its task learns of it.
    steps_left: u64,
}

struct Owned {
    id: TaskId,
    runner: Option<Runner>,
    parked_us: u64,
    /// A process that holds the task's state, to run it next.
    standby: Option<(usize, Follower)>,
}

/// Everything that acts.
pub struct World<'l> {
    random: Random,
    faults: Faults,
    store: Shared,
    handles: &'l [SimLog],
    handles_used: usize,
    processes: usize,
    wire: Arc<Wire>,
    /// By the number of the build.
    make_stage: [StageFactory; BUILDS],
    /// Which build a process has, drawn from its number; none where there is one build, in this world.
    builds: Option<u64>,
    pace: Pace,
    sources: Vec<Source<'l>>,
    owned: Vec<Owned>,
    /// Whether tasks have standbys, in this world.
    has_standbys: bool,
    zombies: Vec<Runner>,
    old_collectors: Vec<(usize, Collector<'l>)>,
    export: Option<(usize, Export)>,
    disk: Disk,
    controls: Vec<Output>,
    poison: Vec<Output>,
    observer: Observer,
    is_calm: bool,
}

/// Whether the processes of a seed's world are of more than one build.
pub fn has_upgrades(seed: u64, bug: Option<Bug>) -> bool {
    // Apart from the other choices, so that seeds of before mean what they meant.
    bug == Some(Bug::BelieveUnsaid) || Random::new(seed, 7).chance(500)
}

/// A store for a world.
pub fn store(seed: u64, partitions: u32, faults: Faults, bug: Option<Bug>, is_told: bool) -> Shared {
    // Some worlds live while their traffic happens, some read what happened long ago.
    let began_ms = START_MS + *Random::new(seed, 7).pick(&LATE_MS);
    Shared::new(Store::new(partitions, began_ms, Random::new(seed, 2), faults, bug, Story::new(is_told)))
}

impl<'l> World<'l> {
    /// A world at its beginning. `handles` are the collectors' processes.
    pub fn new(
        seed: u64,
        workload: &Workload,
        wire: &Arc<Wire>,
        store: &Shared,
        handles: &'l [SimLog],
        directory: &Path,
    ) -> Self {
        let mut random = Random::new(seed, 3);
        let bug = store.lock().bug;
        let make_stage = |build| {
            let policy = Arc::new(workload.policy.clone());
            let (honest, shared) =
                (make_stage(wire.clone(), policy, workload.entries_max, build), store.clone());
            Arc::new(move |task| infect(honest(task), bug, &shared)) as StageFactory
        };
        let make_stage = std::array::from_fn(make_stage);
        let builds = has_upgrades(seed, bug).then_some(seed);
        let sources = workload.sources.iter().map(|source| Source {
            name: source.name.clone(),
            path: directory.join(&source.name),
            batch_lines: random.between(1, 12) as usize,
            mode: source.mode,
            collector: None,
            parked_us: 0,
            is_done: false,
        });
        let sources = sources.collect();
        let owned = StageName::FOLDING.iter().flat_map(|stage| {
            let id = |partition| TaskId { stage: *stage, partition };
            (0..stage.tasks(workload.partitions)).map(move |partition| Owned {
                id: id(partition),
                runner: None,
                parked_us: 0,
                standby: None,
            })
        });
        let has_standbys = bug == Some(Bug::StaleStandby) || Random::new(seed, 5).chance(500);
        // Apart from the other choices, so that seeds of before mean what they meant.
        let mut checkpoints = Random::new(seed, 6);
        let snapshot_ms = 10u64.pow(random.between(0, 4) as u32);
        let pace = Pace {
            epoch_interval: Duration::from_millis(*random.pick(&[0, 0, 5, 100])),
            epoch_records_max: *random.pick(&[1, 3, 10, 100]),
            snapshot_interval: Duration::from_millis(snapshot_ms),
            checkpoint_interval: Duration::from_millis(snapshot_ms * checkpoints.between(0, 20)),
            checkpoint_entries_max: *checkpoints.pick(&[1, 2, 5, 100]),
            hint_interval: Duration::from_millis(snapshot_ms * random.between(1, 5)),
        };
        let reversed = |outputs: &[Output]| outputs.iter().rev().cloned().collect::<Vec<_>>();
        let (controls, poison) = (reversed(&workload.controls), reversed(&workload.poison));
        let faults = store.lock().faults.clone();
        Self {
            random,
            faults,
            store: store.clone(),
            handles,
            handles_used: 0,
            processes: 0,
            wire: wire.clone(),
            make_stage,
            builds,
            pace,
            sources,
            owned: owned.collect(),
            has_standbys,
            zombies: Vec::new(),
            old_collectors: Vec::new(),
            export: None,
            disk: Disk::default(),
            controls,
            poison,
            observer: Observer::new(wire.clone(), workload.partitions),
            is_calm: false,
        }
    }

    /// Runs with faults for a while, then without until nothing moves any more. The error says what
    /// does not hold.
    pub fn run(&mut self) -> Result<(), String> {
        for _ in 0..self.random.between(100, 700) {
            self.mischief();
            let count = self.actors();
            let actor = self.random.below(count as u64) as usize;
            self.step(actor)?;
            self.observe()?;
        }
        self.calm_down();
        let (mut quiet, mut waits) = (0, WAITS_US.into_iter());
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            for actor in 0..self.actors() {
                moved |= self.step(actor)?;
                self.observe()?;
            }
            let mut store = self.store.lock();
            store.pass(100_000);
            quiet = if moved || !store.is_settled() { 0 } else { quiet + 1 };
            drop(store);
            if quiet >= QUIET_ROUNDS {
                // Whatever was done for a time is over then.
                let Some(wait_us) = waits.next() else { return self.close() };
                self.store.lock().pass(wait_us);
                quiet = 0;
            }
        }
        Err(format!("the world does not come to rest in {ROUNDS_MAX} rounds"))
    }

    /// What each judge took over, task by task.
    pub fn reigns(&self) -> &Reigns {
        self.observer.reigns()
    }

    fn actors(&self) -> usize {
        self.sources.len()
            + self.owned.len()
            + self.zombies.len()
            + self.old_collectors.len()
            + self.standbys()
            + 3
    }

    fn standbys(&self) -> usize {
        if self.has_standbys { self.owned.len() } else { 0 }
    }

    /// One step of an actor; true if it did something.
    fn step(&mut self, actor: usize) -> Result<bool, String> {
        let slow = self.random.chance(self.faults.slow);
        let by_us = if slow { self.random.below(3_000_000) } else { self.random.below(3_000) };
        self.store.lock().pass(by_us);
        let mut actor = actor;
        if actor < self.sources.len() {
            return self.step_source(actor);
        }
        actor -= self.sources.len();
        if actor < self.owned.len() {
            return self.step_owned(actor);
        }
        actor -= self.owned.len();
        if actor < self.zombies.len() {
            return self.step_zombie(actor);
        }
        actor -= self.zombies.len();
        if actor < self.old_collectors.len() {
            return self.step_old_collector(actor);
        }
        actor -= self.old_collectors.len();
        if actor < self.standbys() {
            return self.step_standby(actor);
        }
        actor -= self.standbys();
        match actor {
            0 => self.step_export(),
            1 => self.publish("operator", |world| world.controls.pop()),
            _ => self.publish("intruder", |world| world.poison.pop()),
        }
    }

    /// Looks at what was committed, and at what the product did that it must not do.
    fn observe(&mut self) -> Result<(), String> {
        let mut store = self.store.lock();
        for index in store.take_committed() {
            self.observer.committed(store.transaction(index))?;
        }
        match store.flaws.first() {
            Some(flaw) => Err(flaw.clone()),
            None => Ok(()),
        }
    }

    fn acts(&self, name: impl std::fmt::Display, process: usize) {
        self.store.lock().actor = format!("{name}@{process}");
    }

    fn new_process(&mut self) -> usize {
        self.processes += 1;
        self.processes
    }

    /// Somebody from outside writes one record, and does not ask what became of it.
    fn publish(&mut self, who: &str, next: impl FnOnce(&mut Self) -> Option<Output>) -> Result<bool, String> {
        if !self.is_calm && !self.random.chance(150) {
            return Ok(false);
        }
        let Some(output) = next(self) else { return Ok(false) };
        let process = self.new_process();
        self.acts(who, process);
        let log = SimLog::new(&self.store, process);
        let told = format!("{} key {}", output.topic, String::from_utf8_lossy(&output.key));
        self.store.lock().tell("publish", || told);
        let commit = Commit { outputs: vec![output], positions: Vec::new() };
        let _ = log.writer(who).and_then(|mut writer| writer.commit(&commit));
        Ok(true)
    }

    fn step_source(&mut self, index: usize) -> Result<bool, String> {
        let now_us = self.store.lock().now_us;
        if self.sources[index].parked_us > now_us {
            return Ok(true);
        }
        if self.sources[index].collector.is_none() {
            return self.open_source(index);
        }
        let source = &mut self.sources[index];
        let Some((process, collector)) = &mut source.collector else { return Ok(false) };
        let process = *process;
        self.store.lock().actor = format!("source/{index}@{process}");
        let outcome = collector.run_once(Duration::ZERO);
        if self.store.lock().is_dead(process) {
            self.sources[index].collector = None;
            return Ok(true);
        }
        match outcome {
            Ok(progress) => {
                let is_done = progress.at_end();
                let moved =
                    progress.lines > 0 || progress.state != SourceState::AtEnd || is_done != source.is_done;
                source.is_done = is_done;
                if progress.state == SourceState::Held {
                    source.parked_us = now_us + 50_000;
                }
                if progress.lines > 0 {
                    self.store.lock().tell("lines", || format!("{} lines are published", progress.lines));
                }
                Ok(moved)
            }
            Err(error) => {
                source.collector = None;
                self.collector_failed(&error)
            }
        }
    }

    fn open_source(&mut self, index: usize) -> Result<bool, String> {
        let handles = self.handles;
        let Some(handle) = handles.get(self.handles_used) else {
            return Err("more collectors died than the world has processes".into());
        };
        self.handles_used += 1;
        let source = &self.sources[index];
        self.acts(format_args!("source/{index}"), handle.process());
        let config = collector_config(source.path.clone(), &source.name, source.batch_lines, source.mode);
        let name = format!("collector/{}", config.source_key());
        self.store.lock().assign(&name, handle.process());
        let clock = Arc::new(|| COLLECTED_MS);
        let opened =
            Collector::open(handle, config, collector_keys(), self.wire.clone(), Arc::new(Silent), clock);
        match opened {
            Ok(collector) => {
                let collector = collector.paced_by(Arc::new(self.store.clone()));
                let source = &mut self.sources[index];
                source.is_done = false;
                source.collector = Some((handle.process(), collector));
                Ok(true)
            }
            Err(error) => self.collector_failed(&error),
        }
    }

    /// A collector that ends is started again, unless nothing that can happen explains its end.
    fn collector_failed(&self, error: &CollectorError) -> Result<bool, String> {
        self.store.lock().tell("ended", || error.to_string());
        match error {
            CollectorError::Fenced { .. }
            | CollectorError::Log(LogError::Unavailable { .. } | LogError::Fenced { .. }) => Ok(true),
            other => Err(format!("a collector failed: {other}")),
        }
    }

    fn step_old_collector(&mut self, index: usize) -> Result<bool, String> {
        let (process, collector) = &mut self.old_collectors[index];
        let process = *process;
        self.store.lock().actor = format!("source/old@{process}");
        let outcome = collector.run_once(Duration::ZERO);
        let is_over = match &outcome {
            Ok(progress) => progress.at_end() || (self.is_calm && self.random.chance(200)),
            Err(error) => self.collector_failed(error)?,
        };
        if is_over || self.store.lock().is_dead(process) {
            self.old_collectors.remove(index);
        }
        Ok(true)
    }

    /// The disk that the enforcer's files are on.
    pub fn disk(&self) -> Disk {
        self.disk.clone()
    }

    /// The export writes what the enforcer decided into files.
    fn step_export(&mut self) -> Result<bool, String> {
        let Some((process, export)) = &mut self.export else { return self.open_export() };
        let process = *process;
        self.store.lock().actor = format!("export@{process}");
        let outcome = export.run_once(Duration::ZERO);
        if self.store.lock().is_dead(process) {
            self.export_died();
            return Ok(true);
        }
        match outcome {
            Ok(progress) if progress.unreadable + progress.unopened > 0 => {
                Err(format!("the export could not use everything: {progress:?}"))
            }
            Ok(progress) => {
                if progress.lines > 0 {
                    self.store.lock().tell("files", || format!("{} lines", progress.lines));
                }
                Ok(!progress.caught_up)
            }
            Err(ExportError::Log(LogError::Unavailable { .. })) => Ok(true),
            Err(error) => Err(format!("the export failed: {error}")),
        }
    }

    fn open_export(&mut self) -> Result<bool, String> {
        let process = self.new_process();
        self.acts("export", process);
        let log = Arc::new(SimLog::new(&self.store, process));
        let files = Box::new(SimFiles::new(&self.store, process, &self.disk));
        let partitions = 0..self.store.lock().partitions(Topic::Actions);
        let pseudonyms = PseudonymKey::new(&PSEUDONYM_KEY, 1);
        let opener = Opener::new().with_key(1, &SEAL_SECRET).with_pseudonyms(pseudonyms);
        let clock = Arc::new(ProcessClock::new(&self.store, process));
        let executor = Executor { name: EXECUTOR.into(), clock };
        let wire = self.wire.clone();
        let opened =
            Export::open_with(files, log, partitions, Some(opener), executor, wire, Arc::new(Silent));
        let is_dead = self.store.lock().is_dead(process);
        match opened {
            Ok(export) => self.export = Some((process, export)),
            Err(_) if is_dead => self.export_died(),
            // No room, or no answer: a supervisor starts it again.
            Err(ExportError::Log(LogError::Unavailable { .. }) | ExportError::Directory { .. }) => {}
            Err(error) => return Err(format!("the export cannot be opened: {error}")),
        }
        Ok(true)
    }

    fn export_died(&mut self) {
        self.export = None;
        if self.random.chance(500) {
            self.disk.cut_power(self.random.below(1_001));
            self.store.lock().tell("POWERCUT", || "what was not synced may be gone".into());
        }
    }

    /// Up and down: the builds of two processes have nothing to do with each other.
    fn build_of(&self, process: usize) -> usize {
        self.builds.map_or(0, |seed| Random::new(seed, 1_000 + process as u64).below(BUILDS as u64) as usize)
    }

    fn around(&self, process: usize) -> Surroundings {
        Surroundings {
            log: Arc::new(SimLog::new(&self.store, process)),
            wire: self.wire.clone(),
            schemas: None,
            telemetry: Arc::new(Silent),
            process: format!("process-{process}"),
            pace: self.pace.clone(),
            clock: Arc::new(ProcessClock::new(&self.store, process)),
            before_commit: None,
        }
    }

    /// Gives a task to another process: to its standby, where it has one.
    fn new_runner(&mut self, index: usize) -> Runner {
        let id = self.owned[index].id;
        let standby = self.owned[index].standby.take();
        let process = standby.as_ref().map_or_else(|| self.new_process(), |(process, _)| *process);
        self.store.lock().assign(&id.to_string(), process);
        let make_stage = self.make_stage[self.build_of(process)].clone();
        let life = Life::new(id, self.around(process), make_stage, Arc::default());
        let life = match standby {
            Some((_, follower)) => self.take_over(life, id, process, follower),
            None => life,
        };
        Runner { id, process, life, parked_us: 0, steps_left: 0 }
    }

    fn take_over(&self, life: Life, id: TaskId, process: usize, follower: Follower) -> Life {
        let (store, next) = (self.store.clone(), follower.next());
        life.after(Box::new(move || {
            let mut store = store.lock();
            store.tell("takeover", || format!("with the state up to offset {next}"));
            if store.bug == Some(Bug::StaleStandby) {
                store.stale_end.insert((process, id.stage.state_topic(), id.partition), next);
            }
            Some(follower)
        }))
    }

    /// A standby reads a little. One that cannot go on is begun anew, in another process.
    fn step_standby(&mut self, index: usize) -> Result<bool, String> {
        let id = self.owned[index].id;
        let (process, mut follower) = match self.owned[index].standby.take() {
            Some(standby) => standby,
            None => {
                let process = self.new_process();
                (process, Follower::new(id, (self.make_stage[self.build_of(process)])(id)))
            }
        };
        self.acts(format_args!("standby/{id}"), process);
        let log = SimLog::new(&self.store, process);
        let outcome = follower.follow(&log, &self.wire);
        if self.store.lock().is_dead(process) {
            return Ok(true);
        }
        match outcome {
            Ok(moved) => {
                self.owned[index].standby = Some((process, follower));
                Ok(moved)
            }
            Err(TaskError::Log { source: LogError::Unavailable { .. }, .. }) => Ok(true),
            Err(error) => Err(format!("a standby of {id} failed: {error}")),
        }
    }

    fn step_owned(&mut self, index: usize) -> Result<bool, String> {
        let now_us = self.store.lock().now_us;
        if self.owned[index].parked_us > now_us {
            return Ok(true);
        }
        let mut runner = match self.owned[index].runner.take() {
            Some(runner) => runner,
            None => self.new_runner(index),
        };
        let (next, worked) = self.turn(&mut runner)?;
        match next {
            Next::GoesOn => self.owned[index].runner = Some(runner),
            Next::Parks(pause_us) => {
                runner.parked_us = 0;
                self.owned[index].parked_us = now_us + pause_us;
                self.owned[index].runner = Some(runner);
            }
            // Dead, or fenced by one that did not know: the group gives the task to somebody.
            Next::IsOver => {
                let pause_us = if self.is_calm { 0 } else { self.random.below(2_000_000) };
                self.owned[index].parked_us = now_us + pause_us;
            }
        }
        Ok(worked)
    }

    fn step_zombie(&mut self, index: usize) -> Result<bool, String> {
        let now_us = self.store.lock().now_us;
        if self.zombies[index].parked_us > now_us {
            return Ok(true);
        }
        let mut runner = self.zombies.remove(index);
        if runner.steps_left == 0 {
            self.acts(runner.id, runner.process);
            let mut store = self.store.lock();
            store.set_unaware(runner.process, false);
            store.tell("learns", || format!("{} is not its any more", runner.id));
            return Ok(true);
        }
        runner.steps_left -= 1;
        let (next, _) = self.turn(&mut runner)?;
        match next {
            Next::GoesOn => self.zombies.push(runner),
            Next::Parks(pause_us) => {
                runner.parked_us = now_us + pause_us;
                self.zombies.push(runner);
            }
            Next::IsOver => {}
        }
        Ok(true)
    }

    fn turn(&mut self, runner: &mut Runner) -> Result<(Next, bool), String> {
        self.acts(runner.id, runner.process);
        let waits = self.random.chance(100);
        let wait = if waits { Duration::from_micros(self.random.below(200_000)) } else { Duration::ZERO };
        let outcome = runner.life.turn(wait);
        let mut store = self.store.lock();
        if store.is_dead(runner.process) {
            return Ok((Next::IsOver, true));
        }
        match outcome {
            Ok(Turn::Worked) => Ok((Next::GoesOn, true)),
            Ok(Turn::Idle) => Ok((Next::GoesOn, false)),
            Ok(Turn::Pause(pause)) => {
                store.tell("reopens", || format!("after {} ms", pause.as_millis()));
                Ok((Next::Parks(pause.as_micros() as u64), true))
            }
            Ok(Turn::Ended) => {
                store.tell("ended", || "it was fenced".into());
                Ok((Next::IsOver, true))
            }
            Err(error) => Err(format!("{} failed: {error}", runner.id)),
        }
    }

    /// What befalls the world between two steps.
    fn mischief(&mut self) {
        if self.random.chance(self.faults.crash) {
            self.crash_one();
        }
        if self.random.chance(self.faults.rebalance) {
            self.rebalance_one();
        }
        if self.random.chance(self.faults.drain) {
            self.drain_one();
        }
        if self.random.chance(self.faults.full) {
            let until_us = self.store.lock().now_us + self.random.between(1_000, 3_000_000);
            self.acts("world", 0);
            let mut store = self.store.lock();
            store.full_until_us = until_us;
            store.tell("DISKFULL", || format!("until {:.3}", until_us as f64 / 1e6));
        }
        if self.random.chance(self.faults.compact) {
            let topic = *self.random.pick(&compacted());
            let partition = self.random.below(u64::from(self.store.lock().partitions(topic))) as u32;
            self.acts("world", 0);
            self.store.lock().compact(topic, partition);
        }
    }

    fn crash_one(&mut self) {
        let index = self.random.below((self.sources.len() + self.owned.len() + 1) as u64) as usize;
        if index == self.sources.len() + self.owned.len() {
            let Some((process, _)) = self.export.take() else { return };
            self.acts("export", process);
            self.store.lock().kill(process, "KILL");
            return self.export_died();
        }
        if let Some(source) = self.sources.get_mut(index) {
            let Some((process, _)) = source.collector.take() else { return };
            self.acts(format_args!("source/{index}"), process);
            self.store.lock().kill(process, "KILL");
            return;
        }
        let owned = &mut self.owned[index - self.sources.len()];
        let Some(runner) = owned.runner.take() else { return };
        owned.parked_us = self.store.lock().now_us + self.random.below(2_000_000);
        self.acts(runner.id, runner.process);
        self.store.lock().kill(runner.process, "KILL");
    }

    /// Gives a task, or a source, to another process, while the one that had it sleeps.
    fn rebalance_one(&mut self) {
        let index = self.random.below((self.sources.len() + self.owned.len()) as u64) as usize;
        let unaware = self.random.chance(500);
        if let Some(source) = self.sources.get_mut(index) {
            let Some((process, collector)) = source.collector.take() else { return };
            self.acts(format_args!("source/{index}"), process);
            let mut store = self.store.lock();
            store.tell("ZOMBIE", || "another process reads this source now".into());
            store.set_unaware(process, unaware);
            self.old_collectors.push((process, collector));
            return;
        }
        let at = index - self.sources.len();
        let Some(mut old) = self.owned[at].runner.take() else { return };
        let id = old.id;
        self.owned[at].runner = Some(self.new_runner(at));
        self.owned[at].parked_us = 0;
        old.parked_us = self.store.lock().now_us + self.random.below(3_000_000);
        old.steps_left = self.random.between(1, 12);
        self.acts(id, old.process);
        let mut store = self.store.lock();
        store.set_unaware(old.process, unaware);
        store.tell("ZOMBIE", || {
            format!("sleeps until {:.3}, its task is another's", old.parked_us as f64 / 1e6)
        });
        self.zombies.push(old);
    }

    /// Drains a task; the next step gives it to another process.
    fn drain_one(&mut self) {
        let index = self.random.below(self.owned.len() as u64) as usize;
        let Some(runner) = self.owned[index].runner.take() else { return };
        self.acts(runner.id, runner.process);
        self.store.lock().tell("drains", String::new);
        if let Err(error) = runner.life.stop() {
            self.store.lock().flaws.push(format!("{} failed as it was drained: {error}", runner.id));
        }
    }

    /// Ends the faults: what sleeps wakes up, what is full has room.
    fn calm_down(&mut self) {
        self.acts("world", 0);
        self.faults = self.faults.calm();
        self.is_calm = true;
        let mut store = self.store.lock();
        store.tell("calm", || "no more faults from here on".into());
        store.faults = self.faults.clone();
        store.full_until_us = 0;
    }

    /// Closes every task, and restores it once more: it must stand where it ended.
    fn close(&mut self) -> Result<(), String> {
        for owned in &mut self.owned {
            let Some(runner) = owned.runner.take() else { continue };
            self.store.lock().actor = format!("{}@{}", runner.id, runner.process);
            runner.life.stop().map_err(|error| format!("{} failed as it was closed: {error}", owned.id))?;
        }
        self.observe()?;
        self.store.lock().pass(20_000_000);
        // As eagerly as a broker may: what is checked from here on must not need what is gone.
        self.acts("world", 0);
        for topic in compacted() {
            let mut store = self.store.lock();
            for partition in 0..store.partitions(topic) {
                store.compact(topic, partition);
                store.forget_tombstones(topic, partition);
            }
        }
        let wire = self.wire.clone();
        for index in 0..self.owned.len() {
            let (id, process) = (self.owned[index].id, self.new_process());
            let make_stage = &self.make_stage[self.build_of(process)];
            let (mut stage, log) = (make_stage(id), SimLog::new(&self.store, process));
            let restored = weir_topology::restore::restore(id, stage.as_mut(), &log, &wire)
                .map_err(|error| format!("{id} cannot be restored: {error}"))?;
            if restored.cursor.positions != self.observer.ends(id) {
                return Err(format!("{id} comes back at other positions than it committed"));
            }
        }
        Ok(())
    }
}

enum Next {
    GoesOn,
    Parks(u64),
    IsOver,
}
