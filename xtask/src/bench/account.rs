//! The account stage's step, at growing numbers of accounts: its time must not grow with them.

use super::meter::{Taken, memory_bytes, ratio, thread_ns, told};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use weir_processor::account::AccountStage;
use weir_processor::policy::Policy;
use weir_schemas::wire::Wire;
use weir_schemas::{
    AccountId, Body, Event, EventId, HeaderFeatures, PromptFeatures, Record, Request, ValueHash,
};
use weir_topology::record::Records;
use weir_topology::stage::{Batch, InputBatch, Stage};
use weir_topology::topic::Topic;

const SIZES: [usize; 3] = [10_000, 100_000, 1_000_000];

/// How often each size is measured, in turns; the least disturbed of each counts.
const ROUNDS: usize = 3;

/// Event time of the first event.
pub const START_MS: i64 = 1_767_700_800_000;

/// Events of one step: an epoch of 100 ms at 50,000 events a second.
pub const EPOCH_EVENTS: usize = 5_000;

/// Has no divisor in common with any of the sizes.
const SCATTER: usize = 7_919_717;

/// Events that are measured, after as many that warm up.
const MEASURED: usize = 2_000_000;

/// Measures one size, or each in a process of its own, so that memory is that of one.
pub fn run(accounts: Option<usize>) -> Result<()> {
    if let Some(accounts) = accounts {
        println!("{}", measure(accounts)?);
        return Ok(());
    }
    let mut least: [Option<Value>; SIZES.len()] = Default::default();
    for _ in 0..ROUNDS {
        for (accounts, least) in SIZES.into_iter().zip(&mut least) {
            let told = in_a_process(accounts)?;
            if least.as_ref().is_none_or(|least| ns_each(&told) < ns_each(least)) {
                *least = Some(told);
            }
        }
    }
    let least: Vec<Value> = least.into_iter().flatten().collect();
    least.iter().for_each(|told| println!("{told}"));
    if let [few, .., many] = &least[..] {
        let growth = json!({
            "bench": "account_growth",
            "from_accounts": SIZES[0],
            "to_accounts": SIZES[2],
            "rounds": ROUNDS,
            "ratio": ratio(ns_each(many), ns_each(few)),
            "goal_ratio_max": 1.5,
        });
        println!("{growth}");
    }
    Ok(())
}

/// One size, in a process of its own.
fn in_a_process(accounts: usize) -> Result<Value> {
    let mut part = Command::new(std::env::current_exe().context("cannot tell where this binary is")?);
    part.args(["bench", "--only", "account", "--accounts", &accounts.to_string()]);
    let output = part.output().context("cannot run xtask again")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn ns_each(told: &Value) -> f64 {
    told["ns_each"].as_f64().unwrap_or(f64::NAN)
}

fn measure(accounts: usize) -> Result<Value> {
    let (wire, before) = (Arc::new(Wire::new()), memory_bytes("self", "VmRSS").unwrap_or(0));
    let mut stage =
        AccountStage::new(wire.clone(), Arc::new(Policy::builtin())).with_accounts_max(accounts + 1);
    // Twice as many rounds as are measured: with its second event an account has all that it will have.
    let rounds = (MEASURED / accounts).max(1);
    let (mut events, mut cpu_ns, mut decode_ns, mut wall_s) = (0, 0, 0, 0.0);
    for round in 0..2 * rounds {
        for from in (0..accounts).step_by(EPOCH_EVENTS) {
            // Measured is another order than the one in which the accounts came: those that speak one after
            // the other do not lie side by side in memory.
            let scattered = |index| if round < rounds { index } else { index * SCATTER % accounts };
            let batch = batch(&wire, (from..(from + EPOCH_EVENTS).min(accounts)).map(scattered), round);
            let count = batch.len() as u64;
            let begun = thread_ns();
            let decoded = batch.inputs.iter().flat_map(|input| input.records.iter()).filter(|record| {
                let datum = record.payload.and_then(|payload| wire.datum::<Event<'_>>(payload).ok());
                datum.is_some_and(|datum| Event::decode(&datum).is_ok())
            });
            ensure!(decoded.count() as u64 == count, "an event of this measure cannot be decoded");
            let (between, started) = (thread_ns(), Instant::now());
            let effects = stage.step(&batch);
            let (ended, took) = (thread_ns(), started.elapsed());
            ensure!(effects.judged == count && effects.dead_lettered == 0, "not every event was judged");
            if round >= rounds {
                events += count;
                decode_ns += between - begun;
                cpu_ns += ended - between;
                wall_s += took.as_secs_f64();
            }
        }
    }
    ensure!(stage.entries() == accounts, "{} of {accounts} accounts are there", stage.entries());
    let resident = memory_bytes("self", "VmRSS").unwrap_or(0);
    let more = json!({
        "accounts": accounts,
        "of_which_decode_ns": (decode_ns as f64 / events as f64).round(),
        "rss_bytes": resident,
        "bytes_per_account": resident.saturating_sub(before) / accounts as u64,
    });
    Ok(told("account", events, Taken { cpu_s: cpu_ns as f64 / 1e9, wall_s }, more))
}

/// One event of each of these accounts.
pub fn batch(wire: &Wire, accounts: impl Iterator<Item = usize>, round: usize) -> Batch {
    let mut records = Records::default();
    for account in accounts {
        let time_ms = START_MS + round as i64 * 20_000 + (account % 997) as i64;
        let (key, payload) = event(wire, account, round, time_ms);
        records.push(account as i64, time_ms, &key, Some(&payload), []);
    }
    let inputs = vec![InputBatch { topic: Topic::Events, partition: 0, records }];
    Batch { epoch: 1 + round as i64, partition: 0, clock_ms: START_MS, taken_ms: None, inputs }
}

/// An event with every field that a rich source has; one account in fifty extracts.
fn event(wire: &Wire, account: usize, round: usize, time_ms: i64) -> (Vec<u8>, Vec<u8>) {
    let (extracts, own) = (account.is_multiple_of(50), account as u64);
    let each = (account * 1_000_003 + round) as u64;
    let hash = |kind: u32, seed: u64| ValueHash(uniform(1 << kind | seed));
    let id = AccountId(uniform(own));
    let request = Request {
        model: Some("atlas-1"),
        user_agent: Some("OpenAI/Python 1.40.0"),
        address: Some(hash(40, own)),
        subnet: Some(hash(41, own)),
        asn: Some(64_500),
        asn_org: Some("Example Business Internet"),
        country: Some("SE"),
        ja4: Some("t13d1812h1_85036bcba153_b26ce05bbdd6"),
        headers: Some(HeaderFeatures {
            order_hash: 77,
            count: 9,
            browser_affinity_permille: 200,
            ..Default::default()
        }),
        payment: Some(hash(42, own)),
        org: Some(hash(43, own)),
        preamble: Some(hash(44, own)),
        prompt: Some(PromptFeatures {
            bytes: 400,
            text_hash: hash(45, each),
            template_hash: hash(46, if extracts { own } else { each }),
            head_hash: hash(47, each),
            phrases: i64::from(extracts),
            ..Default::default()
        }),
        max_tokens: Some(1_024),
        ..Default::default()
    };
    let event = Event {
        event_id: EventId(uniform(1 << 48 | each)),
        time_ms,
        observed_ms: time_ms,
        tenant: "acme",
        account: id,
        sample_weight: 1,
        sampling: 1,
        body: Body::Request(request),
        ..Default::default()
    };
    (id.to_key(), wire.to_bytes(&event))
}

/// Uniform bytes from a number, by SplitMix64.
fn uniform(seed: u64) -> [u8; 16] {
    let word = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&word(2 * seed + 1).to_le_bytes());
    bytes[8..].copy_from_slice(&word(2 * seed + 2).to_le_bytes());
    bytes
}
