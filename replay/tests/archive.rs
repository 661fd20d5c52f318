//! An archive against the log that it was made from.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;
use weir_replay::archive::manifest::Manifest;
use weir_replay::archive::{ArchiveError, ArchiveLog, keep, topics};
use weir_topology::history::read_range;
use weir_topology::log::{Commit, Log, LogError, Position};
use weir_topology::memory::MemoryLog;
use weir_topology::record::{Output, RecordRef};
use weir_topology::topic::Topic;

type Row = (i64, i64, Vec<u8>, Option<Vec<u8>>, Vec<(String, Vec<u8>)>);

fn row(record: RecordRef<'_>) -> Row {
    let headers = record.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    (record.offset, record.timestamp_ms, record.key.to_vec(), record.payload.map(<[u8]>::to_vec), headers)
}

fn rows(log: &dyn Log, topic: Topic, partition: u32, from: i64) -> Vec<Row> {
    let (_, end) = log.bounds(topic, partition).unwrap();
    let mut rows = Vec::new();
    read_range(log, topic, partition, from, end, |records| {
        rows.extend(records.iter().map(row));
        Ok(())
    })
    .unwrap();
    rows
}

/// Writes so many records to every history, of which some are labelled and some are tombstones.
fn write(log: &MemoryLog, count: i64) {
    let mut writer = log.writer("test").unwrap();
    for topic in topics() {
        for partition in 0..log.partitions(topic).unwrap() {
            let outputs = (0..count).map(|number| Output {
                topic,
                partition: Some(partition),
                key: format!("key {number}").into_bytes(),
                payload: (number % 5 != 4).then(|| vec![number as u8; number as usize * 10]),
                headers: if number % 2 == 0 { vec![("weir-label", b"hydra".to_vec())] } else { Vec::new() },
                timestamp_ms: 1_000 * number,
            });
            writer.commit(&Commit { outputs: outputs.collect(), positions: Vec::new() }).unwrap();
        }
    }
}

fn assert_same(log: &dyn Log, directory: &Path) {
    let archive = ArchiveLog::open(directory).unwrap();
    archive.check(|_| {}).unwrap();
    for topic in topics() {
        assert_eq!(archive.partitions(topic).unwrap(), log.partitions(topic).unwrap());
        for partition in 0..log.partitions(topic).unwrap() {
            assert_eq!(archive.bounds(topic, partition).unwrap(), log.bounds(topic, partition).unwrap());
            for from in [0, 3, 17] {
                let (kept, there) =
                    (rows(&archive, topic, partition, from), rows(log, topic, partition, from));
                assert_eq!(kept, there, "{topic}/{partition} from {from}");
            }
        }
    }
}

#[test]
fn an_archive_gives_back_what_the_log_holds_and_goes_on_where_it_ended() {
    let (log, place) = (MemoryLog::new(2), tempfile::tempdir().unwrap());
    write(&log, 20);
    let first = keep(log.as_ref(), place.path(), |_, _| {}).unwrap();
    let partitions: u32 = topics().map(|topic| log.partitions(topic).unwrap()).sum();
    assert_eq!((first.records, first.files), (u64::from(partitions) * 20, u64::from(partitions)));
    assert_same(log.as_ref(), place.path());
    let again = keep(log.as_ref(), place.path(), |_, _| {}).unwrap();
    assert_eq!((again.records, again.files), (0, 0));
    write(&log, 7);
    let more = keep(log.as_ref(), place.path(), |_, _| {}).unwrap();
    assert_eq!((more.records, more.gaps.len()), (u64::from(partitions) * 7, 0));
    assert_same(log.as_ref(), place.path());
}

#[test]
fn tables_and_with_them_who_stands_behind_a_pseudonym_are_not_archived() {
    let kept: Vec<Topic> = topics().collect();
    assert!(!kept.contains(&Topic::Identities) && !kept.contains(&Topic::StateAccount));
    for needed in
        [Topic::Events, Topic::Clusters, Topic::Control, Topic::Epochs, Topic::Checkpoints, Topic::Verdicts]
    {
        assert!(kept.contains(&needed), "verify needs {needed}");
    }
}

#[test]
fn what_was_killed_between_a_file_and_the_manifest_is_written_again() {
    let (log, place) = (MemoryLog::new(1), tempfile::tempdir().unwrap());
    write(&log, 10);
    keep(log.as_ref(), place.path(), |_, _| {}).unwrap();
    // As if it had been killed before the manifest named the last three files.
    let mut manifest = Manifest::read(place.path()).unwrap().unwrap();
    let lost = manifest.files.split_off(manifest.files.len() - 3);
    manifest.write(place.path()).unwrap();
    fs::write(lost[0].path(place.path()), "half a file").unwrap();
    let again = keep(log.as_ref(), place.path(), |_, _| {}).unwrap();
    assert_eq!((again.files, again.records), (3, 30));
    assert_same(log.as_ref(), place.path());
}

#[test]
fn a_file_that_was_touched_is_told_and_not_read() {
    let (log, place) = (MemoryLog::new(1), tempfile::tempdir().unwrap());
    write(&log, 10);
    keep(log.as_ref(), place.path(), |_, _| {}).unwrap();
    let archive = ArchiveLog::open(place.path()).unwrap();
    let entry = archive.manifest().of(Topic::Verdicts, 0).next().unwrap().clone();
    let path = entry.path(place.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, bytes).unwrap();
    let told = archive.check(|_| {}).unwrap_err().to_string();
    assert!(told.contains("its SHA-256 is") && told.contains("weir.verdicts"), "{told}");
    let position = Position { topic: Topic::Verdicts, partition: 0, next: 0 };
    let read = archive.reader(&[position]).unwrap().wait(Duration::ZERO);
    assert!(matches!(read, Err(LogError::Damaged { .. })), "{read:?}");
}

#[test]
fn another_log_does_not_go_into_the_same_archive() {
    let (log, place) = (MemoryLog::new(2), tempfile::tempdir().unwrap());
    write(&log, 10);
    keep(log.as_ref(), place.path(), |_, _| {}).unwrap();
    let of_three = keep(MemoryLog::new(3).as_ref(), place.path(), |_, _| {});
    assert!(matches!(of_three, Err(ArchiveError::OtherLog { archived: 2, found: 3 })));
    let empty = keep(MemoryLog::new(2).as_ref(), place.path(), |_, _| {});
    assert!(matches!(empty, Err(ArchiveError::Behind { end: 0, archived: 10, .. })));
}

#[test]
fn a_manifest_that_names_what_is_outside_is_refused() {
    let place = tempfile::tempdir().unwrap();
    Manifest::new(1).write(place.path()).unwrap();
    let with = |topic: &str, partition: u32, to: i64| {
        let text = format!(
            "{{\"format\":1,\"partitions\":1,\"files\":[{{\"topic\":\"{topic}\",\"partition\":{partition},\"from\":0,\
             \"to\":{to},\"records\":0,\"bytes\":0,\"sha256\":\"\"}}]}}"
        );
        fs::write(place.path().join("manifest.json"), text).unwrap();
        ArchiveLog::open(place.path()).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(with("weir.events", 0, 1), Ok(()));
    for (topic, partition, to) in
        [("../../etc", 0, 1), ("weir.identities", 0, 1), ("weir.events", 1, 1), ("weir.events", 0, 0)]
    {
        assert!(with(topic, partition, to).unwrap_err().contains("is damaged"), "{topic} {partition} {to}");
    }
}

#[test]
fn only_one_writes_an_archive_at_a_time() {
    let (log, place) = (MemoryLog::new(1), tempfile::tempdir().unwrap());
    write(&log, 10);
    let other = fs::File::create(place.path().join("lock")).unwrap();
    other.lock().unwrap();
    let told = keep(log.as_ref(), place.path(), |_, _| {}).unwrap_err().to_string();
    assert!(
        told.ends_with("is being written by another `weir archive`: wait until that has ended"),
        "{told}"
    );
    drop(other);
    keep(log.as_ref(), place.path(), |_, _| {}).unwrap();
    assert_same(log.as_ref(), place.path());
}

#[test]
fn what_the_log_went_on_to_hold_unarchived_is_missing_and_not_waited_for() {
    let (log, place) = (MemoryLog::new(1), tempfile::tempdir().unwrap());
    write(&log, 10);
    keep(log.as_ref(), place.path(), |_, _| {}).unwrap();
    let archive = ArchiveLog::open(place.path()).unwrap();
    let mut offsets = Vec::new();
    read_range(&archive, Topic::Clusters, 0, 5, 20, |records| {
        offsets.extend(records.iter().map(|record| record.offset));
        Ok(())
    })
    .unwrap();
    assert_eq!(offsets, [5, 6, 7, 8, 9]);
}

#[test]
fn a_manifest_with_numbers_that_no_archive_has_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let with = |partitions: u64, bytes: u64| {
        let text = format!(
            "{{\"format\":1,\"partitions\":{partitions},\"files\":[{{\"topic\":\"weir.events\",\"partition\":0,\"from\":0,\
             \"to\":1,\"records\":0,\"bytes\":{bytes},\"sha256\":\"\"}}]}}"
        );
        fs::write(place.path().join("manifest.json"), text).unwrap();
        ArchiveLog::open(place.path()).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(with(1, 9), Ok(()));
    assert!(with(u64::from(u32::MAX), 9).unwrap_err().contains("no log has 4294967295 partitions"));
    assert!(with(1, u64::MAX).unwrap_err().contains("no archive writes files of 18446744073709551615 bytes"));
}
