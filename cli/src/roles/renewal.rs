//! Identities of accounts on which something is in force, before their retention passes: once a day.

use crate::context::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use weir_enforcer::renewal::renew;
use weir_schemas::wire::Wire;
use weir_topology::clock::{Clock as _, MachineClock};
use weir_topology::log::Log;

/// How often a partition is looked at.
const EVERY: Duration = Duration::from_secs(24 * 3600);

/// After what time it is tried again where it failed.
const AGAIN: Duration = Duration::from_secs(600);

/// When each partition of this process is looked at next: at once when it is new here.
#[derive(Default)]
pub struct Renewal {
    next: BTreeMap<u32, Instant>,
}

impl Renewal {
    /// Renews those of these partitions whose time has come. What fails is told, and stops nothing else:
    /// there are two months left for it.
    pub fn look(
        &mut self,
        context: &Context,
        log: &dyn Log,
        wire: &Wire,
        owned: impl IntoIterator<Item = u32>,
    ) {
        let owned: BTreeSet<u32> = owned.into_iter().collect();
        self.next.retain(|partition, _| owned.contains(partition));
        for partition in owned {
            if self.next.get(&partition).is_some_and(|next| *next > Instant::now()) {
                continue;
            }
            let outcome = renew(log, wire, partition, MachineClock::default().unix_ms());
            let pause = if outcome.is_ok() { EVERY } else { AGAIN };
            self.next.insert(partition, Instant::now() + pause);
            match outcome {
                Ok(count) => context.metrics.identities_renewed(count),
                Err(error) => context.metrics.identities_not_renewed(&error.to_string()),
            }
        }
    }
}
