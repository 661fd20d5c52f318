//! Carries out what `weir.actions` of one partition asks for, and answers on `weir.outcomes`.
//!
//! It has no state of its own. Where it goes on after a crash, its last answer in the log says; what it may
//! have done since, it does again, which is doing it once ([holds](super)). What has come to its end is let
//! go, whether or not this executor put it on. An action is only visible together with its audit record, so
//! nothing is done without one.

use super::actuator::{Actuator, ActuatorError, Hold};
use crate::export::ACTION_OFFSET_HEADER;
use crate::export::identities::Identities;
use crate::kill_switch::KillSwitch;
use crate::limits::{
    APPLY_ATTEMPTS_MAX, FOLLOW_WAIT, NAME_BYTES_MAX, OUTCOMES_SEEN_FIRST, ROUND_RECORDS_MAX, ROUND_TIME_MAX,
    TAKE_BYTES_MAX,
};
use crate::open::Opener;
use crate::subject::{List, ListName, ON, Subject};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use weir_schemas::wire::Wire;
use weir_schemas::{
    AccountId, Action, ActionId, ActionOutcome, ActionState, Control, ControlKind, OutcomeKind,
};
use weir_topology::clock::Clock;
use weir_topology::history::read_range;
use weir_topology::log::{Commit, Log, LogError, Position, Reader, Writer};
use weir_topology::record::{Output, Records};
use weir_topology::stall::Stall;
use weir_topology::topic::Topic;

/// What a call of [`Executor::run_once`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Holds put on.
    pub applied: u64,
    /// Holds let go.
    pub released: u64,
    /// Actions that were not carried out, and are answered for as failed.
    pub failed: u64,
    /// Holds that an actuator will not let go, however often it is asked: a person must.
    pub stuck: Vec<Stuck>,
    /// Why it waits. The same is tried again by the next call; while it does, nothing else is done.
    pub stalled: Option<String>,
    /// Whether all that there was is done.
    pub caught_up: bool,
}

/// A hold that an actuator will not let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The action whose hold it is.
    pub action_id: ActionId,
    /// The account that it is on.
    pub account: AccountId,
    /// Name of the actuator.
    pub actuator: &'static str,
    /// Why it will not, in its own words, of at most [`NAME_BYTES_MAX`] bytes.
    pub reason: String,
}

/// The executor of one partition.
pub struct Executor {
    name: String,
    partition: u32,
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    clock: Arc<dyn Clock>,
    actuators: Vec<Box<dyn Actuator>>,
    identities: Identities,
    actions: Box<dyn Reader>,
    operators: Box<dyn Reader>,
    protected: List,
    kill_switch: KillSwitch,
    writer: Box<dyn Writer>,
    round: Round,
}

/// Some actions in their order, what is left of them, and the answers so far.
#[derive(Default)]
struct Round {
    left: VecDeque<(i64, Action)>,
    outcomes: Vec<Output>,
    /// Tries of the first that is left.
    attempts: u32,
    /// Actuators that have done the first that is left.
    done: usize,
}

/// Name under which the executor of a partition answers.
pub fn executor_name(partition: u32) -> String {
    format!("executor/act/{partition}")
}

impl Executor {
    /// Takes a partition up, from whoever had it before: their word counts no longer in the log. `opener`
    /// opens identities for actuators that need to know who it is.
    pub fn open(
        partition: u32,
        log: Arc<dyn Log>,
        wire: Arc<Wire>,
        opener: Opener,
        actuators: Vec<Box<dyn Actuator>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LogError> {
        let name = executor_name(partition);
        // Fences the last one: what it had under way is in the log, or never will be.
        let writer = log.writer(&name)?;
        let (first, end) = log.bounds(Topic::Actions, partition)?;
        let next = answered_up_to(log.as_ref(), &wire, partition, &name)?.unwrap_or(0).clamp(first, end);
        let actions = log.reader(&[Position { topic: Topic::Actions, partition, next }])?;
        let (control, _) = log.bounds(Topic::Control, 0)?;
        let operators = log.reader(&[Position { topic: Topic::Control, partition: 0, next: control }])?;
        let identities = Identities::new(log.clone(), wire.clone(), opener, vec![partition]);
        let (protected, kill_switch, round) = Default::default();
        Ok(Self {
            name,
            partition,
            log,
            wire,
            clock,
            actuators,
            identities,
            actions,
            operators,
            protected,
            kill_switch,
            writer,
            round,
        })
    }

    /// The same, which believes the persons that this root key signs.
    pub fn trusting(mut self, root: [u8; 32]) -> Self {
        self.kill_switch = KillSwitch::new(Some(root));
        self
    }

    /// Does what was asked for since the last call, and waits for it at most `wait`.
    ///
    /// After an error it is of no more use: open another one.
    pub fn run_once(&mut self, wait: Duration) -> Result<Progress, LogError> {
        let mut progress = Progress::default();
        self.hear_operators()?;
        if self.round.left.is_empty() {
            self.round = self.gather(wait)?;
        }
        let until = self.clock.now() + ROUND_TIME_MAX;
        while let Some((offset, action)) = self.round.left.front().cloned() {
            match self.carry_out(offset, &action, &mut progress)? {
                None => self.round.next(),
                Some(reason) => {
                    progress.stalled = Some(reason);
                    break;
                }
            }
            // In between, operators and whoever stops this one are heard.
            if self.clock.now() >= until {
                break;
            }
        }
        // Also while the next one waits: what is not known to be in force, nobody ends.
        if !self.round.outcomes.is_empty() {
            let next = self.round.left.front().map_or_else(|| self.actions.next(0), |(offset, _)| *offset);
            let positions = vec![Position { topic: Topic::Actions, partition: self.partition, next }];
            let outputs = self.round.outcomes.clone();
            self.writer.commit(&Commit { outputs, positions })?;
            self.round.outcomes.clear();
        }
        let end = self.log.bounds(Topic::Actions, self.partition)?.1;
        progress.caught_up = self.round.left.is_empty() && self.actions.next(0) >= end;
        Ok(progress)
    }

    /// The next actions. Of one that has come to its end by now only the end is done.
    fn gather(&mut self, wait: Duration) -> Result<Round, LogError> {
        self.actions.wait(wait)?;
        let end = self.log.bounds(Topic::Actions, self.partition)?.1;
        let mut gathered: Vec<(i64, Action)> = Vec::new();
        // Up to the end as of now: what was asked for long ago may be over long since.
        let mut stall = Stall::default();
        while self.actions.next(0) < end && gathered.len() < ROUND_RECORDS_MAX {
            stall.check(self.actions.next(0), Topic::Actions, self.partition)?;
            self.actions.wait(FOLLOW_WAIT)?;
            let mut records = Records::default();
            self.actions.take(0, ROUND_RECORDS_MAX, TAKE_BYTES_MAX, &mut records)?;
            for record in records.iter() {
                // What cannot be read, the export counts.
                if let Ok(action) = self.wire.read::<Action>(record.payload.unwrap_or_default())
                    && action.kind.has_effect()
                {
                    gathered.push((record.offset, action));
                }
            }
        }
        let mut last: BTreeMap<ActionId, i64> = BTreeMap::new();
        for (offset, action) in gathered.iter().filter(|(_, action)| is_word(action)) {
            last.insert(action.action_id, *offset);
        }
        let left =
            gathered.into_iter().filter(|(offset, action)| last.get(&action.action_id) == Some(offset));
        Ok(Round { left: left.collect(), ..Round::default() })
    }

    /// Carries one out, or says why it must wait.
    fn carry_out(
        &mut self,
        offset: i64,
        action: &Action,
        progress: &mut Progress,
    ) -> Result<Option<String>, LogError> {
        let is_wanted = action.state == ActionState::Pending;
        if is_wanted && let Some(reason) = self.forbids(action) {
            self.answer(offset, action, Err(reason));
            progress.failed += 1;
            return Ok(None);
        }
        let needs_raw = self.actuators.iter().any(|actuator| actuator.needs_raw());
        let opened = match needs_raw.then(|| self.identities.open(action.account)).transpose()? {
            None => None,
            Some(Ok(opened)) => Some(opened),
            Some(Err(error)) if is_wanted => {
                self.answer(offset, action, Err(error.to_string()));
                progress.failed += 1;
                return Ok(None);
            }
            // The hold's id is enough to let it go.
            Some(Err(_)) => None,
        };
        let hold = Hold { action, account_raw: opened.as_ref().map(|opened| opened.account()) };
        while let Some(actuator) = self.actuators.get_mut(self.round.done) {
            let outcome = if is_wanted { actuator.apply(&hold) } else { actuator.release(&hold) };
            let name = actuator.name();
            match (outcome, is_wanted) {
                (Ok(()), _) => {}
                (Err(ActuatorError::Away(reason)), true) => {
                    self.round.attempts += 1;
                    if self.round.attempts < APPLY_ATTEMPTS_MAX {
                        return Ok(Some(format!("{name}: {reason}")));
                    }
                    // Some may have it: the enforcer ends what failed, and then it is let go everywhere.
                    self.answer(offset, action, Err(format!("{name}: {reason}")));
                    progress.failed += 1;
                    return Ok(None);
                }
                (Err(ActuatorError::Refused(reason)), true) => {
                    self.answer(offset, action, Err(format!("{name}: {reason}")));
                    progress.failed += 1;
                    return Ok(None);
                }
                // Tried until it succeeds: nobody is left out for want of a try.
                (Err(ActuatorError::Away(reason)), false) => return Ok(Some(format!("{name}: {reason}"))),
                (Err(ActuatorError::Refused(reason)), false) => progress.stuck.push(Stuck {
                    action_id: action.action_id,
                    account: action.account,
                    actuator: name,
                    reason: cut(reason),
                }),
            }
            self.round.done += 1;
            self.round.attempts = 0;
        }
        if is_wanted {
            self.answer(offset, action, Ok(()));
            progress.applied += 1;
        } else {
            progress.released += 1;
        }
        Ok(None)
    }

    /// Why it may not be carried out although it was asked for.
    fn forbids(&self, action: &Action) -> Option<String> {
        if self.protected.holds(&action.tenant, action.account) {
            return Some("the account is protected".to_owned());
        }
        if let Some(reason) = self.kill_switch.withholds(self.clock.unix_ms()) {
            return Some(reason);
        }
        let is_late = action.deadline_ms.is_some_and(|deadline_ms| self.clock.unix_ms() > deadline_ms);
        is_late.then(|| "its deadline had passed".to_owned())
    }

    fn answer(&mut self, offset: i64, action: &Action, outcome: Result<(), String>) {
        let names: Vec<&str> = self.actuators.iter().map(|actuator| actuator.name()).collect();
        let (kind, detail) = match outcome {
            Ok(()) => (OutcomeKind::Told, names.join(", ")),
            Err(reason) => (OutcomeKind::Failed, cut(reason)),
        };
        let effect_ms = self.clock.unix_ms();
        let outcome = ActionOutcome {
            action_id: action.action_id,
            account: action.account,
            tenant: action.tenant.clone(),
            kind,
            effect_ms,
            executor: self.name.clone(),
            detail,
        };
        let output =
            Output::keyed(Topic::Outcomes, action.account.to_key(), self.wire.to_bytes(&outcome), effect_ms)
                .with_header(ACTION_OFFSET_HEADER, offset.to_string())
                .in_partition(self.partition);
        self.round.outcomes.push(output);
    }

    /// Takes in whom operators protect, and whether the kill switch is on: the last look before the effect.
    fn hear_operators(&mut self) -> Result<(), LogError> {
        let end = self.log.bounds(Topic::Control, 0)?.1;
        let mut stall = Stall::default();
        while self.operators.next(0) < end {
            stall.check(self.operators.next(0), Topic::Control, 0)?;
            self.operators.wait(FOLLOW_WAIT)?;
            let mut records = Records::default();
            self.operators.take(0, ROUND_RECORDS_MAX, TAKE_BYTES_MAX, &mut records)?;
            for record in records.iter() {
                let name = std::str::from_utf8(record.key).unwrap_or_default();
                if KillSwitch::is_meant(name) {
                    let control = self.wire.read::<Control>(record.payload.unwrap_or_default());
                    // The enforcer says why one is refused; one under another's key is none.
                    let is_word =
                        |control: &Control| control.kind == ControlKind::KillSwitch && control.name == name;
                    let heard = control.ok().filter(is_word).and_then(|control| {
                        self.kill_switch.hear(&control.name, &control.body, record.timestamp_ms).ok()
                    });
                    heard.into_iter().for_each(|heard| self.kill_switch.follow(heard));
                    continue;
                }
                let Some((ListName::Protected, subject)) = ListName::of_record(name) else { continue };
                let control = record.payload.map(|payload| self.wire.read::<Control>(payload)).transpose();
                // What cannot be read changes nothing; without a body, the operator took it back.
                if let (Ok(subject), Ok(control)) = (Subject::parse(subject), control) {
                    self.protected.set(subject, control.is_some_and(|control| control.body.trim() == ON));
                }
            }
        }
        Ok(())
    }
}

impl Round {
    fn next(&mut self) {
        self.left.pop_front();
        (self.attempts, self.done) = (0, 0);
    }
}

/// Whether it says that a hold is to be there, or is not.
fn is_word(action: &Action) -> bool {
    match action.state {
        ActionState::Pending | ActionState::Failed | ActionState::Reverted | ActionState::Superseded => true,
        // Nothing to do: it is there, and stays; or it never was.
        ActionState::Done | ActionState::Expired | ActionState::Withheld => false,
    }
}

fn cut(mut text: String) -> String {
    while text.len() > NAME_BYTES_MAX {
        text.pop();
    }
    text
}

/// The offset after the last action for which `name` answered; none where it never did.
fn answered_up_to(log: &dyn Log, wire: &Wire, partition: u32, name: &str) -> Result<Option<i64>, LogError> {
    let (first, end) = log.bounds(Topic::Outcomes, partition)?;
    // The last answer is near the end, most of the time.
    let mut looked_at = OUTCOMES_SEEN_FIRST;
    loop {
        let from = end.saturating_sub(looked_at).max(first);
        let mut last = None;
        read_range(log, Topic::Outcomes, partition, from, end, |records| {
            for record in records.iter() {
                let outcome = wire.read::<ActionOutcome>(record.payload.unwrap_or_default());
                let is_mine = outcome.is_ok_and(|outcome| outcome.executor == name);
                let offset =
                    record.header(ACTION_OFFSET_HEADER).and_then(|value| std::str::from_utf8(value).ok());
                let offset = offset.and_then(|offset| offset.parse::<i64>().ok()).filter(|_| is_mine);
                last = last.max(offset.map(|offset| offset + 1));
            }
            Ok(())
        })?;
        if last.is_some() || from == first {
            return Ok(last);
        }
        looked_at = looked_at.saturating_mul(8);
    }
}
