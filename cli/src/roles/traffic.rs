//! How many requests there are in a day, by what the account stage's epochs say that they read.
//!
//! Counted from when this process began, on every partition, whoever judges there. What was read before is
//! not looked for: a process that starts anew has no whole day before one has passed. An hour of it says
//! something only where nobody has said anything yet.

use crate::roles::adopt::Measured;
use std::collections::VecDeque;
use std::time::Duration;
use weir_enforcer::limits::REQUESTS_TOLD_MAX;
use weir_schemas::Epoch;
use weir_schemas::wire::Wire;
use weir_topology::log::{Log, LogError, Position, Reader};
use weir_topology::record::Records;
use weir_topology::topic::{StageName, Topic};

/// From how much time on anything is said.
const SAID_FROM: Duration = Duration::from_secs(3_600);

/// A day.
const DAY: Duration = Duration::from_secs(86_400);

/// How much time one count is of: a day has 144.
const SLOT: Duration = Duration::from_secs(600);

/// Most records and bytes that one look takes from a partition.
const TAKEN_MAX: (usize, usize) = (2_000, 1 << 20);

/// Requests of the last day, or of as much of it as was seen.
#[derive(Default)]
pub struct Traffic {
    /// None before the first look, and after one that failed: it begins anew where the log ends then.
    reader: Option<Box<dyn Reader>>,
    partitions: u32,
    /// Since when it counts, as time since this process began.
    since: Duration,
    /// Requests by the number of the slot since this process began; of a day.
    slots: VecDeque<(u64, u64)>,
}

impl Traffic {
    /// Counts what was read since the last look, without waiting. `now` is the time since this process began.
    pub fn count(&mut self, log: &dyn Log, wire: &Wire, now: Duration) -> Result<(), LogError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.begin(log, now)?,
        };
        reader.wait(Duration::ZERO)?;
        for index in 0..self.partitions as usize {
            let mut records = Records::default();
            match reader.take(index, TAKEN_MAX.0, TAKEN_MAX.1, &mut records) {
                // The log forgets faster than this process looks: it goes on where the log ends.
                Err(LogError::Gone { .. }) => return Ok(()),
                taken => taken?,
            }
            // What cannot be read is of a build that says more: it is missed, and the cap the smaller.
            let epochs = records.iter().filter_map(|record| wire.read::<Epoch>(record.payload?).ok());
            let requests = epochs.map(|epoch| requests_in(&epoch)).sum();
            self.note(now, requests);
        }
        self.reader = Some(reader);
        Ok(())
    }

    /// Requests in a day, as many as there were in the time that was seen; none where that is less than an
    /// hour.
    pub fn measured(&self, now: Duration) -> Option<Measured> {
        let oldest =
            self.slots.front().map_or(now, |(slot, _)| SLOT * u32::try_from(*slot).unwrap_or(u32::MAX));
        let seen = now.saturating_sub(oldest.max(self.since));
        let counted: u64 = self.slots.iter().map(|(_, requests)| *requests).sum();
        (seen >= SAID_FROM).then(|| {
            let a_day = u128::from(counted) * u128::from(DAY.as_secs()) / u128::from(seen.as_secs());
            let a_day = u64::try_from(a_day).unwrap_or(u64::MAX).clamp(1, REQUESTS_TOLD_MAX);
            // The oldest slot of a day is one that has begun.
            Measured { a_day, of_a_day: seen >= DAY - SLOT }
        })
    }

    fn begin(&mut self, log: &dyn Log, now: Duration) -> Result<Box<dyn Reader>, LogError> {
        self.since = now;
        self.slots.clear();
        self.partitions = log.partitions(Topic::Epochs)?;
        let end = |partition| {
            let (_, next) = log.bounds(Topic::Epochs, partition)?;
            Ok(Position { topic: Topic::Epochs, partition, next })
        };
        log.reader(&(0..self.partitions).map(end).collect::<Result<Vec<_>, LogError>>()?)
    }

    fn note(&mut self, now: Duration, requests: u64) {
        let slot = slot(now);
        match self.slots.back_mut() {
            Some((last, counted)) if *last == slot => *counted += requests,
            _ => self.slots.push_back((slot, requests)),
        }
        let oldest = slot.saturating_sub(DAY.as_secs() / SLOT.as_secs() - 1);
        while self.slots.front().is_some_and(|(slot, _)| *slot < oldest) {
            self.slots.pop_front();
        }
    }
}

fn slot(now: Duration) -> u64 {
    now.as_secs() / SLOT.as_secs()
}

/// Events that an epoch of the account stage read; none of another stage's.
fn requests_in(epoch: &Epoch) -> u64 {
    if epoch.stage != StageName::Account.as_str() {
        return 0;
    }
    let of_events = epoch.inputs.iter().filter(|range| range.topic == Topic::Events.name());
    of_events.map(|range| u64::try_from(range.records).unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_schemas::InputRange;
    use weir_topology::log::Commit;
    use weir_topology::memory::MemoryLog;
    use weir_topology::record::Output;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// Publishes what a stage's epoch on a partition says that it read.
    fn epoch(log: &MemoryLog, stage: StageName, partition: u32, read: &[(Topic, i64)]) {
        let input = |(topic, records): &(Topic, i64)| InputRange {
            topic: topic.name().into(),
            records: *records,
            ..InputRange::default()
        };
        let epoch = Epoch {
            stage: stage.as_str().into(),
            inputs: read.iter().map(input).collect(),
            ..Epoch::default()
        };
        let record = Output {
            partition: Some(partition),
            ..Output::keyed(Topic::Epochs, b"task".to_vec(), Wire::new().to_bytes(&epoch), 0)
        };
        let commit = Commit { outputs: vec![record], positions: Vec::new() };
        log.writer("a task").unwrap().commit(&commit).unwrap();
    }

    /// What is said where nobody has said anything yet.
    fn of_an_hour(traffic: &Traffic, now: Duration) -> Option<u64> {
        traffic.measured(now).map(|measured| measured.a_day)
    }

    /// What is said where somebody has.
    fn of_a_day(traffic: &Traffic, now: Duration) -> Option<u64> {
        traffic.measured(now).filter(|measured| measured.of_a_day).map(|measured| measured.a_day)
    }

    #[test]
    fn what_the_account_stage_reads_of_events_is_counted_on_every_partition_from_the_start_on() {
        let (log, wire, mut traffic) = (MemoryLog::new(2), Wire::new(), Traffic::default());
        epoch(&log, StageName::Account, 0, &[(Topic::Events, 7)]);
        traffic.count(log.as_ref(), &wire, Duration::ZERO).unwrap();
        epoch(&log, StageName::Account, 0, &[(Topic::Control, 3), (Topic::Events, 100)]);
        epoch(&log, StageName::Account, 1, &[(Topic::Events, 20), (Topic::Clusters, 9)]);
        epoch(&log, StageName::Enforcer, 1, &[(Topic::Verdicts, 5)]);
        traffic.count(log.as_ref(), &wire, HOUR / 2).unwrap();
        assert_eq!(of_an_hour(&traffic, HOUR - Duration::from_secs(1)), None);
        assert_eq!(of_an_hour(&traffic, HOUR), Some(24 * 120));
        traffic.count(log.as_ref(), &wire, 2 * HOUR).unwrap();
        assert_eq!(of_an_hour(&traffic, 2 * HOUR), Some(12 * 120), "once each");
    }

    #[test]
    fn an_hour_says_nothing_to_whom_a_day_was_told() {
        let mut traffic = Traffic::default();
        (0..=143).for_each(|slot| traffic.note(slot * SLOT, 10));
        assert_eq!(of_a_day(&traffic, 6 * SLOT), None);
        assert_eq!(of_a_day(&traffic, 142 * SLOT), None);
        assert_eq!(of_a_day(&traffic, 144 * SLOT), Some(1_440));
    }

    #[test]
    fn who_lost_the_log_begins_anew() {
        let (log, wire, mut traffic) = (MemoryLog::new(1), Wire::new(), Traffic::default());
        traffic.count(log.as_ref(), &wire, Duration::ZERO).unwrap();
        epoch(&log, StageName::Account, 0, &[(Topic::Events, 100)]);
        traffic.count(log.as_ref(), &wire, HOUR).unwrap();
        traffic.reader = None;
        epoch(&log, StageName::Account, 0, &[(Topic::Events, 900)]);
        traffic.count(log.as_ref(), &wire, 2 * HOUR).unwrap();
        epoch(&log, StageName::Account, 0, &[(Topic::Events, 7)]);
        traffic.count(log.as_ref(), &wire, 2 * HOUR + SLOT).unwrap();
        assert_eq!(of_an_hour(&traffic, 2 * HOUR + SLOT), None);
        assert_eq!(of_an_hour(&traffic, 3 * HOUR), Some(24 * 7));
    }

    #[test]
    fn what_is_older_than_a_day_is_forgotten() {
        let mut traffic = Traffic::default();
        (0..200).for_each(|slot| traffic.note(slot * SLOT, if slot < 56 { 1_000 } else { 10 }));
        assert_eq!(traffic.slots.len(), 144);
        assert_eq!(of_a_day(&traffic, 200 * SLOT), Some(1_440));
    }

    #[test]
    fn where_nobody_asks_there_is_nothing_in_a_day() {
        let mut traffic = Traffic::default();
        (0..12).for_each(|slot| traffic.note(slot * SLOT, 0));
        assert_eq!(of_an_hour(&traffic, 12 * SLOT), Some(1), "0 is what nobody has said");
    }
}
