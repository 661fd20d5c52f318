//! `weir coverage`: a signed statement, and the check of one.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, START_MS, success, text, traffic, weir};
use std::path::Path;
use std::process::{Command, Output};

fn judged() -> Place {
    let place = Place::new();
    std::fs::write(&place.feed, traffic(10, 80) + "no event\n").unwrap();
    place.run_until_idle();
    place
}

fn coverage(place: &Place, arguments: &[&str]) -> Command {
    let mut command = weir(&["coverage", "--data-dir"]);
    command.arg(&place.data).arg("--keys-dir").arg(place.keys_of("operator")).args(arguments);
    command
}

fn statement(output: &Output) -> serde_json::Value {
    serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["statement"].clone()
}

fn check(file: &Path, arguments: &[&str]) -> Output {
    let mut command = weir(&["coverage", "--check"]);
    command.arg(file).args(arguments).output().unwrap()
}

#[test]
fn a_run_balances_and_the_statement_is_believed() {
    let place = judged();
    let file = place.directory.path().join("coverage.json");
    let shown = text(&success(coverage(&place, &["--out", file.to_str().unwrap()])).stdout);
    let events = traffic(10, 80).lines().count();
    assert!(shown.contains(&format!("BALANCED: {events} events read, {events} judged, 0 dead")), "{shown}");

    let made = text(&success(weir(&["keys", "make", place.keys.to_str().unwrap()])).stdout);
    let public_key = made.split_whitespace().next_back().unwrap().to_owned();
    assert!(shown.contains(&public_key), "{shown}");
    let believed = check(&file, &["--public-key", &public_key]);
    assert_eq!(believed.status.code(), Some(0), "{}", text(&believed.stdout));
    assert!(text(&believed.stdout).contains("fits the key that was given"));
    assert!(text(&check(&file, &[]).stdout).contains(&format!("The signature fits {public_key}")));

    let other = check(&file, &["--public-key", &"5".repeat(64)]);
    assert_eq!(other.status.code(), Some(1));
    let content = std::fs::read(&file).unwrap();
    for byte in (0..content.len()).step_by(content.len() / 40) {
        let mut flipped = content.clone();
        flipped[byte] ^= 1;
        std::fs::write(&file, flipped).unwrap();
        let refused = check(&file, &[]);
        assert_ne!(refused.status.code(), Some(0), "byte {byte}: {}", text(&refused.stdout));
    }
}

#[test]
fn ranges_of_offsets_and_times_are_covered_and_what_is_not_there_is_said() {
    let place = judged();
    let of = |arguments: &[&str], code: i32| {
        let mut all = vec!["--format", "json"];
        all.extend(arguments);
        let output = coverage(&place, &all).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
        statement(&output)
    };
    let offsets = of(&["--partition", "1", "--from-offset", "2", "--to-offset", "12"], 0);
    assert_eq!((&offsets["read"], &offsets["balance"]), (&10.into(), &"balanced".into()));
    let beyond = of(&["--partition", "1", "--from-offset", "2", "--to-offset", "1000000"], 2);
    assert_eq!(beyond["balance"], "unproven");
    let (from, to) = (START_MS.to_string(), (START_MS + 50_000).to_string());
    let times = of(&["--from-ms", &from, "--to-ms", &to], 0);
    assert!(times["read"].as_u64().unwrap() >= 120, "{times}");
}

#[test]
fn a_directory_without_the_signing_key_says_how_to_make_it() {
    let place = judged();
    for half in [place.keys_of("operator").join("sign.key"), place.keys_of("auditor").join("sign.pub")] {
        std::fs::remove_file(half).unwrap();
    }
    let refused = coverage(&place, &[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("weir keys make"), "{}", text(&refused.stderr));
    success(weir(&["keys", "make", place.keys.to_str().unwrap()]));
    success(coverage(&place, &[]));
}
