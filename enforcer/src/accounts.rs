//! What is remembered of each account: which actions keep the same from being asked for twice, which actions
//! are under way, and how the account was last said to stand.
//!
//! Bounded, and kept by processing time: what is in force now is a question about now, not about the time of
//! the events that led to it.

use crate::lifecycle::{due_of, follows, is_over, standing_due_ms};
use crate::limiter::counted_until;
use crate::limits::{ACCOUNTS_MAX, DUE_PER_EPOCH_MAX, OPEN_MAX};
use std::collections::{BTreeMap, BTreeSet};
use weir_schemas::{
    AccountId, Action, ActionId, ActionKind, ActionState, Record, Standing, StandingEvidence, StandingStatus,
    Tier,
};

/// What keeps the same action from being asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    pub kind: ActionKind,
    pub tier: Tier,
    pub ring: i32,
    /// Whether it was to be carried out, or withheld.
    pub acted: bool,
    /// Processing time until which it holds.
    pub until_ms: i64,
    /// How long it holds from its effect, in milliseconds.
    pub holds_ms: i64,
    /// See [`crate::decide::Proposal::subject`].
    pub subject: u64,
}

/// What is remembered of one account.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Kept {
    /// At most one of each kind.
    pub holds: Vec<Hold>,
    /// Actions whose last transition is still to come, oldest first.
    pub open: Vec<Action>,
    /// What those of them rest on of which this is known: not of those that a build decided which kept none.
    pub evidence: BTreeMap<ActionId, StandingEvidence>,
    /// The standing that was last told; none where none ever was, and where it was taken back.
    pub standing: Option<Standing>,
    /// When the limiter counted the account last, in processing time; none where it never did.
    pub counted_ms: Option<i64>,
}

impl Kept {
    /// The hold of this kind that is in force at `taken_ms`.
    pub fn hold_at(&self, kind: ActionKind, taken_ms: i64) -> Option<Hold> {
        self.holds.iter().find(|hold| hold.kind == kind && hold.until_ms > taken_ms).copied()
    }

    /// Puts a hold in force, in place of an earlier one of its kind.
    pub fn hold(&mut self, hold: Hold) {
        self.release(hold.kind);
        self.holds.push(hold);
        self.holds.sort_unstable_by_key(|hold| hold.kind);
    }

    /// Actions under way of which `is_meant` holds.
    pub fn under_way(&self, is_meant: impl Fn(&Action) -> bool) -> Vec<Action> {
        self.open.iter().filter(|action| is_meant(action)).cloned().collect()
    }

    /// Takes in what has become of an action under way.
    pub fn take(&mut self, next: &Action) {
        let Some(place) = self.open.iter().position(|before| follows(before, next)) else { return };
        if is_over(next) {
            self.open.remove(place);
        } else {
            self.open[place] = next.clone();
        }
        let waits = |other: &Action| other.kind == next.kind && other.state == ActionState::Pending;
        if self.open.iter().any(waits) {
            // A later one of its kind holds.
            return;
        }
        match next.state {
            ActionState::Done => {
                let held = self.holds.iter_mut().find(|hold| hold.kind == next.kind && hold.acted);
                if let Some(hold) = held {
                    hold.until_ms = next.effect_ms().saturating_add(hold.holds_ms);
                }
            }
            // What failed may be asked for again at once.
            ActionState::Failed => self.release(next.kind),
            _ => {}
        }
    }

    /// Nothing holds actions of this kind any more.
    pub fn release(&mut self, kind: ActionKind) {
        self.holds.retain(|hold| hold.kind != kind);
    }

    /// Whether the account was last said to stand in any other way than well.
    fn stands_out(&self) -> bool {
        self.standing.as_ref().is_some_and(|standing| standing.status != StandingStatus::Good)
    }

    /// The earliest processing time at which something is to be done about the account.
    fn due_ms(&self) -> Option<i64> {
        self.open.iter().filter_map(due_of).chain(self.standing.as_ref().map(standing_due_ms)).min()
    }

    /// From which processing time on nothing is lost with it.
    fn end_ms(&self) -> i64 {
        if !self.open.is_empty() || self.stands_out() {
            return i64::MAX;
        }
        let holds = self.holds.iter().map(|hold| hold.until_ms);
        let told = self.standing.as_ref().map(standing_due_ms);
        holds.chain(self.counted_ms.map(counted_until)).chain(told).max().unwrap_or(i64::MIN)
    }
}

/// What is remembered of every account.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    kept: BTreeMap<AccountId, Kept>,
    /// Accounts about which something is to be done, by when.
    by_due: BTreeSet<(i64, AccountId)>,
    /// Accounts by when nothing is lost with them.
    by_end: BTreeSet<(i64, AccountId)>,
    /// Accounts that changed since the last snapshot.
    changed: BTreeSet<AccountId>,
}

/// How many accounts were forgotten, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Forgotten {
    pub expired: u64,
    pub by_cap: u64,
    /// Those of them that were told to stand in some way, in the order in which they went.
    pub told: Vec<AccountId>,
}

impl Accounts {
    /// What is remembered of an account, to be put back with [`Self::put`].
    pub fn get(&self, account: AccountId) -> Kept {
        self.kept.get(&account).cloned().unwrap_or_default()
    }

    /// Remembers this of an account, in place of what was.
    pub fn put(&mut self, account: AccountId, mut kept: Kept) {
        let is_open = |action_id: &ActionId| kept.open.iter().any(|action| action.action_id == *action_id);
        kept.evidence.retain(|action_id, _| is_open(action_id));
        self.set(account, kept);
        self.changed.insert(account);
    }

    fn set(&mut self, account: AccountId, kept: Kept) {
        self.remove(account);
        if kept == Kept::default() {
            return;
        }
        self.by_due.extend(kept.due_ms().map(|due_ms| (due_ms, account)));
        self.by_end.insert((kept.end_ms(), account));
        self.kept.insert(account, kept);
    }

    fn remove(&mut self, account: AccountId) {
        if let Some(kept) = self.kept.remove(&account) {
            if let Some(due_ms) = kept.due_ms() {
                self.by_due.remove(&(due_ms, account));
            }
            self.by_end.remove(&(kept.end_ms(), account));
        }
    }

    /// Accounts of which an action is under way that is meant, in order.
    pub fn with_open(&self, is_meant: impl Fn(&Action) -> bool) -> Vec<AccountId> {
        let meant = self.kept.iter().filter(|(_, kept)| kept.open.iter().any(&is_meant));
        meant.map(|(account, _)| *account).collect()
    }

    /// Whether an action of the account is under way.
    pub fn has_open(&self, account: AccountId) -> bool {
        self.kept.get(&account).is_some_and(|kept| !kept.open.is_empty())
    }

    /// The earliest processing time at which something is to be done.
    pub fn due_ms(&self) -> Option<i64> {
        self.by_due.first().map(|(due_ms, _)| *due_ms)
    }

    /// Accounts about which something is to be done by `taken_ms`, at most `accounts_max`, the earliest
    /// first.
    pub fn due(&self, taken_ms: i64, accounts_max: usize) -> Vec<AccountId> {
        let due = self.by_due.iter().take_while(|(due_ms, _)| *due_ms <= taken_ms);
        due.take(accounts_max).map(|(_, account)| *account).collect()
    }

    /// Forgets what holds nothing any more at `taken_ms`, and what is over the cap.
    pub fn evict(&mut self, taken_ms: i64) -> Forgotten {
        let mut forgotten = Forgotten::default();
        while let Some((end_ms, account)) = self.by_end.first().copied() {
            let has_expired = end_ms <= taken_ms;
            if !has_expired && self.kept.len() <= ACCOUNTS_MAX {
                break;
            }
            // Each is a record of the epoch. What stays is due still, and goes with the next one.
            if has_expired && forgotten.told.len() >= DUE_PER_EPOCH_MAX {
                break;
            }
            if has_expired {
                forgotten.expired += 1
            } else {
                forgotten.by_cap += 1
            }
            if self.kept.get(&account).is_some_and(|kept| kept.standing.is_some()) {
                forgotten.told.push(account);
            }
            self.remove(account);
            self.changed.insert(account);
        }
        forgotten
    }

    pub fn len(&self) -> usize {
        self.kept.len()
    }

    pub fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Accounts that changed since the last call, in order, with what is remembered of them; none for a
    /// forgotten account.
    pub fn take_changes(&mut self) -> impl Iterator<Item = (AccountId, Option<Vec<u8>>)> + '_ {
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|account| (account, self.kept.get(&account).map(encode)))
    }

    /// Takes back what [`Self::take_changes`] gave, here or, without `has_evidence`, of a build that kept no
    /// evidence.
    pub fn restore(&mut self, account: AccountId, body: &[u8], has_evidence: bool) -> Result<(), String> {
        self.set(account, decode(body, has_evidence)?);
        Ok(())
    }

    pub fn forget(&mut self, account: AccountId) {
        self.remove(account);
    }
}

/// Kind, tier, ring, acted (a byte each), end, length and subject (8 bytes each, big-endian) of a hold.
const HOLD_BYTES: usize = 28;

/// Number of holds (a byte), the holds; number of open actions, of standings and of times counted (a byte
/// each), the time (8 bytes, big-endian), the number of pieces of evidence (a byte); the actions, the
/// standing, the evidence. The numbers, each action, the standing and each piece of evidence stand behind
/// their length (4 bytes, big-endian); actions and standing are Avro datums.
fn encode(kept: &Kept) -> Vec<u8> {
    let mut out = vec![kept.holds.len() as u8];
    for hold in &kept.holds {
        out.extend_from_slice(&[hold.kind as u8, hold.tier as u8, hold.ring as u8, u8::from(hold.acted)]);
        out.extend_from_slice(&hold.until_ms.to_be_bytes());
        out.extend_from_slice(&hold.holds_ms.to_be_bytes());
        out.extend_from_slice(&hold.subject.to_be_bytes());
    }
    let mut datum = |bytes: Vec<u8>| {
        out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        out.extend_from_slice(&bytes);
    };
    let open: Vec<Vec<u8>> = kept.open.iter().map(Record::to_datum).collect();
    let standing = kept.standing.as_ref().map(Record::to_datum);
    let counts = [open.len() as u8, u8::from(standing.is_some()), u8::from(kept.counted_ms.is_some())];
    datum([&counts[..], &kept.counted_ms.unwrap_or(0).to_be_bytes(), &[kept.evidence.len() as u8]].concat());
    let evidence = kept.evidence.iter().map(|(action_id, evidence)| encode_evidence(*action_id, evidence));
    open.into_iter().chain(standing).chain(evidence).for_each(datum);
    out
}

/// Action (16 bytes), score (8 bytes, big-endian), and each family behind its length (4 bytes, big-endian).
fn encode_evidence(action_id: ActionId, evidence: &StandingEvidence) -> Vec<u8> {
    let mut out = [&action_id.0[..], &evidence.score.to_be_bytes()].concat();
    for family in &evidence.families {
        out.extend_from_slice(&(family.len() as u32).to_be_bytes());
        out.extend_from_slice(family.as_bytes());
    }
    out
}

/// A build that kept no evidence wrote no number of it, and standings without that field.
fn decode(body: &[u8], has_evidence: bool) -> Result<Kept, String> {
    let short = || "what is remembered of an account is cut short".to_owned();
    let (count, mut rest) = body.split_first().ok_or_else(short)?;
    let mut kept = Kept::default();
    for _ in 0..*count {
        let (hold, after) = rest.split_first_chunk::<HOLD_BYTES>().ok_or_else(short)?;
        kept.holds.push(decode_hold(hold).ok_or("an action in force has no known kind")?);
        rest = after;
    }
    let counts = datum(&mut rest).ok_or_else(short)?;
    let (counts, time) = counts.split_first_chunk::<3>().ok_or_else(short)?;
    let [open, standings, counted] = *counts;
    let (counted_ms, evidence) = time.split_first_chunk::<8>().ok_or_else(short)?;
    kept.counted_ms = (counted == 1).then_some(i64::from_be_bytes(*counted_ms));
    let evidence = if has_evidence { *evidence.first().ok_or_else(short)? } else { 0 };
    if kept.holds.len() > ActionKind::ALL.len() || usize::from(open) > OPEN_MAX || standings > 1 {
        return Err(format!("{count} holds, {open} actions and {standings} standings are too many"));
    }
    for _ in 0..open {
        let action = Action::decode(datum(&mut rest).ok_or_else(short)?);
        kept.open.push(action.map_err(|error| error.to_string())?);
    }
    if standings == 1 {
        let mut told = datum(&mut rest).ok_or_else(short)?.to_vec();
        if !has_evidence {
            told.push(NO_EVIDENCE);
        }
        kept.standing = Some(Standing::decode(&told).map_err(|error| error.to_string())?);
    }
    for _ in 0..evidence {
        let piece = datum(&mut rest).ok_or_else(short)?;
        let (action_id, evidence) = decode_evidence(piece).ok_or("evidence is damaged")?;
        kept.evidence.insert(action_id, evidence);
    }
    if rest.is_empty() { Ok(kept) } else { Err(format!("{} bytes follow what is remembered", rest.len())) }
}

/// What stands in the datum of a standing in place of evidence that is not known.
const NO_EVIDENCE: u8 = 0;

fn decode_evidence(input: &[u8]) -> Option<(ActionId, StandingEvidence)> {
    let (action_id, rest) = input.split_first_chunk::<16>()?;
    let (score, mut rest) = rest.split_first_chunk::<8>()?;
    let mut evidence = StandingEvidence { score: f64::from_be_bytes(*score), families: Vec::new() };
    while !rest.is_empty() {
        evidence.families.push(std::str::from_utf8(datum(&mut rest)?).ok()?.to_owned());
    }
    Some((ActionId(*action_id), evidence))
}

fn datum<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = input.split_first_chunk::<4>()?;
    let (datum, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *input = rest;
    Some(datum)
}

fn decode_hold(chunk: &[u8; HOLD_BYTES]) -> Option<Hold> {
    let [kind, tier, ring, acted, rest @ ..] = chunk;
    let (numbers, _) = rest.as_chunks::<8>();
    Some(Hold {
        kind: *ActionKind::ALL.get(usize::from(*kind))?,
        tier: *Tier::ALL.get(usize::from(*tier))?,
        ring: i32::from(*ring),
        acted: *acted == 1,
        until_ms: i64::from_be_bytes(*numbers.first()?),
        holds_ms: i64::from_be_bytes(*numbers.get(1)?),
        subject: u64::from_be_bytes(*numbers.get(2)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::WATCH_MS;
    use proptest::prelude::*;

    fn hold(kind: ActionKind, until_ms: i64) -> Hold {
        Hold { kind, tier: Tier::High, ring: 2, acted: true, until_ms, holds_ms: 5, subject: 7 }
    }

    fn holding(until_ms: i64) -> Kept {
        Kept { holds: vec![hold(ActionKind::RateLimit, until_ms)], ..Kept::default() }
    }

    fn done(expires_ms: i64) -> Action {
        let expires_ms = Some(expires_ms);
        Action { state: ActionState::Done, kind: ActionKind::Suspend, expires_ms, ..Action::default() }
    }

    #[test]
    fn an_action_is_in_force_until_its_end_and_no_longer() {
        let kept = holding(1000);
        assert!(kept.hold_at(ActionKind::RateLimit, 999).is_some());
        assert!(kept.hold_at(ActionKind::RateLimit, 1000).is_none());
        assert!(kept.hold_at(ActionKind::Review, 999).is_none());
    }

    #[test]
    fn an_account_is_forgotten_when_nothing_holds_and_never_while_an_action_is_under_way() {
        let mut accounts = Accounts::default();
        let (held, open) = (AccountId([1; 16]), AccountId([2; 16]));
        accounts.put(held, holding(1000));
        accounts.put(open, Kept { open: vec![done(500)], ..holding(1000) });
        assert_eq!((accounts.due_ms(), accounts.due(499, 9)), (Some(500), vec![]));
        assert_eq!(accounts.due(500, 9), [open]);
        assert_eq!(accounts.evict(999), Forgotten::default());
        assert_eq!(accounts.evict(i64::MAX - 1), Forgotten { expired: 1, ..Forgotten::default() });
        accounts.put(open, Kept::default());
        assert_eq!((accounts.len(), accounts.by_end.len(), accounts.by_due.len()), (0, 0, 0));
        assert_eq!(accounts.take_changes().map(|(_, body)| body).collect::<Vec<_>>(), [None, None]);
    }

    #[test]
    fn an_account_of_which_something_was_told_is_not_forgotten_without_saying_so() {
        let told = |status, since_ms| Standing { status, since_ms, ..Standing::default() };
        let mut accounts = Accounts::default();
        let (good, suspended) = (AccountId([1; 16]), AccountId([2; 16]));
        for (account, standing) in
            [(good, told(StandingStatus::Good, 1000)), (suspended, told(StandingStatus::Suspended, 0))]
        {
            accounts.put(account, Kept { standing: Some(standing), ..holding(500) });
        }
        assert_eq!(accounts.due_ms(), Some(1000 + WATCH_MS));
        assert_eq!(accounts.evict(1000 + WATCH_MS - 1), Forgotten::default());
        let forgotten = Forgotten { expired: 1, by_cap: 0, told: vec![good] };
        assert_eq!(accounts.evict(1000 + WATCH_MS), forgotten);
        assert_eq!(accounts.evict(i64::MAX - 1), Forgotten::default(), "nobody undid it");
    }

    #[test]
    fn after_a_long_pause_no_epoch_takes_back_more_than_it_may() {
        let mut accounts = Accounts::default();
        let good = Standing { status: StandingStatus::Good, ..Standing::default() };
        for n in 0..=DUE_PER_EPOCH_MAX as u128 {
            accounts
                .put(AccountId(n.to_be_bytes()), Kept { standing: Some(good.clone()), ..Kept::default() });
        }
        assert_eq!(accounts.evict(i64::MAX - 1).told.len(), DUE_PER_EPOCH_MAX);
        assert!(accounts.due_ms().is_some_and(|due_ms| due_ms < i64::MAX - 1), "the rest is due");
        assert_eq!(accounts.evict(i64::MAX - 1).told.len(), 1);
    }

    /// What version 14 of the decisions wrote of an account that is suspended until a person undoes it.
    const WITHOUT_EVIDENCE: &str = "010102020100000000000003e8000000000000000500000000000000070000000b0101010000000000\
        0000070000004703030303030303030303030303030303000861636d6501010101010101010101010101010101040404040404040404\
        0404040404040406000a000002a01f02000002d00f0000000000003b010101010101010101010101010101010861636d6504d00f0003\
        03030303030303030303030303030304040404040404040404040404040404d00f";

    #[test]
    fn what_a_build_remembered_that_kept_no_evidence_is_read_and_has_none() {
        let body = weir_schemas::hex::unhex::<182>(WITHOUT_EVIDENCE).unwrap();
        let kept = decode(&body, false).unwrap();
        let standing = kept.standing.clone().unwrap();
        assert_eq!((standing.tenant.as_str(), standing.status), ("acme", StandingStatus::Suspended));
        assert_eq!((standing.told_ms, standing.evidence), (1_000, None));
        assert_eq!((kept.counted_ms, kept.evidence.len()), (Some(7), 0));
        assert_eq!(kept.under_way(|action| action.expires_ms == Some(2_000)).len(), 1);
        assert!(decode(&body, true).is_err(), "it is not what this build writes");
    }

    #[test]
    fn evidence_goes_with_its_action() {
        let mut accounts = Accounts::default();
        let (id, evidence) = (ActionId([1; 16]), StandingEvidence { score: 0.9, families: vec![] });
        let open = vec![Action { action_id: id, ..done(500) }];
        let evidence = BTreeMap::from([(id, evidence.clone()), (ActionId([2; 16]), evidence)]);
        let account = AccountId([1; 16]);
        accounts.put(account, Kept { open, evidence, ..Kept::default() });
        assert_eq!(accounts.get(account).evidence.into_keys().collect::<Vec<_>>(), [id]);
    }

    #[test]
    fn over_the_cap_the_account_whose_holds_end_first_is_forgotten_and_counted() {
        let mut accounts = Accounts::default();
        for n in 0..=ACCOUNTS_MAX {
            accounts.put(AccountId((n as u128).to_be_bytes()), holding(1_000_000 - n as i64));
        }
        assert_eq!(accounts.evict(0), Forgotten { by_cap: 1, ..Forgotten::default() });
        let last = AccountId((ACCOUNTS_MAX as u128).to_be_bytes());
        assert_eq!(accounts.get(last), Kept::default());
        assert_eq!(accounts.len(), ACCOUNTS_MAX);
    }

    proptest! {
        #[test]
        fn what_is_remembered_comes_back_as_it_was(
            ends in prop::collection::vec(any::<(i64, i64, u64, bool)>(), 0..=5),
            expiries in prop::collection::vec(any::<i64>(), 0..=OPEN_MAX),
            until in any::<Option<Option<i64>>>(),
            counted_ms in any::<Option<i64>>(),
            scores in prop::collection::btree_map(any::<[u8; 16]>(), (0.0..=1.0, "[a-z]{0,9}"), 0..=3),
        ) {
            let holds = ends.iter().zip(ActionKind::ALL).map(|((until_ms, holds_ms, subject, acted), kind)| Hold {
                subject: *subject, holds_ms: *holds_ms, acted: *acted, ..hold(*kind, *until_ms)
            });
            let evidence = scores.into_iter().map(|(id, (score, family))| {
                (ActionId(id), StandingEvidence { score, families: vec!["volume".into(), family] })
            });
            let evidence: BTreeMap<_, _> = evidence.collect();
            let told = evidence.values().next().cloned();
            let standing = until.map(|until_ms| {
                Standing { until_ms, tenant: "t".into(), evidence: told, ..Standing::default() }
            });
            let open = expiries.into_iter().map(done).collect();
            let kept = Kept { holds: holds.collect(), open, evidence, standing, counted_ms };
            prop_assert_eq!(decode(&encode(&kept), true), Ok(kept));
        }

        #[test]
        fn damaged_memory_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..130)) {
            let _ = (decode(&bytes, true), decode(&bytes, false));
        }
    }
}
