//! What operators set: posture, audit key, from which age on an event is history, and the safeguards. All of
//! it is part of the state.

use super::guard::{PROTECTED, UNDONE};
use super::{CHAIN_KEY, EVERY_TENANT, EnforcerStage, RESUMED, Step, head_in_state, reviews};
use crate::age::{AGE_NAME, AgeMax};
use crate::chain::{AuditKey, ChainHead};
use crate::charter::CHARTER_KEY;
use crate::kill_switch::{Heard, KillSwitch, Refused};
use crate::limits::NAME_BYTES_MAX;
use crate::posture::{POSTURE_NAME, Stance};
use crate::refuse::Refusal;
use crate::review::Queue;
use crate::review::queue::Heard as Reviewed;
use crate::safeguards::Word;
use crate::subject::{ListName, Subject};
use weir_schemas::wire::WireError;
use weir_schemas::{AccountId, Action, Audit, AuditKind, Control, ControlKind, Digest, DlqKind};
use weir_topology::record::RecordRef;
use weir_topology::stage::{InputBatch, StateEntry};

/// Name of the control record of kind KEY that moves the audit chains to another key: its body is the
/// key's id.
pub const AUDIT_KEY_NAME: &str = "audit-key";

/// Outcome in the audit record of a chain that is handed to another key.
pub(super) const KEY_CHANGED: &str = "key_changed";

const POSTURE_KEY: &[u8] = b"!posture";
const AGE_KEY: &[u8] = b"!age_max";

/// Sequence and hash of a chain's head.
const HEAD_BYTES: usize = 40;

/// What an operator's word sets.
enum Setting {
    Stance(Stance),
    Key(Box<AuditKey>),
    AgeMax(AgeMax),
    Safeguard(Word),
    Review(Box<Reviewed>),
}

/// Why a word sets nothing.
struct Unfollowed {
    reason: String,
    /// Whether it is about an item of this enforcer, so that no other refuses it.
    is_of_item: bool,
}

impl From<String> for Unfollowed {
    fn from(reason: String) -> Self {
        Self { reason, is_of_item: false }
    }
}

impl From<&str> for Unfollowed {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

impl EnforcerStage {
    /// Folds an operator's word. Posture, audit key and its settings concern the enforcer; what it cannot
    /// follow changes nothing, and says so.
    pub(super) fn control(&mut self, step: &mut Step<'_>, input: &InputBatch, record: RecordRef<'_>) {
        let control = match self.read_control(record) {
            Ok(control) => control,
            Err(error) => return self.refuse(step, input, record, &error.into()),
        };
        let told = told(control.as_ref(), record);
        if let Some(policy) = control.as_ref().filter(|control| control.kind == ControlKind::Policy) {
            return self.policy(step, policy, record.timestamp_ms, told);
        }
        match self.setting_in(control.as_ref(), record) {
            Ok(setting) => {
                step.effects.judged += 1;
                let Some(setting) = setting else { return };
                let (outcome, reason) = (setting.outcome().into(), self.change(&setting));
                let kind = if setting.is_reveal() { AuditKind::Reveal } else { AuditKind::Operator };
                let told = self.about_subject(&setting, self.about_review(&setting, told));
                self.audit(step, Audit { kind, outcome, reason, ..told });
                let undone = self.undone(&setting);
                step.kill_switch_changes += u64::from(outcome_is_executed(&setting));
                let lacked = self.lacked(step, &setting);
                self.set(setting, step.taken_ms);
                self.undo_lacked(step, lacked);
                if let Some((subject, why)) = undone {
                    self.undo(step, &subject, why);
                }
            }
            Err(Unfollowed { reason, is_of_item }) => {
                let is_switch = control.as_ref().is_some_and(|word| word.kind == ControlKind::KillSwitch)
                    || std::str::from_utf8(record.key).is_ok_and(KillSwitch::is_meant);
                step.kill_switch_refusals += u64::from(is_switch);
                let is_review = control.as_ref().is_some_and(is_review)
                    || std::str::from_utf8(record.key).is_ok_and(Queue::is_meant);
                step.review_refusals += u64::from(is_review);
                let refused = Audit {
                    kind: AuditKind::Refusal,
                    outcome: "refused".into(),
                    reason: reason.clone(),
                    ..told
                };
                self.audit(step, refused);
                let refusal = Refusal::new(DlqKind::InvalidField, reason);
                if is_of_item {
                    self.refuse_here(step, input, record, &refusal);
                } else {
                    self.refuse(step, input, record, &refusal);
                }
            }
        }
    }

    /// Notes what a policy may, where policies are signed. The account stage writes the letter of one that is
    /// refused.
    fn policy(&mut self, step: &mut Step<'_>, control: &Control, published_ms: i64, told: Audit) {
        step.effects.judged += 1;
        let (kind, outcome, reason) = match self.charter.follow(control, published_ms) {
            None => return,
            Some(Ok(reason)) => (AuditKind::Operator, "policy_admitted", reason),
            Some(Err(distrust)) => {
                (AuditKind::Refusal, "refused", format!("the policy is not trusted: {distrust}"))
            }
        };
        self.audit(step, Audit { kind, outcome: outcome.into(), reason, ..told });
    }

    /// Folds an operator's word that another build answered: it sets what it sets, and nothing is said. Which
    /// key signs is what the chain says.
    pub(super) fn control_in_silence(&mut self, record: RecordRef<'_>, taken_ms: i64) {
        let Ok(control) = self.read_control(record) else { return };
        if let Some(policy) = control.as_ref().filter(|control| control.kind == ControlKind::Policy) {
            self.charter.follow(policy, record.timestamp_ms);
            return;
        }
        match self.setting_in(control.as_ref(), record) {
            // What was undone stands among the actions.
            Ok(Some(Setting::Key(_)) | None) | Err(_) => {}
            Ok(Some(setting)) => self.set(setting, taken_ms),
        }
    }

    /// The id of the audit key that a control record names.
    pub(super) fn key_named_in(&self, record: RecordRef<'_>) -> Option<String> {
        let control = self.read_control(record).ok()??;
        let is_key = control.kind == ControlKind::Key && control.name == AUDIT_KEY_NAME;
        is_key.then(|| control.body.trim().to_owned())
    }

    /// None where the operator deleted a setting.
    fn read_control(&self, record: RecordRef<'_>) -> Result<Option<Control>, WireError> {
        record.payload.map(|payload| self.wire.read(payload)).transpose()
    }

    /// What a control record sets; none where it does not concern the enforcer, or changes nothing. `control`
    /// is none where the operator deleted the setting of this key: back to what a fresh install does.
    fn setting_in(
        &self,
        control: Option<&Control>,
        record: RecordRef<'_>,
    ) -> Result<Option<Setting>, Unfollowed> {
        let key = record.key;
        let Some(control) = control else {
            if key == POSTURE_NAME.as_bytes() {
                let is_set = self.stance != Stance::default();
                return Ok(is_set.then(|| Setting::Stance(Stance::default())));
            }
            let name = std::str::from_utf8(key).unwrap_or_default();
            return Ok(self.safeguards.word_in(name, None)?.map(Setting::Safeguard));
        };
        // Executors and commands choose these words by the record's key: all must hear the same ones.
        let is_switch = control.kind == ControlKind::KillSwitch;
        let has_its_key = std::str::from_utf8(key).is_ok_and(KillSwitch::is_meant);
        if (is_switch || has_its_key) && !(is_switch && key == control.name.as_bytes()) {
            let what = "the record's key, kind and name are not those of one word";
            return Err(Refused::Malformed(what.into()).to_string().into());
        }
        // Commands and `review_words_refused` know these by the key.
        let is_review = is_review(control);
        let has_its_key = std::str::from_utf8(key).is_ok_and(Queue::is_meant);
        if (is_review || has_its_key) && !(is_review && key == control.name.as_bytes()) {
            let what = "the record's key, kind and name are not those of one word";
            return Err(Refused::Malformed(what.into()).to_string().into());
        }
        Ok(Some(match control.kind {
            ControlKind::Posture if control.name == POSTURE_NAME => {
                Setting::Stance(Stance::parse(&control.body)?)
            }
            ControlKind::Posture => {
                return Err(format!("a posture must have the name {POSTURE_NAME}").into());
            }
            ControlKind::Key if control.name == AUDIT_KEY_NAME => {
                let key = self.keys.get(control.body.trim()).cloned();
                Setting::Key(Box::new(key.ok_or("the enforcer was not given an audit key of this id")?))
            }
            ControlKind::KillSwitch => {
                let kill_switch = &self.safeguards.kill_switch;
                let heard = kill_switch.hear(&control.name, &control.body, record.timestamp_ms);
                let heard = heard.map_err(|refused| refused.to_string())?;
                Setting::Safeguard(Word::KillSwitch(Box::new(heard)))
            }
            ControlKind::Setting if Queue::is_meant(&control.name) => {
                let kill_switch = &self.safeguards.kill_switch;
                let (word, persons) = ((&*control.name, &*control.body), kill_switch.persons());
                let heard = self.reviews.hear(word, record.timestamp_ms, kill_switch.root(), persons);
                let heard = heard.map_err(|refused| Unfollowed {
                    reason: refused.to_string(),
                    is_of_item: refused.is_of_item(),
                })?;
                return Ok(heard.map(|heard| Setting::Review(Box::new(heard))));
            }
            ControlKind::Setting if control.name == AGE_NAME => {
                Setting::AgeMax(AgeMax::parse(&control.body)?)
            }
            ControlKind::Setting => {
                let word = self.safeguards.word_in(&control.name, Some(&control.body))?;
                return Ok(word.map(Setting::Safeguard));
            }
            _ => return Ok(None),
        }))
    }

    /// In words: what gives way to what.
    fn change(&self, setting: &Setting) -> String {
        match setting {
            Setting::Stance(stance) => format!("posture {} gives way to {stance}", self.stance),
            Setting::Key(key) => {
                let public = Digest(key.public());
                format!("audit key {} gives way to {}, public key {public}", self.key.id(), key.id())
            }
            Setting::AgeMax(age_max) => {
                format!("{AGE_NAME} {} gives way to {}", self.age_max.0, age_max.0)
            }
            Setting::Safeguard(word) => self.safeguards.change(word),
            Setting::Review(heard) => heard.reason(),
        }
    }

    fn set(&mut self, setting: Setting, taken_ms: i64) {
        match setting {
            Setting::Stance(stance) => {
                self.stance_changed |= stance != self.stance;
                self.stance = stance;
            }
            // The entry that says so is signed with the old key, and vouches for the new one.
            Setting::Key(key) => self.key = *key,
            Setting::AgeMax(age_max) => {
                self.age_changed |= age_max != self.age_max;
                self.age_max = age_max;
            }
            Setting::Safeguard(word) => self.safeguards.follow(&word, taken_ms),
            Setting::Review(heard) => {
                self.let_question_go(&heard);
                self.reviews.follow(&heard);
            }
        }
    }

    /// Of whom a word undoes what is in force, and why.
    fn undone(&self, setting: &Setting) -> Option<(Subject, &'static str)> {
        match setting {
            Setting::Safeguard(Word::Listed(ListName::Protected, subject, true)) => {
                Some((subject.clone(), PROTECTED))
            }
            Setting::Safeguard(Word::Reinstate(word)) => Some((word.subject.clone(), UNDONE)),
            Setting::Review(heard) if heard.word.undoes() => {
                let item = self.reviews.get(heard.word.item)?;
                Some((Subject::Account(item.account), "an analyst refuted it"))
            }
            _ => None,
        }
    }

    /// What a word names that is in force on an account of this partition, and of which the state knows
    /// nothing.
    fn lacked(&self, step: &Step<'_>, setting: &Setting) -> Vec<Action> {
        let Setting::Safeguard(Word::Reinstate(word)) = setting else { return Vec::new() };
        let named = word.named_of(step.batch.partition);
        let is_lacked = |action: &&Action| {
            let kept = self.accounts.get(action.account);
            kept.open.iter().all(|other| other.action_id != action.action_id)
        };
        named.filter(is_lacked).cloned().collect()
    }

    /// What the audit record of an analyst's word says besides: of whom it is, and who said it.
    fn about_review(&self, setting: &Setting, told: Audit) -> Audit {
        let Setting::Review(heard) = setting else { return told };
        let actor = heard.word.by.clone();
        match self.reviews.get(heard.word.item) {
            Some(item) => Audit { actor, ..reviews::about(item, told) },
            None => told,
        }
    }

    /// What the audit record of a word about one account or one tenant says besides: of whom it is. Of which
    /// tenant an account is, the enforcer knows that has something to do with it, and every one whom the word
    /// names what is in force.
    fn about_subject(&self, setting: &Setting, told: Audit) -> Audit {
        let Setting::Safeguard(word) = setting else { return told };
        let account = match word {
            Word::Resume(Some(tenant), _)
            | Word::ApproveStorms(Some(tenant), _)
            | Word::TenantLimit(tenant, _) => return Audit { tenant: tenant.clone(), ..told },
            Word::Listed(_, Subject::Tenant(tenant), _) => return Audit { tenant: tenant.clone(), ..told },
            Word::Listed(_, Subject::Account(account), _) => *account,
            Word::Reinstate(word) => match &word.subject {
                Subject::Tenant(tenant) => return Audit { tenant: tenant.clone(), ..told },
                Subject::Account(account) => *account,
            },
            Word::Reveal(account, _) => *account,
            _ => return told,
        };
        let named = || match word {
            Word::Reinstate(word) => word.named.iter().map(|(_, action)| action.tenant.clone()).next(),
            _ => None,
        };
        let tenant = self.tenant_of(account).or_else(named).unwrap_or(told.tenant);
        Audit { tenant, account: Some(account), ..told }
    }

    /// The tenant of an account, where something of it is under way, was told or waits for an analyst.
    fn tenant_of(&self, account: AccountId) -> Option<String> {
        let kept = self.accounts.get(account);
        let of_actions = kept.open.iter().map(|action| &action.tenant);
        let of_standing = kept.standing.iter().map(|standing| &standing.tenant);
        let of_items = self.reviews.items().filter(|item| item.account == account).map(|item| &item.tenant);
        of_actions.chain(of_standing).chain(of_items).next().cloned()
    }

    /// Every setting in words, for the record of a takeover.
    pub(super) fn settings(&self) -> String {
        let (stance, key, age_ms) = (self.stance, self.key.id(), self.age_max.0);
        format!("posture {stance}, audit key {key}, {AGE_NAME} {age_ms}, {}", self.safeguards.shown())
    }

    /// Moves the chain to its recorded end, from which the key of this id goes on.
    pub(super) fn continue_chain(&mut self, head: ChainHead, key_id: &str) -> Result<(), String> {
        let key = self.keys.get(key_id);
        self.key = key.cloned().ok_or_else(|| {
            format!("the chain is signed with audit key {key_id}, which was not given: give every key that is in use")
        })?;
        self.head = head;
        Ok(())
    }

    /// State entries of the settings that changed since the last call, in key order.
    pub(super) fn changed_settings(&mut self) -> Vec<StateEntry> {
        let mut changes = Vec::new();
        let entry = |key: &[u8], body: Vec<u8>| StateEntry { key: key.into(), body: Some(body) };
        if std::mem::take(&mut self.age_changed) {
            changes.push(entry(AGE_KEY, self.age_max.0.to_string().into_bytes()));
        }
        if std::mem::take(&mut self.chain_changed) {
            let mut body = self.head.sequence.to_be_bytes().to_vec();
            body.extend_from_slice(&self.head.hash.0);
            body.extend_from_slice(self.key.id().as_bytes());
            changes.push(entry(CHAIN_KEY, body));
        }
        changes.extend(self.charter.take_change());
        if std::mem::take(&mut self.stance_changed) {
            changes.push(entry(POSTURE_KEY, self.stance.to_string().into_bytes()));
        }
        changes
    }

    /// Takes back a setting that [`Self::changed_settings`] gave; none where the key is no setting's.
    pub(super) fn restore_setting(&mut self, key: &[u8], body: &[u8]) -> Option<Result<(), String>> {
        let text = || std::str::from_utf8(body).map_err(|error| error.to_string());
        Some(match key {
            CHAIN_KEY => self.restore_chain(body),
            CHARTER_KEY => text().and_then(|text| self.charter.restore(text)),
            POSTURE_KEY => text().and_then(Stance::parse).map(|stance| self.stance = stance),
            AGE_KEY => text().and_then(AgeMax::parse).map(|age_max| self.age_max = age_max),
            _ => return None,
        })
    }

    /// Sequence (8 bytes, big-endian), hash (32), id of the signing key.
    fn restore_chain(&mut self, body: &[u8]) -> Result<(), String> {
        let head = head_in_state(body).ok_or("the chain's head is cut short")?;
        self.continue_chain(head, &String::from_utf8_lossy(&body[HEAD_BYTES..]))
    }

    /// Forgets a setting; false where the key is none's.
    pub(super) fn forget_setting(&mut self, key: &[u8]) -> bool {
        match key {
            CHAIN_KEY => self.head = ChainHead::default(),
            CHARTER_KEY => self.charter.forget(),
            POSTURE_KEY => self.stance = Stance::default(),
            AGE_KEY => self.age_max = AgeMax::default(),
            _ => return false,
        }
        true
    }
}

impl Setting {
    /// What the audit record of its change says.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Stance(_) => "posture_changed",
            Self::Key(_) => KEY_CHANGED,
            Self::AgeMax(_) => "setting_changed",
            Self::Safeguard(Word::Listed(_, _, true)) => "listed",
            Self::Safeguard(Word::Listed(_, _, false)) => "unlisted",
            Self::Safeguard(Word::Ring(..) | Word::Limit(_) | Word::TenantLimit(..)) => "setting_changed",
            Self::Safeguard(Word::Resume(..)) => RESUMED,
            Self::Safeguard(Word::ApproveStorms(..)) => "storms_approved",
            Self::Safeguard(Word::Reinstate(_)) => "reinstated",
            Self::Safeguard(Word::Reveal(..)) => "revealed",
            Self::Safeguard(Word::KillSwitch(heard)) => heard.outcome(),
            Self::Review(heard) => heard.outcome(),
        }
    }

    /// Whether somebody asks who an account is.
    fn is_reveal(&self) -> bool {
        matches!(self, Self::Safeguard(Word::Reveal(..)))
    }
}

/// Whether a request to the kill switch is carried out.
fn outcome_is_executed(setting: &Setting) -> bool {
    matches!(setting, Setting::Safeguard(Word::KillSwitch(heard)) if matches!(**heard, Heard::Done { .. }))
}

/// Whether it is an analyst's word.
fn is_review(control: &Control) -> bool {
    control.kind == ControlKind::Setting && Queue::is_meant(&control.name)
}

/// What every audit record about an operator's word says; `control` is none where a setting was deleted.
fn told(control: Option<&Control>, record: RecordRef<'_>) -> Audit {
    let every = Audit { tenant: EVERY_TENANT.into(), ..Audit::default() };
    match control {
        None => Audit { time_ms: record.timestamp_ms, actor: "operator".into(), ..every },
        Some(control) => Audit {
            time_ms: control.time_ms,
            actor: control.author.chars().take(NAME_BYTES_MAX / 4).collect(),
            policy_version: control.version.chars().take(NAME_BYTES_MAX / 4).collect(),
            ..every
        },
    }
}
