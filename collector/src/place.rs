//! What a source that is no file needs to know again: records of `weir.state.collector`, in the same commit
//! as what they tell of. They lie in the partition of the source's key.

use crate::error::CollectorError;
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
pub(crate) struct Place {
    /// No node's name begins with `!`.
    key: String,
    partition: u32,
}

impl Place {
    /// Of a source of this kind; sources of several kinds may have one key.
    pub(crate) fn of(log: &dyn Log, kind: &str, source_key: &str) -> Result<Self, LogError> {
        let key = format!("!{kind}/{source_key}");
        let partition = partition_of(key.as_bytes(), log.partitions(TOPIC)?);
        Ok(Self { key, partition })
    }

    /// What the keys of its records begin with.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The record with this ending of its key. `format` is the version of the body's encoding, of no other
    /// record of the topic.
    pub(crate) fn record(
        &self,
        wire: &Wire,
        ending: &str,
        format: i32,
        body: Vec<u8>,
        now_ms: i64,
    ) -> Output {
        let state = State { kind: StateKind::Entry, format, body, ..State::default() };
        let key = format!("{}{ending}", self.key).into_bytes();
        Output::keyed(TOPIC, key, wire.to_bytes(&state), now_ms).in_partition(self.partition)
    }

    /// What makes the log forget the record with this ending of its key.
    pub(crate) fn tombstone(&self, ending: &str, now_ms: i64) -> Output {
        let key = format!("{}{ending}", self.key).into_bytes();
        Output::tombstone(TOPIC, key, now_ms).in_partition(self.partition)
    }

    /// The latest body of each record, by what `part_of` makes of the ending of its key; others are somebody
    /// else's.
    ///
    /// # Errors
    /// When the log cannot be read, or a record has another format.
    pub(crate) fn bodies<P: Ord>(
        &self,
        log: &dyn Log,
        wire: &Wire,
        format: i32,
        part_of: impl Fn(&str) -> Option<P>,
    ) -> Result<BTreeMap<P, Vec<u8>>, CollectorError> {
        let (from, to) = log.bounds(TOPIC, self.partition)?;
        let part_of = |key: &[u8]| {
            let ending = key.strip_prefix(self.key.as_bytes())?;
            std::str::from_utf8(ending).ok().and_then(&part_of)
        };
        let mut payloads = BTreeMap::new();
        read_range(log, TOPIC, self.partition, from, to, |records| {
            for record in records.iter() {
                match (part_of(record.key), record.payload) {
                    (Some(part), Some(payload)) => drop(payloads.insert(part, payload.to_vec())),
                    (Some(part), None) => drop(payloads.remove(&part)),
                    (None, _) => {}
                }
            }
            Ok(())
        })?;
        let body_of = |payload: Vec<u8>| {
            let state: State = wire.read(&payload).map_err(|error| self.fault(error.to_string()))?;
            if state.format != format {
                return Err(self.fault(format!("it has format {}", state.format)));
            }
            Ok(state.body)
        };
        payloads.into_iter().map(|(part, payload)| Ok((part, body_of(payload)?))).collect()
    }

    /// What is wrong with a record.
    pub(crate) fn fault(&self, reason: impl Into<String>) -> CollectorError {
        CollectorError::Position { source_key: self.key.clone(), reason: reason.into() }
    }
}

/// The number of a part, whose ending is `/` and the number.
pub(crate) fn numbered<N: std::str::FromStr>(ending: &str) -> Option<N> {
    ending.strip_prefix('/')?.parse().ok()
}
