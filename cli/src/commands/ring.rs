//! `weir ring`.

use super::{ConfigFile, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use std::process::ExitCode;

takes!(Keys: Common, Embedded, Layout, Kafka);

/// Say how far a ring of actions reaches: on, off, or how long its effects last and who undoes them
///
/// Ring 1 shows an account to people, 2 slows it down (5 minutes for MEDIUM, an hour for HIGH), 3 suspends it
/// (10 minutes, and a person undoes it).
#[derive(clap::Args)]
pub struct Arguments {
    /// 1 to 5
    #[arg(value_parser = clap::value_parser!(u8).range(1..=5))]
    ring: u8,
    /// on, off, or MILLISECONDS auto, or MILLISECONDS manual
    #[arg(required = true, num_args = 1..=2, value_name = "REACH")]
    reach: Vec<String>,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        roles::safeguards::set_ring(&config.context(&self.keys)?, self.ring, &self.reach.join(" "))
    }
}
