//! Cases, counted: the report of `weir evaluate`. Its JSON is an interface: keys are added, never changed.

use super::Judged;
use super::assembly::{Assembly, Groups, Put};
use super::case::{Case, TIERS};
use super::counts::{Counts, Interval, share};
use super::reliability::Reliability;
use serde::Serialize;
use std::collections::BTreeMap;

/// Scores that flagged accounts are counted from in the sweep, in hundredths.
const SWEEP: std::ops::RangeInclusive<u32> = 1..=99;

/// What a thousand useful exchanges cost a campaign of this name and so many accounts, in dollars, where that
/// is known.
pub type Dollars<'d> = dyn Fn(&str, u64) -> Option<f64> + 'd;

/// How good the policy was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Accounts, flagged at MEDIUM or above.
    pub accounts: Counts,
    /// Accounts, flagged at each tier or above.
    pub tiers: BTreeMap<&'static str, Counts>,
    /// Campaigns by name; in several runs, all of one name.
    pub campaigns: BTreeMap<String, Campaign>,
    /// Honest accounts by population.
    pub populations: BTreeMap<String, Population>,
    /// Name of the policy.
    pub policy: String,
    /// Events that were judged.
    pub events: u64,
    /// How long judging took, in seconds.
    pub seconds: f64,

    /// Events, flagged from their account's first verdict of MEDIUM or above on.
    pub by_event: Counts,
    /// Campaigns, by the part of their names before the first dot.
    pub schemes: BTreeMap<String, Scheme>,
    /// How accounts were put together.
    pub assembly: Assembly,
    /// 95 % intervals of the accounts' shares.
    pub intervals: Intervals,
    /// Counts by the score from which an account would be flagged. Scores that were never said count as 0.
    pub sweep: Vec<SweepPoint>,
    /// How often what was said of the probability is true, where everybody was spoken of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reliability: Option<Reliability>,
    /// Honest accounts by country: how evenly wrong falls.
    pub countries: BTreeMap<String, Population>,
    /// What each detector contributes where it speaks, on average.
    pub detectors: BTreeMap<String, Detector>,
    /// What is lost without each detector, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ablation: Vec<Ablation>,
    /// Lines and events that could not be judged.
    pub refused: u64,
    /// Runs that were counted together.
    pub runs: u32,
    /// Digest of all verdicts, of a single run.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
}

/// A campaign.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Campaign {
    /// Its accounts.
    pub accounts: u64,
    /// Those that were flagged at MEDIUM or above.
    pub flagged: u64,
    /// Requests of a flagged account before its first verdict of MEDIUM or above, in the middle; none where
    /// nobody was.
    pub requests_before_first_action_median: Option<f64>,
    /// The same for HIGH or above.
    pub requests_before_high_median: Option<f64>,
    /// The same for CRITICAL.
    pub requests_before_critical_median: Option<f64>,
    /// Its requests.
    pub requests: u64,
    /// Those that came before their account was flagged.
    pub requests_let_through: u64,
    /// How its accounts were put together; of several campaigns of one name, the least pure and the most
    /// scattered.
    pub assembled: Put,
    /// What its accounts and its care cost for a thousand useful exchanges, in dollars, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dollars_per_thousand: Option<f64>,
}

impl Campaign {
    /// Whether at least half of its accounts were flagged.
    pub fn is_found(&self) -> bool {
        2 * self.flagged >= self.accounts
    }
}

/// All campaigns of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Scheme {
    /// Campaigns.
    pub campaigns: u64,
    /// Those of which at least half of the accounts were flagged.
    pub found: u64,
    /// Accounts.
    pub accounts: u64,
    /// Those that were flagged.
    pub flagged: u64,
    /// The price that the policy forces on this kind: what the cheapest campaign costs for a thousand useful
    /// exchanges that was not found, in dollars; none where all were found, or where prices are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dollars_forced: Option<f64>,
}

/// Honest accounts that have something in common.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Population {
    /// Accounts.
    pub accounts: u64,
    /// Those that were flagged at MEDIUM or above.
    pub flagged: u64,
    /// Those that were flagged at CRITICAL.
    pub critical: u64,
    /// 95 % interval of the share that was flagged.
    pub interval: Option<Interval>,
}

/// 95 % intervals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Intervals {
    /// Of precision.
    pub precision: Interval,
    /// Of recall.
    pub recall: Interval,
    /// Of the share of honest accounts that were flagged.
    pub fpr: Interval,
}

/// What flagging from this score on would have given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepPoint {
    /// The score.
    pub score: f64,
    /// Accounts.
    #[serde(flatten)]
    pub accounts: Counts,
}

/// A detector, over the accounts' verdicts with the highest scores.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Detector {
    /// Campaign accounts in whose verdict it spoke.
    pub campaign: u64,
    /// Honest accounts in whose verdict it spoke.
    pub honest: u64,
    /// What it contributed to a campaign account's verdict, on average.
    pub contribution: f64,
}

/// What is lost without a detector.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ablation {
    /// The detector that was switched off.
    pub without: String,
    /// Accounts, flagged at MEDIUM or above.
    pub accounts: Counts,
    /// Campaigns that are no longer found.
    pub campaigns_lost: Vec<String>,
    /// Accounts of each kind of campaign that are no longer flagged; negative where more are.
    pub accounts_lost: BTreeMap<String, i64>,
}

impl Report {
    /// Counts the cases of one run, or of several. `dollars` says what a thousand useful exchanges cost a
    /// campaign of this name and so many accounts, where that is known.
    pub fn of(judged: &Judged, policy: &str, runs: u32, dollars: &Dollars<'_>) -> Self {
        let cases = &judged.cases;
        let (mut tiers, mut by_event) = (BTreeMap::new(), Counts::default());
        for (index, tier) in TIERS.iter().enumerate() {
            let mut counts = Counts::default();
            cases.iter().for_each(|case| counts.add(case.label.is_some(), case.is_flagged(index), 1));
            tiers.insert(tier.as_str(), counts);
        }
        let accounts = tiers[TIERS[0].as_str()];
        for case in cases {
            let before = case.before[0].unwrap_or(case.events);
            by_event.add(case.label.is_some(), false, before.into());
            by_event.add(case.label.is_some(), true, (case.events - before).into());
        }
        let groups = Groups::of(cases);
        let each = campaigns(cases, &groups, dollars);
        let assembly =
            groups.assembly(each.iter().map(|(_, campaign, _)| (campaign.flagged, campaign.assembled)));
        let honest = || cases.iter().filter(|case| case.label.is_none());
        Self {
            accounts,
            by_event,
            schemes: schemes(&each),
            campaigns: named(each),
            populations: grouped(honest().map(|case| (&*case.population, case))),
            assembly,
            countries: grouped(honest().filter_map(|case| Some((case.country.as_deref()?, case)))),
            policy: policy.to_owned(),
            events: judged.events,
            seconds: judged.seconds,
            intervals: Intervals {
                precision: Interval::of(accounts.tp, accounts.tp + accounts.fp),
                recall: Interval::of(accounts.tp, accounts.tp + accounts.fn_),
                fpr: Interval::of(accounts.fp, accounts.fp + accounts.tn),
            },
            sweep: sweep(cases),
            reliability: None,
            detectors: detectors(cases),
            ablation: Vec::new(),
            refused: judged.refused,
            runs,
            digest: judged.digest.clone(),
            tiers,
        }
    }

    /// Takes the sweep from a run of the same events in which accounts below MEDIUM were spoken of too.
    pub fn listen(&mut self, listened: &Judged) {
        self.sweep = sweep(&listened.cases);
    }

    /// Takes the reliability from a run of the same events in which everybody was spoken of, whatever the
    /// evidence came to.
    pub fn hear(&mut self, heard: &Judged) {
        self.reliability = Some(Reliability::of(&heard.cases));
    }

    /// What is lost where this report's policy is judged without `detector`.
    pub fn without(&self, detector: &str, other: &Self) -> Ablation {
        let lost = |name: &String, scheme: &Scheme| {
            let now = other.schemes.get(name).map_or(0, |scheme| scheme.flagged);
            scheme.flagged as i64 - now as i64
        };
        let is_lost = |name: &&String| {
            self.campaigns[*name].is_found() && !other.campaigns.get(*name).is_some_and(Campaign::is_found)
        };
        Ablation {
            without: detector.to_owned(),
            accounts: other.accounts,
            campaigns_lost: self.campaigns.keys().filter(is_lost).cloned().collect(),
            accounts_lost: self
                .schemes
                .iter()
                .map(|(name, scheme)| (name.clone(), lost(name, scheme)))
                .collect(),
        }
    }

    /// Campaigns of which at least half of the accounts were flagged, and all.
    pub fn campaigns_found(&self) -> (u64, u64) {
        self.schemes
            .values()
            .fold((0, 0), |(found, all), scheme| (found + scheme.found, all + scheme.campaigns))
    }

    /// The largest share of a country's honest accounts that were flagged less the smallest, among countries
    /// with at least so many.
    pub fn country_gap(&self, accounts_min: u64) -> f64 {
        let shares = self.countries.values().filter(|country| country.accounts >= accounts_min);
        let shares: Vec<f64> = shares.map(|country| share(country.flagged, country.accounts)).collect();
        let (low, high) =
            shares.iter().fold((f64::MAX, 0.0_f64), |(low, high), s| (low.min(*s), high.max(*s)));
        (high - low).max(0.0)
    }
}

/// A campaign's name and its cases' figures, each campaign of each run by itself.
type Named = (String, Campaign, Vec<Before>);

/// Requests of a flagged account before each of [`TIERS`].
type Before = [Option<u32>; TIERS.len()];

fn campaigns(cases: &[Case], groups: &Groups<'_>, dollars: &Dollars<'_>) -> Vec<Named> {
    let mut members: BTreeMap<(u32, &str), Vec<&Case>> = BTreeMap::new();
    for case in cases {
        if let Some(label) = &case.label {
            members.entry((case.run, label)).or_default().push(case);
        }
    }
    let campaign = |((_, label), members): ((u32, &str), Vec<&Case>)| {
        let accounts = members.len() as u64;
        let through = members.iter().map(|case| u64::from(case.before[0].unwrap_or(case.events))).sum();
        let requests = members.iter().map(|case| u64::from(case.events)).sum();
        let campaign = Campaign {
            accounts,
            flagged: members.iter().filter(|case| case.is_flagged(0)).count() as u64,
            requests_before_first_action_median: None,
            requests_before_high_median: None,
            requests_before_critical_median: None,
            requests,
            requests_let_through: through,
            assembled: groups.put(&members),
            dollars_per_thousand: dollars(label, accounts),
        };
        (label.to_owned(), campaign, members.iter().map(|case| case.before).collect())
    };
    members.into_iter().map(campaign).collect()
}

/// All campaigns of one name.
fn named(each: Vec<Named>) -> BTreeMap<String, Campaign> {
    let mut all: BTreeMap<String, (Campaign, Vec<Before>)> = BTreeMap::new();
    for (name, campaign, before) in each {
        match all.get_mut(&name) {
            None => {
                all.insert(name, (campaign, before));
            }
            Some((sum, befores)) => {
                sum.accounts += campaign.accounts;
                sum.flagged += campaign.flagged;
                sum.requests += campaign.requests;
                sum.requests_let_through += campaign.requests_let_through;
                let (all, one) = (&mut sum.assembled, campaign.assembled);
                all.together += one.together;
                all.campaigns = all.campaigns.max(one.campaigns);
                all.purity = all.purity.min(one.purity);
                let least = |one: f64, other: f64| one.min(other);
                sum.dollars_per_thousand = sum
                    .dollars_per_thousand
                    .zip(campaign.dollars_per_thousand)
                    .map(|(one, other)| least(one, other));
                befores.extend(before);
            }
        }
    }
    let finish = |(name, (mut campaign, before)): (String, (Campaign, Vec<Before>))| {
        let median = |tier: usize| median(before.iter().filter_map(|before| before[tier]).collect());
        campaign.requests_before_first_action_median = median(0);
        campaign.requests_before_high_median = median(1);
        campaign.requests_before_critical_median = median(2);
        (name, campaign)
    };
    all.into_iter().map(finish).collect()
}

fn schemes(each: &[Named]) -> BTreeMap<String, Scheme> {
    let mut schemes: BTreeMap<String, Scheme> = BTreeMap::new();
    for (name, campaign, _) in each {
        let scheme = schemes.entry(name.split('.').next().unwrap_or(name).to_owned()).or_default();
        scheme.campaigns += 1;
        scheme.accounts += campaign.accounts;
        scheme.flagged += campaign.flagged;
        if campaign.is_found() {
            scheme.found += 1;
        } else if let Some(dollars) = campaign.dollars_per_thousand {
            scheme.dollars_forced = Some(scheme.dollars_forced.map_or(dollars, |least| least.min(dollars)));
        }
    }
    schemes
}

fn grouped<'c>(cases: impl Iterator<Item = (&'c str, &'c Case)>) -> BTreeMap<String, Population> {
    let mut groups: BTreeMap<String, Population> = BTreeMap::new();
    for (name, case) in cases {
        let group = groups.entry(name.to_owned()).or_default();
        group.accounts += 1;
        group.flagged += u64::from(case.is_flagged(0));
        group.critical += u64::from(case.is_flagged(TIERS.len() - 1));
    }
    for group in groups.values_mut() {
        group.interval = Some(Interval::of(group.flagged, group.accounts));
    }
    groups
}

fn sweep(cases: &[Case]) -> Vec<SweepPoint> {
    let point = |hundredths: u32| {
        let score = f64::from(hundredths) / 100.0;
        let mut accounts = Counts::default();
        cases.iter().for_each(|case| accounts.add(case.label.is_some(), case.score >= score, 1));
        SweepPoint { score, accounts }
    };
    SWEEP.map(point).collect()
}

fn detectors(cases: &[Case]) -> BTreeMap<String, Detector> {
    let mut detectors: BTreeMap<String, Detector> = BTreeMap::new();
    for case in cases {
        for (name, contribution) in case.signals.iter().filter(|(_, contribution)| *contribution > 0.0) {
            let detector = detectors.entry(name.clone()).or_default();
            if case.label.is_some() {
                detector.campaign += 1;
                detector.contribution += contribution;
            } else {
                detector.honest += 1;
            }
        }
    }
    for detector in detectors.values_mut() {
        detector.contribution /= detector.campaign.max(1) as f64;
    }
    detectors
}

/// The middle of the numbers; of an even count the mean of the two in the middle.
fn median(mut numbers: Vec<u32>) -> Option<f64> {
    numbers.sort_unstable();
    let (count, at) = (numbers.len(), numbers.len() / 2);
    match count {
        0 => None,
        odd if odd % 2 == 1 => Some(numbers[at].into()),
        _ => Some((f64::from(numbers[at - 1]) + f64::from(numbers[at])) / 2.0),
    }
}
