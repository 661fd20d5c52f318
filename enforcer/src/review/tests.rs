//! Which words are believed, and what becomes of an item.

use super::decision::Decision;
use super::item::Note;
use super::labels;
use super::words::{Says, Word};
use super::{Item, Queue};
use crate::kill_switch::PersonRole;
use crate::limits::{
    REQUEST_KNOWN_MS, REQUEST_LASTS_MS, REVIEW_KEPT_MS, REVIEW_MS, REVIEW_NOTES_MAX, REVIEW_URGENT_MS,
    REVIEW_WORDS_MAX, REVIEWS_MAX,
};
use crate::testing::{account, everybody, person_key, persons, review_decision, review_word, root, verdict};
use Decision::{Confirmed, Refuted, Unclear};
use expect_test::expect;
use proptest::prelude::*;
use weir_schemas::{Action, ActionId, ActionKind, Tier, VerdictId};

fn action(number: u32, taken_ms: i64, tier: Tier) -> Action {
    let verdict = verdict(number, taken_ms, tier);
    Action {
        action_id: ActionId::of(verdict.verdict_id, ActionKind::Review),
        verdict_id: verdict.verdict_id,
        account: account(number),
        tenant: "acme".into(),
        kind: ActionKind::Review,
        taken_ms,
        ..Action::default()
    }
}

/// A queue in which accounts 1 and 2 wait since the epoch: at HIGH and at MEDIUM.
fn queue() -> (Queue, ActionId, ActionId) {
    let mut queue = Queue::default();
    let (high, medium) = (action(1, 0, Tier::High), action(2, 0, Tier::Medium));
    queue.open(&high, Tier::High);
    queue.open(&medium, Tier::Medium);
    (queue, high.action_id, medium.action_id)
}

/// The decision on an item of which all was seen.
fn decision(queue: &Queue, item: ActionId, decision: Decision, by: &str, at_ms: i64, number: u8) -> Word {
    review_decision((item, queue.get(item).unwrap().latest_verdict_id), decision, by, at_ms, number)
}

/// What a word comes to that the log takes at `heard_ms`, and follows it.
fn say_at(queue: &mut Queue, word: &Word, heard_ms: i64) -> String {
    let body = serde_json::to_string(word).unwrap();
    let named = (&*word.record_name(), &*body);
    match queue.hear(named, heard_ms, Some(root().public()), Some(&everybody())) {
        Ok(Some(heard)) => {
            queue.follow(&heard);
            format!("{}: {}", heard.outcome(), heard.reason())
        }
        Ok(None) => "of another queue".into(),
        Err(refused) => refused.to_string(),
    }
}

fn say(queue: &mut Queue, word: &Word) -> String {
    say_at(queue, word, word.created_ms)
}

#[test]
fn an_account_is_assigned_noted_and_decided_and_may_be_decided_otherwise() {
    let (mut queue, item, _) = queue();
    let words = [
        review_word(item, Says::Assign(Some("ben".into())), "anna", 1_000, 1),
        review_word(item, Says::Note, "ben", 2_000, 2),
        review_word(item, Says::Assign(None), "ben", 3_000, 3),
        decision(&queue, item, Unclear, "ben", 4_000, 4),
        review_word(item, Says::Assign(Some("anna".into())), "ben", 5_000, 5),
        decision(&queue, item, Unclear, "anna", 6_000, 6),
        decision(&queue, item, Refuted, "anna", 7_000, 7),
        review_word(item, Says::Note, "anna", 8_000, 8),
    ];
    let said: Vec<String> = words.iter().map(|word| say(&mut queue, word)).collect();
    expect![[r#"
        review_assigned: word rv-1-01010101, by anna to ben
        review_noted: word rv-2-02020202, by ben: seen in ticket 12
        review_assigned: word rv-3-03030303, by ben to nobody
        review_unclear: word rv-4-04040404, by ben: seen in ticket 12
        decided already: nobody needs to look at it
        decided already: unclear, by ben
        review_refuted: word rv-7-07070707, by anna: seen in ticket 12
        review_noted: word rv-8-08080808, by anna: seen in ticket 12"#]]
    .assert_eq(&said.join("\n"));
    let Item { assignee, decided, notes, .. } = queue.get(item).unwrap();
    let decided = decided.as_ref().unwrap();
    assert_eq!((assignee, decided.decision, &*decided.by, decided.at_ms), (&None, Refuted, "anna", 7_000));
    let note = |by: &str, at_ms| Note { by: by.into(), at_ms, text: "seen in ticket 12".into() };
    assert_eq!(*notes, [note("ben", 2_000), note("anna", 8_000)]);
    assert_eq!((queue.waiting(), queue.overdue()), (1, 0));
}

#[test]
fn what_is_forged_unsigned_expired_replayed_or_not_theirs_is_refused_by_name() {
    let (mut queue, item, _) = queue();
    let seen = queue.get(item).unwrap().latest_verdict_id;
    let confirm = |by, created_ms, number| review_decision((item, seen), Confirmed, by, created_ms, number);
    let now_ms = 20 * 60_000;
    let word = confirm("anna", now_ms, 1);
    let in_the_name_of = |by: &str| Word { by: by.into(), ..word.clone() };
    let refused = [
        in_the_name_of("ben"),
        Word { says: Says::Decide(Refuted), ..word.clone() },
        Word { text: "another reason".into(), ..word.clone() },
        Word { signature: String::new(), ..word.clone() },
        in_the_name_of("mallory"),
        confirm("max", now_ms, 2),
        confirm("anna", now_ms - REQUEST_LASTS_MS - 1, 3),
        confirm("anna", now_ms + 600_000, 4),
        Word { expires_ms: word.expires_ms + 1, ..word.clone() },
        Word { word_id: "rv-1-01010101".into(), ..word.clone() },
        Word { text: " ".into(), ..word.clone() },
        Word { seen: Some(VerdictId([9; 16])), ..word.clone() },
        Word { seen: None, ..word.clone() },
        review_word(item, Says::Assign(Some("olga".into())), "anna", now_ms, 5),
        review_word(item, Says::Assign(Some("mallory".into())), "anna", now_ms, 6),
    ];
    let before = queue.clone();
    let said: Vec<String> = refused.iter().map(|word| say_at(&mut queue, word, now_ms)).collect();
    expect![[r#"
        forged: this is not what ben signed
        forged: this is not what anna signed
        forged: this is not what anna signed
        forged: this is not what anna signed
        unknown person: mallory is not among the persons
        wrong role: max does not have the role analyst
        expired: word rv-599-03030303 was good until 1199999, and this came at 1200000
        from the future: word rv-1800-04040404 was said at 1800000, and this came at 1200000
        malformed: a word is good for ten minutes, no less and no more
        malformed: the word's id is not rv-, the second in which it was said, and 8 hex digits
        malformed: a note or a reason has 1 to 512 bytes on one line
        forged: this is not what anna signed
        malformed: a decision, and nothing else, names the latest verdict that was seen
        wrong role: olga does not have the role analyst
        unknown person: mallory is not among the persons"#]]
    .assert_eq(&said.join("\n"));
    assert_eq!(queue, before, "nothing of it changes anything");

    assert!(say_at(&mut queue, &word, now_ms).starts_with("review_confirmed"));
    assert_eq!(say_at(&mut queue, &word, now_ms + 1), "replayed: word rv-1200-01010101 was said before");
    let body = serde_json::to_string(&word).unwrap();
    let hear =
        |name: &str, root, persons| queue.hear((name, &body), now_ms, root, persons).unwrap_err().to_string();
    let (name, root_key, known) = (word.record_name(), root().public(), everybody());
    let other = persons(2, &[("anna", &[PersonRole::Security])]);
    assert_eq!(
        [
            hear(&name, None, Some(&known)),
            hear(&name, Some(root_key), None),
            hear("review/another", Some(root_key), Some(&known)),
            hear(&name, Some(root_key), Some(&other)),
            hear(&name, Some([9; 32]), Some(&known)),
        ],
        [
            "no root: this enforcer was given no sign.pub, so it can believe nobody",
            "no persons: publish who they are first (`weir kill-switch persons publish`)",
            "malformed: the record's name is not that of its body",
            "wrong role: anna does not have the role analyst",
            "forged: this is not what anna signed",
        ]
    );
}

#[test]
fn a_word_about_what_another_enforcer_has_is_that_ones_business() {
    let (mut queue, ..) = queue();
    let elsewhere = ActionId::of(VerdictId([9; 16]), ActionKind::Review);
    let word = review_word(elsewhere, Says::Note, "anna", 0, 1);
    assert_eq!(say(&mut queue, &word), "of another queue");
    assert_eq!(say(&mut queue, &Word { by: "ben".into(), ..word }), "forged: this is not what ben signed");
}

#[test]
fn a_decision_is_of_what_was_seen_and_of_the_item_that_waits() {
    let (mut queue, first, _) = queue();
    let before = decision(&queue, first, Refuted, "anna", 1_000, 1);
    let later = action(1, 500, Tier::High);
    queue.open(&later, Tier::High);
    assert_eq!(
        say(&mut queue, &before),
        format!("not seen: verdict {} came since, look at the item again", later.verdict_id)
    );
    let confirmed = decision(&queue, first, Confirmed, "anna", 2_000, 2);
    assert!(say(&mut queue, &confirmed).starts_with("review_confirmed"));
    // The account is found again: what is in force now is a question of its own.
    let anew = action(1, 3_000, Tier::Critical);
    queue.open(&anew, Tier::Critical);
    let otherwise = decision(&queue, first, Refuted, "anna", 4_000, 3);
    assert_eq!(
        say(&mut queue, &otherwise),
        format!("asked anew: item {} of the same account is newer, decide on that", anew.action_id)
    );
    let refuted = decision(&queue, anew.action_id, Refuted, "anna", 5_000, 4);
    assert!(say(&mut queue, &refuted).starts_with("review_refuted"));
    let otherwise = decision(&queue, first, Refuted, "anna", 6_000, 5);
    assert!(say(&mut queue, &otherwise).starts_with("asked anew"), "the newer decision stands");
    assert!(!queue.is_confirmed(anew.account));
    let otherwise = decision(&queue, anew.action_id, Confirmed, "anna", 7_000, 6);
    assert!(say(&mut queue, &otherwise).starts_with("review_confirmed"));
    assert!(queue.is_confirmed(anew.account) && !queue.is_confirmed(action(9, 0, Tier::High).account));
}

#[test]
fn grave_accounts_are_due_in_a_day_others_in_three_and_one_that_turns_grave_earlier() {
    let (mut queue, high, medium) = queue();
    let due = |queue: &Queue, id| queue.get(id).unwrap().due_ms;
    assert_eq!((due(&queue, high), due(&queue, medium)), (REVIEW_URGENT_MS, REVIEW_MS));
    assert_eq!(queue.due_ms(), Some(REVIEW_URGENT_MS));
    assert!(queue.fall_due(REVIEW_URGENT_MS - 1).is_empty());
    assert_eq!(
        queue.fall_due(REVIEW_URGENT_MS).iter().map(|item| item.action_id).collect::<Vec<_>>(),
        [high]
    );
    assert!(queue.fall_due(REVIEW_URGENT_MS).is_empty(), "it is told once");
    assert_eq!((queue.waiting(), queue.overdue(), queue.due_ms()), (2, 1, Some(REVIEW_MS)));

    // It joins what waits: one account is one question.
    let later = action(2, 30 * 3_600_000, Tier::Critical);
    queue.open(&later, Tier::Critical);
    queue.open(&action(2, 31 * 3_600_000, Tier::Medium), Tier::Medium);
    let item = queue.get(medium).unwrap();
    assert_eq!((item.tier, item.actions, item.due_ms), (Tier::Critical, 3, 54 * 3_600_000));
    assert_eq!((item.verdict_id, queue.waiting()), (later.verdict_id, 2));

    // What is decided waits no more, and is asked about anew when it is found again.
    let confirmed = decision(&queue, high, Confirmed, "anna", 0, 1);
    say(&mut queue, &confirmed);
    assert_eq!((queue.waiting(), queue.overdue()), (1, 0));
    queue.open(&action(1, 40 * 3_600_000, Tier::High), Tier::High);
    assert_eq!((queue.waiting(), queue.entries()), (2, 3));
}

#[test]
fn words_and_notes_are_bounded_and_a_decision_has_room_among_them() {
    let (mut queue, item, _) = queue();
    let word = |says, number: usize| review_word(item, says, "anna", number as i64 * 1_000, number as u8);
    let notes = 0..REVIEW_NOTES_MAX;
    assert!(
        notes.map(|n| say(&mut queue, &word(Says::Note, n))).all(|said| said.starts_with("review_noted"))
    );
    assert_eq!(say(&mut queue, &word(Says::Note, 40)), "too many: it has 32 notes");
    for number in REVIEW_NOTES_MAX..REVIEW_WORDS_MAX {
        assert!(say(&mut queue, &word(Says::Assign(None), number)).starts_with("review_assigned"));
    }
    let confirmed = decision(&queue, item, Confirmed, "anna", 70_000, 70);
    assert_eq!(say(&mut queue, &confirmed), "too many: 64 words about it within little more than an hour");
    let later_ms = REQUEST_LASTS_MS + REQUEST_KNOWN_MS + 60_000;
    let confirmed = decision(&queue, item, Confirmed, "anna", later_ms, 71);
    assert!(say(&mut queue, &confirmed).starts_with("review_confirmed"));
    assert!(queue.get(item).unwrap().heard.len() < REVIEW_WORDS_MAX, "what is over is forgotten");
}

#[test]
fn who_was_decided_on_is_forgotten_first_and_who_waits_is_told_of() {
    let mut queue = Queue::default();
    let many: Vec<Action> = (0..REVIEWS_MAX as u32 + 2).map(|n| action(n, n.into(), Tier::High)).collect();
    many.iter().for_each(|action| queue.open(action, Tier::High));
    let last = many.last().unwrap().action_id;
    let refuted = decision(&queue, last, Refuted, "anna", 0, 1);
    say(&mut queue, &refuted);
    let dropped: Vec<ActionId> = queue.evict(0).iter().map(|item| item.action_id).collect();
    assert_eq!(dropped, [many[0].action_id], "the one that waits longest");
    assert_eq!((queue.entries(), queue.get(last)), (REVIEWS_MAX, None));
    let dropped = queue.evict(REVIEW_KEPT_MS + 2);
    let dropped: Vec<ActionId> = dropped.iter().map(|item| item.action_id).collect();
    assert_eq!(dropped, [many[1].action_id, many[2].action_id], "those that are too old");
}

#[test]
fn the_last_decision_on_an_account_is_its_label() {
    let (mut queue, first, other) = queue();
    let confirmed = decision(&queue, first, Confirmed, "anna", 1_000, 1);
    say(&mut queue, &confirmed);
    let unclear = decision(&queue, other, Unclear, "anna", 2_000, 2);
    say(&mut queue, &unclear);
    let again = action(1, 5_000, Tier::High);
    queue.open(&again, Tier::High);
    let lines = |queue: &Queue| {
        let labels = labels::of(queue.items()).into_iter();
        labels.map(|label| serde_json::to_string(&label).unwrap() + "\n").collect::<String>()
    };
    let one = account(1);
    let line = |decision: &str, at_ms: i64| {
        format!(
            "{{\"account\":\"{one}\",\"decision\":\"{decision}\",\"by\":\"anna\",\"decided_ms\":{at_ms}}}\n"
        )
    };
    assert_eq!(lines(&queue), line("confirmed", 1_000), "that it is asked about anew takes no label away");
    let refuted = decision(&queue, again.action_id, Refuted, "anna", 6_000, 3);
    say(&mut queue, &refuted);
    assert_eq!(lines(&queue), line("refuted", 6_000));
    // Files of several deployments may stand one after the other.
    let read = |text: &str| labels::read(text).unwrap().into_iter().collect::<Vec<_>>();
    assert_eq!(read(&(line("refuted", 6_000) + "\n" + &line("confirmed", 1_000))), [(one, false)]);
    assert_eq!(read(&(line("confirmed", 7) + &line("unclear", 8))), []);
    let error = labels::read("\n{\"account\":\"x\"}\n").unwrap_err().to_string();
    assert!(
        error.starts_with("line 2 is no label as `weir review labels` writes it: an id is 32"),
        "{error}"
    );
}

proptest! {
    /// State that was taken apart and put together again is the same queue.
    #[test]
    fn a_queue_that_is_loaded_goes_on_as_it_was(steps in prop::collection::vec((0u32..4, 0u8..6, 0i64..60), 0..30)) {
        let (mut queue, mut loaded) = (Queue::default(), Queue::default());
        for (number, (who, what, hour)) in steps.into_iter().enumerate() {
            let at_ms = hour * 3_600_000;
            let tier = if what % 2 == 0 { Tier::High } else { Tier::Medium };
            let waiting = queue.items().find(|item| item.account == account(who)).map(|item| item.action_id);
            match (what, waiting) {
                (0 | 1, _) | (_, None) => queue.open(&action(who, at_ms, tier), tier),
                (2, Some(id)) => drop(say(&mut queue, &review_word(id, Says::Note, "ben", at_ms, number as u8))),
                (3, Some(id)) => {
                    let word = decision(&queue, id, Decision::ALL[number % 3], "anna", at_ms, number as u8);
                    say(&mut queue, &word);
                }
                (4, _) => drop(queue.fall_due(at_ms)),
                _ => drop(queue.evict(at_ms)),
            }
            for entry in queue.take_changes() {
                match entry.body {
                    Some(body) => loaded.restore(&entry.key, &body).unwrap().unwrap(),
                    None => prop_assert!(loaded.forget(&entry.key)),
                }
            }
            prop_assert_eq!(&loaded, &queue);
        }
    }

    #[test]
    fn a_damaged_item_or_word_never_panics(text in "\\PC{0,200}") {
        let _ = (Item::decode(text.as_bytes()), Word::read(&text), labels::read(&text));
    }
}

#[test]
fn a_key_that_signs_another_word_signs_not_this_one() {
    let (queue, item, _) = queue();
    let word = decision(&queue, item, Confirmed, "anna", 0, 1);
    let other_root = Word::signed(
        (item, word.seen),
        Says::Decide(Confirmed),
        &word.text,
        "anna",
        0,
        [1; 4],
        &person_key("anna"),
        &[1; 32],
    );
    assert_ne!(word.signature, other_root.signature, "a word of one deployment is none of another's");
}
