//! `weir run --until-idle` over accounts that just pass by: five requests each, with a payment method and a
//! network of its own.
//!
//! Most accounts of a fleet are such, and nothing they have is shared. What they cost is what a fleet costs.

use super::meter::{Meter, Who, line, watched};
use crate::dirs;
use anyhow::{Result, ensure};
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

const ACCOUNTS: u64 = 100_000;
const EVENTS_EACH: u64 = 5;

/// Event time between two events.
const GAP_MS: u64 = 40;

const START_MS: u64 = 1_793_491_200_000;

pub fn run() -> Result<()> {
    let (weir, place) = (dirs::built("weir")?, tempfile::tempdir()?);
    let (log, data) = (place.path().join("passing.jsonl"), place.path().join("data"));
    write(&log)?;
    let mut run = Command::new(&weir);
    run.args(["run", "--until-idle", "--log-level", "warn", "--tail"]).arg(&log);
    run.arg("--data-dir").arg(&data).arg("--output-dir").arg(place.path().join("output"));
    run.stdout(Stdio::null());
    let meter = Meter::start(Who::Children)?;
    let seen = watched(run)?;
    let taken = meter.stop()?;
    ensure!(seen.status.success(), "weir run ended with {}", seen.status);
    let stored: u64 = std::fs::read_dir(data.join("log"))?
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|metadata| metadata.len())
        .sum();
    let more = json!({
        "accounts": ACCOUNTS,
        "rss_peak_bytes": seen.peak,
        "goal_rss_bytes": 150 << 20,
        "stored_bytes": stored,
        "goal_stored_bytes": 200_000_000,
        "goal_ns_each": 8_000,
    });
    line("passing", ACCOUNTS * EVENTS_EACH, taken, more);
    Ok(())
}

/// The log: all accounts one after the other, five times.
fn write(path: &Path) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for number in 0..ACCOUNTS * EVENTS_EACH {
        let (account, time_ms) = (number % ACCOUNTS, START_MS + number * GAP_MS);
        let (a, b, c) = (11 + account / 65_536, account / 256 % 256, account % 256);
        writeln!(
            out,
            "{{\"id\":\"p-{number}\",\"time\":{time_ms},\"account\":\"acct-{account}\",\"ip\":\"{a}.{b}.{c}.7\",\
             \"user_agent\":\"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\",\
             \"endpoint\":\"/v1/chat/completions\",\"model\":\"atlas-1\",\
             \"prompt\":\"What should I know about my landlord's letter of the {number}th, and what is due?\",\
             \"tokens\":{},\"status\":200,\"latency_ms\":900,\"payment\":\"pay-{account}\",\"asn\":64500,\
             \"asn_org\":\"Example Net\"}}",
            80 + number % 900,
        )?;
    }
    Ok(out.flush()?)
}
