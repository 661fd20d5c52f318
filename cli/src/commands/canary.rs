//! `weir canary`.

use super::list::OfList;
use super::{ConfigFile, Run};
use anyhow::Result;
use std::process::ExitCode;
use weir_enforcer::subject::ListName;

/// Accounts and tenants that are acted on in canary posture, beside its share
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    list: OfList,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        self.list.run(config, ListName::Canary)
    }
}
