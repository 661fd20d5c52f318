//! `weir slo`.

use super::{ConfigFile, Format, Run};
use crate::roles::slo;
use anyhow::Result;
use std::process::ExitCode;

/// Say how fast the budgets of the objectives burn, from what Prometheus has of this deployment
///
/// Verdicts within 5 s of their event, effects within 5 s of the decision, answers to gateways from
/// knowledge. It asks what the alerts of deploy/prometheus ask, over the same windows. Exits with 0 where no
/// budget burns or is spent, with 3 where one is, with 4 where nothing was measured of late, and with 1 where
/// Prometheus does not answer.
#[derive(clap::Args)]
pub struct Arguments {
    /// URL of the Prometheus that scrapes this deployment, such as http://127.0.0.1:9090
    #[arg(long, value_name = "URL")]
    prometheus: String,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Run for Arguments {
    fn run(self, _: &ConfigFile) -> Result<ExitCode> {
        slo::run(&self.prometheus, self.format == Format::Json)
    }
}
