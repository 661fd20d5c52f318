//! Why a registry cannot be used, told so that the operator can mend it.

use super::limits::{FILE_BYTES_MAX, ID_BYTES_MAX, TENANTS_MAX};
use std::fmt;
use std::path::PathBuf;
use thiserror::Error;

/// A place in a tenant's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1 on.
    pub line: usize,
    /// Column, in characters, from 1 on.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

/// Why a registry cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TenantsError {
    /// It is not there, or is no directory.
    #[error(
        "tenants.dir {} cannot be read: {reason}; give a directory with a file ID.toml for each tenant",
        directory.display()
    )]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        reason: String,
    },
    /// It has nobody in it any more.
    #[error(
        "tenants.dir {} is empty, and tenants of it are being served: those stay until it has a file ID.toml again; to \
         serve nobody, start anew",
        .0.display()
    )]
    Empty(PathBuf),
    /// It has more tenants than a process keeps.
    #[error("tenants.dir {} has over {TENANTS_MAX} tenants: spread them over several deployments", .0.display())]
    TooMany(PathBuf),
    /// Something else stands in it.
    #[error("{} is {what}: in tenants.dir only files ID.toml may stand; take it away", path.display())]
    Foreign {
        /// What stands there.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A file is named like no tenant.
    #[error(
        "{} is named like no tenant: an id has 1 to {ID_BYTES_MAX} of the characters a-z, 0-9 and `-`; rename the file",
        .0.display()
    )]
    Name(PathBuf),
    /// A file cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file is larger than any tenant's.
    #[error("{} is over {FILE_BYTES_MAX} bytes: a tenant's file says what it chose, and nothing else", .0.display())]
    TooLarge(PathBuf),
    /// A file says something that is not to be said.
    #[error("{place}: {reason}")]
    Text {
        /// Where.
        place: Place,
        /// What is wrong with it.
        reason: String,
    },
    /// Two files are of one tenant.
    #[error("{place}: {} is of tenant {id} too; keep one of them", other.display())]
    Twice {
        /// Where the one says so.
        place: Place,
        /// The other.
        other: PathBuf,
        /// The tenant.
        id: String,
    },
    /// The settings name a tenant that has no file.
    #[error(
        "{setting} lets what names no tenant be of tenant {id}, which {} does not have: write {id}.toml there (it may be empty)",
        directory.display()
    )]
    Unregistered {
        /// Which setting.
        setting: &'static str,
        /// The tenant.
        id: String,
        /// The registry.
        directory: PathBuf,
    },
    /// The settings say of a registry what is to be done, and there is none.
    #[error(
        "tenants.allow_anonymous is set, and says nothing without tenants.dir: give the directory, or leave it out"
    )]
    NoRegistry,
}
