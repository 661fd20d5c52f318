//! The policy: what a detection engineer decides. One TOML text, checked as a whole before it counts.
//!
//! What a policy does not name is off: a detector's table that is not there means that the detector is not
//! asked, so that a policy means under a newer build, which has more detectors, what it meant under the one
//! that it was written for. Every key of a table that is there is required and unknown tables and keys are
//! refused, so that a misspelt key is not silently a default. A key that is added to a table later must be
//! optional, and its absence mean what the table meant before. The policy that comes with Weir is
//! `policy/default.toml`; start a new one from a copy of it.

use crate::calibration::{Calibration, CalibrationTable};
use crate::detector::DetectorSettings;
use crate::limits::POLICY_BYTES_MAX;
use crate::nats::{self, Millinats};
use crate::section::{PolicyError, Section, milli};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use weir_schemas::bundle::Bundle;
use weir_schemas::{Digest, Tier};

const BUILTIN: &str = include_str!("../policy/default.toml");

section! {
    /// Scores from which each tier holds. The score is a map of the log-odds as they are summed, whatever
    /// they proved to be.
    pub struct Tiers {
        /// From here on MEDIUM.
        medium: f64 = 0.01 ..= 1,
        /// From here on HIGH.
        high: f64 = 0.01 ..= 1,
        /// From here on CRITICAL.
        critical: f64 = 0.01 ..= 1,
    }
}

section! {
    /// How evidence becomes one score.
    pub struct Fusion {
        /// Log-odds of extraction before any evidence, in nats.
        prior_nats: f64 = -20 ..= 20,
        /// The most that a family of detectors can contribute, for or against an account, in nats.
        family_nats_max: f64 = 0 ..= 20,
        /// Evidence from which a family counts as speaking against an account, in nats.
        speaks_from_nats: f64 = 0.001 ..= 20,
        /// Evidence of one family, in nats, that is enough for MEDIUM when no other speaks.
        alone_nats: f64 = 0 ..= 100,
    }
}

section! {
    /// How long a verdict of a tier is not repeated, and how long a tier is held before a lower one
    /// is said. A higher tier is always said at once.
    pub struct Cooldown {
        /// Seconds at MEDIUM.
        medium_s: u32 = 0 ..= 604800,
        /// Seconds at HIGH.
        high_s: u32 = 0 ..= 604800,
        /// Seconds at CRITICAL.
        critical_s: u32 = 0 ..= 604800,
    }
}

section! {
    /// How long what is idle is remembered.
    pub struct Horizons {
        /// Hours after which an idle account is new again. More than the longest window.
        account_h: u32 = 25 ..= 720,
        /// Hours after which a shared value that nobody is newly seen with is new again.
        value_h: u32 = 1 ..= 2160,
    }
}

/// A policy's text as TOML has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: String,
    tiers: Tiers,
    fusion: Fusion,
    cooldown: Cooldown,
    horizons: Horizons,
    calibration: Option<CalibrationTable>,
    #[serde(default)]
    detectors: DetectorSettings,
}

/// A policy in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Name that its author gave it.
    pub version: String,
    /// SHA-256 of its text: what a verdict is bound to.
    pub digest: Digest,
    /// The text itself.
    pub text: String,
    /// Table `tiers`.
    pub tiers: Tiers,
    /// Table `fusion`.
    pub fusion: Fusion,
    /// Table `cooldown`.
    pub cooldown: Cooldown,
    /// Table `horizons`.
    pub horizons: Horizons,
    /// Table `calibration`; where there is none, log-odds are taken at their word.
    pub calibration: Option<Calibration>,
    /// Tables `detectors.*`.
    pub detectors: DetectorSettings,
}

impl Policy {
    /// Reads and checks a policy.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::Unreadable(format!(
                "it has {} bytes, over the limit of {POLICY_BYTES_MAX}",
                text.len()
            )));
        }
        let read: Text = toml::from_str(text).map_err(|error| {
            // The error's own rendering quotes the text; a line number tells as much.
            let start = error.span().map_or(0, |span| span.start);
            let line = text.as_bytes().iter().take(start).filter(|byte| **byte == b'\n').count() + 1;
            PolicyError::Unreadable(format!("line {line}: {}", error.message()))
        })?;
        let policy = Self {
            version: read.version,
            digest: Digest(Sha256::digest(text.as_bytes()).into()),
            text: text.to_owned(),
            tiers: read.tiers,
            fusion: read.fusion,
            cooldown: read.cooldown,
            horizons: read.horizons,
            calibration: read.calibration.as_ref().map(Calibration::of).transpose()?,
            detectors: read.detectors,
        };
        policy.check()?;
        Ok(policy)
    }

    /// Reads a policy as it is published: by itself, or in a bundle, whose signatures are not looked at.
    pub fn published(body: &str) -> Result<Self, PolicyError> {
        let text = Bundle::policy_in(body).map_err(|error| PolicyError::Unreadable(error.to_string()))?;
        Self::parse(&text)
    }

    /// The policy that comes with Weir.
    pub fn builtin() -> Self {
        // A test parses the same text, so a build whose own policy is broken does not pass.
        #[allow(clippy::expect_used)]
        Self::parse(BUILTIN).expect("policy/default.toml is a policy")
    }

    /// Its text, as a detection engineer reads it.
    pub fn builtin_text() -> &'static str {
        BUILTIN
    }

    fn check(&self) -> Result<(), PolicyError> {
        self.tiers.check("tiers")?;
        self.fusion.check("fusion")?;
        self.cooldown.check("cooldown")?;
        self.horizons.check("horizons")?;
        self.detectors.check()?;
        let contradiction = |key, must| Err(PolicyError::Contradiction { key, must });
        if self.version.is_empty() || self.version.len() > 64 {
            return contradiction("version", "1 to 64 bytes long");
        }
        if self.tiers.medium >= self.tiers.high || self.tiers.high >= self.tiers.critical {
            return contradiction("tiers", "in rising order: medium, high, critical");
        }
        Ok(())
    }

    /// The tier of a score, before quorum.
    pub fn tier_of(&self, score: f64) -> Tier {
        if score >= self.tiers.critical {
            Tier::Critical
        } else if score >= self.tiers.high {
            Tier::High
        } else if score >= self.tiers.medium {
            Tier::Medium
        } else {
            Tier::Clear
        }
    }

    /// The log-odds that `log_odds` proved to be.
    pub fn calibrated(&self, log_odds: Millinats) -> Millinats {
        self.calibration.as_ref().map_or(log_odds, |calibration| calibration.calibrated(log_odds))
    }

    /// The probability of extraction that is said of an account with these log-odds, in millionths.
    pub fn probability(&self, log_odds: Millinats) -> u32 {
        nats::probability(self.calibrated(log_odds))
    }

    /// How long a verdict of this tier is not repeated, in milliseconds.
    pub fn cooldown_ms(&self, tier: Tier) -> i64 {
        let seconds = match tier {
            Tier::Clear => 0,
            Tier::Medium => self.cooldown.medium_s,
            Tier::High => self.cooldown.high_s,
            Tier::Critical => self.cooldown.critical_s,
        };
        i64::from(seconds) * 1_000
    }

    /// How long an idle account is remembered, in milliseconds.
    pub fn account_horizon_ms(&self) -> i64 {
        i64::from(self.horizons.account_h) * 3_600_000
    }

    /// How long an idle value is remembered, in milliseconds.
    pub fn value_horizon_ms(&self) -> i64 {
        i64::from(self.horizons.value_h) * 3_600_000
    }

    /// Log-odds before any evidence.
    pub fn prior(&self) -> Millinats {
        milli(self.fusion.prior_nats)
    }

    /// The most that a family can contribute.
    pub fn family_most(&self) -> Millinats {
        milli(self.fusion.family_nats_max)
    }

    /// Evidence from which a family speaks.
    pub fn speaks_from(&self) -> Millinats {
        milli(self.fusion.speaks_from_nats)
    }

    /// Evidence of one family that is enough for MEDIUM.
    pub fn alone(&self) -> Millinats {
        milli(self.fusion.alone_nats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::NAMES;
    use expect_test::{Expect, expect};

    fn check(from: &str, to: &str, expected: Expect) {
        let text = BUILTIN.replacen(from, to, 1);
        assert_ne!(text, BUILTIN, "{from:?} is not in the policy");
        expected.assert_eq(&Policy::parse(&text).expect_err("refused").to_string());
    }

    #[test]
    fn the_builtin_policy_is_a_policy() {
        let policy = Policy::builtin();
        assert_eq!(Policy::parse(&policy.text).unwrap(), policy);
        assert_eq!(policy.tier_of(0.35), Tier::Medium);
        assert_eq!(policy.tier_of(0.349_999), Tier::Clear);
        assert_eq!(policy.tier_of(0.55), Tier::High);
        assert_eq!(policy.tier_of(0.72), Tier::Critical);
    }

    #[test]
    fn a_policy_that_says_what_it_may_not_is_refused_with_the_key() {
        check(
            "critical = 0.72",
            "critical = 1.72",
            expect!["policy key tiers.critical is 1.72; allowed is 0.01 to 1"],
        );
        check("high = 0.55", "high = nan", expect!["policy key tiers.high is NaN; allowed is 0.01 to 1"]);
        check(
            "medium = 0.35",
            "medium = 0.6",
            expect!["policy key tiers must be in rising order: medium, high, critical"],
        );
        check(
            "account_h = 48",
            "account_h = 24",
            expect!["policy key horizons.account_h is 24; allowed is 25 to 720"],
        );
    }

    #[test]
    fn a_misspelt_or_missing_key_is_named() {
        let misspelt =
            Policy::parse(&BUILTIN.replacen("prior_nats", "prior_nuts", 1)).unwrap_err().to_string();
        assert!(misspelt.contains("unknown field `prior_nuts`"), "{misspelt}");
        let missing = Policy::parse(&BUILTIN.replacen("account_h = 48", "", 1)).unwrap_err().to_string();
        assert!(missing.contains("missing field `account_h`"), "{missing}");
    }

    /// The builtin policy without the tables of some detectors, as it was before there were any of these.
    fn without(tables: &[&str]) -> String {
        let (head, rest) = BUILTIN.split_once("[detectors.").unwrap();
        let kept =
            rest.split("[detectors.").filter(|table| !tables.iter().any(|name| table.starts_with(name)));
        kept.fold(head.to_owned(), |text, table| text + "[detectors." + table)
    }

    #[test]
    fn a_detector_that_a_policy_does_not_name_is_off() {
        let policy = Policy::parse(&without(&["script", "kin"])).unwrap();
        assert_eq!((&policy.detectors.script, &policy.detectors.kin), (&None, &None));
        let off = NAMES.map(|name| matches!(name, "script" | "kin"));
        assert_eq!(policy.detectors.most().map(|most| most.is_none()), off);
        let none = without(&NAMES);
        assert_eq!(Policy::parse(&none).unwrap().detectors, DetectorSettings::default());
    }

    #[test]
    fn a_table_that_this_build_does_not_know_is_refused_and_so_is_half_a_table() {
        let unknown = Policy::parse(&(BUILTIN.to_owned() + "[detectors.later]\nenabled = true\n"));
        let unknown = unknown.unwrap_err().to_string();
        assert!(unknown.contains("unknown field `later`"), "{unknown}");
        let half =
            Policy::parse(&BUILTIN.replacen("[detectors.owner]\nenabled = true\n", "[detectors.owner]\n", 1));
        let half = half.unwrap_err().to_string();
        assert!(half.contains("missing field `enabled`"), "{half}");
    }

    #[test]
    fn another_text_has_another_digest() {
        let policy = Policy::parse(&format!("{BUILTIN}\n# a remark\n")).unwrap();
        assert_ne!(policy.digest, Policy::builtin().digest);
    }
}
