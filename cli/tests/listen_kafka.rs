//! `weir collect --listen` in front of real Kafka, and `--from-topic` behind it, killed while records are
//! sent: whoever gets no answer sends again, and every record is an event once.
//!
//! Runs where `WEIR_BROKERS` names a broker, as `cargo xtask test` does.

#![allow(clippy::unwrap_used)]

mod common;

use common::fleet::{Fleet, all_succeed};
use common::{Dice, Running, START_MS, eventually, line, metric, serving};
use futures_executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A collector that listens, and where.
fn listening(fleet: &Fleet) -> (Running, String) {
    let mut running =
        Running::start(fleet.with_keys(&["collect", "--listen", "127.0.0.1:0", "--node", "test"]));
    let mut stderr = BufReader::new(running.0.stderr.take().unwrap());
    let mut shown = String::new();
    let address = loop {
        assert!(stderr.read_line(&mut shown).unwrap() > 0, "{shown}");
        if let Some((_, rest)) = shown.split_once("listening=") {
            break rest.split_whitespace().next().unwrap().to_owned();
        }
    };
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    (running, address)
}

/// Whether the record was committed, as far as its sender can tell.
fn send(address: &str, body: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let length = body.len();
    let head =
        format!("POST /v1/lines HTTP/1.1\r\nhost: weir\r\nconnection: close\r\ncontent-length: {length}\r\n");
    let mut answer = Vec::new();
    let sent = stream.write_all(format!("{head}\r\n{body}").as_bytes());
    sent.is_ok() && stream.read_to_end(&mut answer).is_ok() && answer.starts_with(b"HTTP/1.1 200 ")
}

#[test]
fn a_collector_that_is_killed_while_it_takes_records_loses_and_doubles_none() {
    let Some(fleet) = Fleet::new("listen", 3) else { return };
    let mut dice = Dice(7);
    let (mut running, mut address) = listening(&fleet);
    let (mut kills, mut again) = (0, 0);
    let mut next_kill = 20;
    const RECORDS: u64 = 200;
    for number in 0..RECORDS {
        let body = line(&number.to_string(), START_MS + number, &format!("acct-{}", number % 9), "Why?");
        if number == next_kill {
            // Somewhere between the request and its answer.
            let (to, body) = (address.clone(), body.clone());
            let sending = std::thread::spawn(move || send(&to, &body));
            std::thread::sleep(Duration::from_millis(dice.roll(45)));
            running.kill();
            again += u64::from(!sending.join().unwrap());
            (running, address) = listening(&fleet);
            kills += 1;
            next_kill += 35;
        }
        eventually("the record is taken", || send(&address, &body));
    }
    assert!(running.stop().status.success());
    assert_eq!(kills, 6);
    println!("{again} of {kills} were sent again without an answer");
    let mut process = fleet.processor();
    process.arg("--until-idle");
    all_succeed(vec![Running::start(process)]);
    let recorded = fleet.replay(&["--as-recorded"]);
    recorded.balances();
    assert_eq!((recorded.number("events"), recorded.number("dlq")), (RECORDS, 0));
}

#[test]
fn a_collector_that_another_took_over_from_ends_and_says_so() {
    let Some(fleet) = Fleet::new("listen-two", 2) else { return };
    let body = |number: u64| line(&number.to_string(), START_MS + number, "acct-1", "Why?");
    let (first, first_address) = listening(&fleet);
    // Its address is told before it owns the source: only an answer says that it does.
    eventually("the first takes records", || send(&first_address, &body(1)));
    let (second, second_address) = listening(&fleet);
    eventually("the second takes records", || send(&second_address, &body(2)));
    assert!(!send(&first_address, &body(3)), "the first takes none any more");
    let ended = first.ended("the first");
    assert!(!ended.status.success());
    assert!(send(&second_address, &body(3)));
    assert!(second.stop().status.success());
}

/// Makes a topic that is none of Weir's and writes these lines to it, a record each.
fn write_topic(fleet: &Fleet, topic: &str, lines: &[String]) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &fleet.brokers);
    let admin: AdminClient<_> = config.create().unwrap();
    let new = NewTopic::new(topic, 4, TopicReplication::Fixed(1));
    // It is there already when more is written.
    let _ = block_on(admin.create_topics([&new], &AdminOptions::new())).unwrap();
    let producer: BaseProducer = config.create().unwrap();
    for (number, line) in lines.iter().enumerate() {
        let record = BaseRecord::<(), str>::to(topic).partition(number as i32 % 4).payload(line.trim_end());
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

#[test]
fn a_topic_of_lines_is_read_once_however_often_its_reader_is_killed() {
    let Some(fleet) = Fleet::new("from-topic", 3) else { return };
    let topic = format!("{}gateway-logs", fleet.prefix);
    let lines: Vec<String> = (0..4_000)
        .map(|number| line(&number.to_string(), START_MS + number, &format!("acct-{}", number % 9), "Why?"))
        .collect();
    let reader = || {
        let batch = ["--collector-batch-lines", "50", "--collector-linger-ms", "20"];
        let mut command = fleet.with_keys(&["collect", "--from-topic", &topic, "--node", "test"]);
        command.args(batch);
        command
    };
    write_topic(&fleet, &topic, &lines[..3_000]);
    let mut dice = Dice(7);
    for _ in 0..4 {
        let running = Running::start(reader());
        std::thread::sleep(Duration::from_millis(300 + dice.roll(700)));
        running.kill();
    }
    write_topic(&fleet, &topic, &lines[3_000..]);
    let (last, metrics) = serving(reader());
    eventually("the topic is read to its end", || {
        let before = metric(&metrics, "weir_collector_events_published_total");
        // Long enough for a machine that stands still for a while.
        std::thread::sleep(Duration::from_secs(8));
        before > 0 && before == metric(&metrics, "weir_collector_events_published_total")
    });
    assert!(last.stop().status.success());
    let mut process = fleet.processor();
    process.arg("--until-idle");
    all_succeed(vec![Running::start(process)]);
    let recorded = fleet.replay(&["--as-recorded"]);
    recorded.balances();
    assert_eq!((recorded.number("events"), recorded.number("dlq")), (lines.len() as u64, 0));
}

#[test]
fn a_topic_is_read_to_the_end_that_it_had_and_a_topic_of_nothing_readable_is_a_failure() {
    let Some(fleet) = Fleet::new("topic-idle", 2) else { return };
    let (topic, strange) = (format!("{}gateway-rows", fleet.prefix), format!("{}strange", fleet.prefix));
    let read = |topic: &str, more: &[&str]| {
        let mut command =
            fleet.with_keys(&["collect", "--from-topic", topic, "--node", "test", "--until-idle"]);
        command.args(more);
        Running::start(command).ended("the collector")
    };
    let rows: Vec<String> = (0..200)
        .map(|number| format!("acct-{};{};Why is number {number} odd?", number % 9, START_MS + number))
        .collect();
    // The names of the columns stand in the first record of one partition.
    write_topic(&fleet, &topic, &[vec!["account;time;prompt".to_owned()], rows.clone()].concat());
    assert!(read(&topic, &[]).status.success());
    // What comes later is read by the next, which knows the names too.
    write_topic(&fleet, &topic, &rows[..50]);
    assert!(read(&topic, &[]).status.success());

    write_topic(&fleet, &strange, &["what:ever".to_owned(), "no:line".to_owned()]);
    let refused = read(&strange, &[]);
    assert!(!refused.status.success());
    let said = common::text(&refused.stderr);
    let expected =
        format!("nothing of the topic {strange} could be read: all of its 2 records were refused.");
    assert!(said.contains(&expected), "{said}");
    // A format file says what they are.
    let format = fleet.place.feed.with_file_name("mine.toml");
    let mine = "columns = { separator = \":\", names = [\"who\", \"what\"] }\n[fields]\naccount = \"who\"\ntime = \
                { value = \"2026-11-21T06:30:06Z\" }\nprompt = \"what\"\n";
    std::fs::write(&format, mine).unwrap();
    write_topic(&fleet, &strange, &["key-1:What is a fjord".to_owned()]);
    assert!(read(&strange, &["--collector-format", format.to_str().unwrap()]).status.success());

    let missing = read(&format!("{}nowhere", fleet.prefix), &[]);
    assert!(!missing.status.success());
    let said = common::text(&missing.stderr);
    assert!(said.contains("there is nothing to read: ") && said.contains("there is no topic"), "{said}");

    let mut process = fleet.processor();
    process.arg("--until-idle");
    all_succeed(vec![Running::start(process)]);
    let recorded = fleet.replay(&["--as-recorded"]);
    recorded.balances();
    assert_eq!((recorded.number("events"), recorded.number("dlq")), (251 + 2, 2));
}
