//! `weir config`.

use super::{ConfigFile, Run};
use crate::output;
use crate::settings;
use crate::tenants;
use anyhow::Result;
use std::process::ExitCode;

/// Print the reference of all configuration keys
#[derive(clap::Args)]
pub struct Arguments {}

impl Run for Arguments {
    fn run(self, _: &ConfigFile) -> Result<ExitCode> {
        output::text(settings::reference() + &tenants::reference());
        Ok(ExitCode::SUCCESS)
    }
}
