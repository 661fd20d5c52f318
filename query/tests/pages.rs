//! What the pages say of queries.

#![allow(clippy::unwrap_used)]

mod common;

use common::small;
use expect_test::expect_file;
use weir_query::output::Format;

#[test]
fn the_page_lists_every_table_and_column() {
    // UPDATE_EXPECT=1 writes it.
    expect_file!["../../docs/tables.md"].assert_eq(&weir_query::tables::listing());
}

#[test]
fn every_query_of_the_page_is_answered() {
    let history = small();
    let page = include_str!("../../docs/query.md");
    let sql = page.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    let queries: Vec<&str> = sql.split(";\n").filter(|query| !query.trim().is_empty()).collect();
    assert_eq!(queries.len(), 5);
    for query in queries {
        let answered = history.bytes(query, Format::Json);
        assert!(answered.is_ok(), "{query}: {answered:?}");
    }
}
