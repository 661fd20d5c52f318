//! Times as logs write them, in milliseconds since the Unix epoch.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// From this number on, a number counts milliseconds: as seconds it would be in the year 5138, and as
/// milliseconds it is in 1973.
const MILLISECONDS_FROM: f64 = 1e11;

/// The end of the year 9999.
const LATEST_MS: f64 = 253_402_300_799_999.0;

/// A number of seconds or milliseconds.
pub(super) fn epoch_ms(number: f64) -> Option<i64> {
    let ms = if number < MILLISECONDS_FROM { (number * 1000.0).round() } else { number.round() };
    (0.0..=LATEST_MS).contains(&ms).then_some(ms as i64)
}

/// RFC 3339, nginx's `$time_local`, or a number.
pub(super) fn text_ms(text: &str) -> Option<i64> {
    if let Some(ms) = plain_ms(text.as_bytes()) {
        return Some(ms);
    }
    let local = format_description!(
        "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
    );
    let time = OffsetDateTime::parse(text, &Rfc3339).or_else(|_| OffsetDateTime::parse(text, &local));
    match time {
        Ok(time) => {
            let ms = time.unix_timestamp() * 1000 + i64::from(time.millisecond());
            (ms >= 0).then_some(ms)
        }
        Err(_) => text.parse().ok().and_then(epoch_ms),
    }
}

/// `2026-11-21T06:30:06Z`, with or without a fraction: what nearly every line has. Anything else,
/// and anything out of range, is left to the library.
fn plain_ms(text: &[u8]) -> Option<i64> {
    let (date, fraction) = text.split_at_checked(19)?;
    let number = |range: std::ops::Range<usize>| {
        date[range]
            .iter()
            .try_fold(0i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    };
    let is_marked =
        date[4] == b'-' && date[7] == b'-' && date[10] == b'T' && date[13] == b':' && date[16] == b':';
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    // Days up to 28 are in every month.
    let is_plain = year >= 1970 && (1..=12).contains(&month) && (1..=28).contains(&day);
    if !is_marked || !is_plain || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let millisecond = match fraction {
        b"Z" => 0,
        [b'.', a, b, c, b'Z'] if [a, b, c].iter().all(|digit| digit.is_ascii_digit()) => {
            i64::from(a - b'0') * 100 + i64::from(b - b'0') * 10 + i64::from(c - b'0')
        }
        _ => return None,
    };
    // Days from civil: March is the first month, so that a leap day is the last of its year.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted / 400, shifted % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&format!("{:?}", text_ms(text)));
    }

    #[test]
    fn times_are_read_as_logs_write_them() {
        check("2026-11-21T06:30:06.320Z", expect!["Some(1795242606320)"]);
        check("2026-11-21T06:30:06Z", expect!["Some(1795242606000)"]);
        check("2026-11-21T06:30:06+00:00", expect!["Some(1795242606000)"]);
        check("2026-11-21T12:00:06.3209999+05:30", expect!["Some(1795242606320)"]);
        check("21/Nov/2026:06:30:06 +0000", expect!["Some(1795242606000)"]);
        check("1795242606", expect!["Some(1795242606000)"]);
        check("1795242606.320", expect!["Some(1795242606320)"]);
        check("1795242606320", expect!["Some(1795242606320)"]);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-11-21",
            "2026-11-21T06:30:06",
            "2026-02-30T00:00:00Z",
            "-1",
            "NaN",
            "inf",
            "1e300",
        ] {
            assert_eq!(text_ms(text), None, "{text}");
        }
        assert_eq!(epoch_ms(-1.0), None);
        assert_eq!(epoch_ms(f64::NAN), None);
    }

    proptest! {
        #[test]
        fn the_plain_form_agrees_with_the_library(ms in 0i64..LATEST_MS as i64) {
            let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap();
            let text = format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                time.year(), u8::from(time.month()), time.day(), time.hour(), time.minute(), time.second(), time.millisecond()
            );
            prop_assert_eq!(text_ms(&text), Some(ms));
            if let Some(plain) = plain_ms(text.as_bytes()) {
                prop_assert_eq!(plain, ms);
            }
        }
    }
}
