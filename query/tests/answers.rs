//! What is answered: the rows of every table, nulls, joins, and the order of rows.

#![allow(clippy::unwrap_used)]

mod common;

use common::{History, START_MS, account, answer, small};
use expect_test::expect;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use weir_query::output::Format;
use weir_query::{Engine, Progress, QueryError};
use weir_schemas::wire::Wire;
use weir_schemas::{Event, EventId, Tier, Verdict, VerdictId};
use weir_topology::topic::Topic;

#[test]
fn what_an_event_does_not_say_is_null_and_never_zero() {
    expect![[r#"
        kind      minute  model  prompt_words  prompt_embedding  logprobs  status  refused  label
        REQUEST        1  m-1              12                 7  false        200  false    hydra
        REQUEST        2  null           null              null  null        null  null     hydra
        RESPONSE       3  null           null              null  null        null  true     hydra
    "#]]
    .assert_eq(&small().ask(
        "select kind, date_part('minute', time) as minute, model, prompt_words, prompt_embedding, logprobs, status, refused, \
         label from events order by time",
    ));
}

#[test]
fn counts_and_averages_leave_out_what_is_null() {
    expect![[r#"
        events  models  words
             3       1   12.0
    "#]]
    .assert_eq(
        &small()
            .ask("select count(*) as events, count(model) as models, avg(prompt_words) as words from events"),
    );
}

#[test]
fn signals_and_their_evidence_are_rows_of_their_own() {
    let history = small();
    expect![[r#"
        detector  millinats  millinats_max  evidence
        cot            3000           4000  [prompts=12, share_permille=400]
        rhythm         -500           4000  []
    "#]]
    .assert_eq(&history.ask("select detector, millinats, millinats_max, evidence from signals"));
    expect![[r#"
        name            number
        prompts           12.0
        share_permille   400.0
    "#]]
    .assert_eq(
        &history.ask("select name, try_cast(value as double) as number from evidence where detector = 'cot'"),
    );
    expect![[r#"
        tier      detectors  missing   resting_on
        CRITICAL  [cot]      [canary]           2
    "#]]
    .assert_eq(
        &history.ask("select tier, detectors, missing, cardinality(events) as resting_on from verdicts"),
    );
}

#[test]
fn a_verdict_and_its_action_are_joined_by_id() {
    expect![[r#"
        tier      kind     state     taken
        CRITICAL  SUSPEND  WITHHELD  2026-11-01T00:03:00Z
    "#]]
    .assert_eq(&small().ask(
        "select v.tier, a.kind, a.state, a.taken from verdicts v join actions a on a.verdict_id = v.verdict_id",
    ));
}

#[test]
fn a_verdict_is_joined_with_the_events_that_it_rests_on() {
    expect![[r#"
        minute  model
             1  m-1
             2  null
    "#]]
    .assert_eq(&small().ask(
        "with resting as (select unnest(events) as event_id from verdicts) \
         select date_part('minute', e.time) as minute, e.model from events e join resting r on r.event_id = e.event_id \
         order by minute",
    ));
}

#[test]
fn campaigns_members_standing_and_audit_have_rows() {
    let history = small();
    expect![[r#"
        status  tier  member_count  absorbed_by
        OPEN    HIGH             1  null
    "#]]
    .assert_eq(&history.ask("select status, tier, member_count, absorbed_by from campaigns"));
    expect![[r#"
        account                           change  tier  requests
        01010101010101010101010101010101  MEMBER  HIGH         0
        02020202020202020202020202020202  LEFT    null      null
    "#]]
    .assert_eq(&history.ask("select account, change, tier, requests from members"));
    expect![[r#"
        status  since                 until
        GOOD    2026-11-01T00:00:00Z  null
    "#]]
    .assert_eq(&history.ask("select status, since, until from standing"));
    // Zero is no score where there is no verdict.
    expect![[r#"
        writer      sequence  outcome  score  tier  action
        enforcer/1         1  noted     null  null  null
    "#]]
    .assert_eq(&history.ask("select writer, sequence, outcome, score, tier, action from audit"));
    expect![[r#"
        count(*)
               0
    "#]]
    .assert_eq(&history.ask("select count(*) from outcomes"));
}

/// So many verdicts, in both partitions.
fn verdicts(count: i64) -> History {
    let history = History::new();
    for number in 0..count {
        let verdict = Verdict {
            verdict_id: VerdictId((number as u128).to_be_bytes()),
            sequence: number,
            time_ms: START_MS + number,
            account: account(number as u8),
            tier: [Tier::Medium, Tier::High][number as usize % 2],
            ..Verdict::default()
        };
        history.write(Topic::Verdicts, number as u32 % 2, &verdict.account.to_string(), &verdict);
    }
    history
}

#[test]
fn rows_come_partition_by_partition_in_the_order_of_their_offsets() {
    expect![[r#"
        log_partition  log_offset  sequence
                    0           0         0
                    0           1         2
                    0           2         4
                    1           0         1
                    1           1         3
    "#]]
    .assert_eq(&verdicts(5).ask("select log_partition, log_offset, sequence from verdicts"));
}

#[test]
fn rows_of_many_batches_are_all_there() {
    let history = verdicts(10_000);
    expect![[r#"
        tier    verdicts       sum
        HIGH        5000  25000000
        MEDIUM      5000  24995000
    "#]]
    .assert_eq(&history.ask(
        "select tier, count(*) as verdicts, sum(sequence) as sum from verdicts group by tier order by tier",
    ));
    // Whoever wants two rows waits for no more.
    let two = history.bytes("select sequence from verdicts limit 2", Format::Csv).unwrap();
    assert_eq!(String::from_utf8(two).unwrap(), "sequence\n0\n2\n");
}

#[test]
fn a_record_that_cannot_be_read_is_counted_and_a_tombstone_says_nothing() {
    let history = small();
    history.raw(Topic::Verdicts, 0, "x", Some(b"no verdict".to_vec()), Vec::new());
    history.raw(Topic::Verdicts, 0, "x", None, Vec::new());
    let (engine, progress) = history.engine();
    let counted = answer(&engine, "select count(*) from verdicts", Format::Csv).unwrap();
    assert_eq!(String::from_utf8(counted).unwrap(), "count(*)\n1\n");
    assert_eq!((progress.unreadable_records(), progress.so_far()), (1, (3, 3)));
}

#[test]
fn an_archive_has_no_table_of_now() {
    let progress = Arc::new(Progress::default());
    let engine = Engine::new(small().0.clone(), Arc::new(Wire::new()), true, progress);
    let refused = answer(&engine, "select * from standing", Format::Table).unwrap_err();
    assert!(matches!(refused, QueryError::NotArchived("standing")), "{refused}");
}

#[test]
fn a_query_ends_when_the_process_is_told_to() {
    let progress = Arc::new(Progress::new(Arc::new(AtomicBool::new(true))));
    let engine = Engine::new(small().0.clone(), Arc::new(Wire::new()), false, progress);
    let ended = answer(&engine, "select count(*) from events", Format::Table).unwrap_err();
    assert!(matches!(ended, QueryError::Stopped), "{ended}");
}

#[test]
fn what_a_query_gathers_is_bounded_and_sorting_goes_to_files() {
    const COUNT: u32 = 50_000;
    let history = History::new();
    for number in 0_u32..COUNT {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.wrapping_mul(2_654_435_761).to_be_bytes());
        history.event(number % 2, &Event { event_id: EventId(id), time_ms: START_MS, ..Event::default() });
    }
    // The ids alone are 1.6 MB.
    let engine = || history.engine().0.with_memory(1 << 20);
    let gathered =
        "select count(*) from (select a.event_id from events a join events b on a.event_id = b.event_id)";
    let refused = answer(&engine(), gathered, Format::Csv).unwrap_err();
    assert!(matches!(refused, QueryError::Memory { megabytes: 1, .. }), "{refused}");
    let sorted = "select event_id from events order by event_id desc";
    let sorted = String::from_utf8(answer(&engine(), sorted, Format::Csv).unwrap()).unwrap();
    let ids: Vec<&str> = sorted.lines().skip(1).collect();
    assert!(ids.len() == COUNT as usize && ids.is_sorted_by(|one, next| one > next));
}
