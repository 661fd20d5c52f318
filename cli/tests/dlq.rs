//! `weir dlq`: what could not be judged is found, shown and sent back.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, success, text, traffic, weir};
use std::process::Output;
use weir_topology::embedded::EmbeddedLog;
use weir_topology::log::{Commit, Log};
use weir_topology::topic::Topic;

/// A run over a feed with a bad line, and over a bad record that somebody put into the events.
fn judged() -> Place {
    let place = Place::new();
    std::fs::write(&place.feed, traffic(3, 20) + "\u{1b}[31mno event\n").unwrap();
    place.run_until_idle();
    {
        let log = EmbeddedLog::open_existing(&place.data.join("log")).unwrap();
        let payload = b"\xff poison".repeat(60);
        let bad = weir_topology::record::Output::keyed(Topic::Events, b"somebody".to_vec(), payload, 7);
        let commit = Commit { outputs: vec![bad.in_partition(1)], positions: Vec::new() };
        log.writer("somebody").unwrap().commit(&commit).unwrap();
    }
    place.run_until_idle();
    place
}

fn dlq(place: &Place, arguments: &[&str]) -> Output {
    let mut command = weir(&["dlq"]);
    command.args(arguments).arg("--data-dir").arg(&place.data).output().unwrap()
}

fn shown(place: &Place, arguments: &[&str]) -> String {
    let output = dlq(place, arguments);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Id of the only letter of a kind.
fn id_of(place: &Place, kind: &str) -> String {
    let list = shown(place, &["list", "--kind", kind]);
    assert!(list.ends_with("1 of 1 letters\n"), "{list}");
    list.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn letters_are_listed_and_shown_without_a_byte_of_text() {
    let place = judged();
    let list = shown(&place, &["list"]);
    assert!(list.ends_with("2 of 2 letters\n") && !list.contains("no event"), "{list}");
    assert!(shown(&place, &["list", "--stage", "collector"]).ends_with("1 of 1 letters\n"));
    assert!(shown(&place, &["list", "--stage", "enforcer"]).ends_with("0 of 0 letters\n"));

    let record = shown(&place, &["show", &id_of(&place, "undecodable")]);
    for part in [
        "kind      UNDECODABLE",
        "stage     account",
        "origin    weir.events/1 at offset",
        "length    480 bytes",
        "header    weir-dlq-origin-topic=weir.events",
        "header    weir-dlq-origin-timestamp=7",
        "payload   480 bytes carried, the first 256 of them:",
    ] {
        assert!(record.contains(part), "{part:?} is not in\n{record}");
    }
    let line = shown(&place, &["show", &id_of(&place, "INVALID_JSON")]);
    assert!(line.contains("header    weir-dlq-origin-file=") && line.contains("payload   none"), "{line}");
    assert!(!line.contains("no event") && !line.contains('\u{1b}'), "{line}");
}

#[test]
fn a_record_goes_back_once_and_is_judged_again() {
    let place = judged();
    let id = id_of(&place, "UNDECODABLE");
    assert!(shown(&place, &["requeue", &id]).starts_with("The record of letter"));
    let again = dlq(&place, &["requeue", &id]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stdout).contains("was sent back already"), "{}", text(&again.stdout));
    assert!(shown(&place, &["list", "--kind", "UNDECODABLE"]).contains("(sent back)"));
    assert!(
        shown(&place, &["requeue", "--kind", "UNDECODABLE"])
            .starts_with("0 sent back\n1 left: sent back before")
    );
    // It is no better than before: refused anew, with a letter of its own.
    place.run_until_idle();
    assert!(shown(&place, &["list", "--kind", "UNDECODABLE"]).ends_with("2 of 2 letters\n"));
    assert!(
        shown(&place, &["requeue", "--kind", "UNDECODABLE"])
            .starts_with("1 sent back\n1 left: sent back before")
    );
    // History, coverage and the marks beside the letters go together.
    place.run_until_idle();
    place.replay(&["--as-recorded"]).balances();
    let mut coverage = weir(&["coverage", "--data-dir"]);
    coverage.arg(&place.data).arg("--keys-dir").arg(place.keys_of("operator"));
    let said = text(&success(coverage).stdout);
    assert!(said.contains("BALANCED") && said.contains("3 dead-lettered"), "{said}");
}

#[test]
fn a_line_stays_where_it_is_and_says_where() {
    let place = judged();
    let refused = dlq(&place, &["requeue", &id_of(&place, "INVALID_JSON")]);
    let said = text(&refused.stdout);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("it stands in") && said.contains("access.jsonl at byte"), "{said}");
    for wrong in [vec!["requeue"], vec!["requeue", "1/0", "--kind", "OTHER"], vec!["show", "one"]] {
        assert_eq!(dlq(&place, &wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert!(!dlq(&place, &["requeue", "1/0", "--to-topic", "weir.audit"]).status.success());
    assert!(!dlq(&place, &["show", "0/999"]).status.success());
}
