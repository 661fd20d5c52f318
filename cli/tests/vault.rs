//! Keys in Vault: the binary gets them there, and a role that could get another's does not start. The
//! stand-in says what it is not.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/vault.rs"]
mod stand_in;

use common::{Place, success, text, traffic, weir};
use serde_json::{Map, Value};
use stand_in::StandIn;
use std::process::{Command, Output};

const ROLES: [&str; 4] = ["collector", "enforcer", "auditor", "operator"];

/// A Vault with what `weir keys make` made, a token for each role, and one for all of them.
fn filled(place: &Place) -> StandIn {
    let vault = StandIn::start();
    let all: Vec<String> = ROLES.iter().map(|role| path_of(role)).collect();
    for role in ROLES {
        let files = std::fs::read_dir(place.keys_of(role)).unwrap().map(|entry| entry.unwrap().path());
        let fields: Map<String, Value> = files
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, std::fs::read_to_string(path).unwrap().into())
            })
            .collect();
        vault.put(&path_of(role), fields.into());
        vault.allow(&token_of(role), &[&path_of(role)]);
    }
    vault.allow(&token_of("all"), &all.iter().map(String::as_str).collect::<Vec<_>>());
    vault
}

fn path_of(role: &str) -> String {
    format!("secret/data/weir/{role}")
}

fn token_of(role: &str) -> String {
    format!("hvs.token-of-{role}")
}

/// The command, with keys from Vault by the token of a role; everything is logged that can be.
fn with_vault(arguments: &[&str], vault: &StandIn, token_of_role: &str) -> Command {
    let mut command = weir(arguments);
    command.env("WEIR_KEYS_FROM", "vault").env("WEIR_VAULT_ADDRESS", &vault.address);
    command.env("VAULT_TOKEN", token_of(token_of_role)).env("WEIR_LOG_LEVEL", "trace");
    command
}

/// Nothing that is secret is in what a process said.
fn assert_tells_no_secret(place: &Place, output: &Output) {
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!said.contains("hvs."), "a token is in\n{said}");
    for role in ["collector", "enforcer", "operator"] {
        for path in std::fs::read_dir(place.keys_of(role)).unwrap().map(|entry| entry.unwrap().path()) {
            if path.extension().is_some_and(|extension| extension == "key") {
                let key = std::fs::read_to_string(&path).unwrap();
                assert!(!said.contains(key.trim()), "{} is in\n{said}", path.display());
            }
        }
    }
}

#[test]
fn a_run_with_keys_from_vault_leaves_a_trail_that_the_keys_of_files_verify() {
    let place = Place::new();
    let vault = filled(&place);
    std::fs::write(&place.feed, traffic(10, 80)).unwrap();
    let mut run = with_vault(&["run", "--until-idle", "--node", "test"], &vault, "all");
    run.arg("--tail").arg(&place.feed).arg("--data-dir").arg(&place.data);
    run.arg("--output-dir").arg(&place.output);
    let output = success(run);
    assert_tells_no_secret(&place, &output);
    assert!(text(&output.stderr).contains("keys are from Vault"), "{}", text(&output.stderr));
    assert!(!place.data.join("keys").exists(), "none are made beside");
    let entries = place.lines_of("audit_log.jsonl").len();
    assert!(entries > 0);
    let mut verify = weir(&["audit", "verify", "--data-dir"]);
    verify.arg(&place.data).arg("--keys-dir").arg(place.keys_of("auditor"));
    let by_files = text(&success(verify).stdout);
    let mut verify = with_vault(&["audit", "verify", "--data-dir"], &vault, "auditor");
    verify.arg(&place.data);
    let by_vault = text(&success(verify).stdout);
    assert_eq!(by_files, by_vault);
    assert!(by_files.contains(&format!("SOUND: signed: {entries} by audit-1")), "{by_files}");
    // A later version of the secret with the next key beside the first: what was sealed and signed by the
    // first still counts.
    let next = Place::new();
    let another = std::fs::read_to_string(next.keys_of("auditor").join("audit-1.pub")).unwrap();
    let mut fields = vault.state().secrets[&path_of("auditor")][0].fields.clone();
    fields["audit-2.pub"] = another.into();
    vault.put(&path_of("auditor"), fields);
    let mut verify = with_vault(&["audit", "verify", "--data-dir"], &vault, "auditor");
    verify.arg(&place.data);
    let after = success(verify);
    assert_eq!(text(&after.stdout), by_vault);
    assert!(text(&after.stderr).contains("version=2"), "{}", text(&after.stderr));
}

#[test]
fn a_role_whose_token_or_secret_gives_it_more_than_it_needs_does_not_start() {
    let place = Place::new();
    let vault = filled(&place);
    let refused = |arguments: &[&str], token_of_role: &str, expected: &str| {
        let mut command = with_vault(arguments, &vault, token_of_role);
        let output = command.args(["--brokers", "127.0.0.1:1"]).output().unwrap();
        assert!(!output.status.success());
        assert_tells_no_secret(&place, &output);
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    };
    let collect = ["collect", "--tail", "x"];
    refused(
        &["process"],
        "collector",
        "the role processor was given the secret that opens Vault, which it does not need",
    );
    refused(
        &collect,
        "all",
        "the role collector was given the secret secret/data/weir/enforcer of Vault, which it does not need: whoever takes this \
         machine would have it too. Give it a token that may read collector's secret and no other role's",
    );
    for role in [&["enforce"][..], &["decide", "--decide-addr", "127.0.0.1:0"], &collect] {
        refused(role, "all", "which it does not need");
        refused(role, "nobody", "Vault refuses the token for sys/capabilities-self (status 403)");
    }
    refused(&["enforce"], "auditor", "Vault refuses the token for secret/data/weir/enforcer (status 403)");
    refused(&["enforce", "--keys-dir", "x"], "enforcer", "keys_dir is set, and keys_from is vault");
    // The secret of one role has what another's should.
    let mut fields = vault.state().secrets[&path_of("enforcer")][0].fields.clone();
    fields["sign.key"] = vault.state().secrets[&path_of("operator")][0].fields["sign.key"].clone();
    vault.put(&path_of("enforcer"), fields.clone());
    refused(
        &["enforce"],
        "enforcer",
        "the role enforcer was given the secret sign.key of secret/data/weir/enforcer (version 2), which it does not need",
    );
    fields.as_object_mut().unwrap().remove("sign.key");
    fields.as_object_mut().unwrap().remove("seal-1.key");
    vault.put(&path_of("enforcer"), fields.clone());
    refused(
        &["enforce"],
        "enforcer",
        "the key seal-1.key of secret/data/weir/enforcer (version 3) is missing",
    );
    fields["seal-1.key"] = "no key".into();
    vault.put(&path_of("enforcer"), fields);
    refused(
        &["enforce"],
        "enforcer",
        "the key seal-1.key of secret/data/weir/enforcer (version 4) must be 64 hex digits",
    );
}

#[test]
fn credentials_of_systemd_are_of_one_role_and_nobody_makes_others_beside_them() {
    let (place, credentials) = (Place::new(), tempfile::tempdir().unwrap());
    let load = |role: &str| {
        for path in std::fs::read_dir(place.keys_of(role)).unwrap().map(|entry| entry.unwrap().path()) {
            let name = format!("weir_{}", path.file_name().unwrap().to_string_lossy());
            std::fs::copy(&path, credentials.path().join(name)).unwrap();
        }
    };
    let said = |arguments: &[&str], has_directory: bool| {
        let mut command = weir(arguments);
        command.args(["--keys-from", "credentials"]);
        match has_directory {
            true => command.env("CREDENTIALS_DIRECTORY", credentials.path()),
            false => command.env_remove("CREDENTIALS_DIRECTORY"),
        };
        let output = command.output().unwrap();
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let enforce = ["enforce", "--brokers", "127.0.0.1:1", "--kafka-security-protocol", "sasl_ssl"];
    assert!(said(&enforce, false).contains("keys_from is credentials, and CREDENTIALS_DIRECTORY is not set"));
    assert!(said(&enforce, true).contains("weir_pseudonym-0.key is missing, which the role enforcer needs"));
    load("enforcer");
    // The keys are there: what is missing then is of the brokers.
    assert!(said(&enforce, true).contains("which needs kafka.sasl_mechanism"));
    let collect = ["collect", "--tail", "x", "--brokers", "127.0.0.1:1"];
    assert!(said(&collect, true).contains("weir_audit-1.key, which it does not need"));
    assert!(
        said(&["process", "--brokers", "127.0.0.1:1"], true)
            .contains("Unset keys_from: `weir process` needs no key")
    );
    assert!(said(&["run", "--tail", "x"], true).contains("here one process is all of them: give --keys-dir"));
}

#[test]
fn a_role_is_told_before_it_starts_whether_its_keys_are_where_they_should_be() {
    let place = Place::new();
    let vault = filled(&place);
    let check = |role: &str, token_of_role: &str| {
        let output = with_vault(&["keys", "check", role], &vault, token_of_role).output().unwrap();
        assert_tells_no_secret(&place, &output);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, told, _) = check("enforcer", "enforcer");
    let names = "audit-1.key, pseudonym-0.key, seal-1.key, sign.pub";
    let expected =
        format!("The role enforcer has the keys that it needs and no secret beside them: {names}\n");
    assert_eq!((code, told), (Some(0), expected.clone()));
    let mut by_files = weir(&["keys", "check", "enforcer", "--keys-dir"]);
    by_files.arg(place.keys_of("enforcer"));
    assert_eq!(text(&success(by_files).stdout), expected);
    for role in ["collector", "auditor", "operator"] {
        assert_eq!(check(role, role).0, Some(0), "{role}");
    }
    let (code, told, why) = check("enforcer", "all");
    assert!(code == Some(1) && told.is_empty() && why.contains("which it does not need"), "{why}");
    let (code, _, why) = check("auditor", "collector");
    assert!(code == Some(1) && why.contains("Vault refuses the token for secret/data/weir/auditor"), "{why}");
    let output = weir(&["keys", "check", "nobody"]).output().unwrap();
    assert!(text(&output.stderr).contains("a role is enforcer, collector, auditor, operator"));
}
