//! Proves verdicts: folds the recorded epochs that led to them again, from the nearest checkpoint before them
//! or from the first epoch, and holds the bytes that come out against those that stand in the log.
//!
//! A verdict is looked for in the fold by its id, else by its place in its account's order, so that
//! one whose bytes were changed is shown beside what it was. All verdicts of a partition are held
//! against one pass over it.

mod difference;
mod lacking;
mod prover;
mod report;
mod target;

pub use difference::{ContentDifference, FieldDifference};
pub use report::{Difference, Evidence, Finding, InputEvidence, Outcome, VerifyReport};

use crate::limits::FINDINGS_MAX;
use crate::report::ReplayError;
use crate::start::Starts;
use prover::Prover;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::time::Instant;
use target::Target;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, VerdictId};
use weir_topology::history::History;
use weir_topology::key::partition_of;
use weir_topology::log::Log;
use weir_topology::stage::StageFactory;
use weir_topology::topic::{StageName, TaskId, Topic};

/// Which verdicts are to be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The one with this id; the account says which partition to look in.
    One {
        /// Its id.
        id: VerdictId,
        /// Its account, where known.
        account: Option<AccountId>,
    },
    /// So many, drawn at random; the same for the same seed and log.
    Sample {
        /// How many; all when there are not so many.
        verdicts: usize,
        /// Seed of the draw.
        seed: u64,
    },
    /// Every one, and besides that no epoch emitted one that the log lacks.
    All,
}

/// Proves the chosen verdicts. `make_stage` gives new stages with the builtin policy and the live
/// deployment's cap on accounts. `progress` is told how many events were folded since the last call.
pub fn verify(
    log: &dyn Log,
    wire: &Wire,
    make_stage: &StageFactory,
    choice: Choice,
    mut progress: impl FnMut(u64),
) -> Result<VerifyReport, ReplayError> {
    let started = Instant::now();
    let partitions = log.partitions(Topic::Verdicts)?;
    let mut report = VerifyReport::default();
    let task = |partition| TaskId { stage: StageName::Account, partition };
    let mut decide = |prover: Prover, report: &mut VerifyReport, proven_kept| {
        let findings = prover.refold(log, wire, make_stage, &mut progress)?.findings(log, wire)?;
        report.take(findings, proven_kept);
        Ok::<_, ReplayError>(())
    };
    match choice {
        Choice::One { id, account } => {
            let known = account.map(|account| partition_of(&account.to_key(), partitions));
            for partition in known.map_or(0..partitions, |known| known..known + 1) {
                let mut targets = Vec::new();
                let scan = Scan { log, wire, partition, oldest: 0 };
                scan.each(&mut report, |target| {
                    if target.id == Some(id) {
                        targets.push(target);
                    }
                })?;
                if !targets.is_empty() {
                    let starts = Starts::of(task(partition), log, wire)?;
                    let prover = Prover::new(task(partition), starts, targets, None);
                    decide(prover, &mut report, FINDINGS_MAX)?;
                }
            }
        }
        Choice::Sample { verdicts, seed } => {
            let mut drawn = Reservoir::new(verdicts, seed);
            let mut starts = BTreeMap::new();
            for partition in 0..partitions {
                let of_partition = Starts::of(task(partition), log, wire)?;
                let scan = Scan { log, wire, partition, oldest: of_partition.oldest().epoch() };
                scan.each(&mut report, |target| drawn.offer(target))?;
                starts.insert(partition, of_partition);
            }
            for (partition, targets) in drawn.by_partition() {
                let Some(starts) = starts.remove(&partition) else { continue };
                decide(Prover::new(task(partition), starts, targets, None), &mut report, 0)?;
            }
        }
        Choice::All => {
            for partition in 0..partitions {
                let starts = Starts::of(task(partition), log, wire)?;
                let scan = Scan { log, wire, partition, oldest: starts.oldest().epoch() };
                let mut targets = Vec::new();
                let kept_from = scan.each(&mut report, |target| targets.push(target))?;
                decide(Prover::new(task(partition), starts, targets, Some(kept_from)), &mut report, 0)?;
            }
        }
    }
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// The verdicts of a partition as they stand.
struct Scan<'a> {
    log: &'a dyn Log,
    wire: &'a Wire,
    partition: u32,
    /// Verdicts up to this epoch are passed over, and counted as before what can be folded.
    oldest: i64,
}

impl Scan<'_> {
    /// Reads them all. The log has every verdict after the epoch that is returned.
    fn each(&self, report: &mut VerifyReport, mut each: impl FnMut(Target)) -> Result<i64, ReplayError> {
        let Self { log, wire, partition, oldest } = *self;
        let (first, end) = log.bounds(Topic::Verdicts, partition)?;
        let mut history = History::new(log, Topic::Verdicts, partition, first, end)?;
        // Without a verdict that is kept there is no telling which are not.
        let mut kept_from = if first == 0 { Some(0) } else { None };
        let (mut last, mut is_before) = (0, oldest > 0);
        while let Some(records) = history.next()? {
            for record in records.iter() {
                report.scanned += 1;
                let target = Target::read(wire, partition, record, last);
                last = target.epoch();
                if target.id.is_some() {
                    kept_from.get_or_insert(last);
                    // They stand in the order of their epochs: what follows a later one is not of before.
                    is_before &= last <= oldest;
                    if is_before {
                        report.before += 1;
                        continue;
                    }
                }
                each(target);
            }
        }
        Ok(kept_from.unwrap_or(i64::MAX))
    }
}

/// A fair draw from a stream of unknown length (algorithm R).
struct Reservoir {
    size: usize,
    seen: u64,
    drawn: Vec<Target>,
    dice: StdRng,
}

impl Reservoir {
    fn new(size: usize, seed: u64) -> Self {
        Self { size, seen: 0, drawn: Vec::new(), dice: StdRng::seed_from_u64(seed) }
    }

    fn offer(&mut self, target: Target) {
        self.seen += 1;
        if self.drawn.len() < self.size {
            self.drawn.push(target);
            return;
        }
        let place = self.dice.random_range(0..self.seen);
        if let Some(drawn) = usize::try_from(place).ok().and_then(|place| self.drawn.get_mut(place)) {
            *drawn = target;
        }
    }

    fn by_partition(self) -> BTreeMap<u32, Vec<Target>> {
        let mut partitions = BTreeMap::<u32, Vec<Target>>::new();
        for target in self.drawn {
            partitions.entry(target.partition).or_default().push(target);
        }
        partitions.values_mut().for_each(|targets| targets.sort_by_key(|target| target.offset));
        partitions
    }
}
