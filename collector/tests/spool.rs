//! What traced processes say while the log is away, and whoever listens is killed: every event is in the log
//! once, and those of an account in their order.

#![allow(clippy::unwrap_used)] // A test's helpers may panic as its tests may.

mod common;

use common::traced::{ANSWER, BODY, Bench, Traced, event, request, response, spool};
use common::{Fault, NOW_MS};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use weir_collector::spool::{Disk, MachineDisk};
use weir_collector::trace::{Chunk, ConnectionId, Heard, Way};
use weir_collector::{Spool, SpoolConfig, SyncPolicy};
use weir_topology::clock::Clock;
use weir_topology::topic::Topic;

/// One request of an account that is over, as the `number`-th of the test: its event has that many
/// milliseconds.
fn hear(traced: &mut Traced<'_>, account: u8, number: u64, body: &str) {
    let (request, answer) = (request(&format!("sk-{account}"), body), response(200, ANSWER));
    let (connection, time_ms) = (ConnectionId(number + 1), NOW_MS - 1_000_000 + number as i64);
    for (way, bytes) in [(Way::Received, &request), (Way::Sent, &answer)] {
        let length = bytes.len() as u64;
        traced.source.hear(Heard::Chunk(Chunk { connection, way, offset: 0, bytes, length, time_ms }));
    }
    traced.source.hear(Heard::Closed(connection));
}

/// The numbers of the events in the log, by account, in the order in which they stand there.
fn numbers(bench: &Bench) -> Vec<Vec<u64>> {
    let mut of = BTreeMap::<_, Vec<u64>>::new();
    for output in bench.outputs() {
        let event = event(&output);
        let number = event.time_ms - (NOW_MS - 1_000_000);
        of.entry(event.account).or_default().push(u64::try_from(number).unwrap());
    }
    let mut of: Vec<_> = of.into_values().collect();
    of.sort();
    of
}

/// The numbers of events that were heard of accounts that take turns.
fn turns(accounts: u64, events: u64) -> Vec<Vec<u64>> {
    (0..accounts).map(|account| (account..events).step_by(accounts as usize).collect()).collect()
}

/// The log takes nothing for so many commits.
fn away(bench: &Bench, faults: &[Fault]) {
    bench.log.faults.lock().unwrap().splice(0..0, faults.iter().rev().copied());
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some());
    files.sort();
    files
}

#[test]
fn what_three_processes_heard_while_the_log_was_away_is_there_once_and_in_order_when_it_comes_back() {
    let (bench, directory) = (Bench::new(), TempDir::new().unwrap());
    let mut number = 0;
    let mut some = |traced: &mut Traced<'_>| {
        for _ in 0..50 {
            hear(traced, (number % 5) as u8, number, BODY);
            number += 1;
        }
        traced.source.close();
    };
    for run in 1..=3 {
        away(&bench, &[Fault::Full, Fault::Abort, Fault::Forget]);
        let mut traced = bench.spooling(run, directory.path());
        some(&mut traced);
        for _ in 0..3 {
            assert_eq!(traced.handover.commit().unwrap().events, 0);
            *bench.pace.0.lock().unwrap() += Duration::from_secs(60);
        }
        some(&mut traced);
        assert!(traced.handover.waits().spool_bytes > 0);
        // It is killed: nothing is said at the end.
    }
    assert_eq!(bench.outputs().len(), 0);
    let mut traced = bench.spooling(4, directory.path());
    some(&mut traced);
    assert_eq!(bench.commit(&mut traced).unwrap().events, 350);
    assert_eq!(numbers(&bench), turns(5, 350));
    let mut ids = bench.ids();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 350);
    let told = bench.told.0.lock().unwrap().clone();
    let replayed = told.iter().filter_map(|line| line.strip_prefix("replayed ")?.parse::<u64>().ok());
    assert_eq!(replayed.sum::<u64>(), 300);
    drop(traced);
    let mut traced = bench.spooling(5, directory.path());
    assert_eq!(bench.commit(&mut traced).unwrap().events, 0, "nothing is left");
}

/// A clock on which each look takes a while.
#[derive(Default)]
struct SlowClock(Mutex<Duration>);

impl Clock for SlowClock {
    fn now(&self) -> Duration {
        let mut now = self.0.lock().unwrap();
        *now += Duration::from_millis(300);
        *now
    }
    fn unix_ms(&self) -> i64 {
        NOW_MS
    }
    fn sleep(&self, pause: Duration) {
        *self.0.lock().unwrap() += pause;
    }
}

#[test]
fn what_a_long_outage_left_is_handed_over_a_second_at_a_time() {
    let (bench, directory) = (Bench::new(), TempDir::new().unwrap());
    let Traced { source, handover } = bench.spooling(1, directory.path());
    let mut traced = Traced { source, handover: handover.paced_by(Arc::new(SlowClock::default())) };
    // The bench's batches have two events.
    (0..40).for_each(|number| hear(&mut traced, 0, number, BODY));
    let mut turns_taken = Vec::new();
    while !traced.handover.waits().is_empty() {
        turns_taken.push(traced.handover.commit().unwrap().events);
    }
    assert_eq!(turns_taken, [8, 8, 8, 8, 8]);
    assert_eq!(numbers(&bench), turns(1, 40));
}

#[test]
fn while_a_batch_waits_the_next_one_stays_open_for_five_seconds_or_until_it_is_full() {
    let directory = TempDir::new().unwrap();
    for has_spool in [true, false] {
        let bench = Bench::new();
        let mut traced = match has_spool {
            true => bench.spooling(1, directory.path()),
            false => bench.open(1),
        };
        let look = |traced: &mut Traced<'_>, ms| {
            *bench.pace.0.lock().unwrap() += Duration::from_millis(ms);
            traced.source.close_when_due();
            traced.handover.waits()
        };
        hear(&mut traced, 0, 0, BODY);
        let first = look(&mut traced, 200);
        assert!(!first.is_empty(), "nothing waits before it");
        hear(&mut traced, 0, 1, BODY);
        assert_eq!([0, 2_000, 2_999].map(|ms| look(&mut traced, ms)), [first; 3]);
        let second = look(&mut traced, 1);
        assert_ne!(second, first);
        // The five seconds are each batch's own; and the bench's are full with two events.
        hear(&mut traced, 0, 2, BODY);
        assert_eq!([1_000, 4_999].map(|ms| look(&mut traced, ms)), [second; 2]);
        hear(&mut traced, 0, 3, BODY);
        assert_ne!(traced.handover.waits(), second);
        // A log that has all of them is not waited for.
        hear(&mut traced, 0, 4, BODY);
        look(&mut traced, 10);
        assert_eq!(traced.handover.commit().unwrap().events, 4);
        look(&mut traced, 10);
        assert_eq!(traced.handover.commit().unwrap().events, 1);
        assert_eq!(numbers(&bench), turns(1, 5));
    }
}

#[test]
fn a_batch_that_was_committed_by_a_process_that_did_not_live_to_know_it_is_not_there_twice() {
    for passes in 0..4 {
        let (bench, directory) = (Bench::new(), TempDir::new().unwrap());
        let mut traced = bench.spooling(1, directory.path());
        (0..8).for_each(|number| hear(&mut traced, 0, number, BODY));
        bench.log.passes.store(passes, Ordering::Relaxed);
        away(&bench, &[Fault::CommitAndForget]);
        assert_eq!(traced.handover.commit().unwrap().events, 2 * passes as u64);
        drop(traced);
        assert_eq!(bench.outputs().len(), 2 * (passes + 1));
        // One without a spool comes in between, and has a last batch of its own.
        let mut without = bench.open(2);
        hear(&mut without, 0, 8, BODY);
        assert_eq!(bench.commit(&mut without).unwrap().events, 1);
        let mut traced = bench.spooling(3, directory.path());
        bench.commit(&mut traced).unwrap();
        let mut there = numbers(&bench).remove(0);
        there.sort_unstable();
        assert_eq!(there, (0..9).collect::<Vec<_>>(), "after {passes} that were known");
    }
}

#[test]
fn a_disk_that_was_set_back_to_an_old_copy_costs_nothing_that_is_heard_from_then_on() {
    // The clock goes on, or was set back with the disk.
    for opened_ms in [1_000, 0] {
        let (bench, directory) = (Bench::new(), TempDir::new().unwrap());
        let open = |run: u8, opened_ms| {
            let config = SpoolConfig { opened_ms, ..spool(run, directory.path()) };
            bench.try_open(run, Some(Spool::open(&config).unwrap())).unwrap()
        };
        let mut copy = Vec::new();
        for run in 1..=3 {
            let mut traced = open(run, 100 * i64::from(run));
            hear(&mut traced, 0, run.into(), BODY);
            assert_eq!(bench.commit(&mut traced).unwrap().events, 1);
            drop(traced);
            if run == 1 {
                copy = fs::read(segments(directory.path()).remove(0)).unwrap();
            }
        }
        let files = segments(directory.path());
        files.iter().for_each(|file| fs::remove_file(file).unwrap());
        fs::write(&files[0], &copy).unwrap();
        let mut traced = open(4, opened_ms);
        hear(&mut traced, 0, 4, BODY);
        assert_eq!(bench.commit(&mut traced).unwrap().events, 1);
        assert_eq!(numbers(&bench), [[1, 2, 3, 4]]);
        // It is killed before what it heard last is in the log.
        hear(&mut traced, 0, 5, BODY);
        traced.source.close();
        drop(traced);
        let mut traced = open(5, opened_ms + 1);
        assert_eq!(bench.commit(&mut traced).unwrap().events, 1);
        assert_eq!(numbers(&bench), [[1, 2, 3, 4, 5]]);
    }
}

#[test]
fn the_newest_find_no_room_when_the_spool_and_memory_are_full_and_are_counted() {
    // Prompts are kept as text here so that there need not be many.
    let (bench, directory) = (Bench { keep_text: true, ..Bench::new() }, TempDir::new().unwrap());
    let config = SpoolConfig { bytes_max: 8 << 20, ..spool(1, directory.path()) };
    let mut traced = bench.try_open(1, Some(Spool::open(&config).unwrap())).unwrap();
    let text = "word ".repeat(45_000);
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let heard = 400;
    for number in 0..heard {
        hear(&mut traced, 0, number, &body);
        traced.source.close();
    }
    let waits = traced.handover.waits();
    let on_disk: u64 = segments(directory.path()).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!((7 << 20..=8 << 20).contains(&on_disk), "{on_disk}");
    bench.commit(&mut traced).unwrap();
    let there = numbers(&bench).remove(0);
    assert!(there.iter().copied().eq(0..there.len() as u64), "the oldest are there, in their order");
    let told = bench.told.0.lock().unwrap().clone();
    let count = |cause: &str| {
        let counts = told.iter().filter_map(|line| line.strip_prefix(cause)?.trim().parse::<u64>().ok());
        counts.sum::<u64>()
    };
    assert_eq!(there.len() as u64 + count("spool_full"), heard);
    assert!(count("spool_full") > 0 && waits.memory_events > 200, "{waits:?}");
    assert_eq!(count("log_away") + count("spool_fault"), 0);
    let passed_over: Vec<_> = told.iter().filter(|line| line.starts_with("passed over")).collect();
    assert_eq!(passed_over, ["passed over: it has as many bytes as it may (spool.bytes_max)"]);
    // There is room again.
    hear(&mut traced, 1, heard, &body);
    traced.source.close();
    assert_eq!(traced.handover.waits().memory_events, 0);
}

/// A disk that takes nothing while it is full.
#[derive(Default)]
struct FullDisk(AtomicBool);

impl Disk for FullDisk {
    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(io::Error::from(io::ErrorKind::StorageFull)),
            false => MachineDisk.write_at(file, bytes, at),
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        MachineDisk.sync(file)
    }
}

#[test]
fn a_full_disk_costs_nothing_while_there_is_memory_and_what_went_by_memory_keeps_its_place() {
    let (bench, directory) = (Bench::new(), TempDir::new().unwrap());
    let disk = Arc::new(FullDisk::default());
    let spool = Spool::open_on(&spool(1, directory.path()), disk.clone()).unwrap();
    let mut traced = bench.try_open(1, Some(spool)).unwrap();
    let mut number = 0;
    let mut some = |traced: &mut Traced<'_>, is_full| {
        disk.0.store(is_full, Ordering::Relaxed);
        for _ in 0..20 {
            hear(traced, 0, number, BODY);
            number += 1;
        }
    };
    some(&mut traced, false);
    some(&mut traced, true);
    // The disk has room again, and what is older waits in memory still.
    some(&mut traced, false);
    assert_eq!(traced.handover.waits().memory_events, 40);
    away(&bench, &[Fault::Abort, Fault::CommitAndForget]);
    bench.log.passes.store(13, Ordering::Relaxed);
    assert_eq!(bench.commit(&mut traced).unwrap().events, 60);
    some(&mut traced, false);
    assert_eq!(traced.handover.waits().memory_events, 0);
    drop(traced);
    let mut traced = bench.spooling(2, directory.path());
    assert_eq!(bench.commit(&mut traced).unwrap().events, 20);
    assert_eq!(numbers(&bench), turns(1, 80));
    let told = bench.told.0.lock().unwrap().clone();
    assert_eq!(told.iter().filter(|line| line.starts_with("passed over")).count(), 1);
    assert!(!told.iter().any(|line| line.starts_with("spool_fault")));
}

#[test]
fn a_torn_tail_costs_its_batch_alone_and_is_told_of() {
    let (bench, directory) = (Bench::new(), TempDir::new().unwrap());
    let mut traced = bench.spooling(1, directory.path());
    (0..6).for_each(|number| hear(&mut traced, 0, number, BODY));
    drop(traced);
    let file = segments(directory.path()).remove(0);
    let length = fs::metadata(&file).unwrap().len();
    File::options().write(true).open(&file).unwrap().set_len(length - 1).unwrap();
    let mut traced = bench.spooling(2, directory.path());
    (6..8).for_each(|number| hear(&mut traced, 0, number, BODY));
    assert_eq!(bench.commit(&mut traced).unwrap().events, 6);
    assert_eq!(numbers(&bench), [[0, 1, 2, 3, 6, 7]]);
    let told = bench.told.0.lock().unwrap().clone();
    let torn: Vec<_> = told.iter().filter(|line| line.starts_with("torn_tail")).collect();
    assert_eq!(torn.len(), 1);
    let said: Vec<_> = torn[0].split(' ').collect();
    let [from, bytes] = [2, 3].map(|at| said[at].parse::<u64>().unwrap());
    assert_eq!((said[1], from + bytes), ("0000000000000001.spool", length - 1));
}

#[test]
fn no_prompt_and_no_account_lies_on_the_disk() {
    let (bench, directory) = (Bench::new(), TempDir::new().unwrap());
    let mut traced = bench.spooling(1, directory.path());
    let body = r#"{"model":"m","messages":[{"role":"user","content":"canary-prompt"}]}"#;
    let (ask, answer) = (request("canary-key", body), response(200, "{}"));
    common::traced::say(&mut traced, 1, [&mut 0, &mut 0], &ask, &answer);
    traced.source.close();
    let files = segments(directory.path());
    let bytes = fs::read(&files[0]).unwrap();
    assert!(bytes.windows(11).any(|window| window == b"weir.events"), "the batch is there");
    assert!(!bytes.windows(6).any(|window| window == b"canary"));
}

#[test]
fn who_ends_well_leaves_nothing_on_the_disk_that_the_log_has() {
    let (bench, directory) = (Bench::new(), TempDir::new().unwrap());
    let mut traced = bench.spooling(1, directory.path());
    hear(&mut traced, 0, 0, BODY);
    bench.commit(&mut traced).unwrap();
    let file = segments(directory.path()).remove(0);
    let bytes = |file: &Path| fs::metadata(file).unwrap().len();
    let before = bytes(&file);
    drop(traced.source);
    traced.handover.end();
    // What is left says whose the spool is, and which session was the last.
    assert!(bytes(&file) < 100 && before > 500, "{before}");

    away(&bench, &[Fault::Full]);
    let mut traced = bench.spooling(2, directory.path());
    hear(&mut traced, 0, 1, BODY);
    traced.source.close();
    assert_eq!(traced.handover.commit().unwrap().events, 0);
    drop(traced.source);
    traced.handover.end();
    let mut traced = bench.spooling(3, directory.path());
    assert_eq!(bench.commit(&mut traced).unwrap().events, 1, "and what it lacks stays");
    assert_eq!(numbers(&bench), turns(1, 2));
}

#[test]
fn a_whole_batch_that_this_build_cannot_read_is_refused_in_a_sentence_and_stays() {
    let (bench, directory) = (Bench::new(), TempDir::new().unwrap());
    Spool::open(&spool(1, directory.path())).unwrap().append(b"of another build", Duration::ZERO).unwrap();
    let before = fs::read(&segments(directory.path())[0]).unwrap();
    let mut traced = bench.spooling(2, directory.path());
    let said = bench.commit(&mut traced).unwrap_err().to_string();
    assert_eq!(
        said,
        "the spool's batch 1 of session 1 cannot be read: it ends too soon; run the build that wrote it until the spool is empty, or \
         move the files away, which costs the events in them"
    );
    assert_eq!(fs::read(&segments(directory.path())[0]).unwrap(), before);
}

#[test]
fn of_the_spools_that_a_source_had_the_log_remembers_the_latest() {
    let bench = Bench::new();
    let directories: Vec<_> = (0..70).map(|_| TempDir::new().unwrap()).collect();
    for (run, directory) in (1..).zip(&directories) {
        let mut traced = bench.spooling(run, directory.path());
        hear(&mut traced, 0, run.into(), BODY);
        bench.commit(&mut traced).unwrap();
    }
    let mut latest = BTreeMap::new();
    for output in bench.log.inner.all(Topic::StateCollector) {
        latest.insert(output.key, output.payload.is_some());
    }
    assert_eq!((latest.len(), latest.values().filter(|is_there| **is_there).count()), (70, 64));
    assert_eq!(numbers(&bench).remove(0).len(), 70);
}

/// What happens to who listens, and to its log.
#[derive(Debug, Clone)]
enum Step {
    Hear(u8),
    Close,
    /// So many commits go well, and then one meets this.
    Commit(usize, Option<Fault>),
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop::sample::select(vec![
        None,
        Some(Fault::Full),
        Some(Fault::Abort),
        Some(Fault::Forget),
        Some(Fault::CommitAndForget),
    ]);
    prop_oneof![
        6 => (0..4u8).prop_map(Step::Hear),
        2 => Just(Step::Close),
        3 => (0..3usize, fault).prop_map(|(passes, fault)| Step::Commit(passes, fault)),
        1 => Just(Step::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_batch_is_in_the_log_once_and_in_order_whatever_the_log_does_and_whoever_is_killed_when(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let (bench, directory) = (Bench::new(), TempDir::new().unwrap());
        let mut run = 1;
        let mut traced = bench.spooling(run, directory.path());
        // By account what is in batches; and what was heard since the last one.
        let (mut expected, mut open, mut number) = (vec![Vec::new(); 4], Vec::new(), 0);
        let mut batch = |open: &mut Vec<(u8, u64)>| {
            open.drain(..).for_each(|(account, number)| expected[usize::from(account)].push(number));
        };
        for step in steps {
            match step {
                Step::Hear(account) => {
                    hear(&mut traced, account, number, BODY);
                    open.push((account, number));
                    number += 1;
                    // The bench's batches have two events.
                    if open.len() == 2 {
                        batch(&mut open);
                    }
                }
                Step::Close => {
                    traced.source.close();
                    batch(&mut open);
                }
                Step::Commit(passes, fault) => {
                    bench.log.passes.store(passes, Ordering::Relaxed);
                    *bench.log.faults.lock().unwrap() = fault.into_iter().collect();
                    traced.handover.commit().unwrap();
                    *bench.pace.0.lock().unwrap() += Duration::from_secs(60);
                }
                Step::Kill => {
                    drop(traced);
                    open.clear();
                    run += 1;
                    traced = bench.spooling(run, directory.path());
                }
            }
        }
        bench.log.faults.lock().unwrap().clear();
        bench.commit(&mut traced).unwrap();
        batch(&mut open);
        let mut expected: Vec<_> = expected.into_iter().filter(|numbers| !numbers.is_empty()).collect();
        expected.sort();
        prop_assert_eq!(numbers(&bench), expected);
        let mut ids = bench.ids();
        let events = ids.len();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), events);
    }
}

/// What the spool adds to a batch of a hundred events: being written, and being read again; where the log
/// answers, and where it is away.
#[test]
#[ignore = "it measures"]
fn what_a_batch_costs() {
    const BATCHES: usize = 2_000;
    let payload: Vec<u8> = (0..80_000u32).map(|at| (at * 31) as u8).collect();
    let sync = [
        ("never", SyncPolicy::Never),
        ("interval", SyncPolicy::Interval(Duration::from_secs(1))),
        ("always", SyncPolicy::Always),
    ];
    for (name, sync) in sync {
        for is_away in [false, true] {
            let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let config = SpoolConfig { sync, ..spool(1, directory.path()) };
            let mut spool = Spool::open(&config).unwrap();
            let began = Instant::now();
            let batches = if name == "always" { BATCHES / 10 } else { BATCHES };
            let read_on = |spool: &mut Spool| {
                spool.first().unwrap().unwrap();
                spool.let_first_go().unwrap();
            };
            for _ in 0..batches {
                spool.append(&payload, began.elapsed()).unwrap();
                spool.sync_when_due(began.elapsed()).unwrap();
                if !is_away {
                    read_on(&mut spool);
                }
            }
            let written = began.elapsed();
            while is_away && !spool.is_empty() {
                read_on(&mut spool);
            }
            let us = |took: Duration| took.as_micros() as usize / batches;
            let read = us(began.elapsed() - written);
            println!("{name}, log away: {is_away}: {} us a batch, {read} us to read it later", us(written));
        }
    }
}
