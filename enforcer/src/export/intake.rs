//! Reads what the enforcer committed, and joins each action with its audit record and its verdict; and beside
//! them what was said of campaigns.
//!
//! Actions of a partition stand in the order of their audit records and of their verdicts, so the join
//! reads each topic once and keeps one verdict. Nothing is handed on before its audit record was.

use super::sidecar::Sidecar;
use crate::limits::{ROUND_RECORDS_MAX, TAKE_BYTES_MAX};
use crate::stage::{AUDIT_SEQUENCE_HEADER, VERDICT_OFFSET_HEADER, chain_writer};
use std::sync::Arc;
use std::time::Duration;
use weir_schemas::wire::{Wire, WireError};
use weir_schemas::{Action, ActionState, Audit, AuditEntry, Campaign, Record, Verdict};
use weir_topology::log::{Log, LogError, Position, Reader};
use weir_topology::record::{RecordRef, Records};
use weir_topology::task::SchemaSource;
use weir_topology::topic::Topic;

/// Topics of which the export reads every partition, the audit chains first.
pub(crate) const TOPICS: [Topic; 3] = [Topic::Audit, Topic::Actions, Topic::Verdicts];

/// What the lanes hand on.
pub(crate) trait Sink {
    /// An entry of an audit chain, and the record in it where this build can read it.
    fn audit(&mut self, entry: &AuditEntry, audit: Option<&Audit>);
    /// An action whose audit record was handed on; without its verdict where that has passed its
    /// retention or cannot be read.
    fn action(&mut self, action: &Action, verdict: Option<&Verdict>);
    /// What has become of an action that was handed on before.
    fn transition(&mut self, action: &Action);
    /// What was said of a campaign.
    fn campaign(&mut self, campaign: &Campaign);
    /// A record that cannot be read.
    fn unreadable(&mut self, topic: Topic);
    /// Whether the round has enough.
    fn is_full(&self) -> bool;
}

/// Records taken from a reader and not used up yet.
#[derive(Default)]
struct Taken {
    records: Records,
    used: usize,
}

impl Taken {
    fn peek(&self) -> Option<RecordRef<'_>> {
        self.records.get(self.used)
    }

    fn refill(&mut self, reader: &mut dyn Reader, input: usize) -> Result<bool, LogError> {
        if self.peek().is_none() {
            self.records.clear();
            self.used = 0;
            reader.take(input, ROUND_RECORDS_MAX, TAKE_BYTES_MAX, &mut self.records)?;
        }
        Ok(self.peek().is_some())
    }
}

/// One partition.
struct Lane {
    partition: u32,
    writer: String,
    /// Place in the chain of the last audit record handed on.
    audited: i64,
    actions: Taken,
    verdicts: Taken,
    /// The verdict that the last action answered; several actions may answer one.
    current: Option<(i64, Verdict)>,
}

/// Where the verdict of an action is.
enum Found {
    Current,
    /// It is not in the log any more, or was never named.
    Gone,
    /// It has not arrived at this reader yet.
    NotYet,
}

/// Reads records, and looks up what their frames name.
struct Decoder {
    wire: Arc<Wire>,
    schemas: Option<Arc<dyn SchemaSource>>,
}

impl Decoder {
    /// The outer error is a registry that does not answer, which must not cost a record.
    fn read<R>(&self, payload: Option<&[u8]>) -> Result<Result<R, WireError>, LogError>
    where
        R: for<'b> Record<'b>,
    {
        let payload = payload.unwrap_or_default();
        if let (Some(schemas), Some(id)) = (&self.schemas, self.wire.unknown_id(payload)) {
            schemas.learn(id, &self.wire)?;
        }
        Ok(self.wire.read(payload))
    }
}

/// Reads the three topics of every partition, and the campaigns.
pub(crate) struct Intake {
    decoder: Decoder,
    log: Arc<dyn Log>,
    /// Audit and actions of lane `n` are inputs `2n` and `2n + 1`; campaigns are the last.
    decisions: Box<dyn Reader>,
    /// Verdicts of lane `n` are input `n`. A reader of its own: verdicts without actions stay unread
    /// and must not keep the waiting awake.
    verdicts: Box<dyn Reader>,
    lanes: Vec<Lane>,
    /// The lane that goes first in the next round.
    turn: usize,
    /// Whether an action waits for a verdict that has not arrived.
    waits_for_verdict: bool,
}

impl Intake {
    /// Goes on from where the sidecar says.
    pub fn open(
        log: Arc<dyn Log>,
        wire: Arc<Wire>,
        schemas: Option<Arc<dyn SchemaSource>>,
        partitions: &[u32],
        sidecar: &Sidecar,
    ) -> Result<Self, LogError> {
        let at = |topic, partition| Position { topic, partition, next: sidecar.position(topic, partition) };
        let mut decisions: Vec<Position> =
            partitions.iter().flat_map(|p| [at(Topic::Audit, *p), at(Topic::Actions, *p)]).collect();
        decisions.push(at(Topic::Campaigns, 0));
        let verdicts: Vec<Position> = partitions.iter().map(|p| at(Topic::Verdicts, *p)).collect();
        let lane = |partition: &u32| Lane {
            partition: *partition,
            writer: chain_writer(*partition),
            audited: sidecar.audited(*partition),
            actions: Taken::default(),
            verdicts: Taken::default(),
            current: None,
        };
        Ok(Self {
            decoder: Decoder { wire, schemas },
            decisions: log.reader(&decisions)?,
            verdicts: log.reader(&verdicts)?,
            log,
            lanes: partitions.iter().map(lane).collect(),
            turn: 0,
            waits_for_verdict: false,
        })
    }

    /// Looks unknown registry ids up there from now on.
    pub fn set_schemas(&mut self, schemas: Arc<dyn SchemaSource>) {
        self.decoder.schemas = Some(schemas);
    }

    /// Waits until there may be something to hand on, at most `wait`.
    pub fn wait(&mut self, wait: Duration) -> Result<(), LogError> {
        let reader = if self.waits_for_verdict { &mut self.verdicts } else { &mut self.decisions };
        reader.wait(wait).map(drop)
    }

    /// Hands on what is there, partition by partition, until `sink` is full. Returns the number of
    /// records used.
    pub fn fill(&mut self, sink: &mut dyn Sink) -> Result<u64, LogError> {
        let mut used = 0;
        self.waits_for_verdict = false;
        self.turn = (self.turn + 1) % self.lanes.len().max(1);
        for step in 0..self.lanes.len() {
            if sink.is_full() {
                break;
            }
            let index = (self.turn + step) % self.lanes.len();
            used += self.fill_audits(index, sink)?;
            used += self.fill_actions(index, sink)?;
        }
        if !sink.is_full() {
            used += self.fill_campaigns(sink)?;
        }
        Ok(used)
    }

    fn fill_campaigns(&mut self, sink: &mut dyn Sink) -> Result<u64, LogError> {
        let mut records = Records::default();
        self.decisions.take(2 * self.lanes.len(), ROUND_RECORDS_MAX, TAKE_BYTES_MAX, &mut records)?;
        for record in records.iter() {
            match self.decoder.read::<Campaign>(record.payload)? {
                Ok(campaign) => sink.campaign(&campaign),
                Err(_) => sink.unreadable(Topic::Campaigns),
            }
        }
        Ok(records.len() as u64)
    }

    fn fill_audits(&mut self, index: usize, sink: &mut dyn Sink) -> Result<u64, LogError> {
        let lane = &mut self.lanes[index];
        let mut records = Records::default();
        self.decisions.take(2 * index, ROUND_RECORDS_MAX, TAKE_BYTES_MAX, &mut records)?;
        for record in records.iter() {
            match self.decoder.read::<AuditEntry>(record.payload)? {
                Ok(entry) => {
                    if entry.writer == lane.writer {
                        lane.audited = lane.audited.max(entry.sequence);
                    }
                    let audit = self.decoder.read::<Audit>(Some(&entry.record))?;
                    sink.audit(&entry, audit.ok().as_ref());
                }
                Err(_) => sink.unreadable(Topic::Audit),
            }
        }
        Ok(records.len() as u64)
    }

    fn fill_actions(&mut self, index: usize, sink: &mut dyn Sink) -> Result<u64, LogError> {
        let mut used = 0;
        while !sink.is_full()
            && used < ROUND_RECORDS_MAX as u64
            && self.lanes[index].actions.refill(self.decisions.as_mut(), 2 * index + 1)?
        {
            if !self.fill_action(index, sink)? {
                break;
            }
            self.lanes[index].actions.used += 1;
            used += 1;
        }
        Ok(used)
    }

    /// Hands the lane's next action on; false where it has to wait for its audit record or verdict.
    fn fill_action(&mut self, index: usize, sink: &mut dyn Sink) -> Result<bool, LogError> {
        let lane = &self.lanes[index];
        let Some(record) = lane.actions.peek() else { return Ok(false) };
        let number = |name| std::str::from_utf8(record.header(name)?).ok()?.parse::<i64>().ok();
        let (Ok(action), Some(sequence)) =
            (self.decoder.read::<Action>(record.payload)?, number(AUDIT_SEQUENCE_HEADER))
        else {
            // An action that names no audit record is none of the enforcer's: no audit, no action.
            sink.unreadable(Topic::Actions);
            return Ok(true);
        };
        if sequence > lane.audited {
            return Ok(false);
        }
        // The files tell decisions; what becomes of them is told by those who carry them out.
        if !matches!(action.state, ActionState::Pending | ActionState::Withheld) {
            sink.transition(&action);
            return Ok(true);
        }
        let found = match number(VERDICT_OFFSET_HEADER) {
            Some(offset) => self.find_verdict(index, offset, sink)?,
            None => Found::Gone,
        };
        let current = self.lanes[index].current.as_ref().map(|(_, verdict)| verdict);
        match found {
            Found::NotYet => {
                self.waits_for_verdict = true;
                return Ok(false);
            }
            Found::Current => {
                sink.action(&action, current.filter(|verdict| verdict.verdict_id == action.verdict_id));
            }
            Found::Gone => sink.action(&action, None),
        }
        Ok(true)
    }

    /// Reads the lane's verdicts up to the one at `offset`.
    fn find_verdict(&mut self, index: usize, offset: i64, sink: &mut dyn Sink) -> Result<Found, LogError> {
        if self.verdict_position(index) > offset {
            self.rewind(index, offset)?;
        }
        let lane = &mut self.lanes[index];
        if lane.current.as_ref().is_some_and(|(at, _)| *at == offset) {
            return Ok(Found::Current);
        }
        while lane.verdicts.refill(self.verdicts.as_mut(), index)? {
            let Some(record) = lane.verdicts.peek() else { break };
            if record.offset > offset {
                return Ok(Found::Gone);
            }
            if record.offset == offset {
                let verdict = self.decoder.read::<Verdict>(record.payload)?;
                lane.verdicts.used += 1;
                return Ok(match verdict {
                    Ok(verdict) => {
                        lane.current = Some((offset, verdict));
                        Found::Current
                    }
                    Err(_) => {
                        sink.unreadable(Topic::Verdicts);
                        Found::Gone
                    }
                });
            }
            lane.verdicts.used += 1;
        }
        Ok(if self.verdicts.next(index) > offset { Found::Gone } else { Found::NotYet })
    }

    /// The offset at or before which the next action's verdict is expected.
    fn verdict_position(&self, index: usize) -> i64 {
        let lane = &self.lanes[index];
        match (&lane.current, lane.verdicts.peek()) {
            (Some((offset, _)), _) => *offset,
            (None, Some(record)) => record.offset,
            (None, None) => self.verdicts.next(index),
        }
    }

    /// Reads a lane's verdicts from an earlier offset again: an enforcer whose state was deleted
    /// answers old verdicts anew.
    fn rewind(&mut self, index: usize, offset: i64) -> Result<(), LogError> {
        let partition = self.lanes[index].partition;
        let (first, _) = self.log.bounds(Topic::Verdicts, partition)?;
        if offset < first {
            // Gone for good: there is nothing to go back to.
            return Ok(());
        }
        let positions: Vec<Position> = (0..self.lanes.len())
            .map(|other| Position {
                topic: Topic::Verdicts,
                partition: self.lanes[other].partition,
                next: if other == index { offset } else { self.verdict_position(other) },
            })
            .collect();
        self.verdicts = self.log.reader(&positions)?;
        for lane in &mut self.lanes {
            lane.verdicts = Taken::default();
            lane.current = None;
        }
        Ok(())
    }

    /// Writes down where the next round begins.
    pub fn note_positions(&self, sidecar: &mut Sidecar) {
        for (index, lane) in self.lanes.iter().enumerate() {
            let actions = lane.actions.peek().map(|record| record.offset);
            let actions = actions.unwrap_or_else(|| self.decisions.next(2 * index + 1));
            sidecar.set_position(Topic::Audit, lane.partition, self.decisions.next(2 * index));
            sidecar.set_position(Topic::Actions, lane.partition, actions);
            sidecar.set_position(Topic::Verdicts, lane.partition, self.verdict_position(index));
            sidecar.set_audited(lane.partition, lane.audited);
        }
        sidecar.set_position(Topic::Campaigns, 0, self.decisions.next(2 * self.lanes.len()));
    }

    /// Whether every committed audit record, action and campaign record was taken, and no action waits for a
    /// verdict.
    pub fn is_caught_up(&self) -> Result<bool, LogError> {
        if self.waits_for_verdict {
            return Ok(false);
        }
        for (index, lane) in self.lanes.iter().enumerate() {
            for (input, topic) in [(2 * index, Topic::Audit), (2 * index + 1, Topic::Actions)] {
                if self.decisions.next(input) < self.log.bounds(topic, lane.partition)?.1 {
                    return Ok(false);
                }
            }
        }
        Ok(self.decisions.next(2 * self.lanes.len()) >= self.log.bounds(Topic::Campaigns, 0)?.1)
    }

    /// Actions that were taken and wait for their audit record.
    pub fn waiting(&self) -> u64 {
        self.lanes.iter().map(|lane| (lane.actions.records.len() - lane.actions.used) as u64).sum()
    }
}
