//! Log files: lines with their offsets, and a position from which reading goes on exactly.
//!
//! [`lines`] splits bytes and condenses lines that are too long, [`prints`] tells files apart by them,
//! [`content`] opens files that may be compressed, [`position`] says which files there are and how far they
//! were read, `family` where a log's other files may be. [`follow`] keeps up with a log that grows and is
//! rotated, [`import`] reads a file that does not.

mod condense;
pub mod content;
mod family;
pub mod follow;
pub mod import;
pub mod lines;
pub mod position;
pub mod prints;

pub use condense::Cut;
pub use content::{Content, Packing};
pub use follow::{Follow, Tail};
pub use import::Import;
pub use lines::{Line, LineReader};
pub use position::{FileId, FilePosition, SourcePosition};
pub use prints::{Likeness, PrintKey, Prints};

use std::path::PathBuf;
use weir_topology::telemetry::{LossCause, SourceChange};

/// What a look at a source gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// There may be lines now.
    Read,
    /// Nothing new: everything that is there was read.
    End,
    /// Nothing new, and the file was rotated or is not to be found: it is left as soon as its writer has had
    /// time to let go.
    Leaving,
    /// The source cannot be read for now, for this reason.
    Unavailable(String),
}

/// What happened to a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceEvent {
    /// Its files changed.
    Changed {
        /// How.
        change: SourceChange,
        /// The file that it happened to.
        file: PathBuf,
    },
    /// The beginning of a file was read under another name, and is not read again.
    Known {
        /// The file.
        file: PathBuf,
        /// How many lines.
        lines: u64,
    },
    /// Bytes of a file may have been lost.
    Lost {
        /// Why.
        cause: LossCause,
        /// The file.
        file: PathBuf,
        /// The first of them.
        from: u64,
        /// The one after the last of them, where that is known.
        to: Option<u64>,
    },
}

impl SourceEvent {
    /// Whether something may have been lost.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }
}
