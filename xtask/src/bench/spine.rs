//! `weir run --until-idle` over the generated log: every role in one process on the embedded log.

use super::EVENTS;
use super::meter::{Meter, Who, line, watched};
use super::tail::generated;
use crate::dirs;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

pub fn run() -> Result<()> {
    let (weir, place) = (dirs::built("weir")?, tempfile::tempdir()?);
    let data = place.path().join("data");
    let mut run = Command::new(&weir);
    run.args(["run", "--until-idle", "--log-level", "warn", "--tail"]).arg(generated(EVENTS)?);
    run.arg("--data-dir").arg(&data).arg("--output-dir").arg(place.path().join("output"));
    run.stdout(Stdio::null());
    let meter = Meter::start(Who::Children)?;
    let seen = watched(run)?;
    let taken = meter.stop()?;
    ensure!(seen.status.success(), "weir run ended with {}", seen.status);

    let mut replay = Command::new(&weir);
    replay.args(["replay", "--as-recorded", "--format", "json", "--data-dir"]).arg(&data);
    let meter = Meter::start(Who::Children)?;
    let output = replay.output().context("cannot run weir replay")?;
    let replayed = meter.stop()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(report["judged"] == EVENTS && report["dlq"] == 0, "not every event was judged: {report}");
    let stored: u64 = std::fs::read_dir(data.join("log"))?
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|metadata| metadata.len())
        .sum();
    let more = json!({
        "goal_per_cpu_s": 100_000,
        "ideal_per_cpu_s": 400_000,
        "rss_peak_bytes": seen.peak,
        "stored_bytes_per_event": stored / EVENTS,
    });
    line("embedded", EVENTS, taken, more);
    line("replay_as_recorded", EVENTS, replayed, json!({}));
    Ok(())
}
