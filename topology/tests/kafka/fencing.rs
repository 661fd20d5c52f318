//! Writers: one at a time, all or nothing.

use crate::support::{deploy, event, write};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::Producer;
use std::sync::mpsc;
use std::time::Duration;
use weir_topology::log::{Commit, Log, LogError};
use weir_topology::topic::Topic;

#[test]
fn a_fenced_zombie_cannot_commit() {
    let Some(deployment) = deploy(1) else { return };
    let mut zombie = deployment.log.writer("account/0").unwrap();
    write(&mut *zombie, vec![event(0, "before")]).unwrap();
    let mut owner = deployment.log.writer("account/0").unwrap();
    let fenced = LogError::Fenced { writer: "account/0".into() };
    assert_eq!(write(&mut *zombie, vec![event(0, "zombie")]), Err(fenced.clone()));
    write(&mut *owner, vec![event(0, "owner")]).unwrap();
    assert_eq!(write(&mut *zombie, vec![event(0, "again")]), Err(fenced));
    assert_eq!(deployment.visible(Topic::Events, 0), ["before", "owner"]);
}

#[test]
fn writers_of_other_names_do_not_fence_each_other() {
    let Some(deployment) = deploy(1) else { return };
    let mut writers = ["account/0", "account/1"].map(|name| deployment.log.writer(name).unwrap());
    for round in ["1", "2"] {
        for writer in &mut writers {
            write(&mut **writer, vec![event(0, round)]).unwrap();
        }
    }
    assert_eq!(deployment.visible(Topic::Events, 0), ["1", "1", "2", "2"]);
}

#[test]
fn a_takeover_aborts_the_dead_producers_transaction_at_once() {
    let Some(deployment) = deploy(1) else { return };
    let dead = deployment.open_transaction("account/0", Topic::Events, 0, 3);
    let ends = || {
        ["read_committed", "read_uncommitted"].map(|isolation| {
            let client: BaseConsumer =
                deployment.client().set("isolation.level", isolation).create().unwrap();
            let name = deployment.config.topic_name(Topic::Events);
            client.fetch_watermarks(&name, 0, Duration::from_secs(10)).unwrap().1
        })
    };
    assert_eq!(ends(), [0, 3], "the dead producer's transaction is open");
    let mut owner = deployment.log.writer("account/0").unwrap();
    // Its time-out is a minute: only the takeover can have ended it.
    assert_eq!(ends(), [4, 4], "three records and the marker of the abort");
    write(&mut *owner, vec![event(0, "owner")]).unwrap();
    assert_eq!(deployment.visible(Topic::Events, 0), ["owner"]);
    drop(dead);
}

#[test]
fn aborted_records_are_never_visible() {
    let Some(deployment) = deploy(1) else { return };
    let mut writer = deployment.log.writer("account/0").unwrap();
    write(&mut *writer, vec![event(0, "first")]).unwrap();
    let other = deployment.open_transaction("other", Topic::Events, 0, 5);
    other.abort_transaction(Duration::from_secs(10)).unwrap();
    write(&mut *writer, vec![event(0, "second")]).unwrap();
    let last = deployment.open_transaction("last", Topic::Events, 0, 5);
    last.abort_transaction(Duration::from_secs(10)).unwrap();
    assert_eq!(deployment.visible(Topic::Events, 0), ["first", "second"]);
}

#[test]
fn a_commit_that_the_broker_refuses_leaves_nothing_and_the_writer_goes_on() {
    let Some(deployment) = deploy(1) else { return };
    deployment.set(Topic::Links, "max.message.bytes", "2000");
    let mut writer = deployment.log.writer("account/0").unwrap();
    let noise: Vec<u8> = (0..20_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut large = event(0, "");
    (large.topic, large.payload) = (Topic::Links, Some(noise));
    let outcome = write(&mut *writer, vec![event(0, "refused"), large]);
    assert!(matches!(outcome, Err(LogError::Aborted { .. })), "{outcome:?}");
    write(&mut *writer, vec![event(0, "accepted")]).unwrap();
    assert_eq!(deployment.visible(Topic::Events, 0), ["accepted"]);
    assert_eq!(deployment.visible(Topic::Links, 0), Vec::<String>::new());
}

#[test]
fn bounds_wait_for_a_transaction_that_was_open() {
    let Some(deployment) = deploy(1) else { return };
    let other = deployment.open_transaction("other", Topic::Events, 0, 3);
    let (told, heard) = mpsc::channel();
    let log = deployment.log.clone();
    let asked = std::thread::spawn(move || told.send(log.bounds(Topic::Events, 0)));
    assert!(heard.recv_timeout(Duration::from_millis(500)).is_err(), "the end is not known yet");
    other.commit_transaction(Duration::from_secs(10)).unwrap();
    assert_eq!(heard.recv_timeout(Duration::from_secs(10)).unwrap(), Ok((0, 3)));
    asked.join().unwrap().unwrap();
    assert_eq!(deployment.visible(Topic::Events, 0), ["open", "open", "open"]);
}

#[test]
fn a_writer_does_not_write_where_a_transaction_is_left_open() {
    let Some(deployment) = deploy(1) else { return };
    let mut writer = deployment.log.writer("account/0").unwrap();
    let other = deployment.open_transaction("other", Topic::Events, 0, 1);
    std::thread::scope(|scope| {
        let commit = scope.spawn(|| write(&mut *writer, vec![event(0, "after")]));
        std::thread::sleep(Duration::from_millis(500));
        assert!(!commit.is_finished(), "the commit waits");
        other.abort_transaction(Duration::from_secs(10)).unwrap();
        commit.join().unwrap().unwrap();
    });
    assert_eq!(deployment.visible(Topic::Events, 0), ["after"]);
}

#[test]
fn a_commit_is_atomic_over_topics_and_partitions() {
    let Some(deployment) = deploy(2) else { return };
    let mut writer = deployment.log.writer("account/0").unwrap();
    let mut epoch = event(1, "epoch");
    epoch.topic = Topic::Epochs;
    write(&mut *writer, vec![event(0, "a"), event(1, "b"), epoch]).unwrap();
    assert_eq!(deployment.visible(Topic::Events, 0), ["a"]);
    assert_eq!(deployment.visible(Topic::Events, 1), ["b"]);
    assert_eq!(deployment.visible(Topic::Epochs, 1), ["epoch"]);
}

#[test]
fn what_cannot_be_written_is_told_before_anything_is() {
    let Some(deployment) = deploy(1) else { return };
    let mut writer = deployment.log.writer("account/0").unwrap();
    let outcome = write(&mut *writer, vec![event(0, "fine"), event(9, "nowhere")]);
    assert_eq!(outcome, Err(LogError::Missing { topic: "weir.events", partition: 9 }));
    let mut large = event(0, "");
    large.payload = Some(vec![0; 1_000_001]);
    let outcome = writer.commit(&Commit { outputs: vec![event(0, "fine"), large], positions: Vec::new() });
    assert!(matches!(outcome, Err(LogError::TooLarge { .. })), "{outcome:?}");
    assert_eq!(deployment.visible(Topic::Events, 0), Vec::<String>::new());
}

#[test]
fn the_largest_record_is_written_and_read() {
    let Some(deployment) = deploy(1) else { return };
    let mut writer = deployment.log.writer("account/0").unwrap();
    let mut large = event(0, "");
    large.payload = Some((0..999_997u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect());
    let expected = String::from_utf8_lossy(large.payload.as_deref().unwrap_or_default()).into_owned();
    write(&mut *writer, vec![large]).unwrap();
    assert!(deployment.visible(Topic::Events, 0) == [expected]);
}
