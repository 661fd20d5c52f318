//! Planted worlds: what is found, what a bound forbids, what was only learnt by heart.

use super::evidence::planted::{Planted, heard};
use super::*;
use expect_test::{Expect, expect};

/// Two kinds of campaigns in which accounts are alike and paid for together, and two honest populations.
const WORLD: [Planted<'static>; 4] = [
    campaign("hydra.naive", 20, &[("kin", 7_000), ("bond", 3_000)]),
    campaign("relay.naive", 20, &[("kin", 7_000), ("bond", 3_500), ("rhythm", -500)]),
    honest("chat", 200, &[("rhythm", -1_500), ("harvest", 1_000)]),
    honest("agents", 100, &[("rhythm", 4_000), ("harvest", -2_000)]),
];

const fn campaign(
    name: &'static str,
    accounts: u64,
    said: &'static [(&'static str, i32)],
) -> Planted<'static> {
    Planted { name, is_campaign: true, accounts, tenant: "default", said }
}

const fn honest(name: &'static str, accounts: u64, said: &'static [(&'static str, i32)]) -> Planted<'static> {
    Planted { name, is_campaign: false, accounts, tenant: "default", said }
}

/// The built-in policy with another text in it.
fn policy(from: &str, to: &str) -> Policy {
    let text = Policy::builtin_text().replacen(from, to, 1);
    assert_ne!(text, Policy::builtin_text());
    Policy::parse(&text).unwrap()
}

/// A policy in which `bond` says next to nothing.
fn mis_set() -> Policy {
    policy(
        "[detectors.bond]\nenabled = true\nnats_max = 5.0",
        "[detectors.bond]\nenabled = true\nnats_max = 0.1",
    )
}

fn options(fpr_max: f64) -> Options {
    let bounds = Bounds { fpr_max, fpr_max_of: BTreeMap::new() };
    Options { bounds, seed: 7, tried_max: 20_000 }
}

fn tuned(policy: &Policy, world: &[Planted<'_>], fpr_max: f64) -> Report {
    let bank = Bank::new(policy);
    let heard = heard(&bank, world);
    tune(&heard, policy, &bank, &options(fpr_max), &mut |_| {}).report
}

fn check(report: &Report, expected: Expect) {
    // How many were tried says nothing of what was found.
    expected.assert_eq(&Report { tried: 0, ..report.clone() }.to_string());
}

#[test]
fn a_weight_that_was_set_wrong_is_found_again() {
    check(
        &tuned(&mis_set(), &WORLD, 0.005),
        expect![[r#"
            a better policy
            policy      builtin-10
            tried       0 policies on 0 events of 1 worlds, seed 7
            campaigns   0 found, 2 with the candidate, 0 lost
            over caps   0 honest accounts, 0 with the candidate

            changes                               from        to
            detectors.bond.nats_max                0.1       2.1

            accounts                                 precision        to    recall        to    honest        to
            all                                         0.0000    1.0000    0.0000    1.0000         0         0
            left out, together                          0.0000    1.0000    0.0000    1.0000         0         0
            without hydra, agents                       0.0000    1.0000    0.0000    1.0000         0         0
            without relay, chat                         0.0000    1.0000    0.0000    1.0000         0         0
        "#]],
    );
}

#[test]
fn the_same_seed_finds_the_same() {
    assert_eq!(tuned(&mis_set(), &WORLD, 0.005), tuned(&mis_set(), &WORLD, 0.005));
}

#[test]
fn a_policy_that_makes_no_mistake_is_left_alone() {
    check(
        &tuned(&Policy::builtin(), &WORLD, 0.005),
        expect![[r#"
            nothing better within the bounds
            policy      builtin-10
            tried       0 policies on 0 events of 1 worlds, seed 7
            campaigns   2 found, 2 with the candidate, 0 lost
            over caps   0 honest accounts, 0 with the candidate

            changes                               from        to
            none

            accounts                                 precision        to    recall        to    honest        to
            all                                         1.0000    1.0000    1.0000    1.0000         0         0
        "#]],
    );
}

#[test]
fn what_would_flag_too_many_of_a_population_is_not_found() {
    // Honest accounts that nothing tells from the campaigns.
    let alike = honest("alike", 10, &[("kin", 7_000), ("bond", 3_500), ("rhythm", -500)]);
    let [hydra, relay, chat, agents] = WORLD;
    let world = [Planted { said: alike.said, ..hydra }, relay, chat, agents, alike];
    assert_eq!(tuned(&mis_set(), &world, 0.005).outcome, Outcome::NothingBetter);
    let allowed = tuned(&mis_set(), &world, 1.0);
    assert_eq!((allowed.outcome, allowed.accounts[1].tp, allowed.accounts[1].fp), (Outcome::Better, 40, 10));
}

#[test]
fn a_campaign_that_is_found_is_not_given_up_for_many_others() {
    // The whale is found by volume alone, and so are the honest who take much: giving both up would be better
    // by F1.
    let [hydra, relay, chat, agents] = WORLD;
    let whale = campaign("whale", 2, &[("whale", 5_000), ("rhythm", 4_000)]);
    let large = honest("large", 30, &[("whale", 5_000), ("rhythm", 4_000)]);
    let world = [hydra, relay, chat, agents, whale, large];
    let before = tuned(&Policy::builtin(), &world, 1.0);
    assert_eq!((before.accounts[0].tp, before.accounts[0].fp), (42, 30));
    assert_eq!(before.outcome, Outcome::NothingBetter, "{before}");
}

#[test]
fn what_is_better_only_by_heart_is_not_written() {
    // The first kind is found by a higher prior, or without `owner`. A higher prior would flag the second
    // population: only who has seen that knows.
    let world = [
        campaign("one", 10, &[("kin", 6_000), ("bond", 1_000), ("owner", -300)]),
        honest("first", 300, &[("rhythm", -1_500)]),
        campaign("two", 10, &[("kin", 7_000), ("bond", 5_000)]),
        honest("second", 300, &[("kin", 5_700), ("bond", 1_000)]),
    ];
    let report = tuned(&Policy::builtin(), &world, 0.005);
    check(
        &report,
        expect![[r#"
            what is better here is worse on what folds left out: nothing was written
            policy      builtin-10
            tried       0 policies on 0 events of 1 worlds, seed 7
            campaigns   1 found, 2 with the candidate, 0 lost
            over caps   0 honest accounts, 0 with the candidate

            changes                               from        to
            detectors.owner.nats_max                 4       off
            tiers.medium                          0.35      0.37

            accounts                                 precision        to    recall        to    honest        to
            all                                         1.0000    1.0000    0.5000    1.0000         0         0
            left out, together                          1.0000    0.0323    0.5000    0.5000         0       300
            without one, first                          0.0000    0.0000    0.0000    0.0000         0         0
            without two, second                         1.0000    0.0323    1.0000    1.0000         0       300
        "#]],
    );
}

#[test]
fn an_evaluation_that_says_otherwise_is_believed() {
    let policy = mis_set();
    let bank = Bank::new(&policy);
    let heard = heard(&bank, &WORLD);
    let mut tuning = tune(&heard, &policy, &bank, &options(0.005), &mut |_| {});
    assert!(tuning.candidate("mine").unwrap().contains("version = \"mine\""));
    tuning.confirm(&Judged::default(), &Judged::default(), ["a", "b"]);
    assert_eq!(tuning.report.outcome, Outcome::NotConfirmed);
    assert_eq!(tuning.candidate("mine"), None);
}

/// A campaign of a tenant that has `bond` at its full weight, in a policy that mis-sets it for the fleet.
#[test]
fn accounts_of_a_tenant_are_held_against_its_own_rules_which_tuning_leaves_alone() {
    let said = "[tenants.acme.detectors.bond]\nnats_max = 5.0\n";
    let mis_set = Policy::parse(&(mis_set().text + said)).unwrap();
    let of_acme = |world: [Planted<'static>; 4]| world.map(|group| Planted { tenant: "acme", ..group });
    let [fleets, acmes] = [&WORLD, &of_acme(WORLD)].map(|world| tuned(&mis_set, world, 0.005));
    assert_eq!((fleets.campaigns_found, fleets.outcome), ([0, 2], Outcome::Better));
    assert_eq!(acmes.campaigns_found, [2, 2], "its rules find them already");
    let bank = Bank::new(&mis_set);
    let heard = heard(&bank, &WORLD);
    let text = tune(&heard, &mis_set, &bank, &options(0.005), &mut |_| {}).candidate("better").unwrap();
    assert!(text.ends_with(said), "{text}");
    let candidate = Policy::parse(&text).unwrap();
    assert_eq!(candidate.of("acme").detectors.bond.as_ref().unwrap().nats_max, 5.0);
}

#[test]
fn whoever_listens_hears_all_that_the_detectors_of_every_tenant_say() {
    let said = "[tenants.acme]\ntiers.medium = 0.5\nfusion.prior_nats = -9.0\ncooldown.high_s = 60\n\
                detectors.bond.nats_max = 0.5\ndetectors.kin.nats_max = 2.0\ndetectors.theme.enabled = false\n";
    let policy = Policy::parse(&(Policy::builtin_text().to_owned() + said)).unwrap();
    for (_, ear) in super::evidence::Ears::of(&Bank::new(&policy)).each {
        let (acme, fleet) = (ear.of("acme"), ear.fleet());
        assert_eq!(
            (&acme.tiers, &acme.fusion, &acme.cooldown),
            (&fleet.tiers, &fleet.fusion, &fleet.cooldown)
        );
        assert_eq!(acme.detectors.bond, fleet.detectors.bond, "cut nowhere");
        assert_eq!(acme.detectors.kin.as_ref().unwrap().nats_max, 2.0, "a cap that is read is the tenant's");
        assert!(acme.detectors.theme.as_ref().is_some_and(|theme| !theme.enabled), "what is off stays off");
    }
}
