//! `weir reinstate`.

use super::{ConfigFile, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::process::ExitCode;

takes!(Keys: Common, Embedded, Kafka);

/// Undo what is in force on an account or on every account of a tenant
///
/// It undoes what the log says is in force, whether or not an enforcer knows of it; of a tenant, on up to
/// 1,000 such accounts at a time. It says nothing of what comes: the next verdict may be acted on again.
/// `weir protect` forbids that.
#[derive(clap::Args)]
pub struct Arguments {
    /// account/PSEUDONYM, tenant/NAME, or key/RAW-ID (which needs the collector's keys)
    #[arg(value_name = "WHO")]
    who: String,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        roles::safeguards::reinstate(&config.context(&self.keys)?, &self.who)
    }
}
