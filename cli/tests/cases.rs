//! What people who run gateways reported of other readers of logs, each as the smallest log that shows it.
//! Whatever a client writes, its campaign is found; whatever a tool writes, it is read or told of.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, line, text, weir};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::Output;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/access.jsonl");

/// What stands for the escape of half a character until the text is written, because no text can hold it.
const HALF: &str = "@half@";

/// The recorded example, each line changed by what `change` does to it; it is told whether the line is the
/// campaign's.
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

/// What stands where something else should, as JSON spells it.
fn wrong() -> Vec<String> {
    let plain = [
        "null",
        "true",
        "-1",
        "0",
        "1e400",
        "3.7",
        "\"\"",
        "\"x\"",
        "\"\\u0000\"",
        "\"\\ud83d\"",
        "\"\\ude00\\ud83d\"",
        "[]",
        "[-1]",
        "{}",
        "{\"a\":{\"b\":[]}}",
    ];
    plain.into_iter().map(str::to_owned).chain([format!("{:?}", "x".repeat(5000)), "9".repeat(500)]).collect()
}

/// The example, where every request of the campaign has something wrong in each of these fields of its body.
fn with_wrong_fields(fields: &[&str]) -> String {
    let (wrong, count) = (wrong(), std::cell::Cell::new(0));
    example(|mut line, is_campaign| {
        let body = line["request_body"].as_str().and_then(|body| serde_json::from_str::<Value>(body).ok());
        let Some(Value::Object(mut body)) = body.filter(|_| is_campaign) else { return line };
        fields.iter().for_each(|field| drop(body.remove(*field)));
        let whole = Value::Object(body).to_string();
        let values = fields.iter().map(|field| {
            count.set(count.get() + 1);
            format!("\"{field}\":{}", wrong[count.get() % wrong.len()])
        });
        let values: Vec<String> = values.collect();
        line["request_body"] = format!("{{{},{}", values.join(","), &whole[1..]).into();
        line
    })
}

#[test]
fn nothing_wrong_in_a_field_of_the_body_hides_a_campaign() {
    assert_finds_the_campaign(
        &with_wrong_fields(&["max_tokens", "temperature", "n", "stream", "logprobs"]),
        &[],
    );
    assert_finds_the_campaign(
        &with_wrong_fields(&[
            "tools",
            "response_format",
            "user",
            "metadata",
            "stop",
            "stream_options",
            "seed",
        ]),
        &[],
    );
    assert_finds_the_campaign(&with_wrong_fields(&["model"]), &[]);
    // What other servers read in the place of the messages.
    assert_finds_the_campaign(
        &with_wrong_fields(&[
            "prompt",
            "input",
            "inputs",
            "contents",
            "message",
            "instructions",
            "request",
            "options",
        ]),
        &[],
    );
}

#[test]
fn nothing_wrong_in_a_header_hides_a_campaign() {
    let odd = [
        String::new(),
        "\0".into(),
        HALF.into(),
        "\u{fffd}".into(),
        "-".into(),
        "null".into(),
        "x".repeat(5000),
    ];
    let count = std::cell::Cell::new(0);
    let log = example(|mut line, is_campaign| {
        for field in ["request_id", "user_agent", "header_order"].into_iter().filter(|_| is_campaign) {
            count.set(count.get() + 1);
            line[field] = odd[count.get() % odd.len()].clone().into();
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

/// The lines of these numbers.
fn numbered(numbers: std::ops::RangeInclusive<u64>) -> String {
    numbers
        .map(|n| line(&format!("r{n}"), 1_795_240_800_000 + n * 1000, &format!("sk-{}", n % 3), "p"))
        .collect()
}

/// How many events there are, each once, when what is at `place.feed` was read to its end.
fn events_after_reading(place: &Place) -> u64 {
    place.run_until_idle();
    let report = place.replay(&["--lockstep"]);
    report.balances();
    assert_eq!(report.number("dlq"), 0);
    report.number("events")
}

#[test]
fn of_two_rotations_while_nobody_reads_no_line_is_lost_whatever_the_files_are_called() {
    let names = [
        ["access-2026-11-21T06-30-06.320.jsonl", "access-2026-11-22T06-30-06.320.jsonl"],
        ["access.2.jsonl", "access.1.jsonl"],
        ["access.jsonl.2", "access.jsonl.1"],
    ];
    for [older, newer] in names {
        let place = Place::new();
        let rotated = |name: &str| std::fs::rename(&place.feed, place.directory.path().join(name)).unwrap();
        std::fs::write(&place.feed, numbered(1..=5)).unwrap();
        assert_eq!(events_after_reading(&place), 5);
        let mut feed = std::fs::OpenOptions::new().append(true).open(&place.feed).unwrap();
        feed.write_all(numbered(6..=7).as_bytes()).unwrap();
        rotated(older);
        std::fs::write(&place.feed, numbered(11..=14)).unwrap();
        rotated(newer);
        std::fs::write(&place.feed, numbered(21..=24)).unwrap();
        assert_eq!(events_after_reading(&place), 5 + 2 + 4 + 4, "{older}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_that_moved_to_the_next_day_loses_nothing_of_the_last() {
    use std::os::unix::fs::symlink;
    let mut place = Place::new();
    let at = |name: &str| place.directory.path().join(name);
    let (first, second, link) = (at("21"), at("22"), at("current.jsonl"));
    std::fs::create_dir(&first).unwrap();
    std::fs::create_dir(&second).unwrap();
    std::fs::write(first.join("access.jsonl"), numbered(1..=5)).unwrap();
    symlink("21/access.jsonl", &link).unwrap();
    place.feed = link.clone();
    assert_eq!(events_after_reading(&place), 5);
    std::fs::write(first.join("access.jsonl"), numbered(1..=9)).unwrap();
    std::fs::write(second.join("access.jsonl"), numbered(11..=14)).unwrap();
    std::fs::remove_file(&link).unwrap();
    symlink("22/access.jsonl", &link).unwrap();
    assert_eq!(events_after_reading(&place), 9 + 4);
}

#[test]
fn what_runs_containers_wraps_lines_and_they_are_read_all_the_same() {
    let own = |n: u64| numbered(n..=n).trim_end().to_owned();
    let quoted = |n: u64| Value::from(own(n) + "\n").to_string();
    let second = own(2);
    let (half, rest) = second.split_at(40);
    let at = "2026-11-21T06:00:01.123456789Z";
    let cri = format!("{at} stdout F {}\n{at} stdout P {half}\n{at} stdout F {rest}\n", own(1));
    let docker = |n| format!(r#"{{"log":{},"stream":"stdout","time":"{at}"}}"#, quoted(n));
    let journald = |n| format!(r#"{{"__REALTIME_TIMESTAMP":"1795242606320000","MESSAGE":{}}}"#, quoted(n));
    let syslog = |n| format!("<190>Nov 21 06:30:06 gw nginx: {}", own(n));
    let both = |wrapped: &dyn Fn(u64) -> String| format!("{}\n{}\n", wrapped(1), wrapped(2));
    for log in [cri, both(&docker), both(&journald), both(&syslog)] {
        assert_eq!(
            said(&log, ["id", "account"]),
            [["r1", "sk-1"], ["r2", "sk-2"]].map(|row| row.map(|v| json!(v))),
            "{log}"
        );
        assert_eq!(checked(&log)["refused"], json!([]));
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn import(place: &Place, file: &Path) -> Output {
    let mut command = weir(&["import"]);
    command.arg(file).arg("--data-dir").arg(&place.data);
    command.arg("--keys-dir").arg(place.keys_of("collector")).output().unwrap()
}

#[test]
fn half_of_a_packed_file_is_an_error_and_the_whole_of_it_comes_in_once() {
    let place = Place::new();
    let file = place.directory.path().join("access.jsonl.gz");
    let whole = gzip(numbered(1..=2000).as_bytes());
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let output = import(&place, &file);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("incomplete"), "{}", text(&output.stderr));
    std::fs::write(&file, whole).unwrap();
    assert!(import(&place, &file).status.success());
    assert_eq!(place.replay(&["--lockstep"]).balances().number("events"), 2000);
    let packed = place.directory.path().join("other.jsonl.zst");
    std::fs::write(&packed, zstd::encode_all(numbered(3001..=3009).as_bytes(), 3).unwrap()).unwrap();
    assert!(import(&place, &packed).status.success());
    assert_eq!(place.replay(&["--lockstep"]).balances().number("events"), 2009);
}

#[test]
fn a_copy_that_is_imported_too_is_the_same_events() {
    let place = Place::new();
    let log = std::fs::read(EXAMPLE).unwrap();
    let at = |name: &str| place.directory.path().join(name);
    std::fs::write(at("access.jsonl"), &log).unwrap();
    std::fs::write(at("access.jsonl.1"), &log).unwrap();
    std::fs::write(at("access.jsonl.1.gz"), gzip(&log)).unwrap();
    for name in ["access.jsonl", "access.jsonl", "access.jsonl.1", "access.jsonl.1.gz"] {
        let output = import(&place, &at(name));
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        assert_eq!(place.replay(&["--lockstep"]).balances().number("events"), 1677, "{name}");
    }
}

/// What the tools write by themselves; more of each, field by field, is in the samples of the formats.
#[test]
fn what_gateways_write_is_read_or_named_with_what_is_missing() {
    let words = "Why is the fjord deep?";
    let chat = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": words}]);
    let kong = json!({"client_ip": "192.0.2.7", "started_at": 1_795_242_606_320_i64, "consumer": {"username": "team-a"},
        "request": {"uri": "/v1/chat/completions", "headers": {"authorization": "Bearer sk-1"}}, "response": {"status": 200},
        "latencies": {"request": 412}, "ai": {"proxy": {"meta": {"request_model": "atlas-1"}, "usage": {"prompt_tokens": 7}}}});
    let new_api = json!({"id": 1, "user_id": 7, "created_at": 1_795_242_606, "type": 2, "username": "team-a", "token_name": "k",
        "model_name": "atlas-1", "quota": 120, "prompt_tokens": 7, "ip": "192.0.2.7"});
    let langfuse = json!({"id": "o1", "trace_id": "t1", "type": "GENERATION", "start_time": "2026-11-21 06:30:06.320000",
        "user_id": "team-a", "provided_model_name": "atlas-1", "input": chat.to_string(), "usage_details": {"input": 7}});
    let span = json!({"name": "chat", "context": {"trace_id": "0x1", "span_id": "0x2"}, "start_time": "2026-11-21T06:30:06.320000Z",
        "attributes": {"gen_ai.request.model": "atlas-1", "gen_ai.prompt.0.content": words, "gen_ai.usage.input_tokens": 7,
        "enduser.id": "team-a"}});
    let (none, asked) = (Value::Null, json!(words));
    for (record, format, prompt) in [
        (kong, "kong", &none),
        (new_api, "new_api", &none),
        (langfuse, "langfuse", &asked),
        (span, "otel_genai", &asked),
    ] {
        let log = format!("{record}\n");
        assert_eq!(checked(&log)["format"], format);
        let expected = [json!("team-a"), json!("atlas-1"), prompt.clone(), json!(7)];
        assert_eq!(said(&log, ["account", "model", "prompt", "tokens"]), [expected], "{format}");
    }
    let batch = json!({"custom_id": "b1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": chat}});
    let vllm = "INFO 11-21 06:30:06 [logger.py:43] Received request c-1: prompt: \"It's\", params: SamplingParams(n=1)";
    for (log, format, missing) in
        [(batch.to_string(), "openai_batch", "account"), (vllm.to_owned(), "vllm", "names nobody")]
    {
        let checked = checked(&format!("{log}\n"));
        assert_eq!((&checked["format"], &checked["readable"]), (&json!(format), &json!(0)), "{log}");
        let reason = checked["refused"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(missing), "{reason}");
    }
}
