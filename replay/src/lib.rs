//! Weir's history: the same stages folded again.
//!
//! Two ways. [`recorded`] folds what the epoch records say, and must give the bytes that went live.
//! [`lockstep`] cuts epochs by event time over all partitions and lets feedback count from the next
//! epoch, so that the result is the same for any number of partitions or workers: this is how
//! policies are compared. [`digest`] says in one line whether two judgements are the same.
//!
//! Nothing here can act: a replay reads a log and gives a report.

pub mod digest;
pub mod limits;
pub mod lockstep;
pub mod recorded;
pub mod report;
pub mod sorter;

pub use report::{ReplayError, Report};
