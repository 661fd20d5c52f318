//! `weir evaluate`: how good a policy is, on traffic whose truth is known.

use super::{ConfigFile, Run};
use crate::context::Context;
use crate::lab::Bench;
use crate::output;
use crate::roles::policy;
use crate::settings::flags::{KeyFlags, takes};
use crate::simulated::{Seeds, SimulatedTraffic};
use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use weir_processor::detector::NAMES;
use weir_processor::policy::Policy;
use weir_replay::document;
use weir_replay::evaluate::Judged;
use weir_replay::evaluate::intake::Labelled;
use weir_replay::evaluate::report::Report;
use weir_traffic::campaign::Campaign;
use weir_traffic::care::{Care, LEVELS, MEASURES};

takes!(Keys: Common, Embedded, Kafka);

/// Judge labelled traffic by a policy, and count what was right and what was wrong
#[derive(clap::Args)]
pub struct Arguments {
    /// Log file with labels, plain or gzip; `-` is standard input. Without one, the events of the log, whose
    /// records carry the labels that they were read with
    #[arg(value_name = "FILE", conflicts_with = "seeds")]
    file: Option<PathBuf>,
    /// Judge the events of the log by what analysts decided, as `weir review labels` wrote it to this file.
    /// Accounts on whom nobody has decided are counted nowhere
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "seeds"])]
    labels: Option<PathBuf>,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// File to write the report to, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Simulate with each of these seeds instead of reading a file, and count all together: `1..10` or
    /// `3,5,8`
    #[arg(long, value_name = "SEEDS")]
    seeds: Option<Seeds>,
    #[command(flatten)]
    traffic: SimulatedTraffic,
    /// With --seeds: one world for every level of care, and one for every single measure that all campaigns
    /// of it buy
    #[arg(long, requires = "seeds")]
    evasion: bool,
    /// Judge twice more, by a policy that speaks of accounts below MEDIUM too, for the sweep of thresholds,
    /// and by one that speaks of everybody, for how often what is said of a probability is true
    #[arg(long)]
    curves: bool,
    /// Judge once more without each detector, and say what is lost
    #[arg(long)]
    ablate: bool,
    /// Write a line for every account, with what was said of it, to this file
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Threads
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a terminal
    Text,
    /// One object, whose keys are an interface
    Json,
    /// One page with plots, which needs nothing else
    Html,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        let context = config.context(&self.keys)?;
        let policy = policy::policy_of(&context.settings)?;
        let report = self.report(&policy, &context)?;
        let text = match self.format {
            Format::Text => report.to_string(),
            Format::Json => serde_json::to_string(&report)? + "\n",
            Format::Html => report.html(),
        };
        match &self.out {
            None => output::text(text),
            Some(path) => {
                std::fs::write(path, text)
                    .with_context(|| format!("{} cannot be written", path.display()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A policy that the events are judged by besides the one in question, and what for.
enum Other {
    /// To know what this detector is worth.
    Without(String),
    /// To hear of accounts below MEDIUM.
    Listening,
    /// To hear of everybody.
    Hearing,
}

impl Arguments {
    /// The worlds that are simulated with each seed.
    fn worlds(&self) -> Vec<SimulatedTraffic> {
        if !self.evasion {
            return vec![self.traffic.clone()];
        }
        let levels =
            LEVELS.map(|care| SimulatedTraffic { care: Some(care), buy: Vec::new(), ..self.traffic.clone() });
        let bought = MEASURES.map(|measure| SimulatedTraffic {
            care: Some(Care::Naive),
            buy: vec![measure],
            ..self.traffic.clone()
        });
        levels.into_iter().chain(bought).collect()
    }

    fn report(&self, policy: &Policy, context: &Context) -> Result<Report> {
        let mut others = if self.ablate { without_each(policy)? } else { Vec::new() };
        if self.curves {
            others.push((Other::Listening, speaking(policy, &EVERYBODY[..1])?));
            others.push((Other::Hearing, speaking(policy, &EVERYBODY)?));
        }
        let bench = Bench::new(self.workers);
        let mut all = vec![Judged::default(); 1 + others.len()];
        let mut runs = 1;
        if let Some(Seeds(seeds)) = &self.seeds {
            let worlds = self.worlds();
            runs = (seeds.len() * worlds.len()) as u32;
            for (seed, traffic) in
                seeds.iter().flat_map(|seed| worlds.iter().map(move |traffic| (*seed, traffic)))
            {
                judge_all(&bench, &bench.simulated(traffic, seed)?, policy, &others, &mut all)?;
            }
        } else {
            let labelled = match (&self.file, &self.labels) {
                (Some(file), _) => bench.read(file)?,
                (None, Some(labels)) => bench.decided(context, labels)?,
                (None, None) => bench.copied(context)?,
            };
            judge_all(&bench, &labelled, policy, &others, &mut all)?;
        }
        let dollars =
            |name: &str, accounts| Some(Campaign::of_label(name, accounts as u32)?.dollars_per_thousand());
        let mut report = Report::of(&all[0], &policy.version, runs, &dollars);
        for ((other, _), judged) in others.iter().zip(&all[1..]) {
            match other {
                Other::Listening => report.listen(judged),
                Other::Hearing => report.hear(judged),
                Other::Without(name) => {
                    let other = Report::of(judged, &policy.version, runs, &dollars);
                    report.ablation.push(report.without(name, &other));
                }
            }
        }
        if let Some(path) = &self.cases {
            write_cases(path, &all[0]).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(report)
    }
}

/// What makes a policy speak of accounts whatever their evidence comes to, and however few families it is of.
const EVERYBODY: [(&[&str], f64); 2] = [(&["tiers", "medium"], 0.01), (&["fusion", "alone_nats"], 0.0)];

/// The policy with other values, so that it speaks of accounts long before they are MEDIUM.
fn speaking(policy: &Policy, values: &[(&[&str], f64)]) -> Result<Policy> {
    document::changed(policy, values).context("the policy cannot speak of accounts below MEDIUM")
}

/// The policy without each of the detectors that any of its tenants asks.
fn without_each(policy: &Policy) -> Result<Vec<(Other, Policy)>> {
    let rules = policy.tenants().map(|tenant| policy.of(tenant)).chain([policy.fleet()]);
    let asked: Vec<_> = rules.map(|rules| rules.detectors.most()).collect();
    let names = NAMES.iter().enumerate().filter(|(at, _)| asked.iter().any(|most| most[*at].is_some()));
    let others = names.map(|(_, name)| -> Result<(Other, Policy)> {
        let off: [(&[&str], bool); 1] = [(&["detectors", name, "enabled"], false)];
        let policy = document::changed(policy, &off)
            .with_context(|| format!("the policy cannot do without the detector {name}"))?;
        Ok((Other::Without((*name).to_owned()), policy))
    });
    let others: Vec<_> = others.collect::<Result<_>>()?;
    ensure!(!others.is_empty(), "the policy asks no detector");
    Ok(others)
}

/// Judges by the policy and by each of the others, and adds up.
fn judge_all(
    bench: &Bench,
    labelled: &Labelled,
    policy: &Policy,
    others: &[(Other, Policy)],
    all: &mut [Judged],
) -> Result<()> {
    let policies = std::iter::once(policy).chain(others.iter().map(|(_, policy)| policy));
    for (policy, sum) in policies.zip(all) {
        sum.pool(bench.judge(labelled, policy)?);
    }
    Ok(())
}

fn write_cases(path: &Path, judged: &Judged) -> Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    for case in &judged.cases {
        serde_json::to_writer(&mut out, &case)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
