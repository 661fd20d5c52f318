//! Every account that campaigns may be assembled from: by who they are, by the groups that they are in, by
//! the campaign that they were told to be in, and by when they were heard of.
//!
//! What is gone through is ordered: what is done with it is the same on every machine. What is only looked
//! into is not.

use super::member::{Group, Label, Member};
use crate::store::ById;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use weir_schemas::{AccountId, Tier};

/// The accounts.
#[derive(Debug, Default)]
pub(super) struct Roster {
    accounts: HashMap<AccountId, Member, ById>,
    groups: HashMap<Group, BTreeSet<AccountId>, ById>,
    /// By the campaign that was told, those that have gone since among them.
    campaigns: BTreeMap<Label, BTreeSet<AccountId>>,
    /// By the campaign that they wait for.
    waiting: BTreeMap<Label, BTreeSet<AccountId>>,
    /// By the time they were last heard of: those without evidence, and those with.
    by_clock: [BTreeSet<(i64, AccountId)>; 2],
    changed: BTreeSet<AccountId>,
}

impl Roster {
    pub(super) fn get(&self, account: AccountId) -> Option<&Member> {
        self.accounts.get(&account)
    }

    pub(super) fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Those of a group.
    pub(super) fn group(&self, group: &Group) -> impl Iterator<Item = AccountId> {
        self.groups.get(group).into_iter().flatten().copied()
    }

    /// Those that were told to be of a campaign.
    pub(super) fn told(&self, campaign: Label) -> impl Iterator<Item = AccountId> {
        self.campaigns.get(&campaign).into_iter().flatten().copied()
    }

    /// How many were told to be of a campaign.
    pub(super) fn told_count(&self, campaign: Label) -> usize {
        self.campaigns.get(&campaign).map_or(0, BTreeSet::len)
    }

    /// Whether an account is in a group.
    pub(super) fn is_in(&self, account: AccountId, group: &Group) -> bool {
        self.groups.get(group).is_some_and(|of_group| of_group.contains(&account))
    }

    /// The campaigns that somebody waits for.
    pub(super) fn awaited(&self) -> impl Iterator<Item = Label> {
        self.waiting.keys().copied()
    }

    /// Those that wait for a campaign.
    pub(super) fn waiting(&self, campaign: Label) -> impl Iterator<Item = AccountId> {
        self.waiting.get(&campaign).into_iter().flatten().copied()
    }

    /// Nobody waits for a campaign any more: it was assembled.
    pub(super) fn end_wait(&mut self, campaign: Label) {
        for account in self.waiting.remove(&campaign).into_iter().flatten() {
            if let Some(member) = self.accounts.get_mut(&account) {
                member.waits_for = Label::default();
                self.changed.insert(account);
            }
        }
    }

    /// Puts an account in the place of what was known of it.
    pub(super) fn put(&mut self, account: AccountId, member: Member) {
        let before = self.accounts.remove(&account);
        let was_in = |group: &Group| before.as_ref().is_some_and(|before| before.is_in(account, group));
        for group in member.groups(account).filter(|group| !was_in(group)) {
            self.groups.entry(group).or_default().insert(account);
        }
        if let Some(before) = &before {
            for group in before.groups(account).filter(|group| !member.is_in(account, group)) {
                self.leave(account, &group);
            }
            self.by_clock[usize::from(before.has_evidence())].remove(&(before.clock_ms, account));
            strike(&mut self.waiting, before.waits_for, account);
        }
        self.by_clock[usize::from(member.has_evidence())].insert((member.clock_ms, account));
        if member.campaign != Label::default() {
            self.campaigns.entry(member.campaign).or_default().insert(account);
        }
        if member.waits_for != Label::default() {
            self.waiting.entry(member.waits_for).or_default().insert(account);
        }
        self.accounts.insert(account, member);
        self.changed.insert(account);
    }

    /// Takes an account back as it was saved.
    pub(super) fn restore(&mut self, account: AccountId, member: Member) {
        self.forget(account);
        self.put(account, member);
        self.changed.remove(&account);
    }

    /// Removes an account. The campaign that it was told to be in still has it, until that is told.
    pub(super) fn remove(&mut self, account: AccountId) -> Option<Member> {
        let gone = self.take_out(account);
        if gone.is_some() {
            self.changed.insert(account);
        }
        gone
    }

    /// Forgets an account that a snapshot says is gone.
    pub(super) fn forget(&mut self, account: AccountId) {
        if let Some(gone) = self.take_out(account) {
            strike(&mut self.campaigns, gone.campaign, account);
        }
        self.changed.remove(&account);
    }

    fn take_out(&mut self, account: AccountId) -> Option<Member> {
        let member = self.accounts.remove(&account)?;
        for group in member.groups(account) {
            self.leave(account, &group);
        }
        self.by_clock[usize::from(member.has_evidence())].remove(&(member.clock_ms, account));
        strike(&mut self.waiting, member.waits_for, account);
        Some(member)
    }

    fn leave(&mut self, account: AccountId, group: &Group) {
        if let Some(of_group) = self.groups.get_mut(group) {
            of_group.remove(&account);
            if of_group.is_empty() {
                self.groups.remove(group);
            }
        }
    }

    /// Notes that an account was told to be a member of a campaign.
    pub(super) fn note_joined(&mut self, account: AccountId, campaign: Label) {
        let Some(member) = self.accounts.get_mut(&account) else { return };
        let before = member.campaign;
        member.note_told(campaign);
        self.changed.insert(account);
        if before != campaign {
            strike(&mut self.campaigns, before, account);
            self.campaigns.entry(campaign).or_default().insert(account);
        }
    }

    /// Notes that somebody else told that an account is a member of a campaign, with a tier. It may be gone
    /// by now.
    pub(super) fn note_said(&mut self, account: AccountId, campaign: Label, tier: Tier) {
        self.note_joined(account, campaign);
        self.campaigns.entry(campaign).or_default().insert(account);
        if let Some(member) = self.accounts.get_mut(&account) {
            member.told_tier = tier as u8;
        }
    }

    /// Notes that an account was told to have left a campaign.
    pub(super) fn note_left(&mut self, account: AccountId, campaign: Label) {
        strike(&mut self.campaigns, campaign, account);
        if let Some(member) = self.accounts.get_mut(&account)
            && member.campaign == campaign
        {
            member.note_told(Label::default());
            self.changed.insert(account);
        }
    }

    /// Those that were not heard of since `limit_ms`.
    pub(super) fn idle(&self, limit_ms: i64) -> Vec<AccountId> {
        let idle = self.by_clock.iter().flat_map(|of_kind| of_kind.range(..(limit_ms, AccountId::default())));
        idle.map(|(_, account)| *account).collect()
    }

    /// The longest idle beyond a cap: of those without evidence (`has_evidence` false), or of those with.
    pub(super) fn beyond(&self, has_evidence: bool, max: usize) -> Vec<AccountId> {
        let of_kind = &self.by_clock[usize::from(has_evidence)];
        let beyond = of_kind.len().saturating_sub(max);
        of_kind.iter().take(beyond).map(|(_, account)| *account).collect()
    }

    /// How many changed since the last call of [`Self::take_changes`].
    pub(super) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Those that changed since the last call, each as it is now; none where it is gone.
    pub(super) fn take_changes(&mut self, mut each: impl FnMut(AccountId, Option<&Member>)) {
        for account in std::mem::take(&mut self.changed) {
            each(account, self.accounts.get(&account));
        }
    }
}

fn strike(by_campaign: &mut BTreeMap<Label, BTreeSet<AccountId>>, campaign: Label, account: AccountId) {
    if let Some(accounts) = by_campaign.get_mut(&campaign) {
        accounts.remove(&account);
        if accounts.is_empty() {
            by_campaign.remove(&campaign);
        }
    }
}
