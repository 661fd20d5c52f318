//! Who is slowed down for a moment on an early word, before the log says anything.
//!
//! A hold is no action: nobody decided it, no audit record stands before it, and it ends by itself. It lasts
//! until the log has said what comes of its verdict, and so long as it is allowed at most. Where an enforcer
//! withholds what it would do about the verdict, or what it did is over, the hold ends at once; where it
//! acts, the account's standing takes the hold's place.
//!
//! A hold on a tripwire has no verdict yet. The first action that is decided about its account is taken for
//! the answer, a verdict that is told takes its place, and once it was there, however it ended, its account
//! is not held on a tripwire again for a day. So nothing that others told of a value, and no token that
//! somebody quotes, slows anybody down for longer than the log needs to say what comes of it.

use super::reins::{Reins, Withholds};
use super::standings::{Known, Standings};
use crate::limits::{
    ANSWERED_MAX, CLOCK_BACK_MS_MAX, REINS_AGE_MS_MAX, TRIPWIRE_REST_MS, TRIPWIRE_RESTS_MAX,
};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use weir_schemas::wire::Wire;
use weir_schemas::{
    AccountId, Action, ActionId, ActionKind, ActionState, StandingEvidence, StandingStatus, VerdictId,
};

/// Name of the first family in a held account's evidence: nothing but an early word.
pub const PROVISIONAL: &str = "provisional";

/// Name of the other one of an account that is held on a tripwire: nobody has judged it.
pub const TRIPWIRE: &str = "tripwire";

/// What an account is held on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldOn {
    /// A verdict that was told before it stood in the log.
    Verdict(VerdictId),
    /// A tripwire that one of its requests met, and the verdict of the first action that was decided about
    /// the account since.
    Tripwire(Option<VerdictId>),
}

impl HeldOn {
    /// The verdict that it rests on; none where none was said.
    pub fn verdict(self) -> Option<VerdictId> {
        match self {
            Self::Verdict(verdict) => Some(verdict),
            Self::Tripwire(verdict) => verdict,
        }
    }

    /// Whether it is a tripwire.
    pub fn is_tripwire(self) -> bool {
        matches!(self, Self::Tripwire(_))
    }
}

/// An account that is held.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The account.
    pub account: AccountId,
    /// Its tenant.
    pub tenant: Arc<str>,
    /// What it is held on.
    pub on: HeldOn,
    /// Whether that is only written down, and no gateway is told.
    pub is_observed: bool,
    /// What gateways are told that it rests on.
    pub evidence: Arc<StandingEvidence>,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Until when at most.
    pub until_ms: i64,
    /// When that on which it is held was told: the earlier of when it was sent and when its event was.
    pub told_ms: i64,
}

impl Held {
    /// Whether its time is not over. By a clock that was set back nobody could say, and so it is.
    fn lasts_at(&self, now_ms: i64) -> bool {
        (self.since_ms - CLOCK_BACK_MS_MAX..self.until_ms).contains(&now_ms)
    }

    /// Whether it takes the place of another one on the same account: what holds of what only observes, and
    /// never the other way round; else a verdict of a tripwire.
    fn takes_place_of(&self, other: &Self) -> bool {
        match (self.is_observed, other.is_observed) {
            (false, true) => true,
            (true, false) => false,
            _ => other.on.is_tripwire() && !self.on.is_tripwire(),
        }
    }
}

/// Why an account is not held: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spared {
    /// What operators and persons said is not known well enough: it was never read, or too long ago.
    Unready,
    /// They said something that keeps it from being held.
    Withheld(Withholds),
    /// The log has said what comes of its verdict.
    Answered,
    /// It is held.
    HeldAlready,
    /// It was held on a tripwire of late.
    Rests,
    /// Something is in force on it.
    InForce,
    /// An operator gave it access back since that was told.
    Reinstated,
    /// As many are held as may be.
    Full,
}

impl Spared {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Unready,
        Self::Withheld(Withholds::KillSwitch),
        Self::Withheld(Withholds::Posture),
        Self::Withheld(Withholds::Ring),
        Self::Withheld(Withholds::Protected),
        Self::Answered,
        Self::HeldAlready,
        Self::Rests,
        Self::InForce,
        Self::Reinstated,
        Self::Full,
    ];

    /// Name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unready => "unready",
            Self::Withheld(withholds) => withholds.as_str(),
            Self::Answered => "answered",
            Self::HeldAlready => "held_already",
            Self::Rests => "rests",
            Self::InForce => "in_force",
            Self::Reinstated => "reinstated",
            Self::Full => "full",
        }
    }
}

/// Why a hold ended: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LetGo {
    /// An enforcer acted on the verdict, and the account's standing says so.
    Confirmed,
    /// An enforcer withheld what it would have done about the verdict.
    Withheld,
    /// What it did about the verdict is over: undone, expired, or not carried out.
    Over,
    /// The account was said to stand well since.
    StandsWell,
    /// An operator gave the account access back.
    Reinstated,
    /// Another one took its place: a verdict's that of a tripwire, or what holds that of what observes.
    Outranked,
    /// Operators or persons said something that keeps it from being held.
    Safeguard(Withholds),
    /// The log did not say anything in time.
    Expired,
    /// The server ends.
    Stopped,
}

impl LetGo {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::Confirmed,
        Self::Withheld,
        Self::Over,
        Self::StandsWell,
        Self::Reinstated,
        Self::Outranked,
        Self::Safeguard(Withholds::KillSwitch),
        Self::Safeguard(Withholds::Posture),
        Self::Safeguard(Withholds::Ring),
        Self::Safeguard(Withholds::Protected),
        Self::Expired,
        Self::Stopped,
    ];

    /// Name in metrics and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Withheld => "withheld",
            Self::Over => "over",
            Self::StandsWell => "stands_well",
            Self::Reinstated => "reinstated",
            Self::Outranked => "outranked",
            Self::Safeguard(withholds) => withholds.as_str(),
            Self::Expired => "expired",
            Self::Stopped => "stopped",
        }
    }
}

/// What the log says of a verdict's actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    /// One is to be carried out, or was.
    Acted,
    Withheld,
    Over,
}

/// All holds of a server.
#[derive(Debug)]
pub struct Holds {
    standings: Arc<Standings>,
    max: usize,
    table: RwLock<Table>,
}

#[derive(Debug)]
struct Table {
    by_account: HashMap<AccountId, Held>,
    /// Holds that ended by an operator's word, until the next sweep tells of them.
    reinstated: Vec<Held>,
    /// Until when accounts are not held on tripwires that were held on one.
    rests: HashMap<AccountId, i64>,
    reins: Reins,
    /// When the reins were as the log was, in milliseconds since the Unix epoch.
    fresh_ms: Option<i64>,
    /// The states of verdicts' actions that bear on their accounts; of the latest verdicts.
    answered: HashMap<VerdictId, BTreeMap<ActionId, ActionState>>,
    order: VecDeque<VerdictId>,
}

impl Holds {
    /// No holds, and `max` at once at most. The kill switch believes the persons that `root` signs.
    pub fn new(standings: Arc<Standings>, wire: Arc<Wire>, root: Option<[u8; 32]>, max: usize) -> Self {
        let table = Table {
            by_account: HashMap::new(),
            reinstated: Vec::new(),
            rests: HashMap::new(),
            reins: Reins::new(wire, root),
            fresh_ms: None,
            answered: HashMap::new(),
            order: VecDeque::new(),
        };
        Self { standings, max, table: RwLock::new(table) }
    }

    /// Whether this may be held now.
    ///
    /// # Errors
    /// Why it may not.
    pub fn may(&self, held: &Held) -> Result<(), Spared> {
        let known = self.standings.get(held.account);
        self.read().may(held, known.as_ref(), self.max)
    }

    /// Holds it, after all that is asked before was asked once more. What is given back is the hold
    /// whose place it takes: one on a tripwire, or one that only observes.
    ///
    /// # Errors
    /// Why it may not be held by now.
    pub fn hold(&self, held: Held) -> Result<Option<Held>, Spared> {
        let known = self.standings.get(held.account);
        let mut table = self.write();
        table.may(&held, known.as_ref(), self.max)?;
        if held.on.is_tripwire() {
            // From its beginning on: whatever becomes of it, there is no second one.
            table.rests.insert(held.account, held.since_ms.saturating_add(TRIPWIRE_REST_MS));
        }
        Ok(table.by_account.insert(held.account, held))
    }

    /// The hold that is in force on an account of which `known` is known.
    pub fn on(&self, account: AccountId, known: Option<&Known>, now_ms: i64) -> Option<Held> {
        let table = self.read();
        let held = table.by_account.get(&account)?;
        let is_in_force =
            !held.is_observed && held.lasts_at(now_ms) && took_over(held, known, now_ms).is_none();
        is_in_force.then(|| held.clone())
    }

    /// Number of accounts that are held.
    pub fn len(&self) -> usize {
        self.read().by_account.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets go whom there is a reason to let go by now.
    pub fn sweep(&self, now_ms: i64) -> Vec<(Held, LetGo)> {
        if self.read().is_empty() {
            return Vec::new();
        }
        let mut table = self.write();
        if table.rests.len() >= TRIPWIRE_RESTS_MAX / 2 {
            table.rests.retain(|_, until_ms| now_ms < *until_ms);
        }
        let mut over = Vec::new();
        for held in table.by_account.values() {
            let known = self.standings.get(held.account);
            over.extend(table.ends(held, known.as_ref(), now_ms).map(|why| (held.clone(), why)));
        }
        over.iter().for_each(|(held, _)| drop(table.by_account.remove(&held.account)));
        table.given_back().chain(over).collect()
    }

    /// These accounts were held on a tripwire before the server started, and are not held on one again until
    /// then.
    pub fn rest(&self, rests: impl IntoIterator<Item = (AccountId, i64)>, now_ms: i64) {
        let longest_ms = now_ms.saturating_add(TRIPWIRE_REST_MS);
        let rests = rests.into_iter().map(|(account, until_ms)| (account, until_ms.min(longest_ms)));
        self.write().rests.extend(rests.take(TRIPWIRE_RESTS_MAX));
    }

    /// Lets everybody go, because the server ends.
    pub fn stop(&self) -> Vec<(Held, LetGo)> {
        let mut table = self.write();
        let all = std::mem::take(&mut table.by_account).into_values();
        table.given_back().chain(all.map(|held| (held, LetGo::Stopped))).collect()
    }

    /// Takes what the log says: words of operators and persons, and actions, both up to its end as of
    /// `now_ms`.
    pub(super) fn learn(&self, learn: impl FnOnce(&mut Learner<'_>), is_fresh_ms: Option<i64>) {
        let mut table = self.write();
        learn(&mut Learner(&mut table));
        table.fresh_ms = is_fresh_ms.or(table.fresh_ms);
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes what the log says.
pub(super) struct Learner<'t>(&'t mut Table);

impl Learner<'_> {
    /// A record of `weir.control`, read at `now_ms`. Whom it gives access back is held no more, whatever the
    /// clocks say: all that holds anybody was heard before.
    pub(super) fn control(&mut self, record: weir_topology::record::RecordRef<'_>, now_ms: i64) {
        let table = &mut *self.0;
        if let Some(subject) = table.reins.take(record, now_ms) {
            let is_meant = |account: &AccountId, held: &mut Held| subject.means(&held.tenant, *account);
            table.reinstated.extend(table.by_account.extract_if(is_meant).map(|(_, held)| held));
        }
    }

    /// A transition of an action.
    pub(super) fn action(&mut self, action: &Action) {
        let bears =
            matches!(action.kind, ActionKind::RateLimit | ActionKind::Suspend | ActionKind::ClusterTakedown);
        if !bears {
            return;
        }
        let table = &mut *self.0;
        if let Some(held) = table.by_account.get_mut(&action.account)
            && held.on == HeldOn::Tripwire(None)
            && matches!(action.state, ActionState::Pending | ActionState::Withheld)
            && action.taken_ms >= held.since_ms - CLOCK_BACK_MS_MAX
        {
            held.on = HeldOn::Tripwire(Some(action.verdict_id));
        }
        if !table.answered.contains_key(&action.verdict_id) {
            if table.order.len() >= ANSWERED_MAX
                && let Some(oldest) = table.order.pop_front()
            {
                table.answered.remove(&oldest);
            }
            table.order.push_back(action.verdict_id);
        }
        table.answered.entry(action.verdict_id).or_default().insert(action.action_id, action.state);
    }
}

impl Table {
    /// Whether nothing is in it that a sweep could end.
    fn is_empty(&self) -> bool {
        self.by_account.is_empty() && self.reinstated.is_empty() && self.rests.is_empty()
    }

    /// Takes out those whom an operator gave access back. They are held no more, and may be held anew by now.
    fn given_back(&mut self) -> impl Iterator<Item = (Held, LetGo)> + use<> {
        std::mem::take(&mut self.reinstated).into_iter().map(|held| (held, LetGo::Reinstated))
    }

    fn may(&self, held: &Held, known: Option<&Known>, max: usize) -> Result<(), Spared> {
        let now_ms = held.since_ms;
        let age_ms = self.fresh_ms.map(|fresh_ms| now_ms.saturating_sub(fresh_ms));
        if age_ms.is_none_or(|age_ms| !(-CLOCK_BACK_MS_MAX..=REINS_AGE_MS_MAX).contains(&age_ms)) {
            return Err(Spared::Unready);
        }
        if let Some(withholds) = self.reins.withholds(&held.tenant, held.account, now_ms) {
            return Err(Spared::Withheld(withholds));
        }
        if self.reins.was_reinstated_since(&held.tenant, held.account, held.told_ms) {
            return Err(Spared::Reinstated);
        }
        if held.on.verdict().is_some_and(|verdict| self.answered(verdict).is_some()) {
            return Err(Spared::Answered);
        }
        if known.is_some_and(|known| is_in_force(known, now_ms)) {
            return Err(Spared::InForce);
        }
        let other = self.by_account.get(&held.account);
        if other.is_some_and(|other| !held.takes_place_of(other)) {
            return Err(Spared::HeldAlready);
        }
        if held.on.is_tripwire() && self.rests.get(&held.account).is_some_and(|until_ms| now_ms < *until_ms) {
            return Err(Spared::Rests);
        }
        if other.is_none() && !self.has_room(held.on, max) {
            return Err(Spared::Full);
        }
        Ok(())
    }

    /// Whether one more may be held. On tripwires half of them are at most, so that verdicts find room.
    fn has_room(&self, on: HeldOn, max: usize) -> bool {
        if !on.is_tripwire() {
            return self.by_account.len() < max;
        }
        let tripped = self.by_account.values().filter(|held| held.on.is_tripwire()).count();
        self.by_account.len() < max && tripped < max.div_ceil(2) && self.rests.len() < TRIPWIRE_RESTS_MAX
    }

    /// Why a hold ends by now; none where it does not.
    fn ends(&self, held: &Held, known: Option<&Known>, now_ms: i64) -> Option<LetGo> {
        if let Some(why) = took_over(held, known, now_ms) {
            return Some(why);
        }
        match held.on.verdict().and_then(|verdict| self.answered(verdict)) {
            Some(Answered::Withheld) => return Some(LetGo::Withheld),
            Some(Answered::Over) => return Some(LetGo::Over),
            // How the account stands comes in a moment.
            Some(Answered::Acted) | None => {}
        }
        if !held.lasts_at(now_ms) {
            return Some(LetGo::Expired);
        }
        self.reins.withholds(&held.tenant, held.account, now_ms).map(LetGo::Safeguard)
    }

    fn answered(&self, verdict: VerdictId) -> Option<Answered> {
        let states = self.answered.get(&verdict)?;
        let any = |wanted: &[ActionState]| states.values().any(|state| wanted.contains(state));
        Some(if any(&[ActionState::Pending, ActionState::Done]) {
            Answered::Acted
        } else if states.values().all(|state| *state == ActionState::Withheld) {
            Answered::Withheld
        } else {
            Answered::Over
        })
    }
}

fn is_in_force(known: &Known, now_ms: i64) -> bool {
    known.status != StandingStatus::Good && known.until_ms.is_none_or(|until_ms| now_ms < until_ms)
}

/// Why what is known of a held account takes the hold's place; none where it says nothing of it.
fn took_over(held: &Held, known: Option<&Known>, now_ms: i64) -> Option<LetGo> {
    let known = known?;
    if is_in_force(known, now_ms) {
        return Some(LetGo::Confirmed);
    }
    let is_of_it = Some(known.verdict_id) == held.on.verdict() || known.since_ms >= held.since_ms;
    is_of_it.then_some(LetGo::StandsWell)
}

#[cfg(test)]
mod tests;
