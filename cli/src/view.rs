//! What a person at the terminal sees of a run: verdicts as they fall, campaigns as they form, progress, and
//! a summary.

use crate::output;
use crate::status::{Sensing, Status};
use crate::times::second_of;
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use weir_replay::digest::VerdictDigest;
use weir_schemas::wire::{Wire, WireError};
use weir_schemas::{AccountId, Campaign, CampaignId, CampaignStatus, Tier, Verdict};
use weir_topology::limits::{READ_BYTES_MAX, READ_RECORDS_MAX};
use weir_topology::log::{Log, LogError, Position, Reader};
use weir_topology::record::Records;
use weir_topology::topic::Topic;

/// Most rows of the table; later verdicts are only counted.
const ROWS_MAX: usize = 500;

/// Most campaigns that the summary names; of more the largest.
const CAMPAIGNS_MAX: usize = 20;

/// Follows the verdicts and the campaigns of a log from where they end now.
pub struct View {
    reader: Box<dyn Reader>,
    partitions: usize,
    records: Records,
    rows: usize,
    /// The latest tier of each account that had a verdict in this run.
    accounts: BTreeMap<AccountId, Tier>,
    digest: VerdictDigest,
    /// What was said last of each campaign that is open.
    campaigns: BTreeMap<CampaignId, Campaign>,
    status: Status,
}

impl View {
    /// A view of `log` that shows verdicts which fall from now on. The digest covers all of them, so
    /// that it can be held against a replay.
    pub fn open(log: &dyn Log, wire: &Wire) -> Result<Self> {
        let partitions = log.partitions(Topic::Verdicts)?;
        let mut from = Vec::new();
        let mut earlier = Vec::new();
        for partition in 0..partitions {
            let (first, end) = log.bounds(Topic::Verdicts, partition)?;
            from.push(Position { topic: Topic::Verdicts, partition, next: first });
            earlier.push(end);
        }
        from.push(Position {
            topic: Topic::Campaigns,
            partition: 0,
            next: log.bounds(Topic::Campaigns, 0)?.0,
        });
        earlier.push(log.bounds(Topic::Campaigns, 0)?.1);
        let mut view = Self {
            reader: log.reader(&from)?,
            partitions: partitions as usize,
            records: Records::default(),
            rows: 0,
            accounts: BTreeMap::new(),
            digest: VerdictDigest::default(),
            campaigns: BTreeMap::new(),
            status: Status::new(),
        };
        for (input, end) in earlier.into_iter().enumerate() {
            while view.reader.next(input) < end {
                view.reader.wait(Duration::from_millis(100))?;
                view.take(input, wire, false)?;
            }
        }
        Ok(view)
    }

    /// Shows the verdicts that fell and the campaigns that formed since the last call.
    pub fn refresh(&mut self, wire: &Wire) -> Result<()> {
        for input in 0..=self.partitions {
            self.take(input, wire, true)?;
        }
        Ok(())
    }

    /// Shows how far the run is.
    pub fn progress(&mut self, sensing: &Sensing, waiting: i64) {
        self.status.show(sensing, &format!("; {waiting} waiting to be judged"));
    }

    /// Takes what there is of an input: the partitions of the verdicts, and then the campaigns.
    fn take(&mut self, input: usize, wire: &Wire, show: bool) -> Result<()> {
        self.records.clear();
        self.reader.take(input, READ_RECORDS_MAX, READ_BYTES_MAX, &mut self.records)?;
        let records = std::mem::take(&mut self.records);
        for payload in records.iter().filter_map(|record| record.payload) {
            let damaged = |error: WireError| LogError::Damaged { reason: error.to_string() };
            if input == self.partitions {
                self.campaign(wire.read(payload).map_err(damaged)?, show);
                continue;
            }
            let verdict: Verdict = wire.read(payload).map_err(damaged)?;
            self.digest.add(&verdict);
            if show {
                self.accounts.insert(verdict.account, verdict.tier);
                self.row(&row_of(&verdict));
            }
        }
        self.records = records;
        Ok(())
    }

    /// Notes what is said of a campaign, and shows it when it begins, is twice as large, or ends.
    fn campaign(&mut self, campaign: Campaign, show: bool) {
        let before = self.campaigns.get(&campaign.campaign_id);
        let is_news = match (before, campaign.status) {
            (_, CampaignStatus::Closed) | (None, _) => true,
            (Some(before), _) => campaign.member_count.max(1).ilog2() > before.member_count.max(1).ilog2(),
        };
        if show && is_news {
            self.row(&campaign_row(&campaign));
        }
        match campaign.status {
            CampaignStatus::Open => self.campaigns.insert(campaign.campaign_id, campaign),
            CampaignStatus::Closed => self.campaigns.remove(&campaign.campaign_id),
        };
    }

    fn row(&mut self, row: &str) {
        if self.rows == 0 {
            self.line(&columns("account", "tier", "score", "event time", "detectors"));
        }
        self.rows += 1;
        if self.rows > ROWS_MAX {
            if self.rows == ROWS_MAX + 1 {
                self.line("… further verdicts are counted below and stand in the log");
            }
            return;
        }
        self.line(row);
    }

    fn line(&self, text: &str) {
        self.status.println(text);
    }

    /// Prints what came of the run, and where it stands.
    pub fn summary(&self, run: &Summary<'_>) {
        self.status.end();
        let mut tiers = BTreeMap::<Tier, usize>::new();
        for tier in self.accounts.values() {
            *tiers.entry(*tier).or_default() += 1;
        }
        let tiers: Vec<String> = tiers.iter().rev().map(|(tier, count)| format!("{count} {tier}")).collect();
        let tiers = if tiers.is_empty() { "no verdict in this run".into() } else { tiers.join(", ") };
        let (data, output) = (run.data_dir.display(), run.output_dir.display());
        let history = match run.withheld_as_history {
            0 => String::new(),
            count => format!("history   {count} actions withheld: history\n"),
        };
        let campaigns = self.campaign_lines();
        output::in_passing(format_args!(
            "\nevents    {} read, {} refused, in {:.1} s\n\
             accounts  {tiers}\n\
             {campaigns}\
             verdicts  {} in the log\n\
             digest    {}\n\
             posture   {}\n\
             {history}\
             output    {output}/audit_log.jsonl, enforcement_actions.jsonl, rate_limit_commands.jsonl,\n\
             \u{20}         analyst_queue.jsonl, ioc_bundles.jsonl, campaigns.jsonl\n\
             log       {data}\n\
             again     weir replay --data-dir {data} --as-recorded",
            run.events,
            run.rejected,
            run.seconds,
            self.digest.verdicts(),
            self.digest.finish(),
            run.posture,
        ));
    }
}

impl View {
    /// A line for each campaign that is open, the largest first.
    fn campaign_lines(&self) -> String {
        let mut campaigns: Vec<&Campaign> = self.campaigns.values().collect();
        campaigns.sort_by_key(|campaign| std::cmp::Reverse(campaign.member_count));
        let more = campaigns.len().saturating_sub(CAMPAIGNS_MAX);
        let mut lines: Vec<String> = campaigns.iter().take(CAMPAIGNS_MAX).map(|c| stands(c)).collect();
        if more > 0 {
            lines.push(format!("… and {more} more"));
        }
        if lines.is_empty() { String::new() } else { format!("campaigns {}\n", lines.join("\n          ")) }
    }
}

/// What a run's summary says besides its verdicts.
pub struct Summary<'r> {
    /// Events that were read.
    pub events: u64,
    /// Lines that were refused.
    pub rejected: u64,
    /// How long it took.
    pub seconds: f64,
    /// The posture in force.
    pub posture: String,
    /// Actions that were withheld because what they answer is history.
    pub withheld_as_history: u64,
    /// Where the log is.
    pub data_dir: &'r Path,
    /// Where the output is.
    pub output_dir: &'r Path,
}

/// The heading and the rows share one layout, so that they cannot come apart.
fn columns(account: &str, tier: &str, score: &str, time: &str, detectors: &str) -> String {
    format!("{account:<14}{tier:<10}{score:>6}  {time:<22}{detectors}")
}

/// How a campaign stands, in one line.
fn stands(campaign: &Campaign) -> String {
    let id = campaign.campaign_id.to_string();
    let mut kinds: Vec<&str> = campaign.links.iter().map(|link| link.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let beside = match campaign.beside_count {
        0 => String::new(),
        count => format!(", {count} beside"),
    };
    format!(
        "{}  {}  {} accounts{beside}, {} requests, by {}; $ {}.{:02} a month to evade",
        id.get(..12).unwrap_or(&id),
        campaign.tier,
        campaign.member_count,
        campaign.requests,
        kinds.join(" "),
        campaign.evade_cents / 100,
        campaign.evade_cents % 100
    )
}

/// The row of a campaign among those of verdicts.
fn campaign_row(campaign: &Campaign) -> String {
    let id = campaign.campaign_id.to_string();
    match (campaign.status, campaign.absorbed_by) {
        (CampaignStatus::Open, _) => format!("campaign {}", stands(campaign)),
        (CampaignStatus::Closed, None) => format!("campaign {}  is over", id.get(..12).unwrap_or(&id)),
        (CampaignStatus::Closed, Some(by)) => {
            let by = by.to_string();
            let (id, by) = (id.get(..12).unwrap_or(&id), by.get(..12).unwrap_or(&by));
            format!("campaign {id}  is part of {by}")
        }
    }
}

fn row_of(verdict: &Verdict) -> String {
    let speaking = verdict.signals.iter().filter(|signal| signal.millinats > 0);
    let detectors: Vec<&str> = speaking.map(|signal| signal.detector.as_str()).collect();
    let account = verdict.account.to_string();
    columns(
        account.get(..12).unwrap_or(&account),
        verdict.tier.as_str(),
        &format!("{:.3}", verdict.score),
        &second_of(verdict.time_ms),
        &detectors.join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use weir_schemas::{AccountId, CampaignLink, LinkKind, Signal};

    #[test]
    fn every_column_stands_under_its_heading() {
        let signal =
            |detector: &str| Signal { detector: detector.into(), millinats: 1_000, ..Signal::default() };
        let verdict = Verdict {
            account: AccountId([0xab; 16]),
            tier: Tier::Critical,
            score: 0.7251,
            time_ms: 1_793_491_200_000,
            signals: vec![signal("cot"), signal("hydra")],
            ..Verdict::default()
        };
        let heading = columns("account", "tier", "score", "event time", "detectors");
        expect![[r#"
            account       tier       score  event time            detectors
            abababababab  CRITICAL   0.725  2026-11-01T00:00:00Z  cot hydra"#]]
        .assert_eq(&format!("{heading}\n{}", row_of(&verdict)));
    }

    #[test]
    fn a_campaign_is_one_line() {
        let link = |kind| CampaignLink { kind, ..CampaignLink::default() };
        let open = Campaign {
            campaign_id: CampaignId([0xcd; 16]),
            tier: Tier::Critical,
            member_count: 6,
            requests: 432,
            beside_count: 2,
            links: [LinkKind::Subnet, LinkKind::Payment, LinkKind::Subnet].map(link).to_vec(),
            evade_cents: 4_505,
            ..Campaign::default()
        };
        let over = Campaign { status: CampaignStatus::Closed, ..open.clone() };
        let part = Campaign { absorbed_by: Some(CampaignId([0xef; 16])), ..over.clone() };
        expect![[r#"
            campaign cdcdcdcdcdcd  CRITICAL  6 accounts, 2 beside, 432 requests, by PAYMENT SUBNET; $ 45.05 a month to evade
            campaign cdcdcdcdcdcd  is over
            campaign cdcdcdcdcdcd  is part of efefefefefef"#]].assert_eq(&[open, over, part].map(|campaign| campaign_row(&campaign)).join("\n"));
    }
}
