//! A disk that fails at every point of a commit in turn.

use super::super::open::{builder, open_with};
use super::super::store::Opener;
use super::*;
use crate::embedded::Shared;
use redb::StorageBackend;
use redb::backends::FileBackend;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

/// What the disk still takes.
#[derive(Debug)]
struct Budget {
    bytes: AtomicI64,
    syncs: AtomicI64,
}

impl Budget {
    fn endless() -> Arc<Self> {
        Arc::new(Self { bytes: AtomicI64::new(i64::MAX), syncs: AtomicI64::new(i64::MAX) })
    }

    fn set(&self, bytes: i64, syncs: i64) {
        self.bytes.store(bytes, Ordering::SeqCst);
        self.syncs.store(syncs, Ordering::SeqCst);
    }
}

/// A file on a disk with a budget. A write that does not fit is done in part, as by a real disk.
#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    budget: Arc<Budget>,
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.budget.syncs.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(io::Error::other("sync failed"));
        }
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let length = data.len() as i64;
        let left = self.budget.bytes.fetch_sub(length, Ordering::SeqCst);
        if left >= length {
            return self.file.write(offset, data);
        }
        self.file.write(offset, &data[..left.max(0) as usize])?;
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }
}

fn open_on(dir: &Path, budget: Arc<Budget>) -> EmbeddedLog {
    let path = dir.join("log.redb");
    let opener: Opener = Box::new(move || {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
        builder().create_with_backend(Faulty { file: FileBackend::new(file)?, budget: budget.clone() })
    });
    let shared: Shared = open_with(dir, Some(1), opener, Box::new(|| 0)).unwrap();
    EmbeddedLog { shared: Arc::new(shared) }
}

/// Commits over two topics while the disk takes only so much, and checks that all of it is there or
/// nothing, at once, after the fault, and in the directory.
fn commit_on_a_failing_disk(bytes: i64, syncs: i64) -> Result<(), LogError> {
    let dir = tempfile::tempdir().unwrap();
    let budget = Budget::endless();
    let log = open_on(dir.path(), budget.clone());
    commit(&log, vec![record(Topic::Events, "k", "before", 1)]);
    let payload = "x".repeat(30_000);
    let outputs = vec![
        record(Topic::Events, "k", &payload, 1),
        record(Topic::StateAccount, "a", &payload, 1),
        record(Topic::Events, "k", &payload, 1),
    ];
    let positions = vec![Position { topic: Topic::Control, partition: 0, next: 1 }];
    let mut writer = log.writer("w").unwrap();

    budget.set(bytes, syncs);
    let outcome = writer.commit(&Commit { outputs, positions });
    budget.set(i64::MAX, i64::MAX);

    let is_there = payloads(&log, Topic::Events, 0).unwrap().len() == 3;
    match &outcome {
        Ok(()) => assert!(is_there),
        Err(LogError::Storage { .. }) => assert!(!is_there),
        Err(LogError::Indefinite { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    let (end, state) = if is_there { (3, 1) } else { (1, 0) };
    let check = |log: &EmbeddedLog, end: i64| {
        assert_eq!(log.bounds(Topic::Events, 0), Ok((0, end)));
        assert_eq!(payloads(log, Topic::Events, 0).unwrap().len() as i64, end);
        assert_eq!(payloads(log, Topic::StateAccount, 0).unwrap().len(), state);
        assert_eq!(log.positions().unwrap().contains_key("w"), state == 1);
    };
    check(&log, end);
    commit(&log, vec![record(Topic::Events, "k", "after", 1)]);
    check(&log, end + 1);
    drop((log, writer));
    check(&EmbeddedLog::open(dir.path(), 1).unwrap(), end + 1);
    outcome
}

#[test]
fn a_full_disk_loses_nothing_and_shows_nothing_half() {
    let outcomes: Vec<bool> =
        (0..60).map(|step| commit_on_a_failing_disk(step * 4096 + step % 7, i64::MAX).is_ok()).collect();
    // The first writes fail, and the last have room: every point between them was met.
    assert!(!outcomes[0] && outcomes[59], "{outcomes:?}");
}

#[test]
fn a_sync_that_fails_loses_nothing_and_shows_nothing_half() {
    let outcomes: Vec<bool> = (0..6).map(|syncs| commit_on_a_failing_disk(i64::MAX, syncs).is_ok()).collect();
    assert!(!outcomes[0] && outcomes[5], "{outcomes:?}");
}

#[test]
fn a_disk_that_stays_full_can_still_be_read_and_says_so_to_every_writer() {
    let dir = tempfile::tempdir().unwrap();
    let budget = Budget::endless();
    let log = open_on(dir.path(), budget.clone());
    commit(&log, vec![record(Topic::Events, "k", "before", 1)]);
    let one = Commit { outputs: vec![record(Topic::Events, "k", "one", 1)], positions: Vec::new() };
    let mut writer = log.writer("w").unwrap();
    // Room for the few pages that are needed to open the database again, none for a commit.
    for _ in 0..3 {
        budget.set(4096, i64::MAX);
        let error = writer.commit(&one).unwrap_err();
        assert!(matches!(error, LogError::Storage { .. } | LogError::Indefinite { .. }), "{error}");
    }
    budget.set(i64::MAX, i64::MAX);
    assert_eq!(payloads(&log, Topic::Events, 0).unwrap(), ["0:before"]);
    writer.commit(&one).unwrap();
    assert_eq!(payloads(&log, Topic::Events, 0).unwrap(), ["0:before", "1:one"]);
}
