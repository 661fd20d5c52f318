//! `weir simulate`: labelled traffic from a seed, as a log file.

use super::{ConfigFile, Run};
use crate::output::Answer;
use crate::simulated::SimulatedTraffic;
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use weir_traffic::write::{Labels, LineFormat, write_line};

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// Write labelled traffic: honest populations, and campaigns among them
#[derive(Debug, Args)]
pub struct Simulate {
    #[command(flatten)]
    traffic: SimulatedTraffic,
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

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Glasswally's events
    Glasswally,
    /// Weir's own JSON lines
    Weir,
}

impl Run for Simulate {
    fn run(self, _: &ConfigFile) -> Result<ExitCode> {
        write(&self)
    }
}

/// Writes the file.
fn write(arguments: &Simulate) -> Result<ExitCode> {
    let traffic = &arguments.traffic;
    let mut stream = weir_traffic::simulate(&traffic.plan()?, traffic.start_ms()?, traffic.texts()?);
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
    note!("{lines} exchanges of {accounts} accounts in {}", arguments.out.display());
    Ok(ExitCode::SUCCESS)
}

fn create(path: &Path) -> Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(Answer));
    }
    let file = File::create(path).with_context(|| cannot_write(path))?;
    Ok(Box::new(BufWriter::new(file)))
}

fn cannot_write(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}
