//! The output directory as steps that can each fail, so that tests can fail every one of them.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Name of the lock file: one export writes a directory.
pub(crate) const LOCK_NAME: &str = ".lock";

/// Files may hold raw account ids, so that others may not read them.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

/// A directory of files that are written by appending.
pub trait Files: Send {
    /// Length of a file in bytes; none where it does not exist.
    fn length(&mut self, name: &str) -> io::Result<Option<u64>>;
    /// Content of a file; none where it does not exist.
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Length of the file's whole lines: all but what follows its last line feed.
    fn whole_lines(&mut self, name: &str) -> io::Result<u64>;
    /// Creates a file unless it exists.
    fn create(&mut self, name: &str) -> io::Result<()>;
    /// Cuts a file to `length` bytes.
    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()>;
    /// Writes at the end of a file.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was appended last durable.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Writes a file anew.
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Puts a file in the place of another.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Makes creations and renames durable.
    fn sync_directory(&mut self) -> io::Result<()>;
}

/// The directory on disk, locked against other exports for as long as this lives.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    /// Files that were written and not yet synced: the sync must reach the same handle, which is the
    /// one that is told of failed writes.
    written: BTreeMap<String, File>,
    _lock: File,
}

impl Disk {
    /// Creates the directory where it is missing, and locks it. None where another export has it.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)?;
        let lock = options().create(true).truncate(false).open(path.join(LOCK_NAME))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.into(), written: BTreeMap::new(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn file(&self, name: &str) -> io::Result<File> {
        options().open(self.path.join(name))
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(FILE_MODE);
    options
}

/// None where the file does not exist.
fn if_there<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Files for Disk {
    fn length(&mut self, name: &str) -> io::Result<Option<u64>> {
        let metadata = if_there(std::fs::metadata(self.path.join(name)))?;
        Ok(metadata.map(|metadata| metadata.len()))
    }

    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        if_there(std::fs::read(self.path.join(name)))
    }

    fn whole_lines(&mut self, name: &str) -> io::Result<u64> {
        let mut file = self.file(name)?;
        let mut end = file.seek(SeekFrom::End(0))?;
        let mut chunk = [0; 8192];
        while end > 0 {
            let start = end.saturating_sub(chunk.len() as u64);
            let part = &mut chunk[..(end - start) as usize];
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(part)?;
            if let Some(index) = part.iter().rposition(|byte| *byte == b'\n') {
                return Ok(start + index as u64 + 1);
            }
            end = start;
        }
        Ok(0)
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        options().create(true).truncate(false).open(self.path.join(name)).map(drop)
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.written.remove(name);
        let file = self.file(name)?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.file(name)?;
        file.seek(SeekFrom::End(0))?;
        let outcome = file.write_all(bytes);
        self.written.insert(name.to_owned(), file);
        outcome
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        match self.written.remove(name) {
            Some(file) => file.sync_all(),
            None => self.file(name)?.sync_all(),
        }
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = options().create(true).truncate(true).open(self.path.join(name))?;
        let outcome = file.write_all(bytes);
        self.written.insert(name.to_owned(), file);
        outcome
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_export_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = Disk::open(directory.path()).unwrap();
        assert!(first.is_some());
        assert!(Disk::open(directory.path()).unwrap().is_none());
        drop(first);
        assert!(Disk::open(directory.path()).unwrap().is_some());
    }

    #[test]
    fn whole_lines_end_at_the_last_line_feed_however_far_back_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let mut disk = Disk::open(directory.path()).unwrap().unwrap();
        let long = [vec![b'a'; 10_000], vec![b'\n'], vec![b'b'; 20_000]].concat();
        for (content, expected) in [(&b""[..], 0), (b"x", 0), (b"a\nb", 2), (b"a\nb\n", 4), (&long, 10_001)] {
            disk.write("file", content).unwrap();
            assert_eq!(disk.whole_lines("file").unwrap(), expected);
        }
    }
}
