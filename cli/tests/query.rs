//! `weir query` on the recorded example: the log and its archive, each format, and what else says the same.

#![cfg(feature = "query")]
#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, json_lines, success, text, weir};
use expect_test::expect;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
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
    // How many verdicts come before the last ones depends on where epochs end; the files say how many there
    // are.
    let actions = json_lines(&place.output.join("enforcement_actions.jsonl"));
    let word =
        |line: &Value, name: &str| line[name].as_str().unwrap_or_else(|| panic!("{name}: {line}")).to_owned();
    let mut by_tier: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut by_kind: BTreeMap<(String, String), (usize, BTreeSet<String>)> = BTreeMap::new();
    for line in &actions {
        by_tier.entry(word(line, "tier")).or_default().insert(word(line, "verdict_id"));
        let (count, accounts) = by_kind.entry((word(line, "action"), word(line, "state"))).or_default();
        *count += 1;
        accounts.insert(word(line, "account"));
    }
    let csv = |heading: &str, rows: Vec<String>| format!("{heading}\n{}\n", rows.join("\n"));
    let verdicts = by_tier.iter().map(|(tier, verdicts)| format!("{tier},{}", verdicts.len()));
    expect![[r#"
        tier      accounts
        CRITICAL         6
    "#]]
    .assert_eq(&both(
        "select tier, count(distinct account) as accounts from verdicts where tier = 'CRITICAL' group by tier",
        &[],
    ));
    assert_eq!(
        both(
            "select tier, count(*) as verdicts from verdicts where tier <> 'CLEAR' group by tier order by tier",
            &["--format", "csv"],
        ),
        csv("tier,verdicts", verdicts.collect()),
    );
    let campaign = |line: &Value| {
        let names = ["campaign_id", "sequence", "status", "tier", "member_count", "requests"];
        let text = |name| line[name].as_str().map_or_else(|| line[name].to_string(), str::to_owned);
        names.map(text).join(",")
    };
    let campaigns: BTreeSet<String> =
        json_lines(&place.output.join("campaigns.jsonl")).iter().map(campaign).collect();
    let asked = "select campaign_id, sequence, status, tier, member_count, requests from campaigns";
    let shown = both(asked, &["--format", "csv"]);
    assert_eq!(shown.lines().skip(1).map(str::to_owned).collect::<BTreeSet<_>>(), campaigns);
    assert_eq!(both("select max(member_count) as most from campaigns", &["--format", "csv"]), "most\n6\n");
    for kind in ["SUSPEND", "SHARE_INDICATORS"] {
        let of_kind = by_kind.iter().filter(|((of, _), _)| of == kind);
        let accounts: BTreeSet<&String> = of_kind.flat_map(|(_, (_, accounts))| accounts).collect();
        assert_eq!(accounts.len(), 6, "{kind}");
    }
    let told = by_kind
        .iter()
        .map(|((kind, state), (count, accounts))| format!("{kind},{state},{count},{}", accounts.len()));
    assert_eq!(
        both(
            "select kind, state, count(*) as actions, count(distinct account) as accounts from actions \
             group by kind, state order by kind, state",
            &["--format", "csv"],
        ),
        csv("kind,state,actions,accounts", told.collect()),
    );

    // What the enforcer wrote to its files is what the join says.
    let mut told = BTreeMap::new();
    for line in &actions {
        told.insert(word(line, "action_id"), (word(line, "verdict_id"), word(line, "account")));
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
