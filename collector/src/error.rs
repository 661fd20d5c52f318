//! What stops a collector. A line that cannot be used is a [`crate::refusal::Refusal`] instead, and
//! a source that cannot be read for now is told through telemetry: neither stops anything.

use crate::format::FormatError;
use crate::spool::SpoolError;
use std::path::PathBuf;
use thiserror::Error;
use weir_topology::log::LogError;

/// Why a collector cannot go on.
#[derive(Debug, Error)]
pub enum CollectorError {
    /// A setting is out of its range.
    #[error("{setting}: {reason}")]
    Config {
        /// Name of the setting.
        setting: &'static str,
        /// What it must be.
        reason: String,
    },
    /// The format of the source cannot be used.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A file that is imported cannot be read, or not to its end.
    #[error("{} cannot be read at byte {offset}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Offset up to which everything was read and committed.
        offset: u64,
        /// What the system said.
        reason: std::io::Error,
    },
    /// Another collector of the same node and source was started: this one must stop.
    #[error("another collector took over {writer}: give each node a name of its own, or stop one of them")]
    Fenced {
        /// Name of the writer.
        writer: String,
    },
    /// The log cannot be used at all.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The spool cannot be opened.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The position in the log is none that this build wrote.
    #[error(
        "the stored position of {source_key} cannot be read: {reason}; upgrade, or give the source a new name"
    )]
    Position {
        /// Key of the position's record.
        source_key: String,
        /// What does not fit.
        reason: String,
    },
}
