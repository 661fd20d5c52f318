//! Who is held, who is not, and why a hold ends: against what a real enforcer says on the log.

use super::*;
use crate::answer::answers::Answers;
use crate::answer::standings::Follower;
use crate::kill_switch::{PersonRole, RequestKind};
use crate::limits::{EARLY_WORD_SKEW_MS_MAX, REINSTATED_MAX};
use crate::safeguards::REINSTATE_NAME;
use crate::subject::{ListName, ON, Subject};
use crate::testing::{
    MINUTE_MS, Rig, account, approval, control, everybody, posture, request, root, switch_word, verdict,
};
use weir_schemas::{ControlKind, OutcomeKind, Standing, Tier, Verdict};
use weir_topology::clock::Clock as _;
use weir_topology::record::Output;
use weir_topology::topic::Topic;

const START_MS: i64 = 1_790_000_000_000;
const LASTS_MS: i64 = 2 * MINUTE_MS;

/// A server of gateways beside an enforcer, on one log.
struct Server {
    rig: Rig,
    standings: Arc<Standings>,
    follower: Follower,
    holds: Arc<Holds>,
    answers: Answers,
}

impl Server {
    fn new(max: usize) -> Self {
        let rig = Rig::new(1);
        rig.calendar.set(START_MS);
        let (log, wire) = (rig.log.clone(), rig.wire.clone());
        let standings = Arc::<Standings>::default();
        let holds = Arc::new(Holds::new(standings.clone(), wire.clone(), Some(root().public()), max));
        let follower = Follower::new(log.clone(), wire.clone(), None, standings.clone());
        let answers = Answers::new(log, wire, None, holds.clone());
        Self { rig, standings, follower, holds, answers }
    }

    /// One that reads what is there, in this posture.
    fn in_posture(body: &str, max: usize) -> Self {
        let mut server = Self::new(max);
        server.rig.put_control(&posture(body));
        server.read();
        server
    }

    fn now_ms(&self) -> i64 {
        self.rig.calendar.unix_ms()
    }

    fn passes(&self, ms: i64) {
        self.rig.calendar.set(self.now_ms() + ms);
    }

    /// Reads all of the log; who is let go, and why.
    fn read(&mut self) -> Vec<(AccountId, &'static str)> {
        let now_ms = self.now_ms();
        self.follower.run_once(now_ms).unwrap();
        self.answers.run_once(now_ms).unwrap();
        let ended = self.holds.sweep(now_ms);
        ended.into_iter().map(|(held, why)| (held.account, why.as_str())).collect()
    }

    /// An early word of a verdict: what comes of it.
    fn hears(&self, verdict: &Verdict) -> Result<(), &'static str> {
        let held = Held {
            account: verdict.account,
            tenant: verdict.tenant.as_str().into(),
            on: HeldOn::Verdict(verdict.verdict_id),
            is_observed: false,
            evidence: Arc::new(StandingEvidence { score: verdict.score, families: Vec::new() }),
            since_ms: self.now_ms(),
            until_ms: self.now_ms() + LASTS_MS,
            told_ms: self.now_ms(),
        };
        self.holds.may(&held).map_err(Spared::as_str)?;
        self.holds.hold(held).map(drop).map_err(Spared::as_str)
    }

    /// The same, of a verdict that was told at this time.
    fn hears_of(&self, number: u32, told_ms: i64) -> Result<(), &'static str> {
        let held = Held { told_ms, ..held_now(self, number) };
        self.holds.may(&held).map_err(Spared::as_str)?;
        self.holds.hold(held).map(drop).map_err(Spared::as_str)
    }

    /// An operator gives access back.
    fn reinstates(&self, subject: &Subject) {
        self.rig.put_control(&control(ControlKind::Setting, REINSTATE_NAME, &subject.to_string()));
    }

    /// A tripwire that a request of an account met: what comes of it.
    fn trips(&self, number: u32) -> Result<(), &'static str> {
        let held = Held { on: HeldOn::Tripwire(None), ..held_now(self, number) };
        self.holds.may(&held).map_err(Spared::as_str)?;
        self.holds.hold(held).map(drop).map_err(Spared::as_str)
    }

    fn is_held(&self, number: u32) -> bool {
        let known = self.standings.get(account(number));
        self.holds.on(account(number), known.as_ref(), self.now_ms()).is_some()
    }

    /// The enforcer folds this verdict.
    fn decides(&self, verdict: &Verdict) {
        self.rig.put_verdicts(std::slice::from_ref(verdict));
        self.rig.enforce();
    }
}

fn found(number: u32, time_ms: i64) -> Verdict {
    verdict(number, time_ms, Tier::Critical)
}

#[test]
fn an_account_is_held_until_the_enforcers_action_takes_the_holds_place() {
    let mut server = Server::in_posture("enforce", 10);
    let verdict = found(1, START_MS);
    assert_eq!(server.hears(&verdict), Ok(()));
    assert!(server.is_held(1) && !server.is_held(2));
    assert_eq!(server.hears(&found(1, START_MS + 1)), Err("held_already"));
    server.decides(&verdict);
    assert_eq!((server.read(), server.is_held(1)), (vec![], true), "decided is not done");
    server.rig.answer(OutcomeKind::Told);
    server.rig.enforce();
    assert_eq!(server.read(), [(account(1), "confirmed")]);
    assert!(!server.is_held(1) && server.holds.is_empty());
    assert_eq!(server.hears(&found(1, START_MS + 2)), Err("in_force"));
}

#[test]
fn whom_the_enforcer_does_not_act_on_is_let_go_at_once() {
    let mut server = Server::in_posture("enforce", 10);
    let verdict = found(1, START_MS);
    assert_eq!(server.hears(&verdict), Ok(()));
    server.rig.put_control(&control(ControlKind::Setting, "act.ring/3", "off"));
    server.decides(&verdict);
    assert_eq!(server.read(), [(account(1), "withheld")]);
    assert!(!server.is_held(1));
    assert_eq!(server.hears(&verdict), Err("answered"), "a word that comes late");

    // And whom it could not act on.
    let other = found(2, START_MS);
    server.rig.put_control(&control(ControlKind::Setting, "act.ring/3", "on"));
    assert_eq!(server.hears(&other), Ok(()));
    server.decides(&other);
    server.rig.answer(OutcomeKind::Failed);
    server.rig.enforce();
    assert_eq!(server.read(), [(account(2), "over")]);
}

#[test]
fn a_hold_ends_by_time_whether_or_not_anybody_sweeps_and_as_long_as_the_log_says_nothing_not_before() {
    let mut server = Server::in_posture("enforce", 10);
    assert_eq!(server.hears(&found(1, START_MS)), Ok(()));
    server.passes(LASTS_MS - 1);
    assert!(server.read().is_empty() && server.is_held(1));
    server.passes(1);
    assert!(!server.is_held(1));
    assert_eq!(server.read(), [(account(1), "expired")]);
    server.holds.hold(held_now(&server, 2)).unwrap();
    let stopped = server.holds.stop();
    assert_eq!(stopped.iter().map(|(_, why)| why.as_str()).collect::<Vec<_>>(), ["stopped"]);
    assert!(!server.is_held(2));
}

fn held_now(server: &Server, number: u32) -> Held {
    Held {
        account: account(number),
        tenant: "acme".into(),
        on: HeldOn::Verdict(VerdictId([number as u8; 16])),
        is_observed: false,
        evidence: Arc::default(),
        since_ms: server.now_ms(),
        until_ms: server.now_ms() + LASTS_MS,
        told_ms: server.now_ms(),
    }
}

#[test]
fn nobody_is_held_before_what_operators_said_is_known_nor_where_it_is_known_no_longer() {
    let mut server = Server::new(10);
    assert_eq!(server.hears(&found(1, START_MS)), Err("unready"));
    server.rig.put_control(&posture("enforce"));
    server.read();
    assert_eq!(server.hears(&found(1, START_MS)), Ok(()));
    server.passes(REINS_AGE_MS_MAX);
    assert_eq!(server.hears(&found(2, START_MS)), Ok(()));
    server.passes(1);
    assert_eq!(server.hears(&found(3, START_MS)), Err("unready"));
}

#[test]
fn a_clock_that_is_set_back_makes_no_hold_last_longer_and_no_old_word_fresh() {
    let mut server = Server::in_posture("enforce", 8);
    server.hears(&found(1, START_MS)).unwrap();
    assert!(server.is_held(1));
    server.passes(-CLOCK_BACK_MS_MAX);
    assert!(server.is_held(1), "clocks are read by several threads");
    server.passes(-MINUTE_MS);
    assert!(!server.is_held(1));
    assert_eq!(
        server.hears(&found(2, START_MS)),
        Err("unready"),
        "what operators said is not known as of now"
    );
    assert_eq!(server.read(), [(account(1), "expired")]);
    assert_eq!(server.hears(&found(2, START_MS)), Ok(()));
}

#[test]
fn in_audit_posture_nobody_is_held_and_whoever_was_is_let_go() {
    let mut server = Server::new(10);
    server.read();
    assert_eq!(server.hears(&found(1, START_MS)), Err("posture"), "as a fresh install is");
    server.rig.put_control(&posture("canary 0"));
    server.read();
    assert_eq!(server.hears(&found(1, START_MS)), Err("posture"), "outside of the canary");
    let canary = ListName::Canary.record_of(&Subject::Account(account(1)));
    server.rig.put_control(&control(ControlKind::Setting, &canary, ON));
    server.read();
    assert_eq!(server.hears(&found(1, START_MS)), Ok(()), "operators named it");
    server.rig.put_control(&posture("audit"));
    assert_eq!(server.read(), [(account(1), "posture")]);
}

#[test]
fn who_is_protected_is_never_held() {
    let mut server = Server::in_posture("enforce", 10);
    assert_eq!(server.hears(&found(1, START_MS)), Ok(()));
    let protect =
        |subject: Subject| control(ControlKind::Setting, &ListName::Protected.record_of(&subject), ON);
    server.rig.put_control(&protect(Subject::Account(account(1))));
    assert_eq!(server.read(), [(account(1), "protected")]);
    assert_eq!(server.hears(&found(1, START_MS)), Err("protected"));
    assert_eq!(server.hears(&found(2, START_MS)), Ok(()));
    server.rig.put_control(&protect(Subject::Tenant("acme".into())));
    assert_eq!(server.read(), [(account(2), "protected")]);
    assert_eq!(server.hears(&found(3, START_MS)), Err("protected"));
}

#[test]
fn while_the_kill_switch_is_on_nobody_is_held_and_a_forged_word_does_not_switch_it() {
    let mut server = Server::in_posture("enforce", 10);
    server.rig.say(crate::kill_switch::words::PERSONS_NAME, &everybody());
    assert_eq!(server.hears(&found(1, START_MS)), Ok(()));
    let mut forged = request(RequestKind::EnableAuditOnly, "olga", START_MS, 1);
    forged.reason.push('!');
    server.rig.put_control_at(&switch_word(&forged.record_name(), &forged), START_MS);
    assert_eq!((server.read(), server.is_held(1)), (vec![], true));
    let shutdown = request(RequestKind::EmergencyShutdown, "olga", START_MS, 2);
    server.rig.ask(&shutdown);
    server.rig.approve(&approval(&shutdown, PersonRole::Security, "sam"));
    assert!(server.read().is_empty() && server.is_held(1), "one of two");
    server.rig.approve(&approval(&shutdown, PersonRole::Sre, "rita"));
    assert_eq!(server.read(), [(account(1), "kill_switch")]);
    assert_eq!(server.hears(&found(2, START_MS)), Err("kill_switch"));
}

#[test]
fn where_limits_are_off_nobody_is_slowed_down_by_an_early_word() {
    let mut server = Server::in_posture("enforce", 10);
    server.rig.put_control(&control(ControlKind::Setting, "act.ring/2", "off"));
    server.read();
    assert_eq!(server.hears(&found(1, START_MS)), Err("ring"));
}

#[test]
fn no_more_are_held_at_once_than_may_be() {
    let mut server = Server::in_posture("enforce", 3);
    let heard = (1..=5).map(|number| server.hears(&found(number, START_MS)));
    assert_eq!(heard.collect::<Vec<_>>(), [Ok(()), Ok(()), Ok(()), Err("full"), Err("full")]);
    assert_eq!(server.holds.len(), 3);
    server.passes(LASTS_MS);
    assert_eq!(server.read().len(), 3);
    assert_eq!(server.hears(&found(4, START_MS)), Ok(()));
}

#[test]
fn who_is_said_to_stand_well_since_is_let_go_and_who_was_before_is_not() {
    let mut server = Server::in_posture("enforce", 10);
    let stands_well = |server: &Server, since_ms: i64| {
        let standing = Standing { account: account(1), since_ms, ..Standing::default() };
        let payload = server.rig.wire.to_bytes(&standing);
        server.rig.put(vec![Output::keyed(Topic::Standing, account(1).to_key(), payload, since_ms)]);
    };
    stands_well(&server, START_MS - 10);
    server.read();
    assert_eq!(server.standings.get(account(1)).unwrap().status, StandingStatus::Good);
    assert_eq!(server.hears(&found(1, START_MS)), Ok(()), "what was told before says nothing of this");
    assert!(server.read().is_empty() && server.is_held(1));
    stands_well(&server, START_MS);
    assert_eq!(server.read(), [(account(1), "stands_well")]);
}

#[test]
fn whom_an_operator_gives_access_back_is_let_go_when_the_log_says_so_and_nobody_else() {
    let mut server = Server::in_posture("enforce", 10);
    (1..=3).for_each(|number| server.hears(&found(number, START_MS)).unwrap());
    server.trips(4).unwrap();
    server.reinstates(&Subject::Account(account(1)));
    server.reinstates(&Subject::Account(account(4)));
    // Before anybody sweeps.
    server.answers.run_once(server.now_ms()).unwrap();
    assert_eq!([1, 2, 3, 4].map(|number| server.is_held(number)), [false, true, true, false]);
    assert_eq!(server.read(), [(account(1), "reinstated"), (account(4), "reinstated")]);
    server.passes(MINUTE_MS);
    server.read();
    assert_eq!(server.trips(4), Err("rests"), "nor by the next request that meets one");
    server.reinstates(&Subject::Tenant("another".into()));
    assert!(server.read().is_empty() && server.is_held(2));
    server.reinstates(&Subject::Tenant("acme".into()));
    server.answers.run_once(server.now_ms()).unwrap();
    let ended = server.holds.stop().into_iter().map(|(held, why)| (held.account, why.as_str()));
    let both = [2, 3].map(|number| (account(number), "reinstated"));
    assert_eq!(ended.collect::<BTreeMap<_, _>>(), BTreeMap::from(both));
}

#[test]
fn what_was_told_before_an_operator_gave_access_back_holds_nobody_after_it_and_what_comes_since_does() {
    let mut server = Server::in_posture("enforce", 10);
    server.reinstates(&Subject::Account(account(1)));
    server.read();
    assert_eq!(server.hears_of(1, START_MS - 1), Err("reinstated"));
    assert_eq!(server.hears_of(1, START_MS + EARLY_WORD_SKEW_MS_MAX), Err("reinstated"), "by its clock");
    assert_eq!(server.hears_of(2, START_MS - 1), Ok(()));
    server.passes(2 * EARLY_WORD_SKEW_MS_MAX);
    server.read();
    assert_eq!(server.hears_of(1, START_MS), Err("reinstated"), "however late it comes");
    assert_eq!(server.hears_of(1, START_MS + EARLY_WORD_SKEW_MS_MAX + 1), Ok(()));
    server.reinstates(&Subject::Tenant("acme".into()));
    let now_ms = server.now_ms();
    server.read();
    assert_eq!([1, 2].map(|number| server.hears_of(number, now_ms)), [Err("reinstated"); 2]);
}

#[test]
fn a_brokers_clock_that_is_wrong_neither_hides_a_word_of_an_operator_nor_has_it_last() {
    for wrong_ms in [-3_600_000, 3_600_000] {
        let mut server = Server::in_posture("enforce", 10);
        assert_eq!(server.hears_of(1, START_MS), Ok(()));
        let word = control(ControlKind::Setting, REINSTATE_NAME, &format!("account/{}", account(1)));
        server.rig.put_control_at(&word, START_MS + wrong_ms);
        assert_eq!(server.read(), [(account(1), "reinstated")], "{wrong_ms}");
        assert_eq!(server.hears_of(1, START_MS), Err("reinstated"), "{wrong_ms}");
        assert_eq!(server.hears_of(1, START_MS + 2 * EARLY_WORD_SKEW_MS_MAX + 1), Ok(()), "{wrong_ms}");
    }
}

#[test]
fn of_those_who_were_given_access_back_no_more_are_remembered_than_may_be_and_none_is_held_for_it() {
    let mut server = Server::in_posture("enforce", 10);
    let count = REINSTATED_MAX as u128 + 1;
    let word = |number: u128| {
        let subject = Subject::Account(AccountId(((1 << 64) | number).to_be_bytes()));
        let word = control(ControlKind::Setting, REINSTATE_NAME, &subject.to_string());
        Output::keyed(
            Topic::Control,
            word.name.clone().into_bytes(),
            server.rig.wire.to_bytes(&word),
            START_MS,
        )
    };
    server.rig.put((0..count).map(word).collect());
    server.read();
    let told = |number: u128, told_ms: i64| {
        let held = held_now(&server, 1);
        let account = AccountId(((1 << 64) | number).to_be_bytes());
        server.holds.may(&Held { account, told_ms, ..held }).map_err(Spared::as_str)
    };
    assert_eq!([0, count - 1].map(|number| told(number, START_MS)), [Err("reinstated"); 2]);
    assert_eq!(told(count - 1, START_MS + EARLY_WORD_SKEW_MS_MAX + 1), Ok(()));
    assert_eq!(server.hears_of(2, START_MS), Err("reinstated"), "whoever it was");
    assert_eq!(server.hears_of(2, START_MS + EARLY_WORD_SKEW_MS_MAX + 1), Ok(()));
}

#[test]
fn who_is_held_on_a_tripwire_is_let_go_by_the_logs_silence_and_not_held_on_one_again_for_a_day() {
    let mut server = Server::in_posture("enforce", 10);
    assert_eq!(server.trips(1), Ok(()));
    assert!(server.is_held(1));
    assert_eq!(server.trips(1), Err("held_already"));
    server.passes(LASTS_MS);
    assert_eq!(server.read(), [(account(1), "expired")]);
    assert_eq!(server.trips(1), Err("rests"), "with every request that meets one");
    server.passes(TRIPWIRE_REST_MS - LASTS_MS - 1);
    server.read();
    assert_eq!(server.trips(1), Err("rests"));
    assert_eq!(server.hears(&found(1, server.now_ms())), Ok(()), "a verdict is another matter");
    server.passes(LASTS_MS);
    assert_eq!(server.read(), [(account(1), "expired")]);
    assert_eq!(server.trips(1), Ok(()));
}

#[test]
fn what_enforcers_do_about_whom_a_tripwire_held_confirms_the_hold_or_ends_it() {
    let mut server = Server::in_posture("enforce", 10);
    assert_eq!((server.trips(1), server.trips(2)), (Ok(()), Ok(())));
    server.decides(&found(1, START_MS));
    assert_eq!((server.read(), server.is_held(1)), (vec![], true), "decided is not done");
    server.rig.answer(OutcomeKind::Told);
    server.rig.enforce();
    assert_eq!(server.read(), [(account(1), "confirmed")]);
    server.rig.put_control(&control(ControlKind::Setting, "act.ring/3", "off"));
    server.decides(&found(2, START_MS));
    assert_eq!(server.read(), [(account(2), "withheld")]);
    assert_eq!(server.trips(2), Err("rests"));
}

#[test]
fn a_verdict_takes_the_place_of_a_tripwire_and_no_tripwire_that_of_a_verdict() {
    let mut server = Server::in_posture("enforce", 1);
    assert_eq!(server.trips(1), Ok(()));
    let verdict = held_now(&server, 1);
    let replaced = server.holds.hold(verdict.clone()).unwrap().unwrap();
    assert_eq!((replaced.account, replaced.on), (account(1), HeldOn::Tripwire(None)));
    let held = server.holds.on(account(1), None, server.now_ms()).unwrap();
    assert_eq!((held, server.holds.len()), (verdict, 1), "though no more are held than may be");
    assert_eq!(server.trips(1), Err("held_already"));
    server.passes(LASTS_MS);
    assert_eq!(server.read(), [(account(1), "expired")]);
}

#[test]
fn what_only_observes_takes_no_holds_place_and_a_hold_takes_its() {
    let server = Server::in_posture("enforce", 10);
    let observed = |held: Held| Held { is_observed: true, ..held };
    let tripwire = |number| Held { on: HeldOn::Tripwire(None), ..held_now(&server, number) };
    // A tripwire holds; a verdict that is only observed leaves it so.
    assert_eq!(server.trips(1), Ok(()));
    assert_eq!(server.holds.hold(observed(held_now(&server, 1))), Err(Spared::HeldAlready));
    assert!(server.is_held(1));
    // A verdict is observed; a tripwire that holds is not kept from it, nor is one that a verdict takes over.
    assert_eq!(server.holds.hold(observed(held_now(&server, 2))), Ok(None));
    assert!(!server.is_held(2));
    assert_eq!(server.holds.hold(tripwire(2)).map(|replaced| replaced.is_some()), Ok(true));
    assert!(server.is_held(2));
    assert_eq!(server.holds.hold(observed(tripwire(3))), Ok(None));
    assert_eq!(server.holds.hold(held_now(&server, 3)).map(|replaced| replaced.is_some()), Ok(true));
    assert!(server.is_held(3));
}

#[test]
fn who_is_protected_is_not_held_on_a_tripwire_nor_anybody_in_audit_posture_or_while_the_kill_switch_is_on() {
    let mut server = Server::in_posture("enforce", 10);
    let protected = ListName::Protected.record_of(&Subject::Account(account(1)));
    server.rig.put_control(&control(ControlKind::Setting, &protected, ON));
    server.read();
    assert_eq!((server.trips(1), server.trips(2)), (Err("protected"), Ok(())));
    server.rig.put_control(&posture("audit"));
    assert_eq!(server.read(), [(account(2), "posture")]);
    assert_eq!(server.trips(3), Err("posture"));
    server.rig.put_control(&posture("enforce"));
    server.rig.say(crate::kill_switch::words::PERSONS_NAME, &everybody());
    let shutdown = request(RequestKind::EmergencyShutdown, "olga", START_MS, 2);
    server.rig.ask(&shutdown);
    server.rig.approve(&approval(&shutdown, PersonRole::Security, "sam"));
    server.rig.approve(&approval(&shutdown, PersonRole::Sre, "rita"));
    server.read();
    assert_eq!(server.trips(3), Err("kill_switch"));
}

#[test]
fn tripwires_take_half_of_the_room_at_most_and_whoever_is_observed_on_one_is_not_held() {
    let mut server = Server::in_posture("enforce", 4);
    assert_eq!([1, 2, 3].map(|number| server.trips(number)), [Ok(()), Ok(()), Err("full")]);
    assert_eq!([4, 5].map(|number| server.hears(&found(number, START_MS))), [Ok(()), Ok(())]);
    assert_eq!(server.hears(&found(6, START_MS)), Err("full"));
    server.passes(LASTS_MS);
    assert_eq!(server.read().len(), 4);
    let observed = Held { on: HeldOn::Tripwire(None), is_observed: true, ..held_now(&server, 7) };
    server.holds.hold(observed).unwrap();
    assert_eq!((server.is_held(7), server.holds.len()), (false, 1));
}

#[test]
fn who_was_held_on_a_tripwire_before_the_server_started_rests_as_long_as_it_had_to_and_a_day_at_most() {
    let mut server = Server::in_posture("enforce", 10);
    let until_ms = START_MS + MINUTE_MS;
    server.holds.rest([(account(1), until_ms), (account(2), i64::MAX)], START_MS);
    assert_eq!([1, 2, 3].map(|number| server.trips(number)), [Err("rests"), Err("rests"), Ok(())]);
    assert_eq!(server.hears(&found(1, START_MS)), Ok(()), "a verdict is another matter");
    server.passes(TRIPWIRE_REST_MS);
    server.read();
    assert_eq!([1, 2].map(|number| server.trips(number)), [Ok(()); 2], "a clock that was ahead, too");
}

#[test]
fn of_accounts_that_rest_no_more_are_remembered_than_may_be_and_while_they_are_nobody_is_held_on_a_tripwire()
{
    let mut server = Server::in_posture("enforce", 10);
    let rests = |number: usize| (AccountId((1_000 + number as u128).to_be_bytes()), START_MS + MINUTE_MS);
    server.holds.write().rests.extend((0..TRIPWIRE_RESTS_MAX).map(rests));
    assert_eq!(server.trips(1), Err("full"));
    assert_eq!(server.hears(&found(1, START_MS)), Ok(()), "a verdict needs none of it");
    server.passes(MINUTE_MS);
    server.read();
    assert_eq!(server.trips(2), Ok(()), "they have rested");
}

#[test]
fn of_verdicts_that_were_answered_no_more_are_remembered_than_may_be() {
    let server = Server::in_posture("enforce", 10);
    let action = |number: u32| Action {
        action_id: ActionId([1; 16]),
        verdict_id: VerdictId(u128::from(number).to_be_bytes()),
        kind: ActionKind::Suspend,
        state: ActionState::Withheld,
        ..Action::default()
    };
    let count = ANSWERED_MAX as u32 + 5;
    server.holds.learn(|learner| (0..count).for_each(|number| learner.action(&action(number))), None);
    let table = server.holds.read();
    assert_eq!((table.answered.len(), table.order.len()), (ANSWERED_MAX, ANSWERED_MAX));
    assert_eq!(table.answered(VerdictId(4u128.to_be_bytes())), None, "the oldest are forgotten");
    assert_eq!(table.answered(VerdictId(5u128.to_be_bytes())), Some(Answered::Withheld));
}
