//! The whole pipeline on real Kafka: import, three processors, an enforcer, and history.
//!
//! Runs where `WEIR_BROKERS` names a broker, as `cargo xtask test` does; each test has topics of its
//! own. `WEIR_TEST_EVENTS` names a large generated log to import instead of a small one.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, Report, Running, json_lines, replay_in, report, success, text, traffic, weir};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// A deployment of its own on the broker.
struct Fleet {
    place: Place,
    brokers: String,
    prefix: String,
}

impl Fleet {
    /// None where there is no broker.
    fn new(name: &str, partitions: u32) -> Option<Self> {
        let Some(brokers) = std::env::var("WEIR_BROKERS").ok().filter(|brokers| !brokers.is_empty()) else {
            assert!(std::env::var_os("CI").is_none(), "WEIR_BROKERS must name a broker in CI");
            eprintln!("skipped: WEIR_BROKERS names no broker (cargo xtask kafka up)");
            return None;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let fleet = Self { place: Place::new(), brokers, prefix: format!("t{now}-{name}-") };
        success(fleet.with_brokers(&[
            "topology",
            "apply",
            "--partitions",
            &partitions.to_string(),
            "--kafka-replication",
            "1",
        ]));
        Some(fleet)
    }

    fn with_brokers(&self, arguments: &[&str]) -> Command {
        let mut command = weir(arguments);
        command.args(["--brokers", &self.brokers, "--kafka-prefix", &self.prefix]);
        command
    }

    fn with_keys(&self, arguments: &[&str]) -> Command {
        let mut command = self.with_brokers(arguments);
        command.arg("--keys-dir").arg(&self.place.keys);
        command
    }

    fn processor(&self) -> Command {
        self.with_brokers(&["process", "--kafka-session-timeout-ms", "6000"])
    }

    fn replay(&self, how: &[&str]) -> Report {
        let mut command = self.with_brokers(&["replay", "--format", "json"]);
        command.args(how);
        report(command)
    }

    fn import(&self) {
        let mut command = self.with_keys(&["import", "--node", "test", "--source", "feed"]);
        command.arg(&self.place.feed);
        success(command);
    }

    /// The lockstep digest of the same feed on the embedded log.
    fn embedded_lockstep(&self) -> String {
        let (data, _) = self.place.beside();
        let mut command = weir(&["import", "--node", "test", "--source", "feed"]);
        command.arg(&self.place.feed).arg("--data-dir").arg(&data).arg("--keys-dir").arg(&self.place.keys);
        success(command);
        replay_in(&data, &["--lockstep"]).digest().to_owned()
    }
}

fn all_succeed(running: Vec<Running>) {
    for mut process in running {
        let child = std::mem::replace(&mut process.0, Command::new("true").spawn().unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[test]
fn three_processors_judge_every_event_and_history_agrees_with_the_embedded_log() {
    let Some(fleet) = Fleet::new("three", 8) else { return };
    match std::env::var_os("WEIR_TEST_EVENTS") {
        Some(path) => drop(std::fs::copy(path, &fleet.place.feed).unwrap()),
        None => std::fs::write(&fleet.place.feed, traffic(200, 900)).unwrap(),
    }
    let lines = std::fs::read_to_string(&fleet.place.feed).unwrap().lines().count() as u64;
    fleet.import();
    let processors = (0..3).map(|_| {
        let mut command = fleet.processor();
        command.arg("--until-idle");
        Running::start(command)
    });
    all_succeed(processors.collect());
    let mut enforce = fleet.with_keys(&["enforce", "--until-idle"]);
    enforce.arg("--output-dir").arg(&fleet.place.output);
    success(enforce);

    let recorded = fleet.replay(&["--as-recorded"]);
    println!("{}", recorded.0);
    recorded.balances();
    assert_eq!((recorded.number("events"), recorded.number("dlq")), (lines, 0));
    assert_eq!(recorded.0["bytes_equal"], true);
    let told: std::collections::BTreeSet<String> = json_lines(&fleet.place.output.join("audit_log.jsonl"))
        .iter()
        .map(|record| record["verdict_id"].to_string())
        .collect();
    assert_eq!(told.len() as u64, recorded.number("verdicts"));

    let layouts = [("1", "1"), ("8", "3"), ("64", "3")];
    let digests = layouts.map(|(partitions, workers)| {
        fleet.replay(&["--lockstep", "--partitions", partitions, "--workers", workers]).digest().to_owned()
    });
    let embedded = fleet.embedded_lockstep();
    assert!(digests.iter().all(|digest| *digest == embedded), "{digests:?} on Kafka, {embedded} embedded");
}

#[test]
fn processors_that_come_and_go_while_events_arrive_lose_and_double_nothing() {
    let Some(fleet) = Fleet::new("rebalance", 6) else { return };
    let log = traffic(100, 600);
    std::fs::write(&fleet.place.feed, &log).unwrap();
    let first = Running::start(fleet.processor());
    let importer = Running::start({
        let mut command = fleet.with_keys(&[
            "import",
            "--node",
            "test",
            "--source",
            "feed",
            "--collector-batch-lines",
            "200",
        ]);
        command.arg(&fleet.place.feed);
        command
    });
    let second = Running::start(fleet.processor());
    std::thread::sleep(std::time::Duration::from_secs(2));
    let third = Running::start(fleet.processor());
    std::thread::sleep(std::time::Duration::from_secs(2));
    // One leaves with a word, one without.
    assert!(first.stop().status.success());
    second.kill();
    all_succeed(vec![importer]);
    let mut last = fleet.processor();
    last.arg("--until-idle");
    let last = Running::start(last);
    assert!(third.stop().status.success());
    all_succeed(vec![last]);

    let recorded = fleet.replay(&["--as-recorded"]);
    recorded.balances();
    assert_eq!(recorded.number("judged"), log.lines().count() as u64);
    assert_eq!(recorded.0["bytes_equal"], true);
    assert_eq!(fleet.replay(&["--lockstep"]).digest(), fleet.embedded_lockstep());
}

#[test]
fn the_topology_is_checked_against_drift_and_never_shrunk() {
    let Some(fleet) = Fleet::new("topology", 4) else { return };
    let topology = |verb: &str, partitions: &str| {
        let arguments = ["topology", verb, "--partitions", partitions, "--kafka-replication", "1"];
        fleet.with_brokers(&arguments).output().unwrap()
    };
    assert!(topology("check", "4").status.success());
    for partitions in ["3", "5"] {
        let drifted = topology("check", partitions);
        assert!(!drifted.status.success());
        let refused = topology("apply", partitions);
        assert!(!refused.status.success(), "{}", text(&refused.stdout));
        assert!(text(&refused.stdout).contains("has 4 partitions"), "{}", text(&refused.stdout));
    }
    assert!(topology("apply", "4").status.success(), "applying twice changes nothing");
    let diagram = text(&success(weir(&["topology", "diagram"])).stdout);
    assert!(diagram.contains("weir.events") && diagram.starts_with("flowchart"), "{diagram}");
}
