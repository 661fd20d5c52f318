//! Log files: lines with their offsets, and a position from which reading goes on exactly.
//!
//! [`lines`] splits bytes, [`position`] says which file and how far, [`follow`] keeps up with a file
//! that grows and is rotated, [`import`] reads one that does not.

pub mod follow;
pub mod import;
pub mod lines;
pub mod position;
mod rotated;

pub use follow::Tail;
pub use import::Import;
pub use lines::{Line, LineReader};
pub use position::{FilePosition, Head};

/// What a look at a source gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// There may be lines now.
    Read,
    /// Nothing new: everything that is there was read.
    End,
    /// Nothing new, and the file was rotated: it is left as soon as its writer has had time to let go.
    Leaving,
    /// The source cannot be read for now, for this reason.
    Unavailable(String),
}
