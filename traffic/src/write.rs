//! Exchanges as log lines.

use crate::clients::push_hex;
use crate::exchange::Exchange;
use crate::grammar::push_number;
use std::fmt::Write as _;
use time::OffsetDateTime;

/// Which of the log formats is written (`docs/formats.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFormat {
    /// Glasswally's field names.
    Glasswally,
    /// Weir's own.
    Weir,
}

/// Whether lines say whose they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// With campaign and population, for evaluation.
    With,
    /// As a gateway in production writes them.
    Without,
}

/// What raw account ids begin with unless told otherwise: that they are API keys.
const KEY_PREFIX: &str = "sk-";

/// Appends the line of an exchange, with its line break.
pub fn write_line(exchange: &Exchange, format: LineFormat, labels: Labels, out: &mut String) {
    match format {
        LineFormat::Glasswally => glasswally(exchange, labels, out),
        LineFormat::Weir => weir(exchange, KEY_PREFIX, labels, out),
    }
    out.push_str("}\n");
}

/// Appends the line of an exchange in Weir's own format, with labels: of this tenant, by an account whose raw
/// id is `prefix` and 16 hex digits. Neither may need escaping in JSON.
pub fn write_line_of(tenant: &str, prefix: &str, exchange: &Exchange, out: &mut String) {
    weir(exchange, prefix, Labels::With, out);
    text(",\"tenant\":", tenant, out);
    out.push_str("}\n");
}

fn glasswally(exchange: &Exchange, labels: Labels, out: &mut String) {
    let said = &exchange.said;
    out.push_str("{\"timestamp\":\"");
    time(exchange.time_ms, out);
    out.push_str("\",\"request_id\":\"");
    id(exchange, out);
    out.push_str("\",\"account_id\":\"sk-");
    push_hex(exchange.account, 16, out);
    text("\",\"model\":", exchange.model, out);
    text(",\"prompt\":", &said.prompt, out);
    optional(",\"system_prompt\":", Some(said.system.as_str()).filter(|system| !system.is_empty()), out);
    number(",\"token_count\":", said.prompt_tokens.into(), out);
    match said.max_tokens {
        Some(limit) => number(",\"max_tokens\":", limit.into(), out),
        None => out.push_str(",\"max_tokens\":null"),
    }
    let _ = write!(out, ",\"client_ip\":\"{}\"", exchange.ip());
    number(",\"asn_number\":", exchange.address.network.asn.into(), out);
    text(",\"asn_org\":", exchange.address.network.org, out);
    text(",\"country_code\":", exchange.address.country, out);
    text(",\"user_agent\":", &exchange.shown.user_agent, out);
    text(",\"ja3_hash\":", &exchange.shown.ja3, out);
    text(",\"ja4\":", exchange.shown.ja4, out);
    optional(",\"h2_settings_fp\":", exchange.shown.h2, out);
    headers(exchange, out);
    hash(",\"payment_method_hash\":", exchange.payment, out);
    hash(",\"org_id\":", exchange.org, out);
    if labels == Labels::With {
        optional(",\"campaign_label\":", exchange.label.as_deref(), out);
        text(",\"population\":", exchange.population, out);
    }
}

fn weir(exchange: &Exchange, prefix: &str, labels: Labels, out: &mut String) {
    let said = &exchange.said;
    out.push_str("{\"id\":\"");
    id(exchange, out);
    out.push_str("\",\"time\":\"");
    time(exchange.time_ms, out);
    text("\",\"account\":", prefix, out);
    // Within the quotes that `text` has put.
    out.pop();
    push_hex(exchange.account, 16, out);
    let _ = write!(out, "\",\"ip\":\"{}\"", exchange.ip());
    text(",\"user_agent\":", &exchange.shown.user_agent, out);
    text(",\"endpoint\":", "/v1/chat/completions", out);
    text(",\"model\":", exchange.model, out);
    text(",\"prompt\":", &said.prompt, out);
    if !said.system.is_empty() {
        text(",\"system_prompt\":", &said.system, out);
    }
    if let Some(limit) = said.max_tokens {
        number(",\"max_tokens\":", limit.into(), out);
    }
    number(",\"tokens\":", u64::from(said.prompt_tokens) + u64::from(said.completion_tokens), out);
    number(",\"status\":", exchange.status.into(), out);
    number(",\"latency_ms\":", exchange.latency_ms.into(), out);
    hash(",\"org\":", exchange.org, out);
    hash(",\"payment\":", exchange.payment, out);
    text(",\"country\":", exchange.address.country, out);
    number(",\"asn\":", exchange.address.network.asn.into(), out);
    text(",\"asn_org\":", exchange.address.network.org, out);
    text(",\"ja3\":", &exchange.shown.ja3, out);
    text(",\"ja4\":", exchange.shown.ja4, out);
    if let Some(h2) = exchange.shown.h2 {
        text(",\"h2\":", h2, out);
    }
    headers(exchange, out);
    if labels == Labels::With {
        optional(",\"label\":", exchange.label.as_deref(), out);
        text(",\"population\":", exchange.population, out);
    }
}

fn time(time_ms: i64, out: &mut String) {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time_ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second, ms) = moment.to_hms_milli();
    let (year, month, day) = moment.to_calendar_date();
    let month = u8::from(month);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}+00:00");
}

fn id(exchange: &Exchange, out: &mut String) {
    exchange.id.iter().for_each(|part| push_hex(*part, 16, out));
}

fn number(key: &str, number: u64, out: &mut String) {
    out.push_str(key);
    push_number(number, out);
}

fn hash(key: &str, value: Option<u64>, out: &mut String) {
    out.push_str(key);
    match value {
        None => out.push_str("null"),
        Some(value) => {
            out.push('"');
            push_hex(value, 16, out);
            out.push('"');
        }
    }
}

fn headers(exchange: &Exchange, out: &mut String) {
    out.push_str(",\"header_order\":[\"");
    for character in exchange.shown.headers.chars() {
        match character {
            ',' => out.push_str("\",\""),
            other => out.push(other),
        }
    }
    out.push_str(if exchange.shown.via { "\",\"via\"]" } else { "\"]" });
}

fn optional(key: &str, value: Option<&str>, out: &mut String) {
    match value {
        Some(value) => text(key, value, out),
        None => {
            out.push_str(key);
            out.push_str("null");
        }
    }
}

/// A JSON string.
fn text(key: &str, value: &str, out: &mut String) {
    out.push_str(key);
    out.push('"');
    let mut rest = value;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\r' => out.push_str("\\r"),
            other => {
                let _ = write!(out, "\\u{other:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}
