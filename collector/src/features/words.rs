//! One pass over the words of a normalised text: their number, a simhash of their shingles, and the
//! template, which is the text with its content masked.
//!
//! In a template a number is `#`, quoted words are `"`, and every word that is not one of English's
//! common ones is `*`; a run of the same mask is one. `explain photosynthesis to a child` and
//! `explain plate tectonics to a child` have the same template.

use std::sync::LazyLock;

/// What the pass found.
pub(super) struct Words {
    /// Number of words.
    pub(super) count: usize,
    /// Simhash over shingles of three words.
    pub(super) simhash: u64,
    /// Whether enough words are common for the template to say anything: in other languages, and in
    /// very short texts, everything would be masked and all of them would look the same.
    pub(super) has_template: bool,
}

/// Fewest words that a template shows unmasked.
const TEMPLATE_WORDS_MIN: usize = 4;

/// Surveys the words and writes the template into `template`.
pub(super) fn survey(normal: &[u8], seed: u64, template: &mut Vec<u8>) -> Words {
    template.clear();
    let mut simhash = Simhash::default();
    let (mut count, mut shown, mut in_quotes, mut last_mask) = (0, 0, false, 0);
    let (mut before, mut middle) = (seed, seed);
    for word in (Splitter { rest: normal }) {
        count += 1;
        let Word { core, hash, has_digit, quotes } = word;
        simhash.add(mixed(before.rotate_left(21) ^ middle.rotate_left(42) ^ hash.wrapping_add(seed)));
        (before, middle) = (middle, hash);
        let mask = if in_quotes || quotes > 0 {
            b'"'
        } else if has_digit {
            b'#'
        } else if !is_common(hash) {
            b'*'
        } else {
            0
        };
        in_quotes ^= quotes % 2 == 1;
        if mask == 0 {
            template.extend_from_slice(core);
            template.push(b' ');
            shown += 1;
        } else if mask != last_mask {
            template.extend_from_slice(&[mask, b' ']);
        }
        last_mask = mask;
    }
    Words { count, simhash: simhash.finish(), has_template: shown >= TEMPLATE_WORDS_MIN }
}

/// A word of a normalised text.
struct Word<'w> {
    /// The word without punctuation around it; a word of punctuation only stays.
    core: &'w [u8],
    /// FNV-1a of the core.
    hash: u64,
    has_digit: bool,
    quotes: u32,
}

const PUNCTUATION: u8 = 1;
const DIGIT: u8 = 2;
const QUOTE: u8 = 4;

/// What each byte is; a byte of a character that is not ASCII is part of a word.
static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0u8;
    while byte < 128 {
        if byte.is_ascii_punctuation() {
            class[byte as usize] = PUNCTUATION;
        } else if byte.is_ascii_digit() {
            class[byte as usize] = DIGIT;
        }
        byte += 1;
    }
    class[b'"' as usize] |= QUOTE;
    class[b'`' as usize] |= QUOTE;
    class
};

/// Splits a normalised text into words, looking at every byte once.
struct Splitter<'w> {
    rest: &'w [u8],
}

impl<'w> Iterator for Splitter<'w> {
    type Item = Word<'w>;

    fn next(&mut self) -> Option<Word<'w>> {
        let text = self.rest;
        let (mut start, mut end, mut length) = (None, 0, 0);
        let (mut running, mut hash, mut seen, mut quotes) = (FNV_START, FNV_START, 0, 0);
        for byte in text.iter().take_while(|byte| **byte != b' ') {
            let class = CLASS[usize::from(*byte)];
            seen |= class;
            quotes += u32::from(class >> 2);
            let is_kept = class & PUNCTUATION == 0;
            if is_kept || start.is_some() {
                start = start.or(Some(length));
                running = fnv(running, *byte);
            }
            length += 1;
            if is_kept {
                (end, hash) = (length, running);
            }
        }
        if text.is_empty() {
            return None;
        }
        self.rest = text.get(length + 1..).unwrap_or_default();
        let core = match start {
            Some(start) => &text[start..end],
            None => {
                hash = hash_of(&text[..length]);
                &text[..length]
            }
        };
        Some(Word { core, hash, has_digit: seen & DIGIT != 0, quotes })
    }
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
}

/// FNV-1a.
fn hash_of(word: &[u8]) -> u64 {
    word.iter().fold(FNV_START, |hash, byte| fnv(hash, *byte))
}

/// Spreads every bit over all others (the finaliser of MurmurHash3).
fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Counts, for each of 64 bits, the shingles that have it: eight counters to a word, emptied before
/// any can overflow.
#[derive(Default)]
struct Simhash {
    shingles: u32,
    small: [u64; 8],
    in_small: u8,
    counts: Counts,
}

struct Counts([u32; 64]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; 64])
    }
}

/// A byte's bits, one to a byte.
static SPREAD: [u64; 256] = {
    let mut spread = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            spread[byte] |= ((byte as u64 >> bit) & 1) << (8 * bit);
            bit += 1;
        }
        byte += 1;
    }
    spread
};

impl Simhash {
    fn add(&mut self, hash: u64) {
        for (small, byte) in self.small.iter_mut().zip(hash.to_le_bytes()) {
            *small += SPREAD[usize::from(byte)];
        }
        self.shingles += 1;
        self.in_small += 1;
        if self.in_small == u8::MAX {
            self.empty_small();
        }
    }

    fn empty_small(&mut self) {
        let counts = self.counts.0.chunks_exact_mut(8);
        for (counts, small) in counts.zip(&mut self.small) {
            for (count, byte) in counts.iter_mut().zip(small.to_le_bytes()) {
                *count += u32::from(byte);
            }
            *small = 0;
        }
        self.in_small = 0;
    }

    fn finish(mut self) -> u64 {
        if self.shingles < 128 {
            let half = u64::from(self.shingles / 2);
            let bytes = self.small.iter().enumerate();
            return bytes.fold(0, |hash, (byte, counts)| hash | over(*counts, half) << (8 * byte));
        }
        self.empty_small();
        let bits = self.counts.0.iter().enumerate();
        bits.fold(0, |hash, (bit, count)| hash | u64::from(2 * count > self.shingles) << bit)
    }
}

/// Which of eight counters, all below 128, are over `half`, which is below 64: a bit each.
fn over(counts: u64, half: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The top bit of each byte tells, and a multiplication moves the eight of them side by side.
    let tops = counts + ONES * (127 - half);
    (tops >> 7 & ONES).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// English's commonest words, and those in which tasks are put.
const COMMON: &str = "a about above after again all also am an and another answer any are as ask at back be because \
    been before being below best better between both but by can change chapter code come complete consider could \
    create day describe detail did different do does done down each either else end even every example examples \
    explain false few find first follow following for from function generate get give go good great had has have \
    he her here him his how i if in include into is it its just keep know language last less let like list long \
    look made make many may me mean means might more most much must my name need never new next no not now number \
    of off on one only or other our out over own part people please point problem provide put question questions \
    rather read reason right rewrite said same say second see sentence set she short should show simple so some \
    something step steps still style such summarise summarize summary sure take task tell text than that the \
    their them then there these they thing things think this those three through time to together too translate \
    true two under understand until up us use used using very want was way we well were what when where whether \
    which while who why will with without word words work would write yes you your";

const COMMON_SLOTS: usize = 1024;

/// Their hashes; 0 is free. Two words of one hash would only be masked alike.
static COMMON_TABLE: LazyLock<[u64; COMMON_SLOTS]> = LazyLock::new(|| {
    let mut table = [0; COMMON_SLOTS];
    for hash in COMMON.split_whitespace().map(|word| hash_of(word.as_bytes())) {
        let mut slot = first_slot(hash);
        while table[slot] != 0 {
            slot = (slot + 1) % COMMON_SLOTS;
        }
        table[slot] = hash;
    }
    table
});

fn first_slot(hash: u64) -> usize {
    (hash ^ hash >> 32) as usize % COMMON_SLOTS
}

fn is_common(hash: u64) -> bool {
    let mut slot = first_slot(hash);
    while COMMON_TABLE[slot] != 0 {
        if COMMON_TABLE[slot] == hash {
            return true;
        }
        slot = (slot + 1) % COMMON_SLOTS;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(text: &str, expected: Expect) {
        let mut template = Vec::new();
        let words = survey(text.as_bytes(), 1, &mut template);
        let shown = String::from_utf8(template).unwrap();
        expected.assert_eq(&format!("{} {} {shown}", words.count, words.has_template));
    }

    #[test]
    fn content_is_masked() {
        check(
            "explain photosynthesis to a child in 3 steps.",
            expect!["8 true explain * to a * in # steps "],
        );
        check(
            "explain plate tectonics to a child in 12 steps!",
            expect!["9 true explain * to a * in # steps "],
        );
        check(
            r#"translate the text "the cat sat" into french"#,
            expect![[r#"8 true translate the text " into * "#]],
        );
    }

    #[test]
    fn a_text_without_common_words_has_no_template() {
        check("erkläre bitte die photosynthese", expect!["4 false * "]);
        check("what is this", expect!["3 false what is this "]);
        check("", expect!["0 false "]);
    }

    fn simhash(text: &str) -> u64 {
        survey(text.as_bytes(), 1, &mut Vec::new()).simhash
    }

    #[test]
    fn near_texts_have_near_simhashes() {
        let words: Vec<String> = (0..400).map(|index| format!("word{}", index * 7 % 391)).collect();
        let text = words.join(" ");
        let near = text.replacen("word7 ", "other ", 1);
        let far: String = words.iter().rev().map(|word| format!("x{word} ")).collect();
        assert!((simhash(&text) ^ simhash(&near)).count_ones() <= 8);
        assert!((simhash(&text) ^ simhash(&far)).count_ones() >= 16);
        assert_eq!(simhash(""), 0);
    }

    #[test]
    fn the_simhash_counts_as_the_definition_does() {
        for count in (0..300).chain([1_000]) {
            // Of some bits all of them have one, or none.
            let hashes: Vec<u64> =
                (0..count).map(|number| mixed(number) & 0x00ff_ffff_ffff | 0xff << 48).collect();
            let mut quick = Simhash::default();
            hashes.iter().for_each(|hash| quick.add(*hash));
            let has =
                |bit: &u64| hashes.iter().filter(|hash| *hash >> bit & 1 == 1).count() * 2 > hashes.len();
            let slow = (0..64).filter(has).fold(0, |all, bit| all | 1 << bit);
            assert_eq!(quick.finish(), slow, "{count}");
        }
    }
}
