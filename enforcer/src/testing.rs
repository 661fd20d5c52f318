//! What the tests share: verdicts, keys, and an enforcer that runs on a log in memory.

use crate::chain::{AuditKey, AuditKeys, ChainReport, Verifier};
use crate::export::Executor;
use crate::kill_switch::{Approval, Person, PersonKey, PersonRole, Persons, Request, RequestKind};
use crate::open::{Opener, seal_for_tests};
use crate::review::{Decision, Says, Word};
use crate::stage::EnforcerStage;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use weir_schemas::bundle::Trust;
use weir_schemas::hex::hex;
use weir_schemas::pseudonym::PseudonymKey;
use weir_schemas::sealed::content;
use weir_schemas::wire::Wire;
use weir_schemas::{
    AccountId, Action, ActionId, ActionOutcome, ActionState, Audit, AuditEntry, Campaign, CampaignAsk,
    CampaignEvidence, CampaignId, CampaignLink, CampaignMember, CampaignStatus, ClusterRef, Control,
    ControlKind, EventId, Evidence, Identity, LinkKind, OutcomeKind, Record, Signal, Tier, ValueHash,
    Verdict, VerdictId,
};
use weir_topology::clock::Clock;
use weir_topology::error::TaskError;
use weir_topology::log::{Commit, Log, LogError, Position, Reader, Writer};
use weir_topology::memory::MemoryLog;
use weir_topology::record::{Output, Records};
use weir_topology::stage::Stage;
use weir_topology::task::{Pace, Surroundings, Task, TaskStatus};
use weir_topology::telemetry::{Silent, Telemetry};
use weir_topology::topic::{StageName, TaskId, Topic};

pub const MINUTE_MS: i64 = 60_000;
pub const SEAL_SECRET: [u8; 32] = [5; 32];

pub fn keys() -> AuditKeys {
    AuditKeys::new(AuditKey::new("k1", &[1; 32])).and(AuditKey::new("k2", &[2; 32]))
}

/// The record in an audit entry's payload.
pub fn audit_in(payload: &[u8]) -> Audit {
    let entry: AuditEntry = Wire::new().read(payload).unwrap();
    Wire::new().read(&entry.record).unwrap()
}

/// Verifies a chain from its beginning; it must be sound.
pub fn sound<'e>(entries: impl IntoIterator<Item = &'e AuditEntry>) -> ChainReport {
    let public = keys().public();
    let mut verifier = Verifier::new(&public);
    entries.into_iter().for_each(|entry| verifier.entry(entry));
    let report = verifier.finish();
    assert!(report.is_sound(), "{:?}", report.breaks);
    report
}

/// Account `number`: the pseudonym of `raw-account-N` of tenant acme.
pub fn account(number: u32) -> AccountId {
    pseudonyms().account("acme", &format!("raw-account-{number}"))
}

pub fn pseudonyms() -> PseudonymKey {
    PseudonymKey::new(&[6; 32], 0)
}

pub fn opener() -> Opener {
    Opener::new().with_key(1, &SEAL_SECRET).with_pseudonyms(pseudonyms())
}

/// What a collector announces of account `number`.
pub fn identity(number: u32) -> Identity {
    let content = content("acme", &format!("raw-account-{number}"));
    seal_for_tests(1, &SEAL_SECRET, account(number), &content)
}

/// A verdict on account `number`; no two of different account, time or tier are the same.
pub fn verdict(number: u32, time_ms: i64, tier: Tier) -> Verdict {
    let event = EventId((u128::from(number) << 64 | time_ms as u128).to_be_bytes());
    Verdict {
        verdict_id: VerdictId::of(&[0; 32], account(number), time_ms, &[event]),
        time_ms,
        tenant: "acme".into(),
        account: account(number),
        score: match tier {
            Tier::Clear => 0.1,
            Tier::Medium => 0.4,
            Tier::High => 0.6,
            Tier::Critical => 0.9,
        },
        probability: 0.97,
        tier,
        policy_version: "p1".into(),
        signals: vec![Signal {
            detector: "velocity".into(),
            family: "volume".into(),
            millinats: 2_500,
            millinats_max: 6_000,
            evidence: vec![Evidence { name: "requests_per_hour".into(), value: "240".into() }],
        }],
        events: vec![EventId::default(), event],
        event_count: 2,
        ..Verdict::default()
    }
}

/// The same verdict, resting on shared value `value`.
pub fn resting_on(value: u32, verdict: Verdict) -> Verdict {
    let cluster = ClusterRef {
        kind: LinkKind::Payment,
        value: ValueHash(u128::from(value).to_be_bytes()),
        members: 12,
    };
    Verdict { clusters: vec![cluster], ..verdict }
}

pub fn control(kind: ControlKind, name: &str, body: &str) -> Control {
    Control {
        name: name.into(),
        kind,
        version: "1".into(),
        author: "olga".into(),
        time_ms: 1000,
        body: body.into(),
    }
}

/// A campaign of accounts `from` and the two after it.
pub fn campaign(from: u32) -> Campaign {
    let member = |number: u32| CampaignMember {
        account: account(number),
        tenant: "acme".into(),
        tier: Tier::High,
        millinats: 4_000,
        probability: 0.982,
        since_ms: 1_000,
        requests: 40,
        verdict_id: Some(verdict(number, 1, Tier::High).verdict_id),
    };
    Campaign {
        campaign_id: CampaignId::of(1_000, account(from)),
        sequence: 1,
        time_ms: 2_000,
        status: CampaignStatus::Open,
        tier: Tier::High,
        first: account(from),
        since_ms: 1_000,
        until_ms: 2_000,
        member_count: 3,
        requests: 120,
        members: (from..from + 3).map(member).collect(),
        beside_count: 1,
        beside: vec![account(from + 3)],
        evidence: vec![CampaignEvidence { family: "kin".into(), members: 3, millinats: 6_500 }],
        links: vec![CampaignLink {
            kind: LinkKind::Payment,
            value: ValueHash([7; 16]),
            members: 3,
            cents: 1_200,
        }],
        asks: vec![CampaignAsk { what: "chain_of_thought".into(), members: 3 }],
        evade_cents: 1_250,
        policy_version: "p1".into(),
        ..Campaign::default()
    }
}

pub fn posture(body: &str) -> Control {
    control(ControlKind::Posture, "posture", body)
}

/// The root key of the tests, and the key of a person: one a name.
pub fn root() -> PersonKey {
    PersonKey::new(&[77; 32])
}

pub fn person_key(name: &str) -> PersonKey {
    PersonKey::new(&Sha256::digest(name).into())
}

/// What the tests know of persons: each with these roles.
pub fn persons(version: u64, who: &[(&str, &[PersonRole])]) -> Persons {
    let person = |(name, roles): &(&str, &[PersonRole])| Person {
        name: (*name).into(),
        roles: roles.to_vec(),
        public_key: hex(&person_key(name).public()),
    };
    Persons::signed(version, who.iter().map(person).collect(), &root()).unwrap()
}

/// `sam` and `sue` for security, `otto` and `olga` for operations, `rita` and `ron` for reliability, `max`
/// for all of these, and the analysts `anna` and `ben`.
pub fn everybody() -> Persons {
    use PersonRole::{Analyst, Operations, Security, Sre};
    persons(
        1,
        &[
            ("sam", &[Security]),
            ("sue", &[Security]),
            ("otto", &[Operations]),
            ("olga", &[Operations]),
            ("rita", &[Sre]),
            ("ron", &[Sre]),
            ("max", &[Security, Operations, Sre]),
            ("anna", &[Analyst]),
            ("ben", &[Analyst]),
        ],
    )
}

/// A request of this person, made at this time; no two of a test have the same `number`.
pub fn request(kind: RequestKind, by: &str, created_ms: i64, number: u8) -> Request {
    Request::signed(kind, by, "ticket 4711", created_ms, [number; 4], &person_key(by), &root().public())
}

pub fn approval(request: &Request, role: PersonRole, by: &str) -> Approval {
    Approval::signed(request, role, by, &person_key(by), &root().public())
}

/// The control record of a word to the kill switch.
pub fn switch_word(name: &str, word: &impl Serialize) -> Control {
    control(ControlKind::KillSwitch, name, &serde_json::to_string(word).unwrap())
}

/// The word of an analyst about an item, said at this time, that decides nothing; no two of a test have the
/// same `number`.
pub fn review_word(item: ActionId, says: Says, by: &str, created_ms: i64, number: u8) -> Word {
    let text = if matches!(says, Says::Assign(_)) { "" } else { "seen in ticket 12" };
    Word::signed((item, None), says, text, by, created_ms, [number; 4], &person_key(by), &root().public())
}

/// The decision of an analyst on an item, of which this verdict was seen last.
pub fn review_decision(
    (item, seen): (ActionId, VerdictId),
    decision: Decision,
    by: &str,
    created_ms: i64,
    number: u8,
) -> Word {
    let (about, says, root) = ((item, Some(seen)), Says::Decide(decision), root().public());
    Word::signed(about, says, "seen in ticket 12", by, created_ms, [number; 4], &person_key(by), &root)
}

/// The control record of a word about an item.
pub fn review_record(word: &Word) -> Control {
    control(ControlKind::Setting, &word.record_name(), &serde_json::to_string(word).unwrap())
}

/// A calendar that stands still until it is told to move.
pub struct Calendar(AtomicI64);

impl Calendar {
    /// Sets the time, in milliseconds since the Unix epoch.
    pub fn set(&self, unix_ms: i64) {
        self.0.store(unix_ms, Ordering::Relaxed);
    }
}

impl Clock for Calendar {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
    fn unix_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
    fn sleep(&self, _: Duration) {}
}

/// A log in memory and what writes to it.
pub struct Rig {
    pub calendar: Arc<Calendar>,
    pub log: Arc<MemoryLog>,
    pub wire: Arc<Wire>,
    pub partitions: u32,
    /// Whose signatures policies need.
    pub trust: Option<Arc<Trust>>,
    pub telemetry: Arc<dyn Telemetry>,
}

impl Rig {
    pub fn new(partitions: u32) -> Self {
        let calendar = Arc::new(Calendar(AtomicI64::new(0)));
        Self {
            calendar,
            log: MemoryLog::new(partitions),
            wire: Arc::new(Wire::new()),
            partitions,
            trust: None,
            telemetry: Arc::new(Silent),
        }
    }

    pub fn put(&self, outputs: Vec<Output>) {
        let mut writer = self.log.writer("test").unwrap();
        writer.commit(&Commit { outputs, positions: Vec::new() }).unwrap();
    }

    pub fn put_identities(&self, identities: &[Identity]) {
        let output = |identity: &Identity| {
            let payload = self.wire.to_bytes(identity);
            Output::keyed(Topic::Identities, identity.account.to_key(), payload, identity.announced_ms)
        };
        self.put(identities.iter().map(output).collect());
    }

    /// Puts verdicts, after the identities of accounts 0 to 15.
    pub fn put_verdicts(&self, verdicts: &[Verdict]) {
        if self.log.all(Topic::Identities).is_empty() {
            self.put_identities(&(0..16).map(identity).collect::<Vec<_>>());
        }
        let output = |verdict: &Verdict| {
            let payload = self.wire.to_bytes(verdict);
            Output::keyed(Topic::Verdicts, verdict.account.to_key(), payload, verdict.time_ms)
        };
        self.put(verdicts.iter().map(output).collect());
    }

    pub fn put_campaign(&self, campaign: &Campaign) {
        let payload = self.wire.to_bytes(campaign);
        let key = campaign.campaign_id.to_key();
        self.put(vec![Output::keyed(Topic::Campaigns, key, payload, campaign.time_ms)]);
    }

    pub fn put_control(&self, control: &Control) {
        self.put_control_at(control, control.time_ms);
    }

    /// Puts an operator's word on the log at this time of the log.
    pub fn put_control_at(&self, control: &Control, heard_ms: i64) {
        let payload = self.wire.to_bytes(control);
        let key = control.name.clone().into_bytes();
        self.put(vec![Output::keyed(Topic::Control, key, payload, heard_ms)]);
    }

    /// Says something to the kill switch, now.
    pub fn say(&self, name: &str, word: &impl Serialize) {
        self.put_control_at(&switch_word(name, word), self.calendar.unix_ms());
    }

    pub fn ask(&self, request: &Request) {
        self.say(&request.record_name(), request);
    }

    /// An analyst says something of an item, now.
    pub fn review(&self, word: &Word) {
        self.put_control_at(&review_record(word), self.calendar.unix_ms());
    }

    pub fn approve(&self, approval: &Approval) {
        self.say(&approval.record_name(), approval);
    }

    /// A task of this build.
    pub fn task(&self, partition: u32, snapshots: bool) -> Task {
        let stage = EnforcerStage::new(keys(), self.wire.clone()).trusting(root().public());
        let stage = stage.with_policy_trust(self.trust.clone());
        self.task_of(stage, partition, snapshots).unwrap()
    }

    /// A task of the build that has `stage`.
    pub fn task_of(&self, stage: EnforcerStage, partition: u32, snapshots: bool) -> Result<Task, TaskError> {
        let stage: Box<dyn Stage> = Box::new(stage);
        let interval = if snapshots { Duration::ZERO } else { Duration::from_secs(3600) };
        let around = Surroundings {
            log: self.log.clone(),
            wire: self.wire.clone(),
            schemas: None,
            telemetry: self.telemetry.clone(),
            process: "test".into(),
            pace: Pace {
                epoch_interval: Duration::ZERO,
                epoch_records_max: 3,
                snapshot_interval: interval,
                ..Pace::default()
            },
            clock: self.calendar.clone(),
            before_commit: None,
        };
        let id = TaskId { stage: StageName::Enforcer, partition };
        Task::open(id, stage, around, Arc::new(TaskStatus::default()))
    }

    /// Runs the enforcer as the verdicts fall, each at its own time, and an executor that answers at once.
    pub fn enforce_live(&self, verdicts: &[Verdict]) {
        for verdict in verdicts {
            self.calendar.set(verdict.time_ms);
            self.put_verdicts(std::slice::from_ref(verdict));
            self.enforce();
            self.answer(OutcomeKind::Told);
            self.enforce();
        }
    }

    /// Every action's transitions, in order.
    pub fn actions(&self) -> Vec<Action> {
        self.all(Topic::Actions)
    }

    /// Every record of a topic that is still there, but for tombstones.
    pub fn all<R: for<'b> Record<'b>>(&self, topic: Topic) -> Vec<R> {
        let payloads = self.log.all(topic).into_iter().filter_map(|output| output.payload);
        payloads.map(|payload| self.wire.read(&payload).unwrap()).collect()
    }

    /// Answers for every action that waits for it, now.
    pub fn answer(&self, kind: OutcomeKind) {
        let answered: Vec<ActionOutcome> = self.all(Topic::Outcomes);
        let is_open = |action: &Action| {
            let has_answer = answered.iter().any(|outcome| outcome.action_id == action.action_id);
            action.state == ActionState::Pending && !has_answer
        };
        let outcomes = self.actions().into_iter().filter(is_open).map(|action| ActionOutcome {
            action_id: action.action_id,
            account: action.account,
            tenant: action.tenant,
            kind,
            effect_ms: self.calendar.unix_ms(),
            executor: "test".into(),
            detail: "no room".into(),
        });
        self.put_outcomes(outcomes.collect());
    }

    pub fn put_outcomes(&self, outcomes: Vec<ActionOutcome>) {
        let output = |outcome: &ActionOutcome| {
            let payload = self.wire.to_bytes(outcome);
            Output::keyed(Topic::Outcomes, outcome.account.to_key(), payload, outcome.effect_ms)
        };
        self.put(outcomes.iter().map(output).collect());
    }

    /// Who writes the files of a test.
    pub fn executor(&self) -> Executor {
        Executor { name: "files/test".into(), clock: self.calendar.clone() }
    }

    /// Runs an enforcer on every partition until all is folded.
    pub fn enforce(&self) {
        for partition in 0..self.partitions {
            let mut task = self.task(partition, true);
            while task.run_epoch(Duration::ZERO).unwrap() {}
            task.close().unwrap();
        }
    }
}

/// A log that says what it holds of one topic, and gives none of it.
pub struct Withheld {
    pub log: Arc<dyn Log>,
    pub topic: Topic,
}

impl Log for Withheld {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.log.partitions(topic)
    }

    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        self.log.bounds(topic, partition)
    }

    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        match from.iter().any(|position| position.topic == self.topic) {
            true => Ok(Box::new(Nothing(from.to_vec()))),
            false => self.log.reader(from),
        }
    }

    fn writer(&self, name: &str) -> Result<Box<dyn Writer>, LogError> {
        self.log.writer(name)
    }
}

struct Nothing(Vec<Position>);

impl Reader for Nothing {
    fn wait(&mut self, wait: Duration) -> Result<bool, LogError> {
        std::thread::sleep(wait);
        Ok(false)
    }

    fn take(&mut self, _: usize, _: usize, _: usize, _: &mut Records) -> Result<(), LogError> {
        Ok(())
    }

    fn next(&self, input: usize) -> i64 {
        self.0[input].next
    }
}
