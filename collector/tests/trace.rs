//! A traced process as a source: the same traffic gives the same events as the gateway's own log of it, each once, and
//! nothing raw gets out.

#![allow(clippy::unwrap_used)] // A test's helpers may panic as its tests may.

mod common;

use common::{Fault, FaultyLog, Hand, NOW_MS};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_collector::trace::{Budget, Chunk, ConnectionId, Heard, Loss, TraceProgress, Way};
use weir_collector::{
    Collector, CollectorConfig, CollectorError, Keys, Pseudonymizer, Sampling, Sealer, TraceConfig,
    TraceSource,
};
use weir_schemas::wire::{Wire, split};
use weir_schemas::{Event, EventId, Record, SourceKind};
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::telemetry::Telemetry;
use weir_topology::topic::Topic;

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Telemetry for Told {
    fn trace_lost(&self, cause: &'static str, count: u64) {
        self.0.lock().unwrap().push(format!("{cause} {count}"));
    }
    fn requests_unowned(&self, count: u64) {
        self.0.lock().unwrap().push(format!("unowned {count}"));
    }
}

struct Bench {
    log: FaultyLog,
    told: Arc<Told>,
    pace: Arc<Hand>,
}

fn keys() -> Keys {
    Keys { pseudonymizer: Pseudonymizer::new([1; 32], 1), sealer: Sealer::new(1, &[2; 32], [9; 32]).unwrap() }
}

impl Bench {
    fn new() -> Self {
        let log = FaultyLog::new(MemoryLog::new(3));
        Self { log, told: Arc::default(), pace: Arc::default() }
    }

    fn open(&self, run: u8) -> TraceSource<'_> {
        let config = TraceConfig {
            source: "trace".into(),
            node: "node-1".into(),
            tenant: "default".into(),
            keep_text: false,
            batch_events: 2,
            run: [run; 16],
        };
        let (wire, told, clock) = (Arc::new(Wire::new()), self.told.clone(), Arc::new(|| NOW_MS));
        let source = TraceSource::open(&self.log, &config, keys(), wire, told, clock).unwrap();
        source.paced_by(self.pace.clone())
    }

    fn outputs(&self) -> Vec<Output> {
        self.log.inner.all(Topic::Events)
    }

    fn ids(&self) -> Vec<EventId> {
        self.outputs().iter().map(|output| event(output).event_id).collect()
    }

    /// Until nothing waits: the pauses after failures are over at once.
    fn commit(&self, source: &mut TraceSource<'_>) -> Result<TraceProgress, CollectorError> {
        let mut sum = TraceProgress::default();
        loop {
            sum.events += source.commit()?.events;
            if source.waiting() == 0 {
                return Ok(sum);
            }
            *self.pace.0.lock().unwrap() += Duration::from_secs(60);
        }
    }
}

fn event(output: &Output) -> Event<'_> {
    Event::decode(split(output.payload.as_deref().unwrap()).unwrap().1).unwrap()
}

/// One direction after the other, each in one message.
fn say(source: &mut TraceSource<'_>, connection: u64, at: [&mut u64; 2], request: &[u8], response: &[u8]) {
    let connection = ConnectionId(connection);
    for ((way, bytes, after_ms), offset) in
        [(Way::Received, request, 0), (Way::Sent, response, 250)].into_iter().zip(at)
    {
        let (length, time_ms) = (bytes.len() as u64, NOW_MS + after_ms);
        source.hear(Heard::Chunk(Chunk { connection, way, offset: *offset, bytes, length, time_ms }));
        *offset += length;
    }
}

const BODY: &str = r#"{"model":"atlas-1","max_tokens":64,"temperature":0.5,"logprobs":true,"stream":true,"tools":[{"type":"function"}],"messages":[{"role":"system","content":"You are terse."},{"role":"user","content":"List 10 rivers, as JSON."}]}"#;
const ANSWER: &str = r#"{"model":"atlas-1","choices":[{"finish_reason":"length","message":{"role":"assistant"}}],"usage":{"prompt_tokens":21,"completion_tokens":64}}"#;

fn request(key: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: api\r\nUser-Agent: py/1\r\nAccept: */*\r\nAuthorization: Bearer {key}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn response(status: u16, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[test]
fn the_event_is_that_of_the_gateways_log_field_for_field() {
    let bench = Bench::new();
    let mut source = bench.open(1);
    source.hear(Heard::Peer(ConnectionId(1), "203.0.113.9".parse().unwrap()));
    // A hello of TLS 1.2 with one cipher and no extension, in two pieces.
    let hello = [&[22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 0x01, 1, 0]].concat();
    source.hear(Heard::Hello(ConnectionId(1), 0, &hello[..5]));
    source.hear(Heard::Hello(ConnectionId(1), 5, &hello[5..]));
    say(&mut source, 1, [&mut 0, &mut 0], &request("sk-canary-1", BODY), &response(200, ANSWER));
    bench.commit(&mut source).unwrap();

    let directory = tempfile::TempDir::new().unwrap();
    let line = serde_json::json!({
        "account": "sk-canary-1", "time": NOW_MS + 250, "request_time": 0.25, "ip": "203.0.113.9", "user_agent": "py/1",
        "uri": "/v1/chat/completions?x=1", "request_body": BODY, "status": 200, "bytes_sent": ANSWER.len(),
        "header_order": "host,user-agent,accept,authorization,content-length",
        "prompt_tokens": 21, "completion_tokens": 64, "finish_reason": "length",
        "ja3": "ea1e247991e541e39bf918cb7cfa5139", "ja4": "t12i010000_0f2cb44170f4_000000000000",
    });
    std::fs::write(directory.path().join("log"), format!("{line}\n")).unwrap();
    let logged = MemoryLog::new(3);
    let config = CollectorConfig::new(directory.path().join("log"), "node-1");
    let wire = Arc::new(Wire::new());
    let mut collector =
        Collector::open(&*logged, config, keys(), wire, Arc::new(Told::default()), Arc::new(|| NOW_MS))
            .unwrap();
    while !collector.run_once(Duration::ZERO).unwrap().at_end() {}

    let (traced, logged) = (bench.outputs(), logged.all(Topic::Events));
    assert_eq!((traced.len(), logged.len()), (1, 1));
    let (mut traced, logged) = (event(&traced[0]), event(&logged[0]));
    assert_eq!(traced.source, SourceKind::Uprobe);
    assert_ne!(traced.event_id, logged.event_id);
    (traced.source, traced.event_id) = (logged.source, logged.event_id);
    assert_eq!(traced, logged);
}

#[test]
fn every_exchange_is_an_event_once_whatever_the_log_does() {
    for faults in [
        vec![],
        vec![Fault::Abort],
        vec![Fault::CommitAndForget],
        vec![Fault::Forget, Fault::CommitAndForget, Fault::Full],
        vec![Fault::CommitAndForget, Fault::CommitAndForget, Fault::CommitAndForget],
    ] {
        let bench = Bench::new();
        let mut source = bench.open(1);
        bench.log.faults.lock().unwrap().extend(faults);
        let (mut received, mut sent) = (0, 0);
        for index in 0..7 {
            let request = request(&format!("sk-{index}"), BODY);
            say(&mut source, 1, [&mut received, &mut sent], &request, &response(200, ANSWER));
        }
        assert_eq!(bench.commit(&mut source).unwrap().events, 7);
        let mut ids = bench.ids();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), bench.outputs().len()), (7, 7));
        let announced = bench.log.inner.all(Topic::Identities);
        assert_eq!(announced.len(), 7, "each account is announced once");
    }
}

#[test]
fn another_run_of_the_source_makes_other_events_and_the_earlier_one_ends() {
    let bench = Bench::new();
    let mut first = bench.open(1);
    say(&mut first, 1, [&mut 0, &mut 0], &request("sk-1", BODY), &response(200, ANSWER));
    bench.commit(&mut first).unwrap();
    let mut second = bench.open(2);
    say(&mut second, 1, [&mut 0, &mut 0], &request("sk-1", BODY), &response(200, ANSWER));
    bench.commit(&mut second).unwrap();
    let ids = bench.ids();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
    say(&mut first, 2, [&mut 0, &mut 0], &request("sk-1", BODY), &response(200, ANSWER));
    assert!(matches!(first.commit(), Err(CollectorError::Fenced { .. })));
}

#[test]
fn nothing_raw_leaves_and_a_key_that_was_refused_makes_no_account() {
    let bench = Bench::new();
    let mut source = bench.open(1);
    let body = r#"{"model":"m","messages":[{"role":"user","content":"canary-prompt"}]}"#;
    let (mut received, mut sent) = (0, 0);
    let mut exchange = |key, status| {
        say(&mut source, 1, [&mut received, &mut sent], &request(key, body), &response(status, "{}"));
    };
    exchange("canary-key-1", 200);
    exchange("canary-key-2", 401);
    source.lose(Loss::TapFull, 3);
    bench.commit(&mut source).unwrap();
    assert_eq!(bench.outputs().len(), 1);
    assert_eq!(bench.log.inner.all(Topic::Identities).len(), 1);
    for topic in Topic::ALL {
        for output in bench.log.inner.all(*topic) {
            let bytes = [&output.key[..], output.payload.as_deref().unwrap_or_default()].concat();
            assert!(!bytes.windows(6).any(|window| window == b"canary"), "{topic:?}");
        }
    }
    assert_eq!(
        *bench.told.0.lock().unwrap(),
        ["unowned 1", "hello_unheard 1", "address_unheard 1", "tap_full 3"]
    );
}

#[test]
fn of_accounts_that_are_left_out_nothing_leaves_and_all_that_the_others_do_says_how_many_were_kept() {
    const ACCOUNTS: usize = 32;
    let bench = Bench::new();
    let mut source = bench.open(1);
    let (mut received, mut sent) = (0, 0);
    let mut round = |source: &mut TraceSource<'_>| {
        for account in 0..ACCOUNTS {
            let request = request(&format!("sk-{account}"), BODY);
            say(source, 1, [&mut received, &mut sent], &request, &response(200, ANSWER));
        }
    };
    let mut budget = Budget::of_ppm(1);
    assert_eq!(budget.look(0, 0), None);
    let mut over = |now_ms| budget.look(now_ms, now_ms * 1_000).unwrap().sampling;
    source.sample(over(5_000));
    let quarter = over(10_000);
    source.sample(quarter);
    round(&mut source);
    bench.commit(&mut source).unwrap();
    let kept: Vec<_> = bench.outputs().iter().map(|output| event(output).account).collect();
    assert!((2..=16).contains(&kept.len()), "about a quarter of {ACCOUNTS}: {}", kept.len());
    assert_eq!(bench.log.inner.all(Topic::Identities).len(), kept.len(), "nobody is told who the others are");

    // Those that are kept are the same ones; and all are again from the next request on.
    round(&mut source);
    source.sample(Sampling::ALL);
    round(&mut source);
    bench.commit(&mut source).unwrap();
    let mut all = BTreeMap::<_, Vec<i32>>::new();
    for output in bench.outputs() {
        let event = event(&output);
        assert_eq!(event.sample_weight, 1);
        all.entry(event.account).or_default().push(event.sampling);
    }
    assert_eq!(all.len(), ACCOUNTS);
    for (account, rates) in &all {
        let expected: &[i32] = if kept.contains(account) { &[4, 4, 1] } else { &[1] };
        assert_eq!(rates, expected, "{account}");
    }
    assert_eq!(bench.log.inner.all(Topic::Identities).len(), ACCOUNTS);
    let told = bench.told.0.lock().unwrap();
    let sampled = told.iter().filter_map(|line| line.strip_prefix("sampled ")?.parse::<usize>().ok());
    assert_eq!(sampled.sum::<usize>(), 2 * (ACCOUNTS - kept.len()));
}

#[test]
fn what_was_heard_to_its_end_is_kept_when_listening_ends() {
    let bench = Bench::new();
    let mut source = bench.open(1);
    say(&mut source, 1, [&mut 0, &mut 0], &request("sk-1", BODY), b"HTTP/1.1 200 OK\r\n\r\nuntil close");
    say(&mut source, 2, [&mut 0, &mut 0], &request("sk-2", BODY), b"");
    assert_eq!(bench.commit(&mut source).unwrap().events, 0);
    source.end();
    assert_eq!(bench.commit(&mut source).unwrap().events, 2);
    assert_eq!(*bench.told.0.lock().unwrap(), ["unanswered 1", "hello_unheard 2", "address_unheard 2"]);
}
