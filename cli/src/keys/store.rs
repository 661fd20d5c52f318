//! Where the keys of a role lie, by the names of their files: in a directory, in systemd's credentials, or in
//! a secret of Vault.

use super::error::KeyError;
use super::files::{Key, ensure_of_systemd, entries, file_name, key_of, missing, read_key, read_secret};
use super::role::Role;
use super::vault::{Secret, Vault};
use crate::settings::{KeysFrom, Settings};
use std::path::{Path, PathBuf};

/// The variable of the environment that names the directory of a service's credentials.
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// How names of credentials begin that are keys: `LoadCredential=weir:DIR` names each file of DIR so.
const CREDENTIAL_PREFIX: &str = "weir_";

/// Where the keys of a role lie.
pub enum KeyStore {
    /// A directory of files.
    Directory(PathBuf),
    /// The directory that systemd made for this service.
    Credentials(PathBuf),
    /// A secret of Vault, as it was read.
    Vault(Secret),
}

impl KeyStore {
    /// Where keys lie that are not in a directory which is given; none where the settings say files.
    ///
    /// # Errors
    /// When they say that keys are elsewhere, and there are none; when the token of Vault may read what
    /// another role has to itself and `is_alone`.
    pub fn elsewhere(settings: &Settings, role: Role, is_alone: bool) -> Result<Option<Self>, KeyError> {
        let variable = |name: &str| std::env::var(name).ok();
        if settings.keys_from != KeysFrom::Files && settings.keys_dir.is_some() {
            return Err(KeyError::Twice { from: settings.keys_from });
        }
        match settings.keys_from {
            KeysFrom::Files => Ok(None),
            // They are of one service, and `weir run` is every role.
            KeysFrom::Credentials if !is_alone => Err(KeyError::CredentialsOfAll),
            KeysFrom::Credentials => {
                let directory = variable(CREDENTIALS_VARIABLE).ok_or(KeyError::NoCredentials)?;
                Ok(Some(Self::Credentials(directory.into())))
            }
            KeysFrom::Vault => {
                let vault = Vault::of(settings, variable)?;
                // An auditor's keys are no secrets: whoever holds others may verify too.
                if is_alone
                    && role != Role::Auditor
                    && let Some(path) = vault.reaches_beyond(role)?
                {
                    let remedy = format!("Give it a token that may read {role}'s secret and no other role's");
                    return Err(KeyError::Foreign { path: format!("{path} of Vault"), role, remedy });
                }
                let secret = vault.read(role)?;
                tracing::info!(%role, path = %secret.path, version = secret.version, "keys are from Vault");
                Ok(Some(Self::Vault(secret)))
            }
        }
    }

    /// How errors name a key.
    pub fn shown(&self, name: &str) -> String {
        match self {
            Self::Directory(directory) => directory.join(name).display().to_string(),
            Self::Credentials(directory) => {
                directory.join(format!("{CREDENTIAL_PREFIX}{name}")).display().to_string()
            }
            Self::Vault(secret) => format!("{name} of {} (version {})", secret.path, secret.version),
        }
    }

    /// Names of what lies there, in order.
    pub fn names(&self) -> Result<Vec<String>, KeyError> {
        Ok(match self {
            Self::Directory(directory) => {
                entries(directory, |_| true)?.iter().map(|path| file_name(path)).collect()
            }
            Self::Credentials(directory) => {
                let files = entries(directory, |name| name.starts_with(CREDENTIAL_PREFIX))?;
                files.iter().map(|path| file_name(path)[CREDENTIAL_PREFIX.len()..].to_owned()).collect()
            }
            Self::Vault(secret) => secret.fields.keys().cloned().collect(),
        })
    }

    /// The secret of that name, which nobody else may be able to read.
    pub fn secret(&self, name: &str, role: Role) -> Result<Key, KeyError> {
        match self {
            Self::Directory(directory) => read_secret(&directory.join(name), role),
            Self::Credentials(directory) => {
                ensure_of_systemd(&self.credential(directory, name, role)?)?;
                self.public(name, role)
            }
            Self::Vault(_) => self.public(name, role),
        }
    }

    /// The public half of that name.
    pub fn public(&self, name: &str, role: Role) -> Result<Key, KeyError> {
        match self {
            Self::Directory(directory) => read_key(&directory.join(name), role),
            Self::Credentials(directory) => read_key(&self.credential(directory, name, role)?, role),
            Self::Vault(secret) => {
                let text = secret.fields.get(name).ok_or_else(|| self.missing(name, role))?;
                key_of(text).ok_or_else(|| KeyError::Malformed { path: self.shown(name) })
            }
        }
    }

    /// That there is no such key.
    pub fn missing(&self, name: &str, role: Role) -> KeyError {
        let remedy = match self {
            Self::Directory(directory) => return missing(&directory.join(name), role),
            Self::Credentials(_) => "say LoadCredential=weir:DIR in its unit, where DIR is",
            Self::Vault(_) => "put into that secret what is in",
        };
        let remedy = format!("{remedy} the directory `{role}` that `weir keys make` made");
        KeyError::Missing { path: self.shown(name), role, remedy }
    }

    fn credential(&self, directory: &Path, name: &str, role: Role) -> Result<PathBuf, KeyError> {
        let path = directory.join(format!("{CREDENTIAL_PREFIX}{name}"));
        if path.exists() { Ok(path) } else { Err(self.missing(name, role)) }
    }
}
