//! What a cluster's topics are to be, and the steps from what they are: data that
//! `weir topology plan | apply | check` print and carry out.
//!
//! A plan never destroys: it creates topics, corrects settings and lengthens retention. What would
//! lose records or move keys is refused, with what to do instead.

pub mod access;
mod diagram;

pub use diagram::{mermaid, table};

use crate::limits::{PARTITIONS_MAX, RECORD_BYTES_MAX};
use crate::topic::{Cleanup, TOMBSTONE_KEPT, Topic};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Topics that are compacted roll their segment after this time: the active one is never compacted,
/// and a restart reads all of it.
const COMPACT_SEGMENT: Duration = Duration::from_secs(3600);

/// Largest segment of a compacted topic, in bytes.
const COMPACT_SEGMENT_BYTES: u64 = 128 << 20;

/// A topic's settings, by Kafka's names.
pub type Settings = BTreeMap<String, String>;

/// How a deployment wants its topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Partitions of every topic that shares the deployment's count.
    pub partitions: u32,
    /// Copies of every partition.
    pub replication: u16,
}

/// A topic as it is on the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Number of partitions.
    pub partitions: u32,
    /// Copies of its first partition.
    pub replication: u16,
    /// Every setting in force, inherited ones too.
    pub settings: Settings,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Create a topic.
    Create {
        /// The topic.
        topic: Topic,
        /// Number of partitions.
        partitions: u32,
        /// Copies of every partition.
        replication: u16,
        /// Settings that differ from the brokers' defaults, or may.
        settings: Settings,
    },
    /// Change one setting of a topic.
    Set {
        /// The topic.
        topic: Topic,
        /// Name of the setting.
        name: String,
        /// Value now; none where the broker does not know it.
        from: Option<String>,
        /// Value to be.
        to: String,
    },
}

/// A difference that no plan removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The topic.
    pub topic: Topic,
    /// What differs, why it stays, and what to do.
    pub reason: String,
}

/// The steps from what is to what is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is to be done, topic by topic.
    pub changes: Vec<Change>,
    /// What differs and is not touched.
    pub refusals: Vec<Refusal>,
}

impl Plan {
    /// Compares `target` with what was found.
    pub fn between(target: &Target, found: &BTreeMap<Topic, Found>) -> Self {
        let mut plan = Self::default();
        for &topic in Topic::ALL {
            match found.get(&topic) {
                Some(found) => plan.compare(topic, target, found),
                None => plan.changes.push(Change::Create {
                    topic,
                    partitions: topic.partitions(target.partitions.clamp(1, PARTITIONS_MAX)),
                    replication: target.replication.max(1),
                    settings: settings(topic, target),
                }),
            }
        }
        plan
    }

    /// Whether the brokers are as wanted.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.refusals.is_empty()
    }

    fn refuse(&mut self, topic: Topic, reason: String) {
        self.refusals.push(Refusal { topic, reason });
    }

    fn compare(&mut self, topic: Topic, target: &Target, found: &Found) {
        let partitions = topic.partitions(target.partitions);
        if found.partitions != partitions {
            self.refuse(
                topic,
                format!(
                    "has {} partitions, {partitions} are wanted: another count moves keys to other \
                     partitions than their history and state; run with --partitions {}, or import into new topics",
                    found.partitions, found.partitions
                ),
            );
        }
        if found.replication != target.replication {
            self.refuse(
                topic,
                format!(
                    "has {} copies, {} are wanted: move it with `kafka-reassign-partitions.sh`",
                    found.replication, target.replication
                ),
            );
        }
        for (name, to) in settings(topic, target) {
            let from = found.settings.get(&name).cloned();
            if from.as_deref().is_some_and(|from| is_same(&name, from, &to)) {
                continue;
            }
            match from.as_deref().and_then(|from| loses_records(&name, from, &to)) {
                Some(reason) => self.refuse(topic, reason),
                None => self.changes.push(Change::Set { topic, name, from, to }),
            }
        }
    }
}

/// Settings of a topic on a broker.
pub fn settings(topic: Topic, target: &Target) -> Settings {
    let spec = topic.spec();
    let mut settings = Settings::new();
    let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
    let (policy, retention) = match spec.cleanup {
        Cleanup::Delete(retention) => ("delete", Some(retention)),
        Cleanup::Compact(_) => ("compact", None),
        Cleanup::CompactAndDelete(retention, _) => ("compact,delete", Some(retention)),
    };
    set("cleanup.policy", policy.into());
    if let Some(retention) = retention {
        set("retention.ms", retention.as_millis().to_string());
    }
    if topic.is_compacted() {
        set("min.cleanable.dirty.ratio", "0.1".into());
        set("delete.retention.ms", TOMBSTONE_KEPT.as_millis().to_string());
        set("segment.ms", COMPACT_SEGMENT.as_millis().to_string());
        set("segment.bytes", COMPACT_SEGMENT_BYTES.to_string());
    }
    // Retention counts from when a record was written: by event time, an import of old events would
    // be deleted at once, and one event from the future would keep its segment for ever.
    set("message.timestamp.type", "LogAppendTime".into());
    set("max.message.bytes", (RECORD_BYTES_MAX + (64 << 10)).to_string());
    set("min.insync.replicas", if target.replication >= 3 { "2" } else { "1" }.into());
    set("unclean.leader.election.enable", "false".into());
    settings
}

/// Brokers write the same value in more than one way.
fn is_same(name: &str, a: &str, b: &str) -> bool {
    let sorted = |value: &str| {
        let mut parts: Vec<_> = value.split(',').map(|part| part.trim().to_owned()).collect();
        parts.sort();
        parts
    };
    let numbers = || Some(a.parse::<f64>().ok()? == b.parse::<f64>().ok()?);
    a == b || (name == "cleanup.policy" && sorted(a) == sorted(b)) || numbers() == Some(true)
}

/// Why a change of a setting would lose records, if it would.
fn loses_records(name: &str, from: &str, to: &str) -> Option<String> {
    match name {
        // What compaction takes already is gone either way; what was too old is now kept.
        "cleanup.policy" if is_same(name, from, "compact,delete") && to == "compact" => None,
        "cleanup.policy" => Some(format!(
            "has cleanup.policy {from}, {to} is wanted: the change would let the broker forget records; \
             change it by hand if that is meant"
        )),
        "retention.ms" => {
            let (have, want) = (from.parse::<i64>().ok()?, to.parse::<i64>().ok()?);
            // -1 keeps for ever.
            (have < 0 || want < have).then(|| {
                format!(
                    "keeps records for {from} ms, {to} ms are wanted: the change would delete records; \
                     change it by hand if that is meant"
                )
            })
        }
        _ => None,
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "the topics are as they should be");
        }
        for change in &self.changes {
            match change {
                Change::Create { topic, partitions, replication, settings } => {
                    writeln!(f, "+ {topic}  {partitions} partitions, {replication} copies")?;
                    for (name, value) in settings {
                        writeln!(f, "    {name} = {value}")?;
                    }
                }
                Change::Set { topic, name, from, to } => {
                    writeln!(f, "~ {topic}  {name}: {} -> {to}", from.as_deref().unwrap_or("(none)"))?;
                }
            }
        }
        for refusal in &self.refusals {
            writeln!(f, "! {}  {}", refusal.topic, refusal.reason)?;
        }
        writeln!(f, "{} changes, {} refused", self.changes.len(), self.refusals.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const TARGET: Target = Target { partitions: 8, replication: 1 };

    fn as_wanted() -> BTreeMap<Topic, Found> {
        let found = |topic: Topic| Found {
            partitions: topic.partitions(8),
            replication: 1,
            settings: settings(topic, &TARGET),
        };
        Topic::ALL.iter().map(|topic| (*topic, found(*topic))).collect()
    }

    fn check(change: impl FnOnce(&mut BTreeMap<Topic, Found>), expected: Expect) {
        let mut found = as_wanted();
        change(&mut found);
        expected.assert_eq(&Plan::between(&TARGET, &found).to_string());
    }

    fn set(found: &mut BTreeMap<Topic, Found>, topic: Topic, name: &str, value: &str) {
        found.get_mut(&topic).unwrap().settings.insert(name.into(), value.into());
    }

    #[test]
    fn a_cluster_as_wanted_needs_nothing() {
        check(
            |found| set(found, Topic::Identities, "cleanup.policy", "delete, compact"),
            expect![[r#"
                the topics are as they should be
            "#]],
        );
    }

    #[test]
    fn a_missing_topic_is_created_with_every_setting() {
        check(
            |found| {
                found.remove(&Topic::Standing);
            },
            expect![[r#"
                + weir.standing  8 partitions, 1 copies
                    cleanup.policy = compact
                    delete.retention.ms = 86400000
                    max.message.bytes = 1065536
                    message.timestamp.type = LogAppendTime
                    min.cleanable.dirty.ratio = 0.1
                    min.insync.replicas = 1
                    segment.bytes = 134217728
                    segment.ms = 3600000
                    unclean.leader.election.enable = false
                1 changes, 0 refused
            "#]],
        );
    }

    #[test]
    fn a_setting_that_drifted_is_put_back() {
        check(
            |found| {
                set(found, Topic::Events, "message.timestamp.type", "CreateTime");
                set(found, Topic::StateAccount, "min.cleanable.dirty.ratio", "0.5");
                set(found, Topic::Verdicts, "retention.ms", "1000");
            },
            expect![[r#"
                ~ weir.events  message.timestamp.type: CreateTime -> LogAppendTime
                ~ weir.verdicts  retention.ms: 1000 -> 7776000000
                ~ weir.state.account  min.cleanable.dirty.ratio: 0.5 -> 0.1
                3 changes, 0 refused
            "#]],
        );
    }

    #[test]
    fn a_table_that_forgot_by_time_is_made_one_that_does_not() {
        check(
            |found| {
                set(found, Topic::Standing, "cleanup.policy", "compact,delete");
                set(found, Topic::Standing, "retention.ms", "7776000000");
                // The other way round it would forget.
                set(found, Topic::Identities, "cleanup.policy", "compact");
            },
            expect![[r#"
                ~ weir.standing  cleanup.policy: compact,delete -> compact
                ! weir.identities  has cleanup.policy compact, compact,delete is wanted: the change would let the broker forget records; change it by hand if that is meant
                1 changes, 1 refused
            "#]],
        );
    }

    #[test]
    fn what_would_lose_records_or_move_keys_is_refused() {
        check(
            |found| {
                found.get_mut(&Topic::Events).unwrap().partitions = 4;
                found.get_mut(&Topic::Links).unwrap().partitions = 16;
                found.get_mut(&Topic::Dlq).unwrap().replication = 3;
                set(found, Topic::Audit, "retention.ms", "-1");
                set(found, Topic::Clusters, "retention.ms", "999999999999");
                set(found, Topic::StateAccount, "cleanup.policy", "delete");
            },
            expect![[r#"
                ! weir.events  has 4 partitions, 8 are wanted: another count moves keys to other partitions than their history and state; run with --partitions 4, or import into new topics
                ! weir.links  has 16 partitions, 8 are wanted: another count moves keys to other partitions than their history and state; run with --partitions 16, or import into new topics
                ! weir.clusters  keeps records for 999999999999 ms, 604800000 ms are wanted: the change would delete records; change it by hand if that is meant
                ! weir.audit  keeps records for -1 ms, 34560000000 ms are wanted: the change would delete records; change it by hand if that is meant
                ! weir.state.account  has cleanup.policy delete, compact is wanted: the change would let the broker forget records; change it by hand if that is meant
                ! weir.dlq  has 3 copies, 1 are wanted: move it with `kafka-reassign-partitions.sh`
                0 changes, 6 refused
            "#]],
        );
    }
}
