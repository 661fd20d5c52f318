//! Weir's binary against software that others wrote: a live nginx with real clients, and a schema
//! registry with its own readers.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::example::{LiveGateway, Profile};
use crate::shell::{Owned, succeed};
use crate::{clients, dirs, kafka, registry};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Which,
}

#[derive(clap::Subcommand)]
enum Which {
    /// OpenTelemetry's SDK and LiteLLM's proxy over the listener
    Clients,
    /// A live nginx, real clients, and `weir run` on the growing log
    Gateway,
    /// Verdicts through somebody else's registry and reader
    Registry,
}

/// `cargo xtask pipeline ...`, with the binary that the last build left.
///
/// # Errors
/// Says what was lost, or what could not be run.
pub fn run(args: &Args) -> Result<()> {
    let weir = dirs::built("weir")?;
    match args.command {
        Which::Clients => clients::run(&weir),
        Which::Gateway => live_gateway(&weir),
        Which::Registry => through_registry(&weir, &kafka::up()?.brokers),
    }
}

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// nginx and its clients run live while `weir run` reads the log as it grows and is rotated; every
/// request is judged.
pub fn live_gateway(weir: &Path) -> Result<()> {
    let place = tempfile::tempdir()?;
    let at = |name: &str| place.path().join(name);
    std::fs::create_dir(at("nginx"))?;
    let gateway = LiveGateway::start(&at("nginx"))?;
    let mut run = Command::new(weir);
    run.args(["run", "--tail"]).arg(&gateway.log_path);
    run.arg("--data-dir").arg(at("data")).arg("--output-dir").arg(at("output"));
    let run = Owned(run.stdout(Stdio::null()).spawn().context("cannot run weir")?);

    let first = gateway.drive(&Profile::SHORT)?;
    gateway.rotate(&gateway.log_path.with_extension("jsonl.1"))?;
    let driven = first.and(gateway.drive(&Profile::SHORT)?);
    // Its events show as verdicts of the campaign while everything still runs.
    let decisions = at("output").join("audit_log.jsonl");
    let deadline = Instant::now() + PATIENCE;
    while std::fs::metadata(&decisions).map_or(0, |metadata| metadata.len()) == 0 {
        ensure!(Instant::now() < deadline, "no verdict came of {} live requests", driven.requests());
        std::thread::sleep(Duration::from_millis(100));
    }
    run.terminate("weir run")?;

    // What nginx wrote after the signal, the next run reads.
    let mut rest = Command::new(weir);
    rest.args(["run", "--until-idle", "--tail"]).arg(&gateway.log_path);
    rest.arg("--data-dir").arg(at("data")).arg("--output-dir").arg(at("output"));
    succeed(rest, "weir run --until-idle")?;
    let report = replay(weir, &["--data-dir".as_ref(), at("data").as_os_str()])?;
    ensure!(
        report["judged"] == driven.requests() as u64 && report["dlq"] == 0,
        "of {} requests: {report}",
        driven.requests()
    );
    println!("{} live requests, across a rotation: {report}", driven.requests());
    Ok(())
}

/// Records are framed for a schema registry that others wrote, and readers that others wrote read
/// the verdicts through it.
pub fn through_registry(weir: &Path, brokers: &str) -> Result<()> {
    let place = tempfile::tempdir()?;
    let keys = place.path().join("keys");
    let registry = registry::up()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    let prefix = format!("t{now}-registry-");
    let role = |arguments: &[&str]| {
        let mut command = Command::new(weir);
        command.args(arguments).args(["--brokers", brokers, "--kafka-prefix", &prefix]);
        command.args(["--registry-url", &registry.url]);
        command
    };
    let mut make = Command::new(weir);
    make.args(["keys", "make"]).arg(&keys);
    succeed(make, "weir keys make")?;
    succeed(
        role(&["topology", "apply", "--partitions", "2", "--kafka-replication", "1"]),
        "weir topology apply",
    )?;
    let mut import = role(&["import"]);
    import.arg("--keys-dir").arg(keys.join("collector")).arg(dirs::workspace().join("examples/access.jsonl"));
    succeed(import, "weir import")?;
    succeed(role(&["process", "--until-idle"]), "weir process")?;

    let verdicts = registry::read(brokers, &format!("{prefix}weir.verdicts"), &registry.url)?;
    ensure!(!verdicts.is_empty(), "no verdict was read through the registry");
    let report = replay(
        weir,
        &[
            "--brokers".as_ref(),
            brokers.as_ref(),
            "--kafka-prefix".as_ref(),
            prefix.as_ref(),
            "--registry-url".as_ref(),
            registry.url.as_ref(),
        ],
    )?;
    ensure!(report["verdicts"] == verdicts.len() as u64, "{} verdicts read of {report}", verdicts.len());
    let critical = verdicts.iter().filter(|verdict| verdict["tier"] == "CRITICAL").count();
    ensure!(critical > 0, "no critical verdict among {}", verdicts.len());
    println!("{} verdicts, {critical} of them critical, read through {}", verdicts.len(), registry.url);
    Ok(())
}

fn replay(weir: &Path, of: &[&std::ffi::OsStr]) -> Result<Value> {
    let output =
        Command::new(weir).args(["replay", "--as-recorded", "--format", "json"]).args(of).output()?;
    if !output.status.success() {
        bail!("weir replay: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
