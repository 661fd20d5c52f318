//! What the log says is in force on an account, or on those of a tenant, for an operator's word that undoes
//! it: an enforcer's state may have lost the account.

use super::records::each_record_while;
use anyhow::Result;
use std::collections::BTreeMap;
use weir_enforcer::limits::OPEN_MAX;
use weir_enforcer::reinstate::{Reinstated, can_be_undone};
use weir_enforcer::safeguards::REINSTATE_NAME;
use weir_enforcer::subject::Subject;
use weir_schemas::wire::Wire;
use weir_schemas::{
    AccountId, Action, ActionId, ActionKind, ActionState, Control, Revert, Standing, StandingStatus,
};
use weir_topology::key::partition_of;
use weir_topology::log::Log;
use weir_topology::topic::Topic;

/// Most accounts of a tenant for which one word names what is in force. Whoever says it again has the rest
/// undone.
const ACCOUNTS_MAX: usize = 1_000;

/// What is to be published of this word: the same, with what is in force on its account; of a tenant's, such
/// a word for each of its accounts before it, so that enforcers find nothing left that was named; any other
/// as it is. `goes_on` is asked before each batch of records that is looked at: none where it says no.
///
/// # Errors
/// When the log cannot be read.
pub fn named(
    log: &dyn Log,
    wire: &Wire,
    control: Control,
    goes_on: impl Fn() -> bool,
) -> Result<Option<Vec<Control>>> {
    if !is_looked_up(&control) {
        return Ok(Some(vec![control]));
    }
    // What is malformed the enforcer refuses, and says so.
    let Ok(Reinstated { subject, named }) = Reinstated::parse(&control.body) else {
        return Ok(Some(vec![control]));
    };
    if !named.is_empty() {
        return Ok(Some(vec![control]));
    }
    let partitions = log.partitions(Topic::Actions)?;
    let word = |account, partition, named: Vec<Action>| {
        let named = named.into_iter().map(|action| (partition, action)).collect();
        let word = Reinstated { subject: Subject::Account(account), named };
        Control { body: word.body(), ..control.clone() }
    };
    match subject {
        Subject::Account(account) => {
            let partition = partition_of(&account.to_key(), partitions);
            let key = account.to_key();
            let found = in_force(log, wire, partition, Meant::Account(&key), &goes_on)?;
            Ok(found
                .map(|mut found| vec![word(account, partition, found.remove(&account).unwrap_or_default())]))
        }
        Subject::Tenant(tenant) => {
            let mut words = Vec::new();
            for partition in 0..partitions {
                let found = in_force(log, wire, partition, Meant::Tenant(&tenant), &goes_on)?;
                let Some(found) = found else { return Ok(None) };
                words.extend(found.into_iter().map(|(account, named)| word(account, partition, named)));
            }
            if words.len() > ACCOUNTS_MAX {
                let (accounts, named) = (words.len(), ACCOUNTS_MAX);
                tracing::warn!(
                    accounts,
                    named,
                    "a tenant has more accounts than a word names: say it again for the rest"
                );
                words.truncate(ACCOUNTS_MAX);
            }
            words.push(control);
            Ok(Some(words))
        }
    }
}

/// Whether the log has to be looked through before this word is published.
pub fn is_looked_up(control: &Control) -> bool {
    control.name == REINSTATE_NAME
}

/// Of whom it is looked up what is in force.
#[derive(Clone, Copy)]
enum Meant<'m> {
    /// Of the account with this key.
    Account(&'m [u8]),
    /// Of every account of this tenant.
    Tenant(&'m str),
}

impl Meant<'_> {
    /// Whether a record of this key may be: it need not be read otherwise.
    fn may_be(self, key: &[u8]) -> bool {
        matches!(self, Self::Tenant(_)) || self.is_of(key, "")
    }

    fn is_of(self, key: &[u8], tenant: &str) -> bool {
        match self {
            Self::Account(account) => account == key,
            Self::Tenant(name) => name == tenant,
        }
    }
}

/// By account that is meant, of whom there are any: actions that have not come to their end, by all that the
/// log has of a partition; and the one by which it was last told to stand, where the log has forgotten its
/// course. None where `goes_on` says no.
fn in_force(
    log: &dyn Log,
    wire: &Wire,
    partition: u32,
    meant: Meant<'_>,
    goes_on: impl Fn() -> bool,
) -> Result<Option<BTreeMap<AccountId, Vec<Action>>>> {
    // Of what cannot be undone any more it is enough that it was there: a large tenant has many of them.
    let mut last: BTreeMap<AccountId, BTreeMap<ActionId, Option<Action>>> = BTreeMap::new();
    let is_read = each_record_while(log, Topic::Actions, partition, &goes_on, |record| {
        if meant.may_be(record.key)
            && let Ok(action) = wire.read::<Action>(record.payload.unwrap_or_default())
            && meant.is_of(record.key, &action.tenant)
        {
            let of_account = last.entry(action.account).or_default();
            of_account.insert(action.action_id, Some(action).filter(can_be_undone));
        }
    })?;
    if !is_read {
        return Ok(None);
    }
    let mut stands: BTreeMap<Vec<u8>, Standing> = BTreeMap::new();
    let is_read = each_record_while(log, Topic::Standing, partition, &goes_on, |record| {
        let payload = record.payload.filter(|_| meant.may_be(record.key));
        match payload.map(|payload| wire.read::<Standing>(payload)) {
            Some(Ok(standing)) if meant.is_of(record.key, &standing.tenant) => {
                stands.insert(record.key.to_vec(), standing);
            }
            // What was told is taken back.
            None => drop(stands.remove(record.key)),
            Some(_) => {}
        }
    })?;
    if !is_read {
        return Ok(None);
    }
    let mut in_force: BTreeMap<AccountId, Vec<Action>> = BTreeMap::new();
    for standing in stands.values() {
        let is_known = last.get(&standing.account).is_some_and(|last| last.contains_key(&standing.action_id));
        if let Some(action) = behind(standing).filter(|_| !is_known) {
            in_force.entry(standing.account).or_default().push(action);
        }
    }
    for (account, last) in last {
        let open: Vec<Action> = last.into_values().flatten().collect();
        if !open.is_empty() {
            in_force.entry(account).or_default().extend(open);
        }
    }
    for actions in in_force.values_mut() {
        // No word names more. Whoever says it again has the rest undone.
        actions.sort_by_key(|action| std::cmp::Reverse(action.taken_ms));
        actions.truncate(OPEN_MAX);
    }
    Ok(Some(in_force))
}

/// The action by which an account stands so; none where nothing is in force.
fn behind(standing: &Standing) -> Option<Action> {
    if standing.status == StandingStatus::Good {
        return None;
    }
    let kinds = [ActionKind::RateLimit, ActionKind::Suspend, ActionKind::ClusterTakedown];
    let kind =
        kinds.into_iter().find(|kind| ActionId::of(standing.verdict_id, *kind) == standing.action_id)?;
    let until_ms = standing.until_ms;
    Some(Action {
        action_id: standing.action_id,
        time_ms: standing.since_ms,
        tenant: standing.tenant.clone(),
        account: standing.account,
        verdict_id: standing.verdict_id,
        kind,
        ring: if kind == ActionKind::RateLimit { 2 } else { 3 },
        state: if until_ms.is_some() { ActionState::Done } else { ActionState::Expired },
        reason: "told by weir.standing alone".into(),
        expires_ms: Some(until_ms.unwrap_or(standing.since_ms)),
        revert: if until_ms.is_some() { Revert::Auto } else { Revert::Manual },
        taken_ms: standing.since_ms,
        lasts_ms: Some(until_ms.map_or(0, |until_ms| until_ms - standing.since_ms)),
        ..Action::default()
    })
}
