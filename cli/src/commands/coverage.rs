//! `weir coverage`.

use super::verify::proof;
use super::{ConfigFile, Format, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use weir_replay::coverage::Asked;

takes!(Keys: Common, Embedded, Kafka);

/// State, signed, that every event was judged, dead-lettered or is still in flight
///
/// Exits with 0 when it balances, with 1 when it proves an imbalance (with --check: when the statement is not
/// to be believed), with 2 when it cannot prove either.
#[derive(clap::Args)]
pub struct Arguments {
    /// Events from this time on, in milliseconds since 1970
    #[arg(long, value_name = "N", allow_negative_numbers = true, requires = "to_ms")]
    from_ms: Option<i64>,
    /// Events before this time, in milliseconds since 1970
    #[arg(long, value_name = "N", allow_negative_numbers = true, requires = "from_ms")]
    to_ms: Option<i64>,
    /// Partition of weir.events
    #[arg(long, value_name = "P", requires_all = ["from_offset", "to_offset"], conflicts_with = "from_ms")]
    partition: Option<u32>,
    /// First offset of the partition
    #[arg(long, value_name = "N", allow_negative_numbers = true, requires = "partition")]
    from_offset: Option<i64>,
    /// First offset after the range
    #[arg(long, value_name = "N", allow_negative_numbers = true, requires = "partition")]
    to_offset: Option<i64>,
    /// Write the signed statement here
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Check a statement instead of making one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from_ms", "partition", "out"])]
    check: Option<PathBuf>,
    /// Key that must have signed it, as `weir keys make` prints it
    #[arg(long, value_name = "HEX", requires = "check")]
    public_key: Option<String>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Arguments {
    fn asked(&self) -> Asked {
        match (self.from_ms, self.to_ms, self.partition) {
            (Some(from_ms), Some(to_ms), _) => Asked::Times { from_ms, to_ms },
            (_, _, Some(partition)) => Asked::Offsets {
                partition,
                from: self.from_offset.unwrap_or(0),
                to: self.to_offset.unwrap_or(i64::MAX),
            },
            _ => Asked::Everything,
        }
    }
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        if let Some(file) = &self.check {
            return Ok(proof(roles::coverage::check(file, self.public_key.as_deref())));
        }
        let json = self.format == Format::Json;
        let run =
            || roles::coverage::run(&config.context(&self.keys)?, self.asked(), json, self.out.as_deref());
        Ok(proof(run()))
    }
}
