//! `weir keys`.

use super::{ConfigFile, Run};
use crate::roles;
use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;

/// Keys of a deployment
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make the keys that are missing in a directory
    Make {
        /// Directory of the keys
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Make a person's key, for the kill switch and for signing policies, and print its public half
    Person {
        /// File of the key, such as olga.key; the public half goes to olga.pub
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

impl Run for Arguments {
    fn run(self, _: &ConfigFile) -> Result<ExitCode> {
        match self.verb {
            Verb::Make { directory } => roles::keys::make(&directory),
            Verb::Person { file } => roles::keys::person(&file),
        }
    }
}
