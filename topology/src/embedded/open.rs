//! Makes and opens the directory of a log.

use super::group::Group;
use super::layout::{
    BOUNDS, CHUNKS, FORMAT, LATEST, META, META_FORMAT, META_PARTITIONS, POSITIONS, TOMBSTONES, topic_of,
};
use super::store::{Opener, Store, fault};
use super::write::Bounds;
use super::{Clock, Shared};
use crate::limits::PARTITIONS_MAX;
use crate::lock_file::{self, HoldError};
use crate::log::LogError;
use redb::{Builder, Database, ReadTransaction, ReadableTable};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use thiserror::Error;

const DATABASE: &str = "log.redb";
/// The database while it is being made; it gets its name when it is whole.
const UNFINISHED: &str = "log.redb.new";
const LOCK: &str = "lock";

/// Memory for the store's pages, in bytes. Reading and writing at the end needs little of it.
const CACHE_BYTES: usize = 32 << 20;

/// Why a directory cannot be opened as a log.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Somebody has it open.
    #[error("{} is in use by {holder}: stop that first, or use another directory", dir.display())]
    Held {
        /// The directory.
        dir: PathBuf,
        /// `process 1234`, as far as it is known.
        holder: String,
    },
    /// It was made with another partition count, which cannot be changed: keys would move.
    #[error(
        "{} has {stored} partitions, not {wanted}: use {stored}, or another directory", dir.display()
    )]
    Partitions {
        /// The directory.
        dir: PathBuf,
        /// Its partition count.
        stored: u64,
        /// The count that was asked for.
        wanted: u32,
    },
    /// A partition count that no log can have.
    #[error("a log has 1 to {PARTITIONS_MAX} partitions, not {wanted}")]
    Count {
        /// The count that was asked for.
        wanted: u32,
    },
    /// A newer Weir wrote it.
    #[error("{} has format {stored}; this Weir knows up to {FORMAT}: use a newer one", dir.display())]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// Its format version.
        stored: u64,
    },
    /// There is no log there.
    #[error("{} holds no log: is it the data directory of a run or an import?", dir.display())]
    Absent {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory cannot be made, read or written.
    #[error("{} cannot be used: {source}", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database in it cannot be read.
    #[error("the log in {} cannot be opened: {source}", dir.display())]
    Database {
        /// The directory.
        dir: PathBuf,
        /// What the store said.
        source: LogError,
    },
}

/// Opens the log in `dir`. Without `wanted` it must exist.
pub(super) fn open(dir: &Path, wanted: Option<u32>) -> Result<Shared, OpenError> {
    let path = dir.join(DATABASE);
    open_with(dir, wanted, Box::new(move || builder().open(&path)), Box::new(wall_clock_ms))
}

/// Milliseconds since the Unix epoch. Only retention looks at it.
fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

/// The same, through a given opener of the database and by a given clock.
pub(super) fn open_with(
    dir: &Path,
    wanted: Option<u32>,
    opener: Opener,
    clock: Clock,
) -> Result<Shared, OpenError> {
    if let Some(wanted) = wanted
        && !(1..=PARTITIONS_MAX).contains(&wanted)
    {
        return Err(OpenError::Count { wanted });
    }
    let unusable = |source| OpenError::Directory { dir: dir.to_owned(), source };
    let unreadable = |source| OpenError::Database { dir: dir.to_owned(), source };
    let exists = dir.join(DATABASE).try_exists().map_err(unusable)?;
    if !exists && wanted.is_none() {
        return Err(OpenError::Absent { dir: dir.to_owned() });
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable)?;
    let lock = lock(dir)?;
    // Looked at again under the lock: another process may have made it just now.
    if let (false, Some(wanted)) = (dir.join(DATABASE).try_exists().map_err(unusable)?, wanted) {
        make(dir, wanted).map_err(unreadable)?;
    }
    let store = Store::open(opener).map_err(|error| unreadable(fault(error)))?;
    let partitions = store.read(facts).map_err(unreadable).and_then(|facts| check(dir, facts, wanted))?;
    let bounds = store.read(bounds).map_err(unreadable)?;
    Ok(Shared { partitions, group: Group::new(bounds), store, clock, _lock: lock })
}

pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Format and partition count; 0 where there is none.
fn facts(snapshot: &ReadTransaction) -> Result<(u64, u64), LogError> {
    let meta = snapshot.open_table(META).map_err(fault)?;
    let number = |name| Ok(meta.get(name).map_err(fault)?.map_or(0, |number| number.value()));
    Ok((number(META_FORMAT)?, number(META_PARTITIONS)?))
}

fn check(dir: &Path, facts: (u64, u64), wanted: Option<u32>) -> Result<u32, OpenError> {
    let (format, stored) = facts;
    if format > FORMAT {
        return Err(OpenError::Newer { dir: dir.to_owned(), stored: format });
    }
    match u32::try_from(stored) {
        Ok(partitions) if (1..=PARTITIONS_MAX).contains(&partitions) && format == FORMAT => match wanted {
            Some(wanted) if wanted != partitions => {
                Err(OpenError::Partitions { dir: dir.to_owned(), stored, wanted })
            }
            _ => Ok(partitions),
        },
        _ => Err(OpenError::Database {
            dir: dir.to_owned(),
            source: LogError::Damaged { reason: format!("format {format} with {stored} partitions") },
        }),
    }
}

/// The bounds of every partition that was ever written.
pub(super) fn bounds(snapshot: &ReadTransaction) -> Result<Bounds, LogError> {
    let table = snapshot.open_table(BOUNDS).map_err(fault)?;
    let mut bounds = Bounds::new();
    for entry in table.iter().map_err(fault)? {
        let (at, value) = entry.map_err(fault)?;
        let (number, partition) = at.value();
        let topic = topic_of(number)
            .ok_or_else(|| LogError::Damaged { reason: format!("there is no topic {number}") })?;
        bounds.insert((topic, partition), value.value());
    }
    Ok(bounds)
}

/// The store locks its file too, but lets go of it when it is opened again after an I/O error.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let unusable = |source| OpenError::Directory { dir: dir.to_owned(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(dir.join(LOCK)).map_err(unusable)?;
    lock_file::hold(file).map_err(|error| match error {
        HoldError::Held(holder) => OpenError::Held { dir: dir.to_owned(), holder },
        HoldError::File(source) => unusable(source),
    })
}

/// Makes the database under another name and gives it its own when it is whole, so that a crash
/// leaves no half of one.
fn make(dir: &Path, partitions: u32) -> Result<(), LogError> {
    let unfinished = dir.join(UNFINISHED);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&unfinished).map_err(redb::Error::Io).map_err(fault)?;
    let database = builder().create_file(file).map_err(fault)?;
    fill(&database, partitions)?;
    drop(database);
    fs::rename(&unfinished, dir.join(DATABASE)).map_err(redb::Error::Io).map_err(fault)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(redb::Error::Io).map_err(fault)
}

fn fill(database: &Database, partitions: u32) -> Result<(), LogError> {
    let transaction = database.begin_write().map_err(fault)?;
    {
        let mut meta = transaction.open_table(META).map_err(fault)?;
        meta.insert(META_FORMAT, FORMAT).map_err(fault)?;
        meta.insert(META_PARTITIONS, u64::from(partitions)).map_err(fault)?;
        transaction.open_table(CHUNKS).map_err(fault)?;
        transaction.open_table(BOUNDS).map_err(fault)?;
        transaction.open_table(LATEST).map_err(fault)?;
        transaction.open_table(TOMBSTONES).map_err(fault)?;
        transaction.open_table(POSITIONS).map_err(fault)?;
    }
    transaction.commit().map_err(fault)
}
