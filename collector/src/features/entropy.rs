//! Shannon entropy per character, in integers: a table of logarithms instead of a mathematical
//! library whose last bits differ between platforms.

use weir_schemas::log2::{FRACTION, log2 as log2_slow};

const TABLED: usize = 1024;

/// Base-2 logarithms of 0 (as 0), 1, 2 … in 1/65536.
static LOG2: [u32; TABLED] = {
    let mut table = [0; TABLED];
    let mut number = 1;
    while number < TABLED {
        table[number] = log2_slow(number as u32);
        number += 1;
    }
    table
};

/// The same times their numbers.
static NUMBER_LOG2: [u32; TABLED] = {
    let mut table = [0; TABLED];
    let mut number = 1;
    while number < TABLED {
        table[number] = number as u32 * LOG2[number];
        number += 1;
    }
    table
};

fn number_log2(number: u32) -> u64 {
    let product = NUMBER_LOG2.get(number as usize).map(|product| u64::from(*product));
    product.unwrap_or_else(|| u64::from(number) * u64::from(log2_slow(number)))
}

fn log2(number: u32) -> u64 {
    let log = LOG2.get(number as usize).copied().unwrap_or_else(|| log2_slow(number));
    log.into()
}

/// How often each character occurs.
pub(super) struct Census {
    ascii: [u32; 128],
    /// Of those that are not ASCII and have two bytes in UTF-16; empty before the first.
    plane: Vec<u32>,
    /// Those of them that occur.
    seen: Vec<u16>,
    /// Each of all others as often as it occurs.
    rare: Vec<char>,
    /// How many characters are not ASCII.
    others: usize,
}

impl Default for Census {
    fn default() -> Self {
        Self { ascii: [0; 128], plane: Vec::new(), seen: Vec::new(), rare: Vec::new(), others: 0 }
    }
}

impl Census {
    pub(super) fn clear(&mut self) {
        self.ascii = [0; 128];
        self.seen.drain(..).for_each(|char| self.plane[usize::from(char)] = 0);
        self.rare.clear();
        self.others = 0;
    }

    #[inline]
    pub(super) fn add_ascii(&mut self, byte: u8) {
        self.ascii[usize::from(byte & 0x7f)] += 1;
    }

    pub(super) fn add_other(&mut self, char: char) {
        self.others += 1;
        let Ok(char) = u16::try_from(u32::from(char)) else { return self.rare.push(char) };
        if self.plane.is_empty() {
            self.plane.resize(1 << 16, 0);
        }
        let count = &mut self.plane[usize::from(char)];
        if *count == 0 {
            self.seen.push(char);
        }
        *count += 1;
    }

    pub(super) fn chars(&self) -> usize {
        self.ascii.iter().sum::<u32>() as usize + self.others
    }

    pub(super) fn is_mostly_not_ascii(&self) -> bool {
        2 * self.others > self.chars()
    }

    /// Entropy per character, in thousandths of a bit: the logarithm of the number of characters less
    /// the mean logarithm of each character's count.
    pub(super) fn entropy_millibits(&mut self) -> i32 {
        let chars = self.chars() as u64;
        if chars == 0 {
            return 0;
        }
        self.rare.sort_unstable();
        // Most texts have few capitals and signs.
        let of_eight = |counts: &[u32; 8]| match counts.iter().fold(0, |any, count| any | count) {
            0 => 0,
            _ => counts.iter().map(|count| number_log2(*count)).sum::<u64>(),
        };
        let ascii: u64 = self.ascii.as_chunks::<8>().0.iter().map(of_eight).sum();
        let seen: u64 = self.seen.iter().map(|char| number_log2(self.plane[usize::from(*char)])).sum();
        let rare = self.rare.chunk_by(|a, b| a == b).map(|equal| number_log2(equal.len() as u32));
        let sum = ascii + seen + rare.sum::<u64>();
        let bits = (chars * log2(chars as u32)).saturating_sub(sum);
        ((bits * 1000 / chars) >> FRACTION) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entropy(text: &str) -> i32 {
        let mut census = Census::default();
        for char in text.chars() {
            if char.is_ascii() { census.add_ascii(char as u8) } else { census.add_other(char) }
        }
        census.entropy_millibits()
    }

    #[test]
    fn entropy_is_that_of_the_textbook() {
        assert_eq!(entropy(""), 0);
        assert_eq!(entropy("aaaa"), 0);
        assert_eq!(entropy("abab"), 1000);
        assert_eq!(entropy("äöäö"), 1000);
        assert_eq!(entropy("abcdefgh"), 3000);
        assert_eq!(entropy(&"ab".repeat(40_000)), 1000);
    }

    #[test]
    fn nothing_of_a_text_is_left_for_the_next() {
        let mut census = Census::default();
        "äöä𝔘𝔘x漢".chars().for_each(|char| census.add_other(char));
        census.add_ascii(b'x');
        census.clear();
        assert_eq!((census.chars(), census.entropy_millibits()), (0, 0));
        "äö𝔘漢".chars().for_each(|char| census.add_other(char));
        assert_eq!((census.chars(), census.entropy_millibits()), (4, 2000));
    }

    proptest! {
        #[test]
        fn logarithms_are_right_to_the_last_digits(number in 1u32..5_000_000) {
            let exact = f64::from(number).log2() * f64::from(1 << FRACTION);
            prop_assert!((log2(number) as f64 - exact).abs() <= 2.0);
            prop_assert_eq!(number_log2(number), u64::from(number) * log2(number));
        }
    }
}
