//! The dead letters: found, shown, and sent back where they came from.
//!
//! A letter is sent back once. Its record and a mark beside the letter (a record without payload in
//! the same partition of `weir.dlq`, which names the letter in its header) become visible in one
//! commit of one writer, and a new writer of that name first fences the one before and then looks for
//! marks. A mark is younger than its letter, so it is kept for longer.

use crate::limits::{REQUEUE_BYTES_MAX, REQUEUE_RECORDS_MAX};
use crate::report::ReplayError;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;
use weir_schemas::wire::{Wire, WireError};
use weir_schemas::{DeadLetter, DlqKind};
use weir_topology::history::History;
use weir_topology::key::partition_of;
use weir_topology::letter::REQUEUED_HEADER;
use weir_topology::log::{Commit, Log, LogError, Writer};
use weir_topology::record::{LABEL_HEADER, Output, RecordRef};
use weir_topology::topic::{StageName, Topic};

/// The writer that sends letters back: one at a time in a deployment.
const WRITER: &str = "operator/requeue";

/// The topics that a record can be sent back to: what stages read, but for `weir.control`, where an
/// operator's old word would take the place of the one in force.
const TARGETS: [Topic; 5] = [Topic::Events, Topic::Links, Topic::Clusters, Topic::Members, Topic::Verdicts];

/// Where a letter stands in `weir.dlq`: its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    /// Partition.
    pub partition: u32,
    /// Offset.
    pub offset: i64,
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.offset)
    }
}

impl FromStr for LetterId {
    type Err = LetterError;

    fn from_str(text: &str) -> Result<Self, LetterError> {
        let refused = || LetterError::Id(text.to_owned());
        let (partition, offset) = text.split_once('/').ok_or_else(refused)?;
        let partition = partition.parse().map_err(|_| refused())?;
        match offset.parse() {
            Ok(offset) if offset >= 0 => Ok(Self { partition, offset }),
            _ => Err(refused()),
        }
    }
}

/// Why letters cannot be found or sent back.
#[derive(Debug, Error)]
pub enum LetterError {
    /// That is no id.
    #[error("{0:?} names no dead letter: give PARTITION/OFFSET as `weir dlq list` shows it")]
    Id(String),
    /// There is none at that place.
    #[error("there is no dead letter {0}: it was never there, or its retention (14 d) has passed")]
    NotFound(LetterId),
    /// The letter is of a line of a file: it carries no bytes.
    #[error(
        "letter {id} is of a line, whose text never left its node: it stands in {origin} at byte {offset}, \
         {length} bytes long. Mend what writes the file, or the line and import it again"
    )]
    IsLine {
        /// The letter.
        id: LetterId,
        /// The file.
        origin: String,
        /// Offset of the line's first byte.
        offset: i64,
        /// Length of the line in bytes.
        length: i64,
    },
    /// It was sent back already.
    #[error("letter {0} was sent back already; --again sends it once more")]
    Again(LetterId),
    /// It carries only a part of its record, or none, and the record is no longer kept.
    #[error(
        "letter {id} carries {carried} of the {length} bytes of its record, and {origin}/{partition} no longer \
         keeps the record at offset {offset}"
    )]
    Cut {
        /// The letter.
        id: LetterId,
        /// Bytes that it carries.
        carried: usize,
        /// Bytes that the record had.
        length: i64,
        /// Topic of the record.
        origin: String,
        /// Partition of it.
        partition: i32,
        /// Offset of it.
        offset: i64,
    },
    /// Records are not sent back to that topic.
    #[error(
        "nothing is sent to {0}: only to weir.events, weir.links, weir.clusters, weir.members and weir.verdicts. A policy or \
         posture that was refused is published again"
    )]
    Target(String),
    /// The log failed, or a letter cannot be read.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

impl From<LogError> for LetterError {
    fn from(error: LogError) -> Self {
        Self::Replay(error.into())
    }
}

/// A letter with what stands around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// Where it stands.
    pub id: LetterId,
    /// Timestamp of its record: the refused record's, or when the line was read.
    pub timestamp_ms: i64,
    /// Key of the refused record, or the source of the line.
    pub key: Vec<u8>,
    /// Headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The letter itself.
    pub content: DeadLetter,
    /// Whether it was sent back.
    pub requeued: bool,
}

impl Letter {
    /// Whether it is of a line of a file, which has no bytes to send back.
    pub fn is_line(&self) -> bool {
        self.content.partition < 0
    }
}

/// Which letters are meant.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this kind.
    pub kind: Option<DlqKind>,
    /// Refused by this stage.
    pub stage: Option<StageName>,
}

impl Filter {
    fn takes(&self, letter: &DeadLetter) -> bool {
        self.kind.is_none_or(|kind| kind == letter.kind)
            && self.stage.is_none_or(|stage| stage.as_str() == letter.stage)
    }
}

/// Letters that a filter takes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Listing {
    /// The newest, oldest first.
    pub letters: Vec<Letter>,
    /// How many there are in all.
    pub count: u64,
    /// Records of the topic that are no letters and cannot be read.
    pub unreadable: u64,
}

/// The newest letters that `filter` takes, at most `letters_max`.
pub fn list(log: &dyn Log, wire: &Wire, filter: &Filter, letters_max: usize) -> Result<Listing, LetterError> {
    let mut newest = BTreeMap::new();
    let (mut count, mut unreadable) = (0, 0);
    for partition in 0..log.partitions(Topic::Dlq)? {
        let marks = marks(log, partition)?;
        unreadable += scan(log, wire, partition, |mut letter| {
            if filter.takes(&letter.content) {
                count += 1;
                letter.requeued = marks.contains(&letter.id.offset);
                newest.insert((letter.timestamp_ms, letter.id), letter);
                if newest.len() > letters_max {
                    newest.pop_first();
                }
            }
            Ok(())
        })?;
    }
    Ok(Listing { letters: newest.into_values().collect(), count, unreadable })
}

/// The letter with this id.
pub fn find(log: &dyn Log, wire: &Wire, id: LetterId) -> Result<Letter, LetterError> {
    if id.partition >= log.partitions(Topic::Dlq)? {
        return Err(LetterError::NotFound(id));
    }
    let found = record_at(log, Topic::Dlq, id.partition, id.offset, |record| {
        let letter = record.payload.map(|payload| letter_of(wire, id.partition, record, payload));
        Ok(letter.transpose().map_err(ReplayError::from)?)
    })?;
    let mut letter = found.flatten().ok_or(LetterError::NotFound(id))?;
    letter.requeued = marks(log, id.partition)?.contains(&id.offset);
    Ok(letter)
}

/// What a requeue did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Requeued {
    /// Letters whose records were sent back.
    pub sent: u64,
    /// Letters that had been sent back before, and were left.
    pub before: u64,
    /// Letters of lines, which carry no bytes.
    pub lines: u64,
    /// Letters that carry a part of a record that is no longer kept.
    pub cut: u64,
    /// Letters of what is not sent back: an operator's word on `weir.control`.
    pub refused: u64,
}

/// How letters are sent back.
#[derive(Debug, Clone, Copy, Default)]
pub struct Requeue {
    /// To this topic instead of the one that they came from.
    pub to: Option<Topic>,
    /// Also those that were sent back already.
    pub again: bool,
}

impl Requeue {
    /// To the topic with this name instead of where a letter came from.
    pub fn to_topic(mut self, name: &str) -> Result<Self, LetterError> {
        self.to = Some(target(name)?);
        Ok(self)
    }
}

/// Sends the record of one letter back, untouched, under its key and in its partition.
pub fn requeue_one(log: &dyn Log, wire: &Wire, id: LetterId, how: Requeue) -> Result<(), LetterError> {
    let mut writer = log.writer(WRITER)?;
    let letter = find(log, wire, id)?;
    if letter.requeued && !how.again {
        return Err(LetterError::Again(id));
    }
    let outputs = outputs_of(log, &letter, how)?.to_vec();
    Ok(writer.commit(&Commit { outputs, positions: Vec::new() })?)
}

/// Sends the records of all letters that `filter` takes back. What was sent stays sent when a later
/// commit fails: run it again, and it goes on where it ended.
pub fn requeue_all(
    log: &dyn Log,
    wire: &Wire,
    filter: &Filter,
    how: Requeue,
) -> Result<Requeued, LetterError> {
    let mut writer = log.writer(WRITER)?;
    let mut done = Requeued::default();
    for partition in 0..log.partitions(Topic::Dlq)? {
        let marks = marks(log, partition)?;
        let mut pending = Pending::default();
        scan(log, wire, partition, |letter| {
            if !filter.takes(&letter.content) {
                return Ok(());
            }
            if marks.contains(&letter.id.offset) && !how.again {
                done.before += 1;
                return Ok(());
            }
            match outputs_of(log, &letter, how) {
                Ok(outputs) => pending.push(outputs, writer.as_mut())?,
                Err(LetterError::IsLine { .. }) => done.lines += 1,
                Err(LetterError::Cut { .. }) => done.cut += 1,
                Err(LetterError::Target(_)) => done.refused += 1,
                Err(error) => return Err(error),
            }
            Ok(())
        })?;
        pending.flush(writer.as_mut())?;
        done.sent += pending.sent;
    }
    Ok(done)
}

/// Records that wait for a commit.
#[derive(Default)]
struct Pending {
    outputs: Vec<Output>,
    bytes: usize,
    sent: u64,
}

impl Pending {
    fn push(&mut self, outputs: [Output; 2], writer: &mut dyn Writer) -> Result<(), LogError> {
        self.bytes += outputs.iter().map(Output::bytes_len).sum::<usize>();
        self.outputs.extend(outputs);
        match self.outputs.len() >= 2 * REQUEUE_RECORDS_MAX || self.bytes >= REQUEUE_BYTES_MAX {
            true => self.flush(writer),
            false => Ok(()),
        }
    }

    fn flush(&mut self, writer: &mut dyn Writer) -> Result<(), LogError> {
        let outputs = std::mem::take(&mut self.outputs);
        self.bytes = 0;
        if outputs.is_empty() {
            return Ok(());
        }
        let sent = outputs.len() as u64 / 2;
        writer.commit(&Commit { outputs, positions: Vec::new() })?;
        self.sent += sent;
        Ok(())
    }
}

/// The record that goes back, and the mark that it did.
fn outputs_of(log: &dyn Log, letter: &Letter, how: Requeue) -> Result<[Output; 2], LetterError> {
    let DeadLetter { origin, partition, offset, length, payload, time_ms, .. } = &letter.content;
    if letter.is_line() {
        let (id, origin) = (letter.id, origin.clone());
        return Err(LetterError::IsLine { id, origin, offset: *offset, length: *length });
    }
    let from = target(origin)?;
    let payload = match payload.len() as i64 == *length {
        true => payload.clone(),
        false => whole(log, letter, from)?,
    };
    let topic = how.to.unwrap_or(from);
    let place = match topic == from {
        true => u32::try_from(*partition).unwrap_or_default(),
        false => partition_of(&letter.key, log.partitions(topic)?),
    };
    let id = letter.id.to_string();
    let mut record = Output::keyed(topic, letter.key.clone(), payload, *time_ms)
        .in_partition(place)
        .with_header(REQUEUED_HEADER, id.clone());
    if let Some((_, label)) = letter.headers.iter().find(|(name, _)| name == LABEL_HEADER) {
        record = record.with_header(LABEL_HEADER, label.clone());
    }
    let mark = Output {
        topic: Topic::Dlq,
        partition: Some(letter.id.partition),
        key: letter.key.clone(),
        payload: None,
        headers: Vec::new(),
        timestamp_ms: letter.timestamp_ms,
    };
    Ok([record, mark.with_header(REQUEUED_HEADER, id)])
}

/// The bytes of a record that was too large for its letter, from where it stands.
fn whole(log: &dyn Log, letter: &Letter, topic: Topic) -> Result<Vec<u8>, LetterError> {
    let DeadLetter { origin, partition, offset, length, payload, .. } = &letter.content;
    let place = u32::try_from(*partition).unwrap_or_default();
    let found = record_at(log, topic, place, *offset, |record| Ok(record.payload.map(<[u8]>::to_vec)))?;
    match found.flatten() {
        Some(found) if found.len() as i64 == *length => Ok(found),
        _ => Err(LetterError::Cut {
            id: letter.id,
            carried: payload.len(),
            length: *length,
            origin: origin.clone(),
            partition: *partition,
            offset: *offset,
        }),
    }
}

fn target(name: &str) -> Result<Topic, LetterError> {
    let topic = Topic::named(name).filter(|topic| TARGETS.contains(topic));
    topic.ok_or_else(|| LetterError::Target(name.to_owned()))
}

/// Offsets of the letters of a partition that were sent back.
fn marks(log: &dyn Log, partition: u32) -> Result<HashSet<i64>, LetterError> {
    let mut marks = HashSet::new();
    each_record(log, partition, |record| {
        if record.payload.is_none() {
            let name = record.header(REQUEUED_HEADER).and_then(|name| std::str::from_utf8(name).ok());
            marks.extend(name.and_then(|name| name.parse::<LetterId>().ok()).map(|id| id.offset));
        }
        Ok(())
    })?;
    Ok(marks)
}

/// Hands over every letter of a partition; gives the number of records that cannot be read.
fn scan(
    log: &dyn Log,
    wire: &Wire,
    partition: u32,
    mut each: impl FnMut(Letter) -> Result<(), LetterError>,
) -> Result<u64, LetterError> {
    let mut unreadable = 0;
    each_record(log, partition, |record| {
        let Some(payload) = record.payload else { return Ok(()) };
        match letter_of(wire, partition, record, payload) {
            Ok(letter) => each(letter),
            Err(_) => {
                unreadable += 1;
                Ok(())
            }
        }
    })?;
    Ok(unreadable)
}

fn each_record(
    log: &dyn Log,
    partition: u32,
    mut each: impl FnMut(RecordRef<'_>) -> Result<(), LetterError>,
) -> Result<(), LetterError> {
    let (first, end) = log.bounds(Topic::Dlq, partition)?;
    let mut history = History::new(log, Topic::Dlq, partition, first, end)?;
    while let Some(records) = history.next()? {
        records.iter().try_for_each(&mut each)?;
    }
    Ok(())
}

/// Hands the record at an offset to `look`; none when there is no record.
fn record_at<T>(
    log: &dyn Log,
    topic: Topic,
    partition: u32,
    offset: i64,
    look: impl FnOnce(RecordRef<'_>) -> Result<T, LetterError>,
) -> Result<Option<T>, LetterError> {
    let (first, end) = log.bounds(topic, partition)?;
    if !(first..end).contains(&offset) {
        return Ok(None);
    }
    let mut history = History::new(log, topic, partition, offset, offset + 1)?;
    match history.next()?.and_then(|records| records.get(0)) {
        Some(record) if record.offset == offset => look(record).map(Some),
        _ => Ok(None),
    }
}

fn letter_of(
    wire: &Wire,
    partition: u32,
    record: RecordRef<'_>,
    payload: &[u8],
) -> Result<Letter, WireError> {
    Ok(Letter {
        id: LetterId { partition, offset: record.offset },
        timestamp_ms: record.timestamp_ms,
        key: record.key.to_vec(),
        headers: record.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
        content: wire.read(payload)?,
        requeued: false,
    })
}
