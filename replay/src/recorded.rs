//! Replay as recorded: the epoch records decide, and the bytes are the ones that went live.

mod campaigns;

use crate::digest::VerdictDigest;
use crate::report::{ReplayError, Report};
use crate::start::Starts;
use std::time::Instant;
use weir_schemas::wire::Wire;
use weir_schemas::{DeadLetter, Verdict};
use weir_topology::cursor::Cursor;
use weir_topology::error::TaskError;
use weir_topology::history::History;
use weir_topology::log::Log;
use weir_topology::record::Output;
use weir_topology::restore::{Refolded, fold_recorded};
use weir_topology::stage::Stage;
use weir_topology::stage::StageFactory;
use weir_topology::topic::{StageName, TaskId, Topic};

/// Folds every recorded epoch of the account stage again, from the beginning, or from the oldest checkpoint
/// where the beginning is no longer kept, and holds the verdicts against those in the log; and what was said
/// of campaigns. `progress` is told how many events were folded since the last call.
pub fn replay(
    log: &dyn Log,
    wire: &Wire,
    make_stage: &StageFactory,
    mut progress: impl FnMut(u64),
) -> Result<Report, ReplayError> {
    let started = Instant::now();
    let mut total = Totals { bytes_equal: true, ..Totals::default() };
    for partition in 0..log.partitions(Topic::Events)? {
        replay_partition(log, wire, make_stage, partition, &mut total, &mut progress)?;
    }
    let campaigns = campaigns::replay(log, wire, make_stage)?;
    let rejected = rejected_lines(log, wire)?;
    Ok(Report {
        events: total.events + rejected,
        judged: total.judged,
        dlq: total.dead_lettered + rejected,
        verdicts: total.found.verdicts(),
        digest: total.found.finish(),
        campaign_records: campaigns.found.records(),
        campaign_digest: campaigns.found.finish(),
        campaigns_equal: campaigns.is_equal,
        written_digest: Some(total.written.finish()),
        bytes_equal: Some(total.bytes_equal),
        verdicts_before: Some(total.verdicts_before),
        verdicts_adopted: Some(total.verdicts_adopted),
        in_flight: total.in_flight,
        seconds: started.elapsed().as_secs_f64(),
    })
}

#[derive(Default)]
struct Totals {
    events: u64,
    judged: u64,
    dead_lettered: u64,
    in_flight: u64,
    found: VerdictDigest,
    written: VerdictDigest,
    bytes_equal: bool,
    verdicts_before: u64,
    verdicts_adopted: u64,
}

impl Totals {
    fn add(&mut self, part: Self) {
        self.events += part.events;
        self.judged += part.judged;
        self.dead_lettered += part.dead_lettered;
        self.in_flight += part.in_flight;
        self.found.merge(part.found);
        self.written.merge(part.written);
        self.bytes_equal &= part.bytes_equal;
        self.verdicts_before += part.verdicts_before;
        self.verdicts_adopted += part.verdicts_adopted;
    }
}

fn replay_partition(
    log: &dyn Log,
    wire: &Wire,
    make_stage: &StageFactory,
    partition: u32,
    total: &mut Totals,
    progress: &mut impl FnMut(u64),
) -> Result<(), ReplayError> {
    let task = TaskId { stage: StageName::Account, partition };
    let starts = Starts::of(task, log, wire)?;
    let mut after = 0;
    loop {
        let made = starts.make_oldest(after, log, wire, make_stage)?;
        let mut part = Totals { bytes_equal: true, ..Totals::default() };
        match fold_partition(log, wire, made, task, &mut part, progress) {
            // What another judge recorded is passed over, where there is a checkpoint behind it.
            Err(ReplayError::Task(TaskError::OtherJudge { epoch, .. })) if starts.has_one_from(epoch) => {
                after = epoch;
            }
            outcome => {
                total.add(part);
                return outcome;
            }
        }
    }
}

/// Folds a partition's epochs from where `stage` stands.
fn fold_partition(
    log: &dyn Log,
    wire: &Wire,
    (mut stage, from): (Box<dyn Stage>, Cursor),
    task: TaskId,
    total: &mut Totals,
    progress: &mut impl FnMut(u64),
) -> Result<(), ReplayError> {
    let partition = task.partition;
    let mut written = Written::open(log, partition)?;
    total.verdicts_before += written.skip(wire, from.epoch)?;
    let mut failure = None;
    let (mut found, mut standing) = (VerdictDigest::default(), VerdictDigest::default());
    let cursor =
        fold_recorded(task, stage.as_mut(), log, wire, from, |Refolded { epoch, batch, effects }| {
            let events = batch.inputs.iter().filter(|input| input.topic == Topic::Events);
            let events: u64 = events.map(|input| input.records.len() as u64).sum();
            progress(events);
            let Some(effects) = effects else {
                // Another judge recorded the epoch and this one adopted it: there is nothing to hold against,
                // and what was refused is known by number only.
                let dead_lettered = (epoch.dead_lettered.max(0) as u64).min(events);
                total.events += events;
                total.dead_lettered += dead_lettered;
                total.judged += events - dead_lettered;
                let count = epoch.outputs.iter().find(|count| count.topic == Topic::Verdicts.name());
                for _ in 0..count.map_or(0, |count| count.records) {
                    if let Err(error) = written.next() {
                        failure = Some(error);
                        return Err(TaskError::Gap { task, expected: epoch.epoch, found: epoch.epoch });
                    }
                    total.verdicts_adopted += 1;
                }
                return Ok(());
            };
            let dead_lettered = effects.outputs.iter().filter(|output| is_dead_event(output)).count() as u64;
            total.events += events;
            total.dead_lettered += dead_lettered;
            total.judged += events - dead_lettered;
            for output in effects.outputs.iter().filter(|output| output.topic == Topic::Verdicts) {
                let Err(error) = written.hold_against(wire, output, &mut found, &mut standing) else {
                    continue;
                };
                failure = Some(error);
                // Ends the fold; the failure is what is reported.
                return Err(TaskError::Gap { task, expected: epoch.epoch, found: epoch.epoch });
            }
            Ok(())
        });
    if let Some(failure) = failure {
        return Err(failure);
    }
    let cursor = cursor?;
    total.bytes_equal &= written.is_equal && written.next()?.is_none();
    total.found.merge(found);
    total.written.merge(standing);

    let (_, end) = log.bounds(Topic::Events, partition)?;
    let folded_to = cursor.positions.iter().find(|p| p.topic == Topic::Events).map_or(0, |p| p.next);
    let mut rest = History::new(log, Topic::Events, partition, folded_to, end)?;
    while let Some(records) = rest.next()? {
        total.in_flight += records.len() as u64;
    }
    Ok(())
}

/// Whether a dead letter was made of an event, not of control or feedback.
fn is_dead_event(output: &Output) -> bool {
    output.topic == Topic::Dlq
        && output.headers.iter().any(|(name, value)| {
            *name == "weir-dlq-origin-topic" && value.as_slice() == Topic::Events.name().as_bytes()
        })
}

/// The verdicts of one partition as they stand in the log.
struct Written {
    history: History,
    ready: std::collections::VecDeque<Vec<u8>>,
    is_equal: bool,
}

impl Written {
    fn open(log: &dyn Log, partition: u32) -> Result<Self, ReplayError> {
        let (first, end) = log.bounds(Topic::Verdicts, partition)?;
        let history = History::new(log, Topic::Verdicts, partition, first, end)?;
        Ok(Self { history, ready: Default::default(), is_equal: true })
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, ReplayError> {
        while self.ready.is_empty() {
            match self.history.next()? {
                None => return Ok(None),
                Some(records) => {
                    self.ready.extend(records.iter().filter_map(|r| Some(r.payload?.to_vec())));
                }
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Passes over the verdicts of epochs up to `epoch`; how many there were.
    fn skip(&mut self, wire: &Wire, epoch: i64) -> Result<u64, ReplayError> {
        let mut skipped = 0;
        while epoch > 0
            && let Some(payload) = self.next()?
        {
            if wire.read::<Verdict>(&payload)?.epoch > epoch {
                self.ready.push_front(payload);
                break;
            }
            skipped += 1;
        }
        Ok(skipped)
    }

    fn hold_against(
        &mut self,
        wire: &Wire,
        output: &Output,
        found: &mut VerdictDigest,
        standing: &mut VerdictDigest,
    ) -> Result<(), ReplayError> {
        let payload = output.payload.as_deref().unwrap_or_default();
        found.add(&wire.read::<Verdict>(payload)?);
        let written = self.next()?;
        self.is_equal &= written.as_deref() == Some(payload);
        if let Some(written) = written {
            standing.add(&wire.read::<Verdict>(&written)?);
        }
        Ok(())
    }
}

/// Lines that collectors refused: they never became events.
pub(crate) fn rejected_lines(log: &dyn Log, wire: &Wire) -> Result<u64, ReplayError> {
    let mut lines = 0;
    for partition in 0..log.partitions(Topic::Dlq)? {
        let (first, end) = log.bounds(Topic::Dlq, partition)?;
        let mut history = History::new(log, Topic::Dlq, partition, first, end)?;
        while let Some(records) = history.next()? {
            for payload in records.iter().filter_map(|record| record.payload) {
                let letter: DeadLetter = wire.read(payload)?;
                lines += u64::from(letter.stage == StageName::Collector.as_str());
            }
        }
    }
    Ok(lines)
}
