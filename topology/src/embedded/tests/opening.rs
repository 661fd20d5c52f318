use super::super::layout::{META, META_FORMAT};
use super::super::open::builder;
use super::*;
use crate::embedded::OpenError;
use expect_test::{Expect, expect};
use std::os::unix::fs::PermissionsExt;

fn check(result: Result<Arc<EmbeddedLog>, OpenError>, dir: &std::path::Path, expected: Expect) {
    let message = result.unwrap_err().to_string();
    let message = message.replace(&dir.display().to_string(), "DIR");
    expected.assert_eq(&message.replace(&std::process::id().to_string(), "PID"));
}

#[test]
fn a_log_keeps_its_records_and_positions_when_it_is_closed() {
    let (dir, log) = fresh(4);
    let position = Position { topic: Topic::Control, partition: 0, next: 7 };
    let outputs = vec![record(Topic::Events, "k", "one", 1)];
    log.writer("w").unwrap().commit(&Commit { outputs, positions: vec![position] }).unwrap();
    drop(log);
    let log = EmbeddedLog::open_existing(dir.path()).unwrap();
    assert_eq!(log.partitions(Topic::Events), Ok(4));
    assert_eq!(payloads(&log, Topic::Events, 0).unwrap(), ["0:one"]);
    assert_eq!(log.bounds(Topic::Events, 0), Ok((0, 1)));
    assert_eq!(log.positions().unwrap()["w"], [position]);
}

#[test]
fn only_the_owner_may_enter_the_directory() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data");
    let _log = EmbeddedLog::open(&dir, 1).unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for file in std::fs::read_dir(&dir).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn a_directory_that_is_in_use_says_by_whom() {
    let (dir, _log) = fresh(1);
    check(
        EmbeddedLog::open(dir.path(), 1),
        dir.path(),
        expect!["DIR is in use by process PID: stop that first, or use another directory"],
    );
}

#[test]
fn another_partition_count_is_refused() {
    let (dir, log) = fresh(4);
    drop(log);
    check(
        EmbeddedLog::open(dir.path(), 8),
        dir.path(),
        expect!["DIR has 4 partitions, not 8: use 4, or another directory"],
    );
    check(EmbeddedLog::open(dir.path(), 0), dir.path(), expect!["a log has 1 to 1024 partitions, not 0"]);
}

#[test]
fn a_log_that_must_exist_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    check(
        EmbeddedLog::open_existing(dir.path()),
        dir.path(),
        expect!["DIR holds no log: is it the data directory of a run or an import?"],
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_newer_format_is_refused() {
    let (dir, log) = fresh(1);
    drop(log);
    let database = builder().open(dir.path().join("log.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert(META_FORMAT, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    check(
        EmbeddedLog::open_existing(dir.path()),
        dir.path(),
        expect!["DIR has format 2; this Weir knows up to 1: use a newer one"],
    );
}

#[test]
fn a_file_that_is_no_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("log.redb"), "not a database").unwrap();
    let error = EmbeddedLog::open(dir.path(), 1).unwrap_err();
    assert!(matches!(error, OpenError::Database { .. }), "{error}");
}

#[test]
fn a_crash_while_the_log_is_made_leaves_a_directory_that_opens() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("log.redb.new"), "half a database").unwrap();
    let log = EmbeddedLog::open(dir.path(), 1).unwrap();
    commit(&log, vec![record(Topic::Events, "k", "one", 1)]);
    assert_eq!(payloads(&log, Topic::Events, 0).unwrap(), ["0:one"]);
}
