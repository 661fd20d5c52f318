//! The laboratory's commands, as one types them.

#![allow(clippy::unwrap_used)]

mod common;

use common::{success, text, weir};
use serde_json::Value;
use std::path::Path;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/access.jsonl");

fn evaluate(arguments: &[&str]) -> Value {
    let mut command = weir(&["evaluate", "--format", "json"]);
    command.args(arguments);
    serde_json::from_slice(&success(command).stdout).unwrap()
}

fn simulate(to: &Path, arguments: &[&str]) {
    let mut command = weir(&["simulate", "--out"]);
    command.arg(to).args(arguments);
    success(command);
}

#[test]
fn the_recorded_example_is_judged_without_a_mistake() {
    let report = evaluate(&[EXAMPLE]);
    let accounts = &report["accounts"];
    assert_eq!((&accounts["tp"], &accounts["fp"], &accounts["fn"]), (&6.into(), &0.into(), &0.into()));
    assert_eq!(report["events"], 1677);
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    for key in ["accounts", "tiers", "campaigns", "populations", "policy", "events", "seconds"] {
        assert!(keys.contains(&key), "{key} is not in {keys:?}");
    }
    let mut command = weir(&["evaluate"]);
    command.arg(EXAMPLE);
    let shown = text(&success(command).stdout);
    assert!(shown.contains("campaigns  1 of 1 found"), "{shown}");
}

#[test]
fn labels_change_nothing_of_the_judgement() {
    let directory = tempfile::tempdir().unwrap();
    let (with, without) = (directory.path().join("with.jsonl"), directory.path().join("without.jsonl"));
    simulate(&with, &["--scenario", "hydra-8", "--hours", "2"]);
    simulate(&without, &["--scenario", "hydra-8", "--hours", "2", "--unlabelled"]);
    let (with, without) = (evaluate(&[with.to_str().unwrap()]), evaluate(&[without.to_str().unwrap()]));
    assert_eq!(with["tiers"]["MEDIUM"]["tp"], without["tiers"]["MEDIUM"]["fp"]);
    // Two hours are not enough to tell all eight.
    assert_eq!(with["accounts"]["tp"], 7);
}

#[test]
fn events_of_a_log_are_evaluated_by_the_labels_that_they_were_read_with() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let (file, data, keys) = (place("world.jsonl"), place("data"), place("keys"));
    simulate(&file, &["--scenario", "hydra-8", "--hours", "2"]);
    // Which accounts a value remembers goes by their pseudonyms: an evaluation of a file makes them with this
    // key.
    let mut make = weir(&["keys", "make"]);
    make.arg(&keys);
    success(make);
    let key: String = b"an evaluation needs no secret...".iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(keys.join("collector/pseudonym-0.key"), key).unwrap();
    let mut import = weir(&["import", "--data-dir"]);
    import.arg(&data).arg("--keys-dir").arg(keys.join("collector")).arg(&file);
    success(import);
    let (topics, read) =
        (evaluate(&["--data-dir", data.to_str().unwrap()]), evaluate(&[file.to_str().unwrap()]));
    assert_eq!(topics["accounts"], read["accounts"]);
    assert_eq!(topics["campaigns"], read["campaigns"]);
}

#[test]
fn seeds_are_simulated_and_counted_together_with_what_each_detector_is_worth() {
    let report = evaluate(&["--seeds", "1..2", "--scenario", "hydra-6", "--hours", "2", "--ablate"]);
    assert_eq!(report["runs"], 2);
    let accounts = &report["accounts"];
    assert_eq!(accounts["tp"].as_u64().unwrap() + accounts["fn"].as_u64().unwrap(), 12);
    assert!(report["ablation"].as_array().unwrap().len() >= 3);
    assert!(report["ablation"][0]["without"].is_string());
}

#[test]
fn the_page_holds_all_that_it_needs() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("report.html");
    let mut command = weir(&["evaluate", "--format", "html", "--curves", "--out"]);
    command.arg(&page).arg(EXAMPLE);
    success(command);
    let text = std::fs::read_to_string(page).unwrap();
    assert!(text.matches("<svg").count() >= 6, "{text}");
    assert!(text.contains("6 flagged at MEDIUM or above, 0 of them honest"), "{text}");
    for outside in ["http:", "https:", "src=", "<script", "<link", "url("] {
        assert!(!text.contains(outside), "the page has {outside}");
    }
}

#[test]
fn how_often_a_probability_is_true_is_told_of_everybody() {
    let mut command = weir(&["evaluate", "--curves"]);
    command.arg(EXAMPLE);
    let shown = text(&success(command).stdout);
    let (_, told) = shown.split_once("\nprobability said, off by ").unwrap();
    // Six of the campaign of whom as much is said as is ever said, and the others of whom little is.
    assert!(told.contains("\n0.9970     of campaigns 1.0000 (0.6097 to 1.0000; 6 of 6)\n"), "{shown}");
    let report = evaluate(&["--curves", EXAMPLE]);
    let bins = report["reliability"]["bins"].as_array().unwrap();
    let accounts: u64 = bins.iter().map(|bin| bin["accounts"].as_u64().unwrap()).sum();
    let counts = &report["accounts"];
    let all: u64 = ["tp", "fp", "fn", "tn"].iter().map(|kind| counts[kind].as_u64().unwrap()).sum();
    assert_eq!(accounts, all, "{report}");
}

#[test]
fn a_policy_without_a_detector_loses_who_was_found_by_it() {
    let directory = tempfile::tempdir().unwrap();
    let (other, quiet) = (directory.path().join("policy.toml"), directory.path().join("quiet.toml"));
    let builtin = include_str!("../../processor/policy/default.toml").to_owned();
    std::fs::write(&other, format!("{builtin}\n# a remark\n")).unwrap();
    let tier = |text: &str, line: &str, to: &str| {
        let from = text.lines().find(|found| found.starts_with(line)).unwrap().to_owned();
        text.replacen(&from, &format!("{line} = {to}"), 1)
    };
    let silent = ["critical", "high", "medium"].into_iter().zip(["0.999", "0.998", "0.997"]);
    std::fs::write(&quiet, silent.fold(builtin, |text, (line, to)| tier(&text, line, to))).unwrap();
    let diff = |second: &Path| -> Value {
        let mut command = weir(&["diff", "builtin", "--format", "json"]);
        command.arg(second).arg(EXAMPLE);
        serde_json::from_slice(&success(command).stdout).unwrap()
    };
    assert_eq!(diff(&other)["changed"], serde_json::json!([0, 0]));
    let lost = diff(&quiet);
    assert_eq!(lost["changed"], serde_json::json!([0, 6]));
    assert!(lost["lost"][0]["campaign"].is_string());
}
