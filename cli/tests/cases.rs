//! What people who run gateways reported of other readers of logs, each as the smallest log that shows it. Whatever a client
//! writes, its campaign is found; whatever a tool writes, it is read or told of.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, text, weir};
use serde_json::{Value, json};
use std::process::Output;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/access.jsonl");

/// What stands for the escape of half a character until the text is written, because no text can hold it.
const HALF: &str = "@half@";

/// The recorded example, each line changed by what `change` does to it; it is told whether the line is the campaign's.
fn example(change: impl Fn(Value, bool) -> Value) -> String {
    let recorded = std::fs::read_to_string(EXAMPLE).unwrap();
    let lines = recorded.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let is_campaign = line["campaign_label"] != "benign";
        format!("{}\n", change(line, is_campaign))
    });
    lines.collect::<String>().replace(HALF, "\\ud83d")
}

fn assert_finds_the_campaign(log: &str, arguments: &[&str]) {
    let place = Place::new();
    std::fs::write(&place.feed, log).unwrap();
    let mut command = place.run_to_idle();
    command.args(arguments);
    let shown = text(&common::success(command).stdout);
    assert!(shown.contains("events    1677 read, 0 refused"), "{shown}");
    assert!(shown.contains("accounts  6 CRITICAL\n"), "{shown}");
}

/// A line of nginx with more in its body, where it has one.
fn with_more_in_the_body(line: Value, more: &str) -> Value {
    let mut line = line;
    if let Some(body) = line["request_body"].as_str().and_then(|body| body.trim_end().strip_suffix('}')) {
        line["request_body"] = format!("{body},{more}}}").into();
    }
    line
}

/// A line of nginx as Weir's own.
fn own(line: &Value) -> Value {
    let body: Value =
        line["request_body"].as_str().and_then(|b| serde_json::from_str(b).ok()).unwrap_or_default();
    let said = |role: &str| {
        let messages = body["messages"].as_array().into_iter().flatten();
        messages
            .filter(|message| message["role"] == role)
            .map(|message| message["content"].clone())
            .next_back()
    };
    let mut own = json!({
        "id": line["request_id"], "endpoint": line["uri"], "model": line["response_model"],
        "prompt": said("user"), "system_prompt": said("system"), "max_tokens": body["max_tokens"],
    });
    for key in
        ["account", "time", "ip", "org", "payment", "asn", "asn_org", "user_agent", "header_order", "status"]
    {
        own[key] = line[key].clone();
    }
    own
}

#[test]
fn half_a_character_hides_no_campaign() {
    // In the body: the escape is one of the body's own.
    let more = format!("\"user\":\"{}\",\"metadata\":{{\"a\":\"\\ud83d\"}}", "\\ud83d");
    assert_finds_the_campaign(
        &example(|line, is_campaign| if is_campaign { with_more_in_the_body(line, &more) } else { line }),
        &[],
    );
    assert_finds_the_campaign(
        &example(|line, is_campaign| {
            let mut own = own(&line);
            if is_campaign && own["prompt"].is_string() {
                own["prompt"] = format!("{}{HALF}", own["prompt"].as_str().unwrap()).into();
            }
            own
        }),
        &[],
    );
}

#[test]
fn an_empty_input_beside_the_messages_hides_no_campaign() {
    for more in ["\"input\":\"\"", "\"prompt\":{\"id\":\"p-1\"}", "\"messages\":[]"] {
        let log =
            example(|line, is_campaign| if is_campaign { with_more_in_the_body(line, more) } else { line });
        assert_finds_the_campaign(&log, &[]);
    }
}

#[test]
fn a_limit_that_makes_no_sense_hides_no_campaign() {
    let log = example(|line, is_campaign| {
        let mut own = own(&line);
        if is_campaign {
            own["max_tokens"] = json!(-1);
            own["latency_ms"] = json!(812.4);
        }
        own
    });
    assert_finds_the_campaign(&log, &[]);
}

#[test]
fn a_key_of_another_format_hides_no_campaign() {
    let log = example(|line, _| {
        let mut own = own(&line);
        own["uri"] = own["endpoint"].take();
        own["request_time"] = json!("0.4");
        own
    });
    assert_finds_the_campaign(&log, &[]);
    assert_finds_the_campaign(&log, &["--collector-format", "weir"]);
}

#[test]
fn one_request_id_for_all_hides_no_campaign() {
    let log = example(|mut line, is_campaign| {
        if is_campaign {
            line["request_id"] = "00000000-0000-4000-8000-000000000001".into();
        }
        line
    });
    assert_finds_the_campaign(&log, &[]);
}

fn checked(log: &str) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("log");
    std::fs::write(&file, log).unwrap();
    let output = weir(&["check-log", "--json", "--sample", "0", "--text"]).arg(&file).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

/// What each record says of these fields.
fn said<const N: usize>(log: &str, fields: [&str; N]) -> Vec<[Value; N]> {
    let checked = checked(log);
    let sample = checked["sample"].as_array().unwrap();
    sample.iter().map(|record| fields.map(|field| record[field].clone())).collect()
}

fn nginx(uri: &str, body: &str) -> String {
    let line = json!({
        "request_id": "1", "time": 1_795_242_606.7, "account": "sk-1", "uri": uri, "request_time": 0.1, "request_body": body,
    });
    format!("{line}\n")
}

#[test]
fn bodies_of_the_usual_apis_are_understood_wherever_the_model_stands() {
    let asked = [
        (
            "/v1beta/models/g-2.5:generateContent",
            r#"{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[{"role":"user","parts":[{"text":"Why?"}]}],"generationConfig":{"maxOutputTokens":9}}"#,
        ),
        (
            "/openai/deployments/prod/chat/completions",
            r#"{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Why?"}],"max_tokens":9}"#,
        ),
        (
            "/model/v.atlas/invoke",
            r#"{"system":"Be brief.","messages":[{"role":"user","content":"Why?"}],"max_tokens":9}"#,
        ),
        (
            "/model/v.atlas/converse",
            r#"{"system":[{"text":"Be brief."}],"messages":[{"role":"user","content":[{"text":"Why?"}]}],"inferenceConfig":{"maxTokens":9}}"#,
        ),
        ("/v1/chat", r#"{"model":"c","preamble":"Be brief.","message":"Why?","max_tokens":9}"#),
        (
            "/v1/responses",
            r#"{"model":"r","prompt":{"id":"p"},"instructions":"Be brief.","input":"Why?","max_output_tokens":9}"#,
        ),
    ];
    let log: String = asked.iter().map(|(uri, body)| nginx(uri, body)).collect();
    let models = ["g-2.5", "prod", "v.atlas", "v.atlas", "c", "r"];
    let expected: Vec<_> =
        models.iter().map(|model| [json!(model), json!("Why?"), json!("Be brief."), json!(9)]).collect();
    assert_eq!(said(&log, ["model", "prompt", "system_prompt", "max_tokens"]), expected);
}

#[test]
fn a_body_that_is_no_request_is_counted_and_never_taken_for_a_prompt() {
    let log = nginx("/v1/responses", "(\u{b5}/\u{fffd}\u{4}X\u{1}\u{0}\u{fffd}\u{2}")
        + &nginx("/v1/files", "--x\r\nContent-");
    let checked = checked(&log);
    assert_eq!(checked["readable"], 2);
    assert_eq!((&checked["fields"]["prompt"], &checked["unread"]["body"]), (&json!(0), &json!(2)));
}

#[test]
fn lists_and_json_printed_for_people_are_read_record_by_record() {
    let row = |id: &str| {
        json!({"request_id": id, "call_type": "acompletion", "api_key": "k-1", "startTime": "2026-11-21T06:30:06.071Z",
            "endTime": "2026-11-21T06:30:07Z", "model": "atlas-1", "prompt_tokens": 7, "completion_tokens": 31,
            "messages": [{"role": "user", "content": "Why?"}], "requester_ip_address": "192.0.2.7"})
    };
    let rows = json!([row("a"), row("b")]);
    let expected =
        ["a", "b"].map(|id| [json!(id), json!("k-1"), json!("Why?"), json!("192.0.2.7"), json!(7)]);
    for log in [format!("{rows}\n"), format!("{rows:#}\n")] {
        assert_eq!(said(&log, ["id", "account", "prompt", "ip", "tokens"]), expected);
        assert_eq!(checked(&log)["refused"], json!([]));
    }
}

#[test]
fn a_gap_costs_nothing_and_a_torn_line_costs_itself() {
    let line =
        |id: &str| format!("{{\"id\":\"{id}\",\"account\":\"a\",\"time\":1795242606,\"prompt\":\"p\"}}");
    let log = format!(
        "{}\n\0\0\0\0{}\n{}{}\n{}{}\n",
        line("1"),
        line("2"),
        &line("torn")[..20],
        line("3"),
        line("4"),
        line("5")
    );
    let checked = checked(&log);
    assert_eq!(said(&log, ["id"]), ["1", "2", "3", "4", "5"].map(|id| [json!(id)]));
    assert_eq!(checked["refused"][0]["line"], 3);
    assert_eq!(checked["refused"].as_array().unwrap().len(), 1);
}

#[test]
fn a_key_is_one_account_however_it_is_written_and_however_long() {
    let line = |account: &str| format!("{}\n", json!({"account": account, "time": 1}));
    let log = ["sk-1", "Bearer sk-1", "bearer\tsk-1", "Token  sk-1"].map(line).concat();
    assert_eq!(said(&log, ["account"]), vec![[json!("sk-1")]; 4]);
    let token = "x".repeat(900);
    let long = said(&(line(&token) + &line(&format!("Bearer {token}"))), ["account"]);
    assert!(long[0] == long[1] && long[0][0].as_str().unwrap().starts_with("sha256:"), "{long:?}");
}

#[test]
fn a_format_that_names_nobody_is_told_with_what_to_do() {
    let log = r#"{"start_time":"2026-11-21T06:30:06.320Z","method":"POST","x-envoy-origin-path":"/v1/x","response_code":"200","x-request-id":"e1",":authority":"h","route_name":"r"}"#;
    let checked = checked(&format!("{log}\n"));
    let reason = checked["refused"][0]["reason"].as_str().unwrap();
    assert_eq!((&checked["format"], &checked["readable"]), (&json!("envoy_gateway"), &json!(0)));
    assert!(reason.contains("Envoy Gateway") && reason.contains("x-account-id"), "{reason}");
}

#[test]
fn to_follow_what_is_not_there_until_it_is_idle_is_an_error_and_an_end() {
    let place = Place::new();
    let run = |path: &std::path::Path| -> Output {
        let mut command = weir(&["run", "--node", "test", "--until-idle", "--tail"]);
        command.arg(path).arg("--data-dir").arg(&place.data).arg("--output-dir").arg(&place.output);
        command.arg("--keys-dir").arg(&place.keys).output().unwrap()
    };
    for path in [place.directory.path().join("nope.jsonl"), place.directory.path().to_owned()] {
        let output = run(&path);
        assert_eq!(output.status.code(), Some(1), "{}", path.display());
        assert!(text(&output.stderr).contains(&path.display().to_string()), "{}", text(&output.stderr));
    }
}
