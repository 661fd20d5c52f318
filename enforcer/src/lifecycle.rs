//! An action's way after its decision: carried out or not, over, undone. And how the account stands for it.

use crate::limits::{DEADLINE_GRACE_MS, STANDING_RENEWAL_MS, WATCH_MS};
use weir_schemas::{
    Action, ActionKind, ActionOutcome, ActionState, OutcomeKind, Revert, Standing, StandingStatus,
};

/// When an effect took place. The executor's clock is not ours: that is neither before the decision nor in
/// the future.
pub(crate) fn effect_ms(outcome: &ActionOutcome, decided_ms: i64, taken_ms: i64) -> i64 {
    outcome.effect_ms.clamp(decided_ms, taken_ms.max(decided_ms))
}

/// What an executor's word makes of an action that waits for it.
pub(crate) fn after_outcome(action: &Action, outcome: &ActionOutcome, taken_ms: i64) -> Action {
    let next = Action { taken_ms, deadline_ms: None, ..action.clone() };
    if outcome.kind != OutcomeKind::Told {
        let reason = format!("{} did not carry it out: {}", outcome.executor, outcome.detail);
        return Action { state: ActionState::Failed, reason, ..next };
    }
    let effect_ms = effect_ms(outcome, action.taken_ms, taken_ms);
    Action {
        state: ActionState::Done,
        reason: format!("told by {}", outcome.executor),
        expires_ms: action.lasts_ms.map(|lasts_ms| effect_ms.saturating_add(lasts_ms)),
        ..next
    }
}

/// When an action under way is due; none where that is a person's business.
pub(crate) fn due_of(action: &Action) -> Option<i64> {
    match action.state {
        ActionState::Pending => action.deadline_ms.map(|deadline| deadline.saturating_add(DEADLINE_GRACE_MS)),
        ActionState::Done => action.expires_ms,
        _ => None,
    }
}

/// What has become of an action by `taken_ms` without anybody's word; none where nothing has.
pub(crate) fn when_due(action: &Action, taken_ms: i64) -> Option<Action> {
    due_of(action).filter(|due_ms| *due_ms <= taken_ms)?;
    let (state, reason) = match (action.state, action.revert) {
        (ActionState::Pending, _) => (ActionState::Failed, "nobody carried it out by its deadline"),
        (_, Revert::Auto) => (ActionState::Reverted, "its time is over"),
        (_, Revert::Manual) => (ActionState::Expired, "its time is over, a person is to undo it"),
    };
    Some(Action { state, reason: reason.into(), taken_ms, deadline_ms: None, ..action.clone() })
}

/// The action, now that `by` is in force in its place.
pub(crate) fn superseded(action: &Action, by: &Action, taken_ms: i64) -> Action {
    let reason = format!("action {} took its place", by.action_id);
    Action { state: ActionState::Superseded, reason, taken_ms, deadline_ms: None, ..action.clone() }
}

/// The action, now that it is followed no longer because more are under way than are.
pub(crate) fn given_up(action: &Action, taken_ms: i64) -> Action {
    let reason = "more actions are under way than are followed".into();
    Action { state: ActionState::Failed, reason, taken_ms, deadline_ms: None, ..action.clone() }
}

/// The action, now that an operator undid it for this reason. What was not carried out yet is not going to
/// be.
pub(crate) fn undone(action: &Action, why: &str, taken_ms: i64) -> Action {
    let state =
        if action.state == ActionState::Pending { ActionState::Failed } else { ActionState::Reverted };
    Action { state, reason: why.into(), taken_ms, deadline_ms: None, ..action.clone() }
}

/// Whether `next` is what became of `before`. The same verdict may be answered twice, under one id.
pub(crate) fn follows(before: &Action, next: &Action) -> bool {
    before.action_id == next.action_id
        && match next.state {
            ActionState::Withheld | ActionState::Pending => false,
            ActionState::Done => before.state == ActionState::Pending,
            ActionState::Failed | ActionState::Reverted | ActionState::Expired | ActionState::Superseded => {
                before.expires_ms == next.expires_ms
            }
        }
}

/// Whether no transition can come any more.
pub(crate) fn is_over(action: &Action) -> bool {
    match action.state {
        ActionState::Pending | ActionState::Expired => false,
        ActionState::Done => action.lasts_ms.is_none(),
        ActionState::Withheld | ActionState::Failed | ActionState::Reverted | ActionState::Superseded => true,
    }
}

/// Whether the action has an effect now.
pub(crate) fn is_in_effect(action: &Action) -> bool {
    matches!(action.state, ActionState::Done | ActionState::Expired)
}

/// Whether it is in effect and is to come to an end: there is something to undo.
pub(crate) fn is_in_force(action: &Action) -> bool {
    is_in_effect(action) && action.lasts_ms.is_some()
}

/// How an account stands while an action of this kind is in effect.
fn status_of(kind: ActionKind) -> StandingStatus {
    match kind {
        ActionKind::RateLimit => StandingStatus::Limited,
        ActionKind::Suspend | ActionKind::ClusterTakedown => StandingStatus::Suspended,
        ActionKind::Other | ActionKind::Review | ActionKind::ShareIndicators => StandingStatus::Good,
    }
}

/// How an account stands with these actions under way: by the gravest that is in effect. None where none is.
/// What the action rests on is for whoever remembers it to add.
pub(crate) fn standing(open: &[Action], taken_ms: i64) -> Option<Standing> {
    let grave = |action: &&Action| is_in_effect(action) && action.kind.has_effect();
    let gravest =
        open.iter().filter(grave).max_by_key(|action| (status_of(action.kind), action.expires_ms))?;
    Some(Standing {
        account: gravest.account,
        tenant: gravest.tenant.clone(),
        status: status_of(gravest.kind),
        since_ms: gravest.expires_ms.unwrap_or(taken_ms) - gravest.lasts_ms.unwrap_or(0),
        until_ms: gravest.expires_ms.filter(|_| gravest.revert == Revert::Auto),
        action_id: gravest.action_id,
        verdict_id: gravest.verdict_id,
        told_ms: taken_ms,
        evidence: None,
    })
}

/// When something is to be said again of an account that was told to stand so: what lasts is told again, and
/// that it stands well is taken back when nobody watches it any more.
pub(crate) fn standing_due_ms(told: &Standing) -> i64 {
    match told.status {
        StandingStatus::Good => told.since_ms.saturating_add(WATCH_MS),
        StandingStatus::Limited | StandingStatus::Suspended => {
            told.told_ms.saturating_add(STANDING_RENEWAL_MS)
        }
    }
}
