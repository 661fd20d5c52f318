//! The policies that judged: the builtin one, and those that operators published.

use crate::report::ReplayError;
use weir_processor::policy::Policy;
use weir_schemas::wire::Wire;
use weir_schemas::{Control, ControlKind, Digest};
use weir_topology::history::History;
use weir_topology::log::Log;
use weir_topology::topic::Topic;

pub(super) struct Policies<'l> {
    pub(super) log: &'l dyn Log,
    pub(super) wire: &'l Wire,
}

impl Policies<'_> {
    /// The policy with this digest; none where neither this build nor the log has it.
    pub(super) fn with(&self, digest: &Digest) -> Result<Option<Policy>, ReplayError> {
        let builtin = Policy::builtin();
        if builtin.digest == *digest {
            return Ok(Some(builtin));
        }
        let (first, end) = self.log.bounds(Topic::Control, 0)?;
        let mut history = History::new(self.log, Topic::Control, 0, first, end)?;
        while let Some(records) = history.next()? {
            for payload in records.iter().filter_map(|record| record.payload) {
                let Ok(control) = self.wire.read::<Control>(payload) else { continue };
                if control.kind == ControlKind::Policy
                    && let Ok(policy) = Policy::published(&control.body)
                    && policy.digest == *digest
                {
                    return Ok(Some(policy));
                }
            }
        }
        Ok(None)
    }
}
