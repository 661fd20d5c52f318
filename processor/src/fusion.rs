//! Signals become a score, a score becomes a tier, and a tier is or is not worth a word.

use crate::detector::{COUNT, HYDRA, Opinion};
use crate::policy::Policy;
use weir_schemas::Tier;

/// What the detectors' opinions amount to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fused {
    /// The score, 0 to 1.
    pub score: f64,
    /// The score without the cluster stage's word: the account's own suspicion.
    pub own: f64,
    /// Contribution of each detector: weight, score and confidence multiplied.
    pub contributions: [f64; COUNT],
    /// Detectors whose contribution counts for the quorum.
    pub speaking: u32,
    /// The tier, with quorum applied.
    pub tier: Tier,
}

/// Fuses by noisy-or: each detector closes a part of what the others left open. One that is missing or
/// silent leaves everything as it was, and each confidence is applied here and nowhere else.
#[inline]
pub fn fuse(opinions: &[Option<Opinion>; COUNT], policy: &Policy) -> Fused {
    let weights = policy.detectors.weights();
    let mut contributions = [0.0; COUNT];
    let (mut open, mut own_open, mut speaking) = (1.0, 1.0, 0);
    for (index, opinion) in opinions.iter().enumerate() {
        let (Some(opinion), Some(weight)) = (opinion, weights[index]) else { continue };
        let contribution = weight * opinion.score.clamp(0.0, 1.0) * opinion.confidence.clamp(0.0, 1.0);
        contributions[index] = contribution;
        open *= 1.0 - contribution;
        if index != HYDRA {
            own_open *= 1.0 - contribution;
        }
        speaking += u32::from(contribution >= policy.fusion.speaks_from);
    }
    let score: f64 = 1.0 - open;
    let own: f64 = 1.0 - own_open;
    let mut tier = policy.tier_of(score);
    if speaking < policy.fusion.quorum && matches!(tier, Tier::High | Tier::Critical) {
        tier = Tier::Medium;
    }
    Fused { score, own, contributions, speaking, tier }
}

/// What was last said of an account, and when.
///
/// A higher tier is said at once. The same tier is said again after its cooldown. A lower tier,
/// CLEAR included, is said when the held tier's cooldown has passed, so that a score that swings
/// about a threshold makes two verdicts in a cooldown and not thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Voice {
    held: u8,
    said_ms: i64,
    sequence: u32,
}
persist_fields!(Voice { held, said_ms, sequence });

impl Voice {
    /// Decides whether a verdict is emitted now, and remembers that it was.
    #[inline]
    pub fn speaks(&mut self, tier: Tier, now_ms: i64, policy: &Policy) -> bool {
        let held = Tier::ALL.get(usize::from(self.held)).copied().unwrap_or_default();
        let speaks = if tier as u8 > self.held {
            true
        } else if held == Tier::Clear {
            false
        } else {
            now_ms.saturating_sub(self.said_ms) >= policy.cooldown_ms(held)
        };
        if speaks {
            *self = Self { held: tier as u8, said_ms: now_ms, sequence: self.sequence.saturating_add(1) };
        }
        speaks
    }

    /// What was said of an account by whoever judged it before: the tier of the last verdict, when, and how many there were.
    pub fn said(tier: Tier, time_ms: i64, sequence: i64) -> Self {
        let sequence = u32::try_from(sequence.max(0)).unwrap_or(u32::MAX);
        Self { held: tier as u8, said_ms: time_ms, sequence }
    }

    /// Whether this tier is the one that was said last.
    pub fn holds(&self, tier: Tier) -> bool {
        self.held == tier as u8
    }

    /// Number of verdicts so far.
    pub fn sequence(&self) -> i64 {
        self.sequence.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    /// Fuses opinions given as score and confidence in the registry's order: fingerprint, velocity,
    /// cot, pivot, asn, hydra.
    fn check(opinions: [Option<(f64, f64)>; COUNT], expected: Expect) {
        let opinions =
            opinions.map(|opinion| opinion.map(|(score, confidence)| Opinion { score, confidence }));
        let fused = fuse(&opinions, &Policy::builtin());
        expected.assert_eq(&format!(
            "{:.3} own {:.3} {} speaking {}",
            fused.score, fused.own, fused.tier, fused.speaking
        ));
    }

    const FULL: Option<(f64, f64)> = Some((1.0, 1.0));
    const SILENT: Option<(f64, f64)> = Some((0.0, 1.0));

    #[test]
    fn nothing_to_judge_by_is_clear() {
        check([None; COUNT], expect!["0.000 own 0.000 CLEAR speaking 0"]);
    }

    #[test]
    fn one_detector_contributes_its_weight_at_most_and_no_more_than_medium() {
        check([None, None, FULL, None, None, None], expect!["0.520 own 0.520 MEDIUM speaking 1"]);
        check([None, None, None, None, None, FULL], expect!["0.720 own 0.000 MEDIUM speaking 1"]);
    }

    #[test]
    fn a_silent_detector_changes_nothing() {
        check([SILENT, SILENT, FULL, SILENT, SILENT, None], expect!["0.520 own 0.520 MEDIUM speaking 1"]);
    }

    #[test]
    fn confidence_is_applied_once() {
        check([None, None, Some((1.0, 0.5)), None, None, None], expect!["0.260 own 0.260 CLEAR speaking 1"]);
    }

    #[test]
    fn two_that_speak_reach_what_neither_does() {
        check([None, FULL, FULL, None, None, None], expect!["0.664 own 0.664 HIGH speaking 2"]);
        check([None, None, FULL, None, None, FULL], expect!["0.866 own 0.520 CRITICAL speaking 2"]);
    }

    #[test]
    fn what_hardly_speaks_does_not_make_a_quorum() {
        check([None, None, None, None, Some((0.3, 1.0)), FULL], expect!["0.733 own 0.045 MEDIUM speaking 1"]);
    }

    /// Says tiers at seconds and lists which were spoken.
    fn said(tiers: &[(i64, Tier)]) -> String {
        let (policy, mut voice) = (Policy::builtin(), Voice::default());
        let spoken = tiers.iter().filter(|(second, tier)| voice.speaks(*tier, second * 1_000, &policy));
        spoken.map(|(second, tier)| format!("{second} {tier}")).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_tier_is_repeated_after_its_cooldown_and_not_before() {
        let tiers = [(0, Tier::Medium), (1, Tier::Medium), (3_599, Tier::Medium), (3_600, Tier::Medium)];
        expect!["0 MEDIUM, 3600 MEDIUM"].assert_eq(&said(&tiers));
    }

    #[test]
    fn escalation_is_never_blocked() {
        let tiers = [(0, Tier::Medium), (1, Tier::High), (2, Tier::Critical), (3, Tier::Critical)];
        expect!["0 MEDIUM, 1 HIGH, 2 CRITICAL"].assert_eq(&said(&tiers));
    }

    #[test]
    fn a_lower_tier_is_said_when_the_held_one_has_cooled_down() {
        let tiers = [
            (0, Tier::Critical),
            (10, Tier::Clear),
            (899, Tier::Medium),
            (900, Tier::Medium),
            (901, Tier::Clear),
            (4_500, Tier::Clear),
            (4_501, Tier::Clear),
        ];
        expect!["0 CRITICAL, 900 MEDIUM, 4500 CLEAR"].assert_eq(&said(&tiers));
    }

    #[test]
    fn an_account_that_was_never_suspicious_is_not_spoken_of() {
        expect![""].assert_eq(&said(&[(0, Tier::Clear), (9_999_999, Tier::Clear)]));
    }
}
