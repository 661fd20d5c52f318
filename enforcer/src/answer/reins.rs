//! What keeps a server of gateways from holding an account on an early word: what operators and the persons
//! of the kill switch said on `weir.control`, folded as enforcers fold it. What an enforcer would withhold
//! for these, nobody is held on either.

use crate::kill_switch::KillSwitch;
use crate::limits::{EARLY_WORD_SKEW_MS_MAX, REINSTATED_MAX};
use crate::posture::{POSTURE_NAME, Stance};
use crate::rings::Ring;
use crate::safeguards::{Safeguards, Word};
use crate::subject::Subject;
use std::collections::HashMap;
use std::sync::Arc;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Control, ControlKind, Posture};
use weir_topology::record::RecordRef;

/// The ring of a limit, which is what a hold is.
const LIMIT_RING: i32 = 2;

/// Why nobody, or not this account, is held: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Withholds {
    /// The kill switch is on.
    KillSwitch,
    /// The posture is audit, or the account is outside the canary.
    Posture,
    /// The ring of limits is off.
    Ring,
    /// The account or its tenant is protected.
    Protected,
}

impl Withholds {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::KillSwitch, Self::Posture, Self::Ring, Self::Protected];

    /// Name in metrics and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KillSwitch => "kill_switch",
            Self::Posture => "posture",
            Self::Ring => "ring",
            Self::Protected => "protected",
        }
    }
}

/// What was said so far.
#[derive(Debug)]
pub struct Reins {
    wire: Arc<Wire>,
    stance: Stance,
    safeguards: Safeguards,
    given_back: GivenBack,
}

impl Reins {
    /// As a fresh install is: in audit posture. The kill switch believes the persons that `root` signs.
    pub fn new(wire: Arc<Wire>, root: Option<[u8; 32]>) -> Self {
        let mut safeguards = Safeguards::default();
        safeguards.kill_switch = KillSwitch::new(root);
        Self { wire, stance: Stance::default(), safeguards, given_back: GivenBack::default() }
    }

    /// Folds a record of `weir.control`, which was read at `now_ms`. What cannot be followed changes nothing,
    /// as with enforcers, which say so. What is given back is whom an operator gave access back by it.
    pub fn take(&mut self, record: RecordRef<'_>, now_ms: i64) -> Option<Subject> {
        let Some(payload) = record.payload else {
            if record.key == POSTURE_NAME.as_bytes() {
                self.stance = Stance::default();
            } else if let Ok(Some(word)) =
                self.safeguards.word_in(std::str::from_utf8(record.key).unwrap_or_default(), None)
            {
                self.follow(&word, record.timestamp_ms);
            }
            return None;
        };
        let control = self.wire.read::<Control>(payload).ok()?;
        match control.kind {
            ControlKind::Posture if control.name == POSTURE_NAME => {
                if let Ok(stance) = Stance::parse(&control.body) {
                    self.stance = stance;
                }
            }
            ControlKind::KillSwitch if record.key == control.name.as_bytes() => {
                let switch = &self.safeguards.kill_switch;
                if let Ok(heard) = switch.hear(&control.name, &control.body, record.timestamp_ms) {
                    self.follow(&Word::KillSwitch(Box::new(heard)), record.timestamp_ms);
                }
            }
            ControlKind::Setting => match self.safeguards.word_in(&control.name, Some(&control.body)) {
                Ok(Some(Word::Reinstate(word))) => {
                    self.given_back.note(word.subject.clone(), record.timestamp_ms, now_ms);
                    return Some(word.subject);
                }
                Ok(Some(word)) => self.follow(&word, record.timestamp_ms),
                Ok(None) | Err(_) => {}
            },
            _ => {}
        }
        None
    }

    fn follow(&mut self, word: &Word, heard_ms: i64) {
        // How many were acted on is known to enforcers alone.
        if matches!(word, Word::Listed(..) | Word::Ring(..) | Word::KillSwitch(_)) {
            self.safeguards.follow(word, heard_ms);
        }
    }

    /// Whether an operator gave this account access back since `told_ms`, as far as clocks can tell.
    pub fn was_reinstated_since(&self, tenant: &str, account: AccountId, told_ms: i64) -> bool {
        self.given_back.since(tenant, account, told_ms)
    }

    /// Why this account may not be held at this time; none where it may.
    pub fn withholds(&self, tenant: &str, account: AccountId, now_ms: i64) -> Option<Withholds> {
        let is_named =
            self.stance.posture == Posture::Canary && self.safeguards.canary.holds(tenant, account);
        if self.safeguards.kill_switch.is_on(now_ms) {
            Some(Withholds::KillSwitch)
        } else if !is_named && self.stance.withholds(account).is_some() {
            Some(Withholds::Posture)
        } else if self.safeguards.rings.get(LIMIT_RING) == Ring::Off {
            Some(Withholds::Ring)
        } else if self.safeguards.protected.holds(tenant, account) {
            Some(Withholds::Protected)
        } else {
            None
        }
    }
}

/// Whom operators gave access back, and until which time nothing that was told before counts against them.
#[derive(Debug, Default)]
struct GivenBack {
    until_ms: HashMap<Subject, i64>,
    /// The same of everybody: the latest time of those that there was no room for.
    everybody_until_ms: i64,
}

impl GivenBack {
    /// Notes a word that stands in the log since `heard_ms`, by the broker's clock, and was read at `now_ms`.
    fn note(&mut self, subject: Subject, heard_ms: i64, now_ms: i64) {
        // Whoever believes anything has a clock that is near to this one's. A broker's need not be.
        let said_ms = heard_ms.clamp(now_ms, now_ms.saturating_add(EARLY_WORD_SKEW_MS_MAX));
        let until_ms = said_ms.saturating_add(EARLY_WORD_SKEW_MS_MAX);
        if self.until_ms.len() >= REINSTATED_MAX && !self.until_ms.contains_key(&subject) {
            let latest_ms = self.until_ms.drain().map(|(_, until_ms)| until_ms).max();
            self.everybody_until_ms = self.everybody_until_ms.max(latest_ms.unwrap_or(0));
        }
        self.until_ms.insert(subject, until_ms);
    }

    /// Whether what was told of this account at `told_ms` may have been told before it was given access back.
    fn since(&self, tenant: &str, account: AccountId, told_ms: i64) -> bool {
        let is_before =
            |subject: Subject| self.until_ms.get(&subject).is_some_and(|until_ms| told_ms <= *until_ms);
        told_ms <= self.everybody_until_ms
            || is_before(Subject::Account(account))
            || is_before(Subject::Tenant(tenant.to_owned()))
    }
}
