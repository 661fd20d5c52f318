//! Topics in which only the latest record of a key counts. When the others go is the backend's
//! business; that the latest stays, and in which order, is not.

use super::*;
use crate::backend::Backend;
use std::collections::BTreeMap;

/// The last word on each key, with its offset, as a restarting stage folds it.
fn latest(log: &dyn Log) -> BTreeMap<String, (i64, Option<String>)> {
    let records = all(log, Topic::StateAccount, 0);
    let offsets: Vec<i64> = records.iter().map(|record| record.offset).collect();
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    records.iter().map(|record| (text(record.key), (record.offset, record.payload.map(text)))).collect()
}

pub fn a_compacted_topic_keeps_the_latest_of_each_key_in_order(backend: impl Backend) {
    let fresh = backend.fresh(1);
    let mut writer = fresh.log.writer("w").unwrap();
    for round in 0..30 {
        // Some keys twice in one commit, some only now and then.
        let keys = (0..20).filter(|key| round % (key % 3 + 1) == 0).chain([7]);
        let one = |key: i32| text(Topic::StateAccount, &format!("k{key}"), &format!("{round}"));
        writer.commit(&commit(keys.map(one).collect())).unwrap();
    }
    let latest = latest(&*fresh.log);
    assert_eq!(latest.len(), 20);
    for key in 0..20 {
        let last = (0..30).rev().find(|round| round % (key % 3 + 1) == 0 || key == 7).unwrap();
        assert_eq!(latest[&format!("k{key}")].1, Some(last.to_string()), "k{key}");
    }
    // Records that were written last are read last.
    let newest = latest.values().max_by_key(|(offset, _)| offset).unwrap();
    assert_eq!(newest.1, Some("29".to_owned()));
}

pub fn a_tombstone_is_the_last_word_on_its_key(backend: impl Backend) {
    let fresh = backend.fresh(1);
    let mut tombstone = text(Topic::StateAccount, "a", "");
    tombstone.payload = None;
    write(&*fresh.log, vec![text(Topic::StateAccount, "a", "1"), text(Topic::StateAccount, "b", "1")]);
    write(&*fresh.log, vec![tombstone.clone()]);
    let payload = |key: &str| latest(&*fresh.log).remove(key).and_then(|(_, payload)| payload);
    assert_eq!((payload("a"), payload("b")), (None, Some("1".into())));
    write(&*fresh.log, vec![text(Topic::StateAccount, "a", "back")]);
    assert_eq!(payload("a"), Some("back".into()));
}
