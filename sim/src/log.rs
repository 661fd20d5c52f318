//! A log that does everything that [`weir_topology::log`] permits, and does it when the seed says so.
//!
//! Records lie in transactions. A partition tells its readers nothing beyond the first record of a
//! transaction that is still open, and each partition learns of a transaction's end in its own time.
//! Every process has its own handle; one that died gets nothing done any more.

mod reader;
mod store;
mod writer;

pub use store::{Kind, Slot, Store, Transaction};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use weir_topology::clock::Clock;
use weir_topology::log::{Log, LogError, Position, Reader, Writer};
use weir_topology::topic::Topic;

/// The store, as everything in a world shares it. There is one thread; the lock satisfies the traits.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Store>>);

impl Shared {
    /// Shares a store.
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }

    /// The store.
    pub fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Virtual time for what paces itself. To sleep is to let the world's time pass.
impl Clock for Shared {
    fn now(&self) -> Duration {
        Duration::from_micros(self.lock().now_us)
    }

    fn unix_ms(&self) -> i64 {
        let store = self.lock();
        store.began_ms + (store.now_us / 1_000) as i64
    }

    fn sleep(&self, pause: Duration) {
        self.lock().pass(pause.as_micros() as u64);
    }
}

/// A process's clocks: time passes for all alike, but no two agree about the calendar.
pub struct ProcessClock {
    world: Shared,
    skew_ms: i64,
}

impl ProcessClock {
    /// The clocks of a process.
    pub fn new(world: &Shared, process: usize) -> Self {
        let skews_ms = [0, 40, -40, 3_000, -3_000, 90_000, -90_000];
        Self { world: world.clone(), skew_ms: skews_ms[process % skews_ms.len()] }
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Duration {
        self.world.now()
    }

    fn unix_ms(&self) -> i64 {
        self.world.unix_ms() + self.skew_ms
    }

    fn sleep(&self, pause: Duration) {
        self.world.sleep(pause);
    }
}

/// One process's handle to the log.
#[derive(Clone)]
pub struct SimLog {
    store: Shared,
    process: usize,
}

impl SimLog {
    /// The handle of a process.
    pub fn new(store: &Shared, process: usize) -> Self {
        Self { store: store.clone(), process }
    }

    /// The process.
    pub fn process(&self) -> usize {
        self.process
    }
}

impl Log for SimLog {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        Ok(self.store.lock().partitions(topic))
    }

    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        let mut store = self.store.lock();
        store.read_fault(self.process)?;
        store.check(topic, partition)?;
        match store.stale_end.remove(&(self.process, topic, partition)) {
            Some(end) => Ok((0, end)),
            None => Ok((0, store.end_when_settled(topic, partition))),
        }
    }

    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        let mut store = self.store.lock();
        store.read_fault(self.process)?;
        for position in from {
            store.check(position.topic, position.partition)?;
        }
        Ok(Box::new(reader::SimReader::new(self.store.clone(), self.process, from)))
    }

    fn writer(&self, name: &str) -> Result<Box<dyn Writer>, LogError> {
        let mut store = self.store.lock();
        store.read_fault(self.process)?;
        let generation = store.open_writer(name, self.process)?;
        Ok(Box::new(writer::SimWriter::new(self.clone(), name, generation)))
    }
}
