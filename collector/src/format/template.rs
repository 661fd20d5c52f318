//! Lines that are no JSON: text with captures, as `{address} [{time}] "{method} {path} {_}" {status}`.
//!
//! A capture reaches up to the next occurrence of the text that follows it; the last one to the end. `{_}` is
//! captured for nobody. `{name?}` may be empty. `{{` and `}}` stand for a brace.

use super::error::FieldError;
use super::found::Found;
use super::tree::Tree;
use crate::json::{Kind, Span};
use memchr::memmem;

/// A pattern of lines.
#[derive(Debug)]
pub(crate) struct Template {
    head: Vec<u8>,
    captures: Vec<Capture>,
}

#[derive(Debug)]
struct Capture {
    /// None for what nobody asks for.
    slot: Option<u16>,
    may_be_empty: bool,
    /// The text behind it; empty at the end of the line.
    until: Vec<u8>,
}

impl Template {
    /// Compiles a pattern; a capture's name is its place in `tree`.
    pub(crate) fn new(pattern: &str, tree: &mut Tree) -> Result<Self, FieldError> {
        let fault = || FieldError::Pattern(pattern.to_owned());
        let (head, pieces) = pieces_of(pattern).ok_or_else(fault)?;
        let mut captures = Vec::new();
        for (name, until) in pieces {
            let (name, may_be_empty) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            if name.is_empty() || !name.bytes().all(is_name) {
                return Err(fault());
            }
            let slot = (name != "_").then(|| tree.slot(name)).transpose()?;
            captures.push(Capture { slot, may_be_empty, until });
        }
        let is_glued = captures.iter().rev().skip(1).any(|capture| capture.until.is_empty());
        if captures.is_empty() || is_glued {
            return Err(fault());
        }
        Ok(Self { head, captures })
    }

    /// Whether the line is of this pattern; then `found` has its captures.
    pub(crate) fn read(&self, line: &[u8], found: &mut Found) -> bool {
        found.clear();
        if !line.starts_with(&self.head) {
            return false;
        }
        let mut at = self.head.len();
        for capture in &self.captures {
            let to = match &*capture.until {
                [] => line.len(),
                until => match memmem::find(&line[at..], until) {
                    Some(length) => at + length,
                    None => return false,
                },
            };
            if to == at && !capture.may_be_empty {
                return false;
            }
            if let Some(slot) = capture.slot {
                found.keep(slot, line, Span { kind: Kind::Text, from: at, to }, 0);
            }
            at = to + capture.until.len();
        }
        // What follows the last text of the pattern does not matter.
        true
    }
}

/// The text before the first capture, and every capture's name with the text behind it; none where a brace stands alone.
type Pieces<'p> = (Vec<u8>, Vec<(&'p str, Vec<u8>)>);

fn pieces_of(pattern: &str) -> Option<Pieces<'_>> {
    let (mut head, mut pieces): Pieces<'_> = Default::default();
    let mut rest = pattern;
    while let Some(char) = rest.chars().next() {
        let is_doubled = rest[char.len_utf8()..].starts_with(char);
        if char == '{' && !is_doubled {
            let (name, behind) = rest[1..].split_once('}')?;
            pieces.push((name, Vec::new()));
            rest = behind;
            continue;
        }
        if char == '}' && !is_doubled {
            return None;
        }
        let text = pieces.last_mut().map_or(&mut head, |(_, until)| until);
        text.extend_from_slice(&rest.as_bytes()[..char.len_utf8()]);
        let is_brace = matches!(char, '{' | '}');
        rest = &rest[char.len_utf8() * if is_brace { 2 } else { 1 }..];
    }
    Some((head, pieces))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Value;

    fn read(pattern: &str, line: &str) -> Option<Vec<String>> {
        let mut tree = Tree::default();
        let template = Template::new(pattern, &mut tree).unwrap();
        tree.finish();
        let mut found = Found::new(tree.slots());
        if !template.read(line.as_bytes(), &mut found) {
            return None;
        }
        let text = |slot| match found.value(line.as_bytes(), slot) {
            Value::Text(text) => text.decode().into_owned(),
            _ => "-".into(),
        };
        Some((0..tree.slots() as u16).map(text).collect())
    }

    #[test]
    fn captures_are_read() {
        let pattern = r#"{ip}:{_} [{time}] {_} {status} "{method} {path} {_}""#;
        let line = r#"192.0.2.7:40000 [21/Nov/2026:06:30:06.320] front 200 "POST /v1/x HTTP/1.1""#;
        assert_eq!(
            read(pattern, line).unwrap(),
            ["192.0.2.7", "21/Nov/2026:06:30:06.320", "200", "POST", "/v1/x"]
        );
        assert_eq!(read(pattern, "something else"), None);
        assert_eq!(read("a {x?}|{y}", "a |z").unwrap(), ["", "z"]);
        assert_eq!(read("a {x}|{y}", "a |z"), None);
        assert_eq!(read("{{{x?}|{y}}} {z}", "{|u} v").unwrap(), ["", "u", "v"]);
    }

    #[test]
    fn a_pattern_that_cannot_be_is_refused() {
        for pattern in ["", "no capture", "{a}{b}", "{}", "{a", "{a b}", "{a} }b"] {
            assert!(Template::new(pattern, &mut Tree::default()).is_err(), "{pattern}");
        }
    }
}
