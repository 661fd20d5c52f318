//! What a source of pushed records took of late, as records of `weir.state.collector`, in the same commit as what it
//! took. They lie in the partition of the source's key.

use super::seen::Seen;
use crate::error::CollectorError;
use std::collections::BTreeMap;
use std::ops::Range;
use weir_schemas::wire::Wire;
use weir_schemas::{State, StateKind};
use weir_topology::key::partition_of;
use weir_topology::log::{Log, LogError, read_range};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

const TOPIC: Topic = Topic::StateCollector;

/// Where a source's records lie.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// No node's name begins with `!`.
    key: String,
    partition: u32,
}

impl Place {
    pub(super) fn of(log: &dyn Log, source_key: &str) -> Result<Self, LogError> {
        let key = format!("!push/{source_key}");
        let partition = partition_of(key.as_bytes(), log.partitions(TOPIC)?);
        Ok(Self { key, partition })
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    fn of_slot(&self, slot: u64) -> Vec<u8> {
        format!("{}/{slot}", self.key).into_bytes()
    }

    /// The slot of a record of this source.
    fn slot_of(&self, key: &[u8]) -> Option<u64> {
        let slot = key.strip_prefix(self.key.as_bytes())?.strip_prefix(b"/")?;
        std::str::from_utf8(slot).ok()?.parse().ok()
    }
}

/// The records of the segments that a commit changes.
pub(super) fn records(
    wire: &Wire,
    place: &Place,
    seen: &Seen,
    changed: Range<u64>,
    now_ms: i64,
) -> impl Iterator<Item = Output> {
    changed.map(move |number| {
        let body = seen.to_bytes(number);
        let state = State { kind: StateKind::Entry, format: Seen::FORMAT, body, ..State::default() };
        let key = place.of_slot(Seen::slot(number));
        Output::keyed(TOPIC, key, wire.to_bytes(&state), now_ms).in_partition(place.partition)
    })
}

/// What the source took of late, as far as it is committed.
pub(super) fn seen(log: &dyn Log, place: &Place, wire: &Wire) -> Result<Seen, CollectorError> {
    let (from, to) = log.bounds(TOPIC, place.partition)?;
    let mut slots: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    read_range(log, TOPIC, place.partition, from, to, |records| {
        for record in records.iter() {
            if let (Some(slot), Some(payload)) = (place.slot_of(record.key), record.payload) {
                slots.insert(slot, payload.to_vec());
            }
        }
        Ok(())
    })?;
    let fault =
        |reason: &str| CollectorError::Position { source_key: place.key.clone(), reason: reason.to_owned() };
    let mut segments = Vec::with_capacity(slots.len());
    for (slot, payload) in slots {
        let state: State = wire.read(&payload).map_err(|error| fault(&error.to_string()))?;
        if state.format != Seen::FORMAT {
            return Err(fault(&format!("it has format {}", state.format)));
        }
        segments.push((slot, state.body));
    }
    Seen::of(segments).ok_or_else(|| fault("its segments do not fit together"))
}
