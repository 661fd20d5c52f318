//! A stage's tasks on Kafka: the partitions that fall to this process, drained before they go.

use crate::lag::is_open;
use anyhow::Result;
use std::time::{Duration, Instant};
use weir_topology::kafka::{Change, KafkaConfig, KafkaLog, Membership};
use weir_topology::limits::DRAIN_MAX;
use weir_topology::log::Log as _;
use weir_topology::stage::StageFactory;
use weir_topology::task::Surroundings;
use weir_topology::topic::{StageName, TaskId, Topic};
use weir_topology::worker::Worker;

/// One stage's membership and its tasks here.
pub struct Fleet {
    stage: StageName,
    membership: Membership,
    worker: Worker,
    holds_standbys: bool,
    joined: Instant,
}

/// How long a member waits for the only task of its stage before it takes it that another has it.
const SPARE_WAIT: Duration = Duration::from_secs(10);

impl Fleet {
    /// Joins the group of `stage`. Its primary topic is the last of its inputs. With `standby` the state
    /// of the partitions that fall to others is held here too.
    pub fn join(
        stage: StageName,
        config: &KafkaConfig,
        log: &KafkaLog,
        around: &Surroundings,
        make_stage: StageFactory,
        standby: bool,
    ) -> Result<Self> {
        let primary = stage.inputs().last().copied().unwrap_or(Topic::Events);
        // A member waits for brokers for ever. At the start it is told when they are not to be had, and why.
        let partitions = log.partitions(primary)?;
        let membership = Membership::join(config, &format!("weir-{stage}"), primary)?;
        let mut around = around.clone();
        around.log = std::sync::Arc::new(log.for_member(&membership));
        let mut worker = Worker::new(around, make_stage);
        if standby {
            worker.keep_warm((0..partitions).map(|partition| TaskId { stage, partition }));
        }
        Ok(Self { stage, membership, worker, holds_standbys: standby, joined: Instant::now() })
    }

    /// Takes up and lets go what the group says, and reports a task that failed.
    pub fn tend(&mut self, wait: Duration) -> Result<()> {
        for change in self.membership.poll(wait)? {
            match change {
                Change::Assigned(partitions) => {
                    self.tasks(&partitions).into_iter().for_each(|id| self.worker.start(id));
                }
                Change::Revoked(partitions) => {
                    // Drained and committed while the partitions are still ours. One that is being opened
                    // must not hold up the group.
                    let stopped = self.worker.stop(&self.tasks(&partitions), DRAIN_MAX);
                    self.membership.release(&partitions);
                    stopped?;
                }
                Change::Lost(partitions) => self.worker.abandon(&self.tasks(&partitions)),
            }
        }
        self.worker.check()?;
        // A task that was fenced while the group still says that the partition is ours is taken up
        // again: whoever fenced it was not its owner.
        for id in self.tasks(&self.membership.owned()) {
            self.worker.start(id);
        }
        Ok(())
    }

    /// Whether the stage has one task, and another process has it.
    pub fn is_spare(&self) -> bool {
        let is_sole = self.stage.tasks(u32::MAX) == 1;
        is_sole && self.membership.owned().is_empty() && self.joined.elapsed() >= SPARE_WAIT
    }

    /// Whether every partition that fell to this process has a task that has opened it. Where none has fallen
    /// to it yet, only a standby has something to do, and whoever does without the only task of a stage.
    pub fn is_open(&self) -> bool {
        match self.membership.owned().len() {
            0 => self.holds_standbys || self.is_spare(),
            owned => self.worker.statuses().count() == owned && is_open(&self.worker),
        }
    }

    /// The partitions that are this process's now.
    pub fn owned(&self) -> Vec<u32> {
        self.membership.owned()
    }

    /// The tasks here.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Drains, commits and leaves the group.
    pub fn leave(mut self) -> Result<()> {
        Ok(self.worker.stop_all()?)
    }

    fn tasks(&self, partitions: &[u32]) -> Vec<TaskId> {
        partitions.iter().map(|partition| TaskId { stage: self.stage, partition: *partition }).collect()
    }
}
