//! The decision API over HTTP.

use super::answer::{Answer, CREDENTIAL_HEADERS, Desk};
use anyhow::Result;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::routing::get;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use weir_enforcer::answer::decision::Passes;
use weir_schemas::AccountId;

/// How the account stands.
const STATUS: HeaderName = HeaderName::from_static("x-weir-status");
/// How old what is known is, in milliseconds.
const STALE: HeaderName = HeaderName::from_static("x-weir-stale-ms");
/// The action and the verdict by which it stands so.
const ACTION: HeaderName = HeaderName::from_static("x-weir-action-id");
const VERDICT: HeaderName = HeaderName::from_static("x-weir-verdict-id");

/// What is said in place of a status where too little is known.
const UNKNOWN: &str = "unknown";

type Reply = (StatusCode, HeaderMap, String);

/// Serves in a thread of its own until the process ends; the address that was bound.
pub fn serve(address: &str, desk: Arc<Desk>) -> Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(address))?;
    let bound = listener.local_addr()?;
    let router = Router::new()
        .route("/auth", get(auth))
        .route("/auth/nginx", get(auth_nginx))
        .route("/v1/accounts/{account}", get(account))
        .with_state(desk);
    std::thread::Builder::new().name("decide".into()).spawn(move || {
        if let Err(error) = runtime.block_on(async { axum::serve(listener, router).await }) {
            tracing::error!(%error, "the decision server ended");
        }
    })?;
    Ok(bound)
}

async fn auth(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Reply {
    reply(&asked(desk, headers).await)
}

/// nginx takes every status but 2xx, 401 and 403 for a failure of ours: the header says what it is.
async fn auth_nginx(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Reply {
    let (status, headers, body) = reply(&asked(desk, headers).await);
    let status = if status == StatusCode::OK { status } else { StatusCode::FORBIDDEN };
    (status, headers, body)
}

/// Asks the desk, in a thread that may wait where Redis is asked too.
async fn asked(desk: Arc<Desk>, headers: HeaderMap) -> Answer {
    if !desk.may_wait() {
        return ask(&desk, &headers);
    }
    let waiting = desk.clone();
    match tokio::task::spawn_blocking(move || ask(&waiting, &headers)).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(%error, "a request could not be answered; please report it");
            desk.ask(&[])
        }
    }
}

fn ask(desk: &Desk, headers: &HeaderMap) -> Answer {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let tenant = desk.tenant_header().and_then(text);
    // Repeated headers too: whoever sends two keys is asked for both.
    let all = CREDENTIAL_HEADERS.iter().flat_map(|name| headers.get_all(*name));
    let credentials = all.filter_map(|value| value.to_str().ok());
    desk.ask(&desk.accounts(tenant, credentials))
}

async fn account(State(desk): State<Arc<Desk>>, Path(account): Path<String>) -> Reply {
    match account.parse::<AccountId>() {
        Ok(account) => {
            let (_, headers, body) = reply(&desk.look(account));
            (StatusCode::OK, headers, body)
        }
        Err(error) => {
            let body = json!({ "error": format!("an account is named by its pseudonym: {error}") });
            (StatusCode::BAD_REQUEST, HeaderMap::from_iter([JSON]), format!("{body}\n"))
        }
    }
}

const JSON: (HeaderName, HeaderValue) = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));

fn reply(answer: &Answer) -> Reply {
    let decision = &answer.decision;
    let (status, word) = match answer.passes {
        Passes::Yes => (StatusCode::OK, decision.status.as_str()),
        Passes::In(_) => (StatusCode::TOO_MANY_REQUESTS, decision.status.as_str()),
        Passes::No(_) => (StatusCode::FORBIDDEN, decision.status.as_str()),
        Passes::Unknown => (StatusCode::SERVICE_UNAVAILABLE, UNKNOWN),
    };
    let retry_after_ms = match answer.passes {
        Passes::In(wait_ms) | Passes::No(Some(wait_ms)) => Some(wait_ms.max(0)),
        Passes::Yes | Passes::No(None) | Passes::Unknown => None,
    };
    let (action, verdict) =
        (decision.action_id.map(|id| id.to_string()), decision.verdict_id.map(|id| id.to_string()));
    let mut headers = HeaderMap::from_iter([JSON, (STATUS, HeaderValue::from_static(word))]);
    // Whole seconds, and never sooner than it is worth while.
    let retry_after = retry_after_ms.map(|ms| (ms as u64).div_ceil(1_000).max(1).to_string());
    let stale = answer.stale_ms.map(|stale_ms| stale_ms.to_string());
    let told = [
        (STALE, stale),
        (header::RETRY_AFTER, retry_after),
        (ACTION, action.clone()),
        (VERDICT, verdict.clone()),
    ];
    for (name, text) in told {
        headers.extend(text.and_then(|text| HeaderValue::try_from(text).ok()).map(|value| (name, value)));
    }
    let body = json!({
        "status": word,
        "passes": answer.passes == Passes::Yes,
        "retry_after_ms": retry_after_ms,
        "since_ms": decision.since_ms,
        "until_ms": decision.until_ms,
        "action_id": action,
        "verdict_id": verdict,
        "stale_ms": answer.stale_ms,
    });
    (status, headers, format!("{body}\n"))
}
