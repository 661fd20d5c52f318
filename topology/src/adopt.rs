//! What another judge recorded, as a task takes it over.
//!
//! A task that comes back folds the epochs since its last snapshot again. Where another judge recorded them
//! (another version of the judgement, or another policy), its own fold may say what was never said, and not
//! say what was. So what was recorded stands: the inputs are folded in silence
//! ([`crate::stage::Stage::adopt`]), what was said is read from the log, and what was touched is judged once
//! more in an epoch that is marked as adopting ([`crate::stage::Stage::rejudge`]). That epoch takes a
//! snapshot in the same commit, so that nobody folds them again to go on.

use crate::error::TaskError;
use crate::history::History;
use crate::log::{Log, LogError, Position};
use crate::outputs::OutputDigest;
use crate::record::{RecordRef, Records};
use crate::topic::{TaskId, Topic};
use weir_schemas::wire::Wire;
use weir_schemas::{Action, Adopted, Audit, AuditEntry, Campaign, Epoch, Verdict};

/// The epochs of one adoption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adoption {
    /// The first that was recorded by another judge.
    pub from: i64,
    /// The last before the epoch that adopts them.
    pub to: i64,
}

impl Adoption {
    pub(crate) fn has(self, epoch: i64) -> bool {
        (self.from..=self.to).contains(&epoch)
    }
}

/// The marks of adoptions, found ahead of where a history is folded.
pub(crate) struct Marks {
    /// The next mark, and the version of the judge that adopted; none after the last.
    next: Option<(Adopted, i32)>,
    is_read: bool,
}

impl Marks {
    pub(crate) fn new() -> Self {
        Self { next: None, is_read: false }
    }

    /// The adoption by a judge of `version` that `epoch`, whose record lies at `offset`, is part of.
    pub(crate) fn of(
        &mut self,
        task: TaskId,
        log: &dyn Log,
        wire: &Wire,
        (epoch, offset): (i64, i64),
        version: i32,
    ) -> Result<Option<Adoption>, TaskError> {
        let is_behind = self.next.as_ref().is_some_and(|(mark, _)| mark.to < epoch);
        if !self.is_read || is_behind {
            self.next = next_mark(task, log, wire, offset)?;
            self.is_read = true;
        }
        let Some((mark, by)) = &self.next else { return Ok(None) };
        let adoption = Adoption { from: mark.from, to: mark.to };
        Ok((*by == version && adoption.has(epoch)).then_some(adoption))
    }
}

/// The first mark of an adoption behind `offset`, and the version of the judge that adopted.
fn next_mark(
    task: TaskId,
    log: &dyn Log,
    wire: &Wire,
    offset: i64,
) -> Result<Option<(Adopted, i32)>, TaskError> {
    let in_log = |source| TaskError::Log { task, source };
    let (_, end) = log.bounds(Topic::Epochs, task.partition).map_err(in_log)?;
    let mut history = History::new(log, Topic::Epochs, task.partition, offset + 1, end).map_err(in_log)?;
    let key = task.to_string();
    while let Some(records) = history.next().map_err(in_log)? {
        for record in records.iter().filter(|record| record.key == key.as_bytes()) {
            // One that cannot be read is told when its turn comes.
            let Ok(epoch) = wire.read::<Epoch>(record.payload.unwrap_or_default()) else { continue };
            if let Some(mark) = epoch.adopted {
                return Ok(Some((mark, epoch.judge.version)));
            }
        }
    }
    Ok(None)
}

/// What a task said, epoch by epoch, as it stands in the log.
pub(crate) struct Said {
    task: TaskId,
    topic: Topic,
    history: History,
    ahead: Records,
    used: usize,
}

impl Said {
    /// Reads from position `from`, which must not be behind what is asked for first.
    pub(crate) fn open(task: TaskId, log: &dyn Log, from: Position) -> Result<Self, TaskError> {
        let Position { topic, partition, next } = from;
        let open = || {
            let (first, end) = log.bounds(topic, partition)?;
            History::new(log, topic, partition, next.max(first), end)
        };
        let history = open().map_err(|source: LogError| TaskError::Log { task, source })?;
        Ok(Self { task, topic, history, ahead: Records::default(), used: 0 })
    }

    /// What was said in `epoch`, which comes after those that were asked for before. The error says that the
    /// log has something else than the epoch recorded.
    pub(crate) fn of(&mut self, wire: &Wire, epoch: &Epoch) -> Result<Records, TaskError> {
        let recorded = epoch.outputs.iter().find(|count| count.topic == self.topic.name());
        let mut said = Records::default();
        if recorded.is_none_or(|count| count.records == 0) {
            return Ok(said);
        }
        let mut digest = OutputDigest::default();
        'reading: loop {
            while let Some(record) = self.ahead.get(self.used) {
                match epoch_of(self.task, self.topic, wire, record) {
                    Some(number) if number > epoch.epoch => break 'reading,
                    Some(number) if number == epoch.epoch => {
                        digest.add(record.key, record.payload, record.headers(), record.timestamp_ms);
                        said.push_ref(record);
                    }
                    // Of an earlier epoch, or of somebody else.
                    _ => {}
                }
                self.used += 1;
            }
            let read = self.history.next();
            match read.map_err(|source| TaskError::Log { task: self.task, source })? {
                Some(records) => (self.ahead, self.used) = (records.clone(), 0),
                None => break,
            }
        }
        let found = digest.finish(self.topic);
        match recorded {
            Some(count) if *count == found => Ok(said),
            other => Err(TaskError::SaidLost {
                task: self.task,
                epoch: epoch.epoch,
                topic: self.topic,
                recorded: other.map_or(0, |count| count.records),
                found: found.records,
            }),
        }
    }
}

/// The epoch in which a task said a record; none where it is not the task's.
fn epoch_of(task: TaskId, topic: Topic, wire: &Wire, record: RecordRef<'_>) -> Option<i64> {
    let payload = record.payload?;
    match topic {
        Topic::Verdicts => {
            let verdict: Verdict = wire.read(payload).ok()?;
            (verdict.partition == task.partition as i32).then_some(verdict.epoch)
        }
        Topic::Audit => {
            let entry: AuditEntry = wire.read(payload).ok()?;
            let audit: Audit = wire.read(&entry.record).ok()?;
            (entry.writer == task.to_string()).then_some(audit.epoch)
        }
        Topic::Actions => Some(wire.read::<Action>(payload).ok()?.epoch),
        // Its stage has one task.
        Topic::Campaigns => Some(wire.read::<Campaign>(payload).ok()?.epoch),
        _ => None,
    }
}
