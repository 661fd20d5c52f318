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

fn log2(number: u32) -> u64 {
    let log = LOG2.get(number as usize).copied().unwrap_or_else(|| log2_slow(number));
    log.into()
}

/// How often each character occurs.
pub(super) struct Census {
    ascii: [u32; 128],
    others: Vec<char>,
}

impl Default for Census {
    fn default() -> Self {
        Self { ascii: [0; 128], others: Vec::new() }
    }
}

impl Census {
    pub(super) fn clear(&mut self) {
        self.ascii = [0; 128];
        self.others.clear();
    }

    #[inline]
    pub(super) fn add_ascii(&mut self, byte: u8) {
        self.ascii[usize::from(byte & 0x7f)] += 1;
    }

    pub(super) fn add_other(&mut self, char: char) {
        self.others.push(char);
    }

    pub(super) fn chars(&self) -> usize {
        self.ascii.iter().sum::<u32>() as usize + self.others.len()
    }

    pub(super) fn is_mostly_not_ascii(&self) -> bool {
        2 * self.others.len() > self.chars()
    }

    /// Entropy per character, in thousandths of a bit: the logarithm of the number of characters less
    /// the mean logarithm of each character's count.
    pub(super) fn entropy_millibits(&mut self) -> i32 {
        let chars = self.chars() as u64;
        if chars == 0 {
            return 0;
        }
        self.others.sort_unstable();
        let ascii = self.ascii.iter().copied();
        let others = self.others.chunk_by(|a, b| a == b).map(|equal| equal.len() as u32);
        let sum: u64 = ascii.chain(others).map(|count| u64::from(count) * log2(count)).sum();
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

    proptest! {
        #[test]
        fn logarithms_are_right_to_the_last_digits(number in 1u32..5_000_000) {
            let exact = f64::from(number).log2() * f64::from(1 << FRACTION);
            prop_assert!((log2(number) as f64 - exact).abs() <= 2.0);
        }
    }
}
