//! A topic as a source: every record once, whatever the log, the brokers and the node do.

#![allow(clippy::unwrap_used)] // A test's helpers may panic as its tests may.

mod common;

use common::{Fault, FaultyLog, Hand, NOW_MS};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_collector::{
    CollectorError, Format, Keys, LineKey, Pseudonymizer, PushConfig, Sealer, TopicProgress, TopicSource,
};
use weir_schemas::wire::{Wire, split};
use weir_schemas::{DeadLetter, DlqKind, Event, EventId, Record, SourceKind};
use weir_topology::feed::{Feed, FeedRecord, Gap};
use weir_topology::log::LogError;
use weir_topology::memory::MemoryLog;
use weir_topology::telemetry::Telemetry;
use weir_topology::topic::Topic;

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Telemetry for Heard {
    fn topic_lost(&self, topic: &str, partition: i32, from: i64, to: i64) {
        self.0.lock().unwrap().push(format!("lost {topic}/{partition} {from}..{to}"));
    }
}

/// A topic in memory: partitions of records, of which the first may be gone.
#[derive(Clone, Default)]
struct Broker(Arc<Mutex<Vec<Partition>>>);

#[derive(Default)]
struct Partition {
    first: i64,
    records: Vec<Option<Vec<u8>>>,
}

struct FakeFeed {
    broker: Broker,
    next: BTreeMap<i32, i64>,
    /// Polls until the brokers are away, once.
    polls_left: u32,
}

impl Broker {
    fn write(&self, partition: usize, payload: Option<String>) {
        let mut partitions = self.0.lock().unwrap();
        while partitions.len() <= partition {
            partitions.push(Partition::default());
        }
        partitions[partition].records.push(payload.map(String::into_bytes));
    }

    fn forget(&self, partition: usize, first: i64) {
        self.0.lock().unwrap()[partition].first = first;
    }
}

impl Feed for FakeFeed {
    fn seek(&mut self, next: &BTreeMap<i32, i64>) -> Result<Vec<Gap>, LogError> {
        let partitions = self.broker.0.lock().unwrap();
        let mut gaps = Vec::new();
        self.next.clear();
        for (partition, content) in (0..).zip(partitions.iter()) {
            let wanted = next.get(&partition).copied().unwrap_or(content.first);
            if wanted < content.first {
                gaps.push(Gap { partition, from: wanted, to: content.first });
            }
            self.next.insert(partition, wanted.max(content.first));
        }
        Ok(gaps)
    }

    fn poll(&mut self, _: Duration) -> Result<Option<FeedRecord>, LogError> {
        self.polls_left = self.polls_left.wrapping_sub(1);
        if self.polls_left == 0 {
            return Err(LogError::Unavailable { reason: "all brokers are away".into() });
        }
        let partitions = self.broker.0.lock().unwrap();
        for (partition, next) in &mut self.next {
            if let Some(payload) = partitions[*partition as usize].records.get(*next as usize) {
                *next += 1;
                let (partition, offset) = (*partition, *next - 1);
                return Ok(Some(FeedRecord { partition, offset, payload: payload.clone() }));
            }
        }
        Ok(None)
    }
}

struct Bench {
    log: FaultyLog,
    broker: Broker,
    heard: Arc<Heard>,
    pace: Arc<Hand>,
}

impl Bench {
    fn new() -> Self {
        let log = FaultyLog { inner: MemoryLog::new(3), faults: Arc::default() };
        Self { log, broker: Broker::default(), heard: Arc::default(), pace: Arc::default() }
    }

    fn open(&self, polls_left: u32) -> TopicSource<'_> {
        let keys = Keys {
            pseudonymizer: Pseudonymizer::new([1; 32], 1),
            sealer: Sealer::new(1, &[2; 32], [9; 32]).unwrap(),
        };
        let config = PushConfig {
            source: "gateway-logs".into(),
            node: "node-1".into(),
            tenant: "default".into(),
            format: Format::Auto,
            keep_text: false,
            body_bytes_max: 1 << 20,
        };
        let feed = FakeFeed { broker: self.broker.clone(), next: BTreeMap::new(), polls_left };
        let (wire, heard) = (Arc::new(Wire::new()), self.heard.clone());
        let (feed, linger, clock) = (Box::new(feed), Duration::from_millis(1), Arc::new(|| NOW_MS));
        let source = TopicSource::new(&self.log, feed, config, 10, linger, keys, wire, heard, clock).unwrap();
        source.paced_by(self.pace.clone())
    }

    /// Reads until there is nothing more; what was read.
    fn read(&self, source: &mut TopicSource<'_>) -> u64 {
        let (mut records, mut idle) = (0, 0);
        while idle < 50 {
            let progress = source.run_once(Duration::from_secs(1)).unwrap();
            idle = if progress.records == 0 { idle + 1 } else { 0 };
            records += progress.records;
        }
        records
    }

    fn ids(&self) -> Vec<EventId> {
        let outputs = self.log.inner.all(Topic::Events);
        let mut ids: Vec<EventId> = outputs
            .iter()
            .map(|output| {
                let event = Event::decode(split(output.payload.as_deref().unwrap()).unwrap().1).unwrap();
                assert_eq!(event.source, SourceKind::Topic);
                event.event_id
            })
            .collect();
        ids.sort();
        ids
    }
}

fn line(number: usize) -> String {
    format!(r#"{{"account":"acct-{}","time":1795242606,"prompt":"word {number}"}}"#, number % 7)
}

/// The ids that the same lines have in a file.
fn ids_of_file(lines: impl Iterator<Item = usize>) -> Vec<EventId> {
    let key = LineKey::new(&Pseudonymizer::new([1; 32], 1));
    let mut ids: Vec<EventId> =
        lines.map(|number| key.event_id(key.hash(line(number).as_bytes()), 0)).collect();
    ids.sort();
    ids
}

#[test]
fn every_record_of_every_partition_is_an_event_once_whatever_fails() {
    for seed in 0..40u64 {
        let bench = Bench::new();
        (0..95).for_each(|number| bench.broker.write(number % 4, Some(line(number))));
        let all = [Fault::Abort, Fault::CommitAndForget, Fault::Forget];
        *bench.log.faults.lock().unwrap() = (0..6).map(|index| all[(seed as usize + index) % 3]).collect();
        // Killed after a few steps, and begun again.
        let mut first = bench.open(5 + seed as u32);
        for _ in 0..seed % 9 {
            first.run_once(Duration::from_secs(1)).unwrap();
        }
        drop(first);
        bench.read(&mut bench.open(30 + seed as u32));
        assert_eq!(bench.ids(), ids_of_file(0..95), "seed {seed}: also the ids that a file's lines have");
        let announced = bench.log.inner.all(Topic::Identities);
        for event in bench.log.inner.all(Topic::Events) {
            assert!(
                announced.iter().any(|one| one.key == event.key),
                "seed {seed}: every account was announced"
            );
        }
    }
}

#[test]
fn what_passed_its_retention_unread_is_told_by_its_offsets() {
    let bench = Bench::new();
    (0..10).for_each(|number| bench.broker.write(0, Some(line(number))));
    assert_eq!(bench.read(&mut bench.open(0)), 10);
    (10..20).for_each(|number| bench.broker.write(0, Some(line(number))));
    bench.broker.forget(0, 15);
    assert_eq!(bench.read(&mut bench.open(0)), 5);
    assert_eq!(*bench.heard.0.lock().unwrap(), ["lost gateway-logs/0 10..15"]);
    // What was never there for a new source is no loss of it.
    assert_eq!(bench.ids(), ids_of_file((0..10).chain(15..20)));
}

#[test]
fn a_record_may_hold_lines_or_nothing_and_what_is_refused_has_its_place() {
    let bench = Bench::new();
    bench.broker.write(2, Some(format!("{}\n{}\n", line(1), line(2))));
    bench.broker.write(2, None);
    bench.broker.write(2, Some("no line of anything".into()));
    bench.broker.write(1, Some(line(3)));
    let progress = bench.open(0).run_once(Duration::from_secs(1)).unwrap();
    assert_eq!(progress, TopicProgress { records: 4, events: 3, refused: 1 });
    let letters = bench.log.inner.all(Topic::Dlq);
    let letter: DeadLetter = Wire::new().read(letters[0].payload.as_deref().unwrap()).unwrap();
    let place = (letter.kind, &*letter.origin, letter.offset, letter.partition);
    assert_eq!((place, letters.len()), ((DlqKind::InvalidJson, "topic gateway-logs/2", 2, -1), 1));
}

#[test]
fn a_source_that_another_took_over_ends() {
    let bench = Bench::new();
    bench.broker.write(0, Some(line(1)));
    let mut first = bench.open(0);
    assert_eq!(bench.read(&mut first), 1);
    bench.broker.write(0, Some(line(2)));
    bench.read(&mut bench.open(0));
    bench.broker.write(0, Some(line(3)));
    let error = loop {
        if let Err(error) = first.run_once(Duration::from_secs(1)) {
            break error;
        }
    };
    assert!(matches!(error, CollectorError::Fenced { .. }), "{error}");
    assert_eq!(bench.ids(), ids_of_file(1..3));
}
