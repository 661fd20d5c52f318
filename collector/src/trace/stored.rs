//! Which batch was committed last, as a record of `weir.state.collector` in the same commit: after a commit whose outcome
//! is not known, that tells whether it is there.

use crate::error::CollectorError;
use weir_schemas::wire::Wire;
use weir_schemas::{State, StateKind};
use weir_topology::key::partition_of;
use weir_topology::log::{Log, LogError, read_range};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

const TOPIC: Topic = Topic::StateCollector;

/// Version of the encoding, of no other record of the topic.
const FORMAT: i32 = 103;

/// A batch: of which run of the source, and the how many-th of it, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchId {
    pub(super) run: [u8; 16],
    pub(super) number: u64,
}

/// Where a source's record lies.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// No node's name begins with `!`.
    key: String,
    partition: u32,
}

impl Place {
    pub(super) fn of(log: &dyn Log, source_key: &str) -> Result<Self, LogError> {
        let key = format!("!trace/{source_key}");
        let partition = partition_of(key.as_bytes(), log.partitions(TOPIC)?);
        Ok(Self { key, partition })
    }
}

/// The record that says that a batch is committed.
pub(super) fn record(wire: &Wire, place: &Place, batch: BatchId, now_ms: i64) -> Output {
    let body = [&batch.run[..], &batch.number.to_be_bytes()].concat();
    let state = State { kind: StateKind::Entry, format: FORMAT, body, ..State::default() };
    let key = place.key.clone().into_bytes();
    Output::keyed(TOPIC, key, wire.to_bytes(&state), now_ms).in_partition(place.partition)
}

/// The batch that was committed last.
pub(super) fn last(log: &dyn Log, place: &Place, wire: &Wire) -> Result<Option<BatchId>, CollectorError> {
    let (from, to) = log.bounds(TOPIC, place.partition)?;
    let mut payload = None;
    read_range(log, TOPIC, place.partition, from, to, |records| {
        let mut own = records.iter().filter(|record| record.key == place.key.as_bytes());
        payload = own.next_back().map(|record| record.payload.map(<[u8]>::to_vec)).or(payload.take());
        Ok(())
    })?;
    let Some(payload) = payload.flatten() else { return Ok(None) };
    let fault = |reason: String| CollectorError::Position { source_key: place.key.clone(), reason };
    let state: State = wire.read(&payload).map_err(|error| fault(error.to_string()))?;
    match state.body.split_first_chunk::<16>() {
        Some((run, number)) if state.format == FORMAT => match number.try_into() {
            Ok(number) => Ok(Some(BatchId { run: *run, number: u64::from_be_bytes(number) })),
            Err(_) => Err(fault("it is torn".into())),
        },
        _ => Err(fault(format!("it has format {}", state.format))),
    }
}
