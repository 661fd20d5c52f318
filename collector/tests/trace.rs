//! A traced process as a source: the same traffic gives the same events as the gateway's own log of it, each
//! once, and nothing raw gets out.

#![allow(clippy::unwrap_used)] // A test's helpers may panic as its tests may.

mod common;

use common::traced::{ANSWER, BODY, Bench, Told, Traced, event, keys, request, response, say};
use common::{Fault, NOW_MS};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use weir_collector::trace::{Budget, ConnectionId, Heard, Loss};
use weir_collector::{Collector, CollectorConfig, CollectorError, Sampling};
use weir_schemas::SourceKind;
use weir_schemas::wire::Wire;
use weir_topology::memory::MemoryLog;
use weir_topology::topic::Topic;

#[test]
fn the_event_is_that_of_the_gateways_log_field_for_field() {
    let bench = Bench::new();
    let mut source = bench.open(1);
    source.source.hear(Heard::Peer(ConnectionId(1), "203.0.113.9".parse().unwrap()));
    // A hello of TLS 1.2 with one cipher and no extension, in two pieces.
    let hello = [&[22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 0x01, 1, 0]].concat();
    source.source.hear(Heard::Hello(ConnectionId(1), 0, &hello[..5]));
    source.source.hear(Heard::Hello(ConnectionId(1), 5, &hello[5..]));
    say(&mut source, 1, [&mut 0, &mut 0], &request("sk-canary-1", BODY), &response(200, ANSWER));
    bench.commit(&mut source).unwrap();

    let directory = tempfile::TempDir::new().unwrap();
    let line = serde_json::json!({
        "account": "sk-canary-1", "time": NOW_MS + 250, "request_time": 0.25, "ip": "203.0.113.9", "user_agent": "py/1",
        "uri": "/v1/chat/completions?x=1", "request_body": BODY, "status": 200, "bytes_sent": ANSWER.len(),
        "header_order": "host,user-agent,accept,authorization,content-length",
        "prompt_tokens": 21, "completion_tokens": 64, "finish_reason": "length",
        "ja3": "ea1e247991e541e39bf918cb7cfa5139", "ja4": "t12i010000_0f2cb44170f4_000000000000",
    });
    std::fs::write(directory.path().join("log"), format!("{line}\n")).unwrap();
    let logged = MemoryLog::new(3);
    let config = CollectorConfig::new(directory.path().join("log"), "node-1");
    let wire = Arc::new(Wire::new());
    let mut collector =
        Collector::open(&*logged, config, keys(), wire, Arc::new(Told::default()), Arc::new(|| NOW_MS))
            .unwrap();
    while !collector.run_once(Duration::ZERO).unwrap().at_end() {}

    let (traced, logged) = (bench.outputs(), logged.all(Topic::Events));
    assert_eq!((traced.len(), logged.len()), (1, 1));
    let (mut traced, logged) = (event(&traced[0]), event(&logged[0]));
    assert_eq!(traced.source, SourceKind::Uprobe);
    assert_ne!(traced.event_id, logged.event_id);
    (traced.source, traced.event_id) = (logged.source, logged.event_id);
    assert_eq!(traced, logged);
}

#[test]
fn every_exchange_is_an_event_once_whatever_the_log_does() {
    for faults in [
        vec![],
        vec![Fault::Abort],
        vec![Fault::CommitAndForget],
        vec![Fault::Forget, Fault::CommitAndForget, Fault::Full],
        vec![Fault::CommitAndForget, Fault::CommitAndForget, Fault::CommitAndForget],
    ] {
        let bench = Bench::new();
        let mut source = bench.open(1);
        bench.log.faults.lock().unwrap().extend(faults);
        let (mut received, mut sent) = (0, 0);
        for index in 0..7 {
            let request = request(&format!("sk-{index}"), BODY);
            say(&mut source, 1, [&mut received, &mut sent], &request, &response(200, ANSWER));
        }
        assert_eq!(bench.commit(&mut source).unwrap().events, 7);
        let mut ids = bench.ids();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), bench.outputs().len()), (7, 7));
        let announced = bench.log.inner.all(Topic::Identities);
        assert_eq!(announced.len(), 7, "each account is announced once");
    }
}

#[test]
fn another_run_of_the_source_makes_other_events_and_the_earlier_one_ends() {
    let bench = Bench::new();
    let mut first = bench.open(1);
    say(&mut first, 1, [&mut 0, &mut 0], &request("sk-1", BODY), &response(200, ANSWER));
    bench.commit(&mut first).unwrap();
    let mut second = bench.open(2);
    say(&mut second, 1, [&mut 0, &mut 0], &request("sk-1", BODY), &response(200, ANSWER));
    bench.commit(&mut second).unwrap();
    let ids = bench.ids();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
    say(&mut first, 2, [&mut 0, &mut 0], &request("sk-1", BODY), &response(200, ANSWER));
    assert!(matches!(bench.commit(&mut first), Err(CollectorError::Fenced { .. })));
}

#[test]
fn nothing_raw_leaves_and_a_key_that_was_refused_makes_no_account() {
    let bench = Bench::new();
    let mut source = bench.open(1);
    let body = r#"{"model":"m","messages":[{"role":"user","content":"canary-prompt"}]}"#;
    let (mut received, mut sent) = (0, 0);
    let mut exchange = |key, status| {
        say(&mut source, 1, [&mut received, &mut sent], &request(key, body), &response(status, "{}"));
    };
    exchange("canary-key-1", 200);
    exchange("canary-key-2", 401);
    source.source.lose(Loss::TapFull, 3);
    bench.commit(&mut source).unwrap();
    assert_eq!(bench.outputs().len(), 1);
    assert_eq!(bench.log.inner.all(Topic::Identities).len(), 1);
    for topic in Topic::ALL {
        for output in bench.log.inner.all(*topic) {
            let bytes = [&output.key[..], output.payload.as_deref().unwrap_or_default()].concat();
            assert!(!bytes.windows(6).any(|window| window == b"canary"), "{topic:?}");
        }
    }
    assert_eq!(
        *bench.told.0.lock().unwrap(),
        ["hello_unheard 1", "address_unheard 1", "tap_full 3", "unowned 1"]
    );
}

#[test]
fn of_accounts_that_are_left_out_nothing_leaves_and_all_that_the_others_do_says_how_many_were_kept() {
    const ACCOUNTS: usize = 32;
    let bench = Bench::new();
    let mut source = bench.open(1);
    let (mut received, mut sent) = (0, 0);
    let mut round = |source: &mut Traced<'_>| {
        for account in 0..ACCOUNTS {
            let request = request(&format!("sk-{account}"), BODY);
            say(source, 1, [&mut received, &mut sent], &request, &response(200, ANSWER));
        }
    };
    let mut budget = Budget::of_ppm(1);
    assert_eq!(budget.look(0, 0), None);
    let mut over = |now_ms| budget.look(now_ms, now_ms * 1_000).unwrap().sampling;
    source.source.sample(over(5_000));
    let quarter = over(10_000);
    source.source.sample(quarter);
    round(&mut source);
    bench.commit(&mut source).unwrap();
    let kept: Vec<_> = bench.outputs().iter().map(|output| event(output).account).collect();
    assert!((2..=16).contains(&kept.len()), "about a quarter of {ACCOUNTS}: {}", kept.len());
    assert_eq!(bench.log.inner.all(Topic::Identities).len(), kept.len(), "nobody is told who the others are");

    // Those that are kept are the same ones; and all are again from the next request on.
    round(&mut source);
    source.source.sample(Sampling::ALL);
    round(&mut source);
    bench.commit(&mut source).unwrap();
    let mut all = BTreeMap::<_, Vec<i32>>::new();
    for output in bench.outputs() {
        let event = event(&output);
        assert_eq!(event.sample_weight, 1);
        all.entry(event.account).or_default().push(event.sampling);
    }
    assert_eq!(all.len(), ACCOUNTS);
    for (account, rates) in &all {
        let expected: &[i32] = if kept.contains(account) { &[4, 4, 1] } else { &[1] };
        assert_eq!(rates, expected, "{account}");
    }
    assert_eq!(bench.log.inner.all(Topic::Identities).len(), ACCOUNTS);
    let told = bench.told.0.lock().unwrap();
    let sampled = told.iter().filter_map(|line| line.strip_prefix("sampled ")?.parse::<usize>().ok());
    assert_eq!(sampled.sum::<usize>(), 2 * (ACCOUNTS - kept.len()));
}

#[test]
fn what_was_heard_to_its_end_is_kept_when_listening_ends() {
    let bench = Bench::new();
    let mut source = bench.open(1);
    say(&mut source, 1, [&mut 0, &mut 0], &request("sk-1", BODY), b"HTTP/1.1 200 OK\r\n\r\nuntil close");
    say(&mut source, 2, [&mut 0, &mut 0], &request("sk-2", BODY), b"");
    assert_eq!(bench.commit(&mut source).unwrap().events, 0);
    source.source.end();
    assert_eq!(bench.commit(&mut source).unwrap().events, 2);
    assert_eq!(*bench.told.0.lock().unwrap(), ["unanswered 1", "hello_unheard 2", "address_unheard 2"]);
}
