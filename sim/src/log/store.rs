//! What the log holds, and how its time passes.

use crate::bug::Bug;
use crate::faults::Faults;
use crate::random::Random;
use crate::story::Story;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_schemas::Epoch;
use weir_schemas::wire::Wire;
use weir_topology::log::{LogError, Position};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

/// After this time, in microseconds, a broker aborts a transaction that nobody ends.
const TRANSACTION_TIMEOUT_US: u64 = 10_000_000;

/// An offset of a partition.
#[derive(Debug)]
pub struct Slot {
    /// What is there.
    pub kind: Kind,
    /// The transaction that it came with.
    pub transaction: usize,
    /// From when on readers are told.
    pub visible_us: u64,
}

/// What is at an offset.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A record.
    Record(Arc<Output>),
    /// A marker, an aborted record, or one that was compacted away.
    Gap,
}

#[derive(Debug, Default)]
struct Partition {
    slots: Vec<Slot>,
    /// How many of them readers are told of.
    told: usize,
}

/// How a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its end is on its way, or its time runs out.
    Open {
        /// When it ends.
        at_us: u64,
        /// Whether its writer has asked for the commit.
        is_asked: bool,
        /// Whether it ends well.
        commits: bool,
    },
    /// Its records are there.
    Committed,
    /// They are not.
    Aborted,
}

/// What one commit wrote.
#[derive(Debug)]
pub struct Transaction {
    /// Name of the writer.
    pub writer: String,
    /// Its records with their places.
    pub outputs: Vec<(Arc<Output>, u32)>,
    /// Its positions.
    pub positions: Vec<Position>,
    /// How it stands.
    pub state: State,
    slots: Vec<((Topic, u32), usize)>,
}

/// How a commit goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is committed at once.
    Commits,
    /// It is aborted at once.
    Aborts,
    /// It stays open and ends by itself.
    StaysOpen { is_asked: bool },
}

/// Everything that a world's processes share.
pub struct Store {
    /// Virtual time since the start, in microseconds.
    pub now_us: u64,
    /// What the calendar said at the start, in milliseconds since the Unix epoch.
    pub began_ms: i64,
    /// Who acts.
    pub actor: String,
    /// What happened.
    pub story: Story,
    /// How the run is treated.
    pub faults: Faults,
    /// Until when the storage is full.
    pub full_until_us: u64,
    /// The bug that is planted.
    pub bug: Option<Bug>,
    /// What the product did that it must not do, whatever the outcome.
    pub flaws: Vec<String>,
    /// Where a partition seems to end, once, for a process: how [`Bug::StaleStandby`] is planted.
    pub stale_end: BTreeMap<(usize, Topic, u32), i64>,
    pub(super) random: Random,
    shared_partitions: u32,
    logs: BTreeMap<(Topic, u32), Partition>,
    transactions: Vec<Transaction>,
    open: Vec<usize>,
    committed: Vec<usize>,
    generations: BTreeMap<String, u64>,
    owners: BTreeMap<String, usize>,
    dead: BTreeSet<usize>,
    unaware: BTreeSet<usize>,
    /// Reads epoch records, for the story.
    wire: Wire,
}

impl Store {
    /// An empty log with this many partitions of shared topics.
    pub fn new(
        partitions: u32,
        began_ms: i64,
        random: Random,
        faults: Faults,
        bug: Option<Bug>,
        story: Story,
    ) -> Self {
        Self {
            now_us: 0,
            began_ms,
            actor: String::new(),
            story,
            faults,
            full_until_us: 0,
            bug,
            flaws: Vec::new(),
            stale_end: BTreeMap::new(),
            random,
            shared_partitions: partitions,
            logs: BTreeMap::new(),
            transactions: Vec::new(),
            open: Vec::new(),
            committed: Vec::new(),
            generations: BTreeMap::new(),
            owners: BTreeMap::new(),
            dead: BTreeSet::new(),
            unaware: BTreeSet::new(),
            wire: Wire::new(),
        }
    }

    /// Tells what the acting actor did, or met.
    pub fn tell(&mut self, what: &'static str, detail: impl FnOnce() -> String) {
        self.story.tell(self.now_us, &self.actor, what, detail);
    }

    /// Lets time pass.
    pub fn pass(&mut self, by_us: u64) {
        self.pass_to(self.now_us + by_us);
    }

    /// Lets time pass up to a moment; transactions end on the way.
    pub fn pass_to(&mut self, to_us: u64) {
        while let Some((at_us, index)) = self.next_end().filter(|(at_us, _)| *at_us <= to_us) {
            self.now_us = self.now_us.max(at_us);
            let State::Open { is_asked, commits, .. } = self.transactions[index].state else { continue };
            let what = if commits { "COMMITLATE" } else { "ABORTLATE" };
            let (writer, asked) = (self.transactions[index].writer.clone(), is_asked);
            self.tell(what, || {
                format!("{writer}'s open transaction ends{}", if asked { "" } else { " by timeout" })
            });
            self.end(index, commits, true);
        }
        self.now_us = self.now_us.max(to_us);
    }

    fn next_end(&self) -> Option<(u64, usize)> {
        let ends = self.open.iter().filter_map(|index| match self.transactions[*index].state {
            State::Open { at_us, .. } => Some((at_us, *index)),
            _ => None,
        });
        ends.min()
    }

    /// Number of partitions of a topic.
    pub fn partitions(&self, topic: Topic) -> u32 {
        topic.partitions(self.shared_partitions)
    }

    /// Refuses a partition that does not exist.
    pub fn check(&self, topic: Topic, partition: u32) -> Result<(), LogError> {
        if partition < self.partitions(topic) {
            return Ok(());
        }
        Err(LogError::Missing { topic: topic.name(), partition })
    }

    /// A process that calls the log: it may be dead, may die now, or the log may not answer.
    pub fn read_fault(&mut self, process: usize) -> Result<(), LogError> {
        let unavailable = |reason: &str| Err(LogError::Unavailable { reason: reason.into() });
        if self.dead.contains(&process) {
            return unavailable("this process is dead");
        }
        if self.random.chance(self.faults.crash_in_read) {
            self.kill(process, "KILLREAD");
            return unavailable("killed in a read");
        }
        if self.random.chance(self.faults.unavailable) {
            self.tell("NOANSWER", String::new);
            return unavailable("no answer");
        }
        Ok(())
    }

    /// Ends a process here and now.
    pub fn kill(&mut self, process: usize, how: &'static str) {
        self.dead.insert(process);
        self.tell(how, || format!("process {process}"));
    }

    /// A number below `bound`, for faults outside of the log.
    pub fn draw(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    /// Whether a process is dead.
    pub fn is_dead(&self, process: usize) -> bool {
        self.dead.contains(&process)
    }

    /// Gives a writer's name to a process: any other that opens it is refused, unless it is `unaware`.
    pub fn assign(&mut self, name: &str, process: usize) {
        self.owners.insert(name.to_owned(), process);
    }

    /// A process does not know what was taken from it, for as long as it says so.
    pub fn set_unaware(&mut self, process: usize, is_unaware: bool) {
        if is_unaware {
            self.unaware.insert(process);
        } else {
            self.unaware.remove(&process);
        }
    }

    /// Opens a writer: ends what others of its name have open, and fences them.
    pub(super) fn open_writer(&mut self, name: &str, process: usize) -> Result<u64, LogError> {
        let is_owner = self.owners.get(name).is_none_or(|owner| *owner == process);
        if !is_owner && !self.unaware.contains(&process) {
            self.tell("NOTMINE", || format!("may not open writer {name}"));
            return Err(LogError::Fenced { writer: name.to_owned() });
        }
        let theirs: Vec<_> =
            self.open.iter().copied().filter(|i| self.transactions[*i].writer == name).collect();
        for index in theirs {
            // A commit that was asked for may have been decided already.
            let State::Open { is_asked, commits, .. } = self.transactions[index].state else { continue };
            let commits = is_asked && commits;
            self.tell(if commits { "COMMITLATE" } else { "ABORTLATE" }, || {
                format!("{name}'s open transaction ends, because it is fenced")
            });
            self.end(index, commits, true);
        }
        let generation = self.generations.entry(name.to_owned()).or_default();
        *generation += 1;
        let generation = *generation;
        self.tell("writer", || format!("opens {name}, generation {generation}"));
        Ok(generation)
    }

    /// Whether a writer of this generation was fenced.
    pub(super) fn is_fenced(&self, name: &str, generation: u64) -> bool {
        self.generations.get(name) != Some(&generation) && self.bug != Some(Bug::ForgetFence)
    }

    /// Appends a transaction, which ends as `fate` says.
    pub(super) fn append(
        &mut self,
        writer: &str,
        outputs: Vec<(Arc<Output>, u32)>,
        positions: &[Position],
        fate: Fate,
    ) -> usize {
        let index = self.transactions.len();
        let mut slots = Vec::with_capacity(outputs.len());
        for (output, partition) in &outputs {
            let place = (output.topic, *partition);
            let log = self.logs.entry(place).or_default();
            slots.push((place, log.slots.len()));
            log.slots.push(Slot {
                kind: Kind::Record(output.clone()),
                transaction: index,
                visible_us: u64::MAX,
            });
        }
        let at_us = match fate {
            Fate::StaysOpen { is_asked: true } => self.now_us + self.random.below(TRANSACTION_TIMEOUT_US),
            _ => self.now_us + TRANSACTION_TIMEOUT_US,
        };
        let is_asked = matches!(fate, Fate::StaysOpen { is_asked: true });
        let commits = is_asked && self.random.chance(500);
        self.transactions.push(Transaction {
            writer: writer.to_owned(),
            outputs,
            positions: positions.to_vec(),
            state: State::Open { at_us, is_asked, commits },
            slots,
        });
        self.open.push(index);
        match fate {
            Fate::Commits => self.end(index, true, false),
            Fate::Aborts => self.end(index, false, false),
            Fate::StaysOpen { .. } => {}
        }
        index
    }

    fn end(&mut self, index: usize, commits: bool, is_late: bool) {
        self.open.retain(|open| *open != index);
        self.transactions[index].state = if commits { State::Committed } else { State::Aborted };
        let places: BTreeSet<(Topic, u32)> =
            self.transactions[index].slots.iter().map(|(place, _)| *place).collect();
        let torn = commits && is_late && self.bug == Some(Bug::TearCommit);
        for (number, place) in places.iter().enumerate() {
            let keeps = commits && !(torn && number % 2 == 1);
            let lags = self.random.chance(self.faults.lag);
            let lag_us = if lags { self.random.below(self.faults.lag_us_max) } else { 0 };
            let visible_us = self.now_us + lag_us;
            let has_marker = self.random.chance(self.faults.marker);
            let Some(log) = self.logs.get_mut(place) else { continue };
            for (_, slot) in self.transactions[index].slots.iter().filter(|(at, _)| at == place) {
                log.slots[*slot].visible_us = visible_us;
                if !keeps {
                    log.slots[*slot].kind = Kind::Gap;
                }
            }
            if has_marker {
                log.slots.push(Slot { kind: Kind::Gap, transaction: index, visible_us });
            }
        }
        if commits {
            self.committed.push(index);
        }
    }

    /// A transaction as the story tells it: the epoch, and `topic/partition:first-last` of every
    /// partition, in order.
    pub(super) fn describe(&self, index: usize) -> String {
        if !self.story.is_kept() {
            return String::new();
        }
        let transaction = &self.transactions[index];
        let mut ranges: BTreeMap<(Topic, u32), (usize, usize)> = BTreeMap::new();
        for (place, offset) in &transaction.slots {
            let range = ranges.entry(*place).or_insert((*offset, *offset));
            range.1 = *offset;
        }
        let epochs = transaction.outputs.iter().filter(|(output, _)| output.topic == Topic::Epochs);
        let epoch = epochs.filter_map(|(output, _)| self.wire.read::<Epoch>(output.payload.as_deref()?).ok());
        let epoch = epoch.map(|epoch| format!("#{} {}+{}", epoch.epoch, epoch.judged, epoch.dead_lettered));
        let ranges = ranges.iter().map(|((topic, partition), (first, last))| {
            let name = topic.name().trim_start_matches("weir.");
            let last = if first == last { String::new() } else { format!("-{last}") };
            format!("{name}/{partition}:{first}{last}")
        });
        epoch.chain(ranges).collect::<Vec<_>>().join(" ")
    }

    /// Transactions that were committed since the last call, in order.
    pub fn take_committed(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.committed)
    }

    /// A transaction.
    pub fn transaction(&self, index: usize) -> &Transaction {
        &self.transactions[index]
    }

    /// Every slot of a partition.
    pub fn slots(&self, topic: Topic, partition: u32) -> &[Slot] {
        self.logs.get(&(topic, partition)).map_or(&[], |log| &log.slots)
    }

    /// How many offsets of a partition readers are told of now.
    pub(super) fn told(&mut self, topic: Topic, partition: u32) -> usize {
        let now_us = self.now_us;
        let Some(log) = self.logs.get_mut(&(topic, partition)) else { return 0 };
        while log.slots.get(log.told).is_some_and(|slot| slot.visible_us <= now_us) {
            log.told += 1;
        }
        log.told
    }

    /// When something may become visible next; none when nothing is on its way.
    pub fn next_news(&self) -> Option<u64> {
        let told = self.logs.values().filter_map(|log| log.slots.get(log.told..)?.first());
        let told =
            told.map(|slot| slot.visible_us).filter(|at_us| *at_us != u64::MAX && *at_us > self.now_us);
        told.chain(self.next_end().map(|(at_us, _)| at_us)).min()
    }

    /// Whether readers are told of everything.
    pub fn is_settled(&mut self) -> bool {
        let places: Vec<_> = self.logs.keys().copied().collect();
        self.open.is_empty()
            && places
                .into_iter()
                .all(|(topic, partition)| self.told(topic, partition) == self.slots(topic, partition).len())
    }

    /// The end of a partition once every transaction that is open now has ended.
    pub(super) fn end_when_settled(&mut self, topic: Topic, partition: u32) -> i64 {
        let end = self.slots(topic, partition).len();
        while self.told(topic, partition) < end {
            let Some(at_us) = self.next_news() else { break };
            self.pass_to(at_us);
        }
        end as i64
    }

    /// Removes all but the last visible record of each key.
    pub fn compact(&mut self, topic: Topic, partition: u32) {
        let told = self.told(topic, partition);
        let Some(log) = self.logs.get_mut(&(topic, partition)) else { return };
        let mut seen = BTreeSet::new();
        let mut removed = 0;
        for slot in log.slots[..told].iter_mut().rev() {
            if let Kind::Record(output) = &slot.kind
                && !seen.insert(output.key.clone())
            {
                slot.kind = Kind::Gap;
                removed += 1;
            }
        }
        if removed > 0 {
            self.tell("COMPACT", || format!("{topic}/{partition}: {removed} records are gone"));
        }
    }

    /// Removes the tombstones of a compacted partition in which nothing stands before them any more, as a
    /// broker may when it has kept them for a while.
    pub fn forget_tombstones(&mut self, topic: Topic, partition: u32) {
        let told = self.told(topic, partition);
        let Some(log) = self.logs.get_mut(&(topic, partition)) else { return };
        for slot in &mut log.slots[..told] {
            if matches!(&slot.kind, Kind::Record(output) if output.payload.is_none()) {
                slot.kind = Kind::Gap;
            }
        }
    }
}
