//! History whose beginning is gone is folded from the oldest checkpoint whose inputs are kept, and a verdict from
//! the nearest one.

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

#[test]
fn a_verdict_is_folded_from_the_nearest_checkpoint_before_it() {
    let log = judged();
    let (partition, checkpoints) = busiest(&log);
    assert!(checkpoints.len() >= 2, "{checkpoints:#?}");
    let verdicts = verdicts(&log, partition);
    let mut from_checkpoints = 0;
    for (index, verdict) in verdicts.iter().enumerate() {
        // The verdict before it says what is near: what it says of itself may be a lie.
        let epoch = verdicts[..index].last().map_or(0, |before| before.epoch);
        let nearest = checkpoints.iter().rev().map(|one| one.cursor.epoch).find(|after| *after < epoch);
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
    let oldest = &checkpoints[1].cursor;
    let events = oldest.positions.iter().find(|position| position.topic == Topic::Events).unwrap();
    let trimmed = Trimmed::new(&log, Topic::Events, partition, events.next);
    let (before, after): (Vec<Verdict>, Vec<Verdict>) =
        verdicts(&log, partition).into_iter().partition(|verdict| verdict.epoch <= oldest.epoch);
    assert!(!before.is_empty() && !after.is_empty());

    for verdict in &after {
        assert!(evidence_of(&trimmed, verdict).folded_after >= oldest.epoch);
    }
    let report = proved(&trimmed, Choice::All);
    assert_eq!((report.different, report.unproven), (0, before.len() as u64), "{report:#?}");
    let Outcome::Unproven { reason } = &report.findings[0].outcome else { panic!("{report:#?}") };
    expect!["it is of epoch 2 of account/2: the events that led to it are no longer kept, and the oldest checkpoint after which they are is of epoch 4"].assert_eq(reason);

    let (whole, rest) = (replayed(log.as_ref()), replayed(&trimmed));
    assert_eq!((whole.verdicts_before, rest.verdicts_before), (Some(0), Some(before.len() as u64)));
    assert_eq!((rest.bytes_equal, rest.verdicts), (Some(true), whole.verdicts - before.len() as u64));
    assert_eq!(rest.events, whole.events - events.next as u64);
    assert_eq!(rest.digest, rest.written_digest.unwrap());
}

#[test]
fn a_verdict_that_was_edited_is_caught_from_a_checkpoint_too() {
    let log = judged();
    let (partition, checkpoints) = busiest(&log);
    let first = checkpoints[0].cursor.epoch;
    let wanted =
        verdicts(&log, partition).into_iter().rev().find(|verdict| verdict.epoch > first + 1).unwrap();
    type Edit = fn(&mut Verdict);
    let edits: [Edit; 4] = [
        |verdict| verdict.score += 0.125,
        |verdict| verdict.epoch += 1_000,
        |verdict| verdict.epoch = 1,
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
    let events = checkpoints[0].cursor.positions.iter().find(|position| position.topic == Topic::Events);
    // Keys that are no account's.
    let damaged = copy_of(&log, |topic, _, output| {
        if topic == Topic::Checkpoints && output.key[0] != b'!' {
            output.partition = output.partition.or(Some(partition));
            output.key.pop();
        }
        true
    });
    let trimmed = Trimmed::new(&damaged, Topic::Events, partition, events.unwrap().next);
    let last = verdicts(&log, partition).pop().unwrap();
    let report = proved(&trimmed, Choice::One { id: last.verdict_id, account: Some(last.account) });
    let Outcome::Unproven { reason } = &report.findings[0].outcome else { panic!("{report:#?}") };
    assert!(reason.contains("is damaged"), "{reason}");
}
