//! `weir policy`.

use super::{ConfigFile, Format, Run};
use crate::context::Context;
use crate::output;
use crate::roles::bundle::{self, Terms};
use crate::roles::policy;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::{Context as _, Result};
use clap::Subcommand;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use weir_processor::policy::Policy;

takes!(Keys: Common, Embedded, Kafka);
takes!(Offline: Common);

/// The policy that verdicts are judged by
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print the policy in force, or one that was
    Show(Show),
    /// Check a policy file, and say what it is; nothing is written
    Check(Check),
    /// Print what one policy says otherwise than another, key by key
    Diff(Diff),
    /// Sign a policy, or add a signature to a bundle
    Sign(Sign),
    /// Check a bundle against the trust store, and say what it is; nothing is written
    Verify(Verify),
    /// Check a bundle against the trust store, and put it in force
    Apply(Publish),
    /// Check a policy file and put it in force
    Publish(Publish),
    /// Print every policy that was ever put in force, the latest first
    History(History),
    /// Put a policy of the history in force again: the one before, or the one of this version
    Rollback(Rollback),
}

#[derive(clap::Args)]
struct Show {
    /// Version of a policy that was in force, or VERSION/TENANT as a verdict names it; the one that is when
    /// not
    /// given
    version: Option<String>,
    /// Print what it is for this tenant: the whole policy, with the tenant's values in it
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(clap::Args)]
struct Check {
    /// Policy (TOML), or bundle
    file: PathBuf,
}

#[derive(clap::Args)]
struct Diff {
    /// Policy (TOML) or bundle; `builtin` is the built-in one, `in-force` the one that is
    one: PathBuf,
    /// The one that it is compared with
    other: PathBuf,
    /// Compare what both are for this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(clap::Args)]
struct Signers {
    /// File with the secret key of a signer, of those that `weir keys person` makes; once for each signer
    #[arg(long = "key", value_name = "FILE")]
    signers: Vec<PathBuf>,
    /// Place of the bundle among all: greater than that of every one before; the time in seconds when not
    /// given
    #[arg(long, value_name = "N")]
    counter: Option<u64>,
    /// Days after which the bundle can no longer be put in force
    #[arg(long, value_name = "DAYS")]
    expires_days: Option<u64>,
    /// Allow that verdicts by it are acted on, which takes two signatures
    #[arg(long)]
    enforces: bool,
}

impl Signers {
    fn terms(&self) -> Terms {
        Terms { counter: self.counter, expires_days: self.expires_days, enforces: self.enforces }
    }
}

#[derive(clap::Args)]
struct Sign {
    /// Policy (TOML), or a bundle that others signed
    file: PathBuf,
    /// Where the bundle is written; standard output when not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    signers: Signers,
    #[command(flatten)]
    keys: KeyFlags<Offline>,
}

#[derive(clap::Args)]
struct Verify {
    /// Bundle
    file: PathBuf,
    #[command(flatten)]
    keys: KeyFlags<Offline>,
}

#[derive(clap::Args)]
struct History {
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(clap::Args)]
struct Rollback {
    /// Version of the policy to go back to; the one before the one in force when not given
    version: Option<String>,
    #[command(flatten)]
    signers: Signers,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(clap::Args)]
struct Publish {
    /// Policy (TOML), or bundle
    file: PathBuf,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        match self.verb {
            Verb::Show(show) => {
                let (version, tenant) = (show.version.as_deref(), show.tenant.as_deref());
                policy::show(&config.context(&show.keys)?, version, tenant)
            }
            Verb::Check(check) => policy::check(&check.file),
            Verb::Diff(diff) => {
                let context = config.context(&diff.keys)?;
                let (one, other) = (named(&context, &diff.one)?, named(&context, &diff.other)?);
                bundle::diff(&one, &other, diff.tenant.as_deref())
            }
            Verb::Sign(sign) => {
                let context = config.context(&sign.keys)?;
                let text = bundle::sign(&context, &sign.file, &sign.signers.signers, &sign.signers.terms())?;
                match &sign.out {
                    None => output::text(text),
                    Some(path) => std::fs::write(path, text)
                        .with_context(|| format!("{} cannot be written", path.display()))?,
                }
                Ok(ExitCode::SUCCESS)
            }
            Verb::Verify(verify) => bundle::verify(&config.context(&verify.keys)?, &verify.file),
            Verb::History(history) => {
                let is_json = history.format == Format::Json;
                policy::history(&config.context(&history.keys)?, is_json)
            }
            Verb::Rollback(rollback) => {
                let context = config.context(&rollback.keys)?;
                let Signers { signers, .. } = &rollback.signers;
                policy::roll_back(&context, rollback.version.as_deref(), |text, reached| {
                    bundle::sign_anew(&context, text, reached, signers, &rollback.signers.terms())
                })
            }
            Verb::Apply(apply) => policy::publish(&config.context(&apply.keys)?, &apply.file, true),
            Verb::Publish(publish) => policy::publish(&config.context(&publish.keys)?, &publish.file, false),
        }
    }
}

/// The policy that an argument names.
fn named(context: &Context, path: &Path) -> Result<Policy> {
    match path.to_str() {
        Some("builtin") => Ok(Policy::builtin()),
        Some("in-force") => {
            let (log, wire) = (context.existing_log()?, context.wire()?);
            Ok((*policy::in_force(context, log.as_ref(), &wire)?).clone())
        }
        _ => Ok(policy::read_policy(path)?.0),
    }
}
