//! `weir replay`.

use super::{ConfigFile, Format, Run};
use crate::roles;
use crate::roles::replay::How;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::process::ExitCode;

takes!(Keys: Common, Embedded, Kafka);

/// Fold history again and say what comes out
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    how: Choice,
    /// Lockstep: partitions to spread accounts over
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    partitions: u32,
    /// Lockstep: worker threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    workers: u32,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// Fold what the epoch records say: must give the bytes that went live
    #[arg(long)]
    as_recorded: bool,
    /// Cut epochs by event time: the same result for any layout; how policies are compared
    #[arg(long)]
    lockstep: bool,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        let how = match self.how.lockstep {
            true => How::Lockstep { partitions: self.partitions, workers: self.workers },
            false => How::AsRecorded,
        };
        roles::replay::run(&config.context(&self.keys)?, how, self.format == Format::Json)
    }
}
