//! Where probes are placed changes what they cost, and nothing of what is heard.

use super::top::top;
use super::*;
use serde_json::Value;

/// What the doctor says of a process's probes.
fn probes(process: &str, entry_only: &str) -> Vec<Value> {
    let output = success(weir(&["doctor", "--json", "--pid", process, "--tap-entry-only", entry_only]));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let traps = told["traps_ns"].as_object().unwrap();
    assert_eq!(traps.keys().collect::<Vec<_>>(), ["apart", "emulated", "return"], "{told:#}");
    let own = told["processes"].as_array().unwrap().iter();
    let [own] = own.filter(|told| told["process"].as_u64() == process.parse().ok()).collect::<Vec<_>>()[..]
    else {
        panic!("{process} is not in {told:#}");
    };
    own["probes"].as_array().unwrap().clone()
}

/// How many of these probes there are of each program and placement.
fn counts(probes: &[Value]) -> BTreeMap<(String, String), u64> {
    let mut counts = BTreeMap::new();
    for probe in probes {
        let [program, placement] = ["probe", "placement"].map(|field| probe[field].as_str().unwrap().into());
        *counts.entry((program, placement)).or_default() += 1;
    }
    counts
}

/// What a collector says of its own.
fn placed(tracing: &Tracing) -> BTreeMap<(String, String), u64> {
    let view = top(tracing);
    assert_eq!(view["traps_ns"].as_object().unwrap().len(), 3, "{view:#}");
    let mut placed = BTreeMap::new();
    for probe in view["probes"].as_array().unwrap() {
        for (placement, count) in probe["placed"].as_object().unwrap() {
            let program = probe["probe"].as_str().unwrap().to_owned();
            placed.insert((program, placement.clone()), count.as_u64().unwrap());
        }
    }
    placed
}

#[test]
fn what_is_heard_is_the_same_field_for_field_wherever_the_probes_are() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let (server, port) = bench.server(true);
    // Two that listen to the same server at once, with the same keys.
    let placed_anywhere = bench.tracing(&server.id(), &[]);
    placed_anywhere.waits_for(1);
    let directory = bench.place.directory.path();
    let data = directory.join("at-entries");
    let mut command = weir(&["run", "--node", "test", "--trace", &server.id(), "--tap-entry-only", "true"]);
    command.arg("--data-dir").arg(&data).arg("--output-dir").arg(directory.join("at-entries-output"));
    command.arg("--keys-dir").arg(&bench.place.keys);
    let at_entries = Tracing::start(command);
    at_entries.waits_for(1);

    let chosen = probes(&server.id(), "false");
    eventually("they are where the doctor says", || placed(&placed_anywhere) == counts(&chosen));
    let entries = probes(&server.id(), "true");
    eventually("and at the entries", || placed(&at_entries) == counts(&entries));
    for probe in &entries {
        assert_eq!((&probe["placement"], &probe["behind_entry"]), (&"entry".into(), &0.into()), "{probe:#}");
        assert_eq!(probe["reason"], "tap.entry_only asks for it");
    }
    assert!(placed_anywhere.log.lock().unwrap().contains("what a probe costs a call"));
    if cfg!(target_arch = "x86_64") {
        let behind = chosen.iter().filter(|probe| probe["behind_entry"].as_u64().is_some_and(|at| at > 0));
        assert!(behind.count() > 0, "OpenSSL's functions begin with what is executed apart: {chosen:#?}");
    }

    std::thread::scope(|scope| {
        for client in 0..4 {
            let port = &port;
            scope.spawn(move || ask(port, client * 100, 30));
        }
    });
    (0..6).for_each(|number| curl(&port, number));
    for tracing in [&placed_anywhere, &at_entries] {
        eventually("126 requests are 126 events", || tracing.events() == 126);
        assert_eq!(tracing.messages("heard"), tracing.messages("handed_on"));
    }
    assert_eq!(placed_anywhere.messages("heard"), at_entries.messages("heard"));
    for cause in memory::CAUSES {
        let lost = placed_anywhere.lost(cause);
        assert_eq!(lost, at_entries.lost(cause), "{cause}");
        // Bodies are larger than is copied, and a connection carries several accounts.
        assert!(lost == 0 || ["cut_bytes", "hello_shared"].contains(&cause), "{cause}: {lost}");
    }
    placed_anywhere.running.stop();
    at_entries.running.stop();
    let [traced, logged] = bench.events();
    assert_eq!(traced, seen(&data, SourceKind::Uprobe));
    assert_eq!(hello::fingerprints(&bench.place.data), hello::fingerprints(&data));
    assert_eq!(traced, logged);
}
