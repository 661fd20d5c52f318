use super::*;
use crate::accounts::Kept;
use crate::answer::decision::Decision;
use crate::answer::standings::{Follower, Standings};
use crate::limits::ACCOUNTS_MAX;
use crate::testing::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;
use weir_schemas::{Action, ActionId, ActionKind, ActionState, AuditKind, Control, ControlKind, Verdict};
use weir_schemas::{
    ActionOutcome, AuditEntry, DeadLetter, Origin, OutcomeKind, Revert, Signal, Standing, StandingStatus,
    Tier,
};
use weir_topology::clock::Clock as _;
use weir_topology::memory::MemoryLog;
use weir_topology::record::Records;
use weir_topology::telemetry::Telemetry;

mod charter;
mod golden;
mod guard;
mod kill_switch;
mod reviews;
mod takeover;

fn entries(log: &MemoryLog) -> Vec<AuditEntry> {
    log.all(Topic::Audit).iter().map(|o| Wire::new().read(o.payload.as_ref().unwrap()).unwrap()).collect()
}

fn audits(log: &MemoryLog) -> Vec<Audit> {
    log.all(Topic::Audit).iter().map(|o| audit_in(o.payload.as_ref().unwrap())).collect()
}

fn actions(log: &MemoryLog) -> Vec<Action> {
    log.all(Topic::Actions).iter().map(|o| Wire::new().read(o.payload.as_ref().unwrap()).unwrap()).collect()
}

/// Folds a posture and verdicts, and shows the actions.
fn check(stance: Option<&str>, verdicts: &[Verdict], expected: Expect) -> Rig {
    let rig = Rig::new(1);
    if let Some(stance) = stance {
        rig.put_control(&posture(stance));
    }
    rig.enforce_live(verdicts);
    let is_decision = |a: &&Action| matches!(a.state, ActionState::Pending | ActionState::Withheld);
    let shown: Vec<String> = actions(&rig.log)
        .iter()
        .filter(is_decision)
        .map(|a| {
            let minutes = a.lasts_ms.map(|ms| ms / MINUTE_MS);
            format!("{} {} {} for {minutes:?}: {}\n", a.taken_ms / MINUTE_MS, a.kind, a.state, a.reason)
        })
        .collect();
    expected.assert_eq(&shown.concat());
    sound(&entries(&rig.log));
    rig
}

#[test]
fn a_fresh_install_acts_on_nothing_and_says_what_it_would_have_done() {
    let verdicts = [verdict(1, 0, Tier::Medium), verdict(2, 0, Tier::High), verdict(3, 0, Tier::Critical)];
    let rig = check(
        None,
        &verdicts,
        expect![[r#"
            0 RATE_LIMIT WITHHELD for Some(5): the posture is audit
            0 REVIEW WITHHELD for None: the posture is audit
            0 RATE_LIMIT WITHHELD for Some(60): the posture is audit
            0 SUSPEND WITHHELD for Some(10): the posture is audit
        "#]],
    );
    assert!(actions(&rig.log).iter().all(|action| action.posture == Posture::Audit));
}

/// How long effects took, as it is told.
#[derive(Default)]
struct Took(Mutex<Vec<i64>>);

impl Telemetry for Took {
    fn effect_told(&self, took_ms: i64) {
        self.0.lock().unwrap().push(took_ms);
    }
}

#[test]
fn how_long_an_effect_took_is_told_and_nothing_of_what_failed_or_only_shows_an_account_to_people() {
    let took = Arc::new(Took::default());
    let rig = Rig { telemetry: took.clone(), ..Rig::new(1) };
    rig.put_control(&posture("enforce"));
    let answered = |verdict: Verdict, after_ms, kind| {
        rig.calendar.set(verdict.time_ms);
        rig.put_verdicts(std::slice::from_ref(&verdict));
        rig.enforce();
        rig.calendar.set(verdict.time_ms + after_ms);
        rig.answer(kind);
        rig.enforce();
    };
    answered(verdict(1, 0, Tier::Critical), 1_500, OutcomeKind::Told);
    assert_eq!(*took.0.lock().unwrap(), [1_500]);
    answered(verdict(2, MINUTE_MS, Tier::Medium), 2_500, OutcomeKind::Failed);
    assert_eq!(took.0.lock().unwrap().len(), 1);
    // It is slowed down, and reviewed.
    answered(verdict(3, 2 * MINUTE_MS, Tier::High), 3_500, OutcomeKind::Told);
    assert_eq!(*took.0.lock().unwrap(), [1_500, 3_500]);
    let reviewed = |action: &Action| action.kind == ActionKind::Review && action.state == ActionState::Done;
    assert!(actions(&rig.log).iter().any(reviewed));
}

#[test]
fn in_enforce_posture_the_tier_decides_and_ring_three_is_undone_by_a_person() {
    let rig = check(
        Some("enforce"),
        &[
            verdict(1, 0, Tier::Medium),
            verdict(2, 0, Tier::High),
            resting_on(7, verdict(3, 0, Tier::Critical)),
        ],
        expect![[r#"
            0 RATE_LIMIT PENDING for Some(5): tier MEDIUM, score 0.400
            0 REVIEW PENDING for None: tier HIGH, score 0.600
            0 RATE_LIMIT PENDING for Some(60): tier HIGH, score 0.600
            0 SUSPEND PENDING for Some(10): tier CRITICAL, score 0.900
            0 SHARE_INDICATORS PENDING for None: tier CRITICAL, score 0.900
        "#]],
    );
    for action in actions(&rig.log) {
        assert_eq!(action.revert == Revert::Manual, action.ring >= 3);
    }
}

#[test]
fn a_partial_verdict_leads_to_a_review_at_most() {
    let partial = Verdict { partial: true, ..resting_on(7, verdict(1, 0, Tier::Critical)) };
    check(
        Some("enforce"),
        &[partial],
        expect![[r#"
            0 REVIEW PENDING for None: tier CRITICAL, score 0.900, partial
        "#]],
    );
}

#[test]
fn the_same_action_is_not_taken_twice_until_it_expires() {
    let at = |minute| verdict(1, minute * MINUTE_MS, Tier::Medium);
    check(
        Some("enforce"),
        &[at(0), at(4), at(5)],
        expect![[r#"
            0 RATE_LIMIT PENDING for Some(5): tier MEDIUM, score 0.400
            4 RATE_LIMIT WITHHELD for Some(5): already in force
            5 RATE_LIMIT PENDING for Some(5): tier MEDIUM, score 0.400
        "#]],
    );
}

#[test]
fn an_action_in_force_never_holds_an_escalation_back() {
    let at = |minute, tier| verdict(1, minute * MINUTE_MS, tier);
    check(
        Some("enforce"),
        &[at(0, Tier::Medium), at(1, Tier::High), at(2, Tier::Critical), at(3, Tier::Medium)],
        expect![[r#"
            0 RATE_LIMIT PENDING for Some(5): tier MEDIUM, score 0.400
            1 REVIEW PENDING for None: tier HIGH, score 0.600
            1 RATE_LIMIT PENDING for Some(60): tier HIGH, score 0.600
            2 SUSPEND PENDING for Some(10): tier CRITICAL, score 0.900
            3 RATE_LIMIT WITHHELD for Some(5): already in force
        "#]],
    );
}

#[test]
fn indicators_are_shared_again_when_the_verdict_rests_on_other_values() {
    let at = |minute, value| resting_on(value, verdict(1, minute * MINUTE_MS, Tier::Critical));
    check(
        Some("enforce"),
        &[at(0, 1), at(1, 1), at(2, 2)],
        expect![[r#"
            0 SUSPEND PENDING for Some(10): tier CRITICAL, score 0.900
            0 SHARE_INDICATORS PENDING for None: tier CRITICAL, score 0.900
            1 SUSPEND WITHHELD for Some(10): already in force
            1 SHARE_INDICATORS WITHHELD for None: already in force
            2 SUSPEND WITHHELD for Some(10): already in force
            2 SHARE_INDICATORS PENDING for None: tier CRITICAL, score 0.900
        "#]],
    );
}

#[test]
fn what_the_posture_withheld_is_done_as_soon_as_it_permits_it() {
    let rig = Rig::new(1);
    rig.put_verdicts(&[verdict(1, 0, Tier::Medium), verdict(1, 1, Tier::Medium)]);
    rig.enforce();
    rig.put_control(&posture("enforce"));
    rig.put_verdicts(&[verdict(1, 2, Tier::Medium), verdict(1, 3, Tier::Medium)]);
    rig.enforce();
    let shown: Vec<_> = actions(&rig.log).iter().map(|a| format!("{}: {}\n", a.state, a.reason)).collect();
    expect![[r#"
        WITHHELD: the posture is audit
        WITHHELD: already in force; withheld all the same: the posture is audit
        PENDING: tier MEDIUM, score 0.400
        WITHHELD: already in force
    "#]]
    .assert_eq(&shown.concat());
}

/// A limit that no test of something else reaches.
const WIDE: &str = "floor 100000 share 0 accounts 0 partitions 1";

#[test]
fn a_canary_acts_on_its_share_of_accounts_only() {
    let verdicts: Vec<Verdict> = (0..400).map(|number| verdict(number, 0, Tier::Medium)).collect();
    let rig = Rig::new(1);
    rig.put_control(&posture("canary 25"));
    // More than the limiter would let act without a person's word.
    rig.put_control(&control(ControlKind::Setting, crate::limiter::LIMIT_NAME, WIDE));
    rig.put_verdicts(&verdicts);
    rig.enforce();
    let pending = actions(&rig.log).iter().filter(|a| a.state == ActionState::Pending).count();
    assert!((60..140).contains(&pending), "{pending} of 400");
    assert!(actions(&rig.log).iter().all(|a| a.posture == Posture::Canary));
}

#[test]
fn a_decision_is_in_the_audit_chain_before_each_action_of_the_same_commit() {
    let mut stage = EnforcerStage::new(keys(), Arc::new(Wire::new()));
    let verdicts =
        [verdict(1, 0, Tier::High), resting_on(1, verdict(2, 0, Tier::Critical)), verdict(3, 0, Tier::Clear)];
    let effects = stage.step(&batch(&verdicts, 0));
    let mut audited = Vec::new();
    for output in &effects.outputs {
        let payload = output.payload.as_ref().unwrap();
        if output.topic == Topic::Audit {
            let (entry, audit) = (Wire::new().read::<AuditEntry>(payload).unwrap(), audit_in(payload));
            assert_eq!((audit.kind, entry.writer.as_str()), (AuditKind::Decision, "enforcer/4"));
            audited.push((audit.action_id, entry.sequence));
        } else {
            let action: Action = Wire::new().read(payload).unwrap();
            let sequence = output.headers.iter().find(|(name, _)| *name == AUDIT_SEQUENCE_HEADER).unwrap();
            let sequence = std::str::from_utf8(&sequence.1).unwrap().parse().unwrap();
            assert!(audited.contains(&(Some(action.action_id), sequence)));
        }
        assert_eq!(output.partition, Some(4));
    }
    assert_eq!((effects.outputs.len(), audited.len(), effects.judged), (9, 5, 3));
    assert_eq!(audited.last(), Some(&(None, 5)), "a verdict that asks for nothing is audited too");
}

fn batch(verdicts: &[Verdict], epoch: i64) -> Batch {
    let mut records = Records::default();
    for (offset, verdict) in verdicts.iter().enumerate() {
        let payload = Wire::new().to_bytes(verdict);
        records.push(offset as i64, verdict.time_ms, &verdict.account.to_key(), Some(&payload), []);
    }
    let inputs = vec![InputBatch { topic: Topic::Verdicts, partition: 4, records }];
    Batch { epoch, partition: 4, clock_ms: 0, taken_ms: Some(0), inputs }
}

fn refused_control(control: &Control, expected: Expect) {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    rig.put_control(control);
    rig.put_verdicts(&[verdict(1, 0, Tier::Medium)]);
    rig.enforce();
    let refusal = audits(&rig.log).into_iter().find(|audit| audit.kind == AuditKind::Refusal).unwrap();
    let letter: DeadLetter = Wire::new().read(rig.log.all(Topic::Dlq)[0].payload.as_ref().unwrap()).unwrap();
    assert_eq!(refusal.reason, letter.reason);
    expected.assert_eq(&format!("{} {}: {}", letter.kind, refusal.actor, refusal.reason));
    assert_eq!(actions(&rig.log)[0].state, ActionState::Pending, "the posture is what it was");
}

#[test]
fn a_posture_that_cannot_be_followed_changes_nothing_and_says_so_in_chain_and_dead_letters() {
    refused_control(
        &posture("canary many"),
        expect![[
            r#"INVALID_FIELD olga: the posture must be audit, canary 0 to 100, or enforce; not "canary many""#
        ]],
    );
    refused_control(
        &control(ControlKind::Posture, "postures", "audit"),
        expect!["INVALID_FIELD olga: a posture must have the name posture"],
    );
    refused_control(
        &control(ControlKind::Key, AUDIT_KEY_NAME, "k9"),
        expect!["INVALID_FIELD olga: the enforcer was not given an audit key of this id"],
    );
}

#[test]
fn a_change_of_posture_is_in_the_chain_with_its_author_and_deleting_it_goes_back_to_audit() {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    rig.put(vec![Output::tombstone(Topic::Control, b"posture".to_vec(), 9)]);
    rig.put_verdicts(&[verdict(1, 0, Tier::Medium)]);
    rig.enforce();
    let shown: Vec<_> = audits(&rig.log)
        .iter()
        .map(|a| format!("{} {} {}: {}\n", a.kind, a.actor, a.outcome, a.reason))
        .collect();
    expect![[r#"
        OPERATOR olga posture_changed: posture audit gives way to enforce
        OPERATOR operator posture_changed: posture enforce gives way to audit
        DECISION enforcer withheld: the posture is audit
    "#]]
    .assert_eq(&shown.concat());
}

#[test]
fn the_chain_moves_to_another_key_by_a_control_record_and_verifies_across_it() {
    let rig = Rig::new(1);
    rig.put_verdicts(&[verdict(1, 0, Tier::Medium)]);
    rig.enforce();
    rig.put_control(&control(ControlKind::Key, AUDIT_KEY_NAME, "k2"));
    rig.put_verdicts(&[verdict(2, 0, Tier::Medium)]);
    rig.enforce();
    rig.put_verdicts(&[verdict(3, 0, Tier::Medium)]);
    rig.enforce();
    let report = sound(&entries(&rig.log));
    assert_eq!(report.by_key.into_iter().collect::<Vec<_>>(), [("k1".into(), 2), ("k2".into(), 2)]);
}

#[test]
fn a_verdict_that_cannot_be_used_is_a_dead_letter_with_its_bytes_and_the_next_one_is_answered() {
    let sound = verdict(1, 0, Tier::Medium);
    let spoiled = [
        b"garbage".to_vec(),
        [&[0xC3, 1][..], &[7; 12]].concat(),
        Wire::new().to_bytes(&Verdict { score: f64::NAN, ..sound.clone() }),
        Wire::new().to_bytes(&Verdict { time_ms: i64::MAX, ..sound.clone() }),
        Wire::new().to_bytes(&Verdict { tenant: "x".repeat(600_000), ..sound.clone() }),
    ];
    let rig = Rig::new(1);
    let record = |payload: &Vec<u8>| Output::keyed(Topic::Verdicts, b"key".to_vec(), payload.clone(), 5);
    rig.put(spoiled.iter().map(record).collect());
    rig.put_verdicts(&[sound]);
    rig.enforce();
    let mut shown = String::new();
    for (letter, payload) in rig.log.all(Topic::Dlq).iter().zip(&spoiled) {
        assert_eq!(letter.key, b"key");
        let letter: DeadLetter = Wire::new().read(letter.payload.as_ref().unwrap()).unwrap();
        assert_eq!((&letter.payload, letter.length), (payload, payload.len() as i64));
        shown += &format!(
            "{} {}/{} {}: {}\n",
            letter.stage, letter.origin, letter.offset, letter.kind, letter.reason
        );
    }
    expect![[r#"
        enforcer weir.verdicts/0 UNDECODABLE: the record has neither a single-object nor a Confluent frame
        enforcer weir.verdicts/1 UNKNOWN_SCHEMA: the record is written with schema 0707070707070707, which this build does not know
        enforcer weir.verdicts/2 IMPOSSIBLE: the score is not between 0 and 1
        enforcer weir.verdicts/3 IMPOSSIBLE: the time is before 1970 or after 9999
        enforcer weir.verdicts/4 IMPOSSIBLE: there are too many signals, or a name is too long
    "#]]
    .assert_eq(&shown);
    assert_eq!(actions(&rig.log).len(), 1);
}

#[test]
fn a_record_at_the_logs_own_limit_becomes_a_dead_letter_that_the_log_takes() {
    let rig = Rig::new(1);
    let payload = vec![7; weir_topology::limits::RECORD_BYTES_MAX - 3];
    rig.put(vec![Output::keyed(Topic::Verdicts, b"key".to_vec(), payload.clone(), 5)]);
    rig.enforce();
    let letter: DeadLetter = Wire::new().read(rig.log.all(Topic::Dlq)[0].payload.as_ref().unwrap()).unwrap();
    assert_eq!(letter.length, payload.len() as i64);
    assert!(letter.reason.ends_with("the payload was cut, read the rest at its place"), "{}", letter.reason);
}

/// Every transition and every standing that was told, as they were taken.
fn story(rig: &Rig) -> String {
    let action = |a: Action| {
        let until = a.expires_ms.map_or(String::new(), |ms| format!(" until {}", ms / MINUTE_MS));
        format!("{} {} {}{until}: {}\n", a.taken_ms / MINUTE_MS, a.kind, a.state, a.reason)
    };
    rig.actions().into_iter().map(action).collect()
}

fn stands(rig: &Rig, expected: Expect) {
    let shown = rig.all::<Standing>(Topic::Standing).into_iter().map(|standing| {
        let minutes = |ms: i64| ms / MINUTE_MS;
        let until = standing.until_ms.map_or("".into(), |ms| format!(" until {}", minutes(ms)));
        format!("{} since {}{until}", standing.status, minutes(standing.since_ms))
    });
    let shown: Vec<String> = shown.collect();
    expected.assert_eq(&shown.join("\n"));
}

#[test]
fn an_account_is_slowed_down_without_a_gap_for_as_long_as_high_is_said_again() {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    for minute in [0, 33, 66] {
        rig.calendar.set(minute * MINUTE_MS);
        rig.enforce_live(&[verdict(1, minute * MINUTE_MS, Tier::High)]);
    }
    rig.calendar.set(126 * MINUTE_MS);
    rig.enforce();
    expect![[r#"
        0 REVIEW PENDING: tier HIGH, score 0.600
        0 RATE_LIMIT PENDING: tier HIGH, score 0.600
        0 REVIEW DONE: told by test
        0 RATE_LIMIT DONE until 60: told by test
        33 REVIEW WITHHELD: already in force
        33 RATE_LIMIT PENDING: tier HIGH, score 0.600
        33 RATE_LIMIT DONE until 93: told by test
        33 RATE_LIMIT SUPERSEDED until 60: action ea2e32a32acac28c9a134c558f822f33 took its place
        66 REVIEW WITHHELD: already in force
        66 RATE_LIMIT PENDING: tier HIGH, score 0.600
        66 RATE_LIMIT DONE until 126: told by test
        66 RATE_LIMIT SUPERSEDED until 93: action ba6eab31a8610c10564ce8d7fa5fa1e7 took its place
        126 RATE_LIMIT REVERTED until 126: its time is over
    "#]]
    .assert_eq(&story(&rig));
    stands(&rig, expect!["GOOD since 126"]);
}

#[test]
fn an_action_lasts_from_its_effect_and_is_undone_without_a_record_coming() {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    // The verdict comes an hour late, and its executor answers twenty minutes after it.
    rig.put_verdicts(&[verdict(1, 0, Tier::Medium)]);
    rig.calendar.set(60 * MINUTE_MS);
    rig.enforce();
    stands(&rig, expect![""]);
    rig.calendar.set(80 * MINUTE_MS);
    rig.answer(OutcomeKind::Told);
    rig.enforce();
    stands(&rig, expect!["LIMITED since 80 until 85"]);
    rig.calendar.set(85 * MINUTE_MS - 1);
    rig.enforce();
    stands(&rig, expect!["LIMITED since 80 until 85"]);
    rig.calendar.set(85 * MINUTE_MS);
    rig.enforce();
    stands(&rig, expect!["GOOD since 85"]);
    expect![[r#"
        60 RATE_LIMIT PENDING: tier MEDIUM, score 0.400
        80 RATE_LIMIT DONE until 85: told by test
        85 RATE_LIMIT REVERTED until 85: its time is over
    "#]]
    .assert_eq(&story(&rig));
    let epochs = rig.log.all(Topic::Epochs).len();
    rig.enforce();
    assert_eq!(rig.log.all(Topic::Epochs).len(), epochs, "nothing is due any more");
}

#[test]
fn what_only_a_person_undoes_outlasts_its_time_and_is_told_again_before_it_is_forgotten() {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    rig.enforce_live(&[verdict(1, 0, Tier::Critical)]);
    stands(&rig, expect!["SUSPENDED since 0"]);
    rig.calendar.set(10 * MINUTE_MS);
    rig.enforce();
    stands(&rig, expect!["SUSPENDED since 0"]);
    expect![[r#"
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND DONE until 10: told by test
        10 SUSPEND EXPIRED until 10: its time is over, a person is to undo it
    "#]]
    .assert_eq(&story(&rig));
    let told_ms = |rig: &Rig| rig.all::<Standing>(Topic::Standing)[0].told_ms;
    let before = told_ms(&rig);
    rig.calendar.set(40 * 24 * 60 * MINUTE_MS);
    rig.enforce();
    assert_eq!((before, told_ms(&rig)), (0, 40 * 24 * 60 * MINUTE_MS));
    stands(&rig, expect!["SUSPENDED since 0"]);
}

/// What a server of gateways that starts now tells of account `number`; none where the log has nothing of it.
fn answered(rig: &Rig, number: u32) -> Option<&'static str> {
    let (standings, now_ms) = (Arc::<Standings>::default(), rig.calendar.unix_ms());
    Follower::new(rig.log.clone(), rig.wire.clone(), None, standings.clone()).run_once(now_ms).unwrap();
    let known = standings.get(account(number))?;
    Some(Decision::of(Some(known), now_ms).status.as_str())
}

#[test]
fn who_is_suspended_for_good_is_refused_after_any_time_and_of_whom_it_is_over_nothing_stays() {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    rig.enforce_live(&[
        verdict(1, 0, Tier::Critical),
        verdict(2, 0, Tier::Medium),
        verdict(3, 0, Tier::Medium),
    ]);
    // An operator lets one of them go earlier.
    let reinstated = format!("account/{}", account(3));
    rig.put_control(&control(ControlKind::Setting, crate::safeguards::REINSTATE_NAME, &reinstated));
    rig.enforce();
    let told = |rig: &Rig| (1..=3).map(|number| answered(rig, number)).collect::<Vec<_>>();
    assert_eq!(told(&rig), [Some("suspended"), Some("rate_limited"), Some("watch")]);
    rig.calendar.set(5 * MINUTE_MS);
    rig.enforce();
    assert_eq!(told(&rig), [Some("suspended"), Some("watch"), Some("watch")]);
    rig.calendar.set(24 * 60 * MINUTE_MS + 5 * MINUTE_MS - 1);
    rig.enforce();
    assert_eq!(told(&rig), [Some("suspended"), Some("watch"), None]);
    rig.calendar.set(24 * 60 * MINUTE_MS + 5 * MINUTE_MS);
    rig.enforce();
    let epochs = rig.log.all(Topic::Epochs).len();
    rig.enforce();
    assert_eq!(rig.log.all(Topic::Epochs).len(), epochs, "nothing is due any more");
    // No enforcer has run for a year.
    rig.calendar.set(366 * 24 * 60 * MINUTE_MS);
    assert_eq!(told(&rig), [Some("suspended"), None, None]);
    stands(&rig, expect!["SUSPENDED since 0"]);
    let of_others = rig.log.all(Topic::StateEnforcer).into_iter().filter(|entry| {
        [account(2), account(3)].iter().any(|account| entry.key == account.to_key())
            && entry.payload.is_some()
    });
    assert_eq!(of_others.count(), 0, "nor does the enforcer remember anything of them");
}

#[test]
fn nobody_is_told_to_stand_in_any_way_by_an_enforcer_that_had_no_room_to_remember_why() {
    let mut stage = EnforcerStage::new(keys(), Arc::new(Wire::new()));
    let standing = Standing { status: StandingStatus::Suspended, ..Standing::default() };
    let suspended = Kept { standing: Some(standing), ..Kept::default() };
    for number in 0..=ACCOUNTS_MAX as u128 {
        stage.accounts.put(AccountId(number.to_be_bytes()), suspended.clone());
    }
    let effects = stage.step(&batch(&[], 1));
    let expected = Output::tombstone(Topic::Standing, AccountId([0; 16]).to_key(), 0);
    assert_eq!(effects.outputs, [expected.in_partition(4)]);
    assert_eq!(effects.tallies, [(Tally::EvictedByCap, 1)]);
}

#[test]
fn the_graver_action_makes_the_standing_and_when_it_ends_the_other_one_does() {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    let at = |minute, tier| verdict(1, minute * MINUTE_MS, tier);
    rig.enforce_live(&[at(0, Tier::Medium), at(2, Tier::High), at(3, Tier::Critical)]);
    stands(&rig, expect!["SUSPENDED since 3"]);
    rig.calendar.set(90 * MINUTE_MS);
    rig.enforce();
    stands(&rig, expect!["SUSPENDED since 3"]);
    let ids: Vec<_> = rig.actions().iter().map(|action| action.action_id.to_string()).collect();
    let named =
        ids.iter().enumerate().fold(story(&rig), |story, (n, id)| story.replace(id, &format!("#{n}")));
    expect![[r#"
        0 RATE_LIMIT PENDING: tier MEDIUM, score 0.400
        0 RATE_LIMIT DONE until 5: told by test
        2 REVIEW PENDING: tier HIGH, score 0.600
        2 RATE_LIMIT PENDING: tier HIGH, score 0.600
        2 REVIEW DONE: told by test
        2 RATE_LIMIT DONE until 62: told by test
        2 RATE_LIMIT SUPERSEDED until 5: action #3 took its place
        3 SUSPEND PENDING: tier CRITICAL, score 0.900
        3 SUSPEND DONE until 13: told by test
        90 RATE_LIMIT REVERTED until 62: its time is over
        90 SUSPEND EXPIRED until 13: its time is over, a person is to undo it
    "#]]
    .assert_eq(&named);
}

/// A signal of this family, at its weight.
fn signal(family: &str, millinats: i32) -> Signal {
    Signal { detector: format!("of {family}"), family: family.into(), millinats, ..Signal::default() }
}

/// What account `number` is told to stand by: the score, and the families.
fn told_evidence(rig: &Rig, number: u32) -> Option<(f64, String)> {
    let standings = rig.all::<Standing>(Topic::Standing);
    let standing = standings.into_iter().find(|standing| standing.account == account(number))?;
    standing.evidence.map(|evidence| (evidence.score, evidence.families.join(" ")))
}

#[test]
fn how_an_account_stands_says_what_its_verdict_rests_on_for_as_long_as_it_is_told() {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    let of = |number, tier, signals| Verdict { signals, ..verdict(number, 0, tier) };
    let many = vec![
        signal("payment", 3_000),
        signal("timing", 2_000),
        signal("content", 1_000),
        signal("timing", 1_500),
        signal("content", -1_000),
        signal("owner", -900),
    ];
    let medium = of(1, Tier::Medium, vec![signal("kin", 1)]);
    rig.enforce_live(&[medium, of(2, Tier::Medium, Vec::new())]);
    assert_eq!(told_evidence(&rig, 1), Some((0.4, "kin".into())));
    assert_eq!(told_evidence(&rig, 2), Some((0.4, String::new())), "known, and nothing speaks against it");
    // The graver action makes the standing, and is what it rests on.
    rig.enforce_live(&[of(1, Tier::Critical, many)]);
    let critical = Some((0.9, "timing payment".into()));
    assert_eq!(told_evidence(&rig, 1), critical);
    rig.put_control(&control(
        ControlKind::Setting,
        crate::safeguards::REINSTATE_NAME,
        &format!("account/{}", account(1)),
    ));
    rig.enforce();
    stands(
        &rig,
        expect![[r#"
        LIMITED since 0 until 5
        GOOD since 0"#]],
    );
    assert_eq!(told_evidence(&rig, 1), critical, "what it was told to stand by last");
}

#[test]
fn what_fails_or_is_never_answered_is_asked_for_again_and_changes_no_standing() {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    let at = |minute| verdict(1, minute * MINUTE_MS, Tier::Medium);
    rig.put_verdicts(&[at(0)]);
    rig.enforce();
    rig.answer(OutcomeKind::Failed);
    rig.enforce();
    rig.calendar.set(MINUTE_MS);
    rig.put_verdicts(&[at(1)]);
    rig.enforce();
    // A day and the grace later.
    rig.calendar.set((1 + 25 * 60) * MINUTE_MS);
    rig.put_verdicts(&[at(25 * 60)]);
    rig.enforce();
    stands(&rig, expect![""]);
    expect![[r#"
        0 RATE_LIMIT PENDING: tier MEDIUM, score 0.400
        0 RATE_LIMIT FAILED: test did not carry it out: no room
        1 RATE_LIMIT PENDING: tier MEDIUM, score 0.400
        1501 RATE_LIMIT FAILED: nobody carried it out by its deadline
        1501 RATE_LIMIT PENDING: tier MEDIUM, score 0.400
    "#]]
    .assert_eq(&story(&rig));
}

#[test]
fn of_each_effect_it_is_measured_how_long_it_took_or_that_it_never_came_about() {
    let mut stage = EnforcerStage::new(keys(), Arc::new(Wire::new()));
    let decided_ms = 100 * 24 * 60 * MINUTE_MS;
    // An enforcer of three accounts that are slowed down and one that is only shown to people, each of which
    // waits.
    let kinds = [ActionKind::RateLimit, ActionKind::RateLimit, ActionKind::RateLimit, ActionKind::Review];
    for (number, kind) in (1..).zip(kinds) {
        let waits = Action {
            action_id: ActionId([number; 16]),
            account: account(number.into()),
            kind,
            state: ActionState::Pending,
            taken_ms: decided_ms,
            deadline_ms: Some(decided_ms + MINUTE_MS),
            lasts_ms: Some(MINUTE_MS),
            ..Action::default()
        };
        stage.accounts.put(waits.account, Kept { open: vec![waits], ..Kept::default() });
    }
    let answer = |number: u8, kind, effect_ms| {
        let account = account(number.into());
        let outcome = ActionOutcome {
            action_id: ActionId([number; 16]),
            account,
            kind,
            effect_ms,
            ..ActionOutcome::default()
        };
        Output::keyed(Topic::Outcomes, account.to_key(), Wire::new().to_bytes(&outcome), 0)
    };
    let mut epoch = 0;
    let mut step = |taken_ms, answers: &[Output]| {
        epoch += 1;
        let mut records = Records::default();
        for (offset, answer) in (0..).zip(answers) {
            records.push(offset, 0, &answer.key, answer.payload.as_deref(), []);
        }
        let inputs = vec![InputBatch { topic: Topic::Outcomes, partition: 0, records }];
        let effects =
            stage.step(&Batch { epoch, partition: 0, clock_ms: 0, taken_ms: Some(taken_ms), inputs });
        let failed = effects.tallies.iter().find(|(tally, _)| *tally == Tally::EffectsFailed);
        (effects.effects_ms, failed.map_or(0, |(_, count)| *count))
    };
    // One executor's clock is an hour ahead, the other refuses.
    let ahead_ms = decided_ms + 60 * MINUTE_MS;
    let answers = [answer(1, OutcomeKind::Told, ahead_ms), answer(2, OutcomeKind::Failed, decided_ms)];
    assert_eq!(step(decided_ms + 700, &answers), (vec![700], 1));
    // Nobody carries the others out.
    let none: (Vec<i64>, u64) = (Vec::new(), 0);
    assert_eq!(step(decided_ms + MINUTE_MS, &[]), none);
    assert_eq!(
        step(decided_ms + 24 * 60 * MINUTE_MS, &[]),
        (Vec::new(), 1),
        "to show it to people is no effect"
    );
    assert_eq!(step(decided_ms + 48 * 60 * MINUTE_MS, &[]), none);
}

#[test]
fn an_answer_counts_once_and_one_that_nobody_waits_for_changes_nothing() {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    rig.enforce_live(&[verdict(1, 0, Tier::Medium)]);
    let told = rig.all::<ActionOutcome>(Topic::Outcomes);
    let stranger = ActionOutcome { action_id: ActionId([7; 16]), ..told[0].clone() };
    rig.put_outcomes(vec![told[0].clone(), stranger]);
    let misplaced = Output::keyed(Topic::Outcomes, account(2).to_key(), rig.wire.to_bytes(&told[0]), 0);
    rig.put(vec![misplaced]);
    rig.enforce();
    assert_eq!(rig.actions().len(), 2);
    let letters: Vec<DeadLetter> = rig.all(Topic::Dlq);
    assert_eq!(
        letters.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>(),
        ["the record's key is not its account"]
    );
}

#[test]
fn history_is_withheld_and_what_lags_is_not() {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    let now_ms = 100 * 24 * 60 * MINUTE_MS;
    rig.calendar.set(now_ms);
    let day_ms = 24 * 60 * MINUTE_MS;
    rig.put_verdicts(&[
        verdict(1, now_ms - day_ms, Tier::Medium),
        verdict(2, now_ms - day_ms - 1, Tier::Medium),
        Verdict { origin: Origin::Import, ..verdict(3, now_ms, Tier::High) },
        Verdict { origin: Origin::Import, ..verdict(3, now_ms + 1, Tier::High) },
        verdict(3, now_ms + 2, Tier::Medium),
    ]);
    rig.enforce();
    rig.put_control(&control(ControlKind::Setting, crate::age::AGE_NAME, "3600000"));
    rig.put_verdicts(&[verdict(4, now_ms - day_ms, Tier::Medium)]);
    rig.enforce();
    let shown: Vec<_> =
        rig.actions().iter().map(|a| format!("{} {}: {}\n", a.kind, a.state, a.reason)).collect();
    expect![[r#"
        RATE_LIMIT PENDING: tier MEDIUM, score 0.400
        RATE_LIMIT WITHHELD: history (older than 1440 min)
        REVIEW WITHHELD: history (imported)
        RATE_LIMIT WITHHELD: history (imported)
        REVIEW WITHHELD: already in force; withheld all the same: history (imported)
        RATE_LIMIT WITHHELD: already in force; withheld all the same: history (imported)
        RATE_LIMIT PENDING: tier MEDIUM, score 0.400
        RATE_LIMIT WITHHELD: history (older than 60 min)
    "#]]
    .assert_eq(&shown.concat());
    let changes: Vec<_> = audits(&rig.log).into_iter().filter(|a| a.outcome == "setting_changed").collect();
    assert_eq!(changes[0].reason, "act.age_max_ms 86400000 gives way to 3600000");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever verdicts come, in whatever posture, however long each takes and whatever its executor says.
    #[test]
    fn decisions_are_actions_by_id_and_every_action_goes_its_way_once(
        stance in prop::sample::select(vec!["audit", "canary 50", "enforce"]),
        steps in prop::collection::vec((0..5u32, 0..4usize, 0..40i64, 0..3u8, any::<bool>()), 1..30),
    ) {
        let rig = Rig::new(1);
        rig.put_control(&posture(stance));
        let mut minute = 30 * 24 * 60;
        for (number, tier, minutes, answer, is_old) in steps {
            minute += minutes;
            rig.calendar.set(minute * MINUTE_MS);
            let time_ms = if is_old { minute - 2 * 24 * 60 } else { minute } * MINUTE_MS;
            rig.put_verdicts(&[resting_on(number % 2, verdict(number, time_ms, Tier::ALL[tier]))]);
            rig.enforce();
            match answer {
                0 => rig.answer(OutcomeKind::Told),
                1 => rig.answer(OutcomeKind::Failed),
                _ => {}
            }
            rig.enforce();
        }
        let decided = audits(&rig.log).into_iter().filter(|audit| audit.kind == AuditKind::Decision);
        let decided: Vec<_> = decided.filter_map(|audit| audit.action_id).collect();
        let mut ways: BTreeMap<ActionId, Vec<Action>> = BTreeMap::new();
        for action in rig.actions() {
            ways.entry(action.action_id).or_default().push(action);
        }
        let unique: BTreeSet<_> = decided.iter().copied().collect();
        prop_assert_eq!(&unique, &ways.keys().copied().collect());
        // The same verdict twice asks for the same twice; it is one action with two decisions.
        for (id, way) in &ways {
            let decisions = way.iter().filter(|a| matches!(a.state, ActionState::Pending | ActionState::Withheld));
            prop_assert_eq!(decisions.count(), decided.iter().filter(|other| *other == id).count());
            for (one, next) in way.iter().zip(&way[1..]) {
                prop_assert!(one.taken_ms <= next.taken_ms);
            }
            for done in way.iter().filter(|action| action.state == ActionState::Done) {
                let effect_ms = done.expires_ms.map(|ms| ms - done.lasts_ms.unwrap());
                prop_assert!(effect_ms.is_none_or(|ms| ms >= way[0].taken_ms), "it has its whole time");
            }
            let history = way[0].taken_ms - way[0].time_ms > crate::limits::AGE_DEFAULT_MS;
            prop_assert!(!history || way[0].state == ActionState::Withheld);
        }
    }
}

/// A history with everything in it.
fn history(rig: &Rig) {
    rig.put_verdicts(&[verdict(1, 0, Tier::Medium)]);
    rig.put_control(&posture("canary 50"));
    for (name, body) in [
        ("act.protected/tenant/globex", "on"),
        ("act.ring/2", "240000 auto"),
        (crate::limiter::LIMIT_NAME, "floor 2 share 0 accounts 0 partitions 1"),
    ] {
        rig.put_control(&control(ControlKind::Setting, name, body));
    }
    for minute in 0..40 {
        let tier = Tier::ALL[minute % 4];
        let account = (minute % 6) as u32;
        rig.put_verdicts(&[resting_on(account % 2, verdict(account, minute as i64 * MINUTE_MS, tier))]);
    }
    rig.put_control(&posture("nonsense"));
    rig.put_control(&control(ControlKind::Key, AUDIT_KEY_NAME, "k2"));
    rig.put_verdicts(&[verdict(1, 41 * MINUTE_MS, Tier::Critical)]);
}

/// Folds [`history`], one epoch of three records a life where `lives` says so.
fn folded(snapshots: bool, restarts: bool) -> Vec<Output> {
    let rig = Rig::new(1);
    history(&rig);
    let mut task = rig.task(0, snapshots);
    while task.run_epoch(Duration::ZERO).unwrap() {
        if restarts {
            task = rig.task(0, snapshots);
        }
    }
    [Topic::Audit, Topic::Actions, Topic::Dlq].iter().flat_map(|topic| rig.log.all(*topic)).collect()
}

#[test]
fn an_enforcer_that_is_restarted_after_every_epoch_writes_the_same_bytes() {
    let expected = folded(false, false);
    assert!(expected.len() > 60);
    assert_eq!(folded(true, true), expected, "state from snapshots");
    assert_eq!(folded(false, true), expected, "state from folding again");
}

/// What was done outside Kafka cannot be taken back: whoever does it knows it again by the action's id alone.
#[test]
fn an_enforcer_that_knows_nothing_of_its_past_asks_for_the_same_effects_under_the_same_ids() {
    let verdicts: Vec<Verdict> = (0..12)
        .map(|minute| {
            let tier = [Tier::Medium, Tier::High, Tier::Critical][minute % 3];
            resting_on(1, verdict((minute % 4) as u32, minute as i64 * MINUTE_MS, tier))
        })
        .collect();
    // The second enforcer has no state, begins later in the topic, and has other partitions and another
    // posture.
    let ids = |partitions, stance, verdicts: &[Verdict]| -> BTreeMap<String, ActionId> {
        let rig = Rig::new(partitions);
        rig.put_control(&posture(stance));
        rig.put_verdicts(verdicts);
        rig.enforce();
        actions(&rig.log).iter().map(|a| (format!("{} of {:?}", a.kind, a.verdict_id), a.action_id)).collect()
    };
    let (first, again) = (ids(1, "enforce", &verdicts), ids(3, "canary 50", &verdicts[5..]));
    assert!(again.len() >= 7 && first.len() > again.len(), "{} and {}", first.len(), again.len());
    for (what, id) in &again {
        assert_eq!(first.get(what), Some(id), "{what}");
    }
    let effects = |of: &BTreeMap<String, ActionId>| of.values().collect::<BTreeSet<_>>().len();
    assert_eq!(effects(&first), first.len(), "no two effects share an id");
}

#[test]
fn a_chain_whose_key_was_not_given_is_not_continued() {
    let mut stage = EnforcerStage::new(keys(), Arc::new(Wire::new()));
    stage.step(&batch(&[verdict(1, 0, Tier::Medium)], 1));
    let chain = stage.take_changes().remove(0);
    let mut other = EnforcerStage::new(AuditKeys::new(AuditKey::new("k9", &[9; 32])), Arc::new(Wire::new()));
    let error = other.restore(&chain.key, STATE_FORMAT, &chain.body.unwrap()).unwrap_err();
    expect!["state entry !chain is damaged: the chain is signed with audit key k1, which was not given: give every key that is in use"]
        .assert_eq(&error.to_string());
}

#[test]
fn state_entries_come_in_key_order_and_once() {
    let mut stage = EnforcerStage::new(keys(), Arc::new(Wire::new()));
    stage.step(&batch(&[verdict(2, 0, Tier::Medium), verdict(1, 0, Tier::High)], 1));
    let changed = stage.changed();
    let keys: Vec<_> = stage.take_changes().into_iter().map(|entry| entry.key).collect();
    assert_eq!((keys.len(), keys.is_sorted()), (changed, true));
    assert_eq!((stage.changed(), stage.take_changes().len()), (0, 0));
}

#[test]
fn damaged_state_is_refused_without_panicking() {
    let mut stage = EnforcerStage::new(keys(), Arc::new(Wire::new()));
    for key in [&b"!chain"[..], b"!charter", b"!posture", b"00000000000000000000000000000001", b"what"] {
        assert!(stage.restore(key, STATE_FORMAT, b"\xff\x00\x01").is_err());
        assert!(matches!(stage.restore(key, 99, b""), Err(StateError::Format { .. })));
    }
}
