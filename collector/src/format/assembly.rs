//! Records that stand on several lines: parts of a container runtime's log, and JSON that was printed for
//! people.

use super::columns::is_open;
use super::line::Line;
use super::prefix::cri;
use crate::limits::{ASSEMBLED_LINES_MAX, ASSEMBLIES_MAX};
use std::borrow::Cow;

/// What is held until it is complete.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    bytes_max: usize,
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    kind: Kind,
    /// Offset of the first line.
    offset: u64,
    lines: usize,
    text: Vec<u8>,
    /// Brackets that are open, of JSON over several lines.
    depth: usize,
    /// It was more than is held. What is still to come of it is refused, and no line of it is one of the log.
    is_given_up: bool,
    /// Offset of the last line.
    last: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Parts of a stream of a container.
    Stream(Vec<u8>),
    /// JSON over several lines.
    Pretty,
    /// A line of columns, one of which holds line breaks.
    Quoted,
}

/// A text that is complete, with the offset of its first line.
pub(super) type Whole<'l> = (u64, Cow<'l, [u8]>);

/// What is complete after a line: what was held, if the line ends it, and the line itself, if it is none of
/// its parts.
#[derive(Debug, Default)]
pub(super) struct Ready<'l> {
    pub(super) held: Option<Whole<'l>>,
    pub(super) own: Option<Whole<'l>>,
}

/// What is held when no more lines come.
pub(super) struct Left {
    pub(super) offset: u64,
    pub(super) text: Vec<u8>,
    /// It is a line of columns that ends within quotes.
    pub(super) is_of_columns: bool,
    /// It is what came of a cell that was given up.
    pub(super) is_given_up: bool,
}

/// A line that may be columns, whole or with those before it that it ends.
pub(super) struct Row<'l> {
    pub(super) offset: u64,
    pub(super) text: Cow<'l, [u8]>,
    /// It is several lines.
    pub(super) is_several: bool,
    /// It is a piece of one that is too large: none of its lines is one of the log.
    pub(super) is_given_up: bool,
}

impl<'l> Ready<'l> {
    fn held(held: Held) -> Self {
        Self { held: Some((held.offset, Cow::Owned(held.text))), own: None }
    }

    fn own(offset: u64, text: &'l [u8]) -> Self {
        Self { held: None, own: Some((offset, Cow::Borrowed(text))) }
    }
}

impl Assembly {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, held: Vec::new() }
    }

    pub(super) fn is_holding(&self) -> bool {
        self.held.iter().any(Held::has_text)
    }

    /// Whether the next line may be part of another one.
    pub(super) fn is_within(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether the next line begins within a cell in quotes.
    pub(super) fn is_within_quotes(&self) -> bool {
        self.held.iter().any(|held| held.kind == Kind::Quoted)
    }

    /// Whether a part of this stream is held.
    pub(super) fn holds(&self, stream: &[u8]) -> bool {
        self.held.iter().any(|held| held.kind.is_stream(stream))
    }

    /// Offset of the first line that is held.
    pub(super) fn held_from(&self) -> Option<u64> {
        self.held.iter().filter(|held| held.has_text()).map(|held| held.offset).min()
    }

    /// Everything that is held, as far as it goes. Within a cell that was given up the next line is still
    /// within it.
    pub(super) fn take_all(&mut self) -> Vec<Left> {
        let mut all = Vec::new();
        self.held.retain_mut(|held| {
            let text = std::mem::take(&mut held.text);
            held.lines = 0;
            if !(held.is_given_up && text.is_empty()) {
                let (offset, is_of_columns) = (held.offset, held.kind == Kind::Quoted);
                all.push(Left { offset, text, is_of_columns, is_given_up: held.is_given_up });
            }
            held.is_given_up
        });
        all
    }

    /// Forgets what is held.
    pub(super) fn clear(&mut self) {
        self.held.clear();
    }

    /// Adds a line.
    pub(super) fn add<'l>(&mut self, line: Line<'l>) -> Ready<'l> {
        if let Some(cri) = cri(line.bytes) {
            return self.part(cri.stream, line.offset, cri.rest, cri.is_partial);
        }
        let mut ready = Ready::default();
        if let Some(index) = self.held.iter().position(|held| held.kind == Kind::Pretty) {
            // A whole record at the beginning of a line is none of the parts of what is held.
            if !line.bytes.starts_with(b"{\"") {
                return self.pretty(index, line);
            }
            ready = Ready::held(self.held.remove(index));
        }
        if line.bytes.trim_ascii() == b"{" && self.held.len() < ASSEMBLIES_MAX {
            let text = line.bytes.to_vec();
            self.held.push(Held { depth: 1, ..Held::new(Kind::Pretty, line.offset, text) });
            return ready;
        }
        Ready { own: Some((line.offset, Cow::Borrowed(line.bytes))), ..ready }
    }

    /// Adds what stood inside of a line of Docker's log, which cuts long lines into records of their own: one
    /// that begins an object and ends in no line break goes on in the next.
    pub(super) fn add_wrapped<'l>(&mut self, offset: u64, stream: &[u8], inside: &'l [u8]) -> Ready<'l> {
        let is_open = || depth_after(0, inside.trim_ascii()) != Some(0);
        let is_partial = !stream.is_empty() && !inside.ends_with(b"\n") && (self.holds(stream) || is_open());
        self.part(stream, offset, inside, is_partial)
    }

    /// Adds a line that may be columns, with this between them. The whole line with where it begins, or
    /// nothing where it goes on in the next one; none at all where something else is held.
    pub(super) fn add_quoted<'l>(
        &mut self,
        line: Line<'l>,
        separator: Option<u8>,
    ) -> Option<Option<Row<'l>>> {
        // Another file: its first line is within nothing.
        self.held.retain(|held| !held.is_given_up || line.offset >= held.last);
        if let Some(index) = self.held.iter().position(|held| held.kind == Kind::Quoted) {
            let held = &mut self.held[index];
            match held.lines {
                0 => held.offset = line.offset,
                _ => held.text.push(b'\n'),
            }
            held.text.extend_from_slice(line.bytes);
            held.lines += 1;
            held.last = line.offset;
            let is_open = separator.is_some_and(|separator| is_open(line.bytes, separator, true));
            // Of a line that is too long nobody knows which quotes it had.
            let is_too_much = held.is_too_much(self.bytes_max) || !line.cuts.is_empty();
            if is_open && !is_too_much {
                return Some(None);
            }
            held.is_given_up |= is_too_much && is_open;
            let (offset, is_given_up) = (held.offset, held.is_given_up);
            let text = Cow::Owned(std::mem::take(&mut held.text));
            held.lines = 0;
            if !is_open {
                self.held.remove(index);
            }
            return Some(Some(Row { offset, text, is_several: true, is_given_up }));
        }
        let is_open = separator.is_some_and(|separator| is_open(line.bytes, separator, false));
        if self.is_within() || !is_open {
            let text = Cow::Borrowed(line.bytes);
            let row = Row { offset: line.offset, text, is_several: false, is_given_up: false };
            return (!self.is_within()).then_some(Some(row));
        }
        let text = line.bytes.to_vec();
        self.held.push(Held::new(Kind::Quoted, line.offset, text));
        Some(None)
    }

    fn part<'l>(&mut self, stream: &[u8], offset: u64, text: &'l [u8], is_partial: bool) -> Ready<'l> {
        let Some(index) = self.held.iter().position(|held| held.kind.is_stream(stream)) else {
            if !is_partial || self.held.len() == ASSEMBLIES_MAX {
                return Ready::own(offset, text);
            }
            let kind = Kind::Stream(stream.to_vec());
            self.held.push(Held::new(kind, offset, text.to_vec()));
            return Ready::default();
        };
        let held = &mut self.held[index];
        held.text.extend_from_slice(text);
        held.lines += 1;
        if is_partial && !held.is_too_much(self.bytes_max) {
            return Ready::default();
        }
        Ready::held(self.held.remove(index))
    }

    fn pretty<'l>(&mut self, index: usize, line: Line<'_>) -> Ready<'l> {
        let held = &mut self.held[index];
        held.text.push(b'\n');
        held.text.extend_from_slice(line.bytes);
        held.lines += 1;
        held.depth = depth_after(held.depth, line.bytes).unwrap_or(0);
        if held.depth > 0 && !held.is_too_much(self.bytes_max) {
            return Ready::default();
        }
        Ready::held(self.held.remove(index))
    }
}

impl Kind {
    fn is_stream(&self, name: &[u8]) -> bool {
        matches!(self, Self::Stream(stream) if stream == name)
    }
}

impl Held {
    fn new(kind: Kind, offset: u64, text: Vec<u8>) -> Self {
        Self { kind, offset, lines: 1, text, depth: 0, is_given_up: false, last: offset }
    }

    fn has_text(&self) -> bool {
        !self.is_given_up || !self.text.is_empty()
    }

    fn is_too_much(&self, bytes_max: usize) -> bool {
        self.text.len() > bytes_max || self.lines >= ASSEMBLED_LINES_MAX
    }
}

/// Brackets that are open after a text, where so many were before; none where more are closed than were open,
/// or the text ends in a string.
fn depth_after(before: usize, text: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string, mut is_escaped) = (before, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    (!in_string).then_some(depth)
}
