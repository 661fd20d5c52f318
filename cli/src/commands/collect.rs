//! `weir collect`.

use super::{ConfigFile, Following, Run};
use crate::settings::flags::{KeyFlags, takes};
use crate::trace::Loaded;
use crate::{pages, roles};
use anyhow::Result;
use std::process::ExitCode;

takes!(Keys: Common, Vault, Kafka, Serving, Collector, Indicators, Listener, Tracing, Feed, FastPath, Sending, Tripping, Tenants);

/// Follow a log file, take records by HTTP or read a topic, and publish their events to Kafka
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    following: Following,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        // It runs beside a gateway and holds little.
        pages::take_small();
        let (context, loaded) = config.context_behind(&self.keys, Loaded::of)?;
        roles::collect::run(&context, loaded, self.following.until_idle)
    }
}
