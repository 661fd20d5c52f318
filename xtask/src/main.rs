//! Weir's automation. `cargo xtask --help` lists the commands.

mod alerts;
mod bench;
mod chaos;
mod clients;
mod compose;
mod daemon;
mod debian;
mod demo;
mod dirs;
mod docs;
mod ebpf;
mod example;
mod fuzz;
mod generate;
mod grpc;
mod kafka;
mod kubernetes;
mod maven;
mod pipeline;
mod registry;
mod release;
mod sandbox;
mod shell;
mod siem;
mod sim;
mod stix;
mod supply;
mod test;
mod tidy;
mod units;
mod venv;
mod wireshark;

use clap::{Parser, Subcommand};

#[cfg(feature = "bench")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Weir's own automation: setup, test, bench, real Kafka, the recorded example"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure what Weir costs, as JSON lines
    Bench(bench::Args),
    /// Check everything, on a bare machine
    Test(test::Args),
    /// Run the binary against software that others wrote
    Pipeline(pipeline::Args),
    /// Build the kernel side of tracing, with rustup's nightly or Debian's compiler; `--features ebpf` builds
    /// it in
    BuildEbpf,
    /// Run the fuzz targets of every parser
    Fuzz(fuzz::Args),
    /// Check alerts, dashboards and runbooks with Prometheus's own tools, and against one that scrapes a live
    /// Weir
    Alerts,
    /// Read what SIEMs are told with parsers of others, after `cargo build -p weir-enforcer --example
    /// siem-lines`
    Siem,
    /// Hold what is shared of campaigns against OASIS's validator of STIX
    Stix,
    /// Check the units for systemd with systemd's own tools
    Units,
    /// Render and check the chart for Helm and the manifests for Kubernetes
    Kubernetes(kubernetes::Args),
    /// Bring deploy/compose up in containers of its own, see a campaign refused, kill each service, and prove
    /// that nothing was lost
    Compose(compose::Args),
    /// Write the bill of materials of a release (CycloneDX), and hold it against what the binary is made of
    Supply,
    /// Build the commit that is checked out as it is shipped, and write archive, bill of materials and a
    /// signed attestation
    Release(release::Args),
    /// Write docs/metrics.md from the list of metrics, docs/configuration.md from the list of configuration
    /// keys, and the fields in docs/formats.md from the formats
    Docs,
    /// See Weir act: a campaign is refused by a real nginx, and let through again when its time is over
    Demo,
    /// Start, stop or describe the Kafka broker that the tests use
    Kafka(kafka::Args),
    /// Kill, freeze and fence Weir's processes on a real broker, and prove that nothing came of it
    Chaos(chaos::Args),
    /// Run Weir in one thread from one seed, or from thousands, with every fault that a log can have
    Sim(sim::Args),
    /// Start or stop the schema registry that the tests use
    Registry(registry::Args),
    /// Write a seeded access log of any size
    Generate(generate::Args),
    /// Record examples/access.jsonl with a real nginx and real clients
    Example(example::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Pipeline(args) => pipeline::run(&args),
        Command::BuildEbpf => ebpf::run(),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Alerts => alerts::run(),
        Command::Siem => siem::run(&dirs::built("weir")?),
        Command::Stix => stix::run(&dirs::built("weir")?),
        Command::Units => units::check(&dirs::built("weir")?),
        Command::Kubernetes(args) => kubernetes::run(&args),
        Command::Compose(args) => compose::run(&args),
        Command::Supply => supply::run(),
        Command::Release(args) => release::run(&args),
        Command::Docs => docs::run(),
        Command::Demo => demo::run(),
        Command::Kafka(args) => kafka::run(args),
        Command::Chaos(args) => chaos::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Registry(args) => registry::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Example(args) => example::run(args),
    }
}
