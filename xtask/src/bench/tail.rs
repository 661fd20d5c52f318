//! How fast a collector reads: tail, parse, features, pseudonyms, encode.

use super::EVENTS;
use super::meter::{Meter, Who, line};
use super::plain::Discard;
use crate::dirs;
use crate::generate::{self, Labels};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weir_collector::{Collector, CollectorConfig, Keys, Mode, Pseudonymizer, Sealer};
use weir_schemas::wire::{Wire, split};
use weir_topology::log::Log;
use weir_topology::memory::MemoryLog;
use weir_topology::telemetry::Silent;
use weir_topology::topic::Topic;

/// The generated log of as many events, without labels: in production nobody knows whose they are.
pub fn generated(events: u64) -> Result<PathBuf> {
    let path = dirs::target("generated")?.join(format!("unlabelled-{events}.jsonl"));
    generate::to_file(&path, events, Labels::Without)?;
    Ok(path)
}

pub fn run() -> Result<()> {
    let path = generated(EVENTS)?;
    let size = std::fs::metadata(&path)?.len();
    let log = Discard::default();
    let meter = Meter::start(Who::Ourselves)?;
    let events = collect(&path, &log)?;
    let taken = meter.stop()?;
    ensure!(events == EVENTS, "{events} events of {EVENTS} lines");
    let per_s = |seconds: f64| (size as f64 / seconds).round();
    let more = json!({
        "line_bytes": size / EVENTS,
        "event_bytes": log.bytes(Topic::Events) as f64 / EVENTS as f64,
        "identity_bytes_each_event": log.bytes(Topic::Identities) as f64 / EVENTS as f64,
        "bytes_per_cpu_s": per_s(taken.cpu_s),
        "bytes_per_wall_s": per_s(taken.wall_s),
    });
    line("tail", events, taken, more);
    Ok(())
}

/// Reads the whole file into `log` and gives the number of events.
pub fn collect(path: &Path, log: &dyn Log) -> Result<u64> {
    let mut config = CollectorConfig::new(path, "bench");
    config.mode = Mode::Import;
    let sealer = Sealer::new(1, &[9; 32], [8; 32]).context("the bench's seal key")?;
    let keys = Keys { pseudonymizer: Pseudonymizer::new([7; 32], 1), sealer };
    let clock = Arc::new(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as i64)
    });
    let mut collector = Collector::open(log, config, keys, Arc::new(Wire::new()), Arc::new(Silent), clock)?;
    let mut events = 0;
    loop {
        let progress = collector.run_once(Duration::from_millis(100))?;
        events += progress.events;
        ensure!(progress.rejected == 0, "{} lines were refused", progress.rejected);
        if progress.at_end() {
            return Ok(events);
        }
    }
}

/// The datums of real events, as a collector makes them of the first lines of a generated log.
pub fn datums(events: u64) -> Result<Vec<Vec<u8>>> {
    let place = tempfile::tempdir()?;
    let path = place.path().join("events.jsonl");
    generate::to_file(&path, events, Labels::Without)?;
    let log = MemoryLog::new(1);
    collect(&path, log.as_ref())?;
    let datum = |payload: &[u8]| Some(split(payload).ok()?.1.to_vec());
    let records = log.all(Topic::Events);
    let datums: Option<Vec<_>> = records.iter().map(|record| datum(record.payload.as_deref()?)).collect();
    datums.context("an event is not framed")
}
