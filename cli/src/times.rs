//! Times, as people write and read them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since the Unix epoch as RFC 3339 in UTC; as they are where its years do not reach.
pub fn time_of(time_ms: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time_ms) * 1_000_000);
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{time_ms} ms"))
}

/// The same, to the second.
pub fn second_of(time_ms: i64) -> String {
    time_of(time_ms.div_euclid(1_000) * 1_000)
}

/// Milliseconds since the Unix epoch, of RFC 3339.
///
/// # Errors
/// When it is no time, in words.
pub fn ms_of(text: &str) -> Result<i64, String> {
    let time = OffsetDateTime::parse(text, &Rfc3339);
    let time = time.map_err(|_| format!("{text:?} is no time, such as 2026-09-07T00:00:00Z"))?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_by_people_also_where_a_year_has_too_many_digits() {
        let told = [0, -1, 1_793_491_200_761, i64::MAX].map(|time_ms| (time_of(time_ms), second_of(time_ms)));
        let told: Vec<_> = told.iter().map(|(all, second)| (all.as_str(), second.as_str())).collect();
        assert_eq!(
            told,
            [
                ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
                ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59Z"),
                ("2026-11-01T00:00:00.761Z", "2026-11-01T00:00:00Z"),
                ("9223372036854775807 ms", "9223372036854775000 ms"),
            ]
        );
    }
}
