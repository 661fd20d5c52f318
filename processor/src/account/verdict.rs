//! A verdict is built: the only place where evidence becomes text.

use super::Cause;
use super::state::Account;
use crate::detector::{COUNT, NAMES, Opinion};
use crate::detectors::hydra;
use crate::fusion::Fused;
use crate::policy::Policy;
use weir_schemas::{Signal, Verdict, VerdictId, VoterKind};

/// The verdict on an account as it stands, after its voice has decided to speak.
pub(super) fn build(
    account: &Account,
    cause: &Cause<'_>,
    opinions: &[Option<Opinion>; COUNT],
    fused: &Fused,
    policy: &Policy,
) -> Verdict {
    let view = account.profile.view();
    let weights = policy.detectors.weights();
    let mut evidence = account.detectors.explain(&view, &policy.detectors);
    let (mut signals, mut missing) = (Vec::new(), Vec::new());
    for index in 0..COUNT {
        match (opinions[index], weights[index]) {
            (Some(opinion), Some(weight)) => signals.push((
                fused.contributions[index],
                Signal {
                    detector: NAMES[index].to_owned(),
                    score: opinion.score,
                    confidence: opinion.confidence,
                    weight,
                    evidence: std::mem::take(&mut evidence[index]),
                },
            )),
            (None, Some(_)) => missing.push(NAMES[index].to_owned()),
            (_, None) => {}
        }
    }
    // Stable, so that equal contributions stay in the registry's order.
    signals.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let (events, sequence) = (account.events(), account.voice.sequence());
    Verdict {
        verdict_id: VerdictId::of(&policy.digest.0, cause.account, sequence, &events),
        time_ms: cause.time_ms,
        origin: cause.origin,
        tenant: cause.tenant.to_owned(),
        account: cause.account,
        sequence,
        score: fused.score,
        tier: fused.tier,
        voter: VoterKind::Single,
        partial: account.is_partial(),
        policy_version: policy.version.clone(),
        policy_digest: policy.digest,
        signals: signals.into_iter().map(|(_, signal)| signal).collect(),
        missing,
        events,
        event_count: view.day.into(),
        clusters: policy
            .detectors
            .hydra
            .as_ref()
            .map_or_else(Vec::new, |settings| hydra::references(&account.detectors.hydra, &view, settings)),
        epoch: cause.epoch,
        partition: cause.partition as i32,
    }
}
