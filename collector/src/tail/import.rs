//! Reads a file to its end, plain, gzip or Zstandard.

use super::content::{Content, modified_ns};
use super::position::{FilePosition, SourcePosition};
use super::prints::{PrintKey, Prints};
use super::{Line, LineReader, Look, SourceEvent};
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::Path;

/// Reads one file once. Offsets are those of the uncompressed bytes.
pub struct Import {
    lines: LineReader,
    bytes: Box<dyn Read + Send>,
    /// Where the file was when it was opened.
    opened: FilePosition,
    /// What else the source has.
    rest: SourcePosition,
    is_finished: bool,
    /// The file as it is stored, at the place up to which it was read, and its size.
    stored: File,
    stored_bytes: u64,
    events: Vec<SourceEvent>,
}

impl Import {
    /// Opens `path` and goes on where reading it, or what it is a copy of, ended. `others` are the files of
    /// other sources.
    pub fn open(
        path: &Path,
        saved: Option<SourcePosition>,
        line_bytes_max: usize,
        key: PrintKey,
        others: &[FilePosition],
    ) -> io::Result<Self> {
        let content = Content::open(path)?;
        if let Some((packing, command)) = content.foreign_packing()? {
            let reason = format!(
                "it is packed by {packing}: unpack it first, with `{command}`, or pack it by gzip or zstd"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let mut rest = saved.unwrap_or_default();
        if let Some(reading) = rest.reading.take() {
            rest.leave(reading);
        }
        let from = content.most_like(&key, rest.left.iter().chain(others))?.cloned().unwrap_or_default();
        let mut events = Vec::new();
        match rest.left.iter().rposition(|left| *left == from) {
            Some(own) => drop(rest.left.remove(own)),
            None if from.offset > 0 => {
                let lines = Content::lines_before(path, from.offset)?;
                events.push(SourceEvent::Known { file: path.to_owned(), lines });
            }
            None => {}
        }
        let opened = FilePosition {
            id: content.id(),
            path: content.path.clone(),
            modified_ns: modified_ns(&content.metadata),
            ..from
        };
        // The same place in the file as that of whoever reads it.
        let (stored, stored_bytes) = (content.file.try_clone()?, content.metadata.len());
        let (bytes, before) = content.start(opened.offset)?;
        let mut lines = LineReader::new(line_bytes_max, key);
        lines.reset(opened.offset, opened.prints.clone(), &before);
        Ok(Self { lines, bytes, opened, rest, is_finished: false, stored, stored_bytes, events })
    }

    /// The next line that was read; none when a [`Self::look`] is needed.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        self.lines.next_line()
    }

    /// Line breaks that were passed.
    pub fn breaks(&self) -> u64 {
        self.lines.breaks()
    }

    /// Offset before the last line that was given, and what the file left up to there; as long as nothing was
    /// read after it.
    pub fn before_last(&self) -> (u64, Prints) {
        self.lines.before_last()
    }

    /// Where to go on after a crash.
    pub fn position(&self) -> SourcePosition {
        let reading = FilePosition {
            offset: self.lines.position(),
            prints: self.lines.prints(),
            ..self.opened.clone()
        };
        SourcePosition { reading: Some(reading), ..self.rest.clone() }
    }

    /// Offset after the last line that was given.
    pub fn offset(&self) -> u64 {
        self.lines.position()
    }

    /// How far the file was read, and its size: bytes as they stand in it, compressed or not.
    pub fn read_of(&self) -> (u64, u64) {
        // A place that is not known is the beginning.
        ((&self.stored).stream_position().unwrap_or(0), self.stored_bytes)
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<SourceEvent> {
        std::mem::take(&mut self.events)
    }

    /// Reads a chunk. All lines must have been taken.
    pub fn look(&mut self) -> io::Result<Look> {
        if self.lines.fill(&mut *self.bytes)? > 0 {
            return Ok(Look::Read);
        }
        if self.is_finished {
            return Ok(Look::End);
        }
        self.is_finished = true;
        self.lines.finish();
        Ok(Look::Read)
    }
}
