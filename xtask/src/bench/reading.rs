//! What a line costs, part by part: split, parse by format, hash, features by length, write.
//!
//! Every figure is this thread's CPU time, the least of a few rounds; rounds of what is compared take turns,
//! so that a busy machine slows both.

use super::meter::{Taken, line, ratio, thread_ns};
use super::tail;
use crate::dirs;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use weir_collector::event::EventWriter;
use weir_collector::features::Features;
use weir_collector::features::embedding::Embedding;
use weir_collector::format::{Line, Reader, Record};
use weir_collector::identity::{LineKey, Repeats};
use weir_collector::limits::LINE_BYTES_MAX_DEFAULT;
use weir_collector::tail::{Line as FileLine, LineReader, PrintKey};
use weir_collector::{CollectorConfig, Format, Pseudonymizer, Sealer};
use weir_schemas::EventId;
use weir_schemas::wire::Wire;

/// Rounds, of which the least counts.
const ROUNDS: usize = 7;

/// Bytes of each log: more than fit the fastest caches.
const LOG_BYTES: usize = 8 << 20;

/// A moment behind every line.
const NOW_MS: i64 = 4_000_000_000_000;

const KEY: [u8; 32] = [7; 32];

/// Lines of the generated log.
const LINES: u64 = 20_000;

pub fn run() -> Result<()> {
    for log in &logs()? {
        stages(log)?;
    }
    for bytes in [500, 4_096] {
        for script in [Script::Latin, Script::Cyrillic] {
            features(bytes, script)?;
        }
    }
    Ok(())
}

/// A log in memory.
struct Log {
    name: &'static str,
    bytes: Vec<u8>,
    lines: u64,
}

impl Log {
    /// The text over and over, behind its `head`.
    fn new(name: &'static str, head: &str, text: &[u8]) -> Self {
        let mut bytes = head.as_bytes().to_vec();
        while bytes.len() < LOG_BYTES {
            bytes.extend_from_slice(text);
        }
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        Self { name, bytes, lines: lines - u64::from(!head.is_empty()) }
    }
}

/// One traffic as four writers log it, and another that a real nginx recorded.
fn logs() -> Result<Vec<Log>> {
    let generated = std::fs::read(tail::generated(LINES)?)?;
    let example = dirs::workspace().join("examples").join("access.jsonl");
    let example = std::fs::read(&example).with_context(|| format!("cannot read {}", example.display()))?;
    let (mut litellm, mut csv) = (String::new(), String::new());
    for text in generated.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
        let fields: Value = serde_json::from_slice(text)?;
        litellm_line(&fields, &mut litellm)?;
        csv_line(&fields, &mut csv)?;
    }
    let head = "time,account,ip,user_agent,endpoint,model,prompt,max_tokens,tokens,status\n";
    Ok(vec![
        Log::new("weir", "", &generated),
        Log::new("nginx", "", &example),
        Log::new("litellm", "", litellm.as_bytes()),
        Log::new("csv", head, csv.as_bytes()),
    ])
}

/// As LiteLLM logs it.
fn litellm_line(fields: &Value, out: &mut String) -> Result<()> {
    let s = fields["time"].as_f64().context("a generated line has no time")? / 1e3;
    let line = json!({
        "id": fields["id"], "trace_id": fields["id"], "call_type": "acompletion", "stream": false,
        "cache_hit": false, "startTime": s, "endTime": s + 0.4, "completionStartTime": s + 0.2,
        "response_time": 0.4, "model": fields["model"], "model_id": "d3", "model_group": "atlas",
        "api_base": "https://model.example.com/v1", "custom_llm_provider": "openai", "status": "success",
        "error_str": null, "response_cost": 0.0004, "total_tokens": fields["tokens"], "prompt_tokens": 21,
        "completion_tokens": 4, "request_tags": ["User-Agent: OpenAI"], "end_user": fields["account"],
        "requester_ip_address": fields["ip"], "cache_key": null,
        "metadata": {
            "user_api_key_hash": fields["account"], "user_api_key_alias": "lantern",
            "user_api_key_org_id": "org-lantern", "user_api_key_team_id": "team-3",
            "user_api_key_user_email": null, "spend_logs_metadata": null,
            "requester_custom_headers": {"User-Agent": fields["user_agent"]},
        },
        "messages": [
            {"role": "system", "content": fields["system_prompt"]},
            {"role": "user", "content": fields["prompt"]},
        ],
        "response": {
            "id": fields["id"], "object": "chat.completion", "created": s as i64, "model": fields["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Ice."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 21, "completion_tokens": 4, "total_tokens": fields["tokens"]},
        },
        "model_parameters": {"max_tokens": fields["max_tokens"], "temperature": 0.2},
    });
    Ok(writeln!(out, "{line}")?)
}

/// As a spreadsheet has it.
fn csv_line(fields: &Value, out: &mut String) -> Result<()> {
    let text = |name: &str| match &fields[name] {
        Value::String(text) => format!("\"{}\"", text.replace('"', "\"\"")),
        other => other.to_string(),
    };
    let names = [
        "time",
        "account",
        "ip",
        "user_agent",
        "endpoint",
        "model",
        "prompt",
        "max_tokens",
        "tokens",
        "status",
    ];
    Ok(writeln!(out, "{}", names.map(text).join(","))?)
}

/// How far a line goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It is found.
    Split,
    /// Its format is told, and its fields are read.
    Parse,
    /// It has its id.
    Hash,
    /// It is an event without what its prompt says.
    Write,
    /// And with it.
    Features,
}

const STAGES: [(Stage, &str); 5] = [
    (Stage::Split, "split"),
    (Stage::Parse, "parse"),
    (Stage::Hash, "hash"),
    (Stage::Write, "write"),
    (Stage::Features, "features"),
];

/// What the stages of a collector cost, each with those before it.
fn stages(log: &Log) -> Result<()> {
    let mut least = [u64::MAX; STAGES.len()];
    let mut passes = STAGES.iter().map(|(stage, _)| Pass::new(*stage)).collect::<Result<Vec<_>>>()?;
    // The first time round announces every account, which a day has once.
    for round in 0..=ROUNDS {
        for (pass, least) in passes.iter_mut().zip(&mut least) {
            let began = thread_ns();
            pass.run(&log.bytes)?;
            let took = thread_ns() - began;
            let is_all = pass.stage == Stage::Split || pass.records == log.lines;
            ensure!(is_all, "{}: {} of {} lines are read", log.name, pass.records, log.lines);
            if round > 0 {
                *least = (*least).min(took);
            }
        }
    }
    let prompts = Pass::new(Stage::Parse)?.prompts(&log.bytes)?;
    let mut taker = Embedding::default();
    let embedding = least_of(|| prompts.iter().for_each(|prompt| seen(taker.signs(prompt, 7))));
    for (index, (stage, name)) in STAGES.iter().enumerate() {
        let ns = least[index];
        let before = if index == 0 { 0 } else { least[index - 1] };
        let each = |ns: u64| (ns as f64 / log.lines as f64).round();
        let mut more = json!({
            "log": log.name,
            "line_bytes": log.bytes.len() as u64 / log.lines,
            "ns_more": each(ns.saturating_sub(before)),
            "mb_per_cpu_s": (log.bytes.len() as f64 * 1e3 / ns as f64).round(),
        });
        if *stage == Stage::Features {
            more["embedding_ns"] = json!(each(embedding));
            more["ns_without_embedding"] = json!(each(ns.saturating_sub(embedding)));
        }
        line(&format!("reading_{name}"), log.lines, taken(ns), more);
    }
    Ok(())
}

/// One way through a log.
struct Pass {
    stage: Stage,
    prints: PrintKey,
    reader: Reader,
    key: LineKey,
    repeats: Repeats,
    events: EventWriter,
    records: u64,
    /// Normalised prompts, where they are kept.
    prompts: Option<Vec<Vec<u8>>>,
}

impl Pass {
    fn new(stage: Stage) -> Result<Self> {
        let keys = Pseudonymizer::new(KEY, 1);
        let sealer = Sealer::new(1, &[9; 32], [8; 32]).context("the bench's seal key")?;
        let config = CollectorConfig::new("bench", "bench");
        Ok(Self {
            stage,
            prints: PrintKey::new(&keys),
            reader: Reader::new(&Format::Auto, LINE_BYTES_MAX_DEFAULT)?,
            key: LineKey::new(&keys),
            repeats: Repeats::default(),
            events: EventWriter::new(&config, keys, sealer, Arc::new(Wire::new())),
            records: 0,
            prompts: None,
        })
    }

    /// The normalised prompts of a log.
    fn prompts(mut self, log: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.prompts = Some(Vec::new());
        self.run(log)?;
        Ok(self.prompts.unwrap_or_default())
    }

    fn run(&mut self, mut log: &[u8]) -> Result<()> {
        let mut lines = LineReader::new(LINE_BYTES_MAX_DEFAULT, self.prints.clone());
        self.records = 0;
        while lines.fill(&mut log)? > 0 {
            while let Some(text) = lines.next_line() {
                let FileLine::Text { offset, bytes } = text else { continue };
                if self.stage == Stage::Split {
                    black_box(bytes);
                    continue;
                }
                let mut id = EventId::default();
                if self.stage >= Stage::Hash {
                    let hash = self.key.hash(bytes);
                    id = self.key.event_id(hash, self.repeats.count(hash));
                    black_box(id);
                }
                let (events, records, stage) = (&mut self.events, &mut self.records, self.stage);
                let prompts = &mut self.prompts;
                self.reader.read(Line::whole(offset, bytes), &mut |record: Record<'_>| {
                    *records += 1;
                    let Ok(mut exchange) = record.read else { return };
                    if let (Some(prompts), Some(prompt)) = (&mut *prompts, &exchange.prompt) {
                        prompts.push(prompt.to_lowercase().into_bytes());
                    }
                    if stage < Stage::Write {
                        seen(exchange);
                        return;
                    }
                    if stage < Stage::Features {
                        exchange.prompt = None;
                    }
                    seen(events.write(&exchange, id, NOW_MS));
                });
            }
        }
        Ok(())
    }
}

/// In which letters a text is written.
#[derive(Clone, Copy)]
enum Script {
    Latin,
    Cyrillic,
}

/// What features of prompts of about so many bytes cost, and their embedding alone.
fn features(bytes: usize, script: Script) -> Result<()> {
    const PROMPTS: u64 = 400;
    let prompts: Vec<String> = (0..PROMPTS).map(|seed| prompt(seed, bytes, script)).collect();
    let normal: Vec<Vec<u8>> = prompts.iter().map(|prompt| prompt.to_lowercase().into_bytes()).collect();
    let (keys, mut taker, mut alone) =
        (Pseudonymizer::new(KEY, 1), Features::default(), Embedding::default());
    let (mut all, mut embedding) = (u64::MAX, u64::MAX);
    for _ in 0..ROUNDS {
        all = all.min(least_of(|| {
            prompts.iter().for_each(|prompt| seen(taker.of_prompt(prompt, false, &keys)));
        }));
        embedding = embedding.min(least_of(|| {
            normal.iter().for_each(|prompt| seen(alone.signs(prompt, 7)));
        }));
    }
    let each = |ns: u64| (ns as f64 / PROMPTS as f64).round();
    let mean = prompts.iter().map(String::len).sum::<usize>() as u64 / PROMPTS;
    let more = json!({
        "prompt_bytes": mean,
        "script": match script { Script::Latin => "latin", Script::Cyrillic => "cyrillic" },
        "embedding_ns": each(embedding),
        "ns_without_embedding": each(all.saturating_sub(embedding)),
        "embedding_share": ratio(embedding as f64, all as f64),
        "goal_ns": if bytes <= 500 { 15_000 } else { 60_000 },
    });
    line("features", PROMPTS, taken(all), more);
    Ok(())
}

/// A text of words whose frequency falls with their rank, as in any language.
fn prompt(seed: u64, bytes: usize, script: Script) -> String {
    const WORDS: u64 = 20_000;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut next = move || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    let mut text = String::new();
    while text.len() < bytes {
        if !text.is_empty() {
            text.push_str(if next() < 0.1 { ". " } else { " " });
        }
        // Uniform in the logarithm: Zipf's law.
        let rank = (WORDS as f64).powf(next()) as u64;
        word(rank, script, &mut text);
    }
    text
}

/// The word of a rank: the rarer the longer.
fn word(rank: u64, script: Script, text: &mut String) {
    const CONSONANTS: [&[u8]; 2] = [b"tnsrhldc", b"mfpgwybv"];
    let mut rest = rank.wrapping_mul(0x9e37_79b9) % (1 << 32);
    for syllable in 0..=rank.ilog2() / 3 {
        let consonant = CONSONANTS[(rest >> 9 & 1) as usize][rest as usize % 8];
        let vowel = b"eaiou"[(rest >> 3) as usize % 5];
        for letter in [consonant, vowel] {
            text.push(match script {
                Script::Latin => letter as char,
                Script::Cyrillic => char::from_u32(u32::from(letter - b'a') + 0x430).unwrap_or('а'),
            });
        }
        rest = (rest >> 7) ^ (rest << 11) ^ u64::from(syllable);
    }
}

/// This thread's CPU time of the least of a few calls, after one that warms up, in nanoseconds.
fn least_of(mut call: impl FnMut()) -> u64 {
    call();
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        let began = thread_ns();
        call();
        least = least.min(thread_ns() - began);
    }
    least
}

/// Says that a result is wanted.
fn seen<T>(result: T) {
    black_box(result);
}

/// CPU time alone: what waits for nothing has no wall time worth telling.
fn taken(ns: u64) -> Taken {
    Taken { cpu_s: ns as f64 / 1e9, wall_s: ns as f64 / 1e9 }
}
