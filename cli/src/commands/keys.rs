//! `weir keys`.

use super::{ConfigFile, Run};
use crate::keys::Role;
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;

takes!(Keys: Common, Vault);

/// Keys of a deployment
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make the keys that are missing in a directory
    Make {
        /// Directory of the keys
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Say whether a role finds its keys where the configuration says, all that it needs and no secret beside
    /// them; exits with 1, and says what to do, where it would not start
    Check {
        /// The role
        #[arg(value_parser = role)]
        role: Role,
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
    /// Make a key by which nodes sign alerts and decision servers believe them, in a new file or one that is
    /// there; the keys of the same role there that are of these nodes alone end a day later
    Fastpath {
        /// The file, for `fastpath.keys_file`
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Name of a node that signs by it (the setting `node`, or its host name); may be given several times
        #[arg(long = "sender", value_name = "NODE", required = true)]
        senders: Vec<String>,
        /// What they may say by it: `judge` of verdicts, `collector` of tripwires
        #[arg(long, value_name = "ROLE", default_value = "judge", value_parser = fastpath_role)]
        role: weir_fastpath::Role,
        /// Days that it is good for
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3650))]
        days: u16,
    },
    /// Make a person's key, for the kill switch and for signing policies, and print its public half
    Person {
        /// File of the key, such as olga.key; the public half goes to olga.pub
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

fn fastpath_role(name: &str) -> Result<weir_fastpath::Role, String> {
    let role = weir_fastpath::Role::ALL.into_iter().find(|role| role.as_str() == name);
    role.ok_or_else(|| {
        format!("a role is {}", weir_fastpath::Role::ALL.map(weir_fastpath::Role::as_str).join(" or "))
    })
}

fn role(name: &str) -> Result<Role, String> {
    let role = Role::WITH_DIRECTORY.into_iter().find(|role| role.name() == name);
    role.ok_or_else(|| format!("a role is {}", Role::WITH_DIRECTORY.map(Role::name).join(", ")))
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        match self.verb {
            Verb::Make { directory } => roles::keys::make(&directory),
            Verb::Check { role, keys } => roles::keys::check(&config.context(&keys)?, role),
            Verb::Fastpath { file, senders, role, days } => {
                roles::keys::fastpath(&file, &senders, role, days)
            }
            Verb::Person { file } => roles::keys::person(&file),
        }
    }
}
