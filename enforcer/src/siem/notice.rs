//! What an outsider is told of a verdict, a campaign or an action: the one place that knows. Formats only
//! spell it.
//!
//! Accounts are pseudonyms here, as in the topics. The details bear the same names as in the [output
//! directory](crate::export).

use super::severity::Severity;
use super::text::bounded;
use crate::export::{campaign_details, verdict_details};
use crate::limits::{SIEM_LIST_MAX, SIEM_MEMBERS_MAX};
use serde_json::{Map, Value, json};
use weir_schemas::{Action, ActionState, Campaign, CampaignStatus, Origin, Verdict};

/// Who made the product, for formats that ask.
pub const VENDOR: &str = "Weir";

/// The product.
pub const PRODUCT: &str = "Weir";

/// Its version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a notice is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A judgement of one account.
    Verdict,
    /// How a campaign stands.
    Campaign,
    /// What became of an action.
    Action,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Verdict, Self::Campaign, Self::Action];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Campaign => "campaign",
            Self::Action => "action",
        }
    }

    /// What a person calls it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Verdict => "Model extraction verdict",
            Self::Campaign => "Model extraction campaign",
            Self::Action => "Enforcement action",
        }
    }
}

/// Something that an outsider is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Its identity, made of its record: whoever is told twice can see it.
    pub id: String,
    /// What it is of.
    pub kind: Kind,
    /// What happened, of a closed set: `verdict.high`, `campaign.open`, `action.suspend.done`.
    pub class: String,
    /// Event time, in milliseconds since the Unix epoch; of an action, when the transition was taken.
    pub time_ms: i64,
    /// When its record was written, in milliseconds since the Unix epoch, as the log has it; none where that
    /// is not known.
    pub logged_ms: Option<i64>,
    /// Whether it is of what was imported.
    pub is_history: bool,
    /// How serious it is.
    pub severity: Severity,
    /// One sentence for a person.
    pub message: String,
    /// The account's tenant; none for a campaign, whose members may have several.
    pub tenant: Option<String>,
    /// The account, a pseudonym of 32 hex digits.
    pub account: Option<String>,
    /// The verdict that it is, or answers.
    pub verdict_id: Option<String>,
    /// The campaign that it is.
    pub campaign_id: Option<String>,
    /// The action that it is.
    pub action_id: Option<String>,
    /// What the action is and what became of it, in lower case.
    pub action: Option<(String, String)>,
    /// Whether the account is kept from something now; none where it is no action.
    pub is_in_force: Option<bool>,
    /// Probability of extraction, 0 to 1.
    pub probability: Option<f64>,
    /// From when to when, in milliseconds since the Unix epoch.
    pub seen_ms: Option<(i64, i64)>,
    /// Whether it is the first word, a later one or the last one on its subject.
    pub phase: Phase,
    /// Version of the policy that judged.
    pub policy_version: String,
    /// What was found, briefly: detectors, families of evidence.
    pub findings: Vec<String>,
    /// Everything else, by the names of the output directory.
    pub details: Map<String, Value>,
}

/// Where a notice stands in the course of its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The first word.
    New,
    /// A later word.
    Update,
    /// The last word.
    Close,
}

/// What a verdict is told as.
pub fn of_verdict(verdict: &Verdict) -> Notice {
    let tier = verdict.tier.as_str();
    let findings = verdict.signals.iter().filter(|signal| signal.millinats > 0);
    let findings: Vec<String> =
        findings.take(SIEM_LIST_MAX).map(|signal| bounded(&signal.detector).into_owned()).collect();
    let mut message = format!("{tier}: probability {:.3} of model extraction", verdict.probability);
    if !findings.is_empty() {
        message += &format!("; detectors {}", findings.join(", "));
    }
    Notice {
        id: format!("verdict/{}", verdict.verdict_id),
        kind: Kind::Verdict,
        class: format!("verdict.{}", tier.to_lowercase()),
        time_ms: verdict.time_ms,
        logged_ms: None,
        is_history: verdict.origin == Origin::Import,
        severity: Severity::of_tier(verdict.tier),
        message: bounded(&message).into_owned(),
        tenant: Some(bounded(&verdict.tenant).into_owned()),
        account: Some(verdict.account.to_string()),
        verdict_id: Some(verdict.verdict_id.to_string()),
        campaign_id: None,
        action_id: None,
        action: None,
        is_in_force: None,
        probability: Some(verdict.probability),
        seen_ms: None,
        phase: if verdict.sequence <= 1 { Phase::New } else { Phase::Update },
        policy_version: bounded(&verdict.policy_version).into_owned(),
        findings,
        details: shortened(verdict_details(verdict)),
    }
}

/// What an action is told as.
pub fn of_action(action: &Action) -> Notice {
    let (kind, state) = (action.kind.as_str().to_lowercase(), action.state.as_str().to_lowercase());
    let message = format!("{} {}: {}", action.kind.as_str(), action.state.as_str(), action.reason);
    let details = json!({
        "ring": action.ring,
        "posture": action.posture.as_str(),
        "reason": action.reason,
        "expires_ms": action.expires_ms,
        "lasts_ms": action.lasts_ms,
        "deadline_ms": action.deadline_ms,
        "revert": action.revert.as_str(),
        "origin": action.origin.as_str(),
        "verdict_time_ms": action.time_ms,
    });
    Notice {
        // The same state may be said twice in an action's course, as when it is taken up by another build.
        id: format!("action/{}/{state}/{}", action.action_id, action.taken_ms),
        kind: Kind::Action,
        class: format!("action.{kind}.{state}"),
        time_ms: action.taken_ms,
        logged_ms: None,
        is_history: action.origin == Origin::Import,
        severity: Severity::of_action(action.state),
        message: bounded(&message).into_owned(),
        tenant: Some(bounded(&action.tenant).into_owned()),
        account: Some(action.account.to_string()),
        verdict_id: Some(action.verdict_id.to_string()),
        campaign_id: None,
        action_id: Some(action.action_id.to_string()),
        action: Some((kind, state)),
        is_in_force: Some(action.state == ActionState::Done),
        probability: None,
        seen_ms: None,
        phase: phase_of(action.state),
        policy_version: bounded(&action.policy_version).into_owned(),
        findings: Vec::new(),
        details: shortened(details),
    }
}

fn phase_of(state: ActionState) -> Phase {
    match state {
        ActionState::Pending => Phase::New,
        ActionState::Done => Phase::Update,
        ActionState::Withheld
        | ActionState::Failed
        | ActionState::Reverted
        | ActionState::Expired
        | ActionState::Superseded => Phase::Close,
    }
}

/// What a record of a campaign is told as: one notice for every [`SIEM_MEMBERS_MAX`] members that it names.
pub fn of_campaign(campaign: &Campaign) -> Vec<Notice> {
    let parts = campaign.members.len().max(campaign.left.len()).div_ceil(SIEM_MEMBERS_MAX).max(1);
    (0..parts).map(|part| of_part(campaign, part, parts)).collect()
}

fn of_part(campaign: &Campaign, part: usize, parts: usize) -> Notice {
    let (status, tier) = (campaign.status.as_str(), campaign.tier.as_str());
    let mut id = format!("campaign/{}/{}", campaign.campaign_id, campaign.sequence);
    let mut details = campaign_details(&part_of(campaign, part));
    if parts > 1 {
        id += &format!("/{part}");
        details["part"] = json!(part);
        details["parts"] = json!(parts);
    }
    let families = campaign.evidence.iter().take(SIEM_LIST_MAX);
    let findings: Vec<String> = families.map(|said| bounded(&said.family).into_owned()).collect();
    let message = format!(
        "{status}: {} accounts, the gravest {tier}, {} requests; evading costs {:.2} US dollars a month",
        campaign.member_count,
        campaign.requests,
        campaign.evade_cents as f64 / 100.0
    );
    let is_closed = campaign.status == CampaignStatus::Closed;
    Notice {
        id,
        kind: Kind::Campaign,
        class: format!("campaign.{}", status.to_lowercase()),
        time_ms: campaign.time_ms,
        logged_ms: None,
        is_history: false,
        severity: if is_closed { Severity::Low } else { Severity::of_tier(campaign.tier) },
        message,
        tenant: None,
        account: None,
        verdict_id: None,
        campaign_id: Some(campaign.campaign_id.to_string()),
        action_id: None,
        action: None,
        is_in_force: None,
        probability: None,
        seen_ms: Some((campaign.since_ms, campaign.until_ms)),
        phase: match campaign.sequence {
            _ if is_closed => Phase::Close,
            ..=1 => Phase::New,
            _ => Phase::Update,
        },
        policy_version: bounded(&campaign.policy_version).into_owned(),
        findings,
        details: shortened(details),
    }
}

/// The record with the members of one part only.
fn part_of(campaign: &Campaign, part: usize) -> Campaign {
    let from = part * SIEM_MEMBERS_MAX;
    Campaign {
        members: campaign.members.iter().skip(from).take(SIEM_MEMBERS_MAX).cloned().collect(),
        left: campaign.left.iter().skip(from).take(SIEM_MEMBERS_MAX).copied().collect(),
        ..campaign.clone()
    }
}

/// An object whose texts and lists are bounded.
fn shortened(mut value: Value) -> Map<String, Value> {
    shorten(&mut value);
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let std::borrow::Cow::Owned(cut) = bounded(text) {
                *text = cut;
            }
        }
        Value::Array(items) => {
            items.truncate(SIEM_LIST_MAX.max(SIEM_MEMBERS_MAX));
            items.iter_mut().for_each(shorten);
        }
        Value::Object(map) => map.values_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
