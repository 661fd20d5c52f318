//! How every account stands, in memory: all of `weir.standing`, read from its beginning and followed from there.
//!
//! The topic is a table of which the latest record of a key suffices. Whoever serves a gateway reads all of it, so that it
//! needs neither the log nor another server to answer.

use crate::limits::{
    FOLLOW_WAIT, FOLLOW_WAITS_MAX, ROUND_RECORDS_MAX, STANDINGS_MAX, TAKE_BYTES_MAX, WATCH_MS,
};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, ActionId, Standing, StandingStatus, VerdictId};
use weir_topology::log::{Log, LogError, Position, Reader};
use weir_topology::record::Records;
use weir_topology::task::SchemaSource;
use weir_topology::topic::Topic;

/// What is known of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// What is in force.
    pub status: StandingStatus,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Until when; none for good, and until a person undoes it.
    pub until_ms: Option<i64>,
    /// By which action.
    pub action_id: ActionId,
    /// By which verdict.
    pub verdict_id: VerdictId,
}

/// The table, which a follower fills and servers read.
#[derive(Debug, Default)]
pub struct Standings(RwLock<Table>);

#[derive(Debug, Default)]
struct Table {
    by_account: HashMap<AccountId, Known>,
    /// When the table was as the log was, in milliseconds since the Unix epoch.
    fresh_ms: Option<i64>,
    /// Accounts that there was no room for, since they were last asked for.
    untold: u64,
    unreadable: u64,
}

impl Standings {
    /// What is known of an account.
    pub fn get(&self, account: AccountId) -> Option<Known> {
        self.read().by_account.get(&account).copied()
    }

    /// How long ago the table was as the log was, in milliseconds; none where it never was.
    pub fn stale_ms(&self, now_ms: i64) -> Option<i64> {
        self.read().fresh_ms.map(|fresh_ms| now_ms.saturating_sub(fresh_ms).max(0))
    }

    /// Number of accounts of which something is known.
    pub fn len(&self) -> usize {
        self.read().by_account.len()
    }

    /// Whether nothing is known of anybody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Accounts that there was no room for, and records that could not be read, since the last call.
    pub fn take_losses(&self) -> (u64, u64) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut table.untold), std::mem::take(&mut table.unreadable))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Takes a record; `now_ms` says what is worth knowing.
    fn take(&mut self, account: AccountId, standing: Option<Standing>, now_ms: i64) {
        let Some(standing) = standing else {
            self.by_account.remove(&account);
            return;
        };
        let is_over =
            standing.status == StandingStatus::Good && now_ms.saturating_sub(standing.since_ms) >= WATCH_MS;
        if is_over {
            self.by_account.remove(&account);
            return;
        }
        if self.by_account.len() >= STANDINGS_MAX && !self.by_account.contains_key(&account) {
            self.make_room(now_ms);
        }
        if self.by_account.len() >= STANDINGS_MAX && !self.by_account.contains_key(&account) {
            self.untold += 1;
            return;
        }
        let Standing { status, since_ms, until_ms, action_id, verdict_id, .. } = standing;
        self.by_account.insert(account, Known { status, since_ms, until_ms, action_id, verdict_id });
    }

    /// Forgets those on whom nothing is in force.
    fn make_room(&mut self, now_ms: i64) {
        let is_in_force = |known: &Known| {
            known.status != StandingStatus::Good && known.until_ms.is_none_or(|until_ms| until_ms > now_ms)
        };
        self.by_account.retain(|_, known| is_in_force(known));
    }
}

/// Fills a table from the log.
pub struct Follower {
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    schemas: Option<Arc<dyn SchemaSource>>,
    standings: Arc<Standings>,
    /// None before the first look, and after one that failed: then all of it is read again.
    reader: Option<Box<dyn Reader>>,
    partitions: u32,
}

impl Follower {
    /// A follower of `log`, which looks unknown registry ids up in `schemas`.
    pub fn new(
        log: Arc<dyn Log>,
        wire: Arc<Wire>,
        schemas: Option<Arc<dyn SchemaSource>>,
        standings: Arc<Standings>,
    ) -> Self {
        Self { log, wire, schemas, standings, reader: None, partitions: 0 }
    }

    /// Reads up to the end as of now, which then is `now_ms` old. What it read stands even where this fails; what it may
    /// have missed then is read again.
    pub fn run_once(&mut self, now_ms: i64) -> Result<(), LogError> {
        let outcome = self.try_once(now_ms);
        if outcome.is_err() {
            self.reader = None;
        }
        outcome
    }

    fn try_once(&mut self, now_ms: i64) -> Result<(), LogError> {
        if self.reader.is_none() {
            self.partitions = self.log.partitions(Topic::Standing)?;
            let first = |partition: u32| {
                let (next, _) = self.log.bounds(Topic::Standing, partition)?;
                Ok(Position { topic: Topic::Standing, partition, next })
            };
            let from = (0..self.partitions).map(first).collect::<Result<Vec<_>, LogError>>()?;
            self.reader = Some(self.log.reader(&from)?);
        }
        let bounds = |partition| self.log.bounds(Topic::Standing, partition);
        let ends = (0..self.partitions)
            .map(|partition| Ok(bounds(partition)?.1))
            .collect::<Result<Vec<i64>, LogError>>()?;
        let mut waits = 0;
        while let Some(reader) = &mut self.reader {
            let is_behind = |(partition, end): (usize, &i64)| reader.next(partition) < *end;
            if !ends.iter().enumerate().any(is_behind) {
                break;
            }
            if waits == FOLLOW_WAITS_MAX {
                let reason = "weir.standing does not give what it is said to hold".to_owned();
                return Err(LogError::Unavailable { reason });
            }
            waits += 1;
            reader.wait(FOLLOW_WAIT)?;
            for partition in 0..self.partitions as usize {
                let mut records = Records::default();
                reader.take(partition, ROUND_RECORDS_MAX, TAKE_BYTES_MAX, &mut records)?;
                take(&self.standings, &self.wire, self.schemas.as_deref(), &records, now_ms)?;
            }
        }
        let mut table = self.standings.0.write().unwrap_or_else(PoisonError::into_inner);
        table.fresh_ms = Some(now_ms);
        Ok(())
    }
}

fn take(
    standings: &Standings,
    wire: &Wire,
    schemas: Option<&dyn SchemaSource>,
    records: &Records,
    now_ms: i64,
) -> Result<(), LogError> {
    for record in records.iter() {
        if let (Some(schemas), Some(id)) =
            (schemas, record.payload.and_then(|payload| wire.unknown_id(payload)))
        {
            schemas.learn(id, wire)?;
        }
        let standing = record.payload.map(|payload| wire.read::<Standing>(payload));
        let mut table = standings.0.write().unwrap_or_else(PoisonError::into_inner);
        match (AccountId::from_key(record.key), standing) {
            (Ok(account), None) => table.take(account, None, now_ms),
            (Ok(account), Some(Ok(standing))) if standing.account == account => {
                table.take(account, Some(standing), now_ms);
            }
            // What cannot be read says nothing of its account; what was known of it stands.
            _ => table.unreadable += 1,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Rig, account};
    use weir_topology::record::Output;

    fn standing(number: u32, status: StandingStatus, since_ms: i64) -> Standing {
        Standing { account: account(number), status, since_ms, ..Standing::default() }
    }

    fn put(rig: &Rig, standing: &Standing) {
        let payload = rig.wire.to_bytes(standing);
        rig.put(vec![Output::keyed(Topic::Standing, standing.account.to_key(), payload, 0)]);
    }

    fn status_of(standings: &Standings, number: u32) -> Option<StandingStatus> {
        standings.get(account(number)).map(|known| known.status)
    }

    #[test]
    fn the_latest_word_of_every_account_is_known_and_how_old_the_table_is() {
        let rig = Rig::new(3);
        let standings = Arc::new(Standings::default());
        let mut follower = Follower::new(rig.log.clone(), rig.wire.clone(), None, standings.clone());
        assert_eq!(standings.stale_ms(5), None, "it has read nothing yet");
        (0..20).for_each(|number| put(&rig, &standing(number, StandingStatus::Suspended, 100)));
        put(&rig, &standing(7, StandingStatus::Good, 200));
        follower.run_once(1_000).unwrap();
        assert_eq!((standings.len(), standings.stale_ms(1_600)), (20, Some(600)));
        assert_eq!(status_of(&standings, 3), Some(StandingStatus::Suspended));
        assert_eq!(status_of(&standings, 7), Some(StandingStatus::Good));
        put(&rig, &standing(3, StandingStatus::Limited, 300));
        follower.run_once(2_000).unwrap();
        assert_eq!(status_of(&standings, 3), Some(StandingStatus::Limited));
        assert_eq!(standings.stale_ms(1_000), Some(0), "a clock that goes back makes nothing fresh or old");
    }

    #[test]
    fn who_has_stood_well_for_a_day_is_not_remembered() {
        let rig = Rig::new(1);
        let standings = Arc::new(Standings::default());
        put(&rig, &standing(1, StandingStatus::Good, 0));
        put(&rig, &standing(2, StandingStatus::Good, 1));
        let mut follower = Follower::new(rig.log.clone(), rig.wire.clone(), None, standings.clone());
        follower.run_once(WATCH_MS).unwrap();
        assert_eq!((status_of(&standings, 1), status_of(&standings, 2)), (None, Some(StandingStatus::Good)));
    }

    #[test]
    fn a_record_that_cannot_be_read_or_is_of_another_account_changes_nothing_and_is_counted() {
        let rig = Rig::new(1);
        let standings = Arc::new(Standings::default());
        put(&rig, &standing(1, StandingStatus::Suspended, 0));
        let misplaced = rig.wire.to_bytes(&standing(2, StandingStatus::Good, 0));
        for payload in [b"garbage".to_vec(), misplaced] {
            rig.put(vec![Output::keyed(Topic::Standing, account(1).to_key(), payload, 0)]);
        }
        rig.put(vec![Output::keyed(Topic::Standing, account(3).to_key(), b"garbage".to_vec(), 0)]);
        let mut follower = Follower::new(rig.log.clone(), rig.wire.clone(), None, standings.clone());
        follower.run_once(1_000).unwrap();
        assert_eq!((standings.get(account(2)), standings.get(account(3))), (None, None));
        assert!(standings.take_losses().1 >= 1);
        assert_eq!(standings.take_losses(), (0, 0));
    }
}
