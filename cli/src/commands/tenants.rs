//! `weir tenants`.

use super::{ConfigFile, Run};
use crate::output;
use crate::tenants;
use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;

/// The tenants' registry
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print the tenants of a registry and what each chose; exits with 1, and says why, where a process would
    /// not start with it
    Check {
        /// Directory of the registry, as tenants.dir names it
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

impl Run for Arguments {
    fn run(self, _: &ConfigFile) -> Result<ExitCode> {
        match self.verb {
            Verb::Check { directory } => {
                output::text(tenants::shown(&tenants::read(&directory)?));
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}
