//! Many seeds, several at a time, each in one thread.

use crate::{Options, Outcome, run};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a soak came to.
#[derive(Debug, Default)]
pub struct Soak {
    /// Seeds that held.
    pub green: u64,
    /// Seeds that did not, with what does not hold.
    pub failed: Vec<(u64, String)>,
    /// How often each thing happened, over all seeds.
    pub counts: BTreeMap<&'static str, u64>,
    /// In how many seeds each thing happened.
    pub seeds_with: BTreeMap<&'static str, u64>,
    /// Events, verdicts, actions, of which to be carried out, audit records, dead letters, checkpoints,
    /// transitions of actions after their decision, accounts that stand in some way, records of campaigns;
    /// takeovers from another judge by account tasks, cluster tasks, campaign tasks and enforcers.
    pub totals: [u64; 14],
}

impl Soak {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        for (what, count) in outcome.counts {
            *self.counts.entry(what).or_default() += count;
            *self.seeds_with.entry(what).or_default() += 1;
        }
        let totals = outcome.totals;
        let more = [
            totals.events,
            totals.verdicts,
            totals.actions,
            totals.pending,
            totals.audits,
            totals.dead_letters,
            totals.checkpoints,
            totals.transitions,
            totals.standings,
            totals.campaigns,
            totals.adoptions[0],
            totals.adoptions[1],
            totals.adoptions[2],
            totals.adoptions[3],
        ];
        self.totals.iter_mut().zip(more).for_each(|(total, more)| *total += more);
        match outcome.violation {
            None => self.green += 1,
            Some(violation) => self.failed.push((seed, violation)),
        }
    }
}

/// Runs every seed; `each` is told how many are done.
///
/// # Errors
/// When the machine fails.
pub fn soak(
    seeds: &[u64],
    options: Options,
    threads: usize,
    each: impl Fn(u64) + Sync,
) -> anyhow::Result<Soak> {
    let next = AtomicU64::new(0);
    let sum = Mutex::new(Soak::default());
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let workers: Vec<_> = (0..threads.max(1))
            .map(|_| {
                scope.spawn(|| -> anyhow::Result<()> {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(seed) = seeds.get(number as usize) else { return Ok(()) };
                        let outcome = run(*seed, options)?;
                        sum.lock().unwrap_or_else(PoisonError::into_inner).add(*seed, outcome);
                        each(number + 1);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a thread of the soak panicked"))??;
        }
        Ok(())
    })?;
    let mut soak = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    soak.failed.sort_unstable();
    Ok(soak)
}
