//! `--listen`: what is sent is what is judged, and no sender can do harm or lose anything.

#![allow(clippy::unwrap_used)]

mod common;

use common::authority::Authority;
use common::{Place, Running, START_MS, eventually, get, line, success, text, traffic, weir};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A `weir run` that listens.
struct Listening {
    running: Running,
    address: String,
    metrics: String,
}

impl Place {
    fn listen(&self, how: &[&str]) -> Command {
        let mut command = weir(&["run", "--node", "test", "--listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(&self.data).arg("--output-dir").arg(&self.output);
        command.arg("--keys-dir").arg(&self.keys).args(how);
        command
    }

    fn token_file(&self, mode: u32) -> PathBuf {
        let file = self.directory.path().join("token");
        fs::write(&file, TOKEN).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        file
    }
}

impl Listening {
    fn start(command: Command) -> Self {
        let (running, metrics, address) = common::listening(command);
        Self { running, address, metrics }
    }

    /// An answer's status and body.
    fn post(&self, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let answer = self.send(path, headers, body);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status.unwrap_or_else(|| panic!("no status: {answer}")), body.to_owned())
    }

    /// An answer, head and body.
    fn send(&self, path: &str, headers: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // Whoever is refused early may not be listened to.
        let _ = stream.write_all(body);
        read(stream)
    }

    fn metric(&self, series: &str) -> u64 {
        common::metric(&self.metrics, series)
    }
}

fn read(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    text(&answer)
}

const JSON: &str = "content-type: application/json\r\n";

/// The accounts that a verdict says CRITICAL of.
fn critical(place: &Place) -> BTreeSet<String> {
    let lines = place.lines_of("enforcement_actions.jsonl");
    let critical = lines.iter().filter(|line| line["tier"] == "CRITICAL");
    critical.map(|line| line["account"].as_str().unwrap().to_owned()).collect()
}

/// What the log's events come to, however they came in: verdicts, and what is said of campaigns.
fn judged(place: &Place) -> (u64, u64) {
    let lockstep = place.replay(&["--lockstep"]);
    lockstep.balances();
    (lockstep.number("verdicts"), lockstep.number("campaign_records"))
}

#[test]
fn a_campaign_that_is_sent_is_judged_as_the_same_campaign_in_a_file() {
    let place = Place::new();
    let log = traffic(40, 900);
    fs::write(&place.feed, &log).unwrap();
    place.run_until_idle();
    let of_file = critical(&place);
    assert_eq!(of_file.len(), 12, "the campaign and nobody else: {of_file:?}");

    let sent = Place { keys: place.keys.clone(), ..Place::new() };
    let listening = Listening::start(sent.listen(&[]));
    let lines: Vec<&str> = log.lines().collect();
    let mut events = 0;
    for some in lines.chunks(400) {
        let (status, answer) = listening.post("/v1/lines", JSON, some.join("\n").as_bytes());
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((status, answer["refused"].as_u64()), (200, Some(0)), "{answer}");
        events += answer["events"].as_u64().unwrap();
    }
    assert_eq!(events, lines.len() as u64);
    eventually("all is judged", || {
        listening.metric("weir_records_judged_total{stage=\"account\"}") >= events
    });
    listening.running.stop();
    // The log ends; the file's reader judges what is left, and there is nothing new to read.
    fs::write(&sent.feed, "").unwrap();
    sent.run_until_idle();
    assert_eq!((critical(&sent), judged(&sent)), (of_file, judged(&place)));
}

#[test]
fn a_run_that_is_killed_between_commit_and_answer_makes_no_second_event() {
    let place = Place::new();
    let total = 40;
    let body = |number: u64| line(&format!("{number}"), START_MS + number, "acct-1", "Why is the sky blue?");
    let mut number = 0;
    let mut kills = 0;
    while number < total {
        let listening = Listening::start(place.listen(&["--listener-linger-ms", "0"]));
        // Whoever gets no answer sends again, to whoever is there.
        let before = number;
        while number < total && number < before + 9 {
            let mut stream = TcpStream::connect(&listening.address).unwrap();
            let body = body(number);
            write!(
                stream,
                "POST /v1/lines HTTP/1.1\r\nhost: weir\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
            if number == before + 8 {
                break;
            }
            let mut status = [0; 12];
            stream.read_exact(&mut status).unwrap();
            assert_eq!(&status, b"HTTP/1.1 200");
            number += 1;
        }
        if number < total {
            std::thread::sleep(Duration::from_millis(3 * kills));
        }
        kills += 1;
        listening.running.kill();
    }
    fs::write(&place.feed, "").unwrap();
    place.run_until_idle();
    let recorded = place.replay(&["--as-recorded"]);
    assert_eq!(recorded.balances().number("events"), total);
    assert!(kills >= 4);
}

#[test]
fn nobody_without_the_token_sends_anything_and_the_token_is_told_to_nobody() {
    let place = Place::new();
    let file = place.token_file(0o600);
    let listening = Listening::start(place.listen(&["--listener-token-file", file.to_str().unwrap()]));
    let body = line("1", START_MS, "acct-1", "Why?");
    for header in ["", "authorization: Bearer 0123\r\n", &format!("authorization: Basic {TOKEN}\r\n")] {
        let answer = listening.send("/v1/lines", header, body.as_bytes());
        assert!(
            answer.starts_with("HTTP/1.1 401 ") && answer.contains("www-authenticate: Bearer\r\n"),
            "{answer}"
        );
        assert!(!answer.contains(TOKEN), "{answer}");
        let said =
            r#"{"code":16,"message":"send `Authorization: Bearer TOKEN`, with a token of the listener's"}"#;
        assert!(answer.ends_with(said), "{answer}");
    }
    let authorized = format!("Authorization: Bearer {TOKEN}\r\n{JSON}");
    let (status, answer) = listening.post("/v1/lines", &authorized, body.as_bytes());
    let expected = r#"{"came_before":false,"events":1,"known":0,"other":0,"refused":0,"unowned":0}"#;
    assert_eq!((status, &*answer), (200, expected));
    assert_eq!(listening.metric("weir_listener_requests_total{content=\"lines\",status=\"401\"}"), 3);
    assert_eq!(listening.metric("weir_listener_requests_total{content=\"lines\",status=\"200\"}"), 1);
    assert!(!get(&listening.metrics, "/metrics").contains(TOKEN));
}

#[test]
fn what_is_wrong_with_a_request_is_said_in_a_sentence() {
    let place = Place::new();
    let listening = Listening::start(place.listen(&["--listener-body-bytes-max", "65536"]));
    let good = line("1", START_MS, "acct-1", "Why?");
    let large = "x".repeat(70_000);
    let cases: [(&str, &str, &str, u16, &str); 9] = [
        ("/", JSON, "{}", 404, "spans go to /v1/traces"),
        ("/v1/metrics", JSON, "{}", 404, "there is nothing at this path"),
        (
            "/v1/lines",
            "content-type: text/html\r\n",
            "{}",
            415,
            "the Content-Type is not application/json, application/x-ndjson or text/plain",
        ),
        (
            "/v1/lines",
            "content-encoding: br\r\n",
            "{}",
            415,
            "the Content-Encoding is none of identity, gzip, deflate and zstd",
        ),
        (
            "/v1/lines",
            "content-encoding: gzip\r\n",
            "{}",
            400,
            "the body cannot be unpacked as its Content-Encoding says",
        ),
        (
            "/v1/lines",
            JSON,
            &large,
            413,
            "the body is over the limit of 65536 bytes: send smaller batches, or raise listener.body_bytes_max",
        ),
        (
            "/v1/lines",
            "origin: https://evil.example\r\n",
            &good,
            403,
            "requests of browsers are not taken without a token",
        ),
        ("/v1/traces", JSON, "no json", 400, "the body is no JSON object, or a torn one, at byte 1"),
        (
            "/v1/lines",
            JSON,
            "no json",
            400,
            "none of the 1 records can be read: record 1: it is no JSON object, or a torn one, at byte 1",
        ),
    ];
    for (path, headers, body, status, said) in cases {
        let (answered, answer) = listening.post(path, headers, body.as_bytes());
        assert_eq!(answered, status, "{path} {headers}: {answer}");
        assert!(answer.contains(said), "{path} {headers}: {answer}");
    }
    let mut stream = TcpStream::connect(&listening.address).unwrap();
    write!(stream, "GET /v1/lines HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n").unwrap();
    let answer = read(stream);
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: POST\r\n"), "{answer}");
    // After all of that it takes what is good.
    assert_eq!(listening.post("/v1/lines", JSON, good.as_bytes()).0, 200);
    assert_eq!(listening.metric("weir_collector_events_published_total"), 1);
}

#[test]
fn a_refused_span_is_told_as_opentelemetry_wants_it() {
    let place = Place::new();
    let listening = Listening::start(place.listen(&[]));
    let model = r#"{"key":"gen_ai.request.model","value":{"stringValue":"m-1"}}"#;
    let user = r#"{"key":"enduser.id","value":{"stringValue":"acct-1"}}"#;
    let span = |id: u32, attributes: &str| {
        format!(
            r#"{{"traceId":"{id:032x}","spanId":"{id:016x}","startTimeUnixNano":"{START_MS}000000","attributes":[{attributes}]}}"#
        )
    };
    let spans = [span(1, &format!("{model},{user}")), span(2, model), span(3, "")].join(",");
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
    let (status, answer) = listening.post("/v1/traces", JSON, body.as_bytes());
    let expected = concat!(
        r#"{"partialSuccess":{"errorMessage":"record 2: field `account` is missing or empty in what looks like "#,
        "OpenTelemetry spans and events of generative AI: set the attribute `enduser.id` or `user.id` on spans that ",
        r#"call a model; spans that do not may be left out by a filter","rejectedSpans":"1"}}"#
    );
    assert_eq!((status, &*answer), (200, expected));
    let all = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
        span(4, &[model, user].join(","))
    );
    assert_eq!(listening.post("/v1/traces", JSON, all.as_bytes()), (200, "{}".into()));
    assert_eq!(listening.metric("weir_collector_records_other_total"), 1);
}

#[test]
fn slow_and_silent_clients_keep_nobody_from_sending() {
    let place = Place::new();
    let listening = Listening::start(place.listen(&[]));
    let mut slow: Vec<TcpStream> = Vec::new();
    for number in 0..60 {
        let mut stream = TcpStream::connect(&listening.address).unwrap();
        let head = "POST /v1/lines HTTP/1.1\r\nhost: weir\r\ncontent-length: 1000000\r\n\r\n{\"account\":";
        // Nothing at all, half a head, or half a body.
        let part = [&head[..0], &head[..30], head][number % 3];
        stream.write_all(part.as_bytes()).unwrap();
        slow.push(stream);
    }
    let body = line("1", START_MS, "acct-1", "Why?");
    assert_eq!(listening.post("/v1/lines", JSON, body.as_bytes()).0, 200);
    // One that lets go in mid-body leaves nothing.
    let torn = slow.pop().unwrap();
    torn.shutdown(Shutdown::Write).unwrap();
    let answer = read(torn);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(listening.metric("weir_collector_events_published_total"), 1);
    // Those that are still there do not keep it from ending.
    let output = listening.running.stop();
    assert!(output.status.success());
}

#[test]
fn a_run_that_is_told_to_stop_answers_what_is_under_way() {
    let place = Place::new();
    let listening = Listening::start(place.listen(&["--listener-linger-ms", "30000"]));
    let address = listening.address.clone();
    let sending = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let body = line("1", START_MS, "acct-1", "Why?");
        write!(
            stream,
            "POST /v1/lines HTTP/1.1\r\nhost: weir\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        read(stream)
    });
    // Nothing tells that it is under way but that it is not answered: long enough for a slow machine.
    std::thread::sleep(Duration::from_secs(4));
    assert!(!sending.is_finished(), "it waits for others to be committed with");
    let output = listening.running.stop();
    let answer = sending.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(r#""events":1"#), "{answer}");
    assert!(
        output.status.success() && text(&output.stdout).contains("events    1 read, 0 refused"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn a_listener_that_anybody_could_send_to_is_refused_and_so_is_a_token_that_others_can_read() {
    let place = Place::new();
    let refused = |arguments: &[&str]| {
        let mut command = weir(&["run", "--node", "test"]);
        command.arg("--data-dir").arg(&place.data).arg("--output-dir").arg(&place.output);
        let output = command.args(arguments).output().unwrap();
        assert!(!output.status.success());
        assert!(!place.data.exists(), "nothing is written");
        text(&output.stderr)
    };
    let said = refused(&["--listen", "0.0.0.0:0"]);
    assert!(
        said.contains(
            "could send records, and so accuse or hide whom they like: give --listener-token-file FILE"
        ),
        "{said}"
    );
    let open = place.token_file(0o644);
    let said = refused(&["--listen", "0.0.0.0:0", "--listener-token-file", open.to_str().unwrap()]);
    assert!(said.contains("can be read by others (mode 644): chmod 600 it"), "{said}");
    let said = refused(&["--listen", "127.0.0.1:0", "--until-idle"]);
    assert!(
        said.contains("--until-idle ends where a log ends, and --listen never does: leave one of them out"),
        "{said}"
    );
    let overlap = "there are several sources: a request that two of them tell of counts twice";
    assert!(!said.contains(overlap), "{said}");
    let said = refused(&["--tail", "access.jsonl", "--listen", "127.0.0.1:0", "--until-idle"]);
    assert!(said.contains(overlap), "{said}");
    let said = refused(&[]);
    assert!(
        said.contains("there is nothing to read: give --tail FILE, the log to follow, --listen ADDRESS"),
        "{said}"
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let said = refused(&["--listen", &taken.local_addr().unwrap().to_string()]);
    assert!(said.contains("choose another address for --listen"), "{said}");
    success(weir(&["run", "--help"]));
}

/// Sends over TLS, trusting `authority`, and with a certificate of one's own where there is one.
fn post_over_tls(
    address: &str,
    authority: &Authority,
    identity: Option<&(String, String)>,
    body: &str,
) -> Result<u16, String> {
    use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
    let root = Certificate::from_pem(authority.certificate.pem().as_bytes()).unwrap();
    let identity = identity.map(|(certificate, key)| {
        let chain = [Certificate::from_pem(certificate.as_bytes()).unwrap()];
        ClientCert::new_with_certs(&chain, PrivateKey::from_pem(key.as_bytes()).unwrap())
    });
    let tls =
        TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root])).client_cert(identity).build();
    let agent: ureq::Agent =
        ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false).build().into();
    let url = format!("https://localhost:{}/v1/lines", address.rsplit(':').next().unwrap());
    let sent = agent.post(url).content_type("application/json").send(body);
    sent.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
}

#[test]
fn with_certificates_of_clients_only_who_shows_one_of_theirs_is_let_in() {
    let place = Place::new();
    let file = |name: &str, text: &str| {
        let path = place.directory.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let (certificate, key) = ours.identity();
    let (certificate, key) = (file("cert.pem", &certificate), file("key.pem", &key));
    let authorities = file("ca.pem", &ours.certificate.pem());
    let listening = Listening::start(place.listen(&[
        "--listener-cert-file",
        &certificate,
        "--listener-key-file",
        &key,
        "--listener-client-ca-file",
        &authorities,
    ]));
    let body = line("1", START_MS, "acct-1", "Why?");
    let (known, foreign) = (ours.identity(), others.identity());
    let post = |identity| post_over_tls(&listening.address, &ours, identity, &body);
    assert_eq!(post(Some(&known)), Ok(200));
    assert!(post(None).is_err(), "nobody without a certificate");
    assert!(post(Some(&foreign)).is_err(), "nobody with another's");
    // Nor without TLS.
    let mut plain = TcpStream::connect(&listening.address).unwrap();
    write!(plain, "POST /v1/lines HTTP/1.1\r\nhost: weir\r\ncontent-length: 2\r\n\r\n{{}}").unwrap();
    assert!(!read(plain).starts_with("HTTP/1.1 2"));
    assert_eq!(listening.metric("weir_collector_events_published_total"), 1);
    eventually("all three are counted", || listening.metric("weir_listener_handshakes_failed_total") == 3);

    let refused = |arguments: &[&str]| {
        let output = place.listen(arguments).output().unwrap();
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let said = refused(&["--listener-cert-file", &certificate]);
    assert!(said.contains("listener.cert_file and listener.key_file go together"), "{said}");
    let said = refused(&["--listener-client-ca-file", &authorities]);
    assert!(said.contains("clients prove who they are over TLS only: set listener.cert_file"), "{said}");
    let said = refused(&["--listener-cert-file", &key, "--listener-key-file", &key]);
    assert!(said.contains("holds no certificate as PEM"), "{said}");
}

#[test]
fn a_protobuf_sender_is_answered_in_protobuf() {
    let place = Place::new();
    let listening = Listening::start(place.listen(&[]));
    let protobuf = "content-type: application/x-protobuf\r\n";
    let answer = listening.send("/v1/logs", protobuf, b"");
    let kind = "content-type: application/x-protobuf\r\n";
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains(kind) && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    let answer = listening.send("/v1/logs", protobuf, b"{}");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(kind), "{answer}");
    // google.rpc.Status: the code as field 1, the message as field 2.
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert!(body.starts_with("\u{8}\u{3}\u{12}"), "{body:?}");
    assert!(body.contains("the body is no OTLP export as protobuf: "), "{body:?}");
    assert_eq!(listening.post("/v1/lines", protobuf, b"").0, 415);
}

#[test]
fn a_strangers_records_are_refused_and_counted_and_the_others_of_its_request_are_taken() {
    let place = Place::new();
    let directory = place.directory.path().join("tenants");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("acme.toml"), "").unwrap();
    let mut listen = place.listen(&[]);
    listen.arg("--tenants-dir").arg(&directory);
    let listening = Listening::start(listen);
    let record = |tenant: &str| format!(r#"{{"time":1793491200,"account":"a",{tenant}"prompt":"p"}}"#);
    let body = [record(r#""tenant":"acme","#), record(r#""tenant":"stranger","#), record("")].join("\n");
    let (status, answer) = listening.post("/v1/lines", JSON, body.as_bytes());
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (status, answer["events"].as_u64(), answer["refused"].as_u64()),
        (200, Some(1), Some(2)),
        "{answer}"
    );
    let rejected = listening.metric("weir_collector_lines_rejected_total{kind=\"UNKNOWN_TENANT\"}");
    assert_eq!(rejected, 2);
    listening.running.stop();
}
