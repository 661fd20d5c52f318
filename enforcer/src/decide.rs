//! Which verdict asks for which action. Whether it is done is the posture's word, not this table's.

use sha2::{Digest as _, Sha256};
use weir_schemas::{Action, ActionKind, Revert, Tier, Verdict};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// What a verdict asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal {
    /// What.
    pub kind: ActionKind,
    /// How far it reaches, 1 to 5.
    pub ring: i32,
    /// After how long it is undone, in milliseconds; none where there is nothing to undo.
    pub lasts_ms: Option<i64>,
    /// How long the same is not asked for again, in milliseconds.
    pub holds_ms: i64,
    /// Who undoes it.
    pub revert: Revert,
    /// What it is about beside the account: for shared indicators, a hash of which; 0 otherwise.
    pub subject: u64,
}

/// Slow the account down.
const RATE_LIMIT: Proposal = Proposal {
    kind: ActionKind::RateLimit,
    ring: 2,
    lasts_ms: Some(5 * MINUTE_MS),
    holds_ms: 5 * MINUTE_MS,
    revert: Revert::Auto,
    subject: 0,
};

/// Slow it down for as long as HIGH stands. By the built-in policy that is said again at the first event
/// after half an hour, so the limit lasts for twice that, and each takes the place of the one before.
const RATE_LIMIT_HELD: Proposal =
    Proposal { lasts_ms: Some(60 * MINUTE_MS), holds_ms: 25 * MINUTE_MS, ..RATE_LIMIT };

/// Show the account to an analyst.
const REVIEW: Proposal = Proposal {
    kind: ActionKind::Review,
    ring: 1,
    lasts_ms: None,
    holds_ms: DAY_MS,
    revert: Revert::Auto,
    subject: 0,
};

/// Suspend the account's keys. From ring 3 on a person undoes it: a key that leaked must not come
/// back by itself.
const SUSPEND: Proposal = Proposal {
    kind: ActionKind::Suspend,
    ring: 3,
    lasts_ms: Some(10 * MINUTE_MS),
    holds_ms: 10 * MINUTE_MS,
    revert: Revert::Manual,
    subject: 0,
};

/// What the verdict asks for, the mildest first. `is_confirmed` says that a person looked at the account, and
/// found that it distils: whoever is found again then, at HIGH, is suspended besides.
///
/// A partial verdict lacks a detector's word, and on missing data nobody is slowed down or suspended:
/// it asks for a person at most.
pub fn propose(verdict: &Verdict, is_confirmed: bool) -> Vec<Proposal> {
    let mut proposals = match verdict.tier {
        Tier::Clear => return Vec::new(),
        _ if verdict.partial => return vec![REVIEW],
        Tier::Medium => return vec![RATE_LIMIT],
        Tier::High if is_confirmed => vec![RATE_LIMIT_HELD, SUSPEND],
        Tier::High => vec![REVIEW, RATE_LIMIT_HELD],
        Tier::Critical => vec![SUSPEND],
    };
    if !verdict.clusters.is_empty() {
        proposals.push(Proposal { kind: ActionKind::ShareIndicators, subject: subject(verdict), ..REVIEW });
    }
    proposals
}

/// What `action`, which another build decided on `verdict`, would have been proposed as.
pub(crate) fn like(action: &Action, verdict: &Verdict) -> Proposal {
    Proposal {
        kind: action.kind,
        ring: action.ring,
        lasts_ms: action.lasts_ms,
        holds_ms: action.lasts_ms.unwrap_or(REVIEW.holds_ms),
        revert: action.revert,
        subject: if action.kind == ActionKind::ShareIndicators { subject(verdict) } else { 0 },
    }
}

/// A hash of the shared values that the verdict rests on, whatever their order.
fn subject(verdict: &Verdict) -> u64 {
    let mut values: Vec<_> = verdict.clusters.iter().map(|cluster| (cluster.kind, cluster.value)).collect();
    values.sort_unstable();
    values.dedup();
    let mut sha = Sha256::new();
    for (kind, value) in values {
        sha.update([kind as u8]);
        sha.update(value.0);
    }
    let hash: [u8; 32] = sha.finalize().into();
    let (number, _) = hash.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    u64::from_be_bytes(*number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use weir_schemas::ClusterRef;

    fn check(tier: Tier, partial: bool, clusters: usize, expected: Expect) {
        let verdict =
            Verdict { tier, partial, clusters: vec![ClusterRef::default(); clusters], ..Verdict::default() };
        let shown: Vec<String> = propose(&verdict, false)
            .iter()
            .map(|p| format!("{} ring {} lasts {:?} {}", p.kind, p.ring, p.lasts_ms, p.revert))
            .collect();
        expected.assert_eq(&shown.join("; "));
    }

    #[test]
    fn the_tier_decides_the_action() {
        check(Tier::Clear, false, 1, expect![""]);
        check(Tier::Medium, false, 1, expect!["RATE_LIMIT ring 2 lasts Some(300000) AUTO"]);
        check(
            Tier::High,
            false,
            0,
            expect!["REVIEW ring 1 lasts None AUTO; RATE_LIMIT ring 2 lasts Some(3600000) AUTO"],
        );
        check(Tier::Critical, false, 0, expect!["SUSPEND ring 3 lasts Some(600000) MANUAL"]);
    }

    #[test]
    fn two_that_agree_suspend_the_judge_at_high_and_a_person() {
        let kinds = |tier, partial| {
            let verdict = Verdict { tier, partial, ..Verdict::default() };
            propose(&verdict, true).iter().map(|proposal| proposal.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(Tier::Clear, false), []);
        assert_eq!(kinds(Tier::Medium, false), [ActionKind::RateLimit]);
        assert_eq!(kinds(Tier::High, false), [ActionKind::RateLimit, ActionKind::Suspend]);
        assert_eq!(kinds(Tier::Critical, false), [ActionKind::Suspend]);
        assert_eq!(kinds(Tier::High, true), [ActionKind::Review]);
    }

    #[test]
    fn indicators_are_shared_when_a_high_verdict_rests_on_shared_values() {
        check(
            Tier::Critical,
            false,
            2,
            expect!["SUSPEND ring 3 lasts Some(600000) MANUAL; SHARE_INDICATORS ring 1 lasts None AUTO"],
        );
    }

    #[test]
    fn a_partial_verdict_asks_for_a_person_at_most() {
        check(Tier::Medium, true, 0, expect!["REVIEW ring 1 lasts None AUTO"]);
        check(Tier::Critical, true, 3, expect!["REVIEW ring 1 lasts None AUTO"]);
    }
}
