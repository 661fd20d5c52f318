//! Where a reader starts and stops.

use super::*;
use crate::backend::Backend;
use std::time::Duration;

/// A log with the payloads 0 to 299 in three commits.
fn three_hundred(backend: impl Backend) -> crate::backend::Fresh {
    let fresh = backend.fresh(1);
    let mut writer = fresh.log.writer("w").unwrap();
    for batch in 0..3 {
        let outputs = (0..100).map(|number| text(Topic::Events, "k", &format!("{}", batch * 100 + number)));
        writer.commit(&commit(outputs.collect())).unwrap();
    }
    fresh
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Takes until there is as much as is expected.
fn take_all(log: &dyn Log, next: i64, count: usize) -> Records {
    let mut reader = log.reader(&[at(Topic::Events, 0, next)]).unwrap();
    let mut records = Records::default();
    while records.len() < count {
        assert!(reader.wait(Duration::from_secs(30)).unwrap(), "{} records", records.len());
        reader.take(0, 1000, usize::MAX, &mut records).unwrap();
    }
    records
}

pub fn a_reader_starts_in_the_middle(backend: impl Backend) {
    let fresh = three_hundred(backend);
    let records = all(&*fresh.log, Topic::Events, 0);
    for start in [0, 1, 99, 100, 150, 299] {
        let next = records.get(start).unwrap().offset;
        assert_eq!(texts(&take_all(&*fresh.log, next, 300 - start)), numbers(start..300), "from {start}");
    }
}

pub fn a_take_stops_at_its_limits(backend: impl Backend) {
    let fresh = three_hundred(backend);
    let mut reader = fresh.log.reader(&[at(Topic::Events, 0, 0)]).unwrap();
    let mut found = Vec::new();
    while found.len() < 300 {
        assert!(reader.wait(Duration::from_secs(30)).unwrap());
        let mut records = Records::default();
        reader.take(0, 70, usize::MAX, &mut records).unwrap();
        assert!(records.len() <= 70, "{}", records.len());
        reader.take(0, 1000, 20, &mut records).unwrap();
        assert!(records.len() <= 90, "{}", records.len());
        if let Some(last) = records.iter().next_back() {
            assert!(reader.next(0) > last.offset);
        }
        found.extend(texts(&records));
    }
    assert_eq!(found, numbers(0..300));
}

pub fn a_take_of_nothing_reads_nothing(backend: impl Backend) {
    let fresh = three_hundred(backend);
    let mut reader = fresh.log.reader(&[at(Topic::Events, 0, 0)]).unwrap();
    assert!(reader.wait(Duration::from_secs(30)).unwrap());
    let mut records = Records::default();
    reader.take(0, 0, usize::MAX, &mut records).unwrap();
    assert!(records.is_empty());
    assert_eq!(texts(&take_all(&*fresh.log, reader.next(0), 300)), numbers(0..300));
}

pub fn a_take_gives_at_least_one_record_whatever_its_size(backend: impl Backend) {
    let fresh = backend.fresh(1);
    let large = "x".repeat(500_000);
    write(&*fresh.log, vec![text(Topic::Events, "k", &large), text(Topic::Events, "k", &large)]);
    let mut reader = fresh.log.reader(&[at(Topic::Events, 0, 0)]).unwrap();
    for _ in 0..2 {
        let mut records = Records::default();
        while records.is_empty() {
            assert!(reader.wait(Duration::from_secs(30)).unwrap());
            reader.take(0, 1000, 1, &mut records).unwrap();
        }
        assert_eq!(records.len(), 1);
    }
}

pub fn a_range_is_read_to_its_end(backend: impl Backend) {
    let fresh = three_hundred(backend);
    let records = all(&*fresh.log, Topic::Events, 0);
    let offset = |index: usize| records.get(index).unwrap().offset;
    for (from, to) in [(0, 299), (0, 1), (50, 250), (120, 121), (7, 7)] {
        let mut found = Vec::new();
        let keep = |records: &Records| {
            found.extend(texts(records));
            Ok(())
        };
        read_range(&*fresh.log, Topic::Events, 0, offset(from), offset(to), keep).unwrap();
        assert_eq!(found, numbers(from..to), "{from}..{to}");
    }
}

pub fn bounds_enclose_what_there_is(backend: impl Backend) {
    let fresh = three_hundred(backend);
    let (first, end) = fresh.log.bounds(Topic::Events, 0).unwrap();
    let records = take_all(&*fresh.log, 0, 300);
    assert_eq!(records.get(0).unwrap().offset, first);
    assert!(records.get(299).unwrap().offset < end);
    // While nothing is written no record comes, though Kafka may add the marker of a commit a moment
    // after it; and the end moves when something is.
    let (still_first, end_then) = fresh.log.bounds(Topic::Events, 0).unwrap();
    assert!(still_first == first && end_then >= end);
    let mut found = Vec::new();
    let keep = |records: &Records| {
        found.extend(texts(records));
        Ok(())
    };
    read_range(&*fresh.log, Topic::Events, 0, end, end_then, keep).unwrap();
    assert!(found.is_empty(), "{found:?}");
    write(&*fresh.log, vec![text(Topic::Events, "k", "300")]);
    assert!(fresh.log.bounds(Topic::Events, 0).unwrap().1 > end);
}
