//! What a record is when it comes back, and which are refused.

use super::*;
use crate::backend::Backend;
use weir_topology::key::partition_of;
use weir_topology::limits::RECORD_BYTES_MAX;
use weir_topology::log::LogError;

pub fn records_come_back_as_they_were_written(backend: impl Backend) {
    let fresh = backend.fresh(1);
    let mut tombstone = text(Topic::Events, "tombstone", "");
    tombstone.payload = None;
    let mut early = text(Topic::Events, "early", "x");
    early.timestamp_ms = 1;
    let outputs = vec![
        text(Topic::Events, "headers", "x")
            .with_header("a", "1")
            .with_header("empty", "")
            .with_header("a", "2"),
        tombstone,
        text(Topic::Events, "", "no key"),
        text(Topic::Events, "no payload", ""),
        early,
        Output::keyed(Topic::Events, vec![0, 255, 128], vec![0, 159, 146, 150], 1_700_000_000_123),
    ];
    let outputs: Vec<_> = outputs.into_iter().map(|output| Output { topic: Topic::Dlq, ..output }).collect();
    write(&*fresh.log, outputs.clone());
    let records = all(&*fresh.log, Topic::Dlq, 0);
    assert_eq!(records.len(), outputs.len());
    for (record, output) in records.iter().zip(&outputs) {
        assert_eq!(record.key, output.key);
        assert_eq!(record.payload, output.payload.as_deref());
        assert_eq!(record.timestamp_ms, output.timestamp_ms);
        let headers: Vec<_> = record.headers().map(|(name, value)| (name, value.to_vec())).collect();
        assert_eq!(headers, output.headers);
    }
}

pub fn a_topic_that_was_never_written_is_empty(backend: impl Backend) {
    let fresh = backend.fresh(2);
    for topic in Topic::ALL {
        let (first, end) = fresh.log.bounds(*topic, 0).unwrap();
        assert_eq!(first, end, "{topic}");
        assert!(all(&*fresh.log, *topic, 0).is_empty());
    }
}

pub fn records_of_a_partition_keep_their_order(backend: impl Backend) {
    let fresh = backend.fresh(1);
    let mut writer = fresh.log.writer("w").unwrap();
    for batch in 0..20 {
        let outputs = (0..50).map(|number| text(Topic::Events, "k", &format!("{}", batch * 50 + number)));
        writer.commit(&commit(outputs.collect())).unwrap();
    }
    let records = all(&*fresh.log, Topic::Events, 0);
    assert_eq!(texts(&records), (0..1000).map(|number| number.to_string()).collect::<Vec<_>>());
    let offsets: Vec<i64> = records.iter().map(|record| record.offset).collect();
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
}

pub fn a_record_of_900_kb_comes_back(backend: impl Backend) {
    let fresh = backend.fresh(1);
    let large: Vec<u8> = (0..900_000u32).map(|index| (index * 31 % 251) as u8).collect();
    let output = Output::keyed(Topic::Events, b"large".to_vec(), large.clone(), 1);
    write(&*fresh.log, vec![text(Topic::Events, "k", "before"), output, text(Topic::Events, "k", "after")]);
    let records = all(&*fresh.log, Topic::Events, 0);
    assert_eq!(records.len(), 3);
    assert!(records.get(1).unwrap().payload == Some(&large[..]));
}

pub fn a_record_over_the_limit_is_refused_with_its_whole_commit(backend: impl Backend) {
    let fresh = backend.fresh(1);
    let mut writer = fresh.log.writer("w").unwrap();
    let mut large = text(Topic::Verdicts, "k", "");
    large.payload = Some(vec![0; RECORD_BYTES_MAX]);
    let refused = writer.commit(&commit(vec![text(Topic::Events, "k", "beside it"), large.clone()]));
    let limit = RECORD_BYTES_MAX;
    assert_eq!(refused, Err(LogError::TooLarge { topic: "weir.verdicts", bytes: limit + 1, limit }));
    assert!(all(&*fresh.log, Topic::Events, 0).is_empty());
    assert!(all(&*fresh.log, Topic::Verdicts, 0).is_empty());

    large.payload = Some(vec![0; RECORD_BYTES_MAX - 1]);
    fresh.log.writer("w").unwrap().commit(&commit(vec![large])).unwrap();
    assert_eq!(all(&*fresh.log, Topic::Verdicts, 0).len(), 1);
}

pub fn a_partition_that_does_not_exist_is_refused(backend: impl Backend) {
    let fresh = backend.fresh(2);
    let missing = LogError::Missing { topic: "weir.events", partition: 2 };
    assert_eq!(fresh.log.bounds(Topic::Events, 2), Err(missing.clone()));
    assert_eq!(fresh.log.reader(&[at(Topic::Events, 2, 0)]).err(), Some(missing.clone()));
    let outputs = vec![text(Topic::Events, "k", "beside it"), text(Topic::Events, "k", "x").in_partition(2)];
    let refused = fresh.log.writer("w").unwrap().commit(&commit(outputs));
    assert_eq!(refused, Err(missing));
    for partition in 0..2 {
        assert!(all(&*fresh.log, Topic::Events, partition).is_empty());
    }
}

pub fn the_number_of_partitions_is_the_topologys(backend: impl Backend) {
    let fresh = backend.fresh(3);
    for topic in Topic::ALL {
        assert_eq!(fresh.log.partitions(*topic), Ok(topic.partitions(3)), "{topic}");
    }
}

pub fn a_key_lives_where_every_kafka_tool_says(backend: impl Backend) {
    let fresh = backend.fresh(5);
    let keys: Vec<String> = (0..100).map(|number| format!("{number:032x}")).collect();
    write(&*fresh.log, keys.iter().map(|key| text(Topic::Events, key, key)).collect());
    for partition in 0..5 {
        let here = keys.iter().filter(|key| partition_of(key.as_bytes(), 5) == partition);
        assert_eq!(payloads(&*fresh.log, Topic::Events, partition), here.cloned().collect::<Vec<_>>());
    }
}
