//! Follows the epochs of one task along its events.

use super::{Letters, PartitionCoverage};
use crate::limits::FINDINGS_MAX;
use crate::report::ReplayError;
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use weir_schemas::wire::Wire;
use weir_schemas::{Digest, Epoch, InputRange, State};
use weir_topology::cursor::CURSOR_KEY;
use weir_topology::history::History;
use weir_topology::log::Log;
use weir_topology::topic::{StageName, TaskId, Topic};

/// How many offsets from its end on a state topic is looked through for the cursor.
const CURSOR_OFFSETS_MAX: i64 = 100;

/// An epoch that read events, on its way past them.
struct Link {
    number: i64,
    from: i64,
    to: i64,
    /// Events that it says it read.
    records: i64,
    /// Events that the log holds in its part of the range.
    counted: i64,
    /// Numbers of epochs between the one before and this one whose records are not there.
    lacking: Option<(i64, i64)>,
    epoch: Epoch,
}

/// Records of the range that lie before an epoch and after the one before it.
struct Hole {
    first: i64,
    last: i64,
    records: u64,
}

pub(super) struct Chain<'l> {
    log: &'l dyn Log,
    wire: &'l Wire,
    task: TaskId,
    coverage: PartitionCoverage,
    epochs: History,
    ahead: VecDeque<Epoch>,
    letters: Letters,
    /// Number and end of the epoch before the current one.
    before: Option<(i64, i64)>,
    current: Option<Link>,
    hole: Option<Hole>,
    sha256: Sha256,
    /// Number of the last epoch record seen, with or without events.
    last_number: i64,
    /// Number of the last epoch that the task's state says it committed.
    committed: i64,
    /// Dead letters that are no longer kept leave the sum open.
    is_open: bool,
    /// Dead letters of events whose epochs are not there: nothing is to be said of them.
    letters_open: u64,
    untold: u64,
}

impl<'l> Chain<'l> {
    pub(super) fn open(
        log: &'l dyn Log,
        wire: &'l Wire,
        coverage: PartitionCoverage,
    ) -> Result<Self, ReplayError> {
        let task = TaskId { stage: StageName::Account, partition: coverage.partition };
        let committed = committed_epoch(log, wire, task)?;
        let (first, end) = log.bounds(Topic::Epochs, task.partition)?;
        let epochs = History::new(log, Topic::Epochs, task.partition, first, end)?;
        let letters = Letters::read(log, wire, task)?;
        Ok(Self {
            log,
            wire,
            task,
            coverage,
            epochs,
            ahead: VecDeque::new(),
            letters,
            before: None,
            current: None,
            hole: None,
            sha256: Sha256::new(),
            last_number: 0,
            committed,
            is_open: false,
            letters_open: 0,
            untold: 0,
        })
    }

    /// Reads the events of the range and the epochs beside them.
    pub(super) fn follow(&mut self) -> Result<(), ReplayError> {
        let (from, to) = (self.coverage.from, self.coverage.to);
        self.current = self.next_link()?;
        let mut events = History::new(self.log, Topic::Events, self.task.partition, from, to)?;
        while let Some(records) = events.next()? {
            for record in records.iter() {
                let offset = record.offset;
                while self.current.as_ref().is_some_and(|link| offset >= link.to) {
                    self.advance()?;
                }
                self.coverage.read += 1;
                match &mut self.current {
                    None => self.coverage.in_flight += 1,
                    Some(link) if offset < link.from => {
                        let hole = self.hole.get_or_insert(Hole { first: offset, last: offset, records: 0 });
                        hole.last = offset;
                        hole.records += 1;
                    }
                    Some(link) => link.counted += 1,
                }
            }
        }
        while self.current.is_some() {
            self.advance()?;
        }
        Ok(())
    }

    /// The coverage, with the sum drawn.
    pub(super) fn finish(mut self) -> PartitionCoverage {
        let (from, to) = (self.coverage.from, self.coverage.to);
        if self.coverage.in_flight > 0 && self.committed > self.last_number {
            let judged_to = self.before.map_or(from, |(_, end)| end.max(from));
            self.letters_open += self.letters.count(Topic::Events, judged_to, to);
            self.leave_open(format!(
                "the state of {} is of epoch {}, and the epoch records end with {}: what seems to be in flight may \
                 be judged already",
                self.task, self.committed, self.last_number
            ));
        }
        let letters = self.letters.count(Topic::Events, from, to);
        let expected = self.coverage.dead_lettered + self.letters_open;
        if letters > expected {
            let spare = letters - expected;
            self.imbalance(format!(
                "weir.dlq holds {spare} letters of events that no epoch has dead-lettered"
            ));
        }
        let doubled = self.letters.places.range((Topic::Events, from)..(Topic::Events, to));
        let doubled: Vec<_> =
            doubled.filter(|(_, count)| **count > 1).map(|((_, offset), count)| (*offset, *count)).collect();
        for (offset, count) in doubled {
            self.imbalance(format!("the event at offset {offset} has {count} dead letters"));
        }
        let PartitionCoverage { read, judged, dead_lettered, in_flight, unaccounted, .. } = self.coverage;
        let found = judged + dead_lettered + in_flight + unaccounted;
        if read != found && !self.is_open {
            self.imbalance(format!("the log holds {read} events, of which {found} are accounted for"));
        }
        if self.untold > 0 {
            self.coverage.imbalances.push(format!("and {} more", self.untold));
        }
        self.coverage.epochs_sha256 = Digest(self.sha256.finalize().into()).to_string();
        self.coverage
    }

    /// The next epoch that read events of the range or after it.
    fn next_link(&mut self) -> Result<Option<Link>, ReplayError> {
        let mut lacking = None;
        while let Some(epoch) = self.next_epoch()? {
            if epoch.epoch > self.last_number + 1 {
                let from = lacking.map_or(self.last_number + 1, |(from, _)| from);
                lacking = Some((from, epoch.epoch - 1));
            }
            self.last_number = self.last_number.max(epoch.epoch);
            let is_events = |input: &&InputRange| input.topic == Topic::Events.name();
            let Some(range) = epoch.inputs.iter().find(is_events) else { continue };
            let (number, from, to, records) = (epoch.epoch, range.from, range.to, range.records);
            if from >= to {
                continue;
            }
            if to <= self.coverage.from {
                self.before = Some((number, to));
                lacking = None;
                continue;
            }
            return Ok(Some(Link { number, from, to, records, counted: 0, lacking, epoch }));
        }
        Ok(None)
    }

    fn next_epoch(&mut self) -> Result<Option<Epoch>, ReplayError> {
        let key = self.task.to_string();
        while self.ahead.is_empty() {
            let Some(records) = self.epochs.next()? else { return Ok(None) };
            for record in records.iter().filter(|record| record.key == key.as_bytes()) {
                let payload = record.payload.unwrap_or_default();
                // One that cannot be read leaves a gap in the numbers, and is told of there.
                let Ok(epoch) = self.wire.read::<Epoch>(payload) else { continue };
                self.ahead.push_back(epoch);
            }
        }
        Ok(self.ahead.pop_front())
    }

    /// Leaves the current epoch behind and takes up the next.
    fn advance(&mut self) -> Result<(), ReplayError> {
        let Some(link) = self.current.take() else { return Ok(()) };
        self.judge_hole(&link);
        let is_within = link.from < self.coverage.to;
        if is_within {
            self.judge(&link);
        }
        self.before = Some((link.number, link.to.max(self.before.map_or(0, |(_, to)| to))));
        self.current = match is_within {
            true => self.next_link()?,
            // Epochs after the range say nothing of it.
            false => None,
        };
        Ok(())
    }

    /// Says why records lie between two epochs.
    fn judge_hole(&mut self, link: &Link) {
        let Some(Hole { first, last, records }) = self.hole.take() else { return };
        self.coverage.unaccounted += records;
        let which = format!("the events at offsets {first} to {last} ({records} in all)");
        if link.lacking.is_some() {
            self.letters_open += self.letters.count(Topic::Events, first, last + 1);
        }
        match link.lacking {
            None => self.imbalance(format!("epoch {} skipped {which}: no epoch has read them", link.number)),
            Some((from, to)) => self.leave_open(format!(
                "the records of epochs {from} to {to} of {} are missing or cannot be read (has the retention of \
                 weir.epochs passed?); {which} may be theirs",
                self.task
            )),
        }
    }

    /// Holds what an epoch says against the log and the dead letters.
    fn judge(&mut self, link: &Link) {
        let Link { number, from, to, records, counted, epoch, .. } = link;
        let (number, from, to) = (*number, *from, *to);
        self.sha256.update(self.wire.to_bytes(epoch));
        if self.coverage.epoch_first == 0 {
            self.coverage.epoch_first = number;
        }
        self.coverage.epoch_last = number;
        if let Some((before, end)) = self.before
            && (number <= before || from < end)
        {
            self.imbalance(format!(
                "epoch {number} reads from offset {from}, and epoch {before} had read up to {end} already"
            ));
        }
        let all: i64 = epoch.inputs.iter().map(|input| input.records).sum();
        if epoch.judged + epoch.dead_lettered != all {
            self.imbalance(format!(
                "epoch {number} read {all} records, and says that it judged {} and dead-lettered {}",
                epoch.judged, epoch.dead_lettered
            ));
        }
        let inside = (from.max(self.coverage.from), to.min(self.coverage.to));
        let dead = self.letters.count(Topic::Events, inside.0, inside.1);
        self.coverage.dead_lettered += dead;
        if inside != (from, to) {
            self.coverage.epochs_cut += 1;
            self.coverage.judged += (*counted as u64).saturating_sub(dead);
            return;
        }
        if records != counted {
            self.imbalance(format!(
                "epoch {number} read {records} events at offsets {from} to {}, and the log holds {counted} there",
                to - 1
            ));
        }
        let (mut others, mut others_dead) = (0, 0);
        for input in epoch.inputs.iter().filter(|input| input.topic != Topic::Events.name()) {
            others += input.records;
            let topic = Topic::named(&input.topic);
            others_dead += topic.map_or(0, |topic| self.letters.count(topic, input.from, input.to));
        }
        let found = dead + others_dead;
        if found as i64 != epoch.dead_lettered {
            let text = format!(
                "epoch {number} dead-lettered {} records, and weir.dlq holds {found} of their letters",
                epoch.dead_lettered
            );
            match (found as i64) < epoch.dead_lettered && self.letters.is_trimmed {
                true => {
                    self.is_open = true;
                    self.leave_open(format!("{text}: its retention has passed"));
                }
                false => self.imbalance(text),
            }
        }
        let judged_others = others - others_dead as i64;
        self.coverage.judged += u64::try_from(epoch.judged - judged_others).unwrap_or(0);
    }

    fn leave_open(&mut self, text: String) {
        if self.coverage.unproven.len() < FINDINGS_MAX {
            self.coverage.unproven.push(text);
        }
    }

    fn imbalance(&mut self, text: String) {
        match self.coverage.imbalances.len() < FINDINGS_MAX {
            true => self.coverage.imbalances.push(text),
            false => self.untold += 1,
        }
    }
}

/// Number of the epoch of the task's last snapshot; 0 where there is none. The cursor is the last
/// record of a snapshot, so it is found at the end of the topic.
fn committed_epoch(log: &dyn Log, wire: &Wire, task: TaskId) -> Result<i64, ReplayError> {
    let topic = task.stage.state_topic();
    let (first, end) = log.bounds(topic, task.partition)?;
    let from = end.saturating_sub(CURSOR_OFFSETS_MAX).max(first);
    let mut history = History::new(log, topic, task.partition, from, end)?;
    let mut committed = 0;
    while let Some(records) = history.next()? {
        for record in records.iter().filter(|record| record.key == CURSOR_KEY) {
            committed = wire.read::<State>(record.payload.unwrap_or_default()).map_or(0, |state| state.epoch);
        }
    }
    Ok(committed)
}
