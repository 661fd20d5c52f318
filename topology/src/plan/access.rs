//! Who may do what on the brokers: for each role of a deployment the topics that it reads and writes, and the
//! names that its groups and transactions begin with. From the stages' own lists, so that no other list can
//! differ from them.

use crate::topic::{StageName, Topic};
use std::collections::BTreeSet;

/// A role with a user of its own on the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// `weir collect` and `weir import`.
    Collector,
    /// `weir process`.
    Processor,
    /// `weir enforce`.
    Enforcer,
    /// `weir decide`.
    Decide,
    /// `weir export`.
    Export,
    /// A person with `weir` in hand: reads everything, and writes operators' words and requeued events.
    Operator,
}

/// What a role may do on the brokers. Names are without the deployment's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Topics that it reads.
    pub reads: BTreeSet<Topic>,
    /// Topics that it writes.
    pub writes: BTreeSet<Topic>,
    /// What the names of its groups and of its transactional ids begin with: a writer under no membership has
    /// a group of its own name.
    pub names: Vec<String>,
}

/// The group of readers of fixed partitions: nobody joins it, and nothing is committed to it.
pub const READERS: &str = "weir-reader";

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] =
        [Self::Collector, Self::Processor, Self::Enforcer, Self::Decide, Self::Export, Self::Operator];

    /// Name of its user.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Processor => "processor",
            Self::Enforcer => "enforcer",
            Self::Decide => "decide",
            Self::Export => "export",
            Self::Operator => "operator",
        }
    }

    /// The stages that it runs.
    const fn stages(self) -> &'static [StageName] {
        match self {
            Self::Collector => &[StageName::Collector],
            Self::Processor => &StageName::JUDGING,
            Self::Enforcer => &[StageName::Enforcer],
            Self::Decide | Self::Export | Self::Operator => &[],
        }
    }

    /// What it reads and writes beside what its stages do.
    const fn beside(self) -> (&'static [Topic], &'static [Topic]) {
        use Topic::*;
        match self {
            Self::Collector => (&[], &[Identities]),
            Self::Processor => (&[], &[]),
            // Its output directory, its executor, the identities that it renews, and the settings that it
            // tells.
            Self::Enforcer => {
                let reads = &[Actions, Audit, Campaigns, Outcomes, Identities, Standing, Verdicts];
                (reads, &[Outcomes, Identities, Control])
            }
            // With early words also what becomes of their verdicts, and what operators said of holds.
            Self::Decide => (&[Actions, Standing], &[]),
            Self::Export => (&[Verdicts, Campaigns, Actions, StateExport], &[StateExport]),
            Self::Operator => (Topic::ALL, &[Control, Events, Dlq]),
        }
    }

    /// The writers that it has under no membership, by what their names begin with.
    const fn writers(self) -> &'static [&'static str] {
        match self {
            Self::Collector => &["collector/", "push/", "topic/", "trace/"],
            Self::Processor => &[],
            Self::Enforcer => &["executor/", "operator/"],
            Self::Decide => &[],
            Self::Export => &["export/"],
            Self::Operator => &["operator/"],
        }
    }

    /// What it may do.
    pub fn access(self) -> Access {
        let (reads, writes) = self.beside();
        let mut reads: BTreeSet<Topic> = reads.iter().copied().collect();
        let mut writes: BTreeSet<Topic> = writes.iter().copied().collect();
        let mut names: Vec<String> = self.writers().iter().map(|name| format!("weir-{name}")).collect();
        // Whether the log answers is asked of this one.
        reads.insert(Topic::Control);
        for &stage in self.stages() {
            let kept = [Some(stage.state_topic()), stage.checkpoint_topic()];
            reads.extend(
                stage.inputs().iter().chain(stage.said_topics()).copied().chain(kept.into_iter().flatten()),
            );
            writes.extend(stage.outputs().iter().copied().chain(kept.into_iter().flatten()));
            if stage != StageName::Collector {
                reads.insert(Topic::Epochs);
                writes.insert(Topic::Epochs);
                // The group of its members, and the tasks' own writers.
                names.push(format!("weir-weir-{stage}"));
                names.push(format!("weir-{stage}/"));
            }
        }
        names.sort();
        Access { reads, writes, names }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who plays a part of the topology's table.
    fn player(part: &str) -> Role {
        match part {
            "collector" => Role::Collector,
            "account" | "cluster" | "campaign" => Role::Processor,
            "enforcer" | "executor" => Role::Enforcer,
            "gateway" => Role::Decide,
            "exporter" => Role::Export,
            "operator" | "replay" | "auditor" | "console" => Role::Operator,
            other => panic!("{other} is played by nobody"),
        }
    }

    #[test]
    fn everybody_may_read_and_write_what_the_topology_says_of_them() {
        for topic in Topic::ALL {
            for part in topic.spec().written_by {
                assert!(player(part).access().writes.contains(topic), "{part} writes {topic}");
            }
            for part in topic.spec().read_by {
                assert!(player(part).access().reads.contains(topic), "{part} reads {topic}");
            }
        }
    }

    #[test]
    fn only_the_enforcer_and_persons_read_identities_and_only_the_enforcer_writes_the_audit_chain() {
        let who = |may: fn(&Access) -> bool| -> Vec<&str> {
            Role::ALL.iter().filter(|role| may(&role.access())).map(|role| role.as_str()).collect()
        };
        assert_eq!(who(|access| access.reads.contains(&Topic::Identities)), ["enforcer", "operator"]);
        assert_eq!(who(|access| access.writes.contains(&Topic::Audit)), ["enforcer"]);
        assert_eq!(who(|access| access.writes.contains(&Topic::Verdicts)), ["processor"]);
        assert_eq!(who(|access| access.writes.contains(&Topic::Control)), ["enforcer", "operator"]);
    }

    #[test]
    fn nobody_may_take_another_roles_names_but_the_enforcer_who_tells_settings_as_operators_do() {
        for one in Role::ALL {
            for other in Role::ALL.into_iter().filter(|other| *other != one) {
                for name in one.access().names {
                    for theirs in other.access().names {
                        let is_shared = name.starts_with(&theirs);
                        assert!(!is_shared || name == "weir-operator/", "{one:?} and {other:?}: {name}");
                    }
                }
            }
        }
    }
}
