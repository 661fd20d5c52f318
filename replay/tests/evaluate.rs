//! An evaluation against one that was counted by hand.

#![allow(clippy::unwrap_used)]

mod common;

use common::{event, poison, wire};
use expect_test::expect;
use std::sync::Arc;
use weir_replay::evaluate::intake::{Intake, Labelled};
use weir_replay::evaluate::judge;
use weir_replay::evaluate::report::Report;
use weir_replay::lockstep::Layout;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Event, Judge, Record as _, Signal, Tier, Verdict};
use weir_topology::log::{Commit, Log as _};
use weir_topology::record::{LABEL_HEADER, Output, POPULATION_HEADER, Records};
use weir_topology::stage::{Batch, Effects, Stage, StateEntry, StateError};
use weir_topology::topic::{StageName, Topic};
use weir_topology::worker::MakeStage;

/// Says MEDIUM of whoever asks a third time, and CRITICAL of whoever asks a fifth time.
struct Counting {
    wire: Arc<Wire>,
    asked: std::collections::BTreeMap<AccountId, u32>,
}

impl Stage for Counting {
    fn name(&self) -> StageName {
        StageName::Account
    }

    fn judge(&self, _: &Batch) -> Judge {
        Judge { version: 1, policy: None }
    }

    /// Lockstep folds no epochs that were recorded, so there is nobody to adopt from.
    fn adopt(&mut self, _: &Batch, _: &Records) {}

    fn rejudge(&mut self, _: &Batch) -> (Effects, u64) {
        (Effects::default(), 0)
    }

    fn step(&mut self, batch: &Batch) -> Effects {
        let mut effects = Effects::default();
        for record in batch.inputs.iter().flat_map(|input| input.records.iter()) {
            assert_eq!(record.headers().count(), 0, "a stage was shown a label");
            let Ok(datum) = self.wire.datum::<Event<'_>>(record.payload.unwrap()) else {
                effects.outputs.push(Output::keyed(Topic::Dlq, record.key.to_vec(), Vec::new(), 0));
                continue;
            };
            let event = Event::decode(&datum).unwrap();
            let asked = self.asked.entry(event.account).or_default();
            *asked += 1;
            let (tier, score) = match *asked {
                3 => (Tier::Medium, 0.4),
                5 => (Tier::Critical, 0.8),
                _ => continue,
            };
            let signal = Signal {
                detector: "counting".into(),
                score,
                confidence: 0.5,
                weight: 1.0,
                evidence: Vec::new(),
            };
            let verdict = Verdict {
                account: event.account,
                time_ms: event.time_ms,
                tier,
                score,
                signals: vec![signal],
                ..Verdict::default()
            };
            let payload = self.wire.to_bytes(&verdict);
            effects.outputs.push(Output::keyed(Topic::Verdicts, record.key.to_vec(), payload, event.time_ms));
        }
        effects
    }

    fn state_format(&self) -> i32 {
        1
    }
    fn changed(&self) -> usize {
        0
    }
    fn take_changes(&mut self) -> Vec<StateEntry> {
        Vec::new()
    }
    fn survey(&self, _: u64, _: usize) -> (Vec<StateEntry>, Option<u64>) {
        (Vec::new(), None)
    }
    fn restore(&mut self, _: &[u8], _: i32, _: &[u8]) -> Result<(), StateError> {
        Ok(())
    }
    fn forget(&mut self, _: &[u8]) {}
    fn entries(&self) -> usize {
        0
    }
}

fn counting() -> MakeStage {
    Arc::new(|_| Box::new(Counting { wire: wire(), asked: Default::default() }))
}

/// Two campaigns, of two accounts and of one, and honest accounts of two populations.
fn labelled() -> Labelled {
    let intake = Intake::new(wire()).unwrap();
    let mut writer = intake.writer("test").unwrap();
    let accounts: [(&str, i64, Option<&str>, &str); 6] = [
        ("loud", 6, Some("hydra.naive"), "campaign"),
        ("middling", 4, Some("hydra.naive"), "campaign"),
        ("quiet", 2, Some("slow.careful"), "campaign"),
        ("busy", 3, None, "agents"),
        ("calm", 1, None, "agents"),
        ("other", 2, Some("benign"), "chat"),
    ];
    let mut outputs = vec![poison(1)];
    for (name, events, label, population) in accounts {
        for number in 0..events {
            let output = event(name, number).with_header(POPULATION_HEADER, population);
            outputs.push(match label {
                Some(label) => output.with_header(LABEL_HEADER, label),
                None => output,
            });
        }
    }
    outputs[0].partition = None;
    writer.commit(&Commit { outputs, positions: Vec::new() }).unwrap();
    drop(writer);
    intake.finish().unwrap()
}

fn report(layout: Layout) -> Report {
    Report { sweep: Vec::new(), ..whole_report(layout) }
}

fn whole_report(layout: Layout) -> Report {
    let judged = judge(&labelled(), &wire(), &counting(), layout, |_| {}).unwrap();
    Report { seconds: 0.0, digest: String::new(), ..Report::of(&judged, "counting", 1) }
}

#[test]
fn the_report_says_what_was_counted_by_hand() {
    // Flagged are loud (after 2 of 6), middling (after 2 of 4) and busy (after 2 of 3); loud is CRITICAL after 4.
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
              "requests_let_through": 0.4
            },
            "slow.careful": {
              "accounts": 1,
              "flagged": 0,
              "requests_before_first_action_median": null,
              "requests_before_high_median": null,
              "requests_before_critical_median": null,
              "requests_let_through": 1.0
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
          "events": 19,
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
    .assert_eq(&json(&report(Layout { partitions: 4, workers: 2 })));
}

#[test]
fn the_report_does_not_depend_on_the_layout() {
    let straight = report(Layout { partitions: 1, workers: 1 });
    assert_eq!(report(Layout { partitions: 7, workers: 3 }), straight);
}

#[test]
fn the_sweep_says_what_another_threshold_would_have_given() {
    let report = whole_report(Layout { partitions: 2, workers: 1 });
    let at = |score: f64| {
        let point = report.sweep.iter().find(|point| (point.score - score).abs() < 1e-9).unwrap();
        (point.accounts.tp, point.accounts.fp)
    };
    assert_eq!([at(0.01), at(0.40), at(0.41), at(0.80), at(0.81)], [(2, 1), (2, 1), (1, 0), (1, 0), (0, 0)]);
}

#[test]
fn runs_are_counted_together() {
    let layout = Layout { partitions: 2, workers: 1 };
    let one = || judge(&labelled(), &wire(), &counting(), layout, |_| {}).unwrap();
    let mut both = one();
    both.pool(one());
    let (single, pooled) = (Report::of(&one(), "counting", 1), Report::of(&both, "counting", 2));
    assert_eq!((pooled.accounts.tp, pooled.accounts.tn), (2 * single.accounts.tp, 2 * single.accounts.tn));
    assert_eq!(pooled.campaigns["hydra.naive"].accounts, 4);
    assert!(pooled.intervals.recall.low > single.intervals.recall.low);
}

fn json(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap()
}
