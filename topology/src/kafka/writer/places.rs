//! Where outputs go, and whether anything of an earlier producer is still open there.

use crate::kafka::Cluster;
use crate::log::{LogError, place};
use crate::record::Output;
use crate::topic::Topic;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Names on the broker and partition counts of the topics that a writer has written to.
#[derive(Default)]
pub(super) struct Places(BTreeMap<Topic, (String, u32)>);

impl Places {
    /// Partition of every output. Nothing has begun yet when one cannot be written.
    pub(super) fn of(&mut self, cluster: &Cluster, outputs: &[Output]) -> Result<Vec<u32>, LogError> {
        for output in outputs {
            if let Entry::Vacant(unknown) = self.0.entry(output.topic) {
                let name = cluster.config.topic_name(output.topic);
                unknown.insert((name, cluster.partitions(output.topic)?));
            }
        }
        let count = |output: &Output| self.0.get(&output.topic).map_or(0, |(_, count)| *count);
        outputs.iter().map(|output| place(output, count(output))).collect()
    }

    /// The topic's name on the broker; empty for one that nothing was placed in.
    pub(super) fn name(&self, topic: Topic) -> &str {
        self.0.get(&topic).map_or("", |(name, _)| name)
    }
}

/// Partitions in which nothing of an earlier producer of an id is open any more.
#[derive(Default)]
pub(super) struct Settled(BTreeSet<(Topic, u32)>);

impl Settled {
    /// Waits until nothing is open in any of these places that was open when it was first asked of.
    pub(super) fn wait_for(
        &mut self,
        cluster: &Cluster,
        outputs: &[Output],
        placed: &[u32],
    ) -> Result<(), LogError> {
        for unsettled in self.missing(outputs, placed) {
            cluster.settled(unsettled.0, unsettled.1)?;
            self.0.insert(unsettled);
        }
        Ok(())
    }

    /// The places of these outputs that are not known to be settled.
    pub(super) fn missing(&self, outputs: &[Output], placed: &[u32]) -> BTreeSet<(Topic, u32)> {
        let places = outputs.iter().zip(placed).map(|(output, partition)| (output.topic, *partition));
        places.filter(|place| !self.0.contains(place)).collect()
    }

    /// Notes that a place is settled.
    pub(super) fn note(&mut self, place: (Topic, u32)) {
        self.0.insert(place);
    }
}
