//! `weir export`.

use super::{ConfigFile, Run};
use crate::roles::export;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::process::ExitCode;

takes!(Keys: Common, Embedded, Kafka, Serving, Export);

/// Tell SIEMs of verdicts, campaigns and actions
///
/// Each destination is told everything at least once, and goes on where it left off. It needs no keys:
/// accounts are told as pseudonyms.
#[derive(clap::Args)]
pub struct Arguments {
    /// End when the destinations have all that there is, instead of waiting for more
    #[arg(long)]
    until_idle: bool,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        export::run(&config.context(&self.keys)?, self.until_idle)
    }
}
