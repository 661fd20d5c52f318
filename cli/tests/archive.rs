//! `weir archive`, and verdicts proved from it when the log is gone.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, success, text, traffic, weir};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn archive(place: &Place, to: &Path) -> Value {
    let mut command = weir(&["archive", "--format", "json", "--data-dir"]);
    command.arg(&place.data).arg(to);
    serde_json::from_slice(&success(command).stdout).unwrap()
}

/// Proves every verdict of an archive, with no log beside it.
fn verify(archive: &Path) -> Command {
    let mut command = weir(&["verify", "--all", "--data-dir", "/nonexistent", "--archive"]);
    command.arg(archive);
    command
}

#[test]
fn verdicts_are_proved_from_an_archive_when_the_log_has_nothing_left() {
    let place = Place::new();
    let (to, again) = (place.data.with_file_name("archive"), place.data.with_file_name("again"));
    std::fs::write(&place.feed, traffic(10, 80)).unwrap();
    place.run_until_idle();
    let kept = archive(&place, &to);
    assert!(kept["records"].as_u64().unwrap() > 800, "{kept}");
    assert_eq!(kept["gaps"], serde_json::json!([]));
    assert_eq!(archive(&place, &to)["records"], 0);
    // A second one of the same log has the same files.
    assert_eq!(archive(&place, &again), kept);
    let manifest = |of: &Path| std::fs::read_to_string(of.join("manifest.json")).unwrap();
    assert_eq!(manifest(&to), manifest(&again));
    std::fs::remove_dir_all(place.data.join("log")).unwrap();
    let shown = text(&success(verify(&to)).stdout);
    assert!(shown.contains(" 0 different, 0 not to be told"), "{shown}");
    let mut check = weir(&["archive", "--check"]);
    check.arg(&to);
    assert!(text(&success(check).stdout).ends_with("are what they were\n"));
}

#[test]
fn a_verdict_that_was_touched_in_an_archive_is_not_proved() {
    let place = Place::new();
    let to = place.data.with_file_name("archive");
    std::fs::write(&place.feed, traffic(10, 80)).unwrap();
    place.run_until_idle();
    archive(&place, &to);
    let manifest: Value = serde_json::from_slice(&std::fs::read(to.join("manifest.json")).unwrap()).unwrap();
    let mut files = manifest["files"].as_array().unwrap().iter();
    let file = files.find(|file| file["topic"] == "weir.verdicts" && file["records"] != 0).unwrap();
    let path =
        to.join("weir.verdicts").join(file["partition"].to_string()).join("00000000000000000000.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let output = verify(&to).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("its SHA-256 is"), "{}", text(&output.stderr));
    let mut check = weir(&["archive", "--check"]);
    check.arg(&to);
    assert_eq!(check.output().unwrap().status.code(), Some(1));
}
