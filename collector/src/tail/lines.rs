//! Splits bytes into lines in bounded memory.

use crate::limits::CHUNK_BYTES;
use memchr::memchr;
use std::io::{self, Read};

/// One line, with the offset of its first byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Line<'b> {
    /// Its bytes, without the line break.
    Text {
        /// Offset of its first byte.
        offset: u64,
        /// Its bytes.
        bytes: &'b [u8],
    },
    /// It is over the limit and was skipped.
    TooLong {
        /// Offset of its first byte.
        offset: u64,
        /// Its length up to the `\n`.
        length: u64,
    },
}

/// Splits what it is fed with into lines: at `\n`, with or without `\r` before it. Empty lines are
/// skipped, and so are NUL bytes at the start of a line, which a truncated file is filled up with when
/// its writer does not append.
///
/// It holds at most one line of the limit and one chunk.
pub struct LineReader {
    limit: usize,
    buffer: Vec<u8>,
    /// The bytes from `start` to `end` are read and not consumed; up to `scanned` they have no line
    /// break.
    start: usize,
    scanned: usize,
    end: usize,
    /// Offset in the file of the byte at `start`.
    offset: u64,
    /// Offset and length so far of a line over the limit, whose end is not yet found.
    skipping: Option<(u64, u64)>,
    /// There will be no more bytes, so that the last line needs no line break.
    is_finished: bool,
}

/// What a part of the buffer turned out to be.
enum Found {
    Text(u64, usize, usize),
    TooLong(u64, u64),
}

impl LineReader {
    /// A reader of lines of at most `limit` bytes, whose next byte has this offset.
    pub fn new(limit: usize, offset: u64) -> Self {
        Self {
            limit,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            end: 0,
            offset,
            skipping: None,
            is_finished: false,
        }
    }

    /// Forgets everything and goes on at `offset`.
    pub fn reset(&mut self, offset: u64) {
        *self = Self { buffer: std::mem::take(&mut self.buffer), ..Self::new(self.limit, offset) };
    }

    /// Offset after the last line that was given: where to go on after a crash.
    pub fn position(&self) -> u64 {
        self.skipping.map_or(self.offset, |(offset, _)| offset)
    }

    /// Offset of the next byte to be read from the file.
    pub fn read_offset(&self) -> u64 {
        self.offset + (self.end - self.start) as u64
    }

    /// Whether bytes of an unfinished line are held.
    pub fn has_rest(&self) -> bool {
        self.end > self.start || self.skipping.is_some()
    }

    /// Bytes that the buffer takes.
    pub fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    /// Says that there will be no more bytes: the last line counts without its line break.
    pub fn finish(&mut self) {
        self.is_finished = true;
    }

    /// Reads a chunk; 0 at the end.
    pub fn fill(&mut self, source: &mut dyn Read) -> io::Result<usize> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.scanned -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        let wanted = self.end + CHUNK_BYTES;
        if self.buffer.len() < wanted {
            self.buffer.reserve_exact(wanted - self.buffer.len());
            self.buffer.resize(wanted, 0);
        }
        loop {
            match source.read(&mut self.buffer[self.end..wanted]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next line among the bytes that were read; none when more are needed.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        match self.find()? {
            Found::Text(offset, from, to) => Some(Line::Text { offset, bytes: &self.buffer[from..to] }),
            Found::TooLong(offset, length) => Some(Line::TooLong { offset, length }),
        }
    }

    fn find(&mut self) -> Option<Found> {
        loop {
            if self.skipping.is_none() && self.scanned == self.start {
                let nuls = self.buffer[self.start..self.end].iter().take_while(|byte| **byte == 0).count();
                self.consume(nuls);
            }
            let Some(found) = memchr(b'\n', &self.buffer[self.scanned..self.end]) else {
                return self.find_without_break();
            };
            let (from, to) = (self.start, self.scanned + found);
            let (offset, skipped) = (self.offset, self.skipping.take());
            self.consume(to + 1 - from);
            if let Some((offset, length)) = skipped {
                return Some(Found::TooLong(offset, length + (to - from) as u64));
            }
            let found = self.line(offset, from, to);
            if found.is_some() {
                return found;
            }
        }
    }

    /// What the bytes are that are held when no line break is among them.
    fn find_without_break(&mut self) -> Option<Found> {
        self.scanned = self.end;
        let (from, held) = (self.start, self.end - self.start);
        if let Some((offset, length)) = self.skipping {
            self.consume(held);
            self.skipping = Some((offset, length + held as u64));
            if self.is_finished {
                self.skipping = None;
                return Some(Found::TooLong(offset, length + held as u64));
            }
            return None;
        }
        if self.is_finished && held > 0 {
            let (offset, to) = (self.offset, self.end);
            self.consume(held);
            return self.line(offset, from, to);
        }
        // One more byte than the limit may still be the `\r` of a line that is not over it.
        if held > self.limit + 1 {
            let offset = self.offset;
            self.consume(held);
            self.skipping = Some((offset, held as u64));
        }
        None
    }

    fn line(&self, offset: u64, from: usize, mut to: usize) -> Option<Found> {
        let length = (to - from) as u64;
        if to > from && self.buffer[to - 1] == b'\r' {
            to -= 1;
        }
        if to - from > self.limit {
            return Some(Found::TooLong(offset, length));
        }
        let is_blank = self.buffer[from..to].iter().all(u8::is_ascii_whitespace);
        (!is_blank).then_some(Found::Text(offset, from, to))
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.scanned = self.start;
        self.offset += bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    /// Feeds the pieces one after another and takes all lines after each.
    fn lines(limit: usize, pieces: &[&[u8]], finish: bool) -> Vec<String> {
        let mut reader = LineReader::new(limit, 0);
        let mut all = Vec::new();
        let mut take = |reader: &mut LineReader| {
            while let Some(line) = reader.next_line() {
                all.push(match line {
                    Line::Text { offset, bytes } => format!("{offset}:{}", String::from_utf8_lossy(bytes)),
                    Line::TooLong { offset, length } => format!("{offset}:too long {length}"),
                });
            }
        };
        for piece in pieces {
            let mut rest = *piece;
            while reader.fill(&mut rest).unwrap() > 0 {
                take(&mut reader);
            }
        }
        if finish {
            reader.finish();
            take(&mut reader);
        }
        all
    }

    fn check(pieces: &[&[u8]], expected: Expect) {
        expected.assert_eq(&lines(8, pieces, false).join(" | "));
    }

    #[test]
    fn lines_have_the_offset_of_their_first_byte() {
        check(&[b"one\ntwo\r\n\n \nthree\n"], expect!["0:one | 4:two | 12:three"]);
    }

    #[test]
    fn a_line_in_two_writes_is_one_line() {
        check(&[b"on", b"e\ntw"], expect!["0:one"]);
        check(&[b"on", b"e\ntw", b"o\r", b"\n"], expect!["0:one | 4:two"]);
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_to_its_end() {
        check(&[b"12345678\r\n123456789\nok\n"], expect!["0:12345678 | 10:too long 9 | 20:ok"]);
        check(&[b"123456", b"7890", b"12", b"34\nok\n"], expect!["0:too long 14 | 15:ok"]);
    }

    #[test]
    fn nuls_before_a_line_are_skipped() {
        check(&[b"\0\0\0", b"\0one\n\0\0", b"\n"], expect!["4:one"]);
    }

    #[test]
    fn at_the_end_the_last_line_needs_no_break() {
        assert_eq!(lines(8, &[b"one\ntw", b"o"], true), ["0:one", "4:two"]);
        assert_eq!(lines(8, &[b"0123456789abc"], true), ["0:too long 13"]);
    }

    #[test]
    fn a_line_of_64_mib_takes_no_more_memory_than_the_limit_and_a_chunk() {
        let limit = 1 << 20;
        let mut reader = LineReader::new(limit, 0);
        let mut source = io::repeat(b'x').take(64 << 20).chain(&b"\nok\n"[..]);
        let mut found = Vec::new();
        let mut memory = 0;
        while reader.fill(&mut source).unwrap() > 0 {
            while let Some(line) = reader.next_line() {
                found.push(match line {
                    Line::Text { offset, bytes } => (offset, bytes.len() as u64, true),
                    Line::TooLong { offset, length } => (offset, length, false),
                });
            }
            memory = memory.max(reader.memory());
            assert_eq!(
                reader.position(),
                if found.is_empty() { 0 } else { (64 << 20) + if found.len() == 1 { 1 } else { 4 } }
            );
        }
        assert_eq!(found, [(0, 64 << 20, false), ((64 << 20) + 1, 2, true)]);
        assert!(memory <= limit + 3 * CHUNK_BYTES, "{memory} bytes");
    }

    proptest! {
        #[test]
        fn the_pieces_of_a_file_do_not_matter(
            content in "[ab\\x00\\r\\n]{0,60}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = content.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            prop_assert_eq!(lines(8, &pieces, true), lines(8, &[bytes], true));
        }

        #[test]
        fn reading_goes_on_at_any_position(content in "[ab\\n]{0,60}", stop in 0usize..20) {
            let whole = lines(8, &[content.as_bytes()], false);
            let mut reader = LineReader::new(8, 0);
            let mut rest = content.as_bytes();
            let mut first = 0;
            while reader.fill(&mut rest).unwrap() > 0 {
                while first < stop && reader.next_line().is_some() {
                    first += 1;
                }
            }
            let at = reader.position();
            let mut again = LineReader::new(8, at);
            let mut rest = &content.as_bytes()[at as usize..];
            let mut second = 0;
            while again.fill(&mut rest).unwrap() > 0 {
                while again.next_line().is_some() {
                    second += 1;
                }
            }
            prop_assert_eq!(first + second, whole.len());
        }
    }
}
