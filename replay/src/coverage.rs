//! The proof that every event was judged once: for each partition of `weir.events`,
//! *offsets read = judged + dead-lettered + still in flight*.
//!
//! The sides come from different places. What was read is counted in the log itself; what was judged
//! is what the account task's epoch records say; dead letters are found in `weir.dlq` by the offsets
//! that they name. Besides the sum, the epochs' ranges must follow on one another without a record
//! between them or in two of them. Where the log or the epochs no longer go back far enough, it says
//! so and proves nothing.

mod chain;
mod signed;

pub use signed::{CheckError, Checked, check, public_key_of, sign};

use crate::report::ReplayError;
use chain::Chain;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weir_schemas::wire::Wire;
use weir_schemas::{DeadLetter, Event, Record};
use weir_topology::history::History;
use weir_topology::log::Log;
use weir_topology::record::RecordRef;
use weir_topology::topic::{StageName, TaskId, Topic};

/// What a statement of coverage is, and the version of its form.
pub const STATEMENT_TYPE: &str = "weir.coverage/1";

/// What is to be covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "range", rename_all = "snake_case")]
pub enum Asked {
    /// Every event that was ever written, up to now.
    Everything,
    /// The events of a time range: in each partition, from the first to the last of them.
    Times {
        /// First event time, in milliseconds since the Unix epoch.
        from_ms: i64,
        /// First event time after the range.
        to_ms: i64,
    },
    /// Offsets of one partition.
    Offsets {
        /// The partition.
        partition: u32,
        /// First offset.
        from: i64,
        /// First offset after the range.
        to: i64,
    },
}

/// Whether the sides of the sum are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// They are.
    Balanced,
    /// It cannot be told.
    Unproven,
    /// They are not: something was lost or counted twice.
    Imbalance,
}

/// A statement of coverage. It holds whole numbers and texts only, so that its canonical form is
/// the same wherever it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Which log, as its reader calls it.
    pub log: String,
    /// Which node made the statement.
    pub node: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub made_at_ms: i64,
    /// What was asked for.
    pub asked: Asked,
    /// The worst of the partitions.
    pub balance: Balance,
    /// Events that the log holds in the range.
    pub read: u64,
    /// Of these: folded into a judgement.
    pub judged: u64,
    /// Of these: dead-lettered.
    pub dead_lettered: u64,
    /// Of these: not yet in a recorded epoch.
    pub in_flight: u64,
    /// Partition by partition.
    pub partitions: Vec<PartitionCoverage>,
}

/// Coverage of one partition of `weir.events` by its account task.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PartitionCoverage {
    /// The partition.
    pub partition: u32,
    /// First offset that the log keeps.
    pub log_first: i64,
    /// Offset after the last record of the log.
    pub log_end: i64,
    /// First offset of the range.
    pub from: i64,
    /// First offset after the range.
    pub to: i64,
    /// Records that the log holds in the range.
    pub read: u64,
    /// Records that the epochs say they judged.
    pub judged: u64,
    /// Records that have a dead letter.
    pub dead_lettered: u64,
    /// Records after the last recorded epoch.
    pub in_flight: u64,
    /// Records in no epoch, though later epochs are recorded.
    pub unaccounted: u64,
    /// Number of the first epoch that touches the range; 0 where none does.
    pub epoch_first: i64,
    /// Number of the last.
    pub epoch_last: i64,
    /// How many of these reach over an end of the range: of them the part within the range is counted
    /// in the log only.
    pub epochs_cut: u64,
    /// SHA-256 over those epoch records.
    pub epochs_sha256: String,
    /// What shows that something was lost or counted twice.
    pub imbalances: Vec<String>,
    /// What keeps this from being a proof.
    pub unproven: Vec<String>,
}

impl PartitionCoverage {
    /// Whether the sides are equal.
    pub fn balance(&self) -> Balance {
        match (self.imbalances.is_empty(), self.unproven.is_empty()) {
            (false, _) => Balance::Imbalance,
            (true, false) => Balance::Unproven,
            (true, true) => Balance::Balanced,
        }
    }
}

/// Who makes a statement, and when.
#[derive(Debug, Clone)]
pub struct Maker {
    /// Which log, as its reader calls it.
    pub log: String,
    /// Node.
    pub node: String,
    /// Time, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// Counts what was asked for.
pub fn cover(log: &dyn Log, wire: &Wire, asked: Asked, maker: Maker) -> Result<Statement, ReplayError> {
    let mut partitions = Vec::new();
    for partition in 0..log.partitions(Topic::Events)? {
        let mut coverage = PartitionCoverage { partition, ..PartitionCoverage::default() };
        // The events' end comes first: whatever is judged meanwhile is in the epochs and letters, whose
        // ends are taken after it.
        (coverage.log_first, coverage.log_end) = log.bounds(Topic::Events, partition)?;
        if !narrow(log, wire, asked, &mut coverage)? {
            continue;
        }
        let mut chain = Chain::open(log, wire, coverage)?;
        chain.follow()?;
        partitions.push(chain.finish());
    }
    let sum = |of: fn(&PartitionCoverage) -> u64| partitions.iter().map(of).sum();
    Ok(Statement {
        kind: STATEMENT_TYPE.into(),
        log: maker.log,
        node: maker.node,
        made_at_ms: maker.now_ms,
        asked,
        // A range that no partition has proves nothing.
        balance: partitions.iter().map(PartitionCoverage::balance).max().unwrap_or(Balance::Unproven),
        read: sum(|partition| partition.read),
        judged: sum(|partition| partition.judged),
        dead_lettered: sum(|partition| partition.dead_lettered),
        in_flight: sum(|partition| partition.in_flight),
        partitions,
    })
}

/// When an event happened; when the log took it where it does not say so in a way that can be read.
fn time_of(wire: &Wire, record: RecordRef<'_>) -> i64 {
    let event =
        || Event::decode(&wire.datum::<Event<'_>>(record.payload?).ok()?).ok().map(|event| event.time_ms);
    event().unwrap_or(record.timestamp_ms)
}

/// Sets the range of a partition; false when the partition was not asked for.
fn narrow(
    log: &dyn Log,
    wire: &Wire,
    asked: Asked,
    coverage: &mut PartitionCoverage,
) -> Result<bool, ReplayError> {
    let (first, end) = (coverage.log_first, coverage.log_end);
    let partition = coverage.partition;
    (coverage.from, coverage.to) = match asked {
        Asked::Everything => (0, end),
        Asked::Offsets { partition: other, .. } if other != partition => return Ok(false),
        Asked::Offsets { from, to, .. } => (from.max(0), to),
        Asked::Times { from_ms, to_ms } => {
            let mut history = History::new(log, Topic::Events, partition, first, end)?;
            let mut range: Option<(i64, i64)> = None;
            let mut is_first = true;
            while let Some(records) = history.next()? {
                for record in records.iter() {
                    let time_ms = time_of(wire, record);
                    let is_before = time_ms < from_ms;
                    if first > 0 && is_first && !is_before {
                        coverage.unproven.push(format!(
                            "retention has passed: the log starts at offset {first} with an event of {}, not before \
                             the range",
                            time_ms
                        ));
                    }
                    is_first = false;
                    if !is_before && time_ms < to_ms {
                        range = Some((range.map_or(record.offset, |(from, _)| from), record.offset + 1));
                    }
                }
            }
            range.unwrap_or((end, end))
        }
    };
    if coverage.from < first {
        coverage.unproven.push(format!(
            "retention has passed: the log starts at offset {first}; what was at offsets {} to {} cannot be counted \
             any more",
            coverage.from,
            first - 1
        ));
        coverage.from = first;
    }
    if coverage.to > end {
        coverage.unproven.push(format!("the log ends at offset {end}, before the end of the range"));
        coverage.to = end;
    }
    coverage.to = coverage.to.max(coverage.from);
    Ok(true)
}

/// Where the account task's dead letters of one partition came from, and how many each place has.
struct Letters {
    places: BTreeMap<(Topic, i64), u64>,
    /// Older letters may have been deleted.
    is_trimmed: bool,
}

impl Letters {
    fn read(log: &dyn Log, wire: &Wire, task: TaskId) -> Result<Self, ReplayError> {
        let (first, end) = log.bounds(Topic::Dlq, task.partition)?;
        let mut letters = Self { places: BTreeMap::new(), is_trimmed: first > 0 };
        let mut history = History::new(log, Topic::Dlq, task.partition, first, end)?;
        while let Some(records) = history.next()? {
            for payload in records.iter().filter_map(|record| record.payload) {
                // One that cannot be read is missing from the count that is held against the epochs'.
                let Ok(letter) = wire.read::<DeadLetter>(payload) else { continue };
                let Some(topic) = Topic::named(&letter.origin) else { continue };
                if letter.stage == StageName::Account.as_str()
                    && letter.partition == task.partition_of(topic) as i32
                {
                    *letters.places.entry((topic, letter.offset)).or_default() += 1;
                }
            }
        }
        Ok(letters)
    }

    /// Letters of records at these offsets.
    fn count(&self, topic: Topic, from: i64, to: i64) -> u64 {
        match from < to {
            true => self.places.range((topic, from)..(topic, to)).map(|(_, count)| count).sum(),
            false => 0,
        }
    }
}
