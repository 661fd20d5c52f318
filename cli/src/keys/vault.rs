//! Keys in Vault: a secret of a KV engine of version 2 for each role, whose fields are named like the files
//! of `weir keys make` and hold what they hold.
//!
//! It is read once, when a role starts, as files are. A token that may read another role's secret is refused
//! like a directory that holds one.

mod client;
pub mod error;
mod limits;
mod login;

use super::role::Role;
use crate::settings::Settings;
use client::{Answer, Client};
use error::VaultError;
use login::{Login, Token, is_token};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use ureq::tls::TlsConfig;
use weir_enforcer::siem::destination::tls::Authorities;
use zeroize::Zeroizing;

/// The variable of the environment that Vault's own tools read tokens from.
const TOKEN_VARIABLE: &str = "VAULT_TOKEN";

/// Where Vault says what a token may do.
const CAPABILITIES: &str = "sys/capabilities-self";

/// The roles with secrets that others must not be able to read.
const WITH_SECRETS: [Role; 3] = [Role::Collector, Role::Enforcer, Role::Operator];

/// A server, who we are there, and where the keys of all roles are.
pub struct Vault {
    client: Client,
    login: Login,
    mount: String,
    path: String,
    version: Option<u64>,
}

/// The keys of a role.
pub struct Secret {
    /// As policies name it, such as `secret/data/weir/enforcer`.
    pub path: String,
    /// Its version.
    pub version: u64,
    /// What its fields hold.
    pub fields: BTreeMap<String, Zeroizing<String>>,
}

/// A text of a secret, which is wiped.
struct Text(Zeroizing<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

#[derive(Deserialize)]
struct Read {
    data: Version,
}

#[derive(Deserialize)]
struct Version {
    data: Option<BTreeMap<String, Text>>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
    #[serde(default)]
    destroyed: bool,
    #[serde(default)]
    deletion_time: String,
}

#[derive(Deserialize)]
struct Capabilities {
    data: BTreeMap<String, Vec<String>>,
}

impl Vault {
    /// As the settings say; `variable` looks a name up in the environment.
    ///
    /// # Errors
    /// When they say too little, or contradict themselves.
    pub fn of(settings: &Settings, variable: impl Fn(&str) -> Option<String>) -> Result<Self, VaultError> {
        let address = address(settings)?;
        for (key, path) in [
            ("vault.mount", &settings.vault_mount),
            ("vault.path", &settings.vault_path),
            ("vault.kubernetes_mount", &settings.vault_kubernetes_mount),
        ] {
            if !is_path(path) {
                let what = "must be names of A-Z, a-z, 0-9, `.`, `_` and `-`, with / between them".into();
                return Err(VaultError::Setting { key, what });
            }
        }
        let tls = match &settings.vault_ca_file {
            None => TlsConfig::default(),
            Some(file) => {
                let refused = |what: String| VaultError::Setting {
                    key: "vault.ca_file",
                    what: format!("{} cannot be used: {what}", file.display()),
                };
                let pem = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
                Authorities::from_pem(&pem).map_err(|error| refused(error.to_string()))?.config()
            }
        };
        let wait = Duration::from_millis(settings.vault_timeout_ms);
        Ok(Self {
            client: Client::new(address, settings.vault_namespace.as_deref(), wait, tls),
            login: login(settings, variable)?,
            mount: settings.vault_mount.clone(),
            path: settings.vault_path.clone(),
            version: settings.vault_version,
        })
    }

    /// The secret of `role`.
    ///
    /// # Errors
    /// When Vault does not give it.
    pub fn read(&self, role: Role) -> Result<Secret, VaultError> {
        let path = self.path_of(role);
        let asked = match self.version {
            None => path.clone(),
            Some(version) => format!("{path}?version={version}"),
        };
        let answer = self.ask(&asked, None, &path, "read")?;
        let malformed = |what| VaultError::Malformed { path: path.clone(), what };
        let version = || self.version.map(|version| format!(" in version {version}")).unwrap_or_default();
        let read: Option<Read> = match answer.status {
            200 => Some(answer.read().ok_or_else(|| malformed("its fields must be texts, below data.data"))?),
            404 => answer.read(),
            status => return Err(VaultError::Status { path, status }),
        };
        let Some(Read { data: Version { data, metadata } }) = read else {
            return Err(VaultError::NotFound { path, version: version() });
        };
        let gone = match (metadata.destroyed, metadata.deletion_time.is_empty() || data.is_some()) {
            (true, _) => {
                Some(("destroyed", "put the keys there again, from where they are kept, as a new version"))
            }
            (false, false) => Some(("deleted", "`vault kv undelete` brings it back")),
            (false, true) => None,
        };
        if let Some((what, remedy)) = gone {
            return Err(VaultError::Gone { path, version: metadata.version, what, remedy });
        }
        if self.version.is_some_and(|asked| asked != metadata.version) {
            return Err(malformed("it is another version than was asked for"));
        }
        let fields = data.ok_or_else(|| malformed("it has no fields"))?;
        let fields = fields.into_iter().map(|(name, text)| (name, text.0)).collect();
        Ok(Secret { path, version: metadata.version, fields })
    }

    /// The secret of another role than `role` that the token may read too, as policies name it.
    ///
    /// # Errors
    /// When Vault does not tell.
    pub fn reaches_beyond(&self, role: Role) -> Result<Option<String>, VaultError> {
        let others: Vec<String> = WITH_SECRETS
            .into_iter()
            .filter(|other| *other != role)
            .map(|other| self.path_of(other))
            .collect();
        let body = json!({ "paths": others }).to_string();
        let answer = self.ask(CAPABILITIES, Some(body.as_bytes()), CAPABILITIES, "update")?;
        let malformed = |what| VaultError::Malformed { path: CAPABILITIES.into(), what };
        if answer.status != 200 {
            return Err(VaultError::Status { path: CAPABILITIES.into(), status: answer.status });
        }
        let told: Capabilities = answer.read().ok_or_else(|| malformed("it says nothing of the token"))?;
        for other in others {
            let may = told.data.get(&other).ok_or_else(|| malformed("it leaves a path out"))?;
            if may.iter().any(|capability| capability == "read" || capability == "root") {
                return Ok(Some(other));
            }
        }
        Ok(None)
    }

    fn path_of(&self, role: Role) -> String {
        format!("{}/data/{}/{role}", self.mount, self.path)
    }

    /// Asks with a token; once more with another where that one is refused, as when it expired meanwhile.
    fn ask(
        &self,
        asked: &str,
        body: Option<&[u8]>,
        path: &str,
        capability: &'static str,
    ) -> Result<Answer, VaultError> {
        let token = self.login.token(&self.client)?;
        let answer = self.client.ask(asked, Some(&token), body)?;
        if answer.status != 403 {
            return Ok(answer);
        }
        let newer: Token = self.login.token(&self.client)?;
        let answer = match newer == token {
            true => answer,
            false => self.client.ask(asked, Some(&newer), body)?,
        };
        match answer.status {
            403 => Err(VaultError::Denied { path: path.to_owned(), capability }),
            _ => Ok(answer),
        }
    }
}

/// A server to which a token may be shown: over TLS, or on this machine.
fn address(settings: &Settings) -> Result<&str, VaultError> {
    let refused = |what: &str| VaultError::Setting { key: "vault.address", what: what.into() };
    let address = settings.vault_address.as_deref();
    let address =
        address.ok_or_else(|| refused("is not set, and keys_from is vault: give https://HOST:8200"))?;
    let (scheme, rest) = address.split_once("://").unwrap_or_default();
    let host = rest.trim_end_matches('/');
    if host.is_empty() || host.contains(['/', '?', '#', '@']) {
        return Err(refused("must be https://HOST:PORT and nothing else"));
    }
    let is_here = ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|here| host.strip_prefix(here).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')));
    match scheme {
        "https" => Ok(address),
        "http" if is_here => Ok(address),
        "http" => Err(refused("would have keys and tokens cross a network in clear text: give https://")),
        _ => Err(refused("must be https://HOST:PORT and nothing else")),
    }
}

fn login(settings: &Settings, variable: impl Fn(&str) -> Option<String>) -> Result<Login, VaultError> {
    match (&settings.vault_token_file, &settings.vault_kubernetes_role) {
        (Some(_), Some(_)) => Err(VaultError::Setting {
            key: "vault.token_file",
            what: "and vault.kubernetes_role say twice who this role is at Vault: leave one of them out"
                .into(),
        }),
        (Some(file), None) => Ok(Login::File(file.clone())),
        (None, Some(role)) => Ok(Login::Kubernetes {
            role: role.clone(),
            mount: settings.vault_kubernetes_mount.clone(),
            token_file: settings.vault_kubernetes_token_file.clone(),
        }),
        (None, None) => {
            let token = variable(TOKEN_VARIABLE).map(Zeroizing::new);
            token.filter(|token| is_token(token)).map(Login::Given).ok_or(VaultError::NoToken)
        }
    }
}

/// Whether that may stand in a URL and in a policy as it is.
fn is_path(text: &str) -> bool {
    let is_name = |name: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && name != "." && name != ".." && name.bytes().all(is_plain)
    };
    text.split('/').all(is_name)
}

#[cfg(test)]
mod tests;
