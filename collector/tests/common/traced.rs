//! A source of traced processes on a log whose commits fail as they are told to.

use super::{FaultyLog, Hand, NOW_MS};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_collector::trace::{Chunk, ConnectionId, Heard, TraceProgress, Way};
use weir_collector::{
    CollectorError, Handover, Keys, Pseudonymizer, Sealer, Spool, SpoolConfig, SyncPolicy, TraceConfig,
    TraceSource,
};
use weir_schemas::wire::{Wire, split};
use weir_schemas::{Event, EventId, Record};
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::telemetry::Telemetry;
use weir_topology::topic::Topic;

#[derive(Default)]
pub struct Told(pub Mutex<Vec<String>>);

impl Telemetry for Told {
    fn trace_lost(&self, cause: &'static str, count: u64) {
        self.0.lock().unwrap().push(format!("{cause} {count}"));
    }
    fn spool_replayed(&self, events: u64) {
        self.0.lock().unwrap().push(format!("replayed {events}"));
    }
    fn spool_damaged(&self, kind: &'static str, file: &str, from: u64, bytes: u64) {
        let name = Path::new(file).file_name().unwrap().display();
        self.0.lock().unwrap().push(format!("{kind} {name} {from} {bytes}"));
    }
    fn spool_passed_over(&self, reason: &str) {
        self.0.lock().unwrap().push(format!("passed over: {reason}"));
    }
    fn requests_unowned(&self, count: u64) {
        self.0.lock().unwrap().push(format!("unowned {count}"));
    }
}

pub struct Bench {
    pub log: FaultyLog,
    pub told: Arc<Told>,
    pub pace: Arc<Hand>,
    pub keep_text: bool,
}

pub fn keys() -> Keys {
    Keys { pseudonymizer: Pseudonymizer::new([1; 32], 1), sealer: Sealer::new(1, &[2; 32], [9; 32]).unwrap() }
}

impl Bench {
    pub fn new() -> Self {
        let log = FaultyLog::new(MemoryLog::new(3));
        Self { log, told: Arc::default(), pace: Arc::default(), keep_text: false }
    }

    pub fn open(&self, run: u8) -> Traced<'_> {
        self.try_open(run, None).unwrap()
    }

    pub fn try_open(&self, run: u8, spool: Option<Spool>) -> Result<Traced<'_>, CollectorError> {
        let config = TraceConfig {
            source: "trace".into(),
            node: "node-1".into(),
            tenant: "default".into(),
            keep_text: self.keep_text,
            batch_events: 2,
            run: [run; 16],
        };
        let (wire, told, clock) = (Arc::new(Wire::new()), self.told.clone(), Arc::new(|| NOW_MS));
        let (source, handover) = TraceSource::open(&self.log, &config, spool, keys(), wire, told, clock)?;
        let (source, handover) = (source.paced_by(self.pace.clone()), handover.paced_by(self.pace.clone()));
        Ok(Traced { source, handover })
    }

    /// With the spool of a directory.
    pub fn spooling(&self, run: u8, directory: &Path) -> Traced<'_> {
        self.try_open(run, Some(Spool::open(&spool(run, directory)).unwrap())).unwrap()
    }

    pub fn outputs(&self) -> Vec<Output> {
        self.log.inner.all(Topic::Events)
    }

    pub fn ids(&self) -> Vec<EventId> {
        self.outputs().iter().map(|output| event(output).event_id).collect()
    }

    /// Until nothing waits: the pauses after failures are over at once.
    pub fn commit(&self, traced: &mut Traced<'_>) -> Result<TraceProgress, CollectorError> {
        traced.source.close();
        let mut sum = TraceProgress::default();
        loop {
            sum.events += traced.handover.commit()?.events;
            if traced.handover.waits().is_empty() {
                return Ok(sum);
            }
            *self.pace.0.lock().unwrap() += Duration::from_secs(60);
        }
    }
}

/// A source, and what commits what it heard.
pub struct Traced<'l> {
    pub source: TraceSource,
    pub handover: Handover<'l>,
}

pub fn event(output: &Output) -> Event<'_> {
    Event::decode(split(output.payload.as_deref().unwrap()).unwrap().1).unwrap()
}

/// One direction after the other, each in one message.
pub fn say(traced: &mut Traced<'_>, connection: u64, at: [&mut u64; 2], request: &[u8], response: &[u8]) {
    let connection = ConnectionId(connection);
    for ((way, bytes, after_ms), offset) in
        [(Way::Received, request, 0), (Way::Sent, response, 250)].into_iter().zip(at)
    {
        let (length, time_ms) = (bytes.len() as u64, NOW_MS + after_ms);
        traced.source.hear(Heard::Chunk(Chunk { connection, way, offset: *offset, bytes, length, time_ms }));
        *offset += length;
    }
}

pub const BODY: &str = r#"{"model":"atlas-1","max_tokens":64,"temperature":0.5,"logprobs":true,"stream":true,"tools":[{"type":"function"}],"messages":[{"role":"system","content":"You are terse."},{"role":"user","content":"List 10 rivers, as JSON."}]}"#;
pub const ANSWER: &str = r#"{"model":"atlas-1","choices":[{"finish_reason":"length","message":{"role":"assistant"}}],"usage":{"prompt_tokens":21,"completion_tokens":64}}"#;

pub fn request(key: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: api\r\nUser-Agent: py/1\r\nAccept: */*\r\nAuthorization: Bearer {key}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub fn response(status: u16, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The spool of a directory as [`Bench`]'s source has it.
pub fn spool(run: u8, directory: &Path) -> SpoolConfig {
    SpoolConfig {
        directory: directory.to_owned(),
        source_key: "node-1/trace".into(),
        bytes_max: 1 << 30,
        sync: SyncPolicy::Never,
        run: [run; 16],
        opened_ms: 0,
    }
}
