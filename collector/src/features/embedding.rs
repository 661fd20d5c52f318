//! What a prompt is about, in 64 bits: the signs of an embedding in which texts of one meaning lie near each other,
//! whatever their words and in eighteen languages.
//!
//! Words and their 4-grams have vectors of a table that [`examples/train-embedding.rs`](../../examples/train-embedding.rs)
//! makes by random indexing over prompts in parallel translation. Their sum is centred, scaled and turned by a rotation
//! that the pseudonym key gives, so that without the key nobody can tell from the bits which texts they may be of; and
//! 64 bits keep little of one text. Judgement looks at their mean over many.

use weir_schemas::rotation;

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

/// Calls `each` with the row of every word and 4-gram of a normalised text; of scripts without blanks, with those of
/// characters and pairs of them.
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
        } else if char.is_alphanumeric() {
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
#[derive(Default)]
struct Word {
    chars: [u32; WORD_CHARS_MAX],
    length: usize,
    /// The ideograph before, where words have no blanks between them.
    ideograph: u32,
}

impl Word {
    fn push(&mut self, char: char) {
        if let Some(next) = self.chars.get_mut(self.length) {
            *next = char as u32;
            self.length += 1;
        }
    }

    /// The rows of the word that ends here; false where there is none.
    fn end(&mut self, each: &mut impl FnMut(usize)) -> bool {
        let length = std::mem::take(&mut self.length);
        let chars = &self.chars[..length];
        if chars.is_empty() {
            return false;
        }
        each(row(chars));
        // With a mark at either end.
        let at = |index: usize| match index.checked_sub(1) {
            None => u32::from(b'<'),
            Some(index) => chars.get(index).copied().unwrap_or(u32::from(b'>')),
        };
        for start in 0..(length + 2).saturating_sub(3) {
            each(row(&[0, at(start), at(start + 1), at(start + 2), at(start + 3)]));
        }
        true
    }
}

fn is_ideograph(char: char) -> bool {
    matches!(char, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}')
}

fn row(chars: &[u32]) -> usize {
    let mix =
        |hash: u64, char: &u32| (hash ^ u64::from(*char)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let hash = chars.iter().fold(0x5bd1_e995, mix);
    (hash.wrapping_mul(0xff51_afd7_ed55_8ccd) >> (64 - BUCKETS.ilog2())) as usize
}

/// The signs of a normalised text's embedding under the rotation of a key's `seed`; 0 where it says too little.
pub(super) fn signs(text: &[u8], seed: u64) -> i64 {
    let (head, table) = TABLE.split_at(HEAD_BYTES);
    let (mut sum, mut block, mut in_block) = ([0i32; DIMENSIONS], [0i16; DIMENSIONS], 0);
    let flush = |sum: &mut [i32; DIMENSIONS], block: &mut [i16; DIMENSIONS]| {
        sum.iter_mut()
            .zip(std::mem::replace(block, [0; DIMENSIONS]))
            .for_each(|(sum, part)| *sum += i32::from(part));
    };
    rows(text, |row| {
        // In 16 bits, which hold 256 rows: twice as fast.
        for (part, weight) in block.iter_mut().zip(&table[row * DIMENSIONS..][..DIMENSIONS]) {
            *part += i16::from(*weight as i8);
        }
        in_block += 1;
        if in_block == 256 {
            in_block = 0;
            flush(&mut sum, &mut block);
        }
    });
    flush(&mut sum, &mut block);
    let squares: u64 = sum.iter().map(|part| u64::from(part.unsigned_abs()).pow(2)).sum();
    if squares < SQUARES_MIN {
        return 0;
    }
    let length = squares.isqrt() as i64;
    let number = |index: usize| i64::from(i16::from_le_bytes([head[2 * index], head[2 * index + 1]]));
    let mut vector: [i64; DIMENSIONS] = std::array::from_fn(|index| {
        let centred = i64::from(sum[index]) * LENGTH / length - number(2 * index);
        centred * number(2 * index + 1) / 256
    });
    let mut state = seed;
    for _ in 0..3 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        rotation::turn(&mut vector, mixed ^ mixed >> 29);
    }
    let bits = vector.iter().rev().fold(0u64, |bits, part| bits << 1 | u64::from(*part > 0));
    // All zeros stands for nothing known.
    bits.max(1) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

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
