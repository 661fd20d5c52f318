//! Why a query cannot be answered, and what to do.

use crate::limits::{SQL_BYTES_MAX, SQL_TOKENS_MAX};
use std::path::PathBuf;
use thiserror::Error;
use weir_topology::log::LogError;

/// Why a query cannot be answered.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The text is too long.
    #[error("the query has {0} bytes, and at most {SQL_BYTES_MAX} are read")]
    TooLong(usize),
    /// It has too many parts.
    #[error("the query has {0} words and signs, and at most {SQL_TOKENS_MAX} are read")]
    TooManyTokens(usize),
    /// It is no SQL.
    #[error("this is no SQL that Weir understands: {0}")]
    Syntax(String),
    /// It would do something else than read.
    #[error(
        "{what} is refused: a query reads Weir's tables, one SELECT at a time, and writes nothing \
         (`--output FILE` keeps the answer)"
    )]
    Refused {
        /// What stands there.
        what: String,
    },
    /// There is no such table.
    #[error("there is no table {name}; there are {known}")]
    UnknownTable {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// There is no such column.
    #[error("there is no column {name}; there are {known}")]
    UnknownColumn {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The answer would have two columns of one name.
    #[error("two columns of the answer are called {0}: give them names with AS")]
    TwoOfOneName(String),
    /// The table is not kept where it is looked for.
    #[error("an archive keeps histories, and {0} is how things stand now: ask the log for it")]
    NotArchived(&'static str),
    /// It needs more memory than it may have.
    #[error(
        "the query needs more memory than it may have ({megabytes} MiB): ask for less, or of fewer rows ({reason})"
    )]
    Memory {
        /// What it may have.
        megabytes: usize,
        /// What asked for more.
        reason: String,
    },
    /// It cannot be planned or carried out.
    #[error("the query cannot be answered: {0}")]
    Engine(String),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The answer cannot be written.
    #[error("the answer cannot be written")]
    Write(#[from] std::io::Error),
    /// The answer cannot be put in the form that was asked for.
    #[error("the answer cannot be written in this form: {0}")]
    Encode(String),
    /// The answer cannot be put where it is to be.
    #[error("the answer cannot be put in {}", path.display())]
    Place {
        /// Where it is to be.
        path: PathBuf,
        /// Why it cannot.
        source: std::io::Error,
    },
    /// What an answer would replace is no file.
    #[error("{} is no plain file, which an answer could replace", .0.display())]
    NoFile(PathBuf),
    /// The process was told to stop.
    #[error("stopped before the answer was whole")]
    Stopped,
}
