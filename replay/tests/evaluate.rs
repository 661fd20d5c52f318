//! An evaluation against one that was counted by hand.

#![allow(clippy::unwrap_used)]

mod common;

use common::{event, poison, stages, wire};
use expect_test::expect;
use std::collections::BTreeMap;
use weir_replay::evaluate::case::{Case, Outcome};
use weir_replay::evaluate::diff::Diff;
use weir_replay::evaluate::intake::{Intake, Labelled};
use weir_replay::evaluate::report::Report;
use weir_replay::evaluate::truth::Truth;
use weir_replay::evaluate::{Judged, judge};
use weir_replay::lockstep::Layout;
use weir_schemas::{AccountId, CampaignId, Signal, Tier, Verdict};
use weir_topology::log::{Commit, Log as _};
use weir_topology::record::{LABEL_HEADER, POPULATION_HEADER};

/// Two campaigns, of two accounts and of one, and honest accounts of two populations. Whoever asks a third
/// time is MEDIUM, and CRITICAL whoever asks a fifth time.
fn judged() -> Judged {
    let accounts: [(&str, i64, Option<&str>, &str); 6] = [
        ("loud", 6, Some("hydra.naive"), "campaign"),
        ("middling", 4, Some("hydra.naive"), "campaign"),
        ("quiet", 2, Some("slow.careful"), "campaign"),
        ("busy", 3, None, "agents"),
        ("calm", 1, None, "agents"),
        ("other", 2, Some("benign"), "chat"),
    ];
    let (mut truth, mut outcomes, mut events) = (Truth::default(), BTreeMap::new(), 0);
    for (number, (_, asks, label, population)) in accounts.into_iter().enumerate() {
        let account = AccountId([number as u8 + 1; 16]);
        for ask in 1..=asks {
            let time_ms = 1_000_000 + ask * 2_000;
            truth.add(account, time_ms, label, Some(population), None);
            events += 1;
            let (tier, score) = match ask {
                3 => (Tier::Medium, 0.4),
                5 => (Tier::Critical, 0.8),
                _ => continue,
            };
            let signal = Signal {
                detector: "counting".into(),
                millinats: if tier == Tier::Critical { 400 } else { 200 },
                ..Signal::default()
            };
            let verdict =
                Verdict { account, time_ms, tier, score, signals: vec![signal], ..Verdict::default() };
            outcomes.entry(account).or_insert_with(Outcome::default).add(&verdict);
        }
    }
    // Whoever is flagged is put together, the honest one too.
    let put = |id: &AccountId| outcomes.contains_key(id).then_some(CampaignId([9; 16]));
    let cases =
        truth.accounts().map(|(id, account)| Case::of(*id, account, outcomes.get(id), put(id), &truth));
    Judged { cases: cases.collect(), events, refused: 1, ..Judged::default() }
}

fn report() -> Report {
    Report::of(&judged(), "counting", 1, &|_, _| None)
}

#[test]
fn the_report_says_what_was_counted_by_hand() {
    // Flagged are loud (after 2 of 6), middling (after 2 of 4) and busy (after 2 of 3); loud is CRITICAL
    // after 4.
    expect![[r#"
        {
          "accounts": {
            "precision": 0.6666666666666666,
            "recall": 0.6666666666666666,
            "f1": 0.6666666666666666,
            "fpr": 0.3333333333333333,
            "tp": 2,
            "fp": 1,
            "fn": 1,
            "tn": 2
          },
          "tiers": {
            "CRITICAL": {
              "precision": 1.0,
              "recall": 0.3333333333333333,
              "f1": 0.5,
              "fpr": 0.0,
              "tp": 1,
              "fp": 0,
              "fn": 2,
              "tn": 3
            },
            "HIGH": {
              "precision": 1.0,
              "recall": 0.3333333333333333,
              "f1": 0.5,
              "fpr": 0.0,
              "tp": 1,
              "fp": 0,
              "fn": 2,
              "tn": 3
            },
            "MEDIUM": {
              "precision": 0.6666666666666666,
              "recall": 0.6666666666666666,
              "f1": 0.6666666666666666,
              "fpr": 0.3333333333333333,
              "tp": 2,
              "fp": 1,
              "fn": 1,
              "tn": 2
            }
          },
          "campaigns": {
            "hydra.naive": {
              "accounts": 2,
              "flagged": 2,
              "requests_before_first_action_median": 2.0,
              "requests_before_high_median": 4.0,
              "requests_before_critical_median": 4.0,
              "requests": 10,
              "requests_let_through": 4,
              "assembled": {
                "together": 2,
                "campaigns": 1,
                "purity": 0.6666666666666666
              }
            },
            "slow.careful": {
              "accounts": 1,
              "flagged": 0,
              "requests_before_first_action_median": null,
              "requests_before_high_median": null,
              "requests_before_critical_median": null,
              "requests": 2,
              "requests_let_through": 2,
              "assembled": {
                "together": 0,
                "campaigns": 0,
                "purity": 0.0
              }
            }
          },
          "populations": {
            "agents": {
              "accounts": 2,
              "flagged": 1,
              "critical": 0,
              "interval": {
                "share": 0.5,
                "low": 0.09453120463920084,
                "high": 0.9054687953607992
              }
            },
            "chat": {
              "accounts": 1,
              "flagged": 0,
              "critical": 0,
              "interval": {
                "share": 0.0,
                "low": 0.0,
                "high": 0.7934506882081973
              }
            }
          },
          "policy": "counting",
          "events": 18,
          "seconds": 0.0,
          "by_event": {
            "precision": 0.8571428571428571,
            "recall": 0.5,
            "f1": 0.631578947368421,
            "fpr": 0.16666666666666666,
            "tp": 6,
            "fp": 1,
            "fn": 6,
            "tn": 5
          },
          "schemes": {
            "hydra": {
              "campaigns": 1,
              "found": 1,
              "accounts": 2,
              "flagged": 2
            },
            "slow": {
              "campaigns": 1,
              "found": 0,
              "accounts": 1,
              "flagged": 0
            }
          },
          "assembly": {
            "campaigns": 1,
            "whole": 0,
            "split": 0,
            "merged": 0,
            "honest": 1
          },
          "intervals": {
            "precision": {
              "share": 0.6666666666666666,
              "low": 0.20765959880782425,
              "high": 0.9385080559790691
            },
            "recall": {
              "share": 0.6666666666666666,
              "low": 0.20765959880782425,
              "high": 0.9385080559790691
            },
            "fpr": {
              "share": 0.3333333333333333,
              "low": 0.06149194402093083,
              "high": 0.7923404011921756
            }
          },
          "sweep": [],
          "countries": {},
          "detectors": {
            "counting": {
              "campaign": 2,
              "honest": 1,
              "contribution": 0.30000000000000004
            }
          },
          "refused": 1,
          "runs": 1
        }"#]]
    .assert_eq(&json(&Report { sweep: Vec::new(), ..report() }));
}

#[test]
fn the_sweep_says_what_another_threshold_would_have_given() {
    let report = report();
    let at = |score: f64| {
        let point = report.sweep.iter().find(|point| (point.score - score).abs() < 1e-9).unwrap();
        (point.accounts.tp, point.accounts.fp)
    };
    assert_eq!([at(0.01), at(0.40), at(0.41), at(0.80), at(0.81)], [(2, 1), (2, 1), (1, 0), (1, 0), (0, 0)]);
}

#[test]
fn runs_are_counted_together() {
    let mut both = judged();
    both.pool(judged());
    let dollars = |name: &str, accounts| (name == "slow.careful").then_some(accounts as f64 * 3.5);
    let (single, pooled) = (report(), Report::of(&both, "counting", 2, &dollars));
    assert_eq!((pooled.accounts.tp, pooled.accounts.tn), (2 * single.accounts.tp, 2 * single.accounts.tn));
    assert_eq!(pooled.campaigns["hydra.naive"].accounts, 4);
    assert_eq!((pooled.schemes["hydra"].campaigns, pooled.schemes["hydra"].found), (2, 2));
    let assembly = pooled.assembly;
    assert_eq!((assembly.campaigns, assembly.whole, assembly.split, assembly.honest), (2, 0, 0, 2));
    let put = pooled.campaigns["hydra.naive"].assembled;
    assert_eq!((put.together, put.campaigns, (put.purity * 1e3) as u32), (4, 1, 666));
    assert_eq!((pooled.schemes["slow"].campaigns, pooled.schemes["slow"].found), (2, 0));
    // What got by is the price that the policy forces.
    assert_eq!(
        (pooled.schemes["slow"].dollars_forced, pooled.schemes["hydra"].dollars_forced),
        (Some(3.5), None)
    );
    assert!(pooled.intervals.recall.low > single.intervals.recall.low);
}

fn json(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap()
}

/// Events of the members of a campaign and of one who is not, as a collector writes them.
fn labelled() -> Labelled {
    let intake = Intake::new(wire()).unwrap();
    let mut outputs = vec![poison(1)];
    for number in 0..40 {
        for account in ["a", "b", "c"] {
            outputs.push(event(account, number).with_header(LABEL_HEADER, "hydra"));
        }
        outputs.push(event("d", number).with_header(POPULATION_HEADER, "chat"));
    }
    let mut writer = intake.writer("test").unwrap();
    writer.commit(&Commit { outputs, positions: Vec::new() }).unwrap();
    drop(writer);
    intake.finish().unwrap()
}

#[test]
fn the_judgement_is_the_products_own_whatever_the_layout() {
    let labelled = labelled();
    let judged = |partitions, workers| {
        let layout = Layout { partitions, workers };
        judge(&labelled, &wire(), &stages(), layout, |_| {}).unwrap()
    };
    let (straight, wide) = (judged(1, 1), judged(7, 3));
    assert_eq!((straight.digest, straight.cases), (wide.digest, wide.cases.clone()));
    assert_eq!((wide.events, wide.refused), (161, 1));
    let labels: Vec<Option<&str>> = wide.cases.iter().map(|case| case.label.as_deref()).collect();
    assert_eq!(labels.iter().filter(|label| **label == Some("hydra")).count(), 3);
    assert_eq!(wide.cases.iter().filter(|case| &*case.population == "chat").count(), 1);
    assert!(wide.cases.iter().all(|case| case.events == 40));
}

#[test]
fn a_diff_says_who_is_gained_and_lost_and_why() {
    let (before, mut after) = (judged(), judged());
    for case in &mut after.cases {
        match (case.label.as_deref(), case.events) {
            // Quiet becomes MEDIUM by another detector, middling and busy are CLEAR, loud stays.
            (Some("slow.careful"), _) => {
                (case.before, case.score) = ([Some(1), None, None], 0.5);
                case.signals = vec![("kin".into(), 0.25)];
            }
            (_, 3 | 4) => (case.before, case.score, case.signals) = ([None; 3], 0.0, Vec::new()),
            _ => {}
        }
    }
    let diff = Diff::of(&before, &after, ["old", "new"]);
    expect![[r#"
        from old to new, on 18 events
        gained 1, lost 2, the same 1
        precision 0.6667 to 1.0000, recall 0.6667 to 0.6667

        group                         accounts    gained      lost
        agents                               2         0         1
        hydra.naive                          2         0         1
        slow.careful                         1         1         0

        gained 03030303030303030303030303030303 slow.careful: CLEAR 0.000 to MEDIUM 0.500
            kin                    silent to    0.250

        lost 02020202020202020202020202020202 hydra.naive: MEDIUM 0.400 to CLEAR 0.000
            counting                0.200 to   silent

        lost 04040404040404040404040404040404 agents: MEDIUM 0.400 to CLEAR 0.000
            counting                0.200 to   silent
    "#]]
    .assert_eq(&diff.to_string());
}
