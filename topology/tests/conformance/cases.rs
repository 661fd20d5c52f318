//! The cases. Each takes a fresh log and reads as a sentence about it.

mod atomic;
mod compacted;
mod positions;
mod reading;
mod records;
mod waiting;

pub use atomic::*;
pub use compacted::*;
pub use positions::*;
pub use reading::*;
pub use records::*;
pub use waiting::*;

use weir_topology::history::read_range;
use weir_topology::log::{Commit, Log, Position};
use weir_topology::record::{Output, Records};
use weir_topology::topic::Topic;

/// A record whose payload is text.
fn text(topic: Topic, key: &str, payload: &str) -> Output {
    Output::keyed(topic, key.into(), payload.into(), 1_700_000_000_000)
}

/// A commit of records alone.
fn commit(outputs: Vec<Output>) -> Commit {
    Commit { outputs, positions: Vec::new() }
}

/// Opens the writer `w` and commits the records.
fn write(log: &dyn Log, outputs: Vec<Output>) {
    log.writer("w").unwrap().commit(&commit(outputs)).unwrap();
}

fn at(topic: Topic, partition: u32, next: i64) -> Position {
    Position { topic, partition, next }
}

/// Everything that a partition holds between its bounds.
fn all(log: &dyn Log, topic: Topic, partition: u32) -> Records {
    let (first, end) = log.bounds(topic, partition).unwrap();
    let mut found = Records::default();
    read_range(log, topic, partition, first, end, |records| {
        records.iter().for_each(|record| found.push_ref(record));
        Ok(())
    })
    .unwrap();
    found
}

/// The payloads of everything that a partition holds.
fn payloads(log: &dyn Log, topic: Topic, partition: u32) -> Vec<String> {
    texts(&all(log, topic, partition))
}

fn texts(records: &Records) -> Vec<String> {
    let text = |payload: Option<&[u8]>| String::from_utf8_lossy(payload.unwrap_or(b"gone")).into_owned();
    records.iter().map(|record| text(record.payload)).collect()
}
