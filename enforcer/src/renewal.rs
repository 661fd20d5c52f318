//! An identity outlives its retention while something is in force on its account.
//!
//! Whoever was cut off for good asks no more, so no collector announces them again, and after 90 days
//! nobody could say who is to be let back in. So of each account that does not stand well the enforcer
//! writes the identity once more when its record has become old: the very bytes, which nobody opens for it.

use crate::limits::{IDENTITY_RENEWED_AFTER, RENEWED_PER_COMMIT_MAX, SEALED_BYTES_MAX};
use std::collections::BTreeMap;
use std::ops::Range;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Standing, StandingStatus};
use weir_topology::history::read_range;
use weir_topology::log::{Commit, Log, LogError};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

/// An identity as it was written last; none where it was never announced, or is forgotten.
type Announced = Option<(Box<[u8]>, i64)>;

/// Writes the old identities of one partition's accounts on which something is in force once more; how many.
/// Identities and standings of an account lie in the same partition of their topics.
///
/// # Errors
/// When the log fails, or somebody else renews this partition. What was not renewed is by the next call.
pub fn renew(log: &dyn Log, wire: &Wire, partition: u32, now_ms: i64) -> Result<u64, LogError> {
    let mut held = held(log, wire, partition)?;
    if held.is_empty() {
        return Ok(0);
    }
    let (first, mut read_to) = log.bounds(Topic::Identities, partition)?;
    take_in(log, partition, first..read_to, &mut held)?;
    let before_ms = now_ms - IDENTITY_RENEWED_AFTER.as_millis() as i64;
    let is_old = |announced: &Announced| announced.as_ref().is_some_and(|(_, at_ms)| *at_ms < before_ms);
    held.retain(|_, announced| is_old(announced));
    if held.is_empty() {
        return Ok(0);
    }
    // Fences whoever renewed this partition before.
    let mut writer = log.writer(&format!("executor/renewal/{partition}"))?;
    let accounts: Vec<AccountId> = held.keys().copied().collect();
    let mut renewed = 0;
    for some in accounts.chunks(RENEWED_PER_COMMIT_MAX) {
        // Somebody may have been forgotten on request meanwhile, or announced.
        let (_, end) = log.bounds(Topic::Identities, partition)?;
        take_in(log, partition, read_to..end, &mut held)?;
        read_to = end;
        let old = some.iter().filter_map(|account| Some((account, held.get(account)?.as_ref()?)));
        let outputs: Vec<Output> = old
            .filter(|(_, (_, at_ms))| *at_ms < before_ms)
            .map(|(account, (sealed, _))| {
                Output::keyed(Topic::Identities, account.to_key(), sealed.to_vec(), now_ms)
                    .in_partition(partition)
            })
            .collect();
        renewed += outputs.len() as u64;
        writer.commit(&Commit { outputs, positions: Vec::new() })?;
    }
    Ok(renewed)
}

/// Accounts of a partition on which something is in force, of whose identities nothing was read yet.
fn held(log: &dyn Log, wire: &Wire, partition: u32) -> Result<BTreeMap<AccountId, Announced>, LogError> {
    let (first, end) = log.bounds(Topic::Standing, partition)?;
    let mut held = BTreeMap::new();
    read_range(log, Topic::Standing, partition, first, end, |records| {
        for record in records.iter() {
            let Ok(account) = AccountId::from_key(record.key) else { continue };
            let standing = record.payload.and_then(|payload| wire.read::<Standing>(payload).ok());
            if standing.is_some_and(|standing| standing.status != StandingStatus::Good) {
                held.insert(account, None);
            } else {
                held.remove(&account);
            }
        }
        Ok(())
    })?;
    Ok(held)
}

/// Takes in what these offsets say of the identities of those that are held.
fn take_in(
    log: &dyn Log,
    partition: u32,
    offsets: Range<i64>,
    held: &mut BTreeMap<AccountId, Announced>,
) -> Result<(), LogError> {
    read_range(log, Topic::Identities, partition, offsets.start, offsets.end, |records| {
        for record in records.iter() {
            let Ok(account) = AccountId::from_key(record.key) else { continue };
            if let Some(announced) = held.get_mut(&account) {
                let sealed = record.payload.filter(|sealed| sealed.len() <= SEALED_BYTES_MAX);
                *announced = sealed.map(|sealed| (sealed.into(), record.timestamp_ms));
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;
