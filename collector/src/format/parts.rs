//! Bodies, and parts of them, as a record has them: unpacked into buffers that are used again.

use super::found::Found;
use super::plan::{Origin, Place, Plan};
use crate::body::{Unpacked, unpack};
use crate::field::{Field, FieldSet};
use crate::json::Value;

/// The bodies of one record.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    parts: Vec<Buffer>,
    count: usize,
    /// Parts that are there and of no use.
    pub(crate) unknown: FieldSet,
}

#[derive(Debug)]
struct Buffer {
    field: Field,
    slot: u16,
    form: Form,
    /// The text, its escapes resolved.
    text: Vec<u8>,
    /// JSON that was unpacked from the text.
    json: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// It stands in the record.
    InPlace,
    /// It is the text.
    Text,
    /// It is what was unpacked.
    Json,
    /// It is words, and no JSON.
    Words,
}

/// A part that can be read.
pub(crate) struct PartText<'r> {
    pub(crate) field: Field,
    pub(crate) bytes: &'r [u8],
    /// It is words, and no JSON.
    pub(crate) is_words: bool,
}

impl Parts {
    /// Unpacks what `plan` reads bodies from.
    pub(crate) fn unpack(&mut self, plan: &Plan, record: &[u8], found: &Found) {
        self.count = 0;
        self.unknown = FieldSet::default();
        for (field, origins) in &plan.parts {
            let filled = origins.iter().filter_map(|origin| match origin.place {
                Place::Slot(slot) if found.filled().has(slot) => Some((slot, origin)),
                _ => None,
            });
            for (slot, origin) in filled {
                if self.take(*field, slot, origin, record, found) {
                    self.unknown.remove(*field);
                    break;
                }
                self.unknown.insert(*field);
            }
        }
    }

    /// Whether there is none that can be read.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The parts that can be read.
    pub(crate) fn iter<'r>(
        &'r self,
        record: &'r [u8],
        found: &'r Found,
    ) -> impl Iterator<Item = PartText<'r>> + 'r {
        self.parts[..self.count].iter().map(move |part| {
            let bytes = match part.form {
                Form::InPlace => match found.value(record, part.slot) {
                    Value::Object(raw) | Value::Array(raw) => raw,
                    _ => &[],
                },
                Form::Text | Form::Words => &part.text,
                Form::Json => &part.json,
            };
            PartText { field: part.field, bytes, is_words: part.form == Form::Words }
        })
    }

    /// Takes one part; false when it cannot be read.
    fn take(&mut self, field: Field, slot: u16, origin: &Origin, record: &[u8], found: &Found) -> bool {
        if self.parts.len() == self.count {
            self.parts.push(Buffer { field, slot, form: Form::InPlace, text: Vec::new(), json: Vec::new() });
        }
        let part = &mut self.parts[self.count];
        (part.field, part.slot) = (field, slot);
        part.text.clear();
        if let Some(roles) = origin.roles {
            gather(found, record, slot, roles, &mut part.text);
            part.form = Form::Text;
            self.count += 1;
            return true;
        }
        let text = match found.value(record, slot) {
            Value::Object(_) | Value::Array(_) => {
                part.form = Form::InPlace;
                self.count += 1;
                return true;
            }
            Value::Text(text) => text,
            _ => return false,
        };
        text.bytes_into(&mut part.text);
        if origin.nothing.iter().any(|nothing| nothing.as_bytes() == part.text.trim_ascii()) {
            return true;
        }
        // A response may be the events of a stream; words alone are a conversation, but no body.
        let takes_words = matches!(field, Field::Messages | Field::Response);
        part.form = match unpack(&part.text, &mut part.json) {
            Unpacked::Nothing => return true,
            Unpacked::Plain => Form::Text,
            Unpacked::Replaced => Form::Json,
            Unpacked::Closed => {
                // It is read as far as it goes, and that it is cut is counted.
                self.unknown.insert(field);
                Form::Json
            }
            Unpacked::Text if takes_words => Form::Words,
            Unpacked::Text | Unpacked::Unreadable => return false,
        };
        self.count += 1;
        true
    }
}

/// Messages whose keys differ by a number, as one list.
fn gather(found: &Found, record: &[u8], contents: u16, roles: u16, out: &mut Vec<u8>) {
    let roles = found.numbered(record, roles);
    out.push(b'[');
    for (index, (number, content)) in found.numbered(record, contents).into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"role\":");
        let role = roles.iter().find(|(other, _)| *other == number).map(|(_, role)| *role);
        // Whoever logs prompts without their roles logs the user's.
        match role {
            Some(role) => write(role, out),
            None => out.extend_from_slice(b"\"user\""),
        }
        out.extend_from_slice(b",\"content\":");
        write(content, out);
        out.push(b'}');
    }
    out.push(b']');
}

fn write(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            out.push(b'"');
            out.extend_from_slice(text.raw());
            out.push(b'"');
        }
        Value::Object(raw) | Value::Array(raw) => out.extend_from_slice(raw),
        _ => out.extend_from_slice(b"null"),
    }
}
