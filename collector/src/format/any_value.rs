//! OpenTelemetry's values, which carry their type as a key: `{"stringValue": "x"}`.

use crate::json::{Json, Text, Value};
use memchr::memchr;

/// Deepest nesting that is made plain.
const DEPTH_MAX: usize = 16;

/// The value inside of one that carries its type; the value itself where it does not.
pub(super) fn inner_of(value: Json<'_>) -> Json<'_> {
    let mut json = value.clone();
    if json.peek() != Some(b'{') {
        return value;
    }
    let mut inner = None;
    let read = json.object(|json, key| {
        if is_simple(key) {
            inner = Some(json.clone());
        }
        json.skip()
    });
    match read {
        Ok(()) => inner.unwrap_or(value),
        Err(_) => value,
    }
}

fn is_simple(key: Text<'_>) -> bool {
    matches!(&*key.bytes(), b"stringValue" | b"intValue" | b"doubleValue" | b"boolValue" | b"bytesValue")
}

/// Writes the value at `json` as plain JSON: lists as lists, lists of keys and values as objects. A value
/// that carries no type stays as it is.
pub(super) fn to_plain(json: &mut Json<'_>, out: &mut Vec<u8>) {
    write(json, out, 0);
}

/// What stands in the body of a log record, where that may be a record of its own.
pub(super) fn body_of(record: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let read = Json::new(record).object(|json, key| {
        if &*key.bytes() == b"body" {
            plain.clear();
            to_plain(&mut json.clone(), &mut plain);
        }
        json.skip()
    });
    read.ok()?;
    let inner = match Json::new(&plain).value().ok()? {
        Value::Text(text) => text.bytes().into_owned(),
        Value::Object(object) => object.to_vec(),
        _ => return None,
    };
    memchr(b'{', &inner).map(|_| inner)
}

fn write(json: &mut Json<'_>, out: &mut Vec<u8>, depth: usize) {
    let mut value = inner_of(json.clone());
    if value.peek() != Some(b'{') || depth == DEPTH_MAX {
        return write_as_it_is(&mut value, out);
    }
    let (mut list, mut pairs) = (None, None);
    let read = value.clone().object(|json, key| {
        match &*key.bytes() {
            b"arrayValue" => list = Some(json.clone()),
            b"kvlistValue" => pairs = Some(json.clone()),
            _ => {}
        }
        json.skip()
    });
    match (read, list, pairs) {
        (Ok(()), Some(mut list), _) => {
            out.push(b'[');
            each_value(&mut list, |item, index| {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out, depth + 1);
            });
            out.push(b']');
        }
        (Ok(()), None, Some(mut pairs)) => {
            out.push(b'{');
            each_value(&mut pairs, |pair, index| write_pair(pair, index, out, depth));
            out.push(b'}');
        }
        _ => write_as_it_is(&mut value, out),
    }
}

fn write_pair(pair: &mut Json<'_>, index: usize, out: &mut Vec<u8>, depth: usize) {
    let (mut name, mut value) = (None, None);
    // A pair that cannot be read is left out.
    let _ = pair.clone().object(|json, key| match &*key.bytes() {
        b"key" => {
            name = Some(json.clone());
            json.skip()
        }
        b"value" => {
            value = Some(json.clone());
            json.skip()
        }
        _ => json.skip(),
    });
    if let (Some(mut name), Some(mut value)) = (name, value) {
        if index > 0 {
            out.push(b',');
        }
        write_as_it_is(&mut name, out);
        out.push(b':');
        write(&mut value, out, depth + 1);
    }
}

/// Calls `each` for the items of `{"values": […]}`.
fn each_value(json: &mut Json<'_>, mut each: impl FnMut(&mut Json<'_>, usize)) {
    // What can be read of them before a fault is written.
    let _ = json.object(|json, key| {
        if &*key.bytes() != b"values" {
            return json.skip();
        }
        json.array(|json, index| {
            each(&mut json.clone(), index);
            json.skip()
        })
    });
}

fn write_as_it_is(json: &mut Json<'_>, out: &mut Vec<u8>) {
    match json.span().map(|span| json.slice(span)) {
        Ok(raw) if !raw.is_empty() => out.extend_from_slice(raw),
        _ => out.extend_from_slice(b"null"),
    }
}
