//! OpenTelemetry's spans and log records, one by one, as the JSON that its exporters write: what the formats
//! read.

use super::body::{Content, Fault};
use crate::json::{self, Json, Value};
use std::borrow::Cow;

/// The spans or log records of a body that is JSON.
///
/// # Errors
/// When the body is no JSON object, or a torn one. What came before the tear was given.
pub(super) fn each_json(body: &[u8], content: Content, each: &mut dyn FnMut(&Item<'_>)) -> Result<(), Fault> {
    let torn =
        |at: usize| Fault::Malformed(format!("the body is no JSON object, or a torn one, at byte {at}"));
    let mut json = Json::new(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
    if json.peek() != Some(b'{') {
        return Err(torn(json.offset() + 1));
    }
    let path: [&[&[u8]]; 3] = match content {
        Content::Logs => [
            &[b"resourceLogs", b"resource_logs"],
            &[b"scopeLogs", b"scope_logs"],
            &[b"logRecords", b"log_records"],
        ],
        _ => [&[b"resourceSpans", b"resource_spans"], &[b"scopeSpans", b"scope_spans"], &[b"spans"]],
    };
    walk(&mut json, &path, each).map_err(|fault| torn(fault.at + 1))?;
    match json.peek() {
        None => Ok(()),
        Some(_) => Err(torn(json.offset() + 1)),
    }
}

/// The items of lists in lists, by the names that lead to them.
fn walk(json: &mut Json<'_>, path: &[&[&[u8]]], each: &mut dyn FnMut(&Item<'_>)) -> Result<(), json::Fault> {
    let Some((names, rest)) = path.split_first() else {
        json.peek();
        let span = json.span()?;
        each(&Item { text: json.slice(span) });
        return Ok(());
    };
    json.object(|json, key| match names.contains(&&*key.bytes()) {
        true => json.array(|json, _| walk(json, rest, each)),
        false => json.skip(),
    })
}

/// A span or a log record.
pub(super) struct Item<'i> {
    /// All of it.
    pub(super) text: &'i [u8],
}

impl Item<'_> {
    /// The ids of the trace and the span, where it has both.
    pub(super) fn own_id(&self) -> Option<([u8; 16], [u8; 8])> {
        let (mut trace, mut span) = (None, None);
        let read = Json::new(self.text).object(|json, key| match &*key.bytes() {
            b"traceId" | b"trace_id" => json.value().map(|value| trace = hex(value)),
            b"spanId" | b"span_id" => json.value().map(|value| span = hex(value)),
            _ => json.skip(),
        });
        read.ok()?;
        // Zeros are what is written where there is no id.
        trace.zip(span).filter(|(_, span)| *span != [0; 8])
    }
}

/// A text of hexadecimal digits as the bytes that it means.
fn hex<const N: usize>(value: Value<'_>) -> Option<[u8; N]> {
    let Value::Text(text) = value else { return None };
    let digits: Cow<'_, [u8]> = text.bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
