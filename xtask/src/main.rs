//! Weir's automation. `cargo xtask --help` lists the commands.

mod daemon;
mod debian;
mod dirs;
mod example;
mod generate;
mod kafka;
mod maven;
mod registry;

use clap::{Parser, Subcommand};

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
    /// Start, stop or describe the Kafka broker that the tests use
    Kafka(kafka::Args),
    /// Start or stop the schema registry that the tests use
    Registry(registry::Args),
    /// Write a seeded access log of any size
    Generate(generate::Args),
    /// Record examples/access.jsonl with a real nginx and real clients
    Example(example::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Kafka(args) => kafka::run(args),
        Command::Registry(args) => registry::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Example(args) => example::run(args),
    }
}
