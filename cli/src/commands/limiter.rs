//! `weir limiter`.

use super::{ConfigFile, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;

takes!(Keys: Common, Embedded, Kafka);

/// How many accounts may be acted on in an hour before a person is asked
///
/// The keys act.limit_floor and act.limit_share_permille say how many.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print the limit, and which enforcers pause and why; exits with 1 where one does
    Show(Flags),
    /// Approve: enforcers that pause go on
    Approve(Flags),
}

#[derive(clap::Args)]
struct Flags {
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        match self.verb {
            Verb::Show(flags) => roles::safeguards::show_limiter(&config.context(&flags.keys)?),
            Verb::Approve(flags) => roles::safeguards::approve(&config.context(&flags.keys)?),
        }
    }
}
