//! A view for people.

use super::view::{Count, ProcessView, View};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is shown, as a table of the processes, one of the probes, and what was lost.
pub fn table(view: &View) -> String {
    let probes = match view.probes_cpu_percent {
        Some(percent) => format!("{percent:.2} %"),
        None => "not measured".to_owned(),
    };
    let sampled = match &*view.sampled {
        "all" => "all requests".to_owned(),
        share => format!("the requests of {share} of accounts"),
    };
    let mut text = format!(
        "{}: {:.1} events/s of {}; CPU of one processor: Weir {:.2} %, probes {probes}\n\n",
        view.address, view.events.per_s, sampled, view.cpu_percent
    );
    if view.processes.is_empty() {
        text += "no process is traced: start it with --trace, and `weir doctor` says what can be\n";
    } else {
        text += " PROCESS NAME             RECEIVED/s    BYTES/s     SENT/s    BYTES/s  DROPPED/s  DROPPED BY CAUSE\n";
    }
    // Those that have no series of their own come last.
    let (others, own): (Vec<_>, Vec<_>) = view.processes.iter().partition(|process| process.process == 0);
    own.into_iter().chain(others).for_each(|process| row(&mut text, process));
    text += "\n";
    probes_of(&mut text, view);
    if let Some(spool) = &view.spool {
        let [waiting, bytes, bytes_max] =
            [spool.waiting_bytes, spool.bytes, spool.bytes_max].map(|bytes| short(bytes as f64));
        let _ =
            writeln!(text, "\nspool: {waiting} bytes wait for the log; {bytes} of {bytes_max} on the disk");
    }
    let _ = writeln!(text, "\nlost, of all: {}", causes(&view.lost));
    text
}

/// What runs and what is placed, and what that costs.
fn probes_of(text: &mut String, view: &View) {
    if view.probes_cpu_percent.is_none() {
        *text += "no probe was measured: none ran, or the kernel measures none (tap.measure_probes, or sysctl \
                  kernel.bpf_stats_enabled=1)\n";
    }
    let shown: Vec<_> =
        view.probes.iter().filter(|probe| probe.ns_per_run.is_some() || !probe.placed.is_empty()).collect();
    if !shown.is_empty() {
        *text += "PROBE                        RUNS/s   NS A RUN    CPU %  PLACED\n";
    }
    for probe in shown {
        let [runs, ns, percent] = match probe.ns_per_run {
            Some(ns) => [short(probe.runs.per_s), short(ns), format!("{:.2}", probe.ns_per_s / 1e7)],
            None => ["-"; 3].map(str::to_owned),
        };
        let placed: Vec<_> = probe.placed.iter().map(|(place, count)| format!("{place} {count}")).collect();
        let row = format!("{:<24} {runs:>10} {ns:>10} {percent:>8}  {}", probe.probe, placed.join(", "));
        let _ = writeln!(text, "{}", row.trim_end());
    }
    let trap = |name: &str| view.traps_ns.get(name).copied().unwrap_or(0);
    if !view.traps_ns.is_empty() {
        let _ = writeln!(
            text,
            "\na probe costs a call: {} ns where it is emulated or a callee's, {} ns at another entry, {} ns more for its return",
            trap("emulated"),
            trap("apart"),
            trap("return"),
        );
    }
}

fn row(text: &mut String, process: &ProcessView) {
    // It may be called anything.
    let name: String = process.name.chars().filter(|char| !char.is_control()).take(16).collect();
    let dropped = process.dropped.values().fold(0.0, |sum, count| sum + count.per_s);
    let [received, sent] = [&process.received, &process.sent];
    let [number, causes] = [process.process.to_string(), causes(&process.dropped)];
    let _ = writeln!(
        text,
        "{:>8} {name:<16} {:>10} {:>10} {:>10} {:>10} {:>10}  {causes}",
        if process.process == 0 { "-" } else { &number },
        short(received.messages.per_s),
        short(received.bytes.per_s),
        short(sent.messages.per_s),
        short(sent.bytes.per_s),
        short(dropped),
    );
}

/// `tap_full 12, …`: since they began.
fn causes(counts: &BTreeMap<String, Count>) -> String {
    match counts.is_empty() {
        true => "nothing".to_owned(),
        false => {
            let each: Vec<_> =
                counts.iter().map(|(cause, count)| format!("{cause} {}", count.total)).collect();
            each.join(", ")
        }
    }
}

/// A number of three or four digits, by thousands.
fn short(value: f64) -> String {
    let (mut value, mut unit) = (value, "");
    for larger in ["k", "M", "G", "T"] {
        if value < 9_999.5 {
            break;
        }
        (value, unit) = (value / 1_000.0, larger);
    }
    match value < 100.0 && (!unit.is_empty() || value.fract() != 0.0) {
        true => format!("{value:.1}{unit}"),
        false => format!("{value:.0}{unit}"),
    }
}

#[cfg(test)]
mod tests;
