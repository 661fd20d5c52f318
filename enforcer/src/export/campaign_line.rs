//! What stands in a line of `campaigns.jsonl`: a record of `weir.campaigns`, for a SIEM and a person.

use super::json::write_line;
use super::lines::LineError;
use serde::Serialize;
use serde_json::Value;
use weir_schemas::Campaign;

#[derive(Serialize)]
struct CampaignLine<'a> {
    campaign_id: String,
    sequence: i64,
    time_ms: i64,
    status: &'static str,
    absorbed_by: Option<String>,
    tier: &'static str,
    since_ms: i64,
    until_ms: i64,
    first: String,
    member_count: i64,
    requests: i64,
    members: Vec<MemberEntry<'a>>,
    left: Vec<String>,
    beside_count: i64,
    beside: Vec<String>,
    evidence: Vec<EvidenceEntry<'a>>,
    links: Vec<LinkEntry>,
    asks: Vec<AskEntry<'a>>,
    evade_dollars: f64,
    policy_version: &'a str,
}

#[derive(Serialize)]
struct MemberEntry<'a> {
    account: String,
    tenant: &'a str,
    tier: &'static str,
    nats: f64,
    probability: f64,
    since_ms: i64,
    requests: i64,
    verdict_id: Option<String>,
}

#[derive(Serialize)]
struct EvidenceEntry<'a> {
    family: &'a str,
    members: i64,
    nats: f64,
}

#[derive(Serialize)]
struct LinkEntry {
    kind: &'static str,
    value: String,
    members: i64,
    dollars: f64,
}

#[derive(Serialize)]
struct AskEntry<'a> {
    what: &'a str,
    members: i64,
}

fn nats(millinats: i32) -> f64 {
    f64::from(millinats) / 1e3
}

fn dollars(cents: i64) -> f64 {
    cents as f64 / 100.0
}

/// Appends the line of a campaign's record.
pub(crate) fn campaign_line(out: &mut Vec<u8>, campaign: &Campaign) -> Result<(), LineError> {
    write_line(out, &line(campaign))
}

/// The same as a value, for those who tell it in another form.
pub(crate) fn campaign_details(campaign: &Campaign) -> Value {
    // Plain data; null where that is not so, which does not happen in practice.
    serde_json::to_value(line(campaign)).unwrap_or_default()
}

fn line(campaign: &Campaign) -> CampaignLine<'_> {
    let members = campaign.members.iter().map(|member| MemberEntry {
        account: member.account.to_string(),
        tenant: &member.tenant,
        tier: member.tier.as_str(),
        nats: nats(member.millinats),
        probability: member.probability,
        since_ms: member.since_ms,
        requests: member.requests,
        verdict_id: member.verdict_id.map(|id| id.to_string()),
    });
    let evidence = campaign.evidence.iter().map(|said| EvidenceEntry {
        family: &said.family,
        members: said.members,
        nats: nats(said.millinats),
    });
    let links = campaign.links.iter().map(|link| LinkEntry {
        kind: link.kind.as_str(),
        value: link.value.to_string(),
        members: link.members,
        dollars: dollars(link.cents),
    });
    CampaignLine {
        campaign_id: campaign.campaign_id.to_string(),
        sequence: campaign.sequence,
        time_ms: campaign.time_ms,
        status: campaign.status.as_str(),
        absorbed_by: campaign.absorbed_by.map(|id| id.to_string()),
        tier: campaign.tier.as_str(),
        since_ms: campaign.since_ms,
        until_ms: campaign.until_ms,
        first: campaign.first.to_string(),
        member_count: campaign.member_count,
        requests: campaign.requests,
        members: members.collect(),
        left: campaign.left.iter().map(ToString::to_string).collect(),
        beside_count: campaign.beside_count,
        beside: campaign.beside.iter().map(ToString::to_string).collect(),
        evidence: evidence.collect(),
        links: links.collect(),
        asks: campaign.asks.iter().map(|ask| AskEntry { what: &ask.what, members: ask.members }).collect(),
        evade_dollars: dollars(campaign.evade_cents),
        policy_version: &campaign.policy_version,
    }
}
