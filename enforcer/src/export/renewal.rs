//! An identity outlives its retention while something is in force on its account.
//!
//! Whoever was cut off for good asks no more, so no collector announces them again, and after 90 days nobody could say who is
//! to be let back in. So of each account that does not stand well the enforcer writes the identity once more, as it was
//! sealed, when its record has become old: nothing is opened for it, and nothing leaves the enforcer that was not there.

use super::identities::Identities;
use crate::limits::{IDENTITY_RENEWED_AFTER, RENEWED_PER_COMMIT_MAX};
use std::collections::BTreeSet;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Standing, StandingStatus};
use weir_topology::history::read_range;
use weir_topology::log::{Commit, Log, LogError};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

/// Writes the old identities of one partition's accounts on which something is in force once more; how many. Identities and
/// standings of an account lie in the same partition of their topics.
pub(crate) fn renew(
    log: &dyn Log,
    wire: &Wire,
    identities: &mut Identities,
    partition: u32,
    now_ms: i64,
) -> Result<u64, LogError> {
    let before_ms = now_ms - IDENTITY_RENEWED_AFTER.as_millis() as i64;
    let mut old = Vec::new();
    for account in held(log, wire, partition)? {
        if identities.older_than(before_ms, account)?.is_some() {
            old.push(account);
        }
    }
    if old.is_empty() {
        return Ok(0);
    }
    // Fences whoever renewed this partition before.
    let mut writer = log.writer(&format!("executor/renewal/{partition}"))?;
    let mut renewed = 0;
    for accounts in old.chunks(RENEWED_PER_COMMIT_MAX) {
        let mut outputs = Vec::new();
        for account in accounts {
            // Looked at once more: somebody may have been forgotten on request meanwhile.
            let sealed = identities.older_than(before_ms, *account)?;
            outputs.extend(
                sealed
                    .map(|sealed| Output::keyed(Topic::Identities, account.to_key(), sealed.into(), now_ms)),
            );
        }
        renewed += outputs.len() as u64;
        writer.commit(&Commit { outputs, positions: Vec::new() })?;
    }
    Ok(renewed)
}

/// Accounts of a partition on which something is in force.
fn held(log: &dyn Log, wire: &Wire, partition: u32) -> Result<BTreeSet<AccountId>, LogError> {
    let (first, end) = log.bounds(Topic::Standing, partition)?;
    let mut held = BTreeSet::new();
    read_range(log, Topic::Standing, partition, first, end, |records| {
        for record in records.iter() {
            let Ok(account) = AccountId::from_key(record.key) else { continue };
            let standing = record.payload.and_then(|payload| wire.read::<Standing>(payload).ok());
            match standing.is_some_and(|standing| standing.status != StandingStatus::Good) {
                true => held.insert(account),
                false => held.remove(&account),
            };
        }
        Ok(())
    })?;
    Ok(held)
}
