//! The bytes of a datagram, version 3: a header of 27 bytes, compact JSON, and an HMAC-SHA256 of both. All
//! numbers of the header are big-endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `ASWM` |
//! | 4 | 1 | version: 3 |
//! | 5 | 1 | type: 1 of a verdict, 2 of a tripwire |
//! | 6 | 8 | when it was sent, in milliseconds since the Unix epoch |
//! | 14 | 4 | who sent it: the first 4 bytes of SHA-256 of its node's name |
//! | 18 | 2 | low half of the sender's count |
//! | 20 | 4 | a random number XOR that half and the count's, shifted by 16 |
//! | 24 | 2 | bytes of the payload |
//! | 26 | 1 | number of the key |

use crate::keys::{Key, Role};
use crate::limits::{
    HEADER_BYTES, PACKET_BYTES_MAX, PAYLOAD_BYTES_MAX, SENDER_BYTES_MAX, TAG_BYTES, TENANT_BYTES_MAX,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weir_schemas::{AccountId, EventId, VerdictId};

const MAGIC: [u8; 4] = *b"ASWM";
const VERSION: u8 = 3;

/// What a datagram says.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Name of the node that sent it.
    pub node: String,
    /// When the event was, in milliseconds since the Unix epoch.
    pub event_ms: i64,
    /// How many alerts its process has sent, this one included. It wraps.
    pub sequence: u32,
    /// Which process of the node sent it: another number after each start.
    pub boot_epoch: u64,
    /// The event that led to it.
    pub event: EventId,
    /// Whom it is about.
    pub account: AccountId,
    /// The account's tenant.
    pub tenant: String,
    /// What is said of the account.
    pub word: Word,
}

/// What is said of an account. Who may say which is a matter of [the key](Role).
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// A verdict is about to stand in the log.
    Verdict(Judged),
    /// A request met a tripwire. That is no judgement: there is no score and no verdict in it.
    Tripwire(Tripwire),
}

impl Word {
    /// Who says such.
    pub fn role(&self) -> Role {
        match self {
            Self::Verdict(_) => Role::Judge,
            Self::Tripwire(_) => Role::Collector,
        }
    }
}

/// What a verdict says that is about to stand in the log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// The verdict.
    pub verdict: VerdictId,
    /// The verdict's score, 0 to 1.
    pub score: f64,
    /// Families of evidence that speak against the account.
    pub witnesses: u32,
    /// Their names; left out where there is no room.
    pub families: Vec<String>,
    /// The policy that judged; left out where there is no room.
    pub policy: Option<String>,
}

/// What it was that a request met: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tripwire {
    /// A token that the operator planted, in the prompt's text.
    Canary,
    /// An indicator that the operator took from others.
    Indicator,
}

impl Tripwire {
    /// Name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Indicator => "indicator",
        }
    }
}

/// What it is that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Selector {
    Verdict,
}

#[derive(Serialize, Deserialize)]
struct Met {
    selector: Tripwire,
}

#[derive(Serialize, Deserialize)]
struct Anomaly {
    score: f64,
    witness_count: u32,
    selector: Selector,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    node_id: String,
    wall_ts: String,
    sequence32: u32,
    boot_epoch: u64,
    event_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict_id: Option<String>,
    account: String,
    tenant: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    anomaly: Option<Anomaly>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tripwire: Option<Met>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy_version: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    families: Vec<String>,
}

/// Why an alert cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PacketError {
    /// Its names are too long.
    #[error("an alert has {0} bytes without all that may be left out, and {PAYLOAD_BYTES_MAX} at most fit")]
    TooLarge(usize),
    /// Its event's time is none.
    #[error("the event's time {0} is not one that can be written")]
    Time(i64),
    /// What cannot be written as JSON.
    #[error("an alert cannot be written: {0}")]
    Json(String),
}

/// Who a node is in a header.
pub fn source_of(node: &str) -> u32 {
    let hash: [u8; 32] = Sha256::digest(node.as_bytes()).into();
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// A moment as datagrams write it; none where no calendar has it.
pub(crate) fn time_text(ms: i64) -> Option<String> {
    let nanoseconds = i128::from(ms).checked_mul(1_000_000)?;
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?.format(&Rfc3339).ok()
}

/// The moment that such a text says, in milliseconds since the Unix epoch.
pub(crate) fn time_in(text: &str) -> Option<i64> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

impl Alert {
    /// The datagram that says it, sent at `now_ms`, signed by `key`. Where it is too large, the families are
    /// left out first, and then the policy.
    ///
    /// # Errors
    /// When it is too large without those too.
    pub fn encode(&self, key: &Key, now_ms: i64, random: u32) -> Result<Vec<u8>, PacketError> {
        let (judged, met) = match &self.word {
            Word::Verdict(judged) => (Some(judged), None),
            Word::Tripwire(tripwire) => (None, Some(Met { selector: *tripwire })),
        };
        let mut payload = Payload {
            node_id: self.node.clone(),
            wall_ts: time_text(self.event_ms).ok_or(PacketError::Time(self.event_ms))?,
            sequence32: self.sequence,
            boot_epoch: self.boot_epoch,
            event_id: self.event.to_string(),
            verdict_id: judged.map(|judged| judged.verdict.to_string()),
            account: self.account.to_string(),
            tenant: self.tenant.clone(),
            anomaly: judged.map(|judged| Anomaly {
                score: judged.score,
                witness_count: judged.witnesses,
                selector: Selector::Verdict,
            }),
            tripwire: met,
            policy_version: judged.and_then(|judged| judged.policy.clone()),
            families: judged.map(|judged| judged.families.clone()).unwrap_or_default(),
        };
        let json = |payload: &Payload| {
            serde_json::to_vec(payload).map_err(|error| PacketError::Json(error.to_string()))
        };
        let mut body = json(&payload)?;
        if body.len() > PAYLOAD_BYTES_MAX {
            payload.families.clear();
            body = json(&payload)?;
        }
        if body.len() > PAYLOAD_BYTES_MAX {
            payload.policy_version = None;
            body = json(&payload)?;
        }
        if body.len() > PAYLOAD_BYTES_MAX {
            return Err(PacketError::TooLarge(body.len()));
        }
        let sequence_low = self.sequence as u16;
        let mut packet = Vec::with_capacity(HEADER_BYTES + body.len() + TAG_BYTES);
        packet.extend_from_slice(&MAGIC);
        packet.extend_from_slice(&[VERSION, self.word.role().datagram_type()]);
        packet.extend_from_slice(&now_ms.max(0).to_be_bytes());
        packet.extend_from_slice(&source_of(&self.node).to_be_bytes());
        packet.extend_from_slice(&sequence_low.to_be_bytes());
        packet.extend_from_slice(&(random ^ (u32::from(sequence_low) | self.sequence << 16)).to_be_bytes());
        packet.extend_from_slice(&(body.len() as u16).to_be_bytes());
        packet.push(key.id());
        packet.extend_from_slice(&body);
        let tag: [u8; TAG_BYTES] = mac(key, &packet).finalize().into_bytes().into();
        packet.extend_from_slice(&tag);
        Ok(packet)
    }

    /// What a payload says that was proved to be of a sender; none where it does not say all of it.
    fn in_payload(body: &[u8], header: &Header) -> Option<Self> {
        let payload: Payload = serde_json::from_slice(body).ok()?;
        let word = match (header.role, payload.anomaly, payload.verdict_id, payload.tripwire) {
            (Role::Judge, Some(anomaly), Some(verdict), None) if (0.0..=1.0).contains(&anomaly.score) => {
                Word::Verdict(Judged {
                    verdict: verdict.parse().ok()?,
                    score: anomaly.score,
                    witnesses: anomaly.witness_count,
                    families: payload.families,
                    policy: payload.policy_version,
                })
            }
            (Role::Collector, None, None, Some(met)) => Word::Tripwire(met.selector),
            // A tripwire with a score, or half of a verdict.
            _ => return None,
        };
        let is_sound = payload.sequence32 as u16 == header.sequence_low
            && (1..=SENDER_BYTES_MAX).contains(&payload.node_id.len())
            && (1..=TENANT_BYTES_MAX).contains(&payload.tenant.len());
        is_sound.then_some(())?;
        Some(Self {
            event_ms: time_in(&payload.wall_ts)?,
            node: payload.node_id,
            sequence: payload.sequence32,
            boot_epoch: payload.boot_epoch,
            event: payload.event_id.parse().ok()?,
            account: payload.account.parse().ok()?,
            tenant: payload.tenant,
            word,
        })
    }
}

fn mac(key: &Key, bytes: &[u8]) -> Hmac<Sha256> {
    // A key of any length will do; these have 32 bytes.
    let mut mac = Hmac::<Sha256>::new_from_slice(key.secret()).unwrap_or_else(|_| Hmac::new(&[0; 64].into()));
    mac.update(bytes);
    mac
}

/// What is wrong with the form of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// It has fewer bytes than the smallest.
    TooShort,
    /// It has more bytes than the largest.
    TooLarge,
    /// It does not begin with the four letters.
    Magic,
    /// It is of another version.
    Version,
    /// It is of another type.
    Type,
    /// It does not have the bytes that it says.
    Length,
}

/// The header of a datagram, and its parts. Nothing of it is proved.
#[derive(Debug, Clone, Copy)]
pub struct Header<'p> {
    /// When it was sent, in milliseconds since the Unix epoch.
    pub sent_ms: i64,
    /// Who says to have sent it.
    pub source: u32,
    sequence_low: u16,
    /// Who may say what its type is of.
    pub role: Role,
    /// Number of the key.
    pub key_id: u8,
    signed: &'p [u8],
    tag: &'p [u8],
}

impl<'p> Header<'p> {
    /// Reads a datagram's header, and checks its form.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn read(packet: &'p [u8]) -> Result<Self, Malformed> {
        if packet.len() > PACKET_BYTES_MAX {
            return Err(Malformed::TooLarge);
        }
        if packet.len() < HEADER_BYTES + TAG_BYTES {
            return Err(Malformed::TooShort);
        }
        let (header, _) = packet.split_first_chunk::<HEADER_BYTES>().ok_or(Malformed::TooShort)?;
        let [a, b, c, d, version, kind, rest @ ..] = *header;
        if [a, b, c, d] != MAGIC {
            return Err(Malformed::Magic);
        }
        if version != VERSION {
            return Err(Malformed::Version);
        }
        let role = Role::of_datagram_type(kind).ok_or(Malformed::Type)?;
        let [t0, t1, t2, t3, t4, t5, t6, t7, s0, s1, s2, s3, q0, q1, _, _, _, _, l0, l1, key_id] = rest;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if length > PAYLOAD_BYTES_MAX || packet.len() != HEADER_BYTES + length + TAG_BYTES {
            return Err(Malformed::Length);
        }
        let (signed, tag) = packet.split_at(HEADER_BYTES + length);
        Ok(Self {
            sent_ms: i64::try_from(u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7])).unwrap_or(i64::MAX),
            source: u32::from_be_bytes([s0, s1, s2, s3]),
            sequence_low: u16::from_be_bytes([q0, q1]),
            role,
            key_id,
            signed,
            tag,
        })
    }

    /// Whether whoever has this key signed all of it; compared in constant time.
    pub fn is_signed_by(&self, key: &Key) -> bool {
        mac(key, self.signed).verify_slice(self.tag).is_ok()
    }

    /// What it says. Only for one that [is signed](Self::is_signed_by).
    pub fn alert(&self) -> Option<Alert> {
        Alert::in_payload(self.signed.get(HEADER_BYTES..)?, self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test may fail loudly.
mod tests {
    use super::*;
    use crate::keys::Keys;

    const SENT_MS: i64 = 1_795_837_502_123;

    fn key() -> Keys {
        let secret = "0b".repeat(32);
        let text = format!(
            "[[key]]\nid = 7\nsecret = \"{secret}\"\nnot_before = \"2026-01-01T00:00:00Z\"\n\
             not_after = \"2027-01-01T00:00:00Z\"\nsenders = [\"judge-1\"]\n"
        );
        Keys::parse(&text).unwrap()
    }

    fn alert() -> Alert {
        Alert {
            node: "judge-1".into(),
            event_ms: SENT_MS - 250,
            sequence: 0x0001_fffe,
            boot_epoch: 1_795_837_000_000_000,
            event: EventId([0x11; 16]),
            account: AccountId([0x33; 16]),
            tenant: "acme".into(),
            word: Word::Verdict(judged()),
        }
    }

    fn judged() -> Judged {
        Judged {
            verdict: VerdictId([0x22; 16]),
            score: 0.9375,
            witnesses: 2,
            families: vec!["coverage".into(), "volume".into()],
            policy: Some("builtin-9".into()),
        }
    }

    fn of(judged: Judged) -> Alert {
        Alert { word: Word::Verdict(judged), ..alert() }
    }

    /// Made by Python's `struct`, `hashlib` and `hmac` from the table above.
    const GOLDEN: &str = include_str!("golden.hex");

    #[test]
    fn the_bytes_are_those_that_another_implementation_makes() {
        let keys = key();
        let packet = alert().encode(keys.get(7).unwrap(), SENT_MS, 0xdead_beef).unwrap();
        let hex: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN.trim());
        let header = Header::read(&packet).unwrap();
        assert_eq!((header.sent_ms, header.source, header.key_id), (SENT_MS, source_of("judge-1"), 7));
        assert!(header.is_signed_by(keys.get(7).unwrap()));
        assert_eq!(header.alert(), Some(alert()));
    }

    #[test]
    fn what_may_be_left_out_is_left_out_in_order_and_what_is_too_large_then_is_not_sent() {
        let keys = key();
        let sent = |alert: &Alert| {
            let packet = alert.encode(keys.get(7).unwrap(), SENT_MS, 0).unwrap();
            assert!(packet.len() <= PACKET_BYTES_MAX, "{}", packet.len());
            Header::read(&packet).unwrap().alert().unwrap()
        };
        let many = Judged { families: vec!["f".repeat(100); 12], ..judged() };
        let without = Judged { families: Vec::new(), ..judged() };
        assert_eq!(sent(&of(many.clone())), of(without.clone()));
        let long = Judged { policy: Some("p".repeat(1_200)), ..many };
        assert_eq!(sent(&of(long.clone())), of(Judged { policy: None, ..without.clone() }));
        let tenant = Alert { tenant: "t".repeat(1_000), ..of(long) };
        let refused = tenant.encode(keys.get(7).unwrap(), SENT_MS, 0);
        assert!(matches!(refused, Err(PacketError::TooLarge(bytes)) if bytes > PAYLOAD_BYTES_MAX));
        // The largest that fits.
        let bare = of(Judged { policy: Some(String::new()), ..without.clone() });
        let room = PACKET_BYTES_MAX - bare.encode(keys.get(7).unwrap(), SENT_MS, 0).unwrap().len();
        let full = of(Judged { policy: Some("p".repeat(room)), ..without });
        assert_eq!(full.encode(keys.get(7).unwrap(), SENT_MS, 0).unwrap().len(), PACKET_BYTES_MAX);
        assert_eq!(sent(&full), full);
    }

    #[test]
    fn the_older_version_is_refused_by_its_number() {
        // Version 2: magic, version, type, nanoseconds, count, length, key; 19 bytes.
        let mut packet = b"ASWM\x02\x01".to_vec();
        packet.extend_from_slice(&[0; 8 + 2 + 2 + 1]);
        packet.extend_from_slice(&[b'x'; 64]);
        assert_eq!(Header::read(&packet).unwrap_err(), Malformed::Version);
    }

    #[test]
    fn a_datagram_has_the_bytes_that_it_says_and_neither_more_nor_fewer() {
        let keys = key();
        let packet = alert().encode(keys.get(7).unwrap(), SENT_MS, 0).unwrap();
        let read = |bytes: &[u8]| Header::read(bytes).map(|_| ()).unwrap_err();
        assert_eq!(read(&packet[..58]), Malformed::TooShort);
        assert_eq!(read(&packet[..packet.len() - 1]), Malformed::Length);
        assert_eq!(read(&[&packet[..], &[0]].concat()), Malformed::Length);
        assert_eq!(read(&[0; PACKET_BYTES_MAX + 1]), Malformed::TooLarge);
        assert_eq!(read(&[0; PACKET_BYTES_MAX]), Malformed::Magic);
        let mut other = packet.clone();
        for kind in [0, 3, 255] {
            other[5] = kind;
            assert_eq!(read(&other), Malformed::Type);
        }
    }

    /// A datagram of this type with this payload, signed as it should be.
    fn signed(role: Role, payload: &serde_json::Value) -> Vec<u8> {
        let keys = key();
        let mut packet = alert().encode(keys.get(7).unwrap(), SENT_MS, 0).unwrap()[..HEADER_BYTES].to_vec();
        let body = payload.to_string();
        packet[5] = role.datagram_type();
        packet[24..26].copy_from_slice(&(body.len() as u16).to_be_bytes());
        packet.extend_from_slice(body.as_bytes());
        let tag: [u8; TAG_BYTES] = mac(keys.get(7).unwrap(), &packet).finalize().into_bytes().into();
        packet.extend_from_slice(&tag);
        packet
    }

    fn payload_of(alert: &Alert) -> serde_json::Value {
        let packet = alert.encode(key().get(7).unwrap(), SENT_MS, 0).unwrap();
        serde_json::from_slice(&packet[HEADER_BYTES..packet.len() - TAG_BYTES]).unwrap()
    }

    #[test]
    fn a_tripwire_says_what_was_met_and_neither_a_score_nor_a_verdict() {
        let tripped = Alert { word: Word::Tripwire(Tripwire::Canary), ..alert() };
        let packet = tripped.encode(key().get(7).unwrap(), SENT_MS, 0).unwrap();
        assert_eq!(packet[5], 2);
        let header = Header::read(&packet).unwrap();
        assert_eq!((header.role, header.alert()), (Role::Collector, Some(tripped.clone())));
        let payload = payload_of(&tripped);
        let fields: Vec<&str> = payload.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            fields,
            ["account", "boot_epoch", "event_id", "node_id", "sequence32", "tenant", "tripwire", "wall_ts"]
        );
        assert_eq!(payload["tripwire"], serde_json::json!({ "selector": "canary" }));
    }

    #[test]
    fn a_tripwire_that_claims_a_score_or_a_verdict_says_nothing_nor_does_a_verdict_that_is_half_of_one() {
        let says = |role, payload: &serde_json::Value| {
            Header::read(&signed(role, payload)).unwrap().alert().is_some()
        };
        let tripped = payload_of(&Alert { word: Word::Tripwire(Tripwire::Indicator), ..alert() });
        let judged = payload_of(&alert());
        assert!(says(Role::Collector, &tripped) && says(Role::Judge, &judged));
        assert!(!says(Role::Judge, &tripped) && !says(Role::Collector, &judged));
        for name in ["anomaly", "verdict_id"] {
            let mut more = tripped.clone();
            more[name] = judged[name].clone();
            assert!(!says(Role::Collector, &more), "{name}");
            let mut less = judged.clone();
            less.as_object_mut().unwrap().remove(name);
            assert!(!says(Role::Judge, &less), "{name}");
        }
        let mut unknown = tripped;
        unknown["tripwire"]["selector"] = "verdict".into();
        assert!(!says(Role::Collector, &unknown));
    }
}
