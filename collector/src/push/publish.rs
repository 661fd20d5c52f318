//! From a request to the events and dead letters of its records.

use super::body::{self, Content, Delivery, Fault, Notation};
use super::otlp::Item;
use super::seen::{NewIds, Seen, SeenId};
use super::{PushConfig, Taken};
use crate::announce::Announcer;
use crate::collector::{Gathered, Refused, Told};
use crate::error::CollectorError;
use crate::event::EventWriter;
use crate::format::{Format, Line, Reader, Record};
use crate::identity::{LineHash, PushKey, Repeats};
use crate::indicators::Tripwires;
use crate::limits::{
    PUSH_COMMIT_BODY_BYTES, PUSH_COMMIT_BYTES, RECORDS_PER_REQUEST_MAX, REQUEST_OUTPUT_BYTES_MAX,
};
use crate::refusal::Refusal;
use std::borrow::Cow;
use std::sync::Arc;
use weir_schemas::wire::Wire;
use weir_schemas::{DeadLetter, EventId};
use weir_topology::letter::record_of;
use weir_topology::record::Output;
use weir_topology::telemetry::Telemetry;
use weir_topology::topic::StageName;

/// What a dead letter's origin begins with where the record was pushed; its path follows, and the letter's
/// offset is the number of the record in its request, from 1.
pub const ORIGIN_PREFIX: &str = "pushed to ";

/// What a dead letter's origin begins with where the record is one of a topic; the topic and its partition
/// follow, and the letter's offset is the record's.
pub const ORIGIN_TOPIC: &str = "topic ";

/// What the requests of a commit bring.
#[derive(Default)]
pub(crate) struct Pushed {
    /// Records to be written.
    outputs: Vec<Output>,
    /// What the requests and their spans are known by.
    pub(super) ids: NewIds,
    gathered: Gathered,
    /// Requests that came before, as a whole.
    requests_known: u64,
    /// Records that came before.
    records_known: u64,
    /// Identities among the records.
    announced: u64,
    /// Accounts that were forgotten for want of room: they will be announced again.
    forgotten: u64,
}

impl Pushed {
    /// Whether it is as much as one commit takes.
    pub(crate) fn is_full(&self) -> bool {
        self.gathered.output_bytes() >= PUSH_COMMIT_BYTES
            || self.gathered.line_bytes >= PUSH_COMMIT_BODY_BYTES as u64
    }

    /// Events, and records that were refused.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.gathered.events, self.gathered.refused.len() as u64)
    }
}

/// Makes records of what requests bring.
pub(crate) struct Publisher {
    lines: Reader,
    otlp: Reader,
    maker: Maker,
    told: Told,
}

/// Makes one record at a time.
struct Maker {
    letters_key: String,
    events: EventWriter,
    key: PushKey,
    repeats: Repeats,
    wire: Arc<Wire>,
}

impl Publisher {
    pub(crate) fn new(
        config: &PushConfig,
        letters_key: String,
        events: EventWriter,
        key: PushKey,
        wire: Arc<Wire>,
    ) -> Result<Self, CollectorError> {
        let lines = Reader::new(&config.format, config.body_bytes_max)?;
        let otlp = match config.format.is_of_otlp() {
            true => Reader::new(&config.format, config.body_bytes_max)?,
            false => Reader::new(&Format::Auto, config.body_bytes_max)?,
        };
        let maker = Maker { letters_key, events, key, repeats: Repeats::default(), wire };
        Ok(Self { lines, otlp, maker, told: Told::of_pushed() })
    }

    /// Has every record compared with these indicators.
    pub(crate) fn watch(&mut self, tripwires: Tripwires) {
        self.maker.events.watch(tripwires);
    }

    /// Takes all of a request, or nothing.
    pub(super) fn publish(
        &mut self,
        delivery: &Delivery,
        body_bytes_max: usize,
        seen: &Seen,
        pushed: &mut Pushed,
        now_ms: i64,
    ) -> Result<Taken, Fault> {
        let body = delivery.unpacked(body_bytes_max)?;
        let Self { lines, otlp, maker, .. } = self;
        let id = SeenId::of(maker.key.request(delivery.content.path(), &body));
        if seen.contains(id) || pushed.ids.contains(id) {
            pushed.requests_known += 1;
            return Ok(Taken { came_before: true, ..Taken::default() });
        }
        let mut request = Request {
            maker,
            whence: Whence::Request,
            content: delivery.content,
            seen,
            earlier: &pushed.ids,
            gathered: Gathered::default(),
            ids: NewIds::default(),
            taken: Taken::default(),
            records: 0,
            line: None,
            is_bounded: true,
            is_over: false,
            now_ms,
        };
        match (delivery.content, delivery.notation) {
            (Content::Lines, _) => {
                lines.begin_anew();
                request.lines(lines, &body);
            }
            (content, Notation::Json) => {
                super::otlp::each_json(&body, content, &mut |item| request.item(otlp, item))?;
            }
            (content, Notation::Protobuf) => {
                super::protobuf::each(&body, content, &mut |item| request.item(otlp, item))?;
            }
        }
        if request.records > RECORDS_PER_REQUEST_MAX {
            return Err(Fault::TooLarge(format!(
                "the request has over {RECORDS_PER_REQUEST_MAX} records: send smaller batches"
            )));
        }
        if request.is_over {
            return Err(Fault::TooLarge(format!(
                "what the request comes to is over {REQUEST_OUTPUT_BYTES_MAX} bytes: send smaller batches"
            )));
        }
        let Request { mut gathered, ids, taken, records, .. } = request;
        gathered.lines(records as u64, body.len() as u64);
        pushed.outputs.append(&mut gathered.outputs);
        pushed.gathered.append(gathered);
        pushed.records_known += taken.known;
        pushed.ids.add(id);
        ids.list().iter().for_each(|id| pushed.ids.add(*id));
        Ok(taken)
    }

    /// Whether lines of columns could not be read, because nothing names them yet.
    pub(crate) fn wants_names(&self) -> bool {
        self.lines.wants_names()
    }

    /// Takes the names of columns from the first record of a topic, where it has them.
    pub(crate) fn note_head(&mut self, record: &[u8], bytes_max: usize) {
        let Ok(record) = body::unpacked_by_its_head(record, bytes_max) else { return };
        let line = record.split(|byte| *byte == b'\n').next().unwrap_or_default();
        self.lines.note_head(line.trim_ascii_end());
    }

    /// Takes a record of a topic, by its topic, partition and offset: lines of any format, or what
    /// OpenTelemetry's collector writes there, as they are or packed.
    pub(crate) fn publish_record(
        &mut self,
        bytes: &[u8],
        place: (&str, i32, i64),
        body_bytes_max: usize,
        pushed: &mut Pushed,
        now_ms: i64,
    ) {
        let unpacked = body::unpacked_by_its_head(bytes, body_bytes_max);
        let Self { lines, otlp, maker, .. } = self;
        let (seen, earlier) = (Seen::default(), NewIds::default());
        let export = unpacked.as_ref().ok().and_then(|bytes| super::protobuf::content_of(bytes));
        let mut request = Request {
            maker,
            whence: Whence::Topic(place),
            content: export.unwrap_or(Content::Lines),
            seen: &seen,
            earlier: &earlier,
            gathered: Gathered::default(),
            ids: NewIds::default(),
            taken: Taken::default(),
            records: 0,
            line: None,
            // The size of a plain one bounds what it comes to.
            is_bounded: matches!(unpacked, Ok(Cow::Owned(_))),
            is_over: false,
            now_ms,
        };
        let read = unpacked.and_then(|bytes| match export {
            None => {
                // The names of columns are the topic's.
                lines.reset();
                request.lines(lines, &bytes);
                Ok(())
            }
            Some(content) => super::protobuf::each(&bytes, content, &mut |item| request.item(otlp, item)),
        });
        if let Err(Fault::Malformed(reason) | Fault::TooLarge(reason)) = read {
            request.refuse(Refusal::foreign(&reason), bytes.len());
        }
        if request.is_bounded && request.is_over {
            let reason = format!(
                "what the record comes to is over {REQUEST_OUTPUT_BYTES_MAX} bytes, and the rest of it is not read"
            );
            request.refuse(Refusal::foreign(&reason), bytes.len());
        }
        let Request { mut gathered, .. } = request;
        gathered.lines(1, bytes.len() as u64);
        pushed.outputs.append(&mut gathered.outputs);
        pushed.gathered.append(gathered);
    }

    /// The records of what was published, and of who stands behind its accounts.
    pub(crate) fn take_outputs(&mut self, pushed: &mut Pushed) -> Vec<Output> {
        let mut outputs = std::mem::take(&mut pushed.outputs);
        let (identities, forgotten) = self.maker.events.announcer().take();
        (pushed.announced, pushed.forgotten) = (identities.len() as u64, forgotten);
        outputs.extend(identities);
        outputs
    }

    /// Announces every account again: what was announced last is not in the log.
    pub(crate) fn begin_anew(&mut self) {
        self.maker.events.announcer().begin_anew();
        // Nor is what was counted last: what comes again has the ids that it would have had.
        self.maker.repeats = Repeats::default();
    }

    /// Tells of what was committed.
    pub(crate) fn tell(&mut self, pushed: &Pushed, telemetry: &dyn Telemetry) {
        Announcer::tell(pushed.announced, pushed.forgotten, telemetry);
        self.told.tell(&pushed.gathered, telemetry);
        if pushed.requests_known + pushed.records_known > 0 {
            telemetry.pushed_known(pushed.requests_known, pushed.records_known);
        }
    }
}

impl Maker {
    fn dead_letter(
        &self,
        refusal: Refusal,
        (origin, offset): (String, i64),
        bytes: usize,
        now_ms: i64,
    ) -> Output {
        // The record itself may hold what must not leave the node: whoever sent it has it.
        let letter = DeadLetter {
            kind: refusal.kind,
            reason: refusal.reason,
            stage: StageName::Collector.as_str().into(),
            origin,
            partition: -1,
            offset,
            length: i64::try_from(bytes).unwrap_or(i64::MAX),
            time_ms: 0,
            schema: String::new(),
            payload: Vec::new(),
        };
        record_of(&self.wire, self.letters_key.clone().into_bytes(), &letter, now_ms)
    }
}

/// Where records are from.
#[derive(Clone, Copy)]
enum Whence<'p> {
    /// A request.
    Request,
    /// A record of this topic and partition, at this offset.
    Topic((&'p str, i32, i64)),
}

impl Whence<'_> {
    /// Where a dead letter says that the record of this number is from, and at which offset.
    fn of_letter(self, content: Content, number: u64) -> (String, i64) {
        match self {
            Self::Request => {
                (format!("{ORIGIN_PREFIX}{}", content.path()), i64::try_from(number).unwrap_or(i64::MAX))
            }
            Self::Topic((topic, partition, offset)) => (format!("{ORIGIN_TOPIC}{topic}/{partition}"), offset),
        }
    }
}

/// One request while it is read.
struct Request<'p> {
    maker: &'p mut Maker,
    whence: Whence<'p>,
    /// What it brings.
    content: Content,
    seen: &'p Seen,
    /// What the requests before it in the same commit are known by.
    earlier: &'p NewIds,
    gathered: Gathered,
    ids: NewIds,
    taken: Taken,
    records: usize,
    /// The line of a topic's record that is read.
    line: Option<OfLine>,
    /// No more is kept of it than a request may come to.
    is_bounded: bool,
    /// It comes to more than a request may.
    is_over: bool,
    now_ms: i64,
}

/// What the records of a line are known by, as those of a line in a file are.
struct OfLine {
    hash: LineHash,
    /// How often the line stood before.
    before: u32,
    /// Records of it so far.
    count: u32,
}

/// What a record is known by.
#[derive(Clone, Copy)]
enum Name {
    /// The span's own id.
    Span(EventId),
    /// All of it, and how often it stood before.
    Whole,
}

impl Request<'_> {
    /// Records as lines, as a list, or as one object.
    fn lines(&mut self, reader: &mut Reader, body: &[u8]) {
        let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
        if text.first() == Some(&b'[') {
            self.begin_line(text);
            return reader.read_whole(text, &mut |record| self.record(record, Name::Whole));
        }
        for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end) {
            self.begin_line(line);
            reader.read(Line::whole(0, line), &mut |record| self.record(record, Name::Whole));
        }
        self.line = None;
        reader.finish(&mut |record| self.record(record, Name::Whole));
    }

    /// The lines of a topic are those of a log, and have the ids that they would have in a file.
    fn begin_line(&mut self, line: &[u8]) {
        if matches!(self.whence, Whence::Topic(_)) && !line.is_empty() {
            let hash = self.maker.key.records.hash(line);
            self.line = Some(OfLine { hash, before: self.maker.repeats.count(hash), count: 0 });
        }
    }

    /// A span or a log record.
    fn item(&mut self, reader: &mut Reader, item: &Item<'_>) {
        let is_known_by_id = matches!((self.whence, self.content), (Whence::Request, Content::Traces));
        let name = match item.own_id().filter(|_| is_known_by_id) {
            // Log records of one span carry its id, all of them.
            Some((trace, span)) => Name::Span(self.maker.key.span(&trace, &span)),
            _ => Name::Whole,
        };
        if let Name::Span(id) = name {
            let id = SeenId::of(id);
            if self.seen.contains(id) || self.earlier.contains(id) || self.ids.contains(id) {
                self.taken.known += 1;
                return;
            }
        }
        reader.read_item(item.text, &mut |record| self.record(record, name));
    }

    /// A record, read or refused.
    fn record(&mut self, record: Record<'_>, name: Name) {
        if record.is_other {
            self.gathered.other += 1;
            self.taken.other += 1;
            return;
        }
        self.records += 1;
        self.is_over |= self.gathered.output_bytes() > REQUEST_OUTPUT_BYTES_MAX;
        // What is over a limit is counted, and a request is refused as a whole. A topic's record cannot be.
        let is_request = matches!(self.whence, Whence::Request);
        if self.is_bounded && self.is_over || is_request && self.records > RECORDS_PER_REQUEST_MAX {
            return;
        }
        self.gathered.note(&record);
        let id = match name {
            Name::Span(id) => {
                self.ids.add(SeenId::of(id));
                id
            }
            Name::Whole => {
                let key = &self.maker.key.records;
                let (hash, before) = match &mut self.line {
                    Some(line) => {
                        let number = line.count;
                        line.count += 1;
                        (key.of_record(line.hash, number), line.before)
                    }
                    None => {
                        let hash = key.hash(record.text);
                        (hash, self.maker.repeats.count(hash))
                    }
                };
                key.event_id(hash, before)
            }
        };
        let bytes = record.text.len();
        let written = match record.read {
            // Nobody's request: a client that tries keys makes no accounts.
            Ok(exchange) if exchange.is_unowned => {
                self.gathered.unowned += 1;
                self.taken.unowned += 1;
                return;
            }
            Ok(exchange) => self.maker.events.write(&exchange, id, self.now_ms),
            Err(refusal) => Err(refusal),
        };
        match written {
            Ok(output) => {
                self.taken.events += 1;
                self.gathered.published(output, record.is_mended);
            }
            Err(refusal) => self.refuse(refusal, bytes),
        }
    }

    fn refuse(&mut self, refusal: Refusal, bytes: usize) {
        let number = self.records as u64;
        self.taken.refused += 1;
        self.taken.reason.get_or_insert_with(|| format!("record {number}: {}", refusal.reason));
        let refused = Refused { kind: refusal.kind, offset: number, reason: refusal.reason.clone() };
        let letter =
            self.maker.dead_letter(refusal, self.whence.of_letter(self.content, number), bytes, self.now_ms);
        self.gathered.refused(refused, letter);
    }
}
