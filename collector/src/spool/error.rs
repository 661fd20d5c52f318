//! Why a spool cannot be opened, and why it does not take a batch.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a spool cannot be opened.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// The directory or a file of it cannot be used.
    #[error("the spool cannot be used: {}: {source}", path.display())]
    Unusable {
        /// What cannot be used.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its directory is another user's.
    #[error(
        "the spool's directory {} belongs to user {theirs}, and this process is user {ours}: give it to user {ours} (chown), or give \
         spool.dir a directory that is not there yet",
        directory.display()
    )]
    Owner {
        /// The directory.
        directory: PathBuf,
        /// Whose it is.
        theirs: u32,
        /// Who opens it.
        ours: u32,
    },
    /// Others may enter its directory.
    #[error(
        "the spool's directory {} is of mode {mode:o}, so that others may enter it: take that from them (chmod 700), if nothing in it is \
         theirs, or give spool.dir a directory that is not there yet",
        directory.display()
    )]
    Shared {
        /// The directory.
        directory: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another process has it open.
    #[error("the spool {} is in use by {holder}: give each collector a spool.dir of its own", directory.display())]
    Held {
        /// The directory.
        directory: PathBuf,
        /// Who has it.
        holder: String,
    },
    /// Another build wrote it.
    #[error(
        "the spool's file {} has format {format}, and this build reads {readable}: run the build that wrote it until the spool is \
         empty, or move the file away, which costs the events in it",
        file.display()
    )]
    Format {
        /// The file.
        file: PathBuf,
        /// Its format.
        format: u32,
        /// The format that this build reads.
        readable: u32,
    },
    /// It holds batches of another source.
    #[error(
        "the spool's file {} holds what {theirs} heard, and this is {ours}: give each source a spool.dir of its own, or the node and \
         the source their names back",
        file.display()
    )]
    Source {
        /// The file.
        file: PathBuf,
        /// Whose batches they are.
        theirs: String,
        /// Who opens it.
        ours: String,
    },
    /// A batch is whole, and none that this build wrote.
    #[error(
        "the spool's batch {number} of session {session} cannot be read: {reason}; run the build that wrote it until the spool is empty, or \
         move the files away, which costs the events in them"
    )]
    Batch {
        /// Its session.
        session: u64,
        /// Its number.
        number: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// Files of two spools are in one directory.
    #[error("the file {} is of another spool than those before it: move it to a directory of its own", file.display())]
    Mixed {
        /// The first that is of another one.
        file: PathBuf,
    },
}

/// Why a batch was not appended.
#[derive(Debug)]
pub enum Refusal {
    /// The spool has as many bytes as it may.
    Full,
    /// The disk does not take it.
    Disk(io::Error),
}
