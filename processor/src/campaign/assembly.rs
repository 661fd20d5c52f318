//! Who belongs together: accounts with evidence of their own that are in one group of a shared value, and
//! those who are in a group with one of them, and so on.
//!
//! Which accounts that are depends on the latest records of all of them and on nothing else: not on the order
//! in which the records came, nor on how they were cut into epochs. A campaign keeps its label while it
//! grows, shrinks and loses the one it is called after. Of campaigns that become one the least label stays;
//! of parts that come apart the one with the earliest member keeps it.

use super::member::{Group, Label};
use super::roster::Roster;
use crate::limits::CAMPAIGN_MEMBERS_MIN;
use crate::store::ById;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use weir_schemas::AccountId;

/// Accounts that belong together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Company {
    /// Those with evidence of their own.
    pub(super) members: BTreeSet<AccountId>,
    /// Those without: in a group with a member, and nothing but that.
    pub(super) beside: BTreeSet<AccountId>,
}

/// The campaigns in which something may have changed when these accounts did, as they are now; none for one
/// that is no more.
pub(super) fn assemble(
    roster: &Roster,
    touched: &BTreeSet<AccountId>,
    before: &BTreeSet<Label>,
) -> BTreeMap<Label, Option<Company>> {
    let mut affected = before.clone();
    let mut seeds: Vec<AccountId> = touched.iter().copied().collect();
    let all_of = |campaign: Label| roster.told(campaign).chain(roster.waiting(campaign));
    seeds.extend(affected.iter().flat_map(|campaign| all_of(*campaign)));
    let (mut seen, mut companies) = (BTreeSet::new(), Vec::new());
    while let Some(seed) = seeds.pop() {
        if seen.contains(&seed) || !roster.get(seed).is_some_and(|member| member.has_evidence()) {
            continue;
        }
        let company = company_of(roster, seed);
        seen.extend(company.members.iter().copied());
        for campaign in labels(roster, &company) {
            if affected.insert(campaign) {
                seeds.extend(all_of(campaign));
            }
        }
        companies.push(company);
    }
    companies.retain(|company| company.members.len() >= CAMPAIGN_MEMBERS_MIN);
    companies.sort_by_key(|company| earliest(roster, company));
    let mut named: BTreeMap<Label, Option<Company>> = BTreeMap::new();
    for company in companies {
        let kept: BTreeSet<Label> = labels(roster, &company).collect();
        // A campaign may be called after somebody who is in another one by now.
        let is_free = |label: &Label| kept.contains(label) || roster.told(*label).next().is_none();
        let candidates: BTreeSet<Label> = kept.iter().copied().chain(own_labels(roster, &company)).collect();
        // Each of several members has a label of its own: the part that comes apart finds one that is free.
        let mut candidates = candidates.into_iter().filter(is_free);
        if let Some(label) = candidates.find(|label| !named.contains_key(label)) {
            named.insert(label, Some(company));
        }
    }
    for label in affected {
        named.entry(label).or_insert(None);
    }
    named
}

/// The campaigns that members were told to be of.
fn labels(roster: &Roster, company: &Company) -> impl Iterator<Item = Label> {
    let told = company.members.iter().filter_map(|account| Some(roster.get(*account)?.campaign));
    told.filter(|campaign| *campaign != Label::default())
}

/// What a campaign would be called after each of its members.
fn own_labels(roster: &Roster, company: &Company) -> impl Iterator<Item = Label> {
    company.members.iter().filter_map(|account| Some(roster.get(*account)?.own_label(*account)))
}

fn earliest(roster: &Roster, company: &Company) -> Option<Label> {
    own_labels(roster, company).min()
}

/// Everybody who is connected with `seed`, which has evidence of its own.
fn company_of(roster: &Roster, seed: AccountId) -> Company {
    let (mut members, mut beside, mut open) = (vec![seed], Vec::new(), vec![seed]);
    let (mut met, mut groups) = (HashSet::<AccountId, ById>::default(), HashSet::<Group, ById>::default());
    met.insert(seed);
    while let Some(account) = open.pop() {
        let Some(member) = roster.get(account) else { continue };
        for group in member.groups(account).filter(|group| groups.insert(*group)) {
            for other in roster.group(&group).filter(|other| met.insert(*other)) {
                // Nobody is connected by those who have no evidence of their own.
                if roster.get(other).is_some_and(|other| other.has_evidence()) {
                    members.push(other);
                    open.push(other);
                } else {
                    beside.push(other);
                }
            }
        }
    }
    Company { members: members.into_iter().collect(), beside: beside.into_iter().collect() }
}
