//! An action's course after its decision: what its executor says, what is due, what takes its place; and how
//! the account stands for it.

use super::{ACTOR, AUDIT_SEQUENCE_HEADER, EnforcerStage, Step};
use crate::accounts::Kept;
use crate::lifecycle::{
    after_outcome, effect_ms, given_up, is_in_effect, standing, standing_due_ms, superseded, when_due,
};
use crate::limits::{DUE_PER_EPOCH_MAX, OPEN_MAX};
use crate::refuse::read_outcome;
use weir_schemas::{AccountId, Action, ActionState, Audit, AuditKind, Standing, StandingStatus};
use weir_topology::record::{Output, RecordRef};
use weir_topology::stage::InputBatch;
use weir_topology::topic::Topic;

impl EnforcerStage {
    /// Follows an action from its decision on. One of its kind that still waits would only be carried out to
    /// give way at once.
    pub(super) fn begin(&mut self, step: &mut Step<'_>, kept: &mut Kept, action: Action) {
        let waits = |other: &Action| other.kind == action.kind && other.state == ActionState::Pending;
        let ended = kept.under_way(|other| action.lasts_ms.is_some() && waits(other));
        self.supersede(step, kept, &ended, &action);
        kept.open.push(action);
        self.give_up_over_cap(step, kept);
    }

    /// Gives the oldest actions up where more are under way than are followed.
    pub(super) fn give_up_over_cap(&mut self, step: &mut Step<'_>, kept: &mut Kept) {
        while kept.open.len() > OPEN_MAX {
            let failed = given_up(&kept.open[0], step.taken_ms);
            step.measure_failure(&kept.open[0], &failed);
            self.transition(step, kept, failed, ACTOR);
        }
    }

    /// Ends actions under way that give way to `by`.
    fn supersede(&mut self, step: &mut Step<'_>, kept: &mut Kept, ended: &[Action], by: &Action) {
        for action in ended {
            self.transition(step, kept, superseded(action, by, step.taken_ms), ACTOR);
        }
    }

    /// Writes a transition down, after its audit record, and remembers it.
    pub(super) fn transition(&mut self, step: &mut Step<'_>, kept: &mut Kept, action: Action, actor: &str) {
        let action = Action { epoch: step.batch.epoch, ..action };
        let record_of = Audit {
            time_ms: action.taken_ms,
            kind: AuditKind::Outcome,
            tenant: action.tenant.clone(),
            account: Some(action.account),
            verdict_id: Some(action.verdict_id),
            action_id: Some(action.action_id),
            action: action.kind,
            outcome: action.state.as_str().to_ascii_lowercase(),
            reason: action.reason.clone(),
            actor: actor.into(),
            policy_version: action.policy_version.clone(),
            ..Audit::default()
        };
        let sequence = self.audit(step, record_of);
        step.emit(self.action_record(&action, sequence));
        kept.take(&action);
    }

    pub(super) fn action_record(&self, action: &Action, audit_sequence: i64) -> Output {
        let payload = self.wire.to_bytes(action);
        Output::keyed(Topic::Actions, action.account.to_key(), payload, action.taken_ms)
            .with_header(AUDIT_SEQUENCE_HEADER, audit_sequence.to_string())
    }

    /// Folds an executor's word.
    pub(super) fn outcome(&mut self, step: &mut Step<'_>, input: &InputBatch, record: RecordRef<'_>) {
        let outcome = match read_outcome(&self.wire, record) {
            Ok(outcome) => outcome,
            Err(refusal) => return self.refuse(step, input, record, &refusal),
        };
        step.effects.judged += 1;
        let mut kept = self.accounts.get(outcome.account);
        let is_meant =
            |action: &&Action| action.action_id == outcome.action_id && action.state == ActionState::Pending;
        let Some(action) = kept.open.iter().find(is_meant) else {
            step.outcomes_unmatched += 1;
            return;
        };
        let decided_ms = action.taken_ms;
        let next = after_outcome(action, &outcome, step.taken_ms);
        step.measure_failure(action, &next);
        let action = next;
        if action.state == ActionState::Done && action.kind.has_effect() {
            step.effects.effects_ms.push(effect_ms(&outcome, decided_ms, step.taken_ms) - decided_ms);
        }
        // An effect that lasts takes the place of that of another of its kind.
        let takes_place = is_in_effect(&action) && action.lasts_ms.is_some();
        let ended = kept.under_way(|other| takes_place && other.kind == action.kind && is_in_effect(other));
        self.transition(step, &mut kept, action.clone(), &outcome.executor);
        self.supersede(step, &mut kept, &ended, &action);
        self.restate(step, outcome.account, &mut kept);
        self.accounts.put(outcome.account, kept);
    }

    /// Does what is due, with or without records.
    pub(super) fn do_what_is_due(&mut self, step: &mut Step<'_>) {
        for account in self.accounts.due(step.taken_ms, DUE_PER_EPOCH_MAX) {
            let mut kept = self.accounts.get(account);
            let due = kept.open.iter().filter_map(|action| Some((action, when_due(action, step.taken_ms)?)));
            let due: Vec<(Action, Action)> = due.map(|(action, next)| (action.clone(), next)).collect();
            for (before, action) in due {
                step.measure_failure(&before, &action);
                self.transition(step, &mut kept, action, ACTOR);
            }
            self.restate(step, account, &mut kept);
            self.accounts.put(account, kept);
        }
    }

    /// Tells how the account stands, where that has changed or was told long ago.
    pub(super) fn restate(&mut self, step: &mut Step<'_>, account: AccountId, kept: &mut Kept) {
        let Some(now) = standing_of(kept, step.taken_ms) else { return };
        let is_news = kept.standing.as_ref().is_none_or(|told| {
            let same = Standing { told_ms: told.told_ms, ..now.clone() } == *told;
            !same || standing_due_ms(told) <= step.taken_ms
        });
        if is_news {
            self.tell_standing(step, account, kept, now);
        }
    }

    /// Tells how the account stands. Where nothing is in force and nobody watches it any more, what was told
    /// is taken back, so that nothing of the account stays.
    pub(super) fn tell_standing(
        &self,
        step: &mut Step<'_>,
        account: AccountId,
        kept: &mut Kept,
        standing: Standing,
    ) {
        let is_over = standing.status == StandingStatus::Good && standing_due_ms(&standing) <= step.taken_ms;
        if is_over {
            kept.standing = None;
            return step.take_standing_back(account);
        }
        let payload = self.wire.to_bytes(&standing);
        step.emit(Output::keyed(Topic::Standing, account.to_key(), payload, step.taken_ms));
        kept.standing = Some(standing);
    }
}

impl Step<'_> {
    /// Counts an effect that waited to be carried out and never will be. What an operator undid is no
    /// failure.
    fn measure_failure(&mut self, before: &Action, next: &Action) {
        let has_failed = before.state == ActionState::Pending && next.state == ActionState::Failed;
        self.effects_failed += u64::from(has_failed && before.kind.has_effect());
    }

    /// Says that nothing is to be said any more of how the account stands.
    pub(super) fn take_standing_back(&mut self, account: AccountId) {
        self.emit(Output::tombstone(Topic::Standing, account.to_key(), self.taken_ms));
    }
}

/// How an account stands with what is remembered of it; none where nothing is to be said of it.
pub(super) fn standing_of(kept: &Kept, taken_ms: i64) -> Option<Standing> {
    let evidence_of = |standing: &Standing| kept.evidence.get(&standing.action_id).cloned();
    let in_effect = standing(&kept.open, taken_ms)
        .map(|standing| Standing { evidence: evidence_of(&standing), ..standing });
    in_effect.or_else(|| {
        let told = kept.standing.as_ref()?;
        let was_good = told.status == StandingStatus::Good;
        Some(Standing {
            status: StandingStatus::Good,
            since_ms: if was_good { told.since_ms } else { taken_ms },
            until_ms: None,
            told_ms: taken_ms,
            ..told.clone()
        })
    })
}
