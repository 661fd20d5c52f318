//! The early word, by the real binary: sent before the commit, heard beside the decision server, and
//! confirmed or let go by the log.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::early::{free_port, make_key, policy_that_finds_at_once};
use common::gateway::{answering, answering_with_metrics, ask, header, stands};
use common::{Place, Running, eventually, json_lines, metric, success, text, weir};
use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use weir_fastpath::{Alert, Judged, Keys, Tripwire, Word};
use weir_schemas::{AccountId, EventId, StandingStatus, VerdictId};

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A deployment with keys for alerts, and a port that nobody else has.
struct Early {
    place: Place,
    keys_file: PathBuf,
    port: u16,
}

impl Early {
    fn new() -> Self {
        let place = Place::new();
        let keys_file = place.directory.path().join("alerts/keys.toml");
        let early = Self { place, keys_file, port: 0 };
        early.make_key(&["test", "judge-2"]);
        Self { port: free_port(), ..early }
    }

    fn make_key(&self, senders: &[&str]) -> String {
        self.make_key_of("judge", senders)
    }

    fn make_key_of(&self, role: &str, senders: &[&str]) -> String {
        make_key(&self.keys_file, role, senders)
    }

    fn keys(&self) -> Keys {
        Keys::parse(&std::fs::read_to_string(&self.keys_file).unwrap()).unwrap()
    }

    /// One whose posture is to enforce, with a feed that is empty yet.
    fn that_enforces() -> Self {
        let early = Self::new();
        std::fs::write(&early.place.feed, "").unwrap();
        early.place.set_posture("enforce");
        early
    }

    /// Plants a token that collectors look for.
    fn plant(&self, name: &str) -> String {
        let directory = self.place.directory.path().join("indicators");
        let mut plant = weir(&["indicators", "plant", name, "--indicators-dir"]);
        plant.arg(&directory);
        text(&success(plant).stdout).trim().to_owned()
    }

    /// One that tells itself of tripwires, and slows down or not whoever meets one.
    fn run_that_trips(&self, mode: &str) -> Command {
        self.make_key_of("collector", &["test"]);
        let mut run = self.run_that_finds_at_once("off");
        run.args(["--fastpath-tripwires", "true", "--fastpath-tripwire-holds", mode, "--indicators-dir"]);
        run.arg(self.place.directory.path().join("indicators"));
        run
    }

    /// A customer asks this.
    fn asks(&self, id: &str, account: &str, prompt: &str) {
        self.appends(&common::line(id, now_ms() as u64, account, prompt));
    }

    fn appends(&self, lines: &str) {
        let mut feed = std::fs::OpenOptions::new().append(true).create(true).open(&self.place.feed).unwrap();
        feed.write_all(lines.as_bytes()).unwrap();
    }

    /// A line of now, as the example has them of an account, with these words before what it asks.
    fn recorded_of(&self, account: &str, words: &str) -> String {
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/access.jsonl");
        let lines: Vec<serde_json::Value> = json_lines(&recorded);
        let mut line = lines.into_iter().find(|line| line["account"] == account).unwrap();
        line["time"] = (now_ms() as f64 / 1e3).into();
        // A request began that much before its line: it shall not be one of before the token was planted.
        line["request_time"] = 0.into();
        let (before, after) = line["request_body"].as_str().unwrap().rsplit_once("\"content\":\"").unwrap();
        line["request_body"] = format!("{before}\"content\":\"{words} {after}").into();
        format!("{line}\n")
    }

    /// A run that listens on IPv4 and IPv6, and holds as `mode` says.
    fn run(&self, mode: &str) -> Command {
        let mut run = self.place.run();
        run.args(["--fastpath-listen", &format!("[::]:{}", self.port), "--fastpath-holds", mode]);
        run.arg("--fastpath-keys-file").arg(&self.keys_file);
        run
    }

    /// One that sends to itself, too.
    fn run_that_sends(&self, mode: &str) -> Command {
        let mut run = self.run(mode);
        run.args(["--fastpath-send-to", &format!("[::1]:{}", self.port)]);
        run
    }

    /// One that sends to itself, and says nothing of anybody below the score of alerts: whoever is found is
    /// found at once, with nothing in force from before.
    fn run_that_finds_at_once(&self, mode: &str) -> Command {
        let mut run = self.run_that_sends(mode);
        run.arg("--policy").arg(policy_that_finds_at_once(self.place.directory.path()));
        run
    }

    fn send(&self, alert: &Alert, key: u8) {
        self.send_to("::1", alert, key);
    }

    fn send_to(&self, host: &str, alert: &Alert, key: u8) {
        let any = if host.contains(':') { "[::]:0" } else { "127.0.0.1:0" };
        let socket = UdpSocket::bind(any).unwrap();
        let packet = alert.encode(self.keys().get(key).unwrap(), now_ms(), 7).unwrap();
        // As a sender does it: three times.
        for _ in 0..3 {
            socket.send_to(&packet, (host, self.port)).unwrap();
        }
    }

    /// What the journal of holds has: what happened, and why.
    fn journal(&self) -> Vec<serde_json::Value> {
        json_lines(&self.place.data.join("fastpath/holds.jsonl"))
    }
}

/// An alert of account `number`.
fn alert(number: u8, sequence: u32) -> Alert {
    Alert {
        node: "test".into(),
        event_ms: now_ms() - 100,
        sequence,
        boot_epoch: 1,
        event: EventId([number; 16]),
        account: AccountId([number; 16]),
        tenant: "default".into(),
        word: judged(number, 0.95),
    }
}

fn judged(number: u8, score: f64) -> Word {
    Word::Verdict(Judged {
        verdict: VerdictId([number; 16]),
        score,
        witnesses: 2,
        families: vec!["coverage".into(), "volume".into()],
        policy: Some("test".into()),
    })
}

fn stands_now(address: &str, number: u8) -> serde_json::Value {
    let (_, answer) = ask(address, &format!("/v1/accounts/{}", AccountId([number; 16])), "");
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

fn wait_until_ready(early: &Early, metrics: &str) {
    // Until the server has read what operators said, it holds nobody.
    let mut sequence = 1_000;
    eventually("the server holds", || {
        sequence += 1;
        early.send(&Alert { boot_epoch: 9, ..alert(200, sequence) }, 1);
        metric(metrics, "weir_fastpath_held ") == 1
    });
}

/// Sends one alert after another, each later than this one and of now, until its account is held.
fn send_until_held(what: &str, early: &Early, address: &str, mut alert: Alert) {
    eventually(what, || {
        (alert.sequence, alert.event_ms) = (alert.sequence + 1, now_ms() - 100);
        early.send(&alert, 1);
        stands_now(address, alert.account.0[0])["status"] == "rate_limited"
    });
}

fn holds(metrics: &str, kind: &str) -> u64 {
    metric(metrics, &format!("weir_fastpath_holds_total{{kind=\"{kind}\"}}"))
}

fn refused(metrics: &str, kind: &str) -> u64 {
    metric(metrics, &format!("weir_fastpath_datagrams_refused_total{{kind=\"{kind}\"}}"))
}

fn start(mut run: Command) -> (Running, String, String) {
    run.args(["--metrics-addr", "127.0.0.1:0"]);
    answering_with_metrics(run)
}

#[test]
fn a_campaigns_accounts_are_held_before_they_are_suspended_and_the_suspension_takes_the_holds_place() {
    let early = Early::new();
    early.place.feed_recorded_now();
    early.place.set_posture("enforce");
    let (run, _, metrics) = start(early.run_that_finds_at_once("hold"));
    eventually("whoever was held is suspended", || {
        let confirmed = metric(&metrics, "weir_fastpath_holds_let_go_total{kind=\"confirmed\"}");
        confirmed > 0 && metric(&metrics, "weir_fastpath_held ") == 0
    });
    let sent = metric(&metrics, "weir_fastpath_alerts_sent_total ");
    let believed = metric(&metrics, "weir_fastpath_alerts_believed_total ");
    assert!(sent > 0 && believed == sent, "{sent} {believed}");
    eventually("both copies are known for what they are", || refused(&metrics, "duplicate") == 2 * sent);
    run.stop();

    let journal = early.journal();
    let actions = early.place.lines_of("enforcement_actions.jsonl");
    let mut confirmed = 0;
    for end in journal.iter().filter(|line| line["why"] == "confirmed") {
        let held = journal.iter().find(|line| line["what"] == "held" && line["account"] == end["account"]);
        let held = held.unwrap();
        assert!(held["score"].as_f64().unwrap() >= 0.9, "{held}");
        assert_eq!((&held["sender"], &held["mode"]), (&"test".into(), &"hold".into()));
        let action = actions
            .iter()
            .find(|action| action["verdict_id"] == held["verdict_id"] && action["action"] == "SUSPEND");
        let taken_ms = |line: &serde_json::Value| line["taken_ms"].as_i64().unwrap();
        assert!(held["time_ms"].as_i64().unwrap() <= taken_ms(action.unwrap()), "{held} {action:?}");
        confirmed += 1;
    }
    assert!(confirmed > 0, "{journal:?}");
}

#[test]
fn whoever_is_held_and_is_not_acted_on_is_let_go() {
    let early = Early::new();
    early.place.feed_recorded_now();
    early.place.set_posture("enforce");
    let mut ring = weir(&["ring", "3", "off", "--data-dir"]);
    ring.arg(&early.place.data);
    success(ring);
    let (run, _, metrics) = start(early.run_that_finds_at_once("hold"));
    eventually("whoever was held is let go", || {
        let withheld = metric(&metrics, "weir_fastpath_holds_let_go_total{kind=\"withheld\"}");
        withheld > 0 && metric(&metrics, "weir_fastpath_held ") == 0
    });
    run.stop();
    let journal = early.journal();
    let of = |what: &str| journal.iter().filter(|line| line["what"] == what).count();
    assert_eq!(of("held"), of("let_go"), "{journal:?}");
}

#[test]
fn in_audit_posture_nobody_is_held_and_by_default_nobody_ever() {
    let early = Early::new();
    early.place.feed_recorded_now();
    let (run, _, metrics) = start(early.run_that_finds_at_once("hold"));
    eventually("alerts were believed", || holds(&metrics, "posture") > 0);
    assert_eq!((holds(&metrics, "held"), early.journal().len()), (0, 0));
    run.stop();

    let early = Early::new();
    early.place.feed_recorded_now();
    early.place.set_posture("enforce");
    let (run, _, metrics) = start(early.run_that_finds_at_once("off"));
    eventually("alerts were believed", || holds(&metrics, "off") > 0);
    assert_eq!((holds(&metrics, "held"), early.place.data.join("fastpath").exists()), (0, false));
    run.stop();
}

#[test]
fn a_held_account_is_slowed_down_and_told_that_it_is_provisional_until_its_time_is_over() {
    let early = Early::that_enforces();
    let mut run = early.run("hold");
    run.args(["--fastpath-hold-ms-max", "3000"]);
    let (run, address, metrics) = start(run);
    wait_until_ready(&early, &metrics);
    early.send(&alert(1, 1), 1);
    eventually("it is held", || stands_now(&address, 1)["status"] == "rate_limited");
    let told = stands_now(&address, 1);
    assert_eq!(told["verdict_id"], VerdictId([1; 16]).to_string());
    assert_eq!((&told["score"], &told["families"]), (&0.95.into(), &serde_json::json!(["provisional"])));
    assert_eq!((&told["action_id"], &told["passes"]), (&serde_json::Value::Null, &true.into()));
    let lasts_ms = told["until_ms"].as_i64().unwrap() - told["since_ms"].as_i64().unwrap();
    assert_eq!(lasts_ms, 3_000);
    assert_eq!(stands_now(&address, 2)["status"], "ok");
    // Over IPv4 to the same socket.
    early.send_to("127.0.0.1", &alert(3, 3), 1);
    eventually("it is held", || stands_now(&address, 3)["status"] == "rate_limited");
    eventually("its time is over", || stands_now(&address, 1)["status"] == "ok");
    eventually("that is written down", || {
        let journal = early.journal();
        let lines: Vec<_> =
            journal.iter().filter(|line| line["account"] == AccountId([1; 16]).to_string()).collect();
        lines.len() == 2 && lines[0]["what"] == "held" && lines[1]["why"] == "expired"
    });
    run.stop();
    let mode = early.place.data.join("fastpath/holds.jsonl").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_key_that_is_held_has_its_burst_and_is_told_when_to_come_back() {
    let early = Early::new();
    // The pseudonym of a key; on the log it stands well since long ago.
    let account = common::gateway::stands_as(
        &early.place,
        &early.place.keys_of("collector"),
        "sk-early",
        &weir_schemas::Standing { status: StandingStatus::Good, ..weir_schemas::Standing::default() },
    );
    std::fs::write(&early.place.feed, "").unwrap();
    early.place.set_posture("enforce");
    let mut run = early.run("hold");
    run.args(["--decide-limit-per-minute", "2", "--decide-limit-burst", "2"]);
    let (run, address, metrics) = start(run);
    wait_until_ready(&early, &metrics);
    let key = "x-api-key: sk-early\r\n";
    assert_eq!(header(&ask(&address, "/auth", key).1, "x-weir-status"), Some("ok"));
    early.send(&Alert { account, ..alert(1, 1) }, 1);
    let path = format!("/v1/accounts/{account}");
    eventually("it is held", || header(&ask(&address, &path, "").1, "x-weir-status") == Some("rate_limited"));
    let answers: Vec<(u16, String)> = (0..3).map(|_| ask(&address, "/auth", key)).collect();
    assert_eq!(answers.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 200, 429]);
    let retry_after: u64 = header(&answers[2].1, "retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&retry_after), "{}", answers[2].1);
    assert_eq!(header(&answers[2].1, "x-weir-families"), Some("provisional"));
    assert_eq!(ask(&address, "/auth", "x-api-key: sk-other\r\n").0, 200);
    run.stop();
}

#[test]
fn who_is_protected_is_never_held_nor_anybody_on_a_word_that_is_not_to_be_believed() {
    let early = Early::that_enforces();
    let mut protect = weir(&["protect", "add", &format!("account/{}", AccountId([1; 16])), "--data-dir"]);
    protect.arg(&early.place.data);
    success(protect);
    let (run, address, metrics) = start(early.run("hold"));
    wait_until_ready(&early, &metrics);
    early.send(&alert(1, 1), 1);
    eventually("it is spared", || holds(&metrics, "protected") == 1);

    let other = Early::new();
    let forged = Early { port: early.port, ..other };
    forged.send(&alert(2, 2), 1);
    eventually("it is forged", || refused(&metrics, "invalid_hmac") == 3);
    early.send(&Alert { node: "judge-9".into(), ..alert(3, 3) }, 1);
    eventually("nobody named the node", || refused(&metrics, "invalid_sender") == 3);
    early.send(&Alert { word: judged(4, 0.89), ..alert(4, 4) }, 1);
    eventually("it is not sure enough", || holds(&metrics, "below_score") == 1);
    for number in 1..=4 {
        assert_eq!(stands_now(&address, number)["status"], "ok", "{number}");
    }
    run.stop();
}

#[test]
fn to_observe_writes_down_who_would_be_held_and_slows_nobody_down() {
    let early = Early::that_enforces();
    let mut run = early.run("observe");
    run.args(["--fastpath-holds-max", "2"]);
    let (run, address, metrics) = start(run);
    wait_until_ready(&early, &metrics);
    (1..=3).for_each(|number| early.send(&alert(number, number.into()), 1));
    eventually("one more would be too many", || holds(&metrics, "full") == 2);
    assert_eq!((holds(&metrics, "observed"), holds(&metrics, "held")), (2, 0));
    assert_eq!(stands_now(&address, 1)["status"], "ok");
    run.stop();
    let journal = early.journal();
    assert!(journal.iter().all(|line| line["mode"] == "observe"), "{journal:?}");
    assert_eq!(journal.iter().filter(|line| line["why"] == "stopped").count(), 2, "{journal:?}");
}

#[test]
fn a_key_is_replaced_while_both_ends_run_and_a_file_that_is_of_no_use_changes_nothing() {
    let early = Early::that_enforces();
    let (run, address, metrics) = start(early.run("hold"));
    wait_until_ready(&early, &metrics);
    assert!(early.make_key(&["test", "judge-2"]).contains("Made key 2"));
    assert!(early.make_key_of("collector", &["test"]).contains("Made key 3"), "of another role");
    eventually("both keys are in force", || metric(&metrics, "weir_fastpath_keys ") == 3);
    early.send(&alert(1, 1), 1);
    early.send(&alert(2, 2), 2);
    for number in [1, 2] {
        eventually("both are believed", || stands_now(&address, number)["status"] == "rate_limited");
    }
    let good = std::fs::read_to_string(&early.keys_file).unwrap();
    std::fs::write(&early.keys_file, good.replace("senders", "sender")).unwrap();
    eventually("it is refused", || metric(&metrics, "weir_fastpath_keys_refused ") == 1);
    std::fs::write(&early.keys_file, &good).unwrap();
    early.send(&Alert { node: "judge-2".into(), ..alert(3, 3) }, 2);
    eventually("the keys of before are in force", || stands_now(&address, 3)["status"] == "rate_limited");
    eventually("it is of use again", || metric(&metrics, "weir_fastpath_keys_refused ") == 0);
    run.stop();
}

#[test]
fn a_server_that_is_killed_holds_nobody_when_it_is_back_and_hears_alerts_again() {
    let early = Early::that_enforces();
    let (run, address, metrics) = start(early.run("hold"));
    wait_until_ready(&early, &metrics);
    early.send(&alert(1, 1), 1);
    eventually("it is held", || stands_now(&address, 1)["status"] == "rate_limited");
    run.kill();
    let (run, address, metrics) = start(early.run("hold"));
    wait_until_ready(&early, &metrics);
    assert_eq!(stands_now(&address, 1)["status"], "ok");
    early.send(&alert(2, 2), 1);
    eventually("it is held", || stands_now(&address, 2)["status"] == "rate_limited");
    run.stop();
}

#[test]
fn whom_an_operator_gives_access_back_is_let_go_and_not_held_on_what_was_told_before() {
    let early = Early::that_enforces();
    let (run, address, metrics) = start(early.run("hold"));
    wait_until_ready(&early, &metrics);
    let before = alert(1, 1);
    (1..=2).for_each(|number| early.send(&alert(number, number.into()), 1));
    for number in [1, 2] {
        eventually("it is held", || stands_now(&address, number)["status"] == "rate_limited");
    }
    let mut reinstate = weir(&["reinstate", &format!("account/{}", before.account), "--data-dir"]);
    reinstate.arg(&early.place.data);
    success(reinstate);
    eventually("it is let go", || stands_now(&address, 1)["status"] == "ok");
    assert_eq!(metric(&metrics, "weir_fastpath_holds_let_go_total{kind=\"reinstated\"}"), 1);
    assert_eq!(stands_now(&address, 2)["status"], "rate_limited", "nobody gave it access back");
    // Another process of the judge was slower; and its datagram is news.
    early.send(&Alert { boot_epoch: 2, ..before.clone() }, 1);
    eventually("it is spared", || holds(&metrics, "reinstated") == 1);
    assert_eq!(stands_now(&address, 1)["status"], "ok");
    send_until_held("what is told of it since holds it", &early, &address, alert(1, 2_000));
    run.stop();
    let journal = early.journal();
    let account = before.account.to_string();
    let ends = journal.iter().filter(|line| line["account"] == account.as_str() && line["what"] == "let_go");
    assert_eq!(ends.map(|line| line["why"].clone()).collect::<Vec<_>>(), ["reinstated", "stopped"]);
}

/// Tells of a tripwire again and again, until the server has read what operators said, and does about it what
/// it is there for.
fn wait_until_tripwires_are_heeded(early: &Early, metrics: &str, kind: &str) {
    let mut sequence = 1_000;
    eventually("the server heeds tripwires", || {
        sequence += 1;
        let word = Word::Tripwire(Tripwire::Canary);
        early.send(&Alert { boot_epoch: 9, word, ..alert(200, sequence) }, 2);
        tripwire_holds(metrics, kind) > 0
    });
}

fn tripwire_holds(metrics: &str, kind: &str) -> u64 {
    metric(metrics, &format!("weir_fastpath_tripwire_holds_total{{kind=\"{kind}\"}}"))
}

/// What a gateway is told of a key: how it stands, and on what that rests.
fn standing_of_key(address: &str, key: &str) -> (String, String) {
    let (_, answer) = ask(address, "/auth", &format!("x-api-key: {key}\r\n"));
    let of = |name: &str| header(&answer, name).unwrap_or_default().to_owned();
    (of("x-weir-status"), of("x-weir-families"))
}

#[test]
fn whoever_asks_with_a_planted_token_is_slowed_down_at_once_and_let_go_by_the_logs_silence_and_not_again() {
    let early = Early::that_enforces();
    let token = early.plant("handbook");
    let mut run = early.run_that_trips("hold");
    run.args(["--fastpath-hold-ms-max", "3000"]);
    let (run, address, metrics) = start(run);
    wait_until_tripwires_are_heeded(&early, &metrics, "held");

    early.asks("a1", "sk-copies", &format!("Summarise this: «{token}»."));
    early.asks("b1", "sk-honest", "What is the capital of France?");
    let held = ("rate_limited".to_owned(), "provisional,tripwire".to_owned());
    eventually("it is held", || standing_of_key(&address, "sk-copies") == held);
    assert_eq!(standing_of_key(&address, "sk-honest").0, "ok");
    eventually("its time is over", || standing_of_key(&address, "sk-copies").0 == "ok");
    // Again, and later than a collector is silent about an account.
    let rested = tripwire_holds(&metrics, "rests");
    let mut number = 1;
    eventually("it is told of once more", || {
        number += 1;
        early.asks(&format!("a{number}"), "sk-copies", &token);
        std::thread::sleep(std::time::Duration::from_millis(500));
        tripwire_holds(&metrics, "rests") > rested
    });
    assert_eq!(standing_of_key(&address, "sk-copies").0, "ok", "once a day");
    let unsent =
        |why: &str| metric(&metrics, &format!("weir_fastpath_alerts_unsent_total{{kind=\"{why}\"}}"));
    assert!(unsent("too_soon") > 0);
    assert!(metric(&metrics, "weir_fastpath_tripwires_sent_total ") > 0);
    assert_eq!(holds(&metrics, "held"), 0, "no verdict was told");
    run.stop();

    // The journal has who was held on what, that it ended, and nothing of the token.
    let journal = early.journal();
    assert!(!journal.is_empty());
    for line in journal.iter().filter(|line| line["what"] == "held") {
        assert_eq!((&line["tripwire"], &line["sender"]), (&"canary".into(), &"test".into()));
        assert!(line.get("score").is_none() && line.get("verdict_id").is_none(), "{line}");
        let ends = journal.iter().find(|end| end["what"] == "let_go" && end["account"] == line["account"]);
        assert!(["expired", "stopped"].contains(&ends.unwrap()["why"].as_str().unwrap()), "{ends:?}");
    }
    assert!(!format!("{journal:?}").contains(&token));
}

#[test]
fn a_server_that_starts_anew_holds_nobody_on_a_tripwire_again_whom_it_held_and_whom_it_observed_it_does() {
    let early = Early::that_enforces();
    early.make_key_of("collector", &["test"]);
    let tripping_to = |mode| {
        let mut run = early.run("off");
        run.args(["--fastpath-tripwire-holds", mode]);
        start(run)
    };
    let tripping = || tripping_to("hold");
    let trip = |number: u8, sequence: u32| {
        let word = Word::Tripwire(Tripwire::Canary);
        early.send(&Alert { word, ..alert(number, sequence) }, 2);
    };
    let (run, _, metrics) = tripping_to("observe");
    wait_until_tripwires_are_heeded(&early, &metrics, "observed");
    let observed = tripwire_holds(&metrics, "observed");
    trip(1, 1);
    eventually("it is observed", || tripwire_holds(&metrics, "observed") > observed);
    run.stop();

    let (run, address, metrics) = tripping();
    wait_until_tripwires_are_heeded(&early, &metrics, "held");
    trip(1, 1);
    eventually("it is held", || stands_now(&address, 1)["status"] == "rate_limited");
    run.kill();
    // Half of a note is at its end, as a machine leaves it there that loses its power.
    let notes = early.place.data.join("fastpath/tripwire-rests");
    let mut file = std::fs::OpenOptions::new().append(true).open(&notes).unwrap();
    file.write_all(&[7; 11]).unwrap();

    let (run, address, metrics) = tripping();
    let mut sequence = 100;
    eventually("it hears, and spares whom it held", || {
        sequence += 1;
        trip(1, sequence);
        tripwire_holds(&metrics, "rests") > 0
    });
    assert_eq!(stands_now(&address, 1)["status"], "ok");
    trip(2, 10_000);
    eventually("another one is held", || stands_now(&address, 2)["status"] == "rate_limited");
    run.stop();
    assert_eq!(notes.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let (run, _, metrics) = tripping();
    eventually("what came after the half note is known", || {
        sequence += 1;
        trip(2, sequence);
        tripwire_holds(&metrics, "rests") > 0
    });
    run.stop();
    let account = AccountId([2; 16]).to_string();
    let journal = early.journal();
    let held = journal.iter().filter(|line| line["what"] == "held" && line["account"] == account.as_str());
    assert_eq!(held.count(), 1, "{journal:?}");
}

#[test]
fn a_server_that_cannot_know_whom_it_held_on_a_tripwire_starts_and_holds_nobody_on_one() {
    for (mode, failures, kind) in [("off", 0, "off"), ("observe", 1, "observed"), ("hold", 1, "unwritten")] {
        let early = Early::that_enforces();
        early.make_key_of("collector", &["test"]);
        // No file, and no place for one.
        let notes = early.place.data.join("fastpath/tripwire-rests");
        std::fs::create_dir_all(&notes).unwrap();
        let mut run = early.run("hold");
        run.args(["--fastpath-tripwire-holds", mode]);
        let (run, address, metrics) = start(run);
        wait_until_tripwires_are_heeded(&early, &metrics, kind);
        let word = Word::Tripwire(Tripwire::Canary);
        let heeded = tripwire_holds(&metrics, kind);
        early.send(&Alert { word, ..alert(1, 1) }, 2);
        eventually("its alert is heard", || tripwire_holds(&metrics, kind) > heeded);
        assert_eq!(tripwire_holds(&metrics, "held"), 0, "{mode}");
        assert_eq!(stands_now(&address, 1)["status"], "ok", "{mode}");
        assert_eq!(metric(&metrics, "weir_fastpath_journal_failures_total "), failures, "{mode}");
        send_until_held("verdicts hold as ever", &early, &address, alert(2, 1));
        run.stop();
        let is_of_tripwire =
            |line: &serde_json::Value| line["mode"] == "hold" && line.get("tripwire").is_some();
        assert!(!early.journal().iter().any(is_of_tripwire), "{mode}");
    }
}

#[test]
fn a_verdict_confirms_the_hold_of_whoever_met_a_tripwire() {
    let early = Early::that_enforces();
    let token = early.plant("handbook");
    let mut run = early.run_that_trips("hold");
    // All of it is sensed before any of it is judged.
    run.args(["--collector-batch-lines", "100000"]);
    let (run, _, metrics) = start(run);
    wait_until_tripwires_are_heeded(&early, &metrics, "held");
    // Four accounts of a campaign that the judge finds ask with the token first, and are held for that.
    let accounts = (1..=4).map(|number| format!("sk-example-mirror-0{number}"));
    let asked: Vec<String> = accounts.map(|account| early.recorded_of(&account, &token)).collect();
    early.appends(&asked.concat());
    eventually("they are held", || tripwire_holds(&metrics, "held") > 1);
    early.place.feed_recorded_now();
    eventually("what was found takes a hold's place", || {
        metric(&metrics, "weir_fastpath_holds_let_go_total{kind=\"confirmed\"}") > 0
    });
    run.stop();
    let journal = early.journal();
    let actions = early.place.lines_of("enforcement_actions.jsonl");
    let end = journal.iter().find(|line| line["why"] == "confirmed").unwrap();
    let held =
        journal.iter().find(|line| line["what"] == "held" && line["account"] == end["account"]).unwrap();
    assert_eq!(held["tripwire"], "canary");
    let account = held["account"].as_str().unwrap();
    let is_suspended =
        |action: &serde_json::Value| action["action"] == "SUSPEND" && action.to_string().contains(account);
    assert!(actions.iter().any(is_suspended), "{end} {actions:?}");
}

#[test]
fn tripwires_hold_nobody_by_default_and_to_observe_slows_nobody_down() {
    for (mode, kind) in [("off", "off"), ("observe", "observed")] {
        let early = Early::that_enforces();
        let token = early.plant("handbook");
        let (run, address, metrics) = start(early.run_that_trips(mode));
        wait_until_tripwires_are_heeded(&early, &metrics, kind);
        early.asks("a1", "sk-copies", &token);
        eventually("it is told of", || tripwire_holds(&metrics, kind) > 1);
        assert_eq!(standing_of_key(&address, "sk-copies").0, "ok", "{mode}");
        run.stop();
        assert_eq!(early.place.data.join("fastpath").exists(), mode != "off");
    }
}

#[test]
fn a_collectors_key_has_nobody_held_on_a_verdict_and_a_judges_key_nobody_on_a_tripwire() {
    let early = Early::that_enforces();
    early.make_key_of("collector", &["test"]);
    let mut run = early.run("hold");
    run.args(["--fastpath-tripwire-holds", "hold"]);
    let (run, address, metrics) = start(run);
    wait_until_ready(&early, &metrics);
    let tripped =
        |number, sequence| Alert { word: Word::Tripwire(Tripwire::Indicator), ..alert(number, sequence) };
    early.send(&alert(1, 1), 2);
    early.send(&tripped(2, 2), 1);
    eventually("neither may say that", || refused(&metrics, "invalid_role") == 6);
    early.send(&tripped(3, 3), 2);
    eventually("it is held", || stands_now(&address, 3)["status"] == "rate_limited");
    let told = stands_now(&address, 3);
    assert_eq!((&told["score"], &told["verdict_id"]), (&0.0.into(), &serde_json::Value::Null));
    assert_eq!(told["families"], serde_json::json!(["provisional", "tripwire"]));
    for number in [1, 2] {
        assert_eq!(stands_now(&address, number)["status"], "ok", "{number}");
    }
    early.send(&alert(3, 4), 1);
    eventually("a verdict takes its place", || stands_now(&address, 3)["score"] == 0.95);
    assert_eq!(metric(&metrics, "weir_fastpath_holds_let_go_total{kind=\"outranked\"}"), 1);
    run.stop();
}

/// A journal on a disk that stands still when it is told to: a pipe that somebody reads, or nobody.
struct SlowDisk {
    pipe: std::fs::File,
    is_slow: Arc<Mutex<bool>>,
}

impl SlowDisk {
    fn beneath(journal: &Path) -> Self {
        std::fs::create_dir_all(journal.parent().unwrap()).unwrap();
        assert!(Command::new("mkfifo").arg(journal).status().unwrap().success());
        // Whoever opens a pipe to read and write waits for nobody.
        let pipe = std::fs::OpenOptions::new().read(true).write(true).open(journal).unwrap();
        rustix::io::ioctl_fionbio(&pipe, true).unwrap();
        let is_slow = Arc::new(Mutex::new(false));
        let (reader, stands_still) = (pipe.try_clone().unwrap(), is_slow.clone());
        std::thread::spawn(move || {
            while Arc::strong_count(&stands_still) > 1 {
                let is_slow = stands_still.lock().unwrap();
                while !*is_slow && matches!((&reader).read(&mut [0; 4_096]), Ok(1..)) {}
                drop(is_slow);
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        Self { pipe, is_slow }
    }

    /// Takes nothing any more.
    fn stands_still(&self) {
        let mut is_slow = self.is_slow.lock().unwrap();
        *is_slow = true;
        // Not a byte.
        for bytes in [512, 1] {
            while (&self.pipe).write(&vec![b'\n'; bytes]).is_ok() {}
        }
    }

    fn goes_on(&self) {
        *self.is_slow.lock().unwrap() = false;
    }
}

#[test]
fn a_disk_that_stands_still_deafens_the_listener_and_that_is_counted_and_told_and_over_when_it_goes_on() {
    let early = Early::that_enforces();
    let disk = SlowDisk::beneath(&early.place.data.join("fastpath/holds.jsonl"));
    let (run, address, metrics) = start(early.run("hold"));
    wait_until_ready(&early, &metrics);
    let lost = |metrics: &str| metric(metrics, "weir_fastpath_datagrams_lost_total ");
    let stalls = |metrics: &str| metric(metrics, "weir_fastpath_journal_stalls_total ");
    assert_eq!((lost(&metrics), stalls(&metrics)), (0, 0));

    disk.stands_still();
    early.send(&alert(1, 1), 1);
    let socket = UdpSocket::bind("[::]:0").unwrap();
    eventually("what nobody reads is counted while the disk stands still", || {
        (0..5_000).for_each(|_| drop(socket.send_to(&[0; 1_000], ("::1", early.port))));
        lost(&metrics) > 0
    });
    assert_eq!(stands_now(&address, 1)["status"], "ok", "nobody is held of whom nothing is written down");

    disk.goes_on();
    // An alert that waited for the disk for more than a second holds nobody: what operators said since is
    // later than it by more than clocks may differ. The next one does.
    send_until_held("it is held", &early, &address, alert(1, 1));
    eventually("the stall is counted", || stalls(&metrics) > 0);
    let of_another = Alert { boot_epoch: 2, ..alert(2, 2_000) };
    send_until_held("alerts are heard again", &early, &address, of_another);
    run.stop();
}

#[test]
fn half_of_a_configuration_is_refused_with_what_to_do() {
    let early = Early::new();
    std::fs::write(&early.place.feed, "").unwrap();
    stands(&early.place, &early.place.keys_of("collector"), "sk-any", StandingStatus::Good);
    let refusal = |arguments: &[&str]| {
        let mut run = early.place.run();
        run.args(arguments).arg("--until-idle");
        let output = run.output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        text(&output.stderr)
    };
    let keys = early.keys_file.to_str().unwrap();
    let decide = ["--decide-addr", "127.0.0.1:0"];
    let send = refusal(&["--fastpath-send-to", "localhost:1"]);
    assert!(send.contains("fastpath.keys_file is not"), "{send}");
    let port = refusal(&["--fastpath-send-to", "localhost", "--fastpath-keys-file", keys]);
    assert!(port.contains("is not HOST:PORT"), "{port}");
    let listen = refusal(&["--fastpath-listen", "[::1]:0"]);
    assert!(listen.contains("decide.addr is not"), "{listen}");
    let unsigned = refusal(&[&decide[..], &["--fastpath-listen", "[::1]:0"]].concat());
    assert!(unsigned.contains("weir keys fastpath FILE"), "{unsigned}");
    let deaf = refusal(&[&decide[..], &["--fastpath-holds", "hold"]].concat());
    assert!(deaf.contains("fastpath.listen is not set"), "{deaf}");
    let deaf = refusal(&[&decide[..], &["--fastpath-tripwire-holds", "observe"]].concat());
    assert!(deaf.contains("fastpath.tripwire_holds is observe, and fastpath.listen is not set"), "{deaf}");
    let nothing = refusal(&["--fastpath-tripwires", "true"]);
    assert!(nothing.contains("indicators_dir is not set"), "{nothing}");
    let nowhere = refusal(&["--fastpath-tripwires", "true", "--indicators-dir", "indicators"]);
    assert!(nowhere.contains("fastpath.send_to is not set"), "{nowhere}");
    std::fs::set_permissions(&early.keys_file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = refusal(&["--fastpath-send-to", "localhost:1", "--fastpath-keys-file", keys]);
    assert!(open.contains("fastpath.keys_file"), "{open}");
    let (run, _) = answering(early.place.run(), &[]);
    run.stop();
}
