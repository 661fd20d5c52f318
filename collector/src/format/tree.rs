//! All places that a set of formats asks for, as one tree: a record is gone through once, whatever is asked.

use super::any_value::{inner_of, to_plain};
use super::found::Found;
use super::pointer::{PointerError, Step, steps_of};
use crate::json::{Fault, Json, Kind, Span, Text, Value};

/// The places, each with its slot.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// The path of every slot, as the format files write it.
    paths: Vec<String>,
}

#[derive(Debug, Default)]
struct Node {
    entries: Vec<Entry>,
    /// Index of an entry + 1 by the hash of its name, open addressing; 0 is free.
    table: Vec<u16>,
    /// Names match in any case.
    any_case: bool,
    /// The entry that any key and any index leads to.
    any: Option<u16>,
    numbered: Vec<(String, String, u16)>,
    /// Some entry is an index.
    has_index: bool,
}

#[derive(Debug)]
struct Entry {
    name: Box<[u8]>,
    /// Of its name, when every path is in.
    mark: Mark,
    slot: Option<u16>,
    child: Option<u16>,
}

/// What a value is read for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    slot: Option<u16>,
    child: Option<u16>,
}

impl Tree {
    /// The slot of a path; a new one where no format asked for it yet.
    pub(crate) fn slot(&mut self, path: &str) -> Result<u16, PointerError> {
        let steps = steps_of(path)?;
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut node = 0usize;
        let last = steps.len() - 1;
        for (index, step) in steps.iter().enumerate() {
            if let Step::Numbered(before, after) = step {
                let known = self.nodes[node].numbered.iter().find(|(b, a, _)| b == before && a == after);
                if let Some((_, _, slot)) = known {
                    return Ok(*slot);
                }
                let slot = self.new_slot(path);
                self.nodes[node].numbered.push((before.clone(), after.clone(), slot));
                return Ok(slot);
            }
            let entry = self.nodes[node].entry(step);
            if index == last {
                if let Some(slot) = self.nodes[node].entries[entry].slot {
                    return Ok(slot);
                }
                let slot = self.new_slot(path);
                self.nodes[node].entries[entry].slot = Some(slot);
                return Ok(slot);
            }
            node = match self.nodes[node].entries[entry].child {
                Some(child) => usize::from(child),
                None => {
                    let child = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[node].entries[entry].child = Some(child as u16);
                    child
                }
            };
        }
        // A path has a last step, which returned.
        Ok(self.new_slot(path))
    }

    fn new_slot(&mut self, path: &str) -> u16 {
        self.paths.push(path.to_owned());
        (self.paths.len() - 1) as u16
    }

    /// Makes the tables, when every path is in.
    pub(crate) fn finish(&mut self) {
        self.nodes.iter_mut().for_each(Node::finish);
    }

    /// Number of slots.
    pub(crate) fn slots(&self) -> usize {
        self.paths.len()
    }

    /// The path of a slot.
    pub(crate) fn path(&self, slot: u16) -> &str {
        &self.paths[usize::from(slot)]
    }

    /// Goes through the object that begins at `at` of `record`; gives the offset behind it. What was found
    /// before a fault is kept.
    pub(crate) fn scan(&self, record: &[u8], at: usize, found: &mut Found) -> Result<usize, Fault> {
        found.clear();
        let mut json = Json::at(record, at);
        let read = match self.nodes.first() {
            Some(root) => self.object(&mut json, root, found, record, 0),
            None => json.skip(),
        };
        match read {
            Ok(()) => Ok(json.offset()),
            Err(fault) => {
                found.doubt_last(record, fault.at);
                Err(fault)
            }
        }
    }

    /// What the values of an object with these keys are read for; none where one of them is among keys that
    /// differ by a number.
    pub(crate) fn targets(&self, keys: &[String]) -> Option<Vec<Option<Target>>> {
        let root = self.nodes.first()?;
        let target = |key: &String| match root.target(key.as_bytes()) {
            None if root.numbered_target(key.as_bytes()).is_some() => None,
            target => Some(target),
        };
        keys.iter().map(target).collect()
    }

    /// Keeps a text that stands in the record at `from..to`.
    pub(crate) fn keep_text(&self, target: Target, record: &[u8], from: usize, to: usize, found: &mut Found) {
        if let Some(slot) = target.slot {
            found.keep(slot, record, Span { kind: Kind::Text, from, to }, 0);
        }
        if let Some(child) = target.child {
            self.text(Text::new(&record[from..to], false), &self.nodes[usize::from(child)], found);
        }
    }

    fn object(
        &self,
        json: &mut Json<'_>,
        node: &Node,
        found: &mut Found,
        bytes: &[u8],
        buffer: u8,
    ) -> Result<(), Fault> {
        json.object(|json, key| match node.target(&key.bytes()) {
            Some(target) => self.value(json, target, found, bytes, buffer),
            None if node.numbered.is_empty() => json.skip(),
            None => {
                let numbered = node.numbered_target(&key.bytes());
                let span = json.span()?;
                if let Some((slot, number)) = numbered {
                    found.keep_numbered(slot, number, bytes, span, buffer);
                }
                Ok(())
            }
        })
    }

    fn value(
        &self,
        json: &mut Json<'_>,
        target: Target,
        found: &mut Found,
        bytes: &[u8],
        buffer: u8,
    ) -> Result<(), Fault> {
        let Some(child) = target.child.map(|child| &self.nodes[usize::from(child)]) else {
            let span = json.span()?;
            if let Some(slot) = target.slot {
                found.keep(slot, bytes, span, buffer);
            }
            return Ok(());
        };
        let first = json.peek();
        let from = json.offset();
        match first {
            Some(b'{') => self.object(json, child, found, bytes, buffer)?,
            Some(b'[') => self.list(json, child, found, bytes, buffer)?,
            _ => {
                let span = json.span()?;
                if let Some(slot) = target.slot {
                    found.keep(slot, bytes, span, buffer);
                }
                if let Value::Text(text) = Value::of(bytes, span) {
                    self.text(text, child, found);
                }
                return Ok(());
            }
        }
        if let Some(slot) = target.slot {
            let kind = if first == Some(b'{') { Kind::Object } else { Kind::Array };
            found.keep(slot, bytes, Span { kind, from, to: json.offset() }, buffer);
        }
        Ok(())
    }

    /// A list: of values by their index, or of keys with their values.
    fn list(
        &self,
        json: &mut Json<'_>,
        node: &Node,
        found: &mut Found,
        bytes: &[u8],
        buffer: u8,
    ) -> Result<(), Fault> {
        json.array(|json, index| {
            if node.has_index || node.any.is_some() {
                return match node.target(index.to_string().as_bytes()) {
                    Some(target) => self.value(json, target, found, bytes, buffer),
                    None => json.skip(),
                };
            }
            self.pair(json, node, found, bytes, buffer)
        })
    }

    /// An object that names a key and its value, as OpenTelemetry and some writers of headers have it.
    fn pair(
        &self,
        json: &mut Json<'_>,
        node: &Node,
        found: &mut Found,
        bytes: &[u8],
        buffer: u8,
    ) -> Result<(), Fault> {
        let (mut target, mut numbered, mut value) = (None, None, None);
        json.object(|json, key| {
            match &*key.bytes() {
                b"key" | b"name" => {
                    if let Value::Text(name) = json.value()? {
                        target = node.target(&name.bytes());
                        numbered = node.numbered_target(&name.bytes());
                    }
                }
                b"value" => {
                    value = Some(json.clone());
                    json.skip()?;
                }
                _ => json.skip()?,
            }
            Ok(())
        })?;
        let Some(mut value) = value.map(inner_of) else { return Ok(()) };
        if let Some((slot, number)) = numbered {
            let span = value.span()?;
            found.keep_numbered(slot, number, bytes, span, buffer);
            return Ok(());
        }
        let Some(target) = target else { return Ok(()) };
        if !matches!(value.peek(), Some(b'{' | b'[')) {
            return self.value(&mut value, target, found, bytes, buffer);
        }
        // A structure of OpenTelemetry's values becomes plain JSON.
        let Some((number, mut plain)) = found.take_nested() else { return Ok(()) };
        to_plain(&mut value, &mut plain);
        let read = self.value(&mut Json::new(&plain), target, found, &plain, number);
        found.put_nested(number, plain);
        read
    }

    /// A text that is JSON itself. One that is not, or is torn, hides nothing else.
    fn text(&self, text: Text<'_>, node: &Node, found: &mut Found) {
        let Some((number, mut inner)) = found.take_nested() else { return };
        text.bytes_into(&mut inner);
        let mut json = Json::new(&inner);
        let read = match json.peek() {
            Some(b'{') => self.object(&mut json, node, found, &inner, number),
            Some(b'[') => self.list(&mut json, node, found, &inner, number),
            _ => Ok(()),
        };
        let _ = read;
        found.put_nested(number, inner);
    }
}

impl Node {
    /// The entry of a step, made where there is none yet.
    fn entry(&mut self, step: &Step) -> usize {
        let name = match step {
            Step::Key(name) => name.as_bytes(),
            Step::AnyCase(name) => {
                self.any_case = true;
                name.as_bytes()
            }
            Step::Any | Step::Numbered(..) => b"*",
        };
        let known = match step {
            Step::Any => self.any.map(usize::from),
            _ => self
                .entries
                .iter()
                .enumerate()
                .position(|(index, entry)| *entry.name == *name && self.any != Some(index as u16)),
        };
        known.unwrap_or_else(|| {
            let index = self.entries.len();
            if *step == Step::Any {
                self.any = Some(index as u16);
            }
            self.has_index |= matches!(step, Step::Key(_)) && name.iter().all(u8::is_ascii_digit);
            self.entries.push(Entry { name: name.into(), mark: Mark::default(), slot: None, child: None });
            index
        })
    }

    fn finish(&mut self) {
        if self.any_case {
            self.entries.iter_mut().for_each(|entry| entry.name.make_ascii_lowercase());
        }
        self.entries.iter_mut().for_each(|entry| entry.mark = Mark::of(&entry.name));
        self.table = vec![0; (self.entries.len() * 4).next_power_of_two().max(4)];
        for (index, entry) in
            self.entries.iter().enumerate().filter(|(index, _)| self.any != Some(*index as u16))
        {
            let mut slot = entry.mark.hash() & (self.table.len() - 1);
            while self.table[slot] != 0 {
                slot = (slot + 1) & (self.table.len() - 1);
            }
            self.table[slot] = index as u16 + 1;
        }
    }

    #[inline]
    fn target(&self, key: &[u8]) -> Option<Target> {
        let mut lower = [0; LOWER_BYTES];
        let entry = match (self.any_case, lower.get_mut(..key.len())) {
            (false, _) => self.find(key),
            (true, Some(lower)) => {
                lower.copy_from_slice(key);
                lower.make_ascii_lowercase();
                self.find(lower)
            }
            (true, None) => self.find(&key.to_ascii_lowercase()),
        };
        let entry = match entry {
            Some(entry) => entry,
            None => &self.entries[usize::from(self.any?)],
        };
        Some(Target { slot: entry.slot, child: entry.child })
    }

    #[inline]
    fn find(&self, key: &[u8]) -> Option<&Entry> {
        let mask = self.table.len() - 1;
        let mark = Mark::of(key);
        let mut slot = mark.hash() & mask;
        loop {
            match self.table[slot] {
                0 => return None,
                index => {
                    let entry = &self.entries[usize::from(index) - 1];
                    if entry.mark == mark && (mark.is_all() || *entry.name == *key) {
                        return Some(entry);
                    }
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    fn numbered_target(&self, key: &[u8]) -> Option<(u16, u32)> {
        self.numbered.iter().find_map(|(before, after, slot)| {
            let digits = key.strip_prefix(before.as_bytes())?.strip_suffix(after.as_bytes())?;
            Some((*slot, std::str::from_utf8(digits).ok()?.parse().ok()?))
        })
    }
}

/// Longest name of which no copy is made to look for it in any case, in bytes.
const LOWER_BYTES: usize = 64;

/// Of a name its length, beginning and end: enough to tell the few hundred keys of logs apart, and all of a
/// short one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Mark {
    head: u64,
    tail: u64,
    length: usize,
}

impl Mark {
    #[inline]
    fn of(name: &[u8]) -> Self {
        let (head, tail) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
            _ => match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
                (Some(head), Some(tail)) => {
                    (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into())
                }
                _ => (name.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
            },
        };
        Self { head, tail, length: name.len() }
    }

    /// Whether there is no more to the name.
    #[inline]
    fn is_all(self) -> bool {
        self.length <= 16
    }

    #[inline]
    fn hash(self) -> usize {
        let mixed = self.head ^ self.tail.rotate_left(23) ^ self.length as u64;
        (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found at the paths, in their order.
    fn found(paths: &[&str], record: &str) -> Vec<String> {
        let mut tree = Tree::default();
        let slots: Vec<u16> = paths.iter().map(|path| tree.slot(path).unwrap()).collect();
        tree.finish();
        let mut found = Found::new(tree.slots());
        let read = tree.scan(record.as_bytes(), 0, &mut found);
        let mut shown: Vec<String> = slots
            .iter()
            .map(|slot| match found.value(record.as_bytes(), *slot) {
                Value::Null => "-".into(),
                Value::Text(text) => text.decode().into_owned(),
                Value::Number(number) => format!("{number:?}"),
                Value::Bool(value) => value.to_string(),
                Value::Object(raw) | Value::Array(raw) => String::from_utf8_lossy(raw).into_owned(),
                Value::Bare => "bare".into(),
            })
            .collect();
        if read.is_err() {
            shown.push("fault".into());
        }
        shown
    }

    #[test]
    fn places_are_found_however_deep() {
        assert_eq!(
            found(&["a", "/b/c/d", "/b/c", "x"], r#"{"b":{"z":1,"c":{"d":"deep"}},"a":7,"y":[{}]}"#),
            ["Integer(7)", "deep", r#"{"d":"deep"}"#, "-"]
        );
        assert_eq!(
            found(&["/l/1/x", "/m/*/y"], r#"{"l":[{"x":1},{"x":"two"}],"m":{"any":{"y":"z"}}}"#),
            ["two", "z"]
        );
        assert_eq!(found(&["/h/{X-Key}"], r#"{"h":{"x-KEY":"v"}}"#), ["v"]);
    }

    #[test]
    fn a_key_is_the_same_with_escapes() {
        assert_eq!(found(&["account"], r#"{"acc\u006funt":"a"}"#), ["a"]);
    }

    #[test]
    fn the_later_value_counts_and_nothing_erases_nothing() {
        assert_eq!(
            found(&["a", "b"], r#"{"a":1,"a":2,"b":"x","b":null,"b":"","b":"-","b":[]}"#),
            ["Integer(2)", "x"]
        );
        assert_eq!(found(&["/o/a", "/o/b"], r#"{"o":{"a":1},"o":{"b":2}}"#), ["Integer(1)", "Integer(2)"]);
    }

    #[test]
    fn texts_that_are_json_are_gone_through() {
        assert_eq!(found(&["/meta/user"], r#"{"meta":"{\"user\":\"u-\\u00e9\"}"}"#), ["u-é"]);
        assert_eq!(found(&["/meta/user", "meta"], r#"{"meta":"no json"}"#), ["-", "no json"]);
        assert_eq!(found(&["/meta/user"], r#"{"meta":"{\"user\":\"u\",\"x\":"}"#), ["u"]);
    }

    #[test]
    fn lists_of_keys_and_values_are_gone_through() {
        let record = r#"{"attributes":[{"key":"a","value":{"stringValue":"x"}},{"value":{"intValue":"7"},"key":"b"},
            {"key":"p.2.c","value":{"stringValue":"two"}},{"key":"p.0.c","value":{"stringValue":"zero"}},
            {"key":"m","value":{"arrayValue":{"values":[{"kvlistValue":{"values":[{"key":"r","value":{"stringValue":"u\"v"}}]}}]}}}]}"#;
        assert_eq!(
            found(&["/attributes/a", "/attributes/b", "/attributes/m"], record),
            ["x", "7", r#"[{"r":"u\"v"}]"#]
        );
        let mut tree = Tree::default();
        let slot = tree.slot("/attributes/p.#.c").unwrap();
        tree.finish();
        let mut found = Found::new(1);
        tree.scan(record.as_bytes(), 0, &mut found).unwrap();
        let texts: Vec<_> =
            found.numbered(record.as_bytes(), slot).into_iter().map(|(number, _)| number).collect();
        assert_eq!(texts, [0, 2]);
    }

    #[test]
    fn what_was_found_before_a_tear_is_kept_but_for_what_may_be_half() {
        assert_eq!(found(&["a", "b"], r#"{"a":1,"b":2,"c":"x"#), ["Integer(1)", "Integer(2)", "fault"]);
        assert_eq!(found(&["a", "b"], r#"{"a":1,"b":12"#), ["Integer(1)", "-", "fault"]);
        assert_eq!(found(&["a", "b"], r#"{"a":1,"b":"x{"a":3}"#), ["Integer(1)", "-", "fault"]);
    }
}
