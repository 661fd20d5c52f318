//! Weir's topics, stages and epochs, the log trait and its two backends.
//!
//! Read in this order: [`topic`] (what lives where), [`stage`] (a stage is a pure fold), [`log`] (what a
//! backend must promise), [`task`] (the epoch runner: one stage on one partition), [`cursor`] (where it
//! stands), [`restore`] (how it comes back), [`adopt`] (from another judge), [`standby`] (how it comes back
//! fast), [`checkpoint`] (how its history can be folded when the beginning of it is gone). The backends are
//! behind features, so that crates that only judge do not link them: [`embedded`], [`kafka`]; [`memory`] is
//! the log that tests use, and [`shadow`] one beside another.

#[cfg(feature = "runner")]
pub mod adopt;
#[cfg(feature = "runner")]
pub mod checkpoint;
#[cfg(feature = "runner")]
pub mod clock;
#[cfg(feature = "runner")]
pub mod compare;
#[cfg(feature = "runner")]
pub mod cursor;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "runner")]
pub mod error;
pub mod feed;
#[cfg(feature = "runner")]
pub mod follow;
#[cfg(feature = "runner")]
pub mod history;
pub mod invariants;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod key;
pub mod letter;
pub mod limits;
#[cfg(any(feature = "embedded", feature = "runner"))]
pub mod lock_file;
pub mod log;
#[cfg(feature = "runner")]
pub mod memory;
pub mod outputs;
pub mod plan;
pub mod record;
#[cfg(feature = "runner")]
pub mod restore;
#[cfg(feature = "runner")]
pub mod shadow;
pub mod stage;
pub mod stall;
#[cfg(feature = "runner")]
pub mod standby;
#[cfg(feature = "runner")]
pub mod task;
pub mod telemetry;
pub mod topic;
#[cfg(feature = "runner")]
pub mod worker;
