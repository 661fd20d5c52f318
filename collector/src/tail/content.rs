//! A log file that may be compressed, as the bytes that its writer wrote.

use super::position::{FileId, FilePosition};
use super::prints::{Likeness, PrintKey, Prints, WINDOW_BYTES};
use flate2::read::MultiGzDecoder;
use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all: it may grow, and any part of it can be read.
    Plain,
    /// gzip, one member or several.
    Gzip,
    /// Zstandard, one frame or several.
    Zstd,
}

/// An open file.
pub struct Content {
    /// The file.
    pub file: File,
    /// What the system says of it, as of its opening.
    pub metadata: Metadata,
    /// Under which name it was opened, without symbolic links.
    pub path: PathBuf,
    /// How it is compressed.
    pub packing: Packing,
}

impl Content {
    /// By what a file is compressed that is not read so, and the command that unpacks it.
    pub fn foreign_packing(&self) -> io::Result<Option<(&'static str, &'static str)>> {
        const MAGICS: [(&[u8], &str, &str); 7] = [
            (b"\xfd7zXZ\0", "xz", "xz -dc"),
            (b"BZh", "bzip2", "bzip2 -dc"),
            (b"\x04\x22\x4d\x18", "lz4", "lz4 -dc"),
            (b"\x1f\x9d", "compress", "gzip -dc"),
            (b"PK\x03\x04", "zip", "unzip -p"),
            (b"7z\xbc\xaf\x27\x1c", "7-Zip", "7z x -so"),
            (b"\x5d\0\0\x80\0", "lzma", "xz -dc"),
        ];
        let beginning = read_at(&self.file, 0, 8)?;
        let found = MAGICS.iter().find(|(magic, ..)| beginning.starts_with(magic));
        Ok(found.map(|(_, name, command)| (*name, *command)))
    }

    /// Opens a regular file. Its metadata are those of the open file, so they cannot be another's.
    pub fn open(path: &Path) -> io::Result<Self> {
        // A pipe without a writer would block; a directory gives nothing to read.
        let kind = fs::metadata(path)?;
        if kind.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory: name the log in it"));
        }
        if !kind.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let beginning = read_at(&file, 0, ZSTD_MAGIC.len())?;
        let packing = if beginning.starts_with(&GZIP_MAGIC) {
            Packing::Gzip
        } else if beginning == ZSTD_MAGIC {
            Packing::Zstd
        } else {
            Packing::Plain
        };
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self { file, metadata, path, packing })
    }

    /// The system's name of it.
    pub fn id(&self) -> FileId {
        FileId::of(&self.metadata)
    }

    /// Whether it is compressed.
    pub fn is_packed(&self) -> bool {
        self.packing != Packing::Plain
    }

    /// Its bytes from `offset` on, and the window before.
    pub fn start(self, offset: u64) -> io::Result<(Box<dyn Read + Send>, Vec<u8>)> {
        if !self.is_packed() {
            let before = window_at(&self.file, offset)?;
            let mut file = self.file;
            file.seek(SeekFrom::Start(offset))?;
            return Ok((Box::new(file), before));
        }
        let mut stream = self.stream()?;
        let mut window = Window::default();
        if window.advance(&mut *stream, offset)? < offset {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it is shorter than what was read of it",
            ));
        }
        Ok((stream, window.bytes))
    }

    /// The position at `offset` of a plain file.
    pub fn position_at(&self, key: &PrintKey, offset: u64) -> io::Result<FilePosition> {
        let prints = Prints::of(key, offset, |end| window_at(&self.file, end))?;
        Ok(FilePosition {
            id: self.id(),
            offset,
            prints,
            modified_ns: modified_ns(&self.metadata),
            path: self.path.clone(),
        })
    }

    /// Whether it is the file of `position`, or a copy of it, as its bytes tell.
    pub fn likeness(&self, key: &PrintKey, position: &FilePosition) -> io::Result<Likeness> {
        let (prints, offset) = (&position.prints, position.offset);
        if !self.is_packed() {
            let window = |end| window_at(&self.file, end);
            return prints.likeness(key, offset, self.file.metadata()?.len(), window);
        }
        let mut stream = Self::stream_of(self.file.try_clone()?, self.packing)?;
        let (mut window, mut ends) = (Window::default(), prints.ends(offset));
        let mut at = 0;
        // The shortest first: most files are told apart by their first bytes.
        prints.in_order(key, offset, || {
            let Some(end) = ends.next() else { return Ok(None) };
            at += window.advance(&mut *stream, end - at)?;
            Ok((at == end).then(|| window.bytes.clone()))
        })
    }

    /// The file among these that this one is, or is a copy of, as its bytes tell, and of those the one that
    /// was read furthest.
    pub fn most_like<'p>(
        &self,
        key: &PrintKey,
        files: impl IntoIterator<Item = &'p FilePosition>,
    ) -> io::Result<Option<&'p FilePosition>> {
        let mut most: Option<&FilePosition> = None;
        for file in files {
            let is_further = file.offset > 0 && most.is_none_or(|most| file.offset > most.offset);
            if is_further && self.likeness(key, file)? == Likeness::Same {
                most = Some(file);
            }
        }
        Ok(most)
    }

    /// Number of line breaks before `offset`.
    pub fn lines_before(path: &Path, offset: u64) -> io::Result<u64> {
        let mut stream = Self::open(path)?.stream()?.take(offset);
        let (mut piece, mut lines) = (vec![0; 64 << 10], 0);
        loop {
            match stream.read(&mut piece)? {
                0 => return Ok(lines),
                read => lines += memchr::memchr_iter(b'\n', &piece[..read]).count() as u64,
            }
        }
    }

    /// Whether a plain file has the same bytes as the beginning of another one, as far as windows tell.
    pub fn begins(&self, other: &Self) -> io::Result<bool> {
        let (length, most) = (self.file.metadata()?.len(), other.file.metadata()?.len());
        if self.is_packed() || other.is_packed() || length == 0 || length > most {
            return Ok(false);
        }
        for end in (4..63).map(|power| 1 << power).take_while(|end| *end < length).chain([length]) {
            if window_at(&self.file, end)? != window_at(&other.file, end)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Its uncompressed bytes, from the beginning.
    pub fn stream(self) -> io::Result<Box<dyn Read + Send>> {
        Self::stream_of(self.file, self.packing)
    }

    fn stream_of(mut file: File, packing: Packing) -> io::Result<Box<dyn Read + Send>> {
        file.seek(SeekFrom::Start(0))?;
        Ok(match packing {
            Packing::Plain => Box::new(file),
            Packing::Gzip => Box::new(MultiGzDecoder::new(BufReader::new(file))),
            Packing::Zstd => Box::new(zstd::stream::read::Decoder::new(file)?),
        })
    }
}

/// When a file was last written to, in nanoseconds since the Unix epoch.
pub(super) fn modified_ns(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

/// Whether a file was made after a time, in nanoseconds since the Unix epoch; false where the file system
/// does not tell.
pub(super) fn is_made_after(metadata: &Metadata, time_ns: i64) -> bool {
    let since = metadata.created().ok().and_then(|made| made.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.is_some_and(|since| {
        i128::try_from(since.as_nanos()).is_ok_and(|made_ns| made_ns > i128::from(time_ns))
    })
}

/// The window of a plain file that ends at `end`; shorter where the file is.
pub(super) fn window_at(file: &File, end: u64) -> io::Result<Vec<u8>> {
    let from = end.saturating_sub(WINDOW_BYTES as u64);
    read_at(file, from, (end - from) as usize)
}

fn read_at(file: &File, from: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut read = 0;
    while read < length {
        match file.read_at(&mut bytes[read..], from + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

/// The last bytes of what was read of a stream.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
}

impl Window {
    /// Reads `count` bytes, or as many as there are, and gives their number.
    fn advance(&mut self, stream: &mut dyn Read, count: u64) -> io::Result<u64> {
        let mut piece = vec![0; 64 << 10];
        let mut advanced = 0;
        while advanced < count {
            let wanted = piece.len().min((count - advanced) as usize);
            let read = match stream.read(&mut piece[..wanted]) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            advanced += read as u64;
            self.bytes.extend_from_slice(&piece[..read]);
            let more = self.bytes.len().saturating_sub(WINDOW_BYTES);
            self.bytes.drain(..more);
        }
        Ok(advanced)
    }
}
