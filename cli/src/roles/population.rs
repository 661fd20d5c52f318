//! How many accounts there are, and how many requests they make in a day: what the limiter's shares are of.

use crate::context::Context;
use crate::roles::adopt::{self, Whole};
use crate::roles::traffic::Traffic;
use anyhow::Result;
use std::time::{Duration, Instant};
use weir_enforcer::export::Export;
use weir_schemas::wire::Wire;
use weir_topology::log::{Log, LogError};

/// How often it is told.
const TOLD_EVERY: Duration = Duration::from_secs(600);

/// What is told on `weir.control` from time to time.
pub struct Population {
    started: Instant,
    told_after: Duration,
    traffic: Traffic,
}

impl Default for Population {
    fn default() -> Self {
        Self { started: Instant::now(), told_after: Duration::ZERO, traffic: Traffic::default() }
    }
}

impl Population {
    /// Goes on counting requests, and tells how many there are and how many accounts the export knows, where
    /// that was long ago.
    pub fn look(&mut self, context: &Context, log: &dyn Log, wire: &Wire, export: &Export) -> Result<()> {
        let now = self.started.elapsed();
        outlast(self.traffic.count(log, wire, now).map_err(anyhow::Error::new))?;
        if now.saturating_sub(self.told_after) < TOLD_EVERY {
            return Ok(());
        }
        self.told_after = now;
        let whole = Whole { accounts: Some(export.accounts_known()), requests: self.traffic.measured(now) };
        outlast(adopt::configured_limit(context, log, wire, whole))
    }
}

/// Where the brokers are away, or another process told meanwhile, the next look tells it.
fn outlast(outcome: Result<()>) -> Result<()> {
    adopt::unless(outcome, |error| {
        matches!(error, LogError::Unavailable { .. } | LogError::Aborted { .. } | LogError::Fenced { .. })
    })
}
