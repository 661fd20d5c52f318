//! What a log says of campaigns: folded again, read whole, and explained.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::{PARTITIONS, judged, stages, wire};
use weir_replay::campaigns::Campaigns;
use weir_replay::explain::{CampaignStory, Story, VerdictStory, explain};
use weir_replay::lockstep::{self, Layout};
use weir_replay::recorded;
use weir_schemas::{Campaign, VerdictId};
use weir_topology::log::{Commit, Log as _};
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::topic::Topic;

fn story(log: &MemoryLog, id: [u8; 16]) -> Option<Story> {
    explain(log, &wire(), id).unwrap()
}

fn campaign(log: &MemoryLog) -> CampaignStory {
    let campaigns = Campaigns::read(log, &wire()).unwrap();
    let id = campaigns.open().next().unwrap().latest.campaign_id;
    match story(log, id.0) {
        Some(Story::Campaign(story)) => *story,
        other => panic!("{other:?}"),
    }
}

#[test]
fn six_accounts_under_one_hand_are_one_campaign_whole() {
    let log = judged();
    let campaigns = Campaigns::read(log.as_ref(), &wire()).unwrap();
    let open: Vec<_> = campaigns.open().collect();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].members.len(), open[0].latest.member_count), (6, 6));
    for account in open[0].members.keys() {
        assert_eq!(campaigns.of(*account), Some(open[0].latest.campaign_id));
    }
}

#[test]
fn what_was_said_of_campaigns_comes_out_again_and_a_change_is_noticed() {
    let log = judged();
    let report = recorded::replay(log.as_ref(), &wire(), &stages(), |_| {}).unwrap();
    let said = log.all(Topic::Campaigns);
    assert_eq!((report.campaigns_equal, report.campaign_records), (Some(true), said.len() as u64));
    let last = said.last().unwrap();
    let forged: Campaign = wire().read(last.payload.as_deref().unwrap()).unwrap();
    let forged = Campaign { member_count: 7, sequence: forged.sequence + 1, ..forged };
    let output = Output { payload: Some(wire().to_bytes(&forged)), ..last.clone() };
    log.writer("intruder").unwrap().commit(&Commit { outputs: vec![output], positions: vec![] }).unwrap();
    let report = recorded::replay(log.as_ref(), &wire(), &stages(), |_| {}).unwrap();
    assert_eq!((report.bytes_equal, report.campaigns_equal), (Some(true), Some(false)));
}

#[test]
fn in_lockstep_the_same_is_said_of_campaigns_for_any_layout() {
    let log = judged();
    let replay = |partitions, workers| {
        let layout = Layout { partitions, workers };
        let report = lockstep::replay(log.as_ref(), &wire(), &stages(), layout, |_| {}).unwrap();
        (report.campaign_records, report.campaign_digest)
    };
    let one = replay(1, 1);
    assert!(one.0 > 0);
    for (partitions, workers) in [(2, 1), (PARTITIONS, 2), (7, 3)] {
        assert_eq!(replay(partitions, workers), one, "{partitions} partitions, {workers} workers");
    }
}

#[test]
fn a_campaign_is_explained_by_its_members_own_evidence_and_what_links_them() {
    let log = judged();
    let story = campaign(&log);
    assert_eq!((story.status, story.members.len(), &story.absorbed_by), ("OPEN", 6, &None));
    assert!(story.members.iter().all(|member| member.nats > 0.0 && member.verdict_id.is_some()));
    assert!(story.evidence.iter().any(|(family, members, _)| family == "kin" && *members == 6), "{story:?}");
    let kinds: Vec<_> = story.links.iter().map(|(kind, _, members, _)| (*kind, *members)).collect();
    assert!(kinds.contains(&("PAYMENT", 6)), "{kinds:?}");
    assert_eq!(story.asks, [("chain_of_thought".to_owned(), 6)]);
    // Payment, template, client and settings: each alone holds them together.
    assert!(
        story.without.len() > 2 && story.without.iter().all(|without| without.together == 6),
        "{story:?}"
    );
    assert!(story.evade_dollars >= 5.0 * 6.0);
}

#[test]
fn a_verdict_is_explained_by_family_and_by_what_would_have_had_to_differ() {
    let log = judged();
    let id = campaign(&log).members[0].verdict_id.clone().unwrap();
    let id = VerdictId::from_key(id.as_bytes()).unwrap();
    let Some(Story::Verdict(story)) = story(&log, id.0) else { panic!("a verdict") };
    let VerdictStory { families, prior_nats, log_odds_nats, otherwise, .. } = *story;
    // The policy of these stages was never published, and is not this build's own.
    assert_eq!((prior_nats, log_odds_nats, otherwise.len()), (None, None, 0));
    let strongest = &families[0];
    assert!(strongest.nats > 0.0 && !strongest.signals[0].evidence.is_empty(), "{families:?}");
    assert!(families.windows(2).all(|pair| pair[0].nats >= pair[1].nats));
    common::put(log.as_ref(), vec![common::published(common::eager().text)]);
    let Some(Story::Verdict(story)) = explain(log.as_ref(), &wire(), id.0).unwrap() else {
        panic!("a verdict")
    };
    assert_eq!(story.prior_nats, Some(1.0));
    let sum: f64 = story.families.iter().map(|family| family.nats).sum();
    assert!((story.log_odds_nats.unwrap() - 1.0 - sum).abs() < 1e-6, "no family is over its cap here");
    let less = story.otherwise.last().unwrap();
    assert!(less.differs.ends_with("nats less evidence") && less.tier != story.tier, "{less:?}");
    let without_kin = story.otherwise.iter().find(|otherwise| otherwise.differs == "nothing of kin").unwrap();
    assert!(without_kin.log_odds_nats < story.log_odds_nats.unwrap());
}

#[test]
fn what_the_log_does_not_have_is_not_explained() {
    assert_eq!(story(&judged(), [7; 16]), None);
}
