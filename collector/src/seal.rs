//! Sealed identities: the tenant and the raw account, for the enforcer. A collector has only the public half
//! of the key, so nobody who takes a node can open what it or another one sealed.
//!
//! HPKE (RFC 9180) in base mode. Two multiplications on the curve are what sealing costs, a tenth of a
//! millisecond, and where most accounts ask a few times a day that is half of what a line costs. So the
//! identities of a commit have an ephemeral key in common, and each is sealed by a key of its own that HPKE
//! exports. Who takes a node with its memory can open what was sealed since the last commit was closed, and
//! nothing older: ephemeral keys are wiped, and so is what the generator would make them of again.

use crate::limits::SEALED_TOGETHER_MAX;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305 as Cipher, Key, Nonce};
use hpke::aead::{AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeS, Serializable as _, setup_sender_with_rng};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::fmt;
use weir_schemas::sealed::{INFO, content, exported_for};
use weir_schemas::{AccountId, Identity};
use zeroize::Zeroizing;

/// Seals identities to one public key.
pub struct Sealer {
    number: i32,
    public: <X25519HkdfSha256 as Kem>::PublicKey,
    ephemeral: StdRng,
    together: Option<Together>,
}

/// An ephemeral key that identities have in common, and the place of the latest.
struct Together {
    encapsulated: Vec<u8>,
    context: AeadCtxS<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>,
    place: i32,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Sealer {
    /// Seals to the `number`-th key of the enforcer, an X25519 public key. Ephemeral keys are made from
    /// `seed`, which must come from the operating system's generator; none where `public` is no key.
    pub fn new(number: i32, public: &[u8; 32], seed: [u8; 32]) -> Option<Self> {
        let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(public).ok()?;
        let mut sealer = Self { number, public, ephemeral: StdRng::from_seed(seed), together: None };
        // A key that nothing can be sealed to is found out now, and not with the first event.
        sealer.seal(AccountId::default(), 0, "", "", 0)?;
        sealer.begin_anew();
        Some(sealer)
    }

    /// Forgets the ephemeral key: a commit is over.
    pub fn begin_anew(&mut self) {
        self.together = None;
    }

    /// The identity of a pseudonym. None where the key cannot be sealed to: the enforcer then says that it
    /// cannot act on the account.
    pub fn seal(
        &mut self,
        pseudonym: AccountId,
        key_epoch: i32,
        tenant: &str,
        account: &str,
        now_ms: i64,
    ) -> Option<Identity> {
        let number = self.number;
        let together = self.together()?;
        together.place += 1;
        let mut key = Zeroizing::new([0; 32]);
        together.context.export(&exported_for(together.place), key.as_mut()).ok()?;
        let mut identity = Identity {
            account: pseudonym,
            key_epoch,
            announced_ms: now_ms,
            seal_key: number,
            encapsulated: together.encapsulated.clone(),
            sealed: Vec::new(),
            place: together.place,
        };
        let (msg, aad) = (content(tenant, account), identity.bound_to());
        let cipher = Cipher::new(&Key::from(*key));
        identity.sealed = cipher.encrypt(&Nonce::default(), Payload { msg: &msg, aad: &aad }).ok()?;
        Some(identity)
    }

    /// The ephemeral key in use, or a new one where there is none or it has sealed enough.
    fn together(&mut self) -> Option<&mut Together> {
        if self.together.as_ref().is_none_or(|together| together.place >= SEALED_TOGETHER_MAX) {
            let mode = OpModeS::<X25519HkdfSha256>::Base;
            let (encapsulated, context) =
                setup_sender_with_rng(&mode, &self.public, INFO, &mut self.ephemeral).ok()?;
            let encapsulated = encapsulated.to_bytes().to_vec();
            self.together = Some(Together { encapsulated, context, place: 0 });
            // A generator can be set back, and would give the same keys again.
            let mut next = Zeroizing::new([0; 32]);
            self.ephemeral.fill_bytes(next.as_mut());
            self.ephemeral = StdRng::from_seed(*next);
        }
        self.together.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        // Any 32 bytes that are a point of the curve's are a key; nine is its base point.
        let mut public = [0; 32];
        public[0] = 9;
        Sealer::new(1, &public, [5; 32]).expect("a key")
    }

    fn seal(sealer: &mut Sealer) -> (Vec<u8>, i32, Vec<u8>) {
        let identity = sealer.seal(AccountId([3; 16]), 0, "acme", "acct", 7).expect("a key");
        (identity.encapsulated, identity.place, identity.sealed)
    }

    #[test]
    fn identities_of_a_commit_have_an_ephemeral_key_in_common_and_those_of_the_next_another() {
        let mut sealer = sealer();
        let (first, second) = (seal(&mut sealer), seal(&mut sealer));
        sealer.begin_anew();
        let third = seal(&mut sealer);
        assert_eq!([first.1, second.1, third.1], [1, 2, 1]);
        assert_eq!(first.0, second.0);
        assert_ne!(first.0, third.0);
        assert_ne!(first.2, second.2, "the same id, and never the same bytes");
    }

    #[test]
    fn an_ephemeral_key_seals_no_more_than_its_bound() {
        let mut sealer = sealer();
        let sealed: Vec<_> = (0..=SEALED_TOGETHER_MAX).map(|_| seal(&mut sealer)).collect();
        let (last, most) = sealed.split_last().expect("some");
        assert!(most.iter().zip(1..).all(|((key, place, _), at)| *key == sealed[0].0 && *place == at));
        assert_ne!(last.0, sealed[0].0);
        assert_eq!(last.1, 1);
    }
}
