//! Every hold, and every end of one, as a line of JSON: written before a hold takes effect, so that nobody is
//! held of whom nothing is written down.

use super::limits::JOURNAL_BYTES_MAX;
use serde_json::Value;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file that grows.
const NAME: &str = "holds.jsonl";

/// The file that was put aside last.
const ASIDE: &str = "holds.1.jsonl";

/// The file, and how far it is written.
pub struct Journal {
    directory: PathBuf,
    file: Mutex<(File, u64)>,
}

impl Journal {
    /// Goes on with the journal in this directory, which is made where there is none.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(directory: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let file = open(directory)?;
        Ok(Self { directory: directory.to_owned(), file: Mutex::new(file) })
    }

    /// Writes a line, whole or not at all as far as the system lets it: the kernel has it when this returns.
    ///
    /// # Errors
    /// When it is not written.
    pub fn write(&self, line: &Value) -> io::Result<()> {
        let mut text = line.to_string();
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.1 + text.len() as u64 > JOURNAL_BYTES_MAX {
            fs::rename(self.directory.join(NAME), self.directory.join(ASIDE))?;
            *file = open(&self.directory)?;
        }
        let (file, bytes) = &mut *file;
        if let Err(error) = file.write_all(text.as_bytes()) {
            // Half a line is no record.
            let _ = file.set_len(*bytes);
            return Err(error);
        }
        *bytes += text.len() as u64;
        Ok(())
    }
}

fn open(directory: &Path) -> io::Result<(File, u64)> {
    let path = directory.join(NAME);
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}
