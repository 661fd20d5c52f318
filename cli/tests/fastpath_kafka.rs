//! The early word between processes that have nothing in common but real Kafka and a port: from a processor
//! to a decision server, before the verdict is on the brokers.
//!
//! Runs where `WEIR_BROKERS` names a broker, as `cargo xtask test` does; each test has topics of its own.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::early::{free_port, make_key, policy_that_finds_at_once};
use common::fleet::Fleet;
use common::gateway::{answering_with_metrics, ask};
use common::{Running, eventually, get, json_lines, metric, serving, success};
use futures_executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use weir_fastpath::{Alert, Judged, Keys, Word};
use weir_schemas::{AccountId, EventId, VerdictId};

const PARTITIONS: u32 = 2;

/// A collector, a processor, an enforcer and a decision server, each a process.
struct Apart {
    fleet: Fleet,
    processor: Running,
    others: Vec<Running>,
    /// Where the decision server answers gateways, and where its metrics are.
    gateway: String,
    decide: String,
}

impl Apart {
    /// Whose posture is to enforce, and whose enforcer does as much as `ring` says of suspensions.
    fn new(name: &str, ring: &[&str]) -> Option<Self> {
        let fleet = Fleet::new(name, PARTITIONS)?;
        std::fs::write(&fleet.place.feed, "").unwrap();
        success(fleet.with_brokers(&["posture", "enforce"]));
        success(fleet.with_brokers(&[&["ring", "3"], ring].concat()));
        let keys = Self::keys_file(&fleet);
        make_key(&keys, "judge", &["judge-1", "test"]);
        let port = free_port();

        let mut decide = fleet.with_brokers(&["decide", "--fastpath-listen", &format!("[::]:{port}")]);
        decide.args([
            "--fastpath-holds",
            "hold",
            "--fastpath-hold-ms-max",
            "600000",
            "--metrics-addr",
            "127.0.0.1:0",
        ]);
        decide.arg("--fastpath-keys-file").arg(&keys).env("WEIR_DATA_DIR", &fleet.place.data);
        decide.arg("--keys-dir").arg(fleet.place.keys_of("collector"));
        let (decide, gateway, metrics) = answering_with_metrics(decide);
        let mut enforce = fleet.with_keys(&["enforce"]);
        enforce.arg("--output-dir").arg(&fleet.place.output);
        let mut collect = fleet.with_keys(&["collect", "--node", "test"]);
        collect.arg("--tail").arg(&fleet.place.feed);

        let mut process = fleet.processor();
        process.args(["--fastpath-sender", "judge-1", "--fastpath-send-to", &format!("localhost:{port}")]);
        process.arg("--fastpath-keys-file").arg(&keys);
        process.arg("--policy").arg(policy_that_finds_at_once(fleet.place.directory.path()));
        let (processor, judge) = serving(process);
        let others = vec![decide, Running::start(enforce), serving(collect).0];
        eventually("it judges", || get(&judge, "/health/ready").starts_with("HTTP/1.1 200"));
        let apart = Self { fleet, processor, others, gateway, decide: metrics };
        apart.wait_until_ready(port);
        Some(apart)
    }

    /// Until the decision server has read what operators said, it holds nobody: tells it of somebody until it
    /// does, to whom an operator gives access back.
    fn wait_until_ready(&self, port: u16) {
        let keys = Keys::parse(&std::fs::read_to_string(Self::keys_file(&self.fleet)).unwrap()).unwrap();
        let socket = UdpSocket::bind("[::]:0").unwrap();
        let now_ms = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let account = AccountId([200; 16]);
        let mut sequence = 0;
        eventually("the decision server holds", || {
            sequence += 1;
            let judged = Judged {
                verdict: VerdictId([200; 16]),
                score: 0.95,
                witnesses: 1,
                families: vec![],
                policy: None,
            };
            let alert = Alert {
                node: "test".into(),
                event_ms: now_ms(),
                sequence,
                boot_epoch: 1,
                event: EventId([200; 16]),
                account,
                tenant: "default".into(),
                word: Word::Verdict(judged),
            };
            let packet = alert.encode(keys.get(1).unwrap(), now_ms(), 7).unwrap();
            socket.send_to(&packet, ("::1", port)).unwrap();
            metric(&self.decide, "weir_fastpath_held ") == 1
        });
        success(self.fleet.with_brokers(&["reinstate", &format!("account/{account}")]));
        eventually("it lets go", || metric(&self.decide, "weir_fastpath_held ") == 0);
        assert_eq!(self.let_go("reinstated"), 1);
    }

    fn keys_file(fleet: &Fleet) -> PathBuf {
        fleet.place.directory.path().join("alerts/keys.toml")
    }

    /// Has the brokers take no verdict, whatever it says. Marks of transactions are smaller.
    fn take_no_verdicts(&self) {
        self.take_verdicts_of("200");
    }

    /// Has them take verdicts again, and the topic as it is made.
    fn take_verdicts(&self) {
        self.take_verdicts_of("1048588");
        let partitions = PARTITIONS.to_string();
        let words = ["topology", "apply", "--partitions", &partitions, "--kafka-replication", "1"];
        success(self.fleet.with_brokers(&words));
    }

    fn take_verdicts_of(&self, bytes_max: &str) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.fleet.brokers);
        let admin: AdminClient<_> = config.create().unwrap();
        let topic = format!("{}weir.verdicts", self.fleet.prefix);
        let limit = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", bytes_max);
        let altered = block_on(admin.alter_configs([&limit], &AdminOptions::new())).unwrap();
        altered.into_iter().for_each(|topic| drop(topic.unwrap()));
    }

    fn verdicts(&self) -> u64 {
        self.fleet.replay(&["--as-recorded"]).number("verdicts")
    }

    fn journal(&self) -> Vec<Value> {
        json_lines(&self.fleet.place.data.join("fastpath/holds.jsonl"))
    }

    /// What the journal has of accounts that something happened to, by account.
    fn journal_of(&self, what: &str) -> BTreeMap<String, Value> {
        let of = self.journal().into_iter().filter(|line| line["what"] == what);
        of.map(|line| (line["account"].as_str().unwrap().to_owned(), line)).collect()
    }

    fn let_go(&self, why: &str) -> u64 {
        metric(&self.decide, &format!("weir_fastpath_holds_let_go_total{{kind=\"{why}\"}}"))
    }

    fn status_of(&self, account: &str) -> Value {
        let (_, answer) = ask(&self.gateway, &format!("/v1/accounts/{account}"), "");
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    }

    /// Feeds a campaign; whom of it the decision server holds.
    fn feed_until_held(&self) -> BTreeMap<String, Value> {
        self.fleet.place.feed_recorded_now();
        eventually("the campaign's accounts are held", || metric(&self.decide, "weir_fastpath_held ") > 0);
        let mut held = self.journal_of("held");
        held.retain(|_, line| line["sender"] == "judge-1");
        held
    }

    fn stop(self) {
        assert!(self.processor.stop().status.success());
        for process in self.others {
            assert!(process.stop().status.success());
        }
    }
}

#[test]
fn a_campaigns_accounts_are_held_before_any_verdict_is_on_kafka_and_kafka_confirms_the_holds() {
    let Some(apart) = Apart::new("early", &["600000", "auto"]) else { return };
    apart.take_no_verdicts();
    let held = apart.feed_until_held();
    assert_eq!(apart.verdicts(), 0, "{held:?}");
    for (account, line) in &held {
        let told = apart.status_of(account);
        assert_eq!(
            (&told["status"], &told["families"]),
            (&"rate_limited".into(), &serde_json::json!(["provisional"]))
        );
        assert_eq!((&told["verdict_id"], &told["action_id"]), (&line["verdict_id"], &Value::Null));
        assert_eq!((&line["sender"], &line["mode"]), (&"judge-1".into(), &"hold".into()));
    }

    apart.take_verdicts();
    let account = held.keys().next().unwrap();
    eventually("the log says of it what was told", || apart.status_of(account)["status"] == "suspended");
    eventually("that took the hold's place", || apart.let_go("confirmed") > 0);
    assert!(apart.verdicts() > 0);
    let told = apart.status_of(account);
    assert_eq!(told["verdict_id"], held[account]["verdict_id"]);
    let actions = apart.fleet.place.lines_of("enforcement_actions.jsonl");
    let is_its = |action: &&Value| {
        action["verdict_id"] == held[account]["verdict_id"] && action["action"] == "SUSPEND"
    };
    let action = actions.iter().find(is_its).unwrap();
    assert!(held[account]["time_ms"].as_i64().unwrap() <= action["taken_ms"].as_i64().unwrap(), "{action}");
    eventually("it is written down", || apart.journal_of("let_go").contains_key(account));
    assert_eq!(apart.journal_of("let_go")[account]["why"], "confirmed");
    apart.stop();
}

#[test]
fn whoever_was_held_is_let_go_when_kafka_says_that_nothing_is_done_about_it() {
    let Some(apart) = Apart::new("withheld", &["off"]) else { return };
    apart.take_no_verdicts();
    let held = apart.feed_until_held();
    apart.take_verdicts();
    eventually("all are let go", || {
        apart.let_go("withheld") > 0 && metric(&apart.decide, "weir_fastpath_held ") == 0
    });
    for account in held.keys() {
        assert_eq!(apart.status_of(account)["status"], "ok");
        assert_eq!(apart.journal_of("let_go")[account]["why"], "withheld");
    }
    apart.stop();
}
