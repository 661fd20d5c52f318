//! How far a query has read, and whether it is to go on.

use crate::error::QueryError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// What was read of what there is.
#[derive(Debug, Default)]
pub struct Progress {
    stop: Arc<AtomicBool>,
    read: AtomicI64,
    of: AtomicI64,
    unreadable: AtomicU64,
}

impl Progress {
    /// Nothing yet; the query ends where `stop` is set.
    pub fn new(stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..Self::default() }
    }

    /// Offsets that were read, and those that all tables of the query have.
    pub fn so_far(&self) -> (u64, u64) {
        let of = |count: &AtomicI64| u64::try_from(count.load(Ordering::Relaxed)).unwrap_or(0);
        (of(&self.read), of(&self.of))
    }

    /// Records that no row was made of, because they could not be decoded.
    pub fn unreadable_records(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    pub(crate) fn expect(&self, offsets: i64) {
        self.of.fetch_add(offsets, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, offsets: i64) -> Result<(), QueryError> {
        self.read.fetch_add(offsets, Ordering::Relaxed);
        if self.stop.load(Ordering::Relaxed) { Err(QueryError::Stopped) } else { Ok(()) }
    }

    pub(crate) fn unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }
}
