//! What others send: bodies of requests in every notation and packing, and records of a topic, through
//! everything up to the commit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_collector::push::Answer;
use weir_collector::push::body::{Content, Delivery, Notation, Packing};
use weir_collector::{Format, Intake, Keys, Pseudonymizer, PushConfig, Sealer, Tenants, TopicSource};
use weir_schemas::wire::Wire;
use weir_topology::feed::{Feed, FeedRecord, Gap};
use weir_topology::log::{Commit, Log, LogError, Position, Reader, Writer};
use weir_topology::memory::MemoryLog;
use weir_topology::telemetry::Silent;
use weir_topology::topic::Topic;

const BODY_BYTES_MAX: usize = 1 << 20;

/// A log that keeps nothing.
struct Sink(Arc<MemoryLog>);

struct SinkWriter;

impl Log for Sink {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.0.partitions(topic)
    }
    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        self.0.bounds(topic, partition)
    }
    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        self.0.reader(from)
    }
    fn writer(&self, _: &str) -> Result<Box<dyn Writer>, LogError> {
        Ok(Box::new(SinkWriter))
    }
}

impl Writer for SinkWriter {
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        let bytes: usize = commit.outputs.iter().map(|output| output.bytes_len()).sum();
        assert!(bytes < 64 << 20, "{bytes} bytes in one commit");
        Ok(())
    }
}

/// A topic of the records that are put here.
#[derive(Clone, Default)]
struct Given(Arc<Mutex<(i64, Option<Vec<u8>>)>>);

impl Feed for Given {
    fn seek(&mut self, _: &BTreeMap<i32, i64>) -> Result<Vec<Gap>, LogError> {
        Ok(Vec::new())
    }
    fn poll(&mut self, _: Duration) -> Result<Option<FeedRecord>, LogError> {
        let (offset, payload) = &mut *self.0.lock().expect("nobody panics with it");
        *offset += 1;
        let record = |payload| FeedRecord { partition: 0, offset: *offset, payload: Some(payload) };
        Ok(payload.take().map(record))
    }
    fn heads(&mut self) -> Result<Vec<FeedRecord>, LogError> {
        Ok(Vec::new())
    }
    fn is_at_end(&self) -> bool {
        true
    }
}

struct Bench {
    intake: Intake<'static>,
    topic: TopicSource<'static>,
    given: Given,
}

impl Bench {
    fn new() -> Self {
        let log: &'static Sink = Box::leak(Box::new(Sink(MemoryLog::new(3))));
        let keys = || Keys {
            pseudonymizer: Pseudonymizer::new([7; 32], 0),
            sealer: Sealer::new(1, &[2; 32], [9; 32]).expect("it is a key"),
        };
        let config = PushConfig {
            source: "fuzz".into(),
            node: "fuzz".into(),
            tenants: Tenants::any("default"),
            format: Format::Auto,
            keep_text: true,
            body_bytes_max: BODY_BYTES_MAX,
        };
        let (wire, given) = (Arc::new(Wire::new()), Given::default());
        let clock = Arc::new(|| 1_795_300_000_000);
        let intake =
            Intake::open(log, config.clone(), keys(), wire.clone(), Arc::new(Silent), clock.clone());
        let (feed, linger, silent) = (Box::new(given.clone()), Duration::ZERO, Arc::new(Silent));
        let topic = TopicSource::new(log, feed, config, 1, linger, keys(), wire, silent, clock);
        Self { intake: intake.expect("it opens"), topic: topic.expect("it opens"), given }
    }

    fn send(&mut self, kind: u8, body: &[u8]) {
        let (content, notation) = match kind % 6 {
            0 => (Content::Lines, Notation::Json),
            1 => (Content::Logs, Notation::Json),
            2 => (Content::Traces, Notation::Json),
            3 => (Content::Logs, Notation::Protobuf),
            4 => (Content::Traces, Notation::Protobuf),
            _ => {
                self.given.0.lock().expect("nobody panics with it").1 = Some(body.to_vec());
                let progress = self.topic.run_once(Duration::ZERO).expect("the log takes all");
                return assert_eq!(progress.records, 1);
            }
        };
        let packing = match kind / 6 % 8 {
            5 => Packing::Gzip,
            6 => Packing::Deflate,
            7 => Packing::Zstd,
            _ => Packing::Plain,
        };
        let delivery = Delivery { content, notation, packing, body: body.to_vec() };
        let answers = self.intake.take(&[delivery.clone(), delivery]).expect("the log takes all");
        match &answers[..] {
            // Twice the same: the second is known by the first, or as little to be read.
            [Answer::Taken(_), Answer::Taken(again)] => assert!(again.came_before),
            [first, second] => assert!(first == second && *first != Answer::Unavailable),
            _ => panic!("{} answers to two requests", answers.len()),
        }
    }
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(Bench::new());
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, body)) = bytes.split_first() else { return };
    BENCH.with_borrow_mut(|bench| bench.send(*kind, body));
});
