//! Every event is judged, dead-lettered or in flight, and the proof of it sees when that is not so.

#![allow(clippy::unwrap_used)]

mod common;

use common::{PARTITIONS, START_MS, Trimmed, campaign, copy_of, event, judge, judged, poison, put, wire};
use expect_test::{Expect, expect};
use weir_replay::coverage::{Asked, Balance, Maker, Statement, cover};
use weir_schemas::Epoch;
use weir_topology::log::Log;
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::topic::Topic;

fn covered(log: &dyn Log, asked: Asked) -> Statement {
    let maker = Maker { log: "memory".into(), node: "test".into(), now_ms: START_MS };
    let statement = cover(log, &wire(), asked, maker).unwrap();
    let sides = |s: &Statement| s.judged + s.dead_lettered + s.in_flight;
    if statement.balance == Balance::Balanced {
        assert_eq!(statement.read, sides(&statement));
    }
    statement
}

/// What is said of partition 1, where the bad records are.
fn check(log: &dyn Log, expected: Expect) {
    let statement = covered(log, Asked::Everything);
    let partition = &statement.partitions[1];
    let sum = format!(
        "{:?}: {} read = {} judged + {} dead + {} in flight, {} unaccounted",
        partition.balance(),
        partition.read,
        partition.judged,
        partition.dead_lettered,
        partition.in_flight,
        partition.unaccounted
    );
    let mut lines = vec![sum];
    lines.extend(partition.imbalances.iter().map(|reason| format!("imbalance: {reason}")));
    lines.extend(partition.unproven.iter().map(|reason| format!("unproven: {reason}")));
    assert_eq!(statement.balance, partition.balance(), "{statement:#?}");
    expected.assert_eq(&lines.join("\n"));
}

/// Changes the `number`-th epoch record of the account task of partition 1, or leaves it out.
fn with_epoch(log: &MemoryLog, number: i64, edit: impl Fn(&mut Epoch) -> bool) -> std::sync::Arc<MemoryLog> {
    copy_of(log, |topic, _, output| {
        if topic != Topic::Epochs || output.key != b"account/1" {
            return true;
        }
        let mut epoch: Epoch = wire().read(output.payload.as_ref().unwrap()).unwrap();
        if epoch.epoch != number {
            return true;
        }
        let keep = edit(&mut epoch);
        output.payload = Some(wire().to_bytes(&epoch));
        keep
    })
}

fn events_of(epoch: &mut Epoch) -> &mut weir_schemas::InputRange {
    epoch.inputs.iter_mut().find(|input| input.topic == "weir.events").unwrap()
}

#[test]
fn a_run_balances_to_the_last_event() {
    let log = judged();
    let statement = covered(log.as_ref(), Asked::Everything);
    assert_eq!((statement.read, statement.judged, statement.dead_lettered), (242, 240, 2));
    assert_eq!((statement.balance, statement.partitions.len()), (Balance::Balanced, PARTITIONS as usize));
    check(log.as_ref(), expect!["Balanced: 122 read = 120 judged + 2 dead + 0 in flight, 0 unaccounted"]);
}

#[test]
fn what_no_epoch_has_read_yet_is_in_flight() {
    let log = judged();
    put(log.as_ref(), vec![poison(3), poison(4)]);
    check(log.as_ref(), expect!["Balanced: 124 read = 120 judged + 2 dead + 2 in flight, 0 unaccounted"]);
    judge(&log);
    check(log.as_ref(), expect!["Balanced: 124 read = 120 judged + 4 dead + 0 in flight, 0 unaccounted"]);
    let empty = MemoryLog::new(PARTITIONS);
    put(empty.as_ref(), campaign());
    let statement = covered(empty.as_ref(), Asked::Everything);
    assert_eq!((statement.balance, statement.in_flight), (Balance::Balanced, 240));
}

#[test]
fn a_skipped_event_a_doubled_one_and_a_lost_letter_are_imbalances() {
    let log = judged();
    let skipped = with_epoch(&log, 2, |epoch| {
        let events = events_of(epoch);
        events.from += 1;
        events.records -= 1;
        epoch.judged -= 1;
        true
    });
    check(
        skipped.as_ref(),
        expect![[r#"
            Imbalance: 122 read = 119 judged + 2 dead + 0 in flight, 1 unaccounted
            imbalance: epoch 2 skipped the events at offsets 25 to 25 (1 in all): no epoch has read them"#]],
    );

    let doubled = with_epoch(&log, 2, |epoch| {
        let events = events_of(epoch);
        events.from -= 1;
        events.records += 1;
        epoch.judged += 1;
        true
    });
    check(
        doubled.as_ref(),
        expect![[r#"
        Imbalance: 122 read = 121 judged + 2 dead + 0 in flight, 0 unaccounted
        imbalance: epoch 2 reads from offset 24, and epoch 1 had read up to 25 already
        imbalance: epoch 2 read 26 events at offsets 24 to 49, and the log holds 25 there
        imbalance: the log holds 122 events, of which 123 are accounted for"#]],
    );

    let unlettered = copy_of(&log, |topic, index, _| (topic, index) != (Topic::Dlq, 0));
    check(
        unlettered.as_ref(),
        expect![[r#"
        Imbalance: 122 read = 120 judged + 1 dead + 0 in flight, 0 unaccounted
        imbalance: epoch 2 dead-lettered 1 records, and weir.dlq holds 0 of their letters
        imbalance: the log holds 122 events, of which 121 are accounted for"#]],
    );

    let lettered_twice = copy_of(&log, |_, _, _| true);
    put(lettered_twice.as_ref(), vec![log.all(Topic::Dlq)[0].clone()]);
    check(
        lettered_twice.as_ref(),
        expect![[r#"
        Imbalance: 122 read = 120 judged + 3 dead + 0 in flight, 0 unaccounted
        imbalance: epoch 2 dead-lettered 1 records, and weir.dlq holds 2 of their letters
        imbalance: the event at offset 49 has 2 dead letters
        imbalance: the log holds 122 events, of which 123 are accounted for"#]],
    );

    let unjudged = with_epoch(&log, 2, |epoch| {
        epoch.judged -= 1;
        true
    });
    check(
        unjudged.as_ref(),
        expect![[r#"
        Imbalance: 122 read = 119 judged + 2 dead + 0 in flight, 0 unaccounted
        imbalance: epoch 2 read 25 records, and says that it judged 23 and dead-lettered 1
        imbalance: the log holds 122 events, of which 121 are accounted for"#]],
    );

    let twice = copy_of(&log, |_, _, _| true);
    let again: Vec<Output> = log.all(Topic::Epochs);
    let again = again.into_iter().filter(|output| output.key == b"account/1").nth(1).unwrap();
    put(twice.as_ref(), vec![again.in_partition(1)]);
    check(
        twice.as_ref(),
        expect![[r#"
        Imbalance: 122 read = 144 judged + 3 dead + 0 in flight, 0 unaccounted
        imbalance: epoch 2 reads from offset 25, and epoch 5 had read up to 122 already
        imbalance: epoch 2 read 25 events at offsets 25 to 49, and the log holds 0 there
        imbalance: the log holds 122 events, of which 147 are accounted for"#]],
    );
}

#[test]
fn an_event_that_vanished_from_the_log_is_an_imbalance() {
    let log = judged();
    // The epoch had one more than the log holds now.
    let lost = with_epoch(&log, 2, |epoch| {
        events_of(epoch).records += 1;
        epoch.judged += 1;
        true
    });
    check(
        lost.as_ref(),
        expect![[r#"
        Imbalance: 122 read = 121 judged + 2 dead + 0 in flight, 0 unaccounted
        imbalance: epoch 2 read 26 events at offsets 25 to 49, and the log holds 25 there
        imbalance: the log holds 122 events, of which 123 are accounted for"#]],
    );
}

#[test]
fn missing_epochs_and_passed_retention_are_said_and_prove_nothing() {
    let log = judged();
    check(
        with_epoch(&log, 2, |_| false).as_ref(),
        expect![[r#"
            Unproven: 122 read = 96 judged + 1 dead + 0 in flight, 25 unaccounted
            unproven: the records of epochs 2 to 2 of account/1 are missing or cannot be read (has the retention of weir.epochs passed?); the events at offsets 25 to 49 (25 in all) may be theirs"#]],
    );
    let tailless = (4..20).fold(log.clone(), |log, number| with_epoch(&log, number, |_| false));
    check(
        tailless.as_ref(),
        expect![[r#"
            Unproven: 122 read = 74 judged + 1 dead + 47 in flight, 0 unaccounted
            unproven: the state of account/1 is of epoch 8, and the epoch records end with 3: what seems to be in flight may be judged already"#]],
    );
    check(
        &Trimmed::new(&log, Topic::Events, 1, 7),
        expect![[r#"
        Unproven: 115 read = 113 judged + 2 dead + 0 in flight, 0 unaccounted
        unproven: retention has passed: the log starts at offset 7; what was at offsets 0 to 6 cannot be counted any more"#]],
    );
    check(
        &Trimmed::new(&log, Topic::Epochs, 1, 2),
        expect![[r#"
            Unproven: 122 read = 71 judged + 1 dead + 0 in flight, 50 unaccounted
            unproven: the records of epochs 1 to 2 of account/1 are missing or cannot be read (has the retention of weir.epochs passed?); the events at offsets 0 to 49 (50 in all) may be theirs"#]],
    );
    check(
        &Trimmed::new(&log, Topic::Dlq, 1, 1),
        expect![[r#"
        Unproven: 122 read = 120 judged + 1 dead + 0 in flight, 0 unaccounted
        unproven: epoch 2 dead-lettered 1 records, and weir.dlq holds 0 of their letters: its retention has passed"#]],
    );
}

#[test]
fn a_range_of_offsets_is_covered_also_where_it_cuts_epochs() {
    let log = judged();
    let (_, end) = log.bounds(Topic::Events, 1).unwrap();
    for (from, to) in [(0, end), (3, end), (0, end - 3), (10, 60), (30, 31), (5, 5)] {
        let statement = covered(log.as_ref(), Asked::Offsets { partition: 1, from, to });
        assert_eq!(statement.balance, Balance::Balanced, "{statement:#?}");
        assert_eq!((statement.read, statement.partitions.len()), ((to - from) as u64, 1));
    }
    let beyond = covered(log.as_ref(), Asked::Offsets { partition: 1, from: 0, to: end + 1 });
    assert_eq!(beyond.balance, Balance::Unproven);
    let elsewhere = covered(log.as_ref(), Asked::Offsets { partition: 9, from: 0, to: 1 });
    assert_eq!((elsewhere.balance, elsewhere.partitions.len()), (Balance::Unproven, 0));
    // What retention took is not missed where it was not asked for.
    let trimmed = Trimmed::new(&log, Topic::Events, 1, 7);
    let kept = covered(&trimmed, Asked::Offsets { partition: 1, from: 7, to: end });
    assert_eq!(kept.balance, Balance::Balanced, "{kept:#?}");
}

#[test]
fn a_range_of_times_covers_the_offsets_that_hold_its_events() {
    let log = judged();
    let ask = |from_ms, to_ms| covered(log.as_ref(), Asked::Times { from_ms, to_ms });
    let middle = ask(START_MS + 20_000, START_MS + 40_000);
    assert_eq!(middle.balance, Balance::Balanced, "{middle:#?}");
    // Ten rounds of six accounts, and what lies between them in the log.
    assert!((60..=62).contains(&middle.read), "{middle:#?}");
    assert_eq!(ask(START_MS - 2, START_MS - 1).read, 0);

    let trimmed = Trimmed::new(&log, Topic::Events, 1, 7);
    let asked = Asked::Times { from_ms: START_MS, to_ms: START_MS + 40_000 };
    assert_eq!(covered(&trimmed, asked).balance, Balance::Unproven);
    let asked = Asked::Times { from_ms: START_MS + 30_000, to_ms: START_MS + 40_000 };
    assert_eq!(covered(&trimmed, asked).balance, Balance::Balanced);
}

#[test]
fn a_letter_of_an_event_that_nobody_read_is_an_imbalance() {
    let log = judged();
    let early = log.all(Topic::Dlq)[0].clone();
    let mut letter: weir_schemas::DeadLetter = wire().read(early.payload.as_ref().unwrap()).unwrap();
    put(log.as_ref(), vec![event("late", 900).in_partition(1)]);
    letter.offset = log.bounds(Topic::Events, 1).unwrap().1 - 1;
    put(log.as_ref(), vec![Output { payload: Some(wire().to_bytes(&letter)), ..early }]);
    check(
        log.as_ref(),
        expect![[r#"
            Imbalance: 123 read = 120 judged + 2 dead + 1 in flight, 0 unaccounted
            imbalance: weir.dlq holds 1 letters of events that no epoch has dead-lettered"#]],
    );
}
