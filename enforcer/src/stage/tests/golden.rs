//! What the enforcer's decisions come to, held against what they came to when their version was raised last.

use super::*;
use crate::kill_switch::RequestKind;
use crate::kill_switch::words::PERSONS_NAME;
use crate::review::{Decision, Says};
use expect_test::expect_file;
use sha2::Sha256;
use weir_schemas::ActionKind;

/// Where the version wrote down what its decisions come to.
const GOLDEN: &str = include_str!("golden.txt");

/// A limit that lets act on many, but for a storm of more than seven.
const STORM_OF_7: &str = "floor 1000 share 0 accounts 0 partitions 1 tenant 1000 storm 7 times 2";

/// An enforcer that lives through everything there is to decide, an epoch at a time.
struct Life {
    stage: EnforcerStage,
    epoch: i64,
    now_ms: i64,
    /// Actions that wait for their executor.
    pending: Vec<Action>,
    sha: Sha256,
}

impl Life {
    fn epoch(&mut self, topic: Topic, outputs: Vec<Output>) {
        self.epoch += 1;
        let mut records = Records::default();
        for (offset, output) in outputs.into_iter().enumerate() {
            records.push(offset as i64, output.timestamp_ms, &output.key, output.payload.as_deref(), []);
        }
        let inputs = vec![InputBatch { topic, partition: 0, records }];
        let taken_ms = Some(self.now_ms);
        let batch = Batch { epoch: self.epoch, partition: 0, clock_ms: 0, taken_ms, inputs };
        let effects = self.stage.step(&batch);
        for output in &effects.outputs {
            self.sha.update(format!("{output:?}"));
            if output.topic == Topic::Actions {
                let action: Action = Wire::new().read(output.payload.as_ref().unwrap()).unwrap();
                self.pending.retain(|other| other.action_id != action.action_id);
                self.pending.extend(Some(action).filter(|action| action.state == ActionState::Pending));
            }
        }
        self.sha.update(format!("{:?} {:?}", effects.tallies, self.stage.take_changes()));
    }

    fn told(&mut self, word: &Control) {
        let output = Output::keyed(Topic::Control, word.name.clone().into(), Wire::new().to_bytes(word), 0);
        self.epoch(Topic::Control, vec![output]);
    }

    fn verdicts(&mut self, verdicts: &[Verdict]) {
        let record = |verdict: &Verdict| {
            let payload = Wire::new().to_bytes(verdict);
            Output::keyed(Topic::Verdicts, verdict.account.to_key(), payload, verdict.time_ms)
        };
        self.epoch(Topic::Verdicts, verdicts.iter().map(record).collect());
    }

    /// The executor answers for the action that waits longest.
    fn answer(&mut self, kind: OutcomeKind) {
        let Some(action) = self.pending.first().cloned() else { return };
        let (executor, detail, effect_ms) = ("test".into(), "no room".into(), self.now_ms - 1_000);
        let (action_id, account, tenant) = (action.action_id, action.account, action.tenant);
        let outcome = ActionOutcome { action_id, account, tenant, kind, effect_ms, executor, detail };
        let payload = Wire::new().to_bytes(&outcome);
        self.epoch(Topic::Outcomes, vec![Output::keyed(Topic::Outcomes, account.to_key(), payload, 0)]);
    }
}

/// A request at the time of the log at which words are told here.
fn asked(kind: RequestKind, by: &str, number: u8) -> Control {
    let request = request(kind, by, 0, number);
    switch_word(&request.record_name(), &request)
}

/// What the decisions on every kind of input come to: every record, and all of the state.
fn decisions() -> String {
    let stage = EnforcerStage::new(keys(), Arc::new(Wire::new())).trusting(root().public());
    let mut life = Life { stage, epoch: 0, now_ms: 0, pending: Vec::new(), sha: Sha256::new() };
    let words = [
        posture("audit"),
        posture("canary 50"),
        posture("enforce"),
        posture("nonsense"),
        control(ControlKind::Setting, crate::age::AGE_NAME, "3600000"),
        control(ControlKind::Key, AUDIT_KEY_NAME, "k2"),
        posture("enforce"),
        control(ControlKind::Setting, crate::limiter::LIMIT_NAME, "floor 4 share 0 accounts 0 partitions 1"),
        control(ControlKind::Setting, &format!("act.protected/account/{}", account(3)), "on"),
        control(ControlKind::Setting, crate::limiter::RESUME_NAME, "999999999999"),
        control(ControlKind::Setting, "act.limit/acme", "accounts 2"),
        control(ControlKind::Setting, "act.resume/acme", "999999999999"),
        control(ControlKind::Setting, crate::limiter::LIMIT_NAME, STORM_OF_7),
        control(ControlKind::Setting, "act.resume/globex", "999999999999"),
        control(ControlKind::Setting, crate::limiter::RESUME_NAME, "999999999999"),
        control(ControlKind::Setting, "act.limit/acme", "default"),
        control(ControlKind::Setting, "act.ring/2", "900000 manual"),
        control(ControlKind::Setting, crate::safeguards::REINSTATE_NAME, &format!("account/{}", account(2))),
        control(ControlKind::Setting, crate::safeguards::REVEAL_NAME, &format!("{} ticket 4711", account(1))),
        switch_word(PERSONS_NAME, &everybody()),
        asked(RequestKind::FlushJournal, "max", 1),
        asked(RequestKind::BreakGlass, "rita", 2),
        asked(RequestKind::EnableAuditOnly, "olga", 3),
        asked(RequestKind::EnableAuditOnly, "olga", 3),
        asked(RequestKind::RestoreNormal, "otto", 4),
    ];
    for (round, word) in words.iter().enumerate() {
        life.told(word);
        for turn in 0..40 {
            // Steps of up to an hour, in no order that the tiers or accounts have.
            life.now_ms += [1, 4, 17, 61, 9][turn % 5] * MINUTE_MS;
            let account = (turn % 7) as u32;
            let late_ms = if turn % 9 == 8 { 30 * 3_600_000 } else { 0 };
            let said = verdict(account, (life.now_ms - late_ms).max(0), Tier::ALL[(turn + round) % 4]);
            let said = if turn % 3 == 0 { resting_on(account % 2, said) } else { said };
            let origin = if turn % 11 == 10 { Origin::Import } else { Origin::Live };
            life.verdicts(&[Verdict { partial: turn % 13 == 12, origin, ..said.clone() }, said]);
            match turn % 4 {
                0 | 1 => life.answer(OutcomeKind::Told),
                2 => life.answer(OutcomeKind::Failed),
                _ => {}
            }
        }
        // A storm of one tenant, and one of several.
        for tenants in [1, 3] {
            let found = (100..130).map(|number| Verdict {
                tenant: ["globex", "acme", "initech"][number as usize % tenants].into(),
                ..verdict(100 * tenants as u32 + number, life.now_ms, Tier::Critical)
            });
            life.verdicts(&found.collect::<Vec<_>>());
            life.now_ms += MINUTE_MS;
        }
        life.verdicts(&[Verdict { score: f64::NAN, ..verdict(1, 0, Tier::High) }]);
        // Whatever is under way comes to its end.
        life.now_ms += 40 * 24 * 60 * MINUTE_MS;
        life.epoch(Topic::Verdicts, Vec::new());
    }
    let waiting = life.stage.reviews.items().find(|item| item.is_open());
    let waiting = waiting.map(|item| (item.action_id, item.latest_verdict_id));
    let about = waiting.expect("an account waits for an analyst");
    let account = life.stage.reviews.get(about.0).map(|item| item.account);
    let confirm = review_decision(about, Decision::Confirmed, "ben", 0, 2);
    for word in [review_word(about.0, Says::Note, "anna", 0, 1), confirm.clone(), confirm] {
        life.told(&review_record(&word));
    }
    let again = Verdict { account: account.unwrap(), ..verdict(1, life.now_ms, Tier::High) };
    life.verdicts(std::slice::from_ref(&again));
    let about = (ActionId::of(again.verdict_id, ActionKind::Suspend), again.verdict_id);
    life.told(&review_record(&review_decision(about, Decision::Refuted, "anna", 0, 3)));
    life.now_ms += 90 * MINUTE_MS;
    life.verdicts(&[Verdict { account: account.unwrap(), ..verdict(1, life.now_ms, Tier::High) }]);
    let sha: [u8; 32] = life.sha.finalize().into();
    Digest(sha).to_string()
}

#[test]
fn who_decides_differently_has_another_version() {
    let version = format!("version {JUDGE_VERSION}\n");
    let found = format!("{version}records {}\n", decisions());
    assert!(
        !GOLDEN.starts_with(&version) || GOLDEN == found,
        "The same log gives other records, or another state, than it gave before: raise \
         weir_enforcer::stage::JUDGE_VERSION, and then write down what it comes to with UPDATE_EXPECT=1. Without, a task \
         that is upgraded after a crash would end as diverged."
    );
    expect_file!["golden.txt"].assert_eq(&found);
}
