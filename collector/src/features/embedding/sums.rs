//! Sums of rows: those of a text's words, each of which is summed up once and remembered.

use super::{
    BUCKETS, DIMENSIONS, HEAD_BYTES, TABLE, WORDS_MAX, Word, is_alphanumeric, is_ideograph, row, rows,
};
use std::hash::{BuildHasher as _, RandomState};

/// Words that are remembered, at 160 bytes each: a power of two.
const WORDS_REMEMBERED: usize = 4_096;

/// Longest word that is remembered, in bytes.
const WORD_BYTES_MAX: usize = 32;

/// Rows whose sum fits 16 bits whatever they are.
const ROWS_OF_16_BITS: usize = 256;

type Sum16 = [i16; DIMENSIONS];

/// Sums up the rows of texts.
pub(super) struct Sums {
    words: Box<[Known]>,
    disguise: Disguise,
}

/// A word, and what its rows come to.
#[derive(Clone)]
struct Known {
    word: Disguised,
    sum: Sum16,
}

/// The bytes of a word, so that it does not stand in memory as it was written: another number in every
/// process, and of every word. It is no secret from whoever reads all of the process: masks and factors lie
/// beside it.
type Disguised = [u128; 2];

struct Disguise {
    masks: [u128; 2],
    factors: [u128; 2],
}

impl Default for Sums {
    fn default() -> Self {
        let disguise = Disguise::new();
        // No word is empty.
        let nothing = Known { word: disguise.of([0; 2]), sum: [0; DIMENSIONS] };
        Self { words: vec![nothing; WORDS_REMEMBERED].into(), disguise }
    }
}

impl Disguise {
    fn new() -> Self {
        let number = || {
            let half = || u128::from(RandomState::new().hash_one(0));
            half() << 64 | half()
        };
        Self { masks: [number(), number()], factors: [number() | 1, number() | 1] }
    }

    /// One to one, because the factors are odd.
    #[inline]
    fn of(&self, word: [u128; 2]) -> Disguised {
        [0, 1].map(|half| (word[half] ^ self.masks[half]).wrapping_mul(self.factors[half]))
    }
}

impl Sums {
    /// The sum of the rows of a text, as [`rows`] gives them.
    pub(super) fn of(&mut self, text: &[u8]) -> [i32; DIMENSIONS] {
        let text = match std::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(),
        };
        let mut all = Blocks::default();
        let (mut from, mut words, mut ideograph) = (None, 0, 0);
        for (at, char) in text.char_indices() {
            let is_ideograph = is_ideograph(char);
            if !is_ideograph && is_alphanumeric(char) {
                from = from.or(Some(at));
                ideograph = 0;
                continue;
            }
            if let Some(from) = from.take() {
                self.add_word(text, from, at, &mut all);
                // One before an ideograph does not count.
                words += usize::from(!is_ideograph);
            }
            if is_ideograph {
                all.add_row(row(&[char as u32]));
                if ideograph != 0 {
                    all.add_row(row(&[ideograph, char as u32]));
                }
                ideograph = char as u32;
                words += 1;
            } else {
                ideograph = 0;
            }
            if words >= WORDS_MAX {
                return all.finish();
            }
        }
        if let Some(from) = from {
            self.add_word(text, from, text.len(), &mut all);
        }
        all.finish()
    }

    /// Adds the rows of the word between two places of a text.
    #[inline]
    fn add_word(&mut self, text: &str, from: usize, to: usize, all: &mut Blocks) {
        let length = to - from;
        if length > WORD_BYTES_MAX {
            return rows(&text.as_bytes()[from..to], |row| all.add_row(row));
        }
        let disguised = self.disguise.of(numbers(text.as_bytes(), from, length));
        let place = (disguised[0] ^ disguised[1].rotate_left(64)) >> (128 - WORDS_REMEMBERED.ilog2());
        let known = &mut self.words[place as usize % WORDS_REMEMBERED];
        if known.word != disguised {
            known.word = disguised;
            known.sum = sum_of(&text[from..to]);
        }
        // It has no more rows than characters.
        all.add_sum(&known.sum, length);
    }
}

/// The bytes of a word as numbers, filled up with zeros.
#[inline]
fn numbers(text: &[u8], from: usize, length: usize) -> [u128; 2] {
    if let Some(bytes) = text.get(from..from + WORD_BYTES_MAX)
        && let ([low, high], _) = bytes.as_chunks::<16>()
    {
        let first = |count: usize, bytes: &[u8; 16]| match count {
            0 => 0,
            count => u128::from_le_bytes(*bytes) & u128::MAX >> (128 - 8 * count.min(16)),
        };
        return [first(length, low), first(length.saturating_sub(16), high)];
    }
    let mut bytes = [0; WORD_BYTES_MAX];
    bytes[..length].copy_from_slice(&text[from..from + length]);
    let (halves, _) = bytes.as_chunks::<16>();
    [u128::from_le_bytes(halves[0]), u128::from_le_bytes(halves[1])]
}

fn sum_of(word: &str) -> Sum16 {
    let (mut sum, mut chars) = ([0; DIMENSIONS], Word::default());
    word.chars().for_each(|char| chars.push(char));
    chars.end(&mut |row| add(&mut sum, row));
    sum
}

#[inline]
fn add(sum: &mut Sum16, row: usize) {
    let weights = &TABLE[HEAD_BYTES + row % BUCKETS * DIMENSIONS..][..DIMENSIONS];
    sum.iter_mut().zip(weights).for_each(|(part, weight)| *part += i16::from(*weight as i8));
}

/// A sum, in 16 bits as long as it fits them: twice as fast.
struct Blocks {
    all: [i32; DIMENSIONS],
    block: Sum16,
    rows: usize,
}

impl Default for Blocks {
    fn default() -> Self {
        Self { all: [0; DIMENSIONS], block: [0; DIMENSIONS], rows: 0 }
    }
}

impl Blocks {
    #[inline]
    fn add_row(&mut self, row: usize) {
        self.make_room(1);
        add(&mut self.block, row);
    }

    #[inline]
    fn add_sum(&mut self, sum: &Sum16, rows: usize) {
        self.make_room(rows);
        self.block.iter_mut().zip(sum).for_each(|(part, other)| *part += other);
    }

    #[inline]
    fn make_room(&mut self, rows: usize) {
        self.rows += rows;
        if self.rows > ROWS_OF_16_BITS {
            self.flush();
            self.rows = rows;
        }
    }

    fn flush(&mut self) {
        let block = std::mem::replace(&mut self.block, [0; DIMENSIONS]);
        self.all.iter_mut().zip(block).for_each(|(all, part)| *all += i32::from(part));
    }

    fn finish(mut self) -> [i32; DIMENSIONS] {
        self.flush();
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The sum as it is defined.
    fn defined(text: &[u8]) -> [i32; DIMENSIONS] {
        let mut sum = [0; DIMENSIONS];
        rows(text, |row| {
            let weights = &TABLE[HEAD_BYTES + row * DIMENSIONS..][..DIMENSIONS];
            sum.iter_mut().zip(weights).for_each(|(part, weight)| *part += i32::from(*weight as i8));
        });
        sum
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_rows(
            texts in prop::collection::vec("([a-d]{1,3}|[а-г]{1,18}|[一-三]{1,3}|.|[a-c]{28,40}| |, ){0,60}", 1..4),
        ) {
            let mut sums = Sums::default();
            for text in texts.iter().chain(&texts) {
                prop_assert_eq!(sums.of(text.as_bytes()), defined(text.as_bytes()), "{}", text);
            }
        }
    }

    #[test]
    fn long_texts_and_such_that_are_no_text_to_their_end_are_summed_alike() {
        let mut sums = Sums::default();
        let words: Vec<String> = (0..3_000).map(|index| format!("word{}", index * 7 % 391)).collect();
        let mut broken = words[..40].join(" ").into_bytes();
        broken.extend_from_slice(b" \xff more");
        for text in
            [words.join(" ").into_bytes(), "字".repeat(900).into_bytes(), "漢a".repeat(900).into(), broken]
        {
            assert_eq!(sums.of(&text), defined(&text));
        }
    }

    #[test]
    fn a_word_whose_place_another_took_is_summed_anew() {
        let mut sums = Sums::default();
        let word = |index: usize| format!("w{index}");
        for index in (0..4 * WORDS_REMEMBERED).chain(0..100) {
            let word = word(index);
            assert_eq!(sums.of(word.as_bytes()), defined(word.as_bytes()));
        }
    }

    #[test]
    fn no_word_is_remembered_as_it_is_written() {
        let mut sums = Sums::default();
        sums.of(b"canary");
        let written = numbers(b"canary", 0, 6);
        assert!(sums.words.iter().all(|known| known.word[0] != written[0]));
    }
}
