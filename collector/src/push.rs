//! What others push: a request's records are committed before the request is answered, and a request that
//! comes again because its answer was lost makes no second event.
//!
//! A request's way: [`body`] unpacks it within a bound; `otlp` or the lines of it give records, which the
//! formats read as they read files; `publish` makes events and dead letters of them. One commit holds what
//! several requests brought *and* what they are known by (`seen`), so a crash between commit and answer costs
//! nothing: whoever asks again is told that all is there. There is no file to seek back in: while the log is
//! away nothing is taken and nothing is held.

pub mod body;
pub(crate) mod offsets;
mod otlp;
pub mod protobuf;
mod publish;
mod seen;
mod stored;

use crate::backoff::Backoff;
use crate::collector::{Clock, Keys};
use crate::error::CollectorError;
use crate::event::EventWriter;
use crate::format::Format;
use crate::identity::PushKey;
use crate::indicators::Tripwires;
use crate::place::Place;
use crate::tenants::Tenants;
use body::{Delivery, Fault};
pub(crate) use publish::{Publisher, Pushed};
use seen::Seen;
use std::sync::Arc;
use weir_schemas::SourceKind;
use weir_schemas::wire::Wire;
use weir_topology::clock::{Clock as PaceClock, MachineClock};
use weir_topology::log::{Commit, Log, LogError, Writer};
use weir_topology::telemetry::Telemetry;

pub use publish::{ORIGIN_PREFIX, ORIGIN_TOPIC};

/// What an intake is told.
#[derive(Debug, Clone)]
pub struct PushConfig {
    /// Name of the source, by which what it took is known again.
    pub source: String,
    /// Name of this node, unique in the deployment.
    pub node: String,
    /// Of which tenants records may be.
    pub tenants: Tenants,
    /// What the records look like.
    pub format: Format,
    /// Whether prompts leave the node as text.
    pub keep_text: bool,
    /// Most bytes of a request's body, unpacked.
    pub body_bytes_max: usize,
}

impl PushConfig {
    /// Refuses what cannot work.
    pub fn check(&self) -> Result<(), CollectorError> {
        for (setting, name) in [("source", &self.source), ("node", &self.node)] {
            if name.is_empty() || name.starts_with('!') {
                let reason = "must not be empty, nor begin with `!`".into();
                return Err(CollectorError::Config { setting, reason });
            }
        }
        self.tenants.check()
    }

    pub(crate) fn source_key(&self) -> String {
        format!("{}/{}", self.node, self.source)
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is committed, now or since an earlier try.
    Taken(Taken),
    /// It cannot be read, now or ever; nothing of it was taken.
    Malformed(String),
    /// It is larger than the limits allow; nothing of it was taken.
    TooLarge(String),
    /// The log takes nothing for now; nothing of it was taken, and it may be sent again.
    Unavailable,
}

/// What was taken of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// Records that became events.
    pub events: u64,
    /// Records that are events since before. Of a request that came again as a whole they are not counted.
    pub known: u64,
    /// The request came before, as a whole, and was committed then.
    pub came_before: bool,
    /// Requests that are nobody's, because the key that was sent with them was refused.
    pub unowned: u64,
    /// Records that tell of no request to a model, such as spans of other calls.
    pub other: u64,
    /// Records that were refused: each has a dead letter.
    pub refused: u64,
    /// Why the first of them was refused.
    pub reason: Option<String>,
}

/// Commits what requests bring.
pub struct Intake<'l> {
    log: &'l dyn Log,
    config: PushConfig,
    wire: Arc<Wire>,
    telemetry: Arc<dyn Telemetry>,
    clock: Clock,
    pace: Arc<dyn PaceClock>,
    publisher: Publisher,
    place: Place,
    /// None when the last commit failed: what is committed is looked up before the next.
    open: Option<Open>,
    /// When the log is asked again.
    backoff: Backoff,
}

struct Open {
    writer: Box<dyn Writer>,
    seen: Seen,
}

impl<'l> Intake<'l> {
    /// Takes the source over from whoever had it under the same node and name.
    pub fn open(
        log: &'l dyn Log,
        config: PushConfig,
        keys: Keys,
        wire: Arc<Wire>,
        telemetry: Arc<dyn Telemetry>,
        clock: Clock,
    ) -> Result<Self, CollectorError> {
        config.check()?;
        let place = Place::of(log, stored::KIND, &config.source_key())?;
        let key = PushKey::new(&keys.pseudonymizer);
        let Keys { pseudonymizer, sealer } = keys;
        let events = EventWriter::of(
            SourceKind::Push,
            config.tenants.clone(),
            config.keep_text,
            pseudonymizer,
            sealer,
            wire.clone(),
        );
        let publisher = Publisher::new(&config, place.key().to_owned(), events, key, wire.clone())?;
        let mut intake = Self {
            log,
            config,
            wire,
            telemetry,
            clock,
            pace: Arc::new(MachineClock::default()),
            publisher,
            place,
            open: None,
            backoff: Backoff::default(),
        };
        intake.open = Some(intake.look_up()?);
        Ok(intake)
    }

    /// The same intake, comparing what comes with these indicators.
    pub fn watching(mut self, tripwires: Tripwires) -> Self {
        self.publisher.watch(tripwires);
        self
    }

    /// The same intake, pausing by another clock than the machine's.
    pub fn paced_by(mut self, pace: Arc<dyn PaceClock>) -> Self {
        self.pace = pace;
        self
    }

    /// Commits what these requests bring, each of them as a whole or not at all, and says what to answer to
    /// each, in their order. However many there are, and whatever they unpack to, one body is held unpacked
    /// at a time, and no more of what they come to than a commit takes.
    ///
    /// # Errors
    /// When the log cannot be used any more, or another process took the source over.
    pub fn take(&mut self, deliveries: &[Delivery]) -> Result<Vec<Answer>, CollectorError> {
        let mut answers = Vec::with_capacity(deliveries.len());
        while answers.len() < deliveries.len() {
            let commit = self.commit(&deliveries[answers.len()..])?;
            answers.extend(commit);
        }
        Ok(answers)
    }

    /// Commits the first of these requests, and those behind it that find room in the same commit.
    fn commit(&mut self, deliveries: &[Delivery]) -> Result<Vec<Answer>, CollectorError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None if self.is_pausing() => return Ok(vec![Answer::Unavailable; deliveries.len()]),
            None => match self.look_up() {
                Ok(open) => open,
                Err(CollectorError::Log(error)) => return self.away(error, deliveries.len()),
                Err(error) => return Err(error),
            },
        };
        let now_ms = (self.clock)();
        let mut pushed = Pushed::default();
        let limit = self.config.body_bytes_max;
        let mut answers = Vec::new();
        for delivery in deliveries {
            answers.push(match self.publisher.publish(delivery, limit, &open.seen, &mut pushed, now_ms) {
                Ok(taken) => Answer::Taken(taken),
                Err(Fault::Malformed(reason)) => Answer::Malformed(reason),
                Err(Fault::TooLarge(reason)) => Answer::TooLarge(reason),
            });
            if pushed.is_full() {
                break;
            }
        }
        if pushed.ids.list().is_empty() {
            // Nothing new: what came before is committed, and what cannot be read leaves nothing.
            self.open = Some(open);
            self.publisher.tell(&pushed, &*self.telemetry);
            return Ok(answers);
        }
        let mut outputs = self.publisher.take_outputs(&mut pushed);
        let changed = open.seen.add(pushed.ids.list());
        outputs.extend(stored::records(&self.wire, &self.place, &open.seen, changed, now_ms));
        match open.writer.commit(&Commit { outputs, positions: Vec::new() }) {
            Ok(()) => {
                self.backoff.end();
                self.open = Some(open);
                self.publisher.tell(&pushed, &*self.telemetry);
                Ok(answers)
            }
            // A log that is away for some of them is away for the rest.
            Err(error) => self.away(error, deliveries.len()),
        }
    }

    fn is_pausing(&self) -> bool {
        self.backoff.due().is_some_and(|due| due > self.pace.now())
    }

    /// Opens a writer, which ends whatever an earlier one had open, and reads what is committed.
    fn look_up(&self) -> Result<Open, CollectorError> {
        let writer = self.log.writer(&format!("push/{}", self.config.source_key()))?;
        Ok(Open { writer, seen: stored::seen(self.log, &self.place, &self.wire)? })
    }

    /// Lets go of everything that was not committed, or may not have been.
    fn away(&mut self, error: LogError, deliveries: usize) -> Result<Vec<Answer>, CollectorError> {
        self.open = None;
        self.publisher.begin_anew();
        self.backoff.pause(error, &*self.pace, &*self.telemetry)?;
        Ok(vec![Answer::Unavailable; deliveries])
    }
}
