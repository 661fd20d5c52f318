//! What log-odds proved to be worth: the map from what the evidence comes to, to the probability that is
//! said.
//!
//! Detectors are not independent, and the prior is a guess, so that log-odds alone are no probability. How
//! many of the accounts with about the same log-odds belong to campaigns is measured on labelled traffic, and
//! the policy carries what was measured. Tiers are thresholds of the log-odds themselves and do not move with
//! it.

use crate::limits::CALIBRATION_POINTS_MAX;
use crate::nats::{self, Millinats};
use crate::section::{PolicyError, check_range, milli};
use serde::Deserialize;

/// Log-odds beyond which no probability is said, in nats: one in 160,000.
const NATS_MAX: f64 = 12.0;

/// The most that prior and evidence can come to, for or against an account, in nats.
const EVIDENCE_NATS_MAX: f64 = 200.0;

/// Table `calibration` of a policy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CalibrationTable {
    /// Pairs of nats: log-odds that prior and evidence come to, and those that they proved to be.
    points_nats: Vec<[f64; 2]>,
}

/// A map that never falls: straight between its points, and flat beyond the first and the last, because
/// nothing was measured there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calibration {
    points: Vec<(i64, Millinats)>,
}

impl Calibration {
    /// Checks a policy's table: 2 to 16 points, each beyond the one before it on both sides.
    pub(crate) fn of(table: &CalibrationTable) -> Result<Self, PolicyError> {
        let contradiction =
            |must| PolicyError::Contradiction { key: "calibration.points_nats".to_owned(), must };
        if !(2..=CALIBRATION_POINTS_MAX).contains(&table.points_nats.len()) {
            return Err(contradiction("2 to 16 pairs"));
        }
        let mut points: Vec<(i64, Millinats)> = Vec::new();
        for [log_odds, calibrated] in &table.points_nats {
            check_range("calibration", "points_nats", *log_odds, -EVIDENCE_NATS_MAX, EVIDENCE_NATS_MAX)?;
            check_range("calibration", "points_nats", *calibrated, -NATS_MAX, NATS_MAX)?;
            let point = (milli(*log_odds).into(), milli(*calibrated));
            if points.last().is_some_and(|last| point.0 <= last.0 || point.1 <= last.1) {
                return Err(contradiction(
                    "in rising order on both sides, by a thousandth of a nat at least",
                ));
            }
            points.push(point);
        }
        Ok(Self { points })
    }

    /// The log-odds that `log_odds` proved to be.
    pub fn calibrated(&self, log_odds: Millinats) -> Millinats {
        nats::line(&self.points, log_odds.into())
    }
}

#[cfg(test)]
mod tests {
    use crate::detector::NAMES;
    use crate::fusion::fuse;
    use crate::policy::Policy;
    use expect_test::{Expect, expect};

    /// The built-in policy with another map.
    fn with(points: &str) -> Result<Policy, String> {
        let builtin = Policy::builtin_text();
        let (head, rest) = builtin.split_once("points_nats = [\n").expect("the policy has a map");
        let (_, tail) = rest.split_once("\n]\n").expect("the map ends");
        Policy::parse(&format!("{head}points_nats = {points}\n{tail}")).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_straight_between_its_points_and_flat_beyond_them() {
        let policy = with("[[-8.0, -3.0], [-4.0, 0.0], [0.0, 6.0]]").unwrap();
        let said = [-100, -8, -6, -4, -2, 0, 100].map(|nats| {
            let millinats = nats * 1_000;
            format!("{nats}: {} of a million", policy.fleet().probability(millinats))
        });
        expect![[r#"
            -100: 47425 of a million
            -8: 47425 of a million
            -6: 182425 of a million
            -4: 500000 of a million
            -2: 952575 of a million
            0: 997528 of a million
            100: 997528 of a million"#]]
        .assert_eq(&said.join("\n"));
    }

    #[test]
    fn more_evidence_is_never_less_probable() {
        let policy = Policy::builtin();
        let said: Vec<u32> =
            (-30_000..30_000).map(|millinats| policy.fleet().probability(millinats)).collect();
        assert!(said.is_sorted());
        assert!(said.iter().all(|millionths| (1..1_000_000).contains(millionths)));
    }

    /// The built-in policy without a map, as policies were before there were any.
    fn without() -> Policy {
        let (head, rest) = Policy::builtin_text().split_once("[calibration]").unwrap();
        let (_, tail) = rest.split_once("\n]\n").unwrap();
        Policy::parse(&format!("{head}{tail}")).unwrap()
    }

    #[test]
    fn a_policy_without_a_map_means_what_it_meant() {
        let policy = without();
        assert_eq!(policy.fleet().calibration, None);
        for log_odds in [-7_000, -2_197, 0, 2_197, 7_000] {
            assert_eq!(policy.fleet().probability(log_odds), crate::nats::probability(log_odds));
        }
    }

    #[test]
    fn score_and_tier_do_not_depend_on_it() {
        let (with, without) = (Policy::builtin(), without());
        for nats in -10..=10 {
            let evidence = NAMES.map(|name| (name != "owner").then_some(nats * 700));
            assert_eq!(fuse(&evidence, with.fleet()), fuse(&evidence, without.fleet()), "{nats}");
        }
    }

    #[test]
    fn a_map_that_is_none_is_refused_with_the_key() {
        let check = |points: &str, expected: Expect| expected.assert_eq(&with(points).unwrap_err());
        check("[[0.0, 0.0]]", expect!["policy key calibration.points_nats must be 2 to 16 pairs"]);
        check(
            "[[0.0, 0.0], [0.0, 1.0]]",
            expect![
                "policy key calibration.points_nats must be in rising order on both sides, by a thousandth of a nat at least"
            ],
        );
        check(
            "[[0.0, 0.0], [1.0, 0.0]]",
            expect![
                "policy key calibration.points_nats must be in rising order on both sides, by a thousandth of a nat at least"
            ],
        );
        check(
            "[[0.0, 0.0], [1.0, 12.5]]",
            expect!["policy key calibration.points_nats is 12.5; allowed is -12 to 12"],
        );
        check(
            "[[nan, 0.0], [1.0, 1.0]]",
            expect!["policy key calibration.points_nats is NaN; allowed is -200 to 200"],
        );
        assert!(with("[[0.0], [1.0, 1.0]]").unwrap_err().contains("the policy cannot be read: line"));
        assert!(with("[[0.0, 0.0], [1.0, 1.0]]\nslope = 2").unwrap_err().contains("unknown field `slope`"));
    }
}
