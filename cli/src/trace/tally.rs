//! What the kernel side counted, as metrics: of all processes together, of each, and of the probes.

use crate::telemetry::Metrics;
use anyhow::Result;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_collector::TraceSource;
use weir_tap::{Counts, ProbeRuns, Tap};

/// Most processes that have series of their own; all others share theirs.
const OWN_MAX: usize = 64;

/// The number of no process, and the name, under which those that have no series of their own are told of
/// together.
const OTHERS: (u32, &str) = (0, "others");

/// How long the series of a process that ended stay: who scrapes every half minute sees its last counts.
const ENDED: Duration = Duration::from_secs(30);

/// What was told last.
pub(super) struct Tally {
    metrics: Arc<Metrics>,
    all: Counts,
    processes: BTreeMap<u32, Told>,
    /// Processes that ended and whose own series are still there, with their numbers and names: who ended
    /// first comes first.
    ended: VecDeque<(Instant, u32, String)>,
    probes: BTreeMap<&'static str, ProbeRuns>,
}

struct Told {
    /// None of one that has no series of its own.
    name: Option<String>,
    counts: Counts,
}

impl Told {
    /// Tells of what came since the last time to all that was counted of a process.
    fn tell(&mut self, process: u32, counts: Counts, metrics: &Metrics) {
        let (number, name) = self.name.as_deref().map_or(OTHERS, |name| (process, name));
        metrics.process_heard(number, name, &counts.since(&self.counts));
        self.counts = counts;
    }
}

impl Tally {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            all: Counts::default(),
            processes: BTreeMap::new(),
            ended: VecDeque::new(),
            probes: BTreeMap::new(),
        }
    }

    /// A process is traced from now on.
    pub(super) fn begin(&mut self, process: u32, name: &str) {
        // What another one of this number counted is not its own.
        self.let_go(|_, number| number == process);
        let own = self.processes.values().filter(|told| told.name.is_some()).count();
        if own + self.ended.len() >= OWN_MAX
            && let Some((_, number, name)) = self.ended.pop_front()
        {
            self.metrics.process_let_go(number, &name);
        }
        let name = (own < OWN_MAX).then(|| name.to_owned());
        let mut told = Told { name, counts: Counts::default() };
        told.tell(process, Counts::default(), &self.metrics);
        self.processes.insert(process, told);
    }

    /// A process is traced no more, of which this was counted in all: its own series end after a while.
    pub(super) fn end(&mut self, process: u32, last: Counts) {
        let Some(mut told) = self.processes.remove(&process) else { return };
        told.tell(process, last, &self.metrics);
        if let Some(name) = told.name {
            self.ended.push_back((Instant::now(), process, name));
        }
    }

    /// How long the probes had run when it was told last, in nanoseconds: nought where that is not measured.
    pub(super) fn probes_ns(&self) -> u64 {
        self.probes.values().map(|runs| runs.run_ns).sum()
    }

    /// Ends the series of those that ended and are meant.
    fn let_go(&mut self, is_meant: impl Fn(Instant, u32) -> bool) {
        let metrics = &self.metrics;
        self.ended.retain(|(ended, number, name)| {
            let is_meant = is_meant(*ended, *number);
            if is_meant {
                metrics.process_let_go(*number, name);
            }
            !is_meant
        });
    }

    /// Tells of what was counted since the last time.
    pub(super) fn tell(&mut self, tap: &Tap, source: &mut TraceSource) -> Result<()> {
        let now = tap.counted()?;
        let since = now.all.since(&self.all);
        self.metrics.trace_heard(since.messages(), since.handed_on);
        for (loss, lost) in since.drops() {
            source.lose(loss, lost);
        }
        self.all = now.all;
        for (process, counts) in now.processes {
            if let Some(told) = self.processes.get_mut(&process) {
                told.tell(process, counts, &self.metrics);
            }
        }
        self.let_go(|ended, _| ended.elapsed() >= ENDED);
        self.metrics.probes_placed(tap.sites());
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
        tally.end(7, Counts::default());
        assert_eq!(series(), (0..=most).collect::<Vec<_>>(), "it is seen for a while");
        tally.begin(1_000, "worker");
        let expected: Vec<u32> = (0..=most).filter(|process| *process != 7).chain([1_000]).collect();
        assert_eq!(series(), expected);
    }

    #[test]
    fn what_came_before_a_process_ended_is_told_whether_or_not_it_has_series_of_its_own() {
        let metrics = Arc::new(Metrics::new());
        let mut tally = Tally::new(metrics.clone());
        let received = |process: u32| {
            let text = metrics.render();
            let of = format!("weir_collector_process_messages_total{{process=\"{process}\",");
            let mut lines =
                text.lines().filter(|line| line.starts_with(&of) && line.contains("\"received\""));
            lines.next().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        };
        let last = |received: u64| Counts { received, ..Counts::default() };
        let most = OWN_MAX as u32;
        (1..=most + 2).for_each(|process| tally.begin(process, "worker"));
        tally.end(3, last(30));
        tally.end(most + 1, last(5));
        tally.end(most + 2, last(7));
        assert_eq!([received(3), received(0)], [Some(30), Some(12)]);
        // Another one has its number, and nothing of what it counted.
        tally.begin(3, "worker");
        assert_eq!(received(3), Some(0));
        tally.end(3, last(1));
        tally.let_go(|ended, _| ended.elapsed() >= ENDED);
        assert_eq!(received(3), Some(1), "it is told before it goes");
        tally.let_go(|_, _| true);
        assert_eq!([received(3), received(0)], [None, Some(12)]);
    }
}
