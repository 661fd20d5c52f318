//! What text may not hold on its way out, and times as text.

use crate::limits::SIEM_TEXT_BYTES_MAX;
use std::borrow::Cow;
use time::OffsetDateTime;

/// Put at the end of what was cut.
pub const CUT_MARK: &str = "…[cut]";

/// Control characters other than line ends and tabs, line and paragraph separators, marks that are invisible
/// or turn the direction of text: whoever reads a line must see what is there.
pub fn is_hostile(character: char) -> bool {
    let is_blank = matches!(character, '\n' | '\r' | '\t');
    !is_blank && (character.is_control() || crate::export::is_hostile(character))
}

/// Text of bounded length: the beginning of what is longer, and a mark.
pub fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= SIEM_TEXT_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let room = SIEM_TEXT_BYTES_MAX - CUT_MARK.len();
    let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    Cow::Owned(format!("{}{CUT_MARK}", &text[..end]))
}

/// Text without what is hostile; line ends and tabs stay, for formats that can escape them.
pub fn cleaned(text: &str) -> Cow<'_, str> {
    match text.contains(is_hostile) {
        true => Cow::Owned(text.replace(is_hostile, "")),
        false => Cow::Borrowed(text),
    }
}

/// Text on one line: without what is hostile, a blank for each line end and tab.
pub fn one_line(text: &str) -> Cow<'_, str> {
    let text = cleaned(text);
    match text.contains(['\n', '\r', '\t']) {
        true => Cow::Owned(text.replace(['\n', '\r', '\t'], " ")),
        false => text,
    }
}

/// A time as RFC 3339 has it, in UTC and to the millisecond; the nearest that has four digits of a year.
pub fn rfc3339(time_ms: i64) -> String {
    let time_ms = time_ms.clamp(0, crate::limits::TIME_MS_MAX);
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time_ms) * 1_000_000);
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second, ms) = (time.hour(), time.minute(), time.second(), time.millisecond());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character_and_marked() {
        let cut = bounded(&"é".repeat(40_000)).into_owned();
        assert!(cut.len() <= SIEM_TEXT_BYTES_MAX && cut.ends_with(CUT_MARK));
        assert!(cut.trim_end_matches(CUT_MARK).chars().all(|c| c == 'é'));
        assert_eq!(bounded("short"), "short");
    }

    #[test]
    fn times_are_told_to_the_millisecond_and_never_out_of_range() {
        assert_eq!(rfc3339(1_793_491_200_007), "2026-11-01T00:00:00.007Z");
        assert_eq!(rfc3339(-1), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_is_invisible_or_steers_goes_and_line_ends_become_blanks() {
        assert_eq!(one_line("a\u{1b}[2J\u{202e}b\r\nc\td\u{2028}e\u{0}"), "a[2Jb  c de");
        assert_eq!(cleaned("a\r\nb\u{85}"), "a\r\nb");
    }
}
