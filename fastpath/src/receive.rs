//! What is believed of a datagram. In this order, so that the cheapest comes first and nothing that is not
//! proved changes anything but the counts of addresses: size, address, form, key, time, whether a stranger's
//! signature may be checked, signature, role and sender, content, whether it was heard before, how much its
//! sender says, age of its event.

use crate::bucket::{Addresses, Bucket};
use crate::keys::{Keys, Role};
use crate::limits::{BOOTS_MAX, EVENT_AGE_MS_MAX, FRESH_MS, IDLE_MS, PACKET_BYTES_MAX, SENDERS_MAX};
use crate::packet::{Alert, Header, Malformed};
use crate::window::{Heard, Window};
use std::collections::HashMap;
use std::net::IpAddr;

/// Why a datagram changes nothing: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It is larger than any.
    TooLarge,
    /// Its address sends too much, or its network where nothing was believed that came from there.
    AddressLimited,
    /// It is smaller than any.
    TooShort,
    /// It does not begin as one.
    InvalidMagic,
    /// It is of another version.
    InvalidVersion,
    /// It is of another type.
    InvalidType,
    /// It does not have the bytes that it says.
    InvalidLength,
    /// Nobody has a key of its number.
    UnknownKey,
    /// Its key is not good yet, or no longer.
    KeyNotGood,
    /// It was sent too long ago, or is from the future.
    Stale,
    /// Nothing was believed yet that came from its address, and as many signatures of such were checked as
    /// may
    /// be.
    StrangersLimited,
    /// It is not signed by that key.
    InvalidHmac,
    /// By that key nothing of its type may be said.
    InvalidRole,
    /// Its sender may not use that key.
    InvalidSender,
    /// What it says is not an alert.
    InvalidJson,
    /// It is a copy of one that was heard a moment ago.
    Duplicate,
    /// It was recorded and sent again, or comes far too late.
    Replay,
    /// More processes of its sender are heard at once than are told apart.
    Crowded,
    /// Its sender says too much.
    SenderLimited,
    /// Its event was too long ago.
    Late,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 20] = [
        Self::TooLarge,
        Self::AddressLimited,
        Self::TooShort,
        Self::InvalidMagic,
        Self::InvalidVersion,
        Self::InvalidType,
        Self::InvalidLength,
        Self::UnknownKey,
        Self::KeyNotGood,
        Self::Stale,
        Self::StrangersLimited,
        Self::InvalidHmac,
        Self::InvalidRole,
        Self::InvalidSender,
        Self::InvalidJson,
        Self::Duplicate,
        Self::Replay,
        Self::Crowded,
        Self::SenderLimited,
        Self::Late,
    ];

    /// Name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::AddressLimited => "address_limited",
            Self::TooShort => "too_short",
            Self::InvalidMagic => "invalid_magic",
            Self::InvalidVersion => "invalid_version",
            Self::InvalidType => "invalid_type",
            Self::InvalidLength => "invalid_length",
            Self::UnknownKey => "unknown_key",
            Self::KeyNotGood => "key_not_good",
            Self::Stale => "stale",
            Self::StrangersLimited => "strangers_limited",
            Self::InvalidHmac => "invalid_hmac",
            Self::InvalidRole => "invalid_role",
            Self::InvalidSender => "invalid_sender",
            Self::InvalidJson => "invalid_json",
            Self::Duplicate => "duplicate",
            Self::Replay => "replay",
            Self::Crowded => "crowded",
            Self::SenderLimited => "sender_limited",
            Self::Late => "late",
        }
    }
}

impl From<Malformed> for Cause {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::TooShort => Self::TooShort,
            Malformed::TooLarge => Self::TooLarge,
            Malformed::Magic => Self::InvalidMagic,
            Malformed::Version => Self::InvalidVersion,
            Malformed::Type => Self::InvalidType,
            Malformed::Length => Self::InvalidLength,
        }
    }
}

/// What is known of a sender that has proved who it is.
#[derive(Debug)]
struct Sender {
    bucket: Bucket,
    /// What each of its processes said, and when last.
    boots: Vec<(u64, Window, i64)>,
}

/// An alert that is believed.
#[derive(Debug, Clone, PartialEq)]
pub struct Believed {
    /// What it says.
    pub alert: Alert,
    /// How long after it was sent it came, in milliseconds, by the clocks of both: negative where the
    /// sender's is ahead.
    pub behind_ms: i64,
}

/// What was heard so far. Its memory is bounded whatever comes.
#[derive(Debug, Default)]
pub struct Receiver {
    /// What was sent before is not believed: a receiver that is new cannot know whether it was heard.
    since_ms: i64,
    addresses: Addresses,
    /// By who they are and what they say: a node's tripwires take nothing of what its verdicts may.
    senders: HashMap<(u32, Role), Sender>,
}

impl Receiver {
    /// One that has heard nothing yet, and believes nothing that was sent before `now_ms`.
    pub fn since(now_ms: i64) -> Self {
        Self { since_ms: now_ms, ..Self::default() }
    }

    /// What a datagram from `address` says that came at `now_ms`.
    ///
    /// # Errors
    /// Why it is not believed, or no news.
    pub fn take(
        &mut self,
        packet: &[u8],
        address: IpAddr,
        keys: &Keys,
        now_ms: i64,
    ) -> Result<Believed, Cause> {
        if packet.len() > PACKET_BYTES_MAX {
            return Err(Cause::TooLarge);
        }
        let whose = self.addresses.takes(address, now_ms).ok_or(Cause::AddressLimited)?;
        let header = Header::read(packet)?;
        let key = keys.get(header.key_id).ok_or(Cause::UnknownKey)?;
        if !key.is_good(now_ms) {
            return Err(Cause::KeyNotGood);
        }
        let behind_ms = now_ms.saturating_sub(header.sent_ms);
        if header.sent_ms < self.since_ms || !(-FRESH_MS..=FRESH_MS).contains(&behind_ms) {
            return Err(Cause::Stale);
        }
        if !self.addresses.may_check(whose, now_ms) {
            return Err(Cause::StrangersLimited);
        }
        if !header.is_signed_by(key) {
            return Err(Cause::InvalidHmac);
        }
        // Whoever senses does not judge.
        if key.role() != header.role {
            return Err(Cause::InvalidRole);
        }
        // Whoever holds a key may still say to be somebody else.
        if !key.has_source(header.source) {
            return Err(Cause::InvalidSender);
        }
        let alert = header.alert().ok_or(Cause::InvalidJson)?;
        if !key.is_of(header.source, &alert.node) {
            return Err(Cause::InvalidSender);
        }
        self.hear((header.source, header.role), &alert, now_ms)?;
        self.addresses.believe(address, now_ms);
        let age_ms = now_ms.saturating_sub(alert.event_ms);
        if !(-FRESH_MS..=EVENT_AGE_MS_MAX).contains(&age_ms) {
            return Err(Cause::Late);
        }
        Ok(Believed { alert, behind_ms })
    }

    /// Number of addresses and networks, and of senders' processes, of which something is known.
    pub fn len(&self) -> (usize, usize) {
        (self.addresses.len(), self.senders.values().map(|sender| sender.boots.len()).sum())
    }

    /// Whether nothing is known of anybody.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// Notes an alert that is news. One that its sender has no token for is not noted, so that a copy that
    /// comes when there is one is taken.
    fn hear(&mut self, source: (u32, Role), alert: &Alert, now_ms: i64) -> Result<(), Cause> {
        // One that was heard in times to come was heard before the clock was set back.
        let is_heard = |(_, _, last_ms): &(u64, Window, i64)| {
            (-FRESH_MS..IDLE_MS).contains(&now_ms.saturating_sub(*last_ms))
        };
        if !self.senders.contains_key(&source) && self.senders.len() >= Role::ALL.len() * SENDERS_MAX {
            self.senders.retain(|_, sender| sender.boots.iter().any(is_heard));
            if self.senders.len() >= Role::ALL.len() * SENDERS_MAX {
                return Err(Cause::Crowded);
            }
        }
        let sender = self
            .senders
            .entry(source)
            .or_insert_with(|| Sender { bucket: Bucket::of_sender(now_ms), boots: Vec::new() });
        let of_process = |(boot, _, _): &(u64, Window, i64)| *boot == alert.boot_epoch;
        let known = sender.boots.iter().position(of_process);
        if let Some(known) = known {
            match sender.boots[known].1.look(alert.sequence, now_ms) {
                Heard::News => {}
                Heard::Copy => return Err(Cause::Duplicate),
                Heard::Before => return Err(Cause::Replay),
            }
        } else if sender.boots.len() >= BOOTS_MAX {
            sender.boots.retain(is_heard);
            if sender.boots.len() >= BOOTS_MAX {
                return Err(Cause::Crowded);
            }
        }
        if !sender.bucket.takes_of_sender(now_ms) {
            return Err(Cause::SenderLimited);
        }
        let at = sender.boots.iter().position(of_process).unwrap_or_else(|| {
            sender.boots.push((alert.boot_epoch, Window::new(alert.sequence), now_ms));
            sender.boots.len() - 1
        });
        let (_, window, last_ms) = &mut sender.boots[at];
        window.hear(alert.sequence, now_ms);
        *last_ms = now_ms;
        Ok(())
    }
}
