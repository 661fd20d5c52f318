//! What keeps the enforcer from acting on the wrong account, too far, or on too many.

use super::*;
use crate::limiter::{LIMIT_NAME, RESUME_NAME, record_of};
use crate::reinstate::Reinstated;
use crate::safeguards::{REINSTATE_NAME, REVEAL_NAME};
use crate::subject::{ListName, Subject};
use weir_schemas::{AccountId, ActionKind, VerdictId};

fn setting(name: &str, body: &str) -> Control {
    control(ControlKind::Setting, name, body)
}

fn listed(list: ListName, subject: Subject, body: &str) -> Control {
    setting(&list.record_of(&subject), body)
}

fn protect(number: u32) -> Control {
    listed(ListName::Protected, Subject::Account(account(number)), "on")
}

fn enforcing() -> Rig {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    rig
}

/// What operators and safeguards did, as the chain has it.
fn said(rig: &Rig) -> String {
    let told = audits(&rig.log).into_iter();
    let told = told.filter(|a| !matches!(a.kind, AuditKind::Decision | AuditKind::Outcome));
    told.map(|a| format!("{} {} {}: {}\n", a.kind, a.actor, a.outcome, a.reason)).collect()
}

#[test]
fn a_protected_account_is_shown_to_people_and_never_acted_on() {
    let rig = enforcing();
    rig.put_control(&protect(1));
    rig.put_control(&listed(ListName::Protected, Subject::Tenant("globex".into()), "on"));
    let of_globex = Verdict { tenant: "globex".into(), ..verdict(2, 1, Tier::Critical) };
    rig.enforce_live(&[verdict(1, 0, Tier::High), of_globex, resting_on(1, verdict(1, 2, Tier::Critical))]);
    rig.enforce_live(&[verdict(3, 3, Tier::Critical)]);
    expect![[r#"
        0 REVIEW PENDING: tier HIGH, score 0.600
        0 RATE_LIMIT WITHHELD: the account is protected
        0 REVIEW DONE: told by test
        0 SUSPEND WITHHELD: the account is protected
        0 SUSPEND WITHHELD: the account is protected
        0 SHARE_INDICATORS WITHHELD: the account is protected
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND DONE until 10: told by test
    "#]]
    .assert_eq(&story(&rig));
    let refusals = audits(&rig.log).into_iter().filter(|a| a.reason == "the account is protected").count();
    assert_eq!(refusals, 4, "each is in the chain");
    sound(&entries(&rig.log));
}

#[test]
fn who_is_put_on_the_protected_list_is_let_go_at_once_and_who_is_taken_off_is_acted_on_again() {
    let rig = enforcing();
    rig.enforce_live(&[verdict(1, 0, Tier::Critical), verdict(2, 0, Tier::Medium)]);
    rig.calendar.set(MINUTE_MS);
    // Still waiting for its executor.
    rig.put_verdicts(&[verdict(1, MINUTE_MS, Tier::Medium)]);
    rig.enforce();
    rig.calendar.set(2 * MINUTE_MS);
    rig.put_control(&protect(1));
    rig.enforce();
    // Whoever carried it out all the same is not believed to have done it for us.
    rig.answer(OutcomeKind::Told);
    rig.enforce();
    rig.calendar.set(3 * MINUTE_MS);
    rig.put_verdicts(&[verdict(1, 3 * MINUTE_MS, Tier::Critical)]);
    rig.put_control(&listed(ListName::Protected, Subject::Account(account(1)), "off"));
    rig.enforce();
    rig.put_verdicts(&[verdict(1, 3 * MINUTE_MS + 1, Tier::Critical)]);
    rig.enforce();
    expect![[r#"
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND DONE until 10: told by test
        0 RATE_LIMIT PENDING: tier MEDIUM, score 0.400
        0 RATE_LIMIT DONE until 5: told by test
        1 RATE_LIMIT PENDING: tier MEDIUM, score 0.400
        2 SUSPEND REVERTED until 10: the account is protected
        2 RATE_LIMIT FAILED: the account is protected
        3 SUSPEND PENDING: tier CRITICAL, score 0.900
        3 SUSPEND WITHHELD: already in force
    "#]]
    .assert_eq(&story(&rig));
    stands(
        &rig,
        expect![[r#"
        LIMITED since 0 until 5
        GOOD since 2"#]],
    );
    let account_1 = account(1).to_string();
    expect![[r#"
        OPERATOR olga posture_changed: posture audit gives way to enforce
        OPERATOR olga listed: account/ONE is put on the list protected
        OPERATOR olga unlisted: account/ONE is taken off the list protected
    "#]]
    .assert_eq(&said(&rig).replace(&account_1, "ONE"));
}

#[test]
fn who_asks_who_an_account_is_stands_in_the_chain_with_why_and_nothing_else_happens() {
    let rig = enforcing();
    rig.enforce();
    rig.put_control(&setting(REVEAL_NAME, &format!("{} ticket 4711", account(1))));
    rig.put_control(&setting(REVEAL_NAME, &format!("{} ", account(1))));
    rig.enforce();
    expect![[r#"
        OPERATOR olga posture_changed: posture audit gives way to enforce
        REVEAL olga revealed: ticket 4711
        REFUSAL olga refused: act.reveal must be a pseudonym and a reason of 1 to 512 bytes
    "#]]
    .assert_eq(&said(&rig));
    let revealed = audits(&rig.log).into_iter().find(|audit| audit.kind == AuditKind::Reveal).unwrap();
    assert_eq!(revealed.account, Some(account(1)));
    assert!(rig.actions().is_empty());
}

/// Of whom each word of an operator's is, in the chains of all partitions.
fn whose(rig: &Rig) -> String {
    let told = audits(&rig.log).into_iter();
    let told = told.filter(|a| matches!(a.kind, AuditKind::Operator | AuditKind::Reveal));
    let name = |a: &Audit| {
        a.account.map_or("-".into(), |id| (1..9).find(|n| account(*n) == id).unwrap().to_string())
    };
    told.map(|a| format!("{} of {} account {}\n", a.outcome, a.tenant, name(&a))).collect()
}

#[test]
fn a_word_about_an_account_or_a_tenant_is_of_that_tenant_wherever_it_is_known() {
    let rig = enforcing();
    let of_globex = Verdict { tenant: "globex".into(), ..verdict(2, 0, Tier::High) };
    // Of one something is under way, of another a person was asked, and of the third nothing is known.
    rig.enforce_live(&[verdict(1, 0, Tier::Critical), of_globex]);
    for number in 1..=3 {
        rig.put_control(&protect(number));
        rig.put_control(&setting(REVEAL_NAME, &format!("{} ticket 4711", account(number))));
    }
    rig.put_control(&listed(ListName::Canary, Subject::Tenant("initech".into()), "on"));
    rig.put_control(&setting(REINSTATE_NAME, "tenant/globex"));
    // What the log says is in force on an account of which no enforcer knows anything.
    let (kind, verdict_id) = (ActionKind::Suspend, VerdictId([9; 16]));
    let action = Action {
        action_id: ActionId::of(verdict_id, kind),
        verdict_id,
        kind,
        account: account(4),
        tenant: "hooli".into(),
        state: ActionState::Done,
        lasts_ms: Some(MINUTE_MS),
        ..Action::default()
    };
    let word = Reinstated { subject: Subject::Account(account(4)), named: vec![(7, action)] };
    rig.put_control(&setting(REINSTATE_NAME, &word.body()));
    rig.enforce();
    expect![[r#"
        posture_changed of * account -
        listed of acme account 1
        revealed of acme account 1
        listed of globex account 2
        revealed of globex account 2
        listed of * account 3
        revealed of * account 3
        listed of initech account -
        reinstated of globex account -
        reinstated of hooli account 4
    "#]]
    .assert_eq(&whose(&rig));
    sound(&entries(&rig.log));
}

#[test]
fn an_operator_undoes_what_only_a_person_may_undo() {
    let rig = enforcing();
    rig.enforce_live(&[verdict(1, 0, Tier::Critical), verdict(2, 0, Tier::Critical)]);
    rig.calendar.set(60 * MINUTE_MS);
    rig.enforce();
    rig.put_control(&setting(REINSTATE_NAME, &Subject::Account(account(1)).to_string()));
    rig.enforce();
    expect![[r#"
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND DONE until 10: told by test
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND DONE until 10: told by test
        60 SUSPEND EXPIRED until 10: its time is over, a person is to undo it
        60 SUSPEND EXPIRED until 10: its time is over, a person is to undo it
        60 SUSPEND REVERTED until 10: an operator undid it
    "#]]
    .assert_eq(&story(&rig));
    stands(
        &rig,
        expect![[r#"
        SUSPENDED since 0
        GOOD since 60"#]],
    );
}

#[test]
fn a_ring_that_is_off_does_nothing_and_one_that_is_set_lasts_as_long_as_was_said() {
    let rig = enforcing();
    rig.put_control(&setting("act.ring/2", "off"));
    rig.put_control(&setting("act.ring/3", "120000 auto"));
    rig.enforce_live(&[verdict(1, 0, Tier::High), verdict(2, 0, Tier::Critical)]);
    rig.calendar.set(2 * MINUTE_MS);
    rig.enforce();
    expect![[r#"
        0 REVIEW PENDING: tier HIGH, score 0.600
        0 RATE_LIMIT WITHHELD: ring 2 is off
        0 REVIEW DONE: told by test
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND DONE until 2: told by test
        2 SUSPEND REVERTED until 2: its time is over
    "#]]
    .assert_eq(&story(&rig));
    stands(&rig, expect!["GOOD since 2"]);
}

#[test]
fn a_canary_acts_on_those_whom_operators_named_beside_its_share() {
    let rig = Rig::new(1);
    rig.put_control(&posture("canary 0"));
    rig.put_control(&listed(ListName::Canary, Subject::Account(account(1)), "on"));
    rig.enforce_live(&[verdict(1, 0, Tier::Critical), verdict(2, 0, Tier::Critical)]);
    rig.put_control(&posture("audit"));
    rig.enforce_live(&[verdict(1, 20 * MINUTE_MS, Tier::Critical)]);
    let decided: Vec<_> = rig.actions().iter().map(|a| format!("{}: {}\n", a.state, a.reason)).collect();
    expect![[r#"
        PENDING: tier CRITICAL, score 0.900
        DONE: told by test
        WITHHELD: the account is outside the canary
        WITHHELD: the posture is audit
    "#]]
    .assert_eq(&decided.concat().replace("EXPIRED: its time is over, a person is to undo it\n", ""));
}

#[test]
fn words_that_cannot_be_followed_change_nothing_and_say_so() {
    for (name, body, expected) in [
        (
            "act.protected/account/me",
            "on",
            expect![
                "INVALID_FIELD olga: it must be account/ and 32 lower-case hex digits, or tenant/ and a name"
            ],
        ),
        (
            "act.protected/tenant/acme",
            "yes",
            expect!["INVALID_FIELD olga: an entry of the list protected must be on or off"],
        ),
        ("act.ring/9", "off", expect!["INVALID_FIELD olga: rings are numbered 1 to 5"]),
        (
            "act.resume",
            "now",
            expect!["INVALID_FIELD olga: act.resume must be a time in milliseconds since 1970"],
        ),
        (
            "act.limit/acme",
            "40",
            expect!["INVALID_FIELD olga: a tenant's limit must be: accounts 1 to 1000000000, or default"],
        ),
        ("act.resume/*", "7", expect!["INVALID_FIELD olga: a tenant's name has 1 to 256 bytes and is not *"]),
    ] {
        refused_control(&setting(name, body), expected);
    }
}

/// An enforcer that is killed after every epoch and goes on from its state, under a storm.
struct Storm {
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    epoch: i64,
    taken_ms: i64,
    audits: Vec<Audit>,
    actions: Vec<Action>,
    tallies: BTreeMap<Tally, u64>,
}

impl Storm {
    fn new() -> Self {
        let (state, tallies) = (BTreeMap::new(), BTreeMap::new());
        Self { state, epoch: 0, taken_ms: 0, audits: Vec::new(), actions: Vec::new(), tallies }
    }

    fn epoch(&mut self, topic: Topic, outputs: Vec<Output>) {
        let mut stage = EnforcerStage::new(keys(), Arc::new(Wire::new()));
        for (key, body) in &self.state {
            stage.restore(key, STATE_FORMAT, body).unwrap();
        }
        self.epoch += 1;
        let mut records = Records::default();
        for (offset, output) in outputs.into_iter().enumerate() {
            records.push(offset as i64, output.timestamp_ms, &output.key, output.payload.as_deref(), []);
        }
        let inputs = vec![InputBatch { topic, partition: 0, records }];
        let taken_ms = Some(self.taken_ms);
        let batch = Batch { epoch: self.epoch, partition: 0, clock_ms: 0, taken_ms, inputs };
        let effects = stage.step(&batch);
        for output in &effects.outputs {
            let payload = output.payload.as_ref().unwrap();
            match output.topic {
                Topic::Audit => self.audits.push(audit_in(payload)),
                Topic::Actions => self.actions.push(Wire::new().read(payload).unwrap()),
                _ => {}
            }
        }
        for (tally, count) in effects.tallies {
            *self.tallies.entry(tally).or_default() += count;
        }
        for entry in stage.take_changes() {
            match entry.body {
                Some(body) => self.state.insert(entry.key, body),
                None => self.state.remove(&entry.key),
            };
        }
    }

    fn told(&mut self, word: &Control) {
        let output = Output::keyed(Topic::Control, word.name.clone().into(), Wire::new().to_bytes(word), 0);
        self.epoch(Topic::Control, vec![output]);
    }

    /// A CRITICAL verdict on an account of the tenant that made so many requests in a day.
    fn blow_of(&mut self, number: u32, tenant: &str, requests: i64) {
        let verdict = verdict(number, self.taken_ms, Tier::Critical);
        let verdict = Verdict { tenant: tenant.into(), event_count: requests, ..verdict };
        let payload = Wire::new().to_bytes(&verdict);
        let output = Output::keyed(Topic::Verdicts, verdict.account.to_key(), payload, verdict.time_ms);
        self.epoch(Topic::Verdicts, vec![output]);
    }

    /// CRITICAL verdicts on these accounts, spread over a minute from now on, 500 an epoch.
    fn blows(&mut self, accounts: std::ops::Range<u32>) {
        self.blows_on("acme", accounts);
    }

    /// The same, the accounts being of this tenant.
    fn blows_on(&mut self, tenant: &str, accounts: std::ops::Range<u32>) {
        let from_ms = self.taken_ms;
        let accounts: Vec<u32> = accounts.collect();
        for (number, some) in accounts.chunks(500).enumerate() {
            self.taken_ms = from_ms + number as i64 * 500 * MINUTE_MS / accounts.len().max(1) as i64;
            let verdicts = some.iter().map(|account| {
                let verdict = verdict(*account, self.taken_ms, Tier::Critical);
                let verdict = Verdict { tenant: tenant.into(), ..verdict };
                let payload = Wire::new().to_bytes(&verdict);
                Output::keyed(Topic::Verdicts, verdict.account.to_key(), payload, verdict.time_ms)
            });
            let verdicts = verdicts.collect();
            self.epoch(Topic::Verdicts, verdicts);
        }
        self.taken_ms = from_ms + MINUTE_MS;
    }

    /// Accounts that are to be suspended so far.
    fn suspended(&self) -> BTreeSet<AccountId> {
        let pending = self.actions.iter().filter(|action| action.state == ActionState::Pending);
        pending.map(|action| action.account).collect()
    }

    fn withheld(&self, reason: &str) -> usize {
        let withheld = self.actions.iter().filter(|action| action.state == ActionState::Withheld);
        withheld.filter(|action| action.reason.contains(reason)).count()
    }

    fn safeguards_said(&self) -> Vec<String> {
        let said = self.audits.iter().filter(|a| [PAUSED, RESUMED, STORM].contains(&a.outcome.as_str()));
        let whose =
            |a: &Audit| if a.tenant == EVERY_TENANT { String::new() } else { format!(" {}", a.tenant) };
        said.map(|a| format!("{} {} {}{}: {}", a.kind, a.actor, a.outcome, whose(a), a.reason)).collect()
    }
}

#[test]
fn a_storm_on_honest_accounts_is_paused_at_the_cap_until_an_operator_approves_and_the_protected_are_left_alone()
 {
    let mut storm = Storm::new();
    storm.told(&posture("enforce"));
    storm.told(&setting(LIMIT_NAME, "floor 100 share 20 accounts 1000 partitions 1"));
    let protected: BTreeSet<AccountId> = (0..10_000).step_by(7).map(account).collect();
    for number in (0..10_000).step_by(7) {
        storm.told(&protect(number));
    }
    storm.taken_ms = 10 * MINUTE_MS;
    storm.blows(0..10_000);
    // Half of the hour's 100 within a minute.
    assert_eq!(storm.suspended().len(), 50);
    assert_eq!(storm.withheld("the account is protected"), protected.len());
    assert_eq!(
        storm.withheld("the limiter pauses until an operator approves"),
        10_000 - 50 - protected.len()
    );
    assert_eq!(storm.tallies[&Tally::LimiterPaused], 1);
    assert_eq!(storm.tallies[&Tally::WithheldAsProtected], protected.len() as u64);
    assert_eq!(storm.tallies[&Tally::WithheldByLimiter], (10_000 - 50 - protected.len()) as u64);

    // An approval from before the pause is of another one, and time alone approves of nothing.
    storm.told(&setting(RESUME_NAME, "599999"));
    storm.taken_ms += 24 * 60 * MINUTE_MS;
    storm.blows(10_000..10_100);
    assert_eq!(storm.suspended().len(), 50);

    let approved = storm.taken_ms.to_string();
    storm.told(&setting(RESUME_NAME, &approved));
    // More slowly: the hour's cap and no more.
    for tenth in 0..10 {
        storm.blows(20_000 + 20 * tenth..20_000 + 20 * (tenth + 1));
    }
    assert_eq!(storm.suspended().len(), 150);
    assert!(storm.suspended().is_disjoint(&protected));
    assert_eq!(
        storm.safeguards_said(),
        [
            "SAFEGUARD enforcer paused: 50 accounts were acted on within a minute, which is half of the hour's cap",
            "OPERATOR olga resumed: the pause since 600000 is over: 50 accounts were acted on within a minute, which is half of the hour's cap",
            "SAFEGUARD enforcer paused: 100 accounts were acted on within an hour, which is the cap",
        ]
    );
}

/// A limit that lets act on 4,000 an hour, and 2,000 a minute, but for a storm of more than 200.
const STORM_OF_200: &str = "floor 4000 share 0 accounts 0 partitions 1 tenant 1000 storm 200 times 10";

#[test]
fn a_storm_of_verdicts_pauses_far_ahead_of_the_cap_and_an_approval_lets_the_campaign_be_acted_on_up_to_the_cap()
 {
    let mut storm = Storm::new();
    storm.told(&posture("enforce"));
    storm.told(&setting(LIMIT_NAME, STORM_OF_200));
    storm.taken_ms = 10 * MINUTE_MS;
    storm.blows(0..10_000);
    assert_eq!(storm.suspended().len(), 200);
    assert_eq!(storm.withheld("the limiter pauses until an operator approves"), 9_800);
    let counted = [Tally::StormsFound, Tally::LimiterPaused, Tally::WithheldByLimiter];
    assert_eq!(counted.map(|tally| storm.tallies[&tally]), [1, 1, 9_800]);

    // Time alone approves of nothing.
    storm.taken_ms += 24 * 60 * MINUTE_MS;
    storm.blows(10_000..10_010);
    assert_eq!(storm.suspended().len(), 200);

    let of_acme = record_of(RESUME_NAME, Some("acme"));
    let approved = storm.taken_ms.to_string();
    storm.told(&setting(&of_acme, &approved));
    // The same campaign is found anew, as cooldowns end, and is far more than a storm.
    storm.blows(200..1_200);
    assert_eq!(storm.suspended().len(), 1_200);
    storm.taken_ms += 15 * MINUTE_MS;
    storm.blows(1_200..10_000);
    assert_eq!(storm.suspended().len(), 3_200, "up to the cap");

    // That pause is of all, and so is what is approved.
    let approved = storm.taken_ms.to_string();
    storm.told(&setting(RESUME_NAME, &approved));
    storm.told(&setting(RESUME_NAME, &approved));
    storm.blows_on("globex", 20_000..21_000);
    assert_eq!(storm.suspended().len(), 4_200);
    storm.taken_ms += 60 * MINUTE_MS;
    storm.blows_on("globex", 30_000..40_000);
    assert_eq!(storm.suspended().len(), 4_400, "an hour later it is a storm again");
    let why = "more than 200 accounts were found at CRITICAL within a minute, and 0 in a usual hour: a storm, \
               201 of them of the tenant";
    let half = "2000 accounts were acted on within a minute, which is half of the hour's cap";
    let since_ms = 10 * MINUTE_MS + 24 * 60 * MINUTE_MS + 3 * MINUTE_MS + 15 * MINUTE_MS;
    let said = storm.safeguards_said();
    assert_eq!(said.len(), 5, "{said:#?}");
    assert_eq!(
        said[..3],
        [
            format!("SAFEGUARD enforcer paused acme: {why}"),
            format!("OPERATOR olga resumed acme: the pause since 600000 is over: {why}"),
            format!("SAFEGUARD enforcer paused: {half}"),
        ]
    );
    let resumed = said[3].strip_suffix(&format!(" is over: {half}")).unwrap();
    let began_ms: i64 =
        resumed.strip_prefix("OPERATOR olga resumed: the pause since ").unwrap().parse().unwrap();
    assert!((since_ms..since_ms + MINUTE_MS).contains(&began_ms), "{began_ms}");
    assert_eq!(said[4], format!("SAFEGUARD enforcer paused globex: {why}"));
}

#[test]
fn an_approval_is_heard_of_storms_by_enforcers_that_do_not_pause_and_ends_no_pause_that_it_does_not_mean() {
    let mut storm = Storm::new();
    storm.told(&posture("enforce"));
    storm.told(&setting(LIMIT_NAME, STORM_OF_200));
    storm.taken_ms = 10 * MINUTE_MS;
    let approved = storm.taken_ms.to_string();
    storm.told(&setting(&record_of(RESUME_NAME, Some("acme")), &approved));
    storm.told(&setting(&record_of(RESUME_NAME, Some("acme")), &approved));
    storm.blows(0..1_000);
    assert_eq!(storm.suspended().len(), 1_000);
    storm.blows_on("globex", 1_000..2_000);
    assert_eq!(storm.suspended().len(), 1_200);
    // Of a pause that began later.
    storm.told(&setting(&record_of(RESUME_NAME, Some("globex")), &approved));
    storm.blows_on("globex", 2_000..2_010);
    assert_eq!(storm.suspended().len(), 1_200);
    let of_operators = storm.audits.iter().filter(|audit| audit.outcome == "storms_approved");
    let of_operators: Vec<_> = of_operators.map(|audit| (&*audit.tenant, &*audit.reason)).collect();
    let reason = "no pause is over; no storm pauses for 60 minutes";
    assert_eq!(of_operators, [("acme", reason), ("globex", reason)]);
    assert_eq!(storm.safeguards_said().len(), 1);
}

#[test]
fn a_storm_of_one_tenant_pauses_it_alone_and_one_of_several_pauses_all() {
    let mut storm = Storm::new();
    storm.told(&posture("enforce"));
    storm.told(&setting(LIMIT_NAME, STORM_OF_200));
    storm.taken_ms = 10 * MINUTE_MS;
    storm.blows_on("acme", 0..1_000);
    assert_eq!(storm.suspended().len(), 200);
    // The others go on, in the same minute and later.
    storm.taken_ms = 10 * MINUTE_MS;
    storm.blows_on("globex", 1_000..1_150);
    storm.blows_on("initech", 2_000..2_150);
    assert_eq!(storm.suspended().len(), 500);
    let from_ms = storm.taken_ms;
    for (number, tenant) in [(3, "globex"), (4, "initech"), (5, "umbrella")] {
        storm.taken_ms = from_ms;
        storm.blows_on(tenant, 1_000 * number..1_000 * number + 100);
    }
    assert_eq!(storm.suspended().len(), 700);
    let why = "more than 200 accounts were found at CRITICAL within a minute, and 0 in a usual hour: a storm";
    assert_eq!(
        storm.safeguards_said(),
        [
            format!("SAFEGUARD enforcer paused acme: {why}, 201 of them of the tenant"),
            format!("SAFEGUARD enforcer paused: {why}"),
        ]
    );
    assert_eq!((storm.tallies[&Tally::StormsFound], storm.tallies[&Tally::LimiterPaused]), (2, 2));
}

#[test]
fn who_would_not_be_acted_on_in_any_case_makes_no_storm() {
    let tenant_acme = Subject::Tenant("acme".into());
    for word in [
        listed(ListName::Protected, tenant_acme, "on"),
        setting("act.ring/3", "off"),
        posture("canary 0"),
        // Whose tenant pauses by its own cap with the first.
        setting(&record_of(LIMIT_NAME, Some("acme")), "accounts 1"),
    ] {
        let mut storm = Storm::new();
        storm.told(&posture("enforce"));
        storm.told(&setting(LIMIT_NAME, STORM_OF_200));
        storm.told(&word);
        storm.taken_ms = 10 * MINUTE_MS;
        storm.blows(0..1_000);
        assert!(!storm.tallies.contains_key(&Tally::StormsFound), "{word:?}");
        // Nobody else pays for it.
        storm.told(&posture("enforce"));
        storm.told(&setting("act.ring/3", "on"));
        storm.taken_ms = 10 * MINUTE_MS;
        let before = storm.suspended().len();
        storm.blows_on("globex", 1_000..1_198);
        assert_eq!(storm.suspended().len(), before + 198, "{word:?}");
    }
}

#[test]
fn what_piled_up_while_nothing_was_judged_is_no_storm() {
    let mut storm = Storm::new();
    storm.told(&posture("enforce"));
    storm.told(&setting(LIMIT_NAME, STORM_OF_200));
    storm.taken_ms = 60 * MINUTE_MS;
    let verdicts = (0..1_200).map(|number| {
        // Twenty a minute for an hour, all of it taken up at its end.
        let verdict = verdict(number, i64::from(number / 20) * MINUTE_MS, Tier::Critical);
        let payload = Wire::new().to_bytes(&verdict);
        Output::keyed(Topic::Verdicts, verdict.account.to_key(), payload, verdict.time_ms)
    });
    storm.epoch(Topic::Verdicts, verdicts.collect());
    assert_eq!(storm.suspended().len(), 1_200);
    assert_eq!(storm.safeguards_said(), [""; 0]);
}

#[test]
fn a_storm_is_told_where_nothing_is_acted_on_and_who_is_known_already_makes_none() {
    let mut storm = Storm::new();
    let limit = "floor 100000 share 0 accounts 0 partitions 1 tenant 1000 storm 10 times 10";
    storm.told(&setting(LIMIT_NAME, limit));
    storm.taken_ms = 10 * MINUTE_MS;
    storm.blows(0..10);
    storm.blows(10..20);
    storm.blows(20..30);
    // Whoever was found within ten minutes is not found again.
    storm.blows(0..30);
    assert_eq!(storm.safeguards_said(), [""; 0]);
    storm.blows(100..200);
    let why = "more than 10 accounts were found at CRITICAL within a minute, and 0 in a usual hour: a storm, \
               11 of them of the tenant; nothing is acted on, or the limiter would pause";
    assert_eq!(storm.safeguards_said(), [format!("SAFEGUARD enforcer storm acme: {why}")]);
    assert_eq!(storm.tallies[&Tally::StormsFound], 1);
    assert!(!storm.tallies.contains_key(&Tally::LimiterPaused));
}

#[test]
fn a_tenant_that_reaches_its_cap_pauses_alone_until_an_operator_approves_of_that() {
    let mut storm = Storm::new();
    storm.told(&posture("enforce"));
    // A fifth of the hour's 100 is one tenant's; another has a cap of its own.
    let limit = "floor 100 share 0 accounts 0 partitions 1 tenant 200 storm 45 times 10";
    storm.told(&setting(LIMIT_NAME, limit));
    storm.told(&setting(&record_of(LIMIT_NAME, Some("globex")), "accounts 30"));
    storm.taken_ms = 10 * MINUTE_MS;
    storm.blows_on("acme", 0..40);
    assert_eq!(storm.suspended().len(), 20);
    storm.blows_on("globex", 100..140);
    assert_eq!(storm.suspended().len(), 50);
    storm.blows_on("initech", 200..210);
    assert_eq!(storm.suspended().len(), 60);
    assert_eq!(storm.tallies[&Tally::LimiterPaused], 2);
    assert_eq!(storm.tallies[&Tally::WithheldByLimiter], 30);

    // Approved is what holds for all, which is nothing; then one tenant's pause.
    let approved = storm.taken_ms.to_string();
    storm.told(&setting(RESUME_NAME, &approved));
    storm.blows_on("acme", 300..305);
    assert_eq!(storm.suspended().len(), 60);
    storm.told(&setting(&record_of(RESUME_NAME, Some("acme")), &approved));
    storm.blows_on("acme", 400..405);
    storm.blows_on("globex", 500..505);
    assert_eq!(storm.suspended().len(), 65);
    let acme = "20 accounts of the tenant were acted on within an hour, which is its cap";
    assert_eq!(
        storm.safeguards_said(),
        [
            format!("SAFEGUARD enforcer paused acme: {acme}"),
            "SAFEGUARD enforcer paused globex: 30 accounts of the tenant were acted on within an hour, which is its cap".into(),
            format!("OPERATOR olga resumed acme: the pause since 600000 is over: {acme}"),
        ]
    );
}

#[test]
fn the_pause_of_a_tenant_outlives_the_build_that_began_it() {
    let rig = enforcing();
    rig.put_control(&setting(&record_of(LIMIT_NAME, Some("acme")), "accounts 8"));
    rig.put_verdicts(&[1, 2, 3].map(|number| verdict(number, 0, Tier::Critical)));
    takeover::live(&rig, false);
    rig.put_verdicts(&[4].map(|number| verdict(number, 1, Tier::Critical)));
    takeover::live(&rig, true);
    rig.put_control(&setting(&record_of(RESUME_NAME, Some("acme")), "0"));
    rig.put_verdicts(&[5].map(|number| verdict(number, 2, Tier::Critical)));
    takeover::live(&rig, true);
    expect![[r#"
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND WITHHELD: the limiter pauses until an operator approves: 2 accounts of the tenant were acted on within an hour, which is its cap
        0 SUSPEND WITHHELD: the limiter pauses until an operator approves: 2 accounts of the tenant were acted on within an hour, which is its cap
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
    "#]]
    .assert_eq(&story(&rig));
}

#[test]
fn accounts_that_make_much_of_the_traffic_pause_the_limiter_however_few_they_are() {
    let mut storm = Storm::new();
    storm.told(&posture("enforce"));
    let limit = "floor 100 share 20 accounts 1000 partitions 1 tenant 400 storm 100 times 10";
    storm.told(&setting(LIMIT_NAME, &format!("{limit} traffic 100 least 500 requests 100000")));
    storm.taken_ms = 10 * MINUTE_MS;
    storm.blow_of(1, "acme", 3_999);
    storm.blow_of(2, "acme", 1);
    // Of a tenant two fifths of a tenth.
    storm.blow_of(3, "acme", 1);
    storm.blow_of(4, "globex", 3_000);
    storm.blow_of(5, "initech", 3_000);
    storm.blow_of(6, "umbrella", 1);
    storm.taken_ms += MINUTE_MS;
    storm.told(&setting(RESUME_NAME, &storm.taken_ms.to_string()));
    storm.blow_of(7, "umbrella", 10_001);
    storm.taken_ms += 60 * MINUTE_MS;
    storm.blow_of(8, "umbrella", 10_001);
    let suspended: BTreeSet<AccountId> = [1, 2, 4, 5, 7].map(account).into();
    assert_eq!(storm.suspended(), suspended);
    let said = storm.safeguards_said();
    let all = "4 accounts were acted on within an hour that made 10000 requests in a day, and they may have made 10000";
    assert_eq!(
        said,
        [
            "SAFEGUARD enforcer paused acme: 2 accounts of the tenant were acted on within an hour that made 4000 \
             requests in a day, which is its share"
                .to_owned(),
            format!("SAFEGUARD enforcer paused: {all}"),
            format!("OPERATOR olga resumed: the pause since 600000 is over: {all}"),
            "SAFEGUARD enforcer paused: an account made 10001 requests in a day, and all that are acted on in an \
             hour may have made 10000"
                .to_owned(),
        ]
    );
}

#[test]
fn an_account_that_is_acted_on_again_within_the_hour_takes_no_second_room() {
    let mut storm = Storm::new();
    storm.told(&posture("enforce"));
    storm.told(&setting(LIMIT_NAME, "floor 10 share 0 accounts 0 partitions 1"));
    storm.told(&setting("act.ring/3", "60000 auto"));
    storm.taken_ms = MINUTE_MS;
    for _ in 0..3 {
        storm.blows(0..5);
        storm.taken_ms += 2 * MINUTE_MS;
    }
    assert_eq!((storm.suspended().len(), storm.safeguards_said().len()), (5, 0));
    storm.blows(5..10);
    assert_eq!((storm.suspended().len(), storm.safeguards_said().len()), (10, 0));
    storm.taken_ms += MINUTE_MS;
    storm.blows(10..11);
    assert_eq!((storm.suspended().len(), storm.safeguards_said().len()), (10, 1));
}

#[test]
fn a_pause_outlives_the_build_that_began_it_and_so_do_the_lists() {
    let rig = enforcing();
    rig.put_control(&setting(LIMIT_NAME, "floor 2 share 0 accounts 0 partitions 1"));
    rig.put_control(&protect(5));
    rig.put_verdicts(&[1, 2, 3].map(|number| verdict(number, 0, Tier::Critical)));
    takeover::live(&rig, false);
    rig.put_verdicts(&[4, 5].map(|number| verdict(number, 1, Tier::Critical)));
    takeover::live(&rig, true);
    rig.put_control(&setting(RESUME_NAME, "0"));
    rig.put_verdicts(&[6].map(|number| verdict(number, 2, Tier::Critical)));
    takeover::live(&rig, true);
    expect![[r#"
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
        0 SUSPEND WITHHELD: the limiter pauses until an operator approves: 2 accounts were acted on within an hour, which is the cap
        0 SUSPEND WITHHELD: the limiter pauses until an operator approves: 2 accounts were acted on within an hour, which is the cap
        0 SUSPEND WITHHELD: the account is protected
        0 SUSPEND PENDING: tier CRITICAL, score 0.900
    "#]]
    .assert_eq(&story(&rig));
}

/// What an enforcer with another state did: account 1 is suspended until a person undoes it, and slowed down;
/// and what the word of an operator names who looks that up.
fn elsewhere() -> Vec<Action> {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    rig.enforce_live(&[verdict(1, 0, Tier::Medium), verdict(1, 0, Tier::Critical)]);
    rig.actions().into_iter().filter(|action| action.state == ActionState::Done).collect()
}

fn reinstate(rig: &Rig, named: &[Action], partition: u32) {
    let named = named.iter().map(|action| (partition, action.clone())).collect();
    let word = Reinstated { subject: Subject::Account(account(1)), named };
    rig.put_control(&control(ControlKind::Setting, REINSTATE_NAME, &word.body()));
}

#[test]
fn what_the_log_names_is_undone_by_an_enforcer_whose_state_knows_nothing_of_it() {
    let named = elsewhere();
    let rig = Rig::new(2);
    rig.calendar.set(MINUTE_MS);
    reinstate(&rig, &named, 1);
    rig.enforce();
    let undone = rig.actions();
    let states: Vec<_> = undone.iter().map(|action| (action.kind, action.state, &*action.reason)).collect();
    let reason = "an operator undid it; the enforcer's state knew nothing of it, and the log did";
    assert_eq!(
        states,
        [
            (ActionKind::RateLimit, ActionState::Reverted, reason),
            (ActionKind::Suspend, ActionState::Reverted, reason)
        ]
    );
    let ids = |actions: &[Action]| actions.iter().map(|action| action.action_id).collect::<BTreeSet<_>>();
    assert_eq!(ids(&undone), ids(&named));
    let standings = rig.all::<Standing>(Topic::Standing);
    let last = standings.last().unwrap();
    assert_eq!((last.account, last.status, last.since_ms), (account(1), StandingStatus::Good, MINUTE_MS));
    // In the chain of the partition that has the account: first who asked for what, then what came of it.
    let audits = audits(&rig.log);
    let of_word: Vec<_> = audits.iter().filter(|audit| audit.outcome == "reinstated").collect();
    assert_eq!(of_word.len(), 2, "every enforcer hears it");
    for action in &named {
        let name = format!("{} {}", action.kind, action.action_id);
        assert!(of_word.iter().all(|audit| audit.reason.contains(&name)), "{}", of_word[0].reason);
    }
    let place = |outcome: &str| audits.iter().position(|audit| audit.outcome == outcome).unwrap();
    assert_eq!(audits.iter().filter(|audit| audit.outcome == "reverted").count(), 2);
    assert!(place("reinstated") < place("reverted"));
    rig.calendar.set(MINUTE_MS + 24 * 60 * MINUTE_MS);
    rig.enforce();
    assert_eq!(rig.all::<Standing>(Topic::Standing), [], "nothing of it stays");
}

#[test]
fn what_the_state_knows_is_undone_once_whether_or_not_it_is_named() {
    for is_named in [false, true] {
        let rig = Rig::new(1);
        rig.put_control(&posture("enforce"));
        rig.enforce_live(&[verdict(1, 0, Tier::Critical)]);
        let done = rig.actions().into_iter().filter(|action| is_named && action.state == ActionState::Done);
        reinstate(&rig, &done.collect::<Vec<_>>(), 0);
        rig.enforce();
        expect![[r#"
            0 SUSPEND PENDING: tier CRITICAL, score 0.900
            0 SUSPEND DONE until 10: told by test
            0 SUSPEND REVERTED until 10: an operator undid it
        "#]]
        .assert_eq(&story(&rig));
    }
}

#[test]
fn a_word_that_names_what_cannot_be_in_force_is_refused_and_undoes_nothing() {
    let named = elsewhere();
    let rig = Rig::new(1);
    let forged = Action { action_id: ActionId([9; 16]), ..named[0].clone() };
    reinstate(&rig, &[forged], 0);
    rig.enforce();
    assert_eq!((rig.actions().len(), rig.log.all(Topic::Standing).len()), (0, 0));
    let refused = audits(&rig.log).pop().unwrap();
    assert_eq!(refused.kind, AuditKind::Refusal);
    assert!(refused.reason.contains("can be in force"), "{}", refused.reason);
    assert_eq!(rig.log.all(Topic::Dlq).len(), 1);
}
