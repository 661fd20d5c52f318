//! Who stands behind an account: the sealed identities of `weir.identities`, by account.
//!
//! The topic is a table of which the latest record of a key suffices, so all of it is read at the start and
//! followed from then on; memory is what the topic holds, up to a limit. A collector commits an identity with
//! the first event that needs it, long before a verdict or an action, so whoever reads up to the topic's end
//! after it saw an action finds it.

use crate::limits::{
    FOLLOW_WAIT, FOLLOW_WAITS_MAX, IDENTITIES_MAX, ROUND_RECORDS_MAX, SEALED_BYTES_MAX, TAKE_BYTES_MAX,
};
use crate::open::{OpenError, Opened, Opener};
use std::collections::HashMap;
use std::sync::Arc;
use thiserror::Error;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Identity};
use weir_topology::key::partition_of;
use weir_topology::log::{Log, LogError, Position, Reader, read_range};
use weir_topology::record::Records;
use weir_topology::task::SchemaSource;
use weir_topology::topic::Topic;

/// Why the raw id of an account cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Unknown {
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
pub(crate) struct Identities {
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    schemas: Option<Arc<dyn SchemaSource>>,
    opener: Opener,
    partitions: HashMap<u32, Lane>,
    /// Identities that were refused and forgotten since they were last asked for.
    refused: u64,
    forgotten: u64,
}

/// One partition: two generations, of which the younger takes what is announced and the older is dropped
/// when it is full.
struct Lane {
    reader: Box<dyn Reader>,
    young: HashMap<AccountId, Box<[u8]>>,
    old: HashMap<AccountId, Box<[u8]>>,
}

impl Identities {
    pub fn new(log: Arc<dyn Log>, wire: Arc<Wire>, opener: Opener) -> Self {
        Self { log, wire, schemas: None, opener, partitions: HashMap::new(), refused: 0, forgotten: 0 }
    }

    /// Looks unknown registry ids up there from now on.
    pub fn set_schemas(&mut self, schemas: Arc<dyn SchemaSource>) {
        self.schemas = Some(schemas);
    }

    /// Opens the identity of an account.
    pub fn open(&mut self, account: AccountId) -> Result<Result<Opened, Unknown>, LogError> {
        let partition = partition_of(&account.to_key(), self.log.partitions(Topic::Identities)?);
        if let Err(error) = self.follow(partition) {
            // Whatever its reader has missed is read again.
            self.partitions.remove(&partition);
            return Err(error);
        }
        let lane = self.partitions.get(&partition);
        let Some(latest) = lane.and_then(|lane| lane.young.get(&account).or_else(|| lane.old.get(&account)))
        else {
            return Ok(Err(Unknown::NotAnnounced));
        };
        let latest = latest.to_vec();
        match self.try_open(account, &latest)? {
            Ok(opened) => Ok(Ok(opened)),
            Err(error) => {
                self.refused += 1;
                self.open_older(partition, account, error)
            }
        }
    }

    /// Whoever writes what is not to be believed must not hide what is: tries every record of the account
    /// that the log still has, the latest first.
    fn open_older(
        &mut self,
        partition: u32,
        account: AccountId,
        error: OpenError,
    ) -> Result<Result<Opened, Unknown>, LogError> {
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
                self.keep(partition, account, payload);
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

    /// Reads what was announced up to the topic's end as of now.
    fn follow(&mut self, partition: u32) -> Result<(), LogError> {
        let (first, end) = self.log.bounds(Topic::Identities, partition)?;
        if !self.partitions.contains_key(&partition) {
            let reader = self.log.reader(&[Position { topic: Topic::Identities, partition, next: first }])?;
            let lane = Lane { reader, young: HashMap::new(), old: HashMap::new() };
            self.partitions.insert(partition, lane);
        }
        for _ in 0..FOLLOW_WAITS_MAX {
            let Some(lane) = self.partitions.get_mut(&partition) else { return Ok(()) };
            if lane.reader.next(0) >= end {
                return Ok(());
            }
            let mut records = Records::default();
            lane.reader.wait(FOLLOW_WAIT)?;
            lane.reader.take(0, ROUND_RECORDS_MAX, TAKE_BYTES_MAX, &mut records)?;
            for record in records.iter() {
                let Ok(account) = AccountId::from_key(record.key) else { continue };
                match record.payload {
                    Some(payload) => self.keep(partition, account, payload),
                    None => self.drop_one(partition, account),
                }
            }
        }
        let reason = format!("{}/{partition} does not give what it is said to hold", Topic::Identities);
        Err(LogError::Unavailable { reason })
    }

    fn keep(&mut self, partition: u32, account: AccountId, payload: &[u8]) {
        let Some(lane) = self.partitions.get_mut(&partition) else { return };
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

    fn drop_one(&mut self, partition: u32, account: AccountId) {
        if let Some(lane) = self.partitions.get_mut(&partition) {
            lane.young.remove(&account);
            lane.old.remove(&account);
        }
    }

    /// How many identities were refused, and how many were forgotten, since the last call.
    pub fn take_counts(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.refused), std::mem::take(&mut self.forgotten))
    }
}
