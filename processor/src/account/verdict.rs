//! A verdict is built: the only place where evidence becomes text.

use super::Cause;
use super::state::Account;
use crate::detector::{COUNT, FAMILIES, NAMES};
use crate::fusion::Fused;
use crate::policy::Rules;
use weir_schemas::{Signal, Verdict, VerdictId, VoterKind};

/// The verdict on an account as it stands, after its voice has decided to speak.
pub(super) fn build(account: &Account, cause: &Cause<'_>, fused: &Fused, rules: &Rules) -> Verdict {
    let view = account.profile.view();
    let most = rules.detectors.most();
    let mut evidence = account.detectors.explain(&view, &rules.detectors);
    let (mut signals, mut missing) = (Vec::new(), Vec::new());
    for index in 0..COUNT {
        match (fused.contributions[index], most[index]) {
            (Some(millinats), Some(most)) => signals.push(Signal {
                detector: NAMES[index].to_owned(),
                family: FAMILIES[index].as_str().to_owned(),
                millinats,
                millinats_max: most,
                evidence: std::mem::take(&mut evidence[index]),
            }),
            (None, Some(_)) => missing.push(NAMES[index].to_owned()),
            (_, None) => {}
        }
    }
    // Stable, so that equal contributions stay in the registry's order.
    signals.sort_by_key(|signal| std::cmp::Reverse(signal.millinats));
    let (events, sequence) = (account.events(), account.voice.sequence());
    Verdict {
        verdict_id: VerdictId::of(&rules.digest.0, cause.account, sequence, &events),
        time_ms: cause.time_ms,
        origin: cause.origin,
        tenant: cause.tenant.to_owned(),
        account: cause.account,
        sequence,
        score: fused.score,
        probability: f64::from(rules.probability(fused.log_odds)) / 1e6,
        tier: fused.tier,
        voter: VoterKind::Single,
        partial: account.is_partial(),
        policy_version: rules.version.clone(),
        policy_digest: rules.digest,
        signals,
        missing,
        events,
        event_count: view.day.into(),
        clusters: account.profile.words.references(view.now_ms),
        epoch: cause.epoch,
        partition: cause.partition as i32,
    }
}
