//! `weir explain` on a log that `weir run` made, and the campaign that every other command shows too.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, success, text, weir};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Output;
use weir_processor::policy::Policy;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/access.jsonl");

fn explain(place: &Place, arguments: &[&str]) -> Output {
    let mut command = weir(&["explain", "--data-dir"]);
    command.arg(&place.data).args(arguments).output().unwrap()
}

fn json(place: &Place, id: &str) -> Value {
    serde_json::from_slice(&explain(place, &[id, "--json"]).stdout).unwrap()
}

#[test]
fn the_recorded_examples_six_accounts_are_one_campaign_everywhere_and_it_is_explained() {
    let place = Place::new();
    std::fs::copy(EXAMPLE, &place.feed).unwrap();
    let shown = place.run_until_idle();
    let campaigns: Vec<&str> = shown.lines().filter(|line| line.starts_with("campaigns ")).collect();
    assert!(campaigns.len() == 1 && campaigns[0].contains("  CRITICAL  6 accounts, "), "{shown}");

    // The files tell it whole.
    let (mut members, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for line in place.lines_of("campaigns.jsonl") {
        if line["status"] == "CLOSED" {
            assert!(line["absorbed_by"].is_string(), "{line}");
            ids.remove(&line["campaign_id"].to_string());
            continue;
        }
        ids.insert(line["campaign_id"].to_string());
        members
            .extend(line["members"].as_array().unwrap().iter().map(|member| member["account"].to_string()));
        assert_eq!(line["left"], Value::Array(Vec::new()));
    }
    assert_eq!((ids.len(), members.len()), (1, 6));

    // By its first digits, as the table shows them.
    let id = ids.first().unwrap().trim_matches('"').to_owned();
    let explained = text(&explain(&place, &[&id[..12]]).stdout);
    assert!(explained.starts_with(&format!("campaign  {id}\n")), "{explained}");
    for part in
        ["members   6, with ", "PAYMENT ", "against 6 members", "to share none of these values would cost $ "]
    {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    let story = json(&place, &id);
    assert_eq!(story["kind"], "campaign");
    let verdict = story["members"][0]["verdict_id"].as_str().unwrap();
    let explained = text(&explain(&place, &[verdict]).stdout);
    for part in [
        &format!("campaign  {id}\n"),
        "log-odds  ",
        " nats, which is the probability",
        "\n  nothing of kin ",
        " nats less evidence ",
    ] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    let story = json(&place, verdict);
    assert_eq!((&story["kind"], &story["verdict_id"]), (&Value::from("verdict"), &Value::from(verdict)));
    assert_eq!(story["account"], json(&place, &id)["members"][0]["account"]);
    let said = 1.0 / (1.0 + (-story["calibrated_nats"].as_f64().unwrap()).exp());
    assert!((story["probability"].as_f64().unwrap() - said).abs() < 1e-5, "{story}");
    let log_odds = story["log_odds_nats"].as_f64().unwrap();
    assert_eq!(
        story["calibrated_nats"],
        Policy::builtin().fleet().calibrated((log_odds * 1e3).round() as i32) as f64 / 1e3
    );

    // History says the same of it.
    let recorded = place.replay(&["--as-recorded"]);
    assert_eq!(recorded.0["campaigns_equal"], true);

    let unknown = explain(&place, &["00000000000000000000000000000000"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stdout).starts_with("NOT FOUND: "));
    assert!(text(&explain(&place, &["xyz"]).stderr).contains("\"xyz\" is no id"));
}

#[test]
fn an_evaluation_says_how_the_campaign_was_put_together() {
    let mut command = weir(&["evaluate", "--format", "json"]);
    command.arg(EXAMPLE);
    let report: Value = serde_json::from_slice(&success(command).stdout).unwrap();
    let assembly = &report["assembly"];
    let counted: Vec<i64> = ["campaigns", "whole", "split", "merged", "honest"]
        .iter()
        .map(|name| assembly[name].as_i64().unwrap())
        .collect();
    assert_eq!(counted, [1, 1, 0, 0, 0]);
    let put = &report["campaigns"]["mirror"]["assembled"];
    assert_eq!((&put["together"], &put["purity"]), (&Value::from(6), &Value::from(1.0)));
}
