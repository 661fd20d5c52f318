//! Numbers as texts of digits.

/// A number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    /// A whole number.
    Integer(i64),
    /// Any other; not finite where the text says so, or says no number.
    Float(f64),
}

impl Number {
    /// The number that these bytes spell.
    #[inline]
    pub(crate) fn of(text: &[u8]) -> Self {
        let (is_negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        // Eighteen digits fit whatever they are.
        if (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) {
            let number = digits.iter().fold(0i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
            return Self::Integer(if is_negative { -number } else { number });
        }
        let text = std::str::from_utf8(text).unwrap_or_default();
        match text.parse::<i64>() {
            Ok(number) => Self::Integer(number),
            Err(_) => Self::Float(text.parse().unwrap_or(f64::NAN)),
        }
    }

    /// As a double.
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Self::Integer(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_spelled() {
        for (text, number) in [
            ("0", Number::Integer(0)),
            ("-12", Number::Integer(-12)),
            ("+5", Number::Integer(5)),
            ("007", Number::Integer(7)),
            ("999999999999999999", Number::Integer(999_999_999_999_999_999)),
            ("9223372036854775807", Number::Integer(i64::MAX)),
            ("9223372036854775808", Number::Float(9_223_372_036_854_775_808.0)),
            ("1.5", Number::Float(1.5)),
            ("1e3", Number::Float(1000.0)),
            (".5", Number::Float(0.5)),
            ("Infinity", Number::Float(f64::INFINITY)),
            ("-Infinity", Number::Float(f64::NEG_INFINITY)),
        ] {
            assert_eq!(Number::of(text.as_bytes()), number, "{text}");
        }
        for text in ["NaN", "-", "1.2.3", "-x", "12a", "--1", ""] {
            assert!(Number::of(text.as_bytes()).as_f64().is_nan(), "{text}");
        }
    }
}
