//! `weir enforce`.

use super::{ConfigFile, Following, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::process::ExitCode;

takes!(Keys: Common, Vault, Kafka, Serving, Stages, Enforcer);

/// Act on verdicts, and write the output directory
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    following: Following,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        roles::enforce::run(&config.context(&self.keys)?, self.following.until_idle)
    }
}
