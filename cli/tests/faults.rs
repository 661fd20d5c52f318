//! The faults that the systems before Weir lost events, stalled or aborted on. None may here.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, Running, START_MS, eventually, line, metric, serving, success, text, traffic, weir};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn good(number: u64) -> String {
    line(&format!("good-{number}"), START_MS + number * 1000, "customer", "hello")
}

/// Runs over `feed`, which holds `good` good lines among others, and gives back events and dead
/// letters.
fn judged_beside(feed: &[u8]) -> (u64, u64) {
    let place = Place::new();
    std::fs::write(&place.feed, feed).unwrap();
    place.run_until_idle();
    let report = place.replay(&["--as-recorded"]);
    report.balances();
    (report.number("judged"), report.number("dlq"))
}

#[test]
fn each_bad_line_is_dead_lettered_and_the_lines_around_it_are_judged() {
    let bad_lines: [&[u8]; 8] = [
        b"{\"account\": oops}",
        b"null",
        b"42",
        b"[1,2]",
        br#"{"time":1793491200000,"account":{},"max_tokens":1}"#,
        br#"{"time":-5,"account":"a"}"#,
        br#"{"time":1793491200000}"#,
        b"\xff\xff\xff",
    ];
    for bad in bad_lines {
        let feed = [good(1).as_bytes(), bad, b"\n", good(2).as_bytes()].concat();
        assert_eq!(judged_beside(&feed), (2, 1), "{}", String::from_utf8_lossy(bad));
    }
}

#[test]
fn nothing_readable_is_a_failure_that_says_where_to_look() {
    let place = Place::new();
    std::fs::write(&place.feed, "{\"what\":1}\nis this\n").unwrap();
    let mut import = weir(&["import", "--data-dir"]);
    import.arg(place.directory.path().join("other")).arg(&place.feed);
    for mut command in [place.run_to_idle(), import] {
        let output = command.output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains("all of its 2 records were refused") && told.contains("weir check-log"),
            "{told}"
        );
        assert!(told.contains("kind=\"INVALID_JSON\" count=1 first_at_byte=11"), "{told}");
    }
    // An empty file is none.
    std::fs::write(&place.feed, "").unwrap();
    let mut import = weir(&["import", "--data-dir"]);
    import.arg(place.directory.path().join("third")).arg(&place.feed);
    success(import);
}

#[test]
fn a_line_with_bytes_that_are_not_utf8_is_judged() {
    let feed = b"{\"time\":1793491200000,\"account\":\"\xff\xfe\"}\n{\"time\":1793491200000,\"account\":\"a\",\"user_agent\":\"\xff\"}\n";
    assert_eq!(judged_beside(feed), (2, 0));
}

#[test]
fn epoch_seconds_milliseconds_and_rfc_3339_are_all_times() {
    let feed = r#"{"time":1793491200,"account":"a"}
{"time":1793491200.250,"account":"a"}
{"time":1793491200000,"account":"a"}
{"time":"1793491200","account":"a"}
{"time":"2026-11-01T00:00:00Z","account":"a"}
{"time":"2026-11-01T01:00:00.5+01:00","account":"a"}
"#;
    assert_eq!(judged_beside(feed.as_bytes()), (6, 0));
}

#[test]
fn unknown_fields_blank_lines_and_carriage_returns_do_no_harm() {
    let feed = format!("\r\n\n{}\r\n\n", r#"{"time":1793491200000,"account":"a","nobody_knows":{"x":[1]}}"#);
    assert_eq!(judged_beside(feed.as_bytes()), (1, 0));
}

#[test]
fn models_and_hashes_of_any_script_and_length_abort_nothing() {
    let mut feed = String::new();
    for (index, odd) in ["模型", "é", "ß", "🜲🜲", "a", "", "\\u0000", "ﷺﷺﷺ"].into_iter().enumerate()
    {
        for repeat in 0..8 {
            let time = START_MS + (index as u64 * 8 + repeat) * 1000;
            feed += &format!(
                "{{\"account_id\":\"a{odd}\",\"ts\":{time},\"model\":\"{odd}-{repeat}\",\"system_prompt_hash\":\"{odd}\",\"payment_method_hash\":\"{odd}\",\"ja3_hash\":\"{odd}\",\"user_agent\":\"{odd}\",\"asn_org\":\"{odd}\",\"prompt\":\"{odd}\"}}\n"
            );
        }
    }
    let lines = feed.lines().count() as u64;
    assert_eq!(judged_beside(feed.as_bytes()), (lines, 0));
}

#[test]
fn a_line_of_64_mib_is_judged_in_bounded_memory() {
    let place = Place::new();
    let mut feed = good(1).into_bytes();
    feed.extend(b"{\"time\":1793491200000,\"account\":\"a\",\"prompt\":\"");
    feed.resize(feed.len() + (64 << 20), b'x');
    feed.extend(b"\"}\n");
    feed.extend(good(2).bytes());
    std::fs::write(&place.feed, feed).unwrap();
    let output = success(measured(place.run_to_idle()));
    let peak_kib: u64 =
        text(&output.stderr).lines().rev().find_map(|l| l.strip_prefix("peak_kib=")?.parse().ok()).unwrap();
    assert!(peak_kib < 256 << 10, "peak memory was {peak_kib} KiB");
    let report = place.replay(&["--as-recorded"]);
    assert_eq!((report.number("judged"), report.number("dlq")), (3, 0));
}

/// The same command, which says its peak memory at the end of standard error.
fn measured(command: Command) -> Command {
    let script = r#"import resource,subprocess,sys
code = subprocess.call(sys.argv[1:])
print("peak_kib=%d" % resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)"#;
    let mut outer = Command::new("python3");
    outer.arg("-c").arg(script).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if value.is_none() {
            outer.env_remove(name);
        }
    }
    outer
}

fn judged(place: &Place) -> usize {
    place.lines_of("audit_log.jsonl").len()
}

#[test]
fn a_file_that_appears_late_is_rotated_and_truncated_loses_no_line() {
    let place = Place::new();
    let (running, address) = serving(place.run());
    let read = |lines: usize| {
        eventually(&format!("{lines} lines are read"), || {
            metric(&address, "weir_collector_events_published_total") == lines as u64
        });
    };
    std::thread::sleep(Duration::from_millis(300));
    let log = traffic(5, 120);
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    let quarter = lines.len() / 4;

    // It appears only now, and its lines come in pieces.
    for line in &lines[..quarter] {
        let (head, tail) = line.split_at(line.len() / 2);
        append(&place.feed, head.as_bytes());
        append(&place.feed, tail.as_bytes());
    }
    read(quarter);
    // Rotated by rename; the old file gets a last line after the new one exists.
    let rotated = place.directory.path().join("access.jsonl.1");
    let (last, before) = lines[quarter..2 * quarter].split_last().unwrap();
    append(&place.feed, before.concat().as_bytes());
    std::fs::rename(&place.feed, &rotated).unwrap();
    append(&place.feed, lines[2 * quarter..3 * quarter].concat().as_bytes());
    append(&rotated, last.as_bytes());
    read(3 * quarter);
    // Rotated by copy and truncation.
    std::fs::copy(&place.feed, place.directory.path().join("access.jsonl.copy")).unwrap();
    OpenOptions::new().write(true).open(&place.feed).unwrap().set_len(0).unwrap();
    append(&place.feed, lines[3 * quarter..].concat().as_bytes());
    read(lines.len());
    let ended = running.stop();
    assert!(ended.status.success());
    place.run_until_idle();
    let report = place.replay(&["--as-recorded"]);
    report.balances();
    assert_eq!((report.number("judged"), report.number("dlq")), (lines.len() as u64, 0));
}

#[test]
fn what_was_written_while_it_was_down_is_judged_when_it_comes_back() {
    let place = Place::new();
    let log = traffic(5, 120);
    let (before, after) = log.split_at(log.len() / 2);
    std::fs::write(&place.feed, before).unwrap();
    let running = Running::start(place.run());
    eventually("something is judged", || judged(&place) > 0);
    running.kill();
    append(&place.feed, after.as_bytes());
    place.run_until_idle();
    let report = place.replay(&["--as-recorded"]);
    assert_eq!(report.balances().number("judged"), log.lines().count() as u64);
}

#[test]
fn a_second_process_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    std::fs::write(&place.feed, good(1)).unwrap();
    let running = Running::start(place.run());
    eventually("the log exists", || place.data.join("log").join("log.redb").exists());
    std::thread::sleep(Duration::from_millis(300));
    let second = place.run_to_idle().output().unwrap();
    assert!(!second.status.success());
    let said = text(&second.stderr);
    assert!(said.contains("another process") || said.contains("in use"), "{said}");
    append(&place.feed, good(2).as_bytes());
    std::thread::sleep(Duration::from_millis(500));
    assert!(running.stop().status.success());
    place.run_until_idle();
    assert_eq!(place.replay(&["--as-recorded"]).number("judged"), 2);
}

#[test]
fn attackers_escalate_to_critical_in_one_run_and_no_innocent_is_swept_along() {
    let place = Place::new();
    // Two hundred innocents share the campaign's /24 and its SDK.
    let mut log = traffic(0, 120);
    for account in 0..200u64 {
        let time_ms = START_MS + account * 2_900;
        log += &format!(
            "{{\"id\":\"x{account}\",\"time\":{time_ms},\"account\":\"innocent-{account}\",\"ip\":\"10.9.8.{}\",\"user_agent\":\"OpenAI/Python 3.52.0\",\"prompt\":\"A recipe for {account} buns, please.\"}}\n",
            account % 250
        );
    }
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_by_key(|line| line.split("\"time\":").nth(1).unwrap()[..13].parse::<u64>().unwrap());
    std::fs::write(&place.feed, lines.join("\n") + "\n").unwrap();
    let shown = place.run_until_idle();
    assert!(shown.contains("accounts  12 CRITICAL\n"), "{shown}");
    let accounts: std::collections::BTreeSet<_> =
        place.lines_of("audit_log.jsonl").iter().map(|record| record["account"].to_string()).collect();
    assert_eq!(accounts.len(), 12, "only the campaign was told of");
}

#[test]
fn a_full_disk_stalls_loses_nothing_and_goes_on_when_there_is_room() {
    let place = Place::new();
    let small = place.directory.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"])
        .arg(&small)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        // Mounting takes root; CI has it, so there a skipped check is a failure.
        assert!(std::env::var_os("CI").is_none(), "a file system of 3 MiB could not be mounted");
        eprintln!("skipped: no right to mount a small file system");
        return;
    }
    let unmount = Unmount(&small);
    std::fs::write(&place.feed, traffic(20, 1500)).unwrap();
    let lines = std::fs::read_to_string(&place.feed).unwrap().lines().count() as u64;
    let data = small.join("data");
    let mut command = place.run_in(&data, &place.output);
    command.arg("--until-idle");
    let mut running = Running::start(command);
    std::thread::sleep(Duration::from_secs(3));
    assert!(running.0.try_wait().unwrap().is_none(), "a full disk does not end the run");
    let grown = Command::new("mount").args(["-o", "remount,size=256m"]).arg(&small).status().unwrap();
    assert!(grown.success());
    eventually("the run ends by itself", || running.0.try_wait().unwrap().is_some());
    let report = common::replay_in(&data, &["--as-recorded"]);
    assert_eq!(report.balances().number("judged"), lines);
    assert_eq!(report.0["bytes_equal"], true);
    drop(running);
    drop(unmount);
}

struct Unmount<'p>(&'p Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}
