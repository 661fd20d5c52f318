//! OpenTelemetry's protobuf, as far as it is read: every span and log record becomes the JSON that OTLP has
//! for it, which the formats read.
//!
//! Fields are gone through as they stand, and nothing is made of them but that text: a list of empty
//! messages, of two bytes each, would cost sixteen times as much as a list of what it holds. Texts are bytes:
//! one that is not UTF-8 is a fault of its own, not of the request.

use super::body::{Content, Fault};
use super::otlp::Item;
use crate::json::write_text;
use crate::limits::ITEM_BYTES_MAX;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use std::fmt::Write as _;

/// Deepest nesting of values that is read; what is deeper is null.
const DEPTH_MAX: usize = 16;

/// The bytes are no message.
#[derive(Debug, Clone, Copy)]
struct Broken;

/// The value of a field.
#[derive(Debug, Clone, Copy)]
enum Wire<'b> {
    Varint(u64),
    Fixed64(u64),
    /// Of 32 bits, which no field that is read has.
    Fixed32,
    Bytes(&'b [u8]),
}

impl<'b> Wire<'b> {
    fn bytes(self) -> Result<&'b [u8], Broken> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(Broken) }
    }

    fn varint(self) -> Result<u64, Broken> {
        if let Self::Varint(number) = self { Ok(number) } else { Err(Broken) }
    }

    fn fixed64(self) -> Result<u64, Broken> {
        if let Self::Fixed64(number) = self { Ok(number) } else { Err(Broken) }
    }
}

/// The fields of a message, one by one.
#[derive(Clone)]
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn varint(&mut self) -> Result<u64, Broken> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Broken)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Broken)
    }

    fn take(&mut self, count: u64) -> Result<&'b [u8], Broken> {
        let count = usize::try_from(count).map_err(|_| Broken)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Broken)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Wire<'b>), Broken> {
        let key = self.varint()?;
        let wire = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| Broken)?)),
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Wire::Fixed32)?,
            _ => return Err(Broken),
        };
        Ok((key >> 3, wire))
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(u64, Wire<'b>), Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// Gives every value of a repeated field that is bytes.
fn repeated<'b>(
    message: &'b [u8],
    tag: u64,
    each: &mut dyn FnMut(&'b [u8]) -> Result<(), Broken>,
) -> Result<(), Broken> {
    for field in Fields(message) {
        match field? {
            (found, wire) if found == tag => each(wire.bytes()?)?,
            _ => {}
        }
    }
    Ok(())
}

#[derive(Default)]
struct Span<'b> {
    trace_id: &'b [u8],
    span_id: &'b [u8],
    parent_span_id: &'b [u8],
    name: &'b [u8],
    kind: i32,
    start_time_unix_nano: u64,
    end_time_unix_nano: u64,
    has_events: bool,
    status: Option<&'b [u8]>,
}

impl<'b> Span<'b> {
    fn of(message: &'b [u8]) -> Result<Self, Broken> {
        let mut span = Self::default();
        for field in Fields(message) {
            match field? {
                (1, wire) => span.trace_id = wire.bytes()?,
                (2, wire) => span.span_id = wire.bytes()?,
                (4, wire) => span.parent_span_id = wire.bytes()?,
                (5, wire) => span.name = wire.bytes()?,
                (6, wire) => span.kind = wire.varint()? as i32,
                (7, wire) => span.start_time_unix_nano = wire.fixed64()?,
                (8, wire) => span.end_time_unix_nano = wire.fixed64()?,
                (11, wire) => span.has_events |= wire.bytes().is_ok(),
                (15, wire) => span.status = Some(wire.bytes()?),
                _ => {}
            }
        }
        Ok(span)
    }
}

#[derive(Default)]
struct LogRecord<'b> {
    time_unix_nano: u64,
    observed_time_unix_nano: u64,
    severity_number: i32,
    severity_text: &'b [u8],
    event_name: &'b [u8],
    body: Option<&'b [u8]>,
    trace_id: &'b [u8],
    span_id: &'b [u8],
}

impl<'b> LogRecord<'b> {
    fn of(message: &'b [u8]) -> Result<Self, Broken> {
        let mut record = Self::default();
        for field in Fields(message) {
            match field? {
                (1, wire) => record.time_unix_nano = wire.fixed64()?,
                (2, wire) => record.severity_number = wire.varint()? as i32,
                (3, wire) => record.severity_text = wire.bytes()?,
                (5, wire) => record.body = Some(wire.bytes()?),
                (9, wire) => record.trace_id = wire.bytes()?,
                (10, wire) => record.span_id = wire.bytes()?,
                (11, wire) => record.observed_time_unix_nano = wire.fixed64()?,
                (12, wire) => record.event_name = wire.bytes()?,
                _ => {}
            }
        }
        Ok(record)
    }
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
/// When the body is none, or one of them is too large. What came before the fault was given.
pub(super) fn each(body: &[u8], content: Content, each: &mut dyn FnMut(&Item<'_>)) -> Result<(), Fault> {
    let mut text = Vec::new();
    let mut is_too_large = false;
    let read = repeated(body, 1, &mut |resource| {
        repeated(resource, 2, &mut |scope| {
            repeated(scope, 2, &mut |item| {
                text.clear();
                match content {
                    Content::Logs => write_log(item, &mut text)?,
                    _ => write_span(item, &mut text)?,
                }
                if text.len() > ITEM_BYTES_MAX {
                    is_too_large = true;
                    return Err(Broken);
                }
                each(&Item { text: &text });
                Ok(())
            })
        })
    });
    match read {
        Ok(()) => Ok(()),
        Err(Broken) if is_too_large => Err(Fault::TooLarge(format!(
            "a span or log record of it has over {ITEM_BYTES_MAX} bytes as JSON"
        ))),
        Err(Broken) => Err(Fault::Malformed(
            "the body is no OTLP export as protobuf: a field of it is torn, or of another type".into(),
        )),
    }
}

/// Whether bytes are a request of spans or of log records, by the first of them.
pub(super) fn content_of(bytes: &[u8]) -> Option<Content> {
    // The key of the first resource. It is a line break too, so the rest has to fit.
    if bytes.first() != Some(&0x0a) || Fields(bytes).any(|field| field.is_err()) {
        return None;
    }
    let mut first = None;
    let found = repeated(bytes, 1, &mut |resource| {
        repeated(resource, 2, &mut |scope| {
            repeated(scope, 2, &mut |item| {
                first = Some(item);
                // The first is enough.
                Err(Broken)
            })
        })
    });
    let first = first.filter(|_| found.is_err())?;
    match Span::of(first) {
        Ok(span) if span.trace_id.len() == 16 && span.span_id.len() == 8 => return Some(Content::Traces),
        _ => {}
    }
    let is_timed = |record: LogRecord<'_>| record.time_unix_nano | record.observed_time_unix_nano != 0;
    LogRecord::of(first).is_ok_and(is_timed).then_some(Content::Logs)
}

fn write_span(message: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
    let span = Span::of(message)?;
    let mut object = Object::open(out);
    object.hex("traceId", span.trace_id);
    object.hex("spanId", span.span_id);
    object.hex("parentSpanId", span.parent_span_id);
    object.text("name", span.name);
    object.number("kind", span.kind);
    object.time("startTimeUnixNano", span.start_time_unix_nano);
    object.time("endTimeUnixNano", span.end_time_unix_nano);
    object.attributes(message, 9)?;
    if span.has_events {
        // An event that is torn costs itself.
        list(object.value("events"), message, 11, &mut write_event)?;
    }
    if let Some(status) = span.status {
        let (mut code, mut said) = (0, &[][..]);
        for field in Fields(status) {
            match field? {
                (2, wire) => said = wire.bytes()?,
                (3, wire) => code = wire.varint()? as i32,
                _ => {}
            }
        }
        let mut inner = Object::open(object.value("status"));
        inner.number("code", code);
        inner.text("message", said);
        inner.close();
    }
    object.close();
    Ok(())
}

fn write_event(message: &[u8], out: &mut Vec<u8>) {
    let (mut time, mut name) = (0, &[][..]);
    for field in Fields(message) {
        match field {
            Ok((1, Wire::Fixed64(number))) => time = number,
            Ok((2, Wire::Bytes(bytes))) => name = bytes,
            _ => {}
        }
    }
    let mut object = Object::open(out);
    object.time("timeUnixNano", time);
    object.text("name", name);
    // Those before a tear are read.
    let _ = object.attributes(message, 3);
    object.close();
}

fn write_log(message: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
    let record = LogRecord::of(message)?;
    let mut object = Object::open(out);
    object.time("timeUnixNano", record.time_unix_nano);
    object.time("observedTimeUnixNano", record.observed_time_unix_nano);
    object.number("severityNumber", record.severity_number);
    object.text("severityText", record.severity_text);
    object.text("eventName", record.event_name);
    if let Some(body) = record.body {
        write_value(body, object.value("body"), 0);
    }
    object.attributes(message, 6)?;
    object.hex("traceId", record.trace_id);
    object.hex("spanId", record.span_id);
    object.close();
    Ok(())
}

/// A value that carries its type. What cannot be read of it is null.
fn write_value(value: &[u8], out: &mut Vec<u8>, depth: usize) {
    // Of several the last counts, as everywhere in protobuf.
    let last = Fields(value).filter_map(Result::ok).filter(|(tag, _)| (1..=7).contains(tag)).last();
    let is_whole = Fields(value).all(|field| field.is_ok());
    let Some(value) = last.filter(|_| depth < DEPTH_MAX && is_whole) else {
        return out.extend_from_slice(b"null");
    };
    let mut object = Object::open(out);
    match value {
        (1, Wire::Bytes(text)) => write_text(object.value("stringValue"), text),
        (2, Wire::Varint(flag)) => {
            let flag: &[u8] = if flag == 0 { b"false" } else { b"true" };
            object.value("boolValue").extend_from_slice(flag);
        }
        (3, Wire::Varint(number)) => {
            write_text(object.value("intValue"), (number as i64).to_string().as_bytes());
        }
        (4, Wire::Fixed64(bits)) => match f64::from_bits(bits) {
            number if number.is_finite() => {
                object.value("doubleValue").extend_from_slice(number.to_string().as_bytes());
            }
            _ => object.value("doubleValue").extend_from_slice(b"\"NaN\""),
        },
        (5, Wire::Bytes(values)) => {
            let mut inner = Object::open(object.value("arrayValue"));
            let write = &mut |value: &[u8], out: &mut Vec<u8>| write_value(value, out, depth + 1);
            // What stands before a tear is read.
            let _ = list(inner.value("values"), values, 1, write);
            inner.close();
        }
        (6, Wire::Bytes(pairs)) => {
            let mut inner = Object::open(object.value("kvlistValue"));
            let write = &mut |pair: &[u8], out: &mut Vec<u8>| write_pair(pair, out, depth + 1);
            let _ = list(inner.value("values"), pairs, 1, write);
            inner.close();
        }
        (7, Wire::Bytes(bytes)) => write_text(object.value("bytesValue"), STANDARD.encode(bytes).as_bytes()),
        _ => object.value("stringValue").extend_from_slice(b"null"),
    }
    object.close();
}

fn write_pair(pair: &[u8], out: &mut Vec<u8>, depth: usize) {
    let (mut key, mut value) = (&[][..], None);
    for field in Fields(pair) {
        match field {
            Ok((1, Wire::Bytes(bytes))) => key = bytes,
            Ok((2, Wire::Bytes(bytes))) => value = Some(bytes),
            _ => {}
        }
    }
    let mut object = Object::open(out);
    write_text(object.value("key"), key);
    match value {
        Some(value) => write_value(value, object.value("value"), depth),
        None => object.value("value").extend_from_slice(b"null"),
    }
    object.close();
}

/// The values of a repeated field as a list; no more of them once the text is too large for anybody.
fn list(
    out: &mut Vec<u8>,
    message: &[u8],
    tag: u64,
    write: &mut dyn FnMut(&[u8], &mut Vec<u8>),
) -> Result<(), Broken> {
    out.push(b'[');
    let mut is_first = true;
    let read = repeated(message, tag, &mut |item| {
        if out.len() > ITEM_BYTES_MAX {
            return Ok(());
        }
        if !std::mem::replace(&mut is_first, false) {
            out.push(b',');
        }
        write(item, out);
        Ok(())
    });
    out.push(b']');
    read
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

    /// The pairs of keys and values of a repeated field.
    fn attributes(&mut self, message: &[u8], tag: u64) -> Result<(), Broken> {
        list(self.value("attributes"), message, tag, &mut |pair, out| write_pair(pair, out, 0))
    }

    fn close(self) {
        self.out.push(b'}');
    }
}
