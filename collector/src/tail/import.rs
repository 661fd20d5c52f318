//! Reads a file to its end, plain or gzip.

use super::position::{FileId, FilePosition, Head, beginning_of};
use super::{Line, LineReader, Look};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Reads one file once. Offsets are those of the uncompressed bytes.
pub struct Import {
    lines: LineReader,
    source: Box<dyn Read + Send>,
    id: FileId,
    head: Head,
    is_finished: bool,
    size: Option<u64>,
}

impl Import {
    /// Opens `path` and goes on at `saved` if it is the position of a file that begins the same and is
    /// no shorter.
    pub fn open(path: &Path, saved: Option<FilePosition>, line_bytes_max: usize) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let is_gzip = beginning_of(&mut file)?.starts_with(&GZIP_MAGIC);
        file.seek(SeekFrom::Start(0))?;
        let first = beginning_of(&mut *stream(file.try_clone()?, is_gzip))?;
        file.seek(SeekFrom::Start(0))?;
        let size = (!is_gzip).then_some(metadata.len());
        let known = saved.filter(|saved| saved.head.length > 0 && saved.head.begins(&first));
        let offset = known.map(|saved| saved.offset).filter(|offset| size.is_none_or(|size| *offset <= size));
        let offset = offset.unwrap_or(0);
        let source = if is_gzip {
            let mut source = stream(file, true);
            io::copy(&mut source.by_ref().take(offset), &mut io::sink())?;
            source
        } else {
            file.seek(SeekFrom::Start(offset))?;
            Box::new(file)
        };
        let (id, head) = (FileId::of(&metadata), Head::of(&first));
        Ok(Self {
            lines: LineReader::new(line_bytes_max, offset),
            source,
            id,
            head,
            is_finished: false,
            size,
        })
    }

    /// The next line that was read; none when a [`Self::look`] is needed.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        self.lines.next_line()
    }

    /// Where to go on after a crash.
    pub fn position(&self) -> FilePosition {
        FilePosition { id: self.id, head: self.head, offset: self.lines.position() }
    }

    /// Size of the file in uncompressed bytes, where it is known before the end.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Reads a chunk. All lines must have been taken.
    pub fn look(&mut self) -> io::Result<Look> {
        if self.lines.fill(&mut *self.source)? > 0 {
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

fn stream(file: File, is_gzip: bool) -> Box<dyn Read + Send> {
    if is_gzip { Box::new(MultiGzDecoder::new(BufReader::new(file))) } else { Box::new(file) }
}
