//! The command line: one file a command. To add one: its file, its `mod` line, and its line in the registry.
//!
//! A command is a [`clap::Args`] that knows how to run. Configuration keys become flags of the commands that
//! make use of them ([`crate::settings::flags`]).

mod archive;
mod audit;
mod canary;
mod check_log;
mod collect;
mod completions;
mod config;
mod coverage;
mod decide;
mod diff;
mod dlq;
mod doctor;
mod drill;
mod enforce;
mod evaluate;
mod evidence_pack;
mod explain;
mod export;
mod import;
mod indicators;
mod key_server;
mod keys;
mod kill_switch;
mod limiter;
mod list;
mod man;
mod metrics;
mod policy;
mod posture;
mod process;
mod protect;
mod query;
mod reinstate;
mod replay;
mod reveal;
mod review;
mod ring;
mod run;
mod shadow;
mod share;
mod signing;
mod simulate;
mod slo;
mod tenants;
mod top;
mod topology;
mod tune;
mod verify;

use crate::context::Context;
use crate::settings::Settings;
use crate::settings::flags::KeyFlags;
use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// What every command can do.
trait Run {
    /// Does what the command line says.
    fn run(self, config: &ConfigFile) -> Result<ExitCode>;
}

/// The registry: each command's name and its arguments, whose documentation is its help.
macro_rules! commands {
    ($($name:ident($arguments:ty),)+) => {
        #[derive(Subcommand)]
        enum Command {
            $($name($arguments),)+
        }

        impl Run for Command {
            fn run(self, config: &ConfigFile) -> Result<ExitCode> {
                match self {
                    $(Self::$name(arguments) => arguments.run(config),)+
                }
            }
        }
    };
}

commands! {
    CheckLog(check_log::Arguments),
    Doctor(doctor::Arguments),
    Top(top::Arguments),
    Run(run::Arguments),
    Collect(collect::Arguments),
    Process(process::Arguments),
    Enforce(enforce::Arguments),
    Decide(decide::Arguments),
    Export(export::Arguments),
    Import(import::Arguments),
    Replay(replay::Arguments),
    Verify(verify::Arguments),
    Coverage(coverage::Arguments),
    Archive(archive::Arguments),
    Query(query::Arguments),
    Audit(audit::Arguments),
    EvidencePack(evidence_pack::Arguments),
    Share(share::Arguments),
    Indicators(indicators::Arguments),
    Dlq(dlq::Arguments),
    Drill(drill::Arguments),
    Simulate(simulate::Simulate),
    Evaluate(evaluate::Arguments),
    Explain(explain::Arguments),
    Diff(diff::Arguments),
    Shadow(shadow::Arguments),
    Tune(tune::Arguments),
    Topology(topology::Arguments),
    Policy(policy::Arguments),
    Posture(posture::Arguments),
    Canary(canary::Arguments),
    Protect(protect::Arguments),
    Limiter(limiter::Arguments),
    Ring(ring::Arguments),
    Reinstate(reinstate::Arguments),
    Reveal(reveal::Arguments),
    Review(review::Arguments),
    KillSwitch(kill_switch::Arguments),
    Tenants(tenants::Arguments),
    Keys(keys::Arguments),
    KeyServer(key_server::Arguments),
    Config(config::Arguments),
    Metrics(metrics::Arguments),
    Slo(slo::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// Finds the accounts that are distilling your language model, and stops them
#[derive(Parser)]
#[command(name = "weir", version, subcommand_required = true, arg_required_else_help = true)]
pub struct CommandLine {
    #[command(flatten)]
    config: ConfigFile,
    #[command(subcommand)]
    command: Command,
}

impl CommandLine {
    /// Does what the command line says.
    pub fn run(self) -> Result<ExitCode> {
        self.command.run(&self.config)
    }
}

/// Where the configuration file is.
#[derive(clap::Args)]
struct ConfigFile {
    /// Configuration file (TOML)
    #[arg(long = "config", global = true, value_name = "FILE", env = "WEIR_CONFIG")]
    path: Option<PathBuf>,
}

impl ConfigFile {
    /// Lays the keys that were given as flags over the environment and the file.
    fn settings<T>(&self, flags: &KeyFlags<T>) -> Result<Settings> {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(Settings::load(self.path.as_deref(), env, flags.given())?)
    }

    /// The same, and starts from there.
    fn context<T>(&self, flags: &KeyFlags<T>) -> Result<Context> {
        Ok(self.context_behind(flags, |_| Ok(()))?.0)
    }

    /// The same, behind what is to be done while the process has one thread.
    fn context_behind<T, F>(
        &self,
        flags: &KeyFlags<T>,
        first: impl FnOnce(&Settings) -> Result<F>,
    ) -> Result<(Context, F)> {
        let settings = self.settings(flags)?;
        let chose_directory = flags.given().iter().any(|(name, _)| *name == "data_dir");
        Context::behind(first, settings, chose_directory)
    }
}

/// How a result is printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// How a log is followed.
#[derive(clap::Args)]
struct Following {
    /// End when everything that was written is judged, instead of waiting for more
    #[arg(long)]
    until_idle: bool,
    /// A flag of the systems that Weir grew from; tailing is the only mode there is left to choose.
    #[arg(long, value_parser = ["tail"], hide = true)]
    mode: Option<String>,
}

#[cfg(test)]
mod tests;
