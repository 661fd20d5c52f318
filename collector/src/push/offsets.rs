//! How far a topic was read, as records at its source's [place](crate::place), one a partition.

use crate::error::CollectorError;
use crate::place::{Place, numbered};
use std::collections::BTreeMap;
use weir_schemas::wire::Wire;
use weir_topology::log::Log;
use weir_topology::record::Output;

/// What sources that keep such records are.
pub(crate) const KIND: &str = "topic";

/// Version of the encoding.
const FORMAT: i32 = 102;

/// The records that say how far a commit reads.
pub(crate) fn records(
    wire: &Wire,
    place: &Place,
    next: &BTreeMap<i32, i64>,
    now_ms: i64,
) -> impl Iterator<Item = Output> {
    next.iter().map(move |(partition, next)| {
        place.record(wire, &format!("/{partition}"), FORMAT, next.to_be_bytes().to_vec(), now_ms)
    })
}

/// The next offset of each partition that was read.
pub(crate) fn next(log: &dyn Log, place: &Place, wire: &Wire) -> Result<BTreeMap<i32, i64>, CollectorError> {
    let mut next = BTreeMap::new();
    for (partition, body) in place.bodies(log, wire, FORMAT, numbered::<i32>)? {
        let offset = <[u8; 8]>::try_from(body).map_err(|_| place.fault("it is torn"))?;
        next.insert(partition, i64::from_be_bytes(offset));
    }
    Ok(next)
}
