//! What is said to Vault, and what it answers: bounded in time and size, never led elsewhere, and asked again
//! where it only cannot answer now.

use super::error::VaultError;
use super::limits::{ANSWER_BYTES_MAX, PAUSE, TRIES};
use serde::de::DeserializeOwned;
use std::io::Read as _;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Request, Response};
use ureq::tls::TlsConfig;
use weir_enforcer::http::agent;
use zeroize::Zeroizing;

/// A server of Vault's.
pub struct Client {
    agent: Agent,
    /// Such as `https://vault:8200`.
    address: String,
    namespace: Option<String>,
}

/// What Vault answered.
pub struct Answer {
    /// The status; none that [`Client::ask`] makes an error.
    pub status: u16,
    body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// What the body says; none where it is something else. Why is not told: it would show what the body
    /// holds.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl Client {
    /// The server at `address`, which has to prove who it is by `tls`. An answer may take as long as `wait`.
    pub fn new(address: &str, namespace: Option<&str>, wait: Duration, tls: TlsConfig) -> Self {
        let address = address.trim_end_matches('/').to_owned();
        Self { agent: agent(&address, wait, tls), address, namespace: namespace.map(str::to_owned) }
    }

    /// Asks for `path` below `/v1/`: with a body by POST, without one by GET.
    ///
    /// # Errors
    /// When there is no whole answer, the server cannot give one, or it sends on to another.
    pub fn ask(&self, path: &str, token: Option<&str>, body: Option<&[u8]>) -> Result<Answer, VaultError> {
        let mut tries = 1;
        loop {
            match self.ask_once(path, token, body) {
                Err(error) if tries < TRIES && is_passing(&error) => {
                    tries += 1;
                    std::thread::sleep(PAUSE);
                }
                outcome => return outcome,
            }
        }
    }

    fn ask_once(&self, path: &str, token: Option<&str>, body: Option<&[u8]>) -> Result<Answer, VaultError> {
        let url = format!("{}/v1/{path}", self.address);
        let mut request = Request::builder().uri(&url).header("X-Vault-Request", "true");
        for (name, value) in [("X-Vault-Namespace", self.namespace.as_deref()), ("X-Vault-Token", token)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let answered = match body {
            None => request.body(()).map_err(Into::into).and_then(|request| self.agent.run(request)),
            Some(body) => {
                let request = request.method("POST").header("Content-Type", "application/json").body(body);
                request.map_err(Into::into).and_then(|request| self.agent.run(request))
            }
        };
        let answer = answered.map_err(|error| self.unreachable(&error))?;
        let status = answer.status().as_u16();
        let body = self.body(answer)?;
        let address = self.address.clone();
        match status {
            300..=399 => Err(VaultError::Redirected { address, status }),
            503 if says_sealed(&body) => Err(VaultError::Sealed { address }),
            429 | 472 | 473 | 500..=599 => Err(VaultError::Busy { address, status }),
            _ => Ok(Answer { status, body }),
        }
    }

    /// The whole body, in a place that is wiped.
    fn body(&self, answer: Response<ureq::Body>) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        // As large as it may become: growing would leave copies behind.
        let mut body = Zeroizing::new(Vec::with_capacity(ANSWER_BYTES_MAX as usize + 1));
        let read = answer.into_body().into_reader().take(ANSWER_BYTES_MAX + 1).read_to_end(&mut body);
        read.map_err(|error| self.unreachable(&error))?;
        match body.len() as u64 > ANSWER_BYTES_MAX {
            true => Err(self.unreachable(&format!("it is over {ANSWER_BYTES_MAX} bytes"))),
            false => Ok(body),
        }
    }

    fn unreachable(&self, reason: &impl ToString) -> VaultError {
        VaultError::Unreachable { address: self.address.clone(), reason: reason.to_string() }
    }
}

/// Whether the same may be answered in a moment.
fn is_passing(error: &VaultError) -> bool {
    matches!(error, VaultError::Unreachable { .. } | VaultError::Busy { .. })
}

/// Whether an answer of status 503 is Vault's own, which is sealed, and not one of what stands before it.
fn says_sealed(body: &[u8]) -> bool {
    body.windows(6).any(|word| word.eq_ignore_ascii_case(b"sealed"))
}
