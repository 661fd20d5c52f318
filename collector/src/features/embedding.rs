//! What a prompt is about, in 64 bits: the signs of an embedding in which texts of one meaning lie near each
//! other, whatever their words and in eighteen languages.
//!
//! Words and their 4-grams have vectors of a table that
//! [`examples/train-embedding.rs`](../../examples/train-embedding.rs) makes by random indexing over prompts
//! in parallel translation. Their sum is centred, scaled and turned by a rotation that the pseudonym key
//! gives, so that without the key nobody can tell from the bits which texts they may be of; and 64 bits keep
//! little of one text. Judgement looks at their mean over many.

mod sums;

use super::text::is_alphanumeric;
use sums::Sums;
use weir_schemas::rotation::{self, Turn};

/// Coordinates of the embedding, and bits of its signs.
pub const DIMENSIONS: usize = rotation::DIMENSIONS;

/// Rows of the table: words and 4-grams share them by their hashes.
pub const BUCKETS: usize = 1 << 15;

/// Words that are looked at: those at the beginning of a text.
const WORDS_MAX: usize = 256;

/// Characters of a word that are looked at.
const WORD_CHARS_MAX: usize = 32;

/// Length of a vector before it is centred.
pub const LENGTH: i64 = 1 << 14;

/// Squared length of a sum that is too short to tell anything: a few common words.
const SQUARES_MIN: u64 = 128 * 128;

/// For each coordinate its mean and its scale in 1/256, as 16-bit little-endian numbers, and then the rows.
static TABLE: &[u8; HEAD_BYTES + BUCKETS * DIMENSIONS] = include_bytes!("embedding.bin");
const HEAD_BYTES: usize = 4 * DIMENSIONS;

/// The means and the scales of the table's head.
static MEANS: [i32; DIMENSIONS] = numbers(0);
static SCALES: [i32; DIMENSIONS] = numbers(1);

/// Every other number of the table's head, from this one on.
const fn numbers(first: usize) -> [i32; DIMENSIONS] {
    let (mut numbers, mut index) = ([0; DIMENSIONS], 0);
    while index < DIMENSIONS {
        let at = 2 * (2 * index + first);
        numbers[index] = i16::from_le_bytes([TABLE[at], TABLE[at + 1]]) as i32;
        index += 1;
    }
    numbers
}

/// Calls `each` with the row of every word and 4-gram of a normalised text; of scripts without blanks, with
/// those of characters and pairs of them.
pub fn rows(text: &[u8], mut each: impl FnMut(usize)) {
    let text = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let mut word = Word::default();
    let mut words = 0;
    for char in text.chars() {
        if is_ideograph(char) {
            word.end(&mut each);
            let before = std::mem::replace(&mut word.ideograph, char as u32);
            each(row(&[char as u32]));
            if before != 0 {
                each(row(&[before, char as u32]));
            }
            words += 1;
        } else if is_alphanumeric(char) {
            word.ideograph = 0;
            word.push(char);
            continue;
        } else {
            word.ideograph = 0;
            words += usize::from(word.end(&mut each));
        }
        if words >= WORDS_MAX {
            return;
        }
    }
    word.end(&mut each);
}

/// A word that is being read.
struct Word {
    /// Its characters, between room for the marks.
    chars: [u32; WORD_CHARS_MAX + 2],
    length: usize,
    /// The ideograph before, where words have no blanks between them.
    ideograph: u32,
}

impl Default for Word {
    fn default() -> Self {
        Self { chars: [0; WORD_CHARS_MAX + 2], length: 0, ideograph: 0 }
    }
}

impl Word {
    fn push(&mut self, char: char) {
        if self.length < WORD_CHARS_MAX {
            self.length += 1;
            self.chars[self.length] = char as u32;
        }
    }

    /// The rows of the word that ends here; false where there is none.
    fn end(&mut self, each: &mut impl FnMut(usize)) -> bool {
        let length = std::mem::take(&mut self.length);
        if length == 0 {
            return false;
        }
        // With a mark at either end.
        let chars = &mut self.chars[..length + 2];
        (chars[0], chars[length + 1]) = (u32::from(b'<'), u32::from(b'>'));
        each(row(&chars[1..length + 1]));
        chars.windows(4).for_each(|gram| each(row(&[0, gram[0], gram[1], gram[2], gram[3]])));
        true
    }
}

fn is_ideograph(char: char) -> bool {
    char >= '\u{3040}'
        && matches!(char, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}')
}

fn row(chars: &[u32]) -> usize {
    let mix =
        |hash: u64, char: &u32| (hash ^ u64::from(*char)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let hash = chars.iter().fold(0x5bd1_e995, mix);
    (hash.wrapping_mul(0xff51_afd7_ed55_8ccd) >> (64 - BUCKETS.ilog2())) as usize
}

/// Takes the signs of texts, and remembers what common words come to.
pub struct Embedding {
    sums: Sums,
    /// The seed that was asked for last, and its rotation.
    rotation: (u64, [Turn; 3]),
}

impl Default for Embedding {
    fn default() -> Self {
        Self { sums: Sums::default(), rotation: (0, turns_of(0)) }
    }
}

impl Embedding {
    /// The signs of a normalised text's embedding under the rotation of a key's `seed`; 0 where it says too
    /// little.
    pub fn signs(&mut self, text: &[u8], seed: u64) -> i64 {
        let sum = self.sums.of(text);
        let squares: u64 = sum.iter().map(|part| u64::from(part.unsigned_abs()).pow(2)).sum();
        if squares < SQUARES_MIN {
            return 0;
        }
        let length = Divisor::new(squares.isqrt());
        let mut vector = sum;
        for ((part, mean), scale) in vector.iter_mut().zip(&MEANS).zip(&SCALES) {
            let centred = length.divide(i64::from(*part) * LENGTH) as i32 - mean;
            *part = centred * scale / 256;
        }
        self.turns(seed).iter().for_each(|turn| turn.apply(&mut vector));
        let parts = vector.iter().enumerate();
        let bits = parts.fold(0u64, |bits, (index, part)| bits | u64::from(*part > 0) << index);
        // All zeros stands for nothing known.
        bits.max(1) as i64
    }

    fn turns(&mut self, seed: u64) -> &[Turn; 3] {
        if self.rotation.0 != seed {
            self.rotation = (seed, turns_of(seed));
        }
        &self.rotation.1
    }
}

fn turns_of(seed: u64) -> [Turn; 3] {
    let mut state = seed;
    std::array::from_fn(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Turn::new(mixed ^ mixed >> 29)
    })
}

/// A number to divide by, many times: by a multiplication with 2^64 over it, which is exact as long as the
/// product of both numbers is below 2^64.
#[derive(Clone, Copy)]
struct Divisor(u64);

impl Divisor {
    /// For a number above 1.
    fn new(number: u64) -> Self {
        Self(u64::MAX / number.max(2) + 1)
    }

    /// The quotient, rounded towards zero.
    #[inline]
    fn divide(self, number: i64) -> i64 {
        let quotient = ((u128::from(number.unsigned_abs()) * u128::from(self.0)) >> 64) as i64;
        if number < 0 { -quotient } else { quotient }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Questions in English, German, Spanish and Chinese, made for this test.
    const QUESTIONS: [[&str; 4]; 4] = [
        [
            "how do i write a good cover letter for a job application?",
            "wie schreibe ich ein gutes anschreiben für eine bewerbung?",
            "¿cómo escribo una buena carta de presentación para un empleo?",
            "如何写一封好的求职信?",
        ],
        [
            "which vegetables can i plant in my garden in spring?",
            "welches gemüse kann ich im frühling in meinem garten pflanzen?",
            "¿qué verduras puedo plantar en mi jardín en primavera?",
            "春天我可以在花园里种什么蔬菜?",
        ],
        [
            "can you help me find the error in this python function?",
            "kannst du mir helfen, den fehler in dieser python-funktion zu finden?",
            "¿puedes ayudarme a encontrar el error en esta función de python?",
            "你能帮我找出这个python函数中的错误吗?",
        ],
        [
            "what should i see on a trip to rome with two children?",
            "was sollte ich auf einer reise nach rom mit zwei kindern sehen?",
            "¿qué debería ver en un viaje a roma con dos niños?",
            "带两个孩子去罗马旅行应该看什么?",
        ],
    ];

    fn signs(text: &[u8], seed: u64) -> i64 {
        Embedding::default().signs(text, seed)
    }

    #[test]
    fn one_question_in_another_language_lies_nearer_than_another_question() {
        // How many of the signs differ, over sixteen rotations.
        let apart = |one: &str, other: &str| -> u32 {
            (1..=16)
                .map(|seed| (signs(one.as_bytes(), seed) ^ signs(other.as_bytes(), seed)).count_ones())
                .sum()
        };
        let (mut same, mut different) = ((0, 0), (0, 0));
        for (index, question) in QUESTIONS.iter().enumerate() {
            for other in &QUESTIONS[index..] {
                for (language, text) in question.iter().enumerate() {
                    for translation in &other[language + 1..] {
                        let sum = if question == other { &mut same } else { &mut different };
                        *sum = (sum.0 + apart(text, translation), sum.1 + 16);
                    }
                }
            }
        }
        let (same, different) = (same.0 / same.1, different.0 / different.1);
        assert!(same + 5 <= different, "{same} and {different} of 64");
    }

    proptest! {
        #[test]
        fn divisions_are_exact(number in -(1i64 << 36)..1 << 36, divisor in 128u64..1 << 27) {
            prop_assert_eq!(Divisor::new(divisor).divide(number), number / divisor as i64);
        }
    }

    #[test]
    fn no_vector_is_too_long_to_be_turned() {
        let means: f64 = MEANS.iter().map(|mean| f64::from(*mean).powi(2)).sum();
        let scale = SCALES.iter().map(|scale| f64::from(scale.abs())).fold(0.0, f64::max);
        let length = (LENGTH as f64 + means.sqrt()) * scale / 256.0;
        assert!(length < f64::from(1 << 22), "{length}");
    }

    #[test]
    fn too_little_text_says_nothing() {
        assert_eq!(["", "?!", "🙂"].map(|text| signs(text.as_bytes(), 1)), [0; 3]);
    }

    #[test]
    fn another_key_gives_other_bits() {
        let bits = |seed| signs(b"explain how a bill becomes a law in three steps", seed);
        assert!((20..=44).contains(&(bits(1) ^ bits(2)).count_ones()));
        assert_eq!(bits(1), bits(1));
    }

    #[test]
    fn a_long_text_costs_no_more_than_its_beginning() {
        let long = "explain the rules of this game ".repeat(2_000);
        let mut count = 0;
        rows(long.as_bytes(), |_| count += 1);
        assert!(count < 10 * WORDS_MAX, "{count}");
    }
}
