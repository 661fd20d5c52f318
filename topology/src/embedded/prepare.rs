//! Checks a commit and brings it into the form in which it is stored, on the writer's own thread
//! and before anything is queued or written.

use super::chunk::{ChunkBuilder, stored_len};
use crate::key::partition_of;
use crate::limits::RECORD_BYTES_MAX;
use crate::log::{Commit, LogError, Position};
use crate::record::Output;
use crate::topic::Topic;
use std::collections::BTreeMap;

/// Most bytes of a chunk, unless one record alone is larger. The store gives a large value a page
/// of the next power of two, so a chunk fills 64 KiB with its key and the page's own head, and a
/// reader in the middle of a commit copies no more than this.
const CHUNK_BYTES_MAX: usize = (64 << 10) - 64;

/// A commit that may be written.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Its records by partition.
    pub(super) runs: Vec<Run>,
    /// Its positions.
    pub(super) positions: Vec<Position>,
    /// Size of its records.
    pub(super) bytes: usize,
}

/// The records that a commit has for one partition, in order.
#[derive(Debug)]
pub(super) struct Run {
    /// Topic.
    pub(super) topic: Topic,
    /// Partition.
    pub(super) partition: u32,
    /// Its chunks in order.
    pub(super) chunks: Vec<Prechunk>,
}

/// A chunk whose offset is not known yet.
#[derive(Debug)]
pub(super) struct Prechunk {
    /// The encoded chunk.
    pub(super) bytes: Vec<u8>,
    /// Number of its records.
    pub(super) count: u32,
    /// In a compacted topic the key of its only record, and whether that is a tombstone.
    pub(super) keyed: Option<(Vec<u8>, bool)>,
}

/// Checks and encodes a commit of this moment.
pub(super) fn prepare(commit: &Commit, shared_partitions: u32, now_ms: i64) -> Result<Prepared, LogError> {
    for position in &commit.positions {
        check(position.topic, position.partition, shared_partitions)?;
    }
    let mut by_partition: BTreeMap<(Topic, u32), Vec<&Output>> = BTreeMap::new();
    let mut bytes = 0;
    for output in &commit.outputs {
        let partition = place(output, shared_partitions)?;
        by_partition.entry((output.topic, partition)).or_default().push(output);
        bytes += stored_len(output);
    }
    let runs = by_partition
        .into_iter()
        .map(|((topic, partition), outputs)| Run {
            topic,
            partition,
            chunks: if topic.is_compacted() {
                one_by_one(&outputs, now_ms)
            } else {
                together(&outputs, now_ms)
            },
        })
        .collect();
    Ok(Prepared { runs, positions: commit.positions.clone(), bytes })
}

/// Fails where the topic has no such partition.
pub(super) fn check(topic: Topic, partition: u32, shared_partitions: u32) -> Result<(), LogError> {
    if partition < topic.partitions(shared_partitions) {
        return Ok(());
    }
    Err(LogError::Missing { topic: topic.name(), partition })
}

fn place(output: &Output, shared_partitions: u32) -> Result<u32, LogError> {
    let bytes = output.bytes_len();
    if bytes > RECORD_BYTES_MAX {
        return Err(LogError::TooLarge { topic: output.topic.name(), bytes, limit: RECORD_BYTES_MAX });
    }
    let count = output.topic.partitions(shared_partitions);
    let partition = output.partition.unwrap_or_else(|| partition_of(&output.key, count));
    check(output.topic, partition, shared_partitions)?;
    Ok(partition)
}

fn together(outputs: &[&Output], now_ms: i64) -> Vec<Prechunk> {
    let mut left: usize = outputs.iter().map(|output| stored_len(output)).sum();
    let mut chunks = Vec::with_capacity(left / CHUNK_BYTES_MAX + 1);
    let mut builder = ChunkBuilder::with_room(left.min(CHUNK_BYTES_MAX));
    for output in outputs {
        let length = stored_len(output);
        if builder.is_full_for(length, CHUNK_BYTES_MAX) {
            let next = ChunkBuilder::with_room(left.min(CHUNK_BYTES_MAX));
            chunks.push(finish(std::mem::replace(&mut builder, next), now_ms));
        }
        builder.push(output);
        left -= length;
    }
    chunks.push(finish(builder, now_ms));
    chunks
}

fn finish(builder: ChunkBuilder, now_ms: i64) -> Prechunk {
    let (bytes, count) = builder.finish(now_ms);
    Prechunk { bytes, count, keyed: None }
}

fn one_by_one(outputs: &[&Output], now_ms: i64) -> Vec<Prechunk> {
    outputs
        .iter()
        .map(|output| {
            let mut builder = ChunkBuilder::with_room(stored_len(output));
            builder.push(output);
            let keyed = Some((output.key.clone(), output.payload.is_none()));
            Prechunk { keyed, ..finish(builder, now_ms) }
        })
        .collect()
}
