//! The enforcer's fold: verdicts, operators' words and executors' words in; audit records, actions and
//! standings out.
//!
//! Pure, as every stage is. Decisions are folds; effects have processing time, of which the fold knows the
//! one that its epoch's record keeps. An audit record stands before each transition of an action in the
//! outputs, and both become visible in one commit: there is no action without its record.
//!
//! In the order in which a step goes: `course` (what is due), `settings` (operators' words), `course` again
//! (executors' words, standings), `decision` (verdicts) and `guard` (what keeps one from being carried out).
//! `reviews` is what persons are asked and what they answered, `takeover` how it goes on from another build.

use crate::accounts::Accounts;
use crate::age::AgeMax;
use crate::chain::{AuditKey, AuditKeys, ChainHead, framed};
use crate::charter::Charter;
use crate::kill_switch::KillSwitch;
use crate::limiter::Pause;
use crate::posture::Stance;
use crate::refuse::{Refusal, dead_letter};
use crate::review::Queue;
use crate::review::queue::CaughtUp;
use crate::safeguards::Safeguards;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use weir_schemas::bundle::Trust;
use weir_schemas::wire::{Wire, to_single_object};
use weir_schemas::{AccountId, Audit, Digest, Judge, Posture};
use weir_topology::record::{Output, RecordRef, Records};
use weir_topology::stage::{Batch, Effects, InputBatch, Level, Stage, StateEntry, StateError, Tally};
use weir_topology::topic::{StageName, Topic};

mod course;
mod decision;
mod guard;
mod reviews;
mod settings;
mod takeover;
#[cfg(test)]
mod tests;

pub use settings::AUDIT_KEY_NAME;

/// Header of an action: place of its audit record in the chain of its partition, in decimal. Nobody
/// may carry an action out before that record is safe.
pub const AUDIT_SEQUENCE_HEADER: &str = "weir-audit-sequence";

/// Header of an action: offset of its verdict in the same partition of the verdict topic, in decimal.
pub const VERDICT_OFFSET_HEADER: &str = "weir-verdict-offset";

/// Tenant of audit records that concern every tenant.
pub const EVERY_TENANT: &str = "*";

/// How the reason of an action begins that is withheld because the same is in force already.
pub const ALREADY_IN_FORCE: &str = "already in force";

/// Outcome in the audit record of a limiter that begins to pause.
pub const PAUSED: &str = "paused";

/// Outcome in the audit record of a limiter that goes on because an operator approved.
pub const RESUMED: &str = "resumed";

/// Outcome in the audit record of a storm of verdicts where nothing is acted on, so that nothing pauses.
pub const STORM: &str = "storm";

/// Version of the enforcer's decisions. Raise it with every change after which the same log gives other
/// records or another state; `stage/tests/golden.rs` fails when that was forgotten. A task that finds epochs
/// of another version takes them over instead of taking them for its own.
pub const JUDGE_VERSION: i32 = 23;

/// Version of the encoding of state entries.
const STATE_FORMAT: i32 = 4;

/// The version before, which is read too: what it remembers of accounts says nothing of evidence.
const STATE_FORMAT_WITHOUT_EVIDENCE: i32 = 3;

/// Key of the state entry that holds the end of the audit chain.
pub const CHAIN_KEY: &[u8] = b"!chain";

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
    charter: Charter,
    safeguards: Safeguards,
    accounts: Accounts,
    /// What waits for analysts.
    reviews: Queue,
    /// Whom the queue asked about since that was last written down.
    caught_up: CaughtUp,
    /// Accounts with actions in epochs of another build that were taken over since the last look at them.
    taken_over: BTreeSet<AccountId>,
    /// Whether it decides as the second build does that tests have; see [`Self::planted`].
    is_planted: bool,
}

/// One step under way.
struct Step<'b> {
    batch: &'b Batch,
    /// When the epoch was taken.
    taken_ms: i64,
    writer: String,
    effects: Effects,
    withheld_as_history: u64,
    withheld_as_protected: u64,
    withheld_by_limiter: u64,
    withheld_by_kill_switch: u64,
    kill_switch_changes: u64,
    kill_switch_refusals: u64,
    reviews_overdue: u64,
    reviews_dropped: u64,
    review_refusals: u64,
    pauses: u64,
    storms: u64,
    outcomes_unmatched: u64,
    effects_failed: u64,
}

/// When an epoch was taken. Whoever folds without a clock folds as if everything were acted on at once.
fn taken_ms(batch: &Batch) -> i64 {
    batch.taken_ms.unwrap_or(batch.clock_ms)
}

impl<'b> Step<'b> {
    fn new(batch: &'b Batch) -> Self {
        Self {
            batch,
            taken_ms: taken_ms(batch),
            writer: chain_writer(batch.partition),
            effects: Effects { clock_ms: batch.clock_ms, ..Effects::default() },
            withheld_as_history: 0,
            withheld_as_protected: 0,
            withheld_by_limiter: 0,
            withheld_by_kill_switch: 0,
            kill_switch_changes: 0,
            kill_switch_refusals: 0,
            reviews_overdue: 0,
            reviews_dropped: 0,
            review_refusals: 0,
            pauses: 0,
            storms: 0,
            outcomes_unmatched: 0,
            effects_failed: 0,
        }
    }

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
            charter: Charter::default(),
            safeguards: Safeguards::default(),
            accounts: Accounts::default(),
            reviews: Queue::default(),
            caught_up: CaughtUp::default(),
            taken_over: BTreeSet::new(),
            is_planted: false,
        }
    }

    /// The same, which believes the persons that this root key signs.
    pub fn trusting(mut self, root: [u8; 32]) -> Self {
        self.safeguards.kill_switch = KillSwitch::new(Some(root));
        self
    }

    /// The kill switch.
    pub fn kill_switch(&self) -> &KillSwitch {
        &self.safeguards.kill_switch
    }

    /// The same, where verdicts are acted on only by policies that two whom `trust` names signed for it.
    pub fn with_policy_trust(self, trust: Option<Arc<Trust>>) -> Self {
        Self { charter: self.charter.trusting(trust), ..self }
    }

    /// The enforcer as a second build has it, for tests in which one takes over from the other: what it does
    /// lasts twice as long. Outside of them there is none.
    #[cfg(any(test, feature = "planted"))]
    pub fn planted(self) -> Self {
        Self { is_planted: true, ..self }
    }

    /// What tells it from an enforcer that trusts others, and so decides otherwise; none where it trusts
    /// nobody.
    fn trusted(&self) -> Option<Digest> {
        let (policies, root) = (self.charter.digest(), self.safeguards.kill_switch.root());
        if policies.is_none() && root.is_none() {
            return None;
        }
        let policies = policies.map_or_else(Vec::new, |digest| digest.0.to_vec());
        let root = root.map_or_else(Vec::new, |root| root.to_vec());
        Some(Digest(Sha256::digest(framed(&[b"weir.enforcer.trust", &policies, &root])).into()))
    }

    fn version(&self) -> i32 {
        if self.is_planted { JUDGE_VERSION + 1_000 } else { JUDGE_VERSION }
    }

    /// The posture in force.
    pub fn stance(&self) -> Stance {
        self.stance
    }

    /// The pause of the limiter that waits for an operator.
    pub fn pause(&self) -> Option<&Pause> {
        self.safeguards.limiter.pause()
    }

    /// The end of the audit chain.
    pub fn chain_head(&self) -> ChainHead {
        self.head
    }

    /// Signs an audit record and emits it; its place in the chain.
    fn audit(&mut self, step: &mut Step<'_>, audit: Audit) -> i64 {
        let posture = self.stance_at(step.taken_ms).posture;
        let audit = Audit { posture, epoch: step.batch.epoch, ..audit };
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
        self.refuse_here(step, input, record, refusal);
    }

    /// Writes the letter of what this task alone refuses.
    fn refuse_here(&self, step: &mut Step<'_>, input: &InputBatch, record: RecordRef<'_>, refusal: &Refusal) {
        step.emit(dead_letter(&self.wire, step.batch.partition, input, record, refusal));
        step.effects.dead_lettered += 1;
    }

    /// Forgets what is over, and ends the step.
    fn finish(&mut self, mut step: Step<'_>) -> Effects {
        let forgotten = self.accounts.evict(step.taken_ms);
        self.safeguards.evict(step.taken_ms);
        // Nobody is told to be suspended by an enforcer that no longer knows why, and could not undo it.
        forgotten.told.iter().for_each(|account| step.take_standing_back(*account));
        self.drop_reviews(&mut step);
        let counts = [
            (Tally::Expired, forgotten.expired),
            (Tally::EvictedByCap, forgotten.by_cap),
            (Tally::WithheldAsHistory, step.withheld_as_history),
            (Tally::WithheldAsProtected, step.withheld_as_protected),
            (Tally::WithheldByLimiter, step.withheld_by_limiter),
            (Tally::WithheldByKillSwitch, step.withheld_by_kill_switch),
            (Tally::KillSwitchChanged, step.kill_switch_changes),
            (Tally::KillSwitchRefused, step.kill_switch_refusals),
            (Tally::ReviewsOverdue, step.reviews_overdue),
            (Tally::ReviewsDropped, step.reviews_dropped),
            (Tally::ReviewWordsRefused, step.review_refusals),
            (Tally::LimiterPaused, step.pauses),
            (Tally::StormsFound, step.storms),
            (Tally::OutcomesUnmatched, step.outcomes_unmatched),
            (Tally::EffectsFailed, step.effects_failed),
        ];
        step.effects.tallies = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        step.effects.policy_version = self.stance_at(step.taken_ms).to_string();
        step.effects
    }
}

impl Stage for EnforcerStage {
    fn name(&self) -> StageName {
        StageName::Enforcer
    }

    fn judge(&self, _: &Batch) -> Judge {
        Judge { version: self.version(), policy: None, trust: self.trusted() }
    }

    fn step(&mut self, batch: &Batch) -> Effects {
        let mut step = Step::new(batch);
        self.catch_up(step.taken_ms);
        self.tell_caught_up(&mut step);
        self.do_what_is_due(&mut step);
        self.fall_due(&mut step);
        for input in &batch.inputs {
            for record in input.records.iter() {
                match input.topic {
                    Topic::Control => self.control(&mut step, input, record),
                    Topic::Outcomes => self.outcome(&mut step, input, record),
                    _ => self.verdict(&mut step, input, record),
                }
            }
        }
        self.follow_kill_switch(&mut step);
        self.finish(step)
    }

    fn adopt(&mut self, batch: &Batch, said: &[Records]) -> Result<(), StateError> {
        self.take_over(batch, said)
    }

    fn rejudge(&mut self, batch: &Batch) -> (Effects, u64) {
        let mut step = Step::new(batch);
        let accounts = self.go_on(&mut step);
        (self.finish(step), accounts)
    }

    fn state_format(&self) -> i32 {
        STATE_FORMAT
    }

    fn changed(&self) -> usize {
        let settings =
            [self.chain_changed, self.charter.has_changed(), self.stance_changed, self.age_changed];
        let settings = settings.into_iter().filter(|changed| *changed).count();
        self.accounts.changed() + self.safeguards.changed() + self.reviews.changed() + settings
    }

    fn take_changes(&mut self) -> Vec<StateEntry> {
        let mut changes = self.safeguards.take_changes();
        changes.extend(self.changed_settings());
        changes.extend(self.reviews.take_changes());
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
        if ![STATE_FORMAT, STATE_FORMAT_WITHOUT_EVIDENCE].contains(&format) {
            return Err(StateError::Format { key: name(), found: format, expected: STATE_FORMAT });
        }
        let setting = self.safeguards.restore(key, body).or_else(|| self.restore_setting(key, body));
        let setting = setting.or_else(|| self.reviews.restore(key, body));
        let restored = match setting {
            Some(restored) => restored,
            None => AccountId::from_key(key)
                .map_err(|error| error.to_string())
                .and_then(|account| self.accounts.restore(account, body, format == STATE_FORMAT)),
        };
        restored.map_err(|reason| StateError::Damaged { key: name(), reason })
    }

    fn forget(&mut self, key: &[u8]) {
        if !self.safeguards.forget(key)
            && !self.forget_setting(key)
            && !self.reviews.forget(key)
            && let Ok(account) = AccountId::from_key(key)
        {
            self.accounts.forget(account);
        }
    }

    fn entries(&self) -> usize {
        let has_chain = self.head != ChainHead::default();
        let has_stance = self.stance.posture != Posture::Audit;
        self.accounts.len()
            + self.safeguards.entries()
            + self.charter.entries()
            + self.reviews.entries()
            + usize::from(has_chain)
            + usize::from(has_stance)
    }

    fn due_ms(&self) -> Option<i64> {
        let (switch_ms, reviews_ms) = (self.safeguards.kill_switch.due_ms(), self.reviews.due_ms());
        [self.accounts.due_ms(), switch_ms, reviews_ms, self.catch_up_due_ms()].into_iter().flatten().min()
    }

    fn levels(&self, now_ms: i64) -> Vec<(Level, i64)> {
        vec![
            (Level::KillSwitch, i64::from(self.safeguards.kill_switch.is_on(now_ms))),
            (Level::ReviewsWaiting, self.reviews.waiting() as i64),
            (Level::ReviewsOverdue, self.reviews.overdue() as i64),
        ]
    }
}
