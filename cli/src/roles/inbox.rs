//! How operators speak to a process that has the embedded log open: by files in its data directory, which it
//! publishes.
//!
//! A file is there whole or not at all. Whoever may write in the data directory may write to the log too.

use anyhow::{Context as _, Result};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use weir_schemas::{Control, Record as _};

/// Most words that one look takes up.
const WORDS_MAX: usize = 1_000;

/// Largest file that is read, in bytes: what a record of the log may be.
const WORD_BYTES_MAX: u64 = weir_topology::limits::RECORD_BYTES_MAX as u64;

/// The inbox of a data directory.
pub struct Inbox(PathBuf);

impl Inbox {
    /// The inbox of this data directory.
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("inbox"))
    }

    /// Leaves these words, in their order.
    pub fn put(&self, controls: &[Control]) -> Result<()> {
        let cannot = || format!("cannot leave an operator's word in {}", self.0.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0).with_context(cannot)?;
        for (number, control) in controls.iter().enumerate() {
            // Names sort as the words were said.
            let name = format!("{:020}-{}-{number:06}", control.time_ms, std::process::id());
            let unfinished = self.0.join(format!(".{name}"));
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&unfinished)
                .with_context(cannot)?;
            file.write_all(&control.to_datum()).and_then(|()| file.sync_all()).with_context(cannot)?;
            fs::rename(&unfinished, self.0.join(name)).with_context(cannot)?;
        }
        Ok(())
    }

    /// Whether no word waits that was left.
    ///
    /// # Errors
    /// When that cannot be seen: words may wait.
    pub fn is_empty(&self) -> Result<bool> {
        let cannot = || format!("cannot see whether operators' words wait in {}", self.0.display());
        Ok(self.waiting().with_context(cannot)?.is_empty())
    }

    /// The words that wait, in their order, or why one cannot be read. Whoever has published one removes its
    /// file.
    pub fn take(&self) -> Vec<(PathBuf, Result<Control, String>)> {
        let mut paths = self.waiting().unwrap_or_else(|error| {
            tracing::error!(directory = %self.0.display(), %error, "operators' words cannot be read: it must belong to this user");
            Vec::new()
        });
        paths.sort();
        paths.truncate(WORDS_MAX);
        paths.into_iter().map(|path| (path.clone(), read(&path))).collect()
    }

    /// The files of the words that wait, in no order.
    fn waiting(&self) -> io::Result<Vec<PathBuf>> {
        let listing = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listing => listing?,
        };
        let mut paths = listing.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
        paths.retain(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")));
        Ok(paths)
    }
}

fn read(path: &Path) -> Result<Control, String> {
    let length = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if !length.is_file() || length.len() > WORD_BYTES_MAX {
        return Err("it is no file, or too large".to_owned());
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    Control::decode(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_out_whole_and_in_the_order_in_which_they_were_said() {
        let place = tempfile::tempdir().unwrap();
        let inbox = Inbox::of(place.path());
        assert!(inbox.take().is_empty());
        let word = |time_ms, body: &str| Control { time_ms, body: body.into(), ..Control::default() };
        inbox.put(&[word(20, "later"), word(20, "and then")]).unwrap();
        inbox.put(&[word(3, "first")]).unwrap();
        fs::write(place.path().join("inbox/.half"), b"").unwrap();
        fs::write(place.path().join("inbox/9-spoiled"), b"\xff").unwrap();
        let told: Vec<_> = inbox.take().into_iter().map(|(_, word)| word.map(|word| word.body)).collect();
        assert_eq!(told[..3], ["first", "later", "and then"].map(|body| Ok(body.to_owned())));
        assert!(told.len() == 4 && told[3].is_err(), "{told:?}");
        assert!(!inbox.is_empty().unwrap());
        inbox.take().iter().for_each(|(path, _)| fs::remove_file(path).unwrap());
        assert!(inbox.is_empty().unwrap());
    }

    #[test]
    fn an_inbox_that_cannot_be_read_is_not_empty() {
        let place = tempfile::tempdir().unwrap();
        let inbox = Inbox::of(place.path());
        assert!(inbox.is_empty().unwrap(), "nobody has left anything yet");
        fs::write(place.path().join("inbox"), b"no directory").unwrap();
        let error = inbox.is_empty().unwrap_err().to_string();
        assert!(error.starts_with("cannot see whether operators' words wait in "), "{error}");
        assert!(inbox.take().is_empty());
    }
}
