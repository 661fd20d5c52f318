//! `weir collect --listen` in front of real Kafka, killed while records are sent: whoever gets no answer sends again, and
//! every record is an event once.
//!
//! Runs where `WEIR_BROKERS` names a broker, as `cargo xtask test` does.

#![allow(clippy::unwrap_used)]

mod common;

use common::fleet::{Fleet, all_succeed};
use common::{Dice, Running, START_MS, eventually, line};
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
    let (first, first_address) = listening(&fleet);
    let (second, second_address) = listening(&fleet);
    let body = |number: u64| line(&number.to_string(), START_MS + number, "acct-1", "Why?");
    eventually("the second takes records", || send(&second_address, &body(1)));
    assert!(!send(&first_address, &body(2)), "the first takes none any more");
    let ended = first.ended("the first");
    assert!(!ended.status.success());
    assert!(send(&second_address, &body(2)));
    assert!(second.stop().status.success());
}
