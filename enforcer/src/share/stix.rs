//! Campaigns as a STIX 2.1 bundle: of each the campaign, an indicator and a sighting for every value that its
//! members share, and a grouping of them. Ids are made of what the objects are, so that whoever is told twice
//! has one object.

use super::{Shared, Tlp};
use crate::siem::text::rfc3339;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use weir_schemas::{Campaign, CampaignLink};

/// What the payload of an envelope is.
pub const PAYLOAD_TYPE: &str = "application/stix+json;version=2.1";

/// Ids of the TLP markings that STIX 2.1 itself defines.
const fn marking_id(tlp: Tlp) -> &'static str {
    match tlp {
        Tlp::White => "marking-definition--613f2e26-407d-48c7-9eca-b8e7df91dc99",
        Tlp::Green => "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
        Tlp::Amber => "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
        Tlp::Red => "marking-definition--5e57c739-391a-4eb3-b6be-7daca92d5ed6",
    }
}

/// The bundle of these campaigns, as `producer` tells them.
pub fn bundle(campaigns: &[Shared<'_>], producer: &str, tlp: Tlp) -> Value {
    let identity_id = id_of("identity", &[producer]);
    // Objects of their own time: of the earliest campaign, for who tells of them.
    let since_ms = campaigns.iter().map(|shared| shared.campaign.since_ms).min().unwrap_or(0);
    let mut objects = vec![
        json!({
            "type": "marking-definition", "spec_version": "2.1", "id": marking_id(tlp),
            "created": "2017-01-20T00:00:00.000Z", "definition_type": "tlp",
            "name": format!("TLP:{}", tlp.as_str().to_ascii_uppercase()),
            "definition": { "tlp": tlp.as_str() },
        }),
        json!({
            "type": "identity", "spec_version": "2.1", "id": identity_id, "name": producer,
            "identity_class": "organization",
            "created": stamp(since_ms), "modified": stamp(since_ms), "object_marking_refs": [marking_id(tlp)],
        }),
    ];
    let telling = Telling { identity_id: &identity_id, tlp };
    campaigns.iter().for_each(|shared| objects.extend(telling.objects_of(shared)));
    let ids: Vec<&str> = objects.iter().filter_map(|object| object["id"].as_str()).collect();
    let id = id_of("bundle", &ids);
    json!({ "type": "bundle", "id": id, "objects": objects })
}

struct Telling<'a> {
    identity_id: &'a str,
    tlp: Tlp,
}

impl Telling<'_> {
    fn objects_of(&self, shared: &Shared<'_>) -> Vec<Value> {
        let Shared { campaign, members } = shared;
        let name = campaign.campaign_id.to_string();
        let campaign_id = id_of("campaign", &[&name]);
        let mut objects = vec![self.object(campaign, &campaign_id, json!({
            "type": "campaign",
            "name": format!("Model extraction campaign {name}"),
            "description": format!(
                "{} accounts under one hand, {} requests; tier {}", members.len(), campaign.requests, campaign.tier
            ),
            "first_seen": stamp(campaign.since_ms),
            "last_seen": stamp(campaign.until_ms.max(campaign.since_ms)),
        }))];
        for link in &campaign.links {
            objects.extend(self.objects_of_link(campaign, link, &campaign_id));
        }
        let refs: Vec<Value> = objects.iter().map(|object| object["id"].clone()).collect();
        let grouping_id = id_of("grouping", &[&name]);
        objects.push(self.object(
            campaign,
            &grouping_id,
            json!({
                "type": "grouping",
                "name": format!("Indicators of campaign {name}"),
                "context": "suspicious-activity",
                "object_refs": refs,
            }),
        ));
        objects
    }

    /// The indicator of a shared value, what it indicates, and where it was seen.
    fn objects_of_link(&self, campaign: &Campaign, link: &CampaignLink, campaign_id: &str) -> [Value; 3] {
        let (name, value) = (campaign.campaign_id.to_string(), link.value.to_string());
        let kind = link.kind.as_str();
        let indicator_id = id_of("indicator", &[&name, kind, &value]);
        let pattern =
            format!("[x-weir-shared-value:kind = '{kind}' AND x-weir-shared-value:value = '{value}']");
        let indicator = self.object(
            campaign,
            &indicator_id,
            json!({
                "type": "indicator",
                "name": format!("Shared {}", kind.to_ascii_lowercase()),
                "description": "A value that accounts of a model extraction campaign share, as a keyed hash.",
                "indicator_types": ["malicious-activity"],
                "pattern": pattern, "pattern_type": "stix", "pattern_version": "2.1",
                "valid_from": stamp(campaign.since_ms),
            }),
        );
        let relationship_id = id_of("relationship", &[&indicator_id, "indicates", campaign_id]);
        let relationship = self.object(
            campaign,
            &relationship_id,
            json!({
                "type": "relationship", "relationship_type": "indicates",
                "source_ref": indicator_id, "target_ref": campaign_id,
            }),
        );
        let sighting_id = id_of("sighting", &[&indicator_id, self.identity_id]);
        let sighting = self.object(
            campaign,
            &sighting_id,
            json!({
                "type": "sighting", "sighting_of_ref": indicator_id, "where_sighted_refs": [self.identity_id],
                "count": link.members.max(0), "first_seen": stamp(campaign.since_ms),
                "last_seen": stamp(campaign.until_ms.max(campaign.since_ms)),
            }),
        );
        [indicator, relationship, sighting]
    }

    /// What every object has: ids, who tells of it, when, and how far it may go.
    fn object(&self, campaign: &Campaign, id: &str, mut object: Value) -> Value {
        object["spec_version"] = "2.1".into();
        object["id"] = id.into();
        object["created_by_ref"] = self.identity_id.into();
        object["created"] = stamp(campaign.since_ms).into();
        object["modified"] = stamp(campaign.until_ms.max(campaign.since_ms)).into();
        object["object_marking_refs"] = json!([marking_id(self.tlp)]);
        object
    }
}

fn stamp(time_ms: i64) -> String {
    rfc3339(time_ms)
}

/// `TYPE--UUID`: a UUID in the form of version 5, over what the object is.
pub(super) fn id_of(kind: &str, parts: &[&str]) -> String {
    let mut sha = Sha256::new();
    sha.update(b"weir.stix");
    for part in [kind].iter().chain(parts) {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    let hash: [u8; 32] = sha.finalize().into();
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hash[..16]);
    (uuid[6], uuid[8]) = (uuid[6] & 0x0f | 0x50, uuid[8] & 0x3f | 0x80);
    let hex = weir_schemas::hex::hex(&uuid);
    format!("{kind}--{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::campaign;

    fn told() -> Value {
        let campaign = campaign(1);
        let shared = Shared { campaign: &campaign, members: campaign.members.iter().collect() };
        bundle(&[shared], "Example Ltd", Tlp::Amber)
    }

    #[test]
    fn a_campaign_is_told_with_an_indicator_and_a_sighting_for_every_value_and_a_grouping_of_all() {
        let told = told();
        let kinds: Vec<&str> = told["objects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|object| object["type"].as_str().unwrap())
            .collect();
        assert_eq!(
            kinds,
            [
                "marking-definition",
                "identity",
                "campaign",
                "indicator",
                "relationship",
                "sighting",
                "grouping"
            ]
        );
        let grouping = &told["objects"][6];
        let grouped: Vec<&Value> = (2..6).map(|place| &told["objects"][place]["id"]).collect();
        assert_eq!(grouping["object_refs"].as_array().unwrap().iter().collect::<Vec<_>>(), grouped);
        assert_eq!(
            told["objects"][3]["pattern"],
            "[x-weir-shared-value:kind = 'PAYMENT' AND x-weir-shared-value:value = '07070707070707070707070707070707']"
        );
        assert!(told["objects"].as_array().unwrap().iter().skip(1).all(|object| {
            object["object_marking_refs"][0] == "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
        }));
    }

    #[test]
    fn who_is_told_twice_is_told_the_same_ids() {
        assert_eq!(told(), told());
        assert_ne!(id_of("campaign", &["a", "b"]), id_of("campaign", &["ab"]));
    }
}
