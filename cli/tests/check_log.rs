//! `weir check-log`: what a newcomer runs first, and what scripts rely on.

#![allow(clippy::unwrap_used)]

mod common;

use common::{success, text, weir};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;

/// `weir check-log` of a file that holds `log`, run in a directory of its own.
fn check_in(directory: &Path, log: &[u8], arguments: &[&str]) -> Output {
    std::fs::write(directory.join("access.jsonl"), log).unwrap();
    let mut command = weir(&["check-log", "access.jsonl"]);
    command.args(arguments).current_dir(directory).output().unwrap()
}

fn check(log: &str, arguments: &[&str]) -> Output {
    check_in(TempDir::new().unwrap().path(), log.as_bytes(), arguments)
}

fn as_json(log: &str, arguments: &[&str]) -> Value {
    let output = check(log, &[&["--json"], arguments].concat());
    serde_json::from_slice(&output.stdout).unwrap()
}

const PROMPT: &str =
    "Explain the tides of the North Sea to a child of eight, with one picture for each of the moon's phases.";

fn line(number: u32) -> String {
    format!(
        r#"{{"id":"r{number}","account":"Bearer sk-{number}","time":1795242606.5,"ip":"192.0.2.7","user_agent":"case/1","endpoint":"/v1/chat?key=k","model":"atlas-1","prompt":"{PROMPT}","system_prompt":"Be brief.","max_tokens":64,"tokens":9,"status":200}}
"#
    )
}

#[test]
fn scripts_get_one_object_with_fields_that_stay() {
    let log = line(1) + "{\"account\":\"a\",\"time\":1,\"max_tokens\":-1,\"uri\":\"/x\"}\nno json\n";
    let said = as_json(&log, &[]);
    assert_eq!(
        said.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["detectors", "fields", "format", "lines", "other", "readable", "refused", "sample", "unread"]
    );
    assert_eq!((&said["format"], &said["lines"], &said["readable"]), (&json!("weir"), &json!(3), &json!(2)));
    assert_eq!(
        said["refused"],
        json!([{"line": 3, "kind": "INVALID_JSON", "reason": "it is no JSON object, or a torn one, at byte 1"}])
    );
    assert_eq!(said["unread"], json!({"max_tokens": 1, "uri": 1}));
    let counts =
        ["account", "time", "model", "prompt", "max_tokens", "ja4"].map(|field| &said["fields"][field]);
    assert_eq!(counts, [2, 2, 1, 1, 1, 0].map(|count| json!(count)).each_ref());
    let first = json!({
        "line": 1, "id": "r1", "account": "sk-1", "time_ms": 1_795_242_606_500_i64, "endpoint": "/v1/chat",
        "model": "atlas-1", "prompt": &PROMPT[..60], "system_prompt": "Be brief.", "ip": "192.0.2.7",
        "user_agent": "case/1", "max_tokens": 64, "tokens": 9, "status": 200,
    });
    let second = json!({
        "line": 2, "id": null, "account": "a", "time_ms": 1_000, "endpoint": null, "model": null, "prompt": null,
        "system_prompt": null, "ip": null, "user_agent": null, "max_tokens": null, "tokens": null, "status": null,
    });
    assert_eq!(said["sample"], json!([first, second]));
    assert_eq!(said["detectors"]["rhythm"], "ready");
    assert_eq!(said["detectors"]["bond"], "silent: no payment");
    assert_eq!(said["detectors"]["elicitation"], "partial: no finish_reason or refused");
}

#[test]
fn as_many_records_are_shown_as_are_asked_for_and_texts_whole_on_request() {
    let log: String = (1..=5).map(line).collect();
    let shown = |arguments: &[&str]| as_json(&log, arguments)["sample"].as_array().unwrap().len();
    assert_eq!((shown(&[]), shown(&["--sample", "2"]), shown(&["--sample", "0"])), (3, 2, 5));
    assert_eq!(as_json(&log, &["--text"])["sample"][0]["prompt"], PROMPT);
}

#[test]
fn people_read_the_same_in_words() {
    let output = check(&(line(1) + "no json\n"), &[]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stdout);
    for part in [
        "access.jsonl: 2 lines, 1 requests read, 1 refused",
        "weir, found: Weir's own JSON lines (all requests that were read)",
        "account 100 %, time 100 %",
        "account sk-1 at 2026-11-21T06:30:06.5Z",
        "1 INVALID_JSON, the first in line 2: it is no JSON object",
        "detector  rhythm ready",
        "weir run --tail access.jsonl, or weir import access.jsonl",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

#[test]
fn a_log_of_which_nothing_can_be_read_is_a_failure_with_a_hint() {
    for arguments in [&["--json"][..], &[]] {
        let output = check("{\"what\":1}\nis this\n", arguments);
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(told.contains("write a format file (docs/formats.md)"), "{told}");
    }
    assert_eq!(check("", &[]).status.code(), Some(0), "an empty file is none");
    let missing = weir(&["check-log", "/nowhere/at/all.jsonl"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("/nowhere/at/all.jsonl"), "{}", text(&missing.stderr));
}

#[test]
fn what_is_no_request_is_counted_by_itself() {
    let span = |model: &str| {
        let attributes =
            r#"{"key":"user.id","value":{"stringValue":"u"}},{"key":"@","value":{"stringValue":"m"}}"#;
        let attributes = attributes.replace('@', model);
        format!(r#"{{"startTimeUnixNano":"1795242606000000000","attributes":[{attributes}]}}"#)
    };
    let export = |spans: &[String]| {
        format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{}]}}]}}]}}\n", spans.join(","))
    };
    let (request, other) = (span("gen_ai.request.model"), span("db.system"));
    let checked = as_json(&export(&[other.clone(), request, other.clone()]), &[]);
    assert_eq!(
        (&checked["readable"], &checked["other"], &checked["refused"]),
        (&json!(1), &json!(2), &json!([]))
    );
    assert_eq!(checked["format"], "otel_genai");
    let output = check(&export(&[other.clone(), other]), &[]);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    assert!(shown.contains("0 requests read, 0 refused\n"), "{shown}");
    assert!(shown.contains("2 records tell of no request to a model: they are passed over\n"), "{shown}");
    assert!(shown.contains("OpenTelemetry's, but none of it tells of a request to a model\n"), "{shown}");
}

#[test]
fn a_format_file_of_ones_own_is_used() {
    let directory = TempDir::new().unwrap();
    let format = directory.path().join("mine.toml");
    std::fs::write(&format, "[fields]\naccount = \"who\"\ntime = { at = \"when\", unit = \"ms\" }\n")
        .unwrap();
    let arguments = ["--json", "--collector-format", format.to_str().unwrap()];
    let output = check_in(directory.path(), b"{\"who\":\"k\",\"when\":1795242606320}\n", &arguments);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["sample"][0]["account"], "k");
    assert_eq!(said["sample"][0]["time_ms"], 1_795_242_606_320_i64);
}

#[test]
fn nothing_is_written_anywhere() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("access.jsonl"), line(1)).unwrap();
    let mut command = weir(&["check-log", "access.jsonl"]);
    command.current_dir(directory.path()).env("HOME", directory.path()).env("TMPDIR", directory.path());
    success(command);
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["access.jsonl"]);
}

#[test]
fn what_collecting_would_refuse_is_refused() {
    let ahead = line(2).replace("1795242606.5", "\"2199-11-21T06:30:06Z\"");
    let said = as_json(&(line(1) + &ahead), &[]);
    assert_eq!((&said["lines"], &said["readable"]), (&json!(2), &json!(1)));
    assert_eq!(
        (&said["refused"][0]["line"], &said["refused"][0]["kind"]),
        (&json!(2), &json!("FUTURE_TIME"))
    );
    let nothing_else = check(&ahead, &["--json"]);
    assert!(!nothing_else.status.success(), "nothing in it can be collected");
}

#[test]
fn an_empty_log_is_said_to_be_empty() {
    for log in ["", "\n\n"] {
        let output = check(log, &[]);
        let said = text(&output.stdout);
        assert!(output.status.success() && said.contains("there is nothing in it yet"), "{said}");
        assert!(!said.contains("none that Weir knows"), "{said}");
    }
}
