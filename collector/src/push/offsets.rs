//! How far a topic was read, as records of `weir.state.collector`: one a partition, in the same commit as the events. They
//! lie in the partition of the source's key.

use crate::error::CollectorError;
use std::collections::BTreeMap;
use weir_schemas::wire::Wire;
use weir_schemas::{State, StateKind};
use weir_topology::key::partition_of;
use weir_topology::log::{Log, LogError, read_range};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

const TOPIC: Topic = Topic::StateCollector;

/// Version of the encoding, of no other record of the topic.
const FORMAT: i32 = 102;

/// Where a source's records lie.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// No node's name begins with `!`.
    key: String,
    partition: u32,
}

impl Place {
    pub(crate) fn of(log: &dyn Log, source_key: &str) -> Result<Self, LogError> {
        let key = format!("!topic/{source_key}");
        let partition = partition_of(key.as_bytes(), log.partitions(TOPIC)?);
        Ok(Self { key, partition })
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The partition of the topic that a record of this source is about.
    fn partition_of(&self, key: &[u8]) -> Option<i32> {
        let partition = key.strip_prefix(self.key.as_bytes())?.strip_prefix(b"/")?;
        std::str::from_utf8(partition).ok()?.parse().ok()
    }
}

/// The records that say how far a commit reads.
pub(crate) fn records(
    wire: &Wire,
    place: &Place,
    next: &BTreeMap<i32, i64>,
    now_ms: i64,
) -> impl Iterator<Item = Output> {
    next.iter().map(move |(partition, next)| {
        let body = next.to_be_bytes().to_vec();
        let state = State { kind: StateKind::Entry, format: FORMAT, body, ..State::default() };
        let key = format!("{}/{partition}", place.key).into_bytes();
        Output::keyed(TOPIC, key, wire.to_bytes(&state), now_ms).in_partition(place.partition)
    })
}

/// The next offset of each partition that was read.
pub(crate) fn next(log: &dyn Log, place: &Place, wire: &Wire) -> Result<BTreeMap<i32, i64>, CollectorError> {
    let (from, to) = log.bounds(TOPIC, place.partition)?;
    let mut payloads: BTreeMap<i32, Vec<u8>> = BTreeMap::new();
    read_range(log, TOPIC, place.partition, from, to, |records| {
        for record in records.iter() {
            if let (Some(partition), Some(payload)) = (place.partition_of(record.key), record.payload) {
                payloads.insert(partition, payload.to_vec());
            }
        }
        Ok(())
    })?;
    let fault = |reason: String| CollectorError::Position { source_key: place.key.clone(), reason };
    let mut next = BTreeMap::new();
    for (partition, payload) in payloads {
        let state: State = wire.read(&payload).map_err(|error| fault(error.to_string()))?;
        match <[u8; 8]>::try_from(&*state.body) {
            Ok(offset) if state.format == FORMAT => next.insert(partition, i64::from_be_bytes(offset)),
            _ => return Err(fault(format!("it has format {}", state.format))),
        };
    }
    Ok(next)
}
