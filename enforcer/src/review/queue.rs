//! The queue of one enforcer: a fold over its actions and over analysts' words, which believes nobody.

use super::decision::Decision;
use super::item::{Decided, ITEM_PREFIX, Item, Note};
use super::refused::Refused;
use super::words::{REVIEW_PREFIX, Says, Word};
use crate::kill_switch::{PersonRole, Persons, Refused as Unbelieved};
use crate::limits::{
    DUE_PER_EPOCH_MAX, REQUEST_AHEAD_MS, REQUEST_KNOWN_MS, REVIEW_KEPT_MS, REVIEW_NOTES_MAX,
    REVIEW_WORDS_MAX, REVIEWS_MAX,
};
use std::collections::{BTreeMap, BTreeSet};
use weir_schemas::{AccountId, Action, ActionId, Tier, VerdictId};
use weir_topology::stage::StateEntry;

/// Outcome in the audit record of an item whose time passed before anybody decided.
pub const OVERDUE: &str = "review_overdue";

/// Outcome in the audit record of an item that was forgotten before anybody decided.
pub const DROPPED: &str = "review_dropped";

/// Key of the state entry that says that the queue has caught up; older than any item's.
const CAUGHT_UP_KEY: &[u8] = b"!review";

/// What waits for analysts, and what they decided lately.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Queue {
    items: BTreeMap<ActionId, Item>,
    /// The item of each account that waits.
    open: BTreeMap<AccountId, ActionId>,
    /// Items that wait and are not overdue, by when they will be.
    by_due: BTreeSet<(i64, ActionId)>,
    /// Items by who goes first where there are too many: who was decided on, then who waits longest.
    by_end: BTreeSet<(bool, i64, ActionId)>,
    /// Items on which was decided, of each account in the order of the decisions.
    decided: BTreeSet<(AccountId, i64, ActionId)>,
    /// Items that changed since the last snapshot.
    changed: BTreeSet<ActionId>,
    /// See [`Self::is_caught_up`].
    is_caught_up: bool,
    caught_up_changed: bool,
}

/// Whom a queue asked about that had not been there when they were acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CaughtUp {
    /// Accounts that have an item now.
    pub accounts: u64,
    /// Accounts that there was no room for.
    pub left: u64,
}

/// A word that was believed, and when the log took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The word.
    pub word: Word,
    /// When.
    pub heard_ms: i64,
}

impl Queue {
    /// Whether the name of a control record is one of these words.
    pub fn is_meant(name: &str) -> bool {
        name.starts_with(REVIEW_PREFIX)
    }

    /// A person is asked about the account of this action, which answers a verdict of this tier. One that
    /// waits already waits for both.
    pub fn open(&mut self, action: &Action, tier: Tier) {
        if let Some(mut item) = self.open.get(&action.account).and_then(|id| self.items.get(id)).cloned() {
            // The same verdict may be answered twice, under one id.
            if item.action_id != action.action_id {
                item.joined_by(action, tier);
                self.put(item);
            }
        } else if !self.items.contains_key(&action.action_id) {
            self.put(Item::opened_by(action, tier));
        }
    }

    /// Whether all are asked about on whom a build acted that had no queue. False where the state is such a
    /// build's.
    pub fn is_caught_up(&self) -> bool {
        self.is_caught_up
    }

    /// Asks about the accounts of these actions, as far as they have no item; each with the tier of its
    /// verdict.
    pub fn catch_up(&mut self, asking: &[(Action, Tier)]) -> CaughtUp {
        let known: BTreeSet<AccountId> = self.items.values().map(|item| item.account).collect();
        let mut left = BTreeSet::new();
        let before = self.items.len();
        for (action, tier) in asking.iter().filter(|(action, _)| !known.contains(&action.account)) {
            if self.items.len() < REVIEWS_MAX || self.open.contains_key(&action.account) {
                self.open(action, *tier);
            } else {
                left.insert(action.account);
            }
        }
        (self.is_caught_up, self.caught_up_changed) = (true, true);
        CaughtUp { accounts: (self.items.len() - before) as u64, left: left.len() as u64 }
    }

    /// Whether a word is to be believed; none where it is of no item of this queue, but of another's.
    /// `heard_ms` is when the log took it; `root` is the deployment's root key and `persons` are those whom
    /// it signed.
    ///
    /// # Errors
    /// Why it is refused; it changes nothing then. What is [of an item](Refused::is_of_item) is refused by
    /// its queue alone.
    pub fn hear(
        &self,
        (name, body): (&str, &str),
        heard_ms: i64,
        root: Option<[u8; 32]>,
        persons: Option<&Persons>,
    ) -> Result<Option<Heard>, Refused> {
        let root = root.ok_or(Unbelieved::NoRoot)?;
        let persons = persons.ok_or(Unbelieved::NoPersons)?;
        let word = Word::read(body)?;
        if name != word.record_name() {
            let what = "the record's name is not that of its body";
            return Err(Unbelieved::Malformed(what.into()).into());
        }
        let analyst = persons.get(&word.by)?;
        word.check_signature(analyst, &root)?;
        let role = PersonRole::Analyst;
        if !analyst.roles.contains(&role) {
            return Err(Unbelieved::NotTheirs { name: analyst.name.clone(), role }.into());
        }
        if let Says::Assign(Some(to)) = &word.says
            && !persons.get(to)?.roles.contains(&role)
        {
            return Err(Unbelieved::NotTheirs { name: to.clone(), role }.into());
        }
        let Some(item) = self.items.get(&word.item) else { return Ok(None) };
        let word_id = word.word_id.clone();
        if item.heard.contains_key(&word_id) {
            return Err(Refused::Replayed { word_id });
        }
        let (created_ms, expires_ms) = (word.created_ms, word.expires_ms);
        if heard_ms > expires_ms {
            return Err(Refused::Expired { word_id, expires_ms, heard_ms });
        }
        if created_ms > heard_ms.saturating_add(REQUEST_AHEAD_MS) {
            return Err(Refused::FromTheFuture { word_id, created_ms, heard_ms });
        }
        let known = item.heard.values().filter(|expires_ms| is_known(**expires_ms, heard_ms));
        if known.count() >= REVIEW_WORDS_MAX {
            return Err(Refused::TooManyWords);
        }
        match (&word.says, &item.decided) {
            (Says::Assign(_), Some(_)) => return Err(Refused::NothingToAssign),
            (Says::Note, _) if item.notes.len() >= REVIEW_NOTES_MAX => return Err(Refused::TooManyNotes),
            (Says::Decide(decision), Some(decided)) if *decision == decided.decision => {
                return Err(Refused::DecidedAlready { decision: *decision, by: decided.by.clone() });
            }
            (Says::Decide(_), _) => self.is_seen(item, word.seen)?,
            _ => {}
        }
        Ok(Some(Heard { word, heard_ms }))
    }

    /// A decision is of what was seen: nothing that came since is undone by it, and no decision on it is
    /// changed.
    fn is_seen(&self, item: &Item, seen: Option<VerdictId>) -> Result<(), Refused> {
        let open = self.open.get(&item.account).copied();
        let newer = self.decided_of(item.account).find(|other| other.opened_ms > item.opened_ms);
        let newer = open.or(newer.map(|other| other.action_id));
        if let Some(item) = newer.filter(|newer| *newer != item.action_id) {
            return Err(Refused::AskedAnew { item });
        }
        let latest = item.latest_verdict_id;
        if seen == Some(latest) { Ok(()) } else { Err(Refused::NotSeen { latest }) }
    }

    /// Follows a word that was believed.
    pub fn follow(&mut self, heard: &Heard) {
        let Heard { word, heard_ms } = heard;
        let Some(mut item) = self.items.get(&word.item).cloned() else { return };
        let (by, at_ms) = (word.by.clone(), *heard_ms);
        item.heard.retain(|_, expires_ms| is_known(*expires_ms, at_ms));
        item.heard.insert(word.word_id.clone(), word.expires_ms);
        match &word.says {
            Says::Assign(to) => item.assignee.clone_from(to),
            Says::Note => item.notes.push(Note { by, at_ms, text: word.text.clone() }),
            Says::Decide(decision) => {
                item.decided = Some(Decided { decision: *decision, by, reason: word.text.clone(), at_ms });
            }
        }
        self.put(item);
    }

    /// The item of this id.
    pub fn get(&self, id: ActionId) -> Option<&Item> {
        self.items.get(&id)
    }

    /// Whether the decision that was made last of this account is that it distils.
    pub fn is_confirmed(&self, account: AccountId) -> bool {
        let last = self.decided_of(account).next_back().and_then(|item| item.decided.as_ref());
        last.is_some_and(|decided| decided.decision == Decision::Confirmed)
    }

    /// Items of this account on which was decided, in the order of the decisions.
    fn decided_of(&self, account: AccountId) -> impl DoubleEndedIterator<Item = &Item> {
        let of_it = (account, i64::MIN, ActionId([0; 16]))..=(account, i64::MAX, ActionId([u8::MAX; 16]));
        self.decided.range(of_it).filter_map(|(.., id)| self.items.get(id))
    }

    /// Every item, in the order of their ids.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.values()
    }

    /// Marks items that wait and whose time has passed, the earliest first: those that were not marked
    /// before.
    pub fn fall_due(&mut self, now_ms: i64) -> Vec<Item> {
        let due = self.by_due.iter().take_while(|(due_ms, _)| *due_ms <= now_ms).take(DUE_PER_EPOCH_MAX);
        let due: Vec<ActionId> = due.map(|(_, id)| *id).collect();
        let due: Vec<Item> = due.iter().filter_map(|id| self.items.get(id)).cloned().collect();
        for item in &due {
            self.put(Item { is_overdue: true, ..item.clone() });
        }
        due
    }

    /// Forgets what is older than items are kept, and what is over the cap. Gives back those on whom nobody
    /// has decided.
    pub fn evict(&mut self, now_ms: i64) -> Vec<Item> {
        let mut dropped = Vec::new();
        let is_old =
            |(_, opened_ms, _): &(bool, i64, ActionId)| opened_ms.saturating_add(REVIEW_KEPT_MS) <= now_ms;
        // Each half is in the order of time.
        let first_of = |queue: &Self, is_open| {
            let half = (is_open, i64::MIN, ActionId([0; 16]))..=(is_open, i64::MAX, ActionId([u8::MAX; 16]));
            queue.by_end.range(half).next().copied()
        };
        loop {
            let old = [false, true].into_iter().filter_map(|is_open| first_of(self, is_open)).find(is_old);
            let over = self.by_end.first().copied().filter(|_| self.items.len() > REVIEWS_MAX);
            let Some((.., id)) = old.or(over) else { break };
            dropped.extend(self.remove(id).filter(Item::is_open));
            self.changed.insert(id);
        }
        dropped
    }

    /// The earliest time at which an item will be overdue that is not yet.
    pub fn due_ms(&self) -> Option<i64> {
        self.by_due.first().map(|(due_ms, _)| *due_ms)
    }

    /// How many items wait.
    pub fn waiting(&self) -> usize {
        self.open.len()
    }

    /// How many of them are overdue.
    pub fn overdue(&self) -> usize {
        self.open.len() - self.by_due.len()
    }

    fn put(&mut self, item: Item) {
        self.changed.insert(item.action_id);
        self.set(item);
    }

    fn set(&mut self, item: Item) {
        let id = item.action_id;
        self.remove(id);
        match &item.decided {
            None => {
                self.open.insert(item.account, id);
                if !item.is_overdue {
                    self.by_due.insert((item.due_ms, id));
                }
            }
            Some(decided) => {
                self.decided.insert((item.account, decided.at_ms, id));
            }
        }
        self.by_end.insert((item.is_open(), item.opened_ms, id));
        self.items.insert(id, item);
    }

    fn remove(&mut self, id: ActionId) -> Option<Item> {
        let item = self.items.remove(&id)?;
        self.by_due.remove(&(item.due_ms, id));
        self.by_end.remove(&(item.is_open(), item.opened_ms, id));
        if self.open.get(&item.account) == Some(&id) {
            self.open.remove(&item.account);
        }
        if let Some(decided) = &item.decided {
            self.decided.remove(&(item.account, decided.at_ms, id));
        }
        Some(item)
    }

    /// Number of state entries.
    pub fn entries(&self) -> usize {
        self.items.len() + usize::from(self.is_caught_up)
    }

    /// How many changed since the last snapshot.
    pub fn changed(&self) -> usize {
        self.changed.len() + usize::from(self.caught_up_changed)
    }

    /// State entries that changed since the last call, in key order.
    pub fn take_changes(&mut self) -> Vec<StateEntry> {
        let caught_up = std::mem::take(&mut self.caught_up_changed)
            .then(|| StateEntry { key: CAUGHT_UP_KEY.into(), body: self.is_caught_up.then(Vec::new) });
        let changed = std::mem::take(&mut self.changed).into_iter();
        let items =
            changed.map(|id| StateEntry { key: key_of(id), body: self.items.get(&id).map(Item::encode) });
        caught_up.into_iter().chain(items).collect()
    }

    /// Takes back an entry that [`Self::take_changes`] gave; none where the key is not of the queue.
    pub fn restore(&mut self, key: &[u8], body: &[u8]) -> Option<Result<(), String>> {
        if key == CAUGHT_UP_KEY {
            self.is_caught_up = true;
            return Some(Ok(()));
        }
        let id = id_of(key)?;
        Some(Item::decode(body).and_then(|item| {
            if id != Some(item.action_id) {
                return Err("its key is not that of its body".to_owned());
            }
            self.set(item);
            Ok(())
        }))
    }

    /// Forgets an entry; false where the key is not of the queue.
    pub fn forget(&mut self, key: &[u8]) -> bool {
        if key == CAUGHT_UP_KEY {
            self.is_caught_up = false;
            return true;
        }
        let Some(id) = id_of(key) else { return false };
        id.map(|id| self.remove(id));
        true
    }
}

impl Heard {
    /// What the audit record says of it.
    pub fn outcome(&self) -> &'static str {
        match self.word.says {
            Says::Assign(_) => "review_assigned",
            Says::Note => "review_noted",
            Says::Decide(Decision::Confirmed) => "review_confirmed",
            Says::Decide(Decision::Refuted) => "review_refuted",
            Says::Decide(Decision::Unclear) => "review_unclear",
        }
    }

    /// In words, for the audit record.
    pub fn reason(&self) -> String {
        let Word { word_id, by, text, says, .. } = &self.word;
        let to = match says {
            Says::Assign(Some(to)) => format!(" to {to}"),
            Says::Assign(None) => " to nobody".to_owned(),
            Says::Note | Says::Decide(_) => String::new(),
        };
        let text = if text.is_empty() { String::new() } else { format!(": {text}") };
        format!("word {word_id}, by {by}{to}{text}")
    }
}

/// The state key of an item.
fn key_of(id: ActionId) -> Vec<u8> {
    format!("{ITEM_PREFIX}{id}").into_bytes()
}

/// The item of a state key, where the key begins as those of items do.
fn id_of(key: &[u8]) -> Option<Option<ActionId>> {
    let id = key.strip_prefix(ITEM_PREFIX.as_bytes())?;
    Some(std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()))
}

/// Whether a word that was good until `expires_ms` must still be known.
fn is_known(expires_ms: i64, now_ms: i64) -> bool {
    expires_ms.saturating_add(REQUEST_KNOWN_MS) >= now_ms
}
