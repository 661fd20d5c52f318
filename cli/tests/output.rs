//! Standard output that nobody reads, or that is full: a command ends like other Unix tools, a role goes on.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, Running, eventually, success, text, traffic, weir};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/access.jsonl");

/// The signal of a tool whose reader has gone.
const SIGPIPE: i32 = 13;

/// A pipe whose reader has gone before anything is written.
fn unread() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

/// What a log that `weir run` made is asked, and what needs none.
fn questions(place: &Place) -> Vec<Command> {
    let auditor = place.keys_of("auditor");
    let auditor = auditor.to_str().unwrap();
    let on_log: &[&[&str]] = &[
        &["policy", "show"],
        &["policy", "history"],
        &["audit", "verify", "--keys-dir", auditor],
        &["replay", "--as-recorded"],
        &["dlq", "list"],
        &["review", "list"],
        &["limiter", "show"],
        &["verify", "--all"],
        #[cfg(feature = "query")]
        &["query", "select * from events"],
        #[cfg(feature = "query")]
        &["query", "--format", "csv", "select * from events"],
    ];
    let plain: &[&[&str]] = &[
        &["config"],
        &["metrics", "--list"],
        &["completions", "bash"],
        &["topology", "diagram"],
        &["topology", "list"],
        &["check-log", EXAMPLE],
        &["evaluate", EXAMPLE],
        &["diff", "builtin", "builtin", EXAMPLE],
        &["simulate", "--seed", "7", "--out", "-"],
    ];
    let on_log = on_log.iter().map(|arguments| {
        let mut command = weir(arguments);
        command.arg("--data-dir").arg(&place.data);
        command
    });
    on_log.chain(plain.iter().map(|arguments| weir(arguments))).collect()
}

#[test]
fn a_command_whose_reader_has_gone_ends_by_sigpipe_without_a_word_and_leaves_nothing_behind() {
    let place = Place::new();
    std::fs::copy(EXAMPLE, &place.feed).unwrap();
    place.run_until_idle();
    let aside = place.directory.path().join("temporary");
    std::fs::create_dir(&aside).unwrap();
    for mut command in questions(&place) {
        command.env("TMPDIR", &aside).stdout(unread());
        let output = command.output().unwrap();
        assert_eq!(output.status.signal(), Some(SIGPIPE), "{command:?}: {output:?}");
        assert_eq!(text(&output.stderr), "", "{command:?}");
        assert_eq!(std::fs::read_dir(&aside).unwrap().count(), 0, "{command:?} left temporary files");
    }
}

#[test]
fn the_first_lines_are_whole_for_who_reads_no_more() {
    let all = text(&success(weir(&["config"])).stdout);
    let shell = format!("set -o pipefail; '{}' config | head -n 1", env!("CARGO_BIN_EXE_weir"));
    let output = Command::new("bash").args(["-c", &shell]).output().unwrap();
    assert_eq!(text(&output.stdout), all.lines().next().unwrap().to_owned() + "\n");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error_of_its_command() {
    let place = Place::new();
    std::fs::copy(EXAMPLE, &place.feed).unwrap();
    place.run_until_idle();
    for mut command in questions(&place) {
        command.stdout(OpenOptions::new().write(true).open("/dev/full").unwrap());
        let output = command.output().unwrap();
        let stderr = text(&output.stderr);
        // Of a proof 1 says that something differs, and that is not known here.
        let proves = command.get_args().any(|argument| argument == "verify" || argument == "coverage");
        let code = if proves { 2 } else { 1 };
        assert_eq!(output.status.code(), Some(code), "{command:?}: {output:?}");
        assert!(stderr.starts_with("weir: "), "{command:?}: {stderr}");
        let cause = stderr.to_lowercase();
        assert!(
            cause.contains("no storage space") || cause.contains("no space left"),
            "{command:?}: {stderr}"
        );
    }
}

#[test]
fn a_run_that_nobody_reads_goes_on_judging_and_ends_as_it_should() {
    let place = Place::new();
    let first = traffic(4, 60);
    // Another campaign, a day later.
    let second = first.replace("\"id\":\"", "\"id\":\"later-").replace("campaign-", "second-");
    let second = second.replace("\"time\":1793491", "\"time\":1793591");
    std::fs::write(&place.feed, &first).unwrap();
    let mut command = place.run();
    command.stdout(unread()).stderr(unread());
    let mut running = Running(command.spawn().unwrap());
    let judged = || {
        let audits = place.lines_of("audit_log.jsonl");
        let accounts = audits.iter().filter_map(|audit| audit["account"].as_str());
        accounts.collect::<BTreeSet<_>>().len()
    };
    eventually("the first campaign is found, and nobody reads it", || judged() == 12);
    OpenOptions::new().append(true).open(&place.feed).unwrap().write_all(second.as_bytes()).unwrap();
    eventually("the second one is found", || judged() > 12);
    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    eventually("it ends", || running.0.try_wait().unwrap().is_some());
    assert_eq!(running.0.try_wait().unwrap().unwrap().code(), Some(0));

    place.run_until_idle();
    let report = place.replay(&["--as-recorded"]);
    let events = |lines: &str| lines.lines().filter(|line| !line.is_empty()).count() as u64;
    assert_eq!(report.balances().number("judged"), events(&first) + events(&second));
}
