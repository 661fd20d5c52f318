//! What must hold of every epoch, written once: a task checks it before each commit and counts what
//! breaks, the simulator checks it on everything that becomes visible.

#[cfg(feature = "runner")]
use crate::cursor::Cursor;
use crate::log::Position;
use crate::stage::{Batch, Effects};
use crate::topic::Topic;
use std::fmt;
use thiserror::Error;
use weir_schemas::Epoch;

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// A task's epoch numbers go up by one.
    EpochsGapless,
    /// An epoch begins in every input where the one before ended.
    RangesChained,
    /// The records that were folded lie in the epoch's ranges, in order, each once.
    RecordsInRange,
    /// Every record was either judged or dead-lettered.
    RecordsAccounted,
    /// As many dead letters are written as records were dead-lettered.
    LettersWritten,
    /// A stage writes to its own output topics only, and every record is counted.
    OutputsCounted,
    /// The positions that are committed are the ends of the epoch's ranges.
    PositionsMatch,
    /// A task's event-time clock never runs back.
    ClockMonotonic,
    /// No epoch was taken before the one before it.
    TakenMonotonic,
}

impl Invariant {
    /// Every invariant.
    pub const ALL: &'static [Self] = &[
        Self::EpochsGapless,
        Self::RangesChained,
        Self::RecordsInRange,
        Self::RecordsAccounted,
        Self::LettersWritten,
        Self::OutputsCounted,
        Self::PositionsMatch,
        Self::ClockMonotonic,
        Self::TakenMonotonic,
    ];

    /// Name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EpochsGapless => "epochs_gapless",
            Self::RangesChained => "ranges_chained",
            Self::RecordsInRange => "records_in_range",
            Self::RecordsAccounted => "records_accounted",
            Self::LettersWritten => "letters_written",
            Self::OutputsCounted => "outputs_counted",
            Self::PositionsMatch => "positions_match",
            Self::ClockMonotonic => "clock_monotonic",
            Self::TakenMonotonic => "taken_monotonic",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{invariant}: {detail}")]
pub struct Broken {
    /// Which.
    pub invariant: Invariant,
    /// What is there instead.
    pub detail: String,
}

fn hold(holds: bool, invariant: Invariant, detail: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { invariant, detail: detail() }) }
}

/// The end of a task's chain of epochs: what the next epoch record continues.
#[derive(Debug, Clone)]
pub struct Chain {
    epoch: i64,
    clock_ms: i64,
    taken_ms: i64,
    ends: Vec<Position>,
}

impl Chain {
    /// The chain of a task that stands at `cursor`.
    #[cfg(feature = "runner")]
    pub fn after(cursor: &Cursor) -> Self {
        Self {
            epoch: cursor.epoch,
            clock_ms: cursor.clock_ms,
            taken_ms: cursor.taken_ms,
            ends: cursor.positions.clone(),
        }
    }

    /// Whether `epoch` is the chain's next.
    pub fn check(&self, epoch: &Epoch) -> Result<(), Broken> {
        hold(epoch.epoch == self.epoch + 1, Invariant::EpochsGapless, || {
            format!("epoch {} comes after epoch {}", epoch.epoch, self.epoch)
        })?;
        hold(epoch.clock_ms >= self.clock_ms, Invariant::ClockMonotonic, || {
            format!("the clock runs from {} to {}", self.clock_ms, epoch.clock_ms)
        })?;
        let taken_ms = epoch.taken_ms.unwrap_or(self.taken_ms);
        hold(taken_ms >= self.taken_ms, Invariant::TakenMonotonic, || {
            format!("it was taken at {taken_ms}, the one before at {}", self.taken_ms)
        })?;
        for end in &self.ends {
            let range = epoch.inputs.iter().find(|range| is_of(range, end.topic, end.partition));
            let (from, to) = range.map_or((end.next, end.next), |range| (range.from, range.to));
            hold(from == end.next && to >= from, Invariant::RangesChained, || {
                format!("{}/{} goes on from {from} to {to} after {}", end.topic, end.partition, end.next)
            })?;
        }
        let records: i64 = epoch.inputs.iter().map(|range| range.records).sum();
        let (judged, dead) = (epoch.judged, epoch.dead_lettered);
        hold(judged >= 0 && dead >= 0 && judged + dead == records, Invariant::RecordsAccounted, || {
            format!("{records} records, {judged} judged and {dead} dead-lettered")
        })
    }

    /// Moves on to `epoch`, if it is the chain's next.
    pub fn follow(&mut self, epoch: &Epoch) -> Result<(), Broken> {
        self.check(epoch)?;
        self.epoch = epoch.epoch;
        self.clock_ms = epoch.clock_ms;
        self.taken_ms = epoch.taken_ms.unwrap_or(self.taken_ms);
        for end in &mut self.ends {
            let range = epoch.inputs.iter().find(|range| is_of(range, end.topic, end.partition));
            end.next = range.map_or(end.next, |range| range.to);
        }
        Ok(())
    }

    /// Where the chain's last epoch ended in every input.
    pub fn ends(&self) -> &[Position] {
        &self.ends
    }
}

fn is_of(range: &weir_schemas::InputRange, topic: Topic, partition: u32) -> bool {
    range.topic == topic.name() && range.partition == partition as i32
}

/// Whether `epoch` and `positions`, which are to be committed, say what was folded.
pub fn check_fold(
    batch: &Batch,
    effects: &Effects,
    epoch: &Epoch,
    positions: &[Position],
) -> Result<(), Broken> {
    for input in &batch.inputs {
        let range = epoch.inputs.iter().find(|range| is_of(range, input.topic, input.partition));
        let (mut next, to) = range.map_or((0, 0), |range| (range.from, range.to));
        for record in input.records.iter() {
            hold(record.offset >= next && record.offset < to, Invariant::RecordsInRange, || {
                format!("{}/{} has {}, not in {next} to {to}", input.topic, input.partition, record.offset)
            })?;
            next = record.offset + 1;
        }
        let counted = range.map_or(0, |range| range.records);
        hold(counted == input.records.len() as i64, Invariant::RecordsInRange, || {
            format!("{}/{} has {} records, not {counted}", input.topic, input.partition, input.records.len())
        })?;
    }
    let letters = effects.outputs.iter().filter(|output| output.topic == Topic::Dlq).count() as u64;
    hold(letters == effects.dead_lettered, Invariant::LettersWritten, || {
        format!("{letters} dead letters for {} records", effects.dead_lettered)
    })?;
    let counted: i64 = epoch.outputs.iter().map(|count| count.records).sum();
    hold(counted == effects.outputs.len() as i64, Invariant::OutputsCounted, || {
        format!("{counted} records are counted of {}", effects.outputs.len())
    })?;
    check_positions(epoch, positions)
}

/// Whether the positions that are committed with `epoch` are the ends of its ranges.
pub fn check_positions(epoch: &Epoch, positions: &[Position]) -> Result<(), Broken> {
    for range in &epoch.inputs {
        let position = positions.iter().find(|position| is_of(range, position.topic, position.partition));
        let next = position.map(|position| position.next);
        hold(next == Some(range.to), Invariant::PositionsMatch, || {
            format!(
                "{}/{} was folded to {}, its position is {next:?}",
                range.topic, range.partition, range.to
            )
        })?;
    }
    Ok(())
}

#[cfg(all(test, feature = "runner"))]
mod tests {
    use super::*;
    use crate::outputs::count_outputs;
    use crate::record::{Output, Records};
    use crate::stage::InputBatch;
    use crate::topic::{StageName, TaskId};
    use expect_test::{Expect, expect};
    use weir_schemas::InputRange;

    fn start() -> Cursor {
        Cursor::start(TaskId { stage: StageName::Cluster, partition: 3 })
    }

    /// Epoch 1: links 0 to 7, of which 5 are records.
    fn epoch() -> Epoch {
        let range = |topic: Topic, partition, to, records| InputRange {
            topic: topic.name().into(),
            partition,
            from: 0,
            to,
            records,
        };
        Epoch {
            epoch: 1,
            inputs: vec![range(Topic::Control, 0, 0, 0), range(Topic::Links, 3, 7, 5)],
            clock_ms: 100,
            taken_ms: Some(1_000),
            judged: 4,
            dead_lettered: 1,
            ..Epoch::default()
        }
    }

    fn check_chain(change: impl FnOnce(&mut Epoch), expected: Expect) {
        let mut chain = Chain::after(&start());
        assert_eq!(chain.follow(&epoch()), Ok(()));
        let mut next = Epoch { epoch: 2, ..epoch() };
        (next.inputs[1].from, next.inputs[1].to) = (7, 12);
        change(&mut next);
        let outcome = chain.check(&next);
        expected.assert_eq(&outcome.map_or_else(|broken| broken.to_string(), |()| "holds".into()));
    }

    #[test]
    fn an_epoch_must_continue_the_one_before() {
        check_chain(|_| {}, expect!["holds"]);
        check_chain(|epoch| epoch.epoch = 3, expect!["epochs_gapless: epoch 3 comes after epoch 1"]);
        check_chain(
            |epoch| epoch.inputs[1].from = 8,
            expect!["ranges_chained: weir.links/3 goes on from 8 to 12 after 7"],
        );
        check_chain(
            |epoch| epoch.inputs[1].from = 6,
            expect!["ranges_chained: weir.links/3 goes on from 6 to 12 after 7"],
        );
        check_chain(
            |epoch| epoch.judged = 5,
            expect!["records_accounted: 5 records, 5 judged and 1 dead-lettered"],
        );
        check_chain(|epoch| epoch.clock_ms = 99, expect!["clock_monotonic: the clock runs from 100 to 99"]);
        check_chain(
            |epoch| epoch.taken_ms = Some(999),
            expect!["taken_monotonic: it was taken at 999, the one before at 1000"],
        );
        check_chain(|epoch| epoch.taken_ms = None, expect!["holds"]);
    }

    fn check_folded(offsets: &[i64], letters: usize, position: i64, expected: Expect) {
        let mut records = Records::default();
        offsets.iter().for_each(|offset| records.push(*offset, 0, b"k", None, []));
        let input = InputBatch { topic: Topic::Links, partition: 3, records };
        let batch = Batch { epoch: 1, partition: 3, clock_ms: 0, taken_ms: None, inputs: vec![input] };
        let letter = Output::keyed(Topic::Dlq, Vec::new(), Vec::new(), 0);
        let effects = Effects { outputs: vec![letter; letters], dead_lettered: 1, ..Effects::default() };
        let mut epoch = epoch();
        epoch.outputs = count_outputs(StageName::Cluster, &effects.outputs);
        let positions = [(Topic::Control, 0, 0), (Topic::Links, 3, position)];
        let positions = positions.map(|(topic, partition, next)| Position { topic, partition, next });
        let outcome = check_fold(&batch, &effects, &epoch, &positions);
        expected.assert_eq(&outcome.map_or_else(|broken| broken.to_string(), |()| "holds".into()));
    }

    #[test]
    fn an_epoch_record_must_say_what_was_folded() {
        check_folded(&[0, 1, 2, 4, 6], 1, 7, expect!["holds"]);
        check_folded(&[0, 1, 1, 4, 6], 1, 7, expect!["records_in_range: weir.links/3 has 1, not in 2 to 7"]);
        check_folded(&[0, 1, 2, 4, 7], 1, 7, expect!["records_in_range: weir.links/3 has 7, not in 5 to 7"]);
        check_folded(&[0, 1, 2, 4], 1, 7, expect!["records_in_range: weir.links/3 has 4 records, not 5"]);
        check_folded(&[0, 1, 2, 4, 6], 0, 7, expect!["letters_written: 0 dead letters for 1 records"]);
        check_folded(
            &[0, 1, 2, 4, 6],
            1,
            6,
            expect!["positions_match: weir.links/3 was folded to 7, its position is Some(6)"],
        );
    }

    #[test]
    fn a_stage_must_not_write_to_a_topic_that_is_not_its_own() {
        let verdict = Output::keyed(Topic::Verdicts, Vec::new(), Vec::new(), 0);
        let effects = Effects { outputs: vec![verdict], ..Effects::default() };
        let batch = Batch { epoch: 1, partition: 0, clock_ms: 0, taken_ms: None, inputs: Vec::new() };
        let check = |stage| {
            let epoch = Epoch { outputs: count_outputs(stage, &effects.outputs), ..Epoch::default() };
            check_fold(&batch, &effects, &epoch, &[]).map_err(|broken| broken.to_string())
        };
        assert_eq!(check(StageName::Account), Ok(()));
        assert_eq!(check(StageName::Cluster), Err("outputs_counted: 0 records are counted of 1".into()));
    }
}
