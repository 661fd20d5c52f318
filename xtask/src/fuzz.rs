//! `cargo xtask fuzz`: libFuzzer over every parser, with the toolchain that is there.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::dirs;
use crate::shell::succeed;

/// What is fuzzed; see `fuzz/targets`.
const TARGETS: [&str; 9] =
    ["records", "lines", "push", "stages", "operators", "trace", "hello", "spool", "datagrams"];

/// Coverage instrumentation, as cargo-fuzz asks rustc for it. No sanitizer: the code has no unsafe.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

#[derive(clap::Args)]
pub struct Args {
    /// Only this target: records, lines, push, stages, operators, trace, hello, spool or datagrams
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

impl Args {
    /// Every target for as long as CI has time: does it build, run, and survive its corpus?
    pub fn brief() -> Self {
        Self { target: None, seconds: 5 }
    }
}

/// Builds the targets and runs each for a while; a crash leaves its input in fuzz/artifacts.
///
/// # Errors
/// When a target does not build, or finds something.
pub fn run(args: &Args) -> Result<()> {
    let chosen = |name: &&&str| args.target.as_ref().is_none_or(|target| target == **name);
    let targets: Vec<&&str> = TARGETS.iter().filter(chosen).collect();
    ensure!(!targets.is_empty(), "the targets are {}", TARGETS.join(", "));
    let fuzz = dirs::workspace().join("fuzz");
    let built = dirs::target("fuzz")?;
    let host = host_triple()?;
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // With a target triple, build scripts and macros are not instrumented.
    build.current_dir(&fuzz).args(["build", "--release", "--locked", "--target", &host]);
    build.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &built);
    succeed(build, "cargo build of the fuzz targets")?;
    for target in targets {
        let corpus = dirs::target("fuzz-corpus")?.join(target);
        let artifacts = fuzz.join("artifacts").join(target);
        std::fs::create_dir_all(&corpus)?;
        std::fs::create_dir_all(&artifacts)?;
        let mut command = Command::new(built.join(&host).join("release").join(target));
        command
            .arg(format!("-max_total_time={}", args.seconds))
            .arg("-rss_limit_mb=2048")
            .arg("-max_len=4096");
        command
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg("-print_final_stats=1")
            .arg(corpus);
        // What is worth knowing from the first run on.
        let known = fuzz.join("corpus").join(target);
        if known.is_dir() {
            command.arg(known);
        }
        succeed(command, target)?;
    }
    Ok(())
}

fn host_triple() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(String::from).ok_or_else(|| anyhow::anyhow!("rustc -vV names no host"))
}
