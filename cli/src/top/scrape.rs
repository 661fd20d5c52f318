//! Asks a running process for its metrics.

use super::exposition::Reading;
use std::io::Read as _;
use std::time::Duration;
use thiserror::Error;
use ureq::Agent;
use ureq::tls::TlsConfig;
use weir_enforcer::http::agent;

/// Longest time that an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Most bytes of an answer: what Weir serves is far less.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// What a process that can trace tells of, whether or not it does.
const TELLS_OF: &str = "weir_collector_probe_runs_total";

/// Why there is no reading.
#[derive(Debug, Error)]
pub enum Unanswered {
    /// Nobody is there.
    #[error(
        "nothing answers at {address} ({reason}): start `weir collect` or `weir run` with --metrics-addr {address}, or say \
         where one serves its metrics"
    )]
    Nobody {
        /// Where it was asked.
        address: String,
        /// What the request came to.
        reason: String,
    },
    /// Something else is there.
    #[error(
        "what answers at {address} is no Weir that could tell of processes: {reason}; give --metrics-addr that of one"
    )]
    Other {
        /// Where it was asked.
        address: String,
        /// What is wrong with its answer.
        reason: String,
    },
}

/// Asks one process again and again.
pub struct Scraper {
    address: String,
    agent: Agent,
    url: String,
}

impl Scraper {
    /// Asks the process whose `metrics_addr` this is. Nothing is asked yet.
    pub fn new(address: &str) -> Self {
        let url = format!("http://{address}/metrics");
        Self { address: address.to_owned(), agent: agent(&url, ANSWER_MAX, TlsConfig::default()), url }
    }

    /// What it tells now.
    ///
    /// # Errors
    /// When nobody answers, or somebody else does.
    pub fn read(&self) -> Result<Reading, Unanswered> {
        let other = |reason: String| Unanswered::Other { address: self.address.clone(), reason };
        let mut answer = self.agent.get(&self.url).call().map_err(|error| {
            let (address, reason) = (self.address.clone(), error.to_string());
            Unanswered::Nobody { address, reason }
        })?;
        if !answer.status().is_success() {
            return Err(other(format!("it answers /metrics with {}", answer.status().as_u16())));
        }
        let mut text = String::new();
        let body = answer.body_mut().as_reader().take(ANSWER_BYTES_MAX).read_to_string(&mut text);
        body.map_err(|error| other(error.to_string()))?;
        let reading = Reading::of(&text).ok_or_else(|| other("it serves no metrics".into()))?;
        match reading.has(TELLS_OF) {
            true => Ok(reading),
            false => Err(other(format!("{TELLS_OF} is not among its metrics"))),
        }
    }
}
