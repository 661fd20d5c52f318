//! Looks for bytes in what is mostly short: the strings and cells of a log line.

use memchr::memchr2;

/// Offset of the first byte at or after `at` that is one of two.
#[inline]
pub(crate) fn first_of(bytes: &[u8], mut at: usize, [one, other]: [u8; 2]) -> Option<usize> {
    // A few words of eight bytes cost less than a call of memchr.
    for _ in 0..4 {
        let Some(word) = bytes.get(at..at + 8).and_then(|word| word.first_chunk::<8>()) else { break };
        let word = u64::from_le_bytes(*word);
        let hits = equal(word, one) | equal(word, other);
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr2(one, other, bytes.get(at..)?).map(|found| at + found)
}

/// The top bit of each byte that equals `byte`; right up to the first one, which is all that is asked.
#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let other = word ^ (LOW * u64::from(byte));
    other.wrapping_sub(LOW) & !other & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_of_two_bytes_is_found_wherever_it_stands(
            bytes in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b','), any::<u8>()], 0..60),
            at in 0usize..64,
            pair in prop_oneof![Just(*b"\"\\"), Just(*b",\""), Just(*b"\"\""), any::<[u8; 2]>()],
        ) {
            let slow = (at..bytes.len()).find(|place| pair.contains(&bytes[*place]));
            prop_assert_eq!(first_of(&bytes, at, pair), slow);
        }
    }
}
