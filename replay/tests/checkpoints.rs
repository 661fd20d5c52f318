//! History whose beginning is gone is folded from the oldest checkpoint whose inputs are kept, and a verdict
//! from the nearest one.

#![allow(clippy::unwrap_used)]

mod common;

use common::{PARTITIONS, Trimmed, campaign, copy_of, judge_with_checkpoints, put, stages, wire};
use expect_test::expect;
use std::sync::Arc;
use std::time::Duration;
use weir_replay::verify::{Choice, Difference, Evidence, Outcome, VerifyReport, verify};
use weir_replay::{Report, recorded};
use weir_schemas::Verdict;
use weir_topology::checkpoint::Checkpoint;
use weir_topology::log::Log;
use weir_topology::memory::MemoryLog;
use weir_topology::topic::{StageName, TaskId, Topic};

/// A judged campaign with a checkpoint every few epochs.
fn judged() -> Arc<MemoryLog> {
    let log = MemoryLog::new(PARTITIONS);
    put(log.as_ref(), campaign());
    judge_with_checkpoints(&log, Duration::ZERO);
    log
}

fn checkpoints(log: &dyn Log, partition: u32) -> Vec<Checkpoint> {
    Checkpoint::all(TaskId { stage: StageName::Account, partition }, log, &wire()).unwrap()
}

fn verdicts(log: &MemoryLog, partition: u32) -> Vec<Verdict> {
    let all = log.all(Topic::Verdicts).into_iter();
    let read = all.map(|output| wire().read::<Verdict>(output.payload.as_ref().unwrap()).unwrap());
    read.filter(|verdict| verdict.partition == partition as i32).collect()
}

fn proved(log: &dyn Log, choice: Choice) -> VerifyReport {
    verify(log, &wire(), &stages(), choice, |_| ()).unwrap()
}

fn evidence_of(log: &dyn Log, verdict: &Verdict) -> Evidence {
    let report = proved(log, Choice::One { id: verdict.verdict_id, account: Some(verdict.account) });
    match &report.findings[0].outcome {
        Outcome::Proven(evidence) => evidence.clone(),
        other => panic!("{other:#?}"),
    }
}

fn replayed(log: &dyn Log) -> Report {
    recorded::replay(log, &wire(), &stages(), |_| ()).unwrap()
}

/// The partition with the most checkpoints, and those.
fn busiest(log: &MemoryLog) -> (u32, Vec<Checkpoint>) {
    let of = |partition| (partition, checkpoints(log, partition));
    (0..PARTITIONS).map(of).max_by_key(|(_, all)| all.len()).unwrap()
}

/// Where the task stood in its events at a checkpoint.
fn events_at(checkpoint: &Checkpoint) -> i64 {
    let positions = &checkpoint.cursor.positions;
    positions.iter().find(|position| position.topic == Topic::Events).unwrap().next
}

/// Why a verdict cannot be proved.
fn unproven(log: &dyn Log, verdict: &Verdict) -> String {
    let report = proved(log, Choice::One { id: verdict.verdict_id, account: Some(verdict.account) });
    match &report.findings[0].outcome {
        Outcome::Unproven { reason } => reason.clone(),
        other => panic!("{other:#?}"),
    }
}

/// The log with the first entry of an account in each checkpoint as `edit` leaves it.
fn with_checkpoints_edited(log: &MemoryLog, edit: impl Fn(&mut weir_schemas::State)) -> Arc<MemoryLog> {
    copy_of(log, |topic, _, output| {
        if let (Topic::Checkpoints, Some(payload)) = (topic, &output.payload)
            && output.key[0] != b'!'
        {
            let mut state = wire().read(payload).unwrap();
            edit(&mut state);
            output.payload = Some(wire().to_bytes(&state));
        }
        true
    })
}

#[test]
fn a_verdict_is_folded_from_the_nearest_checkpoint_before_it() {
    let log = judged();
    let (partition, checkpoints) = busiest(&log);
    assert!(checkpoints.len() >= 2, "{checkpoints:#?}");
    let verdicts = verdicts(&log, partition);
    let mut from_checkpoints = 0;
    for verdict in &verdicts {
        let nearest =
            checkpoints.iter().rev().map(|one| one.cursor.epoch).find(|after| *after < verdict.epoch);
        let evidence = evidence_of(log.as_ref(), verdict);
        assert_eq!(evidence.folded_after, nearest.unwrap_or(0), "{verdict:#?}");
        from_checkpoints += usize::from(nearest.is_some());
    }
    assert!(from_checkpoints > 0 && from_checkpoints < verdicts.len());
}

#[test]
fn what_came_after_the_oldest_checkpoint_is_proved_when_the_events_before_it_are_gone() {
    let log = judged();
    let (partition, checkpoints) = busiest(&log);
    let (oldest, first) = (checkpoints[1].cursor.epoch, events_at(&checkpoints[1]));
    let trimmed = Trimmed::new(&log, Topic::Events, partition, first);
    let (before, after): (Vec<Verdict>, Vec<Verdict>) =
        verdicts(&log, partition).into_iter().partition(|verdict| verdict.epoch <= oldest);
    assert!(!before.is_empty() && !after.is_empty());

    for verdict in &after {
        assert!(evidence_of(&trimmed, verdict).folded_after >= oldest);
    }
    expect!["the events that led to epoch 1 of account/2 are no longer kept; the oldest checkpoint after which they are is of epoch 4"].assert_eq(&unproven(&trimmed, &before[0]));
    for choice in [Choice::All, Choice::Sample { verdicts: 1_000, seed: 1 }] {
        let report = proved(&trimmed, choice);
        assert!(report.is_proven(), "{report:#?}");
        assert_eq!((report.before, report.scanned), (before.len() as u64, report.chosen + report.before));
    }

    let (whole, rest) = (replayed(log.as_ref()), replayed(&trimmed));
    assert_eq!((whole.verdicts_before, rest.verdicts_before), (Some(0), Some(before.len() as u64)));
    assert_eq!((rest.bytes_equal, rest.verdicts), (Some(true), whole.verdicts - before.len() as u64));
    assert_eq!(rest.events, whole.events - first as u64);
    assert_eq!(rest.digest, rest.written_digest.unwrap());
}

#[test]
fn what_comes_after_missing_epochs_is_proved_from_the_next_checkpoint() {
    let log = judged();
    let (partition, checkpoints) = busiest(&log);
    let lost = checkpoints[0].cursor.epoch;
    let after = checkpoints.iter().filter(|one| one.cursor.epoch >= lost).count();
    assert!(after > 0);
    let key = format!("account/{partition}").into_bytes();
    let with_gap = copy_of(&log, |topic, _, output| {
        let epoch = || wire().read::<weir_schemas::Epoch>(output.payload.as_ref().unwrap()).unwrap().epoch;
        topic != Topic::Epochs || output.key != key || epoch() != lost
    });
    for verdict in verdicts(&log, partition).iter().filter(|verdict| verdict.epoch > lost) {
        assert!(evidence_of(with_gap.as_ref(), verdict).folded_after >= lost);
    }
    let report = proved(with_gap.as_ref(), Choice::All);
    let behind = verdicts(&log, partition).iter().filter(|verdict| verdict.epoch == lost).count() as u64;
    assert_eq!((report.different, report.unproven), (0, behind), "{report:#?}");

    // Epoch records that are gone altogether are as good as events that are.
    let first = log.all(Topic::Epochs).len() as i64 / i64::from(PARTITIONS) / 2;
    let report = proved(&Trimmed::new(&log, Topic::Epochs, partition, first), Choice::All);
    assert_eq!((report.different, report.unproven), (0, 0), "{report:#?}");
    assert!(report.before > 0 && report.proven > 0);
}

#[test]
fn a_checkpoint_is_not_believed() {
    let log = judged();
    let (partition, checkpoints) = busiest(&log);
    let last = verdicts(&log, partition).pop().unwrap();
    assert!(last.epoch > checkpoints[0].cursor.epoch);
    // Every account has another history, which none of its later events makes up for.
    let forged = with_checkpoints_edited(&log, |state| state.body[0] ^= 1);
    // With all of history the truth is found nevertheless.
    assert_eq!(evidence_of(forged.as_ref(), &last).folded_after, 0);
    assert!(proved(forged.as_ref(), Choice::All).is_proven());
    // Without it, nothing is said against a verdict that is as it was.
    let trimmed = Trimmed::new(&forged, Topic::Events, partition, events_at(&checkpoints[0]));
    expect!["folded from the checkpoint after epoch 2 of account/2, epoch 3 recorded outputs 10 to weir.links (dbf5c1bf…), 0 to weir.verdicts (e3b0c442…), 0 to weir.members (e3b0c442…), 0 to weir.dlq (e3b0c442…); folded again it gives 20 to weir.links (a5684ce9…), 2 to weir.verdicts (adf5c91f…), 2 to weir.members (27f3a96a…), 0 to weir.dlq (e3b0c442…)"].assert_eq(&unproven(&trimmed, &last));
}

#[test]
fn a_verdict_that_was_edited_is_caught_from_a_checkpoint_too() {
    let log = judged();
    let (partition, checkpoints) = busiest(&log);
    let first = checkpoints[0].cursor.epoch;
    let wanted =
        verdicts(&log, partition).into_iter().rev().find(|verdict| verdict.epoch > first + 1).unwrap();
    type Edit = fn(&mut Verdict);
    let edits: [Edit; 5] = [
        |verdict| verdict.score += 0.125,
        |verdict| verdict.epoch += 1_000,
        |verdict| verdict.epoch = 1,
        |verdict| verdict.epoch = 0,
        |verdict| verdict.sequence += 1,
    ];
    for edit in edits {
        let touched = copy_of(&log, |topic, _, output| {
            if topic == Topic::Verdicts {
                let mut verdict: Verdict = wire().read(output.payload.as_ref().unwrap()).unwrap();
                if verdict.verdict_id == wanted.verdict_id {
                    edit(&mut verdict);
                }
                output.payload = Some(wire().to_bytes(&verdict));
            }
            true
        });
        let report = proved(touched.as_ref(), Choice::One { id: wanted.verdict_id, account: None });
        let Outcome::Different(Difference::Content(content)) = &report.findings[0].outcome else {
            panic!("{report:#?}")
        };
        assert_eq!(content.fields.len(), 1, "{content:#?}");
    }
}

#[test]
fn a_damaged_checkpoint_proves_nothing_and_is_named() {
    let log = judged();
    let (partition, checkpoints) = busiest(&log);
    // Keys that are no account's.
    let damaged = copy_of(&log, |topic, _, output| {
        if topic == Topic::Checkpoints && output.key[0] != b'!' {
            output.partition = output.partition.or(Some(partition));
            output.key.pop();
        }
        true
    });
    let trimmed = Trimmed::new(&damaged, Topic::Events, partition, events_at(&checkpoints[0]));
    let last = verdicts(&log, partition).pop().unwrap();
    let reason = unproven(&trimmed, &last);
    assert!(reason.contains("is damaged"), "{reason}");
    assert!(evidence_of(damaged.as_ref(), &last).folded_after == 0);
}
