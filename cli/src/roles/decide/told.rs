//! An answer in words that every transport has: each says the same in its own way.

use super::answer::Answer;
use super::whose::Unclear;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use weir_enforcer::answer::decision::{Passes, Status};
use weir_schemas::StandingEvidence;

/// What is said in place of a status where too little is known.
const UNKNOWN: &str = "unknown";

/// The status of HTTP for a request of which nobody would know whose it is.
pub fn status_of(error: Unclear) -> StatusCode {
    match error {
        Unclear::TooManyKeys | Unclear::TooManyTenants => StatusCode::BAD_REQUEST,
        Unclear::Stranger(_) => StatusCode::FORBIDDEN,
    }
}

/// What a gateway is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// How the account stands; none where too little is known, and nobody passes then.
    pub standing: Option<Status>,
    /// The status of HTTP for a request that is answered so.
    pub status: StatusCode,
    /// In how many milliseconds it is worth while to ask again; none where it may pass, and where that is not
    /// known.
    pub retry_after_ms: Option<i64>,
    /// Since when it stands so, in milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
    /// Until when.
    pub until_ms: Option<i64>,
    /// By which action.
    pub action_id: Option<String>,
    /// By which verdict.
    pub verdict_id: Option<String>,
    /// What that rests on; none where it is not known.
    pub evidence: Option<Arc<StandingEvidence>>,
    /// How old what is known is, in milliseconds; none where nothing was ever read.
    pub stale_ms: Option<i64>,
}

impl Told {
    /// What this answer says.
    pub fn of(answer: &Answer) -> Self {
        let decision = &answer.decision;
        let (status, is_known) = match answer.passes {
            Passes::Yes => (StatusCode::OK, true),
            Passes::In(_) => (StatusCode::TOO_MANY_REQUESTS, true),
            Passes::No(_) => (StatusCode::FORBIDDEN, true),
            Passes::Unknown => (StatusCode::SERVICE_UNAVAILABLE, false),
        };
        let retry_after_ms = match answer.passes {
            Passes::In(wait_ms) | Passes::No(Some(wait_ms)) => Some(wait_ms.max(0)),
            Passes::Yes | Passes::No(None) | Passes::Unknown => None,
        };
        Self {
            standing: is_known.then_some(decision.status),
            status,
            retry_after_ms,
            since_ms: decision.since_ms,
            until_ms: decision.until_ms,
            action_id: decision.action_id.map(|id| id.to_string()),
            verdict_id: decision.verdict_id.map(|id| id.to_string()),
            evidence: decision.evidence.clone(),
            stale_ms: answer.stale_ms,
        }
    }

    /// Whether the request may pass.
    pub fn passes(&self) -> bool {
        self.status == StatusCode::OK
    }

    /// How the account stands, in a word.
    pub fn word(&self) -> &'static str {
        self.standing.map_or(UNKNOWN, Status::as_str)
    }

    /// The value of `Retry-After`: whole seconds, and never sooner than it is worth while.
    pub fn retry_after(&self) -> Option<String> {
        self.retry_after_ms.map(|ms| ms.unsigned_abs().div_ceil(1_000).max(1).to_string())
    }

    /// All of it, as JSON.
    pub fn json(&self) -> Value {
        json!({
            "status": self.word(),
            "passes": self.passes(),
            "retry_after_ms": self.retry_after_ms,
            "since_ms": self.since_ms,
            "until_ms": self.until_ms,
            "action_id": self.action_id,
            "verdict_id": self.verdict_id,
            "score": self.evidence.as_ref().map(|evidence| evidence.score),
            "families": self.evidence.as_ref().map(|evidence| &evidence.families),
            "stale_ms": self.stale_ms,
        })
    }
}
