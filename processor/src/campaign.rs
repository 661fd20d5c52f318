//! The campaign stage: puts accounts together that are under one hand.
//!
//! The account stage tells of an account what speaks for it itself, and by which values it is linked with
//! those like it. Accounts with evidence of their own whose links meet are one campaign. Nobody is a member
//! for what its neighbours do, and nobody without evidence of its own connects others; such accounts are
//! counted beside the campaign. A member leaves when its evidence ends or was not heard of for the policy's
//! horizon of an account; a campaign ends with too few members.
//!
//! There is one task of this stage, because who belongs together is not known before; what it reads is only
//! what is said of suspects, some records an hour of each.

mod assembly;
mod change;
mod member;
mod price;
mod roster;
mod tell;

use crate::account::{check_time, load_whole, restore_entry};
use crate::in_force::InForce;
use crate::limits::{BYSTANDERS_MAX, SUSPECTS_MAX};
use crate::persist::saved;
use crate::policy::Policy;
use crate::refuse::{Refusal, Tallies, dead_letter, note};
use crate::version::{JudgeHook, judge_of};
use change::Change;
use member::{Label, Member};
use roster::Roster;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tell::{Now, Told, Wait};
use weir_schemas::bundle::Trust;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Campaign, CampaignStatus, Judge, Member as Record};
use weir_topology::record::{Output, RecordRef, Records};
use weir_topology::stage::{Batch, Effects, Stage, StateEntry, StateError, Tally};
use weir_topology::topic::{StageName, Topic};

/// Version of the encoding of entries.
pub const STATE_FORMAT: i32 = 2;

/// The version before: its accounts waited for no campaign.
const WITHOUT_WAITS: i32 = 1;

/// The campaign stage of its task.
pub struct CampaignStage {
    wire: Arc<Wire>,
    policy: InForce,
    roster: Roster,
    suspects_max: usize,
    wait: Wait,
    campaigns: BTreeMap<Label, Told>,
    campaigns_changed: BTreeSet<Label>,
    /// Accounts of which something was heard since campaigns were last assembled, and campaigns that they
    /// were in.
    touched: BTreeSet<AccountId>,
    before: BTreeSet<Label>,
    hook: JudgeHook,
}

impl CampaignStage {
    /// A stage without campaigns, judging by `policy` until another is published.
    pub fn new(wire: Arc<Wire>, policy: Arc<Policy>) -> Self {
        Self {
            wire,
            policy: InForce::new(policy),
            roster: Roster::default(),
            suspects_max: SUSPECTS_MAX,
            wait: Wait::default(),
            campaigns: BTreeMap::new(),
            campaigns_changed: BTreeSet::new(),
            touched: BTreeSet::new(),
            before: BTreeSet::new(),
            hook: JudgeHook::default(),
        }
    }

    /// The same stage where only policies come in force that `trust` admits.
    pub fn trusting(self, trust: Option<Arc<Trust>>) -> Self {
        Self { policy: self.policy.trusting(trust), ..self }
    }

    /// The same stage with another judge, in a test.
    #[cfg(feature = "planted")]
    pub fn judged_by(self, hook: JudgeHook) -> Self {
        Self { hook, ..self }
    }

    /// The same stage with another cap on accounts with evidence of their own; beyond it the longest idle are
    /// forgotten at the end of an epoch.
    pub fn with_suspects_max(mut self, suspects_max: usize) -> Self {
        self.suspects_max = suspects_max.max(1);
        self
    }

    fn member(
        &mut self,
        record: RecordRef<'_>,
        clock_ms: &mut i64,
        tallies: &mut Tallies,
    ) -> Result<(), Refusal> {
        let told: Record = self.wire.read(record.payload.unwrap_or_default())?;
        if told.account == AccountId::default() {
            return Err(Refusal::impossible("the account id is zero"));
        }
        if AccountId::from_key(record.key) != Ok(told.account) {
            return Err(Refusal::impossible("the record's key is not its account"));
        }
        check_time(told.time_ms)?;
        *clock_ms = (*clock_ms).max(told.time_ms);
        let horizon_ms = self.policy.account_horizon_ms();
        let known = self.roster.get(told.account);
        let is_gone = known.is_some_and(|known| told.time_ms > known.clock_ms.saturating_add(horizon_ms));
        if is_gone && self.remove(told.account) {
            tallies.add(Tally::Expired, 1);
        }
        let before = self.roster.get(told.account);
        let mut member = Member::of(&told, before);
        if member.is_nobody() {
            self.remove(told.account);
            return Ok(());
        }
        match change::of(&self.roster, told.account, &member) {
            Change::Nothing => {
                if self.campaigns.get(&member.campaign).is_some_and(|told| told.is_due(*clock_ms)) {
                    self.before.insert(member.campaign);
                }
            }
            Change::Joins(campaign) if self.waits(campaign, *clock_ms) => member.waits_for = campaign,
            Change::Joins(_) | Change::Parts => self.note_touched(told.account),
        }
        self.roster.put(told.account, member);
        Ok(())
    }

    /// Whether a campaign is left alone for now.
    fn waits(&self, campaign: Label, now_ms: i64) -> bool {
        let told = self.campaigns.get(&campaign);
        told.is_some_and(|told| told.waits(self.wait, self.roster.told_count(campaign), now_ms))
    }

    fn note_touched(&mut self, account: AccountId) {
        self.touched.insert(account);
        let campaign = self.roster.get(account).map(|member| member.campaign).unwrap_or_default();
        if campaign != Label::default() {
            self.before.insert(campaign);
        }
    }

    /// Removes an account; whether it was there.
    fn remove(&mut self, account: AccountId) -> bool {
        self.note_touched(account);
        self.roster.remove(account).is_some()
    }

    fn remove_all(&mut self, accounts: Vec<AccountId>) -> u64 {
        accounts.into_iter().map(|account| u64::from(self.remove(account))).sum()
    }

    /// Folds a whole epoch, and says nothing yet.
    fn fold(&mut self, batch: &Batch) -> (Effects, Tallies) {
        let mut effects = Effects { clock_ms: batch.clock_ms, ..Effects::default() };
        let mut tallies = Tallies::default();
        let limit_ms = batch.clock_ms.saturating_sub(self.policy.account_horizon_ms());
        let idle = self.roster.idle(limit_ms);
        tallies.add(Tally::Expired, self.remove_all(idle));
        for input in &batch.inputs {
            for record in input.records.iter() {
                let folded = match input.topic {
                    Topic::Control => {
                        self.policy.follow(&self.wire, record, &mut tallies);
                        Ok(())
                    }
                    Topic::Members => self.member(record, &mut effects.clock_ms, &mut tallies),
                    _ => Err(Refusal::impossible("the campaign stage does not read this topic")),
                };
                note(&mut effects, folded, |refusal| {
                    dead_letter(&self.wire, StageName::Campaign, input, record, refusal)
                });
            }
        }
        for (has_evidence, max) in [(true, self.suspects_max), (false, BYSTANDERS_MAX)] {
            let beyond = self.roster.beyond(has_evidence, max);
            tallies.add(Tally::EvictedByCap, self.remove_all(beyond));
        }
        effects.policy_version = self.policy.version.clone();
        (effects, tallies)
    }

    /// Assembles the campaigns that what was folded may have changed, and tells what is new of them.
    fn assemble(&mut self, (time_ms, epoch): (i64, i64), outputs: &mut Vec<Output>, tallies: &mut Tallies) {
        let (touched, mut before) = (std::mem::take(&mut self.touched), std::mem::take(&mut self.before));
        before.extend(self.roster.awaited().filter(|campaign| !self.waits(*campaign, time_ms)));
        let campaigns = assembly::assemble(&self.roster, &touched, &before);
        let policy_version = self.policy.version.clone();
        let now = Now { time_ms, epoch, policy: &policy_version };
        let mut say = |campaign: Campaign, wire: &Wire| {
            let key = campaign.campaign_id.to_key();
            outputs.push(Output::keyed(Topic::Campaigns, key, wire.to_bytes(&campaign), time_ms));
        };
        // As it was told, before anybody is told to be elsewhere.
        let had = |label: &Label| (*label, self.roster.told(*label).collect::<Vec<_>>());
        let had: BTreeMap<Label, Vec<AccountId>> = campaigns.keys().map(had).collect();
        campaigns.keys().for_each(|label| self.roster.end_wait(*label));
        for (label, company) in &campaigns {
            let Some(company) = company else { continue };
            let told = self.campaigns.entry(*label).or_default();
            let (records, news) = tell::records(&self.roster, *label, (company, &had[label]), (told, now));
            let Some(first) = records.first() else { continue };
            tallies.add(Tally::MembersUntold, (first.beside_count - first.beside.len() as i64) as u64);
            self.campaigns_changed.insert(*label);
            records.into_iter().for_each(|record| say(record, &self.wire));
            news.left.into_iter().for_each(|account| self.roster.note_left(account, *label));
            news.joined.into_iter().for_each(|account| self.roster.note_joined(account, *label));
        }
        // Those that end come last: by then it is known who has their members.
        for label in campaigns.iter().filter(|(_, company)| company.is_none()).map(|(label, _)| label) {
            had[label].iter().for_each(|account| self.roster.note_left(*account, *label));
            let Some(told) = self.campaigns.remove(label) else { continue };
            self.campaigns_changed.insert(*label);
            let now_of = |account: &AccountId| self.roster.get(*account).map(|member| member.campaign);
            let absorbed_by = had[label].iter().filter_map(now_of).filter(|now| *now != Label::default());
            say(tell::end(*label, absorbed_by.min(), (&told, now)), &self.wire);
        }
    }
}

impl CampaignStage {
    /// Takes what another judge told of a campaign for told.
    fn believe(&mut self, campaign: &Campaign) {
        let label = Label { since_ms: campaign.since_ms, first: campaign.first };
        self.before.insert(label);
        self.campaigns_changed.insert(label);
        let mut left = campaign.left.clone();
        if campaign.status == CampaignStatus::Closed {
            left.extend(self.roster.told(label));
            self.campaigns.remove(&label);
        } else {
            self.campaigns.insert(label, Told::by(campaign));
        }
        for member in &campaign.members {
            self.roster.note_said(member.account, label, member.tier);
        }
        left.into_iter().for_each(|account| self.roster.note_left(account, label));
    }
}

/// The key of a campaign's entry: when it began, and by whom.
fn to_key(label: Label) -> Vec<u8> {
    format!("{}/{}", label.since_ms, label.first).into_bytes()
}

fn parse_key(key: &[u8]) -> Option<Label> {
    let (since, first) = std::str::from_utf8(key).ok()?.split_once('/')?;
    Some(Label { since_ms: since.parse().ok()?, first: AccountId::from_key(first.as_bytes()).ok()? })
}

impl Stage for CampaignStage {
    fn name(&self) -> StageName {
        StageName::Campaign
    }

    fn judge(&self, batch: &Batch) -> Judge {
        judge_of(self.hook, &self.wire, &self.policy, batch)
    }

    fn step(&mut self, batch: &Batch) -> Effects {
        let (mut effects, mut tallies) = self.fold(batch);
        self.assemble((effects.clock_ms, batch.epoch), &mut effects.outputs, &mut tallies);
        effects.tallies = tallies.counted();
        effects
    }

    fn adopt(&mut self, batch: &Batch, said: &[Records]) -> Result<(), StateError> {
        self.fold(batch);
        for record in said.iter().flat_map(Records::iter) {
            // The runner has held them against the digest that the epoch recorded.
            if let Ok(campaign) = self.wire.read::<Campaign>(record.payload.unwrap_or_default()) {
                self.believe(&campaign);
            }
        }
        Ok(())
    }

    fn rejudge(&mut self, batch: &Batch) -> (Effects, u64) {
        // What was told of campaigns stands; what is different by this judge is told now.
        let (mut effects, mut tallies) =
            (Effects { clock_ms: batch.clock_ms, ..Effects::default() }, Tallies::default());
        let accounts = self.touched.len() as u64;
        self.assemble((batch.clock_ms, batch.epoch), &mut effects.outputs, &mut tallies);
        effects.policy_version = self.policy.version.clone();
        effects.tallies = tallies.counted();
        (effects, accounts)
    }

    fn state_format(&self) -> i32 {
        STATE_FORMAT
    }

    fn changed(&self) -> usize {
        self.roster.changed() + self.campaigns_changed.len() + self.policy.changed()
    }

    fn take_changes(&mut self) -> Vec<StateEntry> {
        let mut entries = self.policy.take_change();
        self.roster.take_changes(|account, member| {
            entries.push(StateEntry { key: account.to_key(), body: member.map(saved) });
        });
        for label in std::mem::take(&mut self.campaigns_changed) {
            entries.push(StateEntry { key: to_key(label), body: self.campaigns.get(&label).map(saved) });
        }
        entries.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        entries
    }

    fn survey(&self, _: u64, _: usize) -> (Vec<StateEntry>, Option<u64>) {
        (Vec::new(), None)
    }

    fn restore(&mut self, key: &[u8], format: i32, body: &[u8]) -> Result<(), StateError> {
        let is_old = format == WITHOUT_WAITS;
        restore_entry(key, if is_old { STATE_FORMAT } else { format }, STATE_FORMAT, || {
            if InForce::is_its(key) {
                self.policy.restore(key, body)?;
            } else if let Some(label) = parse_key(key) {
                self.campaigns.insert(label, load_whole(body)?);
            } else {
                let account = AccountId::from_key(key).map_err(|error| error.to_string())?;
                let waits = if is_old { saved(&Label::default()) } else { Vec::new() };
                self.roster.restore(account, load_whole(&[body, &waits].concat())?);
            }
            Ok(())
        })
    }

    fn forget(&mut self, key: &[u8]) {
        if let Some(label) = parse_key(key) {
            self.campaigns.remove(&label);
        } else if let Ok(account) = AccountId::from_key(key) {
            self.roster.forget(account);
        }
    }

    fn entries(&self) -> usize {
        self.roster.len() + self.campaigns.len()
    }
}

#[cfg(test)]
mod tests;
