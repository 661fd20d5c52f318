//! What the kernel side counted, as metrics: of all processes together, of each, and of the probes.

use crate::telemetry::Metrics;
use anyhow::Result;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_collector::TraceSource;
use weir_tap::{Counts, ProbeRuns, Tap};

/// Most processes that have series of their own; all others share theirs.
const OWN_MAX: usize = 64;

/// The number of no process, and the name, under which those that have no series of their own are told of together.
const OTHERS: (u32, &str) = (0, "others");

/// What was told last.
pub(super) struct Tally {
    metrics: Arc<Metrics>,
    all: Counts,
    processes: BTreeMap<u32, Told>,
    probes: BTreeMap<&'static str, ProbeRuns>,
}

struct Told {
    /// None of one that has no series of its own.
    name: Option<String>,
    counts: Counts,
}

impl Tally {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, all: Counts::default(), processes: BTreeMap::new(), probes: BTreeMap::new() }
    }

    /// A process is traced from now on.
    pub(super) fn begin(&mut self, process: u32, name: &str) {
        let own = self.processes.values().filter(|told| told.name.is_some()).count();
        let name = (own < OWN_MAX).then(|| name.to_owned());
        let (number, shown) = name.as_deref().map_or(OTHERS, |name| (process, name));
        self.metrics.process_heard(number, shown, &Counts::default());
        self.processes.insert(process, Told { name, counts: Counts::default() });
    }

    /// A process is traced no more: its own series end.
    pub(super) fn end(&mut self, process: u32) {
        if let Some(Told { name: Some(name), .. }) = self.processes.remove(&process) {
            self.metrics.process_let_go(process, &name);
        }
    }

    /// Tells of what was counted since the last time.
    pub(super) fn tell(&mut self, tap: &Tap, source: &mut TraceSource<'_>) -> Result<()> {
        let now = tap.counted()?;
        let since = now.all.since(&self.all);
        self.metrics.trace_heard(since.messages(), since.handed_on);
        for (loss, lost) in since.drops() {
            source.lose(loss, lost);
        }
        self.all = now.all;
        for (process, counts) in now.processes {
            let Some(told) = self.processes.get_mut(&process) else { continue };
            let (number, name) = told.name.as_deref().map_or(OTHERS, |name| (process, name));
            self.metrics.process_heard(number, name, &counts.since(&told.counts));
            told.counts = counts;
        }
        for runs in tap.probe_runs()? {
            let none = ProbeRuns { runs: 0, run_ns: 0, ..runs };
            let before = self.probes.insert(runs.probe, runs).unwrap_or(none);
            let (count, ns) = (runs.runs - before.runs, runs.run_ns - before.run_ns);
            self.metrics.probe_ran(runs.probe, count, ns);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_processes_have_series_of_their_own_and_the_others_share_theirs() {
        let metrics = Arc::new(Metrics::new());
        let mut tally = Tally::new(metrics.clone());
        let most = OWN_MAX as u32;
        (1..=most + 2).for_each(|process| tally.begin(process, "worker"));
        let series = || {
            let text = metrics.render();
            let of_bytes = "weir_collector_process_bytes_total{process=\"";
            let numbers = text.lines().filter_map(|line| line.strip_prefix(of_bytes)?.split('"').next());
            let mut numbers: Vec<u32> = numbers.map(|number| number.parse().unwrap()).collect();
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        };
        assert_eq!(series(), (0..=most).collect::<Vec<_>>());
        // One that ends makes room for one that begins.
        tally.end(7);
        tally.begin(1_000, "worker");
        let expected: Vec<u32> = (0..=most).filter(|process| *process != 7).chain([1_000]).collect();
        assert_eq!(series(), expected);
    }
}
