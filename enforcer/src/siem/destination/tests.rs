//! Destinations against servers that fail, stall, break off and answer in part.

use super::elasticsearch::ElasticsearchDestination;
use super::hec::HecDestination;
use super::http::{Chunks, Endpoint, Outcome};
use super::stub::answering;
use super::syslog::SyslogDestination;
use super::tls::Authorities;
use super::{Delivery, Destination, Fate, RetryCause};
use crate::siem::format::Format;
use crate::siem::notice::{Notice, of_verdict};
use crate::siem::testing::{account, verdict};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_schemas::{Verdict, VerdictId};
use zeroize::Zeroizing;

/// Long enough for a machine that is busy, short enough to wait for where a server stalls.
const PATIENCE: Duration = Duration::from_millis(3_000);

const TOKEN: &str = "Splunk 5ecre7-70ken";

fn notices(count: u32) -> Vec<Notice> {
    let verdict = |number: u32| Verdict {
        account: account(number),
        verdict_id: VerdictId(u128::from(number).to_be_bytes()),
        ..verdict()
    };
    (1..=count).map(|number| of_verdict(&verdict(number))).collect()
}

/// How the stub answers a request with so many lines.
type Reply = fn(usize) -> Option<(u16, String)>;

fn stalls(_: usize) -> Option<(u16, String)> {
    // Longer than whoever waits for it.
    std::thread::sleep(PATIENCE * 2);
    None
}

fn hangs_up(_: usize) -> Option<(u16, String)> {
    None
}

/// A request as the stub saw it: head and body.
type Seen = (String, String);

/// A server that answers by a script, one reply a request.
struct Stub {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    fn start(script: Vec<Reply>) -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (all, script) = (seen.clone(), Mutex::new(script.into_iter()));
        let url = answering(move |head, body| {
            let body = String::from_utf8(body).unwrap();
            let lines = body.lines().count();
            all.lock().unwrap().push((head, body));
            let reply = script.lock().unwrap().next().expect("it is asked more often than scripted");
            reply(lines).map(|(status, body)| (status, body.into_bytes()))
        });
        Self { url, seen }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::new(&self.url, Some(Zeroizing::new(TOKEN.to_owned())), None, PATIENCE)
    }

    /// Lines of each request.
    fn lines(&self) -> Vec<usize> {
        self.seen.lock().unwrap().iter().map(|(_, body)| body.lines().count()).collect()
    }
}

fn fates(delivery: &Delivery) -> String {
    let letter = |fate: &Fate| match fate {
        Fate::Taken => 'T',
        Fate::Refused(_) => 'R',
        Fate::Left => 'L',
    };
    delivery.fates.iter().map(letter).collect()
}

fn cause(delivery: &Delivery) -> Option<RetryCause> {
    let failure = delivery.failure.as_ref()?;
    assert!(!failure.reason.contains("5ecre7"), "{failure:?}");
    Some(failure.cause)
}

fn hec_well(_: usize) -> Option<(u16, String)> {
    Some((200, r#"{"text":"Success","code":0}"#.into()))
}

#[test]
fn the_event_collector_has_what_it_answers_for_and_nothing_else() {
    let stub = Stub::start(vec![
        hangs_up,
        stalls,
        |_| Some((503, r#"{"text":"Server is busy","code":9}"#.into())),
        |_| Some((500, "no JSON at all".into())),
        |_| Some((403, r#"{"text":"Invalid token","code":4}"#.into())),
        |_| Some((404, "<html>not found</html>".into())),
        |_| Some((302, String::new())),
        |_| Some((200, "<html>Welcome</html>".into())),
        |_| Some((400, r#"{"text":"Invalid data format","code":6,"invalid-event-number":1}"#.into())),
        |_| Some((400, r#"{"text":"Invalid data format","code":6,"invalid-event-number":77}"#.into())),
        |_| Some((400, r#"{"text":"Incorrect index","code":7,"invalid-event-number":0}"#.into())),
        hec_well,
    ]);
    let mut hec = HecDestination::new(stub.endpoint(), Format::Json, "node-1", Some("security"));
    let notices = notices(3);
    let told: Vec<_> =
        (0..12).map(|_| hec.deliver(&notices)).map(|told| (fates(&told), cause(&told))).collect();
    use RetryCause::{Busy, Denied, Failing, Misconfigured, Partial, Silent, Unreachable};
    let left = |cause| ("LLL".to_owned(), Some(cause));
    assert_eq!(
        told,
        [
            left(Unreachable),
            left(Silent),
            left(Busy),
            left(Failing),
            left(Denied),
            left(Misconfigured),
            left(Misconfigured),
            left(Misconfigured),
            ("LRL".to_owned(), Some(Partial)),
            left(Misconfigured),
            left(Misconfigured),
            ("TTT".to_owned(), None),
        ]
    );
    let seen = stub.seen.lock().unwrap();
    let (head, body) = &seen[11];
    assert!(head.starts_with("POST /services/collector/event HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("authorization: splunk 5ecre7-70ken"), "{head}");
    let event: serde_json::Value = serde_json::from_str(body.lines().next().unwrap()).unwrap();
    assert_eq!((&event["time"], &event["index"]), (&"1793491200.000".into(), &"security".into()));
    assert_eq!(event["fields"]["event_id"], event["event"]["event_id"]);
}

#[test]
fn a_batch_that_is_too_large_is_told_in_parts_and_a_notice_that_is_alone_not_at_all() {
    let too_large_over_two: Reply = |lines| match lines {
        0..=2 => hec_well(lines),
        _ => Some((413, String::new())),
    };
    let stub = Stub::start(vec![too_large_over_two; 8]);
    let mut hec = HecDestination::new(stub.endpoint(), Format::Cef, "node-1", None);
    assert_eq!(fates(&hec.deliver(&notices(5))), "TTTTT");
    assert_eq!(stub.lines(), [5, 2, 2, 1]);
    assert_eq!(fates(&hec.deliver(&notices(3))), "TTT");
    assert_eq!(stub.lines(), [5, 2, 2, 1, 2, 1], "it remembers");

    let always: Reply = |_| Some((413, String::new()));
    let stub = Stub::start(vec![always; 9]);
    let mut hec = HecDestination::new(stub.endpoint(), Format::Json, "node-1", None);
    assert_eq!(fates(&hec.deliver(&notices(2))), "RR");
}

fn items(statuses: &[u16]) -> Option<(u16, String)> {
    let item = |status: &u16| match status {
        200..=299 => serde_json::json!({ "create": { "status": status } }),
        400 => {
            let error = serde_json::json!({ "type": "document_parsing_exception", "reason": "r" });
            serde_json::json!({ "create": { "status": status, "error": error } })
        }
        _ => serde_json::json!({ "create": { "status": status, "error": { "type": "t", "reason": "r" } } }),
    };
    let items: Vec<_> = statuses.iter().map(item).collect();
    Some((200, serde_json::json!({ "errors": true, "items": items }).to_string()))
}

#[test]
fn a_bulk_that_the_cluster_cannot_take_now_is_no_documents_fault() {
    let stub = Stub::start(vec![|_| {
        let error =
            serde_json::json!({ "type": "validation_exception", "reason": "it would add [2] total shards" });
        let items = serde_json::json!([{ "create": { "status": 400, "error": error } }, { "create": { "status": 201 } }]);
        Some((200, serde_json::json!({ "errors": true, "items": items }).to_string()))
    }]);
    let told = ElasticsearchDestination::new(stub.endpoint(), "weir").deliver(&notices(2));
    assert_eq!((fates(&told), cause(&told)), ("LT".into(), Some(RetryCause::Misconfigured)));
}

#[test]
fn of_a_bulk_only_what_failed_for_now_is_handed_over_again() {
    let stub = Stub::start(vec![
        |_| items(&[201, 429, 409, 400, 503, 201]),
        |_| items(&[201]),
        |_| Some((429, "{}".into())),
        |_| Some((200, "{\"took\":1}".into())),
        |_| items(&[404, 403]),
        |_| items(&[201, 409]),
    ]);
    let mut elasticsearch = ElasticsearchDestination::new(stub.endpoint(), "weir");
    let first = elasticsearch.deliver(&notices(6));
    assert_eq!((fates(&first), cause(&first)), ("TLTRLT".into(), Some(RetryCause::Busy)));
    let told: Vec<_> = (0..5).map(|_| elasticsearch.deliver(&notices(2))).collect();
    let told: Vec<_> = told.iter().map(|told| (fates(told), cause(told))).collect();
    let left = |cause| ("LL".to_owned(), Some(cause));
    assert_eq!(
        told,
        [
            // It spoke of one document of two.
            left(RetryCause::Misconfigured),
            left(RetryCause::Busy),
            left(RetryCause::Misconfigured),
            left(RetryCause::Misconfigured),
            ("TT".to_owned(), None),
        ]
    );
    let (head, body) = &stub.seen.lock().unwrap()[5];
    assert!(head.starts_with("POST /_bulk?"), "{head}");
    let lines: Vec<serde_json::Value> =
        body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["create"]["_index"], "weir");
    assert_eq!(lines[0]["create"]["_id"], lines[1]["event"]["id"]);
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_port_where_nobody_listens_is_told_as_such() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = Endpoint::new(&format!("http://{address}"), None, None, PATIENCE);
    let mut elasticsearch = ElasticsearchDestination::new(endpoint, "weir");
    assert_eq!(cause(&elasticsearch.deliver(&notices(1))), Some(RetryCause::Unreachable));
    let mut syslog = syslog_to(&address.to_string(), None);
    assert_eq!(cause(&syslog.deliver(&notices(1))), Some(RetryCause::Unreachable));
}

fn syslog_to(address: &str, authorities: Option<&Authorities>) -> SyslogDestination {
    SyslogDestination::new(address, authorities, Format::Cef, "node-1", PATIENCE).unwrap()
}

/// The messages of an octet-counted stream.
fn counted(mut stream: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    while !stream.is_empty() {
        let blank = stream.iter().position(|byte| *byte == b' ').unwrap();
        let length: usize = std::str::from_utf8(&stream[..blank]).unwrap().parse().unwrap();
        let (message, rest) = stream[blank + 1..].split_at(length);
        messages.push(String::from_utf8(message.to_vec()).unwrap());
        stream = rest;
    }
    messages
}

/// A receiver that does with each connection what it is told to.
fn receiver(each: impl Fn(TcpStream) -> Vec<u8> + Send + 'static) -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = sender.send(each(stream.unwrap()));
        }
    });
    (address, received)
}

fn read_all(mut stream: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    all
}

#[test]
fn syslog_counts_as_taken_when_the_receiver_closes_after_it() {
    let (address, received) = receiver(read_all);
    assert_eq!(syslog_to(&address, None).deliver(&notices(3)), Delivery::taken(3));
    let messages = counted(&received.recv().unwrap());
    assert_eq!(messages.len(), 3);
    let head = "<82>1 2026-11-01T00:00:00.000Z node-1 weir - verdict [origin software=\"Weir\" swVersion=";
    assert!(
        messages.iter().all(|message| message.starts_with(head) && message.contains("] CEF:0|")),
        "{messages:?}"
    );
}

#[test]
fn syslog_is_left_where_the_receiver_breaks_off_or_never_closes() {
    // With something unread, so that the connection breaks instead of ending.
    let (address, _received) = receiver(|mut stream| {
        let _ = stream.read_exact(&mut [0; 16]);
        Vec::new()
    });
    let told = syslog_to(&address, None).deliver(&notices(200));
    assert_eq!((fates(&told), cause(&told)), ("L".repeat(200), Some(RetryCause::Unreachable)));

    let (address, _received) = receiver(|stream| {
        let all = read_all(&stream);
        std::thread::sleep(PATIENCE * 3);
        all
    });
    let told = syslog_to(&address, None).deliver(&notices(2));
    assert_eq!((fates(&told), cause(&told)), ("LL".into(), Some(RetryCause::Silent)));
}

#[test]
fn syslog_ends_with_a_receiver_that_never_stops_talking() {
    let (address, _received) = receiver(|mut stream| {
        while stream.write_all(b"and another thing\n").is_ok() {
            std::thread::sleep(PATIENCE / 10);
        }
        Vec::new()
    });
    let told = syslog_to(&address, None).deliver(&notices(1));
    assert_eq!((fates(&told), cause(&told)), ("L".into(), Some(RetryCause::Silent)));
}

/// A receiver with TLS that ends its sessions as RFC 5425 has it, or just closes; its certificate, and what
/// it received.
fn secured(ends_sessions: bool) -> (String, String, Receiver<Vec<u8>>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let (address, received) = receiver(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
        let all = read_all(&mut stream);
        if ends_sessions {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        all
    });
    (address, made.cert.pem(), received)
}

#[test]
fn syslog_over_tls_is_told_to_whom_the_authorities_vouch_for_and_to_nobody_else() {
    let (address, pem, received) = secured(true);
    let known = Authorities::from_pem(pem.as_bytes()).unwrap();
    assert_eq!(syslog_to(&address, Some(&known)).deliver(&notices(2)), Delivery::taken(2));
    assert_eq!(counted(&received.recv().unwrap()).len(), 2);

    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let other = Authorities::from_pem(other.cert.pem().as_bytes()).unwrap();
    let told = syslog_to(&address, Some(&other)).deliver(&notices(2));
    assert_eq!((fates(&told), cause(&told)), ("LL".into(), Some(RetryCause::Denied)));
    assert_eq!(received.recv().unwrap(), b"", "nothing was told");
}

#[test]
fn syslog_over_tls_is_left_where_the_session_is_not_ended_by_the_receiver() {
    let (address, pem, _received) = secured(false);
    let known = Authorities::from_pem(pem.as_bytes()).unwrap();
    let told = syslog_to(&address, Some(&known)).deliver(&notices(2));
    assert_eq!((fates(&told), cause(&told)), ("LL".into(), Some(RetryCause::Unreachable)));
}

#[test]
fn authorities_that_are_none_are_refused() {
    use super::tls::AuthoritiesError;
    assert_eq!(Authorities::from_pem(b"nothing").unwrap_err(), AuthoritiesError::Empty);
}

#[test]
fn one_notice_that_is_too_large_makes_no_batch_small_but_its_own() {
    let notices = notices(64);
    let (mut chunks, mut is_first) = (Chunks::new(), true);
    let mut sizes = Vec::new();
    for _ in 0..2 {
        let delivery = chunks.deliver(&notices, |chunk| {
            // The first notice of all is too large.
            if is_first {
                is_first = chunk.len() > 1;
                return Outcome::TooLarge;
            }
            sizes.push(chunk.len());
            Outcome::Answered(Delivery::taken(chunk.len()))
        });
        assert!(delivery.failure.is_none());
        assert_eq!(delivery.fates.len(), 64);
    }
    assert_eq!(sizes, [63, 64]);
}
