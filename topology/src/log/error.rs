//! What can go wrong with a log.

use thiserror::Error;

/// Why a log could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LogError {
    /// Another writer of the same name was opened: this one must stop without a word.
    #[error("another process took over {writer}")]
    Fenced {
        /// Name of the writer.
        writer: String,
    },
    /// The commit did not happen: nothing is visible, the same commit may be tried again.
    #[error("the commit was aborted: {reason}")]
    Aborted {
        /// What the backend said.
        reason: String,
    },
    /// It is unknown whether the commit happened. The writer is gone; a new one must look at the log.
    #[error("the outcome of the commit is unknown: {reason}")]
    Indefinite {
        /// What the backend said.
        reason: String,
    },
    /// Records before `first` are gone.
    #[error("{topic}/{partition} starts at offset {first}; offset {wanted} has passed its retention")]
    Gone {
        /// Topic.
        topic: &'static str,
        /// Partition.
        partition: u32,
        /// The offset that was wanted.
        wanted: i64,
        /// The first offset there is.
        first: i64,
    },
    /// There is no such topic or partition.
    #[error("{topic}/{partition} does not exist: run `weir topology apply`")]
    Missing {
        /// Topic.
        topic: &'static str,
        /// Partition.
        partition: u32,
    },
    /// A record is larger than [`crate::limits::RECORD_BYTES_MAX`].
    #[error("a record of {bytes} bytes for {topic} is over the limit of {limit} bytes")]
    TooLarge {
        /// Topic.
        topic: &'static str,
        /// Size of the record.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The storage has no room or fails. Nothing was lost; free space, then start again.
    #[error("the log cannot be written: {reason}")]
    Storage {
        /// What the storage said.
        reason: String,
    },
    /// The backend cannot be reached or used.
    #[error("the log cannot be used: {reason}")]
    Unavailable {
        /// What the backend said, and what to do.
        reason: String,
    },
    /// The log holds what no Weir writes.
    #[error("the log is damaged: {reason}")]
    Damaged {
        /// What does not fit.
        reason: String,
    },
}
