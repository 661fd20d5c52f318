//! Effects in the world: a real Redis and the key server, under an enforcer that is killed again and again.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::gateway::{redis, redis_at};
use common::{Place, Running, eventually, success, text, weir};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use weir_schemas::wire::Wire;
use weir_schemas::{
    AccountId, Action, ActionId, ActionKind, ActionState, Digest, Revert, Standing, StandingStatus, VerdictId,
};
use weir_topology::embedded::EmbeddedLog;
use weir_topology::log::{Commit, Log as _};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

/// Where the interpreter is that has LiteLLM.
const LITELLM_VAR: &str = "WEIR_TEST_LITELLM_PYTHON";

/// How long a suspension lasts in these tests, in milliseconds.
const LASTS_MS: &str = "6000";

/// A Redis on a port of its own, and the key server.
struct Outside {
    redis: Running,
    redis_address: String,
    key_server: Running,
    key_server_address: String,
    journal: PathBuf,
    secret: PathBuf,
}

/// None where there is no Redis: with CI set that is a failure.
fn outside(place: &Place) -> Option<Outside> {
    let (redis, redis_address) = redis(place)?;
    let at = |name: &str| place.directory.path().join(name);
    let (journal, secret) = (at("journal.jsonl"), at("webhook.secret"));
    std::fs::write(&secret, "a secret of some length\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (key_server, key_server_address) = key_server("127.0.0.1:0", &secret, &journal);
    Some(Outside { redis, redis_address, key_server, key_server_address, journal, secret })
}

fn key_server(address: &str, secret: &Path, journal: &Path) -> (Running, String) {
    let mut command = weir(&["key-server", "--addr", address, "--secret-file"]);
    command.arg(secret).arg("--journal").arg(journal);
    let mut running = Running::start(command);
    let mut line = String::new();
    BufReader::new(running.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit_once("http://").unwrap().1.strip_suffix("/holds").unwrap().to_owned();
    (running, address)
}

impl Outside {
    /// An enforcing run that drives both.
    fn run(&self, place: &Place) -> Running {
        let mut run = place.run();
        run.args(["--act-redis", &self.redis_address, "--act-webhook-url"]);
        run.arg(format!("http://{}/holds", self.key_server_address));
        run.arg("--act-webhook-secret-file").arg(&self.secret);
        Running(run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// What the key server did, in order: operation, action, account.
    fn done(&self) -> Vec<(String, String, String)> {
        let lines = std::fs::read_to_string(&self.journal).unwrap_or_default();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let text = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap().to_owned();
        lines
            .map(|line| (text(&line, "operation"), text(&line, "action_id"), text(&line, "account")))
            .collect()
    }

    /// How an account stands in Redis.
    fn status(&self, account: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.redis_address).unwrap();
        write!(stream, "GET weir:{{{account}}}:status\r\nQUIT\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let mut lines = answer.lines();
        (lines.next() != Some("$-1")).then(|| lines.next().unwrap().to_owned())
    }

    /// How the accounts stand at the key server.
    fn standing(&self) -> BTreeMap<String, String> {
        let answer = common::get(&self.key_server_address, "/holds");
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        let lines = body.lines().filter_map(|line| line.split_once(' '));
        lines.map(|(account, status)| (account.to_owned(), status.to_owned())).collect()
    }
}

/// Says on the log what an enforcer did whose state is gone, and puts its effect in Redis: an account is
/// suspended until a person undoes that. Of what was done long ago the log has only how the account stands.
fn suspended_by_one_who_is_gone(place: &Place, outside: &Outside, number: u8, is_long_ago: bool) -> Action {
    let (account, verdict_id) = (AccountId([number; 16]), VerdictId([number; 16]));
    let action = Action {
        action_id: ActionId::of(verdict_id, ActionKind::Suspend),
        tenant: "default".into(),
        account,
        verdict_id,
        kind: ActionKind::Suspend,
        ring: 3,
        state: ActionState::Expired,
        expires_ms: Some(600_000),
        revert: Revert::Manual,
        lasts_ms: Some(600_000),
        ..Action::default()
    };
    let standing = Standing {
        account,
        tenant: "default".into(),
        status: StandingStatus::Suspended,
        action_id: action.action_id,
        verdict_id,
        ..Standing::default()
    };
    let (wire, key) = (Wire::new(), account.to_key());
    let mut outputs = vec![Output::keyed(Topic::Standing, key.clone(), wire.to_bytes(&standing), 0)];
    if !is_long_ago {
        outputs.push(Output::keyed(Topic::Actions, key, wire.to_bytes(&action), 0));
    }
    let log = EmbeddedLog::open(&place.data.join("log"), 4).unwrap();
    log.writer("test").unwrap().commit(&Commit { outputs, positions: Vec::new() }).unwrap();
    let mut stream = TcpStream::connect(&outside.redis_address).unwrap();
    let id = action.action_id;
    write!(stream, "HSET weir:{{{account}}}:holds {id} suspended:-1\r\n").unwrap();
    write!(stream, "SET weir:{{{account}}}:status suspended\r\nQUIT\r\n").unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    assert_eq!(outside.status(&account.to_string()).as_deref(), Some("suspended"));
    action
}

/// The recorded traffic as if its last request had been made now, and an enforcer that may act on it.
fn prepare(place: &Place) {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/access.jsonl");
    let recorded = std::fs::read_to_string(recorded).unwrap();
    let mut lines: Vec<serde_json::Value> =
        recorded.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.iter().map(|line| line["time"].as_f64().unwrap()).fold(0.0, f64::max);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let feed = lines.iter_mut().map(|line| {
        line["time"] = (((line["time"].as_f64().unwrap() + now - last) * 1e3).round() / 1e3).into();
        format!("{line}\n")
    });
    std::fs::write(&place.feed, feed.collect::<String>()).unwrap();
    place.set_posture("enforce");
    for ring in ["2", "3"] {
        let mut command = weir(&["ring", ring, LASTS_MS, "auto", "--data-dir"]);
        command.arg(&place.data);
        success(command);
    }
}

/// Every hold was put on once and let go once, every one after its decision in the chain, and nobody is held
/// any more.
fn assert_all_is_over(place: &Place, outside: &Outside) {
    let done = outside.done();
    let holds = |operation: &str| -> Vec<&String> {
        done.iter().filter(|(found, _, _)| found == operation).map(|(_, action, _)| action).collect()
    };
    let (on, off) = (holds("apply"), holds("release"));
    let unique = |holds: &[&String]| holds.iter().copied().cloned().collect::<BTreeSet<_>>();
    assert_eq!((unique(&on).len(), unique(&off).len()), (on.len(), off.len()), "each is done once: {done:?}");
    assert!(unique(&on).is_subset(&unique(&off)), "each is let go: {done:?}");
    let accounts: BTreeSet<&String> = done.iter().map(|(_, _, account)| account).collect();
    assert!(accounts.len() >= 6, "the campaign has six members: {accounts:?}");
    for account in accounts {
        assert_eq!(outside.status(account), None, "{account} in Redis");
    }
    assert!(outside.standing().values().all(|status| status == "active"), "{:?}", outside.standing());
    let decided: BTreeSet<String> = place
        .lines_of("audit_log.jsonl")
        .iter()
        .filter(|line| line["kind"] == "DECISION" && line["outcome"] == "pending")
        .map(|line| line["action_id"].as_str().unwrap().to_owned())
        .collect();
    assert!(unique(&on).is_subset(&decided), "nothing is done that the chain does not have");
    let mut verify = weir(&["audit", "verify", "--data-dir"]);
    verify.arg(&place.data).arg("--keys-dir").arg(place.keys_of("auditor"));
    success(verify);
}

/// Whether whatever was put on is let go, and somebody was.
fn is_over(outside: &Outside) -> bool {
    let done = outside.done();
    let standing = outside.standing();
    !done.is_empty() && standing.len() >= 6 && standing.values().all(|status| status == "active")
}

#[test]
fn a_campaign_is_suspended_in_redis_and_at_the_key_server_and_let_go_when_its_time_is_over() {
    let place = Place::new();
    let Some(outside) = outside(&place) else { return };
    prepare(&place);
    let run = outside.run(&place);
    eventually("a member is suspended in both", || {
        let standing = outside.standing();
        let suspended = standing.iter().find(|(_, status)| *status == "suspend");
        suspended.is_some_and(|(account, _)| outside.status(account).as_deref() == Some("suspended"))
    });
    eventually("all are let go", || is_over(&outside));
    let stopped = run.stop();
    assert!(stopped.status.success(), "{}", text(&stopped.stderr));
    assert_all_is_over(&place, &outside);
    let raw: BTreeSet<String> = std::fs::read_to_string(&outside.journal)
        .unwrap()
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter_map(|line| line["account_raw"].as_str().map(str::to_owned))
        .collect();
    assert!((1..=6).all(|n| raw.contains(&format!("sk-example-mirror-0{n}"))), "{raw:?}");
}

#[test]
fn who_is_reinstated_is_let_go_whether_or_not_the_enforcer_knows_of_it() {
    let place = Place::new();
    let Some(outside) = outside(&place) else { return };
    std::fs::write(&place.feed, "").unwrap();
    place.set_posture("audit");
    let lately = suspended_by_one_who_is_gone(&place, &outside, 0xa1, false);
    let long_ago = suspended_by_one_who_is_gone(&place, &outside, 0xb2, true);
    let reinstate = |action: &Action| {
        let mut reinstate = weir(&["reinstate", &format!("account/{}", action.account), "--data-dir"]);
        reinstate.arg(&place.data);
        text(&success(reinstate).stdout)
    };
    // Before anything runs, and through the process that has the log open.
    let said = reinstate(&lately);
    let named = format!("By the log that is SUSPEND {} (EXPIRED)", lately.action_id);
    assert!(said.contains(&named), "{said}");
    let run = outside.run(&place);
    let is_free = |action: &Action| outside.status(&action.account.to_string()).is_none();
    eventually("the first is let go", || is_free(&lately));
    assert!(!is_free(&long_ago));
    let said = reinstate(&long_ago);
    assert!(said.contains("The process that has the log open names what that is"), "{said}");
    eventually("the second is let go", || is_free(&long_ago));
    let is_released = |action: &Action| {
        let id = action.action_id.to_string();
        outside.done().iter().any(|(operation, of, _)| operation == "release" && *of == id)
    };
    eventually("the key server knows", || is_released(&lately) && is_released(&long_ago));
    run.stop();
    let audits = place.lines_of("audit_log.jsonl");
    for action in [&lately, &long_ago] {
        let id = action.action_id.to_string();
        let asked = |line: &serde_json::Value| {
            line["outcome"] == "reinstated"
                && line["reason"].as_str().is_some_and(|reason| reason.contains(&id))
        };
        let undone = |line: &serde_json::Value| line["outcome"] == "reverted" && line["action_id"] == *id;
        let place_of = |is_it: &dyn Fn(&serde_json::Value) -> bool| audits.iter().position(is_it);
        assert!(place_of(&asked).is_some_and(|asked| Some(asked) < place_of(&undone)), "{audits:?}");
    }
    // And nobody is known to stand in any other way than well: a second word finds nothing.
    let said = reinstate(&lately);
    assert!(said.contains("The log knows of nothing that is in force on it."), "{said}");
    let mut verify = weir(&["audit", "verify", "--data-dir"]);
    verify.arg(&place.data).arg("--keys-dir").arg(place.keys_of("auditor"));
    success(verify);
}

#[test]
fn whoever_a_reinstated_tenant_has_is_let_go_also_where_the_enforcer_does_not_know_of_it() {
    let place = Place::new();
    let Some(outside) = outside(&place) else { return };
    std::fs::write(&place.feed, "").unwrap();
    place.set_posture("audit");
    let actions = [(0xa1, false), (0xb2, true), (0xc3, false)]
        .map(|(number, is_long_ago)| suspended_by_one_who_is_gone(&place, &outside, number, is_long_ago));
    let reinstate = |tenant: &str| {
        let mut reinstate = weir(&["reinstate", &format!("tenant/{tenant}"), "--data-dir"]);
        reinstate.arg(&place.data);
        text(&success(reinstate).stdout)
    };
    let is_free = |action: &Action| outside.status(&action.account.to_string()).is_none();
    // Of another tenant nobody is.
    let said = reinstate("another");
    assert!(said.contains("The log knows of nothing that is in force on it."), "{said}");
    let said = reinstate("default");
    for Action { action_id, account, .. } in &actions {
        let named = format!("By the log that is SUSPEND {action_id} (EXPIRED) on account {account}, ");
        assert!(said.contains(&named), "{said}");
    }
    let run = outside.run(&place);
    eventually("all are let go", || actions.iter().all(is_free));
    // Through the process that has the log open; it hears a second word, which finds nothing.
    let said = reinstate("default");
    assert!(said.contains("The process that has the log open names what that is"), "{said}");
    run.stop();
    let said = reinstate("default");
    assert!(said.contains("The log knows of nothing that is in force on it."), "{said}");
    let audits = place.lines_of("audit_log.jsonl");
    for action in &actions {
        let id = action.action_id.to_string();
        let undone = |line: &&serde_json::Value| line["outcome"] == "reverted" && line["action_id"] == *id;
        assert_eq!(audits.iter().filter(undone).count(), 1, "{audits:?}");
    }
}

#[test]
fn a_hold_that_cannot_be_let_go_is_named_in_the_log() {
    let place = Place::new();
    let Some(outside) = outside(&place) else { return };
    std::fs::write(&place.feed, "").unwrap();
    place.set_posture("audit");
    let action = suspended_by_one_who_is_gone(&place, &outside, 0xa1, false);
    // A key server that refuses whatever it is asked.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/holds", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap() > 2 {
                let value = line.to_ascii_lowercase();
                let value = value.strip_prefix("content-length:").map(|value| value.trim().parse().unwrap());
                length = value.unwrap_or(length);
                line.clear();
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let answer = "HTTP/1.1 409 Conflict\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    // Before the run: the log is open to one of them at a time.
    let mut reinstate = weir(&["reinstate", &format!("account/{}", action.account), "--data-dir"]);
    reinstate.arg(&place.data);
    success(reinstate);
    let log = place.directory.path().join("log.txt");
    let mut run = place.run();
    run.args(["--act-webhook-url", &url, "--act-webhook-secret-file"]).arg(&outside.secret);
    let errors = std::fs::File::create(&log).unwrap();
    let run = Running(run.stdout(Stdio::null()).stderr(errors).spawn().unwrap());
    let said = || std::fs::read_to_string(&log).unwrap();
    let line = || said().lines().find(|line| line.contains("a hold cannot be let go")).map(str::to_owned);
    eventually("the hold is named", || line().is_some());
    let line = line().unwrap();
    for part in [
        &action.action_id.to_string(),
        &action.account.to_string(),
        "webhook",
        "the key server refuses with 409",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    run.stop();
}

#[test]
fn every_effect_is_done_once_and_ends_however_often_all_of_them_are_killed() {
    let place = Place::new();
    let Some(mut outside) = outside(&place) else { return };
    prepare(&place);
    let mut run = outside.run(&place);
    // Killed as soon as one more thing was done: before, in the middle of, or after its answer.
    for killed in 1..=10 {
        eventually("one more effect", || outside.done().len() >= killed || is_over(&outside));
        run.kill();
        match killed {
            // The key server too, in the middle; it goes on from its journal.
            3 => {
                let Outside { key_server: old, .. } = &mut outside;
                old.0.kill().unwrap();
                old.0.wait().unwrap();
                let address = outside.key_server_address.clone();
                (outside.key_server, outside.key_server_address) =
                    key_server(&address, &outside.secret, &outside.journal);
            }
            // Redis forgets everything; what is in force is put on again only by what comes.
            5 => {
                outside.redis.0.kill().unwrap();
                outside.redis.0.wait().unwrap();
                outside.redis = redis_at(&place, &outside.redis_address);
            }
            _ => {}
        }
        run = outside.run(&place);
    }
    eventually("all are let go", || is_over(&outside));
    // What was decided late comes to its end too.
    std::thread::sleep(std::time::Duration::from_secs(1));
    eventually("all are let go", || is_over(&outside));
    run.stop();
    assert_all_is_over(&place, &outside);
}

/// LiteLLM's proxy with these keys and their limits of requests a minute; its address, and where it says what
/// was changed. None where there is none, which with CI set is a failure.
fn litellm(place: &Place, keys: &serde_json::Value, master_key: &str) -> Option<(Running, String, PathBuf)> {
    let Some(python) = std::env::var_os(LITELLM_VAR) else {
        assert!(std::env::var_os("CI").is_none(), "{LITELLM_VAR} must say where LiteLLM's Python is");
        eprintln!("skipped: `cargo xtask test` installs LiteLLM and says in {LITELLM_VAR} where");
        return None;
    };
    let at = |name: &str| place.directory.path().join(name);
    let (changes, said) = (at("litellm-changes.jsonl"), at("litellm.out"));
    std::fs::write(at("litellm-keys.json"), keys.to_string()).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/act/litellm_proxy.py"));
    command.arg(address.port().to_string()).arg(at("litellm-keys.json")).arg(&changes);
    command.env("LITELLM_MASTER_KEY", master_key);
    // It asks nobody outside for prices.
    command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("PYTHONDONTWRITEBYTECODE", "1");
    let said = std::fs::File::create(said).unwrap();
    command.stdout(said.try_clone().unwrap()).stderr(said);
    let running = Running(command.spawn().unwrap());
    eventually("LiteLLM listens", || TcpStream::connect(address).is_ok());
    Some((running, format!("http://{address}"), changes))
}

#[test]
fn a_campaigns_keys_are_blocked_at_litellms_proxy_and_are_as_they_were_when_their_time_is_over() {
    const MASTER_KEY: &str = "sk-master-of-the-tests";
    let place = Place::new();
    prepare(&place);
    let members: Vec<String> = (1..=6).map(|n| format!("sk-example-mirror-0{n}")).collect();
    let mut keys: serde_json::Map<String, serde_json::Value> =
        members.iter().map(|key| (key.clone(), 100.into())).collect();
    keys.insert("sk-of-an-honest-customer".into(), 100.into());
    let Some((_proxy, url, changes)) = litellm(&place, &keys.into(), MASTER_KEY) else { return };
    let key_file = place.directory.path().join("litellm.key");
    std::fs::write(&key_file, format!("{MASTER_KEY}\n")).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let run = || {
        let mut run = place.run();
        run.args(["--act-litellm-url", &url, "--act-litellm-key-file"]).arg(&key_file);
        Running(run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let hash = |key: &str| Digest(Sha256::digest(key).into()).to_string();
    let changed = || common::json_lines(&changes);
    /// How a key is after these changes: whether it is blocked, its limit, and what others keep in its
    /// metadata.
    fn key_of(changes: &[serde_json::Value], hash: &str) -> (bool, serde_json::Value, serde_json::Value) {
        let (mut is_blocked, mut limit, mut metadata) =
            (false, 100.into(), serde_json::json!({ "team": "core" }));
        for change in changes.iter().filter(|change| change["token"] == hash) {
            is_blocked = change["blocked"].as_bool().unwrap_or(is_blocked);
            limit = change.get("rpm_limit").unwrap_or(&limit).clone();
            metadata = change.get("metadata").unwrap_or(&metadata).clone();
        }
        metadata.as_object_mut().unwrap().remove("weir");
        (is_blocked, limit, metadata)
    }
    let is_blocked = |key: &String| key_of(&changed(), &hash(key)).0;
    let mut running = run();
    eventually("a member's key is blocked", || members.iter().any(is_blocked));
    // Killed in the middle, and gone on with.
    running.kill();
    running = run();
    let was_blocked = |key: &String| {
        changed().iter().any(|change| change["token"] == hash(key) && change["blocked"] == true)
    };
    let as_it_was = (false, 100.into(), serde_json::json!({ "team": "core" }));
    eventually("every member was blocked, and is as it was", || {
        members.iter().all(|key| was_blocked(key) && key_of(&changed(), &hash(key)) == as_it_was)
    });
    let stopped = running.stop();
    assert!(stopped.status.success(), "{}", text(&stopped.stderr));
    let of_members: BTreeSet<String> = members.iter().map(|key| hash(key)).collect();
    for change in changed() {
        assert!(of_members.contains(change["token"].as_str().unwrap()), "somebody else's key: {change}");
    }
}
