//! `weir diff`: who is gained and who is lost when one policy takes another's place.

use super::{ConfigFile, Format, Run};
use crate::lab::Bench;
use crate::output;
use crate::roles::policy;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use weir_processor::policy::Policy;
use weir_replay::evaluate::diff::Diff;

takes!(Keys: Common, Embedded, Kafka);

/// Accounts named one by one unless all are asked for.
const SHOWN: usize = 20;

/// Judge the same events by two policies, and say who is gained, who is lost, and why
#[derive(clap::Args)]
pub struct Arguments {
    /// Policy in force until now: a file, or `builtin`
    #[arg(value_name = "POLICY")]
    first: PathBuf,
    /// Policy that would take its place: a file, or `builtin`
    #[arg(value_name = "OTHER")]
    second: PathBuf,
    /// Log file, plain or gzip, with labels or without; `-` is standard input. Without one, the events of the
    /// log
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Name every account, instead of the first of each kind
    #[arg(long)]
    all: bool,
    /// Threads
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        let context = config.context(&self.keys)?;
        let policies = [policy(&self.first)?, policy(&self.second)?];
        let bench = Bench::new(self.workers);
        let labelled = match &self.file {
            Some(file) => bench.read(file)?,
            None => bench.copied(&context)?,
        };
        let (first, second) = (bench.judge(&labelled, &policies[0])?, bench.judge(&labelled, &policies[1])?);
        let mut diff = Diff::of(&first, &second, [&policies[0].version, &policies[1].version]);
        if !self.all {
            diff.gained.truncate(SHOWN);
            diff.lost.truncate(SHOWN);
        }
        match self.format {
            Format::Text => output::text(diff),
            Format::Json => print_line!("{}", serde_json::to_string(&diff)?),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn policy(path: &Path) -> Result<Policy> {
    if path == Path::new("builtin") {
        return Ok(Policy::builtin());
    }
    Ok(policy::read_policy(path)?.0)
}
