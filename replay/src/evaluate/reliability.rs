//! How often what was said of a probability is true.

use super::case::Case;
use super::counts::share;
use serde::Serialize;

/// Bins of equal width.
const BINS: usize = 20;

/// Between these the error is taken: beyond them a few accounts would decide it.
const LOW: f64 = 0.05;
const HIGH: f64 = 0.95;

/// Accounts by the probability that was said of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reliability {
    /// How far the share of campaign accounts is from what was said, on average over the accounts between 0.05 and 0.95.
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
    /// Share of them that belong to campaigns.
    pub share: f64,
    /// How many they are.
    pub accounts: u64,
}

impl Reliability {
    /// The reliability of what was said of these.
    pub fn of(cases: &[Case]) -> Self {
        let mut sums = [(0.0, 0_u64, 0_u64); BINS];
        for case in cases {
            let bin = &mut sums[((case.probability * BINS as f64) as usize).min(BINS - 1)];
            *bin = (bin.0 + case.probability, bin.1 + u64::from(case.label.is_some()), bin.2 + 1);
        }
        let filled = sums.iter().filter(|(_, _, accounts)| *accounts > 0);
        let bins: Vec<Bin> = filled
            .map(|(sum, campaign, accounts)| Bin {
                probability: sum / *accounts as f64,
                share: share(*campaign, *accounts),
                accounts: *accounts,
            })
            .collect();
        let between = bins.iter().filter(|bin| (LOW..HIGH).contains(&bin.probability));
        let (off, accounts) = between.fold((0.0, 0), |(off, accounts), bin| {
            (off + (bin.probability - bin.share).abs() * bin.accounts as f64, accounts + bin.accounts)
        });
        Self { error: if accounts == 0 { 0.0 } else { off / accounts as f64 }, accounts, bins }
    }
}
