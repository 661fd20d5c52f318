//! A batch: what one commit makes visible.

use super::feed::Feed;
use super::stored;
use crate::config::CollectorConfig;
use crate::event::EventWriter;
use crate::format::Format;
use crate::format::fields::Fields;
use crate::identity::{LineKey, Repeats};
use crate::refusal::Refusal;
use crate::tail::{Line, SourcePosition};
use std::sync::Arc;
use weir_schemas::wire::Wire;
use weir_schemas::{DeadLetter, DlqKind, EventId};
use weir_topology::letter::record_of;
use weir_topology::log::Commit;
use weir_topology::record::Output;
use weir_topology::topic::StageName;

/// Lines that were read, as records, with the position behind them.
pub(super) struct Batch {
    pub(super) commit: Commit,
    pub(super) before: Option<SourcePosition>,
    pub(super) after: SourcePosition,
    pub(super) bytes: u64,
    pub(super) events: u64,
    /// Events among them whose lines had bytes that are not UTF-8.
    pub(super) mended: u64,
    /// Identities that were announced.
    pub(super) announced: u64,
    /// Accounts that were forgotten for want of room: they will be announced again.
    pub(super) forgotten: u64,
    pub(super) rejected: Vec<DlqKind>,
}

/// Turns lines into a batch.
pub(super) struct Builder {
    format: Format,
    place: stored::Place,
    source_key: String,
    origin: String,
    line_bytes_max: usize,
    lines_max: usize,
    bytes_max: usize,
    events: EventWriter,
    lines: LineKey,
    repeats: Repeats,
    wire: Arc<Wire>,
    outputs: Vec<Output>,
    output_bytes: usize,
    line_bytes: u64,
    published: u64,
    mended: u64,
    rejected: Vec<DlqKind>,
    /// Time of the latest event, in milliseconds.
    clock_ms: i64,
}

impl Builder {
    pub(super) fn new(
        config: &CollectorConfig,
        events: EventWriter,
        lines: LineKey,
        place: stored::Place,
        wire: Arc<Wire>,
    ) -> Self {
        Self {
            format: config.format,
            place,
            source_key: config.source_key(),
            origin: config.path.display().to_string(),
            line_bytes_max: config.line_bytes_max,
            lines_max: config.batch_lines,
            bytes_max: config.batch_bytes,
            events,
            lines,
            repeats: Repeats::default(),
            wire,
            outputs: Vec::new(),
            output_bytes: 0,
            line_bytes: 0,
            published: 0,
            mended: 0,
            rejected: Vec::new(),
            clock_ms: 0,
        }
    }

    /// Whether lines were taken since the last batch.
    pub(super) fn has_lines(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Takes the lines that were read; true when the batch is full.
    pub(super) fn take_lines(&mut self, feed: &mut Feed, now_ms: i64) -> bool {
        while self.outputs.len() < self.lines_max && self.output_bytes < self.bytes_max {
            let Some(line) = feed.next_line() else { return false };
            let (offset, length, written) = match line {
                Line::TooLong { offset, length } => {
                    (offset, length, Err(Refusal::too_long(self.line_bytes_max)))
                }
                Line::Text { offset, bytes } => (offset, bytes.len() as u64, self.event(bytes, now_ms)),
            };
            let output = match written {
                Ok(output) => {
                    self.published += 1;
                    self.clock_ms = self.clock_ms.max(output.timestamp_ms);
                    output
                }
                Err(refusal) => {
                    self.rejected.push(refusal.kind);
                    self.dead_letter(refusal, offset, length, now_ms)
                }
            };
            self.line_bytes += length + 1;
            self.output_bytes += output.bytes_len();
            self.outputs.push(output);
        }
        true
    }

    /// Announces every account again: what was announced last is not in the log.
    pub(super) fn announce_anew(&mut self) {
        self.events.announcer().begin_anew();
    }

    /// The batch of the lines since the last one, and the position behind them.
    pub(super) fn finish(
        &mut self,
        before: Option<&SourcePosition>,
        after: SourcePosition,
        now_ms: i64,
    ) -> Batch {
        let mut outputs = std::mem::take(&mut self.outputs);
        let (identities, forgotten) = self.events.announcer().take();
        let announced = identities.len() as u64;
        outputs.extend(identities);
        outputs.extend(stored::records(&self.wire, &self.place, before, &after, self.clock_ms, now_ms));
        self.output_bytes = 0;
        Batch {
            commit: Commit { outputs, positions: Vec::new() },
            before: before.cloned(),
            after,
            bytes: std::mem::take(&mut self.line_bytes),
            events: std::mem::take(&mut self.published),
            mended: std::mem::take(&mut self.mended),
            announced,
            forgotten,
            rejected: std::mem::take(&mut self.rejected),
        }
    }

    fn event(&mut self, line: &[u8], now_ms: i64) -> Result<Output, Refusal> {
        let hash = self.lines.hash(line);
        let id = self.lines.event_id(hash, self.repeats.count(hash));
        let error = match std::str::from_utf8(line) {
            Ok(line) => return self.event_of(&Fields::parse(line)?, id, now_ms),
            Err(error) => error,
        };
        // Clients choose the bytes of their headers, and nobody shall escape judgement by one of them.
        // Only bytes of 0x80 and up are replaced: none that JSON is made of.
        let mended = String::from_utf8_lossy(line);
        let fields = Fields::parse(&mended).map_err(|_| Refusal::not_utf8(error.valid_up_to()))?;
        let output = self.event_of(&fields, id, now_ms)?;
        self.mended += 1;
        Ok(output)
    }

    fn event_of(&mut self, fields: &Fields<'_>, id: EventId, now_ms: i64) -> Result<Output, Refusal> {
        let exchange = self.format.read(fields)?;
        self.events.write(&exchange, id, now_ms)
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
