//! How every account stands, in memory: all of `weir.standing`, read from its beginning and followed from
//! there.
//!
//! The topic is a table of which the latest record of a key suffices; one without a payload takes back what
//! was told. Whoever serves a gateway reads all of it, so that it needs neither the log nor another server to
//! answer.

use crate::limits::{
    FOLLOW_WAIT, ROUND_RECORDS_MAX, STANDINGS_AWAY_MS, STANDINGS_MAX, TAKE_BYTES_MAX, WATCH_MS,
};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, ActionId, Standing, StandingEvidence, StandingStatus, VerdictId};
use weir_topology::log::{Log, LogError, Position, Reader};
use weir_topology::record::Records;
use weir_topology::stall::Stall;
use weir_topology::task::SchemaSource;
use weir_topology::topic::Topic;

/// What is known of an account.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Whose account it is. Shared with the tenant's other accounts.
    pub tenant: Arc<str>,
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
    /// What that rests on; none where the enforcer did not know. Shared with whoever is told of it.
    pub evidence: Option<Arc<StandingEvidence>>,
}

/// The table, which a follower fills and servers read.
#[derive(Debug, Default)]
pub struct Standings(RwLock<Table>);

#[derive(Debug, Default)]
struct Table {
    by_account: HashMap<AccountId, Known>,
    /// The tenants of those accounts, each once.
    tenants: HashSet<Arc<str>>,
    /// When the table was as the log was, in milliseconds since the Unix epoch.
    fresh_ms: Option<i64>,
    /// Accounts that there was no room for, since they were last asked for.
    untold: u64,
    unreadable: u64,
}

impl Standings {
    /// What is known of an account.
    pub fn get(&self, account: AccountId) -> Option<Known> {
        self.read().by_account.get(&account).cloned()
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
        let mut table = self.write();
        (std::mem::take(&mut table.untold), std::mem::take(&mut table.unreadable))
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
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
        let tenant = self.shared(&standing.tenant);
        let Standing { status, since_ms, until_ms, action_id, verdict_id, evidence, .. } = standing;
        let evidence = evidence.map(Arc::new);
        let known = Known { tenant, status, since_ms, until_ms, action_id, verdict_id, evidence };
        self.by_account.insert(account, known);
    }

    /// The one copy of a tenant's name.
    fn shared(&mut self, tenant: &str) -> Arc<str> {
        if let Some(tenant) = self.tenants.get(tenant) {
            return tenant.clone();
        }
        // Accounts go, and their tenants' names after them: the table's own copy is the last.
        if self.tenants.len() > self.by_account.len() {
            self.tenants.retain(|tenant| Arc::strong_count(tenant) > 1);
        }
        let tenant: Arc<str> = tenant.into();
        self.tenants.insert(tenant.clone());
        tenant
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
    /// None before the first look, and after one that failed.
    reader: Option<Box<dyn Reader>>,
    /// How far each partition is in the table; empty before the first look.
    reached: Vec<i64>,
    /// As of when nothing is missing from what was read up to there, in milliseconds since the Unix epoch.
    whole_ms: i64,
    /// Where the log does not go on from there: what takes the table's place when it was read to its end.
    fresh: Option<Table>,
}

impl Follower {
    /// A follower of `log`, which looks unknown registry ids up in `schemas`.
    pub fn new(
        log: Arc<dyn Log>,
        wire: Arc<Wire>,
        schemas: Option<Arc<dyn SchemaSource>>,
        standings: Arc<Standings>,
    ) -> Self {
        Self { log, wire, schemas, standings, reader: None, reached: Vec::new(), whole_ms: 0, fresh: None }
    }

    /// Reads up to the end as of now, which then is `now_ms` old. What it read stands even where this fails:
    /// the next look goes on from there, and takes no account back to how it stood before.
    pub fn run_once(&mut self, now_ms: i64) -> Result<(), LogError> {
        let outcome = self.try_once(now_ms);
        if outcome.is_err() {
            self.reader = None;
        }
        outcome
    }

    fn try_once(&mut self, now_ms: i64) -> Result<(), LogError> {
        // The log keeps for a while only that something was taken back; who has not seen it would hold on to
        // it for good.
        let was_away = now_ms.saturating_sub(self.whole_ms) > STANDINGS_AWAY_MS;
        let mut reader = match self.reader.take().filter(|_| !was_away) {
            Some(reader) => reader,
            None => self.open(now_ms, was_away)?,
        };
        let ends = self.bounds()?.into_iter().map(|(_, end)| end).collect::<Vec<_>>();
        let mut stall = Stall::default();
        while let Some(behind) =
            ends.iter().enumerate().position(|(partition, end)| reader.next(partition) < *end)
        {
            stall.check(self.reached.iter().sum(), Topic::Standing, behind as u32)?;
            reader.wait(FOLLOW_WAIT)?;
            for partition in 0..ends.len() {
                let mut records = Records::default();
                reader.take(partition, ROUND_RECORDS_MAX, TAKE_BYTES_MAX, &mut records)?;
                self.take(&records, now_ms)?;
                self.reached[partition] = reader.next(partition);
            }
        }
        self.reader = Some(reader);
        self.whole_ms = now_ms;
        let mut table = self.standings.write();
        if let Some(fresh) = self.fresh.take() {
            table.by_account = fresh.by_account;
            table.tenants = fresh.tenants;
            table.untold += fresh.untold;
            table.unreadable += fresh.unreadable;
        }
        table.fresh_ms = Some(now_ms);
        Ok(())
    }

    /// A reader from where the table is. Where the log does not have that (records were deleted, or the topic
    /// was made anew), or no longer has all that came since, all of it is read into a fresh table, and
    /// gateways are answered from the old one meanwhile.
    fn open(&mut self, now_ms: i64, was_away: bool) -> Result<Box<dyn Reader>, LogError> {
        let bounds = self.bounds()?;
        let is_there = |(reached, (first, end)): (&i64, &(i64, i64))| (first..=end).contains(&reached);
        let goes_on = self.reached.len() == bounds.len() && self.reached.iter().zip(&bounds).all(is_there);
        if !goes_on || was_away {
            self.whole_ms = now_ms;
            self.fresh = (!self.reached.is_empty()).then(Table::default);
            self.reached = bounds.into_iter().map(|(first, _)| first).collect();
        }
        let from = self.reached.iter().zip(0..).map(|(next, partition)| Position {
            topic: Topic::Standing,
            partition,
            next: *next,
        });
        self.log.reader(&from.collect::<Vec<_>>())
    }

    /// The first offset of each partition, and the one after its last.
    fn bounds(&self) -> Result<Vec<(i64, i64)>, LogError> {
        let partitions = self.log.partitions(Topic::Standing)?;
        (0..partitions).map(|partition| self.log.bounds(Topic::Standing, partition)).collect()
    }

    /// Takes all of these records, or none.
    fn take(&mut self, records: &Records, now_ms: i64) -> Result<(), LogError> {
        if let Some(schemas) = &self.schemas {
            for id in records.iter().filter_map(|record| self.wire.unknown_id(record.payload?)) {
                schemas.learn(id, &self.wire)?;
            }
        }
        for record in records.iter() {
            let standing = record.payload.map(|payload| self.wire.read::<Standing>(payload));
            let mut live;
            let table = match &mut self.fresh {
                Some(fresh) => fresh,
                None => {
                    live = self.standings.write();
                    &mut *live
                }
            };
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Rig, account};
    use std::sync::Mutex;
    use std::time::Duration;
    use weir_topology::log::Writer;
    use weir_topology::record::Output;

    #[test]
    fn the_names_of_tenants_go_with_their_accounts() {
        let mut table = Table::default();
        let standing = |number: u32| Standing {
            tenant: format!("tenant-{number}"),
            status: StandingStatus::Suspended,
            ..Standing::default()
        };
        for number in 0..100 {
            table.take(account(number), Some(standing(number)), 1_000);
        }
        assert_eq!(table.tenants.len(), 100);
        (0..99).for_each(|number| table.take(account(number), None, 1_000));
        table.take(account(100), Some(standing(100)), 1_000);
        let mut left: Vec<&str> = table.tenants.iter().map(AsRef::as_ref).collect();
        left.sort_unstable();
        assert_eq!(left, ["tenant-100", "tenant-99"]);
    }

    /// A log that breaks, gives records one at a time, was not compacted yet, and forgets its oldest.
    struct Hostile {
        log: Arc<dyn Log>,
        moods: Arc<Mutex<Moods>>,
    }

    #[derive(Default)]
    struct Moods {
        /// How many more records are given before every call fails.
        gives: Option<usize>,
        first: i64,
        /// The key of which the log has no records any more.
        forgot: Option<Vec<u8>>,
    }

    struct HostileReader {
        reader: Box<dyn Reader>,
        moods: Arc<Mutex<Moods>>,
    }

    /// Where its records are, for one in memory compacts at once.
    const UNCOMPACTED: Topic = Topic::Events;

    fn away() -> LogError {
        LogError::Unavailable { reason: "broken by the test".to_owned() }
    }

    impl Log for Hostile {
        fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
            assert_eq!(topic, Topic::Standing);
            self.log.partitions(UNCOMPACTED)
        }

        fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
            assert_eq!(topic, Topic::Standing);
            let (first, end) = self.log.bounds(UNCOMPACTED, partition)?;
            Ok((first.max(self.moods.lock().unwrap().first), end))
        }

        fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
            let from = from.iter().map(|at| Position { topic: UNCOMPACTED, ..*at }).collect::<Vec<_>>();
            Ok(Box::new(HostileReader { reader: self.log.reader(&from)?, moods: self.moods.clone() }))
        }

        fn writer(&self, name: &str) -> Result<Box<dyn Writer>, LogError> {
            self.log.writer(name)
        }
    }

    impl Reader for HostileReader {
        fn wait(&mut self, wait: Duration) -> Result<bool, LogError> {
            if self.moods.lock().unwrap().gives == Some(0) { Err(away()) } else { self.reader.wait(wait) }
        }

        fn take(&mut self, input: usize, _: usize, bytes: usize, into: &mut Records) -> Result<(), LogError> {
            if let Some(gives) = &mut self.moods.lock().unwrap().gives {
                *gives = gives.checked_sub(1).ok_or_else(away)?;
            }
            let mut given = Records::default();
            self.reader.take(input, 1, bytes, &mut given)?;
            let forgot = self.moods.lock().unwrap().forgot.clone();
            given
                .iter()
                .filter(|record| Some(record.key) != forgot.as_deref())
                .for_each(|record| into.push_ref(record));
            Ok(())
        }

        fn next(&self, input: usize) -> i64 {
            self.reader.next(input)
        }
    }

    fn standing(number: u32, status: StandingStatus, since_ms: i64) -> Standing {
        Standing { account: account(number), status, since_ms, ..Standing::default() }
    }

    fn put(rig: &Rig, standing: &Standing) {
        put_into(Topic::Standing, rig, standing);
    }

    fn put_into(topic: Topic, rig: &Rig, standing: &Standing) {
        let payload = rig.wire.to_bytes(standing);
        rig.put(vec![Output::keyed(topic, standing.account.to_key(), payload, 0)]);
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

    /// Takes back what was told of an account.
    fn take_back(rig: &Rig, number: u32) {
        rig.put(vec![Output::tombstone(Topic::Standing, account(number).to_key(), 0)]);
    }

    #[test]
    fn what_was_told_holds_until_it_is_taken_back_however_long_that_is() {
        let rig = Rig::new(1);
        let year_ms = 366 * WATCH_MS;
        (1..=2).for_each(|number| put(&rig, &standing(number, StandingStatus::Suspended, 0)));
        put(&rig, &Standing { until_ms: Some(1), ..standing(3, StandingStatus::Limited, 0) });
        take_back(&rig, 3);
        let standings = Arc::new(Standings::default());
        let mut follower = Follower::new(rig.log.clone(), rig.wire.clone(), None, standings.clone());
        follower.run_once(year_ms).unwrap();
        let suspended = Some(StandingStatus::Suspended);
        let told = |number| status_of(&standings, number);
        assert_eq!((told(1), told(2), told(3)), (suspended, suspended, None));
        take_back(&rig, 1);
        follower.run_once(year_ms + 1).unwrap();
        assert_eq!((told(1), told(2), standings.len()), (None, suspended, 1));
    }

    #[test]
    fn a_server_that_was_away_while_the_log_forgot_a_tombstone_holds_on_to_nothing() {
        for (away_ms, has_error, expected) in [
            (STANDINGS_AWAY_MS, false, Some(StandingStatus::Suspended)),
            (STANDINGS_AWAY_MS + 1, false, None),
            (STANDINGS_AWAY_MS + 1, true, None),
        ] {
            let rig = Rig::new(1);
            let standings = Arc::new(Standings::default());
            let moods = Arc::new(Mutex::new(Moods::default()));
            let log = Arc::new(Hostile { log: rig.log.clone(), moods: moods.clone() });
            let mut follower = Follower::new(log, rig.wire.clone(), None, standings.clone());
            put_into(UNCOMPACTED, &rig, &standing(1, StandingStatus::Suspended, 1));
            put_into(UNCOMPACTED, &rig, &standing(2, StandingStatus::Limited, 1));
            follower.run_once(1_000).unwrap();
            // The log has nothing of account 1 any more, and the follower's place is still there.
            moods.lock().unwrap().forgot = Some(account(1).to_key());
            if has_error {
                moods.lock().unwrap().gives = Some(0);
                put_into(UNCOMPACTED, &rig, &standing(4, StandingStatus::Limited, 1));
                assert!(follower.run_once(1_001).is_err());
                moods.lock().unwrap().gives = None;
            }
            follower.run_once(1_000 + away_ms).unwrap();
            assert_eq!(status_of(&standings, 1), expected, "away for {away_ms}");
            assert_eq!(status_of(&standings, 2), Some(StandingStatus::Limited));
        }
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

    #[test]
    fn a_log_that_breaks_takes_no_account_back_to_how_it_stood_before() {
        let rig = Rig::new(1);
        let standings = Arc::new(Standings::default());
        let moods = Arc::new(Mutex::new(Moods::default()));
        let log = Arc::new(Hostile { log: rig.log.clone(), moods: moods.clone() });
        let mut follower = Follower::new(log, rig.wire.clone(), None, standings.clone());
        let suspended = Some(StandingStatus::Suspended);
        for (status, since_ms) in [(StandingStatus::Limited, 1), (StandingStatus::Good, 2)] {
            put_into(UNCOMPACTED, &rig, &standing(1, status, since_ms));
        }
        put_into(UNCOMPACTED, &rig, &standing(2, StandingStatus::Limited, 2));
        put_into(UNCOMPACTED, &rig, &standing(1, StandingStatus::Suspended, 3));
        follower.run_once(1_000).unwrap();
        assert_eq!(status_of(&standings, 1), suspended);

        // It breaks, and again after each record that it gives.
        put_into(UNCOMPACTED, &rig, &standing(3, StandingStatus::Suspended, 4));
        for gives in [0, 1, 0] {
            moods.lock().unwrap().gives = Some(gives);
            let _ = follower.run_once(2_000);
            assert_eq!(status_of(&standings, 1), suspended, "{gives}");
        }
        moods.lock().unwrap().gives = None;
        follower.run_once(3_000).unwrap();
        assert_eq!((status_of(&standings, 3), standings.stale_ms(3_000)), (suspended, Some(0)));
    }

    #[test]
    fn a_log_that_lost_its_place_is_read_aside_and_takes_the_tables_place_at_its_end() {
        let rig = Rig::new(1);
        let standings = Arc::new(Standings::default());
        let moods = Arc::new(Mutex::new(Moods::default()));
        let log = Arc::new(Hostile { log: rig.log.clone(), moods: moods.clone() });
        let mut follower = Follower::new(log, rig.wire.clone(), None, standings.clone());
        let (limited, suspended) = (Some(StandingStatus::Limited), Some(StandingStatus::Suspended));
        put_into(UNCOMPACTED, &rig, &standing(1, StandingStatus::Suspended, 1));
        follower.run_once(1_000).unwrap();
        put_into(UNCOMPACTED, &rig, &standing(4, StandingStatus::Good, 2));
        for (status, since_ms) in [(StandingStatus::Good, 3), (StandingStatus::Limited, 4)] {
            put_into(UNCOMPACTED, &rig, &standing(2, status, since_ms));
        }
        // What comes next has passed its retention, and with it what is known of account 1.
        *moods.lock().unwrap() = Moods { gives: Some(0), first: 2, forgot: None };
        assert!(follower.run_once(2_000).is_err());
        moods.lock().unwrap().gives = Some(1);
        assert!(follower.run_once(3_000).is_err());
        assert_eq!((status_of(&standings, 1), status_of(&standings, 2)), (suspended, None), "not yet");
        moods.lock().unwrap().gives = None;
        follower.run_once(4_000).unwrap();
        assert_eq!((status_of(&standings, 1), status_of(&standings, 2)), (None, limited));
    }
}
