//! Warm standbys: what they hold, and what becomes of a task that is taken over with it.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod sums;

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sums::{FORGET, NEVER, Sums, TASK, append, around, eventually, said};
use weir_schemas::wire::Wire;
use weir_schemas::{State, StateKind};
use weir_topology::follow::Follower;
use weir_topology::log::{Commit, Log, LogError, Position, Reader, Writer};
use weir_topology::memory::MemoryLog;
use weir_topology::record::{Output, Records};
use weir_topology::stage::StageFactory;
use weir_topology::task::{Handover, Surroundings, Task};
use weir_topology::telemetry::{Start, Telemetry};
use weir_topology::topic::{TaskId, Topic};
use weir_topology::worker::Worker;

/// A log whose readers give two records at a time, so that a reader stands in the middle of a commit,
/// and whose state topic may have lost its beginning.
struct Sipping {
    inner: Arc<MemoryLog>,
    first: AtomicI64,
}

impl Sipping {
    fn new() -> Arc<Self> {
        Arc::new(Self { inner: MemoryLog::new(1), first: AtomicI64::new(0) })
    }
}

struct Sips(Box<dyn Reader>);

impl Log for Sipping {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.inner.partitions(topic)
    }
    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        let (first, end) = self.inner.bounds(topic, partition)?;
        let is_state = topic == Topic::StateAccount;
        Ok((if is_state { self.first.load(Ordering::Relaxed) } else { first }, end))
    }
    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(Sips(self.inner.reader(from)?)))
    }
    fn writer(&self, name: &str) -> Result<Box<dyn Writer>, LogError> {
        self.inner.writer(name)
    }
}

impl Reader for Sips {
    fn wait(&mut self, wait: Duration) -> Result<bool, LogError> {
        self.0.wait(wait)
    }
    fn take(
        &mut self,
        input: usize,
        records: usize,
        bytes: usize,
        into: &mut Records,
    ) -> Result<(), LogError> {
        self.0.take(input, records.min(2), bytes, into)
    }
    fn next(&self, input: usize) -> i64 {
        self.0.next(input)
    }
}

/// Remembers what it is told.
#[derive(Default)]
struct Told {
    starts: Mutex<Vec<Start>>,
    dropped: Mutex<Vec<String>>,
    looks_at_end: AtomicUsize,
    ended: AtomicUsize,
}

impl Telemetry for Told {
    fn task_restored(&self, _: TaskId, start: Start, _: u64, _: u64, _: Duration) {
        self.starts.lock().unwrap().push(start);
    }
    fn standby_looked_at(&self, _: TaskId, _: u64, behind: u64) {
        self.looks_at_end.fetch_add(usize::from(behind == 0), Ordering::Relaxed);
    }
    fn standby_ended(&self, _: TaskId) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
    fn standby_dropped(&self, _: TaskId, reason: &str) {
        self.dropped.lock().unwrap().push(reason.to_owned());
    }
}

fn telling(log: Arc<dyn Log>, snapshot_interval: Duration) -> (Surroundings, Arc<Told>) {
    let told = Arc::new(Told::default());
    (Surroundings { telemetry: told.clone(), ..around(log, snapshot_interval, 3) }, told)
}

fn take_over(around: &Surroundings, follower: Follower) -> Task {
    let standby: Handover = Box::new(move || Some(follower));
    Task::take_over(TASK, &mut Some(standby), || Sums::new(), around.clone(), Arc::default()).unwrap()
}

/// Numbers by five keys; now and then a key is forgotten.
fn numbers() -> Vec<(&'static str, i64)> {
    let keys = ["a", "b", "c", "d", "e"];
    (0..60).map(|n| (keys[n * 7 % 5], if n % 11 == 10 { FORGET } else { n as i64 })).collect()
}

#[test]
fn a_warm_takeover_says_what_an_uninterrupted_task_says() {
    let straight = MemoryLog::new(1);
    append(&straight, Topic::Events, numbers());
    let mut task = Task::open(TASK, Sums::new(), around(straight.clone(), NEVER, 3), Arc::default()).unwrap();
    while task.run_epoch(Duration::ZERO).unwrap() {}

    let wire = Wire::new();
    // A snapshot of up to three entries and a cursor, read by twos: standbys stand at its beginning, in
    // its middle and at its end.
    for (epochs_each, sips_each) in [(1, 0), (1, 1), (2, 1), (3, 1), (3, 2), (1, 9), (4, 3)] {
        for snapshot_interval in [Duration::ZERO, NEVER] {
            let log = Sipping::new();
            append(&log.inner, Topic::Events, numbers());
            let (around, told) = telling(log.clone(), snapshot_interval);
            let mut standby = Follower::new(TASK, Sums::new());
            let mut is_done = false;
            while !is_done {
                let mut owner = take_over(&around, standby);
                standby = Follower::new(TASK, Sums::new());
                for _ in 0..epochs_each {
                    is_done = !owner.run_epoch(Duration::ZERO).unwrap();
                    for _ in 0..sips_each {
                        standby.follow(log.as_ref(), &wire).unwrap();
                    }
                }
            }
            assert_eq!(said(&log.inner), said(&straight), "{epochs_each} epochs, {sips_each} sips");
            assert!(told.dropped.lock().unwrap().is_empty());
        }
    }
}

#[test]
fn a_standby_that_was_at_the_end_is_told_to_be_warm() {
    let log = Sipping::new();
    append(&log.inner, Topic::Events, [("a", 1), ("b", 2)]);
    let (around, told) = telling(log.clone(), Duration::ZERO);
    let mut owner = take_over(&around, Follower::new(TASK, Sums::new()));
    while owner.run_epoch(Duration::ZERO).unwrap() {}
    let (mut standby, wire) = (Follower::new(TASK, Sums::new()), Wire::new());
    while standby.follow(log.as_ref(), &wire).unwrap() {
        standby.behind(log.as_ref()).unwrap();
    }
    assert_eq!((standby.behind(log.as_ref()), standby.entries()), (Ok(0), 2));
    take_over(&around, standby);
    assert_eq!(*told.starts.lock().unwrap(), [Start::Cold, Start::Warm]);
}

#[test]
fn a_standby_whose_place_in_the_log_is_gone_is_dropped_and_the_task_comes_back_from_the_log() {
    let log = Sipping::new();
    append(&log.inner, Topic::Events, [("a", 1), ("b", 2), ("c", 3)]);
    let (around, told) = telling(log.clone(), Duration::ZERO);
    let mut owner = take_over(&around, Follower::new(TASK, Sums::new()));
    while owner.run_epoch(Duration::ZERO).unwrap() {}
    let mut standby = Follower::new(TASK, Sums::new());
    assert!(standby.follow(log.as_ref(), &Wire::new()).unwrap());
    log.first.store(standby.next() + 1, Ordering::Relaxed);
    append(&log.inner, Topic::Events, [("a", 10)]);
    let mut next = take_over(&around, standby);
    while next.run_epoch(Duration::ZERO).unwrap() {}
    assert_eq!(said(&log.inner), "a=1 b=2 c=3 a=11");
    let dropped = told.dropped.lock().unwrap();
    assert!(dropped.len() == 1 && dropped[0].contains("has passed its retention"), "{dropped:?}");
    assert_eq!(*told.starts.lock().unwrap(), [Start::Cold, Start::Cold]);
}

#[test]
fn a_worker_holds_what_it_does_not_run_and_takes_it_over_warm() {
    let log = MemoryLog::new(2);
    append(&log, Topic::Events, numbers());
    let make_stage: StageFactory = Arc::new(|_| Sums::new());
    let (around, told) = telling(log.clone(), Duration::ZERO);
    let tasks = [TASK, TaskId { partition: 1, ..TASK }];
    let mut first = Worker::new(around.clone(), make_stage.clone());
    first.keep_warm(tasks);
    first.start(TASK);
    eventually("all numbers are folded", || first.statuses().all(|(_, s)| s.judged() == 60));
    let mut second = Worker::new(around, make_stage);
    second.keep_warm(tasks);
    let looks = told.looks_at_end.load(Ordering::Relaxed);
    eventually("both hold both", || told.looks_at_end.load(Ordering::Relaxed) >= looks + 2);

    told.starts.lock().unwrap().clear();
    second.start(TASK);
    eventually("the second has it", || told.starts.lock().unwrap().len() == 1);
    append(&log, Topic::Events, [("a", 1_000)]);
    eventually("the first was fenced", || {
        first.check().unwrap();
        first.statuses().count() == 0
    });
    eventually("the number is folded", || second.statuses().all(|(_, s)| s.judged() == 1));
    second.stop_all().unwrap();
    assert_eq!(*told.starts.lock().unwrap(), [Start::Warm]);
    assert_eq!(*told.dropped.lock().unwrap(), Vec::<String>::new());

    // What was fenced is held again, and comes back with all that was said meanwhile.
    eventually("the first holds it again", || {
        first.check().unwrap();
        first.start(TASK);
        told.starts.lock().unwrap().len() > 1
    });
    append(&log, Topic::Events, [("a", 1)]);
    eventually("the first folds again", || first.statuses().any(|(_, s)| s.judged() == 1));
    let sums = said(&log);
    let of_a: Vec<i64> = sums.split(' ').filter_map(|said| said.strip_prefix("a=")?.parse().ok()).collect();
    let [.., with_thousand, last] = of_a[..] else { panic!("{sums}") };
    assert_eq!(last, with_thousand + 1);
    first.stop_all().unwrap();
}

#[test]
fn a_standby_that_cannot_read_the_state_is_told_of_and_disturbs_no_task() {
    let log = MemoryLog::new(2);
    let (around, told) = telling(log.clone(), Duration::ZERO);
    let newer = State { kind: StateKind::Entry, format: 2, epoch: 1, body: b"7".into(), ..State::default() };
    let entry =
        Output::keyed(Topic::StateAccount, b"a".into(), Wire::new().to_bytes(&newer), 0).in_partition(1);
    log.writer("newer").unwrap().commit(&Commit { outputs: vec![entry], positions: Vec::new() }).unwrap();
    append(&log, Topic::Events, [("a", 1)]);

    let mut worker = Worker::new(around, Arc::new(|_| Sums::new()));
    worker.keep_warm([TaskId { partition: 1, ..TASK }]);
    worker.start(TASK);
    eventually("it is told", || !told.dropped.lock().unwrap().is_empty());
    eventually("the task goes on", || worker.statuses().all(|(_, status)| status.judged() == 1));
    worker.check().unwrap();
    worker.stop_all().unwrap();
    assert!(told.dropped.lock().unwrap()[0].contains("has format 2"), "{:?}", told.dropped);
}
