//! The world's log held against replays: as recorded, and in lockstep against a log that was never
//! disturbed.

use crate::log::{Shared, SimLog};
use crate::random::Random;
use crate::workload::{COLLECTED_MS, Workload};
use crate::world::{collector_config, collector_keys};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use weir_collector::{Collector, CollectorConfig};
use weir_replay::lockstep::{self, Layout};
use weir_replay::{ReplayError, recorded};
use weir_schemas::wire::Wire;
use weir_topology::error::TaskError;
use weir_topology::log::Log;
use weir_topology::memory::MemoryLog;
use weir_topology::stage::StageFactory;
use weir_topology::telemetry::Silent;

/// What makes the stages of each replay.
pub struct Makes<'a> {
    /// As they went live.
    pub as_recorded: &'a StageFactory,
    /// Without a cap on entries, which would depend on the layout.
    pub in_lockstep: &'a StageFactory,
    /// Whether other judges than theirs recorded some of it.
    pub is_mixed: bool,
}

/// Replays the world's log both ways. The error says what does not hold.
pub fn compare(
    seed: u64,
    workload: &Workload,
    wire: &Arc<Wire>,
    store: &Shared,
    makes: Makes<'_>,
    directory: &Path,
) -> Result<(), String> {
    let log = SimLog::new(store, usize::MAX);
    if !workload.has_poisoned_verdicts {
        let report = match recorded::replay(&log, wire, makes.as_recorded, |_| {}) {
            Ok(report) => Some(report),
            // It says so, and calls nothing different that another judged.
            Err(ReplayError::Task(TaskError::OtherJudge { .. })) if makes.is_mixed => None,
            Err(error) => return Err(told("as recorded", &error)),
        };
        if let Some(report) = report {
            if report.bytes_equal != Some(true) || report.written_digest.as_ref() != Some(&report.digest) {
                return Err("the replay as recorded does not give the verdicts that were written".into());
            }
            if report.campaigns_equal == Some(false) {
                return Err("the replay as recorded does not give what was said of campaigns".into());
            }
            if report.in_flight != 0 || report.events != report.judged + report.dlq {
                let (events, judged, dlq) = (report.events, report.judged, report.dlq);
                return Err(format!(
                    "{events} events, {judged} judged, {dlq} dead-lettered, {} in flight",
                    report.in_flight
                ));
            }
        }
    }
    let mut random = Random::new(seed, 5);
    let digest = |log: &dyn Log, partitions| {
        let layout = Layout { partitions, workers: 1 };
        let report = lockstep::replay(log, wire, makes.in_lockstep, layout, |_| {});
        report
            .map(|report| (report.digest, report.campaign_digest))
            .map_err(|error| told("in lockstep", &error))
    };
    let disturbed = digest(&log, random.between(1, 4) as u32)?;
    let undisturbed = undisturbed(workload, wire, directory, random.between(1, 4) as u32)?;
    let expected = digest(undisturbed.as_ref(), random.between(1, 4) as u32)?;
    if disturbed != expected {
        return Err("the lockstep digests are not those of the undisturbed run".into());
    }
    Ok(())
}

fn told(how: &str, error: &ReplayError) -> String {
    format!("the log cannot be replayed {how}: {error}")
}

/// The same sources, read into a log that nothing happens to.
fn undisturbed(
    workload: &Workload,
    wire: &Arc<Wire>,
    directory: &Path,
    partitions: u32,
) -> Result<Arc<MemoryLog>, String> {
    let log = MemoryLog::new(partitions);
    for source in &workload.sources {
        let config = collector_config(directory.join(&source.name), &source.name, 1_000, source.mode);
        // Its log is whole, and its clock is the machine's: lingering would only burn time.
        let config = CollectorConfig { linger: Duration::ZERO, ..config };
        let clock = Arc::new(|| COLLECTED_MS);
        let collector =
            Collector::open(log.as_ref(), config, collector_keys(), wire.clone(), Arc::new(Silent), clock);
        let mut collector = collector.map_err(|error| error.to_string())?;
        while !collector.run_once(Duration::ZERO).map_err(|error| error.to_string())?.at_end() {}
    }
    Ok(log)
}
