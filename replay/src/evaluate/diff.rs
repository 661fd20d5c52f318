//! Who is gained and who is lost when one policy takes another's place, and why.

use super::Judged;
use super::case::{Case, TIERS};
use super::counts::Counts;
use crate::limits::DIFF_REASONS_MAX;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// Accounts whose highest tier is another under the second policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// Names of both policies.
    pub policies: [String; 2],
    /// Accounts, flagged at MEDIUM or above, under both; where there are labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts: Option<[Counts; 2]>,
    /// Accounts that are flagged, or flagged higher, under the second policy only.
    pub gained: Vec<Change>,
    /// Accounts that are no longer flagged, or not as high.
    pub lost: Vec<Change>,
    /// How many of each campaign and population those are.
    pub groups: BTreeMap<String, Group>,
    /// How many accounts are gained and lost, whether or not all are listed.
    pub changed: [u64; 2],
    /// Accounts whose tier is the same under both, CLEAR left out.
    pub same: u64,
    /// Events that were judged.
    pub events: u64,
}

/// An account whose tier changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The account's pseudonym.
    pub account: String,
    /// Its campaign, where it is known to have one.
    pub campaign: Option<String>,
    /// Its population.
    pub population: String,
    /// Its events.
    pub events: u32,
    /// Its highest tier under both policies.
    pub tiers: [&'static str; 2],
    /// Its highest score under both.
    pub scores: [f64; 2],
    /// What detectors contributed that changed most, the largest change first.
    pub reasons: Vec<Reason>,
}

/// A detector's contribution under both policies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reason {
    /// The detector.
    pub detector: String,
    /// What it contributed, where it spoke.
    pub contributions: [Option<f64>; 2],
}

/// How many of a group change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Group {
    /// Accounts of it.
    pub accounts: u64,
    /// Those that are gained.
    pub gained: u64,
    /// Those that are lost.
    pub lost: u64,
}

impl Diff {
    /// What changes from `first` to `second`, two judgements of the same events.
    pub fn of(first: &Judged, second: &Judged, policies: [&str; 2]) -> Self {
        let (mut gained, mut lost, mut same) = (Vec::new(), Vec::new(), 0);
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for (before, after) in first.cases.iter().zip(&second.cases) {
            let group = groups.entry(group_of(before)).or_default();
            group.accounts += 1;
            let (from, to) = (before.tier(), after.tier());
            if from < to {
                group.gained += 1;
                gained.push(Change::of(before, after));
            } else if to < from {
                group.lost += 1;
                lost.push(Change::of(before, after));
            } else if to >= TIERS[0] {
                same += 1;
            }
        }
        groups.retain(|_, group| group.gained + group.lost > 0);
        let is_labelled = first.cases.iter().any(|case| case.label.is_some());
        let counts = |judged: &Judged| {
            let mut counts = Counts::default();
            judged.cases.iter().for_each(|case| counts.add(case.label.is_some(), case.is_flagged(0), 1));
            counts
        };
        Self {
            policies: policies.map(str::to_owned),
            accounts: is_labelled.then(|| [counts(first), counts(second)]),
            changed: [gained.len() as u64, lost.len() as u64],
            gained,
            lost,
            groups,
            same,
            events: first.events,
        }
    }
}

fn group_of(case: &Case) -> String {
    case.label.as_ref().unwrap_or(&case.population).to_string()
}

impl Change {
    fn of(before: &Case, after: &Case) -> Self {
        let mut reasons: BTreeMap<&str, [Option<f64>; 2]> = BTreeMap::new();
        for (side, case) in [before, after].into_iter().enumerate() {
            for (detector, contribution) in &case.signals {
                reasons.entry(detector).or_default()[side] = Some(*contribution);
            }
        }
        let mut reasons: Vec<Reason> = reasons
            .into_iter()
            .map(|(detector, contributions)| Reason { detector: detector.to_owned(), contributions })
            .filter(|reason| reason.change() > 1e-9)
            .collect();
        reasons.sort_by(|one, other| other.change().total_cmp(&one.change()));
        reasons.truncate(DIFF_REASONS_MAX);
        Self {
            account: before.account.to_string(),
            campaign: before.label.as_deref().map(str::to_owned),
            population: before.population.to_string(),
            events: before.events,
            tiers: [before.tier().as_str(), after.tier().as_str()],
            scores: [before.score, after.score],
            reasons,
        }
    }
}

impl Reason {
    fn change(&self) -> f64 {
        let [before, after] = self.contributions.map(|contribution| contribution.unwrap_or(0.0));
        (after - before).abs()
    }
}

impl Display for Diff {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let [first, second] = &self.policies;
        writeln!(out, "from {first} to {second}, on {} events", self.events)?;
        let [gained, lost] = self.changed;
        writeln!(out, "gained {gained}, lost {lost}, the same {}", self.same)?;
        if let Some([before, after]) = &self.accounts {
            let (from, to) = (before.precision(), after.precision());
            writeln!(
                out,
                "precision {from:.4} to {to:.4}, recall {:.4} to {:.4}",
                before.recall(),
                after.recall()
            )?;
        }
        if !self.groups.is_empty() {
            writeln!(out, "\n{:<28} {:>9} {:>9} {:>9}", "group", "accounts", "gained", "lost")?;
        }
        for (name, Group { accounts, gained, lost }) in &self.groups {
            writeln!(out, "{name:<28} {accounts:>9} {gained:>9} {lost:>9}")?;
        }
        for (title, changes) in [("gained", &self.gained), ("lost", &self.lost)] {
            for change in changes {
                let [from, to] = change.tiers;
                let [before, after] = change.scores;
                let whose = change.campaign.as_ref().unwrap_or(&change.population);
                writeln!(out, "\n{title} {} {whose}: {from} {before:.3} to {to} {after:.3}", change.account)?;
                for Reason { detector, contributions } in &change.reasons {
                    let [before, after] = contributions.map(said);
                    writeln!(out, "    {detector:<20} {before:>8} to {after:>8}")?;
                }
            }
        }
        Ok(())
    }
}

fn said(contribution: Option<f64>) -> String {
    contribution.map_or_else(|| "silent".into(), |contribution| format!("{contribution:.3}"))
}
