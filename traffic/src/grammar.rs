//! Grammars: small files of alternatives with slots, from which an endless number of texts comes. One file a
//! language under `grammar/`, and one that all of them share.
//!
//! A file is sections `[symbol]` of lines; a line is one alternative. In it `{symbol}` is one line of that
//! section, `{n:3-40}` a number, and a capital (`{Q}`) the text that the caller gives. A line that is one
//! dash is an empty text, `#` begins a remark. A symbol that a language lacks is looked for in what all
//! share, then in English.

use crate::random::Random;
use std::collections::HashMap;

/// How deep slots may lie in slots.
const DEPTH_MAX: u32 = 24;

/// A language, as an index into the compiled grammars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(pub u8);

/// English, which has every symbol.
pub const ENGLISH: Language = Language(0);

macro_rules! languages {
    ($($code:literal),+ $(,)?) => {
        /// ISO 639 codes of the languages, English first.
        pub const CODES: &[&str] = &[$($code),+];
        const SOURCES: &[&str] = &[$(include_str!(concat!("../grammar/", $code, ".txt"))),+];
    };
}

languages!(
    "en", "es", "fr", "de", "pt", "ru", "zh", "ja", "ar", "it", "nl", "pl", "tr", "ko", "vi", "id", "hi",
);

const COMMON: &str = include_str!("../grammar/common.txt");

impl Language {
    /// The language with this code; English where there is none.
    pub fn of(code: &str) -> Self {
        Self(CODES.iter().position(|known| *known == code).unwrap_or(0) as u8)
    }

    /// Its ISO 639 code.
    pub fn code(self) -> &'static str {
        CODES[usize::from(self.0)]
    }

    /// Every language.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CODES.len() as u8).map(Self)
    }
}

/// A part of an alternative.
#[derive(Debug, Clone)]
enum Piece {
    Text(Box<str>),
    Symbol(u16),
    Number(u64, u64),
    Given,
}

type Alternative = Box<[Piece]>;

/// The grammars of all languages, compiled.
#[derive(Debug)]
pub struct Grammar {
    names: HashMap<&'static str, u16>,
    /// By language, then symbol.
    rules: Vec<Vec<Box<[Alternative]>>>,
}

impl Default for Grammar {
    fn default() -> Self {
        let sections: Vec<Vec<(&str, Vec<&str>)>> =
            std::iter::once(COMMON).chain(SOURCES.iter().copied()).map(sections).collect();
        let mut names = HashMap::new();
        for (name, _) in sections.iter().flatten() {
            let next = names.len() as u16;
            names.entry(*name).or_insert(next);
        }
        let compiled: Vec<Vec<Box<[Alternative]>>> = sections
            .iter()
            .map(|sections| {
                let mut rules: Vec<Box<[Alternative]>> = vec![Box::default(); names.len()];
                for (name, lines) in sections {
                    rules[usize::from(names[name])] =
                        lines.iter().map(|line| compile(line, &names)).collect();
                }
                rules
            })
            .collect();
        let (common, english) = (&compiled[0], &compiled[1]);
        let rules = compiled[1..]
            .iter()
            .map(|own| {
                let first = |index: usize| {
                    let has = |rules: &&Vec<Box<[Alternative]>>| !rules[index].is_empty();
                    [own, common, english]
                        .into_iter()
                        .find(has)
                        .map_or_else(Box::default, |rules| rules[index].clone())
                };
                (0..names.len()).map(first).collect()
            })
            .collect();
        Self { names, rules }
    }
}

impl Grammar {
    /// Number of a symbol, for [`Self::write`].
    ///
    /// # Panics
    /// When no grammar has it: symbols are named by code and files that ship together.
    pub fn symbol(&self, name: &str) -> Symbol {
        Symbol(*self.names.get(name).unwrap_or_else(|| panic!("no grammar has the symbol {name}")))
    }

    /// Appends one text of `symbol`. `given` stands where an alternative has a capital.
    ///
    /// Numbers come from a stream of their own, so that the same seed gives the translation of a problem the
    /// same numbers, whatever its words are made of.
    pub fn write(
        &self,
        symbol: Symbol,
        language: Language,
        given: &str,
        random: &mut Random,
        out: &mut String,
    ) {
        let numbers = Random::of(&[random.bits()]);
        Expansion { rules: &self.rules[usize::from(language.0)], given, random, numbers, out }
            .expand(symbol.0, 0);
    }
}

/// A text being written.
struct Expansion<'a> {
    rules: &'a [Box<[Alternative]>],
    given: &'a str,
    random: &'a mut Random,
    numbers: Random,
    out: &'a mut String,
}

impl Expansion<'_> {
    fn expand(&mut self, symbol: u16, depth: u32) {
        let rules = self.rules;
        let alternatives = &rules[usize::from(symbol)];
        if alternatives.is_empty() || depth > DEPTH_MAX {
            return;
        }
        for piece in self.random.pick(alternatives).iter() {
            match piece {
                Piece::Text(text) => self.out.push_str(text),
                Piece::Given => self.out.push_str(self.given),
                Piece::Number(low, high) => push_number(self.numbers.between(*low, *high), self.out),
                Piece::Symbol(symbol) => self.expand(*symbol, depth + 1),
            }
        }
    }
}

/// A symbol of the grammars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol(u16);

/// Appends a number in digits.
pub fn push_number(number: u64, out: &mut String) {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

fn sections(source: &'static str) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in source.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(name) if !name.contains(' ') => sections.push((name, Vec::new())),
            _ => {
                if let Some((_, lines)) = sections.last_mut() {
                    lines.push(if line == "-" { "" } else { line });
                }
            }
        }
    }
    sections
}

fn compile(line: &str, names: &HashMap<&'static str, u16>) -> Alternative {
    let (mut pieces, mut text, mut rest) = (Vec::new(), String::new(), line);
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        rest = &rest[open + 1..];
        let slot = rest
            .find('}')
            .map(|close| &rest[..close])
            .and_then(|slot| piece(slot, names).map(|piece| (piece, slot)));
        match slot {
            Some((piece, slot)) => {
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text).into()));
                }
                pieces.push(piece);
                rest = &rest[slot.len() + 1..];
            }
            // A brace of its own.
            None => text.push('{'),
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
    pieces.into()
}

fn piece(slot: &str, names: &HashMap<&'static str, u16>) -> Option<Piece> {
    if let Some((low, high)) = slot.strip_prefix("n:").and_then(|range| range.split_once('-')) {
        return Some(Piece::Number(low.parse().ok()?, high.parse().ok()?));
    }
    if slot.len() == 1 && slot.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Some(Piece::Given);
    }
    names.get(slot).map(|symbol| Piece::Symbol(*symbol))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn texts(symbol: &str, language: Language, count: u64) -> Vec<String> {
        let grammar = Grammar::default();
        let text = |index| {
            let mut out = String::new();
            grammar.write(grammar.symbol(symbol), language, "GIVEN", &mut Random::of(&[index]), &mut out);
            out
        };
        (0..count).map(text).collect()
    }

    #[test]
    fn every_slot_of_every_grammar_is_filled() {
        let grammar = Grammar::default();
        for (name, symbol) in &grammar.names {
            for language in Language::all() {
                for index in 0..40 {
                    let mut out = String::new();
                    grammar.write(Symbol(*symbol), language, "GIVEN", &mut Random::of(&[index]), &mut out);
                    assert!(!out.contains("{n:") && !out.contains("{}"), "{name}: {out}");
                    let unknown = grammar.names.keys().any(|name| out.contains(&format!("{{{name}}}")));
                    assert!(!unknown, "{name}: {out}");
                }
            }
        }
    }

    #[test]
    fn no_line_names_a_symbol_that_there_is_not() {
        let grammar = Grammar::default();
        for line in SOURCES.iter().flat_map(|source| source.lines()) {
            for part in line.split('{').skip(1) {
                let Some((slot, _)) = part.split_once('}') else { continue };
                let plain = !slot.is_empty() && slot.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                assert!(!plain || grammar.names.contains_key(slot), "{slot} in {line}");
            }
        }
    }

    #[test]
    fn people_of_every_language_hardly_ever_say_the_same() {
        for language in Language::all() {
            let texts = texts("chat", language, 2_000);
            let distinct: BTreeSet<&String> = texts.iter().collect();
            assert!(distinct.len() > 1_700, "{}: {}", language.code(), distinct.len());
        }
    }

    #[test]
    fn the_given_text_stands_in_its_slot() {
        assert!(texts("cot", ENGLISH, 20).iter().all(|text| text.contains("GIVEN")));
    }
}
