//! Who owns which partition number: membership in the stage's consumer group.
//!
//! One consumer subscribes to the stage's primary topic and fetches nothing of it: its partitions
//! are paused. A revocation is not acknowledged until the owner says that it has let go, so that
//! its tasks drain and commit while the partitions are still theirs; meanwhile the consumer is
//! polled on and stays a member. A member that was cut off loses its partitions instead:
//! others may have them already, and there is nothing to drain.

use super::Cluster;
use super::config::{GroupProtocol, KafkaConfig, refused};
use super::connection::ConnectionWatch;
use super::errors::{is_permanent, unanswered, unavailable};
use super::member::{Change, Group, Member, unique};
use super::writer::shared::SharedProducer;
use crate::limits::LEAVE_MAX;
use crate::log::LogError;
use crate::topic::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

/// How long joining waits for the first word of a broker that may not have KIP-848.
const PROTOCOL_WAIT: Duration = Duration::from_secs(5);

/// Pause between looks for events. The client's own wait spins through its last millisecond, so this
/// sleeps and looks without a wait.
const LOOK: Duration = Duration::from_millis(10);

/// One process's membership in a stage's group. Leaves the group when dropped.
pub struct Membership {
    /// None only from when it is dropped.
    consumer: Option<Arc<BaseConsumer<Group>>>,
    protocol: GroupProtocol,
    fetched: AtomicU64,
    /// What the writers of this membership share, once there is one.
    shared: OnceLock<Arc<SharedProducer>>,
}

impl Membership {
    /// Joins `group` for the partitions of `topic`.
    ///
    /// With [`GroupProtocol::Auto`] it waits for the broker's first word, at most a few seconds, and
    /// joins the classic way where the broker has no KIP-848.
    pub fn join(config: &KafkaConfig, group: &str, topic: Topic) -> Result<Self, LogError> {
        let wanted = config.group_protocol;
        if wanted != GroupProtocol::Auto {
            return Self::subscribe(config, group, topic, wanted);
        }
        let membership = Self::subscribe(config, group, topic, GroupProtocol::Consumer)?;
        let deadline = Instant::now() + PROTOCOL_WAIT;
        while !membership.group().lock().has_joined && Instant::now() < deadline {
            match membership.serve() {
                Ok(()) => std::thread::sleep(LOOK),
                Err(error) if is_unsupported(membership.consumer(), &error) => {
                    drop(membership);
                    return Self::subscribe(config, group, topic, GroupProtocol::Classic);
                }
                Err(error) => return Err(membership.failed(&error)),
            }
        }
        Ok(membership)
    }

    fn subscribe(
        config: &KafkaConfig,
        group: &str,
        topic: Topic,
        protocol: GroupProtocol,
    ) -> Result<Self, LogError> {
        let name = config.topic_name(topic);
        let context = Group {
            topic,
            name: name.clone(),
            group: group.to_owned(),
            producer_id: config.group_name(&format!("{group}-{}", unique())),
            state: Mutex::default(),
            connections: ConnectionWatch::default(),
        };
        let consumer: BaseConsumer<Group> =
            config.member(group, protocol)?.create_with_context(context).map_err(refused)?;
        consumer
            .subscribe(&[&name])
            .map_err(|error| unavailable(format_args!("joining the group {group}"), &error))?;
        Ok(Self {
            consumer: Some(Arc::new(consumer)),
            protocol,
            fetched: AtomicU64::new(0),
            shared: OnceLock::new(),
        })
    }

    /// The protocol in use: never [`GroupProtocol::Auto`].
    pub fn protocol(&self) -> GroupProtocol {
        self.protocol
    }

    /// The partition numbers that are this member's now, those being revoked among them.
    pub fn owned(&self) -> Vec<u32> {
        self.group().lock().owned.iter().copied().collect()
    }

    /// Records that were fetched in spite of the pause: work that nobody needs.
    pub fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// Waits for changes, at most `wait`. Call it again within seconds, also while tasks drain: a
    /// member that does not is taken for dead.
    pub fn poll(&self, wait: Duration) -> Result<Vec<Change>, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            self.serve().map_err(|error| self.failed(&error))?;
            self.look_for_loss();
            let changes: Vec<_> = self.group().lock().changes.drain(..).collect();
            let left = deadline.saturating_duration_since(Instant::now());
            if !changes.is_empty() || left.is_zero() {
                return Ok(changes);
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    /// Lets go of partitions that [`Change::Revoked`] named. When the last of them is let go, the
    /// revocation is acknowledged and others may have them. Partitions that are not being revoked
    /// are left alone.
    pub fn release(&self, partitions: &[u32]) {
        let group = self.group();
        let mut state = group.lock();
        let Some((all, held)) = &mut state.revoking else { return };
        held.retain(|partition| !partitions.contains(partition));
        if !held.is_empty() {
            return;
        }
        let all = std::mem::take(all);
        state.revoking = None;
        // From here on no writer of ours commits for them.
        state.owned.retain(|partition| !all.contains(partition));
        drop(state);
        group.unassign(self.consumer(), &all);
    }

    /// Transactional id of the producer that commits for this membership's tasks: no other membership has it.
    pub fn producer_id(&self) -> &str {
        &self.group().producer_id
    }

    /// What the writers of this membership share.
    pub(super) fn shared(&self, cluster: &Arc<Cluster>) -> Arc<SharedProducer> {
        let member = || Member::of(self.consumer());
        self.shared.get_or_init(|| Arc::new(SharedProducer::new(cluster.clone(), member()))).clone()
    }

    fn consumer(&self) -> &Arc<BaseConsumer<Group>> {
        self.consumer.as_ref().expect("a membership has its consumer until it is dropped")
    }

    fn group(&self) -> &Group {
        self.consumer().context()
    }

    /// Serves an event if there is one. A record that was fetched in the moment before the pause is dropped.
    fn serve(&self) -> Result<(), KafkaError> {
        let polled = self.consumer().poll(Duration::ZERO);
        if let Some(error) = self.group().lock().failed.take() {
            return Err(error);
        }
        if let Some((code, _)) = self.consumer().client().fatal_error() {
            return Err(KafkaError::MessageConsumptionFatal(code));
        }
        match polled {
            Some(Ok(_)) => {
                self.fetched.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_permanent) => Err(error),
            // Lost connections and elections mend; a member over its poll interval rejoins.
            _ => Ok(()),
        }
    }

    /// A member may be cut off while it drains: then there is nothing to hand over any more.
    fn look_for_loss(&self) {
        let group = self.group();
        let mut state = group.lock();
        if state.revoking.is_none() || !self.consumer().assignment_lost() {
            return;
        }
        let Some((all, _)) = state.revoking.take() else { return };
        state.owned.retain(|partition| !all.contains(partition));
        state.changes.push_back(Change::Lost(all.clone()));
        drop(state);
        group.unassign(self.consumer(), &all);
    }

    fn failed(&self, error: &KafkaError) -> LogError {
        let said =
            self.consumer().client().fatal_error().map_or_else(String::new, |(_, text)| format!(" ({text})"));
        let failure = self.group().connections.last_failure();
        unanswered(format_args!("as a member of the group{said}"), error, failure.as_ref())
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let group = self.group();
        let mut state = group.lock();
        // The consumer's own drop waits until every revocation is acknowledged.
        state.is_leaving = true;
        state.owned.clear();
        let revoking = state.revoking.take();
        drop(state);
        if let Some((all, _)) = revoking {
            group.unassign(self.consumer(), &all);
        }
        // librdkafka never answers a rebalance that crosses the closing now and then (its issue 4884).
        // Whoever has not left by then is taken for dead by the group.
        let (leaves, has_left) = mpsc::channel::<()>();
        super::end_aside((self.consumer.take(), leaves));
        let _ = has_left.recv_timeout(LEAVE_MAX);
    }
}

fn is_unsupported(consumer: &BaseConsumer<Group>, error: &KafkaError) -> bool {
    let code = consumer.client().fatal_error().map(|(code, _)| code).or_else(|| error.rdkafka_error_code());
    matches!(code, Some(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion))
}
