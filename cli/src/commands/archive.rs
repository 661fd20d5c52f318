//! `weir archive`: what the log holds, in Parquet files, for longer than the log keeps it.

use super::{ConfigFile, Format, Run};
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;
use weir_replay::archive::{ArchiveLog, Kept, keep};

takes!(Keys: Common, Embedded, Kafka);

/// Copy what the log holds and the archive has not yet to Parquet files, or check an archive
///
/// Run it more often than the shortest retention (3 days): what has passed it is a gap, which is told and
/// counted. `weir verify --archive DIR` proves verdicts from it. Exits with 0, or with 4 where there were
/// gaps.
#[derive(clap::Args)]
pub struct Arguments {
    /// Directory of the archive; made where there is none
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Read every file of the archive against its digest instead, and copy nothing
    #[arg(long)]
    check: bool,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

/// Exit code where something had passed its retention before it was archived.
const GAPS: u8 = 4;

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        let bar = ProgressBar::no_length();
        let style = |unit: &str| {
            ProgressStyle::with_template(&format!("{{wide_bar}} {{percent}} % {unit}, {{eta}} left"))
        };
        if self.check {
            let log = ArchiveLog::open(&self.directory)?;
            let files = &log.manifest().files;
            bar.set_length(files.iter().map(|file| file.bytes).sum());
            bar.set_style(style("checked")?);
            log.check(|bytes| bar.inc(bytes))?;
            bar.finish_and_clear();
            let records: u64 = files.iter().map(|file| file.records).sum();
            match self.format {
                Format::Text => {
                    print_line!("{} files with {records} records are what they were", files.len())
                }
                Format::Json => {
                    print_line!("{}", serde_json::json!({ "files": files.len(), "records": records }))
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        let context = config.context(&self.keys)?;
        bar.set_style(style("archived")?);
        let kept = keep(context.existing_log()?.as_ref(), &self.directory, |records, of| {
            bar.set_length(of);
            bar.inc(records);
        })?;
        bar.finish_and_clear();
        match self.format {
            Format::Text => self.show(&kept),
            Format::Json => print_line!("{}", serde_json::to_string(&kept)?),
        }
        Ok(if kept.gaps.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(GAPS) })
    }
}

impl Arguments {
    fn show(&self, kept: &Kept) {
        print_line!("records   {}", kept.records);
        print_line!("files     {} with {} bytes in {}", kept.files, kept.bytes, self.directory.display());
        for gap in &kept.gaps {
            print_line!(
                "gap       {}/{} offsets {} to {}: their retention had passed; archive more often",
                gap.topic,
                gap.partition,
                gap.from,
                gap.to - 1
            );
        }
    }
}
