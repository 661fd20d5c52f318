//! `weir evidence-pack`.

use super::signing::SignFlags;
use super::{ConfigFile, Run};
use crate::roles::evidence::{Asked, make};
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

takes!(Keys: Common, Embedded, Kafka);

/// Make a ZIP of what was done in a time: a signed certificate for every effect, the audit records behind it,
/// and a report
///
/// From real records only; where nothing was done, there is none. deploy/verify/weir-verify.sh verifies it
/// without Weir.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    asked: Asked,
    /// Where the ZIP goes
    #[arg(long, value_name = "FILE", default_value = "evidence.zip")]
    out: PathBuf,
    #[command(flatten)]
    signing: SignFlags,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        make(&config.context(&self.keys)?, &self.asked, &self.out, self.signing.directory())
    }
}
