//! The executor's word: once an action that was to be carried out stands in the files, `weir.outcomes` says
//! so, each once.
//!
//! Files and log have no commit in common. So a round's sidecar says which actions it told, and the next
//! round begins only when the log has the answers to them. Whoever comes back after a crash looks at the log
//! first for those that it has.

use super::lines::Effect;
use super::sidecar::Unanswered;
use crate::limits::ANSWER_ATTEMPTS_MAX;
use std::collections::BTreeSet;
use std::sync::Arc;
use weir_schemas::wire::Wire;
use weir_schemas::{Action, ActionOutcome, ActionState, OutcomeKind};
use weir_topology::history::read_range;
use weir_topology::log::{Commit, Log, LogError, Writer};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

/// Header of an outcome: offset of the action that it answers for in the same partition of the action topic,
/// in decimal.
pub const ACTION_OFFSET_HEADER: &str = "weir-action-offset";

/// Answers for what stands in the files.
pub(crate) struct Answers {
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    /// None until it is needed, and after a failure: then the log is looked at before anything is answered.
    writer: Option<Box<dyn Writer>>,
    /// Whether somebody else answers for what has an effect on an account.
    leaves_effects: bool,
}

impl Answers {
    pub fn new(log: Arc<dyn Log>, wire: Arc<Wire>) -> Self {
        Self { log, wire, writer: None, leaves_effects: false }
    }

    /// Somebody else answers for what has an effect on an account.
    pub fn leave_effects(&mut self) {
        self.leaves_effects = true;
    }

    /// The files are gone on with from what is on disk of them, which may not say what was answered.
    pub fn look_again(&mut self) {
        self.writer = None;
    }

    /// Answers for every action of the round that `executor` told and has not answered for.
    pub fn answer(&mut self, executor: &str, round: &Unanswered) -> Result<(), LogError> {
        let (mut writer, is_new) = match self.writer.take() {
            Some(writer) => (writer, false),
            // Fences whoever answered under this name: what it had under way is in the log, or never will be.
            None => (self.log.writer(executor)?, true),
        };
        let mut outputs = Vec::new();
        for (partition, range) in &round.partitions {
            let (mut from, mut answered) = (range.from, BTreeSet::new());
            if is_new {
                from = from.max(self.log.bounds(Topic::Actions, *partition)?.0);
                answered = self.answered(executor, *partition, range.outcomes_from)?;
            }
            read_range(self.log.as_ref(), Topic::Actions, *partition, from, range.to, |records| {
                for record in records.iter().filter(|record| !answered.contains(&record.offset)) {
                    let Ok(action) = self.wire.read::<Action>(record.payload.unwrap_or_default()) else {
                        continue;
                    };
                    let is_anothers = self.leaves_effects && action.kind.has_effect();
                    if action.state == ActionState::Pending && !is_anothers {
                        let outcome = self.outcome(executor, &action, round.told_ms, record.offset);
                        outputs.push(outcome.in_partition(*partition));
                    }
                }
                Ok(())
            })?;
        }
        if !outputs.is_empty() {
            commit(writer.as_mut(), &Commit { outputs, positions: Vec::new() })?;
        }
        self.writer = Some(writer);
        Ok(())
    }

    fn outcome(&self, executor: &str, action: &Action, told_ms: i64, offset: i64) -> Output {
        let effect = Effect::of(action, told_ms);
        let (kind, detail) = match effect.is_in_time {
            true => (OutcomeKind::Told, String::new()),
            false => (OutcomeKind::Failed, "its deadline had passed".into()),
        };
        let outcome = ActionOutcome {
            action_id: action.action_id,
            account: action.account,
            tenant: action.tenant.clone(),
            kind,
            effect_ms: effect.effect_ms,
            executor: executor.to_owned(),
            detail,
        };
        let payload = self.wire.to_bytes(&outcome);
        Output::keyed(Topic::Outcomes, action.account.to_key(), payload, effect.effect_ms)
            .with_header(ACTION_OFFSET_HEADER, offset.to_string())
    }

    /// Offsets of the actions for which the log has this executor's answers, from `from` on.
    fn answered(&self, executor: &str, partition: u32, from: i64) -> Result<BTreeSet<i64>, LogError> {
        let mut answered = BTreeSet::new();
        let (first, end) = self.log.bounds(Topic::Outcomes, partition)?;
        read_range(self.log.as_ref(), Topic::Outcomes, partition, from.max(first), end, |records| {
            for record in records.iter() {
                let outcome = self.wire.read::<ActionOutcome>(record.payload.unwrap_or_default());
                let is_mine = outcome.is_ok_and(|outcome| outcome.executor == executor);
                let offset =
                    record.header(ACTION_OFFSET_HEADER).and_then(|value| std::str::from_utf8(value).ok());
                answered.extend(offset.and_then(|offset| offset.parse::<i64>().ok()).filter(|_| is_mine));
            }
            Ok(())
        })?;
        Ok(answered)
    }
}

/// Commits, and tries the very same commit again when it was aborted.
fn commit(writer: &mut dyn Writer, commit: &Commit) -> Result<(), LogError> {
    for _ in 1..ANSWER_ATTEMPTS_MAX {
        match writer.commit(commit) {
            Err(LogError::Aborted { .. }) => {}
            other => return other,
        }
    }
    writer.commit(commit)
}
