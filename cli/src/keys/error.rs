//! Why keys cannot be had, told so that the operator can mend it.

use super::role::Role;
use super::vault::error::VaultError;
use crate::settings::KeysFrom;
use std::io;
use thiserror::Error;

/// Why keys cannot be had. Never shows one.
#[derive(Debug, Error)]
pub enum KeyError {
    /// There is no such key.
    #[error("the key {path} is missing, which the role {role} needs: {remedy}")]
    Missing {
        /// The file.
        path: String,
        /// Who needs it.
        role: Role,
        /// What to do.
        remedy: String,
    },
    /// There is a secret that the role must not have.
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
    /// Two places are named.
    #[error("keys_dir is set, and keys_from is {from}: leave one of them out")]
    Twice {
        /// The other place.
        from: KeysFrom,
    },
    /// Nobody gave this process credentials.
    #[error(
        "keys_from is credentials, and CREDENTIALS_DIRECTORY is not set: say LoadCredential=weir:DIR in the unit"
    )]
    NoCredentials,
    /// Credentials are of one role.
    #[error(
        "keys_from is credentials, which are of one role, and here one process is all of them: give --keys-dir"
    )]
    CredentialsOfAll,
    /// Vault does not give them.
    #[error(transparent)]
    Vault(#[from] VaultError),
}
