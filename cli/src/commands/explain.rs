//! `weir explain`.

use super::{ConfigFile, Format, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::process::ExitCode;

takes!(Keys: Common, Embedded, Kafka);

/// Say why a verdict or a campaign is what it is, and what would have had to differ
#[derive(clap::Args)]
pub struct Arguments {
    /// Verdict or campaign, 32 hex digits; of a campaign that is open the first digits are enough
    #[arg(value_name = "VERDICT_ID|CAMPAIGN_ID")]
    id: String,
    /// The same as `--format json`
    #[arg(long)]
    json: bool,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        let json = self.json || self.format == Format::Json;
        roles::explain::run(&config.context(&self.keys)?, &self.id, json)
    }
}
