//! From what a tap hears to batches of events.
//!
//! Nobody can be asked to say it again: what is heard while the log takes nothing waits, and what finds no
//! room is counted. Hearing waits for nothing but the spool's disk; [`Handover`] commits.

use super::batch::{Content, Counts};
use super::exchange::Exchange;
use super::handover::Handover;
use super::heard::Heard;
use super::loss::{Loss, Losses};
use super::record::{self, Surroundings};
use super::table::Table;
use super::waiting::Waiting;
use crate::backoff::Backoff;
use crate::collector::{Clock, Gathered, Keys, Told};
use crate::error::CollectorError;
use crate::event::EventWriter;
use crate::format::{Format, Reader};
use crate::identity::TraceKey;
use crate::indicators::Tripwires;
use crate::limits::{BATCH_BYTES_DEFAULT, LINE_BYTES_MAX_CEILING, TRACE_BATCH_AGE_MAX};
use crate::sampling::{Sampler, Sampling};
use crate::spool::Spool;
use crate::tenants::{Tenants, check_tenant};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weir_schemas::SourceKind;
use weir_schemas::wire::Wire;
use weir_topology::clock::{Clock as PaceClock, MachineClock};
use weir_topology::log::Log;
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

impl TraceConfig {
    /// Key of the source, by which the log and a spool know it.
    pub fn source_key(&self) -> String {
        format!("{}/{}", self.node, self.source)
    }
}

/// Makes batches of what a tap hears.
pub struct TraceSource {
    batch_events: usize,
    telemetry: Arc<dyn Telemetry>,
    clock: Clock,
    pace: Arc<dyn PaceClock>,
    table: Table,
    maker: Maker,
    losses: Losses,
    sampler: Sampler,
    told: Told,
    waiting: Arc<Mutex<Waiting>>,
    /// Since when a batch is kept open because an earlier one waits.
    kept_open_since: Option<Duration>,
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

impl TraceSource {
    /// A source, and what hands its batches over to the log: it takes the source over from whoever had it
    /// under the same node and name. With a spool that is done when the first batch is there, so that
    /// processes are heard also while the log is away.
    ///
    /// # Errors
    /// When the configuration cannot work, or the log cannot be used and there is no spool.
    pub fn open<'l>(
        log: &'l dyn Log,
        config: &TraceConfig,
        spool: Option<Spool>,
        keys: Keys,
        wire: Arc<Wire>,
        telemetry: Arc<dyn Telemetry>,
        clock: Clock,
    ) -> Result<(Self, Handover<'l>), CollectorError> {
        for (setting, name) in [("source", &config.source), ("node", &config.node)] {
            if name.is_empty() || name.starts_with('!') {
                let reason = "must not be empty, nor begin with `!`".into();
                return Err(CollectorError::Config { setting, reason });
            }
        }
        check_tenant(&config.tenant)?;
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
        let has_spool = spool.is_some();
        let pace: Arc<dyn PaceClock> = Arc::new(MachineClock::default());
        let waiting = Arc::new(Mutex::new(Waiting::new(config.run, spool)));
        let mut handover = Handover {
            log,
            source_key: config.source_key(),
            run: config.run,
            wire,
            telemetry: telemetry.clone(),
            clock: clock.clone(),
            pace: pace.clone(),
            waiting: waiting.clone(),
            pending: None,
            open: None,
            is_uncertain: has_spool,
            last: None,
            told: Told::of_pushed(),
            backoff: Backoff::default(),
        };
        if !has_spool {
            handover.take_over()?;
        }
        let source = Self {
            batch_events: config.batch_events.max(1),
            telemetry,
            clock,
            pace,
            table: Table::default(),
            maker,
            losses: Losses::default(),
            sampler,
            told: Told::of_pushed(),
            waiting,
            kept_open_since: None,
        };
        Ok((source, handover))
    }

    /// The same, telling ages by another clock than the machine's.
    pub fn paced_by(mut self, pace: Arc<dyn PaceClock>) -> Self {
        self.pace = pace;
        self
    }

    /// The same, comparing what it hears with these indicators.
    pub fn watching(mut self, tripwires: Tripwires) -> Self {
        self.maker.events.watch(tripwires);
        self
    }

    /// Takes what a tap hears, in its order. It waits for nothing but the spool's disk, and only when a batch
    /// is full: to take it, and with [`SyncPolicy::Always`](crate::SyncPolicy::Always) to make sure of it.
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

    /// Keeps this share of accounts from the next request on. Requests of the others are counted as
    /// [`Loss::Sampled`].
    pub fn sample(&mut self, sampling: Sampling) {
        self.sampler.sampling = sampling;
    }

    /// Counts what the tap itself could not hand on.
    pub fn lose(&mut self, loss: Loss, count: u64) {
        self.losses.add(loss, count);
    }

    /// Makes a batch of what is ready, and tells of what was lost. It is to be called as often as events may
    /// wait for others. While an earlier batch waits for the log it stays open for some seconds: a slow log
    /// takes few large batches better than many small ones, of which ever more would wait.
    pub fn close_when_due(&mut self) {
        let now = self.pace.now();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Before there is a new one: of those before it the log has most by now.
        waiting.sync_when_due(now, &*self.telemetry);
        let must_wait = self.maker.ready.has_lines() && !waiting.is_empty();
        drop(waiting);
        if must_wait && now.saturating_sub(*self.kept_open_since.get_or_insert(now)) < TRACE_BATCH_AGE_MAX {
            return self.tell();
        }
        self.close();
    }

    /// Makes a batch of what is ready, whatever waits, and tells of what was lost.
    pub fn close(&mut self) {
        self.close_batch();
        self.tell();
    }

    /// Tells of what was lost, and of what waits.
    fn tell(&mut self) {
        for (loss, count) in std::mem::take(&mut self.losses).iter() {
            self.telemetry.trace_lost(loss.as_str(), count);
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // The log may hold up who commits for long.
        waiting.tell(&*self.telemetry);
    }

    /// Makes a batch of what is ready; without room for it, it is counted.
    fn close_batch(&mut self) {
        self.kept_open_since = None;
        if !self.maker.ready.has_lines() {
            // Whose requests are under way still was sealed too.
            self.maker.events.announcer().forget_key();
            return;
        }
        let mut gathered = std::mem::take(&mut self.maker.ready);
        self.maker.ready_bytes = 0;
        let mut outputs = std::mem::take(&mut gathered.outputs);
        let (identities, forgotten) = self.maker.events.announcer().take();
        let counts = Counts {
            lines: gathered.lines,
            line_bytes: gathered.line_bytes,
            events: gathered.events,
            mended: gathered.mended,
            unowned: gathered.unowned,
            announced: identities.len() as u64,
            forgotten,
        };
        outputs.extend(identities);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.put(Content { outputs, counts }, self.pace.now(), &*self.telemetry) {
            Ok(()) => self.told.tell_reading(&gathered, &*self.telemetry),
            Err(loss) => {
                self.losses.add(loss, counts.events);
                // What was announced with it is not in the log.
                self.maker.events.announcer().begin_anew();
            }
        }
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
                        // Only a clock that was set back makes the time of what was just heard one of the
                        // future.
                        Err(_) => losses.add(Loss::Request, 1),
                    }
                }
                Err(_) => losses.add(Loss::Request, 1),
            }
        });
        self.text = text;
    }
}
