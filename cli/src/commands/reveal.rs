//! `weir reveal`.

use super::{ConfigFile, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::process::ExitCode;
use weir_schemas::AccountId;

takes!(Keys: Common, Embedded, Kafka);

/// Print who stands behind a pseudonym, once the audit chain has who asked and why
///
/// It needs the enforcer's keys, and an enforcer that writes down that it was asked: on brokers it waits for
/// one; on the embedded log run `weir run` and ask the same again.
#[derive(clap::Args)]
pub struct Arguments {
    /// The pseudonym: 32 lower-case hex digits
    #[arg(value_name = "PSEUDONYM")]
    account: AccountId,
    /// Why, on one line; it is written down for good
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        roles::reveal::reveal(&config.context(&self.keys)?, self.account, &self.reason)
    }
}
