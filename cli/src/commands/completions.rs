//! `weir completions`.

use super::{CommandLine, ConfigFile, Run};
use crate::output;
use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::{Shell, generate};
use std::process::ExitCode;

/// Print what a shell needs to complete weir's commands and flags
#[derive(clap::Args)]
pub struct Arguments {
    /// Shell
    shell: Shell,
}

impl Run for Arguments {
    fn run(self, _: &ConfigFile) -> Result<ExitCode> {
        // It takes a writer that never fails.
        let mut page = Vec::new();
        generate(self.shell, &mut CommandLine::command(), "weir", &mut page);
        output::text(String::from_utf8_lossy(&page));
        Ok(ExitCode::SUCCESS)
    }
}
