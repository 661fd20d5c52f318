//! What SIEMs are told, by the binary: the whole pipeline, and exporters that fail.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::fleet::{Fleet, all_succeed};
use common::{Place, Running, json_lines, success, text, traffic, weir};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn judged() -> Place {
    let place = Place::new();
    std::fs::write(&place.feed, traffic(20, 200)).unwrap();
    place.run_until_idle();
    place
}

/// Ids of everything that the run told in its own files.
fn expected(place: &Place) -> BTreeSet<String> {
    let text = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap().to_owned();
    let mut ids = BTreeSet::new();
    for line in place.lines_of("enforcement_actions.jsonl") {
        let state = text(&line, "state").to_lowercase();
        ids.insert(format!("verdict/{}", text(&line, "verdict_id")));
        ids.insert(format!("action/{}/{state}/{}", text(&line, "action_id"), line["taken_ms"]));
    }
    for line in place.lines_of("campaigns.jsonl") {
        ids.insert(format!("campaign/{}/{}", text(&line, "campaign_id"), line["sequence"]));
    }
    ids
}

fn export(place: &Place, flags: &[&str]) -> Command {
    let mut command = weir(&["export", "--until-idle", "--data-dir"]);
    command.arg(&place.data).args(flags);
    command
}

fn files_dir(place: &Place, name: &str) -> PathBuf {
    place.directory.path().join(name)
}

fn ids(lines: &[serde_json::Value]) -> Vec<String> {
    lines.iter().map(|line| line["event_id"].as_str().unwrap().to_owned()).collect()
}

/// The lines of all files of one format, the oldest file first.
fn lines_in(directory: &Path, name: &str) -> Vec<serde_json::Value> {
    let older = (1..100).rev().map(|number| directory.join(format!("{name}.{number}")));
    older.chain([directory.join(name)]).flat_map(|path| json_lines(&path)).collect()
}

#[test]
fn a_run_tells_all_that_it_judged_and_did_once_and_a_later_exporter_the_same_by_another_name() {
    let place = Place::new();
    std::fs::write(&place.feed, traffic(20, 200)).unwrap();
    let during = files_dir(&place, "during");
    let mut run = place.run_to_idle();
    run.arg("--export-files-dir").arg(&during);
    success(run);
    let told = ids(&json_lines(&during.join("weir-json.jsonl")));
    let unique: BTreeSet<String> = told.iter().cloned().collect();
    assert_eq!(told.len(), unique.len(), "nothing failed, so nothing is told twice");
    let expected = expected(&place);
    assert!(expected.iter().any(|id| id.starts_with("campaign/")) && expected.len() > 24, "{expected:?}");
    // Verdicts that asked for no action stand in no line of the output directory.
    let missing: Vec<&String> = expected.difference(&unique).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let extra: Vec<&String> = unique.difference(&expected).filter(|id| !id.starts_with("verdict/")).collect();
    assert!(extra.is_empty(), "{extra:?}");

    let after = files_dir(&place, "after");
    let mut later = export(&place, &["--export-group", "later", "--export-files-bytes-max", "20000"]);
    later.args(["--export-files-kept", "99", "--export-files-dir"]).arg(&after);
    success(later);
    let again: BTreeSet<String> = ids(&lines_in(&after, "weir-json.jsonl")).into_iter().collect();
    assert_eq!(again, unique);
    assert!(after.join("weir-json.jsonl.1").exists(), "it is followed by another at its size");

    // Where the run left off there is nothing more to tell.
    let mut same = export(&place, &["--export-files-dir"]);
    same.arg(&during);
    success(same);
    assert_eq!(ids(&json_lines(&during.join("weir-json.jsonl"))), told);
}

#[test]
fn pseudonyms_stay_pseudonyms_in_every_format() {
    let place = judged();
    for format in ["json", "csv", "cef", "leef", "ocsf", "ecs"] {
        let directory = files_dir(&place, format);
        let mut command = export(&place, &["--export-group", format, "--export-files-format", format]);
        command.arg("--export-files-dir").arg(&directory);
        success(command);
        let file = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
        let file = file.filter(|path| path.to_string_lossy().contains("weir-")).collect::<Vec<_>>();
        assert_eq!(file.len(), 1);
        let lines = std::fs::read_to_string(&file[0]).unwrap();
        assert!(lines.lines().count() > 24, "{format}: {lines}");
        for raw in ["campaign-1", "customer-", "stolen-card", "Think step"] {
            assert!(!lines.contains(raw), "{format} tells {raw}");
        }
    }
}

#[test]
fn what_is_wrong_with_the_configuration_is_told_at_the_start() {
    let place = judged();
    let says = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let nobody = says(&mut export(&place, &[]));
    assert!(nobody.contains("--export-files-dir"), "{nobody}");
    let directory = files_dir(&place, "files");
    let topics =
        says(export(&place, &["--export-topics", "verdicts,events", "--export-files-dir"]).arg(&directory));
    assert!(topics.contains("verdicts, campaigns, actions"), "{topics}");
    let file = says(export(&place, &["--export-files-dir"]).arg(&place.feed));
    assert!(file.contains("export.files_dir"), "{file}");
}

#[test]
fn on_brokers_a_destination_is_told_all_once_and_another_process_goes_on_where_it_was() {
    let Some(fleet) = Fleet::new("export", 4) else { return };
    let place = &fleet.place;
    let out = files_dir(place, "told");
    let judge = |feed: String| {
        std::fs::write(&place.feed, feed).unwrap();
        fleet.import();
        let mut processor = fleet.processor();
        processor.arg("--until-idle");
        all_succeed(vec![Running::start(processor)]);
        let mut enforce = fleet.with_keys(&["enforce", "--until-idle"]);
        enforce.arg("--output-dir").arg(&place.output);
        success(enforce);
        let mut export = fleet.with_brokers(&["export", "--until-idle"]);
        export.arg("--export-files-dir").arg(&out);
        success(export);
        ids(&lines_in(&out, "weir-json.jsonl"))
    };
    let first = judge(traffic(20, 200));
    let told: BTreeSet<String> = first.iter().cloned().collect();
    assert_eq!(first.len(), told.len(), "nothing failed, so nothing is told twice");
    let missing: Vec<String> = expected(place).difference(&told).cloned().collect();
    assert!(missing.is_empty() && told.len() > 24, "{missing:?}");
    // More of it, by the same accounts: what was told stands, and what is new comes behind it.
    let second = judge(traffic(20, 400));
    assert_eq!(second[..first.len()], first);
    let told: BTreeSet<String> = second.iter().cloned().collect();
    assert_eq!(second.len(), told.len());
    assert!(second.len() > first.len() && expected(place).is_subset(&told));
}
