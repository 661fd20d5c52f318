//! From `weir policy apply` and `weir policy rollback` to where all of three processors of one group say that
//! what it put in force is, over and over, while events come.
//!
//! A cycle is an apply of a policy that there was not before, and the way back to the first one. A time
//! begins when the command is started and ends when a consumer of what is committed has, of every task, an
//! epoch that names the policy: from then on nothing is judged by another. At the end every verdict is held
//! against the record of its epoch, and every epoch of the account stage against the last policy among the
//! words that it had read by then.

use super::kafka::{BareReader, Deployment};
use super::meter::{Meter, Taken, Times, Who, told};
use super::tail::{collect, generated};
use crate::shell::{Owned, mortal, succeed};
use crate::{dirs, kafka};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use weir_processor::POLICY_NAME;
use weir_processor::policy::Policy;
use weir_schemas::wire::Wire;
use weir_schemas::{Control, Digest, Epoch, Verdict};
use weir_topology::history::read_range;
use weir_topology::log::{Commit, Log};
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::topic::{StageName, Topic};

/// Cycles, unless told otherwise.
const CYCLES: u64 = 1_000;

const PROCESSORS: usize = 3;

/// Two for each processor.
const PARTITIONS: u32 = 6;

/// Events that come in a second.
const RATE: usize = 200;

/// How often those that are due are written.
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// Different events. When all have come, they come again.
const EVENTS: u64 = 100_000;

/// Longest wait for a policy to be in force, and for the processors to have all partitions among them.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing more is read of a topic when nothing came for so long.
const REST: Duration = Duration::from_secs(3);

pub fn run(cycles: Option<u64>) -> Result<()> {
    let cycles = cycles.unwrap_or(CYCLES);
    let load_before = load()?;
    let broker = kafka::up()?;
    let deployment = Deployment::new(&broker.brokers, "policy", PARTITIONS)?;
    let events = events()?;
    let author = Author::new(&deployment)?;
    author.apply(&author.first, 1)?;

    let mut crew = Vec::new();
    for _ in 0..PROCESSORS {
        crew.push(processor(&author)?);
    }
    let pids: BTreeSet<u32> = crew.iter().map(|processor| processor.0.id()).collect();
    let meters = pids.iter().map(|pid| Meter::start(Who::Process(*pid))).collect::<Result<Vec<_>>>()?;
    let stop = AtomicBool::new(false);
    let (seen, written) = std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        let reader = deployment.reader(Topic::Epochs)?;
        let follower = scope.spawn(|| follow(reader, sender, &stop));
        let traffic = scope.spawn(|| write(&deployment, &events, &stop));
        let seen = measure(&author, Watch { receiver, last: HashMap::new(), pids }, cycles);
        stop.store(true, Ordering::Relaxed);
        let written = traffic.join().map_err(|_| anyhow::anyhow!("the writer of events panicked"))?;
        follower.join().map_err(|_| anyhow::anyhow!("the reader of epochs panicked"))??;
        anyhow::Ok((seen?, written?))
    })?;
    let taken = meters.iter().try_fold(Taken { cpu_s: 0.0, wall_s: 0.0 }, |sum, meter| {
        let taken = meter.stop()?;
        anyhow::Ok(Taken { cpu_s: sum.cpu_s + taken.cpu_s, wall_s: taken.wall_s })
    })?;
    // So that nothing of them is left open in the log.
    crew.into_iter().try_for_each(|processor| processor.terminate("weir process"))?;

    let checked = check(&deployment, &author)?;
    let all: Vec<f64> = seen.applied_ms.iter().chain(&seen.rolled_back_ms).copied().collect();
    let more = json!({
        "cycles": cycles,
        "processors": PROCESSORS,
        "partitions": PARTITIONS,
        "rate_per_s": RATE,
        "load_1m_before": load_before,
        "load_1m_after": load()?,
        "in_force": Times::of(all).told(),
        "in_force_of_apply": Times::of(seen.applied_ms).told(),
        "in_force_of_rollback": Times::of(seen.rolled_back_ms).told(),
        "of_which_the_command": Times::of(seen.command_ms).told(),
        "goal_p99_ms_max": 5_000,
        "words": checked.words,
        "words_with_verdicts": checked.words_with_verdicts,
        "epochs": checked.epochs,
        "verdicts": checked.verdicts,
        "verdicts_by_another_policy": checked.wrong,
    });
    println!("{}", told("policy_cycles", written, taken, more));
    ensure!(checked.wrong == 0, "{} verdicts are by another policy than the one in force", checked.wrong);
    Ok(())
}

/// How many wanted a processor, in the mean of the last minute.
fn load() -> Result<f64> {
    let path = "/proc/loadavg";
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let first = text.split(' ').next().and_then(|text| text.parse().ok());
    first.with_context(|| format!("{path} is not as expected"))
}

/// Events as a collector makes them, in order.
fn events() -> Result<Vec<Output>> {
    let log = MemoryLog::new(1);
    collect(&generated(EVENTS)?, log.as_ref())?;
    Ok(log.all(Topic::Events).into_iter().map(|event| Output { partition: None, ..event }).collect())
}

/// Writes so many events a second until it is told to stop, and gives their number.
fn write(deployment: &Deployment, events: &[Output], stop: &AtomicBool) -> Result<u64> {
    let log = deployment.log()?;
    let mut writer = log.writer("traffic")?;
    let mut events = events.iter().cycle();
    let (started, mut written) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let due = (started.elapsed().as_secs_f64() * RATE as f64) as usize;
        let outputs: Vec<Output> = events.by_ref().take(due - written).cloned().collect();
        if !outputs.is_empty() {
            writer.commit(&Commit { outputs, positions: Vec::new() })?;
        }
        written = due;
        std::thread::sleep(WRITE_EVERY);
    }
    Ok(written as u64)
}

/// Whoever puts policies in force: two persons' keys, the store that trusts them, and the first policy.
struct Author<'d> {
    deployment: &'d Deployment,
    place: tempfile::TempDir,
    first: Policy,
}

impl<'d> Author<'d> {
    fn new(deployment: &'d Deployment) -> Result<Self> {
        let place = tempfile::tempdir()?;
        let this = Self { deployment, place, first: policy("first")? };
        std::fs::create_dir(this.store())?;
        for key in this.keys() {
            let mut make = Command::new(dirs::built("weir")?);
            make.args(["keys", "person"]).arg(&key).stdout(Stdio::null());
            succeed(make, "weir keys person")?;
            let public = key.with_extension("pub");
            std::fs::copy(&public, this.store().join(public.file_name().context("a key has a name")?))?;
        }
        Ok(this)
    }

    fn store(&self) -> PathBuf {
        self.place.path().join("trust")
    }

    fn keys(&self) -> [PathBuf; 2] {
        ["alice.key", "bob.key"].map(|name| self.place.path().join(name))
    }

    fn signed(&self, command: &mut Command, counter: u64) {
        self.keys().iter().for_each(|key| _ = command.arg("--key").arg(key));
        command.args(["--enforces", "--counter", &counter.to_string()]).stdout(Stdio::null());
    }

    /// Signs a policy, and puts it in force. When that command began, and what it took.
    fn apply(&self, policy: &Policy, counter: u64) -> Result<(Instant, Duration)> {
        let at = |name: &str| self.place.path().join(name);
        std::fs::write(at("policy.toml"), &policy.text)?;
        let mut sign = Command::new(dirs::built("weir")?);
        sign.args(["policy", "sign"]).arg(at("policy.toml")).arg("--out").arg(at("policy.bundle"));
        self.signed(&mut sign, counter);
        succeed(sign, "weir policy sign")?;
        let mut apply = self.weir(&["policy", "apply"])?;
        apply.arg(at("policy.bundle"));
        said(apply)
    }

    /// Puts the policy before in force again.
    fn roll_back(&self, counter: u64) -> Result<(Instant, Duration)> {
        let mut roll_back = self.weir(&["policy", "rollback"])?;
        self.signed(&mut roll_back, counter);
        said(roll_back)
    }

    fn weir(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.deployment.weir(arguments)?;
        command.arg("--policy-trust").arg(self.store()).stdout(Stdio::null());
        Ok(command)
    }
}

/// Runs a command to its end. When it began, and what it took.
fn said(command: Command) -> Result<(Instant, Duration)> {
    let began = Instant::now();
    succeed(command, "weir policy")?;
    Ok((began, began.elapsed()))
}

/// The built-in policy under this name, by which everybody is suspected and spoken of with each event.
fn policy(version: &str) -> Result<Policy> {
    let lines = Policy::builtin_text().lines().map(|line| match line.split_once(" = ") {
        Some(("version", _)) => format!("version = \"{version}\"\n"),
        Some(("prior_nats", _)) => "prior_nats = 1.0\n".to_owned(),
        Some(("alone_nats", _)) => "alone_nats = 0.0\n".to_owned(),
        Some((name @ ("medium_s" | "high_s" | "critical_s"), _)) => format!("{name} = 0\n"),
        _ => format!("{line}\n"),
    });
    Ok(Policy::parse(&lines.collect::<String>())?)
}

/// Starts one `weir process`.
fn processor(author: &Author<'_>) -> Result<Owned> {
    let command = author.weir(&["process", "--log-level", "error"])?;
    let child = mortal(&command).stdout(Stdio::null()).spawn();
    Ok(Owned(child.with_context(|| format!("cannot run {command:?}"))?))
}

/// What an epoch record said, and when it was there.
struct Word {
    task: (String, i32),
    policy: Option<Digest>,
    pid: u32,
    at: Instant,
}

/// Hands on what epochs say until it is told to stop.
fn follow(reader: BareReader, to: Sender<Word>, stop: &AtomicBool) -> Result<()> {
    let wire = Wire::new();
    reader.follow(stop, |_, payload| {
        let epoch: Epoch = wire.read(payload)?;
        let pid = epoch.writer.rsplit_once(':').and_then(|(_, pid)| pid.parse().ok());
        let pid = pid.context("the epoch's writer has no process id")?;
        let word = Word {
            task: (epoch.stage, epoch.partition),
            policy: epoch.judge.policy,
            pid,
            at: Instant::now(),
        };
        // Nobody asks any more when the measure has ended.
        let _ = to.send(word);
        Ok(())
    })
}

/// What every task said last.
struct Watch {
    receiver: Receiver<Word>,
    last: HashMap<(String, i32), Word>,
    pids: BTreeSet<u32>,
}

impl Watch {
    /// Waits until every task says that this policy is in force, and every processor has tasks. When the last
    /// of them began to say so.
    fn in_force(&mut self, policy: Digest) -> Result<Instant> {
        let tasks: u32 = StageName::JUDGING.iter().map(|stage| stage.tasks(PARTITIONS)).sum();
        let until = Instant::now() + PATIENCE;
        loop {
            let says = |word: &&Word| word.policy == Some(policy);
            let saying: Vec<&Word> = self.last.values().filter(says).collect();
            let pids: BTreeSet<u32> = saying.iter().map(|word| word.pid).collect();
            if saying.len() == tasks as usize && pids == self.pids {
                return saying.iter().map(|word| word.at).max().context("there is no task");
            }
            let word = self.receiver.recv_timeout(until.saturating_duration_since(Instant::now()));
            let word = word.with_context(|| {
                format!("{} of {tasks} tasks of {} processors say it", saying.len(), pids.len())
            })?;
            let last = self.last.get(&word.task);
            // An epoch that says the same again says it no later.
            let is_new = last.is_none_or(|last| (last.policy, last.pid) != (word.policy, word.pid));
            if is_new {
                self.last.insert(word.task.clone(), word);
            }
        }
    }
}

/// Milliseconds from the start of each command.
#[derive(Default)]
struct Seen {
    applied_ms: Vec<f64>,
    rolled_back_ms: Vec<f64>,
    command_ms: Vec<f64>,
}

fn measure(author: &Author<'_>, mut watch: Watch, cycles: u64) -> Result<Seen> {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    watch.in_force(author.first.digest).context("the processors do not begin")?;
    let mut seen = Seen::default();
    for cycle in 1..=cycles {
        let policy = policy(&format!("cycle-{cycle}"))?;
        let (began, command) = author.apply(&policy, 2 * cycle)?;
        let in_force = watch.in_force(policy.digest).with_context(|| format!("apply {cycle}"))?;
        seen.applied_ms.push(ms(in_force - began));
        seen.command_ms.push(ms(command));
        let (began, command) = author.roll_back(2 * cycle + 1)?;
        let in_force = watch.in_force(author.first.digest).with_context(|| format!("rollback {cycle}"))?;
        seen.rolled_back_ms.push(ms(in_force - began));
        seen.command_ms.push(ms(command));
        if cycle % 100 == 0 {
            eprintln!("{cycle} of {cycles} cycles");
        }
    }
    Ok(seen)
}

/// What was found of the log when all is over.
struct Checked {
    words: usize,
    words_with_verdicts: usize,
    epochs: usize,
    verdicts: usize,
    wrong: usize,
}

/// Holds every verdict against the epoch that said it, and every epoch of the account stage against the words
/// on weir.control that it had read.
fn check(deployment: &Deployment, author: &Author<'_>) -> Result<Checked> {
    let wire = Wire::new();
    let words = words(deployment, &wire)?;
    let asked = words.values().map(|(_, digest)| *digest).collect::<BTreeSet<_>>();
    ensure!(asked.contains(&author.first.digest), "the first policy is not among the words");

    let account = StageName::Account.as_str();
    let mut epochs: BTreeMap<(i32, i64), Epoch> = BTreeMap::new();
    deployment.reader(Topic::Epochs)?.read(REST, |payload, _| {
        let epoch: Epoch = wire.read(payload)?;
        if epoch.stage == account {
            epochs.insert((epoch.partition, epoch.epoch), epoch);
        }
        Ok(false)
    })?;
    // Of each epoch, the word by which it judged.
    let (mut by, mut said) = (HashMap::new(), 0);
    let mut read = (-1, 0);
    for (&(partition, number), epoch) in &epochs {
        if read.0 != partition {
            read = (partition, 0);
        }
        let of_control = epoch.inputs.iter().filter(|range| range.topic == Topic::Control.name());
        read.1 = of_control.map(|range| range.to).fold(read.1, i64::max);
        let word = words.range(..read.1).next_back();
        let has = (epoch.policy_version.as_str(), epoch.judge.policy);
        match word {
            Some((offset, (version, digest))) => {
                ensure!(
                    has == (version, Some(*digest)),
                    "epoch {number} of account/{partition} names {}, and the last word that it had read is {version}",
                    epoch.policy_version
                );
                by.insert((partition, number), *offset);
            }
            None => {
                let outputs: i64 = epoch.outputs.iter().map(|output| output.records).sum();
                ensure!(outputs == 0, "epoch {number} of account/{partition} judged before the first policy");
            }
        }
        let verdicts = epoch.outputs.iter().filter(|output| output.topic == Topic::Verdicts.name());
        said += verdicts.map(|output| output.records).sum::<i64>();
    }

    let (mut verdicts, mut wrong, mut with) = (0, 0, BTreeSet::new());
    deployment.reader(Topic::Verdicts)?.read(REST, |payload, _| {
        let verdict: Verdict = wire.read(payload)?;
        let place = (verdict.partition, verdict.epoch);
        let epoch = epochs.get(&place).context("a verdict of no epoch")?;
        let is_by = (verdict.policy_version == epoch.policy_version)
            && (Some(verdict.policy_digest) == epoch.judge.policy);
        verdicts += 1;
        match by.get(&place) {
            Some(word) if is_by => _ = with.insert(*word),
            _ => wrong += 1,
        }
        Ok(false)
    })?;
    ensure!(verdicts == said, "the epochs said {said} verdicts, and {verdicts} are there");
    Ok(Checked {
        words: words.len(),
        words_with_verdicts: with.len(),
        epochs: epochs.len(),
        verdicts: verdicts as usize,
        wrong,
    })
}

/// Of each word that put a policy in force, where it stands on weir.control: version and digest. All of them
/// are good, so that each comes in force.
fn words(deployment: &Deployment, wire: &Wire) -> Result<BTreeMap<i64, (String, Digest)>> {
    let log = deployment.log()?;
    let mut words = BTreeMap::new();
    let mut unreadable = None;
    let end = log.bounds(Topic::Control, 0)?.1;
    read_range(&log, Topic::Control, 0, 0, end, |records| {
        for record in records.iter() {
            let word = wire.read::<Control>(record.payload.unwrap_or_default());
            let policy = word.map_err(anyhow::Error::from).and_then(|word| {
                let is_policy = word.name == POLICY_NAME;
                Ok(is_policy.then(|| Policy::published(&word.body)).transpose()?)
            });
            match policy {
                Ok(Some(policy)) => _ = words.insert(record.offset, (policy.version, policy.digest)),
                Ok(None) => {}
                Err(error) => unreadable = Some(error),
            }
        }
        Ok(())
    })?;
    unreadable.map_or(Ok(words), |error| Err(error.context("a word on weir.control cannot be read")))
}
