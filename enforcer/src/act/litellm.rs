//! LiteLLM's proxy: a suspended key is blocked, one that is slowed down has its requests a minute lowered.
//!
//! | call | for |
//! |---|---|
//! | `GET /key/info?key=HASH` | how the key is, and which holds are on it |
//! | `POST /key/update` | its limit, and the holds (`holds.rs`), in its metadata |
//! | `POST /key/block`, `POST /key/unblock` | its block |
//!
//! A key is named by the SHA-256 of itself, as LiteLLM's own logs name it: a raw key never leaves in a call.
//! LiteLLM compares nothing when it writes. Two executors that change one key at the same moment could lose a
//! word; one account is one executor's, and what is done again after a crash finds its hold there. A hold is
//! written down before the key is blocked, and away after it is let go.

mod holds;
#[cfg(test)]
mod tests;

use super::actuator::{Actuator, ActuatorError, Hold};
use super::breaker::{Breaker, succeeded};
use crate::http::agent;
use crate::limits::{LITELLM_ANSWER_BYTES_MAX, LITELLM_WAIT};
use holds::{FIELD, Holds, Key};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use ureq::http::Response;
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};
use weir_schemas::hex::hex;
use weir_topology::clock::Clock;
use zeroize::Zeroizing;

/// What errors call it.
const SERVER: &str = "LiteLLM";

/// What LiteLLM's own audit log says of who changed a key.
const CHANGED_BY: &str = "weir";

/// How keys of LiteLLM begin, of which its logs have the hash.
const KEY_PREFIX: &str = "sk-";

/// Hex digits of a key's hash.
const HASH_DIGITS: usize = 64;

/// Holds at a proxy of LiteLLM's.
pub struct LiteLlmActuator {
    url: String,
    /// The value of `Authorization`.
    authorization: Zeroizing<String>,
    rpm_limit: u64,
    agent: Agent,
    clock: Arc<dyn Clock>,
    breaker: Breaker,
}

/// What LiteLLM tells of a key.
struct Told {
    key: Key,
    metadata: Map<String, Value>,
    holds: Holds,
}

impl LiteLlmActuator {
    /// Holds at the proxy of this URL, whose admin key is `admin_key`. Who is slowed down has `rpm_limit`
    /// requests a minute, or as many as before where that is less.
    pub fn new(url: &str, admin_key: &str, rpm_limit: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            authorization: Zeroizing::new(format!("Bearer {admin_key}")),
            rpm_limit,
            agent: agent(url, LITELLM_WAIT, TlsConfig::default()),
            clock,
            breaker: Breaker::default(),
        }
    }

    /// Does `change` unless the proxy is left alone.
    fn attempt(
        &mut self,
        change: impl FnOnce(&Self) -> Result<(), ActuatorError>,
    ) -> Result<(), ActuatorError> {
        let mut breaker = std::mem::take(&mut self.breaker);
        let outcome = breaker.guard(&*self.clock, SERVER, || change(self));
        self.breaker = breaker;
        outcome
    }

    fn put_on(&self, hold: &Hold<'_>) -> Result<(), ActuatorError> {
        let hash = hash_of(identity(hold.account_raw)?);
        let no_key = "the account is neither a key of LiteLLM's (sk-…) nor the hash of one";
        let hash = hash.ok_or_else(|| ActuatorError::Refused(no_key.into()))?;
        let told = self.told(&hash)?;
        let told = told.ok_or_else(|| ActuatorError::Refused("LiteLLM has no such key".into()))?;
        let id = hold.action.action_id.to_string();
        let next = told.holds.with(&id, hold.action.kind, told.key, self.rpm_limit);
        self.write_down(&hash, &told, &next)?;
        if next.suspend() && !told.key.is_blocked {
            self.post("/key/block", &json!({ "key": hash }))?;
        }
        Ok(())
    }

    fn let_go(&self, hold: &Hold<'_>) -> Result<(), ActuatorError> {
        let raw = identity(hold.account_raw)?;
        // On whoever has no key there nothing was ever put, and of a key that is gone nothing is left to be
        // let go.
        let Some(hash) = hash_of(raw) else { return Ok(()) };
        let Some(told) = self.told(&hash)? else { return Ok(()) };
        let next = told.holds.without(&hold.action.action_id.to_string(), self.clock.unix_ms());
        if told.holds.blocked_it() && !next.suspend() && told.key.is_blocked {
            self.post("/key/unblock", &json!({ "key": hash }))?;
        }
        self.write_down(&hash, &told, &next)
    }

    /// Writes down the holds `next`, where they are others than before, and with them what becomes of the
    /// limit.
    fn write_down(&self, hash: &str, told: &Told, next: &Holds) -> Result<(), ActuatorError> {
        if *next == told.holds {
            return Ok(());
        }
        // LiteLLM replaces all of it.
        let mut metadata = told.metadata.clone();
        metadata.insert(FIELD.to_owned(), json!(next));
        let mut body = json!({ "key": hash, "metadata": metadata });
        if let Some(rpm_limit) = told.holds.limit_for(next, told.key) {
            body["rpm_limit"] = json!(rpm_limit);
        }
        self.post("/key/update", &body)
    }

    /// None where LiteLLM has no such key any more.
    fn told(&self, hash: &str) -> Result<Option<Told>, ActuatorError> {
        let request = self.agent.get(format!("{}/key/info", self.url)).query("key", hash);
        let answer = request.header("Authorization", &*self.authorization).call();
        let mut answer = answer.map_err(|error| away(&error))?;
        let status = answer.status().as_u16();
        // A proxy on the way does not know of keys that are gone.
        if status == 404 && said(&mut answer)["type"] == "not_found_error" {
            return Ok(None);
        }
        succeeded(SERVER, status)?;
        let read = answer.body_mut().with_config().limit(LITELLM_ANSWER_BYTES_MAX).read_json::<Value>();
        let mut info = match read.map_err(|error| away(&error))? {
            Value::Object(mut fields) => match fields.remove("info") {
                Some(Value::Object(info)) => info,
                _ => return Err(misunderstood("it tells nothing of the key")),
            },
            _ => return Err(misunderstood("it tells nothing of the key")),
        };
        // It tells of keys that were deleted, too.
        if info.get("status").is_some_and(|status| status == "deleted") {
            return Ok(None);
        }
        let metadata = match info.remove("metadata") {
            Some(Value::Object(metadata)) => metadata,
            None | Some(Value::Null) => Map::new(),
            Some(_) => return Err(misunderstood("the key's metadata is no object")),
        };
        let holds = match metadata.get(FIELD) {
            None => Holds::default(),
            Some(holds) => Holds::deserialize_from(holds)?,
        };
        let is_blocked = info.get("blocked").and_then(Value::as_bool).unwrap_or(false);
        let rpm_limit = info.get("rpm_limit").and_then(Value::as_u64);
        Ok(Some(Told { key: Key { is_blocked, rpm_limit }, metadata, holds }))
    }

    fn post(&self, path: &str, body: &Value) -> Result<(), ActuatorError> {
        let request = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("Authorization", &*self.authorization)
            .header("Content-Type", "application/json")
            .header("litellm-changed-by", CHANGED_BY);
        let mut answer = request.send(&body.to_string()).map_err(|error| away(&error))?;
        let status = answer.status().as_u16();
        // LiteLLM says so of whatever it had not foreseen, its database's errors among it.
        let is_unforeseen = |error: &Value| {
            error["message"].as_str().is_some_and(|message| message.starts_with("Authentication Error, "))
        };
        if status == 400 && is_unforeseen(&said(&mut answer)) {
            return Err(ActuatorError::Away(format!("{SERVER} fails with {status}")));
        }
        succeeded(SERVER, status)
    }
}

impl Holds {
    fn deserialize_from(value: &Value) -> Result<Self, ActuatorError> {
        let read = serde_json::from_value(value.clone());
        read.map_err(|error| {
            misunderstood(&format!("the field {FIELD} of the key's metadata is not Weir's: {error}"))
        })
    }
}

impl Actuator for LiteLlmActuator {
    fn name(&self) -> &'static str {
        "litellm"
    }

    fn needs_raw(&self) -> bool {
        true
    }

    fn apply(&mut self, hold: &Hold<'_>) -> Result<(), ActuatorError> {
        self.attempt(|actuator| actuator.put_on(hold))
    }

    fn release(&mut self, hold: &Hold<'_>) -> Result<(), ActuatorError> {
        self.attempt(|actuator| actuator.let_go(hold))
    }
}

/// Who the account is.
fn identity(account_raw: Option<&str>) -> Result<&str, ActuatorError> {
    let reason = "who the account is cannot be had, and LiteLLM knows no pseudonyms";
    account_raw.ok_or_else(|| ActuatorError::Refused(reason.into()))
}

/// How LiteLLM names the key of this account: its logs tell of the hash, and a gateway before it of the key
/// itself. None for what is neither.
fn hash_of(raw: &str) -> Option<String> {
    if raw.starts_with(KEY_PREFIX) {
        return Some(hex(&Sha256::digest(raw.as_bytes())));
    }
    let is_hash = raw.len() == HASH_DIGITS && raw.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| raw.to_ascii_lowercase())
}

/// What an answer says of its error; null for nothing that is understood.
fn said(answer: &mut Response<Body>) -> Value {
    let read = answer.body_mut().with_config().limit(LITELLM_ANSWER_BYTES_MAX).read_json::<Value>();
    read.map_or(Value::Null, |mut answer| answer["error"].take())
}

fn away(error: &ureq::Error) -> ActuatorError {
    ActuatorError::Away(format!("{SERVER} does not answer: {error}"))
}

fn misunderstood(reason: &str) -> ActuatorError {
    ActuatorError::Refused(format!("LiteLLM's answer is not understood: {reason}"))
}
