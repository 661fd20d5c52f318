use super::super::store::commits;
use super::super::write::Bounds;
use super::*;
use std::thread;
use std::time::Duration;

/// Runs `meanwhile` while nobody else can write.
fn while_a_write_lasts(log: &EmbeddedLog, meanwhile: impl FnOnce()) {
    let write = || {
        meanwhile();
        Ok(((), Bounds::new()))
    };
    log.shared.group.exclusively(write).unwrap();
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn commits_that_arrive_during_a_write_go_to_disk_in_one_transaction() {
    let (_dir, log) = fresh(8);
    let writers: Vec<_> = (0..8).map(|partition| log.writer(&format!("w{partition}")).unwrap()).collect();
    let before = log.shared.store.read(commits).unwrap();
    thread::scope(|scope| {
        while_a_write_lasts(&log, || {
            for (partition, mut writer) in (0..).zip(writers) {
                let output = record(Topic::Events, "k", "one", 1).in_partition(partition);
                let commit = Commit { outputs: vec![output], positions: Vec::new() };
                scope.spawn(move || writer.commit(&commit).unwrap());
            }
            until(|| log.shared.group.waiting() == 8);
        });
    });
    for partition in 0..8 {
        assert_eq!(log.bounds(Topic::Events, partition), Ok((0, 1)));
    }
    assert_eq!(log.shared.store.read(commits).unwrap(), before + 1);
}

#[test]
fn a_commit_that_waits_is_fenced_by_a_new_writer() {
    let (_dir, log) = fresh(1);
    let mut old = log.writer("w").unwrap();
    thread::scope(|scope| {
        let mut waits = None;
        while_a_write_lasts(&log, || {
            waits = Some(scope.spawn(|| {
                let outputs = vec![record(Topic::Events, "k", "old", 1)];
                old.commit(&Commit { outputs, positions: Vec::new() })
            }));
            until(|| log.shared.group.waiting() == 1);
            scope.spawn(|| log.writer("w").map(drop));
            until(|| log.shared.group.generation("w") == 2);
        });
        let outcome = waits.unwrap().join().unwrap();
        assert_eq!(outcome, Err(LogError::Fenced { writer: "w".into() }));
    });
    assert_eq!(payloads(&log, Topic::Events, 0).unwrap(), Vec::<String>::new());
}
