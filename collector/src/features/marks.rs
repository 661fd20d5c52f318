//! Characters that hide something, and the ordinary uses of them.
//!
//! A joiner between emoji or inside Arabic and Indic words, and a break inside scripts that are
//! written without blanks, are spelling and not a mark. What remains can still be innocent (text
//! pasted from a web page), so a mark alone says little.

/// Zero-width characters.
pub(super) const ZERO_WIDTH: i32 = 1;
/// Control characters other than tab and line breaks.
pub(super) const CONTROL: i32 = 2;
/// Bidirectional overrides and isolates.
pub(super) const BIDI: i32 = 4;
/// Mostly not ASCII.
pub(super) const NOT_ASCII: i32 = 8;
/// The text was cut before features were taken.
pub(super) const CUT: i32 = 16;

/// The marks of a character that is not ASCII, between its neighbours.
pub(super) fn of_char(char: char, before: Option<char>, after: Option<char>) -> i32 {
    let between = |is_inside: fn(char) -> bool| before.is_some_and(is_inside) && after.is_some_and(is_inside);
    match char {
        '\u{80}'..='\u{9F}' => CONTROL,
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => BIDI,
        '\u{200D}' if between(is_emoji) || before.is_some_and(joins) || after.is_some_and(joins) => 0,
        '\u{200C}' if before.is_some_and(joins) || after.is_some_and(joins) => 0,
        '\u{200B}' if between(is_unspaced) => 0,
        // A byte order mark at the start is how some editors begin a text.
        '\u{FEFF}' if before.is_none() => 0,
        '\u{200B}'..='\u{200D}' | '\u{2060}' | '\u{FEFF}' => ZERO_WIDTH,
        _ => 0,
    }
}

/// Characters that show nothing, whether they are a mark or spelling.
pub(super) fn is_invisible(char: char) -> bool {
    matches!(char, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
}

/// Emoji, their skin tones, and the selector that follows some of them.
fn is_emoji(char: char) -> bool {
    matches!(char, '\u{2190}'..='\u{21FF}' | '\u{2300}'..='\u{27BF}' | '\u{2B00}'..='\u{2BFF}' | '\u{FE0F}' | '\u{1F000}'..='\u{1FAFF}')
}

/// Letters of scripts that spell with joiners: Arabic and its extensions, Indic, Mongolian.
fn joins(char: char) -> bool {
    matches!(char, '\u{0600}'..='\u{077F}' | '\u{0860}'..='\u{0DFF}' | '\u{1800}'..='\u{18AF}' | '\u{FB50}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}')
}

/// Letters of scripts without blanks between words: Thai, Lao, Tibetan, Myanmar, Khmer.
fn is_unspaced(char: char) -> bool {
    matches!(char, '\u{0E00}'..='\u{0FFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}')
}

#[cfg(test)]
mod tests {
    use super::super::entropy::Census;
    use super::super::text::Normal;

    fn marks(text: &str) -> i32 {
        let mut normal = Normal::default();
        normal.push(text, &mut Census::default());
        normal.marks()
    }

    #[test]
    fn spelling_is_no_mark() {
        for text in [
            "👨\u{200d}👩\u{200d}👧\u{200d}👦 family",
            "🧑🏽\u{200d}⚕\u{fe0f}",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "\u{feff}starts with a byte order mark",
            "ภาษา\u{200b}ไทย",
            "naïve café 漢字",
        ] {
            assert_eq!(marks(text), 0, "{text}");
        }
    }

    #[test]
    fn hiding_is_a_mark() {
        assert_eq!(marks("pass\u{200b}word"), super::ZERO_WIDTH);
        assert_eq!(marks("a\u{200d}b"), super::ZERO_WIDTH);
        assert_eq!(marks("a\u{feff}"), super::ZERO_WIDTH);
        assert_eq!(marks("\u{202e}evil"), super::BIDI);
        assert_eq!(marks("bell\u{7}"), super::CONTROL);
        assert_eq!(marks("\u{85}"), super::CONTROL);
    }
}
