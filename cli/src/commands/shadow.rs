//! `weir shadow`: a policy that judges beside the one in force.

use super::{ConfigFile, Format, Run};
use crate::roles::shadow::{self, Options, Reporting};
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

takes!(Keys: Common, Embedded, Kafka, Serving, Stages);

/// Judge the live events by another policy, beside the one in force, and say who is gained, who is lost, and
/// why
///
/// It reads events and verdicts of the log and writes nothing there: what it says stays in a directory of its
/// own, where nobody acts on it, and from where it goes on when it is started again. It needs no keys. What
/// is configured as `policy` has no part in it.
#[derive(clap::Args)]
pub struct Arguments {
    /// Policy to judge by: a file, or `builtin`
    #[arg(value_name = "POLICY")]
    judged_by: PathBuf,
    /// Directory of what the shadow knows and says; `shadow` in the data directory when not given. It is of
    /// one policy
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// End when all events are judged, instead of waiting for more
    #[arg(long)]
    until_idle: bool,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the report to this file, again and again, instead of printing it at the end
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Seconds between two reports, in the file and in the metrics
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: u64,
    /// Name every account, instead of the first of each kind
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        let context = config.context(&self.keys)?;
        let options = Options {
            dir: self.dir.unwrap_or_else(|| context.settings.data_dir.join("shadow")),
            policy: self.judged_by,
            until_idle: self.until_idle,
            reporting: Reporting {
                is_json: self.format == Format::Json,
                out: self.out,
                every: Duration::from_secs(self.every),
                names_all: self.all,
            },
        };
        shadow::run(&context, &options)
    }
}
