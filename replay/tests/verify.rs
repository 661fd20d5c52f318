//! A verdict is proved by folding what led to it again; one that was touched is caught.

#![allow(clippy::unwrap_used)]

mod common;

use common::{PARTITIONS, Trimmed, copy_of, eager, judge, judged, put, stages, stages_with, wire};
use expect_test::{Expect, expect};
use std::sync::Arc;
use weir_processor::policy::Policy;
use weir_replay::verify::{Choice, Difference, Outcome, VerifyReport, verify};
use weir_schemas::{Control, ControlKind, Tier, Verdict};
use weir_topology::key::partition_of;
use weir_topology::log::Log;
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::topic::Topic;

fn verdicts(log: &MemoryLog) -> Vec<Verdict> {
    let read = |output: Output| wire().read(output.payload.as_ref().unwrap()).unwrap();
    log.all(Topic::Verdicts).into_iter().map(read).collect()
}

fn proved(log: &dyn Log, choice: Choice) -> VerifyReport {
    verify(log, &wire(), &stages(), choice, |_| ()).unwrap()
}

fn one(verdict: &Verdict) -> Choice {
    Choice::One { id: verdict.verdict_id, account: None }
}

/// The log with one verdict changed.
fn edited(log: &MemoryLog, number: usize, edit: impl Fn(&mut Verdict)) -> Arc<MemoryLog> {
    copy_of(log, |topic, index, output| {
        if (topic, index) == (Topic::Verdicts, number) {
            let mut verdict: Verdict = wire().read(output.payload.as_ref().unwrap()).unwrap();
            edit(&mut verdict);
            output.payload = Some(wire().to_bytes(&verdict));
        }
        true
    })
}

/// What is said of the only verdict that is not as it was.
fn check_difference(report: &VerifyReport, expected: Expect) {
    assert_eq!((report.different, report.findings.len()), (1, 1), "{report:#?}");
    let said = match &report.findings[0].outcome {
        Outcome::Different(Difference::Content(content)) => {
            let fields = content.fields.iter();
            let fields: Vec<_> =
                fields.map(|f| format!("{}: {} here, {} came out", f.field, f.written, f.refolded)).collect();
            let unreadable = content.unreadable.clone().unwrap_or_default();
            format!("byte {} {}{unreadable}", content.byte, fields.join("; "))
        }
        other => format!("{other:?}"),
    };
    expected.assert_eq(&said);
}

#[test]
fn every_verdict_of_a_run_is_proved_from_its_epochs() {
    let log = judged();
    let count = verdicts(&log).len() as u64;
    assert!(count >= 6, "{count} verdicts");
    let report = proved(log.as_ref(), Choice::All);
    assert!(report.is_proven(), "{report:#?}");
    assert_eq!((report.scanned, report.chosen, report.proven), (count, count, count));
    assert_eq!(report.findings, []);
}

#[test]
fn one_verdict_is_shown_with_the_offsets_that_led_to_it() {
    let log = judged();
    let verdict = &verdicts(&log)[1];
    for account in [None, Some(verdict.account)] {
        let report = proved(log.as_ref(), Choice::One { id: verdict.verdict_id, account });
        assert_eq!((report.chosen, report.proven, report.findings.len()), (1, 1, 1));
        let Outcome::Proven(evidence) = &report.findings[0].outcome else { panic!("{report:#?}") };
        assert_eq!((evidence.epoch, &evidence.policy_version), (verdict.epoch, &verdict.policy_version));
        assert_eq!(evidence.sha256_written, evidence.sha256_refolded);
        let inputs = evidence.inputs.iter().map(|input| (input.topic.as_str(), input.partition));
        let partition = verdict.partition;
        let all = [("weir.control", 0), ("weir.clusters", partition), ("weir.events", partition)];
        assert_eq!(inputs.collect::<Vec<_>>(), all);
        assert!(evidence.inputs.iter().any(|input| input.from < input.to && input.records > 0));
    }
}

#[test]
fn a_sample_is_the_same_for_the_same_seed_and_no_larger_than_the_log() {
    let log = judged();
    let count = verdicts(&log).len() as u64;
    let sample = |verdicts, seed| proved(log.as_ref(), Choice::Sample { verdicts, seed });
    assert_eq!((sample(4, 1).chosen, sample(4, 1).proven), (4, 4));
    assert_eq!(sample(1_000_000, 1).proven, count);
    assert_eq!(sample(0, 1).chosen, 0);
    assert!(!sample(0, 1).is_proven(), "nothing was proved");
}

#[test]
fn any_byte_of_a_verdict_that_is_edited_is_caught() {
    let log = judged();
    let length = log.all(Topic::Verdicts)[2].payload.as_ref().unwrap().len();
    for byte in 0..length {
        let touched = copy_of(&log, |topic, index, output| {
            if (topic, index) == (Topic::Verdicts, 2) {
                output.payload.as_mut().unwrap()[byte] ^= 1;
            }
            true
        });
        let report = proved(touched.as_ref(), Choice::All);
        assert_eq!(report.different, 1, "byte {byte}: {report:#?}");
        let Outcome::Different(Difference::Content(content)) = &report.findings[0].outcome else {
            panic!("byte {byte}: {report:#?}")
        };
        assert_eq!(content.byte, byte, "{report:#?}");
    }
}

#[test]
fn the_first_difference_is_told_field_by_field() {
    let log = judged();
    let report = proved(edited(&log, 2, |verdict| verdict.score = 0.25).as_ref(), Choice::All);
    check_difference(&report, expect!["byte 55 score: 0.25 here, 0.811891 came out"]);
    let report = proved(edited(&log, 2, |verdict| verdict.tier = Tier::Clear).as_ref(), Choice::All);
    check_difference(&report, expect!["byte 71 tier: Clear here, Critical came out"]);
    let signal = |verdict: &mut Verdict| verdict.signals[0].millinats_max = 125;
    check_difference(
        // The latest verdicts rest on something.
        &proved(edited(&log, verdicts(&log).len() - 1, signal).as_ref(), Choice::All),
        expect!["byte 128 signals[0].millinats_max: 125 here, 7000 came out"],
    );
    let id = |verdict: &mut Verdict| verdict.verdict_id.0 = [7; 16];
    check_difference(
        &proved(edited(&log, 2, id).as_ref(), Choice::All),
        expect![
            "byte 10 verdict_id: 07070707070707070707070707070707 here, 415459a6a52fa002ac15f6439d912107 came out"
        ],
    );
}

#[test]
fn a_verdict_that_was_edited_is_caught_when_it_is_asked_for_by_its_id() {
    let log = judged();
    let verdict = &verdicts(&log)[2];
    let touched = edited(&log, 2, |verdict| verdict.epoch += 1_000);
    check_difference(
        &proved(touched.as_ref(), one(verdict)),
        expect!["byte 938 epoch: 1003 here, 3 came out"],
    );
}

#[test]
fn a_verdict_that_was_moved_doubled_forged_or_deleted_is_caught() {
    let log = judged();
    let all = verdicts(&log);
    let moved = copy_of(&log, |topic, index, output| {
        if (topic, index) == (Topic::Verdicts, 2) {
            let partition = partition_of(&output.key, PARTITIONS);
            (output.key, output.partition) = (b"elsewhere".to_vec(), Some(partition));
        }
        true
    });
    check_difference(&proved(moved.as_ref(), Choice::All), expect!["Different(Key { epoch: 3 })"]);

    let doubled = copy_of(&log, |_, _, _| true);
    put(doubled.as_ref(), vec![log.all(Topic::Verdicts)[2].clone()]);
    check_difference(
        &proved(doubled.as_ref(), Choice::All),
        expect!["Different(Doubled { first_offset: 2 })"],
    );

    let forged = copy_of(&log, |_, _, _| true);
    let mut lie = Verdict { sequence: 99, tier: Tier::Critical, ..all[2].clone() };
    lie.verdict_id.0 = [9; 16];
    let key = lie.account.to_key();
    put(forged.as_ref(), vec![Output::keyed(Topic::Verdicts, key, wire().to_bytes(&lie), 0)]);
    check_difference(
        &proved(forged.as_ref(), Choice::All),
        expect!["Different(NotEmitted { last_epoch: 4 })"],
    );

    for epoch in [0, -1] {
        let timeless = copy_of(&log, |_, _, _| true);
        let lie = Verdict { epoch, ..lie.clone() };
        let output = Output::keyed(Topic::Verdicts, lie.account.to_key(), wire().to_bytes(&lie), 0);
        put(timeless.as_ref(), vec![output]);
        let report = proved(timeless.as_ref(), Choice::All);
        assert_eq!((report.different, report.unproven), (1, 0), "{report:#?}");
    }

    let deleted = copy_of(&log, |topic, index, _| (topic, index) != (Topic::Verdicts, 2));
    check_difference(&proved(deleted.as_ref(), Choice::All), expect!["Different(Missing { epoch: 3 })"]);
}

/// Why no verdict of the partition that holds the third can be proved.
fn check_unproven(log: &dyn Log, verdict: &Verdict, expected: Expect) {
    let report = proved(log, one(verdict));
    assert_eq!((report.chosen, report.unproven), (1, 1), "{report:#?}");
    let Outcome::Unproven { reason } = &report.findings[0].outcome else { panic!("{report:#?}") };
    expected.assert_eq(reason);
}

#[test]
fn what_can_no_longer_be_proved_is_said_with_its_cause() {
    let log = judged();
    let verdict = verdicts(&log).into_iter().find(|verdict| verdict.epoch > 2).unwrap();
    let partition = verdict.partition as u32;
    check_unproven(
        &Trimmed::new(&log, Topic::Events, partition, 5),
        &verdict,
        expect![
            "epoch 1 folded 25 records of weir.events/0 at offsets 0 to 24, and the log holds 20 of them: their retention has passed, or they were deleted"
        ],
    );
    check_unproven(
        &Trimmed::new(&log, Topic::Epochs, partition, 3),
        &verdict,
        expect![
            "account/0: epoch 1 is missing, the log goes on with 3: its retention has passed or records were deleted. Restore the topic, or delete the stage's state, checkpoints and epochs to start afresh"
        ],
    );

    let key = format!("account/{partition}").into_bytes();
    let mut kept = 0;
    let headless = copy_of(&log, |topic, _, output| {
        let is_epoch = topic == Topic::Epochs && output.key == key;
        kept += usize::from(is_epoch);
        !is_epoch || kept <= 1
    });
    check_unproven(
        headless.as_ref(),
        &verdict,
        expect![
            "it names epoch 3, and the epoch records of account/0 end with 1: records of weir.epochs are missing, or it was never emitted"
        ],
    );
}

#[test]
fn a_build_that_judges_differently_proves_nothing_and_says_who_judged() {
    let log = judged();
    let verdict = &verdicts(&log)[2];
    let text = eager().text.replacen("version = \"", "version = \"other-", 1);
    let other = stages_with(Policy::parse(&text).unwrap());
    let report = verify(log.as_ref(), &wire(), &other, one(verdict), |_| ()).unwrap();
    // Another judge's verdict is not called different: it cannot be proved by this one.
    assert_eq!((report.proven, report.different, report.unproven), (0, 0, 1), "{report:#?}");
    expect![[r#"[Unproven { reason: "account/0: epoch 1 was recorded by another judge (version 25 with policy 2740cef9…), and this build (version 25 with policy 19b9ce3f…) gives another policy: use the build that judged, or begin at a later checkpoint" }]"#]].assert_eq(&format!("{:?}", report.findings.iter().map(|f| &f.outcome).collect::<Vec<_>>()));
}

#[test]
fn verdicts_under_a_policy_that_was_published_on_the_way_are_proved() {
    let log = judged();
    let body = eager().text.replacen("version = \"", "version = \"strict-", 1);
    let control = Control {
        name: "policy".into(),
        kind: ControlKind::Policy,
        version: "strict".into(),
        body,
        ..Control::default()
    };
    let record = Output::keyed(Topic::Control, b"policy".to_vec(), wire().to_bytes(&control), 0);
    put(log.as_ref(), vec![record]);
    let later = (50..90).flat_map(|number| (0..6).map(move |a| common::event(&format!("late {a}"), number)));
    put(log.as_ref(), later.collect());
    judge(&log);
    assert!(verdicts(&log).iter().any(|verdict| verdict.policy_version.starts_with("strict-")));
    let report = proved(log.as_ref(), Choice::All);
    assert!(report.is_proven(), "{report:#?}");
}
