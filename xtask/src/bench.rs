//! `cargo xtask bench`: what Weir costs, as JSON lines.
//!
//! Every line has `events_per_cpu_s`, over the CPU time of everything that did the work, children
//! included, and `events_per_wall_s`. Where two things are compared, both ran in this run on the same
//! input, and the line has their ratio. `docs/performance.md` says what each line means.
//!
//! The measures link Weir itself, so they are behind the feature `bench`: without it, this builds
//! xtask and `weir` for release and goes on there.

#[cfg(feature = "bench")]
mod account;
#[cfg(feature = "bench")]
mod codec;
#[cfg(feature = "bench")]
mod decide;
#[cfg(feature = "bench")]
mod hold;
#[cfg(feature = "bench")]
mod kafka;
#[cfg(feature = "bench")]
mod latency;
#[cfg(feature = "bench")]
mod meter;
#[cfg(feature = "bench")]
mod passing;
#[cfg(feature = "bench")]
mod plain;
#[cfg(feature = "bench")]
mod policy;
#[cfg(feature = "bench")]
mod reading;
#[cfg(feature = "bench")]
mod resident;
#[cfg(feature = "bench")]
mod restore;
#[cfg(feature = "bench")]
mod spine;
#[cfg(feature = "bench")]
mod tail;
#[cfg(feature = "bench")]
mod takeover;

use anyhow::Result;

/// Events of the generated log that goes through the pipeline.
#[cfg(feature = "bench")]
const EVENTS: u64 = 500_000;

#[derive(clap::Args)]
pub struct Args {
    /// Measure only this
    #[arg(long)]
    only: Option<Measure>,
    /// Number of accounts for `account`, `resident`, `restore` and `takeover`
    #[arg(long)]
    accounts: Option<usize>,
    /// Size of the file for `resident`, in bytes
    #[arg(long)]
    file_bytes: Option<u64>,
    /// Events a second for `latency`, instead of half of what `weir process` works off
    #[arg(long)]
    rate: Option<usize>,
    /// Number of partitions for `latency`, instead of 4 and 64
    #[arg(long)]
    partitions: Option<u32>,
    /// Number of applies, each with a rollback, for `policy`, instead of 1,000
    #[arg(long)]
    cycles: Option<u64>,
    /// Directory for the parts of `restore`
    #[arg(long, hide = true)]
    dir: Option<std::path::PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Measure {
    /// Decoding and encoding one event, beside apache-avro
    Codec,
    /// The account stage's step at growing numbers of accounts
    Account,
    /// What a line costs, part by part, by format and by length of its prompt
    Reading,
    /// A collector that reads a file into a log which keeps nothing
    Tail,
    /// What `weir collect` holds at its peak, from a file of 10 GB into Kafka
    Resident,
    /// `weir run` over a generated log, start to end, and its replay
    Embedded,
    /// `weir run` over 100,000 accounts that just pass by: five requests each, nothing shared
    Passing,
    /// A server of gateways: how long they wait and what a check costs, by HTTP and by gRPC
    Decide,
    /// From a datagram of a judge's to the hold that a gateway is told of
    Hold,
    /// `weir process` beside a bare consume and decode of the same topic
    Kafka,
    /// The same processing of the same events in 4 to 256 partitions
    Partitions,
    /// The same processing with and without transactions
    Tax,
    /// From an event to its visible verdict at half load, beside a Kafka Streams job that counts
    Latency,
    /// Taking state back
    Restore,
    /// From the end of a processor to the next judgement by another, with and without a standby
    Takeover,
    /// From `weir policy apply` or `rollback` to where all of three processors say it is in force
    Policy,
    /// One part of `restore`: writes the state that is taken back
    #[value(hide = true)]
    Save,
}

/// Builds for release and measures there.
///
/// # Errors
/// When the build or a measure fails.
#[cfg(not(feature = "bench"))]
pub fn run(args: &Args) -> Result<()> {
    use anyhow::Context as _;
    use clap::ValueEnum as _;
    use std::process::Command;

    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.current_dir(crate::dirs::workspace());
    build.args([
        "build",
        "--release",
        "--package",
        "weir",
        "--package",
        "xtask",
        "--features",
        "xtask/bench",
    ]);
    crate::shell::succeed(build, "cargo build")?;
    // Ours lies in `debug` of the target directory that cargo was told to use.
    let ours = std::env::current_exe().context("cannot tell where this binary is")?;
    let target = ours.parent().and_then(std::path::Path::parent).context("xtask lies in no directory")?;
    let mut bench = Command::new(target.join("release").join("xtask"));
    bench.arg("bench");
    if let Some(name) = args.only.and_then(|only| only.to_possible_value()) {
        bench.args(["--only", name.get_name()]);
    }
    if let Some(accounts) = args.accounts {
        bench.args(["--accounts", &accounts.to_string()]);
    }
    if let Some(bytes) = args.file_bytes {
        bench.args(["--file-bytes", &bytes.to_string()]);
    }
    if let Some(rate) = args.rate {
        bench.args(["--rate", &rate.to_string()]);
    }
    if let Some(partitions) = args.partitions {
        bench.args(["--partitions", &partitions.to_string()]);
    }
    if let Some(cycles) = args.cycles {
        bench.args(["--cycles", &cycles.to_string()]);
    }
    if let Some(dir) = &args.dir {
        bench.arg("--dir").arg(dir);
    }
    crate::shell::succeed(bench, "the release build of xtask")
}

/// Measures.
///
/// # Errors
/// When a measure fails.
#[cfg(feature = "bench")]
pub fn run(args: &Args) -> Result<()> {
    let is_asked = |measure| args.only.is_none_or(|only| only == measure);
    if is_asked(Measure::Codec) {
        codec::run()?;
    }
    if is_asked(Measure::Account) {
        account::run(args.accounts)?;
    }
    if is_asked(Measure::Reading) {
        reading::run()?;
    }
    if is_asked(Measure::Tail) {
        tail::run()?;
    }
    if is_asked(Measure::Resident) {
        resident::run(args.file_bytes, args.accounts)?;
    }
    if is_asked(Measure::Embedded) {
        spine::run()?;
    }
    if is_asked(Measure::Passing) {
        passing::run()?;
    }
    if is_asked(Measure::Decide) {
        decide::run()?;
    }
    if is_asked(Measure::Hold) {
        hold::run()?;
    }
    if is_asked(Measure::Kafka) {
        kafka::throughput()?;
    }
    if is_asked(Measure::Partitions) {
        kafka::partitions()?;
    }
    if is_asked(Measure::Tax) {
        kafka::tax()?;
    }
    if is_asked(Measure::Latency) {
        latency::run(args.rate, args.partitions)?;
    }
    if args.only == Some(Measure::Save) {
        restore::save(args.accounts, args.dir.as_deref())?;
    } else if is_asked(Measure::Restore) {
        restore::run(args.accounts, args.dir.as_deref())?;
    }
    if is_asked(Measure::Takeover) {
        takeover::run(args.accounts)?;
    }
    if is_asked(Measure::Policy) {
        policy::run(args.cycles)?;
    }
    Ok(())
}
