//! What is in force of the kill switch: a fold over the words, which believes nobody.

use super::kind::{PersonRole, RequestKind};
use super::refused::Refused;
use super::words::{APPROVAL_PREFIX, Approval, PERSONS_NAME, Persons, REQUEST_PREFIX, Request, shown};
use crate::lifecycle::is_in_force;
use crate::limits::{
    GLASS_LASTS_MS, GLASS_REST_MS, REQUEST_AHEAD_MS, REQUEST_KNOWN_MS, REQUESTS_OPEN_EACH_MAX,
    REQUESTS_OPEN_MAX, REQUESTS_SETTLED_EACH_MAX,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use weir_schemas::{Action, ActionState};

/// A request that waits for approvals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// What was asked for.
    pub request: Request,
    /// Who has approved so far, by the role as which they did.
    pub approvals: BTreeMap<PersonRole, String>,
}

/// What persons switched to, and by which request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    /// [`RequestKind::EnableAuditOnly`] or [`RequestKind::EmergencyShutdown`].
    pub kind: RequestKind,
    /// The request.
    pub request_id: String,
    /// Since when, by the log's time.
    pub since_ms: i64,
}

/// The glass, while it is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glass {
    /// The request.
    pub request_id: String,
    /// Until when.
    pub until_ms: i64,
}

/// Which actions under way a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SweepOf {
    /// Those that wait for their executor.
    Waiting,
    /// Those too that are in force.
    All,
}

/// What a request ends, until there is no more of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// Which actions.
    pub of: SweepOf,
    /// Actions whose last transition was up to then, by the clock that transitions have, once the switch is
    /// off.
    pub until_ms: i64,
    /// The request, as the reason says it.
    pub why: String,
}

impl Sweep {
    /// Whether this action is one of them. What is over anyway and what only shows an account to people is
    /// none. While the switch is on nothing new begins: whatever is under way was before it, whatever the
    /// clocks say.
    pub fn means(&self, action: &Action, is_on: bool) -> bool {
        let is_of = action.state == ActionState::Pending || (is_in_force(action) && self.of == SweepOf::All);
        is_of && (is_on || action.taken_ms <= self.until_ms)
    }
}

/// A request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SettledForm")]
struct Settled {
    requester: String,
    /// Until when it was good.
    expires_ms: i64,
}

impl Settled {
    /// Whether it must still be known by then.
    fn is_known(&self, now_ms: i64) -> bool {
        self.expires_ms.saturating_add(REQUEST_KNOWN_MS) >= now_ms
    }
}

/// How a state may have it: older ones do not say who asked.
#[derive(Deserialize)]
#[serde(untagged)]
enum SettledForm {
    Now { requester: String, expires_ms: i64 },
    Older(i64),
}

impl From<SettledForm> for Settled {
    fn from(form: SettledForm) -> Self {
        match form {
            SettledForm::Now { requester, expires_ms } => Self { requester, expires_ms },
            SettledForm::Older(expires_ms) => Self { requester: String::new(), expires_ms },
        }
    }
}

/// What is in force, and what is known of what was said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Kept {
    persons: Option<Persons>,
    open: BTreeMap<String, Open>,
    settled: BTreeMap<String, Settled>,
    switched: Option<Switched>,
    glass: Option<Glass>,
    /// Who broke the glass, and when last.
    broke_ms: BTreeMap<String, i64>,
    sweep: Option<Sweep>,
}

/// The kill switch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KillSwitch {
    /// The deployment's root key; without one nobody is believed.
    root: Option<[u8; 32]>,
    kept: Kept,
}

/// A word that was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// These are the persons from now on; what was open stays where who asked and who approved are the same.
    Persons(Persons),
    /// This is asked for, and waits.
    Asked(Request),
    /// This role approves, and others are still to.
    Approved {
        /// The request.
        request_id: String,
        /// As what.
        role: PersonRole,
        /// Who.
        by: String,
    },
    /// All have approved: it is done.
    Done {
        /// The request.
        request: Request,
        /// Everybody who approved.
        approvals: BTreeMap<PersonRole, String>,
        /// When, by the log's time.
        at_ms: i64,
    },
}

impl KillSwitch {
    /// A kill switch that nobody has touched. Persons are those that the root key signs.
    pub fn new(root: Option<[u8; 32]>) -> Self {
        Self { root, kept: Kept::default() }
    }

    /// Whether the name of a control record is one of these words.
    pub fn is_meant(name: &str) -> bool {
        name.starts_with("kill-switch/")
    }

    /// Whether a word is to be believed, and what it comes to. `heard_ms` is when the log took it.
    ///
    /// # Errors
    /// Why it is refused; it changes nothing then.
    pub fn hear(&self, name: &str, body: &str, heard_ms: i64) -> Result<Heard, Refused> {
        let root = self.root.ok_or(Refused::NoRoot)?;
        if name == PERSONS_NAME {
            return self.hear_persons(body, &root);
        }
        let persons = self.kept.persons.as_ref().ok_or(Refused::NoPersons)?;
        if name.starts_with(REQUEST_PREFIX) {
            let request = Request::read(body)?;
            is_named(name, &request.record_name())?;
            self.hear_request(request, persons, &root, heard_ms)
        } else if name.starts_with(APPROVAL_PREFIX) {
            let approval = Approval::read(body)?;
            is_named(name, &approval.record_name())?;
            self.hear_approval(&approval, persons, &root, heard_ms)
        } else {
            Err(Refused::Malformed(format!("{:?} is no word to the kill switch", shown(name))))
        }
    }

    fn hear_persons(&self, body: &str, root: &[u8; 32]) -> Result<Heard, Refused> {
        let persons = Persons::read(body, root)?;
        match &self.kept.persons {
            Some(now) if persons == *now => {
                Err(Refused::Replayed { what: "these are the persons in force".into() })
            }
            Some(now) if persons.version <= now.version => {
                Err(Refused::RolledBack { found: persons.version, in_force: now.version })
            }
            _ => Ok(Heard::Persons(persons)),
        }
    }

    fn hear_request(
        &self,
        request: Request,
        persons: &Persons,
        root: &[u8; 32],
        heard_ms: i64,
    ) -> Result<Heard, Refused> {
        let requester = persons.get(&request.requester)?;
        request.check_signature(requester, root)?;
        if requester.roles.iter().all(|role| *role == PersonRole::Analyst) {
            return Err(Refused::OnlyAnalyst { name: request.requester });
        }
        let (request_id, created_ms) = (request.request_id.clone(), request.created_ms);
        if self.kept.open.contains_key(&request_id) || self.kept.settled.contains_key(&request_id) {
            return Err(Refused::Replayed { what: format!("request {request_id} was made before") });
        }
        is_in_time(&request_id, request.expires_ms, heard_ms)?;
        if created_ms > heard_ms.saturating_add(REQUEST_AHEAD_MS) {
            return Err(Refused::FromTheFuture { request_id, created_ms, heard_ms });
        }
        let settled = self.kept.settled.values();
        let settled =
            settled.filter(|settled| settled.requester == request.requester && settled.is_known(heard_ms));
        if settled.count() >= REQUESTS_SETTLED_EACH_MAX {
            return Err(Refused::TooManySettled { name: request.requester });
        }
        // Who has the one role that is asked need not ask anybody.
        if let [role] = request.request_type.roles()
            && requester.roles.contains(role)
        {
            return self.done(request.clone(), BTreeMap::from([(*role, request.requester)]), heard_ms);
        }
        let is_open = |open: &&Open| open.request.expires_ms >= heard_ms;
        let of_them = |open: &&Open| is_open(open) && open.request.requester == request.requester;
        if self.kept.open.values().filter(of_them).count() >= REQUESTS_OPEN_EACH_MAX {
            return Err(Refused::TooManyOfOne { name: request.requester });
        }
        if self.kept.open.values().filter(is_open).count() >= REQUESTS_OPEN_MAX {
            return Err(Refused::TooMany);
        }
        Ok(Heard::Asked(request))
    }

    fn hear_approval(
        &self,
        approval: &Approval,
        persons: &Persons,
        root: &[u8; 32],
        heard_ms: i64,
    ) -> Result<Heard, Refused> {
        let approver = persons.get(&approval.approver)?;
        approval.check_signature(approver, root)?;
        let (request_id, role, by) = (approval.request_id.clone(), approval.role, approver.name.clone());
        if self.kept.settled.contains_key(&request_id) {
            return Err(Refused::Replayed { what: format!("request {request_id} was carried out before") });
        }
        let Some(open) = self.kept.open.get(&request_id) else {
            return Err(Refused::UnknownRequest { request_id: shown(&request_id) });
        };
        if !approval.is_of(&open.request, root) {
            return Err(Refused::OtherPayload { request_id });
        }
        is_in_time(&request_id, open.request.expires_ms, heard_ms)?;
        let kind = open.request.request_type;
        if !kind.roles().contains(&role) {
            return Err(Refused::NotAsked { kind, role });
        }
        if by == open.request.requester {
            return Err(Refused::SelfApproved { name: by });
        }
        if !approver.roles.contains(&role) {
            return Err(Refused::NotTheirs { name: by, role });
        }
        if let Some((role, _)) = open.approvals.iter().find(|(other, name)| **name == by && **other != role) {
            return Err(Refused::OnePerson { name: by, role: *role });
        }
        if open.approvals.contains_key(&role) {
            return Err(Refused::Replayed {
                what: format!("the role {role} has approved of {request_id} before"),
            });
        }
        let mut approvals = open.approvals.clone();
        approvals.insert(role, by.clone());
        if kind.roles().iter().all(|role| approvals.contains_key(role)) {
            return self.done(open.request.clone(), approvals, heard_ms);
        }
        Ok(Heard::Approved { request_id, role, by })
    }

    fn done(
        &self,
        request: Request,
        approvals: BTreeMap<PersonRole, String>,
        at_ms: i64,
    ) -> Result<Heard, Refused> {
        if request.request_type == RequestKind::BreakGlass {
            let rests = |name: &&String| {
                let broke_ms = self.kept.broke_ms.get(*name);
                broke_ms.is_some_and(|broke_ms| at_ms < broke_ms.saturating_add(GLASS_REST_MS))
            };
            if let Some(name) = approvals.values().find(rests) {
                return Err(Refused::TooSoon { name: name.clone() });
            }
        }
        Ok(Heard::Done { request, approvals, at_ms })
    }

    /// Follows a word that was believed.
    pub fn follow(&mut self, heard: Heard) {
        let kept = &mut self.kept;
        match heard {
            Heard::Persons(persons) => {
                // A request and its approvals count only of those who are the same persons when it is done.
                let known = kept.persons.as_ref();
                let is_same = |name: &String| {
                    known.and_then(|known| known.get(name).ok()) == persons.get(name).ok()
                        && persons.get(name).is_ok()
                };
                kept.open.retain(|_, open| {
                    is_same(&open.request.requester) && open.approvals.values().all(is_same)
                });
                kept.broke_ms.retain(|name, _| persons.get(name).is_ok());
                kept.persons = Some(persons);
            }
            Heard::Asked(request) => {
                let now_ms = request.created_ms;
                kept.open.retain(|_, open| open.request.expires_ms >= now_ms);
                kept.settled.retain(|_, settled| settled.is_known(now_ms));
                let open = Open { request, approvals: BTreeMap::new() };
                kept.open.insert(open.request.request_id.clone(), open);
            }
            Heard::Approved { request_id, role, by } => {
                if let Some(open) = kept.open.get_mut(&request_id) {
                    open.approvals.insert(role, by);
                }
            }
            Heard::Done { request, approvals, at_ms } => {
                kept.open.remove(&request.request_id);
                kept.settled.retain(|_, settled| settled.is_known(at_ms));
                let (requester, expires_ms) = (request.requester.clone(), request.expires_ms);
                kept.settled.insert(request.request_id.clone(), Settled { requester, expires_ms });
                self.carry_out(&request, &approvals, at_ms);
            }
        }
    }

    fn carry_out(&mut self, request: &Request, approvals: &BTreeMap<PersonRole, String>, at_ms: i64) {
        let (kind, request_id) = (request.request_type, request.request_id.clone());
        let kept = &mut self.kept;
        // What an emergency still ends, it ends.
        let ends_all = kept.sweep.as_ref().is_some_and(|sweep| sweep.of == SweepOf::All);
        let sweep = |of| {
            let of = if ends_all { SweepOf::All } else { of };
            Some(Sweep { of, until_ms: at_ms, why: format!("{kind}, request {request_id}") })
        };
        match kind {
            RequestKind::EnableAuditOnly => {
                kept.sweep = sweep(SweepOf::Waiting);
                kept.switched = Some(Switched { kind, request_id, since_ms: at_ms });
            }
            RequestKind::EmergencyShutdown => {
                kept.sweep = sweep(SweepOf::All);
                kept.switched = Some(Switched { kind, request_id, since_ms: at_ms });
            }
            RequestKind::BreakGlass => {
                kept.sweep = sweep(SweepOf::All);
                let until_ms = at_ms.saturating_add(GLASS_LASTS_MS);
                kept.broke_ms.extend(approvals.values().map(|name| (name.clone(), at_ms)));
                kept.glass = Some(Glass { request_id, until_ms });
            }
            RequestKind::FlushJournal => kept.sweep = sweep(SweepOf::Waiting),
            RequestKind::RestoreNormal => (kept.switched, kept.glass) = (None, None),
        }
    }

    /// Whether nothing may be acted on at this time.
    pub fn is_on(&self, now_ms: i64) -> bool {
        self.kept.switched.is_some() || self.glass(now_ms).is_some()
    }

    /// What persons switched to.
    pub fn switched(&self) -> Option<&Switched> {
        self.kept.switched.as_ref()
    }

    /// The glass, where it is broken at this time.
    pub fn glass(&self, now_ms: i64) -> Option<&Glass> {
        self.kept.glass.as_ref().filter(|glass| now_ms < glass.until_ms)
    }

    /// Why nothing may be acted on at this time; none where it may.
    pub fn withholds(&self, now_ms: i64) -> Option<String> {
        let (kind, request_id) = match (&self.kept.switched, self.glass(now_ms)) {
            (Some(switched), _) => (switched.kind, &switched.request_id),
            (None, Some(glass)) => (RequestKind::BreakGlass, &glass.request_id),
            (None, None) => return None,
        };
        Some(format!("the kill switch is on: {kind}, request {request_id}"))
    }

    /// Ends what ends by itself by `now_ms`: the request by which the glass was broken.
    pub fn mend(&mut self, now_ms: i64) -> Option<Glass> {
        let mended = self.kept.glass.take_if(|glass| now_ms >= glass.until_ms)?;
        self.sweep_up_to(now_ms.saturating_sub(1));
        Some(mended)
    }

    /// A word was followed by an enforcer whose clock says this: what that clock has seen begin before the
    /// word is ended, and after [`RequestKind::RestoreNormal`] what it has seen begin from then on is not.
    pub fn followed_at(&mut self, kind: RequestKind, taken_ms: i64) {
        let is_over = kind == RequestKind::RestoreNormal;
        self.sweep_up_to(if is_over { taken_ms.saturating_sub(1) } else { taken_ms });
    }

    fn sweep_up_to(&mut self, until_ms: i64) {
        if let Some(sweep) = &mut self.kept.sweep {
            sweep.until_ms = sweep.until_ms.max(until_ms);
        }
    }

    /// What is still to be ended.
    pub fn sweep(&self) -> Option<&Sweep> {
        self.kept.sweep.as_ref()
    }

    /// All of it is ended.
    pub fn swept(&mut self) {
        self.kept.sweep = None;
    }

    /// When something is to be done whether or not a word comes.
    pub fn due_ms(&self) -> Option<i64> {
        let sweep = self.kept.sweep.as_ref().map(|sweep| sweep.until_ms);
        self.kept.glass.as_ref().map(|glass| glass.until_ms).into_iter().chain(sweep).min()
    }

    /// The persons in force.
    pub fn persons(&self) -> Option<&Persons> {
        self.kept.persons.as_ref()
    }

    /// Requests that wait for approvals, in the order of their ids.
    pub fn open(&self) -> impl Iterator<Item = &Open> {
        self.kept.open.values()
    }

    /// The state, for a snapshot.
    pub fn encode(&self) -> Vec<u8> {
        // Of maps with text as keys, which every JSON can have.
        serde_json::to_vec(&self.kept).unwrap_or_default()
    }

    /// Takes back what [`Self::encode`] gave. Persons whom another root key signed are nobody; what they did
    /// stays done until persons of this root undo it.
    pub fn restore(&mut self, body: &[u8]) -> Result<(), String> {
        let mut kept: Kept = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let is_of = |persons: &Persons| self.root.is_some_and(|root| persons.is_of(&root));
        if !kept.persons.as_ref().is_some_and(is_of) {
            kept.persons = None;
            kept.open.clear();
            kept.broke_ms.clear();
        }
        self.kept = kept;
        Ok(())
    }

    /// The root key whose persons are believed.
    pub fn root(&self) -> Option<[u8; 32]> {
        self.root
    }

    /// Back to what nobody has touched.
    pub fn forget(&mut self) {
        self.kept = Kept::default();
    }

    /// Whether somebody has touched it.
    pub fn is_known(&self) -> bool {
        self.kept != Kept::default()
    }
}

impl Heard {
    /// What the audit record says of it.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Persons(_) => "persons_changed",
            Self::Asked(_) => "kill_switch_requested",
            Self::Approved { .. } => "kill_switch_approved",
            Self::Done { .. } => EXECUTED,
        }
    }
}

/// Outcome in the audit record of a request that is carried out.
pub const EXECUTED: &str = "kill_switch_executed";

/// Outcome in the audit record of a glass that mended by itself.
pub const MENDED: &str = "kill_switch_ended";

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Persons(persons) => {
                write!(f, "{} persons, version {}", persons.persons.len(), persons.version)
            }
            Self::Asked(request) => {
                let Request { request_id, request_type, requester, reason, .. } = request;
                write!(f, "{request_type}, request {request_id}, asked for by {requester}: {reason}")
            }
            Self::Approved { request_id, role, by } => {
                write!(f, "request {request_id}, approved by {by} as {role}")
            }
            Self::Done { request, approvals, .. } => {
                let Request { request_id, request_type, requester, reason, .. } = request;
                let by: Vec<String> =
                    approvals.iter().map(|(role, name)| format!("{name} as {role}")).collect();
                let by = by.join(", ");
                write!(
                    f,
                    "{request_type}, request {request_id}, asked for by {requester}, approved by {by}: {reason}"
                )
            }
        }
    }
}

fn is_named(name: &str, expected: &str) -> Result<(), Refused> {
    let malformed = || Refused::Malformed("the record's name is not that of its body".into());
    if name == expected { Ok(()) } else { Err(malformed()) }
}

fn is_in_time(request_id: &str, expires_ms: i64, heard_ms: i64) -> Result<(), Refused> {
    let request_id = request_id.to_owned();
    if heard_ms > expires_ms { Err(Refused::Expired { request_id, expires_ms, heard_ms }) } else { Ok(()) }
}
