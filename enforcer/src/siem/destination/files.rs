//! Files of this machine, for an agent that follows them: one that grows, and the ones before, numbered from
//! the newest.
//!
//! A batch is whole lines, synced before it counts as taken. What a crash left half written is cut off at the
//! next start, and its notices are told again.

use super::{Delivery, Destination, DestinationKind, Failure, RetryCause};
use crate::export::files::{Disk, Files as _};
use crate::siem::format::Format;
use crate::siem::notice::Notice;
use std::io;
use std::path::Path;

/// How files are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// A file that has this many bytes is followed by a new one.
    pub bytes_max: u64,
    /// How many files are kept beside the one that grows.
    pub kept: u32,
}

/// The directory.
pub struct FilesDestination {
    disk: Disk,
    format: Format,
    keeping: Keeping,
    name: String,
    /// Bytes in the file that grows; none before it was looked at, and after something failed.
    length: Option<u64>,
}

impl FilesDestination {
    /// Takes the directory, which is made where it is missing; none where another process has it.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(directory: &Path, format: Format, keeping: Keeping) -> io::Result<Option<Self>> {
        let name = format!("weir-{}.{}", format.as_str(), format.extension());
        let Some(disk) = Disk::open(directory)? else { return Ok(None) };
        Ok(Some(Self { disk, format, keeping, name, length: None }))
    }

    fn write(&mut self, notices: &[Notice]) -> io::Result<()> {
        let mut length = match self.length.take() {
            Some(length) => length,
            None => self.recover()?,
        };
        let mut lines = Vec::new();
        for notice in notices {
            if length + lines.len() as u64 >= self.keeping.bytes_max {
                self.append(&lines)?;
                self.rotate()?;
                length = self.recover()?;
                lines.clear();
            }
            self.format.write(notice, &mut lines);
            lines.push(b'\n');
        }
        self.append(&lines)?;
        self.length = Some(length + lines.len() as u64);
        Ok(())
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.disk.append(&self.name, lines)?;
        self.disk.sync(&self.name)
    }

    /// Cuts half a line off, makes the file where it is missing, and says how long it is.
    fn recover(&mut self) -> io::Result<u64> {
        if self.disk.length(&self.name)?.is_none() {
            self.disk.create(&self.name)?;
            self.disk.sync_directory()?;
        }
        let whole = self.disk.whole_lines(&self.name)?;
        self.disk.truncate(&self.name, whole)?;
        if whole > 0 {
            return Ok(whole);
        }
        let header = self.format.header().map(|header| format!("{header}\n")).unwrap_or_default();
        self.disk.append(&self.name, header.as_bytes())?;
        Ok(header.len() as u64)
    }

    /// Every file becomes the one before; the oldest goes. A crash in between leaves a gap in the numbers,
    /// and no file twice.
    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.keeping.kept).rev() {
            let from = format!("{}.{number}", self.name);
            if self.disk.length(&from)?.is_some() {
                self.disk.rename(&from, &format!("{}.{}", self.name, number + 1))?;
            }
        }
        self.disk.rename(&self.name, &format!("{}.1", self.name))?;
        self.disk.sync_directory()
    }
}

impl Destination for FilesDestination {
    fn kind(&self) -> DestinationKind {
        DestinationKind::Files
    }

    fn deliver(&mut self, notices: &[Notice]) -> Delivery {
        match self.write(notices) {
            Ok(()) => Delivery::taken(notices.len()),
            Err(error) => {
                let reason = format!("{} cannot be written: {error}", self.name);
                Delivery::left(notices.len(), Failure::new(RetryCause::Storage, reason))
            }
        }
    }
}
