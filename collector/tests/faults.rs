//! The collector under the faults that logs, nodes and brokers have: nothing is lost, nothing stalls,
//! nothing is doubled, and nothing raw gets out.

#![allow(clippy::unwrap_used)] // A test's helpers may panic as its tests may.

mod common;

use common::{Fault, FaultyLog, NOW_MS};
use expect_test::{Expect, expect};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use weir_collector::{
    Collector, CollectorConfig, CollectorError, Keys, LineKey, Mode, Progress, Pseudonymizer, Sealer,
    SourceState,
};
use weir_schemas::wire::{Wire, split};
use weir_schemas::{Body, DeadLetter, DlqKind, Event, EventId, Record};
use weir_topology::log::{Commit, Log};
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::telemetry::{LossCause, SourceChange, Telemetry};
use weir_topology::topic::{TaskId, Topic};

/// Remembers what it was told.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn push(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn all(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

impl Telemetry for Heard {
    fn lines_mended(&self, count: u64) {
        self.push(format!("mended {count}"));
    }
    fn line_rejected(&self, kind: DlqKind) {
        self.push(format!("rejected {kind}"));
    }
    fn lines_refused(&self, kind: DlqKind, count: u64, offset: u64, reason: &str) {
        self.push(format!("refused {kind} {count} from {offset}: {reason}"));
    }
    fn field_unknown(&self, field: &'static str, count: u64) {
        self.push(format!("unknown {field} {count}"));
    }
    fn requests_unowned(&self, count: u64) {
        self.push(format!("unowned {count}"));
    }
    fn format_taken(&self, format: &str, unread: &[&str]) {
        self.push(format!("format {format}, unread {:?}", unread.join(" ")));
    }
    fn source_changed(&self, change: SourceChange, _file: &str) {
        self.push(format!("changed {}", change.as_str()));
    }
    fn lines_known(&self, file: &str, lines: u64) {
        self.push(format!("known {} {lines}", file.rsplit('/').next().unwrap_or_default()));
    }
    fn source_lost(&self, cause: LossCause, file: &str, from: u64, to: Option<u64>) {
        let file = file.rsplit('/').next().unwrap_or_default();
        self.push(format!("lost {file} {from} {to:?} {}", cause.as_str()));
    }
    fn source_unavailable(&self, reason: &str) {
        self.push(format!("unavailable {reason}"));
    }
    fn commit_aborted(&self, task: TaskId, reason: &str) {
        self.push(format!("aborted {task} {reason}"));
    }
}

struct Bench {
    directory: TempDir,
    log: FaultyLog,
    heard: Arc<Heard>,
    config: CollectorConfig,
}

impl Bench {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let mut config = CollectorConfig::new(directory.path().join("access.jsonl"), "node-1");
        config.rotation_grace = Duration::ZERO;
        config.linger = Duration::ZERO;
        let log = FaultyLog::new(MemoryLog::new(3));
        Self { directory, log, heard: Arc::default(), config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn append(&self, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.config.path).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    fn open(&self) -> Collector<'_> {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Collector<'_>, CollectorError> {
        let keys = Keys {
            pseudonymizer: Pseudonymizer::new([1; 32], 1),
            sealer: Sealer::new(1, &[2; 32], [9; 32]).unwrap(),
        };
        let wire = Arc::new(Wire::new());
        Collector::open(&self.log, self.config.clone(), keys, wire, self.heard.clone(), Arc::new(|| NOW_MS))
    }

    /// Opens the collector, reads everything that is there, and kills it.
    fn run(&self) -> Progress {
        until_idle(&mut self.open())
    }

    fn events(&self) -> Vec<Output> {
        self.log.inner.all(Topic::Events)
    }

    fn letters(&self) -> Vec<DeadLetter> {
        let wire = Wire::new();
        let outputs = self.log.inner.all(Topic::Dlq);
        outputs.iter().map(|output| wire.read(output.payload.as_deref().unwrap()).unwrap()).collect()
    }

    /// Every line is an event once, and no other is.
    fn assert_has_lines(&self, count: usize) {
        let mut ids: Vec<EventId> = self.events().iter().map(|output| event(output).event_id).collect();
        ids.sort();
        let key = LineKey::new(&Pseudonymizer::new([1; 32], 1));
        let of = |index: usize| key.event_id(key.hash(line(index).trim_end().as_bytes()), 0);
        let mut expected: Vec<EventId> = (0..count).map(of).collect();
        expected.sort();
        assert_eq!(ids.len(), expected.len());
        assert!(ids == expected, "every line is there once");
        let announced = self.log.inner.all(Topic::Identities);
        for event in self.events() {
            assert!(announced.iter().any(|one| one.key == event.key), "every account was announced");
        }
    }

    /// Identities that were ever announced.
    fn announcements(&self) -> i64 {
        let end = |partition| self.log.inner.bounds(Topic::Identities, partition).unwrap().1;
        (0..self.log.inner.partitions(Topic::Identities).unwrap()).map(end).sum()
    }
}

fn until_idle(collector: &mut Collector<'_>) -> Progress {
    let mut total = Progress {
        state: SourceState::Reading,
        bytes: 0,
        lines: 0,
        events: 0,
        rejected: 0,
        unowned: 0,
        other: 0,
        position: None,
    };
    for _ in 0..1_000 {
        let step = collector.run_once(Duration::ZERO).unwrap();
        total = Progress {
            bytes: total.bytes + step.bytes,
            lines: total.lines + step.lines,
            events: total.events + step.events,
            rejected: total.rejected + step.rejected,
            ..step
        };
        if matches!(step.state, SourceState::AtEnd | SourceState::Unavailable) {
            return total;
        }
        if step.state == SourceState::Held {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    panic!("the source does not come to its end: {total:?}");
}

fn event(output: &Output) -> Event<'_> {
    Event::decode(split(output.payload.as_deref().unwrap()).unwrap().1).unwrap()
}

fn line(index: usize) -> String {
    format!(
        "{{\"id\":\"{index}\",\"account\":\"acct-{}\",\"time\":1795242606,\"prompt\":\"word {index}\"}}\n",
        index % 7
    )
}

/// One line that is refused, with a good one on both sides.
fn check_refused(bad: impl AsRef<[u8]>, expected: Expect) {
    let bench = Bench::new();
    bench.append(line(0));
    bench.append(bad);
    bench.append("\n");
    bench.append(line(1));
    let progress = bench.run();
    assert_eq!((progress.events, progress.rejected, progress.at_end()), (2, 1, true));
    bench.assert_has_lines(2);
    let letter = bench.letters().remove(0);
    assert_eq!((letter.offset, letter.partition), (line(0).len() as i64, -1));
    assert_eq!(letter.origin, bench.config.path.display().to_string());
    assert!(letter.payload.is_empty());
    assert!(bench.heard.all().contains(&format!("rejected {}", letter.kind)));
    expected.assert_eq(&format!("{} {}: {}", letter.kind, letter.length, letter.reason));
}

#[test]
fn no_client_makes_two_requests_one_by_their_request_id() {
    let bench = Bench::new();
    for time in [1, 2, 2, 2] {
        bench.append(format!("{{\"id\":\"the same\",\"account\":\"a\",\"time\":{time}}}\n"));
    }
    assert_eq!(bench.run().events, 4);
    let events = bench.events();
    let ids: BTreeSet<EventId> = events.iter().map(|output| event(output).event_id).collect();
    let requests: BTreeSet<_> = events.iter().map(|output| event(output).request_id.map(|id| id.0)).collect();
    assert_eq!((ids.len(), requests.len()), (4, 1));
}

#[test]
fn a_copy_is_known_under_any_name_and_what_it_has_more_is_read() {
    let mut bench = Bench::new();
    bench.append((0..100).map(line).collect::<String>());
    bench.run();
    let gzip = |content: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    let original = fs::read(&bench.config.path).unwrap();
    let longer = [&original[..], line(100).as_bytes()].concat();
    let copies = [
        ("copy", original.clone()),
        ("copy.gz", gzip(&original)),
        ("more.gz", gzip(&longer)),
        ("again", longer),
    ];
    for (name, content) in copies {
        bench.config.path = bench.path(name);
        bench.config.source = name.into();
        bench.config.node = format!("node-{name}");
        bench.config.mode = if name == "again" { Mode::Tail } else { Mode::Import };
        fs::write(&bench.config.path, content).unwrap();
        let expected = u64::from(name == "more.gz");
        assert_eq!(bench.run().events, expected, "{name}");
    }
    bench.assert_has_lines(101);
    assert_eq!(bench.heard.all().matches("known").count(), 4);
    assert!(bench.heard.all().contains("known again 101"));
}

#[test]
fn bad_json_goes_to_the_dead_letters() {
    check_refused(
        r#"{"account":"a","#,
        expect!["INVALID_JSON 15: it is no JSON object, or a torn one, at byte 16"],
    );
}

#[test]
fn null_goes_to_the_dead_letters() {
    check_refused("null", expect!["INVALID_JSON 4: it is no JSON object, or a torn one, at byte 1"]);
}

#[test]
fn a_number_goes_to_the_dead_letters() {
    check_refused("42", expect!["INVALID_JSON 2: it is no JSON object, or a torn one, at byte 1"]);
}

#[test]
fn a_value_that_makes_no_sense_is_not_known_and_counted_and_the_line_is_judged() {
    let bench = Bench::new();
    for field in
        [r#""ip":"300.1.2.3""#, r#""max_tokens":-1"#, r#""max_tokens":{}"#, r#""user_agent":"\ud83d""#]
    {
        bench.append(format!("{{\"account\":\"a\",\"time\":1,{field}}}\n"));
    }
    let progress = bench.run();
    assert_eq!((progress.lines, progress.events, progress.rejected), (4, 4, 0));
    expect![[r#"
        changed appeared
        unknown ip 1
        unknown max_tokens 2
        format weir, unread """#]]
    .assert_eq(&bench.heard.all());
}

#[test]
fn a_request_whose_key_was_refused_is_nobodys() {
    let bench = Bench::new();
    bench.append("{\"account\":\"guessed\",\"time\":1,\"status\":401}\n");
    bench.append("{\"account\":\"a\",\"time\":1,\"status\":200}\n");
    let progress = bench.run();
    assert_eq!((progress.lines, progress.events, progress.rejected, progress.unowned), (2, 1, 0, 1));
    assert!(bench.heard.all().contains("unowned 1"));
    // A log of nothing else comes to its end, too.
    bench.append("{\"account\":\"guessed\",\"time\":1,\"status\":401}\n");
    let progress = bench.run();
    assert_eq!((progress.lines, progress.events, progress.unowned, progress.at_end()), (1, 0, 1, true));
    assert_eq!(bench.run().lines, 0);
}

#[test]
fn refused_lines_are_told_at_the_first_and_at_every_tenfold() {
    let bench = Bench::new();
    bench.append(line(0));
    bench.append("{}\n".repeat(120));
    let progress = bench.run();
    assert_eq!((progress.events, progress.rejected), (1, 120));
    let told = bench.heard.all();
    let told: Vec<&str> = told.lines().filter(|line| line.starts_with("refused")).collect();
    let first = line(0).len();
    assert_eq!(
        told,
        [format!(
            "refused MISSING_FIELD 120 from {first}: fields `account` and `time` are missing: the line is of no format that Weir knows"
        )]
    );
    bench.append("{}\n".repeat(900));
    bench.run();
    assert_eq!(bench.heard.all().matches("refused").count(), 2);
}

#[test]
fn a_line_that_is_too_long_is_judged_by_what_is_small_of_it() {
    let mut bench = Bench::new();
    bench.config.line_bytes_max = 10_000;
    let prompt = "word ".repeat(1_000_000);
    bench.append(format!(
        "{{\"account\":\"a\",\"prompt\":\"{prompt}\",\"model\":\"m\",\"time\":1795242606}}\n"
    ));
    bench.append(line(1));
    let progress = bench.run();
    assert_eq!((progress.lines, progress.events, progress.rejected), (2, 2, 0));
    let events = bench.events();
    let Body::Request(request) = event(&events[0]).body else { panic!("a request") };
    let features = request.prompt.unwrap();
    assert_eq!((request.model, features.bytes as usize), (Some("m"), prompt.len()));
    assert_eq!(features.marks & 16, 16);
    // One that has no account is refused for its length.
    bench.append(format!("{{\"time\":1,\"prompt\":\"{prompt}\"}}\n"));
    assert_eq!(bench.run().rejected, 1);
    let letter = bench.letters().remove(0);
    assert_eq!((letter.kind, letter.length as usize), (DlqKind::LineTooLong, prompt.len() + 22));
}

#[test]
fn a_record_in_parts_is_read_over_commits_and_crashes() {
    let own = r#"{"account":"a","time":1,"prompt":"p"}"#;
    let part =
        |tag: &str, stream: &str, text: &str| format!("2026-11-21T06:30:06.1Z {stream} {tag} {text}\n");
    let bench = Bench::new();
    bench.append(part("F", "stdout", own));
    bench.append(part("P", "stdout", &own[..12]));
    bench.append(part("F", "stderr", r#"{"account":"b","time":2}"#));
    let progress = bench.run();
    // What came behind the first part waits for the last one, because the position stays before it.
    assert_eq!((progress.events, progress.rejected), (1, 0));
    // Another collector takes over.
    assert_eq!(bench.run().events, 0);
    bench.append(part("P", "stdout", &own[12..20]));
    assert_eq!(bench.run().events, 0);
    bench.append(part("F", "stdout", &own[20..]));
    let progress = bench.run();
    assert_eq!((progress.events, progress.rejected, progress.at_end()), (2, 0, true));
    let ids: BTreeSet<EventId> = bench.events().iter().map(|output| event(output).event_id).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn columns_keep_their_names_over_a_restart() {
    let bench = Bench::new();
    bench.append("time,account,prompt\n1795242606,a,\"two\nlines\"\n");
    assert_eq!(bench.run().events, 1);
    // Another collector goes on in the middle of the file.
    bench.append("1795242607,b,\"one, line\"\n1795242608,c,\"half");
    assert_eq!(bench.run().events, 1);
    bench.append("\nand half\"\n");
    let progress = bench.run();
    assert_eq!((progress.events, progress.rejected, progress.at_end()), (1, 0, true));
    let ids: BTreeSet<EventId> = bench.events().iter().map(|output| event(output).event_id).collect();
    assert_eq!((ids.len(), bench.letters().len()), (3, 0));
}

#[test]
fn invalid_utf8_that_is_no_json_either_goes_to_the_dead_letters() {
    check_refused(b"{\"account\":\"a\"\xff}", expect!["INVALID_UTF8 16: byte 14 of the line is not UTF-8"]);
}

#[test]
fn no_client_escapes_judgement_by_a_header_that_is_not_utf8() {
    let bench = Bench::new();
    // A lone byte, a sequence cut off by the quote, an overlong one, a surrogate.
    for (index, bytes) in [&b"\xff"[..], b"\xe2\x82", b"\xc0\xaf", b"\xed\xa0\x80"].into_iter().enumerate() {
        let (head, tail) =
            (format!("{{\"id\":\"{index}\",\"account\":\"a\",\"user_agent\":\"bot "), b"\",\"time\":1}\n");
        bench.append([head.as_bytes(), bytes, tail].concat());
    }
    let progress = bench.run();
    assert_eq!((progress.events, progress.rejected, progress.at_end()), (4, 0, true));
    assert!(bench.heard.all().contains("mended 4"), "{}", bench.heard.all());
    let agents: Vec<String> = bench
        .events()
        .iter()
        .map(|output| match event(output).body {
            Body::Request(request) => request.user_agent.unwrap().replace('\u{fffd}', "?"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(agents, ["bot ?", "bot ?", "bot ??", "bot ???"]);
}

#[test]
fn a_mended_line_is_refused_for_what_else_is_wrong_with_it() {
    check_refused(
        b"{\"account\":\"\",\"time\":1,\"model\":\"\xff\"}",
        expect![
            "MISSING_FIELD 35: field `account` is missing or empty in what looks like Weir's own JSON lines: write the API key or the account id as `account`"
        ],
    );
}

#[test]
fn a_time_from_the_future_goes_to_the_dead_letters() {
    check_refused(
        r#"{"account":"a","time":1795310000}"#,
        expect!["FUTURE_TIME 33: the time is 10000 s ahead of this node's clock: check both clocks"],
    );
}

#[test]
fn epoch_numbers_are_times() {
    let bench = Bench::new();
    for time in ["1795242606", "1795242606.0", "1795242606000", "\"1795242606\""] {
        bench.append(format!("{{\"account\":\"a\",\"time\":{time}}}\n"));
    }
    assert_eq!(bench.run().events, 4);
    assert!(bench.events().iter().all(|output| event(output).time_ms == 1_795_242_606_000));
}

#[test]
fn a_line_of_64_mib_is_skipped_and_the_next_one_read() {
    let bench = Bench::new();
    bench.append(line(0));
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        bench.append(&piece);
    }
    bench.append("\n");
    bench.append(line(1));
    let progress = bench.run();
    assert_eq!((progress.events, progress.rejected), (2, 1));
    let letter = bench.letters().remove(0);
    assert_eq!((letter.kind, letter.length), (DlqKind::LineTooLong, 64 << 20));
    assert_eq!(letter.reason, "the line is over the limit of 1048576 bytes");
    bench.assert_has_lines(2);
}

#[test]
fn a_line_in_two_writes_is_one_event() {
    let bench = Bench::new();
    let whole = line(0);
    let (first, second) = whole.split_at(20);
    let mut collector = bench.open();
    bench.append(first);
    assert_eq!(until_idle(&mut collector).lines, 0);
    bench.append(second);
    assert_eq!(until_idle(&mut collector).events, 1);
    bench.assert_has_lines(1);
}

#[test]
fn a_feed_that_is_absent_at_the_start_is_told_once_and_read_when_it_appears() {
    let bench = Bench::new();
    let mut collector = bench.open();
    for _ in 0..3 {
        assert_eq!(collector.run_once(Duration::ZERO).unwrap().state, SourceState::Unavailable);
    }
    bench.append(line(0));
    assert_eq!(until_idle(&mut collector).events, 1);
    let heard = bench.heard.all();
    assert_eq!(heard.matches("unavailable").count(), 1, "{heard}");
    assert!(heard.contains("No such file") && heard.contains("changed appeared"), "{heard}");
}

#[test]
fn rotation_by_rename_and_create_loses_nothing() {
    let bench = Bench::new();
    let mut collector = bench.open();
    bench.append(line(0));
    until_idle(&mut collector);
    bench.append(line(1));
    fs::rename(&bench.config.path, bench.path("access.jsonl.1")).unwrap();
    bench.append(line(2));
    until_idle(&mut collector);
    bench.assert_has_lines(3);
    assert!(bench.heard.all().contains("changed rotated"));
}

#[test]
fn copytruncate_loses_nothing() {
    let bench = Bench::new();
    let mut collector = bench.open();
    bench.append(line(0));
    until_idle(&mut collector);
    bench.append(line(1));
    fs::copy(&bench.config.path, bench.path("access.jsonl.1")).unwrap();
    fs::write(&bench.config.path, "").unwrap();
    bench.append(line(2));
    until_idle(&mut collector);
    bench.assert_has_lines(3);
    assert!(bench.heard.all().contains("changed truncated"));
}

#[test]
fn non_ascii_models_and_hashes_of_any_length_are_events() {
    let bench = Bench::new();
    for value in ["日", "é", "x", "", "モデル", &"ü".repeat(2_000)] {
        bench.append(format!(
            "{{\"account_id\":\"a\",\"ts\":1,\"model\":\"{value}\",\"system_prompt_hash\":\"{value}\",\"payment_method_hash\":\"{value}\"}}\n"
        ));
    }
    let progress = bench.run();
    assert_eq!((progress.events, progress.rejected), (6, 0));
}

#[test]
fn killed_anywhere_it_goes_on_at_the_exact_byte() {
    let mut bench = Bench::new();
    bench.config.batch_lines = 3;
    let content: String = (0..100).map(line).collect();
    let pieces = content.as_bytes().chunks(37);
    for (index, piece) in pieces.enumerate() {
        bench.append(piece);
        // Some are killed after a commit, some before they have read anything.
        let mut collector = bench.open();
        for _ in 0..index % 3 {
            collector.run_once(Duration::ZERO).unwrap();
        }
    }
    bench.run();
    bench.assert_has_lines(100);
}

#[test]
fn killed_around_rotations_it_loses_and_doubles_nothing() {
    let mut bench = Bench::new();
    bench.config.batch_lines = 2;
    for index in 0..60 {
        bench.append(line(index));
        if index % 7 == 6 {
            bench.open().run_once(Duration::ZERO).unwrap();
            fs::rename(&bench.config.path, bench.path(&format!("access.jsonl.{index}"))).unwrap();
            std::thread::sleep(Duration::from_millis(15));
        }
    }
    bench.append(line(60));
    bench.run();
    bench.assert_has_lines(61);
}

#[test]
fn a_full_disk_holds_the_batch_until_there_is_room() {
    let bench = Bench::new();
    bench.append((0..10).map(line).collect::<String>());
    let mut collector = bench.open();
    *bench.log.faults.lock().unwrap() = vec![Fault::Full; 3];
    assert_eq!(collector.run_once(Duration::ZERO).unwrap().state, SourceState::Held);
    assert!(bench.events().is_empty());
    assert!(
        bench.heard.all().contains("aborted collector/0 the log cannot be written: no space left on device")
    );
    let progress = until_idle(&mut collector);
    assert_eq!(progress.events, 10);
    bench.assert_has_lines(10);
}

#[test]
fn an_aborted_commit_is_tried_again() {
    let bench = Bench::new();
    bench.append((0..10).map(line).collect::<String>());
    *bench.log.faults.lock().unwrap() = vec![Fault::Abort, Fault::Abort];
    assert_eq!(bench.run().events, 10);
    bench.assert_has_lines(10);
}

#[test]
fn a_commit_of_unknown_outcome_is_neither_lost_nor_doubled() {
    for fault in [Fault::Forget, Fault::CommitAndForget] {
        let mut bench = Bench::new();
        bench.config.batch_lines = 4;
        bench.append((0..10).map(line).collect::<String>());
        *bench.log.faults.lock().unwrap() = vec![fault, fault, fault];
        assert_eq!(bench.run().events, 10);
        bench.assert_has_lines(10);
    }
}

#[test]
fn a_second_collector_of_the_same_source_ends_the_first() {
    let bench = Bench::new();
    bench.append(line(0));
    let mut first = bench.open();
    let mut second = bench.open();
    assert!(matches!(first.run_once(Duration::ZERO), Err(CollectorError::Fenced { .. })));
    until_idle(&mut second);
    bench.assert_has_lines(1);
}

#[test]
fn a_collector_that_comes_back_behind_another_reads_on_where_that_one_ended() {
    let bench = Bench::new();
    bench.append((0..10).map(line).collect::<String>());
    let mut first = bench.open();
    *bench.log.faults.lock().unwrap() = vec![Fault::Forget];
    assert_eq!(first.run_once(Duration::ZERO).unwrap().state, SourceState::Held);
    bench.append(line(10));
    until_idle(&mut bench.open());
    bench.append(line(11));
    assert_eq!(until_idle(&mut first).events, 1);
    bench.assert_has_lines(12);
}

#[test]
fn an_account_is_announced_in_the_commit_of_its_first_event_and_again_after_a_restart() {
    let mut bench = Bench::new();
    bench.config.batch_lines = 1;
    for (index, account) in ["a", "a", "b", "a", "b"].into_iter().enumerate() {
        bench.append(format!(
            "{{\"account\":\"{account}\",\"time\":{}}}\n",
            1_795_000_000_000_i64 + index as i64
        ));
    }
    let mut collector = bench.open();
    let mut seen = Vec::new();
    for _ in 0..5 {
        collector.run_once(Duration::ZERO).unwrap();
        seen.push((bench.events().len(), bench.announcements()));
    }
    assert_eq!(seen, [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2)]);
    drop(collector);
    bench.append("{\"account\":\"a\",\"time\":1795000000009}\n");
    bench.run();
    assert_eq!((bench.events().len(), bench.announcements()), (6, 3));
}

#[test]
fn what_was_announced_in_a_commit_that_came_to_nothing_is_announced_again() {
    let bench = Bench::new();
    let mut first = bench.open();
    bench.append(line(0));
    bench.log.faults.lock().unwrap().push(Fault::Forget);
    assert_eq!(first.run_once(Duration::ZERO).unwrap().state, SourceState::Held);
    assert_eq!(bench.announcements(), 0);
    until_idle(&mut first);
    bench.assert_has_lines(1);
    assert_eq!(bench.announcements(), 1);
}

#[test]
fn two_nodes_keep_their_own_positions() {
    let mut bench = Bench::new();
    bench.append(line(0));
    bench.run();
    let second = bench.path("other/access.jsonl");
    let first = std::mem::replace(&mut bench.config.path, second);
    fs::create_dir(bench.path("other")).unwrap();
    bench.append(line(1));
    bench.config.node = "node-2".into();
    assert_eq!(bench.run().events, 1);
    (bench.config.node, bench.config.path) = ("node-1".into(), first);
    assert_eq!(bench.run().events, 0);
    bench.assert_has_lines(2);
}

#[test]
fn a_stored_position_of_an_unknown_format_is_refused() {
    let bench = Bench::new();
    let state =
        weir_schemas::State { format: 99, kind: weir_schemas::StateKind::Cursor, ..Default::default() };
    let payload = Wire::new().to_bytes(&state);
    let output = Output::keyed(Topic::StateCollector, b"node-1/access.jsonl".to_vec(), payload, 0)
        .in_partition(weir_topology::key::partition_of(b"node-1/access.jsonl", 3));
    let commit = Commit { outputs: vec![output], positions: Vec::new() };
    bench.log.inner.writer("test").unwrap().commit(&commit).unwrap();
    let Err(error) = bench.try_open() else { panic!("it opened") };
    expect![
        "the stored position of node-1/access.jsonl cannot be read: it has format 99; upgrade, or give the source a new name"
    ]
    .assert_eq(&error.to_string());
}

#[test]
fn an_import_reads_a_plain_file_to_its_end_and_only_once() {
    let mut bench = Bench::new();
    bench.config.mode = Mode::Import;
    bench.append((0..10).map(line).collect::<String>());
    bench.append(line(10).trim_end());
    let size = fs::metadata(&bench.config.path).unwrap().len();
    assert_eq!(bench.open().read_of(), Some((0, size)));
    assert_eq!(bench.run().events, 11);
    bench.assert_has_lines(11);
    assert_eq!(bench.run().events, 0);
}

#[test]
fn an_import_of_gzip_goes_on_where_it_was_killed() {
    let mut bench = Bench::new();
    bench.config.mode = Mode::Import;
    bench.config.batch_lines = 7;
    let mut members = Vec::new();
    for range in [0..400, 400..1_000] {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(range.map(line).collect::<String>().as_bytes()).unwrap();
        members.extend(encoder.finish().unwrap());
    }
    fs::write(&bench.config.path, members).unwrap();
    let mut done = false;
    while !done {
        let mut collector = bench.open();
        for _ in 0..40 {
            done = collector.run_once(Duration::ZERO).unwrap().at_end();
        }
    }
    bench.assert_has_lines(1_000);
}

#[test]
fn a_gzip_file_that_is_cut_short_is_an_error_that_says_where() {
    let mut bench = Bench::new();
    bench.config.mode = Mode::Import;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all((0..1_000).map(line).collect::<String>().as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    fs::write(&bench.config.path, &whole[..whole.len() / 2]).unwrap();
    let mut collector = bench.open();
    let error = loop {
        match collector.run_once(Duration::ZERO) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, CollectorError::Read { .. }), "{error}");
    drop(collector);
    // What is there is whole lines, and they are kept: the rest comes with the whole file.
    let kept = bench.events().len();
    assert!(kept > 300, "{kept} lines");
    fs::write(&bench.config.path, &whole).unwrap();
    bench.run();
    bench.assert_has_lines(1_000);
}

#[test]
fn an_import_reads_zstandard() {
    let mut bench = Bench::new();
    bench.config.mode = Mode::Import;
    let lines: String = (0..1_000).map(line).collect();
    fs::write(&bench.config.path, zstd::encode_all(lines.as_bytes(), 3).unwrap()).unwrap();
    assert_eq!(bench.run().events, 1_000);
    bench.assert_has_lines(1_000);
}

#[test]
fn lines_of_a_file_that_grows_slowly_share_a_commit() {
    let mut bench = Bench::new();
    bench.config.linger = Duration::from_millis(300);
    let mut collector = bench.open();
    let mut states = Vec::new();
    for index in 0..10 {
        bench.append(line(index));
        states.push(collector.run_once(Duration::ZERO).unwrap().state);
    }
    assert_eq!(states, [SourceState::Lingering; 10]);
    assert!(bench.events().is_empty());
    let waited = collector.run_once(Duration::from_secs(10)).unwrap();
    assert_eq!((waited.events, bench.log.inner.all(Topic::StateCollector).len()), (10, 2));
    bench.assert_has_lines(10);
}

#[test]
fn sources_spread_over_the_partitions_and_read_their_own_position_only() {
    let mut bench = Bench::new();
    bench.append(line(0));
    let mut partitions = BTreeSet::new();
    for index in 0..12 {
        bench.config.node = format!("node-{index}");
        bench.run();
        let place = |partition: &u32| bench.log.bounds(Topic::StateCollector, *partition).unwrap().1 > 0;
        partitions.extend((0..3).filter(place));
    }
    assert_eq!(partitions.len(), 3);
}

#[test]
fn an_import_of_a_file_that_is_not_there_is_an_error() {
    let mut bench = Bench::new();
    bench.config.mode = Mode::Import;
    assert!(matches!(bench.try_open(), Err(CollectorError::Read { .. })));
}

#[test]
fn settings_out_of_range_are_refused() {
    let mut bench = Bench::new();
    bench.config.line_bytes_max = usize::MAX;
    let Err(error) = bench.try_open() else { panic!("it opened") };
    expect!["line_bytes_max: must be 1 to 16777216"].assert_eq(&error.to_string());
}

#[test]
fn a_clock_that_stands_still_is_no_reason_to_stop() {
    let bench = Bench::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    bench.append(line(0));
    let keys = Keys {
        pseudonymizer: Pseudonymizer::new([1; 32], 1),
        sealer: Sealer::new(1, &[2; 32], [9; 32]).unwrap(),
    };
    let clock = Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        NOW_MS
    });
    let wire = Arc::new(Wire::new());
    let mut collector =
        Collector::open(&bench.log, bench.config.clone(), keys, wire, bench.heard.clone(), clock).unwrap();
    until_idle(&mut collector);
    assert!(calls.load(Ordering::Relaxed) > 0);
    bench.assert_has_lines(1);
}

#[test]
fn a_canary_is_in_no_topic_no_telemetry_and_no_error() {
    let bench = Bench::new();
    bench.append(
        "{\"id\":\"0\",\"account\":\"canary-a\",\"time\":1795242606,\"ip\":\"198.51.100.99\",\"prompt\":\"canary-b\",\"system_prompt\":\"canary-c\",\"org\":\"canary-d\",\"payment\":\"canary-e\"}\n",
    );
    for bad in [
        r#"{"account":"canary-a","time":"canary-t"}"#,
        r#"{"account":"canary-a","time":1,"ip":"canary-i"}"#,
        r#"{"account":"canary-a","time":1,"tokens":"canary-n"}"#,
        r#"{"account":"canary-a","prompt":"canary-p"}"#,
        r#"{"account":"canary-a" "canary-s"}"#,
        r#""canary-string""#,
        r#"{"account":["canary-a"],"time":1}"#,
        r#"{"account":"canary-a","time":9795242606}"#,
    ] {
        bench.append(format!("{bad}\n"));
    }
    bench.append(b"canary-\xff\n");
    let progress = bench.run();
    assert_eq!((progress.events, progress.rejected), (4, 6));
    let mut seen = bench.heard.all().into_bytes();
    for topic in Topic::ALL {
        for output in bench.log.inner.all(*topic) {
            seen.extend(output.key);
            seen.extend(output.payload.unwrap_or_default());
            output.headers.into_iter().for_each(|(_, value)| seen.extend(value));
        }
    }
    for canary in [&b"canary"[..], b"198.51.100"] {
        assert!(!seen.windows(canary.len()).any(|window| window == canary));
    }
}
