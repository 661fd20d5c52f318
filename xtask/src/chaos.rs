//! `cargo xtask chaos`: Weir on a real broker under fire, and the proof that nothing came of it.
//!
//! Three processors, two enforcers and a collector run as real processes against a broker of the
//! run's own while a seeded schedule kills, freezes, fences and crowds them and restarts the broker.
//! Afterwards a reader that shares no code with Weir compares what is visible with what went in, and
//! Weir's own replay with a run that nobody disturbed.

mod crew;
mod deployment;
mod feed;
mod outside;
mod schedule;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::kafka::{self, Broker};
use crate::{debian, dirs};
use crew::Slot;
use deployment::Deployment;
use feed::Feed;
use schedule::{Fault, Schedule};
use verify::{Findings, covered, verify};

/// How often the processes are looked after.
const LOOK: Duration = Duration::from_millis(20);
/// How long everything runs before the first fault and after the last.
const CALM: Duration = Duration::from_secs(5);
/// How long the fleet may take after the last fault to judge and decide all there is.
const SETTLE: Duration = Duration::from_secs(300);
/// Most processes that run one stage at the same time, but for storms.
const STAGE_PROCESSES_MAX: usize = 4;

/// How long the fleet may take before the operator looks for transactions that hang. A lone broker that
/// was killed may forget to end one that it had decided to commit.
const HANGING_AFTER: Duration = Duration::from_secs(75);
/// Every so many faults, the visible progress is printed.
const PROGRESS_EVERY: usize = 20;
/// Enforcers, each with an output directory of its own.
const ENFORCERS: [&str; 2] = ["enforce-1", "enforce-2"];

#[derive(clap::Args)]
pub struct Args {
    /// How many processes are ended by SIGKILL before the run ends; other faults come on top
    #[arg(long, default_value_t = 30)]
    kills: u64,
    /// Seed of the faults; even seeds run KIP-848 groups, odd ones classic groups
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Events of the generated log; it ends early when the faults do
    #[arg(long, default_value_t = 400_000)]
    events: u64,
    /// Events that are fed a second
    #[arg(long, default_value_t = 150)]
    rate: u64,
    /// Mean time between faults, in milliseconds
    #[arg(long, default_value_t = 1_000)]
    pause_ms: u64,
    /// Every so many faults, the broker is restarted
    #[arg(long, default_value_t = 25)]
    broker_every: usize,
    /// Partitions of the shared topics
    #[arg(long, default_value_t = 6)]
    partitions: u32,
    /// A `weir` of another build, which every second process that starts is of: upgrades and downgrades under
    /// fire
    #[arg(long, value_name = "FILE")]
    older: Option<PathBuf>,
    /// No further fault after this many minutes
    #[arg(long, default_value_t = 90)]
    minutes_max: u64,
}

/// What happened, and what was found.
#[derive(Default, Serialize)]
struct Report {
    seed: u64,
    protocol: &'static str,
    faults: u64,
    kills: u64,
    freezes: u64,
    storms: u64,
    fences: u64,
    takeovers: u64,
    broker_restarts: u64,
    broker_kills: u64,
    /// Partitions in which the broker itself forgot to end a transaction, ended as an operator would.
    hanging_ended: u64,
    /// Processes that ended although nobody asked them to; each was started again.
    ended_by_themselves: u64,
    seconds_of_faults: f64,
    seconds_to_settle: f64,
    seconds: f64,
    #[serde(flatten)]
    findings: Findings,
}

/// Runs the faults and the verification; an error when anything was lost, doubled or different.
pub fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    debian::ensure_command("kcat", "kcat")?;
    debian::ensure_command("setpriv", "util-linux")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let home = dirs::target("chaos")?.join(format!("seed-{}-{now}", args.seed));
    let broker = kafka::apart(&home.join("kafka"))?;
    let outcome = under_fire(args, &home, &broker);
    let stopped = broker.stop();
    let mut report = outcome.with_context(|| format!("logs of the run are in {}", home.display()))?;
    stopped?;
    report.seconds = started.elapsed().as_secs_f64();
    let text = serde_json::to_string_pretty(&report)?;
    fs::write(home.join("report.json"), &text)?;
    println!("{text}");
    ensure!(report.findings.violations.is_empty(), "violations, to be looked into in {}", home.display());
    // Topics of a run that went well are of no more use, and large.
    fs::remove_dir_all(home.join("kafka"))?;
    // Two builds judge the same lines differently: then there is no undisturbed run to be held against.
    if args.older.is_none() {
        fs::remove_dir_all(home.join("undisturbed"))?;
    }
    Ok(())
}

fn under_fire(args: &Args, home: &Path, broker: &Broker) -> Result<Report> {
    let protocol = if args.seed.is_multiple_of(2) { "consumer" } else { "classic" };
    let weir = dirs::built("weir")?;
    let deployment = std::rc::Rc::new(Deployment::make(
        home,
        &weir,
        args.older.as_deref(),
        &broker.brokers,
        protocol,
        args.partitions,
    )?);
    let feed = Feed::start(&deployment.feed(), args.events, args.rate, args.seed)?;
    let mut fire = Fire {
        deployment: deployment.clone(),
        broker,
        slots: Vec::new(),
        extras: 0,
        report: Report { seed: args.seed, protocol, ..Report::default() },
    };
    fire.start()?;
    fire.let_run(CALM)?;
    ensure!(fire.report.ended_by_themselves == 0, "processes end before anything is done to them");
    fire.open(args, &feed)?;

    let settling = Instant::now();
    fire.restore()?;
    fire.let_run(CALM)?;
    let lines = feed.finish()?;
    println!("        {lines} lines were fed; waiting until all is judged and decided");
    let recorded = fire.settle(lines)?;
    fire.report.seconds_to_settle = settling.elapsed().as_secs_f64();
    fire.stop()?;
    let outputs = ENFORCERS.map(String::from);
    fire.report.findings = verify(&deployment, lines, &recorded, &outputs)?;
    Ok(std::mem::take(&mut fire.report))
}

/// The processor that holds warm what the others run.
const STANDING_BY: &str = "process-1";

/// What a slot's processes do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Process,
    Enforce,
    Collect,
    /// Came with a storm, and leaves.
    Extra,
}

/// The processes under fire.
struct Fire<'b> {
    deployment: std::rc::Rc<Deployment>,
    broker: &'b Broker,
    slots: Vec<(Role, Slot)>,
    extras: u64,
    report: Report,
}

impl Fire<'_> {
    fn start(&mut self) -> Result<()> {
        for number in 1..=3 {
            self.add(Role::Process, &format!("process-{number}"))?;
        }
        for name in ENFORCERS {
            self.add(Role::Enforce, name)?;
        }
        self.add(Role::Collect, "collect-1")
    }

    fn add(&mut self, role: Role, name: &str) -> Result<()> {
        let (deployment, own) = (self.deployment.clone(), name.to_owned());
        let make: crew::Make = match role {
            Role::Enforce => Box::new(move || deployment.enforce(&own)),
            Role::Collect => Box::new(move || deployment.collect()),
            Role::Process | Role::Extra => Box::new(move || deployment.process(own == STANDING_BY)),
        };
        let mut slot = Slot::new(name, &self.deployment.home, make);
        slot.start()?;
        self.slots.push((role, slot));
        Ok(())
    }

    /// Faults, until there were enough kills or the time is over.
    fn open(&mut self, args: &Args, feed: &Feed) -> Result<()> {
        let began = Instant::now();
        let deadline = began + Duration::from_secs(args.minutes_max * 60);
        let mut schedule = Schedule::new(args.seed, Duration::from_millis(args.pause_ms), args.broker_every);
        let mut has_said = false;
        while self.report.kills < args.kills && Instant::now() < deadline {
            let (wait, fault) = schedule.next();
            self.let_run(wait)?;
            self.report.faults += 1;
            let (at, number) = (began.elapsed().as_secs_f64(), self.report.faults);
            let who = self.commit(&fault)?;
            println!("{at:7.1} {number:5} {who}: {fault}");
            if (number as usize).is_multiple_of(PROGRESS_EVERY) {
                let Report { kills, ended_by_themselves, .. } = self.report;
                println!(
                    "        {kills} of {} kills, {} lines fed, {ended_by_themselves} ends by themselves",
                    args.kills,
                    feed.lines()
                );
            }
            if feed.is_used_up() && !has_said {
                println!("        the generated log is used up: give more --events, or a lower --rate");
                has_said = true;
            }
        }
        self.report.seconds_of_faults = began.elapsed().as_secs_f64();
        Ok(())
    }

    /// Commits a fault; whom it befell.
    fn commit(&mut self, fault: &Fault) -> Result<String> {
        match fault {
            Fault::Kill { pick, down } => {
                self.report.kills += 1;
                let slot = self.one(*pick, Slot::is_there)?;
                slot.kill(*down)?;
                Ok(slot.name.clone())
            }
            Fault::Freeze { pick, frozen } => {
                self.report.freezes += 1;
                let slot = self.one(*pick, Slot::is_awake)?;
                slot.freeze(*frozen)?;
                Ok(slot.name.clone())
            }
            Fault::Storm { members } => {
                self.report.storms += 1;
                for member in members {
                    self.extras += 1;
                    self.add(Role::Extra, &format!("extra-{}", self.extras))?;
                    if let Some((_, slot)) = self.slots.last_mut() {
                        slot.leave_after(member.stays, member.killed);
                    }
                }
                Ok("storm".into())
            }
            Fault::Fence { pick } => {
                self.report.fences += 1;
                let writer = self.writer(*pick);
                let control = self.deployment.topic("control");
                for id in self.producers(&writer)? {
                    outside::fence(&self.deployment.brokers, &id, &control)?;
                }
                Ok(writer)
            }
            Fault::TakeOver { frozen } => {
                self.report.takeovers += 1;
                self.extras += 1;
                let name = format!("collect-{}", self.extras + 1);
                for (role, slot) in &mut self.slots {
                    if *role == Role::Collect && slot.is_awake() {
                        slot.freeze(*frozen)?;
                        slot.may_end();
                    }
                }
                self.slots.retain(|(role, slot)| *role != Role::Collect || slot.is_there());
                self.add(Role::Collect, &name)?;
                Ok("collect".into())
            }
            Fault::Broker { killed } => {
                self.end_hanging()?;
                if *killed {
                    self.report.broker_kills += 1;
                    self.broker.kill()?;
                } else {
                    self.report.broker_restarts += 1;
                    self.broker.stop()?;
                }
                self.broker.start()?;
                Ok("broker".into())
            }
        }
    }

    /// What an operator has to do where a broker forgot to end transactions.
    fn end_hanging(&mut self) -> Result<()> {
        let ended = self.broker.end_hanging()?;
        if ended > 0 {
            println!(
                "        the broker forgot to end transactions in {ended} partitions; ended like the rest of them"
            );
            self.report.hanging_ended += ended as u64;
        }
        Ok(())
    }

    /// One of the processes that stay and for which `is_fit` holds. Waits until there is one.
    fn one(&mut self, pick: usize, is_fit: fn(&Slot) -> bool) -> Result<&mut Slot> {
        let fit = loop {
            let is_one = |(role, slot): &(Role, Slot)| *role != Role::Extra && is_fit(slot);
            let fit: Vec<usize> = (0..self.slots.len()).filter(|index| is_one(&self.slots[*index])).collect();
            if !fit.is_empty() {
                break fit;
            }
            self.let_run(LOOK)?;
        };
        Ok(&mut self.slots[fit[pick % fit.len()]].1)
    }

    /// Name of one of the writers: a stage's, or the collector's.
    fn writer(&self, pick: usize) -> String {
        let writer = match pick % 16 {
            0..6 => "account",
            6..9 => "cluster",
            9 => "campaign",
            10..14 => "enforcer",
            _ => "collector/chaos/feed",
        };
        writer.to_owned()
    }

    /// Transactional ids of a writer: the collector's own, or those of the processes that joined the stage
    /// last.
    fn producers(&self, writer: &str) -> Result<Vec<String>> {
        let id = self.deployment.writer(writer);
        let of_stage = self.deployment.writer(&format!("weir-{writer}-"));
        let mut known = self.broker.transactional_ids()?;
        known.retain(|known| *known == id || known.starts_with(&of_stage));
        // An id ends with the process, the time at which it joined, and a count.
        let joined = |id: &String| id.rsplit('-').nth(1).and_then(|time| time.parse::<u128>().ok());
        known.sort_by_key(|id| std::cmp::Reverse(joined(id)));
        known.truncate(STAGE_PROCESSES_MAX);
        Ok(known)
    }

    /// Lets time pass, looking after the processes.
    fn let_run(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            let mut left = Vec::new();
            for (index, (_, slot)) in self.slots.iter_mut().enumerate() {
                if !slot.tend()? {
                    left.push(index);
                }
                self.report.ended_by_themselves += slot.take_ends().len() as u64;
            }
            for index in left.into_iter().rev() {
                self.slots.remove(index);
            }
            if Instant::now() >= end {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Every process that stays is there and awake.
    fn restore(&mut self) -> Result<()> {
        self.slots
            .iter_mut()
            .filter(|(role, _)| *role != Role::Extra)
            .try_for_each(|(_, slot)| slot.restore())
    }

    /// What was judged so far, and whether that is all there is: a replay as recorded, or, where two builds
    /// recorded, which none of them gives alone, the statement of coverage.
    fn judged(&self, lines: u64) -> Result<(serde_json::Value, bool)> {
        if self.deployment.is_mixed() {
            let coverage = self.deployment.coverage()?;
            let is_all = covered(&coverage["statement"]) == lines;
            return Ok((coverage["statement"].clone(), is_all));
        }
        let recorded = self.deployment.replay("--as-recorded")?;
        let number = |name: &str| recorded[name].as_u64();
        let is_all = number("events") == Some(lines) && number("in_flight") == Some(0);
        Ok((recorded, is_all))
    }

    /// Waits until the fleet has judged and decided all there is by itself; what [`Self::judged`] says of it
    /// then.
    fn settle(&mut self, lines: u64) -> Result<serde_json::Value> {
        let deadline = Instant::now() + SETTLE;
        let (mut then, mut look_for_hanging) = (None, Instant::now() + HANGING_AFTER);
        loop {
            self.let_run(Duration::from_secs(1))?;
            if Instant::now() > look_for_hanging {
                look_for_hanging += HANGING_AFTER;
                self.end_hanging()?;
            }
            let (recorded, is_judged) = match self.judged(lines) {
                Ok(judged) => judged,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => continue,
            };
            let mut audit_records = 0;
            let audit = self.deployment.topic("audit");
            outside::read(&self.deployment.brokers, &audit, |_| {
                audit_records += 1;
                Ok(())
            })?;
            let written = ENFORCERS.map(|name| {
                let path = self.deployment.output(name).join("audit_log.jsonl");
                fs::read_to_string(path).map_or(0, |text| text.lines().count())
            });
            let is_told = written.iter().all(|lines| *lines == audit_records);
            let now = Some((recorded["verdicts"].clone(), audit_records));
            if is_judged && is_told && now == then {
                return Ok(recorded);
            }
            if Instant::now() > deadline {
                println!(
                    "        after {} s: {recorded}; {audit_records} audit records, {written:?} lines",
                    SETTLE.as_secs()
                );
                // What is missing, the verification says.
                return Ok(recorded);
            }
            then = now;
        }
    }

    fn stop(&mut self) -> Result<()> {
        let mut failed = Vec::new();
        for (_, slot) in &mut self.slots {
            if let Err(error) = slot.stop() {
                failed.push(format!("{error:#}"));
            }
        }
        self.slots.clear();
        if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("\n")) }
    }
}
