//! What a standing means now.

use super::holds::Held;
use super::standings::Known;
use crate::limits::WATCH_MS;
use std::sync::Arc;
use weir_schemas::{ActionId, StandingEvidence, StandingStatus, VerdictId};

/// How an account stands, for a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Nothing is known against it.
    Ok,
    /// Nothing is in force, but something was within the last day.
    Watch,
    /// It is slowed down.
    RateLimited,
    /// Its keys are suspended.
    Suspended,
}

impl Status {
    /// Every status, the gravest last.
    pub const ALL: &'static [Self] = &[Self::Ok, Self::Watch, Self::RateLimited, Self::Suspended];

    /// Name in answers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Watch => "watch",
            Self::RateLimited => "rate_limited",
            Self::Suspended => "suspended",
        }
    }
}

/// Whether a request may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passes {
    /// It may.
    Yes,
    /// Not before so many milliseconds have passed.
    In(i64),
    /// It may not; where its end is known, in so many milliseconds.
    No(Option<i64>),
    /// Too little is known, and the operator chose to let nobody pass then.
    Unknown,
}

impl Passes {
    /// Every kind, by its name in metrics.
    pub const NAMES: &'static [&'static str] = &["passed", "limited", "suspended", "unknown"];

    /// Name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "passed",
            Self::In(_) => "limited",
            Self::No(_) => "suspended",
            Self::Unknown => "unknown",
        }
    }
}

/// What an account is told by.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// How it stands.
    pub status: Status,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
    /// Until when; none for good, and until a person undoes it.
    pub until_ms: Option<i64>,
    /// By which action.
    pub action_id: Option<ActionId>,
    /// By which verdict.
    pub verdict_id: Option<VerdictId>,
    /// What that rests on.
    pub evidence: Option<Arc<StandingEvidence>>,
}

impl Decision {
    /// What is told of an account of which nothing is known.
    pub const NOTHING_KNOWN: Self = Self {
        status: Status::Ok,
        since_ms: None,
        until_ms: None,
        action_id: None,
        verdict_id: None,
        evidence: None,
    };

    /// What `known` means at `now_ms`. An effect whose time is over is over, whether or not the enforcer has
    /// said so: it may be away.
    pub fn of(known: Option<Known>, now_ms: i64) -> Self {
        let Some(known) = known else { return Self::NOTHING_KNOWN };
        let ended_ms = match known.status {
            StandingStatus::Good => Some(known.since_ms),
            _ => known.until_ms.filter(|until_ms| *until_ms <= now_ms),
        };
        let status = match (ended_ms, known.status) {
            (Some(ended_ms), _) if now_ms.saturating_sub(ended_ms) >= WATCH_MS => Status::Ok,
            (Some(_), _) => Status::Watch,
            (None, StandingStatus::Limited) => Status::RateLimited,
            (None, _) => Status::Suspended,
        };
        Self {
            status,
            since_ms: Some(ended_ms.unwrap_or(known.since_ms)),
            until_ms: known.until_ms.filter(|_| ended_ms.is_none()),
            action_id: Some(known.action_id),
            verdict_id: Some(known.verdict_id),
            evidence: known.evidence,
        }
    }

    /// What is told of an account that is held on an early word: it is slowed down, by no action.
    pub fn of_held(held: Held) -> Self {
        Self {
            status: Status::RateLimited,
            since_ms: Some(held.since_ms),
            until_ms: Some(held.until_ms),
            action_id: None,
            verdict_id: held.on.verdict(),
            evidence: Some(held.evidence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: StandingStatus, until_ms: Option<i64>, now_ms: i64) -> (&'static str, Option<i64>) {
        let evidence = Arc::new(StandingEvidence { score: 0.9, families: vec!["volume".into()] });
        let known = Known {
            tenant: "acme".into(),
            status,
            since_ms: 1_000,
            until_ms,
            action_id: ActionId([1; 16]),
            verdict_id: VerdictId([2; 16]),
            evidence: Some(evidence.clone()),
        };
        let decision = Decision::of(Some(known), now_ms);
        assert_eq!(decision.evidence, Some(evidence));
        assert_eq!(decision.verdict_id, Some(VerdictId([2; 16])));
        (decision.status.as_str(), decision.until_ms)
    }

    #[test]
    fn what_is_in_force_is_told_until_its_time_is_over_even_if_nobody_says_so() {
        use StandingStatus::{Limited, Suspended};
        assert_eq!(status(Limited, Some(5_000), 4_999), ("rate_limited", Some(5_000)));
        assert_eq!(status(Suspended, Some(5_000), 4_999), ("suspended", Some(5_000)));
        assert_eq!(status(Suspended, Some(5_000), 5_000), ("watch", None));
        assert_eq!(status(Suspended, None, i64::MAX), ("suspended", None), "a person is to undo it");
    }

    #[test]
    fn who_stands_well_again_is_watched_for_a_day() {
        assert_eq!(status(StandingStatus::Good, None, 1_000 + WATCH_MS - 1), ("watch", None));
        assert_eq!(status(StandingStatus::Good, None, 1_000 + WATCH_MS), ("ok", None));
        assert_eq!(Decision::of(None, 0).status.as_str(), "ok");
    }
}
