//! From what a tap hears to commits.
//!
//! Nobody can be asked to say it again: what is heard while the log takes nothing waits, within a bound, and what is
//! over the bound is counted. A batch is committed once: it goes with its number, by which it is known after a commit
//! whose outcome is not.

use super::exchange::Exchange;
use super::heard::Heard;
use super::loss::{Loss, Losses};
use super::record::{self, Surroundings};
use super::stored::{self, BatchId};
use super::table::Table;
use crate::announce::Announcer;
use crate::backoff::Backoff;
use crate::collector::{Clock, Gathered, Keys, Told};
use crate::error::CollectorError;
use crate::event::EventWriter;
use crate::format::{Format, Reader};
use crate::identity::TraceKey;
use crate::limits::{BATCH_BYTES_DEFAULT, LINE_BYTES_MAX_CEILING, TRACE_WAITING_BYTES_MAX};
use crate::place::Place;
use crate::sampling::{Sampler, Sampling};
use crate::tenants::{Tenants, check_tenant};
use std::collections::VecDeque;
use std::sync::Arc;
use weir_schemas::SourceKind;
use weir_schemas::wire::Wire;
use weir_topology::clock::{Clock as PaceClock, MachineClock};
use weir_topology::log::{Commit, Log, LogError, Writer};
use weir_topology::record::Output;
use weir_topology::telemetry::Telemetry;

/// What a source of traced processes is told.
#[derive(Debug, Clone)]
pub struct TraceConfig {
    /// Name of the source.
    pub source: String,
    /// Name of this node, unique in the deployment.
    pub node: String,
    /// Tenant of the processes' accounts.
    pub tenant: String,
    /// Whether prompts leave the node as text.
    pub keep_text: bool,
    /// Most events of one commit.
    pub batch_events: usize,
    /// What no other run of this source has: from the operating system's generator.
    pub run: [u8; 16],
}

/// What was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceProgress {
    /// Events.
    pub events: u64,
}

/// Commits what a tap hears.
pub struct TraceSource<'l> {
    log: &'l dyn Log,
    source_key: String,
    batch_events: usize,
    run: [u8; 16],
    wire: Arc<Wire>,
    telemetry: Arc<dyn Telemetry>,
    clock: Clock,
    pace: Arc<dyn PaceClock>,
    place: Place,
    table: Table,
    maker: Maker,
    losses: Losses,
    sampler: Sampler,
    told: Told,
    /// Batches that are to be committed, the oldest first.
    waiting: VecDeque<Batch>,
    waiting_bytes: usize,
    /// Number of the batch that was made last.
    number: u64,
    writer: Option<Box<dyn Writer>>,
    backoff: Backoff,
}

/// Makes events of exchanges.
struct Maker {
    reader: Reader,
    events: EventWriter,
    /// Whose all accounts are.
    tenant: String,
    key: TraceKey,
    /// Number of the exchange that was heard last.
    number: u64,
    text: Vec<u8>,
    ready: Gathered,
    ready_bytes: usize,
}

struct Batch {
    id: BatchId,
    outputs: Vec<Output>,
    bytes: usize,
    gathered: Gathered,
    announced: u64,
    forgotten: u64,
    /// What it comes to is not known: it may be committed.
    is_indefinite: bool,
}

impl<'l> TraceSource<'l> {
    /// Takes the source over from whoever had it under the same node and name.
    ///
    /// # Errors
    /// When the configuration cannot work, or the log cannot be used.
    pub fn open(
        log: &'l dyn Log,
        config: &TraceConfig,
        keys: Keys,
        wire: Arc<Wire>,
        telemetry: Arc<dyn Telemetry>,
        clock: Clock,
    ) -> Result<Self, CollectorError> {
        for (setting, name) in [("source", &config.source), ("node", &config.node)] {
            if name.is_empty() || name.starts_with('!') {
                let reason = "must not be empty, nor begin with `!`".into();
                return Err(CollectorError::Config { setting, reason });
            }
        }
        check_tenant(&config.tenant)?;
        let source_key = format!("{}/{}", config.node, config.source);
        let place = Place::of(log, stored::KIND, &source_key)?;
        let format = Format::of_file("trace", record::FORMAT)?;
        let key = TraceKey::new(&keys.pseudonymizer, config.run);
        let sampler = Sampler::new(&keys.pseudonymizer);
        let Keys { pseudonymizer, sealer } = keys;
        let (tenants, keep_text) = (Tenants::any(&config.tenant), config.keep_text);
        let events =
            EventWriter::of(SourceKind::Uprobe, tenants, keep_text, pseudonymizer, sealer, wire.clone());
        let maker = Maker {
            reader: Reader::new(&format, LINE_BYTES_MAX_CEILING)?,
            events,
            tenant: config.tenant.clone(),
            key,
            number: 0,
            text: Vec::new(),
            ready: Gathered::default(),
            ready_bytes: 0,
        };
        let writer = log.writer(&format!("trace/{source_key}"))?;
        Ok(Self {
            log,
            source_key,
            batch_events: config.batch_events.max(1),
            run: config.run,
            wire,
            telemetry,
            clock,
            pace: Arc::new(MachineClock::default()),
            place,
            table: Table::default(),
            maker,
            losses: Losses::default(),
            sampler,
            told: Told::of_pushed(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            number: 0,
            writer: Some(writer),
            backoff: Backoff::default(),
        })
    }

    /// The same source, pausing by another clock than the machine's.
    pub fn paced_by(mut self, pace: Arc<dyn PaceClock>) -> Self {
        self.pace = pace;
        self
    }

    /// Takes what a tap hears, in its order. It waits for nothing.
    pub fn hear(&mut self, heard: Heard<'_>) {
        self.with_table(|table, losses, hide, done| table.hear(heard, losses, hide, done));
        if self.maker.ready.events >= self.batch_events as u64
            || self.maker.ready_bytes >= BATCH_BYTES_DEFAULT
        {
            self.close_batch();
        }
    }

    /// Nothing more will be heard: what was heard to its end becomes events.
    pub fn end(&mut self) {
        self.with_table(|table, losses, hide, done| table.close_all(losses, hide, done));
    }

    /// Keeps this share of accounts from the next request on. Requests of the others are counted as [`Loss::Sampled`].
    pub fn sample(&mut self, sampling: Sampling) {
        self.sampler.sampling = sampling;
    }

    /// Counts what the tap itself could not hand on.
    pub fn lose(&mut self, loss: Loss, count: u64) {
        self.losses.add(loss, count);
    }

    /// Events that are not committed yet.
    pub fn waiting(&self) -> u64 {
        self.waiting.iter().map(|batch| batch.gathered.events).sum::<u64>() + self.maker.ready.events
    }

    /// Commits all that is ready. While the log takes nothing it waits.
    ///
    /// # Errors
    /// When the log cannot be used any more, or another process took the source over.
    pub fn commit(&mut self) -> Result<TraceProgress, CollectorError> {
        self.close_batch();
        let mut progress = TraceProgress::default();
        while !self.waiting.is_empty() && self.backoff.due().is_none_or(|due| due <= self.pace.now()) {
            match self.commit_first() {
                Ok(committed) => {
                    self.backoff.end();
                    progress.events += committed.events;
                }
                Err(CollectorError::Log(error)) => {
                    self.writer = None;
                    self.backoff.pause(error, &*self.pace, &*self.telemetry)?;
                }
                Err(error) => return Err(error),
            }
        }
        for (loss, count) in std::mem::take(&mut self.losses).iter() {
            self.telemetry.trace_lost(loss.as_str(), count);
        }
        Ok(progress)
    }

    fn commit_first(&mut self) -> Result<TraceProgress, CollectorError> {
        let Some(batch) = self.waiting.front_mut() else { return Ok(TraceProgress::default()) };
        if self.writer.is_none() {
            // Ends whatever an earlier writer had open.
            self.writer = Some(self.log.writer(&format!("trace/{}", self.source_key))?);
        }
        let is_there = batch.is_indefinite
            && stored::last(self.log, &self.place, &self.wire)?.is_some_and(|last| last == batch.id);
        if let Some(writer) = self.writer.as_mut().filter(|_| !is_there) {
            // Its own record goes last, so that it is there only when all is.
            let own = stored::record(&self.wire, &self.place, batch.id, (self.clock)());
            let mut commit = Commit { outputs: std::mem::take(&mut batch.outputs), positions: Vec::new() };
            commit.outputs.push(own);
            let outcome = writer.commit(&commit);
            commit.outputs.pop();
            batch.outputs = commit.outputs;
            if let Err(error) = outcome {
                batch.is_indefinite |= !matches!(error, LogError::Aborted { .. });
                return Err(error.into());
            }
        }
        let Some(batch) = self.waiting.pop_front() else { return Ok(TraceProgress::default()) };
        self.waiting_bytes -= batch.bytes;
        Announcer::tell(batch.announced, batch.forgotten, &*self.telemetry);
        self.told.tell(&batch.gathered, &*self.telemetry);
        Ok(TraceProgress { events: batch.gathered.events })
    }

    /// Makes a batch of what is ready; without room for it, it is counted.
    fn close_batch(&mut self) {
        if !self.maker.ready.has_lines() {
            // Whose requests are under way still was sealed too.
            self.maker.events.announcer().forget_key();
            return;
        }
        let mut gathered = std::mem::take(&mut self.maker.ready);
        let bytes = std::mem::take(&mut self.maker.ready_bytes);
        let mut outputs = std::mem::take(&mut gathered.outputs);
        let (identities, forgotten) = self.maker.events.announcer().take();
        if self.waiting_bytes + bytes > TRACE_WAITING_BYTES_MAX {
            self.losses.add(Loss::LogAway, gathered.events);
            // What was announced with it is not in the log.
            self.maker.events.announcer().begin_anew();
            return;
        }
        let announced = identities.len() as u64;
        outputs.extend(identities);
        self.number += 1;
        let id = BatchId { run: self.run, number: self.number };
        self.waiting_bytes += bytes;
        self.waiting.push_back(Batch {
            id,
            outputs,
            bytes,
            gathered,
            announced,
            forgotten,
            is_indefinite: false,
        });
    }

    fn with_table(
        &mut self,
        act: impl FnOnce(
            &mut Table,
            &mut Losses,
            &mut dyn FnMut(&str) -> crate::event::Hidden,
            super::table::Done<'_>,
        ),
    ) {
        let now_ms = (self.clock)();
        let Self { table, losses, maker, sampler, .. } = self;
        let maker = std::cell::RefCell::new(maker);
        let mut hide = |account: &str| {
            let maker = &mut **maker.borrow_mut();
            maker.events.hide(&maker.tenant, account, sampler, now_ms)
        };
        let mut done = |exchange: Exchange, surroundings: &Surroundings, losses: &mut Losses| {
            maker.borrow_mut().take(exchange, surroundings, losses, now_ms);
        };
        act(table, losses, &mut hide, &mut done);
    }
}

impl Maker {
    fn take(
        &mut self,
        mut exchange: Exchange,
        surroundings: &Surroundings,
        losses: &mut Losses,
        now_ms: i64,
    ) {
        let Some(hidden) = exchange.who.take() else { return };
        if hidden.sampling.is_none() {
            return losses.add(Loss::Sampled, 1);
        }
        self.number += 1;
        let id = self.key.event_id(self.number);
        let mut text = std::mem::take(&mut self.text);
        record::write(exchange, &hidden.account.to_string(), surroundings, losses, &mut text);
        let Self { reader, events, ready, ready_bytes, .. } = self;
        ready.lines(1, text.len() as u64);
        let mut hidden = Some(hidden);
        reader.read_whole(&text, &mut |record| {
            ready.note(&record);
            match record.read {
                Ok(exchange) if exchange.is_unowned => ready.unowned += 1,
                Ok(exchange) => {
                    let Some(hidden) = hidden.take() else { return };
                    match events.write_hidden(&exchange, hidden, id, now_ms) {
                        Ok(output) => {
                            *ready_bytes += output.bytes_len();
                            ready.published(output, record.is_mended);
                        }
                        // Only a clock that was set back makes the time of what was just heard one of the future.
                        Err(_) => losses.add(Loss::Request, 1),
                    }
                }
                Err(_) => losses.add(Loss::Request, 1),
            }
        });
        self.text = text;
    }
}
