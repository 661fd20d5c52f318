//! The enforcer's fold: verdicts, operators' words and executors' words in; audit records, actions and standings out.
//!
//! Pure, as every stage is. Decisions are folds; effects have processing time, of which the fold knows the one that
//! its epoch's record keeps. An audit record stands before each transition of an action in the outputs, and both
//! become visible in one commit: there is no action without its record.

use crate::accounts::{Accounts, Hold, Kept};
use crate::age::{AGE_NAME, AgeMax};
use crate::chain::{AuditKey, AuditKeys, ChainHead};
use crate::decide::{Proposal, propose};
use crate::lifecycle::{after_outcome, is_in_effect, is_over, standing, superseded, when_due};
use crate::limits::{DEADLINE_GRACE_MS, DUE_PER_EPOCH_MAX, NAME_BYTES_MAX, OPEN_MAX, STANDING_RENEWAL_MS};
use crate::posture::{POSTURE_NAME, Stance};
use crate::refuse::{Refusal, dead_letter, read_outcome, read_verdict};
use std::sync::Arc;
use weir_schemas::wire::{Wire, to_single_object};
use weir_schemas::{
    AccountId, Action, ActionId, ActionKind, ActionState, Audit, AuditKind, Control, ControlKind, Digest,
    DlqKind, Judge, Posture, Standing, StandingStatus, Verdict,
};
use weir_topology::record::{Output, RecordRef, Records};
use weir_topology::stage::{Batch, Effects, InputBatch, Stage, StateEntry, StateError, Tally};
use weir_topology::topic::{StageName, Topic};

#[cfg(test)]
mod tests;

/// Header of an action: place of its audit record in the chain of its partition, in decimal. Nobody
/// may carry an action out before that record is safe.
pub const AUDIT_SEQUENCE_HEADER: &str = "weir-audit-sequence";

/// Header of an action: offset of its verdict in the same partition of the verdict topic, in decimal.
pub const VERDICT_OFFSET_HEADER: &str = "weir-verdict-offset";

/// Name of the control record of kind KEY that moves the audit chains to another key: its body is the
/// key's id.
pub const AUDIT_KEY_NAME: &str = "audit-key";

/// Tenant of audit records that concern every tenant.
pub const EVERY_TENANT: &str = "*";

/// How the reason of an action begins that is withheld because the same is in force already.
pub const ALREADY_IN_FORCE: &str = "already in force";

/// Version of the enforcer's decisions. Raise it with every change after which the same log gives other records or
/// another state.
pub const JUDGE_VERSION: i32 = 2;

/// Version of the encoding of state entries.
const STATE_FORMAT: i32 = 2;

/// Key of the state entry that holds the end of the audit chain.
pub const CHAIN_KEY: &[u8] = b"!chain";
const POSTURE_KEY: &[u8] = b"!posture";
/// Sequence and hash of a chain's head.
const HEAD_BYTES: usize = 40;

const AGE_KEY: &[u8] = b"!age_max";
const ACTOR: &str = "enforcer";

/// The end of the audit chain in the body of the state entry [`CHAIN_KEY`]; none where it is damaged.
pub fn head_in_state(body: &[u8]) -> Option<ChainHead> {
    let (sequence, rest) = body.split_first_chunk::<8>()?;
    let hash = Digest(*rest.first_chunk::<32>()?);
    Some(ChainHead { sequence: i64::from_be_bytes(*sequence), hash })
}

/// Name of the audit chain of a partition's enforcer.
pub fn chain_writer(partition: u32) -> String {
    format!("{}/{partition}", StageName::Enforcer)
}

/// The enforcer of one partition.
#[derive(Debug)]
pub struct EnforcerStage {
    wire: Arc<Wire>,
    keys: AuditKeys,
    /// The key that signs; which one is part of the state.
    key: AuditKey,
    head: ChainHead,
    chain_changed: bool,
    stance: Stance,
    stance_changed: bool,
    age_max: AgeMax,
    age_changed: bool,
    accounts: Accounts,
}

/// One step under way.
struct Step<'b> {
    batch: &'b Batch,
    /// When the epoch was taken.
    taken_ms: i64,
    writer: String,
    effects: Effects,
    withheld_as_history: u64,
    outcomes_unmatched: u64,
}

impl Step<'_> {
    fn emit(&mut self, output: Output) {
        self.effects.outputs.push(output.in_partition(self.batch.partition));
    }
}

impl EnforcerStage {
    /// An enforcer that has seen nothing: in audit posture, at the beginning of its chain.
    pub fn new(keys: AuditKeys, wire: Arc<Wire>) -> Self {
        Self {
            wire,
            key: keys.first().clone(),
            keys,
            head: ChainHead::default(),
            chain_changed: false,
            stance: Stance::default(),
            stance_changed: false,
            age_max: AgeMax::default(),
            age_changed: false,
            accounts: Accounts::default(),
        }
    }

    /// The posture in force.
    pub fn stance(&self) -> Stance {
        self.stance
    }

    /// The end of the audit chain.
    pub fn chain_head(&self) -> ChainHead {
        self.head
    }

    /// Signs an audit record and emits it; its place in the chain.
    fn audit(&mut self, step: &mut Step<'_>, audit: Audit) -> i64 {
        let audit = Audit { posture: self.stance.posture, epoch: step.batch.epoch, ..audit };
        // The record's frame must be understood for as long as the chain is, with or without a registry.
        let entry = self.head.append(&step.writer, &self.key, to_single_object(&audit));
        self.chain_changed = true;
        let payload = self.wire.to_bytes(&entry);
        step.emit(Output::keyed(Topic::Audit, audit.tenant.into_bytes(), payload, audit.time_ms));
        entry.sequence
    }

    fn refuse(&self, step: &mut Step<'_>, input: &InputBatch, record: RecordRef<'_>, refusal: &Refusal) {
        // Every task reads the one partition of control; one of them writes the letter.
        if input.topic == Topic::Control && step.batch.partition != 0 {
            step.effects.judged += 1;
            return;
        }
        step.emit(dead_letter(&self.wire, step.batch.partition, input, record, refusal));
        step.effects.dead_lettered += 1;
    }

    /// Folds an operator's word. Posture, audit key and its settings concern the enforcer; what it cannot
    /// follow changes nothing, and says so.
    fn control(&mut self, step: &mut Step<'_>, input: &InputBatch, record: RecordRef<'_>) {
        let Some(payload) = record.payload else {
            // The operator deleted the setting: back to what a fresh install does.
            if record.key == POSTURE_NAME.as_bytes() && self.stance != Stance::default() {
                let told =
                    Audit { time_ms: record.timestamp_ms, actor: "operator".into(), ..Audit::default() };
                self.take_stance(step, Stance::default(), told);
            }
            step.effects.judged += 1;
            return;
        };
        let control: Control = match self.wire.read(payload) {
            Ok(control) => control,
            Err(error) => return self.refuse(step, input, record, &error.into()),
        };
        let told = Audit {
            time_ms: control.time_ms,
            actor: control.author.chars().take(NAME_BYTES_MAX / 4).collect(),
            policy_version: control.version.chars().take(NAME_BYTES_MAX / 4).collect(),
            ..Audit::default()
        };
        match self.follow(step, &control, told.clone()) {
            Ok(()) => step.effects.judged += 1,
            Err(reason) => {
                let refused = Audit {
                    kind: AuditKind::Refusal,
                    tenant: EVERY_TENANT.into(),
                    outcome: "refused".into(),
                    reason: reason.clone(),
                    ..told
                };
                self.audit(step, refused);
                self.refuse(step, input, record, &Refusal::new(DlqKind::InvalidField, reason));
            }
        }
    }

    fn follow(&mut self, step: &mut Step<'_>, control: &Control, told: Audit) -> Result<(), String> {
        match control.kind {
            ControlKind::Posture if control.name == POSTURE_NAME => {
                let stance = Stance::parse(&control.body)?;
                self.take_stance(step, stance, told);
                Ok(())
            }
            ControlKind::Posture => Err(format!("a posture must have the name {POSTURE_NAME}")),
            ControlKind::Key if control.name == AUDIT_KEY_NAME => {
                let key = self.keys.get(control.body.trim()).cloned();
                let key = key.ok_or("the enforcer was not given an audit key of this id")?;
                let public = Digest(key.public());
                let reason =
                    format!("audit key {} gives way to {}, public key {public}", self.key.id(), key.id());
                // Signed with the old key: it vouches for the new one.
                let record = Audit {
                    kind: AuditKind::Operator,
                    tenant: EVERY_TENANT.into(),
                    outcome: "key_changed".into(),
                    reason,
                    ..told
                };
                self.audit(step, record);
                self.key = key;
                Ok(())
            }
            ControlKind::Setting if control.name == AGE_NAME => {
                let age_max = AgeMax::parse(&control.body)?;
                let reason = format!("{AGE_NAME} {} gives way to {}", self.age_max.0, age_max.0);
                let record = Audit {
                    kind: AuditKind::Operator,
                    tenant: EVERY_TENANT.into(),
                    outcome: "setting_changed".into(),
                    reason,
                    ..told
                };
                self.audit(step, record);
                self.age_changed |= age_max != self.age_max;
                self.age_max = age_max;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take_stance(&mut self, step: &mut Step<'_>, stance: Stance, told: Audit) {
        let record = Audit {
            kind: AuditKind::Operator,
            tenant: EVERY_TENANT.into(),
            outcome: "posture_changed".into(),
            reason: format!("posture {} gives way to {stance}", self.stance),
            ..told
        };
        self.audit(step, record);
        self.stance_changed |= stance != self.stance;
        self.stance = stance;
    }

    fn verdict(&mut self, step: &mut Step<'_>, input: &InputBatch, record: RecordRef<'_>) {
        let verdict = match read_verdict(&self.wire, record.payload) {
            Ok(verdict) => verdict,
            Err(refusal) => return self.refuse(step, input, record, &refusal),
        };
        step.effects.judged += 1;
        step.effects.clock_ms = step.effects.clock_ms.max(verdict.time_ms);
        let proposals = propose(&verdict);
        if proposals.is_empty() {
            let reason = format!("tier {} asks for nothing", verdict.tier);
            self.audit(step, decision(&verdict, "no_action", reason));
            return;
        }
        let mut kept = self.accounts.get(verdict.account);
        let settled: Vec<Action> =
            proposals.iter().map(|proposal| self.settle(step, &verdict, proposal, &mut kept)).collect();
        let mut outputs = Vec::with_capacity(settled.len());
        for action in &settled {
            let outcome = if action.state == ActionState::Pending { "pending" } else { "withheld" };
            let record_of = Audit {
                action_id: Some(action.action_id),
                action: action.kind,
                ..decision(&verdict, outcome, action.reason.clone())
            };
            let sequence = self.audit(step, record_of);
            let output = self.action_record(action, sequence);
            outputs.push(output.with_header(VERDICT_OFFSET_HEADER, record.offset.to_string()));
        }
        outputs.into_iter().for_each(|output| step.emit(output));
        for action in settled.into_iter().filter(|action| action.state == ActionState::Pending) {
            self.begin(step, action, &mut kept);
        }
        self.accounts.put(verdict.account, kept);
    }

    /// What becomes of a proposal: to be carried out, or withheld and why.
    fn settle(&self, step: &mut Step<'_>, verdict: &Verdict, proposal: &Proposal, kept: &mut Kept) -> Action {
        let history = self.age_max.history(verdict, step.taken_ms);
        let withheld_by = self.stance.withholds(verdict.account).map(str::to_owned).or(history.clone());
        let in_force = kept.hold_at(proposal.kind, step.taken_ms).filter(|hold| {
            let escalates = proposal.ring > hold.ring || verdict.tier > hold.tier;
            !escalates && proposal.subject == hold.subject
        });
        let (state, reason) = match (in_force, withheld_by) {
            (Some(hold), _) if hold.acted => (ActionState::Withheld, ALREADY_IN_FORCE.to_owned()),
            (Some(_), Some(by)) => {
                (ActionState::Withheld, format!("{ALREADY_IN_FORCE}; withheld all the same: {by}"))
            }
            (None, Some(by)) => (ActionState::Withheld, by),
            // What was only withheld so far is done as soon as nothing withholds it.
            (Some(_) | None, None) => {
                let partial = if verdict.partial { ", partial" } else { "" };
                (ActionState::Pending, format!("tier {}, score {:.3}{partial}", verdict.tier, verdict.score))
            }
        };
        step.withheld_as_history += u64::from(history.is_some_and(|history| reason.ends_with(&history)));
        let acts = state == ActionState::Pending;
        let deadline_ms = step.taken_ms.saturating_add(self.age_max.0);
        if in_force.is_none() || acts {
            // What is to be carried out holds until its executor has answered, and from then on as long as it lasts.
            let answered_ms = deadline_ms.saturating_add(DEADLINE_GRACE_MS);
            kept.hold(Hold {
                kind: proposal.kind,
                tier: verdict.tier,
                ring: proposal.ring,
                acted: acts,
                until_ms: if acts { answered_ms } else { step.taken_ms.saturating_add(proposal.holds_ms) },
                holds_ms: proposal.holds_ms,
                subject: proposal.subject,
            });
        }
        Action {
            action_id: ActionId::of(verdict.verdict_id, proposal.kind),
            time_ms: verdict.time_ms,
            tenant: verdict.tenant.clone(),
            account: verdict.account,
            verdict_id: verdict.verdict_id,
            kind: proposal.kind,
            ring: proposal.ring,
            state,
            posture: self.stance.posture,
            reason,
            expires_ms: None,
            revert: proposal.revert,
            policy_version: verdict.policy_version.clone(),
            taken_ms: step.taken_ms,
            lasts_ms: proposal.lasts_ms,
            deadline_ms: acts.then_some(deadline_ms),
            origin: verdict.origin,
        }
    }

    /// Follows an action from its decision on. One of its kind that still waits would only be carried out to give
    /// way at once.
    fn begin(&mut self, step: &mut Step<'_>, action: Action, kept: &mut Kept) {
        let waits = |other: &Action| other.kind == action.kind && other.state == ActionState::Pending;
        if action.lasts_ms.is_some() {
            self.supersede(step, &action, kept, waits);
        }
        if kept.open.len() >= OPEN_MAX {
            let given_up = kept.open.remove(0);
            let reason = "more actions are under way than are followed".into();
            let failed = Action { state: ActionState::Failed, reason, taken_ms: step.taken_ms, ..given_up };
            self.transition(step, &failed, ACTOR);
        }
        kept.open.push(action);
    }

    /// Ends every action under way that `gives_way` to `by`.
    fn supersede(
        &mut self,
        step: &mut Step<'_>,
        by: &Action,
        kept: &mut Kept,
        gives_way: impl Fn(&Action) -> bool,
    ) {
        let (ended, open) = std::mem::take(&mut kept.open).into_iter().partition(|other| gives_way(other));
        kept.open = open;
        for action in Vec::into_iter(ended) {
            self.transition(step, &superseded(&action, by, step.taken_ms), ACTOR);
        }
    }

    /// Writes a transition down, after its audit record.
    fn transition(&mut self, step: &mut Step<'_>, action: &Action, actor: &str) {
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
        step.emit(self.action_record(action, sequence));
    }

    fn action_record(&self, action: &Action, audit_sequence: i64) -> Output {
        let payload = self.wire.to_bytes(action);
        Output::keyed(Topic::Actions, action.account.to_key(), payload, action.taken_ms)
            .with_header(AUDIT_SEQUENCE_HEADER, audit_sequence.to_string())
    }

    /// Folds an executor's word.
    fn outcome(&mut self, step: &mut Step<'_>, input: &InputBatch, record: RecordRef<'_>) {
        let outcome = match read_outcome(&self.wire, record) {
            Ok(outcome) => outcome,
            Err(refusal) => return self.refuse(step, input, record, &refusal),
        };
        step.effects.judged += 1;
        let mut kept = self.accounts.get(outcome.account);
        let is_meant =
            |action: &Action| action.action_id == outcome.action_id && action.state == ActionState::Pending;
        let Some(place) = kept.open.iter().position(is_meant) else {
            step.outcomes_unmatched += 1;
            return;
        };
        let action = after_outcome(&kept.open.remove(place), &outcome, step.taken_ms);
        self.transition(step, &action, &outcome.executor);
        if is_in_effect(&action) {
            let effect_ms = action.expires_ms.unwrap_or(step.taken_ms) - action.lasts_ms.unwrap_or(0);
            let held = kept.holds.iter_mut().find(|hold| hold.kind == action.kind && hold.acted);
            if let Some(hold) = held.filter(|_| is_latest(&action, &kept.open)) {
                hold.until_ms = effect_ms.saturating_add(hold.holds_ms);
            }
            if action.lasts_ms.is_some() {
                let is_same = |other: &Action| other.kind == action.kind && is_in_effect(other);
                self.supersede(step, &action, &mut kept, is_same);
            }
        } else if is_latest(&action, &kept.open) {
            // What failed may be asked for again at once.
            kept.release(action.kind);
        }
        if !is_over(&action) {
            kept.open.push(action);
        }
        self.restate(step, outcome.account, &mut kept);
        self.accounts.put(outcome.account, kept);
    }

    /// Does what is due, with or without records.
    fn do_what_is_due(&mut self, step: &mut Step<'_>) {
        for account in self.accounts.due(step.taken_ms, DUE_PER_EPOCH_MAX) {
            let mut kept = self.accounts.get(account);
            for action in std::mem::take(&mut kept.open) {
                let Some(next) = when_due(&action, step.taken_ms) else {
                    kept.open.push(action);
                    continue;
                };
                self.transition(step, &next, ACTOR);
                if next.state == ActionState::Failed && is_latest(&next, &kept.open) {
                    kept.release(next.kind);
                }
                if !is_over(&next) {
                    kept.open.push(next);
                }
            }
            self.restate(step, account, &mut kept);
            self.accounts.put(account, kept);
        }
    }

    /// Tells how the account stands, where that has changed or was told long ago.
    fn restate(&mut self, step: &mut Step<'_>, account: AccountId, kept: &mut Kept) {
        let standing = match (standing(&kept.open, step.taken_ms), &kept.standing) {
            (Some(now), _) => now,
            (None, None) => return,
            (None, Some(told)) => Standing {
                status: StandingStatus::Good,
                since_ms: if told.status == StandingStatus::Good { told.since_ms } else { step.taken_ms },
                until_ms: None,
                told_ms: step.taken_ms,
                ..told.clone()
            },
        };
        let is_news = kept.standing.as_ref().is_none_or(|told| {
            let same = Standing { told_ms: told.told_ms, ..standing.clone() } == *told;
            let lasts = told.status != StandingStatus::Good;
            !same || (lasts && told.told_ms.saturating_add(STANDING_RENEWAL_MS) <= step.taken_ms)
        });
        if is_news {
            let payload = self.wire.to_bytes(&standing);
            step.emit(Output::keyed(Topic::Standing, account.to_key(), payload, step.taken_ms));
            kept.standing = Some(standing);
        }
    }
}

/// Whether no action of its kind under way was decided after it.
fn is_latest(action: &Action, open: &[Action]) -> bool {
    !open.iter().any(|other| other.kind == action.kind && other.state == ActionState::Pending)
}

/// The audit record of a decision on `verdict`, before it is signed.
fn decision(verdict: &Verdict, outcome: &str, reason: String) -> Audit {
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

impl Stage for EnforcerStage {
    fn name(&self) -> StageName {
        StageName::Enforcer
    }

    fn judge(&self, _: &Batch) -> Judge {
        Judge { version: JUDGE_VERSION, policy: None }
    }

    fn step(&mut self, batch: &Batch) -> Effects {
        let effects = Effects { clock_ms: batch.clock_ms, ..Effects::default() };
        let mut step = Step {
            batch,
            // Whoever folds without a clock folds as if everything were acted on at once.
            taken_ms: batch.taken_ms.unwrap_or(batch.clock_ms),
            writer: chain_writer(batch.partition),
            effects,
            withheld_as_history: 0,
            outcomes_unmatched: 0,
        };
        self.do_what_is_due(&mut step);
        for input in &batch.inputs {
            for record in input.records.iter() {
                match input.topic {
                    Topic::Control => self.control(&mut step, input, record),
                    Topic::Outcomes => self.outcome(&mut step, input, record),
                    _ => self.verdict(&mut step, input, record),
                }
            }
        }
        let forgotten = self.accounts.evict(step.taken_ms);
        let counts = [
            (Tally::Expired, forgotten.expired),
            (Tally::EvictedByCap, forgotten.by_cap),
            (Tally::WithheldAsHistory, step.withheld_as_history),
            (Tally::OutcomesUnmatched, step.outcomes_unmatched),
        ];
        step.effects.tallies = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        step.effects.policy_version = self.stance.to_string();
        step.effects
    }

    /// Not asked: an audit chain goes on from the records that its own judge signed.
    fn adopt(&mut self, _: &Batch, _: &Records) {}

    fn rejudge(&mut self, batch: &Batch) -> (Effects, u64) {
        (
            Effects {
                clock_ms: batch.clock_ms,
                policy_version: self.stance.to_string(),
                ..Effects::default()
            },
            0,
        )
    }

    fn state_format(&self) -> i32 {
        STATE_FORMAT
    }

    fn changed(&self) -> usize {
        let settings = [self.chain_changed, self.stance_changed, self.age_changed];
        self.accounts.changed() + settings.into_iter().filter(|changed| *changed).count()
    }

    fn take_changes(&mut self) -> Vec<StateEntry> {
        let mut changes = Vec::with_capacity(self.changed());
        if std::mem::take(&mut self.age_changed) {
            let body = self.age_max.0.to_string().into_bytes();
            changes.push(StateEntry { key: AGE_KEY.into(), body: Some(body) });
        }
        if std::mem::take(&mut self.chain_changed) {
            let mut body = self.head.sequence.to_be_bytes().to_vec();
            body.extend_from_slice(&self.head.hash.0);
            body.extend_from_slice(self.key.id().as_bytes());
            changes.push(StateEntry { key: CHAIN_KEY.into(), body: Some(body) });
        }
        if std::mem::take(&mut self.stance_changed) {
            let body = self.stance.to_string().into_bytes();
            changes.push(StateEntry { key: POSTURE_KEY.into(), body: Some(body) });
        }
        // Hex digits come after `!`, so that all is in key order.
        let accounts = self.accounts.take_changes();
        changes.extend(accounts.map(|(account, body)| StateEntry { key: account.to_key(), body }));
        changes
    }

    fn survey(&self, _: u64, _: usize) -> (Vec<StateEntry>, Option<u64>) {
        (Vec::new(), None)
    }

    fn restore(&mut self, key: &[u8], format: i32, body: &[u8]) -> Result<(), StateError> {
        let name = || String::from_utf8_lossy(key).into_owned();
        if format != STATE_FORMAT {
            return Err(StateError::Format { key: name(), found: format, expected: STATE_FORMAT });
        }
        let damaged = |reason: String| StateError::Damaged { key: name(), reason };
        match key {
            CHAIN_KEY => self.restore_chain(body).map_err(damaged),
            POSTURE_KEY => {
                let stance = std::str::from_utf8(body).map_err(|error| error.to_string());
                self.stance = stance.and_then(Stance::parse).map_err(damaged)?;
                Ok(())
            }
            AGE_KEY => {
                let age_max = std::str::from_utf8(body).map_err(|error| error.to_string());
                self.age_max = age_max.and_then(AgeMax::parse).map_err(damaged)?;
                Ok(())
            }
            _ => {
                let account = AccountId::from_key(key).map_err(|error| damaged(error.to_string()))?;
                self.accounts.restore(account, body).map_err(damaged)
            }
        }
    }

    fn forget(&mut self, key: &[u8]) {
        match key {
            CHAIN_KEY => self.head = ChainHead::default(),
            POSTURE_KEY => self.stance = Stance::default(),
            AGE_KEY => self.age_max = AgeMax::default(),
            _ => {
                if let Ok(account) = AccountId::from_key(key) {
                    self.accounts.forget(account);
                }
            }
        }
    }

    fn entries(&self) -> usize {
        let has_chain = self.head != ChainHead::default();
        self.accounts.len() + usize::from(has_chain) + usize::from(self.stance.posture != Posture::Audit)
    }

    fn due_ms(&self) -> Option<i64> {
        self.accounts.due_ms()
    }
}

impl EnforcerStage {
    /// Sequence (8 bytes, big-endian), hash (32), id of the signing key.
    fn restore_chain(&mut self, body: &[u8]) -> Result<(), String> {
        let head = head_in_state(body).ok_or("the chain's head is cut short")?;
        let key_id = String::from_utf8_lossy(&body[HEAD_BYTES..]);
        let key = self.keys.get(&key_id);
        self.key = key.cloned().ok_or_else(|| {
            format!("the chain is signed with audit key {key_id}, which was not given: give every key that is in use")
        })?;
        self.head = head;
        Ok(())
    }
}
