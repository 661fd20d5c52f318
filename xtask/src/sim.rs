//! `cargo xtask sim`: one seed, or a soak of many, in a release build.

use crate::dirs;
use crate::shell::succeed;
use anyhow::Result;
use std::process::Command;

#[derive(clap::Args)]
pub struct Args {
    /// What the simulator is told: `--seed N [--verbose]`, or `--seeds N [--from S]`, and `--bug NAME`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the simulator and hands the arguments on.
pub fn run(args: &Args) -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(dirs::workspace()).args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "weir-sim",
        "--",
    ]);
    command.args(&args.arguments);
    succeed(command, "the simulator")
}
