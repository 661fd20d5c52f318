//! The bytes of a batch as it lies in a spool: its counts, its records. What leaves the node leaves it so:
//! accounts are pseudonyms, who they are is sealed, and there are prompts only where the operator keeps text.
//!
//! Numbers are little-endian. Seven counts (8 bytes each), then the number of records (4), then each: topic,
//! as its name; partition (8, -1 where the key decides); time (8); key; payload; number of headers (4), then
//! name and value of each. A text or a value is its length (4) and its bytes; a payload that is none has the
//! length 0xFFFFFFFF.

use super::batch::{Content, Counts};
use weir_topology::record::{LABEL_HEADER, Output, POPULATION_HEADER};
use weir_topology::topic::Topic;

const NO_PAYLOAD: u32 = u32::MAX;

/// The bytes of a batch.
pub(super) fn pack(content: &Content) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.bytes_len() + 64 * content.outputs.len() + 64);
    let Counts { lines, line_bytes, events, mended, unowned, announced, forgotten } = content.counts;
    for count in [lines, line_bytes, events, mended, unowned, announced, forgotten] {
        bytes.extend_from_slice(&count.to_le_bytes());
    }
    bytes.extend_from_slice(&(content.outputs.len() as u32).to_le_bytes());
    for output in &content.outputs {
        put(&mut bytes, output.topic.name().as_bytes());
        bytes.extend_from_slice(&output.partition.map_or(-1, i64::from).to_le_bytes());
        bytes.extend_from_slice(&output.timestamp_ms.to_le_bytes());
        put(&mut bytes, &output.key);
        match &output.payload {
            Some(payload) => put(&mut bytes, payload),
            None => bytes.extend_from_slice(&NO_PAYLOAD.to_le_bytes()),
        }
        bytes.extend_from_slice(&(output.headers.len() as u32).to_le_bytes());
        for (name, value) in &output.headers {
            put(&mut bytes, name.as_bytes());
            put(&mut bytes, value);
        }
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    bytes.extend_from_slice(value);
}

/// The batch of these bytes.
///
/// # Errors
/// What does not fit, where they are not what [`pack`] wrote.
pub(super) fn unpack(bytes: &[u8]) -> Result<Content, &'static str> {
    let mut rest = Rest(bytes);
    let counts = Counts {
        lines: rest.number()?,
        line_bytes: rest.number()?,
        events: rest.number()?,
        mended: rest.number()?,
        unowned: rest.number()?,
        announced: rest.number()?,
        forgotten: rest.number()?,
    };
    let count = rest.length()?;
    let mut outputs = Vec::new();
    for _ in 0..count {
        outputs.push(rest.output()?);
    }
    match rest.0 {
        [] => Ok(Content { outputs, counts }),
        _ => Err("there is something behind its records"),
    }
}

/// What was not read yet.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn output(&mut self) -> Result<Output, &'static str> {
        let topic = std::str::from_utf8(self.value()?).ok().and_then(Topic::named);
        let topic = topic.ok_or("it has a record of a topic that this build does not know")?;
        let partition = match self.number::<i64>()? {
            -1 => None,
            partition => Some(u32::try_from(partition).map_err(|_| "it has a partition out of range")?),
        };
        let timestamp_ms = self.number()?;
        let key = self.value()?.to_vec();
        let payload = match self.length()? {
            NO_PAYLOAD => None,
            length => Some(self.take(length as usize)?.to_vec()),
        };
        let mut headers = Vec::new();
        for _ in 0..self.length()? {
            let name = self.value()?;
            let known = [LABEL_HEADER, POPULATION_HEADER].into_iter().find(|known| known.as_bytes() == name);
            let known = known.ok_or("it has a header that this build does not know")?;
            headers.push((known, self.value()?.to_vec()));
        }
        Ok(Output { topic, partition, key, payload, headers, timestamp_ms })
    }

    fn number<N: Number>(&mut self) -> Result<N, &'static str> {
        let (number, rest) = self.0.split_first_chunk::<8>().ok_or(TORN)?;
        self.0 = rest;
        Ok(N::of(*number))
    }

    fn length(&mut self) -> Result<u32, &'static str> {
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or(TORN)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*length))
    }

    fn value(&mut self) -> Result<&'b [u8], &'static str> {
        let length = self.length()?;
        self.take(length as usize)
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(TORN)?;
        self.0 = rest;
        Ok(taken)
    }
}

const TORN: &str = "it ends too soon";

/// A number of 8 bytes.
trait Number {
    fn of(bytes: [u8; 8]) -> Self;
}

impl Number for u64 {
    fn of(bytes: [u8; 8]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

impl Number for i64 {
    fn of(bytes: [u8; 8]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn output() -> impl Strategy<Value = Output> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40);
        let headers = prop::collection::vec(
            (prop::sample::select(vec![LABEL_HEADER, POPULATION_HEADER]), bytes()),
            0..3,
        );
        let topic = prop::sample::select(Topic::ALL.to_vec());
        let (partition, payload) = (prop::option::of(any::<u32>()), prop::option::of(bytes()));
        (topic, partition, bytes(), payload, headers, any::<i64>()).prop_map(
            |(topic, partition, key, payload, headers, timestamp_ms)| Output {
                topic,
                partition,
                key,
                payload,
                headers,
                timestamp_ms,
            },
        )
    }

    fn content() -> impl Strategy<Value = Content> {
        (prop::collection::vec(output(), 0..6), any::<[u64; 7]>()).prop_map(|(outputs, counts)| {
            let [lines, line_bytes, events, mended, unowned, announced, forgotten] = counts;
            let counts = Counts { lines, line_bytes, events, mended, unowned, announced, forgotten };
            Content { outputs, counts }
        })
    }

    proptest! {
        #[test]
        fn a_batch_is_what_it_was_and_a_part_of_it_is_none(content in content()) {
            let bytes = pack(&content);
            prop_assert_eq!(unpack(&bytes), Ok(content));
            for end in 0..bytes.len() {
                prop_assert!(unpack(&bytes[..end]).is_err());
            }
            prop_assert!(unpack(&[&bytes[..], b"x"].concat()).is_err());
        }

        #[test]
        fn other_bytes_are_no_batch_or_one(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(content) = unpack(&bytes) {
                prop_assert_eq!(pack(&content), bytes);
            }
        }
    }
}
