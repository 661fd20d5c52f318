//! What came between two readings.

use super::exposition::{Labels, Reading};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is shown. The fields of its JSON stay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// Where the process serves its metrics.
    pub address: String,
    /// Time between the two readings, in milliseconds.
    pub interval_ms: u64,
    /// What the process itself used, in hundredths of one processor.
    pub cpu_percent: f64,
    /// What the probes used, in whichever process, in hundredths of one processor; none where the kernel did
    /// not measure.
    pub probes_cpu_percent: Option<f64>,
    /// Whose requests become events: `all`, or one of so many accounts, such as `1/4`.
    pub sampled: String,
    /// Events that were published.
    pub events: Count,
    /// What lies in the spool; none where there is none.
    pub spool: Option<SpoolView>,
    /// The processes that are traced, by their numbers.
    pub processes: Vec<ProcessView>,
    /// The probes, in their order.
    pub probes: Vec<ProbeView>,
    /// What a probe costs a call, in nanoseconds, by how it is placed; nothing where that was not measured.
    pub traps_ns: BTreeMap<String, u64>,
    /// What was lost, of all processes, by its cause; causes for which nothing ever was are not there.
    pub lost: BTreeMap<String, Count>,
}

/// A spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SpoolView {
    /// Bytes of events that wait for the log.
    pub waiting_bytes: u64,
    /// Bytes that it takes on the disk.
    pub bytes: u64,
    /// Most bytes that it may take.
    pub bytes_max: u64,
}

/// A process that is traced.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessView {
    /// Its number; 0 of those that have no series of their own.
    pub process: u32,
    /// Its name.
    pub name: String,
    /// What it received.
    pub received: Traffic,
    /// What it sent.
    pub sent: Traffic,
    /// What could not be handed on, by its cause; causes for which nothing ever was are not there.
    pub dropped: BTreeMap<String, Count>,
}

/// What went one way.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Traffic {
    /// Messages.
    pub messages: Count,
    /// Their bytes.
    pub bytes: Count,
}

/// A probe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeView {
    /// Its name.
    pub probe: &'static str,
    /// Times that it ran while the kernel measured.
    pub runs: Count,
    /// Nanoseconds of each second that it ran for.
    pub ns_per_s: f64,
    /// Nanoseconds of a run; none where it did not run.
    pub ns_per_run: Option<f64>,
    /// How many are attached, by where they were placed; what there is none of is not there.
    pub placed: BTreeMap<String, u64>,
}

/// A counter.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Count {
    /// Since it began.
    pub total: u64,
    /// What came between the readings, a second.
    pub per_s: f64,
}

impl View {
    /// What came between two readings of the process at `address`, this long apart.
    pub fn between(address: &str, before: &Reading, now: &Reading, interval: Duration) -> Self {
        let between = Between { before, now, seconds: interval.as_secs_f64().max(0.001) };
        let probes: Vec<_> = weir_tap::PROBE_NAMES.into_iter().map(|probe| between.probe(probe)).collect();
        let ns_per_s = probes.iter().map(|probe| probe.ns_per_s).sum::<f64>();
        let is_measured = probes.iter().any(|probe| probe.runs.per_s > 0.0);
        Self {
            address: address.to_owned(),
            interval_ms: u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
            cpu_percent: between.count("weir_cpu_ms_total", &Labels::new()).per_s / 10.0,
            probes_cpu_percent: is_measured.then_some(ns_per_s / 1e7),
            sampled: between.sampled(),
            events: between.count("weir_collector_events_published_total", &Labels::new()),
            spool: between.spool(),
            processes: between.processes(),
            probes,
            traps_ns: between.now_by("weir_collector_probe_trap_ns", "trap", &Labels::new()),
            lost: between.causes("weir_collector_trace_losses_total", "kind", &Labels::new()),
        }
    }
}

struct Between<'r> {
    before: &'r Reading,
    now: &'r Reading,
    seconds: f64,
}

impl Between<'_> {
    fn count(&self, name: &str, labels: &Labels) -> Count {
        let now = self.now.value(name, labels).unwrap_or(0.0);
        // What is less than it was began anew.
        let before = self.before.value(name, labels).filter(|before| *before <= now).unwrap_or(0.0);
        Count { total: now as u64, per_s: (now - before) / self.seconds }
    }

    fn spool(&self) -> Option<SpoolView> {
        let now = |name| self.now.value(name, &Labels::new()).unwrap_or(0.0) as u64;
        let bytes_max = now("weir_collector_spool_bytes_max");
        let (waiting_bytes, bytes) =
            (now("weir_collector_spool_waiting_bytes"), now("weir_collector_spool_bytes"));
        (bytes_max > 0).then_some(SpoolView { waiting_bytes, bytes, bytes_max })
    }

    fn sampled(&self) -> String {
        match self.now.value("weir_collector_sampling", &Labels::new()) {
            Some(one_of) if one_of > 1.0 => format!("1/{one_of}"),
            _ => "all".to_owned(),
        }
    }

    fn processes(&self) -> Vec<ProcessView> {
        let mut processes = BTreeMap::<u32, ProcessView>::new();
        for (labels, _) in self.now.named("weir_collector_process_messages_total") {
            let (Some(process), Some(name)) = (labels.get("process"), labels.get("name")) else { continue };
            let Ok(number) = process.parse() else { continue };
            processes.entry(number).or_insert_with(|| {
                let own: Labels = ["process", "name"]
                    .map(str::to_owned)
                    .into_iter()
                    .zip([process.clone(), name.clone()])
                    .collect();
                ProcessView {
                    process: number,
                    name: name.clone(),
                    received: self.traffic(&own, "received"),
                    sent: self.traffic(&own, "sent"),
                    dropped: self.causes("weir_collector_process_drops_total", "cause", &own),
                }
            });
        }
        processes.into_values().collect()
    }

    fn traffic(&self, own: &Labels, way: &str) -> Traffic {
        let mut labels = own.clone();
        labels.insert("way".into(), way.into());
        Traffic {
            messages: self.count("weir_collector_process_messages_total", &labels),
            bytes: self.count("weir_collector_process_bytes_total", &labels),
        }
    }

    /// What was counted by a label, of the series that have these others.
    fn causes(&self, name: &str, label: &str, own: &Labels) -> BTreeMap<String, Count> {
        let is_own = |labels: &Labels| own.iter().all(|(label, value)| labels.get(label) == Some(value));
        let series = self.now.named(name).filter(|(labels, value)| *value > 0.0 && is_own(labels));
        series
            .filter_map(|(labels, _)| Some((labels.get(label)?.clone(), self.count(name, labels))))
            .collect()
    }

    /// What there is now of a name by a label, of the series that have these others; without noughts.
    fn now_by(&self, name: &str, label: &str, own: &Labels) -> BTreeMap<String, u64> {
        let is_own = |labels: &Labels| own.iter().all(|(label, value)| labels.get(label) == Some(value));
        let series = self.now.named(name).filter(|(labels, value)| *value > 0.0 && is_own(labels));
        series.filter_map(|(labels, value)| Some((labels.get(label)?.clone(), value as u64))).collect()
    }

    fn probe(&self, probe: &'static str) -> ProbeView {
        let labels = Labels::from([("probe".to_owned(), probe.to_owned())]);
        let runs = self.count("weir_collector_probe_runs_total", &labels);
        let ns_per_s = self.count("weir_collector_probe_run_ns_total", &labels).per_s;
        let ns_per_run = (runs.per_s > 0.0).then(|| ns_per_s / runs.per_s);
        let placed = self.now_by("weir_collector_probes", "placement", &labels);
        ProbeView { probe, runs, ns_per_s, ns_per_run, placed }
    }
}
