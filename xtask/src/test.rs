//! `cargo xtask test`: everything, on a bare machine.
//!
//! Installs what is missing, starts the broker that the tests need, runs them, and stops it again.
//! With `CI` set a check that cannot run is a failure, not a skip.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::generate::Labels;
use crate::shell::succeed;
use crate::{
    alerts, clients, debian, demo, dirs, ebpf, example, fuzz, generate, grpc, kafka, kubernetes, pipeline,
    siem, stix, units, wireshark,
};

/// What the build links, and what the tests drive.
const PACKAGES: &[&str] = &[
    "build-essential",
    "pkg-config",
    "libssl-dev",
    "zlib1g-dev",
    "python3",
    "curl",
    // Clients of another TLS library, and what captures their connections.
    "wget",
    "tshark",
    "kcat",
    // A real Redis and a real nginx, for what acts.
    "redis-server",
    "nginx",
    "logrotate",
    // What others verify proofs with.
    "jq",
    "openssl",
    "runit",
    "daemontools",
];

/// Events of the generated log that goes through Kafka.
const KAFKA_EVENTS: u64 = 500_000;

#[derive(clap::Args)]
pub struct Args {
    /// Leave the slow parts out: no clippy, no Kafka, no nginx
    #[arg(long)]
    quick: bool,
}

/// Runs everything.
pub fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    if !args.quick {
        step("install what is missing", || debian::ensure_debian_packages(PACKAGES))?;
    }
    step("formatting", || cargo(&["fmt", "--all", "--check"], &[]))?;
    if args.quick {
        return step("tests", || {
            cargo(&["test", "--workspace", "--no-fail-fast", "--features", FEATURES], &[])
        });
    }
    // Before anything is compiled that it is built into.
    step("the kernel side of tracing", ebpf::run)?;
    step("clippy", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "--deny", "warnings"], &[])
    })?;
    step("documentation", || {
        let flags = [("RUSTDOCFLAGS", "--deny warnings".to_owned())];
        cargo(&["doc", "--workspace", "--no-deps", "--features", FEATURES], &flags)
    })?;
    step("fuzz targets, a few seconds each", || fuzz::run(&fuzz::Args::brief()))?;
    let was_up = kafka::running()?.is_some();
    let broker = step("Kafka", kafka::up_anew)?;
    let outcome = with_broker(&broker.brokers);
    if !was_up && std::env::var_os(kafka::BROKERS_VAR).is_none() {
        broker.stop()?;
    }
    outcome?;
    println!("\neverything passed in {:.0} min", started.elapsed().as_secs_f64() / 60.0);
    Ok(())
}

/// Features of the workspace's libraries that are off by default.
const FEATURES: &str = "weir-topology/embedded,weir-topology/kafka,weir-topology/runner,weir-schemas/resolve,weir/ebpf,weir/query";

fn with_broker(brokers: &str) -> Result<()> {
    let events = step("generate a log", generated_log)?;
    let mut surroundings = kafka::secure_surroundings()?;
    let modules = step("a Wireshark that knows JA4", wireshark::modules)?;
    surroundings.push((wireshark::MODULES_VAR, modules.display().to_string()));
    step("Go, for a client of another TLS library", || debian::ensure_command("go", "golang-go"))?;
    let python = step("a gRPC client of another implementation", grpc::python)?;
    surroundings.push((grpc::PYTHON_VAR, python.display().to_string()));
    let python = step("OpenTelemetry's SDK and LiteLLM's proxy", clients::python)?;
    surroundings.push((clients::PYTHON_VAR, python.display().to_string()));
    surroundings.push((kafka::BROKERS_VAR, brokers.to_owned()));
    surroundings.push(("WEIR_TEST_EVENTS", events.display().to_string()));
    step("tests", || {
        cargo(&["test", "--workspace", "--no-fail-fast", "--features", FEATURES], &surroundings)
    })?;
    let weir = dirs::built("weir")?;
    step("a live nginx, real clients, and `weir run` on its growing log", || pipeline::live_gateway(&weir))?;
    step("OpenTelemetry's SDK and LiteLLM's proxy over the listener", || clients::run(&weir))?;
    step("the demonstration: a campaign is refused at a gateway, and let through again", || {
        demo::with(&weir)
    })?;
    step("alerts, runbooks and dashboards, with Prometheus", || alerts::with(&weir))?;
    step("what SIEMs are told, read by parsers of others", || siem::run(&weir))?;
    step("what is shared of campaigns, with OASIS's validator of STIX", || stix::run(&weir))?;
    step("units, with systemd's own tools", || units::check(&weir))?;
    step("the chart and the manifests for Kubernetes, and every role as its pod starts it", || {
        kubernetes::check(&weir, true)
    })?;
    step("the recording's own checks", example::check)?;
    step("verdicts through somebody else's registry and reader", || {
        pipeline::through_registry(&weir, brokers)
    })
}

fn generated_log() -> Result<PathBuf> {
    let path = dirs::target("generated")?.join("events.jsonl");
    generate::to_file(&path, KAFKA_EVENTS, Labels::With)?;
    Ok(path)
}

/// Says what is being done and how long it took.
fn step<T>(what: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("\n== {what}");
    let started = Instant::now();
    let outcome = run().with_context(|| format!("failed: {what}"))?;
    println!("== {what}: done in {:.0} s", started.elapsed().as_secs_f64());
    Ok(outcome)
}

fn cargo(arguments: &[&str], surroundings: &[(&str, String)]) -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(dirs::workspace()).args(arguments);
    for (name, value) in surroundings {
        command.env(name, value);
    }
    succeed(command, "cargo")
}
