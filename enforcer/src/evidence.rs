//! Evidence: a signed certificate for every effect, and the pack of all of a time, from real records only.
//!
//! Pure: the same records give the same bytes. What was not recorded is null and never made up. In this
//! order: [`course`] (an effect's records, put together), [`certificate`] (what is certified of it), [`pack`]
//! (the files of a pack), [`report`] (the page for people), [`zip`] (the archive).

pub mod certificate;
pub mod course;
pub mod pack;
pub mod report;
pub mod zip;

pub use certificate::{Certificate, envelope};
pub use course::{Course, Courses, certifies};
pub use pack::{Pack, PackError};
pub use report::Source;
