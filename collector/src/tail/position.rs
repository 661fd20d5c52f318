//! Which files a source has, and how far each was read.

use super::prints::Prints;
use crate::limits::{LEFT_FILES_MAX, PATH_BYTES_MAX};
use std::fs::Metadata;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The system's name of a file: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
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

/// How far a file was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilePosition {
    /// The file; all zeros when it was truncated, so that only a copy can be it.
    pub id: FileId,
    /// Offset of the next byte to be read; of the uncompressed bytes where the file is compressed.
    pub offset: u64,
    /// What it left up to there.
    pub prints: Prints,
    /// When it was last written to, as far as is known, in nanoseconds since the Unix epoch.
    pub modified_ns: i64,
    /// Where it was last seen, without symbolic links; empty when the path is very long.
    pub path: PathBuf,
}

/// How far a source was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourcePosition {
    /// Number of commits so far.
    pub commits: u64,
    /// The file that is being read.
    pub reading: Option<FilePosition>,
    /// The files that were left, the latest last, at most [`LEFT_FILES_MAX`].
    pub left: Vec<FilePosition>,
    /// Files that were last written to before this are old: they were there when the source was new, or are
    /// no longer known. In nanoseconds since the Unix epoch.
    pub since_ns: i64,
}

impl FilePosition {
    fn write(&self, into: &mut Vec<u8>) {
        for number in [self.id.device, self.id.inode, self.offset, self.modified_ns as u64] {
            into.extend_from_slice(&number.to_be_bytes());
        }
        self.prints.write(into);
        let path = self.path.as_os_str().as_bytes();
        let path = if path.len() > PATH_BYTES_MAX { &[] } else { path };
        into.extend_from_slice(&(path.len() as u16).to_be_bytes());
        into.extend_from_slice(path);
    }

    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (numbers, rest) = bytes.split_first_chunk::<32>()?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let number = |index: usize| u64::from_be_bytes(numbers[index]);
        let (prints, rest) = Prints::read(rest)?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (path, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let position = Self {
            id: FileId { device: number(0), inode: number(1) },
            offset: number(2),
            modified_ns: number(3) as i64,
            prints,
            path: PathBuf::from(std::ffi::OsString::from_vec(path.to_vec())),
        };
        Some((position, rest))
    }
}

impl SourcePosition {
    /// Remembers a file that was left, and forgets the one that was left first when there are too many.
    pub fn leave(&mut self, file: FilePosition) {
        self.left.push(file);
        while self.left.len() > LEFT_FILES_MAX {
            // It was read, and so was what was written to last before it.
            self.since_ns = self.since_ns.max(self.left.remove(0).modified_ns + 1);
        }
    }

    /// Whether the same files were read as far. When they were written to last says nothing about that.
    pub fn is_at(&self, other: &Self) -> bool {
        let of = |position: &FilePosition| (position.id, position.offset);
        self.reading.as_ref().map(of) == other.reading.as_ref().map(of)
            && self.left.iter().map(of).eq(other.left.iter().map(of))
    }

    /// Version of both encodings.
    pub const FORMAT: i32 = 2;

    /// The number of commits and the file that is being read.
    pub fn reading_bytes(&self) -> Vec<u8> {
        let mut bytes = self.commits.to_be_bytes().to_vec();
        if let Some(reading) = &self.reading {
            reading.write(&mut bytes);
        }
        bytes
    }

    /// The files that were left.
    pub fn left_bytes(&self) -> Vec<u8> {
        let mut bytes = self.since_ns.to_be_bytes().to_vec();
        self.left.iter().for_each(|position| position.write(&mut bytes));
        bytes
    }

    /// The file that is being read, of the first encoding.
    pub fn reading_of(reading: &[u8]) -> Option<FilePosition> {
        let (file, rest) = FilePosition::read(reading.get(8..)?)?;
        rest.is_empty().then_some(file)
    }

    /// The files that were left, of the second encoding.
    pub fn left_of(left: &[u8]) -> Option<Vec<FilePosition>> {
        Self::from_bytes(&[0; 8], left).map(|position| position.left)
    }

    /// The position of which these are the two encodings; none for anything else.
    pub fn from_bytes(reading: &[u8], left: &[u8]) -> Option<Self> {
        let (commits, rest) = reading.split_first_chunk::<8>()?;
        let (since_ns, mut left) = left.split_first_chunk::<8>()?;
        let mut position = Self {
            commits: u64::from_be_bytes(*commits),
            since_ns: i64::from_be_bytes(*since_ns),
            ..Self::default()
        };
        if !rest.is_empty() {
            let (reading, rest) = FilePosition::read(rest)?;
            position.reading = rest.is_empty().then_some(Some(reading))?;
        }
        while !left.is_empty() {
            let (one, rest) = FilePosition::read(left)?;
            position.left.push(one);
            left = rest;
        }
        (position.left.len() <= LEFT_FILES_MAX).then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(numbers: [u64; 3], modified_ns: i64, prints: &[u64], path: &str) -> FilePosition {
        let mut bytes = vec![prints.len() as u8];
        bytes.extend(prints.iter().chain([&7]).flat_map(|print| print.to_be_bytes()));
        FilePosition {
            id: FileId { device: numbers[0], inode: numbers[1] },
            offset: numbers[2],
            prints: Prints::read(&bytes).unwrap().0,
            modified_ns,
            path: path.into(),
        }
    }

    proptest! {
        #[test]
        fn a_position_comes_back_from_its_bytes(
            numbers: [u64; 3], modified_ns: i64, prints in prop::collection::vec(any::<u64>(), 0..40),
            path in "[a-z/]{0,30}", left in 0..LEFT_FILES_MAX, commits: u64, since_ns: i64, is_reading: bool,
        ) {
            let one = file(numbers, modified_ns, &prints, &path);
            let reading = is_reading.then(|| one.clone());
            let position = SourcePosition { commits, reading, left: vec![one; left], since_ns };
            let again = SourcePosition::from_bytes(&position.reading_bytes(), &position.left_bytes());
            prop_assert_eq!(again, Some(position));
        }

        #[test]
        fn other_bytes_are_no_position_or_one(reading in prop::collection::vec(any::<u8>(), 0..100), left in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(position) = SourcePosition::from_bytes(&reading, &left) {
                prop_assert_eq!((position.reading_bytes(), position.left_bytes()), (reading, left));
            }
        }
    }
}
