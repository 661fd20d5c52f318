//! Honest populations: who they are, one function each.

use crate::access::Access;
use crate::clients::{Client, Kind};
use crate::grammar::{ENGLISH, Language};
use crate::persona::Persona;
use crate::places::{COUNTRIES, any_country, any_language};
use crate::random::{Random, mixed};
use crate::rhythm::{Hours, Rhythm};
use crate::speech::Speech;
use crate::world::World;

/// An honest population.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Honest {
    /// People in browsers and apps.
    Chat,
    /// Developers at work, over the API.
    Developer,
    /// Coding agents, with one of three preambles that everybody has.
    Agent,
    /// Jobs by the clock, most at the full hour.
    Cron,
    /// An application's servers, for all of its users.
    Saas,
    /// A key that is resold.
    Reseller,
    /// Evaluations: a known list of questions, at machine speed.
    Evaluation,
    /// A class with the same homework, behind one address.
    Class,
    /// A company: one card, one organisation, a proxy that opens TLS.
    Company,
    /// Colleagues with one coding agent behind one address and card.
    AgentTeam,
    /// A tutoring service, or a private tutor.
    Tutor,
    /// Translators.
    Translator,
    /// People who study what models refuse.
    Safety,
    /// People who bought the same prompt on a market place.
    Marketplace,
    /// Users of a workflow tool: its addresses, its client, its templates.
    Workflow,
}

/// Every population, with its share of the honest accounts in thousandths and how many accounts a group of it
/// has.
pub const HONEST: [(Honest, u32, (u32, u32)); 15] = [
    (Honest::Chat, 475, (1, 1)),
    (Honest::Developer, 115, (1, 1)),
    (Honest::Agent, 55, (1, 1)),
    (Honest::Cron, 30, (1, 1)),
    (Honest::Saas, 12, (1, 1)),
    (Honest::Reseller, 4, (1, 1)),
    (Honest::Evaluation, 10, (1, 1)),
    (Honest::Class, 75, (18, 36)),
    (Honest::Company, 90, (12, 60)),
    (Honest::AgentTeam, 25, (8, 24)),
    (Honest::Tutor, 14, (1, 1)),
    (Honest::Translator, 22, (1, 1)),
    (Honest::Safety, 8, (1, 1)),
    (Honest::Marketplace, 40, (1, 1)),
    (Honest::Workflow, 25, (1, 1)),
];

impl Honest {
    /// The name that rows carry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Developer => "developer",
            Self::Agent => "agent",
            Self::Cron => "cron",
            Self::Saas => "saas",
            Self::Reseller => "reseller",
            Self::Evaluation => "evaluation",
            Self::Class => "class",
            Self::Company => "company",
            Self::AgentTeam => "agent-team",
            Self::Tutor => "tutor",
            Self::Translator => "translator",
            Self::Safety => "safety",
            Self::Marketplace => "marketplace",
            Self::Workflow => "workflow",
        }
    }

    /// One account of the population. `group` is what its group has in common, `index` its number in it.
    pub fn persona(self, world: &World, group: u64, index: u32, random: &mut Random) -> Persona {
        let mut common = world.random(&[group]);
        match self {
            Self::Chat => chat(world, random),
            Self::Developer => developer(world, random),
            Self::Agent => agent(world, random),
            Self::Cron => cron(world, random),
            Self::Saas => saas(world, random),
            Self::Reseller => reseller(world, random),
            Self::Evaluation => evaluation(world, random),
            Self::Class => class(world, group, &mut common, random),
            Self::Company => company(world, group, index, &mut common, random),
            Self::AgentTeam => agent_team(world, group, &mut common, random),
            Self::Tutor => tutor(world, random),
            Self::Translator => translator(world, random),
            Self::Safety => safety(world, random),
            Self::Marketplace => marketplace(world, random),
            Self::Workflow => workflow(world, random),
        }
    }
}

/// Clocks of a country; the people of wide countries are spread over several.
fn clock(country: u8, random: &mut Random) -> i32 {
    let country = &COUNTRIES[usize::from(country)];
    let wide = matches!(country.code, "US" | "CA" | "AU" | "RU" | "BR");
    country.utc_minutes + if wide { 60 * random.between(0, 3) as i32 - 60 } else { 0 }
}

fn person(hours: Hours, country: u8, sessions: f64, turns: f64, pause_s: f64, random: &mut Random) -> Rhythm {
    Rhythm::Person {
        hours,
        utc_minutes: clock(country, random),
        sessions: random.log_normal(sessions, 0.8),
        turns: 1.0 + random.log_normal(turns, 0.5),
        pause_s: random.log_normal(pause_s, 0.35),
    }
}

/// How a person gets in: at home, by telephone, or both.
fn device(country: u8, random: &mut Random) -> (Client, Access, Option<(Client, Access)>) {
    let home = Access::home(country, random);
    let phone = |random: &mut Random| {
        let kind = if random.chance(0.6) { Kind::App } else { Kind::Browser };
        (Client::any(kind, random), Access::carrier(country, 64, random))
    };
    match random.below(10) {
        0..=4 => (Client::any(Kind::Browser, random), home, None),
        5..=7 => {
            let second = phone(random);
            (Client::any(Kind::Browser, random), home, Some(second))
        }
        _ => {
            let (client, access) = phone(random);
            (client, access, None)
        }
    }
}

/// A person who chats.
pub fn chat(world: &World, random: &mut Random) -> Persona {
    let country = any_country(random);
    let language = any_language(country, random);
    let (client, access, second) = device(country, random);
    let rhythm = person(Hours::Home, country, 2.2, 3.2, 55.0, random);
    let mut persona = Persona::new(world, language, rhythm, access, client, Speech::Chat, random);
    persona.second = second.map(|(client, access)| (client.updated(world.is_up_to_date), access));
    persona.strays = if random.chance(0.3) { 0.2 } else { 0.0 };
    if random.chance(world.free_share) {
        persona.payment = None;
    }
    lifetime(world, &mut persona, random);
    persona
}

/// Some come while we look, and some of those never come back.
fn lifetime(world: &World, persona: &mut Persona, random: &mut Random) {
    if random.chance(0.06) {
        persona.born_ms = world.moment(0.0, 0.9, random);
        if random.chance(0.4) {
            persona.dies_ms = persona.born_ms + (random.log_normal(1.5, 1.0) * 3.6e6) as i64;
        }
    }
}

fn developer(world: &World, random: &mut Random) -> Persona {
    let country = any_country(random);
    let client = Client::any(if random.chance(0.2) { Kind::Browser } else { Kind::Library }, random);
    let access = if random.chance(0.3) { Access::server(random) } else { Access::home(country, random) };
    let rhythm = person(Hours::Office, country, 4.0, 6.0, 30.0, random);
    let mut persona =
        Persona::new(world, any_language(country, random), rhythm, access, client, Speech::Code, random);
    persona.strays = 0.1;
    persona.org = random.chance(0.5).then(|| random.bits());
    lifetime(world, &mut persona, random);
    persona
}

/// Three agents share the market.
fn popular_agent(random: &mut Random) -> u64 {
    random.weighted([60, 30, 10].into_iter()) as u64
}

fn agent(world: &World, random: &mut Random) -> Persona {
    let country = any_country(random);
    let rhythm = person(Hours::Office, country, 3.0, 18.0, 9.0, random);
    let speech = Speech::Agent { preamble: popular_agent(random), tasks_only: false };
    let (access, client) = (Access::home(country, random), Client::any(Kind::Agent, random));
    let mut persona = Persona::new(world, ENGLISH, rhythm, access, client, speech, random);
    persona.org = random.chance(0.3).then(|| random.bits());
    lifetime(world, &mut persona, random);
    persona
}

fn cron(world: &World, random: &mut Random) -> Persona {
    let period_s = *random.pick(&[900, 1_800, 3_600, 3_600, 3_600, 21_600, 86_400]);
    let phase_s = if random.chance(0.7) { 0 } else { random.below(u64::from(period_s)) as u32 };
    let rhythm = Rhythm::Clock {
        period_s,
        phase_s: phase_s % period_s,
        late_s: random.log_normal(1.5, 0.8),
        burst: random.log_normal(7.0, 0.9).min(120.0) * f64::from(period_s / 900).sqrt(),
        gap_ms: random.log_normal(900.0, 0.7),
        skips: if random.chance(0.3) { 0.05 } else { 0.0 },
    };
    let speech = Speech::Job { prompt: random.bits(), limit: *random.pick(&[16, 64, 256, 512]) };
    let (access, client) = (Access::server(random), Client::any(Kind::Library, random));
    let mut persona = Persona::new(world, ENGLISH, rhythm, access, client, speech, random);
    persona.org = random.chance(0.7).then(|| random.bits());
    persona.adopts_ms = None;
    persona
}

fn saas(world: &World, random: &mut Random) -> Persona {
    let country = any_country(random);
    let rhythm = Rhythm::Served {
        per_day: random.log_normal(1_300.0, 0.7).min(9_000.0),
        swing: 0.7,
        utc_minutes: clock(country, random),
    };
    let speech = Speech::App { preamble: random.bits(), limit: *random.pick(&[256, 512, 1_024]) };
    let (access, client) = (Access::server(random), Client::any(Kind::Library, random));
    let mut persona = Persona::new(world, ENGLISH, rhythm, access, client, speech, random);
    persona.org = Some(random.bits());
    persona
}

fn reseller(world: &World, random: &mut Random) -> Persona {
    let rhythm =
        Rhythm::Served { per_day: random.log_normal(2_200.0, 0.5).min(9_000.0), swing: 0.5, utc_minutes: 60 };
    let speech = Speech::Reseller { customers: random.bits() };
    let (access, client) = (Access::server(random), Client::any(Kind::Library, random));
    let mut persona = Persona::new(world, ENGLISH, rhythm, access, client, speech, random);
    persona.strays = 0.35;
    persona.org = Some(random.bits());
    persona
}

fn evaluation(world: &World, random: &mut Random) -> Persona {
    let count = random.between(150, 900) as u32;
    let gap_ms = random.log_normal(700.0, 0.5);
    // Most run once; some every night.
    let rhythm = if random.chance(0.75) {
        Rhythm::Run { count, gap_ms, spread: 0.15 }
    } else {
        let phase_s = random.below(86_400) as u32;
        Rhythm::Clock { period_s: 86_400, phase_s, late_s: 5.0, burst: f64::from(count), gap_ms, skips: 0.0 }
    };
    // Eight lists are known to everybody.
    let list = mixed(&[0x6576_616c, random.below(8)]);
    let speech = Speech::Evaluation { list, size: count, limit: *random.pick(&[32, 256, 1_024]) };
    let access =
        if random.chance(0.5) { Access::server(random) } else { Access::home(any_country(random), random) };
    let client = Client::any(Kind::Library, random);
    let mut persona = Persona::new(world, ENGLISH, rhythm, access, client, speech, random);
    persona.born_ms = world.moment(0.0, 0.85, random);
    persona
}

/// Homework is done in one evening, by all of them.
fn class(world: &World, group: u64, common: &mut Random, random: &mut Random) -> Persona {
    let country = any_country(common);
    let access = Access::shared(country, common);
    let evening_ms = world.moment(0.05, 0.8, common);
    let tasks = common.between(6, 14) as u32;
    let org = common.chance(0.5).then(|| common.bits());
    // A session at home or in the class room, soon after the task is given.
    let rhythm = Rhythm::Person {
        hours: Hours::Student,
        utc_minutes: clock(country, common),
        sessions: 40.0,
        turns: f64::from(tasks) * 1.6,
        pause_s: random.log_normal(50.0, 0.4),
    };
    let at_home = random.chance(0.25);
    let access = if at_home { Access::home(country, random) } else { access };
    // Some classes paste what the teacher wrote, on the school's own machines.
    let verbatim = common.chance(0.35);
    let machine = Client::any(Kind::Browser, common);
    let speech = Speech::Homework { class: mixed(&[world.seed, group]), tasks, verbatim };
    let client = if verbatim { machine } else { Client::any(Kind::Browser, random) };
    let mut persona =
        Persona::new(world, any_language(country, random), rhythm, access, client, speech, random);
    persona.born_ms = evening_ms + (random.exponential(35.0) * 60e3) as i64;
    persona.dies_ms = persona.born_ms + (random.log_normal(80.0, 0.4) * 60e3) as i64;
    persona.org = org;
    persona.payment = None;
    persona
}

fn company(world: &World, group: u64, index: u32, common: &mut Random, random: &mut Random) -> Persona {
    let country = any_country(common);
    let access = Access::shared(country, common);
    let (card, org) = (common.bits(), common.bits());
    let is_inspected = common.chance(0.7);
    let preamble = common.chance(0.6).then(|| mixed(&[world.seed, group, 1]));
    let sdk = Client::any(Kind::Library, common);
    let rhythm = person(Hours::Office, country, 2.5, 3.0, 60.0, random);
    // One in ten is the company's own service, the others are people.
    let client = if index.is_multiple_of(10) { sdk } else { Client::any(Kind::Browser, random) };
    let client = if is_inspected { client.inspected() } else { client };
    let speech = match preamble {
        Some(preamble) => Speech::Company { preamble },
        None if random.chance(0.3) => Speech::Code,
        None => Speech::Chat,
    };
    let language = any_language(country, random);
    let mut persona = Persona::new(world, language, rhythm, access, client, speech, random);
    (persona.payment, persona.org) = (Some(card), Some(org));
    persona
}

/// Colleagues with one coding agent.
pub fn agent_team(world: &World, group: u64, common: &mut Random, random: &mut Random) -> Persona {
    let country = any_country(common);
    let access = Access::shared(country, common);
    let (card, org) = (common.bits(), common.bits());
    let preamble = if common.chance(0.5) { popular_agent(common) } else { mixed(&[world.seed, group, 2]) };
    let tasks_only = common.chance(0.3);
    let client = Client::named(if common.chance(0.6) { "coding-agent" } else { "editor" }, random);
    let rhythm = person(Hours::Office, country, 3.0, 16.0, 9.0, random);
    let mut persona =
        Persona::new(world, ENGLISH, rhythm, access, client, Speech::Agent { preamble, tasks_only }, random);
    (persona.payment, persona.org) = (Some(card), Some(org));
    persona
}

fn tutor(world: &World, random: &mut Random) -> Persona {
    let country = any_country(random);
    let language = any_language(country, random);
    let is_service = random.chance(0.5);
    let rhythm = if is_service {
        Rhythm::Served {
            per_day: random.log_normal(350.0, 0.7),
            swing: 0.9,
            utc_minutes: clock(country, random),
        }
    } else {
        person(Hours::Student, country, 3.0, 7.0, 70.0, random)
    };
    let (access, client) = if is_service {
        (Access::server(random), Client::any(Kind::Library, random))
    } else {
        (Access::home(country, random), Client::any(Kind::Browser, random))
    };
    let speech = Speech::Tutor { preamble: random.bits() };
    let mut persona = Persona::new(world, language, rhythm, access, client, speech, random);
    persona.org = is_service.then(|| random.bits());
    persona
}

fn translator(world: &World, random: &mut Random) -> Persona {
    let country = any_country(random);
    let (client, access, _) = device(country, random);
    let rhythm = person(Hours::Office, country, 4.0, 9.0, 75.0, random);
    let language = Language(random.between(1, crate::grammar::CODES.len() as u64 - 1) as u8);
    Persona::new(world, language, rhythm, access, client, Speech::Translator, random)
}

fn safety(world: &World, random: &mut Random) -> Persona {
    let country = any_country(random);
    let (client, access) = if random.chance(0.4) {
        (Client::any(Kind::Library, random), Access::home(country, random))
    } else {
        (Client::any(Kind::Browser, random), Access::home(country, random))
    };
    let rhythm = person(Hours::Office, country, 3.0, 10.0, 40.0, random);
    let mut persona = Persona::new(world, ENGLISH, rhythm, access, client, Speech::Safety, random);
    persona.strays = 0.4;
    persona.org = random.chance(0.6).then(|| random.bits());
    persona
}

fn marketplace(world: &World, random: &mut Random) -> Persona {
    let mut persona = chat(world, random);
    // A handful of templates sell.
    persona.speech = Speech::Market { template: mixed(&[0x6d61_726b, random.zipf(5)]) };
    persona.language = ENGLISH;
    persona
}

fn workflow(world: &World, random: &mut Random) -> Persona {
    let country = any_country(random);
    // Everybody's flows run on the tool's own servers: few addresses, one client.
    let mut tool = Random::of(&[0x666c_6f77, random.below(6)]);
    let access = Access::server(&mut tool);
    let client = Client::named("openai-node", &mut tool);
    let rhythm = Rhythm::Served {
        per_day: random.log_normal(35.0, 1.0).min(600.0),
        swing: 0.8,
        utc_minutes: clock(country, random),
    };
    let speech = Speech::Workflow { template: mixed(&[0x7466, random.zipf(40)]) };
    let mut persona = Persona::new(world, ENGLISH, rhythm, access, client, speech, random);
    persona.org = random.chance(0.5).then(|| random.bits());
    persona
}
