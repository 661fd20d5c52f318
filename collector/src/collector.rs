//! One source: reads lines, publishes events and dead letters, and commits them together with the
//! position behind them, so that after a crash reading goes on at the exact byte and nothing is lost
//! or doubled.

mod batch;
mod feed;
mod stored;
mod tally;
mod told;
mod totals;

use crate::announce::Announcer;
use crate::backoff::Backoff;
use crate::config::{CollectorConfig, Mode};
use crate::error::CollectorError;
use crate::event::EventWriter;
use crate::identity::LineKey;
use crate::indicators::Tripwires;
use crate::limits::POLL_INTERVAL;
use crate::privacy::Pseudonymizer;
use crate::seal::Sealer;
use crate::tail::{FileId, Look, PrintKey, SourceEvent, SourcePosition};
use batch::{Batch, Builder};
use feed::Feed;
use std::fs::Metadata;
use std::sync::Arc;
use std::time::Duration;
pub(crate) use tally::{Gathered, Refused};
pub(crate) use told::Told;
pub use totals::Totals;
use weir_schemas::wire::Wire;
use weir_topology::clock::{Clock as PaceClock, MachineClock};
use weir_topology::log::{Log, LogError, Writer};
use weir_topology::telemetry::Telemetry;

/// What a collector hides ids with.
#[derive(Debug)]
pub struct Keys {
    /// Makes pseudonyms.
    pub pseudonymizer: Pseudonymizer,
    /// Seals raw ids for the enforcer.
    pub sealer: Sealer,
}

/// The collector's clock: milliseconds since the Unix epoch. It stamps `observed_ms` and refuses times
/// from the future; nothing else depends on it.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How a source stands after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// There is more to read now.
    Reading,
    /// Everything that is there was read; it waits for more to be committed with.
    Lingering,
    /// Everything that is there was read and committed. A followed file may grow.
    AtEnd,
    /// The file was rotated away; its writer is given a moment to let go of it.
    Leaving,
    /// The source cannot be read for now, or is not there yet.
    Unavailable,
    /// The log cannot take records for now. What was read is held and will be tried again.
    Held,
}

/// What one step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// How the source stands.
    pub state: SourceState,
    /// Bytes of the source that the committed lines took.
    pub bytes: u64,
    /// Lines that were committed.
    pub lines: u64,
    /// Events among them.
    pub events: u64,
    /// Refused lines among them, or parts of lines: each has a dead letter.
    pub rejected: u64,
    /// Requests among them whose key the gateway refused: they are nobody's, and no events.
    pub unowned: u64,
    /// Records among them that tell of no request to a model: they are no events either.
    pub other: u64,
    /// Where reading goes on after a crash; none before anything was read.
    pub position: Option<SourcePosition>,
}

impl Progress {
    /// Whether everything that is there was read and committed.
    pub fn at_end(&self) -> bool {
        self.state == SourceState::AtEnd
    }
}

/// Reads one source into a log.
pub struct Collector<'l> {
    log: &'l dyn Log,
    config: CollectorConfig,
    wire: Arc<Wire>,
    telemetry: Arc<dyn Telemetry>,
    clock: Clock,
    pace: Arc<dyn PaceClock>,
    builder: Builder,
    feed: Feed,
    prints: PrintKey,
    place: stored::Place,
    /// None when its last commit failed: a new one is opened before the next.
    writer: Option<Box<dyn Writer>>,
    committed: Option<SourcePosition>,
    /// Since when there is something to commit.
    lingers_since: Option<Duration>,
    /// Lines that were read under another name.
    known_lines: u64,
    /// Why the source cannot be read on, once what was read of it is committed.
    failed: Option<CollectorError>,
    /// Read and not yet known to be committed.
    pending: Option<Batch>,
    backoff: Backoff,
    /// The reason that was last told for the source being unavailable.
    unavailable: Option<String>,
    /// What was told of the lines.
    told: Told,
    totals: Totals,
}

impl<'l> Collector<'l> {
    /// Takes the source over from whoever reads it under the same node and source name, and goes on
    /// where that one's last commit ended.
    pub fn open(
        log: &'l dyn Log,
        config: CollectorConfig,
        keys: Keys,
        wire: Arc<Wire>,
        telemetry: Arc<dyn Telemetry>,
        clock: Clock,
    ) -> Result<Self, CollectorError> {
        config.check()?;
        // The writer first: after it no other can move the position.
        let writer = log.writer(&writer_name(&config))?;
        let place = stored::Place::of(log, &config)?;
        let committed = stored::position(log, &place, &wire)?;
        let prints = PrintKey::new(&keys.pseudonymizer);
        // A source that was read before knows its own files; others are asked for what may be a copy.
        let is_copy_possible = committed.is_none() || config.mode == Mode::Import;
        let others = if is_copy_possible { stored::files(log, &wire)? } else { Vec::new() };
        let feed = Feed::open(&config, committed.clone(), prints.clone(), &others)?;
        let lines = LineKey::new(&keys.pseudonymizer);
        let events = EventWriter::new(&config, keys.pseudonymizer, keys.sealer, wire.clone());
        let builder = Builder::new(&config, events, lines, place.clone(), wire.clone())?;
        Ok(Self {
            log,
            config,
            wire,
            telemetry,
            clock,
            pace: Arc::new(MachineClock::default()),
            builder,
            feed,
            prints,
            place,
            writer: Some(writer),
            committed,
            lingers_since: None,
            known_lines: 0,
            failed: None,
            pending: None,
            backoff: Backoff::default(),
            unavailable: None,
            told: Told::default(),
            totals: Totals::default(),
        })
    }

    /// The same collector, comparing what it reads with these indicators.
    pub fn watching(mut self, tripwires: Tripwires) -> Self {
        self.builder.watch(tripwires);
        self
    }

    /// The same collector, waiting and trying again by another clock than the machine's.
    pub fn paced_by(mut self, pace: Arc<dyn PaceClock>) -> Self {
        self.pace = pace;
        self
    }

    /// Lines of the source that were read under another name before, and are not events again.
    pub fn known_lines(&self) -> u64 {
        self.known_lines
    }

    /// Why the source cannot be read for now, if so.
    pub fn unavailable(&self) -> Option<&str> {
        self.unavailable.as_deref()
    }

    /// How far a file that is imported was read, and its size: bytes as they stand in it, compressed or not.
    pub fn read_of(&self) -> Option<(u64, u64)> {
        self.feed.read_of()
    }

    /// What was committed, and lost, since it was opened.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Bytes of the log that were not committed yet, in the file that is read and the one at its path; none
    /// before anything was read, and while a compressed file is read.
    pub fn behind_bytes(&self) -> Option<u64> {
        let reading = self.committed.as_ref()?.reading.as_ref()?;
        let current = std::fs::metadata(&self.config.path).ok();
        let rest = |metadata: &Metadata| metadata.len().saturating_sub(reading.offset);
        match current {
            Some(current) if FileId::of(&current) == reading.id => Some(rest(&current)),
            current => {
                let old = std::fs::metadata(&reading.path).ok().filter(|it| FileId::of(it) == reading.id);
                let old = old.as_ref().map_or(0, rest);
                current.map(|current| old + current.len())
            }
        }
    }

    /// Reads one batch and commits it. Waits for something to read, or for the log, at most `wait`.
    pub fn run_once(&mut self, wait: Duration) -> Result<Progress, CollectorError> {
        let deadline = self.pace.now() + wait;
        loop {
            let now = self.pace.now();
            if let Some(due) = self.backoff.due().filter(|due| *due > now) {
                let until = due.min(deadline);
                self.pace.sleep(until.saturating_sub(now));
                if until < due || self.pace.now() < due {
                    return Ok(self.progress(SourceState::Held));
                }
            }
            let state = match self.pending {
                Some(_) => SourceState::Reading,
                None => self.gather()?,
            };
            if let Some(batch) = self.pending.take() {
                return self.deliver(batch, state);
            }
            let now = self.pace.now();
            if state == SourceState::Reading || now >= deadline || self.feed.is_done() {
                return Ok(self.progress(state));
            }
            self.pace.sleep(POLL_INTERVAL.min(deadline - now));
        }
    }

    /// Reads lines until a batch is full or there are none for now.
    fn gather(&mut self) -> Result<SourceState, CollectorError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let now_ms = (self.clock)();
        let state = loop {
            if self.builder.take_lines(&mut self.feed, now_ms) {
                break SourceState::Reading;
            }
            let look = match self.feed.look(&self.config) {
                // What was read up to here is whole lines, and worth keeping.
                Err(error) if self.builder.has_lines() => {
                    self.failed = Some(error);
                    break SourceState::Reading;
                }
                look => look?,
            };
            match look {
                Look::Read => {}
                Look::End => {
                    if self.feed.is_done() {
                        self.builder.flush(now_ms);
                    }
                    break SourceState::AtEnd;
                }
                Look::Leaving => break SourceState::Leaving,
                Look::Unavailable(reason) => {
                    if self.unavailable.as_ref() != Some(&reason) {
                        self.telemetry.source_unavailable(&reason);
                        self.unavailable = Some(reason);
                    }
                    break SourceState::Unavailable;
                }
            }
        };
        if state != SourceState::Unavailable {
            self.unavailable = None;
        }
        for event in self.feed.take_events() {
            self.tell(&event);
        }
        Ok(self.batch(state, now_ms))
    }

    /// Makes a batch of what was read when it is full, or has waited long enough for more.
    fn batch(&mut self, state: SourceState, now_ms: i64) -> SourceState {
        let mut position = self.builder.position(self.feed.position());
        position.commits = self.committed.as_ref().map_or(0, |committed| committed.commits);
        let has_moved = match &self.committed {
            Some(committed) => !position.is_at(committed),
            None => position.reading.is_some(),
        };
        if !self.builder.has_lines() && !has_moved {
            self.lingers_since = None;
            return state;
        }
        let now = self.pace.now();
        let since = *self.lingers_since.get_or_insert(now);
        if state != SourceState::Reading && !self.feed.is_done() && now < since + self.config.linger {
            return if state == SourceState::AtEnd { SourceState::Lingering } else { state };
        }
        self.lingers_since = None;
        position.commits += 1;
        self.pending = Some(self.builder.finish(self.committed.as_ref(), position, now_ms));
        state
    }

    fn tell(&mut self, event: &SourceEvent) {
        match event {
            SourceEvent::Changed { change, file } => {
                self.telemetry.source_changed(*change, &file.to_string_lossy());
            }
            SourceEvent::Known { file, lines } => {
                self.known_lines += lines;
                self.telemetry.lines_known(&file.to_string_lossy(), *lines);
            }
            SourceEvent::Lost { cause, file, from, to } => {
                self.totals.losses += 1;
                self.telemetry.source_lost(*cause, &file.to_string_lossy(), *from, *to);
            }
        }
    }

    /// Commits a batch, or keeps it for later.
    fn deliver(&mut self, batch: Batch, state: SourceState) -> Result<Progress, CollectorError> {
        if self.writer.is_none() {
            match self.settle(&batch) {
                Ok(Settled::Committed) => return Ok(self.committed_progress(batch, state)),
                Ok(Settled::Open(writer)) => self.writer = Some(writer),
                Ok(Settled::Moved(writer, position)) => {
                    // Someone else read on in between: their position counts, and the lines of this
                    // batch are read again from there.
                    self.writer = Some(writer);
                    self.feed = Feed::open(&self.config, position.clone(), self.prints.clone(), &[])?;
                    self.committed = position;
                    self.builder.begin_anew();
                    self.backoff.end();
                    return Ok(self.progress(SourceState::Reading));
                }
                Err(error) => return self.hold(batch, error),
            }
        }
        let Some(writer) = &mut self.writer else { return Ok(self.progress(state)) };
        match writer.commit(&batch.commit) {
            Ok(()) => Ok(self.committed_progress(batch, state)),
            Err(error) => {
                // After an abort the writer is still good, and the same commit may be tried again.
                if !matches!(error, LogError::Aborted { .. }) {
                    self.writer = None;
                }
                self.hold(batch, error)
            }
        }
    }

    fn committed_progress(&mut self, batch: Batch, state: SourceState) -> Progress {
        self.backoff.end();
        self.committed = Some(batch.after.clone());
        Announcer::tell(batch.announced, batch.forgotten, &*self.telemetry);
        let gathered = batch.gathered;
        self.told.tell(&gathered, &*self.telemetry);
        self.totals.add(&gathered);
        Progress {
            state,
            bytes: gathered.line_bytes,
            lines: gathered.lines,
            events: gathered.events,
            rejected: gathered.refused.len() as u64,
            unowned: gathered.unowned,
            other: gathered.other,
            position: self.committed.clone(),
        }
    }

    fn progress(&self, state: SourceState) -> Progress {
        Progress {
            state,
            bytes: 0,
            lines: 0,
            events: 0,
            rejected: 0,
            unowned: 0,
            other: 0,
            position: self.committed.clone(),
        }
    }

    /// Keeps the batch and tries again later, unless trying again cannot help.
    fn hold(&mut self, batch: Batch, error: LogError) -> Result<Progress, CollectorError> {
        self.backoff.pause(error, &*self.pace, &*self.telemetry)?;
        self.pending = Some(batch);
        Ok(self.progress(SourceState::Held))
    }

    /// Opens a new writer, which ends whatever the old one had open, and looks whether the batch is in
    /// the log.
    fn settle(&self, batch: &Batch) -> Result<Settled, LogError> {
        let writer = self.log.writer(&writer_name(&self.config))?;
        let stored = stored::position(self.log, &self.place, &self.wire).map_err(|error| match error {
            CollectorError::Log(error) => error,
            other => LogError::Damaged { reason: other.to_string() },
        })?;
        Ok(if stored.as_ref() == Some(&batch.after) {
            Settled::Committed
        } else if stored == batch.before {
            Settled::Open(writer)
        } else {
            Settled::Moved(writer, stored)
        })
    }
}

/// What became of a batch whose commit failed.
enum Settled {
    /// It is in the log.
    Committed,
    /// It is not: it may be committed with this writer.
    Open(Box<dyn Writer>),
    /// Another collector has committed since.
    Moved(Box<dyn Writer>, Option<SourcePosition>),
}

fn writer_name(config: &CollectorConfig) -> String {
    format!("collector/{}", config.source_key())
}
