//! `weir decide`.

use super::{ConfigFile, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::process::ExitCode;

takes!(Keys: Common, Vault, Kafka, Serving, Deciding, FastPath, Tenants);

/// Tell gateways how accounts stand: nginx by auth_request, others by HTTP
///
/// It needs the keys of the role `collector`, so that the key that a client sends makes the same pseudonym as
/// in the log.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        roles::decide::run(&config.context(&self.keys)?)
    }
}
