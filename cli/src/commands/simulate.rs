//! `weir simulate`: labelled traffic from a seed, as a log file.

use super::{ConfigFile, Run};
use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weir_traffic::care::{Care, Measure, Measures};
use weir_traffic::corpus::{Choice, Corpus};
use weir_traffic::scenario::{Name, Plan};
use weir_traffic::write::{Labels, LineFormat, write_line};

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// Write labelled traffic: honest populations, and campaigns among them
#[derive(Debug, Args)]
pub struct Simulate {
    #[command(flatten)]
    pub what: What,
    /// File to write; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// Format of the lines
    #[arg(long, value_enum, default_value = "glasswally")]
    format: Format,
    /// Write no labels and no populations, as a gateway in production writes none
    #[arg(long)]
    unlabelled: bool,
}

/// What is simulated.
#[derive(Debug, Clone, Args)]
pub struct What {
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

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Glasswally's events
    Glasswally,
    /// Weir's own JSON lines
    Weir,
}

impl What {
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
        let time = OffsetDateTime::parse(text, &Rfc3339)
            .with_context(|| format!("--start {text:?} is no time, such as 2026-09-07T00:00:00Z"))?;
        Ok((time.unix_timestamp_nanos() / 1_000_000) as i64)
    }

    /// The corpus, where one is given. One that cannot be read is said, and done without.
    pub fn texts(&self) -> Result<Option<Corpus>> {
        let Some(directory) = &self.corpus else { return Ok(None) };
        match Corpus::read(directory, &self.corpus_files) {
            Ok(corpus) => Ok(Some(corpus)),
            Err(error @ weir_traffic::corpus::CorpusError::Read { .. }) => {
                eprintln!("weir: {error}; going on with the built-in grammars");
                Ok(None)
            }
            Err(error) => bail!(error),
        }
    }
}

impl Run for Simulate {
    fn run(self, _: &ConfigFile) -> Result<ExitCode> {
        write(&self)
    }
}

/// Writes the file.
fn write(arguments: &Simulate) -> Result<ExitCode> {
    let what = &arguments.what;
    let mut stream = weir_traffic::simulate(&what.plan()?, what.start_ms()?, what.texts()?);
    let mut out = create(&arguments.out)?;
    let labels = if arguments.unlabelled { Labels::Without } else { Labels::With };
    let format = match arguments.format {
        Format::Glasswally => LineFormat::Glasswally,
        Format::Weir => LineFormat::Weir,
    };
    let bar = ProgressBar::no_length()
        .with_style(ProgressStyle::with_template("{spinner} {human_pos} lines, {per_sec}")?);
    bar.set_draw_target(ProgressDrawTarget::stderr());
    let accounts = stream.accounts();
    let (mut buffer, mut lines, mut told) = (String::with_capacity(BUFFER_BYTES + (64 << 10)), 0_u64, 0);
    while let Some(exchange) = stream.next_exchange() {
        write_line(exchange, format, labels, &mut buffer);
        lines += 1;
        if buffer.len() >= BUFFER_BYTES {
            out.write_all(buffer.as_bytes()).with_context(|| cannot_write(&arguments.out))?;
            buffer.clear();
            bar.inc(lines - told);
            told = lines;
        }
    }
    out.write_all(buffer.as_bytes())
        .and_then(|()| out.flush())
        .with_context(|| cannot_write(&arguments.out))?;
    bar.finish_and_clear();
    eprintln!("{lines} exchanges of {accounts} accounts in {}", arguments.out.display());
    Ok(ExitCode::SUCCESS)
}

fn create(path: &Path) -> Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdout().lock()));
    }
    let file = File::create(path).with_context(|| cannot_write(path))?;
    Ok(Box::new(BufWriter::new(file)))
}

fn cannot_write(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}
