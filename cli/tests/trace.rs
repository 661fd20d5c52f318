//! `--trace`: what a real TLS server reads and writes is what is judged, every loss is counted, and the
//! server never notices. As root, with the kernel side built in; traced is only what the tests start.

#![cfg(feature = "ebpf")]
#![allow(clippy::unwrap_used)]

#[path = "trace/budget.rs"]
mod budget;
mod common;
#[path = "trace/cost.rs"]
mod cost;
#[path = "trace/hello.rs"]
mod hello;
#[path = "trace/memory.rs"]
mod memory;
#[path = "trace/peers.rs"]
mod peers;
#[path = "trace/placement.rs"]
mod placement;
#[path = "trace/privileges.rs"]
mod privileges;
#[path = "trace/tenants.rs"]
mod tenants;
#[path = "trace/top.rs"]
mod top;

use common::tracing::{PYTHON, Program, can_trace};
use common::{Place, Running, eventually, metric, success, text, weir};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use weir_schemas::wire::split;
use weir_schemas::{Body, Event, EventId, Record, Request, SourceKind};
use weir_topology::embedded::EmbeddedLog;
use weir_topology::history::read_range;
use weir_topology::log::Log;
use weir_topology::topic::Topic;

const SERVER: &str = include_str!("trace/server.py");
const CLIENT: &str = include_str!("trace/client.py");

const READER: &str = include_str!("trace/reader.py");

fn success_of(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

struct Bench {
    place: Place,
    certificate: PathBuf,
    key: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let place = Place::new();
        let [certificate, key] = ["server.pem", "server.key"].map(|name| place.directory.path().join(name));
        let mut command = Command::new("openssl");
        command.args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ]);
        command.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        success(command);
        Self { place, certificate, key }
    }

    fn server(&self, has_tls: bool) -> (Program, String) {
        self.server_by(Path::new(PYTHON), has_tls)
    }

    fn server_by(&self, python: &Path, has_tls: bool) -> (Program, String) {
        let mut command = Command::new(python);
        // Wherever its executable is.
        command.env("PYTHONHOME", "/usr");
        command.args(["-c", SERVER]).arg(&self.place.feed);
        if has_tls {
            command.arg(&self.certificate).arg(&self.key);
        }
        let mut server = Program::start(&mut command);
        let port = server.said();
        (server, port)
    }

    fn tracing(&self, process: &str, how: &[&str]) -> Tracing {
        let mut command = weir(&["run", "--node", "test", "--trace", process]);
        command.arg("--data-dir").arg(&self.place.data).arg("--output-dir").arg(&self.place.output);
        command.arg("--keys-dir").arg(&self.place.keys).args(how);
        Tracing::start(command)
    }

    /// The events of what was traced, and those of what the server logged, by the path that each request has
    /// for itself.
    fn events(&self) -> [BTreeMap<String, Seen>; 2] {
        let (data, output) = self.place.beside();
        let mut logged = self.place.run_in(&data, &output);
        logged.arg("--until-idle");
        success(logged);
        [seen(&self.place.data, SourceKind::Uprobe), seen(&data, SourceKind::Tail)]
    }
}

/// A `weir run` that traces.
struct Tracing {
    running: Running,
    metrics: String,
    log: Arc<Mutex<String>>,
}

impl Tracing {
    fn start(mut command: Command) -> Self {
        command.args(["--metrics-addr", "127.0.0.1:0"]);
        let mut running = Running::start(command);
        let stderr = BufReader::new(running.0.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let mut tracing = Self { running, metrics: String::new(), log };
        eventually("its address is told", || {
            let log = tracing.log.lock().unwrap();
            let address = log.split_once("address=").and_then(|(_, rest)| rest.split_whitespace().next());
            tracing.metrics = address.unwrap_or_default().to_owned();
            !tracing.metrics.is_empty()
        });
        tracing
    }

    fn waits_for(&self, processes: usize) {
        eventually("it traces", || {
            self.log.lock().unwrap().matches(" tracing process=").count() >= processes
        });
    }

    fn metric(&self, series: &str) -> u64 {
        metric(&self.metrics, series)
    }

    fn lost(&self, cause: &str) -> u64 {
        self.metric(&format!("weir_collector_trace_losses_total{{kind=\"{cause}\"}}"))
    }

    fn messages(&self, kind: &str) -> u64 {
        self.metric(&format!("weir_collector_trace_messages_total{{kind=\"{kind}\"}}"))
    }

    fn events(&self) -> u64 {
        self.metric("weir_collector_events_published_total")
    }
}

/// What is compared of an event.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    account: String,
    request: String,
}

/// Every event of a log.
fn each(data: &Path, source: SourceKind, mut of: impl FnMut(Event<'_>)) {
    let log = EmbeddedLog::open_existing(&data.join("log")).unwrap();
    let mut ids = Vec::<EventId>::new();
    for partition in 0..log.partitions(Topic::Events).unwrap() {
        let (from, to) = log.bounds(Topic::Events, partition).unwrap();
        read_range(&*log, Topic::Events, partition, from, to, |records| {
            for record in records.iter() {
                let event = Event::decode(split(record.payload.unwrap()).unwrap().1).unwrap();
                assert_eq!(event.source, source);
                ids.push(event.event_id);
                of(event);
            }
            Ok(())
        })
        .unwrap();
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

/// What is compared of every event of a log, without its client's fingerprints, of which the servers' logs
/// know nothing. The path of each is its own; that two have one is a failure.
fn seen(data: &Path, source: SourceKind) -> BTreeMap<String, Seen> {
    let mut all = BTreeMap::new();
    each(data, source, |event| {
        let Body::Request(mut request) = event.body else { panic!("it is a request") };
        // By two clocks: how long it took differs, and no more.
        if let Some(outcome) = &mut request.outcome {
            assert!(outcome.latency_ms.is_none_or(|ms| ms < 60_000), "{outcome:?}");
            outcome.latency_ms = None;
        }
        (request.ja3, request.ja4) = (None, None);
        let path = request.endpoint.unwrap_or_default().to_owned();
        let seen = Seen { account: event.account.to_string(), request: shown(&request) };
        assert_eq!(all.insert(path.clone(), seen), None, "{path} is there twice");
    });
    all
}

/// All of a request, a field a line.
fn shown(request: &Request<'_>) -> String {
    format!("{request:#?}")
}

fn ask(port: &str, first: u32, count: u32) {
    let mut command = Command::new(PYTHON);
    command.args(["-c", CLIENT, port, &first.to_string(), &count.to_string()]);
    success(command);
}

/// One request by curl, which tells more of the head than a library does.
fn curl(port: &str, number: u32) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--insecure", "--http1.1", "--output", "/dev/null"]);
    command.args(["--header", &format!("authorization: Bearer sk-curl-{number}")]);
    command.args([
        "--data",
        r#"{"model":"atlas-c","max_tokens":9,"messages":[{"role":"user","content":"by curl"}]}"#,
    ]);
    command.arg(format!("https://127.0.0.1:{port}/plain/curl-{number}/v1/chat/completions"));
    success(command);
}

#[test]
fn every_request_of_a_python_server_is_the_event_that_its_own_log_makes_field_for_field() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let (server, port) = bench.server(true);
    let tracing = bench.tracing(&server.id(), &[]);
    tracing.waits_for(1);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let port = &port;
            scope.spawn(move || ask(port, client * 100, 75));
        }
    });
    (0..10).for_each(|number| curl(&port, number));
    eventually("310 requests are 310 events", || tracing.events() == 310);
    for cause in [
        "request",
        "response",
        "orphan",
        "unanswered",
        "gap_bytes",
        "unsynced_bytes",
        "tap_full",
        "hello_unheard",
        "hello_unread",
    ] {
        assert_eq!(tracing.lost(cause), 0, "{cause}");
    }
    assert_eq!(tracing.messages("heard"), tracing.messages("handed_on"));
    tracing.running.stop();
    let [traced, logged] = bench.events();
    assert_eq!(traced.len(), 310);
    for (path, seen) in &logged {
        assert_eq!(traced.get(path), Some(seen), "{path}");
    }
    assert_eq!(traced.len(), logged.len());
}

/// What a proxy in front changes of a request, or a log behind it does not know.
fn without_heads(seen: &Seen) -> Seen {
    let mut is_in_headers = false;
    let lines = seen.request.lines().filter(|line| {
        if line.starts_with("    headers:") {
            is_in_headers = true;
        }
        let is_shown = !is_in_headers;
        if is_in_headers && (line.starts_with("    ),") || line.ends_with("None,")) {
            is_in_headers = false;
        }
        is_shown
    });
    Seen { account: seen.account.clone(), request: lines.collect::<Vec<_>>().join("\n") }
}

/// An nginx that speaks TLS to its clients, and passes on what they ask; and its port.
fn nginx(bench: &Bench, upstream_port: &str, listens: &str) -> (Program, String) {
    let directory = bench.place.directory.path();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let config = format!(
        "daemon off; pid {0}/nginx.pid; error_log {0}/nginx.err; worker_processes 2; user root;\n\
         events {{ worker_connections 512; }}\n\
         http {{ log_format ports '$remote_port $request_uri'; access_log {0}/ports ports; client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f;\n\
         uwsgi_temp_path {0}/u; scgi_temp_path {0}/s; client_body_buffer_size 256k;\n\
         server {{ listen 127.0.0.1:{port} {listens}; ssl_certificate {1}; ssl_certificate_key {2};\n\
         location / {{ proxy_pass http://127.0.0.1:{upstream_port}; proxy_http_version 1.1; proxy_buffering off;\n\
         proxy_set_header X-Forwarded-For $remote_addr; }} }} }}\n",
        directory.display(),
        bench.certificate.display(),
        bench.key.display(),
    );
    fs::write(directory.join("nginx.conf"), config).unwrap();
    let mut command = Command::new("nginx");
    command
        .arg("-p")
        .arg(directory)
        .arg("-e")
        .arg(directory.join("nginx.err"))
        .arg("-c")
        .arg(directory.join("nginx.conf"));
    let nginx = Program::start(&mut command);
    eventually("nginx listens", || std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok());
    (nginx, port)
}

#[test]
fn every_request_of_nginx_is_an_event_also_of_workers_that_start_later_and_a_killed_collector_harms_nobody() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let (_upstream, upstream_port) = bench.server(false);
    let (nginx, port) = nginx(&bench, &upstream_port, "ssl");
    let tracing = bench.tracing(&nginx.id(), &[]);
    tracing.waits_for(3);
    ask(&port, 0, 60);
    eventually("60 requests are 60 events", || tracing.events() == 60);

    // The collector is gone at once: the server goes on, and the next collector hears it.
    tracing.running.kill();
    ask(&port, 1_000, 10);
    let tracing = bench.tracing(&nginx.id(), &[]);
    tracing.waits_for(3);
    assert!(Command::new("kill").args(["-HUP", &nginx.id()]).status().unwrap().success());
    tracing.waits_for(5);
    ask(&port, 2_000, 60);
    eventually("60 more are events", || tracing.events() == 60);
    assert_eq!((tracing.lost("request"), tracing.lost("response"), tracing.lost("gap_bytes")), (0, 0, 0));
    tracing.running.stop();
    let [traced, logged] = bench.events();
    assert_eq!((traced.len(), logged.len()), (120, 130), "those that nobody heard are in the log alone");
    for (path, seen) in &traced {
        assert_eq!(without_heads(seen), without_heads(&logged[path]), "{path}");
    }
}

/// `cargo test -p weir --features ebpf --test trace -- --ignored --nocapture ten_thousand`.
#[test]
#[ignore = "it takes minutes"]
fn ten_thousand_requests_of_nginx_are_ten_thousand_events_with_what_its_log_has_of_each() {
    if !can_trace() {
        return;
    }
    const THREADS: u32 = 8;
    const EACH: u32 = 1_250;
    let all = u64::from(THREADS * EACH);
    let bench = Bench::new();
    let (_upstream, upstream_port) = bench.server(false);
    let (nginx, port) = nginx(&bench, &upstream_port, "ssl");
    let tracing = bench.tracing(&nginx.id(), &["--tap-ring-bytes", "67108864"]);
    tracing.waits_for(3);
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let port = &port;
            scope.spawn(move || ask(port, thread * EACH, EACH));
        }
    });
    eventually("each request is an event", || tracing.events() == all);
    println!(
        "{all} requests in {} s; {} messages heard",
        began.elapsed().as_secs(),
        tracing.messages("heard")
    );
    for cause in memory::CAUSES {
        // A connection carries requests of several accounts here.
        assert!(tracing.lost(cause) == 0 || cause == "hello_shared", "{cause}");
    }
    assert_eq!(tracing.messages("heard"), tracing.messages("handed_on"));
    tracing.running.stop();
    let [traced, logged] = bench.events();
    assert_eq!((traced.len() as u64, logged.len() as u64), (all, all));
    for (path, seen) in &traced {
        assert_eq!(without_heads(seen), without_heads(&logged[path]), "{path}");
    }
}

/// A request without its client's set-up of HTTP/2, of which no log knows; and that.
fn without_h2(seen: &Seen) -> (Seen, String) {
    let (before, rest) = seen.request.split_once("    h2: Some(\n        \"").unwrap();
    let (h2, behind) = rest.split_once("\",\n    ),\n").unwrap();
    let request = format!("{before}    h2: None,\n{behind}");
    (Seen { account: seen.account.clone(), request }, h2.to_owned())
}

#[test]
fn requests_that_interleave_on_one_connection_of_http_2_are_events_of_their_own_with_the_clients_set_up() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let (_upstream, upstream_port) = bench.server(false);
    let (nginx, port) = nginx(&bench, &upstream_port, "ssl http2");
    let tracing = bench.tracing(&nginx.id(), &[]);
    tracing.waits_for(3);
    let asks = bench.place.directory.path().join("asks");
    let mut config = String::new();
    for number in 0..60 {
        let kind = ["plain", "chunked", "limited"][number % 3];
        let prompt = format!("List {number} rivers. {}", "river ".repeat(number * 40));
        let body = format!(
            r#"{{"model":"atlas-{}","max_tokens":{},"stream":{},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#,
            number % 4,
            number + 1,
            number % 4 == 1,
        );
        config += &format!(
            "url = \"https://127.0.0.1:{port}/{kind}/{number}/v1/chat/completions\"\nhttp2\ninsecure\noutput = \"/dev/null\"\n\
             header = \"authorization: Bearer sk-{}\"\ndata = \"{}\"\n{}",
            number % 7,
            body.replace('"', "\\\""),
            if number < 59 { "next\n" } else { "" },
        );
    }
    fs::write(&asks, config).unwrap();
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--parallel", "--parallel-max", "10", "--config"]).arg(&asks);
    success(command);
    eventually("60 requests are 60 events", || tracing.events() == 60);
    for cause in ["request", "response", "orphan", "unanswered", "gap_bytes", "unsynced_bytes"] {
        assert_eq!(tracing.lost(cause), 0, "{cause}");
    }
    tracing.running.stop();
    let [traced, logged] = bench.events();
    assert_eq!((traced.len(), logged.len()), (60, 60));
    for (path, seen) in &traced {
        let (known, h2) = without_h2(seen);
        assert!(h2.starts_with("3:100;4:"), "{h2} is not how curl sets up");
        assert_eq!(without_heads(&known), without_heads(&logged[path]), "{path}");
    }
}

#[test]
fn a_process_is_traced_by_its_name_also_the_one_that_starts_when_the_one_before_was_killed() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    // A name that no other process has.
    let name = format!("weir-{}", std::process::id());
    let python = bench.place.directory.path().join(&name);
    fs::copy(fs::canonicalize(PYTHON).unwrap(), &python).unwrap();
    let tracing = bench.tracing(&name, &[]);
    eventually("it says that there is none", || tracing.log.lock().unwrap().contains("waiting for one"));
    for round in 0..3u32 {
        let (mut server, port) = bench.server_by(&python, true);
        tracing.waits_for(round as usize + 1);
        ask(&port, round * 100, 12);
        // It writes down what it answered behind the answer.
        let written = || fs::read_to_string(&bench.place.feed).unwrap_or_default().lines().count();
        eventually("it wrote down what it answered", || written() == (round as usize + 1) * 12);
        server.0.kill().unwrap();
        server.0.wait().unwrap();
        eventually("12 more are events", || tracing.events() == u64::from(round + 1) * 12);
        let ended = || tracing.log.lock().unwrap().matches("a traced process has ended").count();
        eventually("it is let go", || ended() == round as usize + 1);
    }
    tracing.running.stop();
    let [traced, logged] = bench.events();
    assert_eq!(traced, logged);
}

#[test]
fn of_a_body_larger_than_is_kept_the_beginning_is_known_and_the_rest_counted() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let (server, port) = bench.server(true);
    let tracing = bench.tracing(&server.id(), &["--tap-ring-bytes", "67108864"]);
    tracing.waits_for(1);
    let body = bench.place.directory.path().join("body");
    let head =
        r#"{"model":"atlas-l","max_tokens":9,"messages":[{"role":"user","content":"long"}],"padding":""#;
    fs::write(&body, format!("{head}{}\"}}", "x".repeat(16 << 20))).unwrap();
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--insecure", "--http1.1", "--output", "/dev/null"]);
    command.args(["--header", "authorization: Bearer sk-long", "--header", "expect:", "--data-binary"]);
    command
        .arg(format!("@{}", body.display()))
        .arg(format!("https://127.0.0.1:{port}/plain/long/v1/chat/completions"));
    success(command);
    eventually("it is an event", || tracing.events() == 1);
    // It is all heard, and of it so much is kept: the machine may be too slow to hear all.
    let kept = 1 << 20;
    let whole = head.len() as u64 + (16 << 20) + 2;
    let (gaps, cuts) = (tracing.lost("gap_bytes"), tracing.lost("cut_bytes"));
    assert!(tracing.lost("body_bytes") + gaps + cuts >= whole - kept);
    tracing.running.stop();
    let traced = seen(&bench.place.data, SourceKind::Uprobe);
    let request = &traced["/plain/long/v1/chat/completions"].request;
    let words = request.split_whitespace().collect::<Vec<_>>().join(" ");
    for known in ["model: Some( \"atlas-l\", )", "max_tokens: Some( 9, )", "status: Some( 200, )"] {
        assert!(words.contains(known), "{known} is not in {words}");
    }
}

/// Prints what tracing costs a process for each `read` that has nothing to do with TLS: where it is traced
/// itself, and where another is.
#[test]
#[ignore = "it measures, and asserts nothing of it"]
fn what_a_read_costs() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let start = || {
        let mut command = Command::new(PYTHON);
        Program(command.args(["-c", READER]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    };
    for how in ["nothing", "another process", "this process"] {
        let (mut reader, other) = (start(), start());
        let traced = match how {
            "another process" => Some(other.id()),
            "this process" => Some(reader.id()),
            _ => None,
        };
        let tracing = traced.map(|process| {
            let tracing = bench.tracing(&process, &[]);
            tracing.waits_for(1);
            tracing
        });
        std::io::Write::write_all(reader.0.stdin.as_mut().unwrap(), b"go\n").unwrap();
        println!("{how} is traced: {} ns a read, the least of 20 rounds", reader.said());
        drop(tracing);
    }
}

#[test]
fn what_finds_no_room_is_counted_and_nothing_is_made_up_for_it() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let (server, port) = bench.server(true);
    let tracing = bench.tracing(&server.id(), &["--tap-ring-bytes", "65536"]);
    tracing.waits_for(1);
    // While it is frozen the ring fills: nobody waits for it.
    let id = tracing.running.0.id().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    signal("-STOP");
    ask(&port, 0, 150);
    signal("-CONT");
    eventually("what was lost is counted", || {
        tracing.lost("tap_full") > 0
            && tracing.lost("tap_hello_full") > 0
            && tracing.messages("heard") > tracing.messages("handed_on")
    });
    // Each of these finds room in an empty ring, however late the collector looks.
    let later = [500, 501, 503, 504, 506];
    for number in later {
        let before = tracing.events();
        ask(&port, number, 1);
        eventually("it hears again", || tracing.events() > before);
    }
    eventually("every message was handed on or counted", || {
        tracing.messages("heard") == tracing.messages("handed_on") + tracing.lost("tap_full")
    });
    let output = tracing.running.stop();
    assert!(!text(&output.stderr).contains("panicked"));
    let [traced, logged] = bench.events();
    assert_eq!(logged.len(), 155, "the server served everybody");
    assert!(traced.len() < logged.len());
    let fingerprints = hello::fingerprints(&bench.place.data);
    for number in later {
        let of_it = fingerprints.iter().find(|(path, _)| path.contains(&format!("/{number}/")));
        assert!(of_it.is_some_and(|(_, (ja3, ja4))| ja3.is_some() && ja4.is_some()), "{of_it:?}");
        assert!(traced.keys().any(|path| path.contains(&format!("/{number}/"))), "{number} was heard");
    }
    for (path, seen) in &traced {
        assert_eq!(seen.account, logged[path].account, "{path}");
    }
}

#[test]
fn a_process_that_cannot_be_traced_is_told_of_with_the_remedy() {
    if !can_trace() {
        return;
    }
    let mut command = Command::new("sleep");
    let sleeper = Program::start(command.arg("600"));
    let output = weir(&["doctor", "--json", "--pid", &sleeper.id()]).output().unwrap();
    assert!(!output.status.success());
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["processes"][0]["can_be_traced"], false);
    assert_eq!(
        told["processes"][0]["reason"],
        "it has loaded no libssl, and its executable has no symbol of one"
    );
    let needed = told["machine"].as_array().unwrap().iter().filter(|finding| finding["needed"] == true);
    assert!(
        needed.clone().count() > 4 && needed.into_iter().all(|finding| finding["good"] == true),
        "{told:#}"
    );
    let refused = weir(&["run", "--trace", "4194303"]).output().unwrap();
    assert!(text(&refused.stderr).contains("there is no process 4194303"), "{}", text(&refused.stderr));
}
