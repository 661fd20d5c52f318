//! Judgements, what each detector said for them, and why.

use super::text;
use crate::column::Cell::{Flag, Int, Real, Text, Texts, Time};
use crate::column::{Column, Kind};
use weir_schemas::wire::{Wire, WireError};
use weir_schemas::{Signal, Verdict};
use weir_topology::record::RecordRef;
use weir_topology::topic::Topic;

/// One row a verdict.
pub(crate) struct Verdicts;

impl Kind for Verdicts {
    type Row<'a> = Verdict;
    const NAME: &'static str = "verdicts";
    const DOC: &'static str = "The judgement of an account at one moment.";
    const TOPIC: Topic = Topic::Verdicts;

    fn columns() -> Vec<Column<Self>> {
        let c = Column::<Self>::new;
        vec![
            c(
                "verdict_id",
                Text(|row| text(row.verdict_id)),
                "Identity of the verdict, the same in any log.",
            ),
            c("time", Time(|row| Some(row.time_ms)), "Time of the event that caused it."),
            c("tenant", Text(|row| Some(row.tenant.as_str().into())), "Tenant of the account."),
            c("account", Text(|row| text(row.account)), "The account, as its pseudonym."),
            c(
                "sequence",
                Int(|row| Some(row.sequence)),
                "How many verdicts the account has had, this one included.",
            ),
            c("tier", Text(|row| Some(row.tier.as_str().into())), "`CLEAR`, `MEDIUM`, `HIGH` or `CRITICAL`."),
            c(
                "score",
                Real(|row| Some(row.score)),
                "What evidence and prior come to, as log-odds on a scale from 0 to 1; the tiers are thresholds of it.",
            ),
            c(
                "probability",
                Real(|row| Some(row.probability)),
                "Calibrated probability of extraction, 0 to 1; nothing is decided by it.",
            ),
            c("voter", Text(|row| Some(row.voter.as_str().into())), "How the voter's two channels agreed."),
            c("partial", Flag(|row| Some(row.partial)), "A detector failed, so its signal is lacking."),
            c(
                "origin",
                Text(|row| Some(row.origin.as_str().into())),
                "`LIVE`, or `IMPORT` where history was judged.",
            ),
            c(
                "detectors",
                Texts(|row| {
                    row.signals
                        .iter()
                        .filter(|signal| signal.millinats > 0)
                        .map(|signal| signal.detector.as_str().into())
                        .collect()
                }),
                "Detectors that spoke against the account, strongest first.",
            ),
            c(
                "missing",
                Texts(|row| row.missing.iter().map(|name| name.as_str().into()).collect()),
                "Detectors that had nothing to judge by, which is not zero.",
            ),
            c(
                "events",
                Texts(|row| row.events.iter().filter_map(text).collect()),
                "The most recent events that it rests on, oldest first, at most 16.",
            ),
            c("event_count", Int(|row| Some(row.event_count)), "Events of the account in the last 24 hours."),
            c(
                "clusters",
                Texts(|row| {
                    row.clusters
                        .iter()
                        .map(|cluster| format!("{}/{}", cluster.kind.as_str(), cluster.value).into())
                        .collect()
                }),
                "Shared values that spoke for it, as `KIND/hash`.",
            ),
            c(
                "policy_version",
                Text(|row| Some(row.policy_version.as_str().into())),
                "Version of the policy that judged; `VERSION/TENANT` where it has rules of the tenant's own.",
            ),
            c("policy_digest", Text(|row| text(row.policy_digest)), "SHA-256 of that policy."),
            c("epoch", Int(|row| Some(row.epoch)), "Epoch of the account stage that emitted it."),
        ]
    }

    fn each(
        wire: &Wire,
        _: RecordRef<'_>,
        payload: &[u8],
        take: &mut dyn FnMut(&Verdict),
    ) -> Result<(), WireError> {
        take(&wire.read(payload)?);
        Ok(())
    }
}

/// One row for each detector that was heard for a verdict.
pub(crate) struct Signals;

/// A signal, and the verdict that it was heard for.
pub(crate) struct Heard<'a> {
    verdict: &'a Verdict,
    signal: &'a Signal,
}

impl Kind for Signals {
    type Row<'a> = Heard<'a>;
    const NAME: &'static str = "signals";
    const DOC: &'static str =
        "What one detector said for or against an account, of those that a verdict was fused from.";
    const TOPIC: Topic = Topic::Verdicts;

    fn columns() -> Vec<Column<Self>> {
        let c = Column::<Self>::new;
        vec![
            c("verdict_id", Text(|row| text(row.verdict.verdict_id)), "The verdict."),
            c("time", Time(|row| Some(row.verdict.time_ms)), "Its time."),
            c("tenant", Text(|row| Some(row.verdict.tenant.as_str().into())), "Tenant of the account."),
            c("account", Text(|row| text(row.verdict.account)), "The account, as its pseudonym."),
            c("tier", Text(|row| Some(row.verdict.tier.as_str().into())), "Tier of the verdict."),
            c("detector", Text(|row| Some(row.signal.detector.as_str().into())), "Name of the detector."),
            c(
                "family",
                Text(|row| Some(row.signal.family.as_str().into())),
                "Family of evidence; those of one share a cap.",
            ),
            c(
                "millinats",
                Int(|row| Some(row.signal.millinats.into())),
                "Log-likelihood ratio of extraction against honest use, in thousandths of a nat; negative where it speaks for the account.",
            ),
            c(
                "millinats_max",
                Int(|row| Some(row.signal.millinats_max.into())),
                "The most that the policy lets it say.",
            ),
            c(
                "evidence",
                Texts(|row| {
                    row.signal
                        .evidence
                        .iter()
                        .map(|evidence| format!("{}={}", evidence.name, evidence.value).into())
                        .collect()
                }),
                "Why, as `name=value`; the table `evidence` has them one by one.",
            ),
        ]
    }

    fn each(
        wire: &Wire,
        _: RecordRef<'_>,
        payload: &[u8],
        take: &mut dyn FnMut(&Heard<'_>),
    ) -> Result<(), WireError> {
        let verdict: Verdict = wire.read(payload)?;
        verdict.signals.iter().for_each(|signal| take(&Heard { verdict: &verdict, signal }));
        Ok(())
    }
}

/// One row for each reason of a signal.
pub(crate) struct Evidence;

/// A reason, and the signal that it is of.
pub(crate) struct Reason<'a> {
    heard: Heard<'a>,
    reason: &'a weir_schemas::Evidence,
}

impl Kind for Evidence {
    type Row<'a> = Reason<'a>;
    const NAME: &'static str = "evidence";
    const DOC: &'static str = "One reason for what a detector said.";
    const TOPIC: Topic = Topic::Verdicts;

    fn columns() -> Vec<Column<Self>> {
        let c = Column::<Self>::new;
        vec![
            c("verdict_id", Text(|row| text(row.heard.verdict.verdict_id)), "The verdict."),
            c("time", Time(|row| Some(row.heard.verdict.time_ms)), "Its time."),
            c("account", Text(|row| text(row.heard.verdict.account)), "The account, as its pseudonym."),
            c(
                "detector",
                Text(|row| Some(row.heard.signal.detector.as_str().into())),
                "Name of the detector.",
            ),
            c("family", Text(|row| Some(row.heard.signal.family.as_str().into())), "Family of evidence."),
            c(
                "name",
                Text(|row| Some(row.reason.name.as_str().into())),
                "What was observed, with its unit last.",
            ),
            c(
                "value",
                Text(|row| Some(row.reason.value.as_str().into())),
                "What it came to; `try_cast(value as double)` makes a number of one.",
            ),
        ]
    }

    fn each(
        wire: &Wire,
        _: RecordRef<'_>,
        payload: &[u8],
        take: &mut dyn FnMut(&Reason<'_>),
    ) -> Result<(), WireError> {
        let verdict: Verdict = wire.read(payload)?;
        for signal in &verdict.signals {
            for reason in &signal.evidence {
                take(&Reason { heard: Heard { verdict: &verdict, signal }, reason });
            }
        }
        Ok(())
    }
}
