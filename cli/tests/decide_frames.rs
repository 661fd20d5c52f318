//! What programs are told by length-prefixed JSON.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::authority::Authority;
use common::gateway::{answering_two_at_once, ask, header, stands, stands_as};
use common::{Place, Running, eventually, metric};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use weir_schemas::{Standing, StandingStatus};

const SUSPENDED: &str = "sk-suspended";
const SLOW: &str = "sk-slow";

/// Asks, and reads the answer.
fn asked(mut write: impl Write, mut read: impl Read, question: &[u8]) -> Value {
    let length = u32::try_from(question.len()).unwrap();
    write.write_all(&[&length.to_be_bytes(), question].concat()).unwrap();
    write.flush().unwrap();
    answered(&mut read)
}

fn answered(mut read: impl Read) -> Value {
    let mut length = [0; 4];
    read.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    read.read_exact(&mut answer).unwrap();
    serde_json::from_slice(&answer).unwrap()
}

fn told(stream: &TcpStream, question: Value) -> Value {
    asked(stream, stream, question.to_string().as_bytes())
}

/// A server that knows the two, and lets two requests at once pass of one that is slowed down; where it
/// answers, its metrics, and the pseudonym of the suspended one.
fn server(place: &Place, arguments: &[&str]) -> (Running, String, String, String) {
    let keys = place.keys_of("collector");
    let suspended = Standing { status: StandingStatus::Suspended, ..Standing::default() };
    let account = stands_as(place, &keys, SUSPENDED, &suspended).to_string();
    stands(place, &keys, SLOW, StandingStatus::Limited);
    fs::write(&place.feed, "").unwrap();
    let (run, address, metrics) = answering_two_at_once(place.run(), arguments);
    (run, address, metrics, account)
}

fn private(place: &Place, name: &str, content: &str) -> PathBuf {
    let path = place.directory.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn a_program_is_told_the_same_as_a_gateway_and_uses_the_same_bucket_up() {
    let place = Place::new();
    let (run, address, metrics, account) = server(&place, &[]);
    eventually("all is read", || header(&ask(&address, "/auth", "").1, "x-weir-stale-ms").is_some());
    let stream = TcpStream::connect(&address).unwrap();
    let mut body = told(&stream, json!({ "keys": [format!("Bearer {SUSPENDED}")] }));
    assert_eq!((&body["status"], &body["passes"]), (&json!("suspended"), &json!(false)), "{body}");
    // Word for word what HTTP says, but for how old it is.
    let (_, answer) = ask(&address, "/auth", &format!("authorization: Bearer {SUSPENDED}\r\n"));
    let mut by_http: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    (body["stale_ms"], by_http["stale_ms"]) = (Value::Null, Value::Null);
    assert_eq!(body, by_http);
    assert_eq!(told(&stream, json!({ "account": account }))["status"], "suspended");
    assert_eq!(told(&stream, json!({ "keys": ["sk-honest"] }))["passes"], true);
    // The gravest of several; two at once, and a look uses nothing up.
    assert_eq!(told(&stream, json!({ "keys": ["sk-honest", SUSPENDED] }))["passes"], false);
    let slow = || told(&stream, json!({ "keys": [SLOW] }))["passes"].clone();
    assert_eq!(told(&stream, json!({ "keys": [SLOW], "look": true }))["passes"], true);
    assert_eq!([slow(), slow(), slow()], [true, true, false]);
    assert_eq!(ask(&address, "/auth", &format!("x-api-key: {SLOW}\r\n")).0, 429);

    // Questions that were sent ahead are answered in their order.
    let questions = [SUSPENDED, "sk-honest"].map(|key| json!({ "keys": [key] }).to_string());
    let frames =
        questions.map(|question| [&(question.len() as u32).to_be_bytes(), question.as_bytes()].concat());
    (&stream).write_all(&frames.concat()).unwrap();
    assert_eq!([0; 2].map(|_| answered(&stream)["passes"].clone()), [false, true]);
    let answers = |kind| {
        metric(&metrics, &format!("weir_gateway_answers_total{{kind=\"{kind}\",transport=\"frames\"}}"))
    };
    assert_eq!(["passed", "limited", "suspended"].map(answers), [4, 1, 3]);
    run.stop();
}

#[test]
fn what_is_no_question_is_refused_by_name_and_the_next_one_is_answered() {
    let place = Place::new();
    let (run, address, ..) = server(&place, &[]);
    let stream = TcpStream::connect(&address).unwrap();
    for (question, expected) in [
        (&b""[..], "a question is a JSON object: EOF"),
        (b"\xff\xfe", "a question is a JSON object: "),
        (br#"{"keys": ["k"], "key": "k"}"#, "unknown field `key`"),
        (br#"{"keys": "k"}"#, "invalid type"),
        (br#"{}"#, "give an `account`, or the `keys` of a request"),
        (br#"{"keys": ["k"], "account": "k"}"#, "and not both"),
        (br#"{"account": "me"}"#, "an account is named by its pseudonym"),
        (br#"{"keys": ["a", "b"], "look": true}"#, "one account can be looked at"),
        (br#"{"keys": ["k"], "tenant": "a,b"}"#, "tenant"),
    ] {
        let told = asked(&stream, &stream, question);
        let error = told["error"].as_str().unwrap_or_else(|| panic!("{told}"));
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(told(&stream, json!({ "keys": ["sk-honest"] }))["passes"], true);
    // Where one is too long nobody knows where the next begins.
    (&stream).write_all(&(65_537u32).to_be_bytes()).unwrap();
    assert_eq!(answered(&stream), json!({ "error": "a question has at most 65536 bytes" }));
    assert_eq!((&stream).read(&mut [0; 1]).unwrap(), 0, "the connection ends");
    run.stop();
}

#[test]
fn who_is_to_show_a_token_says_it_in_each_question() {
    const TOKEN: &str = "a-token-of-the-tests-and-of-nothing-else";
    let place = Place::new();
    let tokens = private(&place, "tokens", TOKEN);
    let (run, address, metrics, _) = server(&place, &["--decide-token-file", tokens.to_str().unwrap()]);
    // Whoever shows none learns nothing but that, and has to come again.
    for question in
        [r#"{"keys": ["k"]}"#, r#"{"keys": ["k"], "token": "guessed-and-wrong"}"#, "no question", ""]
    {
        let stream = TcpStream::connect(&address).unwrap();
        let answer = asked(&stream, &stream, question.as_bytes());
        assert_eq!(answer, json!({ "error": "say a `token` of the decision server's" }));
        assert_eq!((&stream).read(&mut [0; 1]).unwrap(), 0, "the connection ends");
    }
    let stream = TcpStream::connect(&address).unwrap();
    assert_eq!(told(&stream, json!({ "keys": ["k"], "token": TOKEN }))["passes"], true);
    let refused = "weir_gateway_answers_total{kind=\"unauthenticated\",transport=\"frames\"}";
    assert_eq!(metric(&metrics, refused), 4);
    run.stop();
}

#[test]
fn over_tls_a_program_says_in_alpn_what_it_speaks() {
    let place = Place::new();
    let ours = Authority::new("ours");
    let (certificate, key) = ours.identity();
    let (certificate, key) = (private(&place, "cert.pem", &certificate), private(&place, "key.pem", &key));
    let files = [certificate.to_str().unwrap(), key.to_str().unwrap()];
    let (run, address, ..) = server(&place, &["--decide-cert-file", files[0], "--decide-key-file", files[1]]);
    let mut client = Command::new("openssl");
    client.args(["s_client", "-quiet", "-alpn", "weir-frames/1", "-connect", &address]);
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = Running(client.spawn().unwrap());
    let (write, read) = (client.0.stdin.take().unwrap(), client.0.stdout.take().unwrap());
    assert_eq!(asked(write, read, br#"{"keys": ["sk-honest"]}"#)["passes"], true);
    run.stop();
}
