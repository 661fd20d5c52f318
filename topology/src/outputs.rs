//! What an epoch wrote, in short: how many records to each output topic of its stage, and a digest of them.
//!
//! Topics without a record are told of too, so that a fold that gives a record where none was written is
//! noticed as surely as one that gives none where there was one.

use crate::record::Output;
use crate::topic::{StageName, Topic};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use weir_schemas::{Digest, OutputCount};

/// Counts and digests the records of one topic, in order.
#[derive(Debug, Clone, Default)]
pub struct OutputDigest {
    records: i64,
    sha: Sha256,
}

impl OutputDigest {
    /// Takes a record in: all that every log gives back of it as it was written.
    pub fn add<'a>(
        &mut self,
        key: &[u8],
        payload: Option<&[u8]>,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
        timestamp_ms: i64,
    ) {
        self.records += 1;
        self.part(key);
        self.sha.update([u8::from(payload.is_some())]);
        self.part(payload.unwrap_or_default());
        for (name, value) in headers {
            self.sha.update([1]);
            self.part(name.as_bytes());
            self.part(value);
        }
        self.sha.update([0]);
        self.sha.update(timestamp_ms.to_be_bytes());
    }

    fn part(&mut self, bytes: &[u8]) {
        self.sha.update((bytes.len() as u64).to_be_bytes());
        self.sha.update(bytes);
    }

    /// As an epoch record says it.
    pub fn finish(self, topic: Topic) -> OutputCount {
        let Self { records, sha } = self;
        OutputCount { topic: topic.name().into(), records, digest: Digest(sha.finalize().into()) }
    }
}

/// What a step's outputs come to: every output topic of the stage, in the stage's order. Records to
/// another topic are not in it.
pub fn count_outputs(stage: StageName, outputs: &[Output]) -> Vec<OutputCount> {
    let mut digests: BTreeMap<Topic, OutputDigest> = BTreeMap::new();
    for output in outputs {
        let headers = output.headers.iter().map(|(name, value)| (*name, value.as_slice()));
        let digest = digests.entry(output.topic).or_default();
        digest.add(&output.key, output.payload.as_deref(), headers, output.timestamp_ms);
    }
    let count = |topic: &Topic| digests.remove(topic).unwrap_or_default().finish(*topic);
    stage.outputs().iter().map(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> impl Strategy<Value = Output> {
        let topic = prop::sample::select(vec![Topic::Verdicts, Topic::Links]);
        let headers = prop::collection::vec((prop::sample::select(vec!["a", "ab"]), ".{0,2}"), 0..3);
        let payload = prop::option::of(prop::collection::vec(any::<u8>(), 0..3));
        let key = prop::collection::vec(any::<u8>(), 0..3);
        (topic, key, payload, headers, 0..3i64).prop_map(|(topic, key, payload, headers, timestamp_ms)| {
            let headers = headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
            Output { topic, partition: None, key, payload, headers, timestamp_ms }
        })
    }

    proptest! {
        #[test]
        fn only_the_same_records_in_the_same_order_come_to_the_same(
            one in prop::collection::vec(record(), 0..4),
            other in prop::collection::vec(record(), 0..4),
        ) {
            let of = |outputs: &[Output], topic| {
                outputs.iter().filter(|output| output.topic == topic).cloned().collect::<Vec<_>>()
            };
            let are_same = [Topic::Links, Topic::Verdicts].map(|topic| of(&one, topic) == of(&other, topic));
            let counts = (count_outputs(StageName::Account, &one), count_outputs(StageName::Account, &other));
            prop_assert_eq!(counts.0 == counts.1, are_same == [true, true]);
        }
    }

    #[test]
    fn topics_without_a_record_are_told_of_too() {
        let counts = count_outputs(StageName::Account, &[]);
        let told: Vec<_> = counts.iter().map(|count| (count.topic.as_str(), count.records)).collect();
        assert_eq!(told, [("weir.links", 0), ("weir.verdicts", 0), ("weir.members", 0), ("weir.dlq", 0)]);
    }
}
