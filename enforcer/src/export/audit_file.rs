//! Reads the lines of `audit_log.jsonl` back, so that a chain can be verified from the file alone.

use super::json::write_line;
use super::lines::audit_line;
use serde_json::{Map, Value};
use thiserror::Error;
use weir_schemas::wire::Wire;
use weir_schemas::{Audit, AuditEntry};

/// Fields of a line that earlier builds did not write: a line may lack them.
const ADDED_LATER: &[&str] = &[];

/// Why a line of the audit log is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LineFault {
    /// It is no line that the enforcer wrote.
    #[error("the line is no audit entry: {0}")]
    Form(String),
    /// What the line says in words is not what its signed record says.
    #[error("the line says another {0} than the signed record")]
    Text(String),
}

/// What the line of an entry says in words.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn words_of(entry: &AuditEntry, audit: &Audit) -> serde_json::Result<Value> {
    let mut line = Vec::new();
    audit_line(&mut line, entry, Some(audit))?;
    serde_json::from_slice(&line)
}

/// The entry that a line tells. What it says in words is held against the signed bytes; where these are
/// of a schema that this build does not know, that is left to a newer one.
pub fn entry_of(line: &str, wire: &Wire) -> Result<AuditEntry, LineFault> {
    let form = |what: &str| LineFault::Form(what.to_owned());
    let json = |error: serde_json::Error| LineFault::Form(error.to_string());
    let told: Map<String, Value> = serde_json::from_str(line).map_err(json)?;
    let mut again = Vec::new();
    write_line(&mut again, &told).map_err(json)?;
    // A name that stands twice has two readings.
    if again.len() != line.len() + 1 {
        return Err(form("it has white space, or a name twice"));
    }
    let text = |name: &str| told.get(name).and_then(Value::as_str).ok_or_else(|| form(name));
    let entry = AuditEntry {
        writer: text("writer")?.to_owned(),
        sequence: told.get("sequence").and_then(Value::as_i64).ok_or_else(|| form("sequence"))?,
        previous: text("previous")?.parse().map_err(|_| form("previous"))?,
        key_id: text("key_id")?.to_owned(),
        record: bytes_of(text("record")?).ok_or_else(|| form("record"))?,
        signature: text("signature")?.parse().map_err(|_| form("signature"))?,
    };
    let Ok(audit) = wire.read::<Audit>(&entry.record) else { return Ok(entry) };
    let mut written = Vec::new();
    audit_line(&mut written, &entry, Some(&audit)).map_err(json)?;
    let written: Map<String, Value> = serde_json::from_slice(&written).map_err(json)?;
    let differs = written.iter().find(|(name, value)| match told.get(*name) {
        Some(told) => told != *value,
        None => !ADDED_LATER.contains(&name.as_str()),
    });
    let foreign = told.keys().find(|name| !written.contains_key(*name));
    match differs.map(|(name, _)| name).or(foreign) {
        Some(name) => Err(LineFault::Text(name.clone())),
        None => Ok(entry),
    }
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
    rest.is_empty().then(|| pairs.iter().map(byte).collect()).flatten()
}
