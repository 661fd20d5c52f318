//! OpenTelemetry's protobuf, as far as it is read: every span and log record becomes the JSON that OTLP has for it, which
//! the formats read.
//!
//! Messages are opened one level at a time (a message within another is bytes until then), so that a large request
//! costs no tree of it and nothing nests deeper than this decides. Texts are bytes: one that is not UTF-8 is a fault of
//! its own, not of the request.

use super::body::{Content, Fault};
use super::otlp::Item;
use crate::json::write_text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message;
use std::fmt::Write as _;

/// Deepest nesting of values that is read; what is deeper is null.
const DEPTH_MAX: usize = 16;

/// A request: resources, each with scopes, each with spans or log records. The numbers of these fields are the same for
/// both.
#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    resources: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct OfResource {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    scopes: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct OfScope {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    items: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "bytes", tag = "1")]
    trace_id: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    span_id: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    parent_span_id: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    name: Bytes,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(bytes = "bytes", repeated, tag = "9")]
    attributes: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "11")]
    events: Vec<Bytes>,
    #[prost(message, optional, tag = "15")]
    status: Option<SpanStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct SpanStatus {
    #[prost(bytes = "bytes", tag = "2")]
    message: Bytes,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct SpanEvent {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(bytes = "bytes", tag = "2")]
    name: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    attributes: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    severity_number: i32,
    #[prost(bytes = "bytes", tag = "3")]
    severity_text: Bytes,
    #[prost(bytes = "bytes", optional, tag = "5")]
    body: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    attributes: Vec<Bytes>,
    #[prost(bytes = "bytes", tag = "9")]
    trace_id: Bytes,
    #[prost(bytes = "bytes", tag = "10")]
    span_id: Bytes,
    #[prost(fixed64, tag = "11")]
    observed_time_unix_nano: u64,
    #[prost(bytes = "bytes", tag = "12")]
    event_name: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", optional, tag = "2")]
    value: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5, 6, 7")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(bytes = "bytes", tag = "1")]
    Text(Bytes),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(bytes = "bytes", tag = "5")]
    Array(Bytes),
    #[prost(bytes = "bytes", tag = "6")]
    Pairs(Bytes),
    #[prost(bytes = "bytes", tag = "7")]
    Bytes(Bytes),
}

/// A list of values, or of keys and values.
#[derive(Clone, PartialEq, Message)]
struct Values {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    values: Vec<Bytes>,
}

/// What is answered to a request that was taken: nothing, or how much of it was refused.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// The answer to a request of which so many records were refused, the first of them for `reason`.
pub fn response(refused: u64, reason: &str) -> Vec<u8> {
    let partial_success = (refused > 0).then(|| PartialSuccess {
        rejected: i64::try_from(refused).unwrap_or(i64::MAX),
        error_message: reason.to_owned(),
    });
    Response { partial_success }.encode_to_vec()
}

/// The answer to a request that was not taken; `code` is one of google.rpc.Code.
pub fn status(code: i32, message: &str) -> Vec<u8> {
    Status { code, message: message.to_owned() }.encode_to_vec()
}

/// The spans or log records of a body that is protobuf.
///
/// # Errors
/// When the body is none. What came before the fault was given.
pub(super) fn each(body: &[u8], content: Content, each: &mut dyn FnMut(&Item<'_>)) -> Result<(), Fault> {
    let malformed = |error: prost::DecodeError| {
        Fault::Malformed(format!("the body is no OTLP export as protobuf: {error}"))
    };
    let export = Export::decode(Bytes::copy_from_slice(body)).map_err(malformed)?;
    let mut text = Vec::new();
    for resource in export.resources {
        for scope in OfResource::decode(resource).map_err(malformed)?.scopes {
            for item in OfScope::decode(scope).map_err(malformed)?.items {
                text.clear();
                match content {
                    Content::Logs => write_log(&LogRecord::decode(item).map_err(malformed)?, &mut text),
                    _ => write_span(&Span::decode(item).map_err(malformed)?, &mut text),
                }
                each(&Item { text: &text });
            }
        }
    }
    Ok(())
}

/// Whether bytes are a request of spans or of log records, by the first of them.
pub(super) fn content_of(bytes: &[u8]) -> Option<Content> {
    // The key of the first resource. It is a line break too, so the rest has to fit.
    if bytes.first() != Some(&0x0a) {
        return None;
    }
    let export = Export::decode(Bytes::copy_from_slice(bytes)).ok()?;
    let scopes = export.resources.into_iter().filter_map(|resource| OfResource::decode(resource).ok());
    let items = scopes.flat_map(|of| of.scopes).filter_map(|scope| OfScope::decode(scope).ok());
    let first = items.flat_map(|of| of.items).next()?;
    match Span::decode(first.clone()) {
        Ok(span) if span.trace_id.len() == 16 && span.span_id.len() == 8 => return Some(Content::Traces),
        _ => {}
    }
    let is_timed = |record: LogRecord| record.time_unix_nano | record.observed_time_unix_nano != 0;
    LogRecord::decode(first).is_ok_and(is_timed).then_some(Content::Logs)
}

fn write_span(span: &Span, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.hex("traceId", &span.trace_id);
    object.hex("spanId", &span.span_id);
    object.hex("parentSpanId", &span.parent_span_id);
    object.text("name", &span.name);
    object.number("kind", span.kind);
    object.time("startTimeUnixNano", span.start_time_unix_nano);
    object.time("endTimeUnixNano", span.end_time_unix_nano);
    object.attributes(&span.attributes, 0);
    if !span.events.is_empty() {
        let events: Vec<SpanEvent> =
            span.events.iter().filter_map(|event| SpanEvent::decode(event.clone()).ok()).collect();
        list(object.value("events"), &events, |event, out| {
            let mut object = Object::open(out);
            object.time("timeUnixNano", event.time_unix_nano);
            object.text("name", &event.name);
            object.attributes(&event.attributes, 0);
            object.close();
        });
    }
    if let Some(status) = &span.status {
        let mut inner = Object::open(object.value("status"));
        inner.number("code", status.code);
        inner.text("message", &status.message);
        inner.close();
    }
    object.close();
}

fn write_log(record: &LogRecord, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.time("timeUnixNano", record.time_unix_nano);
    object.time("observedTimeUnixNano", record.observed_time_unix_nano);
    object.number("severityNumber", record.severity_number);
    object.text("severityText", &record.severity_text);
    object.text("eventName", &record.event_name);
    if let Some(body) = &record.body {
        write_value(body, object.value("body"), 0);
    }
    object.attributes(&record.attributes, 0);
    object.hex("traceId", &record.trace_id);
    object.hex("spanId", &record.span_id);
    object.close();
}

/// A value that carries its type. What cannot be read of it is null.
fn write_value(value: &Bytes, out: &mut Vec<u8>, depth: usize) {
    let decoded = AnyValue::decode(value.clone()).ok().and_then(|value| value.value);
    let Some(value) = decoded.filter(|_| depth < DEPTH_MAX) else {
        return out.extend_from_slice(b"null");
    };
    let mut object = Object::open(out);
    match value {
        Value::Text(text) => write_text(object.value("stringValue"), &text),
        Value::Bool(flag) => object.value("boolValue").extend_from_slice(flag.to_string().as_bytes()),
        Value::Int(number) => write_text(object.value("intValue"), number.to_string().as_bytes()),
        Value::Double(number) if number.is_finite() => {
            object.value("doubleValue").extend_from_slice(number.to_string().as_bytes());
        }
        Value::Double(_) => object.value("doubleValue").extend_from_slice(b"\"NaN\""),
        Value::Bytes(bytes) => write_text(object.value("bytesValue"), STANDARD.encode(bytes).as_bytes()),
        Value::Array(array) => {
            let mut inner = Object::open(object.value("arrayValue"));
            list(inner.value("values"), &values(array), |value, out| write_value(value, out, depth + 1));
            inner.close();
        }
        Value::Pairs(pairs) => {
            let mut inner = Object::open(object.value("kvlistValue"));
            list(inner.value("values"), &values(pairs), |pair, out| write_pair(pair, out, depth + 1));
            inner.close();
        }
    }
    object.close();
}

fn values(list: Bytes) -> Vec<Bytes> {
    Values::decode(list).map(|list| list.values).unwrap_or_default()
}

fn write_pair(pair: &Bytes, out: &mut Vec<u8>, depth: usize) {
    let pair = KeyValue::decode(pair.clone()).unwrap_or_default();
    let mut object = Object::open(out);
    write_text(object.value("key"), &pair.key);
    match &pair.value {
        Some(value) => write_value(value, object.value("value"), depth),
        None => object.value("value").extend_from_slice(b"null"),
    }
    object.close();
}

fn list<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// An object of JSON that is being written. What says nothing is left out.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// Where the value of a key goes.
    fn value(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn text(&mut self, key: &str, text: &[u8]) {
        if !text.is_empty() {
            write_text(self.value(key), text);
        }
    }

    fn hex(&mut self, key: &str, bytes: &[u8]) {
        let mut digits = String::with_capacity(2 * bytes.len());
        for byte in bytes {
            // Writing to a String does not fail.
            let _ = write!(digits, "{byte:02x}");
        }
        self.text(key, digits.as_bytes());
    }

    fn number(&mut self, key: &str, number: i32) {
        if number != 0 {
            self.value(key).extend_from_slice(number.to_string().as_bytes());
        }
    }

    fn time(&mut self, key: &str, unix_nano: u64) {
        if unix_nano != 0 {
            self.text(key, unix_nano.to_string().as_bytes());
        }
    }

    fn attributes(&mut self, pairs: &[Bytes], depth: usize) {
        list(self.value("attributes"), pairs, |pair, out| write_pair(pair, out, depth));
    }

    fn close(self) {
        self.out.push(b'}');
    }
}
