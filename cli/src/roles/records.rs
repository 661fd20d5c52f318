//! Records of a topic from its beginning to its end as of now, for commands that look at all of them.

use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use weir_schemas::wire::Wire;
use weir_schemas::{Audit, AuditEntry, Record, State};
use weir_topology::history::History;
use weir_topology::log::Log;
use weir_topology::record::RecordRef;
use weir_topology::topic::Topic;

/// Hands every record of a partition over, as it lies there.
pub fn each_record(
    log: &dyn Log,
    topic: Topic,
    partition: u32,
    take: impl FnMut(RecordRef<'_>),
) -> Result<()> {
    each_record_while(log, topic, partition, || true, take).map(drop)
}

/// The same for as long as `goes_on` says so, which is asked before each batch; whether it did to the end.
pub fn each_record_while(
    log: &dyn Log,
    topic: Topic,
    partition: u32,
    goes_on: impl Fn() -> bool,
    mut take: impl FnMut(RecordRef<'_>),
) -> Result<bool> {
    let (first, end) = log.bounds(topic, partition)?;
    let mut history = History::new(log, topic, partition, first, end)?;
    while goes_on() {
        let Some(records) = history.next()? else { return Ok(true) };
        records.iter().for_each(&mut take);
    }
    Ok(false)
}

/// Hands every record of a partition over that can be read.
pub fn each_in<R: for<'b> Record<'b>>(
    log: &dyn Log,
    wire: &Wire,
    topic: Topic,
    partition: u32,
    mut take: impl FnMut(R),
) -> Result<()> {
    each_record(log, topic, partition, |record| {
        wire.read(record.payload.unwrap_or_default()).into_iter().for_each(&mut take);
    })
}

/// The same, partition by partition.
pub fn each<R: for<'b> Record<'b>>(
    log: &dyn Log,
    wire: &Wire,
    topic: Topic,
    mut take: impl FnMut(R),
) -> Result<()> {
    (0..log.partitions(topic)?).try_for_each(|partition| each_in(log, wire, topic, partition, &mut take))
}

/// What a partition's enforcer holds under the keys that are `wanted`, as of its last snapshot.
///
/// # Errors
/// When the log cannot be read, or an entry not be decoded.
pub fn enforcer_state(
    log: &dyn Log,
    wire: &Wire,
    partition: u32,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut latest: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
    each_record(log, Topic::StateEnforcer, partition, |record| {
        if wanted(record.key) {
            latest.insert(record.key.to_vec(), record.payload.map(<[u8]>::to_vec));
        }
    })?;
    let kept = latest.into_iter().filter_map(|(key, payload)| Some((key, payload?)));
    kept.map(|(key, payload)| {
        let state: State = wire.read(&payload).context("the enforcer's state cannot be read")?;
        Ok((key, state.body))
    })
    .collect()
}

/// Hands what a partition's audit chain says over, entry by entry. Whether it is sound is not looked at.
pub fn each_audit(log: &dyn Log, wire: &Wire, partition: u32, mut take: impl FnMut(Audit)) -> Result<()> {
    each_in(log, wire, Topic::Audit, partition, |entry: AuditEntry| {
        wire.read::<Audit>(&entry.record).into_iter().for_each(&mut take);
    })
}
