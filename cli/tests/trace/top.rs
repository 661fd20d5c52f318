//! `weir top`: what it shows of a process is what that process counted itself.

use super::*;
use serde_json::Value;
use std::sync::atomic::{AtomicU32, Ordering};

const TALLY: &str = concat!(include_str!("tally.py"), include_str!("server.py"));

pub(super) fn top(tracing: &Tracing) -> Value {
    let output = success(weir(&[
        "top",
        "--once",
        "--json",
        "--interval-ms",
        "100",
        "--metrics-addr",
        &tracing.metrics,
    ]));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A name that no other process has.
fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("top{}-{}", COUNT.fetch_add(1, Ordering::Relaxed), std::process::id())
}

/// A server of this name that counts what it reads and writes through TLS, its port, and where it writes down
/// what it counted.
fn server(bench: &Bench, name: &str, tally: &str) -> (Program, String, PathBuf) {
    let [python, tally] = [name, tally].map(|file| bench.place.directory.path().join(file));
    if !python.exists() {
        fs::copy(fs::canonicalize(PYTHON).unwrap(), &python).unwrap();
    }
    let mut command = Command::new(python);
    // Wherever its executable is.
    command.env("PYTHONHOME", "/usr");
    command.env("TALLY", &tally).args(["-c", TALLY]);
    command.arg(&bench.place.feed).arg(&bench.certificate).arg(&bench.key);
    let mut server = Program::start(&mut command);
    let port = server.said();
    (server, port, tally)
}

fn counted(tally: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(tally).unwrap_or_default()).unwrap_or_default()
}

/// What is shown of a process, as its server writes it down.
fn shown(view: &Value, process: &str) -> Value {
    let own = view["processes"].as_array().unwrap().iter();
    let own = own.filter(|shown| shown["process"].as_u64() == process.parse().ok()).collect::<Vec<_>>();
    let [own] = own[..] else { return Value::Null };
    serde_json::json!({
        "received": own["received"]["messages"]["total"],
        "received_bytes": own["received"]["bytes"]["total"],
        "sent": own["sent"]["messages"]["total"],
        "sent_bytes": own["sent"]["bytes"]["total"],
    })
}

#[test]
fn what_is_shown_of_each_process_and_probe_is_what_the_servers_counted_themselves() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let name = name();
    let servers = ["tally-1", "tally-2"].map(|tally| server(&bench, &name, tally));
    let how = ["--tap-measure-probes", "true", "--tap-ring-bytes", "67108864"];
    let tracing = bench.tracing(&name, &how);
    tracing.waits_for(2);
    let before = top(&tracing);
    for (server, _, _) in &servers {
        assert_eq!(
            shown(&before, &server.id())["received"],
            0,
            "it is shown before it says anything: {before:#}"
        );
    }
    ask(&servers[0].1, 0, 40);
    ask(&servers[1].1, 1_000, 25);
    for (server, _, tally) in &servers {
        eventually("all that the server counted is shown, and no more", || {
            let counted = counted(tally);
            counted["received"].as_u64() > Some(0) && shown(&top(&tracing), &server.id()) == counted
        });
    }
    eventually("each request is an event", || tracing.events() == 65);
    let view = top(&tracing);
    let all: u64 = servers
        .iter()
        .map(|(server, ..)| {
            let shown = shown(&view, &server.id());
            shown["received"].as_u64().unwrap() + shown["sent"].as_u64().unwrap()
        })
        .sum();
    assert_eq!(all, tracing.messages("heard"), "they are all there is");
    assert_eq!((&view["events"]["total"], &view["sampled"]), (&65.into(), &"all".into()));
    // A probe at a function's entry runs as often as the function, and so does the one at its return.
    let runs = |probe: &str| {
        let probes = view["probes"].as_array().unwrap();
        let own = probes.iter().find(|shown| shown["probe"] == probe).unwrap();
        own["runs"]["total"].as_u64().unwrap()
    };
    let of_way =
        |way: &str| servers.iter().map(|(_, _, tally)| counted(tally)[way].as_u64().unwrap()).sum::<u64>();
    assert_eq!(runs("ssl_write_ex"), of_way("sent"));
    assert!(runs("ssl_read_ex") >= of_way("received"));
    assert!(runs("ssl_read_return") >= of_way("received") && runs("ssl_free") > 0, "{view:#}");
    let ns = |probe: &str| tracing.metric(&format!("weir_collector_probe_run_ns_total{{probe=\"{probe}\"}}"));
    assert!(ns("ssl_write_ex") >= runs("ssl_write_ex"), "no program runs for less than a nanosecond");

    // For people: a table, and a process that ended is not in it any more.
    let [ended, (server, ..)] = servers;
    let gone = ended.0.id();
    drop(ended);
    eventually("it is let go", || shown(&top(&tracing), &gone).is_null());
    let output =
        success(weir(&["top", "--once", "--interval-ms", "100", "--metrics-addr", &tracing.metrics]));
    let table = text(&output.stdout);
    assert!(table.contains(&format!("{:>8} {name} ", server.id())), "{table}");
    assert!(table.starts_with(&format!("{}: ", tracing.metrics)) && !table.contains(&gone), "{table}");
}

#[test]
fn what_found_no_room_is_shown_of_the_process_whose_it_was() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let name = name();
    let [loud, quiet] = ["tally-1", "tally-2"].map(|tally| server(&bench, &name, tally));
    let tracing = bench.tracing(&name, &["--tap-ring-bytes", "65536"]);
    tracing.waits_for(2);
    let id = tracing.running.0.id().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    signal("-STOP");
    ask(&loud.1, 0, 150);
    signal("-CONT");
    eventually("all that was dropped is the loud one's", || {
        let view = top(&tracing);
        let dropped = |process: &str| {
            let processes = view["processes"].as_array().unwrap();
            let own =
                processes.iter().find(|shown| shown["process"].as_u64() == process.parse().ok()).unwrap();
            own["dropped"]["tap_full"]["total"].as_u64().unwrap_or(0)
        };
        let all = view["lost"]["tap_full"]["total"].as_u64().unwrap_or(0);
        all > 0
            && (dropped(&loud.0.id()), dropped(&quiet.0.id())) == (all, 0)
            && shown(&view, &loud.0.id()) == counted(&loud.2)
    });
}

#[test]
fn a_process_that_ends_before_its_counts_were_told_is_shown_with_all_that_it_counted() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let name = name();
    let (server, port, tally) = server(&bench, &name, "tally");
    let id = server.id();
    // Nothing is told meanwhile but what is told of an end.
    let tracing = bench.tracing(&name, &["--collector-linger-ms", "60000"]);
    tracing.waits_for(1);
    ask(&port, 0, 12);
    drop(server);
    eventually("all that the server counted is shown", || {
        let counted = counted(&tally);
        counted["received"].as_u64() >= Some(12) && shown(&top(&tracing), &id) == counted
    });
}
