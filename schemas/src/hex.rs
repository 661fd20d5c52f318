//! Bytes as lower-case hex digits, which is the one way in which they are written.

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes of lower-case hex digits; none where they are not so many.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_otherwise_is_none() {
        assert_eq!((hex(&[0, 0xaf]), unhex::<2>("00af")), ("00af".to_owned(), Some([0, 0xaf])));
        assert_eq!(["00AF", "0af", "00af00", "+0af", "00ag", "\u{e4}af"].map(unhex::<2>), [None; 6]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes: [u8; 32]) {
            prop_assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        }
    }
}
