//! The kill switch as persons use it, and as every enforcer follows it.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::fleet::Fleet;
use common::{Place, Running, eventually, json_lines, metric, serving, success, text, traffic, weir};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};
use weir_enforcer::kill_switch::{PersonKey, Request, RequestKind};
use weir_schemas::wire::Wire;
use weir_schemas::{Control, ControlKind, Digest};
use weir_topology::kafka::{KafkaConfig, KafkaLog};
use weir_topology::log::{Commit, Log as _};
use weir_topology::record::Output as Record;
use weir_topology::topic::Topic;

const PARTITIONS: u32 = 4;

/// Persons with keys, and how they reach the log.
struct Persons<'p> {
    place: &'p Place,
    reach: Vec<String>,
}

impl<'p> Persons<'p> {
    /// Makes a key for each, and has the operator say who they are.
    fn new(place: &'p Place, reach: Vec<String>) -> Self {
        let persons = Self { place, reach };
        let mut list = String::from("# Who may ask and approve\n");
        for (name, roles) in
            [("olga", "operations"), ("sam", "security"), ("rita", "sre"), ("max", "security,operations,sre")]
        {
            let mut make = weir(&["keys", "person"]);
            make.arg(persons.key(name));
            let public = text(&success(make).stdout);
            list += &format!("{name} {roles} {}\n", public.trim());
        }
        let file = place.directory.path().join("persons");
        std::fs::write(&file, list).unwrap();
        let mut publish = persons.command(&["persons", "publish", file.to_str().unwrap()], "operator");
        assert!(publish.output().unwrap().status.success());
        persons
    }

    fn key(&self, name: &str) -> PathBuf {
        self.place.directory.path().join(format!("{name}.key"))
    }

    fn command(&self, arguments: &[&str], role: &str) -> Command {
        let mut command = weir(&["kill-switch"]);
        command.args(arguments).args(&self.reach).arg("--keys-dir").arg(self.place.keys_of(role));
        command
    }

    fn as_person(&self, name: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments, "auditor");
        command.args(["--as", name, "--key"]).arg(self.key(name)).output().unwrap()
    }

    /// Asks, and the request's id.
    fn ask(&self, name: &str, what: &str) -> String {
        let out = self.place.directory.path().join("request.json");
        let asked = self
            .as_person(name, &["request", what, "--reason", "ticket 4711", "--out", out.to_str().unwrap()]);
        assert!(asked.status.success(), "{}", text(&asked.stderr));
        let request: serde_json::Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
        request["request_id"].as_str().unwrap().to_owned()
    }

    /// What `weir kill-switch status` says, and whether it is on.
    fn status(&self) -> (String, bool) {
        let status = self.command(&["status"], "auditor").output().unwrap();
        (text(&status.stdout), !status.status.success())
    }
}

fn embedded(place: &Place) -> Vec<String> {
    vec!["--data-dir".into(), place.data.to_str().unwrap().into()]
}

fn is_on(metrics: &str, expected: u64) -> bool {
    (0..PARTITIONS).all(|partition| {
        let series = format!("weir_kill_switch_state{{stage=\"enforcer\",partition=\"{partition}\"}}");
        common::get(metrics, "/metrics").contains(&series) && metric(metrics, &series) == expected
    })
}

/// A run that acts on the recorded traffic, however long ago it was.
fn acting(place: &Place) -> (Running, String) {
    let mut run = place.run();
    run.args(["--act-age-max-ms", "31536000000"]);
    serving(run)
}

#[test]
fn a_shutdown_reaches_every_enforcer_while_they_run_survives_a_kill_and_one_person_ends_it() {
    let place = Place::new();
    let persons = Persons::new(&place, embedded(&place));
    place.set_posture("enforce");
    std::fs::write(&place.feed, traffic(3, 60)).unwrap();
    let (run, metrics) = acting(&place);
    eventually("somebody is acted on", || {
        json_lines(&place.output.join("audit_log.jsonl")).iter().any(|line| line["outcome"] == "done")
    });
    assert!(is_on(&metrics, 0));
    persons.ask("olga", "emergency_shutdown");
    // The run has the log: those who approve have the request from a file.
    let file = place.directory.path().join("request.json");
    for (name, role) in [("sam", "security"), ("rita", "sre")] {
        let approved = persons.as_person(name, &["approve", file.to_str().unwrap(), "--role", role]);
        assert!(approved.status.success(), "{}", text(&approved.stderr));
        assert!(text(&approved.stdout).contains("emergency_shutdown, asked for by olga: ticket 4711"));
    }
    eventually("every enforcer follows", || is_on(&metrics, 1));
    let later = traffic(3, 60).replace("campaign-", "another-").replace("\"id\":\"", "\"id\":\"x");
    let mut feed = std::fs::OpenOptions::new().append(true).open(&place.feed).unwrap();
    std::io::Write::write_all(&mut feed, later.as_bytes()).unwrap();
    let withheld = "weir_stage_events_total{stage=\"enforcer\",cause=\"withheld_by_kill_switch\"}";
    eventually("what is asked for is withheld", || metric(&metrics, withheld) > 0);
    run.kill();
    let (run, metrics) = acting(&place);
    eventually("it is on after a kill", || is_on(&metrics, 1));
    run.stop();

    let (status, on) = persons.status();
    assert!(on && status.starts_with("On: emergency_shutdown, request ks-"), "{status}");
    assert!(status.ends_with("4 of 4 enforcers follow.\n"), "{status}");
    let of_the_shutdown = |line: &serde_json::Value| {
        line["outcome"] == "reverted" && line["reason"].as_str().unwrap().starts_with("emergency_shutdown, ")
    };
    assert!(json_lines(&place.output.join("audit_log.jsonl")).iter().any(of_the_shutdown));

    persons.ask("olga", "restore_normal");
    let (run, metrics) = acting(&place);
    eventually("it is off", || is_on(&metrics, 0));
    run.stop();
    assert_eq!(persons.status(), ("Off: enforcers act as their posture has it.\n".into(), false));
    let mut verify = weir(&["audit", "verify", "--data-dir"]);
    verify.arg(&place.data).arg("--keys-dir").arg(place.keys_of("auditor"));
    success(verify);
}

#[test]
fn what_enforcers_would_refuse_is_told_before_it_is_said() {
    let place = Place::new();
    let persons = Persons::new(&place, embedded(&place));
    let refused = |output: Output| {
        assert!(!output.status.success(), "{}", text(&output.stdout));
        let told = text(&output.stderr);
        assert!(told.starts_with("weir: ") && told.lines().count() == 1, "{told}");
        told.trim_start_matches("weir: ").trim().to_owned()
    };
    let by_max = persons.ask("max", "emergency_shutdown");
    assert_eq!(
        refused(persons.as_person("max", &["approve", &by_max, "--role", "security"])),
        "self-approved: max asked for it, and another person must approve"
    );
    let by_olga = persons.ask("olga", "emergency_shutdown");
    assert!(persons.as_person("max", &["approve", &by_olga, "--role", "security"]).status.success());
    assert_eq!(
        refused(persons.as_person("max", &["approve", &by_olga, "--role", "sre"])),
        "one person: max has approved as security already, and each role must be another person"
    );
    assert_eq!(
        refused(persons.as_person("sam", &["approve", &by_olga, "--role", "sre"])),
        "wrong role: sam does not have the role sre"
    );
    assert_eq!(
        refused(persons.as_person("rita", &["approve", "ks-1-00000000", "--role", "sre"])),
        "ks-1-00000000 is not open: `weir kill-switch list`"
    );
    // Somebody else's name under one's own key.
    let mut forged = persons.command(&["request", "break_glass", "--reason", "x", "--as", "rita"], "auditor");
    let forged = forged.arg("--key").arg(persons.key("sam")).output().unwrap();
    assert_eq!(refused(forged), "forged: this is not what rita signed");
    let listed = text(&persons.command(&["list"], "auditor").output().unwrap().stdout);
    let waits: Vec<bool> = [(&by_max, "waits for security, sre: "), (&by_olga, "waits for sre: ")]
        .map(|(id, waits)| listed.lines().any(|line| line.starts_with(&**id) && line.contains(waits)))
        .to_vec();
    assert_eq!((waits, listed.lines().count()), (vec![true, true], 2), "{listed}");
    assert_eq!(persons.status().0, "Off: enforcers act as their posture has it.\n");
    // A key that others can read is nobody's.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(persons.key("rita"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let told = refused(persons.as_person("rita", &["request", "break_glass", "--reason", "x"]));
    assert!(told.contains("can be read by others"), "{told}");
}

#[test]
fn on_brokers_all_enforcers_follow_and_nobody_can_date_a_word_back() {
    let Some(fleet) = Fleet::new("kill-switch", PARTITIONS) else { return };
    let reach = ["--brokers", &fleet.brokers, "--kafka-prefix", &fleet.prefix].map(String::from).to_vec();
    let persons = Persons::new(&fleet.place, reach);
    let enforce = || {
        let mut enforce = fleet.with_keys(&["enforce", "--until-idle"]);
        enforce.arg("--output-dir").arg(&fleet.place.output);
        success(enforce);
    };
    // Signed by the right person, over since a minute, and dated back into its time by its writer.
    let hex = |file: PathBuf| std::fs::read_to_string(file).unwrap().trim().parse::<Digest>().unwrap().0;
    let root = hex(fleet.place.keys_of("auditor").join("sign.pub"));
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let created_ms = now_ms - 660_000;
    let key = PersonKey::new(&hex(persons.key("olga")));
    let old = Request::signed(RequestKind::EnableAuditOnly, "olga", "late", created_ms, [1; 4], &key, &root);
    let control = Control {
        name: old.record_name(),
        kind: ControlKind::KillSwitch,
        body: serde_json::to_string(&old).unwrap(),
        time_ms: created_ms,
        ..Control::default()
    };
    let mut config = KafkaConfig::new(&fleet.brokers);
    config.prefix.clone_from(&fleet.prefix);
    let log = KafkaLog::connect(config).unwrap();
    let record = Record::keyed(
        Topic::Control,
        control.name.clone().into_bytes(),
        Wire::new().to_bytes(&control),
        created_ms,
    )
    .with_header("weir-time-ms", created_ms.to_string());
    let commit = Commit { outputs: vec![record], positions: Vec::new() };
    log.writer("test").unwrap().commit(&commit).unwrap();
    enforce();
    assert_eq!(persons.status().0, "Off: enforcers act as their posture has it.\n");
    let refused: Vec<String> = json_lines(&fleet.place.output.join("audit_log.jsonl"))
        .iter()
        .filter(|line| line["outcome"] == "refused")
        .map(|line| line["reason"].as_str().unwrap().to_owned())
        .collect();
    assert!(refused.len() == PARTITIONS as usize, "{refused:?}");
    assert!(refused.iter().all(|reason| reason.starts_with("expired: request ks-")), "{refused:?}");

    let id = persons.ask("olga", "emergency_shutdown");
    for (name, role) in [("sam", "security"), ("rita", "sre")] {
        assert!(persons.as_person(name, &["approve", &id, "--role", role]).status.success());
    }
    assert!(persons.status().0.ends_with("0 of 4 enforcers follow.\n"));
    enforce();
    let (status, on) = persons.status();
    assert!(on && status.ends_with("4 of 4 enforcers follow.\n"), "{status}");
}
