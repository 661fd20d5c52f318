//! The newcomer's command, and what history gives back.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, Running, eventually, get, replay_in, serving, success, text, traffic, weir};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Identity, Standing, StandingStatus};
use weir_topology::embedded::EmbeddedLog;
use weir_topology::history::read_range;
use weir_topology::log::{Commit, Log as _};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/access.jsonl");

#[test]
fn the_recorded_example_finds_the_campaign_and_nobody_else() {
    let place = Place::new();
    std::fs::copy(EXAMPLE, &place.feed).unwrap();
    let shown = place.run_until_idle();
    assert!(shown.contains("events    1677 read, 0 refused"), "{shown}");
    assert!(shown.contains("accounts  6 CRITICAL\n"), "{shown}");
    assert!(shown.contains("posture   audit: nothing was acted on"), "{shown}");

    let recorded = place.replay(&["--as-recorded"]);
    recorded.balances();
    assert_eq!(recorded.number("judged"), 1677);
    assert_eq!(recorded.0["bytes_equal"], true);
    assert!(shown.contains(recorded.digest()), "{shown}\n{recorded:?}");
}

#[test]
fn lockstep_gives_one_digest_for_any_layout() {
    let place = Place::new();
    std::fs::copy(EXAMPLE, &place.feed).unwrap();
    place.run_until_idle();
    let layouts = [("1", "1"), ("8", "1"), ("8", "3"), ("64", "1"), ("64", "3")];
    let digests: Vec<String> = layouts
        .iter()
        .map(|(partitions, workers)| {
            let report = place.replay(&["--lockstep", "--partitions", partitions, "--workers", workers]);
            report.balances();
            assert!(report.number("verdicts") > 0);
            report.digest().to_owned()
        })
        .collect();
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:?}");

    // Nor does it matter how many partitions the log itself has.
    let (data, output) = place.beside();
    let mut other = place.run_in(&data, &output);
    other.args(["--until-idle", "--partitions", "1"]);
    success(other);
    assert_eq!(replay_in(&data, &["--lockstep"]).digest(), digests[0]);
}

#[test]
fn decisions_are_actions_by_id_in_every_posture_and_the_analysts_queue_is_what_it_must_be() {
    for posture in ["audit", "canary 50", "enforce"] {
        let place = Place::new();
        std::fs::write(&place.feed, "").unwrap();
        place.run_until_idle();
        place.set_posture(posture);
        std::fs::write(&place.feed, example_as_of_now()).unwrap();
        place.run_until_idle();
        // What was told is answered; the answers are heard in the next run at the latest.
        place.run_until_idle();

        let id = |line: &Value| line["action_id"].as_str().unwrap().to_owned();
        let audits = place.lines_of("audit_log.jsonl");
        let decisions =
            audits.iter().filter(|audit| audit["kind"] == "DECISION" && !audit["action_id"].is_null());
        let mut decided: Vec<String> = decisions.map(id).collect();
        let actions = place.lines_of("enforcement_actions.jsonl");
        let mut told: Vec<String> = actions.iter().map(id).collect();
        decided.sort();
        told.sort();
        assert_eq!(decided, told, "{posture}");

        let count = |kind: &str| actions.iter().filter(|action| action["action"] == kind).count();
        // Six keys of one campaign, each of which ends as CRITICAL. Which tiers it passes before depends on
        // how soon the cluster stage's word comes.
        assert_eq!((count("SUSPEND"), count("CLUSTER_TAKEDOWN")), (6, 0), "{posture}");

        let is_news = |action: &&Value| !action["reason"].as_str().unwrap().starts_with("already in force");
        let for_people = |action: &&Value| action["action"] == "REVIEW" || action["revert"] == "MANUAL";
        let mut expected: Vec<String> = actions.iter().filter(is_news).filter(for_people).map(id).collect();
        let mut queue: Vec<String> = place.lines_of("analyst_queue.jsonl").iter().map(id).collect();
        expected.sort();
        queue.sort();
        assert_eq!(queue, expected, "{posture}");
        assert_eq!(queue.len(), count("REVIEW") + 6, "{posture}: every REVIEW and every SUSPEND");

        // Whatever was to be carried out was answered for, once, and heard.
        let of_state = |state: &str| {
            let records = audits.iter().filter(|audit| audit["outcome"] == state);
            records.map(id).collect::<BTreeSet<_>>()
        };
        let executed: BTreeSet<String> = actions.iter().filter(|a| a["execute"] == true).map(id).collect();
        assert_eq!(executed, of_state("pending"), "{posture}");
        let (done, superseded) = (of_state("done"), of_state("superseded"));
        assert_eq!(executed, done.union(&superseded).cloned().collect(), "{posture}");
        // Whether one of six is in the canary's half depends on the keys: now and then none is.
        let is_canary = posture.starts_with("canary");
        assert!(is_canary || executed.is_empty() == (posture == "audit"), "{posture}");
        let news: BTreeSet<String> = actions.iter().filter(is_news).map(id).collect();
        assert!(executed == news || posture != "enforce", "{posture}");
        for action in actions.iter().filter(|action| action["execute"] == true) {
            let (taken, lasts) = (action["taken_ms"].as_i64().unwrap(), action["lasts_ms"].as_i64());
            let expires = action["expires_ms"].as_i64();
            assert_eq!(expires.is_some(), lasts.is_some(), "{action}");
            assert!(expires.zip(lasts).is_none_or(|(expires, lasts)| expires - lasts >= taken), "{action}");
        }
    }
}

/// The recorded example, as if its last request had been an hour ago: a deployment that lags, but answers the
/// present.
fn example_as_of_now() -> String {
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.iter().map(|line| line["time"].as_f64().unwrap()).fold(0.0, f64::max);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let mut shifted = String::new();
    for line in &mut lines {
        let time = line["time"].as_f64().unwrap() - last + now - 3_600.0;
        line["time"] = Value::from((time * 1_000.0).round() / 1_000.0);
        shifted += &format!("{line}\n");
    }
    shifted
}

#[test]
fn an_import_of_old_logs_acts_on_nothing_under_enforce_and_says_so_in_one_line() {
    let place = Place::new();
    let none = place.directory.path().join("none.jsonl");
    std::fs::write(&place.feed, "").unwrap();
    place.run_until_idle();
    place.set_posture("enforce");
    // Imported today from a log of today: it is history by its origin, not by its age.
    std::fs::write(&none, example_as_of_now()).unwrap();
    let mut import = weir(&["import", none.to_str().unwrap(), "--node", "test", "--data-dir"]);
    import.arg(&place.data).arg("--keys-dir").arg(place.keys.join("collector"));
    success(import);
    let shown = place.run_until_idle();
    let actions = place.lines_of("enforcement_actions.jsonl");
    let lines: Vec<&str> = shown.lines().filter(|line| line.contains("withheld")).collect();
    assert_eq!(lines, [format!("history   {} actions withheld: history", actions.len())], "{shown}");
    let states: BTreeSet<_> =
        actions.iter().map(|a| (a["state"].to_string(), a["execute"] == true)).collect();
    assert_eq!(states, BTreeSet::from([("\"WITHHELD\"".into(), false)]));
    assert!(actions.iter().all(|action| action["reason"].as_str().unwrap().contains("history (imported)")));

    // What is followed live and is old is history too.
    let other = Place::new();
    std::fs::write(&other.feed, "").unwrap();
    other.run_until_idle();
    other.set_posture("enforce");
    std::fs::copy(EXAMPLE, &other.feed).unwrap();
    let shown = other.run_until_idle();
    let actions = other.lines_of("enforcement_actions.jsonl");
    assert!(shown.contains(&format!("history   {} actions withheld: history\n", actions.len())), "{shown}");
    assert!(actions.iter().all(|action| action["execute"] == false));
    let suspended = actions.iter().filter(|action| action["action"] == "SUSPEND").count();
    assert!(shown.contains(&format!(" {suspended} CRITICAL")), "{suspended} are suspended: {shown}");
}

#[test]
fn a_fresh_install_acts_on_nothing_and_says_what_it_would_have_done() {
    let place = Place::new();
    std::fs::write(&place.feed, traffic(10, 80)).unwrap();
    place.run_until_idle();
    let actions = place.lines_of("enforcement_actions.jsonl");
    assert!(!actions.is_empty());
    assert!(actions.iter().all(|action| action["execute"] == false && action["state"] == "WITHHELD"));
    let decisions = place.lines_of("audit_log.jsonl");
    assert!(decisions.len() >= actions.len(), "no action without its audit record");
}

#[test]
fn a_growing_file_is_judged_while_it_grows_and_sigterm_loses_nothing() {
    let place = Place::new();
    let running = Running::start(place.run());
    let mut feed = OpenOptions::new().create(true).append(true).open(&place.feed).unwrap();
    let log = traffic(10, 80);
    for part in log.as_bytes().chunks(log.len() / 20 + 1) {
        feed.write_all(part).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    eventually("a critical verdict while the file is tailed", || {
        place.lines_of("audit_log.jsonl").iter().any(|record| record["tier"] == "CRITICAL")
    });
    let ended = running.stop();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    // What was sensed last may be in the log and not judged yet: that is for whoever runs next.
    let mut next = place.run();
    next.arg("--until-idle");
    success(next);
    let report = place.replay(&["--as-recorded"]);
    report.balances();
    assert_eq!(report.number("events"), log.lines().count() as u64);
}

#[test]
fn metrics_and_health_are_served_and_every_series_exists_from_the_start() {
    let place = Place::new();
    let (running, address) = serving(place.run());
    eventually("the process is ready", || get(&address, "/health/ready").contains("200 OK"));
    assert!(get(&address, "/health/live").contains("200 OK"));
    let metrics = get(&address, "/metrics");
    for series in [
        "weir_epochs_total{stage=\"account\"}",
        "weir_verdicts_total{kind=\"CRITICAL\"} 0",
        "weir_collector_lines_rejected_total{kind=\"INVALID_UTF8\"} 0",
        "weir_collector_lines_mended_total 0",
        "weir_collector_fields_unknown_total{field=\"max_tokens\"} 0",
        "weir_collector_requests_unowned_total 0",
        "weir_stage_events_total{stage=\"cluster\",cause=\"fan_out_skipped\"} 0",
        "weir_actions_total{kind=\"SUSPEND\",state=\"WITHHELD\"} 0",
        "weir_enforcer_records_unreadable_total 0",
        "weir_enforcer_accounts_unopened_total 0",
        "weir_enforcer_indicators_forgotten_total 0",
        "weir_enforcer_actions_waiting 0",
    ] {
        assert!(metrics.contains(series), "{series} is not in\n{metrics}");
    }
    running.stop();
}

#[test]
fn flags_that_do_not_belong_are_refused_and_so_is_a_distributed_role_without_keys() {
    let refused = |arguments: &[&str], expected: &str| {
        let output = weir(arguments).output().unwrap();
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    };
    refused(&["run", "--no-such-flag"], "unexpected argument");
    refused(&["run"], "there is nothing to read: give --tail FILE");
    refused(&["collect", "--brokers", "127.0.0.1:1", "--tail", "x"], "keys_dir is not set");
    refused(&["enforce", "--brokers", "127.0.0.1:1"], "keys_dir is not set");
    refused(&["process"], "brokers is not set");
    refused(&["replay", "--data-dir", "/nonexistent"], "<--as-recorded|--lockstep>");
    refused(&["replay", "--as-recorded", "--data-dir", "/nonexistent"], "there is no log to read");
}

#[test]
fn a_run_renews_the_identity_of_an_account_that_is_cut_off_before_its_retention_passes() {
    const DAY_MS: i64 = 24 * 3_600_000;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let place = Place::new();
    place.set_posture("audit");
    std::fs::write(&place.feed, "").unwrap();
    let wire = Wire::new();
    let old = |account: u8, status: StandingStatus| {
        let account = AccountId([account; 16]);
        let standing = Standing { account, tenant: "acme".into(), status, ..Standing::default() };
        let identity = Identity { account, sealed: vec![account.0[0]], ..Identity::default() };
        [
            Output::keyed(Topic::Standing, account.to_key(), wire.to_bytes(&standing), now_ms),
            Output::keyed(
                Topic::Identities,
                account.to_key(),
                wire.to_bytes(&identity),
                now_ms - 40 * DAY_MS,
            ),
        ]
    };
    let log = EmbeddedLog::open(&place.data.join("log"), 4).unwrap();
    let outputs = [old(1, StandingStatus::Suspended), old(2, StandingStatus::Good)].concat();
    log.writer("test").unwrap().commit(&Commit { outputs, positions: Vec::new() }).unwrap();
    drop(log);
    place.run_until_idle();

    let log = EmbeddedLog::open(&place.data.join("log"), 4).unwrap();
    let mut days_old = Vec::new();
    for partition in 0..4 {
        let (first, end) = log.bounds(Topic::Identities, partition).unwrap();
        read_range(log.as_ref(), Topic::Identities, partition, first, end, |records| {
            for record in records.iter() {
                let identity: Identity = wire.read(record.payload.unwrap()).unwrap();
                assert_eq!(
                    (identity.account.to_key(), identity.sealed[0]),
                    (record.key.to_vec(), identity.account.0[0])
                );
                days_old.push((identity.account.0[0], (now_ms - record.timestamp_ms).div_euclid(DAY_MS)));
            }
            Ok(())
        })
        .unwrap();
    }
    // The log may have forgotten what was written anew.
    days_old.retain(|known| *known != (1, 40));
    days_old.sort_unstable();
    assert!(matches!(days_old[..], [(1, -1 | 0), (2, 40)]), "{days_old:?}");
}
