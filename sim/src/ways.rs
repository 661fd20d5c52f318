//! The way of every action of one partition, from its decision to its end, as the log tells it.

use std::collections::{BTreeMap, BTreeSet};
use weir_schemas::{
    AccountId, Action, ActionId, ActionKind, ActionOutcome, ActionState, Origin, Posture, Standing,
    StandingStatus,
};

/// Every action's transitions so far.
#[derive(Default)]
pub struct Ways(BTreeMap<ActionId, Vec<Action>>);

impl Ways {
    /// Takes the next transition, in the order of the log. The error says what does not hold.
    pub fn take(&mut self, action: Action) -> Result<(), String> {
        use ActionState::{Done, Expired, Failed, Pending, Reverted, Superseded, Withheld};
        let id = action.action_id;
        let way = self.0.entry(id).or_default();
        let before = way.last();
        let may_follow = match (before.map(|action| action.state), action.state) {
            (None, Pending | Withheld) => true,
            (Some(Pending), Done | Failed | Superseded) => true,
            (Some(Done), Reverted | Expired | Superseded) => action.lasts_ms.is_some(),
            (Some(Expired), Superseded) => true,
            _ => false,
        };
        if !may_follow {
            return Err(format!("action {id} goes from {before:?} to {}", action.state));
        }
        if before.is_some_and(|before| before.taken_ms > action.taken_ms) {
            return Err(format!("action {id} goes on before it came to where it is"));
        }
        if action.state == Pending && (action.posture == Posture::Audit || action.origin == Origin::Import) {
            return Err(format!("action {id} is to be carried out in audit posture, or answers history"));
        }
        let effect_ms =
            action.expires_ms.zip(action.lasts_ms).map(|(expires_ms, lasts_ms)| expires_ms - lasts_ms);
        if let (Done, Some(effect_ms), Some(decided)) = (action.state, effect_ms, way.first())
            && effect_ms < decided.taken_ms
        {
            return Err(format!("action {id} lasts from before it was decided"));
        }
        way.push(action);
        Ok(())
    }

    /// The executor answered for every action that it was to carry out, each once, and was heard.
    pub fn every_answer_is_there_once(&self, outcomes: Vec<ActionOutcome>) -> Result<(), String> {
        let mut answered = BTreeSet::new();
        for outcome in outcomes {
            if !answered.insert(outcome.action_id) {
                return Err(format!("action {} is answered for twice", outcome.action_id));
            }
        }
        for (id, way) in &self.0 {
            let is_asked = way.first().is_some_and(|action| action.state == ActionState::Pending);
            if is_asked != answered.remove(id) {
                return Err(format!("action {id} is answered for: {}", !is_asked));
            }
            let last = way.last().map(|action| action.state);
            let lasts = way.first().is_some_and(|action| action.lasts_ms.is_some());
            if last == Some(ActionState::Pending) || (lasts && last == Some(ActionState::Done)) {
                return Err(format!("action {id} is {last:?} although its time is long over"));
            }
        }
        match answered.first() {
            Some(id) => Err(format!("action {id} is answered for and not in the log")),
            None => Ok(()),
        }
    }

    /// What is said of how accounts stand is what is in effect on them, and of whom nothing is in effect any
    /// more nothing is said.
    pub fn standings_are_what_is_in_effect(&self, standings: Vec<Standing>) -> Result<(), String> {
        let mut in_effect: BTreeMap<AccountId, BTreeMap<ActionId, StandingStatus>> = BTreeMap::new();
        for last in self.0.values().filter_map(|way| way.last()) {
            let status = match (last.state, last.kind) {
                (ActionState::Done | ActionState::Expired, ActionKind::RateLimit) => StandingStatus::Limited,
                (ActionState::Done | ActionState::Expired, ActionKind::Suspend) => StandingStatus::Suspended,
                _ => continue,
            };
            in_effect.entry(last.account).or_default().insert(last.action_id, status);
        }
        let mut seen = BTreeSet::new();
        for standing in standings {
            let account = standing.account;
            if !seen.insert(account) {
                return Err(format!("account {account} stands in two ways in a topic that is compacted"));
            }
            let effects = in_effect.remove(&account).unwrap_or_default();
            let Some(gravest) = effects.values().max() else {
                return Err(format!(
                    "account {account} stays, and nothing has been in effect on it for a day"
                ));
            };
            if standing.status != *gravest || effects.get(&standing.action_id) != Some(gravest) {
                return Err(format!(
                    "account {account} stands {}, and {effects:?} are in effect",
                    standing.status
                ));
            }
        }
        match in_effect.first_key_value() {
            Some((account, effects)) => Err(format!("nobody says how account {account} stands: {effects:?}")),
            None => Ok(()),
        }
    }
}
