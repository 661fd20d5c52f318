//! Who may send, by which keys, and until when: a file that operators write, TOML.
//!
//! ```toml
//! [[key]]
//! id = 1
//! secret = "64 hex digits"
//! not_before = "2026-11-01T00:00:00Z"
//! not_after = "2027-11-01T00:00:00Z"
//! senders = ["judge-1", "judge-2"]
//! role = "judge"                        # or "collector"; "judge" where it is left out
//! ```
//!
//! What a key may say is bound to its role: by a collector's key a tripwire and nothing else, by a judge's a
//! verdict and nothing else.
//!
//! A key is rotated by a second one beside it: receivers take both for as long as both are good, senders use
//! the one that began last.

use crate::limits::{KEYS_MAX, SENDER_BYTES_MAX, SENDERS_MAX};
use crate::packet::{source_of, time_in};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

/// What is wrong with a file of keys.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct KeysError(String);

/// Who says something, and thereby what may be said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A process that judges: it tells of verdicts.
    #[default]
    Judge,
    /// One that senses: it tells of tripwires.
    Collector,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Judge, Self::Collector];

    /// Name in files and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Judge => "judge",
            Self::Collector => "collector",
        }
    }

    /// The type of datagrams that say what it may say.
    pub(crate) const fn datagram_type(self) -> u8 {
        match self {
            Self::Judge => 1,
            Self::Collector => 2,
        }
    }

    /// Who may say what is in a datagram of this type; none where it is of no type that there is.
    pub(crate) fn of_datagram_type(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.datagram_type() == number)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: i64,
    secret: String,
    not_before: String,
    not_after: String,
    senders: Vec<String>,
    #[serde(default)]
    role: Role,
}

/// A key.
#[derive(Clone)]
pub struct Key {
    id: u8,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
    not_before_ms: i64,
    not_after_ms: i64,
    role: Role,
    /// Who may sign by it, by what they are in headers.
    senders: BTreeMap<u32, String>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Key");
        shown.field("id", &self.id).field("role", &self.role).field("senders", &self.senders);
        shown.finish_non_exhaustive()
    }
}

impl Key {
    /// Its number.
    pub fn id(&self) -> u8 {
        self.id
    }

    /// What may be said by it.
    pub fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn secret(&self) -> &[u8] {
        self.secret.as_slice()
    }

    /// Whether it is good at this time.
    pub fn is_good(&self, now_ms: i64) -> bool {
        (self.not_before_ms..self.not_after_ms).contains(&now_ms)
    }

    /// Whether this node may sign by it, whom headers name `source`.
    pub fn is_of(&self, source: u32, node: &str) -> bool {
        self.senders.get(&source).is_some_and(|name| name == node)
    }

    /// Whether anybody may sign by it whom headers name so.
    pub fn has_source(&self, source: u32) -> bool {
        self.senders.contains_key(&source)
    }
}

/// All keys of a file.
#[derive(Debug, Clone)]
pub struct Keys(BTreeMap<u8, Key>);

impl Keys {
    /// Reads a file. What it says of secrets is never part of an error.
    ///
    /// # Errors
    /// When any of it is wrong: a key that is left out would be missed when it is needed.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        // Of TOML's own error only what and where: its text quotes the line, which may be a secret's.
        let file: File = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let reason = match error.message() {
                message if message.contains("unknown field") || message.contains("missing field") => message,
                _ => "it is not what is expected there",
            };
            KeysError(format!("line {line}: {reason}"))
        })?;
        let refused = |reason: String| Err(KeysError(reason));
        if file.key.is_empty() {
            return refused("it has no key: add a [[key]]".into());
        }
        if file.key.len() > KEYS_MAX {
            return refused(format!("it has over {KEYS_MAX} keys: take those out whose time is over"));
        }
        let mut keys = BTreeMap::new();
        let mut names: BTreeMap<u32, String> = BTreeMap::new();
        let mut count = 0;
        for mut entry in file.key {
            let secret = Zeroizing::new(std::mem::take(&mut entry.secret));
            let key = key_of(&entry, &secret)?;
            count += key.senders.len();
            for (source, name) in &key.senders {
                let known = names.entry(*source).or_insert_with(|| name.clone());
                if known != name {
                    return refused(format!(
                        "the nodes {known:?} and {name:?} cannot be told apart in datagrams: give one of them another \
                         name (the setting `node`)"
                    ));
                }
            }
            if count > SENDERS_MAX {
                return refused(format!("it has over {SENDERS_MAX} senders: spread them over deployments"));
            }
            let id = key.id;
            if keys.insert(id, key).is_some() {
                return refused(format!("two keys have the id {id}: give one of them another"));
            }
        }
        Ok(Self(keys))
    }

    /// The key of this number.
    pub fn get(&self, id: u8) -> Option<&Key> {
        self.0.get(&id)
    }

    /// The key by which a node signs in this role at this time: of those that are good the one that began
    /// last.
    pub fn of_sender(&self, node: &str, role: Role, now_ms: i64) -> Option<&Key> {
        let source = source_of(node);
        let is_for = |key: &&Key| key.role == role && key.is_good(now_ms) && key.is_of(source, node);
        self.0.values().filter(is_for).max_by_key(|key| (key.not_before_ms, key.id))
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The numbers of all keys.
    pub fn ids(&self) -> impl Iterator<Item = u8> {
        self.0.keys().copied()
    }
}

fn key_of(entry: &Entry, secret: &str) -> Result<Key, KeysError> {
    let Ok(id @ 1..) = u8::try_from(entry.id) else {
        return Err(KeysError(format!("the id {} is none: it must be 1 to 255", entry.id)));
    };
    let refused = |reason: &str| Err(KeysError(format!("key {id}: {reason}")));
    let Some(secret) = secret_in(secret) else {
        return refused("its secret must be 64 hex digits");
    };
    let (Some(not_before_ms), Some(not_after_ms)) = (time_in(&entry.not_before), time_in(&entry.not_after))
    else {
        return refused("not_before and not_after must be times such as \"2026-11-28T00:00:00Z\"");
    };
    if not_before_ms >= not_after_ms {
        return refused("its not_after is not after its not_before, so that it would never be good");
    }
    if entry.senders.is_empty() {
        return refused("it names no sender, so that nobody could use it: name nodes in `senders`");
    }
    let mut senders = BTreeMap::new();
    for name in &entry.senders {
        if name.is_empty() || name.len() > SENDER_BYTES_MAX || name.trim() != name {
            return refused(&format!(
                "a sender is the name of a node: 1 to {SENDER_BYTES_MAX} bytes without blanks around them"
            ));
        }
        if let Some(other) = senders.insert(source_of(name), name.clone()) {
            let reason = match other == *name {
                true => format!("the sender {name:?} stands in it twice"),
                false => format!("the nodes {other:?} and {name:?} cannot be told apart in datagrams"),
            };
            return refused(&reason);
        }
    }
    Ok(Key { id, secret, not_before_ms, not_after_ms, role: entry.role, senders })
}

fn secret_in(text: &str) -> Option<Zeroizing<[u8; SECRET_BYTES]>> {
    let digits = text.as_bytes();
    let value = |digit: u8| char::from(digit).to_digit(16);
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    if digits.len() != 2 * SECRET_BYTES {
        return None;
    }
    for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (value(pair[0])? << 4 | value(pair[1])?) as u8;
    }
    Some(secret)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test may fail loudly.
mod tests {
    use super::*;

    fn key(id: i64, from: &str, to: &str, senders: &str) -> String {
        format!(
            "[[key]]\nid = {id}\nsecret = \"{}\"\nnot_before = \"{from}\"\nnot_after = \"{to}\"\nsenders = [{senders}]\n",
            "5ec2e7".repeat(10) + "abcd"
        )
    }

    fn refusal(text: &str) -> String {
        let error = Keys::parse(text).unwrap_err().to_string();
        assert!(!error.contains("5ec2e7"), "a secret is told: {error}");
        error
    }

    const NOVEMBER: &str = "2026-11-01T00:00:00Z";
    const DECEMBER: &str = "2026-12-01T00:00:00Z";
    const JANUARY: &str = "2027-01-01T00:00:00Z";

    #[test]
    fn two_keys_overlap_and_a_sender_uses_the_one_that_began_last() {
        let text =
            key(1, NOVEMBER, JANUARY, "\"a\", \"b\"") + &key(2, DECEMBER, "2027-02-01T00:00:00Z", "\"a\"");
        let keys = Keys::parse(&text).unwrap();
        let at = |text: &str| time_in(text).unwrap();
        let used = |node: &str, now: &str| keys.of_sender(node, Role::Judge, at(now)).map(Key::id);
        assert_eq!(used("a", "2026-11-30T23:59:59Z"), Some(1));
        assert_eq!((used("a", DECEMBER), used("b", DECEMBER)), (Some(2), Some(1)));
        assert_eq!((used("a", JANUARY), used("b", JANUARY)), (Some(2), None), "the old one is over");
        assert_eq!((used("c", DECEMBER), used("a", "2026-10-31T23:59:59Z")), (None, None));
        let is_good = |now: &str| [1, 2].map(|id| keys.get(id).unwrap().is_good(at(now)));
        assert_eq!(is_good(DECEMBER), [true, true]);
        assert_eq!(is_good(JANUARY), [false, true]);
    }

    #[test]
    fn a_node_signs_by_the_key_of_the_role_that_it_speaks_in_and_a_key_without_one_is_a_judges() {
        let of_collector = key(2, DECEMBER, JANUARY, "\"a\"") + "role = \"collector\"\n";
        let keys = Keys::parse(&(key(1, NOVEMBER, JANUARY, "\"a\"") + &of_collector)).unwrap();
        let used = |role| keys.of_sender("a", role, time_in(DECEMBER).unwrap()).map(Key::id);
        assert_eq!(Role::ALL.map(used), [Some(1), Some(2)]);
        let judges = Keys::parse(&key(1, NOVEMBER, JANUARY, "\"a\"")).unwrap();
        assert!(judges.of_sender("a", Role::Collector, time_in(DECEMBER).unwrap()).is_none());
        assert!(Keys::parse(&of_collector.replace("collector", "enforcer")).is_err());
    }

    #[test]
    fn what_is_wrong_is_said_and_no_secret_is_told() {
        let good = key(1, NOVEMBER, JANUARY, "\"a\"");
        assert_eq!(refusal(""), "it has no key: add a [[key]]");
        assert_eq!(refusal(&good.replace("id = 1", "id = 0")), "the id 0 is none: it must be 1 to 255");
        assert_eq!(refusal(&good.replace("id = 1", "id = 256")), "the id 256 is none: it must be 1 to 255");
        assert_eq!(refusal(&good.replace("abcd", "abc")), "key 1: its secret must be 64 hex digits");
        assert_eq!(refusal(&good.replace("abcd", "abcx")), "key 1: its secret must be 64 hex digits");
        assert_eq!(
            refusal(&key(1, JANUARY, NOVEMBER, "\"a\"")),
            "key 1: its not_after is not after its not_before, so that it would never be good"
        );
        assert_eq!(
            refusal(&key(1, "today", JANUARY, "\"a\"")),
            "key 1: not_before and not_after must be times such as \"2026-11-28T00:00:00Z\""
        );
        assert!(refusal(&key(1, NOVEMBER, JANUARY, "")).contains("it names no sender"));
        assert!(refusal(&key(1, NOVEMBER, JANUARY, "\" a\"")).contains("1 to 253 bytes"));
        assert_eq!(
            refusal(&key(1, NOVEMBER, JANUARY, "\"a\", \"a\"")),
            "key 1: the sender \"a\" stands in it twice"
        );
        assert_eq!(refusal(&(good.clone() + &good)), "two keys have the id 1: give one of them another");
        assert!(refusal(&good.replace("senders", "sender")).contains("unknown field"));
        assert!(refusal(&good.replace("id = 1\n", "")).contains("missing field"));
        // The line that TOML cannot read is the secret's.
        assert_eq!(refusal(&good.replace("abcd\"", "abcd")), "line 3: it is not what is expected there");
        let many: String = (1..=65).map(|id| key(id, NOVEMBER, JANUARY, "\"a\"")).collect();
        assert!(refusal(&many).contains("over 64 keys"));
        assert_eq!(format!("{:?}", Keys::parse(&good).unwrap()).matches("5ec2").count(), 0);
    }
}
