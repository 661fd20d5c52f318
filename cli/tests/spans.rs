//! Spans of verdicts and of what was done about them, over a whole run, as a collector of OpenTelemetry's
//! gets them.
//!
//! The collector is a stand-in: it takes what is posted to `/v1/traces` and reads the protobuf by its field
//! numbers, as OpenTelemetry publishes them, with nothing of what wrote it.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::{Place, success, text};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The value of a field.
#[derive(Debug, Clone, Copy)]
enum Wire<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

impl<'b> Wire<'b> {
    fn bytes(self) -> &'b [u8] {
        if let Self::Bytes(bytes) = self { bytes } else { panic!("it is a number") }
    }

    fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            break;
        }
    }
    number
}

/// The fields of a message: number and value.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Wire<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Wire::Number(varint(&mut bytes)),
            1 => {
                let (number, rest) = bytes.split_at(8);
                bytes = rest;
                Wire::Number(u64::from_le_bytes(number.try_into().unwrap()))
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Wire::Bytes(value)
            }
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, value));
    }
    found
}

fn children(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    fields(bytes).into_iter().filter(|(found, _)| *found == number).map(|(_, wire)| wire.bytes()).collect()
}

fn attributes(bytes: &[u8], number: u64) -> BTreeMap<String, String> {
    let pair = |message: &[u8]| {
        let value = children(message, 2)[0];
        (fields(message)[0].1.text(), fields(value)[0].1.text())
    };
    children(bytes, number).into_iter().map(pair).collect()
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    begins_ns: u64,
    ends_ns: u64,
    attributes: BTreeMap<String, String>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn span(message: &[u8]) -> Span {
    let mut span = Span {
        trace: String::new(),
        id: String::new(),
        parent: String::new(),
        name: String::new(),
        begins_ns: 0,
        ends_ns: 0,
        attributes: attributes(message, 9),
    };
    for field in fields(message) {
        match field {
            (1, wire) => span.trace = hex(wire.bytes()),
            (2, wire) => span.id = hex(wire.bytes()),
            (4, wire) => span.parent = hex(wire.bytes()),
            (5, wire) => span.name = wire.text(),
            (6, Wire::Number(kind)) => assert_eq!(kind, 1, "SPAN_KIND_INTERNAL"),
            (7, Wire::Number(time)) => span.begins_ns = time,
            (8, Wire::Number(time)) => span.ends_ns = time,
            (9 | 15, _) => {}
            other => panic!("{other:?}"),
        }
    }
    span
}

/// What was posted, and to where.
#[derive(Default)]
struct Held {
    bodies: Vec<Vec<u8>>,
    /// Statuses of the next answers; 200 when there are none.
    statuses: Vec<u16>,
}

struct Collector {
    url: String,
    held: Arc<Mutex<Held>>,
}

impl Collector {
    fn start(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let held = Arc::new(Mutex::new(Held { statuses: statuses.to_vec(), ..Held::default() }));
        let all = held.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let held = all.clone();
                std::thread::spawn(move || serve(BufReader::new(stream.unwrap()), &held));
            }
        });
        Self { url, held }
    }

    /// The spans that were taken; the same again is the same.
    fn spans(&self) -> BTreeSet<Span> {
        let held = self.held.lock().unwrap();
        let mut spans = BTreeSet::new();
        for body in &held.bodies {
            for resource in children(body, 1) {
                let of = attributes(children(resource, 1)[0], 1);
                assert_eq!((of["service.name"].as_str(), of["host.name"].as_str()), ("Weir", "test"));
                for scope in children(resource, 2) {
                    spans.extend(children(scope, 2).into_iter().map(span));
                }
            }
        }
        spans
    }
}

fn serve(mut stream: BufReader<TcpStream>, held: &Mutex<Held>) {
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_lowercase();
        assert!(head.starts_with("post /v1/traces "), "{head}");
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        let mut held = held.lock().unwrap();
        let status = if held.statuses.is_empty() { 200 } else { held.statuses.remove(0) };
        if status == 200 {
            held.bodies.push(body);
        }
        let answer = format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n\r\n");
        stream.get_mut().write_all(answer.as_bytes()).unwrap();
    }
}

#[test]
fn a_run_tells_the_way_from_event_to_effect_by_verdict_and_a_share_of_it_is_whole() {
    let place = Place::new();
    place.feed_recorded_now();
    place.set_posture("enforce");
    // Busy, and failing: the same is sent again.
    let collector = Collector::start(&[503, 500]);
    let tell = |collector: &Collector, group: &str, share: &str| {
        let mut run = place.run_to_idle();
        run.args(["--export-otlp-url", &collector.url, "--export-otlp-share-permille", share]);
        run.args(["--export-group", group]);
        success(run)
    };
    tell(&collector, "whole", "1000");
    let spans = collector.spans();
    let named = |name: &str| -> BTreeMap<&str, &Span> {
        spans.iter().filter(|span| span.name == name).map(|span| (span.trace.as_str(), span)).collect()
    };
    let (verdicts, decisions) = (named("event_to_verdict"), named("event_to_decision"));
    let effects = named("event_to_effect");
    assert!(!effects.is_empty(), "{spans:?}");
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "each has an id of its own");
    for span in &spans {
        assert!(span.trace.len() == 32 && span.id.len() == 16 && span.begins_ns <= span.ends_ns, "{span:?}");
        assert_eq!(span.attributes["weir.verdict_id"], span.trace);
        let verdict = verdicts[span.trace.as_str()];
        let parent = if span.name == "event_to_verdict" { "" } else { &verdict.id };
        assert_eq!((span.parent.as_str(), span.begins_ns), (parent, verdict.begins_ns), "{span:?}");
        assert_eq!(span.attributes["weir.account"], verdict.attributes["weir.account"]);
    }
    // What the enforcer wrote down is what the spans tell.
    let lines = place.lines_of("enforcement_actions.jsonl");
    let mut told = 0;
    for line in &lines {
        let (trace, taken_ms) = (line["verdict_id"].as_str().unwrap(), line["taken_ms"].as_u64().unwrap());
        let of_action = |span: &&Span| {
            span.attributes.get("weir.action_id") == line["action_id"].as_str().map(str::to_owned).as_ref()
        };
        let own: Vec<&Span> = spans.iter().filter(|span| span.trace == trace).filter(of_action).collect();
        let state = line["state"].as_str().unwrap();
        match state {
            "PENDING" | "WITHHELD" => {
                let decision = own.iter().find(|span| span.name == "event_to_decision").unwrap();
                assert_eq!(decision.ends_ns, taken_ms * 1_000_000, "{line}");
                told += 1;
            }
            "DONE" => {
                let effect = own.iter().find(|span| span.name == "event_to_effect").unwrap();
                if let (Some(expires), Some(lasts)) = (line["expires_ms"].as_u64(), line["lasts_ms"].as_u64())
                {
                    assert_eq!(effect.ends_ns, (expires - lasts) * 1_000_000, "{line}");
                }
                told += 1;
            }
            _ => {}
        }
    }
    assert!(told > 0 && !decisions.is_empty(), "{lines:?}");
    // No raw id leaves: the recorded log's keys begin so.
    for body in &collector.held.lock().unwrap().bodies {
        assert!(!String::from_utf8_lossy(body).contains("sk-"));
    }

    // Another exporter, another time, half of it: the same spans, and of each trace all or none.
    let half = Collector::start(&[]);
    tell(&half, "half", "500");
    let kept = half.spans();
    let traces: BTreeSet<&str> = kept.iter().map(|span| span.trace.as_str()).collect();
    let whole: BTreeSet<Span> =
        spans.iter().filter(|span| traces.contains(span.trace.as_str())).cloned().collect();
    assert_eq!(kept, whole);
    let is_upper = |trace: &str| u8::from_str_radix(&trace[18..20], 16).unwrap() >= 0x80;
    let upper: BTreeSet<&str> = verdicts.keys().copied().filter(|trace| is_upper(trace)).collect();
    assert_eq!(traces, upper, "by the id's last 56 bits, as OpenTelemetry's samplers do");
    assert!(!upper.is_empty() && upper.len() < verdicts.len());
}

#[test]
fn what_a_collector_will_not_take_is_counted_and_holds_nothing_up() {
    let place = Place::new();
    place.feed_recorded_now();
    let collector = Collector::start(&[400; 1_000]);
    let mut run = place.run_to_idle();
    run.args(["--export-otlp-url", &collector.url, "--export-otlp-share-permille", "1000"]);
    let output = success(run);
    assert!(text(&output.stderr).contains("refused"), "{}", text(&output.stderr));
    assert!(collector.spans().is_empty());
}
