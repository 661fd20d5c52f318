//! From the log to one destination: reads, hands over, and commits how far it came when the destination has
//! it.
//!
//! It holds one batch and reads no further while a part of that is left: a destination that is slow slows its
//! own exporter down, and nobody else. Two exporters of one name cannot be: the later fences the earlier.

use super::destination::{Destination, Failure, Fate, RetryCause};
use super::notice::{Kind, Notice, of_action, of_campaign, of_verdict};
use super::positions::{load, record, topic_of};
use crate::limits::{SIEM_BATCH_BYTES_MAX, SIEM_BATCH_RECORDS_MAX, SIEM_PAUSE};
use std::sync::Arc;
use std::time::Duration;
use weir_schemas::wire::Wire;
use weir_schemas::{Action, Campaign, Verdict};
use weir_topology::clock::Clock;
use weir_topology::log::{Commit, Log, LogError, Position, Reader, Writer};
use weir_topology::record::Records;
use weir_topology::task::SchemaSource;

/// Where a destination begins that was never told anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With everything that the log has.
    Beginning,
    /// With what comes from now on.
    Now,
}

/// What an exporter needs from outside.
#[derive(Clone)]
pub struct Outside {
    /// The log.
    pub log: Arc<dyn Log>,
    /// How its records are framed.
    pub wire: Arc<Wire>,
    /// Looks registry ids up that frames name and nobody has told of yet.
    pub schemas: Option<Arc<dyn SchemaSource>>,
    /// When a destination is tried again.
    pub clock: Arc<dyn Clock>,
    /// A share of a pause, 0 to 1, other at each call, so that exporters which failed together do not come
    /// again together.
    pub jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
}

/// Why something is never told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropCause {
    /// The destination will not take it.
    Refused,
    /// The record cannot be read.
    Unreadable,
    /// It had passed its retention before it was told. Offsets are counted, of which some may have held no
    /// record.
    Expired,
}

impl DropCause {
    /// Every cause.
    pub const ALL: [Self; 3] = [Self::Refused, Self::Unreadable, Self::Expired];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::Expired => "expired",
        }
    }
}

/// What a call of [`Exporter::run_once`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Notices that the destination took.
    pub delivered: u64,
    /// What will never be told, by its cause: how much, and of the last what a person should know.
    pub dropped: Vec<(DropCause, u64, String)>,
    /// Why a part is tried again; none where nothing failed.
    pub failure: Option<Failure>,
    /// Notices that were read and that the destination does not have yet.
    pub waiting: u64,
    /// Whether the destination has all that there is.
    pub caught_up: bool,
}

impl Progress {
    fn drop(&mut self, cause: DropCause, count: u64, why: impl Into<String>) {
        match self.dropped.iter_mut().find(|(known, ..)| *known == cause) {
            Some((_, so_far, told)) => (*so_far, *told) = (*so_far + count, why.into()),
            None => self.dropped.push((cause, count, why.into())),
        }
    }
}

/// Tells one destination.
pub struct Exporter {
    name: String,
    outside: Outside,
    destination: Box<dyn Destination>,
    inputs: Vec<(Kind, Position)>,
    reader: Box<dyn Reader>,
    writer: Box<dyn Writer>,
    /// What was read and is not taken yet.
    batch: Vec<Notice>,
    /// Whether what was read last is not committed yet.
    is_open: bool,
    tries: u32,
    again: Option<Duration>,
    /// What passed its retention before it could be read, and is not told yet.
    expired: u64,
}

/// Name under which a destination's positions are kept: of one destination in a deployment.
pub fn exporter_name(group: &str, destination: &dyn Destination) -> String {
    format!("export/{group}/{}", destination.kind().as_str())
}

impl Exporter {
    /// Goes on where `name` left off, and fences whoever had that name before.
    ///
    /// # Errors
    /// When the log cannot be used.
    pub fn open(
        name: &str,
        kinds: &[Kind],
        from: From,
        outside: Outside,
        destination: Box<dyn Destination>,
    ) -> Result<Self, LogError> {
        let log = &outside.log;
        // What an earlier one has under way is committed now, or never.
        let writer = log.writer(name)?;
        let stored = load(log.as_ref(), &outside.wire, name)?;
        // From now on means from this moment, also for whoever opens it after a crash: what it begins with is
        // committed first.
        let (mut inputs, mut expired, mut is_open) = (Vec::new(), 0, stored.is_none());
        for kind in kinds {
            let topic = topic_of(*kind);
            for partition in 0..log.partitions(topic)? {
                let (first, end) = log.bounds(topic, partition)?;
                let is_it = |position: &&Position| (position.topic, position.partition) == (topic, partition);
                let next = match stored.iter().flatten().find(is_it) {
                    Some(position) => {
                        expired += (first - position.next).max(0) as u64;
                        is_open |= position.next < first;
                        position.next.clamp(first, end.max(first))
                    }
                    // A topic that was chosen later begins where a new destination does.
                    None => {
                        is_open = true;
                        if from == From::Now { end } else { first }
                    }
                };
                inputs.push((*kind, Position { topic, partition, next }));
            }
        }
        let reader = log.reader(&inputs.iter().map(|(_, position)| *position).collect::<Vec<_>>())?;
        let (name, batch) = (name.to_owned(), Vec::new());
        Ok(Self {
            name,
            outside,
            destination,
            inputs,
            reader,
            writer,
            batch,
            is_open,
            tries: 0,
            again: None,
            expired,
        })
    }

    /// Tells what there is to be told, and waits for it at most `wait`.
    ///
    /// # Errors
    /// When the log fails: then it is of no more use, and another one is to be opened.
    pub fn run_once(&mut self, wait: Duration) -> Result<Progress, LogError> {
        let mut progress = Progress::default();
        if self.expired > 0 {
            let why = "offsets had passed their retention before they were told";
            progress.drop(DropCause::Expired, std::mem::take(&mut self.expired), why);
        }
        if self.again.is_some_and(|again| self.outside.clock.now() < again) {
            progress.waiting = self.batch.len() as u64;
            return Ok(progress);
        }
        if !self.is_open {
            self.reader.wait(wait)?;
            self.gather(&mut progress)?;
        }
        if self.is_open && self.hand_over(&mut progress) {
            self.commit(&mut progress)?;
        }
        progress.waiting = self.batch.len() as u64;
        progress.caught_up = !self.is_open && self.has_all()?;
        Ok(progress)
    }

    /// Reads the next batch.
    fn gather(&mut self, progress: &mut Progress) -> Result<(), LogError> {
        let mut bytes = 0;
        for index in 0..self.inputs.len() {
            let room = SIEM_BATCH_RECORDS_MAX.saturating_sub(self.batch.len());
            let left = SIEM_BATCH_BYTES_MAX.saturating_sub(bytes);
            if room == 0 || left == 0 {
                break;
            }
            let mut records = Records::default();
            self.reader.take(index, room, left, &mut records)?;
            bytes += records.bytes_len();
            for record in records.iter() {
                let payload = record.payload.unwrap_or_default();
                self.read(index, payload, (record.offset, record.timestamp_ms), progress)?;
            }
        }
        for (index, (_, position)) in self.inputs.iter_mut().enumerate() {
            let next = self.reader.next(index);
            // A gap without records is committed with the next records.
            self.is_open |= bytes > 0 && next != position.next;
            position.next = next;
        }
        Ok(())
    }

    fn read(
        &mut self,
        index: usize,
        payload: &[u8],
        (offset, logged_ms): (i64, i64),
        progress: &mut Progress,
    ) -> Result<(), LogError> {
        let (kind, position) = self.inputs[index];
        let wire = &self.outside.wire;
        if let (Some(schemas), Some(id)) = (&self.outside.schemas, wire.unknown_id(payload)) {
            schemas.learn(id, wire)?;
        }
        let read = match kind {
            Kind::Verdict => wire.read::<Verdict>(payload).map(|verdict| vec![of_verdict(&verdict)]),
            Kind::Campaign => wire.read::<Campaign>(payload).map(|campaign| of_campaign(&campaign)),
            Kind::Action => wire.read::<Action>(payload).map(|action| vec![of_action(&action)]),
        };
        match read {
            Ok(notices) => {
                let logged = |notice| Notice { logged_ms: Some(logged_ms), ..notice };
                self.batch.extend(notices.into_iter().map(logged));
            }
            Err(error) => {
                let why = format!("{}/{} offset {offset}: {error}", position.topic, position.partition);
                progress.drop(DropCause::Unreadable, 1, why);
            }
        }
        Ok(())
    }

    /// Whether the destination has all of the batch now, or never will.
    fn hand_over(&mut self, progress: &mut Progress) -> bool {
        if self.batch.is_empty() {
            return true;
        }
        let delivery = self.destination.deliver(&self.batch);
        let mut fates = delivery.fates.into_iter();
        self.batch.retain(|notice| match fates.next() {
            Some(Fate::Taken) => {
                progress.delivered += 1;
                false
            }
            Some(Fate::Refused(why)) => {
                progress.drop(DropCause::Refused, 1, format!("{}: {why}", notice.id));
                false
            }
            Some(Fate::Left) | None => true,
        });
        if progress.delivered > 0 {
            self.tries = 0;
        }
        if self.batch.is_empty() {
            self.again = None;
            return true;
        }
        let unsaid = || Failure::new(RetryCause::Failing, "the destination left some and does not say why");
        self.pause(delivery.failure.unwrap_or_else(unsaid), progress);
        false
    }

    fn commit(&mut self, progress: &mut Progress) -> Result<(), LogError> {
        let positions: Vec<Position> = self.inputs.iter().map(|(_, position)| *position).collect();
        let now_ms = self.outside.clock.unix_ms();
        let outputs = vec![record(&self.outside.wire, &self.name, &positions, now_ms)];
        match self.writer.commit(&Commit { outputs, positions }) {
            Ok(()) => {
                (self.is_open, self.tries) = (false, 0);
                Ok(())
            }
            // The same is committed again: the batch is empty now, so nothing is told twice for it.
            Err(LogError::Aborted { reason }) => {
                self.pause(Failure::new(RetryCause::Log, reason), progress);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Comes again later: each time twice as late, up to a bound, and a part of that by chance.
    fn pause(&mut self, failure: Failure, progress: &mut Progress) {
        let (shortest, longest) = SIEM_PAUSE;
        let pause = shortest.saturating_mul(1 << self.tries.min(16)).min(longest);
        let share = (self.outside.jitter)().clamp(0.0, 1.0);
        self.again = Some(self.outside.clock.now() + pause.mul_f64(0.5 + share / 2.0));
        self.tries = self.tries.saturating_add(1);
        progress.failure = Some(failure);
    }

    fn has_all(&self) -> Result<bool, LogError> {
        for (index, (_, position)) in self.inputs.iter().enumerate() {
            let (_, end) = self.outside.log.bounds(position.topic, position.partition)?;
            if self.reader.next(index) < end {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
