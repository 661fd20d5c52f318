//! What keeps an action from being carried out, beside what is in force already and what is history: the
//! protected list, the posture, its ring, the limiter, which pauses in a storm of verdicts. And how what is
//! in force is undone when an operator says so.

use super::course::standing_of;
use super::{ACTOR, EVERY_TENANT, EnforcerStage, PAUSED, STORM, Step};
use crate::accounts::Kept;
use crate::charter;
use crate::decide::Proposal;
use crate::kill_switch::fold::MENDED;
use crate::lifecycle::{is_in_force, undone};
use crate::limiter::{Admission, Limiter, Pause};
use crate::limits::DUE_PER_EPOCH_MAX;
use crate::posture::Stance;
use crate::rings::Ring;
use crate::storm::Told;
use crate::subject::Subject;
use weir_schemas::{AccountId, Action, ActionKind, ActionState, Audit, AuditKind, Posture, Tier, Verdict};

/// Why an action on a protected account is withheld, and why one that was in force is undone.
pub(super) const PROTECTED: &str = "the account is protected";

/// Why an action is undone that an operator undoes.
pub(super) const UNDONE: &str = "an operator undid it";

/// The same of one that the state knew nothing of.
const UNDONE_UNKNOWN: &str = "an operator undid it; the enforcer's state knew nothing of it, and the log did";

/// How the reason of an action begins that the limiter withholds.
pub const LIMITER: &str = "the limiter pauses";

impl EnforcerStage {
    /// Whether operators protect the account. It may still be shown to a person.
    pub(super) fn protects(
        &self,
        step: &mut Step<'_>,
        verdict: &Verdict,
        proposal: &Proposal,
    ) -> Option<&'static str> {
        let is_protected = self.is_protected(verdict, proposal);
        step.withheld_as_protected += u64::from(is_protected);
        is_protected.then_some(PROTECTED)
    }

    fn is_protected(&self, verdict: &Verdict, proposal: &Proposal) -> bool {
        reaches_beyond_a_desk(proposal.kind)
            && self.safeguards.protected.holds(&verdict.tenant, verdict.account)
    }

    /// Why the posture withholds an action on the verdict's account. In canary posture those that operators
    /// named are acted on, beside its share.
    pub(super) fn stance_withholds(&self, verdict: &Verdict) -> Option<&'static str> {
        let is_named = self.stance.posture == Posture::Canary
            && self.safeguards.canary.holds(&verdict.tenant, verdict.account);
        if is_named { None } else { self.stance.withholds(verdict.account) }
    }

    /// Whether the verdict was made by a policy that may not enforce. It may still be shown to a person.
    pub(super) fn charter_withholds(&self, verdict: &Verdict, proposal: &Proposal) -> Option<&'static str> {
        let is_withheld = reaches_beyond_a_desk(proposal.kind) && self.charter.withholds(verdict);
        is_withheld.then_some(charter::WITHHELD)
    }

    pub(super) fn ring_withholds(&self, proposal: &Proposal) -> Option<String> {
        let is_off = self.safeguards.rings.get(proposal.ring) == Ring::Off;
        is_off.then(|| format!("ring {} is off", proposal.ring))
    }

    /// Counts an account that is found at CRITICAL, if it was not before, and if nothing but the limiter
    /// could keep it from being acted on. A partial verdict acts on nobody, history tells nothing of now, and
    /// of whom the limiter pauses nobody is counted. Where that is a storm the limiter pauses, unless nothing
    /// is acted on anyway.
    pub(super) fn watch_for_storm(
        &mut self,
        step: &mut Step<'_>,
        verdict: &Verdict,
        proposals: &[Proposal],
        kept: &Kept,
    ) {
        let is_first = verdict.tier == Tier::Critical
            && !verdict.partial
            && !kept.holds.iter().any(|hold| hold.tier == Tier::Critical && hold.until_ms > step.taken_ms);
        if !is_first || !self.would_act(step, verdict, proposals) {
            return;
        }
        let found = self.safeguards.found(&verdict.tenant, verdict.time_ms, step.taken_ms);
        let Some(Told { whose, why }) = found else { return };
        step.storms += 1;
        let tenant = whose.as_deref().unwrap_or(EVERY_TENANT);
        if self.stance_at(step.taken_ms).posture == Posture::Audit {
            let why = format!("{why}; nothing is acted on, or the limiter would pause");
            return self.tell(step, STORM, tenant, why);
        }
        self.safeguards.pause(whose.as_deref(), Pause { since_ms: step.taken_ms, why: why.clone() });
        step.pauses += 1;
        self.tell(step, PAUSED, tenant, why);
    }

    /// Whether the account would be acted on by one of these: in audit posture, where nobody is, if that were
    /// enforce.
    fn would_act(&self, step: &Step<'_>, verdict: &Verdict, proposals: &[Proposal]) -> bool {
        let is_in_audit = self.stance_at(step.taken_ms).posture == Posture::Audit;
        let is_let = |proposal: &Proposal| {
            is_on_the_account(proposal.kind)
                && !self.is_protected(verdict, proposal)
                && self.charter_withholds(verdict, proposal).is_none()
                && self.ring_withholds(proposal).is_none()
        };
        self.safeguards.limiter.withholds(&verdict.tenant).is_none()
            && (is_in_audit || self.stance_withholds(verdict).is_none())
            && self.age_max.history(verdict, step.taken_ms).is_none()
            && proposals.iter().any(is_let)
    }

    /// Why the limiter withholds an action. Where it does not, the account counts.
    pub(super) fn limiter_withholds(
        &mut self,
        step: &mut Step<'_>,
        verdict: &Verdict,
        proposal: &Proposal,
        kept: &mut Kept,
    ) -> Option<String> {
        let tenant = &*verdict.tenant;
        if !reaches_beyond_a_desk(proposal.kind) {
            return None;
        }
        if let Some(pause) = self.safeguards.limiter.withholds(tenant) {
            step.withheld_by_limiter += 1;
            return Some(reason_of(pause));
        }
        if !is_on_the_account(proposal.kind) || Limiter::still_counts(kept.counted_ms, step.taken_ms) {
            return None;
        }
        self.safeguards.counted(tenant);
        let requests = u64::try_from(verdict.event_count).unwrap_or(0);
        match self.safeguards.limiter.admit(tenant, requests, step.taken_ms) {
            Admission::Admitted => {
                kept.counted_ms = Some(step.taken_ms);
                None
            }
            Admission::PausesNow(whose, pause) => {
                step.pauses += 1;
                step.withheld_by_limiter += 1;
                self.tell(step, PAUSED, whose.as_deref().unwrap_or(EVERY_TENANT), pause.why.clone());
                Some(reason_of(&pause))
            }
        }
    }

    /// Counts an action that another build decided, so that its accounts have no second room. How many
    /// requests such an account made, its action does not say.
    pub(super) fn count_taken_over(&mut self, kept: &mut Kept, action: &Action) {
        let counts = is_on_the_account(action.kind) && action.state == ActionState::Pending;
        if counts && !Limiter::still_counts(kept.counted_ms, action.taken_ms) {
            self.safeguards.limiter.count(&action.tenant, 0, action.taken_ms);
            self.safeguards.counted(&action.tenant);
            kept.counted_ms = Some(action.taken_ms);
        }
    }

    /// Why the kill switch withholds whatever is asked for.
    pub(super) fn kill_switch_withholds(&self, step: &mut Step<'_>) -> Option<String> {
        let withheld_by = self.safeguards.kill_switch.withholds(step.taken_ms);
        step.withheld_by_kill_switch += u64::from(withheld_by.is_some());
        withheld_by
    }

    /// The posture in force: what operators set, unless the kill switch is on.
    pub(super) fn stance_at(&self, taken_ms: i64) -> Stance {
        if self.safeguards.kill_switch.is_on(taken_ms) { Stance::default() } else { self.stance }
    }

    /// Undoes what is in force on every account that is meant, and gives up what still waits for its
    /// executor.
    pub(super) fn undo(&mut self, step: &mut Step<'_>, subject: &Subject, why: &str) {
        let is_meant = |action: &Action| subject.means(&action.tenant, action.account);
        let meant = match subject {
            // Of one account nobody else needs to be looked at.
            Subject::Account(account) => {
                self.accounts.has_open(*account).then_some(*account).into_iter().collect()
            }
            Subject::Tenant(_) => self.accounts.with_open(is_meant),
        };
        for account in meant {
            self.undo_on(step, account, why, |action| {
                reaches_beyond_a_desk(action.kind)
                    && (is_in_force(action) || action.state == ActionState::Pending)
            });
        }
    }

    /// Undoes actions of which the state knows nothing, as if it had known them: executors let go what they
    /// name, and whoever was told that the account does not stand well is told that it does. One that came to
    /// its end since the operator's word was published is let go twice, which is letting go once.
    pub(super) fn undo_lacked(&mut self, step: &mut Step<'_>, lacked: Vec<Action>) {
        for action in lacked {
            let account = action.account;
            let mut kept = self.accounts.get(account);
            kept.open.push(action.clone());
            if kept.standing.is_none() {
                kept.standing = standing_of(&kept, step.taken_ms);
            }
            self.transition(step, &mut kept, undone(&action, UNDONE_UNKNOWN, step.taken_ms), ACTOR);
            kept.release(action.kind);
            self.restate(step, account, &mut kept);
            self.accounts.put(account, kept);
        }
    }

    /// Writes down what a safeguard did by itself, and to whose accounts.
    pub(super) fn tell(&mut self, step: &mut Step<'_>, outcome: &str, tenant: &str, reason: String) {
        let record_of = Audit {
            time_ms: step.taken_ms,
            kind: AuditKind::Safeguard,
            tenant: tenant.into(),
            outcome: outcome.into(),
            reason,
            actor: ACTOR.into(),
            ..Audit::default()
        };
        self.audit(step, record_of);
    }

    /// Mends the glass where its time is over, and ends what a request to the kill switch ends: of so many
    /// accounts at a time, the rest in the next epoch.
    pub(super) fn follow_kill_switch(&mut self, step: &mut Step<'_>) {
        if let Some(glass) = self.safeguards.kill_switch.mend(step.taken_ms) {
            self.safeguards.kill_switch_changed();
            step.kill_switch_changes += 1;
            let why = format!("break_glass, request {}: its time is over", glass.request_id);
            self.tell(step, MENDED, EVERY_TENANT, why);
        }
        let Some(sweep) = self.safeguards.kill_switch.sweep().cloned() else { return };
        let is_on = self.safeguards.kill_switch.is_on(step.taken_ms);
        let meant = self.swept_by(step.taken_ms).unwrap_or_default();
        let is_last = meant.len() <= DUE_PER_EPOCH_MAX;
        for account in meant.into_iter().take(DUE_PER_EPOCH_MAX) {
            self.undo_on(step, account, &sweep.why, |action| sweep.means(action, is_on));
        }
        if is_last {
            self.safeguards.kill_switch.swept();
            self.safeguards.kill_switch_changed();
        }
    }

    /// The accounts on which the kill switch has something to end; none where it ends nothing.
    pub(super) fn swept_by(&self, taken_ms: i64) -> Option<Vec<AccountId>> {
        let kill_switch = &self.safeguards.kill_switch;
        let (sweep, is_on) = (kill_switch.sweep()?, kill_switch.is_on(taken_ms));
        Some(self.accounts.with_open(|action| sweep.means(action, is_on)))
    }

    fn undo_on(
        &mut self,
        step: &mut Step<'_>,
        account: AccountId,
        why: &str,
        is_meant: impl Fn(&Action) -> bool,
    ) {
        let mut kept = self.accounts.get(account);
        for action in kept.under_way(is_meant) {
            self.transition(step, &mut kept, undone(&action, why, step.taken_ms), ACTOR);
            kept.release(action.kind);
        }
        self.restate(step, account, &mut kept);
        self.accounts.put(account, kept);
    }
}

fn reason_of(pause: &Pause) -> String {
    format!("{LIMITER} until an operator approves: {}", pause.why)
}

/// Whether the action does more than show the account to people.
fn reaches_beyond_a_desk(kind: ActionKind) -> bool {
    kind != ActionKind::Review
}

/// Whether the action's effect is on the account itself.
fn is_on_the_account(kind: ActionKind) -> bool {
    reaches_beyond_a_desk(kind) && kind != ActionKind::ShareIndicators
}
