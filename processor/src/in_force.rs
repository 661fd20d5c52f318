//! The policy in force in a stage: put in force by a record of control, and kept in the stage's state, so that a task that
//! restarts after a policy was published judges by it from its first record.

use crate::policy::Policy;
use crate::refuse::Tallies;
use crate::section::PolicyError;
use crate::version::policy_text;
use std::ops::Deref;
use std::sync::Arc;
use weir_schemas::wire::Wire;
use weir_topology::record::RecordRef;
use weir_topology::stage::{StateEntry, Tally};

/// Key of the state entry that holds the policy in force. Sorts before every account.
pub(crate) const POLICY_KEY: &[u8] = b"!policy";

/// The policy in force, and whether another was put in force since the state was last written.
pub(crate) struct InForce {
    policy: Arc<Policy>,
    has_changed: bool,
}

impl Deref for InForce {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        &self.policy
    }
}

impl InForce {
    /// A policy until another is published.
    pub(crate) fn new(policy: Arc<Policy>) -> Self {
        Self { policy, has_changed: false }
    }

    /// Puts a policy in force by its text; the one before stays where it is refused.
    pub(crate) fn put(&mut self, text: &str) -> Result<(), PolicyError> {
        self.policy = Arc::new(Policy::parse(text)?);
        self.has_changed = true;
        Ok(())
    }

    /// Follows a record of control. What the account stage refuses with a dead letter is only counted: one letter is enough.
    pub(crate) fn follow(&mut self, wire: &Wire, record: RecordRef<'_>, tallies: &mut Tallies) {
        if let Ok(Some(text)) = policy_text(wire, record)
            && self.put(&text).is_err()
        {
            tallies.add(Tally::PolicyRefused, 1);
        }
    }

    /// Whether it is to be written.
    pub(crate) fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// Its entry, where it is to be written.
    pub(crate) fn take_change(&mut self) -> Option<StateEntry> {
        std::mem::take(&mut self.has_changed).then(|| self.entry())
    }

    /// Its entry.
    pub(crate) fn entry(&self) -> StateEntry {
        StateEntry { key: POLICY_KEY.to_vec(), body: Some(self.policy.text.clone().into_bytes()) }
    }

    /// Takes an entry's body back.
    pub(crate) fn restore(&mut self, body: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(body).map_err(|_| "the policy is not UTF-8".to_owned())?;
        self.policy = Arc::new(Policy::parse(text).map_err(|error| error.to_string())?);
        Ok(())
    }
}
