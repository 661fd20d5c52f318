//! `weir query` on the recorded example: the log and its archive, each format, and what else says the same.

#![cfg(feature = "query")]
#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, json_lines, success, text, weir};
use expect_test::expect;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Output;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/access.jsonl");

/// The example, judged and archived.
fn judged() -> Place {
    let place = Place::new();
    std::fs::copy(EXAMPLE, &place.feed).unwrap();
    place.run_until_idle();
    let mut archive = weir(&["archive", "--data-dir"]);
    archive.arg(&place.data).arg(place.data.with_file_name("archive"));
    success(archive);
    place
}

fn asked(place: &Place, archive: bool, sql: &str, more: &[&str]) -> Output {
    let mut command = weir(&["query", sql]);
    match archive {
        true => command
            .arg("--data-dir")
            .arg("/nonexistent")
            .arg("--archive")
            .arg(place.data.with_file_name("archive")),
        false => command.arg("--data-dir").arg(&place.data),
    };
    command.args(more).output().unwrap()
}

fn answer(place: &Place, archive: bool, sql: &str, more: &[&str]) -> String {
    let output = asked(place, archive, sql, more);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{sql}");
    text(&output.stdout)
}

fn rows(place: &Place, sql: &str) -> Vec<Value> {
    let lines = answer(place, true, sql, &["--format", "json"]);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_examples_verdicts_campaign_and_actions_are_told_by_log_and_archive_alike() {
    let place = judged();
    let both = |sql: &str, more: &[&str]| {
        let told = answer(&place, true, sql, more);
        assert_eq!(answer(&place, false, sql, more), told, "{sql}");
        told
    };
    // How many verdicts there are besides depends on where epochs end.
    expect![[r#"
        tier      accounts
        CRITICAL         6
    "#]]
    .assert_eq(&both(
        "select tier, count(distinct account) as accounts from verdicts where tier = 'CRITICAL' group by tier",
        &[],
    ));
    expect![[r#"
        member_count
        6
    "#]]
    .assert_eq(&both("select max(member_count) as member_count from campaigns", &["--format", "csv"]));
    expect![[r#"
        kind              accounts
        SHARE_INDICATORS         6
        SUSPEND                  6
    "#]]
    .assert_eq(&both(
        "select kind, count(distinct account) as accounts from actions \
         where kind in ('SUSPEND', 'SHARE_INDICATORS') group by kind order by kind",
        &[],
    ));

    // What the enforcer wrote to its files is what the join says.
    let mut told = BTreeMap::new();
    for line in json_lines(&place.output.join("enforcement_actions.jsonl")) {
        let word = |name: &str| line[name].as_str().unwrap_or_else(|| panic!("{name}: {line}")).to_owned();
        told.insert(word("action_id"), (word("verdict_id"), word("account")));
    }
    let joined = rows(
        &place,
        "select distinct a.action_id, v.verdict_id, v.account, v.tier from actions a join verdicts v \
         on v.verdict_id = a.verdict_id and v.account = a.account",
    );
    let found: BTreeMap<_, _> = joined
        .iter()
        .map(|row| {
            let word = |name: &str| row[name].as_str().unwrap().to_owned();
            (word("action_id"), (word("verdict_id"), word("account")))
        })
        .collect();
    assert_eq!(found, told);
    let audited = "select count(*) as missing from actions a left join audit d on d.action_id = a.action_id where d.writer is null";
    assert_eq!(answer(&place, true, audited, &["--format", "csv"]), "missing\n0\n");

    // Who is flagged is who an evaluation says: six of one campaign, and nobody else.
    let sql = "select count(distinct v.account) as accounts from verdicts v join events e on e.account = v.account \
               where v.tier <> 'CLEAR' and e.label = 'mirror'";
    assert_eq!(answer(&place, true, sql, &["--format", "csv"]), "accounts\n6\n");
    let sql = "select count(distinct account) as accounts from verdicts where tier <> 'CLEAR'";
    assert_eq!(answer(&place, true, sql, &["--format", "csv"]), "accounts\n6\n");
}

#[test]
fn an_answer_goes_to_a_file_and_a_mistake_leaves_it_alone() {
    let place = judged();
    let file = place.data.with_file_name("answer.parquet");
    let path = file.to_str().unwrap();
    let more = ["--format", "parquet", "--output", path];
    assert_eq!(answer(&place, true, "select * from events", &more), "");
    let written = std::fs::read(&file).unwrap();
    assert!(written.starts_with(b"PAR1") && written.ends_with(b"PAR1"));
    let output = asked(&place, true, "select tear from verdicts", &more);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.starts_with("weir: there is no column tear; there are verdict_id, time, "), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), written);
    let output = asked(&place, true, &format!("copy events to '{path}'"), &[]);
    assert!(text(&output.stderr).starts_with("weir: COPY events is refused: "), "{}", text(&output.stderr));
    assert_eq!(std::fs::read(&file).unwrap(), written);
}

#[test]
fn the_tables_are_listed_as_the_page_has_them() {
    let page = include_str!("../../docs/tables.md");
    assert_eq!(text(&success(weir(&["query", "--tables"])).stdout), page);
}

#[test]
fn a_query_that_only_computes_ends_when_it_is_told_to_and_leaves_nothing() {
    let place = judged();
    let directory = place.data.with_file_name("aside");
    std::fs::create_dir(&directory).unwrap();
    let endless = "with recursive t as (select 1 as x union all select x + 1 from t) select count(*) from t";
    let mut command = weir(&["query", endless, "--format", "csv", "--archive"]);
    command.arg(place.data.with_file_name("archive")).arg("--output").arg(directory.join("answer.csv"));
    let mut query = command.env("TMPDIR", &directory).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let inside = || std::fs::read_dir(&directory).unwrap().count();
    // Where it spills to, and the answer's file aside.
    common::eventually("the query to have begun", || inside() == 2);
    let pid = query.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let mut status = None;
    common::eventually("the query to have ended", || {
        status = query.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!((status.unwrap().code(), inside()), (Some(1), 0));
}

#[test]
fn an_answer_replaces_no_device_pipe_or_link() {
    let place = judged();
    let link = place.data.with_file_name("link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let refused = asked(&place, true, "select 1", &["--output", link.to_str().unwrap()]);
    let told = format!("{} is no plain file, which an answer could replace", link.display());
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains(&told), "{}", text(&refused.stderr));
    assert!(link.is_symlink());
}
