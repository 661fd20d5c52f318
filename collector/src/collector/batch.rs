//! A batch: what one commit makes visible.

use super::feed::Feed;
use super::stored;
use super::tally::{Gathered, Refused};
use crate::config::CollectorConfig;
use crate::error::CollectorError;
use crate::event::EventWriter;
use crate::format::{self, Reader, Record};
use crate::identity::{LineHash, LineKey, Repeats};
use crate::indicators::Tripwires;
use crate::limits::ASSEMBLED_LINES_MAX;
use crate::refusal::Refusal;
use crate::tail::{Line, SourcePosition};
use std::sync::Arc;
use weir_schemas::DeadLetter;
use weir_schemas::wire::Wire;
use weir_topology::letter::record_of;
use weir_topology::log::Commit;
use weir_topology::record::Output;
use weir_topology::topic::StageName;

/// Lines that were read, as records, with the position behind them.
pub(super) struct Batch {
    pub(super) commit: Commit,
    pub(super) before: Option<SourcePosition>,
    pub(super) after: SourcePosition,
    /// Identities that were announced.
    pub(super) announced: u64,
    /// Accounts that were forgotten for want of room: they will be announced again.
    pub(super) forgotten: u64,
    /// What it was gathered from; its outputs are in the commit.
    pub(super) gathered: Gathered,
}

/// Turns lines into a batch.
pub(super) struct Builder {
    reader: Reader,
    lines_max: usize,
    bytes_max: usize,
    place: stored::Place,
    wire: Arc<Wire>,
    writer: Writer,
    /// What the next commit makes visible.
    ready: Gathered,
    /// What came after the first line of a record over several lines that is not complete yet. It becomes
    /// visible with that record, because the position stays before it.
    later: Gathered,
    /// The position before that line.
    safe: Option<SourcePosition>,
    /// The first line of the file that was being read when this began is known.
    is_headed: bool,
    /// Time of the latest event, in milliseconds.
    clock_ms: i64,
}

/// Makes records of what a reader gives.
struct Writer {
    line_bytes_max: usize,
    origin: String,
    source_key: String,
    events: EventWriter,
    lines: LineKey,
    repeats: Repeats,
    wire: Arc<Wire>,
}

impl Builder {
    pub(super) fn new(
        config: &CollectorConfig,
        events: EventWriter,
        lines: LineKey,
        place: stored::Place,
        wire: Arc<Wire>,
    ) -> Result<Self, CollectorError> {
        Ok(Self {
            reader: Reader::new(&config.format, config.line_bytes_max)?,
            lines_max: config.batch_lines,
            bytes_max: config.batch_bytes,
            place,
            writer: Writer {
                line_bytes_max: config.line_bytes_max,
                origin: config.path.display().to_string(),
                source_key: config.source_key(),
                events,
                lines,
                repeats: Repeats::default(),
                wire: wire.clone(),
            },
            wire,
            ready: Gathered::default(),
            later: Gathered::default(),
            safe: None,
            is_headed: false,
            clock_ms: 0,
        })
    }

    /// Whether lines were taken since the last batch that may become visible.
    pub(super) fn has_lines(&self) -> bool {
        self.ready.has_lines()
    }

    /// The position behind what may become visible, where the feed stands at `position`.
    pub(super) fn position(&self, position: SourcePosition) -> SourcePosition {
        match &self.safe {
            Some(safe) if self.reader.is_holding() => safe.clone(),
            _ => position,
        }
    }

    /// Takes the lines that were read; true when the batch is full.
    pub(super) fn take_lines(&mut self, feed: &mut Feed, now_ms: i64) -> bool {
        self.begin(feed, now_ms);
        while !self.ready.is_full(self.lines_max, self.bytes_max) {
            let Some(line) = feed.next_line() else { return false };
            let was_holding = self.reader.is_holding();
            let (line, length) = match line {
                Line::TooLong { offset, length, bytes, cuts } => {
                    (format::Line { offset, bytes, cuts }, length)
                }
                Line::Text { offset, bytes } => (format::Line::whole(offset, bytes), bytes.len() as u64),
            };
            let gathered = if was_holding { &mut self.later } else { &mut self.ready };
            gathered.lines(1, length + 1);
            let mut records = self.writer.records(line.bytes, length);
            self.reader.read(line, &mut |record| records.take(record, gathered, now_ms));
            if was_holding && self.later.is_full(ASSEMBLED_LINES_MAX, self.bytes_max) {
                self.flush(now_ms);
            }
            match (was_holding, self.reader.is_holding()) {
                (false, true) => self.safe = Some(feed.position_before_last()),
                (true, false) => self.ready.append(std::mem::take(&mut self.later)),
                _ => {}
            }
        }
        true
    }

    /// What one file left unfinished is not finished in the next, and what its first line says is known.
    fn begin(&mut self, feed: &Feed, now_ms: i64) {
        if !std::mem::replace(&mut self.is_headed, true)
            && let Some(head) = feed.head()
        {
            self.reader.note_head(&head);
        }
        let Some(safe) = self.safe.as_ref().filter(|_| self.reader.is_holding()) else { return };
        let file = |position: &SourcePosition| position.reading.as_ref().map(|file| file.id);
        if file(safe) != file(&feed.position()) {
            self.flush(now_ms);
        }
    }

    /// Takes what is held because it is not complete: there is no more to come.
    pub(super) fn flush(&mut self, now_ms: i64) {
        let (writer, later) = (&mut self.writer, &mut self.later);
        self.reader.finish(&mut |record| {
            let text = record.text.to_vec();
            writer.records(&text, text.len() as u64).take(record, later, now_ms);
        });
        self.ready.append(std::mem::take(&mut self.later));
    }

    /// Has every line compared with these indicators.
    pub(super) fn watch(&mut self, tripwires: Tripwires) {
        self.writer.events.watch(tripwires);
    }

    /// Forgets what was read, which is read again, and announces every account again: what was announced last
    /// is not in the log.
    pub(super) fn begin_anew(&mut self) {
        self.reader.reset();
        (self.ready, self.later, self.safe) = (Gathered::default(), Gathered::default(), None);
        self.writer.events.announcer().begin_anew();
    }

    /// The batch of the lines since the last one, and the position behind them.
    pub(super) fn finish(
        &mut self,
        before: Option<&SourcePosition>,
        after: SourcePosition,
        now_ms: i64,
    ) -> Batch {
        let mut gathered = std::mem::take(&mut self.ready);
        self.clock_ms = self.clock_ms.max(gathered.clock_ms);
        let mut outputs = std::mem::take(&mut gathered.outputs);
        let (identities, forgotten) = self.writer.events.announcer().take();
        let announced = identities.len() as u64;
        outputs.extend(identities);
        outputs.extend(stored::records(&self.wire, &self.place, before, &after, self.clock_ms, now_ms));
        Batch {
            commit: Commit { outputs, positions: Vec::new() },
            before: before.cloned(),
            after,
            announced,
            forgotten,
            gathered,
        }
    }
}

impl Writer {
    /// The records of a line of this length, each of which has an id of its own.
    fn records(&mut self, line: &[u8], length: u64) -> Records<'_> {
        let hash = match length == line.len() as u64 {
            true => self.lines.hash(line),
            // Of one that is too long, what was kept and how long it is.
            false => self.lines.hash(&[line, &length.to_be_bytes()].concat()),
        };
        let before = self.repeats.count(hash);
        Records { writer: self, hash, before, length, count: 0 }
    }

    fn refuse(&self, gathered: &mut Gathered, refusal: Refusal, (offset, length): (u64, u64), now_ms: i64) {
        let refused = Refused { kind: refusal.kind, offset, reason: refusal.reason.clone() };
        gathered.refused(refused, self.dead_letter(refusal, offset, length, now_ms));
    }

    /// The line itself may hold what must not leave the node: the letter says where it is.
    fn dead_letter(&self, refusal: Refusal, offset: u64, length: u64, now_ms: i64) -> Output {
        let letter = DeadLetter {
            kind: refusal.kind,
            reason: refusal.reason,
            stage: StageName::Collector.as_str().into(),
            origin: self.origin.clone(),
            partition: -1,
            offset: i64::try_from(offset).unwrap_or(i64::MAX),
            length: i64::try_from(length).unwrap_or(i64::MAX),
            time_ms: 0,
            schema: String::new(),
            payload: Vec::new(),
        };
        record_of(&self.wire, self.source_key.clone().into_bytes(), &letter, now_ms)
    }
}

/// The records of one line.
struct Records<'w> {
    writer: &'w mut Writer,
    hash: LineHash,
    /// How often the line stood before.
    before: u32,
    /// Its length.
    length: u64,
    count: u32,
}

impl Records<'_> {
    fn take(&mut self, record: Record<'_>, gathered: &mut Gathered, now_ms: i64) {
        let hash = self.writer.lines.of_record(self.hash, self.count);
        self.count += 1;
        if record.is_other {
            gathered.other += 1;
            return;
        }
        gathered.note(&record);
        let line_bytes_max = self.writer.line_bytes_max as u64;
        let length = if self.length > line_bytes_max { self.length } else { record.text.len() as u64 };
        let place = (record.offset, length);
        let written = match &record.read {
            // Nobody's request: a client that tries keys makes no accounts.
            Ok(exchange) if exchange.is_unowned => return gathered.unowned += 1,
            Ok(exchange) => {
                let id = self.writer.lines.event_id(hash, self.before);
                self.writer.events.write(exchange, id, now_ms)
            }
            Err(_) if length > line_bytes_max => Err(Refusal::too_long(self.writer.line_bytes_max)),
            Err(refusal) => Err(refusal.clone()),
        };
        match written {
            Ok(output) => gathered.published(output, record.is_mended),
            Err(refusal) => self.writer.refuse(gathered, refusal, place, now_ms),
        }
    }
}
