//! Why an epoch cannot be folded as it was: what it read and the log no longer holds.

use crate::report::ReplayError;
use weir_schemas::Epoch;
use weir_schemas::wire::Wire;
use weir_topology::history::History;
use weir_topology::log::Log;
use weir_topology::topic::{TaskId, Topic};

/// Says which records that an epoch folded the log no longer holds; none when it holds them all.
pub(super) fn lacking(
    log: &dyn Log,
    wire: &Wire,
    task: TaskId,
    number: i64,
) -> Result<Option<String>, ReplayError> {
    let (first, end) = log.bounds(Topic::Epochs, task.partition)?;
    let mut history = History::new(log, Topic::Epochs, task.partition, first, end)?;
    let key = task.to_string();
    while let Some(records) = history.next()? {
        for record in records.iter().filter(|record| record.key == key.as_bytes()) {
            let Ok(epoch) = wire.read::<Epoch>(record.payload.unwrap_or_default()) else { continue };
            if epoch.epoch != number {
                continue;
            }
            for range in &epoch.inputs {
                let Some(topic) = Topic::named(&range.topic) else { continue };
                let partition = task.partition_of(topic);
                let held = count(log, topic, partition, range.from, range.to)?;
                if held < range.records {
                    return Ok(Some(format!(
                        "epoch {number} folded {} records of {topic}/{partition} at offsets {} to {}, and the log \
                         holds {held} of them: their retention has passed, or they were deleted",
                        range.records,
                        range.from,
                        range.to - 1
                    )));
                }
            }
            return Ok(None);
        }
    }
    Ok(None)
}

fn count(log: &dyn Log, topic: Topic, partition: u32, from: i64, to: i64) -> Result<i64, ReplayError> {
    let (first, end) = log.bounds(topic, partition)?;
    let mut history = History::new(log, topic, partition, from.max(first), to.min(end))?;
    let mut records = 0;
    while let Some(batch) = history.next()? {
        records += batch.len() as i64;
    }
    Ok(records)
}
