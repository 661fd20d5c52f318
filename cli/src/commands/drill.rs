//! `weir drill`.

use super::{ConfigFile, Format, Run};
use crate::roles::drill::{self, Target};
use crate::settings::flags::{KeyFlags, takes};
use anyhow::{Result, ensure};
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use weir_replay::drill::{Objectives, Size};
use weir_traffic::drill::Drill;

takes!(Keys: Common, Embedded, Layout, Kafka);

/// Send a labelled campaign to a live system, and say whether it was found in time
///
/// Its accounts are of a tenant of their own, weir-drill- and a number, and protected: nothing is carried out
/// on them. They are judged among customers', and stand in metrics, in the review queue and in exports. Exits
/// with 0 where every objective was met, with 3 where one was not, with 4 where what was processed is not
/// enough to tell, and with 1 where it could not be sent or measured.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Send a drill to a listener, wait until it is processed, and measure
    Run {
        /// URL of the listener (`weir collect --listen`, `weir run --listen`), such as http://127.0.0.1:4318
        #[arg(long, value_name = "URL")]
        to: String,
        /// File with the listener's token
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// What is asked, as a number: the same one sends the same requests, at other times and by other
        /// accounts, which makes those of two such drills alike [default: by chance]
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// Accounts of the campaign
        #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(3..=1_000))]
        campaign_accounts: u32,
        /// Accounts that behave, about
        #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        honest_accounts: u32,
        /// Seconds that it may take to be processed
        #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(..=86_400))]
        wait_s: u64,
        /// Do not protect its accounts: what is found is carried out on them, and the limiter counts them as
        /// anybody's
        #[arg(long)]
        unprotected: bool,
        #[command(flatten)]
        measured: Measured,
    },
    /// Measure a drill that was sent before
    Measure {
        /// Its tenant, as `weir drill run` said
        #[arg(value_name = "TENANT")]
        tenant: String,
        /// Lines that it has, as `weir drill run` said: what was sent only in part is inconclusive
        #[arg(long, value_name = "N")]
        lines: u64,
        #[command(flatten)]
        measured: Measured,
    },
}

/// What a drill is held against, and where it is read.
#[derive(clap::Args)]
struct Measured {
    /// Share of the campaign's accounts that are to be called MEDIUM or worse
    #[arg(long, value_name = "SHARE", default_value_t = 0.7)]
    flagged_share_min: f64,
    /// Milliseconds from an event to the decision on the verdict that rests on it, for 99 of 100 verdicts
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    decision_p99_ms_max: u64,
    /// Milliseconds from a decision to its effect, for 99 of 100; asks for effects, so for a drill that is
    /// not protected
    #[arg(long, value_name = "MS")]
    effect_p99_ms_max: Option<u64>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Measured {
    fn objectives(&self) -> Result<Objectives> {
        let Self { flagged_share_min, decision_p99_ms_max, effect_p99_ms_max, .. } = *self;
        ensure!((0.0..=1.0).contains(&flagged_share_min), "--flagged-share-min must be 0 to 1");
        Ok(Objectives { flagged_share_min, decision_p99_ms_max, effect_p99_ms_max })
    }
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        match self.verb {
            Verb::Run {
                to,
                token_file,
                seed,
                campaign_accounts,
                honest_accounts,
                wait_s,
                unprotected,
                measured,
            } => {
                let objectives = measured.objectives()?;
                ensure!(
                    unprotected || objectives.effect_p99_ms_max.is_none(),
                    "nothing is carried out on a drill that is protected: --effect-p99-ms-max needs --unprotected"
                );
                let seed = seed.unwrap_or_else(rand::random);
                let drill = Drill { number: rand::random(), seed, campaign_accounts, honest_accounts };
                let wait = Duration::from_secs(wait_s);
                let target = Target { url: to, token_file, wait, is_acted_on: unprotected };
                let context = config.context(&measured.keys)?;
                drill::run(&context, drill, &target, objectives, measured.format == Format::Json)
            }
            Verb::Measure { tenant, lines, measured } => {
                let objectives = measured.objectives()?;
                let context = config.context(&measured.keys)?;
                drill::measure(&context, &tenant, Size { lines }, objectives, measured.format == Format::Json)
            }
        }
    }
}
