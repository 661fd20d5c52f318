//! `weir tune` on the shipped example, as one types it.

#![allow(clippy::unwrap_used)]

mod common;

use common::{success, text, weir};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/access.jsonl");
const BUILTIN: &str = include_str!("../../processor/policy/default.toml");

/// The built-in policy, in which `kin` says less than half of what it may and others next to nothing.
fn mis_set(directory: &Path) -> PathBuf {
    let path = directory.join("mis-set.toml");
    let quiet =
        ["bond", "theme", "opening", "rhythm", "harvest", "script", "network"].map(|name| (name, "0.2"));
    let set = quiet.into_iter().chain([("kin", "3.0")]).fold(BUILTIN.to_owned(), |text, (name, most)| {
        let table = format!("[detectors.{name}]\nenabled = true\nnats_max = ");
        let (before, after) = text.split_once(&table).unwrap();
        let (_, after) = after.split_once('\n').unwrap();
        format!("{before}{table}{most}\n{after}")
    });
    std::fs::write(&path, set).unwrap();
    path
}

fn tune(policy: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = weir(&["tune", EXAMPLE, "--out"]);
    command.arg(out).arg("--policy").arg(policy).args(more);
    command
}

fn evaluate(policy: &Path) -> Value {
    let mut command = weir(&["evaluate", "--format", "json", EXAMPLE, "--policy"]);
    command.arg(policy);
    serde_json::from_slice(&success(command).stdout).unwrap()
}

#[test]
fn what_was_set_wrong_is_found_again_and_written_with_what_changed_and_on_what() {
    let directory = tempfile::tempdir().unwrap();
    let (policy, out) = (mis_set(directory.path()), directory.path().join("mine.toml"));
    let before = evaluate(&policy);
    assert_eq!(before["accounts"]["tp"], 0, "{}", before["accounts"]);
    let shown = text(&success(tune(&policy, &out, &[])).stdout);
    assert!(shown.starts_with("a better policy\n"), "{shown}");
    assert!(shown.contains("campaigns   0 found, 1 with the candidate, 0 lost"), "{shown}");
    assert!(shown.contains("gained 6, lost 0"), "{shown}");
    let written = std::fs::read_to_string(&out).unwrap();
    let header: Vec<&str> = written.lines().take_while(|line| line.starts_with("# ")).collect();
    assert!(
        header[0].starts_with("# Candidate, made by `weir tune` from builtin-10 (SHA-256 "),
        "{header:?}"
    );
    assert_eq!(header[1], "# On 1677 events of access.jsonl.");
    assert_eq!(header.last().unwrap(), &"# Changed: detectors.kin.nats_max from 3 to 7.");
    assert!(written.contains("# How the account keeps time"), "the policy's own remarks are gone");
    let after = evaluate(&out);
    assert_eq!(after["policy"], "builtin-10-tuned");
    let accounts = &after["accounts"];
    assert_eq!((&accounts["tp"], &accounts["fp"], &accounts["fn"]), (&json!(6), &json!(0), &json!(0)));
}

#[test]
fn where_nothing_is_better_nothing_is_written_and_the_exit_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (policy, out) = (directory.path().join("builtin.toml"), directory.path().join("mine.toml"));
    std::fs::write(&policy, BUILTIN).unwrap();
    let output = tune(&policy, &out, &["--format", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(!out.exists());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["outcome"], "nothing_better");
    assert_eq!(report["changes"], json!([]));
    // What was heard and fused flags whom an evaluation flags.
    let evaluated = evaluate(&policy);
    assert_eq!(report["accounts"][0], evaluated["accounts"]);
}

#[test]
fn what_would_come_to_nothing_is_told_before_the_search() {
    let directory = tempfile::tempdir().unwrap();
    let (policy, out) = (mis_set(directory.path()), directory.path().join("mine.toml"));
    let refused = |out: &Path, more: &[&str]| {
        let output = tune(&policy, out, more).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr).replace(&directory.path().display().to_string(), "DIR")
    };
    let unknown = refused(&out, &["--fpr-max", "chta=0.1"]);
    assert!(unknown.contains("--fpr-max names the population chta, and these files have none"), "{unknown}");
    std::fs::write(&out, "precious").unwrap();
    let there = refused(&out, &[]);
    assert!(there.contains("DIR/mine.toml is there already: delete it, or give another --out"), "{there}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "precious");
    let nowhere = refused(&directory.path().join("missing/mine.toml"), &[]);
    assert!(nowhere.contains("DIR/missing/mine.toml cannot be written"), "{nowhere}");
    let kept = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(kept, 2, "the policy and what was there");
}
