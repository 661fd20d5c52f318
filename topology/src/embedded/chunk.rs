//! How consecutive records of a partition lie in one value of the store.
//!
//! ```text
//! chunk  = time of the commit i64 | count u32 | record * count
//! record = timestamp i64 | key length u32 | payload length u32 | headers length u32
//!        | key | payload | headers
//! header = name length u16 | name | value length u32 | value
//! ```
//!
//! Everything is little-endian; a payload length of `u32::MAX` is a tombstone. Offsets are not
//! stored: a chunk's records are consecutive from the offset in its key. Checksums are the store's.

use crate::log::LogError;
use crate::record::{Output, Records};

const NO_PAYLOAD: u32 = u32::MAX;
const HEAD_BYTES: usize = 12;
const RECORD_HEAD_BYTES: usize = 20;

/// Size of a record inside a chunk.
pub(super) fn stored_len(output: &Output) -> usize {
    RECORD_HEAD_BYTES + output.bytes_len()
}

/// A chunk that is being filled.
#[derive(Debug)]
pub(super) struct ChunkBuilder {
    bytes: Vec<u8>,
    count: u32,
}

impl ChunkBuilder {
    /// An empty chunk with room for a record of this size.
    pub(super) fn with_room(bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(HEAD_BYTES + bytes);
        buffer.resize(HEAD_BYTES, 0);
        Self { bytes: buffer, count: 0 }
    }

    /// Whether the chunk holds a record and has no room for one more of this size under `bytes_max`.
    pub(super) fn is_full_for(&self, bytes: usize, bytes_max: usize) -> bool {
        self.count > 0 && self.bytes.len() + bytes > bytes_max
    }

    /// Appends a record. Lengths fit: a record is at most [`crate::limits::RECORD_BYTES_MAX`] long.
    pub(super) fn push(&mut self, output: &Output) {
        let payload = output.payload.as_deref();
        let headers: usize = output.headers.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
        self.bytes.extend_from_slice(&output.timestamp_ms.to_le_bytes());
        self.bytes.extend_from_slice(&(output.key.len() as u32).to_le_bytes());
        let length = payload.map_or(NO_PAYLOAD, |payload| payload.len() as u32);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&(headers as u32).to_le_bytes());
        self.bytes.extend_from_slice(&output.key);
        self.bytes.extend_from_slice(payload.unwrap_or_default());
        for (name, value) in &output.headers {
            self.bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            self.bytes.extend_from_slice(value);
        }
        self.count += 1;
    }

    /// The finished chunk and the number of its records.
    pub(super) fn finish(mut self, appended_ms: i64) -> (Vec<u8>, u32) {
        self.bytes[..8].copy_from_slice(&appended_ms.to_le_bytes());
        self.bytes[8..HEAD_BYTES].copy_from_slice(&self.count.to_le_bytes());
        (self.bytes, self.count)
    }
}

/// A chunk as the store gives it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk<'a> {
    /// When it was appended, by this machine's clock.
    pub(super) appended_ms: i64,
    /// Number of its records.
    pub(super) count: u32,
    rest: &'a [u8],
}

/// One record of a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored<'a> {
    timestamp_ms: i64,
    /// Key.
    pub(super) key: &'a [u8],
    payload: Option<&'a [u8]>,
    headers: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Reads a chunk's head.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, LogError> {
        let mut rest = bytes;
        let appended_ms = take_i64(&mut rest)?;
        let count = take_u32(&mut rest)?;
        Ok(Self { appended_ms, count, rest })
    }

    /// The records in order.
    pub(super) fn records(self) -> impl Iterator<Item = Result<Stored<'a>, LogError>> {
        let mut rest = self.rest;
        (0..self.count).map(move |_| Stored::read(&mut rest))
    }
}

impl<'a> Stored<'a> {
    fn read(rest: &mut &'a [u8]) -> Result<Self, LogError> {
        let timestamp_ms = take_i64(rest)?;
        let key = take_u32(rest)?;
        let payload = take_u32(rest)?;
        let headers = take_u32(rest)?;
        let key = take(rest, key as usize)?;
        let payload = if payload == NO_PAYLOAD { None } else { Some(take(rest, payload as usize)?) };
        let headers = take(rest, headers as usize)?;
        Ok(Self { timestamp_ms, key, payload, headers })
    }

    /// Size of key, payload and headers.
    pub(super) fn bytes_len(&self) -> usize {
        self.key.len() + self.payload.map_or(0, <[u8]>::len) + self.headers.len()
    }

    /// Appends a copy of the record.
    pub(super) fn copy_to(&self, offset: i64, into: &mut Records) -> Result<(), LogError> {
        let headers = self.headers()?;
        into.push(offset, self.timestamp_ms, self.key, self.payload, headers);
        Ok(())
    }

    fn headers(&self) -> Result<Vec<(&'a str, &'a [u8])>, LogError> {
        let mut rest = self.headers;
        // Most records have no header, and an empty vector does not allocate.
        let mut headers = Vec::new();
        while !rest.is_empty() {
            let length = take(&mut rest, 2)?;
            let name = take(&mut rest, usize::from(length[0]) | usize::from(length[1]) << 8)?;
            let length = take_u32(&mut rest)?;
            let value = take(&mut rest, length as usize)?;
            headers.push((std::str::from_utf8(name).map_err(|_| damaged())?, value));
        }
        Ok(headers)
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], LogError> {
    let (taken, tail) = rest.split_at_checked(length).ok_or_else(damaged)?;
    *rest = tail;
    Ok(taken)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, LogError> {
    let (taken, tail) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    *rest = tail;
    Ok(u32::from_le_bytes(*taken))
}

fn take_i64(rest: &mut &[u8]) -> Result<i64, LogError> {
    let (taken, tail) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    *rest = tail;
    Ok(i64::from_le_bytes(*taken))
}

fn damaged() -> LogError {
    LogError::Damaged { reason: "a chunk of records ends too early or is not text where it must be".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::Topic;
    use proptest::prelude::*;

    fn output() -> impl Strategy<Value = Output> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
        let header = (proptest::sample::select(vec!["", "weir-label", "é"]), bytes());
        let headers = proptest::collection::vec(header, 0..3);
        (bytes(), proptest::option::of(bytes()), headers, any::<i64>()).prop_map(
            |(key, payload, headers, timestamp_ms)| Output {
                topic: Topic::Events,
                partition: None,
                key,
                payload,
                headers,
                timestamp_ms,
            },
        )
    }

    fn encode(outputs: &[Output]) -> Vec<u8> {
        let mut builder = ChunkBuilder::with_room(0);
        outputs.iter().for_each(|output| builder.push(output));
        builder.finish(77).0
    }

    fn decode(bytes: &[u8]) -> Result<Records, LogError> {
        let mut records = Records::default();
        for (index, record) in Chunk::parse(bytes)?.records().enumerate() {
            record?.copy_to(index as i64, &mut records)?;
        }
        Ok(records)
    }

    proptest! {
        #[test]
        fn what_is_put_into_a_chunk_comes_out(outputs in proptest::collection::vec(output(), 0..8)) {
            let mut expected = Records::default();
            for (index, output) in outputs.iter().enumerate() {
                let headers = output.headers.iter().map(|(name, value)| (*name, value.as_slice()));
                expected.push(index as i64, output.timestamp_ms, &output.key, output.payload.as_deref(), headers);
            }
            let bytes = encode(&outputs);
            prop_assert_eq!(decode(&bytes).unwrap(), expected);
            prop_assert_eq!(Chunk::parse(&bytes).unwrap().appended_ms, 77);
        }

        #[test]
        fn a_chunk_that_was_cut_short_is_refused(outputs in proptest::collection::vec(output(), 1..8), cut in 1usize..200) {
            let bytes = encode(&outputs);
            let end = bytes.len().saturating_sub(cut);
            prop_assert!(decode(&bytes[..end]).is_err());
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
