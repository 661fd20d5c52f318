//! A topic of somebody else's as a source: the lines of gateways' logs, or records that gateways wrote there.
//!
//! How far each partition was read is committed together with the events, as with files: a crash goes on at
//! the exact record, and nothing is lost or doubled. While the log is away nothing more is read.

use crate::backoff::Backoff;
use crate::collector::{Clock, Keys};
use crate::error::CollectorError;
use crate::event::EventWriter;
use crate::identity::PushKey;
use crate::indicators::Tripwires;
use crate::limits::BATCH_BYTES_DEFAULT;
use crate::place::Place;
use crate::push::{Publisher, PushConfig, Pushed, offsets};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use weir_schemas::SourceKind;
use weir_schemas::wire::Wire;
use weir_topology::clock::{Clock as PaceClock, MachineClock};
use weir_topology::feed::Feed;
use weir_topology::log::{Commit, Log, LogError, Writer};
use weir_topology::telemetry::Telemetry;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicProgress {
    /// Records that were committed.
    pub records: u64,
    /// Events of them.
    pub events: u64,
    /// Records, or parts of them, that were refused: each has a dead letter.
    pub refused: u64,
    /// Everything that stood in the topic when it was first looked at was read and committed.
    pub is_at_end: bool,
}

/// Reads a topic into the log. Its source's name is the topic's.
pub struct TopicSource<'l> {
    log: &'l dyn Log,
    feed: Box<dyn Feed>,
    config: PushConfig,
    batch_records: usize,
    linger: Duration,
    wire: Arc<Wire>,
    telemetry: Arc<dyn Telemetry>,
    clock: Clock,
    pace: Arc<dyn PaceClock>,
    publisher: Publisher,
    place: Place,
    /// None before the first step and after a failure: what is committed is looked up before the next.
    open: Option<Open>,
    /// When it is tried again.
    backoff: Backoff,
    /// Why the topic or the log cannot be used for now.
    unavailable: Option<String>,
}

struct Open {
    writer: Box<dyn Writer>,
    /// The next offset of each partition, as committed.
    next: BTreeMap<i32, i64>,
}

impl<'l> TopicSource<'l> {
    /// A source that reads `feed`; at most `batch_records` of its records in one commit, which wait for each
    /// other for `linger` at most.
    ///
    /// # Errors
    /// When the configuration cannot work.
    #[allow(clippy::too_many_arguments)] // What every source needs, and its pace.
    pub fn new(
        log: &'l dyn Log,
        feed: Box<dyn Feed>,
        config: PushConfig,
        batch_records: usize,
        linger: Duration,
        keys: Keys,
        wire: Arc<Wire>,
        telemetry: Arc<dyn Telemetry>,
        clock: Clock,
    ) -> Result<Self, CollectorError> {
        config.check()?;
        let place = Place::of(log, offsets::KIND, &config.source_key())?;
        let key = PushKey::of_log(&keys.pseudonymizer);
        let Keys { pseudonymizer, sealer } = keys;
        let (tenants, keep_text) = (config.tenants.clone(), config.keep_text);
        let events =
            EventWriter::of(SourceKind::Topic, tenants, keep_text, pseudonymizer, sealer, wire.clone());
        let publisher = Publisher::new(&config, place.key().to_owned(), events, key, wire.clone())?;
        Ok(Self {
            log,
            feed,
            config,
            batch_records,
            linger,
            wire,
            telemetry,
            clock,
            pace: Arc::new(MachineClock::default()),
            publisher,
            place,
            open: None,
            backoff: Backoff::default(),
            unavailable: None,
        })
    }

    /// The same source, comparing what it reads with these indicators.
    pub fn watching(mut self, tripwires: Tripwires) -> Self {
        self.publisher.watch(tripwires);
        self
    }

    /// The same source, pausing by another clock than the machine's.
    pub fn paced_by(mut self, pace: Arc<dyn PaceClock>) -> Self {
        self.pace = pace;
        self
    }

    /// Why the topic or the log cannot be used for now, if so.
    pub fn unavailable(&self) -> Option<&str> {
        self.unavailable.as_deref()
    }

    /// Reads a batch and commits it. Waits for records, or for the log, at most `wait`, and for more of them
    /// as long as they may linger.
    ///
    /// # Errors
    /// When the log cannot be used any more, or another process took the source over.
    pub fn run_once(&mut self, wait: Duration) -> Result<TopicProgress, CollectorError> {
        let now = self.pace.now();
        if let Some(due) = self.backoff.due().filter(|due| *due > now) {
            self.pace.sleep((due - now).min(wait));
            if due > self.pace.now() {
                return Ok(TopicProgress::default());
            }
        }
        match self.step(wait) {
            Ok(progress) => {
                self.backoff.end();
                self.unavailable = None;
                Ok(progress)
            }
            Err(CollectorError::Log(error)) => self.away(error),
            Err(error) => Err(error),
        }
    }

    fn step(&mut self, wait: Duration) -> Result<TopicProgress, CollectorError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.look_up()?,
        };
        let now_ms = (self.clock)();
        let (mut pushed, mut next) = (Pushed::default(), BTreeMap::new());
        let (mut records, mut bytes) = (0, 0);
        let mut until = self.pace.now() + wait;
        while records < self.batch_records && bytes < BATCH_BYTES_DEFAULT {
            let left = until.saturating_sub(self.pace.now());
            let Some(record) = self.feed.poll(left)? else { break };
            if records == 0 {
                until = self.pace.now() + self.linger;
            }
            records += 1;
            let place = (&*self.config.source, record.partition, record.offset);
            let payload = record.payload.unwrap_or_default();
            bytes += payload.len();
            let bytes_max = self.config.body_bytes_max;
            self.publisher.publish_record(&payload, place, bytes_max, &mut pushed, now_ms);
            next.insert(record.partition, record.offset + 1);
            // Packed records are small, and what they come to is not.
            if pushed.is_full() {
                break;
            }
        }
        if records == 0 {
            self.open = Some(open);
            return Ok(TopicProgress { is_at_end: self.feed.is_at_end(), ..TopicProgress::default() });
        }
        let mut outputs = self.publisher.take_outputs(&mut pushed);
        outputs.extend(offsets::records(&self.wire, &self.place, &next, now_ms));
        open.writer.commit(&Commit { outputs, positions: Vec::new() })?;
        open.next.extend(next);
        self.open = Some(open);
        self.publisher.tell(&pushed, &*self.telemetry);
        let (events, refused) = pushed.counts();
        Ok(TopicProgress { records: records as u64, events, refused, is_at_end: self.feed.is_at_end() })
    }

    /// Opens a writer, which ends whatever an earlier one had open, and goes on behind what is committed.
    fn look_up(&mut self) -> Result<Open, CollectorError> {
        let writer = self.log.writer(&format!("topic/{}", self.config.source_key()))?;
        let next = offsets::next(self.log, &self.place, &self.wire)?;
        if self.publisher.wants_names() {
            // The names of columns stand in the first record of one partition, and count for all.
            for head in self.feed.heads()? {
                self.publisher.note_head(&head.payload.unwrap_or_default(), self.config.body_bytes_max);
            }
        }
        for gap in self.feed.seek(&next)? {
            self.telemetry.topic_lost(&self.config.source, gap.partition, gap.from, gap.to);
        }
        Ok(Open { writer, next })
    }

    /// Lets go of everything that was not committed, or may not have been: it is read again.
    fn away(&mut self, error: LogError) -> Result<TopicProgress, CollectorError> {
        self.open = None;
        self.publisher.begin_anew();
        self.unavailable = Some(error.to_string());
        self.backoff.pause(error, &*self.pace, &*self.telemetry)?;
        Ok(TopicProgress::default())
    }
}
