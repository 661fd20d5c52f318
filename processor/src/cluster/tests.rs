//! The cluster stage against links.

use super::*;
use crate::fixture::{START_MS, hash};
use expect_test::expect;
use proptest::prelude::*;
use weir_topology::record::Records;
use weir_topology::stage::InputBatch;

fn stage() -> ClusterStage {
    ClusterStage::new(Arc::new(Wire::new()), Arc::new(Policy::builtin()))
}

fn account(index: usize) -> AccountId {
    AccountId(hash(&format!("account {index}")).0)
}

fn link(index: usize, suspicion_permille: i32, time_ms: i64) -> Link {
    Link {
        time_ms,
        tenant: "acme".into(),
        kind: LinkKind::Payment,
        value: hash("card"),
        account: account(index),
        suspicion_permille,
        phrases: if suspicion_permille > 0 { 0b101 } else { 0b010 },
        ..Default::default()
    }
}

fn batch(clock_ms: i64, links: &[Link]) -> Batch {
    let mut records = Records::default();
    for (offset, link) in links.iter().enumerate() {
        let key = to_key((link.kind as u8, link.value));
        records.push(offset as i64, link.time_ms, &key, Some(&Wire::new().to_bytes(link)), []);
    }
    let inputs = vec![InputBatch { topic: Topic::Links, partition: 0, records }];
    Batch { epoch: 1, partition: 0, clock_ms, taken_ms: None, inputs }
}

fn step(stage: &mut ClusterStage, links: &[Link]) -> Effects {
    stage.step(&batch(START_MS, links))
}

fn words(effects: &Effects) -> Vec<Cluster> {
    let clusters = effects.outputs.iter().filter(|output| output.topic == Topic::Clusters);
    clusters.map(|output| Wire::new().read(output.payload.as_ref().unwrap()).unwrap()).collect()
}

/// Who was told what, in short.
fn told(effects: &Effects) -> String {
    let names: Vec<_> = (0..200).map(account).collect();
    let line = |word: Cluster| {
        let index = names.iter().position(|account| *account == word.account).unwrap();
        format!("{index}: {} of {}", word.suspicious, word.members)
    };
    words(effects).into_iter().map(line).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_value_of_one_account_tells_nothing() {
    expect![""].assert_eq(&told(&step(&mut stage(), &[link(1, 900, START_MS)])));
}

#[test]
fn the_account_that_linked_is_answered_and_the_others_when_suspicion_grows() {
    let mut stage = stage();
    expect![""].assert_eq(&told(&step(&mut stage, &[link(1, 0, START_MS), link(2, 0, START_MS)])));
    expect!["1: 1 of 3"].assert_eq(&told(&step(&mut stage, &[link(3, 0, START_MS), link(1, 400, START_MS)])));
    expect!["2: 2 of 3, 3: 3 of 3, 1: 3 of 3, 2: 3 of 3"]
        .assert_eq(&told(&step(&mut stage, &[link(2, 400, START_MS), link(3, 400, START_MS)])));
    // Told once is enough.
    expect!["3: 3 of 3"].assert_eq(&told(&step(&mut stage, &[link(3, 400, START_MS)])));
}

#[test]
fn members_of_an_innocent_value_are_told_nothing() {
    let links: Vec<_> = (0..100).map(|index| link(index, 0, START_MS)).collect();
    assert_eq!(words(&step(&mut stage(), &links)).len(), 0);
}

#[test]
fn a_word_says_what_is_common_to_the_suspects_and_who_came_when() {
    let mut links: Vec<_> = (0..20).map(|index| link(index, 0, START_MS)).collect();
    links.extend((0..4).map(|index| link(index, 500, START_MS + 1)));
    links.extend((20..25).map(|index| link(index, 0, START_MS + 7_200_000)));
    let word = words(&step(&mut stage(), &links)).pop().unwrap();
    assert_eq!(word.sample, (0..16).map(account).collect::<Vec<_>>());
    expect!["4 of 25, 5 recent, phrases 101, first after 0 ms"].assert_eq(&format!(
        "{} of {}, {} recent, phrases {:b}, first after {} ms",
        word.suspicious,
        word.members,
        word.recent,
        word.phrases,
        word.first_ms - START_MS
    ));
}

#[test]
fn a_value_that_a_hundred_thousand_accounts_share_stays_small_and_its_fan_out_bounded() {
    let mut stage = stage();
    let links: Vec<_> =
        (0..100_000).map(|index| link(index, if index % 3 == 0 { 500 } else { 0 }, START_MS)).collect();
    let effects = step(&mut stage, &links);
    // One answer for each link, and at most 63 others at each step of two ladders.
    assert!(effects.outputs.len() < 100_000 + 2 * 24 * 63, "{}", effects.outputs.len());
    assert!(effects.tallies.iter().any(|(tally, _)| *tally == Tally::FanOutSkipped));
    let entry = stage.take_changes().remove(0).body.unwrap();
    assert!(entry.len() < 3_000, "{} bytes", entry.len());
}

#[test]
fn a_link_under_another_key_is_impossible_and_the_stage_goes_on() {
    let mut batch = batch(START_MS, &[link(1, 0, START_MS)]);
    batch.inputs[0].records.push(1, 0, b"ORG/xyz", Some(&Wire::new().to_bytes(&link(2, 0, START_MS))), []);
    batch.inputs[0].records.push(2, 0, b"ORG/xyz", Some(b"nonsense"), []);
    let effects = stage().step(&batch);
    assert_eq!((effects.judged, effects.dead_lettered), (1, 2));
}

#[test]
fn an_idle_value_is_new_and_is_evicted_by_the_tasks_clock() {
    let mut stage = stage();
    step(&mut stage, &[link(1, 0, START_MS), link(2, 0, START_MS)]);
    let later_ms = START_MS + 169 * 3_600_000;
    assert_eq!(words(&step(&mut stage, &[link(3, 0, later_ms)])).len(), 0);
    let effects = stage.step(&batch(later_ms + 200 * 3_600_000, &[]));
    assert_eq!((effects.tallies, stage.entries()), (vec![(Tally::Expired, 1)], 0));
    assert_eq!(stage.take_changes(), [StateEntry { key: to_key((1, hash("card"))), body: None }]);
}

fn links() -> impl Strategy<Value = Vec<Link>> {
    let one = (0..90usize, 0..4i32, 0..4_000_000i64);
    let link = one.prop_map(|(index, suspicion, ms)| link(index, suspicion * 200, START_MS + ms));
    prop::collection::vec(link, 1..300)
}

proptest! {
    #[test]
    fn a_restored_stage_goes_on_with_the_same_bytes(links in links(), epoch_len in 1..60usize) {
        let (mut straight, mut restarted) = (stage(), stage());
        for chunk in links.chunks(epoch_len) {
            prop_assert_eq!(step(&mut straight, chunk), step(&mut restarted, chunk));
            let entries = restarted.take_changes();
            restarted = stage();
            for entry in entries {
                restarted.restore(&entry.key, STATE_FORMAT, &entry.body.unwrap()).unwrap();
            }
        }
    }

    #[test]
    fn the_order_of_links_does_not_change_the_count(
        (one, other) in links().prop_flat_map(|links| (Just(links.clone()), Just(links).prop_shuffle()))
    ) {
        let last = |links: &[Link]| {
            let mut stage = stage();
            step(&mut stage, links);
            words(&step(&mut stage, &[link(95, 900, START_MS + 5_000_000), link(96, 900, START_MS + 5_000_000)])).pop()
        };
        let (one, other) = (last(&one).unwrap(), last(&other).unwrap());
        prop_assert_eq!((one.members, one.suspicious), (other.members, other.suspicious));
        prop_assert_eq!(one.first_ms, other.first_ms);
    }
}
