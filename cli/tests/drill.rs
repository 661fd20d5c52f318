//! A drill sent to a live system: found and passed, missed and failed, and not processed, which is neither.
//! On a fleet where `WEIR_BROKERS` names a broker.

#![allow(clippy::unwrap_used)]

mod common;

use common::fleet::Fleet;
use common::{Place, Running, eventually, get, json_lines, listening, success, text, weir};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

/// What the command exits with.
const PASS: i32 = 0;
const ERROR: i32 = 1;
const FAIL: i32 = 3;
const INCONCLUSIVE: i32 = 4;

/// Machines that test may be slow: how long it took is told, and held against nothing.
const NEVER: [&str; 2] = ["--decision-p99-ms-max", "100000000"];

/// A system that takes records, judges and decides.
fn system(place: &Place, more: &[&str]) -> (Running, String) {
    std::fs::write(&place.feed, "").unwrap();
    let mut command = place.run();
    command.args(["--listen", "127.0.0.1:0"]).args(more);
    let (running, metrics, address) = listening(command);
    // It listens before it has its log, which a drill must not take from it.
    eventually("ready", || get(&metrics, "/health/ready").starts_with("HTTP/1.1 200"));
    (running, address)
}

fn drill(place: &Place, arguments: &[&str]) -> Command {
    let mut command = weir(&["drill"]);
    command.args(arguments).arg("--data-dir").arg(&place.data).args(["--format", "json"]);
    command
}

/// Sends the drill while the system has the log, and gives what that is told to come to.
fn send(place: &Place, address: &str, more: &[&str]) -> Value {
    let to = format!("http://{address}");
    let seed: &[&str] = if more.contains(&"--seed") { &[] } else { &["--seed", "7"] };
    let mut command = drill(place, &["run", "--to", &to, "--wait-s", "1"]);
    report(&command.args(seed).args(more).output().unwrap(), INCONCLUSIVE)
}

fn tenant_of(told: &Value) -> String {
    let tenant = told["tenant"].as_str().unwrap();
    assert!(tenant.strip_prefix("weir-drill-").is_some_and(|number| number.len() == 16), "{tenant}");
    tenant.to_owned()
}

fn report(output: &Output, code: i32) -> Value {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn measure(place: &Place, told: &Value, code: i32) -> Value {
    let lines = told["lines"].to_string();
    report(
        &drill(place, &["measure", &tenant_of(told), "--lines", &lines]).args(NEVER).output().unwrap(),
        code,
    )
}

/// Ends the system, and lets what it has not judged yet be judged.
fn end(place: &Place, running: Running) {
    running.stop();
    success(place.run_to_idle());
}

#[test]
fn a_campaign_that_is_found_passes_and_nobody_is_acted_on() {
    let place = Place::new();
    place.set_posture("enforce");
    let (running, address) = system(&place, &[]);
    let told = send(&place, &address, &[]);
    assert_eq!(told["outcome"], "inconclusive");
    let (why, tenant) = (told["unknown"][0].as_str().unwrap(), tenant_of(&told));
    let lines = told["lines"].to_string();
    let again = format!("`weir drill measure {tenant} --lines {lines}` says");
    assert!(why.contains("another process has the log") && why.contains(&again), "{why}");
    // Another one beside it: each finds its own accounts, and the same number would be other accounts too.
    let again = send(&place, &address, &["--seed", "8"]);
    assert_ne!(tenant_of(&again), tenant);
    end(&place, running);

    for told in [&told, &again] {
        let found = measure(&place, told, PASS);
        assert_eq!(found["outcome"], "pass", "{found}");
        assert_eq!(found["events"], told["lines"]);
        assert_eq!(
            (found["campaign_accounts"].as_u64(), found["honest_flagged"].as_u64()),
            (Some(12), Some(0))
        );
        assert!(found["campaign_flagged"].as_u64().unwrap() >= 11, "{found}");
        assert!(found["honest_accounts"].as_u64().unwrap() >= 40, "{found}");
        assert!(found["decision"]["count"].as_u64().unwrap() >= 11, "{found}");
        assert!(found["decision"]["p50_ms"].as_u64() <= found["decision"]["p99_ms"].as_u64(), "{found}");
        assert_eq!(found["effect"], Value::Null, "{found}");
    }

    // Though the enforcer acts on others, and whom operators see is the drill.
    let actions = json_lines(&place.output.join("enforcement_actions.jsonl"));
    assert!(!actions.is_empty());
    let tenants = [tenant.clone(), tenant_of(&again)];
    for action in actions {
        assert!(tenants.contains(&action["tenant"].as_str().unwrap().to_owned()), "{action}");
        // That a person is to look at it is told of whoever is protected too.
        assert!(action["action"] == "REVIEW" || action["execute"] == false, "{action}");
    }

    // Of a drill of which more was to be sent it is not known what it would have come to.
    let more = (told["lines"].as_u64().unwrap() + 500).to_string();
    let partly = drill(&place, &["measure", &tenant, "--lines", &more]).args(NEVER).output().unwrap();
    assert_eq!(
        report(&partly, INCONCLUSIVE)["unknown"][0],
        format!("500 of {more} events are not in the log")
    );

    // Whoever asks for effects is not told that none is soon enough.
    let mut asked =
        drill(&place, &["measure", &tenant, "--lines", &lines, "--effect-p99-ms-max", "100000000"]);
    let asked = report(&asked.args(NEVER).output().unwrap(), INCONCLUSIVE);
    assert!(asked["unknown"][0].as_str().unwrap().starts_with("nothing was carried out"), "{asked}");

    // Its campaign is not for others.
    let mut share = weir(&["share", "--producer", "Example Ltd", "--data-dir"]);
    share.arg(&place.data).arg("--out").arg(place.directory.path().join("shared"));
    let shared = share.arg("--sign-keys").arg(place.keys_of("operator")).output().unwrap();
    assert_eq!(shared.status.code(), Some(ERROR), "{shared:?}");
    assert!(text(&shared.stderr).contains("no campaign is open"), "{shared:?}");

    // For people, and with an objective that is not met.
    let mut command = weir(&["drill", "measure", &tenant, "--lines", &lines, "--decision-p99-ms-max", "0"]);
    command.arg("--data-dir");
    let output = command.arg(&place.data).output().unwrap();
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(FAIL), "{shown}");
    assert!(shown.contains("failed    from an event to the decision it took "), "{shown}");
    assert!(shown.ends_with("result    FAIL\n"), "{shown}");
}

#[test]
fn a_policy_that_sees_nothing_fails() {
    let place = Place::new();
    std::fs::write(&place.feed, "").unwrap();
    place.run_until_idle();
    let builtin =
        text(&success(weir(&["policy", "show", "--data-dir", place.data.to_str().unwrap()])).stdout);
    let policy = place.directory.path().join("blind.toml");
    std::fs::write(&policy, builtin.replace("enabled = true", "enabled = false")).unwrap();
    let (running, address) = system(&place, &["--policy", policy.to_str().unwrap()]);
    let told = send(&place, &address, &[]);
    end(&place, running);
    let missed = measure(&place, &told, FAIL);
    assert_eq!(missed["outcome"], "fail");
    assert_eq!(missed["campaign_flagged"], 0);
    let why = missed["failed"][0].as_str().unwrap();
    assert!(why.starts_with("0 of the campaign's 12 accounts were flagged"), "{why}");
}

#[test]
fn what_was_not_processed_is_inconclusive_and_never_a_pass() {
    let place = Place::new();
    // An epoch that is never over.
    let (running, address) = system(&place, &["--epoch-interval-ms", "60000"]);
    let told = send(&place, &address, &[]);
    running.kill();
    let waiting = measure(&place, &told, INCONCLUSIVE);
    assert_eq!(waiting["outcome"], "inconclusive");
    assert!(waiting["events"].as_u64().unwrap() > 0, "{waiting}");
    assert_eq!(waiting["unknown"][0], "not all of its events are judged: does a processor run?");

    // Of another nothing is there at all.
    let other = drill(&place, &["measure", "weir-drill-00000000000000ff", "--lines", "9"]).output().unwrap();
    assert_eq!(report(&other, INCONCLUSIVE)["unknown"][0], "no event of it is in the log");
    let none = drill(&place, &["measure", "acme", "--lines", "9"]).output().unwrap();
    assert_eq!(none.status.code(), Some(ERROR));
    assert!(text(&none.stderr).contains("is no drill"), "{none:?}");
}

#[test]
fn what_is_found_is_carried_out_where_a_drill_is_not_protected_and_its_effects_are_measured() {
    let place = Place::new();
    place.set_posture("enforce");
    let (running, address) = system(&place, &[]);
    let told = send(&place, &address, &["--unprotected"]);
    end(&place, running);
    let effect = ["--effect-p99-ms-max", "100000000"];
    let mut measured = drill(&place, &["measure", &tenant_of(&told), "--lines", &told["lines"].to_string()]);
    let found = report(&measured.args(NEVER).args(effect).output().unwrap(), PASS);
    assert!(found["effect"]["count"].as_u64().unwrap() > 0, "{found}");

    let to = format!("http://{address}");
    let both = drill(&place, &["run", "--to", &to]).args(effect).output().unwrap();
    assert_eq!(both.status.code(), Some(ERROR));
    assert!(text(&both.stderr).contains("--effect-p99-ms-max needs --unprotected"), "{both:?}");
}

#[test]
fn a_fleet_is_drilled_only_once_every_enforcer_has_heard_that_it_is_protected() {
    let Some(fleet) = Fleet::new("drill", 3) else { return };
    let mut collect = fleet.with_keys(&["collect", "--node", "test"]);
    collect.args(["--listen", "127.0.0.1:0"]);
    let (_collector, metrics, address) = listening(collect);
    eventually("ready", || get(&metrics, "/health/ready").starts_with("HTTP/1.1 200"));
    let _processor = Running::start(fleet.processor());
    let mut enforce = fleet.with_keys(&["enforce"]);
    enforce.arg("--output-dir").arg(&fleet.place.output);
    let mut command = fleet.with_brokers(&["drill", "run", "--to", &format!("http://{address}")]);
    command.args(NEVER).args(["--seed", "7", "--wait-s", "300", "--format", "json"]);
    let waiting = Running::start(command);
    // It waits for the enforcer; nothing was sent meanwhile.
    let protected = || text(&success(fleet.with_brokers(&["protect", "list"])).stdout);
    eventually("it is said that it is protected", || protected().contains("tenant/weir-drill-"));
    assert_eq!(fleet.replay(&["--as-recorded"]).number("events"), 0);
    let _enforcer = Running::start(enforce);
    let found = report(&waiting.ended("the drill"), PASS);
    assert_eq!(found["events"], found["lines"]);
    assert!(found["campaign_flagged"].as_u64().unwrap() >= 11, "{found}");
    println!("decision {}", found["decision"]);
    let actions = json_lines(&fleet.place.output.join("enforcement_actions.jsonl"));
    assert!(actions.iter().all(|action| action["action"] == "REVIEW" || action["execute"] == false));
}

#[test]
fn a_listener_that_is_not_there_or_wants_a_token_is_told() {
    let place = Place::new();
    let token = place.directory.path().join("token");
    std::fs::write(&token, "a-token-of-more-than-sixteen-letters\n").unwrap();
    success({
        let mut command = Command::new("chmod");
        command.arg("600").arg(&token);
        command
    });
    let (running, address) = system(&place, &["--listener-token-file", token.to_str().unwrap()]);
    let to = format!("http://{address}");
    let refused = drill(&place, &["run", "--to", &to, "--wait-s", "1"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(ERROR));
    assert!(text(&refused.stderr).contains("does not take the token"), "{refused:?}");
    let with = ["run", "--to", &to, "--wait-s", "1", "--token-file", token.to_str().unwrap()];
    report(&drill(&place, &with).output().unwrap(), INCONCLUSIVE);
    let short = place.directory.path().join("short");
    std::fs::write(&short, "secret\n").unwrap();
    std::fs::set_permissions(&short, std::fs::Permissions::from_mode(0o600)).unwrap();
    let no_token =
        drill(&place, &["run", "--to", &to, "--token-file", short.to_str().unwrap()]).output().unwrap();
    assert_eq!(no_token.status.code(), Some(ERROR));
    assert!(text(&no_token.stderr).contains("holds a line that is no token"), "{no_token:?}");
    let nowhere = drill(&place, &["run", "--to", "http://127.0.0.1:1", "--wait-s", "1"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(ERROR));
    let told = text(&nowhere.stderr);
    assert!(
        told.contains(" was not sent whole") && told.contains("0 of ") && told.contains("does not answer at"),
        "{told}"
    );
    running.kill();
    let away = drill(&place, &["run", "--to", &to, "--wait-s", "1"]).output().unwrap();
    assert_eq!(away.status.code(), Some(ERROR));
    assert!(text(&away.stderr).contains("no process has the log in "), "{away:?}");
}
