//! Which policy is in force, which were, and how one takes another's place.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::{Place, START_MS, line, success, text, traffic, traffic_of_two_tenants, weir};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write as _;
use weir_processor::nats::score;
use weir_processor::policy::Policy;

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

#[test]
fn a_version_that_could_be_a_tenants_rules_is_refused_before_it_is_signed_or_published() {
    let place = Place::new();
    std::fs::write(&place.feed, line("a", START_MS, "one", "hello")).unwrap();
    let path = place.directory.path().join("policy.toml");
    let mine = |version: &str| {
        let line = |line: &str| match line.starts_with("version = ") {
            true => format!("version = \"{version}\"\n"),
            false => format!("{line}\n"),
        };
        let text: String = Policy::builtin_text().lines().map(line).collect();
        std::fs::write(&path, text).unwrap();
    };
    mine("mine");
    place.run_until_idle();
    let (file, data) = (path.to_str().unwrap(), place.data.to_str().unwrap());
    let key = place.directory.path().join("alice.key");
    success(weir(&["keys", "person", key.to_str().unwrap()]));
    success(weir(&["policy", "publish", file, "--data-dir", data]));
    mine("mine/acme");
    for arguments in [
        &["policy", "check", file][..],
        &["policy", "sign", file, "--key", key.to_str().unwrap()],
        &["policy", "publish", file, "--data-dir", data],
        &["policy", "apply", file, "--data-dir", data],
        &[
            "run",
            "--tail",
            place.feed.to_str().unwrap(),
            "--until-idle",
            "--policy",
            file,
            "--data-dir",
            data,
        ],
    ] {
        let output = weir(arguments).output().unwrap();
        let told = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(
            told.contains("its version \"mine/acme\" has a `/`: verdicts name the rules of a tenant"),
            "{told}"
        );
    }
    assert!(policy(&place, &["show"]).contains("version = \"mine\"\n"), "the one before stays");
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

/// What two tenants have of their own: the strict one lower thresholds, the lenient one higher.
const TENANTS: &str = "
[tenants.strict.tiers]
high = 0.4
critical = 0.5

[tenants.lenient.tiers]
medium = 0.5
high = 0.98
critical = 0.99
";

#[test]
fn tenants_are_judged_by_their_own_rules_and_whoever_is_asked_says_so() {
    let place = Place::new();
    std::fs::write(&place.feed, traffic_of_two_tenants(["strict", "lenient"])).unwrap();
    let builtin = Policy::builtin_text().replacen("builtin-10", "mine", 1);
    let file = place.directory.path().join("mine.toml");
    std::fs::write(&file, format!("{builtin}{TENANTS}")).unwrap();
    let mut run = place.run_to_idle();
    run.arg("--policy").arg(&file);
    success(run);

    // Every verdict names the rules that it is by.
    let mine = Policy::parse(&format!("{builtin}{TENANTS}")).unwrap();
    let lines = place.lines_of("audit_log.jsonl");
    let ids: BTreeSet<&str> = lines.iter().filter_map(|line| line["verdict_id"].as_str()).collect();
    let mut tiers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for id in &ids {
        let mut command = weir(&["explain", id, "--json", "--data-dir"]);
        command.arg(&place.data);
        let story: serde_json::Value = serde_json::from_slice(&success(command).stdout).unwrap();
        let tenant = story["tenant"].as_str().unwrap();
        assert_eq!(story["policy_version"], format!("mine/{tenant}"), "{story}");
        let rules = mine.of(tenant);
        let tier_of = |log_odds: &serde_json::Value| {
            rules.tier_of(score((log_odds.as_f64().unwrap() * 1e3).round() as i32)).as_str()
        };
        // It is held against these rules: with a little less evidence it would be of a lower tier by them.
        let less = story["otherwise"].as_array().unwrap().last().unwrap();
        assert_eq!(less["tier"], tier_of(&less["log_odds_nats"]), "{story}");
        assert_ne!(less["tier"], story["tier"]);
        tiers.entry(tenant.to_owned()).or_default().insert(story["tier"].as_str().unwrap().to_owned());
    }
    assert!(tiers["strict"].contains("CRITICAL"), "{tiers:?}");
    assert_eq!(tiers["lenient"], BTreeSet::from(["MEDIUM".to_owned()]), "{tiers:?}");
    assert_eq!(place.replay(&["--as-recorded"]).0["bytes_equal"], true);

    // What a tenant has can be read as a whole, and judges everybody as it judges the tenant.
    let strict = policy(&place, &["show", "--tenant", "strict"]);
    assert_eq!(policy(&place, &["show", "mine/strict"]), strict);
    assert_eq!(policy(&place, &["show"]), format!("{builtin}{TENANTS}"));
    let alone = Policy::parse(&strict).unwrap();
    assert_eq!(alone.fleet().tiers, mine.of("strict").tiers);
    assert_eq!(alone.tenants().len(), 0);
    let of_nobody = policy(&place, &["show", "--tenant", "nobody"]);
    assert_eq!(of_nobody.split_once('\n').unwrap().1.trim_end(), builtin.trim_end());

    let said = text(&success(weir(&["policy", "check", file.to_str().unwrap()])).stdout);
    assert!(said.ends_with("Tenants with rules of their own: lenient, strict\n"), "{said}");
    let diff = |more: &[&str]| {
        let mut command = weir(&["policy", "diff", "builtin", "in-force", "--data-dir"]);
        let output = command.arg(&place.data).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        text(&output.stdout)
    };
    assert_eq!(
        diff(&[]),
        "+tenants.lenient.tiers.critical = 0.99\n+tenants.lenient.tiers.high = 0.98\n\
         +tenants.lenient.tiers.medium = 0.5\n+tenants.strict.tiers.critical = 0.5\n\
         +tenants.strict.tiers.high = 0.4\n-version = \"builtin-10\"\n+version = \"mine\"\n"
    );
    assert_eq!(
        diff(&["--tenant", "strict"]),
        "-tiers.critical = 0.72\n+tiers.critical = 0.5\n-tiers.high = 0.55\n+tiers.high = 0.4\n\
         -version = \"builtin-10\"\n+version = \"mine\"\n"
    );
}

#[test]
fn rules_of_a_tenant_that_it_may_not_have_are_refused_with_their_place_and_nothing_comes_in_force() {
    let (place, files) = with_policies(&["good"]);
    policy(&place, &["publish", &files[0]]);
    let good = std::fs::read_to_string(&files[0]).unwrap();
    let bad = place.directory.path().join("bad.toml");
    std::fs::write(&bad, format!("{good}[tenants.acme.horizons]\naccount_h = 72\n")).unwrap();
    let mut publish = weir(&["policy", "publish", bad.to_str().unwrap(), "--data-dir"]);
    let output = publish.arg(&place.data).output().unwrap();
    assert!(!output.status.success());
    let (said, line) = (text(&output.stderr), good.lines().count() + 1);
    let expected = format!("line {line}, column 15: `horizons` cannot be said of tenant acme alone");
    assert!(said.contains(&expected), "{said}");
    assert_eq!((policy(&place, &["show"]), history(&place).len()), (good, 1));
}
