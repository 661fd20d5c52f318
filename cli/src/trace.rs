//! Traces processes: what their TLS library reads and writes becomes events.
//!
//! One thread attaches to the processes that are meant, also to those that start later, and takes what the
//! kernel side hands on; the kernel side wakes nobody: it is looked at. Another one commits, because a log
//! that is away holds it up.

mod handover;
mod tally;
mod thrift;

use crate::context::{Context, now_ms};
use crate::keys::{self, CollectorKeys};
use crate::listen::{Sensed, sensing_keys};
use crate::settings::{Settings, SpoolSync};
use crate::threads::{joined, named};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tally::Tally;
use thrift::Thrift;
use tracing::{info, warn};
use weir_collector::trace::Heard;
use weir_collector::{Spool, SpoolConfig, SyncPolicy, TraceConfig, TraceSource};
use weir_schemas::wire::Wire;
use weir_tap::privileges::{Account, give_up};
use weir_tap::process::{Process, Target};
use weir_tap::{Attached, Placement, Site, Tap, TapConfig, TapError};
use weir_topology::log::Log;

/// Name of the source where the settings give none.
const SOURCE: &str = "trace";

/// How long is waited when nothing was heard: as long as what is heard waits at most before it is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// How often processes are looked for that started or ended.
const SEARCH: Duration = Duration::from_millis(500);

/// Most records that are taken before anything else is looked at.
const RECORDS_MAX: usize = 4_096;

/// How long processes that go on talking, and a log that takes nothing, are waited for at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The kernel side, loaded by a process that has given up since what only loading takes.
pub struct Loaded {
    target: Target,
    tap: Tap,
}

impl Loaded {
    /// Loads the kernel side where the settings say what to trace, and gives up whatever tracing does not
    /// take from then on. It is to be called while the process has one thread: the others then have no more
    /// than that one. What the operator may have got wrong is told before anything is written.
    ///
    /// # Errors
    /// When this build or this machine cannot trace, there is no process of that number, or privileges cannot
    /// be given up.
    pub fn of(settings: &Settings) -> Result<Option<Self>> {
        let Some(text) = &settings.trace else { return Ok(None) };
        ensure!(weir_tap::is_built_in(), TapError::NotBuilt);
        let target = Target::of(text);
        if let Target::Tree(process) = target {
            ensure!(
                Process::of(process).is_some(),
                "there is no process {process}: --trace takes a number or a name"
            );
        }
        let account = settings.trace_user.as_deref().map(Account::of).transpose()?;
        let mut tap = Tap::open(TapConfig {
            copy_bytes_max: settings.tap_copy_bytes_max,
            ring_bytes: settings.tap_ring_bytes,
            hello_age_max_ms: settings.tap_hello_age_max_ms,
            measures_probes: settings.tap_measure_probes,
            entry_only: settings.tap_entry_only,
        })?;
        let kept = give_up(account.as_ref(), || tap.try_attaching())?;
        let (keeps, gave_up) = (kept.capabilities.join(", "), kept.given_up.join(", "));
        info!(keeps, gave_up, "privileges given up that tracing does not take");
        if kept.is_root {
            warn!(
                "the collector is root, to whom root's files belong: give it a user of its own with --trace-user NAME"
            );
        }
        Ok(Some(Self { target, tap }))
    }
}

/// What is to be traced, checked and not begun.
pub struct Tracer {
    target: Target,
    tap: Tap,
    config: TraceConfig,
    spool: Option<Spool>,
    linger: Duration,
    addresses_are_known: bool,
    /// Hellos are a proxy's, and are not taken.
    is_behind_proxy: bool,
}

impl Tracer {
    /// Traces by what is loaded.
    ///
    /// # Errors
    /// When the operating system has no random numbers, the registry of tenants has none for who names none,
    /// or the spool cannot be opened.
    pub fn of(loaded: Loaded, context: &Context) -> Result<Self> {
        let (Loaded { target, tap }, settings) = (loaded, &context.settings);
        let tenants = context.tenants()?.now();
        let tenant = tenants.unnamed().context(
            "what is traced names no tenant, and with tenants.dir that is nobody's: set `tenant`, or tenants.allow_anonymous",
        )?;
        let mut run = [0; 16];
        run.copy_from_slice(&keys::random()?[..16]);
        let config = TraceConfig {
            source: settings.source.clone().unwrap_or_else(|| SOURCE.into()),
            node: context.node(),
            tenant: tenant.to_owned(),
            keep_text: settings.collector_keep_text,
            batch_events: settings.collector_batch_lines,
            run,
        };
        let spool = open_spool(settings, &config)?;
        if spool.is_some() {
            context.metrics.spool_opened(settings.spool_bytes_max);
        }
        let linger = Duration::from_millis(settings.collector_linger_ms);
        let addresses_are_known = tap.knows_addresses();
        let is_behind_proxy = settings.trace_behind_proxy;
        Ok(Self { target, tap, config, spool, linger, addresses_are_known, is_behind_proxy })
    }

    /// Takes what the kernel side has ready, at most so much as is taken before anything else is looked at;
    /// and how many records that were.
    fn hear(&mut self, source: &mut TraceSource) -> usize {
        let is_behind_proxy = self.is_behind_proxy;
        self.tap.drain(RECORDS_MAX, &mut |heard| {
            if !(is_behind_proxy && matches!(heard, Heard::Hello(..))) {
                source.hear(heard);
            }
        })
    }

    /// Traces until it is told to stop; then what was heard to its end is committed.
    ///
    /// # Errors
    /// When the log cannot be used any more, or another process took the source over.
    pub fn run(
        mut self,
        context: &Context,
        keys: &CollectorKeys,
        log: &dyn Log,
        wire: Arc<Wire>,
        sensed: Sensed<'_>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<()> {
        if !self.addresses_are_known {
            warn!(
                "tracefs is not mounted, so neither the addresses nor the TLS fingerprints of clients are known: mount -t tracefs tracefs /sys/kernel/tracing"
            );
        }
        match self.tap.costs() {
            Ok(costs) => context.metrics.traps_measured(&costs),
            Err(error) => warn!(%error, "what probes cost the traced processes is not known"),
        }
        if let Some(reason) = self.tap.measures_not_because() {
            warn!(
                reason,
                "the kernel does not measure how long probes run, which takes CAP_SYS_ADMIN: sysctl kernel.bpf_stats_enabled=1 does it too"
            );
        }
        let (keys, telemetry) = (sensing_keys(keys)?, context.metrics.clone());
        let (spool, clock) = (self.spool.take(), Arc::new(now_ms));
        let (source, handover) = TraceSource::open(log, &self.config, spool, keys, wire, telemetry, clock)?;
        let source = source.watching(context.tripwires()?);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let handing_over =
                named(scope, "handover", || handover::run(handover, context, sensed, &is_over));
            let heard = self.listen(source, context, &|| is_stopped() || handing_over.is_finished());
            is_over.store(true, Ordering::Release);
            joined(handing_over.join(), "the handover of what was traced").and(heard)
        })
    }

    /// Listens until it is told to stop; then what was heard to its end is a batch.
    fn listen(
        &mut self,
        mut source: TraceSource,
        context: &Context,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<()> {
        let mut traced = Traced::of(Tally::new(context.metrics.clone()));
        let budget = context.settings.cpu_budget;
        let mut thrift = budget.map(|budget| Thrift::new(budget.ppm, context.metrics.clone()));
        let mut searched: Option<Instant> = None;
        let mut closed = Instant::now();
        let pulse = context.liveness.watch("the tracer");
        while !is_stopped() {
            pulse.beat();
            if searched.is_none_or(|at| at.elapsed() >= SEARCH) {
                traced.search(&self.target, &mut self.tap);
                self.tap.let_late_go();
                searched = Some(Instant::now());
            }
            let must_rest = thrift.as_mut().is_some_and(Thrift::must_rest);
            let heard = if must_rest { 0 } else { self.hear(&mut source) };
            if closed.elapsed() >= self.linger {
                traced.tally.tell(&self.tap, &mut source)?;
                if let Some(thrift) = &mut thrift {
                    thrift.look(traced.tally.probes_ns(), &mut source);
                }
                source.close_when_due();
                closed = Instant::now();
            }
            if heard == 0 {
                std::thread::sleep(LOOK);
            }
        }
        // Processes go on talking: those that say more than is taken must not be waited for.
        let until = Instant::now() + PATIENCE;
        while self.hear(&mut source) > 0 && Instant::now() < until {
            if closed.elapsed() >= self.linger {
                source.close_when_due();
                closed = Instant::now();
            }
        }
        traced.tally.tell(&self.tap, &mut source)?;
        source.end();
        source.close();
        Ok(())
    }
}

/// Opens the spool where the settings say that there is one.
fn open_spool(settings: &Settings, config: &TraceConfig) -> Result<Option<Spool>> {
    let Some(directory) = settings.spool_dir.clone() else {
        info!(
            "there is no spool: what traced processes say is lost when this process is killed before it is in the log, and over 64 MiB \
             while the log is away; give it a directory with --spool-dir"
        );
        return Ok(None);
    };
    let sync = match settings.spool_sync {
        SpoolSync::Never => SyncPolicy::Never,
        SpoolSync::Interval => SyncPolicy::Interval(Duration::from_millis(settings.spool_sync_interval_ms)),
        SpoolSync::Always => SyncPolicy::Always,
    };
    let (source_key, bytes_max, run) = (config.source_key(), settings.spool_bytes_max, config.run);
    let opened_ms = now_ms();
    let spool = Spool::open(&SpoolConfig { directory, source_key, bytes_max, sync, run, opened_ms })?;
    let waiting_bytes = spool.waiting_bytes();
    if waiting_bytes > 0 {
        info!(
            waiting_bytes,
            "events of an earlier process lie in the spool: those that the log lacks go there first"
        );
    }
    Ok(Some(spool))
}

/// A process that could not be traced when it was looked at last.
struct Refused {
    process: Process,
    /// When it is looked at again: it may have loaded its library by then, or be another program.
    next: Instant,
    is_told: bool,
}

/// The processes that are traced, and those that cannot be.
struct Traced {
    processes: BTreeMap<u32, Process>,
    tally: Tally,
    refused: BTreeMap<u32, Refused>,
    has_told_of_none: bool,
}

impl Traced {
    fn of(tally: Tally) -> Self {
        Self { processes: BTreeMap::new(), tally, refused: BTreeMap::new(), has_told_of_none: false }
    }

    /// Attaches to what started, and lets go of what ended.
    fn search(&mut self, target: &Target, tap: &mut Tap) {
        let now: BTreeMap<u32, Process> =
            target.processes().into_iter().map(|process| (process.id, process)).collect();
        let is_same =
            |process: &Process| now.get(&process.id).is_some_and(|other| other.started == process.started);
        self.refused.retain(|_, refused| is_same(&refused.process));
        self.processes.retain(|id, process| {
            if !is_same(process) {
                info!(process = id, name = process.name, "a traced process has ended");
                self.tally.end(*id, tap.detach(process));
                return false;
            }
            true
        });
        for (id, process) in now {
            let is_waiting = self.refused.get(&id).is_some_and(|refused| refused.next > Instant::now());
            if self.processes.contains_key(&id) || is_waiting {
                continue;
            }
            let outcome = match process.library() {
                Ok(library) => tap
                    .attach(&process, &library)
                    .map(|attached| (library, attached))
                    .map_err(|error| error.to_string()),
                Err(obstacle) => Err(format!("{}; {}", obstacle.reason, obstacle.remedy)),
            };
            match outcome {
                Ok((library, attached)) => {
                    let sites = tap.sites_of(id);
                    let placed = placed(&sites);
                    info!(process = id, name = process.name, library = library.name, placed, "tracing");
                    for (site, reason) in tap.refusals_of(id) {
                        warn!(
                            process = id,
                            function = site.function,
                            reason,
                            "the kernel refused a place for this probe that costs less than the function's entry"
                        );
                    }
                    if let Attached::WithoutClients { reason } = attached {
                        warn!(
                            process = id,
                            name = process.name,
                            reason,
                            "traced without the addresses and the TLS fingerprints of its clients; `weir doctor` says more"
                        );
                    }
                    self.refused.remove(&id);
                    self.tally.begin(id, &process.name);
                    self.processes.insert(id, process);
                }
                Err(reason) => self.refuse(process, &reason),
            }
        }
        if self.processes.is_empty() && !std::mem::replace(&mut self.has_told_of_none, true) {
            warn!("no process that is meant can be traced yet: waiting for one; `weir doctor` says why");
        }
    }

    /// Tells once of a process that cannot be traced, unless it has just begun.
    fn refuse(&mut self, process: Process, reason: &str) {
        let is_young = process.started + YOUNG_TICKS > now_ticks();
        let was_told = self.refused.get(&process.id).is_some_and(|refused| refused.is_told);
        if !is_young && !was_told {
            warn!(process = process.id, name = process.name, reason, "cannot be traced");
        }
        let next = Instant::now() + if is_young { SEARCH } else { AGAIN };
        self.refused.insert(process.id, Refused { process, next, is_told: !is_young || was_told });
    }
}

/// How many probes are where: `emulated 4, callee 2, entry 1`.
fn placed(sites: &[Site]) -> String {
    let count = |kind: &str| sites.iter().filter(|site| site.placement.as_str() == kind).count();
    let kinds = Placement::KINDS.map(|kind| (kind, count(kind))).into_iter().filter(|(_, count)| *count > 0);
    kinds.map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
}

/// How often a process is looked at that cannot be traced.
const AGAIN: Duration = Duration::from_secs(10);

/// How long a process has just begun, in clock ticks of a hundredth of a second.
const YOUNG_TICKS: u64 = 500;

/// The time since boot in those ticks.
fn now_ticks() -> u64 {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    (seconds * 100.0) as u64
}
