//! What Weir writes down in a LiteLLM key's own metadata: which holds are on the key, and how it was without
//! them.
//!
//! The key has one block and one limit, and may have several holds. So that the last one to go gives back
//! what was there before the first one came, and a word that comes twice or late changes nothing, both stand
//! there, beside what others keep.

use crate::limits::{LITELLM_HOLDS_MAX, TOMBSTONE_MS};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weir_schemas::ActionKind;

/// The field of the metadata.
pub(super) const FIELD: &str = "weir";

/// The holds on a key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Holds {
    /// By the action's id.
    #[serde(default)]
    by_action: BTreeMap<String, Held>,
    /// Whether somebody else had blocked the key before the first suspension of these.
    #[serde(default)]
    was_blocked: bool,
    /// The limit of requests a minute, while a hold lowers it.
    #[serde(default)]
    lowered: Option<Lowered>,
}

/// A hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Held {
    Suspended,
    Limited,
    /// It was let go; until this time, in milliseconds since the Unix epoch, it is known that it was, and is
    /// not put on by a late word.
    LetGo(i64),
}

/// Limits of requests a minute; none where there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lowered {
    /// What it was before.
    pub before: Option<u64>,
    /// What Weir made of it.
    pub to: u64,
}

/// How a key is, as LiteLLM tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// Whether it is blocked, by whomever.
    pub is_blocked: bool,
    /// Its limit of requests a minute.
    pub rpm_limit: Option<u64>,
}

impl Holds {
    /// Whether the key is to be blocked.
    pub fn suspend(&self) -> bool {
        self.by_action.values().any(|held| *held == Held::Suspended)
    }

    /// With this hold. One that is there, or was let go, stays as it is.
    pub fn with(&self, action_id: &str, kind: ActionKind, key: Key, rpm_limit: u64) -> Self {
        if self.by_action.contains_key(action_id) {
            return self.clone();
        }
        let mut holds = self.clone();
        let held = if kind == ActionKind::RateLimit { Held::Limited } else { Held::Suspended };
        if held == Held::Suspended && !self.suspend() {
            holds.was_blocked = key.is_blocked;
        }
        if held == Held::Limited && self.lowered.is_none() {
            let to = key.rpm_limit.map_or(rpm_limit, |before| before.min(rpm_limit));
            holds.lowered = Some(Lowered { before: key.rpm_limit, to });
        }
        holds.by_action.insert(action_id.to_owned(), held);
        holds
    }

    /// Without this hold, which does not come back. What was let go long ago is forgotten.
    pub fn without(&self, action_id: &str, now_ms: i64) -> Self {
        let mut holds = self.clone();
        let is_let_go = matches!(self.by_action.get(action_id), Some(Held::LetGo(_)));
        if !is_let_go {
            let until_ms = now_ms.saturating_add(TOMBSTONE_MS);
            holds.by_action.insert(action_id.to_owned(), Held::LetGo(until_ms));
        }
        holds.forget(now_ms);
        if !holds.by_action.values().any(|held| *held == Held::Limited) {
            holds.lowered = None;
        }
        if !holds.suspend() {
            holds.was_blocked = false;
        }
        holds
    }

    /// Those that were let go longest ago are forgotten first, where they are too many.
    fn forget(&mut self, now_ms: i64) {
        let mut let_go: Vec<(i64, String)> = self
            .by_action
            .iter()
            .filter_map(|(id, held)| match held {
                Held::LetGo(until_ms) => Some((*until_ms, id.clone())),
                Held::Suspended | Held::Limited => None,
            })
            .collect();
        let_go.sort();
        let over = let_go.len().saturating_sub(LITELLM_HOLDS_MAX);
        for (number, (until_ms, id)) in let_go.into_iter().enumerate() {
            if number < over || until_ms <= now_ms {
                self.by_action.remove(&id);
            }
        }
    }

    /// Whether Weir blocked the key, and nobody else had before.
    pub fn blocked_it(&self) -> bool {
        self.suspend() && !self.was_blocked
    }

    /// What becomes of the key's limit when these give way to `next`: none where it stays. What somebody else
    /// has made of it since is theirs.
    pub fn limit_for(&self, next: &Self, key: Key) -> Option<Option<u64>> {
        match (self.lowered, next.lowered) {
            (None, Some(lowered)) => Some(Some(lowered.to)),
            (Some(lowered), None) if key.rpm_limit == Some(lowered.to) => Some(lowered.before),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Key = Key { is_blocked: false, rpm_limit: None };
    const SUSPEND: ActionKind = ActionKind::Suspend;
    const LIMIT: ActionKind = ActionKind::RateLimit;

    #[test]
    fn the_last_suspension_to_go_gives_the_key_back_as_it_was() {
        let one = Holds::default().with("a", SUSPEND, FREE, 6);
        let blocked = Key { is_blocked: true, ..FREE };
        let both = one.with("b", SUSPEND, blocked, 6);
        assert!(both.blocked_it() && both.without("a", 0).blocked_it());
        assert!(!both.without("a", 0).without("b", 0).suspend());
        // Whom somebody else had blocked stays so.
        let others = Holds::default().with("a", SUSPEND, blocked, 6);
        assert!(others.suspend() && !others.blocked_it());
        assert!(others.without("a", 0).with("b", SUSPEND, FREE, 6).blocked_it(), "it was let go meanwhile");
    }

    #[test]
    fn a_word_that_comes_twice_or_late_changes_nothing() {
        let on = Holds::default().with("a", SUSPEND, FREE, 6);
        assert_eq!(on.with("a", SUSPEND, Key { is_blocked: true, ..FREE }, 6), on);
        let off = on.without("a", 0);
        assert_eq!((off.with("a", SUSPEND, FREE, 6), off.without("a", 5)), (off.clone(), off.clone()));
        // One that never came is not put on any more either.
        let never = Holds::default().without("c", 0);
        assert!(!never.with("c", SUSPEND, FREE, 6).suspend());
        assert_eq!(off.without("b", TOMBSTONE_MS).by_action.len(), 1, "who was let go long ago is forgotten");
    }

    #[test]
    fn a_limit_is_lowered_and_never_raised_and_what_others_made_of_it_meanwhile_is_theirs() {
        for (before, to) in [(None, 6), (Some(100), 6), (Some(2), 2)] {
            let key = Key { rpm_limit: before, ..FREE };
            let (none, one) = (Holds::default(), Holds::default().with("a", LIMIT, key, 6));
            assert_eq!(none.limit_for(&one, key), Some(Some(to)));
            let lowered = Key { rpm_limit: Some(to), ..FREE };
            let two = one.with("b", LIMIT, lowered, 6);
            assert_eq!(one.limit_for(&two, lowered), None);
            let left = two.without("a", 0);
            assert_eq!(two.limit_for(&left, lowered), None);
            let over = left.without("b", 0);
            assert_eq!(left.limit_for(&over, lowered), Some(before));
            assert_eq!(left.limit_for(&over, Key { rpm_limit: Some(77), ..FREE }), None);
            assert!(!one.suspend());
        }
    }

    #[test]
    fn it_is_bounded_and_no_hold_that_is_on_is_ever_forgotten() {
        let mut holds = Holds::default().with("a", SUSPEND, FREE, 6);
        for number in 0..3 * LITELLM_HOLDS_MAX {
            holds = holds.without(&format!("z{number:04}"), number as i64);
        }
        assert_eq!(holds.by_action.len(), LITELLM_HOLDS_MAX + 1);
        assert!(holds.blocked_it());
        let text = serde_json::to_string(&holds).unwrap();
        assert_eq!(serde_json::from_str::<Holds>(&text).unwrap(), holds);
    }
}
