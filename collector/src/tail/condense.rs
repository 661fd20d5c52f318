//! A line that is too long, read on in a stream: what is small of it is kept, and of what is long the
//! beginning.
//!
//! The line is gone through byte by byte as JSON, without holding it. Long strings lose their ends, and so do
//! the strings of a body that stands as JSON in a string. An object or a list may take three quarters of the
//! room that is left where it stands; then it is closed and its rest is dropped, so that there is always room
//! for what stands behind it. The rest is a line like any other, with the same fields; how much was dropped,
//! and where, is counted. So nobody hides by size.

use crate::limits::{
    CONDENSED_BYTES_MAX, CONDENSED_CUTS_MAX, CONDENSED_FIELDS_BYTES, CONDENSED_STRING_BYTES, PROMPT_BYTES_MAX,
};
use memchr::memchr2;

/// Bytes that were dropped from a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Offset in what is left, behind which they stood.
    pub at: usize,
    /// How many they were.
    pub bytes: u64,
}

/// Deepest nesting that is kept.
const DEPTH_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Condenser {
    limit: usize,
    out: Vec<u8>,
    cuts: Vec<Cut>,
    /// Bytes that were dropped since the last one that was kept.
    dropped: u64,
    /// What is open and not dropped.
    open: Vec<Open>,
    /// Depth that is really open; more than `open` has where something is dropped.
    depth: usize,
    string: Option<Quoted>,
    /// The string that is open or was last is a key.
    is_key: bool,
    wants_value: bool,
}

/// An object or a list that is open.
#[derive(Debug, Clone, Copy)]
struct Open {
    close: u8,
    /// How long what is left may be when it ends.
    end_max: usize,
}

/// A string that is being gone through, in units: a byte, or a backslash and what it escapes.
#[derive(Debug, Default, Clone, Copy)]
struct Quoted {
    /// The byte before was a backslash, whose unit is not complete.
    is_escaped: bool,
    /// Units of it, or of the string inside of it, that were kept.
    kept: usize,
    /// Anything but blanks was seen of it.
    has_begun: bool,
    /// It holds JSON itself.
    is_nested: bool,
    /// In a string of that JSON.
    in_inner: bool,
    /// The unit before was a backslash in that string, and whether it was kept.
    inner_escape: Option<bool>,
    /// How long what is left may be when it ends, where it holds JSON.
    end_max: usize,
}

impl Condenser {
    /// A condenser of lines over `limit` bytes, to fewer.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.min(CONDENSED_BYTES_MAX), ..Self::default() }
    }

    /// Begins another line.
    pub(super) fn start(&mut self) {
        let (limit, mut out, mut cuts) =
            (self.limit, std::mem::take(&mut self.out), std::mem::take(&mut self.cuts));
        out.clear();
        out.reserve_exact(limit + CONDENSED_FIELDS_BYTES + DEPTH_MAX);
        cuts.clear();
        *self = Self { limit, out, cuts, ..Self::default() };
    }

    /// What is left of the line so far, and what was dropped from it.
    pub(super) fn line(&self) -> (&[u8], &[Cut]) {
        (&self.out, &self.cuts)
    }

    /// Memory that it holds, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.out.capacity()
    }

    /// Goes through the next bytes of the line.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            let Some(mut quoted) = self.string.take() else {
                self.between_strings(*byte);
                rest = after;
                continue;
            };
            if quoted.has_begun && !quoted.is_escaped && !quoted.is_nested && !self.may_keep(&quoted) {
                // Most of a long string is dropped without looking at every byte.
                let length = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                self.dropped += length as u64;
                rest = &rest[length..];
                let Some((byte, after)) = rest.split_first() else {
                    self.string = Some(quoted);
                    return;
                };
                rest = after;
                self.string = self.in_string(*byte, &mut quoted).then_some(quoted);
                continue;
            }
            rest = after;
            self.string = self.in_string(*byte, &mut quoted).then_some(quoted);
        }
    }

    /// The end of the line: what is still dropped is counted.
    pub(super) fn finish(&mut self) {
        self.note_cut();
    }

    /// How much of a string is kept.
    fn string_bytes_max(&self) -> usize {
        if self.is_key {
            // Half a key would be another one.
            return CONDENSED_STRING_BYTES;
        }
        let most = if self.out.len() > self.limit / 2 {
            CONDENSED_STRING_BYTES
        } else {
            PROMPT_BYTES_MAX.min(self.limit / 4)
        };
        // Of the room that an inner object has, half: there may be more strings in it.
        if self.open.len() > 1 { most.min(self.room() / 2) } else { most }
    }

    /// Bytes that what is open may still take.
    fn room(&self) -> usize {
        let end_max = self.open.last().map_or(self.limit + CONDENSED_FIELDS_BYTES, |open| open.end_max);
        end_max.saturating_sub(self.out.len())
    }

    fn is_dropping(&self) -> bool {
        self.depth > self.open.len()
    }

    /// Whether there is room for text.
    fn may_keep(&self, quoted: &Quoted) -> bool {
        !self.is_dropping() && quoted.kept < self.string_bytes_max() && !self.is_full()
    }

    /// Whether there is no room for more.
    fn is_full(&self) -> bool {
        self.out.len() >= self.limit + CONDENSED_FIELDS_BYTES
    }

    /// The next byte of a string; false at its end.
    fn in_string(&mut self, byte: u8, quoted: &mut Quoted) -> bool {
        if quoted.is_escaped {
            quoted.is_escaped = false;
            self.unit(&[b'\\', byte], byte, quoted);
            return true;
        }
        match byte {
            b'\\' => quoted.is_escaped = true,
            b'"' => {
                // A string that was begun is ended, whatever was dropped of it.
                if self.is_dropping() {
                    self.dropped += 1
                } else {
                    self.keep(b"\"")
                }
                if !self.is_key {
                    self.wants_value = false;
                }
                return false;
            }
            other => self.unit(&[other], other, quoted),
        }
        true
    }

    /// A unit of a string, which stands for a character.
    fn unit(&mut self, unit: &[u8], char: u8, quoted: &mut Quoted) {
        if !quoted.has_begun && !char.is_ascii_whitespace() {
            quoted.has_begun = true;
            quoted.is_nested = unit.len() == 1 && matches!(char, b'{' | b'[') && !self.is_key;
        }
        let may_keep_structure = !self.is_dropping() && self.out.len() < quoted.end_max;
        let may_keep = self.may_keep(quoted) && (!quoted.is_nested || may_keep_structure);
        let is_kept = if !quoted.is_nested {
            may_keep
        } else if let Some(before) = quoted.inner_escape.take() {
            // What a backslash escapes goes with it.
            before
        } else if unit == b"\\\"" {
            quoted.in_inner = !quoted.in_inner;
            quoted.kept = 0;
            may_keep_structure
        } else if quoted.in_inner {
            quoted.inner_escape = (unit == b"\\\\").then_some(may_keep);
            may_keep
        } else {
            may_keep_structure
        };
        if is_kept {
            quoted.kept += 1;
            self.keep(unit);
        } else {
            self.dropped += unit.len() as u64;
        }
    }

    fn between_strings(&mut self, byte: u8) {
        let is_dropped = match byte {
            b'"' => {
                self.is_key = self.open.last().is_some_and(|open| open.close == b'}') && !self.wants_value;
                let end_max = self.out.len() + self.room() / 4 * 3;
                self.string = Some(Quoted { end_max, ..Quoted::default() });
                self.is_dropping()
            }
            b'{' | b'[' => {
                self.depth += 1;
                let is_dropped = self.depth > self.open.len() + 1 || self.open.len() == DEPTH_MAX;
                if !is_dropped {
                    let close = if byte == b'{' { b'}' } else { b']' };
                    // The line's own object has all the room.
                    let room = if self.open.is_empty() { self.room() } else { self.room() / 4 * 3 };
                    self.open.push(Open { close, end_max: self.out.len() + room });
                    (self.wants_value, self.is_key) = (false, false);
                }
                is_dropped
            }
            b'}' | b']' => {
                let was_dropping = self.is_dropping();
                self.depth = self.depth.saturating_sub(1);
                if !was_dropping {
                    self.open.pop();
                    (self.wants_value, self.is_key) = (false, false);
                }
                was_dropping
            }
            _ => self.is_dropping(),
        };
        if is_dropped {
            self.dropped += 1;
            return;
        }
        let is_bracket = matches!(byte, b'{' | b'[' | b'}' | b']');
        if !is_bracket && self.open.len() > 1 && self.room() == 0 {
            // A string that begins here is dropped: no key stands before it.
            self.is_key &= byte != b'"';
            self.close_innermost();
            self.dropped += 1;
            return;
        }
        // What closes the line's own brackets is kept in any case.
        if self.is_full() && !is_bracket {
            self.dropped += 1;
            return;
        }
        match byte {
            b',' => (self.wants_value, self.is_key) = (false, false),
            b':' => self.wants_value = true,
            _ => {}
        }
        self.keep(&[byte]);
    }

    /// Closes the innermost object or list, whose rest is dropped: there is no room for more of it.
    fn close_innermost(&mut self) {
        if self.is_key && !self.wants_value {
            self.keep(b":");
        }
        if let Some(open) = self.open.pop() {
            self.keep(&[open.close]);
        }
        (self.wants_value, self.is_key) = (false, false);
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.note_cut();
        self.out.extend_from_slice(bytes);
    }

    fn note_cut(&mut self) {
        if self.dropped == 0 {
            return;
        }
        let bytes = std::mem::take(&mut self.dropped);
        let (at, is_full) = (self.out.len(), self.cuts.len() == CONDENSED_CUTS_MAX);
        match self.cuts.last_mut() {
            Some(last) if is_full || last.at == at => last.bytes += bytes,
            _ => self.cuts.push(Cut { at, bytes }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn condensed(limit: usize, line: &[u8], piece: usize) -> (String, u64) {
        let mut condenser = Condenser::new(limit);
        condenser.start();
        line.chunks(piece).for_each(|piece| condenser.push(piece));
        condenser.finish();
        let (out, cuts) = condenser.line();
        (String::from_utf8_lossy(out).into_owned(), cuts.iter().map(|cut| cut.bytes).sum())
    }

    fn parsed(text: &str) -> serde_json::Value {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn what_is_small_is_kept_and_what_is_long_is_cut() {
        let line =
            format!(r#"{{"a":"x","p":"{}","n":[1,{{"b":"\\\""}}],"account":"k"}}"#, "word ".repeat(100_000));
        let (text, dropped) = condensed(4_000, line.as_bytes(), 777);
        let value = parsed(&text);
        assert_eq!(
            (&value["a"], &value["account"], &value["n"][1]["b"]),
            (&"x".into(), &"k".into(), &"\\\"".into())
        );
        assert_eq!(value["p"].as_str().unwrap().len(), 1_000);
        assert_eq!((dropped, text.len()), (499_000, line.len() - 499_000));
    }

    #[test]
    fn wherever_a_list_is_closed_what_is_left_is_json_with_all_of_the_lines_own_fields() {
        let many = "{\"role\":1},".repeat(20_000);
        let line = format!(r#"{{"account":"k","f":[{many}7],"time":1}}"#);
        for limit in 400..440 {
            let (text, _) = condensed(limit, line.as_bytes(), 4_096);
            let mut values = 0;
            let read = crate::json::Json::new(text.as_bytes()).object(|json, _| {
                values += 1;
                json.array(|json, _| json.object(|json, _| json.skip()))
            });
            assert_eq!((read, values), (Ok(()), 3), "{}", &text[text.len() - 200..]);
        }
    }

    #[test]
    fn json_in_a_string_stays_json() {
        let inner = serde_json::json!({
            "model": "m",
            "messages": [
                {"role": "system", "content": "s\n".repeat(50_000)},
                {"role": "user", "content": "\\\"\\".repeat(50_000)},
            ],
            "max_tokens": 7,
        });
        let line = serde_json::json!({"body": inner.to_string(), "account": "k"}).to_string();
        for limit in [2_000, 2_001, 2_002, 2_003] {
            let (text, _) = condensed(limit, line.as_bytes(), 1_000);
            let value = parsed(&text);
            assert_eq!(value["account"], "k");
            let body = parsed(value["body"].as_str().unwrap());
            assert_eq!((&body["model"], &body["max_tokens"]), (&"m".into(), &7.into()));
            assert_eq!(body["messages"][1]["role"], "user");
            assert!(text.len() < limit + CONDENSED_FIELDS_BYTES);
        }
    }

    #[test]
    fn what_is_deep_and_many_gives_way_to_the_lines_own_fields() {
        let many: Vec<_> =
            (0..50_000).map(|number| serde_json::json!({"role": "user", "content": number})).collect();
        let line = serde_json::json!({"a": 1, "messages": many, "x": {"y": [1, 2]}, "z": "k"}).to_string();
        let (text, dropped) = condensed(3_000, line.as_bytes(), 4_096);
        assert!(
            text.len() < 3_000 + CONDENSED_FIELDS_BYTES && dropped > 1_000_000,
            "{} {dropped}",
            text.len()
        );
        assert!(text.ends_with(r#"],"x":{"y":[1,2]},"z":"k"}"#), "{}", &text[text.len() - 60..]);
        let deep = format!(r#"{{"d":{}1{},"z":"k"}}"#, "[".repeat(500_000), "]".repeat(500_000));
        let (text, _) = condensed(3_000, deep.as_bytes(), 4_096);
        assert!(text.ends_with(r#","z":"k"}"#), "{text}");
    }

    proptest! {
        #[test]
        fn the_pieces_of_a_line_do_not_matter(
            text in r#"[a-c"\\{}\[\]:, ]{0,200}"#, limit in 8usize..64, piece in 1usize..20,
        ) {
            prop_assert_eq!(condensed(limit, text.as_bytes(), piece), condensed(limit, text.as_bytes(), text.len().max(1)));
        }

        #[test]
        fn every_byte_is_kept_or_counted(text in r#"[a-c"\\{}\[\]:, ]{0,200}"#, limit in 8usize..64) {
            let (out, dropped) = condensed(limit, text.as_bytes(), 7);
            // What closes brackets that were open was not there.
            prop_assert!(out.len() as u64 + dropped + 1 >= text.len() as u64);
        }
    }
}
