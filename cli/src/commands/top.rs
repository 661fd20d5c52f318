//! `weir top`.

use super::{ConfigFile, Run};
use crate::output;
use crate::settings::flags::{KeyFlags, takes};
use crate::top::{Scraper, View, table};
use anyhow::{Context as _, Result};
use std::io::{IsTerminal as _, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

takes!(Keys: Serving);

/// Clears the terminal, and goes to its beginning.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Show what a running process hears of those that it traces: messages, bytes, what is lost, and what it
/// costs
///
/// It asks the process that serves its metrics at --metrics-addr, such as `weir run --trace nginx
/// --metrics-addr 127.0.0.1:9635`, twice or on and on, and shows what came in between.
#[derive(clap::Args)]
pub struct Arguments {
    /// Show it once, and end
    #[arg(long)]
    once: bool,
    /// Print one JSON object each time, on a line of its own, whose fields stay
    #[arg(long)]
    json: bool,
    /// How long is waited between two looks, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    interval_ms: u64,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        let settings = config.settings(&self.keys)?;
        let address = settings.metrics_addr.context(
            "metrics_addr is not set: say where the process serves its metrics, for example --metrics-addr 127.0.0.1:9635",
        )?;
        let scraper = Scraper::new(&address);
        let (mut before, mut at) = (scraper.read()?, Instant::now());
        let clears = !self.once && !self.json && stdout().is_terminal();
        loop {
            std::thread::sleep(Duration::from_millis(self.interval_ms));
            let (now, elapsed) = (scraper.read()?, at.elapsed());
            at = Instant::now();
            let view = View::between(&address, &before, &now, elapsed);
            before = now;
            match self.json {
                true => print_line!("{}", serde_json::to_string(&view)?),
                false if clears => output::text(format_args!("{CLEAR}{}", table(&view))),
                false => print_line!("{}", table(&view)),
            }
            if self.once || output::delivered().is_err() {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}
