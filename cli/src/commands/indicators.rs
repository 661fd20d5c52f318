//! `weir indicators`.

use super::signing::SignFlags;
use super::{ConfigFile, Format, Run};
use crate::roles::indicators::{self, Removed};
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;

takes!(Keys: Common, Indicators);

/// Others' indicators, which collectors compare requests with
///
/// They are tripwires: a request that meets one is marked, and the mark is evidence as far as the operator
/// trusts its source. By itself it does nothing to anybody.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Take the indicators of a bundle that a source signed: what `weir share` writes, or STIX 2.1 in an
    /// envelope
    Import {
        /// File with an envelope (DSSE) a line
        #[arg(value_name = "BUNDLE")]
        bundle: PathBuf,
        /// Who signed it, as indicators_dir/sources/NAME.toml says
        #[arg(long, value_name = "NAME")]
        source: String,
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
    /// Plant a token: print a new one, to be put where nobody who is honest takes it from, and look for it in
    /// the text of prompts from then on. Only its hash is kept
    Plant {
        /// Name by which events and evidence name it
        #[arg(value_name = "NAME")]
        name: String,
        /// A token that is there already, instead of a new one: 16 to 128 letters, digits, `-` and `_`
        #[arg(long, value_name = "TOKEN")]
        token: Option<String>,
        /// Days that it is looked for
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3650))]
        days: u16,
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
    /// Print the indicators that requests are compared with
    List {
        /// How it is printed
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
    /// Take away all indicators of a source, or those of one id
    Remove {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
    /// Take away the indicators that have ended; they are met no more in any case
    Expire {
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
    /// Print a bundle of STIX 2.1 of somebody who signs nothing, in an envelope that the operator signs for
    /// it
    Sign {
        /// File with the bundle
        #[arg(value_name = "STIX")]
        bundle: PathBuf,
        #[command(flatten)]
        signing: SignFlags,
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
}

/// Which indicators are taken away.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// All that this source told
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Those of this id, whoever told of them
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        match self.verb {
            Verb::Import { bundle, source, keys } => {
                indicators::import(&config.context(&keys)?, &bundle, &source)
            }
            Verb::Plant { name, token, days, keys } => {
                indicators::plant(&config.context(&keys)?, &name, token.as_deref(), days)
            }
            Verb::List { format, keys } => indicators::list(&config.context(&keys)?, format == Format::Json),
            Verb::Remove { which: Which { source, id }, keys } => {
                let removed = match (source, id) {
                    (Some(source), _) => Removed::Source(source),
                    (None, id) => Removed::Id(id.unwrap_or_default()),
                };
                indicators::remove(&config.context(&keys)?, &removed)
            }
            Verb::Expire { keys } => indicators::remove(&config.context(&keys)?, &Removed::Ended),
            Verb::Sign { bundle, signing, keys } => {
                indicators::sign(&config.context(&keys)?, &bundle, signing.directory())
            }
        }
    }
}
