//! `weir protect`.

use super::list::OfList;
use super::{ConfigFile, Run};
use anyhow::Result;
use std::process::ExitCode;
use weir_enforcer::subject::ListName;

/// Accounts and tenants that are never acted on, whatever is found
///
/// They are judged and shown to people as ever. What is in force on one that is added is undone.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    list: OfList,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        self.list.run(config, ListName::Protected)
    }
}
