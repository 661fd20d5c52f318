//! Why a verdict or a campaign is what it is: its evidence by family, what links it with others, and what
//! would have had to differ. Read from the log alone, nothing is folded.

mod campaign;
mod policies;
mod verdict;

pub use campaign::{CampaignStory, MemberStory, WithoutKind};
pub use verdict::{FamilyStory, Otherwise, SignalStory, ValueStory, VerdictStory};

use crate::campaigns::Campaigns;
use crate::report::ReplayError;
use policies::Policies;
use serde::Serialize;
use weir_schemas::wire::Wire;
use weir_schemas::{CampaignId, Verdict, VerdictId};
use weir_topology::history::History;
use weir_topology::log::Log;
use weir_topology::topic::Topic;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Story {
    /// A verdict.
    Verdict(Box<VerdictStory>),
    /// A campaign.
    Campaign(Box<CampaignStory>),
}

/// Explains the campaign or the verdict with this id; none where the log has neither.
pub fn explain(log: &dyn Log, wire: &Wire, id: [u8; 16]) -> Result<Option<Story>, ReplayError> {
    let campaigns = Campaigns::read(log, wire)?;
    if let Some(known) = campaigns.get(CampaignId(id)) {
        let story = CampaignStory::of(known, &campaigns, log, wire)?;
        return Ok(Some(Story::Campaign(Box::new(story))));
    }
    let Some(verdict) = find(log, wire, VerdictId(id))? else { return Ok(None) };
    let policy = Policies { log, wire }.with(&verdict.policy_digest)?;
    let rules = policy.as_ref().map(|policy| policy.of(&verdict.tenant));
    Ok(Some(Story::Verdict(Box::new(VerdictStory::of(&verdict, rules, &campaigns)))))
}

fn find(log: &dyn Log, wire: &Wire, id: VerdictId) -> Result<Option<Verdict>, ReplayError> {
    for partition in 0..log.partitions(Topic::Verdicts)? {
        let (first, end) = log.bounds(Topic::Verdicts, partition)?;
        let mut history = History::new(log, Topic::Verdicts, partition, first, end)?;
        while let Some(records) = history.next()? {
            for payload in records.iter().filter_map(|record| record.payload) {
                // One that cannot be read is not the one.
                if let Ok(verdict) = wire.read::<Verdict>(payload)
                    && verdict.verdict_id == id
                {
                    return Ok(Some(verdict));
                }
            }
        }
    }
    Ok(None)
}

/// Thousandths of a nat as nats.
fn nats(millinats: i32) -> f64 {
    f64::from(millinats) / 1e3
}
