//! Dead letters are found, and their records sent back once, untouched.

#![allow(clippy::unwrap_used)]

mod common;

use common::{START_MS, event, judge, judged, put, wire};
use expect_test::expect;
use weir_replay::letters::{
    Filter, LetterError, LetterId, Requeue, Requeued, find, list, requeue_all, requeue_one,
};
use weir_schemas::{DeadLetter, DlqKind};
use weir_topology::letter::{REQUEUED_HEADER, record_of};
use weir_topology::log::Log;
use weir_topology::record::{LABEL_HEADER, Output};
use weir_topology::topic::{StageName, Topic};

fn line_letter(number: i64) -> Output {
    let letter = DeadLetter {
        kind: DlqKind::InvalidJson,
        reason: "no JSON".into(),
        stage: "collector".into(),
        origin: "/var/log/access.jsonl".into(),
        partition: -1,
        offset: 512 * number,
        length: 80,
        ..DeadLetter::default()
    };
    record_of(&wire(), b"feed".to_vec(), &letter, START_MS + 900_000 + number).in_partition(2)
}

fn first(log: &dyn Log, filter: &Filter) -> LetterId {
    list(log, &wire(), filter, 10).unwrap().letters[0].id
}

#[test]
fn letters_are_listed_by_kind_and_stage_the_newest_last() {
    let log = judged();
    put(log.as_ref(), vec![line_letter(1), line_letter(2)]);
    let shown = |filter: &Filter, letters_max| {
        let listing = list(log.as_ref(), &wire(), filter, letters_max).unwrap();
        let lines = listing.letters.iter().map(|letter| {
            let DeadLetter { kind, stage, origin, offset, .. } = &letter.content;
            format!("{} {kind} {stage} {origin} {offset}", letter.id)
        });
        format!("{} of {}\n{}", listing.letters.len(), listing.count, lines.collect::<Vec<_>>().join("\n"))
    };
    expect![[r#"
        4 of 4
        1/0 UNDECODABLE account weir.events 49
        1/1 UNDECODABLE account weir.events 100
        2/0 INVALID_JSON collector /var/log/access.jsonl 512
        2/1 INVALID_JSON collector /var/log/access.jsonl 1024"#]]
    .assert_eq(&shown(&Filter::default(), 10));
    let lines = Filter { stage: Some(StageName::Collector), ..Filter::default() };
    expect![[r#"
        1 of 2
        2/1 INVALID_JSON collector /var/log/access.jsonl 1024"#]]
    .assert_eq(&shown(&lines, 1));
    let kind = Filter { kind: Some(DlqKind::Undecodable), ..Filter::default() };
    assert!(shown(&kind, 10).starts_with("2 of 2\n"));
}

#[test]
fn a_record_that_is_no_letter_hides_none() {
    let log = judged();
    put(log.as_ref(), vec![Output::keyed(Topic::Dlq, b"x".to_vec(), b"junk".to_vec(), 0)]);
    let listing = list(log.as_ref(), &wire(), &Filter::default(), 10).unwrap();
    assert_eq!((listing.count, listing.unreadable), (2, 1));
}

#[test]
fn a_letters_record_goes_back_untouched_and_once() {
    let log = judged();
    let mut labelled = event("wrong", 1).with_header(LABEL_HEADER, "attack");
    labelled.key = b"another".to_vec();
    put(log.as_ref(), vec![labelled.clone().in_partition(1)]);
    judge(&log);
    let impossible = Filter { kind: Some(DlqKind::Impossible), ..Filter::default() };
    let id = first(log.as_ref(), &impossible);
    requeue_one(log.as_ref(), &wire(), id, Requeue::default()).unwrap();

    let sent = log.all(Topic::Events).into_iter().find(|output| {
        output
            .headers
            .iter()
            .any(|(name, value)| *name == REQUEUED_HEADER && *value == id.to_string().as_bytes())
    });
    let sent = sent.unwrap();
    assert_eq!((&sent.key, &sent.payload), (&labelled.key, &labelled.payload));
    assert_eq!((sent.partition, sent.timestamp_ms), (Some(1), labelled.timestamp_ms));
    assert!(sent.headers.contains(&(LABEL_HEADER, b"attack".to_vec())));
    assert!(find(log.as_ref(), &wire(), id).unwrap().requeued);

    let events = log.all(Topic::Events).len();
    let again = requeue_one(log.as_ref(), &wire(), id, Requeue::default()).unwrap_err();
    assert!(matches!(again, LetterError::Again(other) if other == id));
    assert_eq!(log.all(Topic::Events).len(), events);
    requeue_one(log.as_ref(), &wire(), id, Requeue { again: true, ..Requeue::default() }).unwrap();
    assert_eq!(log.all(Topic::Events).len(), events + 1);
    // It is refused again, under a letter of its own.
    judge(&log);
    assert_eq!(list(log.as_ref(), &wire(), &impossible, 10).unwrap().count, 3);
}

#[test]
fn a_kind_goes_back_as_a_whole_and_lines_stay() {
    let log = judged();
    put(log.as_ref(), vec![line_letter(1)]);
    let events = log.all(Topic::Events).len();
    let all = |how| requeue_all(log.as_ref(), &wire(), &Filter::default(), how).unwrap();
    assert_eq!(all(Requeue::default()), Requeued { sent: 2, lines: 1, ..Requeued::default() });
    assert_eq!(all(Requeue::default()), Requeued { before: 2, lines: 1, ..Requeued::default() });
    assert_eq!(log.all(Topic::Events).len(), events + 2);
}

#[test]
fn what_cannot_go_back_is_refused_with_what_to_do() {
    let log = judged();
    put(log.as_ref(), vec![line_letter(1)]);
    let id = first(log.as_ref(), &Filter { stage: Some(StageName::Collector), ..Filter::default() });
    let said =
        |id: LetterId| requeue_one(log.as_ref(), &wire(), id, Requeue::default()).unwrap_err().to_string();
    expect!["letter 2/0 is of a line, whose text never left its node: it stands in /var/log/access.jsonl at byte 512, 80 bytes long. Mend what writes the file, or the line and import it again"].assert_eq(&said(id));
    expect!["there is no dead letter 1/99: it was never there, or its retention (14 d) has passed"]
        .assert_eq(&said("1/99".parse().unwrap()));
    expect!["there is no dead letter 77/0: it was never there, or its retention (14 d) has passed"]
        .assert_eq(&said("77/0".parse().unwrap()));
    for text in ["", "1", "1/", "/1", "1/-1", "a/1", "1/1/1"] {
        assert!(text.parse::<LetterId>().is_err(), "{text}");
    }
    for topic in ["weir.control", "weir.audit", "nothing"] {
        assert!(Requeue::default().to_topic(topic).is_err(), "{topic}");
    }
}

#[test]
fn a_record_that_was_too_large_for_its_letter_comes_from_where_it_stands() {
    let log = judged();
    let (_, end) = log.bounds(Topic::Events, 1).unwrap();
    let large = vec![b'x'; 999_000];
    put(
        log.as_ref(),
        vec![Output::keyed(Topic::Events, b"large".to_vec(), large.clone(), 7).in_partition(1)],
    );
    judge(&log);
    let letters = list(log.as_ref(), &wire(), &Filter::default(), 10).unwrap().letters;
    let letter = letters.iter().find(|letter| letter.content.offset == end).unwrap();
    assert!(letter.content.payload.is_empty() && letter.content.length == 999_000);
    requeue_one(log.as_ref(), &wire(), letter.id, Requeue::default()).unwrap();
    let copies = log.all(Topic::Events).into_iter().filter(|output| output.payload.as_ref() == Some(&large));
    assert_eq!(copies.count(), 2);

    let trimmed = common::Trimmed::new(&log, Topic::Events, 1, end + 1);
    let again = Requeue { again: true, ..Requeue::default() };
    let refused = requeue_one(&trimmed, &wire(), letter.id, again).unwrap_err();
    assert!(matches!(refused, LetterError::Cut { carried: 0, .. }), "{refused}");
}

#[test]
fn of_two_operators_at_once_the_later_wins_and_nothing_is_sent_twice() {
    let log = judged();
    let id = first(log.as_ref(), &Filter::default());
    // The first has opened its writer and looked; the second does all of it in between.
    let mut first_writer = log.writer("operator/requeue").unwrap();
    requeue_one(log.as_ref(), &wire(), id, Requeue::default()).unwrap();
    let late = first_writer.commit(&weir_topology::log::Commit::default());
    assert!(matches!(late, Err(weir_topology::log::LogError::Fenced { .. })));
}
