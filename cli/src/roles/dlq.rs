//! `weir dlq`: what could not be judged, why, and the way back.

use crate::context::Context;
use crate::times::time_of;
use anyhow::Result;
use std::process::ExitCode;
use weir_collector::push::{ORIGIN_PREFIX, ORIGIN_TOPIC};
use weir_replay::letters::{Filter, LetterError, LetterId, Requeue, find, list, requeue_all, requeue_one};
use weir_schemas::DeadLetter;

/// Most bytes of a payload that are shown.
const PAYLOAD_BYTES_MAX: usize = 256;

/// Longest key, header or origin that is shown, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// `weir dlq list`.
pub fn show_list(context: &Context, filter: &Filter, letters_max: usize) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let listing = list(log.as_ref(), &wire, filter, letters_max)?;
    for letter in &listing.letters {
        let DeadLetter { kind, reason, stage, .. } = &letter.content;
        print_line!(
            "{:<10} {} {:<14} {:<9} {}{}  {}",
            letter.id.to_string(),
            time_of(letter.timestamp_ms),
            kind.as_str(),
            plain(stage),
            origin(&letter.content),
            if letter.requeued { "  (sent back)" } else { "" },
            plain(reason)
        );
    }
    print_line!("{} of {} letters", listing.letters.len(), listing.count);
    if listing.unreadable > 0 {
        print_line!("{} records of weir.dlq are no letters and cannot be read", listing.unreadable);
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir dlq show`.
pub fn show(context: &Context, id: LetterId) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let letter = find(log.as_ref(), &wire, id)?;
    let DeadLetter { kind, reason, stage, length, time_ms, schema, payload, .. } = &letter.content;
    print_line!("letter    {id}{}", if letter.requeued { " (its record was sent back)" } else { "" });
    print_line!("kind      {kind}\nreason    {}\nstage     {}", plain(reason), plain(stage));
    print_line!("origin    {}\nlength    {length} bytes", origin(&letter.content));
    if !letter.is_line() {
        print_line!("time      {}\nschema    {}", time_of(*time_ms), plain(schema));
    }
    print_line!("key       {}", plain(&String::from_utf8_lossy(&letter.key)));
    for (name, value) in &letter.headers {
        print_line!("header    {}={}", plain(name), plain(&String::from_utf8_lossy(value)));
    }
    if letter.is_line() {
        print_line!("payload   none: the text of a line never leaves its node");
        return Ok(ExitCode::SUCCESS);
    }
    let shown = payload.get(..PAYLOAD_BYTES_MAX).unwrap_or(payload);
    print_line!("payload   {} bytes carried, the first {} of them:", payload.len(), shown.len());
    for row in shown.chunks(32) {
        let digits: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        print_line!("          {}", digits.join(" "));
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir dlq requeue ID`: exits with 1 when the letter's record cannot go back.
pub fn requeue(context: &Context, id: LetterId, how: Requeue) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    match requeue_one(log.as_ref(), &wire, id, how) {
        Ok(()) => {
            print_line!(
                "The record of letter {id} is back. If it is refused again, it gets a letter of its own."
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ LetterError::Replay(_)) => Err(error.into()),
        Err(refused) => {
            print_line!("Nothing was sent: {refused}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// `weir dlq requeue --kind KIND`.
pub fn requeue_kind(context: &Context, filter: &Filter, how: Requeue) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let done = requeue_all(log.as_ref(), &wire, filter, how)?;
    print_line!("{} sent back", done.sent);
    let left = [
        (done.before, "sent back before; --again sends once more"),
        (done.lines, "of lines, whose text never left their node"),
        (done.cut, "that carry a part of a record which is no longer kept"),
        (done.refused, "of operators' words, which are published again instead"),
    ];
    for (count, what) in left.into_iter().filter(|(count, _)| *count > 0) {
        print_line!("{count} left: {what}");
    }
    Ok(ExitCode::SUCCESS)
}

fn origin(letter: &DeadLetter) -> String {
    let DeadLetter { origin, partition, offset, .. } = letter;
    match partition {
        0.. => format!("{}/{partition} at offset {offset}", plain(origin)),
        _ if origin.starts_with(ORIGIN_TOPIC) => format!("{} at offset {offset}", plain(origin)),
        _ if origin.starts_with(ORIGIN_PREFIX) => format!("record {offset} of a request {}", plain(origin)),
        _ => format!("{} at byte {offset}", plain(origin)),
    }
}

/// Text that came from outside, safe for a terminal.
fn plain(text: &str) -> String {
    let mut safe = String::new();
    for char in text.chars().take(TEXT_CHARS_MAX) {
        match char {
            '\'' | '"' => safe.push(char),
            other => safe.extend(other.escape_debug()),
        }
    }
    safe
}
