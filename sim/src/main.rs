//! `weir-sim`: one seed, or many. `cargo xtask sim` calls it.

use anyhow::{Result, bail};
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use weir_sim::soak::soak;
use weir_sim::story::LEGEND;
use weir_sim::{Bug, Options, run};

#[derive(Parser)]
#[command(name = "weir-sim", about = "Weir in one thread from one seed")]
struct Cli {
    /// Run this seed
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run so many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them; derived from the time where it is not given
    #[arg(long)]
    from: Option<u64>,
    /// Print the story of the seed even if it holds
    #[arg(long)]
    verbose: bool,
    /// Plant a bug
    #[arg(long, value_parser = bug_names())]
    bug: Option<Bug>,
    /// Seeds that run at the same time
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn bug_names() -> impl TypedValueParser<Value = Bug> {
    let names = PossibleValuesParser::new(Bug::ALL.iter().map(|bug| bug.as_str()));
    names.try_map(|name| Bug::named(&name).ok_or("there is no such bug"))
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let bug = cli.bug;
    match cli.seed {
        Some(seed) => one(seed, bug, cli.verbose),
        None => many(&cli, bug),
    }
}

fn one(seed: u64, bug: Option<Bug>, is_verbose: bool) -> Result<()> {
    let outcome = run(seed, Options { bug, is_told: true })?;
    if is_verbose || outcome.violation.is_some() {
        println!("{LEGEND}\n{}", outcome.story);
    }
    let totals = outcome.totals;
    match outcome.violation {
        None => {
            println!("seed {seed} holds (hash {:016x}): {totals:?}", outcome.hash);
            Ok(())
        }
        Some(violation) => bail!("seed {seed} does not hold: {violation}"),
    }
}

fn many(cli: &Cli, bug: Option<Bug>) -> Result<()> {
    let of_now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64);
    let from = cli.from.unwrap_or_else(of_now);
    let seeds: Vec<u64> = (from..from.saturating_add(cli.seeds)).collect();
    println!("seeds {from} to {}", from.saturating_add(cli.seeds).saturating_sub(1));
    let started = Instant::now();
    let sum = soak(&seeds, Options { bug, is_told: false }, cli.threads, |done| {
        if done.is_multiple_of(1_000) {
            println!("{done} done in {:.0} s", started.elapsed().as_secs_f64());
        }
    })?;
    println!("{:>12} {:>12}  what happened", "times", "in seeds");
    for (what, count) in &sum.counts {
        println!("{count:>12} {:>12}  {what}", sum.seeds_with.get(what).unwrap_or(&0));
    }
    let [
        events,
        verdicts,
        actions,
        pending,
        audits,
        letters,
        checkpoints,
        transitions,
        standings,
        campaigns,
        adopted @ ..,
    ] = sum.totals;
    let [account, cluster, campaign, enforcer] = adopted;
    println!(
        "{events} events, {verdicts} verdicts, {campaigns} records of campaigns, {actions} actions ({pending} to be carried out), \
         {transitions} transitions of them, {standings} standings, {audits} audit records, {letters} dead letters; \
         {checkpoints} checkpoints; taken over from another build by {account} account tasks, {cluster} cluster tasks, \
         {campaign} campaign tasks, {enforcer} enforcers"
    );
    println!(
        "{} of {} seeds hold, in {:.0} s",
        sum.green,
        sum.green + sum.failed.len() as u64,
        started.elapsed().as_secs_f64()
    );
    if sum.failed.is_empty() {
        return Ok(());
    }
    for (seed, violation) in sum.failed.iter().take(50) {
        println!("seed {seed}: {violation}");
    }
    if let Some((seed, _)) = sum.failed.first() {
        // The story of one: the others are a command away.
        let told = run(*seed, Options { bug, is_told: true })?;
        println!("{LEGEND}\n{}", told.story);
    }
    bail!("{} seeds do not hold; see one with `cargo xtask sim --seed N`", sum.failed.len());
}
