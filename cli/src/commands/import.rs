//! `weir import`.

use super::{ConfigFile, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

takes!(Keys: Common, Vault, Embedded, Layout, Kafka, Collector, Indicators, Tenants);

/// Read a whole log file (.gz too) into the embedded log, or into Kafka with --brokers
#[derive(clap::Args)]
pub struct Arguments {
    /// Log file
    file: PathBuf,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        roles::import::run(&config.context(&self.keys)?, &self.file)
    }
}
