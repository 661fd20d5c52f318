//! How often what was said of a probability is true.

use super::case::Case;
use super::counts::Interval;
use serde::Serialize;

/// Bins of equal width.
const BINS: usize = 20;

/// Between these the error is taken: beyond them a few accounts would decide it.
const LOW: f64 = 0.05;
const HIGH: f64 = 0.95;

/// Accounts by the probability that was said of them; those of whom nothing was said are left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reliability {
    /// How far the share of campaign accounts is from what was said, on average over the accounts between
    /// 0.05 and 0.95.
    pub error: f64,
    /// Accounts between them.
    pub accounts: u64,
    /// Bins that have accounts.
    pub bins: Vec<Bin>,
}

/// Accounts of whom about the same was said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bin {
    /// What was said of them, on average.
    pub probability: f64,
    /// Share of them that belong to campaigns, and its interval.
    #[serde(flatten)]
    pub campaigns: Interval,
    /// How many they are.
    pub accounts: u64,
    /// How many of them belong to campaigns.
    pub campaign_accounts: u64,
}

impl Reliability {
    /// The reliability of what was said of these.
    pub fn of(cases: &[Case]) -> Self {
        let mut sums = [(0.0, 0_u64, 0_u64); BINS];
        for case in cases.iter().filter(|case| case.probability > 0.0) {
            let bin = &mut sums[((case.probability * BINS as f64) as usize).min(BINS - 1)];
            *bin = (bin.0 + case.probability, bin.1 + u64::from(case.label.is_some()), bin.2 + 1);
        }
        let filled = sums.iter().filter(|(_, _, accounts)| *accounts > 0);
        let bins: Vec<Bin> = filled
            .map(|(sum, campaign, accounts)| Bin {
                probability: sum / *accounts as f64,
                campaigns: Interval::of(*campaign, *accounts),
                accounts: *accounts,
                campaign_accounts: *campaign,
            })
            .collect();
        let between = bins.iter().filter(|bin| (LOW..HIGH).contains(&bin.probability));
        let (off, accounts) = between.fold((0.0, 0), |(off, accounts), bin| {
            (
                off + (bin.probability - bin.campaigns.share).abs() * bin.accounts as f64,
                accounts + bin.accounts,
            )
        });
        Self { error: if accounts == 0 { 0.0 } else { off / accounts as f64 }, accounts, bins }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::case::Outcome;
    use crate::evaluate::truth::Truth;
    use weir_schemas::{AccountId, Verdict};

    #[test]
    fn what_was_said_is_held_against_what_was_true() {
        let mut truth = Truth::default();
        // Of four of whom 0.32 was said one belongs to a campaign, and both of whom 0.99 was said; of one
        // nothing was said.
        let said = [
            (0.32, false),
            (0.32, false),
            (0.32, true),
            (0.32, false),
            (0.99, true),
            (0.99, true),
            (0.0, true),
        ];
        for (number, (_, is_campaign)) in said.iter().enumerate() {
            truth.add(
                AccountId([number as u8; 16]),
                1_000,
                is_campaign.then_some("hydra"),
                Some("chat"),
                None,
            );
        }
        let cases: Vec<Case> = truth
            .accounts()
            .map(|(id, account)| {
                let (probability, _) = said[usize::from(id.0[0])];
                let mut outcome = Outcome::default();
                outcome.add(&Verdict { account: *id, probability, ..Verdict::default() });
                Case::of(*id, account, Some(&outcome), None, &truth)
            })
            .collect();
        let reliability = Reliability::of(&cases);
        assert!((reliability.error - 0.07).abs() < 1e-9, "{reliability:?}");
        assert_eq!(reliability.accounts, 4, "beyond 0.95 nothing counts for the error");
        let bins: Vec<_> =
            reliability.bins.iter().map(|bin| (bin.campaign_accounts, bin.accounts, bin.campaigns)).collect();
        assert_eq!(bins, [(1, 4, Interval::of(1, 4)), (2, 2, Interval::of(2, 2))]);
    }
}
