//! What keeps a server of gateways from holding an account on an early word: what operators and the persons
//! of the kill switch said on `weir.control`, folded as enforcers fold it. What an enforcer would withhold
//! for these, nobody is held on either.

use crate::kill_switch::KillSwitch;
use crate::posture::{POSTURE_NAME, Stance};
use crate::rings::Ring;
use crate::safeguards::{Safeguards, Word};
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
}

impl Reins {
    /// As a fresh install is: in audit posture. The kill switch believes the persons that `root` signs.
    pub fn new(wire: Arc<Wire>, root: Option<[u8; 32]>) -> Self {
        let mut safeguards = Safeguards::default();
        safeguards.kill_switch = KillSwitch::new(root);
        Self { wire, stance: Stance::default(), safeguards }
    }

    /// Folds a record of `weir.control`. What cannot be followed changes nothing, as with enforcers, which
    /// say so.
    pub fn take(&mut self, record: RecordRef<'_>) {
        let Some(payload) = record.payload else {
            if record.key == POSTURE_NAME.as_bytes() {
                self.stance = Stance::default();
            } else if let Ok(Some(word)) =
                self.safeguards.word_in(std::str::from_utf8(record.key).unwrap_or_default(), None)
            {
                self.follow(&word, record.timestamp_ms);
            }
            return;
        };
        let Ok(control) = self.wire.read::<Control>(payload) else { return };
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
            ControlKind::Setting => {
                if let Ok(Some(word)) = self.safeguards.word_in(&control.name, Some(&control.body)) {
                    self.follow(&word, record.timestamp_ms);
                }
            }
            _ => {}
        }
    }

    fn follow(&mut self, word: &Word, heard_ms: i64) {
        // How many were acted on is known to enforcers alone.
        if matches!(word, Word::Listed(..) | Word::Ring(..) | Word::KillSwitch(_)) {
            self.safeguards.follow(word, heard_ms);
        }
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
