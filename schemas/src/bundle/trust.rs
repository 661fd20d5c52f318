//! Whose signatures count, and what a bundle must have to be put in force.

use super::{Bundle, BundleError, check_audience, hex};
use crate::Digest;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// How far a bundle may have been signed after it was published: clocks differ.
const AHEAD_MAX_S: u64 = 300;

/// How far a counter may be ahead of the last one where it is no time.
const STEP_MAX: u64 = 1_000;

/// Signatures that a bundle needs whose verdicts may be acted on: no one person turns Weir on anybody.
const ENFORCING_SIGNATURES: usize = 2;

/// The keys whose signatures count, and the deployment that bundles must be meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    audience: String,
    keys: BTreeMap<[u8; 32], VerifyingKey>,
}

/// Why keys are not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Nobody could sign.
    #[error("there is no key in it: put the public key (NAME.pub) of whoever may sign policies there")]
    Empty,
    /// No good key.
    #[error("{0} is no Ed25519 public key, or one by which anything could be signed")]
    Weak(String),
    /// One person would count as two.
    #[error("the key {0} is there twice: one person would count as two")]
    Twice(String),
    /// That is no name of a deployment.
    #[error(transparent)]
    Audience(#[from] BundleError),
}

/// Why a policy is not put in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// It is a policy as it is, or something else.
    #[error("it is not signed, and only signed policies are put in force here (`weir policy sign`)")]
    Unsigned,
    /// It is no bundle.
    #[error("it is no bundle: {0}")]
    Malformed(#[from] BundleError),
    /// It is meant for somebody else.
    #[error("it is meant for {found}, and this is {expected}")]
    Audience {
        /// Whom it is meant for.
        found: String,
        /// Who we are.
        expected: String,
    },
    /// A key that nobody here knows.
    #[error("its signer {0} is not in the trust store")]
    UnknownSigner(String),
    /// Somebody else's signature, or of another text.
    #[error("the signature of {0} is not of this bundle")]
    BadSignature(String),
    /// One person signed twice.
    #[error("{0} signed it twice")]
    SameSigner(String),
    /// Too few people vouch for it.
    #[error("it has {found} signatures and needs {needed}")]
    TooFew {
        /// How many it has.
        found: usize,
        /// How many it needs.
        needed: usize,
    },
    /// Its time is over.
    #[error("it could be put in force until {expires_s}, and was published at {published_s}")]
    Expired {
        /// Until when, in seconds since the Unix epoch.
        expires_s: u64,
        /// When it was published.
        published_s: u64,
    },
    /// It comes from the future.
    #[error("it was signed at {issued_s}, and published before, at {published_s}")]
    Future {
        /// When it was signed, in seconds since the Unix epoch.
        issued_s: u64,
        /// When it was published.
        published_s: u64,
    },
    /// A newer one was in force.
    #[error("its counter is {found}, and one of {reached} was in force: sign it anew with a greater one")]
    RolledBack {
        /// Its counter.
        found: u64,
        /// The greatest that was in force.
        reached: u64,
    },
    /// It would take the place of all that are to come.
    #[error(
        "its counter is {found}, and {most} is the greatest that may follow now: sign it anew without --counter"
    )]
    Leap {
        /// Its counter.
        found: u64,
        /// The greatest that may be.
        most: u64,
    },
}

impl Trust {
    /// Trust in these Ed25519 public keys, for bundles that are meant for `audience`.
    pub fn new(audience: &str, keys: impl IntoIterator<Item = [u8; 32]>) -> Result<Self, TrustError> {
        check_audience(audience)?;
        let mut known = BTreeMap::new();
        for bytes in keys {
            let key = VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak());
            let key = key.ok_or_else(|| TrustError::Weak(hex(&bytes)))?;
            if known.insert(bytes, key).is_some() {
                return Err(TrustError::Twice(hex(&bytes)));
            }
        }
        if known.is_empty() {
            return Err(TrustError::Empty);
        }
        Ok(Self { audience: audience.to_owned(), keys: known })
    }

    /// What tells it from any other trust: a stage that is given another judges otherwise.
    pub fn digest(&self) -> Digest {
        let mut sha = Sha256::new_with_prefix("weir.policy-trust.v1\n");
        sha.update(self.audience.as_bytes());
        self.keys.keys().for_each(|key| sha.update(key));
        Digest(sha.finalize().into())
    }

    /// Reads a policy that was published at `published_ms` after bundles up to the counter `reached` were in
    /// force, and says why it is not to be put in force. Expiry is held against the log's own clock, which
    /// every task that reads the record finds the same, and which whoever writes the record cannot choose on
    /// brokers.
    pub fn admit(&self, body: &str, published_ms: i64, reached: u64) -> Result<Bundle, Distrust> {
        let bundle = self.vouched(body, published_ms)?;
        let found = bundle.header.counter;
        if found <= reached {
            return Err(Distrust::RolledBack { found, reached });
        }
        // One signer could otherwise take every place there is.
        let most = seconds_of(published_ms).saturating_add(AHEAD_MAX_S).max(reached.saturating_add(STEP_MAX));
        if found > most {
            return Err(Distrust::Leap { found, most });
        }
        Ok(bundle)
    }

    /// The same without the counter: what can be said of a bundle by itself.
    pub fn vouched(&self, body: &str, published_ms: i64) -> Result<Bundle, Distrust> {
        if !Bundle::is_meant(body) {
            return Err(Distrust::Unsigned);
        }
        let bundle = Bundle::parse(body)?;
        let header = &bundle.header;
        if header.audience != self.audience {
            let (found, expected) = (header.audience.clone(), self.audience.clone());
            return Err(Distrust::Audience { found, expected });
        }
        self.check_signatures(&bundle)?;
        let published_s = seconds_of(published_ms);
        let (issued_s, expires_s) = (header.issued_s, header.expires_s);
        if expires_s != 0 && published_s > expires_s {
            return Err(Distrust::Expired { expires_s, published_s });
        }
        if issued_s > published_s.saturating_add(AHEAD_MAX_S) {
            return Err(Distrust::Future { issued_s, published_s });
        }
        Ok(bundle)
    }

    /// Every signature must be good, of a key that is known, and of another one than the others.
    fn check_signatures(&self, bundle: &Bundle) -> Result<(), Distrust> {
        let message = bundle.message();
        let mut signers = Vec::new();
        for signature in &bundle.signatures {
            let name = || hex(&signature.key);
            let key = self.keys.get(&signature.key).ok_or_else(|| Distrust::UnknownSigner(name()))?;
            if signers.contains(&signature.key) {
                return Err(Distrust::SameSigner(name()));
            }
            let bytes = ed25519_dalek::Signature::from_bytes(&signature.bytes);
            key.verify_strict(&message, &bytes).map_err(|_| Distrust::BadSignature(name()))?;
            signers.push(signature.key);
        }
        let needed = if bundle.header.enforces { ENFORCING_SIGNATURES } else { 1 };
        let found = signers.len();
        if found < needed { Err(Distrust::TooFew { found, needed }) } else { Ok(()) }
    }
}

/// Seconds since the Unix epoch, as headers count; 0 before it.
fn seconds_of(time_ms: i64) -> u64 {
    u64::try_from(time_ms / 1_000).unwrap_or(0)
}
