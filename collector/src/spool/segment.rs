//! A segment: a file that begins with whose it is, and goes on with records.
//!
//! Its beginning is `weirspol`, format (4 bytes), length of what follows the checksum (4), CRC-32 of format,
//! length and what follows (4), and then spool (16), session (8), run (16) and the source's key; numbers are
//! little-endian. Every format keeps it so far as the checksum, so that a later one can be told from a
//! damaged file.

use super::damage::{Damage, DamageKind};
use super::disk::Disk;
use super::error::SpoolError;
use super::frame::{self, Found};
use super::{Spool, SpoolId};
use crate::limits::SPOOL_HEAD_BYTES_MAX;
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"weirspol";

/// How files are opened that are there already: where one is a link, somebody else made it.
pub(super) const NO_LINK: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// Bytes up to and with the checksum.
const PRELUDE_BYTES: usize = 20;

impl Spool {
    /// Version of what segments look like, and of what batches in them do.
    pub const FORMAT: u32 = 1;
}

/// Whose records a segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentHead {
    pub(super) spool: SpoolId,
    pub(super) session: u64,
    pub(super) run: [u8; 16],
    pub(super) source_key: String,
}

impl SegmentHead {
    fn to_bytes(&self) -> Vec<u8> {
        let key = self.source_key.as_bytes();
        let body = [&self.spool.0[..], &self.session.to_le_bytes(), &self.run, key].concat();
        let (format, length) = (Spool::FORMAT.to_le_bytes(), (body.len() as u32).to_le_bytes());
        let checksum = checksum(&format, &length, &body).to_le_bytes();
        [&MAGIC[..], &format, &length, &checksum, &body].concat()
    }

    /// Bytes that it takes.
    pub(super) fn bytes_len(&self) -> u64 {
        self.to_bytes().len() as u64
    }

    fn of(body: &[u8]) -> Option<Self> {
        let (spool, rest) = body.split_first_chunk::<16>()?;
        let (session, rest) = rest.split_first_chunk::<8>()?;
        let (run, key) = rest.split_first_chunk::<16>()?;
        let source_key = std::str::from_utf8(key).ok()?.to_owned();
        Some(Self { spool: SpoolId(*spool), session: u64::from_le_bytes(*session), run: *run, source_key })
    }
}

/// An open segment.
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) head: SegmentHead,
    /// Where its first record begins.
    pub(super) begin: u64,
    /// Where its last record ends.
    pub(super) end: u64,
}

impl Segment {
    /// Opens a file; none where its beginning is not whole.
    pub(super) fn open(path: &Path, source_key: &str) -> Result<Option<Self>, SpoolError> {
        let unusable = |source| SpoolError::Unusable { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).custom_flags(NO_LINK).open(path).map_err(unusable)?;
        let end = file.metadata().map_err(unusable)?.len();
        let Some((format, body)) = beginning(&file, end).map_err(unusable)? else { return Ok(None) };
        if format != Spool::FORMAT {
            return Err(SpoolError::Format { file: path.to_owned(), format, readable: Spool::FORMAT });
        }
        let Some(head) = SegmentHead::of(&body) else { return Ok(None) };
        if head.source_key != source_key {
            let (theirs, ours) = (head.source_key, source_key.to_owned());
            return Err(SpoolError::Source { file: path.to_owned(), theirs, ours });
        }
        let begin = (PRELUDE_BYTES + body.len()) as u64;
        Ok(Some(Self { path: path.to_owned(), file, head, begin, end }))
    }

    /// Makes a file, which must not be there.
    pub(super) fn create(path: &Path, head: &SegmentHead, disk: &dyn Disk, syncs: bool) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let bytes = head.to_bytes();
        let written = disk.write_at(&file, &bytes, 0);
        if let Err(error) = written.and_then(|()| if syncs { disk.sync(&file) } else { Ok(()) }) {
            let _ = fs::remove_file(path);
            return Err(error);
        }
        let begin = bytes.len() as u64;
        Ok(Self { path: path.to_owned(), file, head: head.clone(), begin, end: begin })
    }

    /// Whether it has no record.
    pub(super) fn is_empty(&self) -> bool {
        self.end == self.begin
    }

    /// Cuts what stands behind its last whole record.
    pub(super) fn cut_torn_tail(&mut self) -> Result<Option<Damage>, SpoolError> {
        let unusable = |source| SpoolError::Unusable { path: self.path.clone(), source };
        let mut at = self.begin;
        loop {
            match frame::read(&self.file, at, self.end).map_err(unusable)? {
                Found::End => return Ok(None),
                Found::Record { end, .. } => at = end,
                Found::Damaged { end } if end < self.end => at = end,
                Found::Damaged { end } => {
                    self.file.set_len(at).map_err(unusable)?;
                    self.end = at;
                    let (kind, file) = (DamageKind::TornTail, self.path.clone());
                    return Ok(Some(Damage { kind, file, from: at, bytes: end - at }));
                }
            }
        }
    }
}

/// Format and body of a file's beginning; none where it is not whole.
fn beginning(file: &File, end: u64) -> io::Result<Option<(u32, Vec<u8>)>> {
    let mut prelude = [0; PRELUDE_BYTES];
    if end < PRELUDE_BYTES as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut prelude, 0)?;
    let (magic, rest) = prelude.split_at(MAGIC.len());
    let (numbers, _) = rest.as_chunks::<4>();
    let [format, length, expected] = numbers else { return Ok(None) };
    let bytes = u32::from_le_bytes(*length) as usize;
    if magic != MAGIC || bytes > SPOOL_HEAD_BYTES_MAX || end < (PRELUDE_BYTES + bytes) as u64 {
        return Ok(None);
    }
    let mut body = vec![0; bytes];
    file.read_exact_at(&mut body, PRELUDE_BYTES as u64)?;
    let is_whole = checksum(format, length, &body) == u32::from_le_bytes(*expected);
    Ok(is_whole.then(|| (u32::from_le_bytes(*format), body)))
}

fn checksum(format: &[u8; 4], length: &[u8; 4], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(format);
    hasher.update(length);
    hasher.update(body);
    hasher.finalize()
}
