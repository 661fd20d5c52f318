//! Which file, and how far it was read.

use crate::limits::HEAD_BYTES_MAX;
use memchr::memchr;
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};

/// What tells a file's content from another's: a hash of its first line, of which at most 256 bytes
/// count, line break included; of what is there when the first line is not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Number of bytes.
    pub length: u16,
    /// First 16 bytes of their SHA-256.
    pub hash: [u8; 16],
}

impl Head {
    /// The head of a file that begins with these bytes.
    pub fn of(beginning: &[u8]) -> Self {
        let most = &beginning[..beginning.len().min(HEAD_BYTES_MAX)];
        let line = memchr(b'\n', most).map_or(most, |end| &most[..=end]);
        let mut hash = [0; 16];
        hash.copy_from_slice(&Sha256::digest(line)[..16]);
        Self { length: line.len() as u16, hash }
    }

    /// Whether the file begins as it did when this was its head; it may have grown since.
    pub fn begins(self, beginning: &[u8]) -> bool {
        let length = usize::from(self.length);
        beginning.get(..length).is_some_and(|same| length == 0 || Self::of(same) == self)
    }
}

/// The first bytes of a plain file, wherever it is being read.
pub(super) fn beginning(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEAD_BYTES_MAX];
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// The first bytes of a stream.
pub(super) fn beginning_of(source: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(HEAD_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The system's name of a file: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileId {
    /// Device.
    pub device: u64,
    /// Inode.
    pub inode: u64,
}

impl FileId {
    /// The id in a file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// A position in a file, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FilePosition {
    /// The file.
    pub id: FileId,
    /// How it begins.
    pub head: Head,
    /// Offset of the next byte to be read; of the uncompressed bytes where the file is compressed.
    pub offset: u64,
}

impl FilePosition {
    /// Version of the encoding.
    pub const FORMAT: i32 = 1;

    const BYTES: usize = 8 + 8 + 2 + 16 + 8;

    /// Device, inode, head and offset, big-endian.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend_from_slice(&self.id.device.to_be_bytes());
        bytes.extend_from_slice(&self.id.inode.to_be_bytes());
        bytes.extend_from_slice(&self.head.length.to_be_bytes());
        bytes.extend_from_slice(&self.head.hash);
        bytes.extend_from_slice(&self.offset.to_be_bytes());
        bytes
    }

    /// The position that [`Self::to_bytes`] wrote; none for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (device, rest) = bytes.split_first_chunk::<8>()?;
        let (inode, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (hash, rest) = rest.split_first_chunk::<16>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        rest.is_empty().then_some(Self {
            id: FileId { device: u64::from_be_bytes(*device), inode: u64::from_be_bytes(*inode) },
            head: Head { length: u16::from_be_bytes(*length), hash: *hash },
            offset: u64::from_be_bytes(*offset),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_position_comes_back_from_its_bytes(device: u64, inode: u64, length: u16, hash: [u8; 16], offset: u64) {
            let position = FilePosition { id: FileId { device, inode }, head: Head { length, hash }, offset };
            prop_assert_eq!(FilePosition::from_bytes(&position.to_bytes()), Some(position));
        }

        #[test]
        fn other_bytes_are_no_position(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(FilePosition::from_bytes(&bytes).is_some(), bytes.len() == FilePosition::BYTES);
        }
    }

    #[test]
    fn a_head_stays_when_the_file_grows() {
        let head = Head::of(b"first line\nsecond");
        assert_eq!(head, Head::of(b"first line\nsecond line\nthird"));
        assert!(head.begins(b"first line\nother"));
        assert!(!head.begins(b"first lime\nother"));
        assert!(!head.begins(b"first"));
        assert!(Head::of(b"fir").begins(b"first line\n"));
        assert!(Head::of(b"").begins(b"anything"));
        assert_eq!(Head::of(&[b'x'; 999]).length, 256);
    }
}
