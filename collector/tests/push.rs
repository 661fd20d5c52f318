//! What is pushed: committed before it is answered, and once, whatever the sender, the log and the node do.

#![allow(clippy::unwrap_used)] // A test's helpers may panic as its tests may.

mod common;

use common::{Fault, FaultyLog, Hand, NOW_MS};
use expect_test::{Expect, expect};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_collector::limits::PUSH_COMMIT_BYTES;
use weir_collector::push::body::{Content, Delivery, Notation, Packing};
use weir_collector::push::{Answer, Taken};
use weir_collector::{CollectorError, Format, Intake, Keys, Pseudonymizer, PushConfig, Sealer, Tenants};
use weir_schemas::wire::{Wire, split};
use weir_schemas::{Body, DeadLetter, DlqKind, Event, Record, SourceKind};
use weir_topology::clock::Clock;
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::telemetry::Telemetry;
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
    fn line_rejected(&self, kind: DlqKind) {
        self.push(format!("rejected {kind}"));
    }
    fn pushed_refused(&self, kind: DlqKind, count: u64, reason: &str) {
        self.push(format!("refused {kind} {count}: {reason}"));
    }
    fn pushed_known(&self, requests: u64, records: u64) {
        self.push(format!("known {requests} requests, {records} records"));
    }
    fn records_other(&self, records: u64) {
        self.push(format!("other {records}"));
    }
    fn commit_aborted(&self, _: TaskId, reason: &str) {
        self.push(format!("away: {reason}"));
    }
}

struct Bench {
    log: FaultyLog,
    heard: Arc<Heard>,
    pace: Arc<Hand>,
    format: Format,
}

impl Bench {
    fn new() -> Self {
        let log = FaultyLog::new(MemoryLog::new(3));
        Self { log, heard: Arc::default(), pace: Arc::default(), format: Format::Auto }
    }

    fn open(&self) -> Intake<'_> {
        self.try_open("node-1").unwrap()
    }

    fn try_open(&self, node: &str) -> Result<Intake<'_>, CollectorError> {
        let keys = Keys {
            pseudonymizer: Pseudonymizer::new([1; 32], 1),
            sealer: Sealer::new(1, &[2; 32], [9; 32]).unwrap(),
        };
        let config = PushConfig {
            source: "listen".into(),
            node: node.into(),
            tenants: Tenants::any("default"),
            format: self.format.clone(),
            keep_text: true,
            body_bytes_max: 1 << 20,
        };
        let (wire, heard) = (Arc::new(Wire::new()), self.heard.clone());
        let intake = Intake::open(&self.log, config, keys, wire, heard, Arc::new(|| NOW_MS))?;
        Ok(intake.paced_by(self.pace.clone()))
    }

    fn events(&self) -> Vec<Output> {
        self.log.inner.all(Topic::Events)
    }

    fn letters(&self) -> Vec<DeadLetter> {
        let wire = Wire::new();
        let outputs = self.log.inner.all(Topic::Dlq);
        outputs.iter().map(|output| wire.read(output.payload.as_deref().unwrap()).unwrap()).collect()
    }

    /// The events' prompts, in alphabetical order.
    fn prompts(&self) -> Vec<String> {
        let prompt = |output: &Output| {
            let Body::Request(request) = event(output).body else { panic!("no request") };
            request.prompt.and_then(|prompt| prompt.text).unwrap_or_default().to_string()
        };
        let mut prompts: Vec<String> = self.events().iter().map(prompt).collect();
        prompts.sort();
        prompts
    }
}

fn event(output: &Output) -> Event<'_> {
    Event::decode(split(output.payload.as_deref().unwrap()).unwrap().1).unwrap()
}

fn delivery(content: Content, body: impl Into<Vec<u8>>) -> Delivery {
    Delivery { content, notation: Notation::Json, packing: Packing::Plain, body: body.into() }
}

fn lines(body: impl Into<Vec<u8>>) -> Delivery {
    delivery(Content::Lines, body)
}

fn line(number: usize) -> String {
    format!(r#"{{"id":"1","account":"acct-{}","time":1795242606,"prompt":"word {number}"}}"#, number % 7)
}

fn span(number: usize) -> String {
    format!(
        r#"{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"{number:016x}","name":"chat m-1",
            "startTimeUnixNano":"1795242606000000000","endTimeUnixNano":"1795242607000000000",
            "attributes":[{{"key":"gen_ai.request.model","value":{{"stringValue":"m-1"}}}},
            {{"key":"enduser.id","value":{{"stringValue":"acct-{number}"}}}},
            {{"key":"gen_ai.prompt.0.content","value":{{"stringValue":"word {number}"}}}}]}}"#
    )
}

fn other_span() -> String {
    r#"{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"GET /health",
        "startTimeUnixNano":"1795242606000000000","attributes":[]}"#
        .into()
}

fn traces(spans: &[String]) -> Delivery {
    let spans = spans.join(",");
    let resource = r#"{"attributes":[{"key":"service.name","value":{"stringValue":"gateway"}}]}"#;
    delivery(
        Content::Traces,
        format!(
            r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"scope":{{}},"spans":[{spans}]}}]}}]}}"#
        ),
    )
}

fn logs(records: &[&str]) -> Delivery {
    let records = records.join(",");
    delivery(Content::Logs, format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#))
}

fn taken(answer: &Answer) -> &Taken {
    match answer {
        Answer::Taken(taken) => taken,
        other => panic!("it was not taken: {other:?}"),
    }
}

fn take(intake: &mut Intake<'_>, delivery: &Delivery) -> Answer {
    intake.take(std::slice::from_ref(delivery)).unwrap().remove(0)
}

#[test]
fn lines_lists_and_objects_over_several_lines_are_events_with_who_is_behind_them() {
    let bench = Bench::new();
    let mut intake = bench.open();
    let pretty = line(4).replace(',', ",\n  ").replace('{', "{\n  ").replace('}', "\n}");
    let bodies = [
        format!("{}\r\n{}\n", line(0), line(1)),
        format!("[{},\n{}]", line(2), line(3)),
        format!("{pretty}\n"),
        format!("\u{feff}{}", line(5)),
        "\n \n".into(),
    ];
    let answers = intake.take(&bodies.map(lines)).unwrap();
    let events: Vec<u64> = answers.iter().map(|answer| taken(answer).events).collect();
    assert_eq!(events, [2, 2, 1, 1, 0]);
    assert_eq!(bench.prompts(), ["word 0", "word 1", "word 2", "word 3", "word 4", "word 5"]);
    let (events, announced) = (bench.events(), bench.log.inner.all(Topic::Identities));
    for output in &events {
        assert_eq!(event(output).source, SourceKind::Push);
        assert!(announced.iter().any(|one| one.key == output.key), "every account was announced");
    }
    assert_eq!(announced.len(), 6);
}

#[test]
fn spans_of_requests_to_a_model_are_events_and_others_are_passed_over() {
    let bench = Bench::new();
    let answer = take(&mut bench.open(), &traces(&[span(1), other_span(), span(2)]));
    assert_eq!(*taken(&answer), Taken { events: 2, other: 1, ..Taken::default() });
    assert_eq!(bench.prompts(), ["word 1", "word 2"]);
    assert_eq!(bench.letters().len(), 0, "no dead letters of what is no request to a model");
    assert_eq!(bench.heard.all(), "other 1");
}

#[test]
fn a_log_shippers_record_around_a_gateways_line_is_that_line() {
    let bench = Bench::new();
    let body = |line: &str| {
        let text = line.replace('\\', "\\\\").replace('"', "\\\"");
        format!(r#"{{"timeUnixNano":"1795242700000000000","body":{{"stringValue":"{text}"}}}}"#)
    };
    let parsed = r#"{"timeUnixNano":"1","body":{"kvlistValue":{"values":[
        {"key":"account","value":{"stringValue":"acct-9"}},{"key":"time","value":{"intValue":"1795242606"}},
        {"key":"prompt","value":{"stringValue":"word 9"}}]}}}"#;
    let plain = r#"{"timeUnixNano":"1","body":{"stringValue":"the gateway has started"}}"#;
    let torn = body("{\"account\":");
    let answer = take(&mut bench.open(), &logs(&[&body(&line(3)), parsed, plain, &torn]));
    let reason = "record 3: it is no JSON object, or a torn one, at byte 12".into();
    assert_eq!(
        *taken(&answer),
        Taken { events: 2, other: 1, refused: 1, reason: Some(reason), ..Taken::default() }
    );
    assert_eq!(bench.prompts(), ["word 3", "word 9"]);
}

#[test]
fn a_record_that_cannot_be_read_is_refused_by_itself_and_its_letter_quotes_nothing() {
    let bench = Bench::new();
    let secret = "sk-secret";
    let body = format!("{}\n{{\"account\":\"{secret}\"}}\n{}\n{{\"torn\n", line(1), line(2));
    let answer = take(&mut bench.open(), &lines(body));
    let (taken, letters) = (taken(&answer), bench.letters());
    assert_eq!((taken.events, taken.refused), (2, 2));
    let reason = taken.reason.clone().unwrap();
    assert!(reason.starts_with("record 2: field"), "{reason}");
    let told: Vec<_> =
        letters.iter().map(|letter| (letter.kind, letter.origin.as_str(), letter.offset)).collect();
    assert_eq!(
        told,
        [(DlqKind::MissingField, "pushed to /v1/lines", 2), (DlqKind::InvalidJson, "pushed to /v1/lines", 4)]
    );
    assert!(!format!("{letters:?}{}{answer:?}", bench.heard.all()).contains(secret));
}

#[test]
fn a_request_that_comes_again_makes_no_second_event_even_after_a_crash() {
    let bench = Bench::new();
    let requests = [lines(line(1)), traces(&[span(1), span(2)]), logs(&[&span(3)])];
    let answers = bench.open().take(&requests).unwrap();
    assert!(answers.iter().all(|answer| taken(answer).events > 0), "{answers:?}");
    let events = bench.events().len();
    // The process was killed between commit and answer; another has taken its place.
    let again = bench.open().take(&requests).unwrap();
    assert!(again.iter().all(|answer| *taken(answer) == Taken { came_before: true, ..Taken::default() }));
    assert_eq!((bench.events().len(), events), (4, 4));
    assert_eq!(bench.heard.all(), "known 3 requests, 0 records");
}

#[test]
fn a_request_that_comes_twice_before_either_is_committed_is_taken_once() {
    let bench = Bench::new();
    let answers = bench.open().take(&[lines(line(1)), lines(line(1)), traces(&[span(1)])]).unwrap();
    let known: Vec<bool> = answers.iter().map(|answer| taken(answer).came_before).collect();
    assert_eq!((known, bench.events().len()), (vec![false, true, false], 2));
}

#[test]
fn a_span_that_comes_again_in_another_batch_is_the_same_event() {
    let bench = Bench::new();
    let mut intake = bench.open();
    take(&mut intake, &traces(&[span(1), span(2)]));
    let answer = take(&mut intake, &traces(&[span(2), span(3), span(3)]));
    assert_eq!(*taken(&answer), Taken { events: 1, known: 2, ..Taken::default() });
    assert_eq!(bench.prompts(), ["word 1", "word 2", "word 3"]);
}

#[test]
fn records_without_an_id_of_their_own_are_events_each_however_alike_they_are() {
    let bench = Bench::new();
    let mut intake = bench.open();
    // A client may choose the request id, and must not make two requests one by it.
    take(&mut intake, &lines([line(1), line(1), line(2)].join("\n")));
    take(&mut intake, &lines([line(1), line(3)].join("\n")));
    // Log records of one span carry its id, all of them.
    take(&mut intake, &logs(&[&span(4), &span(4)]));
    let mut ids: Vec<_> = bench.events().iter().map(|output| event(output).event_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7);
}

#[test]
fn while_the_log_is_away_nothing_is_taken_and_what_comes_again_is_an_event_once() {
    for faults in [
        vec![Fault::Full],
        vec![Fault::Abort, Fault::Abort],
        vec![Fault::Forget],
        vec![Fault::CommitAndForget],
        vec![Fault::CommitAndForget, Fault::Forget, Fault::Full],
    ] {
        let bench = Bench::new();
        let mut intake = bench.open();
        take(&mut intake, &traces(&[span(1)]));
        *bench.log.faults.lock().unwrap() = faults.clone();
        let request = lines([line(2), line(3)].join("\n"));
        let mut tries = 0;
        let answer = loop {
            match take(&mut intake, &request) {
                Answer::Unavailable => bench.pace.sleep(Duration::from_secs(20)),
                answer => break answer,
            }
            tries += 1;
        };
        assert_eq!(tries, faults.len(), "{faults:?}");
        taken(&answer);
        assert_eq!(bench.prompts(), ["word 1", "word 2", "word 3"], "{faults:?}");
        let announced = bench.log.inner.all(Topic::Identities);
        for output in bench.events() {
            assert!(
                announced.iter().any(|one| one.key == output.key),
                "{faults:?}: every account was announced"
            );
        }
    }
}

#[test]
fn a_log_that_is_away_is_not_asked_by_every_request() {
    let bench = Bench::new();
    let mut intake = bench.open();
    *bench.log.faults.lock().unwrap() = vec![Fault::Full];
    assert_eq!(take(&mut intake, &lines(line(1))), Answer::Unavailable);
    assert_eq!(take(&mut intake, &lines(line(1))), Answer::Unavailable);
    assert_eq!(bench.heard.all(), "away: the log cannot be written: no space left on device");
    bench.pace.sleep(Duration::from_secs(1));
    assert_eq!(taken(&take(&mut intake, &lines(line(1)))).events, 1);
}

#[test]
fn an_intake_that_another_took_over_from_ends_and_leaves_nothing() {
    let bench = Bench::new();
    let mut first = bench.open();
    let mut second = bench.open();
    take(&mut second, &lines(line(1)));
    let error = first.take(&[lines(line(2))]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "another collector took over push/node-1/listen: give each node a name of its own, or stop one of them"
    );
    assert_eq!(bench.prompts(), ["word 1"]);
    // Other nodes are others' business.
    let mut third = bench.try_open("node-2").unwrap();
    assert_eq!(taken(&take(&mut third, &lines(line(1)))).events, 1);
}

/// What is said to a request that cannot be taken; nothing of it may be there afterwards.
fn check_not_taken(delivery: &Delivery, expected: Expect) {
    let bench = Bench::new();
    let answer = take(&mut bench.open(), delivery);
    expected.assert_eq(&format!("{answer:?}"));
    assert_eq!((bench.events().len(), bench.letters().len()), (0, 0));
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(body).unwrap();
    packed.finish().unwrap()
}

#[test]
fn packed_bodies_are_unpacked() {
    let bench = Bench::new();
    let mut intake = bench.open();
    let members = [gzipped(format!("{}\n", line(1)).as_bytes()), gzipped(line(2).as_bytes())].concat();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(line(3).as_bytes()).unwrap();
    let bodies = [
        (Packing::Gzip, members),
        (Packing::Deflate, zlib.finish().unwrap()),
        (Packing::Zstd, zstd::encode_all(line(4).as_bytes(), 3).unwrap()),
    ];
    for (packing, body) in bodies {
        let answer = take(&mut intake, &Delivery { packing, ..lines(body) });
        assert!(taken(&answer).events > 0, "{packing:?}");
    }
    assert_eq!(bench.prompts(), ["word 1", "word 2", "word 3", "word 4"]);
}

#[test]
fn a_body_that_is_not_what_it_says_is_not_taken() {
    let whole = gzipped(line(1).as_bytes());
    let packed = |body: &[u8]| Delivery { packing: Packing::Gzip, ..lines(body) };
    check_not_taken(
        &packed(&whole[..whole.len() - 9]),
        expect![[
            r#"Malformed("the body cannot be unpacked as its Content-Encoding says: incomplete deflate stream")"#
        ]],
    );
    check_not_taken(
        &packed(line(1).as_bytes()),
        expect![[
            r#"Malformed("the body cannot be unpacked as its Content-Encoding says: invalid gzip header")"#
        ]],
    );
    let Delivery { body, .. } = traces(&[span(1), span(2)]);
    check_not_taken(
        &delivery(Content::Traces, &body[..body.len() - 40]),
        expect![[r#"Malformed("the body is no JSON object, or a torn one, at byte 953")"#]],
    );
    check_not_taken(
        &delivery(Content::Traces, "[1]"),
        expect![[r#"Malformed("the body is no JSON object, or a torn one, at byte 1")"#]],
    );
    check_not_taken(
        &delivery(Content::Logs, [&b"{}"[..], b"x"].concat()),
        expect![[r#"Malformed("the body is no JSON object, or a torn one, at byte 3")"#]],
    );
}

#[test]
fn a_bomb_is_stopped_at_the_limit_and_so_are_too_many_records() {
    let bomb = gzipped(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100_000, "it is small as it comes: {}", bomb.len());
    check_not_taken(
        &Delivery { packing: Packing::Gzip, ..lines(bomb) },
        expect![[
            r#"TooLarge("the body is over the limit of 1048576 bytes, unpacked: send smaller batches, or raise listener.body_bytes_max")"#
        ]],
    );
    check_not_taken(
        &lines("{}\n".repeat(100_001)),
        expect![[r#"TooLarge("the request has over 100000 records: send smaller batches")"#]],
    );
}

/// A field of protobuf that is bytes.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut length = bytes.len();
    let mut head = vec![tag << 3 | 2];
    while length >= 0x80 {
        head.push(length as u8 | 0x80);
        length >>= 7;
    }
    head.push(length as u8);
    [head, bytes.to_vec()].concat()
}

#[test]
fn whatever_many_small_bodies_unpack_to_is_committed_in_pieces_that_are_bounded() {
    let bench = Bench::new();
    let mut intake = bench.open();
    // Nothing but dead letters, each of which is many times as large as what it is of.
    let body = |number: usize| format!("[{{\"n\":{number}}},{}]", vec!["{}"; 9_998].join(","));
    let packed =
        |number: usize| Delivery { packing: Packing::Gzip, ..lines(gzipped(body(number).as_bytes())) };
    let mut deliveries: Vec<Delivery> = (0..24).map(packed).collect();
    assert!(deliveries.iter().map(|delivery| delivery.body.len()).sum::<usize>() < 24 << 10);
    deliveries.push(lines(line(1)));
    deliveries.push(delivery(Content::Traces, "no json"));
    deliveries.push(lines(line(2)));
    let answers = intake.take(&deliveries).unwrap();
    assert_eq!(answers.len(), 27);
    assert!(answers[..24].iter().all(|answer| taken(answer).refused == 9_999), "{answers:?}");
    assert_eq!((taken(&answers[24]).events, taken(&answers[26]).events), (1, 1));
    assert!(matches!(answers[25], Answer::Malformed(_)));
    let largest = *bench.log.largest.lock().unwrap();
    assert!((PUSH_COMMIT_BYTES..2 * PUSH_COMMIT_BYTES).contains(&largest), "{largest} bytes in one commit");
    // Each of them is known again, whichever commit it was in.
    let again = intake.take(&deliveries).unwrap();
    assert!([0, 12, 23, 24, 26].iter().all(|index| taken(&again[*index]).came_before), "{again:?}");
}

#[test]
fn when_the_log_goes_away_between_two_commits_those_behind_are_told_to_come_again() {
    let bench = Bench::new();
    let mut intake = bench.open();
    let large = |number: usize| lines(format!("[{{\"n\":{number}}},{}]", vec!["{}"; 89_999].join(",")));
    let deliveries = [large(1), lines(line(1)), lines(line(2))];
    // The first commit goes well, the next one does not.
    *bench.log.faults.lock().unwrap() = vec![Fault::Abort];
    bench.log.passes.store(1, std::sync::atomic::Ordering::Relaxed);
    let answers = intake.take(&deliveries).unwrap();
    assert_eq!(taken(&answers[0]).refused, 90_000);
    assert_eq!(answers[1..], [Answer::Unavailable, Answer::Unavailable]);
    assert_eq!(bench.prompts(), [""; 0]);
    bench.pace.sleep(Duration::from_secs(60));
    let again = intake.take(&deliveries).unwrap();
    assert!(taken(&again[0]).came_before);
    assert_eq!(bench.prompts(), ["word 1", "word 2"]);
}

#[test]
fn a_body_of_many_empty_things_costs_no_more_than_what_it_is_read_as() {
    let protobuf =
        |body: Vec<u8>, content| Delivery { notation: Notation::Protobuf, ..delivery(content, body) };
    let bench = Bench::new();
    let mut intake = bench.open();
    // Each is two bytes; as a list of them, thirty-two.
    for (tag, count) in [(1, 500_000), (7, 500_000)] {
        let answer = take(&mut intake, &protobuf(field(tag, b"").repeat(count), Content::Traces));
        assert_eq!(*taken(&answer), Taken::default());
    }
    // A span of nothing but attributes without a name is a text of 24 bytes each, and one that is too large
    // is not made.
    let span = field(9, b"").repeat(900_000 / 2);
    let answer = take(&mut intake, &protobuf(field(1, &field(2, &field(2, &span))), Content::Traces));
    assert_eq!(*taken(&answer), Taken { other: 1, ..Taken::default() });
    let deep = |levels: usize| (0..levels).fold(field(1, b"x"), |inner, _| field(5, &field(1, &inner)));
    for body in [field(5, &deep(5_000)), field(6, &field(5, &deep(200)).repeat(300))] {
        let body = field(1, &field(2, &field(2, &body)));
        let answer = take(&mut intake, &protobuf(body, Content::Logs));
        assert_eq!(taken(&answer).events, 0, "{answer:?}");
    }
}

#[test]
fn an_export_of_nothing_is_taken() {
    let bench = Bench::new();
    let mut intake = bench.open();
    for body in ["{}", r#"{"resourceSpans":[]}"#, r#"{"resourceSpans":[{"scopeSpans":null}],"new":[[{}]]}"#] {
        let answer = take(&mut intake, &delivery(Content::Traces, body));
        assert_eq!(*taken(&answer), Taken::default(), "{body}");
    }
}

#[test]
fn what_one_request_says_of_columns_or_leaves_open_is_not_the_next_ones() {
    let bench = Bench::new();
    let mut intake = bench.open();
    take(&mut intake, &lines("account,time,prompt\nacct-1,1795242606,word 1\n"));
    take(&mut intake, &lines("{\n\"account\":\"acct-2\","));
    let answer = take(&mut intake, &lines("acct-3,1795242606,word 3\n"));
    assert_eq!((taken(&answer).events, taken(&answer).refused), (0, 1));
    take(&mut intake, &lines("\"time\":1795242606,\"prompt\":\"word 2\"}"));
    assert_eq!(bench.prompts(), ["word 1"]);
}

#[test]
fn a_format_of_ones_own_reads_lines_and_spans_are_read_as_ever() {
    let mut bench = Bench::new();
    let text = "shape = [\"who\"]\n[fields]\naccount = \"who\"\ntime = \"when\"\nprompt = \"words\"\n";
    bench.format = Format::of_file("mine", text).unwrap();
    let mut intake = bench.open();
    take(&mut intake, &lines(r#"{"who":"acct-1","when":1795242606,"words":"word 1"}"#));
    take(&mut intake, &traces(&[span(2), other_span()]));
    assert_eq!((bench.prompts(), bench.letters().len()), (vec!["word 1".into(), "word 2".into()], 0));
}
