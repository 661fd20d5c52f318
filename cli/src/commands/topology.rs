//! `weir topology`.

use super::{ConfigFile, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;

takes!(Keys: Common, Kafka, Layout);

/// Topics, their keys and their settings on the broker
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show what apply would change
    Plan(Broker),
    /// Create what is missing and bring settings into line
    Apply(Broker),
    /// Exit with 1 when the broker differs from the plan
    Check(Broker),
    /// Print topics and stages as a Mermaid diagram
    Diagram,
    /// Print topics with their settings, and what each role may do on the brokers, as JSON
    List,
}

#[derive(clap::Args)]
struct Broker {
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        match self.verb {
            Verb::Plan(broker) => roles::topology::plan(&config.context(&broker.keys)?),
            Verb::Apply(broker) => roles::topology::apply(&config.context(&broker.keys)?),
            Verb::Check(broker) => roles::topology::check(&config.context(&broker.keys)?),
            Verb::Diagram => roles::topology::diagram(),
            Verb::List => roles::topology::list(),
        }
    }
}
