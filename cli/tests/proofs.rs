//! Verdicts and coverage of a live run on real Kafka are proved, and what was forged is caught.
//!
//! Runs where `WEIR_BROKERS` names a broker, as `cargo xtask test` does.

#![allow(clippy::unwrap_used)]

mod common;

use common::fleet::{Fleet, all_succeed};
use common::{Running, text, traffic};
use std::process::{Command, Output};
use weir_topology::history::read_range;
use weir_topology::kafka::{KafkaConfig, KafkaLog};
use weir_topology::log::{Commit, Log};
use weir_topology::record::Output as Written;
use weir_topology::topic::Topic;

/// Seventy campaigns, each of twelve accounts of its own.
fn campaigns() -> String {
    let one = traffic(0, 80);
    let name = |campaign: usize| one.replace("campaign-", &format!("campaign-{campaign}-"));
    (0..70)
        .map(|campaign| {
            name(campaign)
                .replace("stolen-card", &format!("stolen-card-{campaign}"))
                .replace("\"id\":\"", &format!("\"id\":\"{campaign}-"))
        })
        .collect()
}

/// A processor that cuts many epochs.
fn processor(fleet: &Fleet) -> Command {
    let mut command = fleet.processor();
    command.args(["--epoch-records-max", "100"]);
    command
}

fn ask(fleet: &Fleet, arguments: &[&str]) -> Output {
    fleet.with_keys(arguments).output().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

/// Appends a copy of the first verdict of some partition, with its last byte changed.
fn forge(fleet: &Fleet) {
    let mut config = KafkaConfig::new(&fleet.brokers);
    config.prefix = fleet.prefix.clone();
    let log = KafkaLog::connect(config).unwrap();
    let mut forged = None;
    for partition in 0..log.partitions(Topic::Verdicts).unwrap() {
        let (first, end) = log.bounds(Topic::Verdicts, partition).unwrap();
        read_range(&log, Topic::Verdicts, partition, first, end, |records| {
            let record = records.get(0).unwrap();
            let mut payload = record.payload.unwrap().to_vec();
            *payload.last_mut().unwrap() ^= 1;
            let output = Written::keyed(Topic::Verdicts, record.key.to_vec(), payload, record.timestamp_ms);
            forged.get_or_insert(output.in_partition(partition));
            Ok(())
        })
        .unwrap();
    }
    let commit = Commit { outputs: vec![forged.unwrap()], positions: Vec::new() };
    log.writer("forger").unwrap().commit(&commit).unwrap();
}

#[test]
fn a_thousand_verdicts_of_a_live_run_are_proved_and_its_coverage_balances() {
    let Some(fleet) = Fleet::new("proofs", 6) else { return };
    let log = campaigns();
    std::fs::write(&fleet.place.feed, &log).unwrap();
    let live: Vec<Running> = (0..2).map(|_| Running::start(processor(&fleet))).collect();
    let importer = Running::start({
        let mut command = fleet.with_keys(&["import", "--node", "test", "--source", "feed"]);
        command.args(["--collector-batch-lines", "200"]).arg(&fleet.place.feed);
        command
    });
    // While it runs, what was judged so far is proved, and nothing is wanting.
    common::eventually("a verdict falls", || {
        let sample = json(&ask(&fleet, &["verify", "--sample", "50", "--format", "json"]));
        assert_eq!((&sample["different"], &sample["unproven"]), (&0.into(), &0.into()), "{sample}");
        sample["proven"].as_u64().unwrap() > 0
    });
    let meanwhile = ask(&fleet, &["coverage", "--format", "json"]);
    assert_eq!(meanwhile.status.code(), Some(0), "{}{}", text(&meanwhile.stdout), text(&meanwhile.stderr));
    println!("{}", json(&meanwhile)["statement"]["in_flight"]);
    for process in live {
        process.kill();
    }
    all_succeed(vec![importer]);
    let mut last = processor(&fleet);
    last.arg("--until-idle");
    all_succeed(vec![Running::start(last)]);

    let sample = ask(&fleet, &["verify", "--sample", "1000", "--seed", "3", "--format", "json"]);
    let report = json(&sample);
    println!("{report}");
    assert_eq!((sample.status.code(), &report["proven"]), (Some(0), &1000.into()), "{report}");

    let statement = json(&ask(&fleet, &["coverage", "--format", "json"]))["statement"].clone();
    println!("{statement}");
    assert_eq!(statement["balance"], "balanced", "{statement}");
    let lines = log.lines().count() as u64;
    assert_eq!((&statement["read"], &statement["judged"]), (&lines.into(), &lines.into()));

    forge(&fleet);
    let all = ask(&fleet, &["verify", "--all", "--format", "json"]);
    assert_eq!((all.status.code(), &json(&all)["different"]), (Some(1), &1.into()));
}
