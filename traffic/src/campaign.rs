//! Campaigns: accounts that one hand moves to get a model's answers.

use crate::access::Access;
use crate::care::{Care, Measure, Measures};
use crate::clients::{Client, Kind};
use crate::honest;
use crate::persona::Persona;
use crate::places::{HOSTERS, any_country, any_language};
use crate::random::{Random, mixed};
use crate::rhythm::{Hours, Rhythm};
use crate::speech::{Extraction, Goal, Limit, Speech, Style, Tasks};
use crate::world::World;

/// What a campaign is like before it takes any care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// Scripts with one template on many accounts.
    NaiveHydra,
    /// Scripts that claim to be browsers, through rented exits in homes.
    ProxiedHydra,
    /// Reasoning, reworded and in many languages.
    Paraphrase,
    /// Many accounts that ask once an hour.
    LowAndSlow,
    /// A task list of all capabilities, split over few accounts.
    Sweep,
    /// The whole stream moves to a new model in one night.
    Pivot,
    /// Accounts that are used up in hours and replaced.
    Burn,
    /// One account that asks all day.
    Whale,
    /// The same tasks under one limit after another.
    Budget,
}

/// Every scheme, with its share of the campaign accounts in thousandths.
pub const SCHEMES: [(Scheme, u32); 9] = [
    (Scheme::NaiveHydra, 90),
    (Scheme::ProxiedHydra, 250),
    (Scheme::Paraphrase, 110),
    (Scheme::LowAndSlow, 260),
    (Scheme::Sweep, 45),
    (Scheme::Pivot, 95),
    (Scheme::Burn, 115),
    (Scheme::Whale, 12),
    (Scheme::Budget, 23),
];

impl Scheme {
    /// The name that labels begin with.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NaiveHydra => "naive-hydra",
            Self::ProxiedHydra => "proxied-hydra",
            Self::Paraphrase => "paraphrase",
            Self::LowAndSlow => "low-and-slow",
            Self::Sweep => "sweep",
            Self::Pivot => "pivot",
            Self::Burn => "burn",
            Self::Whale => "whale",
            Self::Budget => "budget",
        }
    }

    /// Accounts of the smallest and of the largest campaign of this scheme that a world has.
    pub const fn accounts(self) -> (u32, u32) {
        match self {
            Self::NaiveHydra => (6, 60),
            Self::ProxiedHydra => (12, 400),
            Self::Paraphrase => (8, 120),
            Self::LowAndSlow => (24, 500),
            Self::Sweep => (4, 16),
            Self::Pivot => (10, 120),
            Self::Burn => (12, 200),
            Self::Whale => (1, 2),
            Self::Budget => (2, 6),
        }
    }

    /// Exchanges of an account and day.
    fn per_day(self, accounts: u32) -> f64 {
        match self {
            // A larger hydra spreads its work.
            Self::NaiveHydra | Self::ProxiedHydra => 3_900.0 / f64::from(accounts.max(1)).sqrt(),
            Self::Paraphrase => 600.0,
            Self::LowAndSlow => 20.0,
            Self::Sweep => 1_600.0,
            Self::Pivot => 420.0,
            // In the two hours of its life as much as others in a day.
            Self::Burn => 5_000.0,
            Self::Whale => 8_000.0,
            Self::Budget => 900.0,
        }
    }
}

/// A campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    /// What it is like.
    pub scheme: Scheme,
    /// The care that its measures come from, where they come from one.
    pub care: Option<Care>,
    /// What it buys.
    pub measures: Measures,
    /// Accounts.
    pub accounts: u32,
    /// Exchanges of an account and day, where not the scheme's.
    pub per_day: Option<f64>,
    /// What it wants, where not the scheme's.
    pub goal: Option<Goal>,
}

impl Campaign {
    /// A campaign of this scheme at this level of care.
    pub fn new(scheme: Scheme, care: Care, accounts: u32) -> Self {
        Self { scheme, care: Some(care), measures: care.measures(), accounts, per_day: None, goal: None }
    }

    /// Its label: scheme and care.
    pub fn label(&self) -> String {
        let care = self.care.map_or_else(|| self.measures.names(), |care| care.name().to_owned());
        format!("{}.{care}", self.scheme.name())
    }

    /// The campaign that a label of the simulator stands for; none where it is no such label.
    pub fn of_label(label: &str, accounts: u32) -> Option<Self> {
        let (scheme, care) = label.split_once('.')?;
        let (scheme, _) = *SCHEMES.iter().find(|(known, _)| known.name() == scheme)?;
        // The second campaign of a kind in one world has a number behind its label.
        let care = care.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
        let mut campaign = Self::new(scheme, Care::Naive, accounts);
        if let Ok(care) = care.parse::<Care>() {
            campaign.care = Some(care);
            campaign.measures = care.measures();
        } else {
            let measures: Result<Vec<Measure>, String> = care.split('+').map(str::parse).collect();
            campaign.care = None;
            campaign.measures = Measures::of(&measures.ok()?);
        }
        Some(campaign)
    }

    /// Exchanges of an account and day. Who sleeps and thinks like a person asks a quarter, and no more than
    /// a person could.
    pub fn per_day(&self) -> f64 {
        let per_day = self.per_day.unwrap_or_else(|| self.scheme.per_day(self.accounts));
        if self.measures.has(Measure::Hours) { (per_day / 4.0).min(80.0) } else { per_day }
    }

    /// Dollars that its accounts and measures cost for a thousand useful exchanges.
    pub fn dollars_per_thousand(&self) -> f64 {
        let useful = if self.measures.has(Measure::Cover) { 0.5 } else { 1.0 };
        self.measures.dollars_per_thousand(self.per_day() * useful * 30.0)
    }

    /// One of its accounts.
    pub fn persona(&self, world: &World, group: u64, index: u32, random: &mut Random) -> Persona {
        let mut common = world.random(&[group, 0x6361_6d70]);
        let has = |measure| self.measures.has(measure);
        let id = mixed(&[world.seed, group]);
        let country = any_country(random);
        let language = any_language(country, random);
        // What all accounts have in common is drawn first, and in one order, whatever is bought.
        // Most campaigns are under way when we begin to look.
        let begins_ms = world.moment(0.0, 0.2, &mut common);
        let start_ms = if common.chance(0.6) { world.start_ms } else { begins_ms };
        let script = Client::any(Kind::Library, &mut common);
        let hoster = *common.pick(&HOSTERS[3..]);
        let seller = common.bits();
        let card = common.bits();
        let per_card = common.between(2, 5);
        let preamble = common.bits();
        let goal = self.goal.unwrap_or_else(|| goal(self.scheme, &mut common));
        let limit = *common.pick(&[2_048, 4_096, 8_192]);
        let minute_s = common.below(3_600) as u32;
        let pivot_ms = world.moment(0.4, 0.7, &mut common);
        let model = crate::world::any_model(&mut common);
        let one_model = common.chance(0.5);
        let one_hoster = common.chance(0.6);
        let is_split = common.chance(0.6);

        let access = match self.scheme {
            _ if has(Measure::Addresses) => Access::home(country, random),
            Scheme::ProxiedHydra => Access::Proxies { seller, exits: 20_000, sticky: false },
            Scheme::LowAndSlow => Access::Proxies { seller, exits: 4_000, sticky: false },
            Scheme::Paraphrase | Scheme::Pivot | Scheme::Sweep => Access::server(random),
            Scheme::NaiveHydra | Scheme::Burn if !one_hoster => Access::server(random),
            Scheme::NaiveHydra | Scheme::Burn | Scheme::Whale | Scheme::Budget => {
                Access::server_at(hoster, random)
            }
        };
        let client = match self.scheme {
            _ if has(Measure::Clients) && has(Measure::Hours) => Client::any(Kind::Browser, random),
            _ if has(Measure::Clients) => {
                Client::any(if random.chance(0.5) { Kind::Browser } else { Kind::Library }, random)
            }
            Scheme::ProxiedHydra => Client::any(Kind::Browser, random).over(script),
            Scheme::LowAndSlow if index.is_multiple_of(3) => Client::any(Kind::Browser, random).over(script),
            Scheme::LowAndSlow | Scheme::Paraphrase | Scheme::Pivot => Client::any(Kind::Library, random),
            Scheme::NaiveHydra | Scheme::Sweep | Scheme::Burn | Scheme::Whale | Scheme::Budget => script,
        };
        let speech = Speech::Extraction(Extraction {
            campaign: id,
            goal,
            style: match self.scheme {
                _ if has(Measure::Words) => Style::Own,
                Scheme::Paraphrase => Style::Reworded,
                Scheme::NaiveHydra => Style::Loud,
                _ => Style::Template,
            },
            tasks: match self.scheme {
                Scheme::Sweep if is_split => {
                    Tasks::Split { of: 160 * self.accounts.max(4), accounts: self.accounts, at: index }
                }
                Scheme::Sweep => Tasks::Common(160),
                Scheme::NaiveHydra => Tasks::Common(2_000),
                Scheme::Paraphrase => Tasks::Common(5_000),
                _ => Tasks::Endless,
            },
            preamble: match self.scheme {
                _ if has(Measure::Preambles) => None,
                Scheme::NaiveHydra | Scheme::Burn => Some(preamble),
                _ => None,
            },
            limit: match self.scheme {
                Scheme::Budget => Limit::Ladder,
                _ if has(Measure::Limits) => Limit::Customary,
                _ => Limit::Of(limit),
            },
            cover: if has(Measure::Cover) { 0.5 } else { 0.0 },
        });
        let rhythm = self.rhythm(country, minute_s, random);
        let mut persona = Persona::new(world, language, rhythm, access, client, speech, random);
        persona.adopts_ms = None;
        if one_model || self.scheme == Scheme::Pivot {
            persona.model = model;
        }
        persona.payment = Some(if has(Measure::Cards) {
            random.bits()
        } else {
            mixed(&[card, u64::from(index) / per_card])
        });
        if self.scheme == Scheme::Pivot {
            // All within twenty minutes, on whatever model is new.
            persona.adopts_ms = Some(pivot_ms + random.below(20 * 60_000) as i64);
        } else if goal == Goal::Sweep {
            persona.strays = 0.3;
        }
        self.live(world, start_ms, index, &mut persona, random);
        persona
    }

    fn rhythm(&self, country: u8, minute_s: u32, random: &mut Random) -> Rhythm {
        let has = |measure| self.measures.has(measure);
        let spread = if has(Measure::Volumes) { 0.9 } else { 0.05 };
        let per_day = random.log_normal(self.per_day(), spread);
        if has(Measure::Hours) {
            let turns = random.log_normal(6.0, 0.4);
            return Rhythm::Person {
                hours: Hours::Home,
                utc_minutes: crate::places::COUNTRIES[usize::from(country)].utc_minutes,
                sessions: per_day / turns,
                turns,
                pause_s: random.log_normal(50.0, 0.4),
            };
        }
        match self.scheme {
            Scheme::LowAndSlow => Rhythm::Clock {
                period_s: 3_600,
                phase_s: minute_s,
                late_s: 40.0,
                burst: (per_day / 20.0).max(1.0),
                gap_ms: 20_000.0,
                skips: 0.2,
            },
            _ => Rhythm::Steady { gap_s: 86_400.0 / per_day, spread: 0.35 },
        }
    }

    /// Birth, death and the time before it is used.
    fn live(&self, world: &World, start_ms: i64, index: u32, persona: &mut Persona, random: &mut Random) {
        if self.scheme == Scheme::Burn {
            // A constant head count: whoever is used up is replaced by the next.
            let heads = (self.accounts / 8).max(2);
            let (place, head) = (index / heads, index % heads);
            let life_ms = (world.end_ms - start_ms) / i64::from(self.accounts.div_ceil(heads));
            let life_ms = life_ms.min(3 * 3_600_000);
            persona.born_ms = start_ms + i64::from(place) * life_ms + i64::from(head) * 40_000;
            persona.dies_ms = persona.born_ms + life_ms;
            return;
        }
        // Signed up within a few hours; the careful buy accounts that have been there.
        let spread_ms = (world.length_ms() as f64 * 0.04).min(6.0 * 3.6e6);
        persona.born_ms = start_ms + (random.unit() * spread_ms) as i64;
        if self.measures.has(Measure::Aged) {
            persona.born_ms = world.start_ms;
            persona.quiet_until_ms = world.moment(0.35, 0.45, random);
        }
    }
}

fn goal(scheme: Scheme, common: &mut Random) -> Goal {
    match scheme {
        Scheme::NaiveHydra => *common.pick(&[
            Goal::Reasoning,
            Goal::Reasoning,
            Goal::Reasoning,
            Goal::Code,
            Goal::Tools,
            Goal::Grading,
            Goal::Synthetic,
            Goal::Refusals,
        ]),
        Scheme::Paraphrase => Goal::Reasoning,
        Scheme::Sweep => Goal::Sweep,
        Scheme::LowAndSlow => *common.pick(&[Goal::Anything, Goal::Anything, Goal::Reasoning, Goal::Grading]),
        Scheme::Burn => *common.pick(&[Goal::Anything, Goal::Anything, Goal::Reasoning, Goal::Code]),
        Scheme::ProxiedHydra | Scheme::Pivot | Scheme::Whale => Goal::Anything,
        Scheme::Budget => Goal::Sweep,
    }
}

/// How an account behaves before its campaign uses it.
pub fn quiet(world: &World, random: &mut Random) -> Rhythm {
    honest::chat(world, random).rhythm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_tells_its_campaign() {
        for care in [Care::Naive, Care::Careful, Care::Expert, Care::Adaptive] {
            let campaign = Campaign::new(Scheme::ProxiedHydra, care, 40);
            assert_eq!(Campaign::of_label(&campaign.label(), 40), Some(campaign.clone()));
            assert_eq!(Campaign::of_label(&format!("{}-3", campaign.label()), 40), Some(campaign));
        }
        let bought = Campaign {
            care: None,
            measures: Measures::of(&[Measure::Cards, Measure::Hours]),
            ..Campaign::new(Scheme::LowAndSlow, Care::Naive, 9)
        };
        assert_eq!(Campaign::of_label("low-and-slow.cards+hours", 9), Some(bought));
        for strange in ["proxied-hydra", "hydra.naive", "whale.reckless", ""] {
            assert_eq!(Campaign::of_label(strange, 1), None, "{strange}");
        }
    }

    #[test]
    fn care_costs_what_its_measures_cost() {
        let price = |measures: &[Measure]| {
            let campaign = Campaign {
                measures: Measures::of(measures),
                per_day: Some(100.0),
                ..Campaign::new(Scheme::NaiveHydra, Care::Naive, 10)
            };
            campaign.dollars_per_thousand()
        };
        let is = |measures: &[Measure], dollars: f64| (price(measures) - dollars).abs() < 1e-9;
        // 3,000 exchanges a month with an account of 1.5 dollars, and a card of 6.
        assert!(is(&[], 0.5));
        assert!(is(&[Measure::Cards], 2.5));
        assert!(is(&[Measure::Words], 0.5 + 0.6));
        // Who sleeps asks 750 a month, and half of it is for nothing where it is cover.
        assert!(is(&[Measure::Cards, Measure::Hours], 10.0));
        assert!(is(&[Measure::Cards, Measure::Hours, Measure::Cover], 20.0 + 4.0));
    }
}
