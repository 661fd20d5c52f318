use super::*;
use proptest::prelude::*;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::sync::Mutex;
use tempfile::TempDir;

const NOW: Duration = Duration::ZERO;

fn config(directory: &Path, run: u8) -> SpoolConfig {
    SpoolConfig {
        directory: directory.join("spool"),
        source_key: "node-1/trace".into(),
        bytes_max: 1 << 30,
        sync: SyncPolicy::Never,
        run: [run; 16],
        opened_ms: 0,
    }
}

fn open(directory: &Path, run: u8) -> Spool {
    Spool::open(&config(directory, run)).unwrap()
}

fn put(spool: &mut Spool, payload: &[u8]) -> BatchId {
    spool.append(payload, NOW).unwrap()
}

/// All that is there, the oldest first, and let go of.
fn drain(spool: &mut Spool) -> Vec<(BatchId, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some(Spooled { id, payload }) = spool.first().unwrap() {
        assert_eq!(
            spool.first().unwrap().map(|again| again.id),
            Some(id),
            "it is the oldest until it is let go"
        );
        spool.let_first_go().unwrap();
        all.push((id, payload));
    }
    assert!(spool.is_empty());
    all
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join("spool")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some()).collect();
    files.sort();
    files
}

/// Bytes that differ from record to record.
fn bytes_of(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (number * 31 + at * 7) as u8).collect()
}

/// Counts, and takes so many bytes only.
#[derive(Default)]
struct TestDisk {
    room: Mutex<Option<usize>>,
    syncs: Mutex<usize>,
    sync_fails: Mutex<bool>,
}

impl Disk for TestDisk {
    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut room = self.room.lock().unwrap();
        let taken = room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if let Some(room) = &mut *room {
            *room -= taken;
        }
        MachineDisk.write_at(file, &bytes[..taken], at)?;
        match taken == bytes.len() {
            true => Ok(()),
            false => Err(io::Error::from(io::ErrorKind::StorageFull)),
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        *self.syncs.lock().unwrap() += 1;
        match *self.sync_fails.lock().unwrap() {
            true => Err(io::Error::other("a fault of the test")),
            false => MachineDisk.sync(file),
        }
    }
}

#[test]
fn what_was_appended_is_there_in_its_order_after_any_number_of_restarts() {
    let directory = TempDir::new().unwrap();
    let mut expected = Vec::new();
    for run in 1..=4 {
        let mut spool = open(directory.path(), run);
        assert_eq!(spool.id(), SpoolId([1; 16]), "it is the same spool");
        for number in 1..=3 {
            let payload = bytes_of(expected.len(), 100 * usize::from(run));
            let id = put(&mut spool, &payload);
            assert_eq!(id, BatchId { run: [run; 16], session: u64::from(run), number });
            expected.push((id, payload));
        }
        // What is read and not let go is read again.
        assert_eq!(spool.first().unwrap().map(|first| first.id), Some(expected[0].0));
    }
    let mut spool = open(directory.path(), 5);
    assert_eq!(drain(&mut spool), expected);
    assert_eq!(spool.take_damages(), []);
    // One is kept of the segments that nobody needs: it says which session was the last.
    assert_eq!(files(directory.path()).len(), 1);
    drop(spool);
    let mut spool = open(directory.path(), 6);
    assert_eq!((spool.id(), put(&mut spool, b"x").session), (SpoolId([1; 16]), 5), "of the last that wrote");
}

#[test]
fn a_segment_that_is_gone_or_cannot_be_deleted_holds_nothing_up_and_takes_its_room_while_it_is_there() {
    let directory = TempDir::new().unwrap();
    let mut ids: Vec<_> = (1..=3).map(|run| put(&mut open(directory.path(), run), b"x")).collect();
    let mut spool = open(directory.path(), 4);
    ids.push(put(&mut spool, b"x"));
    let files = files(directory.path());
    let length = spool.segments[0].end;
    assert_eq!(spool.bytes(), 4 * length);
    // Somebody moved the first away, and where the second was there is what is no file.
    files[..2].iter().for_each(|file| fs::remove_file(file).unwrap());
    fs::create_dir(&files[1]).unwrap();
    let read = |spool: &mut Spool| {
        let id = spool.first().unwrap().map(|first| first.id);
        spool.let_first_go().unwrap();
        id
    };
    assert_eq!([read(&mut spool), read(&mut spool)], [Some(ids[0]), Some(ids[1])]);
    assert_eq!(spool.bytes(), 3 * length);
    let faults = spool.take_faults();
    let sentence = format!("{} cannot be deleted: ", files[1].display());
    assert!(faults.len() == 1 && faults[0].starts_with(&sentence), "{faults:?}");
    // It is tried again with the next one.
    fs::remove_dir(&files[1]).unwrap();
    assert_eq!([read(&mut spool), read(&mut spool)], [Some(ids[2]), Some(ids[3])]);
    assert!(spool.is_empty() && !files[2].exists() && spool.take_faults().is_empty());
    assert_eq!(spool.bytes(), length);
}

#[test]
fn only_the_owner_may_look_at_it() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(directory.path(), 1);
    put(&mut spool, b"x");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory.path().join("spool")), 0o700);
    let modes: Vec<_> = fs::read_dir(directory.path().join("spool"))
        .unwrap()
        .map(|entry| mode(&entry.unwrap().path()))
        .collect();
    assert_eq!(modes, [0o600, 0o600]);
}

#[test]
fn a_directory_that_others_own_or_may_enter_is_refused_in_a_sentence_and_left_as_it_is() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("spool");
    let refused =
        |config: &SpoolConfig| Spool::open(config).err().map(|error| error.to_string()).unwrap_or_default();
    fs::create_dir(&path).unwrap();
    // One that holds nothing else is taken from them.
    let empty = directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::set_permissions(&empty, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(refused(&SpoolConfig { directory: empty.clone(), ..config(directory.path(), 1) }), "");
    assert_eq!(fs::metadata(&empty).unwrap().permissions().mode() & 0o777, 0o700);
    fs::write(path.join("theirs"), "").unwrap();
    for mode in [0o777, 0o750, 0o701] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let said = refused(&config(directory.path(), 1));
        let sentence = format!(
            "the spool's directory {} is of mode {mode:o}, so that others may enter it: take that from them (chmod 700)",
            path.display()
        );
        assert!(said.starts_with(&sentence), "{said}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    // Who is not root cannot give it away; root's own is another user's then.
    let ours = rustix::process::geteuid().as_raw();
    let (other, theirs) = match ours {
        0 => {
            chown(&path, Some(4_711), None).unwrap();
            (path.clone(), 4_711)
        }
        _ => (PathBuf::from("/"), 0),
    };
    let said = refused(&SpoolConfig { directory: other.clone(), ..config(directory.path(), 1) });
    let sentence = format!(
        "the spool's directory {} belongs to user {theirs}, and this process is user {ours}: ",
        other.display()
    );
    assert!(said.starts_with(&sentence), "{said}");
    assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
}

#[test]
fn a_link_in_the_place_of_a_file_of_it_is_not_followed() {
    let directory = TempDir::new().unwrap();
    let victim = directory.path().join("victim");
    for (name, content) in [("lock", &b"kept"[..]), ("0000000000000001.spool", b"")] {
        fs::write(&victim, content).unwrap();
        drop(open(directory.path(), 1));
        let link = directory.path().join("spool").join(name);
        let _ = fs::remove_file(&link);
        symlink(&victim, &link).unwrap();
        let said = Spool::open(&config(directory.path(), 2)).err().unwrap().to_string();
        assert!(said.starts_with(&format!("the spool cannot be used: {}: ", link.display())), "{said}");
        assert_eq!((fs::read(&victim).unwrap(), link.is_symlink()), (content.to_vec(), true));
        fs::remove_file(&link).unwrap();
    }
}

#[test]
fn a_last_record_that_is_torn_at_any_byte_is_cut_and_told_of_and_nothing_else_is_touched() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(directory.path(), 1);
    let kept = [put(&mut spool, b"first"), put(&mut spool, b"second")];
    let before = spool.segments[0].end;
    put(&mut spool, &bytes_of(3, 40));
    drop(spool);
    let file = files(directory.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    assert_eq!(whole.len() as u64, before + 16 + 40);
    let changed = (before as usize..whole.len()).map(|at| {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        changed
    });
    let cut = (before as usize + 1..whole.len()).map(|at| whole[..at].to_vec());
    // Where the file system has the length and not the bytes.
    let blank =
        (before as usize..whole.len()).map(|at| [&whole[..at], &vec![0; whole.len() - at][..]].concat());
    for torn in cut.chain(changed).chain(blank.filter(|blank| *blank != whole)) {
        files(directory.path()).into_iter().for_each(|file| fs::remove_file(file).unwrap());
        fs::write(&file, &torn).unwrap();
        let mut spool = open(directory.path(), 2);
        let bytes = torn.len() as u64 - before;
        let expected = Damage { kind: DamageKind::TornTail, file: file.clone(), from: before, bytes };
        assert_eq!(spool.take_damages(), [expected]);
        assert_eq!(fs::metadata(&file).unwrap().len(), before);
        let fourth = put(&mut spool, b"fourth");
        drop(spool);
        let mut spool = open(directory.path(), 3);
        let ids: Vec<_> = drain(&mut spool).into_iter().map(|(id, _)| id).collect();
        assert_eq!((ids, spool.take_damages()), (vec![kept[0], kept[1], fourth], vec![]));
    }
}

#[test]
fn a_damaged_record_costs_itself_and_where_its_length_is_damaged_the_rest_of_its_segment() {
    for (at, lost) in [(20, 1), (9, 1), (5, 1), (0, 3), (3, 3)] {
        let directory = TempDir::new().unwrap();
        let mut spool = open(directory.path(), 1);
        let mut ids: Vec<_> = (0..4).map(|number| put(&mut spool, &bytes_of(number, 50))).collect();
        let second = spool.segments[0].begin + 66;
        drop(spool);
        ids.push(put(&mut open(directory.path(), 2), b"another segment"));
        let file = files(directory.path()).remove(0);
        let mut bytes = fs::read(&file).unwrap();
        bytes[second as usize + at] ^= 0x40;
        fs::write(&file, bytes).unwrap();
        let mut spool = open(directory.path(), 3);
        ids.drain(1..1 + lost);
        assert_eq!(drain(&mut spool).into_iter().map(|(id, _)| id).collect::<Vec<_>>(), ids);
        let expected = Damage { kind: DamageKind::Record, file, from: second, bytes: 66 * lost as u64 };
        assert_eq!(spool.take_damages(), [expected], "byte {at}");
    }
}

#[test]
fn a_segment_whose_beginning_is_not_whole_is_deleted_and_counted() {
    let directory = TempDir::new().unwrap();
    let kept = put(&mut open(directory.path(), 1), b"kept");
    put(&mut open(directory.path(), 2), b"lost");
    let file = files(directory.path()).remove(1);
    let whole = fs::read(&file).unwrap();
    for damaged in [&b""[..], &whole[..30], &[&b"weirspoL"[..], &whole[8..]].concat()] {
        fs::write(&file, damaged).unwrap();
        let mut spool = open(directory.path(), 3);
        let bytes = damaged.len() as u64;
        let expected = Damage { kind: DamageKind::Segment, file: file.clone(), from: 0, bytes };
        assert_eq!(spool.take_damages(), [expected]);
        assert_eq!(spool.first().unwrap().map(|first| first.id), Some(kept));
        assert!(!file.exists());
    }
}

#[test]
fn a_spool_of_another_build_source_or_process_is_refused_in_a_sentence_and_left_as_it_is() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(directory.path(), 1);
    put(&mut spool, b"x");
    let refused = |config: &SpoolConfig| Spool::open(config).err().unwrap().to_string();
    let said = refused(&config(directory.path(), 2));
    assert_eq!(
        said,
        format!(
            "the spool {} is in use by process {}: give each collector a spool.dir of its own",
            directory.path().join("spool").display(),
            std::process::id()
        )
    );
    drop(spool);
    let file = files(directory.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let said = refused(&SpoolConfig { source_key: "node-2/trace".into(), ..config(directory.path(), 2) });
    assert!(said.ends_with(
        "holds what node-1/trace heard, and this is node-2/trace: give each source a spool.dir of its own, or the node and the \
         source their names back"
    ));
    let mut later = whole.clone();
    later[8] = 2;
    let crc = crc32fast::hash(&[&later[8..16], &later[20..72]].concat());
    later[16..20].copy_from_slice(&crc.to_le_bytes());
    fs::write(&file, &later).unwrap();
    let said = refused(&config(directory.path(), 2));
    assert!(said.contains("has format 2, and this build reads 1: run the build that wrote it"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), later);
    fs::write(&file, &whole).unwrap();

    let other = TempDir::new().unwrap();
    put(&mut open(other.path(), 9), b"y");
    let stranger = directory.path().join("spool/00000000000000ff.spool");
    fs::copy(files(other.path()).remove(0), &stranger).unwrap();
    let said = refused(&config(directory.path(), 2));
    assert!(said.contains("00000000000000ff.spool is of another spool than those before it"), "{said}");
}

#[test]
fn at_its_cap_it_refuses_the_newest_and_takes_batches_again_when_the_oldest_are_in_the_log() {
    let directory = TempDir::new().unwrap();
    let config = SpoolConfig { bytes_max: 1 << 20, ..config(directory.path(), 1) };
    let mut spool = Spool::open(&config).unwrap();
    let mut ids = Vec::new();
    let refused = loop {
        match spool.append(&bytes_of(ids.len(), 10_000), NOW) {
            Ok(id) => ids.push(id),
            Err(refusal) => break refusal,
        }
    };
    assert!(matches!(refused, Refusal::Full));
    let on_disk: u64 = files(directory.path()).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert_eq!(spool.bytes(), on_disk);
    assert!(on_disk <= 1 << 20, "{on_disk}");
    assert!(ids.len() > 100, "a spool of a MiB holds {}", ids.len());
    // A segment's worth makes room.
    for id in &ids[..20] {
        assert_eq!(spool.first().unwrap().map(|first| first.id), Some(*id));
        spool.let_first_go().unwrap();
    }
    let (newer, rest) = (put(&mut spool, &bytes_of(7, 10_000)), ids.split_off(20));
    let expected: Vec<_> = rest.into_iter().chain([newer]).collect();
    assert_eq!(drain(&mut spool).into_iter().map(|(id, _)| id).collect::<Vec<_>>(), expected);
    // What is empty has all of its room, however little of it was cut by then.
    (0..150).for_each(|number| {
        put(&mut spool, &bytes_of(number, 10_000));
        drain(&mut spool);
    });
}

#[test]
fn of_a_batch_that_a_full_disk_refuses_nothing_is_there_and_it_goes_on_when_there_is_room() {
    let directory = TempDir::new().unwrap();
    let disk = Arc::new(TestDisk::default());
    let mut spool = Spool::open_on(&config(directory.path(), 1), disk.clone()).unwrap();
    let has_room = |room| *disk.room.lock().unwrap() = room;
    let refused = |spool: &mut Spool| match spool.append(&bytes_of(1, 100), NOW) {
        Err(Refusal::Disk(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
        other => panic!("{other:?}"),
    };
    has_room(Some(10));
    refused(&mut spool);
    assert_eq!(
        files(directory.path()).len(),
        0,
        "nor is there a segment of which the beginning is not whole"
    );
    has_room(None);
    let first = put(&mut spool, b"first");
    for room in [0, 1, 15, 16, 17, 115] {
        has_room(Some(room));
        refused(&mut spool);
        let on_disk = fs::metadata(files(directory.path()).remove(0)).unwrap().len();
        assert_eq!(on_disk, spool.bytes(), "room for {room}");
    }
    // It goes to the log by another way, in its place.
    let named = spool.name();
    has_room(None);
    let last = put(&mut spool, b"last");
    assert_eq!([first.number, named.number, last.number], [1, 2, 3]);
    drop(spool);
    let mut spool = open(directory.path(), 2);
    assert_eq!(drain(&mut spool), [(first, b"first".to_vec()), (last, b"last".to_vec())]);
    assert_eq!(spool.take_damages(), []);
}

#[test]
fn what_was_written_is_made_sure_of_as_the_policy_says() {
    let ms = Duration::from_millis;
    let syncs = |policy| {
        let directory = TempDir::new().unwrap();
        let disk = Arc::new(TestDisk::default());
        let config = SpoolConfig { sync: policy, ..config(directory.path(), 1) };
        let mut spool = Spool::open_on(&config, disk.clone()).unwrap();
        let counted = |spool: &mut Spool, now| {
            spool.sync_when_due(now).unwrap();
            *disk.syncs.lock().unwrap()
        };
        let mut seen = Vec::new();
        for now in [0, 400, 999] {
            spool.append(b"x", ms(now)).unwrap();
            seen.push(counted(&mut spool, ms(now)));
        }
        seen.push(counted(&mut spool, ms(1_000)));
        spool.append(b"x", ms(1_500)).unwrap();
        seen.push(counted(&mut spool, ms(2_499)));
        seen.push(counted(&mut spool, ms(2_500)));
        // What the log has needs no disk.
        spool.append(b"x", ms(3_000)).unwrap();
        drain(&mut spool);
        seen.push(counted(&mut spool, ms(9_000)));
        seen
    };
    // A segment is made sure of when it is made.
    assert_eq!(syncs(SyncPolicy::Never), [0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(syncs(SyncPolicy::Interval(ms(1_000))), [1, 1, 1, 2, 2, 3, 3]);
    assert_eq!(syncs(SyncPolicy::Always), [2, 3, 4, 4, 5, 5, 6]);
}

#[test]
fn while_the_log_answers_nothing_is_made_sure_of_at_an_interval() {
    let directory = TempDir::new().unwrap();
    let disk = Arc::new(TestDisk::default());
    let sync = SyncPolicy::Interval(Duration::from_secs(1));
    let config = SpoolConfig { sync, ..config(directory.path(), 1) };
    let mut spool = Spool::open_on(&config, disk.clone()).unwrap();
    let one_more = |spool: &mut Spool, ms| {
        spool.append(b"x", Duration::from_millis(ms)).unwrap();
        spool.sync_when_due(Duration::from_millis(ms)).unwrap();
        *disk.syncs.lock().unwrap()
    };
    for ms in (0..10_000).step_by(200) {
        assert_eq!(one_more(&mut spool, ms), 1, "the segment was, when it was made");
        drain(&mut spool);
    }
    // It is away from here on.
    let counted: Vec<_> = (10_000..12_400).step_by(400).map(|ms| one_more(&mut spool, ms)).collect();
    assert_eq!(counted, [1, 1, 1, 2, 2, 2]);
}

#[test]
fn a_disk_that_does_not_answer_for_a_batch_has_not_taken_it_where_each_is_made_sure_of() {
    let directory = TempDir::new().unwrap();
    let disk = Arc::new(TestDisk::default());
    let always = SpoolConfig { sync: SyncPolicy::Always, ..config(directory.path(), 1) };
    let mut spool = Spool::open_on(&always, disk.clone()).unwrap();
    let first = put(&mut spool, b"first");
    *disk.sync_fails.lock().unwrap() = true;
    assert!(matches!(spool.append(b"second", NOW), Err(Refusal::Disk(_))));
    *disk.sync_fails.lock().unwrap() = false;
    assert_eq!(drain(&mut spool), [(first, b"first".to_vec())]);

    let directory = TempDir::new().unwrap();
    let interval = SpoolConfig { sync: SyncPolicy::Interval(NOW), ..config(directory.path(), 1) };
    let mut spool = Spool::open_on(&interval, disk.clone()).unwrap();
    let first = put(&mut spool, b"first");
    *disk.sync_fails.lock().unwrap() = true;
    assert!(spool.sync_when_due(NOW).is_err());
    assert!(spool.sync_when_due(NOW).is_err(), "it is asked again");
    *disk.sync_fails.lock().unwrap() = false;
    spool.sync_when_due(NOW).unwrap();
    assert_eq!(drain(&mut spool), [(first, b"first".to_vec())]);
}

#[test]
fn who_keeps_up_leaves_little_behind() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(directory.path(), 1);
    for number in 0..500 {
        put(&mut spool, &bytes_of(number, 50_000));
        spool.first().unwrap();
        spool.let_first_go().unwrap();
        assert!(spool.bytes() <= SPOOL_IDLE_BYTES + 60_000);
    }
    assert_eq!(files(directory.path()).len(), 1);
}

#[test]
fn the_log_has_what_is_older_than_what_it_took_last_and_nothing_of_a_session_beside_it() {
    let id = |run: u8, session, number| BatchId { run: [run; 16], session, number };
    let last = id(2, 2, 7);
    let has = [id(1, 1, 99), id(2, 2, 1), id(2, 2, 7)];
    let has_not = [id(2, 2, 8), id(3, 2, 1), id(4, 3, 1)];
    assert!(has.iter().all(|batch| batch.is_up_to(&last, [9; 16])));
    assert!(!has_not.iter().any(|batch| batch.is_up_to(&last, [9; 16])));
    // The disk was set back, and the clock too: who asks is the newest in any case.
    let (own, last) = (id(5, 5, 1), id(2, 9, 7));
    assert!(!own.is_up_to(&last, own.run));
    assert!(own.is_up_to(&last, [9; 16]) && own.is_up_to(&own, own.run));
}

#[test]
fn a_session_is_above_those_on_the_disk_and_above_those_of_a_disk_that_was_set_back() {
    let directory = TempDir::new().unwrap();
    let session = |run, opened_ms| {
        let config = SpoolConfig { opened_ms, ..config(directory.path(), run) };
        put(&mut Spool::open(&config).unwrap(), b"x").session
    };
    assert_eq!(session(1, 1_000), 1_000);
    let before = fs::read(files(directory.path()).remove(0)).unwrap();
    assert_eq!([session(2, 1_000), session(3, 5_000)], [1_001, 5_000]);
    // Two sessions are gone.
    let lost = files(directory.path()).split_off(1);
    lost.into_iter().for_each(|file| fs::remove_file(file).unwrap());
    assert_eq!(fs::read(files(directory.path()).remove(0)).unwrap(), before);
    assert_eq!(session(4, 6_000), 6_000);
    // A clock that was set back, and one that never was set.
    assert_eq!([session(5, 10), session(6, -1)], [6_001, 6_002]);
}

/// What happens to a spool.
#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    /// The oldest goes to the log.
    Commit,
    /// The process ends, and another begins.
    Restart,
    /// The machine loses its power, and so much of what was not made sure of.
    LosePower(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..40_000usize).prop_map(Step::Append),
        4 => Just(Step::Commit),
        1 => Just(Step::Restart),
        1 => (0..90_000usize).prop_map(Step::LosePower),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_batch_goes_to_the_log_once_in_its_order_but_for_those_that_power_took(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let directory = TempDir::new().unwrap();
        let small = |run| SpoolConfig { bytes_max: 1 << 20, ..config(directory.path(), run) };
        let mut run = 1;
        let mut spool = Spool::open(&small(run)).unwrap();
        // By the number of the payload: what was appended, and what the log has.
        let (mut appended, mut log, mut last) = (0u64, Vec::<u64>::new(), None::<BatchId>);
        // How many were appended before the machine lost its power last.
        let mut before_loss = None;
        let mut commit = |spool: &mut Spool, run: u8, last: &mut Option<BatchId>| -> bool {
            while let Some(Spooled { id, payload }) = spool.first().unwrap() {
                if last.is_none_or(|last| !id.is_up_to(&last, [run; 16])) {
                    log.push(u64::from_le_bytes(*payload.first_chunk().unwrap()));
                    *last = Some(id);
                    // A process may be killed here: the next one lets go of it.
                    return true;
                }
                spool.let_first_go().unwrap();
            }
            false
        };
        for step in steps {
            match step {
                Step::Append(bytes) => {
                    let mut payload = appended.to_le_bytes().to_vec();
                    payload.resize(8 + bytes, appended as u8);
                    if spool.append(&payload, NOW).is_ok() {
                        appended += 1;
                    }
                }
                Step::Commit => drop(commit(&mut spool, run, &mut last)),
                Step::Restart => {
                    drop(spool);
                    run += 1;
                    spool = Spool::open(&small(run)).unwrap();
                }
                Step::LosePower(bytes) => {
                    drop(spool);
                    if let Some(newest) = files(directory.path()).pop() {
                        let length = fs::metadata(&newest).unwrap().len();
                        let begin = 73.min(length);
                        let file = fs::OpenOptions::new().write(true).open(&newest).unwrap();
                        file.set_len(length.saturating_sub(bytes as u64).max(begin)).unwrap();
                    }
                    before_loss = Some(appended);
                    run += 1;
                    spool = Spool::open(&small(run)).unwrap();
                }
            }
        }
        while commit(&mut spool, run, &mut last) {}
        prop_assert!(spool.is_empty());
        prop_assert!(log.is_sorted_by(|one, next| one < next), "{log:?}");
        let safe: Vec<_> = log.into_iter().filter(|number| before_loss.is_none_or(|before| *number >= before)).collect();
        prop_assert_eq!(safe, (before_loss.unwrap_or(0)..appended).collect::<Vec<_>>());
        if before_loss.is_none() {
            prop_assert_eq!(spool.take_damages(), []);
        }
    }

    #[test]
    fn any_bytes_in_place_of_its_files_are_passed_over_counted_or_refused(
        first in prop::collection::vec(any::<u8>(), 0..300),
        at in 0..200usize,
        patch in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let directory = TempDir::new().unwrap();
        let mut spool = open(directory.path(), 1);
        for number in 0..3 {
            put(&mut spool, &bytes_of(number, 30));
        }
        drop(spool);
        let file = files(directory.path()).remove(0);
        let mut bytes = fs::read(&file).unwrap();
        let end = (at + patch.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&patch[..end - at]);
        fs::write(&file, &bytes).unwrap();
        fs::write(directory.path().join("spool/0000000000000009.spool"), &first).unwrap();
        if let Ok(mut spool) = Spool::open(&config(directory.path(), 2)) {
            let id = put(&mut spool, b"newest");
            let read = drain(&mut spool);
            prop_assert_eq!(read.last().map(|(last, _)| *last), Some(id));
            prop_assert!(read.len() <= 4);
        }
    }
}
