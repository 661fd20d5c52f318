//! Who is believed, and for what a word is refused: each refusal by its name.

use super::words::PERSONS_NAME;
use super::*;
use crate::limits::{GLASS_LASTS_MS, GLASS_REST_MS, REQUEST_AHEAD_MS, REQUEST_KNOWN_MS, REQUEST_LASTS_MS};
use crate::testing::{approval, everybody, person_key, persons, request, root};
use PersonRole::{Operations, Security, Sre};
use RequestKind::{BreakGlass, EmergencyShutdown, EnableAuditOnly, FlushJournal, RestoreNormal};
use proptest::prelude::*;
use serde::Serialize;

const NOW_MS: i64 = 1_790_000_000_000;

/// A kill switch that knows everybody.
fn known() -> KillSwitch {
    let mut switch = KillSwitch::new(Some(root().public()));
    assert_eq!(say(&mut switch, PERSONS_NAME, &everybody(), NOW_MS), "9 persons, version 1");
    switch
}

/// Says a word, and what was made of it.
fn say(switch: &mut KillSwitch, name: &str, word: &impl Serialize, heard_ms: i64) -> String {
    let before = switch.clone();
    match switch.hear(name, &serde_json::to_string(word).unwrap(), heard_ms) {
        Ok(heard) => {
            let told = heard.to_string();
            switch.follow(heard);
            told
        }
        Err(refused) => {
            assert_eq!(*switch, before);
            refused.to_string()
        }
    }
}

fn ask(switch: &mut KillSwitch, request: &Request, heard_ms: i64) -> String {
    say(switch, &request.record_name(), request, heard_ms)
}

fn approve(switch: &mut KillSwitch, approval: &Approval, heard_ms: i64) -> String {
    say(switch, &approval.record_name(), approval, heard_ms)
}

#[test]
fn tightening_takes_one_person_and_a_shutdown_two_others_than_who_asks() {
    let mut switch = known();
    let told = ask(&mut switch, &request(EnableAuditOnly, "olga", NOW_MS, 1), NOW_MS);
    assert_eq!(
        told,
        "enable_audit_only, request ks-1790000000-01010101, asked for by olga, approved by olga as operations: ticket 4711"
    );
    assert!(switch.is_on(NOW_MS));
    ask(&mut switch, &request(RestoreNormal, "otto", NOW_MS, 2), NOW_MS);
    assert!(!switch.is_on(NOW_MS));

    let shutdown = request(EmergencyShutdown, "olga", NOW_MS, 3);
    ask(&mut switch, &shutdown, NOW_MS);
    assert!(!switch.is_on(NOW_MS), "asking does nothing");
    let told = approve(&mut switch, &approval(&shutdown, Security, "sam"), NOW_MS + 1);
    assert_eq!(told, "request ks-1790000000-03030303, approved by sam as security");
    assert!(!switch.is_on(NOW_MS), "one person does nothing");
    approve(&mut switch, &approval(&shutdown, Sre, "rita"), NOW_MS + 2);
    assert_eq!(
        switch.withholds(NOW_MS).unwrap(),
        "the kill switch is on: emergency_shutdown, request ks-1790000000-03030303"
    );
}

#[test]
fn who_asks_without_the_role_needs_somebody_who_has_it() {
    let mut switch = known();
    let audit_only = request(EnableAuditOnly, "sam", NOW_MS, 1);
    ask(&mut switch, &audit_only, NOW_MS);
    assert!(!switch.is_on(NOW_MS));
    approve(&mut switch, &approval(&audit_only, Operations, "otto"), NOW_MS);
    assert!(switch.is_on(NOW_MS));
}

#[test]
fn what_is_forged_is_refused_by_name() {
    let mut switch = known();
    let sound = request(EmergencyShutdown, "olga", NOW_MS, 1);
    // Another key under a known name, and a changed word under its signature.
    let by_another = Request { requester: "sam".into(), ..sound.clone() };
    assert_eq!(ask(&mut switch, &by_another, NOW_MS), "forged: this is not what sam signed");
    let changed = Request { request_type: EnableAuditOnly, ..sound.clone() };
    assert_eq!(ask(&mut switch, &changed, NOW_MS), "forged: this is not what olga signed");
    let longer =
        Request { created_ms: sound.created_ms + 1, expires_ms: sound.expires_ms + 1, ..sound.clone() };
    assert_eq!(ask(&mut switch, &longer, NOW_MS), "forged: this is not what olga signed");
    let by_nobody = request(EmergencyShutdown, "mallory", NOW_MS, 1);
    assert_eq!(ask(&mut switch, &by_nobody, NOW_MS), "unknown person: mallory is not among the persons");
    // Signed for another deployment, whose root key is another one.
    let other_root = PersonKey::new(&[78; 32]).public();
    let elsewhere = Request::signed(
        EmergencyShutdown,
        "olga",
        "ticket 4711",
        NOW_MS,
        [1; 4],
        &person_key("olga"),
        &other_root,
    );
    assert_eq!(ask(&mut switch, &elsewhere, NOW_MS), "forged: this is not what olga signed");

    ask(&mut switch, &sound, NOW_MS);
    let mut forged = approval(&sound, Security, "sam");
    forged.approver = "sue".into();
    assert_eq!(approve(&mut switch, &forged, NOW_MS), "forged: this is not what sue signed");
    // The person's own signature, over another payload of the same id.
    let other = Request { reason: "another".into(), ..request(EmergencyShutdown, "olga", NOW_MS, 1) };
    let other = Request::signed(
        EmergencyShutdown,
        "olga",
        &other.reason,
        NOW_MS,
        [1; 4],
        &person_key("olga"),
        &root().public(),
    );
    assert_eq!(
        approve(&mut switch, &approval(&other, Security, "sam"), NOW_MS),
        "forged: it approves of another payload than that of request ks-1790000000-01010101"
    );
    assert!(!switch.is_on(NOW_MS));
}

#[test]
fn what_is_expired_or_of_the_future_is_refused_on_every_path() {
    let mut switch = known();
    let late_ms = NOW_MS + REQUEST_LASTS_MS + 1;
    let alone = request(EnableAuditOnly, "olga", NOW_MS, 1);
    assert_eq!(
        ask(&mut switch, &alone, late_ms),
        "expired: request ks-1790000000-01010101 was good until 1790000600000, and this came at 1790000600001"
    );
    let shutdown = request(EmergencyShutdown, "olga", NOW_MS, 2);
    ask(&mut switch, &shutdown, NOW_MS);
    approve(&mut switch, &approval(&shutdown, Security, "sam"), NOW_MS);
    let last = approve(&mut switch, &approval(&shutdown, Sre, "rita"), late_ms);
    assert!(last.starts_with("expired: request ks-1790000000-02020202"), "{last}");
    let early = request(EnableAuditOnly, "olga", NOW_MS + REQUEST_AHEAD_MS + 1, 3);
    let told = ask(&mut switch, &early, NOW_MS);
    assert!(told.starts_with("from the future: request ks-1790000300-03030303"), "{told}");
    assert!(!switch.is_on(NOW_MS) && !switch.is_on(late_ms));
}

#[test]
fn what_was_said_before_is_refused_by_name_and_done_once() {
    let mut switch = known();
    let audit_only = request(EnableAuditOnly, "olga", NOW_MS, 1);
    ask(&mut switch, &audit_only, NOW_MS);
    ask(&mut switch, &request(RestoreNormal, "otto", NOW_MS, 2), NOW_MS);
    let again = ask(&mut switch, &audit_only, NOW_MS + 1);
    assert_eq!(again, "replayed: request ks-1790000000-01010101 was made before");
    let shutdown = request(EmergencyShutdown, "olga", NOW_MS, 3);
    ask(&mut switch, &shutdown, NOW_MS);
    let by_sam = approval(&shutdown, Security, "sam");
    approve(&mut switch, &by_sam, NOW_MS);
    assert_eq!(
        approve(&mut switch, &by_sam, NOW_MS),
        "replayed: the role security has approved of ks-1790000000-03030303 before"
    );
    let by_rita = approval(&shutdown, Sre, "rita");
    approve(&mut switch, &by_rita, NOW_MS);
    ask(&mut switch, &request(RestoreNormal, "otto", NOW_MS, 4), NOW_MS);
    assert_eq!(
        approve(&mut switch, &by_rita, NOW_MS),
        "replayed: request ks-1790000000-03030303 was carried out before"
    );
    assert!(!switch.is_on(NOW_MS));
}

#[test]
fn who_approves_is_neither_who_asks_nor_one_for_two_roles_nor_somebody_without_the_role() {
    let mut switch = known();
    let by_max = request(EmergencyShutdown, "max", NOW_MS, 1);
    ask(&mut switch, &by_max, NOW_MS);
    assert_eq!(
        approve(&mut switch, &approval(&by_max, Security, "max"), NOW_MS),
        "self-approved: max asked for it, and another person must approve"
    );
    let by_olga = request(EmergencyShutdown, "olga", NOW_MS, 2);
    ask(&mut switch, &by_olga, NOW_MS);
    approve(&mut switch, &approval(&by_olga, Security, "max"), NOW_MS);
    assert_eq!(
        approve(&mut switch, &approval(&by_olga, Sre, "max"), NOW_MS),
        "one person: max has approved as security already, and each role must be another person"
    );
    assert_eq!(
        approve(&mut switch, &approval(&by_olga, Sre, "sam"), NOW_MS),
        "wrong role: sam does not have the role sre"
    );
    assert_eq!(
        approve(&mut switch, &approval(&by_olga, Operations, "otto"), NOW_MS),
        "wrong role: emergency_shutdown needs no approval of the role operations"
    );
    let nobody_asked = request(EmergencyShutdown, "olga", NOW_MS, 9);
    assert_eq!(
        approve(&mut switch, &approval(&nobody_asked, Sre, "rita"), NOW_MS),
        "unknown request: ks-1790000000-09090909 is not open"
    );
    assert!(!switch.is_on(NOW_MS));
}

#[test]
fn persons_are_who_the_root_key_says_and_distinct_by_key() {
    let mut switch = KillSwitch::new(Some(root().public()));
    let first = request(EnableAuditOnly, "olga", NOW_MS, 1);
    let none = "no persons: publish who they are first (`weir kill-switch persons publish`)";
    assert_eq!(ask(&mut switch, &first, NOW_MS), none);
    let of_another = Persons::signed(1, everybody().persons, &PersonKey::new(&[78; 32])).unwrap();
    assert_eq!(
        say(&mut switch, PERSONS_NAME, &of_another, 0),
        "forged: this is not what the root key signed"
    );
    let mut longer = everybody();
    longer.persons[0].roles.push(Sre);
    assert_eq!(say(&mut switch, PERSONS_NAME, &longer, 0), "forged: this is not what the root key signed");
    let mut twice = everybody().persons;
    twice[1].public_key = twice[0].public_key.clone();
    let told = Persons::signed(1, twice, &root()).unwrap_err().to_string();
    assert_eq!(told, "malformed: sue is there twice, by name or by key");

    let mut switch = known();
    let shutdown = request(EmergencyShutdown, "olga", NOW_MS, 2);
    ask(&mut switch, &shutdown, NOW_MS);
    approve(&mut switch, &approval(&shutdown, Security, "sam"), NOW_MS);
    let fewer = persons(2, &[("olga", &[Operations]), ("rita", &[Sre])]);
    say(&mut switch, PERSONS_NAME, &fewer, NOW_MS);
    // Sam is nobody any more, and what he approved of is not open.
    let told = approve(&mut switch, &approval(&shutdown, Sre, "rita"), NOW_MS);
    assert_eq!(told, "unknown request: ks-1790000000-02020202 is not open");
    let back = say(&mut switch, PERSONS_NAME, &everybody(), NOW_MS);
    assert_eq!(back, "rolled back: version 1 of the persons is not after version 2, which is in force");
    let mut blind = KillSwitch::new(None);
    let told = say(&mut blind, PERSONS_NAME, &everybody(), NOW_MS);
    assert!(told.starts_with("no root: "), "{told}");
}

#[test]
fn the_glass_mends_by_itself_and_is_not_broken_again_by_the_same_person() {
    let mut switch = known();
    ask(&mut switch, &request(BreakGlass, "rita", NOW_MS, 1), NOW_MS);
    let over_ms = NOW_MS + GLASS_LASTS_MS;
    assert!(switch.is_on(NOW_MS) && switch.is_on(over_ms - 1) && !switch.is_on(over_ms));
    assert_eq!((switch.mend(over_ms - 1), switch.mend(over_ms).unwrap().until_ms), (None, over_ms));
    let again = request(BreakGlass, "rita", over_ms, 2);
    assert_eq!(
        ask(&mut switch, &again, over_ms),
        "too soon: rita broke the glass less than 24 h ago, and another person must"
    );
    ask(&mut switch, &request(BreakGlass, "ron", over_ms, 3), over_ms);
    assert!(switch.is_on(over_ms));
    ask(&mut switch, &request(RestoreNormal, "olga", over_ms, 4), over_ms);
    assert!(!switch.is_on(over_ms), "what was relaxed, one person tightens again");
    let rested_ms = NOW_MS + GLASS_REST_MS;
    ask(&mut switch, &request(BreakGlass, "rita", rested_ms, 5), rested_ms);
    assert!(switch.is_on(rested_ms));
}

#[test]
fn a_flush_takes_three_persons() {
    let mut switch = known();
    let flush = request(FlushJournal, "sue", NOW_MS, 1);
    ask(&mut switch, &flush, NOW_MS);
    for (role, by) in [(Security, "sam"), (Operations, "otto")] {
        approve(&mut switch, &approval(&flush, role, by), NOW_MS);
        assert_eq!(switch.sweep(), None);
    }
    approve(&mut switch, &approval(&flush, Sre, "ron"), NOW_MS);
    assert_eq!(switch.sweep().unwrap().of, SweepOf::Waiting);
    assert!(!switch.is_on(NOW_MS), "it is done once, and nothing is withheld after it");
}

#[test]
fn what_an_emergency_still_ends_no_lesser_word_leaves() {
    let mut switch = known();
    ask(&mut switch, &request(BreakGlass, "rita", NOW_MS, 1), NOW_MS);
    ask(&mut switch, &request(EnableAuditOnly, "olga", NOW_MS, 2), NOW_MS);
    assert_eq!(switch.sweep().unwrap().of, SweepOf::All);
}

#[test]
fn requests_are_bounded_and_those_over_time_make_room() {
    let mut switch = KillSwitch::new(Some(root().public()));
    let names: Vec<String> = (0..9).map(|number| format!("person-{number}")).collect();
    let all: Vec<(&str, &[PersonRole])> =
        names.iter().map(|name| (name.as_str(), [Operations].as_slice())).collect();
    say(&mut switch, PERSONS_NAME, &persons(1, &all), NOW_MS);
    for number in 0..32 {
        let by = &names[usize::from(number) / 4];
        ask(&mut switch, &request(EmergencyShutdown, by, NOW_MS, number), NOW_MS);
    }
    assert_eq!(switch.open().count(), 32);
    let one_more = request(EmergencyShutdown, "person-8", NOW_MS, 99);
    assert_eq!(ask(&mut switch, &one_more, NOW_MS), "too many: 32 requests are open");
    let later_ms = NOW_MS + REQUEST_LASTS_MS + 1;
    ask(&mut switch, &request(EmergencyShutdown, "person-0", later_ms, 100), later_ms);
    assert_eq!(switch.open().count(), 1);
}

#[test]
fn analysts_may_not_ask_and_take_no_room() {
    let mut switch = known();
    let told = ask(&mut switch, &request(EmergencyShutdown, "anna", NOW_MS, 1), NOW_MS);
    assert_eq!(told, "wrong role: anna is only an analyst, who may not ask the kill switch for anything");
    let both = persons(2, &[("anna", &[PersonRole::Analyst, Sre])]);
    say(&mut switch, PERSONS_NAME, &both, NOW_MS);
    ask(&mut switch, &request(EmergencyShutdown, "anna", NOW_MS, 2), NOW_MS);
    assert_eq!(switch.open().count(), 1, "who has another role may");
}

#[test]
fn another_list_of_persons_keeps_what_those_asked_and_approved_who_are_the_same() {
    let mut switch = known();
    let [kept, withdrawn, unapproved] = [("olga", 1), ("otto", 2), ("rita", 3)]
        .map(|(by, number)| request(EmergencyShutdown, by, NOW_MS, number));
    for request in [&kept, &withdrawn, &unapproved] {
        ask(&mut switch, request, NOW_MS);
    }
    approve(&mut switch, &approval(&kept, Security, "sam"), NOW_MS);
    approve(&mut switch, &approval(&unapproved, Security, "sue"), NOW_MS);
    // Ada comes; Otto and Sue have other roles.
    let others = persons(
        2,
        &[
            ("ada", &[PersonRole::Analyst]),
            ("sam", &[Security]),
            ("sue", &[Operations]),
            ("otto", &[Sre]),
            ("olga", &[Operations]),
            ("rita", &[Sre]),
        ],
    );
    say(&mut switch, PERSONS_NAME, &others, NOW_MS);
    let open: Vec<&str> = switch.open().map(|open| &*open.request.request_id).collect();
    assert_eq!(open, [&*kept.request_id]);
    approve(&mut switch, &approval(&kept, Sre, "rita"), NOW_MS);
    assert!(switch.is_on(NOW_MS), "the approval from before counts");
}

#[test]
fn one_person_cannot_take_the_room_of_all() {
    let mut switch = known();
    for number in 0..4 {
        ask(&mut switch, &request(EmergencyShutdown, "olga", NOW_MS, number), NOW_MS);
    }
    let one_more = request(EmergencyShutdown, "olga", NOW_MS, 4);
    assert_eq!(ask(&mut switch, &one_more, NOW_MS), "too many: 4 requests of olga are open");
    ask(&mut switch, &request(EmergencyShutdown, "sam", NOW_MS, 5), NOW_MS);
    assert_eq!(switch.open().count(), 5);
}

#[test]
fn one_person_cannot_do_more_than_can_be_known_of() {
    let mut switch = known();
    let at = |second: i64| NOW_MS + second * 1_000;
    for second in 0..256 {
        ask(&mut switch, &request(EnableAuditOnly, "olga", at(second), 1), at(second));
    }
    assert_eq!(
        ask(&mut switch, &request(RestoreNormal, "olga", at(256), 1), at(256)),
        "too many: 256 requests of olga were carried out within little more than an hour"
    );
    // Another person is none the worse for it, and the oldest is forgotten in the end.
    ask(&mut switch, &request(RestoreNormal, "otto", at(256), 2), at(256));
    assert!(!switch.is_on(at(256)));
    let later_ms = NOW_MS + REQUEST_LASTS_MS + REQUEST_KNOWN_MS + 1;
    ask(&mut switch, &request(EnableAuditOnly, "olga", later_ms, 3), later_ms);
    assert!(switch.is_on(later_ms));
}

#[test]
fn what_is_known_survives_a_snapshot() {
    let mut switch = known();
    ask(&mut switch, &request(EmergencyShutdown, "olga", NOW_MS, 1), NOW_MS);
    ask(&mut switch, &request(BreakGlass, "rita", NOW_MS, 2), NOW_MS);
    let mut other = KillSwitch::new(Some(root().public()));
    other.restore(&switch.encode()).unwrap();
    assert_eq!(other, switch);
    assert!(other.restore(b"{}x").is_err());
}

#[test]
fn persons_of_an_older_root_are_nobody_and_what_they_did_stays_done() {
    let mut switch = known();
    ask(&mut switch, &request(EmergencyShutdown, "olga", NOW_MS, 1), NOW_MS);
    ask(&mut switch, &request(BreakGlass, "rita", NOW_MS, 2), NOW_MS);
    ask(&mut switch, &request(EnableAuditOnly, "otto", NOW_MS, 3), NOW_MS);
    for root in [Some(PersonKey::new(&[78; 32]).public()), None] {
        let mut other = KillSwitch::new(root);
        other.restore(&switch.encode()).unwrap();
        assert_eq!((other.persons(), other.open().count()), (None, 0));
        assert_eq!((other.switched(), other.glass(NOW_MS)), (switch.switched(), switch.glass(NOW_MS)));
        assert_eq!(other.sweep(), switch.sweep());
        let told = ask(&mut other, &request(RestoreNormal, "olga", NOW_MS, 4), NOW_MS);
        assert!(told.starts_with("no persons") || told.starts_with("no root"), "{told}");
        assert!(other.is_on(NOW_MS));
    }
}

#[test]
fn a_state_that_does_not_say_who_asked_is_read() {
    let mut switch = known();
    let audit_only = request(EnableAuditOnly, "olga", NOW_MS, 1);
    ask(&mut switch, &audit_only, NOW_MS);
    let mut state: serde_json::Value = serde_json::from_slice(&switch.encode()).unwrap();
    state["settled"][&audit_only.request_id] = audit_only.expires_ms.into();
    let mut other = KillSwitch::new(Some(root().public()));
    other.restore(state.to_string().as_bytes()).unwrap();
    let again = ask(&mut other, &audit_only, NOW_MS + 1);
    assert_eq!(again, "replayed: request ks-1790000000-01010101 was made before");
}

proptest! {
    #[test]
    fn no_word_that_was_changed_anywhere_switches_anything(place in 0usize..2_000, byte in any::<u8>()) {
        let mut switch = known();
        let sound = request(EnableAuditOnly, "olga", NOW_MS, 1);
        let mut body = serde_json::to_vec(&sound).unwrap();
        let place = place % body.len();
        prop_assume!(body[place] != byte);
        body[place] = byte;
        let Ok(body) = String::from_utf8(body) else { return Ok(()) };
        // A changed word may still say the same, as where a digit is written otherwise; then it is the same
        // word.
        let says_the_same = serde_json::from_str::<Request>(&body).is_ok_and(|changed| changed == sound);
        match switch.hear(&sound.record_name(), &body, NOW_MS) {
            Ok(heard) => {
                prop_assert!(says_the_same);
                switch.follow(heard);
            }
            Err(_) => prop_assert!(!says_the_same),
        }
    }
}
