//! Splits bytes into lines in bounded memory.

use super::condense::{Condenser, Cut};
use super::prints::{PrintKey, Prints, WINDOW_BYTES};
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
    /// It is over the limit: what is small of it was kept.
    TooLong {
        /// Offset of its first byte.
        offset: u64,
        /// Its length up to the `\n`.
        length: u64,
        /// What was kept, as a line of its own.
        bytes: &'b [u8],
        /// What was dropped.
        cuts: &'b [Cut],
    },
}

/// Splits what it is fed with into lines: at `\n`, with or without `\r` before it. Empty lines are
/// skipped, and so are NUL bytes at the start of a line, which a truncated file is filled up with when
/// its writer does not append.
///
/// It holds at most one line of the limit, what is kept of one that is longer, one chunk, and the
/// [window](WINDOW_BYTES) before them.
pub struct LineReader {
    limit: usize,
    key: PrintKey,
    prints: Prints,
    buffer: Vec<u8>,
    /// Where the bytes begin that the last [`Self::fill`] read.
    filled_from: usize,
    /// The bytes from `start` to `end` are read and not consumed; up to `scanned` they have no line
    /// break.
    start: usize,
    scanned: usize,
    end: usize,
    /// Offset in the file of the byte at `start`.
    offset: u64,
    /// Offset and length so far of a line over the limit, whose end is not yet found.
    skipping: Option<(u64, u64)>,
    /// Print of the window before that line.
    skipping_last: u64,
    /// Keeps what is small of such a line.
    condenser: Condenser,
    /// There will be no more bytes, so that the last line needs no line break.
    is_finished: bool,
    /// Line breaks that were passed.
    breaks: u64,
    /// Offset of the last line that was given, and its place in the buffer.
    given: (u64, usize),
}

/// What a part of the buffer turned out to be.
enum Found {
    Text(u64, usize, usize),
    TooLong(u64, u64),
}

impl LineReader {
    /// A reader of lines of at most `limit` bytes, from the beginning of a file.
    pub fn new(limit: usize, key: PrintKey) -> Self {
        Self {
            limit,
            key,
            prints: Prints::default(),
            buffer: Vec::new(),
            filled_from: 0,
            start: 0,
            scanned: 0,
            end: 0,
            offset: 0,
            skipping: None,
            skipping_last: 0,
            condenser: Condenser::new(limit),
            is_finished: false,
            breaks: 0,
            given: (0, 0),
        }
    }

    /// Forgets everything and goes on in a file at `offset`: up to there it left these prints, and `before`
    /// are the bytes of the window that ends there.
    pub fn reset(&mut self, offset: u64, prints: Prints, before: &[u8]) {
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.len() < before.len() {
            buffer.resize(before.len(), 0);
        }
        buffer[..before.len()].copy_from_slice(before);
        let at = before.len();
        *self = Self {
            buffer,
            prints,
            offset,
            filled_from: at,
            start: at,
            scanned: at,
            end: at,
            ..Self::new(self.limit, self.key.clone())
        };
    }

    /// What the file left up to [`Self::position`].
    pub fn prints(&self) -> Prints {
        let last = if self.skipping.is_some() { self.skipping_last } else { self.last_print() };
        self.prints.up_to(self.position(), last)
    }

    fn last_print(&self) -> u64 {
        self.print_before(self.start)
    }

    fn print_before(&self, at: usize) -> u64 {
        self.key.print(&self.buffer[at.saturating_sub(WINDOW_BYTES)..at])
    }

    /// Offset before the last line that was given, and what the file left up to there; as long as nothing was
    /// read after it.
    pub fn before_last(&self) -> (u64, Prints) {
        let (offset, from) = self.given;
        (offset, self.prints.up_to(offset, self.print_before(from)))
    }

    /// Offset at which the last [`Self::fill`] began to read, and the bytes of the window before it: a file
    /// that does not have them any more was truncated meanwhile.
    pub fn before_fill(&self) -> (u64, &[u8]) {
        let offset = self.read_offset() - (self.end - self.filled_from) as u64;
        (offset, &self.buffer[self.filled_from.saturating_sub(WINDOW_BYTES)..self.filled_from])
    }

    /// Offset after the last line that was given: where to go on after a crash.
    pub fn position(&self) -> u64 {
        self.skipping.map_or(self.offset, |(offset, _)| offset)
    }

    /// Line breaks that were passed: after a line was given, its number, unless it is the last and has none.
    pub fn breaks(&self) -> u64 {
        self.breaks
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
        self.buffer.capacity() + self.condenser.memory()
    }

    /// Says that there will be no more bytes: the last line counts without its line break.
    pub fn finish(&mut self) {
        self.is_finished = true;
    }

    /// Reads a chunk; 0 at the end.
    pub fn fill(&mut self, source: &mut dyn Read) -> io::Result<usize> {
        // The window before the position stays, because prints are taken of it.
        let gone = self.start.saturating_sub(WINDOW_BYTES);
        if gone > 0 {
            self.buffer.copy_within(gone..self.end, 0);
            self.scanned -= gone;
            self.end -= gone;
            self.start -= gone;
        }
        self.filled_from = self.end;
        let wanted = self.end + CHUNK_BYTES;
        if self.buffer.len() < wanted {
            self.buffer.reserve_exact(wanted - self.buffer.len());
            self.buffer.resize(wanted, 0);
        }
        loop {
            match source.read(&mut self.buffer[self.end..wanted]) {
                Ok(count) => {
                    let from = self.read_offset();
                    self.end += count;
                    self.is_finished &= count == 0;
                    self.prints.take(&self.key, from, from + count as u64, &self.buffer[..self.end]);
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
            Found::Text(offset, from, to) => {
                self.given = (offset, from);
                Some(Line::Text { offset, bytes: &self.buffer[from..to] })
            }
            Found::TooLong(offset, length) => {
                let (bytes, cuts) = self.condenser.line();
                Some(Line::TooLong { offset, length, bytes, cuts })
            }
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
            self.breaks += 1;
            if let Some((offset, length)) = skipped {
                return Some(self.too_long(offset, length, from, to));
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
            if self.is_finished {
                self.skipping = None;
                return Some(self.too_long(offset, length, from, from + held));
            }
            self.condenser.push(&self.buffer[from..from + held]);
            self.skipping = Some((offset, length + held as u64));
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
            self.skipping_last = self.last_print();
            self.consume(held);
            self.condenser.start();
            self.condenser.push(&self.buffer[from..from + held]);
            self.skipping = Some((offset, held as u64));
        }
        None
    }

    /// The end of a line that is over the limit.
    fn too_long(&mut self, offset: u64, before: u64, from: usize, to: usize) -> Found {
        self.condenser.push(&self.buffer[from..to]);
        self.condenser.finish();
        Found::TooLong(offset, before + (to - from) as u64)
    }

    fn line(&mut self, offset: u64, from: usize, end: usize) -> Option<Found> {
        let mut to = end;
        if to > from && self.buffer[to - 1] == b'\r' {
            to -= 1;
        }
        if to - from > self.limit {
            self.condenser.start();
            return Some(self.too_long(offset, 0, from, end));
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
    use crate::limits::CONDENSED_BYTES_MAX;
    use crate::privacy::Pseudonymizer;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn key() -> PrintKey {
        PrintKey::new(&Pseudonymizer::new([7; 32], 0))
    }

    /// Feeds the pieces one after another and takes all lines after each.
    fn lines(limit: usize, pieces: &[&[u8]], finish: bool) -> Vec<String> {
        let mut reader = LineReader::new(limit, key());
        let mut all = Vec::new();
        let mut take = |reader: &mut LineReader| {
            while let Some(line) = reader.next_line() {
                all.push(match line {
                    Line::Text { offset, bytes } => format!("{offset}:{}", String::from_utf8_lossy(bytes)),
                    Line::TooLong { offset, length, .. } => format!("{offset}:too long {length}"),
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
        let mut reader = LineReader::new(limit, key());
        let mut source = io::repeat(b'x').take(64 << 20).chain(&b"\nok\n"[..]);
        let mut found = Vec::new();
        let mut memory = 0;
        while reader.fill(&mut source).unwrap() > 0 {
            while let Some(line) = reader.next_line() {
                found.push(match line {
                    Line::Text { offset, bytes } => (offset, bytes.len() as u64, true),
                    Line::TooLong { offset, length, .. } => (offset, length, false),
                });
            }
            memory = memory.max(reader.memory());
            assert_eq!(
                reader.position(),
                if found.is_empty() { 0 } else { (64 << 20) + if found.len() == 1 { 1 } else { 4 } }
            );
        }
        assert_eq!(found, [(0, 64 << 20, false), ((64 << 20) + 1, 2, true)]);
        assert!(memory <= limit + CONDENSED_BYTES_MAX + WINDOW_BYTES + 3 * CHUNK_BYTES, "{memory} bytes");
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
            let mut reader = LineReader::new(8, key());
            let mut rest = content.as_bytes();
            let mut first = 0;
            while reader.fill(&mut rest).unwrap() > 0 {
                while first < stop && reader.next_line().is_some() {
                    first += 1;
                }
            }
            let at = reader.position();
            let mut again = LineReader::new(8, key());
            again.reset(at, reader.prints(), &content.as_bytes()[..at as usize]);
            let mut rest = &content.as_bytes()[at as usize..];
            let mut second = 0;
            while again.fill(&mut rest).unwrap() > 0 {
                while again.next_line().is_some() {
                    second += 1;
                }
            }
            prop_assert_eq!(first + second, whole.len());
            // What it left is the same as if it had read on.
            let mut unbroken = LineReader::new(8, key());
            let mut rest = content.as_bytes();
            while unbroken.fill(&mut rest).unwrap() > 0 {
                while unbroken.next_line().is_some() {}
            }
            while reader.next_line().is_some() {}
            prop_assert_eq!(again.prints(), unbroken.prints());
        }
    }
}
