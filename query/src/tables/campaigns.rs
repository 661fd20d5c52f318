//! Campaigns as they formed, and who was said to be a member.

use super::text;
use crate::column::Cell::{Int, Real, Text, Texts, Time};
use crate::column::{Column, Kind};
use weir_schemas::wire::{Wire, WireError};
use weir_schemas::{AccountId, Campaign, CampaignMember};
use weir_topology::record::RecordRef;
use weir_topology::topic::Topic;

/// One row each time that something of a campaign changed.
pub(crate) struct Campaigns;

impl Kind for Campaigns {
    type Row<'a> = Campaign;
    const NAME: &'static str = "campaigns";
    const DOC: &'static str =
        "A campaign as it stood from then on; the row with its highest `sequence` is how it stands.";
    const TOPIC: Topic = Topic::Campaigns;

    fn columns() -> Vec<Column<Self>> {
        let c = Column::<Self>::new;
        vec![
            c("campaign_id", Text(|row| text(row.campaign_id)), "The campaign."),
            c(
                "sequence",
                Int(|row| Some(row.sequence)),
                "How many rows the campaign has had, this one included.",
            ),
            c("time", Time(|row| Some(row.time_ms)), "Event time as of which it stands so."),
            c("status", Text(|row| Some(row.status.as_str().into())), "`OPEN` or `CLOSED`."),
            c(
                "absorbed_by",
                Text(|row| row.absorbed_by.and_then(text)),
                "The campaign that has its members now.",
            ),
            c("tier", Text(|row| Some(row.tier.as_str().into())), "The gravest tier of a member."),
            c(
                "first_account",
                Text(|row| text(row.first)),
                "The first of its members, whom it is called after.",
            ),
            c(
                "since",
                Time(|row| Some(row.since_ms)),
                "When the first of its members had evidence of its own.",
            ),
            c("until", Time(|row| Some(row.until_ms)), "When a member last had."),
            c("member_count", Int(|row| Some(row.member_count)), "Accounts that have evidence of their own."),
            c(
                "beside_count",
                Int(|row| Some(row.beside_count)),
                "Accounts that do the same and have none: nobody acts on them.",
            ),
            c("requests", Int(|row| Some(row.requests)), "Requests of all members."),
            c(
                "families",
                Texts(|row| row.evidence.iter().map(|evidence| evidence.family.as_str().into()).collect()),
                "Families of evidence, the one that speaks against most members first.",
            ),
            c(
                "links",
                Texts(|row| {
                    row.links
                        .iter()
                        .map(|link| format!("{}/{}", link.kind.as_str(), link.value).into())
                        .collect()
                }),
                "Values that link members, as `KIND/hash`, the one that most share first.",
            ),
            c(
                "asks",
                Texts(|row| row.asks.iter().map(|ask| ask.what.as_str().into()).collect()),
                "Capabilities that are asked for, the one that most ask for first.",
            ),
            c(
                "evade_cents",
                Int(|row| Some(row.evade_cents)),
                "What it would cost a month to share none of these values, in US cents.",
            ),
            c(
                "policy_version",
                Text(|row| Some(row.policy_version.as_str().into())),
                "Version of the policy that judged the members.",
            ),
            c("epoch", Int(|row| Some(row.epoch)), "Epoch of the campaign stage that emitted it."),
        ]
    }

    fn each(
        wire: &Wire,
        _: RecordRef<'_>,
        payload: &[u8],
        take: &mut dyn FnMut(&Campaign),
    ) -> Result<(), WireError> {
        take(&wire.read(payload)?);
        Ok(())
    }
}

/// One row each time that an account joined a campaign, changed in it or left it.
pub(crate) struct Members;

/// A change, and the record that tells of it.
pub(crate) struct Change<'a> {
    campaign: &'a Campaign,
    account: AccountId,
    /// None where it left.
    member: Option<&'a CampaignMember>,
}

impl Kind for Members {
    type Row<'a> = Change<'a>;
    const NAME: &'static str = "members";
    const DOC: &'static str = "An account that joined a campaign, whose tier in it changed, or that left it.";
    const TOPIC: Topic = Topic::Campaigns;

    fn columns() -> Vec<Column<Self>> {
        let c = Column::<Self>::new;
        vec![
            c("campaign_id", Text(|row| text(row.campaign.campaign_id)), "The campaign."),
            c("sequence", Int(|row| Some(row.campaign.sequence)), "The row of `campaigns` that tells of it."),
            c("time", Time(|row| Some(row.campaign.time_ms)), "Event time as of which it is so."),
            c("account", Text(|row| text(row.account)), "The account, as its pseudonym."),
            c(
                "change",
                Text(|row| Some(row.member.map_or("LEFT", |_| "MEMBER").into())),
                "`MEMBER`, or `LEFT`, of which nothing below is said.",
            ),
            c("tenant", Text(|row| Some(row.member?.tenant.as_str().into())), "Its tenant."),
            c("tier", Text(|row| Some(row.member?.tier.as_str().into())), "How serious its own evidence is."),
            c(
                "millinats",
                Int(|row| Some(row.member?.millinats.into())),
                "Log-odds that its own evidence comes to, in thousandths of a nat.",
            ),
            c(
                "probability",
                Real(|row| Some(row.member?.probability)),
                "Calibrated probability that they stand for, 0 to 1.",
            ),
            c("since", Time(|row| Some(row.member?.since_ms)), "Since when it has evidence of its own."),
            c("requests", Int(|row| Some(row.member?.requests)), "Its requests."),
            c("verdict_id", Text(|row| row.member?.verdict_id.and_then(text)), "Its latest verdict."),
        ]
    }

    fn each(
        wire: &Wire,
        _: RecordRef<'_>,
        payload: &[u8],
        take: &mut dyn FnMut(&Change<'_>),
    ) -> Result<(), WireError> {
        let campaign: Campaign = wire.read(payload)?;
        let campaign = &campaign;
        for member in &campaign.members {
            take(&Change { campaign, account: member.account, member: Some(member) });
        }
        campaign.left.iter().for_each(|account| take(&Change { campaign, account: *account, member: None }));
        Ok(())
    }
}
