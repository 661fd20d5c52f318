//! One exchange, as a gateway sees it.

use crate::access::Address;
use crate::clients::Shown;
use crate::places::HOSTERS;
use crate::speech::Said;
use std::net::Ipv4Addr;

/// One request and its end. Everything that a log line tells, and what only the simulator knows: label and
/// population.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// When the request was made, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// Identity, 32 hex digits when written.
    pub id: [u64; 2],
    /// Number of the account: its API key when written.
    pub account: u64,
    /// Model that was asked for.
    pub model: &'static str,
    /// What was said.
    pub said: Said,
    /// What the client showed.
    pub shown: Shown,
    /// Where it came from.
    pub address: Address,
    /// Payment method.
    pub payment: Option<u64>,
    /// Organisation.
    pub org: Option<u64>,
    /// From request to the last byte of the answer, in milliseconds.
    pub latency_ms: u32,
    /// HTTP status.
    pub status: u16,
    /// The campaign; none for honest traffic.
    pub label: Option<std::sync::Arc<str>>,
    /// The population.
    pub population: &'static str,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            time_ms: 0,
            id: [0; 2],
            account: 0,
            model: "",
            said: Said::default(),
            shown: Shown::default(),
            address: Address { ip: 0, network: HOSTERS[0], country: "" },
            payment: None,
            org: None,
            latency_ms: 0,
            status: 200,
            label: None,
            population: "",
        }
    }
}

impl Exchange {
    /// Its address.
    pub fn ip(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.address.ip)
    }
}
