//! A campaign, explained.

use super::nats;
use crate::campaigns::{Campaigns, Known};
use crate::report::ReplayError;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use weir_processor::measure::short;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, CampaignMember, CampaignStatus, LinkKind, Member, ValueHash};
use weir_topology::history::History;
use weir_topology::log::Log;
use weir_topology::topic::Topic;

/// What a campaign is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CampaignStory {
    /// The campaign.
    pub campaign_id: String,
    /// `OPEN` or `CLOSED`.
    pub status: &'static str,
    /// The campaign that has its members now.
    pub absorbed_by: Option<String>,
    /// Campaigns whose members it took over.
    pub absorbed: Vec<String>,
    /// The gravest tier of a member.
    pub tier: &'static str,
    /// Since when.
    pub since_ms: i64,
    /// When a member last had evidence of its own.
    pub until_ms: i64,
    /// Requests of all members.
    pub requests: i64,
    /// Its members, those with most evidence first. Of a closed campaign those it had last.
    pub members: Vec<MemberStory>,
    /// Accounts that do the same and have no evidence of their own.
    pub beside_count: i64,
    /// Some of those.
    pub beside: Vec<String>,
    /// Kinds of evidence: family, members that it speaks against, nats on average.
    pub evidence: Vec<(String, i64, f64)>,
    /// Values that link members: kind, value, members, dollars a month to give each its own.
    pub links: Vec<(&'static str, String, i64, f64)>,
    /// What members ask for: class, members.
    pub asks: Vec<(String, i64)>,
    /// What it would cost a month to share none of these values, in dollars.
    pub evade_dollars: f64,
    /// What would be left of it if members shared nothing of one kind; empty where what was told of them is
    /// no longer kept.
    pub without: Vec<WithoutKind>,
    /// Name of the policy that judged the members.
    pub policy_version: String,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberStory {
    /// The account.
    pub account: String,
    /// Its tenant.
    pub tenant: String,
    /// How serious its own evidence is.
    pub tier: &'static str,
    /// Log-odds of its own evidence, in nats.
    pub nats: f64,
    /// Probability that they stand for.
    pub probability: f64,
    /// Since when it has evidence of its own.
    pub since_ms: i64,
    /// Its requests.
    pub requests: i64,
    /// Its verdict, which `weir explain` explains as well.
    pub verdict_id: Option<String>,
}

/// A campaign without one kind of link.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WithoutKind {
    /// What would not be shared.
    pub kind: &'static str,
    /// Members of the largest part that would still be connected.
    pub together: u64,
}

fn dollars(cents: i64) -> f64 {
    cents as f64 / 100.0
}

impl CampaignStory {
    /// The story of a campaign, by all that was said of it.
    pub(super) fn of(
        known: &Known,
        campaigns: &Campaigns,
        log: &dyn Log,
        wire: &Wire,
    ) -> Result<Self, ReplayError> {
        let (latest, standing) = (&known.latest, &known.standing);
        let mut members: Vec<&CampaignMember> = known.members.values().collect();
        members.sort_by_key(|member| (std::cmp::Reverse(member.millinats), member.account));
        Ok(Self {
            campaign_id: latest.campaign_id.to_string(),
            status: latest.status.as_str(),
            absorbed_by: latest.absorbed_by.map(|id| id.to_string()),
            absorbed: campaigns.absorbed_by(latest.campaign_id).map(|id| id.to_string()).collect(),
            tier: standing.tier.as_str(),
            since_ms: standing.since_ms,
            until_ms: standing.until_ms,
            requests: standing.requests,
            members: members.into_iter().map(member_story).collect(),
            beside_count: if latest.status == CampaignStatus::Open { standing.beside_count } else { 0 },
            beside: standing.beside.iter().map(ToString::to_string).collect(),
            evidence: standing
                .evidence
                .iter()
                .map(|said| (said.family.clone(), said.members, nats(said.millinats)))
                .collect(),
            links: standing
                .links
                .iter()
                .map(|link| (link.kind.as_str(), link.value.to_string(), link.members, dollars(link.cents)))
                .collect(),
            asks: standing.asks.iter().map(|ask| (ask.what.clone(), ask.members)).collect(),
            evade_dollars: dollars(standing.evade_cents),
            without: without(&known.members.keys().copied().collect(), log, wire)?,
            policy_version: standing.policy_version.clone(),
        })
    }
}

fn member_story(member: &CampaignMember) -> MemberStory {
    MemberStory {
        account: member.account.to_string(),
        tenant: member.tenant.clone(),
        tier: member.tier.as_str(),
        nats: nats(member.millinats),
        probability: member.probability,
        since_ms: member.since_ms,
        requests: member.requests,
        verdict_id: member.verdict_id.map(|id| id.to_string()),
    }
}

/// A group of a shared value, as the campaign stage has it.
type Group = (LinkKind, ValueHash, i64);

/// What would be left of a campaign without each kind of link, by what was last told of each member with
/// evidence.
fn without(
    members: &BTreeSet<AccountId>,
    log: &dyn Log,
    wire: &Wire,
) -> Result<Vec<WithoutKind>, ReplayError> {
    let mut groups: BTreeMap<AccountId, Vec<Group>> = BTreeMap::new();
    let (first, end) = log.bounds(Topic::Members, 0)?;
    let mut history = History::new(log, Topic::Members, 0, first, end)?;
    while let Some(records) = history.next()? {
        for payload in records.iter().filter_map(|record| record.payload) {
            let Ok(member) = wire.read::<Member>(payload) else { continue };
            if members.contains(&member.account) && !member.links.is_empty() {
                let own = i64::from(short(&member.account.0));
                let both = |link: &weir_schemas::MemberLink| {
                    [(link.kind, link.value, link.least), (link.kind, link.value, own)]
                };
                groups.insert(member.account, member.links.iter().flat_map(both).collect());
            }
        }
    }
    if groups.len() < members.len() {
        return Ok(Vec::new());
    }
    let kinds: BTreeSet<LinkKind> = groups.values().flatten().map(|(kind, ..)| *kind).collect();
    let without = |kind: LinkKind| WithoutKind { kind: kind.as_str(), together: largest(&groups, kind) };
    Ok(kinds.into_iter().map(without).collect())
}

/// Members of the largest part that is connected without links of `kind`.
fn largest(groups: &BTreeMap<AccountId, Vec<Group>>, kind: LinkKind) -> u64 {
    let mut of_group: BTreeMap<Group, Vec<AccountId>> = BTreeMap::new();
    for (account, groups) in groups {
        for group in groups.iter().filter(|(other, ..)| *other != kind) {
            of_group.entry(*group).or_default().push(*account);
        }
    }
    let (mut seen, mut most) = (BTreeSet::new(), 0);
    for account in groups.keys() {
        let (mut open, mut count) = (vec![*account], 0);
        while let Some(account) = open.pop() {
            if !seen.insert(account) {
                continue;
            }
            count += 1;
            let own = groups.get(&account).into_iter().flatten();
            open.extend(own.filter_map(|group| of_group.get(group)).flatten());
        }
        most = most.max(count);
    }
    most
}
