//! Policies that people sign: what comes in force with a trust store, and what is refused with which words.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::{Place, success, text, traffic, weir};
use std::path::PathBuf;

/// A deployment whose store trusts Alice and Bob; Mallory has a key too.
struct Signed {
    place: Place,
    store: PathBuf,
    policy: PathBuf,
}

impl Signed {
    fn new() -> Self {
        let place = Place::new();
        let at = |name: &str| place.directory.path().join(name);
        let (store, policy) = (at("trust"), at("policy.toml"));
        for name in ["alice", "bob", "mallory"] {
            success(weir(&["keys", "person", at(name).with_extension("key").to_str().unwrap()]));
        }
        std::fs::create_dir(&store).unwrap();
        for name in ["alice.pub", "bob.pub"] {
            std::fs::copy(at(name), store.join(name)).unwrap();
        }
        std::fs::write(&place.feed, traffic(1, 60)).unwrap();
        let signed = Self { place, store, policy };
        let builtin =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../processor/policy/default.toml"));
        let mine = builtin.unwrap().replacen("version = \"builtin-", "version = \"mine-", 1);
        std::fs::write(&signed.policy, mine).unwrap();
        signed
    }

    fn at(&self, name: &str) -> String {
        self.place.directory.path().join(name).display().to_string()
    }

    fn command(&self, arguments: &[&str], has_log: bool) -> (bool, String) {
        let mut command = weir(&["policy"]);
        command.args(arguments).arg("--policy-trust").arg(&self.store);
        if has_log {
            command.arg("--data-dir").arg(&self.place.data);
        }
        let output = command.output().unwrap();
        let told = if output.status.success() { &output.stdout } else { &output.stderr };
        (output.status.success(), text(told))
    }

    /// Signs, and where that is written.
    fn sign(&self, file: &str, signers: &[&str], more: &[&str]) -> String {
        let out = self.at("bundle");
        let mut arguments = vec!["sign".to_owned(), file.to_owned(), "--out".to_owned(), out.clone()];
        for name in signers {
            arguments.extend(["--key".to_owned(), self.at(&format!("{name}.key"))]);
        }
        arguments.extend(more.iter().map(|text| (*text).to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (is_good, told) = self.command(&arguments, false);
        assert!(is_good, "{told}");
        out
    }

    fn run(&self) -> std::process::Command {
        let mut command = self.place.run_to_idle();
        command.arg("--policy-trust").arg(&self.store);
        command
    }

    /// Versions of what was published, the latest first, with why each was refused.
    fn history(&self) -> Vec<(String, Option<String>)> {
        let (is_good, told) = self.command(&["history", "--format", "json"], true);
        assert!(is_good, "{told}");
        let entries: Vec<serde_json::Value> = serde_json::from_str(&told).unwrap();
        let of = |entry: &serde_json::Value, name: &str| entry[name].as_str().map(str::to_owned);
        entries.iter().map(|entry| (of(entry, "version").unwrap(), of(entry, "refused"))).collect()
    }
}

#[test]
fn what_two_people_signed_comes_in_force_and_what_is_not_signed_does_not() {
    let signed = Signed::new();
    let policy = signed.policy.to_str().unwrap();
    let (_, told) = signed.command(&["publish", policy], true);
    assert!(told.contains("it is not signed"), "{told}");
    let by_mallory = signed.sign(policy, &["mallory"], &[]);
    let (_, told) = signed.command(&["verify", &by_mallory], false);
    assert!(told.contains("is not in the trust store"), "{told}");
    let by_alice = signed.sign(policy, &["alice"], &["--enforces", "--counter", "7", "--expires-days", "1"]);
    let (is_good, told) = signed.command(&["apply", &by_alice], true);
    assert!(!is_good && told.contains("it has 1 signatures and needs 2"), "{told}");
    let by_both = signed.sign(&by_alice, &["bob"], &[]);
    let (is_good, told) = signed.command(&["verify", &by_both], false);
    assert!(is_good, "{told}");
    assert!(told.contains("signed    by alice (") && told.contains("signed    by bob ("), "{told}");
    assert!(told.contains("counter   7\naudience  weir\n") && told.contains("enforces  yes"), "{told}");
    let (is_good, told) = signed.command(&["apply", &by_both], true);
    assert!(is_good, "{told}");
    let (_, told) = signed.command(&["apply", &by_both], true);
    assert!(!told.contains("in force from"), "{told}");

    success(signed.run());
    let verdicts = signed.place.lines_of("audit_log.jsonl");
    let of_verdicts: Vec<_> = verdicts.iter().filter(|line| !line["verdict_id"].is_null()).collect();
    assert!(!of_verdicts.is_empty());
    assert!(of_verdicts.iter().all(|line| line["policy_version"].as_str().unwrap().starts_with("mine-")));

    // Whoever has no trust store configured can still write to the log. Nobody follows.
    let mut unsigned = weir(&["policy", "publish", policy, "--data-dir"]);
    unsigned.arg(&signed.place.data);
    success(unsigned);
    success(signed.run());
    let told = signed.history();
    assert_eq!((told.len(), &told[1].1), (2, &None));
    assert!(told[0].1.as_ref().unwrap().contains("it is not signed"), "{told:?}");
    let (_, in_force) = signed.command(&["show"], true);
    assert_eq!(in_force, std::fs::read_to_string(&signed.policy).unwrap());
    let refused = |line: &&serde_json::Value| line["outcome"] == "refused" || line["kind"] == "REFUSAL";
    let lines = signed.place.lines_of("audit_log.jsonl");
    assert_eq!(lines.iter().filter(refused).count(), 4, "the chain of each partition says so");

    let mut replay = weir(&["replay", "--as-recorded", "--format", "json", "--policy-trust"]);
    replay.arg(&signed.store).arg("--data-dir").arg(&signed.place.data);
    let report: serde_json::Value = serde_json::from_slice(&success(replay).stdout).unwrap();
    assert_eq!(report["bytes_equal"], true);
}

#[test]
fn the_way_back_is_a_new_bundle_of_the_old_text_and_the_old_bundle_is_refused() {
    let signed = Signed::new();
    let policy = signed.policy.to_str().unwrap();
    let first = signed.sign(policy, &["alice"], &["--counter", "1"]);
    let kept = signed.at("first-bundle");
    std::fs::copy(&first, &kept).unwrap();
    let (is_good, told) = signed.command(&["apply", &first], true);
    assert!(is_good, "{told}");
    let text = std::fs::read_to_string(policy).unwrap();
    let second = signed.at("second.toml");
    std::fs::write(
        &second,
        text.replacen("version = \"mine-", "version = \"second-", 1).replacen(
            "prior_nats = -6.75",
            "prior_nats = -6.5",
            1,
        ),
    )
    .unwrap();
    let (is_good, told) =
        signed.command(&["apply", &signed.sign(&second, &["bob"], &["--counter", "2"])], true);
    assert!(is_good, "{told}");
    let (_, told) = signed.command(&["apply", &kept], true);
    assert!(told.contains("its counter is 1, and one of 2 was in force"), "{told}");
    let (_, told) = signed.command(&["rollback"], true);
    assert!(told.contains("give the key of each signer"), "{told}");
    let alice = signed.at("alice.key");
    let (is_good, told) = signed.command(&["rollback", "--key", &alice], true);
    assert!(is_good, "{told}");
    let (_, in_force) = signed.command(&["show"], true);
    assert_eq!(in_force, text);
    let versions: Vec<String> = signed.history().into_iter().map(|(version, _)| version).collect();
    assert_eq!((versions.len(), &versions[0], versions[1].starts_with("second-")), (3, &versions[2], true));

    let mut diff = weir(&["policy", "diff", policy, &second]);
    let output = diff.output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        (lines.len(), lines[0], lines[1]),
        (4, "-fusion.prior_nats = -6.75", "+fusion.prior_nats = -6.5")
    );
    assert!(success(weir(&["policy", "diff", policy, policy])).stdout.is_empty());
}

#[test]
fn a_role_does_not_start_with_a_store_or_a_policy_that_is_not_to_be_trusted() {
    let signed = Signed::new();
    let told = |command: &mut std::process::Command| {
        let output = command.output().unwrap();
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let unsigned = told(signed.run().arg("--policy").arg(&signed.policy));
    assert!(unsigned.contains("is refused") && unsigned.contains("it is not signed"), "{unsigned}");
    assert!(!signed.place.data.exists(), "nothing was written");
    let elsewhere =
        signed.sign(signed.policy.to_str().unwrap(), &["alice"], &["--policy-audience", "staging"]);
    let elsewhere = told(signed.run().arg("--policy").arg(elsewhere));
    assert!(elsewhere.contains("it is meant for staging, and this is weir"), "{elsewhere}");
    std::fs::remove_file(signed.store.join("alice.pub")).unwrap();
    std::fs::remove_file(signed.store.join("bob.pub")).unwrap();
    let empty = told(&mut signed.run());
    assert!(empty.contains("there is no key in it"), "{empty}");
}
