//! Labelled events on their way to be judged: key and payload for the stages, and the truth apart from them.

use super::truth::Truth;
use crate::lockstep::Epochs;
use crate::report::ReplayError;
use crate::sorter::{Item, Sorted, Sorter};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek as _, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weir_schemas::wire::Wire;
use weir_schemas::{Body, Event, Record as _};
use weir_topology::history::History;
use weir_topology::log::{Commit, Log, LogError, Position, Reader, Writer};
use weir_topology::memory::MemoryLog;
use weir_topology::record::{LABEL_HEADER, POPULATION_HEADER};
use weir_topology::topic::Topic;

/// Events that were taken in, and what is true of their accounts.
#[derive(Debug)]
pub struct Labelled {
    events_file: File,
    /// What is true.
    pub truth: Truth,
    /// Events.
    pub events: u64,
    /// Lines that the collector refused.
    pub refused: u64,
}

impl Labelled {
    /// The events, sorted by epoch; as often as is asked.
    pub(crate) fn sorted(&self) -> io::Result<Sorted> {
        let mut file = self.events_file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        let mut input = BufReader::with_capacity(1 << 20, file);
        let mut sorter = Sorter::default();
        while let Some(item) = Item::read(&mut input)? {
            sorter.push(item)?;
        }
        sorter.finish()
    }
}

/// A log that takes events in and holds nothing else but the positions of those who write them.
pub struct Intake {
    positions: Arc<MemoryLog>,
    held: Arc<Mutex<Held>>,
}

struct Held {
    wire: Arc<Wire>,
    epochs: Epochs,
    events_file: BufWriter<File>,
    truth: Truth,
    events: u64,
    refused: u64,
}

impl Intake {
    /// An empty one.
    pub fn new(wire: Arc<Wire>) -> io::Result<Self> {
        let held = Held {
            wire,
            epochs: Epochs::default(),
            events_file: BufWriter::with_capacity(1 << 20, tempfile::tempfile()?),
            truth: Truth::default(),
            events: 0,
            refused: 0,
        };
        Ok(Self { positions: MemoryLog::new(1), held: Arc::new(Mutex::new(held)) })
    }

    /// Takes in every event of a log, with the labels that stand in the records' headers.
    pub fn copy(&self, log: &dyn Log) -> Result<(), ReplayError> {
        for partition in 0..log.partitions(Topic::Events)? {
            let (first, end) = log.bounds(Topic::Events, partition)?;
            let mut history = History::new(log, Topic::Events, partition, first, end)?;
            while let Some(records) = history.next()? {
                for record in records.iter() {
                    let header = |name| record.header(name).and_then(|value| std::str::from_utf8(value).ok());
                    let truth = (header(LABEL_HEADER), header(POPULATION_HEADER));
                    let payload = record.payload.unwrap_or_default();
                    self.held().take(record.key, payload, record.timestamp_ms, truth)?;
                }
            }
        }
        Ok(())
    }

    /// What was taken in.
    pub fn finish(self) -> io::Result<Labelled> {
        let held = Arc::into_inner(self.held)
            .ok_or_else(|| io::Error::other("somebody still writes events"))?
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(Labelled {
            events_file: held.events_file.into_inner().map_err(io::IntoInnerError::into_error)?,
            truth: held.truth,
            events: held.events,
            refused: held.refused,
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// The truth goes one way, the event the other.
    fn take(
        &mut self,
        key: &[u8],
        payload: &[u8],
        timestamp_ms: i64,
        (label, population): (Option<&str>, Option<&str>),
    ) -> io::Result<()> {
        if let Ok(datum) = self.wire.datum::<Event<'_>>(payload)
            && let Ok(event) = Event::decode(&datum)
        {
            let country = match &event.body {
                Body::Request(request) => request.country,
                Body::Response(_) => None,
            };
            self.truth.add(event.account, event.time_ms, label, population, country);
        }
        let epoch = self.epochs.of(&self.wire, payload);
        let item =
            Item { epoch, ordinal: self.events, timestamp_ms, key: key.to_vec(), payload: payload.to_vec() };
        item.write(&mut self.events_file)?;
        self.events += 1;
        Ok(())
    }
}

impl Log for Intake {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.positions.partitions(topic)
    }

    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        self.positions.bounds(topic, partition)
    }

    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        self.positions.reader(from)
    }

    fn writer(&self, name: &str) -> Result<Box<dyn Writer>, LogError> {
        Ok(Box::new(IntakeWriter { positions: self.positions.writer(name)?, held: self.held.clone() }))
    }
}

struct IntakeWriter {
    positions: Box<dyn Writer>,
    held: Arc<Mutex<Held>>,
}

impl Writer for IntakeWriter {
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        let kept = commit.outputs.iter().filter(|output| output.topic == Topic::StateCollector).cloned();
        self.positions.commit(&Commit { outputs: kept.collect(), positions: commit.positions.clone() })?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for output in &commit.outputs {
            match output.topic {
                Topic::Events => {
                    let header = |name| {
                        let value = output.headers.iter().find(|(known, _)| *known == name);
                        value.and_then(|(_, value)| std::str::from_utf8(value).ok())
                    };
                    let truth = (header(LABEL_HEADER), header(POPULATION_HEADER));
                    let payload = output.payload.as_deref().unwrap_or_default();
                    held.take(&output.key, payload, output.timestamp_ms, truth)
                        .map_err(|error| LogError::Storage { reason: error.to_string() })?;
                }
                Topic::Dlq => held.refused += 1,
                _ => {}
            }
        }
        Ok(())
    }
}
