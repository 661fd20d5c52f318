//! `weir explain`: why a verdict or a campaign is what it is.

use crate::context::Context;
use crate::output;
use anyhow::{Result, bail};
use std::process::ExitCode;
use weir_replay::campaigns::Campaigns;
use weir_replay::explain::{CampaignStory, Story, VerdictStory, explain};
use weir_schemas::VerdictId;
use weir_schemas::wire::Wire;
use weir_topology::log::Log;

/// Members that are shown unless all are asked for as JSON.
const MEMBERS_SHOWN: usize = 40;

/// Prints why; ends with 1 where the log has nothing of this id.
pub fn run(context: &Context, id: &str, json: bool) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let story = match whole(log.as_ref(), &wire, id)? {
        Some(id) => explain(log.as_ref(), &wire, id)?,
        None => None,
    };
    let Some(story) = story else {
        print_line!(
            "NOT FOUND: the log has no verdict and no campaign {id}. Both are kept for 90 days; ids stand in \
             enforcement_actions.jsonl and campaigns.jsonl."
        );
        return Ok(ExitCode::FAILURE);
    };
    match (&story, json) {
        (_, true) => print_line!("{}", serde_json::to_string(&story)?),
        (Story::Verdict(verdict), false) => output::text(of_verdict(verdict)),
        (Story::Campaign(campaign), false) => output::text(of_campaign(campaign)),
    }
    Ok(ExitCode::SUCCESS)
}

/// The id that was given, or that of the one campaign whose first digits were.
fn whole(log: &dyn Log, wire: &Wire, id: &str) -> Result<Option<[u8; 16]>> {
    if let Ok(id) = VerdictId::from_key(id.as_bytes()) {
        return Ok(Some(id.0));
    }
    if id.len() < 4 || id.len() > 32 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        bail!("{id:?} is no id: give 32 hex digits, or the first of a campaign's, four at least");
    }
    let campaigns = Campaigns::read(log, wire)?;
    let mut fitting =
        campaigns.open().map(|known| known.latest.campaign_id).filter(|c| c.to_string().starts_with(id));
    match (fitting.next(), fitting.next()) {
        (Some(_), Some(_)) => bail!("several campaigns begin with {id}: give more digits"),
        (one, _) => Ok(one.map(|id| id.0)),
    }
}

fn of_verdict(story: &VerdictStory) -> String {
    let mut text = format!(
        "verdict   {}\naccount   {}, its verdict number {}\ntier      {}, score {:.3}, probability {:.4}\n",
        story.verdict_id, story.account, story.sequence, story.tier, story.score, story.probability
    );
    if let (Some(prior), Some(log_odds)) = (story.prior_nats, story.log_odds_nats) {
        text += &format!("log-odds  {log_odds:.1} nats, of which {prior:.1} before any evidence\n");
    } else {
        text += "log-odds  (the policy that judged is not in this log)\n";
    }
    if let Some(calibrated) = story.calibrated_nats {
        text += &format!("          calibrated to {calibrated:.1} nats, which is the probability\n");
    }
    text += &format!("policy    {}\n", story.policy_version.escape_debug());
    if let Some(campaign) = &story.campaign_id {
        text += &format!("campaign  {campaign}\n");
    }
    text += "\nevidence, in nats\n";
    for family in &story.families {
        text += &format!("  {:>6.1}  {}\n", family.nats, family.family);
        for signal in &family.signals {
            let evidence: Vec<String> = signal
                .evidence
                .iter()
                .map(|(name, value)| format!("{} {}", name.escape_debug(), value.escape_debug()))
                .collect();
            text += &format!(
                "          {:.1} of {:.1} by {}: {}\n",
                signal.nats,
                signal.nats_max,
                signal.detector,
                evidence.join(", ")
            );
            if signal.nats > 0.0 && !signal.claim.is_empty() {
                text += &format!("          \"{}\"\n", signal.claim);
            }
        }
    }
    if !story.missing.is_empty() {
        text += &format!("  nothing to judge by: {}\n", story.missing.join(", "));
    }
    if !story.shares.is_empty() {
        text += "\nshares with accounts that are like it\n";
    }
    for value in &story.shares {
        text += &format!("  {:<9} {}, with {} accounts in all\n", value.kind, value.value, value.shared_by);
    }
    if !story.otherwise.is_empty() {
        text += "\nwith\n";
    }
    for otherwise in &story.otherwise {
        let (differs, tier) = (&otherwise.differs, otherwise.tier);
        text += &format!("  {differs:<28} it would be {tier} ({:.1} nats)\n", otherwise.log_odds_nats);
    }
    text
}

fn of_campaign(story: &CampaignStory) -> String {
    let mut text =
        format!("campaign  {}\nstatus    {}, gravest tier {}\n", story.campaign_id, story.status, story.tier);
    if let Some(by) = &story.absorbed_by {
        text += &format!("          its members are in {by} now\n");
    }
    for absorbed in &story.absorbed {
        text += &format!("          took over the members of {absorbed}\n");
    }
    text += &format!(
        "members   {}, with {} requests; {} accounts beside them have no evidence of their own\n\
         from      {} to {} (event time, ms)\npolicy    {}\n",
        story.members.len(),
        story.requests,
        story.beside_count,
        story.since_ms,
        story.until_ms,
        story.policy_version.escape_debug()
    );
    text += "\nevidence, in nats on average\n";
    for (family, members, nats) in &story.evidence {
        text += &format!("  {nats:>6.1}  {family}, against {members} members\n");
    }
    if !story.asks.is_empty() {
        let asks: Vec<String> =
            story.asks.iter().map(|(what, members)| format!("{what} ({members})")).collect();
        text += &format!("\nasks for  {}\n", asks.join(", "));
    }
    text += "\nlinked by\n";
    for (kind, value, members, dollars) in &story.links {
        text +=
            &format!("  {kind:<9} {value}  {members} members, $ {dollars:.2} a month to give each its own\n");
    }
    text += &format!("  to share none of these values would cost $ {:.2} a month\n", story.evade_dollars);
    for without in &story.without {
        text += &format!("  without {:<9} {} would still be together\n", without.kind, without.together);
    }
    text += "\nmember                            tier        nats  requests  verdict\n";
    for member in story.members.iter().take(MEMBERS_SHOWN) {
        text += &format!(
            "{}  {:<8}  {:>6.1}  {:>8}  {}\n",
            member.account,
            member.tier,
            member.nats,
            member.requests,
            member.verdict_id.as_deref().unwrap_or("-")
        );
    }
    if story.members.len() > MEMBERS_SHOWN {
        text += &format!("… and {} more (--json names all)\n", story.members.len() - MEMBERS_SHOWN);
    }
    text
}
