//! Times as logs write them, in milliseconds since the Unix epoch.

use super::spec::Unit;
use crate::json::Number;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// From these numbers on, a number counts milliseconds, microseconds, nanoseconds: as seconds the first would
/// be in the year 5138, and as milliseconds it is in 1973.
const MILLISECONDS_FROM: f64 = 1e11;
const MICROSECONDS_FROM: f64 = 1e14;
const NANOSECONDS_FROM: f64 = 1e17;

/// The end of the year 9999.
const LATEST_MS: f64 = 253_402_300_799_999.0;

/// A number, in the unit that the format names, or else in the one that its size shows.
pub(super) fn epoch_ms(number: f64, unit: Option<Unit>) -> Option<i64> {
    let unit = unit.unwrap_or(if number < MILLISECONDS_FROM {
        Unit::S
    } else if number < MICROSECONDS_FROM {
        Unit::Ms
    } else if number < NANOSECONDS_FROM {
        Unit::Us
    } else {
        Unit::Ns
    });
    // Thousandths of milliseconds are dropped rather than rounded, as they are of a text.
    let scaled = number * unit.per_ms();
    let ms = if matches!(unit, Unit::S | Unit::Ms) { scaled.round() } else { scaled.floor() };
    (0.0..=LATEST_MS).contains(&ms).then_some(ms as i64)
}

/// A time as text: RFC 3339 and what comes near it, a web server's, an e-mail's, or a number. One that names
/// no zone is in `zone`.
pub(super) fn text_ms(text: &str, unit: Option<Unit>, zone: UtcOffset) -> Option<i64> {
    // Digits and points are a number, or nothing: what tables have most, and the library would be asked last.
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        if let Some(date) = run_together(text).filter(|_| unit.is_none()) {
            return near_rfc3339(&date, zone).and_then(ms_of);
        }
        return epoch_ms(Number::of(text.as_bytes()).as_f64(), unit);
    }
    // Go prints how long its process runs behind; `date` takes seconds behind an `@`.
    let text = text.split_once(" m=").map_or(text, |(text, _)| text).trim_matches('\'');
    if let Some(number) = text.strip_prefix('@') {
        return number.parse().ok().and_then(|number| epoch_ms(number, unit));
    }
    if let Some(ms) = plain_ms(text.as_bytes()) {
        return Some(ms);
    }
    if let Some(time) = near_rfc3339(text, zone).or_else(|| web_server(text, zone)) {
        return ms_of(time);
    }
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc2822) {
        return ms_of(time);
    }
    if let Some(time) = respelled(text).and_then(|text| near_rfc3339(&text, zone)) {
        return ms_of(time);
    }
    if let Some(text) = filled_out(text) {
        let time = near_rfc3339(&text, zone).or_else(|| near_rfc3339(&respelled(&text)?, zone));
        if let Some(time) = time {
            return ms_of(time);
        }
    }
    let number = text.parse().or_else(|_| text.replacen(',', ".", 1).parse());
    number.ok().and_then(|number| epoch_ms(number, unit))
}

/// `20261121063006` as RFC 3339 has it: as milliseconds it would be in the year 2612.
fn run_together(text: &str) -> Option<String> {
    if text.len() != 14 || !text.starts_with("20") || text.contains('.') {
        return None;
    }
    let at = |from: usize| &text[from..from + 2];
    Some(format!("{}-{}-{}T{}:{}:{}", &text[..4], at(4), at(6), at(8), at(10), at(12)))
}

/// Times that are spelled in other ways, as RFC 3339 has them: `20261121T063006Z`, `2026-11-21T06:30Z`, with
/// the name of a zone behind as Java prints it (`Z[UTC]`), `Sat Nov 21 06:30:06 UTC 2026` as C prints it,
/// `Nov 21, 2026 @ 06:30:06.320` as Kibana exports it.
fn respelled(text: &str) -> Option<String> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    if !text.is_ascii() {
        return None;
    }
    let of = |year: &str, month: &str, day: &str, rest: String| {
        let month = MONTHS.iter().position(|name| *name == month)? + 1;
        let day: u8 = day.trim_end_matches(',').parse().ok()?;
        Some(format!("{year}-{month:02}-{day:02}T{rest}"))
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        // As JavaScript prints it: `Sat Nov 21 2026 07:30:06 GMT+0100 (CET)`.
        [_, month, day, year, clock, zone, ..] if year.len() == 4 && clock.contains(':') => {
            return of(year, month, day, format!("{clock}{}", zone.trim_start_matches("GMT")));
        }
        // `21 Nov 2026 06:30:06`, with or without a zone.
        [day, month, year, clock, ref zone @ ..]
            if year.len() == 4 && clock.contains(':') && zone.len() <= 1 && day.len() <= 2 =>
        {
            return of(year, month, day, format!("{clock}{}", zone.concat()));
        }
        // `Nov 21 2026 06:30:06`.
        [month, day, year, clock] if year.len() == 4 && clock.contains(':') => {
            return of(year, month, day, clock.to_owned());
        }
        [_, month, day, clock, year] if year.len() == 4 => {
            if let Some(text) = of(year, month, day, clock.to_owned()) {
                return Some(text);
            }
        }
        [_, month, day, clock, zone, year] if year.len() == 4 => {
            return of(year, month, day, format!("{clock} {zone}"));
        }
        _ => {}
    }
    // `21-Nov-2026 06:30:06`, `21.11.2026 06:30:06`.
    if let [date, clock, rest @ ..] = &words[..]
        && let [day, month, year] = date.split(['-', '.']).collect::<Vec<_>>()[..]
        && day.len() <= 2
        && year.len() == 4
    {
        let clock = format!("{clock}{}", rest.concat());
        if let Some(text) = of(year, month, day, clock.clone()) {
            return Some(text);
        }
        let is_number = month.len() == 2 && month.bytes().all(|byte| byte.is_ascii_digit());
        return (is_number && date.contains('.')).then(|| format!("{year}-{month}-{day:0>2}T{clock}"));
    }
    if let [month, day, year, "@", clock] = words[..] {
        return of(year, month, day, clock.to_owned());
    }
    if let Some((time, _)) = text.strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
        return (!time.is_empty()).then(|| time.to_owned());
    }
    let digits = |range: std::ops::Range<usize>| {
        text.get(range).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if let (Some(date), Some("T" | "t"), Some(clock)) = (digits(0..8), text.get(8..9), digits(9..15)) {
        let (date, clock) = ((&date[..4], &date[4..6], &date[6..]), (&clock[..2], &clock[2..4], &clock[4..]));
        let rest = &text[15..];
        return Some(format!("{}-{}-{}T{}:{}:{}{rest}", date.0, date.1, date.2, clock.0, clock.1, clock.2));
    }
    let is_clock = text.get(13..14) == Some(":") && digits(14..16).is_some();
    let ends = !matches!(text.as_bytes().get(16), Some(b':' | b'.' | b',' | b'0'..=b'9'));
    (is_clock && ends).then(|| format!("{}:00{}", &text[..16], &text[16..]))
}

/// A time with all of its digits, by a clock of 24 hours: `2026-11-21 6:30:06 PM`, `2026-1-2 03:04:05`. None
/// where nothing was missing. Days of numbers alone whose year comes last are left as they are: some write
/// the month first.
fn filled_out(text: &str) -> Option<String> {
    let two = |number: &str| match number.len() {
        1 => Some(format!("0{number}")),
        2 => Some(number.to_owned()),
        _ => None,
    };
    let mut words: Vec<String> =
        text.split([' ', '\u{a0}', '\u{202f}']).map(|word| word.trim_end_matches(',').to_owned()).collect();
    let of_noon = |word: &str| match word.to_ascii_lowercase().as_str() {
        "am" | "a.m." => Some(0),
        "pm" | "p.m." => Some(12),
        _ => None,
    };
    if let [date] = &words[..]
        && let Some((date, clock)) = date.split_once('T')
    {
        words = vec![date.to_owned(), clock.to_owned()];
    }
    let noon = words.iter().position(|word| of_noon(word).is_some());
    let noon = noon.and_then(|place| of_noon(&words.remove(place)));
    for word in &mut words {
        if let Some((hour, rest)) = word.split_once(':').filter(|(hour, _)| hour.len() <= 2)
            && let Ok(number) = hour.parse::<u8>()
        {
            let number = match noon {
                Some(noon) if (1..=12).contains(&number) => number % 12 + noon,
                Some(_) => return None,
                None => number,
            };
            *word = format!("{number:02}:{rest}");
        }
        let separator = if word.contains('/') { '/' } else { '-' };
        if let [year, month, day] = word.split(separator).collect::<Vec<_>>()[..]
            && year.len() == 4
            && [month, day].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        {
            *word = format!("{year}-{}-{}", two(month)?, two(day)?);
        }
    }
    let filled = words.join(" ");
    (filled != text).then_some(filled)
}

fn ms_of(time: OffsetDateTime) -> Option<i64> {
    let ms = time.unix_timestamp() * 1000 + i64::from(time.millisecond());
    (ms >= 0).then_some(ms)
}

/// RFC 3339 with a blank or an underscore for its `T`, slashes or points for its dashes, a comma for its
/// point, and a zone in any spelling or none.
fn near_rfc3339(text: &str, zone: UtcOffset) -> Option<OffsetDateTime> {
    if !text.is_ascii() || text.len() < 19 {
        return None;
    }
    let (date, rest) = (text.get(..10)?.replace(['/', '.'], "-"), text.get(10..)?);
    let rest = rest.strip_prefix(['T', 't', ' ', '_'])?.trim_start();
    let (clock, rest) = rest.split_at_checked(8)?;
    let digits =
        rest.strip_prefix(['.', ',']).map(|rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    let (fraction, rest) = match digits {
        Some(0) => return None,
        Some(count) => (&rest[1..=count], &rest[1 + count..]),
        None => ("0", rest),
    };
    // Beyond nanoseconds nothing counts.
    let fraction = &fraction[..fraction.len().min(9)];
    let offset = zone_of(rest, zone)?;
    let whole = format!("{date}T{clock}.{fraction}{}", spelled(offset));
    OffsetDateTime::parse(&whole, &Rfc3339).ok()
}

fn spelled(zone: UtcOffset) -> String {
    let (hours, minutes, _) = zone.as_hms();
    let sign = if zone.is_negative() { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", hours.unsigned_abs(), minutes.unsigned_abs())
}

/// The zone that a text ends with: `Z`, `UTC`, `GMT`, `+01:00`, `+0100`, `+01`, some of them twice as Go
/// prints them (`+0000 UTC`), or nothing.
pub(super) fn zone_of(text: &str, default: UtcOffset) -> Option<UtcOffset> {
    let text = text.trim();
    let is_utc = |text: &str| matches!(text, "Z" | "z" | "UTC" | "GMT");
    if text.is_empty() {
        return Some(default);
    }
    if is_utc(text) {
        return Some(UtcOffset::UTC);
    }
    let (numeric, name) = text.split_once(' ').unwrap_or((text, ""));
    if !name.trim_start().bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let (sign, digits) = match numeric.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<i8>().ok();
    let (hours, minutes) = match digits.len() {
        2 => (number(0..2)?, 0),
        4 => (number(0..2)?, number(2..4)?),
        _ => return None,
    };
    UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()
}

/// `21/Nov/2026:06:30:06 +0000`, as web servers write it, with or without its zone, brackets, or thousandths.
fn web_server(text: &str, zone: UtcOffset) -> Option<OffsetDateTime> {
    const CLOCK: &[BorrowedFormatItem<'static>] =
        format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second]");
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let (clock, rest) = text.split_at_checked(20)?;
    let time = PrimitiveDateTime::parse(clock, CLOCK).ok()?;
    let digits = rest.strip_prefix(['.', ',']).map_or("", |rest| rest.split(' ').next().unwrap_or_default());
    let rest = if digits.is_empty() { rest } else { &rest[1 + digits.len()..] };
    let ms: u16 = match digits.len() {
        0 => 0,
        _ => format!("{digits:0<3}").get(..3)?.parse().ok()?,
    };
    Some(time.assume_offset(zone_of(rest, zone)?) + std::time::Duration::from_millis(ms.into()))
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
    let is_marked = date[4] == b'-'
        && date[7] == b'-'
        && matches!(date[10], b'T' | b' ')
        && date[13] == b':'
        && date[16] == b':';
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    // Days up to 28 are in every month.
    let is_plain = year >= 1970 && (1..=12).contains(&month) && (1..=28).contains(&day);
    if !is_marked || !is_plain || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (millisecond, zone) = match fraction {
        [b'.', rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let first = |index: usize| if index < digits { i64::from(rest[index] - b'0') } else { 0 };
            if !(1..=9).contains(&digits) {
                return None;
            }
            (first(0) * 100 + first(1) * 10 + first(2), &rest[digits..])
        }
        zone => (0, zone),
    };
    if !matches!(zone, b"Z" | b"+00:00") {
        return None;
    }
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
        expected.assert_eq(&format!("{:?}", text_ms(text, None, UtcOffset::UTC)));
    }

    #[test]
    fn times_are_read_as_logs_write_them() {
        check("2026-11-21T06:30:06.320Z", expect!["Some(1795242606320)"]);
        check("2026-11-21T06:30:06Z", expect!["Some(1795242606000)"]);
        check("2026-11-21T06:30:06+00:00", expect!["Some(1795242606000)"]);
        check("2026-11-21T12:00:06.3209999+05:30", expect!["Some(1795242606320)"]);
        check("2026-11-21T06:30:06.320111222Z", expect!["Some(1795242606320)"]);
        check("21/Nov/2026:06:30:06 +0000", expect!["Some(1795242606000)"]);
        check("[21/Nov/2026:07:30:06 +0100]", expect!["Some(1795242606000)"]);
        check("21/Nov/2026:06:30:06.320", expect!["Some(1795242606320)"]);
        check("Sat, 21 Nov 2026 06:30:06 GMT", expect!["Some(1795242606000)"]);
        check("1795242606", expect!["Some(1795242606000)"]);
        check("1795242606.320", expect!["Some(1795242606320)"]);
        check("1795242606320", expect!["Some(1795242606320)"]);
        check("1795242606320111", expect!["Some(1795242606320)"]);
        check("1795242606320111222", expect!["Some(1795242606320)"]);
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for text in [
            "2026-11-21 06:30:06.320",
            "2026-11-21 06:30:06,320",
            "2026-11-21T06:30:06.320",
            "2026-11-21T06:30:06,320Z",
            "2026/11/21 06:30:06.320",
            "2026-11-21 07:30:06.320 +0100",
            "2026-11-21T07:30:06.320+0100",
            "2026-11-21T07:30:06.320+01",
            "2026-11-21 06:30:06.320 +0000 UTC",
            "2026-11-21 06:30:06.320 UTC",
            "2026-11-21T06:30:06.320000111222333Z",
            "2026-11-21T06:30:06.320Z[UTC]",
            "Sat Nov 21 06:30:06.320 2026",
            "Sat Nov 21 06:30:06.320 UTC 2026",
            "Nov 21, 2026 @ 06:30:06.320",
            "Sat Nov 21 2026 07:30:06.320 GMT+0100 (CET)",
            "Nov 21 2026 06:30:06.320",
            "Nov 21, 2026 6:30:06.320 AM",
            "Nov 21, 2026, 6:30:06.320 AM",
            "21 Nov 2026 06:30:06.320",
            "21 Nov 2026 07:30:06.320 +01:00",
            "21 Nov 2026 6:30:06.320 am",
            "2026-11-21 6:30:06.320",
            "2026-11-21T6:30:06.320Z",
            "2026-11-21 6:30:06.320 AM",
            "2026/11/21 06:30:06.320 a.m.",
            "2026.11.21 06:30:06.320",
            "@1795242606.320",
            "21-Nov-2026 06:30:06.320",
            "21.11.2026 06:30:06.320",
            "20261121T063006.320Z",
            "2026-11-21 06:30:06.320111222 +0000 UTC m=+12.345678901",
            "1795242606,320",
        ] {
            assert_eq!(text_ms(text, None, UtcOffset::UTC), Some(1_795_242_606_320), "{text}");
        }
        assert_eq!(text_ms("20261121063006", None, UtcOffset::UTC), Some(1_795_242_606_000));
        assert_eq!(text_ms("2026-11-21T07:30+01:00", None, UtcOffset::UTC), Some(1_795_242_600_000));
        let zone = zone_of("+02:00", UtcOffset::UTC).unwrap();
        assert_eq!(text_ms("2026-11-21 08:30:06,320", None, zone), Some(1_795_242_606_320));
        assert_eq!(text_ms("21/Nov/2026:08:30:06.320", None, zone), Some(1_795_242_606_320));
        assert_eq!(text_ms("2026-1-2 15:04:05", None, UtcOffset::UTC), Some(1_767_366_245_000));
        assert_eq!(text_ms("2026-1-2 3:04:05 PM", None, UtcOffset::UTC), Some(1_767_366_245_000));
        assert_eq!(text_ms("2026-01-02 12:04:05 AM", None, UtcOffset::UTC), Some(1_767_312_245_000));
        // A zone that is there counts.
        assert_eq!(text_ms("2026-11-21 06:30:06.320Z", None, zone), Some(1_795_242_606_320));
    }

    #[test]
    fn a_named_unit_counts() {
        assert_eq!(epoch_ms(1_795_242.0, Some(Unit::Ms)), Some(1_795_242));
        assert_eq!(epoch_ms(1_795_242_606.0, Some(Unit::S)), Some(1_795_242_606_000));
        assert_eq!(text_ms("1795242606320111", Some(Unit::Us), UtcOffset::UTC), Some(1_795_242_606_320));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-11-21",
            "2026-11-21T06:30:06.",
            "2026-11-21T06:30:06 in Oslo 7",
            "2026-11-21T06:30:06+1",
            "2026-02-30T00:00:00Z",
            "2026-11-21 13:30:06 PM",
            // Some write the month first.
            "11/21/2026 06:30:06",
            "2026-11-2１T06:30:06Z",
            "32/Nov/2026:06:30:06 +0000",
            "1969-12-31T23:59:59Z",
            "-1",
            "NaN",
            "inf",
            "1e300",
        ] {
            assert_eq!(text_ms(text, None, UtcOffset::UTC), None, "{text}");
        }
        assert_eq!(epoch_ms(-1.0, None), None);
        assert_eq!(epoch_ms(f64::NAN, None), None);
    }

    proptest! {
        #[test]
        fn the_plain_form_agrees_with_the_library(ms in 0i64..LATEST_MS as i64) {
            let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap();
            let text = format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                time.year(), u8::from(time.month()), time.day(), time.hour(), time.minute(), time.second(), time.millisecond()
            );
            prop_assert_eq!(text_ms(&text, None, UtcOffset::UTC), Some(ms));
            if let Some(plain) = plain_ms(text.as_bytes()) {
                prop_assert_eq!(plain, ms);
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,40}", digits in "[0-9/:T .,+Z-]{0,40}") {
            text_ms(&text, None, UtcOffset::UTC);
            text_ms(&digits, None, UtcOffset::UTC);
        }
    }
}
