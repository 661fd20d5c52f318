//! What a collector tells of its lines: every count to metrics, and to people as much as they can read.

use super::tally::Gathered;
use std::collections::{BTreeMap, BTreeSet};
use weir_schemas::DlqKind;
use weir_topology::telemetry::Telemetry;

/// What was told of a source so far.
#[derive(Default)]
pub(crate) struct Told {
    refused: BTreeMap<&'static str, Refused>,
    /// Formats, each with what it leaves unread.
    formats: BTreeSet<(String, String)>,
    /// They were pushed: their offsets are numbers of records in their requests.
    are_pushed: bool,
}

/// Lines that were refused for one cause.
struct Refused {
    kind: DlqKind,
    count: u64,
    first_offset: u64,
    first_reason: String,
    /// The count from which on they are told of again.
    next: u64,
}

/// Most pairs of a format and a place that are told of.
const FORMATS_TOLD_MAX: usize = 256;

impl Told {
    /// For records that were pushed.
    pub(crate) fn of_pushed() -> Self {
        Self { are_pushed: true, ..Self::default() }
    }

    /// Tells of what was committed.
    pub(crate) fn tell(&mut self, gathered: &Gathered, telemetry: &dyn Telemetry) {
        self.tell_counts(gathered, telemetry);
        self.tell_reading(gathered, telemetry);
    }

    /// Tells how much was committed.
    pub(crate) fn tell_counts(&self, gathered: &Gathered, telemetry: &dyn Telemetry) {
        telemetry.bytes_read(gathered.line_bytes);
        telemetry.events_published(gathered.events);
        if gathered.mended > 0 {
            telemetry.lines_mended(gathered.mended);
        }
        if gathered.unowned > 0 {
            telemetry.requests_unowned(gathered.unowned);
        }
    }

    /// Tells how it was read, and what was not.
    pub(crate) fn tell_reading(&mut self, gathered: &Gathered, telemetry: &dyn Telemetry) {
        if gathered.other > 0 {
            telemetry.records_other(gathered.other);
        }
        gathered.unknown.iter().for_each(|(field, count)| telemetry.field_unknown(field.as_str(), *count));
        self.tell_formats(gathered, telemetry);
        self.tell_refused(gathered, telemetry);
    }

    /// Each format once, and each place that it leaves unread once.
    fn tell_formats(&mut self, gathered: &Gathered, telemetry: &dyn Telemetry) {
        for (format, unread) in &gathered.formats {
            let mut new = Vec::new();
            let is_new = self.note(format, "");
            for place in unread.keys() {
                if self.note(format, place) {
                    new.push(&**place);
                }
            }
            if is_new || !new.is_empty() {
                telemetry.format_taken(format, &new);
            }
        }
    }

    fn note(&mut self, format: &str, place: &str) -> bool {
        self.formats.len() < FORMATS_TOLD_MAX && self.formats.insert((format.to_owned(), place.to_owned()))
    }

    /// Every line to the metrics; to people at the first of a cause, and again whenever there are ten times
    /// as many.
    fn tell_refused(&mut self, gathered: &Gathered, telemetry: &dyn Telemetry) {
        for refused in &gathered.refused {
            telemetry.line_rejected(refused.kind);
            let of_kind = self.refused.entry(refused.kind.as_str()).or_insert_with(|| Refused {
                kind: refused.kind,
                count: 0,
                first_offset: refused.offset,
                first_reason: refused.reason.clone(),
                next: 1,
            });
            of_kind.count += 1;
        }
        for refused in self.refused.values_mut().filter(|refused| refused.count >= refused.next) {
            let Refused { kind, count, first_offset, first_reason, next } = refused;
            match self.are_pushed {
                true => telemetry.pushed_refused(*kind, *count, first_reason),
                false => telemetry.lines_refused(*kind, *count, *first_offset, first_reason),
            }
            while *next <= *count {
                *next *= 10;
            }
        }
    }
}
