//! Another build goes on with a partition whose last owner was killed.

use super::*;
use weir_schemas::Epoch;
use weir_topology::error::TaskError;

fn build(is_planted: bool) -> EnforcerStage {
    let stage = EnforcerStage::new(keys(), Arc::new(Wire::new()));
    if is_planted { stage.planted() } else { stage }
}

/// A build folds all that there is, and is killed: nothing of its state is written down.
pub fn live(rig: &Rig, is_planted: bool) {
    let mut task = rig.task_of(build(is_planted), 0, false).unwrap();
    while task.run_epoch(Duration::ZERO).unwrap() {}
}

fn enforcing() -> Rig {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    rig
}

/// Which of the two builds judges under this version; their numbers grow with every change of the decisions.
fn build_name(version: i32) -> &'static str {
    match version - JUDGE_VERSION {
        0 => "this build",
        1_000 => "the planted build",
        _ => "no build of this test",
    }
}

fn marks(rig: &Rig) -> Vec<String> {
    let epochs: Vec<Epoch> = rig.all(Topic::Epochs);
    let marks = epochs.iter().filter_map(|epoch| epoch.adopted.as_ref().map(|mark| (epoch, mark)));
    let told = marks.map(|(epoch, mark)| {
        let name = build_name(epoch.judge.version);
        format!("{name} takes {} to {} over, {} accounts", mark.from, mark.to, mark.accounts)
    });
    told.collect()
}

#[test]
fn what_another_build_decided_stands_and_its_course_goes_on() {
    let rig = enforcing();
    rig.put_verdicts(&[verdict(1, 0, Tier::Medium), verdict(2, 0, Tier::Critical)]);
    live(&rig, false);
    rig.calendar.set(MINUTE_MS);
    rig.answer(OutcomeKind::Told);
    live(&rig, true);
    rig.calendar.set(6 * MINUTE_MS);
    live(&rig, false);
    // Nothing is decided again; what the first build decided lasts as long as it said.
    expect![[r#"
        0 RATE_LIMIT PENDING: tier MEDIUM, score 0.400
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        1 RATE_LIMIT DONE until 6: told by test
        1 SUSPEND DONE until 11: told by test
        6 RATE_LIMIT REVERTED until 6: its time is over
    "#]]
    .assert_eq(&story(&rig));
    stands(
        &rig,
        expect![[r#"
        SUSPENDED since 1
        GOOD since 6"#]],
    );
    expect![[r#"
        the planted build takes 1 to 1 over, 2 accounts
        this build takes 3 to 3 over, 2 accounts"#]]
    .assert_eq(&marks(&rig).join("\n"));
    sound(&entries(&rig.log));
}

#[test]
fn what_an_action_rests_on_is_taken_over_from_the_verdict_that_it_answers() {
    let rig = enforcing();
    rig.put_verdicts(&[verdict(2, 0, Tier::Critical)]);
    live(&rig, false);
    live(&rig, true);
    rig.answer(OutcomeKind::Told);
    live(&rig, false);
    stands(&rig, expect!["SUSPENDED since 0"]);
    assert_eq!(told_evidence(&rig, 2), Some((0.9, "volume".into())));
}

#[test]
fn how_long_the_same_is_not_asked_for_is_the_new_builds_word() {
    // The planted build holds for ten minutes, this one for five.
    for (first, next, expected) in [(false, true, ActionState::Withheld), (true, false, ActionState::Pending)]
    {
        let rig = enforcing();
        rig.put_verdicts(&[verdict(1, 0, Tier::Medium)]);
        live(&rig, first);
        rig.answer(OutcomeKind::Told);
        live(&rig, first);
        rig.calendar.set(7 * MINUTE_MS);
        rig.put_verdicts(&[verdict(1, 7 * MINUTE_MS, Tier::Medium)]);
        live(&rig, next);
        let decisions = rig.actions().into_iter().filter(|action| action.time_ms > 0);
        let states: Vec<_> = decisions.map(|action| action.state).collect();
        assert_eq!(states, [expected]);
    }
}

#[test]
fn posture_age_and_audit_key_are_what_was_recorded_and_the_chain_says_who_goes_on() {
    let rig = enforcing();
    rig.put_control(&control(ControlKind::Setting, crate::age::AGE_NAME, "3600000"));
    rig.put_verdicts(&[verdict(1, 0, Tier::Medium)]);
    live(&rig, false);
    rig.put_control(&control(ControlKind::Key, AUDIT_KEY_NAME, "k2"));
    live(&rig, false);
    live(&rig, true);
    rig.put_verdicts(&[verdict(2, 0, Tier::Medium)]);
    live(&rig, true);
    let told: Vec<_> = audits(&rig.log).iter().map(|a| format!("{}: {}\n", a.outcome, a.reason)).collect();
    let planted = JUDGE_VERSION + 1_000;
    let expected = format!(
        "taken_over: version {planted} of the decisions goes on from another: posture enforce, audit key k2, \
         act.age_max_ms 3600000, 0 protected, 0 in the canary, rings on, on, on, on, on, \
         act.limit floor 100 share 20 accounts 0 partitions 4 tenant 1000 storm 100 times 10 \
         traffic 100 least 100000 requests 0, not paused, kill switch off\npending: tier MEDIUM, score 0.400\n"
    );
    assert_eq!(told[told.len() - 2..].concat(), expected);
    let report = sound(&entries(&rig.log));
    assert_eq!(report.by_key.into_iter().collect::<Vec<_>>(), [("k1".into(), 4), ("k2".into(), 2)]);
}

#[test]
fn a_standing_that_another_build_told_or_took_back_is_told_once_more() {
    let rig = enforcing();
    rig.put_verdicts(&[verdict(1, 0, Tier::Medium), verdict(2, 0, Tier::Critical)]);
    live(&rig, false);
    rig.answer(OutcomeKind::Told);
    live(&rig, false);
    rig.calendar.set(5 * MINUTE_MS);
    live(&rig, false);
    rig.calendar.set(9 * MINUTE_MS);
    live(&rig, true);
    let mut told: Vec<_> = rig.all::<Standing>(Topic::Standing);
    told.sort_by_key(|standing| standing.status);
    let told: Vec<_> = told.iter().map(|standing| (standing.status, standing.told_ms / MINUTE_MS)).collect();
    assert_eq!(told, [(StandingStatus::Good, 9), (StandingStatus::Suspended, 9)]);
    // And whoever takes over when nobody watches any more takes it back.
    rig.calendar.set((5 + 24 * 60) * MINUTE_MS);
    live(&rig, false);
    stands(&rig, expect!["SUSPENDED since 0"]);
}

#[test]
fn a_chain_that_goes_on_with_a_key_that_was_not_given_is_not_continued() {
    for comes_after in [false, true] {
        let rig = enforcing();
        rig.put_control(&control(ControlKind::Key, AUDIT_KEY_NAME, "k2"));
        if comes_after {
            rig.put_verdicts(&[verdict(1, 0, Tier::Medium)]);
        }
        live(&rig, false);
        let keys = AuditKeys::new(AuditKey::new("k1", &[1; 32]));
        let stage = EnforcerStage::new(keys, Arc::new(Wire::new())).planted();
        let error = rig.task_of(stage, 0, false).err().unwrap();
        assert!(matches!(error, TaskError::State { .. }));
        expect!["enforcer/0: state entry !chain is damaged: the chain is signed with audit key k2, which was not given: give every key that is in use"].assert_eq(&error.to_string());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Builds come and go after every few epochs, each of them killed.
    #[test]
    fn every_verdict_is_decided_once_and_every_action_goes_its_way_whoever_decides(
        steps in prop::collection::vec(
            (0..4u32, 0..4usize, 0..20i64, 0..3u8, any::<bool>(), any::<bool>()), 1..30
        ),
    ) {
        let rig = enforcing();
        let mut minute = 0;
        let mut verdicts = BTreeSet::new();
        for (number, tier, minutes, answer, is_planted, has_snapshot) in steps {
            minute += minutes + 1;
            rig.calendar.set(minute * MINUTE_MS);
            let said = resting_on(number % 2, verdict(number, minute * MINUTE_MS, Tier::ALL[tier]));
            verdicts.insert(said.verdict_id);
            rig.put_verdicts(&[said]);
            match answer {
                0 => rig.answer(OutcomeKind::Told),
                1 => rig.answer(OutcomeKind::Failed),
                _ => {}
            }
            let mut task = rig.task_of(build(is_planted), 0, has_snapshot).unwrap();
            while task.run_epoch(Duration::ZERO).unwrap() {}
        }
        // All that is under way comes to its end.
        rig.calendar.set((minute + 3 * 24 * 60) * MINUTE_MS);
        live(&rig, false);
        // And nothing stays of whom nothing is in force on.
        rig.calendar.set((minute + 5 * 24 * 60) * MINUTE_MS);
        live(&rig, false);
        let standings = rig.all::<Standing>(Topic::Standing);
        prop_assert!(standings.iter().all(|standing| standing.status != StandingStatus::Good), "{standings:?}");
        sound(&entries(&rig.log));
        let mut decided: Vec<_> = audits(&rig.log)
            .into_iter()
            .filter(|audit| audit.kind == AuditKind::Decision)
            .map(|audit| (audit.verdict_id.unwrap(), audit.action_id))
            .collect();
        let count = decided.len();
        decided.sort_unstable();
        decided.dedup();
        prop_assert_eq!(decided.len(), count, "no decision twice");
        prop_assert_eq!(decided.iter().map(|(verdict, _)| *verdict).collect::<BTreeSet<_>>(), verdicts);
        let mut ways: BTreeMap<ActionId, Vec<ActionState>> = BTreeMap::new();
        rig.actions().iter().for_each(|action| ways.entry(action.action_id).or_default().push(action.state));
        let acted: BTreeSet<_> = decided.iter().filter_map(|(_, id)| *id).collect();
        prop_assert_eq!(ways.keys().copied().collect::<BTreeSet<_>>(), acted);
        for (id, way) in ways {
            use ActionState::{Done, Expired, Failed, Pending, Reverted, Superseded, Withheld};
            let (end, before) = way.split_last().unwrap();
            let is_whole = match before {
                [] => *end == Withheld,
                // Reviews and shared indicators have no end.
                [Pending] => matches!(end, Done | Failed | Superseded),
                [Pending, Done] => matches!(end, Reverted | Expired | Superseded),
                [Pending, Done, Expired] => *end == Superseded,
                _ => false,
            };
            prop_assert!(is_whole, "{id}: {way:?}");
        }
    }
}
