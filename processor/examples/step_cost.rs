//! What a step of the account stage costs: prints one JSON line for each number of accounts.
//!
//! `cargo run --release -p weir-processor --example step_cost [ACCOUNTS…]`

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

const START_MS: i64 = 1_767_700_800_000;
const EPOCH: usize = 5_000;

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

/// An event with every field that a rich source has; one account in fifty extracts.
fn event(account: usize, round: usize, time_ms: i64) -> (Vec<u8>, Vec<u8>) {
    let extracts = account.is_multiple_of(50);
    let seed = (account * 1_000_003 + round) as u64;
    let id = AccountId(uniform(account as u64));
    let request = Request {
        model: Some("atlas-1"),
        user_agent: Some("OpenAI/Python 1.40.0"),
        address: Some(ValueHash(uniform(1 << 40 | account as u64))),
        subnet: Some(ValueHash(uniform(1 << 41 | account as u64))),
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
        payment: Some(ValueHash(uniform(1 << 42 | account as u64))),
        org: Some(ValueHash(uniform(1 << 43 | account as u64))),
        preamble: Some(ValueHash(uniform(1 << 44 | account as u64))),
        prompt: Some(PromptFeatures {
            bytes: 400,
            text_hash: ValueHash(uniform(1 << 45 | seed)),
            template_hash: ValueHash(uniform(1 << 46 | if extracts { account as u64 } else { seed })),
            head_hash: ValueHash(uniform(1 << 47 | seed)),
            phrases: i64::from(extracts),
            ..Default::default()
        }),
        max_tokens: Some(1_024),
        ..Default::default()
    };
    let event = Event {
        event_id: EventId(uniform(1 << 48 | seed)),
        time_ms,
        observed_ms: time_ms,
        tenant: "acme",
        account: id,
        sealed_id: &[7; 96],
        sample_weight: 1,
        body: Body::Request(request),
        ..Default::default()
    };
    (id.to_key(), Wire::new().to_bytes(&event))
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

fn main() {
    let mut sizes: Vec<usize> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000];
    }
    for accounts in sizes {
        measure(accounts);
    }
}

fn measure(accounts: usize) {
    let before = resident_bytes();
    let mut stage =
        AccountStage::new(Arc::new(Wire::new()), Arc::new(Policy::builtin())).with_accounts_max(accounts + 1);
    let rounds = (2_000_000 / accounts).clamp(4, 200);
    let (mut events, mut spent_ns, mut decode_ns, mut outputs) = (0u64, 0u128, 0u128, 0u64);
    for round in 0..rounds {
        for from in (0..accounts).step_by(EPOCH) {
            let mut records = Records::default();
            for account in from..(from + EPOCH).min(accounts) {
                let time_ms = START_MS + round as i64 * 20_000 + (account % 997) as i64;
                let (key, payload) = event(account, round, time_ms);
                records.push(account as i64, time_ms, &key, Some(&payload), []);
            }
            let count = records.len() as u64;
            let begun = Instant::now();
            let found =
                records.iter().filter(|r| Event::decode(&r.payload.unwrap_or_default()[10..]).is_ok());
            assert_eq!(found.count() as u64, count);
            let decoded = begun.elapsed().as_nanos();
            let inputs = vec![InputBatch { topic: Topic::Events, partition: 0, records }];
            let batch = Batch { epoch: 1, partition: 0, clock_ms: START_MS, inputs };
            let begun = Instant::now();
            let effects = stage.step(&batch);
            let took = begun.elapsed().as_nanos();
            assert_eq!(effects.judged, count);
            // Warm accounts only: the first rounds allocate and link.
            if round >= rounds / 2 {
                events += count;
                spent_ns += took;
                decode_ns += decoded;
                outputs += effects.outputs.len() as u64;
            }
        }
    }
    let resident = resident_bytes().saturating_sub(before);
    let begun = Instant::now();
    let entries = stage.take_changes();
    let save_ns = begun.elapsed().as_nanos();
    let bytes: usize = entries.iter().filter_map(|entry| entry.body.as_ref()).map(Vec::len).sum();
    let mut again = AccountStage::new(Arc::new(Wire::new()), Arc::new(Policy::builtin()));
    let begun = Instant::now();
    for entry in &entries {
        if let Some(body) = &entry.body {
            again.restore(&entry.key, stage.state_format(), body).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    let restore_ns = begun.elapsed().as_nanos();
    println!(
        "{{\"bench\":\"account_step\",\"accounts\":{accounts},\"events\":{events},\"ns_per_event\":{},\
         \"decode_ns_per_event\":{},\"outputs\":{outputs},\"resident_bytes_per_account\":{},\
         \"entry_bytes\":{},\"save_ns_per_entry\":{},\"restored_per_s\":{}}}",
        spent_ns / u128::from(events.max(1)),
        decode_ns / u128::from(events.max(1)),
        resident / accounts as u64,
        bytes / accounts,
        save_ns / accounts as u128,
        accounts as u128 * 1_000_000_000 / restore_ns.max(1),
    );
}
