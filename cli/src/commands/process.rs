//! `weir process`.

use super::{ConfigFile, Following, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::process::ExitCode;

takes!(Keys: Common, Kafka, Serving, Stages, FastPath, Sending);

/// Judge: run the account, cluster and campaign stages on the partitions that fall to this process
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    following: Following,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        roles::process::run(&config.context(&self.keys)?, self.following.until_idle)
    }
}
