//! Patterns of STIX 2.1, as far as a request can be compared with them: one value of one kind, or one of
//! several.
//!
//! What asks for several things at once, for an order or a time, or for anything that a request does not
//! tell, is left out as a whole: half of a condition is another one.

use weir_schemas::IndicatorKind;
use weir_schemas::indicators::{Pattern, PatternError};

/// What paths end in that name a fingerprint of a TLS hello: there is none in the standard.
const JA3: [&str; 5] = ["ja3", "ja3_hash", "x_ja3", "x_ja3_hash", "x_misp_ja3_fingerprint_md5"];
const JA4: [&str; 4] = ["ja4", "x_ja4", "ja4_fingerprint", "x_misp_ja4_fingerprint"];

/// The values any of which the pattern asks for.
///
/// # Errors
/// When it asks for more than one value of one kind, or for none that a request tells.
pub(super) fn values(text: &str) -> Result<Vec<Pattern>, PatternError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens };
    let mut found = Vec::new();
    loop {
        parser.expect(&Token::Open)?;
        loop {
            parser.comparison(&mut found)?;
            if !parser.takes(&Token::Word("OR")) {
                break;
            }
        }
        parser.expect(&Token::Close)?;
        if parser.tokens.is_empty() {
            return Ok(found);
        }
        parser.expect(&Token::Word("OR"))?;
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token<'t> {
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
    Equals,
    /// A path, a word of the language or a number.
    Word(&'t str),
    Text(String),
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, PatternError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '[' => (Token::Open, 1),
            ']' => (Token::Close, 1),
            '(' => (Token::OpenList, 1),
            ')' => (Token::CloseList, 1),
            ',' => (Token::Comma, 1),
            '=' => (Token::Equals, 1),
            '\'' => quoted(rest)?,
            _ => {
                let length = word_length(rest);
                // A sign that no word begins with.
                (Token::Word(rest.get(..length).filter(|word| !word.is_empty()).ok_or(UNSUPPORTED)?), length)
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

const UNSUPPORTED: PatternError = PatternError::Unsupported;

/// A text in quotes, and how long it is with them.
fn quoted(rest: &str) -> Result<(Token<'_>, usize), PatternError> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((index, char)) = chars.next() {
        match char {
            '\'' => return Ok((Token::Text(text), index + 1)),
            '\\' => text.push(chars.next().ok_or(PatternError::Malformed)?.1),
            char => text.push(char),
        }
    }
    Err(PatternError::Malformed)
}

/// How long the word is that a text begins with; a path may have steps in quotes.
fn word_length(rest: &str) -> usize {
    let mut is_quoted = false;
    let ends = |(_, char): &(usize, char)| {
        is_quoted ^= *char == '\'';
        let is_of_word = char.is_ascii_alphanumeric() || "_-:.'*".contains(*char);
        !(is_quoted || is_of_word)
    };
    rest.char_indices().find(ends).map_or(rest.len(), |(index, _)| index)
}

struct Parser<'t> {
    tokens: &'t [Token<'t>],
}

impl<'t> Parser<'t> {
    fn next(&mut self) -> Result<&'t Token<'t>, PatternError> {
        let (first, rest) = self.tokens.split_first().ok_or(UNSUPPORTED)?;
        self.tokens = rest;
        Ok(first)
    }

    fn takes(&mut self, token: &Token<'_>) -> bool {
        let is_there = self.tokens.first() == Some(token);
        if is_there {
            self.tokens = &self.tokens[1..];
        }
        is_there
    }

    fn expect(&mut self, token: &Token<'_>) -> Result<(), PatternError> {
        if self.takes(token) { Ok(()) } else { Err(UNSUPPORTED) }
    }

    /// A value as text.
    fn value(&mut self) -> Result<&'t str, PatternError> {
        match self.next()? {
            Token::Text(text) => Ok(text),
            Token::Word(word) if word.bytes().all(|byte| byte.is_ascii_digit()) => Ok(word),
            _ => Err(UNSUPPORTED),
        }
    }

    fn comparison(&mut self, found: &mut Vec<Pattern>) -> Result<(), PatternError> {
        let Token::Word(path) = self.next()? else { return Err(UNSUPPORTED) };
        if *path == "x-weir-shared-value:kind" {
            self.expect(&Token::Equals)?;
            let kind = self.value()?;
            for token in [Token::Word("AND"), Token::Word("x-weir-shared-value:value"), Token::Equals] {
                self.expect(&token)?;
            }
            found.push(Pattern::of_link(kind, self.value()?)?);
            return Ok(());
        }
        match self.next()? {
            Token::Equals => found.push(pattern(path, self.value()?)?),
            Token::Word("ISSUBSET") => match kind_of(path) {
                Some(IndicatorKind::Address) => found.push(pattern(path, self.value()?)?),
                _ => return Err(UNSUPPORTED),
            },
            Token::Word("IN") => {
                self.expect(&Token::OpenList)?;
                loop {
                    found.push(pattern(path, self.value()?)?);
                    if !self.takes(&Token::Comma) {
                        break;
                    }
                }
                self.expect(&Token::CloseList)?;
            }
            _ => return Err(UNSUPPORTED),
        }
        Ok(())
    }
}

fn pattern(path: &str, value: &str) -> Result<Pattern, PatternError> {
    let kind = kind_of(path).ok_or(UNSUPPORTED)?;
    let is_network = kind == IndicatorKind::Address && value.contains('/');
    Pattern::parse(if is_network { IndicatorKind::Network } else { kind }, value)
}

/// What a path of an object's property names of a request.
fn kind_of(path: &str) -> Option<IndicatorKind> {
    match path {
        "ipv4-addr:value" | "ipv6-addr:value" | "network-traffic:src_ref.value" => {
            return Some(IndicatorKind::Address);
        }
        "autonomous-system:number" => return Some(IndicatorKind::Asn),
        _ => {}
    }
    let (_, property) = path.split_once(':')?;
    let last = property.rsplit('.').next()?.trim_matches('\'').to_ascii_lowercase();
    match last.as_str() {
        "user-agent" if property.contains("request_header") => Some(IndicatorKind::UserAgent),
        last if JA3.contains(&last) => Some(IndicatorKind::Ja3),
        last if JA4.contains(&last) => Some(IndicatorKind::Ja4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let values = values(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        values.iter().map(|pattern| format!("{} {pattern}", pattern.kind())).collect()
    }

    #[test]
    fn one_value_of_what_a_request_tells_is_read() {
        let hash = "07070707070707070707070707070707";
        for (text, expected) in [
            ("[ipv4-addr:value = '192.0.2.7']", "ADDRESS 192.0.2.7"),
            ("[ipv4-addr:value='192.0.2.0/24']", "NETWORK 192.0.2.0/24"),
            ("[ipv4-addr:value ISSUBSET '192.0.2.0/24']", "NETWORK 192.0.2.0/24"),
            ("[ipv6-addr:value = '2001:DB8::7']", "ADDRESS 2001:db8::7"),
            ("[network-traffic:src_ref.value = '192.0.2.7']", "ADDRESS 192.0.2.7"),
            ("[autonomous-system:number = 64500]", "ASN 64500"),
            (
                "[network-traffic:extensions.'http-request-ext'.request_header.'User-Agent' = 'it\\'s/1.0']",
                "USER_AGENT it's/1.0",
            ),
            (
                "[network-traffic:x_misp_ja3_fingerprint_md5 = 'E7D705A3286E19EA42F587B344EE6865']",
                "JA3 e7d705a3286e19ea42f587b344ee6865",
            ),
            (
                "[x-tls:ja4 = 't13d1516h2_8daaf6152771_b186095e22b6']",
                "JA4 t13d1516h2_8daaf6152771_b186095e22b6",
            ),
            (
                "[x-weir-shared-value:kind = 'ORG' AND x-weir-shared-value:value = '07070707070707070707070707070707']",
                &format!("KEYED_PAYMENT {hash}"),
            ),
        ] {
            assert_eq!(read(text), [expected], "{text}");
        }
    }

    #[test]
    fn each_of_several_values_is_one_by_itself() {
        let expected = ["ADDRESS 192.0.2.7", "ADDRESS 192.0.2.8"];
        assert_eq!(read("[ipv4-addr:value = '192.0.2.7' OR ipv4-addr:value = '192.0.2.8']"), expected);
        assert_eq!(read("[ipv4-addr:value = '192.0.2.7'] OR [ipv4-addr:value = '192.0.2.8']"), expected);
        assert_eq!(read("[ipv4-addr:value IN ('192.0.2.7', '192.0.2.8')]"), expected);
    }

    #[test]
    fn a_condition_is_never_read_by_half() {
        for text in [
            "",
            "[]",
            "[ipv4-addr:value = '192.0.2.7'",
            "[ipv4-addr:value = '192.0.2.7' AND network-traffic:dst_port = 443]",
            "[ipv4-addr:value != '192.0.2.7']",
            "[NOT ipv4-addr:value = '192.0.2.7']",
            "[ipv4-addr:value LIKE '192.0.%']",
            "[ipv4-addr:value = '192.0.2.7'] FOLLOWEDBY [ipv4-addr:value = '192.0.2.8']",
            "[ipv4-addr:value = '192.0.2.7'] REPEATS 5 TIMES WITHIN 60 SECONDS",
            "[ipv4-addr:value = '192.0.2.7'] OR",
            "[ipv4-addr:value IN ('192.0.2.7', ]",
            "[autonomous-system:number ISSUBSET '64500']",
            "[domain-name:value = 'example.com']",
            "[network-traffic:dst_ref.value = '192.0.2.7']",
            "[x-weir-shared-value:kind = 'THEME' AND x-weir-shared-value:value = '07070707070707070707070707070707']",
            "[x-weir-shared-value:value = '07070707070707070707070707070707']",
            "\u{1F980}",
        ] {
            assert_eq!(values(text), Err(PatternError::Unsupported), "{text}");
        }
        assert_eq!(values("[ipv4-addr:value = '10.0.0.0/8']"), Err(PatternError::TooWide));
        assert_eq!(values("[ipv4-addr:value = 'x']"), Err(PatternError::Malformed));
        assert_eq!(values("[ipv4-addr:value = 'x"), Err(PatternError::Malformed));
    }
}
