//! Shared values as indicators of compromise: told to others once several accounts under judgement
//! rest on one, and again each time their number has doubled.
//!
//! The accounts of one value lie in many partitions, so that no single enforcer task knows them all;
//! the export does, and keeps what it knows in its sidecar.

use crate::limits::{BUNDLE_DETECTORS_MAX, BUNDLE_MEMBERS_MAX, BUNDLE_MEMBERS_MIN, INDICATOR_MEMBERS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use weir_schemas::{ActionState, ClusterRef, Tier, Verdict};

/// Every shared value that is remembered, under its kind and hash.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Indicators {
    values: BTreeMap<String, Indicator>,
}

/// What is known of one shared value. Ids are hex digits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Indicator {
    /// Accounts with a verdict of HIGH or more that rests on the value.
    pub members: BTreeSet<String>,
    /// Accounts that share the value at all, as the cluster stage counted.
    pub shared_by: i64,
    /// First and last event time of those verdicts.
    pub first_ms: i64,
    pub last_ms: i64,
    /// Detectors that spoke in them.
    pub detectors: BTreeSet<String>,
    /// Members when it was last told; 0 where it was not.
    told: usize,
    /// Whether it was told to be shared, or withheld.
    told_to_share: bool,
}

/// What became of an observation.
#[derive(Debug, Default)]
pub(crate) struct Observed<'a> {
    /// Values to tell now.
    pub told: Vec<(ClusterRef, &'a Indicator)>,
    /// Values forgotten to stay within the limit.
    pub forgotten: u64,
}

impl Indicators {
    /// Notes that `verdict` rests on its shared values.
    pub fn observe(&mut self, verdict: &Verdict, state: ActionState) -> Observed<'_> {
        if verdict.tier < Tier::High || verdict.partial {
            return Observed::default();
        }
        let mut due = Vec::new();
        for cluster in &verdict.clusters {
            let indicator = self.values.entry(name(cluster)).or_default();
            indicator.note(verdict, cluster);
            if indicator.is_due(state) && !due.contains(cluster) {
                due.push(cluster.clone());
            }
        }
        let forgotten = self.forget_oldest();
        let told = due.into_iter().filter_map(|cluster| {
            let indicator = self.values.get(&name(&cluster))?;
            Some((cluster, indicator))
        });
        Observed { told: told.collect(), forgotten }
    }

    fn forget_oldest(&mut self) -> u64 {
        let mut members: usize = self.values.values().map(|value| value.members.len()).sum();
        let mut forgotten = 0;
        while members > INDICATOR_MEMBERS_MAX {
            let oldest = self.values.iter().min_by_key(|(name, value)| (value.last_ms, *name));
            let Some(name) = oldest.map(|(name, _)| name.clone()) else { break };
            members -= self.values.remove(&name).map_or(0, |value| value.members.len());
            forgotten += 1;
        }
        forgotten
    }
}

impl Indicator {
    fn note(&mut self, verdict: &Verdict, cluster: &ClusterRef) {
        if self.members.is_empty() {
            (self.first_ms, self.last_ms) = (verdict.time_ms, verdict.time_ms);
        }
        self.first_ms = self.first_ms.min(verdict.time_ms);
        self.last_ms = self.last_ms.max(verdict.time_ms);
        self.shared_by = self.shared_by.max(cluster.members);
        if self.members.len() < BUNDLE_MEMBERS_MAX {
            self.members.insert(verdict.account.to_string());
        }
        for signal in verdict.signals.iter().filter(|signal| signal.millinats > 0) {
            if self.detectors.len() < BUNDLE_DETECTORS_MAX {
                self.detectors.insert(signal.detector.clone());
            }
        }
    }

    /// Whether the value is to be told now; it then counts as told.
    fn is_due(&mut self, state: ActionState) -> bool {
        let members = self.members.len();
        let may_share = state == ActionState::Pending;
        let has_grown = members >= BUNDLE_MEMBERS_MIN && (self.told == 0 || members >= 2 * self.told);
        // What was only withheld so far is told once it may be shared.
        let is_released = self.told > 0 && may_share && !self.told_to_share;
        if has_grown || is_released {
            self.told = members;
            self.told_to_share |= may_share;
        }
        has_grown || is_released
    }
}

fn name(cluster: &ClusterRef) -> String {
    format!("{}/{}", cluster.kind, cluster.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_schemas::{AccountId, LinkKind, ValueHash};

    fn verdict(account: u32, value: u32, tier: Tier) -> Verdict {
        Verdict {
            account: AccountId(u128::from(account).to_be_bytes()),
            tier,
            time_ms: i64::from(value),
            clusters: vec![ClusterRef {
                kind: LinkKind::Payment,
                value: ValueHash(u128::from(value).to_be_bytes()),
                members: 9,
            }],
            ..Verdict::default()
        }
    }

    /// Numbers of members at which a value was told, over `accounts` accounts.
    fn told(accounts: u32, tier: Tier) -> Vec<usize> {
        let mut indicators = Indicators::default();
        let mut told = Vec::new();
        for account in 0..accounts {
            // Twice: the same account again is no new member.
            for _ in 0..2 {
                let observed = indicators.observe(&verdict(account, 1, tier), ActionState::Withheld);
                told.extend(observed.told.iter().map(|(_, indicator)| indicator.members.len()));
            }
        }
        told
    }

    #[test]
    fn a_value_is_told_at_three_accounts_and_whenever_they_double() {
        assert!(told(2, Tier::High).is_empty());
        assert_eq!(told(30, Tier::High), [3, 6, 12, 24]);
    }

    #[test]
    fn accounts_of_a_lower_tier_do_not_make_an_indicator() {
        assert!(told(30, Tier::Medium).is_empty());
    }

    #[test]
    fn what_was_withheld_is_told_again_once_it_may_be_shared() {
        let mut indicators = Indicators::default();
        let mut observe =
            |account, state| indicators.observe(&verdict(account, 1, Tier::High), state).told.len();
        let withheld: Vec<_> = (0..4).map(|account| observe(account, ActionState::Withheld)).collect();
        assert_eq!(withheld, [0, 0, 1, 0]);
        assert_eq!(observe(4, ActionState::Pending), 1);
        assert_eq!(observe(4, ActionState::Pending), 0);
    }

    #[test]
    fn a_huge_campaign_stays_within_its_bound() {
        let told = told(4000, Tier::Critical);
        assert_eq!(told.last(), Some(&BUNDLE_MEMBERS_MAX));
    }

    #[test]
    fn over_the_limit_the_value_seen_longest_ago_is_forgotten_and_counted() {
        let mut indicators = Indicators::default();
        let mut forgotten = 0;
        for value in 0..=(INDICATOR_MEMBERS_MAX as u32) {
            forgotten += indicators.observe(&verdict(1, value, Tier::High), ActionState::Withheld).forgotten;
        }
        assert_eq!(forgotten, 1);
        assert!(!indicators.values.contains_key(&name(&verdict(1, 0, Tier::High).clusters[0])));
        assert_eq!(indicators.values.len(), INDICATOR_MEMBERS_MAX);
    }
}
