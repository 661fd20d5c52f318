//! Follows a file as it grows, is renamed away, is truncated, or is not there yet.
//!
//! A file that was rotated away is finished through its open handle, or found again under its new name
//! after a restart; then those that were rotated away meanwhile, oldest first; then the path's own
//! file from its beginning.

use super::position::{FileId, FilePosition, Head, beginning};
use super::rotated::{self, Candidate};
use super::{Line, LineReader, Look};
use crate::limits::HEAD_BYTES_MAX;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use weir_topology::telemetry::SourceChange;

/// Follows one path.
pub struct Tail {
    path: PathBuf,
    grace: Duration,
    lines: LineReader,
    open: Option<Open>,
    /// Where to go on, until its file is found.
    saved: Option<FilePosition>,
    changes: Vec<SourceChange>,
}

struct Open {
    file: File,
    id: FileId,
    head: Head,
    /// The first line is finished, or longer than a head: the head stays as it is.
    is_head_final: bool,
    /// Since when it is known to be rotated away and to give nothing.
    quiet_since: Option<Instant>,
}

impl Tail {
    /// Follows `path` from `saved`; without it from its beginning, or from the end of what is there
    /// now, whichever `from_start` says.
    pub fn new(
        path: PathBuf,
        saved: Option<FilePosition>,
        from_start: bool,
        line_bytes_max: usize,
        grace: Duration,
    ) -> Self {
        // A file that cannot be opened now counts as new when it can: all of it is wanted.
        let at_end = || position_at_end(&path, line_bytes_max).ok();
        let saved = if from_start { saved } else { saved.or_else(at_end) };
        Self {
            path,
            grace,
            lines: LineReader::new(line_bytes_max, 0),
            open: None,
            saved,
            changes: Vec::new(),
        }
    }

    /// The next line that was read; none when a [`Self::look`] is needed.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        self.lines.next_line()
    }

    /// Where to go on after a crash, if anything is known yet.
    pub fn position(&self) -> Option<FilePosition> {
        let now = |open: &Open| FilePosition { id: open.id, head: open.head, offset: self.lines.position() };
        self.open.as_ref().map(now).or(self.saved)
    }

    /// What happened since the last call; see [`SourceChange`].
    pub fn take_changes(&mut self) -> Vec<SourceChange> {
        std::mem::take(&mut self.changes)
    }

    /// Looks for more bytes, or another file, without waiting. All lines must have been taken.
    pub fn look(&mut self) -> Look {
        let position = self.position();
        let looked = match self.open.take() {
            None => self.open_next(),
            Some(open) => self.read(open),
        };
        looked.unwrap_or_else(|error| {
            // Whatever failed, the next look begins where the last line ended.
            self.open = None;
            self.saved = position;
            Look::Unavailable(format!("{}: {error}", self.path.display()))
        })
    }

    fn read(&mut self, mut open: Open) -> io::Result<Look> {
        if self.is_truncated(&open)? {
            return self.after_truncation(open);
        }
        if self.lines.fill(&mut open.file)? > 0 {
            open.quiet_since = None;
            if !open.is_head_final {
                (open.head, open.is_head_final) = head_of(&open.file)?;
            }
            self.open = Some(open);
            return Ok(Look::Read);
        }
        if FileId::of_path(&self.path).is_some_and(|id| id == open.id) {
            self.open = Some(open);
            return Ok(Look::End);
        }
        let since = *open.quiet_since.get_or_insert_with(Instant::now);
        if since.elapsed() < self.grace {
            self.open = Some(open);
            return Ok(Look::Leaving);
        }
        if self.lines.has_rest() {
            // Nobody will finish the last line any more.
            self.lines.finish();
            self.open = Some(open);
            return Ok(Look::Read);
        }
        let modified = open.file.metadata()?.modified()?;
        let Some(next) = self.successor(open.id, modified) else {
            // The old file is kept until there is a new one: its writer may not have moved on either.
            self.open = Some(open);
            return Ok(Look::End);
        };
        let look = self.start(next?, 0)?;
        self.changes.push(SourceChange::Rotated);
        Ok(look)
    }

    /// The file to read after one that was left.
    fn successor(&self, left: FileId, modified: SystemTime) -> Option<io::Result<Candidate>> {
        if let Some(next) = rotated::next_after(&self.path, left, modified) {
            return Some(Ok(next));
        }
        match rotated::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened),
        }
    }

    /// Whether the file is shorter than what was read of it, or begins otherwise than it did.
    fn is_truncated(&self, open: &Open) -> io::Result<bool> {
        if open.file.metadata()?.len() < self.lines.read_offset() {
            return Ok(true);
        }
        Ok(!open.head.begins(&beginning(&open.file)?))
    }

    fn after_truncation(&mut self, open: Open) -> io::Result<Look> {
        let position = FilePosition { id: open.id, head: open.head, offset: self.lines.position() };
        self.changes.push(SourceChange::Truncated);
        match rotated::find(&self.path, &position) {
            Some(copy) => self.start(copy, position.offset),
            None => {
                let metadata = open.file.metadata()?;
                self.start(Candidate { file: open.file, metadata }, 0)
            }
        }
    }

    fn open_next(&mut self) -> io::Result<Look> {
        let at_path = rotated::open(&self.path);
        let Some(saved) = self.saved else {
            let candidate = at_path?;
            self.changes.push(SourceChange::Appeared);
            return self.start(candidate, 0);
        };
        // The same file; else the same file under another name; else, for a position that was taken
        // with another device number, a file that begins the same.
        if let Ok(candidate) = &at_path
            && FileId::of(&candidate.metadata) == saved.id
            && rotated::continues(candidate, &saved)
        {
            return self.start(at_path?, saved.offset);
        }
        if let Some(candidate) = rotated::find(&self.path, &saved) {
            return self.start(candidate, saved.offset);
        }
        let candidate = at_path?;
        if saved.head.length > 0 && rotated::continues(&candidate, &saved) {
            return self.start(candidate, saved.offset);
        }
        let is_same = FileId::of(&candidate.metadata) == saved.id;
        self.changes.push(if is_same { SourceChange::Truncated } else { SourceChange::Lost });
        self.start(candidate, 0)
    }

    fn start(&mut self, candidate: Candidate, offset: u64) -> io::Result<Look> {
        let Candidate { mut file, metadata } = candidate;
        file.seek(SeekFrom::Start(offset))?;
        let (head, is_head_final) = head_of(&file)?;
        self.lines.reset(offset);
        self.open = Some(Open { file, id: FileId::of(&metadata), head, is_head_final, quiet_since: None });
        self.saved = None;
        Ok(Look::Read)
    }
}

impl FileId {
    fn of_path(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }
}

/// How the file begins, and whether that is final.
fn head_of(file: &File) -> io::Result<(Head, bool)> {
    let bytes = beginning(file)?;
    let is_final = bytes.len() == HEAD_BYTES_MAX || bytes.contains(&b'\n');
    Ok((Head::of(&bytes), is_final))
}

/// The position after the last line break: a line that is being written is wanted whole.
fn position_at_end(path: &Path, line_bytes_max: usize) -> io::Result<FilePosition> {
    let Candidate { mut file, metadata } = rotated::open(path)?;
    let from = metadata.len().saturating_sub(line_bytes_max as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    Read::by_ref(&mut file).take(metadata.len() - from).read_to_end(&mut tail)?;
    let offset = match memchr::memrchr(b'\n', &tail) {
        Some(at) => from + at as u64 + 1,
        None if from == 0 => 0,
        None => metadata.len(),
    };
    Ok(FilePosition { id: FileId::of(&metadata), head: head_of(&file)?.0, offset })
}

#[cfg(test)]
mod tests;
