//! Why Vault gives no keys, told so that the operator can mend it. Never shows a token, or what a secret
//! holds.

use std::path::PathBuf;
use thiserror::Error;

/// Why Vault gives no keys.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VaultError {
    /// The configuration says too little, or what it says cannot be.
    #[error("{key} {what}")]
    Setting {
        /// The key.
        key: &'static str,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// There is no token.
    #[error(
        "there is no token for Vault: give vault.token_file, vault.kubernetes_role, or VAULT_TOKEN in the environment"
    )]
    NoToken,
    /// The file with a token cannot be used.
    #[error("{key} {}: {what}", path.display())]
    TokenFile {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// It does not answer, or its answer breaks off.
    #[error(
        "Vault at {address} gave no whole answer: {reason}. Check vault.address, vault.ca_file and what lies between; \
         vault.timeout_ms bounds how long it is waited for"
    )]
    Unreachable {
        /// Its address.
        address: String,
        /// Why.
        reason: String,
    },
    /// It is sealed.
    #[error("Vault at {address} is sealed: unseal it (`vault operator unseal`), then start the role again")]
    Sealed {
        /// Its address.
        address: String,
    },
    /// It cannot answer now.
    #[error(
        "Vault at {address} cannot answer now (status {status}): see `vault status`, then start the role again"
    )]
    Busy {
        /// Its address.
        address: String,
        /// The status of its answer.
        status: u16,
    },
    /// It names another server.
    #[error(
        "Vault at {address} sends on to another server (status {status}), to which no token is shown: give vault.address \
         the active node, or an address behind which only it is"
    )]
    Redirected {
        /// Its address.
        address: String,
        /// The status of its answer.
        status: u16,
    },
    /// The token may not do that.
    #[error(
        "Vault refuses the token for {path} (status 403): it has expired, or its policy does not allow `{capability}` there \
         (`vault token lookup`, `vault token capabilities`)"
    )]
    Denied {
        /// What was asked for, as policies name it.
        path: String,
        /// What a policy has to allow.
        capability: &'static str,
    },
    /// Nobody is logged in by Kubernetes.
    #[error(
        "Vault refuses to log in the role {role} at auth/{mount} (status {status}): check vault.kubernetes_role, and which \
         service accounts and namespaces it is bound to there"
    )]
    Login {
        /// The role at Vault.
        role: String,
        /// Where the method is mounted.
        mount: String,
        /// The status of its answer.
        status: u16,
    },
    /// There is no such secret, or no such version.
    #[error(
        "Vault has no secret {path}{version}: write the role's keys there (docs/operations.md#keys-in-vault), and check \
         vault.mount, vault.path, vault.version and vault.namespace"
    )]
    NotFound {
        /// As policies name it.
        path: String,
        /// ` in version N`, or nothing.
        version: String,
    },
    /// The version is there no more.
    #[error("version {version} of the secret {path} is {what}, and no other is taken in its place: {remedy}")]
    Gone {
        /// As policies name it.
        path: String,
        /// Its number.
        version: u64,
        /// `deleted` or `destroyed`.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The answer is none of a KV engine of version 2.
    #[error("what Vault answers for {path} is no answer of a KV engine of version 2: {what}")]
    Malformed {
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The status of the answer means nothing here.
    #[error("Vault answers for {path} with the unexpected status {status}: see its log")]
    Status {
        /// What was asked for.
        path: String,
        /// The status.
        status: u16,
    },
}
