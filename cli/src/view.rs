//! What a person at the terminal sees of a run: verdicts as they fall, progress, and a summary.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;
use weir_replay::digest::VerdictDigest;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Tier, Verdict};
use weir_topology::limits::{READ_BYTES_MAX, READ_RECORDS_MAX};
use weir_topology::log::{Log, LogError, Position, Reader};
use weir_topology::record::Records;
use weir_topology::topic::Topic;

/// Most rows of the table; later verdicts are only counted.
const ROWS_MAX: usize = 500;

/// Follows the verdicts of a log from where they end now.
pub struct View {
    reader: Box<dyn Reader>,
    partitions: usize,
    records: Records,
    rows: usize,
    /// The latest tier of each account that had a verdict in this run.
    accounts: BTreeMap<AccountId, Tier>,
    digest: VerdictDigest,
    bar: Option<ProgressBar>,
}

impl View {
    /// A view of `log` that shows verdicts which fall from now on. The digest covers all of them, so
    /// that it can be held against a replay.
    pub fn open(log: &dyn Log, wire: &Wire) -> Result<Self> {
        let partitions = log.partitions(Topic::Verdicts)?;
        let mut from = Vec::new();
        let mut earlier = Vec::new();
        for partition in 0..partitions {
            let (first, end) = log.bounds(Topic::Verdicts, partition)?;
            from.push(Position { topic: Topic::Verdicts, partition, next: first });
            earlier.push(end);
        }
        let bar = std::io::stdout().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let mut view = Self {
            reader: log.reader(&from)?,
            partitions: partitions as usize,
            records: Records::default(),
            rows: 0,
            accounts: BTreeMap::new(),
            digest: VerdictDigest::default(),
            bar,
        };
        for (partition, end) in earlier.into_iter().enumerate() {
            while view.reader.next(partition) < end {
                view.reader.wait(Duration::from_millis(100))?;
                view.take(partition, wire, false)?;
            }
        }
        Ok(view)
    }

    /// Shows the verdicts that fell since the last call.
    pub fn refresh(&mut self, wire: &Wire) -> Result<()> {
        for partition in 0..self.partitions {
            self.take(partition, wire, true)?;
        }
        Ok(())
    }

    /// Shows how far the run is.
    pub fn progress(&self, message: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(message);
        }
    }

    fn take(&mut self, partition: usize, wire: &Wire, show: bool) -> Result<()> {
        self.records.clear();
        self.reader.take(partition, READ_RECORDS_MAX, READ_BYTES_MAX, &mut self.records)?;
        let records = std::mem::take(&mut self.records);
        for payload in records.iter().filter_map(|record| record.payload) {
            let verdict: Verdict =
                wire.read(payload).map_err(|error| LogError::Damaged { reason: error.to_string() })?;
            self.digest.add(&verdict);
            if show {
                self.accounts.insert(verdict.account, verdict.tier);
                self.row(&verdict);
            }
        }
        self.records = records;
        Ok(())
    }

    fn row(&mut self, verdict: &Verdict) {
        if self.rows == 0 {
            self.line(&columns("account", "tier", "score", "event time", "detectors"));
        }
        self.rows += 1;
        if self.rows > ROWS_MAX {
            if self.rows == ROWS_MAX + 1 {
                self.line("… further verdicts are counted below and stand in the log");
            }
            return;
        }
        self.line(&row_of(verdict));
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            // A closed pipe is the reader's choice, not an error of the run.
            None => drop(writeln!(std::io::stdout(), "{text}")),
        }
    }

    /// Prints what came of the run, and where it stands.
    pub fn summary(&self, run: &Summary<'_>) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let mut tiers = BTreeMap::<Tier, usize>::new();
        for tier in self.accounts.values() {
            *tiers.entry(*tier).or_default() += 1;
        }
        let tiers: Vec<String> = tiers.iter().rev().map(|(tier, count)| format!("{count} {tier}")).collect();
        let tiers = if tiers.is_empty() { "no verdict in this run".into() } else { tiers.join(", ") };
        let (data, output) = (run.data_dir.display(), run.output_dir.display());
        let history = match run.withheld_as_history {
            0 => String::new(),
            count => format!("history   {count} actions withheld: history\n"),
        };
        let mut out = std::io::stdout();
        let _ = writeln!(
            out,
            "\nevents    {} read, {} refused, in {:.1} s\n\
             accounts  {tiers}\n\
             verdicts  {} in the log\n\
             digest    {}\n\
             posture   {}\n\
             {history}\
             output    {output}/audit_log.jsonl, enforcement_actions.jsonl, rate_limit_commands.jsonl,\n\
             \u{20}         analyst_queue.jsonl, ioc_bundles.jsonl\n\
             log       {data}\n\
             again     weir replay --data-dir {data} --as-recorded",
            run.events,
            run.rejected,
            run.seconds,
            self.digest.verdicts(),
            self.digest.finish(),
            run.posture,
        );
    }
}

/// What a run's summary says besides its verdicts.
pub struct Summary<'r> {
    /// Events that were read.
    pub events: u64,
    /// Lines that were refused.
    pub rejected: u64,
    /// How long it took.
    pub seconds: f64,
    /// The posture in force.
    pub posture: String,
    /// Actions that were withheld because what they answer is history.
    pub withheld_as_history: u64,
    /// Where the log is.
    pub data_dir: &'r Path,
    /// Where the output is.
    pub output_dir: &'r Path,
}

/// Milliseconds since the Unix epoch as RFC 3339 in UTC, to the second.
fn iso_time(time_ms: i64) -> String {
    let seconds = time_ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Civil date from days since 1970-01-01 (Howard Hinnant's algorithm).
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// The heading and the rows share one layout, so that they cannot come apart.
fn columns(account: &str, tier: &str, score: &str, time: &str, detectors: &str) -> String {
    format!("{account:<14}{tier:<10}{score:>6}  {time:<22}{detectors}")
}

fn row_of(verdict: &Verdict) -> String {
    let speaking = verdict.signals.iter().filter(|signal| signal.millinats > 0);
    let detectors: Vec<&str> = speaking.map(|signal| signal.detector.as_str()).collect();
    let account = verdict.account.to_string();
    columns(
        account.get(..12).unwrap_or(&account),
        verdict.tier.as_str(),
        &format!("{:.3}", verdict.score),
        &iso_time(verdict.time_ms),
        &detectors.join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use weir_schemas::{AccountId, Signal};

    #[test]
    fn every_column_stands_under_its_heading() {
        let signal =
            |detector: &str| Signal { detector: detector.into(), millinats: 1_000, ..Signal::default() };
        let verdict = Verdict {
            account: AccountId([0xab; 16]),
            tier: Tier::Critical,
            score: 0.7251,
            time_ms: 1_793_491_200_000,
            signals: vec![signal("cot"), signal("hydra")],
            ..Verdict::default()
        };
        let heading = columns("account", "tier", "score", "event time", "detectors");
        expect![[r#"
            account       tier       score  event time            detectors
            abababababab  CRITICAL   0.725  2026-11-01T00:00:00Z  cot hydra"#]]
        .assert_eq(&format!("{heading}\n{}", row_of(&verdict)));
    }
}
