//! How far a source was read, as records of `weir.state.collector`: one for the file that is being read, in
//! every commit, and one for the files that were left, when they change. Both lie in the partition of the
//! source's key, so that sources spread over the partitions and each reads its own.

use crate::config::CollectorConfig;
use crate::error::CollectorError;
use crate::tail::{FilePosition, SourcePosition};
use std::collections::BTreeMap;
use weir_schemas::wire::Wire;
use weir_schemas::{State, StateKind};
use weir_topology::history::read_range;
use weir_topology::key::partition_of;
use weir_topology::log::{Log, LogError};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

const TOPIC: Topic = Topic::StateCollector;

/// Where a source's records lie.
#[derive(Debug, Clone)]
pub(super) struct Place {
    reading_key: String,
    left_key: String,
    partition: u32,
}

impl Place {
    pub(super) fn of(log: &dyn Log, config: &CollectorConfig) -> Result<Self, LogError> {
        let reading_key = config.source_key();
        let partition = partition_of(reading_key.as_bytes(), log.partitions(TOPIC)?);
        Ok(Self { left_key: format!("!left/{reading_key}"), reading_key, partition })
    }
}

/// The records that a commit which goes from `before` to `after` writes.
pub(super) fn records(
    wire: &Wire,
    place: &Place,
    before: Option<&SourcePosition>,
    after: &SourcePosition,
    clock_ms: i64,
    now_ms: i64,
) -> Vec<Output> {
    let record = |key: &str, kind, body| {
        let format = SourcePosition::FORMAT;
        let state = State { kind, format, clock_ms, body, ..State::default() };
        Output::keyed(TOPIC, key.as_bytes().to_vec(), wire.to_bytes(&state), now_ms)
            .in_partition(place.partition)
    };
    let mut records = vec![record(&place.reading_key, StateKind::Cursor, after.reading_bytes())];
    if before.is_none_or(|before| before.left != after.left) {
        records.push(record(&place.left_key, StateKind::Entry, after.left_bytes()));
    }
    records
}

/// The position that the last commit for this source stored.
pub(super) fn position(
    log: &dyn Log,
    place: &Place,
    wire: &Wire,
) -> Result<Option<SourcePosition>, CollectorError> {
    let (from, to) = log.bounds(TOPIC, place.partition)?;
    let (mut reading, mut left) = (None, None);
    read_range(log, TOPIC, place.partition, from, to, |records| {
        for record in records.iter() {
            let payload = record.payload.map(<[u8]>::to_vec);
            match record.key {
                key if key == place.reading_key.as_bytes() => reading = payload,
                key if key == place.left_key.as_bytes() => left = payload,
                _ => {}
            }
        }
        Ok(())
    })?;
    let fault = |reason: String| CollectorError::Position { source_key: place.reading_key.clone(), reason };
    let body = |payload: Option<Vec<u8>>, kind| -> Result<Option<Vec<u8>>, CollectorError> {
        let Some(payload) = payload else { return Ok(None) };
        let state: State = wire.read(&payload).map_err(|error| fault(error.to_string()))?;
        if state.kind != kind || state.format != SourcePosition::FORMAT {
            return Err(fault(format!("it has format {}", state.format)));
        }
        Ok(Some(state.body))
    };
    let Some(reading) = body(reading, StateKind::Cursor)? else { return Ok(None) };
    let left = body(left, StateKind::Entry)?;
    let left = left.ok_or_else(|| fault("its second half is missing".into()))?;
    let position = SourcePosition::from_bytes(&reading, &left);
    position.map(Some).ok_or_else(|| fault("its body is damaged".into()))
}

/// How far the files of every source were read, for whoever meets one of them, or a copy, under another name.
/// What cannot be read here is another build's, and nothing that could be known.
pub(super) fn files(log: &dyn Log, wire: &Wire) -> Result<Vec<FilePosition>, LogError> {
    let mut latest: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for partition in 0..log.partitions(TOPIC)? {
        let (from, to) = log.bounds(TOPIC, partition)?;
        read_range(log, TOPIC, partition, from, to, |records| {
            for record in records.iter() {
                latest.insert(record.key.to_vec(), record.payload.unwrap_or_default().to_vec());
            }
            Ok(())
        })?;
    }
    let files = latest.values().filter_map(|payload| {
        let state: State = wire.read(payload).ok()?;
        let is_known = state.format == SourcePosition::FORMAT;
        match state.kind {
            StateKind::Cursor if is_known => SourcePosition::reading_of(&state.body).map(|file| vec![file]),
            StateKind::Entry if is_known => SourcePosition::left_of(&state.body),
            _ => None,
        }
    });
    Ok(files.flatten().filter(|file| file.offset > 0).collect())
}
