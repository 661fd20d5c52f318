//! Whom persons are asked about, and what their answers do, on every enforcer, whatever restarts. Which words
//! are believed is tested in `review/tests.rs`.

use super::*;
use crate::kill_switch::words::PERSONS_NAME;
use crate::limits::{REVIEW_KEPT_MS, REVIEW_URGENT_MS};
use crate::review::{Decision, Says, Word};
use crate::rings::Rings;
use crate::stage::reviews::CAUGHT_UP;
use Decision::{Confirmed, Refuted};
use weir_schemas::ActionKind;

/// In this posture, and everybody is known.
fn reviewing(stance: &str, partitions: u32) -> Rig {
    let rig = Rig::new(partitions);
    rig.put_control(&posture(stance));
    rig.say(PERSONS_NAME, &everybody());
    rig
}

/// The id of the item that a verdict's action of this kind opens.
fn item_of(verdict: &Verdict, kind: ActionKind) -> ActionId {
    ActionId::of(verdict.verdict_id, kind)
}

/// Decides on the item that this verdict's action of this kind opened, of which it is the latest.
fn decide(rig: &Rig, of: (&Verdict, ActionKind), decision: Decision, by: &str, number: u8) -> Word {
    let about = (item_of(of.0, of.1), of.0.verdict_id);
    let word = review_decision(about, decision, by, rig.calendar.unix_ms(), number);
    rig.review(&word);
    word
}

/// What was said of reviews, and what was refused, as the chains have it.
fn told(rig: &Rig) -> String {
    let told = audits(&rig.log).into_iter();
    let told = told.filter(|a| a.outcome.starts_with("review") || a.kind == AuditKind::Refusal);
    told.map(|a| format!("{} {} by {}: {}\n", a.kind, a.outcome, a.actor, a.reason)).collect()
}

/// An enforcer that has just loaded the state: how many accounts wait, and how many of them are overdue.
fn levels(rig: &Rig, partition: u32) -> (i64, i64) {
    let mut stage = EnforcerStage::new(keys(), rig.wire.clone()).trusting(root().public());
    for output in rig.log.all(Topic::StateEnforcer) {
        let state: weir_schemas::State =
            rig.wire.read(output.payload.as_deref().unwrap_or_default()).unwrap_or_default();
        if output.partition == Some(partition) && output.key.starts_with(b"!review/") {
            match output.payload {
                Some(_) => stage.restore(&output.key, state.format, &state.body).unwrap(),
                None => stage.forget(&output.key),
            }
        }
    }
    let levels = stage.levels(rig.calendar.unix_ms());
    let of = |wanted: Level| levels.iter().find(|(level, _)| *level == wanted).unwrap().1;
    (of(Level::ReviewsWaiting), of(Level::ReviewsOverdue))
}

#[test]
fn a_refuted_suspension_is_undone_as_an_operator_would_undo_it() {
    let rig = reviewing("enforce", 1);
    let found = verdict(1, 0, Tier::Critical);
    rig.enforce_live(std::slice::from_ref(&found));
    let item = item_of(&found, ActionKind::Suspend);
    rig.calendar.set(MINUTE_MS);
    rig.review(&review_word(item, Says::Assign(Some("ben".into())), "anna", MINUTE_MS, 1));
    rig.review(&review_word(item, Says::Note, "ben", MINUTE_MS, 2));
    rig.enforce();
    assert_eq!(levels(&rig, 0), (1, 0));
    decide(&rig, (&found, ActionKind::Suspend), Refuted, "ben", 3);
    rig.enforce();
    expect![[r#"
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND DONE until 10: told by test
        1 SUSPEND REVERTED until 10: an analyst refuted it
    "#]]
    .assert_eq(&story(&rig));
    stands(&rig, expect!["GOOD since 1"]);
    expect![[r#"
        OPERATOR review_assigned by anna: word rv-60-01010101, by anna to ben
        OPERATOR review_noted by ben: word rv-60-02020202, by ben: seen in ticket 12
        OPERATOR review_refuted by ben: word rv-60-03030303, by ben: seen in ticket 12
    "#]]
    .assert_eq(&told(&rig));
    let audits = audits(&rig.log);
    let place = |outcome: &str| audits.iter().position(|audit| audit.outcome == outcome).unwrap();
    assert!(place("review_refuted") < place("reverted"), "the decision stands before what it undoes");
    let of_it = &audits[place("review_refuted")];
    assert_eq!((of_it.account, of_it.action_id), (Some(found.account), Some(item)));
    assert_eq!((of_it.action, of_it.tier, &*of_it.tenant), (ActionKind::Suspend, Tier::Critical, "acme"));
    assert_eq!(levels(&rig, 0), (0, 0));
    sound(&entries(&rig.log));
}

#[test]
fn a_confirmed_or_unclear_finding_leaves_what_is_in_force() {
    for decision in [Confirmed, Decision::Unclear] {
        let rig = reviewing("enforce", 1);
        let found = verdict(1, 0, Tier::Critical);
        rig.enforce_live(std::slice::from_ref(&found));
        decide(&rig, (&found, ActionKind::Suspend), decision, "anna", 1);
        rig.enforce();
        assert!(rig.actions().iter().all(|action| action.state != ActionState::Reverted), "{decision}");
        assert!(told(&rig).contains(&format!("review_{decision} by anna")), "{}", told(&rig));
    }
}

#[test]
fn whom_judge_and_person_agree_on_is_suspended_and_whom_the_person_took_back_is_not() {
    let rig = reviewing("enforce", 1);
    let [found, again, still] = [0, 30, 61].map(|minute| verdict(1, minute * MINUTE_MS, Tier::High));
    rig.enforce_live(std::slice::from_ref(&found));
    decide(&rig, (&found, ActionKind::Review), Confirmed, "anna", 1);
    rig.enforce();
    rig.calendar.set(30 * MINUTE_MS);
    rig.enforce_live(std::slice::from_ref(&again));
    rig.calendar.set(31 * MINUTE_MS);
    decide(&rig, (&again, ActionKind::Suspend), Refuted, "ben", 2);
    rig.enforce();
    rig.calendar.set(61 * MINUTE_MS);
    rig.enforce_live(&[still]);
    expect![[r#"
        0 REVIEW PENDING: tier HIGH, score 0.600
        0 RATE_LIMIT PENDING: tier HIGH, score 0.600
        0 REVIEW DONE: told by test
        0 RATE_LIMIT DONE until 60: told by test
        30 RATE_LIMIT PENDING: tier HIGH, score 0.600
        30 SUSPEND PENDING: tier HIGH, score 0.600, confirmed
        30 RATE_LIMIT DONE until 90: told by test
        30 RATE_LIMIT SUPERSEDED until 60: action 4012d9a0b177f4268665964a70f33a55 took its place
        30 SUSPEND DONE until 40: told by test
        31 RATE_LIMIT REVERTED until 90: an analyst refuted it
        31 SUSPEND REVERTED until 40: an analyst refuted it
        61 REVIEW PENDING: tier HIGH, score 0.600
        61 RATE_LIMIT PENDING: tier HIGH, score 0.600
        61 REVIEW DONE: told by test
        61 RATE_LIMIT DONE until 121: told by test
    "#]]
    .assert_eq(&story(&rig));
    expect![[r#"
        OPERATOR review_confirmed by anna: word rv-0-01010101, by anna: seen in ticket 12
        OPERATOR review_refuted by ben: word rv-1860-02020202, by ben: seen in ticket 12
    "#]]
    .assert_eq(&told(&rig));
}

#[test]
fn whoever_is_confirmed_is_no_freer_for_it_where_nobody_is_suspended() {
    let rig = reviewing("enforce", 1);
    rig.put_control(&control(ControlKind::Setting, &Rings::record_of(3), "off"));
    let found = verdict(1, 0, Tier::High);
    rig.enforce_live(std::slice::from_ref(&found));
    decide(&rig, (&found, ActionKind::Review), Confirmed, "anna", 1);
    rig.calendar.set(33 * MINUTE_MS);
    rig.enforce_live(&[verdict(1, 33 * MINUTE_MS, Tier::High)]);
    expect![[r#"
        0 REVIEW PENDING: tier HIGH, score 0.600
        0 RATE_LIMIT PENDING: tier HIGH, score 0.600
        0 REVIEW DONE: told by test
        0 RATE_LIMIT DONE until 60: told by test
        33 RATE_LIMIT PENDING: tier HIGH, score 0.600
        33 SUSPEND WITHHELD: ring 3 is off
        33 RATE_LIMIT DONE until 93: told by test
        33 RATE_LIMIT SUPERSEDED until 60: action ea2e32a32acac28c9a134c558f822f33 took its place
    "#]]
    .assert_eq(&story(&rig));
    stands(&rig, expect!["LIMITED since 33 until 93"]);
}

#[test]
fn persons_are_asked_in_audit_posture_too_but_not_about_history_and_not_twice() {
    let rig = reviewing("audit", 1);
    let history = Verdict { origin: Origin::Import, ..verdict(5, 3 * MINUTE_MS, Tier::High) };
    rig.enforce_live(&[
        verdict(1, 0, Tier::High),
        verdict(2, MINUTE_MS, Tier::Medium),
        Verdict { partial: true, ..verdict(3, 2 * MINUTE_MS, Tier::Medium) },
        history,
        verdict(4, 4 * MINUTE_MS, Tier::Critical),
        verdict(1, 5 * MINUTE_MS, Tier::High),
    ]);
    // Slowing down is over by itself; a suspension waits for a person, and so does what is partial.
    assert_eq!(levels(&rig, 0), (3, 0));
    rig.calendar.set(REVIEW_URGENT_MS + 4 * MINUTE_MS);
    rig.enforce();
    assert_eq!(levels(&rig, 0), (3, 2));
    expect![[r#"
        SAFEGUARD review_overdue by enforcer: nobody has decided by 86400000; nobody looks at it
        SAFEGUARD review_overdue by enforcer: nobody has decided by 86640000; nobody looks at it
    "#]]
    .assert_eq(&told(&rig));
    rig.calendar.set(REVIEW_KEPT_MS + 2 * MINUTE_MS);
    rig.enforce();
    assert_eq!(levels(&rig, 0), (1, 1));
    let dropped = "SAFEGUARD review_dropped by enforcer: it waited too long, or too many wait\n";
    assert_eq!(told(&rig).matches(dropped).count(), 2, "{}", told(&rig));
}

#[test]
fn what_is_refused_is_told_by_name_in_the_chain_and_undoes_nothing() {
    let rig = reviewing("enforce", 1);
    let found = verdict(1, 0, Tier::Critical);
    rig.enforce_live(std::slice::from_ref(&found));
    rig.calendar.set(20 * MINUTE_MS);
    let about = (item_of(&found, ActionKind::Suspend), found.verdict_id);
    let word = |decision, by: &str, at_ms, number| review_decision(about, decision, by, at_ms, number);
    rig.review(&Word { by: "ben".into(), ..word(Refuted, "anna", 20 * MINUTE_MS, 1) });
    rig.review(&Word { signature: String::new(), ..word(Refuted, "anna", 20 * MINUTE_MS, 2) });
    rig.review(&word(Refuted, "max", 20 * MINUTE_MS, 3));
    rig.review(&word(Refuted, "anna", MINUTE_MS, 4));
    let confirmed = decide(&rig, (&found, ActionKind::Suspend), Confirmed, "anna", 5);
    rig.review(&confirmed);
    rig.enforce();
    expect![[r#"
        REFUSAL refused by olga: forged: this is not what ben signed
        REFUSAL refused by olga: forged: this is not what anna signed
        REFUSAL refused by olga: wrong role: max does not have the role analyst
        REFUSAL refused by olga: expired: word rv-60-04040404 was good until 660000, and this came at 1200000
        OPERATOR review_confirmed by anna: word rv-1200-05050505, by anna: seen in ticket 12
        REFUSAL refused by olga: replayed: word rv-1200-05050505 was said before
    "#]]
    .assert_eq(&told(&rig));
    assert_eq!(rig.all::<DeadLetter>(Topic::Dlq).len(), 5);
    assert!(rig.actions().iter().all(|action| action.state != ActionState::Reverted));
    sound(&entries(&rig.log));
}

#[test]
fn one_enforcer_has_an_item_whatever_restarts_and_the_others_say_nothing_of_it() {
    let rig = reviewing("enforce", 3);
    let found: Vec<Verdict> = (1..10).map(|number| verdict(number, 0, Tier::Critical)).collect();
    rig.put_verdicts(&found);
    // Each step is by tasks that have just loaded their state.
    rig.enforce();
    rig.answer(OutcomeKind::Told);
    rig.enforce();
    rig.calendar.set(MINUTE_MS);
    for (number, verdict) in found.iter().enumerate() {
        let decision = if number % 3 == 0 { Refuted } else { Confirmed };
        decide(&rig, (verdict, ActionKind::Suspend), decision, "anna", number as u8);
    }
    rig.enforce();
    let outcome = |name: &str| audits(&rig.log).into_iter().filter(|audit| audit.outcome == name).count();
    assert_eq!((outcome("review_refuted"), outcome("review_confirmed"), outcome("refused")), (3, 6, 0));
    let reverted: BTreeSet<AccountId> = (rig.actions().into_iter())
        .filter(|action| action.state == ActionState::Reverted)
        .map(|action| action.account)
        .collect();
    assert_eq!(reverted, BTreeSet::from([found[0].account, found[3].account, found[6].account]));
    assert_eq!((0..3).map(|partition| levels(&rig, partition).0).sum::<i64>(), 0);
}

/// An epoch or more by another build, which writes no snapshot.
fn other_build(rig: &Rig) {
    let stage = EnforcerStage::new(keys(), rig.wire.clone()).trusting(root().public()).planted();
    let mut task = rig.task_of(stage, 0, false).unwrap();
    while task.run_epoch(Duration::ZERO).unwrap() {}
}

#[test]
fn a_build_that_takes_over_has_the_same_queue() {
    let rig = reviewing("enforce", 1);
    let (first, second) = (verdict(1, 0, Tier::Critical), verdict(2, 0, Tier::High));
    rig.put_verdicts(&[first.clone(), second.clone()]);
    other_build(&rig);
    rig.calendar.set(MINUTE_MS);
    let word = decide(&rig, (&first, ActionKind::Suspend), Confirmed, "anna", 1);
    other_build(&rig);
    // This one goes on, knows the word, and has the other account still waiting.
    rig.calendar.set(2 * MINUTE_MS);
    rig.review(&word);
    decide(&rig, (&second, ActionKind::Review), Refuted, "ben", 2);
    rig.enforce();
    expect![[r#"
        OPERATOR review_confirmed by anna: word rv-60-01010101, by anna: seen in ticket 12
        REFUSAL refused by olga: replayed: word rv-60-01010101 was said before
        OPERATOR review_refuted by ben: word rv-120-02020202, by ben: seen in ticket 12
    "#]]
    .assert_eq(&told(&rig));
    assert_eq!(levels(&rig, 0), (0, 0));
}

#[test]
fn what_another_build_said_is_overdue_is_not_said_again() {
    let rig = reviewing("audit", 1);
    rig.enforce_live(&[verdict(1, 0, Tier::High)]);
    rig.calendar.set(REVIEW_URGENT_MS);
    other_build(&rig);
    rig.enforce();
    assert_eq!(
        told(&rig),
        "SAFEGUARD review_overdue by enforcer: nobody has decided by 86400000; nobody looks at it\n"
    );
    assert_eq!(levels(&rig, 0), (1, 1));
}

#[test]
fn who_was_refuted_and_is_found_again_is_asked_about_anew() {
    for decision in Decision::ALL {
        let rig = reviewing("enforce", 1);
        let first = verdict(1, 0, Tier::High);
        rig.enforce_live(std::slice::from_ref(&first));
        rig.calendar.set(MINUTE_MS);
        decide(&rig, (&first, ActionKind::Review), decision, "anna", 1);
        rig.enforce();
        assert_eq!(levels(&rig, 0), (0, 0));
        rig.enforce_live(&[verdict(1, 10 * MINUTE_MS, Tier::High)]);
        assert_eq!(levels(&rig, 0), (1, 0), "{decision}");
    }
}

#[test]
fn a_decision_undoes_nothing_that_came_after_it_was_made() {
    let rig = reviewing("enforce", 1);
    let (first, second) = (verdict(1, 0, Tier::High), verdict(1, MINUTE_MS, Tier::Critical));
    rig.enforce_live(&[first.clone(), second.clone()]);
    decide(&rig, (&first, ActionKind::Review), Refuted, "anna", 1);
    rig.enforce();
    let not_seen = format!("not seen: verdict {} came since, look at the item again", second.verdict_id);
    assert_eq!(told(&rig), format!("REFUSAL refused by olga: {not_seen}\n"));
    let is_suspended = |rig: &Rig| {
        let mut actions = rig.actions().into_iter().filter(|action| action.kind == ActionKind::Suspend);
        actions.next_back().is_some_and(|action| action.state == ActionState::Done)
    };
    assert!(is_suspended(&rig));
    let about = (item_of(&first, ActionKind::Review), second.verdict_id);
    rig.review(&review_decision(about, Refuted, "anna", rig.calendar.unix_ms(), 2));
    rig.enforce();
    assert!(!is_suspended(&rig));
}

#[test]
fn every_refused_word_leaves_one_letter_whoever_has_the_item_and_is_counted() {
    let rig = reviewing("enforce", 3);
    let found: Vec<Verdict> = (1..10).map(|number| verdict(number, 0, Tier::Critical)).collect();
    rig.put_verdicts(&found);
    rig.enforce();
    rig.calendar.set(MINUTE_MS);
    for (number, verdict) in found.iter().enumerate() {
        let word = decide(&rig, (verdict, ActionKind::Suspend), Confirmed, "anna", number as u8);
        // Said again, which only its enforcer can tell; and forged, which every one can.
        rig.review(&word);
        rig.review(&Word { by: "ben".into(), ..word });
    }
    rig.enforce();
    let letters = rig.all::<DeadLetter>(Topic::Dlq);
    let of = |wanted: &str| letters.iter().filter(|letter| letter.reason.contains(wanted)).count();
    assert_eq!((of("replayed: "), of("forged: "), letters.len()), (9, 9, 18));
    let replayed = told(&rig).matches("replayed: ").count();
    assert_eq!(replayed, 9, "the others say nothing of it");
}

#[test]
fn a_word_under_another_records_key_is_refused_and_counted() {
    let rig = reviewing("enforce", 1);
    let found = verdict(1, 0, Tier::Critical);
    rig.enforce_live(std::slice::from_ref(&found));
    let about = (item_of(&found, ActionKind::Suspend), found.verdict_id);
    let word = review_record(&review_decision(about, Refuted, "anna", rig.calendar.unix_ms(), 1));
    let payload = rig.wire.to_bytes(&word);
    let mut records = Records::default();
    records.push(0, 0, b"another", Some(&payload), []);
    let inputs = vec![InputBatch { topic: Topic::Control, partition: 0, records }];
    let mut stage = EnforcerStage::new(keys(), rig.wire.clone()).trusting(root().public());
    let effects = stage.step(&Batch { epoch: 1, partition: 0, clock_ms: 0, taken_ms: Some(0), inputs });
    assert_eq!(effects.tallies, [(Tally::ReviewWordsRefused, 1)]);
    rig.put(vec![Output::keyed(Topic::Control, b"another".to_vec(), payload, 0)]);
    rig.enforce();
    assert_eq!(
        told(&rig),
        "REFUSAL refused by olga: malformed: the record's key, kind and name are not those of one word\n"
    );
}

/// Takes all out of the state that a build without a queue did not write.
fn forget_queue(rig: &Rig) {
    let entries = rig.log.all(Topic::StateEnforcer).into_iter();
    let of_queue = entries.filter(|entry| entry.key.starts_with(b"!review") && entry.payload.is_some());
    let tombstones: Vec<Output> = of_queue.map(|entry| Output { payload: None, ..entry }).collect();
    assert!(!tombstones.is_empty(), "there was a queue");
    rig.put(tombstones);
}

/// Whom the queue was said to have asked about, as the chain has it.
fn caught_up(rig: &Rig) -> Vec<(i64, String)> {
    let told = audits(&rig.log).into_iter().filter(|audit| audit.outcome == CAUGHT_UP);
    told.map(|audit| (audit.time_ms, audit.reason)).collect()
}

/// Accounts 1 and 4 are suspended until a person lets them go, 2 is slowed down for a while, and 3 was
/// reinstated; by a build that had no queue.
fn before_the_queue() -> (Rig, Verdict) {
    let rig = reviewing("enforce", 1);
    let found = verdict(1, 0, Tier::Critical);
    rig.enforce_live(&[
        found.clone(),
        verdict(2, 0, Tier::Medium),
        verdict(3, 0, Tier::Critical),
        verdict(4, 0, Tier::Critical),
    ]);
    let name = crate::safeguards::REINSTATE_NAME;
    rig.put_control(&control(ControlKind::Setting, name, &format!("account/{}", account(3))));
    rig.enforce();
    forget_queue(&rig);
    assert_eq!((levels(&rig, 0), caught_up(&rig).len()), ((0, 0), 0));
    (rig, found)
}

const WAIT: &str = "2 accounts were acted on before there was a queue, and only a person undoes that: they wait for one \
                    now; for 0 more there is no room";

#[test]
fn who_was_suspended_before_there_was_a_queue_is_asked_about_once_and_can_be_refuted() {
    let (rig, found) = before_the_queue();
    // Longer ago than an item is kept: they wait from now on.
    let later_ms = 2 * REVIEW_KEPT_MS;
    rig.calendar.set(later_ms);
    rig.enforce();
    assert_eq!(caught_up(&rig), [(later_ms, WAIT.to_owned())]);
    assert_eq!(levels(&rig, 0), (2, 0));
    rig.enforce();
    rig.calendar.set(later_ms + REVIEW_URGENT_MS);
    rig.enforce();
    assert_eq!((levels(&rig, 0), caught_up(&rig).len()), ((2, 2), 1), "they were of tier CRITICAL");
    decide(&rig, (&found, ActionKind::Suspend), Refuted, "anna", 1);
    rig.enforce();
    assert_eq!(levels(&rig, 0), (1, 1));
    let last = rig.actions().pop().unwrap();
    assert_eq!(
        (last.account, last.state, &*last.reason),
        (account(1), ActionState::Reverted, "an analyst refuted it")
    );
    // Nobody is asked again when the item's time is over, whoever restarts.
    rig.calendar.set(later_ms + REVIEW_KEPT_MS);
    rig.enforce();
    rig.enforce();
    assert_eq!((levels(&rig, 0), caught_up(&rig).len()), ((0, 0), 1));
    sound(&entries(&rig.log));
}

#[test]
fn who_has_no_traffic_is_asked_about_all_the_same_and_then_nothing_is_due() {
    let (rig, _) = before_the_queue();
    rig.enforce();
    assert_eq!((caught_up(&rig), levels(&rig, 0)), (vec![(0, WAIT.to_owned())], (2, 0)));
    let epochs = rig.log.all(Topic::Epochs).len();
    rig.enforce();
    assert_eq!(rig.log.all(Topic::Epochs).len(), epochs);
}

#[test]
fn who_is_in_the_queue_already_is_not_asked_about_again() {
    let (rig, found) = before_the_queue();
    rig.enforce();
    decide(&rig, (&found, ActionKind::Suspend), Confirmed, "anna", 1);
    rig.enforce();
    assert_eq!(levels(&rig, 0), (1, 0));
    // A build that has the queue, and does not know whether it has caught up.
    rig.put(vec![Output::tombstone(Topic::StateEnforcer, b"!review".to_vec(), 0).in_partition(0)]);
    rig.calendar.set(MINUTE_MS);
    rig.put_verdicts(&[verdict(5, MINUTE_MS, Tier::Medium)]);
    rig.enforce();
    assert_eq!((levels(&rig, 0), caught_up(&rig).len()), ((1, 0), 1));
}

#[test]
fn who_takes_over_from_a_build_without_a_queue_asks_before_it_hears_what_analysts_said() {
    let (rig, found) = before_the_queue();
    rig.calendar.set(MINUTE_MS);
    takeover::live(&rig, true);
    decide(&rig, (&found, ActionKind::Suspend), Confirmed, "anna", 1);
    rig.calendar.set(2 * MINUTE_MS);
    takeover::live(&rig, true);
    // It was killed, and nothing of its queue is in the state.
    rig.calendar.set(3 * MINUTE_MS);
    rig.enforce();
    assert_eq!(levels(&rig, 0), (1, 0), "one waits, and the other was confirmed");
    sound(&entries(&rig.log));
}
