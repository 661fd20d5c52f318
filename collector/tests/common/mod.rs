//! What the tests of sources share: a log whose commits fail as they are told to, and a clock that the test
//! sets.

#![allow(dead_code, clippy::unwrap_used)] // Each test binary uses its part of it.

pub mod traced;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_topology::clock::Clock;
use weir_topology::log::{Commit, Log, LogError, Position, Reader, Writer};
use weir_topology::memory::MemoryLog;
use weir_topology::topic::Topic;

/// What the calendar says in these tests, in milliseconds since the Unix epoch.
pub const NOW_MS: i64 = 1_795_300_000_000;

/// What the next commits of a [`FaultyLog`] do instead.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The disk is full.
    Full,
    /// The broker aborts.
    Abort,
    /// The broker commits, and the answer is lost.
    CommitAndForget,
    /// The answer is lost, and it did not commit.
    Forget,
}

/// A log whose commits fail as they are told to.
pub struct FaultyLog {
    pub inner: Arc<MemoryLog>,
    /// The next one last.
    pub faults: Arc<Mutex<Vec<Fault>>>,
    /// Commits that go well before the first fault.
    pub passes: Arc<AtomicUsize>,
    /// Bytes of the largest commit.
    pub largest: Arc<Mutex<usize>>,
}

impl FaultyLog {
    pub fn new(inner: Arc<MemoryLog>) -> Self {
        Self { inner, faults: Arc::default(), passes: Arc::default(), largest: Arc::default() }
    }
}

struct FaultyWriter {
    inner: Box<dyn Writer>,
    faults: Arc<Mutex<Vec<Fault>>>,
    passes: Arc<AtomicUsize>,
    largest: Arc<Mutex<usize>>,
}

impl Log for FaultyLog {
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
        let inner = self.inner.writer(name)?;
        let (faults, passes, largest) = (self.faults.clone(), self.passes.clone(), self.largest.clone());
        Ok(Box::new(FaultyWriter { inner, faults, passes, largest }))
    }
}

impl Writer for FaultyWriter {
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        let bytes: usize = commit.outputs.iter().map(weir_topology::record::Output::bytes_len).sum();
        let mut largest = self.largest.lock().unwrap();
        *largest = bytes.max(*largest);
        let passes = self.passes.load(Ordering::Relaxed);
        self.passes.store(passes.saturating_sub(1), Ordering::Relaxed);
        let fault = if passes > 0 { None } else { self.faults.lock().unwrap().pop() };
        let reason = "a fault of the test".to_owned();
        match fault {
            None => self.inner.commit(commit),
            Some(Fault::Full) => Err(LogError::Storage { reason: "no space left on device".into() }),
            Some(Fault::Abort) => Err(LogError::Aborted { reason }),
            Some(Fault::Forget) => Err(LogError::Indefinite { reason }),
            Some(Fault::CommitAndForget) => {
                self.inner.commit(commit)?;
                Err(LogError::Indefinite { reason })
            }
        }
    }
}

/// A clock that the test sets.
#[derive(Default)]
pub struct Hand(pub Mutex<Duration>);

impl Clock for Hand {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }
    fn unix_ms(&self) -> i64 {
        NOW_MS
    }
    fn sleep(&self, pause: Duration) {
        *self.0.lock().unwrap() += pause;
    }
}
