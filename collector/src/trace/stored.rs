//! Which batch was committed last, as a record at the source's [place](crate::place): after a commit whose outcome is not
//! known, that tells whether it is there.

use crate::error::CollectorError;
use crate::place::Place;
use weir_schemas::wire::Wire;
use weir_topology::log::Log;
use weir_topology::record::Output;

/// What sources that keep such a record are.
pub(super) const KIND: &str = "trace";

/// Version of the encoding.
const FORMAT: i32 = 103;

/// A batch: of which run of the source, and the how many-th of it, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchId {
    pub(super) run: [u8; 16],
    pub(super) number: u64,
}

/// The record that says that a batch is committed.
pub(super) fn record(wire: &Wire, place: &Place, batch: BatchId, now_ms: i64) -> Output {
    let body = [&batch.run[..], &batch.number.to_be_bytes()].concat();
    place.record(wire, "", FORMAT, body, now_ms)
}

/// The batch that was committed last.
pub(super) fn last(log: &dyn Log, place: &Place, wire: &Wire) -> Result<Option<BatchId>, CollectorError> {
    let is_own = |ending: &str| ending.is_empty().then_some(());
    let Some(body) = place.bodies(log, wire, FORMAT, is_own)?.remove(&()) else { return Ok(None) };
    let batch = body.split_first_chunk::<16>().and_then(|(run, number)| {
        let number = u64::from_be_bytes(number.try_into().ok()?);
        Some(BatchId { run: *run, number })
    });
    batch.map(Some).ok_or_else(|| place.fault("it is torn"))
}
