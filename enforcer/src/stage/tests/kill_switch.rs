//! What the kill switch does to actions, on every enforcer, whatever restarts. Which words are believed is
//! tested in `kill_switch/tests.rs`.

use super::*;
use crate::kill_switch::words::PERSONS_NAME;
use crate::kill_switch::{PersonRole, RequestKind};
use crate::limits::GLASS_LASTS_MS;
use PersonRole::{Operations, Security, Sre};
use RequestKind::{BreakGlass, EmergencyShutdown, EnableAuditOnly, FlushJournal, RestoreNormal};
use weir_schemas::State;

/// Enforcing, and everybody is known.
fn enforcing(partitions: u32) -> Rig {
    let rig = Rig::new(partitions);
    rig.put_control(&posture("enforce"));
    rig.say(PERSONS_NAME, &everybody());
    rig
}

/// One account is suspended, another waits to be.
fn one_suspended_and_one_waiting(rig: &Rig) {
    rig.enforce_live(&[verdict(1, 0, Tier::Critical)]);
    rig.put_verdicts(&[verdict(2, 0, Tier::Critical)]);
    rig.enforce();
}

fn shut_down(rig: &Rig, number: u8) {
    let shutdown = request(EmergencyShutdown, "olga", rig.calendar.unix_ms(), number);
    rig.ask(&shutdown);
    rig.approve(&approval(&shutdown, Security, "sam"));
    rig.approve(&approval(&shutdown, Sre, "rita"));
}

/// What was said to the kill switch, as the chains have it.
fn said(rig: &Rig) -> String {
    let told = audits(&rig.log).into_iter();
    let told = told.filter(|a| a.outcome.starts_with("kill_switch") || a.kind == AuditKind::Refusal);
    told.map(|a| format!("{} {}: {}\n", a.kind, a.outcome, a.reason)).collect()
}

#[test]
fn audit_only_gives_up_what_waits_leaves_what_is_in_force_and_acts_on_nothing() {
    let rig = enforcing(1);
    one_suspended_and_one_waiting(&rig);
    rig.calendar.set(MINUTE_MS);
    rig.ask(&request(EnableAuditOnly, "olga", MINUTE_MS, 1));
    rig.put_verdicts(&[verdict(3, MINUTE_MS, Tier::Critical)]);
    // A posture that anybody may set does not switch it off.
    rig.put_control(&posture("enforce"));
    rig.enforce();
    rig.calendar.set(2 * MINUTE_MS);
    rig.ask(&request(RestoreNormal, "otto", 2 * MINUTE_MS, 2));
    rig.put_verdicts(&[verdict(3, 2 * MINUTE_MS, Tier::Critical)]);
    rig.enforce();
    expect![[r#"
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND DONE until 10: told by test
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        1 SUSPEND WITHHELD: the kill switch is on: enable_audit_only, request ks-60-01010101
        1 SUSPEND FAILED: enable_audit_only, request ks-60-01010101
        2 SUSPEND PENDING: tier CRITICAL, score 0.900
    "#]]
    .assert_eq(&story(&rig));
    let withheld = rig.actions().into_iter().find(|action| action.state == ActionState::Withheld).unwrap();
    assert_eq!(withheld.posture, Posture::Audit, "the posture that is told is the one in force");
    expect![[r#"
        OPERATOR kill_switch_executed: enable_audit_only, request ks-60-01010101, asked for by olga, approved by olga as operations: ticket 4711
        OPERATOR kill_switch_executed: restore_normal, request ks-120-02020202, asked for by otto, approved by otto as operations: ticket 4711
    "#]]
    .assert_eq(&said(&rig));
    sound(&entries(&rig.log));
}

#[test]
fn a_shutdown_undoes_what_is_in_force_and_one_person_ends_it() {
    let rig = enforcing(1);
    one_suspended_and_one_waiting(&rig);
    rig.calendar.set(MINUTE_MS);
    shut_down(&rig, 1);
    rig.enforce();
    stands(&rig, expect!["GOOD since 1"]);
    rig.calendar.set(2 * MINUTE_MS);
    rig.ask(&request(RestoreNormal, "olga", 2 * MINUTE_MS, 2));
    rig.put_verdicts(&[verdict(1, 2 * MINUTE_MS, Tier::Critical)]);
    rig.enforce();
    expect![[r#"
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND DONE until 10: told by test
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        1 SUSPEND FAILED: emergency_shutdown, request ks-60-01010101
        1 SUSPEND REVERTED until 10: emergency_shutdown, request ks-60-01010101
        2 SUSPEND PENDING: tier CRITICAL, score 0.900
    "#]]
    .assert_eq(&story(&rig));
    expect![[r#"
        OPERATOR kill_switch_requested: emergency_shutdown, request ks-60-01010101, asked for by olga: ticket 4711
        OPERATOR kill_switch_approved: request ks-60-01010101, approved by sam as security
        OPERATOR kill_switch_executed: emergency_shutdown, request ks-60-01010101, asked for by olga, approved by sam as security, rita as sre: ticket 4711
        OPERATOR kill_switch_executed: restore_normal, request ks-120-02020202, asked for by olga, approved by olga as operations: ticket 4711
    "#]]
    .assert_eq(&said(&rig));
    sound(&entries(&rig.log));
}

#[test]
fn the_glass_lets_everybody_go_and_mends_without_a_record_coming() {
    let rig = enforcing(1);
    one_suspended_and_one_waiting(&rig);
    rig.calendar.set(MINUTE_MS);
    rig.ask(&request(BreakGlass, "rita", MINUTE_MS, 1));
    rig.put_verdicts(&[verdict(3, MINUTE_MS, Tier::Critical)]);
    rig.enforce();
    rig.calendar.set(MINUTE_MS + GLASS_LASTS_MS);
    rig.enforce();
    rig.put_verdicts(&[verdict(3, 32 * MINUTE_MS, Tier::Critical)]);
    rig.enforce();
    expect![[r#"
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND DONE until 10: told by test
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        1 SUSPEND WITHHELD: the kill switch is on: break_glass, request ks-60-01010101
        1 SUSPEND FAILED: break_glass, request ks-60-01010101
        1 SUSPEND REVERTED until 10: break_glass, request ks-60-01010101
        31 SUSPEND PENDING: tier CRITICAL, score 0.900
    "#]]
    .assert_eq(&story(&rig));
    expect![[r#"
        OPERATOR kill_switch_executed: break_glass, request ks-60-01010101, asked for by rita, approved by rita as sre: ticket 4711
        SAFEGUARD kill_switch_ended: break_glass, request ks-60-01010101: its time is over
    "#]]
    .assert_eq(&said(&rig));
}

#[test]
fn a_flush_exports_what_it_gives_up_and_changes_nothing_else() {
    let rig = enforcing(1);
    one_suspended_and_one_waiting(&rig);
    rig.calendar.set(MINUTE_MS);
    let flush = request(FlushJournal, "sue", MINUTE_MS, 1);
    rig.ask(&flush);
    for (role, by) in [(Security, "sam"), (Operations, "otto"), (Sre, "ron")] {
        rig.approve(&approval(&flush, role, by));
    }
    rig.enforce();
    rig.put_verdicts(&[verdict(3, MINUTE_MS, Tier::Critical)]);
    rig.enforce();
    expect![[r#"
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND DONE until 10: told by test
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        1 SUSPEND FAILED: flush_journal, request ks-60-01010101
        1 SUSPEND PENDING: tier CRITICAL, score 0.900
    "#]]
    .assert_eq(&story(&rig));
    // What is given up has stood in the history and in the chain since it was decided, and its end stands
    // there before anything of it is forgotten: there is no journal beside the log that could be lost.
    let given_up = rig.actions().into_iter().find(|action| action.state == ActionState::Failed).unwrap();
    let of_it: Vec<String> = audits(&rig.log)
        .into_iter()
        .filter(|audit| audit.action_id == Some(given_up.action_id))
        .map(|audit| audit.outcome)
        .collect();
    assert_eq!(of_it, ["pending", "failed"]);
    let place = tempfile::tempdir().unwrap();
    let mut export = crate::Export::open(
        place.path(),
        rig.log.clone(),
        vec![0],
        Some(opener()),
        rig.executor(),
        rig.wire.clone(),
        Arc::new(weir_topology::telemetry::Silent),
    )
    .unwrap();
    while !export.run_once(Duration::ZERO).unwrap().caught_up {}
    let audit_log = std::fs::read_to_string(place.path().join("audit_log.jsonl")).unwrap();
    let lines = audit_log.lines().filter(|line| line.contains(&given_up.action_id.to_string()));
    assert_eq!(lines.count(), 2);
}

#[test]
fn what_is_refused_is_told_by_name_in_the_chain_and_changes_nothing() {
    let rig = enforcing(1);
    let now_ms = 20 * MINUTE_MS;
    rig.calendar.set(now_ms);
    let forged = crate::kill_switch::Request {
        requester: "olga".into(),
        ..request(EnableAuditOnly, "otto", now_ms, 1)
    };
    rig.ask(&forged);
    rig.ask(&request(EnableAuditOnly, "olga", now_ms - 11 * MINUTE_MS, 2));
    let by_max = request(EmergencyShutdown, "max", now_ms, 3);
    rig.ask(&by_max);
    rig.approve(&approval(&by_max, Security, "max"));
    rig.ask(&by_max);
    let by_olga = request(EmergencyShutdown, "olga", now_ms, 4);
    rig.ask(&by_olga);
    rig.approve(&approval(&by_olga, Security, "max"));
    rig.approve(&approval(&by_olga, Sre, "max"));
    // A name without a body, and a body under another name.
    let name = by_max.record_name().into_bytes();
    rig.put(vec![Output::tombstone(Topic::Control, name, now_ms)]);
    rig.say("kill-switch/request/ks-1-00000000", &by_olga);
    rig.put_verdicts(&[verdict(1, now_ms, Tier::Critical)]);
    rig.enforce();
    let refused: Vec<String> = audits(&rig.log)
        .into_iter()
        .filter(|audit| audit.kind == AuditKind::Refusal)
        .map(|audit| audit.reason)
        .collect();
    expect![[r#"
        forged: this is not what olga signed
        expired: request ks-540-02020202 was good until 1140000, and this came at 1200000
        self-approved: max asked for it, and another person must approve
        replayed: request ks-1200-03030303 was made before
        one person: max has approved as security already, and each role must be another person
        malformed: the record's name is not that of its body"#]]
    .assert_eq(&refused.join("\n"));
    assert_eq!(rig.all::<DeadLetter>(Topic::Dlq).len(), refused.len());
    assert_eq!(rig.actions()[0].state, ActionState::Pending);
}

#[test]
fn every_enforcer_follows_whenever_it_hears_and_whatever_restarts() {
    let rig = enforcing(3);
    let on_each: Vec<Verdict> = (1..10).map(|number| verdict(number, 0, Tier::Critical)).collect();
    rig.put_verdicts(&on_each);
    rig.enforce();
    rig.calendar.set(MINUTE_MS);
    shut_down(&rig, 1);
    // One of them hears of it at once, the others an hour later: long after the request was good.
    let mut task = rig.task(0, true);
    while task.run_epoch(Duration::ZERO).unwrap() {}
    task.close().unwrap();
    rig.calendar.set(60 * MINUTE_MS);
    // Each step is by a task that has just loaded its state.
    let later: Vec<Verdict> = (1..10).map(|number| verdict(number, 60 * MINUTE_MS, Tier::Critical)).collect();
    rig.put_verdicts(&later);
    rig.enforce();
    let executed = audits(&rig.log).into_iter().filter(|a| a.outcome == "kill_switch_executed").count();
    assert_eq!(executed, 3, "once on each, by the request's id");
    let of = |state: ActionState| rig.actions().into_iter().filter(|action| action.state == state).count();
    let (given_up, withheld) = (of(ActionState::Failed), of(ActionState::Withheld));
    assert_eq!((of(ActionState::Pending), given_up, withheld), (9, 9, 9));
    assert!(
        rig.actions().iter().all(|a| a.state != ActionState::Withheld || a.reason.contains("kill switch"))
    );
    rig.ask(&request(RestoreNormal, "olga", 60 * MINUTE_MS, 2));
    rig.put_verdicts(&[verdict(1, 61 * MINUTE_MS, Tier::Critical)]);
    rig.enforce();
    assert_eq!(rig.actions().iter().filter(|action| action.state == ActionState::Pending).count(), 10);
}

#[test]
fn the_metric_is_one_while_it_is_on_for_whoever_loads_the_state_too() {
    let rig = enforcing(1);
    let on = |rig: &Rig| {
        let mut stage = EnforcerStage::new(keys(), rig.wire.clone()).trusting(root().public());
        for output in
            rig.log.all(Topic::StateEnforcer).iter().filter(|output| output.key == b"!act.kill_switch")
        {
            let state: State = rig.wire.read(output.payload.as_ref().unwrap()).unwrap();
            stage.restore(&output.key, state.format, &state.body).unwrap();
        }
        stage.levels(rig.calendar.unix_ms()).remove(0)
    };
    rig.enforce();
    assert_eq!(on(&rig), (Level::KillSwitch, 0));
    rig.ask(&request(EnableAuditOnly, "olga", 0, 1));
    rig.enforce();
    assert_eq!(on(&rig), (Level::KillSwitch, 1));
}

#[test]
fn what_an_executor_answers_in_the_epoch_of_the_word_is_undone_too() {
    let rig = enforcing(1);
    rig.put_verdicts(&[verdict(1, 0, Tier::Critical)]);
    rig.enforce();
    rig.calendar.set(MINUTE_MS);
    rig.ask(&request(BreakGlass, "rita", MINUTE_MS, 1));
    rig.answer(OutcomeKind::Told);
    // The enforcer comes to both a minute later.
    rig.calendar.set(2 * MINUTE_MS);
    rig.enforce();
    expect![[r#"
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        2 SUSPEND DONE until 11: told by test
        2 SUSPEND REVERTED until 11: break_glass, request ks-60-01010101
    "#]]
    .assert_eq(&story(&rig));
}

#[test]
fn an_enforcer_whose_clock_is_ahead_of_the_log_ends_all_that_it_began() {
    let at = |minute: i64| minute * MINUTE_MS;
    let heard_at_one = |rig: &Rig, word: Control| rig.put_control_at(&word, at(1));
    for kind in [EmergencyShutdown, FlushJournal] {
        let rig = enforcing(1);
        rig.enforce_live(&[verdict(1, at(4), Tier::Critical)]);
        rig.put_verdicts(&[verdict(2, at(4), Tier::Critical)]);
        rig.enforce();
        rig.calendar.set(at(5));
        let asked = request(kind, "max", at(1), 1);
        heard_at_one(&rig, switch_word(&asked.record_name(), &asked));
        let approvals = [(Security, "sam"), (Operations, "otto"), (Sre, "rita")];
        for (role, by) in approvals.into_iter().filter(|(role, _)| kind.roles().contains(role)) {
            let approval = approval(&asked, role, by);
            heard_at_one(&rig, switch_word(&approval.record_name(), &approval));
        }
        // It is over before a step has ended, and ends what was there all the same.
        let over = request(RestoreNormal, "otto", at(1), 2);
        heard_at_one(&rig, switch_word(&over.record_name(), &over));
        rig.enforce();
        let of = |state: ActionState| rig.actions().into_iter().filter(|a| a.state == state).count();
        let undone = usize::from(kind == EmergencyShutdown);
        assert_eq!((of(ActionState::Failed), of(ActionState::Reverted)), (1, undone), "{kind}");
    }
}

#[test]
fn a_word_whose_record_has_another_key_or_kind_is_refused_as_executors_would_not_hear_it() {
    let rig = enforcing(1);
    let asked = request(EnableAuditOnly, "olga", 0, 1);
    let word = switch_word(&asked.record_name(), &asked);
    let put = |key: &str, word: &Control| {
        let payload = rig.wire.to_bytes(word);
        rig.put(vec![Output::keyed(Topic::Control, key.into(), payload, 0)]);
    };
    put("posture", &word);
    put(&asked.record_name(), &Control { kind: ControlKind::Setting, ..word.clone() });
    put(
        &asked.record_name(),
        &Control { name: "act.limit".into(), kind: ControlKind::Setting, ..word.clone() },
    );
    rig.enforce();
    let refused = "REFUSAL refused: malformed: the record's key, kind and name are not those of one word\n";
    assert_eq!(said(&rig), refused.repeat(3));
    rig.ask(&asked);
    rig.enforce();
    assert!(said(&rig).contains("kill_switch_executed"));
}

#[test]
fn whoever_trusts_another_root_judges_otherwise() {
    let judged = |root: Option<u8>| {
        let stage = EnforcerStage::new(keys(), Arc::new(Wire::new()));
        let stage = match root {
            Some(root) => stage.trusting([root; 32]),
            None => stage,
        };
        let batch = Batch { epoch: 1, partition: 0, clock_ms: 0, taken_ms: None, inputs: Vec::new() };
        stage.judge(&batch).trust
    };
    assert_eq!(judged(None), None);
    assert_eq!(judged(Some(1)), judged(Some(1)));
    assert!(judged(Some(1)).is_some() && judged(Some(1)) != judged(Some(2)));
}

#[test]
fn what_another_build_has_ended_makes_no_later_word_end_more() {
    let rig = enforcing(1);
    let other_build = || {
        let stage = EnforcerStage::new(keys(), rig.wire.clone()).trusting(root().public()).planted();
        let mut task = rig.task_of(stage, 0, false).unwrap();
        while task.run_epoch(Duration::ZERO).unwrap() {}
    };
    other_build();
    for (minute, word) in [
        (1, request(BreakGlass, "rita", MINUTE_MS, 1)),
        (2, request(RestoreNormal, "otto", 2 * MINUTE_MS, 2)),
        (5, request(EnableAuditOnly, "olga", 5 * MINUTE_MS, 3)),
    ] {
        rig.calendar.set(minute * MINUTE_MS);
        if minute == 5 {
            rig.put_verdicts(&[verdict(1, 4 * MINUTE_MS, Tier::Critical)]);
            other_build();
            rig.answer(OutcomeKind::Told);
            other_build();
        }
        rig.ask(&word);
        other_build();
    }
    rig.calendar.set(6 * MINUTE_MS);
    rig.enforce();
    // It was begun after the glass, and to audit only leaves what is in force.
    assert!(rig.actions().iter().any(|action| action.state == ActionState::Done));
    assert!(rig.actions().iter().all(|action| action.state != ActionState::Reverted), "{}", story(&rig));
}
