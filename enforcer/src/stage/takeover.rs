//! How the enforcer goes on from epochs that another build recorded.
//!
//! What was recorded stands: every action and its course are read from `weir.actions`, the end of the chain
//! from `weir.audit`. No verdict is answered again. What this build makes of them counts from then on: when
//! an effect ends, and how long the same is not asked for.

use super::course::standing_of;
use super::settings::KEY_CHANGED;
use super::{ACTOR, CHAIN_KEY, EVERY_TENANT, EnforcerStage, PAUSED, Step, decision, taken_ms};
use crate::chain::ChainHead;
use crate::decide::like;
use crate::limiter::Pause;
use crate::refuse::read_verdict;
use std::collections::BTreeMap;
use weir_schemas::wire::WireError;
use weir_schemas::{Action, ActionState, Audit, AuditEntry, AuditKind, Verdict, VerdictId};
use weir_topology::record::{RecordRef, Records};
use weir_topology::stage::{Batch, StateError};
use weir_topology::topic::Topic;

impl EnforcerStage {
    /// Takes one epoch over. `said` is what stands in the audit chain and in `weir.actions` of it; the runner
    /// has held both against the digests that the epoch recorded.
    pub(super) fn take_over(&mut self, batch: &Batch, said: &[Records]) -> Result<(), StateError> {
        let taken_ms = taken_ms(batch);
        // Before the words of analysts, which are of items.
        self.catch_up(taken_ms);
        // The other build has written down whose time passed, and whom it forgot.
        self.reviews.fall_due(taken_ms);
        for input in batch.inputs.iter().filter(|input| input.topic == Topic::Control) {
            input.records.iter().for_each(|record| self.control_in_silence(record, taken_ms));
        }
        if let Some(last) = said.first().and_then(|audits| audits.iter().next_back()) {
            let taken = self.take_chain_over(batch, last);
            let key = || String::from_utf8_lossy(CHAIN_KEY).into_owned();
            taken.map_err(|reason| StateError::Damaged { key: key(), reason })?;
        }
        if let Some(audits) = said.first() {
            self.take_pauses_over(audits);
        }
        let verdicts = self.verdicts_in(batch);
        for record in said.iter().skip(1).flat_map(Records::iter) {
            if let Ok(action) = self.wire.read::<Action>(record.payload.unwrap_or_default()) {
                self.take_action_over(&action, verdicts.get(&action.verdict_id));
            }
        }
        // What the other build has ended must not make a later word end more than it says.
        if self.swept_by(taken_ms).is_some_and(|left| left.is_empty()) {
            self.safeguards.kill_switch.swept();
            self.safeguards.kill_switch_changed();
        }
        self.reviews.evict(taken_ms);
        Ok(())
    }

    /// The chain goes on behind its `last` entry, with the key that signed it, or the one that it hands the
    /// chain to.
    fn take_chain_over(&mut self, batch: &Batch, last: RecordRef<'_>) -> Result<(), String> {
        let unreadable = |error: WireError| error.to_string();
        let entry: AuditEntry = self.wire.read(last.payload.unwrap_or_default()).map_err(unreadable)?;
        let audit: Audit = self.wire.read(&entry.record).map_err(unreadable)?;
        let key_id = if audit.outcome == KEY_CHANGED { self.last_key_named(batch) } else { None };
        self.continue_chain(ChainHead::after(&entry), &key_id.unwrap_or_else(|| entry.key_id.clone()))?;
        self.chain_changed = true;
        Ok(())
    }

    /// A pause waits for an operator, whoever began it. Operators' words of the same epoch came before it.
    fn take_pauses_over(&mut self, audits: &Records) {
        let entries =
            audits.iter().filter_map(|record| self.wire.read(record.payload.unwrap_or_default()).ok());
        let records = entries.filter_map(|entry: AuditEntry| self.wire.read::<Audit>(&entry.record).ok());
        let pauses: Vec<Audit> = records.filter(|audit| audit.outcome == PAUSED).collect();
        for Audit { tenant, time_ms, reason, .. } in pauses {
            let whose = Some(&*tenant).filter(|tenant| *tenant != EVERY_TENANT);
            self.safeguards.pause(whose, Pause { since_ms: time_ms, why: reason });
        }
    }

    fn last_key_named(&self, batch: &Batch) -> Option<String> {
        let inputs = batch.inputs.iter().filter(|input| input.topic == Topic::Control);
        let mut records = inputs.flat_map(|input| input.records.iter().rev());
        records.find_map(|record| self.key_named_in(record))
    }

    fn verdicts_in(&self, batch: &Batch) -> BTreeMap<VerdictId, Verdict> {
        let inputs = batch.inputs.iter().filter(|input| input.topic == Topic::Verdicts);
        let records = inputs.flat_map(|input| input.records.iter());
        let verdicts = records.filter_map(|record| read_verdict(&self.wire, record.payload).ok());
        verdicts.map(|verdict| (verdict.verdict_id, verdict)).collect()
    }

    /// Remembers a recorded transition of an action, with the verdict that it was decided on where this epoch
    /// holds it.
    fn take_action_over(&mut self, action: &Action, verdict: Option<&Verdict>) {
        let mut kept = self.accounts.get(action.account);
        self.count_taken_over(&mut kept, action);
        let is_decision = matches!(action.state, ActionState::Pending | ActionState::Withheld);
        if let Some(verdict) = verdict.filter(|_| is_decision) {
            let own = self.proposals(verdict).into_iter().find(|proposal| proposal.kind == action.kind);
            let proposal = own.unwrap_or_else(|| like(action, verdict));
            decision::hold(&mut kept, verdict.tier, &proposal, action);
            self.ask(action, verdict);
        }
        if action.state == ActionState::Pending {
            verdict.into_iter().for_each(|verdict| decision::remember_evidence(&mut kept, action, verdict));
            kept.open.push(action.clone());
        }
        kept.take(action);
        // As far as this build can tell: it is told once more, in any case.
        kept.standing = standing_of(&kept, action.taken_ms);
        self.accounts.put(action.account, kept);
        self.taken_over.insert(action.account);
    }

    /// Goes on, after the last epoch that was taken over: says so in the chain, tells how each account that
    /// had actions stands, and does what is due. How many accounts that were.
    pub(super) fn go_on(&mut self, step: &mut Step<'_>) -> u64 {
        let accounts = std::mem::take(&mut self.taken_over);
        let version = self.version();
        let record_of = Audit {
            time_ms: step.taken_ms,
            kind: AuditKind::Operator,
            tenant: EVERY_TENANT.into(),
            outcome: "taken_over".into(),
            reason: format!("version {version} of the decisions goes on from another: {}", self.settings()),
            actor: ACTOR.into(),
            ..Audit::default()
        };
        self.audit(step, record_of);
        self.tell_caught_up(step);
        for account in &accounts {
            let mut kept = self.accounts.get(*account);
            self.give_up_over_cap(step, &mut kept);
            if let Some(standing) = standing_of(&kept, step.taken_ms) {
                self.tell_standing(step, *account, &mut kept, standing);
            }
            self.accounts.put(*account, kept);
        }
        self.do_what_is_due(step);
        self.fall_due(step);
        self.follow_kill_switch(step);
        accounts.len() as u64
    }
}
