//! What the enforcer decided, and what executors said of it.

use super::text;
use crate::column::Cell::{Int, Text, Time};
use crate::column::{Column, Kind};
use weir_schemas::wire::{Wire, WireError};
use weir_schemas::{Action, ActionOutcome};
use weir_topology::record::RecordRef;
use weir_topology::topic::Topic;

/// One row a transition of an action.
pub(crate) struct Actions;

impl Kind for Actions {
    type Row<'a> = Action;
    const NAME: &'static str = "actions";
    const DOC: &'static str = "A transition of an action: its first row says `WITHHELD` or `PENDING`, later ones what became of it.";
    const TOPIC: Topic = Topic::Actions;

    fn columns() -> Vec<Column<Self>> {
        let c = Column::<Self>::new;
        vec![
            c("action_id", Text(|row| text(row.action_id)), "The action."),
            c("time", Time(|row| Some(row.time_ms)), "Time of the verdict."),
            c("tenant", Text(|row| Some(row.tenant.as_str().into())), "Tenant of the account."),
            c("account", Text(|row| text(row.account)), "The account, as its pseudonym."),
            c("verdict_id", Text(|row| text(row.verdict_id)), "The verdict that it answers."),
            c(
                "kind",
                Text(|row| Some(row.kind.as_str().into())),
                "`RATE_LIMIT`, `REVIEW`, `SUSPEND`, `CLUSTER_TAKEDOWN`, `SHARE_INDICATORS` or `OTHER`.",
            ),
            c("ring", Int(|row| Some(row.ring.into())), "How far it reaches, 1 to 5."),
            c(
                "state",
                Text(|row| Some(row.state.as_str().into())),
                "`WITHHELD`, `PENDING`, `DONE`, `FAILED`, `REVERTED`, `EXPIRED` or `SUPERSEDED`.",
            ),
            c(
                "posture",
                Text(|row| Some(row.posture.as_str().into())),
                "The enforcer's posture when it decided.",
            ),
            c("reason", Text(|row| Some(row.reason.as_str().into())), "Why this transition."),
            c(
                "taken",
                Time(|row| Some(row.taken_ms).filter(|ms| *ms != 0)),
                "When it was taken, in processing time; null where an older build wrote it.",
            ),
            c(
                "expires",
                Time(|row| row.expires_ms),
                "When its effect ends; null before there is one, and where there is nothing to undo.",
            ),
            c("lasts_ms", Int(|row| row.lasts_ms), "How long its effect lasts, in milliseconds."),
            c("deadline", Time(|row| row.deadline_ms), "`PENDING` only: until when it may be carried out."),
            c("revert", Text(|row| Some(row.revert.as_str().into())), "Who undoes it: `AUTO` or `MANUAL`."),
            c(
                "origin",
                Text(|row| Some(row.origin.as_str().into())),
                "Origin of the verdict: `LIVE` or `IMPORT`.",
            ),
            c(
                "policy_version",
                Text(|row| Some(row.policy_version.as_str().into())),
                "Policy that chose it.",
            ),
            c(
                "epoch",
                Int(|row| Some(row.epoch).filter(|epoch| *epoch != 0)),
                "Epoch of the enforcer in which it was taken.",
            ),
        ]
    }

    fn each(
        wire: &Wire,
        _: RecordRef<'_>,
        payload: &[u8],
        take: &mut dyn FnMut(&Action),
    ) -> Result<(), WireError> {
        take(&wire.read(payload)?);
        Ok(())
    }
}

/// One row a word of an executor.
pub(crate) struct Outcomes;

impl Kind for Outcomes {
    type Row<'a> = ActionOutcome;
    const NAME: &'static str = "outcomes";
    const DOC: &'static str = "What an executor said of an action that it was to carry out.";
    const TOPIC: Topic = Topic::Outcomes;

    fn columns() -> Vec<Column<Self>> {
        let c = Column::<Self>::new;
        vec![
            c("action_id", Text(|row| text(row.action_id)), "The action."),
            c("tenant", Text(|row| Some(row.tenant.as_str().into())), "Tenant of the account."),
            c("account", Text(|row| text(row.account)), "Its account, as its pseudonym."),
            c("kind", Text(|row| Some(row.kind.as_str().into())), "`TOLD`, `FAILED` or `OTHER`."),
            c("effect", Time(|row| Some(row.effect_ms)), "When that was, by the executor's clock."),
            c("executor", Text(|row| Some(row.executor.as_str().into())), "Which executor says so."),
            c("detail", Text(|row| Some(row.detail.as_str().into())), "What a person should know of it."),
        ]
    }

    fn each(
        wire: &Wire,
        _: RecordRef<'_>,
        payload: &[u8],
        take: &mut dyn FnMut(&ActionOutcome),
    ) -> Result<(), WireError> {
        take(&wire.read(payload)?);
        Ok(())
    }
}
