//! Key directories, one a role: each holds what its role needs and nothing else, so that whoever takes a
//! node has no more than the node had. [`store`] says where else than in a directory they may lie.
//!
//! A key is 32 bytes as 64 hex digits in a file of its own. Secrets end in `.key` and are readable by their
//! owner only; public halves end in `.pub`. The number in a name is the key's id, which everything that was
//! made with it carries, so that another can take its place.

mod error;
mod files;
mod role;
mod store;
mod vault;

pub use error::KeyError;
pub use files::{Key, ensure_private, random};
pub use role::Role;
pub use store::KeyStore;

use crate::settings::{KeysFrom, Settings};
use files::{at, copy, entries, read_key, read_secret, write, write_key};
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use weir_enforcer::kill_switch::PersonKey;
use weir_enforcer::open::{Opener, public_of};
use weir_enforcer::{AuditKey, AuditKeys};
use weir_replay::coverage::public_key_of;
use weir_schemas::pseudonym::PseudonymKey;

/// The public half of the operator's key.
const ROOT: &str = "sign.pub";

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
    /// Reads a collector's keys.
    pub fn read(store: &KeyStore) -> Result<Self, KeyError> {
        ensure_no_foreign(store, Role::Collector)?;
        let pseudonym = newest(secrets(store, "pseudonym", Role::Collector)?);
        let seal = newest(publics(store, "seal", Role::Collector)?);
        let missing = |name: &str| store.missing(name, Role::Collector);
        Ok(Self {
            pseudonym: pseudonym.ok_or_else(|| missing("pseudonym-0.key"))?,
            seal: seal.ok_or_else(|| missing("seal-1.pub"))?,
        })
    }
}

impl EnforcerKeys {
    /// Reads an enforcer's keys.
    pub fn read(store: &KeyStore) -> Result<Self, KeyError> {
        let role = Role::Enforcer;
        ensure_no_foreign(store, role)?;
        let mut audit: Option<AuditKeys> = None;
        for (number, key) in secrets(store, "audit", role)? {
            let key = AuditKey::new(format!("audit-{number}"), &key);
            audit = Some(match audit {
                None => AuditKeys::new(key),
                Some(keys) => keys.and(key),
            });
        }
        let (pseudonyms, seals) = (secrets(store, "pseudonym", role)?, secrets(store, "seal", role)?);
        if pseudonyms.is_empty() {
            return Err(store.missing("pseudonym-0.key", role));
        }
        if seals.is_empty() {
            return Err(store.missing("seal-1.key", role));
        }
        let audit = audit.ok_or_else(|| store.missing("audit-1.key", role))?;
        let root = read_root_if_there(store, role)?;
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

/// The public audit keys of an auditor, by the name that entries carry.
pub fn read_auditor(store: &KeyStore) -> Result<Vec<(String, [u8; 32])>, KeyError> {
    ensure_no_foreign(store, Role::Auditor)?;
    let keys = publics(store, "audit", Role::Auditor)?;
    if keys.is_empty() {
        return Err(store.missing("audit-1.pub", Role::Auditor));
    }
    Ok(keys.into_iter().map(|(number, key)| (format!("audit-{number}"), key)).collect())
}

/// The seed of the key that signs statements, of an operator.
pub fn read_sign(store: &KeyStore) -> Result<Key, KeyError> {
    ensure_no_foreign(store, Role::Operator)?;
    store.secret("sign.key", Role::Operator)
}

/// The public half of the key that signs statements and says who the persons of the kill switch are.
pub fn read_root(store: &KeyStore, role: Role) -> Result<[u8; 32], KeyError> {
    Ok(*store.public(ROOT, role)?)
}

/// The same, where it lies there.
pub fn read_root_if_there(store: &KeyStore, role: Role) -> Result<Option<[u8; 32]>, KeyError> {
    let has_root = store.names()?.iter().any(|name| name == ROOT);
    has_root.then(|| read_root(store, role)).transpose()
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

/// Reads what `role` needs, and tells the names of its keys.
pub fn check(store: &KeyStore, role: Role) -> Result<Vec<String>, KeyError> {
    match role {
        Role::Collector => drop(CollectorKeys::read(store)?),
        Role::Enforcer => drop(EnforcerKeys::read(store)?),
        Role::Auditor => drop(read_auditor(store)?),
        Role::Operator => drop(read_sign(store)?),
        Role::Processor => ensure_no_foreign(store, role)?,
    }
    let is_key = |name: &String| [".key", ".pub"].iter().any(|ending| name.ends_with(ending));
    Ok(store.names()?.into_iter().filter(is_key).collect())
}

/// Refuses keys for a role that needs none.
pub fn ensure_none(settings: &Settings) -> Result<(), KeyError> {
    let role = Role::Processor;
    let store = match settings.keys_from {
        // Whatever it is that opens Vault would be one.
        KeysFrom::Vault => {
            let remedy = "Unset keys_from: `weir process` needs no key".to_owned();
            return Err(KeyError::Foreign { path: "that opens Vault".into(), role, remedy });
        }
        // That there are none is as it should be.
        KeysFrom::Credentials => match KeyStore::elsewhere(settings, role, true) {
            Err(KeyError::NoCredentials) => None,
            store => store?,
        },
        KeysFrom::Files => settings.keys_dir.clone().map(KeyStore::Directory),
    };
    store.map_or(Ok(()), |store| ensure_no_foreign(&store, role))
}

/// Writes a file of secrets that are no role's, readable by its owner only.
pub fn write_secret_text(path: &Path, text: &str) -> Result<(), KeyError> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(at(path)(std::io::ErrorKind::InvalidInput.into()));
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    write(directory, &name.to_string_lossy(), text.as_bytes(), 0o600)
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
        (of(Role::Operator, "sign.key"), of(Role::Collector, ROOT), public_audit),
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
    Ok((audit, public_key_of(&*read_sign(&KeyStore::Directory(root.join(Role::Operator.name())))?)))
}

/// Every secret of Weir that lies there, and of a directory in the directories of roles below it, must be one
/// that `role` needs.
fn ensure_no_foreign(store: &KeyStore, role: Role) -> Result<(), KeyError> {
    let refused = |path: String, otherwise: String| {
        let remedy = match role {
            Role::Processor if matches!(store, KeyStore::Directory(_)) => {
                "Unset keys_dir: `weir process` needs no key".to_owned()
            }
            Role::Processor => "Unset keys_from: `weir process` needs no key".to_owned(),
            _ => otherwise,
        };
        Err(KeyError::Foreign { path, role, remedy })
    };
    if let KeyStore::Directory(directory) = store {
        for other in Role::WITH_DIRECTORY {
            let below = entries(&directory.join(other.name()), is_secret)?;
            if let Some(path) = below.into_iter().next() {
                let own = directory.join(role.name());
                let remedy =
                    format!("Give --keys-dir {}, and keep the other directories elsewhere", own.display());
                return refused(path.display().to_string(), remedy);
            }
        }
    }
    for name in store.names()?.into_iter().filter(|name| is_secret(name)) {
        if !role.secrets().iter().any(|prefix| name.starts_with(prefix)) {
            let remedy = match store {
                KeyStore::Directory(_) => {
                    format!(
                        "Remove it from here, and give --keys-dir the directory `{role}` that `weir keys make` made"
                    )
                }
                KeyStore::Credentials(_) => {
                    format!("Load the directory `{role}` that `weir keys make` made, and no other")
                }
                KeyStore::Vault(_) => {
                    format!("Take it out of that secret, which is for the role {role} alone")
                }
            };
            return refused(store.shown(&name), remedy);
        }
    }
    Ok(())
}

/// Whether that is what a secret of Weir is called.
fn is_secret(name: &str) -> bool {
    let is_secret = name.ends_with(".key") && !name.starts_with('.');
    is_secret && ["pseudonym", "seal", "audit", "sign"].iter().any(|kind| name.starts_with(kind))
}

/// What is named `kind-N.ending`, in the order of the numbers.
fn numbered(store: &KeyStore, kind: &str, ending: &str) -> Result<Vec<(i32, String)>, KeyError> {
    let number = |name: &str| -> Option<i32> {
        let digits = name.strip_prefix(kind)?.strip_prefix('-')?.strip_suffix(ending)?;
        digits.parse().ok().filter(|number: &i32| *number >= 0 && number.to_string() == digits)
    };
    let named = |name: String| Some((number(&name)?, name));
    let mut found: Vec<_> = store.names()?.into_iter().filter_map(named).collect();
    found.sort();
    Ok(found)
}

fn secrets(store: &KeyStore, kind: &str, role: Role) -> Result<Vec<(i32, Key)>, KeyError> {
    let named = numbered(store, kind, ".key")?;
    named.into_iter().map(|(number, name)| Ok((number, store.secret(&name, role)?))).collect()
}

fn publics(store: &KeyStore, kind: &str, role: Role) -> Result<Vec<(i32, [u8; 32])>, KeyError> {
    let named = numbered(store, kind, ".pub")?;
    named.into_iter().map(|(number, name)| Ok((number, *store.public(&name, role)?))).collect()
}

fn newest<K>(keys: Vec<(i32, K)>) -> Option<(i32, K)> {
    keys.into_iter().next_back()
}

#[cfg(test)]
mod tests;
