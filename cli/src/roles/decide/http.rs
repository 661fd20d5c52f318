//! The decision API over HTTP.

use super::answer::Desk;
use super::told::{Told, status_of};
use super::whose::Unclear;
use crate::telemetry::Transport;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::routing::get;
use serde_json::json;
use std::fmt::Display;
use std::sync::Arc;
use weir_schemas::AccountId;

/// How the account stands.
const STATUS: HeaderName = HeaderName::from_static("x-weir-status");
/// How old what is known is, in milliseconds.
const STALE: HeaderName = HeaderName::from_static("x-weir-stale-ms");
/// The action and the verdict by which it stands so.
const ACTION: HeaderName = HeaderName::from_static("x-weir-action-id");
const VERDICT: HeaderName = HeaderName::from_static("x-weir-verdict-id");
/// The verdict's score, and the families of its evidence with commas between them; neither where that is not
/// known.
const SCORE: HeaderName = HeaderName::from_static("x-weir-score");
const FAMILIES: HeaderName = HeaderName::from_static("x-weir-families");

const JSON: (HeaderName, HeaderValue) = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));

type Reply = (StatusCode, HeaderMap, String);

/// What is answered where.
pub fn routes(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/auth", get(auth))
        .route("/auth/nginx", get(auth_nginx))
        .route("/v1/accounts/{account}", get(account))
        .with_state(desk)
}

async fn auth(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Reply {
    // Repeated headers too: whoever sends two keys is asked for both.
    let values = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    match desk.answer_to(Transport::Http, values).await {
        Ok(answer) => reply(&Told::of(&answer)),
        Err(error) => refused(error),
    }
}

/// nginx takes every status but 2xx, 401 and 403 for a failure of ours: the header says what it is.
async fn auth_nginx(desk: State<Arc<Desk>>, headers: HeaderMap) -> Reply {
    let (status, headers, body) = auth(desk, headers).await;
    let status = if status == StatusCode::OK { status } else { StatusCode::FORBIDDEN };
    (status, headers, body)
}

async fn account(State(desk): State<Arc<Desk>>, Path(account): Path<String>, headers: HeaderMap) -> Reply {
    let account = match account.parse::<AccountId>() {
        Ok(account) => account,
        Err(error) => {
            let reason = format!("an account is named by its pseudonym: {error}");
            return error_of(StatusCode::BAD_REQUEST, &reason);
        }
    };
    let tenants = desk.askers().tenant_header().into_iter().flat_map(|name| headers.get_all(name));
    match desk.look_for(Transport::Http, tenants.map(HeaderValue::as_bytes), account) {
        Ok(answer) => {
            let (_, headers, body) = reply(&Told::of(&answer));
            (StatusCode::OK, headers, body)
        }
        Err(error) => refused(error),
    }
}

/// Nobody would know whose the request is.
fn refused(error: Unclear) -> Reply {
    let (status, mut headers, body) = error_of(status_of(error), &error);
    headers.insert(STATUS, HeaderValue::from_static(error.refused().as_str()));
    (status, headers, body)
}

fn error_of(status: StatusCode, reason: &dyn Display) -> Reply {
    let body = json!({ "error": reason.to_string() });
    (status, HeaderMap::from_iter([JSON]), format!("{body}\n"))
}

fn reply(told: &Told) -> Reply {
    let mut headers = HeaderMap::from_iter([JSON, (STATUS, HeaderValue::from_static(told.word()))]);
    let texts = [
        (STALE, told.stale_ms.map(|stale_ms| stale_ms.to_string())),
        (header::RETRY_AFTER, told.retry_after()),
        (ACTION, told.action_id.clone()),
        (VERDICT, told.verdict_id.clone()),
        (SCORE, told.evidence.as_ref().map(|evidence| evidence.score.to_string())),
        (FAMILIES, told.evidence.as_ref().map(|evidence| evidence.families.join(","))),
    ];
    for (name, text) in texts {
        headers.extend(text.and_then(|text| HeaderValue::try_from(text).ok()).map(|value| (name, value)));
    }
    (told.status, headers, format!("{}\n", told.json()))
}
