//! `weir kill-switch`.

use super::{ConfigFile, Format, Run};
use crate::roles;
use crate::roles::kill_switch::PersonFlags;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;
use weir_enforcer::kill_switch::{PersonRole, RequestKind};

takes!(Keys: Common, Embedded, Layout, Kafka);

/// Stop acting, by the signed word of persons; and let it go on again
///
/// enable_audit_only (operations), restore_normal (operations) and break_glass (sre; over after 30 minutes)
/// take one person who has the role. emergency_shutdown takes two others than who asks (security and sre),
/// flush_journal three. A request is good for ten minutes.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Who may ask and approve
    #[command(subcommand)]
    Persons(PersonsVerb),
    /// Ask for something, with your own key
    Request {
        /// enable_audit_only, emergency_shutdown, break_glass, flush_journal or restore_normal
        #[arg(value_name = "WHAT")]
        what: RequestKind,
        /// Why, on one line, without raw ids; it is written down for good
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        person: PersonFlags,
        /// Write the request here too, for those who approve and cannot read the log
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
    /// Approve of a request that somebody else made, with your own key
    Approve {
        /// The request's id, or the file that it was written to
        #[arg(value_name = "ID|FILE")]
        request: String,
        /// As what: security, operations or sre
        #[arg(long, value_name = "ROLE")]
        role: PersonRole,
        #[command(flatten)]
        person: PersonFlags,
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
    /// List the requests that wait for approvals
    List(ShowFlags),
    /// Say whether it is on, by which request, and which enforcers follow; exits with 1 where it is on
    Status(ShowFlags),
}

#[derive(Subcommand)]
enum PersonsVerb {
    /// Sign the persons of a file with the operator's key and put them in force
    ///
    /// A line a person: its name, its roles (with commas between), and its public key as `weir keys person`
    /// prints it. A request that waits goes on where whoever asked and approved has the same key and roles as
    /// before.
    Publish {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
    /// Print the persons in force
    Show(ShowFlags),
}

#[derive(clap::Args)]
struct ShowFlags {
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        use roles::kill_switch::{approve, list, persons, publish_persons, request as ask, status};
        match self.verb {
            Verb::Persons(PersonsVerb::Publish { file, keys }) => {
                publish_persons(&config.context(&keys)?, &file)
            }
            Verb::Persons(PersonsVerb::Show(flags)) => {
                persons(&config.context(&flags.keys)?, flags.format == Format::Json)
            }
            Verb::Request { what, reason, person, out, keys } => {
                ask(&config.context(&keys)?, what, &reason, &person, out.as_deref())
            }
            Verb::Approve { request, role, person, keys } => {
                approve(&config.context(&keys)?, &request, role, &person)
            }
            Verb::List(flags) => list(&config.context(&flags.keys)?, flags.format == Format::Json),
            Verb::Status(flags) => status(&config.context(&flags.keys)?, flags.format == Format::Json),
        }
    }
}
