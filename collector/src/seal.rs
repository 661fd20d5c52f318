//! The sealed id: the raw account and client address, which only the enforcer can open.
//!
//! AES-256-GCM. Sealed are the account's length in two bytes (big-endian), the account, and the
//! client address as text (nothing where it is not known); the event id is associated data. The
//! result is the key id (1 byte), the nonce (12), ciphertext and tag (16).
//!
//! The nonce is not random but HMAC-SHA256 over event id and plaintext, under a key of its own that
//! is derived from the sealing key. So the same line gives the same bytes whenever it is read, which
//! keeps verdicts equal byte for byte, and two different plaintexts share a nonce no more often
//! than random nonces would: rotate the sealing key before 2^36 events.

use crate::privacy::keyed;
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use std::net::IpAddr;
use weir_schemas::EventId;
use zeroize::Zeroizing;

/// Seals ids under one key. The key is wiped when this is dropped, and cannot be printed.
pub struct Sealer {
    key_id: u8,
    cipher: Aes256Gcm,
    nonces: Hmac<Sha256>,
    plain: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Sealer {
    /// Seals under `key`, which the enforcer knows as `key_id`.
    pub fn new(key_id: u8, key: [u8; 32]) -> Self {
        let key = Zeroizing::new(key);
        let mut derive = keyed(&key);
        derive.update(b"weir.seal.nonce");
        let derived = Zeroizing::new(derive.finalize().into_bytes().into());
        let nonces = keyed(&derived);
        Self { key_id, cipher: Aes256Gcm::new(&(*key).into()), nonces, plain: Zeroizing::default() }
    }

    /// Which key seals.
    pub fn key_id(&self) -> u8 {
        self.key_id
    }

    /// Replaces `sealed` by the sealed account, of at most
    /// [`ACCOUNT_BYTES_MAX`](crate::limits::ACCOUNT_BYTES_MAX) bytes, and address.
    pub fn seal(&mut self, event: EventId, account: &str, address: Option<IpAddr>, sealed: &mut Vec<u8>) {
        use std::io::Write as _;
        self.plain.clear();
        self.plain.extend_from_slice(&(account.len() as u16).to_be_bytes());
        self.plain.extend_from_slice(account.as_bytes());
        if let Some(address) = address {
            // Writing to memory cannot fail.
            let _ = write!(*self.plain, "{}", address.to_canonical());
        }
        let mut nonces = self.nonces.clone();
        nonces.update(&event.0);
        nonces.update(&self.plain);
        let full = nonces.finalize().into_bytes();
        let mut nonce = Nonce::default();
        nonce.copy_from_slice(&full[..12]);
        sealed.clear();
        sealed.push(self.key_id);
        sealed.extend_from_slice(&nonce);
        // AES-GCM refuses only messages of more than 64 GiB. An event without its sealed id is still
        // an event: the enforcer cannot act on its account, and says so.
        if self.cipher.encrypt_in_place(&nonce, &event.0, &mut *self.plain).is_ok() {
            sealed.extend_from_slice(&self.plain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes_gcm::aead::{Aead, Payload};
    use proptest::prelude::*;

    const KEY: [u8; 32] = [9; 32];

    fn sealed(event: EventId, account: &str, address: Option<IpAddr>) -> Vec<u8> {
        let mut out = Vec::new();
        Sealer::new(5, KEY).seal(event, account, address, &mut out);
        out
    }

    /// As the enforcer does it, from the layout alone.
    fn open(event: EventId, sealed: &[u8]) -> Option<(String, String)> {
        let (head, ciphertext) = sealed.split_at_checked(13)?;
        let cipher = Aes256Gcm::new(&KEY.into());
        let mut nonce = Nonce::default();
        nonce.copy_from_slice(&head[1..]);
        let plain = cipher.decrypt(&nonce, Payload { msg: ciphertext, aad: &event.0 }).ok()?;
        let (length, rest) = plain.split_first_chunk::<2>()?;
        let (account, address) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        Some((String::from_utf8(account.into()).ok()?, String::from_utf8(address.into()).ok()?))
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_again_and_any_flipped_bit_does_not(
            account in "\\PC{1,60}", octets: [u8; 16], id: [u8; 16], at: prop::sample::Index, bit in 0..8u8,
        ) {
            let (event, address) = (EventId(id), IpAddr::from(octets));
            let mut bytes = sealed(event, &account, Some(address));
            prop_assert_eq!(bytes[0], 5);
            prop_assert_eq!(open(event, &bytes), Some((account, address.to_canonical().to_string())));
            let at = 1 + at.index(bytes.len() - 1);
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(open(event, &bytes), None);
        }
    }

    #[test]
    fn a_sealed_id_belongs_to_its_event() {
        let bytes = sealed(EventId([1; 16]), "account", None);
        assert_eq!(open(EventId([1; 16]), &bytes), Some(("account".into(), String::new())));
        assert_eq!(open(EventId([2; 16]), &bytes), None);
    }

    #[test]
    fn the_same_line_is_sealed_the_same_and_another_with_another_nonce() {
        let event = EventId([1; 16]);
        assert_eq!(sealed(event, "a", None), sealed(event, "a", None));
        assert_ne!(sealed(event, "a", None)[1..13], sealed(event, "b", None)[1..13]);
        assert_ne!(sealed(event, "a", None)[1..13], sealed(EventId([2; 16]), "a", None)[1..13]);
    }

    #[test]
    fn nothing_of_the_key_is_printed() {
        assert_eq!(format!("{:?}", Sealer::new(5, KEY)), "Sealer { key_id: 5, .. }");
    }
}
