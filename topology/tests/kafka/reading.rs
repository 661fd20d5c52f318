//! Readers: committed records, each once, and a position that knows of gaps.

use crate::support::{WAIT, at, config, deploy, event, text, write};
use std::time::{Duration, Instant};
use weir_topology::kafka::KafkaLog;
use weir_topology::log::{Log, LogError, Reader};
use weir_topology::record::{Output, Records};
use weir_topology::topic::Topic;

/// Reads an input until its position is `end`.
fn until(reader: &mut dyn Reader, input: usize, end: i64) -> Vec<(i64, String)> {
    let deadline = Instant::now() + WAIT;
    let mut found = Vec::new();
    while reader.next(input) < end && Instant::now() < deadline {
        reader.wait(Duration::from_millis(50)).unwrap();
        let mut records = Records::default();
        reader.take(input, 1000, 1 << 20, &mut records).unwrap();
        found.extend(records.iter().map(|record| (record.offset, text(record.payload))));
    }
    assert_eq!(reader.next(input), end);
    found
}

#[test]
fn a_reader_moves_past_the_markers_at_the_end() {
    let Some(deployment) = deploy(1) else { return };
    let mut writer = deployment.log.writer("account/0").unwrap();
    for payload in ["a", "b", "c"] {
        write(&mut *writer, vec![event(0, payload)]).unwrap();
    }
    // Each record is followed by the marker of its transaction, the last one a moment after the commit.
    let (first, end) = deployment.log.bounds(Topic::Events, 0).unwrap();
    assert!(first == 0 && (end == 5 || end == 6), "{end}");
    let mut reader = deployment.log.reader(&[at(Topic::Events, 0, 0)]).unwrap();
    let read = [(0, "a"), (2, "b"), (4, "c")].map(|(offset, payload)| (offset, payload.to_owned()));
    assert_eq!(until(&mut *reader, 0, 6), read);
}

#[test]
fn a_reader_that_starts_at_a_position_reads_nothing_twice() {
    let Some(deployment) = deploy(1) else { return };
    let mut writer = deployment.log.writer("account/0").unwrap();
    write(&mut *writer, vec![event(0, "a"), event(0, "b")]).unwrap();
    let mut reader = deployment.log.reader(&[at(Topic::Events, 0, 0)]).unwrap();
    let mut records = Records::default();
    while records.is_empty() {
        reader.wait(WAIT).unwrap();
        reader.take(0, 1, 1 << 20, &mut records).unwrap();
    }
    assert_eq!((records.len(), reader.next(0)), (1, 1));
    let mut second = deployment.log.reader(&[at(Topic::Events, 0, reader.next(0))]).unwrap();
    write(&mut *writer, vec![event(0, "c")]).unwrap();
    let read = [(1, "b"), (3, "c")].map(|(offset, payload)| (offset, payload.to_owned()));
    assert_eq!(until(&mut *second, 0, 5), read);
}

#[test]
fn inputs_of_the_same_partition_number_are_kept_apart() {
    let Some(deployment) = deploy(2) else { return };
    let mut writer = deployment.log.writer("account/1").unwrap();
    let clusters = |payload: &str| Output { topic: Topic::Clusters, ..event(1, payload) };
    let mut reader = deployment.log.reader(&[at(Topic::Clusters, 1, 0), at(Topic::Events, 1, 0)]).unwrap();
    write(&mut *writer, vec![event(1, "e1"), clusters("c1"), event(1, "e2")]).unwrap();
    assert_eq!(until(&mut *reader, 0, 2), [(0, "c1".to_owned())]);
    assert_eq!(until(&mut *reader, 1, 3), [(0, "e1".to_owned()), (1, "e2".to_owned())]);
}

#[test]
fn a_batch_keeps_to_its_limits_and_nothing_is_lost_between_batches() {
    let Some(deployment) = deploy(1) else { return };
    let mut writer = deployment.log.writer("account/0").unwrap();
    let payloads: Vec<String> = (0..500).map(|n| format!("{n:0100}")).collect();
    write(&mut *writer, payloads.iter().map(|payload| event(0, payload)).collect()).unwrap();
    let mut reader = deployment.log.reader(&[at(Topic::Events, 0, 0)]).unwrap();
    let mut found = Vec::new();
    while reader.next(0) < 501 {
        reader.wait(WAIT).unwrap();
        let mut records = Records::default();
        reader.take(0, 7, 500, &mut records).unwrap();
        assert!(records.len() <= 4, "{} records of 103 bytes in 500", records.len());
        found.extend(records.iter().map(|record| text(record.payload)));
    }
    assert_eq!(found, payloads);
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let Some(deployment) = deploy(1) else { return };
    let mut writer = deployment.log.writer("account/0").unwrap();
    // A timestamp of 0 and one before 1970 are words of their own to a broker.
    let written =
        [(0, Some("p")), (-5, None), (1_700_000_000_123, Some(""))].map(|(timestamp_ms, payload)| {
            let record = Output::keyed(Topic::Dlq, b"k".to_vec(), Vec::new(), timestamp_ms).in_partition(0);
            Output { payload: payload.map(|payload| payload.as_bytes().to_vec()), ..record }
                .with_header("empty", "")
                .with_header("some", "value")
        });
    write(&mut *writer, written.to_vec()).unwrap();
    let mut reader = deployment.log.reader(&[at(Topic::Dlq, 0, 0)]).unwrap();
    let mut records = Records::default();
    while records.len() < 3 {
        reader.wait(WAIT).unwrap();
        reader.take(0, 10, 1 << 20, &mut records).unwrap();
    }
    for (record, written) in records.iter().zip(&written) {
        assert_eq!((record.timestamp_ms, record.key), (written.timestamp_ms, written.key.as_slice()));
        assert_eq!(record.payload, written.payload.as_deref());
        let headers: Vec<_> = record.headers().map(|(name, value)| (name, value.to_vec())).collect();
        assert_eq!(headers, written.headers);
    }
}

#[test]
fn an_event_has_the_brokers_time_and_no_header_that_nobody_gave_it() {
    let Some(deployment) = deploy(1) else { return };
    let mut writer = deployment.log.writer("collector/test").unwrap();
    let event = Output::keyed(Topic::Events, b"k".to_vec(), b"p".to_vec(), 1).in_partition(0);
    write(&mut *writer, vec![event.clone(), event.with_header("weir-label", "a")]).unwrap();
    let mut reader = deployment.log.reader(&[at(Topic::Events, 0, 0)]).unwrap();
    let mut records = Records::default();
    while records.len() < 2 {
        reader.wait(WAIT).unwrap();
        reader.take(0, 10, 1 << 20, &mut records).unwrap();
    }
    let headers = |index| records.get(index).unwrap().headers().collect::<Vec<_>>();
    assert_eq!((headers(0), headers(1)), (vec![], vec![("weir-label", &b"a"[..])]));
    assert!(records.iter().all(|record| record.timestamp_ms > 1_700_000_000_000));
}

#[test]
fn a_reader_that_the_retention_overtakes_is_told_so() {
    let Some(mut deployment) = deploy(1) else { return };
    for (name, value) in [("queued.min.messages", "1"), ("fetch.message.max.bytes", "1000")] {
        deployment.config.extra.push((name.into(), value.into()));
    }
    let log = KafkaLog::connect(deployment.config.clone()).unwrap();
    let mut writer = log.writer("account/0").unwrap();
    let noise = |seed: u32| (0..5_000u32).map(move |n| (n.wrapping_mul(2_654_435_761) >> (seed % 20)) as u8);
    for number in 0..40 {
        let mut large = event(0, "");
        large.payload = Some(noise(number).collect());
        write(&mut *writer, vec![large]).unwrap();
    }
    let mut reader = log.reader(&[at(Topic::Events, 0, 0)]).unwrap();
    let mut records = Records::default();
    while records.is_empty() {
        reader.wait(WAIT).unwrap();
        reader.take(0, 1, 1 << 20, &mut records).unwrap();
    }
    deployment.delete_before(Topic::Events, 78);
    let deadline = Instant::now() + WAIT;
    let outcome = loop {
        let step = reader.wait(Duration::from_millis(50));
        let step = step.and_then(|_| reader.take(0, 1, 1 << 20, &mut records));
        match step {
            Ok(()) => assert!(Instant::now() < deadline && records.len() < 38, "read {}", records.len()),
            Err(error) => break error,
        }
    };
    assert!(matches!(outcome, LogError::Gone { first: 78, .. }), "{outcome:?}");
}

#[test]
fn an_offset_past_its_retention_is_gone_and_0_is_the_beginning() {
    let Some(deployment) = deploy(1) else { return };
    let mut writer = deployment.log.writer("account/0").unwrap();
    write(&mut *writer, (0..8).map(|n| event(0, &n.to_string())).collect()).unwrap();
    deployment.delete_before(Topic::Events, 5);
    let gone = LogError::Gone { topic: "weir.events", partition: 0, wanted: 2, first: 5 };
    assert_eq!(deployment.log.reader(&[at(Topic::Events, 0, 2)]).err(), Some(gone));
    let mut reader = deployment.log.reader(&[at(Topic::Events, 0, 0)]).unwrap();
    let read = [(5, "5"), (6, "6"), (7, "7")].map(|(offset, payload)| (offset, payload.to_owned()));
    assert_eq!(until(&mut *reader, 0, 9), read);
}

#[test]
fn topics_that_were_not_created_are_missing() {
    let Some(config) = config() else { return };
    let log = KafkaLog::connect(config).unwrap();
    let missing = |partition| LogError::Missing { topic: "weir.events", partition };
    assert_eq!(log.partitions(Topic::Events), Err(missing(0)));
    assert_eq!(log.bounds(Topic::Events, 0), Err(missing(0)));
    assert_eq!(log.reader(&[at(Topic::Events, 0, 0)]).err(), Some(missing(0)));
    let mut writer = log.writer("account/0").unwrap();
    assert_eq!(write(&mut *writer, vec![event(0, "nowhere")]), Err(missing(0)));
}
