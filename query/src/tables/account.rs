//! How accounts stand, and the audit chains.

use super::text;
use crate::column::Cell::{Int, Real, Text, Texts, Time};
use crate::column::{Column, Kind};
use weir_schemas::AuditEntry;
use weir_schemas::wire::{Wire, WireError};
use weir_topology::record::RecordRef;
use weir_topology::topic::Topic;

/// One row a record of how an account stands.
pub(crate) struct Standing;

impl Kind for Standing {
    type Row<'a> = weir_schemas::Standing;
    const NAME: &'static str = "standing";
    const DOC: &'static str = "How an account stands; of several rows of one account the latest counts, and the log forgets the others. A day after the last effect on it ended it forgets all of them. No archive has it.";
    const TOPIC: Topic = Topic::Standing;

    fn columns() -> Vec<Column<Self>> {
        let c = Column::<Self>::new;
        vec![
            c("account", Text(|row| text(row.account)), "The account, as its pseudonym."),
            c("tenant", Text(|row| Some(row.tenant.as_str().into())), "Its tenant."),
            c("status", Text(|row| Some(row.status.as_str().into())), "`GOOD`, `LIMITED` or `SUSPENDED`."),
            c("since", Time(|row| Some(row.since_ms)), "Since when, in processing time."),
            c("until", Time(|row| row.until_ms), "Until when; null for good, and until a person undoes it."),
            c("action_id", Text(|row| text(row.action_id)), "The action whose effect this is, or was."),
            c("verdict_id", Text(|row| text(row.verdict_id)), "The verdict that the action answers."),
            c("told", Time(|row| Some(row.told_ms)), "When this was written, in processing time."),
            c(
                "score",
                Real(|row| row.evidence.as_ref().map(|evidence| evidence.score)),
                "Score of that verdict; null where the enforcer did not know it.",
            ),
            c(
                "families",
                Texts(|row| {
                    row.evidence
                        .iter()
                        .flat_map(|evidence| &evidence.families)
                        .map(|family| family.as_str().into())
                        .collect()
                }),
                "Families of evidence that speak against the account, the strongest first; empty where `score` is null.",
            ),
        ]
    }

    fn each(
        wire: &Wire,
        _: RecordRef<'_>,
        payload: &[u8],
        take: &mut dyn FnMut(&weir_schemas::Standing),
    ) -> Result<(), WireError> {
        take(&wire.read(payload)?);
        Ok(())
    }
}

/// One row an entry of an audit chain.
pub(crate) struct Audit;

/// An entry, and the record in it.
pub(crate) struct Entry {
    entry: AuditEntry,
    record: weir_schemas::Audit,
}

impl Kind for Audit {
    type Row<'a> = Entry;
    const NAME: &'static str = "audit";
    const DOC: &'static str =
        "An entry of an audit chain, as it says of itself; `weir audit verify` checks signatures.";
    const TOPIC: Topic = Topic::Audit;

    fn columns() -> Vec<Column<Self>> {
        let c = Column::<Self>::new;
        vec![
            c("writer", Text(|row| Some(row.entry.writer.as_str().into())), "The chain."),
            c("sequence", Int(|row| Some(row.entry.sequence)), "Place in the chain, from 1, without gaps."),
            c("key_id", Text(|row| Some(row.entry.key_id.as_str().into())), "Which audit key signed."),
            c("time", Time(|row| Some(row.record.time_ms)), "Event time of what it tells of."),
            c(
                "kind",
                Text(|row| Some(row.record.kind.as_str().into())),
                "What it tells of: `DECISION`, `OUTCOME`, `REFUSAL`, `OPERATOR`, `POLICY`, `REVEAL`, `CHECKPOINT`, `SAFEGUARD` or `OTHER`.",
            ),
            c("tenant", Text(|row| Some(row.record.tenant.as_str().into())), "Tenant concerned."),
            c(
                "account",
                Text(|row| row.record.account.and_then(text)),
                "Account concerned, as its pseudonym.",
            ),
            c("verdict_id", Text(|row| row.record.verdict_id.and_then(text)), "Verdict concerned."),
            c("action_id", Text(|row| row.record.action_id.and_then(text)), "Action concerned."),
            c(
                "action",
                Text(|row| row.record.action_id.map(|_| row.record.action.as_str().into())),
                "Kind of that action.",
            ),
            c("posture", Text(|row| Some(row.record.posture.as_str().into())), "The enforcer's posture."),
            c(
                "outcome",
                Text(|row| Some(row.record.outcome.as_str().into())),
                "What was decided or came of it, one word.",
            ),
            c("reason", Text(|row| Some(row.record.reason.as_str().into())), "Why."),
            c(
                "actor",
                Text(|row| Some(row.record.actor.as_str().into())),
                "Who: a component, or an operator's name.",
            ),
            c(
                "policy_version",
                Text(|row| Some(row.record.policy_version.as_str().into())),
                "Policy in force.",
            ),
            c(
                "score",
                Real(|row| row.record.verdict_id.map(|_| row.record.score)),
                "Score of the verdict; null where none is concerned.",
            ),
            c(
                "tier",
                Text(|row| row.record.verdict_id.map(|_| row.record.tier.as_str().into())),
                "Its tier; null where none is concerned.",
            ),
            c(
                "signals",
                Texts(|row| row.record.signals.iter().map(|name| name.as_str().into()).collect()),
                "Detectors that spoke, strongest first.",
            ),
            c("epoch", Int(|row| Some(row.record.epoch)), "Epoch of the task that wrote it."),
        ]
    }

    fn each(
        wire: &Wire,
        _: RecordRef<'_>,
        payload: &[u8],
        take: &mut dyn FnMut(&Entry),
    ) -> Result<(), WireError> {
        let entry: AuditEntry = wire.read(payload)?;
        let record = wire.read(&entry.record)?;
        take(&Entry { entry, record });
        Ok(())
    }
}
