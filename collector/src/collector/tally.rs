//! What was gathered from lines since the last commit: the records, and what there is to tell of them.

use crate::field::{Field, FieldSet};
use crate::format::Record;
use std::collections::BTreeMap;
use weir_schemas::DlqKind;
use weir_topology::record::Output;

/// See the module.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) outputs: Vec<Output>,
    output_bytes: usize,
    /// Lines that were read.
    pub(crate) lines: u64,
    /// Bytes of these lines, with their line breaks.
    pub(crate) line_bytes: u64,
    /// Events among the outputs.
    pub(crate) events: u64,
    /// Events among them whose lines had bytes that are not UTF-8.
    pub(crate) mended: u64,
    /// Requests that are nobody's, because the key that was sent with them was refused.
    pub(crate) unowned: u64,
    /// Records that tell of no request to a model.
    pub(crate) other: u64,
    /// What was refused.
    pub(crate) refused: Vec<Refused>,
    /// Fields that were there and of no use, with the number of requests.
    pub(crate) unknown: BTreeMap<Field, u64>,
    /// Formats that records were read by, with what some other format reads of them and this one does not.
    pub(crate) formats: BTreeMap<String, BTreeMap<String, u64>>,
    /// Time of the latest event, in milliseconds.
    pub(crate) clock_ms: i64,
    /// The format of the last record, so that the map is asked for a new one only.
    last_format: String,
}

/// A line, or a part of one, that was refused.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) kind: DlqKind,
    pub(crate) offset: u64,
    pub(crate) reason: String,
}

impl Gathered {
    pub(crate) fn has_lines(&self) -> bool {
        self.lines > 0
    }

    /// Whether it is as much as one commit takes.
    pub(crate) fn is_full(&self, lines_max: usize, bytes_max: usize) -> bool {
        self.outputs.len() >= lines_max || self.output_bytes >= bytes_max || self.lines >= lines_max as u64
    }

    /// Bytes of the records that were gathered.
    pub(crate) fn output_bytes(&self) -> usize {
        self.output_bytes
    }

    /// Counts lines and their bytes.
    pub(crate) fn lines(&mut self, lines: u64, bytes: u64) {
        self.lines += lines;
        self.line_bytes += bytes;
    }

    /// Counts what there is to tell of a record.
    pub(crate) fn note(&mut self, record: &Record<'_>) {
        if let Ok(exchange) = &record.read
            && !exchange.unknown.is_empty()
        {
            self.note_unknown(exchange.unknown);
        }
        if let Some(format) = record.format
            && record.read.is_ok()
        {
            let mut unread = record.unread().peekable();
            if self.last_format != format || unread.peek().is_some() {
                format.clone_into(&mut self.last_format);
                let of_format = self.formats.entry(format.to_owned()).or_default();
                unread.for_each(|place| *of_format.entry(place.to_owned()).or_default() += 1);
            }
        }
    }

    fn note_unknown(&mut self, unknown: FieldSet) {
        unknown.iter().for_each(|field| *self.unknown.entry(field).or_default() += 1);
    }

    /// Takes an event.
    pub(crate) fn published(&mut self, output: Output, is_mended: bool) {
        self.events += 1;
        self.mended += u64::from(is_mended);
        self.clock_ms = self.clock_ms.max(output.timestamp_ms);
        self.push(output);
    }

    /// Takes a dead letter.
    pub(crate) fn refused(&mut self, refused: Refused, letter: Output) {
        self.refused.push(refused);
        self.push(letter);
    }

    fn push(&mut self, output: Output) {
        self.output_bytes += output.bytes_len();
        self.outputs.push(output);
    }

    /// Adds what was gathered later.
    pub(crate) fn append(&mut self, later: Self) {
        self.output_bytes += later.output_bytes;
        self.outputs.extend(later.outputs);
        self.lines(later.lines, later.line_bytes);
        self.events += later.events;
        self.mended += later.mended;
        self.unowned += later.unowned;
        self.other += later.other;
        self.refused.extend(later.refused);
        later.unknown.into_iter().for_each(|(field, count)| *self.unknown.entry(field).or_default() += count);
        for (format, unread) in later.formats {
            let of_format = self.formats.entry(format).or_default();
            unread.into_iter().for_each(|(place, count)| *of_format.entry(place).or_default() += count);
        }
        self.clock_ms = self.clock_ms.max(later.clock_ms);
    }
}
