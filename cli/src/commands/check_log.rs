//! `weir check-log`: what Weir makes of a log file, before anything is done with it. It writes nothing
//! anywhere.

mod formats;

use super::{ConfigFile, Run};
use crate::context::now_ms;
use crate::output;
use crate::settings::flags::{KeyFlags, takes};
use crate::times::time_of;
use anyhow::Result;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use weir_collector::Format;
use weir_collector::check::{Check, Sample, Survey};
use weir_collector::field::Field;
use weir_processor::detector::{INPUTS, Inputs, NAMES};

takes!(Keys: Common, Collector);

/// Characters of a text that are shown unless all of it is asked for.
const TEXT_CHARS: usize = 60;

/// Share of records from which on a detector is held to have what it needs.
const SHARE_ENOUGH: f64 = 0.5;

/// Share of records below which a field is held not to be there.
const SHARE_NONE: f64 = 0.01;

/// Say what a log file looks like to Weir: its format, what is known, what is refused and why
///
/// The first thing to run on a log. It reads the file (.gz too) to its end and writes nothing anywhere.
#[derive(clap::Args)]
pub struct Arguments {
    /// Log file
    #[arg(required_unless_present = "formats")]
    file: Option<PathBuf>,
    /// Print every format that Weir knows instead: where each field stands, and what it has nothing for
    #[arg(long, conflicts_with = "file")]
    formats: bool,
    /// Print one JSON object, whose fields stay
    #[arg(long)]
    json: bool,
    /// Show so many records as Weir understands them; 0 shows all
    #[arg(long, value_name = "N", default_value_t = 3)]
    sample: usize,
    /// Show texts whole, instead of their first 60 characters
    #[arg(long)]
    text: bool,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        let Some(file) = &self.file else {
            output::text(formats::page());
            return Ok(ExitCode::SUCCESS);
        };
        let settings = config.context(&self.keys)?.settings;
        let check = Check {
            format: Format::load(&settings.collector_format)?,
            line_bytes_max: settings.collector_line_bytes_max,
            sample_max: Some(self.sample).filter(|max| *max > 0),
            text_chars_max: (!self.text).then_some(TEXT_CHARS),
            now_ms: now_ms(),
        };
        let survey = Survey::of(file, &check)?;
        let detectors = readiness(&survey);
        // A file of which nothing can be read is a failure for scripts, too.
        let is_useless = is_useless(&survey);
        if self.json {
            print_line!("{}", as_json(&survey, &detectors));
            if is_useless {
                note!("{}", next_step(&survey, file, &settings.collector_format));
            }
        } else {
            output::text(as_text(&survey, &detectors, file, &settings.collector_format));
        }
        if let Some(fault) = &survey.fault {
            note!("weir: {fault}; what stands before was read");
        }
        Ok(if is_useless || survey.fault.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Whether something is there, and nothing of it is a request that can be read.
fn is_useless(survey: &Survey) -> bool {
    survey.readable == 0 && survey.refused_count + survey.other > 0
}

/// Name of each detector, and whether it has what it needs.
type Detectors = Vec<(&'static str, String)>;

/// What each detector would have of this log.
fn readiness(survey: &Survey) -> Detectors {
    let share = |name: &str| {
        let of_field = |field: &&Field| field.event_field() == name;
        let known = Field::ALL.iter().filter(of_field).filter_map(|field| survey.fields.get(field)).max();
        known.map_or(0.0, |count| *count as f64 / survey.readable.max(1) as f64)
    };
    let judge = |inputs: &Inputs| {
        let missing = |group: &&&[&str]| group.iter().all(|name| share(name) < SHARE_NONE);
        if survey.readable == 0 {
            return "silent: no line can be read".to_owned();
        }
        if let Some(group) = inputs.needs.iter().find(missing) {
            return format!("silent: no {}", names(group, " or "));
        }
        let mut lacks = Vec::new();
        for group in inputs.needs {
            let best = group.iter().map(|name| share(name)).fold(0.0, f64::max);
            if best < SHARE_ENOUGH {
                lacks.push(format!("{} in {:.0} % of the lines", names(group, " or "), best * 100.0));
            }
        }
        lacks.extend(inputs.uses.iter().filter(missing).map(|group| format!("no {}", names(group, " or "))));
        if lacks.is_empty() { "ready".to_owned() } else { format!("partial: {}", lacks.join(", ")) }
    };
    NAMES.iter().zip(&INPUTS).map(|(name, inputs)| (*name, judge(inputs))).collect()
}

/// Fields of events as a log's fields are called.
fn names(group: &[&str], between: &str) -> String {
    let name = |event_field: &&str| {
        let of_log = Field::ALL.iter().find(|field| field.event_field() == *event_field);
        of_log.map_or(*event_field, |field| field.as_str()).to_owned()
    };
    group.iter().map(name).collect::<Vec<_>>().join(between)
}

/// Whether a field is one of a request, rather than a way to get at others.
fn is_of_request(field: Field) -> bool {
    !matches!(
        field,
        Field::EndTime
            | Field::ResponseModel
            | Field::Body
            | Field::Messages
            | Field::Parameters
            | Field::Response
            | Field::Rest
    )
}

fn as_json(survey: &Survey, detectors: &Detectors) -> Value {
    let fields: Map<String, Value> = Field::ALL
        .iter()
        .filter(|field| is_of_request(**field))
        .map(|field| (field.as_str().to_owned(), json!(survey.fields.get(field).copied().unwrap_or(0))))
        .collect();
    let refused: Vec<Value> = survey
        .refused
        .iter()
        .map(|refused| json!({"line": refused.line, "kind": refused.kind.as_str(), "reason": refused.reason}))
        .collect();
    let sample: Vec<Value> = survey.sample.iter().map(sample_as_json).collect();
    let detectors: Map<String, Value> =
        detectors.iter().map(|(name, state)| ((*name).to_owned(), json!(state))).collect();
    json!({
        "format": survey.format(),
        "lines": survey.lines,
        "readable": survey.readable,
        "other": survey.other,
        "refused": refused,
        "unread": survey.unread,
        "fields": fields,
        "sample": sample,
        "detectors": detectors,
    })
}

fn sample_as_json(sample: &Sample) -> Value {
    json!({
        "line": sample.line,
        "id": sample.id,
        "account": sample.account,
        "time_ms": sample.time_ms,
        "endpoint": sample.endpoint,
        "model": sample.model,
        "prompt": sample.prompt,
        "system_prompt": sample.system_prompt,
        "ip": sample.ip,
        "user_agent": sample.user_agent,
        "max_tokens": sample.max_tokens,
        "tokens": sample.tokens,
        "status": sample.status,
    })
}

fn as_text(survey: &Survey, detectors: &Detectors, file: &Path, asked: &str) -> String {
    let mut out = Report::default();
    let Survey { lines, readable, refused_count, unowned, other, .. } = survey;
    out.row(
        "file",
        format!("{}: {lines} lines, {readable} requests read, {refused_count} refused", file.display()),
    );
    if *unowned > 0 {
        out.row(
            "",
            format!(
                "{unowned} requests are nobody's, because their key was refused (401): they are not judged"
            ),
        );
    }
    if *other > 0 {
        out.row("", format!("{other} records tell of no request to a model: they are passed over"));
    }
    out.row("format", format_line(survey, asked));
    let share = |count: u64| format!("{:.0} %", 100.0 * count as f64 / (*readable).max(1) as f64);
    let known: Vec<String> =
        survey.fields.iter().map(|(field, count)| format!("{field} {}", share(*count))).collect();
    if *readable > 0 {
        out.row("known", known.join(", "));
        let none: Vec<&str> = Field::ALL
            .iter()
            .filter(|field| is_of_request(**field) && !survey.fields.contains_key(field))
            .map(|field| field.as_str())
            .collect();
        out.row("not known", none.join(", "));
    }
    if !survey.unread.is_empty() {
        let unread: Vec<String> =
            survey.unread.iter().map(|(name, count)| format!("{name} in {count}")).collect();
        out.row("unread", format!("{} (malformed, or read by another format only)", unread.join(", ")));
    }
    for sample in &survey.sample {
        out.row(&format!("line {}", sample.line), sample_line(sample));
    }
    let mut kinds: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for refused in &survey.refused {
        let entry = kinds.entry((refused.kind.as_str(), &refused.reason)).or_insert((0, refused.line));
        entry.0 += 1;
    }
    for ((kind, reason), (count, line)) in kinds.iter().take(10) {
        out.row("refused", format!("{count} {kind}, the first in line {line}: {reason}"));
    }
    if *readable > 0 {
        for (name, state) in detectors {
            out.row("detector", format!("{name} {state}"));
        }
    }
    out.row("next", next_step(survey, file, asked));
    out.0
}

/// Which format it is, and how sure.
fn format_line(survey: &Survey, asked: &str) -> String {
    let Some(format) = survey.format() else {
        if survey.lines == 0 {
            return "there is nothing in it yet".to_owned();
        }
        if survey.other > 0 && survey.refused_count == 0 {
            return "OpenTelemetry's, but none of it tells of a request to a model".to_owned();
        }
        let names: Vec<&str> = weir_collector::format::shipped().iter().map(|spec| &*spec.name).collect();
        return format!("none that Weir knows; there are {}, or a format file of your own", names.join(", "));
    };
    let title =
        weir_collector::format::shipped().iter().find(|spec| spec.name == format).map(|spec| &*spec.title);
    if survey.readable == 0 {
        return format!("{format}: {}, but nothing of it can be read", title.unwrap_or("your own file"));
    }
    let how = if asked == "auto" { "found" } else { "as you say" };
    let others: Vec<String> = survey
        .formats
        .iter()
        .filter(|(name, _)| *name != format)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let count = survey.formats.get(format).copied().unwrap_or(0);
    let all = if others.is_empty() {
        "all requests that were read".into()
    } else {
        format!("{count} requests; {}", others.join(", "))
    };
    format!("{format}, {how}: {} ({all})", title.unwrap_or("your own file"))
}

fn sample_line(sample: &Sample) -> String {
    let time = time_of(sample.time_ms);
    let mut parts = vec![format!("account {} at {time}", plain(&sample.account))];
    let texts = [
        ("id", &sample.id),
        ("endpoint", &sample.endpoint),
        ("model", &sample.model),
        ("ip", &sample.ip),
        ("user agent", &sample.user_agent),
        ("system", &sample.system_prompt),
        ("prompt", &sample.prompt),
    ];
    parts.extend(texts.iter().filter_map(|(name, text)| Some(format!("{name} {:?}", text.as_deref()?))));
    let numbers = [
        ("max_tokens", sample.max_tokens),
        ("tokens", sample.tokens),
        ("status", sample.status.map(i64::from)),
    ];
    parts.extend(numbers.iter().filter_map(|(name, number)| Some(format!("{name} {}", (*number)?))));
    parts.join(", ")
}

fn next_step(survey: &Survey, file: &Path, asked: &str) -> String {
    let file = file.display();
    if survey.lines == 0 {
        return format!(
            "check again when the gateway has served a request; weir run --tail {file} waits for it"
        );
    }
    if is_useless(survey) {
        if survey.refused_count == 0 {
            return "nothing of it tells of a request to a model: have the gateway log its requests, and check again".to_owned();
        }
        return "write a format file (docs/formats.md), or have the gateway log what is missing, and check again"
            .to_owned();
    }
    let format = if asked == "auto" { String::new() } else { format!(" --collector-format {asked}") };
    format!("weir run --tail {file}{format}, or weir import {file}{format}")
}

/// Text that came from outside, safe for a terminal.
fn plain(text: &str) -> String {
    text.chars().flat_map(|char| char.escape_debug()).collect()
}

/// Rows of a name and what there is to say.
#[derive(Default)]
struct Report(String);

impl Report {
    fn row(&mut self, name: &str, text: String) {
        self.0 += &format!("{name:<9} {text}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_formats_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(page.contains(&formats::page()), "docs/formats.md is stale: run `cargo xtask docs`");
    }
}
