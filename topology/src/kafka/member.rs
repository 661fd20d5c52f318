//! What a group has given to its member here: the state that rebalances change, and what writers may ask of
//! it.

use super::connection::ConnectionWatch;
use crate::log::Position;
use crate::topic::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

/// What became of partition numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// They are this member's from now on.
    Assigned(Vec<u32>),
    /// They go to another member as soon as each has been given to
    /// [`Membership::release`](super::Membership::release).
    Revoked(Vec<u32>),
    /// They are no longer this member's: stop their tasks without a commit. Nothing to release.
    Lost(Vec<u32>),
}

/// What a writer knows of the membership that its task runs under.
#[derive(Clone)]
pub(super) struct Member(Weak<BaseConsumer<Group>>);

/// The consumer's context: the state that rebalances change.
pub(super) struct Group {
    pub(super) topic: Topic,
    pub(super) name: String,
    /// The group, without the deployment's prefix.
    pub(super) group: String,
    /// Transactional id of the membership's producer: no other membership, here or elsewhere, ever has it.
    pub(super) producer_id: String,
    pub(super) state: Mutex<State>,
    pub(super) connections: ConnectionWatch,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) owned: BTreeSet<u32>,
    /// What a revocation that is not acknowledged yet takes away, and what of it is still held.
    pub(super) revoking: Option<(Vec<u32>, BTreeSet<u32>)>,
    pub(super) changes: VecDeque<Change>,
    pub(super) failed: Option<KafkaError>,
    pub(super) has_joined: bool,
    pub(super) is_leaving: bool,
}

impl Group {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is made in one go, so a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self, partitions: &[u32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&self.name, *partition as i32);
        }
        list
    }

    pub(super) fn unassign(&self, consumer: &BaseConsumer<Self>, partitions: &[u32]) {
        let outcome = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(&self.list(partitions)),
            _ => consumer.unassign(),
        };
        self.note(outcome);
    }

    fn note(&self, outcome: Result<(), KafkaError>) {
        if let Err(error) = outcome {
            self.lock().failed.get_or_insert(error);
        }
    }
}

impl ClientContext for Group {
    fn error(&self, error: KafkaError, reason: &str) {
        self.connections.error(error, reason);
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let mut partitions: Vec<u32> =
            list.elements().iter().filter_map(|element| element.partition().try_into().ok()).collect();
        partitions.sort_unstable();
        self.lock().has_joined = true;
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // No committed offset is looked up for what is never fetched; that would wait for
            // open transactions.
            self.note(list.set_all_offsets(Offset::End));
            self.note(match consumer.rebalance_protocol() {
                RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
                _ => consumer.assign(list),
            });
            if !partitions.is_empty() {
                self.note(consumer.pause(list));
                let mut state = self.lock();
                state.owned.extend(&partitions);
                state.changes.push_back(Change::Assigned(partitions));
            }
            return;
        }
        let mut state = self.lock();
        if !state.is_leaving && !partitions.is_empty() && !consumer.assignment_lost() {
            state.revoking = Some((partitions.clone(), partitions.iter().copied().collect()));
            state.changes.push_back(Change::Revoked(partitions));
            return;
        }
        state.owned.retain(|partition| !partitions.contains(partition));
        state.revoking = None;
        if !state.is_leaving && !partitions.is_empty() {
            state.changes.push_back(Change::Lost(partitions.clone()));
        }
        drop(state);
        self.unassign(consumer, &partitions);
    }
}

/// A name that nobody else has: process, time and count.
pub(super) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}-{}", std::process::id(), since_1970.as_nanos(), COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Member {
    /// What writers know of this consumer's membership.
    pub(super) fn of(consumer: &Arc<BaseConsumer<Group>>) -> Self {
        Self(Arc::downgrade(consumer))
    }

    /// The group, without the deployment's prefix; none after the membership has ended.
    pub(super) fn group(&self) -> Option<String> {
        Some(self.0.upgrade()?.context().group.clone())
    }

    /// Transactional id of the membership's producer; none after the membership has ended.
    pub(super) fn producer_id(&self) -> Option<String> {
        Some(self.0.upgrade()?.context().producer_id.clone())
    }

    /// Whether the partition number is this member's.
    pub(super) fn owns(&self, partition: u32) -> bool {
        self.0.upgrade().is_some_and(|consumer| {
            consumer.context().lock().owned.contains(&partition) && !consumer.assignment_lost()
        })
    }

    /// The group's metadata, if the member owns the partitions of its topic among `positions`. Taken
    /// under the lock of the rebalance: it is never of a later generation than the ownership.
    pub(super) fn metadata_for(&self, positions: &[Position]) -> Option<ConsumerGroupMetadata> {
        let consumer = self.0.upgrade()?;
        let group = consumer.context();
        let state = group.lock();
        let mut own = positions.iter().filter(|position| position.topic == group.topic);
        if !own.all(|position| state.owned.contains(&position.partition)) || consumer.assignment_lost() {
            return None;
        }
        consumer.group_metadata()
    }
}
