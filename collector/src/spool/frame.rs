//! A record in a segment: length of the payload (4 bytes), CRC-32 of all that follows and of the length (4),
//! number (8), payload; numbers are little-endian.

use crate::limits::SPOOL_RECORD_BYTES_MAX;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes before the payload.
pub(super) const HEAD_BYTES: usize = 16;

/// Writes a record in place of what `frame` holds.
pub(super) fn write(number: u64, payload: &[u8], frame: &mut Vec<u8>) {
    frame.clear();
    frame.reserve(HEAD_BYTES + payload.len());
    let length = (payload.len() as u32).to_le_bytes();
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&checksum(&length, &number.to_le_bytes(), payload).to_le_bytes());
    frame.extend_from_slice(&number.to_le_bytes());
    frame.extend_from_slice(payload);
}

/// What stands at a place.
pub(super) enum Found {
    /// Nothing any more.
    End,
    /// A record, and where it ends.
    Record { number: u64, payload: Vec<u8>, end: u64 },
    /// Something that is no record, up to where the next one begins, or else to the end.
    Damaged { end: u64 },
}

/// Reads what stands at a place of a segment that ends at `end`.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn read(file: &File, at: u64, end: u64) -> io::Result<Found> {
    if at >= end {
        return Ok(Found::End);
    }
    let behind = match record(file, at, end)? {
        Tried::Record { number, payload, end } => return Ok(Found::Record { number, payload, end }),
        Tried::Changed { end } => end,
        Tried::None => return Ok(Found::Damaged { end }),
    };
    // Where only the payload was changed, the next record says that the length was not.
    let is_framed = matches!(record(file, behind, end)?, Tried::Record { .. });
    Ok(Found::Damaged { end: if is_framed { behind } else { end } })
}

enum Tried {
    Record {
        number: u64,
        payload: Vec<u8>,
        end: u64,
    },
    /// It is as long as it says, and its checksum is another.
    Changed {
        end: u64,
    },
    None,
}

fn record(file: &File, at: u64, end: u64) -> io::Result<Tried> {
    let mut head = [0; HEAD_BYTES];
    let from = at + HEAD_BYTES as u64;
    if from > end || !fill(file, &mut head, at)? {
        return Ok(Tried::None);
    }
    let [l0, l1, l2, l3, c0, c1, c2, c3, number @ ..] = head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let behind = from + u64::from(length);
    if behind > end || length as usize > SPOOL_RECORD_BYTES_MAX {
        return Ok(Tried::None);
    }
    let mut payload = vec![0; length as usize];
    if !fill(file, &mut payload, from)? {
        return Ok(Tried::None);
    }
    if checksum(&length.to_le_bytes(), &number, &payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Ok(Tried::Changed { end: behind });
    }
    Ok(Tried::Record { number: u64::from_le_bytes(number), payload, end: behind })
}

/// Whether the file goes on so far: somebody else may have cut it.
fn fill(file: &File, bytes: &mut [u8], at: u64) -> io::Result<bool> {
    match file.read_exact_at(bytes, at) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

fn checksum(length: &[u8; 4], number: &[u8; 8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(number);
    hasher.update(payload);
    hasher.finalize()
}
