//! A disk that fails at every point of a commit in turn.

use super::super::open::{builder, open_with};
use super::super::store::Opener;
use super::*;
use crate::embedded::Shared;
use redb::StorageBackend;
use redb::backends::FileBackend;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Mutex;

const BLOCK: u64 = 4096;

/// What the disk still takes: so many new blocks and so many syncs, before so many syncs fail.
#[derive(Debug, Default)]
struct Disk(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Blocks that the file has. As on a real disk, to write them again needs no room.
    owned: BTreeSet<u64>,
    room: Option<usize>,
    syncs: usize,
    failing_syncs: usize,
}

impl Disk {
    fn has_room_for(&self, blocks: usize) {
        self.0.lock().unwrap().room = Some(blocks);
    }

    fn fails_to_sync(&self, after: usize, times: usize) {
        let mut state = self.0.lock().unwrap();
        (state.syncs, state.failing_syncs) = (after, times);
    }

    fn is_well(&self) {
        let mut state = self.0.lock().unwrap();
        (state.room, state.failing_syncs) = (None, 0);
    }
}

/// A file on such a disk. A write that does not fit is done in part.
#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    disk: Arc<Disk>,
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
        let mut state = self.disk.0.lock().unwrap();
        if state.failing_syncs > 0 {
            if state.syncs == 0 {
                state.failing_syncs -= 1;
                return Err(io::Error::other("the disk does not answer"));
            }
            state.syncs -= 1;
        }
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        for block in offset / BLOCK..(offset + data.len() as u64).div_ceil(BLOCK) {
            if state.owned.contains(&block) {
                continue;
            }
            match &mut state.room {
                Some(0) => {
                    let fits = (block * BLOCK).saturating_sub(offset) as usize;
                    self.file.write(offset, &data[..fits])?;
                    return Err(io::Error::from(io::ErrorKind::StorageFull));
                }
                Some(room) => *room -= 1,
                None => {}
            }
            state.owned.insert(block);
        }
        self.file.write(offset, data)
    }
}

fn open_on(dir: &Path, disk: &Arc<Disk>) -> EmbeddedLog {
    let path = dir.join("log.redb");
    let disk = disk.clone();
    let opener: Opener = Box::new(move || {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
        let file = FileBackend::new(file)?;
        builder().create_with_backend(Faulty { file, disk: disk.clone() })
    });
    let shared: Shared = open_with(dir, Some(1), opener, Box::new(|| 0)).unwrap();
    EmbeddedLog { shared: Arc::new(shared) }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Refused,
    UnknownAndThere,
    UnknownAndNotThere,
}

/// Commits over two topics while the disk has this fault, and checks that all of it is there or
/// nothing, at once, after the fault, and when the directory is opened again.
fn commit_on_a_disk(fault: impl Fn(&Disk)) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::<Disk>::default();
    let log = open_on(dir.path(), &disk);
    commit(&log, vec![record(Topic::Events, "k", "before", 1)]);
    let payload = "x".repeat(30_000);
    let outputs = vec![
        record(Topic::Events, "k", &payload, 1),
        record(Topic::StateAccount, "a", &payload, 1),
        record(Topic::Events, "k", &payload, 1),
    ];
    let positions = vec![Position { topic: Topic::Control, partition: 0, next: 1 }];
    let mut writer = log.writer("w").unwrap();

    fault(&disk);
    let result = writer.commit(&Commit { outputs, positions });
    disk.is_well();

    let is_there = payloads(&log, Topic::Events, 0).unwrap().len() == 3;
    let outcome = match (result, is_there) {
        (Ok(()), true) => Outcome::Done,
        (Err(LogError::Storage { .. }), false) => Outcome::Refused,
        (Err(LogError::Indefinite { .. }), true) => Outcome::UnknownAndThere,
        (Err(LogError::Indefinite { .. }), false) => Outcome::UnknownAndNotThere,
        (result, is_there) => panic!("{result:?}, but there: {is_there}"),
    };
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
fn a_full_disk_refuses_the_commit_and_nothing_else() {
    let outcomes: Vec<Outcome> =
        (0..60).map(|blocks| commit_on_a_disk(|disk| disk.has_room_for(blocks))).collect();
    // At first there is no room, in the end enough; between them each block of the commit was the last.
    let room = outcomes.iter().position(|outcome| *outcome == Outcome::Done).unwrap();
    assert!(room > 10, "{outcomes:?}");
    assert!(outcomes[..room].iter().all(|outcome| *outcome == Outcome::Refused), "{outcomes:?}");
    assert!(outcomes[room..].iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
}

#[test]
fn a_commit_whose_sync_failed_is_not_called_done_even_if_it_is_there() {
    let once = commit_on_a_disk(|disk| disk.fails_to_sync(0, 1));
    assert_eq!(once, Outcome::UnknownAndThere);
    let later = commit_on_a_disk(|disk| disk.fails_to_sync(1, 1));
    assert_eq!(later, Outcome::Done);
}

#[test]
fn a_disk_that_does_not_answer_leaves_the_outcome_open_until_it_does() {
    let outcome = commit_on_a_disk(|disk| disk.fails_to_sync(0, usize::MAX));
    assert!(matches!(outcome, Outcome::UnknownAndThere | Outcome::UnknownAndNotThere), "{outcome:?}");
}

#[test]
fn a_disk_that_stays_full_is_read_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::<Disk>::default();
    let log = open_on(dir.path(), &disk);
    commit(&log, vec![record(Topic::Events, "k", "before", 1)]);
    let one =
        Commit { outputs: vec![record(Topic::Events, "k", &"x".repeat(99_000), 1)], ..Commit::default() };
    let mut writer = log.writer("w").unwrap();
    disk.has_room_for(1);
    for _ in 0..3 {
        let error = writer.commit(&one).unwrap_err();
        assert!(matches!(error, LogError::Storage { .. }), "{error}");
        assert_eq!(payloads(&log, Topic::Events, 0).unwrap(), ["0:before"]);
    }
    disk.is_well();
    writer.commit(&one).unwrap();
    assert_eq!(payloads(&log, Topic::Events, 0).unwrap().len(), 2);
}
