//! One account in the queue: why a person is asked, by when, and what was said so far.

use super::decision::Decision;
use super::spelled::{symbol, text};
use crate::limits::{REVIEW_MS, REVIEW_URGENT_MS};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weir_schemas::{AccountId, Action, ActionId, ActionKind, Tier, VerdictId};

/// What the keys of items in the enforcer's state begin with; the item's id follows.
pub const ITEM_PREFIX: &str = "!review/";

/// An account that a person is to look at, or has looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The action that opened it: its id.
    #[serde(with = "text")]
    pub action_id: ActionId,
    /// The verdict of the action of the gravest tier so far.
    #[serde(with = "text")]
    pub verdict_id: VerdictId,
    /// The verdict of the latest action: whoever decides must have seen it.
    #[serde(with = "text")]
    pub latest_verdict_id: VerdictId,
    /// The account.
    #[serde(with = "text")]
    pub account: AccountId,
    /// Its tenant.
    pub tenant: String,
    /// What the action that opened it does.
    #[serde(with = "symbol")]
    pub kind: ActionKind,
    /// The gravest tier so far.
    #[serde(with = "symbol")]
    pub tier: Tier,
    /// How many actions asked for a person since it was opened.
    pub actions: u32,
    /// Since when it waits, in processing time.
    pub opened_ms: i64,
    /// By when it is to be decided, in processing time.
    pub due_ms: i64,
    /// Whether that time passed before it was decided.
    pub is_overdue: bool,
    /// Who looks at it.
    pub assignee: Option<String>,
    /// What was decided last.
    pub decided: Option<Decided>,
    /// Notes and reasons, oldest first.
    pub notes: Vec<Note>,
    /// Words that were followed, by until when each was good.
    pub(super) heard: BTreeMap<String, i64>,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// What.
    pub decision: Decision,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, by the log's time.
    pub at_ms: i64,
}

/// Something that an analyst noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Who.
    pub by: String,
    /// When, by the log's time.
    pub at_ms: i64,
    /// What.
    pub text: String,
}

/// How long an analyst may take, in milliseconds.
fn clock_ms(tier: Tier) -> i64 {
    if tier >= Tier::High { REVIEW_URGENT_MS } else { REVIEW_MS }
}

impl Item {
    /// The item that an action on a verdict of this tier opens.
    pub(super) fn opened_by(action: &Action, tier: Tier) -> Self {
        Self {
            action_id: action.action_id,
            verdict_id: action.verdict_id,
            latest_verdict_id: action.verdict_id,
            account: action.account,
            tenant: action.tenant.clone(),
            kind: action.kind,
            tier,
            actions: 1,
            opened_ms: action.taken_ms,
            due_ms: action.taken_ms.saturating_add(clock_ms(tier)),
            is_overdue: false,
            assignee: None,
            decided: None,
            notes: Vec::new(),
            heard: BTreeMap::new(),
        }
    }

    /// Another action on the account asks for a person while this one waits. A graver one may make it due
    /// earlier.
    pub(super) fn joined_by(&mut self, action: &Action, tier: Tier) {
        self.actions = self.actions.saturating_add(1);
        self.latest_verdict_id = action.verdict_id;
        if tier > self.tier {
            (self.tier, self.verdict_id) = (tier, action.verdict_id);
            self.due_ms = self.due_ms.min(action.taken_ms.saturating_add(clock_ms(tier)));
        }
    }

    /// Whether somebody is still to decide.
    pub fn is_open(&self) -> bool {
        self.decided.is_none()
    }

    /// The state entry's body.
    pub fn encode(&self) -> Vec<u8> {
        // Of texts, numbers and a map with texts as keys, which every JSON can have.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Takes back what [`Self::encode`] gave.
    ///
    /// # Errors
    /// When it is not what that gave, in words.
    pub fn decode(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }
}
