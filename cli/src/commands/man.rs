//! `weir man`.

use super::{CommandLine, ConfigFile, Run};
use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write the man pages of weir and of each command
#[derive(clap::Args)]
pub struct Arguments {
    /// Directory, made when it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Run for Arguments {
    fn run(self, _: &ConfigFile) -> Result<ExitCode> {
        let directory = &self.directory;
        std::fs::create_dir_all(directory)
            .and_then(|()| clap_mangen::generate_to(CommandLine::command(), directory))
            .with_context(|| format!("cannot write man pages to {}", directory.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
