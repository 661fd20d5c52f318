//! The log in a directory: one process, one file, on [redb].
//!
//! # How it is stored
//!
//! The records that a commit has for a partition lie together in chunks of up to 64 KiB, one value
//! each, under (topic, partition, offset of the first). A compacted topic has one record in a chunk
//! and an index from key to offset, so that a newer record takes the older one's place at once; a
//! tombstone stays for a day, for those who follow the topic. Outputs and positions of a commit are
//! one transaction that is on disk when it returns. Commits that arrive while another is being written
//! share the next transaction and its fsync; each is checked by itself before, so that one that is
//! refused harms no other. Readers work in snapshots and wait for nobody.
//!
//! After an I/O error redb must be opened again. The store does that by itself, and a counter in the
//! database tells whether the commit in question is there: a full disk costs the commit and nothing
//! else, what is there can be read meanwhile, and writing goes on when there is room.
//!
//! # Why redb
//!
//! Batches of 1000 records of 500 bytes with a position, fsynced, 2 cores, 0.2 ms per fsync, redb 4.4
//! without this module: redb 1.4–2.0 M records/s (p99 0.6 ms, 1.05 × the bytes on disk), fjall
//! 0.8–1.4 M (p99 16 ms, stalls of 0.4 s, 1.7 ×), SQLite 0.5 M, LMDB 2.8 M. redb is pure Rust, has
//! one file, checksums every page and no background threads; LMDB is faster and is C and `unsafe`.
//!
//! Through this module, in the same setting:
//!
//! | what | figure |
//! |---|---|
//! | append, one writer, batches of 1000 to one partition / to 8 | 1.06 M / 0.69 M records/s, p99 1.5 / 2.1 ms |
//! | commits of 10 records: 1, 2, 8 writers | 2,550 / 3,060 / 8,100 commits/s; p50 0.39 / 0.41 / 0.87 ms, p99 0.6 / 0.9 / 1.3 ms |
//! | the same, 8 writers, each commit in a transaction of its own | 2,250 commits/s; p50 3.4 ms, p99 8.0 ms |
//! | commits of 1000 records: 1, 8 writers | 1.10 / 1.29 M records/s, p50 0.9 / 6.1 ms, p99 1.4 / 9.5 ms |
//! | scan of a topic / in takes of 100 records | 7.8 M / 5.5 M records/s |
//! | a reader at the end, per take of 100 records | 8 µs beside a commit of 0.5 ms |
//! | compacted topic, records of 1.5 kB: new keys / all keys replaced / scan | 62,000 / 20,000–29,000 / 210,000 records/s |
//! | memory while appending and scanning 0.5 GB | 55 MB |
//!
//! Measured and left out: chunks of 32 KiB (0.87 M appended, 5.8 M scanned), of 128 KiB (0.65 M;
//! up to 1.7 × the bytes on disk, because redb rounds a large value up to a power of two) and whole
//! batches (0.29 M, up to 2 ×); redb's quick repair, which opens in milliseconds after a crash but makes
//! a commit dearer by 0.04 ms for every GB of log. Without it a log that was killed is checked when it
//! is opened: 0.2 s a GB in the page cache, 0.6 s from this disk. A cache of the newest batches was
//! not built: all that it could save is the 8 µs above.

mod chunk;
mod group;
mod layout;
mod open;
mod prepare;
mod reader;
mod retention;
mod store;
#[cfg(test)]
mod tests;
mod write;

pub use open::OpenError;

use crate::log::{Commit, Log, LogError, Position, Reader, Writer};
use crate::topic::Topic;
use group::Group;
use layout::POSITIONS;
use prepare::{check, prepare};
use redb::ReadableTable;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use store::{Store, fault};
use write::Bounds;

/// A log in a directory of this machine. It is closed when it and its readers and writers are dropped.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
}

/// The time, in milliseconds since the Unix epoch.
type Clock = Box<dyn Fn() -> i64 + Send + Sync>;

struct Shared {
    partitions: u32,
    group: Group,
    store: Store,
    clock: Clock,
    /// Held for as long as the store is open, so it comes after it.
    _lock: File,
}

impl Shared {
    fn with_bounds<T>(&self, look: impl FnOnce(&Bounds) -> T) -> Result<T, LogError> {
        self.group.with_bounds(|| self.store.read(open::bounds), look)
    }
}

impl fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLog").field("partitions", &self.shared.partitions).finish_non_exhaustive()
    }
}

impl EmbeddedLog {
    /// Opens the log in `dir`, or makes it there: directory 0700, files 0600. `partitions` is the
    /// count of the shared topics, for ever.
    pub fn open(dir: &Path, partitions: u32) -> Result<Arc<Self>, OpenError> {
        Ok(Arc::new(Self { shared: Arc::new(open::open(dir, Some(partitions))?) }))
    }

    /// Opens a log that is there, with the partition count that it has.
    pub fn open_existing(dir: &Path) -> Result<Arc<Self>, OpenError> {
        Ok(Arc::new(Self { shared: Arc::new(open::open(dir, None)?) }))
    }

    /// Deletes records that were appended longer before `now_ms` than their topic's retention, oldest
    /// first, and tombstones of more than a day. Event time does not count, so that old events may be
    /// imported. What a stage has still to fold is kept whatever its age: on a
    /// stage's input nothing goes that is not before every committed position. Gives the number of
    /// records deleted. The file does not shrink; its room is used again.
    pub fn trim(&self, now_ms: i64) -> Result<u64, LogError> {
        retention::trim(&self.shared, now_ms)
    }

    /// The positions that each writer committed last.
    pub fn positions(&self) -> Result<BTreeMap<String, Vec<Position>>, LogError> {
        self.shared.store.read(|snapshot| {
            let table = snapshot.open_table(POSITIONS).map_err(fault)?;
            let mut positions = BTreeMap::<String, Vec<Position>>::new();
            for entry in table.iter().map_err(fault)? {
                let (key, next) = entry.map_err(fault)?;
                let (writer, number, partition) = key.value();
                let topic = layout::topic_of(number)
                    .ok_or_else(|| LogError::Damaged { reason: format!("there is no topic {number}") })?;
                let position = Position { topic, partition, next: next.value() };
                positions.entry(writer.to_owned()).or_default().push(position);
            }
            Ok(positions)
        })
    }
}

impl Log for EmbeddedLog {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        Ok(topic.partitions(self.shared.partitions))
    }

    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        check(topic, partition, self.shared.partitions)?;
        self.shared.with_bounds(|bounds| bounds.get(&(topic, partition)).copied().unwrap_or((0, 0)))
    }

    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        for position in from {
            check(position.topic, position.partition, self.shared.partitions)?;
        }
        Ok(Box::new(reader::EmbeddedReader { shared: self.shared.clone(), inputs: from.to_vec() }))
    }

    fn writer(&self, name: &str) -> Result<Box<dyn Writer>, LogError> {
        let generation = self.shared.group.fence(name);
        Ok(Box::new(EmbeddedWriter { shared: self.shared.clone(), name: name.to_owned(), generation }))
    }
}

struct EmbeddedWriter {
    shared: Arc<Shared>,
    name: String,
    generation: u64,
}

impl Writer for EmbeddedWriter {
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        let prepared = prepare(commit, self.shared.partitions, (self.shared.clock)())?;
        self.shared.group.commit(&self.shared.store, &self.name, self.generation, prepared)
    }
}
