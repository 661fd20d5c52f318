//! `weir tune`: looks for a better policy within bounds, on traffic whose truth is known.

use super::{ConfigFile, Format, Run};
use crate::context::Context;
use crate::lab::Bench;
use crate::output;
use crate::roles::policy;
use crate::settings::flags::{KeyFlags, takes};
use crate::simulated::{Seeds, SimulatedTraffic};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use tempfile::NamedTempFile;
use weir_processor::policy::Policy;
use weir_replay::evaluate::Judged;
use weir_replay::evaluate::intake::Labelled;
use weir_replay::tune::evidence::{Ears, Heard};
use weir_replay::tune::knob::Bank;
use weir_replay::tune::report::Report;
use weir_replay::tune::score::Bounds;
use weir_replay::tune::{Options, tune};

takes!(Keys: Common, Embedded, Kafka);

/// Exit code where no better policy was found and no file was written.
const NOTHING_BETTER: u8 = 3;

/// Accounts named one by one in the report for a terminal.
const SHOWN: usize = 10;

/// Look for better weights and thresholds on labelled traffic, within bounds, and write them as a candidate
/// policy
///
/// No campaign that the policy in force finds may be lost, and no population may be flagged beyond its cap.
/// What is found is held against campaigns and populations that the search has not seen, and confirmed by an
/// evaluation. Exits with 0 when a candidate was written, with 3 when nothing better was found: then there is
/// no file.
#[derive(clap::Args)]
pub struct Arguments {
    /// Log files with labels, plain or gzip, each a world of its own
    #[arg(value_name = "FILE", required_unless_present_any = ["seeds", "labels"])]
    files: Vec<PathBuf>,
    /// The events of the log besides, by what analysts decided, as `weir review labels` wrote it to this
    /// file. Accounts on whom nobody has decided are counted nowhere
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Worlds to simulate besides: `1..10` or `3,5,8`
    #[arg(long, value_name = "SEEDS")]
    seeds: Option<Seeds>,
    #[command(flatten)]
    traffic: SimulatedTraffic,
    /// File to write the candidate to
    #[arg(long, value_name = "FILE", default_value = "candidate.toml")]
    out: PathBuf,
    /// Version that the candidate names itself by [default: that of the policy in force with `-tuned`]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Largest share of each honest population that may be flagged at MEDIUM or above, or of one population
    /// as NAME=SHARE; may be given more than once
    #[arg(long, value_name = "SHARE", default_value = "0.005")]
    fpr_max: Vec<Cap>,
    /// Most policies that are tried, in the search and in each of the folds
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    tries: u32,
    /// Seed of the random part of the search; the same finds the same
    #[arg(long, value_name = "S", default_value_t = 1)]
    search_seed: u64,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Threads
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

/// A cap on the share that is flagged, of one population or of all.
#[derive(Debug, Clone, PartialEq)]
struct Cap {
    population: Option<String>,
    share: f64,
}

impl FromStr for Cap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (population, share) = match text.rsplit_once('=') {
            Some((name, share)) => (Some(name.to_owned()), share),
            None => (None, text),
        };
        let share: f64 = share.trim().parse().map_err(|error| format!("{share:?}: {error}"))?;
        if (0.0..=1.0).contains(&share) {
            Ok(Self { population, share })
        } else {
            Err("must be 0 to 1".into())
        }
    }
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        let context = config.context(&self.keys)?;
        let policy = policy::policy_of(&context.settings)?;
        let version = self.name.clone().unwrap_or_else(|| format!("{}-tuned", policy.version));
        ensure!(version.len() <= 64 && !version.is_empty(), "--name must be 1 to 64 bytes long");
        ensure!(version != policy.version, "--name must be another than that of the policy in force");
        // Before hours of searching.
        let out = self.candidate_file()?;
        let bench = Bench::new(self.workers);
        let worlds = self.worlds(&bench, &context)?;
        let bank = Bank::new(&policy);
        let (ears, mut heard) = (Ears::of(&bank), Heard::default());
        for labelled in &worlds {
            bench.hear(labelled, &ears, &mut heard)?;
        }
        ensure!(heard.groups.iter().any(|group| group.is_campaign), "no account of these files has a label");
        for name in self.fpr_max.iter().filter_map(|cap| cap.population.as_deref()) {
            let is_there = heard.groups.iter().any(|group| !group.is_campaign && *group.name == *name);
            ensure!(
                is_there,
                "--fpr-max names the population {name}, and these files have none of that name"
            );
        }
        let mut tuning =
            bench.searching(|progress| tune(&heard, &policy, &bank, &self.options(), progress))?;
        let text = tuning.candidate(&version);
        if let Some(text) = &text {
            let candidate = Policy::parse(text).context("the candidate is no policy; please report it")?;
            let both = [&policy, &candidate].map(|policy| judge_all(&bench, &worlds, policy));
            let [in_force, judged] = both;
            tuning.confirm(&in_force?, &judged?, [&policy.version, &version]);
        }
        let written = text.filter(|_| tuning.report.is_better());
        if let Some(text) = &written {
            self.write(out, &(self.header(&policy, &tuning.report) + text))?;
        }
        self.print(tuning.report, written.is_some())
    }
}

impl Arguments {
    /// A file that takes the candidate's name when it is whole.
    fn candidate_file(&self) -> Result<NamedTempFile> {
        let path = self.out.display();
        ensure!(!self.out.exists(), "{path} is there already: delete it, or give another --out");
        let directory = self.out.parent().filter(|parent| !parent.as_os_str().is_empty());
        NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))
            .with_context(|| format!("{path} cannot be written"))
    }

    fn write(&self, mut out: NamedTempFile, text: &str) -> Result<()> {
        let mut written = || -> std::io::Result<()> {
            out.write_all(text.as_bytes())?;
            out.as_file().sync_all()
        };
        written().with_context(|| format!("{} cannot be written", self.out.display()))?;
        out.persist_noclobber(&self.out)
            .with_context(|| format!("{} cannot be written", self.out.display()))?;
        Ok(())
    }

    fn worlds(&self, bench: &Bench, context: &Context) -> Result<Vec<Labelled>> {
        let decided = self.labels.iter().map(|labels| bench.decided(context, labels));
        let read = decided.chain(self.files.iter().map(|file| bench.read(file)));
        let seeds = self.seeds.iter().flat_map(|Seeds(seeds)| seeds);
        read.chain(seeds.map(|seed| bench.simulated(&self.traffic, *seed))).collect()
    }

    fn options(&self) -> Options {
        let mut bounds = Bounds { fpr_max: 0.005, fpr_max_of: BTreeMap::new() };
        for Cap { population, share } in &self.fpr_max {
            match population {
                None => bounds.fpr_max = *share,
                Some(name) => {
                    bounds.fpr_max_of.insert(name.clone(), *share);
                }
            }
        }
        Options { bounds, seed: self.search_seed, tried_max: self.tries as usize }
    }

    /// What the candidate's file says of itself.
    fn header(&self, policy: &Policy, report: &Report) -> String {
        let mut lines = vec![format!(
            "Candidate, made by `weir tune` from {} (SHA-256 {}).",
            policy.version, policy.digest
        )];
        let name = |path: &Path| {
            path.file_name().map_or_else(|| "-".into(), |name| name.to_string_lossy().into_owned())
        };
        let decided = self.labels.iter().map(|file| format!("the log, by {}", name(file)));
        let mut data: Vec<String> = decided.chain(self.files.iter().map(|file| name(file))).collect();
        if let Some(Seeds(seeds)) = &self.seeds {
            let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
            data.push(format!(
                "simulated traffic ({:?}) with seeds {}",
                self.traffic.scenario,
                seeds.join(", ")
            ));
        }
        lines.push(format!("On {} events of {}.", report.events, data.join(", ")));
        let caps: Vec<String> = self.fpr_max.iter().map(Cap::to_string).collect();
        lines.push(format!(
            "Caps of the flagged share: {}. Search seed {}.",
            caps.join(", "),
            self.search_seed
        ));
        let [before, after] = &report.accounts;
        let line = |what: &str, [before, after]: [f64; 2]| format!("{what} {before:.4}, now {after:.4}.");
        lines.push(line("Precision", [before.precision(), after.precision()]));
        lines.push(line("Recall", [before.recall(), after.recall()]));
        if report.folds.is_empty() {
            lines.push("Not cross-validated: neither two kinds of campaigns nor two populations.".into());
        } else {
            let [before, after] = &report.left_out;
            lines.push(line("Of what folds left out: precision", [before.precision(), after.precision()]));
            lines.push(line("Of what folds left out: recall", [before.recall(), after.recall()]));
        }
        let change = |change: &weir_replay::tune::report::Change| {
            format!("Changed: {} from {} to {}.", change.key, change.from, change.to)
        };
        lines.extend(report.changes.iter().map(change));
        // A name may have a line break in it.
        lines.iter().map(|line| format!("# {}\n", line.replace(char::is_control, " "))).collect::<String>()
            + "\n"
    }

    fn print(&self, mut report: Report, is_written: bool) -> Result<ExitCode> {
        match self.format {
            Format::Json => print_line!("{}", serde_json::to_string(&report)?),
            Format::Text => {
                if let Some(diff) = &mut report.diff {
                    diff.gained.truncate(SHOWN);
                    diff.lost.truncate(SHOWN);
                }
                output::text(report);
                if is_written {
                    print_line!("\nwritten     {}", self.out.display());
                }
            }
        }
        Ok(if is_written { ExitCode::SUCCESS } else { ExitCode::from(NOTHING_BETTER) })
    }
}

impl std::fmt::Display for Cap {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.population {
            Some(name) => write!(out, "{name}={}", self.share),
            None => write!(out, "{}", self.share),
        }
    }
}

/// Judges every world by a policy, and counts them together.
fn judge_all(bench: &Bench, worlds: &[Labelled], policy: &Policy) -> Result<Judged> {
    let mut all = Judged::default();
    for labelled in worlds {
        all.pool(bench.judge(labelled, policy)?);
    }
    Ok(all)
}
