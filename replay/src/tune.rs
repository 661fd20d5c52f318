//! Another policy's numbers, tried on traffic whose truth is known, within bounds.
//!
//! [`evidence`] hears once what every detector says of every account; [`knob`] says which numbers may change;
//! [`search`] tries drafts by the product's own fusion over what was heard; [`folds`] says what that is worth
//! on campaigns and populations that it has not seen. What is found is confirmed by an evaluation before it
//! counts: [`Tuning::confirm`].

pub mod evidence;
pub mod folds;
pub mod knob;
pub mod report;
pub mod score;
pub mod search;

use crate::evaluate::Judged;
use crate::evaluate::case::{Case, TIERS};
use crate::evaluate::counts::Counts;
use crate::evaluate::diff::Diff;
use evidence::{Flagged, Group, Heard};
use folds::Fold;
use knob::{Bank, Draft};
use report::{Outcome, Report};
use score::{Bounds, Score};
use search::{Judge, Search};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_processor::policy::Policy;

/// What tuning is given besides what was heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What a candidate may not do.
    pub bounds: Bounds,
    /// Seed of the random part of the search.
    pub seed: u64,
    /// Most policies that are tried.
    pub tried_max: usize,
}

/// A search that has ended, and what it found.
pub struct Tuning<'t> {
    bank: &'t Bank,
    bounds: Bounds,
    draft: Draft,
    /// What is known so far.
    pub report: Report,
}

/// Searches. `progress` is told of every policy that is tried.
pub fn tune<'t>(
    heard: &Heard,
    policy: &Policy,
    bank: &'t Bank,
    options: &Options,
    progress: &mut dyn FnMut(u64),
) -> Tuning<'t> {
    let mut judge = Judge::new(heard, bank, options.tried_max, progress);
    let mut report = Report {
        outcome: Outcome::NothingBetter,
        policy: policy.version.clone(),
        changes: Vec::new(),
        accounts: [Counts::default(); 2],
        campaigns_found: [0; 2],
        campaigns_lost: 0,
        excess: [0; 2],
        folds: Vec::new(),
        left_out: [Counts::default(); 2],
        diff: None,
        tried: 0,
        is_spent: false,
        worlds: heard.worlds,
        events: heard.events,
        moments_left_out: heard.left_out,
        seed: options.seed,
    };
    let in_force =
        judge.flagged(&bank.origin).unwrap_or_else(|| vec![Flagged::default(); heard.groups.len()].into());
    let bounds = &options.bounds;
    let search = Search { bounds, in_force: &in_force, left_out: &[], seed: options.seed };
    let draft = search.run(&mut judge);
    let of = |flagged: &[Flagged]| Score::of(&heard.groups, flagged, &in_force, bounds, |_| true);
    let flagged = judge.flagged(&draft);
    let (before, after) = (of(&in_force), of(flagged.as_deref().unwrap_or(&in_force)));
    report.set(&before, &after);
    // What only makes things clearer is no reason to change a policy.
    let is_better = after.compare(&before) == Ordering::Greater;
    report.changes = if is_better { report::changes(bank, &draft) } else { Vec::new() };
    if is_better && after.is_allowed() {
        let plan = folds::plan(&heard.groups);
        report.is_spent = judge.is_spent();
        let run = |left_out| {
            judge.allow(options.tried_max);
            let fold = Fold::run(left_out, &mut judge, &heard.groups, &search);
            report.is_spent |= judge.is_spent();
            fold
        };
        let folds: Vec<Fold> = plan.into_iter().map(run).collect();
        let [lost, excess] =
            [folds.iter().map(|fold| fold.campaigns_lost).sum(), folds.iter().map(|fold| fold.excess).sum()];
        report.fold(folds);
        let [before, after] = report.left_out.map(|counts| Score { counts, ..Score::default() });
        let after = Score { lost, excess, ..after };
        let is_general = after.compare(&before) != Ordering::Less;
        report.outcome = if is_general { Outcome::Better } else { Outcome::NotGeneral };
    }
    report.tried = judge.judged() as u64;
    report.is_spent |= judge.is_spent();
    Tuning { bank, bounds: bounds.clone(), draft, report }
}

impl Tuning<'_> {
    /// The text of the candidate under this name; none where there is none.
    pub fn candidate(&self, version: &str) -> Option<String> {
        self.report.is_better().then(|| self.bank.text(&self.draft, Some(version)))
    }

    /// Holds the candidate against a real evaluation of it and of the policy in force on the same events: it
    /// must do there what the search said, or it is none.
    pub fn confirm(&mut self, in_force: &Judged, candidate: &Judged, versions: [&str; 2]) {
        let groups = groups_of(&in_force.cases);
        let count = |judged: &Judged| {
            let mut flagged: BTreeMap<_, Flagged> =
                groups.keys().map(|key| (key.clone(), Flagged::default())).collect();
            for case in &judged.cases {
                let sums = flagged.entry(key_of(case)).or_default();
                sums.medium += u64::from(case.is_flagged(0));
                sums.critical += u64::from(case.is_flagged(TIERS.len() - 1));
            }
            flagged.into_values().collect::<Vec<_>>()
        };
        let (before, after) = (count(in_force), count(candidate));
        let groups: Vec<Group> = groups.into_values().collect();
        let of = |flagged: &[Flagged]| Score::of(&groups, flagged, &before, &self.bounds, |_| true);
        let (before, after) = (of(&before), of(&after));
        self.report.set(&before, &after);
        if !after.is_allowed() || after.compare(&before) != Ordering::Greater {
            self.report.outcome = Outcome::NotConfirmed;
        }
        self.report.diff = Some(Diff::of(in_force, candidate, versions));
    }
}

/// A group of one run: the run, whether it is a campaign, and its name.
type Key = (u32, bool, Arc<str>);

fn key_of(case: &Case) -> Key {
    let name = case.label.clone().unwrap_or_else(|| case.population.clone());
    (case.run, case.label.is_some(), name)
}

fn groups_of(cases: &[Case]) -> BTreeMap<Key, Group> {
    let mut groups = BTreeMap::new();
    for case in cases {
        let key = key_of(case);
        let (is_campaign, name) = (key.1, key.2.clone());
        let group = groups.entry(key).or_insert(Group { name, is_campaign, accounts: 0 });
        group.accounts += 1;
    }
    groups
}

#[cfg(test)]
mod tests;
