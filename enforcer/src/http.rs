//! What all servers over HTTP that we hand something to have in common.

use std::time::Duration;
use ureq::Agent;
use ureq::tls::TlsConfig;

/// An agent for the server at `url`, which has to prove who it is by `tls`; an answer may take as long as
/// `wait`. Whatever the status, it is an answer.
pub fn agent(url: &str, wait: Duration, tls: TlsConfig) -> Agent {
    // A redirect would take what is said to somebody else, or be followed with GET, and its answer believed.
    let config = Agent::config_builder()
        .timeout_global(Some(wait))
        .max_redirects(0)
        .http_status_as_error(false)
        .tls_config(tls);
    // What the surroundings name as a proxy would see credentials and accounts, unless TLS goes through it.
    let config = if url.starts_with("https://") { config } else { config.proxy(None) };
    config.build().into()
}
