//! The same traffic gives every account the same highest tier, whatever the source: a log in the order in
//! which requests began, a log in the order in which they ended, and requests and responses as events of
//! their own.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;
#[path = "../../processor/tests/support/pipeline.rs"]
#[allow(dead_code)] // The processor's own tests use all of it.
mod pipeline;

use common::{Dice, START_MS, success, traffic, weir};
use pipeline::{STRAIGHT, run};
use scenario::Arrival;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use weir_processor::policy::Policy;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Body, Event, EventId, Outcome, Record as _, Response, Tier};
use weir_topology::embedded::EmbeddedLog;
use weir_topology::history::History;
use weir_topology::log::Log as _;
use weir_topology::topic::Topic;

/// What the pipeline is fed.
mod scenario {
    /// When every log starts: the whole minute before its first request.
    pub const START_MS: i64 = super::START_MS as i64;

    /// An event on its way.
    pub struct Arrival {
        pub arrival_ms: i64,
        pub account: weir_schemas::AccountId,
        pub payload: Vec<u8>,
    }
}

/// Longest that a request takes: more than twenty pauses of the campaigns.
const LATENCY_MS_MAX: u64 = 12_000;

/// One request of a log.
#[derive(Clone)]
struct Exchange {
    start_ms: u64,
    latency_ms: u64,
    line: Value,
}

impl Exchange {
    fn end_ms(&self) -> u64 {
        self.start_ms + self.latency_ms
    }

    fn account(&self) -> &str {
        self.line["account"].as_str().unwrap()
    }
}

/// Gives every line of Weir's own format a latency.
fn of_generated(log: &str, dice: &mut Dice) -> Vec<Exchange> {
    let exchange = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let (start_ms, latency_ms) = (line["time"].as_u64().unwrap(), dice.roll(LATENCY_MS_MAX));
        line["latency_ms"] = json!(latency_ms);
        Exchange { start_ms, latency_ms, line }
    };
    log.lines().map(exchange).collect()
}

/// Moves the recorded example to the start, and makes its requests take longer.
fn of_example(dice: &mut Dice) -> Vec<Exchange> {
    let log = include_str!("../../examples/access.jsonl");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ms = |line: &Value, key: &str| (line[key].as_f64().unwrap() * 1_000.0).round() as u64;
    let started_ms = |line: &Value| ms(line, "time") - ms(line, "request_time");
    let first_ms = lines.iter().map(started_ms).min().unwrap();
    let mut exchanges: Vec<Exchange> = lines
        .into_iter()
        .map(|mut line| {
            let start_ms = START_MS + started_ms(&line) - first_ms;
            let latency_ms = dice.roll(LATENCY_MS_MAX);
            line["time"] = json!((start_ms + latency_ms) as f64 / 1_000.0);
            line["request_time"] = json!(latency_ms as f64 / 1_000.0);
            Exchange { start_ms, latency_ms, line }
        })
        .collect();
    exchanges.sort_by_key(|exchange| exchange.start_ms);
    exchanges
}

/// The events that a collector makes of a log, in the order of its lines.
fn collected(exchanges: &[Exchange]) -> Vec<Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (directory.path().join("access.jsonl"), directory.path().join("data"));
    let log: String = exchanges.iter().map(|exchange| format!("{}\n", exchange.line)).collect();
    std::fs::write(&file, log).unwrap();
    let mut import = weir(&["import", "--partitions", "1", "--data-dir"]);
    import.arg(&data).arg(&file);
    success(import);
    let log = EmbeddedLog::open_existing(&data.join("log")).unwrap();
    let (first, end) = log.bounds(Topic::Events, 0).unwrap();
    let mut history = History::new(log.as_ref(), Topic::Events, 0, first, end).unwrap();
    let mut events = Vec::new();
    while let Some(records) = history.next().unwrap() {
        events.extend(records.iter().map(|record| record.payload.unwrap().to_vec()));
    }
    assert_eq!(events.len(), exchanges.len());
    events
}

/// An event on its way, and the raw id of its account: every import has keys of its own.
type Named<'e> = (Arrival, &'e str);

/// The highest tier of every account that was spoken of.
fn highest_tiers(mut arrivals: Vec<Named<'_>>) -> BTreeMap<String, Tier> {
    arrivals.sort_by_key(|(arrival, _)| arrival.arrival_ms);
    let names: BTreeMap<AccountId, &str> =
        arrivals.iter().map(|(event, name)| (event.account, *name)).collect();
    let arrivals: Vec<Arrival> = arrivals.into_iter().map(|(arrival, _)| arrival).collect();
    let run = run(&Policy::builtin(), &arrivals, STRAIGHT);
    assert_eq!((run.events_judged, run.dead_letters), (arrivals.len() as u64, 0));
    let mut highest = BTreeMap::new();
    for verdict in run.verdicts {
        let tier = highest.entry(names[&verdict.account].to_owned()).or_insert(verdict.tier);
        *tier = (*tier).max(verdict.tier);
    }
    highest
}

/// A log whose lines arrive at `arrival_ms` of their request.
fn as_log(exchanges: &[Exchange], arrival_ms: impl Fn(&Exchange) -> u64) -> BTreeMap<String, Tier> {
    let mut exchanges = exchanges.to_vec();
    exchanges.sort_by_key(&arrival_ms);
    let (wire, payloads) = (Wire::new(), collected(&exchanges));
    let mut arrivals = Vec::new();
    for (exchange, payload) in exchanges.iter().zip(payloads) {
        let datum = wire.datum::<Event<'_>>(&payload).unwrap();
        let event = Event::decode(&datum).unwrap();
        assert_eq!(event.time_ms, exchange.start_ms as i64, "an event's time is the start of its request");
        let (account, arrival_ms) = (event.account, arrival_ms(exchange) as i64);
        arrivals.push((Arrival { arrival_ms, account, payload: payload.clone() }, exchange.account()));
    }
    highest_tiers(arrivals)
}

/// Requests, each followed by its response when it is there.
fn as_pairs(exchanges: &[Exchange]) -> BTreeMap<String, Tier> {
    let wire = Wire::new();
    let mut arrivals = Vec::new();
    for (exchange, payload) in exchanges.iter().zip(collected(exchanges)) {
        let datum = wire.datum::<Event<'_>>(&payload).unwrap();
        let mut event = Event::decode(&datum).unwrap();
        let request_id = event.event_id;
        let Body::Request(request) = &mut event.body else { panic!("a line is a request") };
        let outcome: Outcome = request.outcome.take().unwrap_or_default();
        let mut arrive = |event: &Event<'_>| {
            let (arrival_ms, account) = (event.time_ms, event.account);
            arrivals
                .push((Arrival { arrival_ms, account, payload: wire.to_bytes(event) }, exchange.account()));
        };
        arrive(&event);
        event.event_id = EventId(request_id.0.map(|byte| !byte));
        event.time_ms = exchange.end_ms() as i64;
        event.body = Body::Response(Response { request: Some(request_id), outcome });
        arrive(&event);
    }
    highest_tiers(arrivals)
}

/// Every account's highest tier, which must be the same from each source.
fn same_from_every_source(exchanges: &[Exchange]) -> BTreeMap<String, Tier> {
    let by_start = as_log(exchanges, |exchange| exchange.start_ms);
    assert_eq!(as_log(exchanges, Exchange::end_ms), by_start, "in the order in which requests ended");
    assert_eq!(as_pairs(exchanges), by_start, "as requests and responses");
    by_start
}

#[test]
fn the_recorded_example_is_judged_the_same_from_every_source() {
    for seed in 1..=3 {
        let tiers = same_from_every_source(&of_example(&mut Dice(seed)));
        let campaign = (1..=6).map(|number| (format!("sk-example-mirror-{number:02}"), Tier::Critical));
        assert_eq!(tiers, campaign.collect(), "seed {seed}");
    }
}

/// An hour of servers that one card pays for, about three thousand requests each. Those of the first kind ask
/// by clockwork, those of the second as often, but in bursts: nothing but their pauses tells them apart.
fn servers(dice: &mut Dice) -> String {
    let mut requests = Vec::new();
    for number in 0..2 {
        let mut times_ms = [START_MS + number * 137; 2];
        for request in 0..3_300 {
            for (kind, time_ms) in ["clockwork", "bursts"].into_iter().zip(&mut times_ms) {
                requests.push((*time_ms, format!("{kind}-{number}")));
                *time_ms += match (kind, request % 4) {
                    ("clockwork", _) => 1_090 + dice.roll(20),
                    (_, 0) => 3_800 + dice.roll(400),
                    _ => 100 + dice.roll(100),
                };
            }
        }
    }
    requests.sort();
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let line = |(number, (time_ms, account))| {
        let prompt = format!("Think step by step and show your reasoning: {number}");
        json!({"time": time_ms, "account": account, "user_agent": agent, "payment": "card", "prompt": prompt, "max_tokens": 4096})
            .to_string()
    };
    requests.into_iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn servers_that_only_their_pauses_tell_apart_are_judged_the_same_from_every_source() {
    let tiers = same_from_every_source(&of_generated(&servers(&mut Dice(1)), &mut Dice(2)));
    let of_kind = |kind: &'static str| (0..2).map(move |number| (format!("{kind}-{number}"), Tier::High));
    assert_eq!(tiers, of_kind("clockwork").chain(of_kind("bursts")).collect());
}

#[test]
fn generated_traffic_is_judged_the_same_from_every_source() {
    for seed in 1..=3 {
        let tiers = same_from_every_source(&of_generated(&traffic(40, 100), &mut Dice(seed)));
        let campaign = (0..12).map(|number| (format!("campaign-{number}"), Tier::Critical));
        assert_eq!(tiers, campaign.collect(), "seed {seed}");
    }
}
