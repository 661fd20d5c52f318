//! What keeps the enforcer from acting on the wrong account, too far, or on too many: the lists that
//! operators fill, the rings, and the limiter. All of it is set by control records and is part of the state.

use crate::kill_switch::{Heard, KillSwitch};
use crate::limiter::{
    LIMIT_NAME, Limit, Limiter, Pause, RESUME_NAME, Whose, tenant_cap_body, tenant_cap_in, whose,
};
use crate::limits::{
    LISTED_MAX, MINUTE_MS, REASON_BYTES_MAX, STORM_APPROVED_MS, TENANTS_COUNTED_MAX, TIME_MS_MAX,
};
use crate::reinstate::Reinstated;
use crate::rings::{RINGS, Ring, Rings};
use crate::storm::{Storm, Told};
use crate::subject::{List, ListName, OFF, ON, Subject};
use std::collections::BTreeSet;
use weir_schemas::AccountId;
use weir_topology::stage::StateEntry;

/// Name of the control record by which an operator undoes what is in force on a subject; [`crate::reinstate`]
/// is its body.
pub const REINSTATE_NAME: &str = "act.reinstate";

/// Name of the control record by which a person asks who stands behind a pseudonym: its body is that, and
/// why.
pub const REVEAL_NAME: &str = "act.reveal";

/// State key of the kill switch.
const KILL_SWITCH_KEY: &str = "!act.kill_switch";

/// State key of the limiter.
const LIMITER_KEY: &str = "!act.limiter";

/// What the state key of what the limiter counts of a tenant begins with; the tenant follows.
const TENANT_PREFIX: &str = "!act.limiter/";

/// State key of what is counted of a storm.
const STORM_KEY: &str = "!act.storm";

/// State key of the rings.
const RINGS_KEY: &str = "!act.rings";

/// What an operator says to the safeguards.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Word {
    /// Put this subject on a list, or take it off.
    Listed(ListName, Subject, bool),
    /// This is how far a ring reaches.
    Ring(u8, Ring),
    /// So many accounts may be acted on in an hour.
    Limit(Limit),
    /// So many accounts of a tenant may be; none where it has no cap of its own.
    TenantLimit(String, Option<u64>),
    /// The pause of a tenant, or of all, is over, which began up to this time; and no storm of theirs pauses
    /// for an hour.
    Resume(Whose, i64),
    /// The same where there is no such pause: for an hour from this time no storm of theirs pauses.
    ApproveStorms(Whose, i64),
    /// What is in force on a subject is undone.
    Reinstate(Box<Reinstated>),
    /// Somebody asks who this account is, and why.
    Reveal(AccountId, String),
    /// A person's signed word to the kill switch, which was believed.
    KillSwitch(Box<Heard>),
}

/// The safeguards of one partition.
#[derive(Debug, Default)]
pub(crate) struct Safeguards {
    pub canary: List,
    pub protected: List,
    pub kill_switch: KillSwitch,
    pub rings: Rings,
    pub limiter: Limiter,
    pub storm: Storm,
    /// State keys of what changed since the last snapshot.
    changed: BTreeSet<String>,
}

impl Safeguards {
    /// What a control record says to the safeguards; none where it is not for them, or changes nothing.
    /// `body` is none where the operator deleted the record: back to what a fresh install does.
    pub fn word_in(&self, name: &str, body: Option<&str>) -> Result<Option<Word>, String> {
        let word = if let Some((list, subject)) = ListName::of_record(name) {
            let is_on = match body.map(str::trim) {
                Some(ON) => true,
                Some(OFF) | None => false,
                Some(_) => return Err(format!("an entry of the list {list} must be {ON} or {OFF}")),
            };
            Word::Listed(list, Subject::parse(subject)?, is_on)
        } else if let Some(ring) = Rings::of_record(name) {
            Word::Ring(ring?, body.map_or(Ok(Ring::On), Ring::parse)?)
        } else if let Some(whose) = whose(LIMIT_NAME, name) {
            match whose? {
                Some(tenant) => Word::TenantLimit(tenant, body.map_or(Ok(None), tenant_cap_in)?),
                None => Word::Limit(body.map_or_else(|| Ok(Limit::default()), Limit::parse)?),
            }
        } else if let (Some(whose), Some(body)) = (whose(RESUME_NAME, name), body) {
            let (whose, until_ms) = (whose?, time_in(body)?);
            if self.limiter.would_resume(whose.as_deref(), until_ms) {
                Word::Resume(whose, until_ms)
            } else {
                Word::ApproveStorms(whose, until_ms)
            }
        } else {
            match (name, body) {
                (REVEAL_NAME, Some(body)) => reveal_in(body)?,
                (REINSTATE_NAME, Some(body)) => Word::Reinstate(Box::new(Reinstated::parse(body)?)),
                _ => return Ok(None),
            }
        };
        if let Word::Listed(list, _, true) = &word
            && self.list(*list).is_full()
        {
            return Err(format!("the list {list} has {LISTED_MAX} entries already: take some off first"));
        }
        if let Word::TenantLimit(tenant, Some(_)) = &word
            && self.limiter.is_full()
            && !self.limiter.tenants().any(|known| known == tenant)
        {
            return Err(format!(
                "the limiter counts {TENANTS_COUNTED_MAX} tenants already: take a limit off first, or wait an hour"
            ));
        }
        Ok(Some(word).filter(|word| self.is_news(word)))
    }

    fn is_news(&self, word: &Word) -> bool {
        match word {
            Word::Listed(list, subject, is_on) => self.list(*list).has(subject) != *is_on,
            Word::Ring(ring, said) => self.rings.get(i32::from(*ring)) != *said,
            Word::Limit(limit) => self.limiter.limit() != *limit,
            Word::TenantLimit(tenant, cap) => self.limiter.tenant_cap(tenant) != *cap,
            Word::ApproveStorms(None, until_ms) => self.storm.would_approve(*until_ms),
            Word::ApproveStorms(Some(tenant), until_ms) => {
                let found = self.limiter.found_of(tenant);
                self.limiter.counts_alone(tenant) && found.is_none_or(|found| found.would_approve(*until_ms))
            }
            Word::Resume(..) | Word::Reinstate(_) | Word::Reveal(..) | Word::KillSwitch(_) => true,
        }
    }

    /// In words: what gives way to what.
    pub fn change(&self, word: &Word) -> String {
        match word {
            Word::Listed(list, subject, true) => format!("{subject} is put on the list {list}"),
            Word::Listed(list, subject, false) => format!("{subject} is taken off the list {list}"),
            Word::Ring(ring, said) => {
                format!("ring {ring}: {} gives way to {said}", self.rings.get(i32::from(*ring)))
            }
            Word::Limit(limit) => format!("{LIMIT_NAME} {} gives way to {limit}", self.limiter.limit()),
            Word::TenantLimit(tenant, cap) => {
                let was = tenant_cap_body(self.limiter.tenant_cap(tenant));
                format!("{LIMIT_NAME} of tenant {tenant} {was} gives way to {}", tenant_cap_body(*cap))
            }
            Word::Resume(whose, _) => match self.limiter.pause_of(whose.as_deref()) {
                Some(pause) => format!("the pause since {} is over: {}", pause.since_ms, pause.why),
                None => "no pause is over".to_owned(),
            },
            Word::ApproveStorms(..) => {
                format!("no pause is over; no storm pauses for {} minutes", STORM_APPROVED_MS / MINUTE_MS)
            }
            Word::Reinstate(word) => {
                let named =
                    word.named.iter().map(|(_, action)| format!("{} {}", action.kind, action.action_id));
                let named = named.collect::<Vec<_>>().join(", ");
                let named = if named.is_empty() { named } else { format!("; the log names {named}") };
                format!("what is in force on {} is undone{named}", word.subject)
            }
            Word::Reveal(_, reason) => reason.clone(),
            Word::KillSwitch(heard) => heard.to_string(),
        }
    }

    /// Follows an operator's word. What is in force on accounts is the stage's business.
    /// `taken_ms` is the stage's clock.
    pub fn follow(&mut self, word: &Word, taken_ms: i64) {
        match word {
            Word::Listed(list, subject, is_on) => {
                self.list_mut(*list).set(subject.clone(), *is_on);
                self.changed.insert(format!("!{}", list.record_of(subject)));
            }
            Word::Ring(ring, said) => {
                self.rings.set(*ring, *said);
                self.changed.insert(RINGS_KEY.to_owned());
            }
            Word::Limit(limit) => {
                self.limiter.set_limit(*limit);
                self.limiter_changed();
            }
            Word::TenantLimit(tenant, cap) => {
                self.limiter.set_tenant_cap(tenant, *cap);
                self.limiter_changed_of(tenant);
            }
            Word::Resume(None, until_ms) => {
                self.limiter.resume(None, *until_ms, taken_ms);
                self.limiter_changed();
                self.approve_storms(None, *until_ms, taken_ms);
            }
            Word::Resume(Some(tenant), until_ms) => {
                self.limiter.resume(Some(tenant), *until_ms, taken_ms);
                self.approve_storms(Some(tenant), *until_ms, taken_ms);
            }
            Word::ApproveStorms(whose, until_ms) => {
                self.approve_storms(whose.as_deref(), *until_ms, taken_ms);
            }
            Word::Reinstate(_) | Word::Reveal(..) => {}
            Word::KillSwitch(heard) => {
                self.kill_switch.follow((**heard).clone());
                if let Heard::Done { request, .. } = &**heard {
                    self.kill_switch.followed_at(request.request_type, taken_ms);
                }
                self.kill_switch_changed();
            }
        }
    }

    fn approve_storms(&mut self, whose: Option<&str>, until_ms: i64, taken_ms: i64) {
        // A word about times to come does not approve of them.
        let until_ms = until_ms.min(taken_ms);
        let Some(tenant) = whose else {
            self.storm.approve(until_ms);
            return self.storm_changed();
        };
        if let Some(found) = self.limiter.found_of_mut(tenant) {
            found.approve(until_ms);
        }
        self.limiter_changed_of(tenant);
    }

    /// Counts an account that is found at CRITICAL; whose storm that makes.
    pub fn found(&mut self, tenant: &str, found_ms: i64, taken_ms: i64) -> Option<Told> {
        let told = self.storm.count(&mut self.limiter, tenant, found_ms, taken_ms);
        self.storm_changed();
        self.limiter_changed_of(tenant);
        if let Some(Told { whose: Some(whose), .. }) = &told {
            self.limiter_changed_of(whose);
        }
        told
    }

    /// Begins to pause, or takes over a pause that another build recorded.
    pub fn pause(&mut self, whose: Option<&str>, pause: Pause) {
        self.limiter.pauses(whose, pause);
        match whose {
            Some(tenant) => self.limiter_changed_of(tenant),
            None => self.limiter_changed(),
        }
    }

    /// The limiter is not what it was.
    pub fn limiter_changed(&mut self) {
        self.changed.insert(LIMITER_KEY.to_owned());
    }

    /// What the limiter counts of a tenant is not what it was.
    pub fn limiter_changed_of(&mut self, tenant: &str) {
        self.changed.insert(format!("{TENANT_PREFIX}{tenant}"));
    }

    /// Another account was acted on: what the limiter counts of all and of its tenant is not what it was.
    pub fn counted(&mut self, tenant: &str) {
        self.limiter_changed();
        self.limiter_changed_of(tenant);
    }

    /// What is counted of a storm is not what it was.
    pub fn storm_changed(&mut self) {
        self.changed.insert(STORM_KEY.to_owned());
    }

    /// Forgets what counts no more of tenants at `taken_ms`.
    pub fn evict(&mut self, taken_ms: i64) {
        for tenant in self.limiter.evict(taken_ms) {
            self.limiter_changed_of(&tenant);
        }
    }

    /// The kill switch is not what it was.
    pub fn kill_switch_changed(&mut self) {
        self.changed.insert(KILL_SWITCH_KEY.to_owned());
    }

    /// All of it in words, for the record of a takeover.
    pub fn shown(&self) -> String {
        let rings = RINGS.iter().map(|ring| self.rings.get(i32::from(*ring)).to_string());
        let paused = match self.limiter.pause() {
            Some(pause) => format!("paused since {}", pause.since_ms),
            None => "not paused".to_owned(),
        };
        let paused = match self.limiter.tenants_paused() {
            0 => paused,
            tenants => format!("{paused}, {tenants} tenants paused"),
        };
        let kill_switch = match (self.kill_switch.switched(), self.kill_switch.glass(i64::MIN)) {
            (Some(switched), _) => format!("kill switch {}", switched.kind),
            (None, Some(glass)) => format!("the glass broken until {}", glass.until_ms),
            (None, None) => "kill switch off".to_owned(),
        };
        format!(
            "{} protected, {} in the canary, rings {}, {LIMIT_NAME} {}, {paused}, {kill_switch}",
            self.protected.len(),
            self.canary.len(),
            rings.collect::<Vec<_>>().join(", "),
            self.limiter.limit(),
        )
    }

    pub fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Number of state entries.
    pub fn entries(&self) -> usize {
        let has_limiter = !self.limiter.is_default();
        let has_storm = self.storm != Storm::default();
        let has_rings = self.rings != Rings::default();
        let settings = [has_limiter, has_storm, has_rings, self.kill_switch.is_known()];
        let settings = settings.into_iter().filter(|has| *has).count();
        self.canary.len() + self.protected.len() + self.limiter.tenants().count() + settings
    }

    /// State entries that changed since the last call, in key order; all of their keys begin with `!ac`.
    pub fn take_changes(&mut self) -> Vec<StateEntry> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|key| StateEntry { body: self.body_of(&key), key: key.into() }).collect()
    }

    fn body_of(&self, key: &str) -> Option<Vec<u8>> {
        match key {
            KILL_SWITCH_KEY => Some(self.kill_switch.encode()),
            LIMITER_KEY => Some(self.limiter.encode()),
            STORM_KEY => Some(self.storm.encode()),
            RINGS_KEY => {
                let lines = RINGS.iter().map(|ring| self.rings.get(i32::from(*ring)).to_string());
                Some(lines.collect::<Vec<_>>().join("\n").into_bytes())
            }
            _ => {
                if let Some(tenant) = key.strip_prefix(TENANT_PREFIX) {
                    return self.limiter.encode_of(tenant);
                }
                let (list, subject) = listed(key)?;
                self.list(list).has(&subject.ok()?).then(|| ON.into())
            }
        }
    }

    /// Takes back an entry that [`Self::take_changes`] gave; none where the key is not of the safeguards.
    pub fn restore(&mut self, key: &[u8], body: &[u8]) -> Option<Result<(), String>> {
        let key = std::str::from_utf8(key).ok()?;
        Some(match key {
            KILL_SWITCH_KEY => self.kill_switch.restore(body),
            LIMITER_KEY => self.limiter.restore(body),
            STORM_KEY => Storm::decode(body).map(|storm| self.storm = storm),
            RINGS_KEY => self.restore_rings(body),
            _ => {
                if let Some(tenant) = key.strip_prefix(TENANT_PREFIX) {
                    return Some(self.limiter.restore_of(tenant, body));
                }
                let (list, subject) = listed(key)?;
                subject.map(|subject| self.list_mut(list).set(subject, true))
            }
        })
    }

    fn restore_rings(&mut self, body: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() != RINGS.len() {
            return Err(format!("{} rings, and there are {}", lines.len(), RINGS.len()));
        }
        for (ring, line) in RINGS.into_iter().zip(lines) {
            self.rings.set(ring, Ring::parse(line)?);
        }
        Ok(())
    }

    /// Forgets an entry; false where the key is not of the safeguards.
    pub fn forget(&mut self, key: &[u8]) -> bool {
        let Ok(key) = std::str::from_utf8(key) else { return false };
        match key {
            KILL_SWITCH_KEY => self.kill_switch.forget(),
            LIMITER_KEY => self.limiter.forget(),
            STORM_KEY => self.storm = Storm::default(),
            RINGS_KEY => self.rings = Rings::default(),
            _ if key.starts_with(TENANT_PREFIX) => self.limiter.forget_of(&key[TENANT_PREFIX.len()..]),
            _ => match listed(key) {
                Some((list, Ok(subject))) => self.list_mut(list).set(subject, false),
                _ => return false,
            },
        }
        true
    }

    fn list(&self, list: ListName) -> &List {
        match list {
            ListName::Canary => &self.canary,
            ListName::Protected => &self.protected,
        }
    }

    fn list_mut(&mut self, list: ListName) -> &mut List {
        match list {
            ListName::Canary => &mut self.canary,
            ListName::Protected => &mut self.protected,
        }
    }
}

/// The list and the subject of a state key; none where it is no list's.
fn listed(key: &str) -> Option<(ListName, Result<Subject, String>)> {
    let (list, subject) = ListName::of_record(key.strip_prefix('!')?)?;
    Some((list, Subject::parse(subject)))
}

fn reveal_in(body: &str) -> Result<Word, String> {
    let refused =
        || format!("{REVEAL_NAME} must be a pseudonym and a reason of 1 to {REASON_BYTES_MAX} bytes");
    let (account, reason) = body.split_once(' ').ok_or_else(refused)?;
    let account = account.parse().map_err(|_| refused())?;
    let is_reason = !reason.trim().is_empty() && reason.len() <= REASON_BYTES_MAX;
    if is_reason { Ok(Word::Reveal(account, reason.to_owned())) } else { Err(refused()) }
}

fn time_in(body: &str) -> Result<i64, String> {
    let time_ms = body.trim().parse().ok().filter(|time_ms| (0..=TIME_MS_MAX).contains(time_ms));
    time_ms.ok_or_else(|| format!("{RESUME_NAME} must be a time in milliseconds since 1970"))
}
