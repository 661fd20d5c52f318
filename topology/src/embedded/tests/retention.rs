use super::super::open::{builder, open_with};
use super::*;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

const DAY_MS: i64 = 86_400_000;

/// A log whose time stands still until it is set.
fn fresh_with_clock() -> (tempfile::TempDir, EmbeddedLog, Arc<AtomicI64>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    let time = Arc::new(AtomicI64::new(0));
    let clock = time.clone();
    let clock = Box::new(move || clock.load(Ordering::SeqCst));
    let shared = open_with(dir.path(), Some(1), Box::new(move || builder().open(&path)), clock).unwrap();
    (dir, EmbeddedLog { shared: Arc::new(shared) }, time)
}

fn at(topic: Topic, next: i64) -> Commit {
    Commit { outputs: Vec::new(), positions: vec![Position { topic, partition: 0, next }] }
}

#[test]
fn what_has_passed_its_retention_goes_and_the_rest_keeps_its_offsets() {
    let (_dir, log, time) = fresh_with_clock();
    for day in 0..20 {
        time.store(day * DAY_MS, Ordering::SeqCst);
        commit(&log, vec![record(Topic::Dlq, "k", &format!("day {day}"), 0)]);
    }
    // The dlq keeps 14 days.
    assert_eq!(log.trim(20 * DAY_MS), Ok(6));
    assert_eq!(log.bounds(Topic::Dlq, 0), Ok((6, 20)));
    assert_eq!(payloads(&log, Topic::Dlq, 0).unwrap()[0], "6:day 6");
    assert_eq!(payloads(&log, Topic::Dlq, 18).unwrap(), ["18:day 18", "19:day 19"]);
    let gone = LogError::Gone { topic: "weir.dlq", partition: 0, wanted: 5, first: 6 };
    assert_eq!(payloads(&log, Topic::Dlq, 5), Err(gone));
    assert_eq!(log.trim(20 * DAY_MS), Ok(0));
    assert_eq!(log.trim(1000 * DAY_MS), Ok(14));
    assert_eq!(log.bounds(Topic::Dlq, 0), Ok((20, 20)));
    commit(&log, vec![record(Topic::Dlq, "k", "new", 0)]);
    assert_eq!(payloads(&log, Topic::Dlq, 0).unwrap(), ["20:new"]);
}

#[test]
fn what_a_stage_has_not_folded_stays_whatever_its_age() {
    let (_dir, log, _time) = fresh_with_clock();
    for number in 0..4 {
        commit(&log, vec![record(Topic::Events, "k", &format!("{number}"), 0)]);
    }
    assert_eq!(log.trim(1000 * DAY_MS), Ok(0));
    log.writer("account/0").unwrap().commit(&at(Topic::Events, 3)).unwrap();
    assert_eq!(log.trim(1000 * DAY_MS), Ok(3));
    assert_eq!(payloads(&log, Topic::Events, 0).unwrap(), ["3:3"]);
    log.writer("other").unwrap().commit(&at(Topic::Events, 0)).unwrap();
    log.writer("account/0").unwrap().commit(&at(Topic::Events, 4)).unwrap();
    assert_eq!(log.trim(1000 * DAY_MS), Ok(0));
}

#[test]
fn a_commit_larger_than_one_chunk_is_trimmed_whole() {
    let (_dir, log, _time) = fresh_with_clock();
    let payload = "x".repeat(1000);
    commit(&log, (0..1000).map(|_| record(Topic::Audit, "k", &payload, 0)).collect());
    assert_eq!(log.trim(1000 * DAY_MS), Ok(1000));
    assert_eq!(log.bounds(Topic::Audit, 0), Ok((1000, 1000)));
}

#[test]
fn a_compacted_topic_keeps_only_the_latest_record_of_a_key() {
    let (_dir, log, _time) = fresh_with_clock();
    commit(
        &log,
        vec![
            record(Topic::StateAccount, "a", "a1", 1),
            record(Topic::StateAccount, "b", "b1", 1),
            record(Topic::StateAccount, "a", "a2", 1),
        ],
    );
    commit(&log, vec![record(Topic::StateAccount, "c", "c1", 1)]);
    commit(&log, vec![record(Topic::StateAccount, "b", "b2", 1)]);
    assert_eq!(payloads(&log, Topic::StateAccount, 0).unwrap(), ["2:a2", "3:c1", "4:b2"]);
    assert_eq!(payloads(&log, Topic::StateAccount, 3).unwrap(), ["3:c1", "4:b2"]);
    assert_eq!(log.bounds(Topic::StateAccount, 0), Ok((0, 5)));
}

#[test]
fn a_tombstone_is_seen_for_a_day_and_leaves_nothing() {
    let (_dir, log, time) = fresh_with_clock();
    commit(&log, vec![record(Topic::StateAccount, "a", "a1", 0), record(Topic::StateAccount, "b", "b1", 0)]);
    let mut tombstone = record(Topic::StateAccount, "b", "", 0);
    tombstone.payload = None;
    time.store(DAY_MS, Ordering::SeqCst);
    commit(&log, vec![tombstone]);
    assert_eq!(log.trim(2 * DAY_MS), Ok(0));
    assert_eq!(payloads(&log, Topic::StateAccount, 0).unwrap(), ["0:a1", "2:gone"]);
    assert_eq!(log.trim(2 * DAY_MS + 1), Ok(1));
    assert_eq!(payloads(&log, Topic::StateAccount, 0).unwrap(), ["0:a1"]);

    // A reader passes over the gap at the end instead of waiting before it for ever.
    let mut reader = log.reader(&[Position { topic: Topic::StateAccount, partition: 0, next: 1 }]).unwrap();
    assert_eq!(reader.wait(Duration::ZERO), Ok(false));
    assert_eq!(reader.next(0), 3);
}

#[test]
fn a_key_that_came_back_outlives_its_tombstone() {
    let (_dir, log, _time) = fresh_with_clock();
    let mut tombstone = record(Topic::StateAccount, "a", "", 0);
    tombstone.payload = None;
    commit(&log, vec![tombstone]);
    commit(&log, vec![record(Topic::StateAccount, "a", "back", 0)]);
    assert_eq!(log.trim(1000 * DAY_MS), Ok(0));
    assert_eq!(payloads(&log, Topic::StateAccount, 0).unwrap(), ["1:back"]);
}

#[test]
fn a_topic_that_is_compacted_and_deleted_forgets_old_keys() {
    let (_dir, log, time) = fresh_with_clock();
    commit(&log, vec![record(Topic::Identities, "a", "old", 0)]);
    time.store(90 * DAY_MS, Ordering::SeqCst);
    commit(&log, vec![record(Topic::Identities, "b", "new", 0)]);
    assert_eq!(log.trim(91 * DAY_MS), Ok(1));
    assert_eq!(payloads(&log, Topic::Identities, 0).unwrap(), ["1:new"]);
    commit(&log, vec![record(Topic::Identities, "a", "again", 0)]);
    assert_eq!(payloads(&log, Topic::Identities, 0).unwrap(), ["1:new", "2:again"]);
}

#[test]
fn how_an_account_stands_is_kept_until_a_tombstone_takes_it_back_and_then_leaves_nothing() {
    let (_dir, log, time) = fresh_with_clock();
    commit(
        &log,
        vec![record(Topic::Standing, "a", "suspended", 0), record(Topic::Standing, "b", "limited", 0)],
    );
    time.store(400 * DAY_MS, Ordering::SeqCst);
    let tombstone = Output { payload: None, ..record(Topic::Standing, "b", "", 0) };
    commit(&log, vec![tombstone]);
    log.trim(401 * DAY_MS + 1).unwrap();
    assert_eq!(payloads(&log, Topic::Standing, 0).unwrap(), ["0:suspended"]);
}
