//! Reads partitions side by side, each take in a snapshot of its own.

use super::Shared;
use super::chunk::Chunk;
use super::layout::{BOUNDS, CHUNKS, code};
use super::store::fault;
use crate::log::{LogError, Position, Reader};
use crate::record::Records;
use redb::{Range, ReadOnlyTable, ReadTransaction};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Chunks = ReadOnlyTable<(u8, u32, i64), &'static [u8]>;
type Entries = Range<'static, (u8, u32, i64), &'static [u8]>;

/// Reads from an [`super::EmbeddedLog`].
pub(super) struct EmbeddedReader {
    pub(super) shared: Arc<Shared>,
    pub(super) inputs: Vec<Position>,
}

impl EmbeddedReader {
    /// Whether an input has a record. A compacted topic may end in a gap, which is passed over here.
    fn has_record(&mut self, input: usize) -> Result<bool, LogError> {
        let position = self.inputs[input];
        if !position.topic.is_compacted() {
            return Ok(true);
        }
        let (found, end) = self.shared.store.read(|snapshot| {
            let (_, end) = bounds(snapshot, position)?;
            let chunks = snapshot.open_table(CHUNKS).map_err(fault)?;
            Ok((range(&chunks, position, position.next, end)?.next().is_some(), end))
        })?;
        if !found {
            self.inputs[input].next = end.max(position.next);
        }
        Ok(found)
    }
}

impl Reader for EmbeddedReader {
    fn wait(&mut self, wait: Duration) -> Result<bool, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            let ready: Vec<usize> = self.shared.with_bounds(|bounds| {
                let ends = |position: &Position| {
                    bounds.get(&(position.topic, position.partition)).map_or(0, |(_, end)| *end)
                };
                let inputs = self.inputs.iter().enumerate();
                inputs
                    .filter(|(_, position)| ends(position) > position.next)
                    .map(|(index, _)| index)
                    .collect()
            })?;
            for input in ready {
                if self.has_record(input)? {
                    return Ok(true);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.shared.group.wait(left, |bounds| {
                self.inputs.iter().any(|position| {
                    let bounds = bounds.get(&(position.topic, position.partition));
                    bounds.is_some_and(|(_, end)| *end > position.next)
                })
            });
        }
    }

    fn take(
        &mut self,
        input: usize,
        records_max: usize,
        bytes_max: usize,
        into: &mut Records,
    ) -> Result<(), LogError> {
        let position = &mut self.inputs[input];
        let is_behind = self.shared.with_bounds(|bounds| {
            bounds.get(&(position.topic, position.partition)).is_some_and(|(_, end)| *end > position.next)
        })?;
        if !is_behind {
            return Ok(());
        }
        let mut room = Room { records: records_max, bytes: bytes_max, is_untouched: true };
        // After an I/O error this runs again and goes on where it was: `position` moves with `into`.
        self.shared.store.read(|snapshot| copy(snapshot, position, &mut room, into))
    }

    fn next(&self, input: usize) -> i64 {
        self.inputs[input].next
    }
}

struct Room {
    records: usize,
    bytes: usize,
    is_untouched: bool,
}

impl Room {
    fn admits(&self, bytes: usize) -> bool {
        self.records > 0 && (self.is_untouched || bytes <= self.bytes)
    }

    fn fill(&mut self, bytes: usize) {
        self.records -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.is_untouched = false;
    }
}

fn copy(
    snapshot: &ReadTransaction,
    position: &mut Position,
    room: &mut Room,
    into: &mut Records,
) -> Result<(), LogError> {
    let (first, end) = bounds(snapshot, *position)?;
    if position.next < first && position.next != 0 {
        return Err(LogError::Gone {
            topic: position.topic.name(),
            partition: position.partition,
            wanted: position.next,
            first,
        });
    }
    position.next = position.next.max(first);
    let chunks = snapshot.open_table(CHUNKS).map_err(fault)?;
    let from = chunk_at(&chunks, *position)?;
    for entry in range(&chunks, *position, from, end)? {
        let (key, value) = entry.map_err(fault)?;
        let base = key.value().2;
        let chunk = Chunk::parse(value.value())?;
        if base > position.next && !position.topic.is_compacted() {
            return Err(LogError::Damaged {
                reason: format!(
                    "{}/{} has no record at offset {}",
                    position.topic, position.partition, position.next
                ),
            });
        }
        for (offset, record) in (base..).zip(chunk.records()) {
            let record = record?;
            if offset < position.next {
                continue;
            }
            if !room.admits(record.bytes_len()) {
                return Ok(());
            }
            room.fill(record.bytes_len());
            record.copy_to(offset, into)?;
            position.next = offset + 1;
        }
    }
    position.next = position.next.max(end);
    Ok(())
}

/// Offset of the first record of the chunk that holds the position, or the position itself.
fn chunk_at(chunks: &Chunks, position: Position) -> Result<i64, LogError> {
    if position.topic.is_compacted() {
        return Ok(position.next);
    }
    let chunk = range(chunks, position, 0, position.next + 1)?.next_back().transpose().map_err(fault)?;
    Ok(chunk.map_or(position.next, |(key, _)| key.value().2))
}

fn range(chunks: &Chunks, position: Position, from: i64, to: i64) -> Result<Entries, LogError> {
    let (topic, partition) = (code(position.topic), position.partition);
    chunks.range((topic, partition, from)..(topic, partition, to.max(from))).map_err(fault)
}

fn bounds(snapshot: &ReadTransaction, position: Position) -> Result<(i64, i64), LogError> {
    let table = snapshot.open_table(BOUNDS).map_err(fault)?;
    let bounds = table.get((code(position.topic), position.partition)).map_err(fault)?;
    Ok(bounds.map_or((0, 0), |bounds| bounds.value()))
}
