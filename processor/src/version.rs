//! Which version of the judgement this build has.

use crate::policy::Policy;
use weir_schemas::wire::Wire;
use weir_schemas::{Control, ControlKind, Judge};
use weir_topology::record::RecordRef;
use weir_topology::stage::Batch;
use weir_topology::topic::Topic;

/// Version of the judgement of the account stage and the cluster stage. Raise it with every change after which the
/// same log and the same policy give other records or another state; `tests/golden.rs` fails when that was
/// forgotten. A task that finds epochs of another version adopts them instead of taking them for its own.
pub const JUDGE_VERSION: i32 = 3;

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
pub(crate) fn judge_of(wire: &Wire, policy: &Policy, batch: &Batch) -> Judge {
    let controls = batch.inputs.iter().filter(|input| input.topic == Topic::Control);
    let mut texts = controls
        .flat_map(|input| input.records.iter().rev())
        .filter_map(|record| policy_text(wire, record).ok().flatten());
    let last = texts.find_map(|text| Policy::parse(&text).ok());
    Judge { version: JUDGE_VERSION, policy: Some(last.as_ref().unwrap_or(policy).digest) }
}
