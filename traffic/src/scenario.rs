//! Named scenarios: which groups of accounts there are.

use crate::campaign::{Campaign, SCHEMES, Scheme};
use crate::care::{Care, Measures};
use crate::honest::{HONEST, Honest};
use crate::persona::Persona;
use crate::random::Random;
use crate::speech::Goal;
use crate::world::World;
use std::str::FromStr;

/// Accounts that belong together: one class, one company, one campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Name of the population that rows carry.
    pub population: &'static str,
    /// The campaign's label; none where honest.
    pub label: Option<String>,
    /// Accounts.
    pub accounts: u32,
    /// Who they are.
    pub who: Who,
}

/// Who the accounts of a group are.
#[derive(Debug, Clone, PartialEq)]
pub enum Who {
    /// Honest customers.
    Honest(Honest),
    /// A campaign.
    Campaign(Campaign),
    /// The students of the probe.
    Students {
        /// Tasks that they are given.
        tasks: u32,
    },
    /// The colleagues of the probe.
    Colleagues,
    /// The evaluation run of the probe.
    Harness {
        /// Questions.
        questions: u32,
        /// From one to the next, in milliseconds.
        gap_ms: u32,
    },
}

/// Groups, and whether the world has a release day and news.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scenario {
    /// Its groups.
    pub groups: Vec<Group>,
    /// A new model comes out.
    pub has_release: bool,
    /// Something happens that everybody asks about.
    pub has_news: bool,
}

/// What a scenario is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Which scenario.
    pub name: Name,
    /// Seed of the world.
    pub seed: u64,
    /// Accounts, campaigns among them; the probes have their own number.
    pub accounts: u32,
    /// Share of campaign accounts.
    pub campaign_share: f64,
    /// Care of all campaigns; mixed where none.
    pub care: Option<Care>,
    /// Measures that every campaign buys besides.
    pub measures: Measures,
    /// Length, in hours.
    pub hours: f64,
    /// Share of the disclosure's size.
    pub scale: f64,
}

/// The scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// All populations and all campaigns.
    World,
    /// All populations, no campaign.
    Honest,
    /// Thirty students with twelve tasks, one address and organisation, an evening.
    Homework,
    /// Twenty colleagues with one coding agent, preamble, address, organisation and card.
    Agents,
    /// One evaluation run: 400 questions, two a second.
    Harness,
    /// A naive hydra of so many accounts, and nobody else.
    Hydra(u32),
    /// What was disclosed in February 2026: 24,000 accounts, 16 million exchanges, among ten times as many
    /// honest ones.
    Disclosure,
}

/// Names of the scenarios, for people.
pub const NAMES: &str =
    "world, honest, homework, agents, harness, hydra-N (6, 40, 400, 4000 …) and disclosure";

impl FromStr for Name {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let hydra =
            || name.strip_prefix("hydra-").and_then(|accounts| accounts.parse().ok()).map(Self::Hydra);
        Ok(match name {
            "world" => Self::World,
            "honest" => Self::Honest,
            "homework" => Self::Homework,
            "agents" => Self::Agents,
            "harness" => Self::Harness,
            "disclosure" => Self::Disclosure,
            _ => return hydra().ok_or_else(|| format!("no such scenario; there are {NAMES}")),
        })
    }
}

impl Plan {
    /// The scenario.
    pub fn scenario(&self) -> Scenario {
        let mut random = Random::of(&[self.seed, 0x7363_656e]);
        let release = random.chance(0.5);
        let news = random.chance(0.7);
        let campaigns = (f64::from(self.accounts) * self.campaign_share) as u32;
        let groups = match self.name {
            Name::World => {
                let mut groups = honest_groups(self.accounts.saturating_sub(campaigns), &mut random);
                groups.extend(self.campaigns(campaigns, &mut random));
                groups
            }
            Name::Honest => honest_groups(self.accounts, &mut random),
            Name::Homework => vec![Group::honest(Honest::Class, 30, Who::Students { tasks: 12 })],
            Name::Agents => vec![Group::honest(Honest::AgentTeam, 20, Who::Colleagues)],
            Name::Harness => {
                vec![Group::honest(Honest::Evaluation, 1, Who::Harness { questions: 400, gap_ms: 500 })]
            }
            Name::Hydra(accounts) => vec![self.campaign(Scheme::NaiveHydra, Care::Naive, accounts, 0)],
            Name::Disclosure => self.disclosure(&mut random),
        };
        let is_world = matches!(self.name, Name::World | Name::Honest);
        Scenario {
            groups,
            has_release: is_world && release || self.name == Name::Disclosure,
            has_news: is_world && news,
        }
    }

    fn campaign(&self, scheme: Scheme, care: Care, accounts: u32, number: usize) -> Group {
        let mut campaign = Campaign::new(scheme, self.care.unwrap_or(care), accounts);
        if self.measures != Measures::default() {
            campaign.measures = campaign.measures.and(self.measures);
            campaign.care = None;
        }
        Group::campaign(campaign, number)
    }

    /// As many campaigns of every scheme as the accounts make, at mixed levels of care.
    fn campaigns(&self, accounts: u32, random: &mut Random) -> Vec<Group> {
        let mut groups = Vec::new();
        for (scheme, share) in SCHEMES {
            let (fewest, most) = scheme.accounts();
            let mut left = (accounts * share / 1_000).max(fewest);
            let mut number = 0;
            while left >= fewest || number == 0 {
                let largest = most.min(left).max(fewest);
                let size = if left <= fewest * 2 {
                    largest
                } else {
                    random.between(fewest.into(), largest.into()) as u32
                };
                let care =
                    [Care::Naive, Care::Careful, Care::Expert][random.weighted([40, 40, 20].into_iter())];
                groups.push(self.campaign(scheme, care, size, number));
                left = left.saturating_sub(size);
                number += 1;
            }
        }
        groups
    }

    /// Three laboratories: one after judgements, one after agents and tools, the largest after everything,
    /// which moves half of its traffic to a new model within a day.
    fn disclosure(&self, random: &mut Random) -> Vec<Group> {
        let scaled = |accounts: f64| ((accounts * self.scale) as u32).max(6);
        let days = (self.hours / 24.0).max(1.0 / 24.0);
        let mut groups = honest_groups(scaled(240_000.0), random);
        let labs = [
            (Scheme::ProxiedHydra, Goal::Grading, 1_600.0, 150_000.0, Care::Careful),
            (Scheme::ProxiedHydra, Goal::Tools, 6_400.0, 3_400_000.0, Care::Careful),
            (Scheme::Pivot, Goal::Anything, 16_000.0, 12_450_000.0, Care::Careful),
        ];
        for (number, (scheme, goal, accounts, exchanges, care)) in labs.into_iter().enumerate() {
            let mut campaign = Campaign::new(scheme, self.care.unwrap_or(care), scaled(accounts));
            campaign.goal = Some(goal);
            campaign.per_day = Some(exchanges / accounts / days);
            campaign.measures = campaign.measures.and(self.measures);
            groups.push(Group::campaign(campaign, number));
        }
        groups
    }
}

fn honest_groups(accounts: u32, random: &mut Random) -> Vec<Group> {
    let mut groups = Vec::new();
    for (honest, share, (fewest, most)) in HONEST {
        let mut left = (u64::from(accounts) * u64::from(share) / 1_000).max(u64::from(fewest) * 2) as u32;
        if most == 1 {
            groups.push(Group::honest(honest, left, Who::Honest(honest)));
            continue;
        }
        while left >= fewest {
            let size = random.between(fewest.into(), most.min(left).into()) as u32;
            groups.push(Group::honest(honest, size, Who::Honest(honest)));
            left -= size;
        }
    }
    groups
}

impl Group {
    fn honest(honest: Honest, accounts: u32, who: Who) -> Self {
        Self { population: honest.name(), label: None, accounts, who }
    }

    fn campaign(campaign: Campaign, number: usize) -> Self {
        let label = match number {
            0 => campaign.label(),
            more => format!("{}-{}", campaign.label(), more + 1),
        };
        Self {
            population: "campaign",
            label: Some(label),
            accounts: campaign.accounts,
            who: Who::Campaign(campaign),
        }
    }

    /// One of its accounts.
    pub fn persona(&self, world: &World, group: u64, index: u32, random: &mut Random) -> Persona {
        match &self.who {
            Who::Honest(honest) => honest.persona(world, group, index, random),
            Who::Campaign(campaign) => campaign.persona(world, group, index, random),
            Who::Students { tasks } => probes::student(world, group, *tasks, random),
            Who::Colleagues => probes::colleague(world, group, random),
            Who::Harness { questions, gap_ms } => probes::harness(world, group, *questions, *gap_ms, random),
        }
    }
}

mod probes;
