//! A line as the tail hands it to a reader.

use crate::tail::Cut;

/// A line, with the offset of its first byte in the file.
#[derive(Clone, Copy)]
pub struct Line<'l> {
    /// Offset of its first byte.
    pub offset: u64,
    /// Its bytes, without the line break.
    pub bytes: &'l [u8],
    /// What was dropped from it because it is too long.
    pub cuts: &'l [Cut],
}

impl<'l> Line<'l> {
    /// A line of which nothing was dropped.
    pub fn whole(offset: u64, bytes: &'l [u8]) -> Self {
        Self { offset, bytes, cuts: &[] }
    }
}
