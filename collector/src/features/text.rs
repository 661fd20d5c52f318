//! The normalised text: lower-case, white space squeezed to single blanks and trimmed, typographic
//! quotes and full-width letters as their ASCII ones, invisible characters left out. Hashes,
//! phrases and templates are taken from it, so that none of these differences hides a repetition.

use super::entropy::Census;
use super::marks;

/// A normalised text, in a buffer that is used again.
#[derive(Default)]
pub(super) struct Normal {
    bytes: Vec<u8>,
    marks: i32,
}

/// What an ASCII byte becomes; 0 for white space, 1 for a control character.
const FOLDED: [u8; 128] = {
    let mut folded = [1; 128];
    let mut byte = 0x20u8;
    while byte < 0x7f {
        folded[byte as usize] = byte.to_ascii_lowercase();
        byte += 1;
    }
    folded[b' ' as usize] = 0;
    folded[b'\t' as usize] = 0;
    folded[b'\n' as usize] = 0;
    folded[b'\r' as usize] = 0;
    folded
};

impl Normal {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.marks = 0;
    }

    /// The text; UTF-8.
    pub(super) fn text(&self) -> &[u8] {
        match self.bytes.last() {
            Some(b' ') => &self.bytes[..self.bytes.len() - 1],
            _ => &self.bytes,
        }
    }

    /// The marks of what was pushed.
    pub(super) fn marks(&self) -> i32 {
        self.marks
    }

    /// The first characters of the text.
    pub(super) fn head(&self, chars: usize) -> &[u8] {
        let is_start = |byte: &u8| byte & 0xC0 != 0x80;
        let starts = self.text().iter().enumerate().filter(|(_, byte)| is_start(byte));
        let end = starts.map(|(index, _)| index).nth(chars).unwrap_or(self.text().len());
        &self.text()[..end]
    }

    /// Appends `text`, counting its characters.
    pub(super) fn push(&mut self, text: &str, census: &mut Census) {
        self.bytes.reserve(text.len());
        let bytes = text.as_bytes();
        let mut index = 0;
        while let Some(byte) = bytes.get(index) {
            if byte.is_ascii() {
                census.add_ascii(*byte);
                match FOLDED[usize::from(*byte)] {
                    0 => self.blank(),
                    1 => self.marks |= marks::CONTROL,
                    folded => self.bytes.push(folded),
                }
                index += 1;
                continue;
            }
            // The byte starts a character: ASCII bytes and whole characters are all that is passed.
            let mut rest = text[index..].chars();
            let Some(char) = rest.next() else { break };
            census.add_other(char);
            let before = text[..index].chars().next_back();
            self.other(char, before, rest.next());
            index += char.len_utf8();
        }
    }

    fn blank(&mut self) {
        if !matches!(self.bytes.last(), None | Some(b' ')) {
            self.bytes.push(b' ');
        }
    }

    fn other(&mut self, char: char, before: Option<char>, after: Option<char>) {
        let marks = marks::of_char(char, before, after);
        self.marks |= marks;
        if marks::is_invisible(char) || marks != 0 {
            return;
        }
        if char.is_whitespace() {
            return self.blank();
        }
        match char {
            '\u{2018}' | '\u{2019}' => self.bytes.push(b'\''),
            '\u{201C}'..='\u{201E}' | '\u{AB}' | '\u{BB}' => self.bytes.push(b'"'),
            // Full-width ASCII stands at a fixed distance from ASCII.
            '\u{FF01}'..='\u{FF5E}' => {
                self.bytes.push((char as u32 - 0xFF01 + 0x21) as u8);
                if let Some(last) = self.bytes.last_mut() {
                    last.make_ascii_lowercase();
                }
            }
            _ => {
                for lower in char.to_lowercase() {
                    self.bytes.extend_from_slice(lower.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
    }
}

/// The last character boundary at or before `index`.
pub(super) fn at_char_end(text: &str, index: usize) -> usize {
    text.floor_char_boundary(index)
}

/// The first character boundary at or after `index`.
pub(super) fn at_char_start(text: &str, index: usize) -> usize {
    text.ceil_char_boundary(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(text: &str, expected: Expect) {
        let mut normal = Normal::default();
        normal.push(text, &mut Census::default());
        let shown = std::str::from_utf8(normal.text()).unwrap();
        expected.assert_eq(&format!("{shown:?} {}", normal.marks()));
    }

    #[test]
    fn text_is_normalised() {
        check("  Think\t\r\nSTEP   by step ", expect![[r#""think step by step" 0"#]]);
        check("“Straße” ‘ÄÖ’\u{a0}\u{3000}x", expect![[r#""\"straße\" 'äö' x" 0"#]]);
        check("ＡＢＣ１", expect![[r#""abc1" 0"#]]);
        check("st\u{200b}ep", expect![[r#""step" 1"#]]);
        check("a\u{7}b\u{202e}c", expect![[r#""abc" 6"#]]);
        check("", expect![[r#""" 0"#]]);
    }

    #[test]
    fn the_head_is_cut_between_characters() {
        let mut normal = Normal::default();
        normal.push("äöü xyz", &mut Census::default());
        assert_eq!(normal.head(2), "äö".as_bytes());
        assert_eq!(normal.head(99), "äöü xyz".as_bytes());
    }
}
