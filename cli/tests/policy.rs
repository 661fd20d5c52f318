//! Which policy is in force, which were, and how one takes another's place.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::{Place, START_MS, line, success, text, traffic, weir};
use std::fs::OpenOptions;
use std::io::Write as _;

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

/// `weir policy …` on the log of a place.
fn policy(place: &Place, arguments: &[&str]) -> String {
    let mut command = weir(&["policy"]);
    command.args(arguments).arg("--data-dir").arg(&place.data);
    text(&success(command).stdout)
}

/// A place with a log, and the built-in policy in files of these versions.
fn with_policies(versions: &[&str]) -> (Place, Vec<String>) {
    let place = Place::new();
    std::fs::write(&place.feed, line("a", START_MS, "one", "hello")).unwrap();
    place.run_until_idle();
    let builtin = policy(&place, &["show"]);
    let files = versions.iter().map(|version| {
        let path = place.directory.path().join(format!("{version}.toml"));
        let renamed = builtin.replacen("version = \"builtin-", &format!("version = \"{version}\" # "), 1);
        assert_ne!(renamed, builtin);
        std::fs::write(&path, renamed).unwrap();
        path.display().to_string()
    });
    let files = files.collect();
    (place, files)
}

/// Version and digest of every policy that was published, the latest first, and which is in force.
fn history(place: &Place) -> Vec<(String, String, bool)> {
    let listed: serde_json::Value =
        serde_json::from_str(&policy(place, &["history", "--format", "json"])).unwrap();
    let text = |entry: &serde_json::Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let entries = listed.as_array().unwrap().iter();
    entries
        .map(|entry| (text(entry, "version"), text(entry, "digest"), entry["in_force"].as_bool().unwrap()))
        .collect()
}

#[test]
fn a_policy_takes_the_place_of_another_and_history_says_when() {
    let (place, files) = with_policies(&["first", "second"]);
    assert_eq!(history(&place), []);
    assert_eq!(policy(&place, &["history"]), "No policy was ever published: the built-in one is in force.\n");
    for file in &files {
        policy(&place, &["publish", file]);
    }
    let versions = |place: &Place| -> Vec<(String, bool)> {
        history(place).into_iter().map(|(version, _, in_force)| (version, in_force)).collect()
    };
    let expected = |versions: &[&str]| -> Vec<(String, bool)> {
        versions.iter().enumerate().map(|(index, version)| ((*version).to_owned(), index == 0)).collect()
    };
    assert_eq!(versions(&place), expected(&["second", "first"]));

    policy(&place, &["rollback"]);
    assert_eq!(policy(&place, &["show"]), std::fs::read_to_string(&files[0]).unwrap());
    policy(&place, &["rollback", "second"]);
    assert_eq!(policy(&place, &["show"]), std::fs::read_to_string(&files[1]).unwrap());
    assert_eq!(versions(&place), expected(&["second", "first", "second", "first"]));
    let digests: Vec<String> = history(&place).into_iter().map(|(_, digest, _)| digest).collect();
    assert_eq!((&digests[0], &digests[1]), (&digests[2], &digests[3]));
    assert_ne!(digests[0], digests[1]);

    let mut command = weir(&["policy", "rollback", "third", "--data-dir"]);
    let output = command.arg(&place.data).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("no other policy of version third"), "{}", text(&output.stderr));
    assert_eq!(versions(&place).len(), 4, "a refused rollback writes nothing");
}

#[test]
fn before_the_first_policy_that_was_published_there_was_the_built_in_one() {
    let (place, files) = with_policies(&["only"]);
    let builtin = policy(&place, &["show"]);
    let mut command = weir(&["policy", "rollback", "--data-dir"]);
    let output = command.arg(&place.data).output().unwrap();
    assert!(!output.status.success(), "there is nothing to go back to");
    policy(&place, &["publish", &files[0]]);
    policy(&place, &["rollback"]);
    assert_eq!(policy(&place, &["show"]), builtin);
}

#[test]
fn a_policy_can_be_checked_before_it_is_published_and_what_is_wrong_is_told_with_its_place() {
    let (place, files) = with_policies(&["good"]);
    let said = text(&success(weir(&["policy", "check", &files[0]])).stdout);
    policy(&place, &["publish", &files[0]]);
    let (version, digest, _) = history(&place).remove(0);
    assert_eq!(said, format!("{} is a policy: version {version}, digest {digest}\n", files[0]));

    let bad = place.directory.path().join("bad.toml");
    let good = std::fs::read_to_string(&files[0]).unwrap();
    std::fs::write(&bad, format!("{good}\nno_such_key = 1\n")).unwrap();
    let output = weir(&["policy", "check", bad.to_str().unwrap()]).output().unwrap();
    assert!(!output.status.success());
    let said = text(&output.stderr);
    let line = good.lines().count() + 2;
    assert!(said.contains("no_such_key") && said.contains(&format!("line {line}")), "{said}");
}

#[test]
fn every_verdict_names_the_policy_that_was_in_force_through_many_changes() {
    let (place, files) = with_policies(&["odd", "even"]);
    for round in 0..20u64 {
        policy(&place, &["publish", &files[round as usize % 2]]);
        let mut feed = OpenOptions::new().append(true).open(&place.feed).unwrap();
        // A day later each time, so that everybody who was told of is told of again.
        let day = 1_793_491 + (round + 1) * 86;
        let later = traffic(1, 60).replace("\"id\":\"", &format!("\"id\":\"{round}-"));
        feed.write_all(later.replace("1793491", &day.to_string()).as_bytes()).unwrap();
        drop(feed);
        let before = place.lines_of("audit_log.jsonl").len();
        place.run_until_idle();
        let expected = ["odd", "even"][round as usize % 2];
        let lines = place.lines_of("audit_log.jsonl");
        let of_verdicts = lines[before..].iter().filter(|line| !line["verdict_id"].is_null());
        for line in of_verdicts.clone() {
            assert_eq!(line["policy_version"], expected, "round {round}: {line}");
        }
        assert!(round > 0 || of_verdicts.count() > 0, "the campaign is told of");
    }
    assert_eq!(place.replay(&["--as-recorded"]).0["bytes_equal"], true);
    assert_eq!(history(&place).len(), 20);
}
