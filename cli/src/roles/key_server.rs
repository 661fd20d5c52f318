//! `weir key-server`: a key-management server for tests and demonstrations, that keeps the contract of the
//! webhook.
//!
//! It verifies signatures, does each thing once, and lets go whatever comes later. Every change is a line of
//! its journal, which is written before it answers and from which it goes on.

use crate::context::now_ms;
use crate::output;
use crate::roles::act::secret;
use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use weir_enforcer::act::webhook::verifies;
use zeroize::Zeroizing;

/// How far a request's time may be from ours, in seconds.
const SKEW_SECONDS_MAX: i64 = 300;

/// What a webhook says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Word {
    operation: String,
    effect: String,
    action_id: String,
    tenant: String,
    account: String,
    account_raw: Option<String>,
}

/// A line of the journal.
#[derive(Serialize, Deserialize)]
struct Line {
    time_ms: i64,
    #[serde(flatten)]
    word: Word,
}

struct Server {
    secret: Zeroizing<Vec<u8>>,
    holds: Mutex<Holds>,
}

struct Holds {
    journal: File,
    /// By account and action: the effect, or none where it was let go.
    by_account: BTreeMap<String, BTreeMap<String, Option<String>>>,
}

impl Holds {
    fn open(journal: &PathBuf) -> Result<Self> {
        let cannot = || format!("cannot use the journal {}", journal.display());
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(journal)
            .with_context(cannot)?;
        let mut holds = Self { journal: file.try_clone()?, by_account: BTreeMap::new() };
        for line in BufReader::new(file).split(b'\n') {
            // One may have been cut short: then nobody was told that it is done.
            if let Ok(line) = serde_json::from_slice::<Line>(&line.with_context(cannot)?) {
                holds.follow(&line.word);
            }
        }
        Ok(holds)
    }

    /// Whether the word is news: a hold is put on once, and what was let go stays so.
    fn is_news(&self, word: &Word) -> bool {
        let known = self.by_account.get(&word.account).and_then(|holds| holds.get(&word.action_id));
        match (known, word.operation.as_str()) {
            (None, _) => true,
            (Some(effect), "release") => effect.is_some(),
            (Some(_), _) => false,
        }
    }

    fn follow(&mut self, word: &Word) {
        let effect = (word.operation == "apply").then(|| word.effect.clone());
        self.by_account.entry(word.account.clone()).or_default().insert(word.action_id.clone(), effect);
    }

    fn take(&mut self, word: Word) -> std::io::Result<bool> {
        if !self.is_news(&word) {
            return Ok(false);
        }
        let line = serde_json::to_string(&Line { time_ms: now_ms(), word: word.clone() })?;
        // A line of its own, whatever became of the last one.
        self.journal.write_all(format!("\n{line}\n").as_bytes())?;
        self.journal.sync_data()?;
        self.follow(&word);
        Ok(true)
    }
}

/// Serves until the process is told to stop.
pub fn run(address: &str, secret_file: &PathBuf, journal: &PathBuf) -> Result<ExitCode> {
    let (secret, holds) = (secret(secret_file, "the webhook secret")?, Mutex::new(Holds::open(journal)?));
    let server = Arc::new(Server { secret, holds });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(address))
        .with_context(|| format!("cannot listen on {address}"))?;
    output::in_passing(format_args!("The key server listens on http://{}/holds", listener.local_addr()?));
    let router = Router::new().route("/holds", post(take)).route("/holds", get(show)).with_state(server);
    runtime.block_on(async { axum::serve(listener, router).await })?;
    Ok(ExitCode::SUCCESS)
}

async fn take(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let timestamp = text("x-weir-timestamp").parse::<i64>().unwrap_or(0);
    let is_fresh = (now_ms() / 1_000).abs_diff(timestamp) <= SKEW_SECONDS_MAX.unsigned_abs();
    let signature = text("x-weir-signature").strip_prefix("v1=").unwrap_or_default();
    if !is_fresh || !verifies(&server.secret, timestamp, &body, signature) {
        return (StatusCode::UNAUTHORIZED, "the signature does not verify\n".into());
    }
    let word = match serde_json::from_slice::<Word>(&body) {
        Ok(word) if ["apply", "release"].contains(&word.operation.as_str()) => word,
        _ => return (StatusCode::BAD_REQUEST, "that is no word of an enforcer\n".into()),
    };
    if text("idempotency-key") != format!("{}/{}", word.action_id, word.operation) {
        return (StatusCode::BAD_REQUEST, "the idempotency key is another action's\n".into());
    }
    match server.holds.lock().unwrap_or_else(PoisonError::into_inner).take(word) {
        Ok(true) => (StatusCode::OK, "done\n".into()),
        Ok(false) => (StatusCode::OK, "done before\n".into()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("the journal cannot be written: {error}\n")),
    }
}

/// How each account stands that was ever held: `ACCOUNT suspend`, `ACCOUNT rate_limit` or `ACCOUNT active`, a
/// line each.
async fn show(State(server): State<Arc<Server>>) -> String {
    let holds = server.holds.lock().unwrap_or_else(PoisonError::into_inner);
    let line = |(account, holds): (&String, &BTreeMap<String, Option<String>>)| {
        let is = |effect: &str| holds.values().any(|held| held.as_deref() == Some(effect));
        let status = ["suspend", "rate_limit"].into_iter().find(|effect| is(effect)).unwrap_or("active");
        format!("{account} {status}\n")
    };
    holds.by_account.iter().map(line).collect()
}
