//! Indicators from one deployment to another, at the command line: shared, imported, met, and explained.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::{Place, eventually, metric, serving, success, text, traffic, weir};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory of a place's indicators, with a source `partner` that signs with the operator's key of
/// `partner`.
fn indicators_of(place: &Place, partner: &Place, trust: &str) -> PathBuf {
    let directory = place.directory.path().join("indicators");
    let sources = directory.join("sources");
    fs::create_dir_all(&sources).unwrap();
    for path in [&directory, &sources] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let key = fs::read_to_string(partner.keys_of("auditor").join("sign.pub")).unwrap();
    let file = sources.join("partner.toml");
    fs::write(&file, format!("public_key = \"{}\"\ntrust = {trust}\nlife_days_max = 90\n", key.trim()))
        .unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    directory
}

fn indicators(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = weir(&["indicators"]);
    command.args(arguments).arg("--indicators-dir").arg(directory);
    command
}

fn failure(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{}", text(&output.stdout));
    text(&output.stderr)
}

/// A bundle of STIX that the operator of `partner` signs, with an indicator of each of these patterns.
fn signed_stix(partner: &Place, patterns: &[&str]) -> PathBuf {
    signed_stix_of(partner, patterns, "2026-11-01T00:00:00Z")
}

/// One whose indicators were changed then.
fn signed_stix_of(partner: &Place, patterns: &[&str], modified: &str) -> PathBuf {
    let objects: Vec<Value> = patterns
        .iter()
        .enumerate()
        .map(|(index, pattern)| {
            json!({
                "type": "indicator", "spec_version": "2.1", "id": format!("indicator--{index}"),
                "pattern": pattern, "pattern_type": "stix", "valid_from": "2026-10-01T00:00:00Z",
                "created": "2026-10-01T00:00:00Z", "modified": modified,
            })
        })
        .collect();
    let at = |name: &str| partner.directory.path().join(name);
    fs::write(at("stix.json"), json!({"type": "bundle", "id": "bundle--1", "objects": objects}).to_string())
        .unwrap();
    let mut sign = weir(&["indicators", "sign"]);
    sign.arg(at("stix.json")).arg("--sign-keys").arg(partner.keys_of("operator"));
    fs::write(at("signed.jsonl"), success(sign).stdout).unwrap();
    at("signed.jsonl")
}

/// The stories of all verdicts that were decided on.
fn stories(place: &Place) -> Vec<Value> {
    let lines = place.lines_of("audit_log.jsonl");
    let ids: BTreeSet<&str> = lines.iter().filter_map(|line| line["verdict_id"].as_str()).collect();
    let explain = |id: &str| {
        let mut explain = weir(&["explain", id, "--json", "--data-dir"]);
        explain.arg(&place.data);
        serde_json::from_slice(&success(explain).stdout).unwrap()
    };
    ids.into_iter().map(explain).collect()
}

/// What a verdict's story says by the detector `indicator`.
fn hearsay(story: &Value) -> Option<&Value> {
    let families = story["families"].as_array().unwrap();
    let hearsay = families.iter().find(|family| family["family"] == "hearsay")?;
    assert_eq!(hearsay["signals"][0]["detector"], "indicator");
    Some(&hearsay["signals"][0])
}

#[test]
fn what_one_deployment_shares_another_imports_and_a_request_that_meets_it_is_explained_by_it() {
    // One finds a campaign, and shares it.
    let one = Place::new();
    fs::write(&one.feed, traffic(3, 60)).unwrap();
    success(one.run_to_idle());
    let shared = one.directory.path().join("shared");
    let mut share = weir(&["share", "--producer", "Example Ltd", "--data-dir"]);
    share.arg(&one.data).arg("--keys-dir").arg(one.keys_of("auditor"));
    share.arg("--sign-keys").arg(one.keys_of("operator")).arg("--out").arg(&shared);
    success(share);

    // Another of the same operator, so with the same pseudonym key, takes it, and a bundle of addresses.
    let mut other = Place::new();
    other.keys = one.keys.clone();
    // The campaign goes there ten minutes later: what is shared of it holds from when it was found.
    let later = traffic(3, 60).lines().fold(String::new(), |feed, line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line["time"] = (line["time"].as_u64().unwrap() + 600_000).into();
        feed + &format!("{line}\n")
    });
    fs::write(&other.feed, later).unwrap();
    let directory = indicators_of(&other, &one, "0.8");
    let import = |bundle: &Path| {
        let mut command = indicators(&directory, &["import", "--source", "partner"]);
        command.arg(bundle);
        command
    };
    let told = text(&success(import(&shared.join("bundles.jsonl"))).stdout);
    assert!(
        told.starts_with("Took ") && told.contains(" are keyed hashes: they are met only where "),
        "{told}"
    );
    let count = |text: &str| text.split(' ').nth(1).unwrap().parse::<usize>().unwrap();
    // The same campaign in the other form brings nothing new.
    let again = text(&success(import(&shared.join("stix.dsse.jsonl"))).stdout);
    assert!(again.contains(&format!("{} are there", count(&told))), "{again}");
    let stix = signed_stix(&one, &["[ipv4-addr:value = '10.9.8.3']", "[file:name = 'x']"]);
    let taken = text(&success(import(&stix)).stdout);
    assert!(
        taken.starts_with("Took 1 indicators of partner;") && taken.contains("Left out 1: unsupported."),
        "{taken}"
    );

    let mut run = other.run_to_idle();
    run.arg("--indicators-dir").arg(&directory);
    success(run);
    let stories = stories(&other);
    assert!(
        !stories.is_empty() && stories.iter().all(|story| hearsay(story).is_some()),
        "all met what was shared"
    );
    let (by_address, by_key): (Vec<&Value>, _) = stories.iter().partition(|story| {
        hearsay(story).is_some_and(|said| said["evidence"]["indicator_kind"] == "ADDRESS")
    });
    let story = by_address.first().expect("a verdict on who came from the address");
    let said = hearsay(story).unwrap();
    // 0.8 of 2.5 nats: one account came from there.
    assert_eq!((&said["nats"], &said["evidence"]["accounts_that_met_it"]), (&json!(2.0), &json!("1")));
    assert_eq!(said["evidence"]["indicator_source"], "partner");
    assert_eq!(said["evidence"]["indicator"], "indicator--0");
    assert_eq!(said["evidence"]["source_trust_permille"], "800");
    // What twelve accounts come with says less by itself.
    let said = hearsay(by_key.first().expect("a verdict on another account")).unwrap();
    assert!(said["nats"].as_f64().unwrap() < 2.0, "{said}");
    assert!(said["evidence"]["indicator_kind"].as_str().unwrap().starts_with("KEYED_"), "{said}");
    let mut explain = weir(&["explain", story["verdict_id"].as_str().unwrap(), "--data-dir"]);
    explain.arg(&other.data);
    let explained = text(&success(explain).stdout);
    for part in
        ["hearsay", " by indicator: ", "Others told of a value that the account came with.", "partner"]
    {
        assert!(explained.contains(part), "{part}: {explained}");
    }

    // Who did what, also what was refused.
    let changes = common::json_lines(&directory.join("changes.jsonl"));
    assert_eq!(changes.len(), 3);
    let uid = fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap();
    assert!(
        changes.iter().all(|change| change["uid"] == uid && change["source"] == "partner"),
        "{changes:?}"
    );
    assert_eq!((&changes[2]["taken"], &changes[2]["left_out"]["unsupported"]), (&json!(1), &json!(1)));
}

#[test]
fn what_many_come_with_leads_to_nothing_however_far_its_source_is_trusted() {
    // A partner that is wrong, or lies: all of a large network, and each of its addresses.
    let (place, partner) = (Place::new(), Place::new());
    let directory = indicators_of(&place, &partner, "1.0");
    let addresses: Vec<String> = (0..250).map(|n| format!("[ipv4-addr:value = '198.51.100.{n}']")).collect();
    let patterns: Vec<&str> =
        addresses.iter().map(String::as_str).chain(["[ipv4-addr:value = '198.51.100.0/24']"]).collect();
    let bundle = signed_stix(&partner, &patterns);
    let mut import = indicators(&directory, &["import", "--source", "partner"]);
    import.arg(&bundle);
    success(import);
    // Customers behind it who ask now and then.
    let mut feed = String::new();
    for round in 0..12 {
        for customer in 0..250 {
            let time_ms = common::START_MS + round * 600_000 + customer * 311;
            let line = common::line(
                &format!("{round}-{customer}"),
                time_ms,
                &format!("customer-{customer}"),
                &format!("What is a good name for boat {round}?"),
            );
            let mut line: Value = serde_json::from_str(&line).unwrap();
            line["ip"] = format!("198.51.100.{}", if round < 6 { customer } else { customer % 4 }).into();
            feed += &format!("{line}\n");
        }
    }
    fs::write(&place.feed, feed).unwrap();
    place.set_posture("enforce");
    let mut run = place.run_to_idle();
    run.args(["--act-age-max-ms", "31536000000"]).arg("--indicators-dir").arg(&directory);
    let told = text(&success(run).stderr);
    assert!(told.contains("requests are compared with indicators of others count=251"), "{told}");
    let report = place.replay(&["--as-recorded"]);
    assert_eq!((report.number("events"), report.number("verdicts")), (3_000, 0));
    assert_eq!(place.lines_of("enforcement_actions.jsonl"), Vec::<Value>::new());
    let decided = place.lines_of("audit_log.jsonl").into_iter().filter(|line| line["kind"] == "DECISION");
    assert_eq!(decided.collect::<Vec<_>>(), Vec::<Value>::new());
}

#[test]
fn a_bundle_that_is_not_to_be_believed_is_refused_by_name_and_written_down() {
    let (place, partner, stranger) = (Place::new(), Place::new(), Place::new());
    let directory = indicators_of(&place, &partner, "0.5");
    let import = |bundle: &Path, source: &str| {
        let mut command = indicators(&directory, &["import", "--source", source]);
        command.arg(bundle);
        command
    };
    let sound = signed_stix(&partner, &["[ipv4-addr:value = '192.0.2.7']"]);
    success(import(&sound, "partner"));
    let before = fs::read(directory.join("indicators")).unwrap();
    let strange = signed_stix(&stranger, &["[ipv4-addr:value = '192.0.2.8']"]);
    assert!(failure(import(&strange, "partner")).contains("line 1 is of an unknown source"));
    let forged = partner.directory.path().join("forged.jsonl");
    let mut envelope: Value = serde_json::from_slice(&fs::read(&sound).unwrap()).unwrap();
    envelope["payload"] = "e30=".into();
    fs::write(&forged, envelope.to_string()).unwrap();
    assert!(
        failure(import(&forged, "partner"))
            .contains("line 1 is forged: it is not what the key of partner signed")
    );
    let bare = partner.directory.path().join("stix.json");
    assert!(failure(import(&bare, "partner")).contains("line 1 is not signed"));
    assert!(failure(import(&sound, "nobody")).contains("nobody is an unknown source"));
    assert!(failure(import(&sound, "../x")).contains("is no name of a source"));
    fs::write(directory.join("sources/partner.toml"), "trust = 1.0\n").unwrap();
    assert!(failure(import(&sound, "partner")).contains("missing field `public_key`"));
    fs::set_permissions(directory.join("sources/partner.toml"), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(failure(import(&sound, "partner")).contains("can be written by others"));
    assert_eq!(fs::read(directory.join("indicators")).unwrap(), before);
    let changes = common::json_lines(&directory.join("changes.jsonl"));
    let refused: Vec<bool> = changes.iter().map(|change| change["refused"].is_string()).collect();
    assert_eq!(refused, [false, true, true, true]);

    assert!(
        failure(indicators(&directory, &["remove", "--source", "nobody"]))
            .contains("no indicator is of that source")
    );
    let listed = text(&success(indicators(&directory, &["list"])).stdout);
    assert!(
        listed.starts_with("partner ") && listed.contains("192.0.2.7 ") && listed.lines().count() == 1,
        "{listed}"
    );
    success(indicators(&directory, &["remove", "--id", "indicator--0"]));
    assert_eq!(text(&success(indicators(&directory, &["list"])).stdout), "There are none.\n");
    success(indicators(&directory, &["expire"]));
}

#[test]
fn what_a_source_corrects_or_takes_back_takes_the_place_of_what_it_said() {
    let (partner, place) = (Place::new(), Place::new());
    let directory = indicators_of(&place, &partner, "0.8");
    let import = |patterns: &[&str]| {
        let bundle = signed_stix(&partner, patterns);
        let mut import = indicators(&directory, &["import"]);
        import.arg(bundle).args(["--source", "partner"]);
        success(import)
    };
    let listed = || {
        let listed = text(&success(indicators(&directory, &["list", "--format", "json"])).stdout);
        let value =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["value"].as_str().unwrap().to_owned();
        listed.lines().map(value).collect::<Vec<_>>()
    };
    import(&["[ipv4-addr:value = '192.0.2.7']", "[ipv4-addr:value = '192.0.2.9']"]);
    assert_eq!(listed(), ["192.0.2.7", "192.0.2.9"]);
    import(&["[ipv4-addr:value = '192.0.2.8']"]);
    assert_eq!(listed(), ["192.0.2.8", "192.0.2.9"], "the address was wrong");
    import(&["[file:name = 'x']"]);
    assert_eq!(listed(), ["192.0.2.9"], "requests cannot be compared with what it says now");
    let changes = fs::read_to_string(directory.join("changes.jsonl")).unwrap();
    let taken_away = |line: &str| serde_json::from_str::<Value>(line).unwrap()["taken_away"].as_u64();
    assert_eq!(changes.lines().map(taken_away).collect::<Vec<_>>(), [Some(0), Some(1), Some(1)]);
}

#[test]
fn an_older_bundle_that_is_imported_after_a_newer_one_brings_nothing_back() {
    let (partner, place) = (Place::new(), Place::new());
    let directory = indicators_of(&place, &partner, "0.8");
    let (wrong, right) = ("[ipv4-addr:value = '192.0.2.7']", "[ipv4-addr:value = '192.0.2.8']");
    let other = "[ipv4-addr:value = '192.0.2.9']";
    let import = |patterns: &[&str], modified: &str| {
        let bundle = signed_stix_of(&partner, patterns, modified);
        let mut import = indicators(&directory, &["import"]);
        import.arg(bundle).args(["--source", "partner"]);
        import
    };
    let listed = || {
        let listed = text(&success(indicators(&directory, &["list", "--format", "json"])).stdout);
        let value =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["value"].as_str().unwrap().to_owned();
        listed.lines().map(value).collect::<Vec<_>>()
    };
    let (first, second) = ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z");
    success(import(&[wrong], first));
    success(import(&[right], second));
    let refused = failure(import(&[wrong], first));
    assert!(refused.contains("nothing of"), "{refused}");
    assert!(
        refused.contains(
            "it is older than what was taken: partner changed or took back each of its 1 indicators since"
        ),
        "{refused}"
    );
    assert_eq!(listed(), ["192.0.2.8"]);
    // What nobody spoke of since is taken of it, and the rest is counted.
    let told = text(&success(import(&[wrong, other], first)).stdout);
    assert_eq!(
        told,
        "Took 1 indicators of partner; 2 are there, and collectors compare with them within a second.\n\
         Left out 1: older.\n"
    );
    assert_eq!(listed(), ["192.0.2.8", "192.0.2.9"]);
    // The newest again is no older than itself.
    success(import(&[right], second));
    assert_eq!(listed(), ["192.0.2.8", "192.0.2.9"]);
    // A source that is taken away has said nothing.
    success(indicators(&directory, &["remove", "--source", "partner"]));
    success(import(&[wrong], first));
    assert_eq!(listed(), ["192.0.2.7"]);
    fs::write(directory.join("latest"), "spoiled").unwrap();
    let refused = failure(import(&[right], second));
    assert!(refused.contains("latest is spoiled: remove it"), "{refused}");
    assert_eq!(listed(), ["192.0.2.7"]);
}

#[test]
fn a_collector_that_runs_takes_up_what_is_imported_and_keeps_it_when_the_file_is_spoiled() {
    let (place, partner) = (Place::new(), Place::new());
    let directory = indicators_of(&place, &partner, "0.5");
    fs::write(&place.feed, "").unwrap();
    let mut run = place.run();
    run.arg("--indicators-dir").arg(&directory);
    let (_running, metrics) = serving(run);
    assert_eq!(metric(&metrics, "weir_collector_indicators"), 0);
    let mut import = indicators(&directory, &["import", "--source", "partner"]);
    import.arg(signed_stix(&partner, &["[ipv4-addr:value = '10.9.8.3']"]));
    success(import);
    let feed = |from: u64| {
        let lines = traffic(0, from + 1);
        let new: Vec<&str> = lines.lines().skip(12 * from as usize).collect();
        let mut file = fs::OpenOptions::new().append(true).open(&place.feed).unwrap();
        std::io::Write::write_all(&mut file, (new.join("\n") + "\n").as_bytes()).unwrap();
    };
    let mut round = 0;
    let mut until = |series: &str, value: u64| {
        eventually(&format!("{series} is {value}"), || {
            feed(round);
            round += 1;
            metric(&metrics, series) >= value
        });
    };
    until("weir_collector_indicators", 1);
    until("weir_collector_indicators_met_total{kind=\"ADDRESS\"}", 1);
    let aside = directory.join("aside");
    fs::write(&aside, "weir-indicators 1\n").unwrap();
    fs::rename(&aside, directory.join("indicators")).unwrap();
    until("weir_collector_indicators_unreadable", 1);
    assert_eq!(metric(&metrics, "weir_collector_indicators"), 1);
    let met = metric(&metrics, "weir_collector_indicators_met_total{kind=\"ADDRESS\"}");
    until("weir_collector_indicators_met_total{kind=\"ADDRESS\"}", met + 1);
}
