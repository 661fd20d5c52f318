//! The newcomer's command, and what history gives back.

#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Place, Running, START_MS, eventually, get, line, replay_in, serving, success, text, traffic, weir,
};
use std::fs::OpenOptions;
use std::io::Write as _;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/access.jsonl");

#[test]
fn the_recorded_example_finds_the_campaign_and_nobody_else() {
    let place = Place::new();
    std::fs::copy(EXAMPLE, &place.feed).unwrap();
    let shown = place.run_until_idle();
    assert!(shown.contains("events    1677 read, 0 refused"), "{shown}");
    assert!(shown.contains("accounts  6 CRITICAL\n"), "{shown}");
    assert!(shown.contains("posture   audit: nothing was acted on"), "{shown}");

    let recorded = place.replay(&["--as-recorded"]);
    recorded.balances();
    assert_eq!(recorded.number("judged"), 1677);
    assert_eq!(recorded.0["bytes_equal"], true);
    assert!(shown.contains(recorded.digest()), "{shown}\n{recorded:?}");
}

#[test]
fn lockstep_gives_one_digest_for_any_layout() {
    let place = Place::new();
    std::fs::copy(EXAMPLE, &place.feed).unwrap();
    place.run_until_idle();
    let layouts = [("1", "1"), ("8", "1"), ("8", "3"), ("64", "1"), ("64", "3")];
    let digests: Vec<String> = layouts
        .iter()
        .map(|(partitions, workers)| {
            let report = place.replay(&["--lockstep", "--partitions", partitions, "--workers", workers]);
            report.balances();
            assert!(report.number("verdicts") > 0);
            report.digest().to_owned()
        })
        .collect();
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:?}");

    // Nor does it matter how many partitions the log itself has.
    let (data, output) = place.beside();
    let mut other = place.run_in(&data, &output);
    other.args(["--until-idle", "--partitions", "1"]);
    success(other);
    assert_eq!(replay_in(&data, &["--lockstep"]).digest(), digests[0]);
}

#[test]
fn a_fresh_install_acts_on_nothing_and_says_what_it_would_have_done() {
    let place = Place::new();
    std::fs::write(&place.feed, traffic(10, 80)).unwrap();
    place.run_until_idle();
    let actions = place.lines_of("enforcement_actions.jsonl");
    assert!(!actions.is_empty());
    assert!(actions.iter().all(|action| action["execute"] == false && action["state"] == "WITHHELD"));
    let decisions = place.lines_of("audit_log.jsonl");
    assert!(decisions.len() >= actions.len(), "no action without its audit record");
}

#[test]
fn a_growing_file_is_judged_while_it_grows_and_sigterm_drains() {
    let place = Place::new();
    let running = Running::start(place.run());
    let mut feed = OpenOptions::new().create(true).append(true).open(&place.feed).unwrap();
    let log = traffic(10, 80);
    for part in log.as_bytes().chunks(log.len() / 20 + 1) {
        feed.write_all(part).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    eventually("a critical verdict while the file is tailed", || {
        place.lines_of("audit_log.jsonl").iter().any(|record| record["tier"] == "CRITICAL")
    });
    let ended = running.stop();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    place.replay(&["--as-recorded"]).balances();
}

#[test]
fn metrics_and_health_are_served_and_every_series_exists_from_the_start() {
    let place = Place::new();
    let (running, address) = serving(place.run());
    eventually("the process is ready", || get(&address, "/health/ready").contains("200 OK"));
    assert!(get(&address, "/health/live").contains("200 OK"));
    let metrics = get(&address, "/metrics");
    for series in [
        "weir_epochs_total{stage=\"account\"}",
        "weir_verdicts_total{kind=\"CRITICAL\"} 0",
        "weir_collector_lines_rejected_total{kind=\"INVALID_UTF8\"} 0",
        "weir_collector_lines_mended_total 0",
        "weir_stage_events_total{stage=\"cluster\",cause=\"fan_out_skipped\"} 0",
        "weir_actions_total{kind=\"SUSPEND\",state=\"WITHHELD\"} 0",
        "weir_enforcer_records_unreadable_total 0",
        "weir_enforcer_accounts_unopened_total 0",
        "weir_enforcer_indicators_forgotten_total 0",
        "weir_enforcer_actions_waiting 0",
    ] {
        assert!(metrics.contains(series), "{series} is not in\n{metrics}");
    }
    running.stop();
}

#[test]
fn a_published_policy_is_in_force_and_named_by_its_verdicts() {
    let place = Place::new();
    std::fs::write(&place.feed, traffic(3, 60)).unwrap();
    place.run_until_idle();
    let data = place.data.to_str().unwrap().to_owned();
    let shown = text(&success(weir(&["policy", "show", "--data-dir", &data])).stdout);
    let stricter = shown.replacen("version = \"", "version = \"strict-", 1);
    let path = place.directory.path().join("policy.toml");
    std::fs::write(&path, &stricter).unwrap();
    success(weir(&["policy", "publish", path.to_str().unwrap(), "--data-dir", &data]));
    assert_eq!(text(&success(weir(&["policy", "show", "--data-dir", &data])).stdout), stricter);

    let mut feed = OpenOptions::new().append(true).open(&place.feed).unwrap();
    let later = traffic(3, 80).replace("\"id\":\"", "\"id\":\"later-").replace("1793491", "1793591");
    feed.write_all(later.as_bytes()).unwrap();
    place.run_until_idle();
    let verdicts = place.lines_of("audit_log.jsonl");
    assert!(verdicts.iter().any(|v| v["policy_version"].as_str().unwrap().starts_with("strict-")));

    // What the first two policies judged can be folded again after a third is in force.
    std::fs::write(&path, shown.replacen("version = \"", "version = \"third-", 1)).unwrap();
    success(weir(&["policy", "publish", path.to_str().unwrap(), "--data-dir", &data]));
    place.run_until_idle();
    assert_eq!(place.replay(&["--as-recorded"]).0["bytes_equal"], true);
}

#[test]
fn a_refused_policy_changes_nothing_and_says_why() {
    let place = Place::new();
    std::fs::write(&place.feed, line("a", START_MS, "one", "hello")).unwrap();
    place.run_until_idle();
    let path = place.directory.path().join("policy.toml");
    std::fs::write(&path, "verzion = 1\n").unwrap();
    let arguments = ["policy", "publish", path.to_str().unwrap(), "--data-dir", place.data.to_str().unwrap()];
    let output = weir(&arguments).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("is refused"), "{}", text(&output.stderr));
}

#[test]
fn flags_that_do_not_belong_are_refused_and_so_is_a_distributed_role_without_keys() {
    let refused = |arguments: &[&str], expected: &str| {
        let output = weir(arguments).output().unwrap();
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    };
    refused(&["run", "--no-such-flag"], "unexpected argument");
    refused(&["run"], "tail is not set");
    refused(&["collect", "--brokers", "127.0.0.1:1", "--tail", "x"], "keys_dir is not set");
    refused(&["enforce", "--brokers", "127.0.0.1:1"], "keys_dir is not set");
    refused(&["process"], "brokers is not set");
    refused(&["replay", "--data-dir", "/nonexistent"], "<--as-recorded|--lockstep>");
    refused(&["replay", "--as-recorded", "--data-dir", "/nonexistent"], "there is no log to read");
}
