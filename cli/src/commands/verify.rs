//! `weir verify`.

use super::{ConfigFile, Format, Run};
use crate::output;
use crate::roles;
use crate::roles::verify::UNPROVEN;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use weir_replay::verify::Choice;
use weir_schemas::{AccountId, VerdictId};

takes!(Keys: Common, Embedded, Kafka);

/// Fold what led to a verdict again, and show that the same bytes come out
///
/// Exits with 0 when proved, with 1 when something differs, with 2 when it cannot be told.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Account of the verdict, 32 hex digits: only its partition is read
    #[arg(long, value_name = "ACCOUNT", requires = "verdict")]
    account: Option<AccountId>,
    /// Seed of the draw, to draw the same again; random when not given
    #[arg(long, value_name = "S", requires = "sample")]
    seed: Option<u64>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Prove from an archive that `weir archive` made, instead of the log
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Verdict, 32 hex digits
    #[arg(value_name = "VERDICT_ID")]
    verdict: Option<VerdictId>,
    /// Prove N verdicts drawn at random, in one pass over each partition
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// Prove every verdict, and that none is missing from the log
    #[arg(long)]
    all: bool,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        let choice = match (self.which.verdict, self.which.sample) {
            (Some(id), _) => Choice::One { id, account: self.account },
            (None, Some(verdicts)) => {
                let seed = self.seed.unwrap_or_else(rand::random);
                note!("weir: drawn with --seed {seed}");
                Choice::Sample { verdicts: verdicts as usize, seed }
            }
            (None, None) => Choice::All,
        };
        let json = self.format == Format::Json;
        let run = || roles::verify::run(&config.context(&self.keys)?, self.archive.as_deref(), choice, json);
        Ok(proof(run()))
    }
}

/// An error proves nothing: it must not look like a difference that was found.
pub(super) fn proof(outcome: Result<ExitCode>) -> ExitCode {
    output::fails_with(UNPROVEN);
    outcome.unwrap_or_else(|error| {
        note!("weir: {error:#}");
        ExitCode::from(UNPROVEN)
    })
}
