//! Golden scenarios: who is spoken of, how, and why; the same straight, restarted all the time, and
//! over another number of partitions.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod support;

use expect_test::{ExpectFile, expect_file};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use support::pipeline::{Run, STRAIGHT, Shape, run};
use support::scenario::{START_MS, Scenario, parse};
use weir_processor::JUDGE_VERSION;
use weir_processor::policy::Policy;

const MARK: &str = "\n---- what Weir says ----\n";

/// Runs the scenario at the top of a file in four ways and compares with the verdicts below it.
fn check(file: &str, expected: ExpectFile) {
    check_by(&Policy::builtin(), file, expected);
}

/// The same by another policy.
fn check_by(policy: &Policy, file: &str, expected: ExpectFile) {
    let story = file.split(MARK).next().unwrap();
    let scenario = parse(story);
    let straight = run(policy, &scenario.arrivals, STRAIGHT);
    assert_eq!(straight.events_judged, scenario.arrivals.len() as u64);
    assert_eq!(straight.dead_letters, 0);
    for shape in [
        Shape { partitions: 1, restart_every: Some(37) },
        Shape { partitions: 4, restart_every: None },
        Shape { partitions: 4, restart_every: Some(101) },
    ] {
        let other = run(policy, &scenario.arrivals, shape);
        assert_eq!(other.verdicts.len(), straight.verdicts.len(), "{shape:?}");
        for (one, other) in straight.verdicts.iter().zip(&other.verdicts) {
            assert_eq!(one, other, "{shape:?}");
        }
        assert_eq!((other.links, other.clusters), (straight.links, straight.clusters), "{shape:?}");
        assert_eq!(other.campaigns, straight.campaigns, "{shape:?}");
        assert_eq!(other.said, straight.said, "{shape:?}");
    }
    expected.assert_eq(&format!("{story}{MARK}{}", tell(&scenario, &straight)));
}

/// One line for each way in which accounts were spoken of.
fn tell(scenario: &Scenario, run: &Run) -> String {
    let mut said: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for verdict in &run.verdicts {
        let minute = (verdict.time_ms - START_MS) / 60_000;
        let why: Vec<&str> = (verdict.signals.iter())
            .filter(|signal| signal.millinats >= 500)
            .map(|signal| signal.detector.as_str())
            .collect();
        said.entry(&scenario.names[&verdict.account]).or_default().push(format!(
            "  at {minute} min {} {:.2} by {}",
            verdict.tier,
            verdict.score,
            why.join(", ")
        ));
    }
    let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, lines) in said {
        alike.entry(lines.join("\n")).or_default().push(name);
    }
    let mut groups: Vec<_> = alike.into_iter().map(|(lines, names)| (names, lines)).collect();
    groups.sort();
    let spoken: usize = groups.iter().map(|(names, _)| names.len()).sum();
    let mut text = format!(
        "{} accounts, {} events, {} links, {} cluster records; {spoken} accounts spoken of\n",
        scenario.names.len(),
        scenario.arrivals.len(),
        run.links,
        run.clusters
    );
    for (names, lines) in groups {
        let _ = writeln!(text, "{}\n{lines}", names.join(" "));
    }
    for (id, members) in &run.campaigns {
        let last = run.said.iter().rfind(|campaign| campaign.campaign_id == *id).unwrap();
        let kinds: BTreeSet<&str> = last.links.iter().map(|link| link.kind.as_str()).collect();
        let kinds: Vec<&str> = kinds.into_iter().collect();
        let mut names: Vec<&str> = members.iter().map(|account| &scenario.names[account][..]).collect();
        names.sort_unstable();
        let _ = writeln!(
            text,
            "one campaign, {}, {} accounts by {}, {} cents a month to evade it; {} beside: {}",
            last.tier,
            members.len(),
            kinds.join(" "),
            last.evade_cents,
            last.beside_count,
            names.join(" ")
        );
    }
    text
}

/// Where a judge wrote down what its judgement of every scenario comes to.
const JUDGE: &str = include_str!("golden/judge.txt");

/// What makes a judge, and what its judgement comes to: every record and all of the state of every scenario.
fn judge(files: &[&str]) -> (String, String) {
    let mut sha = Sha256::new();
    for file in files {
        let scenario = parse(file.split(MARK).next().unwrap());
        sha.update(run(&Policy::builtin(), &scenario.arrivals, STRAIGHT).sha.finalize());
    }
    let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let judge = format!("version {JUDGE_VERSION}\npolicy  {}\n", hex(Policy::builtin().digest.0));
    (judge, format!("records {}\n", hex(sha.finalize().into())))
}

macro_rules! golden {
    ($($test:ident: $file:literal),+ $(,)?) => {
        #[test]
        fn who_judges_differently_is_another_judge() {
            let (judge, records) = judge(&[$(include_str!(concat!("golden/", $file))),+]);
            assert!(
                !JUDGE.starts_with(&judge) || JUDGE == format!("{judge}{records}"),
                "The same policy gives other records, or another state, than it gave before: raise \
                 weir_processor::JUDGE_VERSION, and then write the new judge down with UPDATE_EXPECT=1. Without, a \
                 task that is upgraded would take what was never said for said."
            );
            expect_file!["golden/judge.txt"].assert_eq(&format!("{judge}{records}"));
        }
    $(
        #[test]
        fn $test() {
            check(include_str!(concat!("golden/", $file)), expect_file![concat!("golden/", $file)]);
        }
    )+};
}

golden! {
    a_campaign_of_twelve_is_critical: "campaign.txt",
    the_users_of_one_honest_sdk_are_not_a_campaign: "honest_sdk.txt",
    a_class_that_hands_in_the_same_homework_is_left_alone: "homework.txt",
    colleagues_with_a_coding_agent_are_left_alone: "agents.txt",
    an_evaluation_run_is_left_alone: "harness.txt",
    a_heavy_batch_customer_is_left_alone: "heavy_batch.txt",
    a_low_and_slow_campaign_is_found_and_one_such_account_alone_is_not: "low_and_slow.txt",
    an_office_behind_one_address_is_left_alone: "office.txt",
    a_person_who_switches_models_is_left_alone: "model_switcher.txt",
    innocents_beside_a_campaign_are_not_taken_down_with_it: "bystanders.txt",
    late_events_change_nothing_but_windows: "late.txt",
    a_customer_with_a_history_is_not_framed_by_those_who_clone_it: "framing.txt",
    a_newcomer_is_not_framed_by_those_who_copy_how_its_prompts_begin_and_its_pace: "framing_newcomer.txt",
    a_campaign_that_is_two_fifths_of_its_peers_is_found_and_no_peer_is: "poisoning.txt",
    a_hydra_of_six_is_one_campaign: "hydra_6.txt",
    a_hydra_of_forty_is_one_campaign: "hydra_40.txt",
    a_hydra_of_four_hundred_is_one_campaign: "hydra_400.txt",
    two_campaigns_that_share_a_popular_value_stay_two: "two_campaigns.txt",
    accounts_of_one_card_that_harvest_are_spoken_of_and_a_laboratory_a_household_and_an_agency_are_not: "payer.txt",
    an_organisation_whose_accounts_each_pay_by_a_card_of_their_own_excuses_nobody: "divided_organisation.txt",
    who_says_browser_over_one_library_is_spoken_of_and_those_behind_a_proxy_or_a_server_are_not: "disguise.txt",
}

/// What a strict and a lenient tenant have otherwise than the fleet.
const TENANTS: &str = r#"
[tenants.strict.tiers]
high = 0.4
critical = 0.55
[tenants.strict.cooldown]
critical_s = 240

[tenants.lenient.tiers]
high = 0.75
critical = 0.98
[tenants.lenient.detectors.elicitation]
enabled = false
"#;

#[test]
fn the_same_traffic_is_judged_by_the_rules_of_its_tenant_straight_restarted_and_rebalanced() {
    let policy = Policy::parse(&(Policy::builtin_text().to_owned() + TENANTS)).unwrap();
    check_by(&policy, include_str!("golden/tenants.txt"), expect_file!["golden/tenants.txt"]);
}
