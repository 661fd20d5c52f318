//! What an operator sees of the limiter, and says to it.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::{Place, success, text, weir};
use std::process::{Command, Output};

fn limiter(place: &Place, arguments: &[&str]) -> Command {
    let mut command = weir(&["limiter"]);
    command.args(arguments).arg("--data-dir").arg(&place.data);
    command
}

/// What is shown of the limiter, and whether that says that nobody pauses.
fn shown(place: &Place) -> (bool, String) {
    let Output { status, stdout, .. } = limiter(place, &["show"]).output().unwrap();
    (status.success(), text(&stdout))
}

/// What the audit log says of pauses: what became of which tenant's, and why.
fn pauses(place: &Place) -> Vec<(String, String, String)> {
    let lines = place.lines_of("audit_log.jsonl");
    let word = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap().to_owned();
    let all = lines.iter().map(|line| (word(line, "outcome"), word(line, "tenant"), word(line, "reason")));
    all.filter(|(outcome, ..)| ["paused", "resumed"].contains(&outcome.as_str())).collect()
}

#[test]
fn a_tenant_over_its_cap_pauses_until_an_operator_approves_of_that_tenants_pause() {
    let place = Place::new();
    place.feed_recorded_now();
    place.set_posture("enforce");
    success(limiter(&place, &["set", "default", "1"]));
    place.run_until_idle();

    let why = "1 accounts of the tenant were acted on within an hour, which is its cap";
    let paused = pauses(&place);
    assert!(!paused.is_empty());
    for pause in &paused {
        assert_eq!(*pause, ("paused".into(), "default".into(), why.into()));
    }
    let withheld = format!("the limiter pauses until an operator approves: {why}");
    let lines = place.lines_of("audit_log.jsonl");
    assert!(lines.iter().any(|line| line["outcome"] == "withheld" && line["reason"] == *withheld));
    let (is_well, told) = shown(&place);
    assert!(!is_well, "{told}");
    assert!(told.contains("\nOf tenant \"default\" up to 1 on each: 1 over all.\n"), "{told}");
    let of_enforcers = told.lines().filter(|line| line.contains(" pauses for tenant \"default\" since "));
    assert_eq!(of_enforcers.filter(|line| line.ends_with(why)).count(), paused.len(), "{told}");
    assert!(told.ends_with("`weir limiter approve --tenant='default'` lets them go on for it.\n"), "{told}");

    // That is no approval of this pause.
    success(limiter(&place, &["approve"]));
    place.run_until_idle();
    assert!(!shown(&place).0);
    success(limiter(&place, &["approve", "--tenant", "default", "--node", "olga"]));
    place.run_until_idle();
    let (is_well, told) = shown(&place);
    assert!(is_well && told.ends_with("\nNo enforcer pauses.\n"), "{told}");
    let resumed: Vec<_> = pauses(&place).split_off(paused.len());
    assert_eq!(resumed.len(), paused.len());
    for (outcome, tenant, reason) in resumed {
        assert_eq!((&*outcome, &*tenant), ("resumed", "default"));
        assert!(reason.ends_with(&format!(" is over: {why}")), "{reason}");
    }
}
