//! `weir share`.

use super::signing::SignFlags;
use super::{ConfigFile, Run};
use crate::roles::share::{Asked, write};
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

takes!(Keys: Common, Embedded, Kafka);

/// Write campaigns for others: STIX 2.1, signed lines, and the list of their accounts
///
/// Accounts are pseudonyms and values are keyed hashes.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    asked: Asked,
    /// Directory that gets stix.json, stix.dsse.jsonl, bundles.jsonl and takedown.csv
    #[arg(long, value_name = "DIR", default_value = "shared")]
    out: PathBuf,
    #[command(flatten)]
    signing: SignFlags,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        write(&config.context(&self.keys)?, &self.asked, &self.out, self.signing.directory())
    }
}
