//! What a commit shows, and when.

use super::*;
use crate::backend::Backend;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;
use weir_topology::log::LogError;

pub fn a_commit_is_seen_in_every_topic_and_partition_at_once(backend: impl Backend) {
    let fresh = backend.fresh(3);
    let spread = [(Topic::Events, 0), (Topic::Events, 2), (Topic::Verdicts, 1), (Topic::StateAccount, 2)];
    let mut writer = fresh.log.writer("w").unwrap();
    for round in 0..5 {
        let one = |(topic, partition)| {
            text(topic, &format!("{round}"), &format!("{round}")).in_partition(partition)
        };
        writer.commit(&commit(spread.into_iter().map(one).collect())).unwrap();
    }
    for (topic, partition) in spread {
        assert_eq!(payloads(&*fresh.log, topic, partition), ["0", "1", "2", "3", "4"], "{topic}/{partition}");
    }
    assert!(all(&*fresh.log, Topic::Events, 1).is_empty());
}

pub fn an_empty_commit_changes_nothing(backend: impl Backend) {
    let fresh = backend.fresh(1);
    write(&*fresh.log, vec![text(Topic::Events, "k", "one")]);
    write(&*fresh.log, Vec::new());
    assert_eq!(payloads(&*fresh.log, Topic::Events, 0), ["one"]);
}

pub fn a_writer_that_is_dropped_leaves_nothing(backend: impl Backend) {
    let fresh = backend.fresh(1);
    drop(fresh.log.writer("w").unwrap());
    assert!(all(&*fresh.log, Topic::Events, 0).is_empty());
    write(&*fresh.log, vec![text(Topic::Events, "k", "one")]);
    assert_eq!(payloads(&*fresh.log, Topic::Events, 0), ["one"]);
}

pub fn a_second_writer_of_a_name_fences_the_first(backend: impl Backend) {
    let fresh = backend.fresh(1);
    let mut old = fresh.log.writer("w").unwrap();
    old.commit(&commit(vec![text(Topic::Events, "k", "old")])).unwrap();
    let mut new = fresh.log.writer("w").unwrap();
    let late = commit(vec![text(Topic::Events, "k", "late"), text(Topic::Verdicts, "k", "late")]);
    assert_eq!(old.commit(&late), Err(LogError::Fenced { writer: "w".into() }));
    new.commit(&commit(vec![text(Topic::Events, "k", "new")])).unwrap();
    // It stays fenced, and takes nothing from the one that came after it.
    assert_eq!(old.commit(&late), Err(LogError::Fenced { writer: "w".into() }));
    new.commit(&commit(vec![text(Topic::Events, "k", "newer")])).unwrap();
    assert_eq!(payloads(&*fresh.log, Topic::Events, 0), ["old", "new", "newer"]);
    assert!(all(&*fresh.log, Topic::Verdicts, 0).is_empty());
}

pub fn writers_of_different_names_do_not_fence_each_other(backend: impl Backend) {
    let fresh = backend.fresh(1);
    let mut one = fresh.log.writer("one").unwrap();
    let mut two = fresh.log.writer("two").unwrap();
    one.commit(&commit(vec![text(Topic::Events, "k", "1")])).unwrap();
    two.commit(&commit(vec![text(Topic::Events, "k", "2")])).unwrap();
    one.commit(&commit(vec![text(Topic::Events, "k", "3")])).unwrap();
    assert_eq!(payloads(&*fresh.log, Topic::Events, 0), ["1", "2", "3"]);
}

/// Each writer gives each of its commits one record in either partition. A reader that watches sees
/// every writer's commits in order, and in the end each is in both partitions or none.
pub fn writers_at_the_same_time_are_each_atomic_and_in_order(backend: impl Backend) {
    const WRITERS: usize = 4;
    const COMMITS: usize = 15;
    let fresh = backend.fresh(2);
    let log = &*fresh.log;
    thread::scope(|scope| {
        for name in 0..WRITERS {
            scope.spawn(move || {
                let mut writer = log.writer(&format!("w{name}")).unwrap();
                for number in 0..COMMITS {
                    let key = format!("w{name}");
                    let one =
                        |partition| text(Topic::Events, &key, &format!("{number}")).in_partition(partition);
                    writer.commit(&commit(vec![one(0), one(1)])).unwrap();
                }
            });
        }
        let mut reader = log.reader(&[at(Topic::Events, 0, 0)]).unwrap();
        let mut seen = Records::default();
        while seen.len() < WRITERS * COMMITS {
            assert!(reader.wait(Duration::from_secs(30)).unwrap(), "{} records", seen.len());
            reader.take(0, 7, usize::MAX, &mut seen).unwrap();
        }
        assert_each_in_order(&seen, WRITERS, COMMITS);
    });
    for partition in 0..2 {
        assert_each_in_order(&all(log, Topic::Events, partition), WRITERS, COMMITS);
    }
}

fn assert_each_in_order(records: &Records, writers: usize, commits: usize) {
    let mut by_writer: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    for (record, text) in records.iter().zip(texts(records)) {
        by_writer.entry(record.key.to_vec()).or_default().push(text);
    }
    let expected: Vec<String> = (0..commits).map(|number| number.to_string()).collect();
    assert_eq!(by_writer.len(), writers);
    assert!(by_writer.values().all(|found| *found == expected), "{by_writer:?}");
}
