//! `weir limiter`.

use super::{ConfigFile, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;
use weir_enforcer::limiter::tenant_cap_in;
use weir_enforcer::limits::ACCOUNTS_TOLD_MAX;

takes!(Keys: Common, Embedded, Kafka);

/// How many accounts may be acted on in an hour before a person is asked
///
/// The keys act.limit_floor and act.limit_share_permille say how many, act.limit_requests and
/// act.limit_traffic_permille how much traffic they may have, act.limit_tenant_permille how much of both one
/// tenant's may be, act.storm_floor and act.storm_times how many found at once are a storm.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print the limits, and which enforcers pause and why; exits with 1 where one does
    Show(Flags),
    /// Approve: enforcers that pause go on
    Approve {
        /// The pause of this tenant; without it, that of all of them
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Give a tenant a cap of its own, over all partitions
    Set {
        /// The tenant
        #[arg(value_name = "TENANT")]
        tenant: String,
        /// Accounts that may be acted on in an hour, or `default`: none of its own
        #[arg(value_name = "ACCOUNTS", value_parser = cap_in)]
        cap: Cap,
        #[command(flatten)]
        flags: Flags,
    },
}

/// A tenant's own cap, in accounts an hour; none for `default`.
#[derive(Clone, Copy)]
struct Cap(Option<u64>);

fn cap_in(text: &str) -> Result<Cap, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let body = if is_number { format!("accounts {text}") } else { text.to_owned() };
    tenant_cap_in(&body)
        .map(Cap)
        .map_err(|_| format!("give a number from 1 to {ACCOUNTS_TOLD_MAX}, or `default`: no cap of its own"))
}

#[derive(clap::Args)]
struct Flags {
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        match self.verb {
            Verb::Show(flags) => roles::safeguards::show_limiter(&config.context(&flags.keys)?),
            Verb::Approve { tenant, flags } => {
                roles::safeguards::approve(&config.context(&flags.keys)?, tenant.as_deref())
            }
            Verb::Set { tenant, cap, flags } => {
                roles::safeguards::set_tenant_limit(&config.context(&flags.keys)?, &tenant, cap.0)
            }
        }
    }
}
