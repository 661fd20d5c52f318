//! The actuator against a server that keeps keys as LiteLLM's API says it does.

use super::*;
use crate::testing::account;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard};
use weir_schemas::{Action, ActionId, ActionKind};
use weir_topology::clock::MachineClock;

const ADMIN: &str = "sk-admin";
const KEY: &str = "sk-of-a-customer";
const RPM_LIMIT: u64 = 6;

/// What the server keeps of a key.
#[derive(Debug, Clone, PartialEq, Default)]
struct Row {
    blocked: bool,
    rpm_limit: Option<u64>,
    metadata: Value,
    is_deleted: bool,
}

/// What is to go wrong with a call, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It is answered with this status, and nothing is done.
    Before(u16),
    /// LiteLLM does not do it, and takes it for the caller's fault.
    Unforeseen,
    /// It is done, and nobody is told.
    After,
}

#[derive(Default)]
struct Kept {
    rows: BTreeMap<String, Row>,
    calls: Vec<String>,
    fault: Option<(usize, Fault)>,
    /// What was sent, for whoever looks for what must not be.
    sent: String,
}

/// A proxy that runs until its test ends.
struct Proxy {
    kept: Arc<Mutex<Kept>>,
    url: String,
}

impl Proxy {
    fn start(row: Row) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let kept = Arc::new(Mutex::new(Kept::default()));
        kept.lock().unwrap().rows.insert(hash_of(KEY).unwrap(), row);
        let served = kept.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &served);
            }
        });
        Self { kept, url }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    fn row(&self) -> Row {
        self.kept().rows.values().next().unwrap().clone()
    }

    /// The row, without what Weir wrote into its metadata.
    fn row_of_others(&self) -> Row {
        let mut row = self.row();
        if let Some(metadata) = row.metadata.as_object_mut() {
            metadata.remove(FIELD);
        }
        row
    }

    fn actuator(&self) -> LiteLlmActuator {
        LiteLlmActuator::new(&self.url, ADMIN, RPM_LIMIT, Arc::new(MachineClock::default()))
    }

    /// Posts since the last call, by their path.
    fn posts(&self) -> Vec<String> {
        let calls = std::mem::take(&mut self.kept().calls);
        calls.into_iter().filter(|path| !path.starts_with("/key/info")).collect()
    }
}

/// Answers one request and ends the connection.
fn serve(mut stream: TcpStream, kept: &Mutex<Kept>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        head += &std::mem::take(&mut line);
    }
    let header = |name: &str| {
        head.lines().filter_map(|line| line.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name))
    };
    let length = header("content-length").map_or(0, |(_, length)| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut kept = kept.lock().unwrap();
    kept.sent += &head;
    kept.sent += std::str::from_utf8(&body).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let (number, is_admin) =
        (kept.calls.len(), header("authorization").is_some_and(|(_, v)| v == format!("Bearer {ADMIN}")));
    kept.calls.push(path.clone());
    let fault = kept.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
    let (status, answer) = match fault {
        Some(Fault::Before(status)) => (status, json!({})),
        Some(Fault::Unforeseen) if path.starts_with("/key/info") => (500, json!({})),
        Some(Fault::Unforeseen) => (400, error("Authentication Error, no connection", "auth_error", 400)),
        _ if !is_admin => (401, error("Authentication Error", "auth_error", 401)),
        _ => answer(&mut kept.rows, &path, &serde_json::from_slice(&body).unwrap_or(Value::Null)),
    };
    if fault != Some(Fault::After) {
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n");
        write!(stream, "{head}content-length: {}\r\n\r\n{answer}", answer.len()).unwrap();
    }
}

fn error(message: &str, kind: &str, code: u16) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": "key", "code": code.to_string() } })
}

fn answer(rows: &mut BTreeMap<String, Row>, path: &str, body: &Value) -> (u16, Value) {
    let queried = path.strip_prefix("/key/info?key=");
    let named = queried.or(body["key"].as_str()).unwrap_or_default();
    let Some(row) = rows.get_mut(named).filter(|row| !row.is_deleted || queried.is_some()) else {
        return (404, error("Key not found.", "not_found_error", 404));
    };
    match path {
        _ if queried.is_some() => {
            let status = if row.is_deleted { "deleted" } else { "active" };
            let info = json!({
                // Of a key that nobody ever blocked LiteLLM tells null.
                "blocked": row.blocked.then_some(true), "rpm_limit": row.rpm_limit, "metadata": row.metadata,
                "status": status, "spend": 1.5, "models": ["gpt-4o"],
            });
            return (200, json!({ "key": named, "info": info }));
        }
        "/key/block" => row.blocked = true,
        "/key/unblock" => row.blocked = false,
        "/key/update" => {
            // A merge patch; what of metadata is not sent is gone.
            for (field, value) in body.as_object().unwrap() {
                match field.as_str() {
                    "key" => {}
                    "metadata" => row.metadata = value.clone(),
                    "rpm_limit" => row.rpm_limit = value.as_u64(),
                    _ => return (422, error(field, "bad_request_error", 422)),
                }
            }
        }
        _ => return (404, json!({ "detail": "Not Found" })),
    }
    (200, json!({ "token": named, "blocked": row.blocked }))
}

fn action(number: u8, kind: ActionKind) -> Action {
    Action { action_id: ActionId([number; 16]), account: account(1), kind, ..Action::default() }
}

fn raw(action: &Action) -> Hold<'_> {
    Hold { action, account_raw: Some(KEY) }
}

/// A key as its owner's provider keeps it.
fn row() -> Row {
    Row { rpm_limit: Some(100), metadata: json!({ "team": "core", "tags": ["a"] }), ..Row::default() }
}

#[test]
fn a_suspended_key_is_blocked_until_its_last_hold_goes_and_is_then_as_it_was() {
    let proxy = Proxy::start(row());
    let mut actuator = proxy.actuator();
    let [one, two] = [1, 2].map(|number| action(number, ActionKind::Suspend));
    assert_eq!(actuator.apply(&raw(&one)), Ok(()));
    assert_eq!(proxy.posts(), ["/key/update", "/key/block"], "its hold stands there before its effect");
    assert_eq!(proxy.row_of_others(), Row { blocked: true, ..row() });
    // Twice is once.
    assert_eq!(actuator.apply(&raw(&one)), Ok(()));
    assert_eq!(proxy.posts(), [""; 0]);
    // One takes the other's place: the key is never free in between.
    assert_eq!((actuator.apply(&raw(&two)), actuator.release(&raw(&one))), (Ok(()), Ok(())));
    assert_eq!(proxy.posts(), ["/key/update", "/key/update"]);
    // Letting go wins over a word that comes late.
    assert_eq!(actuator.apply(&raw(&one)), Ok(()));
    assert_eq!(actuator.release(&raw(&two)), Ok(()));
    assert_eq!(proxy.posts(), ["/key/unblock", "/key/update"]);
    assert_eq!((actuator.apply(&raw(&two)), actuator.release(&raw(&two))), (Ok(()), Ok(())));
    assert_eq!((proxy.row_of_others(), proxy.posts().len()), (row(), 0));
}

#[test]
fn a_key_that_is_slowed_down_has_its_limit_lowered_and_given_back() {
    for (before, lowered) in [(Some(100), 6), (None, 6), (Some(2), 2)] {
        let proxy = Proxy::start(Row { rpm_limit: before, ..row() });
        let mut actuator = proxy.actuator();
        let (limit, suspend) = (action(1, ActionKind::RateLimit), action(2, ActionKind::Suspend));
        assert_eq!(actuator.apply(&raw(&limit)), Ok(()));
        assert_eq!((proxy.row().rpm_limit, proxy.row().blocked), (Some(lowered), false));
        assert_eq!((actuator.apply(&raw(&suspend)), actuator.release(&raw(&limit))), (Ok(()), Ok(())));
        assert_eq!((proxy.row().rpm_limit, proxy.row().blocked), (before, true));
        assert_eq!(actuator.release(&raw(&suspend)), Ok(()));
        assert_eq!(proxy.row_of_others(), Row { rpm_limit: before, ..row() });
    }
    // What the provider has made of it meanwhile is the provider's.
    let (proxy, limit) = (Proxy::start(row()), action(1, ActionKind::RateLimit));
    proxy.actuator().apply(&raw(&limit)).unwrap();
    proxy.kept().rows.values_mut().for_each(|row| row.rpm_limit = Some(1));
    proxy.actuator().release(&raw(&limit)).unwrap();
    assert_eq!(proxy.row().rpm_limit, Some(1));
}

#[test]
fn whom_somebody_else_had_blocked_weir_does_not_unblock() {
    let (proxy, suspend) = (Proxy::start(Row { blocked: true, ..row() }), action(1, ActionKind::Suspend));
    let mut actuator = proxy.actuator();
    assert_eq!((actuator.apply(&raw(&suspend)), actuator.release(&raw(&suspend))), (Ok(()), Ok(())));
    assert_eq!(proxy.posts(), ["/key/update", "/key/update"]);
    assert_eq!(proxy.row_of_others(), Row { blocked: true, ..row() });
}

#[test]
fn wherever_it_is_cut_off_to_do_it_again_ends_the_same() {
    let holds = [action(1, ActionKind::RateLimit), action(2, ActionKind::Suspend)];
    let words = [(0, true), (1, true), (0, false), (1, false)];
    for fault in [Fault::Before(500), Fault::Before(429), Fault::Before(404), Fault::Unforeseen, Fault::After]
    {
        for at in 0..12 {
            let proxy = Proxy::start(row());
            proxy.kept().fault = Some((at, fault));
            let mut cuts = 0;
            let mut seen = Vec::new();
            for (hold, is_on) in words {
                let word = raw(&holds[hold]);
                // Another one each time, as after a crash.
                let outcome = || match is_on {
                    true => proxy.actuator().apply(&word),
                    false => proxy.actuator().release(&word),
                };
                while let Err(error) = outcome() {
                    assert!(matches!(error, ActuatorError::Away(_)), "{error}");
                    cuts += 1;
                }
                seen.push((proxy.row().rpm_limit, proxy.row().blocked));
            }
            let expected = [(Some(6), false), (Some(6), true), (Some(100), true), (Some(100), false)];
            assert_eq!(seen, expected, "{fault:?} at call {at}");
            assert_eq!(proxy.row_of_others(), row(), "{fault:?} at call {at}");
            assert_eq!(cuts, usize::from(at < 10), "call {at} is one of those that are made");
        }
    }
}

#[test]
fn what_cannot_be_done_says_why_and_a_key_that_is_gone_needs_nothing() {
    let suspend = action(1, ActionKind::Suspend);
    let proxy = Proxy::start(row());
    let mut actuator = proxy.actuator();
    let who = |account_raw| Hold { action: &suspend, account_raw };
    for (account_raw, reason) in [
        (None, "LiteLLM knows no pseudonyms"),
        (Some("alice@example.com"), "neither a key of LiteLLM's"),
        (Some("sk-of-nobody"), "LiteLLM has no such key"),
    ] {
        let error = actuator.apply(&who(account_raw)).unwrap_err();
        assert!(matches!(&error, ActuatorError::Refused(said) if said.contains(reason)), "{error}");
    }
    assert_eq!(actuator.release(&who(Some("sk-of-nobody"))), Ok(()));
    assert_eq!(actuator.release(&who(Some("alice@example.com"))), Ok(()), "nothing was ever put on");
    assert!(actuator.release(&who(None)).is_err(), "a person must");
    // By the hash, as LiteLLM's own logs name it.
    let hash = hash_of(KEY).unwrap().to_ascii_uppercase();
    assert_eq!(actuator.apply(&who(Some(&hash))), Ok(()));
    assert!(proxy.row().blocked);
    proxy.kept().rows.values_mut().for_each(|row| row.is_deleted = true);
    assert_eq!(actuator.release(&who(Some(KEY))), Ok(()));
    assert!(actuator.apply(&who(Some(KEY))).is_err());
    // What somebody else keeps there is not written over.
    proxy
        .kept()
        .rows
        .values_mut()
        .for_each(|row| *row = Row { metadata: json!({ FIELD: 7 }), ..Row::default() });
    let error = actuator.apply(&who(Some(KEY))).unwrap_err();
    assert!(matches!(&error, ActuatorError::Refused(said) if said.contains("is not Weir's")), "{error}");
    assert_eq!(proxy.row().metadata, json!({ FIELD: 7 }));
    let sent = &proxy.kept().sent;
    assert!(!sent.contains(KEY) && sent.contains("litellm-changed-by: weir"), "no raw key leaves: {sent}");
}

#[test]
fn a_wrong_admin_key_and_a_proxy_that_is_away_are_tried_again_and_then_left_alone() {
    let (proxy, suspend) = (Proxy::start(row()), action(1, ActionKind::Suspend));
    let clock: Arc<dyn Clock> = Arc::new(MachineClock::default());
    let mut stranger = LiteLlmActuator::new(&proxy.url, "sk-guessed", RPM_LIMIT, clock.clone());
    assert_eq!(stranger.apply(&raw(&suspend)), Err(ActuatorError::Away("LiteLLM answers with 401".into())));
    let mut nobody = LiteLlmActuator::new("http://127.0.0.1:1", ADMIN, RPM_LIMIT, clock);
    let asked = 0..=crate::limits::BREAKER_FAILURES;
    let reasons: Vec<String> = asked.map(|_| nobody.apply(&raw(&suspend)).unwrap_err().to_string()).collect();
    let (last, before) = reasons.split_last().unwrap();
    assert!(last.contains("left alone for a moment"), "{last}");
    assert!(before.iter().all(|reason| reason.contains("does not answer")), "{before:?}");
    assert_eq!(proxy.row(), row());
}
