//! A budget of processor time: over it the accounts that are kept are fewer, each whole, and every request of
//! the others is counted.

use super::*;
use std::collections::BTreeSet;

/// Asks in rounds, once for each of 64 accounts: `/plain/ROUND-ACCOUNT/…`.
const CROWD: &str = r#"
import http.client, ssl, sys
port = int(sys.argv[1])
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
for round in range(int(sys.argv[2]), int(sys.argv[3])):
    for account in range(64):
        body = '{"model":"atlas-1","max_tokens":9,"messages":[{"role":"user","content":"List %d rivers."}]}' % round
        headers = {"Authorization": "Bearer sk-crowd-%d" % account}
        connection.request("POST", "/plain/%d-%d/v1/chat/completions" % (round, account), body, headers)
        connection.getresponse().read()
"#;

/// By account, its requests that are events: their round, and of how many accounts one was kept then.
fn kept(data: &Path) -> BTreeMap<u32, BTreeMap<u32, i32>> {
    let mut all = BTreeMap::<u32, BTreeMap<u32, i32>>::new();
    each(data, SourceKind::Uprobe, |event| {
        assert_eq!(event.sample_weight, 1, "what a kept account does is all there");
        let Body::Request(request) = &event.body else { panic!("it is a request") };
        let path = request.endpoint.unwrap();
        let (round, account) = path.split('/').nth(2).and_then(|both| both.split_once('-')).unwrap();
        let before =
            all.entry(account.parse().unwrap()).or_default().insert(round.parse().unwrap(), event.sampling);
        assert_eq!(before, None, "{path} is there twice");
    });
    all
}

#[test]
fn over_its_budget_fewer_accounts_are_kept_each_whole_and_the_requests_of_the_others_are_counted() {
    if !can_trace() {
        return;
    }
    /// Rounds at each rate that is waited for.
    const ROUNDS: u32 = 6;
    let bench = Bench::new();
    let (server, port) = bench.server(true);
    // Whatever it does is more.
    let tracing = bench.tracing(&server.id(), &["--cpu-budget", "0.01%", "--tap-measure-probes", "true"]);
    tracing.waits_for(1);
    let mut asked = 0;
    let mut ask = || {
        let mut command = Command::new(PYTHON);
        let (from, to) = (asked, asked + ROUNDS);
        command.args(["-c", CROWD, &port, &from.to_string(), &to.to_string()]);
        success(command);
        asked = to;
    };
    let one_of = || tracing.metric("weir_collector_sampling");
    ask();
    for rate in [4, 8, 16] {
        eventually("fewer are kept", || one_of() >= rate);
        ask();
    }
    let requests = u64::from(asked) * 64;
    eventually("each request is an event, or was left out", || {
        tracing.events() + tracing.lost("sampled") == requests
    });
    for cause in ["request", "response", "orphan", "unanswered", "gap_bytes", "anonymous", "log_away"] {
        assert_eq!(tracing.lost(cause), 0, "{cause}");
    }
    let (events, last) = (tracing.events(), one_of());
    let shown = top::top(&tracing);
    let sampled = shown["sampled"].as_str().unwrap().strip_prefix("1/").unwrap().parse::<u64>().unwrap();
    assert!(sampled >= last && shown["lost"]["sampled"]["total"].as_u64() > Some(0), "{shown:#}");
    let log = tracing.log.lock().unwrap().clone();
    assert!(log.contains("over the budget of processor time: fewer accounts are kept"), "{log}");
    tracing.running.stop();

    let [traced, logged] = bench.events();
    assert_eq!((traced.len() as u64, logged.len() as u64), (events, requests));
    for (path, seen) in &traced {
        assert_eq!(logged.get(path), Some(seen), "{path}");
    }
    // Fewer were kept from one window to the next: whoever was left out once was so from then on, and all was
    // there before.
    let kept = kept(&bench.place.data);
    let mut rates = BTreeSet::new();
    for (account, rounds) in &kept {
        let whole: Vec<u32> = (0..rounds.len() as u32).collect();
        assert_eq!(rounds.keys().copied().collect::<Vec<_>>(), whole, "account {account}");
        assert!(rounds.values().is_sorted(), "account {account}: {rounds:?}");
        rates.extend(rounds.values().copied());
    }
    assert!(rates.len() > 1 && rates.iter().all(|rate| rate.count_ones() == 1), "{rates:?}");
}
