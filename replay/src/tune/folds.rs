//! Cross-validation: each fold leaves out one kind of campaign and one honest population, tunes on the rest,
//! and is counted on what it left out.

use super::evidence::Group;
use super::score::{Bounds, Score};
use super::search::{Judge, Search};
use crate::evaluate::counts::Counts;
use crate::limits::FOLDS_MAX;
use serde::Serialize;
use std::collections::BTreeSet;

/// What came of a fold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fold {
    /// The kind of campaign that was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// The population that was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub population: Option<String>,
    /// What the policy in force, and what the fold's candidate, flag of them.
    pub accounts: [Counts; 2],
    /// Campaigns of them that the policy in force finds and the fold's candidate does not.
    pub campaigns_lost: u64,
    /// Honest accounts of them above what their population allows.
    pub excess: u64,
}

/// What each fold leaves out: as many as there are kinds of campaigns or populations, whichever are more, and
/// no more than [`FOLDS_MAX`]. Each of those is left out once, and nothing where there is no other to learn
/// from.
pub fn plan(groups: &[Group]) -> Vec<[Option<String>; 2]> {
    let kin_of = |is_campaign: bool| {
        let kin: BTreeSet<&str> =
            groups.iter().filter(|group| group.is_campaign == is_campaign).map(Group::kin).collect();
        let kin: Vec<String> = kin.into_iter().map(str::to_owned).collect();
        if kin.len() < 2 { Vec::new() } else { kin }
    };
    let (campaigns, populations) = (kin_of(true), kin_of(false));
    let count = campaigns.len().max(populations.len()).min(FOLDS_MAX);
    let at = |kin: &[String], fold: usize| kin.get(fold).cloned();
    (0..count).map(|fold| [at(&campaigns, fold), at(&populations, fold)]).collect()
}

impl Fold {
    /// Tunes without these, and counts on them.
    pub fn run(
        [campaign, population]: [Option<String>; 2],
        judge: &mut Judge<'_>,
        groups: &[Group],
        search: &Search<'_>,
    ) -> Self {
        let left_out: Vec<(bool, String)> = [(true, &campaign), (false, &population)]
            .into_iter()
            .filter_map(|(is, name)| Some((is, name.clone()?)))
            .collect();
        let draft = Search { left_out: &left_out, ..*search }.run(judge);
        let flagged = judge.flagged(&draft);
        let candidate = flagged.as_deref().unwrap_or(search.in_force);
        let is_left_out = |group: &Group| {
            left_out.iter().any(|(is_campaign, kin)| *is_campaign == group.is_campaign && kin == group.kin())
        };
        let bounds: &Bounds = search.bounds;
        let of = |flagged| Score::of(groups, flagged, search.in_force, bounds, is_left_out);
        let (before, after) = (of(search.in_force), of(candidate));
        Self {
            campaign,
            population,
            accounts: [before.counts, after.counts],
            campaigns_lost: after.lost,
            excess: after.excess,
        }
    }
}

/// What all folds come to on what each left out, under the policy in force and under their candidates.
pub fn pooled(folds: &[Fold]) -> [Counts; 2] {
    [0, 1].map(|side| {
        let mut sum = Counts::default();
        for Counts { tp, fp, fn_, tn } in folds.iter().map(|fold| fold.accounts[side]) {
            sum.tp += tp;
            sum.fp += fp;
            sum.fn_ += fn_;
            sum.tn += tn;
        }
        sum
    })
}
