//! What tracing costs, measured by turns and printed: nothing of it is asserted. `cargo test -p weir
//! --features ebpf --test trace -- --ignored --nocapture cost`.

use super::*;
use std::io::{BufRead as _, Write as _};
use std::time::Instant;

const CALLS: &str = include_str!("cost.py");

/// How often each way has its turn.
const TURNS: usize = 4;

/// The ways: nothing is traced, probes at entries, and probes where they cost less; each with so many bytes
/// that are copied at most.
const WAYS: [(&str, Option<[&str; 2]>); 6] = [
    ("bare", None),
    ("at entries, 64 bytes copied", Some(["true", "64"])),
    ("at entries, 1024 bytes copied", Some(["true", "1024"])),
    ("placed, 64 bytes copied", Some(["false", "64"])),
    ("placed, 1024 bytes copied", Some(["false", "1024"])),
    ("bare again", None),
];

/// Prints what tracing costs a process for each write and each read of 1 KiB, and what the traps alone cost.
#[test]
#[ignore = "it measures, and asserts nothing of it"]
fn what_a_call_costs() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let mut command = Command::new(PYTHON);
    command.args(["-c", CALLS]).arg(&bench.certificate).arg(&bench.key);
    let mut calls = Program(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let mut told = BufReader::new(calls.0.stdout.take().unwrap()).lines();
    let mut least = [[u64::MAX; 2]; WAYS.len()];
    for _ in 0..TURNS {
        for ((_, how), least) in WAYS.iter().zip(&mut least) {
            let tracing = how.map(|[entry_only, bytes]| {
                let how = ["--tap-entry-only", entry_only, "--tap-copy-bytes-max", bytes];
                let tracing =
                    bench.tracing(&calls.id(), &[&how[..], &["--tap-ring-bytes", "268435456"]].concat());
                tracing.waits_for(1);
                tracing
            });
            calls.0.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
            let line = told.next().unwrap().unwrap();
            for (least, ns) in least.iter_mut().zip(line.split(' ')) {
                *least = (*least).min(ns.parse().unwrap());
            }
            if let Some(tracing) = tracing {
                println!(
                    "{}",
                    tracing.log.lock().unwrap().lines().find(|line| line.contains("placed=")).unwrap()
                );
                tracing.running.stop();
            }
        }
    }
    let doctor = success(weir(&["doctor", "--json", "--pid", &calls.id()]));
    let doctor: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    println!("traps alone, in ns a call: {}", doctor["traps_ns"]);
    for ((name, _), [write, read]) in WAYS.iter().zip(least) {
        println!("{name}: {write} ns a write, {read} ns a read; the least of {TURNS} turns of 5 rounds");
    }
}

/// User and system time that a process used so far, in clock ticks of a hundredth of a second.
fn ticks(process: &str) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let behind = stat.rsplit_once(") ").unwrap().1;
    behind.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Most memory that a process had, in KiB.
fn resident_kib(process: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned()
}

/// Prints what the requests of a server cost it, and the collector: without one, with one, and with one that
/// samples to hold a budget.
#[test]
#[ignore = "it measures, and asserts nothing of it"]
fn what_a_request_costs() {
    if !can_trace() {
        return;
    }
    const REQUESTS: u32 = 100;
    // So many that none of the processors is idle while an answer is waited for.
    const CLIENTS: u32 = 32;
    let mut first = 0;
    for turn in 0..TURNS {
        let bench = Bench::new();
        let (server, port) = bench.server(true);
        let budget = ["--cpu-budget", "0.1%"];
        let entries = ["--tap-entry-only", "true"];
        for (name, how) in [
            ("bare", None),
            ("traced at entries", Some(&entries[..])),
            ("traced", Some(&[])),
            ("sampled", Some(&budget[..])),
        ] {
            let tracing = how.map(|how| {
                let data = bench.place.directory.path().join(name);
                let mut command = weir(&["run", "--node", "test", "--trace", &server.id()]);
                command.arg("--data-dir").arg(data.join("data")).arg("--output-dir").arg(data.join("output"));
                command.arg("--keys-dir").arg(&bench.place.keys).args(how);
                let tracing = Tracing::start(command);
                tracing.waits_for(1);
                tracing
            });
            let collector = tracing.as_ref().map(|tracing| tracing.running.0.id().to_string());
            let own = || collector.as_deref().map_or(0, ticks);
            // Sampling begins behind the first windows.
            let rounds = if name == "sampled" { 4 } else { 1 };
            for round in 0..rounds {
                let (began, used, collected) = (Instant::now(), ticks(&server.id()), own());
                std::thread::scope(|scope| {
                    for client in 0..CLIENTS {
                        let port = &port;
                        scope.spawn(move || ask(port, first + client * REQUESTS, REQUESTS));
                    }
                });
                first += CLIENTS * REQUESTS;
                let requests = u64::from(CLIENTS * REQUESTS);
                let per_s = f64::from(CLIENTS * REQUESTS) / began.elapsed().as_secs_f64();
                std::thread::sleep(std::time::Duration::from_secs(1));
                let us = |ticks: u64| ticks * 10_000 / requests;
                println!(
                    "turn {turn}, {name}, round {round}: {per_s:.0} requests/s; {} µs of the server, {} µs of the collector a request; \
                     {} at most; one of {} accounts",
                    us(ticks(&server.id()) - used),
                    us(own() - collected),
                    collector.as_deref().map(resident_kib).unwrap_or_default(),
                    tracing.as_ref().map_or(1, |tracing| tracing.metric("weir_collector_sampling")),
                );
            }
            if let Some(tracing) = tracing {
                tracing.running.stop();
            }
        }
    }
}
