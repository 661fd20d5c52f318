//! A file that is there whole or not at all.

use crate::error::QueryError;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The file of an answer while it is written: beside its place, under a name of its own.
pub struct AnswerFile {
    aside: NamedTempFile,
    path: PathBuf,
}

impl AnswerFile {
    /// A file that is to be at `path`, where anything else is until it is put there.
    ///
    /// # Errors
    /// When there is no place for it, or a device, a pipe or a link stands there, which an answer would
    /// replace.
    pub fn new(path: &Path) -> Result<Self, QueryError> {
        if path.symlink_metadata().is_ok_and(|there| !there.is_file()) {
            return Err(QueryError::NoFile(path.to_owned()));
        }
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let aside = NamedTempFile::new_in(directory)
            .map_err(|source| QueryError::Place { path: path.to_owned(), source })?;
        Ok(Self { aside, path: path.to_owned() })
    }

    /// Where it is until then.
    pub fn aside(&self) -> &Path {
        self.aside.path()
    }

    /// What is written to, and to be flushed before it is put in its place.
    pub fn writer(&mut self) -> impl Write + Send + '_ {
        BufWriter::with_capacity(1 << 20, self.aside.as_file_mut())
    }

    /// Puts it in its place.
    pub fn put(self) -> Result<(), QueryError> {
        self.aside.as_file().sync_all()?;
        let Self { aside, path } = self;
        match aside.persist(&path) {
            Ok(_) => Ok(()),
            Err(error) => Err(QueryError::Place { path, source: error.error }),
        }
    }
}
