//! How accounts were put together: which campaign of the truth became which campaign of the judge.

use super::case::Case;
use super::counts::share;
use serde::Serialize;
use std::collections::BTreeMap;
use weir_schemas::CampaignId;

/// A campaign that was assembled: the run, and its id.
type Assembled = (u32, CampaignId);

/// What came of all campaigns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Default)]
pub struct Assembly {
    /// Campaigns that were assembled.
    pub campaigns: u64,
    /// Campaigns of the truth whose flagged accounts are all in one of them, which has nobody else in it.
    pub whole: u64,
    /// Those whose accounts are in more than one.
    pub split: u64,
    /// Assembled campaigns with accounts of more than one campaign of the truth.
    pub merged: u64,
    /// Honest accounts in any of them.
    pub honest: u64,
}

/// How one campaign of the truth was put together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Default)]
pub struct Put {
    /// Its accounts that are in the campaign that has most of them.
    pub together: u64,
    /// Campaigns that have accounts of it.
    pub campaigns: u64,
    /// Share of its own accounts in the one that has most of them; 0 where none has any.
    pub purity: f64,
}

/// Cases by the campaign that they were put into.
pub(super) struct Groups<'c>(BTreeMap<Assembled, Vec<&'c Case>>);

impl<'c> Groups<'c> {
    pub(super) fn of(cases: &'c [Case]) -> Self {
        let mut groups: BTreeMap<Assembled, Vec<&Case>> = BTreeMap::new();
        for case in cases {
            if let Some(id) = case.assembled {
                groups.entry((case.run, id)).or_default().push(case);
            }
        }
        Self(groups)
    }

    /// How a campaign with these accounts was put together.
    pub(super) fn put(&self, members: &[&Case]) -> Put {
        let mut counts: BTreeMap<Assembled, u64> = BTreeMap::new();
        for case in members {
            if let Some(id) = case.assembled {
                *counts.entry((case.run, id)).or_default() += 1;
            }
        }
        let most = counts.iter().max_by_key(|(_, count)| **count);
        most.map_or_else(Put::default, |(id, together)| Put {
            together: *together,
            campaigns: counts.len() as u64,
            purity: share(*together, self.0.get(id).map_or(0, Vec::len) as u64),
        })
    }

    /// What came of all, of which these are the campaigns of the truth: how many accounts of each were
    /// flagged, and how it was put together.
    pub(super) fn assembly(&self, truth: impl Iterator<Item = (u64, Put)>) -> Assembly {
        let labels = |group: &[&Case]| {
            let mut labels: Vec<_> = group.iter().filter_map(|case| case.label.as_deref()).collect();
            labels.sort_unstable();
            labels.dedup();
            labels.len()
        };
        let mut assembly = Assembly {
            campaigns: self.0.len() as u64,
            merged: self.0.values().filter(|group| labels(group) > 1).count() as u64,
            honest: self.0.values().flatten().filter(|case| case.label.is_none()).count() as u64,
            ..Assembly::default()
        };
        for (flagged, put) in truth {
            let is_one = put.campaigns == 1 && put.purity >= 1.0;
            assembly.whole += u64::from(is_one && put.together == flagged);
            assembly.split += u64::from(put.campaigns > 1);
        }
        assembly
    }
}
