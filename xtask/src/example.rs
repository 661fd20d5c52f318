//! The recorded example: a real nginx in front of a small model stub, driven by real clients.
//!
//! `record` writes examples/access.jsonl. `check` does the same for a few seconds in a scratch
//! directory, with a rotation in the middle, and keeps nothing. A live test uses [`LiveGateway`]
//! itself, so that Weir reads the log while nginx writes it.

mod access_log;
mod accounts;
mod clients;
mod gateway;
mod plan;
mod stub;
mod tools;

use std::path::PathBuf;

use anyhow::{Context, bail};

pub use gateway::LiveGateway;
pub use plan::Profile;
pub use stub::LlmStub;

/// What `cargo xtask example` is asked to do.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Record the example anew; takes about a minute and a half
    Record {
        /// The file to write
        #[arg(long, default_value = "examples/access.jsonl")]
        out: PathBuf,
    },
    /// Run nginx and the clients for a few seconds, rotate the log on the way, count every line
    Check,
}

/// Runs the command.
///
/// # Errors
/// Says which tool is missing, which client failed, or which log line is wrong.
pub fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Record { out } => record(&out),
        Command::Check => check(),
    }
}

/// A recording above this size is refused: it is committed, and every clone carries it.
const RECORDING_BYTES_MAX: u64 = 2_500_000;

fn record(out: &std::path::Path) -> anyhow::Result<()> {
    let dir = tempfile::tempdir().context("no scratch directory for nginx")?;
    let gateway = LiveGateway::start(dir.path())?;
    eprintln!("recording for {} s ...", Profile::RECORDING.duration.as_secs());
    let driven = gateway.drive(&Profile::RECORDING)?;
    let log = access_log::wait_for_lines(&[&gateway.log_path], driven.requests())?;
    access_log::check_rich(&log, &driven)?;
    if log.len() as u64 > RECORDING_BYTES_MAX {
        bail!("the recording has {} bytes, more than {RECORDING_BYTES_MAX}", log.len());
    }
    // Written beside its place and renamed, so that a reader never sees half a recording.
    let partial = out.with_extension("partial");
    std::fs::write(&partial, &log)
        .and_then(|()| std::fs::rename(&partial, out))
        .with_context(|| format!("cannot write {}", out.display()))?;
    println!("{}: {} lines, {} bytes", out.display(), driven.requests(), log.len());
    print!("{driven}");
    Ok(())
}

/// Drives a live gateway twice with a rotation between, and counts every request in its logs.
///
/// # Errors
/// Says what was lost, or which tool or client failed.
pub fn check() -> anyhow::Result<()> {
    let dir = tempfile::tempdir().context("no scratch directory for nginx")?;
    let gateway = LiveGateway::start(dir.path())?;
    let rotated = dir.path().join("access.jsonl.1");
    let first = gateway.drive(&Profile::SHORT)?;
    gateway.rotate(&rotated)?;
    let second = gateway.drive(&Profile::SHORT)?;

    // Which of the two files has the requests around the rotation is up to nginx; none is lost.
    let driven = first.and(second);
    let total = driven.requests();
    let log = access_log::wait_for_lines(&[&rotated, &gateway.log_path], total)?;
    access_log::check_rich(&log, &driven)?;
    for path in [&gateway.basic_log_path, &gateway.basic_auth_log_path] {
        access_log::check_json(&access_log::wait_for_lines(&[path], total)?)?;
    }
    println!("{total} requests, {total} lines in two files; the basic formats are JSON too");
    Ok(())
}
