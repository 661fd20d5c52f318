//! A lenient JSON reader over bytes: what the parsers of servers in Python, Node and Go accept, and what log
//! writers make of JSON.
//!
//! Beyond the standard it reads a byte order mark, `NaN` and `Infinity`, bare words, values left out
//! (`"a":,`), commas too many, escapes that are no character (as U+FFFD) and bytes that are not UTF-8
//! (likewise). It keeps nothing and copies nothing: a value is a piece of the input, whose escapes are
//! resolved only when it is asked for its text. What it passes over is not checked beyond its brackets and
//! quotes.
//!
//! It never recurses by itself. Who descends into values by [`Json::object`] and [`Json::array`] bounds the
//! depth.

mod number;
mod text;

pub(crate) use number::Number;
pub(crate) use text::{Text, write_text};

use crate::search::first_of;

/// Where reading could not go on: the offset of the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: usize,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    /// `null`, or left out.
    #[default]
    Null,
    True,
    False,
    /// A number, not checked to be one that is known.
    Number,
    /// A string without escapes.
    Text,
    /// A string with escapes.
    Escaped,
    Object,
    Array,
    /// A word that JSON does not know.
    Bare,
}

/// A piece of the input that is one value: of a string what stands between the quotes, of anything else all
/// of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) kind: Kind,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Span {
    /// Whether it says nothing: null, a text of blanks or the dash that log writers put for it, an empty list
    /// or object.
    pub(crate) fn is_empty(self, bytes: &[u8]) -> bool {
        let inside = &bytes[self.from..self.to];
        match self.kind {
            Kind::Null => true,
            Kind::Text | Kind::Escaped | Kind::Bare => is_nothing(inside),
            Kind::Object | Kind::Array => {
                inside.len() < 64 && inside[1..inside.len().saturating_sub(1).max(1)].trim_ascii().is_empty()
            }
            Kind::True | Kind::False | Kind::Number => false,
        }
    }
}

fn is_nothing(text: &[u8]) -> bool {
    match text {
        [] => true,
        [first, ..] if *first > b'-' => false,
        _ => matches!(text.trim_ascii(), [] | [b'-']),
    }
}

/// A place in JSON, from which values are read one after another.
#[derive(Clone)]
pub(crate) struct Json<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Json<'a> {
    /// At the beginning of `bytes`, after a byte order mark.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { bytes, at }
    }

    /// At a place of `bytes`.
    pub(crate) fn at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Offset of the next byte.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// The next byte that is no blank; it is not consumed.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                other => return Some(*other),
            }
        }
    }

    fn fault(&self) -> Fault {
        Fault { at: self.at.min(self.bytes.len()) }
    }

    /// Passes over the next value and says what it is.
    #[inline]
    pub(crate) fn span(&mut self) -> Result<Span, Fault> {
        let first = self.peek().ok_or_else(|| self.fault())?;
        let from = self.at;
        match first {
            b'"' => {
                let (to, is_escaped) = self.string()?;
                Ok(Span { kind: if is_escaped { Kind::Escaped } else { Kind::Text }, from: from + 1, to })
            }
            b'{' => self.compound().map(|()| Span { kind: Kind::Object, from, to: self.at }),
            b'[' => self.compound().map(|()| Span { kind: Kind::Array, from, to: self.at }),
            _ => self.word(),
        }
    }

    /// All of the value at `span`, with the quotes of a string.
    pub(crate) fn slice(&self, span: Span) -> &'a [u8] {
        match span.kind {
            Kind::Text | Kind::Escaped => &self.bytes[span.from - 1..span.to + 1],
            _ => &self.bytes[span.from..span.to],
        }
    }

    /// The next value.
    pub(crate) fn value(&mut self) -> Result<Value<'a>, Fault> {
        let bytes = self.bytes;
        self.span().map(|span| Value::of(bytes, span))
    }

    /// Passes over the next value.
    pub(crate) fn skip(&mut self) -> Result<(), Fault> {
        self.span().map(drop)
    }

    /// Calls `each` at the value of every entry of the object that comes next; it must consume exactly that
    /// value. Anything but an object is passed over.
    #[inline]
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Text<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.peek() != Some(b'{') {
            return self.skip();
        }
        self.at += 1;
        loop {
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'"') => {
                    let from = self.at + 1;
                    let (to, is_escaped) = self.string()?;
                    if self.peek() != Some(b':') {
                        return Err(self.fault());
                    }
                    self.at += 1;
                    each(self, Text::new(&self.bytes[from..to], is_escaped))?;
                    self.expect_end(b'}')?;
                }
                _ => return Err(self.fault()),
            }
        }
    }

    /// Calls `each` at every item of the array that comes next, with its index; it must consume exactly that
    /// item. Anything but an array is passed over.
    #[inline]
    pub(crate) fn array(
        &mut self,
        mut each: impl FnMut(&mut Self, usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.peek() != Some(b'[') {
            return self.skip();
        }
        self.at += 1;
        let mut index = 0;
        loop {
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'}' | b':') | None => return Err(self.fault()),
                Some(_) => {
                    each(self, index)?;
                    index += 1;
                    self.expect_end(b']')?;
                }
            }
        }
    }

    #[inline]
    fn expect_end(&mut self, close: u8) -> Result<(), Fault> {
        match self.peek() {
            Some(byte) if byte == b',' || byte == close => Ok(()),
            _ => Err(self.fault()),
        }
    }

    /// Passes over a string; the offset of its closing quote, and whether it has escapes.
    #[inline]
    fn string(&mut self) -> Result<(usize, bool), Fault> {
        let mut at = self.at + 1;
        let mut is_escaped = false;
        while let Some(found) = first_of(self.bytes, at, *b"\"\\") {
            if self.bytes[found] == b'"' {
                self.at = found + 1;
                return Ok((found, is_escaped));
            }
            is_escaped = true;
            at = found + 2;
        }
        Err(Fault { at: self.bytes.len() })
    }

    /// Passes over an object or array, looking at brackets and strings alone.
    fn compound(&mut self) -> Result<(), Fault> {
        let mut depth = 0usize;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        Err(self.fault())
    }

    /// Passes over a number, a word, or nothing where a value was left out.
    #[inline]
    fn word(&mut self) -> Result<Span, Fault> {
        let from = self.at;
        let length = self.bytes[from..].iter().take_while(|byte| is_of_word(**byte)).count();
        let to = from + length;
        self.at = to;
        let kind = match &self.bytes[from..to] {
            [] if matches!(self.bytes.get(to), Some(b',' | b'}' | b']')) => Kind::Null,
            [] => return Err(self.fault()),
            // A dash is what log writers put where nothing is known.
            b"null" | b"-" => Kind::Null,
            b"true" => Kind::True,
            b"false" => Kind::False,
            [b'0'..=b'9' | b'-' | b'+' | b'.', ..] | b"NaN" | b"Infinity" => Kind::Number,
            _ => Kind::Bare,
        };
        Ok(Span { kind, from, to })
    }
}

fn is_of_word(byte: u8) -> bool {
    !matches!(byte, b',' | b'}' | b']' | b'{' | b'[' | b':' | b'"' | 0..=b' ')
}

/// A value, as a piece of the input.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// A number; none where its digits say none, as `NaN` or a number out of range.
    Number(Number),
    Text(Text<'a>),
    /// All of the object.
    Object(&'a [u8]),
    /// All of the array.
    Array(&'a [u8]),
    Bare,
}

impl<'a> Value<'a> {
    /// The value at `span` of `bytes`.
    #[inline]
    pub(crate) fn of(bytes: &'a [u8], span: Span) -> Self {
        let inside = &bytes[span.from..span.to];
        match span.kind {
            Kind::Null => Self::Null,
            Kind::True => Self::Bool(true),
            Kind::False => Self::Bool(false),
            Kind::Number => Self::Number(Number::of(inside)),
            Kind::Text => Self::Text(Text::new(inside, false)),
            Kind::Escaped => Self::Text(Text::new(inside, true)),
            Kind::Object => Self::Object(inside),
            Kind::Array => Self::Array(inside),
            Kind::Bare => Self::Bare,
        }
    }
}

#[cfg(test)]
mod tests;
