//! `weir shadow` beside a log that `weir run` made: who is gained and lost, and that nothing of it reaches
//! the log.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, success, text, weir};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use weir_topology::embedded::EmbeddedLog;
use weir_topology::log::Log as _;
use weir_topology::topic::Topic;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/access.jsonl");

const BUILTIN: &str = include_str!("../../processor/policy/default.toml");

/// A log of the recorded example, judged by the built-in policy.
fn judged() -> Place {
    let place = Place::new();
    std::fs::copy(EXAMPLE, &place.feed).unwrap();
    place.run_until_idle();
    place
}

fn policy(place: &Place, name: &str, changes: &[(&str, &str)]) -> PathBuf {
    let file = place.directory.path().join(name);
    let text = changes.iter().fold(BUILTIN.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the policy");
        text.replacen(from, to, 1)
    });
    std::fs::write(&file, text).unwrap();
    file
}

fn command(place: &Place, policy: &Path, dir: &str, arguments: &[&str]) -> Command {
    let mut command = weir(&["shadow", "--until-idle", "--data-dir"]);
    command.arg(&place.data).arg("--dir").arg(place.directory.path().join(dir)).arg(policy).args(arguments);
    command
}

fn report(place: &Place, policy: &Path, dir: &str) -> Value {
    serde_json::from_slice(&success(command(place, policy, dir, &["--format", "json", "--all"])).stdout)
        .unwrap()
}

/// What there is of every topic.
fn bounds(place: &Place) -> Vec<(Topic, u32, (i64, i64))> {
    let log = EmbeddedLog::open_existing(&place.data.join("log")).unwrap();
    let partitions = |topic| (0..log.partitions(topic).unwrap()).map(move |partition| (topic, partition));
    let all = Topic::ALL.iter().flat_map(|topic| partitions(*topic));
    all.map(|(topic, partition)| (topic, partition, log.bounds(topic, partition).unwrap())).collect()
}

#[test]
fn a_shadow_says_who_is_gained_and_lost_and_writes_nothing_that_is_acted_on() {
    let place = judged();
    let (before, actions) = (bounds(&place), place.lines_of("actions.jsonl").len());

    // By the policy in force nobody's tier is another, and all that was said is said.
    let same = report(&place, Path::new("builtin"), "same");
    assert_eq!((&same["changed"], &same["same"]), (&serde_json::json!([0, 0]), &6.into()), "{same}");
    assert_eq!(
        (&same["events"], &same["behind_records"], &same["left_out"], &same["unreadable"]),
        (&1677.into(), &0.into(), &0.into(), &0.into())
    );

    let deaf = policy(
        &place,
        "deaf.toml",
        &[("version = \"builtin-10\"", "version = \"deaf\""), ("prior_nats = -6.75", "prior_nats = -20.0")],
    );
    let lost = report(&place, &deaf, "deaf");
    assert_eq!(lost["changed"], serde_json::json!([0, 6]), "{lost}");
    assert_eq!(lost["policies"], serde_json::json!(["builtin-10", "deaf"]));
    for account in lost["lost"].as_array().unwrap() {
        assert_eq!(account["tiers"][1], "CLEAR", "{account}");
        assert!(account["reasons"][0]["contributions"][0].as_f64().unwrap() > 0.0, "{account}");
    }

    let keen = policy(
        &place,
        "keen.toml",
        &[
            ("version = \"builtin-10\"", "version = \"keen\""),
            ("prior_nats = -6.75", "prior_nats = 7.0"),
            ("alone_nats = 13.8", "alone_nats = 0.0"),
        ],
    );
    let gained = report(&place, &keen, "keen");
    assert_eq!(gained["changed"][1], 0, "{gained}");
    let new: Vec<&Value> = gained["gained"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|account| account["tiers"][0] == "CLEAR")
        .collect();
    assert!(
        !new.is_empty() && new.iter().all(|account| account["scores"][1].as_f64() > Some(0.35)),
        "{gained}"
    );
    let shown = text(&success(command(&place, &keen, "keen", &[])).stdout);
    assert!(shown.starts_with("from builtin-10 to keen, on 1677 events\ngained "), "{shown}");

    // Not a record came to the log, so no enforcer and no export has anything to act on.
    assert_eq!(bounds(&place), before);
    place.run_until_idle();
    assert_eq!(place.lines_of("actions.jsonl").len(), actions);
    assert_eq!(place.replay(&["--as-recorded"]).0["bytes_equal"], true);
}

#[test]
fn a_shadow_goes_on_where_it_was_and_its_directory_is_of_one_policy() {
    let place = judged();
    let first = report(&place, Path::new("builtin"), "same");
    // What it has judged it does not judge again; what it said is still there.
    assert_eq!(report(&place, Path::new("builtin"), "same"), first);
    let lines = std::fs::read_to_string(&place.feed).unwrap();
    std::fs::write(
        &place.feed,
        format!(
            "{lines}{}\n",
            lines.lines().last().unwrap().replace("\"request_id\":\"", "\"request_id\":\"again-")
        ),
    )
    .unwrap();
    place.run_until_idle();
    assert_eq!(report(&place, Path::new("builtin"), "same")["events"], 1678);

    let other = policy(&place, "other.toml", &[("version = \"builtin-10\"", "version = \"other\"")]);
    let refused = command(&place, &other, "same", &[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    assert!(
        told.contains("is the directory of a shadow by policy builtin-10")
            && told.contains("give another --dir"),
        "{told}"
    );

    // What it writes into a log that somebody acts by would be acted on.
    let live = place.directory.path().join("live");
    std::fs::create_dir_all(live.join("log")).unwrap();
    let refused = command(&place, Path::new("builtin"), "live", &[]).output().unwrap();
    let told = text(&refused.stderr);
    assert!(told.contains("has a log that no shadow made: give a --dir of the shadow's own"), "{told}");
    assert_eq!(std::fs::read_dir(live.join("log")).unwrap().count(), 0);

    let beside = judged();
    let mut elsewhere = weir(&["shadow", "--until-idle", "builtin", "--data-dir"]);
    elsewhere.arg(&beside.data).arg("--dir").arg(place.directory.path().join("same"));
    let told = text(&elsewhere.output().unwrap().stderr);
    assert!(
        told.contains("is the directory of a shadow beside ") && told.contains("give another --dir"),
        "{told}"
    );

    let out = place.directory.path().join("report.json");
    let arguments = ["--format", "json", "--out", out.to_str().unwrap()];
    assert_eq!(text(&success(command(&place, Path::new("builtin"), "same", &arguments)).stdout), "");
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!((&written["events"], &written["same"]), (&1678.into(), &6.into()));
}
