//! The policy in force in a stage: put in force by a record of control, and kept in the stage's state, so
//! that a task that restarts after a policy was published judges by it from its first record.
//!
//! Where the stage was given a trust store, only a bundle that is admitted there comes in force, and the
//! counter that it reached is state too: what is older does not come back. Without one any policy does, as
//! text or as bundle.

use crate::policy::Policy;
use crate::refuse::Tallies;
use crate::section::PolicyError;
use std::ops::Deref;
use std::sync::Arc;
use weir_schemas::bundle::{Distrust, Trust};
use weir_schemas::wire::{Wire, WireError};
use weir_schemas::{Control, ControlKind, Digest};
use weir_topology::record::RecordRef;
use weir_topology::stage::{StateEntry, Tally};

/// Name of the control record that puts a policy in force.
pub const POLICY_NAME: &str = "policy";

/// Key of the state entry that holds the policy in force, as it was published. Sorts before every account.
pub(crate) const POLICY_KEY: &[u8] = b"!policy";

/// Key of the state entry that holds the greatest counter of a bundle that was in force, in decimal.
pub(crate) const COUNTER_KEY: &[u8] = b"!policy-counter";

/// Why a published policy is not put in force.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    /// It is none that this build can judge by.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Nobody who is trusted vouches for it.
    #[error("the policy is not trusted: {0}")]
    Distrust(#[from] Distrust),
}

impl Refused {
    /// What counts it.
    pub fn tally(&self) -> Tally {
        match self {
            Self::Policy(_) => Tally::PolicyRefused,
            Self::Distrust(_) => Tally::PolicyUntrusted,
        }
    }
}

/// The policy in force, and whether another was put in force since the state was last written.
#[derive(Clone)]
pub struct InForce {
    policy: Arc<Policy>,
    /// What was published; none for the policy that a stage begins with.
    published: Option<Arc<str>>,
    trust: Option<Arc<Trust>>,
    counter: u64,
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
    pub fn new(policy: Arc<Policy>) -> Self {
        Self { policy, published: None, trust: None, counter: 0, has_changed: false }
    }

    /// The same, where only bundles that `trust` admits come in force.
    pub fn trusting(self, trust: Option<Arc<Trust>>) -> Self {
        Self { trust, ..self }
    }

    /// Whose signatures count; none where any policy comes in force.
    pub(crate) fn trust(&self) -> Option<Digest> {
        self.trust.as_ref().map(|trust| trust.digest())
    }

    /// The greatest counter of a bundle that was in force; 0 before the first.
    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// Whether this is what was published last of what came in force.
    pub fn is(&self, body: &str) -> bool {
        self.published.as_deref() == Some(body)
    }

    /// Puts a policy in force that was published at this time, which is the log's own; the one before stays
    /// where it is refused. The same bundle once more, of another process that is configured alike, changes
    /// nothing.
    pub fn put(&mut self, control: &Control, published_ms: i64) -> Result<(), Refused> {
        let body = &control.body;
        if self.trust.is_some() && self.counter > 0 && self.is(body) {
            return Ok(());
        }
        let policy = match &self.trust {
            None => Policy::published(body)?,
            Some(trust) => {
                let bundle = trust.admit(body, published_ms, self.counter)?;
                // Its place is taken, whatever becomes of its text: every stage and every build counts alike.
                self.counter = bundle.header.counter;
                self.has_changed = true;
                Policy::parse(&bundle.text)?
            }
        };
        self.policy = Arc::new(policy);
        self.published = Some(body.as_str().into());
        self.has_changed = true;
        Ok(())
    }

    /// Follows a record of control. What the account stage refuses with a dead letter is only counted: one
    /// letter is enough.
    pub(crate) fn follow(&mut self, wire: &Wire, record: RecordRef<'_>, tallies: &mut Tallies) {
        if let Ok(Some(control)) = policy_control(wire, record)
            && let Err(refused) = self.put(&control, record.timestamp_ms)
        {
            tallies.add(refused.tally(), 1);
        }
    }

    /// How many entries are to be written.
    pub(crate) fn changed(&self) -> usize {
        if self.has_changed { self.entries().len() } else { 0 }
    }

    /// Its entries, where they are to be written.
    pub(crate) fn take_change(&mut self) -> Vec<StateEntry> {
        if std::mem::take(&mut self.has_changed) { self.entries() } else { Vec::new() }
    }

    /// Its entries.
    pub(crate) fn entries(&self) -> Vec<StateEntry> {
        let entry = |key: &[u8], body: &str| StateEntry { key: key.to_vec(), body: Some(body.into()) };
        let mut entries = vec![entry(POLICY_KEY, self.published.as_deref().unwrap_or(&self.policy.text))];
        if self.counter > 0 {
            entries.push(entry(COUNTER_KEY, &self.counter.to_string()));
        }
        entries
    }

    /// Whether a state entry is one of its own.
    pub(crate) fn is_its(key: &[u8]) -> bool {
        key == POLICY_KEY || key == COUNTER_KEY
    }

    /// Takes an entry's body back. Nobody judges on by a counter or a policy that cannot be read.
    pub(crate) fn restore(&mut self, key: &[u8], body: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(body).map_err(|_| "the policy is not UTF-8".to_owned())?;
        if key == COUNTER_KEY {
            self.counter = text.parse().map_err(|_| "the policy's counter is no number".to_owned())?;
            return Ok(());
        }
        self.policy = Arc::new(Policy::published(text).map_err(|error| error.to_string())?);
        self.published = Some(text.into());
        Ok(())
    }
}

/// The control record that puts a policy in force; none where a record is about something else.
pub(crate) fn policy_control(wire: &Wire, record: RecordRef<'_>) -> Result<Option<Control>, WireError> {
    // A tombstone takes an operator's word back; the policy in force stays until another is given.
    let Some(payload) = record.payload else { return Ok(None) };
    let control: Control = wire.read(payload)?;
    let is_policy = control.kind == ControlKind::Policy && control.name == POLICY_NAME;
    Ok(is_policy.then_some(control))
}
