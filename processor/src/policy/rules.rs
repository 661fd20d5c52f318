//! What one tenant's accounts are judged by: all of a policy that may differ from tenant to tenant.

use super::{Cooldown, Fusion, Tiers};
use crate::calibration::Calibration;
use crate::detector::DetectorSettings;
use crate::nats::{self, Millinats};
use crate::section::{PolicyError, Section as _, milli};
use weir_schemas::{Digest, Tier};

/// The rules of a tenant, or of the fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// The policy's version; of a tenant that has rules of its own `VERSION/TENANT`.
    pub version: String,
    /// SHA-256 of the policy's text, whoever of its tenants they are of.
    pub digest: Digest,
    /// Table `tiers`.
    pub tiers: Tiers,
    /// Table `fusion`.
    pub fusion: Fusion,
    /// Table `cooldown`.
    pub cooldown: Cooldown,
    /// Table `calibration`; where there is none, log-odds are taken at their word.
    pub calibration: Option<Calibration>,
    /// Tables `detectors.*`.
    pub detectors: DetectorSettings,
}

impl Rules {
    pub(super) fn check(&self) -> Result<(), PolicyError> {
        self.tiers.check("tiers")?;
        self.fusion.check("fusion")?;
        self.cooldown.check("cooldown")?;
        self.detectors.check()?;
        if self.tiers.medium >= self.tiers.high || self.tiers.high >= self.tiers.critical {
            let must = "in rising order: medium, high, critical";
            return Err(PolicyError::Contradiction { key: "tiers".to_owned(), must });
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
