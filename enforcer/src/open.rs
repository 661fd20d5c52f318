//! Reverses a pseudonym: opens the sealed identity that a collector announced. Only the enforcer has the
//! secret half of the key, and opens only for an action that is to be carried out.
//!
//! What opens must make the pseudonym that it was announced for. So a collector, or whoever has taken one,
//! cannot put one customer in another's place.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305 as Cipher, Key, Nonce};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, HpkeError, Kem, OpModeR, Serializable as _, setup_receiver};
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;
use weir_schemas::Identity;
use weir_schemas::pseudonym::PseudonymKey;
use weir_schemas::sealed::{INFO, exported_for, parse};
use zeroize::Zeroizing;

type SecretKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type EncapsulatedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// Why a sealed identity cannot be opened. Never says what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Its content is not a tenant and an account.
    #[error("the sealed identity is malformed")]
    Malformed,
    /// Sealed to a key that was not given.
    #[error("the identity is sealed to seal key {number}, which the enforcer was not given")]
    UnknownKey {
        /// The key that it names.
        number: i32,
    },
    /// Its pseudonym was made under a key that was not given, so that it cannot be checked.
    #[error("the pseudonym is of rotation {epoch} of the pseudonym key, which the enforcer was not given")]
    UnknownEpoch {
        /// The rotation that it names.
        epoch: i32,
    },
    /// Sealed to another key, for another pseudonym, or altered.
    #[error("the identity was not sealed to seal key {number} for this account")]
    Rejected {
        /// The key that it names.
        number: i32,
    },
    /// It opens, and is somebody else.
    #[error("the sealed identity is of another account: somebody put one customer in another's place")]
    Substituted,
}

/// What a collector sealed. Wiped when dropped, and not printed.
pub struct Opened {
    tenant: Zeroizing<String>,
    account: Zeroizing<String>,
}

impl Opened {
    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The account id as the gateway knows it.
    pub fn account(&self) -> &str {
        &self.account
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened(redacted)")
    }
}

/// The public half of a seal key's secret.
pub fn public_of(secret: &[u8; 32]) -> [u8; 32] {
    let mut public = [0; 32];
    // Any 32 bytes are an X25519 secret.
    if let Ok(secret) = SecretKey::from_bytes(secret) {
        public.copy_from_slice(&X25519HkdfSha256::sk_to_pk(&secret).to_bytes());
    }
    public
}

/// Opens sealed identities with the keys that it was given.
#[derive(Default, Clone)]
pub struct Opener {
    secrets: BTreeMap<i32, SecretKey>,
    pseudonyms: BTreeMap<i32, PseudonymKey>,
}

impl Opener {
    /// An opener without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same opener with one more X25519 secret, under the number that identities name.
    pub fn with_key(mut self, number: i32, secret: &[u8; 32]) -> Self {
        if let Ok(secret) = SecretKey::from_bytes(secret) {
            self.secrets.insert(number, secret);
        }
        self
    }

    /// The same opener with one more rotation of the pseudonym key.
    pub fn with_pseudonyms(mut self, key: PseudonymKey) -> Self {
        self.pseudonyms.insert(key.epoch(), key);
        self
    }

    /// Opens an identity, and checks that it is the one of its pseudonym.
    pub fn open(&self, identity: &Identity) -> Result<Opened, OpenError> {
        let number = identity.seal_key;
        let epoch = identity.key_epoch;
        let secret = self.secrets.get(&number).ok_or(OpenError::UnknownKey { number })?;
        let pseudonyms = self.pseudonyms.get(&epoch).ok_or(OpenError::UnknownEpoch { epoch })?;
        let encapsulated = EncapsulatedKey::from_bytes(&identity.encapsulated);
        let encapsulated = encapsulated.map_err(|_| OpenError::Malformed)?;
        let content = unsealed(identity, secret, &encapsulated);
        let content = Zeroizing::new(content.map_err(|_| OpenError::Rejected { number })?);
        let (tenant, account) = parse(&content).ok_or(OpenError::Malformed)?;
        if pseudonyms.account(tenant, account) != identity.account {
            return Err(OpenError::Substituted);
        }
        let text = |text: &str| Zeroizing::new(text.to_owned());
        Ok(Opened { tenant: text(tenant), account: text(account) })
    }
}

/// What was sealed, by HPKE itself or by a key that it exported: see the schema.
fn unsealed(
    identity: &Identity,
    secret: &SecretKey,
    encapsulated: &EncapsulatedKey,
) -> Result<Vec<u8>, HpkeError> {
    let (sealed, bound_to) = (&identity.sealed, identity.bound_to());
    let mut context = setup_receiver::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        secret,
        encapsulated,
        INFO,
    )?;
    if identity.place == 0 {
        return context.open(sealed, &bound_to);
    }
    let mut key = Zeroizing::new([0; 32]);
    context.export(&exported_for(identity.place), key.as_mut())?;
    let payload = Payload { msg: sealed, aad: &bound_to };
    Cipher::new(&Key::from(*key)).decrypt(&Nonce::default(), payload).map_err(|_| HpkeError::OpenError)
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("seal_keys", &self.secrets.keys().collect::<Vec<_>>())
            .field("pseudonym_keys", &self.pseudonyms.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Ephemeral keys of tests need not be secret.
#[cfg(test)]
struct Fixed;

#[cfg(test)]
impl hpke::rand_core::TryRng for Fixed {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(7)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(7)
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(7);
        Ok(())
    }
}

#[cfg(test)]
impl hpke::rand_core::TryCryptoRng for Fixed {}

/// Seals as a collector does, for tests: `who` under the pseudonym of `as_whom`.
#[cfg(test)]
pub(crate) fn seal_for_tests(
    number: i32,
    secret: &[u8; 32],
    pseudonym: weir_schemas::AccountId,
    content: &[u8],
) -> Identity {
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&public_of(secret)).expect("a key");
    let mut identity = Identity { account: pseudonym, seal_key: number, ..Identity::default() };
    let (encapsulated, sealed) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &hpke::OpModeS::Base,
            &public,
            INFO,
            content,
            &identity.bound_to(),
            &mut Fixed,
        )
        .expect("short");
    identity.encapsulated = encapsulated.to_bytes().to_vec();
    identity.sealed = sealed;
    identity
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_schemas::AccountId;
    use weir_schemas::sealed::content;

    fn pseudonyms() -> PseudonymKey {
        PseudonymKey::new(&[7; 32], 0)
    }

    fn opener() -> Opener {
        Opener::new().with_key(1, &[1; 32]).with_key(2, &[2; 32]).with_pseudonyms(pseudonyms())
    }

    fn sealed(number: i32, secret: [u8; 32], account: &str) -> Identity {
        let pseudonym = pseudonyms().account("acme", account);
        seal_for_tests(number, &secret, pseudonym, &content("acme", account))
    }

    #[test]
    fn an_identity_opens_with_the_key_that_it_names() {
        for (number, secret) in [(1, [1; 32]), (2, [2; 32])] {
            let opened = opener().open(&sealed(number, secret, "acct-ü")).unwrap();
            assert_eq!((opened.tenant(), opened.account()), ("acme", "acct-ü"));
        }
    }

    /// As a collector seals what it announces in one commit.
    fn sealed_together(accounts: &[&str]) -> Vec<Identity> {
        let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&public_of(&[1; 32])).unwrap();
        let (encapsulated, context) = hpke::setup_sender_with_rng::<
            ChaCha20Poly1305,
            HkdfSha256,
            X25519HkdfSha256,
        >(&hpke::OpModeS::Base, &public, INFO, &mut Fixed)
        .unwrap();
        let seal = |(place, account): (i32, &&str)| {
            let mut key = [0; 32];
            context.export(&place.to_be_bytes(), &mut key).unwrap();
            let account_id = pseudonyms().account("acme", account);
            let mut identity = Identity { account: account_id, seal_key: 1, place, ..Identity::default() };
            let payload = Payload { msg: &content("acme", account), aad: &identity.bound_to() };
            identity.sealed = Cipher::new(&Key::from(key)).encrypt(&Nonce::default(), payload).unwrap();
            identity.encapsulated = encapsulated.to_bytes().to_vec();
            identity
        };
        (1..).zip(accounts).map(seal).collect()
    }

    #[test]
    fn identities_that_have_an_ephemeral_key_in_common_open_each_by_its_place_and_by_no_other() {
        let together = sealed_together(&["one", "two", "one"]);
        let opened = |identity: &Identity| opener().open(identity).map(|opened| opened.account().to_owned());
        let each: Vec<_> = together.iter().map(opened).collect();
        assert_eq!(each, [Ok("one".to_owned()), Ok("two".to_owned()), Ok("one".to_owned())]);
        assert_ne!(together[0].sealed, together[2].sealed, "each is sealed with a key of its own");
        for place in [-1, 0, 2, 3, i32::MAX] {
            let moved = Identity { place, ..together[0].clone() };
            assert_eq!(opened(&moved), Err(OpenError::Rejected { number: 1 }), "place {place}");
        }
    }

    #[test]
    fn an_identity_moved_to_another_account_or_sealed_to_another_key_is_rejected() {
        let rejected = Some(OpenError::Rejected { number: 1 });
        let whole = sealed(1, [1; 32], "acct");
        let moved = Identity { account: AccountId([4; 16]), ..whole };
        assert_eq!(opener().open(&moved).err(), rejected);
        assert_eq!(opener().open(&sealed(1, [9; 32], "acct")).err(), rejected);
    }

    #[test]
    fn a_collector_that_seals_one_customer_under_anothers_pseudonym_is_found_out() {
        let victim = pseudonyms().account("acme", "victim");
        let substituted = seal_for_tests(1, &[1; 32], victim, &content("acme", "somebody-else"));
        assert_eq!(opener().open(&substituted).err(), Some(OpenError::Substituted));
        let other_tenant = seal_for_tests(1, &[1; 32], victim, &content("other", "victim"));
        assert_eq!(opener().open(&other_tenant).err(), Some(OpenError::Substituted));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused() {
        let whole = sealed(1, [1; 32], "acct");
        for index in 0..whole.sealed.len() {
            let mut altered = whole.clone();
            altered.sealed[index] ^= 0x40;
            assert!(opener().open(&altered).is_err(), "byte {index}");
        }
        for index in 0..whole.encapsulated.len() {
            let mut altered = whole.clone();
            altered.encapsulated[index] ^= 0x20;
            assert!(opener().open(&altered).is_err(), "byte {index} of the encapsulated key");
        }
    }

    #[test]
    fn what_is_malformed_or_names_an_unknown_key_is_told_apart() {
        let whole = sealed(1, [1; 32], "acct");
        let error = |identity: Identity| opener().open(&identity).err();
        assert_eq!(error(Identity { encapsulated: vec![1], ..whole.clone() }), Some(OpenError::Malformed));
        assert_eq!(
            error(Identity { seal_key: 9, ..whole.clone() }),
            Some(OpenError::UnknownKey { number: 9 })
        );
        assert_eq!(error(Identity { key_epoch: 3, ..whole }), Some(OpenError::UnknownEpoch { epoch: 3 }));
        for content in [&b"\0"[..], b"\0\x09\0\x01abc", b"\0\x02\0\0\xff\xfe", b"\0\x01\0\x01ab!"] {
            let sealed = seal_for_tests(1, &[1; 32], AccountId([1; 16]), content);
            assert_eq!(error(sealed), Some(OpenError::Malformed));
        }
    }

    #[test]
    fn the_public_half_alone_opens_nothing() {
        let public = public_of(&[1; 32]);
        let thief = Opener::new().with_key(1, &public).with_pseudonyms(pseudonyms());
        assert_eq!(thief.open(&sealed(1, [1; 32], "acct")).err(), Some(OpenError::Rejected { number: 1 }));
    }

    #[test]
    fn neither_keys_nor_content_are_printed() {
        let opened = opener().open(&sealed(1, [1; 32], "secret-account")).unwrap();
        assert_eq!(
            format!("{opened:?} {:?}", opener()),
            "Opened(redacted) Opener { seal_keys: [1, 2], pseudonym_keys: [0], .. }"
        );
    }
}
