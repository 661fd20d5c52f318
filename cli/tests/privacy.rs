//! A canary account id and prompt appear in no topic, log line, metric, error or output file.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, START_MS, eventually, get, metric, serving, success, text, weir};
use std::fmt::Write as _;
use std::path::Path;

const ACCOUNT: &str = "sk-canary-4f1d9b27";
const PROMPT: &str = "zanzibar quokka lullaby";
const ADDRESS: &str = "203.0.113.77";
const PAYMENT: &str = "pay-canary-99c1";

/// Lines that are judged, lines that are refused for every reason there is, all with canaries.
fn feed() -> Vec<u8> {
    feed_from(START_MS)
}

fn feed_from(start_ms: u64) -> Vec<u8> {
    let mut log = String::new();
    for index in 0..400u64 {
        // Four that do the same: the canary, and three that its judgement takes.
        let time_ms = start_ms + index / 4 * 1_000 + index % 4;
        let account = ["", "-b", "-c", "-d"][index as usize % 4];
        let _ = writeln!(
            log,
            r#"{{"id":"i{index}","time":{time_ms},"account":"{ACCOUNT}{account}","ip":"{ADDRESS}","payment":"{PAYMENT}","system_prompt":"{PROMPT}","prompt":"Think step by step and show your reasoning: {PROMPT} {index}","model":"m","max_tokens":4096}}"#
        );
    }
    for bad in [
        format!(r#"{{"time":{START_MS},"account":"{ACCOUNT}","ip":"{PROMPT}","prompt":"{PROMPT}"}}"#),
        format!(r#"{{"time":"{PROMPT}","account":"{ACCOUNT}"}}"#),
        format!(r#"{{"time":{START_MS},"account":"{ACCOUNT}","max_tokens":"{PROMPT}"}}"#),
        format!(r#"{{"account":"{ACCOUNT}","prompt":"{PROMPT}"}}"#),
        format!(r#"{{"time":99999999999999,"account":"{ACCOUNT}","prompt":"{PROMPT}"}}"#),
        format!(r#"{{"account":"{ACCOUNT}","prompt":"{PROMPT}" oops"#),
        format!("{PROMPT} {ACCOUNT}"),
    ] {
        log += &bad;
        log.push('\n');
    }
    let mut bytes = log.into_bytes();
    bytes.extend(format!("{{\"account\":\"{ACCOUNT}\",\"prompt\":\"{PROMPT}").bytes());
    bytes.extend(b"\xff\"}\n");
    bytes
}

fn files_below(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

fn canaries_in(place: &Place, what: &[(&str, &[u8])]) -> Vec<String> {
    let mut files = Vec::new();
    files_below(&place.data, &mut files);
    files_below(&place.output, &mut files);
    let mut found = Vec::new();
    let mut look = |name: &str, bytes: &[u8]| {
        for canary in [ACCOUNT, PROMPT, ADDRESS, PAYMENT] {
            if bytes.windows(canary.len()).any(|window| window == canary.as_bytes()) {
                found.push(format!("{canary} in {name}"));
            }
        }
    };
    for file in files {
        look(&file.display().to_string(), &std::fs::read(&file).unwrap());
    }
    what.iter().for_each(|(name, bytes)| look(name, bytes));
    found
}

#[test]
fn no_canary_leaves_the_node() {
    let place = Place::new();
    std::fs::write(&place.feed, feed()).unwrap();
    let mut command = place.run_to_idle();
    command.args(["--log-level", "trace"]);
    let output = success(command);
    let replayed = place.replay(&["--as-recorded"]);
    assert_eq!((replayed.number("events"), replayed.number("dlq")), (408, 6));
    assert!(replayed.number("verdicts") > 0, "the canary was judged");
    let found = canaries_in(&place, &[("stdout", &output.stdout), ("stderr", &output.stderr)]);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_canary_is_in_a_metric_or_an_answer() {
    let place = Place::new();
    std::fs::write(&place.feed, feed()).unwrap();
    let (running, address) = serving(place.run());
    eventually("everything is read", || metric(&address, "weir_collector_events_published_total") == 402);
    assert_eq!(
        metric(&address, "weir_collector_identities_announced_total"),
        4,
        "each once, and not with every event"
    );
    let answers =
        ["/metrics", "/health/live", "/health/ready", "/nowhere"].map(|path| get(&address, path)).concat();
    assert!(running.stop().status.success());
    let found = canaries_in(&place, &[("an answer", answers.as_bytes())]);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_grep_that_should_find_a_canary_does() {
    let place = Place::new();
    std::fs::write(&place.feed, feed()).unwrap();
    let mut command = place.run_to_idle();
    command.args(["--collector-keep-text", "true"]);
    success(command);
    let found = canaries_in(&place, &[]);
    assert!(found.iter().any(|found| found.starts_with(PROMPT)), "kept text is in the log: {found:?}");
    assert!(!found.iter().any(|found| found.starts_with(ACCOUNT)), "{found:#?}");
}

#[test]
fn the_raw_account_is_opened_only_for_an_action_that_is_to_be_carried_out() {
    let place = Place::new();
    std::fs::write(&place.feed, b"").unwrap();
    place.run_until_idle();
    // Nobody is found so surely that the account is suspended at once, and no gateway asked to limit it.
    let builtin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../processor/policy/default.toml");
    let builtin = std::fs::read_to_string(builtin).unwrap();
    assert!(builtin.contains("critical = 0.72"));
    let policy = place.directory.path().join("policy.toml");
    std::fs::write(&policy, builtin.replace("critical = 0.72", "critical = 0.9999")).unwrap();
    success(weir(&["posture", "enforce", "--data-dir", place.data.to_str().unwrap()]));
    // History is not acted on: the requests are of an hour ago.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    std::fs::write(&place.feed, feed_from(now.as_millis() as u64 - 3_600_000)).unwrap();
    let mut command = place.run_to_idle();
    command.arg("--policy").arg(&policy);
    let shown = text(&success(command).stdout);
    assert!(shown.contains("posture   enforce"), "{shown}");
    let commands = text(&std::fs::read(place.output.join("rate_limit_commands.jsonl")).unwrap());
    assert!(commands.contains(ACCOUNT), "a gateway cannot limit a pseudonym: {commands}");
    let found = canaries_in(&place, &[("stdout", shown.as_bytes())]);
    let elsewhere: Vec<_> = found
        .iter()
        .filter(|found| !found.contains("rate_limit_commands") && !found.contains("enforcement_actions"))
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}
