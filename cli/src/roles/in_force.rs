//! What the log says is in force on an account, for an operator's word that undoes it: an enforcer's state may have
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
    AccountId, Action, ActionId, ActionKind, ActionState, Control, Record, Revert, Standing, StandingStatus,
};
use weir_topology::key::partition_of;
use weir_topology::log::Log;
use weir_topology::topic::Topic;

/// The same word, with what is in force on its account; any other as it is. `goes_on` is called for each record that is looked at.
///
/// # Errors
/// When the log cannot be read.
pub fn named(log: &dyn Log, wire: &Wire, control: Control, goes_on: impl Fn()) -> Result<Control> {
    if control.name != REINSTATE_NAME {
        return Ok(control);
    }
    // What is malformed the enforcer refuses, and says so.
    match Reinstated::parse(&control.body) {
        Ok(Reinstated { subject: Subject::Account(account), named }) if named.is_empty() => {
            let partition = partition_of(&account.to_key(), log.partitions(Topic::Actions)?);
            let named = in_force(&Place { log, wire, account, partition }, goes_on)?;
            let named = named.into_iter().map(|action| (partition, action)).collect();
            let word = Reinstated { subject: Subject::Account(account), named };
            Ok(Control { body: word.body(), ..control })
        }
        _ => Ok(control),
    }
}

/// Actions on the account that have not come to their end, by all that the log has; and the one by which it was last
/// told to stand, where the log has forgotten its course.
fn in_force(place: &Place<'_>, goes_on: impl Fn()) -> Result<Vec<Action>> {
    let mut last: BTreeMap<ActionId, Action> = BTreeMap::new();
    place.each_of(Topic::Actions, &goes_on, |action: Option<Action>| {
        last.extend(action.map(|action| (action.action_id, action)));
    })?;
    let mut stands: Option<Standing> = None;
    place.each_of(Topic::Standing, &goes_on, |standing| stands = standing)?;
    let forgotten = stands.filter(|standing| !last.contains_key(&standing.action_id));
    let mut in_force: Vec<Action> = last.into_values().filter(can_be_undone).collect();
    in_force.extend(forgotten.as_ref().and_then(behind));
    // No word names more. Whoever says it again has the rest undone.
    in_force.sort_by_key(|action| std::cmp::Reverse(action.taken_ms));
    in_force.truncate(OPEN_MAX);
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

/// Where the log has what was said of an account.
struct Place<'a> {
    log: &'a dyn Log,
    wire: &'a Wire,
    account: AccountId,
    partition: u32,
}

impl Place<'_> {
    /// Hands every record of the account over that can be read; none for one that takes back what was told.
    fn each_of<R: for<'b> Record<'b>>(
        &self,
        topic: Topic,
        goes_on: impl Fn(),
        mut take: impl FnMut(Option<R>),
    ) -> Result<()> {
        let key = self.account.to_key();
        each_record(self.log, topic, self.partition, |record| {
            goes_on();
            if record.key != key {
                return;
            }
            if let Ok(read) = record.payload.map(|payload| self.wire.read::<R>(payload)).transpose() {
                take(read);
            }
        })
    }
}
