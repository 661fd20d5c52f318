//! Records as they are read from and written to a log.

use crate::topic::Topic;

/// Header that carries an event's evaluation label. It is for scoring a policy afterwards: no stage
/// may read it.
pub const LABEL_HEADER: &str = "weir-label";

/// Header that carries the population of an event's account, where its source says one: like the label, for
/// scoring alone.
pub const POPULATION_HEADER: &str = "weir-population";

/// A batch of records of one partition, in offset order, in one allocation.
///
/// Each record lies as key, payload, headers; a header is a two-byte name length, the name, a
/// four-byte value length, the value (little-endian).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    offset: i64,
    timestamp_ms: i64,
    start: usize,
    key: usize,
    payload: Option<usize>,
    end: usize,
}

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy)]
pub struct RecordRef<'a> {
    /// Offset in its partition.
    pub offset: i64,
    /// Timestamp that its writer gave, in milliseconds since the Unix epoch; the log's own time where the
    /// topic does not [keep time](Topic::keeps_time).
    pub timestamp_ms: i64,
    /// Key; empty where there is none.
    pub key: &'a [u8],
    /// Payload; none for a tombstone.
    pub payload: Option<&'a [u8]>,
    headers: &'a [u8],
}

impl Records {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Size of keys, payloads and headers together.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the records and keeps the allocation.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// Appends a record.
    pub fn push<'h>(
        &mut self,
        offset: i64,
        timestamp_ms: i64,
        key: &[u8],
        payload: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(payload.unwrap_or_default());
        for (name, value) in headers {
            self.bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            self.bytes.extend_from_slice(value);
        }
        self.spans.push(Span {
            offset,
            timestamp_ms,
            start,
            key: key.len(),
            payload: payload.map(<[u8]>::len),
            end: self.bytes.len(),
        });
    }

    /// Appends a copy of a record.
    pub fn push_ref(&mut self, record: RecordRef<'_>) {
        self.push(record.offset, record.timestamp_ms, record.key, record.payload, record.headers());
    }

    /// The record at `index`.
    pub fn get(&self, index: usize) -> Option<RecordRef<'_>> {
        self.spans.get(index).map(|span| self.resolve(span))
    }

    /// The records in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = RecordRef<'_>> + ExactSizeIterator {
        self.spans.iter().map(|span| self.resolve(span))
    }

    fn resolve(&self, span: &Span) -> RecordRef<'_> {
        let (key, rest) = self.bytes[span.start..span.end].split_at(span.key);
        let (payload, headers) = rest.split_at(span.payload.unwrap_or(0));
        RecordRef {
            offset: span.offset,
            timestamp_ms: span.timestamp_ms,
            key,
            payload: span.payload.map(|_| payload),
            headers,
        }
    }
}

impl<'a> RecordRef<'a> {
    /// Name and value of every header.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let mut rest = self.headers;
        std::iter::from_fn(move || {
            let (length, tail) = rest.split_first_chunk::<2>()?;
            let (name, tail) = tail.split_at_checked(u16::from_le_bytes(*length).into())?;
            let (length, tail) = tail.split_first_chunk::<4>()?;
            let (value, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = tail;
            Some((std::str::from_utf8(name).unwrap_or_default(), value))
        })
    }

    /// The value of the header with this name.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Size of key, payload and headers.
    pub fn bytes_len(&self) -> usize {
        self.key.len() + self.payload.map_or(0, <[u8]>::len) + self.headers.len()
    }
}

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where it goes.
    pub topic: Topic,
    /// Its partition; by murmur2 of the key where not given.
    pub partition: Option<u32>,
    /// Its key.
    pub key: Vec<u8>,
    /// Its payload; none deletes the key from a compacted topic.
    pub payload: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// Its timestamp: event time, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

impl Output {
    /// A record whose key decides its partition.
    pub fn keyed(topic: Topic, key: Vec<u8>, payload: Vec<u8>, timestamp_ms: i64) -> Self {
        Self { topic, partition: None, key, payload: Some(payload), headers: Vec::new(), timestamp_ms }
    }

    /// A record that takes back what a compacted topic has under a key.
    pub fn tombstone(topic: Topic, key: Vec<u8>, timestamp_ms: i64) -> Self {
        Self { payload: None, ..Self::keyed(topic, key, Vec::new(), timestamp_ms) }
    }

    /// The same record in a given partition.
    pub fn in_partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The same record with one more header.
    pub fn with_header(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Size of key, payload and headers.
    pub fn bytes_len(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
        self.key.len() + self.payload.as_ref().map_or(0, Vec::len) + headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_was_pushed() {
        let mut records = Records::default();
        records.push(7, 70, b"key", Some(b"payload"), [("a", &b"1"[..]), ("b", b"")]);
        records.push(9, 90, b"", None, []);
        let first = records.get(0).unwrap();
        assert_eq!((first.offset, first.timestamp_ms, first.key), (7, 70, &b"key"[..]));
        assert_eq!(first.payload, Some(&b"payload"[..]));
        assert_eq!(first.headers().collect::<Vec<_>>(), [("a", &b"1"[..]), ("b", b"")]);
        assert_eq!(first.header("b"), Some(&b""[..]));
        let second = records.get(1).unwrap();
        assert_eq!((second.key, second.payload, second.header("a")), (&b""[..], None, None));
    }
}
