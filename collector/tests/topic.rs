//! A topic as a source: every record once, whatever the log, the brokers and the node do.

#![allow(clippy::unwrap_used)] // A test's helpers may panic as its tests may.

mod common;

use common::{Fault, FaultyLog, Hand, NOW_MS};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_collector::{
    Collector, CollectorConfig, CollectorError, Format, Keys, LineKey, Mode, Pseudonymizer, PushConfig,
    Sealer, Tenants, TopicProgress, TopicSource,
};
use weir_schemas::wire::{Wire, split};
use weir_schemas::{DeadLetter, DlqKind, Event, EventId, Origin, Record, SourceKind};
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
    ends: Option<BTreeMap<i32, i64>>,
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

    fn write_bytes(&self, partition: usize, payload: Vec<u8>) {
        self.write(partition, None);
        *self.0.lock().unwrap()[partition].records.last_mut().unwrap() = Some(payload);
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
        let ends = (0..).zip(partitions.iter().map(|content| content.records.len() as i64)).collect();
        self.ends.get_or_insert(ends);
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

    fn heads(&mut self) -> Result<Vec<FeedRecord>, LogError> {
        let partitions = self.broker.0.lock().unwrap();
        let head = |(partition, content): (i32, &Partition)| {
            let payload = content.records.get(content.first as usize)?.clone();
            Some(FeedRecord { partition, offset: content.first, payload })
        };
        Ok((0..).zip(partitions.iter()).filter_map(head).collect())
    }

    fn is_at_end(&self) -> bool {
        let ends = self.ends.as_ref().unwrap();
        ends.iter().all(|(partition, end)| self.next[partition] >= *end)
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
        let log = FaultyLog::new(MemoryLog::new(3));
        Self { log, broker: Broker::default(), heard: Arc::default(), pace: Arc::default() }
    }

    fn open(&self, polls_left: u32) -> TopicSource<'_> {
        self.open_as(Format::Auto, polls_left)
    }

    fn open_as(&self, format: Format, polls_left: u32) -> TopicSource<'_> {
        let keys = keys();
        let config = PushConfig {
            source: "gateway-logs".into(),
            node: "node-1".into(),
            tenants: Tenants::any("default"),
            format,
            keep_text: false,
            body_bytes_max: 1 << 20,
        };
        let feed = FakeFeed { broker: self.broker.clone(), next: BTreeMap::new(), ends: None, polls_left };
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

fn keys() -> Keys {
    Keys { pseudonymizer: Pseudonymizer::new([1; 32], 1), sealer: Sealer::new(1, &[2; 32], [9; 32]).unwrap() }
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
    assert_eq!(progress, TopicProgress { records: 4, events: 3, refused: 1, is_at_end: true });
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

/// The events of a log, each with all that is in it but what tells of the way in.
fn events(log: &MemoryLog) -> Vec<String> {
    let mut events: Vec<String> = log
        .all(Topic::Events)
        .iter()
        .map(|output| {
            let event = Event::decode(split(output.payload.as_deref().unwrap()).unwrap().1).unwrap();
            format!("{:?}", Event { source: SourceKind::Other, origin: Origin::Live, ..event })
        })
        .collect();
    events.sort();
    events
}

/// The events of a file with this text.
fn events_of_file(text: &[u8]) -> Vec<String> {
    let (log, directory) = (MemoryLog::new(3), tempfile::tempdir().unwrap());
    let path = directory.path().join("access.log");
    std::fs::write(&path, text).unwrap();
    let mut config = CollectorConfig::new(path, "node-1");
    config.mode = Mode::Import;
    let (wire, heard) = (Arc::new(Wire::new()), Arc::new(Heard::default()));
    let mut collector = Collector::open(&*log, config, keys(), wire, heard, Arc::new(|| NOW_MS)).unwrap();
    while !collector.run_once(Duration::ZERO).unwrap().at_end() {}
    events(&log)
}

#[test]
fn every_format_that_ships_is_read_from_a_topic_as_it_is_from_a_file() {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/src/format/samples");
    let mut read = 0;
    for sample in std::fs::read_dir(samples).unwrap().map(|entry| entry.unwrap().path()) {
        if sample.extension().is_some_and(|ending| ending == "txt") {
            continue;
        }
        let text = std::fs::read_to_string(&sample).unwrap();
        let expected = events_of_file(text.as_bytes());
        let name = sample.file_stem().unwrap().to_str().unwrap();
        let formats = match name {
            "csv" => vec![Format::Auto],
            name => vec![Format::Auto, Format::load(name).unwrap()],
        };
        for format in formats {
            let bench = Bench::new();
            // A record a line, in any partition; only a cell in quotes holds a line break.
            let lines = if name == "csv" { vec![&*text] } else { text.lines().collect() };
            for (number, line) in lines.into_iter().enumerate() {
                bench.broker.write(number % 4, Some(line.to_owned()));
            }
            bench.read(&mut bench.open_as(format.clone(), 0));
            assert_eq!(events(&bench.log.inner), expected, "{name} as {format}");
        }
        read += usize::from(!expected.is_empty());
    }
    assert!(read >= 20, "{read} samples have events");
}

#[test]
fn the_names_of_columns_count_for_all_partitions_and_after_a_restart() {
    let bench = Bench::new();
    let row = |number: usize| format!("acct-{number};1795242606;\"word; {number}\"");
    // Partitions are read in their order, and the names stand in the last.
    (0..6).for_each(|number| bench.broker.write(number % 3, Some(row(number))));
    bench.broker.write(3, Some("account;time;prompt".into()));
    bench.read(&mut bench.open(0));
    (6..12).for_each(|number| bench.broker.write(number % 3, Some(row(number))));
    bench.read(&mut bench.open(0));
    let file: Vec<String> = (0..12).map(row).collect();
    let expected = events_of_file(format!("account;time;prompt\n{}\n", file.join("\n")).as_bytes());
    assert_eq!((events(&bench.log.inner), expected.len()), (expected, 12));
    assert_eq!(bench.log.inner.all(Topic::Dlq).len(), 0);
}

#[test]
fn a_topic_is_at_its_end_when_what_stood_there_at_first_is_committed() {
    let bench = Bench::new();
    (0..25).for_each(|number| bench.broker.write(number % 2, Some(line(number))));
    let mut source = bench.open(0);
    let mut steps = Vec::new();
    loop {
        let progress = source.run_once(Duration::from_secs(1)).unwrap();
        steps.push(progress.records);
        // Somebody writes on.
        bench.broker.write(0, Some(line(100 + steps.len())));
        if progress.is_at_end {
            break;
        }
    }
    assert!((3..=4).contains(&steps.len()) && steps.iter().sum::<u64>() >= 25, "{steps:?}");
    let empty = Bench::new();
    let progress = empty.open(0).run_once(Duration::from_secs(1)).unwrap();
    assert_eq!(progress, TopicProgress { is_at_end: true, ..TopicProgress::default() });
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

#[test]
fn what_packed_records_come_to_is_bounded_in_a_commit_and_in_each() {
    let bench = Bench::new();
    (0..10).for_each(|_| bench.broker.write_bytes(0, gzip("{}\n".repeat(20_000).as_bytes())));
    let mut source = bench.open(0);
    let progress = source.run_once(Duration::from_secs(1)).unwrap();
    assert!((2..10).contains(&progress.records), "{progress:?}");
    assert_eq!(progress.records + bench.read(&mut source), 10);
    assert_eq!(bench.log.inner.all(Topic::Dlq).len(), 200_000);
    let bench = Bench::new();
    bench.broker.write_bytes(0, gzip("{}\n".repeat(349_000).as_bytes()));
    bench.broker.write(0, Some(line(1)));
    assert_eq!(bench.read(&mut bench.open(0)), 2);
    let letters = bench.log.inner.all(Topic::Dlq);
    assert!(letters.len() < 349_000, "{} letters", letters.len());
    let last: DeadLetter = Wire::new().read(letters.last().unwrap().payload.as_deref().unwrap()).unwrap();
    assert!(last.reason.contains("the rest of it is not read"), "{}", last.reason);
    assert_eq!(bench.ids(), ids_of_file(1..2));
}

#[test]
fn names_of_columns_in_a_record_that_is_packed_count_after_a_restart() {
    let bench = Bench::new();
    bench.broker.write_bytes(0, gzip(b"account;time;prompt\n"));
    bench.read(&mut bench.open(0));
    bench.broker.write(0, Some("acct-1;1795242606;word".into()));
    bench.read(&mut bench.open(0));
    assert_eq!((bench.ids().len(), bench.log.inner.all(Topic::Dlq).len()), (1, 0));
}

#[test]
fn a_record_that_is_packed_is_read_and_one_that_unpacks_without_end_is_refused_alone() {
    let bench = Bench::new();
    bench.broker.write_bytes(0, gzip(format!("{}\n{}\n", line(1), line(2)).as_bytes()));
    bench.broker.write_bytes(0, gzip(&vec![b' '; 8 << 20]));
    bench.broker.write_bytes(0, zstd::encode_all(line(3).as_bytes(), 1).unwrap());
    let torn = gzip(line(4).as_bytes());
    bench.broker.write_bytes(0, torn[..torn.len() / 2].to_vec());
    let progress = bench.open(0).run_once(Duration::from_secs(1)).unwrap();
    assert_eq!(progress, TopicProgress { records: 4, events: 3, refused: 2, is_at_end: true });
    assert_eq!(bench.ids(), ids_of_file(1..4));
}

#[test]
fn what_opentelemetrys_collector_writes_is_read_as_json_and_as_protobuf() {
    let bench = Bench::new();
    let field = |tag: u8, bytes: &[u8]| {
        // A length of two bytes, which every length here fits.
        let length = [bytes.len() as u8 | 0x80, (bytes.len() >> 7) as u8];
        [&[tag << 3 | 2], &length[..], bytes].concat()
    };
    let attributes =
        [("user.id", "acct-1"), ("gen_ai.request.model", "m-1"), ("gen_ai.operation.name", "chat")];
    let span = |number: u8| {
        let mut span = [field(1, &[number; 16]), field(2, &[number; 8])].concat();
        span.extend([&[7 << 3 | 1], &(1_795_242_606_000_000_000u64).to_le_bytes()[..]].concat());
        for (key, value) in attributes {
            span.extend(field(
                9,
                &[field(1, key.as_bytes()), field(2, &field(1, value.as_bytes()))].concat(),
            ));
        }
        field(2, &span)
    };
    bench.broker.write_bytes(0, field(1, &field(2, &[span(1), span(2)].concat())));
    let log = [vec![1 << 3 | 1], 1_795_242_606_000_000_000u64.to_le_bytes().to_vec()].concat();
    let log = [log, field(5, &field(1, line(1).as_bytes()))].concat();
    bench.broker.write_bytes(1, field(1, &field(2, &field(2, &log))));
    let attribute =
        |(key, value): (&str, &str)| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
    let spans = format!(
        r#"{{"traceId":"{:032x}","spanId":"{:016x}","startTimeUnixNano":"1795242606000000000","attributes":[{}]}}"#,
        3,
        3,
        attributes.map(attribute).join(",")
    );
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
    bench.broker.write(2, Some(json));
    let progress = bench.open(0).run_once(Duration::from_secs(1)).unwrap();
    assert_eq!(progress, TopicProgress { records: 3, events: 4, refused: 0, is_at_end: true });
    let accounts = |key: &str| events(&bench.log.inner).iter().filter(|event| event.contains(key)).count();
    assert_eq!(accounts("m-1"), 3);
}
