//! One account: what is true of it, and what was said of it.

use super::truth::{Account, Truth};
use serde::Serialize;
use serde::ser::{SerializeStruct as _, Serializer};
use std::sync::Arc;
use weir_schemas::{AccountId, CampaignId, Tier, Verdict};

/// Tiers from which an account counts as flagged, the lowest first.
pub const TIERS: [Tier; 3] = [Tier::Medium, Tier::High, Tier::Critical];

/// What the verdicts on an account came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// The highest score.
    pub score: f64,
    /// The probability that was said last.
    pub probability: f64,
    /// When each of [`TIERS`] was first reached, in milliseconds since the Unix epoch.
    pub first_ms: [Option<i64>; TIERS.len()],
    /// What each signal of the verdict with the highest score contributed, in nats.
    pub signals: Vec<(String, f64)>,
}

impl Outcome {
    /// Takes the account's next verdict.
    pub fn add(&mut self, verdict: &Verdict) {
        if verdict.score > self.score || self.signals.is_empty() {
            let of = |signal: &weir_schemas::Signal| f64::from(signal.millinats) / 1e3;
            self.signals =
                verdict.signals.iter().map(|signal| (signal.detector.clone(), of(signal))).collect();
        }
        self.score = self.score.max(verdict.score);
        self.probability = verdict.probability;
        for (tier, first_ms) in TIERS.iter().zip(&mut self.first_ms) {
            if verdict.tier >= *tier {
                first_ms.get_or_insert(verdict.time_ms);
            }
        }
    }
}

/// An account and what was said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The run that it was judged in, where several are counted together.
    pub run: u32,
    /// The account.
    pub account: AccountId,
    /// Its campaign; none where it is honest.
    pub label: Option<Arc<str>>,
    /// Its population.
    pub population: Arc<str>,
    /// The country that its rows name.
    pub country: Option<Arc<str>>,
    /// Its events.
    pub events: u32,
    /// Events before each of [`TIERS`] was first reached; none where it never was.
    pub before: [Option<u32>; TIERS.len()],
    /// The highest score that was said; 0 where nothing was.
    pub score: f64,
    /// The probability of extraction that was said last; 0 where nothing was.
    pub probability: f64,
    /// The campaign that it was put into.
    pub assembled: Option<CampaignId>,
    /// What contributed to it, the strongest first.
    pub signals: Vec<(String, f64)>,
}

impl Case {
    /// The case of an account.
    pub fn of(
        id: AccountId,
        account: &Account,
        outcome: Option<&Outcome>,
        assembled: Option<CampaignId>,
        truth: &Truth,
    ) -> Self {
        let before = |first_ms: Option<i64>| {
            let first_ms = first_ms?.saturating_sub(truth.first_ms());
            Some(account.times_ms.iter().filter(|time_ms| i64::from(**time_ms) < first_ms).count() as u32)
        };
        Self {
            run: 0,
            account: id,
            label: account.label.clone(),
            population: account.population(),
            country: account.country.clone(),
            events: account.times_ms.len() as u32,
            before: outcome.map_or([None; TIERS.len()], |outcome| outcome.first_ms.map(before)),
            score: outcome.map_or(0.0, |outcome| outcome.score),
            probability: outcome.map_or(0.0, |outcome| outcome.probability),
            assembled,
            signals: outcome.map_or_else(Vec::new, |outcome| outcome.signals.clone()),
        }
    }

    /// The highest tier that it reached.
    pub fn tier(&self) -> Tier {
        let reached = TIERS.iter().zip(&self.before).rev().find(|(_, before)| before.is_some());
        reached.map_or(Tier::Clear, |(tier, _)| *tier)
    }

    /// Whether it was ever flagged at the tier with this index in [`TIERS`].
    pub fn is_flagged(&self, tier: usize) -> bool {
        self.before[tier].is_some()
    }
}

impl Serialize for Case {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Case", 11)?;
        out.serialize_field("account", &self.account.to_string())?;
        out.serialize_field("campaign", &self.label.as_deref())?;
        out.serialize_field("population", &*self.population)?;
        out.serialize_field("country", &self.country.as_deref())?;
        out.serialize_field("events", &self.events)?;
        out.serialize_field("tier", self.tier().as_str())?;
        out.serialize_field("score", &self.score)?;
        out.serialize_field("probability", &self.probability)?;
        out.serialize_field("before", &self.before)?;
        out.serialize_field("assembled", &self.assembled.map(|id| id.to_string()))?;
        out.serialize_field("signals", &self.signals)?;
        out.end()
    }
}
