//! `weir run`.

use super::{ConfigFile, Following, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use crate::trace::Loaded;
use anyhow::Result;
use std::process::ExitCode;

takes!(Keys: Common, Vault, Embedded, Layout, Serving, Collector, Indicators, Listener, Tracing, Stages, Enforcer, Deciding, FastPath, Sending, Tripping, Tenants, Export);

/// Every role in one process on the embedded log: the place to start
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    following: Following,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        let (context, loaded) = config.context_behind(&self.keys, Loaded::of)?;
        roles::run::run(&context, loaded, self.following.until_idle)
    }
}
