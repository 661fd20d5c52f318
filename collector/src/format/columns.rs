//! Lines that are columns, as CSV files have them. The first line names the columns, by the keys of any
//! format; every other one becomes a record of texts with these keys.

use super::found::Found;
use super::spec;
use super::tree::{Target, Tree};
use crate::limits::COLUMNS_MAX;
use crate::search::first_of;
use memchr::memchr;
use std::borrow::Cow;

/// What may stand between columns.
const SEPARATORS: [u8; 4] = *b",;\t|";

/// Longest name of a column, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The columns of a file.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    separator: u8,
    names: Vec<String>,
    /// What each is read for; none where only the whole record tells.
    targets: Option<Vec<Option<Target>>>,
}

impl Columns {
    /// The columns that a format file names.
    pub(super) fn of_spec(columns: &spec::Columns) -> Option<Self> {
        let separator = u8::try_from(columns.separator).ok()?;
        (!columns.names.is_empty()).then(|| Self { separator, names: columns.names.clone(), targets: None })
    }

    /// The columns that a line names; none where it names none.
    pub(super) fn of_names(line: &[u8]) -> Option<Self> {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let separator = *line.iter().find(|byte| SEPARATORS.contains(byte))?;
        let mut names = Vec::new();
        for cell in Cells::of(line, separator).take(COLUMNS_MAX + 1) {
            let name = std::str::from_utf8(&cell).ok().map(str::trim)?;
            // Data frames number their rows in a column without a name.
            let is_of_rows = name.is_empty() && names.is_empty();
            if !(is_of_rows || is_name(name)) {
                return None;
            }
            names.push(name.to_owned());
        }
        (2..=COLUMNS_MAX).contains(&names.len()).then_some(Self { separator, names, targets: None })
    }

    /// The same columns, to be read by a tree of places.
    pub(super) fn read_by(self, tree: &Tree) -> Self {
        Self { targets: tree.targets(&self.names), ..self }
    }

    /// Finds the places of a line's record in the line itself; false where that cannot be, because the cells
    /// have quotes or backslashes inside, or are not as many as the names.
    pub(super) fn find(&self, line: &[u8], tree: &Tree, found: &mut Found) -> bool {
        let Some(targets) = &self.targets else { return false };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if memchr(b'\\', line).is_some() {
            return false;
        }
        found.clear();
        let (mut at, mut left) = (0, targets.len());
        for target in targets {
            let (from, to, next) = match line.get(at) {
                Some(b'"') => {
                    let Some(quote) = first_of(line, at + 1, [b'"'; 2]) else { return false };
                    (at + 1, quote, quote + 1)
                }
                _ => {
                    let to = first_of(line, at, [self.separator, b'"']).unwrap_or(line.len());
                    (at, to, to)
                }
            };
            left -= 1;
            // A quote anywhere else is one of two, or somebody's mistake.
            let is_ended = match line.get(next) {
                Some(byte) => left > 0 && *byte == self.separator,
                None => left == 0,
            };
            if !is_ended {
                return false;
            }
            if let Some(target) = target {
                tree.keep_text(*target, line, from, to, found);
            }
            at = next + 1;
        }
        true
    }

    /// What stands between them.
    pub(super) fn separator(&self) -> u8 {
        self.separator
    }

    /// The same columns with their names in lower case.
    pub(super) fn in_lower_case(self) -> Self {
        let names = self.names.iter().map(|name| name.to_lowercase()).collect();
        Self { names, ..self }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// A record that has every name, each with a text.
    pub(super) fn example(&self, out: &mut Vec<u8>) {
        write(self.names.iter().map(|name| (&**name, Cow::Borrowed(&b"x"[..]))), out);
    }

    /// Whether nothing stands between the quotes of a cell and what stands between cells: otherwise the
    /// quotes of two lines were taken for a pair.
    pub(super) fn is_clean(&self, line: &[u8]) -> bool {
        let mut rest = line.strip_suffix(b"\r").unwrap_or(line);
        loop {
            if let Some(quoted) = rest.strip_prefix(b"\"") {
                rest = quoted;
                loop {
                    let Some(quote) = memchr(b'"', rest) else { return false };
                    rest = &rest[quote + 1..];
                    match rest.strip_prefix(b"\"") {
                        Some(behind) => rest = behind,
                        None => break,
                    }
                }
                match rest.split_first() {
                    None => return true,
                    Some((byte, behind)) if *byte == self.separator => rest = behind,
                    Some(_) => return false,
                }
            } else {
                let Some(end) = memchr(self.separator, rest) else { return true };
                rest = &rest[end + 1..];
            }
        }
    }

    /// The record of a line; the number of its columns where they are not as many as the names.
    pub(super) fn record(&self, line: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
        let count = Cells::of(line, self.separator).count();
        if count != self.names.len() {
            return Err(count);
        }
        let names = self.names.iter().map(String::as_str);
        write(names.zip(Cells::of(line, self.separator)), out);
        Ok(())
    }
}

/// Whether a line ends within quotes, so that it goes on in the next one; `is_within`, whether it begins so.
/// A quote anywhere but at the beginning of a cell opens nothing: whoever writes no quotes around cells
/// writes what clients say.
pub(super) fn is_open(line: &[u8], separator: u8, is_within: bool) -> bool {
    let (mut rest, mut is_within) = (line, is_within);
    if !is_within && memchr(b'"', rest).is_none() {
        return false;
    }
    loop {
        if is_within {
            let Some(quote) = memchr(b'"', rest) else { return true };
            rest = &rest[quote + 1..];
            if let Some(behind) = rest.strip_prefix(b"\"") {
                rest = behind;
                continue;
            }
        } else if let Some(quoted) = rest.strip_prefix(b"\"") {
            (rest, is_within) = (quoted, true);
            continue;
        }
        is_within = false;
        let Some(end) = memchr(separator, rest) else { return false };
        rest = &rest[end + 1..];
    }
}

fn is_name(name: &str) -> bool {
    let is_of_name = |char: char| char.is_alphanumeric() || " _-.:/@#()".contains(char);
    let begins = name.chars().next().is_some_and(|char| char.is_alphabetic() || "_@:".contains(char));
    begins && name.len() <= NAME_BYTES_MAX && name.chars().all(is_of_name)
}

fn write<'c>(cells: impl Iterator<Item = (&'c str, Cow<'c, [u8]>)>, out: &mut Vec<u8>) {
    out.clear();
    out.push(b'{');
    for (index, (name, cell)) in cells.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        quote(name.as_bytes(), out);
        out.push(b':');
        quote(&cell, out);
    }
    out.push(b'}');
}

/// A text as JSON has it. Line breaks and other bytes that JSON forbids are read by the reader as they are.
fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// The cells of a line. A cell in quotes may hold the separator, and a quote as two of them.
struct Cells<'l> {
    rest: Option<&'l [u8]>,
    separator: u8,
}

impl<'l> Cells<'l> {
    fn of(line: &'l [u8], separator: u8) -> Self {
        Self { rest: Some(line.strip_suffix(b"\r").unwrap_or(line)), separator }
    }
}

impl<'l> Iterator for Cells<'l> {
    type Item = Cow<'l, [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.rest.take()?;
        let Some(quoted) = line.strip_prefix(b"\"") else {
            let end = memchr(self.separator, line);
            self.rest = end.map(|end| &line[end + 1..]);
            return Some(Cow::Borrowed(&line[..end.unwrap_or(line.len())]));
        };
        let mut cell = Vec::new();
        let mut rest = quoted;
        while let Some(end) = memchr(b'"', rest) {
            cell.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let Some(behind) = rest.strip_prefix(b"\"") else {
                // What stands between the quote and the separator belongs to nobody.
                let end = memchr(self.separator, rest);
                self.rest = end.map(|end| &rest[end + 1..]);
                return Some(Cow::Owned(cell));
            };
            cell.push(b'"');
            rest = behind;
        }
        cell.extend_from_slice(rest);
        Some(Cow::Owned(cell))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(names: &str, line: &str) -> Result<String, usize> {
        let mut out = Vec::new();
        Columns::of_names(names.as_bytes()).unwrap().record(line.as_bytes(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn cells_are_read_with_and_without_quotes() {
        assert_eq!(record("a,b", "1,\"x, \"\"y\"\"\"").unwrap(), r#"{"a":"1","b":"x, \"y\""}"#);
        assert_eq!(record("\u{feff}a;b;c\r", ";\"\";x\r").unwrap(), r#"{"a":"","b":"","c":"x"}"#);
        assert_eq!(record("a\tb", "c:\\d\t\"x\ny\"").unwrap(), "{\"a\":\"c:\\\\d\",\"b\":\"x\ny\"}");
        assert_eq!(record("a,b", "1"), Err(1));
        assert_eq!(record("a,b", "1,2,3"), Err(3));
        let is_open = |line: &str, is_within| is_open(line.as_bytes(), b',', is_within);
        assert_eq!((is_open("1,\"x", false), is_open("1,\"x\"\"\"", false)), (true, false));
        assert_eq!((is_open("1,x\"y", false), is_open("x\"\"\",1", true)), (false, false));
        assert_eq!((is_open("x,\"\"", true), is_open("x\",\"", true)), (true, true));
    }

    #[test]
    fn what_names_no_columns_is_told_apart() {
        for line in ["", "one", "2026-11-21,1", "a,,b", "{\"a\":1,\"b\":2}", "a,{b}", ",,a"] {
            assert!(Columns::of_names(line.as_bytes()).is_none(), "{line}");
        }
        assert!(Columns::of_names("x,".repeat(COLUMNS_MAX + 1).as_bytes()).is_none());
    }
}
