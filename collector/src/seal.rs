//! Sealed identities: the tenant and the raw account, for the enforcer. A collector has only the public half
//! of the key, so nobody who takes a node can open what it or another one sealed.
//!
//! HPKE (RFC 9180) in base mode, with an ephemeral key for each identity.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeS, Serializable as _, single_shot_seal_with_rng};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::fmt;
use weir_schemas::sealed::{INFO, content};
use weir_schemas::{AccountId, Identity};

/// Seals identities to one public key.
pub struct Sealer {
    number: i32,
    public: <X25519HkdfSha256 as Kem>::PublicKey,
    ephemeral: StdRng,
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
        let mut sealer = Self { number, public, ephemeral: StdRng::from_seed(seed) };
        // A key that nothing can be sealed to is found out now, and not with the first event.
        sealer.seal(AccountId::default(), 0, "", "", 0)?;
        Some(sealer)
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
        let mut identity = Identity {
            account: pseudonym,
            key_epoch,
            announced_ms: now_ms,
            seal_key: self.number,
            ..Identity::default()
        };
        let (encapsulated, sealed) =
            single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
                &OpModeS::Base,
                &self.public,
                INFO,
                &content(tenant, account),
                &identity.bound_to(),
                &mut self.ephemeral,
            )
            .ok()?;
        identity.encapsulated = encapsulated.to_bytes().to_vec();
        identity.sealed = sealed;
        Some(identity)
    }
}
