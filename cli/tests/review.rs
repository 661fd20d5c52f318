//! What a person is asked, what analysts answer, and what comes of it: the queue as they use it.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::{Place, eventually, get, json_lines, serving, success, text, traffic, weir};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Analysts with keys, and one person who is none.
struct Analysts<'p> {
    place: &'p Place,
}

impl<'p> Analysts<'p> {
    fn new(place: &'p Place) -> Self {
        let analysts = Self { place };
        let mut list = String::new();
        for (name, role) in [("anna", "analyst"), ("ben", "analyst"), ("olga", "operations")] {
            let mut make = weir(&["keys", "person"]);
            make.arg(analysts.key(name));
            list += &format!("{name} {role} {}\n", text(&success(make).stdout).trim());
        }
        let file = place.directory.path().join("persons");
        std::fs::write(&file, list).unwrap();
        let mut publish = weir(&["kill-switch", "persons", "publish"]);
        publish.arg(&file).arg("--data-dir").arg(&place.data);
        publish.arg("--keys-dir").arg(place.keys_of("operator"));
        success(publish);
        analysts
    }

    fn key(&self, name: &str) -> PathBuf {
        self.place.directory.path().join(format!("{name}.key"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = weir(&["review"]);
        command.args(arguments).arg("--data-dir").arg(&self.place.data);
        command
    }

    /// Says something as this person, with the key of that one.
    fn say_with(&self, name: &str, key: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.args(["--as", name, "--key"]).arg(self.key(key));
        command.arg("--keys-dir").arg(self.place.keys_of("auditor")).output().unwrap()
    }

    fn say(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.say_with(name, name, arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    fn refused(&self, name: &str, key: &str, arguments: &[&str]) -> String {
        let output = self.say_with(name, key, arguments);
        assert!(!output.status.success(), "{}", text(&output.stdout));
        text(&output.stderr).trim().to_owned()
    }

    /// `weir review list`.
    fn listed(&self, flags: &[&str]) -> Vec<Value> {
        let mut command = self.command(&["list", "--format", "json"]);
        command.args(flags);
        serde_json::from_slice(&success(command).stdout).unwrap()
    }
}

/// A run that acts on the recorded traffic, however long ago it was.
fn acting(place: &Place) -> Command {
    let mut run = place.run();
    run.args(["--act-age-max-ms", "31536000000"]);
    run
}

fn until_idle(place: &Place) {
    let mut run = acting(place);
    run.arg("--until-idle");
    success(run);
}

fn decide<'a>(id: &'a str, decision: &'a str) -> [&'a str; 5] {
    ["decide", id, decision, "--reason", "ticket 12"]
}

fn of(items: &[Value], key: &str) -> Vec<String> {
    items.iter().map(|item| item[key].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn analysts_decide_what_is_refuted_is_undone_and_decisions_measure_the_policy() {
    let place = Place::new();
    let analysts = Analysts::new(&place);
    place.set_posture("enforce");
    std::fs::write(&place.feed, traffic(3, 60)).unwrap();
    until_idle(&place);
    let items = analysts.listed(&[]);
    assert_eq!(items.len(), 12, "one for each account of the campaign, whatever was done about it");
    for item in &items {
        assert_eq!(item["due_ms"].as_i64().unwrap() - item["opened_ms"].as_i64().unwrap(), 86_400_000);
        assert_eq!((&item["overdue"], &item["assignee"]), (&false.into(), &Value::Null));
    }
    // The file that analysts watch names the same items.
    let told = of(&json_lines(&place.output.join("analyst_queue.jsonl")), "action_id");
    let ids = of(&items, "item");
    assert!(ids.iter().all(|id| told.contains(id)), "{ids:?} in {told:?}");

    let [refuted, confirmed, unclear] = [&*ids[0], &*ids[1], &*ids[2]];
    analysts.say("anna", &["assign", refuted, "ben"]);
    analysts.say("ben", &["note", refuted, "a school, says their contract"]);
    let said = analysts.say("ben", &decide(refuted, "refuted"));
    assert!(said.contains("is undone then. `weir protect add account/"), "{said}");
    analysts.say("anna", &decide(confirmed, "confirmed"));
    analysts.say("anna", &decide(unclear, "unclear"));
    let nobodys = "0".repeat(32);
    let mut refusals = Vec::new();
    for (name, key, said) in [
        ("ben", "anna", decide(confirmed, "refuted")),
        ("olga", "olga", decide(confirmed, "refuted")),
        ("mallory", "anna", decide(confirmed, "refuted")),
        ("anna", "anna", decide(&nobodys, "refuted")),
    ] {
        refusals.push(analysts.refused(name, key, &said));
    }
    assert_eq!(
        refusals[..3],
        [
            "weir: forged: this is not what ben signed",
            "weir: wrong role: olga does not have the role analyst",
            "weir: unknown person: mallory is not among the persons",
        ]
    );
    assert!(refusals[3].starts_with(&format!("weir: {nobodys} is not in the queue: ")), "{}", refusals[3]);

    until_idle(&place);
    assert_eq!(analysts.listed(&[]).len(), 9);
    let all = analysts.listed(&["--all"]);
    let item = |id: &str| all.iter().find(|item| item["item"] == id).unwrap();
    assert_eq!(item(refuted)["decided"]["decision"], "refuted");
    assert_eq!(
        (&item(refuted)["assignee"], &item(refuted)["notes"][0]["by"]),
        (&"ben".into(), &"ben".into())
    );
    assert_eq!(analysts.listed(&["--all", "--of", "ben"]).len(), 1);
    let shown = text(&success(analysts.command(&["show", refuted])).stdout);
    assert!(shown.contains("ben: a school, says their contract\n"), "{shown}");
    assert!(shown.contains("ben: refuted: ticket 12\n"), "{shown}");
    let again = analysts.refused("anna", "anna", &decide(refuted, "refuted"));
    assert_eq!(again, "weir: decided already: refuted, by ben");

    // It stands in the chain before what it undid, and only that account's effects are undone.
    let audit = json_lines(&place.output.join("audit_log.jsonl"));
    let undone: Vec<&Value> = audit.iter().filter(|line| line["reason"] == "an analyst refuted it").collect();
    let accounts: Vec<&Value> = undone.iter().map(|line| &line["account"]).collect();
    assert!(!accounts.is_empty() && accounts.iter().all(|account| **account == item(refuted)["account"]));
    let place_of = |outcome: &str| audit.iter().position(|line| line["outcome"] == outcome).unwrap();
    assert!(place_of("review_refuted") < place_of("reverted"));
    let mut verify = weir(&["audit", "verify", "--data-dir"]);
    verify.arg(&place.data).arg("--keys-dir").arg(place.keys_of("auditor"));
    success(verify);

    // Decisions are labels, and nothing is counted of those on whom nobody has decided.
    let labels = place.directory.path().join("labels.jsonl");
    let write = analysts.command(&["labels", "--out", labels.to_str().unwrap()]);
    assert!(text(&success(write).stdout).starts_with("2 labels in "));
    let mut evaluate = weir(&["evaluate", "--format", "json", "--data-dir"]);
    evaluate.arg(&place.data).arg("--labels").arg(&labels);
    let report: Value = serde_json::from_slice(&success(evaluate).stdout).unwrap();
    let counts = ["tp", "fp", "fn", "tn"].map(|key| report["accounts"][key].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 0, 0]);
    let mut tune = weir(&["tune", "--tries", "20", "--format", "json", "--data-dir"]);
    tune.arg(&place.data).arg("--labels").arg(&labels).arg("--out");
    let tuned = tune.arg(place.directory.path().join("candidate.toml")).output().unwrap();
    assert!(matches!(tuned.status.code(), Some(0 | 3)), "{}", text(&tuned.stderr));
    let report: Value = serde_json::from_slice(&tuned.stdout).unwrap();
    assert_eq!(report["events"].as_u64(), Some(traffic(3, 60).lines().count() as u64));
    std::fs::write(&labels, "{\"account\":\"campaign-1\"}\n").unwrap();
    let mut evaluate = weir(&["evaluate", "--data-dir"]);
    let refused = evaluate.arg(&place.data).arg("--labels").arg(&labels).output().unwrap();
    let refused = text(&refused.stderr);
    assert!(refused.contains("line 1 is no label as `weir review labels` writes it"), "{refused}");
}

#[test]
fn an_analyst_decides_while_a_run_has_the_log_and_a_kill_loses_nothing_of_it() {
    let place = Place::new();
    let analysts = Analysts::new(&place);
    place.set_posture("enforce");
    std::fs::write(&place.feed, traffic(3, 60)).unwrap();
    let (run, metrics) = serving(acting(&place));
    let audit = || json_lines(&place.output.join("audit_log.jsonl"));
    let is_done = |line: &Value| line["outcome"] == "done" && line["action"] == "SUSPEND";
    eventually("somebody is suspended", || audit().iter().any(is_done));
    let done = audit().into_iter().find(is_done).unwrap();
    let waiting = || -> u64 {
        let served = get(&metrics, "/metrics");
        let of_partitions = served.lines().filter(|line| line.starts_with("weir_reviews_waiting{"));
        of_partitions.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    };
    eventually("every account of the campaign waits", || waiting() == 12);
    // The item of the account may have been opened by an earlier action than its suspension, and others may
    // have joined it.
    let of_account = || {
        let queue = json_lines(&place.output.join("analyst_queue.jsonl")).into_iter();
        queue.filter(|line| line["account"] == done["account"]).collect::<Vec<Value>>()
    };
    let id = of_account()[0]["action_id"].as_str().unwrap().to_owned();
    let refute = ["decide", &id, "refuted", "--reason", "a test account"];
    let unseen = analysts.refused("anna", "anna", &refute);
    assert!(unseen.starts_with("weir: another process has the log: give --seen "), "{unseen}");
    let undone =
        |line: &Value| line["reason"] == "an analyst refuted it" && line["account"] == done["account"];
    let mut seen = String::new();
    eventually("it is undone", || {
        let latest = of_account().last().unwrap()["verdict_id"].as_str().unwrap().to_owned();
        if latest != seen {
            let said = analysts.say("anna", &[&refute[..], &["--seen", &latest]].concat());
            let held = "Another process has the log: audit_log.jsonl says what becomes of it.\n";
            assert!(said.ends_with(held), "{said}");
            seen = latest;
        }
        audit().iter().any(undone)
    });
    run.kill();
    until_idle(&place);
    let all = analysts.listed(&["--all"]);
    let decided: Vec<&Value> = all.iter().filter(|item| !item["decided"].is_null()).collect();
    assert_eq!((all.len(), decided.len()), (12, 1));
    assert_eq!((&decided[0]["item"], &decided[0]["decided"]["by"]), (&id.as_str().into(), &"anna".into()));
    assert_eq!(audit().iter().filter(|line| line["outcome"] == "review_refuted").count(), 1);
}
