//! Seeds that ever failed, and fresh ones.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

use std::time::{SystemTime, UNIX_EPOCH};
use weir_sim::soak::soak;
use weir_sim::story::LEGEND;
use weir_sim::{Options, run};

/// Fresh seeds of one test run.
const FRESH: u64 = 150;

/// Every seed holds, or the story of the first that does not is told.
fn hold(seeds: &[u64]) {
    let sum = soak(seeds, Options::default(), 2, |_| {}).unwrap();
    let Some((seed, violation)) = sum.failed.first() else { return };
    let told = run(*seed, Options { is_told: true, ..Options::default() }).unwrap();
    println!("{LEGEND}\n{}", told.story);
    panic!("seed {seed} does not hold: {violation}; see it again with `cargo xtask sim --seed {seed}`");
}

#[test]
fn every_seed_that_ever_failed_holds() {
    let lines = include_str!("../seeds.txt").lines();
    let seeds =
        lines.filter_map(|line| line.split('#').next().map(str::trim).filter(|seed| !seed.is_empty()));
    let seeds: Vec<u64> = seeds.map(|seed| seed.parse().unwrap()).collect();
    hold(&seeds);
}

#[test]
fn fresh_seeds_hold() {
    let from = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    println!("seeds {from} to {}", from + FRESH - 1);
    hold(&(from..from + FRESH).collect::<Vec<_>>());
}

#[test]
fn a_seed_tells_the_same_story_every_time() {
    for seed in 1..=5 {
        let told = Options { is_told: true, ..Options::default() };
        let (one, other) = (run(seed, told).unwrap(), run(seed, told).unwrap());
        assert_eq!(one.story, other.story);
        assert_eq!((one.hash, one.counts), (other.hash, other.counts));
        assert!(one.story.lines().count() > 50, "{}", one.story);
    }
}

#[test]
fn every_kind_of_fault_comes_about() {
    let sum = soak(&(1..=100).collect::<Vec<_>>(), Options::default(), 2, |_| {}).unwrap();
    let faults = [
        "ABORTED",
        "ABORTLATE",
        "COMMITLATE",
        "COMPACT",
        "DISKFULL",
        "FENCED",
        "FULL",
        "KILL",
        "KILLAFTER",
        "KILLAPPEND",
        "KILLASKED",
        "KILLBEFORE",
        "KILLREAD",
        "NOANSWER",
        "NOTMINE",
        "UNKNOWN",
        "ZOMBIE",
    ];
    let absent: Vec<_> = faults.iter().filter(|fault| !sum.counts.contains_key(*fault)).collect();
    assert!(absent.is_empty(), "{absent:?} never happened in 100 seeds");
    assert!(sum.counts.contains_key("takeover"), "no standby was ever taken over");
    let (totals, adopted) = sum.totals.split_at(10);
    assert!(totals.iter().all(|total| *total > 10), "{totals:?}");
    assert!(
        adopted.iter().all(|total| *total > 2),
        "{adopted:?} of account, cluster, campaign and enforcer tasks"
    );
}
