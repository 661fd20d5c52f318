//! The spans of a verdict and of what was done about it, one function for each.
//!
//! They are made of the records alone: the trace is the verdict's id, and a span's id comes from the id of
//! its record. So whoever exports a record, and however often, makes the same span, and spans of several
//! exporters join. All begin with the event, so that each ends as late as what it tells of was.

use crate::siem::notice::{Kind, Notice};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use weir_schemas::hex::unhex;

/// A span as it is listed.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Declared {
    /// Its name.
    pub name: &'static str,
    /// What it ends with.
    pub help: &'static str,
    /// What its attributes are called.
    pub attributes: &'static [&'static str],
}

const VERDICT: Declared = Declared {
    name: "event_to_verdict",
    help: "from the event until its verdict was in the log, by the brokers' time; where they keep the event's own, and in the \
           embedded log, it has no length. The other spans of the verdict are its children",
    attributes: &["weir.verdict_id", "weir.tenant", "weir.account", "weir.policy_version", "weir.class"],
};

const DECISION: Declared = Declared {
    name: "event_to_decision",
    help: "from the event until the enforcer decided on its verdict: to act, or not to",
    attributes: &[
        "weir.verdict_id",
        "weir.tenant",
        "weir.account",
        "weir.policy_version",
        "weir.class",
        "weir.action_id",
        "weir.reason",
    ],
};

const EFFECT: Declared = Declared {
    name: "event_to_effect",
    help: "from the event until the action had its effect, by its executor's time; an error where it failed",
    attributes: DECISION.attributes,
};

/// Every span there is.
pub const DECLARED: [Declared; 3] = [VERDICT, DECISION, EFFECT];

/// A span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The verdict's id.
    pub trace_id: [u8; 16],
    /// Of its record.
    pub span_id: [u8; 8],
    /// None for that of the verdict.
    pub parent: Option<[u8; 8]>,
    /// Of [`DECLARED`].
    pub name: &'static str,
    /// When it begins, in milliseconds since the Unix epoch.
    pub begins_ms: i64,
    /// When it ends; never before it begins.
    pub ends_ms: i64,
    /// What it tells, as listed.
    pub attributes: Vec<(&'static str, String)>,
    /// Why it failed, where it did.
    pub failure: Option<String>,
}

/// The span of a notice; none where it has none: campaigns, the ends of effects, and what is history.
pub fn span_of(notice: &Notice) -> Option<Span> {
    if notice.is_history {
        return None;
    }
    let trace_id = unhex::<16>(notice.verdict_id.as_deref()?)?;
    match (notice.kind, notice.action.as_ref().map(|(_, state)| state.as_str())) {
        (Kind::Verdict, _) => Some(verdict(notice, trace_id)),
        (Kind::Action, Some("pending" | "withheld")) => Some(decision(notice, trace_id)),
        (Kind::Action, Some("done" | "failed")) => Some(effect(notice, trace_id)),
        _ => None,
    }
}

fn verdict(notice: &Notice, trace_id: [u8; 16]) -> Span {
    Span {
        trace_id,
        span_id: root_of(&trace_id),
        parent: None,
        name: VERDICT.name,
        begins_ms: notice.time_ms,
        ends_ms: notice.logged_ms.unwrap_or(notice.time_ms).max(notice.time_ms),
        attributes: attributes(notice, &VERDICT),
        failure: None,
    }
}

fn decision(notice: &Notice, trace_id: [u8; 16]) -> Span {
    of_action(notice, trace_id, &DECISION, notice.time_ms)
}

fn effect(notice: &Notice, trace_id: [u8; 16]) -> Span {
    let number = |name: &str| notice.details.get(name).and_then(serde_json::Value::as_i64);
    // An effect lasts from when it was carried out.
    let carried_out = number("expires_ms").zip(number("lasts_ms")).map(|(expires, lasts)| expires - lasts);
    let span = of_action(notice, trace_id, &EFFECT, carried_out.unwrap_or(notice.time_ms));
    let has_failed = notice.action.as_ref().is_some_and(|(_, state)| state == "failed");
    Span { failure: has_failed.then(|| notice.message.clone()), ..span }
}

fn of_action(notice: &Notice, trace_id: [u8; 16], declared: &Declared, ends_ms: i64) -> Span {
    let begins_ms = notice.details.get("verdict_time_ms").and_then(serde_json::Value::as_i64);
    let begins_ms = begins_ms.unwrap_or(ends_ms);
    Span {
        trace_id,
        span_id: id_of(&notice.id),
        parent: Some(root_of(&trace_id)),
        name: declared.name,
        begins_ms,
        ends_ms: ends_ms.max(begins_ms),
        attributes: attributes(notice, declared),
        failure: None,
    }
}

fn attributes(notice: &Notice, declared: &Declared) -> Vec<(&'static str, String)> {
    let value = |name: &str| match name {
        "weir.verdict_id" => notice.verdict_id.clone(),
        "weir.tenant" => notice.tenant.clone(),
        "weir.account" => notice.account.clone(),
        "weir.policy_version" => Some(notice.policy_version.clone()),
        "weir.class" => Some(notice.class.clone()),
        "weir.action_id" => notice.action_id.clone(),
        "weir.reason" => notice.details.get("reason").and_then(|reason| reason.as_str()).map(str::to_owned),
        _ => None,
    };
    declared.attributes.iter().filter_map(|name| Some((*name, value(name)?))).collect()
}

/// The span of the verdict.
fn root_of(verdict: &[u8; 16]) -> [u8; 8] {
    first_8(&Sha256::new().chain_update(b"weir.span\0").chain_update(verdict).finalize())
}

/// The span of a notice that is of no verdict.
fn id_of(notice: &str) -> [u8; 8] {
    first_8(&Sha256::new().chain_update(b"weir.span\0").chain_update(notice).finalize())
}

fn first_8(hash: &[u8]) -> [u8; 8] {
    let mut id = [0; 8];
    id.copy_from_slice(&hash[..8]);
    id
}

/// Whether the trace of a verdict is among so many of a thousand. Ids are hashes, and their last 56 bits are
/// what OpenTelemetry's own samplers go by: who keeps this share too keeps the same traces.
pub fn is_kept(trace_id: &[u8; 16], share_permille: u64) -> bool {
    let mut last = [0; 8];
    last.copy_from_slice(&trace_id[8..]);
    let random = u128::from(u64::from_be_bytes(last) & ((1 << 56) - 1));
    // The greatest are kept, as in W3C's trace context.
    random * 1_000 >= u128::from(1_000 - share_permille.min(1_000)) << 56
}
