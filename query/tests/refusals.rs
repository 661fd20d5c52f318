//! What is not answered, and what is said of it.

#![allow(clippy::unwrap_used)]

mod common;

use common::small;
use expect_test::expect;
use weir_query::QueryError;
use weir_query::limits::{SQL_BYTES_MAX, SQL_TOKENS_MAX};
use weir_query::output::Format;

#[test]
fn whoever_mistypes_a_name_is_told_those_that_there_are() {
    let history = small();
    expect!["there is no table verdict; there are events, verdicts, signals, evidence, campaigns, members, actions, outcomes, standing, audit"].assert_eq(&history.refusal("select * from verdict"));
    expect!["there is no column tear; there are campaign_id, sequence, time, status, absorbed_by, tier, first_account, since, until, member_count, beside_count, requests, families, links, asks, evade_cents, policy_version, epoch, log_partition, log_offset"].assert_eq(&history.refusal("select tear from campaigns"));
    expect!["there is no column v.tear; there are v.verdict_id, v.time, v.tenant, v.account, v.sequence, v.tier, v.score, v.probability, v.voter, v.partial, v.origin, v.detectors, v.missing, v.events, v.event_count, v.clusters, v.policy_version, v.policy_digest, v.epoch, v.log_partition, v.log_offset, o.action_id, o.tenant, o.account, o.kind, o.effect, o.executor, o.detail, o.log_partition, o.log_offset"].assert_eq(
        &history.refusal("select v.tear from verdicts v join outcomes o on o.account = v.account"),
    );
}

#[test]
fn nothing_is_written_changed_or_read_from_elsewhere() {
    let history = small();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("out.parquet");
    let file = file.display();
    for sql in [
        format!("copy verdicts to '{file}'"),
        format!("copy (select 1) to '{file}' stored as csv"),
        format!("explain copy verdicts to '{file}'"),
        format!("explain analyze copy verdicts to '{file}'"),
        format!("create external table t stored as csv location '{file}'"),
        "create table t as select * from verdicts".into(),
        "create view t as select * from verdicts".into(),
        "select * into t from verdicts".into(),
        "insert into verdicts select * from verdicts".into(),
        "with v as (select 1) insert into verdicts select * from v".into(),
        "delete from verdicts".into(),
        "update verdicts set tier = 'CLEAR'".into(),
        "drop table verdicts".into(),
        "set datafusion.execution.batch_size = 1".into(),
        "show tables".into(),
        "select 1; select 2".into(),
    ] {
        let refused = history.bytes(&sql, Format::Csv).unwrap_err();
        let said = refused.to_string();
        assert!(said.contains(" is refused: a query reads Weir's tables, "), "{sql}: {said}");
    }
    for sql in [
        "select * from '/etc/hosts'",
        "select * from \"weir.csv\"",
        "select * from information_schema.tables",
        "select * from generate_series(1, 1000000)",
        "select * from other.public.verdicts",
    ] {
        let said = history.refusal(sql);
        assert!(said.starts_with("there is no table "), "{sql}: {said}");
    }
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
}

#[test]
fn what_is_no_sql_is_said_to_be_none() {
    let history = small();
    expect![["this is no SQL that Weir understands: Expected: an SQL statement, found: selekt at Line: 1, Column: 1"]].assert_eq(&history.refusal("selekt tier from verdicts"));
    expect!["this is no SQL that Weir understands: it is empty"].assert_eq(&history.refusal(""));
    expect!["the query cannot be answered: Cannot coerce arithmetic expression Utf8 + Utf8 to valid types"]
        .assert_eq(&history.refusal("select tier + account from verdicts group by tier"));
    let long = format!("select '{}'", "x".repeat(SQL_BYTES_MAX));
    expect!["the query has 65545 bytes, and at most 65536 are read"].assert_eq(&history.refusal(&long));
}

#[test]
fn a_deep_query_is_refused_or_answered_and_ends_nothing() {
    let history = small();
    let nested = |depth: usize| format!("select {}1{}", "(".repeat(depth), ")".repeat(depth));
    let said = history.refusal(&nested(490));
    assert_eq!(said, "this is no SQL that Weir understands: it is nested too deeply");
    let sum = |terms: usize| format!("select {} as sum from verdicts", vec!["sequence"; terms].join(" + "));
    expect![[r#"
        sum
        498
    "#]]
    .assert_eq(&history.ask(&sum(SQL_TOKENS_MAX / 2 - 2)));
    for sql in [nested(20_000), sum(SQL_TOKENS_MAX)] {
        let refused = history.bytes(&sql, Format::Csv).unwrap_err();
        assert!(matches!(refused, QueryError::TooManyTokens(_) | QueryError::TooLong(_)), "{refused}");
    }
}
