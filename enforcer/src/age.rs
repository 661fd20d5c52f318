//! What is history: judged, written down, and never acted on.

use crate::limits::{AGE_DEFAULT_MS, AGE_RANGE_MS};
use weir_schemas::{Origin, Verdict};

/// Name of the control record of kind SETTING that says from which age on an event is history: its body is
/// that age in milliseconds.
pub const AGE_NAME: &str = "act.age_max_ms";

/// How the reason of an action begins that is withheld because what it answers is history.
pub const HISTORY: &str = "history";

/// Age in milliseconds up to which an event may still be acted on. It reaches the fold by a control record
/// and is part of the state, so that a refold withholds what was withheld.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgeMax(pub i64);

impl Default for AgeMax {
    fn default() -> Self {
        Self(AGE_DEFAULT_MS)
    }
}

impl AgeMax {
    /// The age that a control record's body says. The error says what is allowed, for the operator.
    pub fn parse(body: &str) -> Result<Self, String> {
        let (least, greatest) = AGE_RANGE_MS;
        let age = body.trim().parse().ok().filter(|age| (least..=greatest).contains(age));
        age.map(Self).ok_or_else(|| format!("{AGE_NAME} must be a number from {least} to {greatest}"))
    }

    /// Why a verdict that is answered at `taken_ms` is history; none where it may be acted on.
    pub(crate) fn history(self, verdict: &Verdict, taken_ms: i64) -> Option<String> {
        if verdict.origin == Origin::Import {
            return Some(format!("{HISTORY} (imported)"));
        }
        let is_old = taken_ms.saturating_sub(verdict.time_ms) > self.0;
        is_old.then(|| format!("{HISTORY} (older than {} min)", self.0 / 60_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_imported_or_is_too_old_is_history() {
        let age_max = AgeMax::parse(" 3600000 ").unwrap();
        let history = |origin, time_ms, taken_ms| {
            age_max.history(&Verdict { origin, time_ms, ..Verdict::default() }, taken_ms)
        };
        assert_eq!(history(Origin::Live, 1_000, 3_601_000), None);
        assert_eq!(history(Origin::Live, 1_000, 3_601_001), Some("history (older than 60 min)".into()));
        assert_eq!(history(Origin::Import, 1_000, 1_000), Some("history (imported)".into()));
        // A node whose clock is ahead of ours.
        assert_eq!(history(Origin::Live, i64::MAX, 0), None);
    }

    #[test]
    fn an_age_that_is_no_number_or_out_of_range_is_refused() {
        for body in ["", "1 h", "0", "-5", "59999", "99999999999999999999"] {
            let refused = "act.age_max_ms must be a number from 60000 to 31622400000";
            assert_eq!(AgeMax::parse(body), Err(refused.into()), "{body}");
        }
    }
}
