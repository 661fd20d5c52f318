//! The campaign stage against members.

use super::*;
use crate::fixture::{START_MS, hash};
use crate::measure::short;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use weir_schemas::{CampaignId, FamilyEvidence, LinkKind, MemberLink, Tier};
use weir_topology::stage::InputBatch;

fn stage() -> CampaignStage {
    CampaignStage::new(Arc::new(Wire::new()), Arc::new(Policy::builtin()))
}

fn account(index: usize) -> AccountId {
    AccountId(hash(&format!("account {index}")).0)
}

/// A value, and whose group of it an account is in.
type Link = (LinkKind, &'static str, usize);

const CARD: Link = (LinkKind::Payment, "card", 0);

fn member(index: usize, tier: Tier, minute: i64, links: &[Link]) -> Record {
    let link = |(kind, value, least): &Link| MemberLink {
        kind: *kind,
        value: hash(value),
        least: short(&account(*least).0).into(),
    };
    Record {
        time_ms: START_MS + minute * 60_000,
        tenant: "acme".into(),
        account: account(index),
        tier,
        millinats: 5_000,
        probability: 0.99,
        requests: 100,
        asks: 0b1,
        families: vec![FamilyEvidence { family: "kin".into(), millinats: 6_000 }],
        links: links.iter().map(link).collect(),
        ..Record::default()
    }
}

fn suspect(index: usize, minute: i64, links: &[Link]) -> Record {
    member(index, Tier::High, minute, links)
}

fn batch(clock_ms: i64, members: &[Record]) -> Batch {
    let mut records = Records::default();
    for (offset, member) in members.iter().enumerate() {
        let (key, payload) = (member.account.to_key(), Wire::new().to_bytes(member));
        records.push(offset as i64, member.time_ms, &key, Some(&payload), []);
    }
    let inputs = vec![InputBatch { topic: Topic::Members, partition: 0, records }];
    Batch { epoch: 1, partition: 0, clock_ms, taken_ms: None, inputs }
}

fn step(stage: &mut CampaignStage, members: &[Record]) -> Vec<Campaign> {
    let clock_ms = members.iter().map(|member| member.time_ms).min().unwrap_or(START_MS);
    said(&stage.step(&batch(clock_ms, members)))
}

fn said(effects: &Effects) -> Vec<Campaign> {
    let campaigns = effects.outputs.iter().filter(|output| output.topic == Topic::Campaigns);
    campaigns.map(|output| Wire::new().read(output.payload.as_ref().unwrap()).unwrap()).collect()
}

/// What a reader of all records knows in the end: the members of each campaign that is open.
type Known = BTreeMap<CampaignId, BTreeSet<AccountId>>;

fn read(known: &mut Known, campaigns: &[Campaign]) {
    for campaign in campaigns {
        let members = known.entry(campaign.campaign_id).or_default();
        members.extend(campaign.members.iter().map(|member| member.account));
        campaign.left.iter().for_each(|account| assert!(members.remove(account), "{account} was no member"));
        if campaign.status == CampaignStatus::Closed {
            known.remove(&campaign.campaign_id);
        } else {
            assert_eq!(members.len() as i64, campaign.member_count);
        }
    }
}

fn check(campaigns: &[Campaign], expected: Expect) {
    let names: BTreeMap<AccountId, usize> = (0..400).map(|index| (account(index), index)).collect();
    let list = |accounts: &mut dyn Iterator<Item = AccountId>| {
        let mut indexes: Vec<usize> = accounts.map(|account| names[&account]).collect();
        indexes.sort_unstable();
        indexes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let line = |c: &Campaign| {
        let id = c.campaign_id.to_string();
        let mut line = format!("{} #{} {}", &id[..4], c.sequence, c.status.as_str());
        if let Some(by) = c.absorbed_by {
            line += &format!(" absorbed by {}", &by.to_string()[..4]);
        }
        let parts = [
            ("joined", list(&mut c.members.iter().map(|member| member.account))),
            ("left", list(&mut c.left.iter().copied())),
            ("beside", list(&mut c.beside.iter().copied())),
        ];
        for (what, who) in parts.iter().filter(|(_, who)| !who.is_empty()) {
            line += &format!("; {what} {who}");
        }
        line
    };
    expected.assert_eq(&campaigns.iter().map(line).collect::<Vec<_>>().join("\n"));
}

fn three(stage: &mut CampaignStage) -> Vec<Campaign> {
    step(stage, &[suspect(0, 0, &[CARD]), suspect(1, 1, &[CARD]), suspect(2, 2, &[CARD])])
}

#[test]
fn three_suspects_of_one_group_are_a_campaign_and_two_are_not() {
    let mut stage = stage();
    check(&step(&mut stage, &[suspect(0, 0, &[CARD]), suspect(1, 1, &[CARD])]), expect![""]);
    check(&step(&mut stage, &[suspect(2, 2, &[CARD])]), expect!["aa54 #1 OPEN; joined 0 1 2"]);
    check(&step(&mut stage, &[suspect(3, 3, &[CARD])]), expect!["aa54 #2 OPEN; joined 3"]);
    // Nothing new for an hour, then that it goes on.
    check(&step(&mut stage, &[suspect(3, 4, &[CARD])]), expect![""]);
    check(&step(&mut stage, &[suspect(3, 64, &[CARD])]), expect!["aa54 #3 OPEN"]);
}

#[test]
fn a_record_tells_all_of_a_campaign() {
    let address = (LinkKind::Address, "home", 0);
    let of = |index, tier| member(index, tier, index as i64, &[CARD, address]);
    let bystander = member(9, Tier::Clear, 1, &[CARD]);
    let members = [of(0, Tier::Medium), of(1, Tier::Critical), suspect(2, 5, &[CARD]), bystander];
    let campaign = step(&mut stage(), &members).remove(0);
    let kinds: Vec<_> = campaign.links.iter().map(|l| (l.kind.as_str(), l.members, l.cents)).collect();
    assert_eq!(kinds, [("PAYMENT", 3, 1_200), ("ADDRESS", 2, 300)]);
    assert_eq!((campaign.evade_cents, campaign.requests, campaign.member_count), (1_500, 300, 3));
    assert_eq!(
        (campaign.tier, campaign.beside_count, &campaign.beside[..]),
        (Tier::Critical, 1, &[account(9)][..])
    );
    assert_eq!((campaign.since_ms, campaign.until_ms), (START_MS, START_MS + 5 * 60_000));
    assert_eq!(
        (&campaign.evidence[0].family[..], campaign.evidence[0].members, campaign.evidence[0].millinats),
        ("kin", 3, 6_000)
    );
    assert_eq!((&campaign.asks[0].what[..], campaign.asks[0].members), ("chain_of_thought", 3));
    let first = campaign.members.iter().find(|member| member.account == account(0)).unwrap();
    assert_eq!((first.tier, first.millinats, first.since_ms), (Tier::Medium, 5_000, START_MS));
}

#[test]
fn who_has_no_evidence_of_its_own_is_no_member_and_connects_nobody() {
    let (mut stage, other) = (stage(), (LinkKind::Subnet, "net", 3));
    three(&mut stage);
    // The bystander is in a group of both.
    let between = member(9, Tier::Clear, 3, &[CARD, other]);
    let second = [3, 4, 5].map(|index| suspect(index, 4, &[other]));
    check(&step(&mut stage, &[between]), expect![""]);
    check(&step(&mut stage, &second), expect!["27e3 #1 OPEN; joined 3 4 5; beside 9"]);
}

#[test]
fn groups_of_one_popular_value_whose_members_are_unlike_stay_apart() {
    let net = |least| (LinkKind::Subnet, "net", least);
    let members: Vec<_> = (0..8).map(|index| suspect(index, index as i64, &[net(index % 2)])).collect();
    check(
        &step(&mut stage(), &members),
        expect![[r#"
            aa54 #1 OPEN; joined 0 2 4 6
            90b9 #1 OPEN; joined 1 3 5 7"#]],
    );
}

#[test]
fn a_group_whose_least_member_changed_is_still_one() {
    let of = |index, least| suspect(index, index as i64, &[(LinkKind::Payment, "card", least)]);
    // The first two were told of 3 and nobody of anybody since; 3 itself was told of 0.
    let members = [of(4, 3), of(5, 3), of(3, 0), of(6, 0), of(7, 0)];
    check(&step(&mut stage(), &members), expect!["7e73 #1 OPEN; joined 3 4 5 6 7"]);
}

#[test]
fn campaigns_that_become_one_keep_the_elder_and_say_so() {
    let (mut stage, net) = (stage(), (LinkKind::Subnet, "net", 3));
    let mut known = Known::new();
    read(&mut known, &three(&mut stage));
    read(&mut known, &step(&mut stage, &[3, 4, 5].map(|index| suspect(index, 4, &[net]))));
    assert_eq!(known.len(), 2);
    let merged = step(&mut stage, &[suspect(1, 6, &[CARD, net])]);
    check(
        &merged,
        expect![[r#"
            aa54 #2 OPEN; joined 3 4 5
            27e3 #2 CLOSED absorbed by aa54"#]],
    );
    read(&mut known, &merged);
    assert_eq!(known.len(), 1);
    // The link is gone: the part with the earliest member keeps the name.
    check(
        &step(&mut stage, &[suspect(1, 7, &[CARD])]),
        expect![[r#"
            aa54 #3 OPEN; left 3 4 5
            27e3 #1 OPEN; joined 3 4 5"#]],
    );
}

#[test]
fn a_campaign_keeps_its_name_when_the_member_it_is_called_after_leaves() {
    let mut stage = stage();
    three(&mut stage);
    step(&mut stage, &[suspect(3, 3, &[CARD])]);
    check(&step(&mut stage, &[member(0, Tier::Clear, 4, &[])]), expect!["aa54 #3 OPEN; left 0"]);
    check(&step(&mut stage, &[suspect(4, 5, &[CARD])]), expect!["aa54 #4 OPEN; joined 4"]);
    // Cleared and still like the others: beside.
    check(
        &step(&mut stage, &[member(1, Tier::Clear, 6, &[CARD])]),
        expect!["aa54 #5 OPEN; left 1; beside 1"],
    );
}

#[test]
fn a_campaign_ends_with_its_members_evidence() {
    let mut stage = stage();
    three(&mut stage);
    check(&step(&mut stage, &[member(0, Tier::Clear, 4, &[])]), expect!["aa54 #2 CLOSED"]);
    assert_eq!(stage.entries(), 2);
    let mut stage = self::stage();
    three(&mut stage);
    let effects = stage.step(&batch(START_MS + 48 * 3_600_000 + 60_001, &[]));
    check(&said(&effects), expect!["aa54 #2 CLOSED"]);
    assert_eq!((effects.tallies, stage.entries()), (vec![(Tally::Expired, 2)], 1));
}

#[test]
fn a_tier_that_rises_is_told_and_a_cap_forgets_the_longest_idle() {
    let mut stage = stage().with_suspects_max(3);
    three(&mut stage);
    check(&step(&mut stage, &[member(2, Tier::Critical, 3, &[CARD])]), expect!["aa54 #2 OPEN; joined 2"]);
    let effects = stage.step(&batch(START_MS, &[suspect(3, 4, &[CARD])]));
    check(&said(&effects), expect!["aa54 #3 OPEN; joined 3; left 0"]);
    assert_eq!(effects.tallies, [(Tally::EvictedByCap, 1)]);
}

#[test]
fn a_record_of_another_account_is_impossible_and_the_stage_goes_on() {
    let mut batch = batch(START_MS, &[suspect(1, 0, &[CARD])]);
    let payload = Wire::new().to_bytes(&suspect(2, 0, &[CARD]));
    batch.inputs[0].records.push(1, 0, &account(3).to_key(), Some(&payload), []);
    batch.inputs[0].records.push(2, 0, &account(3).to_key(), Some(b"nonsense"), []);
    let effects = stage().step(&batch);
    assert_eq!((effects.judged, effects.dead_lettered), (1, 2));
}

#[test]
fn a_campaign_of_thousands_is_told_in_records_that_fit() {
    let members: Vec<_> = (0..2_500).map(|index| suspect(index, 0, &[CARD])).collect();
    let campaigns = step(&mut stage(), &members);
    assert_eq!(
        campaigns.iter().map(|campaign| campaign.members.len()).collect::<Vec<_>>(),
        [1_000, 1_000, 500]
    );
    assert!(campaigns.iter().all(|campaign| campaign.member_count == 2_500));
    assert!(campaigns.iter().all(|campaign| Wire::new().to_bytes(campaign).len() < 100_000));
}

/// Records of accounts in random groups: of each account one after the other, some of them without evidence.
fn members() -> impl Strategy<Value = Vec<Record>> {
    type Drawn = (usize, usize, Vec<(usize, usize)>);
    const VALUES: [(LinkKind, &str); 4] = [
        (LinkKind::Payment, "card"),
        (LinkKind::Subnet, "net"),
        (LinkKind::Program, "client"),
        (LinkKind::Habit, "settings"),
    ];
    let links = prop::collection::vec((0..4usize, 0..12usize), 0..4);
    let one = (0..24usize, 0..5usize, links);
    let to_member = |(number, (index, tier, links)): (usize, Drawn)| {
        let links: Vec<Link> = links.iter().map(|(v, least)| (VALUES[*v].0, VALUES[*v].1, *least)).collect();
        let tier = [Tier::Clear, Tier::Medium, Tier::High, Tier::High, Tier::Critical][tier];
        member(index, tier, number as i64 % 50, &links)
    };
    let all = prop::collection::vec(one, 1..60);
    all.prop_map(move |all| all.into_iter().enumerate().map(to_member).collect())
}

/// A stage that leaves every campaign alone for minutes.
fn patient() -> CampaignStage {
    CampaignStage { wait: Wait { from: 0, ms_each: 90_000 }, ..stage() }
}

#[test]
fn a_large_campaign_is_left_alone_while_accounts_join_it_and_not_when_it_comes_apart() {
    let mut stage = patient();
    three(&mut stage);
    check(&step(&mut stage, &[suspect(3, 3, &[CARD]), suspect(4, 3, &[CARD])]), expect![""]);
    check(&step(&mut stage, &[member(2, Tier::Critical, 4, &[CARD])]), expect![""]);
    // Three members were left alone for four and a half minutes.
    check(&step(&mut stage, &[suspect(5, 7, &[CARD])]), expect!["aa54 #2 OPEN; joined 2 3 4 5"]);
    check(&step(&mut stage, &[suspect(6, 8, &[CARD])]), expect![""]);
    check(&step(&mut stage, &[member(1, Tier::Clear, 8, &[])]), expect!["aa54 #3 OPEN; joined 6; left 1"]);
}

#[test]
fn a_link_of_several_that_comes_or_goes_is_no_reason_to_look_at_all_members() {
    let (mut stage, net) = (stage(), (LinkKind::Subnet, "net", 0));
    three(&mut stage);
    for (minute, links) in [(3, &[CARD, net][..]), (4, &[CARD]), (5, &[net, CARD])] {
        stage.fold(&batch(START_MS, &[suspect(1, minute, links)]));
        assert!(stage.touched.is_empty() && stage.before.is_empty(), "{links:?}");
    }
    // By the network alone it is with nobody.
    check(&step(&mut stage, &[suspect(1, 6, &[net])]), expect!["aa54 #2 CLOSED"]);
}

/// What is known when these records were folded in epochs of `epoch_len`.
fn known(members: &[Record], epoch_len: usize) -> Known {
    known_by(stage(), members, epoch_len)
}

/// The same by a stage, long after the last of them.
fn known_by(mut stage: CampaignStage, members: &[Record], epoch_len: usize) -> Known {
    let mut known = Known::new();
    for chunk in members.chunks(epoch_len) {
        read(&mut known, &said(&stage.step(&batch(START_MS, chunk))));
    }
    read(&mut known, &said(&stage.step(&batch(START_MS + 3 * 3_600_000, &[]))));
    known
}

#[test]
fn what_another_judge_told_is_believed_and_only_what_differs_is_told() {
    let (mut one, mut other) = (stage(), stage());
    let said = |effects: &Effects| {
        let mut records = Records::default();
        for (offset, output) in effects.outputs.iter().enumerate() {
            records.push(offset as i64, 0, &output.key, output.payload.as_deref(), []);
        }
        records
    };
    let first = batch(START_MS, &[suspect(0, 0, &[CARD]), suspect(1, 1, &[CARD]), suspect(2, 2, &[CARD])]);
    let second = batch(START_MS, &[suspect(3, 3, &[CARD]), suspect(4, 3, &[CARD])]);
    for batch in [&first, &second] {
        let effects = one.step(batch);
        other.adopt(batch, &[said(&effects)]).unwrap();
    }
    check(&self::said(&other.rejudge(&batch(START_MS, &[])).0), expect![""]);
    // One whose evidence is gone since, by an epoch of which the other judge said nothing.
    other.adopt(&batch(START_MS, &[member(3, Tier::Clear, 4, &[])]), &[Records::default()]).unwrap();
    check(&self::said(&other.rejudge(&batch(START_MS, &[])).0), expect!["aa54 #3 OPEN; left 3"]);
}

#[test]
fn accounts_that_an_older_build_saved_wait_for_no_campaign() {
    let mut before = stage();
    before.step(&batch(START_MS, &[suspect(1, 1, &[CARD]), suspect(2, 1, &[CARD]), suspect(3, 1, &[CARD])]));
    let mut after = stage();
    for StateEntry { key, body } in before.take_changes() {
        let body = body.unwrap();
        let is_account = parse_key(&key).is_none() && !InForce::is_its(&key);
        let body = if is_account { body.strip_suffix(&saved(&Label::default())[..]).unwrap() } else { &body };
        after.restore(&key, STATE_FORMAT - 1, body).unwrap();
    }
    let more = batch(START_MS, &[suspect(4, 2, &[CARD])]);
    assert_eq!(before.step(&more), after.step(&more));
    let unknown = after.restore(&[1; 16], STATE_FORMAT + 1, &[]).unwrap_err().to_string();
    assert!(unknown.contains("has format 3, this build reads 2"), "{unknown}");
}

proptest! {
    #[test]
    fn a_restored_stage_goes_on_with_the_same_bytes(
        members in members(), epoch_len in 1..9usize, is_patient in any::<bool>()
    ) {
        let stage = if is_patient { patient } else { stage };
        let (mut straight, mut restarted) = (stage(), stage());
        let mut state: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for chunk in members.chunks(epoch_len) {
            let batch = batch(START_MS, chunk);
            prop_assert_eq!(straight.step(&batch), restarted.step(&batch));
            for StateEntry { key, body } in restarted.take_changes() {
                match body {
                    Some(body) => state.insert(key, body),
                    None => state.remove(&key),
                };
            }
            restarted = stage();
            for (key, body) in &state {
                restarted.restore(key, STATE_FORMAT, body).unwrap();
            }
            prop_assert_eq!(straight.entries(), restarted.entries());
        }
    }

    #[test]
    fn who_belongs_together_depends_on_the_last_records_and_not_on_epochs(
        members in members(), epoch_len in 1..60usize
    ) {
        // What they are called may differ where campaigns came apart in between.
        let parts = |known: Known| known.into_values().collect::<BTreeSet<_>>();
        prop_assert_eq!(parts(known(&members, 60)), parts(known(&members, epoch_len)));
        // Nor on whether they were left alone for a while.
        prop_assert_eq!(parts(known(&members, 60)), parts(known_by(patient(), &members, epoch_len)));
    }

    #[test]
    fn the_order_of_accounts_and_the_cut_of_epochs_change_nothing(
        (one, other) in members().prop_flat_map(|mut members| {
            // The first record of each account, in any order.
            let mut seen = BTreeSet::new();
            members.retain(|member| seen.insert(member.account));
            (Just(members.clone()), Just(members).prop_shuffle())
        }),
        epoch_len in 1..30usize,
    ) {
        prop_assert_eq!(known(&one, 30), known(&other, epoch_len));
    }
}
