//! The signed words: who the persons are, what is asked for, who approves. Each has one form in bytes that is
//! signed: its fields in their order, each after its length, behind a domain of its own and the deployment's
//! root key, so that a word of one deployment is none of another's.

use super::kind::{PersonRole, RequestKind};
use super::refused::Refused;
use crate::chain::framed;
use crate::limits::{NAME_BYTES_MAX, PERSONS_MAX, REASON_BYTES_MAX, REQUEST_LASTS_MS, WORD_BYTES_MAX};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use weir_schemas::hex::{hex, unhex};

/// Name of the control record that says who the persons are.
pub const PERSONS_NAME: &str = "kill-switch/persons";

/// What the name of a request's control record begins with; its id follows.
pub const REQUEST_PREFIX: &str = "kill-switch/request/";

/// What the name of an approval's control record begins with; request and role follow.
pub const APPROVAL_PREFIX: &str = "kill-switch/approval/";

/// What a request's id begins with.
const REQUEST_ID: &str = "ks-";

/// Longest name of a person, in bytes.
const PERSON_NAME_BYTES_MAX: usize = 64;

/// The key of a person, or the deployment's root key. Its secret is wiped when it is dropped and never
/// printed.
pub struct PersonKey(SigningKey);

impl PersonKey {
    /// The Ed25519 key of this secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The half that verifies.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> String {
        hex(&self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonKey(redacted)")
    }
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Under which name they sign.
    pub name: String,
    /// What they may approve as.
    pub roles: Vec<PersonRole>,
    /// Their Ed25519 public key, as 64 lower-case hex digits.
    pub public_key: String,
}

/// Who the persons are, as the root key signed it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persons {
    /// A later list has a greater one.
    pub version: u64,
    /// The persons.
    pub persons: Vec<Person>,
    /// The root key's signature, as hex digits.
    pub signature: String,
}

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `ks-`, the second in which it was made, and 8 hex digits.
    pub request_id: String,
    /// What is asked for.
    pub request_type: RequestKind,
    /// Who asks.
    pub requester: String,
    /// Why, in their words; no raw ids.
    pub reason: String,
    /// SHA-256 of the reason, as hex digits.
    pub reason_sha256: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Until when it is good: ten minutes later.
    pub expires_ms: i64,
    /// The requester's signature, as hex digits.
    pub signature: String,
}

/// What a person approves of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The request.
    pub request_id: String,
    /// What it asks for.
    pub request_type: RequestKind,
    /// SHA-256 of its reason.
    pub reason_sha256: String,
    /// Until when it is good.
    pub expires_ms: i64,
    /// SHA-256 of the bytes that the requester signed: this very payload.
    pub request_sha256: String,
    /// As what they approve.
    pub role: PersonRole,
    /// Who approves.
    pub approver: String,
    /// Their signature, as hex digits.
    pub signature: String,
}

impl Persons {
    /// The list of these persons, signed by the root key.
    ///
    /// # Errors
    /// When two are the same person, or one is none.
    pub fn signed(version: u64, persons: Vec<Person>, root: &PersonKey) -> Result<Self, Refused> {
        let mut list = Self { version, persons, signature: String::new() };
        list.check()?;
        list.signature = root.sign(&list.message(&root.public()));
        Ok(list)
    }

    /// Reads a list, and believes it where the root key signed it.
    pub(super) fn read(body: &str, root: &[u8; 32]) -> Result<Self, Refused> {
        let list: Self = parse(body)?;
        list.check()?;
        list.check_signature(root)?;
        Ok(list)
    }

    fn check_signature(&self, root: &[u8; 32]) -> Result<(), Refused> {
        verify(&hex(root), &self.message(root), &self.signature, "the root key")
    }

    /// Whether this root key signed it.
    pub(super) fn is_of(&self, root: &[u8; 32]) -> bool {
        self.check_signature(root).is_ok()
    }

    /// The person of this name.
    pub fn get(&self, name: &str) -> Result<&Person, Refused> {
        let person = self.persons.iter().find(|person| person.name == name);
        person.ok_or_else(|| Refused::UnknownPerson { name: shown(name) })
    }

    /// The person whose key this is.
    pub fn by_key(&self, public: &[u8; 32]) -> Option<&Person> {
        let public = hex(public);
        self.persons.iter().find(|person| person.public_key == public)
    }

    fn check(&self) -> Result<(), Refused> {
        let malformed = |what: String| Err(Refused::Malformed(what));
        if self.persons.is_empty() || self.persons.len() > PERSONS_MAX {
            return malformed(format!("there must be 1 to {PERSONS_MAX} persons"));
        }
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for Person { name, roles, public_key } in &self.persons {
            let is_name =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._@".contains(&byte);
            if name.is_empty() || name.len() > PERSON_NAME_BYTES_MAX || !name.bytes().all(is_name) {
                return malformed(format!("{:?} is no name of a person: a-z, 0-9, - . _ @", shown(name)));
            }
            if roles.is_empty() {
                return malformed(format!("{name} has no role"));
            }
            if key_of(public_key).is_none() {
                return malformed(format!("the key of {name} is no Ed25519 public key in 64 hex digits"));
            }
            // Distinct by key: one who has two names is one person.
            if !names.insert(name) || !keys.insert(public_key) {
                return malformed(format!("{name} is there twice, by name or by key"));
            }
        }
        Ok(())
    }

    fn message(&self, root: &[u8; 32]) -> Vec<u8> {
        let (version, count) = (self.version.to_be_bytes(), (self.persons.len() as u64).to_be_bytes());
        let roles: Vec<String> = self.persons.iter().map(|person| roles_of(&person.roles)).collect();
        let mut parts: Vec<&[u8]> = vec![b"weir.kill-switch.persons", root, &version, &count];
        for (person, roles) in self.persons.iter().zip(&roles) {
            parts.extend([person.name.as_bytes(), roles.as_bytes(), person.public_key.as_bytes()]);
        }
        framed(&parts)
    }
}

impl Request {
    /// A request, signed by who asks. `id` makes it unlike any other of the same second.
    pub fn signed(
        request_type: RequestKind,
        requester: &str,
        reason: &str,
        created_ms: i64,
        id: [u8; 4],
        key: &PersonKey,
        root: &[u8; 32],
    ) -> Self {
        let mut request = Self {
            request_id: word_id(REQUEST_ID, created_ms, id),
            request_type,
            requester: requester.to_owned(),
            reason: reason.to_owned(),
            reason_sha256: sha256(reason.as_bytes()),
            created_ms,
            expires_ms: created_ms.saturating_add(REQUEST_LASTS_MS),
            signature: String::new(),
        };
        request.signature = key.sign(&request.message(root));
        request
    }

    /// Reads a request and checks its form; who signed it, is not known yet.
    pub fn read(body: &str) -> Result<Self, Refused> {
        let request: Self = parse(body)?;
        let malformed = |what: &str| Err(Refused::Malformed(what.to_owned()));
        if !is_word_id(&request.request_id, REQUEST_ID, request.created_ms) {
            return malformed(
                "the request's id is not ks-, the second in which it was made, and 8 hex digits",
            );
        }
        let reason = &request.reason;
        if reason.trim().is_empty() || !fits_a_line(reason) {
            return malformed(&format!("a reason has 1 to {REASON_BYTES_MAX} bytes on one line"));
        }
        if request.reason_sha256 != sha256(reason.as_bytes()) {
            return malformed("the reason is not the one of its hash");
        }
        if !is_good_for_its_time(request.created_ms, request.expires_ms) {
            return malformed("a request is good for ten minutes, no less and no more");
        }
        Ok(request)
    }

    /// Name of its control record.
    pub fn record_name(&self) -> String {
        format!("{REQUEST_PREFIX}{}", self.request_id)
    }

    pub(super) fn check_signature(&self, person: &Person, root: &[u8; 32]) -> Result<(), Refused> {
        verify(&person.public_key, &self.message(root), &self.signature, &person.name)
    }

    /// SHA-256 of what its requester signed.
    pub fn digest(&self, root: &[u8; 32]) -> String {
        sha256(&self.message(root))
    }

    fn message(&self, root: &[u8; 32]) -> Vec<u8> {
        framed(&[
            b"weir.kill-switch.request",
            root,
            self.request_id.as_bytes(),
            self.request_type.as_str().as_bytes(),
            self.requester.as_bytes(),
            self.reason_sha256.as_bytes(),
            &self.created_ms.to_be_bytes(),
            &self.expires_ms.to_be_bytes(),
        ])
    }
}

impl Approval {
    /// An approval of this very request, signed by who approves.
    pub fn signed(
        request: &Request,
        role: PersonRole,
        approver: &str,
        key: &PersonKey,
        root: &[u8; 32],
    ) -> Self {
        let mut approval = Self {
            request_id: request.request_id.clone(),
            request_type: request.request_type,
            reason_sha256: request.reason_sha256.clone(),
            expires_ms: request.expires_ms,
            request_sha256: request.digest(root),
            role,
            approver: approver.to_owned(),
            signature: String::new(),
        };
        approval.signature = key.sign(&approval.message(root));
        approval
    }

    pub(super) fn read(body: &str) -> Result<Self, Refused> {
        parse(body)
    }

    /// Name of its control record.
    pub fn record_name(&self) -> String {
        format!("{APPROVAL_PREFIX}{}/{}", self.request_id, self.role)
    }

    pub(super) fn check_signature(&self, person: &Person, root: &[u8; 32]) -> Result<(), Refused> {
        verify(&person.public_key, &self.message(root), &self.signature, &person.name)
    }

    /// Whether it approves of this very request.
    pub(super) fn is_of(&self, request: &Request, root: &[u8; 32]) -> bool {
        self.request_id == request.request_id
            && self.request_type == request.request_type
            && self.reason_sha256 == request.reason_sha256
            && self.expires_ms == request.expires_ms
            && self.request_sha256 == request.digest(root)
    }

    fn message(&self, root: &[u8; 32]) -> Vec<u8> {
        framed(&[
            b"weir.kill-switch.approval",
            root,
            self.request_id.as_bytes(),
            self.request_type.as_str().as_bytes(),
            self.reason_sha256.as_bytes(),
            &self.expires_ms.to_be_bytes(),
            self.request_sha256.as_bytes(),
            self.role.as_str().as_bytes(),
            self.approver.as_bytes(),
        ])
    }
}

/// Reads a word of a person, which is JSON of bounded size.
pub(crate) fn parse<W: DeserializeOwned>(body: &str) -> Result<W, Refused> {
    if body.len() > WORD_BYTES_MAX {
        return Err(Refused::Malformed(format!("it has more than {WORD_BYTES_MAX} bytes")));
    }
    serde_json::from_str(body).map_err(|error| Refused::Malformed(shown(&error.to_string())))
}

/// The id of a person's word: its prefix, the second in which it was said, and 8 hex digits.
pub(crate) fn word_id(prefix: &str, created_ms: i64, id: [u8; 4]) -> String {
    format!("{prefix}{}-{}", created_ms.div_euclid(1_000), hex(&id))
}

/// Whether an id is one that [`word_id`] makes of this prefix and time.
pub(crate) fn is_word_id(id: &str, prefix: &str, created_ms: i64) -> bool {
    let parts = id.strip_prefix(prefix).and_then(|id| id.split_once('-'));
    parts.is_some_and(|(second, rest)| {
        let is_hex =
            rest.len() == 8 && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        is_hex && second == created_ms.div_euclid(1_000).to_string()
    })
}

/// Whether a text is short enough, and on one line.
pub(crate) fn fits_a_line(text: &str) -> bool {
    text.len() <= REASON_BYTES_MAX && !text.chars().any(char::is_control)
}

/// Whether a word is good for as long as words are: ten minutes.
pub(crate) fn is_good_for_its_time(created_ms: i64, expires_ms: i64) -> bool {
    created_ms >= 0 && created_ms.checked_add(REQUEST_LASTS_MS) == Some(expires_ms)
}

/// Whether the key `public` signed `message`; `by` is whose key that is.
pub(crate) fn verify(public: &str, message: &[u8], signature: &str, by: &str) -> Result<(), Refused> {
    let forged = || Refused::Forged { by: shown(by) };
    let key = key_of(public).ok_or_else(forged)?;
    let signature = unhex::<64>(signature).ok_or_else(forged)?;
    key.verify_strict(message, &Signature::from_bytes(&signature)).map_err(|_| forged())
}

fn key_of(public: &str) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(&unhex::<32>(public)?).ok().filter(|key| !key.is_weak())
}

/// Roles in their order, each once.
fn roles_of(roles: &[PersonRole]) -> String {
    let has: BTreeSet<PersonRole> = roles.iter().copied().collect();
    has.into_iter().map(PersonRole::as_str).collect::<Vec<_>>().join(",")
}

/// A text of somebody else's, short enough and without control characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(NAME_BYTES_MAX / 4).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
