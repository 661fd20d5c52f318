//! The whole pipeline on real Kafka: import, three processors, an enforcer, and history.
//!
//! Runs where `WEIR_BROKERS` names a broker, as `cargo xtask test` does; each test has topics of its
//! own. `WEIR_TEST_EVENTS` names a large generated log to import instead of a small one.

#![allow(clippy::unwrap_used)]

mod common;

use common::fleet::{Fleet, all_succeed};
use common::{Running, eventually, get, json_lines, metric, serving, success, text, traffic, weir};
use std::time::{SystemTime, UNIX_EPOCH};
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Event};
use weir_topology::kafka::{KafkaConfig, KafkaLog};
use weir_topology::log::{Commit, Log};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

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
        // An operator's word, or the population that the limiter goes by, is of no verdict.
        .filter_map(|record| record["verdict_id"].as_str().map(String::from))
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
fn a_processor_takes_over_what_it_holds_warm_when_another_is_killed() {
    const PARTITIONS: u32 = 4;
    // Accounts and values, and the one that assembles.
    const TASKS: u32 = 2 * PARTITIONS + 1;
    let Some(fleet) = Fleet::new("standby", PARTITIONS) else { return };
    let log = traffic(100, 400);
    let (before, after) = log.split_at(log[..log.len() / 2].rfind('\n').unwrap() + 1);
    std::fs::write(&fleet.place.feed, before).unwrap();
    let standing_by = || {
        let mut command = fleet.processor();
        command.args(["--standby", "true", "--snapshot-interval-ms", "500"]);
        serving(command)
    };
    let (first, first_metrics) = standing_by();
    fleet.import();
    // It holds nothing that it runs itself.
    eventually("the first runs every task", || {
        let shown = get(&first_metrics, "/metrics");
        tasks(&shown, "state_entries") == TASKS && tasks(&shown, "standby_entries") == 0
    });
    let (survivor, metrics) = standing_by();
    // What falls to the one is the other's to hold: together every task of the three stages, once.
    let is_warm = |shown: &str| {
        let mut behind = shown.lines().filter(|line| line.starts_with("weir_standby_behind_records{"));
        behind.all(|line| line.ends_with(" 0"))
    };
    eventually("both hold warm what the other runs", || {
        let shown = [get(&first_metrics, "/metrics"), get(&metrics, "/metrics")];
        let held = shown.iter().map(|shown| tasks(shown, "standby_behind_records")).sum::<u32>();
        held == TASKS
            && shown.iter().all(|shown| tasks(shown, "standby_behind_records") > 0 && is_warm(shown))
    });
    let held = tasks(&get(&metrics, "/metrics"), "standby_behind_records");
    let warm = |stage: &str| {
        metric(&metrics, &format!("weir_restore_seconds_count{{stage=\"{stage}\",start=\"warm\"}}"))
    };
    let all_warm = || warm("account") + warm("cluster") + warm("campaign");
    let warm_before = all_warm();
    first.kill();
    eventually("what it held is taken over", || {
        tasks(&get(&metrics, "/metrics"), "standby_behind_records") == 0
    });
    eventually("each with the state that was held", || all_warm() >= warm_before + u64::from(held));
    std::fs::write(&fleet.place.feed, format!("{before}{after}")).unwrap();
    fleet.import();
    let mut last = fleet.processor();
    last.arg("--until-idle");
    all_succeed(vec![Running::start(last)]);
    let dropped = metric(&metrics, "weir_standbys_dropped_total{stage=\"account\"}");
    assert_eq!((dropped, survivor.stop().status.success()), (0, true));

    let recorded = fleet.replay(&["--as-recorded"]);
    recorded.balances();
    assert_eq!(recorded.number("judged"), log.lines().count() as u64);
    assert_eq!((&recorded.0["bytes_equal"], &recorded.0["campaigns_equal"]), (&true.into(), &true.into()));
    assert_eq!(fleet.replay(&["--lockstep"]).digest(), fleet.embedded_lockstep());
}

#[test]
fn verdicts_are_proved_from_checkpoints_when_the_first_events_are_gone() {
    const PARTITIONS: u32 = 2;
    let Some(fleet) = Fleet::new("checkpoints", PARTITIONS) else { return };
    std::fs::write(&fleet.place.feed, traffic(60, 600)).unwrap();
    fleet.import();
    let process = || {
        let mut command = fleet.processor();
        command.args(["--until-idle", "--checkpoint-interval-ms", "1", "--epoch-records-max", "20"]);
        success(command);
    };
    process();
    let whole = fleet.replay(&["--as-recorded"]);
    assert_eq!((&whole.0["bytes_equal"], whole.number("verdicts_before")), (&true.into(), 0));
    fleet.forget_half("weir.events", PARTITIONS);

    let report = |command: std::process::Command| -> serde_json::Value {
        let output = { command }.output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
    };
    let all = report(fleet.with_brokers(&["verify", "--all", "--format", "json"]));
    let count = |name: &str| all[name].as_u64().unwrap();
    assert_eq!((count("different"), count("unproven")), (0, 0), "{all}");
    assert_eq!(
        (count("scanned"), count("proven") + count("before")),
        (whole.number("verdicts"), count("scanned"))
    );
    assert!(count("proven") > 0 && count("before") > 0, "{all}");

    let rest = fleet.replay(&["--as-recorded"]);
    assert_eq!(rest.0["bytes_equal"], true);
    assert_eq!((rest.number("verdicts_before"), rest.number("verdicts")), (count("before"), count("proven")));
    assert!(rest.number("judged") < whole.number("judged"));

    // Judging goes on as if nothing had happened: a task's own state is in its state topic.
    std::fs::write(&fleet.place.feed, traffic(60, 700)).unwrap();
    fleet.import();
    process();
    let more = fleet.replay(&["--as-recorded"]);
    assert_eq!((&more.0["bytes_equal"], more.number("in_flight")), (&true.into(), 0));
    assert!(more.number("judged") > rest.number("judged"));
}

#[test]
fn a_deployment_from_before_there_were_checkpoints_is_told_to_apply_the_topology() {
    let Some(fleet) = Fleet::new("older", 2) else { return };
    std::fs::write(&fleet.place.feed, traffic(40, 200)).unwrap();
    fleet.import();
    let process = || {
        let mut command = fleet.processor();
        command.arg("--until-idle").output().unwrap()
    };
    assert!(process().status.success());
    fleet.delete("weir.checkpoints");
    // What there is can be proved as before.
    success(fleet.with_brokers(&["verify", "--all"]));
    let refused = process();
    let said = text(&refused.stderr);
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("weir.checkpoints") && said.contains("run `weir topology apply`"), "{said}");
    success(fleet.with_brokers(&["topology", "apply", "--partitions", "2", "--kafka-replication", "1"]));
    assert!(process().status.success());
}

#[test]
fn an_event_of_next_year_is_dead_lettered_by_the_brokers_clock_and_changes_nothing_else() {
    let Some(fleet) = Fleet::new("ahead", 1) else { return };
    std::fs::write(&fleet.place.feed, traffic(40, 200)).unwrap();
    let lines = std::fs::read_to_string(&fleet.place.feed).unwrap().lines().count() as u64;
    fleet.import();
    let process = || {
        let mut command = fleet.processor();
        command.arg("--until-idle");
        success(command);
    };
    process();
    let before = fleet.replay(&["--as-recorded"]);

    let mut config = KafkaConfig::new(&fleet.brokers);
    config.prefix = fleet.prefix.clone();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let account = AccountId([7; 16]);
    let ahead = Event { account, time_ms: now + 365 * 86_400_000, tenant: "acme", ..Event::default() };
    let output = Output::keyed(Topic::Events, account.to_key(), Wire::new().to_bytes(&ahead), ahead.time_ms);
    let log = KafkaLog::connect(config).unwrap();
    log.writer("stranger").unwrap().commit(&Commit { outputs: vec![output], positions: Vec::new() }).unwrap();
    process();
    process();

    let after = fleet.replay(&["--as-recorded"]);
    after.balances();
    assert_eq!((after.number("judged"), after.number("dlq")), (lines, 1));
    assert_eq!((&after.0["bytes_equal"], after.digest()), (&true.into(), before.digest()));
    let listed = text(&success(fleet.with_brokers(&["dlq", "list"])).stdout);
    assert!(listed.contains("FUTURE_TIME") && listed.contains("h ahead of the log's"), "{listed}");
}

/// How many tasks have a series of this name.
fn tasks(metrics: &str, name: &str) -> u32 {
    metrics.lines().filter(|line| line.starts_with(&format!("weir_{name}{{"))).count() as u32
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
