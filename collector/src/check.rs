//! What a log file looks like to a collector: read to its end, and nothing written anywhere.

use crate::event::check_ahead;
use crate::exchange::Exchange;
use crate::field::Field;
use crate::format::{self, Format, Reader, Record};
use crate::limits::REFUSED_KEPT_MAX;
use crate::refusal::Refusal;
use crate::tail::{Import, Line, Look, PrintKey};
use crate::{CollectorError, Pseudonymizer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use weir_schemas::DlqKind;

/// How a file is looked at.
#[derive(Debug, Clone)]
pub struct Check {
    /// What the lines look like.
    pub format: Format,
    /// Longest line, in bytes.
    pub line_bytes_max: usize,
    /// How many records are shown; none for all of them.
    pub sample_max: Option<usize>,
    /// How many characters of texts are shown; none for all of them.
    pub text_chars_max: Option<usize>,
    /// By which time records are of the future, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// What a file looks like. It holds raw ids and text, so it cannot be printed.
#[derive(Default)]
pub struct Survey {
    /// Lines that are not blank.
    pub lines: u64,
    /// Records that were read.
    pub readable: u64,
    /// Records among them that are nobody's, because the key that was sent with them was refused.
    pub unowned: u64,
    /// Records that tell of no request to a model, and are passed over.
    pub other: u64,
    /// Records that were refused.
    pub refused_count: u64,
    /// The first of them.
    pub refused: Vec<Refused>,
    /// Records by the format that they were read by.
    pub formats: BTreeMap<String, u64>,
    /// Records that were refused or passed over, by the format that they have, as far as they have one.
    pub refused_formats: BTreeMap<String, u64>,
    /// Records in which a field is known.
    pub fields: BTreeMap<Field, u64>,
    /// Records in which a field is there and of no use, and in which a place goes unread that another format
    /// reads.
    pub unread: BTreeMap<String, u64>,
    /// The first records that were read.
    pub sample: Vec<Sample>,
    /// Why the file could not be read to its end.
    pub fault: Option<String>,
}

/// A record that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Number of its line, from 1.
    pub line: u64,
    /// Why, from the closed set.
    pub kind: DlqKind,
    /// Why, for a person.
    pub reason: String,
}

/// A record as it is understood.
pub struct Sample {
    /// Number of its line, from 1.
    pub line: u64,
    /// What the source calls it.
    pub id: Option<String>,
    /// Account as the line has it, without `Bearer` and the like.
    pub account: String,
    /// When the request was made, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// Path, without its query.
    pub endpoint: Option<String>,
    /// Model that was asked for.
    pub model: Option<String>,
    /// Last words of the user.
    pub prompt: Option<String>,
    /// First words of the system.
    pub system_prompt: Option<String>,
    /// Address of the client.
    pub ip: Option<String>,
    /// What the client says it is.
    pub user_agent: Option<String>,
    /// Upper bound of the answer.
    pub max_tokens: Option<i64>,
    /// Tokens of the request.
    pub tokens: Option<i64>,
    /// HTTP status.
    pub status: Option<i32>,
}

impl Survey {
    /// Looks at a file, plain or compressed.
    pub fn of(path: &Path, check: &Check) -> Result<Self, CollectorError> {
        let read_fault = |offset, reason| CollectorError::Read { path: path.to_owned(), offset, reason };
        // Nothing is kept of the file, so any key will do.
        let key = PrintKey::new(&Pseudonymizer::new([0; 32], 0));
        let mut import = Import::open(path, None, check.line_bytes_max, key, &[])
            .map_err(|reason| read_fault(0, reason))?;
        let mut reader = Reader::new(&check.format, check.line_bytes_max)?;
        let mut survey = Self::default();
        let mut numbers = Numbers::default();
        let (mut bytes, mut cuts) = (Vec::new(), Vec::new());
        loop {
            loop {
                let before = import.breaks();
                bytes.clear();
                cuts.clear();
                let (offset, is_long) = match import.next_line() {
                    None => break,
                    Some(Line::TooLong { offset, bytes: kept, cuts: dropped, .. }) => {
                        bytes.extend_from_slice(kept);
                        cuts.extend_from_slice(dropped);
                        (offset, true)
                    }
                    Some(Line::Text { offset, bytes: line }) => {
                        bytes.extend_from_slice(line);
                        (offset, false)
                    }
                };
                survey.lines += 1;
                // The last line may have no line break.
                let breaks = import.breaks();
                numbers.note(offset, if breaks > before { breaks } else { breaks + 1 }, reader.held_from());
                let line = format::Line { offset, bytes: &bytes, cuts: &cuts };
                reader.read(line, &mut |record| survey.take(record, &numbers, is_long, check));
            }
            match import.look() {
                Ok(Look::Read) => {}
                Ok(_) => break,
                Err(reason) if survey.lines == 0 => return Err(read_fault(import.offset(), reason)),
                // What came before is worth knowing.
                Err(reason) => {
                    survey.fault = Some(read_fault(import.offset(), reason).to_string());
                    break;
                }
            }
        }
        reader.finish(&mut |record| survey.take(record, &numbers, false, check));
        Ok(survey)
    }

    /// The format that most records were read by, or else that most refused ones have.
    pub fn format(&self) -> Option<&str> {
        let formats = if self.formats.is_empty() { &self.refused_formats } else { &self.formats };
        formats.iter().max_by_key(|(_, count)| **count).map(|(name, _)| &**name)
    }

    fn take(&mut self, record: Record<'_>, numbers: &Numbers, is_long: bool, check: &Check) {
        if record.is_other {
            self.other += 1;
            if let Some(format) = record.format {
                count(&mut self.refused_formats, format);
            }
            return;
        }
        let line = numbers.of(record.offset);
        if let (Err(_), Some(format)) = (&record.read, record.format) {
            count(&mut self.refused_formats, format);
        }
        let exchange = match &record.read {
            Ok(exchange) => exchange,
            Err(_) if is_long => return self.refuse(&Refusal::too_long(check.line_bytes_max), line),
            Err(refusal) => return self.refuse(refusal, line),
        };
        // As whoever collects it would.
        if let Err(refusal) = check_ahead(exchange, check.now_ms) {
            return self.refuse(&refusal, line);
        }
        self.readable += 1;
        self.unowned += u64::from(exchange.is_unowned);
        if let Some(format) = record.format {
            count(&mut self.formats, format);
        }
        exchange.known().iter().for_each(|field| *self.fields.entry(field).or_default() += 1);
        exchange.unknown.iter().for_each(|field| count(&mut self.unread, field.as_str()));
        record.unread().for_each(|place| count(&mut self.unread, place));
        if check.sample_max.is_none_or(|max| self.sample.len() < max) {
            self.sample.push(Sample::of(exchange, line, check.text_chars_max));
        }
    }

    fn refuse(&mut self, refusal: &Refusal, line: u64) {
        self.refused_count += 1;
        if self.refused.len() < REFUSED_KEPT_MAX {
            self.refused.push(Refused { line, kind: refusal.kind, reason: refusal.reason.clone() });
        }
    }
}

/// Numbers of the lines that records may still begin in.
#[derive(Default)]
struct Numbers(Vec<(u64, u64)>);

impl Numbers {
    /// Notes the number of the line at `offset`; of those before, only what is held from is needed.
    fn note(&mut self, offset: u64, number: u64, held_from: Option<u64>) {
        match held_from {
            None => self.0.clear(),
            Some(held_from) => self.0.retain(|(offset, _)| *offset >= held_from),
        }
        self.0.push((offset, number));
    }

    fn of(&self, offset: u64) -> u64 {
        self.0.iter().find(|(other, _)| *other == offset).map_or(0, |(_, number)| *number)
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_owned(), 1)),
    }
}

impl Sample {
    fn of(exchange: &Exchange<'_>, line: u64, chars_max: Option<usize>) -> Self {
        let own = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        let cut = |text: &Option<Cow<'_, str>>| {
            text.as_deref().map(|text| text.chars().take(chars_max.unwrap_or(usize::MAX)).collect())
        };
        Self {
            line,
            id: own(&exchange.request_id),
            account: exchange.account.clone().into_owned(),
            time_ms: exchange.time_ms,
            endpoint: exchange.endpoint.as_deref().map(|path| crate::body::without_query(path).to_owned()),
            model: own(&exchange.model),
            prompt: cut(&exchange.prompt),
            system_prompt: cut(&exchange.system_prompt),
            ip: exchange.address.map(|address| address.to_canonical().to_string()),
            user_agent: own(&exchange.user_agent),
            max_tokens: exchange.max_tokens,
            tokens: exchange.prompt_tokens,
            status: exchange.status,
        }
    }
}
