//! The report for a terminal.

use super::assembly::{Assembly, Put};
use super::counts::{Counts, Interval, share};
use super::report::Report;
use std::fmt::{self, Display, Formatter};

/// Countries with fewer honest accounts are left out of the gap.
const COUNTRY_ACCOUNTS_MIN: u64 = 50;

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Counts { tp, fp, fn_, tn } = self.accounts;
        writeln!(out, "policy     {}", self.policy)?;
        writeln!(
            out,
            "events     {} of {} accounts in {:.1} s",
            self.events,
            tp + fp + fn_ + tn,
            self.seconds
        )?;
        if self.runs > 1 {
            writeln!(out, "runs       {}", self.runs)?;
        }
        if self.refused > 0 {
            writeln!(out, "refused    {} lines and events", self.refused)?;
        }
        if tp + fp > 0 {
            writeln!(out, "precision  {}", interval(self.intervals.precision, tp, tp + fp))?;
        } else {
            writeln!(out, "precision  nobody was flagged")?;
        }
        if tp + fn_ > 0 {
            let (found, all) = self.campaigns_found();
            writeln!(out, "recall     {}", interval(self.intervals.recall, tp, tp + fn_))?;
            writeln!(out, "f1         {:.4}", self.accounts.f1())?;
            writeln!(out, "campaigns  {found} of {all} found")?;
        }
        let Assembly { campaigns, whole, split, merged, honest } = self.assembly;
        if campaigns > 0 {
            writeln!(
                out,
                "assembled  {campaigns}: {whole} whole and pure, {split} scattered, {merged} of several; {honest} honest \
                 accounts in them"
            )?;
        }
        writeln!(out, "fpr        {}", interval(self.intervals.fpr, fp, fp + tn))?;
        writeln!(
            out,
            "countries  {:.4} between the best and the worst",
            self.country_gap(COUNTRY_ACCOUNTS_MIN)
        )?;
        for (tier, counts) in &self.tiers {
            let (precision, recall) = (counts.precision(), counts.recall());
            writeln!(out, "{tier:<10} precision {precision:.4}  recall {recall:.4}  honest {}", counts.fp)?;
        }
        let head = ["accounts", "flagged", "share", "together", "purity", "$ a 1,000"]
            .map(|name| format!(" {name:>9}"))
            .concat();
        writeln!(out, "\n{:<28}{head}  requests before", "campaign")?;
        for (name, campaign) in &self.campaigns {
            let (flagged, all) = (campaign.flagged, campaign.accounts);
            let dollars =
                campaign.dollars_per_thousand.map_or_else(String::new, |dollars| format!("{dollars:.2}"));
            let before = campaign.requests_before_first_action_median;
            let before = before.map_or_else(|| "-".to_owned(), |before| format!("{before}"));
            let share = share(flagged, all);
            let Put { together, purity, .. } = campaign.assembled;
            writeln!(
                out,
                "{name:<28} {all:>9} {flagged:>9} {share:>9.3} {together:>9} {purity:>9.3} {dollars:>9}  {before}"
            )?;
        }
        writeln!(
            out,
            "\n{:<28} {:>8} {:>8} {:>8}  {:>8}",
            "population", "accounts", "flagged", "share", "critical"
        )?;
        for (name, population) in &self.populations {
            let flagged = share(population.flagged, population.accounts);
            let (accounts, critical) = (population.accounts, population.critical);
            writeln!(
                out,
                "{name:<28} {accounts:>8} {:>8} {flagged:>8.3}  {critical:>8}",
                population.flagged
            )?;
        }
        writeln!(out, "\n{:<28} {:>8} {:>8}  {:>8}", "detector speaks of", "campaign", "honest", "mean")?;
        for (name, detector) in &self.detectors {
            let (campaign, honest, mean) = (detector.campaign, detector.honest, detector.contribution);
            writeln!(out, "{name:<28} {campaign:>8} {honest:>8}  {mean:>8.3}")?;
        }
        if let Some(reliability) = &self.reliability {
            writeln!(
                out,
                "\nprobability said, off by {:.4} on average over the {} accounts between 0.05 and 0.95",
                reliability.error, reliability.accounts
            )?;
            for bin in &reliability.bins {
                let campaigns = interval(bin.campaigns, bin.campaign_accounts, bin.accounts);
                writeln!(out, "{:<10.4} of campaigns {campaigns}", bin.probability)?;
            }
        }
        if !self.ablation.is_empty() {
            writeln!(out, "\n{:<28} {:>9} {:>8}  campaigns lost", "without", "precision", "recall")?;
        }
        for ablation in &self.ablation {
            let (precision, recall) = (ablation.accounts.precision(), ablation.accounts.recall());
            let lost = ablation.campaigns_lost.join(", ");
            writeln!(out, "{:<28} {precision:>9.4} {recall:>8.4}  {lost}", ablation.without)?;
        }
        Ok(())
    }
}

fn interval(interval: Interval, part: u64, whole: u64) -> String {
    format!("{:.4} ({:.4} to {:.4}; {part} of {whole})", interval.share, interval.low, interval.high)
}
