//! A worker that lets tasks go: those that run drain, and one that is still being opened is waited for no
//! longer than it may take.

#![allow(clippy::unwrap_used)]

mod sums;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use sums::*;
use weir_topology::log::{Commit, Log as _};
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::stage::StageFactory;
use weir_topology::task::Surroundings;
use weir_topology::telemetry::Telemetry;
use weir_topology::topic::{TaskId, Topic};
use weir_topology::worker::Worker;

const LOADING: TaskId = TaskId { partition: 1, ..TASK };

/// Longer than a task takes to end that has nothing to do.
const WITHIN: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Told {
    abandoned: Mutex<Vec<TaskId>>,
    released: Mutex<Vec<TaskId>>,
}

impl Telemetry for Told {
    fn task_abandoned(&self, task: TaskId, _: Duration) {
        self.abandoned.lock().unwrap().push(task);
    }

    fn task_released(&self, task: TaskId) {
        self.released.lock().unwrap().push(task);
    }
}

#[test]
fn a_task_that_is_being_opened_is_not_waited_for_and_commits_nothing_when_another_has_its_partition() {
    let log = MemoryLog::new(2);
    let number = |key: &str, partition| {
        Output::keyed(Topic::Events, key.into(), b"1".into(), 1_000).in_partition(partition)
    };
    let outputs = vec![number("a", 0), number("a", 0), number("b", 1)];
    log.writer("importer").unwrap().commit(&Commit { outputs, positions: Vec::new() }).unwrap();
    let told = Arc::new(Told::default());
    let around = Surroundings { telemetry: told.clone(), ..around(log.clone(), NEVER, 100) };
    // The first who opens it is kept at it.
    let (let_go, gate) = mpsc::channel::<()>();
    let (gate, is_kept) = (Mutex::new(gate), Arc::new(AtomicBool::new(false)));
    let make_stage: StageFactory = {
        let is_kept = is_kept.clone();
        Arc::new(move |id| {
            if id == LOADING && !is_kept.swap(true, Ordering::Relaxed) {
                gate.lock().unwrap().recv().unwrap();
            }
            Sums::new()
        })
    };
    let mut worker = Worker::new(around, make_stage);
    worker.start(TASK);
    worker.start(LOADING);
    let judged = |worker: &Worker, id| {
        worker.statuses().find(|(task, _)| *task == id).map(|(_, status)| status.judged())
    };
    eventually("the other one folds", || judged(&worker, TASK) == Some(2));
    eventually("it is being opened", || is_kept.load(Ordering::Relaxed));

    worker.stop(&[LOADING, TASK], WITHIN).unwrap();
    assert_eq!(worker.statuses().count(), 0);
    assert_eq!(*told.abandoned.lock().unwrap(), [LOADING]);
    assert_eq!(*told.released.lock().unwrap(), [TASK], "it has drained meanwhile");

    // The partition comes back, and is folded although the one that was left is not over.
    worker.start(LOADING);
    eventually("it is folded", || judged(&worker, LOADING) == Some(1));
    let (sums, epochs) = (said(&log), log.bounds(Topic::Epochs, 1).unwrap());
    let_go.send(()).unwrap();
    eventually("the one that was left ends", || told.released.lock().unwrap().contains(&LOADING));
    worker.check().unwrap();
    assert_eq!(worker.statuses().count(), 1, "nobody was fenced");
    assert_eq!((said(&log), log.bounds(Topic::Epochs, 1).unwrap()), (sums, epochs));
    worker.stop_all().unwrap();
}
