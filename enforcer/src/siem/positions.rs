//! How far a destination has come, as a record of `weir.state.export` under its name: where each partition is
//! read next.

use crate::siem::notice::Kind;
use weir_schemas::wire::Wire;
use weir_schemas::{Position as Stored, State, StateKind};
use weir_topology::history::read_range;
use weir_topology::log::{Log, LogError, Position};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

const TOPIC: Topic = Topic::StateExport;

/// Version of the record's body, which is empty: the positions are the record's own.
const FORMAT: i32 = 1;

/// The topic that notices of a kind come from.
pub(super) fn topic_of(kind: Kind) -> Topic {
    match kind {
        Kind::Verdict => Topic::Verdicts,
        Kind::Campaign => Topic::Campaigns,
        Kind::Action => Topic::Actions,
    }
}

/// What `name` last committed; none where it never did.
pub(super) fn load(log: &dyn Log, wire: &Wire, name: &str) -> Result<Option<Vec<Position>>, LogError> {
    let (from, to) = log.bounds(TOPIC, 0)?;
    let mut latest = None;
    read_range(log, TOPIC, 0, from, to, |records| {
        for record in records.iter().filter(|record| record.key == name.as_bytes()) {
            latest = record.payload.map(<[u8]>::to_vec);
        }
        Ok(())
    })?;
    let Some(payload) = latest else { return Ok(None) };
    let damaged = |reason: String| LogError::Damaged { reason: format!("{TOPIC} of {name}: {reason}") };
    let state = wire.read::<State>(&payload).map_err(|error| damaged(error.to_string()))?;
    if state.kind != StateKind::Cursor || state.format != FORMAT {
        return Err(damaged(format!("it has format {}, which this build does not know", state.format)));
    }
    let position = |stored: &Stored| {
        let topic = Topic::named(&stored.topic)?;
        Some(Position { topic, partition: u32::try_from(stored.partition).ok()?, next: stored.next })
    };
    // A topic that another build exported is none of this one's.
    Ok(Some(state.positions.iter().filter_map(position).collect()))
}

/// The record that says so.
pub(super) fn record(wire: &Wire, name: &str, positions: &[Position], now_ms: i64) -> Output {
    let stored = |position: &Position| Stored {
        topic: position.topic.name().to_owned(),
        partition: position.partition as i32,
        next: position.next,
    };
    let positions = positions.iter().map(stored).collect();
    let state = State { kind: StateKind::Cursor, format: FORMAT, positions, ..State::default() };
    Output::keyed(TOPIC, name.as_bytes().to_vec(), wire.to_bytes(&state), now_ms).in_partition(0)
}
