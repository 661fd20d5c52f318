//! A stand-in for Vault: KV of version 2, tokens with what they may do, `sys/capabilities-self`, the log-in
//! of Kubernetes, and what goes wrong with servers.
//!
//! It is no Vault: no policy language (a token names the paths that it may use), no lease or clock (a token
//! is refused from when a test says so), no storage, and its Kubernetes believes one service account's token.
//! Paths, bodies and statuses are those of Vault's API 1.x.

#![allow(dead_code, clippy::unwrap_used)] // Each test program uses its part of it.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How it answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Mood {
    #[default]
    Well,
    /// Nobody may read anything until it is unsealed.
    Sealed,
    /// With this status, so many times.
    Refuses(u16, usize),
    /// By another server's address.
    Redirects(String),
    /// A byte a tenth of a second.
    Drips,
    /// Half of the body, then no more.
    BreaksOff,
    /// With a body of so many bytes.
    Floods(usize),
    /// With something else than JSON.
    Babbles,
}

/// A version of a secret.
#[derive(Clone)]
pub struct Version {
    pub fields: Value,
    pub is_deleted: bool,
    pub is_destroyed: bool,
}

#[derive(Default)]
pub struct State {
    pub mood: Mood,
    /// By path, such as `secret/data/weir/enforcer`; the first has the number 1.
    pub secrets: BTreeMap<String, Vec<Version>>,
    /// By token, the paths that it may read.
    pub tokens: BTreeMap<String, BTreeSet<String>>,
    /// Whether tokens have the policy `default`, by which they may look at themselves.
    pub lacks_default_policy: bool,
    /// The role, its service account's token, and the tokens that are given for it, in this order.
    pub kubernetes: Option<(String, String, Vec<String>)>,
    /// A file that is given this token when another was refused, as an agent does.
    pub renews: Option<(PathBuf, String)>,
    pub namespace: Option<String>,
    /// Every request: method, path, and token.
    pub asked: Vec<String>,
}

/// The stand-in, which serves until the process ends.
#[derive(Clone)]
pub struct StandIn {
    pub address: String,
    state: Arc<Mutex<State>>,
}

impl StandIn {
    pub fn start() -> Self {
        Self::behind(|stream| Some(Box::new(stream)), "http")
    }

    /// Behind what makes something else of each connection, such as TLS.
    pub fn behind(
        wrap: impl Fn(TcpStream) -> Option<Box<dyn Connection>> + Send + 'static,
        scheme: &str,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("{scheme}://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let stand_in = Self { address, state: Arc::default() };
        let state = stand_in.state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if let Some(mut connection) = stream.ok().and_then(&wrap) {
                    let state = state.clone();
                    // A client that hangs up is its own affair.
                    std::thread::spawn(move || serve(connection.as_mut(), &state));
                }
            }
        });
        stand_in
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn put(&self, path: &str, fields: Value) {
        let version = Version { fields, is_deleted: false, is_destroyed: false };
        self.state().secrets.entry(path.to_owned()).or_default().push(version);
    }

    pub fn allow(&self, token: &str, paths: &[&str]) {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        self.state().tokens.insert(token.to_owned(), paths);
    }
}

/// What is read from and written to.
pub trait Connection: Read + Write + Send {}
impl<T: Read + Write + Send> Connection for T {}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn read(connection: &mut dyn Connection) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        (connection.read(&mut byte).ok()? == 1).then_some(())?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let (first, rest) = head.split_once("\r\n")?;
    let headers: BTreeMap<String, String> = rest
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    connection.read_exact(&mut body).ok()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Some(Request { method, path: path.to_owned(), query: query.to_owned(), headers, body })
}

fn serve(connection: &mut dyn Connection, state: &Mutex<State>) -> Option<()> {
    let request = read(connection)?;
    let mut state = state.lock().unwrap();
    let token = request.headers.get("x-vault-token").cloned().unwrap_or_default();
    let target = match request.query.as_str() {
        "" => request.path.clone(),
        query => format!("{}?{query}", request.path),
    };
    state.asked.push(format!("{} {target} {token}", request.method));
    let (status, body) = match &mut state.mood {
        Mood::Sealed => (503, json!({ "errors": ["Vault is sealed"] })),
        Mood::Refuses(status, times) if *times > 0 => {
            *times -= 1;
            (*status, json!({ "errors": ["try again"] }))
        }
        _ => answer(&mut state, &request, &token),
    };
    let mood = state.mood.clone();
    drop(state);
    let mut body = match mood {
        Mood::Floods(bytes) => format!("{{\"data\":\"{}\"}}", "x".repeat(bytes)),
        Mood::Babbles => format!("<html>{body}</html>"),
        _ => body.to_string(),
    };
    let (status, location) = match &mood {
        Mood::Redirects(address) => (307, format!("location: {address}{target}\r\n")),
        _ => (status, String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\n{location}content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).ok()?;
    if mood == Mood::BreaksOff {
        body.truncate(body.len() / 2);
    }
    if mood == Mood::Drips {
        for byte in body.bytes() {
            connection.write_all(&[byte]).and_then(|()| connection.flush()).ok()?;
            std::thread::sleep(Duration::from_millis(100));
        }
    } else {
        connection.write_all(body.as_bytes()).ok()?;
    }
    connection.flush().ok()
}

fn answer(state: &mut State, request: &Request, token: &str) -> (u16, Value) {
    let denied = || (403, json!({ "errors": ["permission denied"] }));
    let not_found = || (404, json!({ "errors": [] }));
    if request.headers.get("x-vault-namespace") != state.namespace.as_ref() {
        return not_found();
    }
    // Vault refuses what a forged request of a browser could be.
    if request.headers.get("x-vault-request").is_none_or(|value| value != "true") {
        return (412, json!({ "errors": ["missing request header"] }));
    }
    let Some(path) = request.path.strip_prefix("/v1/") else { return not_found() };
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    if path == "auth/kubernetes/login" && request.method == "POST" {
        let Some((role, account, tokens)) = &mut state.kubernetes else { return not_found() };
        if body["role"] != role.as_str() || body["jwt"] != account.as_str() || tokens.is_empty() {
            return denied();
        }
        let token = if tokens.len() > 1 { tokens.remove(0) } else { tokens[0].clone() };
        return (
            200,
            json!({ "auth": { "client_token": token, "lease_duration": 3600, "renewable": true } }),
        );
    }
    let Some(readable) = state.tokens.get(token) else {
        if let Some((file, token)) = &state.renews {
            std::fs::write(file, token).unwrap();
        }
        return denied();
    };
    if path == "sys/capabilities-self" && request.method == "POST" {
        if state.lacks_default_policy {
            return denied();
        }
        let capability = |path: &str| match (readable.contains("root"), readable.contains(path)) {
            (true, _) => "root",
            (false, true) => "read",
            (false, false) => "deny",
        };
        let paths = body["paths"].as_array().unwrap();
        let told: serde_json::Map<String, Value> = paths
            .iter()
            .map(|path| (path.as_str().unwrap().to_owned(), json!([capability(path.as_str().unwrap())])))
            .collect();
        return (200, json!({ "data": told }));
    }
    if !readable.contains(path) && !readable.contains("root") {
        return denied();
    }
    let Some(versions) = state.secrets.get(path) else { return not_found() };
    let number = match request.query.strip_prefix("version=") {
        Some(number) => number.parse().unwrap(),
        None => versions.len(),
    };
    let Some(version) = number.checked_sub(1).and_then(|index| versions.get(index)) else {
        return not_found();
    };
    let (fields, deletion_time) = match version.is_deleted || version.is_destroyed {
        true => (Value::Null, if version.is_deleted { "2026-11-27T00:00:00Z" } else { "" }),
        false => (version.fields.clone(), ""),
    };
    let status = if fields.is_null() { 404 } else { 200 };
    let metadata = json!({
        "created_time": "2026-11-01T00:00:00Z", "custom_metadata": null, "deletion_time": deletion_time,
        "destroyed": version.is_destroyed, "version": number,
    });
    (
        status,
        json!({ "request_id": "r", "lease_duration": 0, "data": { "data": fields, "metadata": metadata } }),
    )
}
