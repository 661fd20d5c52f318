//! The same answer in each format, read back.

#![allow(clippy::unwrap_used)]

mod common;

use common::{History, small};
use datafusion::arrow::array::RecordBatchReader as _;
use expect_test::expect;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use weir_query::QueryError;
use weir_query::limits::TABLE_ROWS_MAX;
use weir_query::output::{AnswerFile, Format};
use weir_schemas::Verdict;
use weir_topology::topic::Topic;

const SQL: &str = "select time, account, model, prompt_words, logprobs, latency_ms / 1000.0 as seconds, user_agent from events \
                   where kind = 'REQUEST' order by time";

fn text(history: &History, sql: &str, format: Format) -> String {
    String::from_utf8(history.bytes(sql, format).unwrap()).unwrap()
}

#[test]
fn a_table_lets_no_client_write_to_the_terminal() {
    expect![[r#"
        time                  account                           model  prompt_words  logprobs  seconds  user_agent
        2026-11-01T00:01:00Z  01010101010101010101010101010101  m-1              12  false         1.5  evil\u{1b}[2J\nagent
        2026-11-01T00:02:00Z  01010101010101010101010101010101  null           null  null         null  null
    "#]].assert_eq(&small().ask(SQL));
}

#[test]
fn csv_has_a_heading_and_leaves_null_empty() {
    let history = small();
    expect![[r#"
        time,account,model,prompt_words,logprobs,seconds,user_agent
        2026-11-01T00:01:00Z,01010101010101010101010101010101,m-1,12,false,1.5,"evil<ESC>[2J
        agent"
        2026-11-01T00:02:00Z,01010101010101010101010101010101,,,,,
    "#]]
    .assert_eq(&text(&history, SQL, Format::Csv).replace('\u{1b}', "<ESC>"));
    expect![[r#"
        detectors,events,quoted
        [cot],"[01010101010101010101010101010101, 02020202020202020202020202020202]","a ""b"", c"
    "#]]
    .assert_eq(&text(
        &history,
        "select detectors, events, 'a \"b\", c' as quoted from verdicts",
        Format::Csv,
    ));
    assert_eq!(text(&history, "select action_id, kind from outcomes", Format::Csv), "action_id,kind\n");
}

#[test]
fn json_is_an_object_a_line_with_null_as_null() {
    let history = small();
    let lines = text(&history, SQL, Format::Json);
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let account = "01".repeat(16);
    assert_eq!(
        rows,
        [
            json!({
                "time": "2026-11-01T00:01:00Z", "account": account, "model": "m-1", "prompt_words": 12, "logprobs": false,
                "seconds": 1.5, "user_agent": "evil\u{1b}[2J\nagent",
            }),
            json!({
                "time": "2026-11-01T00:02:00Z", "account": account, "model": null, "prompt_words": null, "logprobs": null,
                "seconds": null, "user_agent": null,
            }),
        ]
    );
    let lists = text(&history, "select detectors, missing from verdicts", Format::Json);
    assert_eq!(lists, "{\"detectors\":[\"cot\"],\"missing\":[\"canary\"]}\n");
    assert_eq!(text(&history, "select action_id from outcomes", Format::Json), "");
}

#[test]
fn parquet_has_the_types_of_the_columns_and_the_rows_of_the_table() {
    let history = small();
    let bytes = history.bytes(SQL, Format::Parquet).unwrap();
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap().build().unwrap();
    let types: Vec<String> = reader
        .schema()
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect();
    expect![[r#"
        time Timestamp(ms, "UTC")
        account Utf8
        model Utf8
        prompt_words Int64
        logprobs Boolean
        seconds Float64
        user_agent Utf8"#]]
    .assert_eq(&types.join("\n"));
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    let shown = datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
    expect![[r#"
        +----------------------+----------------------------------+-------+--------------+----------+---------+------------+
        | time                 | account                          | model | prompt_words | logprobs | seconds | user_agent |
        +----------------------+----------------------------------+-------+--------------+----------+---------+------------+
        | 2026-11-01T00:01:00Z | 01010101010101010101010101010101 | m-1   | 12           | false    | 1.5     | evil<ESC>[2J   |
        |                      |                                  |       |              |          |         | agent      |
        | 2026-11-01T00:02:00Z | 01010101010101010101010101010101 |       |              |          |         |            |
        +----------------------+----------------------------------+-------+--------------+----------+---------+------------+"#]].assert_eq(&shown.replace('\u{1b}', "<ESC>"));
    // An answer without rows is a file with columns.
    let none = history.bytes("select action_id, effect from outcomes", Format::Parquet).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(none)).unwrap().build().unwrap();
    assert_eq!((reader.schema().fields().len(), reader.count()), (2, 0));
}

#[test]
fn two_columns_of_one_name_are_refused_where_names_count() {
    let history = small();
    let sql = "select v.account, a.account from verdicts v join actions a on a.verdict_id = v.verdict_id";
    for format in [Format::Json, Format::Parquet] {
        let refused = history.bytes(sql, format).unwrap_err();
        assert!(matches!(&refused, QueryError::TwoOfOneName(name) if name == "account"), "{refused}");
    }
    assert!(text(&history, sql, Format::Csv).starts_with("account,account\n"));
}

#[test]
fn a_table_has_a_bound_of_rows_and_the_other_formats_have_all() {
    let history = History::new();
    for number in 0..TABLE_ROWS_MAX as i64 + 3 {
        history.write(Topic::Verdicts, 0, "x", &Verdict { sequence: number, ..Verdict::default() });
    }
    let sql = "select sequence from verdicts";
    let table = history.ask(sql);
    assert_eq!(table.lines().count(), 1 + TABLE_ROWS_MAX + 1);
    assert!(
        table.ends_with("\n… and more than these 1000 rows: --format csv, json or parquet has them all\n"),
        "{table}"
    );
    assert_eq!(text(&history, sql, Format::Csv).lines().count(), 1 + TABLE_ROWS_MAX + 3);
    assert_eq!(text(&history, sql, Format::Json).lines().count(), TABLE_ROWS_MAX + 3);
}

#[test]
fn a_file_is_there_when_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("answer.csv");
    std::fs::write(&path, "before").unwrap();
    let mut file = AnswerFile::new(&path).unwrap();
    {
        use std::io::Write as _;
        let mut writer = file.writer();
        writer.write_all(b"after").unwrap();
        writer.flush().unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
    drop(AnswerFile::new(&path).unwrap());
    file.put().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "after");
    assert_eq!(directory.path().read_dir().unwrap().count(), 1);
}
