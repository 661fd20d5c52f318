//! Which version of the judgement this build has.

use crate::fusion::Fused;
use crate::policy::Policy;
use weir_schemas::wire::Wire;
use weir_schemas::{Control, ControlKind, Judge};
use weir_topology::record::RecordRef;
use weir_topology::stage::Batch;
use weir_topology::topic::Topic;

/// Version of the judgement of the account, cluster and campaign stages. Raise it with every change after which the
/// same log and the same policy give other records or another state; `tests/golden.rs` fails when that was
/// forgotten. A task that finds epochs of another version adopts them instead of taking them for its own.
pub const JUDGE_VERSION: i32 = 15;

/// A second judge beside the build's own, for tests in which one takes over from the other; outside of them
/// there is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct JudgeHook {
    #[cfg(feature = "planted")]
    is_planted: bool,
}

impl JudgeHook {
    /// The second judge: it sees everything half as bad again, and asks for no quorum.
    #[cfg(feature = "planted")]
    pub fn planted() -> Self {
        Self { is_planted: true }
    }

    #[inline]
    fn is_planted(self) -> bool {
        #[cfg(feature = "planted")]
        return self.is_planted;
        #[cfg(not(feature = "planted"))]
        false
    }

    fn version(self) -> i32 {
        if self.is_planted() { JUDGE_VERSION + 1_000 } else { JUDGE_VERSION }
    }

    #[inline]
    pub(crate) fn see(self, fused: Fused, policy: &Policy) -> Fused {
        if !self.is_planted() {
            return fused;
        }
        let score = (1.5 * fused.score).min(1.0);
        Fused { score, tier: policy.tier_of(score), ..fused }
    }
}

/// The text of a policy that a control record puts in force; none where it is about something else.
pub(crate) fn policy_text(
    wire: &Wire,
    record: RecordRef<'_>,
) -> Result<Option<String>, weir_schemas::wire::WireError> {
    // A tombstone takes an operator's word back; the policy in force stays until another is given.
    let Some(payload) = record.payload else { return Ok(None) };
    let control: Control = wire.read(payload)?;
    let is_policy = control.kind == ControlKind::Policy && control.name == "policy";
    Ok(is_policy.then_some(control.body))
}

/// Who judges `batch`: this build, by the last policy that the batch puts in force, or by `policy`.
pub(crate) fn judge_of(hook: JudgeHook, wire: &Wire, policy: &Policy, batch: &Batch) -> Judge {
    let controls = batch.inputs.iter().filter(|input| input.topic == Topic::Control);
    let mut texts = controls
        .flat_map(|input| input.records.iter().rev())
        .filter_map(|record| policy_text(wire, record).ok().flatten());
    let last = texts.find_map(|text| Policy::parse(&text).ok());
    Judge { version: hook.version(), policy: Some(last.as_ref().unwrap_or(policy).digest) }
}
