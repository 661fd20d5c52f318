//! One build of the enforcer takes a partition over from another that was killed, again and again: every
//! verdict is decided once, every action goes its whole way, and the audit chain stays one.

use super::{Killing, WAIT, all, embedded, kafka, taken_over};
use crate::common;
use crate::common::fleet::Fleet;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use weir_enforcer::chain::{AuditKey, AuditKeys, Verifier};
use weir_enforcer::stage::EnforcerStage;
use weir_schemas::wire::Wire;
use weir_schemas::{
    AccountId, Action, ActionId, ActionOutcome, ActionState, Audit, AuditEntry, AuditKind, Control,
    ControlKind, Epoch, EventId, OutcomeKind, Tier, Verdict, VerdictId,
};
use weir_topology::clock::{Clock, MachineClock};
use weir_topology::error::TaskError;
use weir_topology::log::{Commit, Log};
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::task::{Pace, Surroundings, Task, TaskStatus};
use weir_topology::telemetry::Silent;
use weir_topology::topic::{StageName, TaskId, Topic};

const TASK: TaskId = TaskId { stage: StageName::Enforcer, partition: 0 };
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// The machine's clock, with a calendar that stands still until it is told to move.
struct Calendar {
    machine: MachineClock,
    unix_ms: AtomicI64,
}

impl Calendar {
    fn new() -> Arc<Self> {
        Arc::new(Self { machine: MachineClock::default(), unix_ms: AtomicI64::new(common::START_MS as i64) })
    }

    fn pass(&self, pause_ms: i64) {
        self.unix_ms.fetch_add(pause_ms, Ordering::Relaxed);
    }
}

impl Clock for Calendar {
    fn now(&self) -> Duration {
        self.machine.now()
    }
    fn unix_ms(&self) -> i64 {
        self.unix_ms.load(Ordering::Relaxed)
    }
    fn sleep(&self, pause: Duration) {
        self.machine.sleep(pause);
    }
}

fn audit_keys() -> AuditKeys {
    AuditKeys::new(AuditKey::new("k1", &[1; 32]))
}

fn open(
    log: Arc<dyn Log>,
    calendar: &Arc<Calendar>,
    is_planted: bool,
    status: Arc<TaskStatus>,
) -> Result<Task, TaskError> {
    let wire = Arc::new(Wire::new());
    let stage = EnforcerStage::new(audit_keys(), wire.clone());
    let stage = if is_planted { stage.planted() } else { stage };
    let pace = Pace {
        epoch_interval: Duration::ZERO,
        epoch_records_max: 3,
        // Never while it runs: whoever comes next has to fold all of it again.
        snapshot_interval: Duration::from_secs(3600),
        ..Pace::default()
    };
    let (telemetry, clock) = (Arc::new(Silent), calendar.clone());
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
    Task::open(TASK, Box::new(stage), around, status)
}

/// Folds all that there is and does what is due, and is killed.
fn live(log: Arc<dyn Log>, calendar: &Arc<Calendar>, is_planted: bool) {
    let status = Arc::new(TaskStatus::default());
    let mut task = open(log.clone(), calendar, is_planted, status.clone()).unwrap();
    let is_behind = || {
        let positions = status.positions();
        let end = |topic, partition| log.bounds(topic, partition).unwrap().1;
        positions.iter().any(|position| position.next < end(position.topic, position.partition))
    };
    while is_behind() || task.run_epoch(Duration::ZERO).unwrap() {
        task.run_epoch(Duration::from_millis(100)).unwrap();
    }
}

/// A process that dies in its first commit: before it happens, and after.
fn die(process: &impl Fn() -> Arc<dyn Log>, calendar: &Arc<Calendar>, is_planted: bool) {
    for happens in [false, true] {
        let is_over = Arc::new(AtomicBool::new(false));
        let log = Arc::new(Killing { inner: process(), happens, is_over: is_over.clone() });
        if let Ok(mut task) = open(log, calendar, is_planted, Arc::default()) {
            let _ = task.run_epoch(WAIT);
        }
        assert!(is_over.load(Ordering::Relaxed), "there was something to commit");
    }
}

fn put(log: &dyn Log, outputs: Vec<Output>) {
    let outputs = outputs.into_iter().map(|output| output.in_partition(0)).collect();
    log.writer("test").unwrap().commit(&Commit { outputs, positions: Vec::new() }).unwrap();
}

fn verdict(account: u8, time_ms: i64, tier: Tier) -> Verdict {
    let account = AccountId([account; 16]);
    let event = EventId(i128::from(time_ms).to_be_bytes());
    Verdict {
        verdict_id: VerdictId::of(&[0; 32], account, time_ms, &[event]),
        time_ms,
        tenant: "acme".into(),
        account,
        score: 0.9,
        probability: 0.97,
        tier,
        policy_version: "p1".into(),
        events: vec![event],
        event_count: 1,
        ..Verdict::default()
    }
}

fn judged(verdict: &Verdict) -> Output {
    let payload = Wire::new().to_bytes(verdict);
    Output::keyed(Topic::Verdicts, verdict.account.to_key(), payload, verdict.time_ms)
}

/// An executor does all that waits for it, now.
fn carry_out(log: &dyn Log, calendar: &Calendar) {
    let answered: BTreeSet<ActionId> =
        all::<ActionOutcome>(log, Topic::Outcomes).iter().map(|outcome| outcome.action_id).collect();
    let actions: Vec<Action> = all(log, Topic::Actions);
    let waiting = actions
        .into_iter()
        .filter(|action| action.state == ActionState::Pending && !answered.contains(&action.action_id));
    let outcomes = waiting.map(|action| {
        let outcome = ActionOutcome {
            action_id: action.action_id,
            account: action.account,
            tenant: action.tenant,
            kind: OutcomeKind::Told,
            effect_ms: calendar.unix_ms(),
            executor: "test".into(),
            detail: String::new(),
        };
        let payload = Wire::new().to_bytes(&outcome);
        Output::keyed(Topic::Outcomes, outcome.account.to_key(), payload, outcome.effect_ms)
    });
    put(log, outcomes.collect());
}

/// What was decided in the end: the states of each action of each verdict, in order.
type Ways = BTreeMap<(VerdictId, ActionId), Vec<ActionState>>;

/// Builds that come and go, each killed three times; `process` opens the log as a new process does.
fn lives(process: &impl Fn() -> Arc<dyn Log>, builds: &[bool], is_killed_in_commits: bool) -> Ways {
    let calendar = Calendar::new();
    let enforce = Control {
        name: "posture".into(),
        kind: ControlKind::Posture,
        version: "1".into(),
        author: "olga".into(),
        time_ms: calendar.unix_ms(),
        body: "enforce".into(),
    };
    let payload = Wire::new().to_bytes(&enforce);
    let at_once = Output::keyed(Topic::Control, enforce.name.into_bytes(), payload, enforce.time_ms);
    put(process().as_ref(), vec![at_once]);
    let mut verdicts = BTreeSet::new();
    for (life, is_planted) in builds.iter().enumerate() {
        calendar.pass(4 * MINUTE_MS);
        // Accounts that come again, and some that never do.
        let said: Vec<Verdict> = [1 + life % 3, 10 + life, 20 + life]
            .into_iter()
            .zip([Tier::ALL[life % 4], Tier::Medium, Tier::Critical])
            .map(|(account, tier)| verdict(account as u8, calendar.unix_ms(), tier))
            .collect();
        verdicts.extend(said.iter().map(|verdict| verdict.verdict_id));
        put(process().as_ref(), said.iter().map(judged).collect());
        if is_killed_in_commits {
            die(process, &calendar, *is_planted);
        }
        live(process(), &calendar, *is_planted);
        carry_out(process().as_ref(), &calendar);
    }
    // What was done is heard, and what is under way comes to its end.
    for pause_ms in [0, 3 * DAY_MS] {
        calendar.pass(pause_ms);
        live(process(), &calendar, builds[builds.len() - 1]);
    }
    let log = process();
    let ways = ways(log.as_ref());
    let decided: BTreeSet<VerdictId> = ways.keys().map(|(verdict, _)| *verdict).collect();
    assert!(decided.is_subset(&verdicts));
    chain_is_sound_and_has_each_decision_once(log.as_ref(), &verdicts, &ways);
    ways
}

fn ways(log: &dyn Log) -> Ways {
    let mut ways = Ways::new();
    for action in all::<Action>(log, Topic::Actions) {
        ways.entry((action.verdict_id, action.action_id)).or_default().push(action.state);
    }
    ways
}

fn chain_is_sound_and_has_each_decision_once(log: &dyn Log, verdicts: &BTreeSet<VerdictId>, ways: &Ways) {
    let public = audit_keys().public();
    let mut verifier = Verifier::new(&public);
    let entries: Vec<AuditEntry> = all(log, Topic::Audit);
    entries.iter().for_each(|entry| verifier.entry(entry));
    let report = verifier.finish();
    assert!(report.is_sound(), "{:?}", report.breaks);
    let audits = entries.iter().map(|entry| Wire::new().read::<Audit>(&entry.record).unwrap());
    let decided: Vec<(VerdictId, Option<ActionId>)> = audits
        .filter(|audit| audit.kind == AuditKind::Decision)
        .map(|audit| (audit.verdict_id.unwrap(), audit.action_id))
        .collect();
    assert_eq!(decided.len(), decided.iter().collect::<BTreeSet<_>>().len(), "no decision twice");
    assert_eq!(decided.iter().map(|(verdict, _)| *verdict).collect::<BTreeSet<_>>(), *verdicts, "none lost");
    let acted: BTreeSet<ActionId> = decided.iter().filter_map(|(_, action)| *action).collect();
    assert_eq!(acted, ways.keys().map(|(_, action)| *action).collect(), "what was audited was asked for");
    use ActionState::{Done, Expired, Pending, Reverted, Superseded, Withheld};
    for ((verdict, action), way) in ways {
        let is_whole = matches!(
            way[..],
            [Withheld]
                | [Pending, Done | Superseded]
                | [Pending, Done, Reverted | Expired | Superseded]
                | [Pending, Done, Expired, Superseded]
        );
        assert!(is_whole, "{action} of {verdict}: {way:?}");
    }
}

/// Both ways on logs of a kind: each of the two processes opens a log of its own.
fn check(up_and_down: impl Fn() -> Arc<dyn Log>, straight: impl Fn() -> Arc<dyn Log>) {
    lives(&up_and_down, &[false, true, true, false, true, false, false, true], true);
    let epochs: Vec<Epoch> = all(up_and_down().as_ref(), Topic::Epochs);
    assert_eq!(taken_over(&epochs), [true, false, true, false, true]);

    // One build that is killed again and again does what one does whom nobody disturbs.
    let undisturbed = MemoryLog::new(1);
    let undisturbed = lives(&|| undisturbed.clone() as Arc<dyn Log>, &[false; 8], false);
    assert_eq!(lives(&straight, &[false; 8], true), undisturbed);
    let states: BTreeSet<ActionState> = undisturbed.into_values().flatten().collect();
    use ActionState::{Done, Pending, Reverted, Withheld};
    assert!(states.is_superset(&[Done, Pending, Reverted, Withheld].into()), "{states:?}");
}

#[test]
fn one_enforcer_takes_over_from_another_on_the_log_in_memory() {
    let logs = [MemoryLog::new(1), MemoryLog::new(1)];
    check(|| logs[0].clone(), || logs[1].clone());
}

#[test]
fn one_enforcer_takes_over_from_another_on_the_embedded_log() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    check(|| embedded(directories[0].path()), || embedded(directories[1].path()));
}

#[test]
fn one_enforcer_takes_over_from_another_on_kafka() {
    let Some(one) = Fleet::new("upgrade-enforcer", 1) else { return };
    let Some(other) = Fleet::new("upgrade-enforcer-straight", 1) else { return };
    check(|| kafka(&one), || kafka(&other));
}
