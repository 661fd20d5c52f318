//! Who a role is at Vault: a token of a file or of the environment, or one that Vault gives for a service
//! account of Kubernetes.

use super::client::Client;
use super::error::VaultError;
use super::limits::TOKEN_BYTES_MAX;
use crate::keys::files::ensure_private;
use serde::Deserialize;
use serde_json::json;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A token.
pub type Token = Zeroizing<String>;

/// Where tokens come from.
pub enum Login {
    /// A file, which somebody else may keep fresh.
    File(PathBuf),
    /// The environment.
    Given(Token),
    /// Vault's own method for service accounts.
    Kubernetes {
        /// The role at Vault.
        role: String,
        /// Where the method is mounted.
        mount: String,
        /// The file with the service account's token.
        token_file: PathBuf,
    },
}

#[derive(Deserialize)]
struct LoggedIn {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
}

impl Login {
    /// A token as of now.
    ///
    /// # Errors
    /// When there is none.
    pub fn token(&self, client: &Client) -> Result<Token, VaultError> {
        let (role, mount, token_file) = match self {
            Self::Given(token) => return Ok(token.clone()),
            Self::File(path) => return token_in("vault.token_file", path, true),
            Self::Kubernetes { role, mount, token_file } => (role, mount, token_file),
        };
        // Kubernetes lets the pod's group read it.
        let account = token_in("vault.kubernetes_token_file", token_file, false)?;
        let body = Zeroizing::new(json!({ "role": role, "jwt": account.as_str() }).to_string());
        let path = format!("auth/{mount}/login");
        let answer = client.ask(&path, None, Some(body.as_bytes()))?;
        if answer.status != 200 {
            return Err(VaultError::Login {
                role: role.clone(),
                mount: mount.clone(),
                status: answer.status,
            });
        }
        let logged_in: Option<LoggedIn> = answer.read();
        let token = logged_in.map(|logged_in| Zeroizing::new(logged_in.auth.client_token));
        let token = token.filter(|token| is_token(token));
        token.ok_or(VaultError::Malformed { path, what: "it has no token" })
    }
}

fn token_in(key: &'static str, path: &Path, is_ours: bool) -> Result<Token, VaultError> {
    let refused = |what: String| VaultError::TokenFile { key, path: path.to_owned(), what };
    let mut text = Zeroizing::new(String::with_capacity(TOKEN_BYTES_MAX as usize + 1));
    let file = File::open(path).map_err(|error| refused(format!("it cannot be read: {error}")))?;
    if is_ours {
        ensure_private(path, key).map_err(|error| refused(error.to_string()))?;
    }
    let read = file.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| refused(format!("it cannot be read: {error}")))?;
    let token = text.trim();
    match is_token(token) {
        true => Ok(Zeroizing::new(token.to_owned())),
        false => Err(refused("it must hold one token and nothing else".into())),
    }
}

/// Whether that can stand in a header.
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() as u64 <= TOKEN_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}
