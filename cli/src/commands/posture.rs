//! `weir posture`.

use super::{ConfigFile, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::process::ExitCode;

takes!(Keys: Common, Embedded, Layout, Kafka);

/// Say how far the enforcer may act: audit, canary PERCENT, or enforce
///
/// It may be said before the first run: the log is made then.
#[derive(clap::Args)]
pub struct Arguments {
    /// audit, canary PERCENT, or enforce
    #[arg(required = true, num_args = 1..=2, value_name = "POSTURE")]
    posture: Vec<String>,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        roles::control::set_posture(&config.context(&self.keys)?, &self.posture.join(" "))
    }
}
