//! The normalised text: lower-case, white space squeezed to single blanks and trimmed, typographic
//! quotes and full-width letters as their ASCII ones, invisible characters left out. Hashes,
//! phrases and templates are taken from it, so that none of these differences hides a repetition.

use super::entropy::Census;
use super::marks;
use std::sync::LazyLock;

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
        if let Some(head) = self.text().get(..chars).filter(|head| head.is_ascii()) {
            return head;
        }
        let is_start = |byte: &u8| byte & 0xC0 != 0x80;
        let starts = self.text().iter().enumerate().filter(|(_, byte)| is_start(byte));
        let end = starts.map(|(index, _)| index).nth(chars).unwrap_or(self.text().len());
        &self.text()[..end]
    }

    /// Appends `text`, counting its characters.
    pub(super) fn push(&mut self, text: &str, census: &mut Census) {
        let letters = &*LETTERS;
        let bytes = text.as_bytes();
        let mut index = 0;
        while index < bytes.len() {
            let run = ascii_run(&bytes[index..]);
            if run > 0 {
                self.ascii(&bytes[index..index + run], census);
                index += run;
            }
            // What is not ASCII starts a character: ASCII bytes and whole characters are all that is passed.
            let mut rest = text[index..].chars();
            while let Some(char) = rest.next().filter(|char| !char.is_ascii()) {
                census.add_other(char);
                match letters.lower(char) {
                    Some(lower) => self.char(lower),
                    None => {
                        let before = text[..index].chars().next_back();
                        self.other(char, before, rest.clone().next());
                    }
                }
                index += char.len_utf8();
            }
        }
    }

    /// Appends ASCII, without looking back at what was written.
    fn ascii(&mut self, run: &[u8], census: &mut Census) {
        let from = self.bytes.len();
        let mut after_blank = matches!(self.bytes.last(), None | Some(b' '));
        self.bytes.resize(from + run.len(), 0);
        let (out, mut written, mut has_control) = (&mut self.bytes[from..], 0, false);
        for byte in run {
            census.add_ascii(*byte);
            let folded = FOLDED[usize::from(byte & 0x7f)];
            let (is_blank, is_shown) = (folded == 0, folded > 1);
            out[written] = if is_blank { b' ' } else { folded };
            written += usize::from(is_shown | (is_blank & !after_blank));
            has_control |= folded == 1;
            // A control character leaves nothing behind.
            after_blank = is_blank | (after_blank & !is_shown);
        }
        self.bytes.truncate(from + written);
        if has_control {
            self.marks |= marks::CONTROL;
        }
    }

    fn char(&mut self, char: char) {
        self.bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
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
                char.to_lowercase().for_each(|lower| self.char(lower));
            }
        }
    }
}

/// How many bytes of ASCII come first.
fn ascii_run(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let of_words = words.iter().take_while(|word| u64::from_le_bytes(**word) & 0x8080_8080_8080_8080 == 0);
    let whole = 8 * of_words.count();
    let rest = if whole == bytes.len() - rest.len() { rest } else { &bytes[whole..] };
    whole + rest.iter().take_while(|byte| byte.is_ascii()).count()
}

/// What the standard library's tables say of the characters of most alphabets, to be looked up at once.
struct Letters {
    /// The one character that an ordinary one becomes; 0 for all others.
    lower: [u16; ALPHABETS],
    /// Whether it is a letter or a digit.
    alphanumeric: [bool; ALPHABETS],
}

/// Where the symbols and ideographs of East Asia begin.
const ALPHABETS: usize = 0x3000;

static LETTERS: LazyLock<Box<Letters>> = LazyLock::new(|| {
    let mut letters = Box::new(Letters { lower: [0; ALPHABETS], alphanumeric: [false; ALPHABETS] });
    for char in (0..ALPHABETS as u32).filter_map(char::from_u32) {
        let at = char as usize;
        letters.alphanumeric[at] = char.is_alphanumeric();
        let mut lower = char.to_lowercase();
        let is_plain = char.is_alphanumeric() && !marks::is_invisible(char) && !char.is_whitespace();
        if let (true, Some(one), None) = (is_plain, lower.next(), lower.next()) {
            letters.lower[at] = u16::try_from(u32::from(one)).unwrap_or_default();
        }
    }
    letters
});

impl Letters {
    /// What a letter or digit that is not ASCII becomes; none for what has to be looked at more closely.
    #[inline]
    fn lower(&self, char: char) -> Option<char> {
        if is_ideograph(char) {
            return Some(char);
        }
        let lower = *self.lower.get(char as usize)?;
        char::from_u32(lower.into()).filter(|_| lower != 0)
    }
}

/// Signs of Chinese, Japanese and Korean that have no upper case and no marks.
fn is_ideograph(char: char) -> bool {
    matches!(char, '\u{3041}'..='\u{3096}' | '\u{30A1}'..='\u{30FA}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}')
}

/// Whether it is a letter or a digit.
#[inline]
pub(super) fn is_alphanumeric(char: char) -> bool {
    if char.is_ascii() {
        return char.is_ascii_alphanumeric();
    }
    is_ideograph(char)
        || match LETTERS.alphanumeric.get(char as usize) {
            Some(is_one) => *is_one,
            None => char.is_alphanumeric(),
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
    use proptest::prelude::*;

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
    fn tables_say_of_every_character_what_the_standard_library_says() {
        for char in ('\u{80}'..=char::MAX).filter(|char| !char.is_ascii()) {
            assert_eq!(is_alphanumeric(char), char.is_alphanumeric(), "{char:?}");
            let mut looked_at = Normal::default();
            looked_at.other(char, Some('a'), Some('b'));
            let Some(lower) = LETTERS.lower(char) else { continue };
            assert_eq!((looked_at.marks, looked_at.bytes), (0, lower.to_string().into_bytes()), "{char:?}");
        }
    }

    /// A text normalised character by character, as it is defined.
    fn defined(text: &str) -> (Vec<u8>, i32) {
        let mut normal = Normal::default();
        for (index, char) in text.char_indices() {
            let rest = &text[index + char.len_utf8()..];
            match FOLDED.get(char as usize) {
                Some(0) => normal.blank(),
                Some(1) => normal.marks |= marks::CONTROL,
                Some(folded) => normal.bytes.push(*folded),
                None => normal.other(char, text[..index].chars().next_back(), rest.chars().next()),
            }
        }
        (normal.text().to_vec(), normal.marks)
    }

    proptest! {
        #[test]
        fn a_text_is_normalised_as_if_character_by_character(
            text in "([A-Za-z]{0,12}|[ \t\n]{1,3}|[\x00-\x08]|[А-я]{1,5}|\u{200b}|\u{200d}|\u{a0}|[漢字カナ]|.){0,30}",
        ) {
            let mut normal = Normal::default();
            normal.push(&text, &mut Census::default());
            prop_assert_eq!((normal.text().to_vec(), normal.marks()), defined(&text));
        }
    }

    #[test]
    fn the_head_is_cut_between_characters() {
        let mut normal = Normal::default();
        normal.push("äöü xyz", &mut Census::default());
        assert_eq!(normal.head(2), "äö".as_bytes());
        assert_eq!(normal.head(99), "äöü xyz".as_bytes());
    }
}
