//! What a line is known by: a keyed hash of what its source wrote.
//!
//! An event's id is made of the whole line and of how often that same line stood before it, so that a
//! copy of a file gives the same events, and nothing that a client may choose (a request id, say) makes
//! two requests one. Without the key nobody can try whether a line was seen.

use crate::limits::REPEATS_WINDOW_LINES;
use crate::privacy::Pseudonymizer;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use weir_schemas::EventId;
use weir_schemas::keyed::KeyedHash;

/// Keyed hash of a whole line, without its line break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LineHash(pub [u8; 16]);

/// Hashes what sources write, under the pseudonym key.
#[derive(Clone)]
pub struct LineKey {
    line: KeyedHash,
    repeat: KeyedHash,
}

impl LineKey {
    /// The key for lines of logs, whether they are followed or imported: both are the same kind of source.
    pub fn new(keys: &Pseudonymizer) -> Self {
        Self { line: keys.domain("weir.event.log"), repeat: keys.domain("weir.event.log.repeat") }
    }

    /// The hash of a line.
    pub fn hash(&self, line: &[u8]) -> LineHash {
        LineHash(self.line.first_16(&[line]))
    }

    /// What the record of this number, from 0, of a line is known by: the first has the line's own hash.
    pub fn of_record(&self, line: LineHash, number: u32) -> LineHash {
        match number {
            0 => line,
            number => self.hash(&[&line.0[..], &number.to_be_bytes()].concat()),
        }
    }

    /// The id of a line that stood `before` times in its source already.
    pub fn event_id(&self, line: LineHash, before: u32) -> EventId {
        if before == 0 {
            return EventId(line.0);
        }
        EventId(self.repeat.first_16(&[&line.0, &before.to_be_bytes()]))
    }
}

/// Hashes what others push, under the pseudonym key.
#[derive(Clone)]
pub(crate) struct PushKey {
    /// Whole records.
    pub(crate) records: LineKey,
    span: KeyedHash,
    request: KeyedHash,
}

impl PushKey {
    pub(crate) fn new(keys: &Pseudonymizer) -> Self {
        let records =
            LineKey { line: keys.domain("weir.event.push"), repeat: keys.domain("weir.event.push.repeat") };
        Self { records, span: keys.domain("weir.event.span"), request: keys.domain("weir.push.request") }
    }

    /// For a topic's records, which are lines of logs: the same line has the same id wherever it is read.
    pub(crate) fn of_log(keys: &Pseudonymizer) -> Self {
        Self { records: LineKey::new(keys), ..Self::new(keys) }
    }

    /// The id of a span's event: whoever made the span chose its ids, and no client of theirs did.
    pub(crate) fn span(&self, trace: &[u8; 16], span: &[u8; 8]) -> EventId {
        EventId(self.span.first_16(&[trace, span]))
    }

    /// What a whole request is known by.
    pub(crate) fn request(&self, path: &str, body: &[u8]) -> EventId {
        let length = (path.len() as u64).to_be_bytes();
        EventId(self.request.first_16(&[&length, path.as_bytes(), body]))
    }
}

/// Numbers what a tap hears, under the pseudonym key: nobody could hear the same twice.
#[derive(Clone)]
pub(crate) struct TraceKey {
    exchange: KeyedHash,
    run: [u8; 16],
}

impl TraceKey {
    pub(crate) fn new(keys: &Pseudonymizer, run: [u8; 16]) -> Self {
        Self { exchange: keys.domain("weir.event.trace"), run }
    }

    /// The id of the event of the run's exchange of this number.
    pub(crate) fn event_id(&self, number: u64) -> EventId {
        EventId(self.exchange.first_16(&[&self.run, &number.to_be_bytes()]))
    }
}

/// Counts how often the same line stood before, among the last [`REPEATS_WINDOW_LINES`] lines of a source.
/// A line that goes on being repeated within that is counted without end.
#[derive(Debug, Default)]
pub struct Repeats {
    /// The latest lines, oldest first.
    latest: VecDeque<u64>,
    counts: HashMap<u64, Count, BuildHasherDefault<AsItIs>>,
}

#[derive(Debug, Default)]
struct Count {
    /// How often the line was seen.
    seen: u32,
    /// How often it stands among the latest.
    latest: u32,
}

impl Repeats {
    /// How often the line stood before; it is counted from now on.
    pub fn count(&mut self, line: LineHash) -> u32 {
        let line = short(line);
        let count = self.counts.entry(line).or_default();
        let before = count.seen;
        count.seen = before.saturating_add(1);
        count.latest += 1;
        self.latest.push_back(line);
        while self.latest.len() > REPEATS_WINDOW_LINES {
            self.forget_oldest();
        }
        before
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.latest.pop_front() else { return };
        let Some(count) = self.counts.get_mut(&oldest) else { return };
        count.latest -= 1;
        if count.latest == 0 {
            self.counts.remove(&oldest);
        }
    }
}

/// What is a keyed hash already needs none.
#[derive(Debug, Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        let word = |word: &[u8]| word.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        bytes.chunks(8).for_each(|bytes| self.0 ^= word(bytes));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 ^= word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn short(line: LineHash) -> u64 {
    line.0.iter().take(8).fold(0, |short, byte| short << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> LineKey {
        LineKey::new(&Pseudonymizer::new([7; 32], 0))
    }

    #[test]
    fn the_id_is_the_hmac_that_is_documented() {
        let id = |line: &[u8], before| key().event_id(key().hash(line), before).to_string();
        // Computed with Python's hmac over b"\0\0\0\0\0\0\0\x0eweir.event.log" + b"line", and over
        // b"\0\0\0\0\0\0\0\x15weir.event.log.repeat" + that + b"\0\0\0\x02".
        assert_eq!(id(b"line", 0), "80b8a3fb608a881a60af69911911b1f2");
        assert_eq!(id(b"line", 2), "ab4f98837fecefde9a2bcad7b7f7aab5");
    }

    #[test]
    fn every_repetition_of_a_line_is_an_event_of_its_own() {
        let (key, mut repeats) = (key(), Repeats::default());
        let mut ids: Vec<_> = (0..3 * REPEATS_WINDOW_LINES)
            .map(|_| {
                let line = key.hash(b"again");
                key.event_id(line, repeats.count(line))
            })
            .collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 3 * REPEATS_WINDOW_LINES);
    }

    #[test]
    fn a_line_is_forgotten_when_it_was_not_seen_for_a_window() {
        let (key, mut repeats) = (key(), Repeats::default());
        let first = key.hash(b"first");
        assert_eq!((repeats.count(first), repeats.count(first)), (0, 1));
        for index in 0..REPEATS_WINDOW_LINES - 1 {
            repeats.count(key.hash(index.to_string().as_bytes()));
        }
        assert_eq!(repeats.count(first), 2);
        for index in 0..REPEATS_WINDOW_LINES {
            repeats.count(key.hash(index.to_string().as_bytes()));
        }
        assert_eq!(repeats.count(first), 0);
        assert!(repeats.latest.len() <= REPEATS_WINDOW_LINES);
        assert!(repeats.counts.len() <= REPEATS_WINDOW_LINES);
    }
}
