//! What an operator types: help, completions, man pages, and mistakes.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::{Place, Running, START_MS, eventually, json_lines, line, success, text, weir};
use std::path::Path;

/// The commands that a help text lists.
fn commands_of(help: &str) -> Vec<String> {
    let listed = help.split("Commands:\n").nth(1).unwrap_or_default().lines();
    let names =
        listed.take_while(|line| line.starts_with("  ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(String::from).collect()
}

/// Asks for help on a command and on all of its subcommands; the words of each.
fn help_on(words: &[String]) -> Vec<String> {
    let mut command = weir(&[]);
    command.args(words).arg("--help");
    let help = text(&success(command).stdout);
    assert!(help.contains("Usage: weir"), "{words:?}: {help}");
    let mut asked = vec![words.join(" ")];
    for name in commands_of(&help) {
        asked.extend(help_on(&[words, &[name]].concat()));
    }
    asked
}

#[test]
fn every_command_has_help() {
    let asked = help_on(&[]);
    for command in ["run", "policy publish", "dlq requeue", "topology diagram", "completions", "man"] {
        assert!(asked.iter().any(|words| words == command), "{command} is not among {asked:?}");
    }
}

#[test]
fn completions_and_man_pages_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&success(weir(&["completions", shell])).stdout);
        assert!(script.contains("lockstep") && script.contains("kafka-ca-file"), "{shell}");
    }
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man");
    let mut man = weir(&["man"]);
    man.arg(&pages);
    success(man);
    for page in ["weir.1", "weir-run.1", "weir-dlq-requeue.1"] {
        let content = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(content.contains(".SH SYNOPSIS"), "{page}");
    }
}

/// What is told of a mistake, with backtraces asked for: one line on standard error, and nothing is written.
fn told(arguments: &[&str], directory: &Path) -> String {
    let before = files_in(directory);
    let mut command = weir(arguments);
    command.current_dir(directory).envs([("RUST_BACKTRACE", "1"), ("RUST_LIB_BACKTRACE", "1")]);
    let output = command.output().unwrap();
    let told = text(&output.stderr);
    assert!(!output.status.success(), "{arguments:?}");
    assert!(told.starts_with("weir: ") && told.lines().count() == 1, "{arguments:?}: {told}");
    assert_eq!(files_in(directory), before, "{arguments:?} leaves files");
    told
}

fn files_in(directory: &Path) -> Vec<String> {
    let mut files: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    files
}

#[test]
fn a_mistake_is_told_in_one_line_without_a_backtrace_and_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("access.jsonl"), line("1", START_MS, "a", "hi")).unwrap();
    std::fs::write(directory.path().join("policy.toml"), "version = 1").unwrap();
    std::fs::write(directory.path().join("weir.toml"), "colector = 1").unwrap();
    let cases: [(&[&str], &str); 14] = [
        (&["run"], "there is nothing to read: give --tail FILE"),
        (&["run", "--tail", "access.jsonl", "--policy", "policy.toml"], "the policy policy.toml is refused"),
        (&["run", "--tail", "access.jsonl", "--policy", "none.toml"], "cannot read the policy none.toml"),
        (&["run", "--tail", "access.jsonl", "--collector-format", "xml"], "no such format"),
        (&["run", "--tail", "access.jsonl", "--partitions", "0"], "--partitions sets partitions to \"0\""),
        (&["run", "--tail", "access.jsonl", "--tenant", ""], "tenant"),
        (&["run", "--tail", "access.jsonl", "--config", "weir.toml"], "weir.toml sets colector"),
        (&["run", "--tail", "access.jsonl", "--config", "none.toml"], "the configuration file none.toml"),
        (&["import", "none.jsonl"], "cannot read none.jsonl"),
        (&["posture", "canary", "900"], "canary"),
        (&["policy", "publish", "policy.toml"], "the policy policy.toml is refused"),
        (&["replay", "--as-recorded"], "there is no log to read"),
        (&["verify", "--all"], "there is no log to read"),
        (&["process"], "brokers is not set"),
    ];
    for (arguments, expected) in cases {
        let told = told(arguments, directory.path());
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
}

#[test]
fn the_posture_can_be_set_before_the_first_run() {
    let place = Place::new();
    std::fs::write(&place.feed, line("1", START_MS, "a", "hi")).unwrap();
    let mut posture = weir(&["posture", "canary", "5", "--node", "test", "--data-dir"]);
    posture.arg(&place.data);
    let said = text(&success(posture).stdout);
    assert_eq!(said, "The enforcer's posture is canary 5 from its next epoch.\n");
    let summary = place.run_until_idle();
    assert!(summary.contains("canary 5 (set by test)"), "{summary}");
}

fn said(arguments: &[&str], place: &Place) -> std::process::Output {
    let mut command = weir(arguments);
    command.arg("--data-dir").arg(&place.data);
    command.output().unwrap()
}

#[test]
fn whom_nobody_may_act_on_is_said_before_the_first_run_and_shown() {
    let place = Place::new();
    let account = "account/000102030405060708090a0b0c0d0e0f";
    let told = said(&["protect", "add", account, "tenant/acme", "--node", "test"], &place);
    assert_eq!(
        text(&told.stdout),
        "account/000102030405060708090a0b0c0d0e0f is on the list protected from each enforcer's next epoch.\n\
         tenant/acme is on the list protected from each enforcer's next epoch.\n"
    );
    assert!(said(&["protect", "remove", "tenant/acme"], &place).status.success());
    let listed = text(&said(&["protect", "list"], &place).stdout);
    assert!(listed.starts_with(&format!("{account}  since ")) && listed.ends_with(" by test\n"), "{listed}");
    assert_eq!(listed.lines().count(), 1);
    let told = said(&["limiter", "show"], &place);
    assert_eq!(
        text(&told.stdout),
        "Up to 25 accounts an hour on each of 4 partitions: floor 100 share 20 accounts 0 partitions 4 \
         tenant 1000 storm 100 times 10 traffic 100 least 100000 requests 0.\n\
         No enforcer pauses.\n"
    );
    let told = said(&["limiter", "set", "acme", "40", "--node", "test"], &place);
    assert_eq!(
        text(&told.stdout),
        "Up to 40 accounts of tenant acme an hour, over all partitions, from each enforcer's next epoch.\n"
    );
    let shown = text(&said(&["limiter", "show"], &place).stdout);
    assert!(shown.contains("\nOf tenant \"acme\" up to 10 on each: 40 over all.\n"), "{shown}");
    let told = said(&["limiter", "approve", "--tenant", "acme", "--node", "test"], &place);
    assert_eq!(
        text(&told.stdout),
        "Every pause of tenant acme that has begun by now is over from each enforcer's next epoch.\n\
         For an hour no storm pauses them; the cap holds.\n"
    );
    assert!(said(&["limiter", "set", "acme", "default", "--node", "test"], &place).status.success());
    let shown = text(&said(&["limiter", "show"], &place).stdout);
    assert!(!shown.contains("acme"), "{shown}");
    for (arguments, expected) in [
        (&["protect", "add", "me"][..], "\"me\" is nobody: give account/"),
        (&["ring", "3", "90 auto"], "a ring must be on, off, or a number from 1000"),
        (&["ring", "7", "off"], "7 is not in 1..=5"),
        (&["limiter", "set", "*", "40"], "\"*\" is no tenant: a tenant's name has 1 to 256 bytes"),
        (&["limiter", "set", "acme", "0"], "give a number from 1 to 1000000000, or `default`"),
    ] {
        let told = said(arguments, &place);
        assert!(!told.status.success() && text(&told.stderr).contains(expected), "{told:?}");
    }
}

#[test]
fn an_operator_is_heard_by_a_run_that_has_the_log_open() {
    let place = Place::new();
    std::fs::write(&place.feed, line("1", START_MS, "acct-1", "hi")).unwrap();
    let run = Running::start(place.run());
    eventually("the run holds the log", || {
        text(&said(&["protect", "list"], &place).stderr).contains("is in use by process")
    });
    let mut protect = weir(&["protect", "add", "key/acct-1", "--node", "olga", "--keys-dir"]);
    protect.arg(place.keys_of("collector")).arg("--data-dir").arg(&place.data);
    success(protect);
    assert!(said(&["ring", "3", "60000", "auto", "--node", "olga"], &place).status.success());
    eventually("both words are in the audit log", || {
        let lines = std::fs::read_to_string(place.output.join("audit_log.jsonl")).unwrap_or_default();
        let by_olga: Vec<_> = lines.lines().filter(|line| line.contains("\"olga\"")).collect();
        let said = |outcome: &str| by_olga.iter().any(|line| line.contains(outcome));
        said("\"listed\"") && said("\"setting_changed\"")
    });
    run.stop();
    let left = std::fs::read_dir(place.data.join("inbox")).unwrap().count();
    assert_eq!(left, 0, "what was published is not left");
    let account = {
        let mut list = weir(&["protect", "list", "--data-dir"]);
        list.arg(&place.data);
        text(&success(list).stdout)
    };
    let lines = json_lines(&place.output.join("audit_log.jsonl"));
    let listed = lines.iter().find(|line| line["outcome"] == "listed").unwrap();
    let subject = account.split_whitespace().next().unwrap();
    assert_eq!(listed["reason"], format!("{subject} is put on the list protected"));
}

#[cfg(not(feature = "query"))]
#[test]
fn a_build_without_sql_says_how_to_get_one_with_it() {
    let output = weir(&["query", "select 1"]).output().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (
            Some(1),
            "weir: this build of Weir cannot answer SQL: build it with `--features query` (`cargo build --release -p weir \
             --features query`)\n"
                .to_owned()
        )
    );
}
