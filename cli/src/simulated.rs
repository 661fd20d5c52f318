//! Which simulated traffic a command line asks for: the options that `weir simulate`, `evaluate` and `tune`
//! share.

use crate::times::ms_of;
use anyhow::{Result, bail, ensure};
use clap::Args;
use std::path::PathBuf;
use std::str::FromStr;
use weir_traffic::care::{Care, Measure, Measures};
use weir_traffic::corpus::{Choice, Corpus};
use weir_traffic::scenario::{Name, Plan};

/// What is simulated.
#[derive(Debug, Clone, Args)]
pub struct SimulatedTraffic {
    /// world, honest, homework, agents, harness, hydra-N or disclosure
    #[arg(long, value_name = "NAME", default_value = "world")]
    pub scenario: Name,
    /// Seed: the same seed gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Accounts, those of campaigns among them; the probes have their own number
    #[arg(long, value_name = "N", default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub accounts: u32,
    /// Share of the accounts that belong to campaigns
    #[arg(long, value_name = "SHARE", default_value_t = 0.09)]
    pub campaign_share: f64,
    /// Hours that it lasts
    #[arg(long, value_name = "H", default_value_t = 24.0)]
    pub hours: f64,
    /// First moment, RFC 3339 [default: 2026-09-07T00:00:00Z, a Monday]
    #[arg(long, value_name = "TIME")]
    pub start: Option<String>,
    /// Care of every campaign: naive, careful, expert or adaptive [default: the first three mixed]
    #[arg(long, value_name = "LEVEL")]
    pub care: Option<Care>,
    /// Measures that every campaign buys besides, separated by commas
    #[arg(long, value_name = "MEASURES", value_delimiter = ',')]
    pub buy: Vec<Measure>,
    /// Share of the disclosure's 24,000 campaign accounts and 16 million exchanges
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub scale: f64,
    /// Directory of texts to speak in beside the built-in grammars
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,
    /// Which of its files: all, tune, test (the other half), or names separated by commas
    #[arg(long, value_name = "FILES", default_value = "all", requires = "corpus")]
    pub corpus_files: Choice,
}

/// Seeds of several runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(pub Vec<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
        let seeds: Vec<u64> = match text.split_once("..") {
            Some((first, last)) => {
                (number(first)?..=number(last.trim_start_matches('='))?).take(10_000).collect()
            }
            None => text.split(',').map(number).collect::<Result<_, _>>()?,
        };
        if seeds.is_empty() { Err("no seed in it".into()) } else { Ok(Self(seeds)) }
    }
}

impl SimulatedTraffic {
    /// The plan that these options make.
    pub fn plan(&self) -> Result<Plan> {
        ensure!((0.0..=1.0).contains(&self.campaign_share), "--campaign-share must be 0 to 1");
        ensure!(
            self.hours > 0.0 && self.hours <= 24.0 * 366.0,
            "--hours must be more than 0 and at most a year"
        );
        ensure!(self.scale > 0.0 && self.scale <= 1.0, "--scale must be more than 0 and at most 1");
        Ok(Plan {
            name: self.scenario,
            seed: self.seed,
            accounts: self.accounts,
            campaign_share: self.campaign_share,
            care: self.care,
            measures: Measures::of(&self.buy),
            hours: self.hours,
            scale: self.scale,
        })
    }

    /// First moment, in milliseconds since the Unix epoch.
    pub fn start_ms(&self) -> Result<i64> {
        let Some(text) = &self.start else { return Ok(weir_traffic::START_MS) };
        ms_of(text).map_err(|reason| anyhow::anyhow!("--start {reason}"))
    }

    /// The corpus, where one is given. One that cannot be read is said, and done without.
    pub fn texts(&self) -> Result<Option<Corpus>> {
        let Some(directory) = &self.corpus else { return Ok(None) };
        match Corpus::read(directory, &self.corpus_files) {
            Ok(corpus) => Ok(Some(corpus)),
            Err(error @ weir_traffic::corpus::CorpusError::Read { .. }) => {
                note!("weir: {error}; going on with the built-in grammars");
                Ok(None)
            }
            Err(error) => bail!(error),
        }
    }
}
