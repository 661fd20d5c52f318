//! Key directories, one a role: each holds what its role needs and nothing else, so that whoever takes a
//! node has no more than the node had.
//!
//! A key is 32 bytes as 64 hex digits in a file of its own. Secrets end in `.key` and are readable by their
//! owner only; public halves end in `.pub`. The number in a name is the key's id, which everything that was
//! made with it carries, so that another can take its place.

use rand::TryRng as _;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use thiserror::Error;
use weir_enforcer::kill_switch::PersonKey;
use weir_enforcer::open::{Opener, public_of};
use weir_enforcer::{AuditKey, AuditKeys};
use weir_replay::coverage::public_key_of;
use weir_schemas::pseudonym::PseudonymKey;
use zeroize::Zeroizing;

/// The file of the public half of the operator's key.
const ROOT: &str = "sign.pub";

/// A 32-byte key.
pub type Key = Zeroizing<[u8; 32]>;

/// Who needs keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `weir collect` and `weir import`.
    Collector,
    /// `weir enforce`.
    Enforcer,
    /// Whoever checks what was done: `weir audit verify`.
    Auditor,
    /// Whoever states what was done: `weir coverage`.
    Operator,
    /// `weir process`, which needs none.
    Processor,
}

impl Role {
    /// The roles that have a directory.
    const WITH_DIRECTORY: [Self; 4] = [Self::Enforcer, Self::Collector, Self::Auditor, Self::Operator];

    /// Name of its directory.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Enforcer => "enforcer",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Processor => "processor",
        }
    }

    /// What the secrets that it needs begin with.
    const fn secrets(self) -> &'static [&'static str] {
        match self {
            Self::Collector => &["pseudonym-"],
            Self::Enforcer => &["pseudonym-", "seal-", "audit-"],
            Self::Operator => &["sign"],
            Self::Auditor | Self::Processor => &[],
        }
    }

    const fn readme(self) -> &'static str {
        match self {
            Self::Collector => {
                "Keys of the role `collector`: `weir collect` and `weir import`, on every gateway node.\n\n\
                 pseudonym-0.key  secret. Makes pseudonyms; with it one can try out which pseudonym an id has.\n\
                 seal-1.pub       public. Seals raw ids for the enforcer; it opens nothing.\n\n\
                 Whoever takes this directory can write events and guess ids one by one. They can open no identity,\n\
                 put no customer in another's place, and forge no audit record.\n"
            }
            Self::Enforcer => {
                "Keys of the role `enforcer`: `weir enforce`, and nobody else.\n\n\
                 pseudonym-0.key  secret. Checks that an identity makes the pseudonym that it was announced for.\n\
                 seal-1.key       secret. Opens sealed identities, for actions that are to be carried out.\n\
                 audit-1.key      secret. Signs the audit chains.\n\
                 sign.pub         public. Says whom the kill switch believes.\n\n\
                 Whoever takes this directory can open every identity and sign audit records. Without it no\n\
                 pseudonym can be traced back: keep a copy in a safe place.\n"
            }
            Self::Auditor => {
                "Keys of the role `auditor`: `weir audit verify`, `weir coverage --check`.\n\n\
                 audit-1.pub  public. Verifies the audit chains.\n\
                 sign.pub     public. Verifies statements of coverage, and who the persons of the kill switch are.\n\n\
                 Nothing here is secret. Get it from somebody you trust: it decides what you believe.\n"
            }
            Self::Operator => {
                "Keys of the role `operator`: `weir coverage`, `weir kill-switch persons publish`, by hand.\n\n\
                 sign.key  secret. Signs statements of coverage, and who the persons of the kill switch are.\n\n\
                 Whoever takes this directory can sign statements, and say who may stop the enforcers. No running role\n\
                 needs it.\n"
            }
            Self::Processor => "",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why keys cannot be had. Never shows one.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The directory has no such key.
    #[error(
        "the key {path} is missing, which the role {role} needs: give --keys-dir the directory `{role}` that `weir keys make` made"
    )]
    Missing {
        /// The file.
        path: String,
        /// Who needs it.
        role: Role,
    },
    /// The directory has a secret that its role must not have.
    #[error(
        "the role {role} was given the secret {path}, which it does not need: whoever takes this machine would have it too. {remedy}"
    )]
    Foreign {
        /// The file.
        path: String,
        /// Who was given it.
        role: Role,
        /// What to do.
        remedy: String,
    },
    /// The public half is there without its secret.
    #[error(
        "{public} is there, but its secret {secret} is not: restore that, or make keys where there are none"
    )]
    Orphan {
        /// The public file.
        public: String,
        /// The secret file.
        secret: String,
    },
    /// A secret would be where its public half belongs.
    #[error("{path} is the name of a public half: give the name of the secret, such as {secret}")]
    PublicName {
        /// The file that was asked for.
        path: String,
        /// A name that would do.
        secret: String,
    },
    /// Others can read a secret.
    #[error("{what} {path} can be read by others (mode {mode:o}): chmod 600 it")]
    Open {
        /// What it is.
        what: String,
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// A secret cannot be looked at.
    #[error("cannot read {what} {path}: {source}")]
    Unreadable {
        /// What it is.
        what: String,
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// That is no key.
    #[error("the key {path} must be 64 hex digits")]
    Malformed {
        /// The file.
        path: String,
    },
    /// The file system does not let us.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or directory.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// No randomness, no keys.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.display().to_string();
    move |source| KeyError::Io { path, source }
}

/// What a collector holds.
pub struct CollectorKeys {
    /// Makes pseudonyms: rotation and key. The same on every node.
    pub pseudonym: (i32, Key),
    /// Public key of the enforcer that identities are sealed to, and its number.
    pub seal: (i32, [u8; 32]),
}

/// What an enforcer holds.
pub struct EnforcerKeys {
    /// Every rotation of the pseudonym key.
    pub pseudonyms: Vec<(i32, Key)>,
    /// Every secret that opens identities.
    pub seals: Vec<(i32, Key)>,
    /// What signs audit chains; a chain begins with the first.
    pub audit: AuditKeys,
    /// Public key that says who the persons of the kill switch are; without it nobody is.
    pub root: Option<[u8; 32]>,
}

impl CollectorKeys {
    /// Reads a collector's directory.
    pub fn read(directory: &Path) -> Result<Self, KeyError> {
        ensure_no_foreign(directory, Role::Collector)?;
        let pseudonym = newest(secrets(directory, "pseudonym", Role::Collector)?);
        let seal = newest(publics(directory, "seal", Role::Collector)?);
        let missing = |name: &str| missing(directory, name, Role::Collector);
        Ok(Self {
            pseudonym: pseudonym.ok_or_else(|| missing("pseudonym-0.key"))?,
            seal: seal.ok_or_else(|| missing("seal-1.pub"))?,
        })
    }
}

impl EnforcerKeys {
    /// Reads an enforcer's directory.
    pub fn read(directory: &Path) -> Result<Self, KeyError> {
        let role = Role::Enforcer;
        ensure_no_foreign(directory, role)?;
        let mut audit: Option<AuditKeys> = None;
        for (number, key) in secrets(directory, "audit", role)? {
            let key = AuditKey::new(format!("audit-{number}"), &key);
            audit = Some(match audit {
                None => AuditKeys::new(key),
                Some(keys) => keys.and(key),
            });
        }
        let (pseudonyms, seals) = (secrets(directory, "pseudonym", role)?, secrets(directory, "seal", role)?);
        if pseudonyms.is_empty() {
            return Err(missing(directory, "pseudonym-0.key", role));
        }
        if seals.is_empty() {
            return Err(missing(directory, "seal-1.key", role));
        }
        let audit = audit.ok_or_else(|| missing(directory, "audit-1.key", role))?;
        let root = directory.join(ROOT).exists().then(|| read_root(directory, role)).transpose()?;
        Ok(Self { pseudonyms, seals, audit, root })
    }

    /// What opens identities with these keys.
    pub fn opener(&self) -> Opener {
        let mut opener = Opener::new();
        for (number, secret) in &self.seals {
            opener = opener.with_key(*number, secret);
        }
        for (epoch, key) in &self.pseudonyms {
            opener = opener.with_pseudonyms(PseudonymKey::new(key, *epoch));
        }
        opener
    }
}

/// The public audit keys of an auditor's directory, by the name that entries carry.
pub fn read_auditor(directory: &Path) -> Result<Vec<(String, [u8; 32])>, KeyError> {
    ensure_no_foreign(directory, Role::Auditor)?;
    let keys = publics(directory, "audit", Role::Auditor)?;
    if keys.is_empty() {
        return Err(missing(directory, "audit-1.pub", Role::Auditor));
    }
    Ok(keys.into_iter().map(|(number, key)| (format!("audit-{number}"), key)).collect())
}

/// The seed of the key that signs statements, from an operator's directory.
pub fn read_sign(directory: &Path) -> Result<Key, KeyError> {
    ensure_no_foreign(directory, Role::Operator)?;
    read_secret(&directory.join("sign.key"), Role::Operator)
}

/// The public half of the key that signs statements and says who the persons of the kill switch are.
pub fn read_root(directory: &Path, role: Role) -> Result<[u8; 32], KeyError> {
    Ok(*read_key(&directory.join(ROOT), role)?)
}

/// The key of a person, who is no role: it lies wherever they keep it.
pub fn read_person(path: &Path) -> Result<Key, KeyError> {
    read_secret(path, Role::Operator)
}

/// The public key of a person who may sign policies.
pub fn read_signer(path: &Path) -> Result<Key, KeyError> {
    read_key(path, Role::Operator)
}

/// Makes the key of a person in this file, and the public half beside it; none where the file is there.
pub fn make_person(path: &Path) -> Result<Option<[u8; 32]>, KeyError> {
    let public_path = path.with_extension("pub");
    if path == public_path {
        let secret = path.with_extension("key").display().to_string();
        return Err(KeyError::PublicName { path: path.display().to_string(), secret });
    }
    if path.exists() {
        return Ok(None);
    }
    if public_path.exists() {
        let (public, secret) = (public_path.display().to_string(), path.display().to_string());
        return Err(KeyError::Orphan { public, secret });
    }
    let key = random()?;
    write_key(path, &key, 0o600)?;
    let public = PersonKey::new(&key).public();
    write_key(&public_path, &public, 0o644)?;
    Ok(Some(public))
}

/// Refuses keys for a role that needs none.
pub fn ensure_none(directory: &Path) -> Result<(), KeyError> {
    ensure_no_foreign(directory, Role::Processor)
}

/// Makes a directory for each role below `root`, where they are missing; true if any key was made.
pub fn make(root: &Path) -> Result<bool, KeyError> {
    for role in Role::WITH_DIRECTORY {
        let directory = root.join(role.name());
        let builder = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        builder.map_err(at(&directory))?;
        write(&directory, "README", role.readme().as_bytes(), 0o644)?;
    }
    let of = |role: Role, name: &str| root.join(role.name()).join(name);
    let mut made = false;
    let (ours, theirs) = (of(Role::Enforcer, "pseudonym-0.key"), of(Role::Collector, "pseudonym-0.key"));
    match (ours.exists(), theirs.exists()) {
        (true, true) => {}
        (false, true) => copy(&theirs, &ours, Role::Collector)?,
        (ours_is_there, false) => {
            if !ours_is_there {
                write_key(&ours, &*random()?, 0o600)?;
                made = true;
            }
            copy(&ours, &theirs, Role::Enforcer)?;
        }
    }
    let public_audit: fn(&[u8; 32]) -> [u8; 32] = |seed| AuditKey::new("", seed).public();
    for (secret, public, half) in [
        (
            of(Role::Enforcer, "seal-1.key"),
            of(Role::Collector, "seal-1.pub"),
            public_of as fn(&[u8; 32]) -> _,
        ),
        (of(Role::Enforcer, "audit-1.key"), of(Role::Auditor, "audit-1.pub"), public_audit),
        (of(Role::Operator, "sign.key"), of(Role::Auditor, ROOT), public_audit),
        (of(Role::Operator, "sign.key"), of(Role::Enforcer, ROOT), public_audit),
    ] {
        if !secret.exists() {
            if public.exists() {
                let (public, secret) = (public.display().to_string(), secret.display().to_string());
                return Err(KeyError::Orphan { public, secret });
            }
            write_key(&secret, &*random()?, 0o600)?;
            made = true;
        }
        if !public.exists() {
            write_key(&public, &half(&*read_secret(&secret, Role::Operator)?), 0o644)?;
        }
    }
    Ok(made)
}

/// The public keys that auditors need, as hex digits: of the audit chains, and of statements.
pub fn public_halves(root: &Path) -> Result<(String, String), KeyError> {
    let audit = fs::read_to_string(root.join("auditor/audit-1.pub"));
    let audit = audit.map_err(at(&root.join("auditor/audit-1.pub")))?.trim().to_owned();
    Ok((audit, public_key_of(&*read_sign(&root.join(Role::Operator.name()))?)))
}

/// Refuses a secret that others than its owner can read; `what` names it.
pub fn ensure_private(path: &Path, what: &str) -> Result<(), KeyError> {
    let metadata = fs::metadata(path).map_err(|source| KeyError::Unreadable {
        what: what.into(),
        path: path.display().to_string(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(KeyError::Open { what: what.into(), path: path.display().to_string(), mode }),
    }
}

fn missing(directory: &Path, name: &str, role: Role) -> KeyError {
    KeyError::Missing { path: directory.join(name).display().to_string(), role }
}

/// Every secret of Weir in `directory` and in the directories of roles below it must be one that `role`
/// needs.
fn ensure_no_foreign(directory: &Path, role: Role) -> Result<(), KeyError> {
    for other in Role::WITH_DIRECTORY {
        let below = directory.join(other.name());
        if let Some(path) = weir_secrets(&below)?.into_iter().next() {
            let remedy = match role {
                Role::Processor => "Unset keys_dir: `weir process` needs no key".to_owned(),
                _ => format!(
                    "Give --keys-dir {}, and keep the other directories elsewhere",
                    directory.join(role.name()).display()
                ),
            };
            return Err(KeyError::Foreign { path: path.display().to_string(), role, remedy });
        }
    }
    for path in weir_secrets(directory)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !role.secrets().iter().any(|prefix| name.starts_with(prefix)) {
            let remedy = match role {
                Role::Processor => "Unset keys_dir: `weir process` needs no key".to_owned(),
                _ => format!(
                    "Remove it from here, and give --keys-dir the directory `{role}` that `weir keys make` made"
                ),
            };
            return Err(KeyError::Foreign { path: path.display().to_string(), role, remedy });
        }
    }
    Ok(())
}

/// Weir's secrets in a directory, in the order of their names; none where there is no such directory.
fn weir_secrets(directory: &Path) -> Result<Vec<PathBuf>, KeyError> {
    let is_ours = |name: &str| {
        let is_secret = name.ends_with(".key") && !name.starts_with('.');
        is_secret && ["pseudonym", "seal", "audit", "sign"].iter().any(|kind| name.starts_with(kind))
    };
    entries(directory, is_ours)
}

fn entries(directory: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, KeyError> {
    let listing = match fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(directory)(error)),
    };
    let mut found = Vec::new();
    for entry in listing {
        let path = entry.map_err(at(directory))?.path();
        if path.file_name().is_some_and(|name| is_wanted(&name.to_string_lossy())) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The numbered files of a kind, `kind-N.ending`, in the order of their numbers.
fn numbered(directory: &Path, kind: &str, ending: &str) -> Result<Vec<(i32, PathBuf)>, KeyError> {
    let number = |name: &str| -> Option<i32> {
        let digits = name.strip_prefix(kind)?.strip_prefix('-')?.strip_suffix(ending)?;
        digits.parse().ok().filter(|number: &i32| *number >= 0 && number.to_string() == digits)
    };
    let paths = entries(directory, |name| number(name).is_some())?;
    let named = |path: PathBuf| Some((number(&path.file_name()?.to_string_lossy())?, path));
    let mut found: Vec<_> = paths.into_iter().filter_map(named).collect();
    found.sort();
    Ok(found)
}

fn secrets(directory: &Path, kind: &str, role: Role) -> Result<Vec<(i32, Key)>, KeyError> {
    let files = numbered(directory, kind, ".key")?;
    files.into_iter().map(|(number, path)| Ok((number, read_secret(&path, role)?))).collect()
}

fn publics(directory: &Path, kind: &str, role: Role) -> Result<Vec<(i32, [u8; 32])>, KeyError> {
    let files = numbered(directory, kind, ".pub")?;
    files.into_iter().map(|(number, path)| Ok((number, *read_key(&path, role)?))).collect()
}

fn newest<K>(keys: Vec<(i32, K)>) -> Option<(i32, K)> {
    keys.into_iter().next_back()
}

fn read_secret(path: &Path, role: Role) -> Result<Key, KeyError> {
    if !path.exists() {
        return Err(KeyError::Missing { path: path.display().to_string(), role });
    }
    ensure_private(path, "the key")?;
    read_key(path, role)
}

fn read_key(path: &Path, role: Role) -> Result<Key, KeyError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeyError::Missing { path: path.display().to_string(), role });
        }
        Err(error) => return Err(at(path)(error)),
    };
    let digits = text.trim().as_bytes();
    let malformed = || KeyError::Malformed { path: path.display().to_string() };
    let value = |digit: u8| char::from(digit).to_digit(16).ok_or_else(malformed);
    let mut key = Zeroizing::new([0u8; 32]);
    if digits.len() != 64 {
        return Err(malformed());
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (value(pair[0])? << 4 | value(pair[1])?) as u8;
    }
    Ok(key)
}

fn copy(from: &Path, to: &Path, role: Role) -> Result<(), KeyError> {
    write_key(to, &*read_secret(from, role)?, 0o600)
}

/// 32 bytes of the operating system's generator.
pub fn random() -> Result<Key, KeyError> {
    let mut key = Zeroizing::new([0u8; 32]);
    rand::rngs::SysRng.try_fill_bytes(key.as_mut()).map_err(|_| KeyError::NoRandomness)?;
    Ok(key)
}

fn write_key(path: &Path, key: &[u8; 32], mode: u32) -> Result<(), KeyError> {
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in key {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    text.push('\n');
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(at(path)(io::ErrorKind::InvalidInput.into()));
    };
    write(directory, &name.to_string_lossy(), text.as_bytes(), mode)
}

/// Written aside and renamed, so that a crash leaves a whole file or none.
fn write(directory: &Path, name: &str, content: &[u8], mode: u32) -> Result<(), KeyError> {
    let path = directory.join(name);
    let aside = directory.join(format!(".{name}.new"));
    let _ = fs::remove_file(&aside);
    let written = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside)?;
        file.write_all(content)?;
        // Whatever the process's umask took away.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&aside, &path)?;
        fs::File::open(directory)?.sync_all()
    };
    written().map_err(at(&path))
}

#[cfg(test)]
mod tests;
