//! Records that lie in the log already, read forward to an end that is known.

use crate::limits::{READ_BYTES_MAX, READ_RECORDS_MAX};
use crate::log::{Log, LogError, Position, Reader};
use crate::record::Records;
use crate::stage::{Batch, InputBatch};
use crate::stall::Stall;
use crate::topic::{TaskId, Topic};
use std::time::Duration;
use weir_schemas::Epoch;

/// A range of one partition, read forward batch by batch.
pub struct History {
    reader: Option<Box<dyn Reader>>,
    end: i64,
    records: Records,
    of: (Topic, u32),
    stalled: Stall,
}

impl History {
    /// The records of `topic`/`partition` from `from` up to `end`.
    pub fn new(log: &dyn Log, topic: Topic, partition: u32, from: i64, end: i64) -> Result<Self, LogError> {
        let reader = match from < end {
            true => Some(log.reader(&[Position { topic, partition, next: from }])?),
            false => None,
        };
        Ok(Self {
            reader,
            end,
            records: Records::default(),
            of: (topic, partition),
            stalled: Stall::default(),
        })
    }

    /// The next batch; none after the end.
    #[allow(clippy::should_implement_trait)] // Lends the batch, which an iterator cannot.
    pub fn next(&mut self) -> Result<Option<&Records>, LogError> {
        let Some(reader) = self.reader.as_mut() else { return Ok(None) };
        loop {
            if reader.next(0) >= self.end {
                return Ok(None);
            }
            self.stalled.check(reader.next(0), self.of.0, self.of.1)?;
            self.records.clear();
            reader.wait(Duration::from_millis(50))?;
            reader.take(0, READ_RECORDS_MAX, READ_BYTES_MAX, &mut self.records)?;
            if self.records.is_empty() {
                continue;
            }
            let end = self.end;
            if self.records.iter().next_back().is_some_and(|last| last.offset >= end) {
                let mut kept = Records::default();
                self.records
                    .iter()
                    .filter(|record| record.offset < end)
                    .for_each(|record| kept.push_ref(record));
                self.records = kept;
                self.reader = None;
            }
            return Ok((!self.records.is_empty()).then_some(&self.records));
        }
    }
}

/// Reads `topic`/`partition` from `from` up to `to` and hands every batch to `each`.
pub fn read_range(
    log: &dyn Log,
    topic: Topic,
    partition: u32,
    from: i64,
    to: i64,
    mut each: impl FnMut(&Records) -> Result<(), LogError>,
) -> Result<(), LogError> {
    let mut history = History::new(log, topic, partition, from, to)?;
    while let Some(records) = history.next()? {
        each(records)?;
    }
    Ok(())
}

/// A task's inputs, read up to offsets that epoch records give.
pub(crate) struct Inputs {
    reader: Box<dyn Reader>,
    /// What was read past the last epoch's end, input by input, with how much of it is used up.
    ahead: Vec<(Records, usize)>,
    positions: Vec<Position>,
}

impl Inputs {
    pub(crate) fn new(log: &dyn Log, from: &[Position]) -> Result<Self, LogError> {
        let ahead = from.iter().map(|_| (Records::default(), 0)).collect();
        Ok(Self { reader: log.reader(from)?, ahead, positions: from.to_vec() })
    }

    pub(crate) fn positions(&self) -> Vec<Position> {
        self.positions.clone()
    }

    /// The records that `epoch` folded.
    pub(crate) fn batch(&mut self, task: TaskId, epoch: &Epoch, clock_ms: i64) -> Result<Batch, LogError> {
        let mut inputs = Vec::with_capacity(self.positions.len());
        for index in 0..self.positions.len() {
            let Position { topic, partition, .. } = self.positions[index];
            let range = epoch
                .inputs
                .iter()
                .find(|range| range.topic == topic.name() && range.partition == partition as i32);
            let mut records = Records::default();
            if let Some(range) = range {
                self.read_to(index, range.from, range.to, &mut records)?;
                self.positions[index].next = range.to;
            }
            inputs.push(InputBatch { topic, partition, records });
        }
        let taken_ms = epoch.taken_ms;
        Ok(Batch { epoch: epoch.epoch, partition: task.partition, clock_ms, taken_ms, inputs })
    }

    fn read_to(&mut self, index: usize, from: i64, to: i64, into: &mut Records) -> Result<(), LogError> {
        let Position { topic, partition, .. } = self.positions[index];
        let mut stall = Stall::default();
        loop {
            let (ahead, used) = &mut self.ahead[index];
            while let Some(record) = ahead.get(*used) {
                if record.offset >= to {
                    return Ok(());
                }
                *used += 1;
                if record.offset >= from {
                    into.push_ref(record);
                }
            }
            if self.reader.next(index) >= to {
                return Ok(());
            }
            stall.check(self.reader.next(index), topic, partition)?;
            ahead.clear();
            *used = 0;
            self.reader.wait(Duration::from_millis(50))?;
            self.reader.take(index, READ_RECORDS_MAX, READ_BYTES_MAX, ahead)?;
        }
    }
}
