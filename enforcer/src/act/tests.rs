//! An executor that is killed at every point of its way, and one that does not know that it was replaced.

use super::actuator::{Actuator, ActuatorError, Hold};
use super::executor::{Executor, Stuck};
use crate::kill_switch::RequestKind;
use crate::kill_switch::words::PERSONS_NAME;
use crate::limits::APPLY_ATTEMPTS_MAX;
use crate::subject::{ListName, Subject};
use crate::testing::*;
use expect_test::{Expect, expect};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_schemas::{
    ActionId, ActionKind, ActionOutcome, ActionState, AuditEntry, ControlKind, Standing, StandingStatus, Tier,
};
use weir_topology::log::LogError;
use weir_topology::topic::Topic;

/// When an executor is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kill {
    Never,
    /// Before the effect of this call.
    Before(usize),
    /// After it.
    After(usize),
}

/// What is in the world: holds as the contract has them, and every call.
struct World {
    rig: Rig,
    holds: BTreeMap<ActionId, bool>,
    /// Effects that were news, by hold and whether it was put on.
    effects: BTreeMap<(ActionId, bool), u32>,
    calls: usize,
    kill: Kill,
    is_killed: bool,
    /// Answers of the actuator instead of doing it, the next one last.
    refusals: Vec<ActuatorError>,
    /// Letting go gets no answer.
    holds_on: bool,
}

impl World {
    fn new(kill: Kill) -> Arc<Mutex<Self>> {
        let rig = Rig::new(1);
        rig.put_control(&posture("enforce"));
        rig.put_control(&control(ControlKind::Setting, "act.ring/3", "60000 auto"));
        let (holds, effects, refusals) = Default::default();
        Arc::new(Mutex::new(Self {
            rig,
            holds,
            effects,
            calls: 0,
            kill,
            is_killed: false,
            refusals,
            holds_on: false,
        }))
    }

    fn call(&mut self, hold: &Hold<'_>, is_on: bool) -> Result<(), ActuatorError> {
        let id = hold.action.action_id;
        let is_audited = self.rig.all::<AuditEntry>(Topic::Audit).iter().any(|entry| {
            let audit: weir_schemas::Audit = self.rig.wire.read(&entry.record).unwrap();
            audit.action_id == Some(id)
        });
        assert!(is_audited, "an effect without its audit record");
        let expected =
            format!("raw-account-{}", (0..16).find(|n| account(*n) == hold.action.account).unwrap());
        assert_eq!(hold.account_raw, Some(&*expected));
        if let Some(refusal) = self.refusals.pop() {
            return Err(refusal);
        }
        if !is_on && self.holds_on {
            return Err(ActuatorError::Away("no answer".into()));
        }
        let number = self.calls;
        self.calls += 1;
        if self.kill != Kill::Before(number) {
            // Letting go wins, whatever the order.
            let is_news = match (self.holds.get(&id), is_on) {
                (None, _) | (Some(true), false) => true,
                (Some(_), _) => false,
            };
            if is_news {
                self.holds.insert(id, is_on);
                *self.effects.entry((id, is_on)).or_default() += 1;
            }
        }
        if self.kill == Kill::Before(number) || self.kill == Kill::After(number) {
            self.is_killed = true;
            return Err(ActuatorError::Away("killed".into()));
        }
        Ok(())
    }
}

struct Hand(Arc<Mutex<World>>);

impl Actuator for Hand {
    fn name(&self) -> &'static str {
        "hand"
    }
    fn needs_raw(&self) -> bool {
        true
    }
    fn apply(&mut self, hold: &Hold<'_>) -> Result<(), ActuatorError> {
        self.0.lock().unwrap().call(hold, true)
    }
    fn release(&mut self, hold: &Hold<'_>) -> Result<(), ActuatorError> {
        self.0.lock().unwrap().call(hold, false)
    }
}

fn executor(world: &Arc<Mutex<World>>) -> Executor {
    let (log, wire, clock) = {
        let world = world.lock().unwrap();
        (world.rig.log.clone(), world.rig.wire.clone(), world.rig.calendar.clone())
    };
    let hands: Vec<Box<dyn Actuator>> = vec![Box::new(Hand(world.clone()))];
    Executor::open(0, log, wire, opener(), hands, clock).unwrap().trusting(root().public())
}

/// Runs until all is done, a new executor in place of each that is killed.
fn act(world: &Arc<Mutex<World>>, executor_now: &mut Executor) {
    loop {
        let progress = executor_now.run_once(Duration::ZERO).unwrap();
        if std::mem::take(&mut world.lock().unwrap().is_killed) {
            *executor_now = executor(world);
        } else if progress.caught_up {
            return;
        }
    }
}

fn at(world: &Arc<Mutex<World>>, minute: i64) {
    let world = world.lock().unwrap();
    world.rig.calendar.set(minute * MINUTE_MS);
    world.rig.enforce();
}

/// A campaign is suspended and slowed down, and let go when its time is over. How many calls that took.
fn story(kill: Kill) -> usize {
    let world = World::new(kill);
    world.lock().unwrap().rig.put_verdicts(&[
        verdict(1, 0, Tier::Critical),
        verdict(2, 0, Tier::Medium),
        verdict(3, 0, Tier::Critical),
    ]);
    at(&world, 0);
    let mut executor_now = executor(&world);
    act(&world, &mut executor_now);
    at(&world, 0);
    let on = |world: &Arc<Mutex<World>>| world.lock().unwrap().holds.values().filter(|on| **on).count();
    assert_eq!(on(&world), 3, "{kill:?}");
    act(&world, &mut executor_now);
    at(&world, 1);
    act(&world, &mut executor_now);
    assert_eq!(on(&world), 1, "the suspensions are over: {kill:?}");
    at(&world, 5);
    act(&world, &mut executor_now);
    let world = world.lock().unwrap();
    let transitions = world.rig.actions();
    for done in transitions.iter().filter(|action| action.state == ActionState::Done) {
        for is_on in [true, false] {
            let times = world.effects.get(&(done.action_id, is_on));
            assert_eq!(times, Some(&1), "{} {is_on}: {kill:?}", done.kind);
        }
    }
    assert_eq!(transitions.iter().filter(|action| action.state == ActionState::Done).count(), 3);
    let outcomes: Vec<ActionOutcome> = world.rig.all(Topic::Outcomes);
    assert_eq!(outcomes.len(), 3, "each is answered for once: {kill:?}");
    let standings: Vec<Standing> = world.rig.all(Topic::Standing);
    assert!(standings.iter().all(|standing| standing.status == StandingStatus::Good));
    world.calls
}

#[test]
fn every_effect_is_there_once_and_ends_once_wherever_the_executor_is_killed() {
    let calls = story(Kill::Never);
    assert_eq!(calls, 6);
    for call in 0..calls {
        story(Kill::Before(call));
        story(Kill::After(call));
    }
}

#[test]
fn an_executor_that_was_replaced_can_do_nothing_that_counts() {
    let world = World::new(Kill::Never);
    world.lock().unwrap().rig.put_verdicts(&[verdict(1, 0, Tier::Critical)]);
    at(&world, 0);
    // The old one stands still, as a machine does that swaps.
    let mut old = executor(&world);
    let mut new = executor(&world);
    act(&world, &mut new);
    at(&world, 0);
    act(&world, &mut new);
    at(&world, 1);
    act(&world, &mut new);
    let effects = |world: &Arc<Mutex<World>>| world.lock().unwrap().effects.clone();
    let before = effects(&world);
    assert_eq!(before.len(), 2);
    let outcome = loop {
        match old.run_once(Duration::ZERO) {
            Ok(progress) if progress.caught_up => break Ok(()),
            Ok(_) => {}
            Err(error) => break Err(error),
        }
    };
    // It sees that all is over, and lets go once more; had it something to say, it would be fenced.
    assert!(matches!(outcome, Ok(()) | Err(LogError::Fenced { .. })), "{outcome:?}");
    assert_eq!(effects(&world), before);
    assert_eq!(world.lock().unwrap().rig.all::<ActionOutcome>(Topic::Outcomes).len(), 1);
}

/// What became of one suspension, and how often it was tried.
fn check(refusals: Vec<ActuatorError>, prepare: impl Fn(&Rig), expected: Expect) {
    let world = World::new(Kill::Never);
    {
        let mut world = world.lock().unwrap();
        world.rig.put_verdicts(&[verdict(1, 0, Tier::Critical)]);
        world.rig.enforce();
        prepare(&world.rig);
        world.refusals = refusals;
    }
    let mut executor_now = executor(&world);
    let mut waits = 0;
    loop {
        let progress = executor_now.run_once(Duration::ZERO).unwrap();
        waits += usize::from(progress.stalled.is_some());
        if progress.caught_up {
            break;
        }
    }
    let world = world.lock().unwrap();
    world.rig.enforce();
    let last = world.rig.actions().pop().unwrap();
    expected.assert_eq(&format!("{} after {waits} waits: {}", last.state, last.reason));
}

#[test]
fn what_is_away_is_tried_again_and_given_up_after_some_tries() {
    let away = |times: u32| vec![ActuatorError::Away("no answer".into()); times as usize];
    check(away(2), |_| (), expect!["DONE after 2 waits: told by executor/act/0"]);
    check(
        away(APPLY_ATTEMPTS_MAX),
        |_| (),
        expect!["FAILED after 4 waits: executor/act/0 did not carry it out: hand: no answer"],
    );
    check(
        vec![ActuatorError::Refused("unknown key".into())],
        |_| (),
        expect!["FAILED after 0 waits: executor/act/0 did not carry it out: hand: unknown key"],
    );
}

#[test]
fn a_hold_that_is_refused_to_be_let_go_is_named_with_who_refused_it_and_why() {
    let world = World::new(Kill::Never);
    world.lock().unwrap().rig.put_verdicts(&[verdict(1, 0, Tier::Critical)]);
    at(&world, 0);
    let mut executor = executor(&world);
    act(&world, &mut executor);
    at(&world, 0);
    let suspended = world.lock().unwrap().rig.actions().pop().unwrap();
    // Its minute is over.
    at(&world, 1);
    world.lock().unwrap().refusals = vec![ActuatorError::Refused("the field was edited".into())];
    let progress = executor.run_once(Duration::ZERO).unwrap();
    let stuck = Stuck {
        action_id: suspended.action_id,
        account: account(1),
        actuator: "hand",
        reason: "the field was edited".into(),
    };
    assert_eq!(progress.stuck, [stuck]);
}

#[test]
fn who_is_protected_or_switched_off_after_the_decision_and_what_is_too_late_is_not_carried_out() {
    let protect = |rig: &Rig| {
        let name = ListName::Protected.record_of(&Subject::Account(account(1)));
        rig.put_control(&control(ControlKind::Setting, &name, "on"));
    };
    check(Vec::new(), protect, expect!["FAILED after 0 waits: the account is protected"]);
    let switch_off = |rig: &Rig| {
        rig.say(PERSONS_NAME, &everybody());
        rig.ask(&request(RequestKind::EnableAuditOnly, "olga", 0, 1));
    };
    check(
        Vec::new(),
        switch_off,
        expect![
            "FAILED after 0 waits: executor/act/0 did not carry it out: the kill switch is on: enable_audit_only, request ks-0-01010101"
        ],
    );
    check(
        Vec::new(),
        |rig| rig.calendar.set(24 * 60 * MINUTE_MS + 1),
        expect!["FAILED after 0 waits: executor/act/0 did not carry it out: its deadline had passed"],
    );
}

#[test]
fn letting_go_is_tried_until_it_succeeds_and_holds_everything_behind_it_up() {
    let world = World::new(Kill::Never);
    world.lock().unwrap().rig.put_verdicts(&[verdict(1, 0, Tier::Critical)]);
    at(&world, 0);
    let mut executor_now = executor(&world);
    act(&world, &mut executor_now);
    at(&world, 1);
    at(&world, 1);
    world.lock().unwrap().refusals = vec![ActuatorError::Away("no answer".into()); 50];
    for _ in 0..50 {
        let progress = executor_now.run_once(Duration::ZERO).unwrap();
        assert_eq!((progress.stalled.as_deref(), progress.caught_up), (Some("hand: no answer"), false));
    }
    assert_eq!(executor_now.run_once(Duration::ZERO).unwrap().released, 1);
    let kinds: Vec<ActionKind> =
        world.lock().unwrap().rig.actions().iter().map(|action| action.kind).collect();
    assert!(kinds.iter().all(|kind| *kind == ActionKind::Suspend));
}

#[test]
fn what_is_in_force_is_answered_for_while_what_comes_after_it_waits() {
    let world = World::new(Kill::Never);
    world.lock().unwrap().rig.put_verdicts(&[verdict(1, 0, Tier::Critical)]);
    at(&world, 0);
    let mut executor_now = executor(&world);
    act(&world, &mut executor_now);
    at(&world, 0);
    // Another is suspended before the first is to be let go, which does not succeed.
    world.lock().unwrap().rig.put_verdicts(&[verdict(2, 0, Tier::Critical)]);
    at(&world, 0);
    at(&world, 2);
    world.lock().unwrap().holds_on = true;
    for _ in 0..3 {
        assert_eq!(
            executor_now.run_once(Duration::ZERO).unwrap().stalled.as_deref(),
            Some("hand: no answer")
        );
    }
    let told = |world: &Arc<Mutex<World>>| -> Vec<_> {
        let outcomes: Vec<ActionOutcome> = world.lock().unwrap().rig.all(Topic::Outcomes);
        outcomes.into_iter().map(|outcome| outcome.account).collect()
    };
    assert_eq!(told(&world), [account(1), account(2)]);
    // Who goes on from there does nothing twice.
    executor_now = executor(&world);
    world.lock().unwrap().holds_on = false;
    act(&world, &mut executor_now);
    assert_eq!(told(&world), [account(1), account(2)]);
    assert!(world.lock().unwrap().effects.values().all(|times| *times == 1));
}
