//! A signed policy: who vouches for its text, for which deployment, until when, and in which order it comes.
//!
//! ```text
//! WEIR-POLICY-BUNDLE-V1
//! counter: 7
//! audience: production
//! issued_s: 1754300000
//! expires_s: 0
//! enforces: true
//! policy_sha256: 64 hex digits
//! signature: 64 hex digits of the key, 128 of the signature
//! ---
//! the policy's text, to the end
//! ```
//!
//! A bundle has one spelling: what is read must be what would be written, byte for byte. So no key is there
//! twice or unknown, no number has a zero before it, and the first line of `---` ends the header. What is
//! signed is not this text but [`Bundle::message`], in which every field stands behind its length: digits
//! cannot move from one field to the next.

mod trust;

pub use trust::{Distrust, Trust, TrustError};

use crate::Digest;
use crate::hex::hex;
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// First line of a bundle.
pub const MAGIC: &str = "WEIR-POLICY-BUNDLE-V1";

/// What every signed message begins with, so that no other signature of Weir's can be taken for one.
const DOMAIN: &[u8] = b"weir.policy-bundle.v1";

/// Line between header and text.
const RULE: &str = "---\n";

/// Most bytes of a header; looked at before anything is computed from it.
pub const HEADER_BYTES_MAX: usize = 4_096;

/// Most signatures of a bundle.
pub const SIGNATURES_MAX: usize = 8;

/// Longest name of an audience, in bytes.
pub const AUDIENCE_BYTES_MAX: usize = 64;

/// What is signed beside the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Place among all bundles: one is only put in force after those with a smaller counter. From 1.
    pub counter: u64,
    /// Name of the deployment that it is meant for.
    pub audience: String,
    /// When it was signed first, in seconds since the Unix epoch.
    pub issued_s: u64,
    /// Until when it may be put in force, in seconds since the Unix epoch; 0 for ever.
    pub expires_s: u64,
    /// Whether verdicts by it may be acted on. That takes two signatures.
    pub enforces: bool,
}

/// One person's word for a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Ed25519 public key.
    pub key: [u8; 32],
    /// Ed25519 signature of [`Bundle::message`].
    pub bytes: [u8; 64],
}

/// A policy's text with who vouches for it. That it was read does not say that a signature is good: see
/// [`Trust::admit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// What is signed beside the text.
    pub header: Header,
    /// Who signed.
    pub signatures: Vec<Signature>,
    /// The policy.
    pub text: String,
}

/// Why a text is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Its first bytes are others.
    #[error("it does not begin with {MAGIC}")]
    Magic,
    /// The header does not end.
    #[error("no line `---` ends its header within {HEADER_BYTES_MAX} bytes")]
    Endless,
    /// A line is not the one that has to stand there.
    #[error("line {line} is not `{expected}`")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What has to stand there.
        expected: &'static str,
    },
    /// More signatures than anybody needs.
    #[error("it has more than {SIGNATURES_MAX} signatures")]
    Signatures,
    /// The audience is no name.
    #[error("an audience is 1 to {AUDIENCE_BYTES_MAX} of a-z, 0-9 and -")]
    Audience,
    /// No bundle has this counter.
    #[error("a counter is at least 1")]
    Counter,
    /// The header names another text.
    #[error("policy_sha256 is not the digest of its text")]
    Text,
    /// The same content, spelt in another way.
    #[error("it is not written as a bundle is: numbers without leading zeros, hex digits in lower case")]
    Spelling,
}

impl Bundle {
    /// A bundle that nobody has signed yet.
    pub fn new(header: Header, text: String) -> Result<Self, BundleError> {
        check_audience(&header.audience)?;
        if header.counter == 0 {
            return Err(BundleError::Counter);
        }
        Ok(Self { header, signatures: Vec::new(), text })
    }

    /// Whether a text is meant to be a bundle.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(MAGIC)
    }

    /// Reads a bundle.
    pub fn parse(text: &str) -> Result<Self, BundleError> {
        if !Self::is_meant(text) {
            return Err(BundleError::Magic);
        }
        let (head, body) = split(text)?;
        let mut lines = head.lines().enumerate().skip(1).peekable();
        let mut next = |name: &str, expected: &'static str| {
            let (index, line) = lines.next().unwrap_or_default();
            let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": "));
            value.ok_or(BundleError::Line { line: index + 1, expected })
        };
        let counter = number(next("counter", "counter: N")?, 2, "counter: N")?;
        let audience = next("audience", "audience: NAME")?.to_owned();
        let issued_s = number(next("issued_s", "issued_s: SECONDS")?, 4, "issued_s: SECONDS")?;
        let expires_s = number(next("expires_s", "expires_s: SECONDS")?, 5, "expires_s: SECONDS")?;
        const ENFORCES: &str = "enforces: true or false";
        let enforces = match next("enforces", ENFORCES)? {
            "true" => true,
            "false" => false,
            _ => return Err(BundleError::Line { line: 6, expected: ENFORCES }),
        };
        const SHA256: &str = "policy_sha256: 64 hex digits";
        let digest = next("policy_sha256", SHA256)?;
        let digest: [u8; 32] = bytes_of(digest).ok_or(BundleError::Line { line: 7, expected: SHA256 })?;
        let mut signatures = Vec::new();
        for (index, line) in lines {
            const SIGNATURE: &str = "signature: 64 hex digits, a space, 128 hex digits";
            let read = || {
                let (key, bytes) = line.strip_prefix("signature: ")?.split_once(' ')?;
                Some(Signature { key: bytes_of(key)?, bytes: bytes_of(bytes)? })
            };
            signatures.push(read().ok_or(BundleError::Line { line: index + 1, expected: SIGNATURE })?);
        }
        if signatures.len() > SIGNATURES_MAX {
            return Err(BundleError::Signatures);
        }
        let header = Header { counter, audience, issued_s, expires_s, enforces };
        let bundle = Self { signatures, ..Self::new(header, body.to_owned())? };
        if bundle.policy_digest().0 != digest {
            return Err(BundleError::Text);
        }
        if bundle.to_text() != text {
            return Err(BundleError::Spelling);
        }
        Ok(bundle)
    }

    /// The policy that a control record carries: a bundle's text, or the record's own where it is no bundle.
    pub fn policy_in(body: &str) -> Result<String, BundleError> {
        match Self::is_meant(body) {
            true => Ok(Self::parse(body)?.text),
            false => Ok(body.to_owned()),
        }
    }

    /// The bundle as it is written.
    pub fn to_text(&self) -> String {
        let Header { counter, audience, issued_s, expires_s, enforces } = &self.header;
        let digest = self.policy_digest();
        let mut text = format!(
            "{MAGIC}\ncounter: {counter}\naudience: {audience}\nissued_s: {issued_s}\nexpires_s: {expires_s}\n\
             enforces: {enforces}\npolicy_sha256: {digest}\n"
        );
        for Signature { key, bytes } in &self.signatures {
            // Writing to a string does not fail.
            let _ = writeln!(text, "signature: {} {}", hex(key), hex(bytes));
        }
        text + RULE + &self.text
    }

    /// SHA-256 of the policy's text: what verdicts by it name.
    pub fn policy_digest(&self) -> Digest {
        Digest(Sha256::digest(self.text.as_bytes()).into())
    }

    /// What is signed: every field behind its length, after the name of what this is.
    pub fn message(&self) -> Vec<u8> {
        let Header { counter, audience, issued_s, expires_s, enforces } = &self.header;
        let fields: [&[u8]; 7] = [
            DOMAIN,
            &counter.to_be_bytes(),
            audience.as_bytes(),
            &issued_s.to_be_bytes(),
            &expires_s.to_be_bytes(),
            &[u8::from(*enforces)],
            &self.policy_digest().0,
        ];
        let mut message = Vec::new();
        for field in fields {
            message.extend((field.len() as u64).to_be_bytes());
            message.extend(field);
        }
        message
    }

    /// Signs it by the key of this seed; a signature of the same key gives way.
    pub fn sign(&mut self, seed: &[u8; 32]) {
        let key = SigningKey::from_bytes(seed);
        let public = key.verifying_key().to_bytes();
        let bytes = key.sign(&self.message()).to_bytes();
        self.signatures.retain(|signature| signature.key != public);
        self.signatures.push(Signature { key: public, bytes });
    }
}

/// The public key of a seed.
pub fn public_of(seed: &[u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(seed).verifying_key().to_bytes()
}

fn check_audience(name: &str) -> Result<(), BundleError> {
    let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = (1..=AUDIENCE_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_good);
    if is_name { Ok(()) } else { Err(BundleError::Audience) }
}

/// Header, with the end of its last line, and text.
fn split(text: &str) -> Result<(&str, &str), BundleError> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if at > HEADER_BYTES_MAX {
            break;
        }
        if line == RULE {
            return Ok((&text[..at], &text[at + RULE.len()..]));
        }
        at += line.len();
    }
    Err(BundleError::Endless)
}

fn number(value: &str, line: usize, expected: &'static str) -> Result<u64, BundleError> {
    value.parse().map_err(|_| BundleError::Line { line, expected })
}

fn bytes_of<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::try_from(value(pair[0])? << 4 | value(pair[1])?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
