//! JSON on one line, whoever reads it.
//!
//! What an attacker can put into a string (a detector's evidence may show what a client sent) must not
//! end a line for a reader that splits at Unicode line ends, nor steer a terminal: such characters are
//! escaped, beyond what JSON asks for.

use serde::Serialize;
use serde_json::ser::Formatter;
use std::io::{self, Write};

/// Appends `value` as JSON, and a line feed.
pub(crate) fn write_line(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), serde_json::Error> {
    let start = out.len();
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, OneLine);
    if let Err(error) = value.serialize(&mut serializer) {
        out.truncate(start);
        return Err(error);
    }
    out.push(b'\n');
    Ok(())
}

struct OneLine;

/// Control characters, line and paragraph separators, marks that are invisible or turn the direction
/// of text.
pub(crate) fn is_hostile(character: char) -> bool {
    matches!(character,
        '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((index, character)) = rest.char_indices().find(|(_, character)| is_hostile(*character))
        {
            writer.write_all(&rest.as_bytes()[..index])?;
            // All of them lie in the basic plane: one escape is enough.
            write!(writer, "\\u{:04x}", u32::from(character))?;
            rest = &rest[index + character.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> String {
        let mut out = Vec::new();
        write_line(&mut out, &text).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_ends_a_line_or_steers_a_terminal_is_escaped() {
        let hostile = "a\n\r\"\\\u{1b}[2J\u{85}\u{2028}\u{202e}\u{feff}é漢";
        expect_test::expect![[r#"
            "a\n\r\"\\\u001b[2J\u0085\u2028\u202e\ufeffé漢"
        "#]]
        .assert_eq(&line(hostile));
    }

    proptest! {
        #[test]
        fn any_string_is_one_line_and_comes_back_as_it_was(text: String) {
            let line = line(&text);
            prop_assert_eq!(line.lines().count(), 1);
            prop_assert!(!line.trim_end_matches('\n').chars().any(|c| c.is_control() || is_hostile(c)));
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
    }
}
