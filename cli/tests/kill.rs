//! `kill -9` at random points: nothing is lost, nothing is judged twice, and history agrees.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Dice, Place, Running, replay_in, success, traffic};
use std::collections::BTreeSet;
use std::time::Duration;

/// How often a run is killed.
const KILLS: usize = 12;

#[test]
fn a_run_killed_in_mid_file_and_run_again_is_as_if_it_had_never_been_killed() {
    let place = Place::new();
    let log = traffic(200, 900);
    let lines = log.lines().count() as u64;
    std::fs::write(&place.feed, &log).unwrap();

    let seed = std::env::var("WEIR_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut dice = Dice(seed);
    let mut cut_short = 0;
    for _ in 0..KILLS {
        let mut command = place.run_to_idle();
        // Small epochs and frequent snapshots: more places to be killed between.
        command.args([
            "--epoch-records-max",
            "200",
            "--snapshot-interval-ms",
            "20",
            "--collector-batch-lines",
            "300",
        ]);
        let mut running = Running::start(command);
        std::thread::sleep(Duration::from_millis(30 + dice.roll(400)));
        cut_short += usize::from(running.0.try_wait().unwrap().is_none());
        running.kill();
    }
    assert!(cut_short > 0, "no run was killed in the middle (seed {seed})");
    place.run_until_idle();

    let recorded = place.replay(&["--as-recorded"]);
    recorded.balances();
    assert_eq!((recorded.number("judged"), recorded.number("dlq")), (lines, 0), "seed {seed}");
    assert_eq!(recorded.0["bytes_equal"], true, "seed {seed}");

    let (data, output) = place.beside();
    let mut undisturbed = place.run_in(&data, &output);
    undisturbed.arg("--until-idle");
    success(undisturbed);
    let lockstep = place.replay(&["--lockstep"]);
    assert_eq!(lockstep.digest(), replay_in(&data, &["--lockstep"]).digest(), "seed {seed}");
    assert!(lockstep.number("verdicts") >= 12, "the campaign has a verdict for each account");

    // The enforcer's files: whole lines, each decision once.
    let decisions = place.lines_of("audit_log.jsonl");
    let sequences: BTreeSet<_> = decisions
        .iter()
        .map(|record| (record["writer"].to_string(), record["sequence"].to_string()))
        .collect();
    assert_eq!(sequences.len(), decisions.len(), "seed {seed}");
    let told: BTreeSet<_> = decisions.iter().map(|record| record["verdict_id"].to_string()).collect();
    assert_eq!(
        told.len() as u64,
        recorded.number("verdicts"),
        "every verdict has its audit record (seed {seed})"
    );
}
