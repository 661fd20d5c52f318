//! A small seeded generator of access logs: the same seed makes the same bytes.
//!
//! It is for volume, not for judging detectors: some thousands of customers who behave, and a few
//! campaigns whose accounts share a payment method, a preamble and a template. Lines are Weir's own
//! JSON, in order of time.

use anyhow::{Context as _, Result};
use clap::Parser;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

#[derive(Parser)]
pub struct Args {
    /// Number of events
    #[arg(long, default_value_t = 500_000)]
    events: u64,
    /// Number of accounts; every twentieth belongs to a campaign
    #[arg(long, default_value_t = ACCOUNTS)]
    accounts: u64,
    /// Seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write no labels, as a gateway in production writes none
    #[arg(long)]
    unlabelled: bool,
    /// File to write
    #[arg(long)]
    out: PathBuf,
}

/// Whether lines say whose they are, for the evaluation of a policy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    With,
    Without,
}

/// Accounts of a log unless told otherwise.
const ACCOUNTS: u64 = 4_000;

/// Events of each of them, on average.
const EVENTS_EACH: u64 = 125;

/// Writes a log of `events` lines, unless it is there already: the same seed makes the same bytes. A longer
/// log has more accounts.
pub fn to_file(path: &Path, events: u64, labels: Labels) -> Result<()> {
    if path.is_file() {
        return Ok(());
    }
    let partial = path.with_extension("partial");
    to_new_file(&partial, events, events.div_ceil(EVENTS_EACH), 1, labels)?;
    std::fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))
}

fn to_new_file(path: &Path, events: u64, accounts: u64, seed: u64, labels: Labels) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write(&mut out, START_MS, events, accounts, seed, labels)?;
    Ok(out.flush()?)
}

pub fn run(args: Args) -> Result<()> {
    let labels = if args.unlabelled { Labels::Without } else { Labels::With };
    to_new_file(&args.out, args.events, args.accounts, args.seed, labels)?;
    println!("{} events of {} accounts in {}", args.events, args.accounts, args.out.display());
    Ok(())
}

/// Event time from which a log begins unless told otherwise: 2026-11-01T00:00:00Z.
pub const START_MS: u64 = 1_793_491_200_000;

/// Accounts of one campaign.
const CAMPAIGN_ACCOUNTS: u64 = 40;

/// Writes `events` lines from `start_ms` of event time on; the event time of the last of them.
pub fn write(
    out: &mut impl Write,
    start_ms: u64,
    events: u64,
    accounts: u64,
    seed: u64,
    labels: Labels,
) -> Result<u64> {
    let mut last_ms = start_ms;
    let mut random = SplitMix(seed);
    let mut due: BinaryHeap<Reverse<(u64, u64)>> =
        (0..accounts.max(1)).map(|account| Reverse((start_ms + random.below(600_000), account))).collect();
    for number in 0..events {
        let Some(Reverse((time_ms, account))) = due.pop() else { break };
        let who = Account::of(account);
        writeln!(out, "{}", who.line(number, time_ms, seed, labels, &mut random))?;
        due.push(Reverse((time_ms + who.pause_ms(&mut random), account)));
        last_ms = time_ms;
    }
    Ok(last_ms)
}

struct Account {
    number: u64,
    campaign: Option<u64>,
}

const TOPICS: [&str; 12] = [
    "a sourdough starter",
    "the French revolution",
    "my landlord's letter",
    "a birthday poem",
    "tax forms",
    "a Rust borrow error",
    "the weather in Oslo",
    "a cover letter",
    "chess openings",
    "a SQL join",
    "photosynthesis",
    "a packing list",
];
const QUESTIONS: [&str; 6] = [
    "Explain",
    "Please shorten this note about",
    "What should I know about",
    "Help me with",
    "Summarise",
    "Give me ideas for",
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "OpenAI/Python 3.52.0",
    "node-fetch",
];

impl Account {
    fn of(number: u64) -> Self {
        let campaign = (number % 20 == 7).then_some(number / 20 / CAMPAIGN_ACCOUNTS);
        Self { number, campaign }
    }

    fn pause_ms(&self, random: &mut SplitMix) -> u64 {
        match self.campaign {
            Some(_) => 9_000 + random.below(2_000),
            // A person's pauses: mostly short, sometimes long.
            None if random.below(10) == 0 => 600_000 + random.below(3_000_000),
            None => 5_000 + random.below(120_000),
        }
    }

    fn line(&self, event: u64, time_ms: u64, seed: u64, labels: Labels, random: &mut SplitMix) -> String {
        let topic = TOPICS[random.below(TOPICS.len() as u64) as usize];
        let number = self.number;
        let (payment, system, prompt, agent, max_tokens) = match self.campaign {
            Some(campaign) => (
                format!("pay-campaign-{campaign}"),
                format!("You are an expert tutor of curriculum {campaign}."),
                format!(
                    "Think step by step and show all of your reasoning before the final answer. Problem {event}: {topic}."
                ),
                AGENTS[2],
                4096,
            ),
            None => (
                format!("pay-{number}"),
                String::new(),
                format!("{} {topic} ({}).", QUESTIONS[random.below(6) as usize], random.below(1_000)),
                AGENTS[(number % 4) as usize],
                256 << (number % 4),
            ),
        };
        let (a, b, c) = (number / 65_536, number / 256 % 256, number % 256);
        let (tokens, latency) = (80 + random.below(900), 300 + random.below(4_000));
        let label = match (labels, self.campaign) {
            (Labels::Without, _) => String::new(),
            (Labels::With, None) => ",\"label\":\"benign\"".into(),
            (Labels::With, Some(campaign)) => format!(",\"label\":\"campaign-{campaign}\""),
        };
        format!(
            "{{\"id\":\"g{seed}-{event}\",\"time\":{time_ms},\"account\":\"acct-{number}\",\"ip\":\"10.{a}.{b}.{c}\",\
             \"user_agent\":\"{agent}\",\"endpoint\":\"/v1/chat/completions\",\"model\":\"atlas-{}\",\
             \"system_prompt\":\"{system}\",\"prompt\":\"{prompt}\",\"max_tokens\":{max_tokens},\"tokens\":{tokens},\
             \"status\":200,\"latency_ms\":{latency},\"payment\":\"{payment}\",\"asn\":{},\"asn_org\":\"Example Net\"\
             {label}}}",
            1 + number % 3,
            64_500 + number % 30,
        )
    }
}

/// splitmix64: a seeded sequence that no library's next release can change.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(seed: u64) -> Vec<String> {
        let mut out = Vec::new();
        write(&mut out, START_MS, 2_000, 100, seed, Labels::With).unwrap();
        String::from_utf8(out).unwrap().lines().map(String::from).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_bytes_and_another_seed_others() {
        assert_eq!(lines(1), lines(1));
        assert_ne!(lines(1), lines(2));
    }

    #[test]
    fn lines_are_json_in_order_of_time_with_ids_of_their_own() {
        let parsed: Vec<serde_json::Value> =
            lines(3).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(parsed.len(), 2_000);
        assert!(parsed.is_sorted_by_key(|line| line["time"].as_u64()));
        let ids: std::collections::BTreeSet<_> = parsed.iter().map(|line| line["id"].to_string()).collect();
        assert_eq!(ids.len(), 2_000);
        assert!(parsed.iter().any(|line| line["label"] == "campaign-0"));
    }
}
