//! Lines that are no JSON: text with captures, as `{address} [{time}] "{method} {path} {_}" {status}`.
//!
//! A capture reaches up to the next occurrence of the text that follows it; the last one to the end. `{_}` is
//! captured for nobody. `{name?}` may be empty. `{name*}` reaches up to the last such text before the one
//! behind the next capture, as an address does that has colons of its own: `{address*}:{_} [`. `{{` and `}}`
//! stand for a brace.

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
    reaches_last: bool,
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
            let without = |sign: char| name.strip_suffix(sign);
            let (may_be_empty, reaches_last) = (without('?').is_some(), without('*').is_some());
            let name = without('?').or(without('*')).unwrap_or(name);
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            if name.is_empty() || !name.bytes().all(is_name) {
                return Err(fault());
            }
            let slot = (name != "_").then(|| tree.slot(name)).transpose()?;
            captures.push(Capture { slot, may_be_empty, reaches_last, until });
        }
        let is_glued = captures.iter().rev().skip(1).any(|capture| capture.until.is_empty());
        // The last one reaches to the end as it is.
        let is_endless = captures.last().is_some_and(|capture| capture.reaches_last);
        if captures.is_empty() || is_glued || is_endless {
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
        for (index, capture) in self.captures.iter().enumerate() {
            let rest = &line[at..];
            let length = match &*capture.until {
                [] => Some(rest.len()),
                until if capture.reaches_last => {
                    let next = self.captures.get(index + 1).map_or(&[][..], |next| &next.until);
                    let before = if next.is_empty() { Some(rest.len()) } else { memmem::find(rest, next) };
                    before.and_then(|before| memmem::rfind(&rest[..before], until))
                }
                until => memmem::find(rest, until),
            };
            let Some(to) = length.map(|length| at + length) else { return false };
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

/// The text before the first capture, and every capture's name with the text behind it; none where a brace
/// stands alone.
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
        for (line, address) in [
            ("::1:7 [x", "::1"),
            ("::ffff:192.0.2.7:7 [x:y", "::ffff:192.0.2.7"),
            ("192.0.2.7:7 [", "192.0.2.7"),
        ] {
            assert_eq!(read("{ip*}:{_} [", line).unwrap(), [address]);
        }
        assert_eq!(read("{ip*}:{port}", "a:b:c").unwrap(), ["a:b", "c"]);
        assert_eq!(read("{ip*}:{_} [", "no port ["), None);
    }

    #[test]
    fn a_pattern_that_cannot_be_is_refused() {
        for pattern in ["", "no capture", "{a}{b}", "{}", "{a", "{a b}", "{a} }b", "{a*}", "{a?*}"] {
            assert!(Template::new(pattern, &mut Tree::default()).is_err(), "{pattern}");
        }
    }
}
