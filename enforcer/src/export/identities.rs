//! Who stands behind an account: the sealed identities of `weir.identities`, by account.
//!
//! The topic is a table of which the latest record of a key suffices, so all of it is read at the start and
//! followed from then on; memory is what the topic holds, up to a limit. A collector commits an identity with
//! the first event that needs it, long before a verdict or an action, so whoever reads up to the topic's end
//! after it saw an action finds it.
//!
//! Whoever may write to the topic may overwrite what another collector announced. So what is known of an
//! account gives way only to what opens and makes the account's pseudonym. Only where the enforcer was not
//! there when it was overwritten, and the log has already compacted what was, must it wait until the account
//! is announced again.

use crate::limits::{FOLLOW_WAIT, IDENTITIES_MAX, ROUND_RECORDS_MAX, SEALED_BYTES_MAX, TAKE_BYTES_MAX};
use crate::open::{OpenError, Opened, Opener};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Identity};
use weir_topology::history::read_range;
use weir_topology::key::partition_of;
use weir_topology::log::{Log, LogError, Position, Reader};
use weir_topology::record::Records;
use weir_topology::stall::Stall;
use weir_topology::task::SchemaSource;
use weir_topology::topic::Topic;

/// Why the raw id of an account cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unknown {
    /// Nobody announced it, or its retention has passed.
    #[error(
        "weir.identities has no identity of this account: it was never announced, or is older than 90 days"
    )]
    NotAnnounced,
    /// None of what was announced is to be believed.
    #[error(transparent)]
    Refused(OpenError),
}

/// Sealed identities, and what opens them.
pub struct Identities {
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    schemas: Option<Arc<dyn SchemaSource>>,
    opener: Opener,
    /// Those that are followed, in the reader's order.
    partitions: Vec<u32>,
    lanes: Vec<Lane>,
    /// None before the first look, and after one that failed: then what it may have missed is read again.
    reader: Option<Box<dyn Reader>>,
    /// Identities that were refused and forgotten since they were last asked for.
    refused: u64,
    forgotten: u64,
}

/// One partition: two generations, of which the younger takes what is announced and the older is dropped
/// when it is full.
#[derive(Default)]
struct Lane {
    young: HashMap<AccountId, Box<[u8]>>,
    old: HashMap<AccountId, Box<[u8]>>,
}

impl Identities {
    /// Follows the identities of these partitions, and opens them with `opener`.
    pub fn new(log: Arc<dyn Log>, wire: Arc<Wire>, opener: Opener, partitions: Vec<u32>) -> Self {
        let lanes = partitions.iter().map(|_| Lane::default()).collect();
        let (schemas, reader, refused, forgotten) = (None, None, 0, 0);
        Self { log, wire, schemas, opener, partitions, lanes, reader, refused, forgotten }
    }

    /// Looks unknown registry ids up there from now on.
    pub fn set_schemas(&mut self, schemas: Arc<dyn SchemaSource>) {
        self.schemas = Some(schemas);
    }

    /// How many accounts are known.
    pub fn known(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.young.len() + lane.old.len()).sum::<usize>() as u64
    }

    /// Opens the identity of an account.
    pub fn open(&mut self, account: AccountId) -> Result<Result<Opened, Unknown>, LogError> {
        let partition = partition_of(&account.to_key(), self.log.partitions(Topic::Identities)?);
        let index = self.index_of(partition);
        self.follow(index)?;
        let Some(known) = self.lanes[index].get(account) else { return Ok(Err(Unknown::NotAnnounced)) };
        match self.try_open(account, &known)? {
            Ok(opened) => Ok(Ok(opened)),
            Err(error) => {
                self.refused += 1;
                self.open_older(index, account, error)
            }
        }
    }

    /// Tries every record of the account that the log still has, the latest first.
    fn open_older(
        &mut self,
        index: usize,
        account: AccountId,
        error: OpenError,
    ) -> Result<Result<Opened, Unknown>, LogError> {
        let partition = self.partitions[index];
        let (first, end) = self.log.bounds(Topic::Identities, partition)?;
        let (key, mut found) = (account.to_key(), Vec::new());
        read_range(self.log.as_ref(), Topic::Identities, partition, first, end, |records| {
            for record in records.iter().filter(|record| record.key == key) {
                found.extend(
                    record.payload.filter(|payload| payload.len() <= SEALED_BYTES_MAX).map(Box::from),
                );
            }
            Ok(())
        })?;
        for payload in found.iter().rev() {
            let payload: &[u8] = payload;
            if let Ok(opened) = self.try_open(account, payload)? {
                self.keep(index, account, payload);
                return Ok(Ok(opened));
            }
        }
        Ok(Err(Unknown::Refused(error)))
    }

    fn try_open(&self, account: AccountId, payload: &[u8]) -> Result<Result<Opened, OpenError>, LogError> {
        if let (Some(schemas), Some(id)) = (&self.schemas, self.wire.unknown_id(payload)) {
            schemas.learn(id, &self.wire)?;
        }
        let Ok(identity) = self.wire.read::<Identity>(payload) else { return Ok(Err(OpenError::Malformed)) };
        // The key decides whose it is said to be.
        if identity.account != account {
            return Ok(Err(OpenError::Substituted));
        }
        Ok(self.opener.open(&identity))
    }

    /// Takes in what was announced of late, without waiting for any of it.
    pub fn keep_up(&mut self) -> Result<(), LogError> {
        self.read_on(Duration::ZERO)
    }

    /// Reads what was announced up to the end of a partition as of now.
    fn follow(&mut self, index: usize) -> Result<(), LogError> {
        let (_, end) = self.log.bounds(Topic::Identities, self.partitions[index])?;
        let mut stall = Stall::default();
        loop {
            // It is opened by the first read.
            let next = self.reader.as_ref().map_or(-1, |reader| reader.next(index));
            if next >= end {
                return Ok(());
            }
            stall.check(next, Topic::Identities, self.partitions[index])?;
            self.read_on(FOLLOW_WAIT)?;
        }
    }

    /// Takes in some of what was announced next. A reader that failed is not used again.
    fn read_on(&mut self, wait: Duration) -> Result<(), LogError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => {
                let first = |partition: &u32| {
                    let (next, _) = self.log.bounds(Topic::Identities, *partition)?;
                    Ok(Position { topic: Topic::Identities, partition: *partition, next })
                };
                let from = self.partitions.iter().map(first).collect::<Result<Vec<_>, LogError>>()?;
                self.log.reader(&from)?
            }
        };
        reader.wait(wait)?;
        for index in 0..self.partitions.len() {
            let mut records = Records::default();
            reader.take(index, ROUND_RECORDS_MAX, TAKE_BYTES_MAX, &mut records)?;
            for record in records.iter() {
                let Ok(account) = AccountId::from_key(record.key) else { continue };
                match record.payload {
                    Some(payload) => self.announced(index, account, payload)?,
                    None => self.lanes[index].remove(account),
                }
            }
        }
        self.reader = Some(reader);
        Ok(())
    }

    /// Takes in what was announced, unless what is known already is to be believed and this is not.
    fn announced(&mut self, index: usize, account: AccountId, payload: &[u8]) -> Result<(), LogError> {
        let known = self.lanes[index].get(account).filter(|known| **known != *payload);
        if let Some(known) = known
            && self.try_open(account, payload)?.is_err()
        {
            self.refused += 1;
            if self.try_open(account, &known)?.is_ok() {
                return Ok(());
            }
        }
        self.keep(index, account, payload);
        Ok(())
    }

    fn keep(&mut self, index: usize, account: AccountId, payload: &[u8]) {
        let lane = &mut self.lanes[index];
        if payload.len() > SEALED_BYTES_MAX {
            self.refused += 1;
            return;
        }
        if lane.young.len() >= IDENTITIES_MAX / 2 && !lane.young.contains_key(&account) {
            self.forgotten += lane.old.len() as u64;
            lane.old = std::mem::take(&mut lane.young);
        }
        lane.old.remove(&account);
        lane.young.insert(account, payload.into());
    }

    /// Where a partition stands in the reader, which follows it from now on.
    fn index_of(&mut self, partition: u32) -> usize {
        if let Some(index) = self.partitions.iter().position(|followed| *followed == partition) {
            return index;
        }
        self.partitions.push(partition);
        self.lanes.push(Lane::default());
        self.reader = None;
        self.partitions.len() - 1
    }

    /// How many identities were refused, and how many were forgotten, since the last call.
    pub fn take_counts(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.refused), std::mem::take(&mut self.forgotten))
    }
}

impl Lane {
    fn get(&self, account: AccountId) -> Option<Box<[u8]>> {
        self.young.get(&account).or_else(|| self.old.get(&account)).cloned()
    }

    fn remove(&mut self, account: AccountId) {
        self.young.remove(&account);
        self.old.remove(&account);
    }
}
