//! How good a draft is on some of the groups: first by what it may not do, then by how many it gets right.

use super::evidence::{Flagged, Group};
use crate::evaluate::counts::Counts;
use crate::limits::CLEARER_PERMILLE_MIN;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What a candidate may not do.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// The largest share of a population that may be flagged at MEDIUM or above.
    pub fpr_max: f64,
    /// The same for populations that have one of their own.
    pub fpr_max_of: BTreeMap<String, f64>,
}

impl Bounds {
    /// How many of so many accounts of a population may be flagged.
    fn flagged_max(&self, population: &str, accounts: u64) -> u64 {
        let share = self.fpr_max_of.get(population).unwrap_or(&self.fpr_max);
        (share * accounts as f64 + 1e-9) as u64
    }
}

/// A draft's merit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Score {
    /// Campaigns that the policy in force finds and the draft does not.
    pub lost: u64,
    /// Honest accounts above what their populations allow, at MEDIUM or above, and above those of the policy
    /// in force at CRITICAL.
    pub excess: u64,
    /// Accounts at MEDIUM or above.
    pub counts: Counts,
    /// Campaigns that are found.
    pub found: u64,
    /// How near all are to the wrong side: see [`Flagged::doubt`].
    pub doubt: u64,
}

impl Score {
    /// Counts what a draft flags of the groups that `is_in` takes, against what the policy in force flags.
    pub fn of(
        groups: &[Group],
        flagged: &[Flagged],
        in_force: &[Flagged],
        bounds: &Bounds,
        is_in: impl Fn(&Group) -> bool,
    ) -> Self {
        let mut score = Self::default();
        let mut populations: BTreeMap<&str, [u64; 4]> = BTreeMap::new();
        for ((group, now), before) in groups.iter().zip(flagged).zip(in_force) {
            if !is_in(group) {
                continue;
            }
            score.doubt += now.doubt;
            score.counts.add(group.is_campaign, true, now.medium);
            score.counts.add(group.is_campaign, false, group.accounts - now.medium);
            if group.is_campaign {
                let is_found = |flagged: &Flagged| 2 * flagged.medium >= group.accounts;
                score.found += u64::from(is_found(now));
                score.lost += u64::from(is_found(before) && !is_found(now));
            } else {
                let sums = populations.entry(&group.name).or_default();
                let more = [group.accounts, now.medium, now.critical, before.critical];
                sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
        }
        for (population, [accounts, medium, critical, critical_before]) in populations {
            score.excess += medium.saturating_sub(bounds.flagged_max(population, accounts));
            score.excess += critical.saturating_sub(critical_before);
        }
        score
    }

    /// Whether it does nothing that it may not.
    pub fn is_allowed(&self) -> bool {
        self.lost == 0 && self.excess == 0
    }

    /// Which is better: what does less that it may not, then by F1, then by campaigns found.
    pub fn compare(&self, other: &Self) -> Ordering {
        let wrong = |score: &Self| score.lost + score.excess;
        let f1 = |score: &Self| {
            let Counts { tp, fp, fn_, .. } = score.counts;
            (u128::from(2 * tp), u128::from((2 * tp + fp + fn_).max(1)))
        };
        let ((one, whole), (another, other_whole)) = (f1(self), f1(other));
        wrong(other)
            .cmp(&wrong(self))
            .then((one * other_whole).cmp(&(another * whole)))
            .then(self.found.cmp(&other.found))
    }

    /// Whether nobody is judged worse, and all together are clearer by something worth a change.
    pub fn is_clearer(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Equal
            && self.doubt.saturating_mul(1_000) < other.doubt.saturating_mul(1_000 - CLEARER_PERMILLE_MIN)
    }
}
