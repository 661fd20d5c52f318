//! What stands in a line of each output file. `enforcer/OUTPUTS.md` is this for operators, and a test
//! holds the two together.
//!
//! Fields are only ever added. Ids and hashes are lower-case hex, times are milliseconds since the
//! Unix epoch: `time_ms` in event time, what an effect is about in processing time.

use super::indicators::Indicator;
use super::json::write_line;
use crate::age::HISTORY;
use crate::stage::ALREADY_IN_FORCE;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use weir_schemas::hex::hex;
use weir_schemas::{
    Action, ActionKind, ActionState, Audit, AuditEntry, ClusterRef, Evidence, Revert, Signal, Verdict,
};

/// Why a line cannot be written; serialising plain data into memory does not fail in practice.
pub(crate) type LineError = serde_json::Error;

/// An entry's place in its chain, and what proves it.
#[derive(Serialize)]
struct EntryLine<'a> {
    writer: &'a str,
    sequence: i64,
    #[serde(flatten)]
    audit: Option<AuditLine<'a>>,
    key_id: &'a str,
    previous: String,
    record: String,
    signature: String,
}

/// The record in an entry, for a person to read.
#[derive(Serialize)]
struct AuditLine<'a> {
    time_ms: i64,
    kind: &'static str,
    tenant: &'a str,
    account: Option<String>,
    verdict_id: Option<String>,
    action_id: Option<String>,
    action: &'static str,
    posture: &'static str,
    outcome: &'a str,
    reason: &'a str,
    actor: &'a str,
    policy_version: &'a str,
    score: f64,
    tier: &'static str,
    signals: &'a [String],
    epoch: i64,
}

impl<'a> From<&'a Audit> for AuditLine<'a> {
    fn from(audit: &'a Audit) -> Self {
        Self {
            time_ms: audit.time_ms,
            kind: audit.kind.as_str(),
            tenant: &audit.tenant,
            account: audit.account.map(|id| id.to_string()),
            verdict_id: audit.verdict_id.map(|id| id.to_string()),
            action_id: audit.action_id.map(|id| id.to_string()),
            action: audit.action.as_str(),
            posture: audit.posture.as_str(),
            outcome: &audit.outcome,
            reason: &audit.reason,
            actor: &audit.actor,
            policy_version: &audit.policy_version,
            score: audit.score,
            tier: audit.tier.as_str(),
            signals: &audit.signals,
            epoch: audit.epoch,
        }
    }
}

/// Appends the line of an audit entry: all of it, so that the chain can be verified from the file, and
/// what it says, where this build can read it.
pub(crate) fn audit_line(
    out: &mut Vec<u8>,
    entry: &AuditEntry,
    audit: Option<&Audit>,
) -> Result<(), LineError> {
    let line = EntryLine {
        writer: &entry.writer,
        sequence: entry.sequence,
        audit: audit.map(AuditLine::from),
        key_id: &entry.key_id,
        previous: entry.previous.to_string(),
        record: hex(&entry.record),
        signature: entry.signature.to_string(),
    };
    write_line(out, &line)
}

#[derive(Serialize)]
struct EvidenceEntry<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct DetectorEntry<'a> {
    detector: &'a str,
    family: &'a str,
    millinats: i32,
    millinats_max: i32,
    evidence: Vec<EvidenceEntry<'a>>,
}

#[derive(Serialize)]
struct ClusterEntry {
    kind: &'static str,
    value: String,
    shared_by: i64,
}

/// What an action's line says of its verdict.
#[derive(Serialize)]
struct Grounds<'a> {
    score: f64,
    probability: f64,
    tier: &'static str,
    partial: bool,
    policy_digest: String,
    detectors: Vec<DetectorEntry<'a>>,
    missing_detectors: &'a [String],
    clusters: Vec<ClusterEntry>,
    event_count_24h: i64,
    events: Vec<String>,
}

fn evidence_entry(evidence: &Evidence) -> EvidenceEntry<'_> {
    EvidenceEntry { name: &evidence.name, value: &evidence.value }
}

fn detector_entry(signal: &Signal) -> DetectorEntry<'_> {
    DetectorEntry {
        detector: &signal.detector,
        family: &signal.family,
        millinats: signal.millinats,
        millinats_max: signal.millinats_max,
        evidence: signal.evidence.iter().map(evidence_entry).collect(),
    }
}

impl<'a> From<&'a Verdict> for Grounds<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        let cluster = |cluster: &ClusterRef| ClusterEntry {
            kind: cluster.kind.as_str(),
            value: cluster.value.to_string(),
            shared_by: cluster.members,
        };
        Self {
            score: verdict.score,
            probability: verdict.probability,
            tier: verdict.tier.as_str(),
            partial: verdict.partial,
            policy_digest: verdict.policy_digest.to_string(),
            detectors: verdict.signals.iter().map(detector_entry).collect(),
            missing_detectors: &verdict.missing,
            clusters: verdict.clusters.iter().map(cluster).collect(),
            event_count_24h: verdict.event_count,
            events: verdict.events.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What stands in a line of a verdict, as a value, for those who tell it in another form.
pub(crate) fn verdict_details(verdict: &Verdict) -> Value {
    // Plain data; null where that is not so, which does not happen in practice.
    serde_json::to_value(Grounds::from(verdict)).unwrap_or_default()
}

#[derive(Serialize)]
struct ActionLine<'a> {
    action_id: String,
    time_ms: i64,
    tenant: &'a str,
    account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_raw: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_raw_error: Option<&'a str>,
    action: &'static str,
    ring: i32,
    state: &'static str,
    execute: bool,
    posture: &'static str,
    reason: &'a str,
    expires_ms: Option<i64>,
    lasts_ms: Option<i64>,
    taken_ms: i64,
    origin: &'static str,
    revert: &'static str,
    verdict_id: String,
    policy_version: &'a str,
    #[serde(flatten)]
    grounds: Option<Grounds<'a>>,
}

/// An action, what it answers, and the raw account id where it may be told.
pub(crate) struct Told<'a> {
    pub action: &'a Action,
    /// None where the verdict has passed its retention.
    pub verdict: Option<&'a Verdict>,
    /// The raw account id, or why it cannot be had; none where it is not to be told.
    pub account_raw: Option<Result<&'a str, &'a str>>,
    /// What telling it does.
    pub effect: Effect,
}

/// What it means that an action is told at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effect {
    /// When it takes effect. Another machine's clock decided on it: it is not before that.
    pub effect_ms: i64,
    /// Whether it may still be carried out.
    pub is_in_time: bool,
    /// When its effect ends.
    pub expires_ms: Option<i64>,
}

impl Effect {
    /// Of an action that is told at `told_ms`.
    pub fn of(action: &Action, told_ms: i64) -> Self {
        let effect_ms = told_ms.max(action.taken_ms);
        let is_in_time = action.deadline_ms.is_none_or(|deadline_ms| effect_ms <= deadline_ms);
        let is_carried_out = action.state == ActionState::Pending && is_in_time;
        let expires_ms = action.lasts_ms.filter(|_| is_carried_out).map(|lasts_ms| effect_ms + lasts_ms);
        Self { effect_ms, is_in_time, expires_ms }
    }
}

impl Told<'_> {
    fn line(&self, with_raw: bool) -> ActionLine<'_> {
        let action = self.action;
        let raw = self.account_raw.filter(|_| with_raw);
        ActionLine {
            action_id: action.action_id.to_string(),
            time_ms: action.time_ms,
            tenant: &action.tenant,
            account: action.account.to_string(),
            account_raw: raw.and_then(Result::ok),
            account_raw_error: raw.and_then(Result::err),
            action: action.kind.as_str(),
            ring: action.ring,
            state: action.state.as_str(),
            execute: self.is_executed(),
            posture: action.posture.as_str(),
            reason: &action.reason,
            expires_ms: self.effect.expires_ms,
            lasts_ms: action.lasts_ms,
            taken_ms: action.taken_ms,
            origin: action.origin.as_str(),
            revert: action.revert.as_str(),
            verdict_id: action.verdict_id.to_string(),
            policy_version: &action.policy_version,
            grounds: self.verdict.map(Grounds::from),
        }
    }

    /// The line in `enforcement_actions.jsonl`.
    pub fn enforcement_line(&self, out: &mut Vec<u8>) -> Result<(), LineError> {
        write_line(out, &self.line(true))
    }

    /// The line in `rate_limit_commands.jsonl`: the same without the verdict's details.
    pub fn rate_limit_line(&self, out: &mut Vec<u8>) -> Result<(), LineError> {
        write_line(out, &ActionLine { grounds: None, ..self.line(true) })
    }

    /// The line in `analyst_queue.jsonl`: an analyst works with the analytic id.
    pub fn analyst_line(&self, out: &mut Vec<u8>) -> Result<(), LineError> {
        write_line(out, &self.line(false))
    }

    /// Whether it is to be carried out.
    fn is_executed(&self) -> bool {
        self.action.state == ActionState::Pending && self.effect.is_in_time
    }

    /// Whether it was withheld because it answers what is history.
    pub fn is_history(&self) -> bool {
        self.action.state == ActionState::Withheld && self.action.reason.contains(HISTORY)
    }

    /// Whether the action says something new to those who are to act on it.
    fn is_news(&self) -> bool {
        !self.action.reason.starts_with(ALREADY_IN_FORCE)
    }

    /// Whether a gateway is to hear of it.
    pub fn is_rate_limit(&self) -> bool {
        self.action.kind == ActionKind::RateLimit && self.is_news()
    }

    /// Whether a person is to look at it: asked for, or only a person can undo it.
    pub fn is_for_analyst(&self) -> bool {
        let is_asked = self.action.kind == ActionKind::Review || self.action.revert == Revert::Manual;
        is_asked && self.is_news()
    }
}

#[derive(Serialize)]
struct BundleLine<'a> {
    bundle_id: String,
    time_ms: i64,
    kind: &'static str,
    value: String,
    state: &'static str,
    execute: bool,
    posture: &'static str,
    members: Vec<&'a str>,
    member_count: usize,
    shared_by: i64,
    first_seen_ms: i64,
    last_seen_ms: i64,
    detectors: Vec<&'a str>,
    action_id: String,
    verdict_id: String,
    policy_version: &'a str,
    policy_digest: String,
}

/// Appends the line of a shared value in `ioc_bundles.jsonl`.
pub(crate) fn bundle_line(
    out: &mut Vec<u8>,
    told: &Told<'_>,
    verdict: &Verdict,
    cluster: &ClusterRef,
    indicator: &Indicator,
) -> Result<(), LineError> {
    let action = told.action;
    let line = BundleLine {
        bundle_id: bundle_id(action, cluster),
        time_ms: action.time_ms,
        kind: cluster.kind.as_str(),
        value: cluster.value.to_string(),
        state: action.state.as_str(),
        execute: told.is_executed(),
        posture: action.posture.as_str(),
        members: indicator.members.iter().map(String::as_str).collect(),
        member_count: indicator.members.len(),
        shared_by: indicator.shared_by,
        first_seen_ms: indicator.first_ms,
        last_seen_ms: indicator.last_ms,
        detectors: indicator.detectors.iter().map(String::as_str).collect(),
        action_id: action.action_id.to_string(),
        verdict_id: verdict.verdict_id.to_string(),
        policy_version: &action.policy_version,
        policy_digest: verdict.policy_digest.to_string(),
    };
    write_line(out, &line)
}

/// Identity of a bundle: one action tells one value at most once.
fn bundle_id(action: &Action, cluster: &ClusterRef) -> String {
    let mut sha = Sha256::new();
    sha.update(b"weir.bundle");
    sha.update(action.action_id.0);
    sha.update([cluster.kind as u8]);
    sha.update(cluster.value.0);
    let hash: [u8; 32] = sha.finalize().into();
    hex(&hash[..16])
}
