//! The verdicts of one partition, held against one fold over it.

use super::difference::{ContentDifference, sha256_of};
use super::report::{Difference, Evidence, Finding, Outcome};
use crate::limits::MISSING_MAX;
use crate::report::ReplayError;
use crate::start::Starts;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Epoch, Verdict, VerdictId};
use weir_topology::log::{Log, LogError};
use weir_topology::record::{Output, RecordRef};
use weir_topology::restore::{History, TaskError, fold_recorded};
use weir_topology::topic::{StageName, TaskId, Topic};
use weir_topology::worker::MakeStage;

/// A verdict as it stands in the log. Its bytes are read again where they are to be shown.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) partition: u32,
    pub(super) offset: i64,
    /// None when it cannot be read.
    pub(super) id: Option<VerdictId>,
    /// No epoch before this one can have emitted it.
    earliest_epoch: i64,
    account: AccountId,
    sequence: i64,
    epoch: i64,
    key: Vec<u8>,
    sha256: [u8; 32],
}

impl Target {
    /// The verdict of a record, which came after one of epoch `before`.
    pub(super) fn read(wire: &Wire, partition: u32, record: RecordRef<'_>, before: i64) -> Self {
        let payload = record.payload.unwrap_or_default();
        let verdict = wire.read::<Verdict>(payload);
        let id = verdict.as_ref().ok().map(|verdict| verdict.verdict_id);
        let verdict = verdict.unwrap_or_default();
        Self {
            partition,
            offset: record.offset,
            id,
            // What it says itself may be what was changed.
            earliest_epoch: if id.is_some() { verdict.epoch.min(before) } else { before },
            account: verdict.account,
            sequence: verdict.sequence,
            epoch: verdict.epoch,
            key: record.key.to_vec(),
            sha256: Sha256::digest(payload).into(),
        }
    }

    /// The epoch that it says, or the least that it can have if it cannot be read.
    pub(super) fn epoch(&self) -> i64 {
        if self.id.is_some() { self.epoch } else { self.earliest_epoch }
    }
}

/// What the fold has said of a target so far.
enum Hearing {
    /// Nothing yet.
    Open,
    /// Nothing by its id; this came out at its place in the account's order.
    Candidate(Emitted),
    Closed(Outcome),
    /// By its id, but with other bytes.
    Differs(Emitted),
}

/// A verdict that came out.
struct Emitted {
    epoch: i64,
    verdict: Verdict,
    payload: Vec<u8>,
}

/// How the fold ended.
enum End {
    /// After the last recorded epoch, which has this number.
    Complete(i64),
    /// The rest of history cannot be folded; the last epoch that was has this number.
    Unproven(i64, String),
    /// This build gives something else than was recorded, after the epoch with this number.
    Diverged(i64, Difference),
}

pub(super) struct Court {
    task: TaskId,
    targets: Vec<Target>,
    hearings: Vec<Hearing>,
    by_id: HashMap<VerdictId, usize>,
    by_place: HashMap<(AccountId, i64), usize>,
    open: usize,
    /// Every verdict of the partition is a target, so that what came out and is none is missing.
    is_complete: bool,
    missing: Vec<Emitted>,
    missing_untold: u64,
    /// The epoch after which the fold began.
    folded_after: i64,
    end: End,
}

impl Court {
    /// A court over targets of one partition, in offset order.
    pub(super) fn new(partition: u32, targets: Vec<Target>, is_complete: bool) -> Self {
        let mut court = Self {
            task: TaskId { stage: StageName::Account, partition },
            hearings: targets.iter().map(|_| Hearing::Open).collect(),
            open: targets.len(),
            by_id: HashMap::new(),
            by_place: HashMap::new(),
            targets,
            is_complete,
            missing: Vec::new(),
            missing_untold: 0,
            folded_after: 0,
            end: End::Complete(0),
        };
        for index in 0..court.targets.len() {
            let target = &court.targets[index];
            let Some(id) = target.id else { continue };
            if let Some(first) = court.by_id.get(&id) {
                let first_offset = court.targets[*first].offset;
                court.close(index, Outcome::Different(Difference::Doubled { first_offset }));
                continue;
            }
            court.by_place.insert((target.account, target.sequence), index);
            court.by_id.insert(id, index);
        }
        court
    }

    /// Folds the partition's history until every target is decided: from the nearest checkpoint before the
    /// first of them.
    pub(super) fn hear(
        &mut self,
        log: &dyn Log,
        wire: &Wire,
        make_stage: &MakeStage,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), ReplayError> {
        if self.open == 0 && !self.is_complete {
            return Ok(());
        }
        let task = self.task;
        let first = self.targets.iter().map(|target| target.earliest_epoch).min().unwrap_or(0);
        let starts = Starts::of(task, log, wire)?;
        let start = starts.before(first);
        self.folded_after = start.epoch();
        let (mut last, mut is_decided) = (start.epoch(), false);
        let folded = start.make(log, wire, make_stage).and_then(|(mut stage, from)| {
            fold_recorded(task, stage.as_mut(), log, wire, from, |epoch, batch, effects| {
                last = epoch.epoch;
                let events = batch.inputs.iter().filter(|input| input.topic == Topic::Events);
                progress(events.map(|input| input.records.len() as u64).sum());
                for output in effects.outputs.iter().filter(|output| output.topic == Topic::Verdicts) {
                    self.emitted(wire, epoch, output)?;
                }
                is_decided = self.open == 0 && !self.is_complete;
                match is_decided {
                    // Ends the fold early.
                    true => Err(TaskError::Gap { task, expected: last, found: last }),
                    false => Ok(()),
                }
            })
        });
        self.end = match folded {
            Ok(cursor) => End::Complete(cursor.epoch),
            Err(_) if is_decided => End::Complete(last),
            Err(TaskError::Diverged { epoch, what, recorded, found, .. }) => {
                match lacking(log, wire, task, epoch)? {
                    Some(reason) => End::Unproven(last, reason),
                    None => {
                        let what = what.to_owned();
                        End::Diverged(last, Difference::Epoch { epoch, what, recorded, found })
                    }
                }
            }
            Err(
                error @ (TaskError::Gap { .. }
                | TaskError::Record { .. }
                | TaskError::State { .. }
                | TaskError::Log { source: LogError::Gone { .. }, .. }),
            ) => End::Unproven(last, error.to_string()),
            Err(error) => return Err(error.into()),
        };
        Ok(())
    }

    fn emitted(&mut self, wire: &Wire, epoch: &Epoch, output: &Output) -> Result<(), TaskError> {
        let payload = output.payload.as_deref().unwrap_or_default();
        let in_record = |source| TaskError::Record { task: self.task, topic: Topic::Verdicts, source };
        let verdict: Verdict = wire.read(payload).map_err(in_record)?;
        if let Some(index) = self.by_id.get(&verdict.verdict_id).copied() {
            let target = &self.targets[index];
            if target.sha256 != <[u8; 32]>::from(Sha256::digest(payload)) {
                let emitted = Emitted { epoch: epoch.epoch, verdict, payload: payload.to_vec() };
                self.settle(index, Hearing::Differs(emitted));
            } else if target.key != output.key {
                self.close(index, Outcome::Different(Difference::Key { epoch: epoch.epoch }));
            } else {
                let sha256 = sha256_of(payload);
                let evidence = Evidence {
                    epoch: epoch.epoch,
                    folded_after: self.folded_after,
                    policy_version: epoch.policy_version.clone(),
                    inputs: epoch.inputs.iter().map(Into::into).collect(),
                    sha256_written: weir_schemas::Digest(target.sha256).to_string(),
                    sha256_refolded: sha256,
                };
                self.close(index, Outcome::Proven(evidence));
            }
            return Ok(());
        }
        let place = (verdict.account, verdict.sequence);
        let emitted = Emitted { epoch: epoch.epoch, verdict, payload: payload.to_vec() };
        match self.by_place.get(&place) {
            Some(index) if matches!(self.hearings[*index], Hearing::Open) => {
                self.hearings[*index] = Hearing::Candidate(emitted);
            }
            _ if self.is_complete && self.missing.len() < MISSING_MAX => self.missing.push(emitted),
            _ if self.is_complete => self.missing_untold += 1,
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, index: usize, outcome: Outcome) {
        self.settle(index, Hearing::Closed(outcome));
    }

    fn settle(&mut self, index: usize, hearing: Hearing) {
        if matches!(self.hearings[index], Hearing::Open | Hearing::Candidate(_)) {
            self.open -= 1;
            self.hearings[index] = hearing;
        }
    }

    /// What came of every target, and of what came out and is none.
    pub(super) fn findings(self, log: &dyn Log, wire: &Wire) -> Result<Vec<Finding>, ReplayError> {
        let mut findings = Vec::with_capacity(self.targets.len());
        let mut missing = self.missing.into_iter();
        for (target, hearing) in self.targets.into_iter().zip(self.hearings) {
            // A record that cannot be read is shown beside the next verdict that came out and is
            // nowhere else.
            let hearing = match (target.id, hearing) {
                (None, Hearing::Open) => missing.next().map_or(Hearing::Open, Hearing::Differs),
                (_, hearing) => hearing,
            };
            let outcome = match hearing {
                Hearing::Closed(outcome) => outcome,
                Hearing::Differs(emitted) | Hearing::Candidate(emitted) => {
                    let written = payload_at(log, target.partition, target.offset)?;
                    let difference =
                        ContentDifference::between(wire, emitted.epoch, &written, &emitted.payload);
                    Outcome::Different(Difference::Content(difference))
                }
                Hearing::Open => undecided(&target, self.folded_after, &self.end),
            };
            findings.push(Finding {
                verdict_id: target.id.map(|id| id.to_string()),
                account: target.id.map(|_| target.account.to_string()),
                partition: target.partition,
                offset: Some(target.offset),
                outcome,
            });
        }
        findings.extend(missing.map(|emitted| Finding {
            verdict_id: Some(emitted.verdict.verdict_id.to_string()),
            account: Some(emitted.verdict.account.to_string()),
            partition: self.task.partition,
            offset: None,
            outcome: Outcome::Different(Difference::Missing { epoch: emitted.epoch }),
        }));
        for _ in 0..self.missing_untold {
            findings.push(Finding {
                verdict_id: None,
                account: None,
                partition: self.task.partition,
                offset: None,
                outcome: Outcome::Different(Difference::Missing { epoch: 0 }),
            });
        }
        // An empty topic whose history cannot be folded is no proof that nothing is missing.
        if self.is_complete
            && findings.is_empty()
            && let End::Unproven(_, reason) = self.end
        {
            findings.push(Finding {
                verdict_id: None,
                account: None,
                partition: self.task.partition,
                offset: None,
                outcome: Outcome::Unproven { reason },
            });
        }
        Ok(findings)
    }
}

/// What is to be said of a target that the fold did not come to.
fn undecided(target: &Target, folded_after: i64, end: &End) -> Outcome {
    if target.epoch() <= folded_after {
        return Outcome::Unproven {
            reason: format!(
                "it is of epoch {} of account/{}: the events that led to it are no longer kept, and the oldest checkpoint \
                 after which they are is of epoch {folded_after}",
                target.epoch(),
                target.partition
            ),
        };
    }
    let not_emitted = |last_epoch| Outcome::Different(Difference::NotEmitted { last_epoch });
    match end {
        // What cannot be read names no epoch: it was to come out somewhere before the end.
        End::Complete(last) if target.epoch > *last => Outcome::Unproven {
            reason: format!(
                "it names epoch {}, and the epoch records of account/{} end with {last}: records of \
                 weir.epochs are missing, or it was never emitted",
                target.epoch, target.partition
            ),
        },
        End::Complete(last) => not_emitted(*last),
        End::Unproven(last, _) | End::Diverged(last, _) if target.id.is_some() && target.epoch <= *last => {
            not_emitted(*last)
        }
        End::Unproven(_, reason) => Outcome::Unproven { reason: reason.clone() },
        End::Diverged(_, difference) => Outcome::Different(difference.clone()),
    }
}

fn payload_at(log: &dyn Log, partition: u32, offset: i64) -> Result<Vec<u8>, ReplayError> {
    let mut history = History::new(log, Topic::Verdicts, partition, offset, offset + 1)?;
    let record = history.next()?.and_then(|records| records.get(0));
    Ok(record.and_then(|record| record.payload).unwrap_or_default().to_vec())
}

/// Says which records that an epoch folded the log no longer holds; none when it holds them all.
fn lacking(log: &dyn Log, wire: &Wire, task: TaskId, number: i64) -> Result<Option<String>, ReplayError> {
    let (first, end) = log.bounds(Topic::Epochs, task.partition)?;
    let mut history = History::new(log, Topic::Epochs, task.partition, first, end)?;
    let key = task.to_string();
    while let Some(records) = history.next()? {
        for record in records.iter().filter(|record| record.key == key.as_bytes()) {
            let Ok(epoch) = wire.read::<Epoch>(record.payload.unwrap_or_default()) else { continue };
            if epoch.epoch != number {
                continue;
            }
            for range in &epoch.inputs {
                let Some(topic) = Topic::named(&range.topic) else { continue };
                let partition = task.partition_of(topic);
                let held = count(log, topic, partition, range.from, range.to)?;
                if held < range.records {
                    return Ok(Some(format!(
                        "epoch {number} folded {} records of {topic}/{partition} at offsets {} to {}, and the log \
                         holds {held} of them: their retention has passed, or they were deleted",
                        range.records,
                        range.from,
                        range.to - 1
                    )));
                }
            }
            return Ok(None);
        }
    }
    Ok(None)
}

fn count(log: &dyn Log, topic: Topic, partition: u32, from: i64, to: i64) -> Result<i64, ReplayError> {
    let (first, end) = log.bounds(topic, partition)?;
    let mut history = History::new(log, topic, partition, from.max(first), to.min(end))?;
    let mut records = 0;
    while let Some(batch) = history.next()? {
        records += batch.len() as i64;
    }
    Ok(records)
}
