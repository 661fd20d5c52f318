//! Commits epochs under a transactional id.
//!
//! A writer that runs under no membership has a producer of its own ([`OwnWriter`]). The writers of a member
//! share one ([`shared`]), so that what a process commits does not cost more the more partitions it owns.

mod deliveries;
mod places;
mod producer;
pub(super) mod shared;
mod transaction;

use super::Cluster;
use crate::log::{Commit, LogError, Writer};
use deliveries::Deliveries;
use places::{Places, Settled};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;
use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;
use transaction::Transaction;

/// The only producer of its transactional id, and a group of the writer's own name, which has no members.
pub(super) struct OwnWriter {
    name: String,
    cluster: Arc<Cluster>,
    /// The group's client, which is made when it is needed.
    group: OnceCell<BaseConsumer>,
    places: Places,
    settled: Settled,
    /// The producer, or why there is none any more.
    producer: Result<BaseProducer<Deliveries>, LogError>,
}

impl OwnWriter {
    pub(super) fn open(cluster: Arc<Cluster>, name: &str) -> Result<Self, LogError> {
        let id = format!("{}weir-{name}", cluster.config.prefix);
        let producer = producer::open(&cluster, name, &id)?;
        Ok(Self {
            name: name.to_owned(),
            cluster,
            group: OnceCell::new(),
            places: Places::default(),
            settled: Settled::default(),
            producer: Ok(producer),
        })
    }

    fn group_metadata(&self) -> Result<ConsumerGroupMetadata, transaction::Failed> {
        let failed = |error: KafkaError| transaction::Failed::abortable(error.to_string());
        if self.group.get().is_none() {
            let config = self.cluster.config.own_group(&self.name);
            let config = config.map_err(|error| transaction::Failed::abortable(error.to_string()))?;
            let _ = self.group.set(config.create().map_err(failed)?);
        }
        let client = self.group.get();
        // Its queue is polled nowhere else.
        while client.and_then(|client| client.poll(Duration::ZERO)).is_some() {}
        client.and_then(Consumer::group_metadata).ok_or_else(|| {
            transaction::Failed::abortable("the client of the writer's group gives no metadata".into())
        })
    }

    fn run(
        &self,
        producer: &BaseProducer<Deliveries>,
        commit: &Commit,
        placed: &[u32],
    ) -> Result<(), LogError> {
        let transaction = Transaction { cluster: &self.cluster, writer: &self.name, producer };
        transaction.begin()?;
        let filled = transaction
            .send_all(&self.places, &commit.outputs, placed)
            .and_then(|()| transaction.drain())
            .and_then(|()| {
                let positions = commit.positions.iter().copied();
                transaction.send_offsets(positions, "", &|| self.group_metadata())
            });
        match filled {
            Ok(()) => transaction.finish(),
            Err(failed) => Err(transaction.abort(failed)),
        }
    }
}

impl Writer for OwnWriter {
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        if let Err(gone) = &self.producer {
            return Err(gone.clone());
        }
        if commit.outputs.is_empty() && commit.positions.is_empty() {
            return Ok(());
        }
        let placed = self.places.of(&self.cluster, &commit.outputs)?;
        self.settled.wait_for(&self.cluster, &commit.outputs, &placed)?;
        let Ok(producer) = &self.producer else { return Ok(()) };
        let outcome = self.run(producer, commit, &placed);
        match &outcome {
            Ok(()) | Err(LogError::Aborted { .. }) => {}
            // Its producer is destroyed: nothing of it may reach the broker any more.
            Err(gone) => self.producer = Err(gone.clone()),
        }
        outcome
    }
}
