//! What `weir protect` and `weir canary` do with the list that each keeps.

use super::ConfigFile;
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;
use weir_enforcer::subject::ListName;

takes!(Keys: Common, Embedded, Layout, Kafka);

/// What is done with a list.
#[derive(clap::Args)]
pub(super) struct OfList {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Put them on the list
    Add(Subjects),
    /// Take them off the list
    Remove(Subjects),
    /// Print the list
    List {
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
}

#[derive(clap::Args)]
struct Subjects {
    /// account/PSEUDONYM, tenant/NAME, or key/RAW-ID (which needs the collector's keys)
    #[arg(required = true, value_name = "WHO")]
    who: Vec<String>,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl OfList {
    /// Does it with this list.
    pub(super) fn run(self, config: &ConfigFile, list: ListName) -> Result<ExitCode> {
        let set = |subjects: Subjects, is_on| {
            let context = config.context(&subjects.keys)?;
            roles::safeguards::set_list(&context, list, &subjects.who, is_on)
        };
        match self.verb {
            Verb::Add(subjects) => set(subjects, true),
            Verb::Remove(subjects) => set(subjects, false),
            Verb::List { keys } => roles::safeguards::show_list(&config.context(&keys)?, list),
        }
    }
}
