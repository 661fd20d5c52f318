//! What a source of pushed records took of late, as records at its [place](crate::place), one a segment.

use super::seen::Seen;
use crate::error::CollectorError;
use crate::place::{Place, numbered};
use std::ops::Range;
use weir_schemas::wire::Wire;
use weir_topology::log::Log;
use weir_topology::record::Output;

/// What sources that keep such records are.
pub(super) const KIND: &str = "push";

/// The records of the segments that a commit changes.
pub(super) fn records(
    wire: &Wire,
    place: &Place,
    seen: &Seen,
    changed: Range<u64>,
    now_ms: i64,
) -> impl Iterator<Item = Output> {
    changed.map(move |number| {
        let ending = format!("/{}", Seen::slot(number));
        place.record(wire, &ending, Seen::FORMAT, seen.to_bytes(number), now_ms)
    })
}

/// What the source took of late, as far as it is committed.
pub(super) fn seen(log: &dyn Log, place: &Place, wire: &Wire) -> Result<Seen, CollectorError> {
    let segments = place.bodies(log, wire, Seen::FORMAT, numbered::<u64>)?;
    Seen::of(segments).ok_or_else(|| place.fault("its segments do not fit together"))
}
