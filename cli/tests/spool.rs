//! A spool under a real collector: what a TLS server says while the broker is dead, and the collector is
//! killed, is in the log once and in order.
//!
//! As root, with the kernel side built in, and against a broker of its own, which is killed.

#![cfg(feature = "ebpf")]
#![allow(clippy::unwrap_used)]

mod common;

use common::fleet::Fleet;
use common::tracing::{PYTHON, Program, can_trace};
use common::{Place, eventually, get, metric, serving, success, text, weir};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use weir_schemas::wire::split;
use weir_schemas::{Body, Event, EventId, Record};
use weir_topology::history::read_range;
use weir_topology::kafka::{KafkaConfig, KafkaLog};
use weir_topology::log::Log;
use weir_topology::topic::Topic;

const SERVER: &str = include_str!("trace/server.py");
const CLIENT: &str = include_str!("trace/client.py");

/// The accounts that the client has.
const ACCOUNTS: u32 = 6;

/// A server that speaks TLS, and its port.
fn server(place: &Place) -> (Program, String) {
    let [certificate, key] = ["server.pem", "server.key"].map(|name| place.directory.path().join(name));
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
    make.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    success(make);
    let mut command = Command::new(PYTHON);
    command.args(["-c", SERVER]).arg(&place.feed).arg(&certificate).arg(&key);
    let mut server = Program::start(&mut command);
    let port = server.said();
    (server, port)
}

/// Requests of these numbers, one after the other.
fn ask(port: &str, first: u32, count: u32) {
    let mut command = Command::new(PYTHON);
    command.args(["-c", CLIENT, port, &first.to_string(), &count.to_string()]);
    success(command);
}

/// The numbers of the requests in a log, by account, in the order in which they stand there; each event is
/// there once.
fn numbers(log: &dyn Log) -> Vec<Vec<u32>> {
    let (mut ids, mut of) = (Vec::<EventId>::new(), BTreeMap::<_, Vec<u32>>::new());
    for partition in 0..log.partitions(Topic::Events).unwrap() {
        let (from, to) = log.bounds(Topic::Events, partition).unwrap();
        read_range(log, Topic::Events, partition, from, to, |records| {
            for record in records.iter() {
                let event = Event::decode(split(record.payload.unwrap()).unwrap().1).unwrap();
                let Body::Request(request) = event.body else { panic!("it is a request") };
                let number = request.endpoint.unwrap().split('/').nth(2).unwrap().parse().unwrap();
                ids.push(event.event_id);
                of.entry(event.account).or_default().push(number);
            }
            Ok(())
        })
        .unwrap();
    }
    let events = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), events);
    let mut of: Vec<_> = of.into_values().collect();
    of.sort();
    of
}

/// The numbers up to `count` as accounts have them in turn.
fn turns(count: u32) -> Vec<Vec<u32>> {
    (0..ACCOUNTS).map(|account| (account..count).step_by(ACCOUNTS as usize).collect()).collect()
}

/// Everything that was said is a batch in the spool: what was heard to its end waits for no more than five
/// seconds, and the linger.
fn settle(metrics: &str, spool: &Path) {
    let state = || {
        let messages =
            |kind: &str| metric(metrics, &format!("weir_collector_trace_messages_total{{kind=\"{kind}\"}}"));
        let files = fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        (messages("heard"), messages("handed_on"), files.sum::<u64>())
    };
    eventually("all of it lies in the spool", || {
        let before = state();
        std::thread::sleep(Duration::from_secs(7));
        before == state()
    });
}

/// A broker of the test's own, which may be killed: one that has the topics of every other test is long in
/// coming back.
struct Broker {
    home: TempDir,
    address: String,
}

impl Broker {
    fn new() -> Self {
        let mut broker = Self { home: TempDir::new().unwrap(), address: String::new() };
        let said = text(&success(broker.xtask(&["up"])).stdout);
        broker.address = said.trim().rsplit('=').next().unwrap().to_owned();
        broker
    }

    fn xtask(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO"));
        command.args(["xtask", "kafka", "--home"]).arg(self.home.path()).args(arguments);
        command
    }

    fn kill(&self) {
        success(self.xtask(&["down", "--kill"]));
    }

    fn start(&self) {
        success(self.xtask(&["up"]));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.xtask(&["down", "--kill"]).status();
    }
}

#[test]
fn what_is_said_while_the_broker_is_dead_and_collectors_are_killed_is_in_the_log_once_and_in_order() {
    if !can_trace() {
        return;
    }
    if Fleet::named().is_none() {
        return;
    }
    let broker = Broker::new();
    let fleet = Fleet::at(broker.address.clone(), Vec::new(), "spool", 3);
    let (server, port) = server(&fleet.place);
    let spool = fleet.place.directory.path().join("spool");
    let collector = || {
        let mut command = fleet.with_keys(&["collect", "--node", "test", "--trace", &server.id()]);
        command.arg("--spool-dir").arg(&spool);
        let (running, metrics) = serving(command);
        let series = format!("weir_collector_process_messages_total{{process=\"{}\"", server.id());
        eventually("it traces", || get(&metrics, "/metrics").contains(&series));
        (running, metrics)
    };
    let waits = |metrics: &str| metric(metrics, "weir_collector_spool_waiting_bytes");
    let events = |metrics: &str| metric(metrics, "weir_collector_events_published_total");

    let (running, metrics) = collector();
    ask(&port, 0, 60);
    eventually("60 requests are in the log", || events(&metrics) == 60 && waits(&metrics) == 0);
    // It dies while requests come.
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&port, 60, 120));
        broker.kill();
        asking.join().unwrap();
    });
    settle(&metrics, &spool);
    running.kill();
    // Another one begins, and is killed, while there is no broker.
    let (running, metrics) = collector();
    ask(&port, 180, 60);
    settle(&metrics, &spool);
    running.kill();
    let (running, metrics) = collector();
    ask(&port, 240, 60);
    settle(&metrics, &spool);
    eventually("it says what waits", || waits(&metrics) > 0);
    broker.start();
    eventually("all of it is in the log", || waits(&metrics) == 0 && events(&metrics) > 0);
    ask(&port, 300, 60);
    let replayed = |metrics: &str| metric(metrics, "weir_collector_spool_replayed_events_total");
    eventually("and what is said now", || events(&metrics) == replayed(&metrics) + 120);
    // Up to what the first one had committed before the broker died.
    assert!((60..=180).contains(&replayed(&metrics)), "{}", replayed(&metrics));
    for kind in ["log_away", "spool_full", "spool_fault", "tap_full"] {
        let lost = metric(&metrics, &format!("weir_collector_trace_losses_total{{kind=\"{kind}\"}}"));
        assert_eq!(lost, 0, "{kind}");
    }
    assert!(running.stop().status.success());
    let mut config = KafkaConfig::new(&fleet.brokers);
    config.prefix = fleet.prefix.clone();
    assert_eq!(numbers(&KafkaLog::connect(config).unwrap()), turns(360));
}

#[test]
fn a_second_process_is_refused_the_spool_before_it_writes_anything_and_the_first_goes_on() {
    if !can_trace() {
        return;
    }
    let place = Place::new();
    let (server, port) = server(&place);
    let spool = place.directory.path().join("spool");
    let tracing = |data: &Path, output: &Path| {
        let mut command = weir(&["run", "--node", "test", "--trace", &server.id()]);
        command.arg("--data-dir").arg(data).arg("--output-dir").arg(output);
        command.arg("--keys-dir").arg(&place.keys).arg("--spool-dir").arg(&spool);
        command
    };
    let (running, metrics) = serving(tracing(&place.data, &place.output));
    let series = format!("weir_collector_process_messages_total{{process=\"{}\"", server.id());
    eventually("it traces", || get(&metrics, "/metrics").contains(&series));
    let (data, output) = place.beside();
    let refused = tracing(&data, &output).output().unwrap();
    assert!(!refused.status.success());
    let sentence = format!(
        "the spool {} is in use by process {}: give each collector a spool.dir of its own",
        spool.display(),
        running.0.id()
    );
    assert!(text(&refused.stderr).contains(&sentence), "{}", text(&refused.stderr));
    assert!(!data.exists());
    ask(&port, 0, 60);
    eventually("60 requests are in the log", || {
        metric(&metrics, "weir_collector_events_published_total") == 60
    });
    eventually("and nowhere else", || metric(&metrics, "weir_collector_spool_waiting_bytes") == 0);
    assert_eq!(metric(&metrics, "weir_collector_spool_bytes_max"), 1 << 30);
    assert!(running.stop().status.success());
}
