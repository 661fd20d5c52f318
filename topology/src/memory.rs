//! A log in memory: for tests and for the lockstep fold. It keeps every promise of [`crate::log`] except that
//! nothing outlives the process. A compacted topic is compacted at every commit, as eagerly as any broker
//! may: what must not be compacted is missed at once.

use crate::log::{Commit, Log, LogError, Position, Reader, Writer, place};
use crate::record::{Output, Records};
use crate::topic::Topic;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A log in memory.
#[derive(Debug)]
pub struct MemoryLog {
    partitions: u32,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    content: Mutex<Content>,
    appended: Condvar,
}

#[derive(Debug, Default)]
struct Content {
    partitions: BTreeMap<(Topic, u32), Partition>,
    /// How often each writer's name was opened: only the latest may commit.
    generations: BTreeMap<String, u64>,
    positions: BTreeMap<(String, Topic, u32), i64>,
}

/// One partition's records by offset.
#[derive(Debug, Default)]
struct Partition {
    /// None where a record was compacted away.
    slots: Vec<Option<Output>>,
    /// In a compacted topic the offset of each key's latest record.
    latest: BTreeMap<Vec<u8>, usize>,
}

impl Partition {
    fn append(&mut self, output: &Output) {
        if output.topic.is_compacted() {
            let offset = self.slots.len();
            if let Some(earlier) = self.latest.insert(output.key.clone(), offset) {
                self.slots[earlier] = None;
            }
        }
        self.slots.push(Some(output.clone()));
    }

    /// The first record at or after `offset`, with its own offset.
    fn from(&self, offset: i64) -> Option<(i64, &Output)> {
        let slots = self.slots.iter().enumerate().skip(offset as usize);
        slots.flat_map(|(offset, slot)| slot.as_ref().map(|output| (offset as i64, output))).next()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Content> {
        // A panicking test thread leaves consistent content behind: commits are applied in one go.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryLog {
    /// An empty log whose shared topics have this many partitions.
    pub fn new(partitions: u32) -> Arc<Self> {
        Arc::new(Self { partitions: partitions.max(1), shared: Arc::default() })
    }

    /// Every record of a topic that was not compacted away, partition by partition, for assertions.
    pub fn all(&self, topic: Topic) -> Vec<Output> {
        let content = self.shared.lock();
        (0..topic.partitions(self.partitions))
            .filter_map(|partition| content.partitions.get(&(topic, partition)))
            .flat_map(|partition| partition.slots.iter().flatten().cloned())
            .collect()
    }

    /// The positions that a writer committed.
    pub fn positions(&self, writer: &str) -> Vec<Position> {
        let content = self.shared.lock();
        let mine = content.positions.iter().filter(|((name, ..), _)| name == writer);
        mine.map(|((_, topic, partition), next)| Position {
            topic: *topic,
            partition: *partition,
            next: *next,
        })
        .collect()
    }

    fn check(&self, topic: Topic, partition: u32) -> Result<(), LogError> {
        if partition < topic.partitions(self.partitions) {
            return Ok(());
        }
        Err(LogError::Missing { topic: topic.name(), partition })
    }
}

impl Log for MemoryLog {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        Ok(topic.partitions(self.partitions))
    }

    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        self.check(topic, partition)?;
        let content = self.shared.lock();
        Ok((0, content.partitions.get(&(topic, partition)).map_or(0, |of| of.slots.len() as i64)))
    }

    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        from.iter().try_for_each(|position| self.check(position.topic, position.partition))?;
        Ok(Box::new(MemoryReader { shared: self.shared.clone(), positions: from.to_vec() }))
    }

    fn writer(&self, name: &str) -> Result<Box<dyn Writer>, LogError> {
        let mut content = self.shared.lock();
        let generation = content.generations.entry(name.to_owned()).or_default();
        *generation += 1;
        Ok(Box::new(MemoryWriter {
            name: name.to_owned(),
            generation: *generation,
            partitions: self.partitions,
            shared: self.shared.clone(),
        }))
    }
}

struct MemoryReader {
    shared: Arc<Shared>,
    positions: Vec<Position>,
}

impl MemoryReader {
    /// Whether an input has a record. A compacted topic may begin in a gap, which is passed over here.
    fn is_ready(&mut self, content: &Content) -> bool {
        let mut is_ready = false;
        for position in &mut self.positions {
            let Some(partition) = content.partitions.get(&(position.topic, position.partition)) else {
                continue;
            };
            match partition.from(position.next) {
                Some((offset, _)) => {
                    position.next = offset;
                    is_ready = true;
                }
                None => position.next = position.next.max(partition.slots.len() as i64),
            }
        }
        is_ready
    }
}

impl Reader for MemoryReader {
    fn wait(&mut self, wait: Duration) -> Result<bool, LogError> {
        let deadline = Instant::now() + wait;
        let shared = self.shared.clone();
        let mut content = shared.lock();
        loop {
            if self.is_ready(&content) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            content = shared.appended.wait_timeout(content, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn take(
        &mut self,
        input: usize,
        records_max: usize,
        bytes_max: usize,
        into: &mut Records,
    ) -> Result<(), LogError> {
        let position = &mut self.positions[input];
        let content = self.shared.lock();
        let Some(partition) = content.partitions.get(&(position.topic, position.partition)) else {
            return Ok(());
        };
        let mut bytes = 0;
        for _ in 0..records_max {
            let Some((offset, record)) = partition.from(position.next) else { break };
            if bytes > 0 && bytes + record.bytes_len() > bytes_max {
                break;
            }
            bytes += record.bytes_len();
            let headers = record.headers.iter().map(|(name, value)| (*name, value.as_slice()));
            into.push(offset, record.timestamp_ms, &record.key, record.payload.as_deref(), headers);
            position.next = offset + 1;
        }
        Ok(())
    }

    fn next(&self, input: usize) -> i64 {
        self.positions[input].next
    }
}

struct MemoryWriter {
    name: String,
    generation: u64,
    partitions: u32,
    shared: Arc<Shared>,
}

impl Writer for MemoryWriter {
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        let mut content = self.shared.lock();
        if content.generations.get(&self.name) != Some(&self.generation) {
            return Err(LogError::Fenced { writer: self.name.clone() });
        }
        let placed: Vec<_> = commit
            .outputs
            .iter()
            .map(|output| place(output, output.topic.partitions(self.partitions)))
            .collect::<Result<_, _>>()?;
        for (output, partition) in commit.outputs.iter().zip(placed) {
            content.partitions.entry((output.topic, partition)).or_default().append(output);
        }
        for position in &commit.positions {
            let key = (self.name.clone(), position.topic, position.partition);
            content.positions.insert(key, position.next);
        }
        self.shared.appended.notify_all();
        Ok(())
    }
}
