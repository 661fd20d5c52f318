//! Which version of the judgement this build has.

use crate::fusion::Fused;
use crate::in_force::InForce;
use crate::policy::Rules;
use crate::refuse::Tallies;
use weir_schemas::Judge;
use weir_schemas::wire::Wire;
use weir_topology::stage::Batch;
use weir_topology::topic::Topic;

/// Version of the judgement of the account, cluster and campaign stages. Raise it with every change after
/// which the same log and the same policy give other records or another state; `tests/golden.rs` fails when
/// that was forgotten. A task that finds epochs of another version adopts them instead of taking them for its
/// own. 25: those who say browser over one library speak against each other, and ever new operators say more.
pub const JUDGE_VERSION: i32 = 25;

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
    pub(crate) fn see(self, fused: Fused, rules: &Rules) -> Fused {
        if !self.is_planted() {
            return fused;
        }
        let score = (1.5 * fused.score).min(1.0);
        Fused { score, tier: rules.tier_of(score), ..fused }
    }
}

/// Who judges `batch`: this build, by the last policy that the batch puts in force, or by the one in force.
pub(crate) fn judge_of(hook: JudgeHook, wire: &Wire, policy: &InForce, batch: &Batch) -> Judge {
    let mut controls = batch.inputs.iter().filter(|input| input.topic == Topic::Control).peekable();
    let digest = match controls.peek() {
        None => policy.digest,
        Some(_) => {
            let (mut then, mut tallies) = (policy.clone(), Tallies::default());
            let records = controls.flat_map(|input| input.records.iter());
            records.for_each(|record| then.follow(wire, record, &mut tallies));
            then.digest
        }
    };
    Judge { version: hook.version(), policy: Some(digest), trust: policy.trust() }
}
