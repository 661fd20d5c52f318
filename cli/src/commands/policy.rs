//! `weir policy`.

use super::{ConfigFile, Format, Run};
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
    /// Check a policy file, and say what it is; nothing is written
    Check(Check),
    /// Check a policy file and put it in force
    Publish(Publish),
    /// Print every policy that was ever put in force, the latest first
    History(History),
    /// Put a policy of the history in force again: the one before, or the one of this version
    Rollback(Rollback),
}

#[derive(clap::Args)]
struct Show {
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(clap::Args)]
struct Check {
    /// Policy (TOML)
    file: PathBuf,
}

#[derive(clap::Args)]
struct History {
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(clap::Args)]
struct Rollback {
    /// Version of the policy to go back to; the one before the one in force when not given
    version: Option<String>,
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
            Verb::Show(show) => roles::policy::show(&config.context(&show.keys)?),
            Verb::Check(check) => roles::policy::check(&check.file),
            Verb::History(history) => {
                let is_json = history.format == Format::Json;
                roles::policy::history(&config.context(&history.keys)?, is_json)
            }
            Verb::Rollback(rollback) => {
                roles::policy::roll_back(&config.context(&rollback.keys)?, rollback.version.as_deref())
            }
            Verb::Publish(publish) => roles::policy::publish(&config.context(&publish.keys)?, &publish.file),
        }
    }
}
