//! A log that does everything that [`weir_topology::log`] permits, and does it when the seed says so.
//!
//! Records lie in transactions. A partition tells its readers nothing beyond the first record of a
//! transaction that is still open, and each partition learns of a transaction's end in its own time.
//! Every process has its own handle; one that died gets nothing done any more.

mod reader;
mod shared;
mod store;
mod writer;

pub use shared::{ProcessClock, Shared};
pub use store::{Kind, Slot, Store, Transaction};

use weir_topology::log::{Log, LogError, Position, Reader, Writer};
use weir_topology::topic::Topic;

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
        Ok(Box::new(writer::SimWriter::new(self.store.clone(), self.process, name, generation)))
    }
}
