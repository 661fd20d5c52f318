//! Topics, their keys, partitions and retention, as data that code and operators both read.

use std::fmt;
use std::time::Duration;

/// Every topic of Weir.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// What collectors saw.
    Events,
    /// Who stands behind an account, sealed for the enforcer.
    Identities,
    /// Accounts seen with values that accounts can share.
    Links,
    /// What is known of a shared value, told to one account.
    Clusters,
    /// Judgements.
    Verdicts,
    /// What each judged account shares with which others, and its own evidence.
    Members,
    /// Campaigns: who belongs together.
    Campaigns,
    /// What the enforcer decided, and what became of it.
    Actions,
    /// What executors say of the actions that they were to carry out.
    Outcomes,
    /// How each account stands now.
    Standing,
    /// The audit chains.
    Audit,
    /// Operators' words to all stages.
    Control,
    /// What each task folded and emitted, epoch by epoch.
    Epochs,
    /// State of the account stage as of one epoch each, for as long as events are kept.
    Checkpoints,
    /// State of the account stage.
    StateAccount,
    /// State of the cluster stage.
    StateCluster,
    /// State of the campaign stage.
    StateCampaign,
    /// State of the enforcer.
    StateEnforcer,
    /// How far each collector has read its sources.
    StateCollector,
    /// How far each destination outside has taken what it is told.
    StateExport,
    /// Records that could not be used.
    Dlq,
}

/// What the key of a topic's records is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Account id, 32 hex digits.
    Account,
    /// Kind and hash of a shared value, `PAYMENT/0123…`.
    LinkValue,
    /// Campaign id, 32 hex digits.
    Campaign,
    /// Tenant.
    Tenant,
    /// Name of the setting.
    Name,
    /// Stage and partition, `account/3`.
    Task,
    /// A collector's source.
    Source,
    /// Whatever the refused record had.
    AsItCame,
}

/// What a log may forget. A topic is a history or a table, never both: what is written several times under
/// one key, and must all be there, is a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// A history: records older than the retention.
    Delete(Duration),
    /// A table: all but the latest record of each key.
    Compact(LatestSuffices),
    /// A table, and what is older than the retention.
    CompactAndDelete(Duration, LatestSuffices),
}

/// What makes the latest record of a key sufficient: why nobody misses the ones before it. A topic of which
/// this cannot be said must not be compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatestSuffices(pub &'static str);

impl Cleanup {
    /// After what time records go; none where they do not go by age.
    pub const fn retention(self) -> Option<Duration> {
        match self {
            Self::Delete(retention) | Self::CompactAndDelete(retention, _) => Some(retention),
            Self::Compact(_) => None,
        }
    }

    /// What makes the latest record of a key sufficient; none for a history.
    pub const fn latest_suffices(self) -> Option<&'static str> {
        match self {
            Self::Compact(why) | Self::CompactAndDelete(_, why) => Some(why.0),
            Self::Delete(_) => None,
        }
    }
}

/// How a topic's partitions are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partitions {
    /// One, which every task reads.
    One,
    /// One, which the only task of its stage owns: what is in it is one order.
    Sole,
    /// The deployment's partition count, the same for every topic that says so: a task owns one
    /// partition number of each of its topics.
    Shared,
}

/// One topic's line in the topology.
#[derive(Debug, Clone, Copy)]
pub struct TopicSpec {
    /// Name on the broker.
    pub name: &'static str,
    /// What its keys are.
    pub key: KeyKind,
    /// What may be forgotten.
    pub cleanup: Cleanup,
    /// How its partitions are counted.
    pub partitions: Partitions,
    /// Who writes it.
    pub written_by: &'static [&'static str],
    /// Who reads it.
    pub read_by: &'static [&'static str],
}

const STATE: LatestSuffices = LatestSuffices("an entry is the whole state of its key, or its end");
const STANDING: LatestSuffices =
    LatestSuffices("it says all of how the account stands, or that nothing is to be said of it any more");
const IDENTITIES: LatestSuffices =
    LatestSuffices("it is the whole identity, and is announced again daily while the account is seen");
const CURSORS: LatestSuffices = LatestSuffices("a position takes the place of the one before");

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
}

/// How long a table keeps the word that a key has ended: whoever follows it and was away for less has missed
/// none.
pub const TOMBSTONE_KEPT: Duration = days(1);

/// A hundred years. Operators' words are few, and an epoch that folded one cannot be folded again
/// without it: compaction would take the policies away that old verdicts were judged by.
const FOREVER: Duration = days(36_500);

impl Topic {
    /// Every topic.
    pub const ALL: &'static [Self] = &[
        Self::Events,
        Self::Identities,
        Self::Links,
        Self::Clusters,
        Self::Verdicts,
        Self::Members,
        Self::Campaigns,
        Self::Actions,
        Self::Outcomes,
        Self::Standing,
        Self::Audit,
        Self::Control,
        Self::Epochs,
        Self::Checkpoints,
        Self::StateAccount,
        Self::StateCluster,
        Self::StateCampaign,
        Self::StateEnforcer,
        Self::StateCollector,
        Self::StateExport,
        Self::Dlq,
    ];

    /// The topic's line in the topology.
    pub const fn spec(self) -> TopicSpec {
        use Cleanup::{Compact, CompactAndDelete, Delete};
        use KeyKind::*;
        use Partitions::{One, Shared, Sole};
        macro_rules! spec {
            ($name:literal, $key:expr, $cleanup:expr, $partitions:expr, $written_by:expr => $read_by:expr) => {
                TopicSpec {
                    name: $name,
                    key: $key,
                    cleanup: $cleanup,
                    partitions: $partitions,
                    written_by: &$written_by,
                    read_by: &$read_by,
                }
            };
        }
        match self {
            Self::Events => {
                spec!("weir.events", Account, Delete(days(7)), Shared, ["collector"] => ["account", "replay"])
            }
            Self::Identities => {
                spec!("weir.identities", Account, CompactAndDelete(days(90), IDENTITIES), Shared, ["collector", "enforcer"] => ["enforcer"])
            }
            Self::Links => {
                spec!("weir.links", LinkValue, Delete(days(3)), Shared, ["account"] => ["cluster"])
            }
            Self::Clusters => {
                spec!("weir.clusters", Account, Delete(days(7)), Shared, ["cluster"] => ["account"])
            }
            Self::Verdicts => {
                spec!("weir.verdicts", Account, Delete(days(90)), Shared, ["account"] => ["enforcer", "exporter", "console"])
            }
            Self::Members => {
                spec!("weir.members", Account, Delete(days(7)), Sole, ["account"] => ["campaign"])
            }
            Self::Campaigns => {
                spec!("weir.campaigns", Campaign, Delete(days(90)), Sole, ["campaign"] => ["enforcer", "exporter", "console"])
            }
            Self::Actions => {
                spec!("weir.actions", Account, Delete(days(90)), Shared, ["enforcer"] => ["executor", "exporter", "gateway", "console"])
            }
            Self::Outcomes => {
                spec!("weir.outcomes", Account, Delete(days(90)), Shared, ["executor"] => ["enforcer", "console"])
            }
            Self::Standing => {
                spec!("weir.standing", Account, Compact(STANDING), Shared, ["enforcer"] => ["gateway", "console"])
            }
            Self::Audit => {
                spec!("weir.audit", Tenant, Delete(days(400)), Shared, ["enforcer"] => ["auditor"])
            }
            Self::Control => {
                spec!("weir.control", Name, Delete(FOREVER), One, ["operator"] => ["account", "cluster", "campaign", "enforcer", "gateway"])
            }
            Self::Epochs => {
                spec!("weir.epochs", Task, Delete(days(90)), Shared, ["account", "cluster", "campaign", "enforcer"] => ["replay"])
            }
            Self::Checkpoints => {
                spec!("weir.checkpoints", Account, Delete(days(8)), Shared, ["account"] => ["replay"])
            }
            Self::StateAccount => {
                spec!("weir.state.account", Account, Compact(STATE), Shared, ["account"] => ["account"])
            }
            Self::StateCluster => {
                spec!("weir.state.cluster", LinkValue, Compact(STATE), Shared, ["cluster"] => ["cluster"])
            }
            Self::StateCampaign => {
                spec!("weir.state.campaign", Account, Compact(STATE), Sole, ["campaign"] => ["campaign"])
            }
            Self::StateEnforcer => {
                spec!("weir.state.enforcer", Account, Compact(STATE), Shared, ["enforcer"] => ["enforcer"])
            }
            Self::StateCollector => {
                spec!("weir.state.collector", Source, Compact(CURSORS), Shared, ["collector"] => ["collector"])
            }
            Self::StateExport => {
                spec!("weir.state.export", Name, Compact(CURSORS), Sole, ["exporter"] => ["exporter"])
            }
            Self::Dlq => {
                spec!("weir.dlq", AsItCame, Delete(days(14)), Shared, ["collector", "account", "cluster", "campaign", "enforcer"] => ["operator"])
            }
        }
    }

    /// Name on the broker.
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// The topic with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|topic| topic.name() == name)
    }

    /// Number of partitions where the deployment's count is `shared`.
    pub const fn partitions(self, shared: u32) -> u32 {
        match self.spec().partitions {
            Partitions::One | Partitions::Sole => 1,
            Partitions::Shared => shared,
        }
    }

    /// Whether every log gives a record's timestamp back as its writer gave it. Of the topics with many
    /// records none does: their payload says when. A log may give its own time there, which on Kafka saves a
    /// header that would cost a quarter of a read. Nor does the one of operators' words: when one was said is
    /// for the log to say.
    pub const fn keeps_time(self) -> bool {
        matches!(
            self,
            Self::Identities
                | Self::Verdicts
                | Self::Campaigns
                | Self::Actions
                | Self::Outcomes
                | Self::Standing
                | Self::Audit
                | Self::Dlq
        )
    }

    /// Whether only the latest record of a key counts.
    pub const fn is_compacted(self) -> bool {
        !matches!(self.spec().cleanup, Cleanup::Delete(_))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What reads and writes the log under a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StageName {
    /// Judges accounts.
    Account,
    /// Judges shared values.
    Cluster,
    /// Assembles campaigns.
    Campaign,
    /// Acts on verdicts.
    Enforcer,
    /// Senses.
    Collector,
}

impl StageName {
    /// Every stage.
    pub const ALL: [Self; 5] =
        [Self::Collector, Self::Account, Self::Cluster, Self::Campaign, Self::Enforcer];

    /// The stages that judge: those of `weir process`.
    pub const JUDGING: [Self; 3] = [Self::Account, Self::Cluster, Self::Campaign];

    /// The stages whose tasks fold what they read: every one but the collector.
    pub const FOLDING: [Self; 4] = [Self::Account, Self::Cluster, Self::Campaign, Self::Enforcer];

    /// Number of tasks of the stage where the deployment's partition count is `shared`: one for each
    /// partition of its last input.
    pub const fn tasks(self, shared: u32) -> u32 {
        match self.inputs() {
            [.., primary] => primary.partitions(shared),
            [] => shared,
        }
    }

    /// The name in topics, metrics and transactional ids.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Cluster => "cluster",
            Self::Campaign => "campaign",
            Self::Enforcer => "enforcer",
            Self::Collector => "collector",
        }
    }

    /// The compacted topic that holds the stage's state.
    pub const fn state_topic(self) -> Topic {
        match self {
            Self::Account => Topic::StateAccount,
            Self::Cluster => Topic::StateCluster,
            Self::Campaign => Topic::StateCampaign,
            Self::Enforcer => Topic::StateEnforcer,
            Self::Collector => Topic::StateCollector,
        }
    }

    /// The topic that holds the stage's [checkpoints](crate::checkpoint), where it keeps any. Only verdicts
    /// are proved by folding what led to them again.
    pub const fn checkpoint_topic(self) -> Option<Topic> {
        match self {
            Self::Account => Some(Topic::Checkpoints),
            Self::Cluster | Self::Campaign | Self::Enforcer | Self::Collector => None,
        }
    }

    /// Whether the stage's epochs know when they are taken. Decisions are folds of what happened; only what
    /// acts on the world needs to know when it acts.
    pub const fn knows_processing_time(self) -> bool {
        matches!(self, Self::Enforcer)
    }

    /// What an epoch reads, in the fixed order in which it folds: control, feedback, events.
    pub const fn inputs(self) -> &'static [Topic] {
        match self {
            Self::Account => &[Topic::Control, Topic::Clusters, Topic::Events],
            Self::Cluster => &[Topic::Control, Topic::Links],
            Self::Campaign => &[Topic::Control, Topic::Members],
            Self::Enforcer => &[Topic::Control, Topic::Outcomes, Topic::Verdicts],
            Self::Collector => &[],
        }
    }

    /// The topics whose records a task of the stage has to know as said before it goes on from another judge:
    /// those that are not said again. Each record of them says its epoch.
    pub const fn said_topics(self) -> &'static [Topic] {
        match self {
            Self::Account => &[Topic::Verdicts],
            Self::Campaign => &[Topic::Campaigns],
            Self::Enforcer => &[Topic::Audit, Topic::Actions],
            Self::Cluster | Self::Collector => &[],
        }
    }

    /// What a step of the stage writes. Its state, checkpoints and epochs are the runner's.
    pub const fn outputs(self) -> &'static [Topic] {
        match self {
            Self::Account => &[Topic::Links, Topic::Verdicts, Topic::Members, Topic::Dlq],
            Self::Cluster => &[Topic::Clusters, Topic::Dlq],
            Self::Campaign => &[Topic::Campaigns, Topic::Dlq],
            Self::Enforcer => &[Topic::Actions, Topic::Standing, Topic::Audit, Topic::Dlq],
            Self::Collector => &[Topic::Events, Topic::Dlq],
        }
    }

    /// The stage with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One stage on one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The stage.
    pub stage: StageName,
    /// The partition number of all its topics.
    pub partition: u32,
}

impl TaskId {
    /// The task of this name, as [`Display`](fmt::Display) gives it.
    pub fn named(name: &str) -> Option<Self> {
        let (stage, partition) = name.split_once('/')?;
        Some(Self { stage: StageName::named(stage)?, partition: partition.parse().ok()? })
    }

    /// Partition of an input: its own, or the only one of a topic that has one.
    pub fn partition_of(self, topic: Topic) -> u32 {
        match topic.spec().partitions {
            Partitions::One | Partitions::Sole => 0,
            Partitions::Shared => self.partition,
        }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stage, self.partition)
    }
}
