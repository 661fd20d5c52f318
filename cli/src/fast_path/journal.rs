//! Every hold, and every end of one, as a line of JSON: written before a hold takes effect, so that nobody is
//! held of whom nothing is written down.

use super::limits::{JOURNAL_BYTES_MAX, JOURNAL_LINE_BYTES_MAX};
use serde_json::Value;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file that grows.
const NAME: &str = "holds.jsonl";

/// The file that was put aside last.
const ASIDE: &str = "holds.1.jsonl";

/// The file, and how far it is written.
pub struct Journal {
    directory: PathBuf,
    bytes_max: u64,
    tail: Mutex<Tail>,
}

struct Tail {
    file: File,
    bytes: u64,
}

impl Journal {
    /// Goes on with the journal in this directory, which is made where there is none. Half a line at its end,
    /// which a machine leaves there that loses its power, is cut off.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(directory: &Path) -> io::Result<Self> {
        Self::open_with(directory, JOURNAL_BYTES_MAX)
    }

    fn open_with(directory: &Path, bytes_max: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let tail = Mutex::new(open(directory)?);
        Ok(Self { directory: directory.to_owned(), bytes_max, tail })
    }

    /// Writes a line, whole or not at all as far as the system lets it: the kernel has it when this returns.
    ///
    /// # Errors
    /// When it is not written. The next line is tried anew, with the file opened anew where that failed.
    pub fn write(&self, line: &Value) -> io::Result<()> {
        let mut text = line.to_string();
        text.push('\n');
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.bytes + text.len() as u64 > self.bytes_max {
            match fs::rename(self.directory.join(NAME), self.directory.join(ASIDE)) {
                Ok(()) => {}
                // It was put aside, and no other one could be opened then.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            *tail = open(&self.directory)?;
        }
        let Tail { file, bytes } = &mut *tail;
        if let Err(error) = file.write_all(text.as_bytes()) {
            // Half a line is no record. Where it cannot be cut off, no other line is glued to it.
            if file.set_len(*bytes).is_err() {
                *bytes = self.bytes_max;
            }
            return Err(error);
        }
        *bytes += text.len() as u64;
        Ok(())
    }
}

fn open(directory: &Path) -> io::Result<Tail> {
    let path = directory.join(NAME);
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    let mut bytes = file.metadata()?.len();
    if bytes > 0 {
        let whole = whole_lines(&File::open(&path)?, bytes)?;
        if whole < bytes {
            file.set_len(whole)?;
            bytes = whole;
        }
    }
    Ok(Tail { file, bytes })
}

/// Bytes of the lines of a file that end. Of one that has no end of a line where the last must have one,
/// nothing is known, and all of it stands.
fn whole_lines(file: &File, bytes: u64) -> io::Result<u64> {
    let from = bytes.saturating_sub(JOURNAL_LINE_BYTES_MAX);
    let mut end = vec![0; usize::try_from(bytes - from).unwrap_or(0)];
    file.read_exact_at(&mut end, from)?;
    Ok(match end.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => from + at as u64 + 1,
        None if from == 0 => 0,
        None => bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lines(directory: &Path, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(directory.join(name)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_journal_that_could_not_be_opened_anew_is_when_it_can() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("fastpath");
        let journal = Journal::open_with(&place, 30).unwrap();
        journal.write(&json!({"number": 1})).unwrap();
        journal.write(&json!({"number": 2})).unwrap();
        // Its disk goes away with what is there, and comes back without.
        fs::rename(&place, directory.path().join("away")).unwrap();
        for _ in 0..2 {
            assert!(journal.write(&json!({"number": 3})).is_err());
        }
        fs::create_dir(&place).unwrap();
        journal.write(&json!({"number": 4})).unwrap();
        assert_eq!(lines(&place, NAME), [json!({"number": 4})]);
        journal.write(&json!({"number": 5})).unwrap();
        journal.write(&json!({"number": 6})).unwrap();
        assert_eq!(lines(&place, ASIDE), [json!({"number": 4}), json!({"number": 5})]);
        assert_eq!(lines(&place, NAME), [json!({"number": 6})]);
    }

    #[test]
    fn a_line_that_is_not_written_is_an_error_and_the_next_one_begins_a_line() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", directory.path().join(NAME)).unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        let error = journal.write(&json!({"number": 1})).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        // What is there can neither be written nor cut off: it is put aside.
        journal.write(&json!({"number": 2})).unwrap();
        assert_eq!(lines(directory.path(), NAME), [json!({"number": 2})]);
    }

    #[test]
    fn half_a_line_at_its_end_is_cut_off_and_whole_ones_stand() {
        let whole = "{\"number\":1}\n{\"number\":2}\n";
        let half = "{\"number\":3}";
        for bytes in 0..=half.len() {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(NAME);
            fs::write(&path, format!("{whole}{}", &half[..bytes])).unwrap();
            let journal = Journal::open(directory.path()).unwrap();
            journal.write(&json!({"number": 4})).unwrap();
            let numbers = lines(directory.path(), NAME).into_iter().map(|line| line["number"].clone());
            assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 4], "{bytes}");
        }
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(NAME), half).unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        journal.write(&json!({"number": 4})).unwrap();
        assert_eq!(lines(directory.path(), NAME), [json!({"number": 4})], "the first of all");
    }
}
