//! The verdicts of one partition, held against one fold over it.

use super::difference::{ContentDifference, sha256_of};
use super::lacking::lacking;
use super::report::{Difference, Evidence, Finding, Outcome};
use super::target::Target;
use crate::limits::{MISSING_MAX, STARTS_TRIED_MAX};
use crate::report::ReplayError;
use crate::start::{Start, Starts};
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, HashSet};
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Epoch, Verdict, VerdictId};
use weir_topology::error::TaskError;
use weir_topology::history::History;
use weir_topology::log::{Log, LogError};
use weir_topology::record::Output;
use weir_topology::restore::{Refolded, fold_recorded};
use weir_topology::stage::StageFactory;
use weir_topology::topic::{TaskId, Topic};

/// What folds have said of a target so far.
enum Status {
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

/// What a verdict that came out says.
enum Said {
    /// Something of the target with this number.
    Of(usize, Status),
    /// It is not in the log.
    Missing(Emitted),
}

/// Why a fold ended before the log did.
enum Failure {
    /// What comes next cannot be folded.
    Unproven(String),
    /// This build gives something else than was recorded.
    Diverged(Difference),
}

/// Epochs that were folded again and gave what was recorded of them.
struct Folded {
    /// The first of them comes after this one.
    after: i64,
    last: i64,
    /// Those that another judge recorded, and this one adopted: what came out of them says nothing of what
    /// was said.
    adopted: Vec<i64>,
    /// Why it did not go on; none where the log ended or enough was known.
    failure: Option<Failure>,
    is_at_end: bool,
}

impl Folded {
    fn has(&self, epoch: i64) -> bool {
        (self.after + 1..=self.last).contains(&epoch)
    }
}

/// The verdicts of one partition, held against what comes out of its epochs.
///
/// A checkpoint is not believed: what comes out after it counts when an epoch with a snapshot has followed,
/// whose digest covers every account that changed since. Where that fails, another start is tried.
pub(super) struct Prover {
    task: TaskId,
    starts: Starts,
    targets: Vec<Target>,
    statuses: Vec<Status>,
    by_id: HashMap<VerdictId, usize>,
    by_place: HashMap<(AccountId, i64), usize>,
    /// Every verdict after this epoch is a target, so that what came out and is none is missing.
    complete_after: Option<i64>,
    missing: Vec<Emitted>,
    missing_ids: HashSet<VerdictId>,
    folded: Vec<Folded>,
}

impl Prover {
    /// A prover of targets of one partition, in offset order. With `complete_after` they are every verdict
    /// after that epoch, and none may be missing.
    pub(super) fn new(
        task: TaskId,
        starts: Starts,
        targets: Vec<Target>,
        complete_after: Option<i64>,
    ) -> Self {
        let mut prover = Self {
            task,
            starts,
            statuses: targets.iter().map(|_| Status::Open).collect(),
            by_id: HashMap::new(),
            by_place: HashMap::new(),
            targets,
            complete_after,
            missing: Vec::new(),
            missing_ids: HashSet::new(),
            folded: Vec::new(),
        };
        for index in 0..prover.targets.len() {
            let target = &prover.targets[index];
            let Some(id) = target.id else { continue };
            if let Some(first) = prover.by_id.get(&id) {
                let first_offset = prover.targets[*first].offset;
                prover.settle(index, closed(Difference::Doubled { first_offset }));
                continue;
            }
            prover.by_place.insert((target.account, target.sequence), index);
            prover.by_id.insert(id, index);
        }
        prover
    }

    /// Folds as much of the partition's history as it takes to decide every target.
    pub(super) fn refold(
        mut self,
        log: &dyn Log,
        wire: &Wire,
        make_stage: &StageFactory,
        progress: &mut impl FnMut(u64),
    ) -> Result<Self, ReplayError> {
        let mut tried = HashMap::new();
        while let Some((start, to)) = self.next_fold(&tried) {
            let start = start.clone();
            tried.insert(start.epoch(), to);
            self.fold(&start, to, log, wire, make_stage, progress)?;
        }
        Ok(self)
    }

    /// Where to fold from next, and the epoch after which it need not go on. `tried` says the same of the
    /// folds so far.
    fn next_fold(&self, tried: &HashMap<i64, i64>) -> Option<(&Start, i64)> {
        if self.complete_after.is_some() && tried.is_empty() {
            return Some((self.starts.oldest(), i64::MAX));
        }
        let is_open = |index: &usize| matches!(self.statuses[*index], Status::Open | Status::Candidate(_));
        let mut open: Vec<&Target> =
            (0..self.targets.len()).filter(is_open).map(|index| &self.targets[index]).collect();
        open.sort_by_key(|target| target.epoch());
        let last = open.iter().map(|target| target.epoch()).max()?;
        let is_new = |start: &Start, to: i64| tried.get(&start.epoch()).is_none_or(|tried| *tried < to);
        open.iter().find_map(|target| {
            // Epochs are counted from 1.
            if target.epoch() < 1 || self.folded.iter().any(|folded| folded.has(target.epoch())) {
                // It is not what it says; perhaps it came out elsewhere.
                let start = self.starts.before(target.earliest_epoch).next().unwrap_or(self.starts.oldest());
                return is_new(start, i64::MAX).then_some((start, i64::MAX));
            }
            let to = if self.complete_after.is_some() { i64::MAX } else { last };
            let mut near = self.starts.before(target.epoch()).take(STARTS_TRIED_MAX);
            near.find(|start| is_new(start, to)).map(|start| (start, to))
        })
    }

    fn fold(
        &mut self,
        start: &Start,
        to: i64,
        log: &dyn Log,
        wire: &Wire,
        make_stage: &StageFactory,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), ReplayError> {
        let (task, after) = (self.task, start.epoch());
        let (mut last, mut said, mut is_enough) = (after, Vec::new(), false);
        let mut adopted = Vec::new();
        let folded = start.make(log, wire, make_stage).and_then(|(mut stage, from)| {
            fold_recorded(task, stage.as_mut(), log, wire, from, |Refolded { epoch, batch, effects }| {
                let events = batch.inputs.iter().filter(|input| input.topic == Topic::Events);
                progress(events.map(|input| input.records.len() as u64).sum());
                let outputs = effects.map_or(&[][..], |effects| &effects.outputs);
                adopted.extend(effects.is_none().then_some(epoch.epoch));
                for output in outputs.iter().filter(|output| output.topic == Topic::Verdicts) {
                    said.extend(self.said(after, wire, epoch, output)?);
                }
                // From the beginning, the state is made of nothing but events.
                if after == 0 || epoch.state_digest.is_some() {
                    last = epoch.epoch;
                    said.drain(..).for_each(|said| self.take(said));
                    let is_decided = last >= to || self.statuses.iter().all(is_settled);
                    is_enough = self.complete_after.is_none() && is_decided;
                }
                match is_enough {
                    // Ends the fold early.
                    true => Err(TaskError::Gap { task, expected: last, found: last }),
                    false => Ok(()),
                }
            })
        });
        let failure = match folded {
            Ok(cursor) => {
                last = cursor.epoch;
                said.drain(..).for_each(|said| self.take(said));
                None
            }
            Err(_) if is_enough => None,
            Err(TaskError::Diverged { epoch, what, recorded, found, .. }) => {
                let what = what.to_owned();
                Some(match lacking(log, wire, task, epoch)? {
                    Some(reason) => Failure::Unproven(reason),
                    None => Failure::Diverged(Difference::Epoch { epoch, what, recorded, found }),
                })
            }
            Err(
                error @ (TaskError::Gap { .. }
                | TaskError::OtherJudge { .. }
                | TaskError::SaidLost { .. }
                | TaskError::Record { .. }
                | TaskError::State { .. }
                | TaskError::Log { source: LogError::Gone { .. }, .. }),
            ) => Some(Failure::Unproven(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        let is_at_end = failure.is_none() && !is_enough;
        self.folded.push(Folded { after, last, adopted, failure, is_at_end });
        Ok(())
    }

    /// What a verdict that came out says, of a target or by itself.
    fn said(
        &self,
        folded_after: i64,
        wire: &Wire,
        epoch: &Epoch,
        output: &Output,
    ) -> Result<Option<Said>, TaskError> {
        let payload = output.payload.as_deref().unwrap_or_default();
        let in_record = |source| TaskError::Record { task: self.task, topic: Topic::Verdicts, source };
        let verdict: Verdict = wire.read(payload).map_err(in_record)?;
        let place = (verdict.account, verdict.sequence);
        let by_id = self.by_id.get(&verdict.verdict_id).copied();
        let emitted = Emitted { epoch: epoch.epoch, verdict, payload: payload.to_vec() };
        if let Some(index) = by_id {
            let target = &self.targets[index];
            let finding = if target.sha256 != <[u8; 32]>::from(Sha256::digest(payload)) {
                Status::Differs(emitted)
            } else if target.key != output.key {
                closed(Difference::Key { epoch: epoch.epoch })
            } else {
                Status::Closed(Outcome::Proven(Evidence {
                    epoch: epoch.epoch,
                    folded_after,
                    policy_version: epoch.policy_version.clone(),
                    inputs: epoch.inputs.iter().map(Into::into).collect(),
                    sha256_written: weir_schemas::Digest(target.sha256).to_string(),
                    sha256_refolded: sha256_of(payload),
                }))
            };
            return Ok(Some(Said::Of(index, finding)));
        }
        Ok(match self.by_place.get(&place) {
            Some(index) if matches!(self.statuses[*index], Status::Open) => {
                Some(Said::Of(*index, Status::Candidate(emitted)))
            }
            _ => self.complete_after.filter(|after| emitted.epoch > *after).map(|_| Said::Missing(emitted)),
        })
    }

    fn take(&mut self, said: Said) {
        match said {
            Said::Of(index, finding) => self.settle(index, finding),
            Said::Missing(emitted) => {
                let is_new = self.missing_ids.insert(emitted.verdict.verdict_id);
                if is_new && self.missing.len() < MISSING_MAX {
                    self.missing.push(emitted);
                }
            }
        }
    }

    fn settle(&mut self, index: usize, status: Status) {
        if !is_settled(&self.statuses[index]) {
            self.statuses[index] = status;
        }
    }

    /// What came of every target, and of what came out and is none.
    pub(super) fn findings(mut self, log: &dyn Log, wire: &Wire) -> Result<Vec<Finding>, ReplayError> {
        let mut findings = Vec::with_capacity(self.targets.len());
        let missing_untold = self.missing_ids.len() - self.missing.len();
        let mut missing = std::mem::take(&mut self.missing).into_iter();
        let statuses = std::mem::take(&mut self.statuses);
        for (target, status) in self.targets.iter().zip(statuses) {
            // A record that cannot be read is shown beside the next verdict that came out and is
            // nowhere else.
            let status = match (target.id, status) {
                (None, Status::Open) => missing.next().map_or(Status::Open, Status::Differs),
                (_, status) => status,
            };
            let outcome = match status {
                Status::Closed(outcome) => outcome,
                Status::Differs(emitted) | Status::Candidate(emitted) => {
                    let written = payload_at(log, target.partition, target.offset)?;
                    let difference =
                        ContentDifference::between(wire, emitted.epoch, &written, &emitted.payload);
                    Outcome::Different(Difference::Content(difference))
                }
                Status::Open => self.undecided(target),
            };
            findings.push(Finding {
                verdict_id: target.id.map(|id| id.to_string()),
                account: target.id.map(|_| target.account.to_string()),
                partition: target.partition,
                offset: Some(target.offset),
                outcome,
            });
        }
        let nowhere = |emitted: Option<Emitted>, outcome| Finding {
            verdict_id: emitted.as_ref().map(|emitted| emitted.verdict.verdict_id.to_string()),
            account: emitted.map(|emitted| emitted.verdict.account.to_string()),
            partition: self.task.partition,
            offset: None,
            outcome,
        };
        findings.extend(missing.map(|emitted| {
            let outcome = Outcome::Different(Difference::Missing { epoch: emitted.epoch });
            nowhere(Some(emitted), outcome)
        }));
        for _ in 0..missing_untold {
            findings.push(nowhere(None, Outcome::Different(Difference::Missing { epoch: 0 })));
        }
        // Without a target, a history that cannot be folded is no proof that nothing is missing.
        if self.complete_after.is_some()
            && findings.is_empty()
            && let Some(outcome) = self.folded.iter().find_map(|folded| self.failed(folded))
        {
            findings.push(nowhere(None, outcome));
        }
        Ok(findings)
    }

    /// What is to be said of a target that no fold came to.
    fn undecided(&self, target: &Target) -> Outcome {
        let (epoch, partition) = (target.epoch(), target.partition);
        let unproven = |reason| Outcome::Unproven { reason };
        let oldest = self.starts.oldest().epoch();
        if self.folded.iter().any(|folded| folded.adopted.contains(&epoch)) {
            return unproven(format!(
                "epoch {epoch} of account/{partition} was judged by another build or policy, and adopted by this one: use the \
                 build that judged it"
            ));
        }
        if let Some(folded) = self.folded.iter().find(|folded| folded.has(epoch)) {
            return Outcome::Different(Difference::NotEmitted { last_epoch: folded.last });
        }
        if oldest > 0 && epoch <= oldest {
            return unproven(format!(
                "the events that led to epoch {epoch} of account/{partition} are no longer kept; the oldest checkpoint \
                 after which they are is of epoch {oldest}"
            ));
        }
        if let Some(outcome) = self.folded.iter().rev().find_map(|folded| self.failed(folded)) {
            return outcome;
        }
        match self.folded.iter().find(|folded| folded.is_at_end).map(|folded| folded.last) {
            Some(last) if epoch > last => unproven(format!(
                "it names epoch {epoch}, and the epoch records of account/{partition} end with {last}: records of \
                 weir.epochs are missing, or it was never emitted"
            )),
            last => Outcome::Different(Difference::NotEmitted { last_epoch: last.unwrap_or(0) }),
        }
    }

    /// What the failure of a fold says of what it did not come to.
    fn failed(&self, folded: &Folded) -> Option<Outcome> {
        let partition = self.task.partition;
        Some(match folded.failure.as_ref()? {
            Failure::Unproven(reason) => Outcome::Unproven { reason: reason.clone() },
            Failure::Diverged(difference) if folded.after == 0 => Outcome::Different(difference.clone()),
            // Either the checkpoint is wrong, or the build.
            Failure::Diverged(difference) => Outcome::Unproven {
                reason: format!(
                    "folded from the checkpoint after epoch {} of account/{partition}, {}",
                    folded.after,
                    difference.of_an_epoch().unwrap_or_default()
                ),
            },
        })
    }
}

fn is_settled(status: &Status) -> bool {
    matches!(status, Status::Closed(_) | Status::Differs(_))
}

fn closed(difference: Difference) -> Status {
    Status::Closed(Outcome::Different(difference))
}

fn payload_at(log: &dyn Log, partition: u32, offset: i64) -> Result<Vec<u8>, ReplayError> {
    let mut history = History::new(log, Topic::Verdicts, partition, offset, offset + 1)?;
    let record = history.next()?.and_then(|records| records.get(0));
    Ok(record.and_then(|record| record.payload).unwrap_or_default().to_vec())
}
