//! Checkpoints: the state of one epoch is there again, however the task went on while it was written.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod sums;

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use sums::{FORGET, NEVER, Sums, TASK, append, around};
use weir_schemas::wire::Wire;
use weir_topology::checkpoint::{BEGIN_KEY, Checkpoint};
use weir_topology::cursor::{CURSOR_KEY, Cursor};
use weir_topology::log::{Commit, Log};
use weir_topology::memory::MemoryLog;
use weir_topology::restore::fold_recorded;
use weir_topology::stage::{Stage, StateEntry};
use weir_topology::task::Task;
use weir_topology::topic::Topic;

/// A task that begins a checkpoint with its next epoch, two entries with each.
fn open(log: &Arc<MemoryLog>, snapshot_interval: Duration, checkpoint_interval: Duration) -> Task {
    let mut around = around(log.clone(), snapshot_interval, 3);
    around.pace.checkpoint_interval = checkpoint_interval;
    around.pace.checkpoint_entries_max = 2;
    Task::open(TASK, Sums::new(), around, Arc::default()).unwrap()
}

fn drain(task: &mut Task) {
    while task.run_epoch(Duration::ZERO).unwrap() {}
}

fn checkpoints(log: &MemoryLog) -> Vec<Checkpoint> {
    Checkpoint::all(TASK, log, &Wire::new()).unwrap()
}

/// All of a stage's state, by key.
type State = BTreeMap<Vec<u8>, Vec<u8>>;

fn state_of(stage: &dyn Stage) -> State {
    let (mut entries, mut next) = (State::new(), Some(0));
    while let Some(from) = next {
        let (more, rest) = stage.survey(from, 3);
        entries.extend(more.into_iter().map(|StateEntry { key, body }| (key, body.unwrap())));
        next = rest;
    }
    entries
}

/// The state after the last epoch, folded from the beginning or from a checkpoint, and the number of epochs
/// folded.
fn folded_from(log: &MemoryLog, checkpoint: Option<&Checkpoint>) -> (State, u64) {
    let (mut stage, wire) = (Sums::new(), Wire::new());
    let mut from = Cursor::start(TASK);
    if let Some(checkpoint) = checkpoint {
        checkpoint.load(stage.as_mut(), log, &wire).unwrap();
        from = checkpoint.cursor.clone();
    }
    let mut epochs = 0;
    fold_recorded(TASK, stage.as_mut(), log, &wire, from, |_| {
        epochs += 1;
        Ok(())
    })
    .unwrap();
    (state_of(stage.as_ref()), epochs)
}

/// As `the keys of the records of the checkpoint topic`, with the sums that they say.
fn written(log: &MemoryLog) -> String {
    let wire = Wire::new();
    let outputs = log.all(Topic::Checkpoints).into_iter().map(|output| {
        let key = String::from_utf8(output.key.clone()).unwrap();
        if output.key == BEGIN_KEY || output.key == CURSOR_KEY {
            return key;
        }
        let body = output.payload.map(|payload| wire.read::<weir_schemas::State>(&payload).unwrap().body);
        format!("{key}={}", body.map_or("gone".into(), |body| String::from_utf8(body).unwrap()))
    });
    outputs.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_checkpoint_is_written_in_slices_with_what_changes_meanwhile() {
    let log = MemoryLog::new(1);
    append(&log, Topic::Events, [("a", 1), ("b", 2), ("c", 3)]);
    drain(&mut open(&log, Duration::ZERO, NEVER));
    assert_eq!(written(&log), "");
    append(&log, Topic::Events, [("d", 4), ("a", 10), ("b", FORGET), ("c", 30)]);
    drain(&mut open(&log, Duration::ZERO, Duration::ZERO));
    // The first of two epochs has d, a and b; the second c.
    assert_eq!(
        written(&log),
        "!begin a=11 c=3 !factor=1 a=11 b=gone d=4 \
         d=4 c=33 !cursor"
    );
    let all = checkpoints(&log);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].cursor.epoch, all[0].cursor.positions[2].next), (3, 7));
    assert_eq!(folded_from(&log, all.last()), (folded_from(&log, None).0, 0));
}

#[test]
fn a_checkpoint_that_was_not_completed_is_not_used_and_the_next_one_begins_anew() {
    let log = MemoryLog::new(1);
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    append(&log, Topic::Events, keys.map(|key| (key, 1)));
    let mut task = open(&log, NEVER, Duration::ZERO);
    task.run_epoch(Duration::ZERO).unwrap();
    task.run_epoch(Duration::ZERO).unwrap();
    drop(task);
    assert_eq!(checkpoints(&log), []);
    append(&log, Topic::Events, keys.map(|key| (key, 2)));
    append(&log, Topic::Events, keys.map(|key| (key, 3)));
    drain(&mut open(&log, NEVER, Duration::ZERO));
    let all = checkpoints(&log);
    assert_eq!((all.len(), written(&log).matches("!begin").count()), (1, 3), "{}", written(&log));
    assert_eq!(folded_from(&log, all.last()).0, folded_from(&log, None).0);
}

#[test]
fn a_task_that_is_opened_again_knows_when_the_last_checkpoint_was() {
    let log = MemoryLog::new(1);
    append(&log, Topic::Events, [("a", 1)]);
    let mut task = open(&log, NEVER, Duration::ZERO);
    drain(&mut task);
    task.close().unwrap();
    let last = checkpoints(&log).pop().unwrap();
    assert_eq!(last.cursor.checkpoint_ms, last.cursor.clock_ms);
    assert!(last.cursor.checkpoint_ms > 0);
    append(&log, Topic::Events, [("a", 100)]);
    let mut task = open(&log, Duration::ZERO, NEVER);
    drain(&mut task);
    let restored = weir_topology::restore::restore(TASK, Sums::new().as_mut(), log.as_ref(), &Wire::new());
    let cursor = restored.unwrap().cursor;
    assert_eq!(cursor.checkpoint_ms, last.cursor.checkpoint_ms);
    assert!(cursor.clock_ms > cursor.checkpoint_ms);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn folding_from_any_checkpoint_gives_what_folding_from_the_beginning_gives(
        runs in prop::collection::vec(
            (prop::collection::vec((0..8usize, -1..50i64), 1..12), any::<bool>(), any::<bool>()),
            1..12,
        ),
    ) {
        let log = MemoryLog::new(1);
        for (numbers, has_snapshots, closes) in runs {
            let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
            append(&log, Topic::Events, numbers.into_iter().map(|(key, number)| (keys[key], number)));
            let snapshot_interval = if has_snapshots { Duration::ZERO } else { NEVER };
            let mut task = open(&log, snapshot_interval, Duration::ZERO);
            drain(&mut task);
            if closes {
                task.close().unwrap();
            }
        }
        let (whole, epochs) = folded_from(&log, None);
        let mut last = 0;
        for checkpoint in checkpoints(&log) {
            let (state, folded) = folded_from(&log, Some(&checkpoint));
            prop_assert_eq!(&state, &whole);
            prop_assert_eq!(folded, epochs - checkpoint.cursor.epoch as u64);
            prop_assert!(checkpoint.cursor.epoch > last);
            last = checkpoint.cursor.epoch;
        }
    }
}

#[test]
fn an_idle_task_completes_what_it_began_and_writes_no_more() {
    let log = MemoryLog::new(1);
    append(&log, Topic::Events, ["a", "b", "c", "d", "e"].map(|key| (key, 1)));
    let mut task = open(&log, NEVER, Duration::ZERO);
    assert!(task.run_epoch(Duration::ZERO).unwrap());
    assert!(task.run_epoch(Duration::ZERO).unwrap());
    assert_eq!(checkpoints(&log), []);
    for _ in 0..5 {
        assert!(!task.run_epoch(Duration::ZERO).unwrap());
    }
    assert_eq!((checkpoints(&log).len(), written(&log).matches("!begin").count()), (1, 1));
    assert_eq!(folded_from(&log, checkpoints(&log).last()), (folded_from(&log, None).0, 0));
}

#[test]
fn a_task_that_ends_early_writes_a_checkpoint_when_event_time_says_that_one_is_due() {
    let log = MemoryLog::new(1);
    let keys = ["a", "b", "c", "d", "e"];
    let run = |numbers: i64| {
        append(&log, Topic::Events, keys.map(|key| (key, numbers)));
        let mut task = open(&log, NEVER, NEVER);
        drain(&mut task);
        task.close().unwrap();
        checkpoints(&log).len()
    };
    // Event time is 1,000 ms and the number.
    let hours = |count: i64| count * 3_600_000;
    assert_eq!(run(0), 0);
    assert_eq!(run(hours(1)), 1);
    assert_eq!(run(hours(1) + 10), 1);
    assert_eq!(run(hours(2) + 10), 2);
    for checkpoint in checkpoints(&log) {
        assert_eq!(folded_from(&log, Some(&checkpoint)).0, folded_from(&log, None).0);
    }
}

#[test]
fn the_checkpoint_of_a_task_that_ends_has_a_commit_for_each_slice_and_none_with_the_state() {
    let log = MemoryLog::new(1);
    // Sums are surveyed by the first byte of their keys.
    let key = |number: u16| format!("{}{number}", char::from(b'#' + (number % 90) as u8));
    let keys: Vec<String> = (0..25_000).map(key).collect();
    append(&log, Topic::Events, keys.iter().map(|key| (key.as_str(), 4_000_000)));
    let mut around = around(log.clone(), NEVER, keys.len());
    around.pace.checkpoint_interval = NEVER;
    let mut task = Task::open(TASK, Sums::new(), around, Arc::default()).unwrap();
    drain(&mut task);
    let before = log.bounds(Topic::Epochs, 0).unwrap().1;
    task.close().unwrap();
    // The state, two whole slices, and what is left.
    assert_eq!(log.bounds(Topic::Epochs, 0).unwrap().1 - before, 4);
    let all = checkpoints(&log);
    assert_eq!(all.len(), 1);
    let mut stage = Sums::new();
    all[0].load(stage.as_mut(), log.as_ref(), &Wire::new()).unwrap();
    assert_eq!(stage.entries(), keys.len());
}

#[test]
fn checkpoints_of_a_life_that_was_ended_by_hand_count_no_more() {
    let first = MemoryLog::new(1);
    append(&first, Topic::Events, [("a", 1), ("b", 2), ("c", 3)]);
    let mut task = open(&first, NEVER, Duration::ZERO);
    drain(&mut task);
    task.close().unwrap();
    assert_eq!(checkpoints(&first).len(), 1);
    // The checkpoints stayed when the epochs were deleted.
    let second = MemoryLog::new(1);
    let kept = first.all(Topic::Checkpoints);
    second.writer("operator").unwrap().commit(&Commit { outputs: kept, positions: Vec::new() }).unwrap();
    append(&second, Topic::Events, [("z", 26)]);
    let mut task = open(&second, NEVER, Duration::ZERO);
    drain(&mut task);
    task.close().unwrap();
    let all = checkpoints(&second);
    assert_eq!((all.len(), written(&second).matches("!cursor").count()), (1, 2));
    assert_eq!(folded_from(&second, all.last()), (folded_from(&second, None).0, 0));
}
