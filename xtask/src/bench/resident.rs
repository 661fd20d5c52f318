//! What `weir collect` holds at its peak, from a file of 10 GB into Kafka.

use super::kafka::Deployment;
use super::meter::{Meter, Who, line, watched};
use crate::generate::{self, Labels, START_MS};
use crate::shell::succeed;
use crate::{dirs, kafka};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use weir_topology::log::Log as _;
use weir_topology::topic::Topic;

const PARTITIONS: u32 = 4;

/// Bytes of the file unless told otherwise.
const FILE_BYTES: u64 = 10_000_000_000;

/// Accounts in it unless told otherwise: about a thousand lines each.
const ACCOUNTS: usize = 25_000;

/// Lines that are generated at a time.
const LINES: u64 = 500_000;

/// Follows a file to its end, as a collector beside a gateway does that was behind.
pub fn run(bytes: Option<u64>, accounts: Option<usize>) -> Result<()> {
    let (bytes, accounts) = (bytes.unwrap_or(FILE_BYTES), accounts.unwrap_or(ACCOUNTS) as u64);
    let broker = kafka::up()?;
    let deployment = Deployment::new(&broker.brokers, "resident", PARTITIONS)?;
    let place = tempfile::tempdir_in(dirs::target("generated")?)?;
    let (file, keys) = (place.path().join("long.jsonl"), place.path().join("keys"));
    let lines = write(&file, bytes, accounts)?;
    let mut make = Command::new(dirs::built("weir")?);
    make.args(["keys", "make"]).arg(&keys).stdout(Stdio::null());
    succeed(make, "weir keys make")?;

    let arguments = ["collect", "--until-idle", "--node", "bench", "--source", "long", "--log-level", "warn"];
    let mut collect = deployment.weir(&arguments)?;
    collect.arg("--tail").arg(&file).arg("--keys-dir").arg(keys.join("collector"));
    let meter = Meter::start(Who::Children)?;
    let seen = watched(collect)?;
    let taken = meter.stop()?;
    ensure!(seen.status.success(), "weir collect ended with {}", seen.status);
    // Every line has an offset, and the end of every transaction has one, too.
    let log = deployment.log()?;
    let ends = (0..PARTITIONS).map(|partition| Ok(log.bounds(Topic::Events, partition)?.1));
    let offsets = ends.sum::<Result<i64>>()?;
    ensure!(offsets.unsigned_abs() > lines, "{offsets} offsets for {lines} lines");
    let more = json!({
        "file_bytes": std::fs::metadata(&file)?.len(),
        "accounts": accounts,
        "rss_peak_bytes": seen.peak,
        "own_peak_bytes": seen.own_peak,
        "goal_rss_bytes": 32 << 20,
    });
    line("resident", lines, taken, more);
    Ok(())
}

/// Writes a log of at least so many bytes; the number of its lines.
fn write(path: &Path, bytes: u64, accounts: u64) -> Result<u64> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let (mut lines, mut start_ms) = (0, START_MS);
    while lines == 0 || std::fs::metadata(path)?.len() < bytes {
        start_ms = generate::write(&mut out, start_ms, LINES, accounts, lines + 1, Labels::Without)?;
        lines += LINES;
        out.flush()?;
    }
    Ok(lines)
}
