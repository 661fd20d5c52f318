//! What every detector said of every account, heard once and fused as often as there are candidates.
//!
//! A policy that listens gives a verdict at every judgement, whatever it comes to; its signals are what the
//! detectors said, cut nowhere. Prior, caps, thresholds and tiers have no influence on what detectors say,
//! nor has what is said of an account on what is said of others, so that a candidate's judgement is the
//! product's own [`fuse`] over what was heard. A detector that reads its own cap is heard at several.
//!
//! Of an account's judgements only those are kept that no other outdoes in every detector: fusion grows with
//! each, so the highest tier that the account reaches is among them.

use super::knob::{Bank, Draft, Knob};
use crate::evaluate::intake::Labelled;
use crate::limits::{CAPS_HEARD_MILLINATS, CLEAR_SCORE, MOMENTS_MAX, NATS_MAX_MILLINATS};
use crate::lockstep::{Layout, fold};
use crate::report::ReplayError;
use std::collections::BTreeMap;
use std::sync::Arc;
use toml_edit::{DocumentMut, Item, Table, value};
use weir_processor::detector::{COUNT, NAMES};
use weir_processor::fusion::fuse;
use weir_processor::nats::Millinats;
use weir_processor::policy::{Policy, Rules};
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Tier, Verdict};
use weir_topology::stage::StageFactory;
use weir_topology::topic::Topic;

/// What the detectors said at one judgement; 0 where one said nothing, which fusion takes for the same.
type Moment = [Millinats; COUNT];

/// The judgements of an account that matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moments(Vec<Moment>);

impl Moments {
    /// Takes a judgement; false where there were too many and one was left out.
    pub fn take(&mut self, moment: Moment) -> bool {
        let outdoes = |one: &Moment, other: &Moment| one.iter().zip(other).all(|(one, other)| one >= other);
        if self.0.iter().any(|known| outdoes(known, &moment)) {
            return true;
        }
        self.0.retain(|known| !outdoes(&moment, known));
        self.0.push(moment);
        if self.0.len() <= MOMENTS_MAX {
            return true;
        }
        let sum = |moment: &Moment| moment.iter().map(|said| i64::from(*said)).sum::<i64>();
        if let Some(least) = (0..self.0.len()).min_by_key(|at| sum(&self.0[*at])) {
            self.0.remove(least);
        }
        false
    }

    /// The highest tier and the highest score that the account reaches by these rules.
    pub fn judged(&self, rules: &Rules) -> (Tier, f64) {
        let fused = self.0.iter().map(|moment| fuse(&moment.map(Some), rules));
        fused.fold((Tier::Clear, 0.0), |(tier, score): (Tier, f64), fused| {
            (tier.max(fused.tier), score.max(fused.score))
        })
    }
}

/// Caps of the detectors that read their own, in the order of the bank's knobs.
type Caps = Vec<(usize, Millinats)>;

/// Policies that listen, one for every choice of caps that candidates may have.
pub struct Ears {
    /// The caps, and the policy.
    pub each: Vec<(Caps, Policy)>,
}

impl Ears {
    /// The policies that hear what candidates of this bank need.
    pub fn of(bank: &Bank) -> Self {
        let own: Caps = knobs_of_own(bank).map(|at| (at, bank.origin[at])).collect();
        let mut choices = vec![own.clone()];
        for (place, (_, origin)) in own.iter().enumerate() {
            for cap in CAPS_HEARD_MILLINATS.into_iter().filter(|cap| cap != origin) {
                let mut choice = own.clone();
                choice[place].1 = cap;
                choices.push(choice);
            }
        }
        let each = choices.into_iter().filter_map(|caps| {
            let policy = listening(bank, &caps)?;
            Some((caps, policy))
        });
        Self { each: each.collect() }
    }
}

fn knobs_of_own(bank: &Bank) -> impl Iterator<Item = usize> {
    bank.knobs.iter().enumerate().filter(|(_, knob)| knob.is_read()).map(|(at, _)| at)
}

/// The policy that says at every judgement what all detectors say.
fn listening(bank: &Bank, caps: &Caps) -> Option<Policy> {
    let mut document = bank.document();
    for (at, knob) in bank.knobs.iter().enumerate() {
        let cap = caps.iter().find(|(known, _)| *known == at).map_or(NATS_MAX_MILLINATS, |(_, cap)| *cap);
        if let Knob::Detector(_) = knob {
            knob.set(&mut document, cap);
        }
    }
    let mut tables = [
        ("tiers", [("medium", value(0.01)), ("high", value(0.99)), ("critical", value(1.0))].to_vec()),
        ("cooldown", [("medium_s", value(0)), ("high_s", value(0)), ("critical_s", value(0))].to_vec()),
        (
            "fusion",
            // No family speaks, and one that says nothing is enough for MEDIUM: so every judgement is MEDIUM.
            [
                ("prior_nats", value(20.0)),
                ("family_nats_max", value(0.0)),
                ("speaks_from_nats", value(20.0)),
                ("alone_nats", value(0.0)),
            ]
            .to_vec(),
        ),
    ];
    for (name, keys) in &mut tables {
        let table: Table = keys.drain(..).collect();
        document[*name] = table.into();
    }
    listen_to_tenants(&mut document, &tables.map(|(name, _)| name));
    Policy::parse(&document.to_string()).ok()
}

/// Takes from tenants what would keep a policy from saying all that their detectors say. A cap that its
/// detector reads stays the tenant's: no draft changes it.
fn listen_to_tenants(document: &mut DocumentMut, tables: &[&str]) {
    let tenants = document.get_mut("tenants").and_then(Item::as_table_like_mut);
    for (_, tenant) in tenants.into_iter().flat_map(|tenants| tenants.iter_mut()) {
        let Some(tenant) = tenant.as_table_like_mut() else { continue };
        tables.iter().for_each(|name| drop(tenant.remove(name)));
        let detectors = tenant.get_mut("detectors").and_then(Item::as_table_like_mut);
        for (name, detector) in detectors.into_iter().flat_map(|detectors| detectors.iter_mut()) {
            let is_read = NAMES.iter().position(|known| *known == name.get());
            let is_read = is_read.is_some_and(|at| Knob::Detector(at).is_read());
            if let Some(cap) = detector.get_mut("nats_max").filter(|_| !is_read) {
                *cap = value(f64::from(NATS_MAX_MILLINATS) / 1e3);
            }
        }
    }
}

/// A group of accounts that stand or fall together: a campaign of one world, or one world's accounts of a
/// population.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name of the campaign or population.
    pub name: Arc<str>,
    /// Whether it is a campaign.
    pub is_campaign: bool,
    /// Its accounts.
    pub accounts: u64,
}

impl Group {
    /// What is left out together with it: all campaigns of its kind, or its population in every world.
    pub fn kin(&self) -> &str {
        if self.is_campaign { self.name.split('.').next().unwrap_or(&self.name) } else { &self.name }
    }
}

/// How many of a group are flagged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flagged {
    /// At MEDIUM or above.
    pub medium: u64,
    /// At CRITICAL.
    pub critical: u64,
    /// How near they all are to the wrong side of MEDIUM: what each one's score lacks of [`CLEAR_SCORE`]
    /// beyond it, summed, in millionths.
    pub doubt: u64,
}

/// What a score lacks of being on its right side of MEDIUM by [`CLEAR_SCORE`], in millionths.
fn doubt(score: f64, medium: f64, is_campaign: bool) -> u64 {
    let beyond = if is_campaign { score - medium } else { medium - score };
    ((CLEAR_SCORE - beyond).max(0.0) * 1e6) as u64
}

/// What was heard of all worlds.
#[derive(Debug, Default)]
pub struct Heard {
    /// The groups.
    pub groups: Vec<Group>,
    hearings: Vec<Hearing>,
    /// Judgements that were left out of accounts that had too many.
    pub left_out: u64,
    /// Events.
    pub events: u64,
    /// Worlds.
    pub worlds: u32,
}

#[derive(Debug)]
struct Hearing {
    caps: Caps,
    accounts: Vec<Account>,
}

/// What was heard of an account.
#[derive(Debug)]
struct Account {
    group: usize,
    tenant: Box<str>,
    moments: Moments,
}

impl Heard {
    /// Hears one world by every ear. `make_stages` gives stages that judge by a policy.
    pub fn hear(
        &mut self,
        labelled: &Labelled,
        wire: &Wire,
        ears: &Ears,
        make_stages: impl Fn(&Policy) -> StageFactory,
        layout: Layout,
        mut progress: impl FnMut(u64),
    ) -> Result<(), ReplayError> {
        let mut groups: BTreeMap<(bool, Arc<str>), usize> = BTreeMap::new();
        for (_, account) in labelled.truth.accounts() {
            let (name, is_campaign) = (account.label.clone(), account.label.is_some());
            let name = name.unwrap_or_else(|| account.population());
            let at = *groups.entry((is_campaign, name.clone())).or_insert_with(|| {
                self.groups.push(Group { name, is_campaign, accounts: 0 });
                self.groups.len() - 1
            });
            self.groups[at].accounts += 1;
        }
        for (caps, policy) in &ears.each {
            let mut said: BTreeMap<AccountId, (Box<str>, Moments)> = BTreeMap::new();
            let (mut unreadable, mut left_out) = (None, 0);
            let sorted = labelled.sorted()?;
            fold(sorted, wire, &make_stages(policy), layout, &mut progress, |output| {
                if output.topic != Topic::Verdicts {
                    return;
                }
                match wire.read::<Verdict>(output.payload.as_deref().unwrap_or_default()) {
                    Ok(verdict) => {
                        let new = || (verdict.tenant.as_str().into(), Moments::default());
                        let (_, moments) = said.entry(verdict.account).or_insert_with(new);
                        left_out += u64::from(!moments.take(moment(&verdict)));
                    }
                    Err(error) => unreadable = Some(error),
                }
            })?;
            if let Some(error) = unreadable {
                return Err(error.into());
            }
            self.left_out += left_out;
            let place = |account: &crate::evaluate::truth::Account| {
                let name = account.label.clone().unwrap_or_else(|| account.population());
                groups.get(&(account.label.is_some(), name)).copied()
            };
            let accounts = labelled.truth.accounts().filter_map(|(id, account)| {
                let (group, (tenant, moments)) = (place(account)?, said.remove(id)?);
                Some(Account { group, tenant, moments })
            });
            self.add(caps, accounts.collect());
        }
        self.events += labelled.events;
        self.worlds += 1;
        Ok(())
    }

    fn add(&mut self, caps: &Caps, mut accounts: Vec<Account>) {
        match self.hearings.iter_mut().find(|hearing| hearing.caps == *caps) {
            Some(hearing) => hearing.accounts.append(&mut accounts),
            None => self.hearings.push(Hearing { caps: caps.clone(), accounts }),
        }
    }

    /// How many of each group a draft flags, by the product's own fusion; none where what its detectors would
    /// say was not heard, or it is no policy.
    pub fn judge(&self, bank: &Bank, draft: &Draft) -> Option<Vec<Flagged>> {
        let is_heard = |hearing: &&Hearing| {
            // What is off says nothing, whatever it was heard with.
            hearing.caps.iter().all(|(at, cap)| draft[*at] == 0 || draft[*at] == *cap)
        };
        let hearing = self.hearings.iter().find(is_heard)?;
        let policy = bank.policy(draft)?;
        let mut flagged = vec![Flagged::default(); self.groups.len()];
        for Account { group, tenant, moments } in &hearing.accounts {
            let rules = policy.of(tenant);
            let (tier, score) = moments.judged(rules);
            flagged[*group].doubt += doubt(score, rules.tiers.medium, self.groups[*group].is_campaign);
            flagged[*group].medium += u64::from(tier >= Tier::Medium);
            flagged[*group].critical += u64::from(tier == Tier::Critical);
        }
        Some(flagged)
    }
}

fn moment(verdict: &Verdict) -> Moment {
    let mut moment = [0; COUNT];
    for signal in &verdict.signals {
        if let Some(at) = NAMES.iter().position(|name| *name == signal.detector) {
            moment[at] = signal.millinats;
        }
    }
    moment
}

#[cfg(test)]
pub(super) mod planted {
    //! Worlds made of evidence alone.

    use super::*;

    /// So many accounts of a group, of which each said this, in thousandths.
    pub struct Planted<'p> {
        pub name: &'p str,
        pub is_campaign: bool,
        pub accounts: u64,
        pub tenant: &'p str,
        pub said: &'p [(&'p str, Millinats)],
    }

    /// A world of these groups; what detectors say does not depend on their caps.
    pub fn heard(bank: &Bank, groups: &[Planted<'_>]) -> Heard {
        let mut heard = Heard { worlds: 1, ..Heard::default() };
        for (caps, _) in Ears::of(bank).each {
            let mut accounts = Vec::new();
            for (at, group) in groups.iter().enumerate() {
                let mut moment = [0; COUNT];
                for (name, said) in group.said {
                    moment[NAMES.iter().position(|known| known == name).unwrap()] = *said;
                }
                let mut moments = Moments::default();
                moments.take(moment);
                let account =
                    |_| Account { group: at, tenant: group.tenant.into(), moments: moments.clone() };
                accounts.extend((0..group.accounts).map(account));
            }
            heard.add(&caps, accounts);
        }
        for group in groups {
            let (name, is_campaign, accounts) = (group.name.into(), group.is_campaign, group.accounts);
            heard.groups.push(Group { name, is_campaign, accounts });
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_judgements_those_are_kept_that_no_other_outdoes() {
        let mut moments = Moments::default();
        let of = |first: Millinats, second: Millinats| {
            let mut moment = [0; COUNT];
            (moment[0], moment[1]) = (first, second);
            moment
        };
        for moment in [of(1, 1), of(2, 0), of(1, 0), of(3, 1), of(0, 5), of(3, 1)] {
            assert!(moments.take(moment));
        }
        assert_eq!(moments, Moments(vec![of(3, 1), of(0, 5)]));
        let taken = (0..=MOMENTS_MAX as i32).map(|at| moments.take(of(1_000 - at, 10 * (at + 1))));
        assert_eq!(taken.filter(|taken| !taken).count(), 1);
        assert_eq!(moments.0.len(), MOMENTS_MAX);
    }
}
