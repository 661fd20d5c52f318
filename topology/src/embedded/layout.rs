//! The tables of the store and what their keys mean.

use crate::topic::Topic;
use redb::TableDefinition;

/// Version of this layout. A Weir refuses a directory that a newer one wrote.
pub(super) const FORMAT: u64 = 1;

/// Facts about the whole log: [`META_FORMAT`], [`META_PARTITIONS`], [`META_COMMITS`].
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Version of the layout.
pub(super) const META_FORMAT: &str = "format";
/// Number of partitions of the shared topics.
pub(super) const META_PARTITIONS: &str = "partitions";
/// Number of write transactions so far: tells after a failed one whether it happened.
pub(super) const META_COMMITS: &str = "commits";

/// (topic, partition, offset of the first record) → chunk of consecutive records. In a compacted
/// topic every record is a chunk of its own.
pub(super) const CHUNKS: TableDefinition<(u8, u32, i64), &[u8]> = TableDefinition::new("chunks");

/// (topic, partition) → first offset that is kept, offset after the last record.
pub(super) const BOUNDS: TableDefinition<(u8, u32), (i64, i64)> = TableDefinition::new("bounds");

/// Compacted topics: (topic, partition, key) → offset of the key's latest record.
pub(super) const LATEST: TableDefinition<(u8, u32, &[u8]), i64> = TableDefinition::new("latest");

/// Compacted topics: (topic, partition, offset) of every tombstone that is still kept.
pub(super) const TOMBSTONES: TableDefinition<(u8, u32, i64), ()> = TableDefinition::new("tombstones");

/// (writer, topic, partition) → position that the writer committed.
pub(super) const POSITIONS: TableDefinition<(&str, u8, u32), i64> = TableDefinition::new("positions");

/// The number of a topic in keys. Numbers are part of the format: never change or reuse one.
pub(super) const fn code(topic: Topic) -> u8 {
    match topic {
        Topic::Events => 1,
        Topic::Links => 2,
        Topic::Clusters => 3,
        Topic::Verdicts => 4,
        Topic::Actions => 5,
        Topic::Audit => 6,
        Topic::Control => 7,
        Topic::Epochs => 8,
        Topic::StateAccount => 9,
        Topic::StateCluster => 10,
        Topic::StateEnforcer => 11,
        Topic::StateCollector => 12,
        Topic::Dlq => 13,
        Topic::Checkpoints => 14,
        Topic::Identities => 17,
        Topic::Outcomes => 15,
        Topic::Standing => 16,
        Topic::Members => 18,
        Topic::Campaigns => 19,
        Topic::StateCampaign => 20,
        Topic::StateExport => 21,
    }
}

/// The topic with this number.
pub(super) fn topic_of(number: u8) -> Option<Topic> {
    Topic::ALL.iter().copied().find(|topic| code(*topic) == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_a_number_of_its_own() {
        for topic in Topic::ALL {
            assert_eq!(topic_of(code(*topic)), Some(*topic));
        }
    }
}
