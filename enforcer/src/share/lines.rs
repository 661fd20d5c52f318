//! Campaigns as lines, each in an envelope of its own that a key signed (DSSE), and the accounts of them as a
//! list.

use super::{Shared, Tlp};
use crate::evidence::certificate::enveloped;
use serde_json::{Value, json};

/// What the payload of an envelope is.
pub const PAYLOAD_TYPE: &str = "application/vnd.weir.ioc+json";

/// A line a campaign.
///
/// # Errors
/// When one cannot be written as JSON.
pub fn signed(
    campaigns: &[Shared<'_>],
    producer: &str,
    tlp: Tlp,
    secret: &[u8; 32],
) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::new();
    for shared in campaigns {
        let payload = serde_json::to_vec(&bundle_of(shared, producer, tlp))?;
        out.extend(serde_json::to_vec(&enveloped(PAYLOAD_TYPE, &payload, secret))?);
        out.push(b'\n');
    }
    Ok(out)
}

fn bundle_of(shared: &Shared<'_>, producer: &str, tlp: Tlp) -> Value {
    let Shared { campaign, members } = shared;
    json!({
        "bundle_id": campaign.campaign_id.to_string(),
        "producer": producer,
        "tlp": tlp.as_str(),
        "first_seen_ms": campaign.since_ms,
        "last_seen_ms": campaign.until_ms,
        "tier": campaign.tier.as_str(),
        "requests": campaign.requests,
        "members": members.iter().map(|member| member.account.to_string()).collect::<Vec<_>>(),
        "values": campaign.links.iter().map(|link| json!({
            "kind": link.kind.as_str(), "value": link.value.to_string(), "members": link.members,
        })).collect::<Vec<_>>(),
        "evidence": campaign.evidence.iter().map(|evidence| json!({
            "family": evidence.family, "members": evidence.members, "millinats": evidence.millinats,
        })).collect::<Vec<_>>(),
        "policy_version": campaign.policy_version,
    })
}

/// The accounts of campaigns, a line each: campaign, account, its tier, its own evidence in millinats, and
/// its verdict. Only members are there, and each has evidence of its own; who stands beside a campaign is
/// not.
pub fn takedown(campaigns: &[Shared<'_>]) -> String {
    let mut out = String::from("campaign,account,tier,millinats,verdict\n");
    for Shared { campaign, members } in campaigns {
        for member in members {
            let verdict = member.verdict_id.map(|id| id.to_string()).unwrap_or_default();
            out += &format!(
                "{},{},{},{},{verdict}\n",
                campaign.campaign_id, member.account, member.tier, member.millinats
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::campaign;

    #[test]
    fn the_list_has_every_member_and_nobody_who_stands_beside() {
        let campaign = campaign(1);
        let shared = Shared { campaign: &campaign, members: campaign.members.iter().collect() };
        let list = takedown(&[shared]);
        assert_eq!(list.lines().count(), 4);
        for member in &campaign.members {
            assert!(list.contains(&format!("{},{},HIGH,4000,", campaign.campaign_id, member.account)));
        }
        assert!(!list.contains(&campaign.beside[0].to_string()));
    }
}
