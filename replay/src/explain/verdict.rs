//! A verdict, explained.

use super::nats;
use crate::campaigns::Campaigns;
use serde::Serialize;
use std::collections::BTreeMap;
use weir_processor::detector::{CLAIMS, COUNT, Family, NAMES};
use weir_processor::fusion::{Fused, fuse};
use weir_processor::nats::Millinats;
use weir_processor::policy::Rules;
use weir_schemas::{Signal, Tier, Verdict};

/// What a verdict rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerdictStory {
    /// The verdict.
    pub verdict_id: String,
    /// Its account.
    pub account: String,
    /// Tenant of the account.
    pub tenant: String,
    /// Event time.
    pub time_ms: i64,
    /// How many verdicts the account had had, this one included.
    pub sequence: i64,
    /// How serious.
    pub tier: &'static str,
    /// Score, 0 to 1: a map of the log-odds, whose thresholds are the tiers.
    pub score: f64,
    /// Calibrated probability of extraction, 0 to 1.
    pub probability: f64,
    /// Name of the policy that judged; `VERSION/TENANT` where it has rules of the tenant's own.
    pub policy_version: String,
    /// Log-odds before any evidence, in nats; none where the policy is not to be had.
    pub prior_nats: Option<f64>,
    /// Log-odds that prior and evidence come to, in nats; none where the policy is not to be had.
    pub log_odds_nats: Option<f64>,
    /// Log-odds that those proved to be, by the policy's calibration, in nats: the probability is theirs.
    /// None where the policy is not to be had, or has no calibration.
    pub calibrated_nats: Option<f64>,
    /// Evidence by family, the strongest first.
    pub families: Vec<FamilyStory>,
    /// Detectors that had nothing to judge by.
    pub missing: Vec<String>,
    /// Values that it shares with accounts that are like it.
    pub shares: Vec<ValueStory>,
    /// The campaign that the account is or last was a member of.
    pub campaign_id: Option<String>,
    /// What would have had to differ; empty where the policy is not to be had.
    pub otherwise: Vec<Otherwise>,
    /// Events of the account in the 24 hours before.
    pub event_count_24h: i64,
    /// The latest events that it rests on, oldest first.
    pub events: Vec<String>,
}

/// What one family of evidence says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FamilyStory {
    /// The family.
    pub family: String,
    /// What it says, in nats: against the account where positive, for it where negative.
    pub nats: f64,
    /// Its detectors.
    pub signals: Vec<SignalStory>,
}

/// What one detector says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SignalStory {
    /// The detector.
    pub detector: String,
    /// What it claims when it speaks against an account.
    pub claim: &'static str,
    /// What it says, in nats.
    pub nats: f64,
    /// The most that the policy lets it say, in nats.
    pub nats_max: f64,
    /// What it saw.
    pub evidence: BTreeMap<String, String>,
}

/// A shared value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueStory {
    /// What is shared.
    pub kind: &'static str,
    /// The value, as a keyed hash.
    pub value: String,
    /// Accounts that share it at all.
    pub shared_by: i64,
}

/// What the verdict would be if something differed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Otherwise {
    /// What differs.
    pub differs: String,
    /// The tier that the account would have.
    pub tier: &'static str,
    /// Its log-odds, in nats.
    pub log_odds_nats: f64,
}

impl VerdictStory {
    /// The story of a verdict by these rules of its tenant's, where they are to be had.
    pub(super) fn of(verdict: &Verdict, rules: Option<&Rules>, campaigns: &Campaigns) -> Self {
        let fused = rules.map(|rules| fuse(&evidence(verdict), rules));
        let calibration = rules.and_then(|rules| rules.calibration.as_ref());
        let calibrated =
            calibration.zip(fused).map(|(calibration, fused)| calibration.calibrated(fused.log_odds));
        Self {
            verdict_id: verdict.verdict_id.to_string(),
            account: verdict.account.to_string(),
            tenant: verdict.tenant.clone(),
            time_ms: verdict.time_ms,
            sequence: verdict.sequence,
            tier: verdict.tier.as_str(),
            score: verdict.score,
            probability: verdict.probability,
            policy_version: verdict.policy_version.clone(),
            prior_nats: rules.map(|rules| nats(rules.prior())),
            log_odds_nats: fused.map(|fused| nats(fused.log_odds)),
            calibrated_nats: calibrated.map(nats),
            families: families(verdict),
            missing: verdict.missing.clone(),
            shares: verdict
                .clusters
                .iter()
                .map(|cluster| ValueStory {
                    kind: cluster.kind.as_str(),
                    value: cluster.value.to_string(),
                    shared_by: cluster.members,
                })
                .collect(),
            campaign_id: campaigns.of(verdict.account).map(|id| id.to_string()),
            otherwise: rules.map(|rules| otherwise(verdict, rules)).unwrap_or_default(),
            event_count_24h: verdict.event_count,
            events: verdict.events.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What each detector contributed, in the order of this build's registry.
fn evidence(verdict: &Verdict) -> [Option<Millinats>; COUNT] {
    let said = |name: &str| {
        let mut signals = verdict.signals.iter();
        signals.find(|signal| signal.detector == name).map(|signal| signal.millinats)
    };
    NAMES.map(said)
}

fn families(verdict: &Verdict) -> Vec<FamilyStory> {
    let mut families: BTreeMap<&str, Vec<&Signal>> = BTreeMap::new();
    for signal in &verdict.signals {
        families.entry(&signal.family).or_default().push(signal);
    }
    let story = |(family, signals): (&str, Vec<&Signal>)| FamilyStory {
        family: family.to_owned(),
        nats: nats(signals.iter().map(|signal| signal.millinats).sum()),
        signals: signals.into_iter().map(signal_story).collect(),
    };
    let mut families: Vec<FamilyStory> = families.into_iter().map(story).collect();
    families.sort_by(|one, other| other.nats.total_cmp(&one.nats));
    families
}

fn signal_story(signal: &Signal) -> SignalStory {
    let claim = NAMES.iter().position(|name| *name == signal.detector).map_or("", |index| CLAIMS[index]);
    SignalStory {
        detector: signal.detector.clone(),
        claim,
        nats: nats(signal.millinats),
        nats_max: nats(signal.millinats_max),
        evidence: signal.evidence.iter().map(|item| (item.name.clone(), item.value.clone())).collect(),
    }
}

/// Without each family that speaks against the account; what besides the score is missing for CRITICAL; and
/// how much less evidence there would have to be for the tier below.
fn otherwise(verdict: &Verdict, rules: &Rules) -> Vec<Otherwise> {
    let evidence = evidence(verdict);
    let told = |differs: String, fused: &Fused| Otherwise {
        differs,
        tier: fused.tier.as_str(),
        log_odds_nats: nats(fused.log_odds),
    };
    let mut all = Vec::new();
    for family in families(verdict).iter().filter(|family| family.nats > 0.0) {
        let mut without = evidence;
        for (said, name) in without.iter_mut().zip(NAMES) {
            if family.signals.iter().any(|signal| signal.detector == name) {
                *said = None;
            }
        }
        all.push(told(format!("nothing of {}", family.family), &fuse(&without, rules)));
    }
    if verdict.tier != Tier::Clear {
        let fused = fuse(&evidence, rules);
        if (verdict.tier, rules.tier_of(fused.score)) == (Tier::High, Tier::Critical) {
            let grounds: Vec<&str> =
                Family::ALL.into_iter().filter(|family| family.is_ground()).map(Family::as_str).collect();
            let differs = format!("evidence besides texts and hours: {}", grounds.join(" or "));
            all.push(Otherwise {
                differs,
                tier: Tier::Critical.as_str(),
                log_odds_nats: nats(fused.log_odds),
            });
        }
        let less = lesser(fused.log_odds, verdict.tier, rules);
        let tier = rules.tier_of(weir_processor::nats::score(fused.log_odds - less));
        let differs = format!("{:.1} nats less evidence", nats(less));
        all.push(Otherwise { differs, tier: tier.as_str(), log_odds_nats: nats(fused.log_odds - less) });
    }
    all
}

/// The least by which log-odds would have to be smaller for a lower tier, in tenths of a nat.
fn lesser(log_odds: Millinats, tier: Tier, rules: &Rules) -> Millinats {
    const STEP: Millinats = 100;
    let is_lower = |less: &Millinats| rules.tier_of(weir_processor::nats::score(log_odds - less)) < tier;
    (1..1_000).map(|steps| steps * STEP).find(is_lower).unwrap_or(1_000 * STEP)
}
