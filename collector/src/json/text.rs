//! Strings: the bytes between the quotes, whose escapes are resolved when asked for.

use memchr::{memchr, memmem};
use std::borrow::Cow;

/// A string of the input.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    raw: &'a [u8],
    is_escaped: bool,
    /// The same without escapes, where it is known to be characters.
    chars: Option<&'a str>,
}

impl<'a> Text<'a> {
    /// What stands between the quotes, and whether it has escapes.
    #[inline]
    pub(crate) fn new(raw: &'a [u8], is_escaped: bool) -> Self {
        Self { raw, is_escaped, chars: None }
    }

    /// The same text, of which it is known already that it is these characters.
    #[inline]
    pub(crate) fn known_as(self, chars: Option<&'a str>) -> Self {
        Self { chars: chars.filter(|_| !self.is_escaped), ..self }
    }

    /// The bytes with their escapes resolved; they need not be UTF-8.
    #[inline]
    pub(crate) fn bytes(self) -> Cow<'a, [u8]> {
        if !self.is_escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut bytes = Vec::new();
        self.bytes_into(&mut bytes);
        Cow::Owned(bytes)
    }

    /// Appends the bytes with their escapes resolved.
    pub(crate) fn bytes_into(self, out: &mut Vec<u8>) {
        if self.is_escaped { unescape(self.raw, out) } else { out.extend_from_slice(self.raw) }
    }

    /// The text; what is no character in it is U+FFFD.
    pub(crate) fn decode(self) -> Cow<'a, str> {
        if let Some(chars) = self.chars {
            return Cow::Borrowed(chars);
        }
        match self.bytes() {
            // The check of the standard library that is fast on ASCII comes first.
            Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => String::from_utf8_lossy(bytes),
            },
            Cow::Owned(bytes) => Cow::Owned(lossy(bytes)),
        }
    }

    /// What follows the last occurrence of `mark`; all of it where there is none.
    pub(crate) fn after(self, mark: &str) -> Self {
        let raw = memmem::rfind(self.raw, mark.as_bytes())
            .map_or(self.raw, |found| &self.raw[found + mark.len()..]);
        Self { raw, chars: None, ..self }
    }

    /// What stands between the quotes, escapes and all.
    pub(crate) fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// How many letters and digits it has, up to `max`, without a look at more of it than that takes.
    pub(crate) fn letters(self, max: usize) -> usize {
        let mut letters = 0;
        let mut chars = self.raw.utf8_chunks().flat_map(|chunk| chunk.valid().chars());
        while letters < max {
            let Some(char) = chars.next() else { break };
            let char = match char {
                '\\' if self.is_escaped => match chars.next() {
                    Some('u') => {
                        let digits = (0..4).filter_map(|_| chars.next()?.to_digit(16));
                        char::from_u32(digits.fold(0, |code, digit| code << 4 | digit))
                    }
                    // A line break and the like.
                    _ => None,
                },
                char => Some(char),
            };
            letters += usize::from(char.is_some_and(char::is_alphanumeric));
        }
        letters
    }

    /// Whether it says nothing but blanks.
    pub(crate) fn is_blank(self) -> bool {
        self.raw.trim_ascii().is_empty()
    }
}

/// The text of bytes; what is no character in them is U+FFFD.
pub(crate) fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Appends `raw` with its escapes resolved. One that is none stands for what follows the backslash, and half
/// a surrogate pair for U+FFFD.
fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    out.reserve(raw.len());
    let mut rest = raw;
    while let Some(found) = memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..found]);
        rest = &rest[found + 1..];
        let Some((escape, after)) = rest.split_first() else { return };
        rest = after;
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'u' => rest = unescape_unit(rest, out),
            // nginx without `escape=json`.
            b'x' => match hex(rest, 2) {
                Some(byte) => {
                    out.push(byte as u8);
                    rest = &rest[2..];
                }
                None => out.push(b'x'),
            },
            other => out.push(*other),
        }
    }
    out.extend_from_slice(rest);
}

/// Appends the character whose `\u` was read, and gives what follows it.
fn unescape_unit<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let mut push = |char: char| out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    let Some(unit) = hex(rest, 4) else {
        push(char::REPLACEMENT_CHARACTER);
        return rest;
    };
    let rest = &rest[4..];
    if !(0xD800..0xE000).contains(&unit) {
        push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
        return rest;
    }
    let low = rest.strip_prefix(b"\\u").and_then(|rest| hex(rest, 4));
    match low {
        Some(low) if unit < 0xDC00 && (0xDC00..0xE000).contains(&low) => {
            let code = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            &rest[6..]
        }
        _ => {
            push(char::REPLACEMENT_CHARACTER);
            rest
        }
    }
}

fn hex(text: &[u8], digits: usize) -> Option<u32> {
    text.get(..digits)?.iter().try_fold(0, |sum, digit| Some(sum << 4 | (*digit as char).to_digit(16)?))
}

/// A text of JSON. Bytes that are not UTF-8 stay: whoever reads the text counts them.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0..0x20 => {
                let digits = b"0123456789abcdef";
                let (high, low) = (digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
            other => out.push(*other),
        }
    }
    out.push(b'"');
}
