//! An archive: what the log's histories hold, in Parquet files, for longer than the log keeps it.
//!
//! A directory with a file for every run of offsets of a partition ([`mod@file`]) and a [`manifest`] that
//! names each with its SHA-256. [`keep()`] copies what is new since the last time, and [`read::ArchiveLog`]
//! gives it back as a log, so that what reads a log reads an archive: a verdict is proved from one after its
//! events have passed their retention.
//!
//! Kept is every topic that is a history: events, links, clusters, verdicts, members, campaigns, actions,
//! outcomes, audit, control, epochs, checkpoints and dead letters. Tables are not: identities, which alone
//! lead back to persons, stay where their own retention ends them, and states are folded again.

pub mod file;
pub mod keep;
pub mod manifest;
pub mod read;

pub use keep::{Kept, keep};
pub use read::ArchiveLog;

use std::path::PathBuf;
use thiserror::Error;
use weir_topology::log::LogError;
use weir_topology::topic::Topic;

/// Every topic that is archived, in the order in which their ends are looked up: epochs first, so that of
/// none that is archived something is missing that was written with it or before it. They are copied in the
/// other order, for the same reason.
pub fn topics() -> impl Iterator<Item = Topic> {
    let rest = Topic::ALL.iter().copied().filter(|topic| *topic != Topic::Epochs && !topic.is_compacted());
    std::iter::once(Topic::Epochs).chain(rest)
}

/// Why an archive cannot be written or read.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file or directory cannot be read or written.
    #[error("{path} cannot be read or written: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// Another run writes it.
    #[error("{0} is being written by another `weir archive`: wait until that has ended")]
    Busy(PathBuf),
    /// The archive is of another deployment.
    #[error(
        "the archive is of a log with {archived} partitions, and this one has {found}: give another directory"
    )]
    OtherLog {
        /// Partitions of the archive.
        archived: u32,
        /// Partitions of the log.
        found: u32,
    },
    /// The log ends before the archive does.
    #[error(
        "{topic}/{partition} ends at offset {end}, and the archive has it up to {archived}: this is another log, or it was \
         put back; give another directory"
    )]
    Behind {
        /// Topic.
        topic: &'static str,
        /// Partition.
        partition: u32,
        /// Where the log ends.
        end: i64,
        /// Where the archive ends.
        archived: i64,
    },
}

impl ArchiveError {
    /// With the path that an error of the file system is about.
    pub(crate) fn at(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
