//! A key-management server, told by signed webhooks.
//!
//! `POST` of a JSON object with `operation` (`apply` or `release`), `effect` (`rate_limit` or `suspend`),
//! `action_id`, `verdict_id`, `tenant`, `account` (pseudonym), `account_raw`, `lasts_ms`, `reason`. Headers:
//! `Idempotency-Key: ACTION_ID/OPERATION`, `X-Weir-Timestamp` in seconds since the Unix epoch, and
//! `X-Weir-Signature: v1=HEX`, an HMAC-SHA256 under the shared secret over timestamp, `.` and the body. Any
//! 2xx means that it is done, or was done before.

use super::actuator::{Actuator, ActuatorError, Hold};
use super::breaker::{Breaker, succeeded};
use crate::http::agent;
use crate::limits::WEBHOOK_WAIT;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use std::fmt::Write as _;
use std::sync::Arc;
use ureq::Agent;
use ureq::tls::TlsConfig;
use weir_schemas::{ActionKind, Digest};
use weir_topology::clock::Clock;
use zeroize::Zeroizing;

/// Signs a body as it is sent at `timestamp`, in seconds since the Unix epoch: 64 hex digits.
pub fn signature(secret: &[u8], timestamp: i64, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().iter().fold(String::new(), |mut text, byte| {
        // Writing to memory cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether `hex` is the signature of a body that was sent at `timestamp`, in a time that does not depend on
/// how wrong it is.
pub fn verifies(secret: &[u8], timestamp: i64, body: &[u8], hex: &str) -> bool {
    let Some(mut mac) = Hmac::<Sha256>::new_from_slice(secret).ok() else { return false };
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    hex.parse::<Digest>().is_ok_and(|claimed| mac.verify_slice(&claimed.0).is_ok())
}

/// What errors call it.
const SERVER: &str = "the key server";

/// Holds at a key-management server.
pub struct WebhookActuator {
    url: String,
    secret: Zeroizing<Vec<u8>>,
    agent: Agent,
    clock: Arc<dyn Clock>,
    breaker: Breaker,
}

impl WebhookActuator {
    /// Holds at the server of this URL, signed with `secret`.
    pub fn new(url: &str, secret: Zeroizing<Vec<u8>>, clock: Arc<dyn Clock>) -> Self {
        let agent = agent(url, WEBHOOK_WAIT, TlsConfig::default());
        Self { url: url.to_owned(), secret, agent, clock, breaker: Breaker::default() }
    }

    fn call(&mut self, operation: &str, hold: &Hold<'_>) -> Result<(), ActuatorError> {
        let mut breaker = std::mem::take(&mut self.breaker);
        let outcome = breaker.guard(&*self.clock, SERVER, || self.post(operation, hold));
        self.breaker = breaker;
        outcome
    }

    fn post(&self, operation: &str, hold: &Hold<'_>) -> Result<(), ActuatorError> {
        let action = hold.action;
        let effect = if action.kind == ActionKind::RateLimit { "rate_limit" } else { "suspend" };
        let body = json!({
            "operation": operation,
            "effect": effect,
            "action_id": action.action_id.to_string(),
            "verdict_id": action.verdict_id.to_string(),
            "tenant": action.tenant,
            "account": action.account.to_string(),
            "account_raw": hold.account_raw,
            "lasts_ms": hold.lasts_ms(),
            "reason": action.reason,
        })
        .to_string();
        let timestamp = self.clock.unix_ms().div_euclid(1_000);
        let request = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", format!("{}/{operation}", action.action_id))
            .header("X-Weir-Timestamp", timestamp.to_string())
            .header(
                "X-Weir-Signature",
                format!("v1={}", signature(&self.secret, timestamp, body.as_bytes())),
            );
        match request.send(&body) {
            Ok(answer) => succeeded(SERVER, answer.status().as_u16()),
            Err(error) => Err(ActuatorError::Away(format!("{SERVER} does not answer: {error}"))),
        }
    }
}

impl Actuator for WebhookActuator {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn needs_raw(&self) -> bool {
        true
    }

    fn apply(&mut self, hold: &Hold<'_>) -> Result<(), ActuatorError> {
        self.call("apply", hold)
    }

    fn release(&mut self, hold: &Hold<'_>) -> Result<(), ActuatorError> {
        self.call("release", hold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_hmac_that_is_documented() {
        // Computed with Python's hmac over b'1700000000.{"a":1}' under b"secret".
        assert_eq!(
            signature(b"secret", 1_700_000_000, br#"{"a":1}"#),
            "49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"
        );
    }

    #[test]
    fn only_the_signature_of_this_body_at_this_time_verifies() {
        let signed = signature(b"secret", 7, b"body");
        assert!(verifies(b"secret", 7, b"body", &signed));
        assert!(!verifies(b"secret", 8, b"body", &signed));
        assert!(!verifies(b"secret", 7, b"bodY", &signed));
        assert!(!verifies(b"Secret", 7, b"body", &signed));
        assert!(!verifies(b"secret", 7, b"body", &signed[..62]) && !verifies(b"secret", 7, b"body", ""));
    }
}
