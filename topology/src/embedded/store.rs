//! The open database, and how it comes back after an I/O error.
//!
//! After any failed read or write redb refuses further work until it is closed and opened again, and
//! a commit that failed may yet have happened. So every write counts itself in the log's `commits`;
//! after a failure the database is opened again and the count tells which way it went.

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
        match attempt {
            Attempt::Done(value) => Ok(value),
            Attempt::NotBegun(error) => {
                if matches!(error, LogError::Storage { .. }) {
                    // Should this fail too, the next call tries again; the error to tell is the first.
                    let _ = self.open_again(times);
                }
                Err(WriteError::Failed(error))
            }
            Attempt::Uncertain { value, error, count } => {
                let unknown = |_| WriteError::Unknown(error.clone());
                self.open_again(times).map_err(unknown)?;
                if self.read(commits).map_err(unknown)? == count {
                    return Ok(value);
                }
                Err(WriteError::Failed(error))
            }
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

enum Attempt<T> {
    Done(T),
    NotBegun(LogError),
    Uncertain { value: T, error: LogError, count: u64 },
}

fn attempt<T>(
    database: &Database,
    write: impl FnOnce(&WriteTransaction) -> Result<T, LogError>,
) -> Attempt<T> {
    let inner = || {
        let mut transaction = database.begin_write().map_err(fault)?;
        transaction.set_durability(Durability::Immediate).map_err(fault)?;
        let value = write(&transaction)?;
        let count = count_up(&transaction)?;
        Ok((transaction, value, count))
    };
    match inner() {
        Err(error) => Attempt::NotBegun(error),
        Ok((transaction, value, count)) => match transaction.commit() {
            Ok(()) => Attempt::Done(value),
            Err(error) => Attempt::Uncertain { value, error: fault(error), count },
        },
    }
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
