//! What tuning came to, for a terminal and as JSON.

use super::folds::{Fold, pooled};
use super::knob::{Bank, Draft};
use super::score::Score;
use crate::evaluate::counts::Counts;
use crate::evaluate::diff::Diff;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A better policy, which a real evaluation confirmed.
    Better,
    /// None was found that is better on all of the data within the bounds.
    NothingBetter,
    /// What is better on all of the data is worse on what folds left out: it was learnt by heart.
    NotGeneral,
    /// A real evaluation did not confirm it.
    NotConfirmed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Better => "a better policy",
            Self::NothingBetter => "nothing better within the bounds",
            Self::NotGeneral => "what is better here is worse on what folds left out: nothing was written",
            Self::NotConfirmed => "an evaluation did not confirm what was better: nothing was written",
        }
    }
}

/// A number that changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Its name in the policy.
    pub key: String,
    /// As it is in force; 0 of a detector that is off.
    pub from: f64,
    /// As it would be.
    pub to: f64,
}

/// What tuning came to. Its JSON is an interface: keys are added, never changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What came of it.
    pub outcome: Outcome,
    /// Name of the policy in force.
    pub policy: String,
    /// The numbers that change.
    pub changes: Vec<Change>,
    /// All accounts, flagged at MEDIUM or above, under the policy in force and under the candidate.
    pub accounts: [Counts; 2],
    /// Campaigns that are found, under both.
    pub campaigns_found: [u64; 2],
    /// Campaigns that the candidate loses, and honest accounts above what their populations allow: why
    /// nothing was found, where it is for that.
    pub campaigns_lost: u64,
    /// See above; of the policy in force and of the candidate.
    pub excess: [u64; 2],
    /// The folds.
    pub folds: Vec<Fold>,
    /// What they come to on what each left out.
    pub left_out: [Counts; 2],
    /// Who is gained and lost, by a real evaluation; none where there was no candidate to evaluate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<Diff>,
    /// Policies that were tried.
    pub tried: u64,
    /// Whether the search ended because enough had been tried.
    pub is_spent: bool,
    /// Worlds.
    pub worlds: u32,
    /// Events.
    pub events: u64,
    /// Judgements of accounts with too many that were left out of the search, though not of the evaluation.
    pub moments_left_out: u64,
    /// Seed.
    pub seed: u64,
}

/// The numbers that a draft changes.
pub(super) fn changes(bank: &Bank, draft: &Draft) -> Vec<Change> {
    let natural = |thousandths: i32| f64::from(thousandths) / 1e3;
    let change = |(knob, from, to): (super::knob::Knob, i32, i32)| Change {
        key: knob.name(),
        from: natural(from),
        to: natural(to),
    };
    bank.changes(draft).map(change).collect()
}

impl Report {
    /// Whether a candidate is to be written.
    pub fn is_better(&self) -> bool {
        self.outcome == Outcome::Better
    }

    pub(super) fn set(&mut self, in_force: &Score, candidate: &Score) {
        self.accounts = [in_force.counts, candidate.counts];
        self.campaigns_found = [in_force.found, candidate.found];
        self.campaigns_lost = candidate.lost;
        self.excess = [in_force.excess, candidate.excess];
    }

    pub(super) fn fold(&mut self, folds: Vec<Fold>) {
        self.left_out = pooled(&folds);
        self.folds = folds;
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.outcome.as_str())?;
        let ended = if self.is_spent { ", and no more were allowed" } else { "" };
        writeln!(
            out,
            "policy      {}\ntried       {} policies on {} events of {} worlds, seed {}{ended}",
            self.policy, self.tried, self.events, self.worlds, self.seed
        )?;
        let [from, to] = self.campaigns_found;
        writeln!(out, "campaigns   {from} found, {to} with the candidate, {} lost", self.campaigns_lost)?;
        let [from, to] = self.excess;
        writeln!(out, "over caps   {from} honest accounts, {to} with the candidate")?;
        writeln!(out, "\n{:<32} {:>9} {:>9}", "changes", "from", "to")?;
        for Change { key, from, to } in &self.changes {
            writeln!(out, "{key:<32} {:>9} {:>9}", number(key, *from), number(key, *to))?;
        }
        if self.changes.is_empty() {
            writeln!(out, "none")?;
        }
        let head =
            ["precision", "to", "recall", "to", "honest", "to"].map(|name| format!(" {name:>9}")).concat();
        writeln!(out, "\n{:<40}{head}", "accounts")?;
        row(out, "all", &self.accounts)?;
        if self.folds.is_empty() && self.outcome != Outcome::NothingBetter {
            writeln!(out, "nothing could be left out: neither two kinds of campaigns nor two populations")?;
        } else if !self.folds.is_empty() {
            row(out, "left out, together", &self.left_out)?;
        }
        for fold in &self.folds {
            let names: Vec<&str> =
                [&fold.campaign, &fold.population].into_iter().flatten().map(String::as_str).collect();
            row(out, &format!("without {}", names.join(", ")), &fold.accounts)?;
        }
        match &self.diff {
            Some(diff) => write!(out, "\n{diff}"),
            None => Ok(()),
        }
    }
}

fn number(key: &str, value: f64) -> String {
    if value == 0.0 && key.starts_with("detectors.") { "off".into() } else { value.to_string() }
}

fn row(out: &mut Formatter<'_>, name: &str, [before, after]: &[Counts; 2]) -> fmt::Result {
    writeln!(
        out,
        "{name:<40} {:>9.4} {:>9.4} {:>9.4} {:>9.4} {:>9} {:>9}",
        before.precision(),
        after.precision(),
        before.recall(),
        after.recall(),
        before.fp,
        after.fp
    )
}
