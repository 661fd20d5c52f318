//! A sample of every format that ships, written as its tool's documentation describes, read field by field;
//! and the same with everything in it that may be wrong.

use super::tests::{of, show};
use super::*;
use crate::tail;
use crate::tail::{LineReader, PrintKey};
use expect_test::expect_file;
use serde_json::Value as Json;
use std::path::PathBuf;

const LINE_BYTES_MAX: usize = 8 << 10;

fn sample_of(name: &str) -> String {
    let file = |ending: &str| {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("src/format/samples/{name}.{ending}"))
    };
    let read = |ending: &str| std::fs::read_to_string(file(ending)).ok();
    ["jsonl", "log", "csv"].into_iter().find_map(read).unwrap_or_else(|| panic!("{name} has no sample"))
}

/// Reads logs from their bytes on, one after another.
struct Through {
    lines: LineReader,
    reader: Reader,
}

impl Through {
    fn new(format: &Format) -> Self {
        let key = PrintKey::new(&crate::Pseudonymizer::new([7; 32], 0));
        Self {
            lines: LineReader::new(LINE_BYTES_MAX, key),
            reader: Reader::new(format, LINE_BYTES_MAX).unwrap(),
        }
    }

    /// What `each` makes of every record of a log.
    fn read<T>(&mut self, log: &[u8], each: impl Fn(&Record<'_>) -> T) -> Vec<T> {
        let mut all = Vec::new();
        let mut take = |record: Record<'_>| all.push(each(&record));
        let mut rest = log;
        while !rest.is_empty() {
            self.lines.fill(&mut rest).unwrap();
            while let Some(line) = self.lines.next_line() {
                let line = match line {
                    tail::Line::TooLong { offset, bytes, cuts, .. } => Line { offset, bytes, cuts },
                    tail::Line::Text { offset, bytes } => Line::whole(offset, bytes),
                };
                self.reader.read(line, &mut take);
            }
        }
        self.reader.finish(&mut take);
        all
    }

    /// The accounts of the records that are read; none where one is refused.
    fn accounts(&mut self, log: &str) -> Option<Vec<String>> {
        let each =
            |record: &Record<'_>| record.read.as_ref().ok().map(|exchange| exchange.account.to_string());
        self.read(log.as_bytes(), each).into_iter().collect()
    }

    /// The account and the prompt of a request with this body, in a line of nginx.
    fn asked(&mut self, path: &str, body: &str) -> Option<(String, Option<String>)> {
        let quoted = Json::from(body);
        let log = format!(
            "{{\"request_id\":\"1\",\"time\":1795242606.7,\"account\":\"sk-1\",\"uri\":\"{path}\",\"request_time\":0.1,\"request_body\":{quoted}}}\n"
        );
        let mut all = self.read(log.as_bytes(), |record| {
            let exchange = record.read.as_ref().ok()?;
            Some((exchange.account.to_string(), exchange.prompt.as_deref().map(str::to_owned)))
        });
        assert_eq!(all.len(), 1, "{log}");
        all.remove(0)
    }
}

/// All that is known of every record, the format that was taken, and what it leaves unread.
fn told(format: &Format, log: &str) -> String {
    let each = |record: &Record<'_>| {
        let said = match &record.read {
            Ok(exchange) => show(exchange),
            Err(refusal) => format!("{}: {}", refusal.kind, refusal.reason),
        };
        let mut unread: Vec<&str> = record.unread().collect();
        unread.sort_unstable();
        let unread = if unread.is_empty() { String::new() } else { format!("\nunread={}", unread.join(" ")) };
        format!("{}: {said}{unread}\n", record.format.unwrap_or("none"))
    };
    Through::new(format).read(log.as_bytes(), each).join("\n")
}

#[test]
fn every_sample_is_read_field_by_field_and_by_its_own_format() {
    for spec in shipped() {
        let (name, sample) = (&spec.name, sample_of(&spec.name));
        let auto = told(&Format::Auto, &sample);
        expect_file![format!("samples/{name}.txt")].assert_eq(&auto);
        let without_unread = |told: &str| {
            told.lines().filter(|line| !line.starts_with("unread=")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(without_unread(&told(&of(name), &sample)), without_unread(&auto), "{name}");
        let own = auto.lines().filter(|line| line.starts_with(&format!("{name}: "))).count();
        assert!(own > 0, "{name} is read as itself: {auto}");
    }
}

#[test]
fn rows_of_columns_are_read_by_the_format_whose_keys_name_them() {
    expect_file!["samples/csv.txt"].assert_eq(&told(&Format::Auto, &sample_of("csv")));
    let mine = Format::of_file(
        "mine",
        "columns = { separator = \";\", names = [\"who\", \"when\", \"what\"] }\n[fields]\naccount = \"who\"\ntime = \"when\"\nmodel = \"what\"",
    )
    .unwrap();
    let rows = told(&mine, "k;1795242606;atlas-1\nk;1795242607\n");
    assert_eq!(
        rows,
        "mine: k @1795242606000\nmodel=atlas-1\n\nnone: INVALID_FIELD: the line has 2 columns, and the line of names has 3\n"
    );
}

/// Values that are wrong nearly everywhere, as they stand in JSON.
fn wrong_values() -> Vec<String> {
    let small = [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1.5",
        "-0",
        "1e400",
        "NaN",
        "Infinity",
        "-Infinity",
        "99999999999999999999",
        "\"\"",
        "\"-\"",
        "\" \"",
        "\"x\"",
        "\"-1\"",
        "\"2026-13-45\"",
        "\"\\ud83d\"",
        "\"\\udc00x\"",
        "\"\\u0000\"",
        "\"\0\"",
        "\"\\q\\u12\"",
        "[]",
        "{}",
        "[null]",
        "[1,]",
        "[[]]",
        "[{\"a\":1}]",
        "{\"a\":{\"b\":[1]}}",
        "{\"a\":1,}",
        "[\"x\",7]",
        "",
        "bare",
        "\"{\"",
        "\"[1,\"",
        "\"{\\\"a\\\":\"",
        "\"\\\\\"",
    ];
    small.map(str::to_owned).to_vec()
}

/// Values that make a line too long.
fn oversized_values() -> [String; 4] {
    let many = LINE_BYTES_MAX * 2;
    [
        format!("\"{}\"", "x".repeat(many)),
        format!("\"{}\"", "\\ud83d".repeat(many / 6)),
        format!("{}{}", "[".repeat(many / 2), "]".repeat(many / 2)),
        format!("[{}7]", "{\"role\":\"user\",\"content\":1},".repeat(many / 28)),
    ]
}

/// A place in a JSON value, by its keys and indices.
type Path = Vec<String>;

fn paths_of(value: &Json, at: &Path, all: &mut Vec<Path>) {
    let mut below = |key: String, value: &Json| {
        let path: Path = at.iter().cloned().chain([key]).collect();
        all.push(path.clone());
        paths_of(value, &path, all);
    };
    match value {
        Json::Object(entries) => entries.iter().for_each(|(key, value)| below(key.clone(), value)),
        Json::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| below(index.to_string(), value));
        }
        _ => {}
    }
}

fn pointer(path: &Path) -> String {
    path.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect()
}

/// The value without what stands at the path.
fn without(value: &Json, path: &Path) -> Json {
    let mut value = value.clone();
    let (last, above) = path.split_last().unwrap();
    match value.pointer_mut(&pointer(&above.to_vec())).unwrap() {
        Json::Object(entries) => drop(entries.remove(last)),
        Json::Array(items) => drop(items.remove(last.parse().unwrap())),
        _ => {}
    }
    value
}

/// The value as JSON, with other JSON at the path.
fn with(value: &Json, path: &Path, wrong: &str) -> String {
    const MARK: &str = "@here@";
    let mut value = value.clone();
    *value.pointer_mut(&pointer(path)).unwrap() = MARK.into();
    value.to_string().replace(&format!("\"{MARK}\""), wrong)
}

#[test]
fn no_value_of_an_optional_field_makes_a_record_unseen_in_any_format() {
    let mut through = Through::new(&Format::Auto);
    let (mut fields, values) = (0, [wrong_values(), oversized_values().to_vec()].concat());
    for spec in shipped() {
        for line in sample_of(&spec.name).lines() {
            let Ok(record) = serde_json::from_str::<Json>(line) else { continue };
            let Some(known) = through.accounts(&format!("{record}\n")) else { continue };
            let mut paths = Vec::new();
            paths_of(&record, &Vec::new(), &mut paths);
            for path in &paths {
                let rest = format!("{}\n", without(&record, path));
                // Where another text is another account, the account stands.
                let other = with(&record, path, "\"somebody\"") + "\n";
                if [rest, other].iter().any(|log| through.accounts(log).as_ref() != Some(&known)) {
                    continue;
                }
                fields += 1;
                for wrong in &values {
                    let log = with(&record, path, wrong) + "\n";
                    let shown: String = wrong.chars().take(40).collect();
                    assert_eq!(
                        through.accounts(&log).as_ref(),
                        Some(&known),
                        "{} at {} is {shown}",
                        spec.name,
                        pointer(path)
                    );
                }
            }
        }
    }
    assert!(fields > 500, "{fields} fields were tried");
}

/// Bodies of the usual APIs, each with the path that it is sent to.
fn bodies() -> Vec<(&'static str, Json)> {
    let body = |text: &str| serde_json::from_str(text).unwrap();
    vec![
        (
            "/v1/chat/completions",
            body(
                r#"{"model":"m","stream":true,"n":2,"logprobs":true,"temperature":0.2,"max_tokens":9,"response_format":{"type":"json_object"},"tools":[{"type":"function","function":{"name":"f"}}],"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"Why?"},{"type":"image_url","image_url":{"url":"data:x"}}]},{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"42"}]}"#,
            ),
        ),
        ("/v1/completions", body(r#"{"model":"m","prompt":"Why?","max_tokens":9,"suffix":"x","best_of":2}"#)),
        (
            "/v1/responses",
            body(
                r#"{"model":"m","instructions":"Be brief.","input":[{"role":"user","content":[{"type":"input_text","text":"Why?"}]},{"type":"function_call","name":"f","arguments":"{}"},{"type":"function_call_output","output":"42"}],"max_output_tokens":9,"text":{"format":{"type":"json_schema","schema":{}}},"metadata":{"a":"b"}}"#,
            ),
        ),
        (
            "/v1/messages",
            body(
                r#"{"model":"m","system":[{"type":"text","text":"Be brief."}],"max_tokens":9,"messages":[{"role":"user","content":"Why?"},{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"42"}]}],"tools":[{"name":"f"}]}"#,
            ),
        ),
        (
            "/v1beta/models/m:generateContent",
            body(
                r#"{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[{"role":"user","parts":[{"text":"Why?"},{"inlineData":{"mimeType":"image/png","data":"AA"}}]}],"generationConfig":{"maxOutputTokens":9,"candidateCount":2,"temperature":0.2},"safetySettings":[]}"#,
            ),
        ),
        (
            "/v1/chat",
            body(
                r#"{"model":"m","message":"Why?","preamble":"Be brief.","chat_history":[{"role":"USER","message":"Hi"}],"max_tokens":9,"documents":[{"text":"d"}]}"#,
            ),
        ),
        (
            "/model/m/converse",
            body(
                r#"{"system":[{"text":"Be brief."}],"messages":[{"role":"user","content":[{"text":"Why?"}]}],"inferenceConfig":{"maxTokens":9,"temperature":0.2},"toolConfig":{"tools":[{"toolSpec":{"name":"f"}}]}}"#,
            ),
        ),
        (
            "/generate",
            body(r#"{"inputs":"Why?","parameters":{"max_new_tokens":9,"temperature":0.2,"details":true}}"#),
        ),
        ("/v1/embeddings", body(r#"{"model":"m","input":["Why?"],"dimensions":8}"#)),
        ("/v1/rerank", body(r#"{"model":"m","query":"Why?","top_n":3}"#)),
    ]
}

#[test]
fn no_value_of_a_body_hides_the_words_beside_it() {
    let mut through = Through::new(&Format::Auto);
    let mut fields = 0;
    for (to, body) in bodies() {
        let known = through.asked(to, &body.to_string());
        let prompt = known.as_ref().and_then(|(_, prompt)| prompt.as_deref());
        assert_eq!(prompt, Some("Why?"), "{to}");
        let mut paths = Vec::new();
        paths_of(&body, &Vec::new(), &mut paths);
        for path in &paths {
            if through.asked(to, &without(&body, path).to_string()) != known {
                continue;
            }
            fields += 1;
            for wrong in wrong_values() {
                let body = with(&body, path, &wrong);
                // In the place of other parts of the conversation words are words.
                let is_of_talk = ["messages", "contents", "input", "documents"].contains(&&*path[0]);
                match through.asked(to, &body) {
                    Some((account, Some(_))) if is_of_talk => assert_eq!(account, "sk-1"),
                    asked => assert_eq!(asked, known, "{to} at {} is {wrong:?}", pointer(path)),
                }
            }
            for wrong in oversized_values() {
                let account = through.asked(to, &with(&body, path, &wrong)).map(|(account, _)| account);
                assert_eq!(account.as_deref(), Some("sk-1"), "{to} at {}", pointer(path));
            }
        }
    }
    assert!(fields > 60, "{fields} fields were tried");
}

#[test]
fn what_says_nothing_beside_the_words_erases_none() {
    let nothing = [
        "null",
        "\"\"",
        "\" \"",
        "[]",
        "{}",
        "[\"\"]",
        "[{\"role\":\"user\",\"content\":\"\"}]",
        "7",
        "true",
    ];
    let keys = [
        "messages",
        "prompt",
        "input",
        "inputs",
        "message",
        "query",
        "contents",
        "instructions",
        "system",
        "text",
        "documents",
        "chat_history",
        "preamble",
        "context",
    ];
    let mut through = Through::new(&Format::Auto);
    for (to, body) in bodies() {
        let known = through.asked(to, &body.to_string());
        for key in keys {
            for value in nothing {
                let body = body.to_string();
                let (inside, last) = (&body[1..], &body[..body.len() - 1]);
                let first = format!("{{\"{key}\":{value},{inside}");
                assert_eq!(through.asked(to, &first), known, "{to}: {key} is {value} before");
                assert_eq!(
                    through.asked(to, &format!("{last},\"{key}\":{value}}}")),
                    known,
                    "{to}: {key} is {value} behind"
                );
            }
        }
    }
}
