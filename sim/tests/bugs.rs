//! The simulator finds what is planted, and nothing where nothing is.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

use weir_sim::soak::soak;
use weir_sim::{Bug, Options, run};

/// Seeds that hold without a planted bug.
const SEEDS: u64 = 400;

/// Seeds within which a planted bug must be found.
fn seeds(bug: Bug) -> u64 {
    match bug {
        // What a standby holds is most often as good as what it has yet to read, because the epochs that it
        // lacks are folded on it: three worlds in a hundred show it.
        Bug::StaleStandby => SEEDS,
        _ => 40,
    }
}

/// The first seed that finds `bug`, and what it says.
fn find(bug: Bug) -> (u64, String) {
    let found = (1..=seeds(bug)).find_map(|seed| {
        let outcome = run(seed, Options { bug: Some(bug), is_told: false }).unwrap();
        Some((seed, outcome.violation?))
    });
    found.unwrap_or_else(|| panic!("{bug} is not found within {} seeds", seeds(bug)))
}

#[test]
fn every_planted_bug_is_found() {
    for bug in Bug::ALL {
        let (seed, violation) = find(*bug);
        println!("{bug:<22} seed {seed:>3}: {violation}");
    }
}

#[test]
fn the_same_seeds_hold_when_nothing_is_planted() {
    let sum = soak(&(1..=SEEDS).collect::<Vec<_>>(), Options::default(), 2, |_| {}).unwrap();
    assert_eq!(sum.failed, []);
    assert_eq!(sum.green, SEEDS);
}
