//! Records to tell of.

use weir_schemas::{
    AccountId, Action, ActionId, ActionKind, ActionState, Campaign, CampaignEvidence, CampaignId,
    CampaignLink, CampaignMember, ClusterRef, EventId, Evidence, LinkKind, Posture, Signal, Tier, ValueHash,
    Verdict, VerdictId,
};

/// 2026-11-01T00:00:00Z.
const START_MS: i64 = 1_793_491_200_000;

/// The account of this number.
pub fn account(number: u32) -> AccountId {
    AccountId((0xacc0_0000_u128 + u128::from(number)).to_be_bytes())
}

/// A verdict of CRITICAL.
pub fn verdict() -> Verdict {
    Verdict {
        verdict_id: VerdictId([0xd1; 16]),
        time_ms: START_MS,
        tenant: "acme".into(),
        account: account(1),
        sequence: 3,
        score: 0.91,
        probability: 0.997,
        tier: Tier::Critical,
        policy_version: "builtin-1".into(),
        signals: vec![Signal {
            detector: "kin".into(),
            family: "alike".into(),
            millinats: 4_200,
            millinats_max: 6_000,
            evidence: vec![Evidence { name: "like_accounts".into(), value: "12".into() }],
        }],
        events: vec![EventId([0xe1; 16])],
        event_count: 240,
        clusters: vec![ClusterRef { kind: LinkKind::Payment, value: ValueHash([0x42; 16]), members: 12 }],
        ..Verdict::default()
    }
}

/// What was done about it.
pub fn action() -> Action {
    Action {
        action_id: ActionId([0xac; 16]),
        time_ms: START_MS,
        taken_ms: START_MS + 250,
        tenant: "acme".into(),
        account: account(1),
        verdict_id: VerdictId([0xd1; 16]),
        kind: ActionKind::Suspend,
        ring: 3,
        state: ActionState::Done,
        posture: Posture::Enforce,
        reason: "tier CRITICAL asks for it".into(),
        expires_ms: Some(START_MS + 600_250),
        lasts_ms: Some(600_000),
        policy_version: "builtin-1".into(),
        ..Action::default()
    }
}

/// A campaign's first record, which names so many members.
pub fn campaign(members: u32) -> Campaign {
    let member = |number| CampaignMember {
        account: account(number),
        tenant: "acme".into(),
        tier: Tier::Critical,
        millinats: 5_800,
        probability: 0.997,
        since_ms: START_MS,
        requests: 240,
        verdict_id: Some(VerdictId([0xd1; 16])),
    };
    Campaign {
        campaign_id: CampaignId([0xca; 16]),
        sequence: 1,
        time_ms: START_MS + 1_000,
        tier: Tier::Critical,
        first: account(1),
        since_ms: START_MS,
        until_ms: START_MS + 900,
        member_count: i64::from(members),
        requests: 240 * i64::from(members),
        members: (1..=members).map(member).collect(),
        evidence: vec![CampaignEvidence {
            family: "alike".into(),
            members: i64::from(members),
            millinats: 4_200,
        }],
        links: vec![CampaignLink {
            kind: LinkKind::Payment,
            value: ValueHash([0x42; 16]),
            members: i64::from(members),
            cents: 1_500,
        }],
        evade_cents: 1_500,
        policy_version: "builtin-1".into(),
        ..Campaign::default()
    }
}
