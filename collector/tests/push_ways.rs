//! One recording, four ways in: OTLP as JSON, OTLP as protobuf, JSON lines, and the same lines read as a
//! file. The events are the same, so what they come to is; only what they are known by tells of the way.

#![allow(clippy::unwrap_used)] // A test's helpers may panic as its tests may.

use std::sync::Arc;
use std::time::Duration;
use weir_collector::push::body::{Content, Delivery, Notation, Packing};
use weir_collector::push::{Answer, Taken};
use weir_collector::{
    Collector, CollectorConfig, Format, Intake, Keys, Mode, Pseudonymizer, PushConfig, Sealer, Tenants,
};
use weir_schemas::wire::{Wire, split};
use weir_schemas::{Body, Event, EventId, Origin, Record, SourceKind};
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::telemetry::Silent;
use weir_topology::topic::Topic;

const NOW_MS: i64 = 1_795_300_000_000;
const START_MS: u64 = 1_795_242_606_000;

/// One request of the recording.
struct Asked {
    number: u64,
    account: String,
    prompt: String,
}

/// A campaign that asks one thing in many words, and somebody who asks of everything.
fn recording() -> Vec<Asked> {
    let asked = |number: u64| {
        let (account, prompt) = match number % 7 {
            0 => (
                "customer-1".into(),
                format!("What shall I call boat {number}? \"Quotes\" \\ and\n lines, ünïcödé"),
            ),
            other => (
                format!("campaign-{other}"),
                format!(
                    "Think step by step and show all of your reasoning. Problem {number}: add the numbers."
                ),
            ),
        };
        Asked { number, account, prompt }
    };
    (0..70).map(asked).collect()
}

impl Asked {
    fn start_ms(&self) -> u64 {
        START_MS + self.number * 1_500
    }

    fn ip(&self) -> String {
        format!("192.0.2.{}", self.number % 7)
    }

    fn line(&self) -> String {
        format!(
            r#"{{"account":{},"time":{},"model":"m-1","prompt":{},"system_prompt":"You are terse.","max_tokens":300,"temperature":0.2,"tokens":{},"completion_tokens":4,"status":200,"latency_ms":412,"finish_reason":"stop","ip":"{}","user_agent":"OpenAI/Python 1.60","endpoint":"/v1/chat/completions","turns":1,"tools_called":0}}"#,
            text(&self.account),
            self.start_ms(),
            text(&self.prompt),
            self.number,
            self.ip(),
        )
    }

    /// The attributes of its span.
    fn attributes(&self) -> Vec<(&'static str, Value)> {
        let messages =
            format!(r#"[{{"role":"user","parts":[{{"type":"text","content":{}}}]}}]"#, text(&self.prompt));
        vec![
            ("gen_ai.request.model", Value::Text("m-1".into())),
            ("gen_ai.request.max_tokens", Value::Int(300)),
            ("gen_ai.request.temperature", Value::Double(0.2)),
            ("gen_ai.response.finish_reasons", Value::List(vec![Value::Text("stop".into())])),
            ("gen_ai.usage.input_tokens", Value::Int(self.number as i64)),
            ("gen_ai.usage.output_tokens", Value::Int(4)),
            ("enduser.id", Value::Text(self.account.clone())),
            ("client.address", Value::Text(self.ip())),
            ("user_agent.original", Value::Text("OpenAI/Python 1.60".into())),
            ("url.path", Value::Text("/v1/chat/completions".into())),
            ("http.response.status_code", Value::Int(200)),
            ("gen_ai.input.messages", Value::Text(messages)),
            (
                "gen_ai.system_instructions",
                Value::Text(r#"[{"type":"text","content":"You are terse."}]"#.into()),
            ),
        ]
    }

    fn span_json(&self) -> String {
        let attributes: Vec<String> = self
            .attributes()
            .iter()
            .map(|(key, value)| format!(r#"{{"key":"{key}","value":{}}}"#, value.json()))
            .collect();
        format!(
            r#"{{"traceId":"{:032X}","spanId":"{:016x}","name":"chat m-1","kind":3,"startTimeUnixNano":"{}000000","endTimeUnixNano":"{}000000","attributes":[{}]}}"#,
            self.number + 1,
            self.number + 1,
            self.start_ms(),
            self.start_ms() + 412,
            attributes.join(",")
        )
    }

    fn span_protobuf(&self) -> Vec<u8> {
        let id = self.number + 1;
        let mut span = [
            field(1, &u128::from(id).to_be_bytes()),
            field(2, &id.to_be_bytes()),
            field(5, b"chat m-1"),
            number(6, 3),
            fixed64(7, self.start_ms() * 1_000_000),
            fixed64(8, (self.start_ms() + 412) * 1_000_000),
        ]
        .concat();
        for (key, value) in self.attributes() {
            span.extend(field(9, &[field(1, key.as_bytes()), field(2, &value.protobuf())].concat()));
        }
        // Fields that nobody here knows.
        span.extend([number(10, 2), field(99, b"new")].concat());
        span
    }
}

enum Value {
    Text(String),
    Int(i64),
    Double(f64),
    List(Vec<Value>),
}

impl Value {
    fn json(&self) -> String {
        match self {
            Self::Text(value) => format!(r#"{{"stringValue":{}}}"#, text(value)),
            Self::Int(value) => format!(r#"{{"intValue":"{value}"}}"#),
            Self::Double(value) => format!(r#"{{"doubleValue":{value}}}"#),
            Self::List(values) => {
                let values: Vec<String> = values.iter().map(Self::json).collect();
                format!(r#"{{"arrayValue":{{"values":[{}]}}}}"#, values.join(","))
            }
        }
    }

    fn protobuf(&self) -> Vec<u8> {
        match self {
            Self::Text(value) => field(1, value.as_bytes()),
            Self::Int(value) => number(3, *value as u64),
            Self::Double(value) => fixed64(4, value.to_bits()),
            Self::List(values) => {
                let values: Vec<Vec<u8>> = values.iter().map(|value| field(1, &value.protobuf())).collect();
                field(5, &values.concat())
            }
        }
    }
}

/// A text of JSON.
fn text(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn field(tag: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(tag << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn number(tag: u64, value: u64) -> Vec<u8> {
    [varint(tag << 3), varint(value)].concat()
}

fn fixed64(tag: u64, value: u64) -> Vec<u8> {
    [varint(tag << 3 | 1), value.to_le_bytes().to_vec()].concat()
}

fn keys() -> Keys {
    Keys { pseudonymizer: Pseudonymizer::new([1; 32], 1), sealer: Sealer::new(1, &[2; 32], [9; 32]).unwrap() }
}

fn intake(log: &MemoryLog) -> Intake<'_> {
    let config = PushConfig {
        source: "listen".into(),
        node: "node-1".into(),
        tenants: Tenants::any("default"),
        format: Format::Auto,
        keep_text: true,
        body_bytes_max: 1 << 20,
    };
    Intake::open(log, config, keys(), Arc::new(Wire::new()), Arc::new(Silent), Arc::new(|| NOW_MS)).unwrap()
}

fn push(log: &MemoryLog, content: Content, notation: Notation, body: Vec<u8>) -> Answer {
    intake(log).take(&[Delivery { content, notation, packing: Packing::Plain, body }]).unwrap().remove(0)
}

/// What is committed, without what tells of the way in.
fn events(log: &MemoryLog) -> Vec<String> {
    let mut events: Vec<String> = log
        .all(Topic::Events)
        .iter()
        .map(|output: &Output| {
            let event = Event::decode(split(output.payload.as_deref().unwrap()).unwrap().1).unwrap();
            assert_eq!(event.origin, Origin::Live);
            let event =
                Event { event_id: EventId([0; 16]), request_id: None, source: SourceKind::Other, ..event };
            format!("{event:?}")
        })
        .collect();
    events.sort();
    events
}

#[test]
fn one_recording_is_the_same_events_whichever_way_it_comes_in() {
    let recording = recording();
    let all = |each: &dyn Fn(&Asked) -> String, between: &str| {
        recording.iter().map(each).collect::<Vec<_>>().join(between)
    };
    let lines = all(&Asked::line, "\n") + "\n";
    let spans = all(&Asked::span_json, ",");
    let otlp = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
    let spans: Vec<u8> = recording.iter().flat_map(|asked| field(2, &asked.span_protobuf())).collect();
    let protobuf = field(1, &[field(1, b""), field(2, &spans)].concat());

    let of_file = MemoryLog::new(3);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.jsonl");
    std::fs::write(&path, &lines).unwrap();
    let mut config = CollectorConfig::new(path, "node-1");
    (config.mode, config.keep_text, config.linger) = (Mode::Tail, true, Duration::ZERO);
    let wire = Arc::new(Wire::new());
    let mut collector =
        Collector::open(&*of_file, config, keys(), wire, Arc::new(Silent), Arc::new(|| NOW_MS)).unwrap();
    while !collector.run_once(Duration::ZERO).unwrap().at_end() {}
    let expected = events(&of_file);
    assert_eq!(expected.len(), recording.len());

    let taken = Answer::Taken(Taken { events: recording.len() as u64, ..Taken::default() });
    for (way, content, notation, body) in [
        ("JSON lines", Content::Lines, Notation::Json, lines.into_bytes()),
        ("OTLP as JSON", Content::Traces, Notation::Json, otlp.into_bytes()),
        ("OTLP as protobuf", Content::Traces, Notation::Protobuf, protobuf),
    ] {
        let log = MemoryLog::new(3);
        assert_eq!(push(&log, content, notation, body), taken, "{way}");
        let events = events(&log);
        for (event, expected) in events.iter().zip(&expected) {
            assert_eq!(event, expected, "{way}");
        }
        assert_eq!(events.len(), expected.len(), "{way}");
    }
}

#[test]
fn a_span_is_one_event_whether_it_is_written_as_json_or_as_protobuf() {
    let log = MemoryLog::new(3);
    let asked = &recording()[3];
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, asked.span_json());
    let protobuf = field(1, &field(2, &field(2, &asked.span_protobuf())));
    push(&log, Content::Traces, Notation::Json, json.into_bytes());
    let answer = push(&log, Content::Traces, Notation::Protobuf, protobuf);
    assert_eq!(answer, Answer::Taken(Taken { known: 1, ..Taken::default() }));
}

#[test]
fn log_records_as_protobuf_are_read_with_the_line_in_their_body() {
    let log = MemoryLog::new(3);
    let of_text = |text: &[u8]| [fixed64(1, START_MS * 1_000_000), field(5, &field(1, text))].concat();
    let line = of_text(recording()[1].line().as_bytes());
    let pairs = [("account", "acct-9"), ("time", "1795242606"), ("prompt", "word 9")].map(|(key, value)| {
        field(1, &[field(1, key.as_bytes()), field(2, &field(1, value.as_bytes()))].concat())
    });
    let parsed = field(5, &field(6, &pairs.concat()));
    // A text that is not UTF-8 costs itself alone.
    let strange = of_text(b"{\"account\":\"a\xff\",\"time\":1795242606,\"prompt\":\"w\"}");
    let other = of_text(b"the gateway has started");
    let records: Vec<u8> =
        [line, parsed, strange, other].iter().flat_map(|record| field(2, record)).collect();
    let answer = push(&log, Content::Logs, Notation::Protobuf, field(1, &field(2, &records)));
    assert_eq!(answer, Answer::Taken(Taken { events: 3, other: 1, ..Taken::default() }));
}

#[test]
fn a_value_that_nests_without_end_costs_itself_alone() {
    let log = MemoryLog::new(3);
    let mut deep = field(1, b"x");
    for _ in 0..10_000 {
        deep = field(5, &field(1, &deep));
    }
    let mut span = recording()[3].span_protobuf();
    span.extend(field(9, &[field(1, b"deep"), field(2, &deep)].concat()));
    let answer = push(&log, Content::Traces, Notation::Protobuf, field(1, &field(2, &field(2, &span))));
    assert_eq!(answer, Answer::Taken(Taken { events: 1, ..Taken::default() }));
}

#[test]
fn a_body_that_is_no_protobuf_is_not_taken() {
    let log = MemoryLog::new(3);
    let whole = field(1, &field(2, &field(2, &recording()[3].span_protobuf())));
    let torn = whole[..whole.len() - 5].to_vec();
    let inner = field(1, &field(2, b"\xff\xff\xff"));
    for body in [b"{}".to_vec(), b"\xff".to_vec(), torn, inner] {
        let answer = push(&log, Content::Traces, Notation::Protobuf, body);
        let Answer::Malformed(reason) = &answer else { panic!("{answer:?}") };
        assert!(reason.starts_with("the body is no OTLP export as protobuf: "), "{reason}");
    }
    assert_eq!(log.all(Topic::Events).len(), 0);
    // An export of nothing is one.
    assert_eq!(push(&log, Content::Traces, Notation::Protobuf, Vec::new()), Answer::Taken(Taken::default()));
}

/// Whatever bytes come, they are answered and nothing panics.
#[test]
fn any_bytes_are_answered() {
    let log = MemoryLog::new(3);
    let mut intake = intake(&log);
    let whole = field(1, &field(2, &field(2, &recording()[3].span_protobuf())));
    let mut state = 7u64;
    for round in 0..2_000usize {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut body = whole.clone();
        let at = (state >> 33) as usize % body.len();
        body[at] ^= 1 << (state % 8);
        body.truncate(body.len() - round % 3);
        for (content, notation) in [
            (Content::Traces, Notation::Protobuf),
            (Content::Logs, Notation::Protobuf),
            (Content::Logs, Notation::Json),
            (Content::Lines, Notation::Json),
        ] {
            let packing = [Packing::Plain, Packing::Gzip, Packing::Zstd][round % 3];
            let answers =
                intake.take(&[Delivery { content, notation, packing, body: body.clone() }]).unwrap();
            assert_ne!(answers, [Answer::Unavailable]);
        }
    }
    let Body::Request(_) =
        Event::decode(split(log.all(Topic::Events)[0].payload.as_deref().unwrap()).unwrap().1).unwrap().body
    else {
        panic!("no request")
    };
}
