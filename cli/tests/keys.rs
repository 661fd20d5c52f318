//! Keys by role: what a directory can do and what it cannot, and the audit trail that they protect.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, START_MS, line, success, text, traffic, weir};
use std::path::Path;
use std::process::Output;
use weir_enforcer::chain::{AuditKey, ChainHead, PublicKeys, Verifier};
use weir_enforcer::open::Opener;
use weir_schemas::Identity;
use weir_schemas::pseudonym::PseudonymKey;
use weir_schemas::wire::Wire;
use weir_topology::embedded::EmbeddedLog;
use weir_topology::history::read_range;
use weir_topology::log::Log as _;
use weir_topology::topic::Topic;

/// Every identity that was ever announced and is still in the log.
fn identities(place: &Place) -> Vec<Identity> {
    let log = EmbeddedLog::open_existing(&place.data.join("log")).unwrap();
    let mut found = Vec::new();
    for partition in 0..log.partitions(Topic::Identities).unwrap() {
        let (first, end) = log.bounds(Topic::Identities, partition).unwrap();
        read_range(log.as_ref(), Topic::Identities, partition, first, end, |records| {
            found.extend(records.iter().map(|r| Wire::new().read::<Identity>(r.payload.unwrap()).unwrap()));
            Ok(())
        })
        .unwrap();
    }
    found
}

/// Whatever in a role's directory is 32 bytes in hex.
fn keys_in(directory: &Path) -> Vec<[u8; 32]> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.map(|path| std::fs::read_to_string(path).unwrap());
    let keys = texts.filter_map(|text| text.trim().parse::<weir_schemas::Digest>().ok()).map(|key| key.0);
    let keys: Vec<_> = keys.collect();
    assert!(!keys.is_empty(), "{} holds keys", directory.display());
    keys
}

/// How many identities one can open with any two keys of a directory.
fn opened_with(directory: &Path, identities: &[Identity]) -> usize {
    let keys = keys_in(directory);
    let pairs = keys.iter().flat_map(|seal| keys.iter().map(move |pseudonym| (seal, pseudonym)));
    let openers: Vec<Opener> = pairs
        .map(|(seal, pseudonym)| {
            Opener::new().with_key(1, seal).with_pseudonyms(PseudonymKey::new(pseudonym, 0))
        })
        .collect();
    identities.iter().filter(|identity| openers.iter().any(|opener| opener.open(identity).is_ok())).count()
}

/// Whether an audit entry that was signed with any key of a directory is believed.
fn can_forge_with(place: &Place, directory: &Path) -> bool {
    let public = std::fs::read_to_string(place.keys_of("auditor").join("audit-1.pub")).unwrap();
    let public = public.trim().parse::<weir_schemas::Digest>().unwrap().0;
    let auditor = PublicKeys::default().and("audit-1", &public).unwrap();
    keys_in(directory).iter().any(|key| {
        let forged = ChainHead::default().append("enforcer/0", &AuditKey::new("audit-1", key), vec![1, 2, 3]);
        let mut verifier = Verifier::new(&auditor);
        verifier.entry(&forged);
        verifier.finish().is_sound()
    })
}

fn judged() -> Place {
    let place = Place::new();
    std::fs::write(&place.feed, traffic(10, 80)).unwrap();
    place.run_until_idle();
    place
}

#[test]
fn with_a_collectors_directory_nothing_can_be_opened_and_nothing_forged() {
    let place = judged();
    let identities = identities(&place);
    assert_eq!(identities.len(), 22, "one for each account, whatever the number of its events");
    // With the enforcer's both can be done: what is tried below would succeed if it could.
    assert_eq!(opened_with(&place.keys_of("enforcer"), &identities), 22);
    assert!(can_forge_with(&place, &place.keys_of("enforcer")));
    for role in ["collector", "auditor", "operator"] {
        assert_eq!(opened_with(&place.keys_of(role), &identities), 0, "{role}");
        assert!(!can_forge_with(&place, &place.keys_of(role)), "{role}");
    }
}

#[test]
fn who_stands_behind_an_account_is_announced_anew_after_a_restart_and_only_then() {
    let place = Place::new();
    let lines = |from: u64| -> String {
        (from..from + 50).map(|n| line(&format!("r{n}"), START_MS + n * 1000, "one", "hello")).collect()
    };
    std::fs::write(&place.feed, lines(0)).unwrap();
    place.run_until_idle();
    let end = |place: &Place| -> i64 {
        let log = EmbeddedLog::open_existing(&place.data.join("log")).unwrap();
        let partitions = log.partitions(Topic::Identities).unwrap();
        (0..partitions).map(|partition| log.bounds(Topic::Identities, partition).unwrap().1).sum()
    };
    assert_eq!(end(&place), 1);
    place.run_until_idle();
    assert_eq!(end(&place), 1, "no event needs one");
    std::fs::write(&place.feed, lines(0) + &lines(50)).unwrap();
    place.run_until_idle();
    assert_eq!(end(&place), 2);
}

#[test]
fn a_role_that_is_given_a_secret_it_does_not_need_does_not_start() {
    let place = Place::new();
    let refused = |arguments: &[&str], directory: &Path, expected: &str| {
        let mut command = weir(arguments);
        let output =
            command.args(["--brokers", "127.0.0.1:1", "--keys-dir"]).arg(directory).output().unwrap();
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    };
    let secret = "which it does not need";
    for role in ["collector", "enforcer", "operator"] {
        refused(&["process"], &place.keys_of(role), secret);
    }
    refused(&["process"], &place.keys, secret);
    refused(&["collect", "--tail", "x"], &place.keys, secret);
    refused(&["collect", "--tail", "x"], &place.keys_of("enforcer"), secret);
    refused(&["enforce"], &place.keys, secret);
    refused(&["enforce"], &place.keys_of("operator"), secret);
    refused(&["enforce"], &place.keys_of("collector"), "is missing, which the role enforcer needs");
    refused(
        &["collect", "--tail", "x"],
        &place.keys_of("auditor"),
        "is missing, which the role collector needs",
    );
}

fn audit(place: &Place, arguments: &[&str]) -> Output {
    let mut command = weir(&["audit", "verify", "--data-dir"]);
    command.arg(&place.data).arg("--keys-dir").arg(place.keys_of("auditor")).args(arguments).output().unwrap()
}

#[test]
fn the_audit_trail_of_a_run_is_sound_in_the_log_and_in_the_file_with_public_keys_alone() {
    let place = judged();
    let in_log = audit(&place, &[]);
    assert_eq!(in_log.status.code(), Some(0), "{}{}", text(&in_log.stdout), text(&in_log.stderr));
    let entries = place.lines_of("audit_log.jsonl").len();
    assert!(
        text(&in_log.stdout).contains(&format!("SOUND: signed: {entries} by audit-1")),
        "{}",
        text(&in_log.stdout)
    );
    let file = place.output.join("audit_log.jsonl");
    let in_file = audit(&place, &["--file", file.to_str().unwrap()]);
    assert_eq!(in_file.status.code(), Some(0), "{}", text(&in_file.stdout));
    assert!(text(&in_file.stdout).contains(&format!("SOUND: signed: {entries} by audit-1")));

    // Another deployment's auditor believes none of it.
    let other = Place::new();
    let mut command = weir(&["audit", "verify", "--data-dir"]);
    command.arg(&place.data).arg("--keys-dir").arg(other.keys_of("auditor"));
    assert_eq!(command.output().unwrap().status.code(), Some(1));
}

#[test]
fn a_pseudonym_is_told_to_who_has_the_enforcers_keys_once_the_chain_has_why_they_asked() {
    let place = judged();
    let lines = place.lines_of("audit_log.jsonl");
    let account = lines.iter().find_map(|line| line["account"].as_str()).unwrap().to_owned();
    let reveal = |role: &str| {
        let mut command =
            weir(&["reveal", &account, "--reason", "ticket 4711", "--node", "olga", "--data-dir"]);
        command.arg(&place.data).arg("--keys-dir").arg(place.keys_of(role)).output().unwrap()
    };
    let asked = reveal("enforcer");
    assert!(text(&asked.stderr).contains("no enforcer has written that down yet"), "{}", text(&asked.stderr));
    assert!(asked.stdout.is_empty());
    place.run_until_idle();
    let told = reveal("enforcer");
    assert!(text(&told.stdout).starts_with("default\tc"), "{}{}", text(&told.stdout), text(&told.stderr));
    let lines = place.lines_of("audit_log.jsonl");
    let reveals: Vec<_> = lines.iter().filter(|line| line["kind"] == "REVEAL").collect();
    assert!(!reveals.is_empty());
    assert!(reveals.iter().all(|line| {
        line["account"] == *account && line["actor"] == "olga" && line["reason"] == "ticket 4711"
    }));
    assert!(!reveal("collector").status.success() && !reveal("auditor").status.success());
}

#[test]
fn what_was_done_to_the_file_is_named() {
    let place = Place::new();
    std::fs::write(&place.feed, traffic(10, 80)).unwrap();
    let one_chain = |mut command: std::process::Command| {
        command.args(["--partitions", "1"]);
        success(command)
    };
    one_chain(place.run_to_idle());
    let file = place.output.join("audit_log.jsonl");
    let whole = std::fs::read_to_string(&file).unwrap();
    // The chain of one partition, so that its places are known.
    let writer =
        serde_json::from_str::<serde_json::Value>(whole.lines().next().unwrap()).unwrap()["writer"].clone();
    let of_chain = |line: &&str| line.contains(&format!("\"writer\":{writer}"));
    let chain: Vec<&str> = whole.lines().filter(of_chain).collect();
    assert!(chain.len() >= 5, "{}", chain.len());
    let head = text(&audit(&place, &[]).stdout);
    let head = head.lines().find(|line| line.starts_with(writer.as_str().unwrap())).unwrap();
    let head = head.split_whitespace().next_back().unwrap().to_owned();
    let check = |lines: Vec<String>, expected: &str| {
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        let output = audit(&place, &["--file", file.to_str().unwrap(), "--head", &head]);
        let said = text(&output.stdout);
        let code = if expected.is_empty() { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(code), "{expected}: {said}");
        assert!(said.contains(expected), "{expected}: {said}");
    };
    let lines = || chain.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    check(lines(), "");
    let mut flipped = lines();
    flipped[2] = flipped[2].replacen("\"record\":\"c3", "\"record\":\"c4", 1);
    check(flipped, "entry 3: flipped");
    let mut reworded = lines();
    reworded[2] = reworded[2].replacen("\"actor\":\"enforcer\"", "\"actor\":\"nobody\"", 1);
    check(reworded, "line 3: the line says another actor than the signed record");
    let mut deleted = lines();
    deleted.remove(2);
    check(deleted, "entry 3: deleted");
    let mut reordered = lines();
    reordered.swap(1, 2);
    check(reordered, "entry 2: reordered");
    let mut truncated = lines();
    truncated.pop();
    check(truncated, "truncated: the chain once reached");
    let mut repeated = lines();
    repeated.insert(3, chain[1].to_owned());
    check(repeated, "entry 2: repeated");
    // The same keys signed another history: its entries are in their places, and do not continue these.
    let (data, output) = place.beside();
    std::fs::write(&place.feed, traffic(10, 80).replace("campaign-", "others-")).unwrap();
    let mut command = place.run_in(&data, &output);
    command.arg("--until-idle");
    one_chain(command);
    let other = std::fs::read_to_string(output.join("audit_log.jsonl")).unwrap();
    let other: Vec<&str> = other.lines().filter(of_chain).collect();
    let mut spliced = lines();
    spliced[3] = other[3].to_owned();
    assert_ne!(chain[3], other[3]);
    check(spliced, "spliced: it does not continue the entry before it");
}
