//! The epoch runner on the log in memory.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod sums;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sums::{NEVER, Sums, TASK, append, around, said};
use weir_schemas::wire::Wire;
use weir_topology::cursor::Cursor;
use weir_topology::error::TaskError;
use weir_topology::log::{Commit, Log, LogError, Position, Reader, Writer};
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::restore::fold_recorded;
use weir_topology::task::{BeforeCommit, Surroundings, Task, TaskStatus};
use weir_topology::topic::{TaskId, Topic};
use weir_topology::worker::{Life, Turn};

fn open(log: &Arc<MemoryLog>, snapshot_interval: Duration) -> Task {
    Task::open(TASK, Sums::new(), around(log.clone(), snapshot_interval, 3), Arc::default()).unwrap()
}

fn drain(task: &mut Task) {
    while task.run_epoch(Duration::ZERO).unwrap() {}
}

#[test]
fn a_task_restarted_after_every_epoch_says_what_an_uninterrupted_one_says() {
    let numbers: Vec<_> = (0..20).map(|n| (["a", "b", "c"][n as usize % 3], n)).collect();
    let straight = MemoryLog::new(1);
    append(&straight, Topic::Events, numbers.clone());
    drain(&mut open(&straight, NEVER));
    assert!(said(&straight).starts_with("a=0 b=1 c=2 a=3 b=5 c=7"));

    for snapshot_interval in [Duration::ZERO, NEVER] {
        let restarted = MemoryLog::new(1);
        append(&restarted, Topic::Events, numbers.clone());
        while open(&restarted, snapshot_interval).run_epoch(Duration::ZERO).unwrap() {}
        assert_eq!(said(&restarted), said(&straight));
    }
}

#[test]
fn a_control_record_outlives_the_snapshot_that_it_lies_before() {
    let log = MemoryLog::new(1);
    append(&log, Topic::Control, [("factor", 10)]);
    append(&log, Topic::Events, [("a", 1)]);
    let mut task = open(&log, Duration::ZERO);
    drain(&mut task);
    task.close().unwrap();
    append(&log, Topic::Events, [("a", 2)]);
    drain(&mut open(&log, NEVER));
    assert_eq!(said(&log), "a=10 a=30");
}

#[test]
fn the_second_owner_fences_the_first_whose_work_never_shows() {
    let log = MemoryLog::new(1);
    append(&log, Topic::Events, [("a", 1)]);
    let mut first = open(&log, NEVER);
    let mut second = open(&log, NEVER);
    let fenced = first.run_epoch(Duration::ZERO).unwrap_err();
    assert!(matches!(fenced, TaskError::Log { source: LogError::Fenced { .. }, .. }), "{fenced}");
    drain(&mut second);
    assert_eq!(said(&log), "a=1");
}

#[test]
fn a_closed_task_leaves_nothing_to_fold_again() {
    let log = MemoryLog::new(1);
    append(&log, Topic::Events, [("a", 1), ("b", 2)]);
    let mut task = open(&log, NEVER);
    drain(&mut task);
    task.close().unwrap();
    let mut stage = Sums::new();
    let wire = Wire::new();
    let restored = weir_topology::restore::restore(TASK, stage.as_mut(), log.as_ref(), &wire).unwrap();
    assert_eq!((restored.entries, restored.epochs), (2, 0));
}

/// Who is told before commits: what is about to be said, and what the log has by then.
struct Early {
    log: Arc<MemoryLog>,
    told: Mutex<Vec<(String, String)>>,
}

impl BeforeCommit for Early {
    fn about_to_commit(&self, task: TaskId, outputs: &[Output]) {
        assert_eq!(task, TASK);
        let text = |output: &Output| String::from_utf8(output.payload.clone().unwrap()).unwrap();
        let outputs = outputs.iter().map(text).collect::<Vec<_>>().join(" ");
        self.told.lock().unwrap().push((outputs, said(&self.log)));
    }
}

#[test]
fn who_is_told_before_a_commit_is_told_of_live_epochs_alone_and_before_the_log_has_them() {
    let log = MemoryLog::new(1);
    append(&log, Topic::Events, (1..=4).map(|number| ("a", number)));
    let early = Arc::new(Early { log: log.clone(), told: Mutex::default() });
    let open = || {
        let before_commit: Option<Arc<dyn BeforeCommit>> = Some(early.clone());
        let around = Surroundings { before_commit, ..around(log.clone(), NEVER, 3) };
        Task::open(TASK, Sums::new(), around, Arc::default()).unwrap()
    };
    drain(&mut open());
    let first = ("a=1 a=3 a=6".to_owned(), String::new());
    let second = ("a=10".to_owned(), "a=1 a=3 a=6".to_owned());
    assert_eq!(*early.told.lock().unwrap(), [first, second]);
    // It folds all of it again, in silence.
    let mut again = open();
    assert_eq!(early.told.lock().unwrap().len(), 2);
    append(&log, Topic::Events, [("a", 5)]);
    drain(&mut again);
    assert_eq!(early.told.lock().unwrap()[2..], [("a=15".to_owned(), "a=1 a=3 a=6 a=10".to_owned())]);
}

#[test]
fn a_build_that_judges_differently_is_told_where() {
    let log = MemoryLog::new(1);
    append(&log, Topic::Events, [("a", 1), ("a", 2)]);
    let mut task = open(&log, Duration::ZERO);
    drain(&mut task);
    let (wire, mut other) = (Wire::new(), Sums::with_factor(2));
    let outcome = fold_recorded(TASK, other.as_mut(), log.as_ref(), &wire, Cursor::start(TASK), |_| Ok(()));
    let Err(TaskError::Diverged { epoch, what, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((epoch, what), (1, "outputs"));
}

#[test]
fn a_word_that_was_never_said_is_noticed_when_it_is_folded_again() {
    let log = MemoryLog::new(1);
    append(&log, Topic::Events, [("a", 0), ("a", 0)]);
    let mut task =
        Task::open(TASK, Sums::silent_at_zero(), around(log.clone(), NEVER, 3), Arc::default()).unwrap();
    drain(&mut task);
    assert_eq!(said(&log), "");
    let outcome = Task::open(TASK, Sums::new(), around(log, NEVER, 3), Arc::default()).map(|_| ());
    let Err(TaskError::Diverged { epoch, what, recorded, found, .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((epoch, what), (1, "outputs"));
    assert!(
        recorded.contains("0 to weir.verdicts") && found.contains("2 to weir.verdicts"),
        "{recorded}; {found}"
    );
}

#[test]
fn a_missing_epoch_is_a_gap_and_not_a_guess() {
    let log = MemoryLog::new(1);
    append(&log, Topic::Events, [("a", 1)]);
    drain(&mut open(&log, NEVER));
    let holed = MemoryLog::new(1);
    let mut epoch: weir_schemas::Epoch =
        Wire::new().read(log.all(Topic::Epochs)[0].payload.as_ref().unwrap()).unwrap();
    epoch.epoch = 2;
    let record = Output::keyed(Topic::Epochs, TASK.to_string().into(), Wire::new().to_bytes(&epoch), 0)
        .in_partition(0);
    holed.writer("x").unwrap().commit(&Commit { outputs: vec![record], positions: vec![] }).unwrap();
    let outcome = Task::open(TASK, Sums::new(), around(holed, NEVER, 3), Arc::default()).map(|_| ());
    assert_eq!(outcome, Err(TaskError::Gap { task: TASK, expected: 1, found: 2 }));
}

/// A log whose commits fail as the test says.
struct Failing {
    inner: Arc<MemoryLog>,
    failures: Arc<Mutex<Vec<LogError>>>,
    attempts: Arc<AtomicU32>,
}

struct FailingWriter {
    inner: Box<dyn Writer>,
    failures: Arc<Mutex<Vec<LogError>>>,
    attempts: Arc<AtomicU32>,
}

impl Log for Failing {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.inner.partitions(topic)
    }
    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        self.inner.bounds(topic, partition)
    }
    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        self.inner.reader(from)
    }
    fn writer(&self, name: &str) -> Result<Box<dyn Writer>, LogError> {
        let (failures, attempts) = (self.failures.clone(), self.attempts.clone());
        Ok(Box::new(FailingWriter { inner: self.inner.writer(name)?, failures, attempts }))
    }
}

impl Writer for FailingWriter {
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        match self.failures.lock().unwrap().pop() {
            // An indefinite commit did happen here: the worst case.
            Some(error @ LogError::Indefinite { .. }) => self.inner.commit(commit).and(Err(error)),
            Some(error) => Err(error),
            None => self.inner.commit(commit),
        }
    }
}

fn failing(failures: Vec<LogError>) -> (Arc<MemoryLog>, Arc<Failing>) {
    let inner = MemoryLog::new(1);
    append(&inner, Topic::Events, [("a", 1), ("b", 2)]);
    let failures = Arc::new(Mutex::new(failures));
    (inner.clone(), Arc::new(Failing { inner, failures, attempts: Arc::default() }))
}

#[test]
fn an_aborted_commit_is_tried_again_with_the_same_bytes() {
    let aborted = LogError::Aborted { reason: "coordinator moved".into() };
    let (inner, log) = failing(vec![aborted.clone(), aborted]);
    let mut task = Task::open(TASK, Sums::new(), around(log.clone(), NEVER, 3), Arc::default()).unwrap();
    drain(&mut task);
    assert_eq!((said(&inner).as_str(), log.attempts.load(Ordering::Relaxed)), ("a=1 b=2", 3));
}

#[test]
fn a_commit_of_unknown_outcome_ends_the_task_and_the_next_one_looks_at_the_log() {
    let (inner, log) = failing(vec![LogError::Indefinite { reason: "timed out".into() }]);
    let mut task = Task::open(TASK, Sums::new(), around(log.clone(), NEVER, 3), Arc::default()).unwrap();
    assert!(task.run_epoch(Duration::ZERO).is_err());
    let mut next = Task::open(TASK, Sums::new(), around(log, NEVER, 3), Arc::default()).unwrap();
    drain(&mut next);
    assert_eq!(said(&inner), "a=1 b=2");
}

#[test]
fn the_turns_of_a_task_are_counted_on_when_it_is_opened_again() {
    let (_, log) = failing(vec![LogError::Indefinite { reason: "timed out".into() }]);
    let status = Arc::new(TaskStatus::default());
    let mut life = Life::new(TASK, around(log, NEVER, 3), Arc::new(|_| Sums::new()), status.clone());
    let turns = |life: &mut Life| {
        let turn = life.turn(Duration::ZERO).unwrap();
        (matches!(turn, Turn::Pause(_)), status.turns())
    };
    assert_eq!(turns(&mut life), (false, None), "it is being opened");
    let (fails, first) = turns(&mut life);
    assert!(fails && first.is_some());
    assert_eq!(turns(&mut life), (false, None), "it is being opened again");
    let (fails, second) = turns(&mut life);
    assert!(!fails && second > first, "{second:?} after {first:?}");
    life.stop().unwrap();
    assert_eq!(status.turns(), None, "it has ended");
}

#[test]
fn a_control_record_of_another_process_is_folded_before_the_events_beside_it() {
    let log = MemoryLog::new(1);
    append(&log, Topic::Events, [("a", 1)]);
    append(&log, Topic::Control, [("factor", 5)]);
    drain(&mut open(&log, NEVER));
    assert_eq!(said(&log), "a=5");
}
