//! What is told of a campaign: records that a person can read by themselves, and that name every member once.

use super::assembly::Company;
use super::member::{Label, Member};
use super::price::{Measure, cents};
use super::roster::Roster;
use crate::asks;
use crate::detector::FAMILIES;
use crate::limits::{CAMPAIGN_NAMED_MAX, CAMPAIGN_NEWS_MAX, CAMPAIGN_WAIT_FROM, CAMPAIGN_WAIT_MS_EACH};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use weir_schemas::{
    AccountId, Campaign, CampaignAsk, CampaignEvidence, CampaignId, CampaignLink, CampaignMember,
    CampaignStatus, LinkKind, Tier, ValueHash, VerdictId,
};

/// Event time after which a campaign that only went on is told of again.
const AGAIN_MS: i64 = 3_600_000;

/// What was told of a campaign so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) sequence: i64,
    told_ms: i64,
    until_ms: i64,
    /// Tier, kinds of evidence, of links and of what is asked for, in short.
    mark: u64,
}
persist_fields!(Told { sequence, told_ms, until_ms, mark });

/// What changed of a campaign, and is told.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) joined: Vec<AccountId>,
    pub(super) left: Vec<AccountId>,
}

/// When a campaign is told of, and by which policy its members were judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now<'a> {
    pub(super) time_ms: i64,
    pub(super) epoch: i64,
    pub(super) policy: &'a str,
}

/// How long a campaign is left alone after it was told of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    /// Members from which it is.
    pub(super) from: usize,
    /// For each member, in milliseconds.
    pub(super) ms_each: i64,
}

impl Default for Wait {
    fn default() -> Self {
        Self { from: CAMPAIGN_WAIT_FROM, ms_each: CAMPAIGN_WAIT_MS_EACH }
    }
}

impl Told {
    /// What a record told.
    pub(super) fn by(record: &Campaign) -> Self {
        Self {
            sequence: record.sequence,
            told_ms: record.time_ms,
            until_ms: record.until_ms,
            mark: mark(record),
        }
    }

    /// Whether it is time to say that the campaign goes on.
    pub(super) fn is_due(&self, now_ms: i64) -> bool {
        now_ms >= self.told_ms + AGAIN_MS
    }

    /// Whether a campaign of so many members is left alone at a time.
    pub(super) fn waits(&self, wait: Wait, members: usize, now_ms: i64) -> bool {
        let wait_ms = wait.ms_each.saturating_mul(members as i64);
        members >= wait.from && now_ms < self.told_ms.saturating_add(wait_ms)
    }
}

/// The records of a campaign as it stands now; none where there is nothing new. `had` are those who were told
/// to be its members.
pub(super) fn records(
    roster: &Roster,
    label: Label,
    (company, had): (&Company, &[AccountId]),
    (told, now): (&mut Told, Now<'_>),
) -> (Vec<Campaign>, News) {
    let of = |account: &AccountId| Some((*account, roster.get(*account)?));
    let members: Vec<(AccountId, &Member)> = company.members.iter().filter_map(of).collect();
    let news = News {
        joined: members.iter().filter(|(_, m)| !m.is_told(label)).map(|(account, _)| *account).collect(),
        left: had.iter().filter(|account| !company.members.contains(account)).copied().collect(),
    };
    let summary = summary(label, &members, company, now);
    let mark = mark(&summary);
    let goes_on = summary.until_ms > told.until_ms && told.is_due(now.time_ms);
    if news.joined.is_empty() && news.left.is_empty() && mark == told.mark && !goes_on {
        return (Vec::new(), news);
    }
    let sequence = told.sequence;
    let parts = news.joined.len().max(news.left.len()).div_ceil(CAMPAIGN_NEWS_MAX).max(1);
    let record = |part: usize| {
        let of_part = |accounts: &[AccountId]| -> Vec<AccountId> {
            accounts.iter().skip(part * CAMPAIGN_NEWS_MAX).take(CAMPAIGN_NEWS_MAX).copied().collect()
        };
        let joined = of_part(&news.joined);
        let joined = joined.iter().filter_map(|account| Some(named(*account, roster.get(*account)?)));
        Campaign {
            sequence: sequence + 1 + part as i64,
            members: joined.collect(),
            left: of_part(&news.left),
            ..summary.clone()
        }
    };
    let records: Vec<Campaign> = (0..parts).map(record).collect();
    *told =
        Told { sequence: sequence + parts as i64, told_ms: now.time_ms, until_ms: summary.until_ms, mark };
    (records, news)
}

/// The last record of a campaign that is no more.
pub(super) fn end(label: Label, absorbed_by: Option<Label>, (told, now): (&Told, Now<'_>)) -> Campaign {
    Campaign {
        campaign_id: id_of(label),
        sequence: told.sequence + 1,
        time_ms: now.time_ms,
        status: CampaignStatus::Closed,
        absorbed_by: absorbed_by.map(id_of),
        first: label.first,
        since_ms: label.since_ms,
        until_ms: told.until_ms,
        policy_version: now.policy.to_owned(),
        epoch: now.epoch,
        ..Campaign::default()
    }
}

/// The id of a campaign.
pub(super) fn id_of(label: Label) -> CampaignId {
    CampaignId::of(label.since_ms, label.first)
}

fn named(account: AccountId, member: &Member) -> CampaignMember {
    CampaignMember {
        account,
        tenant: member.tenant.clone(),
        tier: member.tier(),
        millinats: member.millinats,
        probability: f64::from(member.probability) / 1e6,
        since_ms: member.since_ms,
        requests: member.requests.into(),
        verdict_id: (member.verdict != VerdictId::default()).then_some(member.verdict),
    }
}

/// All of a record but its place in the order and who came and went.
fn summary(label: Label, members: &[(AccountId, &Member)], company: &Company, now: Now<'_>) -> Campaign {
    let each = || members.iter().map(|(_, member)| *member);
    let shared = shared(each());
    Campaign {
        campaign_id: id_of(label),
        time_ms: now.time_ms,
        status: CampaignStatus::Open,
        tier: each().map(Member::tier).max().unwrap_or(Tier::Clear),
        first: label.first,
        since_ms: label.since_ms,
        until_ms: each().map(|member| member.clock_ms).max().unwrap_or(now.time_ms),
        member_count: members.len() as i64,
        requests: each().map(|member| i64::from(member.requests)).sum(),
        beside_count: company.beside.len() as i64,
        beside: company.beside.iter().take(CAMPAIGN_NAMED_MAX).copied().collect(),
        evidence: evidence(each()),
        links: links(&shared),
        asks: asked(each()),
        evade_cents: evade_cents(each(), &shared),
        policy_version: now.policy.to_owned(),
        epoch: now.epoch,
        ..Campaign::default()
    }
}

fn evidence<'m>(members: impl Iterator<Item = &'m Member>) -> Vec<CampaignEvidence> {
    let mut sums: BTreeMap<u8, (i64, i64)> = BTreeMap::new();
    for said in members.flat_map(|member| &member.evidence) {
        let (count, sum) = sums.entry(said.family).or_default();
        (*count, *sum) = (*count + 1, *sum + i64::from(said.millinats));
    }
    let name = |family: u8| FAMILIES.iter().find(|known| **known as u8 == family).map(|known| known.as_str());
    let of_family = |(family, (members, sum)): (u8, (i64, i64))| {
        let family = name(family)?.to_owned();
        Some(CampaignEvidence { family, members, millinats: (sum / members.max(1)) as i32 })
    };
    let mut evidence: Vec<CampaignEvidence> = sums.into_iter().filter_map(of_family).collect();
    evidence.sort_by_key(|said| Reverse((said.members, said.millinats)));
    evidence
}

/// Values that two members or more share, and how many do.
type Shared = BTreeMap<(LinkKind, ValueHash), u64>;

fn shared<'m>(members: impl Iterator<Item = &'m Member>) -> Shared {
    let mut shared = Shared::new();
    for group in members.flat_map(|member| &member.links) {
        *shared.entry((group.kind(), group.value)).or_default() += 1;
    }
    shared.retain(|_, members| *members >= 2);
    shared
}

fn links(shared: &Shared) -> Vec<CampaignLink> {
    let link = |((kind, value), members): (&(LinkKind, ValueHash), &u64)| CampaignLink {
        kind: *kind,
        value: *value,
        members: *members as i64,
        cents: cents(*kind, *members),
    };
    let mut links: Vec<CampaignLink> = shared.iter().map(link).collect();
    links.sort_by_key(|link| Reverse(link.members));
    links.truncate(CAMPAIGN_NAMED_MAX);
    links
}

/// What all of it costs: a measure is bought once for a member, however many of its values it replaces, and
/// one member of those that share a value can keep it.
fn evade_cents<'m>(members: impl Iterator<Item = &'m Member>, shared: &Shared) -> i64 {
    let mut needed: BTreeMap<Measure, i64> = BTreeMap::new();
    for member in members {
        let is_shared = |kind: LinkKind, value: ValueHash| shared.contains_key(&(kind, value));
        let own = member.links.iter().filter(|group| is_shared(group.kind(), group.value));
        let measures: BTreeSet<Measure> = own.filter_map(|group| Measure::against(group.kind())).collect();
        measures.into_iter().for_each(|measure| *needed.entry(measure).or_default() += 1);
    }
    let kept = |measure: Measure| {
        let kinds: BTreeSet<LinkKind> = shared.keys().map(|(kind, _)| *kind).collect();
        let of_kind = |kind: LinkKind| shared.keys().filter(|(other, _)| *other == kind).count() as i64;
        let kinds = kinds.into_iter().filter(|kind| Measure::against(*kind) == Some(measure));
        kinds.map(of_kind).min().unwrap_or(0)
    };
    needed.into_iter().map(|(measure, members)| measure.cents() * (members - kept(measure)).max(0)).sum()
}

fn asked<'m>(members: impl Iterator<Item = &'m Member>) -> Vec<CampaignAsk> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for what in members.flat_map(|member| asks::names(member.asks.into())) {
        *counts.entry(what).or_default() += 1;
    }
    let ask = |(what, members): (&str, i64)| CampaignAsk { what: what.to_owned(), members };
    let mut asked: Vec<CampaignAsk> = counts.into_iter().map(ask).collect();
    asked.sort_by_key(|ask| Reverse(ask.members));
    asked
}

/// What a campaign is like, in short: members come and go without changing it.
fn mark(summary: &Campaign) -> u64 {
    let mut parts: Vec<String> = vec![summary.tier.as_str().to_owned()];
    let mut kinds: Vec<&str> = summary.links.iter().map(|link| link.kind.as_str()).collect();
    kinds.extend(summary.evidence.iter().map(|said| said.family.as_str()));
    kinds.extend(summary.asks.iter().map(|ask| ask.what.as_str()));
    kinds.sort_unstable();
    kinds.dedup();
    parts.extend(kinds.into_iter().map(str::to_owned));
    crate::measure::quick_hash(&parts.join(" "), summary.beside_count.min(1) as u64)
}
