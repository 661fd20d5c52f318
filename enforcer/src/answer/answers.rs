//! Follows what the log says to holds: `weir.control` from its beginning, as enforcers fold it, and
//! `weir.actions` from where it ended when the server began, because nothing of before was held.

use super::holds::Holds;
use crate::limits::{FOLLOW_WAIT, ROUND_RECORDS_MAX, TAKE_BYTES_MAX};
use std::sync::Arc;
use weir_schemas::Action;
use weir_schemas::wire::Wire;
use weir_topology::log::{Log, LogError, Position, Reader};
use weir_topology::record::Records;
use weir_topology::stall::Stall;
use weir_topology::task::SchemaSource;
use weir_topology::topic::Topic;

/// Tells holds what the log says.
pub struct Answers {
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    schemas: Option<Arc<dyn SchemaSource>>,
    holds: Arc<Holds>,
    reader: Option<Box<dyn Reader>>,
    /// Where each partition is read next; empty before the first look.
    reached: Vec<Position>,
}

impl Answers {
    /// Follows `log`, and looks unknown registry ids up in `schemas`.
    pub fn new(
        log: Arc<dyn Log>,
        wire: Arc<Wire>,
        schemas: Option<Arc<dyn SchemaSource>>,
        holds: Arc<Holds>,
    ) -> Self {
        Self { log, wire, schemas, holds, reader: None, reached: Vec::new() }
    }

    /// Reads up to the end as of now.
    ///
    /// # Errors
    /// When the log does not answer. What was read stands, and the next look goes on from there.
    pub fn run_once(&mut self, now_ms: i64) -> Result<(), LogError> {
        let outcome = self.try_once(now_ms);
        if outcome.is_err() {
            self.reader = None;
        }
        outcome
    }

    fn try_once(&mut self, now_ms: i64) -> Result<(), LogError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.open()?,
        };
        let end = |position: &Position| Ok(self.log.bounds(position.topic, position.partition)?.1);
        let ends = self.reached.iter().map(end).collect::<Result<Vec<i64>, LogError>>()?;
        let mut stall = Stall::default();
        while let Some(behind) = ends.iter().enumerate().position(|(input, end)| reader.next(input) < *end) {
            let at = self.reached[behind];
            stall.check(self.reached.iter().map(|position| position.next).sum(), at.topic, at.partition)?;
            reader.wait(FOLLOW_WAIT)?;
            for input in 0..ends.len() {
                let mut records = Records::default();
                reader.take(input, ROUND_RECORDS_MAX, TAKE_BYTES_MAX, &mut records)?;
                self.take(self.reached[input].topic, &records, now_ms)?;
                self.reached[input].next = reader.next(input);
            }
        }
        self.reader = Some(reader);
        self.holds.learn(|_| {}, Some(now_ms));
        Ok(())
    }

    /// A reader from where this has come. Actions that had passed their retention meanwhile are passed over:
    /// whoever was held then is let go by time.
    fn open(&mut self) -> Result<Box<dyn Reader>, LogError> {
        if self.reached.is_empty() {
            let (first, _) = self.log.bounds(Topic::Control, 0)?;
            let mut reached = vec![Position { topic: Topic::Control, partition: 0, next: first }];
            for partition in 0..self.log.partitions(Topic::Actions)? {
                let (_, end) = self.log.bounds(Topic::Actions, partition)?;
                reached.push(Position { topic: Topic::Actions, partition, next: end });
            }
            self.reached = reached;
        }
        for position in &mut self.reached {
            let (first, end) = self.log.bounds(position.topic, position.partition)?;
            position.next = position.next.clamp(first, end.max(first));
        }
        self.log.reader(&self.reached)
    }

    fn take(&self, topic: Topic, records: &Records, now_ms: i64) -> Result<(), LogError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut actions = Vec::new();
        for record in records.iter() {
            let Some(payload) = record.payload else { continue };
            if let (Some(schemas), Some(id)) = (&self.schemas, self.wire.unknown_id(payload)) {
                schemas.learn(id, &self.wire)?;
            }
            if topic == Topic::Actions {
                actions.extend(self.wire.read::<Action>(payload));
            }
        }
        self.holds.learn(
            |learner| {
                match topic {
                    Topic::Control => records.iter().for_each(|record| learner.control(record, now_ms)),
                    _ => actions.iter().for_each(|action| learner.action(action)),
                };
            },
            None,
        );
        Ok(())
    }
}
