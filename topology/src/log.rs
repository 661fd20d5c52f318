//! What a log backend promises.
//!
//! * A reader sees committed records only, in offset order, each once; offsets may have gaps.
//! * A writer's commit is atomic: all of its records and positions become visible, or none.
//! * Opening a writer fences every earlier writer of the same name: what those had not committed
//!   never becomes visible, and their later commits fail with [`LogError::Fenced`].
//!
//! One conformance suite runs over every backend (`tests/conformance.rs`).

mod error;

use crate::record::{Output, Records};
use crate::topic::Topic;
use std::time::Duration;

pub use error::LogError;

/// Where an input is to be read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Topic.
    pub topic: Topic,
    /// Partition of it.
    pub partition: u32,
    /// Next offset; an offset before the first that is kept means [`LogError::Gone`], unless it
    /// is 0, which means the beginning.
    pub next: i64,
}

/// What becomes visible in one step.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Records, in order.
    pub outputs: Vec<Output>,
    /// Positions after the inputs that were folded: how far the stage has come, for tools that
    /// show lag and, on Kafka, for fencing by group generation.
    pub positions: Vec<Position>,
}

/// A log: topics of partitions of records.
pub trait Log: Send + Sync {
    /// Number of partitions of a topic.
    fn partitions(&self, topic: Topic) -> Result<u32, LogError>;

    /// First offset that is kept, and the offset after the last committed record. On Kafka the end
    /// waits for transactions that were open when it was asked.
    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError>;

    /// A reader of several inputs from the given positions.
    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError>;

    /// The only writer of this name from now on.
    fn writer(&self, name: &str) -> Result<Box<dyn Writer>, LogError>;
}

/// Reads inputs side by side.
pub trait Reader: Send {
    /// Waits until a record of any input is there, at most `wait`; true if one is. It returns sooner
    /// without one when it learns of a gap: then [`Self::next`] of an input has moved.
    fn wait(&mut self, wait: Duration) -> Result<bool, LogError>;

    /// Moves records of the input with this index (in the order they were opened with) to the end
    /// of `into`, until it holds `records_max` records or `bytes_max` bytes more, or none is ready.
    /// Does not wait.
    fn take(
        &mut self,
        input: usize,
        records_max: usize,
        bytes_max: usize,
        into: &mut Records,
    ) -> Result<(), LogError>;

    /// The offset at which the input is read next: after the last record taken, or after a gap that
    /// the log is known to have there.
    fn next(&self, input: usize) -> i64;
}

/// Writes atomically under a name.
pub trait Writer: Send {
    /// Makes all of `commit` visible, or nothing. After [`LogError::Aborted`] the same commit may be
    /// tried again; after any other error the writer is of no more use.
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError>;
}

/// The partition of a record to be written, if the record may be written at all.
#[cfg(any(feature = "runner", feature = "embedded", feature = "kafka"))]
pub(crate) fn place(output: &Output, partitions: u32) -> Result<u32, LogError> {
    let topic = output.topic.name();
    if output.bytes_len() > crate::limits::RECORD_BYTES_MAX {
        return Err(LogError::TooLarge {
            topic,
            bytes: output.bytes_len(),
            limit: crate::limits::RECORD_BYTES_MAX,
        });
    }
    let partition = output.partition.unwrap_or_else(|| crate::key::partition_of(&output.key, partitions));
    if partition >= partitions {
        return Err(LogError::Missing { topic, partition });
    }
    Ok(partition)
}
