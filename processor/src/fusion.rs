//! Evidence becomes a probability, a score and a tier, and a tier is or is not worth a word.

use crate::detector::{COUNT, FAMILIES, Family};
use crate::nats::{self, Millinats};
use crate::policy::Rules;
use weir_schemas::Tier;

/// What all detectors come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fused {
    /// Log-odds of extraction.
    pub log_odds: Millinats,
    /// Their place on the sources' scale, 0 to 1.
    pub score: f64,
    /// What each detector contributes, within its own cap; none where it had nothing to judge by.
    pub contributions: [Option<Millinats>; COUNT],
    /// Families that speak against the account.
    pub families: u32,
    /// The tier.
    pub tier: Tier,
}

/// Adds evidence: each detector within its cap, each family within its own, on top of the rules' prior.
///
/// MEDIUM needs two families that speak against the account, or one whose evidence is beyond doubt; HIGH and
/// CRITICAL need two whatever the score, and CRITICAL one among them that looks at more than texts and hours.
/// What others told is added like any family, and is none of those that must speak.
#[inline]
pub fn fuse(evidence: &[Option<Millinats>; COUNT], rules: &Rules) -> Fused {
    let most = rules.detectors.most();
    let mut contributions = [None; COUNT];
    let mut families = [0; Family::COUNT];
    for (index, said) in evidence.iter().enumerate() {
        let (Some(said), Some(most)) = (said, most[index]) else { continue };
        let within = (*said).clamp(-most, most);
        contributions[index] = Some(within);
        families[FAMILIES[index] as usize] += within;
    }
    let cap = rules.family_most();
    let speaks_from = rules.speaks_from();
    let (mut log_odds, mut speaking, mut loudest, mut has_ground) = (rules.prior(), 0, 0, false);
    for (family, said) in Family::ALL.into_iter().zip(families) {
        let said = said.clamp(-cap, cap);
        log_odds += said;
        let speaks = family.is_witness() && said >= speaks_from;
        if family.is_witness() {
            loudest = loudest.max(said);
        }
        speaking += u32::from(speaks);
        has_ground |= speaks && family.is_ground();
    }
    let score = nats::score(log_odds);
    let tier = match rules.tier_of(score) {
        Tier::Clear => Tier::Clear,
        _ if speaking < 2 && loudest < rules.alone() => Tier::Clear,
        Tier::High | Tier::Critical if speaking < 2 => Tier::Medium,
        Tier::Critical if !has_ground => Tier::High,
        tier => tier,
    };
    Fused { log_odds, score, contributions, families: speaking, tier }
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
    pub fn speaks(&mut self, tier: Tier, now_ms: i64, rules: &Rules) -> bool {
        let held = self.tier();
        let speaks = if tier as u8 > self.held {
            true
        } else if held == Tier::Clear {
            false
        } else {
            now_ms.saturating_sub(self.said_ms) >= rules.cooldown_ms(held)
        };
        if speaks {
            *self = Self { held: tier as u8, said_ms: now_ms, sequence: self.sequence.saturating_add(1) };
        }
        speaks
    }

    /// What was said of an account by whoever judged it before: the tier of the last verdict, when, and how
    /// many there were.
    pub fn said(tier: Tier, time_ms: i64, sequence: i64) -> Self {
        let sequence = u32::try_from(sequence.max(0)).unwrap_or(u32::MAX);
        Self { held: tier as u8, said_ms: time_ms, sequence }
    }

    /// The tier that was said last.
    pub fn tier(&self) -> Tier {
        Tier::ALL.get(usize::from(self.held)).copied().unwrap_or_default()
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
    use crate::detector::NAMES;
    use crate::policy::Policy;
    use expect_test::{Expect, expect};

    /// Fuses what some detectors say, in nats.
    fn check(said: &[(&str, i32)], expected: Expect) {
        let mut evidence = [None; COUNT];
        for (name, nats) in said {
            evidence[NAMES.iter().position(|known| known == name).unwrap()] = Some(nats * 1_000);
        }
        let fused = fuse(&evidence, Policy::builtin().fleet());
        expected.assert_eq(&format!(
            "{} nats, {:.3} {}, {} families",
            fused.log_odds / 1_000,
            fused.score,
            fused.tier,
            fused.families
        ));
    }

    #[test]
    fn nothing_to_judge_by_is_clear() {
        check(&[], expect!["-6 nats, 0.153 CLEAR, 0 families"]);
    }

    #[test]
    fn one_family_alone_is_not_enough_whatever_the_score() {
        check(&[("rhythm", 9), ("kin", 0)], expect!["-2 nats, 0.284 CLEAR, 1 families"]);
        check(&[("harvest", 20), ("elicitation", 20)], expect!["-1 nats, 0.314 CLEAR, 1 families"]);
        check(&[("probing", 10)], expect!["3 nats, 0.625 CLEAR, 1 families"]);
    }

    #[test]
    fn families_that_agree_reach_what_none_does() {
        check(&[("rhythm", 4), ("kin", 4)], expect!["1 nats, 0.464 MEDIUM, 2 families"]);
        check(&[("rhythm", 4), ("kin", 6)], expect!["3 nats, 0.625 HIGH, 2 families"]);
        check(&[("rhythm", 4), ("kin", 7), ("bond", 3)], expect!["7 nats, 0.824 CRITICAL, 3 families"]);
    }

    #[test]
    fn nobody_is_critical_for_texts_and_hours_alone_whatever_the_score() {
        let alike = [("rhythm", 4), ("harvest", 4), ("kin", 7), ("script", 2), ("theme", 8)];
        check(&alike, expect!["13 nats, 0.926 HIGH, 5 families"]);
        for ground in ["whale", "probing", "contradiction", "bond", "network", "proxies", "payer"] {
            let fused = [&alike[..], &[(ground, 1)]].concat();
            check(&fused, expect!["14 nats, 0.932 CRITICAL, 6 families"]);
        }
    }

    #[test]
    fn what_others_told_is_no_family_that_speaks_whatever_a_policy_lets_it_say() {
        check(&[("indicator", 2)], expect!["-4 nats, 0.211 CLEAR, 0 families"]);
        check(&[("rhythm", 4), ("indicator", 2)], expect!["0 nats, 0.328 CLEAR, 1 families"]);
        check(&[("rhythm", 4), ("kin", 4), ("indicator", 2)], expect!["3 nats, 0.625 HIGH, 2 families"]);
        let loud = Policy::builtin().text.replace(
            "[detectors.indicator]\nenabled = true\nnats_max = 2.5",
            "[detectors.indicator]\nenabled = true\nnats_max = 20.0",
        );
        let loud = loud.replace("family_nats_max = 10.0", "family_nats_max = 20.0");
        let loud = Policy::parse(&loud).unwrap();
        let mut evidence = [None; COUNT];
        evidence[NAMES.iter().position(|name| *name == "indicator").unwrap()] = Some(20_000);
        let fused = fuse(&evidence, loud.fleet());
        assert_eq!((fused.log_odds, fused.tier, fused.families), (13_250, Tier::Clear, 0));
    }

    #[test]
    fn what_speaks_for_an_account_counts_as_much() {
        check(&[("rhythm", -4), ("kin", 7), ("bond", 3)], expect!["0 nats, 0.328 CLEAR, 2 families"]);
        check(&[("owner", -9), ("kin", 7), ("bond", 3)], expect!["0 nats, 0.328 CLEAR, 2 families"]);
    }

    fn said(tiers: &[(i64, Tier)]) -> String {
        let (policy, mut voice) = (Policy::builtin(), Voice::default());
        let spoken =
            tiers.iter().filter(|(second, tier)| voice.speaks(*tier, second * 1_000, policy.fleet()));
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
