//! Reverses a pseudonym: opens the sealed id that a collector put on an event. Only the enforcer has
//! the keys, and only for an action that is to be carried out.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;
use weir_schemas::EventId;
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 12;

/// Why a sealed id cannot be opened. Never says what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Too short, or its content is not an account and an address.
    #[error("the sealed id is malformed")]
    Malformed,
    /// Sealed with a key that was not given.
    #[error("the sealed id needs seal key {key_id}, which the enforcer was not given")]
    UnknownKey {
        /// The key that it names.
        key_id: u8,
    },
    /// Another secret, another event, or altered.
    #[error("the sealed id was not sealed with seal key {key_id} for this event")]
    Rejected {
        /// The key that it names.
        key_id: u8,
    },
}

/// What a collector sealed. Wiped when dropped, and not printed.
pub struct Opened {
    account: Zeroizing<String>,
    address: Zeroizing<String>,
}

impl Opened {
    /// The account id as the gateway knows it.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The client's address as text; empty where the source had none.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened(redacted)")
    }
}

/// Opens sealed ids with the keys that it was given.
#[derive(Default)]
pub struct Opener {
    keys: BTreeMap<u8, Zeroizing<[u8; 32]>>,
}

impl Opener {
    /// An opener without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same opener with one more key, under the id that sealed ids begin with.
    pub fn with_key(mut self, id: u8, secret: [u8; 32]) -> Self {
        self.keys.insert(id, Zeroizing::new(secret));
        self
    }

    /// Opens `sealed` (key id, nonce of 12 bytes, ciphertext and tag) that belongs to `event`.
    pub fn open(&self, event: EventId, sealed: &[u8]) -> Result<Opened, OpenError> {
        let (key_id, rest) = sealed.split_first().ok_or(OpenError::Malformed)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::Malformed)?;
        let key = self.keys.get(key_id).ok_or(OpenError::UnknownKey { key_id: *key_id })?;
        let cipher = Aes256Gcm::new((&**key).into());
        let payload = Payload { msg: ciphertext, aad: &event.0 };
        let plain = cipher.decrypt(nonce.into(), payload);
        let plain = Zeroizing::new(plain.map_err(|_| OpenError::Rejected { key_id: *key_id })?);
        let (length, rest) = plain.split_first_chunk::<2>().ok_or(OpenError::Malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (account, address) = rest.split_at_checked(length).ok_or(OpenError::Malformed)?;
        let text = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).map_err(|_| OpenError::Malformed)?;
            Ok(Zeroizing::new(text.to_owned()))
        };
        Ok(Opened { account: text(account)?, address: text(address)? })
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("key_ids", &self.keys.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Seals as a collector does, for tests.
#[cfg(test)]
pub(crate) fn seal(key_id: u8, secret: [u8; 32], event: EventId, account: &str, address: &str) -> Vec<u8> {
    let mut plain = (account.len() as u16).to_be_bytes().to_vec();
    plain.extend_from_slice(account.as_bytes());
    plain.extend_from_slice(address.as_bytes());
    seal_bytes(key_id, secret, event, &plain)
}

#[cfg(test)]
fn seal_bytes(key_id: u8, secret: [u8; 32], event: EventId, plain: &[u8]) -> Vec<u8> {
    let nonce = [9; NONCE_BYTES];
    let cipher = Aes256Gcm::new((&secret).into());
    let sealed = cipher.encrypt((&nonce).into(), Payload { msg: plain, aad: &event.0 }).expect("short");
    [&[key_id][..], &nonce, &sealed].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: EventId = EventId([3; 16]);

    fn opener() -> Opener {
        Opener::new().with_key(1, [1; 32]).with_key(2, [2; 32])
    }

    #[test]
    fn an_id_opens_with_the_key_that_it_names() {
        for (key_id, secret) in [(1, [1; 32]), (2, [2; 32])] {
            let opened = opener().open(EVENT, &seal(key_id, secret, EVENT, "acct-ü", "2001:db8::1")).unwrap();
            assert_eq!((opened.account(), opened.address()), ("acct-ü", "2001:db8::1"));
        }
    }

    #[test]
    fn an_id_of_another_event_or_another_secret_is_rejected() {
        let sealed = seal(1, [1; 32], EVENT, "acct", "");
        let rejected = Some(OpenError::Rejected { key_id: 1 });
        assert_eq!(opener().open(EventId([4; 16]), &sealed).err(), rejected);
        assert_eq!(opener().open(EVENT, &seal(1, [7; 32], EVENT, "acct", "")).err(), rejected);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_rejected() {
        let sealed = seal(1, [1; 32], EVENT, "acct", "10.0.0.1");
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 0x40;
            assert!(opener().open(EVENT, &altered).is_err(), "byte {index}");
        }
    }

    #[test]
    fn what_is_too_short_or_names_an_unknown_key_is_told_apart() {
        assert_eq!(opener().open(EVENT, &[]).err(), Some(OpenError::Malformed));
        assert_eq!(opener().open(EVENT, &[1; 12]).err(), Some(OpenError::Malformed));
        let unknown = seal(9, [1; 32], EVENT, "acct", "");
        assert_eq!(opener().open(EVENT, &unknown).err(), Some(OpenError::UnknownKey { key_id: 9 }));
    }

    #[test]
    fn a_sealed_text_that_is_not_an_account_is_malformed() {
        for plain in [&b"\0"[..], b"\0\x09abc", b"\0\x02\xff\xfe"] {
            let sealed = seal_bytes(1, [1; 32], EVENT, plain);
            assert_eq!(opener().open(EVENT, &sealed).err(), Some(OpenError::Malformed));
        }
    }

    #[test]
    fn neither_keys_nor_content_are_printed() {
        let opened = opener().open(EVENT, &seal(1, [1; 32], EVENT, "secret-account", "")).unwrap();
        assert_eq!(format!("{opened:?} {:?}", opener()), "Opened(redacted) Opener { key_ids: [1, 2], .. }");
    }
}
