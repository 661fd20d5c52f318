//! Upgrades and downgrades: one judge takes a partition over from another that was killed, again and again,
//! on the embedded log and on Kafka (where `WEIR_BROKERS` names a broker). No verdict is lost and none is
//! doubled.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;
#[path = "upgrade/enforcer.rs"]
mod enforcer;

use common::eventually;
use common::fleet::Fleet;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use weir_processor::JudgeHook;
use weir_processor::account::AccountStage;
use weir_processor::policy::Policy;
use weir_replay::verify::{Choice, verify};
use weir_schemas::wire::Wire;
use weir_schemas::{
    AccountId, Body, Epoch, Event, EventId, PromptFeatures, Request, Tier, ValueHash, Verdict,
};
use weir_topology::clock::MachineClock;
use weir_topology::embedded::{EmbeddedLog, OpenError};
use weir_topology::error::TaskError;
use weir_topology::history::History;
use weir_topology::kafka::{KafkaConfig, KafkaLog};
use weir_topology::log::{Commit, Log, LogError, Position, Reader, Writer};
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::stage::Stage;
use weir_topology::stage::StageFactory;
use weir_topology::task::{Pace, Surroundings, Task, TaskStatus};
use weir_topology::telemetry::Silent;
use weir_topology::topic::{StageName, TaskId, Topic};

const TASK: TaskId = TaskId { stage: StageName::Account, partition: 0 };
const ACCOUNTS: u8 = 5;
const ROUNDS: i64 = 30;

/// The built-in policy, made to speak early and often: a few events make verdicts of several tiers.
fn policy() -> Policy {
    let mut policy: toml::Table = Policy::builtin_text().parse().unwrap();
    let mut set = |table: &str, key: &str, value: f64| {
        policy[table].as_table_mut().unwrap()[key] = value.into();
    };
    set("fusion", "prior_nats", 0.5);
    set("fusion", "alone_nats", 0.0);
    set("fusion", "speaks_from_nats", 0.05);
    for cooldown in ["medium_s", "high_s", "critical_s"] {
        policy["cooldown"][cooldown] = 20.into();
    }
    Policy::parse(&policy.to_string()).unwrap()
}

fn make_stage(hook: JudgeHook) -> StageFactory {
    judging_by(policy(), hook)
}

fn judging_by(policy: Policy, hook: JudgeHook) -> StageFactory {
    let policy = Arc::new(policy);
    Arc::new(move |_| -> Box<dyn Stage> {
        Box::new(AccountStage::new(Arc::new(Wire::new()), policy.clone()).judged_by(hook))
    })
}

fn own() -> JudgeHook {
    JudgeHook::default()
}

/// A log that has a record gives it within this time.
const WAIT: Duration = Duration::from_secs(20);

fn open(log: Arc<dyn Log>, hook: JudgeHook) -> Result<Task, TaskError> {
    open_watched(log, &make_stage(hook), Arc::default())
}

fn open_watched(log: Arc<dyn Log>, stage: &StageFactory, status: Arc<TaskStatus>) -> Result<Task, TaskError> {
    let pace = Pace {
        epoch_interval: Duration::ZERO,
        epoch_records_max: 7,
        // Never while it runs: whoever comes next has to fold all of it again.
        snapshot_interval: Duration::from_secs(3600),
        checkpoint_entries_max: 2,
        ..Pace::default()
    };
    let (telemetry, clock) = (Arc::new(Silent), Arc::new(MachineClock::default()));
    let wire = Arc::new(Wire::new());
    let around = Surroundings {
        log,
        wire,
        schemas: None,
        telemetry,
        process: "test".into(),
        pace,
        clock,
        before_commit: None,
    };
    Task::open(TASK, stage(TASK), around, status)
}

/// A life that ends in order, after all that there is.
fn run_to_the_end(log: Arc<dyn Log>, stage: &StageFactory) {
    let status = Arc::new(TaskStatus::default());
    let mut task = open_watched(log.clone(), stage, status.clone()).unwrap();
    let (_, end) = log.bounds(Topic::Events, 0).unwrap();
    let is_behind = |position: &Position| position.topic == Topic::Events && position.next < end;
    while status.positions().iter().any(is_behind) {
        task.run_epoch(Duration::from_millis(100)).unwrap();
    }
    task.close().unwrap();
}

/// A few accounts that elicit reasoning, one more than the other.
fn import(log: &dyn Log) {
    let wire = Wire::new();
    let event = |round: i64, account: u8| {
        let hash = |number: u8| ValueHash([number; 16]);
        let elicits = round % i64::from(account + 1) == 0;
        let prompt = PromptFeatures {
            text_hash: ValueHash((i128::from(round) << 8 | i128::from(account)).to_be_bytes()),
            template_hash: hash(account),
            head_hash: hash(account),
            phrases: i64::from(elicits),
            ..PromptFeatures::default()
        };
        let time_ms = common::START_MS as i64 + round * 20_000 + i64::from(account);
        let account = AccountId([account + 1; 16]);
        let event = Event {
            event_id: EventId(prompt.text_hash.0),
            time_ms,
            observed_ms: time_ms,
            tenant: "acme",
            account,
            sample_weight: 1,
            sampling: 1,
            body: Body::Request(Request { prompt: Some(prompt), ..Request::default() }),
            ..Event::default()
        };
        Output::keyed(Topic::Events, account.to_key(), wire.to_bytes(&event), time_ms).in_partition(0)
    };
    let outputs = (0..ROUNDS).flat_map(|round| (0..ACCOUNTS).map(move |account| event(round, account)));
    let commit = Commit { outputs: outputs.collect(), positions: Vec::new() };
    log.writer("importer").unwrap().commit(&commit).unwrap();
}

fn all<R: for<'a> weir_schemas::Record<'a>>(log: &dyn Log, topic: Topic) -> Vec<R> {
    let (first, end) = log.bounds(topic, 0).unwrap();
    let mut history = History::new(log, topic, 0, first, end).unwrap();
    let (wire, mut read) = (Wire::new(), Vec::new());
    while let Some(records) = history.next().unwrap() {
        read.extend(records.iter().map(|record| wire.read::<R>(record.payload.unwrap()).unwrap()));
    }
    read
}

/// The tier that was said last of each account.
fn last_said(log: &dyn Log) -> BTreeMap<AccountId, Tier> {
    all::<Verdict>(log, Topic::Verdicts).into_iter().map(|verdict| (verdict.account, verdict.tier)).collect()
}

/// What each account is said to be by a judge whom nobody disturbs.
fn undisturbed(stage: &StageFactory) -> BTreeMap<AccountId, Tier> {
    let log = MemoryLog::new(1);
    import(log.as_ref());
    run_to_the_end(log.clone(), stage);
    last_said(log.as_ref())
}

/// A log on which the first commit of a task fails, and the process with it: before it happened, or after.
struct Killing {
    inner: Arc<dyn Log>,
    happens: bool,
    is_over: Arc<AtomicBool>,
}

struct KillingWriter {
    inner: Box<dyn Writer>,
    happens: bool,
    is_over: Arc<AtomicBool>,
}

impl Log for Killing {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.inner.partitions(topic)
    }
    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        self.inner.bounds(topic, partition)
    }
    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        self.inner.reader(from)
    }
    fn writer(&self, name: &str) -> Result<Box<dyn Writer>, LogError> {
        let (inner, is_over) = (self.inner.writer(name)?, self.is_over.clone());
        Ok(Box::new(KillingWriter { inner, happens: self.happens, is_over }))
    }
}

impl Writer for KillingWriter {
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        if self.happens {
            self.inner.commit(commit)?;
        }
        self.is_over.store(true, Ordering::Relaxed);
        Err(LogError::Indefinite { reason: "killed".into() })
    }
}

/// Where another build took over, whether upwards, by the marks: they are sound, and builds change nowhere
/// else.
fn taken_over(epochs: &[Epoch]) -> Vec<bool> {
    let mut taken_over = Vec::new();
    for (before, epoch) in epochs.iter().zip(&epochs[1..]) {
        let changes = before.judge.version != epoch.judge.version;
        assert_eq!(
            changes && before.state_digest.is_none(),
            epoch.adopted.is_some(),
            "epoch {}",
            epoch.epoch
        );
        let Some(mark) = &epoch.adopted else { continue };
        assert!(mark.from <= mark.to && mark.to == before.epoch && mark.accounts > 0, "{mark:?}");
        assert!(epoch.state_digest.is_some(), "it takes a snapshot in the same commit");
        assert!(epoch.inputs.iter().all(|range| range.records == 0));
        taken_over.push(before.judge.version < epoch.judge.version);
    }
    taken_over
}

/// The verdicts of each account are its first, second, third …
fn none_is_doubled_and_none_lost(log: &dyn Log) {
    let mut sequences: BTreeMap<AccountId, i64> = BTreeMap::new();
    let verdicts: Vec<Verdict> = all(log, Topic::Verdicts);
    for verdict in &verdicts {
        let last = sequences.insert(verdict.account, verdict.sequence).unwrap_or(0);
        assert_eq!(verdict.sequence, last + 1, "{} in epoch {}", verdict.account, verdict.epoch);
    }
    let ids: BTreeSet<_> = verdicts.iter().map(|verdict| verdict.verdict_id).collect();
    assert_eq!(ids.len(), verdicts.len());
}

/// Judges that come and go, none of which ends in order but the last; `process` opens the log as a new
/// process does.
fn up_and_down(process: impl Fn() -> Arc<dyn Log>) {
    let planted = JudgeHook::planted();
    import(process().as_ref());
    for (life, hook) in
        [own(), planted, planted, own(), planted, own(), own(), planted].into_iter().enumerate()
    {
        // In its first commit, which is the adoption where there is something to adopt: before it, and after
        // it.
        for happens in [false, true] {
            let is_over = Arc::new(AtomicBool::new(false));
            let log = Arc::new(Killing { inner: process(), happens, is_over: is_over.clone() });
            if let Ok(mut task) = open(log, hook) {
                let _ = task.run_epoch(WAIT);
            }
            assert!(is_over.load(Ordering::Relaxed), "life {life} had something to commit");
        }
        let mut task = open(process(), hook).unwrap();
        for _ in 0..2 {
            task.run_epoch(WAIT).unwrap();
        }
    }
    run_to_the_end(process(), &make_stage(planted));

    let log = process();
    let log = log.as_ref();
    none_is_doubled_and_none_lost(log);
    // And in the end each account is said to be what the last judge makes of it.
    let [own_said, planted_said] = [own(), planted].map(|hook| undisturbed(&make_stage(hook)));
    assert_eq!(last_said(log), planted_said);
    assert_ne!(own_said, planted_said, "the two judge differently");

    // The marks say who took over what from whom, up and down, and a judge changes nowhere else.
    let epochs: Vec<Epoch> = all(log, Topic::Epochs);
    assert_eq!(taken_over(&epochs), [true, false, true, false, true]);

    // Either judge proves the verdicts that it can fold again, and calls none of the other's different.
    for hook in [own(), planted] {
        let report = verify(log, &Wire::new(), &make_stage(hook), Choice::All, |_| {}).unwrap();
        assert_eq!(report.different, 0, "{:?}", report.findings);
    }
    let report = verify(log, &Wire::new(), &make_stage(planted), Choice::All, |_| {}).unwrap();
    assert!(report.proven > 0, "{report:?}");
}

#[test]
fn one_judge_takes_over_from_another_on_the_log_in_memory() {
    let log = MemoryLog::new(1);
    up_and_down(|| log.clone());
}

/// The embedded log in a directory, as a new process opens it.
fn embedded(directory: &Path) -> Arc<dyn Log> {
    let mut log = EmbeddedLog::open(directory, 1);
    // A process that another test starts at this moment has the lock with it until it is its own program.
    eventually("nobody holds the log", || {
        if matches!(log, Err(OpenError::Held { .. })) {
            log = EmbeddedLog::open(directory, 1);
        }
        !matches!(log, Err(OpenError::Held { .. }))
    });
    log.unwrap()
}

/// A fleet's log, as a new process opens it.
fn kafka(fleet: &Fleet) -> Arc<dyn Log> {
    let mut config = KafkaConfig::new(&fleet.brokers);
    config.prefix = fleet.prefix.clone();
    Arc::new(KafkaLog::connect(config).unwrap())
}

#[test]
fn one_judge_takes_over_from_another_on_the_embedded_log() {
    let directory = tempfile::tempdir().unwrap();
    up_and_down(|| embedded(directory.path()));
}

#[test]
fn one_judge_takes_over_from_another_on_kafka() {
    let Some(fleet) = Fleet::new("upgrade", 1) else { return };
    up_and_down(|| kafka(&fleet));
}

#[test]
fn a_policy_with_rules_of_a_tenant_takes_over_from_one_without_and_the_other_way_round() {
    let said = "[tenants.acme.fusion]\nprior_nats = 2.0\n[tenants.other.tiers]\nmedium = 0.2\n";
    let with = Policy::parse(&format!("{}\n{said}", policy().text)).unwrap();
    let version = policy().version;
    let [without, with] = [policy(), with].map(|policy| judging_by(policy, own()));
    let log = MemoryLog::new(1);
    import(log.as_ref());
    for stage in [&without, &with, &without, &with] {
        let mut task = open_watched(log.clone(), stage, Arc::default()).unwrap();
        for _ in 0..3 {
            task.run_epoch(WAIT).unwrap();
        }
        // Killed: what it judged since it took over is in no snapshot.
        drop(task);
    }
    run_to_the_end(log.clone(), &with);

    none_is_doubled_and_none_lost(log.as_ref());
    let [fleets, tenants] = [&without, &with].map(undisturbed);
    assert_eq!(last_said(log.as_ref()), tenants);
    assert_ne!(fleets, tenants, "the two judge differently");
    // Each verdict names the rules that it is by, and those of the epoch's policy judged it.
    let epochs: BTreeMap<i64, Epoch> =
        all::<Epoch>(log.as_ref(), Topic::Epochs).into_iter().map(|epoch| (epoch.epoch, epoch)).collect();
    let adopted = epochs.values().filter(|epoch| epoch.adopted.is_some()).count();
    assert_eq!(adopted, 3, "each life but the first took over what another policy judged");
    let names: BTreeSet<String> = all::<Verdict>(log.as_ref(), Topic::Verdicts)
        .into_iter()
        .map(|verdict| {
            let epoch = &epochs[&verdict.epoch];
            assert_eq!(Some(verdict.policy_digest), epoch.judge.policy);
            assert_eq!(epoch.policy_version, version, "an epoch names the document");
            verdict.policy_version
        })
        .collect();
    assert_eq!(names, BTreeSet::from([version.clone(), format!("{version}/acme")]));
    // What either judged is proved by it.
    for stage in [&without, &with] {
        let report = verify(log.as_ref(), &Wire::new(), stage, Choice::All, |_| {}).unwrap();
        assert!(report.different == 0 && report.proven > 0, "{:?}", report.findings);
    }
}
