//! Forgets what its topic's retention allows, but nothing that a stage has still to fold.
//!
//! Age counts from when a record was appended, as on Kafka: an import of last month's events is history
//! to be replayed, and not to be deleted on the day it came.

use super::Shared;
use super::chunk::Chunk;
use super::layout::{BOUNDS, CHUNKS, LATEST, POSITIONS, TOMBSTONES, code, topic_of};
use super::store::fault;
use super::write::Bounds;
use crate::log::LogError;
use crate::topic::{StageName, TOMBSTONE_KEPT, Topic};
use redb::{ReadableTable, WriteTransaction};
use std::time::Duration;

/// Most chunks that go in one transaction: commits wait meanwhile.
const CHUNKS_PER_TRANSACTION: usize = 512;

/// What writers of exports to others begin with.
const EXPORTERS: &str = "export/";

/// Deletes what is older than its topic's retention and gives the number of records deleted.
pub(super) fn trim(shared: &Shared, now_ms: i64) -> Result<u64, LogError> {
    let mut deleted = 0;
    for topic in Topic::ALL.iter().copied() {
        for partition in 0..topic.partitions(shared.partitions) {
            let step = |what: What, retention: Duration| {
                let before_ms = now_ms.saturating_sub(retention.as_millis() as i64);
                let sweep = Sweep { topic, partition, before_ms, what };
                repeat(shared, &sweep)
            };
            if let Some(retention) = topic.spec().cleanup.retention() {
                deleted += step(What::Records, retention)?;
            }
            if topic.is_compacted() {
                deleted += step(What::Tombstones, TOMBSTONE_KEPT)?;
            }
        }
    }
    Ok(deleted)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Records,
    Tombstones,
}

struct Sweep {
    topic: Topic,
    partition: u32,
    /// What was appended before this may go.
    before_ms: i64,
    what: What,
}

/// One chunk that goes.
struct Expired {
    base: i64,
    count: i64,
    key: Option<Vec<u8>>,
}

fn repeat(shared: &Shared, sweep: &Sweep) -> Result<u64, LogError> {
    let mut deleted = 0;
    // Most partitions have nothing to delete: that is found out without a write.
    while shared.store.read(|snapshot| {
        let chunks = snapshot.open_table(CHUNKS).map_err(fault)?;
        let tombstones = snapshot.open_table(TOMBSTONES).map_err(fault)?;
        let positions = snapshot.open_table(POSITIONS).map_err(fault)?;
        Ok(!sweep.expired(&chunks, &tombstones, &positions, 1)?.is_empty())
    })? {
        deleted +=
            shared.group.exclusively(|| shared.store.write(|transaction| sweep.delete(transaction)))?;
    }
    Ok(deleted)
}

impl Sweep {
    fn delete(&self, transaction: &WriteTransaction) -> Result<(u64, Bounds), LogError> {
        let (topic, partition) = (code(self.topic), self.partition);
        let mut chunks = transaction.open_table(CHUNKS).map_err(fault)?;
        let mut tombstones = transaction.open_table(TOMBSTONES).map_err(fault)?;
        let positions = transaction.open_table(POSITIONS).map_err(fault)?;
        let expired = self.expired(&chunks, &tombstones, &positions, CHUNKS_PER_TRANSACTION)?;
        let mut latest = transaction.open_table(LATEST).map_err(fault)?;
        for chunk in &expired {
            chunks.remove((topic, partition, chunk.base)).map_err(fault)?;
            tombstones.remove((topic, partition, chunk.base)).map_err(fault)?;
            if let Some(key) = &chunk.key {
                latest.remove((topic, partition, key.as_slice())).map_err(fault)?;
            }
        }
        let mut moved = Bounds::new();
        if let (false, Some(last)) = (self.topic.is_compacted(), expired.last()) {
            let mut table = transaction.open_table(BOUNDS).map_err(fault)?;
            let end = table.get((topic, partition)).map_err(fault)?.map_or(0, |bounds| bounds.value().1);
            let bounds = (last.base + last.count, end);
            table.insert((topic, partition), bounds).map_err(fault)?;
            moved.insert((self.topic, partition), bounds);
        }
        Ok((expired.iter().map(|chunk| chunk.count as u64).sum(), moved))
    }

    /// The oldest chunks that may go, up to the first that may not.
    fn expired(
        &self,
        chunks: &impl ReadableTable<(u8, u32, i64), &'static [u8]>,
        tombstones: &impl ReadableTable<(u8, u32, i64), ()>,
        positions: &impl ReadableTable<(&'static str, u8, u32), i64>,
        chunks_max: usize,
    ) -> Result<Vec<Expired>, LogError> {
        let floor = self.floor(positions)?;
        let (topic, partition) = (code(self.topic), self.partition);
        let range = (topic, partition, 0)..(topic, partition, floor);
        let mut expired = Vec::new();
        let mut consider = |base: i64, value: &[u8]| -> Result<bool, LogError> {
            let chunk = Chunk::parse(value)?;
            let count = i64::from(chunk.count);
            if chunk.appended_ms >= self.before_ms || base + count > floor || expired.len() == chunks_max {
                return Ok(false);
            }
            let key = match self.topic.is_compacted() {
                true => chunk.records().next().transpose()?.map(|record| record.key.to_vec()),
                false => None,
            };
            expired.push(Expired { base, count, key });
            Ok(true)
        };
        match self.what {
            What::Records => {
                for entry in chunks.range(range).map_err(fault)? {
                    let (key, value) = entry.map_err(fault)?;
                    if !consider(key.value().2, value.value())? {
                        break;
                    }
                }
            }
            What::Tombstones => {
                for entry in tombstones.range(range).map_err(fault)? {
                    let key = entry.map_err(fault)?.0.value();
                    let Some(value) = chunks.get(key).map_err(fault)? else { continue };
                    if !consider(key.2, value.value())? {
                        break;
                    }
                }
            }
        }
        Ok(expired)
    }

    /// The offset from which on a stage may still need records: the least position that was committed
    /// for the partition; the beginning where a stage reads the topic and none was committed.
    fn floor(&self, positions: &impl ReadableTable<(&'static str, u8, u32), i64>) -> Result<i64, LogError> {
        let mut least = None;
        for entry in positions.iter().map_err(fault)? {
            let (key, next) = entry.map_err(fault)?;
            let (writer, topic, partition) = key.value();
            // An export tells within the retention or not at all: one that was given up must not stop it.
            if writer.starts_with(EXPORTERS) {
                continue;
            }
            if topic_of(topic) == Some(self.topic) && partition == self.partition {
                least = Some(least.map_or(next.value(), |least: i64| least.min(next.value())));
            }
        }
        let is_folded = StageName::ALL.iter().any(|stage| stage.inputs().contains(&self.topic));
        Ok(least.unwrap_or(if is_folded { 0 } else { i64::MAX }))
    }
}
