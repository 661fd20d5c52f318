//! The open database, and how it comes back after an I/O error.
//!
//! After any failed read or write redb refuses further work until it is closed and opened again, and
//! a commit that failed may yet be there. So every write counts itself in the log's `commits`; after a
//! failure the database is opened again and the count tells which way it went. A commit that is there
//! although its sync failed is not called done: the disk may have only half of it.

use super::layout::{META, META_COMMITS};
use crate::log::LogError;
use redb::{
    Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction,
};
use std::sync::{PoisonError, RwLock};

/// Opens the database; tests put a faulty disk here.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// The database, open or to be opened again.
pub(super) struct Store {
    opener: Opener,
    open: RwLock<Open>,
}

struct Open {
    database: Option<Database>,
    /// How often it was opened, so that several who failed together open it again once.
    times: u64,
}

/// What a write did not do.
#[derive(Debug)]
pub(super) enum WriteError {
    /// It did not happen.
    Failed(LogError),
    /// It is not known whether it happened: the log must be looked at again.
    Unknown(LogError),
}

impl Store {
    /// Opens the database.
    pub(super) fn open(opener: Opener) -> Result<Self, DatabaseError> {
        let database = Some(opener()?);
        Ok(Self { opener, open: RwLock::new(Open { database, times: 1 }) })
    }

    /// Reads in one snapshot. `read` is called again after an I/O error, once.
    pub(super) fn read<T>(
        &self,
        mut read: impl FnMut(&ReadTransaction) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let mut once = || {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            let result = match &open.database {
                Some(database) => database.begin_read().map_err(fault).and_then(|snapshot| read(&snapshot)),
                None => Err(LogError::Storage { reason: "the database is closed after an I/O error".into() }),
            };
            (open.times, result)
        };
        match once() {
            (times, Err(LogError::Storage { .. })) => {
                self.open_again(times)?;
                once().1
            }
            (_, result) => result,
        }
    }

    /// Writes in one transaction that is on disk when this returns. One caller at a time.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<T, LogError>,
    ) -> Result<T, WriteError> {
        let (times, attempt) = {
            let mut open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            if open.database.is_none() {
                let times = open.times;
                drop(open);
                self.open_again(times).map_err(WriteError::Failed)?;
                open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            }
            let Some(database) = &open.database else {
                return Err(WriteError::Failed(LogError::Storage {
                    reason: "the database is closed".into(),
                }));
            };
            (open.times, attempt(database, write))
        };
        let (error, count) = match attempt {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        if !matches!(error, LogError::Storage { .. }) {
            return Err(WriteError::Failed(error));
        }
        let is_open = self.open_again(times);
        let Some(count) = count else {
            // Where it cannot be opened, the next call tries again; the error to tell is the first.
            return Err(WriteError::Failed(error));
        };
        match is_open.and_then(|()| self.read(commits)) {
            Ok(found) if found < count => Err(WriteError::Failed(error)),
            _ => Err(WriteError::Unknown(error)),
        }
    }

    fn open_again(&self, times: u64) -> Result<(), LogError> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.times != times {
            return Ok(());
        }
        // It must be closed before it can be opened: it holds the file's lock.
        drop(open.database.take());
        open.database = Some((self.opener)().map_err(fault)?);
        open.times += 1;
        Ok(())
    }
}

/// On failure gives the count that the log has if the commit happened all the same.
fn attempt<T>(
    database: &Database,
    write: impl FnOnce(&WriteTransaction) -> Result<T, LogError>,
) -> Result<T, (LogError, Option<u64>)> {
    let begin = || {
        let mut transaction = database.begin_write().map_err(fault)?;
        transaction.set_durability(Durability::Immediate).map_err(fault)?;
        let value = write(&transaction)?;
        let count = count_up(&transaction)?;
        Ok((transaction, value, count))
    };
    let (transaction, value, count) = begin().map_err(|error| (error, None))?;
    transaction.commit().map_err(|error| (fault(error), Some(count)))?;
    Ok(value)
}

fn count_up(transaction: &WriteTransaction) -> Result<u64, LogError> {
    let mut meta = transaction.open_table(META).map_err(fault)?;
    let count = meta.get(META_COMMITS).map_err(fault)?.map_or(0, |count| count.value()) + 1;
    meta.insert(META_COMMITS, count).map_err(fault)?;
    Ok(count)
}

/// Number of write transactions so far.
pub(super) fn commits(snapshot: &ReadTransaction) -> Result<u64, LogError> {
    let meta = snapshot.open_table(META).map_err(fault)?;
    Ok(meta.get(META_COMMITS).map_err(fault)?.map_or(0, |count| count.value()))
}

/// What an error of the database means to who uses the log.
pub(super) fn fault(error: impl Into<redb::Error>) -> LogError {
    let error = error.into();
    let reason = error.to_string();
    match error {
        redb::Error::Io(_)
        | redb::Error::PreviousIo
        | redb::Error::DatabaseClosed
        | redb::Error::LockPoisoned(_)
        | redb::Error::TransactionPoisoned => LogError::Storage { reason },
        redb::Error::DatabaseAlreadyOpen => LogError::Unavailable { reason },
        _ => LogError::Damaged { reason },
    }
}
