//! The cluster stage against links.

use super::*;
use crate::fixture::{START_MS, card, hash};
use expect_test::expect;
use proptest::prelude::*;
use weir_schemas::Card;
use weir_topology::record::Records;
use weir_topology::stage::InputBatch;

fn stage() -> ClusterStage {
    ClusterStage::new(Arc::new(Wire::new()), Arc::new(Policy::builtin()))
}

fn account(index: usize) -> AccountId {
    AccountId(hash(&format!("account {index}")).0)
}

/// A link of an account whose pauses are `pace` per cent longer than those of the others.
fn link(index: usize, pace: i32, time_ms: i64) -> Link {
    let card = card();
    Link {
        time_ms,
        tenant: "acme".into(),
        kind: LinkKind::Payment,
        value: hash("card"),
        account: account(index),
        card: Card { pause_millinats: card.pause_millinats + 10 * pace, ..card },
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
        format!("{index}: {} of {}", (word.alike_milli + 500) / 1_000, word.members)
    };
    words(effects).into_iter().map(line).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_value_of_one_account_tells_nothing() {
    expect![""].assert_eq(&told(&step(&mut stage(), &[link(1, 900, START_MS)])));
}

#[test]
fn the_account_that_linked_is_answered_and_those_like_it_when_they_are_more() {
    let mut stage = stage();
    expect!["2: 1 of 2, 1: 1 of 2"]
        .assert_eq(&told(&step(&mut stage, &[link(1, 0, START_MS), link(2, 1, START_MS)])));
    // One that does other things is nobody's company, and makes the likeness of the others the greater a
    // surprise.
    expect!["2: 1 of 3, 1: 1 of 3"].assert_eq(&told(&step(&mut stage, &[link(3, 200, START_MS)])));
    let effects = step(&mut stage, &[link(4, 0, START_MS)]);
    let mut lines: Vec<_> = told(&effects).split(", ").map(str::to_owned).collect();
    lines.sort();
    expect!["1: 2 of 4 2: 2 of 4 4: 2 of 4"].assert_eq(&lines.join(" "));
    // Told once is enough.
    expect![""].assert_eq(&told(&step(&mut stage, &[link(4, 0, START_MS)])));
}

#[test]
fn what_is_told_last_does_not_depend_on_how_epochs_are_cut() {
    let links: Vec<_> = (0..120).map(|at| link(at % 30, (at / 30 + at % 4) as i32 * 4, START_MS)).collect();
    let last_told = |epoch_len: usize| {
        let (mut stage, mut last) = (stage(), BTreeMap::new());
        for chunk in links.chunks(epoch_len) {
            for word in words(&step(&mut stage, chunk)) {
                last.insert(word.account, Cluster { members: 0, sample: Vec::new(), ..word });
            }
        }
        last
    };
    let whole = last_told(120);
    assert_eq!(whole.len(), 30);
    for epoch_len in [1, 7, 50] {
        assert_eq!(last_told(epoch_len), whole, "epochs of {epoch_len}");
    }
}

#[test]
fn who_links_after_long_is_told_again_what_it_was_told() {
    let mut stage = stage();
    step(&mut stage, &[link(1, 0, START_MS), link(2, 0, START_MS)]);
    let later_ms = START_MS + 12 * 3_600_000;
    expect![""].assert_eq(&told(&step(&mut stage, &[link(1, 0, later_ms - 3_600_000)])));
    expect!["1: 1 of 2"].assert_eq(&told(&step(&mut stage, &[link(1, 0, later_ms)])));
}

#[test]
fn an_account_that_is_no_longer_like_the_others_is_told_so_once() {
    let mut stage = stage();
    step(&mut stage, &[link(1, 0, START_MS), link(2, 0, START_MS)]);
    expect!["2: 0 of 2, 1: 0 of 2"].assert_eq(&told(&step(&mut stage, &[link(2, 300, START_MS)])));
    expect![""].assert_eq(&told(&step(&mut stage, &[link(2, 300, START_MS)])));
}

#[test]
fn members_that_have_nothing_else_in_common_are_told_nothing() {
    let links: Vec<_> = (0..30).map(|index| link(index, 150 * index as i32, START_MS)).collect();
    assert_eq!(words(&step(&mut stage(), &links)).len(), 0);
}

#[test]
fn a_word_says_who_is_alike_and_how_likely_it_was() {
    let links: Vec<_> = (0..20).map(|index| link(index, index as i32 % 2 * 400, START_MS)).collect();
    let told = words(&step(&mut stage(), &links));
    let word = told.into_iter().find(|word| word.account == account(19)).unwrap();
    let mut alike: Vec<_> = (0..9).map(|index| account(2 * index + 1)).collect();
    alike.sort();
    assert_eq!(word.sample, alike);
    expect!["8.7 of 19 compared are alike, 450 of 1000; chance -6.2 nats"].assert_eq(&format!(
        "{:.1} of {} compared are alike, {} of 1000; chance {:.1} nats",
        f64::from(word.alike_milli) / 1e3,
        word.compared,
        word.share_permille,
        f64::from(word.chance_millinats) / 1e3
    ));
}

#[test]
fn a_value_that_ten_thousand_accounts_share_stays_small_and_its_fan_out_bounded() {
    let mut stage = stage();
    let links: Vec<_> = (0..10_000).map(|index| link(index, 0, START_MS)).collect();
    let effects = step(&mut stage, &links);
    assert_eq!(effects.outputs.len(), 10_000);
    let entry = stage.take_changes().remove(0).body.unwrap();
    assert!(entry.len() < 6_000, "{} bytes", entry.len());
    // Whoever comes next is answered, and tells nobody anything new.
    let effects = step(&mut stage, &[link(10_000, 0, START_MS)]);
    assert!(effects.outputs.len() <= 1, "{}", effects.outputs.len());
}

#[test]
fn members_of_more_tenants_than_are_remembered_are_told_when_they_link_and_otherwise_counted() {
    let mut stage = stage();
    for index in 0..9 {
        step(&mut stage, &[Link { tenant: format!("tenant {index}"), ..link(index, 0, START_MS) }]);
    }
    let effects = step(&mut stage, &[link(20, 0, START_MS)]);
    assert!(effects.tallies.contains(&(Tally::FanOutSkipped, 1)), "{:?}", effects.tallies);
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
    let one = (0..90usize, 0..90i32, 0..4_000_000i64);
    let link = one.prop_map(|(index, pace, ms)| link(index, pace, START_MS + ms));
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
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_order_in_which_accounts_come_changes_nothing(
        (one, other) in Just((0..90).map(|index| link(index, index as i32 % 7, START_MS)).collect::<Vec<_>>())
            .prop_flat_map(|links| (Just(links.clone()), Just(links).prop_shuffle()))
    ) {
        let last = |links: &[Link]| {
            let mut stage = stage();
            step(&mut stage, links);
            words(&step(&mut stage, &[link(95, 3, START_MS + 1)])).into_iter().find(|word| word.account == account(95))
        };
        prop_assert_eq!(last(&one), last(&other));
    }
}
