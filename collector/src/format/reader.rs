//! Reads lines: finds the records in each, tells their format, and makes exchanges of them.
//!
//! A line is mostly one record. It may also be several: a list, an envelope, two whose line break was lost,
//! or what is left of a torn one with a whole one behind it. And a record may stand inside of another, as
//! container runtimes and log collectors wrap lines in theirs. Whatever it is, what can be read is read, and
//! what cannot is refused by itself.

use super::Format;
use super::any_value::body_of;
use super::assembly::{Assembly, Left, Ready, Row};
use super::catalog::Catalog;
use super::columns::Columns;
use super::error::FormatError;
use super::foreign;
use super::found::Found;
use super::line::Line;
use super::parts::Parts;
use super::plan::Unfold;
use super::pointer::Step;
use super::prefix;
use super::shapes::Shapes;
use super::view::View;
use crate::exchange::Exchange;
use crate::field::Field;
use crate::json::{Json, Number, Value};
use crate::limits::{APARTS_MAX, ASSEMBLED_LINES_MAX, RESYNC_TRIES_MAX, WRAPPED_DEPTH_MAX};
use crate::refusal::Refusal;
use crate::tail::Cut;
use memchr::{memchr, memchr_iter};
use std::sync::Arc;
use weir_schemas::DlqKind;

/// One record of a line, read or refused.
pub struct Record<'r> {
    /// Its own text: of a line that is one record, all of it.
    pub text: &'r [u8],
    /// Offset in the file of the line in which it begins.
    pub offset: u64,
    /// Name of the format that it was read by; none where it looks like none.
    pub format: Option<&'r str>,
    /// What it says, or why it is refused.
    pub read: Result<Exchange<'r>, Refusal>,
    /// It has bytes that are not UTF-8.
    pub is_mended: bool,
    /// It tells of no request to a model: it is passed over and counted.
    pub is_other: bool,
    /// It has not the places of any format, or of the one that it is said to have.
    is_strange: bool,
    unread: Option<(&'r Catalog, usize, &'r Found)>,
}

impl<'r> Record<'r> {
    fn refused(text: &'r [u8], offset: u64, refusal: Refusal) -> Self {
        Self {
            text,
            offset,
            format: None,
            read: Err(refusal),
            is_mended: false,
            is_other: false,
            is_strange: true,
            unread: None,
        }
    }

    /// Places that say something, that some format reads, and that this one does not.
    pub fn unread(&self) -> impl Iterator<Item = &'r str> {
        self.unread.into_iter().flat_map(|(catalog, plan, found)| catalog.unread(plan, found.filled()))
    }
}

/// What is done with each record.
pub type Each<'e> = &'e mut dyn FnMut(Record<'_>);

/// Reads the lines of one source, with buffers that are used again.
pub struct Reader {
    catalog: Arc<Catalog>,
    found: Found,
    /// For trying whether a record begins somewhere.
    trial: Found,
    shapes: Shapes,
    parts: Parts,
    assembly: Assembly,
    /// What was dropped from the line.
    cuts: Vec<Cut>,
    /// The columns of lines that are no JSON.
    columns: Option<Columns>,
    /// Those that the format names.
    columns_of_format: Option<Columns>,
    /// A line of columns as JSON.
    row: Vec<u8>,
    /// Torn lines of columns that are being taken apart, one within the other.
    aparts: usize,
}

impl Reader {
    /// A reader of this format, for lines of at most so many bytes.
    pub fn new(format: &Format, line_bytes_max: usize) -> Result<Self, FormatError> {
        let catalog = format.catalog()?;
        let slots = catalog.tree.slots();
        let columns = format.columns().and_then(Columns::of_spec);
        let columns = columns.map(|columns| columns.read_by(&catalog.tree));
        Ok(Self {
            found: Found::new(slots),
            trial: Found::new(slots),
            shapes: Shapes::default(),
            parts: Parts::default(),
            cuts: Vec::new(),
            columns: columns.clone(),
            columns_of_format: columns,
            row: Vec::new(),
            aparts: 0,
            assembly: Assembly::new(line_bytes_max),
            catalog,
        })
    }

    /// Whether something is held because it is not complete.
    pub fn is_holding(&self) -> bool {
        self.assembly.is_holding()
    }

    /// Offset of the first line of what is held because it is not complete; reading goes on there after a
    /// crash.
    pub fn held_from(&self) -> Option<u64> {
        self.assembly.held_from()
    }

    /// Reads a line, and calls `each` for every record in it.
    pub fn read(&mut self, line: Line<'_>, each: Each<'_>) {
        // Nearly all lines: one object, and nothing held.
        self.cuts.clear();
        self.cuts.extend_from_slice(line.cuts);
        if line.bytes.first() == Some(&b'{') && line.bytes.len() > 1 && !self.assembly.is_within() {
            return self.text(line.offset, line.bytes, 0, each);
        }
        if self.line_of_columns(line, each) {
            return;
        }
        let ready = self.assembly.add(line);
        self.ready(ready, 0, each);
    }

    /// Takes the names of columns from the first line of a file that is read on from its middle.
    pub fn note_head(&mut self, line: &[u8]) {
        self.take_names(line);
    }

    /// Whether a line names columns among which are an account and a time, as any format writes them or in
    /// another case.
    fn take_names(&mut self, line: &[u8]) -> bool {
        let Some(columns) = Columns::of_names(line) else { return false };
        self.take_columns(columns.clone()) || self.take_columns(columns.in_lower_case())
    }

    fn take_columns(&mut self, columns: Columns) -> bool {
        columns.example(&mut self.row);
        let catalog = self.catalog.clone();
        let is_read = catalog.tree.scan(&self.row, 0, &mut self.found).is_ok();
        let plan = catalog.choose(&self.found).filter(|_| is_read);
        let names_both = plan.is_some_and(|plan| catalog.is_readable(plan, &self.found));
        if names_both {
            self.columns = Some(columns.read_by(&catalog.tree));
        }
        names_both
    }

    /// A line that is columns, or names them; false where it is something else.
    fn line_of_columns(&mut self, line: Line<'_>, each: Each<'_>) -> bool {
        let is_other = matches!(line.bytes.trim_ascii_start().first(), None | Some(b'{' | b'['));
        // Nearly all lines of columns: nothing is held, no cell is open, and they name none but the values
        // there.
        let is_alone = !is_other && !self.assembly.is_within() && line.cuts.is_empty();
        if is_alone && self.row_in_place(line.offset, line.bytes, each) {
            return true;
        }
        // Within quotes a line is what a client says, whatever it looks like.
        let is_cells = !is_other || self.assembly.is_within_quotes();
        let separator = self.columns.as_ref().filter(|_| is_cells).map(Columns::separator);
        let Row { offset, text, is_several, is_given_up } = match self.assembly.add_quoted(line, separator) {
            Some(Some(row)) => row,
            // It goes on in the next line.
            Some(None) => return true,
            None => return false,
        };
        if is_other && !is_several {
            return false;
        }
        if is_given_up {
            each(Record::refused(&text, offset, endless_cell()));
            return true;
        }
        if self.take_names(&text) {
            return true;
        }
        if is_several && line.cuts.is_empty() && self.row_in_place(offset, &text, each) {
            return true;
        }
        let Some(columns) = &self.columns else { return false };
        let mut row = std::mem::take(&mut self.row);
        match columns.record(&text, &mut row) {
            Ok(()) if !is_several || columns.is_clean(&text) => self.text(offset, &row, 0, each),
            // The quotes are in order: what stands within them is no line of the log, however many columns
            // there are.
            Err(count) if is_several && columns.is_clean(&text) => {
                each(Record::refused(&text, offset, Refusal::columns(count, columns.len())));
            }
            _ if is_several => self.apart(offset, &text, each),
            Ok(()) => {}
            // A record of another kind, or a torn one.
            Err(_) if memchr(b'{', &text).is_some() => {
                self.row = row;
                return false;
            }
            Err(count) => {
                let refusal = Refusal::columns(count, columns.len());
                each(Record::refused(&text, offset, refusal));
            }
        }
        self.row = row;
        true
    }

    /// Lines of columns of which the first is torn within quotes: it costs itself, and those behind it are
    /// lines of their own.
    fn apart(&mut self, offset: u64, text: &[u8], each: Each<'_>) {
        let (first, rest) =
            memchr(b'\n', text).map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
        if let Some(columns) = &self.columns {
            let mut row = std::mem::take(&mut self.row);
            match columns.record(first, &mut row) {
                Ok(()) => self.text(offset, &row, 0, each),
                Err(count) => {
                    let refusal = Refusal::columns(count, columns.len());
                    each(Record::refused(first, offset, refusal));
                }
            }
            self.row = row;
        }
        let Some(rest) = rest else { return };
        if self.aparts == APARTS_MAX {
            return each(Record::refused(rest, offset, self.no_json(rest, 0)));
        }
        self.aparts += 1;
        rest.split(|byte| *byte == b'\n').for_each(|line| self.read(Line::whole(offset, line), each));
        self.aparts -= 1;
    }

    /// Whether lines of columns could not be read, because nothing names them yet.
    pub fn wants_names(&self) -> bool {
        self.columns.is_none()
    }

    /// Begins with another text, of which nothing is known: neither what is held nor what the columns are.
    pub fn begin_anew(&mut self) {
        self.reset();
        self.columns.clone_from(&self.columns_of_format);
    }

    /// Reads a text that is whole, whatever line breaks are in it: one record after another, or a list of
    /// them.
    pub fn read_whole(&mut self, text: &[u8], each: Each<'_>) {
        self.cuts.clear();
        self.text(0, text, 0, each);
    }

    /// Reads one of OpenTelemetry's spans or log records, as the JSON that its exporters write.
    pub fn read_item(&mut self, text: &[u8], each: Each<'_>) {
        self.cuts.clear();
        self.item(0, text, 0, each);
    }

    /// Nearly all lines of columns: cells as they stand are a record that is read. False where it is anything
    /// else.
    fn row_in_place(&mut self, offset: u64, line: &[u8], each: Each<'_>) -> bool {
        let Some(columns) = &self.columns else { return false };
        if !columns.find(line, &self.catalog.tree, &mut self.found) {
            return false;
        }
        let shape = self.shapes.of(&self.catalog, &self.found);
        let Some(plan) = shape.plan.filter(|_| shape.is_readable) else { return false };
        let mut is_read = false;
        self.record(offset, line, 0..line.len(), plan, false, &mut |record| {
            is_read = record.read.is_ok();
            if is_read {
                each(record);
            }
        });
        is_read
    }

    /// Forgets what is held.
    pub fn reset(&mut self) {
        self.assembly.clear();
    }

    /// Reads what is still held: no more lines will come.
    pub fn finish(&mut self, each: Each<'_>) {
        // Lines behind a torn one may be torn themselves.
        for _ in 0..=APARTS_MAX {
            for Left { offset, text, is_of_columns, is_given_up } in self.assembly.take_all() {
                match is_of_columns {
                    _ if is_given_up => each(Record::refused(&text, offset, endless_cell())),
                    true => self.apart(offset, &text, each),
                    false => self.text(offset, &text, 0, each),
                }
            }
        }
        for Left { offset, text, .. } in self.assembly.take_all() {
            each(Record::refused(&text, offset, self.no_json(&text, 0)));
        }
    }

    fn ready(&mut self, ready: Ready<'_>, depth: usize, each: Each<'_>) {
        for (offset, text) in [ready.held, ready.own].into_iter().flatten() {
            self.text(offset, &text, depth, each);
        }
    }

    /// Reads every record of a text, one after another.
    fn text(&mut self, offset: u64, text: &[u8], depth: usize, each: Each<'_>) {
        let mut at = 0;
        let mut is_first = true;
        loop {
            at += separators(&text[at..]);
            let Some(byte) = text.get(at) else { return };
            if *byte != b'{' {
                if is_first && self.quoted(offset, &text[at..], depth, each) {
                    return;
                }
                if is_first && self.columns_or_template(offset, &text[at..], each) {
                    return;
                }
                match self.resync(text, at) {
                    Some(next) => at = next,
                    None if is_first => {
                        let refusal = self.no_json(&text[at..], 0);
                        return each(Record::refused(&text[at..], offset, refusal));
                    }
                    // Whatever follows a whole record was counted with it.
                    None => return,
                }
                continue;
            }
            is_first = false;
            at = match self.catalog.tree.scan(text, at, &mut self.found) {
                Ok(end) => {
                    let rest = &text[end..];
                    let next = end + separators(rest);
                    let is_junk =
                        text.get(next).is_some_and(|byte| *byte != b'{') && self.resync(text, next).is_none();
                    self.object(offset, text, at..end, is_junk, depth, each);
                    end
                }
                Err(fault) => {
                    let next = self.resync(text, at + 1).unwrap_or(text.len());
                    self.torn(offset, text, at..next, fault.at.saturating_sub(at), each);
                    next
                }
            };
        }
    }

    /// A whole object: a record, or one around others.
    fn object(
        &mut self,
        offset: u64,
        text: &[u8],
        range: std::ops::Range<usize>,
        is_junk: bool,
        depth: usize,
        each: Each<'_>,
    ) {
        let shape = self.shapes.of(&self.catalog, &self.found);
        let (plan, is_readable) = (shape.plan, shape.is_readable);
        if !is_readable && depth < WRAPPED_DEPTH_MAX && self.inner(offset, text, depth, each) {
            return;
        }
        let Some(plan) = plan else {
            let refusal = match self.catalog.nearest(&self.found) {
                Some(plan) => Refusal::near(&plan.title, &plan.lacking(&self.found)),
                None => Refusal::no_format(),
            };
            return each(Record::refused(&text[range], offset, refusal));
        };
        self.record(offset, text, range, plan, is_junk, each);
    }

    /// The record that was scanned last, by a format.
    fn record(
        &mut self,
        offset: u64,
        text: &[u8],
        range: std::ops::Range<usize>,
        plan: usize,
        has_rest: bool,
        each: Each<'_>,
    ) {
        let catalog = &*self.catalog;
        let format = &catalog.plans[plan];
        let shape = self.shapes.of(catalog, &self.found);
        // Of a line that is no JSON, its pattern told the format.
        let known;
        let reads = match shape.plan == Some(plan) {
            true => &shape.reads,
            false => {
                known = format.reads_there(&self.found);
                &known
            }
        };
        self.parts.unpack(format, text, &self.found);
        let own = &text[range.clone()];
        let chars = std::str::from_utf8(own).ok();
        let view = View {
            record: text,
            // Places are told from the beginning of the text.
            chars: chars.filter(|_| range.start == 0),
            found: &self.found,
            parts: &self.parts,
            plan: format,
            reads,
            cuts: &self.cuts,
        };
        let mut read = view.read();
        if let (Ok(exchange), true) = (&mut read, has_rest || !self.cuts.is_empty()) {
            exchange.unknown.insert(Field::Rest);
        }
        each(Record {
            text: own,
            offset,
            format: Some(&format.name),
            is_other: format.is_other(text, &self.found),
            is_strange: !format.fits(&self.found) && (read.is_err() || catalog.plans.len() == 1),
            read,
            is_mended: chars.is_none(),
            unread: Some((catalog, plan, &self.found)),
        });
    }

    /// A record that ends too early, or is followed by another before its end. What stands before the tear
    /// counts if it names an account and a time.
    fn torn(
        &mut self,
        offset: u64,
        text: &[u8],
        range: std::ops::Range<usize>,
        fault_at: usize,
        each: Each<'_>,
    ) {
        let catalog = self.catalog.clone();
        let readable = catalog.choose(&self.found).filter(|plan| catalog.is_readable(*plan, &self.found));
        let own = &text[range.clone()];
        if let Some(plan) = readable {
            let mut is_read = false;
            self.record(offset, text, range, plan, true, &mut |record| {
                is_read = record.read.is_ok();
                if is_read {
                    each(record);
                }
            });
            if is_read {
                return;
            }
        }
        let refusal = self.no_json(own, fault_at);
        each(Record::refused(own, offset, refusal));
    }

    fn no_json(&self, text: &[u8], fault_at: usize) -> Refusal {
        if foreign::is_wide(text) {
            return Refusal::foreign(foreign::WIDE);
        }
        match std::str::from_utf8(text) {
            Ok(text) => foreign::advice(text).map_or(Refusal::not_json(fault_at + 1), Refusal::foreign),
            Err(error) => Refusal::not_utf8(error.valid_up_to()),
        }
    }

    /// Records inside of the object that was scanned last; false where there are none.
    fn inner(&mut self, offset: u64, text: &[u8], depth: usize, each: Each<'_>) -> bool {
        let catalog = self.catalog.clone();
        for unfold in catalog.unfolds() {
            if let Some((list, places)) = self.unfolded(text, unfold) {
                // An object where a list is expected is somebody else's.
                if list.first() == Some(&b'{') && unfold.steps.is_empty() && !self.leads(&list) {
                    continue;
                }
                places.into_iter().for_each(|place| match unfold.is_mixed {
                    true => self.item(offset, &list[place], depth + 1, each),
                    false => self.text(offset, &list[place], depth + 1, each),
                });
                return true;
            }
        }
        for unfold in &catalog.envelopes {
            let Some((list, places)) = self.unfolded(text, unfold) else { continue };
            let lines: Vec<Vec<u8>> = places.into_iter().map(|place| line_in(&list[place])).collect();
            // Others call what they list the same. An application's own lines may stand before the records.
            if lines.iter().any(|line| self.leads(line)) {
                lines.iter().for_each(|line| self.text(offset, line, depth + 1, each));
                return true;
            }
        }
        for slot in &catalog.wrappers {
            let inside = match self.found.value(text, *slot) {
                Value::Object(raw) => raw.to_vec(),
                Value::Text(inside) => inside.bytes().into_owned(),
                // journald writes what is no text of its own kind so.
                Value::Array(raw) => bytes_in(raw).unwrap_or_default(),
                _ => continue,
            };
            let is_object = matches!(self.found.value(text, *slot), Value::Object(_));
            if is_object && !self.leads(&inside) {
                continue;
            }
            let stream = match self.found.value(text, catalog.stream) {
                Value::Text(stream) => stream.bytes().into_owned(),
                _ => Vec::new(),
            };
            if memchr(b'{', &inside).is_none() && !self.assembly.holds(&stream) {
                continue;
            }
            let ready = self.assembly.add_wrapped(offset, &stream, &inside);
            self.ready(ready, depth + 1, each);
            return true;
        }
        false
    }

    /// A span or a log record: a request, the line of a gateway's log as log shippers send it, or something
    /// else.
    fn item(&mut self, offset: u64, text: &[u8], depth: usize, each: Each<'_>) {
        let mut inside = None;
        self.text(offset, text, depth, &mut |mut record| {
            if record.is_strange {
                inside = body_of(text);
                record.is_other = true;
            }
            if inside.is_none() {
                each(record);
            }
        });
        if let Some(inside) = inside {
            self.text(offset, &inside, depth, each);
        }
    }

    /// The items of a list in the object that was scanned last, and the list; none where there are none.
    fn unfolded(&self, text: &[u8], unfold: &Unfold) -> Option<(Vec<u8>, Vec<std::ops::Range<usize>>)> {
        if !self.found.filled().has(unfold.slot) {
            return None;
        }
        let (Value::Array(list) | Value::Object(list)) = self.found.value(text, unfold.slot) else {
            return None;
        };
        let mut places = Vec::new();
        items(&mut Json::new(list), &unfold.steps, &mut places);
        // Scanning an item forgets what was found.
        (!places.is_empty()).then(|| (list.to_vec(), places))
    }

    /// Whether a text is a record, or may hold one.
    fn leads(&mut self, text: &[u8]) -> bool {
        let catalog = self.catalog.clone();
        let Some(at) = memchr(b'{', text) else { return false };
        let is_whole = catalog.tree.scan(text, at, &mut self.trial).is_ok();
        let is_readable =
            || catalog.choose(&self.trial).is_some_and(|plan| catalog.is_readable(plan, &self.trial));
        is_whole && (is_readable() || catalog.wraps(text, &self.trial))
    }

    /// A record that was written as one text.
    fn quoted(&mut self, offset: u64, text: &[u8], depth: usize, each: Each<'_>) -> bool {
        if text.first() != Some(&b'"') || depth >= WRAPPED_DEPTH_MAX {
            return false;
        }
        let Ok(Value::Text(inside)) = Json::new(text).value() else { return false };
        let inside = inside.bytes().into_owned();
        let is_record = self.leads(&inside);
        if is_record {
            self.text(offset, &inside, depth + 1, each);
        }
        is_record
    }

    /// A line that is no JSON, by a format that has such lines.
    fn columns_or_template(&mut self, offset: u64, text: &[u8], each: Each<'_>) -> bool {
        let catalog = self.catalog.clone();
        let line = prefix::without_syslog(text);
        for (index, plan) in catalog.plans.iter().enumerate() {
            if plan.templates.iter().any(|template| template.read(line, &mut self.found)) {
                self.record(offset, line, 0..line.len(), index, false, each);
                return true;
            }
        }
        false
    }

    /// Where the next whole record begins at or after `from`: one that names an account and a time, or holds
    /// records that may.
    fn resync(&mut self, text: &[u8], from: usize) -> Option<usize> {
        let catalog = self.catalog.clone();
        let places = memchr_iter(b'{', &text[from..]).map(|found| from + found);
        let opens = |at: &usize| {
            let behind = text[at + 1..].trim_ascii_start();
            behind.first() == Some(&b'"')
        };
        places.filter(opens).take(RESYNC_TRIES_MAX).find(|at| {
            catalog.tree.scan(text, *at, &mut self.trial).is_ok()
                && catalog.choose(&self.trial).is_some_and(|plan| catalog.is_readable(plan, &self.trial))
        })
    }
}

/// Why a cell that was given up is refused.
fn endless_cell() -> Refusal {
    let reason = format!(
        "a cell in quotes is too large, or over {ASSEMBLED_LINES_MAX} lines: nothing is read until its quotes end"
    );
    Refusal { kind: DlqKind::LineTooLong, reason }
}

/// What may stand between records: blanks, commas and brackets of a list, NULs of a gap, byte order marks.
fn separators(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match &text[at..] {
            [b' ' | b'\t' | b'\r' | b'\n' | b',' | b'[' | b']' | 0, ..] => at += 1,
            [0xef, 0xbb, 0xbf, ..] => at += 3,
            _ => return at,
        }
    }
}

/// The line in an item of an envelope: the item, or of a list, as Loki's of a time and a line, its last text.
fn line_in(item: &[u8]) -> Vec<u8> {
    let mut line = None;
    if item.first() == Some(&b'[') {
        let read = Json::new(item).array(|json, _| {
            if let Value::Text(text) = json.value()? {
                line = Some(text.bytes().into_owned());
            }
            Ok(())
        });
        line = line.filter(|_| read.is_ok());
    }
    line.unwrap_or_else(|| item.to_vec())
}

/// The bytes that a list of numbers spells.
fn bytes_in(list: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut is_bytes = true;
    let read = Json::new(list).array(|json, _| {
        match json.value()? {
            Value::Number(Number::Integer(byte @ 0..=255)) => bytes.push(byte as u8),
            _ => is_bytes = false,
        }
        Ok(())
    });
    read.ok().filter(|()| is_bytes).map(|()| bytes)
}

/// The places of the items of lists that the steps lead to.
fn items(json: &mut Json<'_>, steps: &[Step], places: &mut Vec<std::ops::Range<usize>>) {
    let read = match steps.split_first() {
        None if json.peek() == Some(b'[') => json.array(|json, _| {
            json.peek();
            let from = json.offset();
            json.skip()?;
            places.push(from..json.offset());
            Ok(())
        }),
        None => {
            let from = json.offset();
            json.skip().map(|()| places.push(from..json.offset()))
        }
        Some((Step::Any, rest)) => json.array(|json, _| {
            items(&mut json.clone(), rest, places);
            json.skip()
        }),
        Some((Step::Key(name), rest)) => json.object(|json, key| {
            if *key.bytes() == *name.as_bytes() {
                items(&mut json.clone(), rest, places);
            }
            json.skip()
        }),
        Some(_) => Ok(()),
    };
    // What was found before a fault counts.
    let _ = read;
}
