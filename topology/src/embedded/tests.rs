//! What only this backend promises. The promises that every log shares are in `tests/conformance.rs`.

mod faults;
mod group;
mod opening;
mod retention;

use super::EmbeddedLog;
use crate::log::{Commit, Log, LogError, Position};
use crate::record::{Output, Records};
use crate::topic::Topic;
use std::sync::Arc;

fn fresh(partitions: u32) -> (tempfile::TempDir, Arc<EmbeddedLog>) {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), partitions).unwrap();
    (dir, log)
}

/// A record whose payload is its own text and whose partition is 0.
fn record(topic: Topic, key: &str, payload: &str, timestamp_ms: i64) -> Output {
    Output::keyed(topic, key.into(), payload.into(), timestamp_ms).in_partition(0)
}

fn commit(log: &EmbeddedLog, outputs: Vec<Output>) {
    log.writer("w").unwrap().commit(&Commit { outputs, positions: Vec::new() }).unwrap();
}

/// `offset:payload` of everything from `next` on.
fn payloads(log: &EmbeddedLog, topic: Topic, next: i64) -> Result<Vec<String>, LogError> {
    let mut reader = log.reader(&[Position { topic, partition: 0, next }])?;
    let mut records = Records::default();
    reader.take(0, usize::MAX, usize::MAX, &mut records)?;
    let text = |payload: Option<&[u8]>| match payload {
        Some(payload) => String::from_utf8_lossy(payload).into_owned(),
        None => "gone".to_owned(),
    };
    Ok(records.iter().map(|record| format!("{}:{}", record.offset, text(record.payload))).collect())
}
