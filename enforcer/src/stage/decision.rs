//! What becomes of a verdict: an audit record, and the actions that it asks for, to be carried out or
//! withheld.

use super::{ACTOR, ALREADY_IN_FORCE, EnforcerStage, Step, VERDICT_OFFSET_HEADER};
use crate::accounts::{Hold, Kept};
use crate::decide::{Proposal, propose};
use crate::limits::DEADLINE_GRACE_MS;
use crate::refuse::read_verdict;
use std::cmp::Reverse;
use weir_schemas::{
    Action, ActionId, ActionKind, ActionState, Audit, AuditKind, StandingEvidence, Tier, Verdict,
};
use weir_topology::record::RecordRef;
use weir_topology::stage::InputBatch;

impl EnforcerStage {
    pub(super) fn verdict(&mut self, step: &mut Step<'_>, input: &InputBatch, record: RecordRef<'_>) {
        let verdict = match read_verdict(&self.wire, record.payload) {
            Ok(verdict) => verdict,
            Err(refusal) => return self.refuse(step, input, record, &refusal),
        };
        step.effects.judged += 1;
        step.effects.clock_ms = step.effects.clock_ms.max(verdict.time_ms);
        let proposals = self.proposals(&verdict);
        if proposals.is_empty() {
            let reason = format!("tier {} asks for nothing", verdict.tier);
            self.audit(step, audit_of(&verdict, "no_action", reason));
            return;
        }
        let mut kept = self.accounts.get(verdict.account);
        self.watch_for_storm(step, &verdict, &proposals, &kept);
        let settled: Vec<Action> =
            proposals.iter().map(|proposal| self.settle(step, &verdict, proposal, &mut kept)).collect();
        let mut outputs = Vec::with_capacity(settled.len());
        for action in &settled {
            let outcome = if action.state == ActionState::Pending { "pending" } else { "withheld" };
            let record_of = Audit {
                action_id: Some(action.action_id),
                action: action.kind,
                ..audit_of(&verdict, outcome, action.reason.clone())
            };
            let sequence = self.audit(step, record_of);
            let output = self.action_record(action, sequence);
            outputs.push(output.with_header(VERDICT_OFFSET_HEADER, record.offset.to_string()));
        }
        outputs.into_iter().for_each(|output| step.emit(output));
        settled.iter().for_each(|action| self.ask(action, &verdict));
        for action in settled.into_iter().filter(|action| action.state == ActionState::Pending) {
            remember_evidence(&mut kept, &action, &verdict);
            self.begin(step, &mut kept, action);
        }
        self.accounts.put(verdict.account, kept);
    }

    /// What this build answers a verdict with.
    pub(super) fn proposals(&self, verdict: &Verdict) -> Vec<Proposal> {
        let is_confirmed = self.reviews.is_confirmed(verdict.account);
        let rings = &self.safeguards.rings;
        let mut proposals: Vec<Proposal> =
            propose(verdict, is_confirmed).into_iter().map(|proposal| rings.apply(proposal)).collect();
        if self.is_planted {
            for proposal in &mut proposals {
                proposal.lasts_ms = proposal.lasts_ms.map(|lasts_ms| 2 * lasts_ms);
                proposal.holds_ms *= 2;
            }
        }
        proposals
    }

    /// What becomes of a proposal: to be carried out, or withheld and why.
    fn settle(
        &mut self,
        step: &mut Step<'_>,
        verdict: &Verdict,
        proposal: &Proposal,
        kept: &mut Kept,
    ) -> Action {
        let history = self.age_max.history(verdict, step.taken_ms);
        let in_force = in_force(kept, verdict.tier, proposal, step.taken_ms);
        let is_done = in_force.is_some_and(|hold| hold.acted);
        let protected = self.protects(step, verdict, proposal);
        let withheld_by = match protected {
            Some(by) => Some(by.to_owned()),
            // Asks for room only where nothing else withholds it.
            None if is_done => None,
            None => (self.kill_switch_withholds(step))
                .or_else(|| self.stance_withholds(verdict).map(str::to_owned))
                .or_else(|| self.charter_withholds(verdict, proposal).map(str::to_owned))
                .or(history.clone())
                .or_else(|| self.ring_withholds(proposal))
                .or_else(|| self.limiter_withholds(step, verdict, proposal, kept)),
        };
        let (state, reason) = match (in_force, withheld_by) {
            (Some(hold), _) if hold.acted && protected.is_none() => {
                (ActionState::Withheld, ALREADY_IN_FORCE.to_owned())
            }
            (Some(_), Some(by)) => {
                (ActionState::Withheld, format!("{ALREADY_IN_FORCE}; withheld all the same: {by}"))
            }
            (None, Some(by)) => (ActionState::Withheld, by),
            // What was only withheld so far is done as soon as nothing withholds it.
            (Some(_) | None, None) => {
                let partial = if verdict.partial { ", partial" } else { "" };
                let tier = format!("tier {}, score {:.3}{partial}", verdict.tier, verdict.score);
                // Who confirmed it is for the chain, not for all who read of actions.
                let is_by_both = verdict.tier == Tier::High && proposal.kind == ActionKind::Suspend;
                (ActionState::Pending, tier + if is_by_both { ", confirmed" } else { "" })
            }
        };
        step.withheld_as_history += u64::from(history.is_some_and(|history| reason.ends_with(&history)));
        let is_pending = state == ActionState::Pending;
        let action = Action {
            action_id: ActionId::of(verdict.verdict_id, proposal.kind),
            time_ms: verdict.time_ms,
            tenant: verdict.tenant.clone(),
            account: verdict.account,
            verdict_id: verdict.verdict_id,
            kind: proposal.kind,
            ring: proposal.ring,
            state,
            posture: self.stance_at(step.taken_ms).posture,
            reason,
            expires_ms: None,
            revert: proposal.revert,
            policy_version: verdict.policy_version.clone(),
            taken_ms: step.taken_ms,
            lasts_ms: proposal.lasts_ms,
            deadline_ms: is_pending.then(|| step.taken_ms.saturating_add(self.age_max.0)),
            origin: verdict.origin,
            epoch: step.batch.epoch,
        };
        hold(kept, verdict.tier, proposal, &action);
        action
    }
}

/// Remembers what an action rests on that will say how the account stands.
pub(super) fn remember_evidence(kept: &mut Kept, action: &Action, verdict: &Verdict) {
    if action.kind.has_effect() {
        kept.evidence.insert(action.action_id, evidence_of(verdict));
    }
}

/// What the verdict rests on, in short: its score, and the families that speak against the account.
fn evidence_of(verdict: &Verdict) -> StandingEvidence {
    let mut families: Vec<(&str, i64)> = Vec::new();
    for signal in &verdict.signals {
        let millinats = i64::from(signal.millinats);
        match families.iter_mut().find(|(family, _)| *family == signal.family) {
            Some((_, sum)) => *sum += millinats,
            None => families.push((&signal.family, millinats)),
        }
    }
    families.retain(|(_, sum)| *sum > 0);
    // Stable, so that equals stay in the order of their strongest signals.
    families.sort_by_key(|(_, sum)| Reverse(*sum));
    let families = families.into_iter().map(|(family, _)| family.to_owned()).collect();
    StandingEvidence { score: verdict.score, families }
}

/// What keeps a proposal from being asked for again.
fn in_force(kept: &Kept, tier: Tier, proposal: &Proposal, taken_ms: i64) -> Option<Hold> {
    kept.hold_at(proposal.kind, taken_ms).filter(|hold| {
        let escalates = proposal.ring > hold.ring || tier > hold.tier;
        !escalates && proposal.subject == hold.subject
    })
}

/// Puts the hold in force that comes with the decision `action` on `proposal`.
pub(super) fn hold(kept: &mut Kept, tier: Tier, proposal: &Proposal, action: &Action) {
    let acted = action.state == ActionState::Pending;
    if !acted && in_force(kept, tier, proposal, action.taken_ms).is_some() {
        return;
    }
    // What is to be carried out holds until its executor has answered, and from then on as long as it lasts.
    let until_ms = match action.deadline_ms {
        Some(deadline_ms) => deadline_ms.saturating_add(DEADLINE_GRACE_MS),
        None => action.taken_ms.saturating_add(proposal.holds_ms),
    };
    kept.hold(Hold {
        kind: proposal.kind,
        tier,
        ring: proposal.ring,
        acted,
        until_ms,
        holds_ms: proposal.holds_ms,
        subject: proposal.subject,
    });
}

/// The audit record of a decision on `verdict`, before it is signed.
fn audit_of(verdict: &Verdict, outcome: &str, reason: String) -> Audit {
    Audit {
        time_ms: verdict.time_ms,
        kind: AuditKind::Decision,
        tenant: verdict.tenant.clone(),
        account: Some(verdict.account),
        verdict_id: Some(verdict.verdict_id),
        action: ActionKind::Other,
        outcome: outcome.into(),
        reason,
        actor: ACTOR.into(),
        policy_version: verdict.policy_version.clone(),
        score: verdict.score,
        tier: verdict.tier,
        // Those that speak against the account; the others stand in the verdict.
        signals: verdict.signals.iter().filter(|s| s.millinats > 0).map(|s| s.detector.clone()).collect(),
        ..Audit::default()
    }
}
