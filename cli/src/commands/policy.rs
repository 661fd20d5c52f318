//! `weir policy`.

use super::{ConfigFile, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;

takes!(Keys: Common, Embedded, Kafka);

/// The policy that verdicts are judged by
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print the policy in force
    Show(Show),
    /// Check a policy file and put it in force
    Publish(Publish),
}

#[derive(clap::Args)]
struct Show {
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(clap::Args)]
struct Publish {
    /// Policy (TOML)
    file: PathBuf,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        match self.verb {
            Verb::Show(show) => roles::control::show_policy(&config.context(&show.keys)?),
            Verb::Publish(publish) => {
                roles::control::publish_policy(&config.context(&publish.keys)?, &publish.file)
            }
        }
    }
}
