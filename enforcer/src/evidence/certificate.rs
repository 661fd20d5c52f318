//! What is certified of an effect, and its signature: a DSSE envelope, so that what was signed are bytes and
//! no reading of them.

use super::course::Course;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use weir_schemas::hex::hex;

/// What the payload of an envelope is.
pub const PAYLOAD_TYPE: &str = "application/vnd.weir.certificate+json";

/// A certificate. Times are in milliseconds since the Unix epoch; what was not recorded is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Certificate {
    certificate_id: String,
    run_id: Value,
    site_id: String,
    asset_id: String,
    tenant: String,
    dry_run: bool,
    verdict_id: String,
    action_id: String,
    audit_records: Vec<String>,
    timestamps: Value,
    elevation_context: Value,
    policy: Value,
    action: Value,
    outcome: Value,
    metrics: Value,
    time: Value,
    /// SHA-256 of the certificate before this one in the pack; zeros for the first.
    previous_certificate_sha256: String,
}

impl Certificate {
    /// Certifies an effect of the deployment `site`. `previous` is the hash of the certificate before.
    pub fn of(course: &Course, site: &str, previous: &[u8; 32]) -> Self {
        let Course { decided, done, ended, verdict, audited } = course;
        let audit_records: Vec<String> =
            audited.iter().map(|(writer, sequence)| format!("{writer}:{sequence}")).collect();
        let reverted = ended.as_ref().filter(|end| end.state != weir_schemas::ActionState::Expired);
        let signals = verdict.as_ref().map(|verdict| {
            let signal = |signal: &weir_schemas::Signal| {
                json!({
                    "detector": signal.detector, "family": signal.family, "millinats": signal.millinats,
                    "evidence": signal.evidence.iter().map(|e| json!({"name": e.name, "value": e.value})).collect::<Vec<_>>(),
                })
            };
            verdict.signals.iter().map(signal).collect::<Vec<_>>()
        });
        Self {
            certificate_id: hex(
                &Sha256::digest([b"weir.certificate", &decided.action_id.0[..]].concat())[..16]
            ),
            run_id: Value::Null,
            site_id: site.to_owned(),
            asset_id: match audit_records.first() {
                Some(record) => format!("{}/{record}", decided.account),
                None => decided.account.to_string(),
            },
            tenant: decided.tenant.clone(),
            dry_run: false,
            verdict_id: decided.verdict_id.to_string(),
            action_id: decided.action_id.to_string(),
            audit_records,
            timestamps: json!({
                "anomaly_start": Value::Null,
                "event": decided.time_ms,
                "detect_elevated": decided.taken_ms,
                "actuation_start": decided.taken_ms,
                "actuation_effective": course.effect_ms(),
                "revert_scheduled": done.expires_ms,
                "reverted_at": reverted.map(|end| end.taken_ms),
            }),
            elevation_context: json!({
                "scenario": verdict.as_ref().map(|verdict| verdict.tier.as_str()),
                "pattern": signals,
                "count": verdict.as_ref().map(|verdict| verdict.event_count),
                "threshold": Value::Null,
                "window_ms": Value::Null,
                "witnesses": verdict.as_ref().map(|verdict| verdict.events.len()),
                "witness_ids": verdict.as_ref().map(|v| v.events.iter().map(|id| id.to_string()).collect::<Vec<_>>()),
                "confidence": verdict.as_ref().map(|verdict| verdict.probability),
                "score": verdict.as_ref().map(|verdict| verdict.score),
                "ts": decided.time_ms,
                "elevated": true,
            }),
            policy: json!({
                "policy_id": decided.policy_version,
                "version_hash": verdict.as_ref().map(|verdict| verdict.policy_digest.to_string()),
                "proof_hash": Value::Null,
                "selector": format!("account/{}", decided.account),
            }),
            action: json!({
                "ring": decided.ring,
                "kind": decided.kind.as_str(),
                "params": { "revert": decided.revert.as_str(), "posture": decided.posture.as_str() },
                "ttl_seconds": decided.lasts_ms.map(|lasts_ms| lasts_ms as f64 / 1_000.0),
            }),
            outcome: json!({
                "status": ended.as_ref().unwrap_or(done).state.as_str(),
                "probe_attempts": Value::Null,
                "containment_delay_ms": course.acted_after_ms(),
                "notes": [Some(&done.reason), ended.as_ref().map(|end| &end.reason)],
            }),
            metrics: json!({
                "MTTD_ms_monotonic": Value::Null,
                "MTTR_s_monotonic": Value::Null,
                "MTTD_ms_wall": course.detected_after_ms(),
                "MTTR_s_wall": course.acted_after_ms() as f64 / 1_000.0,
                "clock_skew_ms": Value::Null,
            }),
            time: json!({ "clock_source": "enforcer's calendar, never backwards; event time is the gateway's" }),
            previous_certificate_sha256: hex(previous),
        }
    }
}

/// A certificate in its envelope, signed with an Ed25519 key, on lines for people; and what the next one
/// names it by.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn envelope(certificate: &Certificate, secret: &[u8; 32]) -> serde_json::Result<(Vec<u8>, [u8; 32])> {
    let payload = serde_json::to_vec(certificate)?;
    let mut bytes = serde_json::to_vec_pretty(&enveloped(PAYLOAD_TYPE, &payload, secret))?;
    bytes.push(b'\n');
    Ok((bytes, Sha256::digest(&payload).into()))
}

/// What is signed of an envelope: the type and the payload, each with its length.
pub(crate) fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut signed = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    signed.extend_from_slice(payload);
    signed
}

/// A payload of this type in an envelope that an Ed25519 key signed (DSSE).
pub fn enveloped(payload_type: &str, payload: &[u8], secret: &[u8; 32]) -> Value {
    let key = SigningKey::from_bytes(secret);
    let signed = pre_authentication(payload_type, payload);
    json!({
        "payloadType": payload_type,
        "payload": BASE64.encode(payload),
        "signatures": [{
            "keyid": hex(&key.verifying_key().to_bytes()),
            "sig": BASE64.encode(key.sign(&signed).to_bytes()),
        }],
    })
}
