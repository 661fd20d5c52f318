//! What leaves Weir for a SIEM: verdicts, campaigns and actions, in the words of others.
//!
//! Read in this order: [`notice`] (what an outsider is told of a record, in one place), [`severity`] (one
//! scale for all formats), [`text`] (what text may not hold), [`mod@format`] (a notice as bytes, one file a
//! format), [`destination`] (who takes them, one file each), [`exporter`] (from the log to one destination),
//! `positions` (how far that one has come).
//!
//! A destination is told everything at least once: how far it has come is committed when it has taken what
//! was read, and not before. Each notice has an id that comes from its record, so that a receiver can drop
//! what it has already.

pub mod destination;
pub mod exporter;
pub mod format;
pub mod notice;
mod positions;
pub mod severity;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod text;
