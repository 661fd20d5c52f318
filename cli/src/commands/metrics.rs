//! `weir metrics`.

use super::{ConfigFile, Format, Run};
use crate::output;
use crate::telemetry::{DECLARED, list};
use anyhow::Result;
use std::process::ExitCode;
use weir_enforcer::siem::destination::otlp::spans::DECLARED as SPANS;

/// Print what metrics there are: name, type, unit, labels and what they tell
#[derive(clap::Args)]
pub struct Arguments {
    /// Print the list, which is all that this command does
    #[arg(long)]
    list: bool,
    /// How it is printed: as a table, or as JSON for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Run for Arguments {
    fn run(self, _: &ConfigFile) -> Result<ExitCode> {
        match self.format {
            Format::Text => output::text(list::page(DECLARED, &SPANS)),
            Format::Json => print_line!("{}", list::json(DECLARED)?),
        }
        Ok(ExitCode::SUCCESS)
    }
}
