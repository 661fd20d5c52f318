//! Whom persons are asked about, when that is overdue, and what is forgotten of it unanswered.

use super::{ACTOR, ALREADY_IN_FORCE, EVERY_TENANT, EnforcerStage, Step};
use crate::review::queue::{CaughtUp, DROPPED, Heard, OVERDUE};
use crate::review::{Item, Says};
use weir_schemas::{Action, ActionKind, Audit, AuditKind, Revert, Tier, Verdict};

/// Outcome in the audit record of whom persons are asked about that were acted on before there was a queue.
pub(super) const CAUGHT_UP: &str = "reviews_caught_up";

/// A time that has come for every clock.
const AT_ONCE_MS: i64 = 0;

impl EnforcerStage {
    /// Asks persons about whom a build acted on that had no queue, where only a person undoes that: once in
    /// the life of a state. They wait from now on.
    pub(super) fn catch_up(&mut self, taken_ms: i64) {
        if self.reviews.is_caught_up() {
            return;
        }
        let mut asking = Vec::new();
        for account in self.accounts.with_open(asks_a_person) {
            let kept = self.accounts.get(account);
            for action in kept.under_way(asks_a_person) {
                let held = kept.holds.iter().find(|hold| hold.kind == action.kind);
                // Of whom it is not known any more, nobody is to wait for longer than the gravest does.
                let tier = held.map_or(Tier::Critical, |hold| hold.tier);
                asking.push((Action { taken_ms, ..action }, tier));
            }
        }
        self.caught_up = self.reviews.catch_up(&asking);
    }

    /// When [`Self::catch_up`] is due, so that it waits for no record; none where it has nobody to ask about.
    pub(super) fn catch_up_due_ms(&self) -> Option<i64> {
        let is_due = !self.reviews.is_caught_up() && !self.accounts.with_open(asks_a_person).is_empty();
        is_due.then_some(AT_ONCE_MS)
    }

    /// Writes down whom [`Self::catch_up`] asked about.
    pub(super) fn tell_caught_up(&mut self, step: &mut Step<'_>) {
        let CaughtUp { accounts, left } = std::mem::take(&mut self.caught_up);
        if accounts + left > 0 {
            step.reviews_dropped += left;
            let reason = format!(
                "{accounts} accounts were acted on before there was a queue, and only a person undoes that: they wait for one \
                 now; for {left} more there is no room"
            );
            self.tell(step, CAUGHT_UP, EVERY_TENANT, reason);
        }
    }

    /// Asks a person about the account of an action on this verdict, where the action is one that asks. What
    /// is history is nobody's question of today.
    pub(super) fn ask(&mut self, action: &Action, verdict: &Verdict) {
        if asks_a_person(action) && self.age_max.history(verdict, action.taken_ms).is_none() {
            self.reviews.open(action, verdict.tier);
        }
    }

    /// Writes down which accounts have waited for too long.
    pub(super) fn fall_due(&mut self, step: &mut Step<'_>) {
        for item in self.reviews.fall_due(step.taken_ms) {
            step.reviews_overdue += 1;
            let by = item.assignee.as_deref().unwrap_or("nobody");
            let reason = format!("nobody has decided by {}; {by} looks at it", item.due_ms);
            self.tell_of(step, &item, OVERDUE, reason);
        }
    }

    /// Forgets what is too old, or too much, and writes down of whom nobody has decided.
    pub(super) fn drop_reviews(&mut self, step: &mut Step<'_>) {
        for item in self.reviews.evict(step.taken_ms) {
            step.reviews_dropped += 1;
            self.tell_of(step, &item, DROPPED, "it waited too long, or too many wait".to_owned());
        }
    }

    /// Whoever was decided on is asked about anew when found again: nothing holds the question any more.
    pub(super) fn let_question_go(&mut self, heard: &Heard) {
        let item = self.reviews.get(heard.word.item);
        if let (Says::Decide(_), Some(account)) = (&heard.word.says, item.map(|item| item.account)) {
            let mut kept = self.accounts.get(account);
            kept.release(ActionKind::Review);
            self.accounts.put(account, kept);
        }
    }

    fn tell_of(&mut self, step: &mut Step<'_>, item: &Item, outcome: &str, reason: String) {
        let record_of = Audit {
            time_ms: step.taken_ms,
            kind: AuditKind::Safeguard,
            outcome: outcome.into(),
            reason,
            actor: ACTOR.into(),
            ..Audit::default()
        };
        self.audit(step, about(item, record_of));
    }
}

/// An audit record, said of this item.
pub(super) fn about(item: &Item, audit: Audit) -> Audit {
    Audit {
        tenant: item.tenant.clone(),
        account: Some(item.account),
        verdict_id: Some(item.verdict_id),
        action_id: Some(item.action_id),
        action: item.kind,
        tier: item.tier,
        ..audit
    }
}

/// Whether an action asks for a person: it says so, or only a person can undo it. What only says again what
/// is in force asks nobody.
fn asks_a_person(action: &Action) -> bool {
    let is_asked = action.kind == ActionKind::Review || action.revert == Revert::Manual;
    is_asked && !action.reason.starts_with(ALREADY_IN_FORCE)
}
