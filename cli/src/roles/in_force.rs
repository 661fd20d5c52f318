//! What the log says is in force on an account, or on those of a tenant, for an operator's word that undoes it: an enforcer's state may have
//! lost the account.

use super::records::each_record;
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

/// Most accounts of a tenant for which one word names what is in force. Whoever says it again has the rest undone.
const ACCOUNTS_MAX: usize = 1_000;

/// What is to be published of this word: the same, with what is in force on its account; of a tenant's, such a word for each of its accounts
/// before it, so that enforcers find nothing left that was named; any other as it is. `goes_on` is called for each record that is looked at.
///
/// # Errors
/// When the log cannot be read.
pub fn named(log: &dyn Log, wire: &Wire, control: Control, goes_on: impl Fn()) -> Result<Vec<Control>> {
    if control.name != REINSTATE_NAME {
        return Ok(vec![control]);
    }
    // What is malformed the enforcer refuses, and says so.
    let Ok(Reinstated { subject, named }) = Reinstated::parse(&control.body) else {
        return Ok(vec![control]);
    };
    if !named.is_empty() {
        return Ok(vec![control]);
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
            let mut found = in_force(log, wire, partition, Meant::Account(&key), &goes_on)?;
            Ok(vec![word(account, partition, found.remove(&account).unwrap_or_default())])
        }
        Subject::Tenant(tenant) => {
            let mut words = Vec::new();
            for partition in 0..partitions {
                let found = in_force(log, wire, partition, Meant::Tenant(&tenant), &goes_on)?;
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
            Ok(words)
        }
    }
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

/// By account that is meant, of whom there are any: actions that have not come to their end, by all that the log has of a partition; and the
/// one by which it was last told to stand, where the log has forgotten its course.
fn in_force(
    log: &dyn Log,
    wire: &Wire,
    partition: u32,
    meant: Meant<'_>,
    goes_on: impl Fn(),
) -> Result<BTreeMap<AccountId, Vec<Action>>> {
    let mut last: BTreeMap<AccountId, BTreeMap<ActionId, Action>> = BTreeMap::new();
    each_record(log, Topic::Actions, partition, |record| {
        goes_on();
        if meant.may_be(record.key)
            && let Ok(action) = wire.read::<Action>(record.payload.unwrap_or_default())
            && meant.is_of(record.key, &action.tenant)
        {
            last.entry(action.account).or_default().insert(action.action_id, action);
        }
    })?;
    let mut stands: BTreeMap<Vec<u8>, Standing> = BTreeMap::new();
    each_record(log, Topic::Standing, partition, |record| {
        goes_on();
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
    let mut in_force: BTreeMap<AccountId, Vec<Action>> = BTreeMap::new();
    for standing in stands.values() {
        let is_known = last.get(&standing.account).is_some_and(|last| last.contains_key(&standing.action_id));
        if let Some(action) = behind(standing).filter(|_| !is_known) {
            in_force.entry(standing.account).or_default().push(action);
        }
    }
    for (account, last) in last {
        let open: Vec<Action> = last.into_values().filter(can_be_undone).collect();
        if !open.is_empty() {
            in_force.entry(account).or_default().extend(open);
        }
    }
    for actions in in_force.values_mut() {
        // No word names more. Whoever says it again has the rest undone.
        actions.sort_by_key(|action| std::cmp::Reverse(action.taken_ms));
        actions.truncate(OPEN_MAX);
    }
    Ok(in_force)
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
