//! The enforcer's fold: verdicts and operators' words in, audit records and actions out.
//!
//! Pure, as every stage is. An audit record stands before each action in the outputs, and both become
//! visible in one commit: there is no action without its record.

use crate::chain::{AuditKey, AuditKeys, ChainHead};
use crate::decide::{Proposal, propose};
use crate::holds::{Hold, Holds};
use crate::limits::NAME_BYTES_MAX;
use crate::posture::{POSTURE_NAME, Stance};
use crate::refuse::{Refusal, dead_letter, read_verdict};
use std::sync::Arc;
use weir_schemas::wire::{Wire, to_single_object};
use weir_schemas::{
    AccountId, Action, ActionId, ActionKind, ActionState, Audit, AuditKind, Control, ControlKind, Digest,
    DlqKind, Judge, Posture, Verdict,
};
use weir_topology::record::{Output, RecordRef};
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
pub const JUDGE_VERSION: i32 = 1;

/// Version of the encoding of state entries.
const STATE_FORMAT: i32 = 1;

/// Key of the state entry that holds the end of the audit chain.
pub const CHAIN_KEY: &[u8] = b"!chain";
const POSTURE_KEY: &[u8] = b"!posture";
/// Sequence and hash of a chain's head.
const HEAD_BYTES: usize = 40;

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
    holds: Holds,
}

/// One step under way.
struct Step<'b> {
    batch: &'b Batch,
    writer: String,
    effects: Effects,
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
            holds: Holds::default(),
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

    /// Folds an operator's word. Only posture and audit key concern the enforcer; what it cannot
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
        }
        let actions: Vec<Action> = proposals.iter().map(|proposal| self.settle(&verdict, proposal)).collect();
        let mut outputs = Vec::with_capacity(actions.len());
        for action in &actions {
            let outcome = if action.state == ActionState::Pending { "pending" } else { "withheld" };
            let record_of = Audit {
                action_id: Some(action.action_id),
                action: action.kind,
                ..decision(&verdict, outcome, action.reason.clone())
            };
            let sequence = self.audit(step, record_of);
            let payload = self.wire.to_bytes(action);
            let output = Output::keyed(Topic::Actions, action.account.to_key(), payload, action.time_ms)
                .with_header(AUDIT_SEQUENCE_HEADER, sequence.to_string())
                .with_header(VERDICT_OFFSET_HEADER, record.offset.to_string());
            outputs.push(output);
        }
        outputs.into_iter().for_each(|output| step.emit(output));
    }

    /// What becomes of a proposal: done, or withheld and why.
    fn settle(&mut self, verdict: &Verdict, proposal: &Proposal) -> Action {
        let withheld_by = self.stance.withholds(verdict.account);
        let in_force = self.holds.at(verdict.account, proposal.kind, verdict.time_ms).filter(|hold| {
            let escalates = proposal.ring > hold.ring || verdict.tier > hold.tier;
            !escalates && proposal.subject == hold.subject
        });
        let (state, reason) = match (in_force, withheld_by) {
            (Some(hold), _) if hold.acted => (ActionState::Withheld, ALREADY_IN_FORCE.to_owned()),
            (Some(_), Some(by)) => (ActionState::Withheld, format!("{ALREADY_IN_FORCE}, if not that {by}")),
            (None, Some(by)) => (ActionState::Withheld, by.to_owned()),
            // What was only withheld so far is done as soon as the posture permits it.
            (Some(_) | None, None) => {
                let partial = if verdict.partial { ", partial" } else { "" };
                (ActionState::Pending, format!("tier {}, score {:.3}{partial}", verdict.tier, verdict.score))
            }
        };
        if in_force.is_none() || state == ActionState::Pending {
            self.holds.put(
                verdict.account,
                Hold {
                    kind: proposal.kind,
                    tier: verdict.tier,
                    ring: proposal.ring,
                    until_ms: verdict.time_ms + proposal.holds_ms,
                    acted: state == ActionState::Pending,
                    subject: proposal.subject,
                },
            );
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
            expires_ms: proposal.lasts_ms.map(|lasts| verdict.time_ms + lasts),
            revert: proposal.revert,
            policy_version: verdict.policy_version.clone(),
        }
    }
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
        signals: verdict.signals.iter().map(|signal| signal.detector.clone()).collect(),
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
        let mut step = Step { batch, writer: chain_writer(batch.partition), effects };
        for input in &batch.inputs {
            for record in input.records.iter() {
                match input.topic {
                    Topic::Control => self.control(&mut step, input, record),
                    _ => self.verdict(&mut step, input, record),
                }
            }
        }
        let forgotten = self.holds.evict(batch.clock_ms);
        let counts = [(Tally::Expired, forgotten.expired), (Tally::EvictedByCap, forgotten.by_cap)];
        step.effects.tallies = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        step.effects.policy_version = self.stance.to_string();
        step.effects
    }

    fn state_format(&self) -> i32 {
        STATE_FORMAT
    }

    fn changed(&self) -> usize {
        self.holds.changed() + usize::from(self.chain_changed) + usize::from(self.stance_changed)
    }

    fn take_changes(&mut self) -> Vec<StateEntry> {
        let mut changes = Vec::with_capacity(self.changed());
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
        let holds = self.holds.take_changes();
        changes.extend(holds.map(|(account, body)| StateEntry { key: account.to_key(), body }));
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
            _ => {
                let account = AccountId::from_key(key).map_err(|error| damaged(error.to_string()))?;
                self.holds.restore(account, body).map_err(damaged)
            }
        }
    }

    fn forget(&mut self, key: &[u8]) {
        match key {
            CHAIN_KEY => self.head = ChainHead::default(),
            POSTURE_KEY => self.stance = Stance::default(),
            _ => {
                if let Ok(account) = AccountId::from_key(key) {
                    self.holds.forget(account);
                }
            }
        }
    }

    fn entries(&self) -> usize {
        let has_chain = self.head != ChainHead::default();
        self.holds.len() + usize::from(has_chain) + usize::from(self.stance.posture != Posture::Audit)
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
