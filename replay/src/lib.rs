//! Weir's history: the same stages folded again.
//!
//! Two ways. [`recorded`] folds what the epoch records say, and must give the bytes that went live.
//! [`lockstep`] cuts epochs by event time over all partitions and lets feedback count from the next
//! epoch, so that the result is the same for any number of partitions or workers: this is how
//! policies are compared. [`digest`] says in one line whether two judgements are the same.
//!
//! And what can be proved of it: [`verify`] shows that a verdict is the one that was made, [`coverage`]
//! that every event was judged once. [`letters`] finds what could not be judged, and sends it back.
//!
//! [`campaigns`] reads what was said of campaigns, and [`explain`] says why a verdict or a campaign is what
//! it is.
//!
//! And how good a policy is: [`evaluate`] folds labelled events and counts who was flagged; [`tune`] looks
//! for a better one. [`document`] makes other policies of one.
//!
//! [`shadow`] says whom a policy that judges beside the one in force gains and loses.
//!
//! [`drill`] says whether a live system found the campaign that was sent to try it.
//!
//! [`archive`] keeps what the log holds for longer than the log does.
//!
//! Nothing here judges anew: all but [`letters`] only read a log and give a report.

pub mod archive;
pub mod campaigns;
pub mod coverage;
pub mod digest;
pub mod document;
pub mod drill;
pub mod evaluate;
pub mod explain;
pub mod letters;
pub mod limits;
pub mod lockstep;
pub mod recorded;
pub mod report;
pub mod shadow;
pub mod sorter;
mod start;
pub mod tune;
pub mod verify;

pub use report::{ReplayError, Report};
