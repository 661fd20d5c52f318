//! `weir key-server`.

use super::{ConfigFile, Run};
use crate::roles;
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// A key-management server for tests and demonstrations: it takes the enforcer's webhooks and writes down
/// what it did
#[derive(clap::Args)]
pub struct Arguments {
    /// Where it listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    addr: String,
    /// File with the secret that webhooks are signed with, readable by the owner only
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// File of JSON lines, one for each thing that it did
    #[arg(long, value_name = "FILE")]
    journal: PathBuf,
}

impl Run for Arguments {
    fn run(self, _: &ConfigFile) -> Result<ExitCode> {
        roles::key_server::run(&self.addr, &self.secret_file, &self.journal)
    }
}
