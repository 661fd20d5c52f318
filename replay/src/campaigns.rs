//! What was said of campaigns, read from its beginning: who is a member of which, and how each stands.

use std::collections::BTreeMap;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Campaign, CampaignId, CampaignMember, CampaignStatus};
use weir_topology::history::History;
use weir_topology::log::Log;
use weir_topology::topic::Topic;

use crate::report::ReplayError;

/// A campaign, by all that was said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The latest record.
    pub latest: Campaign,
    /// The latest record that said how it stands: the one before it was closed, where it was.
    pub standing: Campaign,
    /// Its members, each as it was last told of.
    pub members: BTreeMap<AccountId, CampaignMember>,
}

/// Every campaign that was told of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Campaigns {
    known: BTreeMap<CampaignId, Known>,
    /// The campaign that an account was last told to be a member of.
    last_of: BTreeMap<AccountId, CampaignId>,
}

impl Campaigns {
    /// Reads what a log says of them.
    pub fn read(log: &dyn Log, wire: &Wire) -> Result<Self, ReplayError> {
        let mut campaigns = Self::default();
        let (first, end) = log.bounds(Topic::Campaigns, 0)?;
        let mut history = History::new(log, Topic::Campaigns, 0, first, end)?;
        while let Some(records) = history.next()? {
            for payload in records.iter().filter_map(|record| record.payload) {
                campaigns.take(wire.read(payload)?);
            }
        }
        Ok(campaigns)
    }

    /// Takes the next record.
    pub fn take(&mut self, campaign: Campaign) {
        for member in &campaign.members {
            self.last_of.insert(member.account, campaign.campaign_id);
        }
        let known = self.known.entry(campaign.campaign_id).or_insert_with(|| Known {
            latest: campaign.clone(),
            standing: campaign.clone(),
            members: BTreeMap::new(),
        });
        if campaign.status == CampaignStatus::Open {
            // It may go on after it ended.
            if known.latest.status == CampaignStatus::Closed {
                known.members.clear();
            }
            known.members.extend(campaign.members.iter().map(|member| (member.account, member.clone())));
            campaign.left.iter().for_each(|account| drop(known.members.remove(account)));
            known.standing = campaign.clone();
        }
        known.latest = campaign;
    }

    /// The campaign with this id.
    pub fn get(&self, id: CampaignId) -> Option<&Known> {
        self.known.get(&id)
    }

    /// Those whose members the campaign with this id took over.
    pub fn absorbed_by(&self, id: CampaignId) -> impl Iterator<Item = CampaignId> {
        let absorbed = self.known.iter().filter(move |(_, known)| known.latest.absorbed_by == Some(id));
        absorbed.map(|(absorbed, _)| *absorbed)
    }

    /// Those that are open, by id.
    pub fn open(&self) -> impl Iterator<Item = &Known> {
        self.known.values().filter(|known| known.latest.status == CampaignStatus::Open)
    }

    /// The campaign that an account was last a member of; where others absorbed it, the one that did.
    pub fn of(&self, account: AccountId) -> Option<CampaignId> {
        let mut id = *self.last_of.get(&account)?;
        // An absorbing campaign is called after an earlier member, so this ends.
        while let Some(by) =
            self.known.get(&id).and_then(|known| known.latest.absorbed_by).filter(|by| *by != id)
        {
            let is_later = |by: CampaignId| {
                let since = |id: CampaignId| self.known.get(&id).map(|known| known.latest.since_ms);
                since(by) > since(id)
            };
            if is_later(by) {
                break;
            }
            id = by;
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u8) -> AccountId {
        AccountId([number; 16])
    }

    fn id(number: u8) -> CampaignId {
        CampaignId([number; 16])
    }

    fn told(number: u8, members: &[u8], left: &[u8]) -> Campaign {
        let member = |number: &u8| CampaignMember { account: account(*number), ..CampaignMember::default() };
        Campaign {
            campaign_id: id(number),
            since_ms: number.into(),
            members: members.iter().map(member).collect(),
            left: left.iter().map(|number| account(*number)).collect(),
            ..Campaign::default()
        }
    }

    fn closed(number: u8, by: Option<u8>) -> Campaign {
        let absorbed_by = by.map(id);
        Campaign { status: CampaignStatus::Closed, absorbed_by, ..told(number, &[], &[]) }
    }

    #[test]
    fn who_reads_all_records_knows_who_is_a_member_of_what() {
        let mut campaigns = Campaigns::default();
        campaigns.take(told(1, &[1, 2, 3], &[]));
        campaigns.take(told(2, &[4, 5, 6], &[]));
        campaigns.take(told(1, &[7], &[1]));
        let members = |campaigns: &Campaigns, number| {
            campaigns.get(id(number)).unwrap().members.keys().map(|account| account.0[0]).collect::<Vec<_>>()
        };
        assert_eq!((members(&campaigns, 1), members(&campaigns, 2)), (vec![2, 3, 7], vec![4, 5, 6]));
        campaigns.take(closed(2, Some(1)));
        assert_eq!(campaigns.open().count(), 1);
        assert_eq!(
            [1, 2, 4, 9].map(|number| campaigns.of(account(number))),
            [Some(id(1)), Some(id(1)), Some(id(1)), None]
        );
        // What a closed one was like is still known.
        campaigns.take(closed(1, None));
        assert_eq!((campaigns.open().count(), members(&campaigns, 1)), (0, vec![2, 3, 7]));
        campaigns.take(told(1, &[8, 9, 2], &[]));
        assert_eq!(members(&campaigns, 1), [2, 8, 9]);
    }
}
