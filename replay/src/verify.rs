//! Proves verdicts: folds the recorded epochs that led to them again, from the nearest checkpoint before them or
//! from the first epoch, and holds the bytes that come out against those that stand in the log.
//!
//! A verdict is looked for in the fold by its id, else by its place in its account's order, so that
//! one whose bytes were changed is shown beside what it was. All verdicts of a partition are held
//! against one pass over it.

mod court;
mod difference;
mod report;

pub use difference::{ContentDifference, FieldDifference};
pub use report::{Difference, Evidence, Finding, InputEvidence, Outcome, VerifyReport};

use crate::limits::FINDINGS_MAX;
use crate::report::ReplayError;
use court::{Court, Target};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::time::Instant;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, VerdictId};
use weir_topology::key::partition_of;
use weir_topology::log::Log;
use weir_topology::restore::History;
use weir_topology::topic::Topic;
use weir_topology::worker::MakeStage;

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
    make_stage: &MakeStage,
    choice: Choice,
    mut progress: impl FnMut(u64),
) -> Result<VerifyReport, ReplayError> {
    let started = Instant::now();
    let partitions = log.partitions(Topic::Verdicts)?;
    let mut report = VerifyReport::default();
    match choice {
        Choice::One { id, account } => {
            let known = account.map(|account| partition_of(&account.to_key(), partitions));
            for partition in known.map_or(0..partitions, |known| known..known + 1) {
                let mut targets = Vec::new();
                scan(log, wire, partition, &mut report, |target| {
                    if target.id == Some(id) {
                        targets.push(target);
                    }
                })?;
                let mut court = Court::new(partition, targets, false);
                court.hear(log, wire, make_stage, &mut progress)?;
                report.take(court.findings(log, wire)?, FINDINGS_MAX);
            }
        }
        Choice::Sample { verdicts, seed } => {
            let mut drawn = Reservoir::new(verdicts, seed);
            for partition in 0..partitions {
                scan(log, wire, partition, &mut report, |target| drawn.offer(target))?;
            }
            for (partition, targets) in drawn.by_partition() {
                let mut court = Court::new(partition, targets, false);
                court.hear(log, wire, make_stage, &mut progress)?;
                report.take(court.findings(log, wire)?, 0);
            }
        }
        Choice::All => {
            for partition in 0..partitions {
                let mut targets = Vec::new();
                scan(log, wire, partition, &mut report, |target| targets.push(target))?;
                let mut court = Court::new(partition, targets, true);
                court.hear(log, wire, make_stage, &mut progress)?;
                report.take(court.findings(log, wire)?, 0);
            }
        }
    }
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Reads every verdict of a partition as it stands.
fn scan(
    log: &dyn Log,
    wire: &Wire,
    partition: u32,
    report: &mut VerifyReport,
    mut each: impl FnMut(Target),
) -> Result<(), ReplayError> {
    let (first, end) = log.bounds(Topic::Verdicts, partition)?;
    let mut history = History::new(log, Topic::Verdicts, partition, first, end)?;
    let mut before = 0;
    while let Some(records) = history.next()? {
        for record in records.iter() {
            report.scanned += 1;
            let target = Target::read(wire, partition, record, before);
            before = target.epoch();
            each(target);
        }
    }
    Ok(())
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
