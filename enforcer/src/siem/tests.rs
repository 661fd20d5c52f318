//! From the log to a destination that fails, stalls and refuses, over a log in memory.

use super::destination::files::{FilesDestination, Keeping};
use super::destination::{Delivery, Destination, DestinationKind, Failure, Fate, RetryCause};
use super::exporter::{DropCause, Exporter, From, Outside, Progress};
use super::format::Format;
use super::notice::{Kind, Notice};
use super::testing::{account, action, campaign, verdict};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_schemas::wire::Wire;
use weir_schemas::{Action, Verdict, VerdictId};
use weir_topology::clock::Clock;
use weir_topology::log::{Commit, Log as _, LogError};
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::topic::Topic;

/// A clock that stands still until it is moved.
#[derive(Default)]
struct StoppedClock(Mutex<Duration>);

impl Clock for StoppedClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn unix_ms(&self) -> i64 {
        0
    }

    fn sleep(&self, pause: Duration) {
        *self.0.lock().unwrap() += pause;
    }
}

/// What a destination answers next, and the ids that it has.
#[derive(Default)]
struct Script {
    answers: VecDeque<fn(&[Notice]) -> Delivery>,
    has: Vec<String>,
    handed: Vec<usize>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Destination for Scripted {
    fn kind(&self) -> DestinationKind {
        DestinationKind::Files
    }

    fn deliver(&mut self, notices: &[Notice]) -> Delivery {
        let mut script = self.0.lock().unwrap();
        script.handed.push(notices.len());
        let delivery = match script.answers.pop_front() {
            Some(answer) => answer(notices),
            None => Delivery::taken(notices.len()),
        };
        for (notice, fate) in notices.iter().zip(&delivery.fates) {
            if *fate == Fate::Taken {
                script.has.push(notice.id.clone());
            }
        }
        delivery
    }
}

struct Bench {
    log: Arc<MemoryLog>,
    wire: Arc<Wire>,
    clock: Arc<StoppedClock>,
    destination: Scripted,
    written: u32,
}

impl Bench {
    fn new() -> Self {
        let (log, wire) = (MemoryLog::new(2), Arc::new(Wire::new()));
        Self { log, wire, clock: Arc::default(), destination: Scripted::default(), written: 0 }
    }

    /// Verdicts on the log, all different.
    fn judge(&mut self, count: u32) {
        for _ in 0..count {
            self.written += 1;
            let verdict = Verdict {
                account: account(self.written),
                verdict_id: VerdictId(u128::from(self.written).to_be_bytes()),
                ..verdict()
            };
            self.put(Output::keyed(
                Topic::Verdicts,
                verdict.account.to_key(),
                self.wire.to_bytes(&verdict),
                0,
            ));
        }
    }

    fn put(&self, output: Output) {
        let mut writer = self.log.writer("test").unwrap();
        writer.commit(&Commit { outputs: vec![output], positions: Vec::new() }).unwrap();
    }

    fn outside(&self) -> Outside {
        Outside {
            log: self.log.clone(),
            wire: self.wire.clone(),
            schemas: None,
            clock: self.clock.clone(),
            jitter: Arc::new(|| 1.0),
        }
    }

    fn open_from(&self, from: From) -> Exporter {
        let destination = Box::new(self.destination.clone());
        Exporter::open("export/test/files", &Kind::ALL, from, self.outside(), destination).unwrap()
    }

    fn open(&self) -> Exporter {
        self.open_from(From::Beginning)
    }

    fn answers(&self, answers: impl IntoIterator<Item = fn(&[Notice]) -> Delivery>) {
        self.destination.0.lock().unwrap().answers.extend(answers);
    }

    fn has(&self) -> Vec<String> {
        self.destination.0.lock().unwrap().has.clone()
    }

    fn is_complete(&self) -> bool {
        let (mut has, count) = (self.has(), self.written as usize);
        has.sort();
        has.dedup();
        has.len() == count
    }
}

/// Runs until the destination has everything; the clock moves, so that pauses end.
fn run(exporter: &mut Exporter, clock: &StoppedClock) -> Vec<Progress> {
    let mut told = Vec::new();
    for _ in 0..200 {
        let progress = exporter.run_once(Duration::ZERO).unwrap();
        let is_done = progress.caught_up;
        told.push(progress);
        if is_done {
            return told;
        }
        clock.sleep(Duration::from_secs(31));
    }
    panic!("it never has everything: {told:?}");
}

fn dropped(told: &[Progress]) -> Vec<(DropCause, u64)> {
    told.iter().flat_map(|progress| &progress.dropped).map(|(cause, count, _)| (*cause, *count)).collect()
}

#[test]
fn everything_is_told_once_where_nothing_fails_and_nothing_again_after_a_restart() {
    let mut bench = Bench::new();
    bench.judge(30);
    let told = Action { account: account(1), ..action() };
    bench.put(Output::keyed(Topic::Actions, told.account.to_key(), bench.wire.to_bytes(&told), 0));
    let campaign = campaign(120);
    bench.put(Output::keyed(Topic::Campaigns, b"c".to_vec(), bench.wire.to_bytes(&campaign), 0));
    run(&mut bench.open(), &bench.clock);
    let has = bench.has();
    let of = |kind: &str| has.iter().filter(|id| id.starts_with(kind)).count();
    assert_eq!((of("verdict/"), of("action/"), of("campaign/"), has.len()), (30, 1, 3, 34));

    bench.judge(1);
    run(&mut bench.open(), &bench.clock);
    assert_eq!(bench.has().len(), 35, "only what is new");
}

#[test]
fn what_was_taken_but_not_committed_is_told_again_and_nothing_is_lost() {
    let mut bench = Bench::new();
    bench.judge(10);
    let mut exporter = bench.open();
    exporter.run_once(Duration::ZERO).unwrap();
    assert!(bench.has().is_empty(), "first it is written down where it begins");
    // The destination takes them, and the exporter is gone before it can write that down.
    let mut fence = bench.log.writer("export/test/files").unwrap();
    assert!(matches!(exporter.run_once(Duration::ZERO), Err(LogError::Fenced { .. })));
    assert_eq!(bench.has().len(), 10);
    fence.commit(&Commit::default()).unwrap();
    run(&mut bench.open(), &bench.clock);
    assert_eq!(bench.has().len(), 20, "each twice, under the same id");
    assert!(bench.is_complete());
}

#[test]
fn only_what_the_destination_does_not_have_is_handed_over_again() {
    let mut bench = Bench::new();
    bench.judge(6);
    let mut exporter = bench.open();
    let answers: [fn(&[Notice]) -> Delivery; 3] = [
        |notices| Delivery::left(notices.len(), Failure::new(RetryCause::Unreachable, "gone")),
        |notices| {
            let fates =
                (0..notices.len()).map(|n| if n % 2 == 0 { Fate::Taken } else { Fate::Left }).collect();
            Delivery { fates, failure: Some(Failure::new(RetryCause::Busy, "later")) }
        },
        |notices| {
            let mut fates = vec![Fate::Taken; notices.len()];
            fates[0] = Fate::Refused("it does not like it".into());
            Delivery { fates, failure: None }
        },
    ];
    bench.answers(answers);
    let told = run(&mut exporter, &bench.clock);
    assert_eq!(bench.destination.0.lock().unwrap().handed, [6, 6, 3]);
    assert_eq!(bench.has().len(), 5);
    assert_eq!(dropped(&told), [(DropCause::Refused, 1)]);
    let causes: Vec<_> = told.iter().filter_map(|told| told.failure.as_ref()).map(|why| why.cause).collect();
    assert_eq!(causes, [RetryCause::Unreachable, RetryCause::Busy]);
}

#[test]
fn a_destination_that_fails_holds_its_exporter_back_and_is_asked_ever_less_often() {
    let mut bench = Bench::new();
    bench.judge(2_000);
    let mut exporter = bench.open();
    exporter.run_once(Duration::ZERO).unwrap();
    let fails: fn(&[Notice]) -> Delivery =
        |notices| Delivery::left(notices.len(), Failure::new(RetryCause::Failing, "no"));
    bench.answers([fails; 12]);
    let mut asked = Vec::new();
    for second in 0..100 {
        let progress = exporter.run_once(Duration::ZERO).unwrap();
        assert!(progress.waiting <= 500, "it reads no further than it can hold");
        if progress.failure.is_some() {
            asked.push(second);
        }
        bench.clock.sleep(Duration::from_secs(1));
    }
    assert_eq!(asked, [0, 1, 2, 3, 5, 9, 16, 29, 55, 85]);
    run(&mut exporter, &bench.clock);
    assert!(bench.is_complete());
}

#[test]
fn what_cannot_be_read_is_counted_and_passed_over() {
    let mut bench = Bench::new();
    bench.judge(1);
    bench.put(Output::keyed(Topic::Verdicts, account(1).to_key(), b"nothing of ours".to_vec(), 0));
    bench.judge(1);
    let told = run(&mut bench.open(), &bench.clock);
    assert_eq!(dropped(&told), [(DropCause::Unreadable, 1)]);
    assert!(bench.is_complete());
}

#[test]
fn a_destination_that_begins_now_is_told_of_what_comes_even_after_a_crash() {
    let mut bench = Bench::new();
    bench.judge(5);
    let mut exporter = bench.open_from(From::Now);
    exporter.run_once(Duration::ZERO).unwrap();
    drop(exporter);
    bench.judge(1);
    run(&mut bench.open_from(From::Now), &bench.clock);
    assert_eq!(bench.has(), ["verdict/00000000000000000000000000000006"]);
}

#[test]
fn a_later_exporter_of_the_same_name_takes_over() {
    let mut bench = Bench::new();
    let mut earlier = bench.open();
    let mut later = bench.open();
    bench.judge(1);
    assert!(matches!(earlier.run_once(Duration::ZERO), Err(LogError::Fenced { .. })));
    run(&mut later, &bench.clock);
    assert!(bench.is_complete());
}

fn files(directory: &Path, bytes_max: u64, kept: u32) -> FilesDestination {
    FilesDestination::open(directory, Format::Csv, Keeping { bytes_max, kept }).unwrap().unwrap()
}

#[test]
fn files_are_whole_lines_with_a_header_and_the_oldest_of_too_many_goes() {
    let directory = tempfile::tempdir().unwrap();
    let notice = super::notice::of_verdict(&verdict());
    let mut destination = files(directory.path(), 2_000, 2);
    for _ in 0..20 {
        assert_eq!(destination.deliver(std::slice::from_ref(&notice)), Delivery::taken(1));
    }
    drop(destination);
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name));
    for name in ["weir-csv.csv", "weir-csv.csv.1", "weir-csv.csv.2"] {
        let text = read(name).unwrap();
        assert!(text.starts_with("\"timestamp\",") && text.ends_with("\r\n"), "{name}: {text}");
        assert!(text.lines().count() >= 2);
    }
    assert!(read("weir-csv.csv.3").is_err());

    // A crash in the middle of a line.
    let path = directory.path().join("weir-csv.csv");
    let before = read("weir-csv.csv").unwrap();
    std::fs::write(&path, format!("{before}\"half a li")).unwrap();
    assert_eq!(
        files(directory.path(), 1 << 20, 2).deliver(std::slice::from_ref(&notice)),
        Delivery::taken(1)
    );
    let after = read("weir-csv.csv").unwrap();
    assert!(after.starts_with(&before) && !after.contains("half a li"));
    assert_eq!(after.lines().count(), before.lines().count() + 1);
}
