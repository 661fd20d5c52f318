//! `weir audit verify`: is the audit trail whole, and as it was written?

use crate::context::Context;
use crate::keys::{Role, read_auditor};
use crate::output;
use crate::roles::records::enforcer_state;
use crate::roles::verify::UNPROVEN;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;
use weir_enforcer::chain::{ChainHead, ChainReport, PublicKeys, Verifier};
use weir_enforcer::export::audit_file::entry_of;
use weir_enforcer::stage::{CHAIN_KEY, chain_writer, head_in_state};
use weir_schemas::AuditEntry;
use weir_schemas::wire::Wire;
use weir_topology::history::read_range;
use weir_topology::log::Log;
use weir_topology::topic::Topic;

/// Lines of a file that are no entry, which are told one by one.
const LINES_TOLD_MAX: usize = 100;

/// What was found.
#[derive(Default)]
struct Found {
    reports: Vec<ChainReport>,
    /// Lines of files that are no entries of any chain.
    lines: Vec<String>,
    /// How many more of them there are.
    lines_more: u64,
}

/// Verifies the chains in the log, or in `files`. Exits with 0 when all are sound, with 1 when something is
/// wrong, with 2 when there is nothing to verify.
pub fn verify(context: &Context, files: &[PathBuf], head: Option<(String, ChainHead)>) -> Result<ExitCode> {
    let mut keys = PublicKeys::default();
    for (id, public) in read_auditor(&context.given_or_own_keys(Role::Auditor)?)? {
        keys = keys.and(&id, &public).with_context(|| format!("{id}.pub is no Ed25519 public key"))?;
    }
    let found = match files {
        [] => in_log(context, &keys, head.as_ref())?,
        files => in_files(files, &keys, head.as_ref())?,
    };
    let entries: u64 = found.reports.iter().map(|report| report.entries).sum();
    output::text(shown(&found));
    if !found.reports.iter().all(ChainReport::is_sound) || !found.lines.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    Ok(if entries == 0 { ExitCode::from(UNPROVEN) } else { ExitCode::SUCCESS })
}

/// `WRITER:SEQUENCE:HASH`, as `weir audit verify` prints the head of a chain.
pub fn parse_head(text: &str) -> Result<(String, ChainHead), String> {
    let malformed = || "a head is WRITER:SEQUENCE:HASH, as `weir audit verify` prints it".to_owned();
    let (rest, hash) = text.rsplit_once(':').ok_or_else(malformed)?;
    let (writer, sequence) = rest.rsplit_once(':').ok_or_else(malformed)?;
    let sequence = sequence.parse().map_err(|_| malformed())?;
    let hash = hash.parse().map_err(|_| malformed())?;
    Ok((writer.to_owned(), ChainHead { sequence, hash }))
}

fn known<'k>(verifier: Verifier<'k>, writer: &str, head: Option<&(String, ChainHead)>) -> Verifier<'k> {
    match head.filter(|(of, _)| of == writer) {
        Some((_, head)) => verifier.reaches(*head),
        None => verifier,
    }
}

/// Each partition of the topic holds the chain of its enforcer, whose head the enforcer's state knows too.
fn in_log(context: &Context, keys: &PublicKeys, head: Option<&(String, ChainHead)>) -> Result<Found> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let mut found = Found::default();
    for partition in 0..log.partitions(Topic::Audit)? {
        let (first, end) = log.bounds(Topic::Audit, partition)?;
        let mut verifier = known(Verifier::new(keys), &chain_writer(partition), head);
        if first > 0 {
            verifier = verifier.may_begin_later();
        }
        if let Some(head) = stored_head(log.as_ref(), &wire, partition)? {
            verifier = verifier.reaches(head);
        }
        read_range(log.as_ref(), Topic::Audit, partition, first, end, |records| {
            for record in records.iter() {
                match wire.read::<AuditEntry>(record.payload.unwrap_or_default()) {
                    Ok(entry) => verifier.entry(&entry),
                    Err(error) => verifier.unreadable(error.to_string()),
                }
            }
            Ok(())
        })?;
        let mut report = verifier.finish();
        if report.writer.is_empty() {
            report.writer = chain_writer(partition);
        }
        found.reports.push(report);
    }
    Ok(found)
}

fn stored_head(log: &dyn Log, wire: &Wire, partition: u32) -> Result<Option<ChainHead>> {
    let state = enforcer_state(log, wire, partition, |key| key == CHAIN_KEY)?;
    Ok(state.values().next().and_then(|body| head_in_state(body)))
}

/// Lines of several chains are interleaved. A file may begin anywhere: it may have been rotated.
fn in_files(files: &[PathBuf], keys: &PublicKeys, head: Option<&(String, ChainHead)>) -> Result<Found> {
    let wire = Wire::with_history()?;
    let mut found = Found::default();
    let mut chains: BTreeMap<String, Verifier<'_>> = BTreeMap::new();
    for path in files {
        let shown = path.display();
        let file = fs::File::open(path).with_context(|| format!("cannot read {shown}"))?;
        for (number, line) in BufReader::new(file).split(b'\n').enumerate() {
            let line = line.with_context(|| format!("cannot read {shown}"))?;
            let outcome = match std::str::from_utf8(&line) {
                Ok(line) => entry_of(line, &wire).map_err(|fault| fault.to_string()),
                Err(_) => Err("the line is not UTF-8".into()),
            };
            match outcome {
                Ok(entry) => {
                    let writer = entry.writer.clone();
                    let new = || known(Verifier::new(keys).may_begin_later(), &entry.writer, head);
                    chains.entry(writer).or_insert_with(new).entry(&entry);
                }
                Err(_) if found.lines.len() >= LINES_TOLD_MAX => found.lines_more += 1,
                Err(fault) => found.lines.push(format!("{shown} line {}: {fault}", number + 1)),
            }
        }
    }
    if let Some((writer, _)) = head.filter(|(writer, _)| !chains.contains_key(writer)) {
        bail!("the files have no entry of {writer}, whose head was given");
    }
    found.reports = chains.into_values().map(Verifier::finish).collect();
    Ok(found)
}

fn shown(found: &Found) -> String {
    let mut text = String::from("chain         entries            head\n");
    for report in &found.reports {
        let ChainReport { writer, first, head, .. } = report;
        let entries = format!("{first}..{}", head.sequence);
        text += &format!("{writer:<12}  {entries:<17}  {writer}:{}:{}\n", head.sequence, head.hash);
        for found in &report.breaks {
            text += &format!("              {found}\n");
        }
        if report.breaks_more > 0 {
            text += &format!("              and {} more\n", report.breaks_more);
        }
    }
    found.lines.iter().for_each(|line| text += &format!("{}\n", line.escape_debug()));
    if found.lines_more > 0 {
        text += &format!("and {} more lines\n", found.lines_more);
    }
    let mut by_key: BTreeMap<&str, u64> = BTreeMap::new();
    for (key, count) in found.reports.iter().flat_map(|report| &report.by_key) {
        *by_key.entry(key).or_default() += count;
    }
    let signed: Vec<String> = by_key.iter().map(|(key, count)| format!("{count} by {key}")).collect();
    let wrong: u64 = found.lines.len() as u64
        + found.lines_more
        + found.reports.iter().map(|report| report.breaks.len() as u64 + report.breaks_more).sum::<u64>();
    let signed =
        if signed.is_empty() { "no entry".to_owned() } else { format!("signed: {}", signed.join(", ")) };
    text + &match wrong {
        0 => format!("SOUND: {signed}\n"),
        _ => format!("BROKEN: {wrong} wrong; {signed}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_printed() {
        let head = ChainHead { sequence: 12, hash: weir_schemas::Digest([0xab; 32]) };
        let printed = format!("enforcer/3:{}:{}", head.sequence, head.hash);
        assert_eq!(parse_head(&printed), Ok(("enforcer/3".to_owned(), head)));
        for malformed in ["", "enforcer/3:12", "enforcer/3:x:00", "enforcer/3:12:00"] {
            assert!(parse_head(malformed).is_err(), "{malformed}");
        }
    }
}
